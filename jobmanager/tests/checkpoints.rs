//! Checkpoints, savepoints and restarts from them over real gRPC and REST, with TaskManagers played by the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use support::{Cluster, TaskManager, failure, until};
use wiesel_common::id::JobId;
use wiesel_jobmanager::jobmaster::source_coordinator::EnumeratorFactory;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_operators::operator::Result as OperatorResult;
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished};
use wiesel_proto::operator_list_state::Redistribution;

/// A source (uid 1) and a sink (uid 2) with a shuffle between them.
fn graph(job: u8, parallelism: u32, source: bool) -> proto::JobGraph {
    let mut graph = support::shuffle(job, parallelism);
    for (position, vertex) in graph.vertices.iter_mut().enumerate() {
        let kind = (position == 0 && source).then(|| {
            let spec = proto::SourceSpec { connector: "counting".into(), table: "t".into(), ..Default::default() };
            proto::operator_spec::Kind::Source(spec)
        });
        let uid = vec![position as u8 + 1; 16].into();
        vertex.operators = vec![proto::OperatorSpec { uid, name: vertex.name.clone(), kind, ..Default::default() }];
    }
    graph
}

fn restoring(mut graph: proto::JobGraph, path: &str, more: &[(&str, &str)]) -> proto::JobGraph {
    graph.configuration.insert("execution.state-recovery.path".into(), path.into());
    graph.configuration.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    graph
}

/// A task's state: one list of an operator.
fn state(uid: u8, entries: &[&str]) -> proto::TaskState {
    let list = proto::OperatorListState {
        name: "splits".into(),
        redistribution: Redistribution::Split as i32,
        entries: entries.iter().map(|entry| bytes::Bytes::copy_from_slice(entry.as_bytes())).collect(),
    };
    let operator = proto::OperatorSubtaskState { uid: vec![uid; 16].into(), lists: vec![list], ..Default::default() };
    proto::TaskState { operators: vec![operator], ..Default::default() }
}

fn entries(state: &proto::TaskState) -> Vec<String> {
    let lists = state.operators.iter().flat_map(|operator| &operator.lists);
    lists.flat_map(|list| &list.entries).map(|entry| String::from_utf8(entry.to_vec()).unwrap()).collect()
}

struct Test {
    cluster: Cluster,
    folder: tempfile::TempDir,
}

impl Test {
    async fn start(more: &[(&str, &str)]) -> Self {
        Self::with_enumerators(more, None).await
    }

    async fn with_enumerators(more: &[(&str, &str)], enumerators: Option<EnumeratorFactory>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap().to_owned();
        let savepoints = format!("{path}/savepoints");
        let mut pairs = vec![
            ("execution.checkpointing.dir", path.as_str()),
            ("execution.checkpointing.savepoint-dir", savepoints.as_str()),
            ("restart-strategy.type", "fixed-delay"),
            ("restart-strategy.fixed-delay.attempts", "3"),
            ("restart-strategy.fixed-delay.delay", "0 ms"),
        ];
        pairs.extend(more);
        let cluster = match enumerators {
            Some(enumerators) => Cluster::with_enumerators(&pairs, enumerators).await,
            None => Cluster::start(&pairs).await,
        };
        Self { cluster, folder }
    }

    fn path(&self, below: &str) -> std::path::PathBuf {
        self.folder.path().join(below)
    }

    /// A checkpoint of a running job of two tasks.
    async fn checkpoint(&self, id: JobId, a: &mut TaskManager, deployed: &proto::SubmitTasksRequest) -> u64 {
        let path = format!("/jobs/{id}/checkpoints");
        let (status, accepted) = self.cluster.post(&path, &json!({})).await;
        assert_eq!(status, 202);
        let (attempt, barrier) = a.next_trigger().await;
        assert_eq!(attempt, deployed.tasks[0].attempt_id, "it begins at the source");
        a.acknowledge(deployed, 0, barrier.checkpoint_id, state(1, &["a", "b"])).await;
        a.acknowledge(deployed, 1, barrier.checkpoint_id, state(2, &["c"])).await;
        let operation = self.cluster.outcome(&path, &accepted).await;
        assert_eq!(operation["checkpointId"], barrier.checkpoint_id, "{operation}");
        barrier.checkpoint_id
    }

