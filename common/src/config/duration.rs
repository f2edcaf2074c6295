//! Durations as Flink writes them: `10 s`, `1min`, `PT10S`; a bare number is milliseconds.
use std::time::Duration;

const NANOS_PER_SECOND: u128 = 1_000_000_000;

/// Units from the largest, with the label that is shown and all labels that are read: Flink's. `us` is none of them, nor is the
/// Greek letter in place of the sign for micro.
const UNITS: [(u128, &str, &[&str]); 7] = [
    (86_400 * NANOS_PER_SECOND, "d", &["d", "day", "days"]),
    (3_600 * NANOS_PER_SECOND, "h", &["h", "hour", "hours"]),
    (60 * NANOS_PER_SECOND, "min", &["min", "m", "minute", "minutes"]),
    (NANOS_PER_SECOND, "s", &["s", "sec", "secs", "second", "seconds"]),
    (1_000_000, "ms", &["ms", "milli", "millis", "millisecond", "milliseconds"]),
    (1_000, "µs", &["µs", "micro", "micros", "microsecond", "microseconds"]),
    (1, "ns", &["ns", "nano", "nanos", "nanosecond", "nanoseconds"]),
];

/// A hundred years: what a longer wait comes to where it is added to a time or told to others. Flink's users write
/// `9223372036854775807` for one that never ends.
pub const FOR_EVER: Duration = Duration::from_secs(36_500 * 86_400);

const EXPECTED: &str =
    "a duration such as `10 s`, `500 ms`, `1 min`, `2 h`, `1 d` or `PT10S` (a bare number is milliseconds)";

/// Reads a duration. The error says what was expected.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, label) = (&text[..digits], text[digits..].trim().to_lowercase());
    let expected = || format!("expected {EXPECTED}");
    if number.is_empty() {
        return parse_iso(text).ok_or_else(expected);
    }
    let nanos_per_unit = if label.is_empty() {
        1_000_000
    } else {
        let found = UNITS.iter().find(|(_, _, labels)| labels.contains(&label.as_str()));
        found.ok_or_else(|| format!("`{label}` is no time unit; {}", expected()))?.0
    };
    let too_large = || format!("the duration is too large; {}", expected());
    let number: u128 = number.parse().map_err(|_| too_large())?;
    number.checked_mul(nanos_per_unit).and_then(from_nanos).ok_or_else(too_large)
}

/// Flink's spelling: the largest unit that divides the duration, as `10 s` or `1500 ms`.
pub fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0 ms".to_owned();
    }
    let (per_unit, label, _) = UNITS.iter().find(|(per_unit, ..)| nanos.is_multiple_of(*per_unit)).unwrap_or(&UNITS[6]);
    format!("{} {label}", nanos / per_unit)
}

/// Whole milliseconds, at most as many as a time can have: the longest durations that can be written have more.
pub fn saturating_millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn from_nanos(nanos: u128) -> Option<Duration> {
    let seconds = i64::try_from(nanos / NANOS_PER_SECOND).ok()?;
    Some(Duration::new(seconds as u64, (nanos % NANOS_PER_SECOND) as u32))
}

/// ISO 8601 as `java.time.Duration` reads it: `PnDTnHnMn.nS`, not negative as a whole.
fn parse_iso(text: &str) -> Option<Duration> {
    let upper = text.to_ascii_uppercase();
    let (sign, body) = match upper.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, upper.strip_prefix('+').unwrap_or(&upper)),
    };
    let body = body.strip_prefix('P')?;
    let (days, time) = match body.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (body, ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut nanos: i128 = 0;
    let mut rest = days;
    if !rest.is_empty() {
        let (number, tail) = rest.split_at(rest.find('D')?);
        nanos += number.parse::<i64>().ok()? as i128 * UNITS[0].0 as i128;
        rest = &tail[1..];
    }
    if !rest.is_empty() {
        return None;
    }
    rest = time;
    for (unit, label) in [(UNITS[1].0, 'H'), (UNITS[2].0, 'M')] {
        if let Some(end) = rest.find(label) {
            nanos += rest[..end].parse::<i64>().ok()? as i128 * unit as i128;
            rest = &rest[end + 1..];
        }
    }
    if !rest.is_empty() {
        nanos += seconds(rest.strip_suffix('S')?)?;
    }
    from_nanos(u128::try_from(sign * nanos).ok()?)
}

/// Nanoseconds of `-1.5`.
fn seconds(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let negative = whole.starts_with('-');
    let whole: i128 = whole.parse::<i64>().ok()? as i128 * NANOS_PER_SECOND as i128;
    let fraction: i128 = format!("{fraction:0<9}").parse().ok()?;
    Some(if negative { whole - fraction } else { whole + fraction })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn milliseconds_of_the_longest_durations() {
        let millis = |text: &str| saturating_millis(parse_duration(text).unwrap());
        assert_eq!(millis("1500 ms"), 1_500);
        assert_eq!(millis("9223372036854775807"), i64::MAX);
        assert_eq!(millis("9223372036854775807 s"), i64::MAX);
        assert!(saturating_millis(FOR_EVER) < i64::MAX / 1_000);
    }

    #[test]
    fn every_spelling() {
        let cases = [
            ("10 s", 10_000),
            ("10s", 10_000),
            ("1min", 60_000),
            ("1 M", 60_000),
            ("2 hours", 7_200_000),
            ("1d", 86_400_000),
            ("500", 500),
            (" 7 ms ", 7),
            ("PT10S", 10_000),
            ("pt0.1s", 100),
            ("P1DT2H3M4.5S", 93_784_500),
            ("P2D", 172_800_000),
            ("PT1H-1M", 3_540_000),
            ("0", 0),
        ];
        for (text, millis) in cases {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["3 \u{b5}s", "3 micro", "3 micros", "3 microsecond", "3 microseconds"] {
            assert_eq!(parse_duration(text), Ok(Duration::from_micros(3)), "{text}");
        }
        for text in ["3 ns", "3 nano", "3 nanos", "3 nanosecond", "3 nanoseconds"] {
            assert_eq!(parse_duration(text), Ok(Duration::from_nanos(3)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        // The last two were read before, as microseconds: Flink knows neither.
        for text in [
            "",
            "s",
            "10 parsecs",
            "-5 s",
            "PT",
            "P",
            "P1",
            "PT-1S",
            "1.5 s",
            "99999999999999999999999 d",
            "PT1X",
            "3 us",
            "3 \u{3bc}s",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.contains("expected a duration"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn shown_and_read_again(nanos in 0..u64::MAX / 2) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse_duration(&format_duration(duration)), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}") {
            let _ = parse_duration(&text);
        }
    }

    #[test]
    fn shown_in_the_highest_unit() {
        for (millis, text) in [(0, "0 ms"), (10_000, "10 s"), (60_000, "1 min"), (1_500, "1500 ms"), (7_200_000, "2 h")]
        {
            assert_eq!(format_duration(Duration::from_millis(millis)), text);
        }
    }
}
