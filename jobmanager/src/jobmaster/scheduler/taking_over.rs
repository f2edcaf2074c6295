//! A job that another JobMaster has led: what it has left goes on, or is ended and begun again.
use std::collections::BTreeSet;
use std::time::Duration;

use super::{Action, Environment, Scheduler};
use crate::jobmaster::adoption::ReportedTask;
use crate::jobmaster::execution_graph::JobSlot;
use crate::jobmaster::status::JobStatus;

/// What there is of the job.
pub struct TakenOver {
    /// The last execution that there has been: no attempt has had a larger number.
    pub execution: u32,
    /// Of each subtask that is reported the attempt of the region's newest execution, and the slot that it is in.
    pub tasks: Vec<(ReportedTask, JobSlot)>,
    /// Subtasks that had finished before the last checkpoint and are not reported, by vertex and subtask.
    pub finished: Vec<(usize, usize)>,
    /// The regions that go back to the checkpoint.
    pub restarting: BTreeSet<usize>,
}

impl Scheduler {
    /// Goes on with the job in the place of starting it. That regions go back to the checkpoint is no failure of the job: the restart
    /// strategy is not asked. What is left of them is cancelled, and they are deployed when that has ended. The coordinators of what goes
    /// on have begun ([`Scheduler::note_coordinator`]): the job may be about to finish.
    pub fn take_over(&mut self, left: TakenOver, env: &mut dyn Environment) {
        if self.status != JobStatus::Initializing {
            return;
        }
        let now = env.now();
        self.enter(JobStatus::Created, now);
        self.enter(JobStatus::Running, now);
        for (_, slot) in &left.tasks {
            if !self.slots.contains(slot.allocation) {
                self.slots.insert(slot.clone());
            }
        }
        self.graph.take_over(left.execution, &left.tasks, &left.finished, now);
        self.missing_attempts.expect_deployed(&self.graph);
        // Their TaskManagers had them when they had reported nothing to this JobMaster.
        let attempts: Vec<_> = left.tasks.iter().map(|(task, _)| task.attempt).collect();
        self.attempts_seen(&attempts, 0);
        self.slot_request += 1;
        let slots = self.graph.required_slots() as u32;
        self.actions.push(Action::RequireSlots { slots, request: self.slot_request });
        if !left.restarting.is_empty() {
            self.restart_regions_after(left.restarting, Duration::ZERO, now);
        }
        self.settle(env);
    }
}
