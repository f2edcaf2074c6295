//! From an error in a task to what the JobMaster is told.
use std::any::Any;
use std::error::Error as StdError;

use wiesel_common::quote::{bound_failure, quote};
use wiesel_network as network;
use wiesel_operators::operator::Error;
use wiesel_proto as proto;

/// The error of an operator that waits on the data plane.
pub(crate) fn from_network(error: network::Error) -> Error {
    match error {
        network::Error::Cancelled => Error::Cancelled,
        other => Error::External { message: other.to_string(), source: Some(Box::new(other)) },
    }
}

/// Whether the task ended because a producer did: that task tells the reason, this one counts as cancelled.
pub(crate) fn is_consequence(error: &Error) -> bool {
    let Error::External { source: Some(source), .. } = error else { return false };
    matches!(source.downcast_ref::<network::Error>(), Some(network::Error::ProducerFailed { .. }))
}

/// The message of an error.
pub(crate) fn describe(error: &Error) -> proto::Failure {
    let class = match error {
        Error::Data { class, .. } => class,
        Error::External { source: Some(source), .. } => match source.downcast_ref::<network::Error>() {
            Some(
                network::Error::ConnectionClosed(_)
                | network::Error::ConnectFailed { .. }
                | network::Error::ConnectionLost { .. },
            ) => "org.apache.flink.runtime.io.network.netty.exception.RemoteTransportException",
            Some(network::Error::PartitionNotFound(_)) => {
                "org.apache.flink.runtime.io.network.partition.PartitionNotFoundException"
            }
            _ => "java.io.IOException",
        },
        Error::External { source: None, .. } => "java.io.IOException",
        Error::Plan(_) => "org.apache.flink.streaming.runtime.tasks.StreamTaskException",
        Error::State(wiesel_state::Error::Incompatible(_)) => "org.apache.flink.util.StateMigrationException",
        Error::State(_) => "java.io.IOException",
        _ => "org.apache.flink.util.FlinkRuntimeException",
    };
    let mut causes = Vec::new();
    let message = error.to_string();
    let mut cause = error.source();
    while let Some(current) = cause {
        let text = current.to_string();
        if text != message && causes.last() != Some(&text) {
            causes.push(text);
        }
        cause = current.source();
    }
    bounded(proto::Failure { message, causes, class: class.to_owned(), fatal: is_fatal(error) })
}

/// A failure that can be told whatever it says: an error may quote a value of a row, and a row may be of any size.
pub(crate) fn bounded(mut failure: proto::Failure) -> proto::Failure {
    bound_failure([&mut failure.message, &mut failure.class], &mut failure.causes);
    failure
}

/// A failure that the JobMaster does not take is told so.
pub(crate) fn without_text(failure: &proto::Failure) -> proto::Failure {
    proto::Failure {
        message: "The JobManager did not take the text of the failure: it is in the log of the TaskManager.".to_owned(),
        causes: Vec::new(),
        class: quote(&failure.class).into_owned(),
        fatal: failure.fatal,
    }
}

/// Whether the next attempt meets the same.
fn is_fatal(error: &Error) -> bool {
    use wiesel_state::Error::{Configuration, Corrupt, Incompatible, Missing};
    matches!(error, Error::Plan(_) | Error::State(Corrupt(_) | Missing(_) | Incompatible(_) | Configuration(_)))
}

/// A checkpoint that a task does not take part in, though nothing is wrong with it.
pub(crate) fn declined(reason: &str) -> proto::Failure {
    proto::Failure {
        message: reason.to_owned(),
        causes: Vec::new(),
        class: "org.apache.flink.runtime.checkpoint.CheckpointException".to_owned(),
        fatal: false,
    }
}

/// The message of a panic.
pub(crate) fn from_panic(panic: &(dyn Any + Send)) -> proto::Failure {
    let what = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned());
    bounded(proto::Failure {
        message: format!("The task's thread panicked: {what}"),
        causes: Vec::new(),
        class: "java.lang.IllegalStateException".to_owned(),
        fatal: false,
    })
}

#[cfg(test)]
mod tests {
    use wiesel_common::quote::{MAX_CAUSES, MAX_MESSAGE};

    use super::*;

    /// Before, a job whose checkpoint lacked a file was restarted for ever.
    #[test]
    fn a_missing_state_file_is_as_final_as_a_damaged_one() {
        let fatal = |error: wiesel_state::Error| describe(&error.into()).fatal;
        assert!(fatal(wiesel_state::Error::Missing("gone".into())));
        assert!(fatal(wiesel_state::Error::Corrupt("damaged".into())));
        assert!(!fatal(wiesel_state::Error::Backend("busy".into())));
    }

    #[test]
    fn what_a_failure_says_is_bounded() {
        let failure = proto::Failure {
            message: "ä".repeat(1 << 20),
            causes: vec!["short".to_owned(); 1000],
            ..proto::Failure::default()
        };
        let told = bounded(failure);
        assert!(told.message.ends_with(&format!("ä... ({} more bytes)", (2 << 20) - MAX_MESSAGE)));
        assert_eq!((told.causes.len(), told.causes[0].as_str()), (MAX_CAUSES, "short"));
    }
}
