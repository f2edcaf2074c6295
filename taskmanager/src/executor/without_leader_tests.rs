use std::sync::atomic::AtomicBool;

use parking_lot::Mutex;
use tonic::codegen::http;
use wiesel_common::rpc::{Answer as Call, Transport};

use super::*;
use crate::runner::Standing;

const JOB: JobId = JobId([1; 16]);
/// Of the ResourceManager; the first 8 bytes are its epoch.
const FENCE: [u8; 16] = [7; 16];
const LIMIT: Duration = Duration::from_secs(60);

/// Calls that nobody answers, by their path, and what came with them.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<String>>>);

impl Transport for Calls {
    fn call(&self, request: http::Request<tonic::body::Body>) -> Call {
        self.0.lock().push(request.uri().path().to_owned());
        Box::pin(std::future::pending())
    }
}

impl Connector for Calls {
    fn connect(&self, _: &str) -> Result<Channel, Status> {
        Ok(Channel::new(self.clone()))
    }
}

impl Calls {
    fn to(&self, name: &str) -> usize {
        self.0.lock().iter().filter(|path| path.ends_with(name)).count()
    }
}

/// Tasks that do nothing, and whom they speak to.
#[derive(Default)]
struct Tasks(Mutex<HashMap<AttemptId, Played>>);

#[derive(Clone)]
struct Played {
    attempt: AttemptId,
    allocation: AllocationId,
    leader: LeaderWatch,
    cancelled: Arc<AtomicBool>,
    mail: Arc<Mutex<Vec<String>>>,
    standing: Arc<Mutex<Standing>>,
}

impl RunningTask for Played {
    fn attempt(&self) -> AttemptId {
        self.attempt
    }

    fn allocation(&self) -> AllocationId {
        self.allocation
    }

    fn name(&self) -> &str {
        "played (1/1)"
    }

    fn cancel(&self) {
        self.cancelled.store(true, Ordering::SeqCst);
    }

    fn fail(&self, _: proto::Failure) {
        self.cancel();
    }

    fn deliver(&self, mail: Mail) -> Result<(), Undelivered> {
        self.mail.lock().push(format!("{mail:?}"));
        Ok(())
    }

    fn reads_mail(&self) -> bool {
        true
    }

    fn is_ending(&self) -> bool {
        self.cancelled.load(Ordering::SeqCst)
    }

    fn waiting_for(&self) -> Option<&'static str> {
        None
    }

    fn metrics(&self) -> proto::TaskMetrics {
        proto::TaskMetrics::default()
    }

    fn standing(&self) -> Standing {
        *self.standing.lock()
    }
}

impl TaskRunner for Tasks {
    fn start(&self, request: proto::SubmitTasksRequest, launch: Launch<'_>) -> Result<(), Status> {
        let Launch { master, started, .. } = launch;
        for task in request.tasks {
            let attempt = AttemptId::from_bytes(&task.attempt_id).unwrap();
            let played = Played {
                attempt,
                allocation: AllocationId::from_bytes(&task.allocation_id).unwrap(),
                leader: master.sender(attempt).leader,
                cancelled: Arc::default(),
                mail: Arc::default(),
                standing: Arc::default(),
            };
            self.0.lock().insert(attempt, played.clone());
            started.push(Box::new(played));
        }
        Ok(())
    }

    fn forget(&self, _: JobId) {}
}

/// A TaskExecutor with three slots, of which a job has two, each with a task.
struct Deployed {
    executor: TaskExecutor,
    tasks: Arc<Tasks>,
    calls: Calls,
}

const FIRST: AttemptId = AttemptId([10; 16]);
const SECOND: AttemptId = AttemptId([11; 16]);

fn slot(slot: u32, master: u8) -> proto::RequestSlotRequest {
    proto::RequestSlotRequest {
        fence: Bytes::from_static(&FENCE),
        slot,
        job_id: JOB.to_bytes(),
        allocation_id: vec![slot as u8; 16].into(),
        job_master_address: "jm:6123".into(),
        job_master_fence: vec![master; 16].into(),
    }
}

