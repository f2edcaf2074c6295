use wiesel_common::config::Configuration;
use wiesel_common::id::AllocationId;
use wiesel_proto::ExecutionState;

use super::*;
use crate::failure::FailureInfo;
use crate::jobmaster::checkpoint::store::Owner;
use crate::jobmaster::execution_graph::{JobSlot, JobSlots, TaskManagerLocation};
use crate::resourcemanager::slot_manager::ReportNumber;

#[path = "coordinator_duration_tests.rs"]
mod durations;
#[path = "coordinator_end_tests.rs"]
mod ends;
#[path = "coordinator_order_tests.rs"]
mod orders;
#[path = "coordinator_storage_tests.rs"]
mod storage;

pub(super) fn options(pairs: &[(&str, &str)]) -> CheckpointOptions {
    let pairs = pairs.iter().map(|(key, value)| (format!("execution.checkpointing.{key}"), (*value).to_owned()));
    CheckpointOptions::read(&pairs.collect::<Configuration>()).unwrap()
}

/// A source and a sink with a shuffle between them, two subtasks each, all running.
pub(super) fn execution_graph() -> ExecutionGraph {
    let vertex = |id: u8| proto::JobVertex { id: vec![id; 16].into(), parallelism: 2, ..Default::default() };
    let hash = proto::Partitioner::Hash as i32;
    let graph = proto::JobGraph {
        vertices: vec![vertex(1), vertex(2)],
        edges: vec![proto::JobEdge { source: 0, target: 1, partitioner: hash, ..Default::default() }],
        ..Default::default()
    };
    let mut next = 0;
    let mut graph = ExecutionGraph::new(Arc::new(graph), JobId([9; 16]), 0, &mut || {
        next += 1;
        AttemptId([next; 16])
    });
    let location = Arc::new(TaskManagerLocation {
        resource_id: "a".into(),
        rpc_address: "a:1".into(),
        data_address: "a:2".into(),
        hostname: "a".into(),
    });
    let mut slots = JobSlots::default();
    for index in 0..2 {
        let (allocation, since) = (AllocationId([index as u8; 16]), ReportNumber::default());
        slots.insert(JobSlot { allocation, index, since, location: Arc::clone(&location) });
    }
    graph.move_all(ExecutionState::Created, ExecutionState::Scheduled, 0);
    graph.assign_slots(&slots);
    graph.move_all(ExecutionState::Scheduled, ExecutionState::Running, 0);
    graph
}

const SOURCES: [u8; 2] = [1, 2];
const SINKS: [u8; 2] = [3, 4];

struct Fixture {
    coordinator: CheckpointCoordinator,
    graph: ExecutionGraph,
    now: i64,
}

impl Fixture {
    fn new(pairs: &[(&str, &str)]) -> Self {
        let options = Arc::new(options(pairs));
        let coordinator = CheckpointCoordinator::new(JobId([9; 16]), 7, options);
        let mut fixture = Self { coordinator, graph: execution_graph(), now: 0 };
        fixture.coordinator.resume(0, 1.0);
        fixture
    }

    fn actions(&mut self) -> Vec<Action> {
        self.coordinator.take_actions(self.now)
    }

    fn at(&mut self, now: i64) -> Vec<Action> {
        self.now = now;
        self.coordinator.tick(&self.graph, now);
        self.actions()
    }

    fn prepared(&mut self, id: u64) -> Vec<Action> {
        self.coordinator.prepared(id, Ok(Vec::new()), &self.graph, self.now);
        self.actions()
    }

    fn triggered(&mut self, id: u64) -> Vec<Action> {
        self.coordinator.triggered(id, Ok(()), &self.graph, self.now);
        self.actions()
    }

    fn ack(&mut self, id: u64, attempt: u8) -> Vec<Action> {
        let state = state(&format!("{id}-{attempt}"));
        let metrics = proto::CheckpointMetrics::default();
        self.coordinator.acknowledge(id, AttemptId([attempt; 16]), &state, metrics, &self.graph, self.now);
        self.actions()
    }

