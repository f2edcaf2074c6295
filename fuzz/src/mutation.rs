//! Changes to inputs.

/// Random numbers: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
pub struct Random(u64);

impl Random {
    /// The same numbers for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below this one, 0 for 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 { 0 } else { (self.number() % bound as u64) as usize }
    }
}

/// Numbers that make trouble where a length, a count or a position is read.
const NUMBERS: [u64; 12] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_ffff,
    0x8000_0000_0000_0000,
    0xffff_ffff_ffff_ffff,
];

/// An input like one of the pool, with a few changes, at most `longest` bytes long. `words` are what inputs are made of.
pub fn mutate(random: &mut Random, pool: &[Vec<u8>], words: &[&str], longest: usize) -> Vec<u8> {
    let mut input = pool.get(random.below(pool.len())).cloned().unwrap_or_default();
    for _ in 0..=random.below(6) {
        change(random, &mut input, pool, words);
        input.truncate(longest);
    }
    input
}

fn change(random: &mut Random, input: &mut Vec<u8>, pool: &[Vec<u8>], words: &[&str]) {
    let at = random.below(input.len() + 1);
    match random.below(12) {
        0 => flip(random, input, at),
        1 => replace(input, at, &[random.number() as u8]),
        2 => replace(input, at, &number(random)),
        3 => insert(input, at, &number(random)),
        4 => {
            let end = end(random, input, at);
            input.drain(at..end);
        }
        5 => {
            let copied = input[at..end(random, input, at)].to_vec();
            let to = random.below(input.len() + 1);
            insert(input, to, &copied);
        }
        6 => {
            // What nests or repeats is cheap to write and dear to read.
            let copied = input[at..end(random, input, at).min(at + 64)].to_vec();
            insert(input, at, &copied.repeat(1 + random.below(200)));
        }
        7 => input.truncate(at),
        8 => {
            let other = pool.get(random.below(pool.len())).map_or(&[][..], Vec::as_slice);
            let from = random.below(other.len() + 1);
            let part = &other[from..end(random, other, from)];
            insert(input, at, part);
        }
        9 => {
            let decimal = (random.number() as i64 >> random.below(64)).to_string();
            insert(input, at, decimal.as_bytes());
        }
        _ => match words.get(random.below(words.len())) {
            Some(word) => insert(input, at, word.as_bytes()),
            None => flip(random, input, at),
        },
    }
}

/// The end of a part that begins there: mostly a short one.
fn end(random: &mut Random, input: &[u8], at: usize) -> usize {
    let rest = input.len() - at;
    let most = if random.below(4) == 0 { rest } else { rest.min(16) };
    at + random.below(most + 1)
}

fn number(random: &mut Random) -> Vec<u8> {
    let number = NUMBERS[random.below(NUMBERS.len())];
    let bytes = 1 << random.below(4);
    match random.below(2) {
        0 => number.to_le_bytes()[..bytes].to_vec(),
        _ => number.to_be_bytes()[8 - bytes..].to_vec(),
    }
}

fn flip(random: &mut Random, input: &mut [u8], at: usize) {
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn replace(input: &mut [u8], at: usize, bytes: &[u8]) {
    input[at..].iter_mut().zip(bytes).for_each(|(place, byte)| *place = *byte);
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let at = at.min(input.len());
    drop(input.splice(at..at, bytes.iter().copied()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_inputs_and_none_is_too_long() {
        let pool = [b"SELECT 1".to_vec(), Vec::new(), vec![0; 300]];
        let inputs = |seed: u64| {
            let mut random = Random::new(seed);
            (0..2000).map(|_| mutate(&mut random, &pool, &["GROUP BY", "("], 400)).collect::<Vec<_>>()
        };
        assert_eq!(inputs(7), inputs(7));
        assert_ne!(inputs(7), inputs(8));
        assert!(inputs(9).iter().all(|input| input.len() <= 400));
        let known = inputs(10).iter().filter(|input| pool.contains(input)).count();
        assert!(known < 400, "{known} of 2000 are not changed");
    }
}
