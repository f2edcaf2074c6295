//! Jobs that outlive their JobManager, over real gRPC, with TaskManagers played by the test and records in memory.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod support;

use std::sync::Arc;

use prost::Message as _;
use support::{Cluster, TaskManager, Told, shuffle, until};
use wiesel_common::id::{AttemptId, JobId};
use wiesel_jobmanager::cluster::Environment;
use wiesel_jobmanager::dispatcher::SubmitError;
use wiesel_jobmanager::ha::{MemoryRecords, RecordKey, RecordStore};
use wiesel_jobmanager::jobmaster::JobRecords;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState::{Canceled, Finished, Running};
use wiesel_proto::{JobDecision, JobResult};

/// Reports come before this is over.
const LONG: &str = "300 s";
/// Nothing but what a test has said before comes before this is over.
const SHORT: &str = "5 s";

/// The JobManager that leads in this epoch. `patience`: how long it waits for reports.
async fn lead(store: &MemoryRecords, epoch: u64, patience: &str) -> Cluster {
    lead_with(store, epoch, &[("heartbeat.timeout", patience)]).await
}

async fn lead_with(store: &MemoryRecords, epoch: u64, pairs: &[(&str, &str)]) -> Cluster {
    let records = JobRecords::lead(Arc::new(store.clone()), epoch).await.unwrap();
    let (recorded_jobs, recorded_results) = (records.jobs().await.unwrap(), records.results().await.unwrap());
    let environment = Environment {
        epoch,
        recorded_jobs,
        recorded_results,
        records: Some(records),
        adopts_tasks: true,
        ..Environment::real(None)
    };
    Cluster::start_in(pairs, environment).await
}

/// A TaskManager that has the slot of a deployment, registered at the next JobManager.
async fn again(cluster: &Cluster, deployed: &proto::SubmitTasksRequest) -> TaskManager {
    let job = deployed.graph.as_ref().unwrap().job_id.clone();
    let held = vec![Some((deployed.tasks[0].allocation_id.clone(), job))];
    TaskManager::start_holding(cluster, "a", held, None).await
}

/// Offers its slot with some of the tasks that were deployed there, as they run.
async fn offer(task_manager: &mut TaskManager, deployed: &proto::SubmitTasksRequest, tasks: &[usize]) -> usize {
    let job_id = deployed.graph.as_ref().unwrap().job_id.clone();
    let ask = proto::FindJobMastersRequest { fence: task_manager.fence.clone(), job_ids: vec![job_id.clone()] };
    let found = task_manager.resource_manager.find_job_masters(ask).await.unwrap().into_inner().job_masters;
    let report = |task: &usize| proto::TaskReport {
        allocation_id: deployed.tasks[*task].allocation_id.clone(),
        attempt_id: deployed.tasks[*task].attempt_id.clone(),
        attempt_number: deployed.tasks[*task].attempt_number,
        vertex: deployed.tasks[*task].vertex,
        subtask: deployed.tasks[*task].subtask,
        execution: deployed.execution,
        session: deployed.fence.clone(),
        state: Running.into(),
        ..Default::default()
    };
    let address = deployed.task_managers[0].clone();
    let request = proto::OfferSlotsRequest {
        fence: found[0].fence.clone(),
        job_id,
        resource_id: task_manager.resource_id.clone(),
        rpc_address: address.replacen(":1", ":", 1),
        data_address: address,
        slots: vec![proto::SlotOffer { allocation_id: deployed.tasks[0].allocation_id.clone(), index: 0 }],
        hostname: "localhost".into(),
        slots_version: task_manager.slots_version(),
        registration: task_manager.registration,
        tasks: tasks.iter().map(report).collect(),
    };
    task_manager.master.offer_slots(request).await.unwrap().into_inner().accepted.len()
}

/// Changes the record of a job that nobody leads, as a leader of this epoch.
async fn change_record(store: &MemoryRecords, epoch: u64, id: JobId, change: impl FnOnce(&mut proto::JobRecord)) {
    store.fence(epoch).await.unwrap();
    let found = store.read(epoch, RecordKey::Job(id)).await.unwrap().unwrap();
    let mut record = proto::JobRecord::decode(found.bytes).unwrap();
    change(&mut record);
    let bytes = record.encode_to_vec().into();
    store.write(epoch, RecordKey::Job(id), Some(&found.version), bytes).await.unwrap();
}

