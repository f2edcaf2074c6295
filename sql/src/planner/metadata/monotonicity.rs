//! How the columns of a row change where it is updated.
use wiesel_connectors::factory::ChangelogMode;

use super::super::source::describe;
use crate::catalog::ResolvedTable;
use crate::rel::{Aggregate, LogicalAggregate, Rel, RelNode};
use crate::rex::Node;

/// How a column changes where its row is updated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monotonicity {
    /// It does not: the row is never updated, or is known by the column.
    Constant,
    /// It grows.
    Increasing,
    /// It gets smaller.
    Decreasing,
    /// Somehow, or the row may be deleted.
    None,
}

/// For each column of a relation how it changes where a row is updated.
pub fn monotonicity(rel: &Rel) -> Vec<Monotonicity> {
    let all = |monotonicity| vec![monotonicity; rel.fields.len()];
    match &rel.node {
        RelNode::Scan(scan) => all(of_table(&scan.table)),
        RelNode::Source(source) => all(of_table(&source.table)),
        RelNode::Values(_) => all(Monotonicity::Constant),
        RelNode::Project(project) => {
            let below = monotonicity(&project.input);
            let changes = below.iter().any(|column| *column != Monotonicity::Constant);
            let of = |node: &Node| match node {
                Node::Input(index) => below.get(*index).copied().unwrap_or(Monotonicity::None),
                _ if changes => Monotonicity::None,
                _ => Monotonicity::Constant,
            };
            project.expressions.iter().map(|expression| of(&expression.node)).collect()
        }
        RelNode::Filter(filter) => {
            // A row that does not pass any more is deleted.
            let below = monotonicity(&filter.input);
            let changes = |column: &usize| below.get(*column) != Some(&Monotonicity::Constant);
            let read = super::super::expressions::columns(&filter.condition);
            if read.iter().any(changes) { all(Monotonicity::None) } else { below }
        }
        RelNode::WatermarkAssigner(assigner) => monotonicity(&assigner.input),
        RelNode::Aggregate(aggregate) => of_groups(aggregate),
        RelNode::WindowTableFunction(function) => {
            let appended = rel.fields.len().saturating_sub(function.input.fields.len());
            let appended = std::iter::repeat_n(Monotonicity::Constant, appended);
            monotonicity(&function.input).into_iter().chain(appended).collect()
        }
        RelNode::Union(union) => {
            let inputs: Vec<_> = union.inputs.iter().map(monotonicity).collect();
            let of = |column: usize| {
                let mut found = inputs.iter().map(|input| input.get(column).copied().unwrap_or(Monotonicity::None));
                let first = found.next().unwrap_or(Monotonicity::Constant);
                if found.all(|other| other == first) { first } else { Monotonicity::None }
            };
            (0..rel.fields.len()).map(of).collect()
        }
    }
}

/// A table without a usable description changes somehow: what is wrong with it is said where it is read.
fn of_table(table: &ResolvedTable) -> Monotonicity {
    match describe(table).map(|source| source.changelog) {
        Ok(ChangelogMode::InsertOnly) => Monotonicity::Constant,
        Ok(ChangelogMode::Upsert | ChangelogMode::All) | Err(_) => Monotonicity::None,
    }
}

/// Each row that comes into a group updates it; where none leaves it or changes within it, some results go one way.
fn of_groups(aggregate: &LogicalAggregate) -> Vec<Monotonicity> {
    let below = monotonicity(&aggregate.input);
    let only_grows = below.iter().all(|column| *column == Monotonicity::Constant);
    if !only_grows {
        // A group whose last row leaves it is deleted.
        return vec![Monotonicity::None; aggregate.keys.len() + aggregate.aggregates.len()];
    }
    let of = |call: &Aggregate| match call.function.as_str() {
        "COUNT" | "MAX" => Monotonicity::Increasing,
        "MIN" => Monotonicity::Decreasing,
        _ => Monotonicity::None,
    };
    let keys = aggregate.keys.iter().map(|_| Monotonicity::Constant);
    keys.chain(aggregate.aggregates.iter().map(of)).collect()
}
