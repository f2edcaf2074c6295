//! How a task's thread waits inside the data plane.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wiesel_common::notifier::Notifier;

use crate::error::{Error, Result};

/// A task's notifier with its cancellation: every wait in here ends when the task is cancelled.
#[derive(Clone, Debug, Default)]
pub struct Waiter {
    notifier: Arc<Notifier>,
    cancelled: Arc<AtomicBool>,
}

impl Waiter {
    /// For the thread that waits on `notifier`.
    pub fn new(notifier: Arc<Notifier>) -> Self {
        Self { notifier, cancelled: Arc::default() }
    }

    /// Wakes the task's thread.
    pub fn notifier(&self) -> &Arc<Notifier> {
        &self.notifier
    }

    /// Ends the present and every later wait.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
        self.notifier.notify();
    }

    /// Whether the task is being cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    /// True once the task is being cancelled: for what works long between two waits.
    pub fn cancellation(&self) -> Arc<AtomicBool> {
        self.cancelled.clone()
    }

    /// Waits until `ready`; returns how long that took.
    ///
    /// # Errors
    /// [`Error::Cancelled`] if the task is cancelled first.
    pub fn wait_until(&self, label: &'static str, mut ready: impl FnMut() -> bool) -> Result<Duration> {
        if self.is_cancelled() {
            return Err(Error::Cancelled);
        }
        if ready() {
            return Ok(Duration::ZERO);
        }
        let start = Instant::now();
        let mut woken_for_others = false;
        let outcome = loop {
            woken_for_others |= self.notifier.wait(label, None);
            if self.is_cancelled() {
                break Err(Error::Cancelled);
            }
            if ready() {
                break Ok(start.elapsed());
            }
        };
        // The wake-ups taken here may have been meant for the task's main loop as well.
        if woken_for_others {
            self.notifier.notify();
        }
        outcome
    }
}
