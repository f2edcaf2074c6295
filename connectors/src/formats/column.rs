//! Arrow arrays on their way, one a column, of any type.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, ArrowPrimitiveType, BinaryViewBuilder, BooleanBuilder, ListArray, MapArray, NullBufferBuilder,
    PrimitiveArray, PrimitiveBuilder, StringViewBuilder, StructArray, UInt32Array, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::compute::take;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, DurationMillisecondType, FieldRef, Fields, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use wiesel_expressions::java_map;
use wiesel_expressions::types::{LogicalType, TypeKind, timestamp_unit};

use super::text::{NANOS_PER_MILLI, NANOS_PER_SECOND};

/// A column that grows by a value at a time.
pub(crate) enum ColumnBuilder {
    Boolean(BooleanBuilder),
    Tinyint(PrimitiveBuilder<Int8Type>),
    Smallint(PrimitiveBuilder<Int16Type>),
    Int(PrimitiveBuilder<Int32Type>),
    Bigint(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float32Type>),
    Double(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>, u8, i8),
    Text(StringViewBuilder),
    Bytes(BinaryViewBuilder),
    Date(PrimitiveBuilder<Date32Type>),
    /// With the declared precision.
    Time(PrimitiveBuilder<Time32MillisecondType>, u8),
    Timestamp(TimestampBuilder),
    IntervalYearMonth(PrimitiveBuilder<IntervalYearMonthType>),
    IntervalDayTime(PrimitiveBuilder<DurationMillisecondType>),
    Array(Box<ListBuilder>),
    Map(Box<MapBuilder>),
    Row(RowBuilder),
    Null(usize),
}

/// A TIMESTAMP or TIMESTAMP_LTZ, as numbers in the unit of its precision.
pub(crate) struct TimestampBuilder {
    values: PrimitiveBuilder<Int64Type>,
    unit: TimeUnit,
    /// TIMESTAMP_LTZ.
    pub(crate) zone: bool,
}

impl TimestampBuilder {
    /// Adds days since the epoch and nanoseconds of the day; false: the type cannot hold it.
    pub(crate) fn append(&mut self, days: i64, nanos: i64) -> bool {
        let (per_day, per_unit) = match self.unit {
            TimeUnit::Nanosecond => (86_400 * NANOS_PER_SECOND, 1),
            TimeUnit::Microsecond => (86_400_000_000, 1_000),
            _ => (86_400_000, NANOS_PER_MILLI),
        };
        let value = days.checked_mul(per_day).and_then(|day| day.checked_add(nanos / per_unit));
        value.map(|value| self.values.append_value(value)).is_some()
    }
}

/// An ARRAY.
pub(crate) struct ListBuilder {
    pub(crate) element: ColumnBuilder,
    offsets: Offsets,
    field: FieldRef,
}

/// A MAP or MULTISET.
pub(crate) struct MapBuilder {
    pub(crate) keys: ColumnBuilder,
    pub(crate) values: ColumnBuilder,
    offsets: Offsets,
    entries: FieldRef,
}

/// A ROW.
pub(crate) struct RowBuilder {
    pub(crate) columns: Vec<ColumnBuilder>,
    fields: Fields,
    nulls: NullBufferBuilder,
    rows: usize,
}

struct Offsets {
    offsets: Vec<i32>,
    nulls: NullBufferBuilder,
}

impl Offsets {
    fn new() -> Self {
        Self { offsets: vec![0], nulls: NullBufferBuilder::new(0) }
    }

    fn push(&mut self, end: usize, valid: bool) {
        self.offsets.push(i32::try_from(end).unwrap_or(i32::MAX));
        self.nulls.append(valid);
    }

    fn rows(&self) -> usize {
        self.offsets.len() - 1
    }

    fn finish(&mut self) -> (OffsetBuffer<i32>, Option<arrow::buffer::NullBuffer>) {
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        (OffsetBuffer::new(ScalarBuffer::from(offsets)), self.nulls.finish())
    }
}

impl ListBuilder {
    /// Ends a list whose elements were added.
    pub(crate) fn end(&mut self, valid: bool) {
        self.offsets.push(self.element.len(), valid);
    }
}

impl MapBuilder {
    /// Ends a map whose keys and values were added.
    pub(crate) fn end(&mut self, valid: bool) {
        self.offsets.push(self.keys.len(), valid);
    }
}

impl RowBuilder {
    /// Ends a row whose fields were added.
    pub(crate) fn end(&mut self, valid: bool) {
        self.nulls.append(valid);
        self.rows += 1;
    }
}

