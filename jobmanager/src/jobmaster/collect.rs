//! Rows of a SELECT on their way from a task to the client that asked for them.
//!
//! A collect sink sends batches; they wait here, within a budget of bytes, until the client fetches them. A client says
//! how many rows it has, which frees what is before. Each restart of the job begins a new version: what was fetched under
//! another is void.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tonic::Status;
use wiesel_common::id::{AttemptId, JobId, OperatorId};
use wiesel_proto as proto;

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

    /// None: nothing to say yet.
    fn fetch(&mut self, request: &proto::FetchResultsRequest, max_bytes: usize) -> Option<proto::FetchResultsResponse> {
        let current = request.version == self.version;
        if current {
            while let Some(batch) = self.batches.pop_front_if(|batch| batch.start + batch.rows <= request.offset) {
                self.bytes -= batch.bytes.len();
            }
        }
        let mut response = proto::FetchResultsResponse {
            version: self.version,
            offset: self.batches.front().map_or(self.next, |batch| batch.start),
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
        let news = !response.batches.is_empty() || response.end || (!current && request.version != 0);
        news.then_some(response)
    }
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

    /// A new execution of the job: these attempts will send rows, whatever came before is void.
    pub fn begin(&self, version: u64, attempts: impl IntoIterator<Item = AttemptId>) {
        let taken = attempts.into_iter().map(|attempt| (attempt, 0)).collect();
        *self.buffer.lock() = Buffer { version, taken, ..Buffer::default() };
        self.changed.notify_waiters();
    }

    /// Nothing will follow. Without `keep` what was not fetched is dropped.
    pub fn end(&self, keep: bool) {
        let mut buffer = self.buffer.lock();
        buffer.ended = true;
        buffer.taken.clear();
        if !keep {
            buffer.batches.clear();
            buffer.bytes = 0;
        }
        drop(buffer);
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
            let (answer, version, next) = {
                let mut buffer = self.buffer.lock();
                let before = buffer.bytes;
                let answer = buffer.fetch(request, self.max_batch_bytes);
                let freed = buffer.bytes < before;
                let next = (buffer.version, buffer.next);
                drop(buffer);
                if freed {
                    self.changed.notify_waiters();
                }
                (answer, next.0, next.1)
            };
            if let Some(response) = answer {
                return response;
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return proto::FetchResultsResponse { version, offset: next, ..Default::default() };
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

    /// A job is over.
    pub fn job_ended(&self, job: JobId, keep: bool, now: i64) {
        for ((id, _), entry) in self.entries.lock().iter_mut() {
            if *id == job && entry.ended.is_none() {
                entry.ended = Some(now);
                entry.coordinator.end(keep);
            }
        }
    }

    /// Drops what nobody has fetched for so long, and the oldest results while all together are over the budget.
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