    async fn savepoint(&self, id: JobId, a: &mut TaskManager, deployed: &proto::SubmitTasksRequest) -> String {
        let path = format!("/jobs/{id}/savepoints");
        let (_, accepted) = self.cluster.post(&path, &json!({ "formatType": "CANONICAL", "bogus": 1 })).await;
        let (_, barrier) = a.next_trigger().await;
        assert!(!barrier.native_format && !barrier.stop);
        a.acknowledge(deployed, 0, barrier.checkpoint_id, state(1, &["a", "b", "c"])).await;
        a.acknowledge(deployed, 1, barrier.checkpoint_id, state(2, &[])).await;
        let operation = self.cluster.outcome(&path, &accepted).await;
        operation["location"].as_str().unwrap().to_owned()
    }
}

async fn running(test: &Test, a: &mut TaskManager, graph: proto::JobGraph) -> (JobId, proto::SubmitTasksRequest) {
    let id = test.cluster.submit(graph).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    (id, deployed)
}

#[tokio::test]
async fn a_failed_job_goes_on_from_its_last_checkpoint() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    assert_eq!(deployed.tasks[0].restore, None);
    assert_eq!(test.checkpoint(id, &mut a, &deployed).await, 1);
    let told = a.next_notify().await;
    assert_eq!(
        (told.checkpoint_id, told.outcome(), told.attempt_ids.len()),
        (1, proto::CheckpointOutcome::Completed, 2)
    );
    assert!(test.path(&format!("{id}/chk-1/_metadata")).is_file());
    assert_eq!(test.checkpoint(id, &mut a, &deployed).await, 2);
    until("the first one is gone", async || (!test.path(&format!("{id}/chk-1")).exists()).then_some(())).await;

    a.report(&deployed, 1, Failed, failure("x.Y", "boom")).await.unwrap();
    a.next_cancel().await;
    a.report(&deployed, 0, Canceled, None).await.unwrap();
    let again = a.next_submit().await;
    let restored: Vec<_> = again.tasks.iter().map(|task| task.restore.clone().unwrap()).collect();
    assert!(restored.iter().all(|restore| restore.checkpoint_id == 2));
    assert_eq!(entries(restored[0].state.as_ref().unwrap()), ["a", "b"]);
    assert_eq!(entries(restored[1].state.as_ref().unwrap()), ["c"]);
    let (_, checkpoints) = test.cluster.get(&format!("/jobs/{id}/checkpoints")).await;
    assert_eq!(checkpoints["counts"]["restored"], 1);
    assert_eq!(checkpoints["latest"]["restored"]["id"], 2);

    a.run(&again).await;
    a.report_all(&again, Finished).await;
    test.cluster.await_status(id, JobStatus::Finished).await;
    assert!(!test.path(&id.to_string()).exists(), "nothing outlives a finished job");
}

#[tokio::test]
async fn checkpoints_come_by_themselves_and_count_their_failures() {
    let test = Test::start(&[
        ("execution.checkpointing.interval", "20 ms"),
        ("execution.checkpointing.tolerable-failed-checkpoints", "1"),
        ("restart-strategy.type", "none"),
    ])
    .await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let refused = failure("org.apache.flink.runtime.checkpoint.CheckpointException", "not now");
    let failed = failure("java.io.IOException", "disk full");
    for (task, why) in [(0, &refused), (1, &refused), (0, &failed), (1, &failed)] {
        let (_, barrier) = a.next_trigger().await;
        a.decline(&deployed, task, barrier.checkpoint_id, why.clone()).await;
        let told = a.next_notify().await;
        assert_eq!((told.checkpoint_id, told.outcome()), (barrier.checkpoint_id, proto::CheckpointOutcome::Aborted));
    }
    a.next_cancel().await;
    a.report_all(&deployed, Canceled).await;
    let job = test.cluster.await_status(id, JobStatus::Failed).await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    assert!(
        trace.contains("Exceeded checkpoint tolerable failure threshold.") && trace.contains("disk full"),
        "{trace}"
    );
    let (_, exceptions) = test.cluster.get(&format!("/jobs/{id}/exceptions")).await;
    assert!(exceptions.to_string().contains("Exceeded checkpoint tolerable failure threshold."));
}

