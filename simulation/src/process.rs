//! Processes: each a runtime of its own with a clock that the simulation moves. One thread runs all of them in turn.
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;
use wiesel_common::time::Clock;

/// What all wall clocks show at the beginning: 2026-01-01.
const EPOCH: i64 = 1_767_225_600_000;

/// The wall clock of a process.
pub struct WallClock {
    started: Instant,
    /// The time of the simulation at which the process started, and how far the clock is off, in milliseconds.
    offset: AtomicI64,
}

impl WallClock {
    /// Steps the clock.
    pub fn step(&self, by: i64) {
        self.offset.fetch_add(by, Ordering::SeqCst);
    }
}

impl Clock for WallClock {
    fn now_millis(&self) -> i64 {
        EPOCH + self.offset.load(Ordering::SeqCst) + self.monotonic_millis()
    }

    fn monotonic_millis(&self) -> i64 {
        self.started.elapsed().as_millis() as i64
    }
}

/// See the module. Dropping it kills it.
pub struct Process {
    runtime: Runtime,
    clock: Arc<WallClock>,
    /// The time that it knows of.
    lived_to: u64,
    stalled: bool,
}

impl Process {
    /// A process that starts at this time, in milliseconds.
    ///
    /// # Panics
    /// If the system gives no runtime.
    pub fn new(now: u64) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O needs nothing of the system");
        let started = runtime.block_on(async { Instant::now() });
        let clock = Arc::new(WallClock { started, offset: AtomicI64::new(now as i64) });
        Self { runtime, clock, lived_to: now, stalled: false }
    }

    /// Its wall clock.
    pub fn clock(&self) -> &Arc<WallClock> {
        &self.clock
    }

    /// Stops it where it is, or lets it go on.
    pub fn stall(&mut self, stalled: bool) {
        self.stalled = stalled;
    }

    /// Whether it is stopped.
    pub fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Lets it live until a time.
    pub fn live_until(&mut self, now: u64) {
        if self.stalled || now <= self.lived_to {
            return;
        }
        let gap = Duration::from_millis(now - self.lived_to);
        self.lived_to = now;
        self.runtime.block_on(async { tokio::time::sleep(gap).await });
    }

    /// Goes on after a stall: all that was due meanwhile is due at once.
    pub fn wake(&mut self, now: u64) {
        self.stalled = false;
        if now > self.lived_to {
            let gap = Duration::from_millis(now - self.lived_to);
            self.lived_to = now;
            self.runtime.block_on(async { tokio::time::advance(gap).await });
        }
    }

    /// Does something in it, without time passing unless it waits.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }
}
