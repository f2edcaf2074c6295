//! From an expression to vectorised evaluation.
use std::sync::Arc;

use arrow::array::Array;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion_common::ScalarValue;
use datafusion_expr::ColumnarValue;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use wiesel_common::ending;

use super::context::EvaluationContext;
use super::kernel::{Call, Kernel, from_datafusion};
use super::{Expression, Node, conditional, logic, nested, text_bytes};
use crate::error::{Error, Result};
use crate::functions;
use crate::types::{LogicalType, TypeKind};

/// A call that is being compiled: what a function sees of it to prepare its kernel.
pub(crate) struct Site<'a> {
    pub function: &'a str,
    pub operands: &'a [Expression],
    pub data_type: &'a LogicalType,
    pub context: &'a EvaluationContext,
}

impl Site<'_> {
    /// The type of an operand.
    pub fn operand_type(&self, index: usize) -> Result<&TypeKind> {
        self.operands.get(index).map(|operand| &operand.data_type.kind).ok_or_else(|| {
            Error::Plan(format!("{} needs {} operands, but has {}", self.function, index + 1, self.operands.len()))
        })
    }

    /// The constant that an operand is.
    pub fn literal(&self, index: usize) -> Option<&ScalarValue> {
        match self.operands.get(index).map(|operand| &operand.node) {
            Some(Node::Literal(value)) => Some(value),
            _ => None,
        }
    }

    /// The constant string that an operand is; none for null too.
    pub fn text(&self, index: usize) -> Option<&str> {
        match self.literal(index)? {
            ScalarValue::Utf8View(text) | ScalarValue::Utf8(text) => text.as_deref(),
            _ => None,
        }
    }

    /// The error for a call whose operands have types that the function does not take.
    pub fn unsupported(&self) -> Error {
        let operands: Vec<String> = self.operands.iter().map(|operand| operand.data_type.kind.to_string()).collect();
        Error::Plan(format!("{}({}) giving {} is not supported", self.function, operands.join(", "), self.data_type))
    }

    /// The Arrow type of the result.
    pub fn arrow_type(&self) -> arrow::datatypes::DataType {
        self.data_type.kind.to_arrow()
    }
}

/// Compiles an expression over the columns of `input`.
///
/// Fails with [`Error::Plan`] if a function is unknown or does not take the operands it is given, and with [`Error::Cancelled`]
/// if the task ends meanwhile: thousands of constant patterns take long.
pub fn compile(
    expression: &Expression,
    input: &SchemaRef,
    context: &EvaluationContext,
) -> Result<Arc<dyn PhysicalExpr>> {
    ending::check()?;
    Ok(match &expression.node {
        Node::Input(index) => {
            let field = input.fields().get(*index).ok_or_else(|| {
                Error::Plan(format!("column {index} of an input with {} columns", input.fields().len()))
            })?;
            let expected = expression.data_type.kind.to_arrow();
            if !same_layout(field.data_type(), &expected) {
                let (name, found) = (field.name(), field.data_type());
                return Err(Error::Plan(format!("column `{name}` is {found}, but the plan expects {expected}")));
            }
            Arc::new(Column::new(field.name(), *index))
        }
        Node::Literal(value) => Arc::new(Literal::new(value.clone())),
        Node::Call { function, operands } => {
            let site = Site { function, operands, data_type: &expression.data_type, context };
            if let Some(special) = special_form(&site, input)? {
                return Ok(fold(special));
            }
            let build = functions::kernel(function)
                .ok_or_else(|| Error::Plan(format!("the function {function} is not supported")))?;
            if operands.is_empty() && !functions::takes_nothing(function) {
                return Err(Error::Plan(format!("{function} without operands")));
            }
            let kernel: Kernel = build(&site)?;
            let operands = match function.as_str() {
                "||" => chain(function, operands),
                _ => operands.iter().collect(),
            };
            let call = Call {
                name: function.clone(),
                operands: compile_all(&operands, input, context)?,
                kernel: Arc::new(kernel),
                result: Arc::new(Field::new(function, expression.data_type.kind.to_arrow(), true)),
                deterministic: functions::is_deterministic(function, site.operands),
                budget: context.budget.clone(),
            };
            fold(Arc::new(call))
        }
    })
}

fn compile_all(
    expressions: &[&Expression],
    input: &SchemaRef,
    context: &EvaluationContext,
) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
    expressions.iter().map(|expression| compile_operand(expression, input, context)).collect()
}

