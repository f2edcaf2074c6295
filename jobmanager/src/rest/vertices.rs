//! Vertices of a job and their subtasks.
use std::sync::Arc;

use axum::extract::{Path, State};
use serde_json::{Map, Value, json};
use wiesel_proto::ExecutionState;

use super::error::{RestError, vertex_id};
use super::statistics::{aggregated, io_metrics, named, state_counts, status_durations};
use super::{Answer, Rest, RestState, jobs, json as answer};
use crate::jobmaster::JobInfo;
use crate::jobmaster::execution_graph::{Execution, ExecutionVertexes, is_terminal};

struct Vertex {
    job: Arc<JobInfo>,
    position: usize,
    now: i64,
}

impl Vertex {
    async fn find(state: &RestState, (job, vertex): (String, String)) -> Result<Self, RestError> {
        let job = jobs::find(state, &job).await?;
        let id = vertex_id(&vertex)?;
        let position = job.graph.vertices.iter().position(|known| known.id == id);
        let position = position.ok_or_else(|| RestError::vertex_not_found(id))?;
        Ok(Self { job, position, now: state.clock.now_millis() })
    }

    fn get(&self) -> &ExecutionVertexes {
        &self.job.graph.vertices[self.position]
    }

    /// What every answer begins with.
    fn head(&self) -> Value {
        json!({
            "id": self.get().id.to_string(),
            "name": self.job.graph.graph.vertices[self.position].name,
            "now": self.now,
        })
    }
}

fn endpoint(task: &Execution) -> String {
    task.slot.as_ref().map_or_else(|| "(unassigned)".into(), |slot| slot.location.data_address.clone())
}

/// Start, end and duration; -1 where not yet.
fn times(task: &Execution, now: i64) -> (i64, i64, i64) {
    let start = match task.timestamp(ExecutionState::Deploying) {
        0 => -1,
        time => time,
    };
    let end = task.end_time();
    let duration = if start < 0 { -1 } else { (if end < 0 { now } else { end }) - start };
    (start, end, duration)
}

/// `GET /jobs/:jobid/vertices/:vertexid`.
pub(super) async fn details(State(state): Rest, Path(path): Path<(String, String)>) -> Answer {
    let vertex = Vertex::find(&state, path).await?;
    let spec = &vertex.job.graph.graph.vertices[vertex.position];
    let subtasks: Vec<Value> = vertex
        .get()
        .subtasks
        .iter()
        .enumerate()
        .map(|(index, task)| {
            let (start, end, duration) = times(task, vertex.now);
            json!({
                "subtask": index,
                "status": task.state.as_str_name(),
                "attempt": task.attempt_number,
                "endpoint": endpoint(task),
                "start-time": start,
                "start_time": start,
                "end-time": end,
                "duration": duration,
                "metrics": io_metrics(std::iter::once(task)),
                "taskmanager-id": task.slot.as_ref().map_or("(unassigned)", |slot| &slot.location.resource_id),
                "status-duration": status_durations(task, vertex.now),
            })
        })
        .collect();
    let mut value = vertex.head();
    value["parallelism"] = json!(spec.parallelism);
    value["maxParallelism"] = json!(spec.max_parallelism);
    value["subtasks"] = Value::Array(subtasks);
    value["aggregated"] = aggregated(&vertex.get().subtasks.iter().collect::<Vec<_>>(), vertex.now);
    answer(value)
}

/// `GET /jobs/:jobid/vertices/:vertexid/subtasktimes`.
pub(super) async fn subtask_times(State(state): Rest, Path(path): Path<(String, String)>) -> Answer {
    let vertex = Vertex::find(&state, path).await?;
    let subtasks: Vec<Value> = vertex
        .get()
        .subtasks
        .iter()
        .enumerate()
        .map(|(index, task)| {
            let scheduled = task.timestamp(ExecutionState::Scheduled);
            let end = if task.end_time() < 0 { vertex.now } else { task.end_time() };
            json!({
                "subtask": index,
                "endpoint": endpoint(task),
                "duration": if scheduled > 0 { end - scheduled } else { -1 },
                "timestamps": named(|state| json!(task.timestamp(state))),
            })
        })
        .collect();
    let mut value = vertex.head();
    value["subtasks"] = Value::Array(subtasks);
    answer(value)
}

/// `GET /jobs/:jobid/vertices/:vertexid/taskmanagers`.
pub(super) async fn task_managers(State(state): Rest, Path(path): Path<(String, String)>) -> Answer {
    let vertex = Vertex::find(&state, path).await?;
    let mut groups: Vec<(String, Vec<&Execution>)> = Vec::new();
    for task in &vertex.get().subtasks {
        let id = task.slot.as_ref().map_or("(unassigned)", |slot| &slot.location.resource_id);
        match groups.iter_mut().find(|(known, _)| known == id) {
            Some((_, tasks)) => tasks.push(task),
            None => groups.push((id.to_owned(), vec![task])),
        }
    }
    let task_managers: Vec<Value> = groups.iter().map(|(id, tasks)| on_task_manager(id, tasks, &vertex)).collect();
    let mut value = vertex.head();
    value["taskmanagers"] = Value::Array(task_managers);
    answer(value)
}

fn on_task_manager(id: &str, tasks: &[&Execution], vertex: &Vertex) -> Value {
    let group = ExecutionVertexes {
        id: vertex.get().id,
        group: 0,
        subtasks: tasks.iter().map(|task| (*task).clone()).collect(),
    };
    let times: Vec<_> = tasks.iter().map(|task| times(task, vertex.now)).collect();
    let start = times.iter().map(|(start, _, _)| *start).filter(|start| *start >= 0).min().unwrap_or(-1);
    let over = tasks.iter().all(|task| is_terminal(task.state));
    let end = if over { times.iter().map(|(_, end, _)| *end).max().unwrap_or(-1) } else { -1 };
    let duration = if start < 0 { -1 } else { (if end < 0 { vertex.now } else { end }) - start };
    json!({
        "endpoint": endpoint(tasks[0]),
        "status": group.aggregate_state().as_str_name(),
        "start-time": start,
        "end-time": end,
        "duration": duration,
        "metrics": io_metrics(tasks.iter().copied()),
        "status-counts": state_counts(tasks.iter().map(|task| &task.state)),
        "taskmanager-id": id,
        "aggregated": aggregated(tasks, vertex.now),
    })
}

/// `GET /jobs/:jobid/vertices/:vertexid/watermarks`.
pub(super) async fn watermarks(State(state): Rest, Path(path): Path<(String, String)>) -> Answer {
    let vertex = Vertex::find(&state, path).await?;
    let watermarks = vertex.get().subtasks.iter().enumerate().map(|(index, task)| {
        json!({ "id": format!("{index}.currentInputWatermark"), "value": task.metrics.watermark.to_string() })
    });
    answer(watermarks.collect())
}

/// `GET /jobs/:jobid/vertices/:vertexid/accumulators`.
pub(super) async fn accumulators(State(state): Rest, Path(path): Path<(String, String)>) -> Answer {
    let vertex = Vertex::find(&state, path).await?;
    let mut value = Map::new();
    value.insert("id".into(), json!(vertex.get().id.to_string()));
    value.insert("user-accumulators".into(), json!([]));
    answer(Value::Object(value))
}
