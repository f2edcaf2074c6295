//! `csv`: rows of delimited text.
use wiesel_common::quote::quote;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::options::{Options, Result, invalid};

mod decode;
mod encode;
mod tokens;
mod value;

pub(crate) use decode::CsvDecoder;
pub(crate) use encode::{CsvEncoder, write_value};
pub(crate) use value::append as append_value;

/// The options of the format.
#[derive(Clone, Debug)]
pub struct CsvFormat {
    pub(crate) columns: Vec<RowField>,
    /// Between fields.
    pub(crate) delimiter: char,
    /// Around fields that hold a delimiter; none: nothing is quoted.
    pub(crate) quote: Option<u8>,
    /// Before a character that is meant as it is.
    pub(crate) escape: Option<u8>,
    /// Lines that begin with `#` are left out.
    pub(crate) allow_comments: bool,
    /// A field that cannot be read is null, a row that cannot be read is left out.
    pub(crate) ignore_parse_errors: bool,
    /// Between the elements of an ARRAY or the fields of a ROW.
    pub(crate) element_delimiter: String,
    /// The text that stands for null.
    pub(crate) null_literal: Option<String>,
    /// Messages have DECIMAL as files have it: `1E+2` for 100.00.
    pub(crate) scientific_messages: bool,
    /// DECIMAL is written with all digits of its scale.
    pub(crate) plain_decimals: bool,
}

impl CsvFormat {
    /// Without options.
    pub(crate) fn plain() -> Self {
        Self {
            columns: Vec::new(),
            delimiter: ',',
            quote: Some(b'"'),
            escape: None,
            allow_comments: false,
            ignore_parse_errors: false,
            element_delimiter: ";".to_owned(),
            null_literal: None,
            scientific_messages: false,
            plain_decimals: false,
        }
    }

    /// From `csv.` options.
    pub fn new(options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        let disable_quote = options.boolean("csv.disable-quote-character", false)?;
        let quote = ascii(options, "csv.quote-character")?;
        if disable_quote && quote.is_some() {
            return invalid("Format cannot define a quote character and disabled quote character at the same time.");
        }
        for column in &columns {
            check_type(&column.name, &column.data_type)?;
        }
        // As Flink's, the writer of files does not heed it, and writes 1E+2 for 100.00 either way; that of messages does so only if it
        // is given.
        let scientific_messages = options.boolean("csv.write-bigdecimal-in-scientific-notation", false)?;
        Ok(Self {
            columns,
            delimiter: delimiter(options)?.unwrap_or(','),
            quote: if disable_quote { None } else { Some(quote.unwrap_or(b'"')) },
            escape: ascii(options, "csv.escape-character")?,
            allow_comments: options.boolean("csv.allow-comments", false)?,
            ignore_parse_errors: options.boolean("csv.ignore-parse-errors", false)?,
            element_delimiter: character(options, "csv.array-element-delimiter")?.unwrap_or(';').to_string(),
            null_literal: options.text("csv.null-literal").map(str::to_owned),
            scientific_messages,
            plain_decimals: false,
        })
    }
}

/// Fails for types that have no text.
fn check_type(name: &str, data_type: &LogicalType) -> Result<()> {
    match &data_type.kind {
        TypeKind::Map(..) | TypeKind::Multiset(_) => {
            invalid(format!("Unsupported type '{data_type}' for field '{name}'."))
        }
        TypeKind::IntervalYearMonth(_)
        | TypeKind::IntervalDayTime(_)
        | TypeKind::Variant
        | TypeKind::Bitmap
        | TypeKind::Structured(..)
        | TypeKind::Null => invalid(format!("Unsupported type: {data_type}")),
        TypeKind::Time(precision) if *precision > 3 => invalid(format!(
            "Csv does not support TIME type with precision: {precision}, it only supports precision 0 ~ 3."
        )),
        TypeKind::Array(element) => check_type(name, element),
        TypeKind::Row(fields) => fields.iter().try_for_each(|field| check_type(&field.name, &field.data_type)),
        _ => Ok(()),
    }
}

