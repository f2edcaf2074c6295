//! What failed in a job, newest first, as many entries as `web.exception-history-size` allows.
use std::collections::VecDeque;
use std::sync::Arc;

use crate::failure::FailureInfo;
use crate::jobmaster::execution_graph::TaskManagerLocation;

/// At most this many failures that came along with another are kept with it.
const MAX_CONCURRENT: usize = 64;

/// A task that failed.
#[derive(Clone, Debug)]
pub struct FailedTask {
    /// "name (1/2) - execution #0".
    pub name: String,
    /// Where it ran.
    pub location: Option<Arc<TaskManagerLocation>>,
}

/// One failure.
#[derive(Clone, Debug)]
pub struct ExceptionEntry {
    /// What.
    pub failure: FailureInfo,
    /// When (milliseconds since the epoch).
    pub timestamp: i64,
    /// Which task; none: the job as a whole.
    pub task: Option<FailedTask>,
    /// Failures that came along with it.
    pub concurrent: Vec<ExceptionEntry>,
}

/// The failures of a job.
#[derive(Clone, Debug)]
pub struct ExceptionHistory {
    limit: usize,
    entries: VecDeque<ExceptionEntry>,
    truncated: bool,
}

impl ExceptionHistory {
    /// No failures yet.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), entries: VecDeque::new(), truncated: false }
    }

    /// A new failure.
    pub fn add(&mut self, entry: ExceptionEntry) {
        self.entries.push_front(entry);
        if self.entries.len() > self.limit {
            self.entries.pop_back();
            self.truncated = true;
        }
    }

    /// A failure that came along with the latest one.
    pub fn add_concurrent(&mut self, entry: ExceptionEntry) {
        match self.entries.front_mut() {
            Some(latest) if latest.concurrent.len() < MAX_CONCURRENT => latest.concurrent.push(entry),
            Some(_) => {}
            None => self.add(entry),
        }
    }

    /// Newest first.
    pub fn entries(&self) -> impl Iterator<Item = &ExceptionEntry> {
        self.entries.iter()
    }

    /// Older ones were dropped.
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }
}
