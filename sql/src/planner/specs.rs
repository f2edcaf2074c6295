//! Parts that messages of several operators have in common.
use wiesel_proto as proto;

use crate::rel::{Aggregate, Window};

/// The windows into which rows are cut.
pub(crate) fn window_spec(window: &Window, event_time: bool) -> proto::WindowSpec {
    proto::WindowSpec {
        kind: window.kind.into(),
        size: window.size,
        slide: window.slide,
        offset: window.offset,
        time: window.time as u32,
        event_time,
    }
}

/// A call of an aggregate function, and the name of its column.
pub(crate) fn call(aggregate: &Aggregate, name: &str) -> proto::AggregateCall {
    proto::AggregateCall {
        function: aggregate.function.clone(),
        arguments: indexes(&aggregate.arguments),
        distinct: aggregate.distinct,
        filter: aggregate.filter.map(|column| column as u32),
        r#type: Some((&aggregate.data_type).into()),
        name: name.to_owned(),
    }
}

/// Columns.
pub(crate) fn indexes(columns: &[usize]) -> Vec<u32> {
    columns.iter().map(|column| *column as u32).collect()
}
