//! The registry of connectors: what a table can do, and what is built from it. A connector is an implementation of one trait
//! (`crate::connector::Connector`) and a line here.
use std::collections::BTreeMap;

use wiesel_common::text::nearest;
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::operator::{Operator, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::collect::{CollectSink, CollectTransport};
pub use crate::connector::{ChangelogMode, ProjectionSupport, SinkDescription, SourceDescription, TableDescription};
use crate::connector::{Connector, unknown};
use crate::options::{Result, did_you_mean, invalid};

/// In the order of their names.
static CONNECTORS: [&dyn Connector; 6] = [
    &crate::blackhole::Blackhole,
    &crate::datagen::Datagen,
    &crate::filesystem::Filesystem,
    &crate::nexmark::Nexmark,
    &crate::print::Print,
    &crate::values::Values,
];

fn find(options: &BTreeMap<String, String>) -> Result<&'static dyn Connector> {
    let Some(identifier) = options.get("connector") else {
        let written = options.keys().map(String::as_str).find(|key| nearest(key, ["connector"].into_iter()).is_some());
        let near = written.map_or_else(String::new, |key| format!(" Did you mean it by '{key}'?"));
        return invalid(format!(
            "Table options do not contain an option key 'connector' for discovering a connector.{near}"
        ));
    };
    let of_tables = CONNECTORS.iter().filter(|connector| connector.is_of_tables());
    match of_tables.clone().find(|connector| connector.identifier() == identifier) {
        Some(connector) => Ok(*connector),
        None => {
            let known: Vec<&str> = of_tables.map(|connector| connector.identifier()).collect();
            invalid(format!(
                "Could not find any factory for identifier '{identifier}' that implements \
                 'org.apache.flink.table.factories.DynamicTableFactory' in the classpath.{}\n\nAvailable factory identifiers \
                 are:\n\n{}",
                did_you_mean(identifier, known.iter().copied()),
                known.join("\n")
            ))
        }
    }
}

/// What a table can do as a source, after checking all its options.
pub fn describe_source(table: &TableDescription) -> Result<SourceDescription> {
    let connector = find(&table.options)?;
    connector.describe_source(table).unwrap_or_else(|| {
        let name = connector.identifier();
        invalid(format!("Connector '{name}' can only be used as a sink. It cannot be used as a source."))
    })
}

/// What a table can do as a sink, after checking all its options.
pub fn describe_sink(table: &TableDescription) -> Result<SinkDescription> {
    let connector = find(&table.options)?;
    connector.describe_sink(table).unwrap_or_else(|| {
        let name = connector.identifier();
        invalid(format!("Connector '{name}' can only be used as a source. It cannot be used as a sink."))
    })
}

/// The connector that a job graph names.
fn named(identifier: &str, role: &str) -> TaskResult<&'static dyn Connector> {
    let found = CONNECTORS.iter().find(|connector| connector.identifier() == identifier);
    found.copied().ok_or_else(|| unknown(identifier, role))
}

/// The reader of one subtask. `formats`: what its task has for files of bulk formats.
pub fn build_source(spec: &proto::SourceSpec, formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
    named(&spec.connector, "source")?.reader(spec, formats)
}

/// The part of a source that runs in the JobMaster.
pub fn enumerator(spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
    named(&spec.connector, "source")?.enumerator(spec, context)
}

/// The sink operator of one subtask; `uid` is the operator's, `formats` as of [`build_source`]. It also enforces NOT NULL.
pub fn build_sink(spec: &proto::SinkSpec, uid: &[u8], formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
    let sink = named(&spec.connector, "sink")?.sink(spec, uid, formats)?;
    crate::constraint::enforce(spec, sink)
}

/// The operator that sends the rows of a SELECT to the JobMaster.
pub fn build_collect_sink(
    spec: &proto::CollectSinkSpec,
    transport: Box<dyn CollectTransport>,
) -> TaskResult<CollectSink> {
    CollectSink::new(spec, transport)
}
