//! Reading stretches of keys: what of them is not at hand is brought there first.
use std::ops::{Bound, ControlFlow, Range};

use arrow::array::ArrayRef;
use wiesel_state::keyed::{KeyRange, ScanOrder};

use super::entries::{Found, RowEntries};
use super::{KeyedRows, RowRange, RowSet, no_table};
use crate::operator::{Error, Result};
use crate::rows::{Encoded, KeyCodec};
use crate::state::bits::Bits;
use crate::state::table::LAST;
use crate::state::write_back::{Backend, CachedEntries};
use wiesel_common::ending;

/// Entries of a stretch that are read at once where fewer are wanted: to look for them costs more than to take them along.
const LEAST: usize = if cfg!(test) { 2 } else { 64 };
/// Bytes of a stretch that are read at once.
const BYTES: usize = if cfg!(test) { 200 } else { 1 << 20 };

/// Bytes one after another.
#[derive(Default)]
pub(super) struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    pub(super) fn push(&mut self, parts: &[&[u8]]) {
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.ends.push(self.bytes.len());
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Bytes of all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    /// Some of them.
    pub(super) fn iter(&self, range: Range<usize>) -> impl Iterator<Item = &[u8]> {
        range.map(|at| self.get(at))
    }
}

/// What is wanted for the rows of a batch.
struct Wanted {
    /// The number of each row's key.
    keys: Vec<u32>,
    /// Positions from these on; none: from the first.
    lower: Option<Pieces>,
    /// Positions before these; none: to the last.
    upper: Option<Pieces>,
    order: ScanOrder,
    limit: usize,
    now: i64,
}

impl Wanted {
    fn lower(&self, at: usize) -> &[u8] {
        self.lower.as_ref().map_or(&[], |lower| lower.get(at))
    }

    fn upper(&self, at: usize) -> Option<&[u8]> {
        self.upper.as_ref().map(|upper| upper.get(at))
    }

    /// The stretches of the key of a row of the batch that have wanted positions, in the wanted order.
    fn stretches(&self, at: usize, entries: &RowEntries) -> Result<impl Iterator<Item = usize> + use<>> {
        let order = entries.order(self.keys[at])?;
        let first = order.stretch_of(self.lower(at));
        let behind = match self.upper(at) {
            None => order.len(),
            Some(upper) => {
                let last = order.stretch_of(upper);
                if *order.stretch(last).from() < *upper { last + 1 } else { last }
            }
        };
        let (mut first, mut behind, wanted) = (first, behind.max(first), self.order);
        Ok(std::iter::from_fn(move || {
            if first == behind {
                return None;
            }
            match wanted {
                ScanOrder::Forwards => first += 1,
                ScanOrder::Backwards => behind -= 1,
            }
            Some(if wanted == ScanOrder::Forwards { first - 1 } else { behind })
        }))
    }
}

/// Stretches that are to be read, of each key one at most.
#[derive(Default)]
struct Gaps {
    keys: Vec<u32>,
    /// The keys of the table from which on they are, and up to which.
    from: Pieces,
    to: Pieces,
}

impl Gaps {
    fn push(&mut self, entries: &RowEntries, key: u32, stretch: usize) -> Result<()> {
        let (head, order) = (entries.head(key), entries.order(key)?);
        self.keys.push(key);
        self.from.push(&[head, order.stretch(stretch).from()]);
        match order.end(stretch) {
            Some(end) => self.to.push(&[head, end]),
            None => self.to.push(&[head, &[LAST]]),
        }
        Ok(())
    }

    /// Their numbers in the order of keys of the table.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.keys.len()).collect();
        order.sort_unstable_by(|a, b| self.from.get(*a).cmp(self.from.get(*b)));
        order
    }

    fn ranges(&self, order: &[usize]) -> Vec<KeyRange<'_>> {
        order.iter().map(|gap| KeyRange { from: self.from.get(*gap), to: self.to.get(*gap) }).collect()
    }
}

/// What was read of a gap.
#[derive(Default)]
struct Read {
    positions: Pieces,
    values: Pieces,
    bytes: usize,
    /// There may be more.
    stopped: bool,
}

