//! What is read of a table.
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::Converted;
use super::super::operators::Source;
use super::super::optimize::prune::{Pruned, Wanted, whole};
use super::super::optimize::pushdown::stay;
use super::super::physical::Plan;
use super::super::source::describe;
use super::Relation;
use super::scan::scan_text;
use crate::error::Result;
use crate::rel::{LogicalSource, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalSource {
    fn inputs(&self) -> Vec<&Rel> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        Vec::new()
    }

    fn expressions(&self) -> Vec<&Expression> {
        self.filters.iter().collect()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        self.filters.iter_mut().collect()
    }

    fn has_no_rows(&self) -> bool {
        false
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        stay(Rel { node: RelNode::Source(*self), fields }, conditions)
    }

    /// It was made of what is wanted.
    fn prune(self: Box<Self>, fields: Vec<RowField>, _: Wanted) -> Result<Pruned> {
        Ok(whole(Rel { node: RelNode::Source(*self), fields }))
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], _: &Context) -> Result<Converted> {
        let description = describe(&self.table)?;
        let source = Source {
            table: self.table.clone(),
            given: self.given.clone(),
            projection: self.projection.clone(),
            filters: self.filters.clone(),
            parallelism: description.parallelism,
            emits: description.changelog,
        };
        Ok(plan.add(source, vec![], fields.to_vec()).into())
    }

    fn describe(&self, _: &[RowField]) -> String {
        scan_text(&self.table)
    }
}
