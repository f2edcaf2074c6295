//! Operators: arithmetic, comparison, logic, concatenation.
use wiesel_expressions::types::{LogicalType, MAX_LENGTH, TypeKind};

use super::cast::cast_to;
use super::common_type::{common_type, compared_as};
use super::numeric::{as_decimal, decimal_result, is_approximate, is_exact, is_integer, is_numeric};
use super::{
    any_nullable, any_nullable_within, cannot_apply_operator, comparable_type_expected, is_datetime, is_interval,
    is_text, is_unordered, refuse_untyped_null,
};
use crate::error::{Error, Result};
use crate::rex::{Expression, Node, lowering, null_literal};
use crate::script::refusal_of_patterns;

const PLUS_FORMS: &[&str] = &[
    "<NUMERIC> + <NUMERIC>",
    "<DATETIME_INTERVAL> + <DATETIME_INTERVAL>",
    "<DATETIME> + <DATETIME_INTERVAL>",
    "<DATETIME_INTERVAL> + <DATETIME>",
];
const MINUS_FORMS: &[&str] =
    &["<NUMERIC> - <NUMERIC>", "<DATETIME_INTERVAL> - <DATETIME_INTERVAL>", "<DATETIME> - <DATETIME_INTERVAL>"];
const TIMES_FORMS: &[&str] =
    &["<NUMERIC> * <NUMERIC>", "<DATETIME_INTERVAL> * <NUMERIC>", "<NUMERIC> * <DATETIME_INTERVAL>"];
const DIVIDE_FORMS: &[&str] = &["<NUMERIC> / <NUMERIC>", "<DATETIME_INTERVAL> / <NUMERIC>"];
const MODULO_FORMS: &[&str] = &["<EXACT_NUMERIC> % <EXACT_NUMERIC>"];

/// `left operator right` with `+ - * / %`.
pub(crate) fn arithmetic(operator: &str, left: Expression, right: Expression) -> Result<Expression> {
    refuse_untyped_null([&left, &right])?;
    let (l, r) = (&left.data_type.kind, &right.data_type.kind);
    if is_numeric(l) && is_numeric(r) {
        return number_arithmetic(operator, left, right);
    }
    match operator {
        "+" if is_datetime(l) && is_interval(r) => return shift_datetime(left, right),
        "+" if is_interval(l) && is_datetime(r) => return shift_datetime(right, left),
        "-" if is_datetime(l) && is_interval(r) => return shift_datetime(left, negate(right)?),
        "+" | "-" if is_interval(l) && std::mem::discriminant(l) == std::mem::discriminant(r) => {
            let data_type = LogicalType { kind: l.clone(), nullable: any_nullable([&left, &right]) };
            return Ok(Expression::call(operator, vec![left, right], data_type));
        }
        "*" | "/" if is_interval(l) && is_numeric(r) => {
            let data_type = LogicalType { kind: l.clone(), nullable: any_nullable([&left, &right]) };
            return Ok(Expression::call(operator, vec![left, right], data_type));
        }
        "*" if is_numeric(l) && is_interval(r) => return arithmetic(operator, right, left),
        _ => {}
    }
    let forms = match operator {
        "+" => PLUS_FORMS,
        "-" => MINUS_FORMS,
        "*" => TIMES_FORMS,
        "/" => DIVIDE_FORMS,
        _ => MODULO_FORMS,
    };
    Err(cannot_apply_operator(operator, &left, &right, forms))
}

/// What a NULL is compared with gives it its type.
fn settle_nulls(left: Expression, right: Expression) -> (Expression, Expression) {
    let is_null = |e: &Expression| e.data_type.kind == TypeKind::Null;
    match (is_null(&left), is_null(&right)) {
        (true, true) => (null_literal(TypeKind::Boolean), null_literal(TypeKind::Boolean)),
        (true, false) => (null_literal(right.data_type.kind.clone()), right),
        (false, true) => {
            let typed = null_literal(left.data_type.kind.clone());
            (left, typed)
        }
        _ => (left, right),
    }
}

