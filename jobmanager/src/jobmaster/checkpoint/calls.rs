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
use crate::gateway::{Attempts, TaskExecutors, describe};
use crate::jobmaster::execution_graph::TaskManagerLocation;

const NOTIFY_PAUSE: Duration = Duration::from_secs(1);

/// What all calls of a job carry.
#[derive(Clone)]
pub(in crate::jobmaster) struct Caller {
    pub(in crate::jobmaster) executors: TaskExecutors,
    pub(in crate::jobmaster) fence: LeaderSessionId,
    pub(in crate::jobmaster) job_id: JobId,
    pub(in crate::jobmaster) timeout: Duration,
    /// A TaskManager that stands still for so long is lost.
    pub(in crate::jobmaster) patience: Duration,
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
        let mut calls = Attempts::new(self.patience);
        loop {
            let mut request = tonic::Request::new(message.clone());
            request.set_timeout(self.timeout);
            let result = match self.executors.get(&location.rpc_address) {
                Ok(mut client) => client.notify_checkpoint(request).await.map(|_| ()),
                Err(status) => Err(status),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(status) if calls.are_over(&status) || status.code() == Code::FailedPrecondition => {
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

/// Tasks of one TaskManager.
pub(in crate::jobmaster) struct Told {
    pub(in crate::jobmaster) location: Arc<TaskManagerLocation>,
    /// Under which registration it gave the slots that they run in.
    pub(in crate::jobmaster) registration: u64,
    pub(in crate::jobmaster) attempts: Vec<AttemptId>,
}

/// Tasks by TaskManager. One that registered later under the same id is another one.
pub(in crate::jobmaster) fn by_task_manager(tasks: Vec<TaskRef>) -> Vec<Told> {
    let mut grouped: BTreeMap<(String, u64), Told> = BTreeMap::new();
    for TaskRef { attempt, location, registration } in tasks {
        let told = grouped.entry((location.resource_id.clone(), registration)).or_insert_with(|| Told {
            location,
            registration,
            attempts: Vec::new(),
        });
        told.attempts.push(attempt);
    }
    grouped.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: all tasks of an id were told in one call, and when that failed the one that had it by then was given up.
    #[test]
    fn each_call_is_to_one_registration_of_a_task_manager() {
        let task = |id: &str, registration, attempt| TaskRef {
            attempt: AttemptId([attempt; 16]),
            location: Arc::new(TaskManagerLocation {
                resource_id: id.into(),
                rpc_address: format!("{id}:{registration}"),
                data_address: String::new(),
                hostname: id.into(),
            }),
            registration,
        };
        let told = by_task_manager(vec![task("b", 3, 1), task("a", 2, 2), task("a", 1, 3), task("a", 2, 4)]);
        let told: Vec<(&str, u64, Vec<u8>)> = told
            .iter()
            .map(|told| {
                let attempts = told.attempts.iter().map(|attempt| attempt.0[0]).collect();
                (told.location.rpc_address.as_str(), told.registration, attempts)
            })
            .collect();
        assert_eq!(told, [("a:1", 1, vec![3]), ("a:2", 2, vec![2, 4]), ("b:3", 3, vec![1])]);
    }
}
