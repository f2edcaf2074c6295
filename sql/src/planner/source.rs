//! Tables as sources and sinks: what their connectors can do.
use wiesel_common::quote::{message, quote};
use wiesel_connectors::factory::{self, SinkDescription, SourceDescription, TableDescription};

use crate::catalog::ResolvedTable;
use crate::error::{Error, Result};

/// What a table can do as a source.
///
/// # Errors
/// The table's options in Flink's words.
pub(crate) fn describe(table: &ResolvedTable) -> Result<SourceDescription> {
    factory::describe_source(&description(table))
        .map_err(|error| unable(table, "source for reading", &error.to_string()))
}

/// What a table can do as a sink.
///
/// # Errors
/// The table's options in Flink's words.
pub(crate) fn describe_sink(table: &ResolvedTable) -> Result<SinkDescription> {
    factory::describe_sink(&description(table)).map_err(|error| unable(table, "sink for writing", &error.to_string()))
}

fn description(table: &ResolvedTable) -> TableDescription {
    TableDescription {
        identifier: table.identifier.to_string(),
        physical: table.physical.clone(),
        options: table.options.clone(),
        partition_keys: table.partition_keys.clone(),
        primary_key: table.primary_key.iter().map(|column| table.columns[*column].field.name.clone()).collect(),
    }
}

fn unable(table: &ResolvedTable, role: &str, cause: &str) -> Error {
    let options: Vec<String> =
        table.options.iter().map(|(key, value)| format!("'{key}'='{}'", quote(shown(key, value)))).collect();
    Error::Option(format!(
        "Unable to create a {role} table '{}'.\n\nTable options are:\n\n{}\n\n{}",
        table.identifier,
        options.join("\n"),
        message(cause)
    ))
}

/// The value of an option, or stars for one that is secret.
fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if wiesel_common::config::is_secret(key) { wiesel_common::config::HIDDEN } else { value }
}
