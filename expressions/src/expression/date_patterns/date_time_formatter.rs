//! Date and time patterns of `java.time.format.DateTimeFormatter`: writing and reading.
use wiesel_common::quote::quote;

use super::{DAYS, MONTHS, days_before, padded, quoted, sunday_week};
use crate::cast::write_integer;
use crate::error::{Error, Result};
use crate::expression::datetime::{DAY, Instant, civil, days, month_length};

/// How deep optional sections may lie in each other.
const MAX_OPTIONAL: usize = 16;

/// Reads a local date, or date and time, by a pattern: milliseconds since 1970-01-01 00:00:00. None: the text does not fit.
///
/// # Errors
/// If the pattern is none.
pub fn parse_local_time(pattern: &str, text: &str) -> Result<Option<i64>> {
    Ok(DateTimeFormatter::parse(pattern)?.read(text).map(|(instant, _)| instant.millis))
}

/// A pattern of this formatter, parsed.
#[derive(Clone, Debug)]
pub(crate) struct DateTimeFormatter {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
    /// `[…]`: left out where it does not fit.
    Optional(Vec<Item>),
}

/// What was read; what the text does not tell is none.
#[derive(Clone, Copy, Debug, Default)]
struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    /// From Monday, which is zero.
    weekday: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<i64>,
    offset: Option<i64>,
}

impl DateTimeFormatter {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self> {
        // The items of the sections that are open, the innermost last.
        let mut open: Vec<Vec<Item>> = Vec::new();
        let mut items: Vec<Item> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\'' => {
                    if !quoted(&mut chars, |c| push_literal(&mut items, c)) {
                        return Err(illegal(format!(
                            "Pattern ends with an incomplete string literal: {}",
                            quote(text)
                        )));
                    }
                }
                '[' if open.len() == MAX_OPTIONAL => {
                    return Err(illegal(format!(
                        "Pattern has more than {MAX_OPTIONAL} optional sections in each other"
                    )));
                }
                '[' => open.push(std::mem::take(&mut items)),
                ']' => {
                    let message = "Pattern invalid as it contains ] without previous [";
                    close_section(&mut open, &mut items).ok_or_else(|| illegal(message.into()))?;
                }
                '{' | '}' | '#' => return Err(illegal(format!("Pattern includes reserved character: '{c}'"))),
                _ if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    check_letters(c, count)?;
                    items.push(Item::Field(c, count));
                }
                _ => push_literal(&mut items, c),
            }
        }
        // Sections that are still open end with the pattern.
        while close_section(&mut open, &mut items).is_some() {}
        Ok(Self { items })
    }

    /// Writes a local date and time.
    pub fn write(&self, local: Instant, out: &mut String) -> Result<()> {
        write_items(&self.items, local, out)
    }

    /// Reads a text. None if it does not fit. The instant is local unless an offset was read, which comes second.
    pub fn read(&self, text: &str) -> Option<(Instant, Option<i64>)> {
        let mut parts = Parts::default();
        read_items(&self.items, &mut parts, text)?.is_empty().then(|| parts.resolve())?
    }
}

/// How often a letter may stand in a row, with Java's words otherwise.
fn check_letters(letter: char, count: usize) -> Result<()> {
    let most = match letter {
        'F' | 'a' | 'W' => 1,
        'd' | 'h' | 'H' | 'k' | 'K' | 'm' | 's' | 'w' => 2,
        'D' => 3,
        'z' => 4,
        'G' | 'M' | 'L' | 'Q' | 'q' | 'E' | 'e' | 'c' | 'Z' | 'X' | 'x' => 5,
        'S' if count > 9 => {
            return Err(illegal(format!("Minimum width must be from 0 to 9 inclusive but was {count}")));
        }
        'u' | 'y' | 'A' | 'n' | 'N' | 'g' if count > 19 => {
            let message = format!("The minimum width must be from 1 to 19 inclusive but was {count}");
            return Err(illegal(message));
        }
        'V' if count != 2 => return Err(illegal("Pattern letter count must be 2: V".into())),
        'O' if !matches!(count, 1 | 4) => return Err(illegal("Pattern letter count must be 1 or 4: O".into())),
        'B' if !matches!(count, 1 | 4 | 5) => return Err(illegal("Wrong number of pattern letters: B".into())),
        'S' | 'u' | 'y' | 'Y' | 'A' | 'n' | 'N' | 'g' | 'V' | 'O' | 'B' => usize::MAX,
        _ => return Err(illegal(format!("Unknown pattern letter: {letter}"))),
    };
    if letter == 'c' && count == 2 {
        return Err(illegal("Invalid pattern \"cc\"".into()));
    }
    if count > most {
        return Err(illegal(format!("Too many pattern letters: {letter}")));
    }
    Ok(())
}