    fn finish_task(&mut self, attempt: u8) -> Vec<Action> {
        let attempt = AttemptId([attempt; 16]);
        let (vertex, subtask) = self.graph.find(attempt).unwrap();
        self.graph.enter(vertex, subtask, ExecutionState::Finished, self.now);
        self.coordinator.task_finished(attempt, &self.graph, self.now);
        self.actions()
    }

    fn finalized(&mut self, metadata: &Arc<proto::CheckpointMetadata>) -> Vec<Action> {
        let pointer = Ok(format!("file:/chk-{}", metadata.checkpoint_id));
        self.coordinator.finalized(Arc::clone(metadata), pointer, &self.graph, self.now);
        self.actions()
    }

    fn request(&mut self, request: Request) -> Vec<Action> {
        self.coordinator.request(request, &self.graph, self.now);
        self.actions()
    }

    /// From its preparation to its completion.
    fn run(&mut self, id: u64) -> Vec<Action> {
        self.prepared(id);
        self.triggered(id);
        let mut actions = Vec::new();
        for attempt in SOURCES.into_iter().chain(SINKS) {
            actions = self.ack(id, attempt);
        }
        let metadata = finalize(&actions).unwrap();
        self.finalized(&metadata)
    }
}

/// State with one shared file and one of its own.
fn state(name: &str) -> proto::TaskState {
    let file = |path: String, shared| proto::KeyedStateFile {
        shared,
        file: Some(proto::StateFile { path, ..Default::default() }),
        ..Default::default()
    };
    let files = vec![file(format!("shared-{name}"), true), file(format!("own-{name}"), false)];
    let keyed = vec![proto::KeyedStateHandle { files, ..Default::default() }];
    let operator = proto::OperatorSubtaskState { keyed, ..Default::default() };
    proto::TaskState { operators: vec![operator], ..Default::default() }
}

fn prepare(actions: &[Action]) -> Option<u64> {
    actions.iter().find_map(|action| if let Action::Prepare { id } = action { Some(*id) } else { None })
}

fn finalize(actions: &[Action]) -> Option<Arc<proto::CheckpointMetadata>> {
    actions.iter().find_map(|action| match action {
        Action::Finalize { metadata, .. } => Some(Arc::clone(metadata)),
        _ => None,
    })
}

fn triggers(actions: &[Action]) -> Vec<(u64, Vec<u8>)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Trigger { tasks, barrier } => {
                Some((barrier.checkpoint_id, tasks.iter().map(|task| task.attempt.0[0]).collect()))
            }
            _ => None,
        })
        .collect()
}

fn notified(actions: &[Action]) -> Option<(u64, proto::CheckpointOutcome, usize)> {
    actions.iter().find_map(|action| match action {
        Action::Notify { id, outcome, tasks } => Some((*id, *outcome, tasks.len())),
        _ => None,
    })
}

fn failure(actions: &[Action]) -> Option<Reason> {
    actions.iter().find_map(|action| match action {
        Action::Failed { failure, .. } => Some(failure.reason),
        _ => None,
    })
}

fn fails_job(actions: &[Action]) -> bool {
    actions.iter().any(|action| matches!(action, Action::FailJob(_)))
}

fn discarded(actions: &[Action]) -> Vec<u64> {
    let garbage = actions.iter().filter_map(|action| match action {
        Action::Discard { garbage, .. } => Some(garbage),
        _ => None,
    });
    garbage
        .flatten()
        .map(|garbage| match garbage {
            Garbage::Completed(checkpoint) => checkpoint.id,
            Garbage::Unfinished(metadata) => metadata.checkpoint_id,
            Garbage::Failed { barrier, .. } => barrier.checkpoint_id,
        })
        .collect()
}

fn savepoint(ticket: u64, stop: Option<Stop>) -> Request {
    Request::Savepoint { ticket, savepoint: Savepoint { target: "file:/sp".into(), native: false, stop } }
}