impl ColumnBuilder {
    pub(crate) fn new(data_type: &LogicalType) -> Self {
        match &data_type.kind {
            TypeKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            TypeKind::Tinyint => Self::Tinyint(PrimitiveBuilder::new()),
            TypeKind::Smallint => Self::Smallint(PrimitiveBuilder::new()),
            TypeKind::Int => Self::Int(PrimitiveBuilder::new()),
            TypeKind::Bigint => Self::Bigint(PrimitiveBuilder::new()),
            TypeKind::Float => Self::Float(PrimitiveBuilder::new()),
            TypeKind::Double => Self::Double(PrimitiveBuilder::new()),
            TypeKind::Decimal(precision, scale) => {
                let builder = PrimitiveBuilder::new().with_data_type(data_type.kind.to_arrow());
                Self::Decimal(builder, *precision, *scale)
            }
            TypeKind::Char(_) | TypeKind::Varchar(_) | TypeKind::Variant => Self::Text(StringViewBuilder::new()),
            TypeKind::Binary(_) | TypeKind::Varbinary(_) | TypeKind::Bitmap => Self::Bytes(BinaryViewBuilder::new()),
            TypeKind::Date => Self::Date(PrimitiveBuilder::new()),
            TypeKind::Time(precision) => Self::Time(PrimitiveBuilder::new(), *precision),
            TypeKind::Timestamp(precision, _) => Self::timestamp(*precision, false),
            TypeKind::TimestampLtz(precision, _) => Self::timestamp(*precision, true),
            TypeKind::IntervalYearMonth(_) => Self::IntervalYearMonth(PrimitiveBuilder::new()),
            TypeKind::IntervalDayTime(_) => Self::IntervalDayTime(PrimitiveBuilder::new()),
            TypeKind::Array(element) => Self::Array(Box::new(ListBuilder {
                field: Arc::new(element.to_arrow_field("item")),
                element: Self::new(element),
                offsets: Offsets::new(),
            })),
            TypeKind::Map(key, value) => Self::map(data_type, key, value),
            TypeKind::Multiset(element) => Self::map(data_type, element, &TypeKind::Int.not_null()),
            TypeKind::Row(fields) | TypeKind::Structured(_, fields) => Self::Row(RowBuilder {
                columns: fields.iter().map(|field| Self::new(&field.data_type)).collect(),
                fields: wiesel_expressions::types::to_arrow_fields(fields),
                nulls: NullBufferBuilder::new(0),
                rows: 0,
            }),
            TypeKind::Null => Self::Null(0),
        }
    }

    fn timestamp(precision: u8, zone: bool) -> Self {
        Self::Timestamp(TimestampBuilder { values: PrimitiveBuilder::new(), unit: timestamp_unit(precision), zone })
    }

