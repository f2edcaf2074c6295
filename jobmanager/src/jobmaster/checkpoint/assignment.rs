//! From a checkpoint to the state that each subtask starts from, maybe at another parallelism.
//!
//! State belongs to operators, whatever vertex they are in: it is found by their uid. Rows in channels belong to a vertex.
//!
//! | state | same parallelism | another parallelism |
//! | --- | --- | --- |
//! | keyed | the subtask's own | all handles that overlap its key groups |
//! | list, SPLIT | the subtask's own | all entries, dealt out in order |
//! | list, UNION | all entries | all entries |
//! | list, BROADCAST | the subtask's own | those of one subtask |
//! | list, BY_SUBTASK | the subtask's own | those of subtask n to subtask n modulo the parallelism |
//! | channels | the subtask's own | see [`channels`] |
//!
//! Where all subtasks of a vertex had ended, all new ones with its operators have. Where only some had, none has: one that had ended has no state
//! of its own, finds nothing to read and ends again, but may be dealt a part of a list that others left.
use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Range;

use bytes::Bytes;
use wiesel_common::id::OperatorId;
use wiesel_common::keygroup::{HASH_VERSION, UPPER_BOUND_MAX_PARALLELISM, default_max_parallelism, key_groups};
use wiesel_proto as proto;
use wiesel_proto::operator_list_state::Redistribution;

pub mod channels;
mod completeness;

pub use completeness::states;

/// The largest number of a checkpoint: it and the next one are numbers that Flink's clients can read.
const MAX_CHECKPOINT_ID: u64 = i64::MAX as u64 - 1;

/// Why a checkpoint does not fit the job.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The keys were spread by another hash.
    #[error(
        "{checkpoint} was written with version {found} of the key group hash, this version of Wiesel has {expected}: it \
         can only be restored by the version that wrote it"
    )]
    HashVersion {
        /// What was to be restored.
        checkpoint: String,
        /// Its version.
        found: u32,
        /// Ours.
        expected: u32,
    },
    /// State that no operator asks for.
    #[error(
        "Failed to rollback to checkpoint/savepoint {checkpoint}. Cannot map checkpoint/savepoint state for operator \
         {operator} ({name}; state: {states}) to the new program, because the operator is not available in the new \
         program. If you want to allow to skip this, you can set the --allowNonRestoredState option on the CLI."
    )]
    NotMapped {
        /// What was to be restored.
        checkpoint: String,
        /// The operator's uid.
        operator: OperatorId,
        /// Its name at that time.
        name: String,
        /// The names of its state.
        states: String,
    },
    /// More subtasks than key groups.
    #[error(
        "The state for task {vertex} can not be restored from {checkpoint}. The maximum parallelism ({restored}) of the \
         restored state is lower than the configured parallelism ({parallelism}). Please reduce the parallelism of the \
         task to be lower or equal to the maximum parallelism."
    )]
    ParallelismTooHigh {
        /// What was to be restored.
        checkpoint: String,
        /// The vertex.
        vertex: String,
        /// The checkpoint's.
        restored: u32,
        /// The job's.
        parallelism: u32,
    },
    /// Other key groups.
    #[error(
        "The maximum parallelism ({restored}) with which the checkpoint {checkpoint} of the execution job vertex {vertex} \
         has been taken and the current maximum parallelism ({configured}) changed. This is currently not supported: \
         leave pipeline.max-parallelism unset or set it to {restored}."
    )]
    MaxParallelismChanged {
        /// What was to be restored.
        checkpoint: String,
        /// The vertex.
        vertex: String,
        /// The checkpoint's.
        restored: u32,
        /// The job's.
        configured: u32,
    },
    /// It says what cannot be, though it can be read: it was not written so.
    #[error("{file} is corrupt: {reason}. Start the job from another checkpoint or savepoint")]
    Corrupt {
        /// The file with the metadata.
        file: String,
        /// What it says.
        reason: String,
    },
    /// It contradicts itself.
    #[error("the metadata of {checkpoint} is broken: {reason}")]
    Broken {
        /// What was to be restored.
        checkpoint: String,
        /// How.
        reason: String,
    },
}

