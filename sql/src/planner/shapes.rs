//! Relations taken apart, for rules over several that stand over each other.
use crate::rel::{LogicalFilter, LogicalProject, Rel, RelNode};
use crate::rex::Expression;

/// The expressions of a projection and what it stands over; none: it is none.
pub(super) fn projection(rel: &Rel) -> Option<(&[Expression], &Rel)> {
    match &rel.node {
        RelNode::Project(LogicalProject { input, expressions }) => Some((expressions.as_slice(), &**input)),
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => None,
    }
}

/// The condition of a filter and what it stands over; none: it is none.
pub(super) fn condition(rel: &Rel) -> Option<(&Expression, &Rel)> {
    match &rel.node {
        RelNode::Filter(LogicalFilter { input, condition }) => Some((condition, &**input)),
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Project(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => None,
    }
}
