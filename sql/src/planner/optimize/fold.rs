//! Evaluates what does not depend on any row.
use datafusion_common::ScalarValue;
use wiesel_expressions::expression::{constant_bytes, evaluate_constant, may_stand_for, text_bytes};
use wiesel_expressions::types::TypeKind;

use super::super::Context;
use super::super::expressions::is_deterministic;
use super::map_inputs;
use crate::error::Result;
use crate::rel::Rel;
use crate::rex::lowering::lower;
use crate::rex::{Expression, Node, null_literal};
use crate::script::still_wanted;

/// Replaces constant expressions by their values. What cannot be evaluated stays and fails when the job runs, as it does
/// in Flink, if a row ever reaches it.
pub(super) fn fold_constants(rel: Rel, context: &Context) -> Result<Rel> {
    let mut rel = map_inputs(rel, |input| fold_constants(input, context))?;
    for expression in rel.node.relation_mut().expressions_mut() {
        let whole = std::mem::replace(expression, Expression::input(0, TypeKind::Null.nullable()));
        *expression = fold(whole, context);
    }
    still_wanted()?;
    Ok(rel)
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
        // Null of a type that has none is an error where it becomes a column, which then names the call.
        Some(value) if value.is_null() && !call.data_type.nullable => call,
        Some(value) => Expression::literal(constant_of(&call, value), call.data_type),
        None => call,
    }
}

/// The constant that a call of constants stands for. Of a cast Flink's planner keeps it as a decimal number, which has no negative
/// zero.
fn constant_of(call: &Expression, value: ScalarValue) -> ScalarValue {
    let is_cast = matches!(&call.node, Node::Call { function, .. } if function == "CAST");
    match value {
        ScalarValue::Float64(Some(value)) if is_cast => ScalarValue::Float64(Some(value + 0.0)),
        ScalarValue::Float32(Some(value)) if is_cast => ScalarValue::Float32(Some(value + 0.0)),
        value => value,
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
        "IS_NULL" | "IS_NOT_NULL" | "IS_UNKNOWN" | "IS_NOT_UNKNOWN" => {
            let null = !function.contains("NOT");
            match operands.pop() {
                Some(operand) => null_test(operand, null),
                None => call,
            }
        }
        "IS_DISTINCT_FROM" | "IS_NOT_DISTINCT_FROM" if operands.iter().any(is_null) => {
            let null = function.contains("NOT");
            let tested = operands.iter().position(|operand| !is_null(operand)).unwrap_or(0);
            null_test(operands.swap_remove(tested), null)
        }
        _ => call,
    }
}

/// Functions that give null for a null operand and for nothing else, unless what they give is a DECIMAL, which may overflow.
const NULL_ONLY_OF_NULL: [&str; 14] =
    ["=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "NEG", "NOT", "LIKE", "NOT_LIKE"];

/// Whether a value is null, or whether it is not. What can be told by its operands is not evaluated for it, as in Flink: no row
/// fails with `c / 0 IS NULL`.
fn null_test(value: Expression, null: bool) -> Expression {
    let truth = TypeKind::Boolean.not_null();
    let overflows = matches!(value.data_type.kind, TypeKind::Decimal(..));
    match value.node {
        Node::Literal(constant) => Expression::literal(ScalarValue::Boolean(Some(constant.is_null() == null)), truth),
        Node::Call { function, operands } if !overflows && NULL_ONLY_OF_NULL.contains(&function.as_str()) => {
            let tests = operands.into_iter().map(|operand| null_test(operand, null)).collect();
            simplify(Expression::call(if null { "OR" } else { "AND" }, tests, truth))
        }
        node => {
            let value = Expression { node, data_type: value.data_type };
            Expression::call(if null { "IS_NULL" } else { "IS_NOT_NULL" }, vec![value], truth)
        }
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
    // What is not wanted any more is not gone on with: [`fold_constants`] says so.
    if texts.max(announced(function, &constants)) > MAX_TEXT || still_wanted().is_err() {
        return None;
    }
    let value = evaluate_constant(&lower(call).ok()?, &context.evaluation).ok()?;
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
    use super::*;

    fn call(function: &str, operands: Vec<Expression>) -> Expression {
        Expression::call(function, operands, TypeKind::Boolean.nullable())
    }

    fn compared(function: &str) -> Expression {
        let column = |index| Expression::input(index, TypeKind::Double.nullable());
        call(function, vec![column(0), column(1)])
    }

    #[test]
    fn what_is_null_is_told_by_the_operands() {
        let column = |index| Expression::input(index, TypeKind::Int.nullable());
        let zero = Expression::literal(ScalarValue::Int32(Some(0)), TypeKind::Int.not_null());
        let truth = TypeKind::Boolean.not_null();
        let test = |function: &str, value| Expression::call(function, vec![value], truth.clone());
        let quotient = Expression::call("/", vec![column(0), zero], TypeKind::Int.nullable());
        assert_eq!(simplify(test("IS_NULL", quotient.clone())), test("IS_NULL", column(0)));
        let sum = Expression::call("+", vec![quotient.clone(), column(1)], TypeKind::Int.nullable());
        let both = vec![test("IS_NOT_NULL", column(0)), test("IS_NOT_NULL", column(1))];
        assert_eq!(simplify(test("IS_NOT_NULL", sum)), Expression::call("AND", both, truth.clone()));
        let null = null_literal(TypeKind::Int);
        let distinct = Expression::call("IS_DISTINCT_FROM", vec![quotient, null], truth.clone());
        assert_eq!(simplify(distinct), test("IS_NOT_NULL", column(0)));
        // One that overflows is null.
        let decimal = TypeKind::Decimal(38, 0).nullable();
        let product = Expression::call("*", vec![Expression::input(0, decimal.clone()); 2], decimal);
        assert_eq!(simplify(test("IS_NULL", product.clone())), test("IS_NULL", product));
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
