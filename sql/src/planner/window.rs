//! Aggregations by window: groups that have both bounds of a window among their keys.
//!
//! Which columns those are, `metadata` says. The aggregation reads the rows that a window table function below would cut, and cuts
//! them itself; where something else reads the windows, it reads rows with their windows attached (`attached_window`).
use std::collections::BTreeMap;

use wiesel_expressions::types::RowField;
use wiesel_proto::{WindowPhase, WindowProperty};

use super::attached_window::attached;
use super::metadata::{Bound, WindowKey, bounds, window_keys};
use super::operators::WindowAggregate;
use super::optimize::filter;
use crate::rel::{LogicalAggregate, LogicalFilter, LogicalProject, LogicalWindowTableFunction, Rel, RelNode, Window};
use crate::rex::Expression;

/// An aggregation by window, and where the columns of the group are in what it gives.
pub(crate) struct WindowGrouping {
    /// What the aggregation reads: the keys, arguments, filters and the time attribute.
    pub input: Rel,
    pub aggregate: WindowAggregate,
    /// The columns of the aggregation: keys, aggregates, properties.
    pub fields: Vec<RowField>,
    /// For each column of the group its place among these.
    pub places: Vec<usize>,
}

/// The aggregation by window that a group is, if it is one. Groups by windows of processing time are not where rows come with their
/// windows: nothing says when those are complete.
pub(crate) fn by_window(group: &LogicalAggregate, fields: &[RowField]) -> Option<WindowGrouping> {
    let bounds = bounds(&group.input);
    let keys: Vec<WindowKey<'_>> = window_keys(&bounds, &group.keys).collect();
    let cut = || {
        let key = keys.iter().find(|key| key.bound.appended)?;
        cut_rows(&group.input, &bounds, key.bound)?.grouped(group, fields)
    };
    let with_windows = || {
        let key = keys.iter().find(|key| key.bound.time.is_event_time())?;
        attached(&group.input, key).grouped(group, fields)
    };
    cut().or_else(with_windows)
}

/// What an aggregation by window reads in place of the input of a group.
pub(super) struct WindowRows {
    pub rel: Rel,
    /// For each column of the group's input its place among those of `rel`; none: it cannot be had of them.
    pub places: Vec<Option<usize>>,
    /// For each column of the group's input what it is of the window, if the aggregation gives it itself when it is a key.
    pub properties: Vec<Option<(WindowProperty, RowField)>>,
    /// The time by which rows come into windows, over `rel`.
    pub time: Expression,
    pub time_field: RowField,
    /// The windows; their time is yet to be placed.
    pub window: Window,
    pub event_time: bool,
}

impl WindowRows {
    /// The aggregation of these rows by window; none: the group reads what cannot be had of them.
    fn grouped(self, group: &LogicalAggregate, fields: &[RowField]) -> Option<WindowGrouping> {
        let result_fields = &fields[group.keys.len()..];
        let mut projection = Projection::default();
        let mut read = |column: usize| {
            let place = self.places[column]?;
            let expression = Expression::input(place, self.rel.fields[place].data_type.clone());
            Some(projection.add(&expression, &group.input.fields[column]))
        };
        let mut keys = Vec::new();
        let mut properties = Vec::new();
        let mut key_places = Vec::new();
        for key in &group.keys {
            key_places.push(match &self.properties[*key] {
                Some(property) => Err(place_in(&mut properties, property.clone())),
                None => Ok(place_in(&mut keys, read(*key)?)),
            });
        }
        let mut places = BTreeMap::new();
        for column in group.aggregates.iter().flat_map(|call| call.arguments.iter().chain(&call.filter)) {
            places.insert(*column, read(*column)?);
        }
        let aggregates: Vec<_> = group.aggregates.iter().map(|call| call.over(|column| places[&column])).collect();
        let time = projection.add(&self.time, &self.time_field);

        let first_property = keys.len() + aggregates.len();
        let of_keys = key_places.into_iter().map(|place| place.unwrap_or_else(|property| first_property + property));
        let places = of_keys.chain(keys.len()..first_property).collect();
        let (properties, property_fields): (Vec<_>, Vec<_>) = properties.into_iter().unzip();
        let own_keys = keys.iter().map(|key: &usize| projection.fields[*key].clone());
        let all = own_keys.chain(result_fields.iter().cloned()).chain(property_fields).collect();
        let aggregate = WindowAggregate {
            phase: WindowPhase::Single,
            input: projection.fields.clone(),
            keys,
            aggregates,
            names: result_fields.iter().map(|field| field.name.clone()).collect(),
            window: Window { time, ..self.window },
            event_time: self.event_time,
            properties,
        };
        Some(WindowGrouping { input: projection.over(self.rel), aggregate, fields: all, places })
    }
}

