//! Which kinds of change travel on each edge: what operators produce, bottom up; then who needs the row before an update,
//! top down.
use super::explain;
use super::physical::{Changes, NodeId, Plan};
use crate::error::{Error, Result};

/// Settles [`super::physical::PlanNode::changes`] of all operators.
///
/// # Errors
/// An operator or a sink that takes inserts only and would get changes, in Flink's words.
pub(crate) fn settle(plan: &mut Plan) -> Result<()> {
    for id in 0..plan.nodes.len() {
        let node = &plan.nodes[id];
        let inputs: Vec<Changes> = node.inputs.iter().map(|input| plan.nodes[*input].changes).collect();
        let produced = node.op.produces(&inputs);
        plan.nodes[id].changes = produced;
        check(plan, id)?;
    }
    for (id, wanted) in wants_before(plan).into_iter().enumerate() {
        let node = &plan.nodes[id];
        let given = node.inputs.iter().any(|input| plan.nodes[*input].changes.before);
        let before = node.op.gives_before(node.changes, given, wanted);
        plan.nodes[id].changes.before = before;
    }
    Ok(())
}

/// Refuses changes where only inserts are taken.
fn check(plan: &Plan, id: NodeId) -> Result<()> {
    let node = &plan.nodes[id];
    let Some(requester) = node.op.takes_inserts_only() else { return Ok(()) };
    for input in &node.inputs {
        let changes = plan.nodes[*input].changes;
        let kinds = match (changes.update, changes.delete) {
            (false, false) => continue,
            (true, false) => "update changes",
            (false, true) => "delete changes",
            (true, true) => "update and delete changes",
        };
        let producer = explain::describe(plan, producer(plan, *input));
        return Err(Error::Validation {
            message: format!("{requester} doesn't support consuming {kinds} which is produced by node {producer}"),
            location: None,
        });
    }
    Ok(())
}

/// The operator that makes the changes, below those that only pass them on.
fn producer(plan: &Plan, id: NodeId) -> NodeId {
    let node = &plan.nodes[id];
    if !node.op.passes_changes_on() {
        return id;
    }
    let changing = node.inputs.iter().find(|input| plan.nodes[**input].changes.is_changelog());
    changing.map_or(id, |input| producer(plan, *input))
}

/// For each operator: whether a reader needs the -U of its updates.
fn wants_before(plan: &Plan) -> Vec<bool> {
    let mut wanted = vec![false; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        for (input, producer) in node.inputs.iter().enumerate() {
            if node.op.wants_before(input, wanted[id]) {
                wanted[*producer] = true;
            }
        }
    }
    wanted
}
