//! Puts the end on a plan: a table, or the client.
use std::sync::Arc;

use wiesel_operators::types::RowField;

use super::Context;
use super::convert::convert;
use super::physical::{NodeId, Op, Plan, Sink};
use super::source::describe_sink;
use crate::catalog::{ResolvedColumnKind, ResolvedTable};
use crate::error::Result;
use crate::rel::Rel;

/// Adds a sink over a query that gives the persisted columns of the table in their order.
pub(crate) fn write(plan: &mut Plan, rel: &Rel, table: &Arc<ResolvedTable>, context: &Context) -> Result<NodeId> {
    let description = describe_sink(table)?;
    let input = convert(plan, rel, context)?;
    let may_be_null = |column: usize| rel.fields.get(column).is_none_or(|field| field.data_type.nullable);
    let declared = table.physical.iter().enumerate().filter(|(_, field)| !field.data_type.nullable);
    let not_null = declared.map(|(column, _)| column).filter(|column| may_be_null(*column)).collect();
    let physical = |column: &usize| match table.columns[*column].kind {
        ResolvedColumnKind::Physical(index) => Some(index),
        ResolvedColumnKind::Computed(_) => None,
    };
    let sink = Sink {
        table: table.clone(),
        parallelism: description.parallelism,
        takes: description.changelog,
        not_null,
        primary_key: table.primary_key.iter().filter_map(physical).collect(),
    };
    let fields: Vec<RowField> = plan.nodes[input].fields.clone();
    Ok(plan.add(Op::Sink(sink), vec![input], fields))
}

/// Adds the collect sink over a query.
pub(crate) fn collect(plan: &mut Plan, rel: &Rel, context: &Context) -> Result<NodeId> {
    let input = convert(plan, rel, context)?;
    let fields = rel.fields.clone();
    Ok(plan.add(Op::Collect, vec![input], fields))
}
