//! Expressions against what Apache Flink gave for them: the files of `golden/`, recorded with `golden/record.py`.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{Field, Schema};
use datafusion_common::ScalarValue;
use wiesel_common::config::Configuration;
use wiesel_common::time::ManualClock;

use super::{EvaluationContext, Expression, Projection, evaluate_constant};
use crate::error::Error;
use crate::types::TypeKind;

mod catalogue;
mod deep;
mod laws;
mod limits;
mod messages;
mod patterns;
mod sql;
mod structured;

pub(crate) fn context(zone: &str) -> EvaluationContext {
    let mut configuration = Configuration::default();
    configuration.set("table.local-time-zone", zone);
    EvaluationContext::new(&configuration, Arc::new(ManualClock(1_600_000_000_123.into()))).unwrap()
}

fn check(name: &str, golden: &str) {
    let mut zone = "UTC";
    let (mut failures, mut right, mut kinds) = (Vec::new(), 0, BTreeMap::<String, usize>::new());
    for line in golden.lines() {
        if let Some(name) = line.strip_prefix("# zone: ") {
            zone = name;
            continue;
        }
        let mut columns = line.split('\t');
        let (Some(text), Some(kind), Some(value)) = (columns.next(), columns.next(), columns.next()) else { continue };
        let wanted: serde_json::Value = serde_json::from_str(value).unwrap();
        let outcome = std::panic::catch_unwind(|| evaluate(text, kind, zone));
        let given = match outcome {
            Ok(given) => given,
            Err(_) => Err("panicked".into()),
        };
        let same = match (&given, kind, &wanted) {
            // A null in a column that Flink took for NOT NULL.
            (Ok(None), "!", serde_json::Value::String(message)) => message.contains("however, a null value is being"),
            (Err(given), "!", serde_json::Value::String(message)) => {
                given.strip_prefix("data: ").is_some_and(|given| given == message)
            }
            (_, "!", _) => false,
            (Ok(None), _, serde_json::Value::Null) => true,
            (Ok(Some(given)), _, serde_json::Value::String(wanted)) => given == wanted,
            _ => false,
        };
        if same {
            right += 1;
        } else {
            *kinds.entry(text.split('(').next().unwrap_or("").to_owned()).or_default() += 1;
            failures.push(format!("{text}\n  wanted {kind} {wanted}\n  given  {given:?}"));
        }
    }
    let total = right + failures.len();
    let text = failures.join("\n");
    assert!(failures.is_empty(), "{name}: {right} of {total} as Flink's; others {kinds:?}:\n{text}");
}

/// The value as text, as a constant and as a column of three rows.
fn evaluate(text: &str, kind: &str, zone: &str) -> Result<Option<String>, String> {
    let context = context(zone);
    let mut expression = sql::parse(text)?;
    if kind != "!" {
        expression.data_type = sql::parse_type(kind)?;
    }
    let expression = if matches!(expression.data_type.kind, TypeKind::Varchar(_)) {
        expression
    } else {
        Expression::call("CAST", vec![expression], TypeKind::string().nullable())
    };
    let words = |error: Error| match error {
        Error::Data { message, .. } => format!("data: {message}"),
        other => format!("{other}"),
    };
    let constant = evaluate_constant(&expression, &context).map_err(words)?;
    let constant = match constant {
        ScalarValue::Utf8View(text) => text,
        other => return Err(format!("not a string: {other:?}")),
    };
    let column = as_columns(&expression, &context).map_err(words)?;
    let column = column.as_string_view();
    for row in 0..column.len() {
        let value = column.is_valid(row).then(|| column.value(row).to_owned());
        if value != constant {
            return Err(format!("{constant:?} as a constant, {value:?} in row {row}"));
        }
    }
    Ok(constant)
}

/// Evaluates with every other literal moved to a column.
fn as_columns(expression: &Expression, context: &EvaluationContext) -> Result<ArrayRef, Error> {
    let mut columns: Vec<ArrayRef> = Vec::new();
    let mut fields = Vec::new();
    let moved = sql::map_literals(expression, &mut |value, data_type| {
        let array = value.to_array_of_size(3).ok()?;
        let index = columns.len();
        fields.push(Field::new(format!("c{index}"), array.data_type().clone(), true));
        columns.push(array);
        Some(Expression::input(index, data_type.clone()))
    });
    let schema = Arc::new(Schema::new(fields));
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(3));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    Ok(Projection::compile(&[moved], &schema, context)?.evaluate(&batch)?.remove(0))
}

macro_rules! golden {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name), include_str!(concat!("../../../golden/", stringify!($name), ".golden")));
        })*
    };
}

golden!(cast operators strings temporal numeric collections);
