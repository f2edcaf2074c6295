//! Constants as messages.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ListArray, MapArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::DataType as ArrowType;
use datafusion_common::ScalarValue;
use wiesel_proto as proto;
use wiesel_proto::literal::Value;

use crate::types::{LogicalType, Malformed, TypeKind};

/// The message of a constant.
pub fn to_proto(value: &ScalarValue, data_type: &LogicalType) -> proto::Literal {
    proto::Literal {
        r#type: Some(data_type.into()),
        value: if value.is_null() { None } else { to_value(value, &data_type.kind) },
    }
}

fn to_value(value: &ScalarValue, kind: &TypeKind) -> Option<Value> {
    Some(match value {
        ScalarValue::Boolean(Some(v)) => Value::Boolean(*v),
        ScalarValue::Int8(Some(v)) => Value::Integer(i64::from(*v)),
        ScalarValue::Int16(Some(v)) => Value::Integer(i64::from(*v)),
        ScalarValue::Int32(Some(v)) | ScalarValue::Date32(Some(v)) | ScalarValue::Time32Millisecond(Some(v)) => {
            Value::Integer(i64::from(*v))
        }
        ScalarValue::IntervalYearMonth(Some(v)) => Value::Integer(i64::from(*v)),
        ScalarValue::Int64(Some(v)) | ScalarValue::DurationMillisecond(Some(v)) => Value::Integer(*v),
        ScalarValue::TimestampMillisecond(Some(v), _)
        | ScalarValue::TimestampMicrosecond(Some(v), _)
        | ScalarValue::TimestampNanosecond(Some(v), _) => Value::Integer(*v),
        ScalarValue::Float32(Some(v)) => Value::Double(f64::from(*v)),
        ScalarValue::Float64(Some(v)) => Value::Double(*v),
        ScalarValue::Decimal128(Some(v), _, _) => Value::Unscaled(v.to_string()),
        ScalarValue::Utf8View(Some(v)) | ScalarValue::Utf8(Some(v)) | ScalarValue::LargeUtf8(Some(v)) => {
            Value::Text(v.clone())
        }
        ScalarValue::BinaryView(Some(v)) | ScalarValue::Binary(Some(v)) | ScalarValue::LargeBinary(Some(v)) => {
            Value::Binary(v.clone().into())
        }
        ScalarValue::List(array) => list(&array.value(0), kind, 0),
        ScalarValue::Struct(array) => {
            let fields = kind.fields()?;
            let items = array.columns().iter().zip(fields).map(|(column, field)| item(column, 0, &field.data_type));
            Value::List(proto::LiteralList { items: items.collect() })
        }
        ScalarValue::Map(array) => {
            let entries = array.value(0);
            let (keys, values) = (entries.column(0), entries.column(1));
            let (key, value) = match kind {
                TypeKind::Map(key, value) => ((**key).clone(), (**value).clone()),
                TypeKind::Multiset(element) => ((**element).clone(), TypeKind::Int.not_null()),
                _ => return None,
            };
            let items = (0..keys.len()).flat_map(|row| [item(keys, row, &key), item(values, row, &value)]);
            Value::List(proto::LiteralList { items: items.collect() })
        }
        _ => return None,
    })
}

fn list(array: &ArrayRef, kind: &TypeKind, _row: usize) -> Value {
    let element = match kind {
        TypeKind::Array(element) => (**element).clone(),
        _ => TypeKind::Null.nullable(),
    };
    Value::List(proto::LiteralList { items: (0..array.len()).map(|row| item(array, row, &element)).collect() })
}

fn item(array: &ArrayRef, row: usize, data_type: &LogicalType) -> proto::Literal {
    let value = ScalarValue::try_from_array(array, row).unwrap_or(ScalarValue::Null);
    to_proto(&value, data_type)
}

