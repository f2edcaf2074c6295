//! Groups.
use wiesel_expressions::types::RowField;

use super::super::Context;
use super::super::convert::{Converted, convert, window_aggregate};
use super::super::explain::attributes::function;
use super::super::expressions::{columns, conjunction, is_deterministic};
use super::super::metadata::bounds;
use super::super::operators::GroupAggregate;
use super::super::optimize::empty::is_empty;
use super::super::optimize::filter;
use super::super::optimize::prune::{Pruned, Wanted, picked, prune, top_level};
use super::super::optimize::pushdown::push;
use super::super::physical::Plan;
use super::super::window::by_window;
use super::Relation;
use crate::error::Result;
use crate::rel::{Aggregate, LogicalAggregate, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalAggregate {
    fn inputs(&self) -> Vec<&Rel> {
        vec![&*self.input]
    }

    fn inputs_mut(&mut self) -> Vec<&mut Rel> {
        vec![&mut *self.input]
    }

    fn expressions(&self) -> Vec<&Expression> {
        Vec::new()
    }

    fn expressions_mut(&mut self) -> Vec<&mut Expression> {
        Vec::new()
    }

    /// Without keys there is a row over nothing, too.
    fn has_no_rows(&self) -> bool {
        !self.keys.is_empty() && is_empty(&self.input)
    }

    /// A condition on bounds of a window table function stays above: below, the aggregation could not cut the rows itself.
    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        let Self { input, keys, aggregates } = *self;
        let bounds = bounds(&input);
        let is_appended = |key: usize| bounds[key].as_ref().is_some_and(|bound| bound.appended);
        let movable = |condition: &Expression| {
            let read = columns(condition);
            let key = |column: &usize| keys.get(*column).is_some_and(|key| !is_appended(*key));
            !read.is_empty() && is_deterministic(condition) && read.iter().all(key)
        };
        let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
        let of_input = |condition: &Expression| {
            condition.map_inputs(&mut |index, data_type| Expression::input(keys[index], data_type.clone()))
        };
        let down = down.iter().map(of_input).collect();
        let input = Box::new(push(*input, down));
        filter(Rel { node: RelNode::Aggregate(Self { input, keys, aggregates }), fields }, conjunction(stay))
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let Self { input, keys, aggregates } = *self;
        let mut kept = top_level(&wanted, &fields);
        kept.retain(|column| *column >= keys.len());
        if kept.is_empty() && keys.is_empty() && !aggregates.is_empty() {
            kept.push(0);
        }
        let aggregates: Vec<&Aggregate> = kept.iter().map(|column| &aggregates[column - keys.len()]).collect();
        let read = aggregates.iter().flat_map(|a| a.arguments.iter().chain(&a.filter)).chain(&keys);
        let below = read.map(|column| vec![*column]).collect();
        let input = prune(*input, below)?;
        let columns: Vec<usize> = (0..keys.len()).chain(kept.iter().copied()).collect();
        let aggregates = aggregates.iter().map(|aggregate| aggregate.over(|column| input.column(column))).collect();
        let keys = keys.iter().map(|key| input.column(*key)).collect();
        let node = RelNode::Aggregate(Self { input: Box::new(input.rel), keys, aggregates });
        Ok(picked(node, &columns, &fields))
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        if let Some(grouping) = by_window(self, fields) {
            return window_aggregate(plan, grouping, context);
        }
        let input = convert(plan, &self.input, context)?;
        let operator = GroupAggregate { keys: self.keys.clone(), aggregates: self.aggregates.clone() };
        Ok(plan.add(operator, vec![input], fields.to_vec()).into())
    }

    fn describe(&self, fields: &[RowField]) -> String {
        let group = self.keys.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        let mut parts = vec![format!("group=[{{{group}}}]")];
        for (aggregate, field) in self.aggregates.iter().zip(&fields[self.keys.len()..]) {
            let arguments = aggregate.arguments.iter().map(|column| format!("${column}")).collect::<Vec<_>>();
            let distinct = if aggregate.distinct { "DISTINCT " } else { "" };
            let filter = aggregate.filter.map_or_else(String::new, |column| format!(" FILTER ${column}"));
            let name = function(&aggregate.function);
            parts.push(format!("{}=[{name}({distinct}{}){filter}]", field.name, arguments.join(", ")));
        }
        format!("LogicalAggregate({})", parts.join(", "))
    }
}