/// Where no checkpoint is requested, there is no folder to be removed.
#[test]
fn a_job_has_a_checkpoint_folder_once_a_checkpoint_is_configured_or_requested() {
    assert!(Fixture::new(&[("interval", "1 s")]).coordinator.has_folder());
    let mut job = Fixture::new(&[]);
    assert!(!job.coordinator.has_folder());
    job.request(Request::Checkpoint { ticket: 1, full: false });
    assert!(job.coordinator.has_folder());
}

#[test]
fn a_checkpoint_from_its_time_to_its_completion() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    assert_eq!(job.coordinator.next_tick(0), Some(1_000));
    assert!(job.at(999).is_empty());
    assert_eq!(prepare(&job.at(1_000)), Some(1));
    assert_eq!(triggers(&job.prepared(1)), [(1, SOURCES.to_vec())]);
    assert!(matches!(job.triggered(1)[..], [Action::Release { id: 1 }]));
    job.now = 1_050;
    for attempt in [1, 2, 3] {
        assert!(job.ack(1, attempt).is_empty());
    }
    assert!(job.ack(1, 3).is_empty(), "the same again");
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert_eq!(metadata.vertices.iter().map(|vertex| vertex.subtasks.len()).collect::<Vec<_>>(), [2, 2]);
    assert!(job.coordinator.is_finalizing() && job.coordinator.latest().is_none());
    let actions = job.finalized(&metadata);
    assert_eq!(notified(&actions), Some((1, proto::CheckpointOutcome::Completed, 4)));
    assert_eq!(job.coordinator.latest().unwrap().pointer, "file:/chk-1");
    assert_eq!(job.coordinator.statistics().latest_completed.as_ref().unwrap().duration(0), 50);
    assert_eq!(prepare(&job.at(2_000)), Some(2));
    assert_eq!(discarded(&job.run(2)), [1], "one is retained");
}

#[test]
fn a_checkpoint_that_takes_too_long_fails_and_is_cleaned_up() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("timeout", "5 s"), ("tolerable-failed-checkpoints", "1")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    job.ack(1, 1);
    assert_eq!(job.coordinator.next_tick(1_000), Some(2_000));
    assert!(job.at(5_999).is_empty(), "one at a time");
    let actions = job.at(6_000);
    assert_eq!(failure(&actions), Some(Reason::Expired));
    assert_eq!(notified(&actions), Some((1, proto::CheckpointOutcome::Aborted, 4)));
    assert_eq!(discarded(&actions), [1]);
    assert_eq!(prepare(&actions), Some(2), "the next one is overdue");
    assert!(discarded(&job.ack(1, 2)).is_empty(), "one round at a time");
    job.coordinator.discarded(Cleaned::all(), 6_000);
    assert_eq!(discarded(&job.at(6_000)), [1], "what comes late goes, too");
    job.prepared(2);
    let actions = job.at(11_000);
    assert!(matches!(actions[0], Action::Release { id: 2 }), "{actions:?}");
    assert!(fails_job(&actions), "{actions:?}");
}

#[test]
fn a_decline_or_a_refused_call_fails_the_checkpoint() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    let refused = Err(CheckpointFailure::new(Reason::TriggerFailure));
    job.coordinator.triggered(1, refused, &job.graph, job.now);
    let actions = job.actions();
    assert_eq!(failure(&actions), Some(Reason::TriggerFailure));
    assert!(!fails_job(&actions), "that does not count");
    job.at(2_000);
    job.prepared(2);
    job.triggered(2);
    job.coordinator.decline(2, CheckpointFailure::new(Reason::AsyncException), &job.graph, job.now);
    let actions = job.actions();
    assert!(fails_job(&actions), "none is tolerated: {actions:?}");
}

