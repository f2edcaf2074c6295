//! Jobs of a session over real gRPC, with TaskManagers played by the test.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use support::{Cluster, TaskManager, failure, one_after_the_other, real_enumerators, registration, shuffle, until};
use wiesel_common::id::JobId;
use wiesel_jobmanager::jobmaster::source_coordinator::EnumeratorFactory;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_operators::operator::Error;
use wiesel_operators::source::{SplitAssignment, SplitEnumerator};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Canceled, Failed, Finished, Initializing, Running};

const FIXED_DELAY: [(&str, &str); 3] = [
    ("restart-strategy.type", "fixed-delay"),
    ("restart-strategy.fixed-delay.attempts", "3"),
    ("restart-strategy.fixed-delay.delay", "10 ms"),
];

#[tokio::test]
async fn a_job_runs_over_two_task_managers_and_gives_its_slots_back() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 2).await;
    let mut b = TaskManager::start(&cluster, "b", 2).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    let (on_a, on_b) = (a.next_submit().await, b.next_submit().await);
    assert_eq!(on_a.tasks.len(), 2, "both vertices share a slot");
    assert_eq!(on_b.tasks.len(), 2);
    assert_eq!(on_a.task_managers.len(), 2);
    assert_eq!(cluster.manager.resource_manager().describe().await.slots_free, 2);
    a.run(&on_a).await;
    b.run(&on_b).await;
    assert_eq!(cluster.job(id).await.status, JobStatus::Running);
    a.report_all(&on_a, Finished).await;
    b.report_all(&on_b, Finished).await;
    let job = cluster.await_status(id, JobStatus::Finished).await;
    assert!(job.failure.is_none());
    a.next_free().await;
    b.next_free().await;
    cluster.await_free_slots(4).await;
}

#[tokio::test]
async fn a_failed_task_fails_the_job_with_its_cause() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 2).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let cause = failure("java.lang.ArithmeticException", "/ by zero");
    a.report(&deployed, 0, Failed, cause).await.unwrap();
    let cancelled = a.next_cancel().await;
    assert_eq!(cancelled.attempt_ids.len(), 3);
    assert_eq!(cluster.job(id).await.status, JobStatus::Failing);
    for task in 1..4 {
        a.report(&deployed, task, Canceled, None).await.unwrap();
    }
    cluster.await_status(id, JobStatus::Failed).await;
    let (_, exceptions) = cluster.get(&format!("/jobs/{id}/exceptions")).await;
    let entry = &exceptions["exceptionHistory"]["entries"][0];
    assert!(entry["stacktrace"].as_str().unwrap().contains("java.lang.ArithmeticException: / by zero"));
    assert_eq!(entry["concurrentExceptions"][0]["taskManagerId"], "a");
    let (_, result) = cluster.get(&format!("/jobs/{id}/execution-result")).await;
    assert_eq!(result["job-execution-result"]["application-status"], "FAILED");
    cluster.await_free_slots(2).await;
}

#[tokio::test]
async fn a_failed_job_restarts_from_the_beginning() {
    let cluster = Cluster::start(&FIXED_DELAY).await;
    let mut a = TaskManager::start(&cluster, "a", 2).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let first = a.next_submit().await;
    a.run(&first).await;
    a.report(&first, 1, Failed, failure("x.Y", "boom")).await.unwrap();
    a.next_cancel().await;
    a.report(&first, 0, Canceled, None).await.unwrap();
    let second = a.next_submit().await;
    assert_eq!((first.execution, second.execution), (0, 1));
    assert_eq!(second.tasks[0].allocation_id, first.tasks[0].allocation_id, "the slot was kept");
    let late = a.report(&first, 0, Running, None).await.unwrap_err();
    assert_eq!(late.code(), tonic::Code::NotFound);
    // Failed before: the TaskManager was not told to end what was given up.
    let [given_up, current] = [&first, &second].map(|deployment| deployment.tasks[0].attempt_id.clone());
    let counters = |attempt: &bytes::Bytes| proto::AttemptMetrics {
        attempt_id: attempt.clone(),
        metrics: Some(proto::TaskMetrics::default()),
    };
    let report = proto::TaskMetricsReport {
        fence: second.fence.clone(),
        job_id: second.graph.as_ref().unwrap().job_id.clone(),
        tasks: vec![counters(&given_up), counters(&current)],
        resource_id: "a".into(),
        ..Default::default()
    };
    let answer = a.master.report_task_metrics(report).await.unwrap().into_inner();
    assert_eq!(answer.unknown_attempts, [given_up]);
    a.run(&second).await;
    a.report_all(&second, Finished).await;
    let job = cluster.await_status(id, JobStatus::Finished).await;
    assert_eq!(job.history.entries().count(), 1);
}