#[tokio::test]
async fn a_job_starts_from_a_savepoint_at_another_parallelism() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 4).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let location = test.savepoint(id, &mut a, &deployed).await;
    assert!(location.contains("/savepoints/savepoint-010101-"), "{location}");
    let (_, accepted) = test.cluster.patch(&format!("/jobs/{id}?mode=cancel")).await;
    assert_eq!(accepted, json!({}));
    a.next_cancel().await;
    a.report_all(&deployed, Canceled).await;
    test.cluster.await_status(id, JobStatus::Canceled).await;

    let (second, deployed) = running(&test, &mut a, restoring(graph(2, 3, false), &location, &[])).await;
    let mut splits = Vec::new();
    for task in deployed.tasks.iter().filter(|task| task.vertex == 0) {
        splits.extend(entries(task.restore.as_ref().unwrap().state.as_ref().unwrap()));
    }
    splits.sort();
    assert_eq!(splits, ["a", "b", "c"]);
    let (_, checkpoints) = test.cluster.get(&format!("/jobs/{second}/checkpoints")).await;
    assert_eq!(checkpoints["latest"]["restored"]["is_savepoint"], true);
    assert_eq!(checkpoints["latest"]["restored"]["external_path"].as_str(), Some(location.as_str()));

    let (status, accepted) = test.cluster.post("/savepoint-disposal", &json!({ "savepoint-path": location })).await;
    assert_eq!(status, 200);
    assert_eq!(test.cluster.outcome("/savepoint-disposal", &accepted).await, json!({}));
    assert!(!Path::new(location.trim_start_matches("file:")).exists());
}

#[tokio::test]
async fn a_job_stops_with_a_savepoint() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let (status, accepted) = test.cluster.post(&format!("/jobs/{id}/stop"), &json!({ "drain": true })).await;
    assert_eq!(status, 202);
    let (_, barrier) = a.next_trigger().await;
    assert!(barrier.stop && barrier.drain);
    a.acknowledge(&deployed, 0, 1, state(1, &["a"])).await;
    a.acknowledge(&deployed, 1, 1, state(2, &[])).await;
    let told = a.next_notify().await;
    assert_eq!(told.outcome(), proto::CheckpointOutcome::Completed, "sinks commit");
    let trigger = accepted["request-id"].as_str().unwrap();
    let (_, progress) = test.cluster.get(&format!("/jobs/{id}/savepoints/{trigger}")).await;
    assert_eq!(progress, json!({ "status": { "id": "IN_PROGRESS" }, "operation": null }), "until the job has ended");
    a.report_all(&deployed, Finished).await;
    let operation = test.cluster.outcome(&format!("/jobs/{id}/savepoints"), &accepted).await;
    assert!(operation["location"].as_str().unwrap().contains("savepoint-010101-"), "{operation}");
    test.cluster.await_status(id, JobStatus::Finished).await;
}

#[tokio::test]
async fn a_failure_while_stopping_is_final_and_names_the_savepoint() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let (_, accepted) = test.cluster.post(&format!("/jobs/{id}/stop"), &json!({})).await;
    a.next_trigger().await;
    a.acknowledge(&deployed, 0, 1, state(1, &["a"])).await;
    a.acknowledge(&deployed, 1, 1, state(2, &[])).await;
    a.next_notify().await;
    a.report(&deployed, 0, Failed, failure("x.Y", "boom")).await.unwrap();
    a.next_cancel().await;
    a.report(&deployed, 1, Canceled, None).await.unwrap();
    test.cluster.await_status(id, JobStatus::Failed).await;
    let operation = test.cluster.outcome(&format!("/jobs/{id}/savepoints"), &accepted).await;
    let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(trace.contains("A savepoint has been created at: file:") && trace.contains("boom"), "{trace}");
}

