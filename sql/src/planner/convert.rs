//! From relations to physical operators: calcs, windows in one or two phases. Exchanges the plan puts where an operator wants them.
use wiesel_expressions::types::RowField;
use wiesel_proto::WindowPhase;

use super::expressions::{is_identity, substitute};
use super::metadata_columns::writing;
use super::operators::{Calc, Collect, Sink};
use super::options::AggregatePhaseStrategy;
use super::physical::{NodeId, Plan};
use super::source::describe_sink;
use super::window::WindowGrouping;
use super::{Context, End};
use crate::error::{Error, Result};
use crate::rel::{Rel, RelNode};
use crate::rex::Expression;

/// Adds a query and what becomes of its rows to the plan.
pub(super) fn convert_query(plan: &mut Plan, rel: &Rel, end: &End, context: &Context) -> Result<NodeId> {
    let input = convert(plan, rel, context)?;
    Ok(match end {
        End::None => input,
        End::Collect => plan.add(Collect, vec![input], rel.fields.clone()),
        End::Table(table) => {
            let description = describe_sink(table)?;
            let writing = writing(table, &description, &rel.fields)?;
            let mut sink = Sink::new(table, &description, &rel.fields);
            let input = match writing {
                None => input,
                Some(writing) => {
                    sink.not_null.extend(writing.not_null);
                    sink.metadata = writing.keys;
                    project(plan, input, writing.expressions, writing.fields)
                }
            };
            let fields = plan.nodes[input].fields.clone();
            plan.add(sink, vec![input], fields)
        }
    })
}

/// Adds a relation to the plan.
pub(super) fn convert(plan: &mut Plan, rel: &Rel, context: &Context) -> Result<NodeId> {
    rel.node.relation().convert(plan, &rel.fields, context)
}

/// Adds a calc. An aggregation by window below gives its columns in an order of its own: the calc takes them from there.
pub(super) fn calc(
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
pub(super) fn project(plan: &mut Plan, input: NodeId, projection: Vec<Expression>, fields: Vec<RowField>) -> NodeId {
    let below = &plan.nodes[input].fields;
    let same_names = below.iter().zip(&fields).all(|(a, b)| a.name == b.name);
    if is_identity(&projection, below.len()) && same_names {
        return input;
    }
    plan.add(Calc { condition: None, projection }, vec![input], fields)
}

/// The aggregation by window that a relation is.
fn by_window(rel: &Rel) -> Option<WindowGrouping> {
    match &rel.node {
        RelNode::Aggregate(aggregate) => aggregate.by_window(&rel.fields),
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Project(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => None,
    }
}

/// Adds an aggregation by window; the expressions give the group's columns over what it emits.
pub(super) fn window_aggregate(
    plan: &mut Plan,
    grouping: WindowGrouping,
    context: &Context,
) -> Result<(NodeId, Vec<Expression>)> {
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
        let local = plan.add(local, vec![input], accumulators);
        plan.add(aggregate.in_phase(WindowPhase::Final), vec![local], all)
    } else {
        plan.add(aggregate, vec![input], all)
    };
    let emitted = &plan.nodes[last].fields;
    let columns = places.iter().map(|place| Expression::input(*place, emitted[*place].data_type.clone()));
    let columns = columns.collect();
    Ok((last, columns))
}
