//! Jobs: lists, states, cancellation.
use std::collections::HashMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use wiesel_common::id::JobId;

use super::error::{RestError, job_id};
use super::limits::{TriggerBody, content};
use super::plan::plan_of;
use super::{Answer, Rest, RestState, json as answer};
use crate::dispatcher::JobRef;
use crate::jobmaster::execution_graph::EXECUTION_STATES;
use crate::jobmaster::status::JobStatus;
use crate::jobmaster::{self, JobInfo};

/// The job in a path.
pub(super) async fn find(state: &RestState, id: &str) -> Result<Arc<JobInfo>, RestError> {
    let id = job_id(id)?;
    state.dispatcher.describe(id).await.ok_or_else(|| RestError::job_not_found(id))
}

/// `GET /jobs`.
pub(super) async fn list(State(state): Rest) -> Answer {
    let jobs = state.dispatcher.describe_all().await;
    let jobs: Vec<Value> =
        jobs.iter().map(|job| json!({ "id": job.job_id.to_string(), "status": job.status.name() })).collect();
    answer(json!({ "jobs": jobs }))
}

/// `GET /jobs/overview`.
pub(super) async fn overview(State(state): Rest) -> Answer {
    let now = state.clock.now_millis();
    let jobs = state.dispatcher.describe_all().await;
    let jobs: Vec<Value> = jobs.iter().map(|job| summary(job, now)).collect();
    answer(json!({ "jobs": jobs }))
}

/// A job in a list.
pub(super) fn summary(job: &JobInfo, now: i64) -> Value {
    let mut tasks = serde_json::Map::new();
    let mut total = 0;
    for state in EXECUTION_STATES {
        let count = job.graph.executions().filter(|execution| execution.state == state).count();
        total += count;
        tasks.insert(state.as_str_name().to_lowercase(), json!(count));
    }
    tasks.insert("total".into(), json!(total));
    let mut summary = json!({
        "jid": job.job_id.to_string(),
        "name": job.name(),
        "jobType": "STREAMING",
        "schedulerType": "Default",
        "start-time": job.start_time(),
        "end-time": job.end_time(),
        "duration": job.duration(now),
        "state": job.status.name(),
        "last-modification": job.last_modification,
        "tasks": tasks,
        "pending-operators": 0,
    });
    add_slot_shortage(&mut summary, job);
    summary
}

/// What a job waits for: Flink has no word for it, and its clients pass over what they do not know.
pub(super) fn add_slot_shortage(answer: &mut Value, job: &JobInfo) {
    if let Some(shortage) = &job.slot_shortage {
        answer["slots-required"] = json!(shortage.required);
        answer["slots-missing"] = json!(shortage.missing());
    }
}

/// `GET /jobs/:jobid/status`.
pub(super) async fn status(State(state): Rest, Path(id): Path<String>) -> Answer {
    answer(json!({ "status": find(&state, &id).await?.status.name() }))
}

/// `GET /jobs/:jobid/plan`.
pub(super) async fn plan(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = find(&state, &id).await?;
    answer(json!({ "plan": plan_of(&job.graph.graph, job.job_id) }))
}

/// `GET /jobs/:jobid/config`.
pub(super) async fn config(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = find(&state, &id).await?;
    let parallelism = job.graph.graph.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(1);
    answer(json!({
        "jid": job.job_id.to_string(),
        "name": job.name(),
        "execution-config": {
            "restart-strategy": job.restart_strategy,
            "job-parallelism": parallelism,
            "object-reuse-mode": job.object_reuse,
            "user-config": {},
        },
    }))
}

/// `GET /jobs/:jobid/accumulators`.
pub(super) async fn accumulators(State(state): Rest, Path(id): Path<String>) -> Answer {
    find(&state, &id).await?;
    answer(json!({
        "job-accumulators": [],
        "user-task-accumulators": [],
        "serialized-user-task-accumulators": {},
    }))
}

type Accepted = Result<(StatusCode, Json<Value>), RestError>;

/// `PATCH /jobs/:jobid?mode=cancel`.
pub(super) async fn cancel(
    State(state): Rest,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Accepted {
    match query.get("mode").map(|mode| (mode, mode.to_lowercase())) {
        None => {}
        Some((_, mode)) if mode == "cancel" => {}
        Some((_, mode)) if mode == "stop" => {
            return Err(RestError::handler(
                StatusCode::PERMANENT_REDIRECT,
                "The termination mode \"stop\" has been removed. For an ungraceful shutdown, please use \"cancel\" \
                 instead. For a graceful shutdown, please use \"jobs/:jobId/stop\" instead.",
            ));
        }
        Some((mode, _)) => return Err(RestError::bad_query("mode", mode)),
    }
    cancel_job(&state, job_id(&id)?).await
}

/// `GET /jobs/:jobid/yarn-cancel`: the button of the dashboard.
pub(super) async fn yarn_cancel(State(state): Rest, Path(id): Path<String>) -> Accepted {
    cancel_job(&state, job_id(&id)?).await
}

async fn cancel_job(state: &RestState, id: JobId) -> Accepted {
    let status = loop {
        match state.dispatcher.job(id).await {
            None => return Err(RestError::handler(StatusCode::NOT_FOUND, "Job could not be found.")),
            Some(JobRef::Archived(info)) => break info.status,
            Some(JobRef::Running(master)) => {
                if master.cancel().await {
                    return Ok((StatusCode::ACCEPTED, Json(json!({}))));
                }
                // It ended in this moment and is in the archive in the next.
                tokio::task::yield_now().await;
            }
        }
    };
    if status == JobStatus::Canceled {
        return Ok((StatusCode::ACCEPTED, Json(json!({}))));
    }
    Err(RestError::handler(
        StatusCode::CONFLICT,
        format!("Job cancellation failed because the job has already reached another terminal state ({status})."),
    ))
}

/// `PATCH /jobs/:jobid/clientHeartbeat`: the client of a job that is tied to it lives.
pub(super) async fn client_heartbeat(State(state): Rest, Path(id): Path<String>, body: TriggerBody) -> Accepted {
    let id = job_id(&id)?;
    let body = content(body)?;
    let bad_body = || RestError::bad_body("JobClientHeartbeatRequestBody");
    let body: Value = serde_json::from_slice(&body).map_err(|_| bad_body())?;
    // The client's clock may be another than this machine's: that it was heard of is what counts.
    body.get("expiredTimestamp").and_then(Value::as_i64).ok_or_else(bad_body)?;
    match state.dispatcher.job(id).await {
        None => Err(RestError::job_not_found(id)),
        Some(JobRef::Archived(_)) => Ok((StatusCode::ACCEPTED, Json(json!({})))),
        Some(JobRef::Running(master)) => {
            master.send(jobmaster::Message::ClientHeartbeat);
            Ok((StatusCode::ACCEPTED, Json(json!({}))))
        }
    }
}