#[tokio::test]
async fn what_cannot_be_restored_is_named_and_the_job_never_runs() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 2).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let location = test.savepoint(id, &mut a, &deployed).await;
    let metadata = Path::new(location.trim_start_matches("file://").trim_start_matches("file:")).join("_metadata");
    let good = std::fs::read(&metadata).unwrap();
    let fails = async |job: u8, graph: proto::JobGraph, words: &[&str]| {
        let id = test.cluster.submit(proto::JobGraph { job_id: vec![job; 16].into(), ..graph }).await;
        let job = until("the job failed", async || {
            let job = test.cluster.job(id).await;
            assert_ne!(job.status, JobStatus::Running);
            (job.status == JobStatus::Failed).then_some(job)
        })
        .await;
        let trace = job.failure.as_ref().unwrap().stack_trace();
        for word in words.iter().chain(&["Could not start the JobMaster."]) {
            assert!(trace.contains(word), "{word}: {trace}");
        }
        let (_, exceptions) = test.cluster.get(&format!("/jobs/{id}/exceptions")).await;
        assert!(exceptions.to_string().contains(words[0]), "{exceptions}");
    };
    fails(2, restoring(graph(2, 1, false), "/no/such/savepoint", &[]), &["/no/such/savepoint"]).await;
    std::fs::write(&metadata, &good[..good.len() - 3]).unwrap();
    fails(3, restoring(graph(3, 1, false), &location, &[]), &["_metadata"]).await;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&metadata, &flipped).unwrap();
    fails(4, restoring(graph(4, 1, false), &location, &[]), &["_metadata"]).await;
    std::fs::write(&metadata, &good).unwrap();

    let mut other = graph(5, 1, false);
    other.vertices[0].operators[0].uid = vec![7; 16].into();
    let words = ["Cannot map checkpoint/savepoint state for operator 0101", "splits", "--allowNonRestoredState"];
    fails(5, restoring(other.clone(), &location, &[]), &words).await;
    let allowed = [("execution.state-recovery.ignore-unclaimed-state", "true")];
    other.job_id = vec![6; 16].into();
    let (_, deployed) = running(&test, &mut a, restoring(other, &location, &allowed)).await;
    assert!(entries(deployed.tasks[0].restore.as_ref().unwrap().state.as_ref().unwrap()).is_empty());
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_keeps_the_job_from_starting() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let folder = format!("{}/checkpoints", file.path().display());
    let cluster = Cluster::start(&[
        ("execution.checkpointing.dir", folder.as_str()),
        ("execution.checkpointing.interval", "10 s"),
    ])
    .await;
    let id = cluster.submit(graph(1, 1, false)).await;
    let job = until("the job failed", async || {
        let job = cluster.job(id).await;
        (job.status == JobStatus::Failed).then_some(job)
    })
    .await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    assert!(trace.contains(&folder) && trace.contains("execution.checkpointing.dir"), "{trace}");
}

