//! What the log says of the tasks of a job.
//!
//! Tasks of a job that fails at once, and is restarted without a delay, begin and end hundreds of times a second. What is said of
//! a task is said a few times, and then again only after a while, with how many lines of the job were left out meanwhile.
use std::sync::Arc;

use wiesel_common::logging::Limit;
use wiesel_common::time::Clock;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

/// How often it is said of a job's tasks that they begin and end.
pub(crate) struct JobLog {
    starts: Limit,
    ends: Limit,
    failures: Limit,
}

impl Default for JobLog {
    fn default() -> Self {
        // All tasks of a job may begin at once, and each is worth a line.
        Self { starts: Limit::of_each(), ends: Limit::of_each(), failures: Limit::of_job() }
    }
}

/// Each says how many lines were left out before this one, or that this one is, too. `now` is of the clock that only runs.
impl JobLog {
    fn starts(&self, task: &str, now: i64) -> Option<u64> {
        self.starts.admit_text(task, now)
    }

    fn ended(&self, task: &str, state: ExecutionState, now: i64) -> Option<u64> {
        self.ends.admit_text(&format!("{task} {}", state.as_str_name()), now)
    }

    fn failed(&self, task: &str, failure: &proto::Failure, now: i64) -> Option<u64> {
        self.failures.admit_text(&format!("{task} {}: {}", failure.class, failure.message), now)
    }
}

/// The lines of one attempt.
pub(super) struct TaskLog {
    pub(super) job: Arc<JobLog>,
    /// The task's name, whichever attempt it is: that is in the span of each line.
    pub(super) task: String,
    pub(super) task_manager: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl TaskLog {
    pub(super) fn starts(&self) {
        if let Some(left_out) = self.job.starts(&self.task, self.clock.monotonic_millis()) {
            tracing::info!(left_out = counted(left_out), "task starts");
        }
    }

    pub(super) fn ended(&self, state: ExecutionState) {
        if let Some(left_out) = self.job.ended(&self.task, state, self.clock.monotonic_millis()) {
            tracing::info!(left_out = counted(left_out), state = state.as_str_name(), "task ended");
        }
    }

    pub(super) fn failed(&self, failure: &proto::Failure) {
        if let Some(left_out) = self.job.failed(&self.task, failure, self.clock.monotonic_millis()) {
            let (task_manager, reason) = (&self.task_manager, &failure.message);
            tracing::warn!(%task_manager, left_out = counted(left_out), %reason, "task failed");
        }
    }
}

/// A field that is there if there is something to say.
fn counted(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(message: &str) -> proto::Failure {
        proto::Failure { message: message.to_owned(), ..Default::default() }
    }

    /// Before, each attempt was three lines, one of them with the whole failure.
    #[test]
    fn a_task_that_fails_again_at_once_is_logged_now_and_then() {
        let log = JobLog::default();
        let (mut starts, mut failures) = (Vec::new(), Vec::new());
        for attempt in 0..3_000 {
            let now = attempt * 4;
            starts.extend(log.starts("t (1/1)", now));
            failures.extend(log.failed("t (1/1)", &failure("/ by zero"), now));
        }
        // Ten of the 2,500 in ten seconds, and ten of the 500 that follow.
        let mut said = vec![0; 20];
        said[10] = 2_490;
        assert_eq!((&starts, &failures), (&said, &said));
        assert_eq!(log.failed("t (1/1)", &failure("overflow"), 12_000), Some(490), "another one is news");
    }

    #[test]
    fn each_task_is_logged_however_many_there_are() {
        let log = JobLog::default();
        let names: Vec<String> = (0..1_000).map(|subtask| format!("t ({subtask}/1000)")).collect();
        assert!(names.iter().all(|name| log.starts(name, 0) == Some(0)));
        assert!(names.iter().all(|name| log.ended(name, ExecutionState::Canceled, 1) == Some(0)));
        // It was cancelled before, and has finished now.
        assert_eq!(log.ended(&names[0], ExecutionState::Finished, 2), Some(0));
        assert_eq!((1..11).filter_map(|now| log.starts(&names[0], now)).collect::<Vec<_>>(), [0; 9]);
        assert_eq!(log.starts(&names[0], 9_999), None);
        assert_eq!(log.starts(&names[0], 10_000), Some(2));
    }
}
