//! Files of bulk formats, to rows and from rows: [`BuiltInFormats`] makes what reads and writes them.
//!
//! - `parquet`: Parquet. Its options, and which types it can hold, are in [`wiesel_connectors::formats::parquet`]: the
//!   description of a table needs them.
//! - `input`: the files that are read.
//!
//! Invariant: what links this crate runs tasks. Sources and sinks know the contract alone, which is in
//! [`wiesel_operators::bulk_format`].
use wiesel_connectors::formats::parquet::IDENTIFIER as PARQUET;
use wiesel_operators::bulk_format::{BulkFormat, BulkFormatSpec, BulkFormats};
use wiesel_operators::operator::{Error, Result};

mod input;
mod parquet;
#[cfg(test)]
mod testing;

/// The formats of this crate.
#[derive(Clone, Copy, Debug, Default)]
pub struct BuiltInFormats;

impl BulkFormats for BuiltInFormats {
    fn format(&self, spec: &BulkFormatSpec) -> Result<Box<dyn BulkFormat>> {
        match spec.identifier.as_str() {
            PARQUET => Ok(Box::new(crate::parquet::ParquetFormat::new(spec)?)),
            other => Err(Error::Plan(format!("{} has no format '{other}' for files", wiesel_common::process::role()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use wiesel_connectors::formats::Format;
    use wiesel_connectors::options::Options;
    use wiesel_expressions::types::{RowField, TypeKind};

    use super::*;

    #[test]
    fn every_bulk_format_that_a_table_can_name_is_there_and_others_are_named() {
        let (none, columns) = (BTreeMap::new(), vec![RowField::new("a", TypeKind::Int.nullable())]);
        let formats = ["csv", "json", "parquet"].map(|name| Format::new(name, Options::new(&none), columns.clone()));
        let mut found = Vec::new();
        for format in formats {
            if let Format::Bulk(spec) = format.unwrap() {
                assert!(BuiltInFormats.format(&spec).is_ok(), "{spec:?}");
                found.push(spec.identifier);
            }
        }
        assert_eq!(found, ["parquet"]);
        let spec = BulkFormatSpec { identifier: "orc".into(), options: none, columns };
        let error = BuiltInFormats.format(&spec).err().unwrap().to_string();
        assert!(error.contains("'orc'"), "{error}");
    }
}