/// The record of a job, for a leader of this epoch.
async fn record(store: &MemoryRecords, epoch: u64, id: JobId) -> proto::JobRecord {
    let found = store.read(epoch, RecordKey::Job(id)).await.unwrap().unwrap();
    proto::JobRecord::decode(found.bytes).unwrap()
}

async fn until_the_record_is_deleted(store: &MemoryRecords, epoch: u64) {
    until("the record is deleted", async || {
        let records = JobRecords::lead(Arc::new(store.clone()), epoch).await.unwrap();
        records.jobs().await.unwrap().is_empty().then_some(())
    })
    .await;
}

fn attempts(job: &wiesel_jobmanager::jobmaster::JobInfo) -> Vec<(AttemptId, u32)> {
    job.graph.executions().map(|task| (task.attempt_id, task.attempt_number)).collect()
}

#[tokio::test]
async fn tasks_that_run_when_a_job_manager_dies_go_on_under_the_next() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let mut before = TaskManager::start(&first, "a", 1).await;
    let id = first.submit(shuffle(1, 1)).await;
    let deployed = before.next_submit().await;
    before.run(&deployed).await;
    let job = first.await_status(id, JobStatus::Running).await;
    let ran = attempts(&job);
    drop(first);

    let second = lead(&store, 2, LONG).await;
    assert_eq!(second.job(id).await.status, JobStatus::Initializing);
    let mut after = again(&second, &deployed).await;
    assert_eq!(offer(&mut after, &deployed, &[0, 1]).await, 1);
    let job = second.await_status(id, JobStatus::Running).await;
    assert_eq!(attempts(&job), ran);
    // What the test says for the TaskManager goes to where the offer says that it is: to the first one, which lives.
    let Told::Adopt(adopted) = before.next().await else { panic!("something else was told before") };
    assert_eq!((adopted.attempt_ids.len(), adopted.completed_checkpoint_id), (2, 0));
    let deployed = proto::SubmitTasksRequest { fence: adopted.fence, ..deployed };
    after.report_all(&deployed, Finished).await;
    second.await_status(id, JobStatus::Finished).await;
    after.next_free().await;
    // Its record stays until what the first JobManager may yet have written is looked for once more. It is over all the same.
    drop(second);
    let third = lead(&store, 3, LONG).await;
    third.await_status(id, JobStatus::Finished).await;
}

#[tokio::test]
async fn what_is_not_whole_when_reports_have_had_their_time_is_ended_and_begins_again() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let mut before = TaskManager::start(&first, "a", 1).await;
    let id = first.submit(shuffle(1, 1)).await;
    let deployed = before.next_submit().await;
    before.run(&deployed).await;
    first.await_status(id, JobStatus::Running).await;
    drop(first);

    let second = lead(&store, 2, SHORT).await;
    let mut after = again(&second, &deployed).await;
    assert_eq!(offer(&mut after, &deployed, &[0]).await, 1);
    let cancelled = before.next_cancel().await;
    assert_eq!(cancelled.attempt_ids, [deployed.tasks[0].attempt_id.clone()]);
    assert_eq!(offer(&mut after, &deployed, &[0, 1]).await, 1, "it has the slot already");
    let ended = proto::SubmitTasksRequest { fence: cancelled.fence, ..deployed.clone() };
    after.report(&ended, 0, Canceled, None).await.unwrap();
    let restarted = before.next_submit().await;
    assert_eq!(restarted.execution, 1, "that number is in the record");
    assert!(restarted.tasks.iter().all(|task| task.attempt_number == 1));
}

#[tokio::test]
async fn a_job_that_is_cancelled_while_it_is_taken_over_is_canceled() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let mut before = TaskManager::start(&first, "a", 1).await;
    let id = first.submit(shuffle(1, 1)).await;
    let deployed = before.next_submit().await;
    before.run(&deployed).await;
    first.await_status(id, JobStatus::Running).await;
    drop(first);

    let second = lead(&store, 2, LONG).await;
    let mut after = again(&second, &deployed).await;
    let (status, _) = second.patch(&format!("/jobs/{id}")).await;
    assert_eq!(status, 202);
    assert_eq!(offer(&mut after, &deployed, &[0, 1]).await, 1);
    let cancelled = before.next_cancel().await;
    assert_eq!(cancelled.attempt_ids.len(), 2);
    let ended = proto::SubmitTasksRequest { fence: cancelled.fence, ..deployed };
    after.report_all(&ended, Canceled).await;
    second.await_status(id, JobStatus::Canceled).await;
}

