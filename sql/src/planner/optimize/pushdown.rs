//! Moves conditions towards the sources: through projections, to the keys of groups, below windows, into unions. Never
//! below a watermark assigner: the watermark is of all rows, also of those that a query leaves out.
use wiesel_operators::expression::{Expression, Node};

use super::super::expressions::{columns, conjunction, conjuncts, is_deterministic, is_trivial, substitute};
use super::{filter, rewrite_inputs};
use crate::rel::{Rel, RelNode};

/// Moves all conditions of a query.
pub(super) fn push_filters(rel: Rel) -> Rel {
    match rel.node {
        RelNode::Filter { input, condition } => push(*input, conjuncts(&condition)),
        _ => rewrite_inputs(rel, push_filters),
    }
}

/// The relation, filtered by these conditions as far down as they go.
fn push(rel: Rel, conditions: Vec<Expression>) -> Rel {
    let Rel { node, fields } = rel;
    match node {
        RelNode::Filter { input, condition } => {
            let mut all = conjuncts(&condition);
            all.extend(conditions);
            push(*input, all)
        }
        RelNode::Project { input, expressions } => {
            let movable = |condition: &Expression| {
                is_deterministic(condition) && columns(condition).iter().all(|column| is_trivial(&expressions[*column]))
            };
            let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
            let down = down.iter().map(|condition| substitute(condition, &expressions)).collect();
            let input = Box::new(push(*input, down));
            filter(Rel { node: RelNode::Project { input, expressions }, fields }, conjunction(stay))
        }
        RelNode::Aggregate { input, keys, aggregates } => {
            let movable = |condition: &Expression| {
                let read = columns(condition);
                // A condition on a window's bounds stays above: below, the group would not be recognised as one by window.
                let key = |column: &usize| keys.get(*column).is_some_and(|key| !is_window_bound(&input, *key));
                !read.is_empty() && is_deterministic(condition) && read.iter().all(key)
            };
            let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
            let of_input = |condition: &Expression| {
                condition.map_inputs(&mut |index, data_type| Expression::input(keys[index], data_type.clone()))
            };
            let down = down.iter().map(of_input).collect();
            let input = Box::new(push(*input, down));
            filter(Rel { node: RelNode::Aggregate { input, keys, aggregates }, fields }, conjunction(stay))
        }
        RelNode::WindowTableFunction { input, window } => {
            let width = input.fields.len();
            let movable =
                |condition: &Expression| is_deterministic(condition) && columns(condition).iter().all(|c| *c < width);
            let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
            let input = Box::new(push(*input, down));
            filter(Rel { node: RelNode::WindowTableFunction { input, window }, fields }, conjunction(stay))
        }
        RelNode::Union(inputs) if may_be_copied(&conditions, inputs.len()) => {
            let inputs = inputs.into_iter().map(|input| push(input, conditions.clone())).collect();
            Rel { node: RelNode::Union(inputs), fields }
        }
        node => filter(rewrite_inputs(Rel { node, fields }, push_filters), conjunction(conditions)),
    }
}

/// Parts of conditions that are written into the members of a UNION, at most.
const MAX_COPIED: usize = 1_000_000;

/// Whether conditions may be checked in each of so many places instead of behind them: ten thousand on the rows of ten thousand
/// members stay where they are.
fn may_be_copied(conditions: &[Expression], times: usize) -> bool {
    let parts: usize = conditions.iter().map(Expression::weight).sum();
    conditions.iter().all(is_deterministic) && parts.saturating_mul(times) <= MAX_COPIED
}

/// Whether a column is one that a window table function appended.
fn is_window_bound(rel: &Rel, column: usize) -> bool {
    match &rel.node {
        RelNode::WindowTableFunction { input, .. } => column >= input.fields.len(),
        RelNode::Filter { input, .. } => is_window_bound(input, column),
        RelNode::Project { input, expressions } => match expressions[column].node {
            Node::Input(below) => is_window_bound(input, below),
            _ => false,
        },
        _ => false,
    }
}