fn number_arithmetic(operator: &str, left: Expression, right: Expression) -> Result<Expression> {
    let nullable = any_nullable([&left, &right]);
    let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    if operator == "%" && !(is_exact(&l) && is_exact(&r)) {
        return Err(cannot_apply_operator(operator, &left, &right, MODULO_FORMS));
    }
    if let Some(kind) = decimal_result(operator, &l, &r) {
        let operands = [left, right].map(|operand| match as_decimal(&operand.data_type) {
            Some(decimal) => cast_to(operand, &decimal.kind),
            None => operand,
        });
        return Ok(Expression::call(operator, operands.into(), LogicalType { kind, nullable }));
    }
    let Some(common) = common_type([&left.data_type, &right.data_type]) else {
        return Err(cannot_apply_operator(operator, &left, &right, PLUS_FORMS));
    };
    let operands = vec![cast_to(left, &common.kind), cast_to(right, &common.kind)];
    let call = Expression::call(operator, operands, common);
    // The remainder has the type of the divisor, into which it always fits.
    Ok(if operator == "%" && is_integer(&r) { cast_to(call, &r) } else { call })
}

fn shift_datetime(datetime: Expression, interval: Expression) -> Result<Expression> {
    let data_type =
        LogicalType { kind: datetime.data_type.kind.clone(), nullable: any_nullable([&datetime, &interval]) };
    Ok(Expression::call("TIMESTAMP_ADD", vec![datetime, interval], data_type))
}

/// `-operand`.
pub(crate) fn negate(operand: Expression) -> Result<Expression> {
    refuse_untyped_null([&operand])?;
    let kind = &operand.data_type.kind;
    if !is_numeric(kind) && !is_interval(kind) {
        let message = format!(
            "Cannot apply '-' to arguments of type '-<{}>'. Supported form(s): '-<NUMERIC>'\n'-<DATETIME_INTERVAL>'",
            super::calcite_name(kind)
        );
        return Err(Error::validation(message, None));
    }
    if let Some(literal) = super::literal::negated(&operand) {
        return Ok(literal);
    }
    let data_type = operand.data_type.clone();
    Ok(Expression::call("NEG", vec![operand], data_type))
}

/// A comparison: both sides are brought to one type.
pub(crate) fn compare(operator: &str, left: Expression, right: Expression) -> Result<Expression> {
    let by_fields = matches!(operator, "=" | "IS_NOT_DISTINCT_FROM");
    if by_fields && fields_made(&left) > 0 && fields_made(&left) == fields_made(&right) {
        return compare_fields(operator, fields_of(left), fields_of(right));
    }
    compare_whole(operator, left, right)
}

/// A comparison of rows as values that are there, in which null beside null is equal; of anything else as ever.
fn compare_whole(operator: &str, left: Expression, right: Expression) -> Result<Expression> {
    refuse_without_order(operator, &left, &right)?;
    let nullable = any_nullable_within([&left, &right]) && !operator.contains("DISTINCT");
    let (left, right) = comparable(operator, left, right)?;
    Ok(Expression::call(operator, vec![left, right], LogicalType { kind: TypeKind::Boolean, nullable }))
}

/// Collections and rows are equal or not, but none is less than another.
fn refuse_without_order(operator: &str, left: &Expression, right: &Expression) -> Result<()> {
    let (l, r) = (&left.data_type.kind, &right.data_type.kind);
    if !matches!(operator, "<" | "<=" | ">" | ">=") || !is_unordered(l) && !is_unordered(r) {
        return Ok(());
    }
    let are_alike = std::mem::discriminant(l) == std::mem::discriminant(r);
    if is_unordered(l) && (are_alike || *r == TypeKind::Null) {
        return Err(comparable_type_expected(&left.data_type));
    }
    let form = format!("<COMPARABLE_TYPE> {operator} <COMPARABLE_TYPE>");
    Err(cannot_apply_operator(operator, left, right, &[&form]))
}

/// How many fields `ROW(…)` has; 0 of anything else.
fn fields_made(expression: &Expression) -> usize {
    match &expression.node {
        Node::Call { function, operands } if function == "ROW" => operands.len(),
        _ => 0,
    }
}

/// The fields of `ROW(…)`. They are taken out of it: rows within rows would be copied once for each that is around them.
fn fields_of(row: Expression) -> Vec<Expression> {
    match row.node {
        Node::Call { operands, .. } => operands,
        _ => Vec::new(),
    }
}

