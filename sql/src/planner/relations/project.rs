//! Expressions over the input.
use std::collections::BTreeMap;

use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::{Converted, calc};
use super::super::explain::attributes::join;
use super::super::explain::expression::{Style, text};
use super::super::expressions::{Path, as_path, columns, conjunction, field, is_deterministic, is_trivial, substitute};
use super::super::optimize::empty::is_empty;
use super::super::optimize::filter;
use super::super::optimize::prune::{Pruned, Wanted, add_all, projected, prune};
use super::super::optimize::pushdown::push;
use super::super::physical::Plan;
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalFilter, LogicalProject, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalProject {
    fn inputs(&self) -> Vec<&Rel> {
        vec![&*self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        vec![&mut *self.input]
    }

    fn expressions(&self) -> Vec<&Expression> {
        self.expressions.iter().collect()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        self.expressions.iter_mut().collect()
    }

    fn has_no_rows(&self) -> bool {
        is_empty(&self.input)
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        let Self { input, expressions } = *self;
        let movable = |condition: &Expression| {
            is_deterministic(condition) && columns(condition).iter().all(|column| is_trivial(&expressions[*column]))
        };
        let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
        let down = down.iter().map(|condition| substitute(condition, &expressions)).collect();
        let input = Box::new(push(*input, down));
        filter(Rel { node: RelNode::Project(Self { input, expressions }), fields }, conjunction(stay))
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let Self { input, expressions } = *self;
        if wanted.is_empty() {
            // Only the number of rows is wanted.
            return Ok(Pruned { places: BTreeMap::new(), ..prune(*input, Wanted::new())? });
        }
        // A field of a computed row is computed with the row; a field of a column can come alone.
        let mut outputs: Vec<(Path, Expression)> = Vec::new();
        let mut known = Wanted::new();
        for path in &wanted {
            let expression = &expressions[path[0]];
            let (path, output) = match as_path(expression) {
                Some(_) => (path.clone(), path[1..].iter().fold(expression.clone(), |row, index| field(row, *index))),
                None => (vec![path[0]], expression.clone()),
            };
            if known.insert(path.clone()) {
                outputs.push((path, output));
            }
        }
        let mut below = Wanted::new();
        outputs.iter().for_each(|(_, expression)| add_all(&mut below, expression));
        let input = prune(*input, below)?;
        let names = outputs.iter().map(|(path, _)| projected(&fields, path)).collect();
        let expressions = outputs.iter().map(|(_, expression)| input.move_here(expression)).collect();
        let places = outputs.into_iter().map(|(path, _)| path).zip(0..).collect();
        let node = RelNode::Project(Self { input: Box::new(input.rel), expressions });
        Ok(Pruned { rel: Rel { node, fields: names }, places })
    }

    /// A calc, together with a filter right below.
    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        let (condition, input) = match &self.input.node {
            RelNode::Filter(LogicalFilter { input, condition }) => (Some(condition), input),
            RelNode::Scan(_)
            | RelNode::Source(_)
            | RelNode::Values(_)
            | RelNode::Project(_)
            | RelNode::WatermarkAssigner(_)
            | RelNode::Aggregate(_)
            | RelNode::WindowTableFunction(_)
            | RelNode::Union(_) => (None, &self.input),
        };
        calc(plan, input, condition, &self.expressions, fields.to_vec(), context)
    }

    fn describe(&self, fields: &[RowField]) -> String {
        let column = |(expression, field): (_, &RowField)| {
            format!("{}=[{}]", field.name, text(expression, &self.input.fields, Style::Logical))
        };
        format!("LogicalProject({})", join(self.expressions.iter().zip(fields).map(column)))
    }
}
