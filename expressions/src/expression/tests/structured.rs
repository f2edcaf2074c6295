//! Values of structured types.
use datafusion_common::ScalarValue;

use super::context;
use crate::expression::{Expression, evaluate_constant, null_literal};
use crate::types::{LogicalType, RowField, TypeKind};

fn text(value: &str) -> Expression {
    Expression::literal(ScalarValue::Utf8View(Some(value.into())), TypeKind::Char(value.len() as u32).not_null())
}

fn int(value: i32) -> Expression {
    Expression::literal(ScalarValue::Int32(Some(value)), TypeKind::Int.not_null())
}

fn user(fields: &[(&str, LogicalType)]) -> LogicalType {
    let fields = fields.iter().map(|(name, data_type)| RowField::new(*name, data_type.clone()));
    TypeKind::Structured("com.example.User".into(), fields.collect()).nullable()
}

fn shown(object: Expression) -> Option<String> {
    let cast = Expression::call("CAST", vec![object], TypeKind::string().nullable());
    match evaluate_constant(&cast, &context("UTC")).unwrap() {
        ScalarValue::Utf8View(text) => text,
        other => panic!("{other}"),
    }
}

#[test]
fn objects_have_the_fields_that_they_are_made_of() {
    let data_type = user(&[("name", TypeKind::Char(3).not_null()), ("age", TypeKind::Int.nullable())]);
    let of = |age: Expression| {
        let operands = vec![text("com.example.User"), text("name"), text("Bob"), text("age"), age];
        Expression::call("OBJECT_OF", operands, data_type.clone())
    };
    assert_eq!(shown(of(int(42))).as_deref(), Some("(name=Bob, age=42)"));
    assert_eq!(shown(of(null_literal(TypeKind::Int))).as_deref(), Some("(name=Bob, age=NULL)"));
    let update = |object: Expression| {
        let fields = [("name", TypeKind::Int.not_null()), ("age", TypeKind::Int.nullable())];
        Expression::call("OBJECT_UPDATE", vec![object, text("name"), int(7)], user(&fields))
    };
    assert_eq!(shown(update(of(int(42)))).as_deref(), Some("(name=7, age=42)"));
    assert_eq!(shown(update(null_literal(data_type.kind.clone()))), None);
    let empty = Expression::call("OBJECT_OF", vec![text("com.example.User")], user(&[]));
    assert_eq!(shown(empty).as_deref(), Some("()"));
}
