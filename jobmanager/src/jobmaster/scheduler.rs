//! The life of a job: from observed facts to what is to be done, without I/O.
//!
//! The scheduler is told what happened (slots came, a task changed its state, a TaskManager is gone, a user cancels, a
//! timer is due) and leaves [`Action`]s to be taken with [`Scheduler::take_actions`]. A failed task restarts its pipelined
//! region, or fails the job.
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use crate::failure::{self, FailureInfo};
use crate::jobmaster::exception_history::{ExceptionEntry, ExceptionHistory, FailedTask};
use crate::jobmaster::execution_graph::{ExecutionGraph, JobSlot, JobSlots, TaskManagerLocation, is_terminal};
use crate::jobmaster::restart_strategy::{Decision, RestartStrategy};
use crate::jobmaster::status::{JobStatus, StatusTimestamps};
use crate::resourcemanager::slot_manager::{ReportNumber, SlotShortage};

pub use self::missing_attempts::MetricsReportNumber;
use self::missing_attempts::MissingAttempts;

mod finishing;
mod losses;
mod missing_attempts;
pub mod taking_over;

/// What helps a job that waits for slots.
pub(super) const MORE_SLOTS: &str =
    "start more TaskManagers, raise taskmanager.numberOfTaskSlots or lower the parallelism";

/// Something that the scheduler wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Ask the ResourceManager for this many slots in all; report with [`Scheduler::slots_timed_out`] and this number
    /// if `slot.request.timeout` passes.
    RequireSlots {
        /// Slots.
        slots: u32,
        /// The number of the request.
        request: u64,
    },
    /// The job takes no more slots; those that it has it keeps until its tasks are over.
    NeedNoMoreSlots,
    /// Give all slots back.
    ReleaseSlots,
    /// Give these slots back, and go on asking for as many as before.
    GiveUpSlots(Vec<JobSlot>),
    /// Run the tasks of these regions where the graph says.
    Deploy {
        /// Regions of the graph.
        regions: BTreeSet<usize>,
    },
    /// Cancel these attempts.
    Cancel {
        /// Where they run.
        location: Arc<TaskManagerLocation>,
        /// Under which registration it gave the slots that they run in.
        registration: u64,
        /// Which.
        attempts: Vec<AttemptId>,
    },
    /// What belongs to the last execution of these regions (splits handed out, rows collected) is void.
    EndExecution {
        /// Regions of the graph.
        regions: BTreeSet<usize>,
    },
    /// All tasks have finished. Let coordinators handle what they have said; report with [`Scheduler::coordinators_finished`] and this
    /// number.
    FinishCoordinators {
        /// The number of the last wait before a restart.
        restart: u64,
    },
    /// Report with [`Scheduler::restart_due`] and this number after a time.
    RestartAfter {
        /// How long.
        delay: Duration,
        /// The number of the wait.
        restart: u64,
    },
    /// The job is over; the last action.
    Terminated,
}

/// What became of a report about a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Noted.
    Accepted,
    /// No such attempt: the TaskManager that runs it should stop it.
    Unknown,
}

/// Time, randomness and new ids: what the scheduler needs from outside.
pub trait Environment {
    /// Milliseconds since the epoch.
    fn now(&self) -> i64;
    /// Milliseconds of a monotonic clock.
    fn monotonic(&self) -> i64;
    /// Uniform in 0..1.
    fn random(&mut self) -> f64;
    /// A new attempt id.
    fn attempt_id(&mut self) -> AttemptId;
}

/// See the module.
pub struct Scheduler {
    graph: ExecutionGraph,
    status: JobStatus,
    timestamps: StatusTimestamps,
    strategy: RestartStrategy,
    history: ExceptionHistory,
    slots: JobSlots,
    missing_attempts: MissingAttempts,
    slot_request: u64,
    awaiting_slots: bool,
    /// What the ResourceManager said last of the slots that are awaited.
    slot_shortage: Option<SlotShortage>,
    /// Regions that are being restarted, from their failure until they are scheduled.
    restarting: BTreeSet<usize>,
    /// By region: the execution that it was last restarted with, or taken over.
    executions: BTreeMap<usize, u32>,
    /// The number of the last wait before a restart.
    restart: u64,
    restart_due: bool,
    /// Regions with coordinators that are to handle all that their tasks say.
    coordinated: BTreeSet<usize>,
    /// The number of the last wait before a restart when coordinators were told that all tasks had finished.
    finishing: Option<u64>,
    /// The savepoint that the job stops with, once it is made: from then on there is no way back.
    stopped_with: Option<String>,
    /// The job failed with something that no restart heals.
    unrecoverable: bool,
    failure: Option<FailureInfo>,
    last_modification: i64,
    actions: Vec<Action>,
}

