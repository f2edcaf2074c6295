//! Holds a process up: for a while, or for a part of all time.
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::process;

/// A process with a share of the processor runs this long in all and then stands still, again and again.
const PERIOD: Duration = Duration::from_millis(100);

/// The brake of one process. When it is dropped the process goes on at full speed.
pub struct Brake {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    began: Instant,
    /// It stands still between these two.
    frozen: Option<(Instant, Instant)>,
    /// Percent of the time in which it runs.
    share: u32,
    ended: bool,
}

impl State {
    /// Whether it stands still now, and when that may change.
    fn at(&self, now: Instant) -> (bool, Option<Instant>) {
        let (from, to) = self.frozen.unwrap_or((now, now));
        if (from..to).contains(&now) {
            return (true, Some(to));
        }
        let freezes = Some(from).filter(|from| *from > now);
        if self.share >= 100 {
            return (false, freezes);
        }
        let phase = Duration::from_nanos((now.duration_since(self.began).as_nanos() % PERIOD.as_nanos()) as u64);
        let running = PERIOD * self.share / 100;
        let (still, next) = if phase < running { (false, running) } else { (true, PERIOD) };
        let next = now + (next - phase);
        (still, Some(freezes.map_or(next, |from| from.min(next))))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hold(&self, pid: u32) {
        let mut stands_still = false;
        let mut state = self.lock();
        while !state.ended {
            let now = Instant::now();
            let (still, next) = state.at(now);
            if still != stands_still {
                process::signal(pid, if still { Signal::STOP } else { Signal::CONT });
                stands_still = still;
            }
            state = match next {
                Some(next) => {
                    let waited = self.changed.wait_timeout(state, next.saturating_duration_since(now));
                    waited.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        if stands_still {
            process::signal(pid, Signal::CONT);
        }
    }
}

impl Brake {
    /// For a process that runs in so many percent of the time.
    pub fn new(pid: u32, share: u32) -> Self {
        let state = State { began: Instant::now(), frozen: None, share, ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || shared.hold(pid)
        });
        Self { shared, thread: Some(thread) }
    }

    /// It stands still for so long, in a while. Two at once: the later one counts.
    pub fn freeze(&self, after: Duration, time: Duration) {
        let from = Instant::now() + after;
        self.change(|state| state.frozen = Some((from, from + time)));
    }

    /// It goes on, and is not held up again.
    pub fn release(&self) {
        self.change(|state| (state.frozen, state.share) = (None, 100));
    }

    /// It runs in so many percent of the time.
    pub fn share(&self, percent: u32) {
        self.change(|state| state.share = percent);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.lock());
        self.shared.changed.notify_all();
    }
}

impl Drop for Brake {
    fn drop(&mut self) {
        self.change(|state| state.ended = true);
        if let Some(thread) = self.thread.take() {
            // It only waits and sends signals.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_stands_still_when_it_should() {
        let began = Instant::now();
        let at = |state: &State, millis: u64| {
            let (still, next) = state.at(began + Duration::from_millis(millis));
            (still, next.map(|next| next.duration_since(began).as_millis()))
        };
        let time = |millis: u64| began + Duration::from_millis(millis);
        let mut state = State { began, frozen: None, share: 100, ended: false };
        assert_eq!(at(&state, 7), (false, None));
        state.frozen = Some((time(30), time(75)));
        assert_eq!(at(&state, 7), (false, Some(30)));
        assert_eq!(at(&state, 30), (true, Some(75)));
        assert_eq!(at(&state, 75), (false, None));
        state.share = 20;
        assert_eq!(at(&state, 7), (false, Some(20)));
        assert_eq!(at(&state, 20), (true, Some(30)));
        assert_eq!(at(&state, 74), (true, Some(75)));
        assert_eq!(at(&state, 80), (true, Some(100)));
        assert_eq!(at(&state, 119), (false, Some(120)));
    }

    #[test]
    fn signals_reach_the_process() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let state = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
            stat.rsplit(") ").next().unwrap().chars().next().unwrap()
        };
        let is = |wanted: char| {
            crate::eventually("the state of a process", Duration::from_secs(10), || match state() {
                state if state == wanted => Ok(()),
                other => Err(other.to_string()),
            });
        };
        let brake = Brake::new(child.id(), 100);
        brake.freeze(Duration::ZERO, Duration::from_secs(60));
        is('T');
        brake.release();
        is('S');
        brake.share(0);
        is('T');
        drop(brake);
        is('S');
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
