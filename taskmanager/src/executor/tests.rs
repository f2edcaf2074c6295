use std::sync::atomic::{AtomicUsize, Ordering};

use tonic::codegen::StdError;
use wiesel_common::rpc::{Answer as Call, Transport, timeout_of};

use super::offers::offer_slot;
use super::*;
use crate::runner::Standing;

const FENCE: [u8; 16] = [7; 16];
const JOB: [u8; 16] = [1; 16];

/// A peer that does not answer.
struct Silence;

impl Transport for Silence {
    fn call(&self, _: tonic::codegen::http::Request<tonic::body::Body>) -> Call {
        Box::pin(std::future::pending())
    }
}

impl Connector for Silence {
    fn connect(&self, _: &str) -> Result<Channel, Status> {
        Ok(Channel::new(Silence))
    }
}

/// Tasks that never end, however often they are told to.
#[derive(Default)]
struct Stubborn {
    told: Arc<AtomicUsize>,
}

struct StubbornTask {
    attempt: AttemptId,
    allocation: AllocationId,
    told: Arc<AtomicUsize>,
}

impl RunningTask for StubbornTask {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    fn allocation(&self) -> AllocationId {
        self.allocation
    }

    fn name(&self) -> &str {
        "stubborn (1/1)"
    }

    fn cancel(&self) {
        self.told.fetch_add(1, Ordering::SeqCst);
    }

    fn fail(&self, _: proto::Failure) {
        self.cancel();
    }

    fn deliver(&self, _: Mail) -> Result<(), Undelivered> {
        Err(Undelivered::Ended)
    }

    fn reads_mail(&self) -> bool {
        false
    }

    fn is_ending(&self) -> bool {
        self.told.load(Ordering::SeqCst) > 0
    }

    fn waiting_for(&self) -> Option<&'static str> {
        Some("nobody")
    }

    fn metrics(&self) -> proto::TaskMetrics {
        proto::TaskMetrics::default()
    }

    fn standing(&self) -> Standing {
        Standing::default()
    }
}

impl TaskRunner for Stubborn {
    fn start(&self, request: proto::SubmitTasksRequest, launch: Launch<'_>) -> Result<(), Status> {
        let Launch { started, .. } = launch;
        for task in request.tasks {
            started.push(Box::new(StubbornTask {
                attempt: AttemptId::from_bytes(&task.attempt_id).unwrap(),
                allocation: AllocationId::from_bytes(&task.allocation_id).unwrap(),
                told: Arc::clone(&self.told),
            }));
        }
        Ok(())
    }

    fn forget(&self, _: JobId) {}
}

fn executor(runner: Arc<Stubborn>, cancellation_timeout: Duration) -> TaskExecutor {
    let identity = proto::RegisterTaskManagerRequest { resource_id: "a".into(), slots: 2, ..Default::default() };
    let (status, _) = watch::channel(SlotStatus::default());
    TaskExecutor::new(Setup {
        runner,
        connector: Arc::new(Silence),
        slots: 2,
        slot_timeout: Duration::from_secs(10),
        cancellation_timeout: Some(cancellation_timeout),
        tasks_without_leader: Duration::ZERO,
        identity,
        resource_manager_address: "jm:6123".into(),
        status,
    })
}

fn slot(slot: u32, master: u8) -> proto::RequestSlotRequest {
    proto::RequestSlotRequest {
        fence: Bytes::from_static(&FENCE),
        slot,
        job_id: Bytes::from_static(&JOB),
        allocation_id: vec![slot as u8; 16].into(),
        job_master_address: "jm:6123".into(),
        job_master_fence: vec![master; 16].into(),
    }
}

/// By the JobMaster 8, into slot 0.
fn deployment(attempt: u8) -> proto::SubmitTasksRequest {
    let task = proto::TaskDeployment {
        attempt_id: vec![attempt; 16].into(),
        allocation_id: vec![0; 16].into(),
        ..Default::default()
    };
    proto::SubmitTasksRequest {
        fence: vec![8; 16].into(),
        graph: Some(proto::JobGraph { job_id: Bytes::from_static(&JOB), ..Default::default() }),
        tasks: vec![task],
        ..Default::default()
    }
}

/// By the JobMaster 8.
fn cancelled(attempts: &[u8], job: [u8; 16]) -> proto::CancelTasksRequest {
    proto::CancelTasksRequest {
        fence: vec![8; 16].into(),
        job_id: Bytes::copy_from_slice(&job),
        attempt_ids: attempts.iter().map(|attempt| vec![*attempt; 16].into()).collect(),
    }
}

