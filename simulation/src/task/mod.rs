//! Simulated tasks: sources and sinks as futures in their TaskManager, with its real executor around them.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wiesel_common::config::Configuration;
use wiesel_common::id::{AllocationId, AttemptId, JobId};
use wiesel_common::keygroup::key_groups;
use wiesel_common::notifier::Notifier;
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;
use wiesel_proto::{CheckpointMetrics, ExecutionState, OperatorSubtaskState};
use wiesel_state::keyed::CheckpointFiles;
use wiesel_state::storage::CheckpointStorage;
use wiesel_taskmanager::runner::{Launch, Mail, Report, Reporter, RunningTask, Standing, TaskRunner, Undelivered};
use wiesel_taskmanager::task::counters::TaskCounters;

use self::increments::Increments;
use crate::attempts::{Attempts, Running};
use crate::data::DataPlane;
use crate::external::External;
use crate::tickets::Tickets;

mod customer;
mod increments;
mod sink;
mod source;

/// Of so many events for a task one finds its mailbox full.
const FULL: u32 = 16;

/// How a task ends other than well.
pub(crate) enum Stopped {
    Cancelled,
    Failed(String),
}

/// What the tasks of a TaskManager share.
pub struct SimulatedTasks {
    /// Their way to one another.
    pub data: DataPlane,
    /// Where sinks write to.
    pub external: External,
    /// What is known of the sinks' coordinators.
    pub tickets: Tickets,
    /// What runs, here and elsewhere.
    pub attempts: Attempts,
    /// The TaskManager's configuration.
    pub configuration: Configuration,
    /// Milliseconds between a source's steps: TaskManagers are not equally fast.
    pub pace: u64,
    /// The longest that a cancelled task goes on, in milliseconds.
    pub slow_to_cancel: u64,
    /// What is random in tasks follows from it.
    pub random: Mutex<StdRng>,
}

/// What a task knows of its job and itself.
pub(crate) struct TaskContext {
    pub(crate) job: JobId,
    pub(crate) execution: u32,
    pub(crate) subtask: u32,
    pub(crate) attempt: AttemptId,
    pub(crate) workload: u32,
    pub(crate) uid: Bytes,
    pub(crate) restore: proto::TaskState,
    pub(crate) storage: CheckpointStorage,
    pub(crate) data: DataPlane,
    pub(crate) external: External,
    pub(crate) tickets: Tickets,
    pub(crate) pace: u64,
    /// Where each subtask of the other vertex runs; none: here.
    pub(crate) others: Vec<Option<String>>,
    /// The subtasks of the other vertex that it has a channel to or from.
    pub(crate) peers: Vec<u32>,
    /// Without a last checkpoint sinks commit at their end.
    pub(crate) awaits_checkpoint: bool,
    pub(crate) reporter: Reporter,
    pub(crate) random: StdRng,
    /// Uploads of checkpoints under way.
    pub(crate) uploads: Arc<AtomicU64>,
    pub(crate) increments: Increments,
}

impl TaskContext {
    /// Uploads the state of a checkpoint and acknowledges it, beside the task.
    pub(crate) fn acknowledge(&mut self, barrier: &proto::CheckpointBarrier, list: &str, entries: Vec<Bytes>) {
        let base = self.increments.base(barrier);
        let increments = self.increments.clone();
        let lists = vec![proto::OperatorListState { name: list.to_owned(), entries, ..Default::default() }];
        let files = self.storage.files(barrier);
        let (reporter, uid, checkpoint) = (self.reporter.clone(), self.uid.clone(), barrier.checkpoint_id);
        let uploads = Uploading::begin(&self.uploads);
        let subtask = self.subtask;
        let upload = async move {
            let written = match files {
                Ok(files) => write(&*files, subtask, checkpoint).await,
                Err(error) => Err(error),
            };
            reporter.report(match written {
                Ok((private, shared)) => {
                    let shared = [base, Vec::from_iter(shared)].concat();
                    increments.add(checkpoint, &shared);
                    let handle = increments.handle(private, shared);
                    let operator = OperatorSubtaskState { uid, keyed: vec![handle], lists };
                    let state = proto::TaskState { operators: vec![operator], ..Default::default() };
                    Report::Acknowledge { checkpoint, state, metrics: CheckpointMetrics::default() }
                }
                Err(error) => {
                    let failure = proto::Failure { message: error.to_string(), ..Default::default() };
                    Report::Decline { checkpoint, failure }
                }
            });
            drop(uploads);
        };
        // It ends with the TaskManager, or by itself.
        tokio::spawn(upload);
    }

    /// It has no part of a checkpoint to hand over.
    pub(crate) fn decline(&self, checkpoint: u64, reason: &str) {
        let failure = proto::Failure { message: reason.to_owned(), ..Default::default() };
        self.reporter.report(Report::Decline { checkpoint, failure });
    }

