//! From planner expressions to what tasks evaluate: the only place where one becomes the other, and where what no task can evaluate
//! is refused.
use wiesel_expressions::expression as evaluated;
use wiesel_expressions::types::TypeKind;
use wiesel_proto as proto;

use super::{Expression, Node};
use crate::error::{Error, Place, Result};
use crate::rel::Rel;

/// The expression as tasks evaluate it.
///
/// # Errors
/// A part that is not supported yet, with its place.
pub(crate) fn lower(expression: &Expression) -> Result<evaluated::Expression> {
    // Each before its operands, the last operand first: read backwards it is each behind its operands.
    let mut parts = Vec::new();
    let mut waiting = vec![expression];
    while let Some(part) = waiting.pop() {
        if let Node::Call { operands, .. } = &part.node {
            waiting.extend(operands);
        }
        parts.push(part);
    }
    let mut lowered: Vec<evaluated::Expression> = Vec::new();
    for part in parts.into_iter().rev() {
        let node = match &part.node {
            Node::Input(index) => evaluated::Node::Input(*index),
            Node::Literal(value) => evaluated::Node::Literal(value.clone()),
            Node::Call { function, operands } => {
                let first = lowered.len().saturating_sub(operands.len());
                evaluated::Node::Call { function: function.clone(), operands: lowered.split_off(first) }
            }
            Node::Aggregate(_) | Node::Correlated { .. } | Node::Over(_) | Node::Subquery(_) => {
                return Err(refused(&part.node));
            }
        };
        lowered.push(evaluated::Expression { node, data_type: part.data_type.clone() });
    }
    lowered.pop().ok_or_else(|| Error::unsupported("an expression without a part", None))
}

/// The expression as a job graph has it.
///
/// # Errors
/// As [`lower`].
pub(crate) fn message(expression: &Expression) -> Result<proto::Expression> {
    Ok((&lower(expression)?).into())
}

/// Expressions as a job graph has them.
///
/// # Errors
/// As [`lower`].
pub(crate) fn messages<'e>(expressions: impl IntoIterator<Item = &'e Expression>) -> Result<Vec<proto::Expression>> {
    expressions.into_iter().map(message).collect()
}

/// What the catalogue of functions has to know of operands: their types and which of them are constants. What they are made of
/// does not matter to it.
pub(crate) fn outlines(operands: &[Expression]) -> Vec<evaluated::Expression> {
    let outline = |operand: &Expression| match &operand.node {
        Node::Literal(value) => evaluated::Expression::literal(value.clone(), operand.data_type.clone()),
        Node::Input(_)
        | Node::Call { .. }
        | Node::Aggregate(_)
        | Node::Correlated { .. }
        | Node::Over(_)
        | Node::Subquery(_) => evaluated::Expression::input(0, operand.data_type.clone()),
    };
    operands.iter().map(outline).collect()
}

/// Whether equal operands of a call give equal results.
pub(crate) fn is_deterministic_call(function: &str, operands: &[Expression]) -> bool {
    // Which they are does not matter, but whether there are any.
    let any = [evaluated::Expression::input(0, TypeKind::Null.nullable())];
    evaluated::is_deterministic(function, &any[..operands.len().min(1)])
}

/// Checks that all of a query can be lowered once it is planned.
///
/// # Errors
/// A part that is not supported yet, with its place.
pub(crate) fn check(rel: &Rel) -> Result<()> {
    let mut waiting = vec![rel];
    while let Some(rel) = waiting.pop() {
        let relation = rel.node.relation();
        relation.expressions().into_iter().try_for_each(check_expression)?;
        waiting.extend(relation.inputs());
    }
    Ok(())
}

/// Checks that an expression can be lowered.
///
/// # Errors
/// As [`check`].
pub(crate) fn check_expression(expression: &Expression) -> Result<()> {
    let mut waiting = vec![expression];
    while let Some(part) = waiting.pop() {
        match &part.node {
            Node::Input(_) | Node::Literal(_) => {}
            Node::Call { operands, .. } => waiting.extend(operands.iter().rev()),
            Node::Aggregate(_) | Node::Correlated { .. } | Node::Over(_) | Node::Subquery(_) => {
                return Err(refused(&part.node));
            }
        }
    }
    Ok(())
}

/// The error for what no task evaluates.
fn refused(node: &Node) -> Error {
    match node {
        Node::Over(over) => no_over(&over.function, over.at.0),
        Node::Subquery(subquery) => no_subquery(subquery.at.0),
        Node::Correlated { .. } => Error::unsupported("A column of a query around this one is not supported", None),
        Node::Aggregate(_) | Node::Input(_) | Node::Literal(_) | Node::Call { .. } => {
            Error::unsupported("An aggregate is not supported here", None)
        }
    }
}

/// The error for a call over a window of rows, also of a function that is not known yet.
pub(crate) fn no_over(function: &str, place: Option<Place>) -> Error {
    Error::unsupported(format!("{function} with OVER is not supported"), place)
}

/// The error for a query within an expression, also where there can be none.
pub(crate) fn no_subquery(place: Option<Place>) -> Error {
    Error::unsupported("A subquery within an expression is not supported", place)
}
