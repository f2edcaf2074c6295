//! Values that groups keep in the order in which they came, and of which the first that equals another is found, and taken
//! out, without a look at all of them: functions that keep values are given and take back as many as there is memory for.
//!
//! Those of a group that has many are numbered: each is a row of keyed state ([`super::numbered_rows`]), and what changed of them is
//! known until it is written.
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use xxhash_rust::xxh3::xxh3_64;

use super::values::Value;

/// So many are looked through: an index of them would take more than it saves.
const FEW: usize = 16;

/// Where no equal value follows.
const NONE: usize = usize::MAX;

/// What is kept.
pub(super) trait Keep {
    /// Two with the same are equal.
    fn key(&self) -> &[u8];
    /// How many bytes it takes.
    fn bytes(&self) -> usize;
}

impl Keep for Value {
    fn key(&self) -> &[u8] {
        self
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.len()
    }
}

/// A value and how often it came.
impl Keep for (Value, i32) {
    fn key(&self) -> &[u8] {
        &self.0
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.0.len()
    }
}

/// What one group keeps.
pub(super) struct Kept<T> {
    /// In the order in which they came; none where one was taken out. The last one is never none.
    slots: Vec<Option<T>>,
    /// The slot of the first value.
    head: usize,
    count: usize,
    /// Bytes of the values.
    bytes: usize,
    /// Made when a value is looked for among many, and from then on kept up to date.
    index: Option<Box<Index>>,
    /// If the values are rows.
    numbers: Option<Box<Numbers>>,
}

/// The numbers of values that are rows.
#[derive(Default)]
struct Numbers {
    /// Of each slot, in ascending order.
    of_slots: Vec<i64>,
    /// The next value's.
    next: i64,
    /// The table may have rows with numbers below this one. Those from it on are new to it.
    written: i64,
    /// Those below it of values that changed or went since rows were written; some are there several times.
    changed: Vec<i64>,
    /// How many of them there were when each was there once.
    different: usize,
}

impl Numbers {
    fn note_changed(&mut self, at: usize) {
        let number = self.of_slots[at];
        if number >= self.written {
            return;
        }
        self.changed.push(number);
        if self.changed.len() > 2 * self.different + FEW {
            self.changed.sort_unstable();
            self.changed.dedup();
            self.different = self.changed.len();
        }
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + (self.of_slots.capacity() + self.changed.capacity()) * size_of::<i64>()
    }
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), head: 0, count: 0, bytes: 0, index: None, numbers: None }
    }
}

impl<T: Keep> Kept<T> {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn first(&self) -> Option<&T> {
        self.slots.get(self.head)?.as_ref()
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.slots.last()?.as_ref()
    }

    pub(super) fn push(&mut self, value: T) {
        if let Some(index) = &mut self.index {
            index.add(&self.slots, self.slots.len(), value.key());
        }
        if let Some(numbers) = &mut self.numbers {
            numbers.of_slots.push(numbers.next);
            numbers.next = numbers.next.saturating_add(1);
        }
        self.bytes += value.bytes();
        self.count += 1;
        self.slots.push(Some(value));
    }

    /// The first that is equal, to change it. What is done to it must change neither its key nor its bytes.
    pub(super) fn find_mut(&mut self, key: &[u8]) -> Option<&mut T> {
        self.make_index();
        let at = match &self.index {
            Some(index) => index.first(&self.slots, key),
            None => self.look_through(key),
        }?;
        self.note_changed(at);
        self.slots.get_mut(at)?.as_mut()
    }

    /// Takes out the first that is equal. The others keep their order.
    pub(super) fn take_first(&mut self, key: &[u8]) -> Option<T> {
        self.make_index();
        let at = match &mut self.index {
            Some(index) => index.take_first(&self.slots, key),
            None => self.look_through(key),
        }?;
        self.note_changed(at);
        let value = self.slots.get_mut(at)?.take()?;
        self.count -= 1;
        self.bytes -= value.bytes();
        self.tidy();
        Some(value)
    }

    /// Takes out all; the room for them is kept.
    pub(super) fn clear(&mut self) {
        (0..self.slots.len()).for_each(|at| self.note_changed(at));
        self.slots.clear();
        self.numbers.iter_mut().for_each(|numbers| numbers.of_slots.clear());
        (self.head, self.count, self.bytes, self.index) = (0, 0, 0, None);
    }

    /// Whether the values are rows.
    pub(super) fn is_numbered(&self) -> bool {
        self.numbers.is_some()
    }

