//! Rows of a SELECT over real gRPC and REST, from TaskManagers played by the test.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost::Message;
use support::{Cluster, TaskManager, failure, shuffle};
use wiesel_common::id::{JobId, OperatorId};
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Failed, Finished};

const OPERATOR: [u8; 16] = [5; 16];

/// A source and a collect sink.
fn select() -> proto::JobGraph {
    let mut graph = shuffle(1, 1);
    graph.vertices[1].operators = vec![proto::OperatorSpec {
        uid: OPERATOR.to_vec().into(),
        name: "collect".into(),
        kind: Some(proto::operator_spec::Kind::CollectSink(proto::CollectSinkSpec::default())),
        ..Default::default()
    }];
    graph
}

/// What the sink says.
fn collect(deployed: &proto::SubmitTasksRequest) -> proto::CollectRequest {
    proto::CollectRequest {
        fence: deployed.fence.clone(),
        job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
        attempt_id: deployed.tasks[1].attempt_id.clone(),
        operator_uid: OPERATOR.to_vec().into(),
        ..Default::default()
    }
}

fn rows(deployed: &proto::SubmitTasksRequest) -> proto::CollectRequest {
    proto::CollectRequest { batch: bytes::Bytes::from_static(b"rows"), rows: 3, ..collect(deployed) }
}

#[tokio::test]
async fn rows_of_a_select_reach_the_client() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(select()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    a.master.collect(rows(&deployed)).await.unwrap();
    let response = fetch(&cluster, id, 0, 0).await;
    assert_eq!((response.version, response.offset, response.rows, response.end), (1, 0, 3, false));
    assert_eq!(response.batches, [&b"rows"[..]]);
    a.report_all(&deployed, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
    let response = fetch(&cluster, id, 1, 0).await;
    assert_eq!((response.rows, response.end), (3, true), "rows of a finished job wait for their client");
    assert!(fetch(&cluster, id, 1, 3).await.end);
}

/// Before, a restart from it left out the rows before it, with success.
#[tokio::test]
async fn a_select_without_an_interval_is_not_checkpointed() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[("execution.checkpointing.dir", folder.path().to_str().unwrap())]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(select()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let path = format!("/jobs/{id}/checkpoints");
    let (_, accepted) = cluster.post(&path, &serde_json::json!({})).await;
    let operation = cluster.outcome(&path, &accepted).await;
    let trace = operation["failureCause"]["stack-trace"].as_str().unwrap();
    assert!(trace.contains("Set execution.checkpointing.interval before the SELECT"), "{trace}");
}

/// Before, the sink went on from row 0 after that, and all of its rows were gone: a SELECT that finished with none.
#[tokio::test]
async fn rows_of_a_sink_that_has_finished_outlive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[
        ("execution.checkpointing.dir", folder.path().to_str().unwrap()),
        ("execution.checkpointing.interval", "1 h"),
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "3"),
        ("restart-strategy.fixed-delay.delay", "0 ms"),
    ])
    .await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(select()).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let resume = proto::CollectRequest { resume: true, ..collect(&deployed) };
    a.master.collect(resume.clone()).await.unwrap();
    a.master.collect(rows(&deployed)).await.unwrap();
    a.report(&deployed, 1, Finished, None).await.unwrap();
    assert_eq!(fetch(&cluster, id, 0, 0).await.committed, 0, "no checkpoint has them");
    let path = format!("/jobs/{id}/checkpoints");
    let (_, accepted) = cluster.post(&path, &serde_json::json!({})).await;
    let (_, barrier) = a.next_trigger().await;
    a.acknowledge(&deployed, 0, barrier.checkpoint_id, proto::TaskState::default()).await;
    assert_eq!(cluster.outcome(&path, &accepted).await["checkpointId"], 1);
    assert_eq!(fetch(&cluster, id, 1, 0).await.committed, 3, "the checkpoint is of a sink that has sent all");
    a.report(&deployed, 0, Failed, failure("x.Y", "boom")).await.unwrap();
    let again = a.next_submit().await;
    let restored = again.tasks[1].restore.as_ref().and_then(|restore| restore.state.as_ref()).unwrap();
    assert!(restored.finished);
    a.run(&again).await;
    a.master.collect(proto::CollectRequest { resume: true, finished: true, ..collect(&again) }).await.unwrap();
    a.report_all(&again, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
    let response = fetch(&cluster, id, 1, 0).await;
    assert_eq!((response.version, response.kept, response.rows, response.end), (2, 3, 3, true));
}

async fn fetch(cluster: &Cluster, job: JobId, version: u64, offset: u64) -> proto::FetchResultsResponse {
    let request = proto::FetchResultsRequest { version, offset, max_wait: 10_000, committed: 0 };
    let operator = OperatorId(OPERATOR);
    let body = serde_json::json!({ "serializedCoordinationRequest": STANDARD.encode(request.encode_to_vec()) });
    let url = cluster.rest(&format!("/v1/jobs/{job}/coordinators/{operator}"));
    let answer: serde_json::Value = cluster.http.post(url).json(&body).send().await.unwrap().json().await.unwrap();
    let encoded = answer["serializedCoordinationResult"].as_str().unwrap();
    proto::FetchResultsResponse::decode(&STANDARD.decode(encoded).unwrap()[..]).unwrap()
}
