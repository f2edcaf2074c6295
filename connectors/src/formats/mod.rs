//! Rows from and to bytes, one folder a format.
use wiesel_operators::types::RowField;

use crate::options::{Options, Result, invalid};

pub mod csv;
pub mod json;
pub mod text;

/// A format with its options, checked against the columns it reads or writes.
#[derive(Clone, Debug)]
pub enum Format {
    /// `csv`.
    Csv(csv::CsvFormat),
    /// `json`.
    Json(json::JsonFormat),
}

impl Format {
    /// The format of that name; its options begin with the name.
    pub fn new(name: &str, options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        match name {
            "csv" => Ok(Self::Csv(csv::CsvFormat::new(options, columns)?)),
            "json" => Ok(Self::Json(json::JsonFormat::new(options, columns)?)),
            other => invalid(format!("Could not find any format factory for identifier '{other}' in the classpath.")),
        }
    }
}
