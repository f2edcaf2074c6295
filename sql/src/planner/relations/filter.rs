//! Rows for which a condition is true.
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::{Converted, calc};
use super::super::explain::expression::{Style, text};
use super::super::expressions::{conjuncts, constant_condition, identity};
use super::super::optimize::empty::is_empty;
use super::super::optimize::prune::{Pruned, Wanted, add_all, over, prune};
use super::super::optimize::pushdown::push;
use super::super::physical::Plan;
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalFilter, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalFilter {
    fn inputs(&self) -> Vec<&Rel> {
        vec![&*self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        vec![&mut *self.input]
    }

    fn expressions(&self) -> Vec<&Expression> {
        vec![&self.condition]
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        vec![&mut self.condition]
    }

    fn has_no_rows(&self) -> bool {
        constant_condition(&self.condition) == Some(false) || is_empty(&self.input)
    }

    fn push_filters(self: Box<Self>, _: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        let Self { input, condition } = *self;
        let mut all = conjuncts(&condition);
        all.extend(conditions);
        push(*input, all)
    }

    fn prune(self: Box<Self>, _: Vec<RowField>, mut wanted: Wanted) -> Result<Pruned> {
        let Self { input, condition } = *self;
        add_all(&mut wanted, &condition);
        let input = prune(*input, wanted)?;
        let condition = input.move_here(&condition);
        Ok(over(input, |input| RelNode::Filter(Self { input, condition })))
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        let Self { input, condition } = self;
        calc(plan, input, Some(condition), &identity(&input.fields), fields.to_vec(), context)
    }

    fn describe(&self, _: &[RowField]) -> String {
        format!("LogicalFilter(condition=[{}])", text(&self.condition, &self.input.fields, Style::Logical))
    }
}
