//! The registry of connectors: what a table can do, and what is built from it.
use std::collections::BTreeMap;

use wiesel_common::text::nearest;
use wiesel_expressions::expression::Expression;
use wiesel_expressions::types::{Malformed, RowField};
use wiesel_operators::operator::{Operator, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::collect::{CollectSink, CollectTransport};
use crate::options::{Options, Result, WATERMARK_OPTIONS, did_you_mean, invalid};
use crate::{blackhole, datagen, filesystem, nexmark, print, values};

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
    filter: Filter,
}

/// The conditions that a source applies itself.
#[derive(Clone, Debug)]
enum Filter {
    None,
    /// Those that pass a test.
    Test(fn(&Expression) -> bool),
    /// Those that depend on these physical columns alone.
    Columns(Vec<usize>),
}

impl SourceDescription {
    /// Whether the source applies this condition over the table's physical columns completely, so that no operator has to.
    /// The conjuncts of an AND are asked for one by one.
    pub fn applies(&self, condition: &Expression) -> bool {
        match &self.filter {
            Filter::None => false,
            Filter::Test(test) => test(condition),
            Filter::Columns(columns) => filesystem::depends_on(condition, columns),
        }
    }
}

/// What a table can do as a sink.
#[derive(Clone, Debug)]
pub struct SinkDescription {
    /// `sink.parallelism`.
    pub parallelism: Option<u32>,
    /// Which changes it takes.
    pub changelog: ChangelogMode,
}

/// A connector's place in the registry.
struct Factory {
    identifier: &'static str,
    source: Option<fn(&TableDescription) -> Result<SourceDescription>>,
    sink: Option<fn(&TableDescription) -> Result<SinkDescription>>,
}

const FACTORIES: [Factory; 5] = [
    Factory { identifier: "blackhole", source: None, sink: Some(blackhole::describe) },
    Factory { identifier: "datagen", source: Some(datagen::describe), sink: None },
    Factory {
        identifier: "filesystem",
        source: Some(filesystem::describe_source),
        sink: Some(filesystem::describe_sink),
    },
    Factory { identifier: "nexmark", source: Some(nexmark::describe), sink: None },
    Factory { identifier: "print", source: None, sink: Some(print::describe) },
];

fn find(options: &BTreeMap<String, String>) -> Result<&'static Factory> {
    let Some(identifier) = options.get("connector") else {
        let written = options.keys().map(String::as_str).find(|key| nearest(key, ["connector"].into_iter()).is_some());
        let near = written.map_or_else(String::new, |key| format!(" Did you mean it by '{key}'?"));
        return invalid(format!(
            "Table options do not contain an option key 'connector' for discovering a connector.{near}"
        ));
    };
    match FACTORIES.iter().find(|factory| factory.identifier == identifier) {
        Some(factory) => Ok(factory),
        None => {
            let known: Vec<&str> = FACTORIES.iter().map(|factory| factory.identifier).collect();
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
    let factory = find(&table.options)?;
    match factory.source {
        Some(describe) => describe(table),
        None => {
            let name = factory.identifier;
            invalid(format!("Connector '{name}' can only be used as a sink. It cannot be used as a source."))
        }
    }
}

/// What a table can do as a sink, after checking all its options.
pub fn describe_sink(table: &TableDescription) -> Result<SinkDescription> {
    let factory = find(&table.options)?;
    match factory.sink {
        Some(describe) => describe(table),
        None => {
            let name = factory.identifier;
            invalid(format!("Connector '{name}' can only be used as a source. It cannot be used as a sink."))
        }
    }
}

/// The reader of one subtask.
pub fn build_source(spec: &proto::SourceSpec) -> TaskResult<Box<dyn SourceReader>> {
    match spec.connector.as_str() {
        "datagen" => datagen::reader(spec),
        "filesystem" => filesystem::reader(spec),
        "nexmark" => nexmark::reader(spec),
        "values" => values::reader(spec),
        other => Err(unknown(other, "source")),
    }
}

/// The part of a source that runs in the JobMaster.
pub fn enumerator(spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
    match spec.connector.as_str() {
        "datagen" => datagen::enumerator(spec, context),
        "filesystem" => filesystem::enumerator(spec, context),
        "nexmark" => nexmark::enumerator(spec, context),
        "values" => values::enumerator(spec, context),
        other => Err(unknown(other, "source")),
    }
}

/// The sink operator of one subtask; `uid` is the operator's. It also enforces NOT NULL.
pub fn build_sink(spec: &proto::SinkSpec, uid: &[u8]) -> TaskResult<Box<dyn Operator>> {
    let sink: Box<dyn Operator> = match spec.connector.as_str() {
        "blackhole" => Box::new(blackhole::BlackholeSink),
        "print" => Box::new(print::sink(spec)?),
        "filesystem" => filesystem::sink(spec, uid)?,
        other => return Err(unknown(other, "sink")),
    };
    crate::constraint::enforce(spec, sink)
}

/// The operator that sends the rows of a SELECT to the JobMaster.
pub fn build_collect_sink(
    spec: &proto::CollectSinkSpec,
    transport: Box<dyn CollectTransport>,
) -> TaskResult<CollectSink> {
    CollectSink::new(spec, transport)
}

fn unknown(connector: &str, role: &str) -> wiesel_operators::operator::Error {
    wiesel_operators::operator::Error::Plan(format!("this TaskManager has no {role} '{connector}'"))
}

/// The fields of a schema.
pub(crate) fn fields(schema: Option<&proto::Schema>) -> std::result::Result<Vec<RowField>, Malformed> {
    let schema = schema.ok_or_else(|| Malformed("a table without a schema".into()))?;
    schema.fields.iter().map(RowField::try_from).collect()
}

/// A source that reads everything in its order and applies no condition.
pub(crate) fn plain_source(
    bounded: bool,
    parallelism: Option<u32>,
    projection: ProjectionSupport,
) -> SourceDescription {
    SourceDescription { bounded, parallelism, projection, changelog: ChangelogMode::InsertOnly, filter: Filter::None }
}

impl SourceDescription {
    /// The same with a test for the conditions it applies.
    pub(crate) fn with_filter(self, filter: fn(&Expression) -> bool) -> Self {
        Self { filter: Filter::Test(filter), ..self }
    }

    /// The same, applying conditions that depend on these columns alone.
    pub(crate) fn with_columns(self, columns: Vec<usize>) -> Self {
        Self { filter: Filter::Columns(columns), ..self }
    }
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
