//! The TaskExecutor: one tokio task that owns the slots, the tasks and what is known of their jobs.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::id::{AllocationId, AttemptId, JobId, LeaderSessionId};
use wiesel_common::mailbox::mailbox;
use wiesel_common::rpc::{Channel, Connector};
use wiesel_network::Event;
use wiesel_operators::coordinator::MAX_EVENT_TO_SUBTASK;
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;

use self::job::{Job, Task, origin};
use self::registration::Event as RegistrationEvent;
use self::rpc::{Call, Reply};
use self::slot_table::{Answer, SlotTable};
use self::without_leader::Search;
use crate::leader::{JobMaster, LeaderWatch};
use crate::runner::{JobMasterLink, Launch, RunningTask, TaskRunner};
use crate::task::checkpoint::alignment;
use crate::task::mailbox::{Mail, Undelivered};

mod job;
mod offers;
pub(crate) mod registration;
pub(crate) mod rpc;
mod slot_table;
#[cfg(test)]
mod tests;
mod without_leader;
#[cfg(test)]
mod without_leader_tests;

/// How often the counters of running tasks are reported.
const METRICS_INTERVAL: Duration = Duration::from_secs(1);
/// How long a call to a JobMaster may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long tasks may take to end when the process stops.
const STOP_PATIENCE: Duration = Duration::from_secs(2);
/// How long it is remembered that an attempt was cancelled that had not come. A cancellation that overtakes a deployment, over
/// another connection, is read within moments of it: a process that stood still meanwhile reads both when it goes on.
const TAKEN_BACK_FOR: Duration = Duration::from_secs(600);
/// How long a registration that is under way is waited for when the process stops.
const REGISTRATION_PATIENCE: Duration = Duration::from_millis(500);

/// What the TaskExecutor is given.
pub(crate) struct Setup {
    pub(crate) runner: Arc<dyn TaskRunner>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) slots: u32,
    pub(crate) slot_timeout: Duration,
    /// How long a cancelled task may go on; none: for ever.
    pub(crate) cancellation_timeout: Option<Duration>,
    /// How long tasks go on without a JobMaster; zero: they end when it is lost.
    pub(crate) tasks_without_leader: Duration,
    /// As it registers.
    pub(crate) identity: proto::RegisterTaskManagerRequest,
    /// Of the ResourceManager that it was last registered with; as long as there was none, of the configured one.
    pub(crate) resource_manager_address: String,
    pub(crate) status: watch::Sender<SlotStatus>,
}

/// What is true of the slots, for heartbeats.
#[derive(Clone, Debug, Default)]
pub(crate) struct SlotStatus {
    pub(crate) slots: Vec<proto::SlotReport>,
    pub(crate) version: u64,
}

/// The outside's ends.
pub(crate) struct Inbox {
    pub(crate) calls: mpsc::Receiver<Call>,
    pub(crate) registration: mpsc::Receiver<RegistrationEvent>,
    /// The reason to stop.
    pub(crate) stop: mpsc::Receiver<String>,
}

/// What the actor tells itself.
enum Internal {
    OfferAnswered {
        allocation: AllocationId,
        accepted: bool,
    },
    TaskEnded {
        job: JobId,
        attempt: AttemptId,
    },
    /// The JobMaster with this fence has answered a report of counters.
    Reported {
        job: JobId,
        fence: Bytes,
        answer: proto::TaskMetricsResponse,
    },
    /// The ResourceManager has said who leads some jobs; none: it could not be asked.
    Searched {
        search: Search,
        found: Option<Vec<proto::JobMasterLocation>>,
    },
}

/// The actor.
pub(crate) struct TaskExecutor {
    setup: Setup,
    slots: SlotTable,
    jobs: HashMap<JobId, Job>,
    /// Connections to JobManagers, by address.
    channels: HashMap<String, Channel>,
    resource_manager: Option<Bytes>,
    /// The number of the last registration, which what is said of the slots belongs to.
    registration: u64,
    /// How many reports of counters were made. A JobMaster that gets it beside a task's state knows which reports are later.
    reports: Arc<AtomicU64>,
    /// Slots that are on offer to their jobs.
    offers: HashMap<AllocationId, AbortHandle>,
    cancelling: HashMap<AttemptId, Instant>,
    /// The ResourceManager is being asked who leads jobs.
    searching: bool,
    internal: mpsc::UnboundedSender<Internal>,
    internal_receiver: mpsc::UnboundedReceiver<Internal>,
    /// Calls under way and the reporters of tasks.
    background: JoinSet<()>,
    /// Tasks whose threads have not ended.
    threads: usize,
}

