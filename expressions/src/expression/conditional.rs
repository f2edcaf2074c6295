//! CASE, IF, COALESCE, NULLIF. Of CASE and IF only the branch that a row takes is evaluated for it; COALESCE evaluates all of its
//! operands, as in Flink: it fails for a row of which a later operand fails, though an earlier one is not null.
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute;
use arrow::compute::kernels::zip::zip;
use arrow::datatypes::{DataType, Schema};
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::CaseExpr;

use super::compile::Site;
use super::kernel::{Kernel, from_datafusion};
use crate::error::Result;

/// `CASE` with when and then in turn and the else last, and `IF`.
pub(super) fn case(site: &Site, mut operands: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
    let otherwise = if operands.len() % 2 == 1 { operands.pop() } else { None };
    if operands.is_empty() {
        return otherwise.ok_or_else(|| site.unsupported());
    }
    let branches = operands.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect();
    Ok(Arc::new(CaseExpr::try_new(None, branches, otherwise).map_err(from_datafusion)?))
}

/// The first operand that is not null.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Coalesce {
    operands: Vec<Arc<dyn PhysicalExpr>>,
    result: DataType,
}

/// Compiles COALESCE and IFNULL. What stands behind an operand that is never null is not evaluated.
pub(super) fn coalesce(site: &Site, mut operands: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
    if let Some(last) = site.operands.iter().position(|operand| !operand.data_type.nullable) {
        operands.truncate(last + 1);
    }
    Ok(Arc::new(Coalesce { operands, result: site.arrow_type() }))
}

/// The value, and the other where it is null.
fn or(value: ColumnarValue, other: ColumnarValue) -> datafusion_common::Result<ColumnarValue> {
    let array = match value {
        ColumnarValue::Scalar(scalar) if scalar.is_null() => return Ok(other),
        ColumnarValue::Array(array) if array.logical_null_count() > 0 => array,
        value => return Ok(value),
    };
    let missing = compute::is_null(&array)?;
    Ok(ColumnarValue::Array(match other {
        ColumnarValue::Scalar(scalar) => zip(&missing, &scalar.to_scalar()?, &array)?,
        ColumnarValue::Array(other) => zip(&missing, &other, &array)?,
    }))
}

impl PhysicalExpr for Coalesce {
    fn data_type(&self, _input: &Schema) -> datafusion_common::Result<DataType> {
        Ok(self.result.clone())
    }

    fn nullable(&self, _input: &Schema) -> datafusion_common::Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        let rows = batch.num_rows();
        let Some((first, rest)) = self.operands.split_first() else {
            return Ok(ColumnarValue::Array(arrow::array::new_null_array(&self.result, rows)));
        };
        let mut value = first.evaluate(batch)?;
        for operand in rest {
            value = or(value, operand.evaluate(batch)?)?;
        }
        Ok(value)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.operands.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { operands: children, result: self.result.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Coalesce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("COALESCE(")?;
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}{operand}", if i > 0 { ", " } else { "" })?;
        }
        f.write_str(")")
    }
}

/// NULLIF: null where both operands are equal, else the first.
pub(crate) fn nullif(site: &Site) -> Result<Kernel> {
    let equal = super::comparison::build(&Site { function: "=", ..*site })?;
    Ok(Box::new(move |args| {
        let equal = equal(args)?;
        Ok(compute::nullif(&args.expanded(0)?, equal.as_boolean())?)
    }))
}