fn deployment(master: u8, attempt: AttemptId, slot: u8) -> proto::SubmitTasksRequest {
    let task = proto::TaskDeployment {
        vertex: 3,
        subtask: slot.into(),
        attempt_id: attempt.to_bytes(),
        attempt_number: 2,
        allocation_id: vec![slot; 16].into(),
        restore: Some(proto::TaskRestore { checkpoint_id: 41, state: None }),
    };
    proto::SubmitTasksRequest {
        fence: vec![master; 16].into(),
        graph: Some(proto::JobGraph { job_id: JOB.to_bytes(), ..Default::default() }),
        execution: 5,
        tasks: vec![task],
        ..Default::default()
    }
}

impl Deployed {
    fn new(limit: Duration) -> Self {
        let (tasks, calls) = (Arc::<Tasks>::default(), Calls::default());
        let (status, _) = watch::channel(SlotStatus::default());
        let mut executor = TaskExecutor::new(Setup {
            runner: Arc::<Tasks>::clone(&tasks),
            connector: Arc::new(calls.clone()),
            slots: 3,
            slot_timeout: Duration::from_secs(10),
            cancellation_timeout: Some(Duration::from_secs(180)),
            tasks_without_leader: limit,
            identity: proto::RegisterTaskManagerRequest { resource_id: "a".into(), slots: 3, ..Default::default() },
            resource_manager_address: "jm:6123".into(),
            status,
        });
        executor.registered(Bytes::from_static(&FENCE), 1);
        for (index, attempt) in [(0, FIRST), (1, SECOND)] {
            assert!(executor.request_slot(&slot(index, 8)).unwrap().granted);
            executor.submit_tasks(deployment(8, attempt, index as u8)).unwrap();
        }
        Self { executor, tasks, calls }
    }

    fn task(&self, attempt: AttemptId) -> Played {
        self.tasks.0.lock()[&attempt].clone()
    }

    /// Of the two: which are cancelled.
    fn cancelled(&self) -> [bool; 2] {
        [FIRST, SECOND].map(|attempt| self.task(attempt).is_ending())
    }

    fn lose(&mut self) {
        self.executor.resource_manager_lost("the test says so");
    }

    /// Another ResourceManager takes this registration, and says that this JobMaster leads the job, or none.
    fn register(&mut self, master: Option<u8>) {
        self.executor.registered(Bytes::from_static(&[8; 16]), 1);
        assert!(self.executor.searching, "it is asked who leads the job");
        let search = Search::of(&self.executor, vec![JOB]);
        let location = master.map(|master| proto::JobMasterLocation {
            job_id: JOB.to_bytes(),
            address: "jm:6123".into(),
            fence: vec![master; 16].into(),
        });
        self.executor.searched(search, Some(Vec::from_iter(location)));
    }

    fn answer(&mut self, slot: u8, accepted: bool) {
        self.executor.offer_answered(AllocationId([slot; 16]), accepted);
    }

    fn held(&self) -> Vec<u32> {
        self.executor.slots.held(JOB).into_iter().map(|held| held.index).collect()
    }

    fn end(&mut self, attempt: AttemptId, state: proto::ExecutionState) {
        self.task(attempt).standing.lock().state = state;
        self.executor.task_ended(JOB, attempt);
    }
}

#[tokio::test]
async fn without_a_time_to_go_on_tasks_end_with_their_job_master() {
    let mut deployed = Deployed::new(Duration::ZERO);
    deployed.lose();
    assert_eq!(deployed.cancelled(), [true, true]);
    assert!(deployed.task(FIRST).leader.is_gone());
}