    /// The restored entries of a list that are this subtask's.
    pub(crate) fn restored(&self, list: &str) -> Vec<Bytes> {
        let lists = self.restore.operators.iter().flat_map(|operator| &operator.lists);
        lists.filter(|known| known.name == list).flat_map(|known| known.entries.iter().cloned()).collect()
    }

    pub(crate) async fn uploaded(&self) {
        while self.uploads.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The simulated time, for what decides without a clock of its own.
pub(crate) fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}

/// Writes a file of the checkpoint alone and, if the storage has a place for them, one that later ones refer to.
async fn write(
    files: &dyn CheckpointFiles,
    subtask: u32,
    checkpoint: u64,
) -> wiesel_state::Result<(proto::StateFile, Option<proto::StateFile>)> {
    let text = Bytes::from(format!("state of {subtask} in {checkpoint}"));
    let both = async {
        let private = files.put(text.clone(), false).await?;
        let shared = if files.keeps_shared() { Some(files.put(text, true).await?) } else { None };
        Ok((private, shared))
    };
    let written = both.await;
    if written.is_err() {
        files.give_up().await;
    }
    written
}

/// Counts an upload as long as it lives.
struct Uploading(Arc<AtomicU64>);

impl Uploading {
    fn begin(count: &Arc<AtomicU64>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Uploading {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Task {
    attempt: AttemptId,
    allocation: AllocationId,
    name: String,
    token: CancellationToken,
    fault: Arc<Mutex<Option<proto::Failure>>>,
    mail: mpsc::UnboundedSender<Mail>,
    open: Arc<AtomicBool>,
    /// Whether it has room for an event follows from it.
    random: Mutex<StdRng>,
    standing: Arc<Mutex<Standing>>,
}

impl RunningTask for Task {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    fn allocation(&self) -> AllocationId {
        self.allocation
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn cancel(&self) {
        self.token.cancel();
    }

    fn fail(&self, failure: proto::Failure) {
        self.fault.lock().get_or_insert(failure);
        self.token.cancel();
    }

    fn deliver(&self, mail: Mail) -> Result<(), Undelivered> {
        if !self.reads_mail() {
            return Err(Undelivered::Ended);
        }
        // As one that is held back.
        if matches!(mail, Mail::OperatorEvent { .. }) && self.random.lock().random_ratio(1, FULL) {
            return Err(Undelivered::Full);
        }
        self.mail.send(mail).map_err(|_| Undelivered::Ended)
    }

    fn reads_mail(&self) -> bool {
        self.open.load(Ordering::SeqCst)
    }

    fn is_ending(&self) -> bool {
        self.token.is_cancelled()
    }

    fn waiting_for(&self) -> Option<&'static str> {
        None
    }

    fn metrics(&self) -> proto::TaskMetrics {
        proto::TaskMetrics::default()
    }

    fn standing(&self) -> Standing {
        *self.standing.lock()
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl SimulatedTasks {
    fn random(&self) -> StdRng {
        StdRng::seed_from_u64(self.random.lock().random())
    }

    fn start_one(
        &self,
        request: &proto::SubmitTasksRequest,
        task: proto::TaskDeployment,
        launch: &mut Launch<'_>,
    ) -> Result<(), Status> {
        let malformed = |what: &str| Status::invalid_argument(what.to_owned());
        let graph = request.graph.as_ref().ok_or_else(|| malformed("no graph"))?;
        let job = JobId::from_bytes(&graph.job_id).ok_or_else(|| malformed("no job"))?;
        let vertex = graph.vertices.get(task.vertex as usize).ok_or_else(|| malformed("no vertex"))?;
        let attempt = AttemptId::from_bytes(&task.attempt_id).ok_or_else(|| malformed("no attempt"))?;
        let allocation = AllocationId::from_bytes(&task.allocation_id).ok_or_else(|| malformed("no allocation"))?;
        let spec = vertex.operators.first().ok_or_else(|| malformed("no operator"))?;
        let options = match &spec.kind {
            Some(Kind::Source(source)) => &source.options,
            Some(Kind::Sink(sink)) => &sink.options,
            _ => return Err(malformed("neither source nor sink")),
        };
        let pairs = graph.configuration.iter().map(|(key, value)| (key.clone(), value.clone()));
        let configuration = self.configuration.merged(pairs);
        let storage = CheckpointStorage::new(&configuration, job).map_err(|error| malformed(&error.to_string()))?;
        let after_finish = &wiesel_common::config::options::checkpointing::AFTER_TASKS_FINISH;
        let awaits_checkpoint = configuration.get(after_finish).map_err(|error| malformed(&error.to_string()))?;
        let others = request.placements.get(1 - task.vertex as usize).ok_or_else(|| malformed("no placement"))?;
        let address = |at: &u32| (*at != request.receiver).then(|| request.task_managers[*at as usize].clone());
        let forward = graph.edges.iter().all(|edge| edge.partitioner() == proto::Partitioner::Forward);
        let peers = if forward { vec![task.subtask] } else { (0..others.task_manager.len() as u32).collect() };
        let restore = task.restore.unwrap_or_default();
        let groups = key_groups(task.subtask, vertex.parallelism, vertex.max_parallelism);
        let increments = Increments::new(groups, &restore);
        let counters = Arc::new(TaskCounters::default());
        let sender = launch.master.sender(attempt);
        let (reporter, reporting) = Reporter::new(sender, counters, Arc::new(Notifier::default()));
        (launch.spawn)(reporting.boxed());
        let standing = reporter.standing();
        let context = TaskContext {
            job,
            execution: request.execution,
            subtask: task.subtask,
            attempt,
            workload: options.get("workload").and_then(|text| text.parse().ok()).unwrap_or_default(),
            uid: spec.uid.clone(),
            restore: restore.state.unwrap_or_default(),
            storage,
            data: self.data.clone(),
            external: self.external.clone(),
            tickets: self.tickets.clone(),
            pace: self.pace,
            others: others.task_manager.iter().map(address).collect(),
            peers,
            awaits_checkpoint,
            reporter,
            random: self.random(),
            uploads: Arc::default(),
            increments,
        };
        let (mail, mailbox) = mpsc::unbounded_channel();
        let handle = Task {
            attempt,
            allocation,
            name: format!("{} ({}/{})#{}", vertex.name, task.subtask + 1, vertex.parallelism, task.attempt_number),
            token: CancellationToken::new(),
            fault: Arc::default(),
            mail,
            open: Arc::new(AtomicBool::new(true)),
            random: Mutex::new(self.random()),
            standing,
        };
        let run = Run {
            token: handle.token.clone(),
            fault: handle.fault.clone(),
            open: handle.open.clone(),
            mailbox,
            is_source: task.vertex == 0,
            slow_to_cancel: self.slow_to_cancel,
            running: self.attempts.begin((job, task.vertex, task.subtask), task.attempt_number, attempt),
            ended: launch.ended.clone(),
        };
        // Its end is that of the TaskManager's process, or its own.
        tokio::spawn(run.run(context));
        launch.started.push(Box::new(handle));
        Ok(())
    }
}

impl TaskRunner for SimulatedTasks {
    fn start(&self, mut request: proto::SubmitTasksRequest, mut launch: Launch<'_>) -> Result<(), Status> {
        let tasks = std::mem::take(&mut request.tasks);
        if let Some(job) = request.graph.as_ref().and_then(|graph| JobId::from_bytes(&graph.job_id)) {
            self.data.forget(job, Some(request.execution));
        }
        tasks.into_iter().try_for_each(|task| self.start_one(&request, task, &mut launch))
    }

    fn forget(&self, job: JobId) {
        self.data.forget(job, None);
    }
}

/// What runs a task.
struct Run {
    token: CancellationToken,
    fault: Arc<Mutex<Option<proto::Failure>>>,
    open: Arc<AtomicBool>,
    mailbox: mpsc::UnboundedReceiver<Mail>,
    is_source: bool,
    slow_to_cancel: u64,
    running: Running,
    ended: Arc<dyn Fn(AttemptId) + Send + Sync>,
}

impl Run {
    async fn run(self, mut context: TaskContext) {
        let Self { token, fault, open, mailbox, is_source, slow_to_cancel, running, ended } = self;
        let (reporter, attempt) = (context.reporter.clone(), context.attempt);
        reporter.report(Report::State(ExecutionState::Initializing, None));
        let starting = Duration::from_millis(context.random.random_range(1..50));
        let lingering = Duration::from_millis(context.random.random_range(0..=slow_to_cancel));
        let work = async {
            tokio::time::sleep(starting).await;
            context.reporter.report(Report::State(ExecutionState::Running, None));
            match is_source {
                true => source::run(&mut context, mailbox, &open).await,
                false => sink::run(&mut context, mailbox, &open).await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = token.cancelled() => Err(Stopped::Cancelled),
            outcome = work => outcome,
        };
        open.store(false, Ordering::SeqCst);
        let (state, failure) = match (outcome, fault.lock().take()) {
            (Ok(()), _) => (ExecutionState::Finished, None),
            (Err(Stopped::Cancelled), None) => (ExecutionState::Canceled, None),
            (Err(Stopped::Cancelled), Some(failure)) => (ExecutionState::Failed, Some(failure)),
            (Err(Stopped::Failed(message)), _) => {
                (ExecutionState::Failed, Some(proto::Failure { message, ..Default::default() }))
            }
        };
        if state == ExecutionState::Canceled {
            tokio::time::sleep(lingering).await;
        }
        let said = reporter.report(Report::State(state, failure));
        while !reporter.is_taken(said) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        drop(running);
        ended(attempt);
    }
}