#[tokio::test]
async fn losing_a_task_manager_restarts_the_job_elsewhere() {
    let cluster = Cluster::start(&FIXED_DELAY).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let mut b = TaskManager::start(&cluster, "b", 1).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    let (on_a, on_b) = (a.next_submit().await, b.next_submit().await);
    a.run(&on_a).await;
    b.run(&on_b).await;
    b.kill().await;
    let cancelled = a.next_cancel().await;
    assert_eq!(cancelled.attempt_ids.len(), 2);
    a.report_all(&on_a, Canceled).await;
    let mut c = TaskManager::start(&cluster, "c", 1).await;
    let (on_a, on_c) = (a.next_submit().await, c.next_submit().await);
    assert_eq!(on_a.execution, 1);
    a.report_all(&on_a, Finished).await;
    c.report_all(&on_c, Finished).await;
    let job = cluster.await_status(id, JobStatus::Finished).await;
    let lost = job.history.entries().next().unwrap();
    assert!(lost.failure.message.contains("TaskManager with id b is no longer reachable."), "{}", lost.failure);
}

#[tokio::test]
async fn losing_a_task_manager_without_a_strategy_fails_the_job() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let message = proto::DisconnectTaskManagerRequest {
        fence: a.fence.clone(),
        resource_id: "a".into(),
        reason: "SIGTERM".into(),
        registration: a.registration,
    };
    a.resource_manager.disconnect_task_manager(message).await.unwrap();
    let job = cluster.await_status(id, JobStatus::Failed).await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    assert!(trace.contains("TaskManager with id a disconnected: SIGTERM"), "{trace}");
    cluster.await_task_managers(0).await;
}