    /// The values are rows from now on, all of them new to the table.
    pub(super) fn number(&mut self) {
        let of_slots: Vec<i64> = (0..self.slots.len() as i64).collect();
        let next = of_slots.len() as i64;
        self.numbers = Some(Box::new(Numbers { of_slots, next, ..Numbers::default() }));
    }

    /// Takes in a value as its row has it; of these, one after another in the order of their numbers.
    pub(super) fn push_numbered(&mut self, number: i64, value: T) {
        if let Some(numbers) = &mut self.numbers {
            numbers.next = number;
        }
        self.push(value);
        self.note_written();
    }

    fn note_changed(&mut self, at: usize) {
        if let Some(numbers) = &mut self.numbers {
            numbers.note_changed(at);
        }
    }

    /// The rows that changed since they were written, in the order of their numbers; none: it went.
    pub(super) fn changes(&self) -> impl Iterator<Item = (i64, Option<&T>)> {
        let (mut changed, mut new) = (Vec::new(), 0);
        let mut of_slots: &[i64] = &[];
        if let Some(numbers) = &self.numbers {
            changed.clone_from(&numbers.changed);
            of_slots = &numbers.of_slots;
            new = of_slots.partition_point(|number| *number < numbers.written);
        }
        changed.sort_unstable();
        changed.dedup();
        let changed = changed.into_iter().map(move |number| {
            let at = of_slots.binary_search(&number).ok();
            (number, at.and_then(|at| self.slots.get(at)?.as_ref()))
        });
        let new = of_slots.iter().zip(&self.slots).skip(new);
        changed.chain(new.filter_map(|(number, slot)| Some((*number, Some(slot.as_ref()?)))))
    }

    /// The rows are as the values are.
    pub(super) fn note_written(&mut self) {
        if let Some(numbers) = &mut self.numbers {
            (numbers.written, numbers.changed, numbers.different) = (numbers.next, Vec::new(), 0);
        }
    }

    /// The numbers of all rows that the table may have.
    pub(super) fn written(&self) -> Vec<i64> {
        let Some(numbers) = &self.numbers else { return Vec::new() };
        let present = numbers.of_slots.iter().zip(&self.slots).filter(|(_, slot)| slot.is_some());
        let mut written: Vec<i64> =
            present.map(|(number, _)| *number).take_while(|number| *number < numbers.written).collect();
        written.extend_from_slice(&numbers.changed);
        written.sort_unstable();
        written.dedup();
        written
    }

    fn make_index(&mut self) {
        if self.index.is_none() && self.slots.len() > FEW {
            let mut index = Box::<Index>::default();
            for (at, slot) in self.slots.iter().enumerate() {
                match slot {
                    Some(value) => index.add(&self.slots, at, value.key()),
                    None => index.next.push(NONE),
                }
            }
            self.index = Some(index);
        }
    }

    fn look_through(&self, key: &[u8]) -> Option<usize> {
        (self.head..self.slots.len()).find(|at| is_equal(&self.slots, *at, key))
    }

    /// After a value was taken out.
    fn tidy(&mut self) {
        if self.count == 0 {
            let mut numbers = self.numbers.take();
            numbers.iter_mut().for_each(|numbers| numbers.of_slots = Vec::new());
            *self = Self { numbers, ..Self::default() };
            return;
        }
        while self.slots[self.head].is_none() {
            self.head += 1;
        }
        while matches!(self.slots.last(), Some(None)) {
            self.slots.pop();
        }
        if let Some(index) = &mut self.index {
            index.next.truncate(self.slots.len());
        }
        if let Some(numbers) = &mut self.numbers {
            numbers.of_slots.truncate(self.slots.len());
        }
        // At least as many were taken out as are moved now.
        if self.slots.len() > 2 * self.count + FEW {
            if let Some(numbers) = &mut self.numbers {
                let mut slots = self.slots.iter();
                numbers.of_slots.retain(|_| matches!(slots.next(), Some(Some(_))));
            }
            self.slots.retain(Option::is_some);
            self.slots.shrink_to(2 * self.count);
            self.head = 0;
            self.index = None;
        }
    }

    /// What is taken beside the values.
    fn besides(&self) -> usize {
        let holes = (self.slots.len() - self.count) * size_of::<Option<T>>();
        let numbers = self.numbers.as_ref().map_or(0, |numbers| numbers.bytes());
        holes + self.index.as_ref().map_or(0, |index| index.bytes()) + numbers
    }
}