#[test]
fn tasks_that_end_are_not_waited_for() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.finish_task(1);
    job.at(1_000);
    assert_eq!(triggers(&job.prepared(1)), [(1, vec![2])]);
    job.triggered(1);
    // The other source ends before it is triggered: no task sends a barrier to the sinks.
    assert_eq!(triggers(&job.finish_task(2)), [(1, SINKS.to_vec())]);
    job.triggered(1);
    job.ack(1, 3);
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert!(metadata.vertices[0].subtasks.iter().all(|state| state.finished));
    assert!(metadata.vertices[1].subtasks.iter().all(|state| !state.finished));
    assert_eq!(notified(&job.finalized(&metadata)), Some((1, proto::CheckpointOutcome::Completed, 3)));
    assert_eq!(
        triggers(&{
            job.at(2_000);
            job.prepared(2)
        }),
        [(2, SINKS.to_vec())]
    );
}

#[test]
fn a_source_that_reported_and_ended_has_sent_its_barrier() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    job.ack(1, 1);
    assert!(job.finish_task(1).is_empty());
    assert!(job.finish_task(2).is_empty(), "the barrier of the first one reaches the sinks");
    job.ack(1, 3);
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    let finished: Vec<bool> = metadata.vertices[0].subtasks.iter().map(|state| state.finished).collect();
    assert_eq!(finished, [false, true]);
}

#[test]
fn without_checkpoints_after_tasks_finish_there_are_none() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("checkpoints-after-tasks-finish", "false")]);
    job.at(1_000);
    job.prepared(1);
    assert_eq!(failure(&job.finish_task(1)), Some(Reason::NotAllRequiredTasksRunning));
    assert_eq!(failure(&job.at(2_000)), Some(Reason::NotAllRequiredTasksRunning));
}

#[test]
fn the_pause_is_kept() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("min-pause", "700 ms")]);
    job.at(1_000);
    job.now = 1_600;
    job.run(1);
    assert!(prepare(&job.at(2_000)).is_none());
    assert_eq!(job.coordinator.next_tick(2_000), Some(2_300));
    assert_eq!(prepare(&job.at(2_300)), Some(2));
    assert!(job.coordinator.next_tick(2_300).unwrap() > 2_300, "no spinning while it waits");
}

#[test]
fn savepoints_run_beside_checkpoints_and_commit_nothing() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    assert!(job.request(savepoint(5, None)).is_empty(), "one is brought on its way at a time");
    let actions = job.triggered(1);
    assert_eq!(prepare(&actions), Some(2));
    let actions = job.prepared(2);
    let Action::Trigger { barrier, .. } = &actions[0] else { panic!("{actions:?}") };
    assert!(barrier.full && !barrier.native_format && barrier.target == "file:/sp");
    job.triggered(2);
    for attempt in [1, 2, 3] {
        job.ack(2, attempt);
    }
    let metadata = finalize(&job.ack(2, 4)).unwrap();
    let actions = job.finalized(&metadata);
    assert_eq!(notified(&actions), None, "a restart would not begin with it");
    let answer = Outcome { id: 2, pointer: "file:/chk-2".into() };
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::Answer { ticket: 5, result: Ok(outcome) } if *outcome == answer))
    );
    assert!(job.coordinator.latest().is_none());
    assert!(job.ack(1, 1).is_empty(), "the checkpoint goes on");
}