/// Where an item of a list stands, which is added if it is new.
fn place_in<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    if let Some(found) = list.iter().position(|other| *other == item) {
        return found;
    }
    list.push(item);
    list.len() - 1
}

/// The rows that a window table function below would cut into the windows of `key`, which the aggregation cuts itself.
fn cut_rows(input: &Rel, bounds: &[Option<Bound>], key: &Bound) -> Option<WindowRows> {
    let RawRows { rel, places, time, time_field, appended } = raw_rows(input)?;
    let property = |bound: &Bound| (bound.property, appended[bound.property as usize].clone());
    let properties = bounds.iter().map(|bound| bound.as_ref().filter(|bound| bound.appended).map(property)).collect();
    let time = Expression::input(time, rel.fields[time].data_type.clone());
    let event_time = key.time.is_event_time();
    Some(WindowRows { rel, places, properties, time, time_field, window: key.window.clone(), event_time })
}

/// What a relation gives without the window table function below it.
struct RawRows {
    rel: Rel,
    /// For each column of the relation its place among those of `rel`; none: the windows are needed for it.
    places: Vec<Option<usize>>,
    /// The time attribute, among the columns of `rel`.
    time: usize,
    /// The time attribute as the table function has it.
    time_field: RowField,
    /// The columns that the table function appends.
    appended: Vec<RowField>,
}

impl RawRows {
    /// An expression over the relation, over the raw rows; none: it reads something of the windows.
    fn moved(&self, expression: &Expression) -> Option<Expression> {
        let mut is_there = true;
        let moved = expression.map_inputs(&mut |column, data_type| {
            let place = self.places[column];
            is_there &= place.is_some();
            Expression::input(place.unwrap_or(column), data_type.clone())
        });
        is_there.then_some(moved)
    }
}

/// A relation without the window table function below it; none: there is none, or whether a row is there depends on its windows.
fn raw_rows(rel: &Rel) -> Option<RawRows> {
    match &rel.node {
        RelNode::WindowTableFunction(LogicalWindowTableFunction { input, window }) => {
            let width = input.fields.len();
            Some(RawRows {
                rel: Rel::clone(input),
                places: (0..rel.fields.len()).map(|column| Some(column).filter(|column| *column < width)).collect(),
                time: window.time,
                time_field: input.fields[window.time].clone(),
                appended: rel.fields[width..].to_vec(),
            })
        }
        RelNode::Filter(LogicalFilter { input, condition }) => {
            let raw = raw_rows(input)?;
            let condition = raw.moved(condition)?;
            Some(RawRows { rel: filter(raw.rel, Some(condition)), ..raw })
        }
        RelNode::Project(LogicalProject { input, expressions }) => {
            let raw = raw_rows(input)?;
            let mut projection = Projection::default();
            let mut place = |(expression, field): (&Expression, &RowField)| {
                raw.moved(expression).map(|expression| projection.add(&expression, field))
            };
            let places = expressions.iter().zip(&rel.fields).map(&mut place).collect();
            let time = &raw.rel.fields[raw.time];
            let time = projection.add(&Expression::input(raw.time, time.data_type.clone()), time);
            Some(RawRows { rel: projection.over(raw.rel), places, time, ..raw })
        }
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::Union(_) => None,
    }
}

/// A projection without repetitions.
#[derive(Default)]
struct Projection {
    expressions: Vec<Expression>,
    fields: Vec<RowField>,
}

impl Projection {
    /// The place of an expression, which is added if it is new.
    fn add(&mut self, expression: &Expression, field: &RowField) -> usize {
        if let Some(found) = self.expressions.iter().position(|other| other == expression) {
            return found;
        }
        self.expressions.push(expression.clone());
        self.fields.push(field.clone());
        self.expressions.len() - 1
    }

    /// It, over a relation.
    fn over(self, input: Rel) -> Rel {
        let node = RelNode::Project(LogicalProject { input: Box::new(input), expressions: self.expressions });
        Rel { node, fields: self.fields }
    }
}
