//! Parquet files to rows.
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ListArray, MapArray, PrimitiveArray, RecordBatch, StructArray, new_null_array,
};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{
    ArrowTimestampType, DataType, Field, Fields, Int64Type, Schema, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType,
};
use arrow::util::display::FormatOptions;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as Physical;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};
use parquet::schema::types::SchemaDescriptor;
use wiesel_expressions::expression::{BATCH_BYTES, ROW_BYTES, Zone};
use wiesel_expressions::types::{LogicalType, RowField, TIMESTAMP_RANGE, TypeKind, timestamp_unit};
use wiesel_operators::bulk_format::BulkReader;
use wiesel_operators::operator::{Error, Result};

use super::{footer, pages};
use crate::input::InputFile;

/// Some row groups of a file, batch after batch.
pub(super) struct ParquetReader {
    rows: ParquetRecordBatchReader,
    /// Rows that are to come.
    left: u64,
    /// So many of the next ones are left out.
    skip: usize,
    wanted: Vec<RowField>,
    zone: Zone,
}

impl ParquetReader {
    pub(super) fn open(
        file: InputFile,
        wanted: Vec<RowField>,
        zone: Zone,
        range: Range<u64>,
        skip: u64,
        batch_rows: usize,
    ) -> Result<Self> {
        guarded(|| Self::opened(file, wanted, zone, range, skip, batch_rows))
    }

    fn opened(
        file: InputFile,
        wanted: Vec<RowField>,
        zone: Zone,
        range: Range<u64>,
        skip: u64,
        batch_rows: usize,
    ) -> Result<Self> {
        footer::check(&file)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let mut metadata = ArrowReaderMetadata::load(&file, options.clone()).map_err(failed)?;
        footer::check_rows(metadata.metadata())?;
        if let Some(schema) = with_wide_timestamps(metadata.schema(), metadata.parquet_schema(), &wanted) {
            let options = options.with_schema(Arc::new(schema));
            metadata = ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), options).map_err(failed)?;
        }
        let groups = metadata.metadata().row_groups().iter().enumerate();
        let mine = groups.filter(|(_, group)| range.contains(&middle(group))).map(|(at, _)| at).collect::<Vec<usize>>();
        let (mine, skip) = from_position(metadata.metadata().row_groups(), mine, skip);
        let names: Vec<&str> = wanted.iter().map(|field| field.name.as_str()).collect();
        let fields = metadata.schema().fields().iter().enumerate();
        let roots = fields.filter(|(_, field)| names.contains(&field.name().as_str())).map(|(at, _)| at);
        let longest = pages::check(&file, metadata.metadata().row_groups(), &mine, &names)?;
        let left = rows_said(metadata.metadata().row_groups(), &mine);
        let mask = ProjectionMask::roots(metadata.parquet_schema(), roots);
        let batch_rows =
            rows_at_once(metadata.metadata().row_groups(), &mine, &names, batch_rows).min(rows_of(longest));
        let rows = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_row_groups(mine)
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(failed)?;
        Ok(Self { rows, left, skip, wanted, zone })
    }

    fn read(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let Some(batch) = self.rows.next().transpose()? else {
            return if self.left == 0 { Ok(None) } else { Err(damaged()) };
        };
        self.left = self.left.checked_sub(batch.num_rows() as u64).ok_or_else(damaged)?;
        let skipped = self.skip.min(batch.num_rows());
        self.skip -= skipped;
        let batch = batch.slice(skipped, batch.num_rows() - skipped);
        let columns = self.wanted.iter().map(|field| self.column(&batch, field)).collect::<Result<_>>()?;
        Ok(Some((columns, batch.num_rows())))
    }

    fn column(&self, batch: &RecordBatch, field: &RowField) -> Result<ArrayRef> {
        match batch.column_by_name(&field.name) {
            None => Ok(new_null_array(&field.data_type.kind.to_arrow(), batch.num_rows())),
            Some(column) => convert(column, &field.data_type, &self.zone).map_err(|error| match error {
                Error::Plan(why) => {
                    Error::data("java.lang.IllegalArgumentException", format!("column '{}': {why}", field.name))
                }
                other => other,
            }),
        }
    }
}

impl BulkReader for ParquetReader {
    fn next_batch(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        guarded(|| self.read())
    }
}

/// The library asserts in places where a file is damaged: that is an error of the file.
fn guarded<T>(read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(damaged()))
}

fn damaged() -> Error {
    let message = "Parquet: the file is damaged: what it says of its content contradicts it";
    Error::External { message: message.to_owned(), source: None }
}

fn failed(error: parquet::errors::ParquetError) -> Error {
    Error::external(format!("Parquet: {error}"), error)
}

/// How many rows these row groups say that they have.
fn rows_said(groups: &[RowGroupMetaData], mine: &[usize]) -> u64 {
    let mine = mine.iter().filter_map(|at| groups.get(*at));
    mine.map(|group| u64::try_from(group.num_rows()).unwrap_or(0)).fold(0, u64::saturating_add)
}

