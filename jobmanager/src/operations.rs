//! Operations that a client starts and asks about later: savepoints, checkpoints, disposals.
//!
//! An operation is known under what it is, the job it concerns and a trigger id, which the client may choose: then a repeat
//! is the same operation. Outcomes are kept for `rest.async.store-duration`.
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use wiesel_common::id::JobId;
use wiesel_common::time::Clock;

use crate::failure::{self, FailureInfo};

/// The most operations that are remembered; the oldest that are over make room.
const MAX_OPERATIONS: usize = 10_000;

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Savepoint,
    Checkpoint,
    Disposal,
}

/// What it is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) kind: Kind,
    pub(crate) job: Option<JobId>,
    /// 16 bytes, as ids have.
    pub(crate) trigger: [u8; 16],
}

/// How it ended.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Snapshot { id: u64, location: String },
    Disposed,
}

/// Where it stands.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    InProgress,
    Over(Result<Outcome, FailureInfo>),
}

struct Entry {
    progress: Progress,
    /// When it ended, or began (milliseconds since the epoch).
    since: i64,
    /// Somebody has been told how it ended.
    told: bool,
}

/// All operations of a JobManager. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Operations {
    entries: Arc<Mutex<HashMap<Key, Entry>>>,
    /// Somebody has been told how one ended.
    told: Arc<Notify>,
    /// Operations that no job runs; they end with the JobManager.
    running: Arc<Mutex<JoinSet<()>>>,
    retention: Duration,
    clock: Arc<dyn Clock>,
}

/// The duty to say how an operation ended. Dropped without a word it has failed.
pub(crate) struct Promise {
    operations: Operations,
    key: Option<Key>,
}

impl Operations {
    pub(crate) fn new(retention: Duration, clock: Arc<dyn Clock>) -> Self {
        Self { entries: Arc::default(), told: Arc::default(), running: Arc::default(), retention, clock }
    }

    /// Runs an operation that is no job's; it keeps its promise itself.
    pub(crate) fn run(&self, operation: impl Future<Output = ()> + Send + 'static) {
        let mut running = self.running.lock();
        while running.try_join_next().is_some() {}
        running.spawn(operation);
    }

    /// A new operation; none: it is known already.
    pub(crate) fn begin(&self, key: Key) -> Option<Promise> {
        let now = self.clock.monotonic_millis();
        let mut entries = self.entries.lock();
        self.forget_old(&mut entries, now);
        if entries.contains_key(&key) {
            return None;
        }
        entries.insert(key, Entry { progress: Progress::InProgress, since: now, told: false });
        Some(Promise { operations: self.clone(), key: Some(key) })
    }

    /// Where an operation stands; none: it is not known, or not any more.
    pub(crate) fn progress(&self, key: &Key) -> Option<Progress> {
        let mut entries = self.entries.lock();
        self.forget_old(&mut entries, self.clock.monotonic_millis());
        let entry = entries.get_mut(key)?;
        if matches!(entry.progress, Progress::Over(_)) {
            entry.told = true;
            self.told.notify_waiters();
        }
        Some(entry.progress.clone())
    }

    /// Waits until those who asked for operations know how they ended, at the most as long as that is kept: whoever stops a job
    /// with a savepoint would else not hear where it is from a cluster that ends with its job.
    pub(crate) async fn until_told(&self) {
        let told = async {
            loop {
                let told = self.told.notified();
                if self.all_told() {
                    return;
                }
                told.await;
            }
        };
        if tokio::time::timeout(self.retention, told).await.is_err() {
            tracing::info!("the JobManager waits no longer for clients to ask how savepoints and checkpoints ended");
        }
    }

    fn all_told(&self) -> bool {
        let mut entries = self.entries.lock();
        self.forget_old(&mut entries, self.clock.monotonic_millis());
        entries.values().all(|entry| entry.told)
    }

    fn forget_old(&self, entries: &mut HashMap<Key, Entry>, now: i64) {
        let oldest = now - self.retention.as_millis() as i64;
        entries.retain(|_, entry| matches!(entry.progress, Progress::InProgress) || entry.since >= oldest);
        if entries.len() >= MAX_OPERATIONS {
            let over = entries.iter().filter(|(_, entry)| matches!(entry.progress, Progress::Over(_)));
            if let Some(key) = over.min_by_key(|(_, entry)| entry.since).map(|(key, _)| *key) {
                entries.remove(&key);
            }
        }
    }
}

impl Promise {
    /// The id under which the caller knows the operation.
    pub(crate) fn trigger(&self) -> Option<[u8; 16]> {
        self.key.map(|key| key.trigger)
    }

    /// It ended.
    pub(crate) fn keep(mut self, result: Result<Outcome, FailureInfo>) {
        self.end(result);
    }

    fn end(&mut self, result: Result<Outcome, FailureInfo>) {
        let Some(key) = self.key.take() else { return };
        let since = self.operations.clock.monotonic_millis();
        self.operations.entries.lock().insert(key, Entry { progress: Progress::Over(result), since, told: false });
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.end(Err(FailureInfo::new(failure::INTERNAL, "The job ended before the operation was complete.")));
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::time::ManualClock;

    use super::*;

    fn key(trigger: u8) -> Key {
        Key { kind: Kind::Savepoint, job: Some(JobId([1; 16])), trigger: [trigger; 16] }
    }

    #[test]
    fn an_outcome_is_kept_for_a_while() {
        let clock = Arc::new(ManualClock::default());
        let operations = Operations::new(Duration::from_millis(100), Arc::clone(&clock) as Arc<dyn Clock>);
        let promise = operations.begin(key(1)).unwrap();
        assert!(operations.begin(key(1)).is_none(), "a repeat is the same operation");
        clock.set(1_000);
        assert!(matches!(operations.progress(&key(1)), Some(Progress::InProgress)));
        promise.keep(Ok(Outcome::Disposed));
        clock.set(1_100);
        assert!(matches!(operations.progress(&key(1)), Some(Progress::Over(Ok(Outcome::Disposed)))));
        clock.set(1_101);
        assert!(operations.progress(&key(1)).is_none());
        assert!(operations.progress(&key(2)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_cluster_that_ends_waits_for_those_who_do_not_know_yet() {
        let operations = Operations::new(Duration::from_secs(300), Arc::new(ManualClock::default()));
        operations.until_told().await;
        let promise = operations.begin(key(1)).unwrap();
        let begun = tokio::time::Instant::now();
        let asking = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            // What is under way tells nobody how it ended.
            assert!(matches!(operations.progress(&key(1)), Some(Progress::InProgress)));
            promise.keep(Ok(Outcome::Disposed));
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(operations.progress(&key(1)).is_some());
        };
        tokio::join!(operations.until_told(), asking);
        assert_eq!(begun.elapsed().as_secs(), 2);
        // Somebody who never asks does not keep it for ever.
        drop(operations.begin(key(2)).unwrap());
        operations.until_told().await;
        assert_eq!(begun.elapsed().as_secs(), 302);
    }

    #[test]
    fn a_forgotten_promise_is_a_failure() {
        let operations = Operations::new(Duration::from_secs(1), Arc::new(ManualClock::default()));
        drop(operations.begin(key(1)).unwrap());
        assert!(matches!(operations.progress(&key(1)), Some(Progress::Over(Err(_)))));
    }
}
