//! A checkpoint under way.
use std::collections::HashMap;
use std::sync::Arc;

use wiesel_common::id::AttemptId;
use wiesel_proto as proto;
use wiesel_state::storage::files_of_task;

use super::action::Request;
use super::assignment::states;
use super::cleaning::Garbage;
use super::plan::{PlannedTask, Silent, TaskRef};
use crate::jobmaster::execution_graph::ExecutionGraph;

/// How far a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Enumerators are asked for their state.
    Preparing,
    /// Tasks are told to begin; assignments of splits are held back.
    Triggering,
    /// Tasks write their state.
    Waiting,
    /// All is there, the metadata is being written.
    Finalizing,
}

struct PendingTask {
    planned: PlannedTask,
    /// What it handed over.
    state: Option<proto::TaskState>,
    /// It ended during the checkpoint, without a word about it: all that it did was before.
    ended: bool,
}

impl PendingTask {
    fn is_missing(&self) -> bool {
        !self.planned.has_ended() && !self.ended && self.state.is_none()
    }
}

/// See the module.
pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) barrier: proto::CheckpointBarrier,
    pub(super) deadline: i64,
    /// How far the wall clock was ahead when it began, in milliseconds.
    pub(super) wall_offset: i64,
    pub(super) stage: Stage,
    pub(super) coordinators: Vec<proto::CoordinatorState>,
    /// What is being written; none before that.
    pub(super) metadata: Option<Arc<proto::CheckpointMetadata>>,
    /// Tasks that are to be told to begin.
    pub(super) to_trigger: Vec<TaskRef>,
    /// Calls to tasks that were not answered yet.
    pub(super) calls: usize,
    /// By vertex and subtask.
    tasks: Vec<PendingTask>,
    /// Where a vertex's tasks begin.
    first_of_vertex: Vec<usize>,
    silent: Silent,
    by_attempt: HashMap<AttemptId, usize>,
    missing: usize,
}

impl Pending {
    pub(super) fn new(request: Request, barrier: proto::CheckpointBarrier, deadline: i64, wall_offset: i64) -> Self {
        Self {
            request,
            barrier,
            deadline,
            wall_offset,
            stage: Stage::Preparing,
            coordinators: Vec::new(),
            metadata: None,
            to_trigger: Vec::new(),
            calls: 0,
            tasks: Vec::new(),
            first_of_vertex: Vec::new(),
            silent: Silent::default(),
            by_attempt: HashMap::new(),
            missing: 0,
        }
    }

    /// The tasks are chosen; those at which the checkpoint begins are to be told.
    pub(super) fn plan(&mut self, tasks: Vec<PlannedTask>, graph: &ExecutionGraph) {
        self.silent = Silent::new(graph);
        self.first_of_vertex.clear();
        for (position, task) in tasks.iter().enumerate() {
            if task.subtask == 0 {
                self.first_of_vertex.push(position);
            }
            if task.has_ended() {
                self.silent.add(task.vertex, task.subtask);
            }
        }
        let running = tasks.iter().enumerate().filter_map(|(position, task)| Some((task.task.as_ref()?, position)));
        self.by_attempt = running.map(|(task, position)| (task.attempt, position)).collect();
        self.missing = tasks.iter().filter(|task| !task.has_ended()).count();
        self.to_trigger = tasks.iter().filter(|task| task.trigger).filter_map(|task| task.task.clone()).collect();
        self.tasks = tasks.into_iter().map(|planned| PendingTask { planned, state: None, ended: false }).collect();
    }

    /// What there may be of it once it has failed.
    pub(super) fn garbage(&self) -> Garbage {
        match &self.metadata {
            Some(metadata) if self.request.savepoint().is_none() => Garbage::Unfinished(Arc::clone(metadata)),
            _ => Garbage::Failed {
                barrier: self.barrier.clone(),
                files: self.states().flat_map(files_of_task).collect(),
            },
        }
    }

    /// All that were not over when it began.
    pub(super) fn participants(&self) -> Vec<TaskRef> {
        self.tasks.iter().filter_map(|task| task.planned.task.clone()).collect()
    }

    /// A task's vertex and subtask.
    pub(super) fn position(&self, attempt: AttemptId) -> Option<(usize, usize)> {
        let planned = &self.tasks[*self.by_attempt.get(&attempt)?].planned;
        Some((planned.vertex, planned.subtask))
    }

    /// Takes a task's state. False: it is not wanted, or it is there already.
    pub(super) fn acknowledge(&mut self, attempt: AttemptId, state: &proto::TaskState) -> bool {
        let Some(task) = self.by_attempt.get(&attempt).map(|position| &mut self.tasks[*position]) else { return false };
        if !task.is_missing() {
            return false;
        }
        task.state = Some(state.clone());
        self.missing -= 1;
        true
    }

