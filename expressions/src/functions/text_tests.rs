//! IS_ALPHA, IS_DIGIT, IS_DECIMAL: as Java tells letters, digits and numbers.
use std::sync::{Arc, LazyLock};

use arrow::array::BooleanArray;
use regex::Regex;

use crate::error::Result;
use crate::expression::compile::Site;
use crate::expression::kernel::{Kernel, Text};
use crate::types::TypeKind;

static LETTERS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{L}+$").expect("a pattern of ours"));
static DIGITS: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"^\p{Nd}+$").expect("a pattern of ours"));
/// What `Double.parseDouble` reads, without white space and sign.
static DOUBLE: LazyLock<Regex> = LazyLock::new(|| {
    let decimal = r"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?";
    let hexadecimal = r"0[xX](?:[0-9a-fA-F]+\.?[0-9a-fA-F]*|\.[0-9a-fA-F]+)[pP][+-]?[0-9]+";
    Regex::new(&format!("^(?:NaN|Infinity|(?:{decimal}|{hexadecimal})[fFdD]?)$")).expect("a pattern of ours")
});

/// Java looks at halves of characters beyond the basic plane, which are neither letters nor digits.
fn is_of(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text) && text.chars().all(|c| c.len_utf16() == 1)
}

fn without_sign(text: &str) -> &str {
    text.strip_prefix(['+', '-']).unwrap_or(text)
}

/// What one of `Integer.parseInt`, `Long.parseLong` and `Double.parseDouble` reads. Only the first two take other digits than ASCII's.
fn is_decimal(text: &str) -> bool {
    const LONG: usize = 18;
    let whole = without_sign(text);
    if is_of(&DIGITS, whole) && (whole.is_ascii() || whole.chars().count() <= LONG) {
        return true;
    }
    DOUBLE.is_match(without_sign(text.trim_matches(|c: char| c <= ' ')))
}

/// `IS_ALPHA(value)` and its kin: FALSE for a text that is NULL. Of numbers only the type counts.
pub(super) fn is_kind(site: &Site) -> Result<Kernel> {
    let kind = site.operand_type(0)?;
    let test: fn(&str) -> bool = match (site.function, kind) {
        (_, kind) if !matches!(kind, TypeKind::Char(_) | TypeKind::Varchar(_)) => {
            let holds = holds_for_numbers(site.function, kind);
            return Ok(Box::new(move |args| Ok(Arc::new(BooleanArray::from(vec![holds; args.rows])))));
        }
        ("IS_ALPHA", _) => |text| is_of(&LETTERS, text),
        ("IS_DIGIT", _) => |text| is_of(&DIGITS, text),
        _ => is_decimal,
    };
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        args.booleans(|row| Ok(Some(text.get(row).is_some_and(test))))
    }))
}

/// A DECIMAL is neither a digit nor decimal to Flink, whose check knows only Java's own numbers.
fn holds_for_numbers(function: &str, kind: &TypeKind) -> bool {
    let is_integer = matches!(kind, TypeKind::Tinyint | TypeKind::Smallint | TypeKind::Int | TypeKind::Bigint);
    match function {
        "IS_DIGIT" => is_integer,
        "IS_DECIMAL" => is_integer || matches!(kind, TypeKind::Float | TypeKind::Double),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Apache Flink 2.3 gives. Before, `½` was a digit, and `1d`, `NaN` and ` 1` were no decimal numbers.
    #[test]
    fn letters_digits_and_numbers_are_javas() {
        for (text, alpha, digit, decimal) in [
            ("abc", true, false, false),
            ("123", false, true, true),
            ("", false, false, false),
            ("a1", false, false, false),
            ("1.5", false, false, true),
            ("-1e5", false, false, true),
            (" 1", false, false, true),
            ("é", true, false, false),
            ("٣", false, true, true),
            ("½", false, false, false),
            ("-1", false, false, true),
            ("1.", false, false, true),
            (".5", false, false, true),
            (".", false, false, false),
            ("0x1", false, false, false),
            ("0x1p3", false, false, true),
            ("1d", false, false, true),
            ("NaN", true, false, true),
            ("日本", true, false, false),
            ("\u{1d49c}", false, false, false),
            ("99999999999999999999", false, true, true),
        ] {
            let found = (is_of(&LETTERS, text), is_of(&DIGITS, text), is_decimal(text));
            assert_eq!(found, (alpha, digit, decimal), "{text}");
        }
    }
}
