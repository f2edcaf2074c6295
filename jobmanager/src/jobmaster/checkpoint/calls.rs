//! Calls to tasks about checkpoints.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tonic::{Code, Status};
use wiesel_common::id::{AttemptId, JobId, LeaderSessionId};
use wiesel_proto as proto;

use super::failure::{CheckpointFailure, Reason};
use super::plan::TaskRef;
use crate::failure::{FailureInfo, INTERNAL};
use crate::gateway::{TaskExecutors, describe};
use crate::jobmaster::execution_graph::TaskManagerLocation;

/// How often a TaskManager is told what became of a checkpoint.
const NOTIFY_ATTEMPTS: u32 = 5;
const NOTIFY_PAUSE: Duration = Duration::from_secs(1);

/// What all calls of a job carry.
#[derive(Clone)]
pub(in crate::jobmaster) struct Caller {
    pub(in crate::jobmaster) executors: TaskExecutors,
    pub(in crate::jobmaster) fence: LeaderSessionId,
    pub(in crate::jobmaster) job_id: JobId,
    pub(in crate::jobmaster) timeout: Duration,
}

impl Caller {
    /// Tells tasks to begin a checkpoint, each by itself: one that has ended (its end is reported) holds up no other.
    pub(in crate::jobmaster) async fn trigger(
        self,
        tasks: Vec<TaskRef>,
        barrier: proto::CheckpointBarrier,
    ) -> Result<(), CheckpointFailure> {
        let calls = join_all(tasks.iter().map(|task| self.trigger_one(task, barrier.clone()))).await;
        calls.into_iter().collect()
    }

    async fn trigger_one(&self, task: &TaskRef, barrier: proto::CheckpointBarrier) -> Result<(), CheckpointFailure> {
        let mut request = tonic::Request::new(proto::TriggerCheckpointRequest {
            fence: self.fence.to_bytes(),
            job_id: self.job_id.to_bytes(),
            attempt_ids: vec![task.attempt.to_bytes()],
            barrier: Some(barrier),
        });
        request.set_timeout(self.timeout);
        let result = match self.executors.get(&task.location.rpc_address) {
            Ok(mut client) => client.trigger_checkpoint(request).await.map(|_| ()),
            Err(status) => Err(status),
        };
        match result {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(refused(task, &status)),
            Ok(()) => Ok(()),
        }
    }

    /// Tells a TaskManager what became of a checkpoint; it is asked again if it does not answer. An error: it never did.
    pub(in crate::jobmaster) async fn notify(
        self,
        location: Arc<TaskManagerLocation>,
        attempts: Vec<AttemptId>,
        checkpoint_id: u64,
        outcome: proto::CheckpointOutcome,
    ) -> Result<(), String> {
        let message = proto::NotifyCheckpointRequest {
            fence: self.fence.to_bytes(),
            job_id: self.job_id.to_bytes(),
            attempt_ids: attempts.into_iter().map(AttemptId::to_bytes).collect(),
            checkpoint_id,
            outcome: outcome as i32,
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let mut request = tonic::Request::new(message.clone());
            request.set_timeout(self.timeout);
            let result = match self.executors.get(&location.rpc_address) {
                Ok(mut client) => client.notify_checkpoint(request).await.map(|_| ()),
                Err(status) => Err(status),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(status) if attempt >= NOTIFY_ATTEMPTS || status.code() == Code::FailedPrecondition => {
                    return Err(describe(&status));
                }
                Err(_) => tokio::time::sleep(NOTIFY_PAUSE).await,
            }
        }
    }
}

fn refused(task: &TaskRef, status: &Status) -> CheckpointFailure {
    let message = format!("TaskManager {} did not take the trigger of a checkpoint.", task.location.resource_id);
    CheckpointFailure::because(Reason::TriggerFailure, FailureInfo::new(INTERNAL, message).because(describe(status)))
}

/// Tasks by TaskManager.
pub(in crate::jobmaster) fn by_task_manager(tasks: Vec<TaskRef>) -> Vec<(Arc<TaskManagerLocation>, Vec<AttemptId>)> {
    let mut grouped: BTreeMap<String, (Arc<TaskManagerLocation>, Vec<AttemptId>)> = BTreeMap::new();
    for task in tasks {
        let entry = grouped.entry(task.location.resource_id.clone());
        entry.or_insert_with(|| (Arc::clone(&task.location), Vec::new())).1.push(task.attempt);
    }
    grouped.into_values().collect()
}
