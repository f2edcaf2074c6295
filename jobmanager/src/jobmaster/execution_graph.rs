//! The tasks of a job and the states they are in.
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use wiesel_common::id::{AllocationId, AttemptId, JobId, VertexId};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use crate::failure::FailureInfo;

/// Every state of a task, in the order of their numbers.
pub const EXECUTION_STATES: [ExecutionState; 10] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
    ExecutionState::Finished,
    ExecutionState::Canceling,
    ExecutionState::Canceled,
    ExecutionState::Failed,
    ExecutionState::Reconciling,
];

/// Whether a task in this state is over.
pub fn is_terminal(state: ExecutionState) -> bool {
    matches!(state, ExecutionState::Finished | ExecutionState::Canceled | ExecutionState::Failed)
}

/// Where tasks run: a TaskManager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskManagerLocation {
    /// Its resource id.
    pub resource_id: String,
    /// "host:port" of its TaskExecutor service.
    pub rpc_address: String,
    /// "host:port" of its data plane.
    pub data_address: String,
    /// Its host name.
    pub hostname: String,
}

/// A slot that the job holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobSlot {
    /// The allocation.
    pub allocation: AllocationId,
    /// Which slot of the TaskManager.
    pub index: u32,
    /// The number of the TaskManager's word on its slots from which on it holds this one.
    pub version: u64,
    /// Whose slot.
    pub location: Arc<TaskManagerLocation>,
}

/// One attempt to run a subtask.
#[derive(Clone, Debug)]
pub struct Execution {
    /// Its id.
    pub attempt_id: AttemptId,
    /// How many attempts there were before.
    pub attempt_number: u32,
    /// Where it stands.
    pub state: ExecutionState,
    /// When each state was entered (milliseconds since the epoch, 0: never).
    pub timestamps: [i64; EXECUTION_STATES.len()],
    /// Where it runs.
    pub slot: Option<JobSlot>,
    /// Why it failed.
    pub failure: Option<FailureInfo>,
    /// What it last reported.
    pub metrics: proto::TaskMetrics,
}

impl Execution {
    fn new(attempt_id: AttemptId, attempt_number: u32, now: i64) -> Self {
        let mut execution = Self {
            attempt_id,
            attempt_number,
            state: ExecutionState::Created,
            timestamps: [0; EXECUTION_STATES.len()],
            slot: None,
            failure: None,
            metrics: proto::TaskMetrics { watermark: i64::MIN, ..Default::default() },
        };
        execution.enter(ExecutionState::Created, now);
        execution
    }

    /// Moves to a state.
    pub fn enter(&mut self, state: ExecutionState, now: i64) {
        self.state = state;
        self.timestamps[state as usize] = now;
    }

    /// When a state was entered.
    pub fn timestamp(&self, state: ExecutionState) -> i64 {
        self.timestamps[state as usize]
    }

    /// When it ended; -1: not yet.
    pub fn end_time(&self) -> i64 {
        if is_terminal(self.state) { self.timestamp(self.state) } else { -1 }
    }

    /// A TaskManager was told to run it, and it is not over.
    pub fn is_deployed(&self) -> bool {
        matches!(
            self.state,
            ExecutionState::Deploying
                | ExecutionState::Initializing
                | ExecutionState::Running
                | ExecutionState::Canceling
        )
    }
}

/// The subtasks of one vertex.
#[derive(Clone, Debug)]
pub struct ExecutionVertexes {
    /// Its id.
    pub id: VertexId,
    /// Its slot sharing group: a position among the groups of the job.
    pub group: usize,
    /// The current attempt of each subtask.
    pub subtasks: Vec<Execution>,
}

impl ExecutionVertexes {
    /// How many subtasks are in each state.
    pub fn state_counts(&self) -> [usize; EXECUTION_STATES.len()] {
        let mut counts = [0; EXECUTION_STATES.len()];
        for subtask in &self.subtasks {
            counts[subtask.state as usize] += 1;
        }
        counts
    }

