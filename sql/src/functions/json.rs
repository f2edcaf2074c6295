//! Functions of JSON whose clauses the parser makes arguments of, and IS JSON.
use datafusion_common::ScalarValue;
use wiesel_expressions::functions::refusal_of_path;
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::cast::{can_cast, cast_to};
use super::numeric::is_numeric;
use super::operators::cast_null;
use super::{any_nullable, cannot_apply_function, is_bytes, is_text, is_timestamp, literal};
use crate::error::{Error, Result};
use crate::parser::parse_type;
use crate::rex::{Expression, Node, null_literal};

/// `JSON_VALUE(document, path)`, behind which may be the type that is returned, what to do on empty, its default, what to do on error,
/// its default.
pub(crate) fn value(operands: Vec<Expression>) -> Result<Expression> {
    let (operands, mut clauses) = with_path("JSON_VALUE", operands)?;
    let returned = returned(&clauses)?.unwrap_or_else(TypeKind::string);
    if !is_text(&returned) && !matches!(returned, TypeKind::Boolean | TypeKind::Int | TypeKind::Double) {
        let message =
            format!("Unsupported type '{returned}' for RETURNING in JSON_VALUE(): take STRING, BOOLEAN, INT or DOUBLE");
        return Err(Error::validation(message, None));
    }
    for (action, default) in [(1, 2), (3, 4)] {
        if constant(&clauses, action) == "DEFAULT" && default < clauses.len() {
            clauses[default] = as_returned(clauses[default].clone(), &returned)?;
        }
    }
    // A clause that says what would be without it is left out.
    let is_plain = |index: usize| matches!(constant(&clauses, index), "" | "NULL");
    let behind = if is_plain(1) && is_plain(3) { Vec::new() } else { clauses.split_off(1) };
    let operands = operands.into_iter().chain(behind).collect();
    Ok(Expression::call("JSON_VALUE", operands, returned.nullable()))
}

fn as_returned(default: Expression, returned: &TypeKind) -> Result<Expression> {
    let default = cast_null(default, returned);
    if !can_cast(&default.data_type.kind, returned) {
        let message = format!("The DEFAULT of JSON_VALUE is {}, which is no {returned}", default.data_type);
        return Err(Error::validation(message, None));
    }
    Ok(if is_text(returned) && is_text(&default.data_type.kind) { default } else { cast_to(default, returned) })
}

/// `JSON_QUERY(document, path)`, behind which may be the type that is returned, the wrapper, what to do on empty and on error.
pub(crate) fn query(operands: Vec<Expression>) -> Result<Expression> {
    let (operands, mut clauses) = with_path("JSON_QUERY", operands)?;
    let returned = returned(&clauses)?.unwrap_or_else(TypeKind::string);
    let is_list = matches!(&returned, TypeKind::Array(element) if is_text(&element.kind));
    if !is_text(&returned) && !is_list {
        let message =
            format!("Unsupported type '{returned}' for RETURNING in JSON_QUERY(): take STRING or ARRAY<STRING>");
        return Err(Error::validation(message, None));
    }
    if is_list && [2, 3].iter().any(|index| constant(&clauses, *index) == "EMPTY OBJECT") {
        return Err(Error::validation("JSON_QUERY cannot return an EMPTY OBJECT as an ARRAY", None));
    }
    let is_plain = matches!(constant(&clauses, 1), "" | "WITHOUT")
        && [2, 3].iter().all(|index| matches!(constant(&clauses, *index), "" | "NULL"));
    let behind = if is_plain { Vec::new() } else { clauses.split_off(1) };
    let operands = operands.into_iter().chain(behind).collect();
    Ok(Expression::call("JSON_QUERY", operands, returned.nullable()))
}

/// `JSON_EXISTS(document, path)`, behind which may be what an error gives.
pub(crate) fn exists(operands: Vec<Expression>) -> Result<Expression> {
    let (operands, clauses) = with_path("JSON_EXISTS", operands)?;
    let behind = if matches!(constant(&clauses, 0), "" | "FALSE") { Vec::new() } else { clauses };
    let operands = operands.into_iter().chain(behind).collect();
    Ok(Expression::call("JSON_EXISTS", operands, TypeKind::Boolean.nullable()))
}

