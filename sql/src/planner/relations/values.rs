//! Constant rows.
use std::collections::BTreeMap;

use datafusion_common::ScalarValue;
use wiesel_expressions::types::{RowField, TypeKind};

use super::super::Context;
use super::super::convert::Converted;
use super::super::explain::attributes::tuples;
use super::super::explain::expression::Style;
use super::super::operators::{Calc, Values};
use super::super::optimize::prune::{Pruned, Wanted, picked, top_level, zero, zero_field};
use super::super::optimize::pushdown::stay;
use super::super::physical::Plan;
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalValues, Rel, RelNode};
use crate::rex::{Expression, Node};

impl Relation for LogicalValues {
    fn inputs(&self) -> Vec<&Rel> {
        Vec::new()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        Vec::new()
    }

    fn expressions(&self) -> Vec<&Expression> {
        self.rows.iter().flatten().collect()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        self.rows.iter_mut().flatten().collect()
    }

    /// Without rows it is what such relations become.
    fn has_no_rows(&self) -> bool {
        false
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        stay(Rel { node: RelNode::Values(*self), fields }, conditions)
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let Self { rows } = *self;
        if wanted.is_empty() {
            let node = RelNode::Values(Self { rows: rows.iter().map(|_| vec![zero()]).collect() });
            return Ok(Pruned { rel: Rel { node, fields: vec![zero_field()] }, places: BTreeMap::new() });
        }
        let kept = top_level(&wanted, &fields);
        let pick = |row: Vec<Expression>| kept.iter().map(|index| row[*index].clone()).collect();
        let rows = rows.into_iter().map(pick).collect();
        Ok(picked(RelNode::Values(Self { rows }), &kept, &fields))
    }

    /// Rows that are not constant after all are computed over numbered ones.
    fn convert(&self, plan: &mut Plan, fields: &[RowField], _: &Context) -> Result<Converted> {
        let rows = &self.rows;
        let literal = |expression: &Expression| matches!(expression.node, Node::Literal(_));
        if rows.iter().flatten().all(literal) && !fields.is_empty() {
            return Ok(plan.add(Values { rows: rows.clone() }, vec![], fields.to_vec()).into());
        }
        let int = TypeKind::Int.not_null();
        let numbers = (0..rows.len()).map(|row| vec![number(row)]).collect();
        let input = plan.add(Values { rows: numbers }, vec![], vec![RowField::new("ZERO", int.clone())]);
        let boolean = TypeKind::Boolean.not_null();
        let column = |index: usize, field: &RowField| match rows.as_slice() {
            [row] => row[index].clone(),
            rows => {
                let mut operands = Vec::new();
                for (position, row) in rows.iter().enumerate() {
                    if position + 1 < rows.len() {
                        let operands_of = vec![Expression::input(0, int.clone()), number(position)];
                        operands.push(Expression::call("=", operands_of, boolean.clone()));
                    }
                    operands.push(row[index].clone());
                }
                Expression::call("CASE", operands, field.data_type.clone())
            }
        };
        let projection = fields.iter().enumerate().map(|(index, field)| column(index, field)).collect();
        Ok(plan.add(Calc { condition: None, projection }, vec![input], fields.to_vec()).into())
    }

    fn describe(&self, _: &[RowField]) -> String {
        format!("LogicalValues(tuples=[{}])", tuples(&self.rows, Style::Physical))
    }
}

/// What stands for a row.
fn number(row: usize) -> Expression {
    Expression::literal(ScalarValue::Int32(Some(row as i32)), TypeKind::Int.not_null())
}
