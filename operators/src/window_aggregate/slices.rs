//! The slices that are being filled: of each its keys, and of each key its accumulators.
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, Range};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{ArrowTimestampType, DataType, TimestampMillisecondType};
use wiesel_common::ending;
use wiesel_expressions::types::LogicalType;

use super::assigner::{LocalTimes, WindowAssigner, WindowZone};
use crate::aggregate::Aggregates;
use crate::aggregate::keys::{KeyIndex, KeyStore};
use crate::aggregate::spill::KeyedBatch;
use crate::operator::{Error, Result};
use crate::state::write_back::{Backend, WriteBack};
use crate::watermark_assigner::null_rowtime;

/// Groups, and bytes of them, that are merged into others together.
const MERGED: usize = 8192;
const MERGED_BYTES: usize = 4 << 20;

/// Slices by their ends. All slices share one column of accumulators. What is at hand of them is before their table
/// ([`WriteBack`], [`super::state`]).
pub(super) struct Slices {
    pub(super) key_types: Vec<LogicalType>,
    pub(super) store: KeyStore,
    pub(super) aggregates: Aggregates,
    pub(super) slices: BTreeMap<i64, Slice>,
    /// Emptied tables, to be filled again.
    spare: Vec<KeyIndex>,
    pub(super) room: usize,
    groups: Vec<u32>,
    /// By group the end of its slice, if functions may have rows of groups: these are in the slice's namespace.
    pub(super) ends: Vec<i64>,
    /// Functions may have rows of groups.
    pub(super) has_rows: bool,
    /// The key groups of the subtask.
    pub(super) key_groups: Range<u32>,
}

/// What is at hand of a slice.
#[derive(Default)]
pub(super) struct Slice {
    pub(super) index: KeyIndex,
    /// The table may have keys of it that are not here.
    pub(super) spilled: bool,
    /// The key groups of which the table may have keys of it, in order: all others have none.
    pub(super) key_groups: Vec<u16>,
    /// Functions may have rows of groups of it, in these key groups.
    pub(super) has_rows: bool,
}

impl Slice {
    /// Notes that the table may have keys of it in a key group.
    pub(super) fn note(&mut self, key_group: u16) {
        if let Err(at) = self.key_groups.binary_search(&key_group) {
            self.key_groups.insert(at, key_group);
        }
    }
}

impl Slices {
    pub(super) fn new(key_types: Vec<LogicalType>, aggregates: Aggregates, key_groups: Range<u32>) -> Result<Self> {
        let store = Self::new_store(&key_types)?;
        let (slices, spare, groups, ends) = Default::default();
        Ok(Self { key_types, store, aggregates, slices, spare, room: 0, groups, ends, has_rows: false, key_groups })
    }

    pub(super) fn new_store(key_types: &[LogicalType]) -> Result<KeyStore> {
        KeyStore::new(key_types.iter().map(|key| key.kind.to_arrow()).collect())
    }

    /// How many keys there are in all slices.
    pub(super) fn len(&self) -> usize {
        self.store.len()
    }

