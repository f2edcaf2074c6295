//! Dates, times and timestamps: between counts of days or milliseconds and their parts, from and to text as Flink's.
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use wiesel_common::quote::quote;

pub(crate) use crate::calendar::{civil, days, month_length};
use crate::error::{Error, Result};
use crate::types::TIMESTAMP_RANGE;

/// Milliseconds of a day.
pub(crate) const DAY: i64 = 86_400_000;

/// A date some months later, on the last day of the month if that is shorter.
pub(crate) fn add_months(days_since_epoch: i64, months: i64) -> i64 {
    let (year, month, day) = civil(days_since_epoch);
    let months = year * 12 + (month - 1) + months;
    let (year, month) = (months.div_euclid(12), months.rem_euclid(12) + 1);
    days(year, month, day.min(month_length(year, month)))
}

/// A timestamp as Flink holds it: milliseconds since the epoch, and nanoseconds of the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Instant {
    pub millis: i64,
    pub nanos: i64,
}

impl Instant {
    pub fn from_millis(millis: i64) -> Self {
        Self { millis, nanos: 0 }
    }

    /// With what lies below a precision cut off, as Flink cuts it: milliseconds towards zero.
    pub fn truncated(self, precision: u8) -> Self {
        match precision {
            0..=3 => {
                let unit = 10_i64.pow(u32::from(3 - precision));
                Self { millis: self.millis / unit * unit, nanos: 0 }
            }
            4..=8 => {
                let unit = 10_i64.pow(u32::from(9 - precision));
                Self { millis: self.millis, nanos: self.nanos / unit * unit }
            }
            _ => self,
        }
    }

    /// The count of units since the epoch.
    ///
    /// # Errors
    /// It does not fit. Null or another time would be taken for the right one.
    pub fn count(self, unit: TimeUnit) -> Result<i64> {
        let (per_milli, rest) = match unit {
            TimeUnit::Second => return Ok(self.millis.div_euclid(1000)),
            TimeUnit::Millisecond => return Ok(self.millis),
            TimeUnit::Microsecond => (1000, self.nanos / 1000),
            TimeUnit::Nanosecond => (1_000_000, self.nanos),
        };
        // In 128 bits: the whole milliseconds of the least count alone are less than 64 bits hold.
        let count = i128::from(self.millis) * per_milli + i128::from(rest);
        i64::try_from(count).map_err(|_| {
            let mut text = String::new();
            write_timestamp(self, 9, &mut text);
            let message = format!("the timestamp {text} is out of range: {TIMESTAMP_RANGE}");
            Error::data("java.lang.ArithmeticException", message)
        })
    }

    /// From a count of units since the epoch.
    pub fn of(count: i64, unit: TimeUnit) -> Self {
        match unit {
            TimeUnit::Second => Self { millis: count.saturating_mul(1000), nanos: 0 },
            TimeUnit::Millisecond => Self { millis: count, nanos: 0 },
            TimeUnit::Microsecond => Self { millis: count.div_euclid(1000), nanos: count.rem_euclid(1000) * 1000 },
            TimeUnit::Nanosecond => Self { millis: count.div_euclid(1_000_000), nanos: count.rem_euclid(1_000_000) },
        }
    }

    /// Shifted by whole seconds.
    pub fn plus_seconds(self, seconds: i64) -> Self {
        Self { millis: self.millis.wrapping_add(seconds * 1000), nanos: self.nanos }
    }
}

/// The counts and the unit of a column of timestamps.
pub(crate) fn timestamps(array: &ArrayRef) -> Result<(&[i64], TimeUnit)> {
    Ok(match array.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            (array.as_primitive::<TimestampMillisecondType>().values(), TimeUnit::Millisecond)
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            (array.as_primitive::<TimestampMicrosecondType>().values(), TimeUnit::Microsecond)
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            (array.as_primitive::<TimestampNanosecondType>().values(), TimeUnit::Nanosecond)
        }
        other => return Err(Error::Plan(format!("{other} where a timestamp was expected"))),
    })
}

fn push_padded(value: i64, width: usize, out: &mut String) {
    let mut divisor = 10_i64.pow(width as u32 - 1);
    while divisor > 0 {
        out.push(char::from(b'0' + (value / divisor % 10) as u8));
        divisor /= 10;
    }
}

