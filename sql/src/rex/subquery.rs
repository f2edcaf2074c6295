//! Queries within expressions.
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::{At, Expression, Node};
use crate::rel::Rel;

/// What a query within an expression is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubqueryKind {
    /// For the value of its only column in its only row; null if it has none.
    Scalar,
    /// Whether a value is among its rows.
    In,
    /// Whether it has rows.
    Exists,
}

impl SubqueryKind {
    /// What plans call it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Scalar => "$SCALAR_QUERY",
            Self::In => "IN",
            Self::Exists => "EXISTS",
        }
    }
}

/// A query within an expression.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What it is asked.
    pub kind: SubqueryKind,
    /// What is looked for, of IN.
    pub operands: Vec<Expression>,
    /// Its rows. Columns of the queries around it are [`Node::Correlated`](super::Node::Correlated) there.
    pub query: Arc<Rel>,
    /// Where it stands.
    pub at: At,
}

/// Two queries are one only if they were analysed as one.
impl PartialEq for Subquery {
    fn eq(&self, other: &Self) -> bool {
        self.kind == other.kind && Arc::ptr_eq(&self.query, &other.query) && self.operands == other.operands
    }
}

impl Eq for Subquery {}

impl Hash for Subquery {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.kind.hash(state);
        self.operands.hash(state);
    }
}

/// Makes a relation that was analysed as part of one query part of another, which is so many queries further in: the columns of
/// queries around it are as many queries further out.
pub(crate) fn move_inwards(rel: &mut Rel, by: usize) {
    if by > 0 {
        shift(rel, 0, by);
    }
}

/// `within`: how many queries within expressions of the relation that is moved this one stands in. Columns of those stay what they
/// are.
fn shift(rel: &mut Rel, within: usize, by: usize) {
    for expression in rel.node.relation_mut().expressions_mut() {
        *expression = shifted(expression, within, by);
    }
    rel.node.relation_mut().inputs_mut().into_iter().for_each(|input| shift(input, within, by));
}

fn shifted(expression: &Expression, within: usize, by: usize) -> Expression {
    let mut expression = expression.map_operands(&mut |operand| shifted(operand, within, by));
    match &mut expression.node {
        Node::Correlated { level, .. } if *level > within => *level += by,
        Node::Subquery(subquery) => shift(Arc::make_mut(&mut subquery.query), within + 1, by),
        Node::Input(_)
        | Node::Literal(_)
        | Node::Call { .. }
        | Node::Aggregate(_)
        | Node::Correlated { .. }
        | Node::Over(_) => {}
    }
    expression
}
