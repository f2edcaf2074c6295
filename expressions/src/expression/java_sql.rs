//! Texts as `java.sql.Timestamp` and `java.sql.Date` read them, which TO_TIMESTAMP does with those that its pattern does
//! not fit: days, hours, minutes and seconds beyond their range count on.
use super::datetime::{DAY, Instant, days, java_trim};

/// `yyyy-[m]m-[d]d`, and behind a blank `h:m:s[.fraction]`.
pub(crate) fn parse_timestamp(text: &str) -> Option<Instant> {
    let text = java_trim(text);
    let Some((date, time)) = text.split_once(' ') else {
        return parse_date(text).map(|day| Instant::from_millis(day * DAY));
    };
    let day = parse_date(date)?;
    let (hour, rest) = time.split_once(':')?;
    let (minute, rest) = rest.split_once(':')?;
    let (second, nanos) = match rest.split_once('.') {
        None => (rest, 0),
        Some((second, fraction)) => (second, parse_fraction(fraction)?),
    };
    let time = integer(hour)? * 3_600_000 + integer(minute)? * 60_000 + integer(second)? * 1000;
    Some(Instant { millis: day * DAY + time + nanos / 1_000_000, nanos: nanos % 1_000_000 })
}

/// Days since the epoch.
fn parse_date(text: &str) -> Option<i64> {
    let (year, rest) = text.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    if year.len() != 4 || !(1..=2).contains(&month.len()) || !(1..=2).contains(&day.len()) {
        return None;
    }
    // The year before the first is of an era of its own in those classes, and only its number is kept.
    let (year, month, day) = (integer(year)?.max(1), integer(month)?, integer(day)?);
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| days(year, month, 1) + day - 1)
}

/// Nanoseconds of one to nine digits.
fn parse_fraction(text: &str) -> Option<i64> {
    if !(1..=9).contains(&text.len()) || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse::<i64>().ok()? * 10_i64.pow(9 - text.len() as u32))
}

/// `Integer.parseInt`.
fn integer(text: &str) -> Option<i64> {
    text.parse::<i32>().ok().map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<String> {
        let instant = parse_timestamp(text)?;
        let mut out = String::new();
        crate::expression::datetime::write_timestamp(instant, 9, &mut out);
        Some(out)
    }

    #[test]
    fn reads_what_the_classes_read() {
        assert_eq!(read(" 2024-1-5 ").unwrap(), "2024-01-05 00:00:00.000000000");
        assert_eq!(read("0000-01-01").unwrap(), "0001-01-01 00:00:00.000000000");
        assert_eq!(read("2024-1-5 3:4:5").unwrap(), "2024-01-05 03:04:05.000000000");
        assert_eq!(read("2024-01-05 03:04:05.12").unwrap(), "2024-01-05 03:04:05.120000000");
        assert_eq!(read("2024-02-30").unwrap(), "2024-03-01 00:00:00.000000000");
        assert_eq!(read("2024-01-05 25:61:00").unwrap(), "2024-01-06 02:01:00.000000000");
    }

    #[test]
    fn refuses_the_rest() {
        for text in ["", "2024", "2024-01", "24-01-05", "2024-13-01", "2024-01-32", "2024-01-05T00:00:00"] {
            assert_eq!(read(text), None, "{text}");
        }
        for text in ["2024-01-05 10:11", "2024-01-05 10:11:12.", "2024-01-05 10:11:12.0123456789", "2024-01-05 a:b:c"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
