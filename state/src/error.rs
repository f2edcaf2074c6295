//! Why state could not be read or written.

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
    /// State that is not what it was when it was written: a checksum, a truncated file, a newer version.
    #[error("{0}")]
    Corrupt(String),
    /// State that does not fit the job: another type, no such state, another maximum parallelism.
    #[error("{0}")]
    Incompatible(String),
    /// The back end.
    #[error("{0}")]
    Backend(String),
    /// A value in the configuration.
    #[error(transparent)]
    Configuration(#[from] wiesel_common::config::ConfigError),
}

/// The outcome of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;