#[test]
fn the_savepoint_that_the_job_stops_with_commits() {
    let mut job = Fixture::new(&[]);
    assert_eq!(job.coordinator.next_tick(0), None, "no interval");
    assert_eq!(prepare(&job.request(savepoint(1, Some(Stop { drain: true })))), Some(1));
    let actions = job.prepared(1);
    let Action::Trigger { barrier, .. } = &actions[0] else { panic!("{actions:?}") };
    assert!(barrier.stop && barrier.drain);
    job.triggered(1);
    for attempt in [1, 2, 3] {
        job.ack(1, attempt);
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    assert_eq!(notified(&job.finalized(&metadata)), Some((1, proto::CheckpointOutcome::Completed, 4)));
}

#[test]
fn a_failed_drain_of_the_tasks_fails_the_job() {
    let mut job = Fixture::new(&[("tolerable-failed-checkpoints", "9")]);
    job.request(savepoint(1, Some(Stop { drain: true })));
    job.prepared(1);
    job.triggered(1);
    job.coordinator.decline(1, CheckpointFailure::new(Reason::AsyncException), &job.graph, job.now);
    let actions = job.actions();
    assert!(fails_job(&actions), "{actions:?}");
    assert!(actions.iter().any(|action| matches!(action, Action::Answer { ticket: 1, result: Err(_) })));
}

/// Before, a folder that tasks cannot write to failed a healthy job: for good, if it had no checkpoints.
#[test]
fn a_savepoint_that_a_task_cannot_write_fails_for_its_caller_and_does_not_count() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("tolerable-failed-checkpoints", "1")]);
    for (id, stop) in [(1, None), (2, Some(Stop { drain: false })), (3, None)] {
        job.request(savepoint(id, stop));
        job.prepared(id);
        job.triggered(id);
        job.coordinator.decline(id, CheckpointFailure::new(Reason::AsyncException), &job.graph, job.now);
        let actions = job.actions();
        let answered = |action: &Action| matches!(action, Action::Answer { ticket, result: Err(_) } if *ticket == id);
        assert!(actions.iter().any(answered), "{actions:?}");
        assert_eq!(notified(&actions), Some((id, proto::CheckpointOutcome::Aborted, 4)), "sources go on");
        assert!(!fails_job(&actions), "{actions:?}");
    }
    // One failure of a checkpoint is tolerated, the next one not: the savepoints were not counted.
    for (id, fatal) in [(4, false), (5, true)] {
        assert_eq!(prepare(&job.at(id as i64 * 10_000)), Some(id));
        job.prepared(id);
        job.triggered(id);
        job.coordinator.decline(id, CheckpointFailure::new(Reason::AsyncException), &job.graph, job.now);
        let actions = job.actions();
        assert_eq!(fails_job(&actions), fatal, "{actions:?}");
    }
}

#[test]
fn a_restart_fails_what_is_under_way_except_what_is_being_written() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("max-concurrent-checkpoints", "2")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    for attempt in [1, 2, 3] {
        job.ack(1, attempt);
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    job.at(2_000);
    job.prepared(2);
    job.coordinator.suspend(Reason::CoordinatorSuspend, 2_100);
    let actions = job.actions();
    assert_eq!(failure(&actions), Some(Reason::CoordinatorSuspend));
    assert!(!fails_job(&actions));
    assert!(job.coordinator.is_finalizing());
    assert_eq!(job.coordinator.next_tick(2_100), Some(12_100), "nothing but a sweep");
    job.finalized(&metadata);
    assert_eq!(job.coordinator.latest().unwrap().id, 1);
    job.coordinator.resume(5_000, 0.0);
    assert_eq!(prepare(&job.at(5_000)), Some(3));
}

#[test]
fn a_newer_checkpoint_replaces_older_ones_under_way() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("max-concurrent-checkpoints", "2")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    job.at(2_000);
    let actions = job.run(2);
    assert_eq!(failure(&actions), Some(Reason::Subsumed));
    assert_eq!(job.coordinator.statistics().failed, 1);
    assert_eq!(job.coordinator.latest().unwrap().id, 2);
}

#[test]
fn metadata_that_cannot_be_written_fails_the_checkpoint() {
    let mut job = Fixture::new(&[("interval", "1 s")]);
    job.at(1_000);
    job.prepared(1);
    job.triggered(1);
    for attempt in [1, 2, 3] {
        job.ack(1, attempt);
    }
    let metadata = finalize(&job.ack(1, 4)).unwrap();
    let full = CheckpointFailure::because(Reason::IoException, FailureInfo::new("java.io.IOException", "disk full"));
    job.coordinator.finalized(metadata, Err(full), &job.graph, job.now);
    let actions = job.actions();
    assert_eq!(discarded(&actions), [1]);
    assert_eq!(notified(&actions), Some((1, proto::CheckpointOutcome::Aborted, 4)));
    assert!(
        actions
            .iter()
            .any(|action| matches!(action, Action::FailJob(cause) if cause.stack_trace().contains("disk full")))
    );
}

