//! Slices in keyed state.
//!
//! Table `slices` has the accumulators by key group, slice end and key; tables `distinct/<n>` the values of a DISTINCT where a key has
//! many in a slice: these go with it ([`Slice::has_rows`]). Groups are read when their key comes, written at a
//! snapshot and when they take too much memory. Slices that were restored are read once other windows than the one that is due
//! need them, as long as memory permits. A window of which parts are in the table alone is put together there, key group after
//! key group. Table `progress` has, for each key group, how far it was ([`super::progress`]) and which slices have
//! keys of it, so that windows are known again without reading them. Where windows are cut in a time zone, table `zone` has that
//! ([`super::zone_table`]).
//!
//! Invariant: a key group of which the table has keys of a slice is noted with the slice ([`Slice::key_groups`]). More may be
//! noted: checkpoints used to have all slices of the subtask for each of its key groups.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, ListArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Int64Type};
use bytes::Bytes;
use wiesel_common::ending;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::keyed::{Rows, SnapshotOptions, WriteBatch};

use super::slices::{Slice, Slices};
use super::zone_table::{ZoneTable, group_keys};
use super::{Parts, WindowAggregate};
use crate::aggregate::keys::KeyIndex;
use crate::element::MIN_WATERMARK;
use crate::group_aggregate::ROWS_SHARE;
use crate::operator::{Error, OperatorSnapshot, RestoredState, Result};
use crate::state::bits::Bits;
use crate::state::cache::{PART_BYTES, Values};
use crate::state::table::{RowTable, TableLayout};
use crate::state::write_back::{self, Backend, CachedEntries, WriteBack};

/// Bytes of keys and values that are read together to put a window together.
const GATHERED_BYTES: usize = 1 << 20;

/// Where the progress of key groups is kept.
pub(super) struct ProgressTable {
    table: RowTable,
    /// What was written last: it need not be written again.
    written: Option<(Vec<i64>, Vec<Vec<i64>>)>,
}

