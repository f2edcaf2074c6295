//! The ResourceManager's task: messages in, decisions of the slot manager out to TaskManagers and JobMasters.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wiesel_common::config::options::taskmanager::MAX_SLOTS;
use wiesel_common::id::{AllocationId, JobId, LeaderSessionId};
use wiesel_common::logging::Limit;
use wiesel_common::mailbox::mailbox;
use wiesel_common::time::Clock;
use wiesel_proto as proto;

use super::slot_manager::{
    Acceptance, NewAllocation, Reconciliation, ReportNumber, ReportedSlot, SlotAllocation, SlotManager, SlotState,
};
use super::{Message, OpenStream, ResourceManagerHandle, ResourceOverview, TaskManagerInfo, check_name, check_slots};
use crate::failure::{self, FailureInfo};
use crate::gateway::{TaskExecutors, describe};
use crate::jobmaster::JobMasterHandle;
use crate::options::ControlOptions;

/// Calls under way at once that free slots of one TaskManager: more than that are made once a heartbeat has named them again.
const MAX_FREE_CALLS: usize = 1024;

struct TaskManager {
    registration: Arc<proto::RegisterTaskManagerRequest>,
    /// Of its registration: what is said under another one is not this process's word, or not any more.
    number: u64,
    /// For people.
    last_heartbeat: i64,
    last_heard: Instant,
    /// Counts registrations and heartbeat streams: what ends an older one does not touch this one.
    stream: u64,
    closed: CancellationToken,
    metrics: proto::TaskManagerMetrics,
    /// A permit for each call that frees a slot.
    free_calls: Arc<Semaphore>,
    /// Where it registered from, if that is known.
    peer: Option<IpAddr>,
    /// Another one wanted its id, and was told no: it is logged once.
    wanted: bool,
}

impl TaskManager {
    /// Whether it is another one that registers. One that was started again has the address of the one before, or that one is
    /// gone, which its connection has told.
    fn is_other(&self, request: &proto::RegisterTaskManagerRequest, peer: Option<IpAddr>) -> bool {
        let elsewhere = self.peer.zip(peer).is_some_and(|(one, other)| one != other);
        self.registration.rpc_address != request.rpc_address || elsewhere
    }

    /// Whether it was heard of within this time, over the stream of heartbeats that it has opened.
    fn heartbeats(&self, within: Duration) -> bool {
        self.stream != self.number && self.last_heard.elapsed() <= within
    }
}

/// The outcome of asking a TaskManager for a slot.
struct SlotAnswer {
    allocation: NewAllocation,
    /// The registration under which it was asked.
    registration: u64,
    result: Result<proto::RequestSlotResponse, Status>,
}

/// See [`super`].
pub struct ResourceManager {
    options: ControlOptions,
    fence: LeaderSessionId,
    job_master_address: String,
    clock: Arc<dyn Clock>,
    executors: TaskExecutors,
    receiver: mpsc::UnboundedReceiver<Message>,
    slots: SlotManager,
    task_managers: BTreeMap<String, TaskManager>,
    jobs: HashMap<JobId, JobMasterHandle>,
    /// Jobs that were told that they miss slots.
    short: BTreeSet<JobId>,
    /// Calls under way. Requests for slots answer, calls that free slots do not: the next heartbeat corrects them.
    calls: JoinSet<Option<SlotAnswer>>,
    streams: u64,
    /// Lines of TaskManagers of another release, each of which asks again and again.
    other_releases: Limit,
}

impl ResourceManager {
    /// A ResourceManager without TaskManagers; `job_master_address` is told to TaskManagers that give slots.
    pub fn new(
        options: ControlOptions,
        fence: LeaderSessionId,
        job_master_address: String,
        clock: Arc<dyn Clock>,
        executors: TaskExecutors,
    ) -> (Self, ResourceManagerHandle) {
        let (sender, receiver) = mailbox();
        let slots = SlotManager::new(options.load_balance);
        let resource_manager = Self {
            options,
            fence,
            job_master_address,
            clock,
            executors,
            receiver,
            slots,
            task_managers: BTreeMap::new(),
            jobs: HashMap::new(),
            short: BTreeSet::new(),
            calls: JoinSet::new(),
            streams: 0,
            other_releases: Limit::once_a_minute(),
        };
        (resource_manager, ResourceManagerHandle { fence, sender })
    }

