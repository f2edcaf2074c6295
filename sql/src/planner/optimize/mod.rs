//! Rewrites of a query that keep its meaning: constants first, then conditions down, then columns away.
//!
//! Each pass is a function from [`Rel`] to [`Rel`] and leaves the root's columns and their types as they are. The result
//! is canonical: over every other operator stands at most a projection over at most a filter, unless merging two would
//! compute something twice.
pub(super) mod empty;
mod fold;
mod merge;
pub(super) mod prune;
pub(super) mod pushdown;
mod scan;

pub(crate) use merge::rename;

use super::Context;
use crate::error::Result;
use crate::rel::{LogicalFilter, LogicalValues, Rel, RelNode};
use crate::rex::Expression;

/// Optimises the roots of one job together, so that they read a table once.
pub(crate) fn optimize(roots: Vec<Rel>, context: &Context) -> Result<Vec<Rel>> {
    let rewrite = |rel: Rel| -> Result<Rel> {
        let rel = fold::fold_constants(rel, context)?;
        let rel = pushdown::push_filters(merge::merge(rel));
        let rel = empty::prune_empty(merge::merge(rel));
        Ok(merge::merge(prune::prune_columns(rel)?))
    };
    let roots = roots.into_iter().map(rewrite).collect::<Result<Vec<_>>>()?;
    let roots = if context.options.reuse_sources { scan::share_scans(roots) } else { roots };
    Ok(roots.into_iter().map(|rel| merge::merge(scan::push_filters(rel))).collect())
}

/// The relation with each of its inputs replaced.
pub(crate) fn map_inputs<E>(mut rel: Rel, mut map: impl FnMut(Rel) -> Result<Rel, E>) -> Result<Rel, E> {
    for input in rel.node.relation_mut().inputs_mut() {
        *input = map(std::mem::replace(input, nothing()))?;
    }
    Ok(rel)
}

/// What stands where an input is taken away for a moment.
fn nothing() -> Rel {
    Rel { node: RelNode::Values(LogicalValues { rows: Vec::new() }), fields: Vec::new() }
}

/// [`map_inputs`] with a rewrite that cannot fail.
pub(crate) fn rewrite_inputs(rel: Rel, mut rewrite: impl FnMut(Rel) -> Rel) -> Rel {
    match map_inputs(rel, |input| Ok::<_, std::convert::Infallible>(rewrite(input))) {
        Ok(rel) => rel,
        Err(never) => match never {},
    }
}

/// A filter over a relation; the relation itself if there is no condition.
pub(crate) fn filter(input: Rel, condition: Option<Expression>) -> Rel {
    match condition {
        None => input,
        Some(condition) => {
            let fields = input.fields.clone();
            Rel { node: RelNode::Filter(LogicalFilter { input: Box::new(input), condition }), fields }
        }
    }
}

/// Merges the projections and filters of a relation that the planner itself put together.
pub(crate) fn merge_calcs(rel: Rel) -> Rel {
    merge::merge(rel)
}
