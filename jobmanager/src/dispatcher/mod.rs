//! The Dispatcher: it takes jobs, gives each a JobMaster, and keeps the ones that are over.
//!
//! Invariant: a job is known under its id either to a JobMaster or to the archive, from its submission until it expires.
pub mod archive;
mod results;
mod validation;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::RwLock;
use prost::Message as _;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId};
use wiesel_common::logging::job_span;
use wiesel_common::mailbox::mailbox;
use wiesel_expressions::expression::CLUSTER_TIME_ZONE;
use wiesel_proto as proto;

use crate::failure::{self, FailureInfo};
use crate::jobmaster::exception_history::{ExceptionEntry, ExceptionHistory};
use crate::jobmaster::execution_graph::ExecutionGraph;
use crate::jobmaster::status::{JobStatus, StatusTimestamps};
use crate::jobmaster::{
    self, Aftermath, Ended, JobInfo, JobMaster, JobMasterContext, JobMasterHandle, JobRecorder, JobRecords,
    RecordedJob, RecordedResult, Wanted, graph_of,
};
use crate::options::{JobOptions, JobStoreOptions};
use archive::Archive;
use results::Results;

pub(crate) use validation::MAX_TASKS;
pub use validation::{Validated, validate};

/// How often expired jobs and results are dropped.
const EXPIRATION_CHECK: Duration = Duration::from_secs(10);
/// Jobs that are over and whose folders are looked after at once.
const MAX_AFTERMATHS: usize = 256;

/// Why a job was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The same job is known already.
    #[error("Job has already been submitted: {0}")]
    Duplicate(JobId),
    /// It cannot be run as it is.
    #[error("The job cannot be run: {0}")]
    Invalid(String),
    /// A job of this id has ended, and its checkpoints' folder, which the new one shares, is not left alone yet.
    #[error(
        "The job {0} has ended, and files that its checkpoints left are still being deleted. Submit it again when that is \
         done: at most an hour after its end, the JobManager's log says when."
    )]
    Aftermath(JobId),
    /// It cannot be kept so that it outlives the JobManager.
    #[error("The job is not run, because it could not be recorded: {0}")]
    NotRecorded(String),
    /// The JobManager stops.
    #[error("The JobManager is stopping")]
    Stopping,
}

/// A job, running or not.
#[derive(Clone)]
pub enum JobRef {
    /// Its JobMaster tells more.
    Running(JobMasterHandle),
    /// It is over.
    Archived(Arc<JobInfo>),
}

enum Message {
    Submit {
        graph: Box<proto::JobGraph>,
        reply: oneshot::Sender<Result<JobId, SubmitError>>,
    },
    Job {
        id: JobId,
        reply: oneshot::Sender<Option<JobRef>>,
    },
    Jobs {
        reply: oneshot::Sender<Vec<JobRef>>,
    },
    JobResult {
        id: JobId,
        reply: oneshot::Sender<Arc<JobInfo>>,
    },
    SubmitFailedJob {
        id: JobId,
        name: String,
        cause: Box<FailureInfo>,
        reply: oneshot::Sender<Result<JobId, SubmitError>>,
    },
}

/// The JobMasters by job; written by the dispatcher alone.
#[derive(Clone, Default)]
pub struct JobMasters {
    handles: Arc<RwLock<HashMap<JobId, JobMasterHandle>>>,
}

impl JobMasters {
    /// The JobMaster of a running job.
    pub fn get(&self, id: JobId) -> Option<JobMasterHandle> {
        self.handles.read().get(&id).cloned()
    }
}

/// How others talk to the Dispatcher.
#[derive(Clone)]
pub struct DispatcherHandle {
    sender: mpsc::UnboundedSender<Message>,
}

