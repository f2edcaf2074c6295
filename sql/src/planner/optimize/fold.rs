//! Evaluates what does not depend on any row.
use datafusion_common::ScalarValue;
use wiesel_operators::expression::{Expression, Node, null_literal};

use super::super::Context;
use super::super::expressions::is_deterministic;
use super::map_inputs;
use crate::error::Result;
use crate::rel::{Rel, RelNode};

/// Replaces constant expressions by their values. What cannot be evaluated stays and fails when the job runs, as it does
/// in Flink, if a row ever reaches it.
pub(super) fn fold_constants(rel: Rel, context: &Context) -> Result<Rel> {
    let Rel { node, fields } = map_inputs(rel, |input| fold_constants(input, context))?;
    let fold = |expression: Expression| fold(expression, context);
    let node = match node {
        RelNode::Project { input, expressions } => {
            RelNode::Project { input, expressions: expressions.into_iter().map(fold).collect() }
        }
        RelNode::Filter { input, condition } => RelNode::Filter { input, condition: fold(condition) },
        RelNode::WatermarkAssigner { input, rowtime, watermark } => {
            RelNode::WatermarkAssigner { input, rowtime, watermark: fold(watermark) }
        }
        RelNode::Values(rows) => {
            RelNode::Values(rows.into_iter().map(|row| row.into_iter().map(fold).collect()).collect())
        }
        node => node,
    };
    Ok(Rel { node, fields })
}

/// The expression with its constant parts evaluated.
fn fold(expression: Expression, context: &Context) -> Expression {
    let Node::Call { function, operands } = expression.node else { return expression };
    let operands: Vec<_> = operands.into_iter().map(|operand| fold(operand, context)).collect();
    let constant = operands.iter().all(|operand| matches!(operand.node, Node::Literal(_)));
    let call = simplify(Expression::call(function, operands, expression.data_type));
    if !constant || !is_deterministic(&call) {
        return call;
    }
    match evaluate(&call, context) {
        Some(value) => Expression::literal(value, call.data_type),
        None => call,
    }
}

/// Functions that give null if an operand is null, whatever the others are.
const STRICT: [&str; 13] = ["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "LIKE", "NOT_LIKE"];

/// AND and OR with constant operands, and what a null makes null.
fn simplify(mut call: Expression) -> Expression {
    let Node::Call { function, operands } = &mut call.node else { return call };
    let truth = |expression: &Expression| match &expression.node {
        Node::Literal(ScalarValue::Boolean(value)) => *value,
        _ => None,
    };
    match function.as_str() {
        strict if STRICT.contains(&strict) && operands.iter().any(is_null) => null_literal(call.data_type.kind),
        "AND" | "OR" => {
            let neutral = function == "AND";
            if let Some(decided) = operands.iter().find(|operand| truth(operand) == Some(!neutral)) {
                let nullable = decided.data_type.nullable && call.data_type.nullable;
                let value = ScalarValue::Boolean(Some(!neutral));
                return Expression::literal(value, call.data_type.with_nullable(nullable));
            }
            operands.retain(|operand| truth(operand) != Some(neutral));
            match operands.len() {
                0 => Expression::literal(ScalarValue::Boolean(Some(neutral)), call.data_type),
                1 => operands.pop().unwrap_or(call),
                _ => call,
            }
        }
        _ => call,
    }
}

fn is_null(expression: &Expression) -> bool {
    matches!(&expression.node, Node::Literal(value) if value.is_null())
}

fn evaluate(call: &Expression, context: &Context) -> Option<ScalarValue> {
    let value = wiesel_operators::expression::evaluate_constant(call, &context.evaluation).ok()?;
    // A value that a message could not carry back is left to the job.
    (value.data_type() == call.data_type.kind.to_arrow()).then_some(value)
}