/// `2020-01-02`.
pub(crate) fn write_date(days_since_epoch: i64, out: &mut String) {
    let (year, month, day) = civil(days_since_epoch);
    push_padded(year.abs(), 4, out);
    out.push('-');
    push_padded(month, 2, out);
    out.push('-');
    push_padded(day, 2, out);
}

/// `10:11:12.34` with up to `precision` digits.
pub(crate) fn write_time(millis_of_day: i64, precision: u8, out: &mut String) {
    push_padded(millis_of_day / 3_600_000, 2, out);
    out.push(':');
    push_padded(millis_of_day / 60_000 % 60, 2, out);
    out.push(':');
    push_padded(millis_of_day / 1000 % 60, 2, out);
    if precision > 0 {
        // No more digits than needed, but one.
        out.push('.');
        let mut rest = millis_of_day % 1000;
        for _ in 0..precision {
            push_padded(rest / 100, 1, out);
            rest = rest % 100 * 10;
            if rest == 0 {
                break;
            }
        }
    }
}

fn write_fraction(nanos: i64, precision: u8, out: &mut String) {
    if precision > 0 {
        out.push('.');
        push_padded(nanos / 10_i64.pow(u32::from(9 - precision.min(9))), usize::from(precision.min(9)), out);
    }
}

/// `2020-01-02 10:11:12.345` with `precision` digits.
pub(crate) fn write_timestamp(local: Instant, precision: u8, out: &mut String) {
    write_date(local.millis.div_euclid(DAY), out);
    out.push(' ');
    let time = local.millis.rem_euclid(DAY);
    write_time(time, 0, out);
    write_fraction(time % 1000 * 1_000_000 + local.nanos, precision, out);
}

/// A non-empty run of ASCII digits.
fn number(text: &str) -> Option<i64> {
    let text = java_trim(text);
    if text.is_empty() || text.len() > 10 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

/// `String.trim`: without leading and trailing characters up to the space.
pub(crate) fn java_trim(text: &str) -> &str {
    text.trim_matches(|c| c <= ' ')
}

/// A date: `y-m-d`, `y-m` or `y`; what follows a space is left out.
pub(crate) fn parse_date(text: &str) -> Option<i64> {
    let text = match text.find(' ') {
        Some(at) if at > 0 => &text[..at],
        _ => text,
    };
    let mut parts = text.splitn(3, '-');
    let year = number(parts.next()?)?;
    let month = parts.next().map_or(Some(1), number)?;
    let day = parts.next().map_or(Some(1), number)?;
    let legal =
        (0..=9999).contains(&year) && (1..=12).contains(&month) && (1..=month_length(year, month)).contains(&day);
    legal.then(|| days(year, month, day))
}

/// A time of day in milliseconds: `h`, `h:m`, `h:m:s`, `h:m:s.fraction`, each with an offset such as `+01:00`.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let (body, sign, offset) = match text.find('-').map(|at| (at, -1)).or_else(|| text.find('+').map(|at| (at, 1))) {
        Some((at, sign)) => {
            let mut parts = text[at + 1..].splitn(2, ':');
            let hours = number(parts.next()?)?;
            let minutes = parts.next().map_or(Some(0), number)?;
            (&text[..at], sign, (hours, minutes))
        }
        None => (text, 1, (0, 0)),
    };
    let mut parts = body.splitn(3, ':');
    let hour = number(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), number)?;
    let (second, fraction) = match parts.next() {
        None => (0, 0),
        Some(seconds) => match seconds.split_once('.') {
            None => (number(seconds)?, 0),
            Some((seconds, fraction)) => (number(seconds)?, parse_fraction(java_trim(fraction))),
        },
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (hour, minute) = (hour + sign * offset.0, minute + sign * offset.1);
    Some(hour * 3_600_000 + minute * 60_000 + second * 1000 + fraction)
}

/// Milliseconds of a fraction, rounded by its fourth digit.
fn parse_fraction(text: &str) -> i64 {
    let digits = text.as_bytes();
    let digit =
        |at: usize| digits.get(at).filter(|byte| byte.is_ascii_digit()).map_or(0, |byte| i64::from(byte - b'0'));
    let rounded = digits.len() > 3 && digits[3] >= b'5';
    digit(0) * 100 + digit(1) * 10 + digit(2) + i64::from(rounded)
}

