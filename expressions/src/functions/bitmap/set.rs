//! A set of 32-bit integers as a Roaring bitmap, and its portable serialized form (<https://github.com/RoaringBitmap/RoaringFormatSpec>).
//!
//! Numbers with the same upper half are in one container: few of them as a sorted list, many as bits. Runs are read, not written, so
//! that equal sets have equal bytes.
use crate::error::{Error, Result};
use crate::expression::check_value;

/// A container with more numbers is one of bits.
const MOST_LISTED: usize = 4096;
/// Words of 64 bits in a container of bits.
const WORDS: usize = 1024;
/// How a serialized bitmap without runs begins, and one with runs.
const WITHOUT_RUNS: u32 = 12_346;
const WITH_RUNS: u32 = 12_347;
/// With runs there are no offsets below so many containers.
const OFFSETS_FROM: usize = 4;

/// A bitmap in fewer bytes has no container of bits.
pub(super) const BYTES_OF_BITS: usize = WORDS * size_of::<u64>();

type Words = Box<[u64; WORDS]>;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Container {
    /// Sorted, not empty.
    Few(Vec<u16>),
    Many(Words),
}

/// How two sets become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// What is in both.
    And,
    /// What is in either.
    Or,
    /// What is in one alone.
    Xor,
    /// What is in the first alone.
    AndNot,
}

impl Operation {
    /// Whether what is only in the left set, only in the right one, is in the result.
    fn keeps(self) -> (bool, bool) {
        match self {
            Self::And => (false, false),
            Self::Or | Self::Xor => (true, true),
            Self::AndNot => (true, false),
        }
    }

    fn of_words(self, left: u64, right: u64) -> u64 {
        match self {
            Self::And => left & right,
            Self::Or => left | right,
            Self::Xor => left ^ right,
            Self::AndNot => left & !right,
        }
    }

    fn keeps_common(self) -> bool {
        matches!(self, Self::And | Self::Or)
    }
}

