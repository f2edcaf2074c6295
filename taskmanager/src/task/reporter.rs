//! The way of one task to its JobMaster: states and events, in order, each again until it is taken.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tonic::Code;
use wiesel_common::notifier::Notifier;
use wiesel_common::rpc::Channel;
use wiesel_proto as proto;
use wiesel_proto::job_master_client::JobMasterClient;

use super::counters::TaskCounters;

/// How long a call may take before it is tried again.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// What a task has to say.
pub enum Report {
    /// It entered a state; with FAILED why.
    State(proto::ExecutionState, Option<proto::Failure>),
    /// The source with this uid has no split left.
    RequestSplit(Bytes),
    /// The state of a checkpoint is written.
    Acknowledge {
        /// Which.
        checkpoint: u64,
        /// The state.
        state: proto::TaskState,
        /// How it was taken.
        metrics: proto::CheckpointMetrics,
    },
    /// There will be no state of a checkpoint.
    Decline {
        /// Which.
        checkpoint: u64,
        /// Why.
        failure: proto::Failure,
    },
}

/// Who says it, to whom.
#[derive(Clone)]
pub struct Sender {
    pub(crate) client: JobMasterClient<Channel>,
    /// The JobMaster's.
    pub(crate) fence: Bytes,
    pub(crate) job_id: Bytes,
    pub(crate) attempt_id: Bytes,
    pub(crate) subtask: u32,
    pub(crate) hostname: String,
    /// Set once the JobMaster counts as lost: it is not spoken to any more.
    pub(crate) lost: Arc<AtomicBool>,
}

/// The task's end. What is said is bounded by the protocol: a state a transition, one request for a split at a time, one word
/// a checkpoint.
#[derive(Clone)]
pub struct Reporter {
    /// With the number of reports so far.
    reports: Arc<Mutex<(mpsc::UnboundedSender<Report>, u64)>>,
    progress: Arc<Progress>,
}

/// How far the sending has come, for those who wait for it.
struct Progress {
    sent: Mutex<(u64, bool)>,
    notifier: Arc<Notifier>,
}

impl Reporter {
    /// The task's end and what has to be run to send.
    pub fn new(
        sender: Sender,
        counters: Arc<TaskCounters>,
        notifier: Arc<Notifier>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (reports, receiver) = mpsc::unbounded_channel();
        let progress = Arc::new(Progress { sent: Mutex::new((0, false)), notifier });
        let guard = Ended(progress.clone());
        (Self { reports: Arc::new(Mutex::new((reports, 0))), progress }, run(sender, counters, receiver, guard))
    }

    /// Says it soon, and returns how many reports there are now.
    pub fn report(&self, report: Report) -> u64 {
        let mut reports = self.reports.lock();
        // After the JobMaster is lost nobody listens, and the task is being cancelled for it.
        let _ = reports.0.send(report);
        reports.1 += 1;
        reports.1
    }

    /// Whether the JobMaster has taken note of so many reports, or is lost.
    pub fn is_taken(&self, said: u64) -> bool {
        let (sent, ended) = *self.progress.sent.lock();
        sent >= said || ended
    }

    /// Says it and waits until the JobMaster has taken note, or is lost.
    pub fn report_and_wait(&self, report: Report) {
        let said = self.report(report);
        loop {
            if self.is_taken(said) {
                return;
            }
            self.progress.notifier.wait("the JobMaster to take note of the task's end", None);
        }
    }
}

/// Tells waiting tasks however the sending ends.
struct Ended(Arc<Progress>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.sent.lock().1 = true;
        self.0.notifier.notify();
    }
}

async fn run(
    mut sender: Sender,
    counters: Arc<TaskCounters>,
    mut receiver: mpsc::UnboundedReceiver<Report>,
    guard: Ended,
) {
    while let Some(report) = receiver.recv().await {
        if !sender.send(&report, &counters).await {
            return;
        }
        guard.0.sent.lock().0 += 1;
        guard.0.notifier.notify();
    }
}

impl Sender {
    /// False: the JobMaster is lost.
    async fn send(&mut self, report: &Report, counters: &TaskCounters) -> bool {
        let mut pause = FIRST_PAUSE;
        loop {
            if self.lost.load(Ordering::SeqCst) {
                return false;
            }
            let answer = self.call(report, counters).await;
            match answer {
                Ok(_) => return true,
                Err(status) if is_final(status.code()) => {
                    tracing::debug!(reason = status.message(), "the JobMaster refused a report of a task");
                    return true;
                }
                Err(status) => {
                    tracing::debug!(reason = status.message(), "a report to the JobMaster failed, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

impl Sender {
    async fn call(&mut self, report: &Report, counters: &TaskCounters) -> Result<(), tonic::Status> {
        let (fence, job_id, attempt_id) = (self.fence.clone(), self.job_id.clone(), self.attempt_id.clone());
        match report {
            Report::State(state, failure) => {
                let update = proto::TaskStateUpdate {
                    fence,
                    job_id,
                    attempt_id,
                    state: *state as i32,
                    failure: failure.clone(),
                    metrics: Some(counters.snapshot()),
                };
                self.client.update_task_state(timed(update)).await.map(drop)
            }
            Report::RequestSplit(uid) => {
                let event = proto::OperatorEventToCoordinator {
                    fence,
                    job_id,
                    attempt_id,
                    operator_uid: uid.clone(),
                    event: Some(proto::operator_event_to_coordinator::Event::RequestSplit(proto::RequestSplit {
                        subtask: self.subtask,
                        hostname: self.hostname.clone(),
                    })),
                };
                self.client.send_operator_event(timed(event)).await.map(drop)
            }
            Report::Acknowledge { checkpoint, state, metrics } => {
                let acknowledgement = proto::AcknowledgeCheckpointRequest {
                    fence,
                    job_id,
                    attempt_id,
                    checkpoint_id: *checkpoint,
                    state: Some(state.clone()),
                    metrics: Some(*metrics),
                };
                self.client.acknowledge_checkpoint(timed(acknowledgement)).await.map(drop)
            }
            Report::Decline { checkpoint, failure } => {
                let decline = proto::DeclineCheckpointRequest {
                    fence,
                    job_id,
                    attempt_id,
                    checkpoint_id: *checkpoint,
                    failure: Some(failure.clone()),
                };
                self.client.decline_checkpoint(timed(decline)).await.map(drop)
            }
        }
    }
}

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(CALL_TIMEOUT);
    request
}

/// Whether trying again cannot help: the other side understood and said no.
pub(crate) fn is_final(code: Code) -> bool {
    !matches!(code, Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown | Code::Aborted)
}
