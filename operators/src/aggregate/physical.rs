//! Arrays as plain numbers: dates, times, timestamps and intervals are aggregated and compared as the integers they are.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, DurationMillisecondType, Int32Type, Int64Type, IntervalUnit,
    IntervalYearMonthType, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};

/// The array as integers, without copying; other types stay as they are.
pub fn to_physical(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Date32 => cast::<Date32Type, Int32Type>(array),
        DataType::Time32(TimeUnit::Millisecond) => cast::<Time32MillisecondType, Int32Type>(array),
        DataType::Interval(IntervalUnit::YearMonth) => cast::<IntervalYearMonthType, Int32Type>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => cast::<TimestampMillisecondType, Int64Type>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => cast::<TimestampMicrosecondType, Int64Type>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => cast::<TimestampNanosecondType, Int64Type>(array),
        DataType::Duration(TimeUnit::Millisecond) => cast::<DurationMillisecondType, Int64Type>(array),
        _ => array.clone(),
    }
}

/// The inverse of [`to_physical`].
pub fn to_logical(array: ArrayRef, logical: &DataType) -> ArrayRef {
    match logical {
        DataType::Date32 => cast::<Int32Type, Date32Type>(&array),
        DataType::Time32(TimeUnit::Millisecond) => cast::<Int32Type, Time32MillisecondType>(&array),
        DataType::Interval(IntervalUnit::YearMonth) => cast::<Int32Type, IntervalYearMonthType>(&array),
        DataType::Timestamp(TimeUnit::Millisecond, zone) => timestamps::<TimestampMillisecondType>(&array, zone),
        DataType::Timestamp(TimeUnit::Microsecond, zone) => timestamps::<TimestampMicrosecondType>(&array, zone),
        DataType::Timestamp(TimeUnit::Nanosecond, zone) => timestamps::<TimestampNanosecondType>(&array, zone),
        DataType::Duration(TimeUnit::Millisecond) => cast::<Int64Type, DurationMillisecondType>(&array),
        _ => array,
    }
}

/// The type of the array that [`to_physical`] gives.
pub fn physical_type(logical: &DataType) -> DataType {
    match logical {
        DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) | DataType::Interval(IntervalUnit::YearMonth) => {
            DataType::Int32
        }
        DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond, _)
        | DataType::Duration(TimeUnit::Millisecond) => DataType::Int64,
        other => other.clone(),
    }
}

fn cast<From, To>(array: &ArrayRef) -> ArrayRef
where
    From: ArrowPrimitiveType,
    To: ArrowPrimitiveType<Native = From::Native>,
{
    Arc::new(array.as_primitive::<From>().reinterpret_cast::<To>())
}

fn timestamps<To>(array: &ArrayRef, zone: &Option<Arc<str>>) -> ArrayRef
where
    To: ArrowPrimitiveType<Native = i64> + arrow::datatypes::ArrowTimestampType,
{
    let timestamps = array.as_primitive::<Int64Type>().reinterpret_cast::<To>();
    Arc::new(timestamps.with_timezone_opt(zone.clone()))
}
