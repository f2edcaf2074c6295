//! The groups that are at hand: of each its key, what is kept beside its accumulators, and these. What happens to them between
//! here and their table is [`WriteBack`](crate::state::write_back::WriteBack)'s.
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array};
use arrow::datatypes::Int64Type;
use wiesel_state::keyed::{KeptBack, Rows, SnapshotOptions};

use crate::aggregate::Aggregates;
use crate::aggregate::keys::{KeyIndex, KeyStore};
use crate::aggregate::spill::KeyedBatch;
use crate::operator::Result;
use crate::state::cache::Values;
use crate::state::table::RowTable;
use crate::state::write_back::{Backend, CachedEntries};
use wiesel_expressions::types::{LogicalType, TypeKind};

/// The columns before those of the accumulators: the number of rows, and whether the result was sent on.
const HEAD: usize = 2;

/// What is kept of a group beside its accumulators.
#[derive(Clone, Copy, Default)]
pub(super) struct Group {
    /// Rows that were added less those that were taken back. Counted only if rows can be taken back.
    pub(super) rows: i64,
    /// Its result was sent on.
    pub(super) emitted: bool,
    /// The last batch that touched it.
    pub(super) batch: u64,
    /// When it was last written to.
    pub(super) written: i64,
    /// Rows were added to it, though all may have been taken back since.
    pub(super) used: bool,
    /// Where its rows go for the rest of a batch in which all its rows were taken back before others came.
    pub(super) successor: Option<u32>,
}

/// The groups by number, and their numbers by key.
pub(super) struct Groups {
    pub(super) key_types: Vec<LogicalType>,
    pub(super) store: KeyStore,
    pub(super) index: KeyIndex,
    pub(super) groups: Vec<Group>,
    pub(super) aggregates: Aggregates,
}

impl Groups {
    pub(super) fn new(key_types: Vec<LogicalType>, aggregates: Aggregates) -> Result<Self> {
        let store = new_store(&key_types)?;
        Ok(Self { key_types, store, index: KeyIndex::default(), groups: Vec::new(), aggregates })
    }

    /// Appends the group of each of so many rows of these keys.
    pub(super) fn assign(&mut self, keys: &[ArrayRef], rows: usize, groups: &mut Vec<u32>) -> Result<()> {
        self.store.load(keys)?;
        self.store.assign(&mut self.index, 0..rows, groups);
        self.grow();
        Ok(())
    }

    /// Makes room for all numbers that were given out.
    pub(super) fn grow(&mut self) {
        let capacity = self.store.capacity();
        if self.groups.len() < capacity {
            self.groups.resize(capacity, Group::default());
            self.aggregates.resize(capacity);
        }
    }

    /// Takes out the rows that aggregate functions keep of groups, which are about to be emptied.
    pub(super) fn clear_rows(&mut self, backend: &mut Backend, groups: &[u32]) -> Result<()> {
        self.aggregates.clear_rows(backend, &self.store, groups)
    }

    /// Reads the rows that aggregate functions need of groups that have just been loaded.
    pub(super) fn load_rows(&mut self, backend: &Backend) -> Result<()> {
        self.aggregates.load_rows(&KeyedBatch { backend, keys: &self.store, namespaces: &[] })
    }

    /// Makes rows of what aggregate functions keep of groups where it is much.
    pub(super) fn spill(&mut self, groups: &[u32]) -> Result<()> {
        self.aggregates.spill(&self.store, groups)
    }

    /// For a snapshot: writes the rows that changed. Returns what is kept back instead.
    pub(super) fn write_rows(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        self.aggregates.write_rows(backend, &self.store, options)
    }

    /// Empties those of these groups, which a batch touches, that were last written to at this time or before.
    pub(super) fn expire(&mut self, groups: &[u32], by: i64, batch: u64) {
        let expired = |group: &&u32| {
            let group = &self.groups[**group as usize];
            group.emitted && group.written <= by
        };
        let expired: Vec<u32> = groups.iter().filter(expired).copied().collect();
        self.aggregates.reset(&expired);
        for group in expired {
            self.groups[group as usize] = Group { batch, ..Group::default() };
        }
    }

    /// The groups that were last written to at this time or before.
    pub(super) fn written_by(&self, by: i64) -> Vec<u32> {
        self.index.groups().filter(|group| self.groups[*group as usize].written <= by).collect()
    }

