//! Expressions and types through their messages and back.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, StringViewArray, StructArray};
use arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion_common::ScalarValue;
use proptest::prelude::*;
use wiesel_proto as proto;

use super::sql;
use crate::expression::{Expression, null_literal};
use crate::types::{LogicalType, RowField, TimeAttribute, TypeKind, schema_from_proto, schema_to_proto};

fn there_and_back(expression: &Expression) -> Expression {
    Expression::try_from(&proto::Expression::from(expression)).unwrap()
}

fn literal(value: ScalarValue, kind: TypeKind) -> Expression {
    Expression::literal(value, kind.not_null())
}

/// Every kind of type once, nested ones with elements of several kinds.
fn kinds() -> Vec<TypeKind> {
    let row = vec![
        RowField::new("a", TypeKind::Int.not_null()),
        RowField::new("b c", TypeKind::Array(Box::new(TypeKind::string().nullable())).nullable()),
    ];
    vec![
        TypeKind::Char(3),
        TypeKind::Varchar(7),
        TypeKind::string(),
        TypeKind::Boolean,
        TypeKind::Binary(2),
        TypeKind::bytes(),
        TypeKind::Decimal(38, 18),
        TypeKind::Tinyint,
        TypeKind::Smallint,
        TypeKind::Int,
        TypeKind::Bigint,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(3, TimeAttribute::Rowtime),
        TypeKind::Timestamp(9, TimeAttribute::Regular),
        TypeKind::TimestampLtz(6, TimeAttribute::Proctime),
        TypeKind::IntervalYearMonth("YEAR(2) TO MONTH".into()),
        TypeKind::IntervalDayTime("SECOND(3)".into()),
        TypeKind::Multiset(Box::new(TypeKind::Date.not_null())),
        TypeKind::Map(Box::new(TypeKind::string().not_null()), Box::new(TypeKind::Double.nullable())),
        TypeKind::Row(row),
        TypeKind::Null,
    ]
}

#[test]
fn types_survive_their_message() {
    let mut fields = Vec::new();
    for kind in kinds() {
        for nullable in [true, false] {
            let data_type = LogicalType { kind: kind.clone(), nullable };
            assert_eq!(LogicalType::try_from(&proto::DataType::from(&data_type)).unwrap(), data_type);
            let null = null_literal(kind.clone());
            assert_eq!(there_and_back(&null), null, "{kind}");
            fields.push(RowField::new(format!("f{}", fields.len()), data_type));
        }
    }
    assert_eq!(schema_from_proto(Some(&schema_to_proto(&fields))).unwrap(), fields);
    assert!(schema_from_proto(None).is_err());
    assert!(LogicalType::try_from(&proto::DataType::default()).is_err());
}

#[test]
fn types_are_named_as_flink_names_them() {
    for text in [
        "CHAR(3) NOT NULL",
        "VARCHAR(7)",
        "STRING",
        "BYTES NOT NULL",
        "DECIMAL(38, 18)",
        "TIME(0)",
        "TIMESTAMP_LTZ(3)",
        "ARRAY<INT NOT NULL>",
        "MAP<STRING, BIGINT NOT NULL> NOT NULL",
        "ROW<`a` INT, `b` ROW<`c` DOUBLE NOT NULL> NOT NULL>",
    ] {
        assert_eq!(sql::parse_type(text).unwrap().to_string(), text);
    }
    let rowtime = TypeKind::Timestamp(3, TimeAttribute::Rowtime).not_null();
    assert_eq!(rowtime.to_string(), "TIMESTAMP(3) NOT NULL *ROWTIME*");
    assert_eq!(TypeKind::Time(3).to_arrow(), DataType::Time32(TimeUnit::Millisecond));
    assert_eq!(TypeKind::IntervalYearMonth("MONTH".into()).to_arrow(), DataType::Interval(IntervalUnit::YearMonth));
}

#[test]
fn nested_literals_survive_their_message() {
    for text in ["CASE WHEN 1 > 2 THEN 'a' ELSE NULL END", "CAST(x'0aff' AS STRING)", "TRIM(BOTH 'x' FROM 'xax')"] {
        let expression = sql::parse(text).unwrap();
        assert_eq!(there_and_back(&expression), expression);
    }
    let element = TypeKind::Int.nullable();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(-3)]));
    let list = TypeKind::Array(Box::new(element)).to_arrow();
    let DataType::List(field) = list else { panic!("{list}") };
    let offsets = arrow::buffer::OffsetBuffer::from_lengths([3]);
    let list = arrow::array::ListArray::new(field, offsets, numbers, None);
    let list = literal(ScalarValue::List(Arc::new(list)), TypeKind::Array(Box::new(TypeKind::Int.nullable())));
    assert_eq!(there_and_back(&list), list);
    let fields = vec![RowField::new("n", TypeKind::Int.nullable()), RowField::new("s", TypeKind::string().nullable())];
    let kind = TypeKind::Row(fields);
    let DataType::Struct(arrow_fields) = kind.to_arrow() else { panic!("a struct") };
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int32Array::from(vec![7])), Arc::new(StringViewArray::from(vec![None::<&str>]))];
    let row = literal(ScalarValue::Struct(Arc::new(StructArray::new(arrow_fields, columns, None))), kind);
    assert_eq!(there_and_back(&row), row);
}

proptest! {
    #[test]
    fn plain_literals_survive_their_message(
        long in any::<i64>(), double in any::<f64>().prop_filter("equal to itself", |d| !d.is_nan()),
        unscaled in -10_i128.pow(37)..10_i128.pow(37), text in "\\PC{0,12}", bytes in any::<Vec<u8>>(),
    ) {
        let unit = |value| ScalarValue::TimestampMicrosecond(Some(value), None);
        let literals = [
            literal(ScalarValue::Int64(Some(long)), TypeKind::Bigint),
            literal(ScalarValue::Int8(Some(long as i8)), TypeKind::Tinyint),
            literal(ScalarValue::Int16(Some(long as i16)), TypeKind::Smallint),
            literal(ScalarValue::Int32(Some(long as i32)), TypeKind::Int),
            literal(ScalarValue::Date32(Some(long as i32)), TypeKind::Date),
            literal(ScalarValue::Time32Millisecond(Some(long as i32)), TypeKind::Time(0)),
            literal(ScalarValue::IntervalYearMonth(Some(long as i32)), TypeKind::IntervalYearMonth("MONTH".into())),
            literal(ScalarValue::DurationMillisecond(Some(long)), TypeKind::IntervalDayTime("SECOND(3)".into())),
            literal(unit(long), TypeKind::Timestamp(6, TimeAttribute::Regular)),
            literal(ScalarValue::Float64(Some(double)), TypeKind::Double),
            literal(ScalarValue::Float32(Some(double as f32)), TypeKind::Float),
            literal(ScalarValue::Decimal128(Some(unscaled), 38, 9), TypeKind::Decimal(38, 9)),
            literal(ScalarValue::Utf8View(Some(text)), TypeKind::string()),
            literal(ScalarValue::BinaryView(Some(bytes)), TypeKind::bytes()),
            literal(ScalarValue::Boolean(Some(long > 0)), TypeKind::Boolean),
        ];
        for literal in literals {
            prop_assert_eq!(there_and_back(&literal), literal);
        }
    }
}
