//! What users ask of a job: savepoints, checkpoints, and to stop.
use std::sync::Arc;

use wiesel_common::id::JobId;
use wiesel_proto as proto;

use super::actor::{Completion, JobMaster};
use super::checkpoint::action::{Outcome, Request, Savepoint, Stop};
use super::checkpoint::coordinator::MAX_REQUESTS;
use super::checkpoint::failure::{CHECKPOINT_EXCEPTION, CheckpointFailure, Reason, state_failure};
use super::status::JobStatus;
use crate::failure::{FailureInfo, INTERNAL, STOP_WITH_SAVEPOINT_STOPPING};
use crate::operations::{self, Promise};

/// What a user wants of a job.
#[derive(Clone, Debug)]
pub(crate) enum SnapshotRequest {
    /// A checkpoint.
    Checkpoint {
        /// Refers to nothing earlier.
        full: bool,
    },
    /// A savepoint.
    Savepoint {
        /// Under this folder; none: the configured one.
        directory: Option<String>,
        /// In the back end's own format.
        native: bool,
        /// The job is cancelled after it.
        cancel: bool,
    },
    /// To end with a savepoint.
    Stop {
        /// Under this folder; none: the configured one.
        directory: Option<String>,
        /// In the back end's own format.
        native: bool,
        /// After a last watermark.
        drain: bool,
    },
}

/// A caller that waits for a checkpoint or savepoint.
pub(super) struct Waiter {
    promise: Promise,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    Answer,
    Cancel,
    Stop,
}

/// The job ends with a savepoint.
pub(super) struct Stopping {
    promise: Promise,
    outcome: Outcome,
}

impl JobMaster {
    /// Begins what a user wants; the promise is kept later.
    pub(super) fn snapshot(&mut self, request: &SnapshotRequest, promise: Promise) {
        if self.status() != JobStatus::Running {
            let failure = CheckpointFailure::new(Reason::NotAllRequiredTasksRunning);
            return promise.keep(Err(failure.info()));
        }
        self.tickets += 1;
        let (request, then) = match self.coordinator_request(request, self.tickets) {
            Ok(request) => request,
            Err(failure) => return promise.keep(Err(failure)),
        };
        if then != Then::Answer && self.is_stopping() {
            let failure = FailureInfo::new(CHECKPOINT_EXCEPTION, "The job is being stopped already.");
            return promise.keep(Err(failure));
        }
        if self.waiters.len() >= MAX_REQUESTS {
            return promise.keep(Err(CheckpointFailure::new(Reason::TooManyRequests).info()));
        }
        self.waiters.insert(self.tickets, Waiter { promise, then });
        match request.savepoint().map(|savepoint| savepoint.target.clone()) {
            Some(target) => self.try_target(self.tickets, request, target),
            None => self.ask_coordinator(self.tickets, request),
        }
    }

    /// Finds out whether a savepoint can be written, before any task hears of it: a folder that cannot be is a fault of the
    /// request, not of the job. Meanwhile checkpoints go on, however long the file system takes to answer.
    fn try_target(&mut self, ticket: u64, request: Request, target: String) {
        let (storage, limit) = (self.storage.clone(), self.checkpoint_options.timeout);
        let turns = Arc::clone(&self.trials);
        self.spawn(async move {
            let trial = async {
                let _turn = turns.acquire().await;
                storage.try_savepoint_target(&target).await
            };
            let result = match tokio::time::timeout(limit, trial).await {
                Ok(Ok(())) => Ok(request),
                Ok(Err(error)) => Err(CheckpointFailure::because(Reason::IoException, state_failure(&error))),
                Err(_) => Err(CheckpointFailure::new(Reason::Expired)),
            };
            Completion::TargetTried { ticket, result }
        });
    }

    /// The target of a savepoint can be written, or not.
    pub(super) fn target_tried(&mut self, ticket: u64, result: Result<Request, CheckpointFailure>) {
        match result {
            Ok(request) => self.ask_coordinator(ticket, request),
            Err(failure) => {
                tracing::info!(job_id = %self.job_id(), reason = %failure, "a savepoint could not begin");
                self.answer(ticket, Err(failure));
            }
        }
    }

    fn ask_coordinator(&mut self, ticket: u64, request: Request) {
        // Of a job that is over meanwhile everybody has been told.
        let Some(then) = self.waiters.get(&ticket).map(|waiter| waiter.then) else { return };
        if self.status() != JobStatus::Running {
            return self.answer(ticket, Err(CheckpointFailure::new(Reason::NotAllRequiredTasksRunning)));
        }
        if then != Then::Answer {
            self.checkpoints.stop_periodic();
        }
        let now = self.now();
        self.checkpoints.request(request, self.scheduler.graph(), now);
    }