    /// The state of the vertex as a whole, by Flink's rule.
    pub fn aggregate_state(&self) -> ExecutionState {
        let counts = self.state_counts();
        let count = |state: ExecutionState| counts[state as usize];
        for state in [
            ExecutionState::Failed,
            ExecutionState::Canceling,
            ExecutionState::Canceled,
            ExecutionState::Initializing,
            ExecutionState::Running,
        ] {
            if count(state) > 0 {
                return state;
            }
        }
        match count(ExecutionState::Finished) {
            0 => ExecutionState::Created,
            finished if finished == self.subtasks.len() => ExecutionState::Finished,
            _ => ExecutionState::Running,
        }
    }
}

/// All tasks of a job.
#[derive(Clone, Debug)]
pub struct ExecutionGraph {
    /// The job's id.
    pub job_id: JobId,
    /// What runs.
    pub graph: Arc<proto::JobGraph>,
    /// In the order of the graph's vertices.
    pub vertices: Vec<ExecutionVertexes>,
    /// Slots that each sharing group needs: its largest parallelism.
    pub group_slots: Vec<usize>,
    /// The pipelined region of each vertex: what fails together.
    pub regions: Vec<usize>,
    /// The slot of each place of each group, once there is one.
    places: Vec<Option<JobSlot>>,
    /// How often the job was restarted.
    pub execution: u32,
    /// Where each current attempt is.
    positions: HashMap<AttemptId, (usize, usize)>,
}

impl ExecutionGraph {
    /// The graph of a validated job, all tasks created.
    pub fn new(graph: Arc<proto::JobGraph>, job_id: JobId, now: i64, new_id: &mut dyn FnMut() -> AttemptId) -> Self {
        let mut groups: Vec<&str> = Vec::new();
        let mut group_slots: Vec<usize> = Vec::new();
        let mut vertices = Vec::with_capacity(graph.vertices.len());
        for vertex in &graph.vertices {
            let name = vertex.slot_sharing_group.as_str();
            let group = groups.iter().position(|known| *known == name).unwrap_or_else(|| {
                groups.push(name);
                group_slots.push(0);
                groups.len() - 1
            });
            group_slots[group] = group_slots[group].max(vertex.parallelism as usize);
            let subtasks = (0..vertex.parallelism).map(|_| Execution::new(new_id(), 0, now)).collect();
            let id = VertexId::from_bytes(&vertex.id).unwrap_or(VertexId([0; 16]));
            vertices.push(ExecutionVertexes { id, group, subtasks });
        }
        let regions = vec![0; vertices.len()];
        let places = vec![None; group_slots.iter().sum()];
        let mut graph =
            Self { job_id, graph, vertices, group_slots, regions, places, execution: 0, positions: HashMap::new() };
        graph.index_attempts();
        graph
    }

    fn index_attempts(&mut self) {
        let vertices = self.vertices.iter().enumerate();
        let attempts = vertices.flat_map(|(v, vertex)| {
            vertex.subtasks.iter().enumerate().map(move |(s, subtask)| (subtask.attempt_id, (v, s)))
        });
        self.positions = attempts.collect();
    }

    /// Cuts the job into pipelined regions: vertices that are connected by edges, in whatever direction.
    pub fn cut_regions(&mut self) {
        let mut regions: Vec<usize> = (0..self.vertices.len()).collect();
        for edge in &self.graph.edges {
            let (one, other) = (regions[edge.source as usize], regions[edge.target as usize]);
            let merged = one.min(other);
            regions.iter_mut().filter(|region| [one, other].contains(region)).for_each(|region| *region = merged);
        }
        self.regions = regions;
    }

    /// All regions.
    pub fn all_regions(&self) -> BTreeSet<usize> {
        self.regions.iter().copied().collect()
    }

    /// Replaces every attempt of some regions by a new one.
    pub fn reset(&mut self, regions: &BTreeSet<usize>, now: i64, new_id: &mut dyn FnMut() -> AttemptId) {
        self.execution += 1;
        for (vertex, region) in self.vertices.iter_mut().zip(&self.regions) {
            if regions.contains(region) {
                for subtask in &mut vertex.subtasks {
                    *subtask = Execution::new(new_id(), subtask.attempt_number + 1, now);
                }
            }
        }
        self.index_attempts();
    }

