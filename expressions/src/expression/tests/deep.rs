//! Trees as deep as they may be, on the stack that a task has for them.
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, BooleanArray, Int32Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema};
use wiesel_proto as proto;

use super::context;
use crate::expression::{Expression, MAX_DEPTH, Program, STACK_PER_LEVEL, message_depth};
use crate::types::{LogicalType, TypeKind};

fn number() -> LogicalType {
    TypeKind::Int.nullable()
}

fn truth() -> LogicalType {
    TypeKind::Boolean.nullable()
}

fn column(index: usize) -> Expression {
    Expression::input(index, [number(), truth(), TypeKind::string().nullable()][index].clone())
}

/// Each level over the one before.
fn tree(levels: usize, innermost: Expression, mut around: impl FnMut(Expression, usize) -> Expression) -> Expression {
    (1..levels).fold(innermost, &mut around)
}

fn batch() -> RecordBatch {
    let fields = [("a", DataType::Int32), ("b", DataType::Boolean), ("s", DataType::Utf8View)];
    let fields: Vec<Field> = fields.into_iter().map(|(name, kind)| Field::new(name, kind, true)).collect();
    let columns: Vec<arrow::array::ArrayRef> = vec![
        Arc::new(Int32Array::from(vec![Some(1), Some(2), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(StringViewArray::from(vec![Some("x"), None, Some("y")])),
    ];
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// Through its message, compiled, evaluated twice and dropped, as in a task: on a stack of the size that its message asks for.
fn runs<T: Send>(
    name: &str,
    tree: impl FnOnce() -> Expression + Send,
    check: impl FnOnce(arrow::array::ArrayRef) -> T + Send,
) {
    let make = || proto::Expression::from(&tree());
    let message = on_stack(1 << 30, make);
    let depth = message_depth(&message).unwrap();
    on_stack((2 << 20) + depth * STACK_PER_LEVEL, || {
        let start = Instant::now();
        let expression = Expression::try_from(&message).unwrap();
        let batch = batch();
        let program = Program::compile(None, &[expression], &batch.schema(), &context("UTC")).unwrap();
        let compiled = start.elapsed();
        program.evaluate(&batch).unwrap();
        let result = program.evaluate(&batch).unwrap().columns.remove(0);
        println!("{name}, {depth} levels: compiled in {compiled:?}, run in {:?}", start.elapsed() - compiled);
        check(result);
    });
}

fn on_stack<T: Send>(bytes: usize, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(bytes).spawn_scoped(scope, work).unwrap().join().unwrap()
    })
}

fn call(function: &str, operands: Vec<Expression>, data_type: LogicalType) -> Expression {
    Expression::call(function, operands, data_type)
}

#[test]
fn the_deepest_expressions_run_on_the_stack_of_a_task() {
    let first = |expected: Option<i32>| {
        move |result: arrow::array::ArrayRef| {
            let result = result.as_primitive::<Int32Type>();
            assert_eq!(result.iter().next().unwrap(), expected);
        }
    };
    let sum = |levels| tree(levels, column(0), |below, _| call("+", vec![below, column(0)], number()));
    for levels in [10_000, MAX_DEPTH] {
        runs("+", move || sum(levels), first(Some(levels as i32)));
    }
    let mixed =
        |below, level: usize| call(if level.is_multiple_of(2) { "+" } else { "-" }, vec![below, column(0)], number());
    runs("+ and -", || tree(10_001, column(0), mixed), first(Some(1)));
    let either =
        |below, level: usize| call(if level.is_multiple_of(2) { "AND" } else { "OR" }, vec![below, column(1)], truth());
    runs("AND and OR", || tree(10_000, column(1), either), |result| assert!(result.as_boolean().value(0)));
    let and = |below, _| call("AND", vec![below, column(1)], truth());
    runs("AND", || tree(MAX_DEPTH, column(1), and), |result| assert!(result.as_boolean().value(0)));
    let not = |below, _| call("NOT", vec![below], truth());
    runs("NOT", || tree(10_001, column(1), not), |result| assert!(result.as_boolean().value(0)));
    let coalesce = |below, _| call("COALESCE", vec![below, column(0)], number());
    runs("COALESCE", || tree(10_000, column(0), coalesce), first(Some(1)));
    let text = TypeKind::string().nullable();
    let join = |below, _| call("||", vec![below, column(2)], text.clone());
    runs("||", || tree(10_000, column(2), join), |result| assert_eq!(result.as_string_view().value(0).len(), 10_000));
    let upper = |below, _| call("UPPER", vec![below], text.clone());
    runs("UPPER", || tree(10_000, column(2), upper), |result| assert_eq!(result.as_string_view().value(0), "X"));
    let case = |below, _| call("CASE", vec![column(1), below, column(0)], number());
    runs("CASE", || tree(1_000, column(0), case), first(Some(1)));
}

#[test]
fn a_message_that_is_no_tree_or_too_deep_is_refused() {
    let read = |message: &proto::Expression| Expression::try_from(message).map(drop).map_err(|error| error.to_string());
    let good = proto::Expression::from(&call("+", vec![column(0), column(0)], number()));
    assert_eq!(read(&good), Ok(()));
    let broken = |change: fn(&mut proto::Expression)| {
        let mut message = good.clone();
        change(&mut message);
        read(&message).unwrap_err()
    };
    assert!(broken(|message| message.nodes.clear()).contains("empty"));
    assert!(broken(|message| drop(message.nodes.pop())).contains("several"));
    assert!(broken(|message| drop(message.nodes.remove(0))).contains("fewer operands"));
    assert!(broken(|message| message.nodes[0].kind = None).contains("empty"));
    assert!(broken(|message| message.nodes[0].r#type = 7).contains("without a type"));
    let deeper = on_stack(1 << 30, || {
        proto::Expression::from(&tree(MAX_DEPTH + 1, column(1), |below, _| call("NOT", vec![below], truth())))
    });
    assert!(read(&deeper).unwrap_err().contains("50001 levels deep, of at most 50000"));
}
