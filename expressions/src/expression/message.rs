//! Expressions as messages: a tree as the list of its nodes, so that no message is deeper than another.
use std::collections::HashMap;

use wiesel_proto as proto;
use wiesel_proto::expression_node::Kind;
use wiesel_proto::operator_spec::Kind as OperatorKind;

use super::{Expression, Node, literal};
use crate::types::{LogicalType, Malformed};

/// Nodes within each other, at most: what compiles and evaluates a tree calls itself for each level.
pub const MAX_DEPTH: usize = 50_000;
/// Bytes of a thread's stack that compiling or evaluating takes for each level of an expression, and then some.
pub const STACK_PER_LEVEL: usize = 16 << 10;

impl From<&Expression> for proto::Expression {
    fn from(expression: &Expression) -> Self {
        let mut types: Vec<proto::DataType> = Vec::new();
        let mut known: HashMap<&LogicalType, u32> = HashMap::new();
        let mut nodes = Vec::new();
        // Node before operands, the last operand first: read backwards it is each node behind its operands.
        let mut waiting = vec![expression];
        while let Some(Expression { node, data_type }) = waiting.pop() {
            let kind = match node {
                Node::Input(index) => Kind::Input(proto::InputRef { index: *index as u32 }),
                Node::Literal(value) => Kind::Literal(literal::to_proto(value, data_type)),
                Node::Call { function, operands } => {
                    waiting.extend(operands);
                    Kind::Call(proto::Call { function: function.clone(), operands: operands.len() as u32 })
                }
            };
            let r#type = *known.entry(data_type).or_insert_with(|| {
                types.push(data_type.into());
                types.len() as u32 - 1
            });
            nodes.push(proto::ExpressionNode { r#type, kind: Some(kind) });
        }
        nodes.reverse();
        Self { nodes, types }
    }
}

impl TryFrom<&proto::Expression> for Expression {
    type Error = Malformed;

    fn try_from(message: &proto::Expression) -> Result<Self, Malformed> {
        let depth = message_depth(message)?;
        if depth > MAX_DEPTH {
            return Err(Malformed(format!("an expression that nests {depth} levels deep, of at most {MAX_DEPTH}")));
        }
        let types = message.types.iter().map(LogicalType::try_from).collect::<Result<Vec<_>, _>>()?;
        let mut trees: Vec<Self> = Vec::new();
        for node in &message.nodes {
            let data_type = types.get(node.r#type as usize);
            let data_type = data_type.ok_or_else(|| Malformed("an expression without a type".into()))?.clone();
            let node = match node.kind.as_ref().ok_or_else(empty)? {
                Kind::Input(input) => Node::Input(input.index as usize),
                Kind::Literal(value) => Node::Literal(literal::from_proto(value, &data_type)?),
                Kind::Call(call) => {
                    let first = trees.len().checked_sub(call.operands as usize).ok_or_else(too_few)?;
                    Node::Call { function: call.function.clone(), operands: trees.split_off(first) }
                }
            };
            trees.push(Self { node, data_type });
        }
        match (trees.pop(), trees.is_empty()) {
            (Some(root), true) => Ok(root),
            (None, _) => Err(empty()),
            (Some(_), false) => Err(Malformed("an expression of several".into())),
        }
    }
}

/// How many nodes within each other the expression of a message has.
///
/// # Errors
/// If a call has fewer operands before it than it takes.
pub fn message_depth(message: &proto::Expression) -> Result<usize, Malformed> {
    let mut depths: Vec<usize> = Vec::new();
    for node in &message.nodes {
        let below = match &node.kind {
            Some(Kind::Call(call)) => {
                let first = depths.len().checked_sub(call.operands as usize).ok_or_else(too_few)?;
                depths.drain(first..).max().unwrap_or(0)
            }
            _ => 0,
        };
        depths.push(below + 1);
    }
    Ok(depths.into_iter().max().unwrap_or(0))
}

/// All expressions that an operator compiles and evaluates. Every kind of operator is named, so that a new one is not forgotten:
/// the stack of its task follows from this, and without it a long expression overflows it.
pub fn expressions(operator: &OperatorKind) -> Vec<&proto::Expression> {
    match operator {
        OperatorKind::Source(source) => source.filters.iter().collect(),
        OperatorKind::Calc(calc) => calc.condition.iter().chain(&calc.projection).collect(),
        OperatorKind::WatermarkAssigner(assigner) => assigner.watermark.iter().collect(),
        OperatorKind::GroupAggregate(_)
        | OperatorKind::WindowAggregate(_)
        | OperatorKind::WindowTableFunction(_)
        | OperatorKind::Sink(_)
        | OperatorKind::CollectSink(_) => Vec::new(),
    }
}

fn empty() -> Malformed {
    Malformed("an empty expression".into())
}

fn too_few() -> Malformed {
    Malformed("a call with fewer operands than it takes".into())
}
