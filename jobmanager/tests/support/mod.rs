//! A JobManager with TaskManagers that are played by the test over real gRPC, and a REST client.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(dead_code, reason = "each test file uses its own part of this")]
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use wiesel_common::config::Configuration;
use wiesel_common::connections::{Admission, incoming};
use wiesel_common::id::JobId;
use wiesel_common::rpc::{Callee, Channel, Connector, Tcp};
use wiesel_jobmanager::cluster::{Environment, JobManager};
use wiesel_jobmanager::jobmaster::JobInfo;
use wiesel_jobmanager::jobmaster::operator_coordinator_holder::CoordinatorFactory;
use wiesel_jobmanager::jobmaster::source_coordinator::EnumeratorFactory;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_operators::operator::Error;
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;
use wiesel_proto::resource_manager_client::ResourceManagerClient;
use wiesel_proto::task_executor_server::{TaskExecutor, TaskExecutorServer};

/// Nothing that a test waits for takes so long.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A running JobManager.
pub struct Cluster {
    pub manager: JobManager,
    pub http: reqwest::Client,
    _uploads: tempfile::TempDir,
}

impl Cluster {
    pub async fn start(pairs: &[(&str, &str)]) -> Self {
        let none: EnumeratorFactory = Arc::new(|_, _| Err(Error::Plan("no source was expected".into())));
        Self::with_enumerators(pairs, none).await
    }

    pub async fn with_enumerators(pairs: &[(&str, &str)], enumerators: EnumeratorFactory) -> Self {
        Self::start_in(pairs, Environment { enumerators, ..Environment::real(None) }).await
    }

    pub async fn with_coordinators(pairs: &[(&str, &str)], coordinators: CoordinatorFactory) -> Self {
        Self::start_in(pairs, Environment { coordinators, ..Environment::real(None) }).await
    }

    pub async fn start_in(pairs: &[(&str, &str)], environment: Environment) -> Self {
        let uploads = tempfile::tempdir().unwrap();
        let mut configuration = Configuration::default();
        configuration.set("jobmanager.rpc.address", "127.0.0.1");
        configuration.set("jobmanager.bind-host", "127.0.0.1");
        configuration.set("jobmanager.rpc.port", "0");
        configuration.set("rest.bind-address", "127.0.0.1");
        configuration.set("rest.bind-port", "0");
        configuration.set("heartbeat.interval", "100 ms");
        configuration.set("web.upload.dir", uploads.path().to_str().unwrap());
        for (key, value) in pairs {
            configuration.set(*key, *value);
        }
        let manager = JobManager::start(configuration, environment).await.unwrap();
        Self { manager, http: reqwest::Client::new(), _uploads: uploads }
    }

    pub fn rest(&self, path: &str) -> String {
        format!("http://{}{path}", self.manager.rest_address())
    }

