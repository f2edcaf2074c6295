//! Relations: one file each, with all that the planner asks of it.
//!
//! What one relation is and does by itself is asked of it, through [`Relation`]. What is known of its rows is in `metadata`. Rewrites
//! of several relations that stand over each other (`optimize`, `window`) match relations, and name each kind of them.
use wiesel_expressions::types::RowField;

use super::Context;
use super::convert::Converted;
use super::optimize::prune::{Pruned, Wanted};
use super::physical::Plan;
use crate::error::Result;
use crate::rel::{Rel, RelNode};
use crate::rex::Expression;

mod aggregate;
mod filter;
mod project;
mod scan;
mod source;
mod union;
mod values;
mod watermark_assigner;
mod window_table_function;

/// A relation without its columns, which are handed to it where it needs them: `fields`.
pub(crate) trait Relation {
    /// Its inputs, in order.
    fn inputs(&self) -> Vec<&Rel>;

    /// Its inputs, to be replaced.
    fn inputs_mut(&mut self) -> Vec<&mut Rel>;

    /// Its own expressions.
    fn expressions(&self) -> Vec<&Expression>;

    /// Its own expressions, to be replaced.
    fn expressions_mut(&mut self) -> Vec<&mut Expression>;

    /// Whether it is known to have no rows, as one of its inputs, or its condition, is known.
    fn has_no_rows(&self) -> bool;

    /// The relation, filtered by these conditions as far down as they go. Its inputs' own conditions go down as well.
    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel;

    /// The relation without what nobody wants of it.
    ///
    /// # Errors
    /// The options of a table, in Flink's words.
    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned>;

    /// Adds it to the plan.
    ///
    /// # Errors
    /// What cannot be planned.
    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted>;

    /// It in the abstract syntax tree, as Flink shows it.
    fn describe(&self, fields: &[RowField]) -> String;
}

impl RelNode {
    /// The relation, to be asked.
    pub(crate) fn relation(&self) -> &dyn Relation {
        match self {
            Self::Scan(relation) => relation,
            Self::Source(relation) => relation,
            Self::Values(relation) => relation,
            Self::Project(relation) => relation,
            Self::Filter(relation) => relation,
            Self::WatermarkAssigner(relation) => relation,
            Self::Aggregate(relation) => relation,
            Self::WindowTableFunction(relation) => relation,
            Self::Union(relation) => relation,
        }
    }

    /// The relation, to be changed.
    pub(crate) fn relation_mut(&mut self) -> &mut dyn Relation {
        match self {
            Self::Scan(relation) => relation,
            Self::Source(relation) => relation,
            Self::Values(relation) => relation,
            Self::Project(relation) => relation,
            Self::Filter(relation) => relation,
            Self::WatermarkAssigner(relation) => relation,
            Self::Aggregate(relation) => relation,
            Self::WindowTableFunction(relation) => relation,
            Self::Union(relation) => relation,
        }
    }

    /// The relation, to be made into another.
    pub(crate) fn into_relation(self) -> Box<dyn Relation> {
        match self {
            Self::Scan(relation) => Box::new(relation),
            Self::Source(relation) => Box::new(relation),
            Self::Values(relation) => Box::new(relation),
            Self::Project(relation) => Box::new(relation),
            Self::Filter(relation) => Box::new(relation),
            Self::WatermarkAssigner(relation) => Box::new(relation),
            Self::Aggregate(relation) => Box::new(relation),
            Self::WindowTableFunction(relation) => Box::new(relation),
            Self::Union(relation) => Box::new(relation),
        }
    }
}
