//! The ResourceManager: which TaskManagers there are, whether they live, and which job holds which of their slots.
//!
//! Three know of a slot: its TaskManager, whose word counts, the ResourceManager and the JobMaster. What they believe is brought
//! together by reports that each TaskManager numbers: to the ResourceManager with its heartbeats and its answers, to each
//! JobMaster with the counters of its tasks. Whoever loses a slot that it believed to have tells the other.
//!
//! Invariant: a slot is given to a job only while its TaskManager is registered; every job that has a slot of a TaskManager
//! that is lost is told once.
pub mod slot_manager;

mod actor;

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wiesel_common::id::{AllocationId, JobId, LeaderSessionId};
use wiesel_proto as proto;

pub use actor::ResourceManager;

use crate::jobmaster::JobMasterHandle;

/// What a TaskManager said about itself, and what is known of it now.
#[derive(Clone, Debug)]
pub struct TaskManagerInfo {
    /// Its registration.
    pub registration: Arc<proto::RegisterTaskManagerRequest>,
    /// When it was last heard of (milliseconds since the epoch).
    pub last_heartbeat: i64,
    /// For each slot the job that holds it.
    pub slots: Vec<Option<JobId>>,
    /// What it last reported.
    pub metrics: proto::TaskManagerMetrics,
}

/// All TaskManagers.
#[derive(Clone, Debug, Default)]
pub struct ResourceOverview {
    /// By resource id.
    pub task_managers: Vec<TaskManagerInfo>,
    /// Slots of all of them.
    pub slots_total: usize,
    /// Slots that no job holds.
    pub slots_free: usize,
}

/// What the ResourceManager is told and asked.
pub(crate) enum Message {
    Register {
        request: proto::RegisterTaskManagerRequest,
        reply: oneshot::Sender<Result<(), Status>>,
    },
    HeartbeatOpened {
        resource_id: String,
        /// Cancelled by the ResourceManager to end the stream.
        closed: CancellationToken,
        reply: oneshot::Sender<Result<u64, Status>>,
    },
    Heartbeat {
        stream: u64,
        heartbeat: proto::TaskManagerHeartbeat,
    },
    HeartbeatEnded {
        resource_id: String,
        stream: u64,
    },
    Disconnect {
        resource_id: String,
        reason: String,
    },
    RequireSlots {
        job: JobMasterHandle,
        slots: u32,
    },
    ReleaseSlots {
        job: JobId,
    },
    /// The job does not have this slot, or not any more.
    GiveUp {
        resource_id: String,
        allocation: AllocationId,
    },
    Describe {
        reply: oneshot::Sender<ResourceOverview>,
    },
}

/// How others talk to the ResourceManager. Messages queue without a bound of their own: whoever wants an answer waits for
/// it, and the others are a few for each change of a job or a TaskManager.
#[derive(Clone)]
pub struct ResourceManagerHandle {
    fence: LeaderSessionId,
    sender: mpsc::UnboundedSender<Message>,
}

impl ResourceManagerHandle {
    /// The token that calls to it must carry.
    pub fn fence(&self) -> LeaderSessionId {
        self.fence
    }

    pub(crate) fn send(&self, message: Message) {
        // The ResourceManager ends only with the process.
        let _ = self.sender.send(message);
    }

    /// All TaskManagers.
    pub async fn describe(&self) -> ResourceOverview {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Describe { reply });
        answer.await.unwrap_or_default()
    }

    pub(crate) async fn register(&self, request: proto::RegisterTaskManagerRequest) -> Result<(), Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Register { request, reply });
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    pub(crate) async fn open_heartbeat(&self, resource_id: String, closed: CancellationToken) -> Result<u64, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::HeartbeatOpened { resource_id, closed, reply });
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

pub(crate) fn stopping() -> Status {
    Status::unavailable("the JobManager is stopping")
}
