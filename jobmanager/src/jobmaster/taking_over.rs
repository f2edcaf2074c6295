//! A job that another JobMaster has led: what there is of it is heard of, decided on ([`super::adoption`]), and goes on or is begun
//! again.
//!
//! ```text
//!  collecting ──all is accounted for, or the time is over──> decided ──coordinators go on──> taken over ──TaskManagers told──> checkpoints
//!     └─ offers of slots with the tasks in them, and the checkpoints of the record
//! ```
//!
//! Until the job is taken over none of its tasks is told anything. What comes later than the decision is refused with its slots.
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::Id;
use tonic::Status;
use wiesel_common::id::{AllocationId, AttemptId, OperatorId};
use wiesel_proto as proto;
use wiesel_proto::{ExecutionState, JobDecision, JobResult};

use super::Message;
use super::actor::{Completion, JobMaster};
use super::adoption::{LastCheckpoint, ReportedTask, Verdict, decide, is_complete, last_attempts};
use super::checkpoint::store::{CompletedCheckpoint, Owner};
use super::claiming::JobClaim;
use super::execution_graph::{ExecutionGraph, JobSlot, TaskManagerLocation};
use super::initialization::{LeftCheckpoints, find_left};
use super::operator_coordinator_holder::{HolderFailure, RunsOn, Subtask};
use super::recording::status_of;
use super::scheduler::taking_over::TakenOver;
use super::slots::offered_slots;
use crate::failure::{self, FailureInfo};
use crate::gateway::{Attempts, TaskExecutors, describe};
use crate::resourcemanager;

/// Until a TaskManager is told again.
const ADOPT_PAUSE: Duration = Duration::from_secs(1);

/// A task that is reported.
#[derive(Clone)]
struct Reported {
    task: ReportedTask,
    slot: JobSlot,
    /// What coordinators have sent to it, as far as it is kept.
    events: Vec<proto::SentEvent>,
}

/// The tasks that a region goes on with: the others had finished before the checkpoint.
type RegionTasks = Vec<ReportedTask>;

/// See the module.
#[derive(Default)]
pub(super) struct TakingOver {
    /// The checkpoints of the record are found.
    has_found_checkpoints: bool,
    /// The savepoint that the job stops with.
    stopped_with: Option<Arc<CompletedCheckpoint>>,
    /// No report is waited for any more.
    is_over: bool,
    /// All have had their time.
    is_late: bool,
    /// A user wants the job to end.
    is_cancelled: bool,
    /// Slots that are offered.
    slots: BTreeMap<AllocationId, JobSlot>,
    reports: BTreeMap<AttemptId, Reported>,
    /// By region: once it is decided.
    decided: Option<BTreeMap<usize, RegionTasks>>,
    /// What was said since then.
    meanwhile: Vec<Message>,
    /// Coordinators that have failed since then.
    failed_holders: Vec<(Id, HolderFailure)>,
}

/// What a TaskManager answered when it was told which tasks are taken over.
pub(super) struct Adopted {
    /// Attempts that do not run there.
    gone: Vec<AttemptId>,
    running: Vec<AttemptId>,
    /// How many reports of counters it had made.
    reports: u64,
}

impl TakingOver {
    /// A coordinator has failed before the job is taken over.
    pub(super) fn holder_failed(&mut self, id: Id, failure: HolderFailure) {
        self.failed_holders.push((id, failure));
    }

    fn forget(&mut self, is_gone: impl Fn(&JobSlot) -> bool) {
        self.slots.retain(|_, slot| !is_gone(slot));
        self.reports.retain(|_, reported| !is_gone(&reported.slot));
    }

    fn tasks(&self) -> Vec<ReportedTask> {
        self.reports.values().map(|reported| reported.task.clone()).collect()
    }
}

