//! AND, OR, NOT and the tests of a truth value, three-valued.
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch};
use arrow::compute;
use arrow::datatypes::{DataType, Schema};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;

use super::compile::Site;
use super::kernel::{Args, Bool, Kernel};
use super::{Expression, Node};
use crate::error::Result;
use crate::functions::catalogue;

/// AND or OR of two or more operands. Operands after the first are evaluated only for rows that need them, if
/// evaluating them for others could fail or would be slow.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Connective {
    /// AND; else OR.
    and: bool,
    operands: Vec<Arc<dyn PhysicalExpr>>,
    /// For each operand: whether it is evaluated for all rows in any case.
    eager: Vec<bool>,
}

/// Compiles AND and OR of operands of which none is a call of the same.
pub(super) fn connective(
    and: bool,
    sources: &[&Expression],
    operands: Vec<Arc<dyn PhysicalExpr>>,
) -> Arc<dyn PhysicalExpr> {
    let eager = sources.iter().map(|source| is_cheap(source)).collect();
    Arc::new(Connective { and, operands, eager })
}

/// Whether an expression is quick to evaluate and never fails.
fn is_cheap(expression: &Expression) -> bool {
    match &expression.node {
        Node::Input(_) | Node::Literal(_) => true,
        Node::Call { function, operands } => is_cheap_function(function) && operands.iter().all(is_cheap),
    }
}

/// Whether a call is, if its operands are.
pub(super) fn is_cheap_function(function: &str) -> bool {
    catalogue::lookup(function).is_some_and(|function| function.is_cheap)
}

impl PhysicalExpr for Connective {
    fn data_type(&self, _input: &Schema) -> datafusion_common::Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _input: &Schema) -> datafusion_common::Result<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> datafusion_common::Result<ColumnarValue> {
        let rows = batch.num_rows();
        let mut result: Option<BooleanArray> = None;
        for (operand, eager) in self.operands.iter().zip(&self.eager) {
            let next = match &result {
                None => operand.evaluate(batch)?,
                Some(known) if *eager => {
                    if !undecided(known, self.and).has_true() {
                        break;
                    }
                    operand.evaluate(batch)?
                }
                Some(known) => {
                    let open = undecided(known, self.and);
                    if !open.has_true() {
                        break;
                    }
                    operand.evaluate_selection(batch, &open)?
                }
            };
            let next = match next {
                ColumnarValue::Scalar(ScalarValue::Boolean(Some(value))) if value == self.and => continue,
                ColumnarValue::Scalar(ScalarValue::Boolean(Some(value))) if result.is_none() => {
                    return Ok(ColumnarValue::Scalar(ScalarValue::Boolean(Some(value))));
                }
                other => other.into_array(rows)?,
            };
            let next = next.as_boolean();
            result = Some(match &result {
                None => next.clone(),
                Some(known) if self.and => compute::and_kleene(known, next)?,
                Some(known) => compute::or_kleene(known, next)?,
            });
        }
        Ok(match result {
            Some(array) => ColumnarValue::Array(Arc::new(array)),
            None => ColumnarValue::Scalar(ScalarValue::Boolean(Some(self.and))),
        })
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        self.operands.iter().collect()
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> datafusion_common::Result<Arc<dyn PhysicalExpr>> {
        Ok(Arc::new(Self { and: self.and, operands: children, eager: self.eager.clone() }))
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Connective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.and { " AND " } else { " OR " };
        for (i, operand) in self.operands.iter().enumerate() {
            write!(f, "{}({operand})", if i > 0 { word } else { "" })?;
        }
        Ok(())
    }
}

/// The rows whose result later operands can still change: for AND those not false, for OR those not true.
fn undecided(known: &BooleanArray, and: bool) -> BooleanArray {
    let values = if and { known.values().clone() } else { !known.values() };
    let open = match known.nulls() {
        Some(nulls) => &values | &!nulls.inner(),
        None => values,
    };
    BooleanArray::new(open, None)
}

/// NOT, IS_TRUE and its kin, IS_NULL, IS_NOT_NULL.
pub(crate) fn build(site: &Site) -> Result<Kernel> {
    Ok(match site.function {
        "NOT" => Box::new(|args| Ok(Arc::new(compute::not(boolean(args)?)?))),
        "IS_NULL" | "IS_UNKNOWN" => Box::new(|args| Ok(Arc::new(compute::is_null(args.array(0))?))),
        "IS_NOT_NULL" | "IS_NOT_UNKNOWN" => Box::new(|args| Ok(Arc::new(compute::is_not_null(args.array(0))?))),
        "IS_TRUE" => Box::new(|args| truth(args, |value| value == Some(true))),
        "IS_NOT_TRUE" => Box::new(|args| truth(args, |value| value != Some(true))),
        "IS_FALSE" => Box::new(|args| truth(args, |value| value == Some(false))),
        "IS_NOT_FALSE" => Box::new(|args| truth(args, |value| value != Some(false))),
        _ => return Err(site.unsupported()),
    })
}

fn boolean(args: &Args) -> Result<&BooleanArray> {
    args.read::<Bool>(0)?;
    Ok(args.array(0).as_boolean())
}

fn truth(args: &Args, test: impl Fn(Option<bool>) -> bool) -> Result<ArrayRef> {
    let value = args.read::<Bool>(0)?;
    args.booleans(|row| Ok(Some(test(value.get(row)))))
}
