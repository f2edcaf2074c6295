//! CASE, COALESCE, NULLIF, IF, GREATEST and LEAST.
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::cast::cast_to;
use super::common_type::{common_argument_type, common_type};
use super::operators::{cast_null, compare};
use super::{any_nullable, cannot_apply_function, comparable_type_expected, is_text, is_unordered};
use crate::error::{Error, Result};
use crate::rex::{Expression, null_literal};

/// Of a CASE that gives nothing but NULL.
const NO_VALUE: &str = "ELSE clause or at least one THEN clause must be non-NULL";

/// `CASE WHEN condition THEN value … ELSE otherwise END`.
pub(crate) fn case(branches: Vec<(Expression, Expression)>, otherwise: Expression) -> Result<Expression> {
    let values = branches.iter().map(|(_, value)| value).chain([&otherwise]);
    if values.clone().all(|value| value.data_type.kind == TypeKind::Null) {
        return Err(Error::validation(NO_VALUE, None));
    }
    let Some(result) = common_type(values.map(|value| &value.data_type)) else {
        return Err(Error::validation("Illegal mixing of types in CASE or COALESCE statement", None));
    };
    let mut operands = Vec::with_capacity(branches.len() * 2 + 1);
    for (condition, value) in branches {
        let condition = cast_null(condition, &TypeKind::Boolean);
        if condition.data_type.kind != TypeKind::Boolean {
            return Err(Error::validation("Expected a boolean type", None));
        }
        operands.push(condition);
        operands.push(convert(value, &result.kind));
    }
    operands.push(convert(otherwise, &result.kind));
    Ok(Expression::call("CASE", operands, result))
}

/// Strings keep their own lengths: only what is no string is cast.
fn convert(value: Expression, kind: &TypeKind) -> Expression {
    if is_text(&value.data_type.kind) && is_text(kind) { value } else { cast_to(value, kind) }
}

/// `COALESCE(…)`, also IFNULL: null only if the last operand may be.
pub(crate) fn coalesce(operands: Vec<Expression>) -> Result<Expression> {
    let Some(common) = common_argument_type(operands.iter().map(|operand| &operand.data_type)) else {
        return Err(Error::validation("Invalid input arguments.", None));
    };
    if common.kind == TypeKind::Null {
        return Err(Error::validation("Illegal use of 'NULL'", None));
    }
    let nullable = operands.iter().all(|operand| operand.data_type.nullable);
    let operands = operands.into_iter().map(|operand| convert(operand, &common.kind)).collect();
    Ok(Expression::call("COALESCE", operands, LogicalType { kind: common.kind, nullable }))
}

/// `IFNULL(value, other)`: the value alone if it is never null, which nonetheless has the type that both have in common.
pub(crate) fn if_null(mut operands: Vec<Expression>) -> Result<Expression> {
    let is_there = operands.first().is_some_and(|value| !value.data_type.nullable);
    if !is_there {
        return coalesce(operands);
    }
    let Some(common) = common_argument_type(operands.iter().map(|operand| &operand.data_type)) else {
        return Err(Error::validation("Invalid input arguments.", None));
    };
    Ok(convert(operands.swap_remove(0), &common.kind))
}

/// `NULLIF(value, other)`: null if they are equal.
pub(crate) fn null_if(value: Expression, other: Expression) -> Result<Expression> {
    if value.data_type.kind == TypeKind::Null {
        return Err(Error::validation(NO_VALUE, None));
    }
    let data_type = value.data_type.with_nullable(true);
    let null = null_literal(data_type.kind.clone());
    let equal = compare("=", value.clone(), other)?;
    Ok(Expression::call("CASE", vec![equal, null, value], data_type))
}

/// `IF(condition, then, else)`.
pub(crate) fn if_else(operands: Vec<Expression>) -> Result<Expression> {
    let refused = cannot_apply_function("IF", &operands, &["IF(<BOOLEAN>, <ANY_TYPE>, <ANY_TYPE>)"]);
    let Ok([condition, then, otherwise]) = <[Expression; 3]>::try_from(operands) else { return Err(refused) };
    if condition.data_type.kind != TypeKind::Boolean {
        return Err(refused);
    }
    let nullable = condition.data_type.nullable;
    if [&then, &otherwise].iter().any(|value| is_unordered(&value.data_type.kind)) {
        return Err(refused);
    }
    let mut result = case(vec![(condition, then)], otherwise).map_err(|_| refused)?;
    result.data_type.nullable |= nullable;
    Ok(result)
}

/// `GREATEST(…)`, `LEAST(…)`.
pub(crate) fn extreme(name: &str, operands: Vec<Expression>) -> Result<Expression> {
    let types = || operands.iter().map(|operand| &operand.data_type);
    if types().all(|data_type| data_type.kind == TypeKind::Null || is_unordered(&data_type.kind))
        && let Some(composite) = types().find(|data_type| is_unordered(&data_type.kind))
    {
        return Err(comparable_type_expected(composite));
    }
    let common = common_argument_type(types());
    let Some(common) = common.filter(|common| common.kind != TypeKind::Null) else {
        return Err(cannot_apply_function(name, &operands, &[&format!("{name}(<COMPARABLE>, …)")]));
    };
    let nullable = any_nullable(&operands);
    let operands = operands.into_iter().map(|operand| convert(operand, &common.kind)).collect();
    Ok(Expression::call(name, operands, LogicalType { kind: common.kind, nullable }))
}