impl JobMaster {
    /// TaskManagers may hold slots for a job that has begun: no others are asked for before it is known how many.
    pub(super) fn hold_slots(&self) {
        if self.recorder.record().started {
            let (job, slots) = (self.handle.clone(), self.scheduler.graph().required_slots() as u32);
            self.context.resource_manager.send(resourcemanager::Message::HoldSlots { job, slots });
        }
    }

    /// Ends a job that had not begun under another JobMaster, and was to end there or had ended. False: it is to begin.
    pub(super) fn ends_before_it_begins(&mut self) -> bool {
        let record = self.recorder.record();
        let (failure, unrecoverable) = (record.failure.clone().map(FailureInfo::from), record.unrecoverable);
        match (status_of(record.result()), record.decision()) {
            (Some(status), _) => self.scheduler.has_ended(status, failure, unrecoverable, &mut self.env),
            (None, JobDecision::None) => return false,
            (None, JobDecision::Cancel) => self.scheduler.cancel(&mut self.env),
            (None, JobDecision::Fail) => {
                self.scheduler.start_failed(failure.unwrap_or_else(was_failing), &mut self.env);
            }
        }
        true
    }

    /// Goes on with a job that has begun under another JobMaster.
    pub(super) fn begin_taking_over(&mut self) {
        self.answer_callers_of_another(&self.recorder.record().savepoints);
        // Without adoption nothing is waited for, and slots with tasks are refused.
        let is_over = !self.context.adopts_tasks;
        self.taking_over = Some(Box::new(TakingOver { is_over, ..TakingOver::default() }));
        self.after(self.context.heartbeat_timeout, Completion::ReportsDue);
        let (storage, record) = (self.storage.clone(), self.recorder.record().clone());
        if !is_over && record.result() == JobResult::None {
            let (job_id, longest) = (self.job_id(), self.context.heartbeat_timeout);
            tracing::info!(%job_id, ?longest, "the job waits for the TaskManagers that may run its tasks");
        }
        let clock = Arc::clone(&self.context.clock);
        self.spawn(async move { Completion::CheckpointsFound(Box::new(find_left(storage, record, clock).await)) });
    }

    /// The checkpoints of the record are found.
    pub(super) fn checkpoints_found(&mut self, left: LeftCheckpoints) {
        let Some(taking_over) = &mut self.taking_over else { return };
        if std::mem::replace(&mut taking_over.has_found_checkpoints, true) {
            return;
        }
        taking_over.stopped_with = left.stopped_with.map(Arc::new);
        self.go_on_with_claim(&left.retained);
        let misses_some = self.misses_what_stays(&left.retained);
        let foreign = self.recorder.record().foreign_files.iter().cloned().collect();
        self.checkpoints.go_on_from(left.retained, foreign);
        if !misses_some {
            self.look_for_left_files();
        }
        self.end_or_decide();
    }

    /// Whether the job has ended and checkpoints are not there that are to outlive it. A user may have deleted them; or this machine does
    /// not see the folder yet, and what it sees of it later is not to be taken for files that belong to no checkpoint.
    fn misses_what_stays(&self, found: &[CompletedCheckpoint]) -> bool {
        let record = self.recorder.record();
        let Some(status) = status_of(record.result()) else { return false };
        let found = found.iter().filter(|checkpoint| checkpoint.owner != Owner::Other).count();
        let recorded = record.checkpoints.iter().filter(|known| known.owner() != proto::CheckpointOwner::Other).count();
        let misses = found < recorded && self.checkpoints.outlive(status, record.unrecoverable);
        if misses {
            let job_id = self.job_id();
            tracing::warn!(%job_id, found, recorded, "not all retained checkpoints of a job that is over are there: what belongs to none of them is not looked for");
        }
        misses
    }

    /// Has deleted what another JobMaster has left that is in no record, and what it has left of savepoints.
    fn look_for_left_files(&mut self) {
        let now = self.now();
        self.checkpoints.look_for_left_files(now);
        let record = self.recorder.record();
        let stopped_with = record.stopped_with.as_ref().map(|savepoint| savepoint.checkpoint_id);
        for savepoint in &record.savepoints {
            if Some(savepoint.checkpoint_id) != stopped_with {
                self.checkpoints.savepoint_failed(savepoint.checkpoint_id, &savepoint.target, now);
            }
        }
    }

