//! What runs the tasks of a TaskManager. The executor decides which run, in which slots; here they are made.
//!
//! [`Threads`] runs each on a thread of its own, with the data plane and a state back end. A simulation runs them otherwise.
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tonic::Status;
use wiesel_common::config::Configuration;
use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_network::NetworkEnvironment;
use wiesel_proto as proto;
use wiesel_state::storage::CheckpointStorage;
use wiesel_state_backends::StateResources;

use crate::factory::OperatorFactory;
use crate::heap::Heap;
use crate::leader::{JobMaster, LeaderWatch};
pub use crate::task::checkpoint::barriers::{Action, Barriers, LocalBarrier};
use crate::task::checkpoint::restore::JobState;
use crate::task::deployment::{Deployment, Prepared, Refusal};
pub use crate::task::events::source_event;
use crate::task::log::JobLog;
pub use crate::task::mailbox::{Mail, Undelivered};
pub use crate::task::reporter::{Report, Reporter, Said, Sender};
pub use crate::task::standing::Standing;
use crate::task::{self, Surroundings};

/// A task as the executor knows it. Dropping it cancels the task: nothing else could end it any more.
pub trait RunningTask: Send {
    /// The attempt that it is.
    fn attempt(&self) -> AttemptId;
    /// The slot that it is in.
    fn allocation(&self) -> AllocationId;
    /// Its name, for messages.
    fn name(&self) -> &str;
    /// Ends it as CANCELED.
    fn cancel(&self);
    /// Ends it as FAILED, for this reason.
    fn fail(&self, failure: proto::Failure);
    /// Puts a letter into its mailbox.
    ///
    /// # Errors
    /// If the task has ended, or does not come to read its mail.
    fn deliver(&self, mail: Mail) -> Result<(), Undelivered>;
    /// Whether it reads letters still.
    fn reads_mail(&self) -> bool;
    /// Whether it was told to end, by the executor or otherwise.
    fn is_ending(&self) -> bool;
    /// What it waits for.
    fn waiting_for(&self) -> Option<&'static str>;
    /// Its counters as they are now.
    fn metrics(&self) -> proto::TaskMetrics;
    /// How it stands, by what it has said of itself.
    fn standing(&self) -> Standing;
}

/// The way of a job's tasks to their JobMaster.
pub struct JobMasterLink {
    /// The JobMaster that deploys them.
    pub master: JobMaster,
    /// How each of them is told who leads it.
    pub leaders: Mutex<HashMap<AttemptId, LeaderWatch>>,
    /// The job.
    pub job: JobId,
    /// The host name of this TaskManager.
    pub hostname: String,
    /// Its id.
    pub task_manager: String,
    /// How many reports of counters the TaskManager has made.
    pub reports: Arc<AtomicU64>,
}

impl JobMasterLink {
    /// The way of one task.
    pub fn sender(&self, attempt: AttemptId) -> Sender {
        let leader = LeaderWatch::new(self.master.clone());
        self.leaders.lock().insert(attempt, leader.clone());
        Sender {
            leader,
            job_id: self.job.to_bytes(),
            attempt_id: attempt.to_bytes(),
            hostname: self.hostname.clone(),
            reports: self.reports.clone(),
            events: 0,
        }
    }
}

/// What new tasks are given by the executor.
pub struct Launch<'a> {
    /// The way to the JobMaster.
    pub master: &'a JobMasterLink,
    /// Takes each task as it is started.
    pub started: &'a mut Vec<Box<dyn RunningTask>>,
    /// Runs what belongs to a task, until the TaskManager ends.
    pub spawn: &'a mut dyn FnMut(BoxFuture<'static, ()>),
    /// To be called when a task is over and all it held is free.
    pub ended: Arc<dyn Fn(AttemptId) + Send + Sync>,
}

