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
    let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
    assert!(matches!(compiled.evaluate(&batch), Err(Error::Cancelled)));
    assert!(matches!(Projection::compile(&[upper], &schema, &context("UTC")), Err(Error::Cancelled)));
}

fn evaluated(function: &str, operands: Vec<Expression>, kind: TypeKind) -> crate::error::Result<ScalarValue> {
    evaluate_constant(&Expression::call(function, operands, kind.nullable()), &context("UTC"))
}

/// Failed before: a pattern of any length was compiled, of 30 MB in gigabytes.
#[test]
fn a_pattern_made_of_a_row_has_a_length() {
    let repeated = |pattern: &str, times: i32| call("REPEAT", vec![text(pattern), int(times)]);
    for (function, pattern, error) in [
        ("LIKE", repeated("%a_b", 10_000_000), "has 40000000 bytes and too many wildcards"),
        ("LIKE", repeated("_", 70_000), "has 70000 bytes and too many wildcards"),
        ("LIKE", call("||", vec![text("a_"), repeated("b", 70_000)]), "has 70002 bytes and too many wildcards"),
        ("SIMILAR", repeated("[[", 10_000_000), "it has 20000000 bytes, at most 65536 are possible"),
    ] {
        let found = evaluated(function, vec![text("a"), pattern], TypeKind::Boolean).unwrap_err().to_string();
        assert!(found.contains(error), "{found}");
    }
    for (pattern, matches) in
        [(repeated("a", 100_000), false), (call("||", vec![text("%"), repeated("a", 100_000)]), true)]
    {
        let long = call("||", vec![text("b"), repeated("a", 100_000)]);
        let found = evaluated("LIKE", vec![long, pattern], TypeKind::Boolean).unwrap();
        assert_eq!(found, ScalarValue::Boolean(Some(matches)));
    }
}

/// Failed before: nothing counted the elements of lists.
#[test]
fn lists_are_counted_as_texts_are() {
    let commas = call("REPEAT", vec![text("a,"), int(5_000_000)]);
    let list = TypeKind::Array(Box::new(TypeKind::string().nullable()));
    let all = vec![commas.clone(), text("."), int(0)];
    for (function, operands) in [("SPLIT", vec![commas.clone(), text(",")]), ("REGEXP_EXTRACT_ALL", all)] {
        let error = evaluated(function, operands, list.clone()).unwrap_err().to_string();
        assert!(error.contains("one value may have at most 67108864"), "{function}: {error}");
    }
    // Several rows each of which is small: too much for a batch.
    let split = Expression::call(
        "SPLIT",
        vec![Expression::input(0, TypeKind::string().nullable()), text(",")],
        list.nullable(),
    );
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("s", DataType::Utf8View, true)]));
    let context = context("UTC");
    let compiled = Projection::compile(&[split], &schema, &context).unwrap();
    let row = "a,a,a,a".repeat(1000);
    let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values(std::iter::repeat_n(row.as_str(), 100)));
    let batch = RecordBatch::try_new(schema, vec![texts]).unwrap();
    context.budget.set(1 << 20);
    assert!(matches!(compiled.evaluate(&batch), Err(Error::OverBudget)));
    context.budget.set(16 << 20);
    assert!(compiled.evaluate(&batch).is_ok());
    assert!(context.budget.left() < (16 << 20) - 300_000 * 16);
}

/// Failed before: each character was looked for in all of `from`.
#[test]
fn characters_are_translated_by_a_map() {
    let translated = |of: Expression, from: Expression, to: &str| {
        let found = evaluated("TRANSLATE", vec![of, from, text(to)], TypeKind::string()).unwrap();
        found.try_as_str().flatten().unwrap().to_owned()
    };
    assert_eq!(translated(text("abcab"), text("aba"), "xyz"), "xycxy", "the first place counts");
    assert_eq!(translated(text("abc"), text("abc"), "x"), "x");
    let repeated = |of: &str, times| call("REPEAT", vec![text(of), int(times)]);
    assert_eq!(translated(repeated("a", 1_000_000), repeated("bcd", 1_000_000), "x").len(), 1_000_000);
}