impl DispatcherHandle {
    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.sender.send(message(reply)).ok()?;
        answer.await.ok()
    }

    /// Starts a job.
    pub async fn submit(&self, graph: proto::JobGraph) -> Result<JobId, SubmitError> {
        let graph = Box::new(graph);
        self.ask(|reply| Message::Submit { graph, reply }).await.unwrap_or(Err(SubmitError::Stopping))
    }

    /// Takes a job that failed before there was a graph of it, so that its cause can be asked for.
    pub(crate) async fn submit_failed_job(
        &self,
        id: JobId,
        name: &str,
        cause: FailureInfo,
    ) -> Result<JobId, SubmitError> {
        let (name, cause) = (name.to_owned(), Box::new(cause));
        let submitted = self.ask(|reply| Message::SubmitFailedJob { id, name, cause, reply }).await;
        submitted.unwrap_or(Err(SubmitError::Stopping))
    }

    /// A job at its end, whenever that is; an error: there is no such job, or the Dispatcher has ended.
    pub(crate) fn job_result(&self, id: JobId) -> oneshot::Receiver<Arc<JobInfo>> {
        let (reply, answer) = oneshot::channel();
        // Of a Dispatcher that has ended the answer says so.
        let _ = self.sender.send(Message::JobResult { id, reply });
        answer
    }

    /// A job.
    pub async fn job(&self, id: JobId) -> Option<JobRef> {
        self.ask(|reply| Message::Job { id, reply }).await.flatten()
    }

    /// A job as it is now.
    pub async fn describe(&self, id: JobId) -> Option<Arc<JobInfo>> {
        // A job may end between the two questions; then the archive has it a moment later.
        loop {
            match self.job(id).await? {
                JobRef::Archived(info) => return Some(info),
                JobRef::Running(master) => {
                    if let Some(info) = master.describe().await {
                        return Some(info);
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// All jobs as they are now: running ones first.
    pub async fn describe_all(&self) -> Vec<Arc<JobInfo>> {
        let mut infos = Vec::new();
        for job in self.ask(|reply| Message::Jobs { reply }).await.unwrap_or_default() {
            match job {
                JobRef::Archived(info) => infos.push(info),
                JobRef::Running(master) => match master.describe().await {
                    Some(info) => infos.push(info),
                    None => infos.extend(self.describe(master.job_id()).await),
                },
            }
        }
        infos
    }
}

/// See the module.
pub struct Dispatcher {
    context: JobMasterContext,
    /// Of jobs that outlive the JobManager.
    records: Option<JobRecords>,
    /// Who waits for a submitted job to be recorded, and ends of jobs that are recorded for their JobMasters.
    recordings: JoinSet<()>,
    /// What is recorded of jobs that are over.
    recorded_results: Results,
    store: JobStoreOptions,
    receiver: mpsc::UnboundedReceiver<Message>,
    masters: JobMasters,
    running: JoinSet<Ended>,
    /// What is left to do for jobs that are over.
    aftermaths: JoinSet<()>,
    /// Their jobs.
    looked_after: HashMap<Id, JobId>,
    jobs: HashMap<Id, JobInProgress>,
    /// Those who wait for the end of a running job.
    results: HashMap<JobId, Vec<oneshot::Sender<Arc<JobInfo>>>>,
    archive: Archive,
}

struct JobInProgress {
    id: JobId,
    graph: Arc<proto::JobGraph>,
    submitted_at: i64,
}

impl Dispatcher {
    /// `recorded`: jobs that go on from the JobManager that has led before, and the results of those that have ended. The
    /// ResourceManager has heard of them before it hears of a TaskManager.
    pub(crate) fn new(
        context: JobMasterContext,
        store: JobStoreOptions,
        records: Option<JobRecords>,
        recorded: (Vec<RecordedJob>, Vec<RecordedResult>),
    ) -> (Self, DispatcherHandle, JobMasters) {
        let (sender, receiver) = mailbox();
        let masters = JobMasters::default();
        let mut dispatcher = Self {
            context,
            recorded_results: Results::new(records.clone()),
            records,
            recordings: JoinSet::new(),
            archive: Archive::new(store.clone()),
            store,
            receiver,
            masters: masters.clone(),
            running: JoinSet::new(),
            aftermaths: JoinSet::new(),
            looked_after: HashMap::new(),
            jobs: HashMap::new(),
            results: HashMap::new(),
        };
        let (jobs, results) = recorded;
        jobs.into_iter().for_each(|job| dispatcher.go_on_with(job));
        results.into_iter().for_each(|result| dispatcher.remember(&result));
        (dispatcher, DispatcherHandle { sender }, masters)
    }

    /// Runs until the token is cancelled; running jobs are then suspended.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(EXPIRATION_CHECK);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                message = self.receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    None => break,
                },
                Some(ended) = self.running.join_next_with_id() => self.ended(ended),
                Some(_) = self.recordings.join_next() => {}
                Some(done) = self.aftermaths.join_next_with_id() => {
                    let task = done.map_or_else(|error| error.id(), |(task, ())| task);
                    if let Some(job) = self.looked_after.remove(&task) {
                        self.recorded_results.written_late(job);
                    }
                }
                () = self.recorded_results.next_forgotten() => {}
                _ = tick.tick() => {
                    let now = self.context.clock.monotonic_millis();
                    let gone = self.archive.expire(now);
                    self.recorded_results.forget(gone);
                    self.context.collectors.expire(now, self.store.result_retention, self.store.bytes);
                }
            }
        }
        self.receiver.close();
        for master in self.masters.handles.read().values() {
            master.send(jobmaster::Message::Suspend);
        }
        while let Some(ended) = self.running.join_next_with_id().await {
            self.ended(ended);
        }
    }

    fn handle(&mut self, message: Message) {
        match message {
            Message::Submit { graph, reply } => self.submit(*graph, reply),
            Message::Job { id, reply } => {
                let running = self.masters.get(id).map(JobRef::Running);
                let _ = reply.send(running.or_else(|| self.archive.get(id).cloned().map(JobRef::Archived)));
            }
            Message::Jobs { reply } => {
                let mut jobs: Vec<_> = self.masters.handles.read().values().cloned().map(JobRef::Running).collect();
                jobs.extend(self.archive.iter().cloned().map(JobRef::Archived));
                let _ = reply.send(jobs);
            }
            Message::JobResult { id, reply } => self.tell_result(id, reply),
            Message::SubmitFailedJob { id, name, cause, reply } => {
                let _ = reply.send(self.submit_failed_job(id, name, *cause));
            }
        }
    }

    /// Now, or when the job ends.
    fn tell_result(&mut self, id: JobId, reply: oneshot::Sender<Arc<JobInfo>>) {
        if self.masters.get(id).is_some() {
            self.results.entry(id).or_default().push(reply);
        } else if let Some(info) = self.archive.get(id) {
            let _ = reply.send(Arc::clone(info));
        }
    }

    fn submit_failed_job(&mut self, id: JobId, name: String, cause: FailureInfo) -> Result<JobId, SubmitError> {
        if self.is_known(id) {
            return Err(SubmitError::Duplicate(id));
        }
        let now = self.context.clock.now();
        let graph = Arc::new(proto::JobGraph { job_id: id.to_bytes(), name, ..Default::default() });
        let job = JobInProgress { id, graph, submitted_at: now.wall };
        self.insert_into_archive(Arc::new(failed(&job, cause, now.wall)), now.monotonic);
        Ok(id)
    }

    fn is_known(&self, id: JobId) -> bool {
        self.masters.get(id).is_some() || self.archive.get(id).is_some()
    }

    /// The caller hears of it when the job outlives the JobManager, if it may.
    fn submit(&mut self, graph: proto::JobGraph, reply: oneshot::Sender<Result<JobId, SubmitError>>) {
        let (submission, recorded) = match self.records {
            Some(_) => {
                let (submission, recorded) = oneshot::channel();
                (Some(submission), Some(recorded))
            }
            None => (None, None),
        };
        let started = self.start_submitted(graph, submission);
        let (Ok(id), Some(recorded)) = (&started, recorded) else {
            // The caller may have gone.
            let _ = reply.send(started);
            return;
        };
        let id = *id;
        self.recordings.spawn(async move {
            let outcome = match recorded.await {
                Ok(Ok(())) => Ok(id),
                Ok(Err(reason)) => Err(SubmitError::NotRecorded(reason)),
                Err(_) => Err(SubmitError::Stopping),
            };
            let _ = reply.send(outcome);
        });
    }

    fn start_submitted(
        &mut self,
        mut graph: proto::JobGraph,
        submission: Option<oneshot::Sender<Result<(), String>>>,
    ) -> Result<JobId, SubmitError> {
        let validation::Validated { job_id: id, derived_max_parallelism } =
            validate(&mut graph).map_err(SubmitError::Invalid)?;
        if self.is_known(id) {
            return Err(SubmitError::Duplicate(id));
        }
        if self.looked_after.values().any(|job| *job == id) {
            return Err(SubmitError::Aftermath(id));
        }
        let running: u64 = self.jobs.values().map(|job| validation::tasks(&job.graph)).sum();
        let tasks = validation::tasks(&graph);
        if running + tasks > validation::MAX_TASKS_OF_ALL {
            return Err(SubmitError::Invalid(format!(
                "it has {tasks} tasks, and other jobs {running}: together at most {} are possible. Lower the parallelism, or cancel \
                 other jobs",
                validation::MAX_TASKS_OF_ALL
            )));
        }
        graph.configuration.insert(CLUSTER_TIME_ZONE.to_owned(), self.context.time_zone.to_string());
        let record = proto::JobRecord {
            graph: if self.records.is_some() { graph.encode_to_vec().into() } else { Bytes::new() },
            submitted_at: self.context.clock.now_millis(),
            derived_max_parallelism,
            run: LeaderSessionId::random().run(),
            ..Default::default()
        };
        let recorder = JobRecorder::of_new(id, self.records.clone(), record);
        self.start(id, graph, recorder, submission).map_err(SubmitError::Invalid)?;
        Ok(id)
    }

    /// Goes on with a job that another JobManager has led.
    fn go_on_with(&mut self, job: RecordedJob) {
        let (id, Some(records)) = (job.id, self.records.clone()) else { return };
        tracing::info!(job_id = %id, "job goes on from its record");
        let started =
            graph_of(&job.record).and_then(|graph| self.start(id, graph, JobRecorder::of_recorded(records, job), None));
        if let Err(reason) = started {
            tracing::error!(job_id = %id, reason, "a recorded job cannot go on: its record stays");
        }
    }

    /// Answers for a job that has ended under another JobManager. One of which something is left to be seen to has a JobMaster.
    fn remember(&mut self, result: &RecordedResult) {
        if self.is_known(result.id) {
            return;
        }
        let now = self.context.clock.now();
        let ended = now.monotonic.saturating_sub(now.wall.saturating_sub(result.ended_at).max(0));
        self.insert_into_archive(Arc::new(as_recorded(result)), ended);
    }

    fn insert_into_archive(&mut self, info: Arc<JobInfo>, ended: i64) {
        if info.status.is_globally_terminal() {
            self.recorded_results.kept(info.job_id);
        }
        let gone = self.archive.insert(info, ended);
        self.recorded_results.forget(gone);
    }

    fn start(
        &mut self,
        id: JobId,
        graph: proto::JobGraph,
        recorder: JobRecorder<Wanted>,
        submission: Option<oneshot::Sender<Result<(), String>>>,
    ) -> Result<(), String> {
        let pairs = graph.configuration.iter().map(|(key, value)| (key.clone(), value.clone()));
        let configuration = Arc::new(self.context.configuration.merged(pairs));
        let options = JobOptions::read(&configuration).map_err(|error| error.to_string())?;
        let (graph, submitted_at) = (Arc::new(graph), recorder.record().submitted_at);
        let context = self.context.clone();
        let (master, handle) =
            JobMaster::new(context, Arc::clone(&graph), id, options, configuration, recorder, submission)
                .map_err(|error| error.to_string())?;
        self.masters.handles.write().insert(id, handle);
        let task = self.running.spawn(master.run().instrument(job_span(id)));
        self.jobs.insert(task.id(), JobInProgress { id, graph, submitted_at });
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Id, Ended), tokio::task::JoinError>) {
        let now = self.context.clock.now();
        let (task, info) = match ended {
            Ok((task, Ended { info, aftermath })) => {
                self.look_after(info.job_id, aftermath);
                (task, Some(info))
            }
            Err(error) => {
                let job_id = self.jobs.get(&error.id()).map(|job| tracing::field::display(job.id));
                tracing::error!(job_id, %error, "a JobMaster ended abnormally");
                (error.id(), None)
            }
        };
        let Some(job) = self.jobs.remove(&task) else { return };
        let info = info.unwrap_or_else(|| {
            let release = crate::resourcemanager::Message::ReleaseSlots { job: job.id };
            self.context.resource_manager.send(release);
            self.context.collectors.job_ended(job.id, JobStatus::Failed, now.monotonic);
            let cause = FailureInfo::new(failure::INTERNAL, "The JobMaster ended abnormally; its log says more.");
            self.give_up(job.id, cause.clone());
            Arc::new(failed(&job, cause, now.wall))
        });
        // First into the archive: a request finds the job in one of the two.
        self.insert_into_archive(Arc::clone(&info), now.monotonic);
        self.masters.handles.write().remove(&job.id);
        for reply in self.results.remove(&job.id).into_iter().flatten() {
            let _ = reply.send(Arc::clone(&info));
        }
    }

    /// A job that is told of as failed does not go on under the next JobManager.
    fn give_up(&mut self, job_id: JobId, cause: FailureInfo) {
        let Some(records) = self.records.clone() else { return };
        self.recordings.spawn(async move {
            if let Err(error) = records.give_up(job_id, cause).await {
                tracing::error!(%job_id, reason = %error, "that a job has failed could not be recorded: it goes on under the next JobManager");
            }
        });
    }

    /// Does what is left to do for a job, beside all else and at the most as long as the JobManager lives.
    fn look_after(&mut self, job_id: JobId, aftermath: Option<Aftermath>) {
        let Some(aftermath) = aftermath else { return };
        if self.aftermaths.len() >= MAX_AFTERMATHS {
            tracing::warn!(%job_id, "too many jobs have left files that belong to no checkpoint: those of this one stay");
            return;
        }
        let task = self.aftermaths.spawn(aftermath.run().instrument(job_span(job_id)));
        self.looked_after.insert(task.id(), job_id);
    }
}

