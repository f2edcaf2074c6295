//! Leaves out columns, and fields inside columns, that nobody reads.
//!
//! Top down each relation learns which paths are wanted of it; bottom up it answers where they are now. A path may be
//! answered by its beginning: the whole row where a field was asked for.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use datafusion_common::ScalarValue;
use wiesel_expressions::types::{RowField, TypeKind};

use super::super::expressions::{Path, as_path, collect_paths, field, type_at};
use crate::error::Result;
use crate::rel::{LogicalProject, Rel, RelNode};
use crate::rex::Expression;

/// The paths wanted of a relation; none begins with another.
pub(crate) type Wanted = BTreeSet<Path>;

/// A relation without what nobody wants, and where its paths are now.
pub(crate) struct Pruned {
    pub rel: Rel,
    pub places: BTreeMap<Path, usize>,
}

impl Pruned {
    /// A column or field of the relation before, over the relation now.
    pub fn at(&self, path: &[usize]) -> Expression {
        let mut length = path.len();
        while length > 1 && !self.places.contains_key(&path[..length]) {
            length -= 1;
        }
        let index = self.places.get(&path[..length]).copied().unwrap_or(usize::MAX);
        let data_type = self.rel.fields.get(index).map(|field| field.data_type.clone());
        let column = Expression::input(index, data_type.unwrap_or_else(|| TypeKind::Null.nullable()));
        path[length..].iter().fold(column, |row, index| field(row, *index))
    }

    /// A whole column of the relation before.
    pub fn column(&self, index: usize) -> usize {
        self.places.get(&vec![index]).copied().unwrap_or(usize::MAX)
    }

    /// An expression over the relation before, over the relation now.
    pub fn move_here(&self, expression: &Expression) -> Expression {
        if let Some(path) = as_path(expression) {
            return Expression { data_type: expression.data_type.clone(), ..self.at(&path) };
        }
        expression.map_operands(&mut |operand| self.move_here(operand))
    }
}

/// Prunes a query; its own columns stay as they are.
pub(super) fn prune_columns(rel: Rel) -> Result<Rel> {
    let fields = rel.fields.clone();
    let wanted: Wanted = (0..fields.len()).map(|index| vec![index]).collect();
    let pruned = prune(rel, wanted)?;
    let in_place = (0..fields.len()).all(|index| pruned.column(index) == index);
    if in_place && pruned.rel.fields.len() == fields.len() {
        return Ok(pruned.rel);
    }
    let expressions = (0..fields.len()).map(|index| pruned.at(&[index])).collect();
    Ok(Rel { node: RelNode::Project(LogicalProject { input: Box::new(pruned.rel), expressions }), fields })
}

/// Wants a path as well.
pub(crate) fn add(wanted: &mut Wanted, path: Path) {
    if (1..=path.len()).any(|length| wanted.contains(&path[..length])) {
        return;
    }
    // Those that begin with it stand right behind where it will be.
    let within = wanted.range::<[usize], _>((Bound::Excluded(path.as_slice()), Bound::Unbounded));
    let within: Vec<Path> = within.take_while(|other| other.starts_with(&path)).cloned().collect();
    within.iter().for_each(|other| {
        wanted.remove(other);
    });
    wanted.insert(path);
}

/// Wants all that an expression reads.
pub(crate) fn add_all(wanted: &mut Wanted, expression: &Expression) {
    collect_paths(expression, &mut |path| add(wanted, path));
}

/// A relation without what nobody wants of it.
pub(crate) fn prune(rel: Rel, wanted: Wanted) -> Result<Pruned> {
    rel.node.into_relation().prune(rel.fields, wanted)
}

/// The column that stands for rows of which no column is wanted: they still count.
pub(crate) fn zero() -> Expression {
    Expression::literal(ScalarValue::Int32(Some(0)), TypeKind::Int.not_null())
}

/// The name and the type of [`zero`].
pub(crate) fn zero_field() -> RowField {
    RowField::new("ZERO", TypeKind::Int.not_null())
}

/// The rows of a relation without its columns.
pub(crate) fn counted(input: Rel) -> Rel {
    Rel {
        node: RelNode::Project(LogicalProject { input: Box::new(input), expressions: vec![zero()] }),
        fields: vec![zero_field()],
    }
}

/// A relation with the same columns as its pruned input.
pub(crate) fn over(input: Pruned, node: impl FnOnce(Box<Rel>) -> RelNode) -> Pruned {
    let fields = input.rel.fields.clone();
    Pruned { rel: Rel { node: node(Box::new(input.rel)), fields }, places: input.places }
}

/// A relation of which nothing is left out.
pub(crate) fn whole(rel: Rel) -> Pruned {
    let places = (0..rel.fields.len()).map(|index| (vec![index], index)).collect();
    Pruned { rel, places }
}

/// A relation of these columns of what was before.
pub(crate) fn picked(node: RelNode, columns: &[usize], fields: &[RowField]) -> Pruned {
    let places = columns.iter().map(|column| vec![*column]).zip(0..).collect();
    let fields = columns.iter().map(|column| fields[*column].clone()).collect();
    Pruned { rel: Rel { node, fields }, places }
}

/// The columns that are wanted, whole or in part; one at least, if there is one.
pub(crate) fn top_level(wanted: &Wanted, fields: &[RowField]) -> Vec<usize> {
    let mut columns: Vec<usize> = wanted.iter().map(|path| path[0]).collect();
    columns.dedup();
    if columns.is_empty() && !fields.is_empty() {
        columns.push(0);
    }
    columns
}

/// Name and type of a path, named as Flink names a pushed-down field: `bid_auction`.
pub(crate) fn projected(fields: &[RowField], path: &[usize]) -> RowField {
    let column = &fields[path[0]];
    let data_type = type_at(&column.data_type, &path[1..]).unwrap_or_else(|| column.data_type.clone());
    let mut name = column.name.clone();
    let mut kind = &column.data_type.kind;
    for index in &path[1..] {
        let Some(field) = kind.fields().and_then(|inner| inner.get(*index)) else { break };
        name = format!("{name}_{}", field.name);
        kind = &field.data_type.kind;
    }
    RowField::new(name, data_type)
}