fn push_literal(items: &mut Vec<Item>, c: char) {
    match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.to_string())),
    }
}

/// Ends the innermost open section; none if there is none.
fn close_section(open: &mut Vec<Vec<Item>>, items: &mut Vec<Item>) -> Option<()> {
    let outer = open.pop()?;
    let section = std::mem::replace(items, outer);
    items.push(Item::Optional(section));
    Some(())
}

fn illegal(message: String) -> Error {
    Error::data("java.lang.IllegalArgumentException", message)
}

fn write_items(items: &[Item], local: Instant, out: &mut String) -> Result<()> {
    let day = local.millis.div_euclid(DAY);
    let time = local.millis.rem_euclid(DAY);
    let (year, month, day_of_month) = civil(day);
    let nanos = time % 1000 * 1_000_000 + local.nanos;
    let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1000 % 60);
    for item in items {
        let (letter, count) = match item {
            Item::Literal(text) => {
                out.push_str(text);
                continue;
            }
            Item::Optional(section) => {
                let start = out.len();
                if write_items(section, local, out).is_err() {
                    out.truncate(start);
                }
                continue;
            }
            Item::Field(letter, count) => (*letter, *count),
        };
        let weekday = (day + 3).rem_euclid(7);
        match (letter, count) {
            ('y', count) => write_year(if year > 0 { year } else { 1 - year }, count, out),
            ('u', count) => write_year(year, count, out),
            ('Y', 2) => padded(sunday_week(day).0.rem_euclid(100), 2, out),
            ('Y', count) => write_year(sunday_week(day).0, count, out),
            ('M' | 'L', 1 | 2) => padded(month, count, out),
            ('M' | 'L', count) => out.push_str(shortened(MONTHS[month as usize - 1], count)),
            ('Q' | 'q', count) => write_quarter((month + 2) / 3, count, out),
            ('w', count) => padded(sunday_week(day).1, count, out),
            ('W', count) => padded((day_of_month + days_before(day, day_of_month) - 1) / 7 + 1, count, out),
            ('d', count) => padded(day_of_month, count, out),
            // The day of the week where each month begins with the first day of one.
            ('F', count) => padded((day_of_month - 1) % 7 + 1, count, out),
            ('D', count) => padded(day - days(year, 1, 1) + 1, count, out),
            ('e' | 'c', 1 | 2) => padded((weekday + 1) % 7 + 1, count, out),
            ('E' | 'e' | 'c', count) => out.push_str(shortened(DAYS[weekday as usize], count)),
            ('G', count) => out.push_str(era(year, count)),
            // Days since 1858-11-17.
            ('g', count) => padded(day + 40_587, count, out),
            ('a', _) => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            ('B', count) => out.push_str(period_of_day(hour, minute, count)),
            ('H', count) => padded(hour, count, out),
            ('h', count) => padded((hour + 11) % 12 + 1, count, out),
            ('k', count) => padded((hour + 23) % 24 + 1, count, out),
            ('K', count) => padded(hour % 12, count, out),
            ('m', count) => padded(minute, count, out),
            ('s', count) => padded(second, count, out),
            ('S', count) => {
                let digits = format!("{nanos:09}");
                out.push_str(&digits[..count.min(9)]);
                (9..count).for_each(|_| out.push('0'));
            }
            ('A', count) => padded(time, count, out),
            ('n', count) => padded(nanos, count, out),
            ('N', count) => padded(time / 1000 * 1_000_000_000 + nanos, count, out),
            ('z' | 'V', _) => return Err(no_zone(local)),
            _ => return Err(date_time("Unsupported field: OffsetSeconds")),
        }
    }
    Ok(())
}

/// The name of a month or a day: whole for four letters, its first letter for five, else the first three.
fn shortened(name: &str, count: usize) -> &str {
    match count {
        4 => name,
        5 => &name[..1],
        _ => &name[..3],
    }
}