/// How many rows are read at once of these row groups: fewer than asked for where their columns are long.
fn rows_at_once(groups: &[RowGroupMetaData], mine: &[usize], names: &[&str], most: usize) -> usize {
    let bytes_of_row = |group: &RowGroupMetaData| {
        let bytes = pages::wanted(group, names).map(bytes_of).fold(0, i64::saturating_add);
        bytes / group.num_rows().max(1)
    };
    let longest = mine.iter().filter_map(|at| groups.get(*at)).map(bytes_of_row).max().unwrap_or(0);
    let longest = usize::try_from(longest).unwrap_or(usize::MAX);
    (BATCH_BYTES / longest.max(1)).clamp(1, most.max(1))
}

/// How many rows are read at once where dictionaries give so much to one: each row may have the longest text.
fn rows_of(longest: u64) -> usize {
    (ROW_BYTES / usize::try_from(longest).unwrap_or(usize::MAX).max(1)).max(1)
}

/// How long a column is in memory: where each value has the same length, a null takes as much.
fn bytes_of(column: &ColumnChunkMetaData) -> i64 {
    let value = match column.column_type() {
        Physical::FIXED_LEN_BYTE_ARRAY => i64::from(column.column_descr().type_length()),
        _ => 0,
    };
    column.uncompressed_size().max(column.num_values().saturating_mul(value)).max(0)
}

/// The row groups behind a position, and how many rows of the first of them are before it. These are read and left out: the library
/// would leave out pages by the rows that their headers say, and in lists those are wrong in files of Apache Arrow before version 12.
fn from_position(groups: &[RowGroupMetaData], mut mine: Vec<usize>, mut skip: u64) -> (Vec<usize>, usize) {
    let mut before = 0;
    while skip > 0
        && let Some(group) = mine.get(before).and_then(|at| groups.get(*at))
        && let Ok(rows) = u64::try_from(group.num_rows())
        && rows <= skip
    {
        skip -= rows;
        before += 1;
    }
    mine.drain(..before);
    (mine, usize::try_from(skip).unwrap_or(usize::MAX))
}

/// Where the middle of a row group lies: whose split holds it reads the group.
fn middle(group: &RowGroupMetaData) -> u64 {
    let first = group.columns().iter().map(|column| column.byte_range().0).min().unwrap_or(0);
    first + u64::try_from(group.compressed_size()).unwrap_or(0) / 2
}

/// INT96 timestamps are read as nanoseconds, which reach from 1677 to 2262 only: as microseconds where those will do.
fn with_wide_timestamps(schema: &Schema, parquet: &SchemaDescriptor, wanted: &[RowField]) -> Option<Schema> {
    let mut leaf = 0;
    let mut changed = false;
    let fields = schema.fields().iter().map(|field| {
        let column = wanted.iter().find(|wanted| wanted.name == *field.name());
        let fine = column.is_some_and(|column| needs_nanos(&column.data_type));
        widen(field, parquet, &mut leaf, !fine, &mut changed)
    });
    let schema = Schema::new_with_metadata(fields.collect::<Fields>(), schema.metadata().clone());
    changed.then_some(schema)
}

fn needs_nanos(data_type: &LogicalType) -> bool {
    match &data_type.kind {
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => *precision > 6,
        TypeKind::Array(element) | TypeKind::Multiset(element) => needs_nanos(element),
        TypeKind::Map(key, value) => needs_nanos(key) || needs_nanos(value),
        TypeKind::Row(fields) => fields.iter().any(|field| needs_nanos(&field.data_type)),
        _ => false,
    }
}

fn widen(field: &Field, parquet: &SchemaDescriptor, leaf: &mut usize, wide: bool, changed: &mut bool) -> Arc<Field> {
    let mut inner = |field: &Arc<Field>| widen(field, parquet, leaf, wide, changed);
    let data_type = match field.data_type() {
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(inner).collect()),
        DataType::List(element) => DataType::List(inner(element)),
        DataType::Map(entries, sorted) => DataType::Map(inner(entries), *sorted),
        other => {
            let int96 = parquet.column(*leaf).physical_type() == Physical::INT96;
            *leaf += 1;
            if int96 && wide {
                *changed = true;
                DataType::Timestamp(TimeUnit::Microsecond, None)
            } else {
                other.clone()
            }
        }
    };
    Arc::new(field.clone().with_data_type(data_type))
}

