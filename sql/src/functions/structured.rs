//! `OBJECT_OF` and `OBJECT_UPDATE`: the structured type that they give.
use std::collections::HashSet;

use datafusion_common::ScalarValue;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use super::cast::plain;
use super::{is_text, no_such_function, type_too_deep};
use crate::error::{Error, Result};
use crate::parser::types::{MAX_DEPTH, is_class_name};
use crate::rex::{Expression, Node};

fn invalid(message: String) -> Error {
    Error::validation(message, None)
}

/// A call with names without values, or without what is always there.
fn no_match(function: &str, arguments: &str, operands: &[Expression]) -> Error {
    let error = no_such_function(function, operands);
    invalid(format!("{}.\nSupported signatures are:\n{function}({arguments})", error.message()))
}

/// A constant text.
fn literal(operand: &Expression) -> Option<&str> {
    match &operand.node {
        Node::Literal(ScalarValue::Utf8View(Some(text))) if !operand.data_type.nullable => Some(text),
        _ => None,
    }
}

/// What is to be a constant text, if it is another value.
fn is_other_value(operand: &Expression) -> bool {
    !is_text(&operand.data_type.kind)
}

/// `OBJECT_OF(class, name, value, …)`. It may be NULL to Flink, though it never is.
pub(super) fn object_of(operands: Vec<Expression>) -> Result<Expression> {
    let [class, pairs @ ..] = operands.as_slice() else {
        return Err(no_match("OBJECT_OF", "class name STRING, [STRING, ANY]*...", &operands));
    };
    if !pairs.len().is_multiple_of(2) {
        return Err(no_match("OBJECT_OF", "class name STRING, [STRING, ANY]*...", &operands));
    }
    let class = class_name(class)?;
    let mut fields = Vec::with_capacity(pairs.len() / 2);
    for (name, value) in names_and_values(pairs)? {
        fields.push(RowField::new(name, field_type(value)));
    }
    made("OBJECT_OF", TypeKind::Structured(class, fields).nullable(), operands)
}

/// `OBJECT_UPDATE(object, name, value, …)`: of the same class, the fields that are named with the types of their new values.
pub(super) fn object_update(operands: Vec<Expression>) -> Result<Expression> {
    let [object, pairs @ ..] = operands.as_slice() else {
        return Err(no_match("OBJECT_UPDATE", "object STRUCTURED_TYPE, [STRING, ANY]+...", &operands));
    };
    if !pairs.len().is_multiple_of(2) {
        return Err(no_match("OBJECT_UPDATE", "object STRUCTURED_TYPE, [STRING, ANY]+...", &operands));
    }
    let LogicalType { kind: TypeKind::Structured(class, fields), nullable } = &object.data_type else {
        return Err(invalid(format!("The first argument must be a structured type, but was {}.", object.data_type)));
    };
    let mut fields = fields.clone();
    for (at, (name, value)) in names_and_values(pairs)?.into_iter().enumerate() {
        let Some(field) = fields.iter_mut().find(|field| field.name == name) else {
            let known: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            return Err(invalid(format!(
                "The field name '{name}' at position {} is not part of the structured type attributes. Available attributes: [{}].",
                2 * at + 2,
                known.join(", ")
            )));
        };
        field.data_type = field_type(value);
    }
    let kind = TypeKind::Structured(class.clone(), fields);
    let data_type = LogicalType { kind, nullable: *nullable };
    made("OBJECT_UPDATE", data_type, operands)
}

fn made(function: &str, data_type: LogicalType, operands: Vec<Expression>) -> Result<Expression> {
    if data_type.depth() > MAX_DEPTH {
        return Err(type_too_deep("an expression"));
    }
    Ok(Expression::call(function, operands, data_type))
}

fn field_type(value: &Expression) -> LogicalType {
    LogicalType { kind: plain(&value.data_type.kind), nullable: value.data_type.nullable }
}

fn class_name(operand: &Expression) -> Result<String> {
    let what = "The first argument must be a non-nullable character string";
    if is_other_value(operand) {
        return Err(invalid(format!("{what} representing the class name, but was {}.", operand.data_type)));
    }
    let Some(name) = literal(operand) else {
        return Err(invalid(format!("{what} literal representing the class name.")));
    };
    if !is_class_name(name) {
        let message = format!("Invalid class name '{name}'. The class name must comply with JVM identifier rules.");
        return Err(invalid(message));
    }
    Ok(name.to_owned())
}

/// The names, which are constants that differ, each with its value.
fn names_and_values(pairs: &[Expression]) -> Result<Vec<(&str, &Expression)>> {
    let mut seen = HashSet::with_capacity(pairs.len() / 2);
    let mut found = Vec::with_capacity(pairs.len() / 2);
    for (index, pair) in pairs.chunks_exact(2).enumerate() {
        let position = 2 * index + 2;
        let what = format!("The field key at position {position} must be a non-nullable character string");
        if is_other_value(&pair[0]) {
            return Err(invalid(format!("{what}, but was {}.", pair[0].data_type)));
        }
        let Some(name) = literal(&pair[0]) else { return Err(invalid(format!("{what} literal."))) };
        if !seen.insert(name) {
            return Err(invalid(format!("The field name '{name}' at position {position} is repeated.")));
        }
        found.push((name, &pair[1]));
    }
    Ok(found)
}
