//! The cluster as a whole.
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Value, json};

use super::error::{RestError, job_id};
use super::{Answer, FLINK_VERSION, Rest, jobs, json as answer};
use crate::application::info::{ApplicationInfo, ApplicationState};
use crate::jobmaster::JobInfo;
use crate::jobmaster::status::JobStatus;

/// `GET /overview`.
pub(super) async fn overview(State(state): Rest) -> Answer {
    let resources = state.resource_manager.describe().await;
    let jobs = state.dispatcher.describe_all().await;
    let count = |test: fn(JobStatus) -> bool| jobs.iter().filter(|job| test(job.status)).count();
    answer(json!({
        "taskmanagers": resources.task_managers.len(),
        "slots-total": resources.slots_total,
        "slots-available": resources.slots_free,
        "jobs-running": count(|status| !status.is_terminal()),
        "jobs-finished": count(|status| status == JobStatus::Finished),
        "jobs-cancelled": count(|status| status == JobStatus::Canceled),
        "jobs-failed": count(|status| status == JobStatus::Failed),
        "flink-version": FLINK_VERSION,
        "flink-commit": commit(),
    }))
}

fn commit() -> String {
    format!("wiesel-{}", env!("CARGO_PKG_VERSION"))
}

/// `GET /config`.
pub(super) async fn config(State(state): Rest) -> Answer {
    answer(json!({
        "refresh-interval": state.options.refresh_interval.as_millis() as u64,
        "timezone-name": "Coordinated Universal Time",
        "timezone-offset": 0,
        "flink-version": FLINK_VERSION,
        "flink-revision": format!("{} @ 1970-01-01T00:00:00Z", commit()),
        "features": {
            "web-submit": state.options.submit && state.options.application.is_none(),
            "web-cancel": state.options.cancel,
            "web-rescale": false,
            "web-history": false,
        },
    }))
}

/// `DELETE /cluster`.
pub(super) async fn shutdown(State(state): Rest) -> Answer {
    tracing::info!("shut down by a client");
    state.stop.cancel();
    answer(json!({}))
}

/// `GET /datasets`.
pub(super) async fn datasets() -> Answer {
    answer(json!({ "dataSets": [] }))
}

fn application_status(status: JobStatus) -> &'static str {
    match status {
        JobStatus::Initializing | JobStatus::Created => "CREATED",
        JobStatus::Running | JobStatus::Restarting | JobStatus::Suspended | JobStatus::Reconciling => "RUNNING",
        JobStatus::Failing => "FAILING",
        JobStatus::Failed => "FAILED",
        JobStatus::Cancelling => "CANCELING",
        JobStatus::Canceled => "CANCELED",
        JobStatus::Finished => "FINISHED",
    }
}

fn application_of(job: &JobInfo, now: i64) -> serde_json::Map<String, Value> {
    let fields = json!({
        "id": job.job_id.to_string(),
        "name": format!("SingleJobApplication({})", job.name()),
        "start-time": job.start_time(),
        "end-time": job.end_time(),
        "duration": job.duration(now),
        "status": application_status(job.status),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// The application of a cluster that is there for one: `since` is the state that Flink counts its time from.
fn application_of_cluster(info: &ApplicationInfo, since: ApplicationState, now: i64) -> serde_json::Map<String, Value> {
    let (start, end) = (info.entered(since), info.end_time());
    let duration = if end < 0 { now - start } else { end - start };
    let fields = json!({
        "id": info.id.to_string(),
        "name": info.name,
        "start-time": start,
        "end-time": end,
        "duration": duration.max(0),
        "status": info.state.name(),
    });
    fields.as_object().cloned().unwrap_or_default()
}

/// How many jobs are in each state.
fn states_of(jobs: &[Arc<JobInfo>]) -> Value {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for job in jobs {
        *counts.entry(job.status.name()).or_default() += 1;
    }
    json!(counts)
}

/// `GET /applications/overview`: that of the cluster, or every job as an application of its own.
pub(super) async fn applications(State(state): Rest) -> Answer {
    let now = state.clock.now_millis();
    let jobs = state.dispatcher.describe_all().await;
    if let Some(application) = &state.options.application {
        let mut application = application_of_cluster(&application.describe(), ApplicationState::Created, now);
        application.insert("jobs".into(), states_of(&jobs));
        return answer(json!({ "applications": [application] }));
    }
    let applications: Vec<Value> = jobs
        .iter()
        .map(|job| {
            let mut application = application_of(job, now);
            application.insert("jobs".into(), json!({ job.status.name(): 1 }));
            Value::Object(application)
        })
        .collect();
    answer(json!({ "applications": applications }))
}

fn details_of_application(info: &ApplicationInfo, jobs: &[Arc<JobInfo>], now: i64) -> Value {
    let mut application = application_of_cluster(info, ApplicationState::Running, now);
    let timestamps: BTreeMap<&str, i64> =
        ApplicationState::ALL.iter().map(|state| (state.name(), info.entered(*state))).collect();
    application.insert("timestamps".into(), json!(timestamps));
    let jobs: Vec<Value> = jobs.iter().map(|job| jobs::summary(job, now)).collect();
    application.insert("jobs".into(), Value::Array(jobs));
    Value::Object(application)
}

/// `GET /applications/:id`.
pub(super) async fn application(State(state): Rest, Path(id): Path<String>) -> Answer {
    let id = job_id(&id)?;
    let now = state.clock.now_millis();
    if let Some(application) = &state.options.application {
        let info = application.describe();
        if info.id.0 != id.0 {
            return Err(RestError::application_not_found(id));
        }
        let jobs = state.dispatcher.describe_all().await;
        return answer(details_of_application(&info, &jobs, now));
    }
    let job = state.dispatcher.describe(id).await.ok_or_else(|| RestError::job_not_found(id))?;
    let at = |status| job.timestamps.get(status);
    let mut application = application_of(&job, now);
    application.insert(
        "timestamps".into(),
        json!({
            "CREATED": at(JobStatus::Initializing),
            "RUNNING": at(JobStatus::Running),
            "FAILING": at(JobStatus::Failing),
            "FAILED": at(JobStatus::Failed),
            "CANCELING": at(JobStatus::Cancelling),
            "CANCELED": at(JobStatus::Canceled),
            "FINISHED": at(JobStatus::Finished),
        }),
    );
    application.insert("jobs".into(), json!([jobs::summary(&job, now)]));
    answer(Value::Object(application))
}
