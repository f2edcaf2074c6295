//! How a job failed, and how it ended.
use std::collections::HashMap;

use axum::extract::{Path, Query, State};
use serde_json::{Value, json};

use super::error::RestError;
use super::throwable::serialized_throwable;
use super::{Answer, Rest, jobs, json as answer};
use crate::jobmaster::exception_history::ExceptionEntry;
use crate::jobmaster::status::JobStatus;

/// How many failures are shown if the client does not say.
const DEFAULT_ENTRIES: usize = 20;

/// `GET /jobs/:jobid/exceptions`.
pub(super) async fn history(
    State(state): Rest,
    Path(id): Path<String>,
    Query(query): Query<HashMap<String, String>>,
) -> Answer {
    let limit = match query.get("maxExceptions") {
        None => DEFAULT_ENTRIES,
        Some(text) => text.parse().map_err(|_| RestError::bad_query("maxExceptions", text))?,
    };
    let job = jobs::find(&state, &id).await?;
    let entries: Vec<Value> = job.history.entries().take(limit).map(with_concurrent).collect();
    let truncated = job.history.is_truncated() || job.history.entries().count() > limit;
    answer(json!({ "exceptionHistory": { "entries": entries, "truncated": truncated } }))
}

fn with_concurrent(entry: &ExceptionEntry) -> Value {
    let mut value = exception(entry);
    value["concurrentExceptions"] = entry.concurrent.iter().map(exception).collect();
    value
}

fn exception(entry: &ExceptionEntry) -> Value {
    let mut value = json!({
        "exceptionName": entry.failure.class,
        "stacktrace": entry.failure.stack_trace(),
        "timestamp": entry.timestamp,
        "failureLabels": {},
    });
    if let Some(task) = &entry.task {
        value["taskName"] = json!(task.name);
        if let Some(location) = &task.location {
            value["endpoint"] = json!(location.data_address);
            value["taskManagerId"] = json!(location.resource_id);
        }
    }
    value
}

/// `GET /jobs/:jobid/execution-result`.
pub(super) async fn execution_result(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = jobs::find(&state, &id).await?;
    if !job.status.is_terminal() {
        return answer(json!({ "status": { "id": "IN_PROGRESS" } }));
    }
    let status = match job.status {
        JobStatus::Finished => "SUCCEEDED",
        JobStatus::Failed => "FAILED",
        JobStatus::Canceled => "CANCELED",
        _ => "UNKNOWN",
    };
    let mut result = json!({
        "id": job.job_id.to_string(),
        "name": job.name(),
        "application-status": status,
        "accumulator-results": {},
        "net-runtime": job.duration(job.end_time()),
        "application-id": job.job_id.to_string(),
        "start-time": job.start_time(),
        "end-time": job.end_time(),
    });
    if let Some(failure) = &job.failure {
        result["failure-cause"] = json!({
            "class": failure.class,
            "stack-trace": failure.stack_trace(),
            "serialized-throwable": serialized_throwable(failure),
        });
    }
    answer(json!({ "status": { "id": "COMPLETED" }, "job-execution-result": result }))
}
