//! `PRINTF(format, values)`: values written as Java's `Formatter` writes them. A format that is malformed, has no value for one of its
//! specifiers or one of another type, gives NULL.
//!
//! [`specifier`] reads formats, [`number`] writes numbers. Not there: `%a`, `%h` of a text, dates of numbers (`%tY`).
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, IntervalYearMonthType};

use self::specifier::{Piece, Specifier};
use crate::cast;
use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Kernel, Text};
use crate::expression::{Zone, check_value};
use crate::types::TypeKind;

mod number;
mod specifier;
#[cfg(test)]
mod tests;

/// Why nothing comes of a format.
enum Failure {
    /// As Java's formatter would throw: the result is NULL.
    Malformed,
    /// Java's formatter has this and ours does not.
    Unsupported(String),
    /// The text became too long.
    TooLong(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::TooLong(error)
    }
}

/// A value of a row, as Java has it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Value {
    Null,
    Boolean(bool),
    /// An integer of so many bits; dates, times of day and intervals are such, too.
    Integer(i64, u32),
    Double(f64),
    /// A FLOAT, widened.
    Float(f64),
    /// What has no other form than its text.
    Other,
}

/// Makes a value's text.
type ToText<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

/// The values of one operand.
struct Values<'a> {
    kind: &'a TypeKind,
    array: &'a ArrayRef,
    /// Integers, widened; doubles.
    integers: Option<ArrayRef>,
    doubles: Option<arrow::array::Float64Array>,
    text: ToText<'a>,
}

impl<'a> Values<'a> {
    fn of(kind: &'a TypeKind, array: &'a ArrayRef) -> Result<Self> {
        let integers = match kind {
            TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint => {
                Some(arrow::compute::cast(array, &DataType::Int64)?)
            }
            TypeKind::Date | TypeKind::Time(_) => {
                let days_or_millis = arrow::compute::cast(array, &DataType::Int32)?;
                Some(arrow::compute::cast(&days_or_millis, &DataType::Int64)?)
            }
            TypeKind::IntervalDayTime(_) => Some(arrow::compute::cast(array, &DataType::Int64)?),
            TypeKind::IntervalYearMonth(_) => {
                let months = array.as_primitive::<IntervalYearMonthType>();
                Some(std::sync::Arc::new(months.unary::<_, arrow::datatypes::Int64Type>(i64::from)) as ArrayRef)
            }
            _ => None,
        };
        let doubles = match kind {
            TypeKind::Float | TypeKind::Double => Some(cast::numeric_to_double(array)?),
            _ => None,
        };
        let text: ToText<'a> = match kind {
            TypeKind::Null => Box::new(|_, _| {}),
            TypeKind::Timestamp(..) | TypeKind::TimestampLtz(..) => {
                let write = cast::writer(kind, array, Zone::UTC)?;
                Box::new(move |row, out| {
                    let mut text = String::new();
                    write(row, &mut text);
                    push_time(&text, out);
                })
            }
            _ => cast::writer(kind, array, Zone::UTC)?,
        };
        Ok(Self { kind, array, integers, doubles, text })
    }

    fn bits(&self) -> u32 {
        match self.kind {
            TypeKind::Tinyint => 8,
            TypeKind::Smallint => 16,
            TypeKind::Bigint | TypeKind::IntervalDayTime(_) => 64,
            _ => 32,
        }
    }

    fn get(&self, row: usize) -> Value {
        if *self.kind == TypeKind::Null || self.array.is_null(row) {
            return Value::Null;
        }
        if let Some(integers) = &self.integers {
            return Value::Integer(integers.as_primitive::<arrow::datatypes::Int64Type>().value(row), self.bits());
        }
        match (&self.doubles, self.kind) {
            (Some(doubles), TypeKind::Float) => Value::Float(doubles.value(row)),
            (Some(doubles), _) => Value::Double(doubles.value(row)),
            (None, TypeKind::Boolean) => Value::Boolean(self.array.as_boolean().value(row)),
            _ => Value::Other,
        }
    }

    /// As Java's `toString` has it.
    fn push_text(&self, row: usize, value: Value, out: &mut String) {
        match value {
            Value::Null => out.push_str("null"),
            Value::Boolean(value) => out.push_str(if value { "true" } else { "false" }),
            Value::Integer(value, _) => out.push_str(&value.to_string()),
            Value::Double(_) | Value::Float(_) | Value::Other => (self.text)(row, out),
        }
    }
}

/// `2020-01-01 00:00:00.120` as Java's LocalDateTime prints it: without seconds that are none, with three, six or nine digits of a fraction.
fn push_time(text: &str, out: &mut String) {
    let (day, time) = text.split_once(' ').unwrap_or((text, ""));
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let fraction = fraction.trim_end_matches('0');
    out.push_str(day);
    out.push('T');
    if fraction.is_empty() {
        out.push_str(time.strip_suffix(":00").filter(|rest| rest.contains(':')).unwrap_or(time));
        return;
    }
    let digits = fraction.len().div_ceil(3) * 3;
    out.push_str(&format!("{time}.{fraction:0<digits$}"));
}

/// Whether values of this type can be written: of bytes, collections and rows Java prints where they are in memory.
fn can_be_written(kind: &TypeKind) -> bool {
    use TypeKind as T;
    let is_bytes = matches!(kind, T::Binary(_) | T::Varbinary(_));
    !is_bytes && !matches!(kind, T::Array(_) | T::Map(..) | T::Multiset(_) | T::Row(_) | T::Structured(..))
}