impl<'a, T> IntoIterator for &'a Kept<T> {
    type Item = &'a T;
    type IntoIter = std::iter::Flatten<std::slice::Iter<'a, Option<T>>>;

    fn into_iter(self) -> Self::IntoIter {
        self.slots[self.head..].iter().flatten()
    }
}

fn is_equal<T: Keep>(slots: &[Option<T>], at: usize, key: &[u8]) -> bool {
    slots[at].as_ref().is_some_and(|value| value.key() == key)
}

/// Where equal values are.
#[derive(Default)]
struct Index {
    table: HashTable<Equal>,
    /// Of each slot that of the next equal value.
    next: Vec<usize>,
}

/// The slots of the first and the last of all values that are equal.
#[derive(Clone, Copy)]
struct Equal {
    hash: u64,
    first: usize,
    last: usize,
}

impl Index {
    /// Adds what is, or will be, in the slot behind those that are known.
    fn add<T: Keep>(&mut self, slots: &[Option<T>], at: usize, key: &[u8]) {
        let hash = xxh3_64(key);
        let equal = |known: &Equal| known.hash == hash && is_equal(slots, known.first, key);
        match self.table.entry(hash, equal, |known| known.hash) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                self.next[known.last] = at;
                known.last = at;
            }
            Entry::Vacant(free) => {
                free.insert(Equal { hash, first: at, last: at });
            }
        }
        self.next.push(NONE);
    }

    fn first<T: Keep>(&self, slots: &[Option<T>], key: &[u8]) -> Option<usize> {
        let hash = xxh3_64(key);
        let equal = |known: &Equal| known.hash == hash && is_equal(slots, known.first, key);
        self.table.find(hash, equal).map(|known| known.first)
    }

    fn take_first<T: Keep>(&mut self, slots: &[Option<T>], key: &[u8]) -> Option<usize> {
        let hash = xxh3_64(key);
        let equal = |known: &Equal| known.hash == hash && is_equal(slots, known.first, key);
        let mut known = self.table.find_entry(hash, equal).ok()?;
        let Equal { first, last, .. } = *known.get();
        if first == last {
            known.remove();
        } else {
            known.get_mut().first = self.next[first];
        }
        Some(first)
    }

    fn bytes(&self) -> usize {
        size_of::<Self>() + self.table.allocation_size() + self.next.capacity() * size_of::<usize>()
    }
}

/// What all groups keep, and how many bytes that takes.
pub(super) struct KeptGroups<T> {
    groups: Vec<Kept<T>>,
    values: usize,
    besides: usize,
}

impl<T> Default for KeptGroups<T> {
    fn default() -> Self {
        Self { groups: Vec::new(), values: 0, besides: 0 }
    }
}

