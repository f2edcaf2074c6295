//! Typed expressions over the columns of a row: built by the planner, stored in job graphs, compiled by operators.
use datafusion_common::ScalarValue;

use crate::types::{LogicalType, TypeKind};

pub(crate) mod arithmetic;
pub(crate) mod budget;
pub(crate) mod comparison;
pub(crate) mod compile;
pub(crate) mod conditional;
mod context;
pub(crate) mod date_patterns;
pub(crate) mod datetime;
pub(crate) mod decimal;
pub(crate) mod java_sql;
pub(crate) mod kernel;
mod literal;
pub(crate) mod logic;
mod message;
mod nested;
mod program;
mod sharing;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod zone;

pub use crate::functions::{is_deterministic, supports};
pub use budget::{BATCH_BYTES, Budget, MAX_VALUE_BYTES, ROW_BYTES, check_value, row_too_large};
pub use compile::{compile, constant_bytes, evaluate_constant, may_stand_for};
pub use context::{
    CLUSTER_TIME_ZONE, EvaluationContext, LOCAL_TIME_ZONE, NO_WATERMARK, cluster_time_zone, local_time_zone,
};
pub use date_patterns::date_time_formatter::parse_local_time;
pub use literal::{from_proto as literal_from_proto, to_proto as literal_to_proto};
pub use message::{MAX_DEPTH, STACK_PER_LEVEL, expressions, message_depth};
pub(crate) use program::conform;
pub use program::{Condition, Mask, Program, Projection, Selection};
pub use text::expression_text;
pub use zone::Zone;

/// An expression with its type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Expression {
    /// What it is.
    pub node: Node,
    /// What it gives.
    pub data_type: LogicalType,
}

/// The kinds of expression.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
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

    /// How many nodes it has, and how many of them stand within each other.
    pub fn extent(&self) -> (usize, usize) {
        let (mut size, mut depth) = (0, 0);
        let mut waiting = vec![(self, 1)];
        while let Some((expression, level)) = waiting.pop() {
            size += 1;
            depth = depth.max(level);
            if let Node::Call { operands, .. } = &expression.node {
                waiting.extend(operands.iter().map(|operand| (operand, level + 1)));
            }
        }
        (size, depth)
    }

    /// How much there is of it: its nodes, and for each 64 bytes of a text one more.
    pub fn weight(&self) -> usize {
        let mut weight = 0;
        let mut waiting = vec![self];
        while let Some(expression) = waiting.pop() {
            weight += 1;
            match &expression.node {
                Node::Input(_) => {}
                Node::Literal(value) => weight += text_bytes(value) / 64,
                Node::Call { operands, .. } => waiting.extend(operands),
            }
        }
        weight
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

/// The length of a text or of bytes; nothing of other values.
pub fn text_bytes(value: &ScalarValue) -> usize {
    match value {
        ScalarValue::Utf8View(text) | ScalarValue::Utf8(text) => text.as_ref().map_or(0, String::len),
        ScalarValue::BinaryView(bytes) | ScalarValue::Binary(bytes) => bytes.as_ref().map_or(0, Vec::len),
        _ => 0,
    }
}

/// The null of a type.
pub fn null_literal(kind: TypeKind) -> Expression {
    let value = ScalarValue::try_from(&kind.to_arrow()).unwrap_or(ScalarValue::Null);
    Expression::literal(value, kind.nullable())
}
