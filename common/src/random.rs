//! What is drawn at random: ids, names that nothing else has, seeds.
//!
//! The one place that asks for chance. What is said here of the system's holds for the programs; in a simulation the answers
//! follow from its seed. Where many numbers are wanted, a generator of its own is seeded from here.
#![expect(clippy::disallowed_methods, reason = "this is the file from which all others draw")]
use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use uuid::Uuid;

/// 122 bits of the system's, which cannot be foreseen: for ids, secrets, and names of which none comes twice.
pub fn uuid() -> Uuid {
    Uuid::new_v4()
}

/// Any number, each as likely as any other. Cheap, since the system is asked once a thread; for seeds and for names, not for
/// secrets.
pub fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn what_is_drawn_does_not_come_again() {
        assert_eq!((0..1000).map(|_| number()).collect::<HashSet<_>>().len(), 1000);
        assert_eq!((0..1000).map(|_| uuid()).collect::<HashSet<_>>().len(), 1000);
        // Each bit is drawn.
        let (some, all) = (0..1000).map(|_| number()).fold((0, u64::MAX), |(some, all), n| (some | n, all & n));
        assert_eq!((some, all), (u64::MAX, 0));
    }
}
