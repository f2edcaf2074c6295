//! Tasks whose deployment failed, and tasks that are lost with their slot, with their TaskManager, or without a word.
use std::collections::{BTreeSet, HashSet};

use wiesel_common::id::{AllocationId, AttemptId};
use wiesel_proto::ExecutionState;

use super::{Environment, MetricsReportNumber, Scheduler};
use crate::failure::{self, FailureInfo};
use crate::jobmaster::execution_graph::JobSlot;

impl Scheduler {
    /// Tasks of these regions cannot be deployed, and no TaskManager was asked to.
    pub fn not_deployed(&mut self, regions: &BTreeSet<usize>, failure: FailureInfo, env: &mut dyn Environment) {
        let mut tasks = self.graph.in_state(ExecutionState::Deploying);
        tasks.retain(|(vertex, _)| regions.contains(&self.graph.regions[*vertex]));
        self.fail_tasks(&tasks, failure, env);
        self.settle(env);
    }

    /// The call that was to give a TaskManager these tasks failed, which does not say what it did: the answer may have been lost,
    /// or some were started before it refused the rest. Those that have said something run. The others are cancelled.
    pub fn deployment_failed(&mut self, attempts: &[AttemptId], failure: FailureInfo, env: &mut dyn Environment) {
        let current = attempts.iter().filter_map(|attempt| self.graph.find(*attempt));
        let silent = current.filter(|(v, s)| self.state_of(*v, *s) == ExecutionState::Deploying).collect();
        self.fail_unheard(silent, failure, env);
        self.settle(env);
    }

    /// A TaskManager is gone with all that ran on it; what it has offered under a later registration stays.
    pub fn task_manager_lost(
        &mut self,
        resource_id: &str,
        registration: u64,
        failure: FailureInfo,
        env: &mut dyn Environment,
    ) {
        self.slots.task_manager_lost(resource_id, registration);
        self.abandon_task_manager(resource_id, registration, failure, env);
    }

    /// The job does without what a TaskManager has given it under this registration and what runs there. It may offer slots again.
    pub fn abandon_task_manager(
        &mut self,
        resource_id: &str,
        registration: u64,
        failure: FailureInfo,
        env: &mut dyn Environment,
    ) {
        self.slots.remove_of(resource_id, registration);
        let of = |slot: &JobSlot| slot.location.resource_id == resource_id && slot.since.registration <= registration;
        let tasks = self.tasks_in(of);
        self.fail_tasks(&tasks, failure, env);
        self.settle(env);
    }

    /// The job does not have a slot any more. A TaskManager says so when it gives one back, before the tasks in it have ended.
    pub fn slot_lost(&mut self, allocation: AllocationId, failure: FailureInfo, env: &mut dyn Environment) {
        self.slots.remove(allocation);
        let tasks = self.tasks_in(|slot| slot.allocation == allocation);
        self.fail_unheard(tasks, failure, env);
        self.settle(env);
    }

    /// An event of a coordinator has not reached an attempt, or maybe not, and the coordinator is gone. The task fails, and its region runs
    /// again with another coordinator; what is being cancelled does so anyway. One that has finished leaves others without the
    /// coordinator.
    pub fn event_lost(&mut self, attempt: AttemptId, failure: FailureInfo, env: &mut dyn Environment) {
        let Some((vertex, subtask)) = self.graph.find(attempt) else { return };
        match self.state_of(vertex, subtask) {
            ExecutionState::Finished => self.fail(failure, env),
            ExecutionState::Canceling | ExecutionState::Canceled | ExecutionState::Failed => {}
            _ => {
                self.fail_unheard(vec![(vertex, subtask)], failure, env);
                self.settle(env);
            }
        }
    }

    /// An attempt that was given up has run to its end: what it wrote is there. If that is all of its region, the region does not
    /// run again, which without checkpoints would write all of it once more. It does if it has coordinators: they have ended, and may
    /// not have handled all that its tasks have said.
    pub(super) fn finished_unheard(&mut self, vertex: usize, subtask: usize, now: i64) {
        self.graph.finish(vertex, subtask, now);
        self.last_modification = now;
        let region = self.graph.regions[vertex];
        if self.graph.has_finished(region) && !self.coordinated.contains(&region) {
            self.restarting.remove(&region);
        }
    }

    fn tasks_in(&self, chosen: impl Fn(&JobSlot) -> bool) -> Vec<(usize, usize)> {
        let mut tasks = Vec::new();
        for (v, vertex) in self.graph.vertices.iter().enumerate() {
            for (s, execution) in vertex.subtasks.iter().enumerate() {
                let here = execution.slot.as_ref().is_some_and(&chosen);
                if here && execution.is_deployed() {
                    tasks.push((v, s));
                }
            }
        }
        tasks
    }

    /// The TaskManager of these attempts has said, in whatever way, that it had them when it had made so many reports of what it has.
    pub fn attempts_seen(&mut self, attempts: &[AttemptId], reports: u64) {
        for attempt in attempts.iter().filter(|attempt| self.graph.find(**attempt).is_some()) {
            self.missing_attempts.seen(*attempt, reports);
        }
    }

    /// A TaskManager has named the attempts that it has, in a report. Attempts that it had before and does not name have ended, and
    /// the report of their end was lost. The TaskManager is asked to cancel them, and they are over when it says that it does not
    /// have them.
    pub fn attempts_named(
        &mut self,
        resource_id: &str,
        report: MetricsReportNumber,
        named: &HashSet<AttemptId>,
        env: &mut dyn Environment,
    ) {
        let missing = self.missing_attempts.reported(&self.graph, resource_id, report, named);
        if missing.is_empty() {
            return;
        }
        let canceling = |(v, s): &(usize, usize)| self.state_of(*v, *s) == ExecutionState::Canceling;
        let (canceling, silent): (Vec<_>, Vec<_>) = missing.into_iter().partition(canceling);
        self.push_cancel(&canceling);
        let message =
            format!("TaskManager {resource_id} does not have the task any more, and its end was not heard of.");
        self.fail_unheard(silent, FailureInfo::new(failure::INTERNAL, message), env);
        self.settle(env);
    }

    /// Tasks failed together for one reason, and may run all the same: only their TaskManager knows. It is told to end them, and
    /// they are over when it says that they are or that it does not have them, or when it is lost. Until then no attempt takes
    /// their place: two attempts at once would both write. Those that were being cancelled are waited for already.
    pub(super) fn fail_unheard(
        &mut self,
        mut tasks: Vec<(usize, usize)>,
        failure: FailureInfo,
        env: &mut dyn Environment,
    ) {
        let now = env.now();
        tasks.retain(|(v, s)| self.state_of(*v, *s) != ExecutionState::Canceling);
        self.push_cancel(&tasks);
        for &(vertex, subtask) in &tasks {
            self.graph.fail_unheard(vertex, subtask, failure.clone(), now);
        }
        self.tasks_failed(&tasks, failure, env);
    }
}
