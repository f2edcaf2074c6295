//! The checkpoint coordinator: from observed facts to what is to be done, without I/O.
//!
//! ```text
//!  due / asked for ─> Preparing ──enumerators' state──> Triggering ──calls answered──> Waiting ──all states──> Finalizing ─> completed
//!                         └──────────── declined, timed out, a call failed, the job restarts ────────────┘──> failed
//! ```
//!
//! It is told what happened and leaves [`Action`]s to be taken with [`CheckpointCoordinator::take_actions`]. One checkpoint
//! is brought on its way at a time, so that barriers reach every task in the order of their numbers; how many may be under
//! way is configured. Time is in milliseconds of a monotonic clock, and passed in; what people read is told by how far the wall
//! clock is from it.
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use wiesel_common::config::options::checkpointing::{CheckpointRetention, CheckpointingMode, ClaimMode};
use wiesel_common::config::saturating_millis;
use wiesel_common::id::{AttemptId, JobId};
use wiesel_common::keygroup::HASH_VERSION;
use wiesel_proto as proto;
use wiesel_state::storage::{KnownCheckpoints, all_files, files_of_task};

use super::action::{Action, Outcome, Request, Savepoint, Stop};
use super::cleaning::{Cleaned, Cleaning, Garbage};
use super::failure::{CheckpointFailure, FailureCounter, Reason};
use super::options::CheckpointOptions;
use super::pending::{Pending, Stage};
use super::plan::{PlannedTask, TaskRef, plan};
use super::statistics::{CheckpointRecord, CheckpointStatistics, Restored, Status, SubtaskRecord, VertexRecord};
use super::store::{CompletedCheckpoint, CompletedStore};
use crate::jobmaster::execution_graph::ExecutionGraph;
use crate::jobmaster::status::JobStatus;

mod garbage;
mod going_on;

use going_on::Numbers;

/// Requests of users that may wait.
pub const MAX_REQUESTS: usize = 1000;
/// Checkpoints that ended and whose late reports are still told apart.
const MAX_ENDED: usize = 4096;
/// After so many milliseconds the last checkpoint of a job at its end is tried again, if the next one is not due before.
const LAST_RETRY: i64 = 10_000;

/// See the module.
pub struct CheckpointCoordinator {
    options: Arc<CheckpointOptions>,
    job_id: JobId,
    /// Tells this run of the job from all others.
    run: u64,
    next_id: u64,
    numbers: Numbers,
    /// How far the wall clock is ahead of the time that is passed in, in milliseconds.
    wall_offset: i64,
    active: bool,
    /// When the next one is due.
    due: Option<i64>,
    /// One was due and waits for its turn.
    overdue: bool,
    last_end: Option<i64>,
    /// Every task has reached the end of its data: that was seen to.
    at_end: bool,
    /// Tasks wait at that end for a checkpoint, of this number or a later one, until one is complete.
    last_from: Option<u64>,
    requests: VecDeque<Request>,
    pending: BTreeMap<u64, Pending>,
    /// What those that failed were to be; none inside: completed.
    ended: BTreeMap<u64, Option<proto::CheckpointBarrier>>,
    store: CompletedStore,
    /// What the checkpoint names that the job started from.
    restored_files: HashSet<String>,
    /// `shared/` folders of checkpoints that are the job's by its having claimed them.
    claimed: Vec<String>,
    statistics: CheckpointStatistics,
    counter: FailureCounter,
    /// Nothing is to refer to the checkpoint that the job started from, until one is complete.
    full: bool,
    cleaning: Cleaning,
    /// What tasks are yet to be told of checkpoints that are complete.
    completed: Vec<Action>,
    actions: Vec<Action>,
}

