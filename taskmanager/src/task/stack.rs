//! How large the stack of a task's thread must be.
use wiesel_expressions::expression::{MAX_DEPTH, STACK_PER_LEVEL, expressions, message_depth};
use wiesel_proto as proto;

/// What the standard library gives a thread.
const USUAL: usize = 2 << 20;

/// Bytes of the stack: expressions are compiled and evaluated on it, each level within the one above. Only what is used of it
/// takes memory.
pub(super) fn size(operators: &[proto::OperatorSpec]) -> usize {
    let all = operators.iter().filter_map(|operator| operator.kind.as_ref()).flat_map(expressions);
    // One that is deeper, or no expression at all, is refused when its operator is built.
    let depths = all.map(|expression| message_depth(expression).unwrap_or(0));
    USUAL + depths.max().unwrap_or(0).min(MAX_DEPTH) * STACK_PER_LEVEL
}

#[cfg(test)]
mod tests {
    use wiesel_expressions::expression::Expression;
    use wiesel_expressions::types::TypeKind;
    use wiesel_proto::operator_spec::Kind;

    use super::*;

    /// Wherever an operator has it, the deepest expression of the chain decides.
    #[test]
    fn the_stack_follows_from_the_expressions_of_all_operators() {
        let nested = |levels: usize| {
            let column = Expression::input(0, TypeKind::Int.not_null());
            let around = |inner, _| Expression::call("ABS", vec![inner], TypeKind::Int.not_null());
            proto::Expression::from(&(1..levels).fold(column, around))
        };
        let chains = [
            vec![Kind::Source(proto::SourceSpec { filters: vec![nested(2), nested(9)], ..Default::default() })],
            vec![Kind::Calc(proto::CalcSpec { condition: Some(nested(9)), ..Default::default() })],
            vec![Kind::Calc(proto::CalcSpec { projection: vec![nested(9), nested(1)], ..Default::default() })],
            vec![Kind::WatermarkAssigner(proto::WatermarkAssignerSpec {
                watermark: Some(nested(9)),
                ..Default::default()
            })],
            vec![
                Kind::Calc(proto::CalcSpec { condition: Some(nested(9)), ..Default::default() }),
                Kind::Sink(proto::SinkSpec::default()),
            ],
        ];
        for chain in chains {
            let operators: Vec<proto::OperatorSpec> =
                chain.into_iter().map(|kind| proto::OperatorSpec { kind: Some(kind), ..Default::default() }).collect();
            assert_eq!(size(&operators), USUAL + 9 * STACK_PER_LEVEL, "{operators:?}");
        }
        assert_eq!(size(&[proto::OperatorSpec::default()]), USUAL);
    }
}
