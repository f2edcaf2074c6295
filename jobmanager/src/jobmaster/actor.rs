//! The JobMaster's task: messages in, the scheduler's actions out.
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tonic::Status;
use tracing::Instrument;
use wiesel_common::config::Configuration;
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_common::mailbox::mailbox;
use wiesel_common::random;
use wiesel_common::time::Clock;
use wiesel_expressions::expression::Zone;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;
use wiesel_state::storage::CheckpointStorage;

use super::aftermath::{Aftermath, Ended};
use super::checkpoint::action::Request;
use super::checkpoint::cleaning::Cleaned;
use super::checkpoint::coordinator::CheckpointCoordinator;
use super::checkpoint::failure::CheckpointFailure;
use super::checkpoint::options::CheckpointOptions;
use super::checkpoint::store::Owner;
use super::checkpointing::attempt_of;
use super::claiming::JobClaim;
use super::collect::{CollectCoordinator, CollectCoordinators};
use super::coordinators::Coordinator;
use super::deployment::{Cancelled, NotDeployed, cancel_tasks, submit_share};
use super::deployment_plan::plan_deployment;
use super::deployments::{Deploying, Deployments};
use super::exception_history::ExceptionHistory;
use super::execution_graph::TaskManagerLocation;
use super::failure_log::{FailureLog, counted};
use super::initialization::{Initialized, LeftCheckpoints, initialize};
use super::operator_coordinator_holder::{CoordinatorCalls, CoordinatorFactory, HolderFailure};
use super::record::JobRecorder;
use super::recording::Wanted;
use super::restart_strategy::RestartStrategy;
use super::savepoints::{Stopping, Waiter};
use super::scheduler::{Action, Environment, Scheduler, UpdateOutcome};
use super::slots::WaitForSlots;
use super::source_coordinator::EnumeratorFactory;
use super::status::JobStatus;
use super::taking_over::{Adopted, TakingOver};
use super::{CheckpointInfo, JobInfo, JobMasterHandle, Message};
use crate::failure::{self, FailureInfo};
use crate::gateway::{Attempts, TaskExecutors};
use crate::ha::{RecordError, Version};
use crate::operations::Operations;
use crate::options::JobOptions;
use crate::resourcemanager::{self, ResourceManagerHandle};

/// How many targets of savepoints are tried at once: each holds a thread, and a file system that hangs does not give it back.
const TRIALS_AT_ONCE: usize = 4;
/// How long a stopping JobManager waits for TaskManagers to take note.
pub(super) const SUSPEND_TIMEOUT: Duration = Duration::from_secs(2);

/// What all JobMasters share.
#[derive(Clone)]
pub(crate) struct JobMasterContext {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) address: String,
    pub(crate) rpc_timeout: Duration,
    /// For calls that are not made again.
    pub(crate) single_call_timeout: Duration,
    /// A TaskManager that stands still for so long is lost.
    pub(crate) heartbeat_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    /// In which the JobManager leads.
    pub(crate) epoch: u64,
    /// Tasks that a JobMaster before has deployed go on, if they can.
    pub(crate) adopts_tasks: bool,
    /// The cluster's, for all jobs.
    pub(crate) time_zone: Zone,
    pub(crate) executors: TaskExecutors,
    pub(crate) resource_manager: ResourceManagerHandle,
    pub(crate) collectors: CollectCoordinators,
    pub(crate) operations: Operations,
    pub(crate) enumerators: EnumeratorFactory,
    pub(crate) coordinators: CoordinatorFactory,
    pub(crate) coordinator_calls: CoordinatorCalls,
}

