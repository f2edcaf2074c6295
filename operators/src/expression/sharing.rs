//! Subexpressions that several expressions have in common, so that they are computed once a batch.
use super::{Expression, Node, logic};
use crate::functions::is_deterministic;

/// What [`share`] takes out: expressions over the columns, to be appended to them in order.
pub(super) struct Shared {
    /// The common subexpressions. One may refer to those before it.
    pub common: Vec<Expression>,
    /// The expressions, with columns from `columns` on in place of the common ones.
    pub expressions: Vec<Expression>,
}

/// Takes out subexpressions that stand more than once in `expressions` and that one of the first `eager` expressions
/// evaluates for every row, so that computing them for every row cannot fail where it did not before.
pub(super) fn share(expressions: Vec<Expression>, eager: usize, columns: usize) -> Shared {
    let mut shared = Shared { common: Vec::new(), expressions };
    loop {
        let mut candidates = Vec::new();
        shared.expressions[..eager].iter().for_each(|expression| collect_eager(expression, &mut candidates));
        let repeated = candidates.into_iter().filter(|candidate| {
            let count = |expression: &Expression| occurrences(expression, candidate);
            shared.expressions.iter().map(count).sum::<usize>() > 1
        });
        // The largest first: what is within it goes with it.
        let Some(chosen) = repeated.max_by_key(|candidate| size(candidate)).cloned() else { return shared };
        let column = Expression::input(columns + shared.common.len(), chosen.data_type.clone());
        shared.expressions = shared.expressions.iter().map(|e| replace(e, &chosen, &column)).collect();
        shared.common.push(chosen);
    }
}

/// Whether computing an expression once instead of twice pays.
fn is_worthwhile(expression: &Expression) -> bool {
    let Node::Call { function, operands } = &expression.node else { return false };
    !operands.is_empty()
        && function != "FIELD"
        && deterministic(expression)
        && size(expression) > 1
        && reads_input(expression)
}

fn deterministic(expression: &Expression) -> bool {
    let mut all = true;
    expression.visit(&mut |e| {
        if let Node::Call { function, .. } = &e.node {
            all &= is_deterministic(function);
        }
    });
    all
}

fn reads_input(expression: &Expression) -> bool {
    let mut any = false;
    expression.visit(&mut |e| any |= matches!(e.node, Node::Input(_)));
    any
}

/// Visits subexpressions that are evaluated whenever the expression is.
fn collect_eager<'a>(expression: &'a Expression, out: &mut Vec<&'a Expression>) {
    let Node::Call { function, operands } = &expression.node else { return };
    if is_worthwhile(expression) && !out.contains(&expression) {
        out.push(expression);
    }
    let lazy = matches!(function.as_str(), "AND" | "OR" | "CASE" | "IF" | "COALESCE" | "IFNULL");
    for (index, operand) in operands.iter().enumerate() {
        let connective = matches!(function.as_str(), "AND" | "OR");
        if !lazy || index == 0 || (connective && logic::is_cheap(operand)) {
            collect_eager(operand, out);
        }
    }
}

fn occurrences(expression: &Expression, wanted: &Expression) -> usize {
    if expression == wanted {
        return 1;
    }
    match &expression.node {
        Node::Call { operands, .. } => operands.iter().map(|operand| occurrences(operand, wanted)).sum(),
        _ => 0,
    }
}

fn size(expression: &Expression) -> usize {
    let mut nodes = 0;
    expression.visit(&mut |_| nodes += 1);
    nodes
}

fn replace(expression: &Expression, wanted: &Expression, with: &Expression) -> Expression {
    if expression == wanted {
        return with.clone();
    }
    match &expression.node {
        Node::Call { function, operands } => {
            let operands = operands.iter().map(|operand| replace(operand, wanted, with)).collect();
            Expression::call(function.clone(), operands, expression.data_type.clone())
        }
        _ => expression.clone(),
    }
}
