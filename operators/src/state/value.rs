//! One value for each key: Flink's `ValueState`.
use arrow::array::ArrayRef;
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::KeyedBackend;

use super::access;
use super::batch::{Keys, Lookup, StateDescriptor};
use super::table::RowTable;
use crate::operator::Result;

/// One value for each key.
///
/// A row of the table is `key group | namespace | key` and the value's columns.
pub struct ValueState {
    table: RowTable,
}

impl ValueState {
    /// Opens the state of these columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        descriptor: &StateDescriptor<'_>,
        value: &[LogicalType],
    ) -> Result<Self> {
        Ok(Self { table: descriptor.open(backend, &[], value)? })
    }

    /// The value of each row's key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn value(&self, backend: &dyn KeyedBackend, keys: Keys<'_>) -> Result<Lookup> {
        access::look_up(backend, &self.table, &keys.heads(&self.table)?)
    }

    /// Sets the value of each row's key; of rows with the same key the last one counts.
    ///
    /// # Errors
    /// The keys or values are not what the state was opened with, or the back end fails.
    pub fn update(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>, values: &[ArrayRef], now: i64) -> Result<()> {
        access::write_last(backend, &self.table, &keys.heads(&self.table)?, values, now)
    }

    /// Takes the values of keys away.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn clear(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<()> {
        access::remove(backend, &self.table, &keys.heads(&self.table)?)
    }
}