    /// The ends of all slices, in order.
    pub(super) fn ends(&self) -> impl Iterator<Item = i64> + '_ {
        self.slices.keys().copied()
    }

    /// Finds the group of each row. `opened` is called with the end of each slice that is new. Returns, of the groups that are
    /// new and may be in the table, their positions among the new ones, and their slices.
    fn assign(
        &mut self,
        keys: &[ArrayRef],
        ends: &[i64],
        mut opened: impl FnMut(i64),
    ) -> Result<Vec<(Range<usize>, i64)>> {
        self.store.load(keys)?;
        self.groups.clear();
        let mut missing: Vec<(Range<usize>, i64)> = Vec::new();
        let mut start = 0;
        for run in ends.chunk_by(|a, b| a == b) {
            let slice = match self.slices.entry(run[0]) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => {
                    opened(run[0]);
                    entry.insert(Slice { index: self.spare.pop().unwrap_or_default(), ..Slice::default() })
                }
            };
            let known = self.store.fresh().len();
            self.store.assign(&mut slice.index, start..start + run.len(), &mut self.groups);
            if self.has_rows {
                let fresh = self.store.fresh()[known..].iter().map(|group| (*group, run[0]));
                note_ends(&mut self.ends, fresh);
            }
            if slice.spilled {
                missing.push((known..self.store.fresh().len(), run[0]));
            }
            start += run.len();
        }
        self.make_room();
        Ok(missing)
    }

    pub(super) fn make_room(&mut self) {
        if self.room < self.store.capacity() {
            self.room = self.store.capacity().next_power_of_two();
            self.aggregates.resize(self.room);
        }
    }

    /// Notes that groups are of slices with these ends.
    pub(super) fn note_ends(&mut self, groups: &[u32], ends: &[i64]) {
        if self.has_rows {
            note_ends(&mut self.ends, groups.iter().copied().zip(ends.iter().copied()));
        }
    }

    /// The slices after `start`, up to `end`.
    fn within(&self, start: i64, end: i64) -> impl Iterator<Item = (i64, &Slice)> {
        let bounds = (Bound::Excluded(start.min(end)), Bound::Included(end));
        self.slices.range(bounds).map(|(end, slice)| (*end, slice))
    }

    /// Replaces `ends` by the ends of the slices after `start`, up to `end`.
    pub(super) fn ends_within(&self, start: i64, end: i64, ends: &mut Vec<i64>) {
        ends.clear();
        ends.extend(self.within(start, end).map(|(end, _)| end));
    }

    /// Appends the groups of the slices after `start`, up to `end`, slice after slice.
    pub(super) fn groups_within(&self, start: i64, end: i64, groups: &mut Vec<u32>) {
        self.within(start, end).for_each(|(_, slice)| groups.extend(slice.index.groups()));
    }

    /// Whether the table may have parts of the slices after `start`, up to `end`, that are not at hand.
    pub(super) fn any_spilled(&self, start: i64, end: i64) -> bool {
        self.within(start, end).any(|(_, slice)| slice.spilled)
    }

    /// The ends of the slices after `start`, up to `end`, of which the table may have parts that are not at hand.
    pub(super) fn spilled_within(&self, start: i64, end: i64) -> Vec<i64> {
        self.within(start, end).filter(|(_, slice)| slice.spilled).map(|(end, _)| end).collect()
    }

    /// The key groups of which the table may have keys of the slices after `start`, up to `end`.
    pub(super) fn key_groups_within(&self, start: i64, end: i64) -> Vec<u32> {
        let mut present = vec![false; self.key_groups.len()];
        for key_group in self.within(start, end).flat_map(|(_, slice)| &slice.key_groups) {
            if let Some(at) = self.position(*key_group) {
                present[at] = true;
            }
        }
        self.key_groups.clone().zip(present).filter(|(_, present)| *present).map(|(key_group, _)| key_group).collect()
    }

    /// Of each key group of the subtask, the ends of the slices of which the table may have keys in it.
    pub(super) fn ends_by_key_group(&self) -> Vec<Vec<i64>> {
        let mut ends = vec![Vec::new(); self.key_groups.len()];
        for (end, slice) in &self.slices {
            for at in slice.key_groups.iter().filter_map(|key_group| self.position(*key_group)) {
                ends[at].push(*end);
            }
        }
        ends
    }

    /// Where among the subtask's key groups one is.
    fn position(&self, key_group: u16) -> Option<usize> {
        let key_group = u32::from(key_group);
        self.key_groups.contains(&key_group).then(|| (key_group - self.key_groups.start) as usize)
    }

    /// The groups of a slice.
    pub(super) fn groups(&self, end: i64) -> Vec<u32> {
        self.slices.get(&end).map(|slice| slice.index.groups().collect()).unwrap_or_default()
    }

    /// Keeps the emptied table of a slice that is dropped, to be filled again.
    fn keep_spare(&mut self, mut index: KeyIndex) {
        index.clear();
        if self.spare.len() < 4 {
            self.spare.push(index);
        }
    }
}

/// Notes of groups in which slice each is.
fn note_ends(ends: &mut Vec<i64>, groups: impl Iterator<Item = (u32, i64)>) {
    for (group, end) in groups {
        let at = group as usize;
        if at >= ends.len() {
            ends.resize(at + 1, 0);
        }
        ends[at] = end;
    }
}