/// `text IS JSON [VALUE | ARRAY | OBJECT | SCALAR]`: text and kind.
pub(crate) fn is_json(operands: Vec<Expression>) -> Result<Expression> {
    if !operands.first().is_some_and(|text| is_text(&text.data_type.kind)) {
        return Err(cannot_apply_function("IS JSON", &operands[..operands.len().min(1)], &["<CHARACTER> IS JSON"]));
    }
    Ok(Expression::call("IS_JSON", operands, TypeKind::Boolean.not_null()))
}

/// `JSON_STRING(value)`.
pub(crate) fn string(operands: Vec<Expression>) -> Result<Expression> {
    if operands[0].data_type.kind == TypeKind::Null {
        return Ok(null_literal(TypeKind::string()));
    }
    refuse_what_is_no_json("JSON_STRING", &operands)?;
    let nullable = any_nullable(&operands);
    Ok(Expression::call("JSON_STRING", operands, LogicalType { kind: TypeKind::string(), nullable }))
}

/// `JSON_ARRAY(…)`: what becomes of null, then the values.
pub(crate) fn array(mut operands: Vec<Expression>) -> Result<Expression> {
    refuse_what_is_no_json("JSON_ARRAY", &operands[1..])?;
    operands[0] = literal::string(&format!("{}:{}", constant(&operands, 0), letters(&operands[1..])));
    Ok(Expression::call("JSON_ARRAY", operands, TypeKind::string().not_null()))
}

/// `JSON_OBJECT(…)`: what becomes of null, then names and values in turn. The names are constants.
pub(crate) fn object(mut operands: Vec<Expression>) -> Result<Expression> {
    let is_name = |name: &Expression| {
        is_text(&name.data_type.kind) && matches!(&name.node, Node::Literal(value) if !value.is_null())
    };
    if operands.len().is_multiple_of(2) || !operands.iter().skip(1).step_by(2).all(is_name) {
        return Err(Error::validation("The names of JSON_OBJECT must be texts that are constants and not NULL", None));
    }
    let values: Vec<Expression> = operands.iter().skip(2).step_by(2).cloned().collect();
    refuse_what_is_no_json("JSON_OBJECT", &values)?;
    operands[0] = literal::string(&format!("{}:{}", constant(&operands, 0), letters(&values)));
    Ok(Expression::call("JSON_OBJECT", operands, TypeKind::string().not_null()))
}

/// `JSON_ARRAYAGG(value)`, `JSON_OBJECTAGG(name VALUE value)`, behind what becomes of null: the name that plans have for it, and its
/// arguments with the value as JSON.
pub(crate) fn aggregate(name: &str, mut operands: Vec<Expression>) -> Result<(&'static str, Vec<Expression>)> {
    let of_object = name == "JSON_OBJECTAGG";
    let function = match (of_object, constant(&operands, 0)) {
        (true, "NULL") => "JSON_OBJECTAGG_NULL_ON_NULL",
        (true, _) => "JSON_OBJECTAGG_ABSENT_ON_NULL",
        (false, "NULL") => "JSON_ARRAYAGG_NULL_ON_NULL",
        (false, _) => "JSON_ARRAYAGG_ABSENT_ON_NULL",
    };
    let expected = if of_object { 2 } else { 1 };
    let value = if operands.len() == expected + 1 { operands.pop() } else { None };
    let Some(value) = value else {
        let message = format!("Invalid number of arguments to function '{name}'. Was expecting {expected} arguments");
        return Err(Error::validation(message, None));
    };
    let mut arguments = operands.split_off(1);
    if !arguments.iter().all(|key| is_text(&key.data_type.kind)) {
        arguments.push(value);
        let form = format!("{function}(<CHARACTER>, <ANY>)");
        return Err(cannot_apply_function(function, &arguments, &[&form]));
    }
    arguments.push(if gives_json(&value) { value } else { string(vec![value])? });
    Ok((function, arguments))
}

