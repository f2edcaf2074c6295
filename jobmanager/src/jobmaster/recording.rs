//! What a JobMaster wants done, behind the job's record: what is decided is durable before a task, a TaskManager or a client hears of
//! it. [`super::record`] has the queue.
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::oneshot;
use wiesel_common::config::options::checkpointing;
use wiesel_proto as proto;
use wiesel_proto::{JobDecision, JobResult};
use wiesel_state::storage::{IN_MEMORY, metadata};

use super::actor::{Completion, JobMaster};
use super::checkpoint::action::Action as CheckpointAction;
use super::checkpoint::failure::{CheckpointFailure, Reason};
use super::checkpoint::store::{CompletedCheckpoint, Owner};
use super::result::RecordedResult;
use super::scheduler::Action;
use super::status::JobStatus;
use crate::failure::{FailureInfo, INTERNAL};
use crate::ha::{RecordError, Version};

/// Bytes of the metadata of checkpoints that are in no folder, which a record may have of all of them together.
const MAX_INLINE: usize = 32 << 20;
/// How long the end of a job waits for its result to be in the place of its record.
const FORGET_TIMEOUT: Duration = Duration::from_secs(10);

/// Something that is to be done once the job's record is durable.
pub(crate) enum Wanted {
    /// What the scheduler wants.
    Scheduler(Action),
    /// What the checkpoint coordinator wants.
    Checkpoints(CheckpointAction),
    /// Numbers of checkpoints before this one may be used.
    NumbersUsedUp(u64),
    /// Whoever has submitted the job is told that it is kept.
    Submitted(oneshot::Sender<Result<(), String>>),
    /// The job is prepared for its start.
    Initialize,
    /// Whoever has asked for it is told that the job is being cancelled.
    Cancelled(oneshot::Sender<()>),
}

impl JobMaster {
    /// Does all that is wanted, as far as the record has what it follows from.
    pub(super) fn act(&mut self) {
        loop {
            let actions = self.scheduler.take_actions();
            let mut busy = !actions.is_empty();
            self.note_checkpoints();
            self.note_decisions();
            actions.into_iter().for_each(|action| self.recorder.queue(Wanted::Scheduler(action)));
            for reply in std::mem::take(&mut self.cancellations) {
                self.recorder.queue(Wanted::Cancelled(reply));
            }
            busy |= self.fulfil_due();
            busy |= self.act_on_checkpoints();
            self.write_record();
            if !busy {
                return;
            }
        }
    }

    /// Does what the record has come far enough for. True: there was something.
    pub(super) fn fulfil_due(&mut self) -> bool {
        let mut busy = false;
        // Of a job whose end is in the record nothing else has to be.
        while let Some(wanted) = if self.terminated { self.recorder.next_of_all() } else { self.recorder.next_due() } {
            busy = true;
            self.fulfil(wanted);
        }
        busy
    }