/// The constant in a message.
pub fn from_proto(message: &proto::Literal, data_type: &LogicalType) -> Result<ScalarValue, Malformed> {
    let arrow = data_type.kind.to_arrow();
    let Some(value) = &message.value else {
        return ScalarValue::try_from(&arrow).map_err(|e| Malformed(e.to_string()));
    };
    let wrong = || Malformed(format!("a constant that is no {data_type}"));
    let narrow = |v: i64| i32::try_from(v).map_err(|_| wrong());
    Ok(match (value, &arrow) {
        (Value::Boolean(v), ArrowType::Boolean) => ScalarValue::Boolean(Some(*v)),
        (Value::Integer(v), ArrowType::Int8) => ScalarValue::Int8(Some(i8::try_from(*v).map_err(|_| wrong())?)),
        (Value::Integer(v), ArrowType::Int16) => ScalarValue::Int16(Some(i16::try_from(*v).map_err(|_| wrong())?)),
        (Value::Integer(v), ArrowType::Int32) => ScalarValue::Int32(Some(narrow(*v)?)),
        (Value::Integer(v), ArrowType::Date32) => ScalarValue::Date32(Some(narrow(*v)?)),
        (Value::Integer(v), ArrowType::Time32(_)) => ScalarValue::Time32Millisecond(Some(narrow(*v)?)),
        (Value::Integer(v), ArrowType::Interval(_)) => ScalarValue::IntervalYearMonth(Some(narrow(*v)?)),
        (Value::Integer(v), ArrowType::Int64) => ScalarValue::Int64(Some(*v)),
        (Value::Integer(v), ArrowType::Duration(_)) => ScalarValue::DurationMillisecond(Some(*v)),
        (Value::Integer(v), ArrowType::Timestamp(..)) => {
            ScalarValue::Int64(Some(*v)).cast_to(&arrow).map_err(|e| Malformed(e.to_string()))?
        }
        (Value::Double(v), ArrowType::Float32) => ScalarValue::Float32(Some(*v as f32)),
        (Value::Double(v), ArrowType::Float64) => ScalarValue::Float64(Some(*v)),
        (Value::Unscaled(v), ArrowType::Decimal128(precision, scale)) => {
            ScalarValue::Decimal128(Some(v.parse().map_err(|_| wrong())?), *precision, *scale)
        }
        (Value::Text(v), ArrowType::Utf8View) => ScalarValue::Utf8View(Some(v.clone())),
        (Value::Binary(v), ArrowType::BinaryView) => ScalarValue::BinaryView(Some(v.to_vec())),
        (Value::List(v), ArrowType::List(field)) => {
            let TypeKind::Array(element) = &data_type.kind else { return Err(wrong()) };
            let values = array(v.items.iter(), element)?;
            let offsets = OffsetBuffer::from_lengths([values.len()]);
            ScalarValue::List(Arc::new(ListArray::new(field.clone(), offsets, values, None)))
        }
        (Value::List(v), ArrowType::Struct(arrow_fields)) => {
            let fields = data_type.kind.fields().ok_or_else(wrong)?;
            let columns = fields.iter().zip(&v.items).map(|(field, item)| array([item].into_iter(), &field.data_type));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            // With its length: a structured type may have no field.
            let row = StructArray::try_new_with_length(arrow_fields.clone(), columns, None, 1);
            ScalarValue::Struct(Arc::new(row.map_err(|e| Malformed(e.to_string()))?))
        }
        (Value::List(v), ArrowType::Map(entries, _)) => {
            let (key, value) = match &data_type.kind {
                TypeKind::Map(key, value) => ((**key).clone(), (**value).clone()),
                TypeKind::Multiset(element) => ((**element).clone(), TypeKind::Int.not_null()),
                _ => return Err(wrong()),
            };
            let ArrowType::Struct(fields) = entries.data_type() else { return Err(wrong()) };
            let keys = array(v.items.iter().step_by(2), &key)?;
            let values = array(v.items.iter().skip(1).step_by(2), &value)?;
            let offsets = OffsetBuffer::from_lengths([keys.len()]);
            let pairs = StructArray::try_new(fields.clone(), vec![keys, values], None);
            let pairs = pairs.map_err(|e| Malformed(e.to_string()))?;
            ScalarValue::Map(Arc::new(MapArray::new(entries.clone(), offsets, pairs, None, false)))
        }
        _ => return Err(wrong()),
    })
}

fn array<'a>(items: impl Iterator<Item = &'a proto::Literal>, data_type: &LogicalType) -> Result<ArrayRef, Malformed> {
    let scalars = items.map(|item| from_proto(item, data_type)).collect::<Result<Vec<_>, _>>()?;
    if scalars.is_empty() {
        return Ok(arrow::array::new_empty_array(&data_type.kind.to_arrow()));
    }
    ScalarValue::iter_to_array(scalars).map_err(|e| Malformed(e.to_string()))
}