impl KeyedRows {
    /// The rows of each row's key that are in a range, in its order. What is missed of all keys is read in one pass, or more where
    /// it is much; all that is found is at hand until the next [`KeyedRows::trim`].
    ///
    /// # Errors
    /// The columns are not what the table was opened with, or the back end fails.
    pub fn rows(
        &mut self,
        backend: &Backend,
        keys: &[ArrayRef],
        rows: usize,
        range: &RowRange<'_>,
        now: i64,
    ) -> Result<RowSet> {
        // Behind all that begin so: that is where what is excluded ends, and what is included.
        let lower = match range.lower {
            Bound::Unbounded => None,
            Bound::Included(columns) => Some(self.bounds(columns, rows, false)?),
            Bound::Excluded(columns) => Some(self.bounds(columns, rows, true)?),
        };
        let upper = match range.upper {
            Bound::Unbounded => None,
            Bound::Included(columns) => Some(self.bounds(columns, rows, true)?),
            Bound::Excluded(columns) => Some(self.bounds(columns, rows, false)?),
        };
        let keys = self.keys(keys, rows)?;
        let wanted = Wanted { keys, lower, upper, order: range.order, limit: range.limit, now };
        let mut open: Vec<usize> = (0..rows).collect();
        loop {
            let gaps = self.gaps(&wanted, &mut open)?;
            if gaps.keys.is_empty() {
                return self.collect(&wanted);
            }
            ending::check()?;
            self.bring(backend, &gaps, wanted.order, wanted.limit)?;
        }
    }

    /// Positions, or where those that begin so end (`behind`).
    fn bounds(&self, columns: &[ArrayRef], rows: usize, behind: bool) -> Result<Pieces> {
        let types = self.position_types.get(..columns.len());
        let types = types.ok_or_else(|| {
            Error::Plan(format!("a bound has {} columns, which are more than positions have", columns.len()))
        })?;
        let mut encoded = Encoded::default();
        KeyCodec::new(types)?.encode(columns, rows, 0, &mut encoded)?;
        let mut bounds = Pieces::default();
        let end: &[u8] = if behind { &[LAST] } else { &[] };
        (0..rows).for_each(|row| bounds.push(&[encoded.get(row), end]));
        Ok(bounds)
    }

    /// Of each row of the batch that is still `open` the first stretch that has to be read. What is not open any more has all that
    /// it needs at hand.
    fn gaps(&mut self, wanted: &Wanted, open: &mut Vec<usize>) -> Result<Gaps> {
        let (mut gaps, mut seen) = (Gaps::default(), Bits::default());
        let mut still_open = Vec::new();
        for at in open.drain(..) {
            let key = wanted.keys[at];
            let Some(stretch) = self.first_gap(wanted, at)? else { continue };
            still_open.push(at);
            if seen.has(key) {
                continue;
            }
            seen.insert(key);
            let entries = &mut self.state.entries;
            let (order, positions) = entries.order_mut(key)?;
            let lower = wanted.lower(at);
            let stretch = if *order.stretch(stretch).from() < *lower { order.split(positions, lower) } else { stretch };
            if let Some(upper) = wanted.upper(at)
                && order.end(stretch).is_none_or(|end| *upper < *end)
            {
                order.split(positions, upper);
            }
            gaps.push(entries, key, stretch)?;
        }
        *open = still_open;
        Ok(gaps)
    }

    /// The first stretch that has to be read for a row of the batch.
    fn first_gap(&self, wanted: &Wanted, at: usize) -> Result<Option<usize>> {
        let entries = &self.state.entries;
        let order = entries.order(wanted.keys[at])?;
        if wanted.upper(at).is_some_and(|upper| *upper <= *wanted.lower(at)) {
            return Ok(None);
        }
        let mut found = 0;
        for number in wanted.stretches(at, entries)? {
            let stretch = order.stretch(number);
            if found >= wanted.limit {
                return Ok(None);
            }
            if !stretch.complete {
                return Ok(Some(number));
            }
            if wanted.limit < usize::MAX {
                let rows = stretch.rows_within(entries.position_bytes(), wanted.lower(at), wanted.upper(at));
                found += rows.filter(|row| entries.is_visible(*row, wanted.now)).count();
            }
        }
        Ok(None)
    }