/// Refuses metadata, read from `file`, whose numbers no checkpoint can have, or that is not whole (`completeness`). Memory is
/// set aside for as many key groups as it says, and keyed state is looked for where they say it is: with other numbers than it
/// was written with it would be lost without a word.
pub fn check(metadata: &proto::CheckpointMetadata, file: &str) -> Result<(), Error> {
    let corrupt = |reason: String| Err(Error::Corrupt { file: file.to_owned(), reason });
    let id = metadata.checkpoint_id;
    if id > MAX_CHECKPOINT_ID {
        return corrupt(format!("its checkpoint has the number {id}, the largest is {MAX_CHECKPOINT_ID}"));
    }
    for vertex in &metadata.vertices {
        let (name, parallelism, most) = (&vertex.name, vertex.parallelism, vertex.max_parallelism);
        if !(1..=UPPER_BOUND_MAX_PARALLELISM).contains(&most) || !(1..=most).contains(&parallelism) {
            return corrupt(format!(
                "task {name} has the parallelism {parallelism} and the maximum parallelism {most}, which must be at least that \
                 and from 1 to {UPPER_BOUND_MAX_PARALLELISM}; the parallelism is at least 1"
            ));
        }
        for (subtask, state) in vertex.subtasks.iter().enumerate() {
            let groups = key_groups(subtask as u32, parallelism, most);
            let mut handles = state.operators.iter().flat_map(|operator| &operator.keyed);
            // Each has all key groups of its subtask: it is written so, and together they are those of the operator then.
            if let Some(other) = handles.find(|handle| !has_all(handle, &groups)) {
                return corrupt(format!(
                    "subtask {subtask} of task {name} has keyed state of the key groups {} to {}, of {most} key groups at \
                     parallelism {parallelism} it has {} to {}",
                    other.first_key_group,
                    other.last_key_group,
                    groups.start,
                    groups.end.saturating_sub(1)
                ));
            }
        }
    }
    completeness::check(metadata).or_else(corrupt)
}

fn has_all(handle: &proto::KeyedStateHandle, groups: &Range<u32>) -> bool {
    let empty = handle.first_key_group > handle.last_key_group;
    if groups.is_empty() {
        return empty;
    }
    handle.first_key_group == groups.start && handle.last_key_group == groups.end - 1
}

/// What each subtask starts from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Assignment {
    /// By vertex and subtask.
    pub tasks: Vec<Vec<proto::TaskState>>,
    /// By the uid of the source.
    pub coordinators: HashMap<OperatorId, Bytes>,
    /// Operators that begin without state though the job goes on from a checkpoint, for the log.
    pub without_state: Vec<String>,
}

/// An operator in a checkpoint: its vertex and, by subtask, its state.
struct Known<'a> {
    vertex: &'a proto::VertexState,
    subtasks: Vec<Option<&'a proto::OperatorSubtaskState>>,
}

impl Known<'_> {
    fn is_keyed(&self) -> bool {
        self.states().any(|state| !state.keyed.is_empty())
    }

    fn states(&self) -> impl Iterator<Item = &proto::OperatorSubtaskState> {
        self.subtasks.iter().filter_map(|state| *state)
    }

    /// The names of what it has; empty: nothing.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for state in self.states() {
            let tables = state.keyed.iter().filter(|handle| !handle.files.is_empty()).flat_map(|handle| &handle.tables);
            let lists = state.lists.iter().filter(|list| !list.entries.is_empty()).map(|list| &list.name);
            names.extend(tables.map(|table| &table.name).chain(lists).cloned());
        }
        names.sort_unstable();
        names.dedup();
        names
    }
}

type Operators<'a> = BTreeMap<&'a [u8], Known<'a>>;