    fn map(data_type: &LogicalType, key: &LogicalType, value: &LogicalType) -> Self {
        match data_type.kind.to_arrow() {
            DataType::Map(entries, _) => Self::Map(Box::new(MapBuilder {
                keys: Self::new(key),
                values: Self::new(value),
                offsets: Offsets::new(),
                entries,
            })),
            _ => Self::Null(0),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        use arrow::array::ArrayBuilder;
        match self {
            Self::Boolean(b) => b.len(),
            Self::Tinyint(b) => b.len(),
            Self::Smallint(b) => b.len(),
            Self::Int(b) => b.len(),
            Self::Bigint(b) => b.len(),
            Self::Float(b) => b.len(),
            Self::Double(b) => b.len(),
            Self::Decimal(b, ..) => b.len(),
            Self::Text(b) => b.len(),
            Self::Bytes(b) => b.len(),
            Self::Date(b) => b.len(),
            Self::Time(b, _) => b.len(),
            Self::Timestamp(b) => b.values.len(),
            Self::IntervalYearMonth(b) => b.len(),
            Self::IntervalDayTime(b) => b.len(),
            Self::Array(b) => b.offsets.rows(),
            Self::Map(b) => b.offsets.rows(),
            Self::Row(b) => b.rows,
            Self::Null(rows) => *rows,
        }
    }

    /// Bytes that a value takes, a null too, without those of a text and of the elements of an ARRAY or MAP.
    pub(crate) fn width(&self) -> usize {
        match self {
            Self::Boolean(_) | Self::Tinyint(_) | Self::Null(_) => 1,
            Self::Smallint(_) => 2,
            Self::Int(_) | Self::Float(_) | Self::Date(_) | Self::Time(..) | Self::IntervalYearMonth(_) => 4,
            Self::Bigint(_) | Self::Double(_) | Self::Timestamp(_) | Self::IntervalDayTime(_) => 8,
            Self::Decimal(..) | Self::Text(_) | Self::Bytes(_) => 16,
            // Where it ends.
            Self::Array(_) | Self::Map(_) => 4,
            Self::Row(b) => 1 + b.columns.iter().map(Self::width).sum::<usize>(),
        }
    }

    pub(crate) fn append_null(&mut self) {
        match self {
            Self::Boolean(b) => b.append_null(),
            Self::Tinyint(b) => b.append_null(),
            Self::Smallint(b) => b.append_null(),
            Self::Int(b) => b.append_null(),
            Self::Bigint(b) => b.append_null(),
            Self::Float(b) => b.append_null(),
            Self::Double(b) => b.append_null(),
            Self::Decimal(b, ..) => b.append_null(),
            Self::Text(b) => b.append_null(),
            Self::Bytes(b) => b.append_null(),
            Self::Date(b) => b.append_null(),
            Self::Time(b, _) => b.append_null(),
            Self::Timestamp(b) => b.values.append_null(),
            Self::IntervalYearMonth(b) => b.append_null(),
            Self::IntervalDayTime(b) => b.append_null(),
            Self::Array(b) => b.end(false),
            Self::Map(b) => b.end(false),
            Self::Row(b) => {
                b.columns.iter_mut().for_each(Self::append_null);
                b.end(false);
            }
            Self::Null(rows) => *rows += 1,
        }
    }

    /// The array; the builder is empty again.
    pub(crate) fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(b) => Arc::new(b.finish()),
            Self::Tinyint(b) => Arc::new(b.finish()),
            Self::Smallint(b) => Arc::new(b.finish()),
            Self::Int(b) => Arc::new(b.finish()),
            Self::Bigint(b) => Arc::new(b.finish()),
            Self::Float(b) => Arc::new(b.finish()),
            Self::Double(b) => Arc::new(b.finish()),
            Self::Decimal(b, ..) => Arc::new(b.finish()),
            Self::Text(b) => Arc::new(b.finish()),
            Self::Bytes(b) => Arc::new(b.finish()),
            Self::Date(b) => Arc::new(b.finish()),
            Self::Time(b, _) => Arc::new(b.finish()),
            Self::Timestamp(b) => {
                let values = b.values.finish();
                match b.unit {
                    TimeUnit::Nanosecond => timestamps::<TimestampNanosecondType>(&values, b.zone),
                    TimeUnit::Microsecond => timestamps::<TimestampMicrosecondType>(&values, b.zone),
                    _ => timestamps::<TimestampMillisecondType>(&values, b.zone),
                }
            }
            Self::IntervalYearMonth(b) => Arc::new(b.finish()),
            Self::IntervalDayTime(b) => Arc::new(b.finish()),
            Self::Array(b) => {
                let (offsets, nulls) = b.offsets.finish();
                Arc::new(ListArray::new(b.field.clone(), offsets, b.element.finish(), nulls))
            }
            Self::Map(b) => {
                let (offsets, nulls) = b.offsets.finish();
                let DataType::Struct(fields) = b.entries.data_type() else {
                    return new_null_array(&DataType::Null, offsets.len() - 1);
                };
                let (entries, offsets) = put_into_maps([b.keys.finish(), b.values.finish()], offsets);
                let entries = StructArray::new(fields.clone(), entries.into(), None);
                Arc::new(MapArray::new(b.entries.clone(), offsets, entries, nulls, false))
            }
            Self::Row(b) => {
                let rows = std::mem::take(&mut b.rows);
                let nulls = b.nulls.finish();
                if b.columns.is_empty() {
                    return Arc::new(StructArray::new_empty_fields(rows, nulls));
                }
                let columns = b.columns.iter_mut().map(Self::finish).collect();
                Arc::new(StructArray::new(b.fields.clone(), columns, nulls))
            }
            Self::Null(rows) => new_null_array(&DataType::Null, std::mem::take(rows)),
        }
    }
}

/// Keys and values as Flink has them in its maps: a key once, with its last value, and texts in the order of a Java map.
fn put_into_maps(entries: [ArrayRef; 2], maps: OffsetBuffer<i32>) -> ([ArrayRef; 2], OffsetBuffer<i32>) {
    // Texts can be read.
    let Some(put) = java_map::put(&entries[0], &maps).ok().flatten() else { return (entries, maps) };
    let keys = take(&entries[0], &UInt32Array::from(put.keys), None);
    let values = take(&entries[1], &UInt32Array::from(put.values), None);
    match (keys, values) {
        (Ok(keys), Ok(values)) => ([keys, values], OffsetBuffer::from_lengths(put.lengths)),
        // Places that are there can be taken.
        _ => (entries, maps),
    }
}

fn timestamps<T: ArrowPrimitiveType<Native = i64> + arrow::datatypes::ArrowTimestampType>(
    values: &PrimitiveArray<Int64Type>,
    zone: bool,
) -> ArrayRef {
    let values = values.reinterpret_cast::<T>();
    if zone { Arc::new(values.with_timezone("UTC")) } else { Arc::new(values) }
}