/// Before, tasks were the first to find out, and the job failed: for good, if it had no checkpoints.
#[tokio::test]
async fn a_savepoint_that_cannot_be_written_fails_and_the_job_goes_on() {
    let test = Test::start(&[("restart-strategy.type", "none")]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let savepoints = format!("/jobs/{id}/savepoints");
    let file = test.path("file").display().to_string();
    std::fs::write(&file, "").unwrap();
    // One that turns out to be no folder when another one has been made.
    let beyond = test.path("made/../file").display().to_string();
    let not_made = "Failed to create savepoint directory at";
    for (target, words) in
        [(file.as_str(), not_made), (beyond.as_str(), not_made), ("data/savepoints", "an absolute path")]
    {
        for (path, key) in [("savepoints", "target-directory"), ("stop", "targetDirectory")] {
            let (status, accepted) = test.cluster.post(&format!("/jobs/{id}/{path}"), &json!({ key: target })).await;
            assert_eq!(status, 202);
            let operation = test.cluster.outcome(&savepoints, &accepted).await;
            let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap();
            assert!(trace.contains(words) && trace.contains(target), "{trace}");
        }
    }
    assert!(!test.path("made").exists(), "nothing is left of a target that was refused");

    // A folder that the JobManager can write to, and a TaskManager not.
    for (path, number) in [("savepoints", 1), ("stop", 2)] {
        let (_, accepted) = test.cluster.post(&format!("/jobs/{id}/{path}"), &json!({})).await;
        let (_, barrier) = a.next_trigger().await;
        assert_eq!(barrier.checkpoint_id, number, "no task heard of those before");
        a.decline(&deployed, 0, number, failure("java.io.IOException", "read-only")).await;
        assert_eq!(a.next_notify().await.outcome(), proto::CheckpointOutcome::Aborted);
        let operation = test.cluster.outcome(&savepoints, &accepted).await;
        let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap();
        assert!(trace.contains("Asynchronous task checkpoint failed.") && trace.contains("read-only"), "{trace}");
    }
    assert!(test.savepoint(id, &mut a, &deployed).await.contains("/savepoints/savepoint-010101-"));
    assert_eq!(test.cluster.job(id).await.status, JobStatus::Running);
}

#[tokio::test]
async fn operations_that_cannot_be_begun_say_why() {
    let test = Test::start(&[]).await;
    let unknown = "00".repeat(16);
    let (status, accepted) = test.cluster.post(&format!("/jobs/{unknown}/savepoints"), &json!({})).await;
    assert_eq!(status, 202);
    let operation = test.cluster.outcome(&format!("/jobs/{unknown}/savepoints"), &accepted).await;
    assert_eq!(operation["failure-cause"]["class"], "org.apache.flink.runtime.messages.FlinkJobNotFoundException");

    let id = test.cluster.submit(graph(1, 1, false)).await;
    let trigger = "ab".repeat(16);
    let body = json!({ "triggerId": trigger });
    for _ in 0..2 {
        let (_, accepted) = test.cluster.post(&format!("/jobs/{id}/savepoints"), &body).await;
        assert_eq!(accepted["request-id"].as_str(), Some(trigger.as_str()));
        let operation = test.cluster.outcome(&format!("/jobs/{id}/savepoints"), &accepted).await;
        let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap();
        assert!(trace.contains("Not all required tasks are currently running."), "{trace}");
    }
    let without = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&without, "a", 1).await;
    let id = without.submit(graph(1, 1, false)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let (_, accepted) = without.post(&format!("/jobs/{id}/savepoints"), &json!({})).await;
    let operation = without.outcome(&format!("/jobs/{id}/savepoints"), &accepted).await;
    let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap();
    assert!(trace.contains("No savepoint directory configured."), "{trace}");
    let (_, accepted) = without.post("/savepoint-disposal", &json!({ "savepoint-path": "/no/such" })).await;
    let operation = without.outcome("/savepoint-disposal", &accepted).await;
    assert!(operation["failure-cause"]["stack-trace"].as_str().unwrap().contains("/no/such"), "{operation}");
}

/// Hands out numbers, and goes on from where its state says.
struct Counting {
    next: u8,
}

impl SplitEnumerator for Counting {
    fn discover(&mut self) -> OperatorResult<Vec<(u32, SplitAssignment)>> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, _subtask: u32, _hostname: &str) -> OperatorResult<SplitAssignment> {
        self.next += 1;
        Ok(SplitAssignment::Splits(vec![vec![self.next].into()]))
    }

    fn snapshot(&mut self) -> OperatorResult<bytes::Bytes> {
        Ok(vec![self.next].into())
    }

    fn restore(&mut self, state: &[u8]) -> OperatorResult<()> {
        self.next = state[0];
        Ok(())
    }
}

