//! The JobMaster's side of checkpoints: the coordinator's actions, and what comes of them.
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tonic::Status;
use tracing::Instrument;
use wiesel_common::fault;
use wiesel_common::id::{AttemptId, JobId, OperatorId};
use wiesel_common::logging::checkpoint_span;
use wiesel_proto as proto;
use wiesel_state::storage::{CheckpointStorage, Deleted, Found, KnownCheckpoints};

use super::actor::{Completion, JobMaster};
use super::checkpoint::action::Action;
use super::checkpoint::assignment::{Assignment, assign};
use super::checkpoint::calls::{Caller, Told, by_task_manager};
use super::checkpoint::cleaning::{Cleaned, Garbage};
use super::checkpoint::failure::{CHECKPOINT_EXCEPTION, CheckpointFailure, Reason, state_failure};
use super::checkpoint::plan::TaskRef;
use super::checkpoint::store::{CompletedCheckpoint, Owner};
use super::failure_log::counted;
use super::operator_coordinator_holder::Command;
use super::recording::{Wanted, check_inline};
use super::scheduler::UpdateOutcome;
use crate::failure::{self, FailureInfo};

/// How long some checkpoints may take to be deleted.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(300);
/// How long the job's folder may take to be looked through.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(600);

impl JobMaster {
    /// Follows the state of the job, then does what the coordinator wants. True: there was something to do.
    pub(super) fn act_on_checkpoints(&mut self) -> bool {
        if self.left {
            return false;
        }
        self.follow_job();
        let now = self.now();
        let actions = self.checkpoints.take_actions(now);
        let mut busy = !actions.is_empty();
        self.note_checkpoints();
        for action in actions {
            self.recorder.queue(Wanted::Checkpoints(action));
        }
        busy |= self.fulfil_due();
        self.deploy_postponed() || busy
    }

    fn follow_job(&mut self) {
        let now = self.now();
        let may_begin = self.scheduler.all_tasks_run() && !self.is_held_up();
        if self.checkpoints.is_active() == may_begin {
            return;
        }
        if may_begin {
            let random = self.random();
            self.checkpoints.resume(now, random);
            // Tasks that were taken over may wait at their end for a checkpoint.
            self.checkpoints.tick(self.scheduler.graph(), now);
        } else if self.status() != super::status::JobStatus::Running {
            self.checkpoints.suspend(Reason::CoordinatorSuspend, now);
        }
    }

