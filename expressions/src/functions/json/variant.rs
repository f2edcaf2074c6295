//! VARIANT: PARSE_JSON, TRY_PARSE_JSON and what is within a value.
//!
//! A VARIANT is kept as JSON text in one form, so that equal values are equal texts: the members of objects by name, no spaces, and
//! each number as the type that it is to Flink. An integer has neither point nor exponent, a DECIMAL has its digits as they came, a
//! DOUBLE has an exponent. What is shown of a number is another text: [`push_shown`].
use arrow::array::{Array, AsArray};
use wiesel_common::quote::quote;

use super::document::{Kind, Value as Json, parse, push_text, unescaped};
use super::failure;
use crate::cast;
use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::comparison::utf16_order;
use crate::expression::compile::Site;
use crate::expression::kernel::{Bool, Kernel, Text};
use crate::types::TypeKind;
use wiesel_common::ending;

/// How many digits a DECIMAL may have, and how many of them behind its point.
const MAX_DIGITS: usize = 38;
/// A DOUBLE that is infinite, as it is kept.
const INFINITE: &str = "1e999";

/// Why a text is no VARIANT.
enum Refusal {
    Malformed,
    /// A name stands twice in an object.
    Duplicate(String),
    /// It is too long, or the task ends.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// `PARSE_JSON(text[, whether names may stand twice])`, `TRY_PARSE_JSON`.
pub(in crate::functions) fn parse_json(site: &Site) -> Result<Kernel> {
    let is_lenient = site.function == "TRY_PARSE_JSON";
    let has_flag = site.operands.len() > 1;
    Ok(Box::new(move |args| {
        let text = args.read::<Text>(0)?;
        let flag = if has_flag { Some(args.read::<Bool>(1)?) } else { None };
        args.strings(|row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let may_repeat = match &flag {
                Some(flag) => match flag.get(row) {
                    Some(flag) => flag,
                    None => return Ok(false),
                },
                None => false,
            };
            let kept = match parse(text) {
                Some(document) => push_kept(document, may_repeat, out),
                None => Err(Refusal::Malformed),
            };
            let reason = match kept {
                Ok(()) => return Ok(true),
                Err(Refusal::Failed(error)) => return Err(error),
                Err(_) if is_lenient => return Ok(false),
                Err(Refusal::Malformed) => "it is malformed".to_owned(),
                Err(Refusal::Duplicate(name)) => format!("the name '{}' stands twice in an object", quote(&name)),
            };
            Err(failure(format!("Failed to parse json string: {}, reason: {reason}", quote(text))))
        })
    }))
}

/// Writes a value in the form in which it is kept.
fn push_kept(value: Json<'_>, may_repeat: bool, out: &mut String) -> Result<(), Refusal> {
    ending::check().map_err(Error::from)?;
    check_value(out.len())?;
    match value.kind() {
        Kind::Number => push_number(value.text(), out),
        Kind::Text => push_text(&unescaped(value.text()), out),
        Kind::Null | Kind::Boolean => out.push_str(value.text()),
        Kind::Array => {
            out.push('[');
            for (index, (_, element)) in value.elements().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                push_kept(element, may_repeat, out)?;
            }
            out.push(']');
        }
        Kind::Object => {
            let mut members = value.members()?;
            if !may_repeat && members.len() < value.written_members().count() {
                return Err(Refusal::Duplicate(repeated(value)));
            }
            members.sort_by(|(left, _), (right, _)| utf16_order(left, right));
            out.push('{');
            for (index, (name, member)) in members.into_iter().enumerate() {
                out.push_str(if index > 0 { "," } else { "" });
                push_text(&name, out);
                out.push(':');
                push_kept(member, may_repeat, out)?;
            }
            out.push('}');
        }
    }
    Ok(())
}

/// The first name that stands twice in an object.
fn repeated(object: Json<'_>) -> String {
    let mut seen = std::collections::HashSet::new();
    let mut names = object.written_members().map(|(name, _)| unescaped(name));
    names.find(|name| !seen.insert(name.clone())).unwrap_or_default().into_owned()
}

fn push_number(text: &str, out: &mut String) {
    if text.parse::<i64>().is_ok() {
        out.push_str(if text == "-0" { "0" } else { text });
        return;
    }
    if !text.contains(['e', 'E']) {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let digits = format!("{whole}{fraction}");
        let significant = digits.trim_start_matches('0').len();
        if significant <= MAX_DIGITS && fraction.len() <= MAX_DIGITS {
            out.push_str(if significant == 0 { unsigned } else { text });
            return;
        }
    }
    let value: f64 = text.parse().unwrap_or(f64::NAN);
    if value.is_infinite() {
        out.push_str(if value < 0.0 { "-" } else { "" });
        out.push_str(INFINITE);
    } else {
        out.push_str(&format!("{value:e}"));
    }
}