    /// The checkpoints are found, or are not waited for.
    fn end_or_decide(&mut self) {
        let record = self.recorder.record();
        let ended = status_of(record.result()).map(|status| (status, record.failure.clone(), record.unrecoverable));
        self.checkpoints.number_from(record.checkpoints_until);
        match ended {
            Some((status, failure, unrecoverable)) => {
                self.taking_over = None;
                self.scheduler.has_ended(status, failure.map(FailureInfo::from), unrecoverable, &mut self.env);
            }
            None => self.decide_if_complete(),
        }
    }

    /// The job goes on with what it has claimed, as long as it has it.
    fn go_on_with_claim(&mut self, retained: &[CompletedCheckpoint]) {
        let Some(claimed) = retained.iter().find(|checkpoint| checkpoint.owner == Owner::Claimed) else { return };
        match self.storage.claim_mark(&claimed.found(), self.recorder.record().run) {
            Ok(mark) => self.job_claim = JobClaim::Made(Arc::new(mark)),
            Err(error) => {
                tracing::warn!(job_id = %self.job_id(), reason = %error, "the mark of a claim is not known any more");
            }
        }
    }

    /// Whether no checkpoint may begin though all tasks run: not all of them know who leads the job, or the job stops with a savepoint.
    pub(super) fn is_held_up(&self) -> bool {
        self.adopting > 0 || self.taking_over.is_some() || self.recorder.record().stopped_with.is_some()
    }

    /// Hears what is otherwise for a job that runs. Returns the rest.
    pub(super) fn hear_while_taking_over(&mut self, message: Message) -> Option<Message> {
        let Some(taking_over) = &mut self.taking_over else { return Some(message) };
        match message {
            Message::OfferSlots { request, reply } => {
                // A TaskManager that waits no longer offers the slot again.
                if !reply.is_closed() {
                    let _ = reply.send(self.hear_offer(&request));
                }
            }
            // It is not known yet what of that is the job's.
            Message::Metrics { reply, .. } => _ = reply.send(proto::TaskMetricsResponse::default()),
            Message::SlotLost { .. } | Message::TaskManagerLost { .. } if taking_over.decided.is_some() => {
                taking_over.meanwhile.push(message);
            }
            Message::SlotLost { allocation, .. } => taking_over.forget(|slot| slot.allocation == allocation),
            Message::TaskManagerLost { resource_id, registration, failure } => {
                let is_gone = |slot: &JobSlot| {
                    slot.location.resource_id == resource_id && slot.since.registration <= registration
                };
                taking_over.forget(is_gone);
                self.task_manager_lost(&resource_id, registration, failure);
            }
            other => return Some(other),
        }
        None
    }

    fn hear_offer(&mut self, request: &proto::OfferSlotsRequest) -> Result<proto::OfferSlotsResponse, Status> {
        let offered = offered_slots(request)?;
        let Some(taking_over) = self.taking_over.as_deref().filter(|_| self.context.adopts_tasks) else {
            offered.iter().for_each(|slot| self.tell_given_up(&slot.location.resource_id, slot.allocation));
            return Ok(proto::OfferSlotsResponse::default());
        };
        let collects = taking_over.decided.is_none();
        let is_wanted = |slot: &JobSlot| match collects {
            true => !self.scheduler.slots().void(slot),
            // The answer was lost.
            false => taking_over.slots.contains_key(&slot.allocation),
        };
        let (accepted, refused): (Vec<_>, Vec<_>) = offered.into_iter().partition(is_wanted);
        for slot in refused {
            self.tell_given_up(&slot.location.resource_id, slot.allocation);
        }
        let answer = accepted.iter().map(|slot| slot.allocation.to_bytes()).collect();
        if collects {
            accepted.into_iter().for_each(|slot| self.note_offer(slot, &request.tasks));
            self.decide_if_complete();
        }
        Ok(proto::OfferSlotsResponse { accepted: answer })
    }

