//! Evaluates what does not depend on any row.
use datafusion_common::ScalarValue;
use wiesel_operators::expression::{
    Expression, Node, constant_bytes, evaluate_constant, may_stand_for, null_literal, text_bytes,
};

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
        "NOT" => match operands.pop() {
            Some(operand) => negate(operand),
            None => call,
        },
        _ => call,
    }
}

/// NOT of a condition: it moves into comparisons, AND and OR, as Flink's planner moves it. With NaN neither a comparison holds
/// nor its opposite, so that is more than a matter of speed.
fn negate(mut condition: Expression) -> Expression {
    if let Node::Call { function, operands } = &mut condition.node {
        let opposite = match function.as_str() {
            "=" => "<>",
            "<>" => "=",
            "<" => ">=",
            "<=" => ">",
            ">" => "<=",
            ">=" => "<",
            "AND" => "OR",
            "OR" => "AND",
            "NOT" => return operands.pop().unwrap_or(condition),
            _ => return not(condition),
        };
        if matches!(opposite, "AND" | "OR") {
            *operands = std::mem::take(operands).into_iter().map(negate).collect();
        }
        *function = opposite.to_owned();
        return condition;
    }
    not(condition)
}

fn not(condition: Expression) -> Expression {
    let data_type = condition.data_type.clone();
    Expression::call("NOT", vec![condition], data_type)
}

fn is_null(expression: &Expression) -> bool {
    matches!(&expression.node, Node::Literal(value) if value.is_null())
}

/// Texts of constants that are worked on while planning, at most: longer ones are left to the job.
const MAX_TEXT: usize = 16 << 10;

fn evaluate(call: &Expression, context: &Context) -> Option<ScalarValue> {
    let Node::Call { function, operands } = &call.node else { return None };
    let constants: Vec<&ScalarValue> = operands.iter().filter_map(constant).collect();
    let texts: usize = constants.iter().map(|value| text_bytes(value)).sum();
    if texts.max(announced(function, &constants)) > MAX_TEXT {
        return None;
    }
    let value = evaluate_constant(call, &context.evaluation).ok()?;
    // A value that a message could not carry back is left to the job, and so is one that makes much of little.
    let fits = value.data_type() == call.data_type.kind.to_arrow();
    (fits && may_stand_for(&value, constants.iter().map(|value| constant_bytes(value)).sum())).then_some(value)
}

fn constant(operand: &Expression) -> Option<&ScalarValue> {
    match &operand.node {
        Node::Literal(value) => Some(value),
        _ => None,
    }
}

/// The length of the text that a call gives, where a number among its operands says it.
fn announced(function: &str, operands: &[&ScalarValue]) -> usize {
    let number = match operands.get(1) {
        Some(ScalarValue::Int32(Some(number))) => usize::try_from(*number).unwrap_or(0),
        _ => return 0,
    };
    match function {
        "REPEAT" => number.saturating_mul(text_bytes(operands[0])),
        "LPAD" | "RPAD" => number,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use wiesel_operators::types::TypeKind;

    use super::*;

    fn call(function: &str, operands: Vec<Expression>) -> Expression {
        Expression::call(function, operands, TypeKind::Boolean.nullable())
    }

    fn compared(function: &str) -> Expression {
        let column = |index| Expression::input(index, TypeKind::Double.nullable());
        call(function, vec![column(0), column(1)])
    }

    #[test]
    fn not_moves_into_comparisons() {
        for (function, opposite) in [("=", "<>"), ("<", ">="), ("<=", ">"), (">", "<="), (">=", "<"), ("<>", "=")] {
            assert_eq!(simplify(call("NOT", vec![compared(function)])), compared(opposite));
        }
        let either = call("OR", vec![compared("<"), call("AND", vec![compared(">"), compared("=")])]);
        let neither = call("AND", vec![compared(">="), call("OR", vec![compared("<="), compared("<>")])]);
        assert_eq!(simplify(call("NOT", vec![either.clone()])), neither);
        assert_eq!(simplify(call("NOT", vec![neither])), either);
        let list = call("IN", vec![Expression::input(0, TypeKind::Double.nullable())]);
        assert_eq!(simplify(call("NOT", vec![list.clone()])), call("NOT", vec![list.clone()]));
        assert_eq!(simplify(call("NOT", vec![call("NOT", vec![list.clone()])])), list);
    }
}