    /// Bytes a group takes in columns that grow by doubling: on average they have room for half as many again.
    fn column_width(&self) -> usize {
        (self.aggregates.width() + size_of::<Group>()) * 3 / 2
    }

    /// Bytes beside those columns.
    fn besides(&self) -> usize {
        self.store.size() + self.index.size() + self.aggregates.heap() + self.aggregates.rows_size()
    }
}

/// The types of what is kept of groups.
pub(super) fn value_types(aggregates: &Aggregates) -> Vec<LogicalType> {
    let head = [TypeKind::Bigint.not_null(), TypeKind::Boolean.not_null()];
    head.into_iter().chain(aggregates.saved_types().cloned()).collect()
}

fn new_store(key_types: &[LogicalType]) -> Result<KeyStore> {
    KeyStore::new(key_types.iter().map(|key| key.kind.to_arrow()).collect())
}

impl CachedEntries for Groups {
    fn len(&self) -> usize {
        self.index.len()
    }

    fn all(&self) -> impl Iterator<Item = u32> {
        self.index.groups()
    }

    fn size(&self) -> usize {
        self.store.len() * self.column_width() + self.besides()
    }

    fn room(&self) -> usize {
        self.store.capacity() * self.column_width() + self.besides()
    }

    fn width(&self) -> usize {
        let heap = self.store.size() + self.aggregates.heap();
        self.aggregates.width() + size_of::<i64>() + heap / self.store.len().max(1)
    }

    fn parts(&self, groups: &[u32], most: usize) -> Vec<Range<usize>> {
        let value = self.aggregates.width() + size_of::<Group>() + self.aggregates.heap() / self.store.len().max(1);
        self.store.parts(groups, value, most)
    }

    fn keys(&self, table: &RowTable, groups: &[u32], namespaces: &[i64]) -> Result<Rows> {
        table.keys(&self.store.columns(groups)?, namespaces, groups.len())
    }

    fn key_columns(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.store.columns(groups)
    }

    fn values(&self, of: &[u32]) -> Result<Values> {
        let all = || of.iter().map(|group| self.groups[*group as usize]);
        let rows = Int64Array::from_iter_values(all().map(|group| group.rows));
        let emitted: BooleanArray = all().map(|group| Some(group.emitted)).collect();
        let mut columns: Vec<ArrayRef> = vec![Arc::new(rows), Arc::new(emitted)];
        columns.extend(self.aggregates.save(of)?);
        Ok(Values { columns, written: all().map(|group| group.written).collect() })
    }

    fn load(&mut self, groups: &[u32], columns: &[ArrayRef], written: &[i64]) -> Result<()> {
        let rows = columns[0].as_primitive::<Int64Type>().values();
        let emitted = columns[1].as_boolean();
        for (at, group) in groups.iter().enumerate() {
            let (rows, emitted) = (rows[at], emitted.value(at));
            let written = written.get(at).copied().unwrap_or_default();
            let group = &mut self.groups[*group as usize];
            *group = Group { rows, emitted, written, used: rows > 0, ..*group };
        }
        self.aggregates.load(groups, &columns[HEAD..])
    }

    fn before_eviction(&mut self, backend: &mut Backend) -> Result<()> {
        self.aggregates.flush_rows(backend, &self.store)
    }

    /// It has no rows and no result: it is nothing any more.
    fn is_gone(&self, group: u32) -> bool {
        let group = &self.groups[group as usize];
        group.rows == 0 && !group.emitted
    }

    fn clear(&mut self, groups: &[u32]) {
        self.aggregates.reset(groups);
        for group in groups {
            let group = &mut self.groups[*group as usize];
            *group = Group { written: group.written, ..Group::default() };
        }
    }

    fn unlink(&mut self, groups: &[u32], _: bool) {
        groups.iter().for_each(|group| self.store.forget(&mut self.index, *group));
    }

    fn release(&mut self, groups: &[u32]) {
        self.aggregates.reset(groups);
        groups.iter().for_each(|group| self.groups[*group as usize] = Group::default());
        self.store.release(groups);
    }

    fn start_afresh(&mut self) -> Result<()> {
        self.store = new_store(&self.key_types)?;
        (self.index, self.groups) = (KeyIndex::default(), Vec::new());
        let mut afresh = self.aggregates.afresh()?;
        afresh.take_rows(&mut self.aggregates);
        self.aggregates = afresh;
        Ok(())
    }
}
