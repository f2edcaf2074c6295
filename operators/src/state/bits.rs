//! A set of small numbers.

/// Numbers of groups, a bit each.
#[derive(Clone, Default)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// Whether it has a number.
    #[inline]
    pub(crate) fn has(&self, number: u32) -> bool {
        self.words.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    /// Takes a number in.
    #[inline]
    pub(crate) fn insert(&mut self, number: u32) {
        let at = number as usize / 64;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        self.words[at] |= 1 << (number % 64);
    }

    /// Drops a number.
    #[inline]
    pub(crate) fn remove(&mut self, number: u32) {
        if let Some(word) = self.words.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    fn combined(&self, other: &Self, keep: impl Fn(u64, u64) -> u64) -> Self {
        let longest = self.words.len().max(other.words.len());
        let word = |bits: &Self, at: usize| bits.words.get(at).copied().unwrap_or(0);
        Self { words: (0..longest).map(|at| keep(word(self, at), word(other, at))).collect() }
    }

    /// The numbers that are in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a & b)
    }

    /// The numbers that are in one of them.
    pub(crate) fn or(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a | b)
    }

    /// The numbers that are not in the other one.
    pub(crate) fn and_not(&self, other: &Self) -> Self {
        self.combined(other, |a, b| a & !b)
    }

    /// Its numbers, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = (left != 0).then(|| left.trailing_zeros())?;
                left &= left - 1;
                Some(at as u32 * 64 + bit)
            })
        })
    }
}
