//! A JobManager that does what a test tells it, over real gRPC, and operators that do what their options tell them.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(dead_code, missing_docs)]
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use wiesel_common::config::Configuration;
use wiesel_common::connections::{Admission, incoming};
use wiesel_common::rpc::{Callee, Channel, Connector, Tcp};
use wiesel_connectors::collect::CollectTransport;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{BuiltOperator, Collector, Error, Operator, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;
use wiesel_proto::job_master_server::{JobMaster, JobMasterServer};
use wiesel_proto::operator_spec::Kind;
use wiesel_proto::resource_manager_server::{ResourceManager, ResourceManagerServer};
use wiesel_proto::task_executor_client::TaskExecutorClient;
use wiesel_taskmanager::TaskManager;
use wiesel_taskmanager::factory::OperatorFactory;

pub mod stateful;

pub const FENCE: [u8; 16] = [7; 16];
const JOB_FENCE: [u8; 16] = [8; 16];

/// What the JobManager has heard.
#[derive(Default)]
pub struct Heard {
    pub registrations: HashMap<String, proto::RegisterTaskManagerRequest>,
    pub slots: HashMap<String, Vec<proto::SlotReport>>,
    pub offers: Vec<Bytes>,
    pub states: HashMap<Bytes, Vec<ExecutionState>>,
    pub failures: HashMap<Bytes, proto::Failure>,
    pub metrics: HashMap<Bytes, proto::TaskMetrics>,
    pub collected: Vec<(u64, u64)>,
    pub splits: HashMap<Bytes, u32>,
    /// Events of operators that are no sources, with their numbers.
    pub events: Vec<(u64, Bytes)>,
    pub acknowledged: HashMap<(Bytes, u64), proto::AcknowledgeCheckpointRequest>,
    pub declined: HashMap<(Bytes, u64), proto::Failure>,
    /// Tasks at the end of their data, and whether they wait for a checkpoint.
    pub at_end: HashMap<Bytes, bool>,
    /// Acknowledgements of this checkpoint are never answered.
    pub deaf_to: Option<u64>,
    /// How many there were.
    pub unheard: usize,
    /// A failure of more bytes is refused, as what is too large for a message.
    pub longest_failure: Option<usize>,
    /// What the JobManager says that it is; none: of the same release.
    pub release: Option<&'static str>,
    heartbeats: Vec<tokio::sync::mpsc::Sender<std::result::Result<proto::ResourceManagerHeartbeat, Status>>>,
}

#[derive(Clone, Default)]
pub struct FakeJobManager {
    pub heard: Arc<Mutex<Heard>>,
    /// Which TaskManager runs an attempt.
    executors: Arc<Mutex<HashMap<Bytes, TaskExecutorClient<Channel>>>>,
}

#[tonic::async_trait]
impl ResourceManager for FakeJobManager {
    async fn register_task_manager(
        &self,
        request: Request<proto::RegisterTaskManagerRequest>,
    ) -> std::result::Result<Response<proto::RegisterTaskManagerResponse>, Status> {
        let request = request.into_inner();
        let mut heard = self.heard.lock();
        heard.registrations.insert(request.resource_id.clone(), request);
        Ok(Response::new(proto::RegisterTaskManagerResponse {
            fence: Bytes::from_static(&FENCE),
            heartbeat_interval: 50,
            heartbeat_timeout: 60_000,
            registration: 1,
            release: heard.release.unwrap_or(proto::RELEASE).to_owned(),
        }))
    }

    type HeartbeatStream = ReceiverStream<std::result::Result<proto::ResourceManagerHeartbeat, Status>>;

    async fn heartbeat(
        &self,
        request: Request<Streaming<proto::TaskManagerHeartbeat>>,
    ) -> std::result::Result<Response<Self::HeartbeatStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(4);
        self.heard.lock().heartbeats.push(sender);
        let heard = self.heard.clone();
        let mut incoming = request.into_inner();
        tokio::spawn(async move {
            while let Ok(Some(heartbeat)) = incoming.message().await {
                heard.lock().slots.insert(heartbeat.resource_id, heartbeat.slots);
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn disconnect_task_manager(
        &self,
        request: Request<proto::DisconnectTaskManagerRequest>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        self.heard.lock().registrations.remove(&request.into_inner().resource_id);
        Ok(Response::new(proto::Empty {}))
    }

    /// It leads no jobs but those that it deploys.
    async fn find_job_masters(
        &self,
        _: Request<proto::FindJobMastersRequest>,
    ) -> std::result::Result<Response<proto::FindJobMastersResponse>, Status> {
        Ok(Response::new(proto::FindJobMastersResponse::default()))
    }
}

#[tonic::async_trait]
impl JobMaster for FakeJobManager {
    async fn acknowledge_checkpoint(
        &self,
        request: Request<proto::AcknowledgeCheckpointRequest>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        let deaf = self.heard.lock().deaf_to == Some(request.checkpoint_id);
        if deaf {
            self.heard.lock().unheard += 1;
            std::future::pending::<()>().await;
        }
        let mut heard = self.heard.lock();
        // A task that has ended cannot acknowledge any more.
        let over = heard.states.get(&request.attempt_id).is_some_and(|states| is_end(states));
        assert!(!over, "an acknowledgement came after the task's end");
        heard.acknowledged.insert((request.attempt_id.clone(), request.checkpoint_id), request);
        Ok(Response::new(proto::Empty {}))
    }

    async fn decline_checkpoint(
        &self,
        request: Request<proto::DeclineCheckpointRequest>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        let failure = request.failure.unwrap_or_default();
        self.heard.lock().declined.insert((request.attempt_id, request.checkpoint_id), failure);
        Ok(Response::new(proto::Empty {}))
    }

    async fn notify_end_of_data(
        &self,
        request: Request<proto::NotifyEndOfDataRequest>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        let request = request.into_inner();
        let mut heard = self.heard.lock();
        let last = heard.states.get(&request.attempt_id).and_then(|states| states.last());
        assert!(last.is_none_or(|state| *state == ExecutionState::Running), "{last:?}");
        let before = heard.at_end.insert(request.attempt_id, request.awaits_checkpoint);
        assert_eq!(before, None, "it is said once");
        Ok(Response::new(proto::Empty {}))
    }

    async fn offer_slots(
        &self,
        request: Request<proto::OfferSlotsRequest>,
    ) -> std::result::Result<Response<proto::OfferSlotsResponse>, Status> {
        let accepted: Vec<Bytes> = request.into_inner().slots.into_iter().map(|slot| slot.allocation_id).collect();
        self.heard.lock().offers.extend(accepted.iter().cloned());
        Ok(Response::new(proto::OfferSlotsResponse { accepted }))
    }

    async fn update_task_state(
        &self,
        request: Request<proto::TaskStateUpdate>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        let update = request.into_inner();
        let mut heard = self.heard.lock();
        let told = update.failure.as_ref().map_or(0, |failure| failure.message.len());
        if heard.longest_failure.is_some_and(|longest| told > longest) {
            return Err(Status::out_of_range("decoded message length too large"));
        }
        heard.states.entry(update.attempt_id.clone()).or_default().push(update.state());
        if let Some(failure) = update.failure {
            heard.failures.insert(update.attempt_id.clone(), failure);
        }
        if let Some(metrics) = update.metrics {
            heard.metrics.insert(update.attempt_id, metrics);
        }
        Ok(Response::new(proto::Empty {}))
    }

    async fn send_operator_event(
        &self,
        request: Request<proto::OperatorEventToCoordinator>,
    ) -> std::result::Result<Response<proto::Empty>, Status> {
        use proto::source_event_to_reader::Event;
        let asked = request.into_inner();
        let event: Bytes = if asked.operator_uid != ECHOED[..] {
            let times = {
                let mut heard = self.heard.lock();
                let times = heard.splits.entry(asked.attempt_id.clone()).or_default();
                *times += 1;
                *times
            };
            // One split each, then no more.
            let event = match times {
                1 => Event::AddSplits(proto::AddSplits { splits: vec![Bytes::from_static(b"split")] }),
                _ => Event::NoMoreSplits(proto::NoMoreSplits {}),
            };
            proto::SourceEventToReader { event: Some(event) }.encode_to_vec().into()
        } else {
            // An echo.
            self.heard.lock().events.push((asked.number, asked.event.clone()));
            asked.event
        };
        let executor = self.executors.lock().get(&asked.attempt_id).cloned();
        let mut executor = executor.ok_or_else(|| Status::unavailable("not deployed yet"))?;
        tokio::spawn(async move {
            let event = proto::OperatorEventToTask {
                fence: asked.fence,
                job_id: asked.job_id,
                attempt_id: asked.attempt_id,
                operator_uid: asked.operator_uid,
                event,
                after_checkpoint_id: 0,
            };
            let _ = executor.send_operator_event(event).await;
        });
        Ok(Response::new(proto::Empty {}))
    }

    async fn collect(
        &self,
        request: Request<proto::CollectRequest>,
    ) -> std::result::Result<Response<proto::CollectResponse>, Status> {
        let request = request.into_inner();
        self.heard.lock().collected.push((request.offset, request.rows));
        Ok(Response::new(proto::CollectResponse {}))
    }

    async fn report_task_metrics(
        &self,
        request: Request<proto::TaskMetricsReport>,
    ) -> std::result::Result<Response<proto::TaskMetricsResponse>, Status> {
        let mut heard = self.heard.lock();
        for task in request.into_inner().tasks {
            if let Some(metrics) = task.metrics {
                heard.metrics.insert(task.attempt_id, metrics);
            }
        }
        Ok(Response::new(proto::TaskMetricsResponse::default()))
    }
}

/// Asks again and again; panics after ten seconds.
pub fn common_wait(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(10), "{what} did not come back within ten seconds");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A JobManager and some TaskManagers.
pub struct Cluster {
    pub runtime: tokio::runtime::Runtime,
    pub job_manager: FakeJobManager,
    pub task_managers: Vec<TaskManager>,
    pub address: String,
    /// Tasks of a TaskManager in one deployment: all, unless a test says so.
    pub tasks_at_once: usize,
    next: u8,
    /// Threads and files are counted by process: one test at a time.
    _alone: parking_lot::MutexGuard<'static, ()>,
}

static ALONE: Mutex<()> = Mutex::new(());

pub const ROWS: i64 = 5000;

/// The uid of the operator whose coordinator echoes its events; all others are sources.
const ECHOED: &[u8] = b"Calls";

/// Of a TaskManager whose JobManager has this port.
pub fn configuration(job_manager: u16, slots: u32, extra: &[(&str, &str)]) -> Configuration {
    [
        ("jobmanager.rpc.address", "127.0.0.1".to_owned()),
        ("jobmanager.rpc.port", job_manager.to_string()),
        ("taskmanager.host", "127.0.0.1".to_owned()),
        ("taskmanager.bind-host", "127.0.0.1".to_owned()),
        ("taskmanager.memory.process.size", "1728m".to_owned()),
        ("taskmanager.numberOfTaskSlots", slots.to_string()),
    ]
    .into_iter()
    .chain(extra.iter().map(|(key, value)| (*key, (*value).to_owned())))
    .map(|(key, value)| (key.to_owned(), value))
    .collect()
}

impl Cluster {
    pub fn start(task_managers: usize, slots: u32, extra: &[(&str, &str)]) -> Self {
        Self::start_with(task_managers, slots, extra, Arc::new(TestOperators))
    }

    pub fn start_with(
        task_managers: usize,
        slots: u32,
        extra: &[(&str, &str)],
        operators: Arc<dyn OperatorFactory>,
    ) -> Self {
        let alone = ALONE.lock();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let job_manager = FakeJobManager::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::builder()
            .add_service(ResourceManagerServer::new(job_manager.clone()))
            .add_service(JobMasterServer::new(job_manager.clone()));
        let name = Callee::JobManager.name(&address.to_string());
        runtime.spawn(server.serve_with_incoming(incoming(listener, Admission::new("test", 1024), None, name)));
        let configuration = configuration(address.port(), slots, extra);
        let started = (0..task_managers)
            .map(|_| runtime.block_on(TaskManager::start_with(configuration.clone(), operators.clone())).unwrap());
        let task_managers: Vec<_> = started.collect();
        let cluster = Self {
            address: address.to_string(),
            job_manager,
            task_managers,
            tasks_at_once: usize::MAX,
            next: 0,
            runtime,
            _alone: alone,
        };
        for task_manager in &cluster.task_managers {
            let id = task_manager.resource_id().to_owned();
            cluster.until("the registration", |heard| heard.slots.contains_key(&id));
        }
        cluster
    }

    pub fn executor(&self, task_manager: usize) -> TaskExecutorClient<Channel> {
        let _runtime = self.runtime.enter();
        let tcp = Tcp { connect_timeout: Duration::from_secs(10), secret: None, callee: Callee::TaskManager };
        TaskExecutorClient::new(tcp.connect(self.task_managers[task_manager].rpc_address()).unwrap())
    }

    /// Waits for something the JobManager hears; panics after ten seconds.
    pub fn until(&self, what: &str, condition: impl Fn(&Heard) -> bool) {
        let start = Instant::now();
        while !condition(&self.job_manager.heard.lock()) {
            assert!(start.elapsed() < Duration::from_secs(10), "{what} did not happen within ten seconds");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn state(&self, attempt: &Bytes) -> Vec<ExecutionState> {
        self.job_manager.heard.lock().states.get(attempt).cloned().unwrap_or_default()
    }

    /// Deploys a graph, subtask `i` of every vertex into slot `i / task managers` of TaskManager `i % task managers`.
    pub fn submit(&mut self, vertices: Vec<proto::JobVertex>, edges: Vec<proto::JobEdge>) -> Deployed {
        let deployed = self.try_submit(vertices, edges);
        if let Some(status) = &deployed.refused {
            panic!("{status}");
        }
        deployed
    }

    pub fn try_submit(&mut self, vertices: Vec<proto::JobVertex>, edges: Vec<proto::JobEdge>) -> Deployed {
        self.try_restore(vertices, edges, &[], |_, _| None)
    }

    /// As [`Cluster::try_submit`], with the job's configuration and what each subtask of each vertex starts from.
    pub fn try_restore(
        &mut self,
        vertices: Vec<proto::JobVertex>,
        edges: Vec<proto::JobEdge>,
        configuration: &[(&str, &str)],
        restore: impl Fn(usize, usize) -> Option<proto::TaskRestore>,
    ) -> Deployed {
        self.next = self.next.wrapping_add(1);
        let job_id = Bytes::from(vec![self.next; 16]);
        let count = self.task_managers.len();
        let parallelism = vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(1) as usize;
        let id = |kind: u8, vertex: usize, subtask: usize| {
            let mut bytes = vec![0; 16];
            (bytes[0], bytes[1], bytes[2], bytes[3]) = (kind, self.next, vertex as u8, subtask as u8);
            Bytes::from(bytes)
        };
        let allocations: Vec<Bytes> = (0..parallelism).map(|subtask| id(1, 0, subtask)).collect();
        for (subtask, allocation) in allocations.iter().enumerate() {
            let request = proto::RequestSlotRequest {
                fence: Bytes::from_static(&FENCE),
                slot: (subtask / count) as u32,
                job_id: job_id.clone(),
                allocation_id: allocation.clone(),
                job_master_address: self.address.clone(),
                job_master_fence: Bytes::from_static(&JOB_FENCE),
            };
            let mut executor = self.executor(subtask % count);
            // The tasks of the job before may hold it still: the TaskManager says so, and it is asked again.
            common_wait("the slot", || {
                self.runtime.block_on(executor.request_slot(request.clone())).unwrap().into_inner().granted
            });
            self.until("the offer", |heard| heard.offers.contains(allocation));
        }
        let configuration = options(configuration);
        let graph =
            proto::JobGraph { job_id: job_id.clone(), vertices, edges, configuration, ..proto::JobGraph::default() };
        let attempts: Vec<Vec<Bytes>> = graph
            .vertices
            .iter()
            .enumerate()
            .map(|(v, vertex)| (0..vertex.parallelism as usize).map(|s| id(2, v, s)).collect())
            .collect();
        for (v, vertex) in attempts.iter().enumerate() {
            for (s, attempt) in vertex.iter().enumerate() {
                assert!(v < 250 && s < 250);
                let executor = self.executor(s % count);
                self.job_manager.executors.lock().insert(attempt.clone(), executor);
                if restore(v, s).is_some() {
                    // As its enumerator remembers: its split was given out before.
                    self.job_manager.heard.lock().splits.insert(attempt.clone(), 1);
                }
            }
        }
        let mut refused = None;
        for receiver in 0..count {
            let tasks = attempts.iter().enumerate().flat_map(|(v, vertex)| {
                let (allocations, restore) = (&allocations, &restore);
                let here = move |s: &usize| s % count == receiver;
                (0..vertex.len()).filter(here).map(move |s| proto::TaskDeployment {
                    vertex: v as u32,
                    subtask: s as u32,
                    attempt_id: vertex[s].clone(),
                    attempt_number: 0,
                    allocation_id: allocations[s].clone(),
                    restore: restore(v, s),
                })
            });
            let place = |vertex: &proto::JobVertex| proto::VertexPlacement {
                task_manager: (0..vertex.parallelism).map(|s| s % count as u32).collect(),
            };
            let request = proto::SubmitTasksRequest {
                fence: Bytes::from_static(&JOB_FENCE),
                graph: Some(graph.clone()),
                execution: 0,
                task_managers: self.task_managers.iter().map(|tm| tm.data_address().to_owned()).collect(),
                placements: graph.vertices.iter().map(place).collect(),
                receiver: receiver as u32,
                tasks: Vec::new(),
                job_master_address: self.address.clone(),
            };
            let mut executor = self.executor(receiver);
            for tasks in tasks.collect::<Vec<_>>().chunks(self.tasks_at_once) {
                let request = proto::SubmitTasksRequest { tasks: tasks.to_vec(), ..request.clone() };
                if let Err(status) = self.runtime.block_on(executor.submit_tasks(request)) {
                    refused = Some(status);
                }
            }
        }
        Deployed { job_id, attempts, allocations, refused }
    }

    /// Triggers a checkpoint at tasks of a job.
    pub fn trigger(
        &self,
        job: &Deployed,
        attempts: &[&Bytes],
        barrier: &proto::CheckpointBarrier,
    ) -> std::result::Result<(), Status> {
        for task_manager in 0..self.task_managers.len() {
            let request = proto::TriggerCheckpointRequest {
                fence: Bytes::from_static(&JOB_FENCE),
                job_id: job.job_id.clone(),
                attempt_ids: self.of(job, attempts, task_manager),
                barrier: Some(barrier.clone()),
            };
            if !request.attempt_ids.is_empty() {
                self.runtime.block_on(self.executor(task_manager).trigger_checkpoint(request))?;
            }
        }
        Ok(())
    }

    /// Sends an event to an operator of a task.
    pub fn say(&self, job: &Deployed, attempt: &Bytes, operator: &'static [u8], event: &'static [u8]) {
        let executor = self.job_manager.executors.lock().get(attempt).cloned();
        let event = proto::OperatorEventToTask {
            fence: Bytes::from_static(&JOB_FENCE),
            job_id: job.job_id.clone(),
            attempt_id: attempt.clone(),
            operator_uid: Bytes::from_static(operator),
            event: Bytes::from_static(event),
            after_checkpoint_id: 0,
        };
        self.runtime.block_on(executor.unwrap().send_operator_event(event)).unwrap();
    }

    /// Tells all tasks of a job what became of a checkpoint.
    pub fn notify(&self, job: &Deployed, checkpoint_id: u64, outcome: proto::CheckpointOutcome) {
        for task_manager in 0..self.task_managers.len() {
            let request = proto::NotifyCheckpointRequest {
                fence: Bytes::from_static(&JOB_FENCE),
                job_id: job.job_id.clone(),
                attempt_ids: self.of(job, &job.attempts.iter().flatten().collect::<Vec<_>>(), task_manager),
                checkpoint_id,
                outcome: outcome as i32,
            };
            self.runtime.block_on(self.executor(task_manager).notify_checkpoint(request)).unwrap();
        }
    }

    /// Another JobMaster takes all tasks of a job over.
    pub fn adopt(&self, job: &Deployed, completed: u64, first: u64) {
        for task_manager in 0..self.task_managers.len() {
            let request = proto::AdoptTasksRequest {
                fence: Bytes::from_static(&JOB_FENCE),
                job_id: job.job_id.clone(),
                attempt_ids: self.of(job, &job.attempts.iter().flatten().collect::<Vec<_>>(), task_manager),
                completed_checkpoint_id: completed,
                first_checkpoint_id: first,
            };
            let adopted = self.runtime.block_on(self.executor(task_manager).adopt_tasks(request)).unwrap();
            assert!(adopted.into_inner().not_running.is_empty());
        }
    }

    /// The attempts that a TaskManager runs.
    fn of(&self, job: &Deployed, attempts: &[&Bytes], task_manager: usize) -> Vec<Bytes> {
        let count = self.task_managers.len();
        let here = |attempt: &&&Bytes| {
            job.attempts
                .iter()
                .any(|v| v.iter().position(|a| a == **attempt).is_some_and(|s| s % count == task_manager))
        };
        attempts.iter().filter(here).map(|attempt| (*attempt).clone()).collect()
    }

    pub fn cancel(&self, deployed: &Deployed) {
        for receiver in 0..self.task_managers.len() {
            let request = proto::CancelTasksRequest {
                fence: Bytes::from_static(&JOB_FENCE),
                job_id: deployed.job_id.clone(),
                attempt_ids: vec![],
            };
            let mut executor = self.executor(receiver);
            self.runtime.block_on(executor.cancel_tasks(request)).unwrap();
        }
    }

    /// Waits until all tasks are over, and gives the slots back.
    pub fn finish(&self, deployed: &Deployed) {
        for attempt in deployed.attempts.iter().flatten() {
            self.until("the end of a task", |heard| heard.states.get(attempt).is_some_and(|states| is_end(states)));
        }
        let count = self.task_managers.len();
        for (subtask, allocation) in deployed.allocations.iter().enumerate() {
            let request = proto::FreeSlotRequest {
                fence: Bytes::from_static(&FENCE),
                allocation_id: allocation.clone(),
                reason: "the job is over".to_owned(),
            };
            let mut executor = self.executor(subtask % count);
            self.runtime.block_on(executor.free_slot(request)).unwrap();
        }
        self.until("the slots to be free", |heard| {
            heard.slots.values().flatten().all(|slot| slot.allocation_id.is_empty())
        });
        self.job_manager.executors.lock().clear();
    }

    /// Ends all heartbeat streams, as a JobManager that dies does.
    pub fn cut_heartbeats(&self) {
        self.job_manager.heard.lock().heartbeats.clear();
    }
}

pub fn is_end(states: &[ExecutionState]) -> bool {
    use ExecutionState::{Canceled, Failed, Finished};
    matches!(states.last(), Some(Canceled | Failed | Finished))
}

pub struct Deployed {
    pub job_id: Bytes,
    /// By vertex and subtask.
    pub attempts: Vec<Vec<Bytes>>,
    pub allocations: Vec<Bytes>,
    pub refused: Option<Status>,
}

pub fn schema() -> proto::Schema {
    let bigint = proto::DataType { root: proto::TypeRoot::Bigint as i32, ..proto::DataType::default() };
    proto::Schema { fields: vec![proto::Field { name: "v".to_owned(), r#type: Some(bigint) }] }
}

pub fn vertex(name: &str, parallelism: u32, kind: Kind) -> proto::JobVertex {
    proto::JobVertex {
        id: Bytes::from_static(&[1; 16]),
        name: name.to_owned(),
        parallelism,
        operators: vec![proto::OperatorSpec {
            uid: Bytes::from(name.to_owned().into_bytes()),
            name: name.to_owned(),
            output: Some(schema()),
            kind: Some(kind),
            ..proto::OperatorSpec::default()
        }],
        ..proto::JobVertex::default()
    }
}

pub fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

pub fn source(parallelism: u32, settings: &[(&str, &str)]) -> proto::JobVertex {
    let spec = proto::SourceSpec { options: options(settings), ..proto::SourceSpec::default() };
    vertex("Source", parallelism, Kind::Source(spec))
}

pub fn sink(parallelism: u32, settings: &[(&str, &str)]) -> proto::JobVertex {
    let spec = proto::SinkSpec { options: options(settings), input: Some(schema()), ..proto::SinkSpec::default() };
    vertex("Sink", parallelism, Kind::Sink(spec))
}

pub fn collect(parallelism: u32) -> proto::JobVertex {
    let spec = proto::CollectSinkSpec { input: Some(schema()), input_changelog: false };
    vertex("Collect", parallelism, Kind::CollectSink(spec))
}

pub fn edge(source: u32, target: u32, partitioner: proto::Partitioner) -> proto::JobEdge {
    proto::JobEdge {
        source,
        target,
        partitioner: partitioner as i32,
        keys: vec![0],
        schema: Some(schema()),
        ..proto::JobEdge::default()
    }
}

/// Operators for tests.
pub struct TestOperators;

impl OperatorFactory for TestOperators {
    fn source(&self, spec: &proto::OperatorSpec) -> Result<Box<dyn SourceReader>> {
        let Some(Kind::Source(spec)) = &spec.kind else { return Err(Error::Plan("no source".into())) };
        let number = |key: &str| spec.options.get(key).map_or(i64::MAX, |value| value.parse().unwrap());
        Ok(Box::new(Numbers {
            rows: if spec.options.contains_key("endless") { i64::MAX } else { ROWS },
            fail_at: number("fail-at"),
            fail_bytes: number("fail-bytes"),
            panic_at: number("panic-at"),
            ..Numbers::default()
        }))
    }

    fn operator(
        &self,
        spec: &proto::OperatorSpec,
        context: &OperatorContext,
        results: Box<dyn CollectTransport>,
    ) -> Result<BuiltOperator> {
        let Some(Kind::Sink(sink)) = &spec.kind else {
            return wiesel_taskmanager::factory::BuiltIn.operator(spec, context, results);
        };
        let asked_for = |option: &str| sink.options.contains_key(option);
        assert!(!asked_for("panic"), "a panic while an operator is made");
        let operator: Box<dyn Operator> =
            if asked_for("hoard") { Box::new(Hoarder::default()) } else { Box::new(Null { slow: asked_for("slow") }) };
        Ok(BuiltOperator::new(spec, operator, Arc::new(Schema::empty())))
    }
}

/// Emits the numbers from 0 once it has got a split.
#[derive(Default)]
struct Numbers {
    rows: i64,
    fail_at: i64,
    /// The size of the failure's message.
    fail_bytes: i64,
    panic_at: i64,
    next: i64,
    asked: bool,
    request: bool,
    split: bool,
    end: bool,
}

impl SourceReader for Numbers {
    fn open(&mut self, _: &OperatorContext) -> Result<()> {
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        if !self.split {
            if self.end {
                return Ok(SourceStatus::EndOfInput);
            }
            self.request = !std::mem::replace(&mut self.asked, true);
            return Ok(SourceStatus::NothingAvailable { until: None });
        }
        if self.next >= self.fail_at && self.fail_bytes < i64::MAX {
            let message = "x".repeat(self.fail_bytes as usize);
            return Err(Error::External { message, source: None });
        }
        if self.next >= self.fail_at {
            return Err(Error::data("java.lang.ArithmeticException", "/ by zero"));
        }
        assert!(self.next < self.panic_at, "something impossible");
        let end = (self.next + 500).min(self.rows);
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let values = (self.next..end).collect::<Int64Array>();
        out.collect(Batch::insert_only(RecordBatch::try_new(schema, vec![Arc::new(values)])?))?;
        out.watermark(end)?;
        self.next = end;
        if end == self.rows {
            (self.split, self.asked) = (false, false);
        }
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        assert_eq!(splits.len(), 1);
        let position = splits[0].strip_prefix(b"split").expect("a split of numbers");
        if !position.is_empty() {
            self.next = i64::from_le_bytes(position.try_into().unwrap());
        }
        self.split = true;
        Ok(())
    }

    /// The split, with the next number behind it.
    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        let split = [&b"split"[..], &self.next.to_le_bytes()].concat();
        Ok(if self.split { vec![split.into()] } else { Vec::new() })
    }

    fn no_more_splits(&mut self) {
        self.end = true;
    }

    fn take_split_request(&mut self) -> bool {
        std::mem::take(&mut self.request)
    }
}

/// Keeps a mebibyte for each batch: a gibibyte at most, should it not be ended.
#[derive(Default)]
struct Hoarder {
    kept: Vec<Vec<u8>>,
}

impl Operator for Hoarder {
    fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
        if self.kept.len() < 1 << 10 {
            self.kept.push(vec![1; 1 << 20]);
        }
        Ok(())
    }
}

/// Takes rows, slowly if asked to.
struct Null {
    slow: bool,
}

impl Operator for Null {
    fn process(&mut self, _: usize, batch: Batch, _: &mut dyn Collector) -> Result<()> {
        assert!(batch.records.column(0).as_primitive_opt::<Int64Type>().is_some());
        if self.slow {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}
