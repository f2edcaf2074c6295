//! DATE, TIME, TIMESTAMP and INTERVAL as they are written.
use datafusion_common::ScalarValue;
use wiesel_expressions::calendar;
use wiesel_expressions::types::{TIMESTAMP_RANGE, TimeAttribute, TypeKind};

use super::literal::{interval_of_months, interval_of_time};
use crate::error::{Error, Result};
use crate::rex::Expression;

/// Milliseconds of a day.
const DAY: i64 = 86_400_000;

/// `DATE 'yyyy-MM-dd'`.
pub(crate) fn date(text: &str) -> Result<Expression> {
    let days = parse_date(text).ok_or_else(|| illegal("DATE", text, "yyyy-MM-dd"))?;
    Ok(Expression::literal(ScalarValue::Date32(Some(days)), TypeKind::Date.not_null()))
}

/// `TIME 'HH:mm:ss[.fff]'`.
pub(crate) fn time(text: &str) -> Result<Expression> {
    let (nanos, precision) = parse_time(text).ok_or_else(|| illegal("TIME", text, "HH:mm:ss"))?;
    let millis = (nanos / 1_000_000) as i32;
    Ok(Expression::literal(ScalarValue::Time32Millisecond(Some(millis)), TypeKind::Time(precision.min(3)).not_null()))
}

/// `TIMESTAMP 'yyyy-MM-dd HH:mm:ss[.f…]'`: its precision is the number of its fractional digits.
pub(crate) fn timestamp(text: &str) -> Result<Expression> {
    let parsed = text.trim().split_once(' ').and_then(|(day, rest)| Some((parse_date(day)?, parse_time(rest.trim())?)));
    let (days, (nanos, precision)) = parsed.ok_or_else(|| illegal("TIMESTAMP", text, "yyyy-MM-dd HH:mm:ss"))?;
    let overflow = || Error::validation(format!("TIMESTAMP literal '{text}' out of range: {TIMESTAMP_RANGE}"), None);
    let of_day = |per_second: i64| -> Option<i64> {
        i64::from(days).checked_mul(86_400)?.checked_mul(per_second)?.checked_add(nanos / (1_000_000_000 / per_second))
    };
    let value = match precision {
        0..=3 => ScalarValue::TimestampMillisecond(Some(of_day(1_000).ok_or_else(overflow)?), None),
        4..=6 => ScalarValue::TimestampMicrosecond(Some(of_day(1_000_000).ok_or_else(overflow)?), None),
        _ => ScalarValue::TimestampNanosecond(Some(of_day(1_000_000_000).ok_or_else(overflow)?), None),
    };
    Ok(Expression::literal(value, TypeKind::Timestamp(precision, TimeAttribute::Regular).not_null()))
}

fn illegal(name: &str, text: &str, pattern: &str) -> Error {
    Error::validation(format!("Illegal {name} literal '{text}': not in format '{pattern}'"), None)
}

fn parse_date(text: &str) -> Option<i32> {
    let mut parts = text.trim().split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || year.len() != 4 || month.len() != 2 || day.len() != 2 {
        return None;
    }
    let (year, month, day) = (number(year)?, number(month)?, number(day)?);
    let exists = (1..=12).contains(&month) && (1..=calendar::month_length(year, month)).contains(&day);
    exists.then(|| calendar::days(year, month, day) as i32)
}

/// Nanoseconds of the day and the number of fractional digits.
fn parse_time(text: &str) -> Option<(i64, u8)> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || [hour, minute, second].iter().any(|part| part.len() != 2) || fraction.len() > 9 {
        return None;
    }
    let (hour, minute, second) = (number(hour)?, number(minute)?, number(second)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<9}"))? };
    Some((((hour * 60 + minute) * 60 + second) * 1_000_000_000 + nanos, fraction.len() as u8))
}

