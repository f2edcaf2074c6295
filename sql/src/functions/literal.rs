//! Constants as they are written.
use datafusion_common::ScalarValue;
use wiesel_expressions::types::TypeKind;

use super::numeric::MAX_PRECISION;
use crate::error::{Error, Result};
use crate::rex::{Expression, Node};

/// A string.
pub(crate) fn string(text: &str) -> Expression {
    // Flink counts UTF-16 units.
    let length = text.encode_utf16().count() as u32;
    // Calcite's empty literal is CHAR(0), which Flink's planner keeps.
    Expression::literal(ScalarValue::Utf8View(Some(text.to_owned())), TypeKind::Char(length).not_null())
}

/// TRUE or FALSE.
pub(crate) fn boolean(value: bool) -> Expression {
    Expression::literal(ScalarValue::Boolean(Some(value)), TypeKind::Boolean.not_null())
}

/// An INT.
pub(crate) fn int(value: i32) -> Expression {
    Expression::literal(ScalarValue::Int32(Some(value)), TypeKind::Int.not_null())
}

/// Milliseconds as an INTERVAL.
pub(crate) fn interval_of_time(milliseconds: i64) -> Expression {
    let kind = TypeKind::IntervalDayTime(crate::parser::types::SECOND_RESOLUTION.to_owned());
    Expression::literal(ScalarValue::DurationMillisecond(Some(milliseconds)), kind.not_null())
}

/// Months as an INTERVAL.
pub(crate) fn interval_of_months(months: i32) -> Expression {
    let kind = TypeKind::IntervalYearMonth(crate::parser::types::MONTH_RESOLUTION.to_owned());
    Expression::literal(ScalarValue::IntervalYearMonth(Some(months)), kind.not_null())
}

/// `X'…'`: pairs of hexadecimal digits.
pub(crate) fn binary(digits: &str) -> Result<Expression> {
    let digits: Vec<u32> = digits.chars().map(|c| c.to_digit(16)).collect::<Option<_>>().ok_or_else(|| {
        Error::validation("Binary literal string must contain only characters '0' - '9', 'A' - 'F'", None)
    })?;
    if !digits.len().is_multiple_of(2) {
        return Err(Error::validation("Binary literal string must contain an even number of hexits", None));
    }
    let bytes: Vec<u8> = digits.chunks_exact(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect();
    let kind = TypeKind::Binary(bytes.len() as u32);
    Ok(Expression::literal(ScalarValue::BinaryView(Some(bytes)), kind.not_null()))
}

/// A number: INT or BIGINT if it is whole, DOUBLE with an exponent, else DECIMAL.
pub(crate) fn number(text: &str) -> Result<Expression> {
    let out_of_range = || Error::validation(format!("Numeric literal '{text}' out of range"), None);
    if text.contains(['e', 'E']) {
        let value: f64 = text.parse().map_err(|_| out_of_range())?;
        if value.is_infinite() {
            return Err(out_of_range());
        }
        // Flink's planner knows constants as decimal numbers, which have no negative zero.
        return Ok(Expression::literal(ScalarValue::Float64(Some(value + 0.0)), TypeKind::Double.not_null()));
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let unscaled: i64 = format!("{whole}{fraction}").parse().map_err(|_| out_of_range())?;
    if fraction.is_empty() {
        return Ok(integer(unscaled));
    }
    // Leading zeros count, as they do for Calcite, up to the most digits that there are.
    let precision = (whole.trim_start_matches('-').len() + fraction.len()).min(MAX_PRECISION as usize);
    if fraction.len() > precision {
        return Err(out_of_range());
    }
    let (precision, scale) = (precision as u8, fraction.len() as i8);
    let value = ScalarValue::Decimal128(Some(i128::from(unscaled)), precision, scale);
    Ok(Expression::literal(value, TypeKind::Decimal(precision, scale).not_null()))
}

fn integer(value: i64) -> Expression {
    match i32::try_from(value) {
        Ok(small) => int(small),
        Err(_) => Expression::literal(ScalarValue::Int64(Some(value)), TypeKind::Bigint.not_null()),
    }
}

/// The constant with the opposite sign, if the operand is a constant number or interval.
pub(crate) fn negated(operand: &Expression) -> Option<Expression> {
    let Node::Literal(value) = &operand.node else { return None };
    let value = match value {
        ScalarValue::Int32(Some(v)) => ScalarValue::Int32(Some(v.checked_neg()?)),
        ScalarValue::Int64(Some(v)) => ScalarValue::Int64(Some(v.checked_neg()?)),
        ScalarValue::Float64(Some(v)) => ScalarValue::Float64(Some(0.0 - v)),
        ScalarValue::Decimal128(Some(v), precision, scale) => ScalarValue::Decimal128(Some(-v), *precision, *scale),
        ScalarValue::DurationMillisecond(Some(v)) => ScalarValue::DurationMillisecond(Some(v.checked_neg()?)),
        ScalarValue::IntervalYearMonth(Some(v)) => ScalarValue::IntervalYearMonth(Some(v.checked_neg()?)),
        _ => return None,
    };
    Some(Expression::literal(value, operand.data_type.clone()))
}