impl CheckpointCoordinator {
    /// Of a job that has not begun. `run`: no other run of the job has it.
    pub fn new(job_id: JobId, run: u64, options: Arc<CheckpointOptions>) -> Self {
        Self {
            job_id,
            run,
            next_id: 1,
            numbers: Numbers::all(),
            wall_offset: 0,
            active: false,
            due: None,
            overdue: false,
            last_end: None,
            at_end: false,
            last_from: None,
            requests: VecDeque::new(),
            pending: BTreeMap::new(),
            ended: BTreeMap::new(),
            store: CompletedStore::new(options.retained),
            restored_files: HashSet::new(),
            claimed: Vec::new(),
            statistics: CheckpointStatistics::new(options.history),
            counter: FailureCounter::new(options.tolerable_failures),
            full: false,
            cleaning: Cleaning::default(),
            completed: Vec::new(),
            actions: Vec::new(),
            options,
        }
    }

    /// What is to be done, in order.
    pub fn take_actions(&mut self, now: i64) -> Vec<Action> {
        self.clean(now);
        self.extend_numbers();
        self.tell_of_completed();
        std::mem::take(&mut self.actions)
    }

    /// A task hears that a checkpoint is complete when no call is under way that may tell it to begin another one: calls may
    /// overtake one another. A task at the end of its data that waits for a checkpoint ends when it hears of it. It still takes
    /// its part in what is in its mailbox by then, but another one that began elsewhere would be complete without it, and of
    /// what it leaves to others as it ends they may not have known when they took theirs. The other tasks do not wait for a
    /// TaskManager that does not answer: none of them is at the end of its data, where each checkpoint begins. But if the job
    /// stops with this one, any of them may end.
    fn notify_completed(&mut self, id: u64, tasks: Vec<TaskRef>, stops: bool) {
        let outcome = proto::CheckpointOutcome::Completed;
        let waits = |task: &TaskRef| self.pending.values().any(|pending| pending.may_be_unknown_to(task.attempt));
        // A task that waits for the word on an earlier one hears that first.
        let all_wait = !self.completed.is_empty() || stops;
        let (waiting, others): (Vec<_>, Vec<_>) = tasks.into_iter().partition(|task| all_wait || waits(task));
        let notify = |tasks: Vec<TaskRef>| (!tasks.is_empty()).then_some(Action::Notify { id, outcome, tasks });
        self.actions.extend(notify(others));
        self.completed.extend(notify(waiting));
        self.tell_of_completed();
    }

    /// Those that waited hear of it once no task is being told to begin another one.
    fn tell_of_completed(&mut self) {
        if !self.pending.values().any(Pending::is_being_told) {
            self.actions.append(&mut self.completed);
        }
    }

    /// How far the wall clock is ahead now of the time that is passed in. Of a checkpoint everything is told by where it was
    /// when the checkpoint began, so that its durations are true though the clock is set.
    pub fn wall_clock_is_ahead_by(&mut self, millis: i64) {
        self.wall_offset = millis;
    }

    /// For REST.
    pub fn statistics(&self) -> &CheckpointStatistics {
        &self.statistics
    }

    /// What a restart begins with.
    pub fn latest(&self) -> Option<&Arc<CompletedCheckpoint>> {
        self.store.latest()
    }

    /// Completed checkpoints, oldest first.
    pub fn retained(&self) -> impl Iterator<Item = &Arc<CompletedCheckpoint>> {
        self.store.retained()
    }

    /// The metadata of a checkpoint is being written: whether it is the latest is not known.
    pub fn is_finalizing(&self) -> bool {
        self.pending.values().any(|pending| pending.stage == Stage::Finalizing)
    }

    /// Checkpoints may begin.
    pub fn is_active(&self) -> bool {
        self.active
    }

    /// This run may have written files: a checkpoint or savepoint began, whether it was due or requested.
    fn has_written(&self) -> bool {
        self.statistics.total > 0
    }

    /// There may be a folder of the job that this run has made.
    pub fn has_folder(&self) -> bool {
        self.options.prepares_folder() || self.has_written()
    }

