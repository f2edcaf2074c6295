//! Which tasks a checkpoint begins at, and which it waits for.
use std::sync::Arc;

use wiesel_common::id::AttemptId;
use wiesel_common::topology;
use wiesel_proto::{ExecutionState, Partitioner};

use crate::jobmaster::execution_graph::{ExecutionGraph, TaskManagerLocation};

/// A task and where it runs.
#[derive(Clone, Debug)]
pub struct TaskRef {
    /// Its current attempt.
    pub attempt: AttemptId,
    /// Its TaskManager.
    pub location: Arc<TaskManagerLocation>,
}

/// A task of a checkpoint.
#[derive(Clone, Debug)]
pub struct PlannedTask {
    /// Position of its vertex.
    pub vertex: usize,
    /// Which subtask.
    pub subtask: usize,
    /// Its attempt and place.
    pub task: TaskRef,
    /// It had ended before.
    pub finished: bool,
    /// It begins the checkpoint: no barrier will reach it.
    pub trigger: bool,
}

/// The tasks of a checkpoint that begins now, by vertex and subtask; none: a task does not run.
pub fn plan(graph: &ExecutionGraph, after_tasks_finish: bool) -> Option<Vec<PlannedTask>> {
    let mut tasks = Vec::new();
    for (vertex, vertexes) in graph.vertices.iter().enumerate() {
        for (subtask, execution) in vertexes.subtasks.iter().enumerate() {
            let finished = match execution.state {
                ExecutionState::Running => false,
                ExecutionState::Finished if after_tasks_finish => true,
                _ => return None,
            };
            let location = Arc::clone(&execution.slot.as_ref()?.location);
            let task = TaskRef { attempt: execution.attempt_id, location };
            tasks.push(PlannedTask { vertex, subtask, task, finished, trigger: false });
        }
    }
    if tasks.iter().all(|task| task.finished) {
        return None;
    }
    let starts =
        begins_at(graph, |vertex, subtask| graph.vertices[vertex].subtasks[subtask].state == ExecutionState::Finished);
    for task in &mut tasks {
        task.trigger = !task.finished && starts(task.vertex, task.subtask);
    }
    Some(tasks)
}

/// Tells whether no barrier can reach a task: `silent` is true for tasks that will send none.
pub fn begins_at<'a>(
    graph: &'a ExecutionGraph,
    silent: impl Fn(usize, usize) -> bool + 'a,
) -> impl Fn(usize, usize) -> bool + 'a {
    move |vertex, subtask| {
        graph.graph.edges.iter().filter(|edge| edge.target as usize == vertex).all(|edge| {
            let producer = edge.source as usize;
            let count = |vertex: usize| graph.vertices[vertex].subtasks.len() as u32;
            topology::producers(is_pointwise(edge.partitioner()), subtask as u32, count(producer), count(vertex))
                .all(|index| silent(producer, index as usize))
        })
    }
}

fn is_pointwise(partitioner: Partitioner) -> bool {
    matches!(partitioner, Partitioner::Forward | Partitioner::Rescale)
}