fn write_quarter(quarter: i64, count: usize, out: &mut String) {
    match count {
        3 => {
            out.push('Q');
            write_integer(quarter, out);
        }
        4 => out.push_str(["1st quarter", "2nd quarter", "3rd quarter", "4th quarter"][quarter as usize - 1]),
        5 => write_integer(quarter, out),
        _ => padded(quarter, count, out),
    }
}

/// In English, as Java has it from Unicode's CLDR.
fn period_of_day(hour: i64, minute: i64, count: usize) -> &'static str {
    match (hour, minute) {
        (0, 0) if count == 5 => "mi",
        (0, 0) => "midnight",
        (12, 0) if count == 5 => "n",
        (12, 0) => "noon",
        (6..=11, _) => "in the morning",
        (12..=17, _) => "in the afternoon",
        (18..=20, _) => "in the evening",
        _ => "at night",
    }
}

fn era(year: i64, count: usize) -> &'static str {
    match (year > 0, count) {
        (true, 4) => "Anno Domini",
        (true, 5) => "A",
        (true, _) => "AD",
        (false, 4) => "Before Christ",
        (false, 5) => "B",
        (false, _) => "BC",
    }
}

/// Two digits for a count of two; from four on a plus sign where there are more digits than letters.
fn write_year(year: i64, count: usize, out: &mut String) {
    if count == 2 {
        return padded(year.rem_euclid(100), 2, out);
    }
    if year < 0 {
        out.push('-');
    } else if count >= 4 && year.checked_ilog10().is_some_and(|log| log as usize >= count) {
        out.push('+');
    }
    padded(year.abs(), count, out);
}

/// Digits that fixed fields right after an item take.
fn reserved(items: &[Item], at: usize) -> usize {
    let following = items[at + 1..].iter().map_while(|item| match item {
        Item::Field('M' | 'L', count @ 2) | Item::Field('d' | 'H' | 'h' | 'k' | 'K' | 'm' | 's', count @ 2) => {
            Some(*count)
        }
        Item::Field('S', count) => Some(*count),
        _ => None,
    });
    following.sum()
}

/// Reads what items say; the rest of the text.
fn read_items<'a>(items: &[Item], parts: &mut Parts, text: &'a str) -> Option<&'a str> {
    let mut rest = text;
    for (at, item) in items.iter().enumerate() {
        match item {
            Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Item::Field(letter, count) => rest = read_field(parts, *letter, *count, reserved(items, at), rest)?,
            Item::Optional(section) => {
                let before = *parts;
                match read_items(section, parts, rest) {
                    Some(behind) => rest = behind,
                    None => *parts = before,
                }
            }
        }
    }
    Some(rest)
}