impl WindowAggregate {
    /// Opens the tables, and goes on where the key groups were.
    pub(super) fn open_state(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let mut backend = restored.keyed()?;
        let Slices { aggregates, key_types, .. } = &self.parts.slices.entries;
        let value: Vec<LogicalType> = aggregates.saved_types().cloned().collect();
        let layout = TableLayout {
            name: "slices",
            key: key_types,
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
        let max_parallelism = self.progress.max_parallelism();
        let zone = self.parts.cut_in.map(|zone| ZoneTable::open(&mut *backend, zone, max_parallelism));
        self.zone_table = zone.transpose()?;
        let slices = &mut self.parts.slices;
        let functions = slices.entries.aggregates.row_caches(true);
        let rows = std::iter::repeat_n(ROWS_SHARE * functions, functions);
        let mut budgets = restored.cache_share().parts([1].into_iter().chain(rows)).into_iter();
        let budget = budgets.next().ok_or_else(|| Error::Plan("no memory was dealt out".into()))?;
        slices.open(&mut *backend, table, budget)?;
        let Slices { aggregates, key_types, has_rows, .. } = &mut slices.entries;
        aggregates.open_rows(&mut *backend, key_types, max_parallelism, budgets, true)?;
        *has_rows = functions > 0;
        self.parts.backend = Some(backend);
        self.progress_table = Some(ProgressTable { table: progress, written: None });
        self.restore_progress()
    }

    fn restore_progress(&mut self) -> Result<()> {
        let (Some(backend), Some(progress)) = (&self.parts.backend, &self.progress_table) else { return Ok(()) };
        let keys: Vec<[u8; 2]> = group_keys(self.progress.key_groups()).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
        let values = backend.get(progress.table.id, &keys)?;
        let present: Vec<&Bytes> = values.iter().flatten().collect();
        if present.is_empty() {
            return Ok(());
        }
        let (columns, _) = progress.table.columns(&present)?;
        let mut reached = columns[0].as_primitive::<Int64Type>().values().iter().copied();
        let before: Vec<i64> =
            values.iter().map(|value| value.as_ref().and_then(|_| reached.next()).unwrap_or(MIN_WATERMARK)).collect();
        self.progress.restore(before);
        self.refuse_other_zone(&columns[1])?;
        let known = self.progress.key_groups().zip(&values).filter(|(_, value)| value.is_some());
        let key_groups: Vec<u16> = known.map(|(key_group, _)| key_group as u16).collect();
        let first_open = self.parts.ends.assigner.first_open(self.parts.ends.zone, self.progress.now());
        let mut steps = ending::Steps::default();
        for (list, key_groups) in slices_of(&key_groups, &columns[1]) {
            for end in ends_of(&list) {
                steps.step()?;
                self.restore_slice(*end, first_open, &key_groups);
            }
        }
        Ok(())
    }

    /// Refuses the slices in these lists if their windows are complete at other instants than where they were cut.
    fn refuse_other_zone(&mut self, lists: &ArrayRef) -> Result<()> {
        let (Some(backend), Some(zone)) = (&self.parts.backend, &self.zone_table) else { return Ok(()) };
        let assigner = self.parts.ends.assigner;
        let slices: BTreeSet<i64> =
            lists.as_list::<i32>().iter().flatten().flat_map(|list| ends_of(&list).to_vec()).collect();
        let windows: Vec<i64> = slices.into_iter().flat_map(|end| [end, assigner.last_window_of(end)]).collect();
        zone.refuse_other(&**backend, self.progress.key_groups(), self.progress.now(), &windows)
    }

    /// A slice of which the table may have keys in these key groups. Windows that end before `first_open` are complete.
    fn restore_slice(&mut self, end: i64, first_open: i64, key_groups: &[u16]) {
        let slices = &mut self.parts.slices.entries.slices;
        if let Some(known) = slices.get_mut(&end) {
            key_groups.iter().for_each(|key_group| known.note(*key_group));
            return;
        }
        let last = self.parts.ends.zone.trigger(self.parts.ends.assigner.last_window_of(end));
        let first = match last > self.progress.now() {
            true => end.max(first_open),
            // Of other key groups, which had not come so far and are another subtask's now.
            false if self.parts.event_time => return,
            // Or rows came in after the clock had been put back.
            false => end,
        };
        let has_rows = self.parts.slices.entries.aggregates.may_have_rows();
        let slice = Slice { spilled: true, key_groups: key_groups.to_vec(), has_rows, ..Slice::default() };
        self.parts.slices.entries.slices.insert(end, slice);
        self.windows.insert(first);
    }

    /// The state as it is now.
    pub(super) fn save(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let Parts { slices, backend, .. } = &mut self.parts;
        let mut kept_back = slices.write_changes(backend, options)?;
        let Slices { aggregates, store, .. } = &mut slices.entries;
        kept_back.extend(aggregates.write_rows(backend, store, options)?);
        self.save_progress()?;
        self.save_zone()?;
        write_back::snapshot(&mut self.parts.backend, options, kept_back)
    }

    fn save_zone(&mut self) -> Result<()> {
        match (&mut self.parts.backend, &mut self.zone_table) {
            (Some(backend), Some(zone)) => zone.save(&mut **backend, self.progress.key_groups()),
            _ => Ok(()),
        }
    }

    fn save_progress(&mut self) -> Result<()> {
        let reached = self.progress.by_key_group();
        let ends = self.parts.slices.entries.ends_by_key_group();
        let (Some(backend), Some(progress)) = (&mut self.parts.backend, &mut self.progress_table) else {
            return Ok(());
        };
        let state = Some((reached, ends));
        if progress.written == state {
            return Ok(());
        }
        let Some((reached, ends)) = &state else { return Ok(()) };
        let all_ends = Int64Array::from_iter_values(ends.iter().flatten().copied());
        let item = Arc::new(Field::new("item", DataType::Int64, false));
        let offsets = OffsetBuffer::from_lengths(ends.iter().map(Vec::len));
        let lists = ListArray::try_new(item, offsets, Arc::new(all_ends), None)?;
        let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(reached.clone())), Arc::new(lists)];
        let values = progress.table.values(&columns, &[], reached.len())?;
        let keys = group_keys(self.progress.key_groups()).map(|key| Bytes::copy_from_slice(&key));
        let entries = keys.enumerate().map(|(at, key)| (key, Some(values.share(at)))).collect();
        backend.write(progress.table.id, WriteBatch { entries })?;
        progress.written = state;
        Ok(())
    }
}

