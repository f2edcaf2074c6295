//! Relational algebra: what a query means, with every name resolved and every expression typed. The analyser makes it,
//! the planner turns it into a job graph.
use std::sync::Arc;

use wiesel_operators::expression::Expression;
use wiesel_operators::types::{LogicalType, RowField};

use crate::catalog::ResolvedTable;

/// A relation: an operator over its inputs, and its columns.
#[derive(Clone, Debug)]
pub struct Rel {
    /// The operator.
    pub node: RelNode,
    /// The columns it gives. Names may repeat inside a query; they are made unique at its top.
    pub fields: Vec<RowField>,
}

/// How much a relation is made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent {
    /// Relations.
    pub relations: usize,
    /// The types of their columns, and the parts of their expressions; a long text counts as several.
    pub parts: usize,
    /// How many relations stand over each other.
    pub depth: usize,
}

impl Extent {
    /// That of both beside each other.
    pub fn and(self, other: Self) -> Self {
        Self {
            relations: self.relations.saturating_add(other.relations),
            parts: self.parts.saturating_add(other.parts),
            depth: self.depth.max(other.depth),
        }
    }
}

impl Rel {
    /// How much it is made of, itself included.
    pub fn extent(&self) -> Extent {
        let mut extent = Extent::default();
        let mut waiting = vec![(self, 1)];
        while let Some((rel, level)) = waiting.pop() {
            extent.relations += 1;
            extent.depth = extent.depth.max(level);
            extent.parts += rel.fields.iter().map(|field| field.data_type.parts()).sum::<usize>();
            extent.parts += rel.node.expressions().map(Expression::weight).sum::<usize>();
            match &rel.node {
                RelNode::Scan(_) | RelNode::Source { .. } | RelNode::Values(_) => {}
                RelNode::Project { input, .. }
                | RelNode::Filter { input, .. }
                | RelNode::WatermarkAssigner { input, .. }
                | RelNode::Aggregate { input, .. }
                | RelNode::WindowTableFunction { input, .. } => waiting.push((input, level + 1)),
                RelNode::Union(inputs) => waiting.extend(inputs.iter().map(|input| (input, level + 1))),
            }
        }
        extent
    }
}

impl RelNode {
    /// Its own expressions.
    fn expressions(&self) -> Box<dyn Iterator<Item = &Expression> + '_> {
        match self {
            Self::Values(rows) => Box::new(rows.iter().flatten()),
            Self::Project { expressions, .. } | Self::Source { filters: expressions, .. } => {
                Box::new(expressions.iter())
            }
            Self::Filter { condition: expression, .. } | Self::WatermarkAssigner { watermark: expression, .. } => {
                Box::new(std::iter::once(expression))
            }
            Self::Scan(_) | Self::Aggregate { .. } | Self::WindowTableFunction { .. } | Self::Union(_) => {
                Box::new(std::iter::empty())
            }
        }
    }
}

/// The operators.
#[derive(Clone, Debug)]
pub enum RelNode {
    /// The physical columns of a table.
    Scan(Arc<ResolvedTable>),
    /// What is read of a table: columns, or fields inside them, in the order of [`Rel::fields`]. The planner makes it.
    Source {
        /// The table.
        table: Arc<ResolvedTable>,
        /// Paths into its physical columns.
        projection: Vec<Vec<usize>>,
        /// Conditions over the table's physical columns that the source applies itself.
        filters: Vec<Expression>,
    },
    /// Constant rows.
    Values(Vec<Vec<Expression>>),
    /// Expressions over the input; the names are in [`Rel::fields`].
    Project {
        /// Rows.
        input: Box<Rel>,
        /// One a column.
        expressions: Vec<Expression>,
    },
    /// Rows for which the condition is true.
    Filter {
        /// Rows.
        input: Box<Rel>,
        /// A BOOLEAN.
        condition: Expression,
    },
    /// Declares a column of the input its rowtime.
    WatermarkAssigner {
        /// Rows.
        input: Box<Rel>,
        /// The column.
        rowtime: usize,
        /// The watermark of a row, over the input.
        watermark: Expression,
    },
    /// Groups: the keys, then the aggregates. `SELECT DISTINCT` is one without aggregates.
    Aggregate {
        /// Rows; keys, arguments and filters are columns of it (a projection below computes them).
        input: Box<Rel>,
        /// Columns of the input.
        keys: Vec<usize>,
        /// One a column after the keys.
        aggregates: Vec<Aggregate>,
    },
    /// TUMBLE, HOP, CUMULATE: the input and `window_start`, `window_end`, `window_time`.
    WindowTableFunction {
        /// Rows.
        input: Box<Rel>,
        /// Which windows.
        window: Window,
    },
    /// All rows of all inputs, which have equal types.
    Union(Vec<Rel>),
}

/// A call of an aggregate function.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// COUNT, SUM, AVG, MIN, MAX, ... in upper case.
    pub function: String,
    /// Columns of the input.
    pub arguments: Vec<usize>,
    /// `DISTINCT`.
    pub distinct: bool,
    /// `FILTER (WHERE …)`: a BOOLEAN column of the input.
    pub filter: Option<usize>,
    /// What it gives.
    pub data_type: LogicalType,
}

impl Aggregate {
    /// The same call over other columns: `place` gives where a column is there.
    pub(crate) fn over(&self, mut place: impl FnMut(usize) -> usize) -> Self {
        Self {
            arguments: self.arguments.iter().map(|column| place(*column)).collect(),
            filter: self.filter.map(&mut place),
            ..self.clone()
        }
    }
}

/// The windows of a window table function; milliseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Of which kind.
    pub kind: wiesel_proto::WindowKind,
    /// Length.
    pub size: i64,
    /// HOP: from one to the next; CUMULATE: the step.
    pub slide: i64,
    /// Shift of all boundaries.
    pub offset: i64,
    /// The time attribute, a column of the input.
    pub time: usize,
}