fn number(digits: &str) -> Option<i64> {
    (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// How many digits the leading field of an interval has at most, as in `DAY(3)`, and a fraction of seconds.
#[derive(Clone, Copy)]
pub(crate) struct IntervalDigits {
    pub leading: u64,
    pub fraction: u64,
}

impl Default for IntervalDigits {
    fn default() -> Self {
        Self { leading: 2, fraction: 6 }
    }
}

/// `INTERVAL 'text' unit [TO unit]`; units in upper case.
pub(crate) fn interval(
    text: &str,
    negative: bool,
    leading: &str,
    last: Option<&str>,
    most: IntervalDigits,
) -> Result<Expression> {
    let range = last.map_or_else(|| leading.to_owned(), |last| format!("{leading} TO {last}"));
    let illegal = || Error::validation(format!("Illegal interval literal format '{text}' for INTERVAL {range}"), None);
    let trimmed = text.trim();
    let (sign, digits) = match trimmed.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let sign = if negative { -sign } else { sign };
    let field = digits.split([' ', ':', '-', '.']).next().unwrap_or_default();
    if field.trim_start_matches('0').len() as u64 > most.leading && number(field).is_some() {
        let (minus, most) = (if sign < 0 { "-" } else { "" }, most.leading);
        let message = format!("Interval field value {minus}{field} exceeds precision of {leading}({most}) field");
        return Err(Error::validation(message, None));
    }
    if digits.split_once('.').is_some_and(|(_, fraction)| fraction.len() as u64 > most.fraction) {
        return Err(illegal());
    }
    if let Some(months) = months(digits, leading, last) {
        let months = i32::try_from(sign * months?).map_err(|_| illegal())?;
        return Ok(interval_of_months(months));
    }
    let milliseconds = milliseconds(digits, leading, last).ok_or_else(illegal)?;
    Ok(interval_of_time(sign * milliseconds))
}

/// Months, if the units are of months; the inner error is a malformed text.
fn months(text: &str, leading: &str, last: Option<&str>) -> Option<Result<i64>> {
    let per_unit = match leading {
        "YEAR" => 12,
        "QUARTER" => 3,
        "MONTH" => 1,
        _ => return None,
    };
    let value = match last {
        None => number(text).and_then(|value| value.checked_mul(per_unit)),
        Some("MONTH") if leading == "YEAR" => text.split_once('-').and_then(|(years, months)| {
            let (years, months) = (number(years)?, number(months)?);
            if months < 12 { years.checked_mul(12)?.checked_add(months) } else { None }
        }),
        Some(_) => None,
    };
    let range = last.map_or_else(|| leading.to_owned(), |last| format!("{leading} TO {last}"));
    let illegal = || Error::validation(format!("Illegal interval literal format '{text}' for INTERVAL {range}"), None);
    Some(value.ok_or_else(illegal))
}

/// Milliseconds of `1`, `1 02`, `1 02:03:04.567`, `02:03` and so on, from the leading to the last unit.
fn milliseconds(text: &str, leading: &str, last: Option<&str>) -> Option<i64> {
    const UNITS: [(&str, i64); 4] = [("DAY", DAY), ("HOUR", 3_600_000), ("MINUTE", 60_000), ("SECOND", 1_000)];
    if leading == "WEEK" && last.is_none() {
        return number(text)?.checked_mul(7 * DAY);
    }
    let first = UNITS.iter().position(|(name, _)| *name == leading)?;
    let end = match last {
        Some(last) => UNITS.iter().position(|(name, _)| *name == last)?,
        None => first,
    };
    if end < first || last.is_some() && end == first {
        return None;
    }
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    if end != 3 && text.contains('.') || fraction.len() > 9 {
        return None;
    }
    // A blank stands between days and hours, colons between the rest.
    let fields: Vec<&str> = match (first, clock.split_once(' ')) {
        (0, Some((days, rest))) => std::iter::once(days).chain(rest.trim().split(':')).collect(),
        (0, None) => vec![clock],
        _ => clock.split(':').collect(),
    };
    if fields.len() != end - first + 1 {
        return None;
    }
    let limits = [i64::MAX, 23, 59, 59];
    let mut total = 0_i64;
    for (i, (field, (_, per_unit))) in fields.iter().zip(&UNITS[first..]).enumerate() {
        let value = number(field)?;
        if i > 0 && value > limits[first + i] {
            return None;
        }
        total = total.checked_add(value.checked_mul(*per_unit)?)?;
    }
    let fraction = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<9}"))? / 1_000_000 };
    total.checked_add(fraction)
}
