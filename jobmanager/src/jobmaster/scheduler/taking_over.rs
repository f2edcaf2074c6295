//! A job that another JobMaster has led: what it has left goes on, or is ended and begun again.
use std::collections::BTreeSet;
use std::time::Duration;

use wiesel_common::id::AttemptId;
use wiesel_proto::ExecutionState;

use super::{Action, Environment, Scheduler};
use crate::failure::{self, FailureInfo};
use crate::jobmaster::adoption::ReportedTask;
use crate::jobmaster::exception_history::ExceptionEntry;
use crate::jobmaster::execution_graph::{JobSlot, is_terminal};
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
        for (task, _) in &left.tasks {
            let known = self.executions.entry(self.graph.regions[task.vertex]).or_default();
            *known = task.execution.max(*known);
        }
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

    /// The last execution that there has been, or that is decided.
    pub fn used_execution(&self) -> u32 {
        self.graph.execution.saturating_add(u32::from(self.status == JobStatus::Restarting))
    }

    /// By vertex: the execution that its region runs with, or is to.
    pub fn executions(&self) -> impl Iterator<Item = u32> {
        let is_restarting = |region: &usize| self.status == JobStatus::Restarting && self.restarting.contains(region);
        self.graph.regions.iter().map(move |region| match is_restarting(region) {
            true => self.used_execution(),
            false => self.executions.get(region).copied().unwrap_or_default(),
        })
    }

    /// The job was failing for good under another JobMaster: what is left of it is cancelled.
    pub fn go_on_failing(&mut self, cause: FailureInfo, unrecoverable: bool, env: &mut dyn Environment) {
        if self.status.is_terminal() {
            return;
        }
        let now = env.now();
        self.unrecoverable = unrecoverable;
        let entry = ExceptionEntry { failure: cause.clone(), timestamp: now, task: None, concurrent: Vec::new() };
        self.fail_for_good(cause, entry, now);
        self.settle(env);
    }

    /// The job has ended under another JobMaster, and only what it has left is to be seen to.
    pub fn has_ended(
        &mut self,
        status: JobStatus,
        failure: Option<FailureInfo>,
        unrecoverable: bool,
        env: &mut dyn Environment,
    ) {
        if self.status != JobStatus::Initializing {
            return;
        }
        let now = env.now();
        self.unrecoverable = unrecoverable;
        if let Some(failure) = failure.filter(|_| status == JobStatus::Failed) {
            let entry = ExceptionEntry { failure: failure.clone(), timestamp: now, task: None, concurrent: Vec::new() };
            self.history.add(entry);
            self.failure = Some(failure);
        }
        let finished = status == JobStatus::Finished;
        let state = if finished { ExecutionState::Finished } else { ExecutionState::Canceled };
        self.graph.move_all(ExecutionState::Created, state, now);
        self.terminate(status, now);
    }

    /// A TaskManager that was to be told that these attempts are taken over does not run them any more. Of one that has finished that
    /// was known.
    pub fn not_running(&mut self, resource_id: &str, attempts: &[AttemptId], env: &mut dyn Environment) {
        let found = attempts.iter().filter_map(|attempt| self.graph.find(*attempt));
        let (canceling, silent): (Vec<_>, Vec<_>) = found
            .filter(|(vertex, subtask)| !is_terminal(self.state_of(*vertex, *subtask)))
            .partition(|(vertex, subtask)| self.state_of(*vertex, *subtask) == ExecutionState::Canceling);
        let now = env.now();
        canceling.into_iter().for_each(|(vertex, subtask)| self.end_task(vertex, subtask, now));
        let message =
            format!("TaskManager {resource_id} does not have the task any more, and its end was not heard of.");
        self.fail_unheard(silent, FailureInfo::new(failure::INTERNAL, message), env);
        self.settle(env);
    }

    /// The job goes on under another JobMaster, or may: nothing is done to its tasks. An end that is not in its record is none.
    pub fn leave(&mut self, env: &mut dyn Environment) {
        if self.status != JobStatus::Suspended {
            self.awaiting_slots = false;
            self.enter(JobStatus::Suspended, env.now());
        }
        self.actions.clear();
    }
}
