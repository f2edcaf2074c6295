//! Many rows a key, in an order: the state of joins, OVER, Top-N, deduplication and pattern matching.
//!
//! A row of the table is `key group | key | position` and the columns of the row. Positions are columns, too: what the order of
//! rows is by, and where several rows may be at one place ([`KeyedRows::append`]) a number behind it. All that an operator does
//! it does with a batch: columns of keys, of positions and of values.
//!
//! Rows that are at hand are columns before the table ([`WriteBack`]), found through the order of their key ([`order`]). A key
//! need not be at hand as a whole: stretches of its positions are read when they are asked for, all of a batch with one
//! `multi_get` or one pass over sorted ranges, and evicted when memory runs short. What the table has not, most reads know
//! without asking it ([`filter`]).
//!
//! Between two calls of [`KeyedRows::trim`] nothing that is at hand is dropped, and the numbers of rows that were found stay
//! theirs; an operator trims at the end of a batch, and between the parts in which it goes through many rows.
use std::collections::BTreeMap;
use std::ops::Bound;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyRange, KeyedBackend, ScanOrder, SnapshotOptions};

use self::columns::NONE;
use self::entries::{Found, RowEntries};
use self::filter::Filters;
use self::sequence::Sequence;
use super::batch::check_columns;
use super::cache::Cache;
use super::table::{RowTable, TableLayout};
use super::write_back::{Backend, CachedEntries, WriteBack};
use crate::operator::{Error, Result};
use wiesel_expressions::types::{LogicalType, TypeKind};

mod columns;
mod entries;
mod filter;
#[cfg(test)]
mod namespace_tests;
mod namespaces;
mod order;
mod read;
mod sequence;
#[cfg(test)]
mod tests;
mod union;

/// What filters of absent keys take at most, of what rows may take.
const FILTER_SHARE: usize = 8;
/// Rows that are taken out at once where all of a key are.
const CLEARED: usize = 1 << 16;

/// What a table of rows is opened with.
#[derive(Clone, Copy, Debug)]
pub struct RowsDescriptor<'a> {
    /// Its name within the operator.
    pub name: &'a str,
    /// The types of the key's columns.
    pub key: &'a [LogicalType],
    /// The types of what rows are ordered by within a key.
    pub order: &'a [LogicalType],
    /// Several rows may be at one place of this order, in which they came: [`KeyedRows::append`].
    pub appends: bool,
    /// The types of the columns of rows.
    pub value: &'a [LogicalType],
    /// Milliseconds for which a row is kept after it was written, and not seen any more after them; 0: for ever.
    pub ttl: i64,
    /// The job's number of key groups.
    pub max_parallelism: u32,
}

/// A stretch of positions, for each row of a batch, and how much of it is wanted. Columns of bounds may be fewer than those of
/// positions: such a bound holds for all positions that begin so.
#[derive(Clone, Copy, Debug)]
pub struct RowRange<'a> {
    /// Where it begins.
    pub lower: Bound<&'a [ArrayRef]>,
    /// Where it ends.
    pub upper: Bound<&'a [ArrayRef]>,
    /// From which end.
    pub order: ScanOrder,
    /// How many rows of each key.
    pub limit: usize,
}

impl RowRange<'_> {
    /// All rows.
    pub const ALL: Self =
        Self { lower: Bound::Unbounded, upper: Bound::Unbounded, order: ScanOrder::Forwards, limit: usize::MAX };

    /// The first so many rows.
    pub fn first(limit: usize) -> Self {
        Self { limit, ..Self::ALL }
    }

    /// The last so many rows, the very last first.
    pub fn last(limit: usize) -> Self {
        Self { limit, order: ScanOrder::Backwards, ..Self::ALL }
    }
}

/// Rows that were found for the rows of a batch, those of each behind those of the one before.
#[derive(Clone, Debug, Default)]
pub struct RowSet {
    /// Where those of each row of the batch end.
    pub ends: Vec<usize>,
    /// Their numbers.
    pub rows: Vec<u32>,
}

/// Many rows a key, in an order.
pub struct KeyedRows {
    state: WriteBack<RowEntries>,
    position_types: Vec<DataType>,
    /// Columns of positions that an operator gives where it appends.
    order_width: usize,
    sequence: Option<Sequence>,
}

/// What filters may take where rows may take so many bytes.
fn filter_room(budget: usize) -> usize {
    match budget {
        // Nothing is evicted, and what was restored is looked up fast.
        usize::MAX => 0,
        budget => budget / FILTER_SHARE,
    }
}

