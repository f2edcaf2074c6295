//! What the log says of a job that fails again and again.
//!
//! A job that fails at once and is restarted without a delay does so hundreds of times a second. A failure is logged whole, a few
//! times, and again only after a while, with how many lines were left out meanwhile. REST has all of them, as many as the history keeps.
use std::time::Duration;

use wiesel_common::id::AttemptId;
use wiesel_common::logging::Limit;

use super::actor::JobMaster;
use super::exception_history::ExceptionEntry;
use super::execution_graph::is_terminal;
use crate::failure::FailureInfo;

/// How often each of these is logged.
pub(super) struct FailureLog {
    tasks: Limit,
    restarts: Limit,
    restores: Limit,
}

impl Default for FailureLog {
    fn default() -> Self {
        Self { tasks: Limit::of_job(), restarts: Limit::of_job(), restores: Limit::of_job() }
    }
}

/// Each says how many lines were left out before this one, or that this one is, too. `now` is of the clock that only runs.
impl FailureLog {
    pub(super) fn task(&self, task: &str, failure: &FailureInfo, now: i64) -> Option<u64> {
        self.tasks.admit_text(&format!("{task}: {failure}"), now)
    }

    pub(super) fn restart(&self, cause: &str, now: i64) -> Option<u64> {
        self.restarts.admit_text(cause, now)
    }

    pub(super) fn restore(&self, checkpoint: &str, now: i64) -> Option<u64> {
        self.restores.admit_text(checkpoint, now)
    }

    /// How many lines were left out that no other says anything of.
    pub(super) fn left_out(&self) -> u64 {
        [&self.tasks, &self.restarts, &self.restores].into_iter().map(Limit::take_left_out).sum()
    }
}

impl JobMaster {
    /// A line for a task that failed, under the name that its TaskManager has for it, whatever follows from it.
    pub(super) fn log_failed_task(&self, attempt: AttemptId, failure: &FailureInfo) {
        let graph = self.scheduler.graph();
        let Some((vertex, subtask)) = graph.find(attempt) else { return };
        let execution = &graph.vertices[vertex].subtasks[subtask];
        // What is told twice was logged before.
        if is_terminal(execution.state) {
            return;
        }
        let task = graph.task_name(vertex, subtask);
        let Some(left_out) = self.failure_log.task(&task, failure, self.now()) else { return };
        tracing::warn!(
            job_id = %self.job_id(),
            task = %format_args!("{task}#{}", execution.attempt_number),
            task_manager = execution.slot.as_ref().map(|slot| display(&slot.location.resource_id)),
            left_out = counted(left_out),
            reason = %failure.message,
            "task failed"
        );
    }

    /// A line for a restart, with its cause.
    pub(super) fn log_restart(&self, delay: Duration) {
        let latest = self.scheduler.history().entries().next();
        let task = latest.and_then(|entry| entry.task.as_ref());
        let location = task.and_then(|task| task.location.as_ref());
        let cause = cause_of_restart(latest);
        let Some(left_out) = self.failure_log.restart(&cause, self.now()) else { return };
        tracing::warn!(
            job_id = %self.job_id(),
            task = task.map(|task| display(task.name.replace(" - execution ", ""))),
            task_manager = location.map(|location| display(&location.resource_id)),
            ?delay,
            left_out = counted(left_out),
            "job restarts: {cause}"
        );
    }
}

/// The latest failure. Without one the job was taken over, and what did not go on as it was begins again.
fn cause_of_restart(latest: Option<&ExceptionEntry>) -> String {
    match latest {
        Some(entry) => entry.failure.stack_trace().trim_end().to_owned(),
        None => "not all of its tasks are taken over from the JobManager that led before".to_owned(),
    }
}

/// A field that is there if there is something to say.
pub(super) fn counted(left_out: u64) -> Option<u64> {
    (left_out > 0).then_some(left_out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure;

    /// Failed before: the line of a restart that no failure has caused said "job restarts: " and no more.
    #[test]
    fn a_restart_is_logged_with_its_cause() {
        assert!(cause_of_restart(None).contains("taken over"));
        let failure = FailureInfo::new(failure::INTERNAL, "a disk is full");
        let entry = ExceptionEntry { failure, timestamp: 0, task: None, concurrent: Vec::new() };
        let cause = cause_of_restart(Some(&entry));
        assert!(cause.ends_with("a disk is full"), "{cause}");
    }
}
