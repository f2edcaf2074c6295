//! Reading tables: one scan for all readers of a table, and the conditions a source applies itself.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use wiesel_expressions::types::RowField;

use super::super::expressions::{Path, conjunction, conjuncts, field, substitute};
use super::super::source::describe;
use super::{filter, rewrite_inputs};
use crate::catalog::{ObjectIdentifier, ResolvedTable};
use crate::rel::{LogicalFilter, LogicalProject, LogicalSource, Rel, RelNode, SourceColumns};
use crate::rex::Expression;
use crate::rex::lowering::lower;

/// A table as a job reads it: two tables with equal names and options are one.
type TableKey = (ObjectIdentifier, BTreeMap<String, String>);

fn key(table: &ResolvedTable) -> TableKey {
    (table.identifier.clone(), table.options.clone())
}

/// Where a job reads a table several times with different columns, all read the columns of all; each takes its own.
pub(super) fn share_scans(roots: Vec<Rel>) -> Vec<Rel> {
    let mut scans: BTreeMap<TableKey, Vec<BTreeSet<Path>>> = BTreeMap::new();
    roots.iter().for_each(|root| collect(root, &mut scans));
    let mut shared: BTreeMap<TableKey, Vec<Path>> = BTreeMap::new();
    for (table, projections) in scans {
        if projections.windows(2).any(|pair| pair[0] != pair[1]) {
            let all: BTreeSet<Path> = projections.into_iter().flatten().collect();
            let begins = |path: &Path| (1..path.len()).any(|length| all.contains(&path[..length]));
            shared.insert(table, all.iter().filter(|path| !begins(path)).cloned().collect());
        }
    }
    roots.into_iter().map(|root| widen(root, &shared)).collect()
}

fn collect(rel: &Rel, scans: &mut BTreeMap<TableKey, Vec<BTreeSet<Path>>>) {
    if let RelNode::Source(LogicalSource { table, projection, .. }) = &rel.node {
        scans.entry(key(table)).or_default().push(projection.iter().cloned().collect());
    }
    rel.node.relation().inputs().into_iter().for_each(|input| collect(input, scans));
}

fn widen(rel: Rel, shared: &BTreeMap<TableKey, Vec<Path>>) -> Rel {
    match rel {
        Rel { node: RelNode::Source(LogicalSource { table, given, projection, filters }), fields } => {
            match shared.get(&key(&table)) {
                Some(all) if *all != projection => take(table, given, projection, fields, all),
                _ => Rel { node: RelNode::Source(LogicalSource { table, given, projection, filters }), fields },
            }
        }
        rel => rewrite_inputs(rel, |input| widen(input, shared)),
    }
}

/// The columns of a scan out of a wider one.
fn take(
    table: Arc<ResolvedTable>,
    given: Arc<SourceColumns>,
    projection: Vec<Path>,
    fields: Vec<RowField>,
    all: &[Path],
) -> Rel {
    let wide: Vec<RowField> = all.iter().map(|path| super::prune::projected(&given.fields, path)).collect();
    let expression = |path: &Path| {
        let index = all.iter().position(|other| path.starts_with(other)).unwrap_or(usize::MAX);
        let length = all.get(index).map_or(0, Vec::len);
        let column = Expression::input(index, wide[index].data_type.clone());
        path[length..].iter().fold(column, |row, index| field(row, *index))
    };
    let expressions = projection.iter().map(expression).collect();
    let node = RelNode::Source(LogicalSource { table, given, projection: all.to_vec(), filters: Vec::new() });
    Rel { node: RelNode::Project(LogicalProject { input: Box::new(Rel { node, fields: wide }), expressions }), fields }
}

/// Hands the conditions right over a scan to its source, as far as the source applies them.
pub(super) fn push_filters(rel: Rel) -> Rel {
    let rel = rewrite_inputs(rel, push_filters);
    let Rel { node: RelNode::Filter(LogicalFilter { input, condition }), fields } = rel else { return rel };
    let Rel { node: RelNode::Source(LogicalSource { table, given, projection, filters }), fields: columns } = *input
    else {
        return Rel { node: RelNode::Filter(LogicalFilter { input, condition }), fields };
    };
    let Ok(source) = describe(&table) else {
        let input = Box::new(Rel {
            node: RelNode::Source(LogicalSource { table, given, projection, filters }),
            fields: columns,
        });
        return Rel { node: RelNode::Filter(LogicalFilter { input, condition }), fields };
    };
    // A source knows what it can give: it is asked, and told, about that.
    let physical: Vec<Expression> = projection
        .iter()
        .map(|path| {
            let column = Expression::input(path[0], given.fields[path[0]].data_type.clone());
            path[1..].iter().fold(column, |row, index| field(row, *index))
        })
        .collect();
    let applies = |condition: &Expression| {
        lower(&substitute(condition, &physical)).is_ok_and(|condition| source.applies(&condition))
    };
    let (pushed, stay): (Vec<_>, Vec<_>) = conjuncts(&condition).into_iter().partition(applies);
    let pushed = pushed.iter().map(|condition| substitute(condition, &physical));
    let filters = filters.into_iter().chain(pushed).collect();
    let node = RelNode::Source(LogicalSource { table, given, projection, filters });
    filter(Rel { node, fields: columns }, conjunction(stay))
}
