//! Rows in channels at a restore.
//!
//! At the same parallelism on both ends of an edge a subtask gets its own channels back. Else rows of an input go to every
//! subtask that may be concerned, which keeps those of its key groups, or to exactly one where the edge has no keys; rows of
//! an output go to one producer, which sends them anew. Edges are told apart by their position among the vertex's edges, as
//! [`proto::ChannelState::edge`] counts them; an edge that is no more is an error.
use wiesel_common::keygroup::key_groups;
use wiesel_proto as proto;

use super::{Error, max_parallelism};

/// Adds the channels to the state of each subtask.
pub(super) fn assign(
    metadata: &proto::CheckpointMetadata,
    checkpoint: &str,
    graph: &proto::JobGraph,
    allow_non_restored: bool,
    tasks: &mut [Vec<proto::TaskState>],
) -> Result<(), Error> {
    for old in metadata.vertices.iter().filter(|old| old.subtasks.iter().any(|state| !state.channels.is_empty())) {
        let Some(position) = graph.vertices.iter().position(|vertex| vertex.id == old.vertex_id) else {
            if allow_non_restored {
                continue;
            }
            return Err(broken(checkpoint, old, "rows were in its channels, and the new program has no such task"));
        };
        for (subtask, state) in old.subtasks.iter().enumerate() {
            for channel in &state.channels {
                let edge = edge(graph, position, channel)
                    .ok_or_else(|| broken(checkpoint, old, "rows were in a channel of an edge that is no more"))?;
                for target in targets(graph, edge, channel, old, subtask) {
                    tasks[position][target].channels.push(channel.clone());
                }
            }
        }
    }
    Ok(())
}

fn broken(checkpoint: &str, vertex: &proto::VertexState, reason: &str) -> Error {
    Error::Broken { checkpoint: checkpoint.to_owned(), reason: format!("task {}: {reason}", vertex.name) }
}

/// The edge of a channel.
fn edge<'a>(graph: &'a proto::JobGraph, vertex: usize, channel: &proto::ChannelState) -> Option<&'a proto::JobEdge> {
    let end = |edge: &proto::JobEdge| if channel.output { edge.source } else { edge.target } as usize;
    graph.edges.iter().filter(|edge| end(edge) == vertex).nth(channel.edge as usize)
}

/// Which subtasks get a channel's rows.
fn targets(
    graph: &proto::JobGraph,
    edge: &proto::JobEdge,
    channel: &proto::ChannelState,
    old: &proto::VertexState,
    subtask: usize,
) -> Vec<usize> {
    let position = if channel.output { edge.source } else { edge.target } as usize;
    let vertex = &graph.vertices[position];
    let parallelism = vertex.parallelism as usize;
    let hashed = !channel.output && edge.partitioner() == proto::Partitioner::Hash;
    if hashed && max_parallelism(vertex) != old.max_parallelism {
        // Without keyed state the number of key groups may change; then a row may be any subtask's.
        return (0..parallelism).collect();
    }
    if vertex.parallelism == old.parallelism {
        return vec![subtask];
    }
    if !hashed {
        return vec![subtask % parallelism];
    }
    // The old consumer's key groups, whichever subtasks have them now.
    let groups = key_groups(subtask as u32, old.parallelism, old.max_parallelism);
    (0..parallelism)
        .filter(|new| {
            let theirs = key_groups(*new as u32, vertex.parallelism, old.max_parallelism);
            theirs.start < groups.end && groups.start < theirs.end
        })
        .collect()
}
