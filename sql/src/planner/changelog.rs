//! Which kinds of change travel on each edge: what operators produce, bottom up; then who needs the row before an update,
//! top down.
use wiesel_connectors::factory::ChangelogMode;

use super::explain;
use super::physical::{Changes, NodeId, Op, Plan};
use crate::error::{Error, Result};

/// Settles [`super::physical::PlanNode::changes`] of all operators.
///
/// # Errors
/// An operator or a sink that takes inserts only and would get changes, in Flink's words.
pub(crate) fn settle(plan: &mut Plan) -> Result<()> {
    for id in 0..plan.nodes.len() {
        let produced = produced(plan, id);
        plan.nodes[id].changes = produced;
        check(plan, id)?;
    }
    for (id, wanted) in wants_before(plan).into_iter().enumerate() {
        let from_inputs = plan.nodes[id].inputs.iter().any(|input| plan.nodes[*input].changes.before);
        let node = &mut plan.nodes[id];
        node.changes.before = match &node.op {
            Op::Source(_) => node.changes.before,
            Op::GroupAggregate { .. } => node.changes.update && wanted,
            Op::Calc { .. } | Op::Exchange(_) | Op::Union => from_inputs,
            _ => false,
        };
    }
    Ok(())
}

/// What an operator produces of what its inputs produce; -U is settled later.
fn produced(plan: &Plan, id: NodeId) -> Changes {
    let node = &plan.nodes[id];
    let inputs = node.inputs.iter().map(|input| plan.nodes[*input].changes);
    let all = inputs.fold(Changes::default(), |a, b| Changes {
        update: a.update || b.update,
        before: false,
        delete: a.delete || b.delete,
    });
    match &node.op {
        Op::Source(source) => match source.emits {
            ChangelogMode::InsertOnly => Changes::INSERT_ONLY,
            ChangelogMode::Upsert => Changes { update: true, before: false, delete: true },
            ChangelogMode::All => Changes { update: true, before: true, delete: true },
        },
        Op::GroupAggregate { .. } => Changes { update: true, before: false, delete: all.update || all.delete },
        Op::Calc { .. } | Op::Exchange(_) | Op::Union => all,
        Op::Values(_) | Op::WatermarkAssigner { .. } => Changes::INSERT_ONLY,
        Op::WindowAggregate { .. } | Op::WindowTableFunction { .. } => Changes::INSERT_ONLY,
        Op::Sink(_) | Op::Collect => Changes::INSERT_ONLY,
    }
}

/// Refuses changes where only inserts are taken.
fn check(plan: &Plan, id: NodeId) -> Result<()> {
    let node = &plan.nodes[id];
    let requester = match &node.op {
        Op::Sink(sink) if sink.takes == ChangelogMode::InsertOnly => {
            format!("Table sink '{}'", sink.table.identifier)
        }
        Op::WindowAggregate { .. } => "StreamPhysicalWindowAggregate".to_owned(),
        Op::WindowTableFunction { .. } => "StreamPhysicalWindowTableFunction".to_owned(),
        Op::WatermarkAssigner { .. } => "StreamPhysicalWatermarkAssigner".to_owned(),
        _ => return Ok(()),
    };
    let Some(input) = node.inputs.first().copied() else { return Ok(()) };
    let changes = plan.nodes[input].changes;
    let kinds = match (changes.update, changes.delete) {
        (false, false) => return Ok(()),
        (true, false) => "update changes",
        (false, true) => "delete changes",
        (true, true) => "update and delete changes",
    };
    let producer = explain::describe(plan, producer(plan, input));
    Err(Error::Validation {
        message: format!("{requester} doesn't support consuming {kinds} which is produced by node {producer}"),
        location: None,
    })
}

/// The operator that makes the changes, below those that only pass them on.
fn producer(plan: &Plan, id: NodeId) -> NodeId {
    let node = &plan.nodes[id];
    match &node.op {
        Op::Calc { .. } | Op::Exchange(_) | Op::Union => node
            .inputs
            .iter()
            .find(|input| plan.nodes[**input].changes.is_changelog())
            .map_or(id, |input| producer(plan, *input)),
        _ => id,
    }
}

/// For each operator: whether a reader needs the -U of its updates.
fn wants_before(plan: &Plan) -> Vec<bool> {
    let mut wanted = vec![false; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        let of_inputs = match &node.op {
            Op::Sink(sink) => sink.takes == ChangelogMode::All,
            Op::Collect | Op::GroupAggregate { .. } => true,
            // A row that passed may not pass after its update: only its -U takes it back.
            Op::Calc { condition, .. } => wanted[id] || condition.is_some(),
            _ => wanted[id],
        };
        if of_inputs {
            node.inputs.iter().for_each(|input| wanted[*input] = true);
        }
    }
    wanted
}
