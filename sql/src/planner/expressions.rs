//! What the planner asks of expressions: which columns they read, whether they may be moved, merged or evaluated.
use datafusion_common::ScalarValue;
use wiesel_expressions::expression::text_bytes;
use wiesel_expressions::types::{LogicalType, TypeKind};

use crate::rex::lowering::is_deterministic_call;
use crate::rex::{Expression, Node};

/// A column of a row, a field inside it, and so on.
pub(crate) type Path = Vec<usize>;

/// A text up to so many bytes may be written wherever it is read.
const MAX_REPEATED_TEXT: usize = 1024;

/// Whether the expression always gives the same for the same row.
pub(crate) fn is_deterministic(expression: &Expression) -> bool {
    let mut deterministic = true;
    expression.visit(&mut |part| match &part.node {
        Node::Input(_) | Node::Literal(_) | Node::Aggregate(_) | Node::Correlated { .. } => {}
        Node::Call { function, operands } => deterministic &= is_deterministic_call(function, operands),
        // What becomes a relation is neither moved nor copied before.
        Node::Over(_) | Node::Subquery(_) => deterministic = false,
    });
    deterministic
}

/// The path that an expression reads and nothing more, such as `bid.auction`.
pub(crate) fn as_path(expression: &Expression) -> Option<Path> {
    match &expression.node {
        Node::Input(index) => Some(vec![*index]),
        Node::Call { function, operands } if function == "FIELD" => {
            let [value, index] = operands.as_slice() else { return None };
            let Node::Literal(ScalarValue::Int32(Some(index))) = &index.node else { return None };
            let mut path = as_path(value)?;
            path.push(usize::try_from(*index).ok()?);
            Some(path)
        }
        _ => None,
    }
}

/// The field of a ROW at an index; null if the row is.
pub(crate) fn field(row: Expression, index: usize) -> Expression {
    let fields = row.data_type.kind.fields().unwrap_or_default();
    let data_type = fields.get(index).map(|field| field.data_type.clone());
    let data_type = data_type.unwrap_or_else(|| TypeKind::Null.nullable());
    let data_type = data_type.with_nullable(data_type.nullable || row.data_type.nullable);
    let position = Expression::literal(ScalarValue::Int32(Some(index as i32)), TypeKind::Int.not_null());
    Expression::call("FIELD", vec![row, position], data_type)
}

/// The type at the end of a path from a value of this type; null rows on the way make it nullable.
pub(crate) fn type_at(data_type: &LogicalType, path: &[usize]) -> Option<LogicalType> {
    let Some((first, rest)) = path.split_first() else { return Some(data_type.clone()) };
    let fields = data_type.kind.fields()?;
    let field = &fields.get(*first)?.data_type;
    type_at(&field.with_nullable(field.nullable || data_type.nullable), rest)
}

/// All paths that an expression reads, each as deep as it is read.
pub(crate) fn collect_paths(expression: &Expression, paths: &mut impl FnMut(Path)) {
    if let Some(path) = as_path(expression) {
        return paths(path);
    }
    expression.operands().into_iter().for_each(|operand| collect_paths(operand, paths));
}

/// The columns that an expression reads.
pub(crate) fn columns(expression: &Expression) -> Vec<usize> {
    let mut found = Vec::new();
    expression.visit(&mut |part| {
        if let Node::Input(index) = part.node
            && !found.contains(&index)
        {
            found.push(index);
        }
    });
    found
}

/// The expression with each column replaced by the expression at its index.
pub(crate) fn substitute(expression: &Expression, by: &[Expression]) -> Expression {
    simplify_field(&expression.map_inputs(&mut |index, _| by[index].clone()))
}

/// `FIELD(ROW(a, b), 0)` is `a`.
fn simplify_field(expression: &Expression) -> Expression {
    let expression = expression.map_operands(&mut simplify_field);
    if let Node::Call { function, operands } = &expression.node
        && function == "FIELD"
        && let [Expression { node: Node::Call { function: row, operands: values }, .. }, index] = operands.as_slice()
        && row == "ROW"
        && let Node::Literal(ScalarValue::Int32(Some(index))) = &index.node
        && let Some(value) = usize::try_from(*index).ok().and_then(|index| values.get(index))
        && value.data_type == expression.data_type
    {
        return value.clone();
    }
    expression
}

/// The conjuncts of a condition.
pub(crate) fn conjuncts(condition: &Expression) -> Vec<Expression> {
    let mut all = Vec::new();
    let mut waiting = vec![condition];
    while let Some(condition) = waiting.pop() {
        match &condition.node {
            Node::Call { function, operands } if function == "AND" => waiting.extend(operands.iter().rev()),
            _ => all.push(condition.clone()),
        }
    }
    all
}

/// The conjunction of conditions; none if there are none.
pub(crate) fn conjunction(mut conditions: Vec<Expression>) -> Option<Expression> {
    match conditions.len() {
        0 => None,
        1 => conditions.pop(),
        _ => {
            let nullable = conditions.iter().any(|condition| condition.data_type.nullable);
            let data_type = TypeKind::Boolean.not_null().with_nullable(nullable);
            Some(Expression::call("AND", conditions, data_type))
        }
    }
}

/// All columns of a row, as they are.
pub(crate) fn identity(fields: &[wiesel_expressions::types::RowField]) -> Vec<Expression> {
    fields.iter().enumerate().map(|(index, field)| Expression::input(index, field.data_type.clone())).collect()
}

/// Whether the expressions are all columns of the input in their order.
pub(crate) fn is_identity(expressions: &[Expression], width: usize) -> bool {
    let in_place = |(index, expression): (usize, &Expression)| matches!(expression.node, Node::Input(i) if i == index);
    expressions.len() == width && expressions.iter().enumerate().all(in_place)
}

/// A column, a constant or a field: nothing is computed twice if it stands twice.
pub(crate) fn is_trivial(expression: &Expression) -> bool {
    match &expression.node {
        // A long text stays where it is: there may be ten thousand that read it.
        Node::Literal(value) => text_bytes(value) <= MAX_REPEATED_TEXT,
        _ => as_path(expression).is_some(),
    }
}

/// Whether the expression is the constant TRUE (or FALSE or NULL, for a condition the same).
pub(crate) fn constant_condition(expression: &Expression) -> Option<bool> {
    match &expression.node {
        Node::Literal(ScalarValue::Boolean(value)) => Some(value.unwrap_or(false)),
        Node::Literal(value) if value.is_null() => Some(false),
        _ => None,
    }
}
