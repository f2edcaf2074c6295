//! When values of groups were written, where state has a time to live: as in Flink, where each value is an entry of its own, one
//! expires by itself, though its group is touched.
use std::hash::BuildHasherDefault;

use hashbrown::HashMap;

use super::distinct::Counts;
use super::number_hasher::NumberHasher;
use super::spill::INLINE;

type Times = HashMap<u32, i64, BuildHasherDefault<NumberHasher>>;

/// The values of a group.
#[derive(Default)]
struct Aged {
    /// When each, by its number, was written.
    written: Times,
    /// With more values than this those that have expired are dropped.
    most: usize,
}

/// Those that are kept with their groups. What is a row has a time there.
pub(super) struct Ages {
    /// Milliseconds.
    ttl: i64,
    /// The time of the batch.
    pub(super) now: i64,
    groups: Vec<Aged>,
}

impl Ages {
    pub(super) fn new(ttl: i64) -> Self {
        Self { ttl, now: 0, groups: Vec::new() }
    }

    pub(super) fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Aged::default);
    }

    /// Bytes of a group without values, and of a value.
    pub(super) const WIDTH: usize = size_of::<Aged>();
    pub(super) const VALUE: usize = size_of::<(u32, i64)>();

    /// When a value of a group was written.
    pub(super) fn written(&self, group: u32, value: u32) -> i64 {
        self.groups[group as usize].written.get(&value).copied().unwrap_or(self.now)
    }

    /// Whether what was written at this time does not count any more.
    pub(super) fn is_over(&self, written: i64) -> bool {
        written.saturating_add(self.ttl) <= self.now
    }

    /// Whether a value of a group does not count any more.
    pub(super) fn has_expired(&self, group: u32, value: u32) -> bool {
        self.is_over(self.written(group, value))
    }

    /// Notes that a value of a group was written at this time.
    pub(super) fn note(&mut self, group: u32, value: u32, written: i64) {
        self.groups[group as usize].written.insert(value, written);
    }

    /// Forgets a value of a group.
    pub(super) fn forget(&mut self, group: u32, value: u32) {
        self.groups[group as usize].written.remove(&value);
    }

    /// Forgets all values of a group.
    pub(super) fn clear(&mut self, group: u32) {
        self.groups[group as usize] = Aged::default();
    }

    /// Takes those that have expired out of a group's values, if they have become many since this was done last. Returns them.
    pub(super) fn drop_expired(&mut self, group: u32, counts: &mut Counts) -> Vec<u32> {
        if counts.len() <= self.groups[group as usize].most.max(INLINE) {
            return Vec::new();
        }
        let expired: Vec<u32> = counts.keys().copied().filter(|value| self.has_expired(group, *value)).collect();
        for value in &expired {
            counts.remove(value);
            self.forget(group, *value);
        }
        self.groups[group as usize].most = 2 * counts.len();
        expired
    }
}
