//! `csv`: rows of delimited text.
use wiesel_operators::types::{LogicalType, RowField, TypeKind};

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
        // Read for its errors only: the writer of files does not heed it.
        options.boolean("csv.write-bigdecimal-in-scientific-notation", true)?;
        Ok(Self {
            columns,
            delimiter: character(options, "csv.field-delimiter")?.unwrap_or(','),
            quote: if disable_quote { None } else { Some(quote.unwrap_or(b'"')) },
            escape: ascii(options, "csv.escape-character")?,
            allow_comments: options.boolean("csv.allow-comments", false)?,
            ignore_parse_errors: options.boolean("csv.ignore-parse-errors", false)?,
            element_delimiter: options.text("csv.array-element-delimiter").unwrap_or(";").to_owned(),
            null_literal: options.text("csv.null-literal").map(str::to_owned),
        })
    }
}

/// Fails for types that have no text.
fn check_type(name: &str, data_type: &LogicalType) -> Result<()> {
    match &data_type.kind {
        TypeKind::Map(..) | TypeKind::Multiset(_) => {
            invalid(format!("Unsupported type '{data_type}' for field '{name}'."))
        }
        TypeKind::IntervalYearMonth(_) | TypeKind::IntervalDayTime(_) | TypeKind::Null => {
            invalid(format!("Unsupported type: {data_type}"))
        }
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

/// An option of one character, which may be written as an escape sequence such as `\t`.
fn character(options: Options<'_>, key: &str) -> Result<Option<char>> {
    let Some(text) = options.text(key) else { return Ok(None) };
    let plain = match text {
        "\\t" => "\t",
        "\\n" => "\n",
        "\\r" => "\r",
        "\\\\" => "\\",
        "\\b" => "\u{8}",
        "\\f" => "\u{c}",
        text => text,
    };
    let mut characters = plain.chars();
    match (characters.next(), characters.next()) {
        (Some(character), None) => Ok(Some(character)),
        _ => invalid(format!("Option '{key}' must be a string with single character, but was: {text}")),
    }
}
