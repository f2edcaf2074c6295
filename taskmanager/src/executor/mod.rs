//! The TaskExecutor: one tokio task that owns the slots, the tasks and what is known of their jobs.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use wiesel_common::config::Configuration;
use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_network::{Event, NetworkEnvironment};
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;
use wiesel_state::backend::StateResources;
use wiesel_state::storage::CheckpointStorage;

use self::registration::Event as RegistrationEvent;
use self::rpc::{Call, Reply};
use self::slot_table::{Answer, SlotTable};
use crate::factory::OperatorFactory;
use crate::task::checkpoint::alignment;
use crate::task::checkpoint::restore::JobState;
use crate::task::deployment::{Deployment, Prepared, Refusal};
use crate::task::mailbox::{Mail, Undelivered};
use crate::task::reporter::{Sender, is_final};
use crate::task::{self, Surroundings, TaskHandle};

pub(crate) mod registration;
pub(crate) mod rpc;
mod slot_table;

/// How often the counters of running tasks are reported.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a call to a JobMaster may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks may take to end when the process stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// How long a registration that is under way is waited for when the process stops.
const REGISTRATION_PATIENCE: Duration = Duration::from_millis(500);

/// What the TaskExecutor is given.
pub(crate) struct Setup {
    pub(crate) configuration: Arc<Configuration>,
    pub(crate) network: Arc<NetworkEnvironment>,
    /// What the state of all tasks shares.
    pub(crate) state: Arc<StateResources>,
    pub(crate) factory: Arc<dyn OperatorFactory>,
    pub(crate) slots: u32,
    pub(crate) slot_timeout: Duration,
    /// How long a cancelled task may go on; none: for ever.
    pub(crate) cancellation_timeout: Option<Duration>,
    /// As it registers.
    pub(crate) identity: proto::RegisterTaskManagerRequest,
    pub(crate) resource_manager_address: String,
    pub(crate) status: watch::Sender<Vec<proto::SlotReport>>,
}

/// The outside's ends.
pub(crate) struct Inbox {
    pub(crate) calls: mpsc::Receiver<(Call, Reply)>,
    pub(crate) registration: mpsc::Receiver<RegistrationEvent>,
    /// The reason to stop.
    pub(crate) stop: mpsc::Receiver<String>,
}

/// What the actor tells itself.
enum Internal {
    OfferAnswered { allocation: AllocationId, accepted: bool },
    TaskEnded { job: JobId, attempt: AttemptId },
}

/// A job that has slots here.
struct Job {
    fence: Bytes,
    client: JobMasterClient<Channel>,
    tasks: HashMap<AttemptId, TaskHandle>,
    /// What the state of its tasks shares, since the first of them came.
    state: Option<JobState>,
    /// A report of the counters is under way.
    reporting: bool,
    /// Tells the reporters of its tasks that the JobMaster is lost.
    lost: Arc<AtomicBool>,
}

/// A request for a slot that is still being given back.
struct Parked {
    request: proto::RequestSlotRequest,
    reply: Reply,
}

/// The actor.
pub(crate) struct TaskExecutor {
    setup: Setup,
    slots: SlotTable,
    jobs: HashMap<JobId, Job>,
    /// Connections to JobManagers, by address.
    channels: HashMap<String, Channel>,
    resource_manager: Option<Bytes>,
    parked: Vec<Parked>,
    cancelling: HashMap<AttemptId, Instant>,
    internal: mpsc::UnboundedSender<Internal>,
    internal_receiver: mpsc::UnboundedReceiver<Internal>,
    /// Calls under way and the reporters of tasks.
    background: JoinSet<Option<JobId>>,
    /// Tasks whose threads have not ended.
    threads: usize,
}

/// Why the actor ended.
pub(crate) enum End {
    /// It was told to.
    Stopped,
    /// The process cannot go on.
    Fatal(String),
}

impl TaskExecutor {
    pub(crate) fn new(setup: Setup) -> Self {
        // What it sends to itself is bounded: one message an offer and one a task.
        let (internal, internal_receiver) = mpsc::unbounded_channel();
        Self {
            slots: SlotTable::new(setup.slots),
            setup,
            jobs: HashMap::new(),
            channels: HashMap::new(),
            resource_manager: None,
            parked: Vec::new(),
            cancelling: HashMap::new(),
            internal,
            internal_receiver,
            background: JoinSet::new(),
            threads: 0,
        }
    }

