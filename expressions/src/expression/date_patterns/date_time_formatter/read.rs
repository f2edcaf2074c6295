//! Reading a text by a pattern.
use super::fields::{Field, Fields, MAX_OFFSET};
use super::period::DayPeriod;
use super::{ERAS, Item, Letters, QUARTERS, Reading, shortened, styled};
use crate::expression::date_patterns::{DAYS, MONTHS};

/// The most digits of a number.
const MAX_DIGITS: usize = 19;

pub(super) fn read(items: &[Item], text: &str) -> Reading {
    let mut fields = Fields::default();
    match read_items(items, &mut fields, text) {
        Some("") => fields.resolve(),
        _ => Reading::Misfit,
    }
}

/// Reads what items say; the rest of the text.
fn read_items<'a>(items: &[Item], fields: &mut Fields, text: &'a str) -> Option<&'a str> {
    let mut rest = text;
    for item in items {
        match item {
            Item::Literal(literal) => rest = rest.strip_prefix(literal.as_str())?,
            Item::Field(letters) if letters.pad > 0 => rest = read_padded(fields, letters, rest)?,
            Item::Field(letters) => rest = read_field(fields, letters, rest)?,
            Item::Optional(section) => {
                let before = *fields;
                match read_items(section, fields, rest) {
                    Some(behind) => rest = behind,
                    None => *fields = before,
                }
            }
        }
    }
    Some(rest)
}

/// A field with blanks before it that takes exactly its width.
fn read_padded<'a>(fields: &mut Fields, letters: &Letters, text: &'a str) -> Option<&'a str> {
    let mut ends = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    let (inside, behind) = text.split_at(ends.nth(letters.pad)?);
    read_field(fields, letters, inside.trim_start_matches(' '))?.is_empty().then_some(behind)
}

fn read_field<'a>(fields: &mut Fields, letters: &Letters, text: &'a str) -> Option<&'a str> {
    let Letters { letter, count, reserved, .. } = *letters;
    if let Some(number) = Number::of(letter, count) {
        let (value, length) = number.read(text, reserved)?;
        fields.set(number.field, value)?;
        return Some(&text[length..]);
    }
    let (field, value, length) = match letter {
        'S' => {
            let digits = text.get(..count).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
            let scale = 10_i64.pow(9_usize.saturating_sub(count) as u32);
            (Field::Nano, digits.parse::<i64>().ok()?.checked_mul(scale)?, count)
        }
        'M' | 'L' => {
            let (index, length) = name(text, MONTHS.iter().map(|name| shortened(name, count)))?;
            (Field::Month, index + 1, length)
        }
        'E' | 'e' | 'c' => {
            let (index, length) = name(text, DAYS.iter().map(|name| shortened(name, count)))?;
            (Field::DayOfWeek, index + 1, length)
        }
        'Q' | 'q' => {
            let (index, length) = name(text, QUARTERS.iter().map(|names| styled(*names, count)))?;
            (Field::Quarter, index + 1, length)
        }
        'G' => {
            let (index, length) = name(text, ERAS.iter().map(|names| styled(*names, count)))?;
            (Field::Era, index, length)
        }
        'a' => {
            let (index, length) = name(text, ["AM", "PM"].into_iter())?;
            (Field::HalfOfDay, index, length)
        }
        'B' => {
            let (index, length) = name(text, DayPeriod::names(count).map(|(_, name)| name))?;
            let (period, _) = DayPeriod::names(count).nth(index as usize)?;
            fields.set_period(period);
            return Some(&text[length..]);
        }
        'O' | 'X' | 'x' | 'Z' => {
            let (seconds, length) = offset(letter, count, text)?;
            (Field::Offset, seconds, length)
        }
        'V' | 'v' | 'z' => return Some(&text[zone_id(text)?..]),
        _ => return None,
    };
    fields.set(field, value)?;
    Some(&text[length..])
}

