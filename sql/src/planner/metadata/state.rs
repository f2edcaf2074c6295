//! How much has to be kept of rows to compute what stands over them.
use wiesel_proto::WindowProperty;

use super::monotonicity::{Monotonicity, monotonicity};
use super::windows::{appended, bounds, window_key};
use crate::rel::{Aggregate, LogicalAggregate, Rel, RelNode};

/// What bounds the state of a relation, from the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateBound {
    /// There is none.
    Stateless,
    /// One row.
    Constant,
    /// What belongs to windows that are not complete: the watermark frees it.
    Windows,
    /// An entry for each key, or value, that has ever been, unless `table.exec.state.ttl` ends it.
    Keys,
}

/// What bounds the state of a relation and of all below it.
pub fn state_bound(rel: &Rel) -> StateBound {
    let own = match &rel.node {
        RelNode::Aggregate(aggregate) => of_groups(aggregate),
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Project(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => StateBound::Stateless,
    };
    rel.node.relation().inputs().into_iter().map(state_bound).fold(own, StateBound::max)
}

fn of_groups(aggregate: &LogicalAggregate) -> StateBound {
    let LogicalAggregate { input, keys, aggregates } = aggregate;
    let has = |property| keys.iter().any(|key| appended(input, *key) == Some(property));
    let of_function = has(WindowProperty::WindowStart) && has(WindowProperty::WindowEnd);
    if of_function || window_key(&bounds(input), keys).is_some() {
        return StateBound::Windows;
    }
    let updated = monotonicity(input).iter().any(|column| *column != Monotonicity::Constant);
    let keeps_values = aggregates.iter().any(|call| keeps_values(call, updated));
    if keys.is_empty() && !keeps_values { StateBound::Constant } else { StateBound::Keys }
}

/// Whether an aggregate keeps the values that it got; of rows that are `updated` the extreme ones may be taken away again.
fn keeps_values(call: &Aggregate, updated: bool) -> bool {
    call.distinct
        || match call.function.as_str() {
            "COUNT" | "SUM" | "SUM0" | "AVG" | "STDDEV_POP" | "STDDEV_SAMP" | "VAR_POP" | "VAR_SAMP" => false,
            "MIN" | "MAX" | "FIRST_VALUE" | "LAST_VALUE" => updated,
            _ => true,
        }
}
