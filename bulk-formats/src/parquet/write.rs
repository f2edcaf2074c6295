//! Rows to Parquet files.
use std::fs::File;
use std::io::{BufWriter, Write};

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use parquet::data_type::{self as physical, ByteArray, FixedLenByteArray, Int96};
use parquet::errors::ParquetError;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use wiesel_connectors::formats::parquet::Unit;
use wiesel_expressions::expression::Zone;
use wiesel_expressions::types::{RowField, TypeKind, timestamp_unit};
use wiesel_operators::bulk_format::BulkWriter;
use wiesel_operators::operator::{Error, Result};

use super::ParquetFormat;
use super::levels::{Leaf, for_each_leaf};
use super::schema::decimal_bytes;

const BUFFER: usize = 32 << 10;
const NANOS_PER_DAY: i64 = 86_400_000_000_000;
/// The Julian day of 1970-01-01.
const EPOCH: i64 = 2_440_588;

/// Writes one file. Rows are kept until they make a row group: its columns stand one after another in the file.
pub(super) struct ParquetWriter {
    out: SerializedFileWriter<BufWriter<File>>,
    columns: Vec<RowField>,
    int64: Option<Unit>,
    zone: Zone,
    row_group: usize,
    pending: Vec<Vec<ArrayRef>>,
    pending_bytes: usize,
}

impl ParquetWriter {
    pub(super) fn new(format: &ParquetFormat, file: &File) -> Result<Self> {
        let file = file.try_clone().map_err(|error| Error::external("cannot open the file once more", error))?;
        let out = BufWriter::with_capacity(BUFFER, file);
        let out =
            SerializedFileWriter::new(out, format.root.clone(), format.properties.clone().into()).map_err(failed)?;
        Ok(Self {
            out,
            columns: format.options.columns.clone(),
            int64: format.options.int64,
            zone: format.zone()?,
            row_group: format.options.row_group_bytes,
            pending: Vec::new(),
            pending_bytes: 0,
        })
    }
}

fn failed(error: ParquetError) -> Error {
    Error::external(format!("Parquet: {error}"), error)
}

impl BulkWriter for ParquetWriter {
    fn write(&mut self, columns: &[ArrayRef]) -> Result<()> {
        // A slice keeps all of what it was cut from: what it will take in the file counts.
        self.pending_bytes += columns
            .iter()
            .map(|column| column.to_data().get_slice_memory_size())
            .sum::<std::result::Result<usize, _>>()?;
        self.pending.push(columns.to_vec());
        if self.pending_bytes >= self.row_group { self.spill() } else { Ok(()) }
    }

    fn size(&self) -> u64 {
        self.out.bytes_written() as u64
    }

    fn buffered(&self) -> usize {
        self.pending_bytes
    }

