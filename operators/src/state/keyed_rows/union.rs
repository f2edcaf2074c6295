//! The positions that any of several keys has a row at, each once, in their order: a merge of scans, of which little is in memory
//! at a time.
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use arrow::array::ArrayRef;
use wiesel_common::ending;

use super::read::Pieces;
use super::{KeyedRows, RowRange};
use crate::operator::Result;
use crate::state::write_back::Backend;

/// Rows of a key that are read at once: first, and at most.
const FIRST: usize = if cfg!(test) { 1 } else { 16 };
const MOST: usize = if cfg!(test) { 3 } else { 1024 };
/// Bytes of positions of all keys that are in memory at once, roughly.
const BYTES: usize = 4 << 20;
/// The least of these that a key has, so that many keys are not read row by row.
const LEAST_BYTES: usize = 4 << 10;
/// Positions that are handed on at once.
const HANDED_ON: usize = if cfg!(test) { 2 } else { 1024 };

/// The rows of one key, a page at a time.
struct Source {
    /// The columns of the key; none: all positions are in the first page.
    key: Option<Vec<ArrayRef>>,
    page: Pieces,
    at: usize,
    /// How many rows the next page has.
    limit: usize,
}

impl Source {
    /// The position that is next in its page.
    fn peek(&self) -> Option<&[u8]> {
        (self.at < self.page.len()).then(|| self.page.get(self.at))
    }
}

impl KeyedRows {
    /// Calls `each` with the positions that a row of any of these keys is at, and those in `also`: as columns of a few at a time,
    /// in their order, each once. Drops rows from memory as it goes on, as [`KeyedRows::trim`].
    ///
    /// # Errors
    /// The columns are not what the table was opened with, the back end fails, or `each` does.
    pub fn union(
        &mut self,
        backend: &mut Backend,
        keys: &[Vec<ArrayRef>],
        also: &[ArrayRef],
        now: i64,
        mut each: impl FnMut(&[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let share = (BYTES / (keys.len() + 1)).max(LEAST_BYTES);
        let mut sources = vec![Source { key: None, page: self.sorted(also)?, at: 0, limit: 0 }];
        for key in keys {
            let mut source = Source { key: Some(key.clone()), page: Pieces::default(), at: 0, limit: FIRST };
            self.turn(backend, &mut source, share, now)?;
            sources.push(source);
        }
        let first = sources.iter().enumerate().filter_map(|(at, source)| Some(Reverse((source.peek()?.to_vec(), at))));
        let mut heap: BinaryHeap<Reverse<(Vec<u8>, usize)>> = first.collect();
        let (mut found, mut last) = (Pieces::default(), None);
        while let Some(Reverse((mut position, at))) = heap.pop() {
            if last.as_ref() != Some(&position) {
                found.push(&[&position]);
                last = Some(position.clone());
            }
            if found.len() >= HANDED_ON {
                ending::check()?;
                each(&self.state.entries.decode(found.iter())?)?;
                found = Pieces::default();
            }
            let source = &mut sources[at];
            source.at += 1;
            if source.peek().is_none() {
                self.turn(backend, source, share, now)?;
            }
            if let Some(next) = source.peek() {
                position.clear();
                position.extend_from_slice(next);
                heap.push(Reverse((position, at)));
            }
        }
        match found.len() {
            0 => Ok(()),
            _ => each(&self.state.entries.decode(found.iter())?),
        }
    }

    /// Positions in their order.
    fn sorted(&self, columns: &[ArrayRef]) -> Result<Pieces> {
        let rows = columns.first().map_or(0, |column| column.len());
        let encoded = self.state.entries.encode(columns, rows)?;
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_unstable_by(|a, b| encoded.get(*a).cmp(encoded.get(*b)));
        let mut sorted = Pieces::default();
        order.into_iter().for_each(|at| sorted.push(&[encoded.get(at)]));
        Ok(sorted)
    }

    /// Turns to the next page of a source, which is empty if there is none.
    fn turn(&mut self, backend: &mut Backend, source: &mut Source, share: usize, now: i64) -> Result<()> {
        let before = std::mem::take(&mut source.page);
        source.at = 0;
        let Some(key) = &source.key else { return Ok(()) };
        let last = match before.len() {
            0 => None,
            rows => Some(self.state.entries.decode(std::iter::once(before.get(rows - 1)))?),
        };
        let lower = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.rows(backend, key, 1, &RowRange { lower, ..RowRange::first(source.limit) }, now)?;
        let positions = self.state.entries.position_bytes();
        found.rows.iter().for_each(|row| source.page.push(&[positions.get(*row)]));
        let rows = source.page.len();
        if rows < source.limit {
            // There are no more.
            source.key = None;
        } else {
            let bytes = (source.page.bytes() / rows.max(1)).max(1);
            source.limit = (4 * source.limit).min(share / bytes).clamp(1, MOST);
        }
        self.trim(backend)
    }
}