    pub(super) fn do_checkpoint_action(&mut self, action: Action) {
        let job_id = self.job_id();
        match action {
            Action::UseUpNumbers { until } => self.use_up_numbers(until),
            Action::Prepare { id } => self.prepare(id),
            Action::Trigger { tasks, barrier } => self.trigger(tasks, barrier),
            Action::Release { id } => self.tell_coordinators(|| Command::Release { checkpoint: id }),
            Action::Finalize { barrier, metadata } => {
                let checkpoint = barrier.checkpoint_id;
                self.tell_coordinators(|| Command::Acknowledged { checkpoint, subtask: None });
                self.finalize(barrier, metadata);
            }
            Action::ReleaseResults(metadata) => {
                self.release_results(&metadata);
                let checkpoint = metadata.checkpoint_id;
                self.tell_coordinators(|| Command::CheckpointEnded { checkpoint, completed: true });
            }
            Action::Notify { id, outcome, tasks } => self.notify(id, outcome, tasks),
            Action::Discard { garbage, referenced } => {
                let storage = self.storage.clone();
                self.spawn(async move {
                    fault::point("checkpoint.before-discard");
                    let deleting = discard(&storage, &garbage, &referenced);
                    let done = tokio::time::timeout(DISCARD_TIMEOUT, deleting).await;
                    let cleaned = done.unwrap_or_else(|_| {
                        let (checkpoints, limit) = (garbage.len(), DISCARD_TIMEOUT);
                        tracing::warn!(%job_id, checkpoints, ?limit, "checkpoints could not be deleted in time: they are tried again, one by one");
                        Cleaned::given_up(garbage)
                    });
                    Completion::Discarded(cleaned)
                });
            }
            Action::Sweep(known) => {
                let storage = self.storage.clone();
                self.spawn(async move {
                    let sweeping = sweep(job_id, &storage, &known);
                    let cleaned = tokio::time::timeout(SWEEP_TIMEOUT, sweeping).await.unwrap_or_else(|_| {
                        let limit = SWEEP_TIMEOUT;
                        tracing::warn!(%job_id, ?limit, "files that belong to no checkpoint could not be deleted in time");
                        Cleaned::default()
                    });
                    // However that goes, it is no part of the answer: their folders are another owner's, who may never let the
                    // JobManager in.
                    let sweeping = storage.sweep_failed_savepoints(&known);
                    match tokio::time::timeout(SWEEP_TIMEOUT, sweeping).await {
                        Ok(deleted) => report(job_id, &deleted),
                        Err(_) => tracing::warn!(%job_id, limit = ?SWEEP_TIMEOUT, "what failed savepoints have left stays"),
                    }
                    Completion::Swept(cleaned)
                });
            }
            Action::LeftToSweep(checkpoints) => {
                tracing::warn!(%job_id, checkpoints, "the store is slow to delete old checkpoints: some are left to a sweep");
            }
            Action::Answer { ticket, result } => self.answer(ticket, result),
            Action::Failed { id: Some(checkpoint_id), failure } => {
                tracing::warn!(%job_id, checkpoint_id, reason = %failure, "checkpoint failed");
                self.tell_coordinators(|| Command::CheckpointEnded { checkpoint: checkpoint_id, completed: false });
            }
            Action::Failed { id: None, failure } => {
                tracing::info!(%job_id, reason = %failure, "a checkpoint could not begin");
            }
            Action::Completed { id, pointer, duration, bytes } => {
                tracing::info!(%job_id, checkpoint_id = id, bytes, duration_ms = duration, path = %pointer, "checkpoint completed");
            }
            Action::FailJob(cause) => self.fail(cause),
        }
    }

    /// Asks every coordinator for its state.
    fn prepare(&mut self, id: u64) {
        let mut answers = Vec::new();
        for sender in self.coordinator_commands() {
            let (reply, answer) = oneshot::channel();
            // One that has ended does not answer.
            let _ = sender.send(Command::Snapshot { checkpoint: id, reply });
            answers.push(answer);
        }
        self.spawn(async move {
            let mut states = Vec::with_capacity(answers.len());
            for answer in answers {
                match answer.await {
                    Ok(Ok(state)) => states.push(state),
                    Ok(Err(cause)) => {
                        let result = Err(CheckpointFailure::because(Reason::TriggerFailure, cause));
                        return Completion::Prepared { id, result };
                    }
                    Err(_) => {
                        let cause = FailureInfo::new(failure::INTERNAL, "The coordinator of an operator has ended.");
                        let result = Err(CheckpointFailure::because(Reason::TriggerFailure, cause));
                        return Completion::Prepared { id, result };
                    }
                }
            }
            fault::point("checkpoint.before-trigger");
            Completion::Prepared { id, result: Ok(states) }
        });
    }

    fn caller(&self) -> Caller {
        Caller {
            executors: self.context.executors.clone(),
            fence: self.handle.fence(),
            job_id: self.job_id(),
            timeout: self.context.rpc_timeout,
            patience: self.context.heartbeat_timeout,
        }
    }

    fn trigger(&mut self, tasks: Vec<TaskRef>, barrier: proto::CheckpointBarrier) {
        let (caller, id) = (self.caller(), barrier.checkpoint_id);
        tracing::info!(job_id = %self.job_id(), checkpoint_id = id, tasks = tasks.len(), "checkpoint triggered");
        self.spawn(async move {
            let result = caller.trigger(tasks, barrier).await;
            fault::point("checkpoint.before-release");
            Completion::Triggered { id, result }
        });
    }

