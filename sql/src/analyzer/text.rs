//! Expressions as text, in the form in which `DESCRIBE` and `SHOW CREATE TABLE` print them.
use sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DateTimeField, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArguments, Ident, Subscript, UnaryOperator, Value, ValueWithSpan,
};
use wiesel_operators::types::{LogicalType, TypeKind};

use super::expression::{niladic, type_text, unit_name};
use crate::functions::scalar::unit_of_function;
use crate::parser::dialect::{MAP_CONSTRUCTOR, ROW_CONSTRUCTOR};

/// How strongly what is no operator binds.
const ATOM: u8 = 100;
const UNARY: u8 = 80;
const PRODUCT: u8 = 60;
const SUM: u8 = 40;
const PATTERN: u8 = 32;
const COMPARISON: u8 = 30;
const TEST: u8 = 28;
const NOT: u8 = 26;
const AND: u8 = 24;
const OR: u8 = 22;

/// Functions that Flink prints as it prints names.
#[rustfmt::skip]
const QUOTED: &[&str] = &[
    "ARRAY_CONTAINS", "ARRAY_DISTINCT", "ARRAY_REVERSE", "BTRIM", "ELT", "ENDSWITH", "GREATEST", "IFNULL", "LEAST", "MAP_KEYS",
    "MAP_VALUES", "REGEXP_COUNT", "REGEXP_EXTRACT_ALL", "REGEXP_INSTR", "REGEXP_SUBSTR", "SPLIT", "STARTSWITH",
    "TO_TIMESTAMP_LTZ", "UNHEX", "URL_DECODE", "URL_ENCODE",
];

/// An expression's text: names in back ticks, functions in upper case, no more parentheses than needed.
pub fn expression_text(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) if name.quote_style.is_none() && niladic(&name.value).is_some() => {
            name.value.to_uppercase()
        }
        Expr::Identifier(name) => quoted(name),
        Expr::CompoundIdentifier(parts) => parts.iter().map(quoted).collect::<Vec<_>>().join("."),
        Expr::CompoundFieldAccess { root, access_chain } => {
            let chain = access_chain.iter().map(access_text);
            std::iter::once(operand(root, ATOM)).chain(chain).collect()
        }
        Expr::Nested(inner) => expression_text(inner),
        Expr::Value(value) => value_text(value),
        Expr::BinaryOp { left, op, right } => binary(left, &op.to_string(), right, strength_of(op)),
        Expr::IsDistinctFrom(left, right) => binary(left, "IS DISTINCT FROM", right, COMPARISON),
        Expr::IsNotDistinctFrom(left, right) => binary(left, "IS NOT DISTINCT FROM", right, COMPARISON),
        Expr::UnaryOp { op, expr } if is_number(*op, expr) => format!("{op}{}", expression_text(expr)),
        Expr::UnaryOp { op, expr } => format!("{op} {}", operand(expr, strength_of_unary(*op) + 1)),
        Expr::Cast { kind, expr, data_type, .. } => {
            let name = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
            let written = type_text(data_type);
            let target = crate::parser::parse_type(&written).map_or(written, |target| type_spec(&target));
            format!("{name}({} AS {target})", expression_text(expr))
        }
        Expr::IsNull(inner) => test(inner, "IS NULL"),
        Expr::IsNotNull(inner) => test(inner, "IS NOT NULL"),
        Expr::IsTrue(inner) => test(inner, "IS TRUE"),
        Expr::IsNotTrue(inner) => test(inner, "IS NOT TRUE"),
        Expr::IsFalse(inner) => test(inner, "IS FALSE"),
        Expr::IsNotFalse(inner) => test(inner, "IS NOT FALSE"),
        Expr::IsUnknown(inner) => test(inner, "IS UNKNOWN"),
        Expr::IsNotUnknown(inner) => test(inner, "IS NOT UNKNOWN"),
        Expr::InList { expr, list, negated } => {
            format!("{} {}IN ({})", operand(expr, PATTERN), not(*negated), list_text(list))
        }
        Expr::Between { expr, negated, low, high } => {
            let (low, high) = (operand(low, PATTERN + 1), operand(high, PATTERN + 1));
            format!("{} {}BETWEEN ASYMMETRIC {low} AND {high}", operand(expr, PATTERN), not(*negated))
        }
        Expr::Like { negated, any: false, expr, pattern, escape_char } => {
            pattern_text(expr, *negated, "LIKE", pattern, escape_char.as_ref())
        }
        Expr::SimilarTo { negated, expr, pattern, escape_char } => {
            pattern_text(expr, *negated, "SIMILAR TO", pattern, escape_char.as_ref())
        }
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut text = "CASE".to_owned();
            for branch in conditions {
                let when = match operand {
                    Some(operand) => binary(operand, "=", &branch.condition, COMPARISON),
                    None => expression_text(&branch.condition),
                };
                text.push_str(&format!(" WHEN {when} THEN {}", expression_text(&branch.result)));
            }
            let otherwise = else_result.as_deref().map_or_else(|| "NULL".to_owned(), expression_text);
            format!("{text} ELSE {otherwise} END")
        }
        Expr::Extract { field, expr, .. } => format!("EXTRACT({} FROM {})", unit_name(field), expression_text(expr)),
        Expr::Ceil { expr, field } => rounding("CEIL", expr, field),
        Expr::Floor { expr, field } => rounding("FLOOR", expr, field),
        Expr::Position { expr, r#in } => format!("POSITION({} IN {})", expression_text(expr), expression_text(r#in)),
        Expr::Substring { expr, substring_from, substring_for, shorthand, .. } => {
            let name = if *shorthand { "SUBSTR" } else { "SUBSTRING" };
            let parts = std::iter::once(expr).chain(substring_from).chain(substring_for);
            format!("{name}({})", parts.map(|part| expression_text(part)).collect::<Vec<_>>().join(", "))
        }
        Expr::Trim { trim_where, trim_what, expr, .. } => {
            let mode = trim_where.as_ref().map_or_else(|| "BOTH".to_owned(), ToString::to_string);
            let what = trim_what.as_deref().map_or_else(|| "' '".to_owned(), expression_text);
            format!("TRIM({mode} {what} FROM {})", expression_text(expr))
        }
        Expr::Overlay { expr, overlay_what, overlay_from, overlay_for } => {
            let [text, what, from] = [expr, overlay_what, overlay_from].map(|part| expression_text(part));
            let length = overlay_for.as_deref().map_or_else(String::new, |n| format!(" FOR {}", expression_text(n)));
            format!("OVERLAY({text} PLACING {what} FROM {from}{length})")
        }
        Expr::Array(array) => format!("ARRAY[{}]", list_text(&array.elem)),
        Expr::Tuple(items) => format!("ROW({})", list_text(items)),
        Expr::Function(function) => function_text(function),
        other => other.to_string(),
    }
}

