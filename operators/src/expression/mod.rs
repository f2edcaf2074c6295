//! Typed expressions over the columns of a row: built by the planner, stored in job graphs, compiled by operators.
use datafusion_common::ScalarValue;
use wiesel_proto as proto;

use crate::types::{LogicalType, Malformed, TypeKind};

pub(crate) mod arithmetic;
pub(crate) mod comparison;
pub(crate) mod compile;
pub(crate) mod conditional;
mod context;
pub(crate) mod datetime;
pub(crate) mod decimal;
pub(crate) mod java_pattern;
pub(crate) mod kernel;
mod literal;
pub(crate) mod logic;
mod program;
mod sharing;
#[cfg(test)]
mod tests;
mod zone;

pub use crate::functions::{is_deterministic, supports};
pub use compile::{compile, evaluate_constant};
pub use context::EvaluationContext;
pub use java_pattern::parse_local_time;
pub use program::{Condition, Mask, Program, Projection, Selection};
pub use zone::Zone;

/// An expression with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    /// What it is.
    pub node: Node,
    /// What it gives.
    pub data_type: LogicalType,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A column of the input.
    Input(usize),
    /// A constant: the scalar has the Arrow type of the expression's type.
    Literal(ScalarValue),
    /// A built-in function or operator by its canonical name, upper case: `+`, `=`, `AND`, `CASE`, `CAST`, `UPPER`.
    Call {
        /// The name.
        function: String,
        /// Its operands.
        operands: Vec<Expression>,
    },
}

impl Expression {
    /// A column.
    pub fn input(index: usize, data_type: LogicalType) -> Self {
        Self { node: Node::Input(index), data_type }
    }

    /// A constant.
    pub fn literal(value: ScalarValue, data_type: LogicalType) -> Self {
        Self { node: Node::Literal(value), data_type }
    }

    /// A call.
    pub fn call(function: impl Into<String>, operands: Vec<Expression>, data_type: LogicalType) -> Self {
        Self { node: Node::Call { function: function.into(), operands }, data_type }
    }

    /// Visits this expression and all below it, parents first.
    pub fn visit(&self, visitor: &mut impl FnMut(&Expression)) {
        visitor(self);
        if let Node::Call { operands, .. } = &self.node {
            operands.iter().for_each(|operand| operand.visit(visitor));
        }
    }

    /// This expression with each column replaced.
    pub fn map_inputs(&self, map: &mut impl FnMut(usize, &LogicalType) -> Expression) -> Expression {
        match &self.node {
            Node::Input(index) => map(*index, &self.data_type),
            Node::Literal(_) => self.clone(),
            Node::Call { function, operands } => {
                let operands = operands.iter().map(|operand| operand.map_inputs(map)).collect();
                Self::call(function.clone(), operands, self.data_type.clone())
            }
        }
    }
}

impl From<&Expression> for proto::Expression {
    fn from(expression: &Expression) -> Self {
        let kind = match &expression.node {
            Node::Input(index) => proto::expression::Kind::Input(proto::InputRef { index: *index as u32 }),
            Node::Literal(value) => proto::expression::Kind::Literal(literal::to_proto(value, &expression.data_type)),
            Node::Call { function, operands } => proto::expression::Kind::Call(proto::Call {
                function: function.clone(),
                operands: operands.iter().map(proto::Expression::from).collect(),
            }),
        };
        Self { r#type: Some((&expression.data_type).into()), kind: Some(kind) }
    }
}

impl TryFrom<&proto::Expression> for Expression {
    type Error = Malformed;

    fn try_from(message: &proto::Expression) -> Result<Self, Malformed> {
        let data_type = message.r#type.as_ref().ok_or_else(|| Malformed("an expression without a type".into()))?;
        let data_type = LogicalType::try_from(data_type)?;
        let node = match message.kind.as_ref().ok_or_else(|| Malformed("an empty expression".into()))? {
            proto::expression::Kind::Input(input) => Node::Input(input.index as usize),
            proto::expression::Kind::Literal(value) => Node::Literal(literal::from_proto(value, &data_type)?),
            proto::expression::Kind::Call(call) => Node::Call {
                function: call.function.clone(),
                operands: call.operands.iter().map(Expression::try_from).collect::<Result<_, _>>()?,
            },
        };
        Ok(Self { node, data_type })
    }
}

/// The null of a type.
pub fn null_literal(kind: TypeKind) -> Expression {
    let value = ScalarValue::try_from(&kind.to_arrow()).unwrap_or(ScalarValue::Null);
    Expression::literal(value, kind.nullable())
}