    fn finalize(&mut self, barrier: proto::CheckpointBarrier, metadata: Arc<proto::CheckpointMetadata>) {
        let (storage, limit, most) = (self.storage.clone(), self.checkpoint_options.timeout, self.most_inline());
        let span = checkpoint_span(barrier.checkpoint_id);
        let writing = async move {
            fault::point("checkpoint.before-metadata");
            let writing = storage.write_metadata(&barrier, &metadata);
            let result = match tokio::time::timeout(limit, writing).await {
                Ok(Ok(pointer)) => Ok(pointer),
                Ok(Err(error)) => Err(CheckpointFailure::because(Reason::IoException, state_failure(&error))),
                Err(_) => Err(CheckpointFailure::new(Reason::Expired)),
            };
            fault::point("checkpoint.after-metadata");
            Completion::Finalized {
                result: result.and_then(|pointer| check_inline(pointer, &metadata, most)),
                metadata,
            }
        };
        self.spawn(writing.instrument(span));
    }

    fn release_results(&self, metadata: &proto::CheckpointMetadata) {
        for (vertex, collector) in &self.collectors {
            let finished = metadata.vertices[*vertex].subtasks.iter().all(|subtask| subtask.finished);
            collector.checkpoint_completed(metadata.checkpoint_id, finished);
        }
    }

    fn notify(&mut self, id: u64, outcome: proto::CheckpointOutcome, tasks: Vec<TaskRef>) {
        if outcome == proto::CheckpointOutcome::Completed {
            fault::point("checkpoint.before-notify");
        }
        for Told { location, registration, attempts } in by_task_manager(tasks) {
            let caller = self.caller();
            self.spawn(async move {
                let result = caller.notify(Arc::clone(&location), attempts, id, outcome).await;
                Completion::Notified { checkpoint: id, location, registration, result }
            });
        }
    }

    /// A TaskManager did not take note of a checkpoint. It learns of it with the next one, unless there is none: the tasks wait
    /// for the outcome of this very one, because the job was to stop with it.
    pub(super) fn not_notified(&mut self, checkpoint: u64, resource_id: &str, registration: u64, reason: String) {
        tracing::warn!(
            job_id = %self.job_id(),
            checkpoint_id = checkpoint,
            task_manager = %resource_id,
            reason,
            "a TaskManager was not told of a checkpoint"
        );
        let now = self.now();
        self.checkpoints.not_notified(now);
        if self.stopping.is_some() || self.checkpoints.was_to_stop(checkpoint) {
            let message = format!("TaskManager with id {resource_id} does not take the end of a savepoint.");
            let failure = FailureInfo::new(failure::TASK_MANAGER_LOST, message).because(reason);
            // It was told for a while: a TaskManager that registered meanwhile under the same id was not.
            self.abandon_task_manager(resource_id, registration, failure);
        }
    }

    pub(super) fn acknowledge(&mut self, request: proto::AcknowledgeCheckpointRequest) -> Result<(), Status> {
        let attempt = attempt_of(&request.attempt_id)?;
        let state = request.state.ok_or_else(|| Status::invalid_argument("an acknowledgement without state"))?;
        if let Some(barrier) = self.checkpoints.barrier_of(request.checkpoint_id) {
            let restored = |file: &str| self.checkpoints.was_restored(file);
            if let Err(error) = self.storage.check_acknowledged(barrier, &state, restored) {
                self.declined(request.checkpoint_id, attempt, &state_failure(&error));
                return Ok(());
            }
        }
        let metrics = request.metrics.unwrap_or_default();
        let now = self.now();
        self.checkpoints.acknowledge(request.checkpoint_id, attempt, &state, metrics, self.scheduler.graph(), now);
        self.task_acknowledged(request.checkpoint_id, attempt);
        Ok(())
    }