    /// Files may be left, or may yet come, that belong to no checkpoint.
    pub fn is_unclean(&self) -> bool {
        self.is_busy() || self.cleaning.sweep_due().is_some()
    }

    /// The barrier of a checkpoint that tasks take part in.
    pub fn barrier_of(&self, id: u64) -> Option<&proto::CheckpointBarrier> {
        self.pending.get(&id).map(|pending| &pending.barrier)
    }

    /// Whether the job started from a checkpoint that names a file.
    pub fn was_restored(&self, file: &str) -> bool {
        self.restored_files.contains(file)
    }

    /// Something is under way.
    pub fn is_busy(&self) -> bool {
        !self.pending.is_empty() || self.cleaning.is_busy()
    }

    /// The job starts from a checkpoint that its user named.
    pub fn start_from(&mut self, checkpoint: CompletedCheckpoint, claim_mode: ClaimMode) {
        self.next_id = checkpoint.id + 1;
        self.full = claim_mode == ClaimMode::NoClaim;
        self.restored_files = all_files(&checkpoint.metadata);
        self.claimed.clone_from(&checkpoint.claimed);
        self.store.add(Arc::new(checkpoint));
    }

    /// Tasks were given the latest checkpoint.
    pub fn restored(&mut self, now: i64) {
        let Some(latest) = self.store.latest() else { return };
        self.statistics.restored(Restored {
            id: latest.id,
            timestamp: now + self.wall_offset,
            savepoint: latest.metadata.kind() == proto::SnapshotKind::Savepoint,
            external_path: latest.pointer.clone(),
        });
    }

    /// The job runs: checkpoints are due from now on. `random`, in 0..1, spreads the first ones of many jobs.
    pub fn resume(&mut self, now: i64, random: f64) {
        if self.active {
            return;
        }
        self.active = true;
        self.overdue = false;
        self.due = self.options.interval_millis().map(|interval| {
            let pause = saturating_millis(self.options.min_pause);
            now.saturating_add(pause).saturating_add(((interval - pause) as f64 * random) as i64)
        });
    }

