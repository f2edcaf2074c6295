//! The ResourceManager: which TaskManagers there are, whether they live, and which job holds which of their slots.
//!
//! Three know of a slot: its TaskManager, whose word counts, the ResourceManager and the JobMaster. What they believe is brought
//! together by reports that each TaskManager numbers, under a registration that the ResourceManager numbers: to the
//! ResourceManager with its heartbeats and its answers, to each JobMaster with the counters of its tasks. A process that loses a
//! slot that it believed to have tells the other. What comes late from a process that is gone has the number of an earlier
//! registration than that of its successor, and is not taken for the successor's word.
//!
//! A job tells which slots it took and under which registration, because an offer may be late: what it holds is what is counted
//! as its, and no job holds a slot of a TaskManager whose heartbeats are not watched.
//!
//! Invariant: a slot is given to a job only while its TaskManager is registered; every job that has a slot of a TaskManager
//! that is lost, or takes one, is told.
pub mod slot_manager;

mod actor;

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use wiesel_common::id::{AllocationId, JobId, LeaderSessionId};
use wiesel_proto as proto;

pub use actor::ResourceManager;

use crate::jobmaster::JobMasterHandle;
use slot_manager::{ReportNumber, check_report};

/// The longest id, address or host name that a TaskManager may have, in bytes: they are kept, shown and logged.
pub(crate) const MAX_NAME_BYTES: usize = 1024;

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

/// A heartbeat stream that may begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OpenStream {
    /// Its number.
    pub(crate) stream: u64,
    /// How many slots its TaskManager has.
    pub(crate) slots: u32,
}

/// What the ResourceManager is told and asked.
pub(crate) enum Message {
    Register {
        request: proto::RegisterTaskManagerRequest,
        /// Where the call came from; none: it is not known.
        peer: Option<IpAddr>,
        /// The number of the registration.
        reply: oneshot::Sender<Result<u64, Status>>,
    },
    HeartbeatOpened {
        resource_id: String,
        registration: u64,
        /// Cancelled by the ResourceManager to end the stream.
        closed: CancellationToken,
        reply: oneshot::Sender<Result<OpenStream, Status>>,
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
        registration: u64,
        reason: String,
    },
    RequireSlots {
        job: JobMasterHandle,
        slots: u32,
    },
    /// A job that another JobMaster has led requires so many slots, and TaskManagers may hold them for it.
    HoldSlots {
        job: JobMasterHandle,
        slots: u32,
    },
    ReleaseSlots {
        job: JobId,
    },
    /// The job took slots that a TaskManager offered and has held for it since then.
    Accepted {
        job: JobId,
        resource_id: String,
        since: ReportNumber,
        allocations: Vec<AllocationId>,
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

/// How others talk to the ResourceManager. Messages queue without a bound of their own: a caller that wants an answer waits
/// for it, and the others are a few for each change of a job or a TaskManager.
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

    /// The number of the registration.
    pub(crate) async fn register(
        &self,
        request: proto::RegisterTaskManagerRequest,
        peer: Option<IpAddr>,
    ) -> Result<u64, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Register { request, peer, reply });
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }

    pub(crate) async fn open_heartbeat(
        &self,
        resource_id: String,
        registration: u64,
        closed: CancellationToken,
    ) -> Result<OpenStream, Status> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::HeartbeatOpened { resource_id, registration, closed, reply });
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

/// Refuses what a TaskManager says of itself if it is too long.
pub(crate) fn check_name(what: &str, name: &str) -> Result<(), Status> {
    if name.len() <= MAX_NAME_BYTES {
        return Ok(());
    }
    let bytes = name.len();
    Err(Status::invalid_argument(format!("the {what} has {bytes} bytes: it may have at most {MAX_NAME_BYTES}")))
}

/// Refuses a report that cannot be of a TaskManager with so many slots.
pub(crate) fn check_slots(slots: u32, report: &[proto::SlotReport]) -> Result<(), Status> {
    let malformed = |reason: &str| Status::invalid_argument(format!("a malformed report of slots: {reason}"));
    check_report(slots, report.iter().map(|slot| slot.index)).map_err(|error| malformed(&error.to_string()))?;
    let is_id = |id: &[u8]| id.is_empty() || id.len() == 16;
    if report.iter().all(|slot| is_id(&slot.allocation_id) && is_id(&slot.job_id)) {
        return Ok(());
    }
    Err(malformed("an id has 16 bytes"))
}

pub(crate) fn stopping() -> Status {
    Status::unavailable("the JobManager is stopping")
}
