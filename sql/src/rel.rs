//! Relational algebra: what a query means, with every name resolved and every expression typed. The analyser makes it,
//! the planner turns it into a job graph.
use std::sync::Arc;

use wiesel_expressions::types::{LogicalType, RowField};

use crate::catalog::ResolvedTable;
use crate::rex::Expression;

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
            extent.parts += rel.node.relation().expressions().into_iter().map(Expression::weight).sum::<usize>();
            waiting.extend(rel.node.relation().inputs().into_iter().map(|input| (input, level + 1)));
        }
        extent
    }
}

/// The operators. What the planner does with each of them is in a file of its own: `planner/relations`.
#[derive(Clone, Debug)]
pub enum RelNode {
    /// What the connector gives of a table.
    Scan(LogicalTableScan),
    /// What is read of a table. The planner makes it of a scan.
    Source(LogicalSource),
    /// Constant rows.
    Values(LogicalValues),
    /// Expressions over the input.
    Project(LogicalProject),
    /// Rows for which a condition is true.
    Filter(LogicalFilter),
    /// Declares a column of the input its rowtime.
    WatermarkAssigner(LogicalWatermarkAssigner),
    /// Groups.
    Aggregate(LogicalAggregate),
    /// TUMBLE, HOP, CUMULATE.
    WindowTableFunction(LogicalWindowTableFunction),
    /// All rows of all inputs.
    Union(LogicalUnion),
}

/// What the connector gives of a table: the physical columns, then the metadata columns as they are declared.
#[derive(Clone, Debug)]
pub struct LogicalTableScan {
    /// The table.
    pub table: Arc<ResolvedTable>,
}

/// Columns of a table, or fields inside them, in the order of [`Rel::fields`].
#[derive(Clone, Debug)]
pub struct LogicalSource {
    /// The table.
    pub table: Arc<ResolvedTable>,
    /// What the connector can give.
    pub given: Arc<SourceColumns>,
    /// Paths into that.
    pub projection: Vec<Vec<usize>>,
    /// Conditions over it that the source applies itself.
    pub filters: Vec<Expression>,
}

/// What a connector can give of a table.
#[derive(Clone, Debug)]
pub struct SourceColumns {
    /// The physical columns, then all metadata that the connector has: that which the table declares by the table's name.
    pub fields: Vec<RowField>,
    /// The keys of the metadata.
    pub keys: Vec<String>,
}

impl SourceColumns {
    /// The key of a column that is metadata.
    pub fn key(&self, column: usize) -> Option<&str> {
        let physical = self.fields.len() - self.keys.len();
        column.checked_sub(physical).and_then(|index| self.keys.get(index)).map(String::as_str)
    }
}

/// Constant rows.
#[derive(Clone, Debug)]
pub struct LogicalValues {
    /// One expression a column; there may be no column.
    pub rows: Vec<Vec<Expression>>,
}

/// Expressions over the input; the names are in [`Rel::fields`].
#[derive(Clone, Debug)]
pub struct LogicalProject {
    /// Rows.
    pub input: Box<Rel>,
    /// One a column.
    pub expressions: Vec<Expression>,
}

/// Rows for which the condition is true.
#[derive(Clone, Debug)]
pub struct LogicalFilter {
    /// Rows.
    pub input: Box<Rel>,
    /// A BOOLEAN.
    pub condition: Expression,
}

/// Declares a column of the input its rowtime.
#[derive(Clone, Debug)]
pub struct LogicalWatermarkAssigner {
    /// Rows.
    pub input: Box<Rel>,
    /// The column.
    pub rowtime: usize,
    /// The watermark of a row, over the input.
    pub watermark: Expression,
}

/// Groups: the keys, then the aggregates. `SELECT DISTINCT` is one without aggregates.
#[derive(Clone, Debug)]
pub struct LogicalAggregate {
    /// Rows; keys, arguments and filters are columns of it (a projection below computes them).
    pub input: Box<Rel>,
    /// Columns of the input.
    pub keys: Vec<usize>,
    /// One a column after the keys.
    pub aggregates: Vec<Aggregate>,
}

/// TUMBLE, HOP, CUMULATE: the input and `window_start`, `window_end`, `window_time`.
#[derive(Clone, Debug)]
pub struct LogicalWindowTableFunction {
    /// Rows.
    pub input: Box<Rel>,
    /// Which windows.
    pub window: Window,
}

/// All rows of all inputs, which have equal types.
#[derive(Clone, Debug)]
pub struct LogicalUnion {
    /// Rows.
    pub inputs: Vec<Rel>,
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
