//! Which tasks a checkpoint begins at, and which it waits for.
use std::sync::Arc;

use wiesel_common::id::AttemptId;
use wiesel_common::topology;
use wiesel_proto::{ExecutionState, Partitioner};

use crate::jobmaster::execution_graph::{Execution, ExecutionGraph, TaskManagerLocation};

/// A task and where it runs.
#[derive(Clone, Debug)]
pub struct TaskRef {
    /// Its current attempt.
    pub attempt: AttemptId,
    /// Its TaskManager.
    pub location: Arc<TaskManagerLocation>,
    /// Under which registration that gave the slot.
    pub registration: u64,
}

impl TaskRef {
    /// None: it is in no slot.
    fn of(execution: &Execution) -> Option<Self> {
        let slot = execution.slot.as_ref()?;
        let (location, registration) = (Arc::clone(&slot.location), slot.since.registration);
        Some(Self { attempt: execution.attempt_id, location, registration })
    }
}

/// A task of a checkpoint.
#[derive(Clone, Debug)]
pub struct PlannedTask {
    /// Position of its vertex.
    pub vertex: usize,
    /// Which subtask.
    pub subtask: usize,
    /// Its attempt and place; none: it had ended before. Of one that ended under another JobMaster neither is known.
    pub task: Option<TaskRef>,
    /// It begins the checkpoint: no barrier will reach it. All its producers are silent, or all its inputs have ended: then a
    /// producer may yet take part that had sent its end before, and which sends it no barrier any more.
    pub trigger: bool,
}

impl PlannedTask {
    /// It had ended before.
    pub fn has_ended(&self) -> bool {
        self.task.is_none()
    }
}

/// The tasks of a checkpoint that begins now, by vertex and subtask; none: a task does not run.
pub fn plan(graph: &ExecutionGraph, after_tasks_finish: bool) -> Option<Vec<PlannedTask>> {
    let mut tasks = Vec::new();
    for (vertex, vertexes) in graph.vertices.iter().enumerate() {
        for (subtask, execution) in vertexes.subtasks.iter().enumerate() {
            let task = match execution.state {
                ExecutionState::Running => Some(TaskRef::of(execution)?),
                ExecutionState::Finished if after_tasks_finish => None,
                _ => return None,
            };
            tasks.push(PlannedTask { vertex, subtask, task, trigger: execution.end_of_data });
        }
    }
    if tasks.iter().all(PlannedTask::has_ended) {
        return None;
    }
    let mut silent = Silent::new(graph);
    for task in tasks.iter().filter(|task| task.has_ended()) {
        silent.add(task.vertex, task.subtask);
    }
    for task in &mut tasks {
        let cut_off = |task: &PlannedTask| silent.are_all_before(graph, task.vertex, task.subtask);
        task.trigger = !task.has_ended() && (task.trigger || cut_off(task));
    }
    Some(tasks)
}

/// Tasks that will send no barrier of a checkpoint, because they have ended. Tells which tasks no barrier can reach.
#[derive(Debug, Default)]
pub struct Silent {
    /// By vertex and subtask.
    tasks: Vec<Vec<bool>>,
    /// By vertex: how many are not. What all subtasks feed need not ask each of them.
    others: Vec<usize>,
}

impl Silent {
    /// None yet.
    pub fn new(graph: &ExecutionGraph) -> Self {
        let tasks: Vec<_> = graph.vertices.iter().map(|vertex| vec![false; vertex.subtasks.len()]).collect();
        Self { others: tasks.iter().map(Vec::len).collect(), tasks }
    }

    /// A task has ended.
    pub fn add(&mut self, vertex: usize, subtask: usize) {
        if !std::mem::replace(&mut self.tasks[vertex][subtask], true) {
            self.others[vertex] -= 1;
        }
    }

    /// Whether no barrier can reach a task: all that feed it are silent.
    pub fn are_all_before(&self, graph: &ExecutionGraph, vertex: usize, subtask: usize) -> bool {
        graph.graph.edges.iter().filter(|edge| edge.target as usize == vertex).all(|edge| {
            let producer = edge.source as usize;
            if !is_pointwise(edge.partitioner()) {
                return self.others[producer] == 0;
            }
            let (producers, consumers) = (self.tasks[producer].len() as u32, self.tasks[vertex].len() as u32);
            topology::producers(true, subtask as u32, producers, consumers)
                .all(|index| self.tasks[producer][index as usize])
        })
    }

    /// The tasks that no barrier may reach any more after this one has ended: vertices and subtasks.
    pub fn may_be_cut_off_by(&self, graph: &ExecutionGraph, vertex: usize, subtask: usize) -> Vec<(usize, usize)> {
        let mut tasks = Vec::new();
        for edge in graph.graph.edges.iter().filter(|edge| edge.source as usize == vertex) {
            let consumer = edge.target as usize;
            let (producers, consumers) = (self.tasks[vertex].len() as u32, self.tasks[consumer].len() as u32);
            let pointwise = is_pointwise(edge.partitioner());
            if pointwise || self.others[vertex] == 0 {
                let fed = topology::consumers(pointwise, subtask as u32, producers, consumers);
                tasks.extend(fed.map(|index| (consumer, index as usize)));
            }
        }
        tasks
    }
}

fn is_pointwise(partitioner: Partitioner) -> bool {
    matches!(partitioner, Partitioner::Forward | Partitioner::Rescale)
}
