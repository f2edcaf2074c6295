//! A condition and a projection, compiled together: what a Calc runs.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, ListArray, MapArray, RecordBatch, RecordBatchOptions, StructArray,
};
use arrow::compute::{FilterBuilder, prep_null_mask_filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use super::budget::Budget;
use super::compile::compile;
use super::context::EvaluationContext;
use super::kernel::from_datafusion;
use super::sharing::{Shared, share};
use super::text::expression_text;
use super::{Expression, Node};
use crate::error::{Error, Result};
use crate::not_null::VIOLATION;

/// Expressions over the rows of a batch.
pub struct Projection {
    expressions: Vec<(Arc<dyn PhysicalExpr>, Option<Nested>)>,
    budget: Budget,
}

/// Of an expression whose value is an ARRAY, MAP or ROW.
struct Nested {
    /// The type of its column.
    target: DataType,
    /// The expression as errors name it.
    text: String,
}

impl Nested {
    /// A column with the type that the plan gives it, which null within it may not fit.
    fn conform(&self, column: &ArrayRef) -> Result<ArrayRef> {
        conform(column, &self.target).map_err(|error| match error {
            Error::Arrow(error) => {
                Error::data(VIOLATION, format!("{} gave what its type does not have: {error}", self.text))
            }
            other => other,
        })
    }
}

impl Projection {
    /// Compiles expressions over the columns of `input`.
    pub fn compile(expressions: &[Expression], input: &SchemaRef, context: &EvaluationContext) -> Result<Self> {
        let expressions = expressions.iter().map(|expression| {
            let target = Some(expression.data_type.kind.to_arrow()).filter(DataType::is_nested);
            let nested = target.map(|target| Nested { target, text: expression_text(expression, input) });
            Ok((compile(expression, input, context)?, nested))
        });
        Ok(Self { expressions: expressions.collect::<Result<_>>()?, budget: context.budget.clone() })
    }

    /// A column for each expression. Fails with [`crate::error::Error::Data`] if a row cannot be evaluated.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>> {
        let rows = batch.num_rows();
        let values = self.expressions.iter().map(|(expression, nested)| {
            let value = expression.evaluate(batch).map_err(from_datafusion)?;
            let column = column(value, rows, &self.budget)?;
            match nested {
                Some(nested) => nested.conform(&column),
                None => Ok(column),
            }
        });
        values.collect()
    }
}

/// A value as a column. A constant is there once for each row then, and may be long.
fn column(value: ColumnarValue, rows: usize, budget: &Budget) -> Result<ArrayRef> {
    let bytes = match &value {
        ColumnarValue::Scalar(ScalarValue::Utf8View(Some(text))) => text.len(),
        ColumnarValue::Scalar(ScalarValue::BinaryView(Some(bytes))) => bytes.len(),
        _ => 0,
    };
    budget.claim(bytes.saturating_mul(rows))?;
    value.into_array(rows).map_err(from_datafusion)
}

/// A nested column with the names and nullability that its type gives to its fields.
pub(crate) fn conform(column: &ArrayRef, target: &DataType) -> Result<ArrayRef> {
    if column.data_type() == target {
        return Ok(column.clone());
    }
    Ok(match target {
        DataType::List(field) if matches!(column.data_type(), DataType::List(_)) => {
            let list = column.as_list::<i32>();
            let values = conform(list.values(), field.data_type())?;
            Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, list.nulls().cloned())?)
        }
        DataType::Struct(fields) if matches!(column.data_type(), DataType::Struct(_)) => {
            let row = column.as_struct();
            let columns = row.columns().iter().zip(fields).map(|(column, field)| conform(column, field.data_type()));
            let columns = columns.collect::<Result<Vec<_>>>()?;
            Arc::new(StructArray::try_new_with_length(fields.clone(), columns, row.nulls().cloned(), row.len())?)
        }
        DataType::Map(entries, sorted) if matches!(column.data_type(), DataType::Map(..)) => {
            let map = column.as_map();
            let pairs: ArrayRef = Arc::new(map.entries().clone());
            let pairs = conform(&pairs, entries.data_type())?.as_struct().clone();
            let nulls = map.nulls().cloned();
            Arc::new(MapArray::try_new(entries.clone(), map.offsets().clone(), pairs, nulls, *sorted)?)
        }
        _ => column.clone(),
    })
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

