//! Texts by `java.text.SimpleDateFormat` in its lenient mode, as UNIX_TIMESTAMP, FROM_UNIXTIME, TO_DATE, CONVERT_TZ and
//! DATE_FORMAT of a text use it: a text need only begin with what fits, numbers may be short, long or out of range.
use super::{DAYS, MONTHS, days_before, padded, quoted, sunday_week};
use crate::error::{Error, Result};
use crate::expression::datetime::{DAY, civil, days};
use crate::expression::zone::Zone;

mod fields;
mod read;
#[cfg(test)]
mod tests;

/// A pattern, parsed.
#[derive(Clone, Debug)]
pub(crate) struct SimpleDateFormat {
    items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq)]
enum Item {
    Literal(String),
    /// A letter and how often it stands there.
    Field(char, usize),
}

/// A time that was read: local, and by how much its own offset is east of UTC if the text tells it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    local: i64,
    offset: Option<i64>,
}

impl Moment {
    /// Milliseconds since the epoch; a text without offset is of the zone.
    pub fn millis(self, zone: Zone) -> i64 {
        let offset = self.offset.unwrap_or_else(|| zone.offset_of_wall_clock(self.local.div_euclid(1000)) * 1000);
        self.local.wrapping_sub(offset)
    }
}

impl SimpleDateFormat {
    /// Parses a pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let mut items: Vec<Item> = Vec::new();
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            if c == '\'' {
                if !quoted(&mut chars, |c| push_literal(&mut items, c)) {
                    return Err(illegal("Unterminated quote".into()));
                }
            } else if c.is_ascii_alphabetic() {
                if !"GyMdkHmsSEDFwWahKzZYuXL".contains(c) {
                    return Err(illegal(format!("Illegal pattern character '{c}'")));
                }
                let mut count = 1;
                while chars.next_if_eq(&c).is_some() {
                    count += 1;
                }
                if c == 'X' && count > 3 {
                    return Err(illegal(format!("invalid ISO 8601 format: length={count}")));
                }
                items.push(Item::Field(c, count));
            } else {
                push_literal(&mut items, c);
            }
        }
        Ok(Self { items })
    }

    /// Reads the beginning of a text; none if it does not fit. Years of two digits are of the hundred years from `century`
    /// (milliseconds) on.
    pub fn read(&self, text: &str, century: i64) -> Option<Moment> {
        read::read(&self.items, text.as_bytes(), century)
    }

    /// Writes an instant (milliseconds since the epoch) as a zone's clocks show it.
    pub fn write(&self, instant: i64, zone: Zone, out: &mut String) {
        let offset = zone.offset_at(instant.div_euclid(1000));
        let local = instant.wrapping_add(offset * 1000);
        let (day, time) = (local.div_euclid(DAY), local.rem_euclid(DAY));
        let (year, month, day_of_month) = civil(day);
        let hour = time / 3_600_000;
        let weekday = (day + 3).rem_euclid(7);
        for item in &self.items {
            let (letter, count) = match item {
                Item::Literal(text) => {
                    out.push_str(text);
                    continue;
                }
                Item::Field(letter, count) => (*letter, *count),
            };
            let number = match letter {
                'G' => {
                    out.push_str(if year > 0 { "AD" } else { "BC" });
                    continue;
                }
                'M' | 'L' if count >= 3 => {
                    let name = MONTHS[month as usize - 1];
                    out.push_str(if count == 3 { &name[..3] } else { name });
                    continue;
                }
                'E' => {
                    let name = DAYS[weekday as usize];
                    out.push_str(if count <= 3 { &name[..3] } else { name });
                    continue;
                }
                'a' => {
                    out.push_str(if hour < 12 { "AM" } else { "PM" });
                    continue;
                }
                // Of other zones only short names are known.
                'z' if count > 3 && zone == Zone::UTC => {
                    out.push_str("Coordinated Universal Time");
                    continue;
                }
                'z' => {
                    zone.write_name(instant.div_euclid(1000), out);
                    continue;
                }
                'Z' | 'X' => {
                    write_offset(letter, count, offset / 60, out);
                    continue;
                }
                'y' | 'Y' => {
                    let year = if letter == 'y' { year } else { sunday_week(day).0 };
                    let of_era = if year > 0 { year } else { 1 - year };
                    if count == 2 { of_era % 100 } else { of_era }
                }
                'M' | 'L' => month,
                'd' => day_of_month,
                'D' => day - days(year, 1, 1) + 1,
                'F' => (day_of_month - 1) / 7 + 1,
                'w' => sunday_week(day).1,
                'W' => (day_of_month + days_before(day, day_of_month) - 1) / 7 + 1,
                'u' => weekday + 1,
                'H' => hour,
                'k' => (hour + 23) % 24 + 1,
                'K' => hour % 12,
                'h' => (hour + 11) % 12 + 1,
                'm' => time / 60_000 % 60,
                's' => time / 1000 % 60,
                // Milliseconds as a number, not as a fraction.
                _ => time % 1000,
            };
            padded(number, count, out);
        }
    }
}

fn push_literal(items: &mut Vec<Item>, c: char) {
    match items.last_mut() {
        Some(Item::Literal(text)) => text.push(c),
        _ => items.push(Item::Literal(c.to_string())),
    }
}

/// `+0100` for Z; `Z`, `+01`, `+0100` or `+01:00` for X.
fn write_offset(letter: char, count: usize, minutes: i64, out: &mut String) {
    if letter == 'X' && minutes == 0 {
        return out.push('Z');
    }
    out.push(if minutes < 0 { '-' } else { '+' });
    let minutes = minutes.abs();
    padded(minutes / 60, 2, out);
    if letter == 'Z' || count > 1 {
        out.push_str(if letter == 'X' && count == 3 { ":" } else { "" });
        padded(minutes % 60, 2, out);
    }
}

fn illegal(message: String) -> Error {
    Error::data("java.lang.IllegalArgumentException", message)
}
