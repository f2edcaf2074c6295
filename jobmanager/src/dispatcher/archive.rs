//! Jobs that are over: a bounded number, for a bounded time, in bounded memory.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use prost::Message;
use wiesel_common::config::saturating_millis;
use wiesel_common::id::JobId;

use crate::jobmaster::JobInfo;
use crate::options::JobStoreOptions;

struct Archived {
    id: JobId,
    ended: i64,
    bytes: usize,
}

/// The archive.
pub struct Archive {
    options: JobStoreOptions,
    jobs: HashMap<JobId, Arc<JobInfo>>,
    order: VecDeque<Archived>,
    bytes: usize,
}

impl Archive {
    /// An empty archive.
    pub fn new(options: JobStoreOptions) -> Self {
        Self { options, jobs: HashMap::new(), order: VecDeque::new(), bytes: 0 }
    }

    /// Keeps a job that ended then (of the clock that only runs, in milliseconds) and not before those that are here. Older ones may
    /// have to go: these.
    pub fn insert(&mut self, info: Arc<JobInfo>, ended: i64) -> Vec<JobId> {
        let archived = Archived { id: info.job_id, ended, bytes: estimate(&info) };
        self.bytes += archived.bytes;
        self.order.push_back(archived);
        self.jobs.insert(info.job_id, info);
        let mut gone = Vec::new();
        while self.jobs.len() > 1 && (self.jobs.len() > self.options.capacity || self.bytes > self.options.bytes) {
            gone.extend(self.drop_oldest());
        }
        gone
    }

    /// Drops what is too old: these.
    pub fn expire(&mut self, now: i64) -> Vec<JobId> {
        let oldest = now.saturating_sub(saturating_millis(self.options.expiration));
        let mut gone = Vec::new();
        while self.order.front().is_some_and(|archived| archived.ended < oldest) {
            gone.extend(self.drop_oldest());
        }
        gone
    }

    fn drop_oldest(&mut self) -> Option<JobId> {
        let gone = self.order.pop_front()?;
        self.bytes -= gone.bytes;
        self.jobs.remove(&gone.id);
        Some(gone.id)
    }

    /// A job.
    pub fn get(&self, id: JobId) -> Option<&Arc<JobInfo>> {
        self.jobs.get(&id)
    }

    /// All jobs, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<JobInfo>> {
        self.order.iter().filter_map(|archived| self.jobs.get(&archived.id))
    }
}

/// Roughly what a job takes in memory.
fn estimate(info: &JobInfo) -> usize {
    const TASK_BYTES: usize = 512;
    const RECORD_BYTES: usize = 128;
    let failures: usize = info.history.entries().map(|entry| entry.failure.stack_trace().len() + 256).sum();
    let checkpoints = info.checkpoints.iter().flat_map(|checkpoints| &checkpoints.statistics.history);
    let checkpoints: usize = checkpoints.map(|record| RECORD_BYTES * (2 + record.totals().subtasks)).sum();
    2 * info.graph.graph.encoded_len() + TASK_BYTES * info.graph.executions().count() + failures + checkpoints
}
