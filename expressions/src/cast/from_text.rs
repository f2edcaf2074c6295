//! Casts of strings to numbers, truth values, dates, times and timestamps.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, BooleanBuilder, PrimitiveBuilder, StringViewArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType,
};
use wiesel_common::quote::quote;

use super::temporal::{as_timestamps, to_instant};
use super::{Cast, Mode};
use crate::error::{Error, Result};
use crate::expression::datetime::{java_trim, parse_date, parse_time, parse_timestamp};
use crate::expression::decimal;
use crate::types::{TypeKind, timestamp_unit};

/// A cast of CHAR or VARCHAR to another type; none if there is no such cast.
pub(super) fn cast(to: &TypeKind, mode: Mode) -> Option<Cast> {
    Some(match to {
        TypeKind::Boolean => Box::new(move |array| {
            let texts = array.as_string_view();
            let mut builder = BooleanBuilder::with_capacity(texts.len());
            for text in texts {
                builder.append_option(text.map_or(Ok(None), |text| mode.settle(parse_boolean(text).map(Some)))?);
            }
            Ok(Arc::new(builder.finish()))
        }),
        TypeKind::Tinyint => Box::new(move |array| whole::<Int8Type>(array, mode)),
        TypeKind::Smallint => Box::new(move |array| whole::<Int16Type>(array, mode)),
        TypeKind::Int => Box::new(move |array| whole::<Int32Type>(array, mode)),
        TypeKind::Bigint => Box::new(move |array| whole::<Int64Type>(array, mode)),
        TypeKind::Float => {
            Box::new(move |array| each::<Float32Type>(array, None, mode, |text| parse_float(sql_trim(text)).map(Some)))
        }
        TypeKind::Double => {
            Box::new(move |array| each::<Float64Type>(array, None, mode, |text| parse_double(sql_trim(text)).map(Some)))
        }
        TypeKind::Decimal(precision, scale) => {
            let (precision, scale) = (*precision, *scale);
            Box::new(move |array| {
                let data_type = DataType::Decimal128(precision, scale);
                each::<Decimal128Type>(array, Some(data_type), mode, |text| {
                    parse_decimal(sql_trim(text), precision, scale)
                })
            })
        }
        TypeKind::Date => Box::new(move |array| {
            each::<Date32Type>(array, None, mode, |text| match parse_date(sql_trim(text)) {
                Some(days) => Ok(Some(days as i32)),
                None => Err(date_time(format!("For input string: '{}'.", quote(sql_trim(text))))),
            })
        }),
        TypeKind::Time(precision) => {
            let unit = 10_i64.pow(u32::from(3 - (*precision).min(3)));
            Box::new(move |array| {
                each::<Time32MillisecondType>(array, None, mode, |text| match parse_time(sql_trim(text)) {
                    Some(millis) => Ok(Some((millis / unit * unit) as i32)),
                    None => Err(date_time(format!(
                        "Invalid time format: '{}'. Expected format: HH:mm:ss[.fff] where HH is 00-23, mm is 00-59, ss is 00-59",
                        quote(sql_trim(text))
                    ))),
                })
            })
        }
        TypeKind::Timestamp(precision, _) | TypeKind::TimestampLtz(precision, _) => {
            let local = matches!(to, TypeKind::TimestampLtz(..));
            let (precision, data_type) = (*precision, to.to_arrow());
            let unit = timestamp_unit(precision);
            Box::new(move |array| {
                let texts = array.as_string_view();
                let mut counts = PrimitiveBuilder::<Int64Type>::with_capacity(texts.len());
                for text in texts {
                    let parse = |text| parse_timestamp(text, precision).map_err(|error| error.into_error(text));
                    let parsed = text.map_or(Ok(None), |text| mode.settle(parse(text).map(Some)))?;
                    let instant = parsed.map(|parsed| if local { to_instant(parsed, mode.zone) } else { parsed });
                    // A time that does not fit is one all the same, so that it is no null of TRY_CAST's.
                    counts.append_option(instant.map(|instant| instant.count(unit)).transpose()?);
                }
                Ok(as_timestamps(&counts.finish(), unit, data_type.clone()))
            })
        }
        _ => return None,
    })
}