    /// What is said of a slot again is said later.
    fn note_offer(&mut self, slot: JobSlot, tasks: &[proto::TaskReport]) {
        let job_id = self.job_id();
        let graph = self.scheduler.graph();
        let Some(taking_over) = &mut self.taking_over else { return };
        taking_over.forget(|known| known.allocation == slot.allocation);
        for report in tasks.iter().filter(|report| report.allocation_id == slot.allocation.0[..]) {
            match ReportedTask::read(report, graph) {
                Ok(task) => {
                    let reported = Reported { slot: slot.clone(), events: report.events.clone(), task };
                    taking_over.reports.insert(reported.task.attempt, reported);
                }
                Err(error) => {
                    let task_manager = &slot.location.resource_id;
                    tracing::warn!(%job_id, %task_manager, reason = %error, "a task cannot be taken over");
                }
            }
        }
        taking_over.slots.insert(slot.allocation, slot);
    }

    /// Reports have had their time.
    pub(super) fn reports_due(&mut self) {
        if let Some(taking_over) = &mut self.taking_over {
            (taking_over.is_over, taking_over.is_late) = (true, true);
        }
        self.end_without_checkpoints();
        self.decide_if_complete();
    }

    /// A job that was cancelled waits for its checkpoints no longer than for reports. Nothing is deleted then: what is not known
    /// to be one of them may be one.
    fn end_without_checkpoints(&mut self) {
        let was_cancelled = self.recorder.record().decision() == JobDecision::Cancel;
        let job_id = self.job_id();
        let Some(taking_over) = &mut self.taking_over else { return };
        let is_cancelled = taking_over.is_cancelled || was_cancelled;
        if !is_cancelled || !taking_over.is_late || std::mem::replace(&mut taking_over.has_found_checkpoints, true) {
            return;
        }
        tracing::warn!(%job_id, "the checkpoints of a job that is cancelled are not found: they stay, and its record with them, for the next JobManager");
        self.leaves_checkpoints = true;
        self.end_or_decide();
    }

    /// A user wants the job to end: its tasks, which may run, are cancelled when it is known where. A job that has ended did so as
    /// its record says.
    pub(super) fn cancel_while_taking_over(&mut self) {
        if self.recorder.record().result() == JobResult::None {
            self.note_decision(JobDecision::Cancel, None);
        }
        if let Some(taking_over) = &mut self.taking_over {
            taking_over.is_cancelled = true;
        }
        self.end_without_checkpoints();
    }

    /// The checkpoint that the job goes on from: the savepoint that it stops with, if that is complete.
    fn left_off(&self) -> Option<Arc<CompletedCheckpoint>> {
        let savepoint = self.taking_over.as_ref().and_then(|taking_over| taking_over.stopped_with.clone());
        savepoint.or_else(|| self.checkpoints.latest().cloned())
    }

    fn decide_if_complete(&mut self) {
        let waits = |taking_over: &TakingOver| !taking_over.has_found_checkpoints || taking_over.decided.is_some();
        let Some(taking_over) = self.taking_over.as_deref().filter(|taking_over| !waits(taking_over)) else { return };
        let (checkpoint, graph) = (self.left_off(), self.scheduler.graph());
        let finished = |vertex, subtask| has_finished(checkpoint.as_deref(), graph, vertex, subtask);
        // What is left of the execution before a restart that was decided was replaced, and others may have tidied up after it.
        let executions = &self.recorder.record().executions;
        let is_current =
            |task: &ReportedTask| task.execution >= executions.get(task.vertex).copied().unwrap_or_default();
        let mut reports = taking_over.tasks();
        reports.retain(is_current);
        if !taking_over.is_over && !is_complete(graph, &finished, &reports) {
            return;
        }
        let last = LastCheckpoint { id: checkpoint.as_ref().map_or(0, |known| known.id), finished: &finished };
        let goes_on = self.recorder.record().decision() == JobDecision::None;
        let mut adopted = BTreeMap::new();
        for (region, verdict) in decide(graph, last, &reports) {
            match verdict {
                // What was to end ends as it is.
                Verdict::Adopted(_) if !goes_on => {}
                Verdict::Adopted(tasks) => _ = adopted.insert(region, tasks),
                Verdict::Restarts(obstacle) => {
                    tracing::info!(job_id = %self.job_id(), region, reason = %obstacle, "tasks are not taken over");
                }
            }
        }
        self.let_coordinators_begin(adopted, checkpoint.as_deref());
    }