    fn fulfil(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::Scheduler(action) => self.do_action(action),
            Wanted::Checkpoints(action) => self.do_checkpoint_action(action),
            Wanted::NumbersUsedUp(until) => {
                let now = self.now();
                self.checkpoints.numbers_used_up(until, self.scheduler.graph(), now);
            }
            Wanted::Initialize => self.initialize(),
            // The callers may have gone.
            Wanted::Submitted(reply) => _ = reply.send(Ok(())),
            Wanted::Cancelled(reply) => _ = reply.send(()),
        }
    }

    fn write_record(&mut self) {
        // What the next JobMaster has to know of a job that is over is in its record.
        if self.terminated {
            return;
        }
        if let Some((revision, write)) = self.recorder.write() {
            self.spawn(async move { Completion::Recorded { revision, result: write.run().await } });
        }
    }

    /// The record is durable up to a revision, or will not be.
    pub(super) fn recorded(&mut self, revision: u64, result: Result<Version, RecordError>) {
        match result {
            Ok(version) => self.recorder.written(revision, version),
            Err(error) => self.not_recorded(&error),
        }
    }

    /// Nothing of what waits for the record may happen. Where a later leader has begun, the job goes on under it from what is in the
    /// record, and its tasks are not touched. Else this JobManager leads on, and nobody would take them over: they end.
    fn not_recorded(&mut self, error: &RecordError) {
        let is_superseded = matches!(error, RecordError::Superseded { .. });
        let becomes_of_it = match is_superseded {
            true => "the job goes on under another JobMaster",
            false => {
                "its tasks end. The next JobManager that leads goes on with the job from its record; where there is none, start it \
                 again with -s from its last retained checkpoint"
            }
        };
        tracing::error!(job_id = %self.job_id(), reason = %error, "the job's record cannot be written: {becomes_of_it}");
        for wanted in self.recorder.take_all() {
            if let Wanted::Submitted(reply) = wanted {
                // The caller may have gone.
                let _ = reply.send(Err(error.to_string()));
            }
        }
        if !is_superseded {
            self.end_tasks();
        }
        self.leave();
    }

    /// Ends the tasks of a job that nobody sees to any more, and gives its slots back. Its files stay.
    fn end_tasks(&mut self) {
        self.scheduler.suspend(&mut self.env);
        for action in self.scheduler.take_actions() {
            self.do_action(action);
        }
        // Of a job that was over this had waited for the record.
        self.do_action(Action::ReleaseSlots);
    }

    /// The JobManager stops. A job that outlives it goes on, and so do its tasks.
    pub(super) fn suspend(&mut self) {
        match self.recorder.outlives() {
            true => self.leave(),
            false => self.scheduler.suspend(&mut self.env),
        }
    }

    fn leave(&mut self) {
        self.scheduler.leave(&mut self.env);
        drop(self.recorder.take_all());
        (self.left, self.terminated) = (true, true);
    }

    /// A user wants the job to end, or its client is gone.
    pub(super) fn cancel_job(&mut self) {
        match self.taking_over {
            Some(_) => self.cancel_while_taking_over(),
            None => self.scheduler.cancel(&mut self.env),
        }
    }

    /// The job starts: what it starts from is the last checkpoint that there is of it.
    pub(super) fn note_start(&mut self) {
        if !self.recorder.outlives() {
            return;
        }
        let graph = self.scheduler.graph().graph.encode_to_vec().into();
        self.recorder.change([None; 2], |record| (record.graph, record.started) = (graph, true));
        self.note_checkpoints();
        self.checkpoints.number_from(self.recorder.record().checkpoints_until);
    }

    pub(super) fn use_up_numbers(&mut self, until: u64) {
        self.recorder.change([None; 2], |record| record.checkpoints_until = until.max(record.checkpoints_until));
        self.recorder.queue(Wanted::NumbersUsedUp(until));
    }

    /// Puts pointers to the retained checkpoints into the record. At the end of the job they stay there until they are deleted.
    pub(super) fn note_checkpoints(&mut self) {
        let started = self.recorder.record().started && self.taking_over.is_none();
        if !self.recorder.outlives() || self.terminated || self.leaves_checkpoints || !started {
            return;
        }
        self.note_savepoints();
        let known = self.recorder.record().checkpoints.iter().map(|known| known.checkpoint_id);
        if known.eq(self.checkpoints.retained().map(|retained| retained.id)) {
            return;
        }
        let checkpoints: Vec<_> = self.checkpoints.retained().map(|retained| recorded(retained)).collect();
        let mut foreign: Vec<String> = self.checkpoints.foreign_files().iter().cloned().collect();
        foreign.sort_unstable();
        let points = [None, Some("checkpoint.before-pointer-answer")];
        self.recorder.change(points, |record| (record.checkpoints, record.foreign_files) = (checkpoints, foreign));
    }

    /// Puts savepoints under way into the record, before a task writes anything for them: nobody else would know where to look for what
    /// is left of them.
    fn note_savepoints(&mut self) {
        let known = self.recorder.record().savepoints.iter().map(|known| known.checkpoint_id);
        if known.eq(self.checkpoints.savepoints().map(|(id, _, _)| id)) {
            return;
        }
        let under_way = self.checkpoints.savepoints().map(|(checkpoint_id, target, ticket)| {
            let trigger = ticket.and_then(|ticket| self.trigger_of(ticket));
            let trigger = trigger.map_or_else(Bytes::new, |trigger| Bytes::copy_from_slice(&trigger));
            proto::RecordedSavepoint { checkpoint_id, target: target.to_owned(), trigger }
        });
        let savepoints: Vec<_> = under_way.collect();
        self.recorder.change([None; 2], |record| record.savepoints = savepoints);
    }

    /// A savepoint that the job stops with is complete: there is no way back once a task hears of it.
    pub(super) fn note_savepoint_to_stop_with(
        &mut self,
        metadata: &Arc<proto::CheckpointMetadata>,
        result: &Result<String, CheckpointFailure>,
    ) {
        let stops = self.checkpoints.barrier_of(metadata.checkpoint_id).is_some_and(|barrier| barrier.stop);
        let (true, true, Ok(pointer)) = (stops, self.recorder.outlives(), result) else { return };
        let savepoint = recorded(&CompletedCheckpoint::of_job(Arc::clone(metadata), pointer.clone()));
        self.recorder.change([None, Some("stop.after-record")], |record| record.stopped_with = Some(savepoint));
    }

    /// Puts what the scheduler has decided into the record.
    fn note_decisions(&mut self) {
        if !self.recorder.outlives() || self.left {
            return;
        }
        self.note_executions();
        let (decision, result) = decided(self.status());
        if decision != JobDecision::None {
            self.note_decision(decision, self.scheduler.failure().cloned());
        }
        if result != JobResult::None && self.recorder.record().result() != result {
            self.recorder.change([Some("result.before-record"), None], |record| record.set_result(result));
        }
    }

    /// Puts the numbers of restarts into the record, as long as the scheduler decides on them.
    fn note_executions(&mut self) {
        if !matches!(self.status(), JobStatus::Running | JobStatus::Restarting) {
            return;
        }
        let execution = self.scheduler.used_execution();
        if execution > self.recorder.record().execution {
            let points = [Some("restart.before-number"), Some("restart.after-number")];
            self.recorder.change(points, |record| record.execution = execution);
        }
        let known = &self.recorder.record().executions;
        let differs = |(vertex, execution): (usize, u32)| execution != known.get(vertex).copied().unwrap_or_default();
        if self.scheduler.executions().enumerate().any(differs) {
            let executions: Vec<u32> = self.scheduler.executions().collect();
            self.recorder.change([None; 2], |record| record.executions = executions);
        }
    }

    pub(super) fn note_decision(&mut self, decision: JobDecision, failure: Option<FailureInfo>) {
        if !self.recorder.outlives() || self.recorder.record().decision() == decision {
            return;
        }
        let points = match decision {
            JobDecision::Cancel => [Some("cancel.before-record"), Some("cancel.after-record")],
            JobDecision::Fail | JobDecision::None => [None, Some("fail.after-record")],
        };
        let unrecoverable = self.scheduler.is_unrecoverable();
        self.recorder.change(points, |record| {
            record.set_decision(decision);
            record.failure = failure.map(proto::Failure::from);
            record.unrecoverable = unrecoverable;
        });
    }

    /// Puts the result of a job that is over in the place of its record. One that stays is seen to by the next leader.
    pub(super) async fn forget_record(&mut self) {
        if self.leaves_checkpoints {
            return;
        }
        let result = RecordedResult::of(&self.describe());
        let forgetting = tokio::time::timeout(FORGET_TIMEOUT, self.recorder.forget(result));
        if self.answering(forgetting).await.is_err() {
            tracing::warn!(job_id = %self.job_id(), "the record of a job that is over could not be deleted in time");
        }
    }

    /// How long the metadata of a checkpoint may be that is in no folder, where the record has to have it.
    pub(super) fn most_inline(&self) -> usize {
        match self.recorder.outlives() {
            true => MAX_INLINE / self.checkpoint_options.retained.max(1),
            false => usize::MAX,
        }
    }
}

