//! Reading a text by a pattern.
use super::fields::{Field, Fields};
use super::{Item, Moment};
use crate::expression::date_patterns::{DAYS, MONTHS};
use crate::expression::datetime::{DAY, civil};

/// Abbreviations of zones that a text may name, with their hours east of UTC.
const ZONES: [(&str, i64); 14] = [
    ("UTC", 0),
    ("EST", -5),
    ("EDT", -4),
    ("CST", -6),
    ("CDT", -5),
    ("MST", -7),
    ("MDT", -6),
    ("PST", -8),
    ("PDT", -7),
    ("CET", 1),
    ("CEST", 2),
    ("JST", 9),
    ("AEST", 10),
    ("BST", 1),
];

/// One text and what was read of it.
struct Reading<'a> {
    text: &'a [u8],
    fields: Fields,
    century: i64,
    /// The year has two digits and may be the first or the last of the century.
    ambiguous: bool,
}

pub(super) fn read(items: &[Item], text: &[u8], century: i64) -> Option<Moment> {
    let mut reading = Reading { text, fields: Fields::default(), century, ambiguous: false };
    let mut at = 0;
    for (index, item) in items.iter().enumerate() {
        at = match item {
            Item::Literal(literal) => {
                text.get(at..).filter(|rest| rest.starts_with(literal.as_bytes()))?;
                at + literal.len()
            }
            Item::Field(letter, count) => {
                // Digits that follow each other are told apart by the number of letters only.
                let adjacent = matches!(items.get(index + 1), Some(Item::Field(..)));
                reading.field(*letter, *count, adjacent, at)?
            }
        };
    }
    if at == 0 {
        return None;
    }
    let moment = reading.fields.resolve()?;
    if reading.ambiguous && moment.local < century {
        reading.fields.add_years(100);
        return reading.fields.resolve();
    }
    Some(moment)
}

