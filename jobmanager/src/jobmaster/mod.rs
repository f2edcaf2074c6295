//! One job: its scheduler, its tasks, its checkpoints, its operators' coordinators and the rows it collects for a client.
//!
//! [`scheduler`] and [`checkpoint::coordinator`] decide, without I/O; the actor does what they want and tells them what came
//! of it.
//!
//! Invariant: whatever concerns an attempt that is not current is refused, and the job's end is reported once.
pub mod adoption;
pub mod checkpoint;
pub mod collect;
pub mod deployment_plan;
pub mod exception_history;
pub mod execution_graph;
pub mod operator_coordinator_holder;
pub mod restart_strategy;
pub mod scheduler;
pub mod source_coordinator;
pub mod status;

mod actor;
mod aftermath;
mod checkpointing;
mod claiming;
mod coordinators;
mod deployment;
mod deployments;
mod failure_log;
mod initialization;
mod record;
mod recording;
mod result;
mod savepoints;
mod slots;
mod taking_over;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tonic::Status;
use wiesel_common::id::{AllocationId, JobId, LeaderSessionId};
use wiesel_proto as proto;

pub(crate) use actor::JobMaster;
pub(crate) use actor::JobMasterContext;
pub(crate) use aftermath::{Aftermath, Ended};
pub(crate) use record::{JobRecorder, graph_of};
pub use record::{JobRecords, RecordedJob};
pub(crate) use recording::Wanted;
pub use result::RecordedResult;
pub(crate) use savepoints::SnapshotRequest;

use crate::failure::FailureInfo;
use crate::operations::Promise;
use crate::resourcemanager::slot_manager::SlotShortage;
use checkpoint::options::CheckpointOptions;
use checkpoint::statistics::CheckpointStatistics;
use exception_history::ExceptionHistory;
use execution_graph::ExecutionGraph;
use status::{JobStatus, StatusTimestamps};

/// A job as it was at one moment: for REST, and for the archive once it is over.
#[derive(Clone, Debug)]
pub struct JobInfo {
    /// Its id.
    pub job_id: JobId,
    /// Its state.
    pub status: JobStatus,
    /// When it entered each state.
    pub timestamps: StatusTimestamps,
    /// Its tasks.
    pub graph: ExecutionGraph,
    /// Its failures.
    pub history: ExceptionHistory,
    /// Why it failed for good.
    pub failure: Option<FailureInfo>,
    /// When anything changed last (milliseconds since the epoch).
    pub last_modification: i64,
    /// How it restarts, for its configuration page.
    pub restart_strategy: String,
    /// For its configuration page.
    pub object_reuse: bool,
    /// Its checkpoints; none: it never got so far.
    pub checkpoints: Option<CheckpointInfo>,
    /// That it waits for slots that are not there.
    pub slot_shortage: Option<SlotShortage>,
}

/// The checkpoints of a job as they were at one moment.
#[derive(Clone, Debug)]
pub struct CheckpointInfo {
    /// How it is checkpointed.
    pub options: Arc<CheckpointOptions>,
    /// What became of them.
    pub statistics: CheckpointStatistics,
}

impl JobInfo {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.graph.graph.name
    }

    /// When it was submitted.
    pub fn start_time(&self) -> i64 {
        self.timestamps.get(JobStatus::Initializing)
    }

    /// When it ended; -1: not yet.
    pub fn end_time(&self) -> i64 {
        if self.status.is_globally_terminal() { self.timestamps.get(self.status) } else { -1 }
    }

    /// Milliseconds from its submission to its end, or to now.
    pub fn duration(&self, now: i64) -> i64 {
        let end = if self.end_time() < 0 { now } else { self.end_time() };
        (end - self.start_time()).max(0)
    }
}

/// What a JobMaster is told and asked.
pub(crate) enum Message {
    OfferSlots {
        request: proto::OfferSlotsRequest,
        reply: oneshot::Sender<Result<proto::OfferSlotsResponse, Status>>,
    },
    UpdateTaskState {
        update: proto::TaskStateUpdate,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    OperatorEvent {
        event: proto::OperatorEventToCoordinator,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    AcknowledgeCheckpoint {
        request: proto::AcknowledgeCheckpointRequest,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    DeclineCheckpoint {
        request: proto::DeclineCheckpointRequest,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    EndOfData {
        request: proto::NotifyEndOfDataRequest,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    /// A user wants a checkpoint or savepoint.
    Snapshot {
        request: SnapshotRequest,
        promise: Promise,
    },
    Metrics {
        report: proto::TaskMetricsReport,
        reply: oneshot::Sender<proto::TaskMetricsResponse>,
    },
    /// The ResourceManager knows that the job took these slots, and that their TaskManager lives and holds them.
    SlotsConfirmed {
        allocations: Vec<AllocationId>,
    },
    /// The ResourceManager knows that the job does not have this slot any more.
    SlotLost {
        resource_id: String,
        allocation: AllocationId,
    },
    /// What the job waits for; none: for nothing any more.
    SlotShortage(Option<SlotShortage>),
    TaskManagerLost {
        resource_id: String,
        /// What it offered under a later one is not lost.
        registration: u64,
        failure: FailureInfo,
    },
    Cancel {
        reply: oneshot::Sender<()>,
    },
    /// The client lives.
    ClientHeartbeat,
    Describe {
        reply: oneshot::Sender<Arc<JobInfo>>,
    },
    Suspend,
}

/// How others talk to a JobMaster. As for the ResourceManager the queue is bounded by the callers that wait for answers.
#[derive(Clone)]
pub struct JobMasterHandle {
    job_id: JobId,
    fence: LeaderSessionId,
    sender: mpsc::UnboundedSender<Message>,
}

impl JobMasterHandle {
    /// The job.
    pub fn job_id(&self) -> JobId {
        self.job_id
    }

    /// The token that calls to it must carry.
    pub fn fence(&self) -> LeaderSessionId {
        self.fence
    }

    /// False: the job is over.
    pub(crate) fn send(&self, message: Message) -> bool {
        self.sender.send(message).is_ok()
    }

    pub(crate) fn task_manager_lost(&self, resource_id: &str, registration: u64, failure: FailureInfo) {
        self.send(Message::TaskManagerLost { resource_id: resource_id.to_owned(), registration, failure });
    }

    pub(crate) fn slot_shortage(&self, shortage: Option<SlotShortage>) {
        self.send(Message::SlotShortage(shortage));
    }

    pub(crate) fn slots_confirmed(&self, allocations: Vec<AllocationId>) {
        self.send(Message::SlotsConfirmed { allocations });
    }

    pub(crate) fn slot_lost(&self, resource_id: &str, allocation: AllocationId) {
        self.send(Message::SlotLost { resource_id: resource_id.to_owned(), allocation });
    }

    /// The job as it is now; none: it just ended, the archive has it.
    pub async fn describe(&self) -> Option<Arc<JobInfo>> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Describe { reply });
        answer.await.ok()
    }

    /// Asks it to end. False: it just ended by itself, the archive has it.
    pub async fn cancel(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Cancel { reply });
        answer.await.is_ok()
    }
}
