//! Values as text, as Java writes them.
use std::fmt::Write;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, DurationMillisecondType, IntervalYearMonthType, Time32MillisecondType, TimeUnit,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use wiesel_expressions::calendar::civil;

/// Writes to a String, which cannot fail.
macro_rules! put {
    ($out:expr, $($arguments:tt)*) => {{
        let _ = write!($out, $($arguments)*);
    }};
}
pub(crate) use put;

/// Nanoseconds in a second.
pub const NANOS_PER_SECOND: i64 = 1_000_000_000;
/// Nanoseconds in a millisecond.
pub const NANOS_PER_MILLI: i64 = 1_000_000;

/// The number behind a time, a timestamp or an interval.
pub(crate) fn number(column: &dyn Array, row: usize) -> i64 {
    match column.data_type() {
        DataType::Time32(_) => i64::from(column.as_primitive::<Time32MillisecondType>().value(row)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => column.as_primitive::<TimestampMicrosecondType>().value(row),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => column.as_primitive::<TimestampNanosecondType>().value(row),
        DataType::Timestamp(..) => column.as_primitive::<TimestampMillisecondType>().value(row),
        DataType::Interval(_) => i64::from(column.as_primitive::<IntervalYearMonthType>().value(row)),
        DataType::Duration(_) => column.as_primitive::<DurationMillisecondType>().value(row),
        _ => 0,
    }
}

/// Seconds since the epoch, and nanoseconds of the second.
pub(crate) fn split_timestamp(value: i64, unit: TimeUnit) -> (i64, i64) {
    let per_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => NANOS_PER_SECOND,
    };
    (value.div_euclid(per_second), value.rem_euclid(per_second) * (NANOS_PER_SECOND / per_second))
}

/// `BigDecimal.toPlainString`.
pub(crate) fn write_decimal(out: &mut String, unscaled: i128, scale: i8) {
    let scale = scale.max(0) as usize;
    if unscaled < 0 {
        out.push('-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    if scale == 0 {
        out.push_str(&digits);
    } else if digits.len() > scale {
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        put!(out, "{whole}.{fraction}");
    } else {
        put!(out, "0.{digits:0>scale$}");
    }
}

/// `2020-01-31`.
pub(crate) fn write_date(out: &mut String, days: i32) {
    let (year, month, day) = civil(i64::from(days));
    if (0..=9999).contains(&year) {
        put!(out, "{year:04}-{month:02}-{day:02}");
    } else {
        put!(out, "{}{:04}-{month:02}-{day:02}", if year < 0 { '-' } else { '+' }, year.abs());
    }
}

/// `LocalTime.toString`: seconds and fraction only if they are not zero, the fraction in groups of three digits.
pub(crate) fn write_local_time(out: &mut String, nanos_of_day: i64) {
    let seconds = nanos_of_day / NANOS_PER_SECOND;
    put!(out, "{:02}:{:02}", seconds / 3600, seconds / 60 % 60);
    if nanos_of_day % (60 * NANOS_PER_SECOND) != 0 {
        put!(out, ":{:02}", seconds % 60);
        write_fraction(out, nanos_of_day % NANOS_PER_SECOND);
    }
}

/// The time of `Instant.toString`, which always has seconds.
pub(crate) fn write_instant_time(out: &mut String, nanos_of_day: i64) {
    let seconds = nanos_of_day / NANOS_PER_SECOND;
    put!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    write_fraction(out, nanos_of_day % NANOS_PER_SECOND);
}

fn write_fraction(out: &mut String, nanos: i64) {
    let written = match nanos {
        0 => Ok(()),
        n if n % 1_000_000 == 0 => write!(out, ".{:03}", n / 1_000_000),
        n if n % 1_000 == 0 => write!(out, ".{:06}", n / 1_000),
        n => write!(out, ".{n:09}"),
    };
    let _ = written;
}

/// `Period.toString` of months.
pub(crate) fn write_period(out: &mut String, months: i64) {
    out.push('P');
    if months == 0 {
        out.push_str("0D");
    }
    if months / 12 != 0 {
        put!(out, "{}Y", months / 12);
    }
    if months % 12 != 0 {
        put!(out, "{}M", months % 12);
    }
}

/// `Duration.toString` of milliseconds.
pub(crate) fn write_duration(out: &mut String, millis: i64) {
    out.push_str("PT");
    if millis == 0 {
        out.push_str("0S");
        return;
    }
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let (hours, minutes, rest) = (millis / 3_600_000, millis / 60_000 % 60, millis % 60_000);
    if hours != 0 {
        put!(out, "{sign}{hours}H");
    }
    if minutes != 0 {
        put!(out, "{sign}{minutes}M");
    }
    if rest != 0 {
        put!(out, "{sign}{}", rest / 1000);
        if rest % 1000 != 0 {
            let fraction = format!("{:03}", rest % 1000);
            put!(out, ".{}", fraction.trim_end_matches('0'));
        }
        out.push('S');
    }
}

/// `BigDecimal.toString` of a DECIMAL without the zeros at its end.
pub(crate) fn write_big_decimal(out: &mut String, unscaled: i128, scale: i8) {
    let (mut digits, mut scale) = (unscaled, i32::from(scale));
    while digits != 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if digits == 0 {
        scale = 0;
    }
    let text = digits.unsigned_abs().to_string();
    let exponent = text.len() as i32 - 1 - scale;
    if digits < 0 {
        out.push('-');
    }
    if scale < 0 || exponent < -6 {
        let (first, rest) = text.split_at(1);
        let point = if rest.is_empty() { "" } else { "." };
        put!(out, "{first}{point}{rest}E{exponent:+}");
    } else {
        write_decimal(out, digits.unsigned_abs() as i128, scale as i8);
    }
}

/// `12:34:56.7`: always with seconds, the fraction without zeros at its end.
pub(crate) fn write_sql_time(out: &mut String, nanos_of_day: i64) {
    let seconds = nanos_of_day / NANOS_PER_SECOND;
    put!(out, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let nanos = nanos_of_day % NANOS_PER_SECOND;
    if nanos != 0 {
        let fraction = format!("{nanos:09}");
        put!(out, ".{}", fraction.trim_end_matches('0'));
    }
}

/// `2020-01-01 12:34:56.7`, with this character between date and time.
pub(crate) fn write_sql_timestamp(out: &mut String, value: i64, unit: TimeUnit, separator: char) {
    let (seconds, nanos) = split_timestamp(value, unit);
    write_date(out, seconds.div_euclid(86_400) as i32);
    out.push(separator);
    write_sql_time(out, seconds.rem_euclid(86_400) * NANOS_PER_SECOND + nanos);
}