impl Container {
    fn len(&self) -> usize {
        match self {
            Self::Few(numbers) => numbers.len(),
            Self::Many(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Bytes that it takes, serialized and here.
    fn bytes(&self) -> usize {
        match self {
            Self::Few(numbers) => numbers.len() * size_of::<u16>(),
            Self::Many(_) => WORDS * size_of::<u64>(),
        }
    }

    fn words(&self) -> Words {
        match self {
            Self::Many(words) => words.clone(),
            Self::Few(numbers) => {
                let mut words = no_words();
                numbers.iter().for_each(|number| set(&mut words, *number));
                words
            }
        }
    }

    /// Of so many numbers as the words have; none: they have none.
    fn of_words(words: Words) -> Option<Self> {
        match words.iter().map(|word| word.count_ones() as usize).sum::<usize>() {
            0 => None,
            1..=MOST_LISTED => Some(Self::Few(listed(&words).collect())),
            _ => Some(Self::Many(words)),
        }
    }

    /// Of sorted numbers that differ; none: there are none.
    fn of_sorted(numbers: Vec<u16>) -> Option<Self> {
        if numbers.len() > MOST_LISTED {
            return Some(Self::Many(Self::Few(numbers).words()));
        }
        (!numbers.is_empty()).then_some(Self::Few(numbers))
    }

    fn insert(&mut self, number: u16) {
        match self {
            Self::Few(numbers) => {
                let Err(at) = numbers.binary_search(&number) else { return };
                numbers.insert(at, number);
                if numbers.len() > MOST_LISTED {
                    *self = Self::Many(self.words());
                }
            }
            Self::Many(words) => set(words, number),
        }
    }

    fn combined(left: Option<&Self>, right: Option<&Self>, operation: Operation) -> Option<Self> {
        let (keeps_left, keeps_right) = operation.keeps();
        match (left, right) {
            (Some(left), None) => keeps_left.then(|| left.clone()),
            (None, Some(right)) => keeps_right.then(|| right.clone()),
            (Some(Self::Few(left)), Some(Self::Few(right))) => Self::of_sorted(merged(left, right, operation)),
            (Some(left), Some(right)) => {
                let (mut words, others) = (left.words(), right.words());
                words.iter_mut().zip(others.iter()).for_each(|(word, other)| *word = operation.of_words(*word, *other));
                Self::of_words(words)
            }
            (None, None) => None,
        }
    }

    /// Makes of this what both are as one. False: nothing is left.
    fn combine(&mut self, other: &Self, operation: Operation) -> bool {
        if let (Self::Many(words), Self::Few(numbers), Operation::Or) = (&mut *self, other, operation) {
            numbers.iter().for_each(|number| set(words, *number));
            return true;
        }
        let combined = Self::combined(Some(&*self), Some(other), operation);
        combined.map(|combined| *self = combined).is_some()
    }
}

fn no_words() -> Words {
    Box::new([0; WORDS])
}

fn set(words: &mut Words, number: u16) {
    words[usize::from(number >> 6)] |= 1 << (number & 63);
}

/// The numbers of words, sorted.
fn listed(words: &[u64; WORDS]) -> impl Iterator<Item = u16> {
    words.iter().enumerate().flat_map(|(at, word)| {
        let mut left = *word;
        std::iter::from_fn(move || {
            let bit = (left != 0).then(|| left.trailing_zeros())?;
            left &= left - 1;
            Some((at << 6) as u16 | bit as u16)
        })
    })
}

/// Two sorted lists as one.
fn merged(left: &[u16], right: &[u16], operation: Operation) -> Vec<u16> {
    let (keeps_left, keeps_right) = operation.keeps();
    let (mut l, mut r) = (left.iter().peekable(), right.iter().peekable());
    let mut result = Vec::new();
    loop {
        let (number, keep) = match (l.peek(), r.peek()) {
            (None, None) => return result,
            (Some(left), right) if right.is_none_or(|right| left < right) => (**left, keeps_left),
            (left, Some(right)) if left.is_none_or(|left| right < left) => (**right, keeps_right),
            (Some(left), _) => (**left, operation.keeps_common()),
            (None, Some(right)) => (**right, keeps_right),
        };
        l.next_if(|left| **left == number);
        r.next_if(|right| **right == number);
        if keep {
            result.push(number);
        }
    }
}

/// A set of 32-bit integers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bitmap {
    /// By the upper halves of their numbers.
    containers: Vec<(u16, Container)>,
    /// Bytes of all containers.
    bytes: usize,
}

impl Bitmap {
    /// Of any numbers.
    pub fn of(numbers: impl IntoIterator<Item = u32>) -> Self {
        let mut numbers: Vec<u32> = numbers.into_iter().collect();
        numbers.sort_unstable();
        numbers.dedup();
        let containers = numbers.chunk_by(|left, right| left >> 16 == right >> 16).filter_map(|chunk| {
            let lower = chunk.iter().map(|number| *number as u16).collect();
            Some(((chunk[0] >> 16) as u16, Container::of_sorted(lower)?))
        });
        Self::of_containers(containers.collect())
    }

    fn of_containers(containers: Vec<(u16, Container)>) -> Self {
        let bytes = containers.iter().map(|(_, container)| container.bytes()).sum();
        Self { containers, bytes }
    }

    /// Adds a number.
    pub fn insert(&mut self, number: u32) {
        let (upper, lower) = ((number >> 16) as u16, number as u16);
        match self.containers.binary_search_by_key(&upper, |(key, _)| *key) {
            Ok(at) => {
                let container = &mut self.containers[at].1;
                let before = container.bytes();
                container.insert(lower);
                self.bytes = self.bytes - before + container.bytes();
            }
            Err(at) => {
                self.containers.insert(at, (upper, Container::Few(vec![lower])));
                self.bytes += size_of::<u16>();
            }
        }
    }

    /// How many numbers.
    pub fn cardinality(&self) -> u64 {
        self.containers.iter().map(|(_, container)| container.len() as u64).sum()
    }

    /// Bytes that it takes, roughly.
    pub fn heap(&self) -> usize {
        self.bytes + self.containers.capacity() * size_of::<(u16, Container)>()
    }

    /// The numbers, sorted.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.containers.iter().flat_map(|(upper, container)| {
            let upper = u32::from(*upper) << 16;
            let (few, many) = match container {
                Container::Few(numbers) => (Some(numbers.iter().copied()), None),
                Container::Many(words) => (None, Some(listed(words))),
            };
            few.into_iter().flatten().chain(many.into_iter().flatten()).map(move |lower| upper | u32::from(lower))
        })
    }

    /// Both as one.
    pub fn combined(&self, other: &Self, operation: Operation) -> Self {
        let (mut left, mut right) = (self.containers.iter().peekable(), other.containers.iter().peekable());
        let mut containers = Vec::new();
        loop {
            let keys = [left.peek(), right.peek()].into_iter().flatten().map(|(key, _)| *key);
            let Some(key) = keys.min() else { return Self::of_containers(containers) };
            let l = left.next_if(|(of, _)| *of == key).map(|(_, container)| container);
            let r = right.next_if(|(of, _)| *of == key).map(|(_, container)| container);
            containers.extend(Container::combined(l, r, operation).map(|container| (key, container)));
        }
    }

    /// Makes of this what both are as one, as [`Bitmap::combined`] does, without a copy of what only this one has.
    pub fn combine(&mut self, other: &Self, operation: Operation) {
        let (keeps_left, keeps_right) = operation.keeps();
        if !keeps_left {
            *self = self.combined(other, operation);
            return;
        }
        let (mut added, mut emptied) = (Vec::new(), Vec::new());
        for (key, container) in &other.containers {
            match self.containers.binary_search_by_key(key, |(key, _)| *key) {
                Ok(at) => {
                    let own = &mut self.containers[at].1;
                    self.bytes -= own.bytes();
                    match own.combine(container, operation) {
                        true => self.bytes += own.bytes(),
                        false => emptied.push(at),
                    }
                }
                Err(_) if keeps_right => added.push((*key, container.clone())),
                Err(_) => {}
            }
        }
        if !emptied.is_empty() {
            let (mut at, mut emptied) = (0, emptied.into_iter().peekable());
            self.containers.retain(|_| {
                at += 1;
                emptied.next_if_eq(&(at - 1)).is_none()
            });
        }
        if !added.is_empty() {
            self.bytes += added.iter().map(|(_, container)| container.bytes()).sum::<usize>();
            self.containers.append(&mut added);
            // Two sorted parts.
            self.containers.sort_by_key(|(key, _)| *key);
        }
    }

    /// Bytes of its serialized form.
    pub fn serialized_len(&self) -> usize {
        8 + self.containers.len() * 8 + self.bytes
    }

    /// Its serialized form.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.reserve(self.serialized_len());
        out.extend(WITHOUT_RUNS.to_le_bytes());
        out.extend((self.containers.len() as u32).to_le_bytes());
        for (key, container) in &self.containers {
            out.extend(key.to_le_bytes());
            out.extend(((container.len() - 1) as u16).to_le_bytes());
        }
        let mut offset = 8 + self.containers.len() * 8;
        for (_, container) in &self.containers {
            out.extend((offset as u32).to_le_bytes());
            offset += container.bytes();
        }
        for (_, container) in &self.containers {
            match container {
                Container::Few(numbers) => numbers.iter().for_each(|number| out.extend(number.to_le_bytes())),
                Container::Many(words) => words.iter().for_each(|word| out.extend(word.to_le_bytes())),
            }
        }
    }

    /// What was serialized.
    ///
    /// # Errors
    /// The bytes are no bitmap, or one that takes too much memory.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut input = Input { bytes };
        let containers = input.containers()?;
        Ok(Self::of_containers(containers))
    }
}

