//! One field of a CSV record into its column.
use wiesel_common::quote::quote_bytes;
use wiesel_operators::expression::MAX_VALUE_BYTES;
use wiesel_operators::types::TIMESTAMP_RANGE;

use crate::formats::base64;
use crate::formats::column::ColumnBuilder;
use crate::formats::parse::{self, Parsed, TimestampStyle, trim};
use crate::formats::text::NANOS_PER_MILLI;

use super::CsvFormat;

/// The most elements of an array: without their content they take as much as the longest value may have.
const MAX_ELEMENTS: usize = MAX_VALUE_BYTES / size_of::<u128>();

/// Adds a field. What cannot be read is null with `csv.ignore-parse-errors`, else an error.
pub(crate) fn append(column: &mut ColumnBuilder, text: &[u8], format: &CsvFormat) -> Parsed<()> {
    // In a column of an ARRAY or a ROW the literal stands for elements, never for the whole.
    let whole = !matches!(column, ColumnBuilder::Array(_) | ColumnBuilder::Row(_));
    if whole && format.null_literal.as_ref().is_some_and(|literal| literal.as_bytes() == text) {
        column.append_null();
        return Ok(());
    }
    match read(column, text, format) {
        Err(_) if format.ignore_parse_errors => {
            column.append_null();
            Ok(())
        }
        outcome => outcome,
    }
}

/// Adds the value of a text, or nothing at all and says why.
fn read(column: &mut ColumnBuilder, text: &[u8], format: &CsvFormat) -> Parsed<()> {
    match column {
        ColumnBuilder::Text(b) => {
            b.append_value(std::str::from_utf8(text).map_err(|error| format!("Invalid UTF-8: {error}"))?);
        }
        ColumnBuilder::Int(b) => {
            b.append_value(parse::integer(trim(text), i64::from(i32::MIN), i64::from(i32::MAX))? as i32);
        }
        ColumnBuilder::Bigint(b) => b.append_value(parse::integer(trim(text), i64::MIN, i64::MAX)?),
        ColumnBuilder::Tinyint(b) => {
            b.append_value(parse::integer(trim(text), i64::from(i8::MIN), i64::from(i8::MAX))? as i8);
        }
        ColumnBuilder::Smallint(b) => {
            b.append_value(parse::integer(trim(text), i64::from(i16::MIN), i64::from(i16::MAX))? as i16);
        }
        ColumnBuilder::Double(b) => b.append_value(parse::double(text)?),
        ColumnBuilder::Float(b) => b.append_value(parse::float(text)?),
        ColumnBuilder::Boolean(b) => b.append_value(trim(text).eq_ignore_ascii_case(b"true")),
        ColumnBuilder::Decimal(b, precision, scale) => b.append_option(parse::decimal(text, *precision, *scale)?),
        ColumnBuilder::Date(b) => b.append_value(days(parse::sql_date(text)?)?),
        ColumnBuilder::Time(b, precision) => {
            let millis = parse::time(text)? / NANOS_PER_MILLI;
            b.append_value(if *precision == 0 { millis / 1000 * 1000 } else { millis } as i32);
        }
        ColumnBuilder::Timestamp(b) => {
            let text = trim(text);
            let (days, nanos) = parse::timestamp(text, TimestampStyle::Sql, b.zone)?;
            if !b.append(days, nanos) {
                return Err(format!("Text '{}' is out of range: {TIMESTAMP_RANGE}", quote_bytes(text)));
            }
        }
        ColumnBuilder::Bytes(b) => b.append_value(base64::decode(text)?),
        ColumnBuilder::Array(b) => {
            // Each but the last is followed by a delimiter.
            if text.len() >= MAX_ELEMENTS && elements(text, format).nth(MAX_ELEMENTS).is_some() {
                return Err(format!("An ARRAY has more than {MAX_ELEMENTS} elements: one may have so many at most"));
            }
            let mut outcome = Ok(());
            for element in elements(text, format) {
                if outcome.is_ok() {
                    outcome = append(&mut b.element, element, format);
                }
            }
            outcome?;
            b.end(true);
        }
        ColumnBuilder::Row(_) if text.is_empty() => column.append_null(),
        ColumnBuilder::Row(b) => {
            let expected = b.columns.len();
            // What is beyond the last field is left out.
            let fields: Vec<&[u8]> = elements(text, format).take(expected).collect();
            let found = fields.len();
            if found < expected && !format.ignore_parse_errors {
                return Err(format!("Row length mismatch. {expected} fields expected but was {found}."));
            }
            for (i, column) in b.columns.iter_mut().enumerate() {
                match fields.get(i) {
                    Some(field) => append(column, field, format)?,
                    None => column.append_null(),
                }
            }
            b.end(true);
        }
        _ => return Err("csv has no text for this type".to_owned()),
    }
    Ok(())
}

/// The parts of an ARRAY or a ROW. An empty text has none.
fn elements<'a>(text: &'a [u8], format: &'a CsvFormat) -> impl Iterator<Item = &'a [u8]> {
    let delimiter = format.element_delimiter.as_bytes();
    let mut rest = (!text.is_empty()).then_some(text);
    std::iter::from_fn(move || {
        let current = rest?;
        let end = if delimiter.is_empty() { None } else { memchr::memmem::find(current, delimiter) };
        rest = end.map(|end| &current[end + delimiter.len()..]);
        Some(end.map_or(current, |end| &current[..end]))
    })
}

fn days(days: i64) -> Parsed<i32> {
    i32::try_from(days).map_err(|_| "the date is out of range".to_owned())
}
