//! `json`: one object a line.
use wiesel_common::quote::quote;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use crate::options::{Options, Result, invalid};

mod decode;
mod encode;
mod fields;
mod scan;
mod value;

pub(crate) use decode::JsonDecoder;
pub(crate) use encode::JsonEncoder;

/// The options of the format.
#[derive(Clone, Debug)]
pub struct JsonFormat {
    pub(crate) columns: Vec<RowField>,
    /// Objects are read up to the last field that is wanted; else whole, and of fields with the same name the last counts.
    pub(crate) parser: bool,
    /// A missing field is an error.
    pub(crate) fail_on_missing_field: bool,
    /// A field that cannot be read is null, a row that cannot be read is left out.
    pub(crate) ignore_parse_errors: bool,
    /// Timestamps as `2020-01-01T00:00:00` rather than `2020-01-01 00:00:00`.
    pub(crate) iso_8601: bool,
    /// What to do with a null key of a MAP when writing.
    pub(crate) map_null_key: MapNullKey,
    /// DECIMAL is written with all digits of its scale, as in `1000.00`, never `1E+3`.
    pub(crate) decimal_as_plain_number: bool,
    /// Fields that are null are not written.
    pub(crate) ignore_null_fields: bool,
}

/// What to do with a null key of a MAP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MapNullKey {
    /// Fail.
    Fail,
    /// Leave the entry out.
    Drop,
    /// Write this instead.
    Literal(String),
}

impl JsonFormat {
    /// From `json.` options.
    pub fn new(options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        let fail_on_missing_field = options.boolean("json.fail-on-missing-field", false)?;
        let ignore_parse_errors = options.boolean("json.ignore-parse-errors", false)?;
        if fail_on_missing_field && ignore_parse_errors {
            return invalid("fail-on-missing-field and ignore-parse-errors shouldn't both be true.");
        }
        let iso_8601 = match options.text("json.timestamp-format.standard").unwrap_or("SQL") {
            "SQL" => false,
            "ISO-8601" => true,
            other => {
                return invalid(format!(
                    "Unsupported value '{}' for timestamp-format.standard. Supported values are [SQL, ISO-8601].",
                    quote(other)
                ));
            }
        };
        let map_null_key = match options.text("json.map-null-key.mode").unwrap_or("FAIL").to_uppercase().as_str() {
            "FAIL" => MapNullKey::Fail,
            "DROP" => MapNullKey::Drop,
            "LITERAL" => MapNullKey::Literal(options.text("json.map-null-key.literal").unwrap_or("null").to_owned()),
            other => {
                return invalid(format!(
                    "Unsupported value '{}' for option map-null-key.mode. Supported values are [LITERAL, FAIL, DROP].",
                    quote(other)
                ));
            }
        };
        for column in &columns {
            check_type(&column.data_type)?;
        }
        Ok(Self {
            columns,
            parser: options.boolean("json.decode.json-parser.enabled", true)?,
            fail_on_missing_field,
            ignore_parse_errors,
            iso_8601,
            map_null_key,
            decimal_as_plain_number: options.boolean("json.encode.decimal-as-plain-number", false)?,
            ignore_null_fields: options.boolean("json.encode.ignore-null-fields", false)?,
        })
    }
}

/// Fails for types that JSON cannot hold.
fn check_type(data_type: &LogicalType) -> Result<()> {
    let text = |key: &LogicalType| matches!(key.kind, TypeKind::Char(_) | TypeKind::Varchar(_));
    match &data_type.kind {
        TypeKind::Map(key, _) | TypeKind::Multiset(key) if !text(key) => {
            invalid(format!("JSON format doesn't support non-string as key type of map. The type is: {data_type}"))
        }
        TypeKind::Map(_, value) => check_type(value),
        TypeKind::Array(element) => check_type(element),
        TypeKind::Row(fields) => fields.iter().try_for_each(|field| check_type(&field.data_type)),
        TypeKind::IntervalYearMonth(_)
        | TypeKind::IntervalDayTime(_)
        | TypeKind::Variant
        | TypeKind::Bitmap
        | TypeKind::Structured(..)
        | TypeKind::Null => invalid(format!("Unsupported type: {data_type}")),
        _ => Ok(()),
    }
}