fn date_time(message: String) -> Error {
    Error::data("java.time.DateTimeException", message)
}

/// SQL's TRIM: without leading and trailing spaces.
fn sql_trim(text: &str) -> &str {
    text.trim_matches(' ')
}

fn each<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    data_type: Option<DataType>,
    mode: Mode,
    parse: impl Fn(&str) -> Result<Option<T::Native>>,
) -> Result<ArrayRef> {
    let texts: &StringViewArray = array.as_string_view();
    let mut builder = PrimitiveBuilder::<T>::with_capacity(texts.len());
    if let Some(data_type) = data_type {
        builder = builder.with_data_type(data_type);
    }
    for text in texts {
        builder.append_option(text.map_or(Ok(None), |text| mode.settle(parse(text)))?);
    }
    Ok(Arc::new(builder.finish()))
}

fn whole<T: ArrowPrimitiveType>(array: &ArrayRef, mode: Mode) -> Result<ArrayRef>
where
    T::Native: TryFrom<i64>,
{
    each::<T>(array, None, mode, |text| {
        let text = sql_trim(text);
        match T::Native::try_from(parse_long(text)?) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err(bad_number(text, "Overflow.")),
        }
    })
}

fn bad_number(text: &str, problem: &str) -> Error {
    Error::data("java.lang.NumberFormatException", format!("For input string: '{}'. {problem}", quote(text)))
}

/// A whole number; digits after a point are checked and left out.
pub(crate) fn parse_long(text: &str) -> Result<i64> {
    let bytes = text.as_bytes();
    let Some(first) = bytes.first() else { return Err(bad_number(text, "Input is empty.")) };
    let negative = *first == b'-';
    let digits = if negative || *first == b'+' { &bytes[1..] } else { bytes };
    if digits.is_empty() {
        return Err(bad_number(text, "Input has only positive or negative symbol."));
    }
    let mut value: i64 = 0;
    let mut rest = digits.iter();
    for byte in rest.by_ref() {
        match byte {
            b'.' => break,
            b'0'..=b'9' => {
                // Negative, as the smallest number has no positive counterpart.
                let next = value.checked_mul(10).and_then(|value| value.checked_sub(i64::from(byte - b'0')));
                value = next.ok_or_else(|| bad_number(text, "Overflow."))?;
            }
            _ => return Err(bad_number(text, "Invalid character found.")),
        }
    }
    if !rest.all(u8::is_ascii_digit) {
        return Err(bad_number(text, "Invalid character found."));
    }
    if negative { Ok(value) } else { value.checked_neg().ok_or_else(|| bad_number(text, "Overflow.")) }
}

/// `Double.parseDouble` but for hexadecimal numbers.
pub(crate) fn parse_double(text: &str) -> Result<f64> {
    match java_float(text)? {
        Special::Value(value) => Ok(value),
        Special::Digits(digits) => digits.parse().map_err(|_| no_float(text)),
    }
}

fn parse_float(text: &str) -> Result<f32> {
    match java_float(text)? {
        Special::Value(value) => Ok(value as f32),
        Special::Digits(digits) => digits.parse().map_err(|_| no_float(text)),
    }
}

enum Special<'a> {
    Value(f64),
    Digits(&'a str),
}

fn no_float(text: &str) -> Error {
    let text = java_trim(text);
    let message =
        if text.is_empty() { "empty String".to_owned() } else { format!("For input string: \"{}\"", quote(text)) };
    Error::data("java.lang.NumberFormatException", message)
}

