//! Subexpressions that several expressions have in common, so that they are computed once a batch.
//!
//! Equal subexpressions get one number, from the leaves up; what is asked of a subexpression is then asked of its number, and
//! each node of the trees is visited a bounded number of times however deep they are.
use std::collections::HashMap;

use super::{Expression, Node, logic};
use crate::functions::is_deterministic;
use crate::types::LogicalType;

/// What [`share`] takes out: expressions over the columns, to be appended to them in order.
pub(super) struct Shared {
    /// The common subexpressions.
    pub common: Vec<Expression>,
    /// The expressions, with columns from `columns` on in place of the common ones.
    pub expressions: Vec<Expression>,
}

/// Takes out subexpressions that stand more than once in `expressions` and that one of the first `eager` expressions
/// evaluates for every row, so that computing them for every row cannot fail where it did not before.
pub(super) fn share(expressions: Vec<Expression>, eager: usize, columns: usize) -> Shared {
    let mut forest = Forest::default();
    let roots: Vec<usize> = expressions.iter().map(|expression| forest.number(expression)).collect();
    let mut counts = Counts::new(forest.kinds.len());
    for (at, root) in roots.iter().enumerate() {
        counts.add(&forest, *root, 1, isize::from(at < eager));
    }
    // The largest first: what is within it goes with it.
    let mut candidates: Vec<usize> = (0..forest.kinds.len()).filter(|kind| forest.is_worthwhile(*kind)).collect();
    candidates.sort_by_key(|kind| std::cmp::Reverse((forest.kinds[*kind].size, *kind)));
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut common = Vec::new();
    for kind in candidates {
        let (all, always) = (counts.all[kind], counts.eager[kind]);
        if all > 1 && always > 0 {
            counts.add(&forest, kind, -all, -always);
            places.insert(kind, columns + common.len());
            common.push(forest.kinds[kind].expression.clone());
        }
    }
    if common.is_empty() {
        return Shared { common, expressions };
    }
    let expressions = roots.iter().map(|root| forest.with_columns(*root, &places)).collect();
    Shared { common, expressions }
}

/// A kind of subexpression: all that are equal.
struct Kind<'a> {
    /// One of them.
    expression: &'a Expression,
    operands: Vec<usize>,
    /// How many nodes.
    size: usize,
    deterministic: bool,
    reads_input: bool,
    /// As [`logic::is_cheap`].
    cheap: bool,
}

/// What makes a node equal to another of equal operands.
#[derive(PartialEq, Eq, Hash)]
enum Shape<'a> {
    Input(usize),
    Literal(&'a datafusion_common::ScalarValue),
    Call(&'a str, Vec<usize>),
}

/// The kinds of the subexpressions of several trees.
#[derive(Default)]
struct Forest<'a> {
    kinds: Vec<Kind<'a>>,
    known: HashMap<(Shape<'a>, &'a LogicalType), usize>,
}

impl<'a> Forest<'a> {
    /// The number of an expression's kind.
    fn number(&mut self, expression: &'a Expression) -> usize {
        let (shape, operands) = match &expression.node {
            Node::Input(index) => (Shape::Input(*index), Vec::new()),
            Node::Literal(value) => (Shape::Literal(value), Vec::new()),
            Node::Call { function, operands } => {
                let operands: Vec<usize> = operands.iter().map(|operand| self.number(operand)).collect();
                (Shape::Call(function, operands.clone()), operands)
            }
        };
        let next = self.kinds.len();
        let number = *self.known.entry((shape, &expression.data_type)).or_insert(next);
        if number == next {
            let below = || operands.iter().map(|operand| &self.kinds[*operand]);
            let call = match &expression.node {
                Node::Call { function, operands } => Some((function.as_str(), operands.as_slice())),
                _ => None,
            };
            let is_own = call.is_none_or(|(function, operands)| is_deterministic(function, operands));
            let kind = Kind {
                expression,
                size: 1 + below().map(|kind| kind.size).sum::<usize>(),
                deterministic: is_own && below().all(|kind| kind.deterministic),
                reads_input: matches!(expression.node, Node::Input(_)) || below().any(|kind| kind.reads_input),
                cheap: call.is_none_or(|(function, _)| logic::is_cheap_function(function))
                    && below().all(|kind| kind.cheap),
                operands,
            };
            self.kinds.push(kind);
        }
        number
    }