    /// The current attempts of some regions.
    pub fn executions_of<'a>(&'a self, regions: &'a BTreeSet<usize>) -> impl Iterator<Item = &'a Execution> {
        let vertices = self.vertices.iter().zip(&self.regions).filter(|(_, region)| regions.contains(region));
        vertices.flat_map(|(vertex, _)| &vertex.subtasks)
    }

    /// How many slots all tasks need.
    pub fn required_slots(&self) -> usize {
        self.group_slots.iter().sum()
    }

    /// All current attempts.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.vertices.iter().flat_map(|vertex| &vertex.subtasks)
    }

    /// All current attempts.
    pub fn executions_mut(&mut self) -> impl Iterator<Item = &mut Execution> {
        self.vertices.iter_mut().flat_map(|vertex| &mut vertex.subtasks)
    }

    /// Where an attempt is: vertex and subtask.
    pub fn find(&self, attempt: AttemptId) -> Option<(usize, usize)> {
        self.positions.get(&attempt).copied()
    }

    /// Gives each task that waits for one its slot: subtask i of every vertex of a sharing group goes to the group's slot i.
    /// There must be [`ExecutionGraph::required_slots`] of them. What a group has it keeps; new slots are taken in turn from
    /// each TaskManager, so that a vertex with fewer subtasks is spread too.
    pub fn assign_slots(&mut self, slots: &[JobSlot]) {
        for place in &mut self.places {
            *place = place.take().filter(|slot| slots.iter().any(|known| known.allocation == slot.allocation));
        }
        let taken: Vec<AllocationId> = self.places.iter().flatten().map(|slot| slot.allocation).collect();
        let free: Vec<JobSlot> = slots.iter().filter(|slot| !taken.contains(&slot.allocation)).cloned().collect();
        let mut free = interleave(&free).into_iter();
        for place in self.places.iter_mut().filter(|place| place.is_none()) {
            *place = free.next();
        }
        let offsets: Vec<usize> = self
            .group_slots
            .iter()
            .scan(0, |next, count| {
                let offset = *next;
                *next += count;
                Some(offset)
            })
            .collect();
        for vertex in &mut self.vertices {
            for (i, subtask) in vertex.subtasks.iter_mut().enumerate() {
                if subtask.state == ExecutionState::Scheduled {
                    subtask.slot.clone_from(&self.places[offsets[vertex.group] + i]);
                }
            }
        }
    }

    /// What users call a task: "name (1/2)".
    pub fn task_name(&self, vertex: usize, subtask: usize) -> String {
        let spec = &self.graph.vertices[vertex];
        format!("{} ({}/{})", spec.name, subtask + 1, spec.parallelism)
    }
}

fn interleave(slots: &[JobSlot]) -> Vec<JobSlot> {
    let mut by_task_manager: Vec<Vec<&JobSlot>> = Vec::new();
    for slot in slots {
        match by_task_manager.iter_mut().find(|known| known[0].location.resource_id == slot.location.resource_id) {
            Some(known) => known.push(slot),
            None => by_task_manager.push(vec![slot]),
        }
    }
    by_task_manager.iter_mut().for_each(|known| known.sort_by_key(|slot| slot.index));
    by_task_manager
        .sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a[0].location.resource_id.cmp(&b[0].location.resource_id)));
    let longest = by_task_manager.first().map_or(0, Vec::len);
    (0..longest)
        .flat_map(|round| by_task_manager.iter().filter_map(move |known| known.get(round).map(|slot| (*slot).clone())))
        .collect()
}

/// Flink's default for the number of key groups.
pub fn default_max_parallelism(parallelism: u32) -> u32 {
    let wanted = u64::from(parallelism) + u64::from(parallelism) / 2;
    wanted.next_power_of_two().clamp(128, 32_768) as u32
}
