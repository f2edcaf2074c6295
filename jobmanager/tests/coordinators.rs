//! The coordinator of an operator that is no source, over real gRPC and REST, with TaskManagers played by the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::json;
use support::{Cluster, TaskManager, failure, until};
use tonic::{Code, Status};
use wiesel_common::id::JobId;
use wiesel_jobmanager::jobmaster::operator_coordinator_holder::CoordinatorFactory;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_operators::coordinator::{
    EventSender, Events, MAX_EVENT_TO_COORDINATOR, MakeCoordinator, OperatorCoordinator,
};
use wiesel_operators::operator::{Error as OperatorError, Result as OperatorResult};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished};

const SINK: [u8; 16] = [2; 16];

type Log = Arc<Mutex<Vec<String>>>;

/// An event that the coordinator handles when the test lets it.
const LONG: &[u8] = b"long";
/// An event that the coordinator cannot handle.
const WRONG: &[u8] = b"wrong";

/// Tells a subtask which of all events its event was.
struct Counter {
    events: u8,
    log: Log,
    /// What it waits for with [`LONG`].
    turn: Arc<Mutex<Receiver<()>>>,
}

impl OperatorCoordinator for Counter {
    fn restore(&mut self, checkpoint_id: u64, state: &[u8]) -> OperatorResult<()> {
        self.events = state[0];
        self.log.lock().unwrap().push(format!("restored {} of {checkpoint_id}", self.events));
        Ok(())
    }

    /// It is to come although the task is not deployed yet.
    fn start(&mut self, events: &mut Events) -> OperatorResult<()> {
        events.send(0, Bytes::from_static(b"start"));
        Ok(())
    }

    fn handle_event(&mut self, sender: EventSender, event: Bytes, events: &mut Events) -> OperatorResult<()> {
        if event == WRONG {
            let message = "what the sink says is wrong".to_owned();
            return Err(OperatorError::External { message, source: None });
        }
        if event == LONG {
            self.turn.lock().unwrap().recv().unwrap();
            self.log.lock().unwrap().push("long".into());
        }
        self.events += 1;
        events.send(sender.subtask, vec![self.events].into());
        Ok(())
    }

    fn snapshot(&mut self, _: u64) -> OperatorResult<Bytes> {
        Ok(vec![self.events].into())
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64, _: &mut Events) -> OperatorResult<()> {
        self.log.lock().unwrap().push(format!("completed {checkpoint_id}"));
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> OperatorResult<()> {
        self.log.lock().unwrap().push(format!("aborted {checkpoint_id}"));
        Ok(())
    }
}

/// A cluster whose sinks have [`Counter`]s.
async fn cluster(folder: &std::path::Path, log: &Log) -> Cluster {
    cluster_with_turns(folder, log).await.0
}

/// And what lets them handle [`LONG`].
async fn cluster_with_turns(folder: &std::path::Path, log: &Log) -> (Cluster, SyncSender<()>) {
    let (turns, turn) = sync_channel(1);
    let (log, turn) = (log.clone(), Arc::new(Mutex::new(turn)));
    let coordinators: CoordinatorFactory = Arc::new(move |operator, context| {
        assert_eq!(context.parallelism, 1);
        let (log, turn) = (log.clone(), turn.clone());
        (operator.uid[..] == SINK)
            .then(|| -> MakeCoordinator { Box::new(|| Ok(Box::new(Counter { events: 0, log, turn }))) })
    });
    let pairs = [
        ("execution.checkpointing.dir", folder.to_str().unwrap()),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "3"),
        ("restart-strategy.fixed-delay.delay", "0 ms"),
    ];
    (Cluster::with_coordinators(&pairs, coordinators).await, turns)
}

