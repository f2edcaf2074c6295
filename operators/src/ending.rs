//! How a step that takes long ends when its task is to: it asks the thread (`wiesel_common::ending`).
use wiesel_common::ending::is_told_to_end;

use crate::operator::{Error, Result};

/// How many steps may be between two questions: rows, matches, fields. A row may hold 64 MB.
const INTERVAL: u32 = 64;

/// Asks.
///
/// # Errors
/// [`Error::Cancelled`]: the task is to end.
#[inline]
pub fn check() -> Result<()> {
    if is_told_to_end() { Err(Error::Cancelled) } else { Ok(()) }
}

/// Counts steps, and asks once in many.
#[derive(Debug, Default)]
pub struct Steps(u32);

impl Steps {
    /// One more.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: the task is to end.
    #[inline]
    pub fn step(&mut self) -> Result<()> {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(INTERVAL) { check() } else { Ok(()) }
    }
}

/// For tests: this thread is told to end as long as the result lives.
#[cfg(test)]
pub(crate) fn told() -> wiesel_common::ending::Registration {
    wiesel_common::ending::register(std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)))
}