    /// Handles one message at a time until it is stopped.
    pub(crate) async fn run(mut self, mut inbox: Inbox) -> End {
        self.publish_slots();
        let mut ticks = tokio::time::interval(METRICS_INTERVAL);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some((call, reply)) = inbox.calls.recv() => self.handle_call(call, reply),
                Some(event) = inbox.registration.recv() => match event {
                    RegistrationEvent::Registered { fence } => self.registered(fence),
                    RegistrationEvent::Lost { reason } => self.resource_manager_lost(&reason),
                    RegistrationEvent::GaveUp { reason } => return End::Fatal(reason),
                },
                Some(message) = self.internal_receiver.recv() => self.handle_internal(message),
                Some(ended) = self.background.join_next() => self.background_ended(ended),
                _ = ticks.tick() => {
                    self.report_metrics();
                    if let Some(reason) = self.overdue_cancellation() {
                        return End::Fatal(reason);
                    }
                }
                reason = inbox.stop.recv() => {
                    self.stop(reason.as_deref().unwrap_or("nobody needs it"), &mut inbox.registration).await;
                    return End::Stopped;
                }
            }
        }
    }

    fn handle_call(&mut self, call: Call, reply: Reply) {
        let result = match call {
            Call::RequestSlot(request) => return self.request_slot(request, reply),
            Call::FreeSlot(request) => self.free_slot(&request),
            Call::SubmitTasks(request) => self.submit_tasks(*request),
            Call::CancelTasks(request) => self.cancel_tasks(&request),
            Call::OperatorEvent(event) => self.operator_event(event),
            Call::TriggerCheckpoint(request) => self.trigger_checkpoint(request),
            Call::NotifyCheckpoint(request) => self.notify_checkpoint(&request),
        };
        let _ = reply.send(result);
    }

    fn handle_internal(&mut self, message: Internal) {
        match message {
            Internal::OfferAnswered { allocation, accepted: true } => self.slots.activate(allocation),
            Internal::OfferAnswered { allocation, accepted: false } => {
                // A job that deploys into a slot wants it, whatever became of the answer.
                if self.slots.get(allocation).is_some_and(|held| !held.active) {
                    self.release(allocation, "the JobMaster did not accept the slot");
                }
            }
            Internal::TaskEnded { job, attempt } => self.task_ended(job, attempt),
        }
    }

    fn registered(&mut self, fence: Bytes) {
        if self.resource_manager.as_ref().is_some_and(|known| *known != fence) {
            self.drop_everything("another ResourceManager took over");
        }
        self.resource_manager = Some(fence);
        self.publish_slots();
    }

    /// The ResourceManager counts this TaskManager as lost now, and so do the JobMasters beside it.
    fn resource_manager_lost(&mut self, reason: &str) {
        self.resource_manager = None;
        self.drop_everything(&format!("the JobManager was lost: {reason}"));
        self.channels.clear();
    }

    fn drop_everything(&mut self, reason: &str) {
        for parked in std::mem::take(&mut self.parked) {
            let _ = parked.reply.send(Err(Status::failed_precondition("the ResourceManager changed")));
        }
        self.jobs.values().for_each(|job| job.lost.store(true, Ordering::SeqCst));
        for allocation in self.slots.allocations() {
            self.release(allocation, reason);
        }
    }

    fn check_fence(&self, fence: &Bytes) -> Result<(), Status> {
        if self.resource_manager.as_ref() == Some(fence) {
            return Ok(());
        }
        Err(Status::failed_precondition("this TaskManager is not registered at that ResourceManager (any more)"))
    }

    fn request_slot(&mut self, request: proto::RequestSlotRequest, reply: Reply) {
        let parsed = self.check_fence(&request.fence).and_then(|()| {
            let job = JobId::from_bytes(&request.job_id).ok_or_else(|| Status::invalid_argument("no job id"))?;
            let id = AllocationId::from_bytes(&request.allocation_id)
                .ok_or_else(|| Status::invalid_argument("no allocation id"))?;
            Ok((job, id))
        });
        let result = match parsed {
            Err(status) => Err(status),
            Ok((job, id)) => match self.slots.allocate(request.slot, id, job) {
                Answer::Known => Ok(()),
                Answer::Unknown => Err(Status::invalid_argument(format!("there is no slot {}", request.slot))),
                Answer::Taken => {
                    // The slot is on its way back: the ResourceManager knows that it will be free.
                    self.parked.push(Parked { request, reply });
                    return;
                }
                Answer::Allocated => self.allocated(&request, job, id),
            },
        };
        let _ = reply.send(result);
    }

    fn allocated(&mut self, request: &proto::RequestSlotRequest, job: JobId, id: AllocationId) -> Result<(), Status> {
        let channel = match self.channel(&request.job_master_address) {
            Ok(channel) => channel,
            Err(status) => {
                self.slots.release(id);
                return Err(status);
            }
        };
        let client = JobMasterClient::new(channel);
        let known = self.jobs.entry(job).or_insert_with(|| Job {
            fence: request.job_master_fence.clone(),
            client: client.clone(),
            tasks: HashMap::new(),
            state: None,
            reporting: false,
            lost: Arc::default(),
        });
        if known.fence != request.job_master_fence {
            // A new leader of the job: what the old one deployed is not its.
            known.fence = request.job_master_fence.clone();
            known.client = client.clone();
            known.tasks.values().for_each(TaskHandle::cancel);
        }
        tracing::info!(job_id = %job, slot = request.slot, allocation_id = %id, "slot allocated");
        let identity = &self.setup.identity;
        let offer = proto::OfferSlotsRequest {
            fence: request.job_master_fence.clone(),
            job_id: job.to_bytes(),
            resource_id: identity.resource_id.clone(),
            rpc_address: identity.rpc_address.clone(),
            data_address: identity.data_address.clone(),
            slots: vec![proto::SlotOffer { allocation_id: id.to_bytes(), index: request.slot }],
            hostname: identity.hostname.clone(),
        };
        let (internal, patience) = (self.internal.clone(), self.setup.slot_timeout);
        self.background.spawn(async move {
            let accepted = tokio::time::timeout(patience, offer_slot(client, offer, id)).await.unwrap_or(false);
            let _ = internal.send(Internal::OfferAnswered { allocation: id, accepted });
            None
        });
        self.publish_slots();
        Ok(())
    }

    fn free_slot(&mut self, request: &proto::FreeSlotRequest) -> Result<(), Status> {
        let id = AllocationId::from_bytes(&request.allocation_id)
            .ok_or_else(|| Status::invalid_argument("no allocation id"))?;
        let by_job = self.slots.get(id).and_then(|held| self.jobs.get(&held.job)).map(|job| &job.fence);
        if by_job != Some(&request.fence) {
            self.check_fence(&request.fence)?;
        }
        self.release(id, &request.reason);
        Ok(())
    }

    /// Gives a slot back, after its tasks have ended.
    fn release(&mut self, id: AllocationId, reason: &str) {
        let Some(job) = self.slots.get(id).map(|held| held.job) else { return };
        let Some(tasks) = self.slots.release(id) else { return };
        tracing::info!(job_id = %job, allocation_id = %id, reason, tasks = tasks.len(), "slot released");
        for attempt in tasks {
            self.cancel_task(job, attempt);
        }
        self.slot_changed(job);
    }

    /// A slot may be free now: whoever waits for it gets it, and a job without slots is forgotten.
    fn slot_changed(&mut self, job: JobId) {
        if !self.slots.holds(job) {
            self.jobs.remove(&job);
        }
        for Parked { request, reply } in std::mem::take(&mut self.parked) {
            self.request_slot(request, reply);
        }
        self.publish_slots();
    }

    /// Puts the slots into the next heartbeat. One that became free is worth a heartbeat of its own; one that was taken is
    /// known to the ResourceManager, which took it.
    fn publish_slots(&self) {
        let report = self.slots.report();
        let held = |report: &[proto::SlotReport]| report.iter().filter(|slot| !slot.allocation_id.is_empty()).count();
        self.setup.status.send_if_modified(|known| {
            let freed = held(known) > held(&report);
            *known = report;
            freed
        });
    }

    fn channel(&mut self, address: &str) -> Result<Channel, Status> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Status::invalid_argument(format!("'{address}' is no address: {error}")))?;
        let channel = endpoint.tcp_nodelay(true).connect_timeout(CALL_TIMEOUT).connect_lazy();
        self.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn submit_tasks(&mut self, mut request: proto::SubmitTasksRequest) -> Result<(), Status> {
        let (fence, mut tasks) = (request.fence.clone(), std::mem::take(&mut request.tasks));
        let deployment = Deployment::read(request, &self.setup.configuration).map_err(|error| refuse(&error))?;
        let job_id = deployment.job;
        let fenced = self.jobs.get(&job_id).is_some_and(|job| job.fence == fence);
        // A call that is repeated because its answer was lost.
        let runs = |task: &proto::TaskDeployment| {
            let attempt = AttemptId::from_bytes(&task.attempt_id);
            attempt.is_some_and(|id| self.jobs.get(&job_id).is_some_and(|job| job.tasks.contains_key(&id)))
        };
        tasks.retain(|task| !runs(task));
        for task in &tasks {
            let id = AllocationId::from_bytes(&task.allocation_id);
            let held = id.and_then(|id| self.slots.get(id));
            if !fenced || !held.is_some_and(|held| held.job == job_id && !held.releasing) {
                let id = id.map_or_else(|| "none".to_owned(), |id| id.to_string());
                return Err(refuse(&Refusal::Slot(format!(
                    "No task slot allocated for job ID {job_id} and allocation ID {id}."
                ))));
            }
        }
        let state = self.job_state(&deployment).map_err(|error| refuse(&Refusal::State(error)))?;
        let prepared = deployment.prepare(&tasks, &self.setup.network).map_err(|error| refuse(&error))?;
        prepared.into_iter().try_for_each(|task| self.start_task(&deployment, task, &fence, &state))
    }

    /// Where the job's state is: made for its first task, and kept for as long as it has slots here.
    fn job_state(&mut self, deployment: &Deployment) -> wiesel_state::Result<JobState> {
        let known = self.jobs.get_mut(&deployment.job);
        if let Some(state) = known.as_ref().and_then(|job| job.state.clone()) {
            return Ok(state);
        }
        let configuration = &deployment.configuration;
        let storage = CheckpointStorage::new(configuration, deployment.job)?;
        let backend =
            wiesel_state::backend::backend(configuration, &self.setup.state, storage.clone(), Handle::current())?;
        let state = JobState { storage, backend };
        if let Some(job) = known {
            job.state = Some(state.clone());
        }
        Ok(state)
    }

    fn start_task(
        &mut self,
        deployment: &Deployment,
        task: Prepared,
        fence: &Bytes,
        state: &JobState,
    ) -> Result<(), Status> {
        let (job_id, attempt, allocation) = (deployment.job, task.attempt, task.allocation);
        let Some(job) = self.jobs.get_mut(&job_id) else {
            return Err(Status::failed_precondition("the job has no slot here"));
        };
        let sender = Sender {
            client: job.client.clone(),
            fence: fence.clone(),
            job_id: job_id.to_bytes(),
            attempt_id: attempt.to_bytes(),
            subtask: task.subtask,
            hostname: self.setup.identity.hostname.clone(),
            lost: job.lost.clone(),
        };
        let (runtime, factory) = (Handle::current(), self.setup.factory.clone());
        let surroundings = Surroundings { runtime, sender, factory, state: state.clone() };
        let (internal, background) = (self.internal.clone(), &mut self.background);
        let started = task::start(
            deployment,
            task,
            surroundings,
            |reporting| {
                background.spawn(async move {
                    reporting.await;
                    None
                });
            },
            move || {
                let _ = internal.send(Internal::TaskEnded { job: job_id, attempt });
            },
        );
        let handle = started.map_err(|error| Status::resource_exhausted(format!("no thread for a task: {error}")))?;
        self.slots.add_task(allocation, job_id, attempt);
        self.threads += 1;
        job.tasks.insert(attempt, handle);
        Ok(())
    }

    fn task_ended(&mut self, job: JobId, attempt: AttemptId) {
        self.threads -= 1;
        self.cancelling.remove(&attempt);
        let handle = self.jobs.get_mut(&job).and_then(|job| job.tasks.remove(&attempt));
        if let Some(handle) = handle
            && self.slots.remove_task(handle.allocation, attempt)
        {
            self.slot_changed(job);
        }
    }

    fn cancel_task(&mut self, job: JobId, attempt: AttemptId) {
        if let Some(task) = self.jobs.get(&job).and_then(|job| job.tasks.get(&attempt)) {
            task.cancel();
            self.cancelling.entry(attempt).or_insert_with(Instant::now);
        }
    }

    fn cancel_tasks(&mut self, request: &proto::CancelTasksRequest) -> Result<(), Status> {
        let Some((id, job)) = JobId::from_bytes(&request.job_id).and_then(|id| Some((id, self.jobs.get(&id)?))) else {
            return Ok(());
        };
        if job.fence != request.fence {
            return Err(Status::failed_precondition("another JobMaster leads this job"));
        }
        let attempts: Vec<AttemptId> = if request.attempt_ids.is_empty() {
            job.tasks.keys().copied().collect()
        } else {
            request.attempt_ids.iter().filter_map(|bytes| AttemptId::from_bytes(bytes)).collect()
        };
        for attempt in attempts {
            self.cancel_task(id, attempt);
        }
        Ok(())
    }

    fn operator_event(&mut self, event: proto::OperatorEventToTask) -> Result<(), Status> {
        let job = self.fenced_job(&event.job_id, &event.fence)?;
        let task = AttemptId::from_bytes(&event.attempt_id).and_then(|id| job.tasks.get(&id));
        let task = task.ok_or_else(|| Status::not_found("no such task runs here"))?;
        let said = event.event.ok_or_else(|| Status::invalid_argument("an event that says nothing"))?;
        deliver(task, Mail::OperatorEvent { uid: event.operator_uid, event: said })
    }

    /// The job, if that JobMaster leads it.
    fn fenced_job(&self, job: &Bytes, fence: &Bytes) -> Result<&Job, Status> {
        let job = JobId::from_bytes(job).and_then(|id| self.jobs.get(&id));
        job.filter(|job| job.fence == *fence)
            .ok_or_else(|| Status::failed_precondition("that JobMaster has no tasks here"))
    }

    /// All of the tasks hear of it, or none if one has ended.
    fn trigger_checkpoint(&mut self, request: proto::TriggerCheckpointRequest) -> Result<(), Status> {
        let job = self.fenced_job(&request.job_id, &request.fence)?;
        let barrier = request.barrier.ok_or_else(|| Status::invalid_argument("a trigger without its barrier"))?;
        if barrier.encoded_len() > Event::MAX_OPTIONS {
            return Err(Status::invalid_argument("the target of the savepoint is too long"));
        }
        let barrier = Arc::new(alignment::normalise(barrier));
        let find = |bytes: &Bytes| {
            let task = AttemptId::from_bytes(bytes).and_then(|id| job.tasks.get(&id));
            task.filter(|task| task.reads_mail()).ok_or_else(|| Status::not_found("a task has ended"))
        };
        let tasks = request.attempt_ids.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        tasks.into_iter().try_for_each(|task| deliver(task, Mail::Trigger(barrier.clone())))
    }

    fn notify_checkpoint(&mut self, request: &proto::NotifyCheckpointRequest) -> Result<(), Status> {
        let job = self.fenced_job(&request.job_id, &request.fence)?;
        let completed = request.outcome() == proto::CheckpointOutcome::Completed;
        let tasks = request.attempt_ids.iter().filter_map(|bytes| job.tasks.get(&AttemptId::from_bytes(bytes)?));
        let mut told = Ok(());
        for task in tasks.filter(|task| task.reads_mail()) {
            let mail = Mail::CheckpointEnded { checkpoint: request.checkpoint_id, completed };
            match deliver(task, mail) {
                Err(status) if status.code() != Code::NotFound => told = Err(status),
                _ => {}
            }
        }
        told
    }

    /// A cancelled task that does not end holds its slot for ever: the process gives up, as Flink's does.
    fn overdue_cancellation(&self) -> Option<String> {
        let limit = self.setup.cancellation_timeout?;
        let (attempt, _) = self.cancelling.iter().find(|(_, since)| since.elapsed() > limit)?;
        let task = self.jobs.values().find_map(|job| job.tasks.get(attempt));
        let name = task.map_or_else(|| attempt.to_string(), |task| task.name.clone());
        let place = task.and_then(TaskHandle::waiting_for).unwrap_or("nothing, it computes");
        let seconds = limit.as_secs();
        Some(format!(
            "Task did not exit gracefully within {seconds} seconds (task.cancellation.timeout): {name}, which waits for {place}"
        ))
    }

    fn report_metrics(&mut self) {
        for (id, job) in &mut self.jobs {
            if job.reporting || job.tasks.is_empty() {
                continue;
            }
            let tasks = job.tasks.values().map(|task| proto::AttemptMetrics {
                attempt_id: task.attempt.to_bytes(),
                metrics: Some(task.counters.snapshot()),
            });
            let mut request = tonic::Request::new(proto::TaskMetricsReport {
                fence: job.fence.clone(),
                job_id: id.to_bytes(),
                tasks: tasks.collect(),
            });
            request.set_timeout(CALL_TIMEOUT);
            job.reporting = true;
            let (mut client, id) = (job.client.clone(), *id);
            self.background.spawn(async move {
                if let Err(status) = client.report_task_metrics(request).await {
                    tracing::debug!(job_id = %id, reason = status.message(), "counters could not be reported");
                }
                Some(id)
            });
        }
    }

    fn background_ended(&mut self, ended: Result<Option<JobId>, tokio::task::JoinError>) {
        match ended {
            Ok(Some(job)) => {
                if let Some(job) = self.jobs.get_mut(&job) {
                    job.reporting = false;
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "a background call of the TaskExecutor panicked"),
        }
    }

    async fn stop(&mut self, reason: &str, registration: &mut mpsc::Receiver<RegistrationEvent>) {
        tracing::info!(reason, "the TaskManager stops");
        let failure = proto::Failure {
            message: format!("The TaskManager is shutting down: {reason}"),
            class: "org.apache.flink.util.FlinkException".to_owned(),
            ..proto::Failure::default()
        };
        for task in self.jobs.values().flat_map(|job| job.tasks.values()) {
            task.fail(failure.clone());
        }
        let patience = tokio::time::sleep(STOP_PATIENCE);
        tokio::pin!(patience);
        while self.threads > 0 {
            tokio::select! {
                Some(message) = self.internal_receiver.recv() => self.handle_internal(message),
                Some(_) = self.background.join_next() => {}
                () = &mut patience => break,
            }
        }
        if self.resource_manager.is_none() {
            // A registration may be under way: the ResourceManager would keep a TaskManager that is gone.
            let answer = tokio::time::timeout(REGISTRATION_PATIENCE, registration.recv()).await;
            if let Ok(Some(RegistrationEvent::Registered { fence })) = answer {
                self.resource_manager = Some(fence);
            }
        }
        // The ResourceManager ends the heartbeats when it hears of the leave: that is no reason to register again.
        registration.close();
        if let Some(fence) = self.resource_manager.take() {
            let id = self.setup.identity.resource_id.clone();
            let address = &self.setup.resource_manager_address;
            if let Err(cause) = registration::disconnect(address, fence, id, reason).await {
                tracing::info!(reason = cause, "could not take leave of the ResourceManager");
            }
        }
        self.background.shutdown().await;
    }
}