/// Why the actor ended.
pub enum End {
    /// It was told to.
    Stopped,
    /// The process cannot go on.
    Fatal(String),
}

impl TaskExecutor {
    pub(crate) fn new(setup: Setup) -> Self {
        // What it sends to itself is bounded: one message an offer, one a task, one a report and one for all jobs that wait.
        let (internal, internal_receiver) = mailbox();
        Self {
            slots: SlotTable::new(setup.slots),
            setup,
            jobs: HashMap::new(),
            channels: HashMap::new(),
            resource_manager: None,
            registration: 0,
            reports: Arc::default(),
            offers: HashMap::new(),
            cancelling: HashMap::new(),
            searching: false,
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
                Some(call) = inbox.calls.recv() => self.handle_call(call),
                Some(event) = inbox.registration.recv() => match event {
                    RegistrationEvent::Registered { address, fence, registration } => {
                        self.setup.resource_manager_address = address;
                        self.registered(fence, registration);
                    }
                    RegistrationEvent::Lost { reason } => self.resource_manager_lost(&reason),
                    RegistrationEvent::GaveUp { reason } => return End::Fatal(reason),
                },
                Some(message) = self.internal_receiver.recv() => self.handle_internal(message),
                Some(ended) = self.background.join_next() => self.background_ended(ended),
                _ = ticks.tick() => {
                    self.report_metrics();
                    self.note_ending();
                    self.forget_taken_back(Instant::now());
                    self.attend_to_waiting();
                    if let Some(reason) = self.overdue_cancellation() {
                        return End::Fatal(reason);
                    }
                }
                reason = inbox.stop.recv() => {
                    self.stop(reason.as_deref().unwrap_or("its handle was dropped"), &mut inbox.registration).await;
                    return End::Stopped;
                }
            }
        }
    }

    /// Does what is asked, unless the caller has gone: it has drawn its conclusions, and asks again if it still wants it.
    fn handle_call(&mut self, call: Call) {
        match call {
            Call::RequestSlot(request, reply) => answer(reply, || self.request_slot(&request)),
            Call::FreeSlot(request, reply) => answer(reply, || self.free_slot(&request)),
            Call::SubmitTasks(request, reply) => answer(reply, || self.submit_tasks(*request)),
            Call::CancelTasks(request, reply) => answer(reply, || self.cancel_tasks(&request)),
            Call::OperatorEvent(event, reply) => answer(reply, || self.operator_event(event)),
            Call::TriggerCheckpoint(request, reply) => answer(reply, || self.trigger_checkpoint(request)),
            Call::NotifyCheckpoint(request, reply) => answer(reply, || self.notify_checkpoint(&request)),
            Call::AdoptTasks(request, reply) => answer(reply, || self.adopt_tasks(&request)),
        }
    }

    fn handle_internal(&mut self, message: Internal) {
        match message {
            Internal::OfferAnswered { allocation, accepted } => self.offer_answered(allocation, accepted),
            Internal::TaskEnded { job, attempt } => self.task_ended(job, attempt),
            Internal::Reported { job, fence, answer } => self.reported(job, &fence, &answer),
            Internal::Searched { search, found } => self.searched(search, found),
        }
    }

    fn registered(&mut self, fence: Bytes, registration: u64) {
        if self.resource_manager.as_ref().is_some_and(|known| *known != fence) {
            self.leaders_lost("another ResourceManager took over");
        }
        self.resource_manager = Some(fence);
        self.registration = registration;
        self.publish_slots();
        self.find_job_masters();
    }

    /// The ResourceManager counts this TaskManager as lost now, and so do the JobMasters beside it.
    fn resource_manager_lost(&mut self, reason: &str) {
        self.resource_manager = None;
        self.leaders_lost(&format!("the JobManager was lost: {reason}"));
        self.channels.clear();
    }

    fn drop_everything(&mut self, reason: &str) {
        self.jobs.values_mut().for_each(Job::abandon);
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

    /// Gives a slot to a job if no job holds it, and says what is true of all.
    fn request_slot(&mut self, request: &proto::RequestSlotRequest) -> Result<proto::RequestSlotResponse, Status> {
        self.check_fence(&request.fence)?;
        let job = JobId::from_bytes(&request.job_id).ok_or_else(|| Status::invalid_argument("no job id"))?;
        let id = AllocationId::from_bytes(&request.allocation_id)
            .ok_or_else(|| Status::invalid_argument("no allocation id"))?;
        self.check_job_master(job, &request.job_master_fence)?;
        // It may be known by this before the answer to the question for it comes.
        self.job_master_found(job, request.job_master_fence.clone(), &request.job_master_address);
        let granted = match self.slots.allocate(request.slot, id, job) {
            Answer::Known => true,
            Answer::Taken => false,
            Answer::Unknown => return Err(Status::invalid_argument(format!("there is no slot {}", request.slot))),
            Answer::Allocated => {
                self.allocated(request, job, id)?;
                true
            }
        };
        Ok(proto::RequestSlotResponse {
            granted,
            slots: self.slots.report(),
            slots_version: self.slots.version(),
            registration: self.registration,
        })
    }

    /// Refuses a slot to a JobMaster that has been superseded: one of a later epoch leads the job.
    fn check_job_master(&self, job: JobId, fence: &[u8]) -> Result<(), Status> {
        let epoch = |fence: &[u8]| LeaderSessionId::from_bytes(fence).map(LeaderSessionId::epoch);
        let given = epoch(fence).ok_or_else(|| Status::invalid_argument("a JobMaster's session id has 16 bytes"))?;
        let known = self.jobs.get(&job).and_then(|known| epoch(&known.master.fence)).unwrap_or_default();
        if given >= known {
            return Ok(());
        }
        let message = format!("the JobMaster of epoch {given} has been superseded by one of epoch {known}");
        Err(Status::failed_precondition(message))
    }

    fn allocated(&mut self, request: &proto::RequestSlotRequest, job: JobId, id: AllocationId) -> Result<(), Status> {
        let channel = match self.channel(&request.job_master_address) {
            Ok(channel) => channel,
            Err(status) => {
                self.slots.release(id);
                return Err(status);
            }
        };
        let master = JobMaster { client: JobMasterClient::new(channel), fence: request.job_master_fence.clone() };
        let known = self.jobs.entry(job).or_insert_with(|| Job::new(master.clone()));
        let mut superseded = Vec::new();
        if known.master.fence != master.fence {
            // A new leader of the job: what the old one deployed is not its.
            superseded.extend(known.tasks.keys().copied());
            known.lead_anew(master);
        } else if known.is_abandoned {
            // The same, over a new connection.
            known.lead_anew(master);
        }
        for attempt in superseded {
            self.cancel_task(job, attempt);
        }
        tracing::info!(job_id = %job, slot = request.slot, allocation_id = %id, "slot allocated");
        self.offer(job, id, request.slot, self.setup.slot_timeout);
        self.publish_slots();
        Ok(())
    }

    fn free_slot(&mut self, request: &proto::FreeSlotRequest) -> Result<(), Status> {
        let id = AllocationId::from_bytes(&request.allocation_id)
            .ok_or_else(|| Status::invalid_argument("no allocation id"))?;
        let by_job = self
            .slots
            .get(id)
            .and_then(|held| self.jobs.get(&held.job))
            .is_some_and(|job| job.is_led_by(&request.fence));
        if !by_job {
            self.check_fence(&request.fence)?;
        }
        self.release(id, &request.reason);
        Ok(())
    }

    /// Gives a slot back, after its tasks have ended. No job is to take it any more.
    fn release(&mut self, id: AllocationId, reason: &str) {
        let Some(job) = self.slots.get(id).map(|held| held.job) else { return };
        if let Some(offer) = self.offers.remove(&id) {
            offer.abort();
        }
        let Some(tasks) = self.slots.release(id) else { return };
        tracing::info!(job_id = %job, allocation_id = %id, reason, tasks = tasks.len(), "slot released");
        for attempt in tasks {
            self.cancel_task(job, attempt);
            self.end_wait_of(job, attempt);
        }
        self.slot_changed(job);
    }

    /// A slot may be free now: a job without slots is forgotten.
    fn slot_changed(&mut self, job: JobId) {
        if !self.slots.holds(job) {
            self.jobs.remove(&job);
            self.setup.runner.forget(job);
        }
        self.publish_slots();
    }

    /// Puts the slots into the next heartbeat. One that became free is worth a heartbeat of its own; one that was taken is
    /// known to the ResourceManager, which took it.
    fn publish_slots(&self) {
        let status = SlotStatus { slots: self.slots.report(), version: self.slots.version() };
        let taken = |slots: &[proto::SlotReport]| slots.iter().filter(|slot| !slot.allocation_id.is_empty()).count();
        self.setup.status.send_if_modified(|known| {
            let freed = taken(&known.slots) > taken(&status.slots) || known.slots.is_empty();
            *known = status;
            freed
        });
    }

    fn channel(&mut self, address: &str) -> Result<Channel, Status> {
        if let Some(channel) = self.channels.get(address) {
            return Ok(channel.clone());
        }
        let channel = self.setup.connector.connect(address)?;
        self.channels.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }

    fn submit_tasks(&mut self, mut request: proto::SubmitTasksRequest) -> Result<proto::SubmitTasksResponse, Status> {
        let job_id = request.graph.as_ref().and_then(|graph| JobId::from_bytes(&graph.job_id));
        let job_id = job_id.ok_or_else(|| Status::invalid_argument("a deployment without a job's id"))?;
        let job = self.jobs.get(&job_id).filter(|job| job.is_led_by(&request.fence));
        // A call that is repeated because its answer was lost.
        let runs = |task: &proto::TaskDeployment| {
            let attempt = AttemptId::from_bytes(&task.attempt_id);
            attempt.is_some_and(|id| job.is_some_and(|job| job.tasks.contains_key(&id)))
        };
        request.tasks.retain(|task| !runs(task));
        // A call that was overtaken by its cancellation: the JobMaster has given it up, and been told that nothing runs here.
        let taken_back = |task: &proto::TaskDeployment| {
            let attempt = AttemptId::from_bytes(&task.attempt_id);
            attempt.is_some_and(|id| job.is_some_and(|job| job.taken_back.contains_key(&id)))
        };
        if request.tasks.iter().any(taken_back) {
            return Err(Status::aborted("a task was cancelled before it came"));
        }
        let holds = |task: &&proto::TaskDeployment| {
            let held = AllocationId::from_bytes(&task.allocation_id).and_then(|id| self.slots.get(id));
            job.is_some() && held.is_some_and(|held| held.job == job_id && !held.releasing)
        };
        let missing: BTreeSet<Bytes> =
            request.tasks.iter().filter(|task| !holds(task)).map(|task| task.allocation_id.clone()).collect();
        if let Some(first) = missing.first() {
            let id = AllocationId::from_bytes(first).map_or_else(|| "none".to_owned(), |id| id.to_string());
            let message = format!("No task slot allocated for job ID {job_id} and allocation ID {id}.");
            let details = proto::MissingSlots { allocation_ids: missing.into_iter().collect() }.encode_to_vec();
            return Err(Status::with_details(Code::FailedPrecondition, message, details.into()));
        }
        self.start_tasks(job_id, request)?;
        Ok(proto::SubmitTasksResponse { reports: self.reports.load(Ordering::Relaxed) })
    }

    fn start_tasks(&mut self, job_id: JobId, request: proto::SubmitTasksRequest) -> Result<(), Status> {
        let Some(job) = self.jobs.get_mut(&job_id) else {
            return Err(Status::failed_precondition("the job has no slot here"));
        };
        let master = JobMasterLink {
            master: job.master.clone(),
            leaders: parking_lot::Mutex::default(),
            job: job_id,
            hostname: self.setup.identity.hostname.clone(),
            task_manager: self.setup.identity.resource_id.clone(),
            reports: self.reports.clone(),
        };
        let id = |task: &proto::TaskDeployment| AttemptId::from_bytes(&task.attempt_id);
        let origins = request.tasks.iter().filter_map(|task| Some((id(task)?, origin(&request, task))));
        let mut origins: HashMap<AttemptId, proto::TaskReport> = origins.collect();
        let (internal, background) = (self.internal.clone(), &mut self.background);
        let mut started = Vec::with_capacity(request.tasks.len());
        let outcome = self.setup.runner.start(
            request,
            Launch {
                master: &master,
                started: &mut started,
                spawn: &mut |future| {
                    background.spawn(future);
                },
                ended: Arc::new(move |attempt| {
                    let _ = internal.send(Internal::TaskEnded { job: job_id, attempt });
                }),
            },
        );
        let mut leaders = master.leaders.into_inner();
        for task in started {
            self.slots.add_task(task.allocation(), job_id, task.attempt());
            self.threads += 1;
            let attempt = task.attempt();
            let leader = leaders.remove(&attempt).unwrap_or_else(|| LeaderWatch::new(job.master.clone()));
            let origin = origins.remove(&attempt).unwrap_or_default();
            job.begin(Task::new(task, leader, origin));
        }
        outcome
    }

    fn task_ended(&mut self, job: JobId, attempt: AttemptId) {
        self.threads -= 1;
        self.cancelling.remove(&attempt);
        let keeps = self.keeps_tasks();
        let Some(task) = self.jobs.get_mut(&job).and_then(|job| job.end(attempt, keeps)) else { return };
        if self.slots.remove_task(task.allocation(), attempt) {
            self.slot_changed(job);
        }
        self.settle_waiting(job);
    }

    fn cancel_task(&mut self, job: JobId, attempt: AttemptId) {
        if let Some(task) = self.jobs.get(&job).and_then(|job| job.tasks.get(&attempt)) {
            task.cancel();
            self.cancelling.entry(attempt).or_insert_with(Instant::now);
        }
    }

    fn cancel_tasks(&mut self, request: &proto::CancelTasksRequest) -> Result<proto::CancelTasksResponse, Status> {
        let Some((id, job)) = JobId::from_bytes(&request.job_id).and_then(|id| Some((id, self.jobs.get(&id)?))) else {
            return Ok(proto::CancelTasksResponse { not_running: request.attempt_ids.clone(), reports: 0 });
        };
        if !job.is_led_by(&request.fence) {
            return Err(Status::failed_precondition("another JobMaster leads this job"));
        }
        let attempts: Vec<AttemptId> = if request.attempt_ids.is_empty() {
            job.tasks.keys().copied().collect()
        } else {
            request.attempt_ids.iter().filter_map(|bytes| AttemptId::from_bytes(bytes)).collect()
        };
        let runs = |attempt: &AttemptId| job.tasks.contains_key(attempt);
        let (running, gone): (Vec<_>, Vec<_>) = attempts.into_iter().partition(runs);
        for attempt in running {
            self.cancel_task(id, attempt);
            // What it has to say the JobMaster does not want to hear.
            self.end_wait_of(id, attempt);
        }
        self.settle_waiting(id);
        let not_running = gone.iter().map(|attempt| attempt.to_bytes()).collect();
        if let Some(job) = self.jobs.get_mut(&id) {
            let now = Instant::now();
            job.taken_back.extend(gone.into_iter().map(|attempt| (attempt, now)));
        }
        Ok(proto::CancelTasksResponse { not_running, reports: self.reports.load(Ordering::Relaxed) })
    }

    fn forget_taken_back(&mut self, now: Instant) {
        for job in self.jobs.values_mut() {
            job.taken_back.retain(|_, since| now.saturating_duration_since(*since) < TAKEN_BACK_FOR);
        }
    }

    fn operator_event(&mut self, event: proto::OperatorEventToTask) -> Result<(), Status> {
        let job = self.fenced_job(&event.job_id, &event.fence)?;
        let task = AttemptId::from_bytes(&event.attempt_id).and_then(|id| job.tasks.get(&id));
        let task = task.ok_or_else(|| Status::not_found("no such task runs here"))?;
        let bytes = event.event.len();
        if bytes > MAX_EVENT_TO_SUBTASK {
            let what = format!("an event of {bytes} bytes for a subtask: {MAX_EVENT_TO_SUBTASK} are taken at most");
            return Err(Status::invalid_argument(what));
        }
        let attempt = task.attempt();
        let mail = Mail::OperatorEvent { uid: event.operator_uid.clone(), event: event.event.clone() };
        deliver(&**task, mail)?;
        if self.keeps_tasks()
            && let Some(job) = JobId::from_bytes(&event.job_id).and_then(|id| self.jobs.get_mut(&id))
        {
            // Without the rest of the message, which may be larger.
            let copy = |bytes: &Bytes| Bytes::copy_from_slice(bytes);
            let (operator_uid, after_checkpoint_id) = (copy(&event.operator_uid), event.after_checkpoint_id);
            job.keep(attempt, proto::SentEvent { operator_uid, after_checkpoint_id, event: copy(&event.event) });
        }
        Ok(())
    }

    /// Whether tasks may outlive their JobMaster, so that a later one may ask what they were given.
    fn keeps_tasks(&self) -> bool {
        !self.setup.tasks_without_leader.is_zero()
    }

    /// The job, if that JobMaster leads it.
    fn fenced_job(&self, job: &Bytes, fence: &Bytes) -> Result<&Job, Status> {
        let job = JobId::from_bytes(job).and_then(|id| self.jobs.get(&id));
        job.filter(|job| job.is_led_by(fence))
            .ok_or_else(|| Status::failed_precondition("that JobMaster has no tasks here"))
    }

    /// All of the tasks hear of it, or none if one has ended.
    fn trigger_checkpoint(&mut self, request: proto::TriggerCheckpointRequest) -> Result<(), Status> {
        let job = self.fenced_job(&request.job_id, &request.fence)?;
        let barrier = request.barrier.ok_or_else(|| Status::invalid_argument("a trigger without its barrier"))?;
        if barrier.encoded_len() > Event::MAX_OPTIONS {
            return Err(Status::invalid_argument("the target of the savepoint is too long"));
        }
        // By the clock of the runtime, which a simulation plays; elsewhere it is the clock that the task's thread looks at.
        let barrier = Arc::new(alignment::begun(barrier, Instant::now().into_std()));
        let find = |bytes: &Bytes| {
            let task = AttemptId::from_bytes(bytes).and_then(|id| job.tasks.get(&id));
            task.filter(|task| task.reads_mail()).ok_or_else(|| Status::not_found("a task has ended"))
        };
        let tasks = request.attempt_ids.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        tasks.into_iter().try_for_each(|task| deliver(&**task, Mail::Trigger(barrier.clone())))
    }

    fn notify_checkpoint(&mut self, request: &proto::NotifyCheckpointRequest) -> Result<(), Status> {
        let job = self.fenced_job(&request.job_id, &request.fence)?;
        let completed = request.outcome() == proto::CheckpointOutcome::Completed;
        let tasks = request.attempt_ids.iter().filter_map(|bytes| job.tasks.get(&AttemptId::from_bytes(bytes)?));
        let mut told = Ok(());
        for task in tasks.filter(|task| task.reads_mail()) {
            let mail = Mail::CheckpointEnded { checkpoint: request.checkpoint_id, completed };
            match deliver(&**task, mail) {
                Err(status) if status.code() != Code::NotFound => told = Err(status),
                _ => {}
            }
        }
        let job = JobId::from_bytes(&request.job_id).and_then(|id| self.jobs.get_mut(&id));
        if let Some(job) = job.filter(|_| completed) {
            job.checkpoint_completed(request.checkpoint_id);
        }
        told
    }

    /// A task that was told to end by others than this actor has to end in time as well.
    fn note_ending(&mut self) {
        let tasks = self.jobs.values().flat_map(|job| job.tasks.values());
        for task in tasks.filter(|task| task.is_ending()) {
            self.cancelling.entry(task.attempt()).or_insert_with(Instant::now);
        }
    }

    /// A cancelled task that does not end holds its slot for ever: the process gives up, as Flink's does.
    fn overdue_cancellation(&self) -> Option<String> {
        let limit = self.setup.cancellation_timeout?;
        let overdue = self.cancelling.iter().filter(|(_, since)| since.elapsed() > limit);
        // A task that has failed may have ended but for its word, which waits for the next JobMaster.
        let waits =
            |attempt: &AttemptId| self.jobs.values().any(|job| job.tasks.get(attempt).is_some_and(Task::awaits_leader));
        let attempt = overdue.map(|(attempt, _)| attempt).find(|attempt| !waits(attempt))?;
        let task = self.jobs.iter().find_map(|(id, job)| Some((id, job.tasks.get(attempt)?)));
        let name = task.map_or_else(|| attempt.to_string(), |(job, task)| format!("{} of job {job}", task.name()));
        let place = task.and_then(|(_, task)| task.waiting_for()).unwrap_or("nothing, it computes");
        let seconds = limit.as_secs();
        Some(format!(
            "Task did not exit gracefully within {seconds} seconds (task.cancellation.timeout): {name}, which waits for {place}"
        ))
    }

    /// Tells each JobMaster the counters of its tasks and which slots it has here; never twice at once.
    fn report_metrics(&mut self) {
        for (id, job) in &mut self.jobs {
            if job.reporting || job.waiting.is_some() {
                continue;
            }
            let tasks = job.tasks.values().map(|task| proto::AttemptMetrics {
                attempt_id: task.attempt().to_bytes(),
                metrics: Some(task.metrics()),
            });
            let mut request = tonic::Request::new(proto::TaskMetricsReport {
                fence: job.master.fence.clone(),
                job_id: id.to_bytes(),
                tasks: tasks.collect(),
                resource_id: self.setup.identity.resource_id.clone(),
                slots: self.slots.held_by(*id),
                slots_version: self.slots.version(),
                registration: self.registration,
                number: self.reports.fetch_add(1, Ordering::Relaxed) + 1,
            });
            request.set_timeout(CALL_TIMEOUT);
            job.reporting = true;
            let (JobMaster { mut client, fence }, id) = (job.master.clone(), *id);
            let internal = self.internal.clone();
            self.background.spawn(async move {
                let answer = match client.report_task_metrics(request).await {
                    Ok(answer) => answer.into_inner(),
                    Err(status) => {
                        tracing::debug!(job_id = %id, reason = status.message(), "counters could not be reported");
                        proto::TaskMetricsResponse::default()
                    }
                };
                let _ = internal.send(Internal::Reported { job: id, fence, answer });
            });
        }
    }

    /// A JobMaster has said which of the slots and tasks it has not.
    fn reported(&mut self, job: JobId, fence: &Bytes, answer: &proto::TaskMetricsResponse) {
        let Some(known) = self.jobs.get_mut(&job).filter(|known| known.is_led_by(fence)) else { return };
        known.reporting = false;
        let unknown = answer.unknown_attempts.iter().filter_map(|bytes| AttemptId::from_bytes(bytes));
        // What has ended since the report is unknown as well.
        let running: Vec<AttemptId> = unknown.filter(|attempt| known.tasks.contains_key(attempt)).collect();
        for attempt in running {
            tracing::debug!(job_id = %job, %attempt, "the JobMaster does not have a task that runs here: it is cancelled");
            self.cancel_task(job, attempt);
        }
        for id in answer.unwanted.iter().filter_map(|bytes| AllocationId::from_bytes(bytes)) {
            if self.slots.get(id).is_some_and(|held| held.job == job && held.active && !held.releasing) {
                self.release(id, "the JobMaster does not have the slot");
            }
        }
    }

    fn background_ended(&mut self, ended: Result<(), tokio::task::JoinError>) {
        if let Err(error) = ended
            && !error.is_cancelled()
        {
            tracing::error!(%error, "a background call of the TaskExecutor panicked");
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
            if let Ok(Some(RegistrationEvent::Registered { address, fence, registration })) = answer {
                self.setup.resource_manager_address = address;
                self.resource_manager = Some(fence);
                self.registration = registration;
            }
        }
        // The ResourceManager ends the heartbeats when it hears of the leave: that is no reason to register again.
        registration.close();
        if let Some(fence) = self.resource_manager.take() {
            let resource_id = self.setup.identity.resource_id.clone();
            let (reason, registration) = (reason.to_owned(), self.registration);
            let message = proto::DisconnectTaskManagerRequest { fence, resource_id, reason, registration };
            let address = &self.setup.resource_manager_address;
            if let Err(status) = registration::disconnect(&*self.setup.connector, address, message).await {
                tracing::info!(reason = status.message(), "could not take leave of the ResourceManager");
            }
        }
        self.background.shutdown().await;
    }
}

/// Does what is asked if the caller is there still.
fn answer<T>(reply: Reply<T>, work: impl FnOnce() -> Result<T, Status>) {
    if !reply.is_closed() {
        let _ = reply.send(work());
    }
}

fn deliver(task: &dyn RunningTask, mail: Mail) -> Result<(), Status> {
    task.deliver(mail).map_err(|error| match error {
        Undelivered::Full => Status::resource_exhausted(error.to_string()),
        Undelivered::Ended => Status::not_found(error.to_string()),
    })
}
