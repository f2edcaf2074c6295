//! The rows of one key that are at hand, in the order of their positions.
//!
//! Positions are cut into stretches. Of a stretch either all that the table has is at hand, or rows may be missing: so a part of a
//! key can be read, and a part of it evicted. A key with few rows has one stretch, and takes memory for that alone.
use crate::aggregate::key_bytes::KeyBytes;
use crate::rows::LEAST_MARK;

/// Rows of a stretch, at most: one more, and it is cut. Few in tests, where few rows are to be many stretches.
const MOST: usize = if cfg!(test) { 4 } else { 256 };

/// The larger of the marks that a position begins with, which is odd.
const VALUE_MARK: u8 = LEAST_MARK + 1;

/// A row, and the first bytes of its position: few positions have to be looked up to find one.
#[derive(Clone, Copy)]
struct Place {
    prefix: u64,
    row: u32,
}

/// Rows of a stretch of positions.
pub(super) struct Stretch {
    /// Its positions are from this one on, up to the next stretch's.
    from: Box<[u8]>,
    /// All that the table has of it is at hand.
    pub(super) complete: bool,
    /// It was needed since eviction last came by.
    pub(super) used: bool,
    places: Vec<Place>,
}

impl Stretch {
    fn new(from: Box<[u8]>, complete: bool) -> Self {
        Self { from, complete, used: true, places: Vec::new() }
    }

    /// The position from which on it is.
    pub(super) fn from(&self) -> &[u8] {
        &self.from
    }

    /// Where a row with this position is, or would be.
    fn search(&self, positions: &KeyBytes, position: &[u8]) -> Result<usize, usize> {
        let prefix = prefix(position);
        self.places
            .binary_search_by(|place| place.prefix.cmp(&prefix).then_with(|| positions.get(place.row).cmp(position)))
    }

    /// The rows, in order.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = u32> + '_ {
        self.places.iter().map(|place| place.row)
    }

    /// Its rows at positions in these bounds, in order; none: without that bound.
    pub(super) fn rows_within<'a>(
        &'a self,
        positions: &KeyBytes,
        lower: &[u8],
        upper: Option<&[u8]>,
    ) -> impl DoubleEndedIterator<Item = u32> + use<'a> {
        let at = |position: &[u8]| self.search(positions, position).unwrap_or_else(|at| at);
        let start = if *lower <= *self.from { 0 } else { at(lower) };
        let end = upper.map_or(self.places.len(), at).max(start);
        self.places[start..end].iter().map(|place| place.row)
    }

    /// Whether it and the next one are alike and have few rows.
    fn joins(&self, next: &Self) -> bool {
        let few = self.places.len() + next.places.len() <= MOST / 2;
        self.complete == next.complete && (few || self.places.is_empty() || next.places.is_empty())
    }

    /// Takes all of the next one.
    fn append(&mut self, next: &mut Self) {
        self.places.append(&mut next.places);
        self.used |= next.used;
    }

    /// Drops the rows that are not to stay.
    pub(super) fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        self.places.retain(|place| stays(place.row));
    }
}

/// All stretches of a key.
pub(super) struct Order {
    first: Stretch,
    /// Those behind it.
    more: Vec<Stretch>,
    /// Where these begin, as [`prefix`]: close together, for a key may have many thousands.
    prefixes: Vec<u64>,
}

impl Order {
    /// Without rows at hand; `complete`: nor has the table any.
    pub(super) fn new(complete: bool) -> Self {
        Self { first: Stretch::new(Box::default(), complete), more: Vec::new(), prefixes: Vec::new() }
    }

    /// How many stretches there are.
    pub(super) fn len(&self) -> usize {
        1 + self.more.len()
    }

    /// Whether no row is at hand.
    pub(super) fn is_empty(&self) -> bool {
        self.first.places.is_empty() && self.more.iter().all(|stretch| stretch.places.is_empty())
    }

    /// Whether all that the table has of the key is at hand.
    pub(super) fn is_complete(&self) -> bool {
        self.first.complete && self.more.iter().all(|stretch| stretch.complete)
    }

    pub(super) fn stretch(&self, at: usize) -> &Stretch {
        if at == 0 { &self.first } else { &self.more[at - 1] }
    }

    pub(super) fn stretch_mut(&mut self, at: usize) -> &mut Stretch {
        if at == 0 { &mut self.first } else { &mut self.more[at - 1] }
    }

    /// Where a stretch ends; none: with the key.
    pub(super) fn end(&self, at: usize) -> Option<&[u8]> {
        self.more.get(at).map(|next| &*next.from)
    }

    /// The stretch of a position.
    pub(super) fn stretch_of(&self, position: &[u8]) -> usize {
        if self.more.is_empty() {
            return 0;
        }
        let prefix = prefix(position);
        let before = self.prefixes.partition_point(|from| *from < prefix);
        let alike = self.prefixes[before..].partition_point(|from| *from == prefix);
        before + self.more[before..before + alike].partition_point(|stretch| *stretch.from <= *position)
    }

    /// The stretch of a position, and its row there, or where in the stretch it would be.
    pub(super) fn find(&self, positions: &KeyBytes, position: &[u8]) -> (usize, Result<u32, usize>) {
        let at = self.stretch_of(position);
        let stretch = self.stretch(at);
        (at, stretch.search(positions, position).map(|place| stretch.places[place].row))
    }

