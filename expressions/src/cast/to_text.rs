//! Casts of every type to CHAR and VARCHAR.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, ByteView, StringViewArray, StringViewBuilder, make_view,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    Date32Type, Decimal128Type, DurationMillisecondType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, IntervalYearMonthType, Time32MillisecondType,
};

use super::java_float::{write_double, write_float, write_integer};
use super::java_text::utf8_as_java;
use super::{Cast, Mode, identity};
use crate::error::{Error, Result};
use crate::expression::datetime::{DAY, Instant, timestamps, write_date, write_time, write_timestamp};
use crate::expression::{Zone, decimal};
use crate::functions::{bitmap_as_text, variant_as_json};
use crate::types::{LogicalType, MAX_LENGTH, RowField, TypeKind};

/// The length of a CHAR or VARCHAR and whether it is padded.
fn bounds(kind: &TypeKind) -> (usize, bool) {
    match kind {
        TypeKind::Char(length) => (*length as usize, true),
        TypeKind::Varchar(MAX_LENGTH) => (usize::MAX, false),
        TypeKind::Varchar(length) => (*length as usize, false),
        _ => (usize::MAX, false),
    }
}

/// The byte after the first `length` characters.
fn end_of(text: &str, length: usize) -> usize {
    if text.len() <= length {
        return text.len();
    }
    text.char_indices().nth(length).map_or(text.len(), |(at, _)| at)
}

/// Between CHAR and VARCHAR: cuts what is too long, fills a CHAR with spaces.
pub(super) fn resize(from: &TypeKind, to: &TypeKind) -> Option<Cast> {
    let (length, pad) = bounds(to);
    let fits = match from {
        TypeKind::Char(source) => *source as usize <= length && (!pad || *source as usize == length),
        TypeKind::Varchar(source) => *source as usize <= length && !pad,
        _ => false,
    };
    if fits || length == usize::MAX {
        return Some(identity());
    }
    Some(Box::new(move |array| {
        let texts = array.as_string_view();
        if pad {
            return Ok(strings(texts.len(), |row, out| {
                if texts.is_null(row) {
                    return false;
                }
                out.push_str(texts.value(row));
                fit(out, length, true);
                true
            }));
        }
        // Shorter views of the same bytes.
        let views = texts.views().iter().enumerate().map(|(row, view)| {
            if texts.is_null(row) {
                return 0;
            }
            let text = texts.value(row);
            let end = end_of(text, length);
            if end == text.len() {
                return *view;
            }
            let view = ByteView::from(*view);
            make_view(&text.as_bytes()[..end], view.buffer_index, view.offset)
        });
        let views: ScalarBuffer<u128> = views.collect();
        Ok(Arc::new(StringViewArray::try_new(views, texts.data_buffers().to_vec(), texts.nulls().cloned())?))
    }))
}

/// Cuts and pads a text.
fn fit(text: &mut String, length: usize, pad: bool) {
    text.truncate(end_of(text, length));
    if pad && length < MAX_LENGTH as usize {
        let missing = length - text.chars().count();
        text.extend(std::iter::repeat_n(' ', missing));
    }
}

/// Cuts and pads the text of what is no text, which Java makes: by its units of UTF-16. Half of a character that is left is `?`.
fn fit_units(text: &mut String, length: usize, pad: bool) {
    if length == usize::MAX {
        return;
    }
    let mut units = 0;
    let cut = text.char_indices().find_map(|(at, character)| {
        let before = units;
        units += character.len_utf16();
        (units > length).then_some((at, before))
    });
    match cut {
        Some((at, before)) => {
            text.truncate(at);
            text.extend((before < length).then_some('?'));
        }
        None if pad && length < MAX_LENGTH as usize => text.extend(std::iter::repeat_n(' ', length - units)),
        None => {}
    }
}

fn strings(rows: usize, mut write: impl FnMut(usize, &mut String) -> bool) -> ArrayRef {
    let mut builder = StringViewBuilder::with_capacity(rows);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        if write(row, &mut text) { builder.append_value(&text) } else { builder.append_null() }
    }
    Arc::new(builder.finish())
}

/// A cast of anything but strings to CHAR or VARCHAR.
pub(super) fn cast(from: &TypeKind, to: &TypeKind, mode: Mode) -> Option<Cast> {
    let (length, pad) = bounds(to);
    let from = from.clone();
    Some(Box::new(move |array| match &from {
        TypeKind::Tinyint => Ok(integers::<Int8Type>(array, length, pad)),
        TypeKind::Smallint => Ok(integers::<Int16Type>(array, length, pad)),
        TypeKind::Int => Ok(integers::<Int32Type>(array, length, pad)),
        TypeKind::Bigint => Ok(integers::<Int64Type>(array, length, pad)),
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => binary_to_text(array, length, pad, mode),
        _ => {
            let write = writer(&from, array, mode.zone)?;
            Ok(strings(array.len(), |row, out| {
                if array.is_null(row) {
                    return false;
                }
                write(row, out);
                fit_units(out, length, pad);
                true
            }))
        }
    }))
}

