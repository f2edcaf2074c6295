//! `GET /jobs/:jobid`.
use axum::extract::{Path, State};
use serde_json::{Map, Value, json};

use super::plan::plan_of;
use super::statistics::{io_metrics, state_counts};
use super::{Answer, Rest, jobs, json as answer};
use crate::jobmaster::JobInfo;
use crate::jobmaster::execution_graph::{ExecutionVertexes, is_terminal};
use crate::jobmaster::status::JobStatus;
use wiesel_proto::ExecutionState;

/// The job with its vertices.
pub(super) async fn details(State(state): Rest, Path(id): Path<String>) -> Answer {
    let job = jobs::find(&state, &id).await?;
    let now = state.clock.now_millis();
    let timestamps: Map<String, Value> =
        JobStatus::ALL.iter().map(|status| (status.name().to_owned(), json!(job.timestamps.get(*status)))).collect();
    let vertices: Vec<Value> = (0..job.graph.vertices.len()).map(|position| vertex(&job, position, now)).collect();
    let states: Vec<ExecutionState> = job.graph.vertices.iter().map(ExecutionVertexes::aggregate_state).collect();
    let mut details = json!({
        "jid": job.job_id.to_string(),
        "application-id": job.job_id.to_string(),
        "name": job.name(),
        "isStoppable": false,
        "state": job.status.name(),
        "job-type": "STREAMING",
        "schedulerType": "Default",
        "start-time": job.start_time(),
        "end-time": job.end_time(),
        "duration": job.duration(now),
        "maxParallelism": -1,
        "now": now,
        "timestamps": timestamps,
        "vertices": vertices,
        "status-counts": state_counts(states.iter()),
        "plan": plan_of(&job.graph.graph, job.job_id),
        "pending-operators": 0,
    });
    jobs::add_slot_shortage(&mut details, &job);
    answer(details)
}

fn vertex(job: &JobInfo, position: usize, now: i64) -> Value {
    let spec = &job.graph.graph.vertices[position];
    let vertex = &job.graph.vertices[position];
    let (start, end) = times(vertex);
    let duration = match (start, end) {
        (-1, _) => -1,
        (start, -1) => now - start,
        (start, end) => end - start,
    };
    json!({
        "id": vertex.id.to_string(),
        "slotSharingGroupId": group_id(job, vertex.group),
        "name": spec.name,
        "maxParallelism": spec.max_parallelism,
        "parallelism": spec.parallelism,
        "status": vertex.aggregate_state().as_str_name(),
        "start-time": start,
        "end-time": end,
        "duration": duration,
        "tasks": state_counts(vertex.subtasks.iter().map(|subtask| &subtask.state)),
        "metrics": io_metrics(vertex.subtasks.iter()),
    })
}

/// When the first subtask was deployed and the last one ended; -1: not yet.
fn times(vertex: &ExecutionVertexes) -> (i64, i64) {
    let deployed = |task: &crate::jobmaster::execution_graph::Execution| task.timestamp(ExecutionState::Deploying);
    let start = vertex.subtasks.iter().map(deployed).filter(|time| *time > 0).min().unwrap_or(-1);
    let over = vertex.subtasks.iter().all(|subtask| is_terminal(subtask.state));
    let end = vertex.subtasks.iter().map(|subtask| subtask.end_time()).max().unwrap_or(-1);
    (start, if over { end } else { -1 })
}

/// A stable id for a sharing group: the job's id with the group's number in its last bytes.
fn group_id(job: &JobInfo, group: usize) -> String {
    let mut id = job.job_id;
    for (byte, add) in id.0[12..].iter_mut().zip((group as u32 + 1).to_be_bytes()) {
        *byte = byte.wrapping_add(add);
    }
    id.to_string()
}
