//! Expressions as text, in the form in which `DESCRIBE` and `SHOW CREATE TABLE` print them.
use sqlparser::ast::{BinaryOperator, CastKind, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident};

use super::expression::{type_text, unit_name};
use crate::parser::dialect::{MAP_CONSTRUCTOR, ROW_CONSTRUCTOR};

/// An expression's text: names in back ticks, functions in upper case, no more parentheses than needed.
pub fn expression_text(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(name) => quoted(name),
        Expr::CompoundIdentifier(parts) => parts.iter().map(quoted).collect::<Vec<_>>().join("."),
        Expr::Nested(inner) => expression_text(inner),
        Expr::BinaryOp { left, op, right } => {
            let strength = strength(op);
            format!("{} {op} {}", operand(left, strength), operand(right, strength + 1))
        }
        Expr::UnaryOp { op, expr } => {
            let blank = if op.to_string().chars().all(char::is_alphabetic) { " " } else { "" };
            format!("{op}{blank}{}", operand(expr, 9))
        }
        Expr::Cast { kind, expr, data_type, .. } => {
            let name = if *kind == CastKind::TryCast { "TRY_CAST" } else { "CAST" };
            format!("{name}({} AS {})", expression_text(expr), type_text(data_type))
        }
        Expr::IsNull(inner) => format!("{} IS NULL", operand(inner, 4)),
        Expr::IsNotNull(inner) => format!("{} IS NOT NULL", operand(inner, 4)),
        Expr::Case { operand, conditions, else_result, .. } => {
            let mut text = "CASE".to_owned();
            if let Some(operand) = operand {
                text.push_str(&format!(" {}", expression_text(operand)));
            }
            for branch in conditions {
                let (when, then) = (expression_text(&branch.condition), expression_text(&branch.result));
                text.push_str(&format!(" WHEN {when} THEN {then}"));
            }
            let otherwise = else_result.as_deref().map_or_else(|| "NULL".to_owned(), expression_text);
            format!("{text} ELSE {otherwise} END")
        }
        Expr::Extract { field, expr, .. } => format!("EXTRACT({} FROM {})", unit_name(field), expression_text(expr)),
        Expr::Function(function) => {
            let name = function.name.to_string();
            let name = name.trim_matches('`');
            let arguments = match &function.args {
                FunctionArguments::List(list) => list.args.iter().map(argument_text).collect::<Vec<_>>().join(", "),
                FunctionArguments::None => return name.to_uppercase(),
                FunctionArguments::Subquery(query) => query.to_string(),
            };
            match name {
                MAP_CONSTRUCTOR => format!("MAP[{arguments}]"),
                ROW_CONSTRUCTOR => format!("ROW({arguments})"),
                _ => format!("{}({arguments})", name_text(name)),
            }
        }
        other => other.to_string(),
    }
}

/// Built-in functions are printed in upper case, others as names.
fn name_text(name: &str) -> String {
    let upper = name.to_uppercase();
    if crate::functions::names().any(|known| known == upper) { upper } else { format!("`{name}`") }
}

fn quoted(name: &Ident) -> String {
    format!("`{}`", name.value.replace('`', "``"))
}

fn argument_text(argument: &FunctionArg) -> String {
    match argument {
        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => expression_text(expr),
        other => other.to_string(),
    }
}

fn operand(expr: &Expr, least: u8) -> String {
    let inner = match expr {
        Expr::Nested(inner) => inner,
        other => other,
    };
    match inner {
        Expr::BinaryOp { op, .. } if strength(op) < least => format!("({})", expression_text(inner)),
        _ => expression_text(inner),
    }
}

fn strength(op: &BinaryOperator) -> u8 {
    match op {
        BinaryOperator::Or => 1,
        BinaryOperator::And => 2,
        BinaryOperator::Plus | BinaryOperator::Minus => 6,
        BinaryOperator::Multiply | BinaryOperator::Divide | BinaryOperator::Modulo | BinaryOperator::StringConcat => 7,
        _ => 4,
    }
}