impl Scheduler {
    /// A validated job before its start.
    pub fn new(
        graph: Arc<proto::JobGraph>,
        job_id: JobId,
        strategy: RestartStrategy,
        history: ExceptionHistory,
        submitted_at: i64,
        env: &mut dyn Environment,
    ) -> Self {
        let now = env.now();
        let mut timestamps = StatusTimestamps::default();
        timestamps.enter(JobStatus::Initializing, submitted_at);
        Self {
            graph: ExecutionGraph::new(graph, job_id, now, &mut || env.attempt_id()),
            status: JobStatus::Initializing,
            timestamps,
            strategy,
            history,
            slots: JobSlots::default(),
            missing_attempts: MissingAttempts::default(),
            slot_request: 0,
            awaiting_slots: false,
            slot_shortage: None,
            restarting: BTreeSet::new(),
            executions: BTreeMap::new(),
            restart: 0,
            restart_due: false,
            coordinated: BTreeSet::new(),
            finishing: None,
            stopped_with: None,
            unrecoverable: false,
            failure: None,
            last_modification: now,
            actions: Vec::new(),
        }
    }

    /// What is to be done, in order.
    pub fn take_actions(&mut self) -> Vec<Action> {
        std::mem::take(&mut self.actions)
    }

    /// The job's state.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// When it entered each state.
    pub fn timestamps(&self) -> &StatusTimestamps {
        &self.timestamps
    }

    /// Its tasks.
    pub fn graph(&self) -> &ExecutionGraph {
        &self.graph
    }

    /// Its failures.
    pub fn history(&self) -> &ExceptionHistory {
        &self.history
    }

    /// Whether the job failed with something that no restart heals.
    pub fn is_unrecoverable(&self) -> bool {
        self.unrecoverable
    }

    /// Why it failed, if it did for good.
    pub fn failure(&self) -> Option<&FailureInfo> {
        self.failure.as_ref()
    }

    /// When anything changed last (milliseconds since the epoch).
    pub fn last_modification(&self) -> i64 {
        self.last_modification
    }

    /// The slots it holds.
    pub fn slots(&self) -> &JobSlots {
        &self.slots
    }

    /// Only the pipelined region of a failed task restarts, not the whole job
    /// (`jobmanager.execution.failover-strategy: region`).
    pub fn restart_regions(&mut self) {
        self.graph.cut_regions();
    }

    /// What runs is decided: the graph may differ from the first one in what a checkpoint decides, before the start.
    pub fn set_graph(&mut self, graph: Arc<proto::JobGraph>) {
        self.graph.graph = graph;
    }

    /// Every task runs or has finished.
    pub fn all_tasks_run(&self) -> bool {
        let run = self.graph.count(ExecutionState::Running) + self.graph.count(ExecutionState::Finished);
        self.status == JobStatus::Running && run == self.graph.tasks()
    }

    /// The job stops with this savepoint: whatever fails from now on fails the job, because sinks commit what a restart from
    /// an earlier checkpoint would bring again. So does what failed while the savepoint was being completed: a restart would
    /// do once more what a job that starts from the savepoint does.
    pub fn stops_with(&mut self, savepoint: String, env: &mut dyn Environment) {
        let restarts = matches!(self.status, JobStatus::Running | JobStatus::Restarting) && !self.all_tasks_run();
        if restarts {
            let latest = self.history.entries().next().map(|entry| entry.failure.clone());
            let failure = latest.unwrap_or_else(|| FailureInfo::new(failure::INTERNAL, "Not all tasks run."));
            let (now, cause) = (env.now(), self.stopping_failed(&savepoint, &failure));
            self.fail_for_good(
                cause,
                ExceptionEntry { failure, timestamp: now, task: None, concurrent: Vec::new() },
                now,
            );
            self.settle(env);
        }
        self.stopped_with = Some(savepoint);
    }