    /// Runs until the token is cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let period = self.options.heartbeat_interval.min(Duration::from_secs(1));
        let mut tick = tokio::time::interval(period);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                message = self.receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    None => break,
                },
                Some(answer) = self.calls.join_next() => match answer {
                    Ok(Some(answer)) => self.slot_answered(answer),
                    Ok(None) => {}
                    Err(error) => tracing::error!(%error, "a call to a TaskManager ended abnormally"),
                },
                _ = tick.tick() => self.tick(),
            }
        }
        for task_manager in self.task_managers.values() {
            task_manager.closed.cancel();
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Register { request, peer, reply } => {
                let _ = reply.send(self.register(request, peer));
            }
            Message::HeartbeatOpened { resource_id, registration, closed, reply } => {
                let _ = reply.send(self.heartbeat_opened(&resource_id, registration, closed));
            }
            Message::Heartbeat { stream, heartbeat } => self.heartbeat(stream, heartbeat),
            Message::HeartbeatEnded { resource_id, stream } => {
                if self.task_managers.get(&resource_id).is_some_and(|known| known.stream == stream) {
                    let message = format!("TaskManager with id {resource_id} is no longer reachable.");
                    self.lost(&resource_id, &FailureInfo::new(failure::TASK_MANAGER_LOST, message));
                }
            }
            Message::Disconnect { resource_id, registration, reason } => {
                if self.task_managers.get(&resource_id).is_some_and(|known| known.number == registration) {
                    let message = format!("TaskManager with id {resource_id} disconnected: {reason}");
                    self.lost(&resource_id, &FailureInfo::new(failure::TASK_MANAGER_LOST, message));
                }
            }
            Message::RequireSlots { job, slots } => {
                let id = job.job_id();
                self.slots.require(id, slots);
                self.jobs.insert(id, job);
                self.allocate();
                self.tell_shortage(id);
            }
            Message::HoldSlots { job, slots } => {
                let id = job.job_id();
                self.slots.hold(id, slots);
                self.jobs.insert(id, job);
            }
            Message::ReleaseSlots { job } => self.release(job),
            Message::Accepted { job, resource_id, since, allocations } => {
                self.accepted(job, &resource_id, since, allocations);
            }
            Message::GiveUp { resource_id, allocation } => {
                if self.slots.give_up(&resource_id, allocation) {
                    self.free_slot(&resource_id, allocation, "its job does not have it");
                }
                self.allocate();
            }
            Message::Describe { reply } => {
                let _ = reply.send(self.describe());
            }
        }
    }

    fn register(&mut self, request: proto::RegisterTaskManagerRequest, peer: Option<IpAddr>) -> Result<u64, Status> {
        check_registration(&request)?;
        self.check_release(&request)?;
        let id = request.resource_id.clone();
        // Two intervals: one heartbeat may be late.
        let within = self.options.heartbeat_interval.saturating_mul(2).min(self.options.heartbeat_timeout);
        if let Some(known) = self.task_managers.get_mut(&id) {
            if known.is_other(&request, peer) && known.heartbeats(within) {
                return Err(refuse_second(&id, known, &request, peer));
            }
            let message = format!("TaskManager with id {id} registered again: what it ran before is gone.");
            let failure = FailureInfo::new(failure::TASK_MANAGER_LOST, message);
            if self.slots.has_allocations(&id) {
                self.lost(&id, &failure);
            } else {
                // As it does where the answer to its first attempt comes late.
                tracing::info!(task_manager = %id, "TaskManager registers again, no job has a slot of it");
                self.forget(&id, &failure);
            }
        }
        tracing::info!(task_manager = %id, address = %request.rpc_address, slots = request.slots, "TaskManager registered");
        self.streams += 1;
        let number = self.streams;
        self.slots.register(&id, number, request.slots);
        self.executors.registered(&request.rpc_address);
        let task_manager = TaskManager {
            registration: Arc::new(request),
            number,
            last_heartbeat: self.clock.now_millis(),
            last_heard: Instant::now(),
            stream: number,
            closed: CancellationToken::new(),
            metrics: proto::TaskManagerMetrics::default(),
            free_calls: Arc::new(Semaphore::new(MAX_FREE_CALLS)),
            peer,
            wanted: false,
        };
        self.task_managers.insert(id, task_manager);
        // Its slots are asked for once its first heartbeat has reported them.
        Ok(number)
    }

    /// Refuses a TaskManager of another release: it may take a job or a state for another one.
    fn check_release(&self, request: &proto::RegisterTaskManagerRequest) -> Result<(), Status> {
        if request.release == proto::RELEASE {
            return Ok(());
        }
        let theirs = if request.release.is_empty() { "an earlier release" } else { request.release.as_str() };
        if let Some(left_out) = self.other_releases.admit(self.clock.monotonic_millis()) {
            tracing::warn!(
                task_manager = %request.resource_id,
                address = %request.rpc_address,
                release = theirs,
                own = proto::RELEASE,
                left_out,
                "a TaskManager of another release wants to register, and is refused"
            );
        }
        Err(Status::invalid_argument(format!(
            "this TaskManager is of {theirs}, and the JobManager of {}: start both from the same installation",
            proto::RELEASE
        )))
    }

    fn heartbeat_opened(
        &mut self,
        resource_id: &str,
        registration: u64,
        closed: CancellationToken,
    ) -> Result<OpenStream, Status> {
        let known = self.task_managers.get_mut(resource_id).filter(|known| known.number == registration);
        let Some(known) = known else {
            return Err(Status::not_found(format!("TaskManager {resource_id} is not registered: register again")));
        };
        self.streams += 1;
        known.closed.cancel();
        known.closed = closed;
        known.stream = self.streams;
        known.last_heartbeat = self.clock.now_millis();
        known.last_heard = Instant::now();
        Ok(OpenStream { stream: self.streams, slots: known.registration.slots })
    }

    fn heartbeat(&mut self, stream: u64, heartbeat: proto::TaskManagerHeartbeat) {
        let Some(known) = self.task_managers.get_mut(&heartbeat.resource_id) else { return };
        if known.stream != stream {
            return;
        }
        known.last_heartbeat = self.clock.now_millis();
        known.last_heard = Instant::now();
        if let Some(metrics) = heartbeat.metrics {
            known.metrics = metrics;
        }
        let number = ReportNumber { registration: heartbeat.registration, version: heartbeat.slots_version };
        let outcome = self.slots.report(&heartbeat.resource_id, number, &read(&heartbeat.slots));
        self.reconcile(&heartbeat.resource_id, outcome);
        self.allocate();
    }

    /// Takes back slots that no job wants, and tells the jobs that believed otherwise.
    fn reconcile(&mut self, resource_id: &str, outcome: Reconciliation) {
        for allocation in outcome.to_free {
            self.free_slot(resource_id, allocation, "no job wants it");
        }
        for lost in outcome.lost {
            if let Some(master) = self.jobs.get(&lost.job) {
                master.slot_lost(resource_id, lost.allocation);
            }
        }
        for confirmed in outcome.confirmed {
            if let Some(master) = self.jobs.get(&confirmed.job) {
                master.slots_confirmed(vec![confirmed.allocation]);
            }
        }
    }

    fn tick(&mut self) {
        let timeout = self.options.heartbeat_timeout;
        let silent: Vec<String> = self
            .task_managers
            .iter()
            .filter(|(_, known)| known.last_heard.elapsed() > timeout)
            .map(|(id, _)| id.clone())
            .collect();
        silent.iter().for_each(|id| self.timed_out(id));
        self.allocate();
        self.tell_shortages();
    }

    /// Tells a job that has just said what it requires if that is more than there is.
    fn tell_shortage(&mut self, job: JobId) {
        if let (Some(shortage), Some(master)) = (self.slots.shortage(job), self.jobs.get(&job)) {
            master.slot_shortage(Some(shortage));
            self.short.insert(job);
        }
    }

    /// Tells all jobs that wait how it stands, and those that do not any more that it is over.
    fn tell_shortages(&mut self) {
        let shortages = self.slots.shortages();
        let told = std::mem::take(&mut self.short);
        for job in told.iter().filter(|job| !shortages.contains_key(*job)) {
            if let Some(master) = self.jobs.get(job) {
                master.slot_shortage(None);
            }
        }
        for (job, shortage) in &shortages {
            if let Some(master) = self.jobs.get(job) {
                master.slot_shortage(Some(*shortage));
            }
        }
        self.short = shortages.into_keys().collect();
    }

    fn timed_out(&mut self, id: &str) {
        let message = format!("The heartbeat of TaskManager with id {id} timed out.");
        self.lost(id, &FailureInfo::new("java.util.concurrent.TimeoutException", message));
    }

    fn lost(&mut self, resource_id: &str, failure: &FailureInfo) {
        if self.task_managers.contains_key(resource_id) {
            tracing::warn!(task_manager = %resource_id, reason = %failure.message, "TaskManager lost");
        }
        self.forget(resource_id, failure);
    }

    fn forget(&mut self, resource_id: &str, failure: &FailureInfo) {
        let Some(gone) = self.task_managers.remove(resource_id) else { return };
        gone.closed.cancel();
        self.executors.forget(&gone.registration.rpc_address);
        self.slots.unregister(resource_id);
        // Not only those that have a slot of it: one that has given its slot up waits for its tasks there to end.
        for master in self.jobs.values() {
            master.task_manager_lost(resource_id, gone.number, failure.clone());
        }
        self.allocate();
    }

    /// A job has slots that were offered under a registration: its TaskManager may have been lost since, may have given them to
    /// no job or another one, or may not have answered yet.
    fn accepted(&mut self, job: JobId, resource_id: &str, since: ReportNumber, allocations: Vec<AllocationId>) {
        let Some(master) = self.jobs.get(&job) else { return };
        let known = self.task_managers.get(resource_id).filter(|known| known.number == since.registration);
        let Some(known) = known else {
            let message = format!("TaskManager with id {resource_id} was lost before its offer of slots arrived.");
            let failure = FailureInfo::new(failure::TASK_MANAGER_LOST, message);
            return master.task_manager_lost(resource_id, since.registration, failure);
        };
        // A JobManager that stood still for so long reads offers that were made before, and has not looked at the heartbeats yet.
        if known.last_heard.elapsed() > self.options.heartbeat_timeout {
            return self.timed_out(resource_id);
        }
        let mut confirmed = Vec::with_capacity(allocations.len());
        for allocation in allocations {
            match self.slots.accepted(resource_id, SlotAllocation { allocation, job }, since) {
                Acceptance::Confirmed => confirmed.push(allocation),
                Acceptance::Lost => master.slot_lost(resource_id, allocation),
                Acceptance::Open => {}
            }
        }
        if !confirmed.is_empty() {
            master.slots_confirmed(confirmed);
        }
        // What is lost is asked for elsewhere.
        self.allocate();
    }

    fn release(&mut self, job: JobId) {
        self.jobs.remove(&job);
        for (task_manager, allocation) in self.slots.release(job) {
            self.free_slot(&task_manager, allocation, "the job is over");
        }
        self.allocate();
    }

    fn free_slot(&mut self, resource_id: &str, allocation: AllocationId, reason: &str) {
        let Some(task_manager) = self.task_managers.get(resource_id) else { return };
        let Ok(permit) = Arc::clone(&task_manager.free_calls).try_acquire_owned() else { return };
        let Ok(mut client) = self.executors.get(&task_manager.registration.rpc_address) else { return };
        let mut request = tonic::Request::new(proto::FreeSlotRequest {
            fence: self.fence.to_bytes(),
            allocation_id: allocation.to_bytes(),
            reason: reason.to_owned(),
        });
        request.set_timeout(self.options.rpc_timeout);
        let resource_id = resource_id.to_owned();
        self.calls.spawn(async move {
            let _permit = permit;
            if let Err(status) = client.free_slot(request).await {
                let reason = describe(&status);
                tracing::debug!(task_manager = %resource_id, allocation_id = %allocation, reason, "a slot could not be freed");
            }
            None
        });
    }

    fn allocate(&mut self) {
        let now = self.clock.monotonic_millis();
        for allocation in self.slots.decide(now, &mut AllocationId::random) {
            self.request_slot(allocation);
        }
    }

    fn request_slot(&mut self, allocation: NewAllocation) {
        let (Some(task_manager), Some(job)) =
            (self.task_managers.get(&allocation.task_manager), self.jobs.get(&allocation.job))
        else {
            self.slots.not_granted(&allocation.task_manager, allocation.allocation);
            return;
        };
        let mut request = tonic::Request::new(proto::RequestSlotRequest {
            fence: self.fence.to_bytes(),
            slot: allocation.slot,
            job_id: allocation.job.to_bytes(),
            allocation_id: allocation.allocation.to_bytes(),
            job_master_address: self.job_master_address.clone(),
            job_master_fence: job.fence().to_bytes(),
        });
        request.set_timeout(self.options.rpc_timeout);
        let client = self.executors.get(&task_manager.registration.rpc_address);
        let registration = task_manager.number;
        self.calls.spawn(async move {
            let result = match client {
                Ok(mut client) => client.request_slot(request).await.map(tonic::Response::into_inner),
                Err(status) => Err(status),
            };
            Some(SlotAnswer { allocation, registration, result })
        });
    }

    fn slot_answered(&mut self, answer: SlotAnswer) {
        let SlotAnswer { allocation, registration, result } = answer;
        let (task_manager, id) = (&allocation.task_manager, allocation.allocation);
        let known = self.task_managers.get(task_manager);
        let result = result.and_then(|answer| match known {
            Some(known) if known.number == answer.registration => {
                check_slots(known.registration.slots, &answer.slots).map(|()| answer)
            }
            // What was said under an earlier registration counts for nothing, whatever it is.
            _ => Ok(answer),
        });
        match result {
            Ok(answer) => {
                let number = ReportNumber { registration: answer.registration, version: answer.slots_version };
                let outcome = self.slots.answered(task_manager, id, answer.granted, number, &read(&answer.slots));
                self.reconcile(task_manager, outcome);
            }
            Err(status) => {
                tracing::warn!(
                    %task_manager,
                    job_id = %allocation.job,
                    reason = %describe(&status),
                    "a TaskManager did not give a slot"
                );
                // It may have: its next heartbeat tells, and until then the slot is given to no job.
                self.slots.not_granted(task_manager, id);
                // A successor under the same id has done nothing yet.
                if known.is_some_and(|known| known.number == registration) {
                    self.slots.call_failed(task_manager, allocation.job, self.clock.monotonic_millis());
                }
            }
        }
        self.allocate();
    }

    fn describe(&self) -> ResourceOverview {
        let (slots_total, slots_free) = self.slots.totals();
        let task_managers = self
            .task_managers
            .iter()
            .map(|(id, known)| TaskManagerInfo {
                registration: Arc::clone(&known.registration),
                last_heartbeat: known.last_heartbeat,
                slots: self
                    .slots
                    .task_manager(id)
                    .map_or_else(Vec::new, |slots| slots.slots().iter().map(SlotState::job).collect()),
                metrics: known.metrics,
            })
            .collect();
        ResourceOverview { task_managers, slots_total, slots_free }
    }
}