fn operators<'a>(metadata: &'a proto::CheckpointMetadata, checkpoint: &str) -> Result<Operators<'a>, Error> {
    let mut operators: Operators<'a> = BTreeMap::new();
    for vertex in &metadata.vertices {
        if vertex.subtasks.len() != vertex.parallelism as usize {
            let reason = format!(
                "task {} has parallelism {} and the state of {} subtasks",
                vertex.name,
                vertex.parallelism,
                vertex.subtasks.len()
            );
            return Err(Error::Broken { checkpoint: checkpoint.to_owned(), reason });
        }
        for (subtask, state) in vertex.subtasks.iter().enumerate() {
            for operator in &state.operators {
                let known = operators
                    .entry(&operator.uid)
                    .or_insert_with(|| Known { vertex, subtasks: vec![None; vertex.subtasks.len()] });
                if known.vertex.vertex_id != vertex.vertex_id || known.subtasks[subtask].replace(operator).is_some() {
                    let reason = format!("the operator {} of task {} is in it twice", hex(&operator.uid), vertex.name);
                    return Err(Error::Broken { checkpoint: checkpoint.to_owned(), reason });
                }
            }
        }
    }
    Ok(operators)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Takes the number of key groups from a checkpoint where the job does not set it (`derived`, by vertex), and checks it
/// where it does.
pub fn adopt_max_parallelism(
    metadata: &proto::CheckpointMetadata,
    checkpoint: &str,
    graph: &mut proto::JobGraph,
    derived: &[bool],
) -> Result<(), Error> {
    let operators = operators(metadata, checkpoint)?;
    for (position, vertex) in graph.vertices.iter_mut().enumerate() {
        let known = vertex.operators.iter().filter_map(|operator| operators.get(&operator.uid[..]));
        for known in known.filter(|known| known.is_keyed()) {
            let restored = known.vertex.max_parallelism;
            if derived.get(position) == Some(&true) {
                vertex.max_parallelism = restored;
            }
            check_max_parallelism(vertex, restored, checkpoint)?;
        }
    }
    Ok(())
}

fn check_max_parallelism(vertex: &proto::JobVertex, restored: u32, checkpoint: &str) -> Result<(), Error> {
    let (checkpoint, name) = (checkpoint.to_owned(), vertex.name.clone());
    if restored < vertex.parallelism {
        let parallelism = vertex.parallelism;
        return Err(Error::ParallelismTooHigh { checkpoint, vertex: name, restored, parallelism });
    }
    let configured = max_parallelism(vertex);
    if restored != configured {
        return Err(Error::MaxParallelismChanged { checkpoint, vertex: name, restored, configured });
    }
    Ok(())
}

fn max_parallelism(vertex: &proto::JobVertex) -> u32 {
    match vertex.max_parallelism {
        0 => default_max_parallelism(vertex.parallelism),
        given => given,
    }
}