/// The only reader asks for the split that is its first, second, and so on.
async fn request_split(a: &mut TaskManager, deployed: &proto::SubmitTasksRequest, number: u64) {
    let event = support::split_request(deployed, &[1; 16], number);
    a.master.send_operator_event(event).await.unwrap();
}

async fn next_split(a: &mut TaskManager) -> u8 {
    match support::said_to_reader(a.next_event().await) {
        proto::source_event_to_reader::Event::AddSplits(splits) => splits.splits[0][0],
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn enumerators_go_on_from_the_checkpoint() {
    let counting: EnumeratorFactory = Arc::new(|_, _| Ok(Box::new(Counting { next: 0 })));
    let test = Test::with_enumerators(&[], Some(counting)).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, true)).await;
    request_split(&mut a, &deployed, 1).await;
    assert_eq!(next_split(&mut a).await, 1);
    test.checkpoint(id, &mut a, &deployed).await;
    for expected in [2, 3] {
        request_split(&mut a, &deployed, u64::from(expected)).await;
        assert_eq!(next_split(&mut a).await, expected, "assignments go on after the checkpoint");
    }
    a.report(&deployed, 1, Failed, failure("x.Y", "boom")).await.unwrap();
    a.next_cancel().await;
    a.report(&deployed, 0, Canceled, None).await.unwrap();
    let again = a.next_submit().await;
    a.run(&again).await;
    request_split(&mut a, &again, 1).await;
    assert_eq!(next_split(&mut a).await, 2, "what was assigned after the checkpoint is assigned again");
}

