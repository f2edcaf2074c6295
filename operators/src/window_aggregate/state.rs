//! Slices in keyed state.
//!
//! Table `slices` has the accumulators by key group, slice end and key. Groups are read when their key comes, written at a
//! snapshot and when they take too much memory. A window of which parts are in the table alone is put together there, key
//! group after key group. Table `progress` has, for each key group, how far it was ([`super::progress`]) and which slices there
//! are, so that windows are known again without reading them.
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use bytes::Bytes;
use wiesel_state::keyed::{SnapshotOptions, WriteBatch};

use super::WindowAggregate;
use super::slices::{Slice, Slices};
use crate::aggregate::keys::KeyIndex;
use crate::element::MIN_WATERMARK;
use crate::operator::{Error, OperatorSnapshot, RestoredState, Result};
use crate::state::bits::Bits;
use crate::state::cache::{Cache, PART_BYTES, Values};
use crate::state::table::{RowTable, TableLayout};
use crate::types::{LogicalType, TypeKind};

/// Where the progress of key groups is kept.
pub(super) struct ProgressTable {
    table: RowTable,
    /// What was written last: it need not be written again.
    written: Option<(Vec<i64>, Vec<i64>)>,
}

impl WindowAggregate {
    /// Opens the tables, and goes on where the key groups were.
    pub(super) fn open_state(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let mut backend = restored.keyed()?;
        let slices = &mut self.parts.slices;
        let value: Vec<LogicalType> = slices.aggregates.saved_types().cloned().collect();
        let layout = TableLayout {
            name: "slices",
            key: &slices.key_types,
            sub_key: &[],
            value: &value,
            namespace: true,
            ttl: 0,
            max_parallelism: self.progress.max_parallelism(),
        };
        let table = RowTable::open(&mut *backend, &layout)?;
        let bigints = TypeKind::Array(Box::new(TypeKind::Bigint.not_null())).not_null();
        let value = [TypeKind::Bigint.not_null(), bigints];
        let layout = TableLayout { name: "progress", key: &[], value: &value, namespace: false, ..layout };
        let progress = RowTable::open(&mut *backend, &layout)?;
        slices.cache = Some(Cache::new(backend, table, restored.cache_share())?);
        self.progress_table = Some(ProgressTable { table: progress, written: None });
        self.restore_progress()
    }

    fn restore_progress(&mut self) -> Result<()> {
        let (Some(cache), Some(progress)) = (&mut self.parts.slices.cache, &self.progress_table) else { return Ok(()) };
        let keys: Vec<[u8; 2]> = progress_keys(self.progress.key_groups()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
        let values = cache.backend().get(progress.table.id, &keys)?;
        let present: Vec<&Bytes> = values.iter().flatten().collect();
        if present.is_empty() {
            return Ok(());
        }
        let (columns, _) = progress.table.columns(&present)?;
        let mut reached = columns[0].as_primitive::<Int64Type>().values().iter().copied();
        let before: Vec<i64> =
            values.iter().map(|value| value.as_ref().and_then(|_| reached.next()).unwrap_or(MIN_WATERMARK)).collect();
        self.progress.restore(before);
        let (assigner, zone) = (self.parts.ends.assigner, self.parts.ends.zone);
        let ends = columns[1].as_list::<i32>().values().clone();
        for end in ends.as_primitive::<Int64Type>().values() {
            let last = zone.trigger(assigner.last_window_of(*end));
            let passed = match last > self.progress.now() {
                true => self.progress.now(),
                // Of other key groups, which had not come so far and are another subtask's now.
                false if self.parts.event_time => continue,
                // Or rows came in after the clock had been put back.
                false => MIN_WATERMARK,
            };
            self.parts.slices.slices.entry(*end).or_default().spilled = true;
            self.windows.extend(assigner.windows_of(*end).find(|end| zone.trigger(*end) > passed));
        }
        Ok(())
    }

    /// The state as it is now.
    pub(super) fn save(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.parts.slices.flush()?;
        self.save_progress()?;
        let cache = self.parts.slices.cache.as_mut();
        let cache = cache.ok_or_else(|| Error::Plan("a window aggregate without a state back end".into()))?;
        Ok(OperatorSnapshot { keyed: Some(cache.snapshot(options, Vec::new())?), lists: Vec::new() })
    }

    fn save_progress(&mut self) -> Result<()> {
        let (Some(cache), Some(progress)) = (&mut self.parts.slices.cache, &mut self.progress_table) else {
            return Ok(());
        };
        let reached = self.progress.by_key_group();
        let ends: Vec<i64> = self.parts.slices.slices.keys().copied().collect();
        let state = Some((reached, ends));
        if progress.written == state {
            return Ok(());
        }
        let Some((reached, ends)) = &state else { return Ok(()) };
        let all_ends = Int64Array::from_iter_values(reached.iter().flat_map(|_| ends.iter().copied()));
        let item = Arc::new(Field::new("item", DataType::Int64, false));
        let offsets = OffsetBuffer::from_lengths(reached.iter().map(|_| ends.len()));
        let lists = ListArray::try_new(item, offsets, Arc::new(all_ends), None)?;
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(reached.clone())), Arc::new(lists)];
        let values = progress.table.values(&columns, &[], reached.len())?;
        let keys = progress_keys(self.progress.key_groups()).map(|key| Bytes::copy_from_slice(&key));
        let entries = keys.enumerate().map(|(at, key)| (key, Some(values.share(at)))).collect();
        cache.backend().write(progress.table.id, WriteBatch { entries })?;
        progress.written = state;
        Ok(())
    }
}