    pub(super) fn decline(&mut self, request: proto::DeclineCheckpointRequest) -> Result<(), Status> {
        let attempt = attempt_of(&request.attempt_id)?;
        let cause = request.failure.map(FailureInfo::from);
        let cause = cause.unwrap_or_else(|| FailureInfo::new(failure::INTERNAL, "The task gave no reason."));
        self.declined(request.checkpoint_id, attempt, &cause);
        Ok(())
    }

    /// A task has reached the end of its data.
    pub(super) fn end_of_data(&mut self, request: &proto::NotifyEndOfDataRequest) -> Result<(), Status> {
        let attempt = attempt_of(&request.attempt_id)?;
        if self.scheduler.end_of_data(attempt, request.awaits_checkpoint) == UpdateOutcome::Unknown {
            return Err(Status::not_found(format!("attempt {attempt} is not current")));
        }
        let now = self.now();
        self.checkpoints.end_of_data(attempt, self.scheduler.graph(), now);
        Ok(())
    }

    /// A task has no part of a checkpoint to hand over.
    fn declined(&mut self, checkpoint: u64, attempt: AttemptId, cause: &FailureInfo) {
        let Some((vertex, subtask)) = self.scheduler.graph().find(attempt) else { return };
        // A refusal is no failure: nothing went wrong, it only came at a bad moment.
        let refused = cause.class == CHECKPOINT_EXCEPTION;
        let reason = if refused { Reason::TaskNotReady } else { Reason::AsyncException };
        let task = self.scheduler.graph().task_name(vertex, subtask);
        let message = format!("Could not materialize checkpoint {checkpoint} for task {task}.");
        let cause = FailureInfo::wrap("java.lang.Exception", message, cause);
        let now = self.now();
        let failure = CheckpointFailure::because(reason, cause);
        self.checkpoints.decline(checkpoint, failure, self.scheduler.graph(), now);
    }

    pub(super) fn checkpoint_tick(&mut self) {
        self.look_at_clocks();
        let now = self.now();
        self.checkpoints.tick(self.scheduler.graph(), now);
    }

    /// Deploys what waited for the outcome of a checkpoint: only then it is known from which one the job goes on. True: there
    /// was something.
    fn deploy_postponed(&mut self) -> bool {
        if self.postponed.is_empty() || self.checkpoints.is_finalizing() || !self.recorder.is_durable() {
            return false;
        }
        // What was cancelled meanwhile is over.
        let regions = std::mem::take(&mut self.postponed);
        let regions = self.scheduler.deploying_of(&regions);
        if !regions.is_empty() {
            self.deploy(&regions);
        }
        true
    }

    /// What regions start from: the latest checkpoint, if there is one.
    pub(super) fn restore(&mut self, regions: &BTreeSet<usize>) -> Result<Option<(u64, Assignment)>, FailureInfo> {
        let Some(latest) = self.checkpoints.latest().cloned() else { return Ok(None) };
        let graph = Arc::clone(&self.scheduler.graph().graph);
        let allowed = self.checkpoint_options.restore.as_ref();
        let allowed = allowed.is_some_and(|restore| restore.allow_non_restored_state);
        let assignment = assign(&latest.metadata, &latest.pointer, &graph, allowed)
            .map_err(|error| FailureInfo::new("java.lang.IllegalStateException", error.to_string()))?;
        let now = self.now();
        self.checkpoints.restored(now);
        if let Some(left_out) = self.failure_log.restore(&latest.pointer, now) {
            tracing::info!(
                job_id = %self.job_id(),
                checkpoint_id = latest.id,
                path = %latest.pointer,
                regions = regions.len(),
                left_out = counted(left_out),
                "tasks start from a checkpoint"
            );
        }
        Ok(Some((latest.id, assignment)))
    }

    /// The checkpoint of an assignment, and what the coordinator of an operator has in it.
    pub(super) fn coordinator_state(restore: Option<&(u64, Assignment)>, uid: OperatorId) -> Option<(u64, Bytes)> {
        restore.and_then(|(checkpoint, assignment)| Some((*checkpoint, assignment.coordinators.get(&uid)?.clone())))
    }
}

