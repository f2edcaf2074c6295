//! What can go wrong between tasks.
use std::sync::Arc;

use crate::id::{ChannelKey, PartitionId};

/// Why data could not be exchanged. Cheap to clone: one cut connection fails every channel on it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The memory model leaves too few buffers for what the job asks for.
    #[error(
        "Insufficient number of network buffers: required {required}, but only {available} available. The total number of \
         network buffers is currently set to {total} of {segment_size} bytes each. You can increase this number by setting \
         the configuration keys 'taskmanager.memory.network.fraction', 'taskmanager.memory.network.min', and \
         'taskmanager.memory.network.max'."
    )]
    InsufficientBuffers {
        /// Segments asked for.
        required: usize,
        /// Segments free.
        available: usize,
        /// Segments there are.
        total: usize,
        /// Bytes of a segment.
        segment_size: usize,
    },
    /// The peer went away.
    #[error(
        "Connection unexpectedly closed by remote task manager '{0}'. This might indicate that the remote task manager was lost."
    )]
    ConnectionClosed(Arc<str>),
    /// The peer could not be reached.
    #[error(
        "Connecting to remote task manager '{address}' has failed. This might indicate that the remote task manager has been \
         lost: {cause}"
    )]
    ConnectFailed {
        /// Its data plane address.
        address: Arc<str>,
        /// The last attempt's failure.
        cause: Arc<str>,
    },
    /// The connection broke while it was used.
    #[error(
        "Lost the connection to task manager '{address}' ({cause}). This might indicate that the remote task manager was lost."
    )]
    ConnectionLost {
        /// Its data plane address.
        address: Arc<str>,
        /// What the operating system said.
        cause: Arc<str>,
    },
    /// The peer does not speak this protocol, or speaks it wrongly.
    #[error("Task manager '{address}' broke the data plane's protocol: {cause}")]
    Protocol {
        /// Its data plane address.
        address: Arc<str>,
        /// What it did.
        cause: Arc<str>,
    },
    /// What came is not what was sent.
    #[error(
        "What task manager '{address}' sent was damaged on its way: the check sum of {bytes} bytes is wrong \
         (taskmanager.network.payload-checksum). Check the memory and the network of both machines."
    )]
    Damaged {
        /// The sender's data plane address.
        address: Arc<str>,
        /// How many bytes.
        bytes: usize,
    },
    /// No task offered the partition in time.
    #[error("Partition {0} not found.")]
    PartitionNotFound(PartitionId),
    /// The task that produces the data failed or was cancelled: the reason is reported by that task.
    #[error("The producer of {channel} is gone: {cause}")]
    ProducerFailed {
        /// The channel that ends without its end of input.
        channel: ChannelKey,
        /// What the producer said.
        cause: Arc<str>,
    },
    /// Rows could not be encoded, decoded or taken apart.
    #[error("Network exchange: {0}")]
    Arrow(Arc<arrow::error::ArrowError>),
    /// A key cannot be hashed.
    #[error("Network exchange: {0}")]
    Partition(Arc<str>),
    /// A frame would be longer than a frame may be.
    #[error("One row takes {bytes} bytes on the wire; the data plane carries at most {max}")]
    TooLarge {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The data port cannot be bound.
    #[error("Could not bind the data port {address} (taskmanager.data.port): {cause}")]
    Bind {
        /// What was tried.
        address: Arc<str>,
        /// Why not.
        cause: Arc<str>,
    },
    /// The task is being cancelled.
    #[error("the task was cancelled")]
    Cancelled,
}

impl From<arrow::error::ArrowError> for Error {
    fn from(error: arrow::error::ArrowError) -> Self {
        Self::Arrow(Arc::new(error))
    }
}

/// The outcome of an exchange.
pub type Result<T, E = Error> = std::result::Result<T, E>;
