//! The positions that any of several keys has a row at, each once, in their order: a merge of scans, of which a page of each key is
//! in memory at a time.
//!
//! What is in the pages up to where the first of them ends is sorted at once, by a few bytes of each position. A window of many
//! slices with many values goes through here each time it fires.
use std::iter::once;
use std::ops::{Bound, Range};

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
/// Bytes that a position takes beside its own: in its page, and where it is sorted.
const BESIDES: usize = size_of::<usize>() + size_of::<Place>();
/// Positions that are handed on at once.
const HANDED_ON: usize = if cfg!(test) { 2 } else { 1024 };

/// The rows of one key, a page at a time.
#[derive(Default)]
struct Source {
    /// The columns of the key; none: all positions that are left are in the page.
    key: Option<Vec<ArrayRef>>,
    page: Pieces,
    /// The first position of the page that was not taken yet.
    at: usize,
    /// How many rows the next page has.
    limit: usize,
}

impl Source {
    /// Whether a page is to be read. Not only when the last one is used up: then each source would be read, and all of them gone
    /// through, for the little that is left in the page of another.
    fn runs_low(&self) -> bool {
        self.key.is_some() && 2 * (self.page.len() - self.at) <= self.limit
    }

    /// The last position of the page.
    fn last(&self) -> Option<&[u8]> {
        self.page.len().checked_sub(1).map(|last| self.page.get(last))
    }

    /// Takes the positions up to this one out of the page; none: all that it has. Returns where they are.
    fn take(&mut self, bound: Option<&[u8]>) -> Range<usize> {
        let (mut from, mut to) = (self.at, self.page.len());
        match bound {
            Some(bound) if self.last() > Some(bound) => {
                while from < to {
                    let middle = from.midpoint(to);
                    match self.page.get(middle) <= bound {
                        true => from = middle + 1,
                        false => to = middle,
                    }
                }
            }
            _ => {}
        }
        std::mem::replace(&mut self.at, to)..to
    }

    /// Drops the positions that were taken.
    fn drop_taken(&mut self) {
        let mut rest = Pieces::default();
        (self.at..self.page.len()).for_each(|at| rest.push(&[self.page.get(at)]));
        (self.page, self.at) = (rest, 0);
    }
}

