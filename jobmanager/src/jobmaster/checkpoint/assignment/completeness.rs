//! Whether metadata says all that a checkpoint says, and nothing twice.
//!
//! Checksums tell that it is what was written, not that it is whole: a list that one subtask lacks, or a handle that is
//! there twice, would be restored without a word, and rows be lost or counted twice. All subtasks of an operator that run hand
//! over the same lists and tables, so those of each are held against what the checkpoint says the operator has
//! ([`proto::OperatorStates`]), or against what they have together where that was not noted yet.
use std::collections::{BTreeMap, BTreeSet, HashSet};

use wiesel_proto as proto;

use super::hex;

/// Whether everything is there, once.
///
/// # Errors
/// What is missing, or there twice.
pub(super) fn check(metadata: &proto::CheckpointMetadata) -> Result<(), String> {
    let mut coordinators = HashSet::new();
    for coordinator in &metadata.coordinators {
        if !coordinators.insert(&coordinator.uid[..]) {
            return Err(format!("the enumerator of splits of the operator {} is in it twice", hex(&coordinator.uid)));
        }
    }
    let mut vertices = HashSet::new();
    for vertex in &metadata.vertices {
        if !vertices.insert(&vertex.vertex_id[..]) {
            return Err(format!("task {} is in it twice", vertex.name));
        }
        let (parallelism, subtasks) = (vertex.parallelism, vertex.subtasks.len());
        if subtasks != parallelism as usize {
            let name = &vertex.name;
            return Err(format!("task {name} has the parallelism {parallelism} and the state of {subtasks} subtasks"));
        }
        for (subtask, state) in vertex.subtasks.iter().enumerate() {
            check_subtask(vertex, state).map_err(|what| format!("subtask {subtask} of task {} {what}", vertex.name))?;
        }
        for operator in &vertex.operators {
            check_operator(vertex, operator)?;
            let noted = operator.states.as_ref().is_some_and(|states| states.enumerator);
            if noted && !coordinators.contains(&operator.uid[..]) {
                return Err(format!("the enumerator of splits of {} is not in it", shown(operator)));
            }
        }
    }
    Ok(())
}

/// What can be seen in one subtask alone.
fn check_subtask(vertex: &proto::VertexState, state: &proto::TaskState) -> Result<(), String> {
    if state.finished && !state.operators.is_empty() {
        return Err("had ended and has state".into());
    }
    let mut operators = HashSet::new();
    for operator in &state.operators {
        let uid = || hex(&operator.uid);
        if !vertex.operators.iter().any(|known| known.uid == operator.uid) {
            return Err(format!("has the state of the operator {}, which is not in that task", uid()));
        }
        if !operators.insert(&operator.uid[..]) {
            return Err(format!("has the state of the operator {} twice", uid()));
        }
        if operator.keyed.len() > 1 {
            return Err(format!("has {} handles of the keyed state of the operator {}", operator.keyed.len(), uid()));
        }
        let mut lists = HashSet::new();
        if let Some(list) = operator.lists.iter().find(|list| !lists.insert(&list.name)) {
            return Err(format!("has the list '{}' of the operator {} twice", list.name, uid()));
        }
        operator.keyed.iter().try_for_each(check_files)?;
    }
    let mut channels = HashSet::new();
    for channel in &state.channels {
        let name = (channel.output, channel.edge, channel.subtask);
        if channel.file.is_none() || !channels.insert(name) {
            return Err(format!("has the rows in flight of the channel {name:?} twice, or without a file"));
        }
    }
    Ok(())
}

fn check_files(handle: &proto::KeyedStateHandle) -> Result<(), String> {
    let mut tables = HashSet::new();
    if let Some(table) = handle.tables.iter().find(|table| !tables.insert(&table.name)) {
        return Err(format!("has the table '{}' of its keyed state twice", table.name));
    }
    let mut paths = HashSet::new();
    for named in &handle.files {
        let Some(file) = &named.file else {
            return Err(format!("does not say where the file '{}' of its keyed state is", named.name));
        };
        if !file.path.is_empty() && !paths.insert(&file.path) {
            return Err(format!("has the file {} in its keyed state twice", file.path));
        }
    }
    Ok(())
}

/// What all subtasks of an operator must have alike.
fn check_operator(vertex: &proto::VertexState, operator: &proto::OperatorName) -> Result<(), String> {
    let of = |state: &proto::TaskState| state.operators.iter().position(|state| state.uid == operator.uid);
    let running: Vec<(usize, Option<&proto::OperatorSubtaskState>)> = vertex
        .subtasks
        .iter()
        .enumerate()
        .filter(|(_, state)| !state.finished)
        .map(|(subtask, state)| (subtask, of(state).map(|position| &state.operators[position])))
        .collect();
    let together = states(running.iter().filter_map(|(_, state)| *state));
    let expected = operator.states.as_ref().unwrap_or(&together);
    let mut redistributions = BTreeMap::new();
    for (subtask, state) in running {
        let found = states(state.into_iter());
        if (found.keyed, &found.tables, &found.lists) != (expected.keyed, &expected.tables, &expected.lists) {
            return Err(format!(
                "subtask {subtask} of task {} has {} of {}, which is to have {}",
                vertex.name,
                described(&found),
                shown(operator),
                described(expected)
            ));
        }
        for list in state.into_iter().flat_map(|state| &state.lists) {
            if *redistributions.entry(&list.name).or_insert(list.redistribution) != list.redistribution {
                let name = &list.name;
                return Err(format!(
                    "the subtasks of {} differ in how its list '{name}' is dealt out",
                    shown(operator)
                ));
            }
        }
    }
    Ok(())
}

/// What some subtasks of an operator have together, but for its enumerator.
pub fn states<'a>(subtasks: impl Iterator<Item = &'a proto::OperatorSubtaskState>) -> proto::OperatorStates {
    let (mut keyed, mut tables, mut lists) = (false, BTreeSet::new(), BTreeSet::new());
    for state in subtasks {
        keyed |= !state.keyed.is_empty();
        tables.extend(state.keyed.iter().flat_map(|handle| &handle.tables).map(|table| table.name.as_str()));
        lists.extend(state.lists.iter().map(|list| list.name.as_str()));
    }
    let names = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect();
    proto::OperatorStates { keyed, tables: names(tables), lists: names(lists), enumerator: false }
}

fn shown(operator: &proto::OperatorName) -> String {
    format!("the operator {} ({})", hex(&operator.uid), operator.name)
}

fn described(states: &proto::OperatorStates) -> String {
    let keyed = if states.keyed { "keyed state" } else { "no keyed state" };
    format!("{keyed} with the tables [{}] and the lists [{}]", states.tables.join(", "), states.lists.join(", "))
}
