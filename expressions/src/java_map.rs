//! The order in which Java's `HashMap` gives its entries. It shows wherever Flink makes a MAP of one: of a JSON object, of a text by
//! STR_TO_MAP, and of another MAP by a CAST that changes its keys or values.
//!
//! Entries stand by the bucket of their key, and within one in the order in which the keys came. A table has 16 buckets unless it is
//! told how many entries to expect, and twice as many each time that it is three quarters full. The trees that Java makes of buckets
//! with eight keys are not followed: their entries may stand in another order there.
use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray, make_comparator};
use arrow::buffer::OffsetBuffer;
use arrow::compute::SortOptions;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType,
};

use crate::error::Result;
use crate::expression::datetime::{Instant, timestamps};

/// The buckets of a table that is told nothing.
const FIRST_TABLE: usize = 16;
/// The most buckets that there are.
const LAST_TABLE: usize = 1 << 30;

/// The hash code of a text within Flink: Murmur's of its bytes in UTF-8, in words of four and then one by one.
fn hash_of_flink(text: &str) -> u32 {
    const SEED: u32 = 42;
    let words = text.as_bytes().chunks_exact(4);
    let rest = words.remainder();
    let words = words.map(|word| word.iter().rev().fold(0, |word, byte| (word << 8) | u32::from(*byte)));
    // Java's bytes have a sign.
    let bytes = rest.iter().map(|byte| i32::from(byte.cast_signed()).cast_unsigned());
    let hash = words.chain(bytes).fold(SEED, |hash, word| {
        let word = word.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
        (hash ^ word).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64)
    });
    let hash = hash ^ text.len() as u32;
    let hash = (hash ^ (hash >> 16)).wrapping_mul(0x85EB_CA6B);
    let hash = (hash ^ (hash >> 13)).wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