/// A timestamp in `yyyy-M-d[ H:m:s[.fraction]]`, cut to a precision. The error is the position that does not fit.
pub(crate) fn parse_timestamp(text: &str, precision: u8) -> std::result::Result<Instant, TimestampError> {
    let bytes = text.as_bytes();
    let mut at = 0;
    let digits = |at: &mut usize, least: usize, most: usize| -> std::result::Result<i64, TimestampError> {
        let run = bytes[*at..].iter().take(most).take_while(|byte| byte.is_ascii_digit()).count();
        if run < least {
            return Err(TimestampError::At(*at));
        }
        let value = text[*at..*at + run].parse().map_err(|_| TimestampError::At(*at))?;
        *at += run;
        Ok(value)
    };
    let symbol = |at: &mut usize, symbol: u8| match bytes.get(*at) {
        Some(byte) if *byte == symbol => {
            *at += 1;
            Ok(())
        }
        _ => Err(TimestampError::At(*at)),
    };
    let year = digits(&mut at, 4, 4)?;
    symbol(&mut at, b'-')?;
    let month = digits(&mut at, 1, 2)?;
    symbol(&mut at, b'-')?;
    let day = digits(&mut at, 1, 2)?;
    let (mut hour, mut minute, mut second, mut nanos) = (0, 0, 0, 0);
    if at < bytes.len() {
        let start = at;
        let time = (|| {
            symbol(&mut at, b' ')?;
            hour = digits(&mut at, 1, 2)?;
            symbol(&mut at, b':')?;
            minute = digits(&mut at, 1, 2)?;
            symbol(&mut at, b':')?;
            second = digits(&mut at, 1, 2)?;
            Ok::<(), TimestampError>(())
        })();
        if time.is_err() {
            return Err(TimestampError::Unparsed(start));
        }
        if bytes.get(at) == Some(&b'.') {
            let run = bytes[at + 1..].iter().take(9).take_while(|byte| byte.is_ascii_digit()).count();
            nanos = text[at + 1..at + 1 + run].parse().unwrap_or(0) * 10_i64.pow(9 - run as u32);
            at += 1 + run;
        }
        if at < bytes.len() {
            return Err(TimestampError::Unparsed(at));
        }
    }
    // Midnight at the end of the day is midnight of the next.
    let midnight = (hour, minute, second, nanos) == (24, 0, 0, 0);
    let hours = if midnight { 24 } else { 23 };
    let limits = [("YearOfEra", year, 1, 9999), ("MonthOfYear", month, 1, 12), ("DayOfMonth", day, 1, 31)];
    let limits = limits
        .into_iter()
        .chain([("HourOfDay", hour, 0, hours)])
        .chain([("MinuteOfHour", minute, 0, 59), ("SecondOfMinute", second, 0, 59)]);
    for (field, value, least, most) in limits {
        if !(least..=most).contains(&value) {
            return Err(TimestampError::Field { field, value, least, most });
        }
    }
    // A day beyond the month's end is its last day, as Java's "smart" resolver has it.
    let day = day.min(month_length(year, month));
    let millis = days(year, month, day) * DAY + hour * 3_600_000 + minute * 60_000 + second * 1000 + nanos / 1_000_000;
    let instant = Instant { millis, nanos: nanos % 1_000_000 };
    let unit = 10_i64.pow(u32::from(9 - precision.min(9)));
    let nanos = nanos / unit * unit;
    Ok(Instant { millis: instant.millis.div_euclid(1000) * 1000 + nanos / 1_000_000, nanos: nanos % 1_000_000 })
}

/// Why a text is no timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TimestampError {
    /// Something else was expected here.
    At(usize),
    /// The text goes on where it should end.
    Unparsed(usize),
    /// A part is out of its range.
    Field { field: &'static str, value: i64, least: i64, most: i64 },
}

impl TimestampError {
    /// Java's words.
    pub fn into_error(self, text: &str) -> Error {
        let text = quote(text);
        let message = match self {
            Self::At(at) => format!("Text '{text}' could not be parsed at index {at}"),
            Self::Unparsed(at) => format!("Text '{text}' could not be parsed, unparsed text found at index {at}"),
            Self::Field { field, value, least, most } => {
                format!("Invalid value for {field} (valid values {least} - {most}): {value}")
            }
        };
        Error::data("java.time.DateTimeException", message)
    }
}
