//! A condition and a projection, compiled together: what a Calc runs.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{FilterBuilder, prep_null_mask_filter};
use arrow::datatypes::SchemaRef;
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use super::compile::compile;
use super::context::EvaluationContext;
use super::kernel::from_datafusion;
use super::{Expression, Node};
use crate::operator::Result;

/// Expressions over the rows of a batch.
pub struct Projection {
    expressions: Vec<Arc<dyn PhysicalExpr>>,
}

impl Projection {
    /// Compiles expressions over the columns of `input`.
    pub fn compile(expressions: &[Expression], input: &SchemaRef, context: &EvaluationContext) -> Result<Self> {
        let expressions = expressions.iter().map(|expression| compile(expression, input, context));
        Ok(Self { expressions: expressions.collect::<Result<_>>()? })
    }

    /// A column for each expression. Fails with [`crate::operator::Error::Data`] if a row cannot be evaluated.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let rows = batch.num_rows();
        let values = self.expressions.iter().map(|expression| {
            let value = expression.evaluate(batch).map_err(from_datafusion)?;
            Ok(value.into_array(rows).map_err(from_datafusion)?)
        });
        values.collect()
    }
}

/// A condition over the rows of a batch.
pub struct Condition {
    expression: Arc<dyn PhysicalExpr>,
}

/// Which rows a condition is true for.
#[derive(Clone, Debug, PartialEq)]
pub enum Mask {
    /// All.
    All,
    /// None.
    None,
    /// Those whose bit is set; there are no nulls.
    Some(BooleanArray),
}

impl Condition {
    /// Compiles a BOOLEAN over the columns of `input`.
    pub fn compile(expression: &Expression, input: &SchemaRef, context: &EvaluationContext) -> Result<Self> {
        Ok(Self { expression: compile(expression, input, context)? })
    }

    /// The rows for which the condition is true: neither false nor unknown.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Mask> {
        match self.expression.evaluate(batch).map_err(from_datafusion)? {
            ColumnarValue::Scalar(ScalarValue::Boolean(Some(true))) => Ok(Mask::All),
            ColumnarValue::Scalar(_) => Ok(Mask::None),
            ColumnarValue::Array(array) => {
                let mask = array.as_boolean();
                let mask = if mask.null_count() > 0 { prep_null_mask_filter(mask) } else { mask.clone() };
                Ok(match mask.values().count_set_bits() {
                    0 => Mask::None,
                    set if set == mask.len() => Mask::All,
                    _ => Mask::Some(mask),
                })
            }
        }
    }
}

/// A condition and a projection: only the columns that the projection reads are filtered.
pub struct Program {
    condition: Option<Condition>,
    /// The columns of the input that the projection reads.
    columns: Vec<usize>,
    projected: SchemaRef,
    projection: Projection,
}

/// What a [`Program`] makes of a batch.
pub struct Selection {
    /// A column for each expression of the projection, over the rows that passed.
    pub columns: Vec<ArrayRef>,
    /// Which rows of the batch passed.
    pub mask: Mask,
    /// How many.
    pub rows: usize,
}

impl Program {
    /// Compiles over the columns of `input`.
    pub fn compile(
        condition: Option<&Expression>,
        projection: &[Expression],
        input: &SchemaRef,
        context: &EvaluationContext,
    ) -> Result<Self> {
        let condition = condition.map(|condition| Condition::compile(condition, input, context)).transpose()?;
        let mut columns = Vec::new();
        for expression in projection {
            expression.visit(&mut |e| {
                if let Node::Input(index) = e.node {
                    columns.push(index);
                }
            });
        }
        columns.sort_unstable();
        columns.dedup();
        columns.retain(|column| *column < input.fields().len());
        let projected: SchemaRef = Arc::new(input.project(&columns)?);
        let moved: Vec<Expression> = projection
            .iter()
            .map(|expression| {
                expression.map_inputs(&mut |index, data_type| {
                    Expression::input(columns.binary_search(&index).unwrap_or(usize::MAX), data_type.clone())
                })
            })
            .collect();
        let projection = Projection::compile(&moved, &projected, context)?;
        Ok(Self { condition, columns, projected, projection })
    }

    /// Filters and projects a batch.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Selection> {
        let mask = self.condition.as_ref().map_or(Ok(Mask::All), |condition| condition.evaluate(batch))?;
        let needed = self.columns.iter().map(|column| batch.column(*column));
        let (columns, rows) = match &mask {
            Mask::All => (needed.cloned().collect(), batch.num_rows()),
            Mask::None => (needed.map(|column| column.slice(0, 0)).collect(), 0),
            Mask::Some(mask) => {
                let filter = FilterBuilder::new(mask);
                let filter = if self.columns.len() > 1 { filter.optimize().build() } else { filter.build() };
                (needed.map(|column| filter.filter(column)).collect::<Result<Vec<_>, _>>()?, filter.count())
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let filtered = RecordBatch::try_new_with_options(self.projected.clone(), columns, &options)?;
        Ok(Selection { columns: self.projection.evaluate(&filtered)?, mask, rows })
    }
}