/// Two tasks with an operator each, that of the second one [`SINK`].
fn graph() -> proto::JobGraph {
    let mut graph = support::shuffle(1, 1);
    for (position, vertex) in graph.vertices.iter_mut().enumerate() {
        let uid = vec![position as u8 + 1; 16].into();
        vertex.operators = vec![proto::OperatorSpec { uid, name: vertex.name.clone(), ..Default::default() }];
    }
    graph
}

async fn say(
    a: &mut TaskManager,
    deployed: &proto::SubmitTasksRequest,
    task: usize,
    number: u64,
    event: &[u8],
) -> Result<(), Status> {
    let event = proto::OperatorEventToCoordinator {
        fence: deployed.fence.clone(),
        job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
        attempt_id: deployed.tasks[task].attempt_id.clone(),
        operator_uid: SINK.to_vec().into(),
        number,
        event: Bytes::copy_from_slice(event),
    };
    a.master.send_operator_event(event).await.map(drop)
}

/// What the sink hears next.
async fn hears(a: &mut TaskManager, deployed: &proto::SubmitTasksRequest) -> Bytes {
    hears_after(a, deployed).await.0
}

/// The same, and which checkpoint the coordinator had given its state to by then.
async fn hears_after(a: &mut TaskManager, deployed: &proto::SubmitTasksRequest) -> (Bytes, u64) {
    let told = a.next_event().await;
    assert_eq!((&told.attempt_id, &told.operator_uid[..]), (&deployed.tasks[1].attempt_id, &SINK[..]));
    (told.event, told.after_checkpoint_id)
}

async fn checkpoint(cluster: &Cluster, id: JobId, a: &mut TaskManager, deployed: &proto::SubmitTasksRequest) -> u64 {
    let path = format!("/jobs/{id}/checkpoints");
    let (_, accepted) = cluster.post(&path, &json!({})).await;
    let (_, barrier) = a.next_trigger().await;
    for task in 0..2 {
        a.acknowledge(deployed, task, barrier.checkpoint_id, proto::TaskState::default()).await;
    }
    let operation = cluster.outcome(&path, &accepted).await;
    assert_eq!(operation["checkpointId"], barrier.checkpoint_id, "{operation}");
    barrier.checkpoint_id
}

#[tokio::test]
async fn an_operator_and_its_coordinator_speak_and_go_on_from_a_checkpoint() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::default());
    let cluster = cluster(folder.path(), &log).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(graph()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    assert_eq!(hears_after(&mut a, &deployed).await, (Bytes::from_static(b"start"), 0));
    say(&mut a, &deployed, 1, 1, b"").await.unwrap();
    assert_eq!(hears(&mut a, &deployed).await, vec![1]);
    say(&mut a, &deployed, 1, 1, b"").await.unwrap();
    say(&mut a, &deployed, 1, 2, b"").await.unwrap();
    assert_eq!(hears(&mut a, &deployed).await, vec![2], "what is repeated is one event");

    let number = checkpoint(&cluster, id, &mut a, &deployed).await;
    let completed = format!("completed {number}");
    until("it hears of the checkpoint", async || log.lock().unwrap().contains(&completed).then_some(())).await;
    say(&mut a, &deployed, 1, 3, b"").await.unwrap();
    assert_eq!(hears_after(&mut a, &deployed).await, (Bytes::from_static(&[3]), number));

    a.report(&deployed, 1, Failed, failure("x.Y", "boom")).await.unwrap();
    a.next_cancel().await;
    a.report(&deployed, 0, Canceled, None).await.unwrap();
    let again = a.next_submit().await;
    a.run(&again).await;
    assert_eq!(hears_after(&mut a, &again).await, (Bytes::from_static(b"start"), number));
    let status = say(&mut a, &deployed, 1, 4, b"").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "of an attempt that is over: {status}");
    say(&mut a, &again, 1, 1, b"").await.unwrap();
    assert_eq!(hears(&mut a, &again).await, vec![3], "what came after the checkpoint comes again");
    assert_eq!(*log.lock().unwrap(), [completed, format!("restored 2 of {number}")]);
}

