//! The jobs of a script on their way to the Dispatcher.
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use wiesel_common::id::JobId;

use super::script::PlannedJob;
use crate::dispatcher::{DispatcherHandle, JobRef, SubmitError};
use crate::jobmaster::status::JobStatus;
use crate::jobmaster::{JobInfo, JobMasterHandle, Message};

/// How often a script that waits for one job before the next (`table.dml-sync`) looks at it.
const SYNC_POLL: Duration = Duration::from_millis(50);

/// Why the jobs of a script were not all submitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SubmissionError {
    /// The Dispatcher does not take one.
    #[error(transparent)]
    Refused(#[from] SubmitError),
    /// One that was waited for is not known any more.
    #[error("Job {0} not found")]
    NotFound(JobId),
    /// One that was waited for did not finish.
    #[error("The job {id} did not finish, the statements after it were not run.\nCaused by: {cause}")]
    Unfinished {
        /// The job.
        id: JobId,
        /// How it ended.
        status: JobStatus,
        /// Its failure, or its state.
        cause: String,
    },
}

/// A job at its end, as the Dispatcher will tell it.
pub(crate) type JobResult = oneshot::Receiver<Arc<JobInfo>>;

/// Submits the jobs of a script in their order. Dropping it submits no more of them; those that run go on.
pub(crate) struct Submission<'a> {
    dispatcher: &'a DispatcherHandle,
    ids: Vec<JobId>,
    results: Vec<JobResult>,
    running: Vec<JobMasterHandle>,
}

impl<'a> Submission<'a> {
    pub(crate) fn new(dispatcher: &'a DispatcherHandle) -> Self {
        Self { dispatcher, ids: Vec::new(), results: Vec::new(), running: Vec::new() }
    }

    /// The jobs that were submitted, also before an error.
    pub(crate) fn ids(&self) -> &[JobId] {
        &self.ids
    }

    /// The ends of the jobs that were submitted since this was asked last.
    pub(crate) fn take_results(&mut self) -> Vec<JobResult> {
        std::mem::take(&mut self.results)
    }

    /// Submits them. One that the next waits for ends before.
    ///
    /// # Errors
    /// With the first that is refused, or that did not finish though it was waited for; no other is submitted then.
    pub(crate) async fn run(&mut self, jobs: Vec<PlannedJob>) -> Result<(), SubmissionError> {
        let count = jobs.len();
        for (position, job) in jobs.into_iter().enumerate() {
            let id = self.dispatcher.submit(job.graph).await?;
            self.ids.push(id);
            // Asked for at once: later the job may have been forgotten.
            self.results.push(self.dispatcher.job_result(id));
            if let Some(JobRef::Running(master)) = self.dispatcher.job(id).await {
                self.running.push(master);
            }
            if job.wait && position + 1 < count {
                self.wait_for(id).await?;
            }
        }
        Ok(())
    }

    /// Waits for the end of a job; one that did not finish ends the script.
    ///
    /// As long as this goes on the client is heard of by all jobs of its script that are running: it has no answer yet, and so
    /// does not know the jobs that are tied to it. Once it is gone, what it asked for is dropped, and this with it.
    async fn wait_for(&mut self, id: JobId) -> Result<(), SubmissionError> {
        loop {
            self.running.retain(|master| master.send(Message::ClientHeartbeat));
            let job = self.dispatcher.describe(id).await.ok_or(SubmissionError::NotFound(id))?;
            if job.status == JobStatus::Finished {
                return Ok(());
            }
            if job.status.is_terminal() {
                let cause =
                    job.failure.as_ref().map_or_else(|| job.status.to_string(), |failure| failure.stack_trace());
                return Err(SubmissionError::Unfinished { id, status: job.status, cause });
            }
            tokio::time::sleep(SYNC_POLL).await;
        }
    }
}
