//! How background work of an operator reaches its task's thread.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wiesel_common::notifier::Notifier;

use crate::operator::{Collector, Error, Result};

/// Wakes the thread of an operator's task, which then calls [`crate::operator::Operator::woken`]. Any thread may hold one.
#[derive(Clone, Debug, Default)]
pub struct Waker {
    woken: Arc<AtomicBool>,
    notifier: Arc<Notifier>,
}

impl Waker {
    /// For an operator of the task whose thread waits on `notifier`.
    pub fn new(notifier: Arc<Notifier>) -> Self {
        Self { woken: Arc::default(), notifier }
    }

    /// Something is done that the operator can go on with. Several calls may become one.
    pub fn wake(&self) {
        // What was done before is seen by the thread that takes this.
        self.woken.store(true, Ordering::Release);
        self.notifier.notify();
    }

    /// True once after a [`Waker::wake`].
    pub(crate) fn take(&self) -> bool {
        self.woken.load(Ordering::Relaxed) && self.woken.swap(false, Ordering::Acquire)
    }

    /// For an operator that is given rows though it has no room for them: waits on the task's thread until `ready`, which is asked
    /// again whenever the thread was woken. The task does nothing else meanwhile.
    ///
    /// # Errors
    /// [`Error::Cancelled`]: the task is to end.
    pub fn wait_until(&self, label: &'static str, out: &dyn Collector, mut ready: impl FnMut() -> bool) -> Result<()> {
        let mut woken = false;
        let outcome = loop {
            if out.is_cancelled() {
                break Err(Error::Cancelled);
            }
            if ready() {
                break Ok(());
            }
            woken |= self.notifier.wait(label, None);
        };
        // The notifications taken here may have been meant for the task's loop.
        if woken {
            self.notifier.notify();
        }
        outcome
    }
}