    /// Reads gaps, in one pass over the table, and takes what is there to hand.
    fn bring(&mut self, backend: &Backend, gaps: &Gaps, scan: ScanOrder, limit: usize) -> Result<()> {
        let mut read: Vec<Read> = Vec::new();
        read.resize_with(gaps.keys.len(), Read::default);
        let order = gaps.order();
        if let Some(backend) = backend {
            let entries = &self.state.entries;
            let heads: Vec<usize> = gaps.keys.iter().map(|key| entries.head(*key).len()).collect();
            let most = limit.max(LEAST);
            backend.scan_ranges(self.table()?.id, &gaps.ranges(&order), scan, &mut |at, key, value| {
                let (gap, read) = (order[at], &mut read[order[at]]);
                read.positions.push(&[&key[heads[gap]..]]);
                read.values.push(&[value]);
                read.bytes += key.len() + value.len();
                read.stopped = read.positions.len() >= most || read.bytes >= BYTES;
                Ok(if read.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            })?;
        }
        let (mut stored, mut fresh, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for (gap, read) in read.iter().enumerate() {
            let (key, entries) = (gaps.keys[gap], &mut self.state.entries);
            let from = &gaps.from.get(gap)[entries.head(key).len()..];
            note_read(entries, key, from, read, scan)?;
            for at in 0..read.positions.len() {
                let position = read.positions.get(at);
                stored.push(match entries.find(key, position)? {
                    // It may have changed since.
                    Found::Row(row) => row,
                    Found::Place(place) => {
                        let row = entries.add(key, position, place)?;
                        fresh.push(row);
                        values.push(read.values.get(at));
                        row
                    }
                });
            }
        }
        let cache = self.state.cache.as_mut().ok_or_else(no_table)?;
        cache.note_stored(&stored);
        let (columns, written) = cache.table().columns(&values)?;
        self.state.entries.load(&fresh, &columns, &written)
    }

    fn collect(&mut self, wanted: &Wanted) -> Result<RowSet> {
        let mut set = RowSet { ends: Vec::with_capacity(wanted.keys.len()), rows: Vec::new() };
        for (at, key) in wanted.keys.iter().enumerate() {
            let entries = &mut self.state.entries;
            let mut left = wanted.limit;
            for number in wanted.stretches(at, entries)? {
                if left == 0 {
                    break;
                }
                entries.order_mut(*key)?.0.stretch_mut(number).used = true;
                let stretch = entries.order(*key)?.stretch(number);
                let rows = stretch.rows_within(entries.position_bytes(), wanted.lower(at), wanted.upper(at));
                let visible = |row: &u32| entries.is_visible(*row, wanted.now);
                let before = set.rows.len();
                match wanted.order {
                    ScanOrder::Forwards => set.rows.extend(rows.filter(visible).take(left)),
                    ScanOrder::Backwards => set.rows.extend(rows.rev().filter(visible).take(left)),
                }
                left -= set.rows.len() - before;
            }
            set.ends.push(set.rows.len());
        }
        Ok(set)
    }

    /// How many rows the key of each row has. What is not at hand is counted in the table, in one pass, and stays there.
    ///
    /// # Errors
    /// The columns are not what the table was opened with, or the back end fails.
    pub fn count(&mut self, backend: &Backend, keys: &[ArrayRef], rows: usize, now: i64) -> Result<Vec<usize>> {
        let keys = self.keys(keys, rows)?;
        let mut distinct = keys.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let entries = &self.state.entries;
        let (mut counts, mut gaps, mut of) = (Vec::with_capacity(distinct.len()), Gaps::default(), Vec::new());
        for (number, key) in distinct.iter().enumerate() {
            let order = entries.order(*key)?;
            let mut count = 0;
            for stretch in 0..order.len() {
                count += order.stretch(stretch).rows().filter(|row| entries.is_visible(*row, now)).count();
                if !order.stretch(stretch).complete {
                    gaps.push(entries, *key, stretch)?;
                    of.push(number);
                }
            }
            counts.push(count);
        }
        if let Some(backend) = backend.as_ref().filter(|_| !of.is_empty()) {
            let order = gaps.order();
            let ranges = gaps.ranges(&order);
            backend.scan_ranges(self.table()?.id, &ranges, ScanOrder::Forwards, &mut |at, key, _| {
                let number = of[order[at]];
                let head = entries.head(distinct[number]).len();
                // Those that are at hand were counted, if they are to be.
                let at_hand = entries
                    .order(distinct[number])
                    .map(|order| matches!(order.find(entries.position_bytes(), &key[head..]), (_, Ok(_))));
                counts[number] += usize::from(!at_hand.unwrap_or_default());
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(keys.iter().map(|key| distinct.binary_search(key).map_or(0, |number| counts[number])).collect())
    }
}

/// Notes that a stretch was read, or the part of it up to the last position that was. It is one with those beside it that were read
/// before: else each range that was ever asked for would be a stretch for ever.
fn note_read(entries: &mut RowEntries, key: u32, from: &[u8], read: &Read, scan: ScanOrder) -> Result<()> {
    let (order, positions) = entries.order_mut(key)?;
    let mut at = order.stretch_of(from);
    if let Some(last) = read.positions.len().checked_sub(1).filter(|_| read.stopped) {
        let last = read.positions.get(last);
        match scan {
            ScanOrder::Forwards => _ = order.split(positions, &[last, &[0]].concat()),
            ScanOrder::Backwards => at = order.split(positions, last),
        }
    }
    order.stretch_mut(at).complete = true;
    order.join_at(at);
    Ok(())
}
