//! What the TaskExecutor knows of a job that has slots here.
use std::collections::HashMap;
use std::ops::Deref;

use bytes::Bytes;
use tokio::time::Instant;
use wiesel_common::id::{AllocationId, AttemptId};
use wiesel_proto as proto;

use super::without_leader::Waiting;
use crate::leader::{JobMaster, Leader, LeaderWatch};
use crate::runner::RunningTask;

/// Bytes of the events that are kept for a later JobMaster of a job, at most.
const MAX_EVENT_BYTES: usize = 16 << 20;
/// What an event takes beside its bytes, about.
const EVENT_BYTES: usize = 128;

/// A job.
pub(super) struct Job {
    /// The JobMaster that leads it, or was the last to.
    pub(super) master: JobMaster,
    /// It does not any more, and what is left of the job here ends.
    pub(super) is_abandoned: bool,
    pub(super) tasks: HashMap<AttemptId, Task>,
    /// Of each subtask that has finished here the last attempt, where a later JobMaster may want to know of it.
    finished: HashMap<(u32, u32), proto::TaskReport>,
    /// Of the events that are kept with its tasks.
    event_bytes: usize,
    /// Attempts that were cancelled and did not run, and when: they are not started any more.
    pub(super) taken_back: HashMap<AttemptId, Instant>,
    /// A report of the counters is under way.
    pub(super) reporting: bool,
    /// Its JobMaster is lost, and the tasks go on.
    pub(super) waiting: Option<Waiting>,
}

/// A task that runs here.
pub(super) struct Task {
    handle: Box<dyn RunningTask>,
    leader: LeaderWatch,
    origin: proto::TaskReport,
}

impl Job {
    pub(super) fn new(master: JobMaster) -> Self {
        Self {
            master,
            is_abandoned: false,
            tasks: HashMap::new(),
            finished: HashMap::new(),
            event_bytes: 0,
            taken_back: HashMap::new(),
            reporting: false,
            waiting: None,
        }
    }

    /// From now on this JobMaster leads the job. Tasks of before linger, and are not listened to; those to come speak to it.
    pub(super) fn lead_anew(&mut self, master: JobMaster) {
        self.abandon();
        self.is_abandoned = false;
        for task in std::mem::take(&mut self.finished).into_values() {
            self.forget_events(&task);
        }
        self.master = master;
        self.reporting = false;
    }

    /// Nobody leads its tasks any more: they are to end.
    pub(super) fn abandon(&mut self) {
        self.is_abandoned = true;
        self.tasks.values().for_each(Task::abandon);
        self.waiting = None;
    }

    /// Whether a task is left that goes on without a JobMaster.
    pub(super) fn has_awaiting_tasks(&self) -> bool {
        self.tasks.values().any(Task::awaits_leader)
    }

    /// Whether this is the token of the JobMaster that leads it now.
    pub(super) fn is_led_by(&self, fence: &[u8]) -> bool {
        self.master.fence == fence && self.waiting.as_ref().is_none_or(Waiting::is_found)
    }

    /// A task runs, in the place of any that has finished.
    pub(super) fn begin(&mut self, task: Task) {
        let before = self.finished.remove(&(task.origin.vertex, task.origin.subtask));
        before.into_iter().for_each(|before| self.forget_events(&before));
        self.tasks.insert(task.attempt(), task);
    }

    /// A task is over. If it has finished a later JobMaster may want to know of it, where there may be one.
    pub(super) fn end(&mut self, attempt: AttemptId, keeps: bool) -> Option<Task> {
        let task = self.tasks.remove(&attempt)?;
        let report = task.report();
        if keeps && report.state() == proto::ExecutionState::Finished {
            let before = self.finished.insert((report.vertex, report.subtask), report);
            before.into_iter().for_each(|before| self.forget_events(&before));
        } else {
            self.forget_events(&report);
        }
        Some(task)
    }

