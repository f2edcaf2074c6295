//! Declares a column of the input its rowtime.
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::{Converted, convert};
use super::super::explain::expression::{Style, text};
use super::super::operators::WatermarkAssigner;
use super::super::optimize::empty::is_empty;
use super::super::optimize::prune::{Pruned, Wanted, add, add_all, over, prune};
use super::super::optimize::pushdown::stay;
use super::super::physical::Plan;
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalWatermarkAssigner, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalWatermarkAssigner {
    fn inputs(&self) -> Vec<&Rel> {
        vec![&*self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        vec![&mut *self.input]
    }

    fn expressions(&self) -> Vec<&Expression> {
        vec![&self.watermark]
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        vec![&mut self.watermark]
    }

    fn has_no_rows(&self) -> bool {
        is_empty(&self.input)
    }

    /// The watermark is of all rows, also of those that a query leaves out.
    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        stay(Rel { node: RelNode::WatermarkAssigner(*self), fields }, conditions)
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, mut wanted: Wanted) -> Result<Pruned> {
        let Self { input, rowtime, watermark } = *self;
        add(&mut wanted, vec![rowtime]);
        add_all(&mut wanted, &watermark);
        let input = prune(*input, wanted)?;
        let (place, watermark) = (input.column(rowtime), input.move_here(&watermark));
        let node = |input| RelNode::WatermarkAssigner(Self { input, rowtime: place, watermark });
        let mut pruned = over(input, node);
        pruned.rel.fields[place].data_type = fields[rowtime].data_type.clone();
        Ok(pruned)
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        let input = convert(plan, &self.input, context)?;
        let operator = WatermarkAssigner { rowtime: self.rowtime, watermark: self.watermark.clone() };
        Ok(plan.add(operator, vec![input], fields.to_vec()).into())
    }

    fn describe(&self, _: &[RowField]) -> String {
        let fields = &self.input.fields;
        format!(
            "LogicalWatermarkAssigner(rowtime=[{}], watermark=[{}])",
            fields.get(self.rowtime).map_or("", |field| field.name.as_str()),
            text(&self.watermark, fields, Style::Logical)
        )
    }
}