/// Refuses a checkpoint that is in no folder and too long for the record.
pub(super) fn check_inline(
    pointer: String,
    metadata: &proto::CheckpointMetadata,
    most: usize,
) -> Result<String, CheckpointFailure> {
    let bytes = if pointer == IN_MEMORY { metadata.encoded_len() } else { 0 };
    if bytes <= most {
        return Ok(pointer);
    }
    let message = format!(
        "the checkpoint has {bytes} bytes, of {most} at most where no '{}' is set: set it to a folder that all processes reach",
        checkpointing::DIRECTORY.key()
    );
    Err(CheckpointFailure::because(Reason::IoException, FailureInfo::new(INTERNAL, message)))
}

/// What is decided of a job in a state, and how it has ended.
fn decided(status: JobStatus) -> (JobDecision, JobResult) {
    match status {
        JobStatus::Cancelling => (JobDecision::Cancel, JobResult::None),
        JobStatus::Failing => (JobDecision::Fail, JobResult::None),
        JobStatus::Canceled => (JobDecision::Cancel, JobResult::Canceled),
        JobStatus::Failed => (JobDecision::Fail, JobResult::Failed),
        JobStatus::Finished => (JobDecision::None, JobResult::Finished),
        JobStatus::Initializing
        | JobStatus::Created
        | JobStatus::Running
        | JobStatus::Restarting
        | JobStatus::Suspended
        | JobStatus::Reconciling => (JobDecision::None, JobResult::None),
    }
}

