//! Calls from a JobMaster to TaskExecutors.
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use wiesel_common::fault;
use wiesel_common::id::{AllocationId, AttemptId, JobId, LeaderSessionId};
use wiesel_common::rpc::{MAX_DEPLOYMENT_BYTES, is_answer};
use wiesel_proto as proto;

use super::deployment_plan::{Share, SharedPart};
use crate::failure::FailureInfo;
use crate::gateway::{Attempts, TaskExecutors, describe};
use crate::jobmaster::execution_graph::TaskManagerLocation;

const CANCEL_PAUSE: Duration = Duration::from_secs(1);

/// Why a TaskManager may not run its tasks, or not all of them.
pub(super) struct NotDeployed {
    pub(super) failure: FailureInfo,
    /// Slots that it does not hold for the job.
    pub(super) missing_slots: Vec<AllocationId>,
}

/// What a TaskManager answered to a cancellation.
pub(super) struct Cancelled {
    /// Attempts that do not run there.
    pub(super) gone: Vec<AttemptId>,
    /// Attempts that it has, and will say the end of.
    pub(super) ending: Vec<AttemptId>,
    /// How many reports of counters it had made.
    pub(super) reports: u64,
}

/// Gives a TaskManager its tasks, in as many calls as their size asks for, one after the other. Returns how many reports of counters
/// it had made when it had them all.
pub(super) async fn submit_share(
    executors: &TaskExecutors,
    shared: &SharedPart,
    share: Share,
    timeout: Duration,
) -> Result<u64, NotDeployed> {
    let Share { location, receiver, tasks } = share;
    let parts = shared.cut(&location, tasks, MAX_DEPLOYMENT_BYTES).map_err(|error| NotDeployed {
        // The next attempt would start from the same state.
        failure: FailureInfo { fatal: true, ..FailureInfo::new("java.io.IOException", error.to_string()) },
        missing_slots: Vec::new(),
    })?;
    let mut reports = 0;
    for tasks in parts {
        reports = submit_tasks(executors, &location, shared.request(receiver, tasks), timeout).await?;
        fault::point("deployment.between-calls");
    }
    Ok(reports)
}

async fn submit_tasks(
    executors: &TaskExecutors,
    location: &TaskManagerLocation,
    request: proto::SubmitTasksRequest,
    timeout: Duration,
) -> Result<u64, NotDeployed> {
    let mut request = tonic::Request::new(request);
    request.set_timeout(timeout);
    let result = match executors.get(&location.rpc_address) {
        Ok(mut client) => client.submit_tasks(request).await.map(|answer| answer.into_inner().reports),
        Err(status) => Err(status),
    };
    result.map_err(|status| {
        let failure = if is_refusal(&status) {
            // The TaskManager says what is missing; that is the message. A plan that it cannot read stays as it is.
            let fatal = matches!(status.code(), Code::InvalidArgument | Code::OutOfRange);
            FailureInfo { fatal, ..FailureInfo::new("java.io.IOException", status.message()) }
        } else {
            let message = format!("Could not deploy tasks to TaskManager {}.", location.resource_id);
            FailureInfo::new(crate::failure::INTERNAL, message).because(describe(&status))
        };
        NotDeployed { failure, missing_slots: missing_slots(&status) }
    })
}

fn missing_slots(status: &Status) -> Vec<AllocationId> {
    let missing = proto::MissingSlots::decode(status.details()).unwrap_or_default();
    missing.allocation_ids.iter().filter_map(|bytes| AllocationId::from_bytes(bytes)).collect()
}

fn is_refusal(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::ResourceExhausted
            | Code::InvalidArgument
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::Internal
            | Code::Aborted
    ) && !status.message().is_empty()
        && is_answer(status)
}

/// Tells a TaskManager to cancel tasks. An error: it could not be told.
pub(super) async fn cancel_tasks(
    executors: TaskExecutors,
    location: Arc<TaskManagerLocation>,
    fence: LeaderSessionId,
    job: JobId,
    attempts: Vec<AttemptId>,
    timeout: Duration,
    mut calls: Attempts,
) -> Result<Cancelled, String> {
    let message = proto::CancelTasksRequest {
        fence: fence.to_bytes(),
        job_id: job.to_bytes(),
        attempt_ids: attempts.iter().map(|attempt| attempt.to_bytes()).collect(),
    };
    loop {
        let mut request = tonic::Request::new(message.clone());
        request.set_timeout(timeout);
        let result = match executors.get(&location.rpc_address) {
            Ok(mut client) => client.cancel_tasks(request).await.map(tonic::Response::into_inner),
            Err(status) => Err(status),
        };
        match result {
            Ok(answer) => {
                let gone = answer.not_running.iter().filter_map(|bytes| AttemptId::from_bytes(bytes));
                let gone: HashSet<AttemptId> = gone.collect();
                let (gone, ending) = attempts.into_iter().partition(|attempt| gone.contains(attempt));
                return Ok(Cancelled { gone, ending, reports: answer.reports });
            }
            Err(status) if calls.are_over(&status) => return Err(describe(&status)),
            Err(_) => tokio::time::sleep(CANCEL_PAUSE).await,
        }
    }
}