/// An option of one character that one byte holds.
fn ascii(options: Options<'_>, key: &str) -> Result<Option<u8>> {
    match character(options, key)? {
        Some(character) if !character.is_ascii() => {
            invalid(format!("Option '{key}' must be an ASCII character, but was: {character}"))
        }
        character => Ok(character.map(|character| character as u8)),
    }
}

/// An option of one character.
fn character(options: Options<'_>, key: &str) -> Result<Option<char>> {
    let Some(text) = options.text(key) else { return Ok(None) };
    single(key, text, text).map(Some)
}

/// The delimiter, which may be written as in Java's source: `\t`, `\001`, `\u0001`, and `\|` for a bar.
fn delimiter(options: Options<'_>) -> Result<Option<char>> {
    let key = "csv.field-delimiter";
    let Some(text) = options.text(key) else { return Ok(None) };
    match unescape(text) {
        Some(plain) => single(key, text, &plain).map(Some),
        None => invalid(format!("Option '{key}' has less than 4 hexadecimal digits after \\u: {}", quote(text))),
    }
}

/// The only character of a text; it is one of the basic plane, as Java's are.
fn single(key: &str, text: &str, plain: &str) -> Result<char> {
    let mut characters = plain.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) if character.len_utf16() == 1 => Ok(character),
        _ => invalid(format!("Option '{key}' must be a string with single character, but was: {}", quote(text))),
    }
}

/// A text with the escape sequences of Java's source: a backslash before any other character is left out. None: `\u` without
/// four digits, or with those of half a character.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let octal = rest.bytes().take(3).take_while(|byte| matches!(byte, b'0'..=b'7')).count();
        // Three digits are at most \377.
        let octal = if octal == 3 && rest.as_bytes()[0] > b'3' { 2 } else { octal };
        if octal > 0 {
            out.extend(u32::from_str_radix(&rest[..octal], 8).ok().and_then(char::from_u32));
            rest = &rest[octal..];
        } else if rest.starts_with('u') {
            let digits = rest.trim_start_matches('u');
            let digits = digits.strip_prefix('+').unwrap_or(digits);
            let code = digits.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
            out.push(char::from_u32(u32::from_str_radix(code, 16).ok()?)?);
            rest = &digits[4..];
        } else {
            let mut characters = rest.chars();
            match characters.next() {
                Some('b') => out.push('\u{8}'),
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('f') => out.push('\u{c}'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => {}
            }
            rest = characters.as_str();
        }
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn delimiter_of(text: &str) -> std::result::Result<char, String> {
        let options = BTreeMap::from([("csv.field-delimiter".to_owned(), text.to_owned())]);
        CsvFormat::new(Options::new(&options), Vec::new()).map(|format| format.delimiter).map_err(|error| error.0)
    }

    #[test]
    fn delimiters_are_spelled_as_in_java() {
        for (text, delimiter) in [
            ("|", '|'),
            ("\\|", '|'),
            ("\\;", ';'),
            ("\\t", '\t'),
            ("\t", '\t'),
            ("\\u0001", '\u{1}'),
            ("\\uu007C", '|'),
            ("\\001", '\u{1}'),
            ("\\1", '\u{1}'),
            ("\\\\", '\\'),
            ("\u{1}", '\u{1}'),
        ] {
            assert_eq!(delimiter_of(text), Ok(delimiter), "{text}");
        }
        for text in ["", "\\", "ab", "\\x01", "\\u01", "\\ud83d", "\\477", "\u{1F600}"] {
            assert!(delimiter_of(text).is_err(), "{text}");
        }
    }

    #[test]
    fn other_options_hold_their_character_as_it_is() {
        for key in ["csv.quote-character", "csv.escape-character", "csv.array-element-delimiter"] {
            let new = |text: &str| {
                let options = BTreeMap::from([(key.to_owned(), text.to_owned())]);
                CsvFormat::new(Options::new(&options), Vec::new())
            };
            assert!(new("\\").is_ok(), "{key}");
            for text in ["\\t", "\\\\", "ab", ""] {
                assert!(new(text).is_err(), "{key} {text}");
            }
        }
    }
}
