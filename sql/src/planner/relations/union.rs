//! All rows of all inputs.
use std::collections::HashSet;

use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::{Converted, convert};
use super::super::expressions::identity;
use super::super::operators::{Calc, Union};
use super::super::optimize::empty::is_empty;
use super::super::optimize::prune::{Pruned, Wanted, counted, projected, prune, zero_field};
use super::super::optimize::pushdown::{may_be_copied, push, stay};
use super::super::physical::{NodeId, Plan};
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalProject, LogicalUnion, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalUnion {
    fn inputs(&self) -> Vec<&Rel> {
        self.inputs.iter().collect()
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        self.inputs.iter_mut().collect()
    }

    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        Vec::new()
    }

    fn has_no_rows(&self) -> bool {
        self.inputs.iter().all(is_empty)
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        if !may_be_copied(&conditions, self.inputs.len()) {
            return stay(Rel { node: RelNode::Union(*self), fields }, conditions);
        }
        let inputs = self.inputs.into_iter().map(|input| push(input, conditions.clone())).collect();
        Rel { node: RelNode::Union(Self { inputs }), fields }
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let counts = wanted.is_empty();
        let names: Vec<RowField> = match counts {
            true => vec![zero_field()],
            false => wanted.iter().map(|path| projected(&fields, path)).collect(),
        };
        let branch = |input: Rel| -> Result<Rel> {
            let input = prune(input, wanted.clone())?;
            if counts {
                return Ok(counted(input.rel));
            }
            let expressions = wanted.iter().map(|path| input.at(path)).collect();
            let node = RelNode::Project(LogicalProject { input: Box::new(input.rel), expressions });
            Ok(Rel { node, fields: names.clone() })
        };
        let inputs = self.inputs.into_iter().map(branch).collect::<Result<_>>()?;
        let places = wanted.iter().cloned().zip(0..).collect();
        Ok(Pruned { rel: Rel { node: RelNode::Union(Self { inputs }), fields: names.clone() }, places })
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        let mut ids: Vec<NodeId> = Vec::new();
        let mut known = HashSet::new();
        for input in &self.inputs {
            let id = convert(plan, input, context)?;
            // The same rows twice come over two edges: an operator of its own keeps them apart.
            let twice = (!known.insert(id)).then(|| Calc { condition: None, projection: identity(&input.fields) });
            ids.push(twice.map_or(id, |calc| plan.add_alone(calc, vec![id], input.fields.clone())));
        }
        Ok(plan.add(Union, ids, fields.to_vec()).into())
    }

    fn describe(&self, _: &[RowField]) -> String {
        "LogicalUnion(all=[true])".to_owned()
    }
}