fn compile_operand(
    expression: &Expression,
    input: &SchemaRef,
    context: &EvaluationContext,
) -> Result<Arc<dyn PhysicalExpr>> {
    nested::operand(compile(expression, input, context)?, &expression.data_type)
}

/// The operands of a call of an associative function, with those of calls of it among them in their place: one call joins
/// ten thousand strings once, where calls within each other would copy the beginning ten thousand times.
fn chain<'a>(function: &str, operands: &'a [Expression]) -> Vec<&'a Expression> {
    let mut all = Vec::with_capacity(operands.len());
    let mut waiting: Vec<&Expression> = operands.iter().rev().collect();
    while let Some(operand) = waiting.pop() {
        match &operand.node {
            Node::Call { function: inner, operands } if inner == function => waiting.extend(operands.iter().rev()),
            _ => all.push(operand),
        }
    }
    all
}

/// Arrow types that hold the same values, whatever inner fields are called or whether they may be null.
fn same_layout(left: &arrow::datatypes::DataType, right: &arrow::datatypes::DataType) -> bool {
    left == right || left.equals_datatype(right) || (left.is_nested() && right.is_nested())
}

/// Forms that do not evaluate all their operands on all rows.
fn special_form(site: &Site, input: &SchemaRef) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let operands = || -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        site.operands.iter().map(|operand| compile_operand(operand, input, site.context)).collect()
    };
    Ok(Some(match site.function {
        "AND" | "OR" => {
            let sources = chain(site.function, site.operands);
            logic::connective(site.function == "AND", &sources, compile_all(&sources, input, site.context)?)
        }
        "CASE" | "IF" => conditional::case(site, operands()?)?,
        "COALESCE" | "IFNULL" => conditional::coalesce(site, operands()?)?,
        "IN" => match super::comparison::in_list(site, operands, input)? {
            Some(list) => list,
            None => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

/// A constant of so many bytes may always stand for the call that gives it. A larger one must not be larger than what it is made
/// of: `REPEAT('x', 1000000)` is short as long as nobody computes it.
const SMALL: usize = 1024;

/// What a constant takes, more or less: by its content, not by how much its buffers could hold.
pub fn constant_bytes(value: &ScalarValue) -> usize {
    let content = match value {
        ScalarValue::List(list) => list.values().len() * 16,
        ScalarValue::Map(map) => map.entries().len() * 32,
        ScalarValue::Struct(row) => row.num_columns() * 16,
        _ => text_bytes(value),
    };
    64 + content
}

/// Whether a constant is small enough to stand for a call of constants of so many bytes.
pub fn may_stand_for(value: &ScalarValue, operands: usize) -> bool {
    constant_bytes(value) <= operands.max(SMALL)
}

/// Evaluates a call of constants once. One that fails is kept: it may never be reached. So is one that gives much of little.
fn fold(expression: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let Some(operands) = constant_operands(&expression) else { return expression };
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let Ok(row) = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options) else {
        return expression;
    };
    let value = match expression.evaluate(&row) {
        Ok(ColumnarValue::Scalar(value)) => Some(value),
        Ok(ColumnarValue::Array(array)) => ScalarValue::try_from_array(&array, 0).ok(),
        Err(_) => None,
    };
    match value {
        Some(value) if may_stand_for(&value, operands) => Arc::new(Literal::new(value)),
        _ => expression,
    }
}

/// The bytes of all operands of a call that gives the same each time; none: one of them is no constant.
fn constant_operands(expression: &Arc<dyn PhysicalExpr>) -> Option<usize> {
    if expression.is_volatile_node() {
        return None;
    }
    let children = expression.children();
    children.iter().map(|child| child.downcast_ref::<Literal>().map(|literal| constant_bytes(literal.value()))).sum()
}

/// The value of an expression without columns.
pub fn evaluate_constant(expression: &Expression, context: &EvaluationContext) -> Result<ScalarValue> {
    let compiled = compile(expression, &Arc::new(Schema::empty()), context)?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options)?;
    match compiled.evaluate(&row).map_err(from_datafusion)? {
        ColumnarValue::Scalar(value) => Ok(value),
        ColumnarValue::Array(array) => Ok(ScalarValue::try_from_array(&array, 0)?),
    }
}
