//! A table's types as Flink's `ParquetSchemaConverter` maps them.
use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType as Annotation, Repetition, TimeUnit, Type as Physical};
use parquet::schema::types::{PrimitiveTypeBuilder, Type, TypePtr};
use wiesel_connectors::formats::parquet::Unit;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

/// The schema of a file.
pub(super) fn message(columns: &[RowField], int64: Option<Unit>) -> TypePtr {
    let fields = columns.iter().map(|column| field(&column.name, &column.data_type, int64)).collect();
    built(Type::group_type_builder("flink_schema").with_fields(fields).build())
}

/// Bytes that hold an unscaled decimal of so many digits.
pub(super) fn decimal_bytes(precision: u8) -> usize {
    let mut bytes = 1;
    while 2f64.powi(8 * bytes - 1) < 10f64.powi(precision.into()) {
        bytes += 1;
    }
    bytes as usize
}

/// The builders check only what is fixed here: names of groups, lengths and annotations that fit their types.
fn built(built: parquet::errors::Result<Type>) -> TypePtr {
    Arc::new(built.expect("each type below is one that the Parquet format defines"))
}

fn repetition(data_type: &LogicalType) -> Repetition {
    if data_type.nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED }
}

fn field(name: &str, data_type: &LogicalType, int64: Option<Unit>) -> TypePtr {
    let outer = repetition(data_type);
    match &data_type.kind {
        TypeKind::Row(fields) => {
            let fields = fields.iter().map(|inner| field(&inner.name, &inner.data_type, int64)).collect();
            built(Type::group_type_builder(name).with_repetition(outer).with_fields(fields).build())
        }
        TypeKind::Array(element) => {
            let element = field("element", element, int64);
            let list = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
            let list = built(list.with_fields(vec![element]).build());
            let group = Type::group_type_builder(name).with_repetition(outer).with_fields(vec![list]);
            let group = group.with_logical_type(Some(Annotation::List)).with_converted_type(ConvertedType::LIST);
            built(group.build())
        }
        TypeKind::Map(key, value) => map(name, outer, key, value, int64),
        TypeKind::Multiset(element) => map(name, outer, element, &TypeKind::Int.not_null(), int64),
        _ => built(leaf(name, data_type, int64).with_repetition(outer).build()),
    }
}

fn map(name: &str, outer: Repetition, key: &LogicalType, value: &LogicalType, int64: Option<Unit>) -> TypePtr {
    let key = field("key", &key.with_nullable(false), int64);
    let entry = Type::group_type_builder("key_value")
        .with_repetition(Repetition::REPEATED)
        .with_converted_type(ConvertedType::MAP_KEY_VALUE);
    let entry = built(entry.with_fields(vec![key, field("value", value, int64)]).build());
    let group = Type::group_type_builder(name).with_repetition(outer).with_fields(vec![entry]);
    built(group.with_logical_type(Some(Annotation::Map)).with_converted_type(ConvertedType::MAP).build())
}

fn leaf<'a>(name: &'a str, data_type: &LogicalType, int64: Option<Unit>) -> PrimitiveTypeBuilder<'a> {
    let plain = |physical| Type::primitive_type_builder(name, physical);
    let integer =
        |bits| plain(Physical::INT32).with_logical_type(Some(Annotation::Integer { bit_width: bits, is_signed: true }));
    match &data_type.kind {
        TypeKind::Char(_) | TypeKind::Varchar(_) => {
            plain(Physical::BYTE_ARRAY).with_logical_type(Some(Annotation::String))
        }
        TypeKind::Boolean => plain(Physical::BOOLEAN),
        TypeKind::Decimal(precision, scale) => plain(Physical::FIXED_LEN_BYTE_ARRAY)
            .with_length(decimal_bytes(*precision) as i32)
            .with_precision(i32::from(*precision))
            .with_scale(i32::from(*scale))
            .with_logical_type(Some(Annotation::Decimal {
                scale: i32::from(*scale),
                precision: i32::from(*precision),
            })),
        TypeKind::Tinyint => integer(8),
        TypeKind::Smallint => integer(16),
        TypeKind::Int => plain(Physical::INT32),
        TypeKind::Bigint => plain(Physical::INT64),
        TypeKind::Float => plain(Physical::FLOAT),
        TypeKind::Double => plain(Physical::DOUBLE),
        TypeKind::Date => plain(Physical::INT32).with_logical_type(Some(Annotation::Date)),
        TypeKind::Time(_) => plain(Physical::INT32)
            .with_logical_type(Some(Annotation::Time { is_adjusted_to_u_t_c: true, unit: TimeUnit::MILLIS })),
        TypeKind::Timestamp(..) | TypeKind::TimestampLtz(..) => match int64 {
            None => plain(Physical::INT96),
            Some(unit) => {
                let unit = match unit {
                    Unit::Millis => TimeUnit::MILLIS,
                    Unit::Micros => TimeUnit::MICROS,
                    Unit::Nanos => TimeUnit::NANOS,
                };
                plain(Physical::INT64)
                    .with_logical_type(Some(Annotation::Timestamp { is_adjusted_to_u_t_c: false, unit }))
            }
        },
        // Bytes; other types were refused when the table was described.
        _ => plain(Physical::BYTE_ARRAY),
    }
}
