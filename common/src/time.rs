//! Time, passed in so that tests decide what it is.
//!
//! Two clocks: the wall clock tells what people read and what data is compared with; it is stepped, forwards and backwards. How
//! long something took, and when something is due, is told by a clock that only runs.
#![expect(clippy::disallowed_methods, reason = "this is the file of which all others have the time")]
use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// A machine's clocks.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch.
    fn now_millis(&self) -> i64;

    /// Milliseconds since some moment of this process; not touched when the wall clock is set. Nothing stands in for it: a clock
    /// that forgot it would let deadlines follow the wall.
    fn monotonic_millis(&self) -> i64;

    /// This moment on both.
    fn now(&self) -> Now {
        Now { wall: self.now_millis(), monotonic: self.monotonic_millis() }
    }
}

/// A moment on both clocks, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the epoch: for people.
    pub wall: i64,
    /// For durations and deadlines.
    pub monotonic: i64,
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

static ORIGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Clock for SystemClock {
    fn now_millis(&self) -> i64 {
        SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
    }

    fn monotonic_millis(&self) -> i64 {
        ORIGIN.elapsed().as_millis() as i64
    }
}

/// Clocks for tests: they stand still until the test sets them, both to the same milliseconds.
#[derive(Debug, Default)]
pub struct ManualClock(pub AtomicI64);

impl ManualClock {
    /// Sets both clocks.
    pub fn set(&self, millis: i64) {
        self.0.store(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_millis(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    fn monotonic_millis(&self) -> i64 {
        self.now_millis()
    }
}