/// What Java reads as a floating-point number: digits with one point and an exponent, `NaN`, `Infinity`, a suffix.
fn java_float(text: &str) -> Result<Special<'_>> {
    let trimmed = java_trim(text);
    let (negative, unsigned) = match trimmed.as_bytes().first() {
        Some(b'-') => (true, &trimmed[1..]),
        Some(b'+') => (false, &trimmed[1..]),
        _ => (false, trimmed),
    };
    match unsigned {
        "NaN" => return Ok(Special::Value(f64::NAN)),
        "Infinity" => return Ok(Special::Value(if negative { f64::NEG_INFINITY } else { f64::INFINITY })),
        _ => {}
    }
    let digits = trimmed.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(trimmed);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if plain && digits.bytes().any(|byte| byte.is_ascii_digit()) {
        Ok(Special::Digits(digits))
    } else {
        Err(no_float(text))
    }
}

fn parse_boolean(text: &str) -> Result<bool> {
    let is = |words: &[&str]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(&["t", "true", "y", "yes", "1"]) {
        Ok(true)
    } else if is(&["f", "false", "n", "no", "0"]) {
        Ok(false)
    } else {
        Err(Error::data(
            "org.apache.flink.table.api.TableException",
            format!("Cannot parse '{}' as BOOLEAN.", quote(text)),
        ))
    }
}

/// A decimal, rounded half up; null or an error where it does not fit, as Flink's two ways of reading have it.
fn parse_decimal(text: &str, precision: u8, scale: i8) -> Result<Option<i128>> {
    if precision > 18 || text.len() > 18 {
        let text = text.trim_matches([' ', '\n', '\t']);
        if !is_big_decimal(text) {
            return Err(Error::data("java.lang.NumberFormatException", no_big_decimal(text)));
        }
        return match parse_big_decimal(text, precision, scale) {
            Some(value) => Ok(Some(value)),
            None => Err(overflow(text)),
        };
    }
    parse_compact(text.as_bytes(), precision, scale).map_or_else(|| Err(overflow(text)), |value| Ok(Some(value)))
}

fn overflow(text: &str) -> Error {
    bad_number(text, "Overflow.")
}

fn no_big_decimal(text: &str) -> String {
    format!("For input string: '{}'. Invalid character found.", quote(text))
}

/// How Flink reads short texts: counts digits with leading zeros, leaves out one character after them.
fn parse_compact(bytes: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let skip = bytes.iter().take_while(|byte| matches!(byte, b' ' | b'\n' | b'\t')).count();
    let mut rest = bytes[skip..].iter().copied().peekable();
    let negative = match rest.peek()? {
        b'-' => true,
        b'+' => false,
        _ => {
            return compact_digits(rest, false, precision, scale);
        }
    };
    rest.next();
    rest.peek()?;
    compact_digits(rest, negative, precision, scale)
}

fn compact_digits(
    mut rest: std::iter::Peekable<impl Iterator<Item = u8>>,
    negative: bool,
    precision: u8,
    scale: i8,
) -> Option<i128> {
    let (mut significand, mut count, mut point, mut last) = (0_i128, 0_i32, None, 0_u8);
    for byte in rest.by_ref() {
        last = byte;
        match byte {
            b'0'..=b'9' => {
                significand = significand.wrapping_mul(10).wrapping_add(i128::from(byte - b'0'));
                count += 1;
            }
            b'.' if point.is_some() => return None,
            b'.' => point = Some(count),
            _ => break,
        }
    }
    let mut exponent = 0;
    if matches!(last, b'e' | b'E') && rest.peek().is_some() {
        let down = match rest.peek() {
            Some(b'-') => Some(true),
            Some(b'+') => Some(false),
            _ => None,
        };
        if down.is_some() {
            rest.next();
            rest.peek()?;
        }
        let mut shift = 0_i32;
        for byte in rest.by_ref() {
            if !byte.is_ascii_digit() {
                break;
            }
            if shift < 40 {
                shift = shift * 10 + i32::from(byte - b'0');
            }
        }
        exponent = if down == Some(true) { -shift } else { shift };
    }
    exponent -= count - point.unwrap_or(count);
    if !rest.all(|byte| matches!(byte, b' ' | b'\n' | b'\t')) {
        return None;
    }
    let change = exponent + i32::from(scale);
    if count + change > i32::from(precision) {
        return None;
    }
    let value = if negative { -significand } else { significand };
    if change >= 0 {
        value.checked_mul(decimal::power(change as u32))
    } else if change < -38 {
        Some(0)
    } else {
        Some(decimal::divide_half_up(value, decimal::power(change.unsigned_abs())))
    }
}

