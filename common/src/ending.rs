//! Whether what runs on this thread is to end.
//!
//! A step of a task may take long without a wait and without handing anything on: a regular expression over a text of
//! megabytes, thousands of windows of one row. Such loops cannot be handed the task's cancellation, so the thread has it.
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// How many steps may be between two questions: rows, matches, fields. A row may hold 64 MB.
const INTERVAL: u32 = 64;

thread_local! {
    static TOLD: RefCell<Option<Arc<AtomicBool>>> = const { RefCell::new(None) };
}

/// The thread has what tells it to end as long as this lives.
#[must_use]
pub struct Registration(Option<Arc<AtomicBool>>);

/// What runs on this thread from now on is to end once `told` is true.
pub fn register(told: Arc<AtomicBool>) -> Registration {
    Registration(TOLD.replace(Some(told)))
}

impl Drop for Registration {
    /// What was registered before counts again.
    fn drop(&mut self) {
        TOLD.set(self.0.take());
    }
}

/// Whether what runs on this thread is to end. It costs some nanoseconds: ask once in many rows, matches or fields.
pub fn is_told_to_end() -> bool {
    TOLD.with_borrow(|told| told.as_ref().is_some_and(|told| told.load(Ordering::Relaxed)))
}

/// What runs on this thread was told to end.
#[derive(Debug, thiserror::Error)]
#[error("the task was cancelled")]
pub struct ToldToEnd;

/// Asks.
///
/// # Errors
/// What runs on this thread is to end.
#[inline]
pub fn check() -> Result<(), ToldToEnd> {
    if is_told_to_end() { Err(ToldToEnd) } else { Ok(()) }
}

/// Counts steps, and asks once in many.
#[derive(Debug, Default)]
pub struct Steps(u32);

impl Steps {
    /// One more.
    ///
    /// # Errors
    /// What runs on this thread is to end.
    #[inline]
    pub fn step(&mut self) -> Result<(), ToldToEnd> {
        self.0 = self.0.wrapping_add(1);
        if self.0.is_multiple_of(INTERVAL) { check() } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_ask_once_in_many() {
        let mut steps = Steps::default();
        assert!((0..2 * INTERVAL).all(|_| steps.step().is_ok()));
        let _registration = register(Arc::new(true.into()));
        assert!(check().is_err());
        assert_eq!((1..=INTERVAL).find(|_| steps.step().is_err()), Some(INTERVAL));
    }

    #[test]
    fn a_thread_is_told_as_long_as_it_is_registered() {
        assert!(!is_told_to_end());
        let told = Arc::new(AtomicBool::new(false));
        let registration = register(told.clone());
        assert!(!is_told_to_end());
        told.store(true, Ordering::Relaxed);
        assert!(is_told_to_end());
        let inner = register(Arc::default());
        assert!(!is_told_to_end());
        drop(inner);
        assert!(is_told_to_end());
        assert!(!std::thread::spawn(is_told_to_end).join().unwrap(), "another thread");
        drop(registration);
        assert!(!is_told_to_end());
    }
}
