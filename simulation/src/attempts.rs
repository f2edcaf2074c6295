//! Which attempts run, in whatever process.
//!
//! Two of one subtask run at once only where a TaskManager was given up that lives, and not for long: it notices, or is told.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use wiesel_common::id::{AttemptId, JobId};

/// Of a job: the vertex, and the subtask's number.
pub type Subtask = (JobId, u32, u32);

/// See the module. All clones are one.
#[derive(Clone, Default)]
pub struct Attempts(Arc<Mutex<BTreeMap<Subtask, BTreeSet<AttemptId>>>>);

/// An attempt that runs as long as this lives.
pub struct Running {
    attempts: Attempts,
    subtask: Subtask,
    attempt: AttemptId,
}

impl Attempts {
    /// An attempt runs.
    pub fn begin(&self, subtask: Subtask, attempt: AttemptId) -> Running {
        self.0.lock().entry(subtask).or_default().insert(attempt);
        Running { attempts: self.clone(), subtask, attempt }
    }

    /// The subtasks of which several attempts run, in words.
    pub fn doubled(&self) -> Vec<String> {
        let running = self.0.lock();
        let doubled = running.iter().filter(|(_, attempts)| attempts.len() > 1);
        doubled
            .map(|((job, vertex, subtask), attempts)| {
                let attempts: Vec<String> = attempts.iter().map(AttemptId::to_string).collect();
                format!("subtask {subtask} of vertex {vertex} of {job} runs as {}", attempts.join(" and "))
            })
            .collect()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.attempts.0.lock();
        if let Some(attempts) = running.get_mut(&self.subtask) {
            attempts.remove(&self.attempt);
            if attempts.is_empty() {
                running.remove(&self.subtask);
            }
        }
    }
}