/// Something that a JobMaster waited for.
pub(super) enum Completion {
    Recorded { revision: u64, result: Result<Version, RecordError> },
    Initialized(Result<Box<Initialized>, FailureInfo>),
    CheckpointsFound(Box<LeftCheckpoints>),
    ReportsDue,
    CoordinatorsBegun { failed: BTreeSet<usize> },
    Adopted { location: Arc<TaskManagerLocation>, registration: u64, result: Result<Adopted, String> },
    Claimed(Result<Box<Initialized>, FailureInfo>),
    Deployed { execution: u32, location: Arc<TaskManagerLocation>, result: Result<u64, NotDeployed> },
    Cancelled { location: Arc<TaskManagerLocation>, registration: u64, result: Result<Cancelled, String> },
    SlotTimeout { request: u64 },
    RestartDue { restart: u64 },
    ClientCheck,
    TargetTried { ticket: u64, result: Result<Request, CheckpointFailure> },
    Prepared { id: u64, result: Result<Vec<proto::CoordinatorState>, CheckpointFailure> },
    Triggered { id: u64, result: Result<(), CheckpointFailure> },
    Finalized { metadata: Arc<proto::CheckpointMetadata>, result: Result<String, CheckpointFailure> },
    Notified { checkpoint: u64, location: Arc<TaskManagerLocation>, registration: u64, result: Result<(), String> },
    Discarded(Cleaned),
    Swept(Cleaned),
    CoordinatorsFinished { restart: u64, none_failed: bool },
}

pub(super) struct RealEnvironment {
    clock: Arc<dyn Clock>,
}

impl Environment for RealEnvironment {
    fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    fn monotonic(&self) -> i64 {
        self.clock.monotonic_millis()
    }

    fn random(&mut self) -> f64 {
        random::number() as f64 / u64::MAX as f64
    }

    fn attempt_id(&mut self) -> AttemptId {
        AttemptId::random()
    }
}

/// See [`super`].
pub(crate) struct JobMaster {
    pub(super) context: JobMasterContext,
    pub(super) handle: JobMasterHandle,
    options: JobOptions,
    pub(super) configuration: Arc<Configuration>,
    pub(super) receiver: mpsc::UnboundedReceiver<Message>,
    pub(super) env: RealEnvironment,
    pub(super) scheduler: Scheduler,
    pub(super) checkpoints: CheckpointCoordinator,
    pub(super) checkpoint_options: Arc<CheckpointOptions>,
    pub(super) storage: CheckpointStorage,
    pub(super) job_claim: JobClaim,
    /// Vertices whose maximum parallelism follows from a rule.
    derived_max_parallelism: Vec<bool>,
    /// Callers that wait for a checkpoint or savepoint, by ticket.
    pub(super) waiters: HashMap<u64, Waiter>,
    pub(super) tickets: u64,
    /// Turns to try targets of savepoints.
    pub(super) trials: Arc<Semaphore>,
    pub(super) stopping: Option<Stopping>,
    /// Regions that are deployed once it is known from which checkpoint.
    pub(super) postponed: BTreeSet<usize>,
    pub(super) collectors: Vec<(usize, Arc<CollectCoordinator>)>,
    /// The holders of the coordinators of the current execution. Dropping the set ends them.
    pub(super) holders: JoinSet<Result<(), HolderFailure>>,
    pub(super) coordinators: HashMap<OperatorId, Coordinator>,
    /// Calls to TaskManagers.
    pub(super) completions: JoinSet<Completion>,
    timers: JoinSet<Completion>,
    pub(super) deployments: Deployments,
    client_expires: Option<i64>,
    pub(super) wait_for_slots: WaitForSlots,
    pub(super) failure_log: FailureLog,
    /// The job's record, and what is to be done once that is durable.
    pub(super) recorder: JobRecorder<Wanted>,
    /// Who waits for the job's first record.
    submission: Option<oneshot::Sender<Result<(), String>>>,
    /// Who wants to hear that the job is being cancelled.
    pub(super) cancellations: Vec<oneshot::Sender<()>>,
    /// A JobMaster before has led the job, and it is not decided what becomes of its tasks.
    pub(super) taking_over: Option<Box<TakingOver>>,
    /// Calls under way that tell TaskManagers which tasks the job has taken over.
    pub(super) adopting: usize,
    /// The checkpoints of the record were not found, and the job ends all the same: they stay for the next leader, with the record.
    pub(super) leaves_checkpoints: bool,
    /// The job goes on under another JobMaster, or may.
    pub(super) left: bool,
    pub(super) terminated: bool,
}

