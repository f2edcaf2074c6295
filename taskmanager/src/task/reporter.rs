//! The way of one task to its JobMaster: states and events, in order, each again until it is taken.
//!
//! Events for coordinators have a way of their own: while a coordinator has no room for one, the task's words on checkpoints go on. A
//! coordinator may wait for just these. Only FINISHED comes behind all events that were said before.
//!
//! A call has time by its size. What the JobMaster cannot take is said otherwise, never left out: a caller that waits for a word about
//! a checkpoint, or for a task's end, gets one, without its reason if the reason is what cannot be told. The end of a task that
//! failed or was cancelled does not wait long for what the task had to say of checkpoints before; a FINISHED waits for all of it.
//!
//! While no JobMaster leads, what there is to say waits for the next one, but for the end of a task that was cancelled: that the
//! next one sees for itself. What was said when a JobMaster was lost may have been heard, and is said again to the next.
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tonic::{Code, Status};
use wiesel_common::mailbox::mailbox;
use wiesel_common::notifier::Notifier;
use wiesel_common::rpc::{MAX_MESSAGE_BYTES, is_answer};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use super::counters::TaskCounters;
use super::failure;
use super::standing::Standing;
use crate::leader::{JobMaster, Leader, LeaderWatch};

/// How long a call may take before it is tried again, apart from the time that its bytes may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes a second that the way to the JobMaster is trusted to carry at first; each call that was too slow doubles its time.
const FIRST_RATE: u64 = 1 << 20;
/// How long a call may take at most.
const LONGEST_CALL: Duration = Duration::from_secs(600);
/// How long a checkpoint may go on holding up the end of a task that failed or was cancelled.
const PATIENCE: Duration = Duration::from_secs(2);
/// The pauses between attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(2);

/// What a task has to say.
pub enum Report {
    /// It entered a state; with FAILED why.
    State(proto::ExecutionState, Option<proto::Failure>),
    /// The source with this uid has no split left.
    RequestSplit(Bytes),
    /// An operator says something to its coordinator.
    OperatorEvent {
        /// Which operator.
        uid: Bytes,
        /// What it says.
        event: Bytes,
    },
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
    /// It has reached the end of its data: no barrier comes to it any more, and no row is added to its outputs.
    EndOfData {
        /// It stays until a checkpoint of its end is complete.
        awaits_checkpoint: bool,
    },
}

/// The task that reports, and the JobMaster that it reports to.
#[derive(Clone)]
pub struct Sender {
    pub(crate) leader: LeaderWatch,
    pub(crate) job_id: Bytes,
    pub(crate) attempt_id: Bytes,
    pub(crate) hostname: String,
    /// How many reports of counters the TaskManager has made.
    pub(crate) reports: Arc<AtomicU64>,
    /// How many events the task had for coordinators: one that is sent again, because its answer was lost, has its number again.
    pub(crate) events: u64,
}

/// The task's end. What is said is bounded by the protocol: a state a transition, one request for a split at a time, some events
/// of each operator, one word a checkpoint, one at the end of the data.
#[derive(Clone)]
pub struct Reporter {
    reports: Arc<Mutex<Reports>>,
    progress: Arc<Progress>,
    leader: LeaderWatch,
    standing: Arc<Mutex<Standing>>,
}

/// Where reports go, and how many went there so far.
struct Reports {
    events: mpsc::UnboundedSender<Report>,
    events_said: u64,
    /// Each with how many events were said before it.
    others: mpsc::UnboundedSender<(Report, u64)>,
    others_said: u64,
}

/// One report, by its number among the events or among the others, from 1.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    is_event: bool,
    number: u64,
}

/// How far the sending has come, for threads that wait for it.
struct Progress {
    /// Events that the JobMaster has taken note of.
    events: watch::Sender<u64>,
    others: Mutex<u64>,
    ended: AtomicBool,
    notifier: Arc<Notifier>,
    /// The task has failed or was cancelled: what it says of checkpoints has no time left.
    hurry: watch::Sender<bool>,
}

