//! One value for each key, made of all that was added: Flink's `ReducingState`.
use arrow::array::{ArrayRef, UInt32Array};
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::KeyedBackend;

use super::access::{self, interleave_all, take_all};
use super::batch::{Keys, Lookup, Runs, StateDescriptor, check_columns};
use super::table::RowTable;
use crate::operator::Result;

/// Makes one value of two, for many rows at once: the columns of what came before and of what came after. It must be
/// associative: of many values neighbours are combined first.
pub type ReduceFunction = Box<dyn Fn(&[ArrayRef], &[ArrayRef]) -> Result<Vec<ArrayRef>> + Send>;

/// One value for each key, made of all that was added.
///
/// A row of the table is `key group | namespace | key` and the value's columns, as in a [`super::ValueState`].
pub struct ReducingState {
    table: RowTable,
    reduce: ReduceFunction,
}

impl ReducingState {
    /// Opens the state of these columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        descriptor: &StateDescriptor<'_>,
        value: &[LogicalType],
        reduce: ReduceFunction,
    ) -> Result<Self> {
        Ok(Self { table: descriptor.open(backend, &[], value)?, reduce })
    }

    /// The value of each row's key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn get(&self, backend: &dyn KeyedBackend, keys: Keys<'_>) -> Result<Lookup> {
        access::look_up(backend, &self.table, &keys.heads(&self.table)?)
    }

    /// Adds each row's value to that of its key, in the order of rows.
    ///
    /// # Errors
    /// The keys or values are not what the state was opened with, the function fails, or the back end does.
    pub fn add(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>, values: &[ArrayRef], now: i64) -> Result<()> {
        check_columns(values, self.table.value_width(), keys.rows())?;
        let keys = keys.heads(&self.table)?;
        let runs = Runs::new(&keys);
        if runs.len() == 0 {
            return Ok(());
        }
        let stored = access::read(backend, &self.table, &keys, &runs)?;
        // What each key has, then what is added to it; key by key.
        let (mut rows, mut lengths) = (Vec::with_capacity(keys.len() + runs.len()), Vec::with_capacity(runs.len()));
        for (at, added) in stored.at.iter().zip(runs.iter()) {
            rows.extend(at.iter().map(|at| (0, *at as usize)));
            rows.extend(added.iter().map(|row| (1, *row)));
            lengths.push(added.len() + usize::from(at.is_some()));
        }
        let columns = interleave_all(&stored.columns, &self.table.typed(values)?, &rows)?;
        let reduced = self.reduce(columns, lengths)?;
        let values = access::encode(&self.table, &reduced, runs.len(), now)?;
        access::write(backend, &self.table, &keys, &runs, |run, _| Some(values.share(run)))
    }

    /// Takes the values of keys away.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn clear(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<()> {
        access::remove(backend, &self.table, &keys.heads(&self.table)?)
    }

    /// One row of each of these stretches of rows: neighbours are combined, in all stretches at once.
    fn reduce(&self, mut columns: Vec<ArrayRef>, mut lengths: Vec<usize>) -> Result<Vec<ArrayRef>> {
        while lengths.iter().any(|length| *length > 1) {
            let (mut before, mut after, mut left) = (Vec::new(), Vec::new(), Vec::new());
            let mut start = 0;
            for length in &mut lengths {
                for at in (start..start + *length - 1).step_by(2) {
                    left.push((0, before.len()));
                    before.push(at as u32);
                    after.push(at as u32 + 1);
                }
                start += *length;
                if *length % 2 == 1 {
                    left.push((1, start - 1));
                }
                *length = length.div_ceil(2);
            }
            let (before, after) = (UInt32Array::from(before), UInt32Array::from(after));
            let combined = (self.reduce)(&take_all(&columns, &before)?, &take_all(&columns, &after)?)?;
            check_columns(&combined, columns.len(), before.values().len())?;
            columns = interleave_all(&self.table.typed(&combined)?, &columns, &left)?;
        }
        Ok(columns)
    }
}
