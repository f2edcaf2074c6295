//! Date and time patterns of `java.time.format.DateTimeFormatter`: writing and reading.
use std::iter::Peekable;
use std::str::Chars;

use wiesel_common::quote::quote;

use super::{DAYS, MONTHS, days_before, padded, quoted, sunday_week};
use crate::error::{Error, Result};
use crate::expression::datetime::{DAY, Instant, civil, days};
use read::Width;

mod fields;
mod period;
mod read;
#[cfg(test)]
mod tests;

/// How deep optional sections may lie in each other.
const MAX_OPTIONAL: usize = 16;

/// As three, four and five letters name them.
const QUARTERS: [[&str; 3]; 4] =
    [["Q1", "1st quarter", "1"], ["Q2", "2nd quarter", "2"], ["Q3", "3rd quarter", "3"], ["Q4", "4th quarter", "4"]];
/// The one before Christ first.
const ERAS: [[&str; 3]; 2] = [["BC", "Before Christ", "B"], ["AD", "Anno Domini", "A"]];

/// Reads a local date, or date and time, by a pattern: milliseconds since 1970-01-01 00:00:00. None: the text does not fit.
///
/// # Errors
/// If the pattern is none.
pub fn parse_local_time(pattern: &str, text: &str) -> Result<Option<i64>> {
    Ok(match DateTimeFormatter::parse(pattern)?.read(text) {
        Reading::Time(local) => Some(local.millis),
        Reading::Misfit | Reading::NoSuchTime => None,
    })
}

/// A pattern of this formatter, parsed.
#[derive(Clone, Debug)]
pub(crate) struct DateTimeFormatter {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(String),
    Field(Letters),
    /// `[…]`: left out where it does not fit.
    Optional(Vec<Item>),
}

/// One letter, several times.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Letters {
    letter: char,
    count: usize,
    /// How many characters blanks fill it up to, as `p` before it says; zero for none.
    pad: usize,
    /// How many digits it leaves to the numbers that follow without anything between.
    reserved: usize,
}

/// What a text is by a pattern.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reading {
    /// A local time.
    Time(Instant),
    /// The text does not fit the pattern, or contradicts itself.
    Misfit,
    /// The text fits, and no time has those parts: the 30th of a February that is of no year.
    NoSuchTime,
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
                    if !close_section(&mut open, &mut items)? {
                        return Err(illegal(message.into()));
                    }
                }
                '{' | '}' | '#' => return Err(illegal(format!("Pattern includes reserved character: '{c}'"))),
                _ if c.is_ascii_alphabetic() => {
                    let message = "Pad letter 'p' must be followed by valid pad pattern: ";
                    let letters = letters(c, &mut chars).ok_or_else(|| illegal(format!("{message}{}", quote(text))))?;
                    check_letters(letters.letter, letters.count)?;
                    items.push(Item::Field(letters));
                }
                _ => push_literal(&mut items, c),
            }
        }
        // Sections that are still open end with the pattern.
        while close_section(&mut open, &mut items)? {}
        reserve_digits(&mut items)?;
        Ok(Self { items })
    }

    /// Writes a local date and time.
    pub fn write(&self, local: Instant, out: &mut String) -> Result<()> {
        write_items(&self.items, local, out)
    }

    /// Reads a text. An offset or a zone in it does not move the time.
    pub fn read(&self, text: &str) -> Reading {
        read::read(&self.items, text)
    }
}

/// A letter and how often it follows itself, with `p` before it or without. None for a `p` with no letter behind it.
fn letters(first: char, chars: &mut Peekable<Chars>) -> Option<Letters> {
    let count = 1 + repetitions(first, chars);
    if first != 'p' {
        return Some(Letters { letter: first, count, pad: 0, reserved: 0 });
    }
    let letter = chars.next_if(char::is_ascii_alphabetic)?;
    Some(Letters { letter, count: 1 + repetitions(letter, chars), pad: count, reserved: 0 })
}

fn repetitions(letter: char, chars: &mut Peekable<Chars>) -> usize {
    std::iter::from_fn(|| chars.next_if_eq(&letter)).count()
}