fn deliver(task: &TaskHandle, mail: Mail) -> Result<(), Status> {
    task.deliver(mail).map_err(|error| match error {
        Undelivered::Full => Status::resource_exhausted(error.to_string()),
        Undelivered::Ended => Status::not_found(error.to_string()),
    })
}

/// What a refused deployment is told: a cause that the JobMaster shows as the tasks' failure.
fn refuse(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Network(wiesel_network::Error::InsufficientBuffers { .. }) => {
            Status::resource_exhausted(refusal.to_string())
        }
        Refusal::Slot(_) => Status::failed_precondition(refusal.to_string()),
        _ => Status::invalid_argument(refusal.to_string()),
    }
}

/// Offers a slot until the JobMaster answers; whether it took it.
async fn offer_slot(mut client: JobMasterClient<Channel>, offer: proto::OfferSlotsRequest, id: AllocationId) -> bool {
    let mut pause = Duration::from_millis(20);
    loop {
        let mut request = tonic::Request::new(offer.clone());
        request.set_timeout(CALL_TIMEOUT);
        match client.offer_slots(request).await {
            Ok(answer) => return answer.into_inner().accepted.iter().any(|accepted| **accepted == id.0),
            Err(status) if is_final(status.code()) => {
                tracing::info!(allocation_id = %id, reason = status.message(), "a slot was not wanted");
                return false;
            }
            Err(status) => {
                tracing::debug!(allocation_id = %id, reason = status.message(), "offering a slot failed, trying again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
        }
    }
}
