//! Rows as bytes, in an encoding of our own: what keyed state has of keys and values. docs/checkpoint-format.md, "Rows", has it to
//! the bit; it changes with [`VERSION`] only.
//!
//! - [`KeyCodec`]: bytes whose order is that of the values, and of which none begins another's.
//! - [`ValueCodec`]: fewer bytes, in no order. Both give equal bytes to equal rows and to no others: values are equal if they are
//!   bit for bit.
//!
//! Both go through a batch column by column: first the length of each row, so that all rows have their place in one piece of
//! memory, then what each column puts there. They live here and not in `state`, which knows bytes only, because they are made of
//! columns.
use wiesel_state::keyed::Rows;

use crate::operator::Error;

mod fixed;
mod key;
mod shape;
#[cfg(test)]
mod tests;
mod value;

pub use key::KeyCodec;
pub use value::ValueCodec;

/// The version of the encoding, for the descriptors of tables. 0 was Arrow's row format.
pub const VERSION: u32 = 1;

/// The least byte that a key begins with, if it has columns. Those of version 0 begin with less.
pub const LEAST_MARK: u8 = key::NULL;

/// Encoded rows, one after another. To be used again for the next batch: its memory is.
#[derive(Clone, Debug, Default)]
pub struct Encoded {
    bytes: Vec<u8>,
    /// Where each row ends. While rows are encoded, first how long each is, then where its next column goes.
    ends: Vec<usize>,
}

impl Encoded {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Where a row begins; behind the last row: where that ends.
    fn start(&self, row: usize) -> usize {
        if row == 0 { 0 } else { self.ends[row - 1] }
    }

    /// A row.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        &self.bytes[self.start(row)..self.ends[row]]
    }

    /// A row, to fill the room before its columns.
    #[inline]
    pub fn get_mut(&mut self, row: usize) -> &mut [u8] {
        let start = self.start(row);
        &mut self.bytes[start..self.ends[row]]
    }

    /// The rows as a back end takes them.
    pub fn into_rows(self) -> Rows {
        Rows { bytes: self.bytes.into(), ends: self.ends }
    }

    /// Begins anew with so many rows of this length.
    fn begin(&mut self, rows: usize, length: usize) {
        self.ends.clear();
        self.ends.resize(rows, length);
    }

    /// Gives each row its place, by the lengths that are known now. The first column of each goes behind `room` bytes.
    fn lay_out(&mut self, room: usize) {
        let mut start = 0;
        for end in &mut self.ends {
            let length = *end;
            *end = start + room;
            start += length;
        }
        self.bytes.clear();
        self.bytes.resize(start, 0);
    }
}

/// Bytes that are no row.
fn corrupt(what: &str) -> Error {
    wiesel_state::Error::Corrupt(format!("a row is damaged: {what}")).into()
}

fn cut_off() -> Error {
    corrupt("it is cut off")
}
