//! Which tasks a JobMaster takes over that leads a job after another one: a decision from their reports, without I/O.
//!
//! A region of the job is adopted as it runs, or goes back to the last checkpoint. It is adopted if all its subtasks are there
//! with one execution: executions are numbered over all leaders of the job, and the tasks of one are deployed when those before
//! have ended or were given up, so that only the newest can be whole. Its tasks fit the checkpoint if they began with it, or have
//! handed over their state of it and gone on.
use std::collections::{BTreeMap, BTreeSet};

use wiesel_common::id::AttemptId;
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;
use wiesel_proto::operator_spec::Kind;

use super::execution_graph::ExecutionGraph;

/// A task as its TaskManager reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedTask {
    /// Its vertex, by position.
    pub vertex: usize,
    /// Which of the vertex's subtasks it is.
    pub subtask: usize,
    /// Its attempt.
    pub attempt: AttemptId,
    /// How many attempts there were before.
    pub attempt_number: u32,
    /// The execution that it was deployed with.
    pub execution: u32,
    /// The checkpoint that it began with; 0: none.
    pub restored: u64,
    /// Its state.
    pub state: ExecutionState,
    /// It has reached the end of its data.
    pub end_of_data: bool,
    /// It stays after that until a checkpoint is complete.
    pub awaits_checkpoint: bool,
    /// The newest checkpoint that it has handed over its state of; 0: none.
    pub checkpoint: u64,
    /// The events that it was sent after this checkpoint's snapshots are all known.
    pub events_complete_from: u64,
}

/// A report that is none of a task of the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a report of a task that the job does not have: subtask {subtask} of vertex {vertex}, in state {state}")]
pub struct NoSuchTask {
    vertex: u32,
    subtask: u32,
    state: i32,
}

impl ReportedTask {
    /// Reads a report.
    ///
    /// # Errors
    /// The job has no such task.
    pub fn read(report: &proto::TaskReport, graph: &ExecutionGraph) -> Result<Self, NoSuchTask> {
        let proto::TaskReport { vertex, subtask, state, .. } = *report;
        let subtasks = graph.vertices.get(vertex as usize).map_or(0, |vertex| vertex.subtasks.len());
        let known = AttemptId::from_bytes(&report.attempt_id).zip(ExecutionState::try_from(state).ok());
        let Some((attempt, known_state)) = known.filter(|_| (subtask as usize) < subtasks) else {
            return Err(NoSuchTask { vertex, subtask, state });
        };
        Ok(Self {
            vertex: vertex as usize,
            subtask: subtask as usize,
            attempt,
            attempt_number: report.attempt_number,
            execution: report.execution,
            restored: report.restored_checkpoint_id,
            state: known_state,
            end_of_data: report.end_of_data,
            awaits_checkpoint: report.awaits_checkpoint,
            checkpoint: report.checkpoint_id,
            events_complete_from: report.events_complete_from,
        })
    }

    /// It runs, or will, or has done all it had to.
    fn goes_on(&self) -> bool {
        matches!(
            self.state,
            ExecutionState::Deploying
                | ExecutionState::Initializing
                | ExecutionState::Running
                | ExecutionState::Finished
        )
    }
}

/// The checkpoint that the job would be restarted from.
#[derive(Clone, Copy)]
pub struct LastCheckpoint<'a> {
    /// Its number; 0: there is none, and the job would begin anew.
    pub id: u64,
    /// Whether it says of a subtask of a vertex, both by position, that it had finished.
    pub finished: &'a dyn Fn(usize, usize) -> bool,
}

/// What becomes of a region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// These tasks are all that there is to it, but for subtasks that had finished before the checkpoint. They go on.
    Adopted(Vec<ReportedTask>),
    /// It goes back to the checkpoint, and what is left of it ends.
    Restarts(Obstacle),
}

/// Why a region is not adopted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// Rows were on their way over the former JobMaster.
    #[error("rows that it collects for a client were on their way")]
    Collects,
    /// A TaskManager is gone, or the subtask was never deployed.
    #[error("subtask {subtask} of vertex {vertex} is missing")]
    Missing {
        /// By position.
        vertex: usize,
        /// Likewise.
        subtask: usize,
    },
    /// It has failed, or was cancelled.
    #[error("attempt {attempt} is {}", .state.as_str_name())]
    Ended {
        /// Which.
        attempt: AttemptId,
        /// Its state.
        state: ExecutionState,
    },
    /// The task is of another course of events than the checkpoint.
    #[error(
        "attempt {attempt} does not fit checkpoint {checkpoint}: it began with {restored} and has taken part up to {taken}"
    )]
    DoesNotFit {
        /// Which.
        attempt: AttemptId,
        /// The last one.
        checkpoint: u64,
        /// See [`ReportedTask::restored`].
        restored: u64,
        /// See [`ReportedTask::checkpoint`].
        taken: u64,
    },
    /// A coordinator could not go on from the checkpoint.
    #[error("not all events that attempt {0} was sent are known any more")]
    EventsUnknown(AttemptId),
    /// Two attempts of a subtask claim to be of one execution.
    #[error("subtask {subtask} of vertex {vertex} runs twice")]
    Twice {
        /// By position.
        vertex: usize,
        /// Likewise.
        subtask: usize,
    },
}

/// Decides for each region of the job, given all reports of its tasks.
pub fn decide(
    graph: &ExecutionGraph,
    checkpoint: LastCheckpoint<'_>,
    reports: &[ReportedTask],
) -> BTreeMap<usize, Verdict> {
    let collecting = collecting_regions(graph);
    let decide = |region: usize| {
        let verdict = match collecting.contains(&region) {
            true => Err(Obstacle::Collects),
            false => adopt(graph, region, checkpoint, reports),
        };
        (region, verdict.map_or_else(Verdict::Restarts, Verdict::Adopted))
    };
    graph.all_regions().into_iter().map(decide).collect()
}

