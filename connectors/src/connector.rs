//! What a connector is: one trait, and what its implementations are told and say. The registry ([`crate::factory`]) is above the
//! connectors, this is below them.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use wiesel_expressions::expression::Expression;
use wiesel_expressions::types::{Malformed, RowField};
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::operator::{Error, Operator, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::options::{Options, Result, WATERMARK_OPTIONS, invalid};

/// What stands behind `'connector' = '...'`. A description and what is built later read the same options through the same code.
pub(crate) trait Connector: Sync {
    /// Its name.
    fn identifier(&self) -> &'static str;

    /// Whether a table can name it. If not, the planner does where it needs it.
    fn is_of_tables(&self) -> bool {
        true
    }

    /// What a table can do as a source, after checking all its options; none: it is no source.
    fn describe_source(&self, table: &TableDescription) -> Option<Result<SourceDescription>> {
        let _ = table;
        None
    }

    /// What a table can do as a sink, after checking all its options; none: it is no sink.
    fn describe_sink(&self, table: &TableDescription) -> Option<Result<SinkDescription>> {
        let _ = table;
        None
    }

    /// The reader of one subtask. `formats`: what its task has for files of bulk formats.
    fn reader(&self, spec: &proto::SourceSpec, formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
        let _ = (spec, formats);
        Err(unknown(self.identifier(), "source"))
    }

    /// The part of a source that runs in the JobMaster.
    fn enumerator(&self, spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
        let _ = (spec, context);
        Err(unknown(self.identifier(), "source"))
    }

    /// The sink operator of one subtask; `uid` is the operator's. `formats`: as of [`Connector::reader`].
    fn sink(&self, spec: &proto::SinkSpec, uid: &[u8], formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
        let _ = (spec, uid, formats);
        Err(unknown(self.identifier(), "sink"))
    }
}

/// A job graph asks for what this process does not have.
pub(crate) fn unknown(connector: &str, role: &str) -> Error {
    let process = wiesel_common::process::role();
    Error::Plan(format!("{process} has no {role} '{connector}'"))
}

/// What the planner knows of a table.
#[derive(Clone, Debug)]
pub struct TableDescription {
    /// "catalog.database.table".
    pub identifier: String,
    /// What the connector reads or writes, in order.
    pub physical: Vec<RowField>,
    /// `WITH`.
    pub options: BTreeMap<String, String>,
    /// `PARTITIONED BY`.
    pub partition_keys: Vec<String>,
    /// `PRIMARY KEY`.
    pub primary_key: Vec<String>,
}

/// Which columns a source can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProjectionSupport {
    /// Whole columns: every path of the projection has one index.
    TopLevel,
    /// Fields inside a `ROW` as well. A field of a null row is null.
    Nested,
}

/// Which changes a source emits or a sink takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangelogMode {
    /// `+I` only.
    InsertOnly,
    /// `+I`, `+U` and `-D`.
    Upsert,
    /// All four kinds.
    All,
}

/// What a table can do as a source.
#[derive(Clone, Debug)]
pub struct SourceDescription {
    /// It ends.
    pub bounded: bool,
    /// `scan.parallelism`.
    pub parallelism: Option<u32>,
    /// Which columns it can leave out.
    pub projection: ProjectionSupport,
    /// Which changes it emits.
    pub changelog: ChangelogMode,
    /// The metadata that it can read: keys and their types, in the order in which messages list them.
    pub metadata: Vec<RowField>,
    filter: Option<Filter>,
}

/// Which conditions a source applies itself.
#[derive(Clone)]
struct Filter(Arc<dyn Fn(&Expression) -> bool + Send + Sync>);

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Filter")
    }
}

impl SourceDescription {
    /// A source that reads everything in its order and applies no condition.
    pub(crate) fn plain(bounded: bool, parallelism: Option<u32>, projection: ProjectionSupport) -> Self {
        let (changelog, metadata) = (ChangelogMode::InsertOnly, Vec::new());
        Self { bounded, parallelism, projection, changelog, metadata, filter: None }
    }

    /// The same with metadata that it can read.
    pub(crate) fn with_metadata(self, metadata: Vec<RowField>) -> Self {
        Self { metadata, ..self }
    }

    /// The same, applying the conditions that pass a test.
    pub(crate) fn with_filter(self, filter: impl Fn(&Expression) -> bool + Send + Sync + 'static) -> Self {
        Self { filter: Some(Filter(Arc::new(filter))), ..self }
    }

    /// Whether the source applies this condition over the table's physical columns completely, so that no operator has to.
    /// The conjuncts of an AND are asked for one by one.
    pub fn applies(&self, condition: &Expression) -> bool {
        self.filter.as_ref().is_some_and(|Filter(test)| test(condition))
    }
}

/// What a table can do as a sink.
#[derive(Clone, Debug)]
pub struct SinkDescription {
    /// `sink.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it takes.
    pub changelog: ChangelogMode,
    /// The metadata that it can write: keys and their types, in the order in which its input has them behind the physical columns.
    pub metadata: Vec<RowField>,
}

/// The fields of a schema.
pub(crate) fn fields(schema: Option<&proto::Schema>) -> std::result::Result<Vec<RowField>, Malformed> {
    let schema = schema.ok_or_else(|| Malformed("a table without a schema".into()))?;
    schema.fields.iter().map(RowField::try_from).collect()
}

/// Checks the options of a connector whose supported options are known by name.
pub(crate) fn check_options(table: &TableDescription, identifier: &str, own: &[&str]) -> Result<()> {
    let mut supported: Vec<String> = own.iter().map(|name| (*name).to_owned()).collect();
    supported.extend(["connector".to_owned(), "property-version".to_owned()]);
    supported.extend(WATERMARK_OPTIONS.map(str::to_owned));
    Options::new(&table.options).allow_only(identifier, &supported)
}

/// Reads `scan.parallelism` or `sink.parallelism`.
pub(crate) fn parallelism(table: &TableDescription, key: &str) -> Result<Option<u32>> {
    match Options::new(&table.options).number::<i64>(key)? {
        None => Ok(None),
        Some(n) => match u32::try_from(n).ok().filter(|n| *n > 0) {
            Some(n) => Ok(Some(n)),
            None => invalid(format!("Invalid configured parallelism {n} for table '{}'.", table.identifier)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: the JobManager said of itself that it was a TaskManager.
    #[test]
    fn the_process_that_lacks_a_connector_is_named() {
        let error = unknown("kafka", "source").to_string();
        assert_eq!(error, format!("{} has no source 'kafka'", wiesel_common::process::role()));
    }
}
