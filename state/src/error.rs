//! Why state could not be read or written.
use wiesel_common::filesystem;

/// The error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file or the store: what was tried on what.
    #[error("{message}")]
    Storage {
        /// What was tried on what.
        message: String,
        /// Its cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file that could not be read or written.
    #[error(transparent)]
    File(#[from] filesystem::Error),
    /// State that is not what it was when it was written: a checksum, a truncated file, a newer version.
    #[error("{0}")]
    Corrupt(String),
    /// A file of a checkpoint that is not there: it will not come back by itself.
    #[error("{0}")]
    Missing(String),
    /// State that does not fit the job: another type, no such state, another maximum parallelism.
    #[error("{0}")]
    Incompatible(String),
    /// State that does not fit where it is to be kept.
    #[error("{0}")]
    TooLarge(String),
    /// Another run's checkpoints are where this one's should be.
    #[error("{0}")]
    Occupied(String),
    /// A checkpoint that is a job's, which has claimed it, and nobody else's to delete.
    #[error("{0}")]
    Claimed(String),
    /// The back end.
    #[error("{0}")]
    Backend(String),
    /// A value in the configuration.
    #[error(transparent)]
    Configuration(#[from] wiesel_common::config::ConfigError),
}

impl Error {
    /// A [`Error::Storage`].
    pub fn storage(message: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Storage { message: message.into(), source: source.into() }
    }

    /// Whether a file is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Missing(_) => true,
            Self::File(error) => error.is_not_found(),
            _ => false,
        }
    }
}

/// The outcome of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
