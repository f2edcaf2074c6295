//! TUMBLE, HOP, CUMULATE.
use wiesel_expressions::types::RowField;
use wiesel_proto::WindowKind;

use super::super::Context;
use super::super::convert::{Converted, convert};
use super::super::explain::attributes::join;
use super::super::explain::expression::{Style, type_name};
use super::super::expressions::{columns, conjunction, is_deterministic};
use super::super::metadata::WindowTime;
use super::super::operators::WindowTableFunction;
use super::super::optimize::empty::is_empty;
use super::super::optimize::filter;
use super::super::optimize::prune::{Pruned, Wanted, add, prune};
use super::super::optimize::pushdown::push;
use super::super::physical::Plan;
use super::Relation;
use crate::error::Result;
use crate::rel::{LogicalWindowTableFunction, Rel, RelNode};
use crate::rex::Expression;

impl Relation for LogicalWindowTableFunction {
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

    fn has_no_rows(&self) -> bool {
        is_empty(&self.input)
    }

    fn push_filters(self: Box<Self>, fields: Vec<RowField>, conditions: Vec<Expression>) -> Rel {
        let Self { input, window } = *self;
        let width = input.fields.len();
        let movable =
            |condition: &Expression| is_deterministic(condition) && columns(condition).iter().all(|c| *c < width);
        let (down, stay): (Vec<_>, Vec<_>) = conditions.into_iter().partition(movable);
        let input = Box::new(push(*input, down));
        filter(Rel { node: RelNode::WindowTableFunction(Self { input, window }), fields }, conjunction(stay))
    }

    fn prune(self: Box<Self>, fields: Vec<RowField>, wanted: Wanted) -> Result<Pruned> {
        let Self { input, mut window } = *self;
        let width = input.fields.len();
        let mut below: Wanted = wanted.iter().filter(|path| path[0] < width).cloned().collect();
        add(&mut below, vec![window.time]);
        let input = prune(*input, below)?;
        window.time = input.column(window.time);
        let now = input.rel.fields.len();
        let mut places = input.places;
        places.extend((0..3).map(|property| (vec![width + property], now + property)));
        let all = input.rel.fields.iter().cloned().chain(fields[width..].iter().cloned()).collect();
        let node = RelNode::WindowTableFunction(Self { input: Box::new(input.rel), window });
        Ok(Pruned { rel: Rel { node, fields: all }, places })
    }

    fn convert(&self, plan: &mut Plan, fields: &[RowField], context: &Context) -> Result<Converted> {
        let event_time = WindowTime::of(&self.input.fields[self.window.time].data_type).is_event_time();
        let input = convert(plan, &self.input, context)?;
        let operator = WindowTableFunction { window: self.window.clone(), event_time };
        Ok(plan.add(operator, vec![input], fields.to_vec()).into())
    }

    fn describe(&self, fields: &[RowField]) -> String {
        let Self { input, window } = self;
        let time = input.fields.get(window.time).map_or("", |field| field.name.as_str());
        let column =
            |f: &RowField| format!("{} {}", type_name(&f.data_type.with_nullable(true), Style::Execution), f.name);
        let columns = join(fields.iter().map(column));
        let millis = |value: i64| format!("{value}:INTERVAL DAY TO SECOND");
        let (name, mut durations) = match window.kind {
            WindowKind::Tumble => ("TUMBLE", vec![window.size]),
            WindowKind::Hop => ("HOP", vec![window.slide, window.size]),
            WindowKind::Cumulate => ("CUMULATE", vec![window.slide, window.size]),
        };
        if window.offset != 0 {
            durations.push(window.offset);
        }
        let durations = join(durations.into_iter().map(millis));
        format!(
            "LogicalTableFunctionScan(invocation=[{name}(TABLE(#0), DESCRIPTOR(_UTF-16LE'{time}'), {durations})], \
             rowType=[RecordType({columns})])"
        )
    }
}