#[tokio::test]
async fn the_answers_about_checkpoints_have_flinks_shape() {
    let test = Test::start(&[("execution.checkpointing.interval", "1 h")]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let (id, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    test.checkpoint(id, &mut a, &deployed).await;
    test.savepoint(id, &mut a, &deployed).await;
    let (_, accepted) =
        test.cluster.post(&format!("/jobs/{id}/checkpoints"), &json!({ "checkpointType": "FULL" })).await;
    let (_, barrier) = a.next_trigger().await;
    assert!(barrier.full);
    a.decline(&deployed, 0, barrier.checkpoint_id, failure("java.io.IOException", "no")).await;
    test.cluster.outcome(&format!("/jobs/{id}/checkpoints"), &accepted).await;
    let vertex = "02".repeat(16);
    for (path, capture) in [
        (format!("/jobs/{id}/checkpoints"), "GET_jobs_id_checkpoints_with_savepoint"),
        (format!("/jobs/{id}/checkpoints/config"), "GET_jobs_id_checkpoints_config_running"),
        (format!("/jobs/{id}/checkpoints/details/1"), "GET_jobs_id_checkpoints_details_id_running"),
        (
            format!("/jobs/{id}/checkpoints/details/1/subtasks/{vertex}"),
            "GET_jobs_id_checkpoints_details_id_subtasks_vid1_running",
        ),
    ] {
        let (status, ours) = test.cluster.get(&path).await;
        assert_eq!(status, 200, "{path}: {ours}");
        assert_eq!(keys("", &ours), keys("", &captured(capture)), "{path}");
    }
    let (_, config) = test.cluster.get(&format!("/jobs/{id}/checkpoints/config")).await;
    assert_eq!((&config["mode"], &config["interval"]), (&json!("exactly_once"), &json!(3_600_000)));
    let (_, overview) = test.cluster.get(&format!("/jobs/{id}/checkpoints")).await;
    let counts = json!({ "restored": 0, "total": 3, "in_progress": 0, "completed": 2, "failed": 1 });
    assert_eq!(overview["counts"], counts);
    let unknown = "00".repeat(16);
    for (path, capture) in [
        (format!("/jobs/{id}/checkpoints/{unknown}"), "ERR_GET_checkpoint_trigger_unknown"),
        (format!("/jobs/{id}/savepoints/{unknown}"), "ERR_GET_savepoint_trigger_unknown"),
        (format!("/jobs/{id}/checkpoints/details/99999"), "ERR_GET_jobs_checkpoints_details_unknown"),
    ] {
        let (status, ours) = test.cluster.get(&path).await;
        assert_eq!(status, 404, "{path}");
        let theirs = captured(capture)["errors"][0]
            .as_str()
            .unwrap()
            .replace("272c647e883ec82cf234c514185e4a5e", &id.to_string());
        assert_eq!(ours["errors"][0].as_str(), theirs.lines().next(), "{path}");
    }
    let response = test.cluster.http.post(test.cluster.rest(&format!("/jobs/{id}/savepoints"))).body("{").send().await;
    let response = response.unwrap();
    assert_eq!(response.status().as_u16(), 400);
    let errors: Value = response.json().await.unwrap();
    assert_eq!(errors, captured("ERR_POST_savepoints_malformed"));
}

fn captured(name: &str) -> Value {
    let path = format!("{}/tests/data/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Every key below a value, without the names that are ids; elements of a list together.
fn keys(path: &str, value: &Value) -> std::collections::BTreeSet<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| {
                let key = if key.len() == 32 { "*" } else { key };
                let below = format!("{path}.{key}");
                let mut keys = keys(&below, value);
                keys.insert(below);
                keys
            })
            .collect(),
        Value::Array(elements) => elements.iter().flat_map(|element| keys(&format!("{path}[]"), element)).collect(),
        _ => std::collections::BTreeSet::new(),
    }
}

#[tokio::test]
async fn only_the_region_of_a_failed_task_goes_back_to_the_checkpoint() {
    let test = Test::start(&[]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 1).await;
    let mut graph = graph(1, 1, false);
    for (id, uid) in [(3, 11), (4, 12)] {
        let mut vertex = graph.vertices[0].clone();
        vertex.id = vec![id; 16].into();
        vertex.operators[0].uid = vec![uid; 16].into();
        graph.vertices.push(vertex);
    }
    graph.edges.push(proto::JobEdge { source: 2, target: 3, ..Default::default() });
    let (id, deployed) = running(&test, &mut a, graph).await;
    let path = format!("/jobs/{id}/checkpoints");
    let (_, accepted) = test.cluster.post(&path, &json!({})).await;
    let begun = [a.next_trigger().await.0, a.next_trigger().await.0];
    assert!(begun.contains(&deployed.tasks[0].attempt_id) && begun.contains(&deployed.tasks[2].attempt_id));
    for (task, uid) in [1, 2, 11, 12].into_iter().enumerate() {
        a.acknowledge(&deployed, task, 1, state(uid, &[&format!("of {uid}")])).await;
    }
    test.cluster.outcome(&path, &accepted).await;

    a.report(&deployed, 2, Failed, failure("x.Y", "boom")).await.unwrap();
    let cancelled = a.next_cancel().await;
    assert_eq!(cancelled.attempt_ids, [deployed.tasks[3].attempt_id.clone()]);
    a.report(&deployed, 3, Canceled, None).await.unwrap();
    let again = a.next_submit().await;
    assert_eq!(again.execution, 1);
    let restored: Vec<_> = again.tasks.iter().map(|task| (task.vertex, task.restore.clone().unwrap())).collect();
    let restored: Vec<_> =
        restored.iter().map(|(vertex, restore)| (*vertex, entries(restore.state.as_ref().unwrap()))).collect();
    assert_eq!(restored, [(2, vec!["of 11".to_owned()]), (3, vec!["of 12".to_owned()])]);
    a.run(&again).await;
    a.report_all(&again, Finished).await;
    for task in [0, 1] {
        a.report(&deployed, task, Finished, None).await.unwrap();
    }
    test.cluster.await_status(id, JobStatus::Finished).await;
}

const RETAIN: (&str, &str) = ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
const CLAIM: (&str, &str) = ("execution.state-recovery.claim-mode", "CLAIM");

async fn cancel(test: &Test, a: &mut TaskManager, id: JobId, deployed: &proto::SubmitTasksRequest) {
    test.cluster.patch(&format!("/jobs/{id}?mode=cancel")).await;
    a.next_cancel().await;
    a.report_all(deployed, Canceled).await;
    test.cluster.await_status(id, JobStatus::Canceled).await;
}

async fn dispose(test: &Test, path: &str) -> Value {
    let (_, accepted) = test.cluster.post("/savepoint-disposal", &json!({ "savepoint-path": path })).await;
    test.cluster.outcome("/savepoint-disposal", &accepted).await
}

fn marks(job: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(job.join("shared")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(".claimed-")).collect()
}

/// Failed before: only the job that had written it was asked for, which was over. The one that had claimed it had nothing to
/// restart from. And each job that was to claim it left its mark, whether it ran or not.
#[tokio::test]
async fn a_checkpoint_that_a_job_has_claimed_is_not_disposed_of() {
    let test = Test::start(&[RETAIN]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 4).await;
    let (first, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    assert_eq!(test.checkpoint(first, &mut a, &deployed).await, 1);
    a.next_notify().await;
    cancel(&test, &mut a, first, &deployed).await;
    let (job, checkpoint) = (test.path(&first.to_string()), test.path(&format!("{first}/chk-1")));
    let pointer = checkpoint.display().to_string();

    // One that may not start claims nothing.
    let third = JobId([3; 16]);
    std::fs::create_dir_all(test.path(&format!("{third}/chk-7"))).unwrap();
    std::fs::write(test.path(&format!("{third}/chk-7/_metadata")), "of an earlier run").unwrap();
    let more = [CLAIM, ("execution.checkpointing.interval", "10 s")];
    assert_eq!(test.cluster.submit(restoring(graph(3, 1, false), &pointer, &more)).await, third);
    let failed = test.cluster.await_status(third, JobStatus::Failed).await;
    let trace = failed.failure.as_ref().unwrap().stack_trace();
    assert!(trace.contains("chk-7"), "{trace}");
    assert_eq!(marks(&job), [""; 0]);

    let (second, deployed) = running(&test, &mut a, restoring(graph(2, 1, false), &pointer, &[CLAIM])).await;
    let mark = format!(".claimed-chk-1-{second}-");
    assert!(matches!(&marks(&job)[..], [only] if only.starts_with(&mark)), "{:?}", marks(&job));
    let operation = dispose(&test, &pointer).await;
    let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap_or_default();
    assert!(trace.contains(&format!("claimed by the job {second}")) && trace.contains(&mark), "{operation}");
    assert!(checkpoint.join("_metadata").is_file());

    // It has made nothing of it.
    cancel(&test, &mut a, second, &deployed).await;
    assert_eq!(marks(&job), [""; 0]);
    assert_eq!(dispose(&test, &pointer).await, json!({}));
    assert!(!checkpoint.exists());
}

/// Failed before, as with a checkpoint.
#[tokio::test]
async fn a_savepoint_that_a_running_job_has_claimed_is_not_disposed_of() {
    let test = Test::start(&[RETAIN]).await;
    let mut a = TaskManager::start(&test.cluster, "a", 4).await;
    let (first, deployed) = running(&test, &mut a, graph(1, 1, false)).await;
    let location = test.savepoint(first, &mut a, &deployed).await;
    cancel(&test, &mut a, first, &deployed).await;
    let (second, deployed) = running(&test, &mut a, restoring(graph(2, 1, false), &location, &[CLAIM])).await;
    let operation = dispose(&test, &location).await;
    let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap_or_default();
    assert!(trace.contains(&format!("The job {second}, which runs, was started from {location}")), "{operation}");
    assert!(Path::new(location.trim_start_matches("file:")).exists());
    cancel(&test, &mut a, second, &deployed).await;
    assert_eq!(dispose(&test, &location).await, json!({}));
    assert!(!Path::new(location.trim_start_matches("file:")).exists());
}
