//! What the coordinator is asked for, and what it wants done.
use std::collections::HashSet;
use std::sync::Arc;

use wiesel_proto as proto;
use wiesel_state::storage::KnownCheckpoints;

use super::cleaning::Garbage;
use super::failure::CheckpointFailure;
use super::plan::TaskRef;
use super::statistics::Kind;
use crate::failure::FailureInfo;

/// What a savepoint is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Savepoint {
    /// Its folder, a URI.
    pub target: String,
    /// In the back end's own format.
    pub native: bool,
    /// The job ends with it, after a last watermark or not.
    pub stop: Option<Stop>,
}

/// How a job stops with a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// All windows fire first: the job is not to go on from the savepoint.
    pub drain: bool,
}

/// Why a checkpoint begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Its time has come.
    Periodic,
    /// A caller requested a checkpoint; the number is given back with the answer.
    Checkpoint {
        /// The caller to answer.
        ticket: u64,
        /// Refers to nothing earlier.
        full: bool,
    },
    /// A caller requested a savepoint.
    Savepoint {
        /// The caller to answer.
        ticket: u64,
        /// What it is to be.
        savepoint: Savepoint,
    },
}

impl Request {
    pub(super) fn ticket(&self) -> Option<u64> {
        match self {
            Self::Periodic => None,
            Self::Checkpoint { ticket, .. } | Self::Savepoint { ticket, .. } => Some(*ticket),
        }
    }

    /// What is asked for, if it is a savepoint.
    pub fn savepoint(&self) -> Option<&Savepoint> {
        match self {
            Self::Savepoint { savepoint, .. } => Some(savepoint),
            _ => None,
        }
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.savepoint().and_then(|savepoint| savepoint.stop)
    }

    pub(super) fn kind(&self) -> Kind {
        let savepoint = self.savepoint();
        Kind {
            savepoint: savepoint.is_some(),
            native: savepoint.is_some_and(|savepoint| savepoint.native),
            stop: self.stop().is_some(),
        }
    }
}

/// A checkpoint or savepoint that a caller waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its number.
    pub id: u64,
    /// Where it is.
    pub pointer: String,
}

/// Something that the coordinator wants done.
#[derive(Clone, Debug)]
pub enum Action {
    /// Get the state of all coordinators, which then hold back events; report with
    /// `CheckpointCoordinator::prepared`.
    Prepare {
        /// The checkpoint.
        id: u64,
    },
    /// Record that numbers before this one are used up; report with `CheckpointCoordinator::numbers_used_up`.
    UseUpNumbers {
        /// Behind the last.
        until: u64,
    },
    /// Tell tasks to begin; report with `CheckpointCoordinator::triggered`.
    Trigger {
        /// Which.
        tasks: Vec<TaskRef>,
        /// With what.
        barrier: proto::CheckpointBarrier,
    },
    /// Coordinators may send events again.
    Release {
        /// The checkpoint.
        id: u64,
    },
    /// Write the metadata; report with `CheckpointCoordinator::finalized`.
    Finalize {
        /// What it was triggered with.
        barrier: proto::CheckpointBarrier,
        /// What is in it.
        metadata: Arc<proto::CheckpointMetadata>,
    },
    /// What collect sinks have sent before this checkpoint is final.
    ReleaseResults(Arc<proto::CheckpointMetadata>),
    /// Tell tasks what became of a checkpoint.
    Notify {
        /// The checkpoint.
        id: u64,
        /// What became of it.
        outcome: proto::CheckpointOutcome,
        /// Which.
        tasks: Vec<TaskRef>,
    },
    /// Delete, but none of the shared files that are still referred to; report with `CheckpointCoordinator::discarded`.
    Discard {
        /// What goes.
        garbage: Vec<Garbage>,
        /// URIs of files that stay.
        referenced: Arc<HashSet<String>>,
    },
    /// Look for what belongs to no checkpoint, and delete it; report with `CheckpointCoordinator::swept`.
    Sweep(Box<KnownCheckpoints>),
    /// For the log: so many checkpoints are not deleted one by one, because too many wait.
    LeftToSweep(usize),
    /// Answer a caller.
    Answer {
        /// Which.
        ticket: u64,
        /// What.
        result: Result<Outcome, CheckpointFailure>,
    },
    /// For the log: a checkpoint failed.
    Failed {
        /// Which; none: it could not begin.
        id: Option<u64>,
        /// Why.
        failure: CheckpointFailure,
    },
    /// For the log: a checkpoint is complete.
    Completed {
        /// The checkpoint.
        id: u64,
        /// Where.
        pointer: String,
        /// Milliseconds.
        duration: i64,
        /// All its bytes.
        bytes: u64,
    },
    /// The job is to fail.
    FailJob(FailureInfo),
}