/// The slices of key groups, whose lists these are. Neighbours with the same list come together.
fn slices_of(key_groups: &[u16], lists: &ArrayRef) -> Vec<(ArrayRef, Vec<u16>)> {
    let lists = lists.as_list::<i32>();
    let mut slices: Vec<(ArrayRef, Vec<u16>)> = Vec::new();
    for (at, key_group) in key_groups.iter().enumerate() {
        let list = lists.value(at);
        match slices.last_mut() {
            Some((same, key_groups)) if ends_of(same) == ends_of(&list) => key_groups.push(*key_group),
            _ => slices.push((list, vec![*key_group])),
        }
    }
    slices
}

/// The ends of the slices in a list.
fn ends_of(list: &ArrayRef) -> &[i64] {
    list.as_primitive::<Int64Type>().values()
}

/// Notes of slices, which have these ends, in which key groups the table has them by now: in those of these keys.
fn note_key_groups(slices: &mut BTreeMap<i64, Slice>, keys: &Rows, ends: &[i64]) -> Result<()> {
    let mut start = 0;
    for run in ends.chunk_by(|a, b| a == b) {
        if let Some(slice) = slices.get_mut(&run[0]) {
            for at in start..start + run.len() {
                slice.note(RowTable::group_and_namespace(keys.get(at))?.0);
            }
        }
        start += run.len();
    }
    Ok(())
}

/// The ends of the slices that keys of the table are in.
fn ends_of_keys(keys: &[Bytes]) -> Result<Vec<i64>> {
    keys.iter().map(|key| Ok(RowTable::group_and_namespace(key)?.1)).collect()
}

/// What the table has of some slices in a key group, or a part of it.
struct Stored {
    keys: Vec<Bytes>,
    values: Vec<Bytes>,
    /// The key of the entry behind.
    next: Option<Vec<u8>>,
}

impl WriteBack<Slices> {
    /// Reads what the table has of new groups: of each of these stretches of them, in its slice.
    pub(super) fn fetch_missing(&mut self, backend: &Backend, missing: &[(Range<usize>, i64)]) -> Result<()> {
        let fresh = self.entries.store.fresh();
        let groups: Vec<u32> = missing.iter().flat_map(|(new, _)| &fresh[new.clone()]).copied().collect();
        let ends: Vec<i64> = missing.iter().flat_map(|(new, end)| new.clone().map(|_| *end)).collect();
        self.fetch(backend, &groups, &ends).map(|_| ())
    }

    /// Brings all of the slices after `start`, up to `end`, to hand, unless memory runs short or has done so: what was restored
    /// is kept there as long as what came since.
    pub(super) fn load(&mut self, backend: &mut Backend, start: i64, end: i64) -> Result<()> {
        let ends = self.entries.spilled_within(start, end);
        let Some(first) = ends.first().filter(|_| !self.has_evicted()) else { return Ok(()) };
        for key_group in self.entries.key_groups_within(start, end) {
            let mut next = self.cache.as_ref().map(|cache| cache.table().prefix(key_group as u16, *first).to_vec());
            while let Some(from) = next {
                ending::check()?;
                let stored = self.read(backend, key_group, &from, &ends)?;
                self.bring(&stored)?;
                self.trim(backend)?;
                if self.has_evicted() {
                    return Ok(());
                }
                next = stored.next;
            }
        }
        for end in &ends {
            if let Some(slice) = self.entries.slices.get_mut(end) {
                slice.spilled = false;
            }
        }
        Ok(())
    }

    /// Takes stored entries into their slices, except those whose groups are at hand, which may have changed.
    fn bring(&mut self, stored: &Stored) -> Result<()> {
        let Some(cache) = self.cache.as_mut().filter(|_| !stored.keys.is_empty()) else { return Ok(()) };
        let slices = &mut self.entries;
        let ends = ends_of_keys(&stored.keys)?;
        slices.store.load(&cache.table().key_columns(stored.keys.iter().map(|key| &key[..]))?)?;
        let (mut groups, mut start) = (Vec::with_capacity(ends.len()), 0);
        for run in ends.chunk_by(|a, b| a == b) {
            // It is there: its entries were asked for.
            let slice = slices.slices.entry(run[0]).or_default();
            slices.store.assign(&mut slice.index, start..start + run.len(), &mut groups);
            start += run.len();
        }
        // No key comes twice in a slice: groups that are new are in the order of the entries.
        let fresh = slices.store.fresh().to_vec();
        let mut new = fresh.iter().peekable();
        let entries = groups.iter().zip(&stored.values).filter(|(group, _)| new.next_if_eq(group).is_some());
        let values: Vec<&Bytes> = entries.map(|(_, value)| value).collect();
        let (columns, _) = cache.table().columns(&values)?;
        cache.note_stored(&fresh);
        slices.make_room();
        slices.note_ends(&groups, &ends);
        slices.load(&fresh, &columns, &[])
    }