fn progress_keys(groups: Range<u32>) -> impl Iterator<Item = [u8; 2]> {
    groups.map(|group| (group as u16).to_be_bytes())
}

impl Slices {
    /// Whether the table may have parts of these slices that are not at hand.
    pub(super) fn any_spilled(&self, ends: &[i64]) -> bool {
        ends.iter().any(|end| self.slices.get(end).is_some_and(|slice| slice.spilled))
    }

    /// Reads what the table has of new groups: of each of these stretches of them, in its slice.
    pub(super) fn fetch(&mut self, missing: &[(Range<usize>, i64)]) -> Result<()> {
        let Some(cache) = self.cache.as_mut().filter(|_| missing.iter().any(|(new, _)| !new.is_empty())) else {
            return Ok(());
        };
        let groups: Vec<u32> = missing.iter().flat_map(|(new, _)| self.store.fresh()[new.clone()].to_vec()).collect();
        let ends: Vec<i64> = missing.iter().flat_map(|(new, end)| new.clone().map(|_| *end)).collect();
        let keys = cache.table().keys(&self.store.columns(&groups)?, &ends, groups.len())?;
        let found = cache.read(&groups, &keys)?;
        let groups: Vec<u32> = found.positions.iter().map(|at| groups[*at]).collect();
        self.aggregates.load(&groups, &found.columns)
    }

    /// The groups of all slices.
    fn all_groups(&self) -> Vec<u32> {
        self.slices.values().flat_map(|slice| slice.index.groups()).collect()
    }

    /// Writes all groups that changed.
    pub(super) fn flush(&mut self) -> Result<()> {
        let all = self.all_groups();
        let Some(cache) = &mut self.cache else { return Ok(()) };
        cache.track(all.into_iter());
        let changed = cache.unwritten();
        self.write(&changed)
    }

    /// Writes groups.
    fn write(&mut self, written: &[u32]) -> Result<()> {
        let Some(cache) = self.cache.as_mut().filter(|_| !written.is_empty()) else { return Ok(()) };
        let mut wanted = Bits::default();
        written.iter().for_each(|group| wanted.insert(*group));
        let (mut groups, mut ends) = (Vec::with_capacity(written.len()), Vec::with_capacity(written.len()));
        for (end, slice) in &self.slices {
            groups.extend(slice.index.groups().filter(|group| wanted.has(*group)));
            ends.resize(groups.len(), *end);
        }
        let aggregates = &self.aggregates;
        let value = aggregates.width() + aggregates.heap() / self.store.len().max(1);
        for part in self.store.parts(&groups, value, PART_BYTES) {
            let (groups, ends) = (&groups[part.clone()], &ends[part]);
            let keys = cache.table().keys(&self.store.columns(groups)?, ends, groups.len())?;
            cache.write(groups, &keys, |chunk| {
                Ok(Values { columns: aggregates.save(chunk)?, written: Vec::new(), gone: Vec::new() })
            })?;
        }
        Ok(())
    }

    /// Takes a slice, of which these groups are at hand, out of the table.
    pub(super) fn delete(&mut self, end: i64, spilled: bool, groups: &[u32]) -> Result<()> {
        let Some(cache) = &mut self.cache else { return Ok(()) };
        if !spilled {
            let stored: Vec<u32> = groups.iter().copied().filter(|group| cache.is_stored(*group)).collect();
            for part in self.store.parts(&stored, 0, PART_BYTES) {
                let part = &stored[part];
                let ends = vec![end; part.len()];
                let keys = cache.table().keys(&self.store.columns(part)?, &ends, part.len())?;
                cache.delete(&keys)?;
            }
            return Ok(());
        }
        let table = cache.table().id;
        for key_group in self.key_groups.clone() {
            let prefix = cache.table().prefix(key_group as u16, end);
            let mut entries = Vec::new();
            cache.backend().scan(table, &prefix, &mut |key, _| {
                entries.push((Bytes::copy_from_slice(key), None));
                Ok(ControlFlow::Continue(()))
            })?;
            if !entries.is_empty() {
                cache.backend().write(table, WriteBatch { entries })?;
            }
        }
        Ok(())
    }