    /// The coordinators of what is adopted go on beside its subtasks, or cannot.
    fn let_coordinators_begin(
        &mut self,
        adopted: BTreeMap<usize, RegionTasks>,
        checkpoint: Option<&CompletedCheckpoint>,
    ) {
        let Some(taking_over) = &mut self.taking_over else { return };
        let id = checkpoint.map_or(0, |known| known.id);
        let standing = Standing::new(self.scheduler.graph(), &adopted, &taking_over.reports, id);
        let regions: BTreeSet<usize> = adopted.keys().copied().collect();
        taking_over.decided = Some(adopted);
        let states = |uid: OperatorId| {
            let coordinators = checkpoint.map(|known| &known.metadata.coordinators);
            coordinators.into_iter().flatten().find(|state| state.uid == uid.0[..])
        };
        let mut begun = Vec::new();
        let started = self.start_coordinators(
            &regions,
            id,
            |uid| Some((id, states(uid)?.state.clone())),
            |vertex, uid| {
                let (reply, begins) = oneshot::channel();
                let handled = states(uid).map(|state| state.handled.clone()).unwrap_or_default();
                let (subtasks, runs_on) = standing.of(vertex, uid);
                begun.push((vertex, begins));
                Some((subtasks, RunsOn { handled, begun: Some(reply), ..runs_on }))
            },
        );
        // None is adopted then, and deploying them fails for the same reason.
        if started.is_err() {
            return self.coordinators_begun(&regions);
        }
        let regions = self.scheduler.graph().regions.clone();
        self.spawn(async move {
            let mut failed = BTreeSet::new();
            for (vertex, begins) in begun {
                if begins.await.is_err() {
                    failed.insert(regions[vertex]);
                }
            }
            Completion::CoordinatorsBegun { failed }
        });
    }

    /// It is known which coordinators go on: takes the job over. `failed`: the regions of those that do not.
    pub(super) fn coordinators_begun(&mut self, failed: &BTreeSet<usize>) {
        let Some(taking_over) = self.taking_over.take() else { return };
        let TakingOver { stopped_with, slots, reports, decided, meanwhile, failed_holders, .. } = *taking_over;
        let mut adopted = decided.unwrap_or_default();
        adopted.retain(|region, _| !failed.contains(region));
        self.end_coordinators(failed);
        let checkpoint = stopped_with.clone().or_else(|| self.checkpoints.latest().cloned());

        let left = self.what_is_left(&adopted, &reports, checkpoint.as_deref());
        self.divide_slots(&left, slots, &reports);
        self.scheduler.take_over(left, &mut self.env);
        let adopted: RegionTasks = adopted.into_values().flatten().collect();
        self.tell_adopted(&adopted, &reports, checkpoint.map_or(0, |known| known.id));
        self.go_on_as_decided(stopped_with.as_deref());
        for (id, failure) in failed_holders {
            self.holder_failed(id, failure);
        }
        for message in meanwhile {
            self.hear_of_loss(message);
        }
    }

    fn hear_of_loss(&mut self, message: Message) {
        match message {
            Message::SlotLost { resource_id, allocation } => self.slot_lost(&resource_id, allocation),
            Message::TaskManagerLost { resource_id, registration, failure } => {
                self.task_manager_lost(&resource_id, registration, failure);
            }
            _ => {}
        }
    }

