//! What is known to have no rows: a filter that is never true, and what stands over it.
use datafusion_common::ScalarValue;
use wiesel_operators::expression::{Expression, null_literal};

use super::super::expressions::constant_condition;
use super::rewrite_inputs;
use crate::rel::{Rel, RelNode};

/// The aggregates whose value over nothing Flink's planner knows. With any other beside them there is no row, as over an input
/// that turns out to have none.
const KNOWN_OVER_NOTHING: [&str; 6] = ["AVG", "COUNT", "MAX", "MIN", "SUM", "SUM0"];

/// Replaces relations without rows by empty constants. An aggregate over nothing without keys is the constant row of its
/// initial values, as Flink gives it.
pub(super) fn prune_empty(rel: Rel) -> Rel {
    let Rel { node, fields } = rewrite_inputs(rel, prune_empty);
    let empty = |rel: &Rel| matches!(&rel.node, RelNode::Values(rows) if rows.is_empty());
    let none = match &node {
        RelNode::Filter { input, condition } => constant_condition(condition) == Some(false) || empty(input),
        RelNode::Project { input, .. } | RelNode::WindowTableFunction { input, .. } => empty(input),
        RelNode::WatermarkAssigner { input, .. } => empty(input),
        RelNode::Aggregate { input, keys, .. } => !keys.is_empty() && empty(input),
        RelNode::Union(inputs) => inputs.iter().all(empty),
        RelNode::Scan(_) | RelNode::Source { .. } | RelNode::Values(_) => false,
    };
    if none {
        return Rel { node: RelNode::Values(Vec::new()), fields };
    }
    match node {
        RelNode::Aggregate { input, keys, aggregates }
            if keys.is_empty()
                && empty(&input)
                && aggregates.iter().all(|aggregate| KNOWN_OVER_NOTHING.contains(&aggregate.function.as_str())) =>
        {
            let initial = |aggregate: &crate::rel::Aggregate| match aggregate.function.as_str() {
                "COUNT" | "SUM0" => ScalarValue::Int64(Some(0))
                    .cast_to(&aggregate.data_type.kind.to_arrow())
                    .map(|zero| Expression::literal(zero, aggregate.data_type.clone()))
                    .unwrap_or_else(|_| null_literal(aggregate.data_type.kind.clone())),
                _ => null_literal(aggregate.data_type.kind.clone()),
            };
            Rel { node: RelNode::Values(vec![aggregates.iter().map(initial).collect()]), fields }
        }
        RelNode::Union(inputs) => {
            Rel { node: RelNode::Union(inputs.into_iter().filter(|input| !empty(input)).collect()), fields }
        }
        node => Rel { node, fields },
    }
}
