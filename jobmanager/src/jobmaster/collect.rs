//! Rows of a SELECT on their way from a task to the client that asked for them.
//!
//! A collect sink sends batches; they wait here, within a budget of bytes, until the client fetches them. A client says
//! how many rows it has, which frees what is before. Each restart of the job begins a new version: what was fetched under
//! another is void, unless the sink goes on from a checkpoint. Then rows before the offset in that checkpoint stay, and the
//! client, which shows only rows that a checkpoint made final, never has to take one back. Of a job that fails the client gets
//! all rows up to its last checkpoint: a client that starts another job from there has each row once.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;
use wiesel_common::id::{AttemptId, JobId, OperatorId};
use wiesel_proto as proto;

use super::status::JobStatus;

/// The longest a client may wait for rows in one request.
const MAX_WAIT: Duration = Duration::from_secs(60);

struct Batch {
    start: u64,
    rows: u64,
    bytes: Bytes,
}

#[derive(Default)]
struct Buffer {
    version: u64,
    /// For each sink of this version the rows taken from it.
    taken: HashMap<AttemptId, u64>,
    batches: VecDeque<Batch>,
    bytes: usize,
    /// Rows before what comes next.
    next: u64,
    ended: bool,
    /// None: no checkpoints, every row is final at once.
    checkpoints: Option<Checkpoints>,
    /// The sink's offsets at checkpoints that are not known to be complete.
    at_checkpoint: BTreeMap<u64, u64>,
    /// Versions, and how many rows of all before were there when they began. One that kept no more than a later one is left
    /// out: a client may learn of several restarts at once, and has what the least of them kept.
    kept: Vec<(u64, u64)>,
}

/// How far the rows of a sink are final.
#[derive(Clone, Copy, Default)]
struct Checkpoints {
    /// The sink's offset of the first row: a job may begin with a savepoint of another.
    base: u64,
    /// Rows that are final.
    committed: u64,
    /// The sink of this version has not said where it goes on.
    waiting: bool,
}

impl Buffer {
    /// True if the batch was taken (or had been), false if there is no room.
    fn push(&mut self, budget: usize, attempt: AttemptId, request: &proto::CollectRequest) -> Result<bool, Status> {
        if self.ended {
            return Err(Status::not_found("the job is over"));
        }
        let Some(taken) = self.taken.get_mut(&attempt) else {
            return Err(Status::not_found(format!("attempt {attempt} collects no rows of this execution")));
        };
        if request.resume {
            *taken = request.offset;
            let offset = (!request.finished).then_some(request.offset);
            self.resume(offset)?;
            return Ok(true);
        }
        if request.checkpoint_id != 0 {
            self.at_checkpoint.insert(request.checkpoint_id, request.offset);
            return Ok(true);
        }
        if request.offset + request.rows <= *taken {
            return Ok(true);
        }
        if request.offset != *taken {
            let message = format!("rows {} to {} are missing from attempt {attempt}", *taken, request.offset);
            return Err(Status::failed_precondition(message));
        }
        if self.bytes > 0 && self.bytes + request.batch.len() > budget {
            return Ok(false);
        }
        *taken += request.rows;
        self.bytes += request.batch.len();
        self.batches.push_back(Batch { start: self.next, rows: request.rows, bytes: request.batch.clone() });
        self.next += request.rows;
        Ok(true)
    }

    /// The sink of this version goes on from its offset: what came behind it is void. None: it had finished before the
    /// checkpoint, so that all of its rows are final.
    fn resume(&mut self, offset: Option<u64>) -> Result<(), Status> {
        let fresh = Checkpoints { base: offset.unwrap_or(0), ..Checkpoints::default() };
        let mut checkpoints = self.checkpoints.unwrap_or(fresh);
        let kept = offset.map_or(checkpoints.committed, |offset| offset.saturating_sub(checkpoints.base));
        if kept < checkpoints.committed {
            // The client has shown them, so they can neither be taken back nor come once more.
            let message = format!("rows up to {} are final, and the sink goes on from {kept}", checkpoints.committed);
            return Err(Status::failed_precondition(message));
        }
        self.drop_behind(kept);
        checkpoints.committed = kept;
        checkpoints.waiting = false;
        self.checkpoints = Some(checkpoints);
        self.keep(kept);
        Ok(())
    }

    /// Of earlier versions this one keeps so many rows.
    fn keep(&mut self, rows: u64) {
        while self.kept.pop_if(|(_, kept)| *kept >= rows).is_some() {}
        self.kept.push((self.version, rows));
    }

    /// How many rows a client still has that knows this version. A client that has the latest does not ask.
    fn kept_since(&self, version: u64) -> u64 {
        self.kept.iter().find(|(later, _)| *later > version).map_or(0, |(_, kept)| *kept)
    }

