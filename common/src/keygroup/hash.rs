//! The hash over columns.
use arrow::array::{Array, ArrayRef, AsArray, OffsetSizeTrait};
use arrow::buffer::NullBuffer;
use arrow::datatypes::*;

use super::{GOLDEN, NULL_HASH, combine, hash_bytes, hash_number};

/// A column that cannot be a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a column of type {0} cannot be a key")]
pub struct UnsupportedKey(DataType);

/// The hash of each row over key columns of `rows` rows.
pub fn hash_columns(columns: &[ArrayRef], rows: usize) -> Result<Vec<u64>, UnsupportedKey> {
    let mut hashes = vec![0; rows];
    for (i, column) in columns.iter().enumerate() {
        if i == 0 {
            fold(column, &mut hashes, |_, value| value)?;
        } else {
            fold(column, &mut hashes, combine)?;
        }
    }
    Ok(hashes)
}

/// The hash of each value of a column.
fn hash_values(column: &ArrayRef) -> Result<Vec<u64>, UnsupportedKey> {
    let mut hashes = vec![0; column.len()];
    fold(column, &mut hashes, |_, value| value)?;
    Ok(hashes)
}

macro_rules! whole_numbers {
    ($column:ident, $hashes:ident, $step:ident, $type:ty) => {{
        let values = $column.as_primitive::<$type>().values();
        each($hashes, $column.nulls(), $step, |i| hash_number(values[i] as i64))
    }};
}