/// Failed before registrations were numbered: the late word of the old process, which had the larger number, was taken for the
/// latest of the new one. Its slots were the old ones for ever, and the job was told that it had lost those that it ran in.
#[tokio::test]
async fn what_a_dead_task_manager_said_does_not_count_for_its_successor() {
    let cluster = Cluster::start(&[]).await;
    let mut old = TaskManager::start(&cluster, "a", 1).await;
    old.set_slots_version(56);
    old.answers.send_replace(false);
    let id = cluster.submit(shuffle(1, 1)).await;
    until("the request for a slot", async || (old.slots_version() == 57).then_some(())).await;
    // While it lives no other TaskManager gets its id.
    old.end_heartbeats();
    cluster.await_task_managers(0).await;
    let mut new = TaskManager::start(&cluster, "a", 1).await;
    let deployed = new.next_submit().await;
    new.run(&deployed).await;
    // Its answer and its offer, its farewell, and its word to the JobMaster.
    old.answers.send_replace(true);
    let farewell = proto::DisconnectTaskManagerRequest {
        fence: old.fence.clone(),
        resource_id: "a".into(),
        reason: "SIGTERM".into(),
        registration: old.registration,
    };
    old.resource_manager.disconnect_task_manager(farewell).await.unwrap();
    let report = proto::TaskMetricsReport {
        fence: deployed.fence.clone(),
        job_id: deployed.graph.as_ref().unwrap().job_id.clone(),
        resource_id: "a".into(),
        slots_version: 99,
        registration: old.registration,
        ..Default::default()
    };
    old.master.report_task_metrics(report).await.unwrap();
    // Some heartbeats.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let job = cluster.job(id).await;
    assert_eq!(job.status, JobStatus::Running, "{:?}", job.failure);
    new.report_all(&deployed, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
    cluster.await_free_slots(1).await;
}

/// Failed before: the job took it and ran there, and would never have been told that the TaskManager is gone.
#[tokio::test]
async fn a_job_does_not_stay_on_a_task_manager_without_heartbeats() {
    let cluster = Cluster::start(&FIXED_DELAY).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let first = a.next_submit().await;
    a.run(&first).await;
    a.end_heartbeats();
    cluster.await_task_managers(0).await;
    let offer = |allocation: u8, registration: u64| proto::OfferSlotsRequest {
        fence: first.fence.clone(),
        job_id: first.graph.as_ref().unwrap().job_id.clone(),
        resource_id: "a".into(),
        rpc_address: "127.0.0.1:1".into(),
        data_address: "127.0.0.1:2".into(),
        hostname: "localhost".into(),
        slots: vec![proto::SlotOffer { allocation_id: vec![allocation; 16].into(), index: 0 }],
        slots_version: 99,
        registration,
        tasks: Vec::new(),
    };
    let late = offer(8, a.registration);
    assert!(a.master.offer_slots(late).await.unwrap().into_inner().accepted.is_empty());
    // A loss that the job does not know of: it takes the slot, and hears of it from the ResourceManager.
    let unknown = offer(9, a.registration + 1_000);
    let report = proto::TaskReport { allocation_id: vec![9; 16].into(), ..Default::default() };
    let busy = proto::OfferSlotsRequest { tasks: vec![report], ..unknown.clone() };
    let taken = a.master.offer_slots(busy).await.unwrap().into_inner().accepted;
    assert!(taken.is_empty(), "tasks are in it that another JobMaster has deployed");
    assert_eq!(a.master.offer_slots(unknown).await.unwrap().into_inner().accepted.len(), 1);
    let mut b = TaskManager::start(&cluster, "b", 1).await;
    let second = b.next_submit().await;
    b.report_all(&second, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
    cluster.await_free_slots(1).await;
}

#[tokio::test]
async fn a_task_manager_is_told_who_leads_its_jobs() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    let job_ids = vec![vec![9; 16].into(), id.to_bytes(), vec![1; 3].into()];
    let ask = |fence: &bytes::Bytes| proto::FindJobMastersRequest { fence: fence.clone(), job_ids: job_ids.clone() };
    let of_both = [ask(&a.fence), ask(&deployed.fence)];
    let [asked, fenced_off] = of_both;
    let found = a.resource_manager.find_job_masters(asked).await.unwrap().into_inner().job_masters;
    let address = deployed.job_master_address.clone();
    let expected = proto::JobMasterLocation { job_id: id.to_bytes(), address, fence: deployed.fence.clone() };
    assert_eq!(found, [expected]);
    let refused = a.resource_manager.find_job_masters(fenced_off).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
}

#[tokio::test]
async fn a_silent_task_manager_is_lost_after_its_timeout() {
    let cluster = Cluster::start(&[("heartbeat.timeout", "300 ms")]).await;
    let channel = support::channel(&cluster.manager.rpc_address().to_string());
    let mut client = proto::resource_manager_client::ResourceManagerClient::new(channel);
    client.register_task_manager(registration("mute", "127.0.0.1:1", 1)).await.unwrap();
    cluster.await_task_managers(1).await;
    cluster.await_task_managers(0).await;
}

#[tokio::test]
async fn a_job_that_finds_no_slots_fails_in_flinks_words() {
    let cluster = Cluster::start(&[("slot.request.timeout", "200 ms")]).await;
    let _a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    let job = cluster.await_status(id, JobStatus::Failed).await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    let words = "NoResourceAvailableException: Could not acquire the minimum required resources.";
    assert!(trace.contains(words), "{trace}");
    cluster.await_free_slots(1).await;
}

/// Before, nothing said for `slot.request.timeout` that the job did not run.
#[tokio::test]
async fn a_job_that_waits_for_slots_says_so() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    cluster.await_free_slots(1).await;
    let id = cluster.submit(shuffle(1, 3)).await;
    let missing = async |path: String| {
        let (_, answer) = cluster.get(&path).await;
        let job = if answer["jobs"].is_array() { &answer["jobs"][0] } else { &answer };
        assert!(job["state"] != "FAILED", "{answer}");
        (job["slots-required"].clone(), job["slots-missing"].clone())
    };
    for path in ["/jobs/overview".to_owned(), format!("/jobs/{id}")] {
        until("slots are missing", async || (missing(path.clone()).await == (3.into(), 2.into())).then_some(())).await;
    }
    let mut b = TaskManager::start(&cluster, "b", 2).await;
    let deployed = [a.next_submit().await, b.next_submit().await];
    a.run(&deployed[0]).await;
    b.run(&deployed[1]).await;
    assert_eq!(missing(format!("/jobs/{id}")).await, (serde_json::Value::Null, serde_json::Value::Null));
}

#[tokio::test]
async fn a_waiting_job_starts_when_slots_come() {
    let cluster = Cluster::start(&[]).await;
    let id = cluster.submit(shuffle(1, 2)).await;
    assert_eq!(cluster.await_status(id, JobStatus::Running).await.slots_held(), 0);
    let mut a = TaskManager::start(&cluster, "a", 2).await;
    let deployed = a.next_submit().await;
    a.report_all(&deployed, Finished).await;
    cluster.await_status(id, JobStatus::Finished).await;
}

