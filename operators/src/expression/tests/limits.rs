//! What one value may take, and which constants are worth computing once.
use arrow::array::StringViewArray;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_physical_expr::expressions::Literal;

use super::*;
use crate::expression::MAX_VALUE_BYTES;
use crate::expression::compile::compile;

fn text(value: &str) -> Expression {
    Expression::literal(ScalarValue::Utf8View(Some(value.to_owned())), TypeKind::string().not_null())
}

fn int(value: i32) -> Expression {
    Expression::literal(ScalarValue::Int32(Some(value)), TypeKind::Int.not_null())
}

fn call(function: &str, operands: Vec<Expression>) -> Expression {
    Expression::call(function, operands, TypeKind::string().nullable())
}

/// Before, a constant of 400 MB took the JobManager 2.3 GB.
#[test]
fn a_value_has_a_length() {
    let half = || call("REPEAT", vec![text("x"), int((MAX_VALUE_BYTES / 2) as i32)]);
    let many = |of: &str| text(&of.repeat(10_000));
    for expression in [
        call("REPEAT", vec![text("x"), int(400_000_000)]),
        call("REPEAT", vec![text("xyz"), int(i32::MAX)]),
        call("LPAD", vec![text("x"), int(i32::MAX), text("ab")]),
        call("RPAD", vec![text("x"), int(i32::MAX), text("ab")]),
        call("REPLACE", vec![many("a"), text("a"), many("b")]),
        call("||", vec![half(), half(), text("x")]),
        call("CONCAT_WS", vec![text("x"), half(), half()]),
    ] {
        match evaluate_constant(&expression, &context("UTC")) {
            Ok(value) => panic!("a value of {} bytes", value.size()),
            Err(error) => assert!(error.to_string().contains("one value may have at most 67108864"), "{error}"),
        }
    }
    let longest = evaluate_constant(&call("||", vec![half(), half()]), &context("UTC")).unwrap();
    assert!(longest.size() >= MAX_VALUE_BYTES);
}

#[test]
fn constants_are_computed_once_where_the_result_is_small() {
    let is_folded = |expression: &Expression| {
        let compiled = compile(expression, &Arc::new(Schema::empty()), &context("UTC")).unwrap();
        compiled.downcast_ref::<Literal>().is_some()
    };
    assert!(is_folded(&call("REPEAT", vec![text("x"), int(900)])));
    assert!(!is_folded(&call("REPEAT", vec![text("x"), int(1_000_000)])));
    assert!(!is_folded(&call("UPPER", vec![call("REPEAT", vec![text("x"), int(1_000_000)])])));
    assert!(is_folded(&call("UPPER", vec![text(&"x".repeat(100_000))])), "no more than what is written");
}

/// Failed before: nothing in a call of a function asked whether the task was to end.
#[test]
fn evaluating_and_compiling_end_with_the_task() {
    let upper = call("UPPER", vec![Expression::input(0, TypeKind::string().nullable())]);
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8View, true)]));
    let compiled = Projection::compile(std::slice::from_ref(&upper), &schema, &context("UTC")).unwrap();
    let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
    let batch = RecordBatch::try_new(schema.clone(), vec![texts]).unwrap();
    assert!(compiled.evaluate(&batch).is_ok());
    let _told = crate::ending::told();
    assert!(matches!(compiled.evaluate(&batch), Err(Error::Cancelled)));
    assert!(matches!(Projection::compile(&[upper], &schema, &context("UTC")), Err(Error::Cancelled)));
}
