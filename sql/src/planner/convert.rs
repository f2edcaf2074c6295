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
use crate::rel::Rel;
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

/// What a relation became in the plan.
pub(crate) struct Converted {
    /// The operator that gives its rows.
    operator: NodeId,
    /// Its columns over those of the operator; none: they are the same.
    columns: Option<Vec<Expression>>,
}

impl From<NodeId> for Converted {
    fn from(operator: NodeId) -> Self {
        Self { operator, columns: None }
    }
}

/// Adds a relation to the plan: its rows with its columns.
pub(super) fn convert(plan: &mut Plan, rel: &Rel, context: &Context) -> Result<NodeId> {
    let Converted { operator, columns } = rel.node.relation().convert(plan, &rel.fields, context)?;
    Ok(match columns {
        None => operator,
        Some(columns) => project(plan, operator, columns, rel.fields.clone()),
    })
}

/// Adds a calc. Where the operator below gives the columns of its relation otherwise, the calc takes them from there.
pub(super) fn calc(
    plan: &mut Plan,
    input: &Rel,
    condition: Option<&Expression>,
    projection: &[Expression],
    fields: Vec<RowField>,
    context: &Context,
) -> Result<Converted> {
    let Converted { operator, columns } = input.node.relation().convert(plan, &input.fields, context)?;
    let over = |expression: &Expression| match &columns {
        None => expression.clone(),
        Some(columns) => substitute(expression, columns),
    };
    let projection: Vec<_> = projection.iter().map(over).collect();
    let calc = match condition.map(over) {
        None => project(plan, operator, projection, fields),
        condition => plan.add(Calc { condition, projection }, vec![operator], fields),
    };
    Ok(calc.into())
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

/// Adds an aggregation by window, which gives the columns of the group in an order of its own.
pub(super) fn window_aggregate(plan: &mut Plan, grouping: WindowGrouping, context: &Context) -> Result<Converted> {
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
    Ok(Converted { operator: last, columns: Some(columns.collect()) })
}
