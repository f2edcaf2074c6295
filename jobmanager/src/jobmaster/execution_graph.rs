//! The tasks of a job and the states they are in.
//!
//! A job may have a million tasks and hears of each several times: what is asked after every message is counted here as states
//! change, which they do through [`ExecutionGraph`] only.
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::sync::Arc;

use wiesel_common::id::{AllocationId, AttemptId, JobId, VertexId};
use wiesel_proto as proto;
use wiesel_proto::ExecutionState;

use crate::failure::FailureInfo;
use crate::resourcemanager::slot_manager::ReportNumber;

mod taking_over;

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
    pub since: ReportNumber,
    /// Whose slot.
    pub location: Arc<TaskManagerLocation>,
}

/// Of how many TaskManagers a job remembers that they are lost. What it forgets it is told again when it takes a slot of one.
const MAX_LOST: usize = 4096;

/// The slots that a job holds, by allocation and by TaskManager.
#[derive(Clone, Debug, Default)]
pub struct JobSlots {
    slots: BTreeMap<AllocationId, JobSlot>,
    by_task_manager: BTreeMap<String, SlotsOfTaskManager>,
    /// Those that the ResourceManager has not confirmed yet.
    unconfirmed: BTreeSet<AllocationId>,
    /// The largest number of a registration of each TaskManager that was lost, as far as is remembered.
    lost: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default)]
struct SlotsOfTaskManager {
    allocations: BTreeSet<AllocationId>,
    /// The largest number of a registration under which one was offered.
    registration: u64,
}