/// The hash code of a Java string.
fn hash_of_java(text: &str) -> u32 {
    text.encode_utf16().fold(0, |hash: u32, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

fn bucket(hash: u32, table: usize) -> usize {
    (hash ^ (hash >> 16)) as usize & (table - 1)
}

/// The buckets of a table once it has so many entries.
fn grown(first: usize, entries: usize) -> usize {
    let mut table = first;
    while entries > table * 3 / 4 && table < LAST_TABLE {
        table *= 2;
    }
    table
}

/// Puts the entries of a map of Java's strings in its order, of which `expected` were expected. Their keys differ.
pub(crate) fn sort_strings<V>(entries: &mut [(&str, V)], expected: usize) {
    let capacity = if expected <= 2 { expected + 1 } else { (expected * 4).div_ceil(3) };
    let table = grown(capacity.min(LAST_TABLE).next_power_of_two(), entries.len());
    entries.sort_by_cached_key(|(key, _)| bucket(hash_of_java(key), table));
}

fn hash_of_long(value: i64) -> u32 {
    (value ^ (value.cast_unsigned() >> 32).cast_signed()) as u32
}

/// The hash code of a BigDecimal: of its digits in words of 32 bits, and its scale.
fn hash_of_decimal(unscaled: i128, scale: i8) -> u32 {
    let digits = unscaled.unsigned_abs();
    let words = (0..4).rev().map(|word| (digits >> (32 * word)) as u32);
    let hash = words.fold(0, |hash: u32, word| hash.wrapping_mul(31).wrapping_add(word));
    let hash = if unscaled < 0 { hash.wrapping_neg() } else { hash };
    hash.wrapping_mul(31).wrapping_add(i32::from(scale).cast_unsigned())
}

fn hash_of_time(at: Instant) -> u32 {
    hash_of_long(at.millis).wrapping_mul(31).wrapping_add(at.nanos as u32)
}

fn hashes_of<T: ArrowPrimitiveType>(keys: &ArrayRef, hash: impl Fn(T::Native) -> u32) -> Vec<u32> {
    let keys: &PrimitiveArray<T> = keys.as_primitive();
    keys.values().iter().map(|key| hash(*key)).collect()
}

/// The hash codes of keys, as Flink's values have them; what is at a null does not count. None of those that have no order: bytes
/// are told apart by where they are in memory.
fn hashes(keys: &ArrayRef) -> Result<Option<Vec<u32>>> {
    Ok(Some(match keys.data_type() {
        DataType::Utf8View => {
            let keys = keys.as_string_view();
            (0..keys.len()).map(|at| hash_of_flink(keys.value(at))).collect()
        }
        DataType::Boolean => keys.as_boolean().values().iter().map(|key| if key { 1231 } else { 1237 }).collect(),
        DataType::Int8 => hashes_of::<Int8Type>(keys, |key| i32::from(key).cast_unsigned()),
        DataType::Int16 => hashes_of::<Int16Type>(keys, |key| i32::from(key).cast_unsigned()),
        DataType::Int32 => hashes_of::<Int32Type>(keys, i32::cast_unsigned),
        DataType::Int64 => hashes_of::<Int64Type>(keys, hash_of_long),
        DataType::Date32 => hashes_of::<Date32Type>(keys, i32::cast_unsigned),
        DataType::Time32(_) => hashes_of::<Time32MillisecondType>(keys, i32::cast_unsigned),
        DataType::Float32 => hashes_of::<Float32Type>(keys, |key| {
            let key = if key.is_nan() { f32::NAN } else { key };
            key.to_bits()
        }),
        DataType::Float64 => hashes_of::<Float64Type>(keys, |key| {
            let key = if key.is_nan() { f64::NAN } else { key };
            hash_of_long(key.to_bits().cast_signed())
        }),
        DataType::Decimal128(_, scale) => hashes_of::<Decimal128Type>(keys, |key| hash_of_decimal(key, *scale)),
        DataType::Timestamp(..) => {
            let (counts, unit) = timestamps(keys)?;
            counts.iter().map(|count| hash_of_time(Instant::of(*count, unit))).collect()
        }
        _ => return Ok(None),
    }))
}

/// What is left of entries that are put into maps one after the other.
#[derive(Debug, PartialEq, Eq)]
pub struct Maps {
    /// Where the keys are, map by map: the first of those that are equal.
    pub keys: Vec<u32>,
    /// Where their values are: the last of those of equal keys.
    pub values: Vec<u32>,
    /// How many entries each map has.
    pub lengths: Vec<usize>,
}

/// Puts the entries of each map into a map of Flink's values. None if they stay as they are.
///
/// # Errors
/// Keys that cannot be read as what they are.
pub fn put(keys: &ArrayRef, maps: &OffsetBuffer<i32>) -> Result<Option<Maps>> {
    let ranges = || maps.windows(2).map(|pair| pair[0] as u32..pair[1] as u32);
    if ranges().all(|range| range.len() < 2) {
        return Ok(None);
    }
    let Some(hashes) = hashes(keys)? else { return Ok(None) };
    let compare = make_comparator(keys, keys, SortOptions::default())?;
    let hash_at = |at: u32| if keys.is_null(at as usize) { 0 } else { hashes[at as usize] };
    let mut put = Maps {
        keys: Vec::with_capacity(keys.len()),
        values: Vec::with_capacity(keys.len()),
        lengths: Vec::with_capacity(maps.len()),
    };
    for range in ranges() {
        // Equal keys stand beside each other, in the order in which they came.
        let mut places: Vec<u32> = range.collect();
        places.sort_by(|one, other| {
            hash_at(*one).cmp(&hash_at(*other)).then_with(|| compare(*one as usize, *other as usize))
        });
        let equal = places.chunk_by(|one, other| compare(*one as usize, *other as usize).is_eq());
        let mut entries: Vec<(u32, u32)> = equal.map(|equal| (equal[0], equal[equal.len() - 1])).collect();
        entries.sort_unstable();
        let table = grown(FIRST_TABLE, entries.len());
        entries.sort_by_key(|(key, _)| bucket(hash_at(*key), table));
        put.keys.extend(entries.iter().map(|(key, _)| key));
        put.values.extend(entries.iter().map(|(_, value)| value));
        put.lengths.push(entries.len());
    }
    Ok(Some(put))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int32Array,
        Int64Array, StringViewArray, Time32MillisecondArray, TimestampMillisecondArray, TimestampNanosecondArray,
    };

    use super::*;

    fn order(keys: ArrayRef) -> Vec<u32> {
        let maps = OffsetBuffer::from_lengths([keys.len()]);
        put(&keys, &maps).unwrap().unwrap().keys
    }

    fn keys_in_order(keys: &[&str]) -> Vec<String> {
        let order = order(Arc::new(StringViewArray::from_iter_values(keys)));
        order.iter().map(|at| keys[*at as usize].to_owned()).collect()
    }

    /// What Flink shows of JSON objects with these keys.
    #[test]
    fn texts_stand_in_the_order_of_flink() {
        assert_eq!(keys_in_order(&["k1", "z", "a", "q"]), ["k1", "z", "a", "q"]);
        assert_eq!(keys_in_order(&["k", "z"]), ["z", "k"]);
        assert_eq!(keys_in_order(&["q", "z", "k1"]), ["k1", "z", "q"]);
        assert_eq!(keys_in_order(&["31", "2", "17"]), ["31", "17", "2"]);
        let many = ["", "é", "ß", "日本", "a😀b", "abcd", "abcde", "key01", "key02", "key03", "x", "y", "zz", "w"];
        let expected = ["key03", "", "key01", "abcde", "y", "zz", "abcd", "a😀b", "x", "key02", "w", "é", "日本", "ß"];
        assert_eq!(keys_in_order(&many), expected);
    }

    /// What Flink shows of STR_TO_MAP.
    #[test]
    fn strings_stand_in_the_order_of_java() {
        let sorted = |keys: &[&'static str], expected| {
            let mut entries: Vec<(&str, ())> = keys.iter().map(|key| (*key, ())).collect();
            sort_strings(&mut entries, expected);
            entries.into_iter().map(|(key, ())| key).collect::<Vec<_>>()
        };
        assert_eq!(sorted(&["k1", "z", "a", "q"], 4), ["a", "q", "z", "k1"]);
        assert_eq!(sorted(&["10", "9", "8", "7", "6", "5"], 6), ["8", "9", "5", "6", "10", "7"]);
        assert_eq!(sorted(&["b", "a"], 2), ["a", "b"]);
        assert_eq!(sorted(&["b"], usize::MAX / 4), ["b"]);
    }

    /// What Flink shows of a CAST to a MAP with such keys.
    #[test]
    fn other_keys_stand_in_the_order_of_flink() {
        let (ints, floats) = ([31, 2, 17], [31.0, 2.0, 17.0]);
        assert_eq!(order(Arc::new(Int8Array::from(vec![31, 2, 17]))), [2, 1, 0]);
        assert_eq!(order(Arc::new(Int32Array::from(ints.to_vec()))), [2, 1, 0]);
        assert_eq!(order(Arc::new(Int64Array::from(vec![31, 2, 17]))), [2, 1, 0]);
        assert_eq!(order(Arc::new(Int64Array::from(vec![-31, 2_000_000, -17]))), [2, 0, 1]);
        assert_eq!(order(Arc::new(Float64Array::from(floats.to_vec()))), [1, 2, 0]);
        assert_eq!(order(Arc::new(Float32Array::from(floats.map(|float| float as f32).to_vec()))), [1, 0, 2]);
        let decimals = Decimal128Array::from(vec![3100, 200, 1700]).with_precision_and_scale(10, 2).unwrap();
        assert_eq!(order(Arc::new(decimals)), [0, 1, 2]);
        assert_eq!(order(Arc::new(BooleanArray::from(vec![true, false]))), [1, 0]);
        assert_eq!(order(Arc::new(Date32Array::from(vec![18262, 10592, 18752]))), [1, 2, 0]);
        let times = Time32MillisecondArray::from(vec![36_000_000, 32_400_000, 82_801_000]);
        assert_eq!(order(Arc::new(times)), [0, 2, 1]);
        let days = [18262_i64, 10592, 18752].map(|day| day * 86_400_000);
        assert_eq!(order(Arc::new(TimestampMillisecondArray::from(days.to_vec()))), [0, 1, 2]);
        let nanos = vec![1_577_836_800_123_456_789, 915_148_800_000_000_001, -1];
        assert_eq!(order(Arc::new(TimestampNanosecondArray::from(nanos))), [2, 0, 1]);
        let wide = [-150_000_i128, 1_234_567_890_123_456_789_050_000, -1_234_567_890_123_456_789_050_000];
        let wide = Decimal128Array::from(wide.to_vec()).with_precision_and_scale(30, 5).unwrap();
        assert_eq!(order(Arc::new(wide)), [2, 0, 1]);
        let bytes: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([b"b", b"a"]));
        assert_eq!(put(&bytes, &OffsetBuffer::from_lengths([2])).unwrap(), None);
    }

    /// Failed before: the map had both entries.
    #[test]
    fn a_key_that_comes_twice_has_its_place_and_the_last_value() {
        let keys = StringViewArray::from_iter([Some("k"), Some("z"), Some("k"), Some("x"), None, None]);
        let keys: ArrayRef = Arc::new(keys);
        let put = put(&keys, &OffsetBuffer::from_lengths([3, 0, 1, 2])).unwrap().unwrap();
        let expected = Maps { keys: vec![1, 0, 3, 4], values: vec![1, 2, 3, 5], lengths: vec![2, 0, 1, 1] };
        assert_eq!(put, expected);
    }

    #[test]
    fn maps_of_one_entry_are_as_they_are() {
        let keys: ArrayRef = Arc::new(StringViewArray::from_iter_values(["b", "a"]));
        assert_eq!(put(&keys, &OffsetBuffer::from_lengths([1, 0, 1])).unwrap(), None);
    }
}
