//! Rows to delimited text, quoted where Jackson quotes.
use std::fmt::Write;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use wiesel_expressions::cast::{write_double, write_float};
use wiesel_expressions::row_kind::RowKind;
use wiesel_operators::operator::{Error, Result};

use super::CsvFormat;
use crate::formats::message::SerializationSchema;
use crate::formats::text::{self, NANOS_PER_MILLI, put};
use crate::formats::{Encoder, base64};

/// Texts of more units of UTF-16 are quoted whatever they hold.
const LONGEST_UNQUOTED: usize = 24;

/// Writes records of one table.
pub(crate) struct CsvEncoder {
    format: CsvFormat,
    field: String,
}

impl CsvEncoder {
    pub(crate) fn new(format: CsvFormat) -> Self {
        Self { format, field: String::new() }
    }

    /// Of messages: unlike in files, a DECIMAL has all digits of its scale unless the table's options say otherwise.
    pub(crate) fn of_messages(format: CsvFormat) -> Self {
        let plain_decimals = !format.scientific_messages;
        Self::new(CsvFormat { plain_decimals, ..format })
    }
}

impl Encoder for CsvEncoder {
    fn encode(&mut self, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> Result<()> {
        self.serialize(columns, row, RowKind::Insert, out)?;
        out.push(b'\n');
        Ok(())
    }
}

impl SerializationSchema for CsvEncoder {
    fn serialize(&mut self, columns: &[ArrayRef], row: usize, _: RowKind, out: &mut Vec<u8>) -> Result<()> {
        for (i, column) in columns.iter().enumerate() {
            if i > 0 {
                out.extend_from_slice(self.format.delimiter.to_string().as_bytes());
            }
            self.field.clear();
            if column.is_null(row) {
                // What stands for null is never quoted.
                out.extend_from_slice(self.format.null_literal.as_deref().unwrap_or_default().as_bytes());
                continue;
            }
            write_value(&mut self.field, &self.format, column.as_ref(), row)?;
            let number = column.data_type().is_numeric() || matches!(column.data_type(), DataType::Boolean);
            if number {
                out.extend_from_slice(self.field.as_bytes());
            } else {
                self.format.write_quoted(&self.field, out);
            }
        }
        Ok(())
    }
}

impl CsvFormat {
    /// Writes a text, in quotes if it needs them.
    fn write_quoted(&self, text: &str, out: &mut Vec<u8>) {
        let Some(quote) = self.quote else {
            out.extend_from_slice(text.as_bytes());
            return;
        };
        let safe = u32::from(self.delimiter).max(u32::from(quote)).max(u32::from('\n'));
        // Without an escape character a reader may have Jackson's usual one.
        let escape = self.escape.map_or('\\', char::from);
        let needed = text.len() > LONGEST_UNQUOTED && text.encode_utf16().count() > LONGEST_UNQUOTED
            || text.chars().any(|character| u32::from(character) <= safe || character == escape);
        if !needed {
            out.extend_from_slice(text.as_bytes());
            return;
        }
        out.push(quote);
        for byte in text.bytes() {
            if byte == quote || Some(byte) == self.escape {
                out.push(byte);
            }
            out.push(byte);
        }
        out.push(quote);
    }
}

/// The text of a value that is not null.
pub(crate) fn write_value(out: &mut String, format: &CsvFormat, column: &dyn Array, row: usize) -> Result<()> {
    match column.data_type() {
        DataType::Boolean => put!(out, "{}", column.as_boolean().value(row)),
        DataType::Int8 => put!(out, "{}", column.as_primitive::<Int8Type>().value(row)),
        DataType::Int16 => put!(out, "{}", column.as_primitive::<Int16Type>().value(row)),
        DataType::Int32 => put!(out, "{}", column.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => put!(out, "{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Float32 => write_float(column.as_primitive::<Float32Type>().value(row), out),
        DataType::Float64 => write_double(column.as_primitive::<Float64Type>().value(row), out),
        DataType::Decimal128(_, scale) => {
            let value = column.as_primitive::<Decimal128Type>().value(row);
            if format.plain_decimals {
                text::write_decimal(out, value, *scale);
            } else {
                text::write_big_decimal(out, value, *scale);
            }
        }
        DataType::Utf8View => out.push_str(column.as_string_view().value(row)),
        DataType::BinaryView => base64::encode(column.as_binary_view().value(row), out),
        DataType::Date32 => text::write_date(out, column.as_primitive::<Date32Type>().value(row)),
        DataType::Time32(_) => text::write_sql_time(out, text::number(column, row) * NANOS_PER_MILLI),
        DataType::Timestamp(unit, zone) => {
            text::write_sql_timestamp(out, text::number(column, row), *unit, ' ');
            if zone.is_some() {
                out.push('Z');
            }
        }
        DataType::List(_) => {
            let items = column.as_list::<i32>().value(row);
            for i in 0..items.len() {
                write_element(out, format, items.as_ref(), i, i)?;
            }
        }
        DataType::Struct(_) => {
            for (i, field) in column.as_struct().columns().iter().enumerate() {
                write_element(out, format, field.as_ref(), row, i)?;
            }
        }
        other => return Err(Error::Plan(format!("csv has no text for {other}"))),
    }
    Ok(())
}

fn write_element(out: &mut String, format: &CsvFormat, column: &dyn Array, row: usize, position: usize) -> Result<()> {
    if position > 0 {
        out.push_str(&format.element_delimiter);
    }
    if column.is_null(row) {
        out.push_str(format.null_literal.as_deref().unwrap_or_default());
        return Ok(());
    }
    write_value(out, format, column, row)
}