    /// Takes a slice, of which these groups are at hand, out of the table.
    pub(super) fn delete(&self, backend: &mut Backend, end: i64, slice: &Slice, groups: &[u32]) -> Result<()> {
        let (Some(cache), Some(backend)) = (&self.cache, backend) else { return Ok(()) };
        if !slice.spilled {
            let stored: Vec<u32> = groups.iter().copied().filter(|group| cache.is_stored(*group)).collect();
            for part in self.entries.store.parts(&stored, 0, PART_BYTES) {
                let part = &stored[part];
                let keys = self.entries.keys(cache.table(), part, &vec![end; part.len()])?;
                cache.delete(&mut **backend, &keys)?;
            }
            return Ok(());
        }
        let table = cache.table().id;
        for key_group in &slice.key_groups {
            let prefix = cache.table().prefix(*key_group, end);
            let mut entries = Vec::new();
            backend.scan(table, &prefix, &mut |key, _| {
                entries.push((Bytes::copy_from_slice(key), None));
                Ok(ControlFlow::Continue(()))
            })?;
            if !entries.is_empty() {
                backend.write(table, WriteBatch { entries })?;
            }
        }
        Ok(())
    }

    /// Groups that hold what the table has of these slices, in order, in a key group together; to be given back by
    /// [`WriteBack::release`].
    pub(super) fn gather(&mut self, backend: &mut Backend, key_group: u32, ends: &[i64]) -> Result<Vec<u32>> {
        let mut merged = KeyIndex::default();
        let (Some(cache), Some(first)) = (&self.cache, ends.first()) else { return Ok(Vec::new()) };
        let mut next = Some(cache.table().prefix(key_group as u16, *first).to_vec());
        while let Some(from) = next {
            ending::check()?;
            let stored = self.read(backend, key_group, &from, ends)?;
            self.take(&stored, ends.len() == 1, &mut merged)?;
            next = stored.next;
        }
        self.entries.aggregates.merge_rows(backend, &self.entries.store)?;
        Ok(merged.groups().collect())
    }