    /// Drops all rows but the first so many. A barrier is never within a batch.
    fn drop_behind(&mut self, rows: u64) {
        while let Some(batch) = self.batches.pop_back_if(|batch| batch.start >= rows) {
            self.bytes -= batch.bytes.len();
        }
        self.next = self.next.min(rows);
    }

    /// A checkpoint is complete: what was sent before it is final, or all, if the sink had finished before it.
    fn checkpoint_completed(&mut self, checkpoint_id: u64, sink_finished: bool) {
        let later = self.at_checkpoint.split_off(&(checkpoint_id + 1));
        let reached = std::mem::replace(&mut self.at_checkpoint, later).into_values().next_back();
        let Some(checkpoints) = &mut self.checkpoints else { return };
        if sink_finished {
            checkpoints.committed = self.next;
        } else if let Some(offset) = reached {
            checkpoints.committed = checkpoints.committed.max(offset.saturating_sub(checkpoints.base));
        }
    }

    /// A new execution: with checkpoints what it began with stays.
    fn begin(&mut self, version: u64, taken: HashMap<AttemptId, u64>) {
        self.version = version;
        self.taken = taken;
        self.at_checkpoint.clear();
        match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.waiting = true,
            None => {
                self.batches.clear();
                (self.bytes, self.next) = (0, 0);
            }
        }
    }

    /// The job is over in this state: whether what was not fetched can be, and how much of it is final.
    fn end(&mut self, status: JobStatus) {
        self.ended = true;
        self.taken.clear();
        match (status, &mut self.checkpoints) {
            (JobStatus::Finished, Some(checkpoints)) => checkpoints.committed = u64::MAX,
            (JobStatus::Failed, Some(checkpoints)) => {
                let Checkpoints { committed, waiting, .. } = *checkpoints;
                self.drop_behind(committed);
                // A restart that did not come to its sink took back what a checkpoint lacks.
                if waiting {
                    self.keep(committed);
                }
            }
            (JobStatus::Finished | JobStatus::Failed, None) => {}
            _ => {
                self.batches.clear();
                self.bytes = 0;
            }
        }
    }

    /// Rows that are final.
    fn committed(&self) -> u64 {
        self.checkpoints.map_or(u64::MAX, |checkpoints| checkpoints.committed)
    }

    /// None: nothing to say yet.
    fn fetch(&mut self, request: &proto::FetchResultsRequest, max_bytes: usize) -> Option<proto::FetchResultsResponse> {
        if !self.ended && self.checkpoints.is_some_and(|checkpoints| checkpoints.waiting) {
            return None;
        }
        let current = request.version == self.version;
        if current {
            while let Some(batch) = self.batches.pop_front_if(|batch| batch.start + batch.rows <= request.offset) {
                self.bytes -= batch.bytes.len();
            }
            self.kept.clear();
        }
        let mut response = proto::FetchResultsResponse {
            version: self.version,
            offset: self.batches.front().map_or(self.next, |batch| batch.start),
            committed: self.committed(),
            kept: self.kept_since(request.version),
            ..Default::default()
        };
        let mut bytes = 0;
        for batch in &self.batches {
            if bytes > 0 && bytes + batch.bytes.len() > max_bytes {
                break;
            }
            bytes += batch.bytes.len();
            response.rows += batch.rows;
            response.batches.push(batch.bytes.clone());
        }
        response.end = self.ended && response.batches.len() == self.batches.len();
        // A client of an older version learns of the new one at once; version 0 means that it has none yet.
        let final_now = self.checkpoints.is_some() && response.committed > request.committed;
        let news = !response.batches.is_empty() || response.end || final_now || (!current && request.version != 0);
        news.then_some(response)
    }
}

/// The answer that tells a client nothing new.
fn unchanged(request: &proto::FetchResultsRequest) -> proto::FetchResultsResponse {
    let (version, offset, committed) = (request.version, request.offset, request.committed);
    proto::FetchResultsResponse { version, offset, committed, ..Default::default() }
}

/// The rows of one collect sink.
pub struct CollectCoordinator {
    max_batch_bytes: usize,
    buffer: Mutex<Buffer>,
    changed: Notify,
}

impl CollectCoordinator {
    fn new(max_batch_bytes: usize) -> Self {
        Self { max_batch_bytes, buffer: Mutex::default(), changed: Notify::new() }
    }

    /// A new execution of the job: these attempts will send rows. Whatever came before is void, unless they go on from it.
    pub fn begin(&self, version: u64, attempts: impl IntoIterator<Item = AttemptId>) {
        let taken = attempts.into_iter().map(|attempt| (attempt, 0)).collect();
        self.buffer.lock().begin(version, taken);
        self.changed.notify_waiters();
    }

    /// The job is over in this state: nothing will follow. Of a job that was cancelled no client wants the rest.
    pub fn end(&self, status: JobStatus) {
        self.buffer.lock().end(status);
        self.changed.notify_waiters();
    }

