//! Numbers as Java's `Formatter` writes them: signs, zeros, groups of digits, rounding half up from the digits that a
//! DOUBLE has as a text.
use super::specifier::{Flags, Specifier};
use crate::cast::write_double;

/// How many digits are behind the point without a precision.
const PRECISION: usize = 6;

/// `%d`, `%o`, `%x` of an integer of so many bits.
pub(super) fn integer(specifier: &Specifier, value: i64, bits: u32) -> String {
    if specifier.conversion == 'd' {
        let digits = value.unsigned_abs().to_string();
        return signed(specifier, value < 0, specifier.width, |digits_wide| {
            grouped(&digits, "", specifier.flags, digits_wide)
        });
    }
    let unsigned = if bits == 64 { value as u64 } else { value as u64 & ((1 << bits) - 1) };
    let is_octal = specifier.conversion == 'o';
    let digits = if is_octal { format!("{unsigned:o}") } else { format!("{unsigned:x}") };
    let prefix = match (specifier.flags.alternate, is_octal) {
        (true, true) => "0",
        (true, false) => "0x",
        (false, _) => "",
    };
    let wanted = if specifier.flags.zero { specifier.width.unwrap_or(0) } else { 0 };
    let zeros = wanted.saturating_sub(prefix.len() + digits.len());
    format!("{prefix}{}{digits}", "0".repeat(zeros))
}

/// `%e`, `%f`, `%g`.
pub(super) fn floating(specifier: &Specifier, value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let is_negative = value.is_sign_negative();
    if value.is_infinite() {
        return signed(specifier, is_negative, None, |_| "Infinity".to_owned());
    }
    let digits = Digits::of(value.abs());
    let flags = specifier.flags;
    match specifier.conversion {
        'e' => scientific(specifier, is_negative, &digits, specifier.precision.unwrap_or(PRECISION)),
        'f' => fixed(specifier, is_negative, &digits, specifier.precision.unwrap_or(PRECISION)),
        _ => {
            let precision = specifier.precision.unwrap_or(PRECISION).max(1);
            if digits.is_zero() {
                return fixed(specifier, is_negative, &digits, precision - 1);
            }
            let rounded = digits.rounded(precision as i64);
            // Of 0.0001 to less than ten to the precision as it is, else with an exponent, which has no groups.
            if rounded.point > -4 && rounded.point <= precision as i64 {
                fixed(specifier, is_negative, &rounded, (precision as i64 - rounded.point) as usize)
            } else {
                let plain = Specifier { flags: Flags { group: false, ..flags }, ..specifier.clone() };
                scientific(&plain, is_negative, &rounded, precision - 1)
            }
        }
    }
}

fn fixed(specifier: &Specifier, is_negative: bool, digits: &Digits, precision: usize) -> String {
    let rounded = digits.rounded(digits.point + precision as i64);
    let whole = match usize::try_from(rounded.point) {
        Ok(point) if point > 0 => (0..point).map(|at| rounded.digit(at as i64)).collect(),
        _ => "0".to_owned(),
    };
    let fraction: String = (0..precision as i64).map(|at| rounded.digit(rounded.point + at)).collect();
    signed(specifier, is_negative, specifier.width, |wide| {
        grouped(&whole, &pointed(&fraction, specifier.flags), specifier.flags, wide)
    })
}

fn scientific(specifier: &Specifier, is_negative: bool, digits: &Digits, precision: usize) -> String {
    let rounded = digits.rounded(1 + precision as i64);
    let exponent = if rounded.is_zero() { 0 } else { rounded.point - 1 };
    let fraction: String = (1..=precision as i64).map(|at| rounded.digit(at)).collect();
    let sign = if exponent < 0 { '-' } else { '+' };
    let exponent = format!("e{sign}{:02}", exponent.abs());
    let width = specifier.width.map(|width| width.saturating_sub(exponent.len()));
    let ungrouped = Flags { group: false, ..specifier.flags };
    let number = |wide| {
        let mantissa = grouped(&rounded.digit(0).to_string(), &pointed(&fraction, ungrouped), ungrouped, wide);
        format!("{mantissa}{exponent}")
    };
    signed(specifier, is_negative, width, number)
}

/// The fraction behind its point.
fn pointed(fraction: &str, flags: Flags) -> String {
    if fraction.is_empty() && !flags.alternate { String::new() } else { format!(".{fraction}") }
}

/// A number with its sign. `number` is told how wide it has to be at least, if zeros fill it up.
fn signed(
    specifier: &Specifier,
    is_negative: bool,
    width: Option<usize>,
    number: impl FnOnce(usize) -> String,
) -> String {
    let flags = specifier.flags;
    let (before, behind) = match (is_negative, flags) {
        (true, Flags { parentheses: true, .. }) => ("(", ")"),
        (true, _) => ("-", ""),
        (false, Flags { plus: true, .. }) => ("+", ""),
        (false, Flags { space: true, .. }) => (" ", ""),
        (false, _) => ("", ""),
    };
    let wide = if flags.zero { width.unwrap_or(0).saturating_sub(before.len() + behind.len()) } else { 0 };
    format!("{before}{}{behind}", number(wide))
}

/// Digits and what is behind them, with commas if asked for and zeros before them up to a width.
fn grouped(digits: &str, behind: &str, flags: Flags, wide: usize) -> String {
    let mut text = String::with_capacity(wide.max(digits.len() * 4 / 3 + behind.len() + 1));
    let commas = if flags.group { digits.len().saturating_sub(1) / 3 } else { 0 };
    let zeros = wide.saturating_sub(digits.len() + commas + behind.len());
    text.extend(std::iter::repeat_n('0', zeros));
    for (at, digit) in digits.chars().enumerate() {
        if flags.group && at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text.push_str(behind);
    text
}

/// A number as `0.digits` times ten to the `point`.
#[derive(Clone, Debug)]
struct Digits {
    digits: Vec<u8>,
    point: i64,
}

impl Digits {
    /// The digits of this number as Java's `Double.toString` has them; it is not negative.
    fn of(value: f64) -> Self {
        let mut text = String::new();
        write_double(value, &mut text);
        let (mantissa, exponent) = text.split_once('E').unwrap_or((&text, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = whole.bytes().chain(fraction.bytes()).map(|digit| digit - b'0');
        let digits: Vec<u8> = digits.skip_while(|digit| *digit == 0).collect();
        let leading_zeros = whole.len() + fraction.len() - digits.len();
        let point = exponent.parse::<i64>().unwrap_or(0) + whole.len() as i64 - leading_zeros as i64;
        Self { digits, point }
    }

    fn is_zero(&self) -> bool {
        self.digits.iter().all(|digit| *digit == 0)
    }

    /// The digit at a place, 0 where there is none.
    fn digit(&self, at: i64) -> char {
        let digit = usize::try_from(at).ok().and_then(|at| self.digits.get(at)).copied().unwrap_or(0);
        char::from(b'0' + digit)
    }

    /// With at most so many digits, rounded half up.
    fn rounded(&self, most: i64) -> Self {
        let Ok(most) = usize::try_from(most) else { return Self { digits: Vec::new(), point: self.point } };
        let mut rounded = self.clone();
        let Some(next) = self.digits.get(most) else { return rounded };
        rounded.digits.truncate(most);
        if *next < 5 {
            return rounded;
        }
        for digit in rounded.digits.iter_mut().rev() {
            if *digit < 9 {
                *digit += 1;
                return rounded;
            }
            *digit = 0;
        }
        rounded.digits.insert(0, 1);
        rounded.point += 1;
        rounded
    }
}
