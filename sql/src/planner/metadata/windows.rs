//! Window properties: which columns say of which window that a row belongs to it.
use wiesel_expressions::types::{TimeAttribute, TypeKind};
use wiesel_proto::WindowProperty;

use crate::rel::{LogicalAggregate, LogicalProject, LogicalWindowTableFunction, Rel, RelNode, Window};
use crate::rex::Node;

/// What a column says of the window that its row belongs to.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The window.
    pub window: Window,
    /// What of it.
    pub property: WindowProperty,
}

/// The columns among the keys of a group by which it is one of a window.
pub struct WindowKey<'a> {
    /// The window's end.
    pub end: usize,
    /// The window.
    pub window: &'a Window,
}

/// For each column of a relation the window that it bounds, if the watermark says when that is complete.
pub fn bounds(rel: &Rel) -> Vec<Option<Bound>> {
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

/// Groups pass on what they are grouped by only if they are by window themselves: others change their rows later.
fn of_groups(aggregate: &LogicalAggregate, width: usize) -> Vec<Option<Bound>> {
    let below = bounds(&aggregate.input);
    let by_window = window_key(&below, &aggregate.keys).is_some();
    let of = |column: usize| match aggregate.keys.get(column) {
        Some(key) if by_window => below[*key].clone(),
        Some(_) | None => None,
    };
    (0..width).map(of).collect()
}

fn of_function(function: &LogicalWindowTableFunction) -> Vec<Option<Bound>> {
    let LogicalWindowTableFunction { input, window } = function;
    let time = &input.fields[window.time].data_type.kind;
    // Windows over TIMESTAMP_LTZ are bounded in local time, the watermark is not.
    let usable = matches!(time, TypeKind::Timestamp(_, TimeAttribute::Rowtime));
    let properties = [WindowProperty::WindowStart, WindowProperty::WindowEnd, WindowProperty::WindowTime];
    let own = properties.map(|property| usable.then(|| Bound { window: window.clone(), property }));
    bounds(input).into_iter().chain(own).collect()
}

/// The window of a group, if both bounds of one window are among its keys.
pub fn window_key<'a>(bounds: &'a [Option<Bound>], keys: &[usize]) -> Option<WindowKey<'a>> {
    let bound = |key: usize, property: WindowProperty| bounds[key].as_ref().filter(|bound| bound.property == property);
    keys.iter().find_map(|end| {
        let window = &bound(*end, WindowProperty::WindowEnd)?.window;
        let starts = keys.iter().filter_map(|key| bound(*key, WindowProperty::WindowStart));
        starts.map(|start| &start.window).any(|other| other == window).then_some(WindowKey { end: *end, window })
    })
}

/// What of a window a column of a relation is that a window table function has appended, to rows that are not grouped since.
pub fn appended(rel: &Rel, column: usize) -> Option<WindowProperty> {
    match &rel.node {
        RelNode::Filter(filter) => appended(&filter.input, column),
        RelNode::Project(project) => match project.expressions.get(column)?.node {
            Node::Input(below) => appended(&project.input, below),
            _ => None,
        },
        RelNode::WindowTableFunction(function) => match column.checked_sub(function.input.fields.len())? {
            0 => Some(WindowProperty::WindowStart),
            1 => Some(WindowProperty::WindowEnd),
            _ => Some(WindowProperty::WindowTime),
        },
        RelNode::Scan(_)
        | RelNode::Source(_)
        | RelNode::Values(_)
        | RelNode::WatermarkAssigner(_)
        | RelNode::Aggregate(_)
        | RelNode::Union(_) => None,
    }
}
