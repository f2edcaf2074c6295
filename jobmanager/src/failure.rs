//! Why something failed, in the words a user of Flink knows: a class, a message and a chain of causes.
use std::fmt;

use wiesel_common::quote::{self, MAX_CAUSES};
use wiesel_proto as proto;

/// Flink's `JobException`: a job that cannot go on.
pub const JOB_EXCEPTION: &str = "org.apache.flink.runtime.JobException";
/// Flink's class for missing slots.
pub const NO_RESOURCE_AVAILABLE: &str = "org.apache.flink.runtime.jobmanager.scheduler.NoResourceAvailableException";
/// A TaskManager that is gone.
pub const TASK_MANAGER_LOST: &str = "org.apache.flink.runtime.jobmaster.JobMasterException";
/// A job that failed after the savepoint that it was to stop with.
pub const STOP_WITH_SAVEPOINT_STOPPING: &str =
    "org.apache.flink.runtime.scheduler.stopwithsavepoint.StopWithSavepointStoppingException";
/// A job that could not be set up.
pub const JOB_INITIALIZATION: &str = "org.apache.flink.runtime.client.JobInitializationException";
/// An error of Wiesel's own.
pub const INTERNAL: &str = "org.apache.flink.util.FlinkException";

/// A failure of a task or a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailureInfo {
    /// The class that Flink names for it.
    pub class: String,
    /// One line: what happened.
    pub message: String,
    /// The causes, outermost first, one line each.
    pub causes: Vec<String>,
    /// Restarting cannot help.
    pub fatal: bool,
}

impl FailureInfo {
    /// A failure without a cause.
    pub fn new(class: impl Into<String>, message: impl Into<String>) -> Self {
        Self { class: class.into(), message: quote::message(message), causes: Vec::new(), fatal: false }
    }

    /// The same failure, because of something else.
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.causes.push(quote::message(cause.to_string()));
        self
    }

    /// A failure whose cause is another failure.
    pub fn wrap(class: impl Into<String>, message: impl Into<String>, cause: &FailureInfo) -> Self {
        let mut causes = vec![cause.to_string()];
        causes.extend(cause.causes.iter().take(MAX_CAUSES).cloned());
        Self { class: class.into(), message: quote::message(message), causes, fatal: cause.fatal }
    }

    /// The failure as a stack trace without frames: each cause on its own line.
    pub fn stack_trace(&self) -> String {
        let mut text = format!("{self}\n");
        for cause in &self.causes {
            text.push_str("Caused by: ");
            text.push_str(cause);
            text.push('\n');
        }
        text
    }
}

impl fmt::Display for FailureInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.class, self.message)
    }
}

impl From<proto::Failure> for FailureInfo {
    fn from(failure: proto::Failure) -> Self {
        let class = if failure.class.is_empty() { INTERNAL.to_owned() } else { failure.class };
        Self { class, message: failure.message, causes: failure.causes, fatal: failure.fatal }
    }
}

impl From<FailureInfo> for proto::Failure {
    fn from(failure: FailureInfo) -> Self {
        let FailureInfo { class, message, causes, fatal } = failure;
        Self { class, message, causes, fatal }
    }
}

impl From<&wiesel_operators::operator::Error> for FailureInfo {
    fn from(error: &wiesel_operators::operator::Error) -> Self {
        use wiesel_operators::operator::Error;
        let (class, fatal) = match error {
            Error::Data { class, .. } => (*class, false),
            Error::External { .. } => ("java.io.IOException", false),
            Error::Plan(_) => ("org.apache.flink.table.api.ValidationException", true),
            Error::State(error) => {
                use wiesel_state::Error::{Configuration, Corrupt, Incompatible, Missing};
                let fatal = matches!(error, Corrupt(_) | Missing(_) | Incompatible(_) | Configuration(_));
                (if fatal { "org.apache.flink.util.StateMigrationException" } else { "java.io.IOException" }, fatal)
            }
            Error::OverBudget | Error::Arrow(_) | Error::Expression(_) | Error::Cancelled => (INTERNAL, false),
        };
        let mut failure = Self { fatal, ..Self::new(class, error.to_string()) };
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            failure.causes.push(quote::message(cause.to_string()));
            source = cause.source();
        }
        failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_failure_says_is_bounded() {
        let long = "x".repeat(70 << 20);
        let failure = FailureInfo::new(INTERNAL, long.clone()).because(&long);
        assert!(failure.stack_trace().len() < 3 * quote::MAX_MESSAGE);
        let mut chain = failure;
        for _ in 0..300 {
            chain = FailureInfo::wrap(JOB_EXCEPTION, "again", &chain);
        }
        assert_eq!(chain.causes.len(), MAX_CAUSES + 1);
    }

    #[test]
    fn a_wrapped_failure_keeps_the_chain() {
        let root = FailureInfo::new("java.lang.ArithmeticException", "/ by zero").because("row 7");
        let wrapped = FailureInfo::wrap(JOB_EXCEPTION, "Recovery is suppressed", &root);
        assert_eq!(
            wrapped.stack_trace(),
            "org.apache.flink.runtime.JobException: Recovery is suppressed\n\
             Caused by: java.lang.ArithmeticException: / by zero\nCaused by: row 7\n"
        );
    }
}
