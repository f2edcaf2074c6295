//! A row as text, as Flink's `Row.toString` gives it.
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use wiesel_expressions::cast::{write_double, write_float};
use wiesel_expressions::functions::{bitmap_as_text, variant_as_json};
use wiesel_expressions::row_kind::RowKind;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::formats::text::{self, put};

/// `+I[1, a]`. The fields tell texts from VARIANT and bytes from BITMAP.
pub(super) fn write_row(out: &mut String, kind: RowKind, records: &RecordBatch, fields: &[RowField], row: usize) {
    out.push_str(kind.short_string());
    write_fields(out, records.columns(), fields, row);
}

fn write_fields(out: &mut String, columns: &[ArrayRef], fields: &[RowField], row: usize) {
    out.push('[');
    for (i, column) in columns.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_value(out, column.as_ref(), fields.get(i).map(|field| &field.data_type), row);
    }
    out.push(']');
}

fn write_value(out: &mut String, column: &dyn Array, logical: Option<&LogicalType>, row: usize) {
    if column.is_null(row) {
        out.push_str("null");
        return;
    }
    let kind = logical.map(|logical| &logical.kind);
    match column.data_type() {
        DataType::Boolean => out.push_str(if column.as_boolean().value(row) { "true" } else { "false" }),
        DataType::Int8 => put!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => put!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => put!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => put!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => write_float(column.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => write_double(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(_, scale) => {
            text::write_decimal(out, column.as_primitive::<Decimal128Type>().value(row), *scale);
        }
        DataType::Utf8View if kind == Some(&TypeKind::Variant) => {
            variant_as_json(column.as_string_view().value(row), out);
        }
        DataType::BinaryView if kind == Some(&TypeKind::Bitmap) => {
            bitmap_as_text(column.as_binary_view().value(row), out);
        }
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        DataType::BinaryView => write_bytes(out, column.as_binary_view().value(row)),
        DataType::Date32 => text::write_date(out, column.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(_) => {
            text::write_local_time(out, text::number(column, row) * text::NANOS_PER_MILLI);
        }
        DataType::Timestamp(unit, zone) => {
            let (seconds, nanos) = text::split_timestamp(text::number(column, row), *unit);
            text::write_date(out, seconds.div_euclid(86_400) as i32);
            out.push('T');
            let time = seconds.rem_euclid(86_400) * text::NANOS_PER_SECOND + nanos;
            match zone {
                // An Instant always shows seconds, a LocalDateTime only if it must.
                Some(_) => {
                    text::write_instant_time(out, time);
                    out.push('Z');
                }
                None => text::write_local_time(out, time),
            }
        }
        DataType::Interval(_) => text::write_period(out, text::number(column, row)),
        DataType::Duration(_) => text::write_duration(out, text::number(column, row)),
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            let element = match kind {
                Some(TypeKind::Array(element)) => Some(&**element),
                _ => None,
            };
            write_items(out, '[', ']', items.len(), |out, i| write_value(out, &items, element, i));
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0), entries.column(1));
            let (key, value) = match kind {
                Some(TypeKind::Map(key, value)) => (Some(&**key), Some(&**value)),
                Some(TypeKind::Multiset(element)) => (Some(&**element), None),
                _ => (None, None),
            };
            write_items(out, '{', '}', keys.len(), |out, i| {
                write_value(out, keys, key, i);
                out.push('=');
                write_value(out, values, value, i);
            });
        }
        DataType::Struct(_) => {
            out.push_str("+I");
            let fields = kind.and_then(TypeKind::fields).unwrap_or_default();
            write_fields(out, column.as_struct().columns(), fields, row);
        }
        _ => out.push_str("null"),
    }
}

fn write_items(out: &mut String, open: char, close: char, length: usize, mut write: impl FnMut(&mut String, usize)) {
    out.push(open);
    for i in 0..length {
        if i > 0 {
            out.push_str(", ");
        }
        write(out, i);
    }
    out.push(close);
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    write_items(out, '[', ']', bytes.len(), |out, i| put!(out, "{}", bytes[i].cast_signed()));
}