    /// Takes in a row where [`Order::find`] said it would be.
    pub(super) fn insert(&mut self, positions: &KeyBytes, row: u32, (at, place): (usize, usize)) {
        let last = at == self.more.len();
        let stretch = self.stretch_mut(at);
        stretch.places.insert(place, Place { prefix: prefix(positions.get(row)), row });
        if stretch.places.len() > MOST {
            // Rows that come in order leave full stretches behind.
            let kept = if last && place == MOST { MOST } else { MOST / 2 };
            let from = positions.get(stretch.places[kept].row).into();
            self.cut(at, kept, from);
        }
    }

    /// Takes out the row at a position. Stretches that it leaves without rows are joined with others.
    pub(super) fn remove(&mut self, positions: &KeyBytes, position: &[u8]) {
        let at = self.stretch_of(position);
        let stretch = self.stretch_mut(at);
        if let Ok(place) = stretch.search(positions, position) {
            stretch.places.remove(place);
            if stretch.places.is_empty() {
                self.join();
            }
        }
    }

    /// Sees to it that a stretch begins at this position, and returns which one.
    pub(super) fn split(&mut self, positions: &KeyBytes, position: &[u8]) -> usize {
        let at = self.stretch_of(position);
        let stretch = self.stretch(at);
        if *stretch.from == *position {
            return at;
        }
        let kept = stretch.search(positions, position).unwrap_or_else(|place| place);
        self.cut(at, kept, position.into());
        at + 1
    }

    fn cut(&mut self, at: usize, kept: usize, from: Box<[u8]>) {
        let stretch = self.stretch_mut(at);
        let places = stretch.places.split_off(kept);
        let behind = Stretch { from, complete: stretch.complete, used: stretch.used, places };
        self.prefixes.insert(at, prefix(&behind.from));
        self.more.insert(at, behind);
    }

    /// Joins neighbours that are alike and have few rows.
    pub(super) fn join(&mut self) {
        let mut joined: usize = 0;
        for at in 0..self.more.len() {
            let (before, rest) = match joined {
                0 => (&mut self.first, &mut self.more[..]),
                _ => {
                    let (before, rest) = self.more.split_at_mut(joined);
                    (&mut before[joined - 1], rest)
                }
            };
            let stretch = &mut rest[at - joined];
            if before.joins(stretch) {
                before.append(stretch);
            } else {
                self.more.swap(joined, at);
                self.prefixes.swap(joined, at);
                joined += 1;
            }
        }
        self.more.truncate(joined);
        self.prefixes.truncate(joined);
    }

    /// Joins a stretch with the neighbours that are like it and have few rows.
    pub(super) fn join_at(&mut self, at: usize) {
        self.join_next(at);
        if at > 0 {
            self.join_next(at - 1);
        }
    }

    fn join_next(&mut self, at: usize) {
        if self.more.get(at).is_some_and(|next| self.stretch(at).joins(next)) {
            let mut next = self.more.remove(at);
            self.prefixes.remove(at);
            self.stretch_mut(at).append(&mut next);
        }
    }
}

/// The first bytes of a position, or of a bound of positions, as a number that does not contradict its order. A position begins
/// with one of two marks, of which the last bit tells.
fn prefix(position: &[u8]) -> u64 {
    let mut bytes = [0; 9];
    let length = position.len().min(9);
    bytes[..length].copy_from_slice(&position[..length]);
    let [mark, rest @ ..] = bytes;
    match mark {
        ..=VALUE_MARK => u64::from(mark & 1) << 63 | u64::from_be_bytes(rest) >> 1,
        // Behind all positions.
        _ => u64::MAX,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// A position as the encoding of keys makes them.
    fn position(number: u16, text: u8) -> Vec<u8> {
        [&[0x11, 0, 0, 0, 0, 0, 0][..], &number.to_be_bytes(), &[0x11], &vec![b'a'; text.into()][..], &[0]].concat()
    }

    proptest! {
        /// Its rows are in order and each is found, however its stretches are cut and joined.
        #[test]
        fn rows_are_in_order(
            steps in prop::collection::vec((0..7_u8, 0..40_u16, 0..3_u8), 0..200),
        ) {
            let (mut order, mut positions, mut expected) = (Order::new(true), KeyBytes::default(), BTreeMap::new());
            for (row, (step, number, text)) in steps.into_iter().enumerate() {
                let (row, position) = (row as u32, position(number, text));
                match step {
                    0..3 => if let (stretch, Err(place)) = order.find(&positions, &position) {
                        positions.set(row, &position);
                        order.insert(&positions, row, (stretch, place));
                        expected.insert(position, row);
                    },
                    3 => {
                        order.remove(&positions, &position);
                        expected.remove(&position);
                    }
                    4 => {
                        let at = order.split(&positions, &position);
                        prop_assert_eq!(order.stretch(at).from(), &position[..]);
                        // Some are not joined with others.
                        order.stretch_mut(at).complete = text > 0;
                    }
                    5 => order.join_at(usize::from(number) % order.len()),
                    _ => order.join(),
                }
                let rows: Vec<u32> = (0..order.len()).flat_map(|at| order.stretch(at).rows()).collect();
                prop_assert_eq!(rows, expected.values().copied().collect::<Vec<u32>>());
                for (position, row) in &expected {
                    let (at, found) = order.find(&positions, position);
                    prop_assert_eq!(found, Ok(*row));
                    prop_assert!(order.stretch(at).from() <= &position[..]);
                    prop_assert!(order.end(at).is_none_or(|end| &position[..] < end));
                }
                let most = (0..order.len()).map(|at| order.stretch(at).rows().count()).max();
                prop_assert!(most <= Some(MOST) && order.is_empty() == expected.is_empty());
            }
        }
    }
}