/// Whether each subtask is accounted for: it is reported with the newest execution of its region of which there are reports, or had
/// finished before the checkpoint.
pub fn is_complete(graph: &ExecutionGraph, finished: &dyn Fn(usize, usize) -> bool, reports: &[ReportedTask]) -> bool {
    let mut newest: BTreeMap<usize, u32> = BTreeMap::new();
    for task in reports {
        let known = newest.entry(graph.regions[task.vertex]).or_default();
        *known = task.execution.max(*known);
    }
    let of_newest = |task: &&ReportedTask| newest.get(&graph.regions[task.vertex]) == Some(&task.execution);
    let reported: BTreeSet<_> = reports.iter().filter(of_newest).map(|task| (task.vertex, task.subtask)).collect();
    let known = |vertex, subtask| reported.contains(&(vertex, subtask)) || finished(vertex, subtask);
    let mut vertices = graph.vertices.iter().enumerate();
    vertices.all(|(vertex, known_of)| (0..known_of.subtasks.len()).all(|subtask| known(vertex, subtask)))
}

/// Of a region that is not adopted the attempts that are to end before others take their places: of each subtask that is reported the
/// one of the region's newest execution.
pub fn last_attempts(graph: &ExecutionGraph, region: usize, reports: &[ReportedTask]) -> Vec<ReportedTask> {
    let of_region = || reports.iter().filter(move |task| graph.regions[task.vertex] == region);
    let newest = of_region().map(|task| task.execution).max();
    let mut tasks: BTreeMap<(usize, usize), &ReportedTask> = BTreeMap::new();
    for task in of_region().filter(|task| Some(task.execution) == newest) {
        tasks.insert((task.vertex, task.subtask), task);
    }
    tasks.into_values().cloned().collect()
}

fn collecting_regions(graph: &ExecutionGraph) -> BTreeSet<usize> {
    let collects = |vertex: &proto::JobVertex| {
        vertex.operators.iter().any(|operator| matches!(operator.kind, Some(Kind::CollectSink(_))))
    };
    let vertices = graph.graph.vertices.iter().zip(&graph.regions);
    vertices.filter(|(vertex, _)| collects(vertex)).map(|(_, region)| *region).collect()
}

fn adopt(
    graph: &ExecutionGraph,
    region: usize,
    checkpoint: LastCheckpoint<'_>,
    reports: &[ReportedTask],
) -> Result<Vec<ReportedTask>, Obstacle> {
    let mut tasks = of_newest_execution(graph, region, reports)?;
    // Where the execution began with the last checkpoint all tasks were deployed, also those of which it says that they had finished.
    let restored = tasks.values().next().map(|task| task.restored);
    let began_with_it = restored == Some(checkpoint.id);
    let vertices = graph.regions.iter().enumerate().filter(|(_, known)| **known == region);
    let mut adopted = Vec::with_capacity(tasks.len());
    for vertex in vertices.map(|(vertex, _)| vertex) {
        for subtask in 0..graph.vertices[vertex].subtasks.len() {
            let had_finished = !began_with_it && (checkpoint.finished)(vertex, subtask);
            match tasks.remove(&(vertex, subtask)) {
                // All tasks of an execution began with the same.
                Some(task) if Some(task.restored) != restored => return Err(does_not_fit(task, checkpoint.id)),
                Some(task) => adopted.push(check(task, checkpoint.id, had_finished)?.clone()),
                None if had_finished => {}
                None => return Err(Obstacle::Missing { vertex, subtask }),
            }
        }
    }
    Ok(adopted)
}

/// The tasks of a region by vertex and subtask. One that is reported again is reported later.
fn of_newest_execution<'a>(
    graph: &ExecutionGraph,
    region: usize,
    reports: &'a [ReportedTask],
) -> Result<BTreeMap<(usize, usize), &'a ReportedTask>, Obstacle> {
    let of_region = || reports.iter().filter(move |task| graph.regions[task.vertex] == region);
    let newest = of_region().map(|task| task.execution).max();
    let mut tasks: BTreeMap<(usize, usize), &ReportedTask> = BTreeMap::new();
    for task in of_region().filter(|task| Some(task.execution) == newest) {
        let (vertex, subtask) = (task.vertex, task.subtask);
        if tasks.insert((vertex, subtask), task).is_some_and(|other| other.attempt != task.attempt) {
            return Err(Obstacle::Twice { vertex, subtask });
        }
    }
    Ok(tasks)
}

/// Whether a task goes on where the checkpoint has it, or has gone on from there. `had_finished`: before the checkpoint.
fn check(task: &ReportedTask, checkpoint: u64, had_finished: bool) -> Result<&ReportedTask, Obstacle> {
    let attempt = task.attempt;
    if !task.goes_on() {
        return Err(Obstacle::Ended { attempt, state: task.state });
    }
    let fits = task.restored == checkpoint || task.restored < checkpoint && task.checkpoint >= checkpoint;
    let has_finished_again = had_finished && task.state == ExecutionState::Finished;
    if !fits && !has_finished_again {
        return Err(does_not_fit(task, checkpoint));
    }
    if task.events_complete_from > checkpoint {
        return Err(Obstacle::EventsUnknown(attempt));
    }
    Ok(task)
}

fn does_not_fit(task: &ReportedTask, checkpoint: u64) -> Obstacle {
    let ReportedTask { attempt, restored, checkpoint: taken, .. } = *task;
    Obstacle::DoesNotFit { attempt, checkpoint, restored, taken }
}

#[cfg(test)]
#[path = "adoption_tests.rs"]
mod tests;
