//! How an application ended.
use std::fmt;

use crate::jobmaster::status::JobStatus;

/// Flink's `ApplicationStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApplicationStatus {
    /// All its jobs finished.
    Succeeded,
    /// A job failed, or its script cannot be run.
    Failed,
    /// A job was cancelled.
    Canceled,
    /// The JobManager was told to stop before.
    Unknown,
}

impl ApplicationStatus {
    /// What a job that has ended makes of its application.
    pub(super) fn of_job(status: JobStatus) -> Self {
        match status {
            JobStatus::Finished => Self::Succeeded,
            JobStatus::Canceled => Self::Canceled,
            JobStatus::Failed => Self::Failed,
            _ => Self::Unknown,
        }
    }

    /// The exit status of the process. Of one that is told to stop it is that of a process which the signal SIGTERM ends: whoever
    /// watches it must not take an application that did not end for one that finished.
    pub fn exit_status(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Canceled => 2,
            Self::Unknown => 143,
        }
    }
}

impl fmt::Display for ApplicationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::Canceled => "CANCELED",
            Self::Unknown => "UNKNOWN",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_a_status_of_its_own() {
        let exit_status = |job| ApplicationStatus::of_job(job).exit_status();
        let ends = [JobStatus::Finished, JobStatus::Failed, JobStatus::Canceled, JobStatus::Suspended];
        assert_eq!(ends.map(exit_status), [0, 1, 2, 143]);
    }
}
