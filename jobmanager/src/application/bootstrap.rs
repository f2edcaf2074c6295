//! Application mode: the script that a cluster was started for. Its jobs run as soon as there are slots for them, and the cluster
//! lives as long as they do.
use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use wiesel_common::config::options::{checkpointing, client};
use wiesel_common::config::{ConfigError, Configuration};
use wiesel_common::id::JobId;
use wiesel_common::time::Clock;
use wiesel_sql::session::Session;
use wiesel_sql::{spawn_on_deep_stack, while_wanted};

use super::artifact::Artifact;
use super::info::{ApplicationHandle, ApplicationState};
use super::job_ids;
use super::options::ApplicationOptions;
use super::script::{self, PlannedJob, ScriptError, only_job};
use super::status::ApplicationStatus;
use super::submission::{JobResult, Submission, SubmissionError};
use crate::dispatcher::{DispatcherHandle, JobRef, SubmitError};
use crate::failure::FailureInfo;
use crate::jobmaster::JobInfo;
use crate::jobmaster::status::JobStatus;

/// Flink's name for a job that stands for an application which has none.
const FAILED_JOB_NAME: &str = "(application driver)";
/// Flink's class for an application that cannot be run.
const APPLICATION_EXECUTION: &str = "org.apache.flink.client.deployment.application.ApplicationExecutionException";

/// An application that was not started yet.
pub struct Application {
    artifact: Artifact,
    options: ApplicationOptions,
    job_id: Option<JobId>,
    configuration: Configuration,
    handle: ApplicationHandle,
}

/// Why an application ended before all its jobs had finished.
#[derive(Debug)]
struct End {
    status: ApplicationStatus,
    cause: FailureInfo,
}

impl End {
    fn failed(cause: impl std::fmt::Display) -> Self {
        let cause = FailureInfo::new(APPLICATION_EXECUTION, "Could not execute application.").because(cause);
        Self { status: ApplicationStatus::Failed, cause }
    }

    fn stopping() -> Self {
        let cause = FailureInfo::new(APPLICATION_EXECUTION, SubmitError::Stopping.to_string());
        Self { status: ApplicationStatus::Unknown, cause }
    }

    /// By a job that ended; none: the application goes on.
    fn by_job(job: &JobInfo) -> Option<Self> {
        if job.status == JobStatus::Finished {
            return None;
        }
        let message = format!("The job {} is {}.", job.job_id, job.status);
        let cause = match &job.failure {
            Some(failure) => FailureInfo::wrap(APPLICATION_EXECUTION, message, failure),
            None => FailureInfo::new(APPLICATION_EXECUTION, message),
        };
        Some(Self { status: ApplicationStatus::of_job(job.status), cause })
    }

    fn by_submission(error: &SubmissionError) -> Self {
        match error {
            SubmissionError::Refused(SubmitError::Stopping) => Self::stopping(),
            SubmissionError::Unfinished { status, .. } => {
                Self { status: ApplicationStatus::of_job(*status), ..Self::failed(error) }
            }
            error => Self::failed(error),
        }
    }
}

