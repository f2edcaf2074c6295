//! Constants as the parser has them, and what stands beside them: units, names of types.
use sqlparser::ast::{DataType, DateTimeField, Expr, Interval, TypedString, UnaryOperator, Value, ValueWithSpan};
use wiesel_expressions::types::TypeKind;

use super::places::place_of;
use crate::error::{Error, Result};
use crate::functions::{datetime, literal};
use crate::parser::lexer;
use crate::rex::{Expression, null_literal};

/// A constant as it is written.
pub(super) fn constant(value: &ValueWithSpan) -> Result<Expression> {
    let result = match &value.value {
        Value::Number(number, _) => literal::number(number),
        Value::SingleQuotedString(text) => Ok(literal::string(text)),
        Value::HexStringLiteral(digits) => literal::binary(digits),
        Value::Boolean(value) => Ok(literal::boolean(*value)),
        Value::Null => Ok(null_literal(TypeKind::Null)),
        other => Err(Error::unsupported(format!("The constant {other} is not supported"), None)),
    };
    result.map_err(|e| e.or_at(lexer::place_of(value.span)))
}

/// `DATE '2020-01-31'` and its kin.
pub(super) fn typed_string(typed: &TypedString) -> Result<Expression> {
    let Value::SingleQuotedString(text) = &typed.value.value else {
        return Err(Error::validation(format!("{typed} needs a string"), lexer::place_of(typed.value.span)));
    };
    let result = match typed.data_type.to_string().to_uppercase().as_str() {
        "DATE" => datetime::date(text),
        "TIME" => datetime::time(text),
        "TIMESTAMP" => datetime::timestamp(text),
        other => Err(Error::unsupported(format!("Constants of type {other} are not supported; use CAST"), None)),
    };
    result.map_err(|e| e.or_at(lexer::place_of(typed.value.span)))
}

/// `INTERVAL '1' DAY` and its kin.
pub(super) fn interval(interval: &Interval) -> Result<Expression> {
    let (value, negative) = match interval.value.as_ref() {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => (expr.as_ref(), true),
        value => (value, false),
    };
    let place = place_of(value);
    let text = match value {
        Expr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => text,
        other => return Err(Error::validation(format!("An interval needs a string, not {other}"), place)),
    };
    let leading = interval.leading_field.as_ref().map(unit_name).unwrap_or_default();
    let last = interval.last_field.as_ref().map(unit_name);
    let usual = datetime::IntervalDigits::default();
    let most = datetime::IntervalDigits {
        leading: interval.leading_precision.unwrap_or(usual.leading),
        fraction: interval.fractional_seconds_precision.unwrap_or(usual.fraction),
    };
    datetime::interval(text, negative, &leading, last.as_deref(), most).map_err(|e| e.or_at(place))
}

/// A unit in upper case and in the singular.
pub(super) fn unit_name(unit: &DateTimeField) -> String {
    match unit {
        DateTimeField::Week(_) => "WEEK".to_owned(),
        unit => unit.to_string().to_uppercase().trim_end_matches('S').to_owned(),
    }
}

/// The text of a type that the dialect put into a cast.
pub(super) fn type_text(data_type: &DataType) -> String {
    match data_type {
        DataType::Custom(name, modifiers) if modifiers.is_empty() => {
            name.0.iter().filter_map(|part| part.as_ident()).map(|ident| ident.value.as_str()).collect()
        }
        other => other.to_string(),
    }
}