/// What each subtask of the job starts from. `checkpoint` names it in errors; `allow_non_restored`: state that no operator
/// wants is left behind.
pub fn assign(
    metadata: &proto::CheckpointMetadata,
    checkpoint: &str,
    graph: &proto::JobGraph,
    allow_non_restored: bool,
) -> Result<Assignment, Error> {
    if metadata.hash_version != u32::from(HASH_VERSION) {
        let (found, expected) = (metadata.hash_version, u32::from(HASH_VERSION));
        return Err(Error::HashVersion { checkpoint: checkpoint.to_owned(), found, expected });
    }
    let operators = operators(metadata, checkpoint)?;
    if !allow_non_restored {
        check_all_wanted(metadata, &operators, checkpoint, graph)?;
    }
    let mut assignment = Assignment::default();
    let ended = ended_operators(metadata);
    for vertex in &graph.vertices {
        let finished =
            !vertex.operators.is_empty() && vertex.operators.iter().all(|operator| ended.contains(&operator.uid[..]));
        let empty = proto::TaskState { finished, ..Default::default() };
        let mut subtasks: Vec<proto::TaskState> = vec![empty; vertex.parallelism as usize];
        for operator in &vertex.operators {
            let Some(known) = operators.get(&operator.uid[..]) else {
                assignment.without_state.push(operator.name.clone());
                continue;
            };
            if known.is_keyed() {
                check_max_parallelism(vertex, known.vertex.max_parallelism, checkpoint)?;
            }
            let (keyed, lists) = (Keyed::of(known), Lists::of(known));
            for (subtask, state) in subtasks.iter_mut().enumerate().filter(|(_, state)| !state.finished) {
                state.operators.push(operator_state(operator, &keyed, &lists, vertex, subtask));
            }
        }
        assignment.tasks.push(subtasks);
    }
    channels::assign(metadata, checkpoint, graph, allow_non_restored, &mut assignment.tasks)?;
    for coordinator in &metadata.coordinators {
        if let Some(uid) = OperatorId::from_bytes(&coordinator.uid) {
            assignment.coordinators.insert(uid, coordinator.state.clone());
        }
    }
    Ok(assignment)
}

fn check_all_wanted(
    metadata: &proto::CheckpointMetadata,
    operators: &Operators,
    checkpoint: &str,
    graph: &proto::JobGraph,
) -> Result<(), Error> {
    let wanted =
        |uid: &[u8]| graph.vertices.iter().flat_map(|vertex| &vertex.operators).any(|operator| operator.uid == uid);
    let not_mapped = |uid: &[u8], states: &str| {
        let names = metadata.vertices.iter().flat_map(|vertex| &vertex.operators);
        let name = names.filter(|operator| operator.uid == uid).map(|operator| operator.name.clone()).next();
        Error::NotMapped {
            checkpoint: checkpoint.to_owned(),
            operator: OperatorId::from_bytes(uid).unwrap_or(OperatorId([0; 16])),
            name: name.unwrap_or_else(|| "unnamed".into()),
            states: states.to_owned(),
        }
    };
    for (uid, known) in operators.iter().filter(|(uid, _)| !wanted(uid)) {
        let names = known.names();
        if !names.is_empty() {
            return Err(not_mapped(uid, &names.join(", ")));
        }
    }
    match metadata.coordinators.iter().find(|coordinator| !wanted(&coordinator.uid)) {
        Some(coordinator) => Err(not_mapped(&coordinator.uid, "enumerator of splits")),
        None => Ok(()),
    }
}

/// The operators of vertices that had ended wholly. A vertex has ended if all of its operators have: where chains are cut
/// otherwise than before, one that had ended may be in a task with one that has work left. Then the task runs, and the first
/// one finds nothing to do. Flink refuses that.
fn ended_operators(metadata: &proto::CheckpointMetadata) -> HashSet<&[u8]> {
    let ended = metadata.vertices.iter().filter(|vertex| vertex.subtasks.iter().all(|state| state.finished));
    ended.flat_map(|vertex| &vertex.operators).map(|operator| &operator.uid[..]).collect()
}

fn operator_state(
    operator: &proto::OperatorSpec,
    keyed: &Keyed,
    lists: &Lists,
    vertex: &proto::JobVertex,
    subtask: usize,
) -> proto::OperatorSubtaskState {
    proto::OperatorSubtaskState {
        uid: operator.uid.clone(),
        keyed: keyed.of_key_groups(&key_groups(subtask as u32, vertex.parallelism, max_parallelism(vertex))),
        lists: lists.of_subtask(vertex.parallelism as usize, subtask),
    }
}

/// The keyed state of an operator, sorted once for all subtasks.
struct Keyed<'a> {
    /// By the first key group, each with its place in the checkpoint.
    handles: Vec<(usize, &'a proto::KeyedStateHandle)>,
    /// For each the largest last key group up to it: its own, unless handles overlap.
    ends: Vec<u32>,
}

