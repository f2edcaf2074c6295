//! Recognises an aggregation by window: a group by the `window_start` and `window_end` of a window table function.
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};
use wiesel_proto::{WindowPhase, WindowProperty};

use super::expressions::{columns, identity};
use super::metadata::appended;
use super::operators::WindowAggregate;
use super::shapes;
use crate::rel::{Aggregate, LogicalProject, LogicalWindowTableFunction, Rel, RelNode, Window};
use crate::rex::{Expression, Node};

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

/// A group over the windows of a table function, in its parts.
struct OverWindows<'a> {
    /// The columns of the group's input over the windows.
    expressions: Vec<Expression>,
    condition: Option<&'a Expression>,
    /// The table function.
    windows: &'a Rel,
    raw: &'a Rel,
    window: &'a Window,
}

impl OverWindows<'_> {
    /// Which of the three columns that the table function appends a column of the group's input is.
    fn property(&self, column: usize) -> Option<usize> {
        match self.expressions[column].node {
            Node::Input(index) => index.checked_sub(self.raw.fields.len()),
            _ => None,
        }
    }
}

/// The parts of a group, if the start and the end of the same window are among its keys, and nothing else of the window is used.
fn over_windows<'a>(input: &'a Rel, keys: &[usize], aggregates: &[Aggregate]) -> Option<OverWindows<'a>> {
    let has = |property: WindowProperty| keys.iter().any(|key| appended(input, *key) == Some(property));
    if !has(WindowProperty::WindowStart) || !has(WindowProperty::WindowEnd) {
        return None;
    }
    let (projection, below) = shapes::projection(input).map_or((None, input), |(all, below)| (Some(all), below));
    let (condition, windows) = shapes::condition(below).map_or((None, below), |(one, below)| (Some(one), below));
    let RelNode::WindowTableFunction(LogicalWindowTableFunction { input: raw, window }) = &windows.node else {
        return None;
    };
    let width = raw.fields.len();
    let reads_window = |expression: &Expression| columns(expression).iter().any(|column| *column >= width);
    if condition.is_some_and(reads_window) {
        return None;
    }
    let expressions = projection.map_or_else(|| identity(&input.fields), <[Expression]>::to_vec);
    let parts = OverWindows { expressions, condition, windows, raw, window };
    let used_elsewhere = aggregates
        .iter()
        .flat_map(|aggregate| aggregate.arguments.iter().chain(&aggregate.filter))
        .chain(keys.iter().filter(|key| parts.property(**key).is_none()))
        .any(|column| reads_window(&parts.expressions[*column]));
    (!used_elsewhere).then_some(parts)
}

/// The aggregation by window that a group is, if it is one.
pub(crate) fn recognize(
    input: &Rel,
    keys: &[usize],
    aggregates: &[Aggregate],
    fields: &[RowField],
) -> Option<WindowGrouping> {
    let parts = over_windows(input, keys, aggregates)?;
    let OverWindows { expressions, condition, windows: below, raw, window } = &parts;
    let width = raw.fields.len();
    let property = |column: usize| parts.property(column);

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
    let mut add = |column: usize| builder.add(&expressions[column], &input.fields[column]);
    let aggregates: Vec<Aggregate> = aggregates.iter().map(|aggregate| aggregate.over(&mut add)).collect();
    let time_field = &raw.fields[window.time];
    let time = builder.add(&Expression::input(window.time, time_field.data_type.clone()), time_field);

    let raw_rows = super::optimize::filter((*raw).clone(), condition.cloned());
    let names = fields[keys.len()..].iter().map(|field| field.name.clone()).collect();
    let window = Window { time, ..(*window).clone() };
    let base = new_keys.len() + aggregates.len();
    let place = |found: usize| base + properties.iter().position(|property| *property == found).unwrap_or_default();
    let mut places: Vec<usize> = key_places.into_iter().map(|p| p.unwrap_or_else(place)).collect();
    places.extend((0..aggregates.len()).map(|index| new_keys.len() + index));
    let key_fields = new_keys.iter().map(|key| builder.fields[*key].clone());
    let property_fields = properties.iter().map(|property| below.fields[width + property].clone());
    let all_fields = key_fields.chain(fields[keys.len()..].iter().cloned()).chain(property_fields).collect();
    let aggregate = WindowAggregate {
        phase: WindowPhase::Single,
        input: builder.fields.clone(),
        keys: new_keys,
        aggregates,
        names,
        window,
        event_time: is_event_time(&time_field.data_type),
        properties: properties.iter().map(|property| to_property(*property)).collect(),
    };
    let node = RelNode::Project(LogicalProject { input: Box::new(raw_rows), expressions: builder.expressions });
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