fn integers<T: ArrowPrimitiveType>(array: &ArrayRef, length: usize, pad: bool) -> ArrayRef
where
    T::Native: Into<i64>,
{
    let values = array.as_primitive::<T>();
    strings(values.len(), |row, out| {
        if values.is_null(row) {
            return false;
        }
        write_integer(values.value(row).into(), out);
        if length != usize::MAX {
            fit_units(out, length, pad);
        }
        true
    })
}

fn binary_to_text(array: &ArrayRef, length: usize, pad: bool, _mode: Mode) -> Result<ArrayRef> {
    let bytes = array.as_binary_view();
    Ok(strings(bytes.len(), |row, out| {
        if bytes.is_null(row) {
            return false;
        }
        out.push_str(&utf8_as_java(bytes.value(row)));
        fit_units(out, length, pad);
        true
    }))
}

/// Writes the value of a row that is not null.
pub(crate) type Writer<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// Prepares the writing of a column's values.
pub(crate) fn writer<'a>(kind: &'a TypeKind, array: &'a ArrayRef, zone: Zone) -> Result<Writer<'a>> {
    fn whole<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Writer<'a>
    where
        T::Native: Into<i64>,
    {
        let values = array.as_primitive::<T>();
        Box::new(move |row, out| write_integer(values.value(row).into(), out))
    }
    Ok(match kind {
        TypeKind::Tinyint => whole::<Int8Type>(array),
        TypeKind::Smallint => whole::<Int16Type>(array),
        TypeKind::Int => whole::<Int32Type>(array),
        TypeKind::Bigint => whole::<Int64Type>(array),
        TypeKind::Char(_) | TypeKind::Varchar(_) => {
            let values = array.as_string_view();
            Box::new(move |row, out| out.push_str(values.value(row)))
        }
        TypeKind::Bitmap => {
            let values = array.as_binary_view();
            Box::new(move |row, out| bitmap_as_text(values.value(row), out))
        }
        TypeKind::Variant => {
            let values = array.as_string_view();
            Box::new(move |row, out| variant_as_json(values.value(row), out))
        }
        TypeKind::Binary(_) | TypeKind::Varbinary(_) => {
            let values = array.as_binary_view();
            Box::new(move |row, out| out.push_str(&utf8_as_java(values.value(row))))
        }
        TypeKind::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| out.push_str(if values.value(row) { "TRUE" } else { "FALSE" }))
        }
        TypeKind::Decimal(_, scale) => {
            let (values, scale) = (array.as_primitive::<Decimal128Type>(), *scale);
            Box::new(move |row, out| decimal::write(values.value(row), scale, out))
        }
        TypeKind::Float => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| write_float(values.value(row), out))
        }
        TypeKind::Double => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| write_double(values.value(row), out))
        }
        TypeKind::Date => {
            let values = array.as_primitive::<Date32Type>();
            Box::new(move |row, out| write_date(i64::from(values.value(row)), out))
        }
        TypeKind::Time(precision) => {
            let (values, precision) = (array.as_primitive::<Time32MillisecondType>(), *precision);
            Box::new(move |row, out| write_time(i64::from(values.value(row)), precision, out))
        }
        TypeKind::Timestamp(precision, _) => {
            let ((values, unit), precision) = (timestamps(array)?, *precision);
            Box::new(move |row, out| write_timestamp(Instant::of(values[row], unit), precision, out))
        }
        TypeKind::TimestampLtz(precision, _) => {
            let ((values, unit), precision) = (timestamps(array)?, *precision);
            Box::new(move |row, out| {
                let instant = Instant::of(values[row], unit);
                let offset = zone.offset_at(instant.millis.div_euclid(1000));
                write_timestamp(instant.plus_seconds(offset), precision, out);
            })
        }
        TypeKind::IntervalYearMonth(_) => {
            let values = array.as_primitive::<IntervalYearMonthType>();
            Box::new(move |row, out| write_months(i64::from(values.value(row)), out))
        }
        TypeKind::IntervalDayTime(_) => {
            let values = array.as_primitive::<DurationMillisecondType>();
            Box::new(move |row, out| write_interval(values.value(row), out))
        }
        TypeKind::Array(element) => {
            let lists = array.as_list::<i32>();
            let write = nullable(element, lists.values(), zone)?;
            let offsets = lists.value_offsets();
            Box::new(move |row, out| {
                out.push('[');
                for (i, at) in (offsets[row]..offsets[row + 1]).enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    write(at as usize, out);
                }
                out.push(']');
            })
        }
        TypeKind::Map(key, value) => map_writer(key, Some(value), array, zone)?,
        TypeKind::Multiset(element) => map_writer(element, None, array, zone)?,
        TypeKind::Row(fields) => {
            let columns = array.as_struct().columns();
            let writers = columns.iter().zip(fields).map(|(column, field)| nullable(&field.data_type, column, zone));
            let writers = writers.collect::<Result<Vec<_>>>()?;
            Box::new(move |row, out| {
                out.push('(');
                for (i, write) in writers.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    write(row, out);
                }
                out.push(')');
            })
        }
        TypeKind::Structured(_, fields) => {
            let columns = array.as_struct().columns();
            let named = |(column, field): (&'a ArrayRef, &'a RowField)| -> Result<(&'a str, Writer<'a>)> {
                Ok((field.name.as_str(), nullable(&field.data_type, column, zone)?))
            };
            let writers = columns.iter().zip(fields).map(named).collect::<Result<Vec<_>>>()?;
            Box::new(move |row, out| {
                out.push('(');
                for (i, (name, write)) in writers.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    out.push_str(name);
                    out.push('=');
                    write(row, out);
                }
                out.push(')');
            })
        }
        TypeKind::Null => return Err(Error::Plan("a column of untyped nulls".into())),
    })
}

