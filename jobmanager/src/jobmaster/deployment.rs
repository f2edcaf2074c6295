//! Calls from a JobMaster to TaskExecutors.
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use wiesel_common::id::{AllocationId, AttemptId, JobId, LeaderSessionId};
use wiesel_common::rpc::{MAX_DEPLOYMENT_BYTES, is_answer};
use wiesel_proto as proto;

use super::deployment_plan::{Share, SharedPart};
use crate::failure::FailureInfo;
use crate::gateway::{TaskExecutors, describe};
use crate::jobmaster::execution_graph::TaskManagerLocation;

/// How often a cancellation is sent again before its TaskManager counts as lost.
const CANCEL_ATTEMPTS: u32 = 5;
const CANCEL_PAUSE: Duration = Duration::from_secs(1);

/// Why a TaskManager may not run its tasks, or not all of them.
pub(super) struct NotDeployed {
    pub(super) failure: FailureInfo,
    /// Slots that it does not hold for the job.
    pub(super) missing_slots: Vec<AllocationId>,
}

/// Gives a TaskManager its tasks, in as many calls as their size asks for, one after the other.
pub(super) async fn submit_share(
    executors: &TaskExecutors,
    shared: &SharedPart,
    share: Share,
    timeout: Duration,
) -> Result<(), NotDeployed> {
    let Share { location, receiver, tasks } = share;
    let parts = shared.cut(&location, tasks, MAX_DEPLOYMENT_BYTES).map_err(|error| NotDeployed {
        // The next attempt would start from the same state.
        failure: FailureInfo { fatal: true, ..FailureInfo::new("java.io.IOException", error.to_string()) },
        missing_slots: Vec::new(),
    })?;
    for tasks in parts {
        submit_tasks(executors, &location, shared.request(receiver, tasks), timeout).await?;
    }
    Ok(())
}

async fn submit_tasks(
    executors: &TaskExecutors,
    location: &TaskManagerLocation,
    request: proto::SubmitTasksRequest,
    timeout: Duration,
) -> Result<(), NotDeployed> {
    let mut request = tonic::Request::new(request);
    request.set_timeout(timeout);
    let result = match executors.get(&location.rpc_address) {
        Ok(mut client) => client.submit_tasks(request).await.map(|_| ()),
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

/// Tells a TaskManager to cancel tasks. Returns those that do not run there. An error: it could not be told.
pub(super) async fn cancel_tasks(
    executors: TaskExecutors,
    location: Arc<TaskManagerLocation>,
    fence: LeaderSessionId,
    job: JobId,
    attempts: Vec<AttemptId>,
    timeout: Duration,
) -> Result<Vec<AttemptId>, String> {
    let message = proto::CancelTasksRequest {
        fence: fence.to_bytes(),
        job_id: job.to_bytes(),
        attempt_ids: attempts.into_iter().map(AttemptId::to_bytes).collect(),
    };
    let mut attempt = 0;
    loop {
        attempt += 1;
        let mut request = tonic::Request::new(message.clone());
        request.set_timeout(timeout);
        let result = match executors.get(&location.rpc_address) {
            Ok(mut client) => client.cancel_tasks(request).await.map(tonic::Response::into_inner),
            Err(status) => Err(status),
        };
        match result {
            Ok(answer) => {
                return Ok(answer.not_running.iter().filter_map(|bytes| AttemptId::from_bytes(bytes)).collect());
            }
            Err(status) if attempt >= CANCEL_ATTEMPTS => return Err(describe(&status)),
            Err(_) => tokio::time::sleep(CANCEL_PAUSE).await,
        }
    }
}
