//! Checkpoints of a job: counts, history, configuration, details.
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use wiesel_common::config::options::checkpointing::{CheckpointRetention, CheckpointingMode};
use wiesel_common::config::saturating_millis;

use super::error::{RestError, vertex_id};
use super::{Answer, Rest, RestState, jobs, json as answer};
use crate::jobmaster::checkpoint::options::CheckpointOptions;
use crate::jobmaster::checkpoint::statistics::{
    CheckpointRecord, Status, SubtaskRecord, Summaries, Summary, Totals, VertexRecord, totals,
};
use crate::jobmaster::{CheckpointInfo, JobInfo};

/// What Flink shows for no interval.
const NEVER: i64 = i64::MAX;
const PERCENTILES: [(&str, f64); 5] = [("p50", 50.0), ("p90", 90.0), ("p95", 95.0), ("p99", 99.0), ("p999", 99.9)];

fn enabled(job: &JobInfo) -> Result<&CheckpointInfo, RestError> {
    job.checkpoints
        .as_ref()
        .ok_or_else(|| RestError::handler(StatusCode::NOT_FOUND, "Checkpointing has not been enabled."))
}

/// `GET /jobs/:jobid/checkpoints`.
pub(super) async fn overview(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = jobs::find(&state, &id).await?;
    let statistics = &enabled(&job)?.statistics;
    let now = state.clock.now_millis();
    let shown = |record: &Option<std::sync::Arc<CheckpointRecord>>| {
        record.as_ref().map_or(Value::Null, |record| checkpoint(record, now, false))
    };
    let restored = statistics.restored.as_ref().map_or(Value::Null, |restored| {
        json!({
            "id": restored.id,
            "restore_timestamp": restored.timestamp,
            "is_savepoint": restored.savepoint,
            "external_path": restored.external_path,
        })
    });
    let history: Vec<Value> = statistics.history.iter().map(|record| checkpoint(record, now, false)).collect();
    answer(json!({
        "counts": {
            "restored": statistics.restored_count,
            "total": statistics.total,
            "in_progress": statistics.in_progress,
            "completed": statistics.completed,
            "failed": statistics.failed,
        },
        "summary": summaries(&statistics.summaries),
        "latest": {
            "completed": shown(&statistics.latest_completed),
            "savepoint": shown(&statistics.latest_savepoint),
            "failed": shown(&statistics.latest_failed),
            "restored": restored,
        },
        "history": history,
    }))
}

fn summaries(all: &Summaries) -> Value {
    let buffered = Summary::of((0..all.duration.count()).map(|_| 0));
    json!({
        "checkpointed_size": summary(&all.checkpointed_size, true),
        "state_size": summary(&all.state_size, true),
        "end_to_end_duration": summary(&all.duration, true),
        "alignment_buffered": summary(&buffered, true),
        "processed_data": summary(&all.processed, true),
        "persisted_data": summary(&all.persisted, true),
    })
}

/// Flink keeps no percentiles over the subtasks of one checkpoint.
fn summary(summary: &Summary, percentiles: bool) -> Value {
    let (min, max, avg) = summary.range();
    let mut value = json!({ "min": min, "max": max, "avg": avg });
    for (name, percent) in PERCENTILES {
        let percentile = summary.percentile(percent).filter(|_| percentiles);
        value[name] = percentile.map_or_else(|| json!("NaN"), |percentile| json!(percentile));
    }
    value
}

/// A checkpoint; `tasks`: with its vertices.
fn checkpoint(record: &CheckpointRecord, now: i64, tasks: bool) -> Value {
    let totals = record.totals();
    let class = match record.status {
        Status::InProgress => "in_progress",
        Status::Completed => "completed",
        Status::Failed => "failed",
    };
    let mut value = json!({
        "className": class,
        "id": record.id,
        "status": status(record.status),
        "is_savepoint": record.kind.savepoint,
        "savepointFormat": savepoint_format(record),
        "trigger_timestamp": record.triggered,
        "checkpoint_type": checkpoint_type(record),
        "tasks": {},
    });
    add_totals(&mut value, &totals, record.duration(now));
    match record.status {
        Status::InProgress => {}
        Status::Completed => {
            value["external_path"] = json!(record.external_path);
            value["discarded"] = json!(record.discarded);
        }
        Status::Failed => {
            value["failure_timestamp"] = json!(record.failed);
            value["failure_message"] = json!(record.failure);
        }
    }
    if tasks {
        value["tasks"] =
            record.vertices.iter().map(|known| (known.id.to_string(), vertex(record, known, now))).collect();
    }
    value
}

