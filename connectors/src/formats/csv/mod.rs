//! `csv`: rows of delimited text.
use wiesel_operators::types::RowField;

use crate::options::{Options, Result, invalid};

/// The options of the format.
#[derive(Clone, Debug)]
pub struct CsvFormat {
    pub(crate) columns: Vec<RowField>,
    /// Between fields.
    pub(crate) delimiter: char,
    /// Around fields that hold a delimiter; none: nothing is quoted.
    pub(crate) quote: Option<char>,
    /// Before a character that is meant as it is.
    pub(crate) escape: Option<char>,
    /// Lines that begin with `#` are left out.
    pub(crate) allow_comments: bool,
    /// A field that cannot be read is null, a row that cannot be read is left out.
    pub(crate) ignore_parse_errors: bool,
    /// Between the elements of an ARRAY or the fields of a ROW.
    pub(crate) element_delimiter: String,
    /// The text that stands for null.
    pub(crate) null_literal: Option<String>,
    /// DECIMAL is written as in `1E+3`.
    pub(crate) scientific: bool,
}

impl CsvFormat {
    /// From `csv.` options.
    pub fn new(options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        let disable_quote = options.boolean("csv.disable-quote-character", false)?;
        let quote = character(options, "csv.quote-character")?;
        if disable_quote && quote.is_some() {
            return invalid("Format cannot define a quote character and disabled quote character at the same time.");
        }
        Ok(Self {
            columns,
            delimiter: character(options, "csv.field-delimiter")?.unwrap_or(','),
            quote: if disable_quote { None } else { Some(quote.unwrap_or('"')) },
            escape: character(options, "csv.escape-character")?,
            allow_comments: options.boolean("csv.allow-comments", false)?,
            ignore_parse_errors: options.boolean("csv.ignore-parse-errors", false)?,
            element_delimiter: options.text("csv.array-element-delimiter").unwrap_or(";").to_owned(),
            null_literal: options.text("csv.null-literal").map(str::to_owned),
            scientific: options.boolean("csv.write-bigdecimal-in-scientific-notation", true)?,
        })
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