    fn what_is_left(
        &self,
        adopted: &BTreeMap<usize, RegionTasks>,
        reports: &BTreeMap<AttemptId, Reported>,
        checkpoint: Option<&CompletedCheckpoint>,
    ) -> TakenOver {
        let graph = self.scheduler.graph();
        let reported: Vec<ReportedTask> = reports.values().map(|reported| reported.task.clone()).collect();
        let (mut tasks, mut restarting) = (Vec::new(), BTreeSet::new());
        for region in graph.all_regions() {
            match adopted.get(&region) {
                Some(known) => tasks.extend(known.iter().cloned()),
                None => {
                    restarting.insert(region);
                    tasks.extend(last_attempts(graph, region, &reported));
                }
            }
        }
        let known: HashSet<(usize, usize)> = tasks.iter().map(|task| (task.vertex, task.subtask)).collect();
        let mut finished = Vec::new();
        for (vertex, vertices) in graph.vertices.iter().enumerate() {
            let before = |subtask: &usize| {
                !known.contains(&(vertex, *subtask)) && has_finished(checkpoint, graph, vertex, *subtask)
            };
            if adopted.contains_key(&graph.regions[vertex]) {
                finished.extend((0..vertices.subtasks.len()).filter(before).map(|subtask| (vertex, subtask)));
            }
        }
        let newest = reported.iter().map(|task| task.execution).max().unwrap_or_default();
        let tasks: Vec<_> = tasks
            .into_iter()
            .filter_map(|task| reports.get(&task.attempt).map(|reported| (task, reported.slot.clone())))
            .collect();
        tracing::info!(
            job_id = %self.job_id(),
            regions = adopted.len(),
            tasks = tasks.iter().filter(|(task, _)| adopted.contains_key(&graph.regions[task.vertex])).count(),
            restarting = restarting.len(),
            checkpoint_id = checkpoint.map(|known| known.id),
            "job is taken over"
        );
        // A job that was to end does so, and nothing of it begins again.
        if self.recorder.record().decision() != JobDecision::None {
            restarting.clear();
        }
        TakenOver { execution: newest.max(self.recorder.record().execution), tasks, finished, restarting }
    }

    /// Takes the slots of the tasks that are left, gives the others back, and has attempts ended that others have replaced.
    fn divide_slots(
        &mut self,
        left: &TakenOver,
        slots: BTreeMap<AllocationId, JobSlot>,
        reports: &BTreeMap<AttemptId, Reported>,
    ) {
        let kept: HashSet<AllocationId> = left.tasks.iter().map(|(_, slot)| slot.allocation).collect();
        let (taken, others): (Vec<_>, Vec<_>) = slots.into_values().partition(|slot| kept.contains(&slot.allocation));
        self.tell_accepted(&taken);
        // The tasks in them end with that.
        for slot in others {
            self.tell_given_up(&slot.location.resource_id, slot.allocation);
        }
        let known: HashSet<AttemptId> = left.tasks.iter().map(|(task, _)| task.attempt).collect();
        let is_replaced =
            |reported: &&Reported| kept.contains(&reported.slot.allocation) && !known.contains(&reported.task.attempt);
        let replaced = reports.values().filter(is_replaced).map(|reported| (reported.task.attempt, &reported.slot));
        for (registration, location, attempts) in by_task_manager(replaced) {
            self.cancel(location, registration, attempts);
        }
    }