impl JobSlots {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether the job holds it.
    pub fn contains(&self, allocation: AllocationId) -> bool {
        self.slots.contains_key(&allocation)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &JobSlot> {
        self.slots.values()
    }

    /// Those of a TaskManager.
    pub fn of(&self, resource_id: &str) -> impl Iterator<Item = &JobSlot> {
        let allocations = self.by_task_manager.get(resource_id).map(|known| &known.allocations);
        allocations.into_iter().flatten().filter_map(move |allocation| self.slots.get(allocation))
    }

    /// Whether an offer is void: its TaskManager is known to be lost since it made it, or has offered slots under a later
    /// registration.
    pub fn void(&self, offer: &JobSlot) -> bool {
        let (id, registration) = (&offer.location.resource_id, offer.since.registration);
        let superseded = self.by_task_manager.get(id).is_some_and(|known| known.registration > registration);
        superseded || self.lost.get(id).is_some_and(|lost| *lost >= registration)
    }

    /// The job holds one more, which is not confirmed yet.
    pub fn insert(&mut self, slot: JobSlot) {
        let known = self.by_task_manager.entry(slot.location.resource_id.clone()).or_default();
        known.allocations.insert(slot.allocation);
        known.registration = known.registration.max(slot.since.registration);
        self.unconfirmed.insert(slot.allocation);
        self.slots.insert(slot.allocation, slot);
    }

    /// The ResourceManager knows that the job holds it.
    pub fn confirm(&mut self, allocation: AllocationId) {
        self.unconfirmed.remove(&allocation);
    }

    /// Whether all are confirmed.
    pub fn are_confirmed(&self) -> bool {
        self.unconfirmed.is_empty()
    }

    /// The job does not hold it any more.
    pub fn remove(&mut self, allocation: AllocationId) {
        let Some(slot) = self.slots.remove(&allocation) else { return };
        self.unconfirmed.remove(&allocation);
        let resource_id = &slot.location.resource_id;
        if let Some(known) = self.by_task_manager.get_mut(resource_id) {
            known.allocations.remove(&allocation);
            if known.allocations.is_empty() {
                self.by_task_manager.remove(resource_id);
            }
        }
    }

    /// The job does not hold those of a TaskManager any more that were offered under this registration or an earlier one.
    pub fn remove_of(&mut self, resource_id: &str, registration: u64) {
        let gone = self.of(resource_id).filter(|slot| slot.since.registration <= registration);
        for allocation in gone.map(|slot| slot.allocation).collect::<Vec<_>>() {
            self.remove(allocation);
        }
    }

    /// A TaskManager is lost: what it offered under this registration or an earlier one, and may yet offer, is void.
    pub fn task_manager_lost(&mut self, resource_id: &str, registration: u64) {
        self.remove_of(resource_id, registration);
        let lost = self.lost.entry(resource_id.to_owned()).or_default();
        *lost = registration.max(*lost);
        if self.lost.len() > MAX_LOST {
            // Registrations are numbered upwards: of the oldest an offer on its way is the least likely.
            let oldest = self.lost.iter().min_by_key(|(_, registration)| **registration);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                self.lost.remove(&oldest);
            }
        }
    }
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
    /// Why it failed; it may still be CANCELING, until its TaskManager says that it does not run.
    pub failure: Option<FailureInfo>,
    /// What it last reported.
    pub metrics: proto::TaskMetrics,
    /// It has reached the end of its data: no barrier comes to it any more.
    pub end_of_data: bool,
    /// It stays after that until a checkpoint is complete.
    pub awaits_checkpoint: bool,
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
            end_of_data: false,
            awaits_checkpoint: false,
        };
        execution.enter(ExecutionState::Created, now);
        execution
    }

    fn enter(&mut self, state: ExecutionState, now: i64) {
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

    /// Nothing comes of it any more but what checkpoints need.
    fn is_at_end(&self) -> bool {
        self.end_of_data || self.state == ExecutionState::Finished
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

/// The vertices of a job, in the order of the graph. They are read from everywhere and changed in here only, where their states
/// are counted.
#[derive(Clone, Debug)]
pub struct Vertexes(Vec<ExecutionVertexes>);

impl Deref for Vertexes {
    type Target = [ExecutionVertexes];

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

type StateCounts = [usize; EXECUTION_STATES.len()];

/// How many attempts are in each state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts {
    by_vertex: Vec<StateCounts>,
    all: StateCounts,
    /// How many are at the end of their data.
    at_end: usize,
}

impl Counts {
    fn of(vertices: &[ExecutionVertexes]) -> Self {
        let by_vertex: Vec<StateCounts> = vertices.iter().map(ExecutionVertexes::state_counts).collect();
        let mut all = StateCounts::default();
        for counts in &by_vertex {
            all.iter_mut().zip(counts).for_each(|(all, count)| *all += count);
        }
        let at_end = vertices.iter().flat_map(|vertex| &vertex.subtasks).filter(|task| task.is_at_end()).count();
        Self { by_vertex, all, at_end }
    }

    /// Whether an attempt is at the end of its data may have changed.
    fn end_moved(&mut self, from: bool, to: bool) {
        self.at_end = self.at_end + usize::from(to) - usize::from(from);
    }

    fn moved(&mut self, vertex: usize, from: ExecutionState, to: ExecutionState) {
        for counts in [&mut self.by_vertex[vertex], &mut self.all] {
            counts[from as usize] -= 1;
            counts[to as usize] += 1;
        }
    }
}

fn count_over(counts: &StateCounts) -> usize {
    EXECUTION_STATES.iter().filter(|state| is_terminal(**state)).map(|state| counts[*state as usize]).sum()
}

/// All tasks of a job.
#[derive(Clone, Debug)]
pub struct ExecutionGraph {
    /// The job's id.
    pub job_id: JobId,
    /// What runs.
    pub graph: Arc<proto::JobGraph>,
    /// In the order of the graph's vertices.
    pub vertices: Vertexes,
    /// Slots that each sharing group needs: its largest parallelism.
    pub group_slots: Vec<usize>,
    /// The pipelined region of each vertex: what fails together.
    pub regions: Vec<usize>,
    /// The slot of each place of each group, once there is one.
    places: Vec<Option<JobSlot>>,
    /// How often the job was restarted.
    pub execution: u32,
    /// Attempts that are made from now on have no smaller number.
    least_attempt: u32,
    /// Where each current attempt is.
    positions: HashMap<AttemptId, (usize, usize)>,
    counts: Counts,
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
        let mut graph = Self {
            job_id,
            graph,
            vertices: Vertexes(vertices),
            group_slots,
            regions,
            places,
            execution: 0,
            least_attempt: 0,
            positions: HashMap::new(),
            counts: Counts::default(),
        };
        graph.index_attempts();
        graph
    }

    fn index_attempts(&mut self) {
        self.counts = Counts::of(&self.vertices);
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
        for (vertex, region) in self.vertices.0.iter_mut().zip(&self.regions) {
            if regions.contains(region) {
                for subtask in &mut vertex.subtasks {
                    let number = (subtask.attempt_number + 1).max(self.least_attempt);
                    *subtask = Execution::new(new_id(), number, now);
                }
            }
        }
        self.index_attempts();
    }

    /// Moves an attempt to a state.
    pub fn enter(&mut self, vertex: usize, subtask: usize, state: ExecutionState, now: i64) {
        let execution = &mut self.vertices.0[vertex].subtasks[subtask];
        let at_end = execution.is_at_end();
        self.counts.moved(vertex, execution.state, state);
        execution.enter(state, now);
        self.counts.end_moved(at_end, execution.is_at_end());
    }

    /// An attempt has reached the end of its data.
    pub fn end_of_data(&mut self, vertex: usize, subtask: usize, awaits_checkpoint: bool) {
        let execution = &mut self.vertices.0[vertex].subtasks[subtask];
        let at_end = execution.is_at_end();
        (execution.end_of_data, execution.awaits_checkpoint) = (true, awaits_checkpoint);
        self.counts.end_moved(at_end, execution.is_at_end());
    }

    /// Whether every attempt has reached the end of its data.
    pub fn is_at_end(&self) -> bool {
        self.counts.at_end == self.tasks()
    }

    /// Whether an attempt at the end of its data stays until a checkpoint is complete.
    pub fn awaits_checkpoint(&self) -> bool {
        self.executions().any(|execution| execution.awaits_checkpoint && !is_terminal(execution.state))
    }

    /// Moves every attempt in one state to another.
    pub fn move_all(&mut self, from: ExecutionState, to: ExecutionState, now: i64) {
        for (v, vertex) in self.vertices.0.iter_mut().enumerate() {
            for execution in vertex.subtasks.iter_mut().filter(|execution| execution.state == from) {
                let at_end = execution.is_at_end();
                self.counts.moved(v, from, to);
                execution.enter(to, now);
                self.counts.end_moved(at_end, execution.is_at_end());
            }
        }
    }

    /// An attempt failed for this reason, and is over.
    pub fn fail(&mut self, vertex: usize, subtask: usize, failure: FailureInfo, now: i64) {
        self.vertices.0[vertex].subtasks[subtask].failure = Some(failure);
        self.end(vertex, subtask, now);
    }

    /// An attempt failed for this reason, and may run all the same.
    pub fn fail_unheard(&mut self, vertex: usize, subtask: usize, failure: FailureInfo, now: i64) {
        self.vertices.0[vertex].subtasks[subtask].failure = Some(failure);
        self.enter(vertex, subtask, ExecutionState::Canceling, now);
    }

    /// An attempt has done all it had to, also one that was thought to have failed.
    pub fn finish(&mut self, vertex: usize, subtask: usize, now: i64) {
        self.vertices.0[vertex].subtasks[subtask].failure = None;
        self.enter(vertex, subtask, ExecutionState::Finished, now);
    }

    /// An attempt that failed or was cancelled is over.
    pub fn end(&mut self, vertex: usize, subtask: usize, now: i64) {
        let failed = self.vertices[vertex].subtasks[subtask].failure.is_some();
        let state = if failed { ExecutionState::Failed } else { ExecutionState::Canceled };
        self.enter(vertex, subtask, state, now);
    }

    /// What an attempt last reported.
    pub fn set_metrics(&mut self, vertex: usize, subtask: usize, metrics: proto::TaskMetrics) {
        self.vertices.0[vertex].subtasks[subtask].metrics = metrics;
    }

    /// How many attempts are in a state.
    pub fn count(&self, state: ExecutionState) -> usize {
        self.counts.all[state as usize]
    }

    /// How many tasks there are.
    pub fn tasks(&self) -> usize {
        self.counts.all.iter().sum()
    }

    /// Whether every attempt is over.
    pub fn is_over(&self) -> bool {
        count_over(&self.counts.all) == self.tasks()
    }

    /// Whether every attempt of some regions is over.
    pub fn are_over(&self, regions: &BTreeSet<usize>) -> bool {
        let vertices = self.counts.by_vertex.iter().zip(&self.regions).filter(|(_, region)| regions.contains(region));
        vertices.map(|(counts, _)| counts).all(|counts| count_over(counts) == counts.iter().sum::<usize>())
    }

    /// Whether every attempt of a region has finished.
    pub fn has_finished(&self, region: usize) -> bool {
        let vertices = self.counts.by_vertex.iter().zip(&self.regions).filter(|(_, known)| **known == region);
        vertices
            .map(|(counts, _)| counts)
            .all(|counts| counts[ExecutionState::Finished as usize] == counts.iter().sum::<usize>())
    }

    /// Regions with attempts in a state.
    pub fn regions_with(&self, state: ExecutionState) -> BTreeSet<usize> {
        let vertices = self.counts.by_vertex.iter().zip(&self.regions);
        vertices.filter(|(counts, _)| counts[state as usize] > 0).map(|(_, region)| *region).collect()
    }

    /// Where the attempts in a state are: vertex and subtask.
    pub fn in_state(&self, state: ExecutionState) -> Vec<(usize, usize)> {
        let mut found = Vec::with_capacity(self.count(state));
        for (v, vertex) in self.vertices.iter().enumerate() {
            let here = vertex.subtasks.iter().enumerate().filter(|(_, subtask)| subtask.state == state);
            found.extend(here.map(|(s, _)| (v, s)));
        }
        found
    }

    /// How many slots all tasks need.
    pub fn required_slots(&self) -> usize {
        self.group_slots.iter().sum()
    }

    /// All current attempts.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.vertices.iter().flat_map(|vertex| &vertex.subtasks)
    }

    /// Where an attempt is: vertex and subtask.
    pub fn find(&self, attempt: AttemptId) -> Option<(usize, usize)> {
        self.positions.get(&attempt).copied()
    }

    /// The latest registration under which the slots of some attempts were offered.
    pub fn registration_of(&self, attempts: &[AttemptId]) -> u64 {
        let found = attempts.iter().filter_map(|attempt| self.find(*attempt));
        let slots = found.filter_map(|(v, s)| self.vertices[v].subtasks[s].slot.as_ref());
        slots.map(|slot| slot.since.registration).max().unwrap_or_default()
    }

    /// Gives each task that waits for one its slot: subtask i of every vertex of a sharing group goes to the group's slot i.
    /// There must be [`ExecutionGraph::required_slots`] of them. What a group has it keeps; new slots are taken in turn from
    /// each TaskManager, so that a vertex with fewer subtasks is spread too.
    pub fn assign_slots(&mut self, slots: &JobSlots) {
        for place in &mut self.places {
            *place = place.take().filter(|slot| slots.contains(slot.allocation));
        }
        let taken: BTreeSet<AllocationId> = self.places.iter().flatten().map(|slot| slot.allocation).collect();
        let free = slots.iter().filter(|slot| !taken.contains(&slot.allocation));
        let mut free = interleave(free).into_iter();
        for place in self.places.iter_mut().filter(|place| place.is_none()) {
            *place = free.next();
        }
        let offsets = self.place_offsets();
        for vertex in &mut self.vertices.0 {
            for (i, subtask) in vertex.subtasks.iter_mut().enumerate() {
                if subtask.state == ExecutionState::Scheduled {
                    subtask.slot.clone_from(&self.places[offsets[vertex.group] + i]);
                }
            }
        }
    }

    /// The first place of each group.
    fn place_offsets(&self) -> Vec<usize> {
        let offsets = self.group_slots.iter().scan(0, |next, count| {
            let offset = *next;
            *next += count;
            Some(offset)
        });
        offsets.collect()
    }

    /// What users call a task: "name (1/2)".
    pub fn task_name(&self, vertex: usize, subtask: usize) -> String {
        let spec = &self.graph.vertices[vertex];
        format!("{} ({}/{})", spec.name, subtask + 1, spec.parallelism)
    }
}