fn malformed() -> Error {
    Error::data("org.apache.flink.table.api.TableRuntimeException", "the bytes are no serialized BITMAP")
}

/// What is left to read of a serialized bitmap.
struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count).ok_or_else(malformed)?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| malformed())
    }

    fn short(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn long(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn containers(&mut self) -> Result<Vec<(u16, Container)>> {
        let cookie = self.long()?;
        let (count, runs) = match cookie & 0xFFFF {
            WITH_RUNS => {
                let count = (cookie >> 16) as usize + 1;
                (count, Some(self.take(count.div_ceil(8))?))
            }
            WITHOUT_RUNS if cookie == WITHOUT_RUNS => (self.long()? as usize, None),
            _ => return Err(malformed()),
        };
        let mut headers = Input { bytes: self.take(count.checked_mul(4).ok_or_else(malformed)?)? };
        if runs.is_none() || count >= OFFSETS_FROM {
            self.take(count * 4)?;
        }
        let mut containers: Vec<(u16, Container)> = Vec::new();
        let mut bytes = 0;
        for index in 0..count {
            let (key, length) = (headers.short()?, usize::from(headers.short()?) + 1);
            let is_run = runs.is_some_and(|runs| runs[index / 8] >> (index % 8) & 1 == 1);
            let container = if is_run { self.runs()? } else { self.container(length)? };
            if containers.last().is_some_and(|(last, _)| *last >= key) {
                return Err(malformed());
            }
            bytes += container.bytes();
            check_value(bytes)?;
            containers.push((key, container));
        }
        Ok(containers)
    }

    fn container(&mut self, length: usize) -> Result<Container> {
        if length > MOST_LISTED {
            let mut words = no_words();
            for word in words.iter_mut() {
                *word = self.array().map(u64::from_le_bytes)?;
            }
            return Container::of_words(words).ok_or_else(malformed);
        }
        let numbers = self.take(length * 2)?.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        let numbers: Vec<u16> = numbers.collect();
        match numbers.is_sorted_by(|left, right| left < right) {
            true => Ok(Container::Few(numbers)),
            false => Err(malformed()),
        }
    }

    /// A container of runs: where each begins, and how many numbers follow.
    fn runs(&mut self) -> Result<Container> {
        let mut words = no_words();
        let mut first_free = 0;
        for _ in 0..self.short()? {
            let (start, more) = (self.short()?, self.short()?);
            let end = start.checked_add(more).ok_or_else(malformed)?;
            // Runs that overlap could be as many as numbers, and each as long as all numbers.
            if u32::from(start) < first_free {
                return Err(malformed());
            }
            first_free = u32::from(end) + 1;
            (start..=end).for_each(|number| set(&mut words, number));
        }
        Container::of_words(words).ok_or_else(malformed)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn bytes(bitmap: &Bitmap) -> Vec<u8> {
        let mut bytes = Vec::new();
        bitmap.write(&mut bytes);
        bytes
    }

    /// What Flink gave for BITMAP_TO_BYTES(BITMAP_BUILD(ARRAY[1, 2, 3])).
    #[test]
    fn bytes_are_those_of_the_portable_format() {
        let of_flink = [0x3A, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 16, 0, 0, 0, 1, 0, 2, 0, 3, 0];
        assert_eq!(bytes(&Bitmap::of([3, 1, 2, 3])), of_flink);
        // From 9 to 19 as a run.
        let runs = [0x3B, 0x30, 0, 0, 1, 0, 0, 10, 0, 1, 0, 9, 0, 10, 0];
        let of_runs = Bitmap::read(&runs).unwrap();
        assert_eq!(of_runs.numbers().collect::<Vec<_>>(), (9..=19).collect::<Vec<_>>());
    }

    #[test]
    fn bytes_that_are_no_bitmap_are_refused() {
        let whole = bytes(&Bitmap::of([1, 70_000]));
        for end in 0..whole.len() {
            assert!(Bitmap::read(&whole[..end]).is_err(), "{end}");
        }
        let unsorted = [0x3A, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 16, 0, 0, 0, 2, 0, 1, 0];
        assert!(Bitmap::read(&unsorted).is_err());
        let overlapping = [0x3B, 0x30, 0, 0, 1, 0, 0, 10, 0, 2, 0, 9, 0, 10, 0, 19, 0, 5, 0];
        assert!(Bitmap::read(&overlapping).is_err());
        let many_containers = [0x3A, 0x30, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF];
        assert!(Bitmap::read(&many_containers).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn it_is_the_set_that_it_stands_for(
            left in prop::collection::vec(0..9_u32, 0..6), right in prop::collection::vec(0..9_u32, 0..6), wide in 0..3_u32
        ) {
            // Each number stands for many, so that there are containers of both kinds.
            let spread = |numbers: &[u32]| -> BTreeSet<u32> {
                numbers.iter().flat_map(|number| (0..=wide * 3_000).map(move |more| number * 30_000 + more)).collect()
            };
            let (left, right) = (spread(&left), spread(&right));
            let (a, b) = (Bitmap::of(left.iter().copied()), Bitmap::of(right.iter().copied()));
            let mut inserted = Bitmap::default();
            left.iter().rev().for_each(|number| inserted.insert(*number));
            prop_assert_eq!(&inserted, &a);
            prop_assert_eq!(&Bitmap::read(&bytes(&a)).unwrap(), &a);
            prop_assert_eq!(a.cardinality(), left.len() as u64);
            let expected: [(Operation, BTreeSet<u32>); 4] = [
                (Operation::And, &left & &right),
                (Operation::Or, &left | &right),
                (Operation::Xor, &left ^ &right),
                (Operation::AndNot, &left - &right),
            ];
            for (operation, expected) in expected {
                let combined = a.combined(&b, operation);
                prop_assert_eq!(combined.numbers().collect::<BTreeSet<_>>(), expected.clone());
                prop_assert_eq!(&combined, &Bitmap::of(expected));
                prop_assert_eq!(bytes(&combined).len(), combined.serialized_len());
                let mut both = a.clone();
                both.combine(&b, operation);
                prop_assert_eq!(&both, &combined);
            }
        }
    }
}