/// Tells numbers that follow each other without anything between how many digits they leave to those behind them: the
/// first of a row with any number of digits leaves those of a fixed number.
fn reserve_digits(items: &mut [Item]) -> Result<()> {
    let mut open: Option<&mut Letters> = None;
    for item in items {
        let Item::Field(letters) = item else {
            open = None;
            continue;
        };
        let Some(width) = read::width(letters.letter, letters.count) else {
            open = None;
            continue;
        };
        if letters.pad > 0 {
            open = None;
        }
        open = Some(match (open.take(), width) {
            // Java's builder fails so.
            (Some(before), _) if before.pad > 0 => return Err(behind_padding()),
            (Some(before), Width::Fixed(digits)) => {
                before.reserved += digits;
                before
            }
            (Some(before), Width::Open) => {
                before.reserved = 0;
                letters
            }
            (None, _) => letters,
        });
    }
    Ok(())
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
        'v' if !matches!(count, 1 | 4) => return Err(illegal("Wrong number of pattern letters: v".into())),
        'S' | 'u' | 'y' | 'Y' | 'A' | 'n' | 'N' | 'g' | 'V' | 'v' | 'O' | 'B' => usize::MAX,
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

/// Ends the innermost open section; false if there is none.
fn close_section(open: &mut Vec<Vec<Item>>, items: &mut Vec<Item>) -> Result<bool> {
    let Some(outer) = open.pop() else { return Ok(false) };
    let mut section = std::mem::replace(items, outer);
    reserve_digits(&mut section)?;
    items.push(Item::Optional(section));
    Ok(true)
}

fn illegal(message: String) -> Error {
    Error::data("java.lang.IllegalArgumentException", message)
}

fn write_items(items: &[Item], local: Instant, out: &mut String) -> Result<()> {
    for item in items {
        let start = out.len();
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Optional(section) => {
                if write_items(section, local, out).is_err() {
                    out.truncate(start);
                }
            }
            Item::Field(letters) => {
                write_field(letters.letter, letters.count, local, out)?;
                if letters.pad > 0 {
                    fill_up(start, letters.pad, out)?;
                }
            }
        }
    }
    Ok(())
}

/// Puts blanks before what was written last, which has to fit.
fn fill_up(start: usize, width: usize, out: &mut String) -> Result<()> {
    let length = out.len() - start;
    let Some(missing) = width.checked_sub(length) else {
        let message = format!("Cannot print as output of {length} characters exceeds pad width of {width}");
        return Err(Error::data("java.time.DateTimeException", message));
    };
    out.insert_str(start, &" ".repeat(missing));
    Ok(())
}

fn write_field(letter: char, count: usize, local: Instant, out: &mut String) -> Result<()> {
    let day = local.millis.div_euclid(DAY);
    let time = local.millis.rem_euclid(DAY);
    let (year, month, day_of_month) = civil(day);
    let nanos = time % 1000 * 1_000_000 + local.nanos;
    let (hour, minute, second) = (time / 3_600_000, time / 60_000 % 60, time / 1000 % 60);
    let weekday = (day + 3).rem_euclid(7);
    match (letter, count) {
        ('y', count) => write_year(if year > 0 { year } else { 1 - year }, count, out),
        ('u', count) => write_year(year, count, out),
        ('Y', 2) => padded(sunday_week(day).0.rem_euclid(100), 2, out),
        ('Y', count) => write_year(sunday_week(day).0, count, out),
        ('M' | 'L', 1 | 2) => padded(month, count, out),
        ('M' | 'L', count) => out.push_str(shortened(MONTHS[month as usize - 1], count)),
        ('Q' | 'q', 1 | 2) => padded((month + 2) / 3, count, out),
        ('Q' | 'q', count) => out.push_str(styled(QUARTERS[(month as usize).div_ceil(3) - 1], count)),
        ('w', count) => padded(sunday_week(day).1, count, out),
        ('W', count) => padded((day_of_month + days_before(day, day_of_month) - 1) / 7 + 1, count, out),
        ('d', count) => padded(day_of_month, count, out),
        // The day of the week where each month begins with the first day of one.
        ('F', count) => padded((day_of_month - 1) % 7 + 1, count, out),
        ('D', count) => padded(day - days(year, 1, 1) + 1, count, out),
        ('e' | 'c', 1 | 2) => padded((weekday + 1) % 7 + 1, count, out),
        ('E' | 'e' | 'c', count) => out.push_str(shortened(DAYS[weekday as usize], count)),
        ('G', count) => out.push_str(styled(ERAS[usize::from(year > 0)], count)),
        // Days since 1858-11-17.
        ('g', count) => padded(day + 40_587, count, out),
        ('a', _) => out.push_str(if hour < 12 { "AM" } else { "PM" }),
        ('B', count) => out.push_str(period::DayPeriod::name_at(hour * 60 + minute, count)),
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
        ('z' | 'v' | 'V', _) => return Err(no_zone(local)),
        _ => return Err(date_time("Unsupported field: OffsetSeconds")),
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

/// One of the names for three letters or fewer, for four and for five.
fn styled(names: [&'static str; 3], count: usize) -> &'static str {
    names[count.clamp(3, 5) - 3]
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

/// Java's builder takes a padded number for one that leaves digits to the next, which it is not.
fn behind_padding() -> Error {
    let message = "class java.time.format.DateTimeFormatterBuilder$PadPrinterParserDecorator cannot be cast to class \
                   java.time.format.DateTimeFormatterBuilder$NumberPrinterParser \
                   (java.time.format.DateTimeFormatterBuilder$PadPrinterParserDecorator and \
                   java.time.format.DateTimeFormatterBuilder$NumberPrinterParser are in module java.base of loader \
                   'bootstrap')";
    Error::data("java.lang.ClassCastException", message)
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