    /// What a job fails with that was to stop with a savepoint.
    fn stopping_failed(&self, savepoint: &str, failure: &FailureInfo) -> FailureInfo {
        let message = format!(
            "A savepoint has been created at: {savepoint}, but the corresponding job {} failed during stopping. The \
             savepoint is consistent, but might have uncommitted transactions. If you want to commit the transaction \
             please restart a job from this savepoint.",
            self.graph.job_id
        );
        FailureInfo::wrap(failure::STOP_WITH_SAVEPOINT_STOPPING, message, failure)
    }

    /// The job cannot be started: it failed without having run.
    pub fn start_failed(&mut self, failure: FailureInfo, env: &mut dyn Environment) {
        if self.status != JobStatus::Initializing {
            return;
        }
        let now = env.now();
        let entry = ExceptionEntry { failure: failure.clone(), timestamp: now, task: None, concurrent: Vec::new() };
        self.history.add(entry);
        self.failure = Some(failure);
        self.enter(JobStatus::Failing, now);
        self.cancel_tasks(&self.graph.all_regions(), now);
        self.settle(env);
    }

    /// Starts the job.
    pub fn start(&mut self, env: &mut dyn Environment) {
        self.enter(JobStatus::Created, env.now());
        self.enter(JobStatus::Running, env.now());
        self.schedule(env.now());
    }

    fn enter(&mut self, status: JobStatus, now: i64) {
        self.status = status;
        self.timestamps.enter(status, now);
        self.last_modification = now;
    }

    fn schedule(&mut self, now: i64) {
        self.graph.move_all(ExecutionState::Created, ExecutionState::Scheduled, now);
        self.awaiting_slots = true;
        self.slot_shortage = None;
        self.slot_request += 1;
        let slots = self.graph.required_slots() as u32;
        self.actions.push(Action::RequireSlots { slots, request: self.slot_request });
        self.deploy_if_complete(now);
    }

    /// The ResourceManager says that there are not slots enough, or that there are now.
    pub fn set_slot_shortage(&mut self, shortage: Option<SlotShortage>) {
        self.slot_shortage = shortage;
    }

    /// That the job waits for slots that are not there.
    pub fn slot_shortage(&self) -> Option<SlotShortage> {
        self.slot_shortage.filter(|_| self.awaiting_slots)
    }

    /// A TaskManager offers slots. Returns those that the job takes, and uses once they are confirmed.
    pub fn offer_slots(&mut self, offers: Vec<JobSlot>) -> Vec<AllocationId> {
        let mut accepted = Vec::new();
        let open = matches!(self.status, JobStatus::Running | JobStatus::Restarting);
        for offer in offers {
            if self.slots.contains(offer.allocation) {
                accepted.push(offer.allocation);
            } else if open && self.slots.len() < self.graph.required_slots() && !self.slots.void(&offer) {
                accepted.push(offer.allocation);
                self.slots.insert(offer);
            }
        }
        accepted
    }

    /// The ResourceManager has heard that the job took these slots, and knows that their TaskManager lives and holds them. Otherwise
    /// it says that the slot or the TaskManager is lost: the offer was late, and nothing must run there.
    pub fn slots_confirmed(&mut self, allocations: &[AllocationId], env: &mut dyn Environment) {
        allocations.iter().for_each(|allocation| self.slots.confirm(*allocation));
        self.deploy_if_complete(env.now());
    }

    /// Slots that the job has of a TaskManager and that a report does not know of (`holds`). What was offered later than the
    /// report was made is not in it.
    pub fn not_held(
        &self,
        resource_id: &str,
        report: ReportNumber,
        holds: impl Fn(AllocationId) -> bool,
    ) -> Vec<AllocationId> {
        let lost = |slot: &&JobSlot| slot.since <= report && !holds(slot.allocation);
        self.slots.of(resource_id).filter(lost).map(|slot| slot.allocation).collect()
    }