fn read_field<'a>(parts: &mut Parts, letter: char, count: usize, reserved: usize, text: &'a str) -> Option<&'a str> {
    let run = text.bytes().take_while(u8::is_ascii_digit).count();
    let digits = |least: usize, most: usize| -> Option<(i64, &'a str)> {
        let length = run.min(most);
        (length >= least).then(|| Some((text[..length].parse().ok()?, &text[length..])))?
    };
    let flexible = |least: usize| digits(least, run.saturating_sub(reserved).min(18));
    let plain = || if count == 1 { flexible(1) } else { digits(count, count) };
    let named = |names: &[&'static str], short: bool| -> Option<(i64, &'a str)> {
        let found = names.iter().position(|name| text.starts_with(if short { &name[..3] } else { name }))?;
        let length = if short { 3 } else { names[found].len() };
        Some((found as i64 + 1, &text[length..]))
    };
    let (value, rest) = match (letter, count) {
        ('y' | 'u', 2) => {
            let (value, rest) = digits(2, 2)?;
            (value + 2000, rest)
        }
        ('y' | 'u', 4..) => match text.strip_prefix('+') {
            // More digits than letters only behind a sign.
            None if run.saturating_sub(reserved) > count => return None,
            None => digits(count, count)?,
            Some(unsigned) => {
                let run = unsigned.bytes().take_while(u8::is_ascii_digit).count();
                let length = run.saturating_sub(reserved).min(18);
                if length <= count {
                    return None;
                }
                (unsigned[..length].parse().ok()?, &unsigned[length..])
            }
        },
        ('y' | 'u', count) => flexible(count)?,
        ('M' | 'L', 3) => named(&MONTHS, true)?,
        ('M' | 'L', 4..) => named(&MONTHS, false)?,
        ('E', count) => {
            let (number, rest) = named(&DAYS, count <= 3)?;
            parts.weekday = Some(number - 1);
            return Some(rest);
        }
        ('a', _) => {
            let half = text.get(..2)?;
            parts.afternoon = Some(if half == "PM" {
                true
            } else if half == "AM" {
                false
            } else {
                return None;
            });
            return Some(&text[2..]);
        }
        ('S', count) => {
            let (value, rest) = digits(count, count)?;
            (value * 10_i64.pow(9 - count.min(9) as u32), rest)
        }
        ('X' | 'x' | 'Z', _) => {
            if letter == 'X' && text.starts_with('Z') {
                parts.offset = Some(0);
                return Some(&text[1..]);
            }
            let sign = match text.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            let body = &text[1..];
            let hours: i64 = body.get(..2)?.parse().ok()?;
            let (minutes, rest) = match body[2..].strip_prefix(':').unwrap_or(&body[2..]) {
                rest if rest.len() >= 2 && rest.as_bytes()[..2].iter().all(u8::is_ascii_digit) => {
                    (rest[..2].parse().ok()?, &rest[2..])
                }
                _ => (0, &body[2..]),
            };
            parts.offset = Some(sign * (hours * 3600 + minutes * 60));
            return Some(rest);
        }
        ('D', _) => digits(1, 3)?,
        ('M' | 'L' | 'd' | 'H' | 'h' | 'k' | 'K' | 'm' | 's' | 'n', _) => plain()?,
        _ => return None,
    };
    let slot = match letter {
        'y' | 'u' => &mut parts.year,
        'M' | 'L' => &mut parts.month,
        'd' => &mut parts.day,
        'D' => &mut parts.day_of_year,
        'H' => &mut parts.hour,
        'k' => {
            parts.hour = Some(value % 24);
            return (1..=24).contains(&value).then_some(rest);
        }
        'h' => {
            parts.half_hour = Some(value % 12);
            return (1..=12).contains(&value).then_some(rest);
        }
        'K' => &mut parts.half_hour,
        'm' => &mut parts.minute,
        's' => &mut parts.second,
        _ => &mut parts.nanos,
    };
    *slot = Some(value);
    Some(rest)
}

impl Parts {
    fn resolve(self) -> Option<(Instant, Option<i64>)> {
        let within = |value: Option<i64>, least: i64, most: i64| value.is_none_or(|v| (least..=most).contains(&v));
        let hour = match (self.hour, self.half_hour, self.afternoon) {
            (Some(hour), _, _) => hour,
            (None, Some(half), Some(afternoon)) => half + if afternoon { 12 } else { 0 },
            _ => 0,
        };
        let whole = self.year.is_some() && self.month.is_some() && self.day.is_some();
        // Midnight at the end of the day is midnight of the next.
        let midnight = hour == 24 && [self.minute, self.second, self.nanos].iter().all(|part| part.unwrap_or(0) == 0);
        let (hour, excess) = if midnight { (0, i64::from(whole)) } else { (hour, 0) };
        // Years that milliseconds can count; Java has a few more.
        let fits = within(self.year, -290_000_000, 290_000_000)
            && within(self.month, 1, 12)
            && within(self.day, 1, 31)
            && (0..=23).contains(&hour)
            && within(self.minute, 0, 59)
            && within(self.second, 0, 59);
        if !fits {
            return None;
        }
        let year = self.year.unwrap_or(1970);
        let date = match self.day_of_year {
            Some(day) if self.month.is_none() => days(year, 1, 1) + day - 1,
            _ => {
                let month = self.month.unwrap_or(1);
                let day = self.day.unwrap_or(1);
                let day = if self.year.is_some() { day.min(month_length(year, month)) } else { day };
                if day > month_length(year, month) {
                    return None;
                }
                days(year, month, day)
            }
        };
        if whole && self.weekday.is_some_and(|weekday| weekday != (date + 3).rem_euclid(7)) {
            return None;
        }
        let date = date + excess;
        let nanos = self.nanos.unwrap_or(0);
        let time = hour * 3_600_000 + self.minute.unwrap_or(0) * 60_000 + self.second.unwrap_or(0) * 1000;
        let millis = date * DAY + time + nanos / 1_000_000;
        Some((Instant { millis, nanos: nanos % 1_000_000 }, self.offset))
    }
}

fn date_time(message: &str) -> Error {
    Error::data("java.time.temporal.UnsupportedTemporalTypeException", message)
}