/// Failed before: they were cancelled behind the back of `task.cancellation.timeout`, and one that hung kept its slot for ever.
#[tokio::test]
async fn tasks_of_a_superseded_job_master_have_to_end_in_time() {
    let runner = Arc::new(Stubborn::default());
    let mut executor = executor(Arc::clone(&runner), Duration::ZERO);
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    executor.submit_tasks(deployment(5)).unwrap();
    assert_eq!(executor.overdue_cancellation(), None);
    // A JobMaster that asks is told what does not run here: the report of it may have been lost.
    let answer = executor.cancel_tasks(&cancelled(&[6], JOB)).unwrap();
    assert_eq!(answer.not_running, [vec![6_u8; 16]]);
    let answer = executor.cancel_tasks(&cancelled(&[5, 6], [2; 16])).unwrap();
    assert_eq!(answer.not_running, [vec![5_u8; 16], vec![6_u8; 16]]);
    assert!(executor.request_slot(&slot(1, 9)).unwrap().granted);
    assert_eq!(runner.told.load(Ordering::SeqCst), 1);
    std::thread::sleep(Duration::from_millis(2));
    let reason = executor.overdue_cancellation().unwrap();
    assert!(reason.contains("task.cancellation.timeout") && reason.contains("stubborn (1/1)"), "{reason}");
}