fn status(status: Status) -> &'static str {
    match status {
        Status::InProgress => "IN_PROGRESS",
        Status::Completed => "COMPLETED",
        Status::Failed => "FAILED",
    }
}

fn savepoint_format(record: &CheckpointRecord) -> Value {
    match record.kind {
        kind if !kind.savepoint => Value::Null,
        kind if kind.native => json!("NATIVE"),
        _ => json!("CANONICAL"),
    }
}

fn checkpoint_type(record: &CheckpointRecord) -> &'static str {
    match record.kind {
        kind if kind.stop => "SYNC_SAVEPOINT",
        kind if kind.savepoint => "SAVEPOINT",
        _ if record.is_unaligned() => "UNALIGNED_CHECKPOINT",
        _ => "CHECKPOINT",
    }
}

fn add_totals(value: &mut Value, totals: &Totals, duration: i64) {
    value["latest_ack_timestamp"] = json!(totals.latest_ack);
    value["checkpointed_size"] = json!(totals.checkpointed_size);
    value["state_size"] = json!(totals.state_size);
    value["end_to_end_duration"] = json!(duration);
    value["alignment_buffered"] = json!(0);
    value["processed_data"] = json!(totals.processed);
    value["persisted_data"] = json!(totals.persisted);
    value["num_subtasks"] = json!(totals.subtasks);
    value["num_acknowledged_subtasks"] = json!(totals.acknowledged);
}

/// A vertex in a checkpoint.
fn vertex(record: &CheckpointRecord, vertex: &VertexRecord, now: i64) -> Value {
    let totals = totals(vertex.subtasks.iter().map(|(_, record)| record));
    let complete = totals.acknowledged == totals.subtasks;
    let state = if complete { Status::Completed } else { record.status };
    let end = if totals.latest_ack >= 0 { totals.latest_ack } else { now };
    let duration =
        if record.status == Status::Failed && !complete { record.duration(now) } else { end - record.triggered };
    let mut value = json!({ "id": record.id, "status": status(state) });
    add_totals(&mut value, &totals, duration.max(0));
    value
}

/// `GET /jobs/:jobid/checkpoints/config`.
pub(super) async fn config(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = jobs::find(&state, &id).await?;
    answer(configuration(&enabled(&job)?.options))
}

fn configuration(options: &CheckpointOptions) -> Value {
    let mode = if options.mode == CheckpointingMode::AtLeastOnce { "at_least_once" } else { "exactly_once" };
    json!({
        "mode": mode,
        "interval": options.interval_millis().unwrap_or(NEVER),
        "timeout": saturating_millis(options.timeout),
        "min_pause": saturating_millis(options.min_pause),
        "max_concurrent": options.max_concurrent,
        "externalization": {
            "enabled": options.retention != CheckpointRetention::NoExternalizedCheckpoints,
            "delete_on_cancellation": options.retention != CheckpointRetention::RetainOnCancellation,
        },
        "state_backend": options.state_backend,
        "checkpoint_storage": options.storage,
        "unaligned_checkpoints": options.unaligned_allowed(),
        "tolerable_failed_checkpoints": options.tolerable_failures,
        "aligned_checkpoint_timeout": saturating_millis(options.alignment_timeout),
        "checkpoints_after_tasks_finish": options.after_tasks_finish,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 600_000,
        "changelog_storage": "memory",
    })
}

