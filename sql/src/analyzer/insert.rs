//! Fits a query to the sink of an INSERT.
use sqlparser::ast::Ident;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use super::expression::ExpressionAnalyzer;
use super::places::{place_of_name, start_of};
use super::scope::Scope;
use super::{columns_of, project, suggestion};
use crate::ast::Insert;
use crate::catalog::ResolvedTable;
use crate::error::{Error, Result};
use crate::functions::cast::{can_cast, can_cast_implicitly, cast_to, is_within, plain, with_nullable_parts};
use crate::functions::numeric::is_exact;
use crate::functions::refuse_untyped_null;
use crate::rel::{LogicalProject, Rel, RelNode};
use crate::rex::lowering::check_expression;
use crate::rex::{Expression, Node, null_literal};

/// The query's rows as rows of the sink.
pub(super) fn fit(query: Rel, insert: &Insert, sink: &ResolvedTable) -> Result<Rel> {
    let place = start_of(&insert.table);
    let persisted = sink.persisted();
    let declared: Vec<&RowField> = persisted.iter().map(|(_, field)| *field).collect();
    let targets = target_columns(insert, &declared)?;
    if targets.len() != query.fields.len() {
        if !insert.columns.is_empty() {
            let message = "Number of columns must match number of query columns";
            return Err(Error::validation(message, start_of(insert.source.as_ref())));
        }
        return Err(mismatch(sink, &declared, &query.fields, "Different number of columns.").or_at(place));
    }
    let constants = partition_values(insert, sink, &declared)?;
    let given = columns_of(&query);
    let mut columns = Vec::with_capacity(declared.len());
    for (position, (at, field)) in persisted.iter().enumerate() {
        let constant = constants.iter().find(|(index, _)| *index == position).map(|(_, value)| value.clone());
        let from_query = targets.iter().position(|target| *target == position).map(|i| given[i].1.clone());
        let value = match (from_query, constant) {
            (Some(value), _) | (None, Some(value)) => value,
            (None, None) if !field.data_type.nullable => {
                let message = format!("Column '{}' has no default value and does not allow NULLs", field.name);
                return Err(Error::validation(message, place));
            }
            (None, None) => null_literal(field.data_type.kind.clone()),
        };
        if !can_cast_implicitly(&value.data_type.kind, &field.data_type.kind) {
            // Flink counts columns from 1 here.
            let cause = format!("Incompatible types for sink column '{}' at position {}.", field.name, position + 1);
            return Err(mismatch(sink, &declared, &query.fields, &cause).or_at(place));
        }
        let value = exact_constant(&query, &value, &field.data_type.kind).unwrap_or(value);
        columns.push((*at, field.name.clone(), sink_value(value, &field.data_type.kind)));
    }
    // Metadata goes behind the physical columns, wherever it is declared.
    columns.sort_by_key(|(at, ..)| *at);
    Ok(project(query, columns.into_iter().map(|(_, name, value)| (name, value)).collect()))
}

/// A value as the sink's column has it. What the column's type cannot hold is cast, so that a text is cut and filled, and a
/// number rounded, whatever `table.exec.sink.type-length-enforcer` says: that is for values that lie about their type.
fn sink_value(value: Expression, target: &TypeKind) -> Expression {
    let kind = plain(target);
    if is_within(&value.data_type.kind, &kind) {
        let nullable = value.data_type.nullable;
        return Expression { node: value.node, data_type: LogicalType { kind, nullable } };
    }
    cast_to(value, &with_nullable_parts(&kind))
}

/// What goes into a DOUBLE for a constant that the query casts to FLOAT: the constant as it is written. Flink's planner knows
/// constants as decimal numbers, whatever their type is.
fn exact_constant(query: &Rel, value: &Expression, target: &TypeKind) -> Option<Expression> {
    let (RelNode::Project(LogicalProject { expressions, .. }), Node::Input(index)) = (&query.node, &value.node) else {
        return None;
    };
    match &expressions.get(*index)?.node {
        Node::Call { function, operands } if function == "CAST" && value.data_type.kind == TypeKind::Float => {
            let constant = operands.first().filter(|operand| matches!(operand.node, Node::Literal(_)))?;
            (*target == TypeKind::Double && is_exact(&constant.data_type.kind)).then(|| constant.clone())
        }
        _ => None,
    }
}

/// The positions in the sink that the query's columns go to.
fn target_columns(insert: &Insert, declared: &[&RowField]) -> Result<Vec<usize>> {
    let partition: Vec<usize> =
        insert.partition.iter().map(|(key, _)| position_of(key, declared)).collect::<Result<_>>()?;
    if insert.columns.is_empty() {
        return Ok((0..declared.len()).filter(|position| !partition.contains(position)).collect());
    }
    let mut targets = Vec::with_capacity(insert.columns.len());
    for column in &insert.columns {
        let position = position_of(column, declared)?;
        if targets.contains(&position) || partition.contains(&position) {
            let message = format!("Target column '{}' is assigned more than once", column.value);
            return Err(Error::validation(message, place_of_name(column)));
        }
        targets.push(position);
    }
    Ok(targets)
}

fn position_of(column: &Ident, declared: &[&RowField]) -> Result<usize> {
    declared.iter().position(|field| field.name == column.value).ok_or_else(|| {
        let near = suggestion(&column.value, declared.iter().map(|field| field.name.as_str()));
        let message = format!("Unknown target column '{}'{near}", column.value);
        Error::validation(message, place_of_name(column))
    })
}

fn partition_values(insert: &Insert, sink: &ResolvedTable, declared: &[&RowField]) -> Result<Vec<(usize, Expression)>> {
    let scope = Scope::empty();
    let mut values = Vec::with_capacity(insert.partition.len());
    for (key, value) in &insert.partition {
        let position = position_of(key, declared)?;
        if !sink.partition_keys.contains(&key.value) {
            let message = format!("'{}' is no partition column of {}", key.value, sink.identifier);
            return Err(Error::validation(message, place_of_name(key)));
        }
        let value = ExpressionAnalyzer::new(&scope, "PARTITION").analyze(value)?;
        check_expression(&value)?;
        refuse_untyped_null([&value]).map_err(|e| e.or_at(place_of_name(key)))?;
        let target = &declared[position].data_type.kind;
        values.push((position, if can_cast(&value.data_type.kind, target) { cast_to(value, target) } else { value }));
    }
    Ok(values)
}

fn mismatch(sink: &ResolvedTable, declared: &[&RowField], query: &[RowField], cause: &str) -> Error {
    let list = |fields: &[RowField]| {
        fields.iter().map(|field| format!("{}: {}", field.name, field.data_type)).collect::<Vec<_>>().join(", ")
    };
    // What the sink declares NOT NULL has no say here.
    let nullable =
        |field: &&RowField| RowField::new(field.name.clone(), with_nullable_parts(&field.data_type.kind).nullable());
    let declared: Vec<RowField> = declared.iter().map(nullable).collect();
    let message = format!(
        "Column types of query result and sink for '{}' do not match.\nCause: {cause}\n\nQuery schema: [{}]\nSink schema:  [{}]",
        sink.identifier,
        list(query),
        list(&declared)
    );
    Error::validation(message, None)
}