    /// What the table has of slices in a key group, from a key on: a part of it, if it is much.
    fn read(&self, backend: &Backend, key_group: u32, from: &[u8], ends: &[i64]) -> Result<Stored> {
        let mut stored = Stored { keys: Vec::new(), values: Vec::new(), next: None };
        let (Some(cache), Some(backend)) = (&self.cache, backend) else { return Ok(stored) };
        let Some(last) = ends.last() else { return Ok(stored) };
        let (table, prefix) = (cache.table().id, (key_group as u16).to_be_bytes());
        let mut bytes = 0;
        backend.scan_from(table, &prefix, from, &mut |key, value| {
            let (_, end) = RowTable::group_and_namespace(key)?;
            if end > *last {
                return Ok(ControlFlow::Break(()));
            }
            if ends.binary_search(&end).is_err() {
                return Ok(ControlFlow::Continue(()));
            }
            if bytes >= GATHERED_BYTES {
                stored.next = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            bytes += key.len() + value.len();
            stored.keys.push(Bytes::copy_from_slice(key));
            stored.values.push(Bytes::copy_from_slice(value));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(stored)
    }

    /// Adds stored entries to the groups of their keys. Of a single slice no key comes twice: what is stored is what its group
    /// holds.
    fn take(&mut self, stored: &Stored, single: bool, merged: &mut KeyIndex) -> Result<()> {
        let Some(cache) = self.cache.as_ref().filter(|_| !stored.keys.is_empty()) else { return Ok(()) };
        let columns = cache.table().key_columns(stored.keys.iter().map(|key| &key[..]))?;
        let (accumulators, _) = cache.table().columns(&stored.values)?;
        let slices = &mut self.entries;
        let mut targets = Vec::with_capacity(stored.keys.len());
        slices.store.load(&columns)?;
        slices.store.assign(merged, 0..stored.keys.len(), &mut targets);
        if single {
            slices.make_room();
            return slices.aggregates.load(&targets, &accumulators);
        }
        let sources: Vec<u32> = targets.iter().map(|_| slices.store.reserve()).collect();
        slices.make_room();
        if slices.has_rows {
            slices.note_ends(&sources, &ends_of_keys(&stored.keys)?);
        }
        slices.aggregates.load(&sources, &accumulators)?;
        slices.aggregates.merge_groups_in(&targets, &sources, &slices.ends)?;
        self.release(&sources);
        Ok(())
    }
}

impl Slices {
    /// How many bytes there are beside the columns of accumulators.
    fn besides(&self) -> usize {
        let indexes: usize = self.slices.values().map(|slice| slice.index.size()).sum();
        let ends = self.ends.len() * size_of::<i64>();
        self.store.size() + indexes + ends + self.aggregates.heap() + self.aggregates.rows_size()
    }
}

impl CachedEntries for Slices {
    fn len(&self) -> usize {
        self.store.len()
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.slices.values().flat_map(|slice| slice.index.groups())
    }

    /// Columns that grow by doubling have room for half as many again on average.
    fn size(&self) -> usize {
        self.store.len() * self.aggregates.width() * 3 / 2 + self.besides()
    }

    fn room(&self) -> usize {
        self.store.capacity() * self.aggregates.width() * 3 / 2 + self.besides()
    }

    fn width(&self) -> usize {
        self.aggregates.width() + self.besides() / self.store.len().max(1)
    }

    fn parts(&self, groups: &[u32], most: usize) -> Vec<Range<usize>> {
        let value = self.aggregates.width() + self.aggregates.heap() / self.store.len().max(1);
        self.store.parts(groups, value, most)
    }

    fn keys(&self, table: &RowTable, groups: &[u32], ends: &[i64]) -> Result<Rows> {
        table.keys(&self.store.columns(groups)?, ends, groups.len())
    }

    fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.store.columns(groups)
    }

    fn values(&self, groups: &[u32]) -> Result<Values> {
        Ok(Values { columns: self.aggregates.save(groups)?, written: Vec::new() })
    }

    fn load(&mut self, groups: &[u32], columns: &[ArrayRef], _: &[i64]) -> Result<()> {
        self.aggregates.load(groups, columns)
    }

    fn clear(&mut self, groups: &[u32]) {
        self.aggregates.reset(groups);
    }

    fn unlink(&mut self, groups: &[u32], evicted: bool) {
        let mut dropped = Bits::default();
        groups.iter().for_each(|group| dropped.insert(*group));
        for Slice { index, spilled, .. } in self.slices.values_mut() {
            let groups: Vec<u32> = index.groups().filter(|group| dropped.has(*group)).collect();
            groups.iter().for_each(|group| self.store.forget(index, *group));
            *spilled |= evicted && !groups.is_empty();
        }
    }

    fn release(&mut self, groups: &[u32]) {
        self.aggregates.reset(groups);
        self.store.release(groups);
    }

    fn start_afresh(&mut self) -> Result<()> {
        self.slices.values_mut().for_each(|slice| slice.index = KeyIndex::default());
        self.store = Self::new_store(&self.key_types)?;
        let mut afresh = self.aggregates.afresh()?;
        afresh.take_rows(&mut self.aggregates);
        self.aggregates = afresh;
        (self.room, self.ends) = (0, Vec::new());
        Ok(())
    }

    /// Keys have the ends of their slices as namespaces.
    fn keeps_back(&self) -> bool {
        false
    }

    fn places(&self, groups: &[u32]) -> (Vec<u32>, Vec<i64>) {
        let mut wanted = Bits::default();
        groups.iter().for_each(|group| wanted.insert(*group));
        let (mut groups, mut ends) = (Vec::with_capacity(groups.len()), Vec::with_capacity(groups.len()));
        for (end, slice) in &self.slices {
            groups.extend(slice.index.groups().filter(|group| wanted.has(*group)));
            ends.resize(groups.len(), *end);
        }
        (groups, ends)
    }

    fn note_written(&mut self, _: &[u32], keys: &Rows, ends: &[i64]) -> Result<()> {
        note_key_groups(&mut self.slices, keys, ends)
    }
}
