//! Values from text, as Java reads them. Every error is the message of the exception that Java would throw.
use std::borrow::Cow;

use wiesel_common::quote::quote_bytes;
use wiesel_expressions::calendar;

use super::text::NANOS_PER_SECOND;

/// The outcome of reading a value.
pub(crate) type Parsed<T> = Result<T, String>;

/// `String.trim`: without characters up to the space at both ends.
pub(crate) fn trim(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| *byte > b' ').unwrap_or(text.len());
    let end = text.iter().rposition(|byte| *byte > b' ').map_or(start, |last| last + 1);
    &text[start..end]
}

fn shown(text: &[u8]) -> Cow<'_, str> {
    quote_bytes(text)
}

fn no_number(text: &[u8]) -> String {
    format!("For input string: \"{}\"", shown(text))
}

/// `Long.parseLong`, within these bounds.
pub(crate) fn integer(text: &[u8], least: i64, most: i64) -> Parsed<i64> {
    let (negative, digits) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(no_number(text));
    }
    let mut value: i64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(no_number(text));
        }
        let digit = i64::from(digit - b'0');
        let step =
            value.checked_mul(10).and_then(|v| if negative { v.checked_sub(digit) } else { v.checked_add(digit) });
        value = step.ok_or_else(|| no_number(text))?;
    }
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    // Byte.parseByte and Short.parseShort read an int first.
    if most < i64::from(i32::MAX) && i32::try_from(value).is_ok() {
        return Err(format!("Value out of range. Value:\"{}\" Radix:10", shown(text)));
    }
    Err(no_number(text))
}

/// `Double.parseDouble`.
pub(crate) fn double(text: &[u8]) -> Parsed<f64> {
    number(text, |digits| digits.parse().ok(), |value| value)
}

/// `Float.parseFloat`.
pub(crate) fn float(text: &[u8]) -> Parsed<f32> {
    number(text, |digits| digits.parse().ok(), |value| value as f32)
}

fn number<T: std::ops::Neg<Output = T>>(
    text: &[u8],
    parse: impl Fn(&str) -> Option<T>,
    narrow: impl Fn(f64) -> T,
) -> Parsed<T> {
    let trimmed = trim(text);
    if trimmed.is_empty() {
        return Err("empty String".to_owned());
    }
    let wrong = || no_number(trimmed);
    let trimmed_text = std::str::from_utf8(trimmed).map_err(|_| wrong())?;
    let (negative, unsigned) = match trimmed_text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed_text.strip_prefix('+').unwrap_or(trimmed_text)),
    };
    let signed = |value: T| if negative { -value } else { value };
    match unsigned {
        "NaN" => return Ok(narrow(f64::NAN)),
        "Infinity" => return Ok(signed(narrow(f64::INFINITY))),
        _ => {}
    }
    if unsigned.starts_with("0x") || unsigned.starts_with("0X") {
        return hexadecimal(&unsigned[2..]).map(|value| signed(narrow(value))).ok_or_else(wrong);
    }
    let digits = unsigned.strip_suffix(['f', 'F', 'd', 'D']).unwrap_or(unsigned);
    // Rust reads words such as "inf" and a second sign; Java does not.
    let plain = digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !plain || !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Err(wrong());
    }
    parse(digits).map(signed).ok_or_else(wrong)
}

/// A hexadecimal number with a binary exponent, without its `0x`.
fn hexadecimal(text: &str) -> Option<f64> {
    let text = text.strip_suffix(['f', 'F', 'd', 'D']).filter(|rest| rest.contains(['p', 'P'])).unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let mut value = 0f64;
    for digit in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(digit.to_digit(16)?);
    }
    Some(value * 2f64.powi(exponent - 4 * fraction.len() as i32))
}