fn function_text(function: &Function) -> String {
    let name = function.name.to_string();
    let name = name.trim_matches('`');
    let upper = name.to_uppercase();
    let list = match &function.args {
        FunctionArguments::List(list) => &list.args,
        FunctionArguments::None => return upper,
        FunctionArguments::Subquery(query) => return format!("{}({query})", name_text(name)),
    };
    let mut arguments: Vec<String> = list.iter().map(argument_text).collect();
    match (name, arguments.as_slice()) {
        (MAP_CONSTRUCTOR, _) => return format!("MAP[{}]", arguments.join(", ")),
        (ROW_CONSTRUCTOR, _) => return format!("ROW({})", arguments.join(", ")),
        (_, [argument]) => {
            if let Some(unit) = unit_of_function(&upper) {
                return format!("EXTRACT({unit} FROM {argument})");
            }
        }
        (_, [_, _]) if upper == "NULLIF" => {
            if let [
                FunctionArg::Unnamed(FunctionArgExpr::Expr(value)),
                FunctionArg::Unnamed(FunctionArgExpr::Expr(other)),
            ] = list.as_slice()
            {
                let equal = binary(value, "=", other, COMPARISON);
                return format!("CASE WHEN {equal} THEN NULL ELSE {} END", expression_text(value));
            }
        }
        (_, [unit, ..]) if matches!(upper.as_str(), "TIMESTAMPADD" | "TIMESTAMPDIFF") => {
            let unit = unit.trim_matches('`').to_uppercase();
            arguments[0] = unit;
        }
        _ => {}
    }
    format!("{}({})", name_text(name), arguments.join(", "))
}

/// Built-in functions are printed in upper case, some of them and all others as names.
fn name_text(name: &str) -> String {
    let upper = name.to_uppercase();
    match crate::functions::names().any(|known| known == upper) {
        true if QUOTED.contains(&upper.as_str()) => format!("`{upper}`"),
        true => upper,
        false => format!("`{name}`"),
    }
}

fn quoted(name: &Ident) -> String {
    format!("`{}`", name.value.replace('`', "``"))
}

