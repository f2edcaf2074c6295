//! One JSON value into its column.
use std::borrow::Cow;
use std::collections::HashMap;

use wiesel_common::quote::{MAX_QUOTED, quote, quote_bytes};
use wiesel_expressions::cast::write_double;
use wiesel_expressions::functions::json_text;
use wiesel_expressions::types::TIMESTAMP_RANGE;

use crate::formats::column::ColumnBuilder;
use crate::formats::parse::{self, Parsed, TimestampStyle, trim};
use crate::formats::text::NANOS_PER_MILLI;
use crate::formats::{RecordBudget, base64};

use super::JsonFormat;
use super::fields::Fields;
use super::scan::{Value, for_each_element, for_each_field, unescape};

/// How values are read.
pub(super) struct Reading<'a> {
    pub(super) format: &'a JsonFormat,
    pub(super) scratch: &'a mut Vec<u8>,
    /// What may be made of the record; the place of a column's value is claimed by the caller that adds it.
    pub(super) budget: &'a mut RecordBudget,
}

/// Adds a value. What cannot be read is null with `json.ignore-parse-errors`, else an error.
pub(super) fn append(
    column: &mut ColumnBuilder,
    fields: &Fields,
    value: Value<'_>,
    to: &mut Reading<'_>,
) -> Parsed<()> {
    if value == Value::Null {
        column.append_null();
        return Ok(());
    }
    match read(column, fields, value, to) {
        Err(_) if to.budget.may_ignore(to.format.ignore_parse_errors) => {
            column.append_null();
            Ok(())
        }
        outcome => outcome,
    }
}

/// Adds the value, or nothing at all and says why.
fn read(column: &mut ColumnBuilder, fields: &Fields, value: Value<'_>, to: &mut Reading<'_>) -> Parsed<()> {
    match column {
        ColumnBuilder::Text(b) => match value {
            Value::Text(raw) => {
                let text = utf8(unescape(raw, to.scratch)?)?;
                to.budget.claim(text.len())?;
                b.append_value(text);
            }
            other => {
                let mut text = String::new();
                match other {
                    // The parser has its text, a tree has what it stands for.
                    Value::Number(number) if to.format.parser => write(&mut text, utf8(number)?, to.budget)?,
                    Value::Number(number) => write(&mut text, &number_text(number)?, to.budget)?,
                    other => write_json(&mut text, other, to.budget)?,
                }
                b.append_value(text);
            }
        },
        ColumnBuilder::Int(b) => b.append_value(whole(value, to, i64::from(i32::MIN), i64::from(i32::MAX))? as i32),
        ColumnBuilder::Bigint(b) => b.append_value(whole(value, to, i64::MIN, i64::MAX)?),
        ColumnBuilder::Tinyint(b) => {
            let text = trim(scalar(value, to)?);
            b.append_value(parse::integer(text, i64::from(i8::MIN), i64::from(i8::MAX))? as i8);
        }
        ColumnBuilder::Smallint(b) => {
            let text = trim(scalar(value, to)?);
            b.append_value(parse::integer(text, i64::from(i16::MIN), i64::from(i16::MAX))? as i16);
        }
        ColumnBuilder::Double(b) => b.append_value(parse::double(scalar(value, to)?)?),
        ColumnBuilder::Float(b) => b.append_value(parse::float(scalar(value, to)?)?),
        ColumnBuilder::Boolean(b) => match value {
            Value::Boolean(value) => b.append_value(value),
            other => b.append_value(trim(scalar(other, to)?).eq_ignore_ascii_case(b"true")),
        },
        ColumnBuilder::Decimal(b, precision, scale) => {
            b.append_option(parse::decimal(trim(scalar(value, to)?), *precision, *scale)?);
        }
        ColumnBuilder::Date(b) => {
            let days = parse::date(string(value, to)?)?;
            b.append_value(i32::try_from(days).map_err(|_| "the date is out of range".to_owned())?);
        }
        ColumnBuilder::Time(b, precision) => {
            let text = string(value, to)?;
            // Seconds may not be left out here, and the end of the day is its beginning.
            if text.len() < "00:00:00".len() {
                return Err(format!("Text '{}' could not be parsed at index {}", quote_bytes(text), text.len()));
            }
            let nanos = if text == b"24:00:00" { 0 } else { parse::time(text)? };
            let millis = nanos / NANOS_PER_MILLI;
            b.append_value(if *precision == 0 { millis / 1000 * 1000 } else { millis } as i32);
        }
        ColumnBuilder::Timestamp(b) => {
            let style = if to.format.iso_8601 { TimestampStyle::Iso } else { TimestampStyle::Sql };
            let text = string(value, to)?;
            let (days, nanos) = parse::timestamp(text, style, b.zone)?;
            if !b.append(days, nanos) {
                return Err(format!("Text '{}' is out of range: {TIMESTAMP_RANGE}", quote_bytes(text)));
            }
        }
        ColumnBuilder::Bytes(b) => {
            let bytes = base64::decode(string(value, to)?)?;
            to.budget.claim(bytes.len())?;
            b.append_value(bytes);
        }
        ColumnBuilder::Array(b) => {
            let Value::Array(array) = value else { return Err(mismatch(value, "an array")) };
            let (inner, width) = (fields.child(0), b.element.width());
            for_each_element(array, |element| {
                to.budget.claim(width)?;
                append(&mut b.element, inner, element, to)
            })?;
            b.end(true);
        }
        ColumnBuilder::Map(b) => {
            let Value::Object(object) = value else { return Err(mismatch(value, "an object")) };
            let width = b.keys.width() + b.values.width();
            for_each_field(object, |name, value| {
                to.budget.claim(width)?;
                append(&mut b.keys, fields.child(0), Value::Text(name), to)?;
                append(&mut b.values, fields.child(1), value, to)
            })?;
            b.end(true);
        }
        ColumnBuilder::Row(b) => {
            let Value::Object(object) = value else { return Err(mismatch(value, "an object")) };
            let found = fields.find(object, to.format.parser, to.scratch)?;
            for (i, column) in b.columns.iter_mut().enumerate() {
                match found.get(i).copied().flatten() {
                    Some(value) => append(column, fields.child(i), value, to)?,
                    None if to.format.fail_on_missing_field => {
                        return Err(format!("Could not find field with name '{}'.", fields.name(i)));
                    }
                    None => column.append_null(),
                }
            }
            b.end(true);
        }
        _ => return Err("json has no text for this type".to_owned()),
    }
    Ok(())
}