/// Two rows that are made where they are compared are equal if each of their fields is: null beside null is not, as it is in
/// rows that are compared as a whole. Rows among the fields are.
fn compare_fields(operator: &str, fields: Vec<Expression>, others: Vec<Expression>) -> Result<Expression> {
    let equal = fields.into_iter().zip(others).map(|(field, other)| compare_whole(operator, field, other));
    joined("AND", equal.collect::<Result<_>>()?)
}

/// One AND or OR of all conditions. Calls within calls would be as deep as a list is long.
fn joined(operator: &str, mut conditions: Vec<Expression>) -> Result<Expression> {
    if conditions.len() > 1 {
        let data_type = LogicalType { kind: TypeKind::Boolean, nullable: any_nullable(&conditions) };
        return Ok(Expression::call(operator, conditions, data_type));
    }
    conditions.pop().ok_or_else(|| Error::validation("a ROW without fields", None))
}

/// Both sides of a comparison with the same type, or two DECIMALs, or two strings, or two timestamps of any precision, or in their
/// order a DECIMAL and a FLOAT or DOUBLE.
pub(crate) fn comparable(operator: &str, left: Expression, right: Expression) -> Result<(Expression, Expression)> {
    let (left, right) = settle_nulls(left, right);
    let (l, r) = (left.data_type.kind.clone(), right.data_type.kind.clone());
    let refused = |left: &Expression, right: &Expression| {
        let symbol = operator_symbol(operator);
        let form = format!("<COMPARABLE_TYPE> {symbol} <COMPARABLE_TYPE>");
        Err(cannot_apply_operator(symbol, left, right, &[&form]))
    };
    if l == r || is_text(&l) && is_text(&r) {
        return Ok((left, right));
    }
    if is_exact(&l) && is_exact(&r) && !(is_integer(&l) && is_integer(&r)) {
        let wide = |operand: Expression| match as_decimal(&operand.data_type) {
            Some(decimal) => cast_to(operand, &decimal.kind),
            None => operand,
        };
        return Ok((wide(left), wide(right)));
    }
    let kind = match (&l, &r) {
        (text, other) | (other, text) if is_text(text) && is_datetime(other) => other.clone(),
        (text, TypeKind::Boolean) | (TypeKind::Boolean, text) if is_text(text) => TypeKind::Boolean,
        (text, number) | (number, text) if is_text(text) && is_numeric(number) => {
            if !matches!(operator, "=" | "<>" | "IS_DISTINCT_FROM" | "IS_NOT_DISTINCT_FROM") {
                return Ok((cast_to(left, number), cast_to(right, number)));
            }
            let message = format!(
                "implicit type conversion between {} and {} is not supported now",
                super::calcite_root(&l),
                super::calcite_root(&r)
            );
            return Err(Error::validation(message, None));
        }
        (TypeKind::Boolean, number) | (number, TypeKind::Boolean) if is_numeric(number) => {
            return refused(&left, &right);
        }
        // As objects they have an order of their own; for = and <> both are a DOUBLE.
        (TypeKind::Decimal(..), number) | (number, TypeKind::Decimal(..))
            if is_approximate(number) && !matches!(operator, "=" | "<>") =>
        {
            return Ok((left, right));
        }
        _ => match common_type([&left.data_type, &right.data_type]) {
            Some(common) => common.kind,
            None => return refused(&left, &right),
        },
    };
    Ok((cast_to(left, &compared_as(&l, &kind)), cast_to(right, &compared_as(&r, &kind))))
}

fn operator_symbol(operator: &str) -> &str {
    match operator {
        "IS_DISTINCT_FROM" => "IS DISTINCT FROM",
        "IS_NOT_DISTINCT_FROM" => "IS NOT DISTINCT FROM",
        other => other,
    }
}

/// `left AND right`, `left OR right`.
pub(crate) fn connective(operator: &str, left: Expression, right: Expression) -> Result<Expression> {
    refuse_untyped_null([&left, &right])?;
    if left.data_type.kind != TypeKind::Boolean || right.data_type.kind != TypeKind::Boolean {
        let form = format!("<BOOLEAN> {operator} <BOOLEAN>");
        return Err(cannot_apply_operator(operator, &left, &right, &[&form]));
    }
    let nullable = any_nullable([&left, &right]);
    Ok(Expression::call(operator, vec![left, right], LogicalType { kind: TypeKind::Boolean, nullable }))
}

