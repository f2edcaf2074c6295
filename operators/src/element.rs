//! What flows between operators.
use arrow::array::{Int8Array, RecordBatch};
use wiesel_expressions::expression::NO_WATERMARK;
use wiesel_expressions::row_kind::RowKind;

/// Rows that move together.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The columns.
    pub records: RecordBatch,
    /// A [`RowKind`] a row; none: all are inserts.
    pub kinds: Option<Int8Array>,
}

impl Batch {
    /// A batch of inserts.
    pub fn insert_only(records: RecordBatch) -> Self {
        Self { records, kinds: None }
    }

    /// A batch of changes.
    pub fn changes(records: RecordBatch, kinds: Int8Array) -> Self {
        debug_assert_eq!(records.num_rows(), kinds.len());
        Self { records, kinds: Some(kinds) }
    }

    /// How many rows.
    pub fn num_rows(&self) -> usize {
        self.records.num_rows()
    }

    /// The kind of a row.
    pub fn kind(&self, row: usize) -> RowKind {
        self.kinds.as_ref().and_then(|kinds| RowKind::from_byte(kinds.value(row))).unwrap_or(RowKind::Insert)
    }

    /// The weight of each row: +1 or -1.
    pub fn weights(&self) -> Vec<i8> {
        match &self.kinds {
            // Kinds that take back are the odd ones.
            Some(kinds) => kinds.values().iter().map(|kind| 1 - 2 * (kind & 1)).collect(),
            None => vec![1; self.num_rows()],
        }
    }

    /// `length` rows from `offset`, without copying.
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            records: self.records.slice(offset, length),
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
        }
    }
}

/// Whether an input takes part in the watermark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatermarkStatus {
    /// It does.
    Active,
    /// It is idle: others go on without it.
    Idle,
}

/// The smallest watermark: nothing is known yet.
pub const MIN_WATERMARK: i64 = NO_WATERMARK;
/// The watermark at the end of a bounded input.
pub const MAX_WATERMARK: i64 = i64::MAX;

/// An element of a stream, as tests keep what an operator emits.
#[cfg(test)]
#[derive(Clone, Debug)]
pub enum StreamElement {
    /// Rows.
    Batch(Batch),
    /// No row at or below this event time (milliseconds) will follow, but for late ones.
    Watermark(i64),
    /// The channel becomes idle or active.
    WatermarkStatus(WatermarkStatus),
    /// Nothing will follow.
    EndOfInput,
}