    /// Tells TaskManagers which tasks are taken over, until each has answered or is lost: no checkpoint begins before that.
    fn tell_adopted(
        &mut self,
        tasks: &[ReportedTask],
        reports: &BTreeMap<AttemptId, Reported>,
        completed_checkpoint_id: u64,
    ) {
        let slots = tasks.iter().filter_map(|task| Some((task.attempt, &reports.get(&task.attempt)?.slot)));
        for (registration, location, attempts) in by_task_manager(slots) {
            let request = proto::AdoptTasksRequest {
                fence: self.handle.fence.to_bytes(),
                job_id: self.job_id().to_bytes(),
                attempt_ids: attempts.iter().map(|attempt| attempt.to_bytes()).collect(),
                completed_checkpoint_id,
                first_checkpoint_id: self.checkpoints.next_number(),
            };
            let (executors, timeout) = (self.context.executors.clone(), self.context.rpc_timeout);
            let calls = Attempts::new(self.context.heartbeat_timeout);
            self.adopting += 1;
            self.spawn(async move {
                let result = adopt_tasks(executors, &location, request, attempts, timeout, calls).await;
                Completion::Adopted { location, registration, result }
            });
        }
    }

    /// A TaskManager has told its tasks who leads them, or does not do what it is told.
    pub(super) fn adopted(
        &mut self,
        location: &TaskManagerLocation,
        registration: u64,
        result: Result<Adopted, String>,
    ) {
        self.adopting = self.adopting.saturating_sub(1);
        match result {
            Ok(Adopted { gone, running, reports }) => {
                self.scheduler.attempts_seen(&running, reports);
                self.scheduler.not_running(&location.resource_id, &gone, &mut self.env);
            }
            Err(reason) => {
                let message = format!("TaskManager with id {} does not let tasks be taken over.", location.resource_id);
                let failure = FailureInfo::new(failure::TASK_MANAGER_LOST, message).because(reason);
                self.abandon_task_manager(&location.resource_id, registration, failure);
            }
        }
    }

    /// Does what was decided before.
    fn go_on_as_decided(&mut self, stopped_with: Option<&CompletedCheckpoint>) {
        if let Some(savepoint) = stopped_with {
            self.scheduler.stops_with(savepoint.pointer.clone(), &mut self.env);
        }
        let record = self.recorder.record();
        let (failure, unrecoverable) = (record.failure.clone(), record.unrecoverable);
        match record.decision() {
            JobDecision::None => {}
            JobDecision::Cancel => self.scheduler.cancel(&mut self.env),
            JobDecision::Fail => {
                let cause = failure.map_or_else(was_failing, FailureInfo::from);
                self.scheduler.go_on_failing(cause, unrecoverable, &mut self.env);
            }
        }
    }
}

/// Why a job fails whose record does not say it.
fn was_failing() -> FailureInfo {
    FailureInfo::new(failure::INTERNAL, "The job was failing.")
}

/// Attempts by the registration of the TaskManager that has offered their slots. One that registered later under the same id is another
/// one.
fn by_task_manager<'a>(
    attempts: impl Iterator<Item = (AttemptId, &'a JobSlot)>,
) -> Vec<(u64, Arc<TaskManagerLocation>, Vec<AttemptId>)> {
    let mut grouped: BTreeMap<(&str, u64), (&JobSlot, Vec<AttemptId>)> = BTreeMap::new();
    for (attempt, slot) in attempts {
        let key = (slot.location.resource_id.as_str(), slot.since.registration);
        grouped.entry(key).or_insert_with(|| (slot, Vec::new())).1.push(attempt);
    }
    let told = grouped
        .into_iter()
        .map(|((_, registration), (slot, attempts))| (registration, Arc::clone(&slot.location), attempts));
    told.collect()
}

/// Whether a checkpoint says of a subtask that it had finished. One of another parallelism says nothing of it: what began with that was
/// deployed as a whole.
fn has_finished(
    checkpoint: Option<&CompletedCheckpoint>,
    graph: &ExecutionGraph,
    vertex: usize,
    subtask: usize,
) -> bool {
    let known = checkpoint.and_then(|known| known.metadata.vertices.get(vertex));
    let here = &graph.vertices[vertex];
    let same = known.filter(|known| known.vertex_id == here.id.0[..] && known.subtasks.len() == here.subtasks.len());
    same.is_some_and(|known| known.subtasks[subtask].finished)
}

