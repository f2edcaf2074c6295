//! Key groups: which subtask has a key.
//!
//! A key's 64-bit hash is specified to the bit below, because savepoints are cut by it: it changes with
//! [`HASH_VERSION`] only. The key group is the hash modulo the maximum parallelism, and each subtask has a range of key
//! groups.
//!
//! The hash of a row is that of its first key column; each further column's is combined with what is there by
//! `mix(rotate_left(hash, 32) ^ value)`. A row without key columns has hash 0. The hash of a value:
//!
//! | value | hash |
//! | --- | --- |
//! | null | [`NULL_HASH`] |
//! | whole numbers, booleans, dates, times, timestamps, intervals | `mix(v + GOLDEN)`, v being the two's-complement value in 64 bits |
//! | floating point | as the whole number that is the bits of the 64-bit value, −0 as 0 and every NaN as `7ff8000000000000` |
//! | decimals | the unscaled value as a whole number if it has 64 bits, else its lower half combined with its upper half |
//! | strings, bytes | XXH3-64, seed 0 |
//! | rows | `GOLDEN` combined with each field |
//! | arrays | the length as a whole number, combined with each element |
//! | maps, multisets | the length as a whole number, combined with the sum over entries of the key combined with the value |
//!
//! `mix` is the finaliser of SplitMix64 and `GOLDEN` its increment (Steele, Lea and Flood, 2014).
use arrow::array::ArrayRef;

mod hash;

pub use hash::{UnsupportedKey, hash_columns};

/// The version of the hash, for savepoints.
pub const HASH_VERSION: u8 = 1;

/// The hash of null.
pub const NULL_HASH: u64 = 0x6e75_6c6c_6e75_6c6c;

/// Flink's upper bound for the maximum parallelism.
pub const UPPER_BOUND_MAX_PARALLELISM: u32 = 1 << 15;

const LOWER_BOUND_MAX_PARALLELISM: u32 = 1 << 7;
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline]
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[inline]
fn combine(hash: u64, value: u64) -> u64 {
    mix(hash.rotate_left(32) ^ value)
}

/// The hash of a whole number.
#[inline]
pub fn hash_number(value: i64) -> u64 {
    mix((value as u64).wrapping_add(GOLDEN))
}

/// The hash of bytes, or of a string's UTF-8.
#[inline]
pub fn hash_bytes(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}

/// The key group of a hash.
#[inline]
pub fn key_group(hash: u64, max_parallelism: u32) -> u32 {
    (hash % u64::from(max_parallelism.max(1))) as u32
}

/// The subtask that has a key group.
#[inline]
pub fn subtask(key_group: u32, parallelism: u32, max_parallelism: u32) -> u32 {
    (u64::from(key_group) * u64::from(parallelism) / u64::from(max_parallelism.max(1))) as u32
}

/// The key groups of a subtask.
pub fn key_groups(subtask: u32, parallelism: u32, max_parallelism: u32) -> std::ops::Range<u32> {
    let (parallelism, max_parallelism) = (u64::from(parallelism.max(1)), u64::from(max_parallelism));
    let start = |subtask: u64| (subtask * max_parallelism).div_ceil(parallelism) as u32;
    start(u64::from(subtask))..start(u64::from(subtask) + 1)
}

/// The maximum parallelism where none is set: one and a half times the parallelism, rounded up to a power of two, from
/// 128 to 32,768.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let wanted = u64::from(parallelism) + u64::from(parallelism / 2);
    let bounds = u64::from(LOWER_BOUND_MAX_PARALLELISM)..=u64::from(UPPER_BOUND_MAX_PARALLELISM);
    wanted.next_power_of_two().clamp(*bounds.start(), *bounds.end()) as u32
}

/// The subtask of each row.
pub fn subtasks(
    columns: &[ArrayRef],
    rows: usize,
    parallelism: u32,
    max_parallelism: u32,
) -> Result<Vec<u32>, UnsupportedKey> {
    let hashes = hash_columns(columns, rows)?;
    Ok(hashes.iter().map(|hash| subtask(key_group(*hash, max_parallelism), parallelism, max_parallelism)).collect())
}

#[cfg(test)]
mod tests;
