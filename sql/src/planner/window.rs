//! Recognises an aggregation by window: a group by the `window_start` and `window_end` of a window table function.
use wiesel_operators::expression::{Expression, Node};
use wiesel_operators::types::{LogicalType, RowField, TimeAttribute, TypeKind};
use wiesel_proto::WindowProperty;

use super::expressions::{columns, identity};
use super::physical::WindowAggregate;
use crate::rel::{Aggregate, Rel, RelNode, Window};

/// An aggregation by window over raw rows, and where the query's columns are in what it gives.
pub(crate) struct WindowGrouping {
    /// What the aggregation reads: the keys, arguments, filters and the time attribute.
    pub input: Rel,
    pub aggregate: WindowAggregate,
    /// The columns of the aggregation: keys, aggregates, properties.
    pub fields: Vec<RowField>,
    /// For each column of the group its place among these.
    pub places: Vec<usize>,
}

/// Whether a time attribute is event time.
pub(crate) fn is_event_time(data_type: &LogicalType) -> bool {
    !matches!(
        data_type.kind,
        TypeKind::Timestamp(_, TimeAttribute::Proctime) | TypeKind::TimestampLtz(_, TimeAttribute::Proctime)
    )
}

/// The aggregation by window that a group is, if it is one: the start and the end of the same window are among its keys,
/// and nothing else of the window is used.
pub(crate) fn recognize(
    input: &Rel,
    keys: &[usize],
    aggregates: &[Aggregate],
    fields: &[RowField],
) -> Option<WindowGrouping> {
    let (expressions, below) = match &input.node {
        RelNode::Project { input, expressions } => (expressions.clone(), &**input),
        _ => (identity(&input.fields), input),
    };
    let (condition, below) = match &below.node {
        RelNode::Filter { input, condition } => (Some(condition), &**input),
        _ => (None, below),
    };
    let RelNode::WindowTableFunction { input: raw, window } = &below.node else { return None };
    let width = raw.fields.len();
    let reads_window = |expression: &Expression| columns(expression).iter().any(|column| *column >= width);
    if condition.is_some_and(reads_window) {
        return None;
    }
    let property = |column: usize| match expressions[column].node {
        Node::Input(index) if index >= width => Some(index - width),
        _ => None,
    };
    let has = |wanted: usize| keys.iter().any(|key| property(*key) == Some(wanted));
    let used_elsewhere = aggregates
        .iter()
        .flat_map(|aggregate| aggregate.arguments.iter().chain(&aggregate.filter))
        .chain(keys.iter().filter(|key| property(**key).is_none()))
        .any(|column| reads_window(&expressions[*column]));
    if !has(0) || !has(1) || used_elsewhere {
        return None;
    }

    let mut builder = Projection::default();
    let mut new_keys = Vec::new();
    let mut properties = Vec::new();
    let mut key_places = Vec::new();
    for key in keys {
        match property(*key) {
            Some(found) => {
                if !properties.contains(&found) {
                    properties.push(found);
                }
                key_places.push(Err(found));
            }
            None => {
                let column = builder.add(&expressions[*key], &input.fields[*key]);
                let place = new_keys.iter().position(|key| *key == column).unwrap_or_else(|| {
                    new_keys.push(column);
                    new_keys.len() - 1
                });
                key_places.push(Ok(place));
            }
        }
    }
    let mut add = |column: &usize| builder.add(&expressions[*column], &input.fields[*column]);
    let aggregates: Vec<Aggregate> = aggregates
        .iter()
        .map(|aggregate| Aggregate {
            arguments: aggregate.arguments.iter().map(&mut add).collect(),
            filter: aggregate.filter.as_ref().map(&mut add),
            ..aggregate.clone()
        })
        .collect();
    let time_field = &raw.fields[window.time];
    let time = builder.add(&Expression::input(window.time, time_field.data_type.clone()), time_field);

    let raw_rows = super::optimize::filter((**raw).clone(), condition.cloned());
    let names = fields[keys.len()..].iter().map(|field| field.name.clone()).collect();
    let window = Window { time, ..window.clone() };
    let base = new_keys.len() + aggregates.len();
    let place = |found: usize| base + properties.iter().position(|property| *property == found).unwrap_or_default();
    let mut places: Vec<usize> = key_places.into_iter().map(|p| p.unwrap_or_else(place)).collect();
    places.extend((0..aggregates.len()).map(|index| new_keys.len() + index));
    let key_fields = new_keys.iter().map(|key| builder.fields[*key].clone());
    let property_fields = properties.iter().map(|property| below.fields[width + property].clone());
    let all_fields = key_fields.chain(fields[keys.len()..].iter().cloned()).chain(property_fields).collect();
    let aggregate = WindowAggregate {
        input: builder.fields.clone(),
        keys: new_keys,
        aggregates,
        names,
        window,
        event_time: is_event_time(&time_field.data_type),
        properties: properties.iter().map(|property| to_property(*property)).collect(),
    };
    let node = RelNode::Project { input: Box::new(raw_rows), expressions: builder.expressions };
    Some(WindowGrouping { input: Rel { node, fields: builder.fields }, aggregate, fields: all_fields, places })
}

fn to_property(index: usize) -> WindowProperty {
    match index {
        0 => WindowProperty::WindowStart,
        1 => WindowProperty::WindowEnd,
        _ => WindowProperty::WindowTime,
    }
}

/// A projection without repetitions.
#[derive(Default)]
pub(super) struct Projection {
    pub expressions: Vec<Expression>,
    pub fields: Vec<RowField>,
}

impl Projection {
    /// The place of an expression, which is added if it is new.
    pub fn add(&mut self, expression: &Expression, field: &RowField) -> usize {
        if let Some(found) = self.expressions.iter().position(|other| other == expression) {
            return found;
        }
        self.expressions.push(expression.clone());
        self.fields.push(field.clone());
        self.expressions.len() - 1
    }
}
