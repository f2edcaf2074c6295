//! Windows that come with the rows: an aggregation over rows that were already cut into windows, such as the results of an
//! aggregation by window. Their `window_end` says when a group is complete.
use datafusion_common::ScalarValue;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};
use wiesel_proto::{WindowKind, WindowProperty};

use super::metadata::{WindowKey, WindowTime};
use super::window::WindowRows;
use crate::rel::{Rel, Window};
use crate::rex::Expression;

/// The rows as they come, with their windows.
///
/// Rows of a window end at the same time, one step apart from other windows: an aggregation by tumbling windows of one step
/// over `window_end - 1 ms`, with `window_start` as one more key, is complete when they are.
///
/// In local time some last moments do not exist, because clocks are put forward over them. The moment that stands for such a one
/// may be in a later tumbling window, which is complete no earlier. So `window_end` stays a key there, and is not taken from it.
pub(super) fn attached(input: &Rel, key: &WindowKey<'_>) -> WindowRows {
    let window = &key.bound.window;
    let end = &input.fields[key.end];
    let last = last_moment(&Expression::input(key.end, end.data_type.clone()));
    let is_local = key.bound.time == WindowTime::LocalRowtime;
    let time = if is_local { instant(last) } else { last };
    let mut properties = vec![None; input.fields.len()];
    if !is_local {
        properties[key.end] = Some((WindowProperty::WindowEnd, end.clone()));
    }
    let step = if window.kind == WindowKind::Tumble { window.size } else { window.slide };
    WindowRows {
        rel: input.clone(),
        places: (0..input.fields.len()).map(Some).collect(),
        properties,
        time_field: RowField::new("$window_time", time.data_type.clone()),
        time,
        window: Window { kind: WindowKind::Tumble, size: step, slide: step, ..window.clone() },
        event_time: true,
    }
}

/// A window's end less one millisecond.
fn last_moment(window_end: &Expression) -> Expression {
    let millisecond = Expression::literal(
        ScalarValue::DurationMillisecond(Some(-1)),
        TypeKind::IntervalDayTime("SECOND(3)".into()).not_null(),
    );
    Expression::call("TIMESTAMP_ADD", vec![window_end.clone(), millisecond], rowtime())
}

/// The instant of a moment in the session's time zone.
fn instant(moment: Expression) -> Expression {
    Expression::call("CAST", vec![moment], TypeKind::TimestampLtz(3, TimeAttribute::Rowtime).not_null())
}

fn rowtime() -> LogicalType {
    TypeKind::Timestamp(3, TimeAttribute::Rowtime).not_null()
}