    fn deploy_if_complete(&mut self, now: i64) {
        let complete = self.slots.len() >= self.graph.required_slots() && self.slots.are_confirmed();
        if !self.awaiting_slots || !complete {
            return;
        }
        self.awaiting_slots = false;
        self.graph.assign_slots(&self.slots);
        self.missing_attempts.expect_deployed(&self.graph);
        let regions = self.scheduled_regions();
        self.graph.move_all(ExecutionState::Scheduled, ExecutionState::Deploying, now);
        self.last_modification = now;
        self.actions.push(Action::Deploy { regions });
    }

    /// Regions that wait for slots.
    fn scheduled_regions(&self) -> BTreeSet<usize> {
        self.graph.regions_with(ExecutionState::Scheduled)
    }

    /// Those of the regions whose tasks are to be deployed.
    pub fn deploying_of(&self, regions: &BTreeSet<usize>) -> BTreeSet<usize> {
        self.graph.regions_with(ExecutionState::Deploying).intersection(regions).copied().collect()
    }

    /// The slots of a request did not come in time.
    pub fn slots_timed_out(&mut self, request: u64, timeout: Duration, env: &mut dyn Environment) {
        if !self.awaiting_slots || request != self.slot_request {
            return;
        }
        let failure =
            FailureInfo::new(failure::NO_RESOURCE_AVAILABLE, "Could not acquire the minimum required resources.")
                .because(self.slots_in_vain(timeout));
        self.give_up_idle_slots();
        self.fail(failure, env);
    }

    /// What there was of the slots that were waited for. A job is given all that it misses or nothing: that it has none does not
    /// mean that there are none.
    fn slots_in_vain(&self, timeout: Duration) -> String {
        let required = self.graph.required_slots();
        let within = format!("within slot.request.timeout ({} ms)", timeout.as_millis());
        match &self.slot_shortage {
            Some(shortage) => {
                let available = shortage.available();
                format!(
                    "the job requires {required} slots and {available} could be had {within}: {shortage}; {MORE_SLOTS}"
                )
            }
            None => format!("the job requires {required} slots and got {} {within}; {MORE_SLOTS}", self.slots.len()),
        }
    }

    /// Lets others have what the job cannot use without what it misses. Two jobs that each hold a part of what they need, after
    /// the loss of a TaskManager say, would wait for each other for ever.
    fn give_up_idle_slots(&mut self) {
        let used = self.graph.executions().filter(|task| !is_terminal(task.state));
        let used: HashSet<AllocationId> = used.filter_map(|task| Some(task.slot.as_ref()?.allocation)).collect();
        let idle: Vec<JobSlot> = self.slots.iter().filter(|slot| !used.contains(&slot.allocation)).cloned().collect();
        idle.iter().for_each(|slot| self.slots.remove(slot.allocation));
        if !idle.is_empty() {
            self.actions.push(Action::GiveUpSlots(idle));
        }
    }

    /// A TaskManager reports a state of an attempt.
    pub fn task_state(
        &mut self,
        attempt: AttemptId,
        state: ExecutionState,
        failure: Option<FailureInfo>,
        metrics: Option<proto::TaskMetrics>,
        env: &mut dyn Environment,
    ) -> UpdateOutcome {
        let Some((vertex, subtask)) = self.graph.find(attempt) else { return UpdateOutcome::Unknown };
        let now = env.now();
        let before = self.graph.vertices[vertex].subtasks[subtask].state;
        if is_terminal(before) {
            return if is_terminal(state) { UpdateOutcome::Accepted } else { UpdateOutcome::Unknown };
        }
        if let Some(metrics) = metrics {
            self.graph.set_metrics(vertex, subtask, metrics);
        }
        let canceling = before == ExecutionState::Canceling;
        // It was given up only because nothing had been heard of it.
        let unheard = canceling && self.graph.vertices[vertex].subtasks[subtask].failure.is_some();
        match state {
            ExecutionState::Initializing | ExecutionState::Running => {
                if !canceling && state as i32 > before as i32 {
                    self.enter_task(vertex, subtask, state, now);
                }
            }
            ExecutionState::Finished if unheard => self.finished_unheard(vertex, subtask, now),
            ExecutionState::Finished | ExecutionState::Canceled | ExecutionState::Failed if canceling => {
                self.end_task(vertex, subtask, now);
            }
            ExecutionState::Finished => self.enter_task(vertex, subtask, ExecutionState::Finished, now),
            ExecutionState::Failed | ExecutionState::Canceled => {
                let failure = failure.unwrap_or_else(|| {
                    FailureInfo::new(failure::INTERNAL, "The TaskManager stopped the task without giving a reason.")
                });
                self.fail_tasks(&[(vertex, subtask)], failure, env);
            }
            ExecutionState::Created
            | ExecutionState::Scheduled
            | ExecutionState::Deploying
            | ExecutionState::Canceling
            | ExecutionState::Reconciling => {}
        }
        self.settle(env);
        UpdateOutcome::Accepted
    }

