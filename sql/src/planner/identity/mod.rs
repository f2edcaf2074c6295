//! The uids of operators: what a savepoint knows them by.
//!
//! A uid says what an operator does to which rows of which tables, not where it stands: not its position, not the names
//! and the order of columns, not columns that it does not read, not who else reads its input, not which conditions the
//! source applies itself. So state is found again after edits of the SQL that do not concern it, and is not after those
//! that do.
//!
//! Each operator says which rows it gives ([`Rows`]) and what each of its columns holds, both in terms of tables, and its uid,
//! which is made of those of its inputs and of what it does. Where several operators have the same one, such as two
//! aggregations of one kind that are not shared, each also tells by the way its results take which one it is; those that
//! even this leaves equal can stand for each other, and are counted.
use std::collections::BTreeMap;

mod digest;
mod expression;
mod groups;
mod rows;

pub(super) use digest::{Digest, Id};
pub(super) use expression::expression;
pub(super) use groups::{aggregated, grouped, groups, windows};
pub(super) use rows::{Identity, Rows, column, field_of, named, table_name};

use super::physical::{NodeId, Plan, PlanNode};
use crate::error::{Error, Result};

/// The id of the vertex that is named by operators with these uids.
pub(super) fn of_chain<'a>(uids: impl Iterator<Item = &'a [u8]>) -> Id {
    uids.fold(Digest::new("vertex"), Digest::fixed).finish()
}

/// The uid of each operator.
///
/// # Errors
/// Two operators have the same one.
pub(super) fn uids(plan: &Plan) -> Result<Vec<Id>> {
    let identities = identities(plan);
    let own = |(node, given): (&PlanNode, &Identity)| node.op.uid(&of_inputs(node, &identities), given);
    let mut uids: Vec<Id> = plan.nodes.iter().zip(&identities).map(own).collect();
    let readers = readers(plan, &uids);
    tell_apart(&mut uids, |id, uid| {
        Digest::new("rows").id(uid).ids(plan.nodes[id].op.distinction(&identities[id])).finish()
    });
    tell_apart(&mut uids, |id, uid| Digest::new("to").id(uid).id(readers[id]).finish());
    count(&mut uids);
    let mut seen: BTreeMap<Id, NodeId> = BTreeMap::new();
    for (id, uid) in uids.iter().enumerate() {
        if let Some(other) = seen.insert(*uid, id) {
            let message = format!("operators {other} and {id} of the plan have the same uid");
            return Err(Error::Unsupported { message, location: None });
        }
    }
    Ok(uids)
}

/// Gives all operators whose uid is not theirs alone another one.
fn tell_apart(uids: &mut [Id], better: impl Fn(NodeId, Id) -> Id) {
    let mut owners: BTreeMap<Id, usize> = BTreeMap::new();
    uids.iter().for_each(|uid| *owners.entry(*uid).or_default() += 1);
    for (id, uid) in uids.iter_mut().enumerate().filter(|(_, uid)| owners[*uid] > 1) {
        *uid = better(id, *uid);
    }
}

/// Numbers operators that stand for each other; the first one of each kind keeps its uid.
fn count(uids: &mut [Id]) {
    let mut seen: BTreeMap<Id, i64> = BTreeMap::new();
    for uid in uids {
        let count = seen.entry(*uid).or_default();
        *count += 1;
        if *count > 1 {
            *uid = Digest::new("again").id(*uid).number(*count).finish();
        }
    }
}

/// For each operator where what it gives goes to.
fn readers(plan: &Plan, uids: &[Id]) -> Vec<Id> {
    let mut readers: Vec<Vec<Id>> = vec![Vec::new(); plan.nodes.len()];
    let mut ways = vec![[0; 16]; plan.nodes.len()];
    for (id, node) in plan.nodes.iter().enumerate().rev() {
        readers[id].sort_unstable();
        ways[id] = Digest::new("readers").ids(readers[id].iter().copied()).finish();
        let way = Digest::new("way").id(uids[id]).id(ways[id]).finish();
        node.inputs.iter().for_each(|input| readers[*input].push(way));
    }
    ways
}

/// What each operator gives.
fn identities(plan: &Plan) -> Vec<Identity> {
    let mut identities: Vec<Identity> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let identity = node.op.identity(&of_inputs(node, &identities), &node.fields);
        identities.push(identity);
    }
    identities
}

/// What an operator gets.
fn of_inputs<'a>(node: &PlanNode, identities: &'a [Identity]) -> Vec<&'a Identity> {
    node.inputs.iter().map(|input| &identities[*input]).collect()
}
