//! The order in which Java's `HashMap` gives its entries. It shows wherever Flink makes a MAP of one: of a JSON object, and of a text
//! by STR_TO_MAP.
//!
//! Entries stand by the bucket of their key, and within one in the order in which the keys came. A table has 16 buckets unless it is
//! told how many entries to expect, and twice as many each time that it is three quarters full. The trees that Java makes of buckets
//! with eight keys are not followed: their entries may stand in another order there.
use std::collections::HashMap;

use arrow::array::{Array, StringViewArray};
use arrow::buffer::OffsetBuffer;

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

/// Puts the entries of each map into a map of Flink's texts. None if they are as they were.
pub fn put(keys: &StringViewArray, maps: &OffsetBuffer<i32>) -> Option<Maps> {
    let ranges = || maps.windows(2).map(|pair| pair[0] as u32..pair[1] as u32);
    if ranges().all(|range| range.len() < 2) {
        return None;
    }
    let mut put = Maps {
        keys: Vec::with_capacity(keys.len()),
        values: Vec::with_capacity(keys.len()),
        lengths: Vec::with_capacity(maps.len()),
    };
    let mut entries: Vec<(u32, u32)> = Vec::new();
    let mut places: HashMap<Option<&str>, usize> = HashMap::new();
    for range in ranges() {
        entries.clear();
        places.clear();
        for at in range {
            let place = *places.entry(key_at(keys, at)).or_insert(entries.len());
            match entries.get_mut(place) {
                Some((_, value)) => *value = at,
                None => entries.push((at, at)),
            }
        }
        let table = grown(FIRST_TABLE, entries.len());
        entries.sort_by_cached_key(|(key, _)| key_at(keys, *key).map_or(0, |key| bucket(hash_of_flink(key), table)));
        put.keys.extend(entries.iter().map(|(key, _)| key));
        put.values.extend(entries.iter().map(|(_, value)| value));
        put.lengths.push(entries.len());
    }
    Some(put)
}

fn key_at(keys: &StringViewArray, at: u32) -> Option<&str> {
    let at = at as usize;
    keys.is_valid(at).then(|| keys.value(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys_in_order(keys: &[&str]) -> Vec<String> {
        let texts = StringViewArray::from_iter_values(keys);
        let put = put(&texts, &OffsetBuffer::from_lengths([keys.len()])).unwrap();
        put.keys.iter().map(|at| keys[*at as usize].to_owned()).collect()
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

    /// Failed before: the map had both entries.
    #[test]
    fn a_key_that_comes_twice_has_its_place_and_the_last_value() {
        let keys = StringViewArray::from_iter([Some("k"), Some("z"), Some("k"), Some("x"), None, None]);
        let put = put(&keys, &OffsetBuffer::from_lengths([3, 0, 1, 2])).unwrap();
        let expected = Maps { keys: vec![1, 0, 3, 4], values: vec![1, 2, 3, 5], lengths: vec![2, 0, 1, 1] };
        assert_eq!(put, expected);
    }

    #[test]
    fn maps_of_one_entry_are_as_they_are() {
        let keys = StringViewArray::from_iter_values(["b", "a"]);
        assert_eq!(put(&keys, &OffsetBuffer::from_lengths([1, 0, 1])), None);
    }
}
