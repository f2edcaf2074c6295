//! Upsert keys.
use std::collections::{BTreeMap, BTreeSet};

use wiesel_proto::WindowKind;

use crate::catalog::{ResolvedColumnKind, ResolvedTable};
use crate::rel::{LogicalProject, LogicalWindowTableFunction, Rel, RelNode};
use crate::rex::Node;

/// Columns of a relation; without any: it has one row at most.
pub(crate) type Key = BTreeSet<usize>;

/// Columns by which the changes of a row are known for its own, whatever becomes of the order of changes of different rows: an
/// aggregation sends the rows of a group over one edge, those of another group over another. A primary key is believed, as Flink
/// believes it.
pub(crate) fn upsert_keys(rel: &Rel) -> Vec<Key> {
    match &rel.node {
        RelNode::Scan(scan) => {
            let columns: Vec<_> = (0..scan.table.physical.len()).map(|column| vec![column]).collect();
            of_table(&scan.table, &columns)
        }
        RelNode::Source(source) => of_table(&source.table, &source.projection),
        RelNode::Values(values) if values.rows.len() <= 1 => vec![Key::new()],
        RelNode::Values(_) => Vec::new(),
        RelNode::Project(project) => of_projection(project),
        RelNode::Filter(filter) => upsert_keys(&filter.input),
        RelNode::WatermarkAssigner(assigner) => upsert_keys(&assigner.input),
        RelNode::Aggregate(aggregate) => vec![(0..aggregate.keys.len()).collect()],
        RelNode::WindowTableFunction(function) => of_windows(function),
        RelNode::Union(union) => match union.inputs.as_slice() {
            [only] => upsert_keys(only),
            _ => Vec::new(),
        },
    }
}

/// The primary key, if these paths into the physical columns have all of it.
fn of_table(table: &ResolvedTable, columns: &[Vec<usize>]) -> Vec<Key> {
    let place = |column: &usize| match table.columns.get(*column)?.kind {
        ResolvedColumnKind::Physical(physical) => columns.iter().position(|path| *path == [physical]),
        ResolvedColumnKind::Computed(_) | ResolvedColumnKind::Metadata(_) => None,
    };
    let key: Option<Key> = table.primary_key.iter().map(place).collect();
    key.filter(|key| !key.is_empty()).into_iter().collect()
}

/// The keys of which all columns are there.
fn of_projection(project: &LogicalProject) -> Vec<Key> {
    let mut places = BTreeMap::new();
    for (place, expression) in project.expressions.iter().enumerate() {
        if let Node::Input(column) = expression.node {
            places.entry(column).or_insert(place);
        }
    }
    let moved = |key: &Key| key.iter().map(|column| places.get(column).copied()).collect::<Option<Key>>();
    upsert_keys(&project.input).iter().filter_map(moved).collect()
}

/// A row is in one window of TUMBLE; in several of other functions, which end at different times.
fn of_windows(function: &LogicalWindowTableFunction) -> Vec<Key> {
    let end = function.input.fields.len() + 1;
    let in_one = function.window.kind == WindowKind::Tumble;
    let with_end = |mut key: Key| {
        if !in_one {
            key.insert(end);
        }
        key
    };
    upsert_keys(&function.input).into_iter().map(with_end).collect()
}