/// A state that no table is under. It cannot be: [`KeyedRows::open`] opens one.
fn no_table() -> Error {
    Error::Plan("rows without a table".into())
}

impl KeyedRows {
    /// Opens the table; what is at hand of it may take as many bytes as `budget` says.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(backend: &mut dyn KeyedBackend, descriptor: &RowsDescriptor<'_>, budget: CacheShare) -> Result<Self> {
        Self::open_with(backend, descriptor, budget, false)
    }

    /// `namespace`: see [`KeyedRows::open_in_namespaces`].
    fn open_with(
        backend: &mut dyn KeyedBackend,
        descriptor: &RowsDescriptor<'_>,
        budget: CacheShare,
        namespace: bool,
    ) -> Result<Self> {
        let RowsDescriptor { name, key, order, appends, value, ttl, max_parallelism } = *descriptor;
        let number = appends.then(|| TypeKind::Bigint.not_null());
        let position: Vec<LogicalType> = order.iter().cloned().chain(number).collect();
        let layout = TableLayout { name, key, sub_key: &position, value, namespace, ttl, max_parallelism };
        let table = RowTable::open(backend, &layout)?;
        let sequence = appends.then(|| Sequence::open(backend, name, max_parallelism)).transpose()?;
        let filters = Filters::new(backend.key_groups(), filter_room(budget.bytes()));
        let to_arrow = |types: &[LogicalType]| types.iter().map(|of| of.kind.to_arrow()).collect::<Vec<DataType>>();
        let position_types = to_arrow(&position);
        let namespace_type = namespace.then_some(DataType::Int64);
        let key_types = namespace_type.into_iter().chain(to_arrow(key)).collect();
        let mut entries = RowEntries::new(key_types, &position_types, to_arrow(value), ttl, filters)?;
        entries.namespaces = namespace.then(BTreeMap::new);
        let mut state = WriteBack::new(entries);
        state.open(backend, table, budget)?;
        let mut rows = Self { state, position_types, order_width: order.len(), sequence };
        rows.look_for_key_groups(backend)?;
        Ok(rows)
    }

    /// Finds out which key groups the table has rows of.
    fn look_for_key_groups(&mut self, backend: &dyn KeyedBackend) -> Result<()> {
        let Some(own) = backend.key_groups().filter(|_| !backend.is_empty()) else { return Ok(()) };
        let table = self.table()?.id;
        // Up to the next key group: a namespace may begin with any byte.
        let bounds: Vec<([u8; 2], [u8; 2])> =
            own.map(|group| (group.to_be_bytes(), group.saturating_add(1).to_be_bytes())).collect();
        let ranges: Vec<KeyRange<'_>> = bounds.iter().map(|(from, to)| KeyRange { from, to }).collect();
        let (mut nothing, filters) = (true, &mut self.state.entries.filters);
        backend.scan_ranges(table, &ranges, ScanOrder::Forwards, &mut |at, _, _| {
            nothing = false;
            filters.forget(u16::from_be_bytes(bounds[at].0));
            Ok(std::ops::ControlFlow::Break(()))
        })?;
        if nothing {
            self.state.note_empty();
        }
        Ok(())
    }

    fn cache(&self) -> Result<&Cache> {
        self.state.cache.as_ref().ok_or_else(no_table)
    }

    fn table(&self) -> Result<&RowTable> {
        Ok(self.cache()?.table())
    }

    /// The number of the key of each row.
    fn keys(&mut self, keys: &[ArrayRef], rows: usize) -> Result<Vec<u32>> {
        let nothing = self.state.is_complete();
        self.number_keys(keys, rows, nothing)
    }

    /// The same; `nothing`: the table has no row of those that are not at hand.
    fn number_keys(&mut self, keys: &[ArrayRef], rows: usize, nothing: bool) -> Result<Vec<u32>> {
        let table = self.state.cache.as_ref().ok_or_else(no_table)?.table();
        check_columns(keys, table.head_width() + usize::from(table.has_namespace()), rows)?;
        self.state.entries.assign(table, keys, rows, nothing)
    }

    /// Puts each row's values at a position of its key; of rows that are the same in both the last one counts. Reads nothing.
    ///
    /// # Errors
    /// The columns are not what the table was opened with.
    pub fn upsert(
        &mut self,
        keys: &[ArrayRef],
        positions: &[ArrayRef],
        values: &[ArrayRef],
        rows: usize,
        now: i64,
    ) -> Result<()> {
        check_columns(positions, self.position_types.len(), rows)?;
        let keys = self.keys(keys, rows)?;
        self.put(&keys, positions, values, now)
    }

    /// As [`KeyedRows::upsert`], where the table has no row of these keys that could be seen: what is new among them later is not
    /// looked for there.
    ///
    /// # Errors
    /// The columns are not what the table was opened with.
    pub fn begin(
        &mut self,
        keys: &[ArrayRef],
        positions: &[ArrayRef],
        values: &[ArrayRef],
        rows: usize,
        now: i64,
    ) -> Result<()> {
        check_columns(positions, self.position_types.len(), rows)?;
        let keys = self.number_keys(keys, rows, true)?;
        self.put(&keys, positions, values, now)
    }

    /// Adds each row's values behind all that are at the same place in the order of its key, in the order of rows. Reads
    /// nothing.
    ///
    /// # Errors
    /// The columns are not what the table was opened with, or it was not opened for it; or the back end fails.
    pub fn append(
        &mut self,
        backend: &mut Backend,
        keys: &[ArrayRef],
        order: &[ArrayRef],
        values: &[ArrayRef],
        rows: usize,
        now: i64,
    ) -> Result<()> {
        check_columns(order, self.order_width, rows)?;
        let keys = self.keys(keys, rows)?;
        let (Some(backend), Some(sequence)) = (backend, &mut self.sequence) else {
            return Err(Error::Plan("rows are appended to a table that was not opened for it".into()));
        };
        let groups = keys.iter().map(|key| self.state.entries.key_group(*key));
        let number: ArrayRef = std::sync::Arc::new(sequence.take(&mut **backend, groups)?);
        let positions: Vec<ArrayRef> = order.iter().cloned().chain([number]).collect();
        self.put(&keys, &positions, values, now)
    }

    fn put(&mut self, keys: &[u32], positions: &[ArrayRef], values: &[ArrayRef], now: i64) -> Result<()> {
        check_columns(values, self.table()?.value_width(), keys.len())?;
        let entries = &mut self.state.entries;
        let positions = entries.encode(positions, keys.len())?;
        let mut rows = Vec::with_capacity(keys.len());
        // Rows that are new here, though the table may have others in their places.
        let mut covering = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let position = positions.get(at);
            rows.push(match entries.find(*key, position)? {
                Found::Row(row) => row,
                Found::Place(place) => {
                    let may_be_stored = entries.may_be_stored(*key, place.0, position)?;
                    let row = entries.add(*key, position, place)?;
                    covering.extend(may_be_stored.then_some(row));
                    row
                }
            });
        }
        entries.set(&rows, values, now)?;
        if let Some(cache) = &mut self.state.cache {
            cache.note_stored(&covering);
        }
        self.state.touch(&rows);
        Ok(())
    }

    /// Takes the row at each position of its key out, if there is one. Reads nothing.
    ///
    /// # Errors
    /// The columns are not what the table was opened with.
    pub fn delete(&mut self, keys: &[ArrayRef], positions: &[ArrayRef], rows: usize) -> Result<()> {
        check_columns(positions, self.position_types.len(), rows)?;
        let keys = self.keys(keys, rows)?;
        let entries = &mut self.state.entries;
        let positions = entries.encode(positions, rows)?;
        let (mut deleted, mut covering) = (Vec::new(), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            let position = positions.get(at);
            match entries.find(*key, position)? {
                Found::Row(row) => deleted.push(row),
                Found::Place(place) if entries.may_be_stored(*key, place.0, position)? => {
                    let row = entries.add(*key, position, place)?;
                    covering.push(row);
                    deleted.push(row);
                }
                Found::Place(_) => {}
            }
        }
        if let Some(cache) = &mut self.state.cache {
            cache.note_stored(&covering);
        }
        self.take_out(deleted);
        Ok(())
    }

    /// Takes rows out that were found. A number that is there several times is one row.
    pub fn delete_rows(&mut self, rows: &[u32]) {
        let rows = rows.iter().copied().filter(|row| *row != NONE).collect();
        self.take_out(rows);
    }

    fn take_out(&mut self, mut rows: Vec<u32>) {
        rows.sort_unstable();
        rows.dedup();
        self.state.touch(&rows);
        self.state.remove(rows);
    }

    /// Gives rows that were found other values, at the same positions; of a row that is there several times, the last.
    ///
    /// # Errors
    /// The columns are not what the table was opened with.
    pub fn update_rows(&mut self, rows: &[u32], values: &[ArrayRef], now: i64) -> Result<()> {
        check_columns(values, self.table()?.value_width(), rows.len())?;
        if rows.contains(&NONE) {
            return Err(Error::Plan("a row that is not there was to be updated".into()));
        }
        self.state.entries.set(rows, values, now)?;
        self.state.touch(rows);
        Ok(())
    }

    /// Takes all rows of keys out, a part at a time: as [`KeyedRows::trim`].
    ///
    /// # Errors
    /// The columns are not what the table was opened with, or the back end fails.
    pub fn clear(&mut self, backend: &mut Backend, keys: &[ArrayRef], rows: usize) -> Result<()> {
        let range = RowRange::first((CLEARED / rows.max(1)).max(1));
        loop {
            // Expired rows, too: at the beginning of time nothing has expired.
            let found = self.rows(backend, keys, rows, &range, i64::MIN)?;
            if found.rows.is_empty() {
                return Ok(());
            }
            self.take_out(found.rows);
            self.trim(backend)?;
        }
    }

    /// The row at each position of its key: its number, [`KeyedRows::NONE`] if there is none. What is missed of all is read at
    /// once.
    ///
    /// # Errors
    /// The columns are not what the table was opened with, or the back end fails.
    pub fn get(
        &mut self,
        backend: &Backend,
        keys: &[ArrayRef],
        positions: &[ArrayRef],
        rows: usize,
        now: i64,
    ) -> Result<Vec<u32>> {
        check_columns(positions, self.position_types.len(), rows)?;
        let keys = self.keys(keys, rows)?;
        let entries = &mut self.state.entries;
        let positions = entries.encode(positions, rows)?;
        let (mut found, mut missing) = (Vec::with_capacity(rows), Vec::new());
        for (at, key) in keys.iter().enumerate() {
            let position = positions.get(at);
            found.push(match entries.find(*key, position)? {
                Found::Row(row) => row,
                Found::Place(place) if entries.may_be_stored(*key, place.0, position)? => {
                    let row = entries.add(*key, position, place)?;
                    missing.push(row);
                    row
                }
                Found::Place(_) => NONE,
            });
        }
        let read = self.state.fetch(backend, &missing, &[])?;
        let mut absent = crate::state::bits::Bits::default();
        missing.iter().for_each(|row| absent.insert(*row));
        read.iter().for_each(|at| absent.remove(missing[*at]));
        let entries = &self.state.entries;
        let seen = |row: &u32| *row != NONE && !absent.has(*row) && entries.is_visible(*row, now);
        found.iter_mut().filter(|row| !seen(row)).for_each(|row| *row = NONE);
        self.state.discard(&absent.iter().collect::<Vec<u32>>());
        Ok(found)
    }

    /// The number of no row.
    pub const NONE: u32 = NONE;

    /// The values of rows that were found; null for [`KeyedRows::NONE`].
    ///
    /// # Errors
    /// They cannot be put together.
    pub fn values(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.state.entries.get(rows)
    }

    /// The positions of rows that were found.
    ///
    /// # Errors
    /// They cannot be put together.
    pub fn positions(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.state.entries.position_columns(rows)
    }

    /// Drops rows from memory that were last written so long ago that they have expired: they are not seen any more anyway, and
    /// the table drops them by itself.
    pub fn expire(&mut self, now: i64) {
        let ttl = self.state.entries.ttl;
        if ttl > 0 {
            let expired = self.state.entries.written_by(now.saturating_sub(ttl));
            self.state.discard(&expired);
        }
    }

    /// Drops rows from memory if they take too much. The numbers of rows are not theirs any more.
    ///
    /// # Errors
    /// The back end fails.
    pub fn trim(&mut self, backend: &mut Backend) -> Result<()> {
        let (nothing, budget) = (self.state.is_complete(), self.cache()?.budget());
        // There may be more operators now, and less memory for each.
        self.state.entries.filters.limit(filter_room(budget));
        self.state.entries.drop_emptied(nothing, budget == usize::MAX);
        self.state.trim(backend)
    }

    /// For a snapshot: writes what changed. What is kept back instead goes to the back end's snapshot, which follows.
    ///
    /// # Errors
    /// The back end fails.
    pub fn write_changes(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        self.state.write_changes(backend, options)
    }

    /// How many bytes the rows that are at hand take.
    pub fn size(&self) -> usize {
        self.state.entries.size()
    }
}