fn mismatch(value: Value<'_>, wanted: &str) -> String {
    let raw = match value {
        Value::Number(raw) | Value::Text(raw) | Value::Array(raw) | Value::Object(raw) => raw,
        Value::Null | Value::Boolean(_) => &[],
    };
    let mut text = String::new();
    let shown = if raw.len() > MAX_QUOTED || matches!(value, Value::Number(_)) {
        quote_bytes(raw)
    } else {
        let written = write_json(&mut text, value, &mut RecordBudget::default());
        written.map_or_else(|_| "a value".into(), |()| quote(&text))
    };
    format!("{shown} is no {}", wanted.trim_start_matches("an "))
}

fn utf8(raw: &[u8]) -> Parsed<&str> {
    std::str::from_utf8(raw).map_err(|error| format!("Invalid UTF-8: {error}"))
}

/// The text of a number, a boolean or a string.
fn scalar<'s>(value: Value<'s>, to: &'s mut Reading<'_>) -> Parsed<&'s [u8]> {
    match value {
        Value::Text(raw) => unescape(raw, to.scratch),
        Value::Number(number) => Ok(number),
        Value::Boolean(true) => Ok(b"true"),
        Value::Boolean(false) => Ok(b"false"),
        other => Err(mismatch(other, "a scalar")),
    }
}

fn string<'s>(value: Value<'s>, to: &'s mut Reading<'_>) -> Parsed<&'s [u8]> {
    match value {
        Value::Text(raw) => unescape(raw, to.scratch),
        other => Err(mismatch(other, "a string")),
    }
}

/// A whole number: of a number with a fraction its whole part, of a string all of it.
fn whole(value: Value<'_>, to: &mut Reading<'_>, least: i64, most: i64) -> Parsed<i64> {
    let Value::Number(number) = value else {
        return parse::integer(trim(scalar(value, to)?), least, most);
    };
    if number.iter().all(|byte| !matches!(byte, b'.' | b'e' | b'E')) {
        return parse::integer(number, least, most);
    }
    let value = parse::double(number)?.trunc();
    if value >= least as f64 && value <= most as f64 {
        return Ok(value as i64);
    }
    Err(format!("Numeric value ({}) out of range", quote_bytes(number)))
}