#[test]
fn what_outlives_the_job_is_configured() {
    let kept_after = |retention: &str, status: JobStatus, unrecoverable: bool| {
        let mut job = Fixture::new(&[("interval", "1 s"), ("externalized-checkpoint-retention", retention)]);
        job.at(1_000);
        job.run(1);
        job.coordinator.shut_down(status, unrecoverable, 1_500);
        discarded(&job.actions()).is_empty()
    };
    let kept = |retention: &str, status: JobStatus| kept_after(retention, status, false);
    use JobStatus::{Canceled, Failed, Finished};
    let all = |retention: &str| [Finished, Canceled, Failed].map(|status| kept(retention, status));
    assert_eq!(all("NO_EXTERNALIZED_CHECKPOINTS"), [false, false, false]);
    assert_eq!(all("DELETE_ON_CANCELLATION"), [false, false, true]);
    assert_eq!(all("RETAIN_ON_CANCELLATION"), [false, true, true]);
    // Failed before: a TaskManager that did not see the store cost the job all of its state.
    let unrecoverable = |status| kept_after("NO_EXTERNALIZED_CHECKPOINTS", status, true);
    assert_eq!([Finished, Canceled, Failed].map(unrecoverable), [false, false, true]);
}

/// Failed before: with four deletions that never ended no checkpoint began any more.
#[test]
fn deletions_that_hang_hold_up_no_checkpoint() {
    let mut job = Fixture::new(&[("interval", "1 s"), ("num-retained", "1")]);
    let mut rounds = 0;
    for id in 1..2_000 {
        assert_eq!(prepare(&job.at(id as i64 * 1_000)), Some(id), "after {rounds} rounds that hang");
        let actions = job.run(id);
        rounds += actions.iter().filter(|action| matches!(action, Action::Discard { .. })).count();
    }
    assert!(rounds <= 4, "{rounds} rounds at once");
}

fn restored(owner: Owner) -> CompletedCheckpoint {
    let vertex = proto::VertexState { subtasks: vec![state("old")], ..Default::default() };
    let metadata = proto::CheckpointMetadata { checkpoint_id: 7, vertices: vec![vertex], ..Default::default() };
    CompletedCheckpoint { owner, ..CompletedCheckpoint::of_job(Arc::new(metadata), "file:/old".into()) }
}

#[test]
fn what_the_job_started_from_belongs_to_the_owner_that_the_claim_mode_says() {
    for (mode, owner, full) in [(ClaimMode::NoClaim, Owner::Other, true), (ClaimMode::Claim, Owner::Claimed, false)] {
        let mut job = Fixture::new(&[("interval", "1 s")]);
        job.coordinator.start_from(restored(owner), mode);
        job.at(1_000);
        let actions = job.prepared(8);
        let Action::Trigger { barrier, .. } = &actions[0] else { panic!("{actions:?}") };
        assert_eq!((barrier.full, barrier.completed_checkpoint_id), (full, 7), "{mode:?}");
        job.triggered(8);
        for attempt in [1, 2, 3] {
            job.ack(8, attempt);
        }
        let metadata = finalize(&job.ack(8, 4)).unwrap();
        let gone = discarded(&job.finalized(&metadata));
        assert_eq!(gone, if owner == Owner::Claimed { vec![7] } else { vec![] });
        job.at(2_000);
        let actions = job.prepared(9);
        let Action::Trigger { barrier, .. } = &actions[0] else { panic!("{actions:?}") };
        assert!(!barrier.full, "one full checkpoint is enough");
    }
}
