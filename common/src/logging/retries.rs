//! How often a store's client may say that it tries again.
//!
//! While a store is away each of hundreds of requests says so ten times: of such lines a few stay, with how many were left out.
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The library that repeats requests, and says so.
const STORE_CLIENT: &str = "object_store::";
/// Lines in a row, and the time for so many.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(10);

/// Counts them.
#[derive(Default)]
pub(super) struct Retries(Mutex<Window>);

#[derive(Default)]
struct Window {
    begin: Option<Instant>,
    lines: u32,
    left_out: u64,
}

impl Retries {
    /// None: the line is left out. Else how many were left out before it.
    pub(super) fn admit(&self, target: &str, now: Instant) -> Option<u64> {
        if !target.starts_with(STORE_CLIENT) {
            return Some(0);
        }
        let mut window = self.0.lock();
        if window.begin.is_none_or(|begin| now.saturating_duration_since(begin) >= PERIOD) {
            window.begin = Some(now);
            window.lines = 0;
        }
        if window.lines >= LINES {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_many_retries_a_few_are_logged() {
        let (retries, start) = (Retries::default(), Instant::now());
        let admitted = |at: u64| retries.admit("object_store::client::retry", start + Duration::from_millis(at));
        assert_eq!((0..500).filter_map(admitted).collect::<Vec<_>>(), vec![0; 10]);
        assert_eq!(retries.admit("wiesel_state::storage", start), Some(0), "others are none of its business");
        assert_eq!(admitted(10_000), Some(490), "the next line says how many are missing");
        assert_eq!(admitted(10_001), Some(0));
    }
}