/// Folds a column into the hashes of its rows.
fn fold(column: &ArrayRef, hashes: &mut [u64], step: impl Fn(u64, u64) -> u64) -> Result<(), UnsupportedKey> {
    let nulls = column.nulls();
    match column.data_type() {
        DataType::Null => each(hashes, None, step, |_| NULL_HASH),
        DataType::Boolean => {
            let values = column.as_boolean().values();
            each(hashes, nulls, step, |i| hash_number(i64::from(values.value(i))));
        }
        DataType::Int8 => whole_numbers!(column, hashes, step, Int8Type),
        DataType::Int16 => whole_numbers!(column, hashes, step, Int16Type),
        DataType::Int32 => whole_numbers!(column, hashes, step, Int32Type),
        DataType::Int64 => whole_numbers!(column, hashes, step, Int64Type),
        DataType::UInt8 => whole_numbers!(column, hashes, step, UInt8Type),
        DataType::UInt16 => whole_numbers!(column, hashes, step, UInt16Type),
        DataType::UInt32 => whole_numbers!(column, hashes, step, UInt32Type),
        DataType::UInt64 => whole_numbers!(column, hashes, step, UInt64Type),
        DataType::Date32 => whole_numbers!(column, hashes, step, Date32Type),
        DataType::Date64 => whole_numbers!(column, hashes, step, Date64Type),
        DataType::Time32(TimeUnit::Second) => whole_numbers!(column, hashes, step, Time32SecondType),
        DataType::Time32(_) => whole_numbers!(column, hashes, step, Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => whole_numbers!(column, hashes, step, Time64MicrosecondType),
        DataType::Time64(_) => whole_numbers!(column, hashes, step, Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => whole_numbers!(column, hashes, step, TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => whole_numbers!(column, hashes, step, TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => whole_numbers!(column, hashes, step, TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => whole_numbers!(column, hashes, step, TimestampNanosecondType),
        DataType::Duration(TimeUnit::Second) => whole_numbers!(column, hashes, step, DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => whole_numbers!(column, hashes, step, DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => whole_numbers!(column, hashes, step, DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => whole_numbers!(column, hashes, step, DurationNanosecondType),
        DataType::Interval(IntervalUnit::YearMonth) => whole_numbers!(column, hashes, step, IntervalYearMonthType),
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>().values();
            each(hashes, nulls, step, |i| hash_float(f64::from(values[i])));
        }
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>().values();
            each(hashes, nulls, step, |i| hash_float(values[i]));
        }
        DataType::Decimal128(..) => {
            let values = column.as_primitive::<Decimal128Type>().values();
            each(hashes, nulls, step, |i| hash_decimal(values[i]));
        }
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            each(hashes, nulls, step, |i| hash_bytes(values.value(i).as_bytes()));
        }
        DataType::Utf8View => {
            let values = column.as_string_view();
            each(hashes, nulls, step, |i| hash_bytes(values.value(i).as_bytes()));
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            each(hashes, nulls, step, |i| hash_bytes(values.value(i)));
        }
        DataType::BinaryView => {
            let values = column.as_binary_view();
            each(hashes, nulls, step, |i| hash_bytes(values.value(i)));
        }
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            each(hashes, nulls, step, |i| hash_bytes(values.value(i)));
        }
        DataType::Struct(_) => {
            let mut rows = vec![GOLDEN; column.len()];
            for field in column.as_struct().columns() {
                fold(field, &mut rows, combine)?;
            }
            each(hashes, nulls, step, |i| rows[i]);
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let rows = hash_lists(list.values(), list.value_offsets())?;
            each(hashes, nulls, step, |i| rows[i]);
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>();
            let rows = hash_lists(list.values(), list.value_offsets())?;
            each(hashes, nulls, step, |i| rows[i]);
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let entries = hash_entries(map.keys(), map.values())?;
            let rows = per_range(map.value_offsets(), |length, range| {
                combine(length, entries[range].iter().fold(0, |sum: u64, entry| sum.wrapping_add(*entry)))
            });
            each(hashes, nulls, step, |i| rows[i]);
        }
        other => return Err(UnsupportedKey(other.clone())),
    }
    Ok(())
}

/// Takes each row's hash one step further: by the value's, or by that of null.
#[inline]
fn each(hashes: &mut [u64], nulls: Option<&NullBuffer>, step: impl Fn(u64, u64) -> u64, value: impl Fn(usize) -> u64) {
    match nulls.filter(|nulls| nulls.null_count() > 0) {
        None => {
            for (i, hash) in hashes.iter_mut().enumerate() {
                *hash = step(*hash, value(i));
            }
        }
        Some(nulls) => {
            for (i, hash) in hashes.iter_mut().enumerate() {
                *hash = step(*hash, if nulls.is_valid(i) { value(i) } else { NULL_HASH });
            }
        }
    }
}

fn hash_float(value: f64) -> u64 {
    let bits = match value {
        _ if value.is_nan() => 0x7ff8_0000_0000_0000,
        0.0 => 0,
        _ => value.to_bits(),
    };
    hash_number(bits as i64)
}

fn hash_decimal(value: i128) -> u64 {
    match i64::try_from(value) {
        Ok(value) => hash_number(value),
        Err(_) => combine(hash_number(value as i64), hash_number((value >> 64) as i64)),
    }
}

fn hash_lists<O: OffsetSizeTrait>(values: &ArrayRef, offsets: &[O]) -> Result<Vec<u64>, UnsupportedKey> {
    let elements = hash_values(values)?;
    Ok(per_range(offsets, |length, range| elements[range].iter().fold(length, |hash, element| combine(hash, *element))))
}

fn hash_entries(keys: &ArrayRef, values: &ArrayRef) -> Result<Vec<u64>, UnsupportedKey> {
    let mut entries = hash_values(keys)?;
    fold(values, &mut entries, combine)?;
    Ok(entries)
}

/// A hash for each range between offsets, from the hash of its length and the range.
fn per_range<O: OffsetSizeTrait>(offsets: &[O], hash: impl Fn(u64, std::ops::Range<usize>) -> u64) -> Vec<u64> {
    let ranges = offsets.windows(2).map(|pair| pair[0].as_usize()..pair[1].as_usize());
    ranges.map(|range| hash(hash_number(range.len() as i64), range)).collect()
}
