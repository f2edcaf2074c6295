//! From relations to physical operators: calcs, exchanges, windows in one or two phases.
use std::collections::HashSet;

use wiesel_operators::expression::{Expression, Node};
use wiesel_operators::types::{RowField, TypeKind};
use wiesel_proto::WindowPhase;

use super::attached_window::recognize_attached;
use super::expressions::{identity, is_identity, substitute};
use super::operators::{
    Calc, Collect, Distribution, Exchange, GroupAggregate, Sink, Source, Union, Values, WatermarkAssigner,
    WindowTableFunction,
};
use super::options::AggregatePhaseStrategy;
use super::physical::{NodeId, Plan};
use super::source::{describe, describe_sink};
use super::window::{WindowGrouping, is_event_time, recognize};
use super::{Context, End};
use crate::error::{Error, Result};
use crate::rel::{Aggregate, Rel, RelNode};

/// Adds a query and what becomes of its rows to the plan.
pub(super) fn convert_query(plan: &mut Plan, rel: &Rel, end: &End, context: &Context) -> Result<NodeId> {
    let input = convert(plan, rel, context)?;
    Ok(match end {
        End::None => input,
        End::Collect => plan.add(Collect, vec![input], rel.fields.clone()),
        End::Table(table) => {
            let sink = Sink::new(table, &describe_sink(table)?, &rel.fields);
            let fields = plan.nodes[input].fields.clone();
            plan.add(sink, vec![input], fields)
        }
    })
}

/// Adds a relation to the plan.
fn convert(plan: &mut Plan, rel: &Rel, context: &Context) -> Result<NodeId> {
    let fields = rel.fields.clone();
    Ok(match &rel.node {
        RelNode::Scan(table) => {
            return Err(Error::Unsupported {
                message: format!("table '{}' was not given to the optimiser", table.identifier),
                location: None,
            });
        }
        RelNode::Source { table, projection, filters } => {
            let description = describe(table)?;
            let source = Source {
                table: table.clone(),
                projection: projection.clone(),
                filters: filters.clone(),
                bounded: description.bounded,
                parallelism: description.parallelism,
                emits: description.changelog,
            };
            plan.add(source, vec![], fields)
        }
        RelNode::Values(rows) => values(plan, rows, fields),
        RelNode::Project { input, expressions } => {
            let (condition, input) = match &input.node {
                RelNode::Filter { input, condition } => (Some(condition), input),
                _ => (None, input),
            };
            calc(plan, input, condition, expressions, fields, context)?
        }
        RelNode::Filter { input, condition } => {
            calc(plan, input, Some(condition), &identity(&input.fields), fields, context)?
        }
        RelNode::WatermarkAssigner { input, rowtime, watermark } => {
            let input = convert(plan, input, context)?;
            plan.add(WatermarkAssigner { rowtime: *rowtime, watermark: watermark.clone() }, vec![input], fields)
        }
        RelNode::Aggregate { input, keys, aggregates } => match by_window(rel) {
            Some(grouping) => {
                let (last, columns) = window_aggregate(plan, grouping, context)?;
                project(plan, last, columns, fields)
            }
            None => group_aggregate(plan, input, keys, aggregates, fields, context)?,
        },
        RelNode::WindowTableFunction { input, window } => {
            let event_time = is_event_time(&input.fields[window.time].data_type);
            let input = convert(plan, input, context)?;
            plan.add(WindowTableFunction { window: window.clone(), event_time }, vec![input], fields)
        }
        RelNode::Union(inputs) => {
            let mut ids: Vec<NodeId> = Vec::new();
            let mut known = HashSet::new();
            for input in inputs {
                let id = convert(plan, input, context)?;
                // The same rows twice come over two edges: an operator of its own keeps them apart.
                let twice = (!known.insert(id)).then(|| Calc { condition: None, projection: identity(&input.fields) });
                ids.push(twice.map_or(id, |op| plan.add_alone(op, vec![id], input.fields.clone())));
            }
            plan.add(Union, ids, fields)
        }
    })
}

/// Adds a calc. An aggregation by window below gives its columns in an order of its own: the calc takes them from there.
fn calc(
    plan: &mut Plan,
    input: &Rel,
    condition: Option<&Expression>,
    projection: &[Expression],
    fields: Vec<RowField>,
    context: &Context,
) -> Result<NodeId> {
    let Some(grouping) = by_window(input) else {
        let input = convert(plan, input, context)?;
        let calc = Calc { condition: condition.cloned(), projection: projection.to_vec() };
        return Ok(plan.add(calc, vec![input], fields));
    };
    let (last, columns) = window_aggregate(plan, grouping, context)?;
    let projection: Vec<_> = projection.iter().map(|expression| substitute(expression, &columns)).collect();
    match condition {
        None => Ok(project(plan, last, projection, fields)),
        Some(condition) => {
            let condition = Some(substitute(condition, &columns));
            Ok(plan.add(Calc { condition, projection }, vec![last], fields))
        }
    }
}