#[tokio::test]
async fn tasks_go_on_without_their_job_master_which_is_not_listened_to_any_more() {
    let mut deployed = Deployed::new(LIMIT);
    assert!(deployed.executor.request_slot(&slot(2, 8)).unwrap().granted);
    deployed.lose();
    assert_eq!(deployed.cancelled(), [false, false]);
    assert_eq!(deployed.held(), [0, 1], "what is on offer goes back");
    assert!(deployed.task(FIRST).leader.is_awaited());
    let executor = &mut deployed.executor;
    let fence = Bytes::from(vec![8_u8; 16]);
    let trigger =
        proto::TriggerCheckpointRequest { fence: fence.clone(), job_id: JOB.to_bytes(), ..Default::default() };
    assert_eq!(executor.trigger_checkpoint(trigger).unwrap_err().code(), Code::FailedPrecondition);
    let event = proto::OperatorEventToTask {
        fence: fence.clone(),
        job_id: JOB.to_bytes(),
        attempt_id: FIRST.to_bytes(),
        ..Default::default()
    };
    assert_eq!(executor.operator_event(event).unwrap_err().code(), Code::FailedPrecondition);
    assert!(executor.submit_tasks(deployment(8, AttemptId([12; 16]), 0)).is_err());
    let cancel = proto::CancelTasksRequest { fence: fence.clone(), job_id: JOB.to_bytes(), ..Default::default() };
    assert!(executor.cancel_tasks(&cancel).is_err());
    let free = proto::FreeSlotRequest { fence, allocation_id: vec![0; 16].into(), ..Default::default() };
    assert!(executor.free_slot(&free).is_err());
    assert_eq!(deployed.cancelled(), [false, false]);
}

#[tokio::test]
async fn the_next_job_master_is_offered_slots_with_their_tasks() {
    let mut deployed = Deployed::new(LIMIT);
    *deployed.task(FIRST).standing.lock() =
        Standing { state: proto::ExecutionState::Running, end_of_data: true, awaits_checkpoint: true, checkpoint: 43 };
    deployed.lose();
    deployed.register(Some(9));
    assert_eq!(deployed.executor.offers.len(), 2);
    let reports = deployed.executor.jobs[&JOB].reports(AllocationId([0; 16]));
    let expected = proto::TaskReport {
        allocation_id: vec![0; 16].into(),
        attempt_id: FIRST.to_bytes(),
        attempt_number: 2,
        vertex: 3,
        subtask: 0,
        execution: 5,
        session: vec![8; 16].into(),
        restored_checkpoint_id: 41,
        state: proto::ExecutionState::Running as i32,
        end_of_data: true,
        awaits_checkpoint: true,
        checkpoint_id: 43,
        events: Vec::new(),
        events_complete_from: 0,
    };
    assert_eq!(reports, [expected]);
    // It takes one slot and not the other; the task in the one is not taken over by that alone.
    deployed.answer(0, true);
    deployed.answer(1, false);
    assert_eq!((deployed.cancelled(), deployed.held()), ([false, true], vec![0]));
    assert!(deployed.task(FIRST).leader.is_awaited() && deployed.task(SECOND).leader.is_gone());
    assert!(deployed.executor.awaits_leader(JOB));
    // What it deploys itself speaks to it.
    let third = AttemptId([12; 16]);
    deployed.executor.submit_tasks(deployment(9, third, 0)).unwrap();
    assert!(deployed.task(third).leader.is_known());
    assert!(deployed.executor.submit_tasks(deployment(8, AttemptId([13; 16]), 0)).is_err(), "the former one does not");
}