impl Reporter {
    /// The task's end and what has to be run to send.
    pub fn new(
        sender: Sender,
        counters: Arc<TaskCounters>,
        notifier: Arc<Notifier>,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let ((events, events_to_say), (others, others_to_say)) = (mailbox(), mailbox());
        let progress = Arc::new(Progress {
            events: watch::Sender::new(0),
            others: Mutex::new(0),
            ended: AtomicBool::new(false),
            notifier,
            hurry: watch::Sender::new(false),
        });
        let (guard, leader) = (Ended(progress.clone()), sender.leader.clone());
        let reports = Arc::new(Mutex::new(Reports { events, events_said: 0, others, others_said: 0 }));
        let running = run(sender, counters, events_to_say, others_to_say, leader.subscribe(), guard);
        (Self { reports, progress, leader, standing: Arc::default() }, running)
    }

    /// Says it soon.
    pub fn report(&self, report: Report) -> Said {
        if matches!(report, Report::State(ExecutionState::Failed | ExecutionState::Canceled, _)) {
            self.progress.hurry.send_replace(true);
        }
        self.standing.lock().note(&report);
        let mut reports = self.reports.lock();
        let is_event = report.is_event();
        // After the JobMaster is lost the receiver is gone, and the task is being cancelled for it.
        let number = if is_event {
            let _ = reports.events.send(report);
            &mut reports.events_said
        } else {
            let _ = reports.others.send((report.bounded(), reports.events_said));
            &mut reports.others_said
        };
        *number += 1;
        Said { is_event, number: *number }
    }

    /// Whether the JobMaster has taken note of a report, or is lost.
    pub fn is_taken(&self, said: Said) -> bool {
        let taken = if said.is_event { *self.progress.events.borrow() } else { *self.progress.others.lock() };
        taken >= said.number || self.progress.ended.load(Ordering::SeqCst)
    }

    /// How the task stands, now and later.
    pub fn standing(&self) -> Arc<Mutex<Standing>> {
        self.standing.clone()
    }

    /// Whether a JobMaster leads. The task's notifier is woken when that changes.
    pub fn is_led(&self) -> bool {
        self.leader.is_known()
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
        self.0.ended.store(true, Ordering::SeqCst);
        self.0.notifier.notify();
    }
}

async fn run(
    sender: Sender,
    counters: Arc<TaskCounters>,
    events: mpsc::UnboundedReceiver<Report>,
    others: mpsc::UnboundedReceiver<(Report, u64)>,
    leaders: watch::Receiver<Leader>,
    guard: Ended,
) {
    // What ends one of them ends the other: the JobMaster is lost, or the task has said all that it had to say.
    tokio::select! {
        () = say_events(sender.clone(), &counters, events, &guard.0) => {}
        () = say_others(sender, &counters, others, &guard.0) => {}
        () = wake_for_leaders(leaders, &guard.0.notifier) => {}
    }
}

/// Threads may wait for a JobMaster. Does not end.
async fn wake_for_leaders(mut leaders: watch::Receiver<Leader>, notifier: &Notifier) {
    // The sender's end is at hand, so that it does not close.
    while leaders.changed().await.is_ok() {
        notifier.notify();
    }
    std::future::pending().await
}

/// Until the JobMaster is lost.
async fn say_events(
    mut sender: Sender,
    counters: &TaskCounters,
    mut receiver: mpsc::UnboundedReceiver<Report>,
    progress: &Progress,
) {
    while let Some(event) = receiver.recv().await {
        if !sender.deliver(event, counters).await {
            return;
        }
        progress.events.send_modify(|taken| *taken += 1);
        progress.notifier.notify();
    }
    std::future::pending().await
}

