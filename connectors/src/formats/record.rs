//! How many bytes may come of a record. Its own bytes are bounded where it is read, but what is made of them may be many times as
//! much: two bytes of JSON, `0,`, are sixteen of a DECIMAL, and `{},` is a row with as many nulls as the type has fields.
use arrow::array::ArrayRef;
use wiesel_expressions::expression::{BATCH_BYTES, ROW_BYTES};
use wiesel_expressions::types::LogicalType;

use super::column::ColumnBuilder;
use super::message::{Made, Rows};
use super::parse::Parsed;

/// What may still be made of the record that is being read, and what was made of those before it in the batch.
pub(crate) struct RecordBudget {
    /// Of each record, at most.
    limit: usize,
    left: usize,
    /// Of records that are complete.
    made: usize,
    exceeded: bool,
}

impl Default for RecordBudget {
    fn default() -> Self {
        Self::of(ROW_BYTES)
    }
}

impl RecordBudget {
    /// So many bytes a record.
    pub(crate) fn of(limit: usize) -> Self {
        Self { limit, left: limit, made: 0, exceeded: false }
    }

    /// A record begins.
    pub(crate) fn begin(&mut self) {
        self.made += self.limit - self.left;
        self.left = self.limit;
    }

    /// A batch begins.
    pub(crate) fn begin_batch(&mut self) {
        self.begin();
        self.made = 0;
    }

    /// Takes bytes that are about to be made.
    ///
    /// # Errors
    /// There are not so many left: see [`RecordBudget::may_ignore`].
    #[inline]
    pub(crate) fn claim(&mut self, bytes: usize) -> Parsed<()> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(self.exceed()),
        }
    }

    #[cold]
    fn exceed(&mut self) -> String {
        self.exceeded = true;
        format!(
            "The values made of the record have more than {} bytes together: one record may have at most so many. Look at the \
             elements of its arrays, and declare only what is needed of them",
            self.limit
        )
    }

    /// Whether what is wrong with the record may be ignored, where parse errors are. That it was too much is none: it would be lost
    /// in silence.
    pub(crate) fn may_ignore(&self, ignore_parse_errors: bool) -> bool {
        ignore_parse_errors && !self.exceeded
    }

    /// Bytes that were made of the record.
    fn used(&self) -> usize {
        self.limit - self.left
    }

    /// The batch has enough for one.
    pub(crate) fn is_batch_full(&self) -> bool {
        self.made + (self.limit - self.left) >= BATCH_BYTES
    }
}

/// The rows of a batch that is being decoded, column by column.
pub(crate) struct RowBatch {
    pub(crate) columns: Vec<ColumnBuilder>,
    pub(crate) budget: RecordBudget,
    /// Bytes of a row without texts and elements.
    row_width: usize,
    rows: usize,
}

impl RowBatch {
    pub(crate) fn new<'t>(types: impl Iterator<Item = &'t LogicalType>) -> Self {
        let columns: Vec<_> = types.map(ColumnBuilder::new).collect();
        let row_width = columns.iter().map(ColumnBuilder::width).sum();
        Self { columns, budget: RecordBudget::default(), row_width, rows: 0 }
    }

    /// Takes the bytes of a row, without texts and elements, from the budget of its record.
    ///
    /// # Errors
    /// There are not so many left.
    #[inline]
    pub(crate) fn begin_row(&mut self) -> Parsed<()> {
        self.budget.claim(self.row_width)
    }

    /// Each column has a value more.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.rows += 1;
    }

    /// How many rows there are. A record may be several: what is made of one is bounded in bytes only.
    #[inline]
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// The rows have as many bytes as those of a batch may have.
    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.rows > 0 && self.budget.is_batch_full()
    }

    /// What became of the record that began when there were so many rows.
    pub(crate) fn made_since(&self, rows: usize) -> Made {
        Made { rows: self.rows - rows, bytes: self.budget.used() }
    }

    /// The rows, all of them inserts; none are left after it.
    pub(crate) fn take(&mut self) -> Rows {
        let rows = self.rows;
        Rows { columns: self.finish(), rows, kinds: None }
    }

    /// The columns of the rows; none are left after it.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        self.rows = 0;
        self.budget.begin_batch();
        self.columns.iter_mut().map(ColumnBuilder::finish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_has_a_limit_and_a_batch_enough() {
        let mut budget = RecordBudget::of(BATCH_BYTES - 1);
        budget.claim(BATCH_BYTES - 1).unwrap();
        assert!(!budget.is_batch_full() && budget.may_ignore(true) && !budget.may_ignore(false));
        budget.begin();
        budget.claim(1).unwrap();
        assert!(budget.is_batch_full());
        let refused = budget.claim(BATCH_BYTES - 1).unwrap_err();
        assert!(refused.contains("more than 16777215 bytes") && !budget.may_ignore(true), "{refused}");
        budget.begin_batch();
        assert!(!budget.is_batch_full());
        budget.claim(BATCH_BYTES - 1).unwrap();
    }
}