impl Application {
    /// `job_id`: that of the script's first job, from which those of the others follow; none: any.
    ///
    /// # Errors
    /// A bad value in the configuration.
    pub fn new(
        artifact: Artifact,
        job_id: Option<JobId>,
        configuration: &Configuration,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConfigError> {
        let options = ApplicationOptions::read(configuration)?;
        let handle = ApplicationHandle::new(artifact.name.clone(), clock);
        Ok(Self { artifact, options, job_id, configuration: configuration.clone(), handle })
    }

    /// What can be known of it, now and later.
    pub fn handle(&self) -> &ApplicationHandle {
        &self.handle
    }

    /// Whether the cluster ends with it.
    pub fn shuts_down(&self) -> bool {
        self.options.shutdown_on_finish
    }

    /// Runs it to its end. When this returns none of its jobs runs. Dropped before, it submits and cancels no more of them.
    pub async fn run(self, dispatcher: DispatcherHandle) -> ApplicationStatus {
        tracing::info!(script = self.artifact.name, "the application starts");
        self.handle.enter(ApplicationState::Running);
        let status = self.run_jobs(&dispatcher).await;
        if let Some(state) = ApplicationState::last(status) {
            self.handle.enter(state);
        }
        status
    }

    async fn run_jobs(&self, dispatcher: &DispatcherHandle) -> ApplicationStatus {
        let mut submission = Submission::new(dispatcher);
        let outcome = self.execute(&mut submission).await;
        let jobs = submission.ids().to_vec();
        drop(submission);
        match outcome {
            Ok(()) => {
                tracing::info!("Application completed SUCCESSFULLY");
                cancel_remaining(dispatcher, &jobs).await;
                ApplicationStatus::Succeeded
            }
            Err(End { status: ApplicationStatus::Unknown, .. }) => ApplicationStatus::Unknown,
            Err(End { status, cause }) => {
                tracing::error!("Application {status}: {}", cause.stack_trace().trim_end());
                if let Some(state) = ApplicationState::ending(status) {
                    self.handle.enter(state);
                }
                if jobs.is_empty() {
                    self.submit_failed_job(dispatcher, cause).await;
                }
                cancel_remaining(dispatcher, &jobs).await;
                status
            }
        }
    }

    async fn execute(&self, submission: &mut Submission<'_>) -> Result<(), End> {
        if self.options.submit_failed_job && self.job_id.is_none() {
            let key = ApplicationOptions::submit_failed_job_key();
            return Err(End::failed(format!(
                "Submission of failed job in case of an application error ('{key}') is not supported in non-HA setups. Name the \
                 job's id with --job-id, or leave that key out."
            )));
        }
        let jobs = self.planned().await.map_err(End::failed)?;
        if jobs.is_empty() {
            tracing::info!("The application contains no INSERT INTO and no statement set: there is no job to run.");
        }
        let submitted = submission.run(jobs).await;
        submitted.map_err(|error| End::by_submission(&error))?;
        if !self.options.terminate_on_any_job {
            return Ok(());
        }
        all_finished(submission.take_results()).await
    }

    /// All jobs of the script, with what was said of them.
    async fn planned(&self) -> Result<Vec<PlannedJob>, ScriptError> {
        let mut jobs = self.plan().await?;
        let starts_from = self.configuration.get_optional(&checkpointing::RESTORE_PATH).ok().flatten();
        if !jobs.is_empty() && starts_from.is_some_and(|path| !path.trim().is_empty()) {
            only_job(&mut jobs, "A savepoint")?;
        }
        if let Some(id) = self.job_id {
            job_ids::assign(&mut jobs, id);
        }
        for job in &mut jobs {
            // Its client is this process: it waits for nobody's heartbeats, whatever the configuration says of clients.
            job.graph.configuration.insert(client::ATTACHED.key().to_owned(), false.to_string());
        }
        Ok(jobs)
    }

    /// Plans the script on a thread of its own, which gives up once nobody waits for it.
    async fn plan(&self) -> Result<Vec<PlannedJob>, ScriptError> {
        let Artifact { name, text } = self.artifact.clone();
        let session = Session::new(self.configuration.clone());
        let (reply, answer) = oneshot::channel();
        let gone = CancellationToken::new();
        let _waiting = gone.clone().drop_guard();
        let wanted = move || if gone.is_cancelled() { Err(SubmitError::Stopping.to_string()) } else { Ok(()) };
        let started = spawn_on_deep_stack(move || {
            let _ = reply.send(while_wanted(wanted, || script::plan(&name, &text, session)));
        });
        started.map_err(|error| ScriptError::new(format!("the system gives no thread to plan the script: {error}")))?;
        answer.await.unwrap_or_else(|_| Err(ScriptError::new("planning the script ended abnormally")))
    }

    /// Lets REST tell why there is no job, if that was asked for.
    async fn submit_failed_job(&self, dispatcher: &DispatcherHandle, cause: FailureInfo) {
        let Some(id) = self.job_id.filter(|_| self.options.submit_failed_job) else { return };
        if let Err(error) = dispatcher.submit_failed_job(id, FAILED_JOB_NAME, cause).await {
            tracing::warn!(job_id = %id, %error, "the failure of the application is not shown as a job");
        }
    }
}

/// Waits until all have finished, or one has ended in another way.
async fn all_finished(results: Vec<JobResult>) -> Result<(), End> {
    let mut results: FuturesUnordered<JobResult> = results.into_iter().collect();
    while let Some(result) = results.next().await {
        let Ok(job) = result else { return Err(End::stopping()) };
        if let Some(end) = End::by_job(&job) {
            return Err(end);
        }
    }
    Ok(())
}

/// Cancels what still runs, and waits until it has ended: nothing outlives the application.
async fn cancel_remaining(dispatcher: &DispatcherHandle, jobs: &[JobId]) {
    let mut ends: Vec<oneshot::Receiver<Arc<JobInfo>>> = Vec::new();
    for id in jobs {
        if let Some(JobRef::Running(master)) = dispatcher.job(*id).await {
            tracing::info!(job_id = %id, "cancelling a job with its application");
            ends.push(dispatcher.job_result(*id));
            master.cancel().await;
        }
    }
    for end in ends {
        // The Dispatcher ends its jobs when it stops.
        let _ = end.await;
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::time::SystemClock;

    use super::*;
    use crate::options::JobOptions;

    /// Failed before: a job was cancelled when no client had been heard of for `client.heartbeat.timeout`.
    #[tokio::test]
    async fn the_jobs_of_an_application_are_tied_to_no_client() {
        let keys = [("execution.attached", "true"), ("execution.shutdown-on-attached-exit", "true")];
        let configuration: Configuration = keys.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        let set = "SET 'execution.attached' = 'true';\n";
        let text = format!(
            "{set}CREATE TABLE t (a INT) WITH ('connector' = 'blackhole');\nINSERT INTO t VALUES (1);\nINSERT INTO t VALUES (2);"
        );
        let artifact = Artifact { name: "a.sql".into(), text };
        let application = Application::new(artifact, None, &configuration, Arc::new(SystemClock)).unwrap();
        let jobs = application.planned().await.unwrap();
        assert_eq!(jobs.len(), 2);
        for job in jobs {
            let of_job = configuration.merged(job.graph.configuration.clone());
            assert_eq!(JobOptions::read(&of_job).unwrap().client_timeout, None);
        }
        assert!(JobOptions::read(&configuration).unwrap().client_timeout.is_some(), "what a session cluster would do");
    }
}