/// `new BigDecimal(text)` rounded half up to a DECIMAL(precision, scale); none: it does not fit.
pub(crate) fn decimal(text: &[u8], precision: u8, scale: i8) -> Parsed<Option<i128>> {
    let wrong = |byte: Option<&u8>| match byte {
        Some(byte) => format!(
            "Character {} is neither a decimal digit number, decimal point, nor \"e\" notation exponential mark.",
            char::from(*byte)
        ),
        None => format!("No digits found in '{}'.", shown(text)),
    };
    let (negative, unsigned) = match text.split_first() {
        Some((b'-', rest)) => (true, rest),
        Some((b'+', rest)) => (false, rest),
        _ => (false, text),
    };
    let mark = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match mark {
        Some(mark) => (&unsigned[..mark], integer(&unsigned[mark + 1..], -100_000, 100_000)?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let fraction = mantissa.get(point + 1..).unwrap_or_default();
    let digits = || mantissa[..point].iter().chain(fraction);
    if let Some(byte) = digits().find(|byte| !byte.is_ascii_digit()) {
        return Err(wrong(Some(byte)));
    }
    if digits().next().is_none() {
        return Err(wrong(None));
    }
    // The digits mean 0.d₁d₂d₃… · 10^before: those up to the scale are kept, the next one rounds.
    let leading_zeros = digits().take_while(|digit| **digit == b'0').count();
    let kept = point as i64 + exponent + i64::from(scale);
    if kept - leading_zeros as i64 > i64::from(precision) && digits().any(|digit| *digit != b'0') {
        return Ok(None);
    }
    let mut value: i128 = 0;
    let mut iterator = digits();
    for _ in 0..kept.max(0) {
        let Some(next) = value.checked_mul(10) else { return Ok(None) };
        value = next + iterator.next().map_or(0, |digit| i128::from(digit - b'0'));
    }
    if kept >= 0 && iterator.next().is_some_and(|digit| *digit >= b'5') {
        value += 1;
    }
    let limit = 10i128.checked_pow(u32::from(precision)).unwrap_or(i128::MAX);
    if value >= limit {
        return Ok(None);
    }
    Ok(Some(if negative { -value } else { value }))
}

/// How a date and time are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampStyle {
    /// `2020-01-01 00:00:00.123`; a day after the month's last is its last.
    Sql,
    /// `2020-01-01T00:00:00.123`; seconds may be left out, every day must exist.
    Iso,
}

/// A date and time: days since the epoch and nanoseconds of the day. `zone`: it must end in `Z`.
pub(crate) fn timestamp(text: &[u8], style: TimestampStyle, zone: bool) -> Parsed<(i64, i64)> {
    let mut scanner = Scanner { text, at: 0 };
    let (year, month, day) = scanner.date()?;
    scanner.literal(if style == TimestampStyle::Sql { b' ' } else { b'T' })?;
    let (hour, minute, second, nanos) = scanner.time(style == TimestampStyle::Sql)?;
    if zone {
        scanner.literal(b'Z')?;
    }
    scanner.end()?;
    let lenient = style == TimestampStyle::Sql;
    let midnight = lenient && (hour, minute, second, nanos) == (24, 0, 0, 0);
    let days = valid_date(year, month, day, lenient)?;
    if midnight {
        return Ok((days + 1, 0));
    }
    Ok((days, valid_time(hour, minute, second, nanos)?))
}

/// `LocalTime.parse`: nanoseconds of the day.
pub(crate) fn time(text: &[u8]) -> Parsed<i64> {
    let mut scanner = Scanner { text, at: 0 };
    let (hour, minute, second, nanos) = scanner.time(false)?;
    scanner.end()?;
    valid_time(hour, minute, second, nanos)
}

/// `LocalDate.parse`: days since the epoch.
pub(crate) fn date(text: &[u8]) -> Parsed<i64> {
    let mut scanner = Scanner { text, at: 0 };
    let (year, month, day) = scanner.date()?;
    scanner.end()?;
    valid_date(year, month, day, false)
}

/// `java.sql.Date.valueOf`: one or two digits for month and day, and any day up to 31.
pub(crate) fn sql_date(text: &[u8]) -> Parsed<i64> {
    let wrong = || format!("'{}' is no date of the form yyyy-[m]m-[d]d", shown(text));
    let mut parts = text.split(|byte| *byte == b'-');
    let mut part = |least: usize, most: usize| -> Parsed<i64> {
        let digits = parts.next().filter(|digits| (least..=most).contains(&digits.len())).ok_or_else(wrong)?;
        if digits.iter().all(u8::is_ascii_digit) { integer(digits, 0, 9999) } else { Err(wrong()) }
    };
    let (year, month, day) = (part(4, 4)?, part(1, 2)?, part(1, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return Err(wrong());
    }
    // The calendar behind it has no year 0: it is the first before our era, shown as the first of it.
    Ok(calendar::days(if year == 0 { 1 } else { year }, month, day))
}

fn valid_date(year: i64, month: u32, day: u32, lenient: bool) -> Parsed<i64> {
    if !(1..=12).contains(&month) {
        return Err(format!("Invalid value for MonthOfYear (valid values 1 - 12): {month}"));
    }
    if !(1..=31).contains(&day) {
        return Err(format!("Invalid value for DayOfMonth (valid values 1 - 28/31): {day}"));
    }
    let (month, day) = (i64::from(month), i64::from(day));
    let length = calendar::month_length(year, month);
    if day > length && !lenient {
        return Err(format!("Invalid date: day {day} of month {month} in {year}"));
    }
    Ok(calendar::days(year, month, day.min(length)))
}

fn valid_time(hour: u32, minute: u32, second: u32, nanos: i64) -> Parsed<i64> {
    if hour > 23 {
        return Err(format!("Invalid value for HourOfDay (valid values 0 - 23): {hour}"));
    }
    if minute > 59 {
        return Err(format!("Invalid value for MinuteOfHour (valid values 0 - 59): {minute}"));
    }
    if second > 59 {
        return Err(format!("Invalid value for SecondOfMinute (valid values 0 - 59): {second}"));
    }
    Ok(i64::from(hour * 3600 + minute * 60 + second) * NANOS_PER_SECOND + nanos)
}

/// Reads fixed parts of a text from left to right.
struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn failed<T>(&self, at: usize) -> Parsed<T> {
        Err(format!("Text '{}' could not be parsed at index {at}", shown(self.text)))
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn literal(&mut self, byte: u8) -> Parsed<()> {
        if self.peek() != Some(byte) {
            return self.failed(self.at);
        }
        self.at += 1;
        Ok(())
    }

    fn end(&self) -> Parsed<()> {
        if self.at == self.text.len() {
            return Ok(());
        }
        Err(format!("Text '{}' could not be parsed, unparsed text found at index {}", shown(self.text), self.at))
    }

    fn two_digits(&mut self) -> Parsed<u32> {
        match self.text.get(self.at..self.at + 2) {
            Some([a, b]) if a.is_ascii_digit() && b.is_ascii_digit() => {
                self.at += 2;
                Ok(u32::from(a - b'0') * 10 + u32::from(b - b'0'))
            }
            _ => self.failed(self.at),
        }
    }

    /// Four digits, or a sign and as many as it takes.
    fn year(&mut self) -> Parsed<i64> {
        let start = self.at;
        let sign = self.peek().filter(|byte| matches!(byte, b'-' | b'+'));
        self.at += usize::from(sign.is_some());
        let most = if sign.is_some() { 10 } else { usize::MAX };
        let digits = self.text[self.at..].iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        let fits = match sign {
            None => digits == 4,
            Some(b'+') => digits > 4,
            Some(_) => digits >= 4,
        };
        // Arrow's days are 32 bits.
        if !fits || digits > 7 {
            return self.failed(start);
        }
        let year = self.text[self.at..self.at + digits].iter().fold(0i64, |year, d| year * 10 + i64::from(d - b'0'));
        self.at += digits;
        Ok(if sign == Some(b'-') { -year } else { year })
    }

    fn date(&mut self) -> Parsed<(i64, u32, u32)> {
        let year = self.year()?;
        self.literal(b'-')?;
        let month = self.two_digits()?;
        self.literal(b'-')?;
        Ok((year, month, self.two_digits()?))
    }

    /// Hour, minute, second and nanoseconds.
    fn time(&mut self, seconds_required: bool) -> Parsed<(u32, u32, u32, i64)> {
        let hour = self.two_digits()?;
        self.literal(b':')?;
        let minute = self.two_digits()?;
        if !seconds_required && self.peek() != Some(b':') {
            return Ok((hour, minute, 0, 0));
        }
        self.literal(b':')?;
        let second = self.two_digits()?;
        if self.peek() != Some(b'.') {
            return Ok((hour, minute, second, 0));
        }
        self.at += 1;
        let mut nanos = 0;
        let mut unit = NANOS_PER_SECOND / 10;
        while unit > 0 && self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            nanos += i64::from(self.text[self.at] - b'0') * unit;
            unit /= 10;
            self.at += 1;
        }
        Ok((hour, minute, second, nanos))
    }
}
