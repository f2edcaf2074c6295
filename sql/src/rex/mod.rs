//! Planner expressions: what analyser and planner know of a value, over the columns of a relation.
//!
//! A task evaluates columns, constants and calls ([`wiesel_expressions::expression`]). A query has more: calls over a window of rows
//! ([`OverCall`]), queries within expressions ([`Subquery`]), columns of the query around one, results of aggregates. The planner
//! turns those into relations. [`lowering`] makes of the rest what tasks evaluate, and refuses what is left with its place.
//!
//! Invariant: what stands within a subquery is not rewritten with the expression that it stands in. So a subquery becomes a
//! relation before columns move.
use std::convert::Infallible;

use datafusion_common::ScalarValue;
use wiesel_expressions::expression::text_bytes;
use wiesel_expressions::types::{LogicalType, TypeKind};

pub(crate) mod lowering;
mod over;
mod subquery;

pub use over::{Frame, FrameBound, OverCall, SortKey};
pub(crate) use subquery::move_inwards;
pub use subquery::{Subquery, SubqueryKind};

use crate::error::Place;

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
    /// The result of an aggregate call of the SELECT that is analysed, by its number there: until the grouped row is known.
    Aggregate(usize),
    /// A column of a query around this one.
    Correlated {
        /// How far out: 1 is the query that this one stands in.
        level: usize,
        /// The column of that query's FROM.
        index: usize,
    },
    /// A call over a window of rows.
    Over(Box<OverCall>),
    /// A query within an expression.
    Subquery(Box<Subquery>),
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

    /// The expressions that it is made of, over the same columns.
    pub fn operands(&self) -> Vec<&Expression> {
        match &self.node {
            Node::Input(_) | Node::Literal(_) | Node::Aggregate(_) | Node::Correlated { .. } => Vec::new(),
            Node::Call { operands, .. } => operands.iter().collect(),
            Node::Over(over) => over.parts(),
            Node::Subquery(subquery) => subquery.operands.iter().collect(),
        }
    }

    /// How many nodes it has, and how many of them stand within each other.
    pub fn extent(&self) -> (usize, usize) {
        let (mut size, mut depth) = (0, 0);
        let mut waiting = vec![(self, 1)];
        while let Some((expression, level)) = waiting.pop() {
            size += 1;
            depth = depth.max(level);
            waiting.extend(expression.operands().into_iter().map(|operand| (operand, level + 1)));
        }
        (size, depth)
    }

    /// How much there is of it: its nodes, for each 64 bytes of a text one more, and what the queries within it are made of.
    pub fn weight(&self) -> usize {
        let mut weight = 0;
        let mut waiting = vec![self];
        while let Some(expression) = waiting.pop() {
            weight += 1;
            match &expression.node {
                Node::Literal(value) => weight += text_bytes(value) / 64,
                Node::Subquery(subquery) => {
                    let extent = subquery.query.extent();
                    weight += extent.relations + extent.parts;
                }
                Node::Input(_) | Node::Call { .. } | Node::Aggregate(_) | Node::Correlated { .. } | Node::Over(_) => {}
            }
            waiting.extend(expression.operands());
        }
        weight
    }

    /// Visits this expression and all below it, parents first.
    pub fn visit(&self, visitor: &mut impl FnMut(&Expression)) {
        visitor(self);
        if let Node::Call { operands, .. } = &self.node {
            operands.iter().for_each(|operand| operand.visit(visitor));
        } else {
            self.operands().into_iter().for_each(|operand| operand.visit(visitor));
        }
    }

    /// This expression with each column replaced.
    pub fn map_inputs(&self, map: &mut impl FnMut(usize, &LogicalType) -> Expression) -> Expression {
        match &self.node {
            Node::Input(index) => map(*index, &self.data_type),
            Node::Call { function, operands } => {
                let operands = operands.iter().map(|operand| operand.map_inputs(map)).collect();
                Self::call(function.clone(), operands, self.data_type.clone())
            }
            Node::Literal(_) | Node::Aggregate(_) | Node::Correlated { .. } | Node::Over(_) | Node::Subquery(_) => {
                self.map_operands(&mut |operand| operand.map_inputs(map))
            }
        }
    }

    /// This expression with each of its operands replaced.
    pub fn map_operands(&self, map: &mut dyn FnMut(&Expression) -> Expression) -> Expression {
        match self.try_map_operands(&mut |operand| Ok::<_, Infallible>(map(operand))) {
            Ok(mapped) => mapped,
            Err(never) => match never {},
        }
    }

    /// [`Self::map_operands`] with a replacement that can fail.
    pub fn try_map_operands<E>(
        &self,
        map: &mut dyn FnMut(&Expression) -> Result<Expression, E>,
    ) -> Result<Expression, E> {
        let node = match &self.node {
            Node::Input(_) | Node::Literal(_) | Node::Aggregate(_) | Node::Correlated { .. } => return Ok(self.clone()),
            Node::Call { function, operands } => {
                let operands = operands.iter().map(map).collect::<Result<_, E>>()?;
                Node::Call { function: function.clone(), operands }
            }
            Node::Over(over) => Node::Over(Box::new(over.try_map(map)?)),
            Node::Subquery(subquery) => {
                let operands = subquery.operands.iter().map(map).collect::<Result<_, E>>()?;
                Node::Subquery(Box::new(Subquery { operands, ..Subquery::clone(subquery) }))
            }
        };
        Ok(Self { node, data_type: self.data_type.clone() })
    }
}

/// The null of a type.
pub fn null_literal(kind: TypeKind) -> Expression {
    let value = ScalarValue::try_from(&kind.to_arrow()).unwrap_or(ScalarValue::Null);
    Expression::literal(value, kind.nullable())
}

/// Where a node stands in the script, for errors. Nodes are equal wherever they stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct At(pub Option<Place>);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

impl std::hash::Hash for At {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}
