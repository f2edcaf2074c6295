//! Formats: texts with specifiers, `%[index$][flags][width][.precision]conversion`.
use super::Failure;
use crate::expression::check_value;

/// A part of a format.
pub(super) enum Piece {
    /// Is written as it is.
    Text(String),
    /// A value takes its place.
    Specifier(Specifier),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Flags {
    /// `-`: spaces are on the right.
    pub left: bool,
    /// `#`: `0x` before hexadecimal digits, a point behind each number.
    pub alternate: bool,
    /// `+`: a sign before each number.
    pub plus: bool,
    /// A space: one before a number that has no sign.
    pub space: bool,
    /// `0`: zeros instead of spaces.
    pub zero: bool,
    /// `,`: a comma before each three digits.
    pub group: bool,
    /// `(`: negative numbers in parentheses.
    pub parentheses: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Specifier {
    /// Which value, from 0; none: it takes none.
    pub value: Option<usize>,
    pub flags: Flags,
    pub width: Option<usize>,
    pub precision: Option<usize>,
    /// In small letters.
    pub conversion: char,
    /// It was a capital.
    pub upper: bool,
}

impl Specifier {
    /// Whether it writes the text of its value.
    pub(super) fn takes_text(&self) -> bool {
        self.conversion == 's'
    }
}

/// Reads a format.
pub(super) fn parse(format: &str) -> Result<Vec<Piece>, Failure> {
    let mut pieces = Vec::new();
    let (mut rest, mut next, mut last) = (format, 0, None);
    while let Some(at) = rest.find('%') {
        if at > 0 {
            pieces.push(Piece::Text(rest[..at].to_owned()));
        }
        let (specifier, behind) = read(&rest[at + 1..], &mut next, &mut last)?;
        pieces.push(Piece::Specifier(specifier));
        // `%n` takes two letters, and here as much as each other specifier.
        check_value(pieces.len() * size_of::<Piece>())?;
        rest = behind;
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// Which value a specifier takes.
enum Which {
    Next,
    Last,
    Numbered(usize),
}

/// One specifier behind its `%`, and what is behind it. `next` is the value that the next one takes, `last` what the last one took.
fn read<'a>(text: &'a str, next: &mut usize, last: &mut Option<usize>) -> Result<(Specifier, &'a str), Failure> {
    let mut rest = text;
    let mut which = Which::Next;
    if let Some((number, behind)) = digits(rest)?
        && let Some(behind) = behind.strip_prefix('$')
        && !rest.starts_with('0')
    {
        which = Which::Numbered(number.checked_sub(1).ok_or(Failure::Malformed)?);
        rest = behind;
    }
    let mut flags = Flags::default();
    while let Some(flag) = rest.chars().next().filter(|flag| "-#+ 0,(<".contains(*flag)) {
        let set = match flag {
            '-' => &mut flags.left,
            '#' => &mut flags.alternate,
            '+' => &mut flags.plus,
            ' ' => &mut flags.space,
            '0' => &mut flags.zero,
            ',' => &mut flags.group,
            '(' => &mut flags.parentheses,
            _ => {
                which = Which::Last;
                rest = &rest[1..];
                continue;
            }
        };
        if std::mem::replace(set, true) {
            return Err(Failure::Malformed);
        }
        rest = &rest[1..];
    }
    let mut width = None;
    if let Some((number, behind)) = digits(rest)? {
        (width, rest) = (Some(number), behind);
    }
    let mut precision = None;
    if let Some(behind) = rest.strip_prefix('.') {
        let (number, behind) = digits(behind)?.ok_or(Failure::Malformed)?;
        (precision, rest) = (Some(number), behind);
    }
    let mut letters = rest.chars();
    let mut letter = letters.next().ok_or(Failure::Malformed)?;
    let upper = letter.is_ascii_uppercase();
    if letter.eq_ignore_ascii_case(&'t') {
        // Followed by the part of the time.
        letters.next().filter(char::is_ascii_alphabetic).ok_or(Failure::Malformed)?;
    }
    let has_capital = matches!(letter, 'B' | 'H' | 'S' | 'C' | 'X' | 'E' | 'G' | 'A' | 'T');
    letter = letter.to_ascii_lowercase();
    if upper && !has_capital || !"bhscdoxefgat%n".contains(letter) {
        return Err(Failure::Malformed);
    }
    let mut specifier = Specifier { value: None, flags, width, precision, conversion: letter, upper };
    check(&specifier)?;
    if !matches!(letter, '%' | 'n') {
        let value = match which {
            Which::Numbered(index) => index,
            Which::Last => last.ok_or(Failure::Malformed)?,
            Which::Next => {
                *next += 1;
                *next - 1
            }
        };
        *last = Some(value);
        specifier.value = Some(value);
    }
    Ok((specifier, letters.as_str()))
}

/// Digits that are next; an INT for Java.
fn digits(text: &str) -> Result<Option<(usize, &str)>, Failure> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return Ok(None);
    }
    let number = text[..end].parse::<i32>().ok().and_then(|number| usize::try_from(number).ok());
    Ok(Some((number.ok_or(Failure::Malformed)?, &text[end..])))
}

/// Refuses what Java's formatter refuses of a specifier, whatever its value is.
fn check(specifier: &Specifier) -> Result<(), Failure> {
    let Flags { left, alternate, plus, space, zero, group, parentheses } = specifier.flags;
    let of_numbers = plus || space || zero || group || parentheses;
    let has_precision = specifier.precision.is_some();
    let needs_width = (left || zero) && specifier.width.is_none();
    let is_wrong = match specifier.conversion {
        'b' | 'h' | 's' => alternate || of_numbers || needs_width,
        'c' | 't' => alternate || of_numbers || has_precision || needs_width,
        'd' => alternate || has_precision,
        'o' | 'x' => has_precision || group || plus || space || parentheses,
        'e' => group,
        'g' => alternate,
        'a' => group || parentheses,
        '%' => alternate || of_numbers || has_precision || needs_width,
        'n' => left || alternate || of_numbers || has_precision || specifier.width.is_some(),
        _ => false,
    };
    let contradicts = needs_width || plus && space || left && zero;
    match is_wrong || specifier.conversion != 'n' && contradicts {
        true => Err(Failure::Malformed),
        false => Ok(()),
    }
}