#[tokio::test]
async fn adopted_tasks_speak_to_the_next_job_master() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.lose();
    let adopt = |master: u8, attempts: &[AttemptId]| proto::AdoptTasksRequest {
        fence: vec![master; 16].into(),
        job_id: JOB.to_bytes(),
        attempt_ids: attempts.iter().map(|attempt| attempt.to_bytes()).collect(),
        completed_checkpoint_id: 41,
        first_checkpoint_id: 1001,
    };
    assert!(deployed.executor.adopt_tasks(&adopt(9, &[FIRST])).is_err(), "it is not known yet");
    deployed.register(Some(9));
    assert!(deployed.executor.adopt_tasks(&adopt(8, &[FIRST])).is_err());
    deployed.answer(0, true);
    deployed.answer(1, true);
    let unknown = AttemptId([99; 16]);
    let answer = deployed.executor.adopt_tasks(&adopt(9, &[FIRST, unknown])).unwrap();
    assert_eq!(answer.not_running, [unknown.to_bytes()]);
    assert!(deployed.task(FIRST).leader.is_known() && deployed.task(SECOND).leader.is_awaited());
    assert_eq!(*deployed.task(FIRST).mail.lock(), ["Adopted { completed: 41, first: 1001 }"]);
    assert!(deployed.executor.awaits_leader(JOB), "for the other one");
    deployed.executor.adopt_tasks(&adopt(9, &[SECOND])).unwrap();
    assert!(!deployed.executor.awaits_leader(JOB));
    // Its answer may have been lost.
    deployed.executor.adopt_tasks(&adopt(9, &[FIRST, SECOND])).unwrap();
    assert_eq!(deployed.cancelled(), [false, false]);
    // The next change.
    deployed.lose();
    assert!(deployed.task(FIRST).leader.is_awaited() && deployed.task(SECOND).leader.is_awaited());
}

/// One that has failed has ended but for its word, which waits for a leader.
#[tokio::test]
async fn a_task_that_is_not_adopted_and_cancelled_waits_for_no_leader() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.lose();
    deployed.register(Some(9));
    deployed.answer(0, true);
    deployed.answer(1, true);
    let cancel = proto::CancelTasksRequest { fence: vec![9; 16].into(), job_id: JOB.to_bytes(), ..Default::default() };
    assert!(deployed.executor.cancel_tasks(&cancel).unwrap().not_running.is_empty());
    assert_eq!((deployed.cancelled(), deployed.held()), ([true, true], vec![0, 1]));
    assert!(deployed.task(FIRST).leader.is_gone() && !deployed.executor.awaits_leader(JOB));
}