/// Failed before: it was not known any more, and ran once more if it was submitted again.
#[tokio::test]
async fn a_job_that_has_ended_is_answered_for_and_not_run_again() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let mut task_manager = TaskManager::start(&first, "a", 1).await;
    let id = first.submit(shuffle(1, 1)).await;
    let deployed = task_manager.next_submit().await;
    task_manager.report_all(&deployed, Finished).await;
    let before = first.await_status(id, JobStatus::Finished).await;
    drop(first);
    for epoch in 2..4 {
        let next = lead(&store, epoch, SHORT).await;
        let after = next.job(id).await;
        assert_eq!((after.name(), after.status), (before.name(), JobStatus::Finished));
        assert_eq!((after.start_time(), after.end_time()), (before.start_time(), before.end_time()));
        let (status, result) = next.get(&format!("/jobs/{id}/execution-result")).await;
        assert_eq!((status, &result["job-execution-result"]["application-status"]), (200, &"SUCCEEDED".into()));
        let again = next.manager.dispatcher().submit(shuffle(1, 1)).await;
        assert_eq!(again, Err(SubmitError::Duplicate(id)));
    }
}

/// The same by an election: the process that leads next finds in the folder what the one before has left.
#[tokio::test]
async fn whoever_is_elected_goes_on_with_all_jobs() {
    let folder = tempfile::tempdir().unwrap();
    let storage = format!("file://{}", folder.path().display());
    let pairs = [
        ("high-availability.type", "object-store"),
        ("high-availability.storageDir", storage.as_str()),
        ("high-availability.object-store.leader-election.retry-period", "10 ms"),
        ("heartbeat.timeout", SHORT),
    ];
    let first = Cluster::start(&pairs).await;
    let id = first.submit(shuffle(1, 1)).await;
    let again = first.manager.dispatcher().submit(shuffle(1, 1)).await;
    assert_eq!(again, Err(SubmitError::Duplicate(id)));
    stop(first).await;

    let second = Cluster::start(&pairs).await;
    let mut task_manager = TaskManager::start(&second, "a", 1).await;
    let deployed = task_manager.next_submit().await;
    task_manager.report_all(&deployed, Finished).await;
    second.await_status(id, JobStatus::Finished).await;
    stop(second).await;

    let third = Cluster::start(&pairs).await;
    assert_eq!(third.job(id).await.status, JobStatus::Finished);
}

/// Ends a JobManager as a signal does.
async fn stop(cluster: Cluster) {
    let Cluster { manager, .. } = cluster;
    manager.stop_token().cancel();
    manager.wait().await.unwrap();
}

/// Nothing that is submitted is lost with the JobManager that has taken it, whatever it waits for.
#[tokio::test]
async fn a_job_that_waits_for_slots_goes_on_waiting_under_the_next_job_manager() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let id: JobId = first.submit(shuffle(1, 1)).await;
    drop(first);
    let second = lead(&store, 2, SHORT).await;
    let mut task_manager = TaskManager::start(&second, "a", 1).await;
    let deployed = task_manager.next_submit().await;
    task_manager.report_all(&deployed, Finished).await;
    second.await_status(id, JobStatus::Finished).await;
}

/// Failed before: a job that was cancelled, or had failed, before it began was begun by the next JobManager.
#[tokio::test]
async fn a_job_that_was_to_end_before_it_had_begun_does_not_begin() {
    for (decision, result, status) in [
        (JobDecision::Cancel, JobResult::None, JobStatus::Canceled),
        (JobDecision::Cancel, JobResult::Canceled, JobStatus::Canceled),
        (JobDecision::Fail, JobResult::None, JobStatus::Failed),
        (JobDecision::Fail, JobResult::Failed, JobStatus::Failed),
    ] {
        let store = MemoryRecords::default();
        let first = lead(&store, 1, LONG).await;
        let id = first.submit(shuffle(1, 1)).await;
        drop(first);
        change_record(&store, 2, id, |record| {
            record.started = false;
            record.set_decision(decision);
            record.set_result(result);
            let failure = proto::Failure { message: "no such savepoint".into(), ..Default::default() };
            record.failure = (decision == JobDecision::Fail).then_some(failure);
        })
        .await;
        let second = lead(&store, 3, SHORT).await;
        let job = second.await_status(id, status).await;
        let message = job.failure.as_ref().map(|failure| failure.message.as_str());
        assert_eq!(message, (status == JobStatus::Failed).then_some("no such savepoint"));
        until_the_record_is_deleted(&store, 3).await;
    }
}