/// Adds a calc, unless it does nothing.
fn project(plan: &mut Plan, input: NodeId, projection: Vec<Expression>, fields: Vec<RowField>) -> NodeId {
    let below = &plan.nodes[input].fields;
    let same_names = below.iter().zip(&fields).all(|(a, b)| a.name == b.name);
    if is_identity(&projection, below.len()) && same_names {
        return input;
    }
    plan.add(Calc { condition: None, projection }, vec![input], fields)
}

/// The aggregation by window that a relation is.
fn by_window(rel: &Rel) -> Option<WindowGrouping> {
    let RelNode::Aggregate { input, keys, aggregates } = &rel.node else { return None };
    recognize(input, keys, aggregates, &rel.fields).or_else(|| recognize_attached(input, keys, aggregates, &rel.fields))
}

/// Adds an exchange by these columns.
fn exchange(plan: &mut Plan, input: NodeId, keys: Vec<usize>) -> NodeId {
    let fields = plan.nodes[input].fields.clone();
    let distribution = if keys.is_empty() { Distribution::Single } else { Distribution::Hash(keys) };
    plan.add(Exchange { distribution }, vec![input], fields)
}

fn group_aggregate(
    plan: &mut Plan,
    input: &Rel,
    keys: &[usize],
    aggregates: &[Aggregate],
    fields: Vec<RowField>,
    context: &Context,
) -> Result<NodeId> {
    let input = convert(plan, input, context)?;
    let input = exchange(plan, input, keys.to_vec());
    Ok(plan.add(GroupAggregate { keys: keys.to_vec(), aggregates: aggregates.to_vec() }, vec![input], fields))
}

/// Adds an aggregation by window; the expressions give the group's columns over what it emits.
fn window_aggregate(plan: &mut Plan, grouping: WindowGrouping, context: &Context) -> Result<(NodeId, Vec<Expression>)> {
    let WindowGrouping { input, aggregate, fields: all, places } = grouping;
    let input = super::optimize::merge_calcs(input);
    let input = convert(plan, &input, context)?;
    let one_phase = context.options.phases == AggregatePhaseStrategy::OnePhase;
    let local = aggregate.clone().in_phase(WindowPhase::Local);
    let message = local.message();
    let two_phases = !one_phase && wiesel_operators::window_aggregate::supports_two_phases(&message);
    let last = if two_phases {
        let accumulators = wiesel_operators::window_aggregate::local_output(&message)
            .map_err(|error| Error::Unsupported { message: error.to_string(), location: None })?;
        let keys = (0..aggregate.keys.len()).collect();
        let local = plan.add(local, vec![input], accumulators);
        let input = exchange(plan, local, keys);
        plan.add(aggregate.in_phase(WindowPhase::Final), vec![input], all)
    } else {
        let input = exchange(plan, input, aggregate.keys.clone());
        plan.add(aggregate, vec![input], all)
    };
    let emitted = &plan.nodes[last].fields;
    let columns = places.iter().map(|place| Expression::input(*place, emitted[*place].data_type.clone()));
    let columns = columns.collect();
    Ok((last, columns))
}

/// Constant rows; rows that are not constant after all are computed over numbered ones.
fn values(plan: &mut Plan, rows: &[Vec<Expression>], fields: Vec<RowField>) -> NodeId {
    let literal = |expression: &Expression| matches!(expression.node, Node::Literal(_));
    if rows.iter().flatten().all(literal) && !fields.is_empty() {
        return plan.add(Values { rows: rows.to_vec() }, vec![], fields);
    }
    let int = TypeKind::Int.not_null();
    let number = |row: usize| Expression::literal(datafusion_common::ScalarValue::Int32(Some(row as i32)), int.clone());
    let numbers = (0..rows.len()).map(|row| vec![number(row)]).collect();
    let input = plan.add(Values { rows: numbers }, vec![], vec![RowField::new("ZERO", int.clone())]);
    let boolean = TypeKind::Boolean.not_null();
    let column = |index: usize, field: &RowField| match rows {
        [row] => row[index].clone(),
        _ => {
            let mut operands = Vec::new();
            for (position, row) in rows.iter().enumerate() {
                if position + 1 < rows.len() {
                    let operands_of = vec![Expression::input(0, int.clone()), number(position)];
                    operands.push(Expression::call("=", operands_of, boolean.clone()));
                }
                operands.push(row[index].clone());
            }
            Expression::call("CASE", operands, field.data_type.clone())
        }
    };
    let projection = fields.iter().enumerate().map(|(index, field)| column(index, field)).collect();
    plan.add(Calc { condition: None, projection }, vec![input], fields)
}