/// The fences here are of as many equal bytes: the larger one has the later epoch.
#[tokio::test]
async fn a_superseded_job_master_gets_no_slot_and_ends_no_task() {
    let runner = Arc::new(Stubborn::default());
    let mut executor = executor(Arc::clone(&runner), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    executor.submit_tasks(deployment(5)).unwrap();
    let refused = executor.request_slot(&slot(1, 7)).unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(refused.message().contains("superseded"), "{refused}");
    let malformed = proto::RequestSlotRequest { job_master_fence: vec![9; 15].into(), ..slot(1, 8) };
    assert_eq!(executor.request_slot(&malformed).unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(runner.told.load(Ordering::SeqCst), 0);
    assert!(executor.request_slot(&slot(1, 8)).unwrap().granted, "it was not given away");
}

/// The JobMaster knows nothing of it before they have ended, so that it would wait for them for ever.
#[tokio::test]
async fn tasks_that_were_failed_for_their_memory_have_to_end_in_time() {
    let runner = Arc::new(Stubborn::default());
    let mut executor = executor(Arc::clone(&runner), Duration::ZERO);
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    executor.submit_tasks(deployment(5)).unwrap();
    executor.note_ending();
    assert!(executor.cancelling.is_empty());
    runner.told.store(1, Ordering::SeqCst);
    executor.note_ending();
    std::thread::sleep(Duration::from_millis(2));
    let reason = executor.overdue_cancellation().unwrap();
    assert!(reason.contains("task.cancellation.timeout") && reason.contains("stubborn (1/1)"), "{reason}");
}

#[tokio::test]
async fn what_is_said_of_the_slots_names_the_registration() {
    let mut executor = executor(Arc::default(), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 3);
    let first = executor.request_slot(&slot(0, 8)).unwrap();
    assert_eq!(first.registration, 3);
    executor.resource_manager_lost("the test says so");
    assert!(executor.request_slot(&slot(0, 8)).is_err(), "it is registered nowhere");
    executor.registered(Bytes::from_static(&FENCE), 5);
    let second = executor.request_slot(&slot(0, 8)).unwrap();
    assert_eq!(second.registration, 5);
    assert!(second.slots_version > first.slots_version);
}

/// So a JobMaster knows of a report that does not name a task whether it was made before the task came.
#[tokio::test]
async fn deployments_and_cancellations_are_answered_with_the_number_of_reports() {
    let mut executor = executor(Arc::default(), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    executor.report_metrics();
    assert_eq!(executor.submit_tasks(deployment(5)).unwrap().reports, 1);
    executor.report_metrics();
    assert_eq!(
        executor.submit_tasks(deployment(6)).unwrap().reports,
        1,
        "the report that is under way is not made again"
    );
    executor.reported(JobId(JOB), &Bytes::from(vec![8_u8; 16]), &proto::TaskMetricsResponse::default());
    executor.report_metrics();
    assert_eq!(executor.cancel_tasks(&cancelled(&[5], JOB)).unwrap().reports, 2);
    assert_eq!(executor.submit_tasks(deployment(6)).unwrap().reports, 2, "which runs");
}

/// Failed before: it ran, though its JobMaster had been told that it did not, and had deployed its successor.
#[tokio::test]
async fn a_deployment_that_was_overtaken_by_its_cancellation_is_refused() {
    let mut executor = executor(Arc::default(), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    assert_eq!(executor.cancel_tasks(&cancelled(&[5], JOB)).unwrap().not_running, [vec![5_u8; 16]]);
    assert_eq!(executor.submit_tasks(deployment(5)).unwrap_err().code(), Code::Aborted);
    executor.submit_tasks(deployment(6)).unwrap();
    assert_eq!(executor.cancel_tasks(&cancelled(&[5, 6], JOB)).unwrap().not_running, [vec![5_u8; 16]]);
    let now = Instant::now();
    executor.forget_taken_back(now + TAKEN_BACK_FOR / 2);
    assert_eq!(executor.submit_tasks(deployment(5)).unwrap_err().code(), Code::Aborted);
    executor.forget_taken_back(now + TAKEN_BACK_FOR);
    assert!(executor.jobs[&JobId(JOB)].taken_back.is_empty(), "not for ever");
}

/// Failed before: it ran on, beside the attempt that had taken its place.
#[tokio::test]
async fn a_task_that_its_job_master_does_not_have_is_cancelled() {
    let runner = Arc::new(Stubborn::default());
    let mut executor = executor(Arc::clone(&runner), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    executor.submit_tasks(deployment(5)).unwrap();
    let unknown_attempts = vec![vec![5; 16].into(), vec![6; 16].into()];
    let answer = proto::TaskMetricsResponse { unknown_attempts, ..Default::default() };
    executor.reported(JobId(JOB), &Bytes::from(vec![9_u8; 16]), &answer);
    assert_eq!(runner.told.load(Ordering::SeqCst), 0, "that one does not lead the job");
    executor.reported(JobId(JOB), &Bytes::from(vec![8_u8; 16]), &answer);
    assert_eq!(runner.told.load(Ordering::SeqCst), 1);
}

/// Failed before: it went on, with slots that had been given back, and a JobMaster took them.
#[tokio::test]
async fn a_slot_that_is_given_back_is_on_offer_no_more() {
    let mut executor = executor(Arc::default(), Duration::from_secs(60));
    executor.registered(Bytes::from_static(&FENCE), 1);
    assert!(executor.request_slot(&slot(0, 8)).unwrap().granted);
    assert!(executor.request_slot(&slot(1, 8)).unwrap().granted);
    assert_eq!((executor.offers.len(), executor.background.len()), (2, 2));
    executor.resource_manager_lost("the test says so");
    assert!(executor.offers.is_empty());
    while let Some(ended) = executor.background.join_next().await {
        assert!(ended.unwrap_err().is_cancelled());
    }
    // Its answer was on its way, and the slot is held and on offer again by then, for another allocation.
    executor.registered(Bytes::from_static(&FENCE), 2);
    let again = proto::RequestSlotRequest { allocation_id: vec![9; 16].into(), ..slot(0, 8) };
    assert!(executor.request_slot(&again).unwrap().granted);
    executor.handle_internal(Internal::OfferAnswered { allocation: AllocationId([0; 16]), accepted: false });
    let held = || executor.slots.report().into_iter().filter(|slot| !slot.allocation_id.is_empty()).count();
    assert_eq!((executor.offers.len(), held()), (1, 1));
    executor.handle_internal(Internal::OfferAnswered { allocation: AllocationId([9; 16]), accepted: false });
    assert!(executor.offers.is_empty() && executor.slots.allocations().is_empty());
}

/// Whose calls fail when their time is over.
struct Late {
    calls: Arc<AtomicUsize>,
}

impl Transport for Late {
    fn call(&self, request: tonic::codegen::http::Request<tonic::body::Body>) -> Call {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let limit = timeout_of(&request).expect("an offer has an end");
        Box::pin(async move {
            tokio::time::sleep(limit).await;
            Err(StdError::from(Status::cancelled("Timeout expired")))
        })
    }
}

/// Failed before: a TaskManager that had stood still during its offer gave the slot back when it went on, though the job had taken it
/// and its tasks came. They were refused, which fails a job that does not restart.
#[tokio::test]
async fn a_slot_is_offered_once_more_before_it_is_given_back() {
    let calls = Arc::<AtomicUsize>::default();
    let client = JobMasterClient::new(Channel::new(Late { calls: Arc::clone(&calls) }));
    let (patience, begun) = (Duration::from_millis(200), Instant::now());
    assert!(!offer_slot(client, proto::OfferSlotsRequest::default(), AllocationId([0; 16]), patience).await);
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    assert!(begun.elapsed() >= patience * 2, "{:?}", begun.elapsed());
}
