//! The uids of operators: what a savepoint knows them by.
//!
//! A uid says what an operator does to which rows of which tables, not where it stands: not its position, not the names
//! and the order of columns, not columns that it does not read, not who else reads its input, not which conditions the
//! source applies itself. So state is found again after edits of the SQL that do not concern it, and is not after those
//! that do.
//!
//! For each operator is known which rows it gives ([`Rows`]) and what each of its columns holds, both in terms of tables. A uid
//! is made of those of the operator's input and of what it does. Where several operators have the same one, such as two
//! aggregations of one kind that are not shared, each also tells by the way its results take which one it is; those that
//! even this leaves equal can stand for each other, and are counted.
use std::collections::BTreeMap;

use wiesel_operators::expression::Expression;
use wiesel_proto as proto;

mod digest;
mod expression;
mod groups;
mod rows;

use digest::{Digest, Id};
use expression::expression;
use groups::{aggregated, grouped, groups, windows};
use rows::{Identity, Rows, column, field_of, named};

use super::expressions::conjuncts;
use super::physical::{NodeId, Op, Plan, PlanNode, Source, WindowAggregate};
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
    let mut uids: Vec<Id> = (0..plan.nodes.len()).map(|id| own(plan, id, &identities)).collect();
    let readers = readers(plan, &uids);
    tell_apart(&mut uids, |id, uid| {
        Digest::new("rows").id(uid).ids(distinction(&plan.nodes[id], &identities[id])).finish()
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

/// What tells scans of a table apart: the conditions that they apply and their options; of other operators: all columns.
fn distinction(node: &PlanNode, identity: &Identity) -> Vec<Id> {
    match &node.op {
        Op::Source(Source { table, .. }) => {
            let options = table.options.iter().fold(Digest::new("options"), |digest, (k, v)| digest.text(k).text(v));
            [options.finish()].into_iter().chain(identity.rows.conditions.iter().copied()).collect()
        }
        _ => identity.columns.clone(),
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

/// The uid that an operator has if no other has it.
fn own(plan: &Plan, id: NodeId, identities: &[Identity]) -> Id {
    let node = &plan.nodes[id];
    let input = node.inputs.first().map(|input| &identities[*input]);
    let columns = |digest: Digest| digest.ids(identities[id].columns.iter().copied());
    let rows = identities[id].rows.id();
    match (&node.op, input) {
        (Op::Source(Source { table, .. }), _) => Digest::new("Source").text(&table.identifier.to_string()).finish(),
        (Op::Sink(sink), _) => Digest::new("Sink").text(&sink.table.identifier.to_string()).id(rows).finish(),
        (Op::Collect, _) => Digest::new("Collect").id(rows).finish(),
        (Op::GroupAggregate { keys, aggregates }, Some(input)) => {
            groups(Digest::new("GroupAggregate"), input, keys, aggregates).finish()
        }
        (Op::WindowAggregate { phase, aggregate }, Some(input)) => {
            // The last phase has the same state as the only one.
            let local = *phase == proto::WindowPhase::Local;
            let kind = if local { "LocalWindowAggregate" } else { "WindowAggregate" };
            let raw = raw_rows(plan, node).map_or(input, |raw| &identities[raw]);
            groups(Digest::new(kind), raw, &aggregate.keys, &aggregate.aggregates)
                .id(by_window(raw, aggregate))
                .finish()
        }
        (Op::Values(_), _) => columns(Digest::new("Values").id(rows)).finish(),
        (Op::Calc { .. }, _) => columns(Digest::new("Calc").id(rows)).finish(),
        (Op::WatermarkAssigner { .. }, _) => columns(Digest::new("WatermarkAssigner").id(rows)).finish(),
        (Op::WindowTableFunction { .. }, _) => columns(Digest::new("WindowTableFunction").id(rows)).finish(),
        (_, _) => columns(Digest::new("Edge").id(rows)).finish(),
    }
}

/// What each operator gives.
fn identities(plan: &Plan) -> Vec<Identity> {
    let mut identities: Vec<Identity> = Vec::with_capacity(plan.nodes.len());
    for node in &plan.nodes {
        let input = node.inputs.first().map(|input| &identities[*input]);
        let identity = match (&node.op, input) {
            (Op::Source(scan), _) => source(scan),
            (Op::Values(rows), _) => values(rows, node.fields.len()),
            (Op::Calc { condition, projection }, Some(input)) => calc(input, condition.as_ref(), projection),
            (Op::GroupAggregate { keys, aggregates }, Some(input)) => {
                let rows = grouped(Digest::new("group"), input, keys).finish();
                aggregated(rows, input, keys, aggregates)
            }
            (Op::WindowAggregate { phase, aggregate }, Some(input)) if *phase != proto::WindowPhase::Local => {
                let raw = raw_rows(plan, node).map_or(input, |raw| &identities[raw]);
                let rows = grouped(Digest::new("group by window"), raw, &aggregate.keys);
                let rows = rows.id(by_window(raw, aggregate)).finish();
                let properties = aggregate.properties.iter().map(|property| column(rows, *property as i64));
                let mut identity = aggregated(rows, raw, &aggregate.keys, &aggregate.aggregates);
                identity.columns.extend(properties);
                identity
            }
            (Op::WindowTableFunction { window, event_time }, Some(input)) => {
                let rows = Digest::new("windows").id(input.rows.id()).id(windows(input, window, *event_time)).finish();
                let added = (input.columns.len()..node.fields.len()).map(|at| (at - input.columns.len()) as i64);
                let columns = input.columns.iter().copied().chain(added.map(|at| column(rows, at)));
                Identity { rows: Rows::all(rows), columns: columns.collect() }
            }
            (Op::Union, Some(_)) => union(node.inputs.iter().map(|input| &identities[*input]).collect()),
            // Watermarks, exchanges, sinks and the first phase of a window leave rows what they are.
            (_, Some(input)) => input.clone(),
            (_, None) => Identity { rows: Rows::all(Digest::new("none").finish()), columns: Vec::new() },
        };
        identities.push(identity);
    }
    identities
}

/// Below the first of two phases: the rows that its columns speak of.
fn raw_rows(plan: &Plan, node: &PlanNode) -> Option<NodeId> {
    let Op::WindowAggregate { phase: proto::WindowPhase::Final, .. } = node.op else { return None };
    let mut below = *node.inputs.first()?;
    while !matches!(plan.nodes[below].op, Op::WindowAggregate { .. }) {
        below = *plan.nodes[below].inputs.first()?;
    }
    plan.nodes[below].inputs.first().copied()
}

fn source(scan: &Source) -> Identity {
    let table = Digest::new("table").text(&scan.table.identifier.to_string()).finish();
    let physical = |index: usize| match scan.table.physical.get(index) {
        Some(field) => named(table, &field.name),
        None => column(table, index as i64),
    };
    let path = |path: &Vec<usize>| {
        let root = path.first().copied().unwrap_or_default();
        let mut data_type = scan.table.physical.get(root).map(|field| &field.data_type);
        let mut id = physical(root);
        for index in path.iter().skip(1) {
            let field = data_type.and_then(|data_type| field_of(&data_type.kind, *index));
            id = field.map_or_else(|| column(id, *index as i64), |field| named(id, &field.name));
            data_type = field.map(|field| &field.data_type);
        }
        id
    };
    let all: Vec<Id> = (0..scan.table.physical.len()).map(physical).collect();
    let conditions = scan.filters.iter().flat_map(conjuncts).map(|condition| expression(&condition, &all)).collect();
    Identity { rows: Rows { of: table, conditions }, columns: scan.projection.iter().map(path).collect() }
}

/// There may be columns without a row: what stands for rows that a condition never lets through.
fn values(rows: &[Vec<Expression>], width: usize) -> Identity {
    let row = |row: &Vec<Expression>| Digest::new("row").ids(row.iter().map(|value| expression(value, &[]))).finish();
    let id = Digest::new("values").ids(rows.iter().map(row)).finish();
    Identity { rows: Rows::all(id), columns: (0..width).map(|at| column(id, at as i64)).collect() }
}

fn calc(input: &Identity, condition: Option<&Expression>, projection: &[Expression]) -> Identity {
    let mut rows = input.rows.clone();
    let conditions = condition.into_iter().flat_map(conjuncts);
    rows.conditions.extend(conditions.map(|condition| expression(&condition, &input.columns)));
    Identity { rows, columns: projection.iter().map(|output| expression(output, &input.columns)).collect() }
}

fn by_window(raw: &Identity, aggregate: &WindowAggregate) -> Id {
    windows(raw, &aggregate.window, aggregate.event_time)
}

fn union(mut inputs: Vec<&Identity>) -> Identity {
    inputs.sort_by_cached_key(|input| (input.rows.id(), input.columns.clone()));
    let id = Digest::new("union").ids(inputs.iter().map(|input| input.rows.id())).finish();
    let width = inputs.iter().map(|input| input.columns.len()).min().unwrap_or_default();
    let column = |at: usize| Digest::new("union").ids(inputs.iter().map(|input| input.columns[at])).finish();
    Identity { rows: Rows::all(id), columns: (0..width).map(column).collect() }
}
