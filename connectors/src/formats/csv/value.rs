//! One field of a CSV record into its column.
use wiesel_common::quote::quote_bytes;
use wiesel_expressions::types::TIMESTAMP_RANGE;

use crate::formats::column::ColumnBuilder;
use crate::formats::parse::{self, Parsed, TimestampStyle, trim};
use crate::formats::text::NANOS_PER_MILLI;
use crate::formats::{RecordBudget, base64};

use super::CsvFormat;

/// Adds a field, whose place in the column was claimed. What cannot be read is null with `csv.ignore-parse-errors`, else an error.
pub(crate) fn append(
    column: &mut ColumnBuilder,
    text: &[u8],
    format: &CsvFormat,
    budget: &mut RecordBudget,
) -> Parsed<()> {
    // In a column of an ARRAY or a ROW the literal stands for elements, never for the whole.
    let whole = !matches!(column, ColumnBuilder::Array(_) | ColumnBuilder::Row(_));
    if whole && format.null_literal.as_ref().is_some_and(|literal| literal.as_bytes() == text) {
        column.append_null();
        return Ok(());
    }
    match read(column, text, format, budget) {
        Err(_) if budget.may_ignore(format.ignore_parse_errors) => {
            column.append_null();
            Ok(())
        }
        outcome => outcome,
    }
}

/// Adds the value of a text, or nothing at all and says why.
fn read(column: &mut ColumnBuilder, text: &[u8], format: &CsvFormat, budget: &mut RecordBudget) -> Parsed<()> {
    match column {
        ColumnBuilder::Text(b) => {
            let text = std::str::from_utf8(text).map_err(|error| format!("Invalid UTF-8: {error}"))?;
            budget.claim(text.len())?;
            b.append_value(text);
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
        ColumnBuilder::Bytes(b) => {
            let bytes = base64::decode(text)?;
            budget.claim(bytes.len())?;
            b.append_value(bytes);
        }
        ColumnBuilder::Array(b) => {
            let width = b.element.width();
            for element in elements(text, format) {
                budget.claim(width)?;
                append(&mut b.element, element, format, budget)?;
            }
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
                    Some(field) => append(column, field, format, budget)?,
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
