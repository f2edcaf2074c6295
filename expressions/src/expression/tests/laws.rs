//! Laws that hold for all values.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Float64Array, Int32Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int32Type, Schema, i256};
use datafusion_common::ScalarValue;
use proptest::prelude::*;

use super::context;
use crate::error::Error;
use crate::expression::datetime::{civil, days, parse_date, write_date};
use crate::expression::{Expression, Mask, Program, Projection, decimal};
use crate::types::{LogicalType, TypeKind};

fn column(name: &str, array: ArrayRef) -> (Field, ArrayRef) {
    (Field::new(name, array.data_type().clone(), true), array)
}

fn batch(columns: Vec<(Field, ArrayRef)>) -> RecordBatch {
    let (fields, columns): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn evaluate(expression: Expression, batch: &RecordBatch) -> Result<ArrayRef, Error> {
    let projection = Projection::compile(&[expression], &batch.schema(), &context("UTC"))?;
    Ok(projection.evaluate(batch)?.remove(0))
}

fn int(index: usize) -> Expression {
    Expression::input(index, TypeKind::Int.nullable())
}

fn text(index: usize) -> Expression {
    Expression::input(index, TypeKind::string().nullable())
}

fn number(value: i32) -> Expression {
    Expression::literal(ScalarValue::Int32(Some(value)), TypeKind::Int.not_null())
}

fn call(function: &str, operands: Vec<Expression>, kind: TypeKind) -> Expression {
    Expression::call(function, operands, kind.nullable())
}

fn boolean(function: &str, operands: Vec<Expression>) -> Expression {
    call(function, operands, TypeKind::Boolean)
}

/// `x <> 0 AND 10 / x > 1`, which must never divide by zero.
fn guarded() -> Expression {
    let quotient = call("/", vec![number(10), int(0)], TypeKind::Int);
    boolean("AND", vec![boolean("<>", vec![int(0), number(0)]), boolean(">", vec![quotient, number(1)])])
}

#[test]
fn a_guarded_division_never_fails() {
    let batch = batch(vec![column("x", Arc::new(Int32Array::from(vec![Some(0), Some(5), None, Some(0), Some(20)])))]);
    let result = evaluate(guarded(), &batch).unwrap();
    let result: Vec<Option<bool>> = result.as_boolean().iter().collect();
    assert_eq!(result, [Some(false), Some(true), None, Some(false), Some(false)]);
    let inverse = call("/", vec![number(10), int(0)], TypeKind::Int);
    let case = call("CASE", vec![boolean("<>", vec![int(0), number(0)]), inverse.clone(), number(-1)], TypeKind::Int);
    let result = evaluate(case, &batch).unwrap();
    let result: Vec<Option<i32>> = result.as_primitive::<Int32Type>().iter().collect();
    assert_eq!(result, [Some(-1), Some(2), Some(-1), Some(-1), Some(0)]);
    let coalesce = call("COALESCE", vec![number(1), inverse.clone()], TypeKind::Int);
    assert!(evaluate(coalesce, &batch).is_ok(), "nothing behind what is never null");
    // As in Flink, which evaluates all operands of COALESCE.
    let coalesce = call("COALESCE", vec![int(0), inverse.clone()], TypeKind::Int);
    for failing in [inverse, coalesce] {
        match evaluate(failing, &batch) {
            Err(Error::Data { class, message }) => {
                assert_eq!((class, message.as_str()), ("java.lang.ArithmeticException", "/ by zero"));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_program_filters_and_shares() {
    let columns = vec![
        column("x", Arc::new(Int32Array::from(vec![Some(1), None, Some(3), Some(4)]))),
        column("s", Arc::new(StringViewArray::from(vec![Some("a long text of one row"), Some("b"), None, Some("ÄÖ")]))),
    ];
    let batch = batch(columns);
    let twice = call("*", vec![int(0), number(2)], TypeKind::Int);
    let lower = call("LOWER", vec![text(1)], TypeKind::string());
    let condition = boolean(">", vec![twice.clone(), number(2)]);
    let projection = [twice.clone(), lower.clone(), call("||", vec![lower.clone(), lower], TypeKind::string())];
    let program = Program::compile(Some(&condition), &projection, &batch.schema(), &context("UTC")).unwrap();
    let selection = program.evaluate(&batch).unwrap();
    assert_eq!(selection.rows, 2);
    assert_eq!(selection.mask, Mask::Some(vec![false, false, true, true].into()));
    assert_eq!(selection.columns[0].as_primitive::<Int32Type>().values(), &[6, 8]);
    let joined: Vec<Option<&str>> = selection.columns[2].as_string_view().iter().collect();
    assert_eq!(joined, [None, Some("äöäö")]);
    let none = boolean(">", vec![twice, number(100)]);
    let program = Program::compile(Some(&none), &projection, &batch.schema(), &context("UTC")).unwrap();
    let selection = program.evaluate(&batch).unwrap();
    assert_eq!((selection.rows, selection.mask, selection.columns[0].len()), (0, Mask::None, 0));
}

#[test]
fn an_unknown_function_is_an_error_of_the_plan() {
    let batch = batch(vec![column("x", Arc::new(Int32Array::from(vec![1])))]);
    let error = evaluate(call("NO_SUCH", vec![int(0)], TypeKind::Int), &batch).unwrap_err();
    assert_eq!(error.to_string(), "the function NO_SUCH is not supported");
    let error = evaluate(call("UPPER", vec![int(0)], TypeKind::string()), &batch).unwrap_err();
    assert!(matches!(error, Error::Plan(_)), "{error}");
    let error = evaluate(text(0), &batch).unwrap_err();
    assert!(error.to_string().contains("column `x` is Int32"), "{error}");
    assert!(evaluate(int(7), &batch).is_err());
}

#[test]
fn months_are_multiplied() {
    let months = Expression::literal(
        ScalarValue::IntervalYearMonth(Some(3)),
        TypeKind::IntervalYearMonth("MONTH".into()).not_null(),
    );
    let product = call("*", vec![int(0), months], TypeKind::IntervalYearMonth("MONTH".into()));
    let day = Expression::literal(ScalarValue::Date32(Some(30)), TypeKind::Date.not_null());
    let sum = call("CAST", vec![call("TIMESTAMP_ADD", vec![day, product], TypeKind::Date)], TypeKind::string());
    let batch = batch(vec![column("x", Arc::new(Int32Array::from(vec![Some(1), Some(-1), None])))]);
    let result: Vec<Option<String>> =
        evaluate(sum, &batch).unwrap().as_string_view().iter().map(|text| text.map(str::to_owned)).collect();
    assert_eq!(result, [Some("1970-04-30".into()), Some("1969-10-31".into()), None]);
}

/// As in Flink. Before, what overflows was null, also in a column that is NOT NULL, and failed the job there.
#[test]
fn months_wrap_as_integers_do() {
    let months = TypeKind::IntervalYearMonth("MONTH".into());
    let year = Expression::literal(ScalarValue::IntervalYearMonth(Some(12)), months.clone().not_null());
    let batch = batch(vec![column("x", Arc::new(Int32Array::from(vec![Some(1), Some(i32::MAX), None])))]);
    let product = call("CAST", vec![call("*", vec![year, int(0)], months)], TypeKind::Int);
    let result: Vec<Option<i32>> = evaluate(product, &batch).unwrap().as_primitive::<Int32Type>().iter().collect();
    assert_eq!(result, [Some(12), Some(-12), None]);
}

/// Failed before: maps within maps were compared in the order of their entries. So they are in arrays, as in Flink.
#[test]
fn maps_are_equal_in_whatever_order_of_their_entries() {
    let texts = |texts: [Option<&str>; 4]| -> ArrayRef { Arc::new(StringViewArray::from(texts.to_vec())) };
    let batch = batch(vec![
        // Of one bucket of a Java map, so that the order is that of the text.
        column("x", texts([Some("a=1,e=2"), Some("a=1,e=2"), Some("a=1"), None])),
        column("y", texts([Some("e=2,a=1"), Some("a=2,e=1"), Some("a=1,e=2"), Some("a=1")])),
    ]);
    let string = || Box::new(TypeKind::string().nullable());
    let kind = TypeKind::Map(string(), string());
    let map = |index| call("STR_TO_MAP", vec![text(index)], kind.clone());
    let array = |index| call("ARRAY", vec![map(index)], TypeKind::Array(Box::new(kind.clone().nullable())));
    let outer = TypeKind::Map(string(), Box::new(kind.clone().nullable()));
    let key = || Expression::literal(ScalarValue::Utf8View(Some("k".into())), TypeKind::string().not_null());
    let nested = |index| call("MAP", vec![key(), map(index)], outer.clone());
    for (operands, expected) in [
        ([map(0), map(1)], [Some(true), Some(false), Some(false), None]),
        ([nested(0), nested(1)], [Some(true), Some(false), Some(false), Some(false)]),
        ([array(0), array(1)], [Some(false); 4]),
    ] {
        let result = evaluate(boolean("=", operands.into()), &batch).unwrap();
        assert_eq!(result.as_boolean().iter().collect::<Vec<_>>(), expected);
    }
}

/// LIKE by its definition.
fn like(text: &[char], pattern: &[char]) -> bool {
    match pattern.split_first() {
        None => text.is_empty(),
        Some(('%', rest)) => (0..=text.len()).any(|skipped| like(&text[skipped..], rest)),
        Some(('_', rest)) => !text.is_empty() && like(&text[1..], rest),
        Some((c, rest)) => text.first() == Some(c) && like(&text[1..], rest),
    }
}

proptest! {
    #[test]
    fn dates_are_counted_and_written(day in -700_000_i64..2_900_000) {
        let (year, month, date) = civil(day);
        prop_assert_eq!(days(year, month, date), day);
        let mut text = String::new();
        write_date(day, &mut text);
        if (0..=9999).contains(&year) {
            prop_assert_eq!(parse_date(&text), Some(day));
        }
    }

    #[test]
    fn numbers_survive_their_text(doubles in proptest::collection::vec(any::<f64>(), 1..20), ints in any::<i32>()) {
        let batch = batch(vec![
            column("d", Arc::new(Float64Array::from(doubles.clone()))),
            column("i", Arc::new(Int32Array::from(vec![ints; doubles.len()]))),
        ]);
        let there = |index: usize, kind: TypeKind| {
            let to_text = call("CAST", vec![Expression::input(index, kind.clone().nullable())], TypeKind::string());
            call("CAST", vec![to_text], kind)
        };
        let back = evaluate(there(0, TypeKind::Double), &batch).unwrap();
        for (before, after) in doubles.iter().zip(back.as_primitive::<arrow::datatypes::Float64Type>().values()) {
            prop_assert!(before == after || (before.is_nan() && after.is_nan()), "{} {}", before, after);
        }
        let back = evaluate(there(1, TypeKind::Int), &batch).unwrap();
        prop_assert!(back.as_primitive::<Int32Type>().values().iter().all(|value| *value == ints));
    }

    #[test]
    fn decimals_are_rounded_half_up(left in -10_i128.pow(18)..10_i128.pow(18), right in 1_i128..10_i128.pow(12), shift in 0_i32..12) {
        let exact = |value: i256| value.to_i128();
        let scaled = i256::from_i128(left).wrapping_mul(i256::from_i128(10_i128.pow(shift as u32)));
        let quotient = decimal::divide(left, right, shift).unwrap();
        // |scaled - quotient * right| * 2 <= right, and ties go away from zero.
        let rest = scaled.wrapping_sub(i256::from_i128(quotient).wrapping_mul(i256::from_i128(right)));
        let rest = exact(rest).unwrap();
        prop_assert!(rest.abs() * 2 <= right);
        if rest.abs() * 2 == right {
            prop_assert!(rest == 0 || (rest < 0) == (left > 0));
        }
    }

    #[test]
    fn sums_of_decimals_are_exact(values in proptest::collection::vec((-10_i128.pow(16)..10_i128.pow(16), -10_i128.pow(9)..10_i128.pow(9)), 1..30)) {
        let left = Decimal128Array::from_iter_values(values.iter().map(|(left, _)| *left));
        let left = left.with_precision_and_scale(17, 2).unwrap();
        let right = Decimal128Array::from_iter_values(values.iter().map(|(_, right)| *right));
        let right = right.with_precision_and_scale(10, 5).unwrap();
        let batch = batch(vec![column("l", Arc::new(left)), column("r", Arc::new(right))]);
        let operand = |index, precision, scale| Expression::input(index, TypeKind::Decimal(precision, scale).nullable());
        let sum = call("+", vec![operand(0, 17, 2), operand(1, 10, 5)], TypeKind::Decimal(21, 5));
        let sum = evaluate(sum, &batch).unwrap();
        prop_assert_eq!(sum.data_type(), &DataType::Decimal128(21, 5));
        for (sum, (left, right)) in sum.as_primitive::<Decimal128Type>().values().iter().zip(&values) {
            prop_assert_eq!(*sum, left * 1000 + right);
        }
    }

    #[test]
    fn like_means_what_it_says(texts in proptest::collection::vec("[abé%_]{0,8}", 1..10), pattern in "[abé%_]{0,6}") {
        let array = StringViewArray::from(texts.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
        let batch = batch(vec![column("s", Arc::new(array))]);
        let literal = Expression::literal(ScalarValue::Utf8View(Some(pattern.clone())), LogicalType { kind: TypeKind::string(), nullable: false });
        let result = evaluate(boolean("LIKE", vec![text(0), literal]), &batch).unwrap();
        let pattern: Vec<char> = pattern.chars().collect();
        for (text, given) in texts.iter().zip(result.as_boolean().values()) {
            prop_assert_eq!(like(&text.chars().collect::<Vec<_>>(), &pattern), given, "{}", text);
        }
    }

    #[test]
    fn parts_of_strings_share_their_buffers(texts in proptest::collection::vec("[a-zé/]{0,40}", 1..20), index in 0_i32..4) {
        let array = StringViewArray::from(texts.iter().map(|text| Some(text.as_str())).collect::<Vec<_>>());
        let batch = batch(vec![column("s", Arc::new(array))]);
        let slash = Expression::literal(ScalarValue::Utf8View(Some("/".into())), TypeKind::string().not_null());
        let part = evaluate(call("SPLIT_INDEX", vec![text(0), slash, number(index)], TypeKind::string()), &batch).unwrap();
        let tail = evaluate(call("SUBSTRING", vec![text(0), number(index + 1), number(15)], TypeKind::string()), &batch).unwrap();
        for (row, text) in texts.iter().enumerate() {
            let wanted = if text.is_empty() { None } else { text.split('/').nth(index as usize) };
            let given = part.is_valid(row).then(|| part.as_string_view().value(row));
            prop_assert_eq!(given, wanted);
            let wanted: String = text.chars().skip(index as usize).take(15).collect();
            prop_assert_eq!(tail.as_string_view().value(row), wanted);
        }
    }
}