    /// The job restarts or ends: what is under way fails, except where the metadata is being written.
    pub fn suspend(&mut self, reason: Reason, now: i64) {
        self.active = false;
        self.due = None;
        self.overdue = false;
        // What runs next has attempts that are new.
        self.at_end = false;
        self.last_from = None;
        let failure = CheckpointFailure::new(reason);
        for request in std::mem::take(&mut self.requests) {
            self.refuse(&request, failure.clone());
        }
        let open = self.pending.iter().filter(|(_, pending)| pending.stage != Stage::Finalizing);
        for id in open.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.abort(id, failure.clone(), now);
        }
        self.collect_garbage(now);
    }

    /// No more checkpoints are due, because the job stops with a savepoint; [`CheckpointCoordinator::start_periodic`] takes
    /// it back.
    pub fn stop_periodic(&mut self) {
        self.due = None;
        self.overdue = false;
    }

    /// Checkpoints are due again.
    pub fn start_periodic(&mut self, now: i64) {
        if self.active && self.due.is_none() {
            let longest = if self.last_from.is_some() { LAST_RETRY } else { i64::MAX };
            self.due = self.options.interval_millis().map(|interval| now.saturating_add(interval.min(longest)));
        }
    }

    /// A caller requests a checkpoint or savepoint.
    pub fn request(&mut self, request: Request, graph: &ExecutionGraph, now: i64) {
        let reason = if !self.active {
            Some(Reason::NotAllRequiredTasksRunning)
        } else if self.requests.len() >= MAX_REQUESTS {
            Some(Reason::TooManyRequests)
        } else {
            None
        };
        match reason {
            Some(reason) => self.refuse(&request, CheckpointFailure::new(reason)),
            None => self.requests.push_back(request),
        }
        self.begin_next(graph, now);
    }

    /// Time has passed.
    pub fn tick(&mut self, graph: &ExecutionGraph, now: i64) {
        let expired = |pending: &Pending| pending.stage != Stage::Finalizing && pending.deadline <= now;
        let late: Vec<u64> = self.pending.iter().filter(|(_, pending)| expired(pending)).map(|(id, _)| *id).collect();
        for id in late {
            self.abort(id, CheckpointFailure::new(Reason::Expired), now);
        }
        if let (Some(due), Some(interval)) = (self.due, self.options.interval_millis())
            && due <= now
        {
            self.overdue = true;
            self.due = Some(due.saturating_add(interval).max(now.saturating_add(1)));
        }
        self.collect_garbage(now);
        self.sweep(now);
        self.note_end(graph);
        self.begin_next(graph, now);
    }

    /// When [`CheckpointCoordinator::tick`] is to be called at the latest.
    pub fn next_tick(&self, now: i64) -> Option<i64> {
        let open = self.pending.values().filter(|pending| pending.stage != Stage::Finalizing);
        // Once it is over, what holds up the next one ends with a fact.
        let pause = self.overdue.then(|| self.earliest_start()).flatten().filter(|pause| *pause > now);
        let sweep = self.cleaning.sweep_due();
        open.map(|pending| pending.deadline).chain(self.due).chain(pause).chain(sweep).min()
    }

    /// When the pause after the last checkpoint is over.
    fn earliest_start(&self) -> Option<i64> {
        self.last_end.map(|end| end.saturating_add(saturating_millis(self.options.min_pause)))
    }

    fn begin_next(&mut self, graph: &ExecutionGraph, now: i64) {
        self.send_triggers();
        while self.may_begin() {
            let Some(request) = self.choose(now) else { return };
            self.begin(request, graph, now);
        }
    }

    fn may_begin(&self) -> bool {
        let starting = |pending: &Pending| matches!(pending.stage, Stage::Preparing | Stage::Triggering);
        self.active && self.numbers.have(self.next_id) && !self.pending.values().any(starting)
    }

    /// Whose turn it is: savepoints whenever they are asked for, then checkpoints as far as they may be under way.
    fn choose(&mut self, now: i64) -> Option<Request> {
        let savepoint = self.requests.iter().position(|request| request.savepoint().is_some());
        if let Some(position) = savepoint {
            return self.requests.remove(position);
        }
        if self.pending.len() >= self.options.max_concurrent {
            return None;
        }
        if let Some(request) = self.requests.pop_front() {
            return Some(request);
        }
        if !self.overdue || self.earliest_start().is_some_and(|earliest| now < earliest) {
            return None;
        }
        self.overdue = false;
        Some(Request::Periodic)
    }

    fn begin(&mut self, request: Request, graph: &ExecutionGraph, now: i64) {
        let Some(tasks) = plan(graph, self.options.after_tasks_finish) else {
            self.statistics.failed_to_begin();
            self.refuse(&request, CheckpointFailure::new(Reason::NotAllRequiredTasksRunning));
            return;
        };
        let id = self.next_id;
        self.next_id += 1;
        self.statistics.began(record(id, &request, &tasks, graph, now + self.wall_offset));
        let asked = matches!(request, Request::Checkpoint { full: true, .. });
        let full = (self.full || asked) && request.savepoint().is_none();
        let deadline = now.saturating_add(saturating_millis(self.options.timeout));
        let barrier = self.barrier(id, &request, full, now);
        self.pending.insert(id, Pending::new(request, barrier, deadline, self.wall_offset));
        self.actions.push(Action::Prepare { id });
    }

    fn barrier(&self, id: u64, request: &Request, full: bool, now: i64) -> proto::CheckpointBarrier {
        let savepoint = request.savepoint();
        let stop = request.stop();
        proto::CheckpointBarrier {
            checkpoint_id: id,
            timestamp: now + self.wall_offset,
            kind: snapshot_kind(request) as i32,
            target: savepoint.map_or_else(String::new, |savepoint| savepoint.target.clone()),
            native_format: savepoint.is_none_or(|savepoint| savepoint.native),
            // A savepoint is of the rows, not of the channels.
            unaligned_allowed: savepoint.is_none() && self.options.unaligned_allowed(),
            alignment_timeout: saturating_millis(self.options.alignment_timeout) as u64,
            at_least_once: savepoint.is_none() && self.options.mode == CheckpointingMode::AtLeastOnce,
            full: full || savepoint.is_some(),
            stop: stop.is_some(),
            drain: stop.is_some_and(|stop| stop.drain),
            completed_checkpoint_id: self.store.latest().map_or(0, |latest| latest.id),
            run: self.run,
        }
    }

    fn refuse(&mut self, request: &Request, failure: CheckpointFailure) {
        if let Some(ticket) = request.ticket() {
            self.actions.push(Action::Answer { ticket, result: Err(failure.clone()) });
        }
        self.actions.push(Action::Failed { id: None, failure });
    }

    /// The enumerators' state is there.
    pub fn prepared(
        &mut self,
        id: u64,
        result: Result<Vec<proto::CoordinatorState>, CheckpointFailure>,
        graph: &ExecutionGraph,
        now: i64,
    ) {
        let coordinators = match result {
            Ok(coordinators) => coordinators,
            Err(failure) => return self.abort_and_go_on(id, failure, graph, now),
        };
        let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.stage == Stage::Preparing) else {
            return;
        };
        let Some(tasks) = plan(graph, self.options.after_tasks_finish) else {
            let failure = CheckpointFailure::new(Reason::NotAllRequiredTasksRunning);
            return self.abort_and_go_on(id, failure, graph, now);
        };
        pending.plan(tasks, graph);
        pending.coordinators = coordinators;
        pending.stage = Stage::Triggering;
        self.send_triggers();
    }

    /// Has tasks told to begin: of one checkpoint at a time, the oldest first. Calls may overtake one another, and a task that
    /// has begun a checkpoint begins no older one.
    fn send_triggers(&mut self) {
        let Some(next) = self.pending.iter().find(|(_, pending)| !pending.to_trigger.is_empty()).map(|(id, _)| *id)
        else {
            return;
        };
        if self.pending.iter().any(|(id, pending)| *id != next && pending.calls > 0) {
            return;
        }
        if let Some(pending) = self.pending.get_mut(&next) {
            pending.calls += 1;
            let (tasks, barrier) = (std::mem::take(&mut pending.to_trigger), pending.barrier.clone());
            self.actions.push(Action::Trigger { tasks, barrier });
        }
    }

    /// A [`Action::Trigger`] is done: every task has it in its mailbox, or has ended.
    pub fn triggered(&mut self, id: u64, result: Result<(), CheckpointFailure>, graph: &ExecutionGraph, now: i64) {
        if let Err(failure) = result {
            return self.abort_and_go_on(id, failure, graph, now);
        }
        let Some(pending) = self.pending.get_mut(&id) else { return };
        pending.calls = pending.calls.saturating_sub(1);
        if pending.stage == Stage::Triggering && pending.calls == 0 {
            pending.stage = Stage::Waiting;
            self.actions.push(Action::Release { id });
        }
        self.complete(id, graph, now);
        self.begin_next(graph, now);
    }

    /// A task hands over its state.
    pub fn acknowledge(
        &mut self,
        id: u64,
        attempt: AttemptId,
        state: &proto::TaskState,
        metrics: proto::CheckpointMetrics,
        graph: &ExecutionGraph,
        now: i64,
    ) {
        if let Some(pending) = self.pending.get_mut(&id) {
            // The same again, or of an attempt that is no part of it: what that has written is found by a sweep.
            if !pending.acknowledge(attempt, state) {
                return self.cleaning.disturbed(now);
            }
            if let Some((vertex, subtask)) = pending.position(attempt) {
                let record = SubtaskRecord { acknowledged: now + pending.wall_offset, metrics };
                self.statistics.acknowledged(id, graph.vertices[vertex].id, subtask, record);
            }
            self.complete(id, graph, now);
            self.begin_next(graph, now);
        } else if let Some(Some(barrier)) = self.ended.get(&id) {
            // Too late. What belongs to a completed checkpoint is in use; of one that is long forgotten nothing is known.
            let garbage = Garbage::Failed { barrier: barrier.clone(), files: files_of_task(state) };
            self.discard([garbage], now);
        }
    }

    /// A task cannot take part.
    pub fn decline(&mut self, id: u64, failure: CheckpointFailure, graph: &ExecutionGraph, now: i64) {
        if self.pending.get(&id).is_some_and(|pending| pending.stage != Stage::Finalizing) {
            self.abort_and_go_on(id, failure, graph, now);
        }
    }

    /// Whether a savepoint that failed was one that the job was to stop with.
    pub fn was_to_stop(&self, id: u64) -> bool {
        matches!(self.ended.get(&id), Some(Some(barrier)) if barrier.stop)
    }

    /// A task has reached the end of its data, and the graph knows.
    ///
    /// Invariant: a task that takes part gets a barrier over some channel, or all its channels end without one; then it begins
    /// because all its producers have ended, or because of this. On a channel that has ended the cut is its end: its producer
    /// takes part as a task that sends nothing more.
    pub fn end_of_data(&mut self, attempt: AttemptId, graph: &ExecutionGraph, now: i64) {
        // One that is still being prepared finds it in the graph.
        for pending in self.pending.values_mut() {
            if matches!(pending.stage, Stage::Triggering | Stage::Waiting) {
                pending.end_of_data(attempt);
            }
        }
        self.note_end(graph);
        self.begin_next(graph, now);
    }

    /// Once every task has reached the end of its data, those that wait for a checkpoint wait for nothing else: one is due at
    /// once, whatever the interval is. Flink triggers one even if no task waits for it.
    fn note_end(&mut self, graph: &ExecutionGraph) {
        if self.at_end || !self.active || !self.options.after_tasks_finish || !graph.is_at_end() {
            return;
        }
        self.at_end = true;
        if graph.awaits_checkpoint() {
            // One under way may have begun before the end of some.
            self.last_from = Some(self.next_id);
            self.overdue |= self.due.is_some();
        }
    }

    /// Not all tasks were told of a completed checkpoint. Those that wait for one at the end of their data, and may not have
    /// heard, learn of it with another.
    pub fn not_notified(&mut self, now: i64) {
        if self.at_end && self.last_from.is_none() {
            self.last_from = Some(self.next_id);
            self.retry_last(now);
        }
    }

    fn retry_last(&mut self, now: i64) {
        let retry = now.saturating_add(LAST_RETRY);
        self.due = self.due.map(|due| due.min(retry));
    }

    /// A task finished. It has reported before what it had to report.
    pub fn task_finished(&mut self, attempt: AttemptId, graph: &ExecutionGraph, now: i64) {
        for id in self.pending.keys().copied().collect::<Vec<_>>() {
            let Some(pending) = self.pending.get_mut(&id) else { continue };
            if !matches!(pending.stage, Stage::Triggering | Stage::Waiting) || pending.has_state_of(attempt) {
                continue;
            }
            if !self.options.after_tasks_finish {
                self.abort(id, CheckpointFailure::new(Reason::NotAllRequiredTasksRunning), now);
                continue;
            }
            pending.ended(attempt, graph);
            self.complete(id, graph, now);
        }
        self.note_end(graph);
        self.begin_next(graph, now);
    }

    fn complete(&mut self, id: u64, graph: &ExecutionGraph, now: i64) {
        let Some(pending) = self.pending.get_mut(&id).filter(|pending| pending.is_complete()) else { return };
        if pending.is_empty() {
            return self.abort(id, CheckpointFailure::new(Reason::NotAllRequiredTasksRunning), now);
        }
        pending.stage = Stage::Finalizing;
        let metadata = Arc::new(proto::CheckpointMetadata {
            checkpoint_id: id,
            timestamp: pending.barrier.timestamp,
            kind: pending.barrier.kind,
            native_format: pending.barrier.native_format,
            job_id: self.job_id.to_bytes(),
            job_name: graph.graph.name.clone(),
            hash_version: u32::from(HASH_VERSION),
            vertices: pending.vertices(&graph.graph),
            coordinators: std::mem::take(&mut pending.coordinators),
            run: self.run,
            claimed: self.claimed.clone(),
            ..Default::default()
        });
        pending.metadata = Some(Arc::clone(&metadata));
        self.actions.push(Action::Finalize { barrier: pending.barrier.clone(), metadata });
    }

    /// The metadata is written, to this folder, or could not be.
    pub fn finalized(
        &mut self,
        metadata: Arc<proto::CheckpointMetadata>,
        result: Result<String, CheckpointFailure>,
        graph: &ExecutionGraph,
        now: i64,
    ) {
        let id = metadata.checkpoint_id;
        let pointer = match result {
            Ok(pointer) => pointer,
            Err(failure) => return self.abort_and_go_on(id, failure, graph, now),
        };
        let Some(pending) = self.pending.get(&id) else { return };
        let newer = self.store.latest().is_some_and(|latest| latest.id > id);
        if newer && pending.request.savepoint().is_none() {
            return self.abort_and_go_on(id, CheckpointFailure::new(Reason::Subsumed), graph, now);
        }
        let Some(pending) = self.pending.remove(&id) else { return };
        self.end(id, None);
        self.last_end = Some(now);
        self.statistics.completed(id, &pointer);
        self.report_completed(id, &pointer);
        if pending.request.savepoint().is_none() {
            self.counter.succeeded(id);
            self.last_from = self.last_from.filter(|from| id < *from);
            self.full &= !pending.barrier.full;
            let pointer = pointer.clone();
            self.store.add(Arc::new(CompletedCheckpoint::of_job(Arc::clone(&metadata), pointer)));
            self.drop_subsumed(id, now);
        }
        // Sinks commit what a restart would not take back: a restart begins with a checkpoint, or with the savepoint that
        // the job ends with, not with any other savepoint.
        if pending.request.savepoint().is_none() || pending.request.stop().is_some() {
            self.actions.push(Action::ReleaseResults(metadata));
            self.notify_completed(id, pending.participants(), pending.request.stop().is_some());
        }
        if let Some(ticket) = pending.request.ticket() {
            self.actions.push(Action::Answer { ticket, result: Ok(Outcome { id, pointer }) });
        }
        self.collect_garbage(now);
        self.begin_next(graph, now);
    }

    fn report_completed(&mut self, id: u64, pointer: &str) {
        let Some(record) = self.statistics.find(id) else { return };
        let (duration, bytes) = (record.duration(0), record.totals().state_size);
        self.actions.push(Action::Completed { id, pointer: pointer.to_owned(), duration, bytes });
    }

    fn drop_subsumed(&mut self, completed: u64, now: i64) {
        let open = |pending: &Pending| pending.stage != Stage::Finalizing && pending.request.savepoint().is_none();
        let older: Vec<u64> =
            self.pending.range(..completed).filter(|(_, pending)| open(pending)).map(|(id, _)| *id).collect();
        for id in older {
            self.abort(id, CheckpointFailure::new(Reason::Subsumed), now);
        }
    }

    fn abort_and_go_on(&mut self, id: u64, failure: CheckpointFailure, graph: &ExecutionGraph, now: i64) {
        self.abort(id, failure, now);
        self.collect_garbage(now);
        self.begin_next(graph, now);
    }

    fn abort(&mut self, id: u64, failure: CheckpointFailure, now: i64) {
        let Some(pending) = self.pending.remove(&id) else { return };
        self.end(id, Some(pending.barrier.clone()));
        self.statistics.failed(id, now + pending.wall_offset, failure.reason.message());
        if matches!(pending.stage, Stage::Preparing | Stage::Triggering) {
            self.actions.push(Action::Release { id });
        }
        if pending.stage != Stage::Preparing {
            let outcome = proto::CheckpointOutcome::Aborted;
            self.actions.push(Action::Notify { id, outcome, tasks: pending.participants() });
            self.cleaning.failed(&pending.barrier, now);
            self.discard([pending.garbage()], now);
        }
        if let Some(ticket) = pending.request.ticket() {
            self.actions.push(Action::Answer { ticket, result: Err(failure.clone()) });
        }
        self.actions.push(Action::Failed { id: Some(id), failure: failure.clone() });
        if self.last_from.is_some_and(|from| id >= from) {
            self.retry_last(now);
        }
        self.count_failure(id, &pending.request, &failure);
    }

    /// Checkpoints count. A savepoint fails for its caller: it may be that only the tasks' machines cannot write to
    /// the folder that was named, and a restart would not change that. Flink counts it where a task failed. No task can go on
    /// from the end of event time, so one that drains the job fails it.
    fn count_failure(&mut self, id: u64, request: &Request, failure: &CheckpointFailure) {
        let fatal = match request.savepoint() {
            None => self.counter.failed(id, failure),
            Some(Savepoint { stop: Some(Stop { drain: true }), .. }) if failure.reason.of_tasks() => {
                Some(failure.info())
            }
            Some(_) => None,
        };
        self.actions.extend(fatal.map(Action::FailJob));
    }

    /// `failed`: what it was to be.
    fn end(&mut self, id: u64, failed: Option<proto::CheckpointBarrier>) {
        self.ended.insert(id, failed);
        if self.ended.len() > MAX_ENDED {
            self.ended.pop_first();
        }
    }

    /// The job is over: what is to be deleted of its checkpoints. `unrecoverable`: it could not go on from one, though that may be
    /// whole: a machine may not have seen the store. Whatever the configuration says, the user may want to try again then.
    pub fn shut_down(&mut self, status: JobStatus, unrecoverable: bool, now: i64) {
        self.suspend(Reason::CoordinatorShutdown, now);
        if !self.outlive(status, unrecoverable) {
            self.store.clear();
            self.collect_garbage(now);
        }
        self.cleaning.finish(self.has_written());
    }

    /// Whether checkpoints outlive the job that ends so.
    pub fn outlive(&self, status: JobStatus, unrecoverable: bool) -> bool {
        match (status, self.options.retention) {
            (JobStatus::Failed, _) if unrecoverable => true,
            (JobStatus::Finished, _) | (_, CheckpointRetention::NoExternalizedCheckpoints) => false,
            (JobStatus::Canceled, retention) => retention == CheckpointRetention::RetainOnCancellation,
            _ => true,
        }
    }
}

fn snapshot_kind(request: &Request) -> proto::SnapshotKind {
    match request.savepoint() {
        Some(_) => proto::SnapshotKind::Savepoint,
        None => proto::SnapshotKind::Checkpoint,
    }
}

fn record(id: u64, request: &Request, tasks: &[PlannedTask], graph: &ExecutionGraph, now: i64) -> CheckpointRecord {
    let vertices = graph.vertices.iter().enumerate().map(|(position, vertex)| {
        let running = tasks.iter().filter(|task| task.vertex == position && !task.has_ended());
        VertexRecord { id: vertex.id, subtasks: running.map(|task| (task.subtask, None)).collect() }
    });
    CheckpointRecord {
        id,
        kind: request.kind(),
        status: Status::InProgress,
        triggered: now,
        vertices: vertices.filter(|vertex| !vertex.subtasks.is_empty()).collect(),
        external_path: String::new(),
        discarded: false,
        failed: 0,
        failure: None,
    }
}

#[cfg(test)]
#[path = "coordinator_tests.rs"]
mod tests;
