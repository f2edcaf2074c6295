//! How a task's thread waits for whatever comes first.
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// Wakes one waiting thread. A notification that comes while no thread waits is kept until the next wait.
///
/// Everything a task can wait for (its mailbox, an input, credit for an output, background work of a source) notifies the
/// same notifier; the task then looks at each. The label says what the thread waits for now, for thread dumps.
#[derive(Debug, Default)]
pub struct Notifier {
    state: Mutex<State>,
    condition: Condvar,
}

#[derive(Debug, Default)]
struct State {
    notified: bool,
    waiting_for: Option<&'static str>,
}

impl Notifier {
    /// Wakes the waiting thread, or lets its next wait return at once.
    pub fn notify(&self) {
        let mut state = self.state.lock();
        if !state.notified {
            state.notified = true;
            if state.waiting_for.is_some() {
                self.condition.notify_one();
            }
        }
    }

    /// Waits for a notification, at most for `timeout`. False: the time ran out.
    pub fn wait(&self, label: &'static str, timeout: Option<Duration>) -> bool {
        let deadline = timeout.map(|timeout| Instant::now() + timeout);
        let mut state = self.state.lock();
        state.waiting_for = Some(label);
        while !state.notified {
            match deadline {
                None => self.condition.wait(&mut state),
                Some(deadline) => {
                    if self.condition.wait_until(&mut state, deadline).timed_out() {
                        break;
                    }
                }
            }
        }
        state.waiting_for = None;
        std::mem::take(&mut state.notified)
    }

    /// What the thread waits for, if it waits.
    pub fn waiting_for(&self) -> Option<&'static str> {
        self.state.lock().waiting_for
    }
}
