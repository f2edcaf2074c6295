//! Batches of keys, and what is read for them.
use std::ops::Range;

use arrow::array::{Array, ArrayRef};
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::{KeyedBackend, Rows};

use super::table::{RowTable, TableLayout};
use crate::operator::{Error, Result};

/// What a keyed state is opened with, beside the types of its values.
#[derive(Clone, Debug)]
pub struct StateDescriptor<'a> {
    /// Its name within the operator.
    pub name: &'a str,
    /// The types of the key's columns.
    pub key: &'a [LogicalType],
    /// Keys have a namespace, such as the end of a window: [`Keys::in_namespaces`].
    pub namespace: bool,
    /// Milliseconds for which a value is kept after it was written, and not seen any more after them; 0: for ever.
    pub ttl: i64,
    /// The job's number of key groups.
    pub max_parallelism: u32,
}

impl StateDescriptor<'_> {
    /// The state's table.
    pub(super) fn open(
        &self,
        backend: &mut dyn KeyedBackend,
        sub_key: &[LogicalType],
        value: &[LogicalType],
    ) -> Result<RowTable> {
        let Self { name, key, namespace, ttl, max_parallelism } = *self;
        RowTable::open(backend, &TableLayout { name, key, sub_key, value, namespace, ttl, max_parallelism })
    }
}

/// The keys of a batch, one for each row. A key may be there several times.
#[derive(Clone, Copy, Debug)]
pub struct Keys<'a> {
    columns: &'a [ArrayRef],
    namespaces: &'a [i64],
    rows: usize,
}

impl<'a> Keys<'a> {
    /// The keys of `rows` rows.
    pub fn new(columns: &'a [ArrayRef], rows: usize) -> Self {
        Self { columns, namespaces: &[], rows }
    }

    /// The same keys, each in a namespace.
    pub fn in_namespaces(self, namespaces: &'a [i64]) -> Self {
        Self { namespaces, ..self }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> &'a [ArrayRef] {
        self.columns
    }

    /// The keys in the table, without a sub-key.
    pub(super) fn heads(&self, table: &RowTable) -> Result<Rows> {
        self.check(table)?;
        table.heads(self.columns, self.namespaces, self.rows)
    }

    /// The keys in the table, each with a sub-key.
    pub(super) fn with_sub_keys(&self, table: &RowTable, sub_keys: &[ArrayRef]) -> Result<Rows> {
        self.check(table)?;
        check_columns(sub_keys, table.key_width() - table.head_width(), self.rows)?;
        table.keys(&[self.columns, sub_keys].concat(), self.namespaces, self.rows)
    }

    fn check(&self, table: &RowTable) -> Result<()> {
        check_columns(self.columns, table.head_width(), self.rows)?;
        let expected = if table.has_namespace() { self.rows } else { 0 };
        if self.namespaces.len() != expected {
            let given = self.namespaces.len();
            return Err(Error::Plan(format!("{given} namespaces were given for state that takes {expected}")));
        }
        Ok(())
    }
}

/// Whether there are so many columns of so many rows.
pub(super) fn check_columns(columns: &[ArrayRef], width: usize, rows: usize) -> Result<()> {
    if columns.len() != width {
        return Err(Error::Plan(format!("{} columns were given for state that takes {width}", columns.len())));
    }
    match columns.iter().find(|column| column.len() != rows) {
        Some(column) => Err(Error::Plan(format!("a column of {} rows was given for {rows} keys", column.len()))),
        None => Ok(()),
    }
}

/// What was read for the rows of a batch.
#[derive(Clone, Debug)]
pub struct Lookup {
    /// Whether there is a value for each row.
    pub found: Vec<bool>,
    /// The values, a row each; null where there is none.
    pub columns: Vec<ArrayRef>,
}

/// The entries that were read for the rows of a batch, those of each row behind those of the row before.
#[derive(Clone, Debug)]
pub struct Entries {
    /// Where the entries of each row end.
    pub ends: Vec<usize>,
    /// The keys of a map's entries. Lists have none.
    pub sub_keys: Vec<ArrayRef>,
    /// The values.
    pub values: Vec<ArrayRef>,
}

impl Entries {
    /// Which entries are a row's.
    pub fn range(&self, row: usize) -> Range<usize> {
        (if row == 0 { 0 } else { self.ends[row - 1] })..self.ends[row]
    }
}

/// The rows of a batch by key: the keys in their order, and of each its rows as they came.
pub(super) struct Runs {
    rows: Vec<usize>,
    ends: Vec<usize>,
}

impl Runs {
    pub(super) fn new(keys: &Rows) -> Self {
        let mut rows = keys.order();
        let (mut ends, mut start) = (Vec::new(), 0);
        while start < rows.len() {
            let key = keys.get(rows[start]);
            let end = start + rows[start..].iter().take_while(|row| keys.get(**row) == key).count();
            rows[start..end].sort_unstable();
            ends.push(end);
            start = end;
        }
        Self { rows, ends }
    }

    /// How many keys there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The rows of each key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[usize]> {
        let start = |run: usize| if run == 0 { 0 } else { self.ends[run - 1] };
        (0..self.len()).map(move |run| &self.rows[start(run)..self.ends[run]])
    }

    /// The key of each row, by number.
    pub(super) fn by_row(&self) -> Vec<u32> {
        let mut runs = vec![0; self.rows.len()];
        for (run, rows) in self.iter().enumerate() {
            rows.iter().for_each(|row| runs[*row] = run as u32);
        }
        runs
    }
}
