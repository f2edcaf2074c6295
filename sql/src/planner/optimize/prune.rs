//! Leaves out columns, and fields inside columns, that nobody reads.
//!
//! Top down each relation learns which paths are wanted of it; bottom up it answers where they are now. A path may be
//! answered by its beginning: the whole row where a field was asked for.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use datafusion_common::ScalarValue;
use wiesel_connectors::factory::ProjectionSupport;
use wiesel_operators::expression::{Expression, Node};
use wiesel_operators::types::{RowField, TypeKind};

use super::super::expressions::{Path, as_path, collect_paths, field, type_at};
use super::super::source::describe;
use crate::error::Result;
use crate::rel::{Aggregate, Rel, RelNode};

/// The paths wanted of a relation; none begins with another.
type Wanted = BTreeSet<Path>;

/// A relation without what nobody wants, and where its paths are now.
struct Pruned {
    rel: Rel,
    places: BTreeMap<Path, usize>,
}

impl Pruned {
    /// A column or field of the relation before, over the relation now.
    fn at(&self, path: &[usize]) -> Expression {
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
    fn column(&self, index: usize) -> usize {
        self.places.get(&vec![index]).copied().unwrap_or(usize::MAX)
    }

    /// An expression over the relation before, over the relation now.
    fn move_here(&self, expression: &Expression) -> Expression {
        if let Some(path) = as_path(expression) {
            return Expression { data_type: expression.data_type.clone(), ..self.at(&path) };
        }
        match &expression.node {
            Node::Call { function, operands } => {
                let operands = operands.iter().map(|operand| self.move_here(operand)).collect();
                Expression::call(function.clone(), operands, expression.data_type.clone())
            }
            _ => expression.clone(),
        }
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
    Ok(Rel { node: RelNode::Project { input: Box::new(pruned.rel), expressions }, fields })
}

fn add(wanted: &mut Wanted, path: Path) {
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

fn add_all(wanted: &mut Wanted, expression: &Expression) {
    collect_paths(expression, &mut |path| add(wanted, path));
}

fn prune(rel: Rel, mut wanted: Wanted) -> Result<Pruned> {
    let Rel { node, fields } = rel;
    match node {
        RelNode::Scan(table) => {
            let nested = describe(&table)?.projection == ProjectionSupport::Nested;
            let mut projection = Wanted::new();
            for path in wanted {
                add(&mut projection, if nested { path } else { path[..1].to_vec() });
            }
            let projection: Vec<Path> = projection.into_iter().collect();
            let fields: Vec<RowField> = projection.iter().map(|path| projected(&fields, path)).collect();
            let places = projection.iter().cloned().zip(0..).collect();
            let rel = Rel { node: RelNode::Source { table, projection, filters: Vec::new() }, fields };
            // No column of the table may stand for its rows: a value that cannot be read would fail a query that asks for none.
            Ok(Pruned { rel: if rel.fields.is_empty() { counted(rel) } else { rel }, places })
        }
        RelNode::Source { .. } => Ok(whole(Rel { node, fields })),
        RelNode::Values(rows) if wanted.is_empty() => {
            let node = RelNode::Values(rows.iter().map(|_| vec![zero()]).collect());
            Ok(Pruned { rel: Rel { node, fields: vec![zero_field()] }, places: BTreeMap::new() })
        }
        RelNode::Values(rows) => {
            let kept = top_level(&wanted, &fields);
            let pick = |row: Vec<Expression>| kept.iter().map(|index| row[*index].clone()).collect();
            let rows = rows.into_iter().map(pick).collect();
            Ok(picked(RelNode::Values(rows), &kept, &fields))
        }
        // Only the number of rows is wanted.
        RelNode::Project { input, .. } if wanted.is_empty() => {
            Ok(Pruned { places: BTreeMap::new(), ..prune(*input, Wanted::new())? })
        }
        RelNode::Project { input, expressions } => {
            // A field of a computed row is computed with the row; a field of a column can come alone.
            let mut outputs: Vec<(Path, Expression)> = Vec::new();
            let mut known = Wanted::new();
            for path in &wanted {
                let expression = &expressions[path[0]];
                let (path, output) = match as_path(expression) {
                    Some(_) => {
                        (path.clone(), path[1..].iter().fold(expression.clone(), |row, index| field(row, *index)))
                    }
                    None => (vec![path[0]], expression.clone()),
                };
                if known.insert(path.clone()) {
                    outputs.push((path, output));
                }
            }
            let mut below = Wanted::new();
            outputs.iter().for_each(|(_, expression)| add_all(&mut below, expression));
            let input = prune(*input, below)?;
            let names = outputs.iter().map(|(path, _)| projected(&fields, path)).collect();
            let expressions = outputs.iter().map(|(_, expression)| input.move_here(expression)).collect();
            let places = outputs.into_iter().map(|(path, _)| path).zip(0..).collect();
            let node = RelNode::Project { input: Box::new(input.rel), expressions };
            Ok(Pruned { rel: Rel { node, fields: names }, places })
        }
        RelNode::Filter { input, condition } => {
            add_all(&mut wanted, &condition);
            let input = prune(*input, wanted)?;
            let condition = input.move_here(&condition);
            Ok(over(input, |input| RelNode::Filter { input, condition }))
        }
        RelNode::WatermarkAssigner { input, rowtime, watermark } => {
            add(&mut wanted, vec![rowtime]);
            add_all(&mut wanted, &watermark);
            let input = prune(*input, wanted)?;
            let (place, watermark) = (input.column(rowtime), input.move_here(&watermark));
            let mut pruned = over(input, |input| RelNode::WatermarkAssigner { input, rowtime: place, watermark });
            pruned.rel.fields[place].data_type = fields[rowtime].data_type.clone();
            Ok(pruned)
        }
        RelNode::Aggregate { input, keys, aggregates } => {
            let mut kept = top_level(&wanted, &fields);
            kept.retain(|column| *column >= keys.len());
            if kept.is_empty() && keys.is_empty() && !aggregates.is_empty() {
                kept.push(0);
            }
            let aggregates: Vec<&Aggregate> = kept.iter().map(|column| &aggregates[column - keys.len()]).collect();
            let read = aggregates.iter().flat_map(|a| a.arguments.iter().chain(&a.filter)).chain(&keys);
            let below = read.map(|column| vec![*column]).collect();
            let input = prune(*input, below)?;
            let columns: Vec<usize> = (0..keys.len()).chain(kept.iter().copied()).collect();
            let aggregates = aggregates.iter().map(|aggregate| aggregate.over(|column| input.column(column))).collect();
            let keys = keys.iter().map(|key| input.column(*key)).collect();
            Ok(picked(RelNode::Aggregate { input: Box::new(input.rel), keys, aggregates }, &columns, &fields))
        }
        RelNode::WindowTableFunction { input, mut window } => {
            let width = input.fields.len();
            let mut below: Wanted = wanted.iter().filter(|path| path[0] < width).cloned().collect();
            add(&mut below, vec![window.time]);
            let input = prune(*input, below)?;
            window.time = input.column(window.time);
            let now = input.rel.fields.len();
            let mut places = input.places;
            places.extend((0..3).map(|property| (vec![width + property], now + property)));
            let all = input.rel.fields.iter().cloned().chain(fields[width..].iter().cloned()).collect();
            let node = RelNode::WindowTableFunction { input: Box::new(input.rel), window };
            Ok(Pruned { rel: Rel { node, fields: all }, places })
        }
        RelNode::Union(inputs) => {
            let counts = wanted.is_empty();
            let names: Vec<RowField> = match counts {
                true => vec![zero_field()],
                false => wanted.iter().map(|path| projected(&fields, path)).collect(),
            };
            let branch = |input: Rel| -> Result<Rel> {
                let input = prune(input, wanted.clone())?;
                if counts {
                    return Ok(counted(input.rel));
                }
                let expressions = wanted.iter().map(|path| input.at(path)).collect();
                Ok(Rel { node: RelNode::Project { input: Box::new(input.rel), expressions }, fields: names.clone() })
            };
            let inputs = inputs.into_iter().map(branch).collect::<Result<_>>()?;
            let places = wanted.iter().cloned().zip(0..).collect();
            Ok(Pruned { rel: Rel { node: RelNode::Union(inputs), fields: names.clone() }, places })
        }
    }
}

/// The column that stands for rows of which no column is wanted: they still count.
fn zero() -> Expression {
    Expression::literal(ScalarValue::Int32(Some(0)), TypeKind::Int.not_null())
}

fn zero_field() -> RowField {
    RowField::new("ZERO", TypeKind::Int.not_null())
}

/// The rows of a relation without its columns.
fn counted(input: Rel) -> Rel {
    Rel { node: RelNode::Project { input: Box::new(input), expressions: vec![zero()] }, fields: vec![zero_field()] }
}

/// A relation with the same columns as its pruned input.
fn over(input: Pruned, node: impl FnOnce(Box<Rel>) -> RelNode) -> Pruned {
    let fields = input.rel.fields.clone();
    Pruned { rel: Rel { node: node(Box::new(input.rel)), fields }, places: input.places }
}

/// A relation of which nothing is left out.
fn whole(rel: Rel) -> Pruned {
    let places = (0..rel.fields.len()).map(|index| (vec![index], index)).collect();
    Pruned { rel, places }
}

/// A relation of these columns of what was before.
fn picked(node: RelNode, columns: &[usize], fields: &[RowField]) -> Pruned {
    let places = columns.iter().map(|column| vec![*column]).zip(0..).collect();
    let fields = columns.iter().map(|column| fields[*column].clone()).collect();
    Pruned { rel: Rel { node, fields }, places }
}

/// The columns that are wanted, whole or in part; one at least, if there is one.
fn top_level(wanted: &Wanted, fields: &[RowField]) -> Vec<usize> {
    let mut columns: Vec<usize> = wanted.iter().map(|path| path[0]).collect();
    columns.dedup();
    if columns.is_empty() && !fields.is_empty() {
        columns.push(0);
    }
    columns
}

/// Name and type of a path, named as Flink names a pushed-down field: `bid_auction`.
pub(super) fn projected(fields: &[RowField], path: &[usize]) -> RowField {
    let column = &fields[path[0]];
    let data_type = type_at(&column.data_type, &path[1..]).unwrap_or_else(|| column.data_type.clone());
    let mut name = column.name.clone();
    let mut kind = &column.data_type.kind;
    for index in &path[1..] {
        let TypeKind::Row(inner) = kind else { break };
        let Some(field) = inner.get(*index) else { break };
        name = format!("{name}_{}", field.name);
        kind = &field.data_type.kind;
    }
    RowField::new(name, data_type)
}
