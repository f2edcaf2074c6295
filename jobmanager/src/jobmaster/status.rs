//! The states of a job.
use std::fmt;

/// Flink's `JobStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JobStatus {
    /// Accepted, not set up yet.
    Initializing,
    /// Set up, nothing scheduled yet.
    Created,
    /// Tasks are scheduled or running.
    Running,
    /// It failed for good; its tasks are being cancelled.
    Failing,
    /// It failed.
    Failed,
    /// A user cancelled it; its tasks are being cancelled.
    Cancelling,
    /// It was cancelled.
    Canceled,
    /// All tasks finished.
    Finished,
    /// It failed and will run again.
    Restarting,
    /// The JobManager stopped; another may take it up.
    Suspended,
    /// A new leader looks for what still runs.
    Reconciling,
}

impl JobStatus {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
        Self::Reconciling,
    ];

    /// Flink's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
        }
    }

    /// Over, for every JobManager there will ever be.
    pub fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// Over for this JobManager.
    pub fn is_terminal(self) -> bool {
        self.is_globally_terminal() || self == Self::Suspended
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// When a job entered each state last: milliseconds since the epoch, 0 for never.
#[derive(Clone, Debug, Default)]
pub struct StatusTimestamps([i64; JobStatus::ALL.len()]);

impl StatusTimestamps {
    /// Notes that the state was entered.
    pub fn enter(&mut self, status: JobStatus, now: i64) {
        self.0[status as usize] = now;
    }

    /// When the state was entered last.
    pub fn get(&self, status: JobStatus) -> i64 {
        self.0[status as usize]
    }
}
