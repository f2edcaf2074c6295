//! The end of a job: its checkpoints are ended, kept or deleted.
//!
//! The job is over for everybody once that was done as well as it could be in a minute. Where the store failed, or files of
//! tasks may still come that are thought dead, its JobMaster goes on looking after the job's folder for a while.
use std::sync::Arc;
use std::time::Duration;

use super::actor::{JobMaster, SUSPEND_TIMEOUT};
use super::checkpoint::failure::state_failure;
use super::status::JobStatus;
use super::{JobInfo, Message};

/// How long the end of a job waits for checkpoints to be deleted.
const CLEANUP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the job's folder is looked after at the most; what is left then are orphans.
const AFTERMATH_TIMEOUT: Duration = Duration::from_secs(3600);

/// A job that is over.
pub(crate) struct Ended {
    /// As it was at its end.
    pub(crate) info: Arc<JobInfo>,
    /// What is left to do.
    pub(crate) aftermath: Option<Aftermath>,
}

/// What is left to do for a job that is over.
pub(crate) struct Aftermath {
    job: JobMaster,
    status: JobStatus,
}

impl Aftermath {
    /// None: all is done.
    pub(super) fn of(job: JobMaster, status: JobStatus) -> Option<Self> {
        job.is_unclean().then(|| Self { job, status })
    }

    /// Deletes what is left of the job's checkpoints.
    pub(crate) async fn run(self) {
        let Self { mut job, status } = self;
        let job_id = job.job_id();
        let work = async {
            // A store that was slow to take the last checkpoint's metadata may have kept the job's end from it.
            job.end_checkpoints(status).await;
            job.look_after_folder().await;
            job.remove_unneeded_folder().await;
            job.see_to_claim().await;
            if !job.is_unclean() {
                job.forget_record().await;
            }
        };
        match tokio::time::timeout(AFTERMATH_TIMEOUT, work).await {
            Ok(()) if !job.checkpoints.is_unclean() => {
                tracing::info!(%job_id, "all that the job's checkpoints had left is deleted")
            }
            _ => tracing::warn!(
                %job_id,
                folder = job.storage.folder(),
                "not all that the job's checkpoints left could be deleted: what is left stays"
            ),
        }
    }
}

impl JobMaster {
    /// Whether something is left to be seen to when the job is over.
    pub(super) fn is_unclean(&self) -> bool {
        self.checkpoints.is_unclean() || !self.job_claim.is_over()
    }

    /// Ends checkpoints that are under way and deletes those that do not outlive the job.
    pub(super) async fn clean_up(&mut self, status: JobStatus) {
        let limit = if status == JobStatus::Suspended { SUSPEND_TIMEOUT } else { CLEANUP_TIMEOUT };
        let work = async {
            self.end_checkpoints(status).await;
            while (self.act_on_checkpoints() || self.checkpoints.is_busy()) && self.next_completion().await {}
            self.remove_unneeded_folder().await;
        };
        if tokio::time::timeout(limit, work).await.is_err() {
            tracing::warn!(job_id = %self.job_id(), "not all checkpoints of the job could be deleted in time");
        }
    }

    /// Waits for checkpoints whose metadata are being written, and has deleted what does not outlive the job.
    async fn end_checkpoints(&mut self, status: JobStatus) {
        while self.checkpoints.is_finalizing() && self.next_completion().await {}
        let now = self.now();
        let unrecoverable = status == JobStatus::Failed && self.scheduler.is_unrecoverable();
        self.checkpoints.shut_down(status, unrecoverable, now);
        if let Some(latest) = self.checkpoints.latest().filter(|_| unrecoverable) {
            let (job_id, path) = (self.job_id(), &latest.pointer);
            tracing::warn!(%job_id, %path, "the checkpoints of a job that could not be recovered stay: start from one, or delete them");
        }
    }

    async fn remove_unneeded_folder(&mut self) {
        // What the job started from is not in its own folder: only that is looked at.
        if !self.checkpoints.has_folder() || self.leaves_checkpoints {
            return;
        }
        let storage = self.storage.clone();
        if let Err(error) = self.answering(storage.remove_job_folder()).await {
            let reason = state_failure(&error).stack_trace();
            tracing::warn!(job_id = %self.job_id(), reason = reason.trim_end(), "the job's folder stays");
        }
    }

    /// Deletes and sweeps until nothing is left.
    async fn look_after_folder(&mut self) {
        loop {
            while (self.act_on_checkpoints() || self.checkpoints.is_busy()) && self.next_completion().await {}
            let now = self.now();
            let Some(due) = self.checkpoints.next_tick(now) else { return };
            tokio::time::sleep(Duration::from_millis((due - now).max(1) as u64)).await;
        }
    }

    /// What is under way for checkpoints comes to its end after the job. So may other things, which change nothing any more: the
    /// scheduler's state is final, and what it wants done is not done. False: nothing is under way.
    pub(super) async fn next_completion(&mut self) -> bool {
        let next = loop {
            tokio::select! {
                biased;
                next = self.completions.join_next() => break next,
                Some(message) = self.receiver.recv() => self.answer_at_the_end(message),
            }
        };
        match next {
            Some(Ok(done)) => self.completed(done),
            Some(Err(error)) if error.is_cancelled() => {}
            Some(Err(error)) => {
                tracing::error!(job_id = %self.job_id(), %error, "what was under way at the end of a job ended abnormally");
            }
            None => return false,
        }
        true
    }

    /// Waits, and answers.
    pub(super) async fn answering<T>(&mut self, work: impl Future<Output = T>) -> T {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(message) = self.receiver.recv() => self.answer_at_the_end(message),
            }
        }
    }

    /// Tells callers how the job is: it is not over for any of them before its checkpoints are seen to. Those that want
    /// something of it come too late.
    fn answer_at_the_end(&self, message: Message) {
        let reply = match message {
            Message::Describe { reply } => reply,
            // The job ends already. A cancellation that is not answered is tried again at once, until the job is archived.
            Message::Cancel { reply } => {
                let _ = reply.send(());
                return;
            }
            _ => return,
        };
        // The caller may have gone.
        let _ = reply.send(self.describe_before_end());
    }

    /// The job as it is, or was before its end.
    pub(super) fn describe_before_end(&self) -> Arc<JobInfo> {
        let mut info = self.describe();
        let before = match info.status {
            JobStatus::Finished => JobStatus::Running,
            JobStatus::Canceled => JobStatus::Cancelling,
            JobStatus::Failed => JobStatus::Failing,
            _ => return info,
        };
        let ending = Arc::make_mut(&mut info);
        ending.timestamps.enter(ending.status, 0);
        ending.status = before;
        info
    }
}