/// Whether `new BigDecimal(text)` reads it.
fn is_big_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits = exponent.is_none_or(|exponent| {
        let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        !unsigned.is_empty() && unsigned.len() <= 9 && digits(unsigned)
    });
    whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction) && exponent_fits
}

/// Reads what [`is_big_decimal`] accepts, rounded half up; none if it exceeds the precision or is no number.
pub(super) fn parse_big_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    read_big_decimal(text, precision, scale, true)
}

/// As [`parse_big_decimal`], rounded half up or towards zero.
pub(super) fn read_big_decimal(text: &str, precision: u8, scale: i8, half_up: bool) -> Option<i128> {
    if !is_big_decimal(text) {
        return None;
    }
    let negative = text.starts_with('-');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(at) => (&unsigned[..at], unsigned[at + 1..].parse::<i64>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // The digits before this position make up the unscaled value, the one at it decides on rounding.
    let end = whole.len() as i64 + exponent + i64::from(scale);
    let digits = whole.bytes().chain(fraction.bytes());
    let limit = decimal::limit(precision);
    let mut value: u128 = 0;
    let mut position = 0;
    for digit in digits {
        if half_up && position == end && digit >= b'5' {
            value += 1;
        }
        if position >= end {
            position = i64::MAX;
            break;
        }
        value = value.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        position += 1;
    }
    while position < end && value != 0 {
        value = value.checked_mul(10)?;
        if value >= limit {
            return None;
        }
        position += 1;
    }
    let value = i128::try_from(value).ok().filter(|value| value.unsigned_abs() < limit)?;
    Some(if negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use wiesel_common::quote::MAX_MESSAGE;

    use super::*;
    use crate::expression::Zone;
    use crate::types::TimeAttribute;

    /// It was null, for CAST as for TRY_CAST.
    #[test]
    fn a_timestamp_that_its_type_cannot_hold_is_an_error_for_try_cast_too() {
        let texts: ArrayRef = Arc::new(StringViewArray::from(vec!["0001-01-01 00:00:00.123456789", "x"]));
        let to = |precision| TypeKind::Timestamp(precision, TimeAttribute::Regular);
        let lenient = Mode { lenient: true, zone: Zone::UTC };
        let error = cast(&to(9), lenient).unwrap()(&texts).unwrap_err().to_string();
        assert!(error.contains("the timestamp 0001-01-01 00:00:00.123456789 is out of range: "), "{error}");
        assert_eq!(cast(&to(6), lenient).unwrap()(&texts).unwrap().null_count(), 1);
    }

    /// Before, the whole value was in the message.
    #[test]
    fn an_error_quotes_the_beginning_of_a_long_value() {
        let long = "x".repeat(1 << 20);
        let errors = [
            parse_long(&long).unwrap_err(),
            parse_double(&long).unwrap_err(),
            parse_boolean(&long).unwrap_err(),
            parse_decimal(&long, 38, 2).unwrap_err(),
            parse_timestamp(&long, 3).map_err(|error| error.into_error(&long)).unwrap_err(),
        ];
        for error in errors {
            let told = error.to_string();
            assert!(told.len() < 2000 && told.contains("more bytes"), "{} bytes", told.len());
        }
        let unquoted = Error::data("java.lang.RuntimeException", long.clone()).to_string();
        assert!(unquoted.len() < MAX_MESSAGE + 100 && unquoted.contains("more bytes"), "{} bytes", unquoted.len());
        assert_eq!(parse_long("1x").unwrap_err().to_string(), "For input string: '1x'. Invalid character found.");
    }
}