/// Makes tasks.
pub trait TaskRunner: Send + Sync {
    /// Starts the tasks of a request, whose slots were checked.
    ///
    /// # Errors
    /// A refusal, which says what is missing. Tasks that were started by then go on.
    fn start(&self, request: proto::SubmitTasksRequest, launch: Launch<'_>) -> Result<(), Status>;

    /// The job has no slot here any more.
    fn forget(&self, job: JobId);
}

/// One thread a task.
pub(crate) struct Threads {
    configuration: Arc<Configuration>,
    network: Arc<NetworkEnvironment>,
    /// What the state of all tasks shares.
    resources: Arc<StateResources>,
    factory: Arc<dyn OperatorFactory>,
    /// What the tasks hold; none where that is not known.
    heap: Option<Arc<Heap>>,
    /// What a job's tasks share, from the first of them for as long as the job has slots here.
    jobs: Mutex<HashMap<JobId, Job>>,
}

/// What the tasks of a job share.
#[derive(Clone)]
struct Job {
    state: JobState,
    log: Arc<JobLog>,
}

impl Threads {
    pub(crate) fn new(
        configuration: Arc<Configuration>,
        network: Arc<NetworkEnvironment>,
        resources: Arc<StateResources>,
        factory: Arc<dyn OperatorFactory>,
        heap: Option<Arc<Heap>>,
    ) -> Self {
        Self { configuration, network, resources, factory, heap, jobs: Mutex::default() }
    }

    fn job(&self, deployment: &Deployment) -> wiesel_state::Result<Job> {
        if let Some(job) = self.jobs.lock().get(&deployment.job) {
            return Ok(job.clone());
        }
        let configuration = &deployment.configuration;
        let storage = CheckpointStorage::new(configuration, deployment.job)?;
        let backend =
            wiesel_state_backends::backend(configuration, &self.resources, storage.clone(), Handle::current())?;
        let job = Job { state: JobState { storage, backend }, log: Arc::default() };
        self.jobs.lock().insert(deployment.job, job.clone());
        Ok(job)
    }

    fn start_task(
        &self,
        deployment: &Deployment,
        task: Prepared,
        job: &Job,
        launch: &mut Launch<'_>,
    ) -> Result<(), Status> {
        let attempt = task.attempt;
        let sender = launch.master.sender(attempt);
        let surroundings = Surroundings {
            runtime: Handle::current(),
            sender,
            factory: self.factory.clone(),
            state: job.state.clone(),
            task_manager: launch.master.task_manager.clone(),
            log: job.log.clone(),
            heap: self.heap.clone(),
        };
        let ended = launch.ended.clone();
        let started =
            task::start(deployment, task, surroundings, |reporting| (launch.spawn)(reporting), move || ended(attempt));
        let task = started.map_err(|error| Status::resource_exhausted(format!("no thread for a task: {error}")))?;
        launch.started.push(Box::new(task));
        Ok(())
    }
}

impl TaskRunner for Threads {
    fn start(&self, mut request: proto::SubmitTasksRequest, mut launch: Launch<'_>) -> Result<(), Status> {
        let tasks = std::mem::take(&mut request.tasks);
        let deployment = Deployment::read(request, &self.configuration).map_err(|error| refuse(&error))?;
        let job = self.job(&deployment).map_err(|error| refuse(&Refusal::State(error)))?;
        let prepared = deployment.prepare(&tasks, &self.network).map_err(|error| refuse(&error))?;
        prepared.into_iter().try_for_each(|task| self.start_task(&deployment, task, &job, &mut launch))
    }

    fn forget(&self, job: JobId) {
        self.jobs.lock().remove(&job);
    }
}

/// What a refused deployment is told: a cause that the JobMaster shows as the tasks' failure. An argument that is invalid is
/// so at every attempt: the JobMaster does not try again.
fn refuse(refusal: &Refusal) -> Status {
    let cause = refusal.to_string();
    match refusal {
        Refusal::Network(wiesel_network::Error::InsufficientBuffers { .. }) => Status::resource_exhausted(cause),
        Refusal::Malformed(_) | Refusal::Configuration(_) | Refusal::State(wiesel_state::Error::Configuration(_)) => {
            Status::invalid_argument(cause)
        }
        Refusal::Network(_) | Refusal::State(_) => Status::aborted(cause),
    }
}