trait Held {
    fn slots_held(&self) -> usize;
}

impl Held for wiesel_jobmanager::jobmaster::JobInfo {
    fn slots_held(&self) -> usize {
        self.graph.executions().filter(|execution| execution.slot.is_some()).count()
    }
}

#[tokio::test]
async fn a_refused_deployment_is_the_jobs_failure() {
    let cluster = Cluster::start(&[]).await;
    let reason = "Insufficient number of network buffers: required 33, but only 8 available.";
    let _a = TaskManager::start_with(&cluster, "a", 1, Some((tonic::Code::ResourceExhausted, reason))).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let job = cluster.await_status(id, JobStatus::Failed).await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    assert!(trace.contains(&format!("java.io.IOException: {reason}")), "{trace}");
}

/// Before, a plan that no TaskManager can read was deployed again at every restart.
#[tokio::test]
async fn a_plan_that_a_task_manager_cannot_read_fails_the_job_for_good() {
    for (code, deployments) in [(tonic::Code::InvalidArgument, 1), (tonic::Code::Aborted, 4)] {
        let cluster = Cluster::start(&FIXED_DELAY).await;
        let reason = "The deployment is malformed: not every vertex is placed";
        let mut a = TaskManager::start_with(&cluster, "a", 1, Some((code, reason))).await;
        let id = cluster.submit(shuffle(1, 1)).await;
        let job = cluster.await_status(id, JobStatus::Failed).await;
        let trace = job.failure.as_ref().unwrap().stack_trace();
        assert!(trace.contains(reason), "{trace}");
        for _ in 0..deployments {
            a.next_submit().await;
        }
        let another = tokio::time::timeout(Duration::ZERO, a.next_submit()).await;
        assert!(another.is_err(), "{code:?}: more than {deployments} deployments");
    }
}

#[tokio::test]
async fn cancellation_through_rest() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let id = cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let (status, body) = cluster.patch(&format!("/v1/jobs/{id}?mode=cancel")).await;
    assert_eq!((status, body), (202, serde_json::json!({})));
    assert_eq!(a.next_cancel().await.attempt_ids.len(), 2);
    assert_eq!(cluster.get(&format!("/jobs/{id}/status")).await.1["status"], "CANCELLING");
    a.report_all(&deployed, Canceled).await;
    cluster.await_status(id, JobStatus::Canceled).await;
    assert_eq!(cluster.patch(&format!("/jobs/{id}?mode=cancel")).await.0, 202, "it is idempotent");
    assert_eq!(cluster.get(&format!("/jobs/{id}/execution-result")).await.1["status"]["id"], "COMPLETED");

    let finished = cluster.submit(shuffle(2, 1)).await;
    let deployed = a.next_submit().await;
    a.report_all(&deployed, Finished).await;
    cluster.await_status(finished, JobStatus::Finished).await;
    let (status, body) = cluster.patch(&format!("/jobs/{finished}?mode=cancel")).await;
    assert_eq!(status, 409);
    assert!(body["errors"][0].as_str().unwrap().contains("another terminal state (FINISHED)"));
}

#[tokio::test]
async fn stale_tokens_are_refused() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    cluster.submit(shuffle(1, 1)).await;
    let mut deployed = a.next_submit().await;
    deployed.fence = vec![0; 16].into();
    let refused = a.report(&deployed, 0, Initializing, None).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    let message = proto::DisconnectTaskManagerRequest { resource_id: "a".into(), ..Default::default() };
    let refused = a.resource_manager.disconnect_task_manager(message).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    assert_eq!(cluster.manager.resource_manager().describe().await.task_managers.len(), 1);
}

#[tokio::test]
async fn the_same_job_is_not_taken_twice() {
    let cluster = Cluster::start(&[]).await;
    cluster.submit(shuffle(1, 1)).await;
    let refused = cluster.manager.dispatcher().submit(shuffle(1, 1)).await.unwrap_err();
    assert!(refused.to_string().contains("already been submitted"));
}