    /// An attempt has reached the end of its data.
    pub fn end_of_data(&mut self, attempt: AttemptId, awaits_checkpoint: bool) -> UpdateOutcome {
        let Some((vertex, subtask)) = self.graph.find(attempt) else { return UpdateOutcome::Unknown };
        if !is_terminal(self.graph.vertices[vertex].subtasks[subtask].state) {
            self.graph.end_of_data(vertex, subtask, awaits_checkpoint);
        }
        UpdateOutcome::Accepted
    }

    /// Counters of a running attempt.
    pub fn task_metrics(&mut self, attempt: AttemptId, metrics: proto::TaskMetrics) -> UpdateOutcome {
        let Some((vertex, subtask)) = self.graph.find(attempt) else { return UpdateOutcome::Unknown };
        match self.graph.vertices[vertex].subtasks[subtask].state {
            // Given up here, and it runs.
            ExecutionState::Canceled | ExecutionState::Failed => UpdateOutcome::Unknown,
            // On its way out.
            ExecutionState::Finished => UpdateOutcome::Accepted,
            _ => {
                self.graph.set_metrics(vertex, subtask, metrics);
                UpdateOutcome::Accepted
            }
        }
    }

    fn enter_task(&mut self, vertex: usize, subtask: usize, state: ExecutionState, now: i64) {
        self.graph.enter(vertex, subtask, state, now);
        self.last_modification = now;
    }

    fn end_task(&mut self, vertex: usize, subtask: usize, now: i64) {
        self.graph.end(vertex, subtask, now);
        self.last_modification = now;
    }

    fn state_of(&self, vertex: usize, subtask: usize) -> ExecutionState {
        self.graph.vertices[vertex].subtasks[subtask].state
    }

    /// Tasks failed together for one reason, and are over; so are those that were being cancelled.
    fn fail_tasks(&mut self, tasks: &[(usize, usize)], failure: FailureInfo, env: &mut dyn Environment) {
        let now = env.now();
        let (ended, failed): (Vec<_>, Vec<_>) =
            tasks.iter().copied().partition(|(v, s)| self.state_of(*v, *s) == ExecutionState::Canceling);
        for &(vertex, subtask) in &ended {
            self.end_task(vertex, subtask, now);
        }
        for &(vertex, subtask) in &failed {
            self.graph.fail(vertex, subtask, failure.clone(), now);
        }
        self.tasks_failed(&failed, failure, env);
    }

    fn tasks_failed(&mut self, tasks: &[(usize, usize)], failure: FailureInfo, env: &mut dyn Environment) {
        let Some(&(vertex, subtask)) = tasks.first() else { return };
        self.last_modification = env.now();
        let regions = tasks.iter().map(|(vertex, _)| self.graph.regions[*vertex]).collect();
        let execution = &self.graph.vertices[vertex].subtasks[subtask];
        let task = FailedTask {
            name: format!("{} - execution #{}", self.graph.task_name(vertex, subtask), execution.attempt_number),
            location: execution.slot.as_ref().map(|slot| Arc::clone(&slot.location)),
        };
        self.handle_failure(failure, Some(task), regions, env);
    }

    /// The job as a whole failed: no slots, a source that cannot list its splits.
    pub fn fail(&mut self, failure: FailureInfo, env: &mut dyn Environment) {
        self.handle_failure(failure, None, self.graph.all_regions(), env);
        self.settle(env);
    }

