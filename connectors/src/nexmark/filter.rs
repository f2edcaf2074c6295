//! Conditions that only say which kinds of event are wanted.
use datafusion_common::ScalarValue;
use wiesel_expressions::expression::{Expression, Node};

/// Which kinds of event pass: person, auction, bid.
pub(crate) type Kinds = [bool; 3];

/// All of them.
pub(crate) const ALL: Kinds = [true; 3];

/// Those that pass both.
pub(crate) fn both(a: Kinds, b: Kinds) -> Kinds {
    std::array::from_fn(|i| a[i] && b[i])
}

fn either(a: Kinds, b: Kinds) -> Kinds {
    std::array::from_fn(|i| a[i] || b[i])
}

/// The kinds for which a condition over the physical columns is true; none: it depends on more than the kind. The
/// connectives are those of two-valued logic, which is right as neither `event_type` nor a test for null is ever null.
pub(crate) fn kinds(condition: &Expression) -> Option<Kinds> {
    let Node::Call { function, operands } = &condition.node else { return None };
    match (function.as_str(), operands.as_slice()) {
        ("AND", operands) => operands.iter().try_fold(ALL, |all, operand| Some(both(all, kinds(operand)?))),
        ("OR", operands) => operands.iter().try_fold([false; 3], |any, operand| Some(either(any, kinds(operand)?))),
        ("NOT", [operand]) => Some(kinds(operand)?.map(|kind| !kind)),
        ("IS_NOT_NULL", [operand]) => event_column(operand),
        ("IS_NULL", [operand]) => Some(event_column(operand)?.map(|kind| !kind)),
        ("IN", [value, list @ ..]) if is_event_type(value) => {
            list.iter().try_fold([false; 3], |any, item| Some(either(any, compare("=", integer(item)?)?)))
        }
        (function, [left, right]) if is_event_type(left) => compare(function, integer(right)?),
        (function, [left, right]) if is_event_type(right) => compare(mirrored(function), integer(left)?),
        _ => None,
    }
}

fn compare(function: &str, wanted: i64) -> Option<Kinds> {
    let test: fn(i64, i64) -> bool = match function {
        "=" => |kind, wanted| kind == wanted,
        "<>" => |kind, wanted| kind != wanted,
        "<" => |kind, wanted| kind < wanted,
        "<=" => |kind, wanted| kind <= wanted,
        ">" => |kind, wanted| kind > wanted,
        ">=" => |kind, wanted| kind >= wanted,
        _ => return None,
    };
    Some(std::array::from_fn(|kind| test(kind as i64, wanted)))
}

fn mirrored(function: &str) -> &str {
    match function {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn is_event_type(expression: &Expression) -> bool {
    match &expression.node {
        Node::Input(0) => true,
        Node::Call { function, operands } if function == "CAST" => operands.iter().all(is_event_type),
        _ => false,
    }
}

/// The kind whose ROW this is, or whose field: none of a present row's fields is ever null.
fn event_column(expression: &Expression) -> Option<Kinds> {
    match &expression.node {
        Node::Input(0) => Some(ALL),
        Node::Input(column @ 1..=3) => Some(std::array::from_fn(|kind| kind + 1 == *column)),
        Node::Call { function, operands } if function == "FIELD" => event_column(operands.first()?),
        _ => None,
    }
}

fn integer(expression: &Expression) -> Option<i64> {
    match &expression.node {
        Node::Literal(ScalarValue::Int8(v)) => v.map(i64::from),
        Node::Literal(ScalarValue::Int16(v)) => v.map(i64::from),
        Node::Literal(ScalarValue::Int32(v)) => v.map(i64::from),
        Node::Literal(ScalarValue::Int64(v)) => *v,
        _ => None,
    }
}