    /// Whether a task handed over its state.
    pub(super) fn has_state_of(&self, attempt: AttemptId) -> bool {
        self.by_attempt.get(&attempt).is_some_and(|position| self.tasks[*position].state.is_some())
    }

    /// A task has reached the end of its data. If it has not begun, no barrier has come to it, and none will: it is to begin.
    /// If it has, and its state is on its way, it takes no notice.
    pub(super) fn end_of_data(&mut self, attempt: AttemptId) {
        let Some(task) = self.by_attempt.get(&attempt).map(|position| &mut self.tasks[*position]) else { return };
        if task.is_missing() && !task.planned.trigger {
            task.planned.trigger = true;
            self.to_trigger.extend(task.planned.task.clone());
        }
    }

    /// A task ended. The tasks that no barrier will reach because of that are to begin, too.
    pub(super) fn ended(&mut self, attempt: AttemptId, graph: &ExecutionGraph) {
        let Some(position) = self.by_attempt.get(&attempt).copied() else { return };
        if !self.tasks[position].is_missing() {
            return;
        }
        self.tasks[position].ended = true;
        self.missing -= 1;
        let (vertex, subtask) = (self.tasks[position].planned.vertex, self.tasks[position].planned.subtask);
        self.silent.add(vertex, subtask);
        for (vertex, subtask) in self.silent.may_be_cut_off_by(graph, vertex, subtask) {
            let task = &mut self.tasks[self.first_of_vertex[vertex] + subtask];
            if task.is_missing() && !task.planned.trigger && self.silent.are_all_before(graph, vertex, subtask) {
                task.planned.trigger = true;
                self.to_trigger.extend(task.planned.task.clone());
            }
        }
    }

    /// Everything that is needed is there.
    pub(super) fn is_complete(&self) -> bool {
        self.stage == Stage::Waiting && !self.is_being_told() && self.missing == 0
    }

    /// Not all tasks that are to be told to begin have been.
    pub(super) fn is_being_told(&self) -> bool {
        self.calls > 0 || !self.to_trigger.is_empty()
    }

    /// Whether a task is told to begin, and may not have heard of it yet.
    pub(super) fn may_be_unknown_to(&self, attempt: AttemptId) -> bool {
        let begins = |position: &usize| self.tasks[*position].planned.trigger;
        self.is_being_told() && self.by_attempt.get(&attempt).is_some_and(begins)
    }

    /// No task took part: all ended.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.iter().all(|task| task.state.is_none())
    }

    /// What was handed over, when nothing will come of it.
    pub(super) fn states(&self) -> impl Iterator<Item = &proto::TaskState> {
        self.tasks.iter().filter_map(|task| task.state.as_ref())
    }

    /// The vertices as the metadata has them.
    pub(super) fn vertices(&self, graph: &proto::JobGraph) -> Vec<proto::VertexState> {
        let mut vertices: Vec<proto::VertexState> = graph.vertices.iter().map(describe).collect();
        for task in &self.tasks {
            let state = task.state.clone().unwrap_or(proto::TaskState { finished: true, ..Default::default() });
            vertices[task.planned.vertex].subtasks.push(state);
        }
        vertices.iter_mut().for_each(|vertex| self.note_states(vertex));
        vertices
    }

    /// Notes what each operator has, so that a reader sees if something is missing.
    fn note_states(&self, vertex: &mut proto::VertexState) {
        let mut by_operator: HashMap<&[u8], Vec<&proto::OperatorSubtaskState>> = HashMap::new();
        for state in vertex.subtasks.iter().flat_map(|subtask| &subtask.operators) {
            by_operator.entry(&state.uid).or_default().push(state);
        }
        for operator in &mut vertex.operators {
            let found = by_operator.remove(&operator.uid[..]).unwrap_or_default();
            let enumerator = self.coordinators.iter().any(|coordinator| coordinator.uid == operator.uid);
            operator.states = Some(proto::OperatorStates { enumerator, ..states(found.into_iter()) });
        }
    }
}

fn describe(vertex: &proto::JobVertex) -> proto::VertexState {
    let operators = vertex.operators.iter().map(|operator| proto::OperatorName {
        uid: operator.uid.clone(),
        name: operator.name.clone(),
        states: None,
    });
    proto::VertexState {
        vertex_id: vertex.id.clone(),
        name: vertex.name.clone(),
        parallelism: vertex.parallelism,
        max_parallelism: vertex.max_parallelism,
        operators: operators.collect(),
        subtasks: Vec::with_capacity(vertex.parallelism as usize),
    }
}