/// What the second one to register under a resource id is told while the first one lives.
fn refuse_second(
    id: &str,
    known: &mut TaskManager,
    request: &proto::RegisterTaskManagerRequest,
    peer: Option<IpAddr>,
) -> Status {
    let first = &known.registration.rpc_address;
    if !std::mem::replace(&mut known.wanted, true) {
        let address = &request.rpc_address;
        tracing::warn!(task_manager = %id, first, address, ?peer, "another TaskManager wants this id, and is refused");
    }
    Status::already_exists(format!(
        "the TaskManager with id {id} is registered from {first} and sends heartbeats: no other one can have its id. Give each \
         a 'taskmanager.resource-id' of its own, or none"
    ))
}

/// Refuses a registration that cannot be kept, shown and added up with others.
fn check_registration(request: &proto::RegisterTaskManagerRequest) -> Result<(), Status> {
    if request.resource_id.is_empty() || request.rpc_address.is_empty() || request.data_address.is_empty() {
        return Err(Status::invalid_argument("a registration needs a resource id and both addresses"));
    }
    check_name("resource id", &request.resource_id)?;
    check_name("address for calls", &request.rpc_address)?;
    check_name("address for data", &request.data_address)?;
    check_name("host name", &request.hostname)?;
    check_name("release", &request.release)?;
    if request.slots > MAX_SLOTS {
        let message = format!("{} slots are too many: a TaskManager has at most {MAX_SLOTS}", request.slots);
        return Err(Status::invalid_argument(message));
    }
    let cores = request.slot_profile.as_ref().map_or(0.0, |profile| profile.cpu_cores);
    if !cores.is_finite() || cores < 0.0 {
        let message = format!("a slot cannot have {cores} CPU cores: expected a number that is not negative");
        return Err(Status::invalid_argument(message));
    }
    Ok(())
}

fn read(slots: &[proto::SlotReport]) -> Vec<ReportedSlot> {
    let reported = |slot: &proto::SlotReport| ReportedSlot {
        index: slot.index,
        allocation: AllocationId::from_bytes(&slot.allocation_id)
            .zip(JobId::from_bytes(&slot.job_id))
            .map(|(allocation, job)| SlotAllocation { allocation, job }),
        releasing: slot.releasing,
    };
    slots.iter().map(reported).collect()
}