/// The state in which a job has ended.
pub(super) fn status_of(result: JobResult) -> Option<JobStatus> {
    match result {
        JobResult::None => None,
        JobResult::Finished => Some(JobStatus::Finished),
        JobResult::Canceled => Some(JobStatus::Canceled),
        JobResult::Failed => Some(JobStatus::Failed),
    }
}

fn recorded(checkpoint: &CompletedCheckpoint) -> proto::RecordedCheckpoint {
    let owner = match checkpoint.owner {
        Owner::Job => proto::CheckpointOwner::Job,
        Owner::Claimed => proto::CheckpointOwner::Claimed,
        Owner::Other => proto::CheckpointOwner::Other,
    };
    let is_inline = checkpoint.pointer == IN_MEMORY;
    let mut spared: Vec<String> = checkpoint.spared.iter().cloned().collect();
    spared.sort_unstable();
    proto::RecordedCheckpoint {
        checkpoint_id: checkpoint.id,
        pointer: checkpoint.pointer.clone(),
        owner: owner.into(),
        spared,
        claimed: checkpoint.claimed.clone(),
        metadata: if is_inline { metadata::encode(&checkpoint.metadata, IN_MEMORY) } else { Bytes::new() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_job_has_ended_as_is_read_back() {
        for status in JobStatus::ALL {
            let (_, result) = decided(status);
            assert_eq!(status_of(result), status.is_globally_terminal().then_some(status), "{status}");
        }
    }

    #[test]
    fn a_checkpoint_without_a_folder_is_whole_in_the_record_or_none() {
        let metadata = proto::CheckpointMetadata { checkpoint_id: 4, job_name: "x".repeat(100), ..Default::default() };
        assert!(check_inline("s3://b/chk-4".into(), &metadata, 10).is_ok());
        assert!(check_inline(IN_MEMORY.into(), &metadata, 1_000).is_ok());
        let refused = check_inline(IN_MEMORY.into(), &metadata, 10).unwrap_err();
        assert!(refused.info().stack_trace().contains(checkpointing::DIRECTORY.key()), "{refused}");
        let inline = recorded(&CompletedCheckpoint::of_job(Arc::new(metadata.clone()), IN_MEMORY.into()));
        assert_eq!(metadata::decode(&inline.metadata, "the record", IN_MEMORY).unwrap(), metadata);
        assert!(recorded(&CompletedCheckpoint::of_job(Arc::new(metadata), "chk-4".into())).metadata.is_empty());
    }
}
