//! Window properties: which columns say of which window that a row belongs to it.
use wiesel_expressions::types::{LogicalType, TimeAttribute, TypeKind};
use wiesel_proto::WindowProperty;

use crate::rel::{LogicalAggregate, LogicalProject, LogicalWindowTableFunction, Rel, RelNode, Window};
use crate::rex::Node;

/// The time that is cut into windows. It says when a window is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowTime {
    /// A rowtime of type TIMESTAMP: the watermark is in the same time as the bounds of windows.
    Rowtime,
    /// A rowtime of type TIMESTAMP_LTZ: the bounds are in the session's time zone, the watermark is not.
    LocalRowtime,
    /// Processing time: no watermark says when a window is complete.
    Proctime,
}

impl WindowTime {
    /// That of a time attribute.
    pub fn of(attribute: &LogicalType) -> Self {
        match attribute.kind {
            TypeKind::Timestamp(_, TimeAttribute::Proctime) | TypeKind::TimestampLtz(_, TimeAttribute::Proctime) => {
                Self::Proctime
            }
            TypeKind::TimestampLtz(..) => Self::LocalRowtime,
            _ => Self::Rowtime,
        }
    }

    /// Whether watermarks say when a window is complete.
    pub fn is_event_time(self) -> bool {
        self != Self::Proctime
    }
}

/// What a column says of the window that its row belongs to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bound {
    /// The window.
    pub window: Window,
    /// What is cut into such windows.
    pub time: WindowTime,
    /// What of the window it is.
    pub property: WindowProperty,
    /// The nearest window table function below has appended it, and the rows were not grouped since.
    pub appended: bool,
}

impl Bound {
    /// Whether both bound the same window.
    fn is_of_same_window(&self, other: &Self) -> bool {
        self.window == other.window && self.time == other.time && self.appended == other.appended
    }
}

/// The columns among the keys of a group by which it is one of a window.
pub(crate) struct WindowKey<'a> {
    /// The window's end: its place in the rows that are grouped.
    pub end: usize,
    /// What it says of the window.
    pub bound: &'a Bound,
}

/// For each column of a relation the window that it bounds, if the rows of that window do not change any more once it is complete.
pub(crate) fn bounds(rel: &Rel) -> Vec<Option<Bound>> {
    match &rel.node {
        RelNode::Filter(filter) => bounds(&filter.input),
        RelNode::Project(project) => of_projection(project),
        RelNode::Aggregate(aggregate) => of_groups(aggregate, rel.fields.len()),
        RelNode::WindowTableFunction(function) => of_function(function),
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Union(_) => vec![None; rel.fields.len()],
    }
}

fn of_projection(project: &LogicalProject) -> Vec<Option<Bound>> {
    let below = bounds(&project.input);
    let column = |node: &Node| match node {
        Node::Input(index) => below.get(*index).cloned().flatten(),
        _ => None,
    };
    project.expressions.iter().map(|expression| column(&expression.node)).collect()
}

/// Groups pass on what they are grouped by only if they are by window themselves: others change their rows later, as those by
/// windows of processing time may.
fn of_groups(aggregate: &LogicalAggregate, width: usize) -> Vec<Option<Bound>> {
    let below = bounds(&aggregate.input);
    let by_window = window_keys(&below, &aggregate.keys).any(|key| key.bound.time.is_event_time());
    let of = |column: usize| {
        let bound = below[*aggregate.keys.get(column).filter(|_| by_window)?].clone()?;
        Some(Bound { appended: false, ..bound })
    };
    (0..width).map(of).collect()
}

fn of_function(function: &LogicalWindowTableFunction) -> Vec<Option<Bound>> {
    let LogicalWindowTableFunction { input, window } = function;
    let time = WindowTime::of(&input.fields[window.time].data_type);
    let before = bounds(input).into_iter().map(|bound| Some(Bound { appended: false, ..bound? }));
    let properties = [WindowProperty::WindowStart, WindowProperty::WindowEnd, WindowProperty::WindowTime];
    let own = properties.map(|property| Some(Bound { window: window.clone(), time, property, appended: true }));
    before.chain(own).collect()
}

/// The windows of a group: those of which both bounds are among its keys.
pub(crate) fn window_keys<'a>(bounds: &'a [Option<Bound>], keys: &'a [usize]) -> impl Iterator<Item = WindowKey<'a>> {
    let bound =
        move |key: usize, property: WindowProperty| bounds[key].as_ref().filter(|bound| bound.property == property);
    keys.iter().filter_map(move |end| {
        let found = bound(*end, WindowProperty::WindowEnd)?;
        let mut starts = keys.iter().filter_map(|key| bound(*key, WindowProperty::WindowStart));
        starts.any(|start| start.is_of_same_window(found)).then_some(WindowKey { end: *end, bound: found })
    })
}