    /// Ends the row group.
    fn spill(&mut self) -> Result<()> {
        let batches = std::mem::take(&mut self.pending);
        self.pending_bytes = 0;
        if batches.iter().all(|columns| columns.first().is_none_or(|column| column.is_empty())) {
            return Ok(());
        }
        let mut group = self.out.next_row_group().map_err(failed)?;
        for (at, column) in self.columns.iter().enumerate() {
            let arrays: Vec<&dyn Array> = batches.iter().map(|columns| columns[at].as_ref()).collect();
            let array = arrow::compute::concat(&arrays)?;
            for_each_leaf(&array, &column.data_type, &mut |leaf| {
                let writer = group.next_column().map_err(failed)?;
                let mut writer = writer.ok_or_else(|| Error::Plan("a column that the file's schema lacks".into()))?;
                write_leaf(&mut writer, &leaf, self.int64, &self.zone)?;
                writer.close().map_err(failed)
            })?;
        }
        group.close().map_err(failed)?;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<()> {
        self.spill()?;
        let mut out = self.out.into_inner().map_err(failed)?;
        out.flush().map_err(|error| Error::external("cannot write the end of the file", error))
    }
}

fn write_leaf(
    writer: &mut SerializedColumnWriter<'_>,
    leaf: &Leaf<'_>,
    int64: Option<Unit>,
    zone: &Zone,
) -> Result<()> {
    let array = leaf.array;
    macro_rules! put {
        ($physical:ty, $value:expr) => {{
            let values: Vec<_> = leaf.indexes.iter().map(|index| $value(*index as usize)).collect();
            writer
                .typed::<$physical>()
                .write_batch(&values, leaf.definition.as_deref(), leaf.repetition.as_deref())
                .map_err(failed)?
        }};
    }
    macro_rules! primitive {
        ($physical:ty, $arrow:ty, $to:ty) => {{
            let values = array.as_primitive::<$arrow>().values();
            put!($physical, |index: usize| values[index] as $to)
        }};
    }
    match leaf.kind {
        TypeKind::Boolean => {
            let values = array.as_boolean();
            put!(physical::BoolType, |index| values.value(index))
        }
        TypeKind::Tinyint => primitive!(physical::Int32Type, Int8Type, i32),
        TypeKind::Smallint => primitive!(physical::Int32Type, Int16Type, i32),
        TypeKind::Int => primitive!(physical::Int32Type, Int32Type, i32),
        TypeKind::Date => primitive!(physical::Int32Type, Date32Type, i32),
        TypeKind::Time(_) => primitive!(physical::Int32Type, Time32MillisecondType, i32),
        TypeKind::Bigint => primitive!(physical::Int64Type, Int64Type, i64),
        TypeKind::Float => primitive!(physical::FloatType, Float32Type, f32),
        TypeKind::Double => primitive!(physical::DoubleType, Float64Type, f64),
        TypeKind::Char(_) | TypeKind::Varchar(_) => {
            let values = array.as_string_view();
            put!(physical::ByteArrayType, |index| ByteArray::from(values.value(index)))
        }
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            let values = array.as_binary_view();
            put!(physical::ByteArrayType, |index| ByteArray::from(values.value(index).to_vec()))
        }
        TypeKind::Decimal(precision, _) => {
            let values = array.as_primitive::<Decimal128Type>().values();
            let first = size_of::<i128>() - decimal_bytes(*precision);
            put!(physical::FixedLenByteArrayType, |index: usize| {
                FixedLenByteArray::from(values[index].to_be_bytes()[first..].to_vec())
            })
        }
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => {
            let (values, nanos) = instants(array, *precision);
            match int64 {
                None => put!(physical::Int96Type, |index: usize| int96(values[index], nanos, zone)),
                Some(unit) => {
                    let values = leaf.indexes.iter().map(|index| in_unit(values[*index as usize], nanos, unit, zone));
                    let values = values.collect::<Result<Vec<_>>>()?;
                    writer
                        .typed::<physical::Int64Type>()
                        .write_batch(&values, leaf.definition.as_deref(), leaf.repetition.as_deref())
                        .map_err(failed)?
                }
            }
        }
        other => return Err(Error::Plan(format!("{other} cannot be written as Parquet"))),
    };
    Ok(())
}

/// The values of a timestamp column, and how many nanoseconds one is.
fn instants(array: &dyn Array, precision: u8) -> (&[i64], i64) {
    match timestamp_unit(precision) {
        TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().values(), 1000),
        TimeUnit::Nanosecond => (array.as_primitive::<TimestampNanosecondType>().values(), 1),
        _ => (array.as_primitive::<TimestampMillisecondType>().values(), 1_000_000),
    }
}

/// As an instant: a time without a zone is one of the given zone.
fn days_and_nanos(value: i64, nanos: i64, zone: &Zone) -> (i64, i64) {
    let second = 1_000_000_000 / nanos;
    let value = value.saturating_sub(zone.offset_of_local(value.div_euclid(second)) * second);
    let day = NANOS_PER_DAY / nanos;
    (value.div_euclid(day), value.rem_euclid(day) * nanos)
}

fn int96(value: i64, nanos: i64, zone: &Zone) -> Int96 {
    let (days, rest) = days_and_nanos(value, nanos, zone);
    let mut int96 = Int96::new();
    int96.set_data(rest as u32, (rest >> 32) as u32, (days + EPOCH) as u32);
    int96
}

fn in_unit(value: i64, nanos: i64, unit: Unit, zone: &Zone) -> Result<i64> {
    let (days, rest) = days_and_nanos(value, nanos, zone);
    let of_unit = match unit {
        Unit::Millis => 1_000_000,
        Unit::Micros => 1000,
        Unit::Nanos => 1,
    };
    let whole = i128::from(days) * i128::from(NANOS_PER_DAY / of_unit) + i128::from(rest / of_unit);
    i64::try_from(whole).map_err(|_| {
        Error::data("java.lang.ArithmeticException", "long overflow: a timestamp is out of the range of nanoseconds")
    })
}