/// Until the JobMaster is lost, or there is nothing more to say.
async fn say_others(
    mut sender: Sender,
    counters: &TaskCounters,
    mut receiver: mpsc::UnboundedReceiver<(Report, u64)>,
    progress: &Progress,
) {
    let (mut events, mut hurry) = (progress.events.subscribe(), progress.hurry.subscribe());
    let mut out_of_patience = None;
    while let Some((report, events_before)) = receiver.recv().await {
        let has_finished = matches!(report, Report::State(ExecutionState::Finished, _));
        if has_finished && !until_taken(&mut events, events_before, &sender.leader).await {
            return;
        }
        let listens = match &report {
            Report::State(..) => sender.deliver(report, counters).await,
            _ => {
                let checkpoint_id = report.checkpoint();
                let too_late = async {
                    if hurry.wait_for(|hurry| *hurry).await.is_err() {
                        std::future::pending::<()>().await;
                    }
                    let end = *out_of_patience.get_or_insert_with(|| Instant::now() + PATIENCE);
                    tokio::time::sleep_until(end).await;
                };
                tokio::select! {
                    listens = sender.deliver(report, counters) => listens,
                    () = too_late => {
                        tracing::info!(checkpoint_id, "a task ends before the JobMaster has heard of all its checkpoints");
                        true
                    }
                }
            }
        };
        if !listens {
            return;
        }
        *progress.others.lock() += 1;
        progress.notifier.notify();
    }
}

/// Waits until so many events were taken. False: the JobMaster is lost, and there is no next one.
async fn until_taken(events: &mut watch::Receiver<u64>, number: u64, leader: &LeaderWatch) -> bool {
    tokio::select! {
        // Its sender is at hand, so that it does not close.
        taken = async { events.wait_for(|taken| *taken >= number).await.is_ok() } => taken,
        () = leader.until_gone() => false,
    }
}

impl Sender {
    /// Says it until it is taken, or something else in its place if the JobMaster cannot take it. False: the JobMaster is
    /// lost.
    async fn deliver(&mut self, report: Report, counters: &TaskCounters) -> bool {
        self.events += u64::from(report.is_event());
        let Report::Acknowledge { checkpoint, state, .. } = &report else {
            return self.deliver_word(&report, counters).await;
        };
        let (checkpoint, bytes) = (*checkpoint, state.encoded_len());
        let outcome = if bytes > MAX_MESSAGE_BYTES { Outcome::TooLarge } else { self.send(&report, counters).await };
        match outcome {
            Outcome::Taken | Outcome::Refused => true,
            Outcome::Lost => false,
            Outcome::TooLarge => {
                let failure = failure::declined(&format!(
                    "the task's state of checkpoint {checkpoint} takes {bytes} bytes in the message to the JobManager, which takes \
                     at most {MAX_MESSAGE_BYTES}: state that is not kept by key (positions of splits, files of sinks) is \
                     part of the message, and so is what is smaller than execution.checkpointing.data-inline-threshold. \
                     Set that to a smaller value, or run the job with more subtasks."
                ));
                tracing::warn!(checkpoint_id = checkpoint, reason = %failure.message, "checkpoint declined");
                self.deliver_word(&Report::Decline { checkpoint, failure }, counters).await
            }
        }
    }

    /// Says what is small but for the text of a failure, without that text if it is refused.
    async fn deliver_word(&mut self, report: &Report, counters: &TaskCounters) -> bool {
        match self.send(report, counters).await {
            Outcome::Taken => return true,
            Outcome::Lost => return false,
            Outcome::TooLarge | Outcome::Refused => {}
        }
        let Some(shorter) = report.without_text() else { return true };
        tracing::warn!("the JobMaster does not take a failure of a task, it is told without its text");
        !matches!(self.send(&shorter, counters).await, Outcome::Lost)
    }

