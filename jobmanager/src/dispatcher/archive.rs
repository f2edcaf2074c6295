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

    /// Keeps a job that ended now (of the clock that only runs, in milliseconds); older ones may have to go.
    pub fn insert(&mut self, info: Arc<JobInfo>, now: i64) {
        let archived = Archived { id: info.job_id, ended: now, bytes: estimate(&info) };
        self.bytes += archived.bytes;
        self.order.push_back(archived);
        self.jobs.insert(info.job_id, info);
        while self.jobs.len() > 1 && (self.jobs.len() > self.options.capacity || self.bytes > self.options.bytes) {
            self.drop_oldest();
        }
    }

    /// Drops what is too old.
    pub fn expire(&mut self, now: i64) {
        let oldest = now - saturating_millis(self.options.expiration);
        while self.order.front().is_some_and(|archived| archived.ended < oldest) {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        if let Some(gone) = self.order.pop_front() {
            self.bytes -= gone.bytes;
            self.jobs.remove(&gone.id);
        }
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