impl WriteBack<Slices> {
    /// Finds the group of each row and hands them to `add`. `opened` is called with the end of each slice that is new.
    pub(super) fn add(
        &mut self,
        backend: &Backend,
        keys: &[ArrayRef],
        ends: &[i64],
        opened: impl FnMut(i64),
        add: impl FnOnce(&mut Aggregates, &[u32], &KeyedBatch<'_>) -> Result<()>,
    ) -> Result<()> {
        let missing = self.entries.assign(keys, ends, opened)?;
        self.fetch_missing(backend, &missing)?;
        if let Some(cache) = &mut self.cache {
            cache.touch(&self.entries.groups);
        }
        let Slices { aggregates, groups, store, ends, .. } = &mut self.entries;
        add(aggregates, groups, &KeyedBatch { backend, keys: store, namespaces: ends })
    }

    /// Makes rows of what functions keep of the groups of the last batch where it is much.
    pub(super) fn spill(&mut self) -> Result<()> {
        let (Some(cache), slices) = (&self.cache, &mut self.entries) else { return Ok(()) };
        if !slices.has_rows {
            return Ok(());
        }
        let spilled = slices.aggregates.spill_in(&slices.store, &slices.ends, &slices.groups)?;
        if spilled.is_empty() {
            return Ok(());
        }
        let key_groups = cache.table().key_groups(&slices.store.columns(&spilled)?, spilled.len())?;
        for (group, key_group) in spilled.iter().zip(key_groups) {
            if let Some(slice) = slices.slices.get_mut(&slices.ends[*group as usize]) {
                slice.note(key_group);
                slice.has_rows = true;
            }
        }
        Ok(())
    }

    /// Groups that hold what these groups of several slices hold together; to be given back by [`WriteBack::release`].
    pub(super) fn merged(&mut self, backend: &mut Backend, sources: &[u32]) -> Result<Vec<u32>> {
        let slices = &mut self.entries;
        let mut merged = KeyIndex::default();
        let mut targets = Vec::new();
        let bytes = slices.aggregates.width() + slices.aggregates.heap() / slices.store.len().max(1);
        for sources in sources.chunks((MERGED_BYTES / bytes.max(1)).clamp(1, MERGED)) {
            ending::check()?;
            targets.clear();
            targets.extend(sources.iter().map(|group| slices.store.assign_as(&mut merged, *group)));
            slices.make_room();
            slices.aggregates.merge_groups_in(&targets, sources, &slices.ends)?;
        }
        slices.aggregates.merge_rows(backend, &slices.store)?;
        Ok(merged.groups().collect())
    }

    /// Drops a slice, also out of the table.
    pub(super) fn drop_slice(&mut self, backend: &mut Backend, end: i64) -> Result<()> {
        if let Some(slice) = self.entries.slices.remove(&end) {
            let groups: Vec<u32> = slice.index.groups().collect();
            self.delete(backend, end, &slice, &groups)?;
            if slice.has_rows {
                self.entries.aggregates.drop_rows(backend, end, &slice.key_groups)?;
            }
            self.release(&groups);
            self.entries.keep_spare(slice.index);
        }
        Ok(())
    }
}

/// Finds the slices of rows.
pub(super) struct SliceEnds {
    pub(super) assigner: WindowAssigner,
    pub(super) zone: WindowZone,
    ends: Vec<i64>,
}

impl SliceEnds {
    pub(super) fn new(assigner: WindowAssigner, zone: WindowZone) -> Self {
        Self { assigner, zone, ends: Vec::new() }
    }

    /// The end of the slice of each row, by its event time.
    pub(super) fn of_column(&mut self, records: &RecordBatch, column: usize) -> Result<&[i64]> {
        let times = event_times(records, column)?;
        let (assigner, zone) = (self.assigner, self.zone);
        self.ends.clear();
        self.ends.reserve(times.len());
        let mut local = LocalTimes::new(zone);
        // Most rows are in the slice of the row before.
        let (mut start, mut end) = (0, 0);
        self.ends.extend(times.iter().map(|time| {
            let time = local.of(*time);
            if time < start || time >= end {
                end = assigner.slice_end(time);
                start = end.wrapping_sub(assigner.slice());
            }
            end
        }));
        Ok(&self.ends)
    }

    /// The same slice for all rows: the one that holds this instant.
    pub(super) fn of_instant(&mut self, instant: i64, rows: usize) -> &[i64] {
        let end = self.assigner.slice_end(self.zone.to_local(instant));
        self.ends.clear();
        self.ends.resize(rows, end);
        &self.ends
    }
}

/// Event times in milliseconds, none of them null.
fn event_times(records: &RecordBatch, column: usize) -> Result<&[i64]> {
    let times = records.column(column);
    if times.null_count() > 0 {
        return Err(null_rowtime(records, column));
    }
    match times.data_type() {
        DataType::Timestamp(unit, _) if *unit == TimestampMillisecondType::UNIT => {
            Ok(times.as_primitive::<TimestampMillisecondType>().values())
        }
        other => Err(Error::Plan(format!("windows are over a TIMESTAMP(3), not {other}"))),
    }
}
