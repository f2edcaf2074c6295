//! The JobMaster's task: messages in, the scheduler's actions out.
use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tonic::Status;
use wiesel_common::config::Configuration;
use wiesel_common::id::{AllocationId, AttemptId, JobId, LeaderSessionId, OperatorId};
use wiesel_common::time::Clock;
use wiesel_operators::source::EnumeratorContext;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

use super::collect::{CollectCoordinator, CollectCoordinators};
use super::deployment::{cancel_tasks, submit_tasks};
use super::exception_history::ExceptionHistory;
use super::execution_graph::{JobSlot, TaskManagerLocation};
use super::restart_strategy::RestartStrategy;
use super::scheduler::{Action, Environment, Scheduler, UpdateOutcome};
use super::source_coordinator::{EnumeratorFactory, Reader, SourceCoordinator, SplitRequest};
use super::status::JobStatus;
use super::{JobInfo, JobMasterHandle, Message};
use crate::failure::{self, FailureInfo};
use crate::gateway::TaskExecutors;
use crate::options::JobOptions;
use crate::resourcemanager::{self, ResourceManagerHandle};

/// The shortest time that a TaskManager has to create its tasks: they may wait for network buffers.
const MIN_DEPLOY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a stopping JobManager waits for TaskManagers to take note.
const SUSPEND_TIMEOUT: Duration = Duration::from_secs(2);

/// What all JobMasters share.
#[derive(Clone)]
pub(crate) struct JobMasterContext {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) address: String,
    pub(crate) rpc_timeout: Duration,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) executors: TaskExecutors,
    pub(crate) resource_manager: ResourceManagerHandle,
    pub(crate) collectors: CollectCoordinators,
    pub(crate) enumerators: EnumeratorFactory,
}

/// Something that a JobMaster waited for.
enum Completion {
    Deployed { execution: u32, location: Arc<TaskManagerLocation>, result: Result<(), FailureInfo> },
    Cancelled { location: Arc<TaskManagerLocation>, result: Result<(), String> },
    SlotTimeout { request: u64 },
    RestartDue,
    ClientCheck,
}

struct RealEnvironment {
    clock: Arc<dyn Clock>,
}

impl Environment for RealEnvironment {
    fn now(&self) -> i64 {
        self.clock.now_millis()
    }

    fn random(&mut self) -> f64 {
        let (high, _) = uuid::Uuid::new_v4().as_u64_pair();
        high as f64 / u64::MAX as f64
    }

    fn attempt_id(&mut self) -> AttemptId {
        AttemptId::random()
    }
}

/// See [`super`].
pub(crate) struct JobMaster {
    context: JobMasterContext,
    handle: JobMasterHandle,
    options: JobOptions,
    configuration: Arc<Configuration>,
    receiver: mpsc::UnboundedReceiver<Message>,
    env: RealEnvironment,
    scheduler: Scheduler,
    collectors: Vec<(usize, Arc<CollectCoordinator>)>,
    /// The sources of the current execution. Dropping the set ends them.
    sources: JoinSet<Result<(), FailureInfo>>,
    source_requests: HashMap<OperatorId, mpsc::UnboundedSender<SplitRequest>>,
    /// Calls to TaskManagers.
    completions: JoinSet<Completion>,
    timers: JoinSet<Completion>,
    /// TaskManagers whose tasks are under way, with cancellations that must not overtake them.
    deploying: HashMap<String, (u32, Vec<AttemptId>)>,
    client_expires: Option<i64>,
    terminated: bool,
}

