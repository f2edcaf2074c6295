//! Batches of keys.
use arrow::array::{Array, ArrayRef};
use wiesel_state::keyed::Rows;

use super::table::RowTable;
use crate::operator::{Error, Result};

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

    /// The rows of each key.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[usize]> {
        let start = |run: usize| if run == 0 { 0 } else { self.ends[run - 1] };
        (0..self.ends.len()).map(move |run| &self.rows[start(run)..self.ends[run]])
    }
}
