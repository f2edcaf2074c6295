//! What a table does not have: a Bloom filter for each key group, so that most keys that are new need no read.
//!
//! A filter has all that was written to its key group since that was empty. Of a key group that was restored with rows nothing
//! is known.
use std::ops::RangeInclusive;

/// Words of the smallest layer. Each next one has four times as many.
const LEAST_WORDS: usize = 64;
/// Keys for each word of 64 bits: a layer takes one in a hundred that are not there for known.
const KEYS_A_WORD: usize = 4;

/// The filters of a subtask's key groups.
pub(super) struct Filters {
    /// The first key group.
    first: u16,
    groups: Vec<Filter>,
    /// Bytes that they may take together, and those that they do.
    most: usize,
    used: usize,
}

enum Filter {
    /// Anything may be there.
    Unknown,
    /// At most what one of these layers has.
    Known(Vec<Layer>),
}

impl Filter {
    fn bytes(&self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Known(layers) => layers.iter().map(|layer| size_of_val(&*layer.words)).sum(),
        }
    }
}

struct Layer {
    words: Box<[u64]>,
    /// Keys that it still takes.
    left: usize,
}

impl Layer {
    fn new(words: usize) -> Self {
        Self { words: vec![0; words].into(), left: words * KEYS_A_WORD }
    }

    /// The word of a hash, and its bits in it.
    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let word = ((hash >> 32) * self.words.len() as u64) >> 32;
        let bits = (0..4).map(|bit| 1_u64 << (hash >> (6 * bit) & 63)).fold(0, |bits, bit| bits | bit);
        (word as usize, bits)
    }

    #[inline]
    fn may_have(&self, hash: u64) -> bool {
        let (word, bits) = self.place(hash);
        self.words[word] & bits == bits
    }
}

impl Filters {
    /// Of key groups of which the table has nothing; they may take so many bytes.
    pub(super) fn new(key_groups: Option<RangeInclusive<u16>>, most: usize) -> Self {
        let (first, groups) = key_groups.map_or((0, 0), |groups| (*groups.start(), groups.count()));
        Self { first, groups: (0..groups).map(|_| Filter::Known(Vec::new())).collect(), most, used: 0 }
    }

    /// Bytes that they take.
    pub(super) fn bytes(&self) -> usize {
        self.used
    }

    /// They may take so many bytes from now on. As long as they take more, the largest is given up.
    pub(super) fn limit(&mut self, most: usize) {
        self.most = most;
        while self.used > most {
            let sizes = self.groups.iter().map(Filter::bytes).zip(self.first..);
            let Some((_, largest)) = sizes.max() else { return };
            self.forget(largest);
        }
    }

    /// The table may have anything of a key group.
    pub(super) fn forget(&mut self, key_group: u16) {
        let filter = key_group.checked_sub(self.first).and_then(|at| self.groups.get_mut(usize::from(at)));
        if let Some(filter) = filter {
            self.used -= std::mem::replace(filter, Filter::Unknown).bytes();
        }
    }

    /// Whether the table may have what has this hash.
    pub(super) fn may_have(&self, key_group: u16, hash: u64) -> bool {
        match key_group.checked_sub(self.first).and_then(|at| self.groups.get(usize::from(at))) {
            Some(Filter::Known(layers)) => layers.iter().any(|layer| layer.may_have(hash)),
            _ => true,
        }
    }

    /// Notes that the table has what has this hash.
    pub(super) fn insert(&mut self, key_group: u16, hash: u64) {
        let filter = key_group.checked_sub(self.first).and_then(|at| self.groups.get_mut(usize::from(at)));
        let Some(Filter::Known(layers)) = filter else { return };
        if layers.iter().any(|layer| layer.may_have(hash)) {
            return;
        }
        if layers.last().is_none_or(|layer| layer.left == 0) {
            let words = layers.last().map_or(LEAST_WORDS, |layer| layer.words.len() * 4);
            let bytes = words * size_of::<u64>();
            if bytes > self.most.saturating_sub(self.used) {
                self.forget(key_group);
                return;
            }
            self.used += bytes;
            layers.push(Layer::new(words));
        }
        if let Some(layer) = layers.last_mut() {
            let (word, bits) = layer.place(hash);
            layer.words[word] |= bits;
            layer.left -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    #[test]
    fn what_was_written_may_be_there_and_little_else() {
        let mut filters = Filters::new(Some(3..=4), 1 << 20);
        let hash = |number: u32| xxh3_64(&number.to_be_bytes());
        assert!(!filters.may_have(3, hash(0)) && filters.may_have(2, hash(0)) && filters.may_have(5, hash(0)));
        (0..50_000).for_each(|number| filters.insert(3, hash(number)));
        assert!((0..50_000).all(|number| filters.may_have(3, hash(number))));
        assert!((0..50_000).all(|number| !filters.may_have(4, hash(number))));
        let wrong = (50_000..150_000).filter(|number| filters.may_have(3, hash(*number))).count();
        assert!(wrong < 8_000, "{wrong} of 100000 would be looked for");
        filters.forget(3);
        assert!(filters.may_have(3, hash(200_000)));
        assert_eq!(filters.bytes(), 0);
    }

    #[test]
    fn what_takes_too_much_is_given_up() {
        let mut filters = Filters::new(Some(0..=1), 4096);
        filters.insert(1, 7);
        (0..10_000_u64).for_each(|number| filters.insert(0, xxh3_64(&number.to_be_bytes())));
        assert!(filters.may_have(0, 1) && !filters.may_have(1, 8) && filters.bytes() > 0);
        // The other one, too, if there is less memory now than there was.
        filters.limit(100);
        assert!(filters.may_have(1, 8) && filters.bytes() == 0);
    }
}
