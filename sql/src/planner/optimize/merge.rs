//! Merges what stands one over the other: projections, filters, nested unions; and drops what does nothing.
use std::collections::HashSet;

use wiesel_expressions::expression::MAX_DEPTH;

use super::super::expressions::{
    conjunction, conjuncts, constant_condition, is_deterministic, is_identity, is_trivial, substitute,
};
use super::{filter, rewrite_inputs};
use crate::rel::{LogicalFilter, LogicalProject, LogicalUnion, Rel, RelNode};
use crate::rex::{Expression, Node};

/// Merges everywhere in a query.
pub(super) fn merge(rel: Rel) -> Rel {
    merge_top(rewrite_inputs(rel, merge))
}

/// Merges a relation whose inputs are merged.
fn merge_top(rel: Rel) -> Rel {
    let Rel { node, fields } = rel;
    match node {
        RelNode::Project(LogicalProject { input, expressions }) => match *input {
            Rel { node: RelNode::Project(LogicalProject { input, expressions: below }), .. }
                if may_merge(&expressions, &below, false) =>
            {
                let expressions = expressions.iter().map(|expression| substitute(expression, &below)).collect();
                merge_top(Rel { node: RelNode::Project(LogicalProject { input, expressions }), fields })
            }
            input if is_identity(&expressions, input.fields.len()) => rename(input, fields),
            input => Rel { node: RelNode::Project(LogicalProject { input: Box::new(input), expressions }), fields },
        },
        RelNode::Filter(LogicalFilter { input, condition }) => match (*input, constant_condition(&condition)) {
            (input, Some(true)) => input,
            (Rel { node: RelNode::Filter(LogicalFilter { input, condition: first }), .. }, _) => {
                let mut conditions = conjuncts(&first);
                let mut known: HashSet<Expression> = conditions.iter().cloned().collect();
                conditions
                    .extend(conjuncts(&condition).into_iter().filter(|condition| known.insert(condition.clone())));
                filter(*input, conjunction(conditions))
            }
            (Rel { node: RelNode::Project(LogicalProject { input, expressions }), fields }, _)
                if may_merge(std::slice::from_ref(&condition), &expressions, true) =>
            {
                let condition = substitute(&condition, &expressions);
                let input = merge_top(filter(*input, Some(condition)));
                Rel { node: RelNode::Project(LogicalProject { input: Box::new(input), expressions }), fields }
            }
            (input, _) => filter(input, Some(condition)),
        },
        RelNode::Union(LogicalUnion { inputs }) => {
            let flat = inputs.into_iter().flat_map(|input| match input.node {
                RelNode::Union(LogicalUnion { inputs }) => inputs,
                RelNode::Scan(_)
                | RelNode::Source(_)
                | RelNode::Values(_)
                | RelNode::Project(_)
                | RelNode::Filter(_)
                | RelNode::WatermarkAssigner(_)
                | RelNode::Aggregate(_)
                | RelNode::WindowTableFunction(_) => vec![input],
            });
            let mut flat: Vec<Rel> = flat.collect();
            match flat.len() {
                1 => rename(flat.remove(0), fields),
                _ => Rel { node: RelNode::Union(LogicalUnion { inputs: flat }), fields },
            }
        }
        node @ (RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::WindowTableFunction(_)) => Rel { node, fields },
    }
}

/// The relation with other names. Where only the types' nullability or time attribute differ, a projection keeps them.
pub(crate) fn rename(rel: Rel, fields: Vec<wiesel_expressions::types::RowField>) -> Rel {
    let same = rel.fields.iter().zip(&fields).all(|(a, b)| a.name == b.name);
    if same {
        return rel;
    }
    match rel.node {
        RelNode::Project(_) | RelNode::Aggregate(_) => Rel { node: rel.node, fields },
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::Filter(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::WindowTableFunction(_)
        | RelNode::Union(_) => {
            let expressions = super::super::expressions::identity(&rel.fields);
            Rel { node: RelNode::Project(LogicalProject { input: Box::new(rel), expressions }), fields }
        }
    }
}

/// Whether expressions over a projection may be expressed over its input: nothing that costs is computed more often than
/// before, nothing random twice, and nothing gets deeper than an expression may be. `kept`: the projection stays above as well.
fn may_merge(above: &[Expression], below: &[Expression], kept: bool) -> bool {
    let depth = |all: &[Expression]| all.iter().map(|expression| expression.extent().1).max().unwrap_or(0);
    if depth(above) + depth(below) > MAX_DEPTH {
        return false;
    }
    let mut uses = vec![0usize; below.len()];
    for expression in above {
        expression.visit(&mut |part| {
            if let Node::Input(index) = part.node
                && let Some(count) = uses.get_mut(index)
            {
                *count += 1;
            }
        });
    }
    let fits = |(expression, uses): (&Expression, usize)| match uses {
        0 => true,
        1 => !kept || is_deterministic(expression),
        _ => is_trivial(expression),
    };
    below.iter().zip(uses).all(fits)
}