/// `NOT operand`.
pub(crate) fn not(operand: Expression) -> Result<Expression> {
    refuse_untyped_null([&operand])?;
    if operand.data_type.kind != TypeKind::Boolean {
        let message = format!(
            "Cannot apply 'NOT' to arguments of type 'NOT<{}>'. Supported form(s): 'NOT<BOOLEAN>'",
            super::calcite_name(&operand.data_type.kind)
        );
        return Err(Error::validation(message, None));
    }
    let data_type = operand.data_type.clone();
    Ok(Expression::call("NOT", vec![operand], data_type))
}

/// `operand IS NULL` and its kin, which never are null themselves.
pub(crate) fn is_test(test: &str, operand: Expression) -> Result<Expression> {
    let any_type = matches!(test, "IS_NULL" | "IS_NOT_NULL");
    if !any_type {
        refuse_untyped_null([&operand])?;
    }
    if !any_type && operand.data_type.kind != TypeKind::Boolean {
        let words = test.replace('_', " ");
        let message = format!(
            "Cannot apply '{words}' to arguments of type '<{}> {words}'. Supported form(s): '<BOOLEAN> {words}'",
            super::calcite_name(&operand.data_type.kind)
        );
        return Err(Error::validation(message, None));
    }
    Ok(Expression::call(test, vec![operand], TypeKind::Boolean.not_null()))
}

/// `left || right`.
pub(crate) fn concat(left: Expression, right: Expression) -> Result<Expression> {
    refuse_untyped_null([&left, &right])?;
    let kind = match (&left.data_type.kind, &right.data_type.kind) {
        (TypeKind::Char(a), TypeKind::Char(b)) => TypeKind::Char(a.saturating_add(*b).min(MAX_LENGTH)),
        (TypeKind::Char(a) | TypeKind::Varchar(a), TypeKind::Char(b) | TypeKind::Varchar(b)) => {
            TypeKind::Varchar(a.saturating_add(*b).min(MAX_LENGTH))
        }
        _ => {
            let forms = ["<STRING> || <STRING>"];
            return Err(cannot_apply_operator("||", &left, &right, &forms));
        }
    };
    let nullable = any_nullable([&left, &right]);
    Ok(Expression::call("||", vec![left, right], LogicalType { kind, nullable }))
}

/// `value [NOT] LIKE pattern [ESCAPE escape]`, `SIMILAR TO` likewise.
pub(crate) fn like(function: &str, operands: Vec<Expression>, negated: bool) -> Result<Expression> {
    if !operands.iter().all(|operand| is_text(&operand.data_type.kind)) {
        let name = if function == "SIMILAR" { "SIMILAR TO" } else { function };
        let types: Vec<String> =
            operands.iter().map(|operand| format!("<{}>", super::calcite_name(&operand.data_type.kind))).collect();
        let message = format!(
            "Cannot apply '{name}' to arguments of type '{name}({})'. Supported form(s): '{name}(<STRING>, <STRING>, <STRING>)'",
            types.join(", ")
        );
        return Err(Error::validation(message, None));
    }
    if let Some(reason) = refusal_of_patterns(function, &lowering::outlines(&operands))? {
        return Err(Error::unsupported(reason, None));
    }
    let nullable = any_nullable(&operands);
    let call = Expression::call(function, operands, LogicalType { kind: TypeKind::Boolean, nullable });
    if negated { not(call) } else { Ok(call) }
}

/// An untyped null as a null of this kind.
pub(crate) fn cast_null(operand: Expression, kind: &TypeKind) -> Expression {
    if operand.data_type.kind == TypeKind::Null { null_literal(kind.clone()) } else { operand }
}

/// `value IN (items)`. A row that is made there is compared with the rows that are made in the list field by field.
pub(crate) fn in_list(value: Expression, items: Vec<Expression>) -> Result<Expression> {
    let items: Vec<Expression> = items.into_iter().map(|item| cast_null(item, &value.data_type.kind)).collect();
    let width = fields_made(&value);
    if width > 0 && items.iter().any(|item| fields_made(item) == width) {
        return row_in_list(value, items);
    }
    whole_in_list(value, items)
}