/// The record in a path.
fn find<'a>(job: &'a JobInfo, text: &str) -> Result<&'a std::sync::Arc<CheckpointRecord>, RestError> {
    let id: u64 = text.parse().map_err(|_| RestError::bad_path("checkpointid", text))?;
    enabled(job)?.statistics.find(id).ok_or_else(|| {
        RestError::handler(
            StatusCode::NOT_FOUND,
            format!("Could not find checkpointing statistics for checkpoint {id}."),
        )
    })
}

/// `GET /jobs/:jobid/checkpoints/details/:checkpointid`.
pub(super) async fn details(State(state): Rest, Path((id, checkpoint_id)): Path<(String, String)>) -> Answer {
    let job = jobs::find(&state, &id).await?;
    answer(checkpoint(find(&job, &checkpoint_id)?, state.clock.now_millis(), true))
}

/// `GET /jobs/:jobid/checkpoints/details/:checkpointid/subtasks/:vertexid`.
pub(super) async fn subtasks(
    State(state): Rest,
    Path((id, checkpoint_id, vertexid)): Path<(String, String, String)>,
) -> Answer {
    let job = jobs::find(&state, &id).await?;
    let record = find(&job, &checkpoint_id)?;
    let vertexid = vertex_id(&vertexid)?;
    let known = record.vertices.iter().find(|vertex| vertex.id == vertexid).ok_or_else(|| {
        let message = format!("There is no checkpoint statistics for task {vertexid}.");
        RestError::handler(StatusCode::NOT_FOUND, message)
    })?;
    answer(subtasks_of(&state, record, known))
}

fn subtasks_of(state: &RestState, record: &CheckpointRecord, known: &VertexRecord) -> Value {
    let mut value = vertex(record, known, state.clock.now_millis());
    let acknowledged: Vec<&SubtaskRecord> = known.subtasks.iter().filter_map(|(_, record)| record.as_ref()).collect();
    let over =
        |of: &dyn Fn(&SubtaskRecord) -> u64| summary(&Summary::of(acknowledged.iter().map(|record| of(record))), false);
    let buffered = summary(&Summary::of([0]), true);
    value["summary"] = json!({
        "checkpointed_size": over(&|record| record.metrics.checkpointed_bytes),
        "state_size": over(&|record| record.metrics.state_bytes),
        "end_to_end_duration": over(&|known| (known.acknowledged - record.triggered).max(0) as u64),
        "checkpoint_duration": {
            "sync": over(&|record| record.metrics.sync_duration),
            "async": over(&|record| record.metrics.async_duration),
        },
        "alignment": {
            "buffered": buffered,
            "processed": over(&|record| record.metrics.processed_bytes),
            "persisted": over(&|record| record.metrics.persisted_bytes),
            "duration": over(&|record| record.metrics.alignment_duration),
        },
        "start_delay": over(&|record| record.metrics.start_delay),
    });
    value["subtasks"] = known.subtasks.iter().map(|(index, subtask)| subtask_of(record, *index, subtask)).collect();
    value
}

fn subtask_of(record: &CheckpointRecord, index: usize, subtask: &Option<SubtaskRecord>) -> Value {
    let Some(subtask) = subtask else {
        return json!({ "className": "pending", "index": index, "status": "pending_or_failed" });
    };
    let metrics = &subtask.metrics;
    json!({
        "className": "completed",
        "index": index,
        "ack_timestamp": subtask.acknowledged,
        "end_to_end_duration": (subtask.acknowledged - record.triggered).max(0),
        "checkpointed_size": metrics.checkpointed_bytes,
        "state_size": metrics.state_bytes,
        "checkpoint": { "sync": metrics.sync_duration, "async": metrics.async_duration },
        "alignment": {
            "buffered": 0,
            "processed": metrics.processed_bytes,
            "persisted": metrics.persisted_bytes,
            "duration": metrics.alignment_duration,
        },
        "start_delay": metrics.start_delay,
        "unaligned_checkpoint": metrics.unaligned,
        "aborted": false,
        "status": "completed",
    })
}