/// Which of some names a text begins with, and how long it is: the longest, and of the same ones the last.
fn name<'n>(text: &str, names: impl Iterator<Item = &'n str>) -> Option<(i64, usize)> {
    let found = names.enumerate().filter(|(_, name)| text.starts_with(*name));
    found.max_by_key(|(_, name)| name.len()).map(|(index, name)| (index as i64, name.len()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    /// A minus.
    Normal,
    NotNegative,
    /// A minus, and a plus where there are more digits than the least.
    ExceedsPad,
}

/// A field that is a number: from how few to how many digits it has.
#[derive(Clone, Copy, Debug)]
struct Number {
    field: Field,
    least: usize,
    most: usize,
    sign: Sign,
    /// Two digits are of a year since 2000.
    is_reduced: bool,
}

/// If the number before this one leaves digits to it: how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fixed(usize),
    Open,
}

/// None: letters that are no number.
pub(super) fn width(letter: char, count: usize) -> Option<Width> {
    if letter == 'S' {
        return Some(Width::Fixed(count));
    }
    let number = Number::of(letter, count)?;
    // Java asks the wrapper around a week-based year, which has no sign.
    let has_no_sign = number.sign == Sign::NotNegative || letter == 'Y';
    Some(if has_no_sign && number.least == number.most { Width::Fixed(number.most) } else { Width::Open })
}

impl Number {
    fn of(letter: char, count: usize) -> Option<Self> {
        let field = match letter {
            'u' => Field::Year,
            'y' => Field::YearOfEra,
            'Y' => Field::WeekBasedYear,
            'M' | 'L' => Field::Month,
            'Q' | 'q' => Field::Quarter,
            'w' => Field::Week,
            'W' => Field::WeekOfMonth,
            'd' => Field::Day,
            'D' => Field::DayOfYear,
            'F' => Field::AlignedDayOfWeek,
            'e' | 'c' => Field::LocalDayOfWeek,
            'g' => Field::ModifiedJulianDay,
            'h' => Field::ClockHourOfHalf,
            'K' => Field::HourOfHalf,
            'H' => Field::Hour,
            'k' => Field::ClockHour,
            'm' => Field::Minute,
            's' => Field::Second,
            'n' => Field::Nano,
            'A' => Field::MilliOfDay,
            'N' => Field::NanoOfDay,
            _ => return None,
        };
        let (most, sign) = match (letter, count) {
            ('u' | 'y' | 'Y', 2) => (2, Sign::NotNegative),
            ('u' | 'y' | 'Y', 4..) => (MAX_DIGITS, Sign::ExceedsPad),
            ('u' | 'y' | 'Y' | 'g', _) => (MAX_DIGITS, Sign::Normal),
            ('A' | 'n' | 'N', _) => (MAX_DIGITS, Sign::NotNegative),
            ('w', _) => (2, Sign::NotNegative),
            ('W' | 'e' | 'c', 1 | 2) => (count, Sign::NotNegative),
            ('D', 2 | 3) => (3, Sign::NotNegative),
            // Three letters and more are names.
            ('M' | 'L' | 'Q' | 'q' | 'e' | 'c', 3..) => return None,
            (_, 1) => (MAX_DIGITS, Sign::Normal),
            _ => (count, Sign::NotNegative),
        };
        let is_reduced = count == 2 && matches!(letter, 'u' | 'y' | 'Y');
        Some(Self { field, least: count, most, sign, is_reduced })
    }

    /// The value and how long it is, of which `reserved` digits are left to the numbers that follow.
    fn read(self, text: &str, reserved: usize) -> Option<(i64, usize)> {
        let (is_positive, is_negative) = (text.starts_with('+'), text.starts_with('-'));
        let refused = is_positive && self.sign != Sign::ExceedsPad || is_negative && self.sign == Sign::NotNegative;
        let start = usize::from(is_positive || is_negative);
        let digits = &text[start..];
        if refused || digits.len() < self.least {
            return None;
        }
        let window = self.most.saturating_add(reserved);
        let run = digits.bytes().take(window).take_while(u8::is_ascii_digit).count();
        if run < self.least && run < window {
            return None;
        }
        let length = if reserved > 0 { run.saturating_sub(reserved).max(self.least).min(run) } else { run };
        let too_long = !is_positive && !is_negative && length > self.least;
        if self.sign == Sign::ExceedsPad && (is_positive && length <= self.least || too_long) {
            return None;
        }
        // A digit less is read where a long cannot hold the number.
        let value = |length: usize| Some((digits[..length].parse::<i64>().ok()?, length));
        let (value, length) = value(length).or_else(|| value(length.checked_sub(1)?))?;
        match is_negative {
            true if value == 0 => None,
            true => Some((-value, start + length)),
            false => Some((if self.is_reduced { 2000 + value } else { value }, start + length)),
        }
    }
}

/// How an offset is written: with colons or without, whether minutes have to be there, whether there may be seconds, and
/// what stands for none.
struct OffsetForm {
    has_colons: bool,
    needs_minutes: bool,
    has_seconds: bool,
    zero: &'static str,
}

/// Seconds east of UTC, and how long the text is.
fn offset(letter: char, count: usize, text: &str) -> Option<(i64, usize)> {
    if letter == 'O' || letter == 'Z' && count == 4 {
        return localized_offset(count == 4, text);
    }
    let (count, zero) = match (letter, count) {
        ('Z', 1..=3) => (2, "+0000"),
        ('Z' | 'X', count) => (count, "Z"),
        (_, 1) => (1, "+00"),
        (_, count) if count % 2 == 0 => (count, "+0000"),
        (_, count) => (count, "+00:00"),
    };
    let form =
        OffsetForm { has_colons: matches!(count, 3 | 5), needs_minutes: count > 1, has_seconds: count > 3, zero };
    form.read(text)
}

impl OffsetForm {
    fn read(&self, text: &str) -> Option<(i64, usize)> {
        if text.starts_with(self.zero) {
            return Some((0, self.zero.len()));
        }
        let sign = sign(text, 0)?;
        let hours = two_digits(text, 1)?;
        let minutes = self.part(text, 3);
        if self.needs_minutes && minutes.is_none() {
            return None;
        }
        let (minutes, end) = minutes.unwrap_or((0, 3));
        let seconds = if self.has_seconds { self.part(text, end) } else { None };
        let (seconds, end) = seconds.unwrap_or((0, end));
        (hours <= 23).then_some((sign * (hours * 3600 + minutes * 60 + seconds), end))
    }

    /// Minutes or seconds, and where they end.
    fn part(&self, text: &str, at: usize) -> Option<(i64, usize)> {
        let start = if self.has_colons { at + 1 } else { at };
        if self.has_colons && text.as_bytes().get(at) != Some(&b':') {
            return None;
        }
        let value = two_digits(text, start).filter(|value| *value <= 59)?;
        Some((value, start + 2))
    }
}

/// `GMT`, `GMT+5`, `GMT+05:30` or `GMT+05:30:15`; with `whole`, hours have two digits and minutes follow.
fn localized_offset(whole: bool, text: &str) -> Option<(i64, usize)> {
    let zone = "GMT";
    text.strip_prefix(zone)?;
    let Some(sign) = sign(text, zone.len()) else { return Some((0, zone.len())) };
    let start = zone.len() + 1;
    let part = |at: usize| {
        let is_part = text.as_bytes().get(at) == Some(&b':');
        two_digits(text, at + 1).filter(|_| is_part).map(|value| (value, at + 3))
    };
    let (hours, end) = match two_digits(text, start) {
        Some(hours) => (hours, start + 2),
        None if whole => return None,
        None => (digit(text, start)?, start + 1),
    };
    let (minutes, seconds, end) = match part(end) {
        None if whole => return None,
        None => (0, 0, end),
        Some((minutes, end)) => {
            let (seconds, end) = part(end).unwrap_or((0, end));
            (minutes, seconds, end)
        }
    };
    Some((sign * (hours * 3600 + minutes * 60 + seconds), end))
}

/// How long the id of a zone is that a text begins with: an offset, one behind `GMT`, `UTC` or `UT`, or a region, in full.
fn zone_id(text: &str) -> Option<usize> {
    let form = OffsetForm { has_colons: true, needs_minutes: true, has_seconds: true, zero: "Z" };
    let known = |(seconds, length): (i64, usize)| (seconds.abs() <= MAX_OFFSET).then_some(length);
    if sign(text, 0).is_some() {
        return form.read(text).and_then(known);
    }
    let is_utc = text == "UTC" || text.starts_with("UTC+") || text.starts_with("UTC-");
    let is_ut = text.starts_with("UT") && !text.starts_with("UTC");
    let prefix = match (is_utc, is_ut) {
        _ if text.starts_with("GMT0") => return Some(4),
        _ if text.starts_with("GMT") => 3,
        (true, _) => 3,
        (_, true) => 2,
        _ => {
            let regions = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            let longest = regions.filter(|name| text.starts_with(*name)).map(str::len).max();
            return longest.or_else(|| text.starts_with('Z').then_some(1));
        }
    };
    // Where no offset is behind it the name stands alone.
    let offset = sign(text, prefix).and_then(|_| form.read(&text[prefix..]));
    offset.map_or(Some(prefix), |offset| known(offset).map(|length| prefix + length))
}

fn sign(text: &str, at: usize) -> Option<i64> {
    match text.as_bytes().get(at)? {
        b'+' => Some(1),
        b'-' => Some(-1),
        _ => None,
    }
}

fn digit(text: &str, at: usize) -> Option<i64> {
    text.as_bytes().get(at).filter(|byte| byte.is_ascii_digit()).map(|byte| i64::from(byte - b'0'))
}

fn two_digits(text: &str, at: usize) -> Option<i64> {
    Some(digit(text, at)? * 10 + digit(text, at + 1)?)
}