fn incompatible(what: &str) -> Error {
    Error::validation(format!("Values {what} must have compatible types"), None)
}

/// `value IN (items)`, of rows as a whole. Where one side is text and the other is not, or the value is FLOAT or DOUBLE, the items
/// are taken as what the value is, each by itself.
fn whole_in_list(value: Expression, items: Vec<Expression>) -> Result<Expression> {
    let nullable = may_be_null_in_list(&value, &items);
    let listed = common_type(items.iter().map(|item| &item.data_type));
    let listed = listed.ok_or_else(|| incompatible("in expression list"))?;
    let (is, with) = (&value.data_type.kind, &listed.kind);
    let has_text = |kind: &TypeKind| is_numeric(kind) || is_datetime(kind) || *kind == TypeKind::Boolean;
    let kind = match common_type([&value.data_type, &listed]) {
        Some(common) if common.kind == TypeKind::Null => return Err(incompatible("in expression list")),
        Some(_) if is_approximate(is) => is.clone(),
        Some(common) if is_exact(is) && is_approximate(&common.kind) => return exact_in_list(value, items),
        Some(common) => common.kind,
        None if is_text(is) && has_text(with) => TypeKind::string(),
        None if is_text(with) && has_text(is) => is.clone(),
        None => return Err(incompatible("passed to IN operator")),
    };
    // Strings keep their own lengths.
    let operands = std::iter::once(value).chain(items).map(|operand| {
        let own = operand.data_type.kind.clone();
        if is_text(&own) && is_text(&kind) { operand } else { cast_to(operand, &compared_as(&own, &kind)) }
    });
    Ok(Expression::call("IN", operands.collect(), LogicalType { kind: TypeKind::Boolean, nullable }))
}

/// Whether IN may be null. Fields of rows count, but not those of rows among them, as they do where `=` stands.
fn may_be_null_in_list(value: &Expression, items: &[Expression]) -> bool {
    std::iter::once(value).chain(items).any(|operand| match &operand.data_type.kind {
        _ if operand.data_type.nullable => true,
        kind => kind.fields().unwrap_or_default().iter().any(|field| field.data_type.nullable),
    })
}

/// `ROW(…)` in a list with rows of as many fields. It is equal to one made there if each field is, to others as a whole.
fn row_in_list(value: Expression, items: Vec<Expression>) -> Result<Expression> {
    if common_type(items.iter().map(|item| &item.data_type)).is_none() {
        return Err(incompatible("in expression list"));
    }
    let nullable = may_be_null_in_list(&value, &items);
    let (made, whole): (Vec<_>, Vec<_>) = items.into_iter().partition(|item| fields_made(item) > 0);
    let mut found = Vec::with_capacity(made.len() + 1);
    if !whole.is_empty() {
        found.push(whole_in_list(value.clone(), whole)?);
    }
    let fields = fields_of(value);
    for item in made {
        let pairs = fields.iter().cloned().zip(fields_of(item));
        let equal = pairs.map(|(field, other)| equal_in_list(field, other)).collect::<Result<_>>()?;
        found.push(joined("AND", equal)?);
    }
    let mut found = joined("OR", found)?;
    found.data_type.nullable = nullable;
    Ok(found)
}

/// A list of one item as `=`: NOT moves into it.
fn equal_in_list(value: Expression, item: Expression) -> Result<Expression> {
    let mut list = whole_in_list(value, vec![item])?;
    if let Node::Call { function, operands } = &mut list.node
        && function == "IN"
        && operands.len() == 2
    {
        *function = "=".to_owned();
    }
    Ok(list)
}

/// An exact number in a list with FLOAT or DOUBLE: it is a DOUBLE for these, and stays exact for the others.
fn exact_in_list(value: Expression, items: Vec<Expression>) -> Result<Expression> {
    let (approximate, exact): (Vec<_>, Vec<_>) =
        items.into_iter().partition(|item| is_approximate(&item.data_type.kind));
    let as_double = cast_to(value.clone(), &TypeKind::Double);
    let among_approximate = whole_in_list(as_double, approximate)?;
    if exact.is_empty() {
        return Ok(among_approximate);
    }
    connective("OR", whole_in_list(value, exact)?, among_approximate)
}