/// A job that failed and of which no JobMaster tells.
fn failed(job: &JobInProgress, cause: FailureInfo, now: i64) -> JobInfo {
    without_master(job, JobStatus::Failed, Some(cause), now)
}

/// A job that has ended under another JobManager: of its tasks nothing is known.
fn as_recorded(result: &RecordedResult) -> JobInfo {
    let RecordedResult { id, name, status, submitted_at, ended_at, failure } = result;
    let graph = proto::JobGraph { job_id: id.to_bytes(), name: name.clone(), ..Default::default() };
    let job = JobInProgress { id: *id, graph: Arc::new(graph), submitted_at: *submitted_at };
    without_master(&job, *status, failure.clone(), *ended_at)
}

fn without_master(job: &JobInProgress, status: JobStatus, failure: Option<FailureInfo>, now: i64) -> JobInfo {
    let mut timestamps = StatusTimestamps::default();
    timestamps.enter(JobStatus::Initializing, job.submitted_at);
    timestamps.enter(status, now);
    let mut graph = ExecutionGraph::new(Arc::clone(&job.graph), job.id, job.submitted_at, &mut AttemptId::random);
    graph.move_all(proto::ExecutionState::Created, proto::ExecutionState::Canceled, now);
    let mut history = ExceptionHistory::new(1);
    if let Some(failure) = failure.clone() {
        history.add(ExceptionEntry { failure, timestamp: now, task: None, concurrent: Vec::new() });
    }
    JobInfo {
        job_id: job.id,
        status,
        timestamps,
        graph,
        history,
        failure,
        last_modification: now,
        restart_strategy: String::new(),
        object_reuse: false,
        checkpoints: None,
        slot_shortage: None,
    }
}