impl Reading<'_> {
    /// Reads a field; where the text goes on behind it.
    fn field(&mut self, letter: char, count: usize, adjacent: bool, start: usize) -> Option<usize> {
        let blanks = self.text.get(start..)?.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let at = start + blanks;
        if at >= self.text.len() {
            return None;
        }
        match letter {
            'G' => return self.era(start),
            'a' => return self.name(Field::Half, start, &["AM", "PM"], 0),
            'E' => return self.weekday(start),
            'M' | 'L' if count > 2 => return self.name(Field::Month, start, &MONTHS, 0),
            'z' | 'Z' => return self.zone(start, at),
            'X' => return self.iso_zone(count, at),
            _ => {}
        }
        let end = if adjacent { start + count } else { self.text.len() };
        let (value, end) = number(self.text.get(..end)?, at)?;
        let (field, value) = match letter {
            'y' => (Field::Year, self.year(value, count, at, end)),
            'Y' => (Field::WeekYear, self.year(value, count, at, end)),
            'M' | 'L' => (Field::Month, value - 1),
            'w' => (Field::WeekOfYear, value),
            'W' => (Field::WeekOfMonth, value),
            'd' => (Field::Day, value),
            'D' => (Field::DayOfYear, value),
            'F' => (Field::DayOfWeekInMonth, value),
            // From Monday to Sunday, which is the first in a calendar.
            'u' => (Field::DayOfWeek, if value == 7 { 1 } else { value + 1 }),
            'H' => (Field::HourOfDay, value),
            'k' => (Field::HourOfDay, if value == 24 { 0 } else { value }),
            'K' => (Field::HourOfHalf, value),
            'h' => (Field::HourOfHalf, if value == 12 { 0 } else { value }),
            'm' => (Field::Minute, value),
            's' => (Field::Second, value),
            _ => (Field::Millisecond, value),
        };
        self.fields.set(field, value);
        Some(end)
    }

    /// A year; of exactly two digits for `y` or `yy` it is one of the century.
    fn year(&mut self, value: i64, count: usize, at: usize, end: usize) -> i64 {
        if count > 2 || end - at != 2 || !self.text[at..end].iter().all(u8::is_ascii_digit) {
            return value;
        }
        let first = civil(self.century.div_euclid(DAY)).0;
        self.ambiguous = value == first % 100;
        value + first / 100 * 100 + if value < first % 100 { 100 } else { 0 }
    }

    fn era(&mut self, start: usize) -> Option<usize> {
        let rest = self.text.get(start..)?;
        let names = [("Before Christ", 0), ("Anno Domini", 1), ("BC", 0), ("AD", 1)];
        let (name, era) = names.into_iter().find(|(name, _)| begins(rest, name))?;
        self.fields.set(Field::Era, era);
        Some(start + name.len())
    }

    /// The longest of some names, or of their first three letters, in any case.
    fn name(&mut self, field: Field, start: usize, names: &[&str], first: i64) -> Option<usize> {
        let text = self.text;
        let rest = text.get(start..)?;
        let whole = names.iter().position(|name| begins(rest, name)).map(|index| (index, names[index].len()));
        let short = || names.iter().position(|name| name.len() > 3 && begins(rest, &name[..3])).map(|index| (index, 3));
        let (index, length) = whole.or_else(short)?;
        self.fields.set(field, index as i64 + first);
        Some(start + length)
    }

    fn weekday(&mut self, start: usize) -> Option<usize> {
        let sunday_first: [&str; 7] = std::array::from_fn(|index| DAYS[(index + 6) % 7]);
        self.name(Field::DayOfWeek, start, &sunday_first, 1)
    }

    /// `+0100`, `GMT+01:00`, `GMT`, `CET`.
    fn zone(&mut self, start: usize, at: usize) -> Option<usize> {
        let text = self.text;
        let sign = |at: usize| match text.get(at) {
            Some(b'+') => Some(1),
            Some(b'-') => Some(-1),
            _ => None,
        };
        if let Some(sign) = sign(at) {
            return self.numeric_zone(at + 1, sign, 0, false);
        }
        let begins_at = |at: usize, name: &str| text.get(at..).is_some_and(|rest| begins(rest, name));
        if begins_at(start, "GMT") {
            return match sign(start + 3) {
                Some(sign) => self.numeric_zone(start + 4, sign, 0, true),
                None => {
                    self.fields.set(Field::Offset, 0);
                    Some(start + 3)
                }
            };
        }
        let (name, hours) =
            ZONES.into_iter().filter(|(name, _)| begins_at(at, name)).max_by_key(|(name, _)| name.len())?;
        self.fields.set(Field::Offset, hours * 3_600_000);
        Some(at + name.len())
    }

    /// `Z`, `+01`, `+0100` or `+01:00`, by the number of letters.
    fn iso_zone(&mut self, count: usize, at: usize) -> Option<usize> {
        match self.text.get(at)? {
            b'Z' => {
                self.fields.set(Field::Offset, 0);
                Some(at + 1)
            }
            b'+' => self.numeric_zone(at + 1, 1, count, count == 3),
            b'-' => self.numeric_zone(at + 1, -1, count, count == 3),
            _ => None,
        }
    }

    /// Hours and, but for a count of one, minutes. One digit of hours is enough with a colon and no count.
    fn numeric_zone(&mut self, start: usize, sign: i64, count: usize, colon: bool) -> Option<usize> {
        let text = self.text;
        let digit = |at: usize| text.get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'));
        let mut hours = digit(start)?;
        let mut at = start + 1;
        match digit(at) {
            Some(second) => {
                hours = hours * 10 + second;
                at += 1;
            }
            None if count > 0 || !colon => return None,
            None => {}
        }
        let mut minutes = 0;
        if count != 1 {
            if colon {
                text.get(at).filter(|byte| **byte == b':')?;
                at += 1;
            }
            minutes = digit(at)? * 10 + digit(at + 1)?;
            at += 2;
        }
        if hours > 23 || minutes > 59 {
            return None;
        }
        self.fields.set(Field::Offset, sign * (hours * 60 + minutes) * 60_000);
        Some(at)
    }
}

/// In any case.
fn begins(text: &[u8], name: &str) -> bool {
    text.get(..name.len()).is_some_and(|text| text.eq_ignore_ascii_case(name.as_bytes()))
}

/// A whole number, perhaps negative, as an `int`: the value and where it ends.
fn number(text: &[u8], at: usize) -> Option<(i64, usize)> {
    let negative = text.get(at) == Some(&b'-');
    let start = at + usize::from(negative);
    let digits = text.get(start..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let mut value: i64 = 0;
    for byte in &text[start..start + digits] {
        value = value.saturating_mul(10).saturating_sub(i64::from(byte - b'0'));
    }
    let value = if negative { value } else { value.saturating_neg() };
    // What a long holds is cut to an int, what is larger is the largest int.
    let value = if value == i64::MAX || value == i64::MIN { value.signum() as i32 * i32::MAX } else { value as i32 };
    Some((i64::from(value), start + digits))
}