    async fn send(&mut self, report: &Report, counters: &TaskCounters) -> Outcome {
        let mut pause = FIRST_PAUSE;
        let mut slow = 0;
        loop {
            let timeout = time_for(report.bytes(), slow);
            let leader = self.leader.clone();
            let waits = !matches!(report, Report::State(ExecutionState::Canceled, _));
            let Some(master) = leader.master(waits).await else { return Outcome::Lost };
            let fence = master.fence.clone();
            let answer = tokio::select! {
                answer = self.call(master, report, counters, timeout) => answer,
                () = leader.until_superseded(&fence) => continue,
            };
            match answer {
                Ok(()) => return Outcome::Taken,
                Err(status) if status.code() == Code::OutOfRange => return Outcome::TooLarge,
                Err(status) if is_final(&status) => {
                    let checkpoint_id = report.checkpoint();
                    tracing::debug!(
                        checkpoint_id,
                        reason = status.message(),
                        "the JobMaster refused a report of a task"
                    );
                    let unwanted = matches!(status.code(), Code::NotFound | Code::FailedPrecondition);
                    return if unwanted { Outcome::Taken } else { Outcome::Refused };
                }
                Err(status) => {
                    // A JobMaster that was too slow once needs more time, not another try.
                    slow += u32::from(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled));
                    let (checkpoint_id, reason) = (report.checkpoint(), status.message());
                    tracing::debug!(checkpoint_id, reason, "a report to the JobMaster failed, trying again");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
            }
        }
    }
}

/// What became of a report.
enum Outcome {
    /// The JobMaster has it, or wants to hear nothing of the kind.
    Taken,
    /// The JobMaster cannot take a message of this size.
    TooLarge,
    /// The JobMaster cannot make anything of it.
    Refused,
    /// The JobMaster is not spoken to any more.
    Lost,
}

/// How long a call with so many bytes may take, after so many that were too slow.
fn time_for(bytes: usize, slow: u32) -> Duration {
    let carried = Duration::from_millis(bytes as u64 * 1000 / FIRST_RATE);
    ((CALL_TIMEOUT + carried) * 2_u32.saturating_pow(slow.min(16))).min(LONGEST_CALL)
}

impl Report {
    /// The checkpoint that it is about.
    fn checkpoint(&self) -> Option<u64> {
        match self {
            Self::Acknowledge { checkpoint, .. } | Self::Decline { checkpoint, .. } => Some(*checkpoint),
            _ => None,
        }
    }

    /// Whether it is for a coordinator.
    fn is_event(&self) -> bool {
        matches!(self, Self::RequestSplit(_) | Self::OperatorEvent { .. })
    }

    /// What counts of its size.
    fn bytes(&self) -> usize {
        match self {
            Self::Acknowledge { state, .. } => state.encoded_len(),
            Self::OperatorEvent { event, .. } => event.len(),
            _ => 0,
        }
    }

    /// The same but for the text of its failure; none: it has no failure.
    fn without_text(&self) -> Option<Self> {
        match self {
            Self::State(state, Some(failure)) => Some(Self::State(*state, Some(failure::without_text(failure)))),
            Self::Decline { checkpoint, failure } => {
                Some(Self::Decline { checkpoint: *checkpoint, failure: failure::without_text(failure) })
            }
            _ => None,
        }
    }

    /// With no more text of a failure than can be told.
    fn bounded(self) -> Self {
        match self {
            Self::State(state, Some(failure)) => Self::State(state, Some(failure::bounded(failure))),
            Self::Decline { checkpoint, failure } => Self::Decline { checkpoint, failure: failure::bounded(failure) },
            other => other,
        }
    }
}

