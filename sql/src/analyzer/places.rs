//! Where the parts of a query stand in the script, for errors. sqlparser keeps the places of names, constants and a few words:
//! what else an expression is made of has no known end, and begins where its first operand does.
use sqlparser::ast::{DataType, Expr, Ident, Select, SelectItem, SetExpr, Spanned};

use crate::error::Place;
use crate::parser::lexer;

/// Where something begins; a node without tokens of its own has no place.
pub(super) fn start_of(node: &impl Spanned) -> Option<Place> {
    lexer::place_of(node.span()).map(|place| Place::starting(place.start))
}

/// Where a name stands. That of a call reaches over its arguments.
pub(super) fn place_of_name(name: &Ident) -> Option<Place> {
    lexer::place_of(name.span)
}

/// Where names with dots between them stand.
pub(super) fn place_of_names(names: &[Ident]) -> Option<Place> {
    Place::between(names.first().and_then(place_of_name), names.last().and_then(place_of_name))
}

/// Where an expression stands.
pub(super) fn place_of(expr: &Expr) -> Option<Place> {
    match expr {
        Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::Value(_) | Expr::Case { .. } => {
            lexer::place_of(expr.span())
        }
        Expr::Function(function) => lexer::place_of(function.name.span()),
        Expr::Cast { data_type: DataType::Custom(name, _), .. } => lexer::place_of(name.span()),
        Expr::Nested(inner) => place_of(inner),
        Expr::BinaryOp { left, right, .. } => {
            // Chains of operators that lean to the left can be long.
            let mut leftmost: &Expr = left;
            while let Expr::BinaryOp { left, .. } = leftmost {
                leftmost = left;
            }
            Place::between(place_of(leftmost), place_of(right))
        }
        Expr::Like { expr, pattern, escape_char: None, .. } => Place::between(place_of(expr), place_of(pattern)),
        Expr::Between { expr, high, .. } => Place::between(place_of(expr), place_of(high)),
        other => start_of(other),
    }
}

/// Where a SELECT begins.
pub(super) fn start_of_select(select: &Select) -> Option<Place> {
    lexer::place_of(select.select_token.0.span).map(|place| Place::starting(place.start))
}

/// Where a column of a SELECT stands.
fn place_of_item(item: &SelectItem) -> Option<Place> {
    match item {
        SelectItem::UnnamedExpr(expr) => place_of(expr),
        SelectItem::ExprWithAlias { expr, alias } => Place::between(place_of(expr), place_of_name(alias)),
        other => start_of(other),
    }
}

/// Where the columns of a query stand.
pub(super) fn place_of_columns(query: &SetExpr) -> Option<Place> {
    match query {
        SetExpr::Query(query) => place_of_columns(&query.body),
        SetExpr::Select(select) => {
            let item = |item: Option<&SelectItem>| item.and_then(place_of_item);
            Place::between(item(select.projection.first()), item(select.projection.last()))
        }
        other => start_of(other),
    }
}

/// Where the column at this position of a query stands, or all of them if a `*` hides it.
pub(super) fn place_of_column(query: &SetExpr, position: usize) -> Option<Place> {
    let single = |item: &SelectItem| matches!(item, SelectItem::UnnamedExpr(_) | SelectItem::ExprWithAlias { .. });
    match query {
        SetExpr::Query(query) => place_of_column(&query.body, position),
        SetExpr::Select(select) if select.projection.iter().take(position + 1).all(single) => {
            select.projection.get(position).and_then(place_of_item)
        }
        other => place_of_columns(other),
    }
}