/// Failed before: a delimiter of megabytes between thousands of elements had no bound, nor had arrays of arrays.
#[test]
fn what_is_made_of_arrays_has_a_length() {
    let list = TypeKind::Array(Box::new(TypeKind::string().nullable()));
    let repeated = |of: &str, times| call("REPEAT", vec![text(of), int(times)]);
    let array = |elements: i32| {
        let operands = vec![repeated("a,", elements), text(",")];
        Expression::call("SPLIT", operands, list.clone().nullable())
    };
    let joined = evaluated("ARRAY_JOIN", vec![array(1000), repeated("x", 1_000_000)], TypeKind::string());
    assert!(joined.unwrap_err().to_string().contains("one value may have at most 67108864"));
    let doubled = evaluated("ARRAY_CONCAT", vec![array(3_000_000), array(3_000_000)], list.clone());
    assert!(doubled.unwrap_err().to_string().contains("one value may have at most 67108864"));
    let positions =
        [(2, 2, 4), (-1, 1, 4), (-1, 2, 2), (-2, 1, 4), (-4, 1, 2), (0, 1, 0), (9, 1, 0), (-9, 1, 0), (1, 9, 0)];
    for (start, nth, expected) in positions {
        let operands = vec![text("ababa"), text("b"), int(start), int(nth)];
        let found = evaluated("INSTR", operands, TypeKind::Int).unwrap();
        assert_eq!(found, ScalarValue::Int32(Some(expected)), "{start} {nth}");
    }
    let trimmed = evaluated("BTRIM", vec![text("bcaXab"), repeated("abc", 1000)], TypeKind::string()).unwrap();
    assert_eq!(trimmed.try_as_str().flatten(), Some("X"));
}

/// Failed before: a needle had to begin where the search did, an empty one was looked for like others, and an occurrence before
/// the first one was one that is not there.
#[test]
fn instr_looks_backwards_for_what_ends_where_it_starts() {
    let instr = |of: &str, needle: &str, start: i32, nth: i32| {
        let found = evaluated("INSTR", vec![text(of), text(needle), int(start), int(nth)], TypeKind::Int);
        found.map(|found| match found {
            ScalarValue::Int32(Some(at)) => at,
            other => panic!("{other:?}"),
        })
    };
    for (of, needle, start, nth, expected) in [
        ("abcabc", "abc", -1, 1, 4),
        ("abcabc", "abc", -2, 1, 1),
        ("abcabc", "abc", -3, 2, 0),
        ("abcabc", "bc", -2, 1, 2),
        ("aaaa", "aa", -1, 2, 2),
        ("aaaa", "aaaa", -2, 1, 0),
        ("a\u{1F600}b\u{1F600}c", "\u{1F600}b", -3, 1, 2),
        ("a\u{1F600}b\u{1F600}c", "\u{1F600}", -2, 2, 2),
        ("", "", 2, 1, 1),
        ("abc", "", 9, 3, 1),
        ("2020-02-30", "", -1, 1, 11),
        ("\u{1F600}a", "", -9, 3, 3),
        ("abc", "", 0, 1, 0),
        ("abc", "a", i32::MIN, 1, 0),
    ] {
        assert_eq!(instr(of, needle, start, nth).unwrap(), expected, "INSTR('{of}', '{needle}', {start}, {nth})");
    }
    for (needle, start, nth) in [("a", 1, 0), ("a", -1, -1), ("", 1, 0), ("a", 0, 0)] {
        let error = instr("abc", needle, start, nth).unwrap_err().to_string();
        assert!(error.contains("nthAppearance must be positive!"), "{error}");
    }
}

/// Failed before: all of that was NULL.
#[test]
fn translate_takes_a_null_for_nothing_to_replace_and_for_nothing_to_put_there() {
    let null = || Expression::literal(ScalarValue::Utf8View(None), TypeKind::string().nullable());
    let translated = |operands| {
        let found = evaluated("TRANSLATE", operands, TypeKind::string()).unwrap();
        found.try_as_str().flatten().map(str::to_owned)
    };
    assert_eq!(translated(vec![text("abc"), null(), text("x")]).as_deref(), Some("abc"));
    assert_eq!(translated(vec![text("abc"), null(), null()]).as_deref(), Some("abc"));
    assert_eq!(translated(vec![text("abc"), text("ab"), null()]).as_deref(), Some("c"));
    assert_eq!(translated(vec![null(), text("ab"), text("x")]), None);
}
