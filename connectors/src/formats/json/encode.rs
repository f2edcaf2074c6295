//! Rows to lines of JSON.
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use wiesel_expressions::cast::{write_double, write_float};
use wiesel_expressions::row_kind::RowKind;
use wiesel_operators::operator::{Error, Result};

use super::{JsonFormat, MapNullKey};
use crate::formats::message::SerializationSchema;
use crate::formats::text::{self, NANOS_PER_MILLI, put};
use crate::formats::{Encoder, base64};

use std::fmt::Write;

/// Writes lines of one table.
pub(crate) struct JsonEncoder {
    format: JsonFormat,
    names: Vec<String>,
    text: String,
}

impl JsonEncoder {
    pub(crate) fn new(format: JsonFormat) -> Self {
        let names = format.columns.iter().map(|column| column.name.clone()).collect();
        Self { format, names, text: String::new() }
    }
}

impl Encoder for JsonEncoder {
    fn encode(&mut self, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<()> {
        self.serialize(columns, row, RowKind::Insert, out)?;
        out.push(b'\n');
        Ok(())
    }
}

impl SerializationSchema for JsonEncoder {
    fn serialize(&mut self, columns: &[ArrayRef], row: usize, _: RowKind, out: &mut Vec<u8>) -> Result<()> {
        self.text.clear();
        let names = self.names.iter().map(String::as_str);
        write_object(&mut self.text, &self.format, names.zip(columns), row)?;
        out.extend_from_slice(self.text.as_bytes());
        Ok(())
    }
}

fn write_object<'a>(
    out: &mut String,
    format: &JsonFormat,
    fields: impl Iterator<Item = (&'a str, &'a ArrayRef)>,
    row: usize,
) -> Result<()> {
    out.push('{');
    let mut first = true;
    for (name, column) in fields {
        if format.ignore_null_fields && column.is_null(row) {
            continue;
        }
        separate(out, &mut first);
        write_text(out, name);
        out.push(':');
        write_value(out, format, column.as_ref(), row)?;
    }
    out.push('}');
    Ok(())
}

fn separate(out: &mut String, first: &mut bool) {
    if !std::mem::take(first) {
        out.push(',');
    }
}

fn write_value(out: &mut String, format: &JsonFormat, column: &dyn Array, row: usize) -> Result<()> {
    if column.is_null(row) {
        out.push_str("null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Boolean => put!(out, "{}", column.as_boolean().value(row)),
        DataType::Int8 => put!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => put!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => put!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => put!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => {
            let value = column.as_primitive::<Float32Type>().value(row);
            quoted_unless(out, value.is_finite(), |out| write_float(value, out));
        }
        DataType::Float64 => {
            let value = column.as_primitive::<Float64Type>().value(row);
            quoted_unless(out, value.is_finite(), |out| write_double(value, out));
        }
        DataType::Decimal128(_, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            if format.decimal_as_plain_number {
                text::write_decimal(out, value, *scale);
            } else {
                text::write_big_decimal(out, value, *scale);
            }
        }
        DataType::Utf8View => write_text(out, column.as_string_view().value(row)),
        DataType::BinaryView => {
            out.push('"');
            base64::encode(column.as_binary_view().value(row), out);
            out.push('"');
        }
        DataType::Date32 => {
            out.push('"');
            text::write_date(out, column.as_primitive::<Date32Type>().value(row));
            out.push('"');
        }
        DataType::Time32(_) => {
            out.push('"');
            text::write_sql_time(out, text::number(column, row) * NANOS_PER_MILLI);
            out.push('"');
        }
        DataType::Timestamp(unit, zone) => {
            let separator = if format.iso_8601 { 'T' } else { ' ' };
            out.push('"');
            text::write_sql_timestamp(out, text::number(column, row), *unit, separator);
            if zone.is_some() {
                out.push('Z');
            }
            out.push('"');
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            out.push('[');
            let mut first = true;
            for i in 0..items.len() {
                separate(out, &mut first);
                write_value(out, format, &items, i)?;
            }
            out.push(']');
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            let (keys, values) = (entries.column(0).as_string_view(), entries.column(1));
            out.push('{');
            let mut first = true;
            for i in 0..keys.len() {
                let key = match (keys.is_null(i), &format.map_null_key) {
                    (false, _) => keys.value(i),
                    (true, MapNullKey::Literal(literal)) => literal,
                    (true, MapNullKey::Drop) => continue,
                    (true, MapNullKey::Fail) => {
                        return Err(Error::data(
                            "java.lang.RuntimeException",
                            "JSON format doesn't support to serialize map data with null keys. You can drop null key \
                             entries or encode null in literals by specifying map-null-key.mode option.",
                        ));
                    }
                };
                separate(out, &mut first);
                write_text(out, key);
                out.push(':');
                write_value(out, format, values.as_ref(), i)?;
            }
            out.push('}');
        }
        DataType::Struct(fields) => {
            let names = fields.iter().map(|field| field.name().as_str());
            write_object(out, format, names.zip(column.as_struct().columns()), row)?;
        }
        other => return Err(Error::Plan(format!("json has no text for {other}"))),
    }
    Ok(())
}

fn quoted_unless(out: &mut String, plain: bool, write: impl FnOnce(&mut String)) {
    if plain {
        return write(out);
    }
    out.push('"');
    write(out);
    out.push('"');
}

/// A string with its escapes; characters beyond U+FFFF are escaped too, as Jackson writes them.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\' || c > '\u{ffff}') {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.push_str("\\\""),
            Some('\\') => out.push_str("\\\\"),
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\u{8}') => out.push_str("\\b"),
            Some('\u{c}') => out.push_str("\\f"),
            Some(c) => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    put!(out, "\\u{unit:04X}");
                }
            }
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    out.push('"');
}