#[tokio::test]
async fn tasks_that_nobody_leads_end() {
    for master in [None, Some(8), Some(6)] {
        // The job is not known; the JobMaster lives, and has replaced them; it has been superseded.
        let mut deployed = Deployed::new(LIMIT);
        deployed.lose();
        deployed.register(master);
        assert_eq!(deployed.cancelled(), [true, true], "{master:?}");
        assert!(deployed.held().is_empty() && deployed.executor.offers.is_empty());
        assert!(deployed.task(FIRST).leader.is_gone() && !deployed.executor.awaits_leader(JOB));
        deployed.end(FIRST, proto::ExecutionState::Canceled);
        deployed.end(SECOND, proto::ExecutionState::Canceled);
        assert!(deployed.executor.jobs.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_go_on_for_a_time_only() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.lose();
    tokio::time::advance(LIMIT / 2).await;
    // The next one is lost before it has taken them over: the time goes on.
    deployed.register(Some(9));
    deployed.answer(0, true);
    deployed.lose();
    assert!(deployed.executor.offers.is_empty());
    deployed.executor.attend_to_waiting();
    assert_eq!(deployed.cancelled(), [false, false]);
    tokio::time::advance(LIMIT / 2).await;
    deployed.executor.attend_to_waiting();
    assert_eq!(deployed.cancelled(), [true, true]);
    assert!(deployed.held().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_the_next_job_master_deploys_does_not_end_with_what_it_did_not_take_over() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.lose();
    deployed.register(Some(9));
    let request = proto::RequestSlotRequest { fence: Bytes::from_static(&[8; 16]), ..slot(2, 9) };
    assert!(deployed.executor.request_slot(&request).unwrap().granted);
    let third = AttemptId([12; 16]);
    deployed.executor.submit_tasks(deployment(9, third, 2)).unwrap();
    tokio::time::advance(LIMIT).await;
    deployed.executor.attend_to_waiting();
    assert_eq!((deployed.cancelled(), deployed.held()), ([true, true], vec![2]));
    let third = deployed.task(third);
    assert!(!third.is_ending() && third.leader.is_known() && !deployed.executor.awaits_leader(JOB));
}

/// The offer of a slot is the first that this TaskManager hears of the JobMaster.
#[tokio::test]
async fn a_job_master_that_asks_for_a_slot_is_known_by_that() {
    for (master, lives) in [(9, true), (8, false)] {
        let mut deployed = Deployed::new(LIMIT);
        deployed.lose();
        deployed.executor.registered(Bytes::from_static(&[8; 16]), 1);
        let request = proto::RequestSlotRequest { fence: Bytes::from_static(&[8; 16]), ..slot(2, master) };
        assert!(deployed.executor.request_slot(&request).unwrap().granted);
        assert_eq!(deployed.cancelled(), [!lives, !lives]);
        assert_eq!(deployed.executor.offers.len(), if lives { 3 } else { 1 });
        // The answer to the question, which was asked before.
        let search = Search::of(&deployed.executor, vec![JOB]);
        deployed.executor.searched(search, Some(Vec::new()));
        assert_eq!(deployed.cancelled(), [!lives, !lives]);
    }
}

#[tokio::test]
async fn a_question_without_an_answer_is_asked_again() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.lose();
    deployed.executor.registered(Bytes::from_static(&[8; 16]), 1);
    tokio::task::yield_now().await;
    assert_eq!(deployed.calls.to("FindJobMasters"), 1);
    deployed.executor.attend_to_waiting();
    tokio::task::yield_now().await;
    assert_eq!(deployed.calls.to("FindJobMasters"), 1, "one at a time");
    let search = Search::of(&deployed.executor, vec![JOB]);
    deployed.executor.searched(search, None);
    assert_eq!(deployed.cancelled(), [false, false]);
    deployed.executor.attend_to_waiting();
    // An answer of a ResourceManager that is lost says nothing.
    let late = Search::of(&deployed.executor, vec![JOB]);
    deployed.lose();
    deployed.executor.registered(Bytes::from_static(&[9; 16]), 1);
    deployed.executor.searched(late, Some(Vec::new()));
    assert_eq!(deployed.cancelled(), [false, false]);
    assert!(deployed.executor.searching, "the next one is asked");
}

#[tokio::test]
async fn what_has_finished_is_reported_as_long_as_its_slot_is_the_jobs() {
    let mut deployed = Deployed::new(LIMIT);
    deployed.end(FIRST, proto::ExecutionState::Finished);
    deployed.end(SECOND, proto::ExecutionState::Failed);
    let reports = |deployed: &Deployed, slot: u8| deployed.executor.jobs[&JOB].reports(AllocationId([slot; 16]));
    let finished = reports(&deployed, 0);
    assert_eq!((finished.len(), finished[0].state()), (1, proto::ExecutionState::Finished));
    assert!(reports(&deployed, 1).is_empty());
    // A later attempt takes its place.
    deployed.executor.submit_tasks(deployment(8, AttemptId([12; 16]), 0)).unwrap();
    assert_eq!(reports(&deployed, 0).len(), 1);
    assert_eq!(reports(&deployed, 0)[0].attempt_id, vec![12_u8; 16]);
    // Nothing runs in the other slot: the JobMaster that takes it leads the job.
    deployed.end(AttemptId([12; 16]), proto::ExecutionState::Finished);
    deployed.lose();
    deployed.register(Some(9));
    deployed.answer(0, true);
    assert!(!deployed.executor.awaits_leader(JOB));
}

#[tokio::test]
async fn what_coordinators_have_sent_is_kept_until_a_checkpoint_has_it() {
    let mut deployed = Deployed::new(LIMIT);
    let event = |attempt: AttemptId, after_checkpoint_id, bytes: usize| proto::OperatorEventToTask {
        fence: vec![8; 16].into(),
        job_id: JOB.to_bytes(),
        attempt_id: attempt.to_bytes(),
        operator_uid: vec![4; 16].into(),
        event: vec![0; bytes].into(),
        after_checkpoint_id,
    };
    let send = |deployed: &mut Deployed, attempt, after, bytes| {
        deployed.executor.operator_event(event(attempt, after, bytes)).unwrap();
    };
    let kept = |deployed: &Deployed, slot: u8| -> (Vec<(u64, usize)>, u64) {
        let reports = deployed.executor.jobs[&JOB].reports(AllocationId([slot; 16]));
        let events = reports[0].events.iter().map(|event| (event.after_checkpoint_id, event.event.len()));
        (events.collect(), reports[0].events_complete_from)
    };
    for (after, bytes) in [(0, 1), (4, 2), (5, 3)] {
        send(&mut deployed, FIRST, after, bytes);
    }
    send(&mut deployed, SECOND, 4, 7);
    assert_eq!(kept(&deployed, 0), (vec![(0, 1), (4, 2), (5, 3)], 0));
    // It has finished, and what it was given counts as given.
    deployed.end(SECOND, proto::ExecutionState::Finished);
    let ended = |checkpoint_id, outcome: proto::CheckpointOutcome| proto::NotifyCheckpointRequest {
        fence: vec![8; 16].into(),
        job_id: JOB.to_bytes(),
        attempt_ids: vec![FIRST.to_bytes()],
        checkpoint_id,
        outcome: outcome as i32,
    };
    deployed.executor.notify_checkpoint(&ended(5, proto::CheckpointOutcome::Aborted)).unwrap();
    assert_eq!(kept(&deployed, 0).0.len(), 3);
    deployed.executor.notify_checkpoint(&ended(4, proto::CheckpointOutcome::Completed)).unwrap();
    assert_eq!(kept(&deployed, 0), (vec![(4, 2), (5, 3)], 0));
    assert_eq!(kept(&deployed, 1).0, [(4, 7)]);
    deployed.executor.notify_checkpoint(&ended(5, proto::CheckpointOutcome::Completed)).unwrap();
    assert_eq!((kept(&deployed, 0).0, kept(&deployed, 1).0), (vec![(5, 3)], vec![]));
    // What is too much is left out, which is said, and is no matter any more with a later checkpoint.
    send(&mut deployed, FIRST, 6, 10 << 20);
    send(&mut deployed, FIRST, 6, 10 << 20);
    assert_eq!(kept(&deployed, 0), (vec![(5, 3), (6, 10 << 20)], 7));
    deployed.executor.notify_checkpoint(&ended(7, proto::CheckpointOutcome::Completed)).unwrap();
    send(&mut deployed, FIRST, 7, 10 << 20);
    assert_eq!(kept(&deployed, 0), (vec![(7, 10 << 20)], 7));
    // Nor is anything left of a task that is over.
    deployed.end(FIRST, proto::ExecutionState::Failed);
    deployed.executor.submit_tasks(deployment(8, AttemptId([12; 16]), 0)).unwrap();
    send(&mut deployed, AttemptId([12; 16]), 7, 15 << 20);
    assert_eq!(kept(&deployed, 0), (vec![(7, 15 << 20)], 0));
}

/// Its word waits for the next JobMaster, not for its own end.
#[tokio::test(start_paused = true)]
async fn a_task_that_cannot_say_that_it_failed_is_not_overdue() {
    let mut deployed = Deployed::new(Duration::from_secs(600));
    deployed.task(FIRST).cancel();
    deployed.executor.note_ending();
    deployed.lose();
    tokio::time::advance(Duration::from_secs(400)).await;
    assert_eq!(deployed.executor.overdue_cancellation(), None);
    deployed.register(None);
    assert_eq!(deployed.executor.overdue_cancellation(), None, "it has its time from now on");
    tokio::time::advance(Duration::from_secs(200)).await;
    assert!(deployed.executor.overdue_cancellation().is_some());
}