/// A condition and a projection: only the columns that the projection reads are filtered, and what several expressions
/// have in common is computed once.
pub struct Program {
    /// Computed for all rows, appended to the input.
    before: Stage,
    condition: Option<Condition>,
    /// The columns of the input and of `before` that are read after the condition.
    columns: Vec<usize>,
    projected: SchemaRef,
    /// Computed for the rows that passed, appended to `columns`.
    after: Stage,
    projection: Projection,
}

/// Columns that are computed one by one, each over those before it.
struct Stage {
    steps: Vec<(Arc<dyn PhysicalExpr>, SchemaRef)>,
    schema: SchemaRef,
    budget: Budget,
}

impl Stage {
    fn compile(common: &[Expression], input: &SchemaRef, context: &EvaluationContext) -> Result<Self> {
        let mut schema = input.clone();
        let mut steps = Vec::with_capacity(common.len());
        for expression in common {
            let compiled = compile(expression, &schema, context)?;
            let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
            fields.push(Arc::new(Field::new("common", expression.data_type.kind.to_arrow(), true)));
            schema = Arc::new(Schema::new(fields));
            steps.push((compiled, schema.clone()));
        }
        Ok(Self { steps, schema, budget: context.budget.clone() })
    }

    fn evaluate(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut batch = batch.clone();
        for (expression, schema) in &self.steps {
            let rows = batch.num_rows();
            let value = expression.evaluate(&batch).map_err(from_datafusion)?;
            let value = column(value, rows, &self.budget)?;
            let mut columns = batch.columns().to_vec();
            columns.push(value);
            batch = with_columns(schema, columns, rows)?;
        }
        Ok(batch)
    }
}

fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    // Nested columns may differ from the plan's types in the names and nullability of their fields.
    let same = schema.fields().iter().zip(&columns).all(|(field, column)| field.data_type() == column.data_type());
    let schema = if same {
        schema.clone()
    } else {
        let fields = schema.fields().iter().zip(&columns);
        let fields = fields.map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
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
        let all: Vec<Expression> = condition.into_iter().chain(projection).cloned().collect();
        let conditions = usize::from(condition.is_some());
        let Shared { common, expressions } = share(all, conditions, input.fields().len());
        let before = Stage::compile(&common, input, context)?;
        let (condition, projection) = expressions.split_at(conditions);
        let condition = condition.first().map(|condition| Condition::compile(condition, &before.schema, context));
        let columns = columns_of(projection, before.schema.fields().len());
        let projected: SchemaRef = Arc::new(before.schema.project(&columns)?);
        let moved: Vec<Expression> = projection
            .iter()
            .map(|expression| {
                expression.map_inputs(&mut |index, data_type| {
                    Expression::input(columns.binary_search(&index).unwrap_or(usize::MAX), data_type.clone())
                })
            })
            .collect();
        let eager = moved.len();
        let Shared { common, expressions } = share(moved, eager, columns.len());
        let after = Stage::compile(&common, &projected, context)?;
        let projection = Projection::compile(&expressions, &after.schema, context)?;
        Ok(Self { before, condition: condition.transpose()?, columns, projected, after, projection })
    }

    /// Filters and projects a batch.
    pub fn evaluate(&self, batch: &RecordBatch) -> Result<Selection> {
        let batch = &self.before.evaluate(batch)?;
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
        let filtered = self.after.evaluate(&with_columns(&self.projected, columns, rows)?)?;
        Ok(Selection { columns: self.projection.evaluate(&filtered)?, mask, rows })
    }
}

/// The columns that expressions read, in order.
fn columns_of(expressions: &[Expression], width: usize) -> Vec<usize> {
    let mut columns = Vec::new();
    for expression in expressions {
        expression.visit(&mut |e| {
            if let Node::Input(index) = e.node {
                columns.push(index);
            }
        });
    }
    columns.sort_unstable();
    columns.dedup();
    columns.retain(|column| *column < width);
    columns
}