/// A column of a file as the column of a table.
fn convert(array: &ArrayRef, wanted: &LogicalType, zone: &Zone) -> Result<ArrayRef> {
    let unfit = || Error::Plan(format!("the file has {} where the table has {wanted}", array.data_type()));
    let to = wanted.kind.to_arrow();
    match (&wanted.kind, array.data_type()) {
        (TypeKind::Row(fields), DataType::Struct(_)) => {
            let found = array.as_struct();
            let columns = fields.iter().map(|field| match found.column_by_name(&field.name) {
                Some(column) => convert(column, &field.data_type, zone),
                None => Ok(new_null_array(&field.data_type.kind.to_arrow(), found.len())),
            });
            let DataType::Struct(fields) = to else { return Err(unfit()) };
            Ok(Arc::new(StructArray::try_new(fields, columns.collect::<Result<_>>()?, found.nulls().cloned())?))
        }
        (TypeKind::Array(element), DataType::List(_)) => {
            let found = array.as_list::<i32>();
            let DataType::List(field) = to else { return Err(unfit()) };
            let values = convert(found.values(), element, zone)?;
            Ok(Arc::new(ListArray::try_new(field, found.offsets().clone(), values, found.nulls().cloned())?))
        }
        (TypeKind::Map(..) | TypeKind::Multiset(_), DataType::Map(..)) => {
            let found = array.as_map();
            let DataType::Map(field, sorted) = to else { return Err(unfit()) };
            let DataType::Struct(entries) = field.data_type().clone() else { return Err(unfit()) };
            let count = TypeKind::Int.not_null();
            let (key, value) = match &wanted.kind {
                TypeKind::Map(key, value) => (key, value.as_ref()),
                TypeKind::Multiset(key) => (key, &count),
                _ => return Err(unfit()),
            };
            let columns = vec![convert(found.keys(), key, zone)?, convert(found.values(), value, zone)?];
            let entries = StructArray::try_new(entries, columns, None)?;
            Ok(Arc::new(MapArray::try_new(field, found.offsets().clone(), entries, found.nulls().cloned(), sorted)?))
        }
        (TypeKind::Timestamp(precision, _), DataType::Timestamp(unit, _)) => {
            timestamps(array, *unit, *precision, None, zone)
        }
        (TypeKind::TimestampLtz(precision, _), DataType::Timestamp(unit, _)) => {
            timestamps(array, *unit, *precision, Some("UTC".into()), zone)
        }
        (_, from) if fits(from, &to) => {
            let options = CastOptions { safe: false, format_options: FormatOptions::default() };
            Ok(cast_with_options(array, &to, &options)?)
        }
        _ => Err(unfit()),
    }
}

/// Whether every value of one type is one of the other, or is what another writer meant by it.
fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Binary, BinaryView, Date32, Decimal128, FixedSizeBinary, Float32, Float64, Int8, Int16, Int32, Int64, Time32,
        Utf8, Utf8View,
    };
    match (from, to) {
        (from, to) if from == to => true,
        (Utf8 | Binary, Utf8View) | (Binary | Utf8 | FixedSizeBinary(_), BinaryView) => true,
        (Int8 | Int16 | Int32, Int8 | Int16 | Int32 | Int64) | (Int64, Int64) => true,
        (Float32, Float64) | (Int32, Date32 | Time32(_)) | (Time32(_), Time32(_)) => true,
        (Decimal128(_, from), Decimal128(_, to)) => from <= to,
        (Int32 | Int64, Decimal128(_, 0)) => true,
        _ => false,
    }
}

/// Timestamps in another unit, cut off towards the past, and in the zone's local time.
fn timestamps(
    array: &ArrayRef,
    unit: TimeUnit,
    precision: u8,
    label: Option<Arc<str>>,
    zone: &Zone,
) -> Result<ArrayRef> {
    let per_second = |unit: TimeUnit| match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1000,
        TimeUnit::Microsecond => 1_000_000i64,
        TimeUnit::Nanosecond => 1_000_000_000,
    };
    let target = timestamp_unit(precision);
    let (from, to) = (per_second(unit), per_second(target));
    let numbers = arrow::compute::cast(array, &DataType::Int64)?;
    let scaled: PrimitiveArray<Int64Type> = numbers.as_primitive::<Int64Type>().try_unary(|value| {
        let seconds = value.div_euclid(from);
        let fraction = value.rem_euclid(from);
        let local = seconds + zone.offset_at(seconds);
        let fraction = if to >= from { fraction * (to / from) } else { fraction / (from / to) };
        local.checked_mul(to).and_then(|whole| whole.checked_add(fraction)).ok_or_else(|| {
            Error::data(
                "java.lang.ArithmeticException",
                format!("a timestamp of {seconds} s is out of range: {TIMESTAMP_RANGE}"),
            )
        })
    })?;
    fn typed<T: ArrowTimestampType>(values: &PrimitiveArray<Int64Type>, label: Option<Arc<str>>) -> ArrayRef {
        Arc::new(values.reinterpret_cast::<T>().with_timezone_opt(label))
    }
    Ok(match target {
        TimeUnit::Microsecond => typed::<TimestampMicrosecondType>(&scaled, label),
        TimeUnit::Nanosecond => typed::<TimestampNanosecondType>(&scaled, label),
        _ => typed::<TimestampMillisecondType>(&scaled, label),
    })
}
