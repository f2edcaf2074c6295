//! Moves conditions towards the sources: through projections, to the keys of groups, below windows, into unions. Never
//! below a watermark assigner: the watermark is of all rows, also of those that a query leaves out.

use super::super::expressions::{conjunction, is_deterministic};
use super::{filter, rewrite_inputs};
use crate::rel::Rel;
use crate::rex::Expression;

/// Moves all conditions of a query.
pub(super) fn push_filters(rel: Rel) -> Rel {
    push(rel, Vec::new())
}

/// The relation, filtered by these conditions as far down as they go.
pub(crate) fn push(rel: Rel, conditions: Vec<Expression>) -> Rel {
    rel.node.into_relation().push_filters(rel.fields, conditions)
}

/// The relation, filtered by conditions that do not go further down; those below it do.
pub(crate) fn stay(rel: Rel, conditions: Vec<Expression>) -> Rel {
    filter(rewrite_inputs(rel, push_filters), conjunction(conditions))
}

/// Parts of conditions that are written into the members of a UNION, at most.
const MAX_COPIED: usize = 1_000_000;

/// Whether conditions may be checked in each of so many places instead of behind them: ten thousand on the rows of ten thousand
/// members stay where they are.
pub(crate) fn may_be_copied(conditions: &[Expression], times: usize) -> bool {
    let parts: usize = conditions.iter().map(Expression::weight).sum();
    conditions.iter().all(is_deterministic) && parts.saturating_mul(times) <= MAX_COPIED
}
