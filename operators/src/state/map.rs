//! A map for each key: Flink's `MapState`.
use arrow::array::ArrayRef;
use bytes::Bytes;
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::KeyedBackend;

use super::access;
use super::batch::{Entries, Keys, Lookup, Runs, StateDescriptor};
use super::table::RowTable;
use crate::operator::Result;

/// A map for each key, in the order of its keys, which are called sub-keys here.
///
/// A row of the table is `key group | namespace | key | sub-key` and the value's columns: an entry is read and written
/// by itself, lives by itself if there is a time to live, and all entries of a key are beside one another.
pub struct MapState {
    table: RowTable,
}

impl MapState {
    /// Opens maps from columns to columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        descriptor: &StateDescriptor<'_>,
        sub_key: &[LogicalType],
        value: &[LogicalType],
    ) -> Result<Self> {
        Ok(Self { table: descriptor.open(backend, sub_key, value)? })
    }

    /// The value of each row's sub-key in the map of its key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn get(&self, backend: &dyn KeyedBackend, keys: Keys<'_>, sub_keys: &[ArrayRef]) -> Result<Lookup> {
        access::look_up(backend, &self.table, &keys.with_sub_keys(&self.table, sub_keys)?)
    }

    /// Whether each row's sub-key is in the map of its key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn contains(&self, backend: &dyn KeyedBackend, keys: Keys<'_>, sub_keys: &[ArrayRef]) -> Result<Vec<bool>> {
        Ok(self.get(backend, keys, sub_keys)?.found)
    }

    /// Puts each row's value under its sub-key into the map of its key; of rows that are the same in both the last one
    /// counts.
    ///
    /// # Errors
    /// The keys or values are not what the state was opened with, or the back end fails.
    pub fn put(
        &self,
        backend: &mut dyn KeyedBackend,
        keys: Keys<'_>,
        sub_keys: &[ArrayRef],
        values: &[ArrayRef],
        now: i64,
    ) -> Result<()> {
        access::write_last(backend, &self.table, &keys.with_sub_keys(&self.table, sub_keys)?, values, now)
    }

    /// Takes each row's sub-key out of the map of its key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn remove(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>, sub_keys: &[ArrayRef]) -> Result<()> {
        access::remove(backend, &self.table, &keys.with_sub_keys(&self.table, sub_keys)?)
    }

    /// All entries of each row's key, in the order of sub-keys. One scan for each key; all are in memory at once.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn entries(&self, backend: &dyn KeyedBackend, keys: Keys<'_>) -> Result<Entries> {
        let heads = keys.heads(&self.table)?;
        let runs = Runs::new(&heads);
        access::scan(backend, &self.table, &heads, &runs)?.spread(&self.table, &runs)
    }

    /// Takes all entries of keys away. One scan for each key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn clear(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<()> {
        let heads = keys.heads(&self.table)?;
        let scanned = access::scan(backend, &self.table, &heads, &Runs::new(&heads))?;
        let entries: Vec<(Bytes, Option<Bytes>)> = scanned.keys.into_iter().map(|key| (key, None)).collect();
        access::write_entries(backend, &self.table, entries)
    }
}