/// The subtasks of what is adopted, as their coordinators find them.
struct Standing {
    subtasks: BTreeMap<usize, Vec<Subtask>>,
    finished: BTreeMap<usize, Vec<u32>>,
    /// By vertex: the subtask, and what it was sent after the checkpoint's snapshots.
    events: BTreeMap<usize, Vec<(u32, proto::SentEvent)>>,
}

impl Standing {
    fn new(
        graph: &ExecutionGraph,
        adopted: &BTreeMap<usize, RegionTasks>,
        reports: &BTreeMap<AttemptId, Reported>,
        checkpoint: u64,
    ) -> Self {
        let mut standing = Self { subtasks: BTreeMap::new(), finished: BTreeMap::new(), events: BTreeMap::new() };
        let tasks = adopted.values().flatten().map(|task| ((task.vertex, task.subtask), task));
        let tasks: BTreeMap<(usize, usize), &ReportedTask> = tasks.collect();
        for (vertex, known) in graph.vertices.iter().enumerate() {
            if !adopted.contains_key(&graph.regions[vertex]) {
                continue;
            }
            for (subtask, execution) in known.subtasks.iter().enumerate() {
                let number = subtask as u32;
                let task = tasks.get(&(vertex, subtask));
                let reported = task.and_then(|task| reports.get(&task.attempt));
                if task.is_none_or(|task| task.state == ExecutionState::Finished) {
                    standing.finished.entry(vertex).or_default().push(number);
                }
                standing.subtasks.entry(vertex).or_default().push(Subtask {
                    attempt: task.map_or(execution.attempt_id, |task| task.attempt),
                    rpc_address: reported.map_or_else(String::new, |known| known.slot.location.rpc_address.clone()),
                });
                let events = reported.into_iter().flat_map(|known| &known.events);
                let sent_since = events.filter(|event| event.after_checkpoint_id >= checkpoint).cloned();
                standing.events.entry(vertex).or_default().extend(sent_since.map(|event| (number, event)));
            }
        }
        standing
    }

    /// For the coordinator of an operator.
    fn of(&self, vertex: usize, uid: OperatorId) -> (Vec<Subtask>, RunsOn) {
        let events = self.events.get(&vertex).into_iter().flatten();
        let of_operator = events.filter(|(_, event)| event.operator_uid == uid.0[..]);
        let sent: Vec<(u32, Bytes)> = of_operator.map(|(subtask, event)| (*subtask, event.event.clone())).collect();
        let finished = self.finished.get(&vertex).cloned().unwrap_or_default();
        let subtasks = self.subtasks.get(&vertex).cloned().unwrap_or_default();
        (subtasks, RunsOn { sent, finished, ..RunsOn::default() })
    }
}

/// Tells a TaskManager which tasks a JobMaster takes over. An error: it could not be told.
async fn adopt_tasks(
    executors: TaskExecutors,
    location: &TaskManagerLocation,
    message: proto::AdoptTasksRequest,
    attempts: Vec<AttemptId>,
    timeout: Duration,
    mut calls: Attempts,
) -> Result<Adopted, String> {
    loop {
        let mut request = tonic::Request::new(message.clone());
        request.set_timeout(timeout);
        let result = match executors.get(&location.rpc_address) {
            Ok(mut client) => client.adopt_tasks(request).await.map(tonic::Response::into_inner),
            Err(status) => Err(status),
        };
        match result {
            Ok(answer) => {
                let gone = answer.not_running.iter().filter_map(|bytes| AttemptId::from_bytes(bytes));
                let gone: HashSet<AttemptId> = gone.collect();
                let (gone, running) = attempts.into_iter().partition(|attempt| gone.contains(attempt));
                return Ok(Adopted { gone, running, reports: answer.reports });
            }
            Err(status) if calls.are_over(&status) => return Err(describe(&status)),
            Err(_) => tokio::time::sleep(ADOPT_PAUSE).await,
        }
    }
}
