//! How often a store's client may say that it tries again.
//!
//! While a store is away each of hundreds of requests says so ten times: of such lines a few stay, with how many were left out.
use std::time::Duration;

use super::limit::Limit;

/// The library that repeats requests, and says so.
const STORE_CLIENT: &str = "object_store::";
/// Lines in a row, and the time for so many.
const LINES: usize = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// Counts them.
pub(super) struct Retries(Limit);

impl Default for Retries {
    fn default() -> Self {
        Self(Limit::new(LINES, PERIOD))
    }
}

impl Retries {
    /// None: the line is left out. Else how many were left out before it. `now`: see [`Limit`].
    pub(super) fn admit(&self, target: &str, now: i64) -> Option<u64> {
        if target.starts_with(STORE_CLIENT) { self.0.admit(now) } else { Some(0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_retries_a_few_are_logged() {
        let retries = Retries::default();
        let admitted = |at: i64| retries.admit("object_store::client::retry", at);
        assert_eq!((0..500).filter_map(admitted).collect::<Vec<_>>(), vec![0; 10]);
        assert_eq!(retries.admit("wiesel_state::storage", 0), Some(0), "others are none of its business");
        assert_eq!(admitted(10_000), Some(490), "the next line says how many are missing");
        assert_eq!(admitted(10_001), Some(0));
    }
}