impl<T: Keep> KeptGroups<T> {
    pub(super) fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Kept::default);
    }

    pub(super) fn of(&self, group: usize) -> &Kept<T> {
        &self.groups[group]
    }

    /// The values of those of these groups that have more than this are rows from now on. Returns those whose values are rows.
    pub(super) fn number<'a>(&'a mut self, groups: &'a [u32], most: usize) -> impl Iterator<Item = u32> {
        for group in groups {
            let kept = self.of(*group as usize);
            if kept.len() > most && !kept.is_numbered() {
                self.change(*group as usize, Kept::number);
            }
        }
        let kept = &self.groups;
        groups.iter().copied().filter(move |group| kept[*group as usize].is_numbered())
    }

    /// All changes go through here, so that all bytes are counted.
    pub(super) fn change<R>(&mut self, group: usize, change: impl FnOnce(&mut Kept<T>) -> R) -> R {
        let kept = &mut self.groups[group];
        self.values -= kept.bytes;
        self.besides -= kept.besides();
        let result = change(kept);
        self.values += kept.bytes;
        self.besides += kept.besides();
        result
    }

    /// Empties a group and gives back its memory.
    pub(super) fn reset(&mut self, group: usize) {
        self.change(group, |kept| *kept = Kept::default());
    }

    /// How many bytes the values take.
    pub(super) fn values(&self) -> usize {
        self.values
    }

    /// How many bytes the values take, and what finds them.
    pub(super) fn heap(&self) -> usize {
        self.values + self.besides
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    /// Counts how often it is looked at.
    struct Watched {
        key: [u8; 4],
        looks: Rc<Cell<usize>>,
    }

    impl Keep for Watched {
        fn key(&self) -> &[u8] {
            self.looks.set(self.looks.get() + 1);
            &self.key
        }

        fn bytes(&self) -> usize {
            size_of::<Self>()
        }
    }

    /// Failed before: each value was compared with all that were there.
    #[test]
    fn what_is_looked_for_is_found_without_a_look_at_all() {
        const VALUES: u32 = 20_000;
        let looks = Rc::<Cell<usize>>::default();
        // All differ, some are equal, all are equal.
        for different in [VALUES, 100, 1] {
            for newest_first in [false, true] {
                let key = |number: u32| (number % different).to_be_bytes();
                let mut kept = Kept::default();
                looks.set(0);
                for number in 0..VALUES {
                    let found = kept.find_mut(&key(number)).is_some();
                    assert_eq!(found, number >= different);
                    kept.push(Watched { key: key(number), looks: looks.clone() });
                }
                for number in 0..VALUES {
                    let number = if newest_first { VALUES - 1 - number } else { number };
                    assert!(kept.take_first(&key(number)).is_some());
                }
                assert!(kept.is_empty());
                let most = 16 * VALUES as usize;
                assert!(looks.get() < most, "{different} {newest_first}: {} looks", looks.get());
            }
        }
    }

    proptest! {
        /// As a list that is looked through.
        #[test]
        fn what_is_kept_is_what_a_list_would_keep(
            steps in prop::collection::vec((0..40_u8, 0..5_u8), 0..600),
        ) {
            let mut groups = KeptGroups::<(Value, i32)>::default();
            groups.resize(2);
            let mut list: Vec<(Value, i32)> = Vec::new();
            for (number, (value, step)) in steps.into_iter().enumerate() {
                let key: Value = vec![value; usize::from(value)].into();
                let at = list.iter().position(|(known, _)| *known == key);
                match step {
                    0 | 1 => {
                        let value = (key, number as i32);
                        list.push(value.clone());
                        groups.change(1, |kept| kept.push(value));
                    }
                    2 => {
                        let found = groups.change(1, |kept| kept.find_mut(&key).map(|(_, count)| {
                            *count += 1;
                            *count
                        }));
                        let wanted = at.map(|at| {
                            list[at].1 += 1;
                            list[at].1
                        });
                        prop_assert_eq!(found, wanted);
                    }
                    _ => {
                        let taken = groups.change(1, |kept| kept.take_first(&key));
                        prop_assert_eq!(taken, at.map(|at| list.remove(at)));
                    }
                }
                let kept = groups.of(1);
                prop_assert!(kept.into_iter().eq(&list));
                prop_assert_eq!((kept.len(), kept.first(), kept.last()), (list.len(), list.first(), list.last()));
                prop_assert_eq!(groups.values(), list.iter().map(Keep::bytes).sum::<usize>());
                prop_assert!(groups.heap() >= groups.values() && kept.slots.len() <= 2 * kept.len() + FEW);
            }
            groups.reset(1);
            prop_assert_eq!((groups.heap(), groups.of(0).len(), groups.of(1).len()), (0, 0, 0));
        }

        /// Rows to which changes are applied are what is kept, in its order, also where it was read from them.
        #[test]
        fn changes_lead_from_rows_to_rows(steps in prop::collection::vec((0..12_u8, 0..8_u8), 0..400)) {
            let mut kept = Kept::<(Value, i32)>::default();
            let mut rows: BTreeMap<i64, (Value, i32)> = BTreeMap::new();
            kept.number();
            for (number, (value, step)) in steps.into_iter().enumerate() {
                let key: Value = vec![value; usize::from(value)].into();
                match step {
                    0..3 => kept.push((key, number as i32)),
                    3 => _ = kept.find_mut(&key).map(|(_, count)| *count += 1),
                    4..6 => _ = kept.take_first(&key),
                    6 => {
                        for (number, value) in kept.changes() {
                            match value {
                                Some(value) => _ = rows.insert(number, value.clone()),
                                None => _ = rows.remove(&number),
                            }
                        }
                        kept.note_written();
                        prop_assert!(rows.values().eq(&kept));
                    }
                    _ => {
                        let mut read = Kept::<(Value, i32)>::default();
                        read.number();
                        rows.iter().for_each(|(number, value)| read.push_numbered(*number, value.clone()));
                        prop_assert!(read.changes().next().is_none());
                        kept = read;
                    }
                }
                let written = kept.written();
                prop_assert_eq!(written, rows.keys().copied().collect::<Vec<i64>>());
            }
        }
    }
}
