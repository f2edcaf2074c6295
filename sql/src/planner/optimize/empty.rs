//! What is known to have no rows: a filter that is never true, and what stands over it.
use datafusion_common::ScalarValue;

use super::rewrite_inputs;
use crate::rel::{LogicalAggregate, LogicalUnion, LogicalValues, Rel, RelNode};
use crate::rex::{Expression, null_literal};

/// The aggregates whose value over nothing Flink's planner knows. With any other beside them there is no row, as over an input
/// that turns out to have none.
const KNOWN_OVER_NOTHING: [&str; 6] = ["AVG", "COUNT", "MAX", "MIN", "SUM", "SUM0"];

/// Replaces relations without rows by empty constants. An aggregate over nothing without keys is the constant row of its
/// initial values, as Flink gives it.
pub(super) fn prune_empty(rel: Rel) -> Rel {
    let Rel { node, fields } = rewrite_inputs(rel, prune_empty);
    if node.relation().has_no_rows() {
        return Rel { node: RelNode::Values(LogicalValues { rows: Vec::new() }), fields };
    }
    match node {
        RelNode::Aggregate(LogicalAggregate { input, keys, aggregates })
            if keys.is_empty()
                && is_empty(&input)
                && aggregates.iter().all(|aggregate| KNOWN_OVER_NOTHING.contains(&aggregate.function.as_str())) =>
        {
            let initial = |aggregate: &crate::rel::Aggregate| match aggregate.function.as_str() {
                "COUNT" | "SUM0" => ScalarValue::Int64(Some(0))
                    .cast_to(&aggregate.data_type.kind.to_arrow())
                    .map(|zero| Expression::literal(zero, aggregate.data_type.clone()))
                    .unwrap_or_else(|_| null_literal(aggregate.data_type.kind.clone())),
                _ => null_literal(aggregate.data_type.kind.clone()),
            };
            let rows = vec![aggregates.iter().map(initial).collect()];
            Rel { node: RelNode::Values(LogicalValues { rows }), fields }
        }
        RelNode::Union(LogicalUnion { inputs }) => {
            let inputs = inputs.into_iter().filter(|input| !is_empty(input)).collect();
            Rel { node: RelNode::Union(LogicalUnion { inputs }), fields }
        }
        node @ (RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Project(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::WindowTableFunction(_)) => Rel { node, fields },
    }
}

/// Whether a relation was found to have no rows.
pub(crate) fn is_empty(rel: &Rel) -> bool {
    matches!(&rel.node, RelNode::Values(values) if values.rows.is_empty())
}