    /// Groups that hold what the table has of these slices in a key group together; to be given back by
    /// [`Slices::release`].
    pub(super) fn gather(&mut self, key_group: u32, ends: &[i64]) -> Result<Vec<u32>> {
        let mut merged = KeyIndex::default();
        for end in ends {
            let groups = self.read(key_group, *end)?;
            if ends.len() == 1 {
                return Ok(groups);
            }
            let targets: Vec<u32> = groups.iter().map(|group| self.store.assign_as(&mut merged, *group)).collect();
            self.make_room();
            self.aggregates.merge_groups(&targets, &groups)?;
            self.release(&groups);
        }
        Ok(merged.groups().collect())
    }

    /// Groups that hold what the table has of a slice in a key group.
    fn read(&mut self, key_group: u32, end: i64) -> Result<Vec<u32>> {
        let Some(cache) = &mut self.cache else { return Ok(Vec::new()) };
        let (table, prefix) = (cache.table().id, cache.table().prefix(key_group as u16, end));
        let (mut keys, mut values): (Vec<Bytes>, Vec<Bytes>) = (Vec::new(), Vec::new());
        cache.backend().scan(table, &prefix, &mut |key, value| {
            keys.push(Bytes::copy_from_slice(key));
            values.push(Bytes::copy_from_slice(value));
            Ok(ControlFlow::Continue(()))
        })?;
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let columns = cache.table().key_columns(keys.iter().map(|key| &key[..]))?;
        let (accumulators, _) = cache.table().columns(&values)?;
        let (mut index, mut groups) = (KeyIndex::default(), Vec::with_capacity(keys.len()));
        self.store.load(&columns)?;
        self.store.assign(&mut index, 0..keys.len(), &mut groups);
        self.make_room();
        self.aggregates.load(&groups, &accumulators)?;
        Ok(groups)
    }

    /// Drops groups from memory if they take too much.
    pub(super) fn trim(&mut self) -> Result<()> {
        let Some(budget) = self.cache.as_ref().map(Cache::budget).filter(|budget| self.size() > *budget) else {
            return Ok(());
        };
        // A little at a time: what changed has to be written first, and the task waits.
        let target = budget / 16 * 15;
        while self.size() > target && !self.store.is_empty() {
            self.evict(target)?;
        }
        if self.room() > budget / 4 * 5 {
            // Columns keep the room of groups that went, and what the others hold has grown: only new ones have none.
            self.evict(0)?;
            self.slices.values_mut().for_each(|slice| slice.index = KeyIndex::default());
            self.store = Self::new_store(&self.key_types)?;
            self.aggregates = self.aggregates.afresh()?;
            self.room = 0;
        }
        Ok(())
    }

    /// Drops as many groups as are needed to come down to `target` bytes, if they are all of a size.
    fn evict(&mut self, target: usize) -> Result<()> {
        let share = 1.0 - target as f64 / self.size().max(1) as f64;
        let enough = (self.store.len() as f64 * share).ceil().max(1.0) as usize;
        let all = self.all_groups();
        let Some(cache) = &mut self.cache else { return Ok(()) };
        cache.track(all.iter().copied());
        let (victims, changed) = cache.victims(all.into_iter(), enough);
        self.write(&victims[victims.len() - changed..])?;
        let mut dropped = Bits::default();
        victims.iter().for_each(|group| dropped.insert(*group));
        for Slice { index, spilled } in self.slices.values_mut() {
            let groups: Vec<u32> = index.groups().filter(|group| dropped.has(*group)).collect();
            groups.iter().for_each(|group| self.store.forget(index, *group));
            *spilled |= !groups.is_empty();
        }
        self.release(&victims);
        Ok(())
    }

    /// How many bytes the groups take. Columns that grow by doubling have room for half as many again on average.
    fn size(&self) -> usize {
        self.store.len() * self.aggregates.width() * 3 / 2 + self.besides()
    }

    /// How many bytes the groups take, and the room that those who went have left in columns.
    fn room(&self) -> usize {
        self.store.capacity() * self.aggregates.width() * 3 / 2 + self.besides()
    }

    fn besides(&self) -> usize {
        let indexes: usize = self.slices.values().map(|slice| slice.index.size()).sum();
        self.store.size() + indexes + self.aggregates.heap()
    }
}