fn nullable<'a>(data_type: &'a LogicalType, array: &'a ArrayRef, zone: Zone) -> Result<Writer<'a>> {
    if data_type.kind == TypeKind::Null {
        return Ok(Box::new(|_, out| out.push_str("NULL")));
    }
    let write = writer(&data_type.kind, array, zone)?;
    Ok(Box::new(move |row, out| if array.is_null(row) { out.push_str("NULL") } else { write(row, out) }))
}

fn map_writer<'a>(
    key: &'a LogicalType,
    value: Option<&'a LogicalType>,
    array: &'a ArrayRef,
    zone: Zone,
) -> Result<Writer<'a>> {
    let maps = array.as_map();
    let keys = nullable(key, maps.keys(), zone)?;
    let values = match value {
        Some(value) => nullable(value, maps.values(), zone)?,
        None => writer(&TypeKind::Int, maps.values(), zone)?,
    };
    let offsets = maps.value_offsets();
    Ok(Box::new(move |row, out| {
        out.push('{');
        for (i, at) in (offsets[row]..offsets[row + 1]).enumerate() {
            out.push_str(if i > 0 { ", " } else { "" });
            keys(at as usize, out);
            out.push('=');
            values(at as usize, out);
        }
        out.push('}');
    }))
}

/// `+1-02`.
fn write_months(months: i64, out: &mut String) {
    out.push(if months < 0 { '-' } else { '+' });
    let months = months.abs();
    write_integer(months / 12, out);
    out.push('-');
    out.push_str(if months % 12 < 10 { "0" } else { "" });
    write_integer(months % 12, out);
}

/// `+1 02:03:04.567`.
fn write_interval(millis: i64, out: &mut String) {
    out.push(if millis < 0 { '-' } else { '+' });
    let millis = millis.saturating_abs();
    write_integer(millis / DAY, out);
    out.push(' ');
    write_time(millis % DAY, 0, out);
    out.push('.');
    let fraction = millis % 1000;
    out.push_str(if fraction < 10 {
        "00"
    } else if fraction < 100 {
        "0"
    } else {
        ""
    });
    write_integer(fraction, out);
}

#[cfg(test)]
mod tests {
    use super::fit_units;

    /// What Flink made of bytes, arrays and rows with such texts. Failed before: a character beyond U+FFFF was one of the length.
    #[test]
    fn the_text_of_what_is_no_text_is_cut_by_units_of_utf_16() {
        for (text, length, pad, expected) in [
            ("[a\u{1f600}b]", 3, true, "[a?"),
            ("[a\u{1f600}b]", 4, false, "[a\u{1f600}"),
            ("[a\u{1f600}b]", 9, true, "[a\u{1f600}b]   "),
            ("(\u{1f600}\u{1f600})", 3, false, "(\u{1f600}"),
            ("\u{1f600}", 1, false, "?"),
            ("\u{1f600}", 2, true, "\u{1f600}"),
            ("a", 3, true, "a  "),
            ("abc", usize::MAX, false, "abc"),
        ] {
            let mut found = text.to_owned();
            fit_units(&mut found, length, pad);
            assert_eq!(found, expected, "{text} at {length}");
        }
    }
}