/// The barrier comes to the sink over its channels: what its coordinator sends after its own snapshot comes when the sink has handed
/// over its state, though the checkpoint goes on.
#[tokio::test]
async fn an_operator_hears_what_follows_a_snapshot_when_it_has_taken_its_part() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::default());
    let cluster = cluster(folder.path(), &log).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(graph()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    assert_eq!(hears(&mut a, &deployed).await, "start");
    let path = format!("/jobs/{id}/checkpoints");
    let (_, accepted) = cluster.post(&path, &json!({})).await;
    let (_, barrier) = a.next_trigger().await;
    say(&mut a, &deployed, 1, 1, b"").await.unwrap();
    a.acknowledge(&deployed, 1, barrier.checkpoint_id, proto::TaskState::default()).await;
    assert_eq!(hears(&mut a, &deployed).await, vec![1]);
    a.acknowledge(&deployed, 0, barrier.checkpoint_id, proto::TaskState::default()).await;
    let operation = cluster.outcome(&path, &accepted).await;
    assert_eq!(operation["checkpointId"], barrier.checkpoint_id, "{operation}");
}

#[tokio::test]
async fn events_that_are_no_business_of_a_coordinator_are_refused() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::default());
    let cluster = cluster(folder.path(), &log).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    cluster.submit(graph()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    assert_eq!(hears(&mut a, &deployed).await, "start");
    let status = say(&mut a, &deployed, 0, 1, b"").await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound, "of another task: {status}");
    let status = say(&mut a, &deployed, 1, 1, &vec![0; MAX_EVENT_TO_COORDINATOR + 1]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    say(&mut a, &deployed, 1, 1, &vec![0; MAX_EVENT_TO_COORDINATOR]).await.unwrap();
    assert_eq!(hears(&mut a, &deployed).await, vec![1]);
}

/// Failed before: the job was FINISHED when its last task was, and the coordinator was dropped with what it had not handled.
#[tokio::test]
async fn a_job_is_finished_when_its_coordinator_has_handled_what_its_tasks_have_said() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::default());
    let (cluster, turns) = cluster_with_turns(folder.path(), &log).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(graph()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    assert_eq!(hears(&mut a, &deployed).await, "start");
    say(&mut a, &deployed, 1, 1, LONG).await.unwrap();
    say(&mut a, &deployed, 1, 2, b"").await.unwrap();
    a.report_all(&deployed, Finished).await;
    let waits = cluster.job(id).await;
    assert_eq!((waits.status, waits.graph.count(Finished)), (JobStatus::Running, 2));
    assert!(log.lock().unwrap().is_empty());
    turns.send(()).unwrap();
    cluster.await_status(id, JobStatus::Finished).await;
    assert_eq!(*log.lock().unwrap(), ["long"]);
    cluster.await_free_slots(1).await;
}

/// Failed before: the job was FINISHED, as if the coordinator had handled it.
#[tokio::test]
async fn a_job_is_not_finished_with_an_event_that_its_coordinator_cannot_handle() {
    let (folder, log) = (tempfile::tempdir().unwrap(), Log::default());
    let (cluster, turns) = cluster_with_turns(folder.path(), &log).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(graph()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    assert_eq!(hears(&mut a, &deployed).await, "start");
    say(&mut a, &deployed, 1, 1, LONG).await.unwrap();
    say(&mut a, &deployed, 1, 2, WRONG).await.unwrap();
    a.report_all(&deployed, Finished).await;
    turns.send(()).unwrap();
    let again = a.next_submit().await;
    assert_ne!(again.tasks[1].attempt_id, deployed.tasks[1].attempt_id);
    a.run(&again).await;
    a.report_all(&again, Finished).await;
    let info = cluster.await_status(id, JobStatus::Finished).await;
    let failure = info.history.entries().next().unwrap().failure.stack_trace();
    assert!(failure.contains("what the sink says is wrong"), "{failure}");
}