    /// Keeps what a coordinator has sent to a task, until a checkpoint is complete that has it.
    pub(super) fn keep(&mut self, attempt: AttemptId, event: proto::SentEvent) {
        let Some(task) = self.tasks.get_mut(&attempt) else { return };
        let bytes = bytes_of(&event);
        if self.event_bytes + bytes > MAX_EVENT_BYTES {
            let complete_from = &mut task.origin.events_complete_from;
            *complete_from = event.after_checkpoint_id.saturating_add(1).max(*complete_from);
            return;
        }
        self.event_bytes += bytes;
        task.origin.events.push(event);
    }

    /// A checkpoint is complete: it has what was made before its coordinators' states were taken.
    pub(super) fn checkpoint_completed(&mut self, checkpoint: u64) {
        let running = self.tasks.values_mut().map(|task| &mut task.origin);
        for report in running.chain(self.finished.values_mut()) {
            let has = |event: &mut proto::SentEvent| event.after_checkpoint_id < checkpoint;
            let forgotten = report.events.extract_if(.., has);
            self.event_bytes -= forgotten.map(|event| bytes_of(&event)).sum::<usize>();
        }
    }

    fn forget_events(&mut self, report: &proto::TaskReport) {
        self.event_bytes -= report.events.iter().map(bytes_of).sum::<usize>();
    }

    /// What there is to say of the tasks in a slot to a JobMaster that has not deployed them.
    pub(super) fn reports(&self, allocation: AllocationId) -> Vec<proto::TaskReport> {
        let running = self.tasks.values().filter(|task| task.allocation() == allocation).map(Task::report);
        let finished = self.finished.values().filter(|task| *task.allocation_id == allocation.0);
        running.chain(finished.cloned()).collect()
    }
}

impl Task {
    /// A task that was deployed like this.
    pub(super) fn new(handle: Box<dyn RunningTask>, leader: LeaderWatch, origin: proto::TaskReport) -> Self {
        Self { handle, leader, origin }
    }

    /// Its JobMaster is lost, and it goes on.
    pub(super) fn await_leader(&self) {
        if self.leader.is_known() {
            self.leader.set(Leader::Awaited);
        }
    }

    /// Whether its JobMaster is lost, and no other one has taken it over.
    pub(super) fn awaits_leader(&self) -> bool {
        self.leader.is_awaited()
    }

    /// This JobMaster takes it over, unless it is to end.
    pub(super) fn adopt(&self, master: &JobMaster) {
        if self.awaits_leader() {
            self.leader.set(Leader::Known(master.clone()));
        }
    }

    /// Nobody leads it any more: it is to end.
    pub(super) fn abandon(&self) {
        self.leader.set(Leader::Gone);
    }

    /// How it stands.
    pub(super) fn report(&self) -> proto::TaskReport {
        let standing = self.handle.standing();
        proto::TaskReport {
            state: standing.state as i32,
            end_of_data: standing.end_of_data,
            awaits_checkpoint: standing.awaits_checkpoint,
            checkpoint_id: standing.checkpoint,
            ..self.origin.clone()
        }
    }
}

impl Deref for Task {
    type Target = dyn RunningTask;

    fn deref(&self) -> &(dyn RunningTask + 'static) {
        &*self.handle
    }
}

fn bytes_of(event: &proto::SentEvent) -> usize {
    EVENT_BYTES + event.event.len()
}

/// What a report of a task says that does not change. It holds no part of the message, which may be large.
pub(super) fn origin(request: &proto::SubmitTasksRequest, task: &proto::TaskDeployment) -> proto::TaskReport {
    proto::TaskReport {
        allocation_id: Bytes::copy_from_slice(&task.allocation_id),
        attempt_id: Bytes::copy_from_slice(&task.attempt_id),
        attempt_number: task.attempt_number,
        vertex: task.vertex,
        subtask: task.subtask,
        execution: request.execution,
        session: Bytes::copy_from_slice(&request.fence),
        restored_checkpoint_id: task.restore.as_ref().map_or(0, |restore| restore.checkpoint_id),
        ..proto::TaskReport::default()
    }
}
