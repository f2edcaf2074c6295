//! What the catalogue says of functions is what their kernels do.
use std::collections::HashSet;

use datafusion_common::ScalarValue;

use super::context;
use crate::error::Error;
use crate::expression::{Expression, evaluate_constant, null_literal};
use crate::functions::catalogue::{self, Argument, Written};
use crate::types::{TimeAttribute, TypeKind};

fn literal(value: ScalarValue, kind: TypeKind) -> Expression {
    Expression::literal(value, kind.not_null())
}

/// A value that the argument may be.
fn sample(argument: Argument) -> Expression {
    // A pattern of dates and a zone, too.
    let text = || literal(ScalarValue::Utf8View(Some("Z".to_owned())), TypeKind::string());
    let int = || literal(ScalarValue::Int32(Some(3)), TypeKind::Int);
    match argument {
        Argument::Any | Argument::Number | Argument::Exact | Argument::Int | Argument::Index => int(),
        Argument::Boolean => literal(ScalarValue::Boolean(Some(true)), TypeKind::Boolean),
        Argument::Text => text(),
        Argument::Bytes => literal(ScalarValue::BinaryView(Some(vec![1])), TypeKind::bytes()),
        Argument::Long => literal(ScalarValue::Int64(Some(3)), TypeKind::Bigint),
        Argument::Double => literal(ScalarValue::Float64(Some(0.5)), TypeKind::Double),
        Argument::Timestamp => {
            let kind = TypeKind::Timestamp(3, TimeAttribute::Regular);
            literal(ScalarValue::TimestampMillisecond(Some(0), None), kind)
        }
        Argument::Bitmap => {
            let empty = vec![0x3A, 0x30, 0, 0, 0, 0, 0, 0];
            literal(ScalarValue::BinaryView(Some(empty)), TypeKind::Bitmap)
        }
        Argument::Array | Argument::Sortable | Argument::Ints => {
            let kind = TypeKind::Array(Box::new(TypeKind::Int.nullable()));
            Expression::call("ARRAY", vec![int()], kind.not_null())
        }
        Argument::Texts => {
            let kind = TypeKind::Array(Box::new(TypeKind::string().nullable()));
            Expression::call("ARRAY", vec![text()], kind.not_null())
        }
        Argument::Map => {
            let kind = TypeKind::Map(Box::new(TypeKind::string().not_null()), Box::new(TypeKind::Int.nullable()));
            Expression::call("MAP", vec![text(), int()], kind.not_null())
        }
    }
}

#[test]
fn a_kernel_takes_the_forms_of_its_function_and_is_as_strict() {
    let context = context("UTC");
    for function in catalogue::functions() {
        let Written::Call { forms, gives, .. } = function.written else { continue };
        for form in forms {
            let operands: Vec<Expression> = form.iter().map(|argument| sample(*argument)).collect();
            let value = |operands: Vec<Expression>| {
                let data_type = gives.result_type(&operands);
                evaluate_constant(&Expression::call(function.name, operands, data_type), &context)
            };
            if let Err(error @ Error::Plan(_)) = value(operands.clone()) {
                panic!("{}{form:?}: {error}", function.name);
            }
            for index in (0..operands.len()).filter(|_| function.is_strict) {
                let mut operands = operands.clone();
                operands[index] = null_literal(operands[index].data_type.kind.clone());
                if let Ok(value) = value(operands) {
                    assert!(value.is_null(), "{}{form:?} is {value} where argument {index} is null", function.name);
                }
            }
        }
    }
}

#[test]
fn each_name_is_of_one_function() {
    let mut seen = HashSet::new();
    for function in catalogue::functions() {
        for name in [function.name].iter().chain(function.aliases) {
            assert!(seen.insert(*name), "{name} is in the catalogue twice");
            assert_eq!(*name, name.to_uppercase());
        }
    }
}

#[test]
fn a_function_is_found_by_the_names_that_it_has() {
    let found = |name: &str| catalogue::called(name).map(|function| function.name);
    assert_eq!(found("SUBSTR"), Some("SUBSTRING"));
    assert_eq!(found("SUBSTRING"), Some("SUBSTRING"));
    assert_eq!([found("+"), found("ROW"), found("substr")], [None; 3]);
    assert!(catalogue::lookup("+").is_some() && catalogue::lookup("SUBSTR").is_none());
}
