//! One accumulator for each key: Flink's `AggregatingState`.
use arrow::array::ArrayRef;
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::KeyedBackend;

use super::access::{self, Stored, interleave_all};
use super::batch::{Keys, Lookup, Runs, StateDescriptor, check_columns};
use super::table::RowTable;
use crate::operator::Result;

/// How rows become an accumulator and an accumulator a result, for many keys at once: Flink's `AggregateFunction`.
pub trait AggregateFunction: Send {
    /// The accumulators of `count` new keys.
    ///
    /// # Errors
    /// As the function has it.
    fn create(&self, count: usize) -> Result<Vec<ArrayRef>>;

    /// The accumulators with rows of input added, in the order of rows: row `i` goes to the accumulator `targets[i]`.
    ///
    /// # Errors
    /// As the function has it.
    fn add(&self, accumulators: Vec<ArrayRef>, targets: &[u32], input: &[ArrayRef]) -> Result<Vec<ArrayRef>>;

    /// What accumulators come to, a row each.
    ///
    /// # Errors
    /// As the function has it.
    fn result(&self, accumulators: &[ArrayRef]) -> Result<Vec<ArrayRef>>;
}

/// One accumulator for each key, to which rows are added.
///
/// A row of the table is `key group | namespace | key` and the accumulator's columns, as in a [`super::ValueState`].
pub struct AggregatingState {
    table: RowTable,
    function: Box<dyn AggregateFunction>,
}

impl AggregatingState {
    /// Opens the state with accumulators of these columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        descriptor: &StateDescriptor<'_>,
        accumulator: &[LogicalType],
        function: Box<dyn AggregateFunction>,
    ) -> Result<Self> {
        Ok(Self { table: descriptor.open(backend, &[], accumulator)?, function })
    }

    /// The result of each row's key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, the function fails, or the back end does.
    pub fn get(&self, backend: &dyn KeyedBackend, keys: Keys<'_>) -> Result<Lookup> {
        let keys = keys.heads(&self.table)?;
        let runs = Runs::new(&keys);
        let mut stored = access::read(backend, &self.table, &keys, &runs)?;
        let results = self.function.result(&stored.columns)?;
        check_columns(&results, results.len(), stored.at.iter().flatten().count())?;
        stored.columns = results;
        stored.spread(&runs)
    }

    /// Adds each row of input to the accumulator of its key, in the order of rows.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, the function fails, or the back end does.
    pub fn add(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>, input: &[ArrayRef], now: i64) -> Result<()> {
        check_columns(input, input.len(), keys.rows())?;
        let keys = keys.heads(&self.table)?;
        let runs = Runs::new(&keys);
        if runs.len() == 0 {
            return Ok(());
        }
        let stored = access::read(backend, &self.table, &keys, &runs)?;
        let accumulators = self.accumulators(stored)?;
        let added = self.function.add(accumulators, &runs.by_row(), input)?;
        let values = access::encode(&self.table, &added, runs.len(), now)?;
        access::write(backend, &self.table, &keys, &runs, |run, _| Some(values.share(run)))
    }

    /// Takes the accumulators of keys away.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn clear(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<()> {
        access::remove(backend, &self.table, &keys.heads(&self.table)?)
    }

    /// The accumulator of each key: what it has, or a new one.
    fn accumulators(&self, stored: Stored) -> Result<Vec<ArrayRef>> {
        let mut count = 0;
        let mut new = || {
            count += 1;
            (1, count - 1)
        };
        let rows: Vec<(usize, usize)> =
            stored.at.iter().map(|at| at.map_or_else(&mut new, |at| (0, at as usize))).collect();
        let created = self.function.create(count)?;
        check_columns(&created, self.table.value_width(), count)?;
        match count {
            0 => Ok(stored.columns),
            _ => interleave_all(&stored.columns, &self.table.typed(&created)?, &rows),
        }
    }
}
