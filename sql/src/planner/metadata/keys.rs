//! Unique and upsert keys.
use std::collections::{BTreeMap, BTreeSet};

use wiesel_proto::WindowKind;

use crate::catalog::{ResolvedColumnKind, ResolvedTable};
use crate::rel::{LogicalAggregate, LogicalProject, LogicalWindowTableFunction, Rel, RelNode};
use crate::rex::Node;

/// Columns of a relation; without any: it has one row at most.
pub type Key = BTreeSet<usize>;

/// Keys of a relation, at most: more are of no use.
const MAX_KEYS: usize = 16;

/// What a key is one of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    /// The rows that there are at one time.
    Rows,
    /// All changes, each at its place in their order.
    Changes,
}

/// Columns that no two rows have alike, in each of these sets. A primary key is believed, as Flink believes it.
pub fn unique_keys(rel: &Rel) -> Vec<Key> {
    keys(rel, Of::Rows)
}

/// Columns by which the changes of a row are known for its own, whatever becomes of the order of changes of different rows: an
/// aggregation sends the rows of a group over one edge, those of another group over another.
pub fn upsert_keys(rel: &Rel) -> Vec<Key> {
    keys(rel, Of::Changes)
}

fn keys(rel: &Rel, of: Of) -> Vec<Key> {
    let mut keys = match &rel.node {
        RelNode::Scan(scan) => {
            let columns: Vec<_> = (0..scan.table.physical.len()).map(|column| vec![column]).collect();
            of_table(&scan.table, &columns)
        }
        RelNode::Source(source) => of_table(&source.table, &source.projection),
        RelNode::Values(values) if values.rows.len() <= 1 => vec![Key::new()],
        RelNode::Values(_) => Vec::new(),
        RelNode::Project(project) => of_projection(project, of),
        RelNode::Filter(filter) => keys(&filter.input, of),
        RelNode::WatermarkAssigner(assigner) => keys(&assigner.input, of),
        RelNode::Aggregate(aggregate) => of_groups(aggregate, of),
        RelNode::WindowTableFunction(function) => of_windows(function, of),
        RelNode::Union(union) => match union.inputs.as_slice() {
            [only] => keys(only, of),
            _ => Vec::new(),
        },
    };
    keys.truncate(MAX_KEYS);
    keys
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
fn of_projection(project: &LogicalProject, of: Of) -> Vec<Key> {
    let mut places = BTreeMap::new();
    for (place, expression) in project.expressions.iter().enumerate() {
        if let Node::Input(column) = expression.node {
            places.entry(column).or_insert(place);
        }
    }
    let moved = |key: &Key| key.iter().map(|column| places.get(column).copied()).collect::<Option<Key>>();
    keys(&project.input, of).iter().filter_map(moved).collect()
}

/// What is grouped by; and of the rows at one time what was a key among it before.
fn of_groups(aggregate: &LogicalAggregate, of: Of) -> Vec<Key> {
    let mut all = vec![(0..aggregate.keys.len()).collect::<Key>()];
    if of == Of::Rows {
        let place = |column: &usize| aggregate.keys.iter().position(|key| key == column);
        let before = keys(&aggregate.input, of);
        let kept = before.iter().filter_map(|key| key.iter().map(place).collect::<Option<Key>>());
        // Over no row there is a group all the same, where there is no key to group by.
        all.extend(kept.filter(|key| !key.is_empty() && *key != all[0]).collect::<Vec<_>>());
    }
    all
}

/// A row is in one window of TUMBLE; in several of other functions, which end at different times.
fn of_windows(function: &LogicalWindowTableFunction, of: Of) -> Vec<Key> {
    let end = function.input.fields.len() + 1;
    let in_one = function.window.kind == WindowKind::Tumble;
    let with_end = |mut key: Key| {
        if !in_one {
            key.insert(end);
        }
        key
    };
    keys(&function.input, of).into_iter().map(with_end).collect()
}