#[tokio::test]
async fn many_jobs_share_a_session() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 3).await;
    let mut ids = Vec::new();
    for job in 1..=20 {
        ids.push(cluster.submit(shuffle(job, 1)).await);
    }
    for _ in 0..20 {
        let deployed = a.next_submit().await;
        a.run(&deployed).await;
        a.report_all(&deployed, Finished).await;
    }
    for id in ids {
        cluster.await_status(id, JobStatus::Finished).await;
    }
    cluster.await_free_slots(3).await;
    assert_eq!(cluster.get("/overview").await.1["jobs-finished"], 20);
}

const OPERATOR: [u8; 16] = [5; 16];

fn with_operator(mut graph: proto::JobGraph, vertex: usize, kind: proto::operator_spec::Kind) -> proto::JobGraph {
    graph.vertices[vertex].operators = vec![proto::OperatorSpec {
        uid: OPERATOR.to_vec().into(),
        name: "operator".into(),
        kind: Some(kind),
        ..Default::default()
    }];
    graph
}

struct TwoSplits(Vec<bytes::Bytes>);

impl SplitEnumerator for TwoSplits {
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>, Error> {
        Ok(Vec::new())
    }

    fn request_split(&mut self, _subtask: u32, hostname: &str) -> Result<SplitAssignment, Error> {
        assert_eq!(hostname, "localhost");
        Ok(self.0.pop().map_or(SplitAssignment::NoMoreSplits, |split| SplitAssignment::Splits(vec![split])))
    }

    fn snapshot(&mut self) -> Result<bytes::Bytes, Error> {
        Ok(self.0.concat().into())
    }

    fn restore(&mut self, state: &[u8]) -> Result<(), Error> {
        self.0 = vec![bytes::Bytes::copy_from_slice(state)];
        Ok(())
    }
}

#[tokio::test]
async fn readers_get_splits_until_there_are_none() {
    let two: EnumeratorFactory = Arc::new(|spec, context| {
        assert_eq!((spec.connector.as_str(), context.parallelism), ("test", 1));
        Ok(Box::new(TwoSplits(vec!["second".into(), "first".into()])))
    });
    let cluster = Cluster::with_enumerators(&[], two).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let spec = proto::SourceSpec { connector: "test".into(), ..Default::default() };
    let graph = with_operator(shuffle(1, 1), 0, proto::operator_spec::Kind::Source(spec));
    cluster.submit(graph).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let mut seen = Vec::new();
    for number in 1.. {
        let request = support::split_request(&deployed, &OPERATOR, number);
        a.master.send_operator_event(request).await.unwrap();
        match support::said_to_reader(a.next_event().await) {
            proto::source_event_to_reader::Event::AddSplits(add) => seen.extend(add.splits),
            proto::source_event_to_reader::Event::NoMoreSplits(_) => break,
        }
    }
    assert_eq!(seen, ["first", "second"]);
}

#[tokio::test]
async fn a_source_that_cannot_list_its_splits_fails_the_job() {
    let broken: EnumeratorFactory =
        Arc::new(|_, _| Err(Error::External { message: "no such file: /nowhere".into(), source: None }));
    let cluster = Cluster::with_enumerators(&[], broken).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let kind = proto::operator_spec::Kind::Source(proto::SourceSpec::default());
    let id = cluster.submit(with_operator(shuffle(1, 1), 0, kind)).await;
    let deployed = a.next_submit().await;
    a.next_cancel().await;
    a.report_all(&deployed, Canceled).await;
    let job = cluster.await_status(id, JobStatus::Failed).await;
    let trace = job.failure.as_ref().unwrap().stack_trace();
    assert!(trace.contains("java.io.IOException: no such file: /nowhere"), "{trace}");
}