impl Sender {
    async fn call(
        &self,
        master: JobMaster,
        report: &Report,
        counters: &TaskCounters,
        timeout: Duration,
    ) -> Result<(), Status> {
        let JobMaster { mut client, fence } = master;
        let (job_id, attempt_id) = (self.job_id.clone(), self.attempt_id.clone());
        match report {
            Report::State(state, failure) => {
                let update = proto::TaskStateUpdate {
                    fence,
                    job_id,
                    attempt_id,
                    state: *state as i32,
                    failure: failure.clone(),
                    metrics: Some(counters.snapshot()),
                    reports: self.reports.load(Ordering::Relaxed),
                };
                client.update_task_state(timed(update, timeout)).await.map(drop)
            }
            Report::RequestSplit(uid) => {
                let request = proto::RequestSplit { hostname: self.hostname.clone() };
                let event = proto::source_event_to_coordinator::Event::RequestSplit(request);
                let event = proto::SourceEventToCoordinator { event: Some(event) }.encode_to_vec().into();
                let event = self.event(fence, uid.clone(), event);
                client.send_operator_event(timed(event, timeout)).await.map(drop)
            }
            Report::OperatorEvent { uid, event } => {
                let event = self.event(fence, uid.clone(), event.clone());
                client.send_operator_event(timed(event, timeout)).await.map(drop)
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
                client.acknowledge_checkpoint(timed(acknowledgement, timeout)).await.map(drop)
            }
            Report::Decline { checkpoint, failure } => {
                let decline = proto::DeclineCheckpointRequest {
                    fence,
                    job_id,
                    attempt_id,
                    checkpoint_id: *checkpoint,
                    failure: Some(failure.clone()),
                };
                client.decline_checkpoint(timed(decline, timeout)).await.map(drop)
            }
            Report::EndOfData { awaits_checkpoint } => {
                let end =
                    proto::NotifyEndOfDataRequest { fence, job_id, attempt_id, awaits_checkpoint: *awaits_checkpoint };
                client.notify_end_of_data(timed(end, timeout)).await.map(drop)
            }
        }
    }
}

impl Sender {
    fn event(&self, fence: Bytes, operator_uid: Bytes, event: Bytes) -> proto::OperatorEventToCoordinator {
        proto::OperatorEventToCoordinator {
            fence,
            job_id: self.job_id.clone(),
            attempt_id: self.attempt_id.clone(),
            operator_uid,
            number: self.events,
            event,
        }
    }
}

fn timed<T>(message: T, timeout: Duration) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(timeout);
    request
}

/// Whether trying again cannot help: the other side understood and said no. A connection that did not come about, whatever the
/// reason, says nothing of the kind.
pub(crate) fn is_final(status: &Status) -> bool {
    let again = matches!(
        status.code(),
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Unknown
            | Code::Aborted
            | Code::Unauthenticated
            | Code::PermissionDenied
    );
    is_answer(status) && !again
}

