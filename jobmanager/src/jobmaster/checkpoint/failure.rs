//! Why a checkpoint failed, in Flink's words, and which failures count against the job.
use std::fmt;

use crate::failure::FailureInfo;

/// Flink's class for failed checkpoints.
pub const CHECKPOINT_EXCEPTION: &str = "org.apache.flink.runtime.checkpoint.CheckpointException";

/// Flink's `CheckpointFailureReason`, as far as it occurs here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A task is not running yet, or not any more.
    NotAllRequiredTasksRunning,
    /// The store, on the side of the JobManager.
    IoException,
    /// A task could not write its state.
    AsyncException,
    /// Not complete in time.
    Expired,
    /// A newer one is complete.
    Subsumed,
    /// A task cannot take part now: it ends, or has seen a newer one.
    TaskNotReady,
    /// A task refused.
    Declined,
    /// The job ends.
    CoordinatorShutdown,
    /// The job restarts.
    CoordinatorSuspend,
    /// A task or an enumerator could not be asked.
    TriggerFailure,
    /// The job is not one that can be asked for a savepoint now.
    SchedulerShutdown,
    /// Too many requests wait.
    TooManyRequests,
}

impl Reason {
    /// Flink's text.
    pub fn message(self) -> &'static str {
        match self {
            Self::NotAllRequiredTasksRunning => "Not all required tasks are currently running.",
            Self::IoException => "An Exception occurred while triggering the checkpoint. IO-problem detected.",
            Self::AsyncException => "Asynchronous task checkpoint failed.",
            Self::Expired => "Checkpoint expired before completing.",
            Self::Subsumed => "Checkpoint has been subsumed.",
            Self::TaskNotReady => "Checkpoint was declined (tasks not ready)",
            Self::Declined => "Checkpoint was declined.",
            Self::CoordinatorShutdown => "CheckpointCoordinator shutdown.",
            Self::CoordinatorSuspend => "Checkpoint Coordinator is suspending.",
            Self::TriggerFailure => "Trigger checkpoint failure.",
            Self::SchedulerShutdown => "Periodic checkpoint scheduler is shut down.",
            Self::TooManyRequests => "The maximum number of queued checkpoint requests exceeded",
        }
    }

    /// Whether it counts against `execution.checkpointing.tolerable-failed-checkpoints`.
    pub fn counts(self) -> bool {
        matches!(self, Self::IoException | Self::AsyncException | Self::Expired | Self::Declined)
    }

    /// Whether a task was to blame.
    pub fn of_tasks(self) -> bool {
        matches!(self, Self::AsyncException | Self::Declined)
    }
}

/// A failed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckpointFailure {
    /// Why.
    pub reason: Reason,
    /// What was behind it.
    pub cause: Option<FailureInfo>,
}

impl CheckpointFailure {
    /// A failure that its reason explains.
    pub fn new(reason: Reason) -> Self {
        Self { reason, cause: None }
    }

    /// A failure with what was behind it.
    pub fn because(reason: Reason, cause: FailureInfo) -> Self {
        Self { reason, cause: Some(cause) }
    }

    /// As a failure of the job would show it.
    pub fn info(&self) -> FailureInfo {
        match &self.cause {
            Some(cause) => {
                let fatal = false;
                FailureInfo { fatal, ..FailureInfo::wrap(CHECKPOINT_EXCEPTION, self.reason.message(), cause) }
            }
            None => FailureInfo::new(CHECKPOINT_EXCEPTION, self.reason.message()),
        }
    }
}

impl fmt::Display for CheckpointFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.reason.message())?;
        match &self.cause {
            Some(cause) => write!(f, " Caused by: {cause}"),
            None => Ok(()),
        }
    }
}

/// An error of the store, for users.
pub fn state_failure(error: &wiesel_state::Error) -> FailureInfo {
    use wiesel_state::Error;
    let class = match error {
        Error::Storage { .. }
        | Error::File(_)
        | Error::Corrupt(_)
        | Error::Missing(_)
        | Error::TooLarge(_)
        | Error::Occupied(_) => "java.io.IOException",
        Error::Incompatible(_) | Error::Claimed(_) => "java.lang.IllegalStateException",
        Error::Configuration(_) => "org.apache.flink.configuration.IllegalConfigurationException",
        Error::Backend(_) => crate::failure::INTERNAL,
    };
    let mut failure = FailureInfo::new(class, error.to_string());
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        failure.causes.push(cause.to_string());
        source = cause.source();
    }
    failure
}

/// How many checkpoints failed in a row.
#[derive(Clone, Debug)]
pub struct FailureCounter {
    tolerable: u32,
    continuous: u32,
    last_success: u64,
}

impl FailureCounter {
    /// A counter that allows so many.
    pub fn new(tolerable: u32) -> Self {
        Self { tolerable, continuous: 0, last_success: 0 }
    }

    /// A checkpoint is complete.
    pub fn succeeded(&mut self, checkpoint_id: u64) {
        if checkpoint_id > self.last_success {
            self.last_success = checkpoint_id;
            self.continuous = 0;
        }
    }

    /// A checkpoint failed. What the job fails with, if that was one too many.
    pub fn failed(&mut self, checkpoint_id: u64, failure: &CheckpointFailure) -> Option<FailureInfo> {
        if !failure.reason.counts() || checkpoint_id <= self.last_success || self.tolerable == i32::MAX as u32 {
            return None;
        }
        self.continuous += 1;
        if self.continuous <= self.tolerable {
            return None;
        }
        self.continuous = 0;
        let message = format!(
            "Exceeded checkpoint tolerable failure threshold. The latest checkpoint failed due to {} view the Checkpoint \
             History tab or the Job Manager log to find out why continuous checkpoints failed.",
            failure.reason.message()
        );
        let class = "org.apache.flink.util.FlinkRuntimeException";
        Some(match &failure.cause {
            Some(_) => FailureInfo { fatal: false, ..FailureInfo::wrap(class, message, &failure.info()) },
            None => FailureInfo::new(class, message),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_fail_the_job_at_the_threshold() {
        let expired = CheckpointFailure::new(Reason::Expired);
        let mut counter = FailureCounter::new(1);
        assert_eq!(counter.failed(1, &expired), None);
        counter.succeeded(2);
        assert_eq!(counter.failed(3, &expired), None, "the success before reset the count");
        let failure = counter.failed(4, &expired).unwrap();
        assert!(failure.message.starts_with("Exceeded checkpoint tolerable failure threshold."), "{failure}");
        assert_eq!(counter.failed(5, &expired), None, "the count begins anew");
    }

    #[test]
    fn some_failures_do_not_count() {
        let mut counter = FailureCounter::new(0);
        for reason in [
            Reason::NotAllRequiredTasksRunning,
            Reason::Subsumed,
            Reason::TaskNotReady,
            Reason::CoordinatorShutdown,
            Reason::CoordinatorSuspend,
            Reason::TriggerFailure,
        ] {
            assert_eq!(counter.failed(1, &CheckpointFailure::new(reason)), None, "{reason:?}");
        }
        counter.succeeded(5);
        let io = CheckpointFailure::because(Reason::IoException, FailureInfo::new("java.io.IOException", "disk full"));
        assert_eq!(counter.failed(4, &io), None, "a later one is complete already");
        assert!(counter.failed(6, &io).unwrap().stack_trace().contains("disk full"));
    }
}
