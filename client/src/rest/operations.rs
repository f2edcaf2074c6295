//! What the JobManager works on for a while: savepoints, checkpoints, disposals. Each is triggered by one call and asked
//! after by others.
use serde_json::{Value, json};
use wiesel_common::id::JobId;

use super::{Error, RestClient, Result};

/// An operation that was triggered.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The trigger id.
    pub id: String,
    status: String,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationEnd {
    /// With what the JobManager says of it: `location`, `checkpointId`.
    Done(Value),
    /// With the chain of causes.
    Failed(String),
}

impl RestClient {
    /// Triggers a savepoint into a folder, or into `execution.checkpointing.savepoint-dir`. `cancel`: the job is
    /// cancelled once it is complete.
    pub async fn trigger_savepoint(
        &self,
        job: JobId,
        directory: Option<&str>,
        cancel: bool,
        format: &str,
    ) -> Result<Operation> {
        let body =
            json!({"target-directory": directory, "cancel-job": cancel, "formatType": format, "triggerId": null});
        let path = format!("/v1/jobs/{job}/savepoints");
        self.trigger(&path, &path, &body).await
    }

    /// Triggers a savepoint with which the job ends. `drain`: event time is brought to its end before.
    pub async fn trigger_stop(
        &self,
        job: JobId,
        directory: Option<&str>,
        drain: bool,
        format: &str,
    ) -> Result<Operation> {
        let body = json!({"targetDirectory": directory, "drain": drain, "formatType": format, "triggerId": null});
        self.trigger(&format!("/v1/jobs/{job}/stop"), &format!("/v1/jobs/{job}/savepoints"), &body).await
    }

    /// Triggers a checkpoint: `CONFIGURED`, `FULL` or `INCREMENTAL`.
    pub async fn trigger_checkpoint(&self, job: JobId, kind: &str) -> Result<Operation> {
        let path = format!("/v1/jobs/{job}/checkpoints");
        self.trigger(&path, &path, &json!({"checkpointType": kind, "triggerId": null})).await
    }

    /// Has a savepoint removed.
    pub async fn trigger_disposal(&self, savepoint: &str) -> Result<Operation> {
        let path = "/v1/savepoint-disposal";
        self.trigger(path, path, &json!({"savepoint-path": savepoint})).await
    }

    /// How an operation ended; none: it is under way.
    pub async fn outcome(&self, operation: &Operation) -> Result<Option<OperationEnd>> {
        let answer: Value = self.get(&operation.status).await?;
        if answer["status"]["id"] != "COMPLETED" {
            return Ok(None);
        }
        let result = &answer["operation"];
        let failure = ["failure-cause", "failureCause"].iter().map(|key| &result[*key]).find(|cause| !cause.is_null());
        Ok(Some(match failure {
            None => OperationEnd::Done(result.clone()),
            Some(cause) => {
                let text = cause["stack-trace"].as_str().or_else(|| cause["class"].as_str());
                OperationEnd::Failed(text.unwrap_or("the JobManager gave no cause").trim_end().to_owned())
            }
        }))
    }

    /// How far the checkpoint or savepoint under way has come: its id, how many subtasks have acknowledged, of how many.
    pub async fn checkpoint_in_progress(&self, job: JobId) -> Result<Option<(u64, u64, u64)>> {
        let answer: Value = self.get(&format!("/v1/jobs/{job}/checkpoints")).await?;
        let history = answer["history"].as_array().into_iter().flatten();
        let mut running = history.filter(|checkpoint| checkpoint["status"] == "IN_PROGRESS");
        Ok(running.next().and_then(|checkpoint| {
            let number = |key: &str| checkpoint[key].as_u64();
            Some((number("id")?, number("num_acknowledged_subtasks")?, number("num_subtasks")?))
        }))
    }

    /// Where a complete checkpoint is, if a job can start from it later: not if it goes with its own job.
    pub async fn retained_checkpoint(&self, job: JobId, checkpoint: u64) -> Result<Option<String>> {
        let configuration: Value = self.get(&format!("/v1/jobs/{job}/checkpoints/config")).await?;
        if configuration["externalization"]["enabled"] != true {
            return Ok(None);
        }
        let answer: Value = self.get(&format!("/v1/jobs/{job}/checkpoints")).await?;
        let mut history = answer["history"].as_array().into_iter().flatten();
        let path = history.find(|other| other["id"] == checkpoint).and_then(|found| found["external_path"].as_str());
        // What is kept in memory has a note in place of a path.
        Ok(path.filter(|path| path.contains('/')).map(str::to_owned))
    }

    async fn trigger(&self, path: &str, status: &str, body: &Value) -> Result<Operation> {
        let answer = self.send(path, self.http.post(self.url(path)).json(body)).await;
        let answer: Value = answer.map_err(|error: Error| {
            error.or_perhaps(|| "It may be under way all the same: the log of the JobManager says so.".to_owned())
        })?;
        let id = answer["request-id"].as_str().ok_or_else(|| self.unexpected(path, "no `request-id`"))?;
        Ok(Operation { id: id.to_owned(), status: format!("{status}/{id}") })
    }
}