impl JobMaster {
    /// A validated job.
    pub(crate) fn new(
        context: JobMasterContext,
        graph: Arc<proto::JobGraph>,
        job_id: JobId,
        options: JobOptions,
        configuration: Arc<Configuration>,
        submitted_at: i64,
    ) -> (Self, JobMasterHandle) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let handle = JobMasterHandle { job_id, fence: LeaderSessionId::random(), sender };
        let mut env = RealEnvironment { clock: Arc::clone(&context.clock) };
        let strategy = RestartStrategy::new(options.restart.clone());
        let history = ExceptionHistory::new(options.exception_history);
        let scheduler = Scheduler::new(Arc::clone(&graph), job_id, strategy, history, submitted_at, &mut env);
        let mut collectors = Vec::new();
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for operator in &vertex.operators {
                if let (Some(Kind::CollectSink(_)), Some(uid)) = (&operator.kind, OperatorId::from_bytes(&operator.uid))
                {
                    collectors.push((v, context.collectors.create(job_id, uid, options.collect_batch_bytes)));
                }
            }
        }
        let client_expires = options.client_timeout.map(|timeout| submitted_at + timeout.as_millis() as i64);
        let master = Self {
            context,
            handle: handle.clone(),
            options,
            configuration,
            receiver,
            env,
            scheduler,
            collectors,
            sources: JoinSet::new(),
            source_requests: HashMap::new(),
            completions: JoinSet::new(),
            timers: JoinSet::new(),
            deploying: HashMap::new(),
            client_expires,
            terminated: false,
        };
        (master, handle)
    }

    /// Runs the job to its end.
    pub(crate) async fn run(mut self) -> Arc<JobInfo> {
        let job_id = self.handle.job_id;
        tracing::info!(%job_id, name = %self.scheduler.graph().graph.name, "job starts");
        if self.client_expires.is_some() {
            self.after(Duration::from_secs(1), Completion::ClientCheck);
        }
        self.scheduler.start(&mut self.env);
        self.act();
        while !self.terminated {
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    // The dispatcher holds a handle as long as the job is listed.
                    None => self.scheduler.suspend(&mut self.env),
                },
                Some(done) = self.completions.join_next() => match done {
                    Ok(done) => self.completed(done),
                    Err(error) => self.fail(FailureInfo::new(failure::INTERNAL, error.to_string())),
                },
                Some(Ok(due)) = self.timers.join_next() => self.completed(due),
                Some(ended) = self.sources.join_next() => match ended {
                    Ok(Ok(())) => {}
                    Ok(Err(cause)) => self.fail(cause),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => self.fail(FailureInfo::new(failure::INTERNAL, error.to_string())),
                },
            }
            self.act();
        }
        self.finish().await
    }

    async fn finish(mut self) -> Arc<JobInfo> {
        self.sources.abort_all();
        let info = self.describe();
        let keep = info.status == JobStatus::Finished;
        self.context.collectors.job_ended(info.job_id, keep, self.env.now());
        match &info.failure {
            Some(cause) => tracing::error!(job_id = %info.job_id, "job failed: {}", cause.stack_trace().trim_end()),
            None => tracing::info!(job_id = %info.job_id, state = %info.status, "job is over"),
        }
        if info.status == JobStatus::Suspended {
            let wait = async { while self.completions.join_next().await.is_some() {} };
            let _ = tokio::time::timeout(SUSPEND_TIMEOUT, wait).await;
        }
        info
    }

    fn describe(&self) -> Arc<JobInfo> {
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
        })
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::OfferSlots { request, reply } => {
                let _ = reply.send(self.offer_slots(request));
            }
            Message::UpdateTaskState { update, reply } => {
                let _ = reply.send(self.update_task_state(update));
            }
            Message::OperatorEvent { event, reply } => {
                let _ = reply.send(self.operator_event(event));
            }
            Message::Metrics(report) => {
                for task in report.tasks {
                    if let (Some(attempt), Some(metrics)) = (AttemptId::from_bytes(&task.attempt_id), task.metrics) {
                        self.scheduler.task_metrics(attempt, metrics);
                    }
                }
            }
            Message::TaskManagerLost { resource_id, failure } => {
                self.deploying.remove(&resource_id);
                self.scheduler.task_manager_lost(&resource_id, failure, &mut self.env);
            }
            Message::Cancel { reply } => {
                tracing::info!(job_id = %self.handle.job_id, state = %self.scheduler.status(), "asked to cancel");
                self.scheduler.cancel(&mut self.env);
                let _ = reply.send(());
            }
            Message::ClientHeartbeat { expires } => {
                if let Some(known) = &mut self.client_expires {
                    *known = expires;
                }
            }
            Message::Describe { reply } => {
                let _ = reply.send(self.describe());
            }
            Message::Suspend => self.scheduler.suspend(&mut self.env),
        }
    }

    fn offer_slots(&mut self, request: proto::OfferSlotsRequest) -> Result<proto::OfferSlotsResponse, Status> {
        let location = Arc::new(TaskManagerLocation {
            resource_id: request.resource_id,
            rpc_address: request.rpc_address,
            data_address: request.data_address,
            hostname: request.hostname,
        });
        let mut offers = Vec::with_capacity(request.slots.len());
        for slot in &request.slots {
            let allocation = AllocationId::from_bytes(&slot.allocation_id)
                .ok_or_else(|| Status::invalid_argument("an allocation id must have 16 bytes"))?;
            offers.push(JobSlot { allocation, index: slot.index, location: Arc::clone(&location) });
        }
        let offered: Vec<AllocationId> = offers.iter().map(|offer| offer.allocation).collect();
        let accepted = self.scheduler.offer_slots(offers, &mut self.env);
        for allocation in offered.into_iter().filter(|offer| !accepted.contains(offer)) {
            let resource_id = location.resource_id.clone();
            self.context.resource_manager.send(resourcemanager::Message::SlotRefused { resource_id, allocation });
        }
        Ok(proto::OfferSlotsResponse { accepted: accepted.into_iter().map(AllocationId::to_bytes).collect() })
    }

    fn update_task_state(&mut self, update: proto::TaskStateUpdate) -> Result<(), Status> {
        let attempt = AttemptId::from_bytes(&update.attempt_id)
            .ok_or_else(|| Status::invalid_argument("an attempt id must have 16 bytes"))?;
        let state = update.state();
        let failure = update.failure.map(FailureInfo::from);
        match self.scheduler.task_state(attempt, state, failure, update.metrics, &mut self.env) {
            UpdateOutcome::Accepted => Ok(()),
            UpdateOutcome::Unknown if super::execution_graph::is_terminal(state) => Ok(()),
            UpdateOutcome::Unknown => Err(Status::not_found(format!("attempt {attempt} is not current"))),
        }
    }

    fn operator_event(&mut self, event: proto::OperatorEventToCoordinator) -> Result<(), Status> {
        use proto::operator_event_to_coordinator::Event;
        let attempt = AttemptId::from_bytes(&event.attempt_id)
            .ok_or_else(|| Status::invalid_argument("an attempt id must have 16 bytes"))?;
        if self.scheduler.graph().find(attempt).is_none() {
            return Err(Status::not_found(format!("attempt {attempt} is not current")));
        }
        let requests = OperatorId::from_bytes(&event.operator_uid).and_then(|uid| self.source_requests.get(&uid));
        let Some(requests) = requests else {
            return Err(Status::not_found("the operator has no coordinator in this execution"));
        };
        match event.event {
            Some(Event::RequestSplit(request)) => {
                // A coordinator that has ended has reported why.
                let _ = requests.send(SplitRequest { subtask: request.subtask, hostname: request.hostname });
                Ok(())
            }
            None => Err(Status::invalid_argument("an event without content")),
        }
    }

    fn completed(&mut self, done: Completion) {
        match done {
            Completion::Deployed { execution, location, result } => {
                let id = &location.resource_id;
                if self.deploying.get(id).is_some_and(|(current, _)| *current == execution)
                    && let Some((_, attempts)) = self.deploying.remove(id)
                    && !attempts.is_empty()
                {
                    self.cancel(Arc::clone(&location), attempts);
                }
                if let Err(failure) = result {
                    self.scheduler.deployment_failed(execution, &location.resource_id, failure, &mut self.env);
                }
            }
            Completion::Cancelled { location, result: Err(reason) } => {
                let id = &location.resource_id;
                let failure = FailureInfo::new(
                    failure::TASK_MANAGER_LOST,
                    format!("TaskManager with id {id} does not take a cancellation."),
                );
                self.scheduler.task_manager_lost(id, failure.because(reason), &mut self.env);
            }
            Completion::Cancelled { result: Ok(()), .. } => {}
            Completion::SlotTimeout { request } => {
                self.scheduler.slots_timed_out(request, self.options.slot_request_timeout, &mut self.env);
            }
            Completion::RestartDue => self.scheduler.restart_due(&mut self.env),
            Completion::ClientCheck => {
                let expired = self.client_expires.is_some_and(|expires| expires <= self.env.now());
                if expired {
                    tracing::warn!(job_id = %self.handle.job_id, "the client is gone: the job is cancelled");
                    self.client_expires = None;
                    self.scheduler.cancel(&mut self.env);
                } else {
                    self.after(Duration::from_secs(1), Completion::ClientCheck);
                }
            }
        }
    }

    fn fail(&mut self, cause: FailureInfo) {
        self.scheduler.fail(cause, &mut self.env);
    }

    fn spawn(&mut self, completion: impl Future<Output = Completion> + Send + 'static) {
        self.completions.spawn(completion);
    }

    fn after(&mut self, delay: Duration, completion: Completion) {
        self.timers.spawn(async move {
            tokio::time::sleep(delay).await;
            completion
        });
    }

    fn act(&mut self) {
        for action in self.scheduler.take_actions() {
            match action {
                Action::RequireSlots { slots, request } => {
                    let job = self.handle.clone();
                    self.context.resource_manager.send(resourcemanager::Message::RequireSlots { job, slots });
                    self.after(self.options.slot_request_timeout, Completion::SlotTimeout { request });
                }
                Action::ReleaseSlots => {
                    let job = self.handle.job_id;
                    self.context.resource_manager.send(resourcemanager::Message::ReleaseSlots { job });
                }
                Action::Deploy => self.deploy(),
                Action::Cancel { location, attempts } => match self.deploying.get_mut(&location.resource_id) {
                    Some((_, waiting)) => waiting.extend(attempts),
                    None => self.cancel(location, attempts),
                },
                Action::EndExecution => self.end_sources(),
                Action::RestartAfter(delay) => {
                    let cause = self.scheduler.history().entries().next().map(|entry| entry.failure.stack_trace());
                    let cause = cause.unwrap_or_default();
                    tracing::warn!(job_id = %self.handle.job_id, ?delay, "job restarts: {}", cause.trim_end());
                    self.after(delay, Completion::RestartDue);
                }
                Action::Terminated => self.terminated = true,
            }
        }
    }

    fn end_sources(&mut self) {
        self.source_requests.clear();
        self.sources = JoinSet::new();
    }

    fn cancel(&mut self, location: Arc<TaskManagerLocation>, attempts: Vec<AttemptId>) {
        let executors = self.context.executors.clone();
        let (fence, job, timeout) = (self.handle.fence, self.handle.job_id, self.context.rpc_timeout);
        self.spawn(async move {
            let result = cancel_tasks(executors, Arc::clone(&location), fence, job, attempts, timeout).await;
            Completion::Cancelled { location, result }
        });
    }

    fn deploy(&mut self) {
        let execution = self.scheduler.graph().execution;
        self.begin_collectors(execution);
        self.start_sources();
        let locations = self.scheduler.task_managers();
        let requests = self.scheduler.deployments(self.handle.fence.to_bytes(), &self.context.address);
        let timeout = self.context.rpc_timeout.max(MIN_DEPLOY_TIMEOUT);
        for (location, request) in locations.into_iter().zip(requests) {
            self.deploying.insert(location.resource_id.clone(), (execution, Vec::new()));
            let executors = self.context.executors.clone();
            self.spawn(async move {
                let result = submit_tasks(executors, Arc::clone(&location), request, timeout).await;
                Completion::Deployed { execution, location, result }
            });
        }
    }

    fn begin_collectors(&self, execution: u32) {
        for (vertex, collector) in &self.collectors {
            let subtasks = &self.scheduler.graph().vertices[*vertex].subtasks;
            collector.begin(u64::from(execution) + 1, subtasks.iter().map(|subtask| subtask.attempt_id));
        }
    }

    fn start_sources(&mut self) {
        self.end_sources();
        let graph = Arc::clone(&self.scheduler.graph().graph);
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for operator in &vertex.operators {
                let (Some(Kind::Source(spec)), Some(uid)) = (&operator.kind, OperatorId::from_bytes(&operator.uid))
                else {
                    continue;
                };
                let readers = self.readers(v);
                let (sender, requests) = mpsc::unbounded_channel();
                let coordinator = SourceCoordinator {
                    job_id: self.handle.job_id,
                    fence: self.handle.fence,
                    operator: uid,
                    spec: spec.clone(),
                    context: EnumeratorContext {
                        parallelism: vertex.parallelism,
                        configuration: Arc::clone(&self.configuration),
                    },
                    readers,
                    executors: self.context.executors.clone(),
                    factory: Arc::clone(&self.context.enumerators),
                };
                self.source_requests.insert(uid, sender);
                self.sources.spawn(coordinator.run(requests));
            }
        }
    }

    fn readers(&self, vertex: usize) -> Vec<Reader> {
        let subtasks = &self.scheduler.graph().vertices[vertex].subtasks;
        subtasks
            .iter()
            .map(|subtask| Reader {
                attempt: subtask.attempt_id,
                rpc_address: subtask.slot.as_ref().map_or_else(String::new, |slot| slot.location.rpc_address.clone()),
            })
            .collect()
    }
}