impl JobMaster {
    /// A validated job, whose record says the rest. `submission`: told once that is durable.
    pub(crate) fn new(
        context: JobMasterContext,
        graph: Arc<proto::JobGraph>,
        job_id: JobId,
        options: JobOptions,
        configuration: Arc<Configuration>,
        recorder: JobRecorder<Wanted>,
        submission: Option<oneshot::Sender<Result<(), String>>>,
    ) -> Result<(Self, JobMasterHandle), wiesel_state::Error> {
        let storage = CheckpointStorage::new(&configuration, job_id)?;
        let (sender, receiver) = mailbox();
        let handle = JobMasterHandle { job_id, fence: LeaderSessionId::of_epoch(context.epoch), sender };
        let (run, submitted_at) = (recorder.record().run, recorder.record().submitted_at);
        let mut env = RealEnvironment { clock: Arc::clone(&context.clock) };
        let strategy = RestartStrategy::new(options.restart.clone());
        let history = ExceptionHistory::new(options.exception_history);
        let mut scheduler = Scheduler::new(Arc::clone(&graph), job_id, strategy, history, submitted_at, &mut env);
        if options.restart_regions {
            scheduler.restart_regions();
        }
        let checkpoint_options = Arc::new(options.checkpoints.clone());
        let mut collectors = Vec::new();
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for operator in &vertex.operators {
                if let (Some(Kind::CollectSink(_)), Some(uid)) = (&operator.kind, OperatorId::from_bytes(&operator.uid))
                {
                    collectors.push((v, context.collectors.create(job_id, uid, options.collect_batch_bytes)));
                }
            }
        }
        let client_expires = options.client_timeout.map(|timeout| env.monotonic() + timeout.as_millis() as i64);
        let master = Self {
            context,
            handle: handle.clone(),
            options,
            configuration,
            receiver,
            env,
            scheduler,
            checkpoints: CheckpointCoordinator::new(job_id, run, Arc::clone(&checkpoint_options)),
            checkpoint_options,
            storage,
            job_claim: JobClaim::default(),
            derived_max_parallelism: recorder.record().derived_max_parallelism.clone(),
            waiters: HashMap::new(),
            tickets: 0,
            trials: Arc::new(Semaphore::new(TRIALS_AT_ONCE)),
            stopping: None,
            postponed: BTreeSet::new(),
            collectors,
            holders: JoinSet::new(),
            coordinators: HashMap::new(),
            completions: JoinSet::new(),
            timers: JoinSet::new(),
            deployments: Deployments::default(),
            client_expires,
            wait_for_slots: WaitForSlots::default(),
            failure_log: FailureLog::default(),
            recorder,
            submission,
            cancellations: Vec::new(),
            taking_over: None,
            adopting: 0,
            leaves_checkpoints: false,
            left: false,
            terminated: false,
        };
        master.hold_slots();
        Ok((master, handle))
    }

    pub(super) fn job_id(&self) -> JobId {
        self.handle.job_id
    }

    /// The time of the checkpoint coordinator.
    pub(super) fn now(&self) -> i64 {
        self.env.monotonic()
    }

    pub(super) fn random(&mut self) -> f64 {
        self.env.random()
    }

    pub(super) fn status(&self) -> JobStatus {
        self.scheduler.status()
    }

    /// Runs the job to its end.
    pub(crate) async fn run(mut self) -> Ended {
        let job_id = self.handle.job_id;
        tracing::info!(%job_id, name = %self.scheduler.graph().graph.name, "job starts");
        if self.client_expires.is_some() {
            self.after(Duration::from_secs(1), Completion::ClientCheck);
        }
        self.begin();
        self.act();
        while !self.terminated {
            let tick = self.checkpoints.next_tick(self.now());
            let tick = tick.map(|at| Duration::from_millis((at - self.now()).max(0) as u64));
            let next_tick = async {
                match tick {
                    Some(delay) => tokio::time::sleep(delay).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    // The dispatcher holds a handle as long as the job is listed.
                    None => self.suspend(),
                },
                Some(done) = self.completions.join_next() => match done {
                    Ok(done) => self.completed(done),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => self.fail(FailureInfo::new(failure::INTERNAL, error.to_string())),
                },
                () = next_tick => self.checkpoint_tick(),
                Some(Ok(due)) = self.timers.join_next() => self.completed(due),
                Some(ended) = self.holders.join_next_with_id() => self.holder_ended(ended),
            }
            self.act();
        }
        self.finish().await
    }

    /// Begins with a job that was submitted, or goes on with one that has begun.
    fn begin(&mut self) {
        if self.recorder.record().started {
            return self.begin_taking_over();
        }
        if self.ends_before_it_begins() {
            return;
        }
        if let Some(submission) = self.submission.take() {
            self.recorder.queue(Wanted::Submitted(submission));
        }
        self.recorder.queue(Wanted::Initialize);
    }

    pub(super) fn initialize(&mut self) {
        let (storage, options) = (self.storage.clone(), Arc::clone(&self.checkpoint_options));
        let (graph, derived) = (Arc::clone(&self.scheduler.graph().graph), self.derived_max_parallelism.clone());
        self.spawn(
            async move { Completion::Initialized(initialize(storage, options, graph, derived).await.map(Box::new)) },
        );
    }

    pub(super) fn initialized(&mut self, result: Result<Box<Initialized>, FailureInfo>) {
        if self.status() != JobStatus::Initializing {
            return;
        }
        match result.map(|initialized| *initialized) {
            Ok(Initialized { graph, restored: Some(restored) })
                if restored.owner == Owner::Claimed && !self.job_claim.is_made() =>
            {
                self.claim(graph, restored);
            }
            Ok(Initialized { graph, restored }) => {
                self.scheduler.set_graph(graph);
                if let (Some(restored), Some(settings)) = (restored, &self.checkpoint_options.restore) {
                    self.checkpoints.start_from(restored, settings.claim_mode);
                }
                self.note_start();
                self.scheduler.start(&mut self.env);
            }
            Err(cause) => self.scheduler.start_failed(cause, &mut self.env),
        }
    }

    async fn finish(mut self) -> Ended {
        self.holders.abort_all();
        let status = self.status();
        let failure = self.scheduler.failure().cloned();
        self.answer_all(self.job_id(), status, failure.as_ref());
        // What another JobMaster may go on with it sees to itself.
        if !self.left {
            self.clean_up(status).await;
            self.give_up_claim().await;
        }
        let info = self.describe();
        self.context.collectors.job_ended(info.job_id, info.status, self.env.monotonic());
        let left_out = counted(self.failure_log.left_out());
        match &info.failure {
            Some(cause) => {
                tracing::error!(job_id = %info.job_id, left_out, "job failed: {}", cause.stack_trace().trim_end());
            }
            None => tracing::info!(job_id = %info.job_id, state = %info.status, left_out, "job is over"),
        }
        if info.status == JobStatus::Suspended {
            let wait = async { while self.completions.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SUSPEND_TIMEOUT, wait).await;
        }
        let is_over = status.is_globally_terminal() && !self.left;
        if is_over && !self.is_unclean() {
            self.forget_record().await;
        }
        self.receiver.close();
        while self.receiver.try_recv().is_ok() {}
        let aftermath = is_over.then(|| Aftermath::of(self, status)).flatten();
        Ended { info, aftermath }
    }

    pub(super) fn describe(&self) -> Arc<JobInfo> {
        Arc::new(JobInfo {
            job_id: self.handle.job_id,
            status: self.scheduler.status(),
            timestamps: self.scheduler.timestamps().clone(),
            graph: self.scheduler.graph().clone(),
            history: self.scheduler.history().clone(),
            failure: self.scheduler.failure().cloned(),
            last_modification: self.scheduler.last_modification(),
            restart_strategy: self.options.restart.summary(),
            object_reuse: self.options.object_reuse,
            checkpoints: Some(CheckpointInfo {
                options: Arc::clone(&self.checkpoint_options),
                statistics: self.checkpoints.statistics().clone(),
            }),
            slot_shortage: self.scheduler.slot_shortage(),
        })
    }

    /// What follows happens now.
    pub(super) fn look_at_clocks(&mut self) {
        self.checkpoints.wall_clock_is_ahead_by(self.env.now() - self.env.monotonic());
    }

    fn handle(&mut self, message: Message) {
        self.look_at_clocks();
        let Some(message) = self.hear_while_taking_over(message) else { return };
        match message {
            Message::OfferSlots { request, reply } => {
                // A TaskManager that waits no longer may have taken the slot back, or offers it again.
                if !reply.is_closed() {
                    let _ = reply.send(self.offer_slots(request));
                }
            }
            Message::UpdateTaskState { update, reply } => {
                let _ = reply.send(self.update_task_state(update));
            }
            Message::OperatorEvent { event, reply } => {
                let _ = reply.send(self.operator_event(event));
            }
            Message::AcknowledgeCheckpoint { request, reply } => {
                let _ = reply.send(self.acknowledge(request));
            }
            Message::DeclineCheckpoint { request, reply } => {
                let _ = reply.send(self.decline(request));
            }
            Message::EndOfData { request, reply } => {
                let _ = reply.send(self.end_of_data(&request));
            }
            Message::Snapshot { request, promise } => self.snapshot(&request, promise),
            Message::Metrics { report, reply } => {
                // What a TaskManager does not wait for any more was true a while ago, and it says anew what is true.
                if !reply.is_closed() {
                    let _ = reply.send(self.task_manager_report(report));
                }
            }
            Message::SlotsConfirmed { allocations } => self.scheduler.slots_confirmed(&allocations, &mut self.env),
            Message::SlotLost { resource_id, allocation } => self.slot_lost(&resource_id, allocation),
            Message::SlotShortage(shortage) => self.slot_shortage(shortage),
            Message::TaskManagerLost { resource_id, registration, failure } => {
                self.task_manager_lost(&resource_id, registration, failure);
            }
            Message::Cancel { reply } => {
                tracing::info!(job_id = %self.handle.job_id, state = %self.scheduler.status(), "asked to cancel");
                self.cancel_job();
                self.cancellations.push(reply);
            }
            Message::ClientHeartbeat => {
                let timeout = self.options.client_timeout.map(|timeout| timeout.as_millis() as i64);
                if let (Some(known), Some(timeout)) = (&mut self.client_expires, timeout) {
                    *known = self.env.monotonic() + timeout;
                }
            }
            Message::Describe { reply } => {
                // An end that is not in the record may be none under the next leader.
                let info = if self.recorder.is_durable() { self.describe() } else { self.describe_before_end() };
                let _ = reply.send(info);
            }
            Message::Suspend => self.suspend(),
        }
    }

    fn update_task_state(&mut self, update: proto::TaskStateUpdate) -> Result<(), Status> {
        let attempt = attempt_of(&update.attempt_id)?;
        let state = update.state();
        if !super::execution_graph::is_terminal(state) {
            self.scheduler.attempts_seen(&[attempt], update.reports);
        }
        let failure = update.failure.map(FailureInfo::from);
        if let Some(failure) = failure.as_ref().filter(|_| state == proto::ExecutionState::Failed) {
            self.log_failed_task(attempt, failure);
        }
        match self.scheduler.task_state(attempt, state, failure, update.metrics, &mut self.env) {
            UpdateOutcome::Accepted => {
                if state == proto::ExecutionState::Running {
                    self.task_runs(attempt);
                }
                if state == proto::ExecutionState::Finished {
                    self.task_says_no_more(attempt);
                    let now = self.now();
                    self.checkpoints.task_finished(attempt, self.scheduler.graph(), now);
                }
                Ok(())
            }
            UpdateOutcome::Unknown if super::execution_graph::is_terminal(state) => Ok(()),
            UpdateOutcome::Unknown => Err(Status::not_found(format!("attempt {attempt} is not current"))),
        }
    }

    pub(super) fn completed(&mut self, done: Completion) {
        self.look_at_clocks();
        let now = self.now();
        match done {
            Completion::Recorded { revision, result } => self.recorded(revision, result),
            Completion::Initialized(result) => self.initialized(result),
            Completion::CheckpointsFound(left) => self.checkpoints_found(*left),
            Completion::ReportsDue => self.reports_due(),
            Completion::CoordinatorsBegun { failed } => self.coordinators_begun(&failed),
            Completion::Adopted { location, registration, result } => self.adopted(&location, registration, result),
            Completion::Claimed(result) => self.claimed(result),
            Completion::TargetTried { ticket, result } => self.target_tried(ticket, result),
            Completion::Prepared { id, result } => self.checkpoints.prepared(id, result, self.scheduler.graph(), now),
            Completion::Triggered { id, result } => self.checkpoints.triggered(id, result, self.scheduler.graph(), now),
            Completion::Finalized { metadata, result } => {
                self.note_savepoint_to_stop_with(&metadata, &result);
                self.checkpoints.finalized(metadata, result, self.scheduler.graph(), now);
            }
            Completion::Discarded(cleaned) => self.checkpoints.discarded(cleaned, now),
            Completion::Swept(cleaned) => self.checkpoints.swept(cleaned, now),
            Completion::CoordinatorsFinished { restart, none_failed: true } => {
                self.scheduler.coordinators_finished(restart, &mut self.env);
            }
            // The failure of one fails the job, or has.
            Completion::CoordinatorsFinished { none_failed: false, .. } => {}
            Completion::Notified { result: Ok(()), .. } => {}
            Completion::Notified { checkpoint, location, registration, result: Err(reason) } => {
                self.not_notified(checkpoint, &location.resource_id, registration, reason);
            }
            Completion::Deployed { execution, location, result } => self.deployed(execution, &location, result),
            Completion::Cancelled { location, registration, result: Err(reason) } => {
                self.not_cancelled(&location.resource_id, registration, reason);
            }
            Completion::Cancelled { result: Ok(Cancelled { gone, ending, reports }), .. } => {
                self.scheduler.attempts_seen(&ending, reports);
                self.scheduler.tasks_gone(&gone, &mut self.env);
            }
            Completion::SlotTimeout { request } => {
                self.scheduler.slots_timed_out(request, self.options.slot_request_timeout, &mut self.env);
            }
            Completion::RestartDue { restart } => self.scheduler.restart_due(restart, &mut self.env),
            Completion::ClientCheck => {
                let expired = self.client_expires.is_some_and(|expires| expires <= self.env.monotonic());
                if expired {
                    tracing::warn!(job_id = %self.handle.job_id, "the client is gone: the job is cancelled");
                    self.client_expires = None;
                    self.cancel_job();
                } else {
                    self.after(Duration::from_secs(1), Completion::ClientCheck);
                }
            }
        }
    }

    pub(super) fn fail(&mut self, cause: FailureInfo) {
        self.scheduler.fail(cause, &mut self.env);
    }

    /// A TaskManager has its tasks, or the call failed that was to give them to it.
    fn deployed(&mut self, execution: u32, location: &Arc<TaskManagerLocation>, result: Result<u64, NotDeployed>) {
        let Some(done) = self.deployments.end(&location.resource_id, execution) else { return };
        if !done.cancelled.is_empty() {
            self.cancel(Arc::clone(location), done.registration, done.cancelled);
        }
        match result {
            Ok(reports) => self.scheduler.attempts_seen(&done.attempts, reports),
            Err(NotDeployed { failure, missing_slots }) => {
                for allocation in missing_slots {
                    self.give_up(&location.resource_id, allocation);
                }
                self.scheduler.deployment_failed(&done.attempts, failure, &mut self.env);
            }
        }
    }

    pub(super) fn spawn(&mut self, completion: impl Future<Output = Completion> + Send + 'static) -> AbortHandle {
        self.completions.spawn(completion.in_current_span())
    }

    pub(super) fn after(&mut self, delay: Duration, completion: Completion) {
        self.timers.spawn(async move {
            tokio::time::sleep(delay).await;
            completion
        });
    }

    pub(super) fn do_action(&mut self, action: Action) {
        match action {
            Action::RequireSlots { slots, request } => {
                self.wait_for_slots = WaitForSlots::default();
                let job = self.handle.clone();
                self.context.resource_manager.send(resourcemanager::Message::RequireSlots { job, slots });
                self.after(self.options.slot_request_timeout, Completion::SlotTimeout { request });
            }
            Action::NeedNoMoreSlots => {
                let job = self.handle.clone();
                self.context.resource_manager.send(resourcemanager::Message::RequireSlots { job, slots: 0 });
            }
            Action::GiveUpSlots(slots) => {
                slots.iter().for_each(|slot| self.tell_given_up(&slot.location.resource_id, slot.allocation));
            }
            Action::ReleaseSlots => {
                let job = self.handle.job_id;
                self.context.resource_manager.send(resourcemanager::Message::ReleaseSlots { job });
            }
            Action::Deploy { regions } => self.postponed.extend(regions),
            Action::Cancel { location, registration, attempts } => {
                self.cancel_after_deployment(location, registration, attempts);
            }
            Action::EndExecution { regions } => self.end_coordinators(&regions),
            Action::FinishCoordinators { restart } => self.finish_coordinators(restart),
            Action::RestartAfter { delay, restart } => {
                self.log_restart(delay);
                self.after(delay, Completion::RestartDue { restart });
            }
            // What was decided since then is in the record as well before the job is over: nobody writes it any more.
            Action::Terminated => {
                self.terminated |= self.recorder.is_durable_or_awaited(Wanted::Scheduler(Action::Terminated));
            }
        }
    }

    /// A cancellation must not overtake its task.
    fn cancel_after_deployment(
        &mut self,
        location: Arc<TaskManagerLocation>,
        registration: u64,
        attempts: Vec<AttemptId>,
    ) {
        let (postponed, attempts): (Vec<_>, Vec<_>) = attempts.into_iter().partition(|attempt| {
            let graph = self.scheduler.graph();
            graph.find(*attempt).is_some_and(|(vertex, _)| self.postponed.contains(&graph.regions[vertex]))
        });
        for attempt in postponed {
            let canceled = proto::ExecutionState::Canceled;
            self.scheduler.task_state(attempt, canceled, None, None, &mut self.env);
        }
        let attempts = self.deployments.hold_back(&location.resource_id, attempts);
        if !attempts.is_empty() {
            self.cancel(location, registration, attempts);
        }
    }

    pub(super) fn cancel(&mut self, location: Arc<TaskManagerLocation>, registration: u64, attempts: Vec<AttemptId>) {
        let executors = self.context.executors.clone();
        let (fence, job, timeout) = (self.handle.fence, self.handle.job_id, self.context.rpc_timeout);
        let calls = Attempts::new(self.context.heartbeat_timeout);
        self.spawn(async move {
            let result = cancel_tasks(executors, Arc::clone(&location), fence, job, attempts, timeout, calls).await;
            Completion::Cancelled { location, registration, result }
        });
    }

    /// Runs the tasks of some regions, from the latest checkpoint if there is one.
    pub(super) fn deploy(&mut self, regions: &BTreeSet<usize>) {
        let restore = match self.restore(regions) {
            Ok(restore) => restore,
            Err(cause) => return self.scheduler.not_deployed(regions, cause, &mut self.env),
        };
        let execution = self.scheduler.graph().execution;
        self.begin_collectors(regions, execution);
        let from = restore.as_ref().map_or(0, |(checkpoint, _)| *checkpoint);
        let of_coordinator = |uid| Self::coordinator_state(restore.as_ref(), uid);
        if let Err(cause) = self.start_coordinators(regions, from, of_coordinator, |_, _| None) {
            return self.scheduler.not_deployed(regions, cause, &mut self.env);
        }
        let state = |vertex: usize, subtask: usize| {
            let (checkpoint_id, assignment) = restore.as_ref()?;
            let state = assignment.tasks[vertex][subtask].clone();
            Some(proto::TaskRestore { checkpoint_id: *checkpoint_id, state: Some(state) })
        };
        let fence = self.handle.fence.to_bytes();
        let (shared, shares) = plan_deployment(self.scheduler.graph(), regions, fence, &self.context.address, &state);
        let timeout = self.context.single_call_timeout;
        for share in shares {
            let location = Arc::clone(&share.location);
            let attempts = share.tasks.iter().filter_map(|task| AttemptId::from_bytes(&task.attempt_id));
            let attempts: Vec<AttemptId> = attempts.collect();
            let registration = self.scheduler.graph().registration_of(&attempts);
            let resource_id = location.resource_id.clone();
            let (executors, turns, shared) =
                (self.context.executors.clone(), self.deployments.turns(), Arc::clone(&shared));
            let call = self.spawn(async move {
                // Never closed: an error would let it go on all the same.
                let _turn = turns.acquire().await;
                let result = submit_share(&executors, &shared, share, timeout).await;
                Completion::Deployed { execution, location, result }
            });
            let deploying = Deploying { execution, registration, attempts, call, cancelled: Vec::new() };
            self.deployments.begin(&resource_id, deploying);
        }
    }

    fn begin_collectors(&self, regions: &BTreeSet<usize>, execution: u32) {
        let graph = self.scheduler.graph();
        for (vertex, collector) in
            self.collectors.iter().filter(|(vertex, _)| regions.contains(&graph.regions[*vertex]))
        {
            let subtasks = &graph.vertices[*vertex].subtasks;
            collector.begin(u64::from(execution) + 1, subtasks.iter().map(|subtask| subtask.attempt_id));
        }
    }
}