    /// The rows of a SELECT without periodic checkpoints are shown as they come, and after a restart they come from the
    /// beginning. A restart from a checkpoint that a user triggered would leave out those before it.
    fn may_restart_from_a_checkpoint(&self) -> Result<(), FailureInfo> {
        if self.collectors.is_empty() || self.checkpoint_options.interval.is_some() {
            return Ok(());
        }
        let message = "The job shows the rows of a SELECT as they come, so it cannot be restarted from a checkpoint. Set \
                       execution.checkpointing.interval before the SELECT, or take a savepoint.";
        Err(FailureInfo::new(CHECKPOINT_EXCEPTION, message))
    }

    fn is_stopping(&self) -> bool {
        self.stopping.is_some() || self.waiters.values().any(|waiter| waiter.then != Then::Answer)
    }

    fn coordinator_request(&self, request: &SnapshotRequest, ticket: u64) -> Result<(Request, Then), FailureInfo> {
        let savepoint =
            |directory: &Option<String>, native: bool, stop: Option<Stop>| -> Result<Request, FailureInfo> {
                let target = self.storage.savepoint_target(directory.as_deref()).map_err(|error| {
                    FailureInfo::wrap(CHECKPOINT_EXCEPTION, Reason::IoException.message(), &state_failure(&error))
                })?;
                Ok(Request::Savepoint { ticket, savepoint: Savepoint { target, native, stop } })
            };
        Ok(match request {
            SnapshotRequest::Checkpoint { full } => {
                self.may_restart_from_a_checkpoint()?;
                (Request::Checkpoint { ticket, full: *full }, Then::Answer)
            }
            SnapshotRequest::Savepoint { directory, native, cancel } => {
                let then = if *cancel { Then::Cancel } else { Then::Answer };
                (savepoint(directory, *native, None)?, then)
            }
            SnapshotRequest::Stop { directory, native, drain } => {
                (savepoint(directory, *native, Some(Stop { drain: *drain }))?, Then::Stop)
            }
        })
    }

    /// The coordinator has an answer for a waiting caller.
    pub(super) fn answer(&mut self, ticket: u64, result: Result<Outcome, CheckpointFailure>) {
        let Some(Waiter { promise, then }) = self.waiters.remove(&ticket) else { return };
        match (result, then) {
            (Ok(outcome), Then::Answer) => promise.keep(Ok(operations_outcome(&outcome))),
            (Ok(outcome), Then::Cancel) => {
                promise.keep(Ok(operations_outcome(&outcome)));
                self.scheduler.cancel(&mut self.env);
            }
            (Ok(outcome), Then::Stop) => {
                self.scheduler.stops_with(outcome.pointer.clone(), &mut self.env);
                self.stopping = Some(Stopping { promise, outcome });
            }
            (Err(failure), then) => {
                promise.keep(Err(failure.info()));
                if then != Then::Answer {
                    let now = self.now();
                    self.checkpoints.start_periodic(now);
                }
            }
        }
    }

    /// The id under which a caller knows what it waits for.
    pub(super) fn trigger_of(&self, ticket: u64) -> Option<[u8; 16]> {
        self.waiters.get(&ticket).and_then(|waiter| waiter.promise.trigger())
    }

    /// Callers that have asked another JobMaster for savepoints learn that nothing comes of them.
    pub(super) fn answer_callers_of_another(&self, savepoints: &[proto::RecordedSavepoint]) {
        for savepoint in savepoints {
            let Ok(trigger) = <[u8; 16]>::try_from(&savepoint.trigger[..]) else { continue };
            let key = operations::Key { kind: operations::Kind::Savepoint, job: Some(self.job_id()), trigger };
            let message = "The JobManager was lost while the savepoint was being taken: trigger it again.";
            if let Some(promise) = self.context.operations.begin(key) {
                promise.keep(Err(FailureInfo::new(CHECKPOINT_EXCEPTION, message)));
            }
        }
    }

    /// The job is over: callers that still wait are told so.
    pub(super) fn answer_all(&mut self, job_id: JobId, status: JobStatus, failure: Option<&FailureInfo>) {
        if let Some(Stopping { promise, outcome }) = self.stopping.take() {
            promise.keep(match (status, failure) {
                (JobStatus::Finished, _) => Ok(operations_outcome(&outcome)),
                (_, Some(failure)) if failure.class == STOP_WITH_SAVEPOINT_STOPPING => Err(failure.clone()),
                (_, failure) => {
                    let message = format!(
                        "The job {job_id} was to stop with the savepoint {}, which is complete, but it ended as {status}.",
                        outcome.pointer
                    );
                    Err(match failure {
                        Some(cause) => FailureInfo::wrap(INTERNAL, message, cause),
                        None => FailureInfo::new(INTERNAL, message),
                    })
                }
            });
        }
        self.waiters.clear();
    }
}

fn operations_outcome(outcome: &Outcome) -> operations::Outcome {
    operations::Outcome::Snapshot { id: outcome.id, location: outcome.pointer.clone() }
}