    /// A checkpoint that the job would be restarted from, or the savepoint that it ends with, is complete. A sink that had
    /// finished before it has no offset in it.
    pub fn checkpoint_completed(&self, checkpoint_id: u64, sink_finished: bool) {
        self.buffer.lock().checkpoint_completed(checkpoint_id, sink_finished);
        self.changed.notify_waiters();
    }

    /// Takes rows of a sink; waits until there is room for them.
    pub async fn collect(&self, attempt: AttemptId, request: &proto::CollectRequest) -> Result<(), Status> {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.buffer.lock().push(2 * self.max_batch_bytes, attempt, request)? {
                self.changed.notify_waiters();
                return Ok(());
            }
            changed.await;
        }
    }

    /// What a client gets; waits for rows as long as it asked for.
    pub async fn fetch(&self, request: &proto::FetchResultsRequest) -> proto::FetchResultsResponse {
        let deadline = Instant::now() + Duration::from_millis(request.max_wait).min(MAX_WAIT);
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let (answer, idle) = {
                let mut buffer = self.buffer.lock();
                let before = buffer.bytes;
                let answer = buffer.fetch(request, self.max_batch_bytes);
                let freed = buffer.bytes < before;
                let idle = proto::FetchResultsResponse {
                    version: buffer.version,
                    offset: buffer.next,
                    committed: buffer.committed(),
                    kept: buffer.kept_since(request.version),
                    ..Default::default()
                };
                // A version whose sink has not spoken is not the client's business yet.
                let waiting = buffer.checkpoints.is_some_and(|checkpoints| checkpoints.waiting);
                let idle = if waiting { unchanged(request) } else { idle };
                drop(buffer);
                if freed {
                    self.changed.notify_waiters();
                }
                (answer, idle)
            };
            if let Some(response) = answer {
                return response;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return idle;
            }
        }
    }

    fn buffered_bytes(&self) -> usize {
        self.buffer.lock().bytes
    }
}

struct Entry {
    coordinator: Arc<CollectCoordinator>,
    last_fetch: i64,
    ended: Option<i64>,
}

/// The collect sinks of all jobs, also of finished ones whose rows wait for their client.
#[derive(Clone, Default)]
pub struct CollectCoordinators {
    entries: Arc<Mutex<HashMap<(JobId, OperatorId), Entry>>>,
}

impl CollectCoordinators {
    /// A coordinator for a sink of a new job.
    pub fn create(&self, job: JobId, operator: OperatorId, max_batch_bytes: usize) -> Arc<CollectCoordinator> {
        let coordinator = Arc::new(CollectCoordinator::new(max_batch_bytes.max(1)));
        let entry = Entry { coordinator: Arc::clone(&coordinator), last_fetch: 0, ended: None };
        self.entries.lock().insert((job, operator), entry);
        coordinator
    }

    /// The coordinator of a sink, for a task.
    pub fn get(&self, job: JobId, operator: OperatorId) -> Option<Arc<CollectCoordinator>> {
        self.entries.lock().get(&(job, operator)).map(|entry| Arc::clone(&entry.coordinator))
    }

    /// The coordinator of a sink, for a client that fetches now.
    pub fn get_for_client(&self, job: JobId, operator: OperatorId, now: i64) -> Option<Arc<CollectCoordinator>> {
        let mut entries = self.entries.lock();
        let entry = entries.get_mut(&(job, operator))?;
        entry.last_fetch = now;
        Some(Arc::clone(&entry.coordinator))
    }

    /// A job is over in this state.
    pub fn job_ended(&self, job: JobId, status: JobStatus, now: i64) {
        for ((id, _), entry) in self.entries.lock().iter_mut() {
            if *id == job && entry.ended.is_none() {
                entry.ended = Some(now);
                entry.coordinator.end(status);
            }
        }
    }

    /// Drops rows that were not fetched for so long, and the oldest results while all together are over the budget.
    pub fn expire(&self, now: i64, retention: Duration, budget: usize) {
        let oldest = now - retention.as_millis() as i64;
        let mut entries = self.entries.lock();
        entries.retain(|_, entry| entry.ended.is_none_or(|ended| ended.max(entry.last_fetch) >= oldest));
        let mut ended: Vec<_> = entries
            .iter()
            .filter_map(|(key, entry)| {
                Some((entry.ended?.max(entry.last_fetch), *key, entry.coordinator.buffered_bytes()))
            })
            .filter(|(_, _, bytes)| *bytes > 0)
            .collect();
        let mut bytes: usize = ended.iter().map(|(_, _, bytes)| bytes).sum();
        ended.sort_unstable();
        for (_, key, size) in ended {
            if bytes <= budget {
                break;
            }
            entries.remove(&key);
            bytes -= size;
        }
    }
}

#[cfg(test)]
#[path = "collect_tests.rs"]
mod tests;