/// What a member of an object takes while those of its name are looked for, about.
const MEMBER_BYTES: usize = 128;

/// A value as the text of a tree, as Jackson writes it: without spaces, numbers and texts by what they stand for, and of each name of
/// an object the last value, where the name is first.
fn write_json(out: &mut String, value: Value<'_>, budget: &mut RecordBudget) -> Parsed<()> {
    match value {
        Value::Null => write(out, "null", budget)?,
        Value::Boolean(value) => write(out, if value { "true" } else { "false" }, budget)?,
        Value::Number(number) => {
            let text = number_text(number)?;
            // One that no DOUBLE holds.
            let around = if text.ends_with('y') { "\"" } else { "" };
            [around, &text, around].into_iter().try_for_each(|part| write(out, part, budget))?;
        }
        Value::Text(raw) => write_text(out, &unescaped(raw)?, budget)?,
        Value::Array(array) => {
            write(out, "[", budget)?;
            let mut first = true;
            for_each_element(array, |element| {
                separate(out, &mut first, budget)?;
                write_json(out, element, budget)
            })?;
            write(out, "]", budget)?;
        }
        Value::Object(object) => {
            write(out, "{", budget)?;
            let mut first = true;
            for (name, value) in members(object, budget)? {
                separate(out, &mut first, budget)?;
                write_text(out, &name, budget)?;
                write(out, ":", budget)?;
                write_json(out, value, budget)?;
            }
            write(out, "}", budget)?;
        }
    }
    Ok(())
}

/// The values of an object in the order of their names' first places, each name's last value.
fn members<'a>(object: &'a [u8], budget: &mut RecordBudget) -> Parsed<Vec<(Cow<'a, [u8]>, Value<'a>)>> {
    let mut places: HashMap<Cow<'a, [u8]>, usize> = HashMap::new();
    let mut members: Vec<(Cow<'a, [u8]>, Value<'a>)> = Vec::new();
    for_each_field(object, |name, value| {
        let name = unescaped(name)?;
        match places.get(&name) {
            Some(place) => members[*place].1 = value,
            None => {
                budget.claim(MEMBER_BYTES)?;
                places.insert(name.clone(), members.len());
                members.push((name, value));
            }
        }
        Ok(())
    })?;
    Ok(members)
}

/// What is between the quotes of a string, without its escapes.
fn unescaped(raw: &[u8]) -> Parsed<Cow<'_, [u8]>> {
    if memchr::memchr(b'\\', raw).is_none() {
        return Ok(Cow::Borrowed(raw));
    }
    let mut text = Vec::new();
    unescape(raw, &mut text)?;
    Ok(Cow::Owned(text))
}

/// A number as Java's int, long or BigInteger has it, with a fraction as a double.
fn number_text(number: &[u8]) -> Parsed<Cow<'_, str>> {
    if number == b"-0" {
        return Ok(Cow::Borrowed("0"));
    }
    if !number.iter().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
        return utf8(number).map(Cow::Borrowed);
    }
    let mut text = String::new();
    write_double(parse::double(number)?, &mut text);
    Ok(Cow::Owned(text))
}

fn write(out: &mut String, text: &str, budget: &mut RecordBudget) -> Parsed<()> {
    budget.claim(text.len())?;
    out.push_str(text);
    Ok(())
}

/// A text with its quotes and escapes.
fn write_text(out: &mut String, text: &[u8], budget: &mut RecordBudget) -> Parsed<()> {
    let text = utf8(text)?;
    let longer = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 1,
        0..b' ' => "\\u0000".len() - 1,
        _ => 0,
    };
    budget.claim(text.len() + 2 + text.bytes().map(longer).sum::<usize>())?;
    json_text(text, out);
    Ok(())
}

fn separate(out: &mut String, first: &mut bool, budget: &mut RecordBudget) -> Parsed<()> {
    if std::mem::take(first) { Ok(()) } else { write(out, ",", budget) }
}