/// `JSON(text)` as a value of an array or an object.
pub(crate) fn within(operands: Vec<Expression>) -> Result<Expression> {
    if !operands.iter().all(|text| is_text(&text.data_type.kind)) || operands.len() != 1 {
        return Err(cannot_apply_function("JSON", &operands, &["JSON(<CHARACTER>)"]));
    }
    let nullable = any_nullable(&operands);
    Ok(Expression::call("JSON", operands, LogicalType { kind: TypeKind::string(), nullable }))
}

/// `JSON(text)` anywhere else.
pub(crate) fn outside() -> Error {
    let message = "The JSON() function is currently only supported inside JSON_ARRAY() or as the VALUE param of JSON_OBJECT(). \
                   Example: JSON_OBJECT('a' VALUE JSON('{\"key\": \"value\"}')) or JSON_ARRAY(JSON('{\"key\": \"value\"}')).";
    Error::validation(message, None)
}

/// For each value whether it is JSON already, or is to be made so.
fn letters(values: &[Expression]) -> String {
    values.iter().map(|value| if gives_json(value) { 'J' } else { 'V' }).collect()
}

/// Whether a call gives JSON, which is taken as it is.
fn gives_json(value: &Expression) -> bool {
    matches!(&value.node, Node::Call { function, .. } if matches!(function.as_str(), "JSON" | "JSON_ARRAY" | "JSON_OBJECT"))
}

fn refuse_what_is_no_json(function: &str, values: &[Expression]) -> Result<()> {
    fn is_json(kind: &TypeKind) -> bool {
        match kind {
            TypeKind::Array(element) => is_json(&element.kind),
            TypeKind::Map(key, value) => is_text(&key.kind) && is_json(&value.kind),
            TypeKind::Multiset(element) => is_text(&element.kind),
            TypeKind::Row(fields) | TypeKind::Structured(_, fields) => {
                fields.iter().all(|field| is_json(&field.data_type.kind))
            }
            kind => {
                is_text(kind)
                    || is_bytes(kind)
                    || is_numeric(kind)
                    || is_timestamp(kind)
                    || matches!(kind, TypeKind::Boolean | TypeKind::Variant)
            }
        }
    }
    match values.iter().find(|value| !is_json(&value.data_type.kind)) {
        Some(value) => {
            let message = format!("{function}: the type '{}' is not supported for JSON conversion", value.data_type);
            Err(Error::validation(message, None))
        }
        None => Ok(()),
    }
}

/// Document and path, and what is behind them. The path must be a constant that can be followed.
fn with_path(function: &str, mut operands: Vec<Expression>) -> Result<(Vec<Expression>, Vec<Expression>)> {
    let clauses = operands.split_off(operands.len().min(2));
    if operands.len() < 2 || !operands.iter().all(|operand| is_text(&operand.data_type.kind)) {
        let form = format!("{function}(<CHARACTER>, <CHARACTER>)");
        return Err(cannot_apply_function(function, &operands, &[&form]));
    }
    let Node::Literal(ScalarValue::Utf8View(Some(path))) = &operands[1].node else {
        return Err(Error::unsupported(format!("{function} with a path that is no constant"), None));
    };
    match refusal_of_path(path) {
        Some(reason) => Err(Error::unsupported(format!("{function}: {reason}"), None)),
        None => Ok((operands, clauses)),
    }
}

/// The constant text of a clause; empty if there is none.
fn constant(clauses: &[Expression], index: usize) -> &str {
    match clauses.get(index).map(|clause| &clause.node) {
        Some(Node::Literal(ScalarValue::Utf8View(Some(text)))) => text,
        _ => "",
    }
}

/// The type behind RETURNING.
fn returned(clauses: &[Expression]) -> Result<Option<TypeKind>> {
    match constant(clauses, 0) {
        "" => Ok(None),
        text => parse_type(text).map(|LogicalType { kind, .. }| Some(kind)),
    }
}
