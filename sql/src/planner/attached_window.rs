//! Windows that come with the rows: an aggregation over rows that were already cut into windows, such as the results of an
//! aggregation by window. Their `window_end` says when a group is complete.
use datafusion_common::ScalarValue;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};
use wiesel_proto::{WindowKind, WindowPhase, WindowProperty};

use super::expressions::identity;
use super::metadata::{WindowKey, bounds, window_key};
use super::operators::WindowAggregate;
use super::window::{Projection, WindowGrouping};
use crate::rel::{Aggregate, LogicalProject, Rel, RelNode, Window};
use crate::rex::Expression;

/// The aggregation by window that a group is, if the start and the end of one window of its rows are among its keys.
///
/// Rows of a window end at the same time, one step apart from other windows: an aggregation by tumbling windows of one step
/// over `window_end - 1 ms`, with `window_start` as one more key, is complete when they are.
pub(crate) fn recognize_attached(
    input: &Rel,
    keys: &[usize],
    aggregates: &[Aggregate],
    fields: &[RowField],
) -> Option<WindowGrouping> {
    let bounds = bounds(input);
    let WindowKey { end, window } = window_key(&bounds, keys)?;
    let columns = identity(&input.fields);
    let mut projection = Projection::default();
    let mut new_keys = Vec::new();
    let mut key_places = Vec::new();
    for key in keys.iter().filter(|key| **key != end) {
        let column = projection.add(&columns[*key], &input.fields[*key]);
        key_places.push((*key, new_keys.len()));
        new_keys.push(column);
    }
    let mut add = |column: usize| projection.add(&columns[column], &input.fields[column]);
    let aggregates: Vec<Aggregate> = aggregates.iter().map(|aggregate| aggregate.over(&mut add)).collect();
    let time = projection.add(&last_moment(&columns[end]), &RowField::new("$window_time", rowtime()));

    let property_place = new_keys.len() + aggregates.len();
    let place = |key: &usize| match key_places.iter().find(|(known, _)| known == key) {
        Some((_, place)) => *place,
        None => property_place,
    };
    let mut places: Vec<usize> = keys.iter().map(place).collect();
    places.extend((0..aggregates.len()).map(|index| new_keys.len() + index));
    let key_fields = new_keys.iter().map(|key| projection.fields[*key].clone());
    let result_fields = fields[keys.len()..].iter().cloned();
    let all = key_fields.chain(result_fields).chain([input.fields[end].clone()]).collect();
    let step = if window.kind == WindowKind::Tumble { window.size } else { window.slide };
    let aggregate = WindowAggregate {
        phase: WindowPhase::Single,
        input: projection.fields.clone(),
        keys: new_keys,
        aggregates,
        names: fields[keys.len()..].iter().map(|field| field.name.clone()).collect(),
        window: Window { kind: WindowKind::Tumble, size: step, slide: step, offset: window.offset, time },
        event_time: true,
        properties: vec![WindowProperty::WindowEnd],
    };
    let node = RelNode::Project(LogicalProject { input: Box::new(input.clone()), expressions: projection.expressions });
    Some(WindowGrouping { input: Rel { node, fields: projection.fields }, aggregate, fields: all, places })
}

fn rowtime() -> LogicalType {
    TypeKind::Timestamp(3, TimeAttribute::Rowtime).not_null()
}

/// A window's end less one millisecond.
fn last_moment(window_end: &Expression) -> Expression {
    let millisecond = Expression::literal(
        ScalarValue::DurationMillisecond(Some(-1)),
        TypeKind::IntervalDayTime("SECOND(3)".into()).not_null(),
    );
    Expression::call("TIMESTAMP_ADD", vec![window_end.clone(), millisecond], rowtime())
}