/// Java's words, with the time as `LocalDateTime` prints it.
fn no_zone(local: Instant) -> Error {
    let mut text = String::new();
    crate::expression::datetime::write_timestamp(local, 3, &mut text);
    Error::data(
        "java.time.DateTimeException",
        format!("Unable to extract ZoneId from temporal {}", text.replace(' ', "T")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pattern: &str, text: &str) -> Option<String> {
        let (instant, _) = DateTimeFormatter::parse(pattern).unwrap().read(text)?;
        let mut out = String::new();
        crate::expression::datetime::write_timestamp(instant, 3, &mut out);
        Some(out)
    }

    fn written(pattern: &str, millis: i64) -> Result<String> {
        let mut out = String::new();
        DateTimeFormatter::parse(pattern)?.write(Instant::from_millis(millis), &mut out)?;
        Ok(out)
    }

    /// Failed before: names of one letter were whole names, and letters too many were taken.
    #[test]
    fn five_letters_stand_for_one_and_more_are_refused() {
        let thursday = 1_577_934_245_678; // 2020-01-02 03:04:05.678
        let pattern = "GGGG|GGGGG|MMMM|MMMMM|LLLLL|QQQQ|qqqqq|EEEE|EEEEE|eeeee|ccccc|B|g|gggggg";
        let expected = "Anno Domini|A|January|J|J|1st quarter|1|Thursday|T|T|T|at night|58850|058850";
        assert_eq!(written(pattern, thursday).unwrap(), expected);
        assert_eq!(written("y G GGGG g ggg", -62_198_755_200_000).unwrap(), "2 BC Before Christ -679306 -679306");
        assert_eq!(written("B,BBBBB", 0).unwrap(), "midnight,mi");
        assert_eq!(written("YYYYYYYYYYYYYYYYYYYYYY", 0).unwrap(), "0000000000000000001970");
        for refused in ["GGGGGG", "MMMMMM", "EEEEEE", "www", "WW", "DDDD", "cc", "aa", "SSSSSSSSSS", "V", "OO", "BB"] {
            assert!(DateTimeFormatter::parse(refused).is_err(), "{refused}");
        }
    }

    #[test]
    fn optional_sections_are_left_out_where_they_do_not_fit() {
        let pattern = "yyyy-MM-dd[ HH:mm[:ss[.SSS]]]";
        assert_eq!(read(pattern, "2024-01-05").unwrap(), "2024-01-05 00:00:00.000");
        assert_eq!(read(pattern, "2024-01-05 10:11").unwrap(), "2024-01-05 10:11:00.000");
        assert_eq!(read(pattern, "2024-01-05 10:11:12.500").unwrap(), "2024-01-05 10:11:12.500");
        assert_eq!(read(pattern, "2024-01-05 10:11:12.5"), None);
        assert_eq!(written("yyyy[-MM][ XXX]", 0).unwrap(), "1970-01");
        assert!(DateTimeFormatter::parse("yyyy]").is_err());
        assert!(DateTimeFormatter::parse("yyyy#").is_err());
        assert!(DateTimeFormatter::parse(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn years_have_as_many_digits_as_letters_but_behind_a_sign() {
        assert_eq!(read("yyyy-MM-dd", "20240-01-05"), None);
        assert_eq!(read("yyyy-MM-dd", "+12024-01-05").unwrap(), "2024-01-05 00:00:00.000");
        assert_eq!(read("yyyy-MM-dd", "99999999999999999-01-05"), None);
        assert_eq!(written("yyyy", 253_402_300_800_000).unwrap(), "+10000");
        assert_eq!(written("yy y", 253_402_300_800_000).unwrap(), "00 10000");
        assert!(DateTimeFormatter::parse("HHH").is_err());
        assert!(DateTimeFormatter::parse(&"y".repeat(1_000_000)).is_err());
    }

    #[test]
    fn midnight_may_end_a_day_and_weekdays_must_be_right() {
        assert_eq!(read("yyyy-MM-dd HH:mm", "2024-01-05 24:00").unwrap(), "2024-01-06 00:00:00.000");
        assert_eq!(read("yyyy-MM-dd HH:mm", "2024-01-05 24:01"), None);
        assert_eq!(read("EEE yyyy-MM-dd", "Fri 2024-01-05").unwrap(), "2024-01-05 00:00:00.000");
        assert_eq!(read("EEE yyyy-MM-dd", "Mon 2024-01-05"), None);
    }
}