/// A position of a page.
struct Place {
    /// Its first bytes behind those that all have.
    head: u128,
    source: u32,
    at: u32,
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
        let of_key = |key: &Vec<ArrayRef>| Source { key: Some(key.clone()), limit: FIRST, ..Source::default() };
        let mut sources: Vec<Source> = keys.iter().map(of_key).collect();
        sources.push(Source { page: self.sorted(also)?, ..Source::default() });
        loop {
            for source in sources.iter_mut().filter(|source| source.runs_low()) {
                self.turn(backend, source, share, now)?;
            }
            let merged = merge(&mut sources);
            if merged.len() == 0 {
                return Ok(());
            }
            for from in (0..merged.len()).step_by(HANDED_ON) {
                ending::check()?;
                let part = from..(from + HANDED_ON).min(merged.len());
                each(&self.state.entries.decode(merged.iter(part))?)?;
            }
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

    /// Reads the next page of a source behind what is left of the one before.
    fn turn(&mut self, backend: &mut Backend, source: &mut Source, share: usize, now: i64) -> Result<()> {
        let Some(key) = &source.key else { return Ok(()) };
        let last = source.last().map(|last| self.state.entries.decode(once(last))).transpose()?;
        let lower = last.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        let found = self.rows(backend, key, 1, &RowRange { lower, ..RowRange::first(source.limit) }, now)?;
        source.drop_taken();
        let positions = self.state.entries.position_bytes();
        found.rows.iter().for_each(|row| source.page.push(&[positions.get(*row)]));
        if found.rows.len() < source.limit {
            // There are no more.
            source.key = None;
        } else {
            let bytes = source.page.bytes() / source.page.len().max(1) + BESIDES;
            source.limit = (4 * source.limit).min(share / bytes).clamp(1, MOST);
        }
        self.trim(backend)
    }
}

/// Takes what no source can have a smaller position than in a later page: each position once, in order. Nothing: there is no more.
fn merge(sources: &mut [Source]) -> Pieces {
    let unfinished = sources.iter().filter(|source| source.key.is_some());
    let bound = unfinished.filter_map(Source::last).min().map(<[u8]>::to_vec);
    let taken: Vec<Range<usize>> = sources.iter_mut().map(|source| source.take(bound.as_deref())).collect();
    let sources = &*sources;
    let mut places = places(sources, &taken);
    // Those of each source are in order, and the sort, which finds that, merges them.
    places.sort_by_key(|place| place.head);
    let position = |place: &Place| sources[place.source as usize].page.get(place.at as usize);
    let mut merged = Pieces::default();
    for alike in places.chunk_by_mut(|a, b| a.head == b.head) {
        let first = position(&alike[0]);
        if alike.iter().all(|place| position(place) == first) {
            merged.push(&[first]);
            continue;
        }
        alike.sort_by(|a, b| position(a).cmp(position(b)));
        let mut last = None;
        for place in &*alike {
            let next = position(place);
            if last.replace(next) != Some(next) {
                merged.push(&[next]);
            }
        }
    }
    merged
}

/// The positions of each source that were taken, source by source.
fn places(sources: &[Source], taken: &[Range<usize>]) -> Vec<Place> {
    let some = || sources.iter().zip(taken).filter(|(_, taken)| !taken.is_empty());
    let first = some().map(|(source, taken)| source.page.get(taken.start)).min();
    let last = some().map(|(source, taken)| source.page.get(taken.end - 1)).max();
    // What the first and the last of all begin with those between them do, too.
    let in_common = match (first, last) {
        (Some(first), Some(last)) => first.iter().zip(last).take_while(|(a, b)| a == b).count(),
        _ => return Vec::new(),
    };
    let mut places = Vec::with_capacity(taken.iter().map(ExactSizeIterator::len).sum());
    for (number, (source, taken)) in sources.iter().zip(taken).enumerate() {
        places.extend(taken.clone().map(|at| {
            let head = head(&source.page.get(at)[in_common..]);
            Place { head, source: number as u32, at: at as u32 }
        }));
    }
    places
}

/// The first sixteen bytes as a number that does not contradict the order of bytes.
fn head(bytes: &[u8]) -> u128 {
    let mut head = [0; 16];
    let length = bytes.len().min(16);
    head[..length].copy_from_slice(&bytes[..length]);
    u128::from_be_bytes(head)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn pages(positions: &[BTreeSet<Vec<u8>>]) -> Vec<Source> {
        let page = |positions: &BTreeSet<Vec<u8>>| {
            let mut page = Pieces::default();
            positions.iter().for_each(|position| page.push(&[position]));
            Source { page, ..Source::default() }
        };
        positions.iter().map(page).collect()
    }

    fn numbers(positions: &Pieces) -> Vec<u8> {
        positions.iter(0..positions.len()).flatten().copied().collect()
    }

    /// Bytes that begin alike for longer than what they are sorted by, and such as end with what shorter ones are filled up with.
    fn position() -> impl Strategy<Value = Vec<u8>> {
        (prop::sample::select(vec![0_usize, 3, 15, 16, 20, 40]), prop::collection::vec(0..3_u8, 0..4))
            .prop_map(|(alike, end)| [vec![7; alike], end].concat())
    }

    proptest! {
        #[test]
        fn each_position_is_there_once_and_in_order(
            positions in prop::collection::vec(prop::collection::btree_set(position(), 0..20), 0..5),
        ) {
            let mut sources = pages(&positions);
            let merged = merge(&mut sources);
            let expected: BTreeSet<&Vec<u8>> = positions.iter().flatten().collect();
            prop_assert!(merged.iter(0..merged.len()).eq(expected.iter().map(|position| &position[..])));
            prop_assert_eq!(merge(&mut sources).len(), 0);
        }
    }

    /// What is behind the end of a page waits for the next one.
    #[test]
    fn nothing_is_taken_that_a_later_page_may_come_before() {
        let positions = [[1, 4, 9], [2, 4, 7], [3, 5, 8]].map(|page| BTreeSet::from(page.map(|number| vec![number])));
        let mut sources = pages(&positions);
        sources[1].key = Some(Vec::new());
        let merged = numbers(&merge(&mut sources));
        assert_eq!(merged, [1, 2, 3, 4, 5, 7]);
        assert_eq!(sources.iter().map(|source| source.at).collect::<Vec<_>>(), [2, 3, 2]);
        sources[1].key = None;
        let merged = numbers(&merge(&mut sources));
        assert_eq!(merged, [8, 9]);
    }
}