#[cfg(test)]
impl Sender {
    /// Of an attempt and a job without ids.
    pub(crate) fn for_test(channel: wiesel_common::rpc::Channel) -> Self {
        let client = wiesel_proto::job_master_client::JobMasterClient::new(channel);
        Self {
            leader: LeaderWatch::new(JobMaster { client, fence: Bytes::new() }),
            job_id: Bytes::new(),
            attempt_id: Bytes::new(),
            hostname: String::new(),
            reports: Arc::default(),
            events: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tonic::body::Body;
    use tonic::codegen::{StdError, http};
    use wiesel_common::rpc::{Answer, Channel, Transport};
    use wiesel_proto::job_master_client::JobMasterClient;

    use super::*;

    /// Fails in one way after another; then the JobMaster says that it does not know the job.
    struct Failing {
        ways: Vec<fn() -> Status>,
        calls: Arc<AtomicUsize>,
    }

    impl Transport for Failing {
        fn call(&self, _: http::Request<Body>) -> Answer {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            let status = self.ways.get(call).map_or_else(|| Status::not_found("no such job"), |way| way());
            Box::pin(std::future::ready(Err::<http::Response<Body>, _>(StdError::from(status))))
        }
    }

    fn on_the_way(code: Code) -> Status {
        let mut status = Status::new(code, "127.0.0.1:1: what listens there is no process of a cluster");
        status.set_source(Arc::new(std::io::Error::other("the cause")));
        status
    }

    /// Before, the report was dropped where something else had answered at the JobManager's address, or HTTP/2 had failed: a task
    /// that had asked for a split waited for ever.
    #[tokio::test]
    async fn what_fails_on_the_way_is_no_refusal() {
        let ways: Vec<fn() -> Status> = vec![
            || on_the_way(Code::Unauthenticated),
            || on_the_way(Code::Internal),
            || on_the_way(Code::ResourceExhausted),
            || Status::permission_denied("mapped from HTTP status code 403"),
        ];
        let (calls, failures) = (Arc::new(AtomicUsize::new(0)), ways.len());
        let mut sender = Sender::for_test(Channel::new(Failing { ways, calls: Arc::clone(&calls) }));
        assert!(sender.deliver(Report::RequestSplit(Bytes::new()), &TaskCounters::default()).await);
        assert_eq!(calls.load(Ordering::SeqCst), failures + 1);
        assert_eq!(sender.events, 1, "they were one request");
        assert!(sender.deliver(Report::RequestSplit(Bytes::new()), &TaskCounters::default()).await);
        assert_eq!(sender.events, 2);
    }

    /// A JobMaster whose coordinators have no room while it is full. Otherwise it does not know the job.
    #[derive(Clone, Default)]
    struct Full(Arc<AtomicBool>);

    impl Transport for Full {
        fn call(&self, request: http::Request<Body>) -> Answer {
            let full = request.uri().path().ends_with("/SendOperatorEvent") && self.0.load(Ordering::SeqCst);
            let status =
                if full { Status::unavailable("too many events wait") } else { Status::not_found("no such job") };
            Box::pin(std::future::ready(Err::<http::Response<Body>, _>(StdError::from(status))))
        }
    }

    /// Failed before: while a coordinator had no room for an event, the JobMaster heard nothing of the task's checkpoints, and a
    /// coordinator has no room before tasks have taken their part in one.
    #[tokio::test]
    async fn an_event_that_finds_no_room_holds_up_no_word_on_a_checkpoint() {
        let full = Full(Arc::new(AtomicBool::new(true)));
        let sender = Sender::for_test(Channel::new(full.clone()));
        let (reporter, running) = Reporter::new(sender, Arc::default(), Arc::default());
        let mut running = std::pin::pin!(running);
        let event = || Report::OperatorEvent { uid: Bytes::new(), event: Bytes::new() };
        let events = [reporter.report(event()), reporter.report(event())];
        let declined = reporter.report(Report::Decline { checkpoint: 1, failure: proto::Failure::default() });
        let finished = reporter.report(Report::State(ExecutionState::Finished, None));
        let taken = |said: Said| {
            let reporter = reporter.clone();
            async move {
                while !reporter.is_taken(said) {
                    tokio::task::yield_now().await;
                }
            }
        };
        tokio::select! {
            () = running.as_mut() => panic!("it has ended"),
            () = taken(declined) => {}
        }
        assert!([events[0], events[1], finished].iter().all(|said| !reporter.is_taken(*said)));
        full.0.store(false, Ordering::SeqCst);
        tokio::select! {
            () = running.as_mut() => panic!("it has ended"),
            () = taken(finished) => {}
        }
        assert!(events.iter().all(|said| reporter.is_taken(*said)), "FINISHED comes behind them");
    }

    #[test]
    fn what_the_job_master_says_of_a_report_is_final() {
        for status in [Status::not_found(""), Status::failed_precondition(""), Status::invalid_argument("")] {
            assert!(is_final(&status), "{status}");
        }
        assert!(!is_final(&Status::unavailable("")));
    }

    #[test]
    fn a_call_has_time_by_its_size_and_by_what_was_too_little_before() {
        assert_eq!(time_for(0, 0), CALL_TIMEOUT);
        assert_eq!(time_for(MAX_MESSAGE_BYTES, 0), Duration::from_secs(10 + 64));
        assert_eq!(time_for(MAX_MESSAGE_BYTES, 2), Duration::from_secs(4 * 74));
        assert_eq!((time_for(0, 20), time_for(usize::MAX >> 10, 99)), (LONGEST_CALL, LONGEST_CALL));
    }

    /// Counts calls and answers none.
    struct Deaf(Arc<AtomicUsize>);

    impl Transport for Deaf {
        fn call(&self, _: http::Request<Body>) -> Answer {
            self.0.fetch_add(1, Ordering::SeqCst);
            Box::pin(std::future::pending())
        }
    }

    #[tokio::test]
    async fn what_a_lost_job_master_may_not_have_heard_is_said_to_the_next() {
        let (deaf, heard) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let mut sender = Sender::for_test(Channel::new(Deaf(Arc::clone(&deaf))));
        let leader = sender.leader.clone();
        let next = Channel::new(Failing { ways: Vec::new(), calls: Arc::clone(&heard) });
        let changes = async {
            while deaf.load(Ordering::SeqCst) == 0 {
                tokio::task::yield_now().await;
            }
            leader.set(Leader::Awaited);
            tokio::task::yield_now().await;
            assert_eq!(heard.load(Ordering::SeqCst), 0);
            let client = JobMasterClient::new(next);
            leader.set(Leader::Known(JobMaster { client, fence: Bytes::from_static(b"next") }));
        };
        let finished = Report::State(ExecutionState::Finished, None);
        let counters = TaskCounters::default();
        let (listens, ()) = tokio::join!(sender.deliver(finished, &counters), changes);
        assert!(listens);
        assert_eq!((deaf.load(Ordering::SeqCst), heard.load(Ordering::SeqCst)), (1, 1));
    }

    /// Notes which methods are called. It does not know the job.
    struct Listening(Arc<Mutex<Vec<String>>>);

    impl Transport for Listening {
        fn call(&self, request: http::Request<Body>) -> Answer {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            self.0.lock().push(method.to_owned());
            let status = Status::not_found("no such job");
            Box::pin(std::future::ready(Err::<http::Response<Body>, _>(StdError::from(status))))
        }
    }

    async fn until(met: impl Fn() -> bool) {
        while !met() {
            tokio::task::yield_now().await;
        }
    }

    /// A task has an event and FINISHED to say when its JobMaster, which has answered nothing, is lost.
    async fn lose_job_master_of_finished_task(next: Option<Channel>) {
        let deaf = Arc::<AtomicUsize>::default();
        let sender = Sender::for_test(Channel::new(Deaf(Arc::clone(&deaf))));
        let leader = sender.leader.clone();
        let (reporter, running) = Reporter::new(sender, Arc::default(), Arc::default());
        let mut running = std::pin::pin!(running);
        reporter.report(Report::OperatorEvent { uid: Bytes::new(), event: Bytes::new() });
        let finished = reporter.report(Report::State(ExecutionState::Finished, None));
        tokio::select! {
            () = running.as_mut() => panic!("it has ended"),
            () = until(|| deaf.load(Ordering::SeqCst) == 1) => {}
        }
        leader.set(Leader::Awaited);
        assert!(!reporter.is_led() && !reporter.is_taken(finished));
        let Some(next) = next else {
            leader.set(Leader::Gone);
            running.await;
            return;
        };
        let client = JobMasterClient::new(next);
        leader.set(Leader::Known(JobMaster { client, fence: Bytes::from_static(b"next") }));
        tokio::select! {
            () = running.as_mut() => panic!("it has ended"),
            () = until(|| reporter.is_taken(finished)) => {}
        }
    }

    #[tokio::test]
    async fn a_finished_task_waits_with_its_events_for_the_next_job_master() {
        let heard = Arc::<Mutex<Vec<String>>>::default();
        lose_job_master_of_finished_task(Some(Channel::new(Listening(Arc::clone(&heard))))).await;
        assert_eq!(*heard.lock(), ["SendOperatorEvent", "UpdateTaskState"]);
        // There is no next one.
        lose_job_master_of_finished_task(None).await;
    }

    /// The thread of a task that was cancelled waits for this word, and its slot for the thread.
    #[tokio::test]
    async fn a_cancelled_task_waits_for_no_leader() {
        let calls = Arc::<AtomicUsize>::default();
        let mut sender = Sender::for_test(Channel::new(Deaf(Arc::clone(&calls))));
        sender.leader.set(Leader::Awaited);
        let canceled = Report::State(ExecutionState::Canceled, None);
        assert!(!sender.deliver(canceled, &TaskCounters::default()).await);
        assert_eq!(calls.load(Ordering::SeqCst), 0);
    }
}