fn value_text(value: &ValueWithSpan) -> String {
    match &value.value {
        Value::Number(number, _) => number.to_uppercase(),
        Value::Boolean(true) => "TRUE".to_owned(),
        Value::Boolean(false) => "FALSE".to_owned(),
        other => other.to_string(),
    }
}

fn argument_text(argument: &FunctionArg) -> String {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expression_text(expr),
        other => other.to_string(),
    }
}

fn list_text(list: &[Expr]) -> String {
    list.iter().map(expression_text).collect::<Vec<_>>().join(", ")
}

fn access_text(access: &AccessExpr) -> String {
    match access {
        AccessExpr::Dot(field) => format!(".{}", expression_text(field)),
        AccessExpr::Subscript(Subscript::Index { index }) => format!("[{}]", expression_text(index)),
        other => other.to_string(),
    }
}

fn rounding(name: &str, value: &Expr, field: &CeilFloorKind) -> String {
    let value = expression_text(value);
    match field {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => format!("{name}({value})"),
        CeilFloorKind::DateTimeField(unit) => format!("{name}({value} TO {})", unit_name(unit)),
        CeilFloorKind::Scale(scale) => format!("{name}({value}, {})", value_text(scale)),
    }
}

fn pattern_text(value: &Expr, negated: bool, operator: &str, pattern: &Expr, escape: Option<&ValueWithSpan>) -> String {
    let escape = escape.map_or_else(String::new, |escape| format!(" ESCAPE {}", value_text(escape)));
    format!("{} {}{operator} {}{escape}", operand(value, PATTERN), not(negated), operand(pattern, PATTERN + 1))
}

/// A type as it stands in a cast.
fn type_spec(data_type: &LogicalType) -> String {
    let part = |part: &LogicalType| {
        let nullability = if part.nullable { "" } else { " NOT NULL" };
        format!("{}{nullability}", type_spec(part))
    };
    match &data_type.kind {
        TypeKind::Int => "INTEGER".to_owned(),
        TypeKind::Array(element) => format!("ARRAY< {} >", part(element)),
        TypeKind::Multiset(element) => format!("MULTISET< {} >", part(element)),
        TypeKind::Map(key, value) => format!("MAP< {}, {} >", part(key), part(value)),
        TypeKind::Row(fields) => {
            let fields = fields.iter().map(|field| format!("`{}` {}", field.name, part(&field.data_type)));
            format!("ROW< {} >", fields.collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

fn not(negated: bool) -> &'static str {
    if negated { "NOT " } else { "" }
}

fn test(value: &Expr, words: &str) -> String {
    format!("{} {words}", operand(value, TEST))
}

fn binary(left: &Expr, operator: &str, right: &Expr, strength: u8) -> String {
    format!("{} {operator} {}", operand(left, strength), operand(right, strength + 1))
}

/// An operand, in parentheses if it binds less than it must.
fn operand(expr: &Expr, least: u8) -> String {
    let mut inner = expr;
    while let Expr::Nested(nested) = inner {
        inner = nested;
    }
    match strength(inner) < least {
        true => format!("({})", expression_text(inner)),
        false => expression_text(inner),
    }
}

/// Whether it is a number with its sign.
fn is_number(op: UnaryOperator, operand: &Expr) -> bool {
    let number = matches!(operand, Expr::Value(ValueWithSpan { value: Value::Number(..), .. }));
    number && matches!(op, UnaryOperator::Minus | UnaryOperator::Plus)
}

fn strength(expr: &Expr) -> u8 {
    match expr {
        Expr::BinaryOp { op, .. } => strength_of(op),
        Expr::UnaryOp { op, expr } if is_number(*op, expr) => ATOM,
        Expr::UnaryOp { op, .. } => strength_of_unary(*op),
        Expr::IsDistinctFrom(..) | Expr::IsNotDistinctFrom(..) => COMPARISON,
        Expr::InList { .. } | Expr::Between { .. } | Expr::Like { .. } | Expr::SimilarTo { .. } => PATTERN,
        Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsNotTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsNotFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotUnknown(_) => TEST,
        _ => ATOM,
    }
}

fn strength_of_unary(op: UnaryOperator) -> u8 {
    if op == UnaryOperator::Not { NOT } else { UNARY }
}

fn strength_of(op: &BinaryOperator) -> u8 {
    match op {
        BinaryOperator::Or => OR,
        BinaryOperator::And => AND,
        BinaryOperator::Plus | BinaryOperator::Minus => SUM,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo | BinaryOperator::StringConcat => {
            PRODUCT
        }
        _ => COMPARISON,
    }
}
