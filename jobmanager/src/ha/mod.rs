//! High availability: what has to outlive a JobManager, and who leads.
//!
//! A [`RecordStore`] keeps the records of a cluster: of each job what its next JobMaster needs, of each job that has ended its
//! result, of an application its result. A leader is told of by its epoch, which the election counts upwards; without an election
//! it is 0. Each write carries it, and once a later leader has begun ([`RecordStore::fence`]) no write of an earlier one is done.
//!
//! Invariant: what a write was answered as done is read by every later leader, unless that one has replaced it; what was answered as
//! a conflict, as too long or as not reached was not done, and will not be.
use bytes::Bytes;
use wiesel_common::id::JobId;

mod contest;
mod election;
mod frame;
mod lease_election;
mod memory;
mod services;
mod stored_fence;
mod stored_records;

pub use election::{ElectionError, LeaderElection, Leadership, Loss, StandaloneElection, while_leading};
pub use lease_election::LeaseElection;
pub use memory::MemoryRecords;
pub use services::HighAvailabilityServices;
pub use stored_records::StoredRecords;

/// The longest record, in bytes: a job graph and what is known of its checkpoints.
pub const MAX_RECORD: usize = 64 << 20;

/// What records are there of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKind {
    /// A job that has not ended.
    Job,
    /// A job that has ended.
    Result,
    /// The application of a cluster that runs one.
    Application,
}

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RecordKey {
    /// Of a job that has not ended.
    Job(JobId),
    /// Of a job that has ended.
    Result(JobId),
    /// Of the application of the cluster.
    Application,
}

impl RecordKey {
    /// What it is a record of.
    pub fn kind(self) -> RecordKind {
        match self {
            Self::Job(_) => RecordKind::Job,
            Self::Result(_) => RecordKind::Result,
            Self::Application => RecordKind::Application,
        }
    }
}

impl std::fmt::Display for RecordKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Job(job) => write!(f, "jobs/{job}"),
            Self::Result(job) => write!(f, "results/{job}"),
            Self::Application => f.write_str("application"),
        }
    }
}

/// One content of a record: no other content of it, earlier or later, has the same version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(String);

/// A record as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What was written.
    pub bytes: Bytes,
    /// To be named by whoever replaces it.
    pub version: Version,
}

/// Why a record was not read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A later leader has begun: whoever is told so leads no more, and can do nothing. Whether a write was done just before is for the
    /// later leader to see.
    #[error("the leader of epoch {epoch} was superseded by that of epoch {newer}: it may write no records")]
    Superseded {
        /// Whose write is refused.
        epoch: u64,
        /// Who leads.
        newer: u64,
    },
    /// The record does not have the version that was expected of it. Nothing was done.
    #[error("the record {key} was changed meanwhile: it has to be read again before it is written")]
    Conflict {
        /// The record.
        key: RecordKey,
    },
    /// The record is longer than [`MAX_RECORD`]. Nothing was done.
    #[error("the record {key} would have {bytes} bytes, and at most {MAX_RECORD} are kept of one")]
    TooLong {
        /// The record.
        key: RecordKey,
        /// Its length.
        bytes: usize,
    },
    /// There was no answer: it may have been done, and may still be. Until the record was read nothing is known of it. If it is
    /// what was to be written, that was done; if not, it is written again with the version that was read, which a late arrival of
    /// the first write either precedes, so that this one is a conflict, or is refused for.
    #[error("whether the record {key} was written is not known, it has to be read again: {reason}")]
    Unknown {
        /// The record.
        key: RecordKey,
        /// Why there was none.
        reason: String,
    },
    /// The store does not answer, or refuses this process. Nothing was done; it may be tried again.
    #[error("the records of the cluster cannot be reached: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
    /// What is in the store is no record of this release, or is damaged. To try again does not help.
    #[error(
        "{place} cannot be read as a record: {reason}. Put back what was there. Where that is lost, move it away: the cluster then goes \
         on without it, and a job whose record it was is started again with -s from its last retained checkpoint"
    )]
    Damaged {
        /// Where it is.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// The records of a cluster. All calls are those of a leader, which says in which epoch it leads.
///
/// A leader calls [`RecordStore::fence`] once, before anything else: what it then reads is changed by nobody but itself until it is
/// superseded.
#[tonic::async_trait]
pub trait RecordStore: Send + Sync + 'static {
    /// Begins an epoch: from the answer on no write of an earlier one is done, and all that were done before are read. May be
    /// repeated.
    ///
    /// # Errors
    /// [`RecordError::Superseded`] if a later one has begun. Any other leaves open whether this one has.
    async fn fence(&self, epoch: u64) -> Result<(), RecordError>;

    /// The records of a kind, in the order of their keys.
    ///
    /// # Errors
    /// [`RecordError::Superseded`] if that can be told, [`RecordError::Unreachable`], [`RecordError::Damaged`].
    async fn list(&self, epoch: u64, kind: RecordKind) -> Result<Vec<RecordKey>, RecordError>;

    /// A record; none if there is none.
    ///
    /// # Errors
    /// As of [`RecordStore::list`].
    async fn read(&self, epoch: u64, key: RecordKey) -> Result<Option<Record>, RecordError>;

    /// Writes a record that has the version expected of it, or, where none is expected, is not there. It is durable with the
    /// answer, which has its new version.
    ///
    /// # Errors
    /// See [`RecordError`].
    async fn write(
        &self,
        epoch: u64,
        key: RecordKey,
        expected: Option<&Version>,
        bytes: Bytes,
    ) -> Result<Version, RecordError>;

    /// Deletes a record that has the version expected of it. Of a record that is not there this is a conflict.
    ///
    /// # Errors
    /// See [`RecordError`].
    async fn delete(&self, epoch: u64, key: RecordKey, expected: &Version) -> Result<(), RecordError>;
}