/// Failed before: the pointers to them left the record and what they lead to was swept; and a job that had failed lost its cause, and
/// with it that its checkpoints stay whatever the retention says.
#[tokio::test]
async fn checkpoints_that_are_not_found_stay_when_a_job_is_cancelled() {
    for (result, status) in [(JobResult::None, JobStatus::Canceled), (JobResult::Failed, JobStatus::Failed)] {
        let store = MemoryRecords::default();
        let first = lead(&store, 1, LONG).await;
        let id = first.submit(shuffle(1, 1)).await;
        drop(first);
        let has_failed = result == JobResult::Failed;
        change_record(&store, 2, id, |record| {
            record.started = true;
            record.set_result(result);
            record.set_decision(if has_failed { JobDecision::Fail } else { JobDecision::None });
            record.unrecoverable = has_failed;
            record.failure = has_failed.then(proto::Failure::default);
            // In a store that this JobManager does not reach.
            let pointer = "hdfs://nowhere/chk-1".into();
            record.checkpoints = vec![proto::RecordedCheckpoint { checkpoint_id: 1, pointer, ..Default::default() }];
        })
        .await;
        let second = lead(&store, 3, SHORT).await;
        assert_eq!(second.patch(&format!("/jobs/{id}")).await.0, 202);
        second.await_status(id, status).await;
        let left = until("its end is recorded", async || {
            let record = record(&store, 3, id).await;
            (record.result() != JobResult::None).then_some(record)
        })
        .await;
        assert_eq!((left.checkpoints.len(), left.unrecoverable, left.failure.is_some()), (1, has_failed, has_failed));
    }
}

/// Failed before: the job's folder was looked through for what belongs to no checkpoint, for ten minutes. A retained checkpoint that is
/// seen there only then, because a volume was not mounted yet, would have been deleted.
#[tokio::test]
async fn nothing_is_looked_for_where_checkpoints_that_stay_are_not_seen() {
    let (store, folder) = (MemoryRecords::default(), tempfile::tempdir().unwrap());
    let first = lead(&store, 1, LONG).await;
    let id = first.submit(shuffle(1, 1)).await;
    drop(first);
    change_record(&store, 2, id, |record| {
        record.started = true;
        record.set_decision(JobDecision::Cancel);
        record.set_result(JobResult::Canceled);
        let pointer = folder.path().join("chk-1").display().to_string();
        record.checkpoints = vec![proto::RecordedCheckpoint { checkpoint_id: 1, pointer, ..Default::default() }];
    })
    .await;
    let retention = ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    let directory = ("execution.checkpointing.dir", folder.path().to_str().unwrap());
    let second = lead_with(&store, 3, &[("heartbeat.timeout", LONG), retention, directory]).await;
    second.await_status(id, JobStatus::Canceled).await;
    until_the_record_is_deleted(&store, 3).await;
}

/// Failed before: a TaskManager that was thought lost was back first, and its tasks were adopted, though the next execution, of which
/// nobody had reported yet, may have deleted what they have written.
#[tokio::test]
async fn tasks_that_a_restart_has_replaced_are_not_adopted_though_all_are_there() {
    let store = MemoryRecords::default();
    let first = lead(&store, 1, LONG).await;
    let mut before = TaskManager::start(&first, "a", 1).await;
    let id = first.submit(shuffle(1, 1)).await;
    let deployed = before.next_submit().await;
    before.run(&deployed).await;
    first.await_status(id, JobStatus::Running).await;
    drop(first);
    change_record(&store, 2, id, |record| (record.execution, record.executions) = (1, vec![1; 2])).await;

    let second = lead(&store, 3, SHORT).await;
    let mut after = again(&second, &deployed).await;
    assert_eq!(offer(&mut after, &deployed, &[0, 1]).await, 1);
    let cancelled = before.next_cancel().await;
    assert_eq!(cancelled.attempt_ids.len(), 2);
    let ended = proto::SubmitTasksRequest { fence: cancelled.fence, ..deployed };
    after.report_all(&ended, Canceled).await;
    assert_eq!(before.next_submit().await.execution, 2);
}