    fn handle_failure(
        &mut self,
        failure: FailureInfo,
        task: Option<FailedTask>,
        failed: BTreeSet<usize>,
        env: &mut dyn Environment,
    ) {
        let now = env.now();
        let entry = ExceptionEntry { failure: failure.clone(), timestamp: now, task, concurrent: Vec::new() };
        let runs = match self.status {
            JobStatus::Initializing | JobStatus::Created | JobStatus::Running => true,
            JobStatus::Restarting => !failed.is_subset(&self.restarting),
            _ => false,
        };
        if !runs {
            if !self.status.is_terminal() {
                self.history.add_concurrent(entry);
            }
            return;
        }
        match self.decide(&failure, env) {
            Ok(delay) => {
                self.history.add(entry);
                self.restart_regions_after(failed, delay, now);
            }
            Err(cause) => self.fail_for_good(cause, entry, now),
        }
    }

    /// The job fails with `cause`, because of what is in `entry`.
    fn fail_for_good(&mut self, cause: FailureInfo, entry: ExceptionEntry, now: i64) {
        let root = ExceptionEntry { failure: cause.clone(), timestamp: now, task: None, concurrent: vec![entry] };
        self.history.add(root);
        self.awaiting_slots = false;
        self.failure = Some(cause);
        self.enter(JobStatus::Failing, now);
        self.actions.push(Action::NeedNoMoreSlots);
        self.cancel_tasks(&self.graph.all_regions(), now);
    }

    /// After which time a failure is answered by a restart, or what the job fails with.
    fn decide(&mut self, failure: &FailureInfo, env: &mut dyn Environment) -> Result<Duration, FailureInfo> {
        if let Some(savepoint) = &self.stopped_with {
            return Err(self.stopping_failed(savepoint, failure));
        }
        if failure.fatal {
            self.unrecoverable = true;
            return Err(FailureInfo::wrap(failure::JOB_EXCEPTION, "The failure is not recoverable", failure));
        }
        match self.strategy.on_failure(env.monotonic(), env.random()) {
            Decision::RestartAfter(delay) => Ok(delay),
            Decision::Suppress(by) => {
                let message = format!("Recovery is suppressed by {by}");
                Err(FailureInfo::wrap(failure::JOB_EXCEPTION, message, failure))
            }
        }
    }

    fn restart_regions_after(&mut self, failed: BTreeSet<usize>, delay: Duration, now: i64) {
        // Those that wait for slots are scheduled anew with the others.
        let mut regions = failed;
        regions.extend(self.scheduled_regions());
        let ended: BTreeSet<usize> = regions.difference(&self.restarting).copied().collect();
        self.restarting.extend(regions);
        self.awaiting_slots = false;
        self.restart_due = false;
        self.restart += 1;
        if self.status != JobStatus::Restarting {
            self.enter(JobStatus::Restarting, now);
        }
        self.cancel_tasks(&ended, now);
        self.actions.push(Action::EndExecution { regions: ended });
        self.actions.push(Action::RestartAfter { delay, restart: self.restart });
    }

    /// A user wants the job to end.
    pub fn cancel(&mut self, env: &mut dyn Environment) {
        let now = env.now();
        match self.status {
            JobStatus::Initializing | JobStatus::Created | JobStatus::Running | JobStatus::Restarting => {
                self.awaiting_slots = false;
                self.enter(JobStatus::Cancelling, now);
                self.actions.push(Action::NeedNoMoreSlots);
                self.cancel_tasks(&self.graph.all_regions(), now);
                self.settle(env);
            }
            // As in Flink, a job that fails is cancelled then. Whatever it waits for is asked for once more.
            JobStatus::Failing | JobStatus::Cancelling => {
                if self.status == JobStatus::Failing {
                    self.enter(JobStatus::Cancelling, now);
                }
                self.push_cancel(&self.graph.in_state(ExecutionState::Canceling));
                self.settle(env);
            }
            // What is over stays so.
            _ => {}
        }
    }

    /// A TaskManager that was to cancel these attempts does not run them: what they had to say has been said, and was not
    /// understood, or went to another JobMaster.
    pub fn tasks_gone(&mut self, attempts: &[AttemptId], env: &mut dyn Environment) {
        let now = env.now();
        for (vertex, subtask) in attempts.iter().filter_map(|attempt| self.graph.find(*attempt)).collect::<Vec<_>>() {
            if self.state_of(vertex, subtask) == ExecutionState::Canceling {
                self.end_task(vertex, subtask, now);
            }
        }
        self.settle(env);
    }

