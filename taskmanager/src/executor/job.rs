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

/// A job.
pub(super) struct Job {
    /// The JobMaster that leads it, or was the last to.
    pub(super) master: JobMaster,
    /// It does not any more, and what is left of the job here ends.
    pub(super) is_abandoned: bool,
    pub(super) tasks: HashMap<AttemptId, Task>,
    /// Of each subtask that has finished here the last attempt, where a later JobMaster may want to know of it.
    pub(super) finished: HashMap<(u32, u32), proto::TaskReport>,
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
            taken_back: HashMap::new(),
            reporting: false,
            waiting: None,
        }
    }

    /// From now on this JobMaster leads the job. Tasks of before linger, and are not listened to; those to come speak to it.
    pub(super) fn lead_anew(&mut self, master: JobMaster) {
        self.abandon();
        self.is_abandoned = false;
        self.finished.clear();
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