pub(super) fn attempt_of(bytes: &[u8]) -> Result<AttemptId, Status> {
    AttemptId::from_bytes(bytes).ok_or_else(|| Status::invalid_argument("an attempt id must have 16 bytes"))
}

/// Deletes some checkpoints. What stays are orphans, no danger.
pub(super) async fn discard(storage: &CheckpointStorage, garbage: &[Garbage], referenced: &HashSet<String>) -> Cleaned {
    let mut cleaned = Cleaned::all();
    // A file goes with the last checkpoint that names it: no metadata may be left that names what is gone.
    let mut named: HashMap<String, usize> = HashMap::new();
    for garbage in garbage {
        garbage.named().into_iter().for_each(|file| *named.entry(file).or_default() += 1);
    }
    for garbage in garbage {
        let files = garbage.named();
        files.iter().for_each(|file| *named.entry(file.clone()).or_default() -= 1);
        let stays = |file: &String| referenced.contains(file) || named.get(file).is_some_and(|count| *count > 0);
        let (checkpoint_id, deleted) = match garbage {
            Garbage::Completed(checkpoint) => {
                let still_referenced = files.iter().filter(|file| stays(file)).cloned().collect();
                let discarding = discard_completed(storage, checkpoint, &still_referenced);
                (checkpoint.id, discarding.instrument(checkpoint_span(checkpoint.id)).await)
            }
            Garbage::Unfinished(metadata) => {
                let still_referenced = files.iter().filter(|file| stays(file)).cloned().collect();
                let discarding = storage.discard_unfinished(metadata, &still_referenced);
                (metadata.checkpoint_id, discarding.instrument(checkpoint_span(metadata.checkpoint_id)).await)
            }
            Garbage::Failed { barrier, files } => {
                let discarding = storage.discard_aborted(barrier, files);
                (barrier.checkpoint_id, discarding.instrument(checkpoint_span(barrier.checkpoint_id)).await)
            }
        };
        if let Some(error) = &deleted.failure {
            // Its metadata may still be there.
            files.into_iter().for_each(|file| *named.entry(file).or_default() += 1);
            let (reason, files) = (state_failure(error).stack_trace(), deleted.left.len());
            tracing::warn!(
                checkpoint_id,
                files,
                reason = reason.trim_end(),
                "files of a checkpoint could not be deleted"
            );
        }
        cleaned.and(deleted);
    }
    cleaned
}

async fn discard_completed(
    storage: &CheckpointStorage,
    checkpoint: &CompletedCheckpoint,
    referenced: &HashSet<String>,
) -> Deleted {
    match checkpoint.owner {
        Owner::Job => storage.discard(&checkpoint.metadata, referenced).await,
        Owner::Claimed => {
            let (folder, file) = (checkpoint.pointer.clone(), checkpoint.file.clone());
            let found = Found { folder, file, metadata: checkpoint.metadata.as_ref().clone() };
            storage.discard_claimed(&found, referenced).await
        }
        Owner::Other => Deleted::default(),
    }
}

/// Deletes what belongs to no checkpoint.
pub(super) async fn sweep(job_id: JobId, storage: &CheckpointStorage, known: &KnownCheckpoints) -> Cleaned {
    let deleted = storage.sweep(known).await;
    report(job_id, &deleted);
    let mut cleaned = Cleaned::all();
    cleaned.and(deleted);
    cleaned
}

fn report(job_id: JobId, deleted: &Deleted) {
    if deleted.files > 0 {
        tracing::info!(%job_id, files = deleted.files, "files that belong to no checkpoint were deleted");
    }
    if let Some(error) = &deleted.failure {
        let (reason, files) = (state_failure(error).stack_trace(), deleted.left.len());
        tracing::warn!(%job_id, files, reason = reason.trim_end(), "not all files that belong to no checkpoint were found and deleted");
    }
}