impl<'a> Keyed<'a> {
    fn of(known: &Known<'a>) -> Self {
        let states = known.subtasks.iter().filter_map(|state| *state);
        let mut handles: Vec<_> = states.flat_map(|state| &state.keyed).enumerate().collect();
        handles.sort_by_key(|(_, handle)| handle.first_key_group);
        let ends = handles.iter().scan(0, |end, (_, handle)| {
            *end = handle.last_key_group.max(*end);
            Some(*end)
        });
        Self { ends: ends.collect(), handles }
    }

    /// The handles with some of these key groups, in the order of the checkpoint.
    fn of_key_groups(&self, groups: &Range<u32>) -> Vec<proto::KeyedStateHandle> {
        let from = self.ends.partition_point(|end| *end < groups.start);
        let to = self.handles.partition_point(|(_, handle)| handle.first_key_group < groups.end);
        let candidates = self.handles.get(from..to).unwrap_or_default();
        let mut concerned: Vec<_> =
            candidates.iter().filter(|(_, handle)| groups.start <= handle.last_key_group).copied().collect();
        concerned.sort_unstable_by_key(|(place, _)| *place);
        concerned.into_iter().map(|(_, handle)| handle.clone()).collect()
    }
}

/// The lists of an operator, gone through once for all subtasks.
struct Lists<'a>(BTreeMap<&'a str, List<'a>>);

struct List<'a> {
    redistribution: Redistribution,
    /// By old subtask.
    entries: Vec<&'a [Bytes]>,
    /// All entries, one after another.
    all: Vec<&'a Bytes>,
    /// One subtask that has the list.
    first: usize,
}

impl<'a> Lists<'a> {
    fn of(known: &Known<'a>) -> Self {
        let mut lists: BTreeMap<&str, List> = BTreeMap::new();
        for (subtask, state) in known.subtasks.iter().enumerate() {
            for list in state.iter().flat_map(|state| &state.lists) {
                let merged = lists.entry(&list.name).or_insert_with(|| List {
                    redistribution: list.redistribution(),
                    entries: vec![&[]; known.subtasks.len()],
                    all: Vec::new(),
                    first: subtask,
                });
                merged.entries[subtask] = &list.entries;
                merged.all.extend(&list.entries);
            }
        }
        Self(lists)
    }

    fn of_subtask(&self, parallelism: usize, subtask: usize) -> Vec<proto::OperatorListState> {
        let lists = self.0.iter().map(|(name, list)| proto::OperatorListState {
            name: (*name).to_owned(),
            redistribution: list.redistribution.into(),
            entries: list.of_subtask(parallelism, subtask),
        });
        lists.collect()
    }
}

impl List<'_> {
    fn of_subtask(&self, parallelism: usize, subtask: usize) -> Vec<Bytes> {
        let unchanged = self.entries.len() == parallelism;
        match self.redistribution {
            Redistribution::Split if unchanged => self.entries[subtask].to_vec(),
            Redistribution::Split => {
                self.all[share(self.all.len(), parallelism, subtask)].iter().map(|entry| (*entry).clone()).collect()
            }
            Redistribution::BySubtask => {
                self.entries.iter().skip(subtask).step_by(parallelism.max(1)).flat_map(|list| list.to_vec()).collect()
            }
            Redistribution::Union => self.all.iter().map(|entry| (*entry).clone()).collect(),
            Redistribution::Broadcast if unchanged && !self.entries[subtask].is_empty() => {
                self.entries[subtask].to_vec()
            }
            // Also for a subtask that finished before it wrote the list: it has no entries of its own.
            Redistribution::Broadcast => self.entries[self.first].to_vec(),
        }
    }
}

/// The part of `total` things that one of `parts` gets: nearly equal ones, in order.
fn share(total: usize, parts: usize, part: usize) -> Range<usize> {
    let at = |part: usize| part * total / parts.max(1);
    at(part)..at(part + 1)
}

#[cfg(test)]
mod tests;