pub(super) fn printf(site: &Site) -> Result<Kernel> {
    let kinds = (1..site.operands.len()).map(|index| site.operand_type(index).cloned()).collect::<Result<Vec<_>>>()?;
    if !kinds.iter().all(can_be_written) {
        return Err(site.unsupported());
    }
    // A constant format is read once.
    let constant = match site.text(0).map(specifier::parse) {
        Some(Err(Failure::TooLong(error))) => return Err(error),
        parsed => parsed.map(Result::ok),
    };
    Ok(Box::new(move |args| {
        let format = args.read::<Text>(0)?;
        let values = kinds.iter().enumerate().map(|(index, kind)| Values::of(kind, args.array(index + 1)));
        let values = values.collect::<Result<Vec<_>>>()?;
        args.strings(|row, out| {
            let Some(text) = format.get(row) else { return Ok(false) };
            let written = match &constant {
                Some(Some(pieces)) => write_all(pieces, &values, args, row, out),
                Some(None) => return Ok(false),
                None => specifier::parse(text).and_then(|pieces| write_all(&pieces, &values, args, row, out)),
            };
            match written {
                Ok(()) => Ok(true),
                Err(Failure::Malformed) => Ok(false),
                Err(Failure::TooLong(error)) => Err(error),
                Err(Failure::Unsupported(reason)) => {
                    Err(Error::data("org.apache.flink.table.api.TableRuntimeException", format!("PRINTF: {reason}")))
                }
            }
        })
    }))
}

fn write_all(
    pieces: &[Piece],
    values: &[Values<'_>],
    args: &Args,
    row: usize,
    out: &mut String,
) -> Result<(), Failure> {
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Specifier(specifier) => {
                let (value, text) = match specifier.value {
                    None => (Value::Null, String::new()),
                    Some(index) => {
                        let values = values.get(index).ok_or(Failure::Malformed)?;
                        let row = args.row(index + 1, row);
                        let (value, mut text) = (values.get(row), String::new());
                        if specifier.takes_text() {
                            values.push_text(row, value, &mut text);
                        }
                        (value, text)
                    }
                };
                check_value(specifier.width.unwrap_or(0).max(specifier.precision.unwrap_or(0)))?;
                write_one(specifier, value, text, out)?;
            }
        }
        check_value(out.len())?;
    }
    Ok(())
}

/// Writes one value; `text` is what it is as a text, if the specifier takes that.
fn write_one(specifier: &Specifier, value: Value, text: String, out: &mut String) -> Result<(), Failure> {
    let text = match (specifier.conversion, value) {
        ('%', _) => "%".to_owned(),
        ('n', _) => "\n".to_owned(),
        ('b', Value::Null) => "false".to_owned(),
        ('b', Value::Boolean(value)) => value.to_string(),
        ('b', _) => "true".to_owned(),
        ('s', _) => text,
        (_, Value::Null) => "null".to_owned(),
        ('h', value) => hash(value)?,
        ('c', Value::Integer(code, 8 | 16 | 32)) => {
            let code = u32::try_from(code).ok().filter(|code| *code <= 0x10_FFFF).ok_or(Failure::Malformed)?;
            // Half of a surrogate pair is `?` where it is encoded.
            char::from_u32(code).unwrap_or('?').to_string()
        }
        ('d' | 'o' | 'x', Value::Integer(value, bits)) => number::integer(specifier, value, bits),
        ('e' | 'f' | 'g', Value::Double(value) | Value::Float(value)) => number::floating(specifier, value),
        ('a', Value::Double(_) | Value::Float(_)) => {
            return Err(Failure::Unsupported("%a is not supported, take %e".to_owned()));
        }
        ('t', Value::Integer(_, 64)) => {
            return Err(Failure::Unsupported("%t of a number is not supported, take DATE_FORMAT".to_owned()));
        }
        _ => return Err(Failure::Malformed),
    };
    let is_cut = !matches!((specifier.conversion, value), ('e' | 'f' | 'g', Value::Double(_) | Value::Float(_)));
    let text = match specifier.precision {
        Some(most) if is_cut => text.chars().take(most).collect(),
        _ => text,
    };
    push_justified(&text, specifier, out);
    Ok(())
}

/// Java's hash of a value, in hexadecimal digits.
fn hash(value: Value) -> Result<String, Failure> {
    let folded = |bits: u64| (bits ^ (bits >> 32)) as u32;
    let hash = match value {
        Value::Boolean(value) => {
            if value {
                1231
            } else {
                1237
            }
        }
        Value::Integer(value, 64) => folded(value as u64),
        Value::Integer(value, _) => value as i32 as u32,
        Value::Double(value) => folded(if value.is_nan() { 0x7ff8_0000_0000_0000 } else { value.to_bits() }),
        Value::Float(value) => {
            if value.is_nan() {
                0x7fc0_0000
            } else {
                (value as f32).to_bits()
            }
        }
        Value::Null | Value::Other => {
            return Err(Failure::Unsupported("%h is only supported of numbers and BOOLEAN, take MD5".to_owned()));
        }
    };
    Ok(format!("{hash:x}"))
}

/// Fills up with spaces to the specifier's width, and makes capitals of it if the specifier is one.
fn push_justified(text: &str, specifier: &Specifier, out: &mut String) {
    let upper = specifier.upper.then(|| text.to_uppercase());
    let text = upper.as_deref().unwrap_or(text);
    // Java counts half of what is beyond the basic plane as one.
    let length = text.chars().map(char::len_utf16).sum::<usize>();
    let missing = specifier.width.unwrap_or(0).saturating_sub(length);
    let spaces = std::iter::repeat_n(' ', missing);
    if specifier.flags.left {
        out.push_str(text);
        out.extend(spaces);
    } else {
        out.extend(spaces);
        out.push_str(text);
    }
}