fn interleave<'a>(slots: impl Iterator<Item = &'a JobSlot>) -> Vec<JobSlot> {
    let mut by_id: BTreeMap<&str, Vec<&JobSlot>> = BTreeMap::new();
    for slot in slots {
        by_id.entry(&slot.location.resource_id).or_default().push(slot);
    }
    let mut by_task_manager: Vec<Vec<&JobSlot>> = by_id.into_values().collect();
    by_task_manager.iter_mut().for_each(|known| known.sort_by_key(|slot| slot.index));
    // Among those with as many the order of their ids stays.
    by_task_manager.sort_by_key(|known| std::cmp::Reverse(known.len()));
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slot(task_manager: &str, index: u8) -> JobSlot {
        let location = TaskManagerLocation {
            resource_id: task_manager.into(),
            rpc_address: String::new(),
            data_address: String::new(),
            hostname: String::new(),
        };
        let mut allocation = [index; 16];
        allocation[0] = task_manager.as_bytes()[0];
        let since = ReportNumber { registration: 1, version: 1 };
        JobSlot { allocation: AllocationId(allocation), index: u32::from(index), since, location: Arc::new(location) }
    }

    #[test]
    fn slots_are_found_by_their_task_manager() {
        let mut slots = JobSlots::default();
        for slot in [slot("a", 0), slot("b", 0), slot("a", 1)] {
            slots.insert(slot);
        }
        let of = |slots: &JobSlots, id: &str| slots.of(id).map(|slot| slot.index).collect::<Vec<_>>();
        assert_eq!((of(&slots, "a"), of(&slots, "b"), of(&slots, "c")), (vec![0, 1], vec![0], vec![]));
        slots.remove(slot("a", 0).allocation);
        slots.remove(slot("c", 0).allocation);
        assert_eq!((of(&slots, "a"), slots.len()), (vec![1], 2));
        slots.remove_of("a", 1);
        assert!(!slots.contains(slot("a", 1).allocation) && slots.contains(slot("b", 0).allocation));
        slots.remove(slot("b", 0).allocation);
        assert!(slots.is_empty() && slots.by_task_manager.is_empty());
    }

    /// Failed before: with its slots it was forgotten which process of a TaskManager had been lost.
    #[test]
    fn what_a_lost_task_manager_offers_is_void_and_what_its_successor_offers_is_not() {
        let of = |id: &str, index: u8, registration| {
            let since = ReportNumber { registration, version: 1 };
            JobSlot { since, ..slot(id, index) }
        };
        let mut slots = JobSlots::default();
        slots.insert(of("a", 0, 3));
        slots.insert(of("a", 1, 5));
        slots.insert(of("b", 0, 4));
        slots.task_manager_lost("a", 3);
        assert_eq!(slots.iter().map(|slot| slot.since.registration).collect::<Vec<_>>(), [5, 4]);
        slots.task_manager_lost("a", 5);
        slots.task_manager_lost("a", 3);
        slots.task_manager_lost("c", 6);
        assert_eq!(slots.len(), 1);
        for (offer, void) in [("a", 3, true), ("a", 5, true), ("a", 7, false), ("b", 4, false), ("c", 6, true)]
            .map(|(id, registration, void)| (of(id, 9, registration), void))
        {
            assert_eq!(slots.void(&offer), void, "{offer:?}");
        }
        for registration in 10..10 + MAX_LOST as u64 {
            slots.task_manager_lost(&format!("tm-{registration}"), registration);
        }
        assert_eq!(slots.lost.len(), MAX_LOST);
        assert!(!slots.lost.contains_key("a") && !slots.lost.contains_key("c") && slots.lost.contains_key("tm-10"));
    }

    proptest! {
        /// Whatever happens, what is counted is what there is.
        #[test]
        fn states_are_counted_as_they_change(
            steps in prop::collection::vec((0..3_usize, 0..4_usize, 0..9_usize, 0..9_usize, any::<bool>()), 1..60),
        ) {
            let vertex = |id: u8, parallelism| {
                proto::JobVertex { id: vec![id; 16].into(), parallelism, ..Default::default() }
            };
            let vertices = vec![vertex(1, 4), vertex(2, 2), vertex(3, 1)];
            let edges = vec![proto::JobEdge { source: 0, target: 1, ..Default::default() }];
            let plan = proto::JobGraph { vertices, edges, ..Default::default() };
            let mut next = 0_u128;
            let mut id = move || {
                next += 1;
                AttemptId(next.to_be_bytes())
            };
            let mut graph = ExecutionGraph::new(Arc::new(plan), JobId([9; 16]), 0, &mut id);
            graph.cut_regions();
            for (vertex, subtask, state, other, ends) in steps {
                let subtask = subtask % graph.vertices[vertex].subtasks.len();
                let (state, other) = (EXECUTION_STATES[state], EXECUTION_STATES[other]);
                match subtask {
                    3 => graph.reset(&BTreeSet::from([graph.regions[vertex]]), 1, &mut id),
                    2 => graph.move_all(state, other, 1),
                    _ if ends => graph.end_of_data(vertex, subtask, true),
                    _ => graph.enter(vertex, subtask, state, 1),
                }
                prop_assert_eq!(graph.is_at_end(), graph.executions().all(Execution::is_at_end));
                prop_assert_eq!(&graph.counts, &Counts::of(&graph.vertices));
                prop_assert_eq!(graph.tasks(), 7);
                prop_assert_eq!(graph.is_over(), graph.executions().all(|execution| is_terminal(execution.state)));
                for region in graph.all_regions().into_iter().map(|region| BTreeSet::from([region])) {
                    let vertices = graph.vertices.iter().zip(&graph.regions).filter(|(_, known)| region.contains(known));
                    let states: Vec<ExecutionState> =
                        vertices.flat_map(|(vertex, _)| &vertex.subtasks).map(|execution| execution.state).collect();
                    let over = states.iter().all(|state| is_terminal(*state));
                    prop_assert_eq!(graph.are_over(&region), over);
                    let has = states.contains(&state);
                    prop_assert_eq!(!graph.regions_with(state).is_disjoint(&region), has);
                }
            }
        }
    }
}
