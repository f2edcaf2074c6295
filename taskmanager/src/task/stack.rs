//! How large the stack of a task's thread must be.
use wiesel_operators::expression::{MAX_DEPTH, STACK_PER_LEVEL, message_depth};
use wiesel_proto as proto;
use wiesel_proto::operator_spec::Kind;

/// What the standard library gives a thread.
const USUAL: usize = 2 << 20;

/// Bytes of the stack: expressions are compiled and evaluated on it, each level within the one above. Only what is used of it
/// takes memory.
pub(super) fn size(operators: &[proto::OperatorSpec]) -> usize {
    // One that is deeper, or no expression at all, is refused when its operator is built.
    let depths = operators.iter().flat_map(expressions).map(|expression| message_depth(expression).unwrap_or(0));
    USUAL + depths.max().unwrap_or(0).min(MAX_DEPTH) * STACK_PER_LEVEL
}

fn expressions(operator: &proto::OperatorSpec) -> Vec<&proto::Expression> {
    match &operator.kind {
        Some(Kind::Source(source)) => source.filters.iter().collect(),
        Some(Kind::Calc(calc)) => calc.condition.iter().chain(&calc.projection).collect(),
        Some(Kind::WatermarkAssigner(assigner)) => assigner.watermark.iter().collect(),
        _ => Vec::new(),
    }
}