    /// Whether computing a subexpression once instead of twice pays.
    fn is_worthwhile(&self, kind: usize) -> bool {
        let kind = &self.kinds[kind];
        let Node::Call { function, .. } = &kind.expression.node else { return false };
        kind.size > 1 && function != "FIELD" && kind.deterministic && kind.reads_input
    }

    /// Whether an operand is evaluated whenever its call is.
    fn always_evaluates(&self, kind: usize, index: usize) -> bool {
        let Node::Call { function, .. } = &self.kinds[kind].expression.node else { return false };
        match function.as_str() {
            "AND" | "OR" => index == 0 || self.kinds[self.kinds[kind].operands[index]].cheap,
            "CASE" | "IF" | "COALESCE" | "IFNULL" => index == 0,
            _ => true,
        }
    }

    /// An expression of this kind, with the columns in place of the kinds that have one.
    fn with_columns(&self, kind: usize, places: &HashMap<usize, usize>) -> Expression {
        let Kind { expression, operands, .. } = &self.kinds[kind];
        if let Some(column) = places.get(&kind) {
            return Expression::input(*column, expression.data_type.clone());
        }
        match &expression.node {
            Node::Call { function, .. } => {
                let operands = operands.iter().map(|operand| self.with_columns(*operand, places)).collect();
                Expression::call(function.clone(), operands, expression.data_type.clone())
            }
            _ => (*expression).clone(),
        }
    }
}

/// How often each kind stands in the expressions, what has a column of its own apart.
struct Counts {
    all: Vec<isize>,
    /// Where it is evaluated for every row.
    eager: Vec<isize>,
}

impl Counts {
    fn new(kinds: usize) -> Self {
        Self { all: vec![0; kinds], eager: vec![0; kinds] }
    }

    /// So many more of a kind, and of all that is within it.
    fn add(&mut self, forest: &Forest, kind: usize, all: isize, eager: isize) {
        self.all[kind] += all;
        self.eager[kind] += eager;
        for (index, operand) in forest.kinds[kind].operands.iter().enumerate() {
            let eager = if forest.always_evaluates(kind, index) { eager } else { 0 };
            self.add(forest, *operand, all, eager);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TypeKind;

    fn column(index: usize) -> Expression {
        Expression::input(index, TypeKind::Int.nullable())
    }

    fn call(function: &str, operands: &[&Expression]) -> Expression {
        let operands = operands.iter().map(|operand| (*operand).clone()).collect();
        Expression::call(function, operands, TypeKind::Int.nullable())
    }

    #[test]
    fn the_largest_is_taken_with_what_is_within_it() {
        let sum = call("+", &[&column(0), &column(1)]);
        let product = call("*", &[&sum, &column(1)]);
        let Shared { common, expressions } = share(vec![product.clone(), call("NEG", &[&product]), sum.clone()], 3, 2);
        assert_eq!(common, std::slice::from_ref(&product), "the sum stands alone once the product has a column");
        assert_eq!(expressions, [column(2), call("NEG", &[&column(2)]), sum.clone()]);
        let Shared { common, expressions } =
            share(vec![product.clone(), product.clone(), sum.clone(), sum.clone()], 4, 2);
        assert_eq!(common, [product, sum]);
        assert_eq!(expressions, [column(2), column(2), column(3), column(3)]);
    }

    #[test]
    fn what_no_row_may_need_is_not_computed_for_every_row() {
        let inverse = call("/", &[&column(0), &column(1)]);
        let case = call("CASE", &[&column(2), &inverse, &inverse]);
        assert!(share(vec![case.clone()], 1, 3).common.is_empty());
        assert!(share(vec![case.clone(), inverse.clone()], 1, 3).common.is_empty(), "only the first is eager");
        assert_eq!(share(vec![inverse.clone(), case], 1, 3).common, [inverse]);
    }

    #[test]
    fn what_gives_another_value_each_time_stays_where_it_is() {
        let random = call("+", &[&column(0), &call("RAND", &[])]);
        assert!(share(vec![random.clone(), random], 2, 1).common.is_empty());
    }
}
