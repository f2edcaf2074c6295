//! Which attempts run, in whatever process.
//!
//! Two of one subtask run at once only where a TaskManager was given up that lives, and not for long: it notices, or is told. No two
//! of one subtask have the same number, whichever JobMasters have given them out.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use wiesel_common::id::{AttemptId, JobId};

/// Of a job: the vertex, and the subtask's number.
pub type Subtask = (JobId, u32, u32);

#[derive(Default)]
struct State {
    running: BTreeMap<Subtask, BTreeSet<AttemptId>>,
    /// All that ever ran.
    numbers: BTreeMap<(Subtask, u32), AttemptId>,
    violations: Vec<String>,
}

/// See the module. All clones are one.
#[derive(Clone, Default)]
pub struct Attempts(Arc<Mutex<State>>);

/// An attempt that runs as long as this lives.
pub struct Running {
    attempts: Attempts,
    subtask: Subtask,
    attempt: AttemptId,
}

impl Attempts {
    /// An attempt runs. `number`: how many there were before.
    pub fn begin(&self, subtask: Subtask, number: u32, attempt: AttemptId) -> Running {
        let mut state = self.0.lock();
        let other = *state.numbers.entry((subtask, number)).or_insert(attempt);
        if other != attempt {
            let (job, vertex, task) = subtask;
            let what = format!(
                "{other} and {attempt} are both attempt {number} of subtask {task} of vertex {vertex} of {job}"
            );
            state.violations.push(what);
        }
        state.running.entry(subtask).or_default().insert(attempt);
        drop(state);
        Running { attempts: self.clone(), subtask, attempt }
    }

    /// The subtasks of which several attempts run, in words.
    pub fn doubled(&self) -> Vec<String> {
        let state = self.0.lock();
        let doubled = state.running.iter().filter(|(_, attempts)| attempts.len() > 1);
        doubled
            .map(|((job, vertex, subtask), attempts)| {
                let attempts: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
                format!("subtask {subtask} of vertex {vertex} of {job} runs as {}", attempts.join(" and "))
            })
            .collect()
    }

    /// What must not have happened and did.
    pub fn violations(&self) -> Vec<String> {
        self.0.lock().violations.clone()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut state = self.attempts.0.lock();
        if let Some(attempts) = state.running.get_mut(&self.subtask) {
            attempts.remove(&self.attempt);
            if attempts.is_empty() {
                state.running.remove(&self.subtask);
            }
        }
    }
}
