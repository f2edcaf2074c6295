//! Operands of nested types: rows, arrays and maps of one type as one Arrow type.
//!
//! What is inside of a nested value may be called otherwise, or be nullable otherwise, than the type says that the plan gave: a column has
//! its table's fields, a constant those of its own type, and what a function makes is nullable throughout. Kernels that put values of
//! several operands together take one Arrow type only. So each operand comes with the names of its type, all of it nullable.
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;

use super::kernel::to_datafusion;
use super::program::conform;
use crate::error::Result;
use crate::types::LogicalType;

/// An operand whose values have the same Arrow type as those of any other of its type.
pub(super) fn operand(expression: Arc<dyn PhysicalExpr>, data_type: &LogicalType) -> Result<Arc<dyn PhysicalExpr>> {
    let target = data_type.kind.to_arrow();
    if !target.is_nested() {
        return Ok(expression);
    }
    let target = nullable_throughout(&target);
    if let Some(literal) = expression.downcast_ref::<Literal>() {
        return Ok(Arc::new(Literal::new(conformed(literal.value(), &target)?)));
    }
    Ok(Arc::new(Operand { expression, target }))
}

fn nullable_throughout(data_type: &DataType) -> DataType {
    let nullable = |field: &FieldRef| -> FieldRef {
        Arc::new(Field::new(field.name(), nullable_throughout(field.data_type()), true))
    };
    match data_type {
        DataType::List(item) => DataType::List(nullable(item)),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(nullable).collect()),
        // The pairs of a map are never null.
        DataType::Map(pairs, sorted) => {
            let inner = nullable_throughout(pairs.data_type());
            DataType::Map(Arc::new(Field::new(pairs.name(), inner, false)), *sorted)
        }
        other => other.clone(),
    }
}

fn conformed(value: &ScalarValue, target: &DataType) -> Result<ScalarValue> {
    if value.is_null() {
        return Ok(ScalarValue::try_from_array(&new_null_array(target, 1), 0)?);
    }
    Ok(ScalarValue::try_from_array(&conform(&value.to_array()?, target)?, 0)?)
}

#[derive(Debug)]
struct Operand {
    expression: Arc<dyn PhysicalExpr>,
    target: DataType,
}

// A derive would move the expression out of its reference.
impl PartialEq for Operand {
    fn eq(&self, other: &Self) -> bool {
        self.expression.eq(&other.expression) && self.target == other.target
    }
}

impl Eq for Operand {}

impl Hash for Operand {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.expression.hash(state);
        self.target.hash(state);
    }
}

impl PhysicalExpr for Operand {
    fn data_type(&self, _: &Schema) -> datafusion_common::Result<DataType> {
        Ok(self.target.clone())
    }

    fn nullable(&self, input: &Schema) -> datafusion_common::Result<bool> {
        self.expression.nullable(input)
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        Ok(match self.expression.evaluate(batch)? {
            ColumnarValue::Array(column) => {
                ColumnarValue::Array(conform(&column, &self.target).map_err(to_datafusion)?)
            }
            ColumnarValue::Scalar(value) => {
                ColumnarValue::Scalar(conformed(&value, &self.target).map_err(to_datafusion)?)
            }
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.expression]
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
        let expression = children.into_iter().next().unwrap_or_else(|| self.expression.clone());
        Ok(Arc::new(Self { expression, target: self.target.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.expression, f)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int32Array, RecordBatchOptions, StructArray};
    use datafusion_physical_expr::expressions::Column;

    use super::*;
    use crate::types::{RowField, TypeKind};

    fn row(field: Field) -> ArrayRef {
        let values: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        Arc::new(StructArray::new(vec![field].into(), vec![values], None))
    }

    /// Failed before: a CASE of a row that is computed and of a constant one failed where it ran, and so did ARRAY_APPEND and NULLIF.
    #[test]
    fn a_column_and_constants_of_one_type_are_of_one_arrow_type() {
        let data_type = TypeKind::Row(vec![RowField::new("a", TypeKind::Int.not_null())]).not_null();
        let column = row(Field::new("x", DataType::Int32, false));
        let schema = Arc::new(Schema::new(vec![Field::new("c", column.data_type().clone(), false)]));
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(schema, vec![column], &options).unwrap();
        let constant = ScalarValue::try_from_array(&row(Field::new("a", DataType::Int32, false)), 0).unwrap();
        let null = ScalarValue::try_from_array(&new_null_array(&constant.data_type(), 1), 0).unwrap();
        let expressions: [Arc<dyn PhysicalExpr>; 3] =
            [Arc::new(Column::new("c", 0)), Arc::new(Literal::new(constant)), Arc::new(Literal::new(null))];
        let expected = DataType::Struct(vec![Field::new("a", DataType::Int32, true)].into());
        for expression in expressions {
            let operand = operand(expression, &data_type).unwrap();
            assert_eq!(operand.data_type(&batch.schema()).unwrap(), expected);
            assert_eq!(*operand.evaluate(&batch).unwrap().into_array(1).unwrap().data_type(), expected);
        }
    }
}
