//! The groups in keyed state: read when their key comes, written at a snapshot and when they take too much memory.
use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use std::sync::Arc;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::keyed::SnapshotOptions;

use super::{Group, GroupAggregate};
use crate::aggregate::Aggregates;
use crate::aggregate::keys::{KeyIndex, KeyStore};
use crate::operator::{Error, OperatorSnapshot, RestoredState, Result};
use crate::state::cache::{Cache, PART_BYTES, Values};
use crate::state::table::{RowTable, TableLayout};

/// The columns before those of the accumulators: the number of rows, and whether the result was sent on.
const HEAD: usize = 2;

/// What is kept of groups.
fn values(groups: &[Group], aggregates: &Aggregates, of: &[u32]) -> Result<Values> {
    let all = || of.iter().map(|group| groups[*group as usize]);
    let rows = Int64Array::from_iter_values(all().map(|group| group.rows));
    let emitted: BooleanArray = all().map(|group| Some(group.emitted)).collect();
    let mut columns: Vec<ArrayRef> = vec![Arc::new(rows), Arc::new(emitted)];
    columns.extend(aggregates.save(of)?);
    let written = all().map(|group| group.written).collect();
    Ok(Values { columns, written, gone: all().map(|group| group.is_gone()).collect() })
}

impl GroupAggregate {
    /// Opens the table of groups.
    pub(super) fn open_state(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let head = [TypeKind::Bigint.not_null(), TypeKind::Boolean.not_null()];
        let value: Vec<LogicalType> = head.into_iter().chain(self.aggregates.saved_types().cloned()).collect();
        let layout = TableLayout {
            name: "groups",
            key: &self.key_types,
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl: self.state_ttl,
            max_parallelism: self.max_parallelism,
        };
        let mut backend = restored.keyed()?;
        let table = RowTable::open(&mut *backend, &layout)?;
        let cache = Cache::new(backend, table, restored.cache_share())?;
        self.complete = cache.is_empty();
        self.cache = Some(cache);
        Ok(())
    }

    /// Reads what the table has of the groups that are new here.
    pub(super) fn fetch(&mut self) -> Result<()> {
        let fresh = self.store.fresh();
        let Some(cache) = self.cache.as_mut().filter(|_| !self.complete && !fresh.is_empty()) else { return Ok(()) };
        let keys = cache.table().keys(&self.store.columns(fresh)?, &[], fresh.len())?;
        let found = cache.read(fresh, &keys)?;
        let groups: Vec<u32> = found.positions.iter().map(|at| fresh[*at]).collect();
        let rows = found.columns[0].as_primitive::<Int64Type>().values();
        let emitted = found.columns[1].as_boolean();
        for (at, group) in groups.iter().enumerate() {
            let (rows, emitted) = (rows[at], emitted.value(at));
            let written = found.written.get(at).copied().unwrap_or_default();
            let group = &mut self.groups[*group as usize];
            *group = Group { rows, emitted, written, used: rows > 0, ..*group };
        }
        self.aggregates.load(&groups, &found.columns[HEAD..])
    }

    /// Writes groups. Drops those without rows, which were only kept to be taken out of the table, and returns the others.
    fn write(&mut self, written: &[u32]) -> Result<Vec<u32>> {
        let Some(cache) = &mut self.cache else { return Ok(Vec::new()) };
        let (groups, aggregates) = (&self.groups, &self.aggregates);
        let value = aggregates.width() + size_of::<Group>() + aggregates.heap() / self.store.len().max(1);
        for part in self.store.parts(written, value, PART_BYTES) {
            let part = &written[part];
            let keys = cache.table().keys(&self.store.columns(part)?, &[], part.len())?;
            cache.write(part, &keys, |chunk| values(groups, aggregates, chunk))?;
        }
        let (gone, left): (Vec<u32>, Vec<u32>) =
            written.iter().partition(|group| self.groups[**group as usize].is_gone());
        self.drop_groups(&gone);
        Ok(left)
    }

    /// The state as it is now.
    pub(super) fn save(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let heap = self.store.size() + self.aggregates.heap();
        let width = self.aggregates.width() + size_of::<i64>() + heap / self.store.len().max(1);
        let no_cache = || Error::Plan("a group aggregate without a state back end".into());
        let cache = self.cache.as_mut().ok_or_else(no_cache)?;
        cache.track(self.index.groups());
        let (mut written, mut kept) = cache.due(options, width);
        if self.input_changelog {
            let gone: Vec<u32>;
            (gone, kept) = kept.into_iter().partition(|group| self.groups[*group as usize].is_gone());
            written.extend(gone);
        }
        self.write(&written)?;
        let cache = self.cache.as_mut().ok_or_else(no_cache)?;
        let (store, groups, aggregates) = (&self.store, &self.groups, &self.aggregates);
        let kept_back = cache.keep_back(&kept, |part| Ok((store.columns(part)?, values(groups, aggregates, part)?)))?;
        Ok(OperatorSnapshot { keyed: Some(cache.snapshot(options, kept_back)?), lists: Vec::new() })
    }

    /// Drops groups from memory if they take too much.
    pub(super) fn trim(&mut self) -> Result<()> {
        let Some(budget) = self.cache.as_ref().map(Cache::budget).filter(|budget| self.size() > *budget) else {
            return Ok(());
        };
        // A little at a time: what changed has to be written first, and the task waits.
        let target = budget / 16 * 15;
        while self.size() > target && !self.index.is_empty() {
            self.evict(target)?;
        }
        if self.room() > budget / 4 * 5 {
            // Columns keep the room of groups that went, and what the others hold has grown: only new ones have none.
            self.evict(0)?;
            self.store = KeyStore::new(self.key_types.iter().map(|key| key.kind.to_arrow()).collect())?;
            (self.index, self.groups) = (KeyIndex::default(), Vec::new());
            self.aggregates = self.aggregates.afresh()?;
        }
        Ok(())
    }

    /// Drops as many groups as are needed to come down to `target` bytes, if they are all of a size.
    fn evict(&mut self, target: usize) -> Result<()> {
        let share = 1.0 - target as f64 / self.size().max(1) as f64;
        let enough = (self.index.len() as f64 * share).ceil().max(1.0) as usize;
        let Some(cache) = &mut self.cache else { return Ok(()) };
        cache.track(self.index.groups());
        let (mut victims, changed) = cache.victims(self.index.groups(), enough);
        let changed = victims.split_off(victims.len() - changed);
        victims.extend(self.write(&changed)?);
        self.complete &= victims.is_empty();
        self.drop_groups(&victims);
        Ok(())
    }

    /// Bytes a group takes in columns that grow by doubling: on average they have room for half as many again.
    fn width(&self) -> usize {
        (self.aggregates.width() + size_of::<Group>()) * 3 / 2
    }

    /// How many bytes the groups take.
    fn size(&self) -> usize {
        self.store.len() * self.width() + self.store.size() + self.index.size() + self.aggregates.heap()
    }

    /// How many bytes the groups take, and the room that those who went have left in columns.
    pub(super) fn room(&self) -> usize {
        self.store.capacity() * self.width() + self.store.size() + self.index.size() + self.aggregates.heap()
    }
}