/// Writes a VARIANT as JSON: a DECIMAL without zeros at its end, a DOUBLE as Java prints it.
pub fn push_shown(kept: &str, out: &mut String) {
    let bytes = kept.as_bytes();
    let (mut at, mut done) = (0, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                at += 1;
                while bytes.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if bytes[at] == b'\\' { 2 } else { 1 };
                }
                at += 1;
            }
            b'-' | b'0'..=b'9' => {
                let is_part = |byte: &u8| matches!(byte, b'-' | b'.' | b'e' | b'0'..=b'9');
                let end = bytes[at..].iter().position(|byte| !is_part(byte)).map_or(bytes.len(), |length| at + length);
                out.push_str(&kept[done..at]);
                push_shown_number(&kept[at..end], out);
                (at, done) = (end, end);
            }
            _ => at += 1,
        }
    }
    out.push_str(&kept[done..]);
}

fn push_shown_number(kept: &str, out: &mut String) {
    if kept.contains('e') {
        let value = kept.parse().unwrap_or(f64::NAN);
        match f64::is_finite(value) {
            true => cast::write_double(value, out),
            false => out.push_str(if value < 0.0 { "-Infinity" } else { "Infinity" }),
        }
    } else if kept.contains('.') {
        out.push_str(kept.trim_end_matches('0').trim_end_matches('.'));
    } else {
        out.push_str(kept);
    }
}

/// `variant['name']`, `variant[1]`: null if the object has no such member or the array no such element.
pub(in crate::functions) fn item(site: &Site) -> Result<Kernel> {
    let by_name = matches!(site.operand_type(1)?, TypeKind::Char(_) | TypeKind::Varchar(_));
    Ok(Box::new(move |args| {
        let kept = args.read::<Text>(0)?;
        if by_name {
            let names = args.read::<Text>(1)?;
            return args.substrings(0, |row| {
                let (Some(kept), Some(name)) = (kept.get(row), names.get(row)) else { return Ok(None) };
                Ok(of_kind(kept, Kind::Object)?.member(name).map(Json::text))
            });
        }
        let places = arrow::compute::cast(args.array(1), &arrow::datatypes::DataType::Int64)?;
        let places = places.as_primitive::<arrow::datatypes::Int64Type>();
        args.substrings(0, |row| {
            let at = args.row(1, row);
            let (Some(kept), true) = (kept.get(row), places.is_valid(at)) else { return Ok(None) };
            // What is before the first element is behind the last one.
            let place = places.value(at).checked_sub(1).and_then(|place| usize::try_from(place).ok());
            let place = place.unwrap_or(usize::MAX);
            Ok(of_kind(kept, Kind::Array)?.elements().nth(place).map(|(_, element)| element.text()))
        })
    }))
}

/// The value that is kept as this text, if it is of a kind.
fn of_kind(kept: &str, kind: Kind) -> Result<Json<'_>> {
    let value = parse(kept).ok_or_else(|| Error::Plan("a VARIANT is no JSON".into()))?;
    if value.kind() == kind {
        return Ok(value);
    }
    Err(failure(match kind {
        Kind::Object => {
            "String key access on variant requires an object variant, but a non-object variant was provided."
        }
        _ => "Integer index access on variant requires an array variant, but a non-array variant was provided.",
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str) -> Option<String> {
        let mut out = String::new();
        push_kept(parse(text)?, false, &mut out).ok().map(|()| out)
    }

    fn shown(text: &str) -> Option<String> {
        let mut out = String::new();
        push_shown(&kept(text)?, &mut out);
        Some(out)
    }

    #[test]
    fn a_value_is_kept_in_one_form_and_shown_as_json() {
        assert_eq!(
            kept(r#" { "b" : [ 1.50 , 1E2, -0 ], "a" : "\u0041\n" } "#).unwrap(),
            r#"{"a":"A\n","b":[1.50,1e2,0]}"#
        );
        assert_eq!(
            shown(r#"{"b":[1.50,1E2,1.00],"1.50":"1.50\""}"#).unwrap(),
            r#"{"1.50":"1.50\"","b":[1.5,100.0,1]}"#
        );
        // What is no such value is shown somehow.
        let mut out = String::new();
        ["\"", "\"a\\", "{\"1"].iter().for_each(|text| push_shown(text, &mut out));
        assert_eq!(out, "\"\"a\\{\"1");
        assert_ne!(kept("1"), kept("1.0"));
        assert_eq!(kept("1E0"), kept("1.0e0"));
        assert_eq!(kept("12345678901234567890123456789012345678.5").unwrap(), "1.2345678901234568e37");
        // As to Flink's library, which reads one value.
        assert_eq!([kept("1 2"), kept("[1] x")].map(Option::unwrap), ["1", "[1]"]);
        assert_eq!(kept("9223372036854775808").unwrap(), "9223372036854775808");
    }

    #[test]
    fn what_is_no_document_or_has_a_name_twice_is_none() {
        for text in ["", " ", "{bad", "01", "[1,]", r#"{"a":1,"a":2}"#, r#"[{"a":1,"\u0061":2}]"#] {
            assert_eq!(kept(text), None, "{text}");
        }
        let mut out = String::new();
        assert!(push_kept(parse(r#"{"a":1,"a":2}"#).unwrap(), true, &mut out).is_ok());
        assert_eq!(out, r#"{"a":2}"#);
    }
}
