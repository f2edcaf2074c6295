//! What strangers, and users who mean no harm, may say in a message or a file without harm to others, over real gRPC and REST.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use serde_json::json;
use support::{Cluster, TaskManager, registration, shuffle, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_stream::wrappers::UnboundedReceiverStream;
use wiesel_common::id::JobId;
use wiesel_common::keygroup::HASH_VERSION;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto as proto;

/// A source and a sink whose operators have the uids 1 and 2.
fn graph(job: u8) -> proto::JobGraph {
    let mut graph = shuffle(job, 1);
    for (position, vertex) in graph.vertices.iter_mut().enumerate() {
        let uid = vec![position as u8 + 1; 16].into();
        vertex.operators = vec![proto::OperatorSpec { uid, name: vertex.name.clone(), ..Default::default() }];
    }
    graph
}

fn slot(index: u32, id: u32) -> proto::SlotReport {
    let mut bytes = vec![0; 16];
    bytes[..4].copy_from_slice(&id.to_be_bytes());
    proto::SlotReport { index, allocation_id: bytes.clone().into(), job_id: bytes.into(), releasing: false }
}

/// Before, each of these entries brought a call to the TaskManager, and 15 such heartbeats 5 GB.
#[tokio::test]
async fn a_malformed_heartbeat_ends_the_stream_and_nothing_follows_from_it() {
    let cluster = Cluster::start(&[]).await;
    let mut known = TaskManager::start(&cluster, "a", 1).await;
    for (name, slots) in [
        ("more slots than there are", (0..20_000).map(|entry| slot(entry % 4, entry)).collect::<Vec<_>>()),
        ("a slot twice", vec![slot(1, 1), slot(1, 2)]),
        ("a slot that there is not", vec![slot(4, 1)]),
        ("an id of three bytes", vec![proto::SlotReport { allocation_id: vec![1; 3].into(), ..slot(0, 1) }]),
    ] {
        for first in [true, false] {
            let request = registration("b", "127.0.0.1:1", 4);
            let registered = known.resource_manager.register_task_manager(request).await.unwrap().into_inner();
            let heartbeat = |slots: &[proto::SlotReport]| proto::TaskManagerHeartbeat {
                fence: registered.fence.clone(),
                resource_id: "b".into(),
                slots: slots.to_vec(),
                slots_version: 1,
                registration: registered.registration,
                ..Default::default()
            };
            let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
            if !first {
                sender.send(heartbeat(&[])).unwrap();
            }
            sender.send(heartbeat(&slots)).unwrap();
            let status = match known.resource_manager.heartbeat(UnboundedReceiverStream::new(receiver)).await {
                Err(status) => status,
                Ok(stream) => {
                    let mut stream = stream.into_inner();
                    loop {
                        match stream.message().await {
                            Ok(Some(_)) => {}
                            Ok(None) => panic!("{name}: the stream ended without a word"),
                            Err(status) => break status,
                        }
                    }
                }
            };
            assert_eq!(status.code(), tonic::Code::InvalidArgument, "{name}: {status}");
            assert!(status.message().contains("malformed") && status.message().len() < 200, "{name}: {status}");
            // It is not relied on any more; the other stays.
            cluster.await_task_managers(1).await;
        }
    }
}

#[tokio::test]
async fn a_registration_that_cannot_be_kept_or_shown_is_refused() {
    let cluster = Cluster::start(&[]).await;
    let mut known = TaskManager::start(&cluster, "a", 1).await;
    let long = "x".repeat(1025);
    let of = |change: &dyn Fn(&mut proto::RegisterTaskManagerRequest)| {
        let mut request = registration("b", "127.0.0.1:1", 1);
        change(&mut request);
        request
    };
    let cores = |cpu_cores: f64| {
        of(&|request| request.slot_profile = Some(proto::ResourceProfile { cpu_cores, ..Default::default() }))
    };
    for (request, words) in [
        (of(&|request| request.resource_id = long.clone()), "resource id has 1025 bytes"),
        (of(&|request| request.rpc_address = long.clone()), "1025 bytes"),
        (of(&|request| request.data_address = long.clone()), "1025 bytes"),
        (of(&|request| request.hostname = long.clone()), "1025 bytes"),
        (of(&|request| request.release = long.clone()), "release has 1025 bytes"),
        (cores(f64::NAN), "NaN CPU cores"),
        (cores(f64::INFINITY), "inf CPU cores"),
        (cores(-1.0), "-1 CPU cores"),
    ] {
        let status = known.resource_manager.register_task_manager(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains(words) && status.message().len() < 200, "{}", status.message());
    }
    cluster.await_task_managers(1).await;
}

/// Before, the answers were empty: the sums of these numbers overflowed.
#[tokio::test]
async fn numbers_of_any_size_are_shown() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let most = u64::MAX;
    let profile = proto::ResourceProfile { cpu_cores: 1.0, task_heap: most, managed: 1 << 63, ..Default::default() };
    let memory = proto::MemoryConfiguration { framework_heap: most, task_heap: most, ..Default::default() };
    let mut request = registration("b", "127.0.0.1:1", 4);
    (request.slot_profile, request.memory) = (Some(profile), Some(memory));
    a.resource_manager.register_task_manager(request).await.unwrap();
    let (status, shown) = cluster.get("/taskmanagers").await;
    assert_eq!((status, shown["taskmanagers"].as_array().unwrap().len()), (200, 2));
    assert_eq!(cluster.get("/taskmanagers/b").await.0, 200);

    let id = cluster.submit(graph(1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let metrics = proto::TaskMetrics {
        records_in: most,
        records_out: most,
        bytes_in: most,
        bytes_out: most,
        busy_ms: most,
        idle_ms: most,
        back_pressured_ms: most,
        watermark: i64::MAX,
    };
    let tasks = deployed
        .tasks
        .iter()
        .map(|task| proto::AttemptMetrics { attempt_id: task.attempt_id.clone(), metrics: Some(metrics) });
    let report = proto::TaskMetricsReport {
        fence: deployed.fence.clone(),
        job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
        tasks: tasks.collect(),
        ..Default::default()
    };
    a.master.report_task_metrics(report).await.unwrap();
    let (status, job) = cluster.get(&format!("/jobs/{id}")).await;
    assert_eq!((status, &job["vertices"][0]["metrics"]["read-bytes"]), (200, &json!(most)));
    let vertex = job["vertices"][0]["id"].as_str().unwrap().to_owned();
    for path in ["", "/taskmanagers", "/subtasktimes"] {
        assert_eq!(cluster.get(&format!("/jobs/{id}/vertices/{vertex}{path}")).await.0, 200, "{path}");
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_with_the_limit() {
    let cluster = Cluster::start(&[]).await;
    let id = JobId([1; 16]);
    let path = "/x".repeat(2_500);
    for (request, name) in [
        (format!("/jobs/{id}/savepoints"), "target-directory"),
        (format!("/jobs/{id}/stop"), "targetDirectory"),
        ("/savepoint-disposal".to_owned(), "savepoint-path"),
    ] {
        let (status, answer) = cluster.post(&request, &json!({ name: path })).await;
        let error = answer["errors"][0].as_str().unwrap();
        assert_eq!(status, 400, "{answer}");
        assert!(error.contains("has 5000 bytes: it may have at most 4096") && error.len() < 300, "{error}");
        let (status, answer) = cluster.post(&request, &json!({ name: "x".repeat(66_000) })).await;
        assert_eq!(status, 413, "{answer}");
        assert!(answer["errors"][0].as_str().unwrap().contains("at most 65536 bytes"), "{answer}");
    }
    let mut graph = graph(2);
    graph.configuration.insert("execution.state-recovery.path".into(), path);
    let error = cluster.manager.dispatcher().submit(graph).await.unwrap_err().to_string();
    assert!(error.contains("at most 4096") && error.len() < 300, "{error}");
}

/// Before, an answer repeated all that was asked for, a long name of a file was a fault of the server, and the parts of a body
/// were counted when all were kept.
#[tokio::test]
async fn what_is_asked_for_is_not_repeated_whole_and_an_upload_has_few_parts() {
    let cluster = Cluster::start(&[]).await;
    let long = "x".repeat(30_000);
    for (method, path) in [
        ("GET", format!("/{long}")),
        ("POST", format!("/{long}")),
        ("GET", format!("/taskmanagers/{long}")),
        ("DELETE", format!("/jars/{long}")),
        ("POST", format!("/jars/{long}/run")),
    ] {
        let request = cluster.http.request(method.parse().unwrap(), cluster.rest(&path));
        let answer = request.send().await.unwrap().text().await.unwrap();
        assert!(answer.contains("more bytes") && answer.len() < 1_500, "{method} {path:.20}: {answer:.2000}");
    }
    let upload = async |form: reqwest::multipart::Form| {
        let response = cluster.http.post(cluster.rest("/jars/upload")).multipart(form).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let named = |bytes: usize| {
        let part =
            reqwest::multipart::Part::bytes(b"SELECT 1;".to_vec()).file_name(format!("{:x<1$}.sql", "", bytes - 4));
        reqwest::multipart::Form::new().part("jarfile", part)
    };
    let (status, answer) = upload(named(150)).await;
    assert_eq!(status, 200, "{answer}");
    let (status, answer) = upload(named(151)).await;
    assert!(status == 400 && answer.contains("file name has 151 bytes: it may have at most 150"), "{answer}");
    let many = (0..1_001).fold(reqwest::multipart::Form::new(), |form, _| form.text("x", ""));
    let (status, answer) = upload(many).await;
    assert!(status == 400 && answer.contains("more than 1000 parts"), "{answer}");
}

/// Before, the second one was passed over, and what followed on the connection was answered.
#[tokio::test]
async fn a_body_that_may_end_elsewhere_for_others_is_refused_and_the_connection_ends() {
    let cluster = Cluster::start(&[]).await;
    for encodings in
        ["identity\r\nTransfer-Encoding: chunked", "gzip, chunked", "chunked\r\nTransfer-Encoding: chunked"]
    {
        let head = format!("POST /jars/x/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: {encodings}\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(cluster.manager.rest_address()).await.unwrap();
        stream.write_all(format!("{head}0\r\n\r\nGET /overview HTTP/1.1\r\n\r\n").as_bytes()).await.unwrap();
        let mut told = String::new();
        tokio::time::timeout(support::DEADLINE, stream.read_to_string(&mut told)).await.expect("no hang").unwrap();
        assert!(told.starts_with("HTTP/1.1 400 ") && told.matches("HTTP/1.1").count() == 1, "{told}");
        assert!(told.contains("transfer encodings"), "{told}");
    }
}

/// A checkpoint of another job: keyed state of the operator 2.
fn metadata() -> proto::CheckpointMetadata {
    let keyed = proto::KeyedStateHandle {
        first_key_group: 0,
        last_key_group: 127,
        tables: vec![proto::StateTableDescriptor { name: "groups".into(), ..Default::default() }],
        ..Default::default()
    };
    let uid: bytes::Bytes = vec![2; 16].into();
    let operator = proto::OperatorSubtaskState { uid: uid.clone(), keyed: vec![keyed], ..Default::default() };
    let vertex = proto::VertexState {
        vertex_id: vec![2; 16].into(),
        name: "Sink: out[2]".into(),
        parallelism: 1,
        max_parallelism: 128,
        operators: vec![proto::OperatorName { uid, name: "sink".into(), states: None }],
        subtasks: vec![proto::TaskState { operators: vec![operator], ..Default::default() }],
    };
    proto::CheckpointMetadata {
        checkpoint_id: 5,
        job_id: vec![9; 16].into(),
        hash_version: u32::from(HASH_VERSION),
        vertices: vec![vertex],
        ..Default::default()
    }
}

/// Before, the job ran with as many key groups as the file said, or the JobMaster was no more.
#[tokio::test]
async fn a_checkpoint_with_numbers_that_cannot_be_is_refused_by_its_name() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let restoring = |job: u8, metadata: &proto::CheckpointMetadata| {
        let uri = format!("file:{folder}");
        std::fs::write(format!("{folder}/_metadata"), wiesel_state::storage::metadata::encode(metadata, &uri)).unwrap();
        let mut graph = graph(job);
        graph.configuration.insert("execution.state-recovery.path".into(), folder.to_owned());
        graph
    };
    let changes: [(&str, fn(&mut proto::CheckpointMetadata)); 5] = [
        ("the number 18446744073709551615", |metadata| metadata.checkpoint_id = u64::MAX),
        ("the maximum parallelism 4294967295", |metadata| metadata.vertices[0].max_parallelism = u32::MAX),
        ("the maximum parallelism 0", |metadata| metadata.vertices[0].max_parallelism = 0),
        ("of 64 key groups", |metadata| metadata.vertices[0].max_parallelism = 64),
        ("of 256 key groups", |metadata| metadata.vertices[0].max_parallelism = 256),
    ];
    for (position, (words, change)) in changes.into_iter().enumerate() {
        let mut metadata = metadata();
        change(&mut metadata);
        let id = cluster.submit(restoring(position as u8 + 10, &metadata)).await;
        let job = cluster.await_status(id, JobStatus::Failed).await;
        let trace = job.failure.as_ref().unwrap().stack_trace();
        let file = format!("file:{folder}/_metadata is corrupt");
        assert!(trace.contains(&file) && trace.contains(words) && trace.contains("another checkpoint"), "{trace}");
    }
    let id = cluster.submit(restoring(1, &metadata())).await;
    a.next_submit().await;
    assert!(!cluster.job(id).await.status.is_terminal());
}

/// Before, it was deleted with a word of success, and checkpoints that followed named files that were gone.
#[tokio::test]
async fn a_checkpoint_of_a_job_that_runs_is_not_disposed_of() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(&[("execution.checkpointing.dir", folder.path().to_str().unwrap())]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(graph(1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let (_, accepted) = cluster.post(&format!("/jobs/{id}/checkpoints"), &json!({})).await;
    let (_, barrier) = a.next_trigger().await;
    for task in 0..2 {
        a.acknowledge(&deployed, task, barrier.checkpoint_id, proto::TaskState::default()).await;
    }
    cluster.outcome(&format!("/jobs/{id}/checkpoints"), &accepted).await;
    let metadata = folder.path().join(format!("{id}/chk-1/_metadata"));
    assert!(metadata.is_file());

    let named = metadata.to_str().unwrap().to_owned();
    let parent = metadata.parent().unwrap().to_str().unwrap().to_owned();
    for path in [named, format!("file://{parent}/")] {
        let (_, accepted) = cluster.post("/savepoint-disposal", &json!({ "savepoint-path": path })).await;
        let operation = cluster.outcome("/savepoint-disposal", &accepted).await;
        let trace = operation["failure-cause"]["stack-trace"].as_str().unwrap_or_default();
        assert!(trace.contains(&id.to_string()) && trace.contains("Cancel the job first"), "{operation}");
        assert!(metadata.is_file());
    }
    // A copy has no owner.
    let copy = tempfile::tempdir().unwrap();
    std::fs::copy(&metadata, copy.path().join("_metadata")).unwrap();
    let path = copy.path().to_str().unwrap().to_owned();
    let (_, accepted) = cluster.post("/savepoint-disposal", &json!({ "savepoint-path": path })).await;
    assert_eq!(cluster.outcome("/savepoint-disposal", &accepted).await, json!({}));
    until("the copy is gone", async || (!copy.path().join("_metadata").exists()).then_some(())).await;
    assert!(metadata.is_file());
}

/// Before, 225 bytes took a thread for longer than anybody waits, and 16 such scripts all threads that jobs' files are read with.
#[tokio::test]
async fn hostile_scripts_are_refused_and_leave_the_cluster_alone() {
    let cluster = Cluster::start(&[]).await;
    let send = async |text: String| {
        let part = reqwest::multipart::Part::bytes(text.into_bytes()).file_name("hostile.sql");
        let form = reqwest::multipart::Form::new().part("jarfile", part);
        let response = cluster.http.post(cluster.rest("/jars/upload")).multipart(form).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let script = |open: &str| format!("SELECT {}];", open.repeat(24));
    let uploads = ["POSITION(", "SUBSTRING(", "OVERLAY(", "FLOOR(", "CONVERT(", "NOT ("].map(|open| send(script(open)));
    let looking = async {
        for _ in 0..10 {
            assert_eq!(cluster.get("/overview").await.0, 200);
        }
    };
    let (answers, ()) = tokio::join!(futures::future::join_all(uploads), looking);
    for (status, body) in answers {
        assert_eq!(status, 400, "{body}");
        assert!(body.contains("SQL parse failed"), "{body}");
    }
    assert_eq!(cluster.get("/jars").await.1["files"], json!([]));
    let (status, body) = send(" ".repeat((2 << 20) + 1)).await;
    assert_eq!(status, 400);
    assert!(body.contains("a script may have at most 2097152"), "{body}");
}