#[tokio::test]
async fn a_stopping_job_manager_tells_its_task_managers() {
    let cluster = Cluster::start(&[]).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    cluster.submit(shuffle(1, 1)).await;
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let response = cluster.http.delete(cluster.rest("/cluster")).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(a.next_cancel().await.attempt_ids.len(), 2);
    cluster.manager.wait().await.unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_takes_its_job_along_if_it_asked_for_it() {
    let cluster = Cluster::start(&[]).await;
    let mut tied = shuffle(1, 1);
    for (key, value) in [
        ("execution.attached", "true"),
        ("execution.shutdown-on-attached-exit", "true"),
        ("client.heartbeat.timeout", "100 ms"),
    ] {
        tied.configuration.insert(key.into(), value.into());
    }
    let tied = cluster.submit(tied).await;
    let free = cluster.submit(shuffle(2, 1)).await;
    cluster.await_status(tied, JobStatus::Canceled).await;
    assert_eq!(cluster.job(free).await.status, JobStatus::Running);
}

#[tokio::test]
async fn a_graph_arrives_over_rest() {
    let cluster = Cluster::start(&[]).await;
    let upload = |graph: Vec<u8>| {
        let request = reqwest::multipart::Part::text(r#"{"jobGraphFileName":"jobGraph.bin"}"#);
        let file = reqwest::multipart::Part::bytes(graph).file_name("jobGraph.bin");
        reqwest::multipart::Form::new().part("request", request).part("file_0", file)
    };
    let url = cluster.rest("/v1/jobs");
    let send = async |graph| {
        let response = cluster.http.post(&url).multipart(upload(graph)).send().await.unwrap();
        (response.status().as_u16(), response.json::<serde_json::Value>().await.unwrap())
    };
    let (status, body) = send(shuffle(7, 1).encode_to_vec()).await;
    let id = JobId([7; 16]);
    assert_eq!((status, body), (202, serde_json::json!({ "jobUrl": format!("/jobs/{id}") })));
    until("the job runs", async || {
        (cluster.get(&format!("/jobs/{id}/status")).await.1["status"] == "RUNNING").then_some(())
    })
    .await;
    let (status, body) = send(vec![0xac, 0xed, 0, 5]).await;
    assert_eq!(status, 400);
    assert!(body["errors"][0].as_str().unwrap().contains("Java object"));
    let (status, body) =
        send(proto::JobGraph { job_id: vec![8; 16].into(), ..Default::default() }.encode_to_vec()).await;
    assert_eq!(status, 400);
    assert!(body["errors"][0].as_str().unwrap().contains("no vertices"));
}

/// Before, room was made for as many slots as the message said: 235 GB for the largest number.
#[tokio::test]
async fn a_task_manager_with_more_slots_than_a_job_can_use_is_refused() {
    let cluster = Cluster::start(&[]).await;
    let mut known = TaskManager::start(&cluster, "a", 1).await;
    for slots in [32_769, u32::MAX] {
        let refused = known.resource_manager.register_task_manager(registration("b", "127.0.0.1:1", slots)).await;
        let status = refused.unwrap_err();
        assert_eq!(status.code(), tonic::Code::InvalidArgument);
        assert!(status.message().contains("at most 32768"), "{}", status.message());
    }
    cluster.await_task_managers(1).await;
}

/// The tasks of a graph are made before anything runs: their number has a bound of its own.
#[tokio::test]
async fn a_job_with_more_tasks_than_memory_for_them_is_refused() {
    let cluster = Cluster::start(&[]).await;
    let vertex = |id: u8| proto::JobVertex { id: vec![id; 16].into(), parallelism: 32_768, ..Default::default() };
    let graph =
        proto::JobGraph { job_id: vec![9; 16].into(), vertices: (0..40).map(vertex).collect(), ..Default::default() };
    let error = cluster.manager.dispatcher().submit(graph).await.unwrap_err();
    assert!(error.to_string().contains("1310720 tasks"), "{error}");
}

/// Before, the client of a script with table.dml-sync, which knows of no job before it has its answer, was not heard of by
/// the first one, and that was cancelled.
#[tokio::test]
async fn a_client_that_waits_for_a_script_is_reported_alive_and_one_that_is_gone_is_not() {
    let cluster = Cluster::with_enumerators(&[], real_enumerators()).await;
    let mut a = TaskManager::start(&cluster, "a", 1).await;
    let artifact = cluster.upload(one_after_the_other()).await;
    let tied = serde_json::json!({ "flinkConfiguration": {
        "execution.attached": "true",
        "execution.shutdown-on-attached-exit": "true",
        "client.heartbeat.timeout": "2 s",
    }});
    let run = tokio::spawn(cluster.http.post(cluster.rest(&format!("/jars/{artifact}/run"))).json(&tied).send());
    let deployed = a.next_submit().await;
    a.run(&deployed).await;
    let id = JobId::from_bytes(&deployed.graph.as_ref().unwrap().job_id).unwrap();
    let begun = Instant::now();
    until("the job has run for longer than its client may be silent", async || {
        assert_eq!(cluster.job(id).await.status, JobStatus::Running);
        (begun.elapsed() > Duration::from_secs(5)).then_some(())
    })
    .await;
    assert!(!run.is_finished());
    run.abort();
    a.next_cancel().await;
    a.report_all(&deployed, Canceled).await;
    cluster.await_status(id, JobStatus::Canceled).await;
}