    /// The JobManager stops: tasks are told to stop, and not waited for.
    pub fn suspend(&mut self, env: &mut dyn Environment) {
        if self.status.is_terminal() {
            return;
        }
        let now = env.now();
        self.awaiting_slots = false;
        self.cancel_tasks(&self.graph.all_regions(), now);
        self.enter(JobStatus::Suspended, now);
        self.actions.push(Action::ReleaseSlots);
        self.actions.push(Action::Terminated);
    }

    fn cancel_tasks(&mut self, regions: &BTreeSet<usize>, now: i64) {
        let mut deployed = Vec::new();
        for v in 0..self.graph.vertices.len() {
            if !regions.contains(&self.graph.regions[v]) {
                continue;
            }
            for s in 0..self.graph.vertices[v].subtasks.len() {
                match self.graph.vertices[v].subtasks[s].state {
                    ExecutionState::Created | ExecutionState::Scheduled => {
                        self.graph.enter(v, s, ExecutionState::Canceled, now);
                    }
                    ExecutionState::Deploying | ExecutionState::Initializing | ExecutionState::Running => {
                        self.graph.enter(v, s, ExecutionState::Canceling, now);
                        deployed.push((v, s));
                    }
                    _ => {}
                }
            }
        }
        self.push_cancel(&deployed);
    }

    fn push_cancel(&mut self, tasks: &[(usize, usize)]) {
        let mut calls: BTreeMap<(&str, u64), (Arc<TaskManagerLocation>, Vec<AttemptId>)> = BTreeMap::new();
        for &(vertex, subtask) in tasks {
            let execution = &self.graph.vertices[vertex].subtasks[subtask];
            if let Some(slot) = &execution.slot {
                calls
                    .entry((slot.location.resource_id.as_str(), slot.since.registration))
                    .or_insert_with(|| (Arc::clone(&slot.location), Vec::new()))
                    .1
                    .push(execution.attempt_id);
            }
        }
        self.actions.extend(calls.into_iter().map(|((_, registration), (location, attempts))| Action::Cancel {
            location,
            registration,
            attempts,
        }));
    }

    /// The wait before a restart is over.
    pub fn restart_due(&mut self, restart: u64, env: &mut dyn Environment) {
        if self.status == JobStatus::Restarting && restart == self.restart {
            self.restart_due = true;
            self.settle(env);
        }
    }

    /// Moves the job on once the tasks that it waits for are over.
    fn settle(&mut self, env: &mut dyn Environment) {
        let now = env.now();
        let over = self.graph.is_over();
        match self.status {
            JobStatus::Running if over && self.all_finished() => self.tasks_finished(now),
            JobStatus::Failing if over => self.terminate(JobStatus::Failed, now),
            JobStatus::Cancelling if over => self.terminate(JobStatus::Canceled, now),
            JobStatus::Restarting if self.restarting.is_empty() => self.nothing_to_restart(env),
            JobStatus::Restarting if self.restart_due && self.graph.are_over(&self.restarting) => {
                self.restart_now(env);
            }
            _ => {}
        }
    }

    fn restart_now(&mut self, env: &mut dyn Environment) {
        let now = env.now();
        let regions = std::mem::take(&mut self.restarting);
        self.restart_due = false;
        self.graph.reset(&regions, now, &mut || env.attempt_id());
        self.executions.extend(regions.into_iter().map(|region| (region, self.graph.execution)));
        self.enter(JobStatus::Running, now);
        self.schedule(now);
    }

    /// All that was to run again has finished: there is nothing to wait for.
    fn nothing_to_restart(&mut self, env: &mut dyn Environment) {
        self.restart_due = false;
        self.enter(JobStatus::Running, env.now());
        self.settle(env);
    }

    fn all_finished(&self) -> bool {
        self.graph.count(ExecutionState::Finished) == self.graph.tasks()
    }

    fn terminate(&mut self, status: JobStatus, now: i64) {
        self.enter(status, now);
        self.actions.push(Action::ReleaseSlots);
        self.actions.push(Action::Terminated);
    }
}

#[cfg(test)]
#[path = "scheduler_tests.rs"]
mod tests;