    pub async fn get(&self, path: &str) -> (u16, serde_json::Value) {
        let response = self.http.get(self.rest(path)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn patch(&self, path: &str) -> (u16, serde_json::Value) {
        let response = self.http.patch(self.rest(path)).body("{}").send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    pub async fn post(&self, path: &str, body: &serde_json::Value) -> (u16, serde_json::Value) {
        let response = self.http.post(self.rest(path)).json(body).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// The id of a script, once it is uploaded.
    pub async fn upload(&self, script: String) -> String {
        let part = reqwest::multipart::Part::bytes(script.into_bytes()).file_name("script.sql");
        let form = reqwest::multipart::Form::new().part("jarfile", part);
        let response = self.http.post(self.rest("/jars/upload")).multipart(form).send().await.unwrap();
        let (status, answer) = (response.status(), response.json::<serde_json::Value>().await.unwrap());
        assert_eq!(status, 200, "{answer}");
        answer["filename"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    }

    /// The outcome of an operation once it is over: `path` is where it was asked for, or is asked about.
    pub async fn outcome(&self, path: &str, accepted: &serde_json::Value) -> serde_json::Value {
        let path = format!("{path}/{}", accepted["request-id"].as_str().unwrap());
        until(&path.clone(), async || {
            let (status, answer) = self.get(&path).await;
            assert_eq!(status, 200, "{answer}");
            (answer["status"]["id"] == "COMPLETED").then(|| answer["operation"].clone())
        })
        .await
    }

    pub async fn submit(&self, graph: proto::JobGraph) -> JobId {
        self.manager.dispatcher().submit(graph).await.unwrap()
    }

    pub async fn job(&self, id: JobId) -> Arc<JobInfo> {
        self.manager.dispatcher().describe(id).await.unwrap()
    }

    /// The job once it is in this state.
    pub async fn await_status(&self, id: JobId, status: JobStatus) -> Arc<JobInfo> {
        until(&format!("{id} is {status}"), async || {
            let job = self.job(id).await;
            assert!(
                job.status == status || !job.status.is_terminal(),
                "waiting for {status}, but the job is {}: {:?}",
                job.status,
                job.failure
            );
            (job.status == status).then_some(job)
        })
        .await
    }

    pub async fn await_task_managers(&self, count: usize) {
        until("TaskManagers are known", async || {
            let known = self.manager.resource_manager().describe().await.task_managers.len();
            (known == count).then_some(())
        })
        .await;
    }

    pub async fn await_free_slots(&self, count: usize) {
        until("slots are free", async || {
            let free = self.manager.resource_manager().describe().await.slots_free;
            (free == count).then_some(())
        })
        .await;
    }
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(2));
        loop {
            pause.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

/// What a TaskManager was told.
#[derive(Debug)]
pub enum Told {
    Submit(proto::SubmitTasksRequest),
    Cancel(proto::CancelTasksRequest),
    Event(proto::OperatorEventToTask),
    Free(proto::FreeSlotRequest),
    Trigger(proto::TriggerCheckpointRequest),
    Notify(proto::NotifyCheckpointRequest),
    Adopt(proto::AdoptTasksRequest),
}

/// The slots of a TaskManager, which keeps them as the real one does.
#[derive(Default)]
struct Slots {
    registration: u64,
    version: u64,
    /// Allocation and job.
    held: Vec<Option<(bytes::Bytes, bytes::Bytes)>>,
}

impl Slots {
    fn request(&mut self, request: &proto::RequestSlotRequest) -> bool {
        let slot = &mut self.held[request.slot as usize];
        match slot {
            Some((held, _)) => *held == request.allocation_id,
            None => {
                *slot = Some((request.allocation_id.clone(), request.job_id.clone()));
                self.version += 1;
                true
            }
        }
    }

    fn free(&mut self, allocation: &bytes::Bytes) {
        self.held.iter_mut().for_each(|slot| drop(slot.take_if(|(held, _)| held == allocation)));
        self.version += 1;
    }

    fn report(&self) -> Vec<proto::SlotReport> {
        let report = |(index, slot): (usize, &Option<(bytes::Bytes, bytes::Bytes)>)| {
            let (allocation_id, job_id) = slot.clone().unwrap_or_default();
            proto::SlotReport { index: index as u32, allocation_id, job_id, releasing: false }
        };
        self.held.iter().enumerate().map(report).collect()
    }
}

type SharedSlots = Arc<std::sync::Mutex<Slots>>;

struct Executor {
    slots: SharedSlots,
    resource_id: String,
    address: String,
    told: mpsc::UnboundedSender<Told>,
    refuse: Option<(tonic::Code, &'static str)>,
    /// Requests for slots are answered while it is true.
    answers: watch::Receiver<bool>,
}

impl Executor {
    fn tell(&self, told: Told) -> Response<proto::Empty> {
        let _ = self.told.send(told);
        Response::new(proto::Empty {})
    }
}

#[tonic::async_trait]
impl TaskExecutor for Executor {
    async fn trigger_checkpoint(
        &self,
        request: Request<proto::TriggerCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        Ok(self.tell(Told::Trigger(request.into_inner())))
    }

    async fn notify_checkpoint(
        &self,
        request: Request<proto::NotifyCheckpointRequest>,
    ) -> Result<Response<proto::Empty>, Status> {
        Ok(self.tell(Told::Notify(request.into_inner())))
    }

    async fn request_slot(
        &self,
        request: Request<proto::RequestSlotRequest>,
    ) -> Result<Response<proto::RequestSlotResponse>, Status> {
        let request = request.into_inner();
        let (granted, slots, slots_version, registration) = {
            let mut slots = self.slots.lock().unwrap();
            (slots.request(&request), slots.report(), slots.version, slots.registration)
        };
        let response = proto::RequestSlotResponse { granted, slots, slots_version, registration };
        let _ = self.answers.clone().wait_for(|answers| *answers).await;
        if !granted {
            return Ok(Response::new(response));
        }
        let offer = proto::OfferSlotsRequest {
            fence: request.job_master_fence,
            job_id: request.job_id,
            resource_id: self.resource_id.clone(),
            rpc_address: self.address.clone(),
            data_address: self.address.replace(':', ":1"),
            slots: vec![proto::SlotOffer { allocation_id: request.allocation_id, index: request.slot }],
            hostname: "localhost".into(),
            slots_version,
            registration,
            tasks: Vec::new(),
        };
        let mut master = JobMasterClient::new(channel(&request.job_master_address));
        // As the real one does: the slot is given first, then offered.
        tokio::spawn(async move {
            let _ = master.offer_slots(offer).await;
        });
        Ok(Response::new(response))
    }

    async fn free_slot(&self, request: Request<proto::FreeSlotRequest>) -> Result<Response<proto::Empty>, Status> {
        self.slots.lock().unwrap().free(&request.get_ref().allocation_id);
        Ok(self.tell(Told::Free(request.into_inner())))
    }

    async fn submit_tasks(
        &self,
        request: Request<proto::SubmitTasksRequest>,
    ) -> Result<Response<proto::SubmitTasksResponse>, Status> {
        self.tell(Told::Submit(request.into_inner()));
        match self.refuse {
            Some((code, reason)) => Err(Status::new(code, reason)),
            None => Ok(Response::new(proto::SubmitTasksResponse::default())),
        }
    }

    async fn cancel_tasks(
        &self,
        request: Request<proto::CancelTasksRequest>,
    ) -> Result<Response<proto::CancelTasksResponse>, Status> {
        let request = request.into_inner();
        // What it refused does not run.
        let not_running = if self.refuse.is_some() { request.attempt_ids.clone() } else { Vec::new() };
        self.tell(Told::Cancel(request));
        Ok(Response::new(proto::CancelTasksResponse { not_running, ..Default::default() }))
    }

    async fn adopt_tasks(
        &self,
        request: Request<proto::AdoptTasksRequest>,
    ) -> Result<Response<proto::AdoptTasksResponse>, Status> {
        self.tell(Told::Adopt(request.into_inner()));
        Ok(Response::new(proto::AdoptTasksResponse::default()))
    }

    async fn send_operator_event(
        &self,
        request: Request<proto::OperatorEventToTask>,
    ) -> Result<Response<proto::Empty>, Status> {
        Ok(self.tell(Told::Event(request.into_inner())))
    }
}

/// A TaskManager played by the test.
pub struct TaskManager {
    pub resource_id: String,
    pub fence: bytes::Bytes,
    pub told: mpsc::UnboundedReceiver<Told>,
    pub master: JobMasterClient<Channel>,
    pub resource_manager: ResourceManagerClient<Channel>,
    /// The number of its registration.
    pub registration: u64,
    /// While it is false, requests for slots are taken but not answered.
    pub answers: watch::Sender<bool>,
    slots: SharedSlots,
    stop: CancellationToken,
    parts: Vec<JoinHandle<()>>,
}

impl TaskManager {
    pub async fn start(cluster: &Cluster, resource_id: &str, slots: u32) -> Self {
        Self::start_with(cluster, resource_id, slots, None).await
    }

    /// One that refuses all tasks for this reason, if there is one.
    pub async fn start_with(
        cluster: &Cluster,
        resource_id: &str,
        slots: u32,
        refuse: Option<(tonic::Code, &'static str)>,
    ) -> Self {
        Self::start_holding(cluster, resource_id, vec![None; slots as usize], refuse).await
    }

    /// One whose slots jobs have: allocation and job.
    pub async fn start_holding(
        cluster: &Cluster,
        resource_id: &str,
        held: Vec<Option<(bytes::Bytes, bytes::Bytes)>>,
        refuse: Option<(tonic::Code, &'static str)>,
    ) -> Self {
        let slots = held.len() as u32;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (told_sender, told) = mpsc::unbounded_channel();
        let shared: SharedSlots = Arc::default();
        *shared.lock().unwrap() = Slots { registration: 0, version: 1, held };
        let (answers, open) = watch::channel(true);
        let executor = Executor {
            slots: Arc::clone(&shared),
            resource_id: resource_id.into(),
            address: address.clone(),
            told: told_sender,
            refuse,
            answers: open,
        };
        let stop = CancellationToken::new();
        let server_stop = stop.clone();
        let name = Callee::TaskManager.name(&address);
        let server = tokio::spawn(async move {
            let serving = tonic::transport::Server::builder()
                .add_service(TaskExecutorServer::new(executor))
                .serve_with_incoming(incoming(listener, Admission::new("test", 1024), None, name));
            tokio::select! {
                result = serving => result.unwrap(),
                () = server_stop.cancelled() => {}
            }
        });
        let channel = channel(&cluster.manager.rpc_address().to_string());
        let mut resource_manager = ResourceManagerClient::new(channel.clone());
        let registration = resource_manager
            .register_task_manager(registration(resource_id, &address, slots))
            .await
            .unwrap()
            .into_inner();
        shared.lock().unwrap().registration = registration.registration;
        let (fence, slots) = (registration.fence.clone(), Arc::clone(&shared));
        let heartbeats = heartbeats(resource_manager.clone(), resource_id.into(), fence, slots, stop.clone()).await;
        Self {
            resource_id: resource_id.into(),
            fence: registration.fence,
            told,
            master: JobMasterClient::new(channel),
            resource_manager,
            registration: registration.registration,
            answers,
            slots: shared,
            stop,
            parts: vec![server, heartbeats],
        }
    }

    /// How often its slots have changed.
    pub fn slots_version(&self) -> u64 {
        self.slots.lock().unwrap().version
    }

    /// As if its slots had changed so often.
    pub fn set_slots_version(&self, version: u64) {
        self.slots.lock().unwrap().version = version;
    }

    /// Its heartbeats end, as if it were gone; it goes on to answer.
    pub fn end_heartbeats(&mut self) {
        if let Some(heartbeats) = self.parts.pop() {
            heartbeats.abort();
        }
    }

    /// Ends without a word, as if killed.
    pub async fn kill(self) {
        self.stop.cancel();
        for part in self.parts {
            part.await.unwrap();
        }
    }

    pub async fn next(&mut self) -> Told {
        tokio::time::timeout(DEADLINE, self.told.recv()).await.expect("told in time").expect("a JobManager")
    }

    pub async fn next_submit(&mut self) -> proto::SubmitTasksRequest {
        loop {
            if let Told::Submit(request) = self.next().await {
                return request;
            }
        }
    }

    pub async fn next_cancel(&mut self) -> proto::CancelTasksRequest {
        loop {
            if let Told::Cancel(request) = self.next().await {
                return request;
            }
        }
    }

    pub async fn next_event(&mut self) -> proto::OperatorEventToTask {
        loop {
            if let Told::Event(event) = self.next().await {
                return event;
            }
        }
    }

    /// The barrier of the next trigger, and for which attempt.
    pub async fn next_trigger(&mut self) -> (bytes::Bytes, proto::CheckpointBarrier) {
        loop {
            if let Told::Trigger(request) = self.next().await {
                assert_eq!(request.attempt_ids.len(), 1);
                return (request.attempt_ids[0].clone(), request.barrier.unwrap());
            }
        }
    }

    pub async fn next_notify(&mut self) -> proto::NotifyCheckpointRequest {
        loop {
            if let Told::Notify(request) = self.next().await {
                return request;
            }
        }
    }

    /// A task hands over its state.
    pub async fn acknowledge(
        &mut self,
        deployed: &proto::SubmitTasksRequest,
        task: usize,
        checkpoint_id: u64,
        state: proto::TaskState,
    ) {
        let metrics = proto::CheckpointMetrics { checkpointed_bytes: 10, state_bytes: 20, ..Default::default() };
        let request = proto::AcknowledgeCheckpointRequest {
            fence: deployed.fence.clone(),
            job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
            attempt_id: deployed.tasks[task].attempt_id.clone(),
            checkpoint_id,
            state: Some(state),
            metrics: Some(metrics),
        };
        self.master.acknowledge_checkpoint(request).await.unwrap();
    }

    /// A task cannot hand over its state.
    pub async fn decline(
        &mut self,
        deployed: &proto::SubmitTasksRequest,
        task: usize,
        checkpoint_id: u64,
        failure: Option<proto::Failure>,
    ) {
        let request = proto::DeclineCheckpointRequest {
            fence: deployed.fence.clone(),
            job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
            attempt_id: deployed.tasks[task].attempt_id.clone(),
            checkpoint_id,
            failure,
        };
        self.master.decline_checkpoint(request).await.unwrap();
    }

    pub async fn next_free(&mut self) -> proto::FreeSlotRequest {
        loop {
            if let Told::Free(request) = self.next().await {
                return request;
            }
        }
    }

    /// Reports a state of one task of a deployment.
    pub async fn report(
        &mut self,
        deployed: &proto::SubmitTasksRequest,
        task: usize,
        state: proto::ExecutionState,
        failure: Option<proto::Failure>,
    ) -> Result<(), Status> {
        let metrics = proto::TaskMetrics { records_in: 7, bytes_in: 70, busy_ms: 3, idle_ms: 5, ..Default::default() };
        let update = proto::TaskStateUpdate {
            fence: deployed.fence.clone(),
            job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
            attempt_id: deployed.tasks[task].attempt_id.clone(),
            state: state as i32,
            failure,
            metrics: Some(metrics),
            reports: 0,
        };
        self.master.update_task_state(update).await.map(|_| ())
    }

    /// Reports a state of all tasks of a deployment.
    pub async fn report_all(&mut self, deployed: &proto::SubmitTasksRequest, state: proto::ExecutionState) {
        for task in 0..deployed.tasks.len() {
            self.report(deployed, task, state, None).await.unwrap();
        }
    }

    /// All tasks come up.
    pub async fn run(&mut self, deployed: &proto::SubmitTasksRequest) {
        self.report_all(deployed, proto::ExecutionState::Initializing).await;
        self.report_all(deployed, proto::ExecutionState::Running).await;
    }
}

/// A way to a JobManager.
pub fn channel(address: &str) -> Channel {
    let tcp = Tcp { connect_timeout: DEADLINE, secret: None, callee: Callee::JobManager };
    tcp.connect(address).unwrap()
}

async fn heartbeats(
    mut resource_manager: ResourceManagerClient<Channel>,
    resource_id: String,
    fence: bytes::Bytes,
    slots: SharedSlots,
    stop: CancellationToken,
) -> JoinHandle<()> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let beat = move || {
        let slots = slots.lock().unwrap();
        proto::TaskManagerHeartbeat {
            fence: fence.clone(),
            resource_id: resource_id.clone(),
            slots: slots.report(),
            slots_version: slots.version,
            registration: slots.registration,
            ..Default::default()
        }
    };
    sender.send(beat()).unwrap();
    let stream = resource_manager.heartbeat(UnboundedReceiverStream::new(receiver)).await.unwrap();
    let mut stream = stream.into_inner();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                message = stream.next() => match message {
                    Some(Ok(_)) => {
                        let _ = sender.send(beat());
                    }
                    _ => return,
                },
            }
        }
    })
}

pub fn registration(resource_id: &str, address: &str, slots: u32) -> proto::RegisterTaskManagerRequest {
    proto::RegisterTaskManagerRequest {
        resource_id: resource_id.into(),
        rpc_address: address.into(),
        data_address: address.replace(':', ":1"),
        slots,
        slot_profile: Some(proto::ResourceProfile { cpu_cores: 1.0, task_heap: 100 << 20, ..Default::default() }),
        hardware: Some(proto::Hardware { cpu_cores: 2, ..Default::default() }),
        memory: Some(proto::MemoryConfiguration::default()),
        hostname: "localhost".into(),
        release: proto::RELEASE.into(),
    }
}

/// A script of two jobs, the second of which starts after the end of the first.
pub fn one_after_the_other() -> String {
    let table = "CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');\nSET 'table.dml-sync' = 'true';\n";
    format!("{table}{}", "INSERT INTO t VALUES (1);\n".repeat(2))
}

/// A reader of the deployment's first task asks for a split.
pub fn split_request(
    deployed: &proto::SubmitTasksRequest,
    uid: &[u8],
    number: u64,
) -> proto::OperatorEventToCoordinator {
    use proto::source_event_to_coordinator::Event;
    let event = Event::RequestSplit(proto::RequestSplit { hostname: "localhost".into() });
    proto::OperatorEventToCoordinator {
        fence: deployed.fence.clone(),
        job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
        attempt_id: deployed.tasks[0].attempt_id.clone(),
        operator_uid: uid.to_vec().into(),
        number,
        event: proto::SourceEventToCoordinator { event: Some(event) }.encode_to_vec().into(),
    }
}

/// What a source's coordinator says to a reader.
pub fn said_to_reader(event: proto::OperatorEventToTask) -> proto::source_event_to_reader::Event {
    proto::SourceEventToReader::decode(event.event).unwrap().event.unwrap()
}

/// The enumerators of the connectors.
pub fn real_enumerators() -> EnumeratorFactory {
    Arc::new(wiesel_connectors::factory::enumerator)
}

pub fn failure(class: &str, message: &str) -> Option<proto::Failure> {
    Some(proto::Failure { class: class.into(), message: message.into(), ..Default::default() })
}

/// A graph of two vertices with a shuffle between them, at this parallelism.
pub fn shuffle(job: u8, parallelism: u32) -> proto::JobGraph {
    let vertex = |id: u8, name: &str| proto::JobVertex {
        id: vec![id; 16].into(),
        name: name.into(),
        description: format!("[{id}]:{name}"),
        parallelism,
        ..Default::default()
    };
    proto::JobGraph {
        job_id: vec![job; 16].into(),
        name: format!("job {job}"),
        vertices: vec![vertex(1, "Source: gen[1]"), vertex(2, "Sink: out[2]")],
        edges: vec![proto::JobEdge {
            source: 0,
            target: 1,
            partitioner: proto::Partitioner::Hash as i32,
            ..Default::default()
        }],
        ..Default::default()
    }
}
