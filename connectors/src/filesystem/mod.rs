//! `filesystem`: tables in files.
use std::collections::BTreeMap;
use std::sync::Arc;

use regex::Regex;
use wiesel_common::time::SystemClock;
use wiesel_expressions::expression::EvaluationContext;
use wiesel_expressions::types::{RowField, TypeKind};
use wiesel_operators::bulk_format::BulkFormats;
use wiesel_operators::operator::{Error, Operator, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::connector::{
    ChangelogMode, Connector, ProjectionSupport, SinkDescription, SourceDescription, TableDescription, check_options,
    fields, parallelism,
};
use crate::formats::Format;
use crate::input::Files;
use crate::options::{Options, Result, invalid, unparsable};
use crate::sink::SinkOperator;

mod bulk;
mod compression;
mod enumerator;
mod given;
mod known_files;
mod listing;
mod metadata;
mod partitions;
mod path;
mod reader;
mod records;
mod sink;
mod split;
mod store_listing;
#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;

const DEFAULT_PARTITION: &str = "__DEFAULT_PARTITION__";

const OPTIONS: [&str; 25] = [
    "auto-compaction",
    "compaction.file-size",
    "format",
    "partition.default-name",
    "partition.time-extractor.class",
    "partition.time-extractor.kind",
    "partition.time-extractor.timestamp-formatter",
    "partition.time-extractor.timestamp-pattern",
    "path",
    "sink.parallelism",
    "sink.partition-commit.delay",
    "sink.partition-commit.policy.class",
    "sink.partition-commit.policy.class.parameters",
    "sink.partition-commit.policy.kind",
    "sink.partition-commit.success-file.name",
    "sink.partition-commit.trigger",
    "sink.partition-commit.watermark-time-zone",
    "sink.rolling-policy.check-interval",
    "sink.rolling-policy.file-size",
    "sink.rolling-policy.inactivity-interval",
    "sink.rolling-policy.rollover-interval",
    "sink.shuffle-by-partition.enable",
    "source.monitor-interval",
    "source.path.regex-pattern",
    "source.report-statistics",
];

/// The connector.
pub(crate) struct Filesystem;

impl Connector for Filesystem {
    fn identifier(&self) -> &'static str {
        "filesystem"
    }

    fn describe_source(&self, table: &TableDescription) -> Option<Result<SourceDescription>> {
        Some(describe_source(table))
    }

    fn describe_sink(&self, table: &TableDescription) -> Option<Result<SinkDescription>> {
        Some(describe_sink(table))
    }

    fn reader(&self, spec: &proto::SourceSpec, formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
        reader(spec, formats)
    }

    fn enumerator(&self, spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
        enumerator(spec, context)
    }

    fn sink(&self, spec: &proto::SinkSpec, uid: &[u8], formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
        sink(spec, uid, formats)
    }
}

fn check(table: &TableDescription) -> Result<Options<'_>> {
    let options = Options::new(&table.options);
    options.require(&["path"])?;
    options.require(&["format"])?;
    let name = options.text("format").unwrap_or_default();
    // A format checks its own options.
    let format = format!("{name}.*");
    let mut own = OPTIONS.to_vec();
    own.push(&format);
    check_options(table, "filesystem", &own)?;
    for key in &table.partition_keys {
        let Some(column) = table.physical.iter().find(|column| column.name == *key) else {
            return invalid(format!("Partition column '{key}' not defined in the table schema."));
        };
        // A text of a path is neither.
        if matches!(column.data_type.kind, TypeKind::Variant | TypeKind::Bitmap | TypeKind::Structured(..)) {
            return invalid(format!("Unsupported type '{}' of partition column '{key}'.", column.data_type));
        }
    }
    Format::new(name, options, file_columns(&table.physical, &table.partition_keys))?;
    path::root(options.text("path").unwrap_or_default())?;
    pattern(options)?;
    Ok(options)
}

/// The columns that are in the files: all but the partition columns.
fn file_columns(physical: &[RowField], partition_keys: &[String]) -> Vec<RowField> {
    physical.iter().filter(|column| !partition_keys.contains(&column.name)).cloned().collect()
}

/// `source.path.regex-pattern`: matches whole paths.
fn pattern(options: Options<'_>) -> Result<Option<Regex>> {
    let Some(text) = options.text("source.path.regex-pattern") else { return Ok(None) };
    match Regex::new(&format!("^(?:{text})$")) {
        Ok(pattern) => Ok(Some(pattern)),
        Err(error) => Err(unparsable("source.path.regex-pattern", text, error)),
    }
}

/// What the table can do as a source.
fn describe_source(table: &TableDescription) -> Result<SourceDescription> {
    let options = check(table)?;
    let source = SourceDescription::plain(monitor_interval(options)?.is_none(), None, ProjectionSupport::TopLevel);
    let is_key = |column: &RowField| table.partition_keys.contains(&column.name);
    let keys = table.physical.iter().enumerate().filter(|(_, column)| is_key(column)).map(|(index, _)| index);
    let keys: Vec<usize> = keys.collect();
    Ok(source
        .with_filter(move |condition| partitions::depends_on(condition, &keys))
        .with_metadata(metadata::readable()))
}

/// Milliseconds.
fn monitor_interval(options: Options<'_>) -> Result<Option<u64>> {
    match options.duration("source.monitor-interval")? {
        Some(0) => invalid("Option 'source.monitor-interval' must be longer than 0 ms."),
        interval => Ok(interval),
    }
}

/// What the table can do as a sink.
fn describe_sink(table: &TableDescription) -> Result<SinkDescription> {
    let options = check(table)?;
    sink::Settings::new(options, &table.partition_keys)?;
    let parallelism = parallelism(table, "sink.parallelism")?;
    Ok(SinkDescription { parallelism, changelog: ChangelogMode::InsertOnly, metadata: Vec::new() })
}

/// A table as a job graph describes it.
struct Table {
    options: BTreeMap<String, String>,
    physical: Vec<RowField>,
    file_columns: Vec<RowField>,
    format: Format,
}

impl Table {
    fn new(
        options: &BTreeMap<String, String>,
        schema: Option<&proto::Schema>,
        partition_keys: &[String],
    ) -> TaskResult<Self> {
        let physical = fields(schema).map_err(|e| Error::Plan(e.to_string()))?;
        let options = options.clone();
        let file_columns = file_columns(&physical, partition_keys);
        let read = Options::new(&options);
        let format = Format::new(read.text("format").unwrap_or_default(), read, file_columns.clone())?;
        Ok(Self { options, physical, file_columns, format })
    }

    /// What a path of a source's projection names.
    fn emitted(&self, path: &[u32], spec: &proto::SourceSpec) -> TaskResult<reader::Emitted> {
        let found = match path {
            [index] => match (*index as usize).checked_sub(self.physical.len()) {
                None => self.physical.get(*index as usize).cloned().map(reader::Emitted::Column),
                Some(behind) => {
                    let key = spec.metadata.get(behind);
                    key.and_then(|key| metadata::FileMetadata::of(key)).map(reader::Emitted::Metadata)
                }
            },
            _ => None,
        };
        found.ok_or_else(|| Error::Plan(format!("table {} has no column {path:?}", spec.table)))
    }

    /// The conditions of a source, all of which are on partition columns.
    fn filter(&self, spec: &proto::SourceSpec) -> TaskResult<partitions::PartitionFilter> {
        partitions::PartitionFilter::new(&spec.filters, &self.physical, self.default_partition())
    }

    fn default_partition(&self) -> String {
        self.options.get("partition.default-name").map_or(DEFAULT_PARTITION, String::as_str).to_owned()
    }
}

/// The reader of one subtask.
fn reader(spec: &proto::SourceSpec, formats: &dyn BulkFormats) -> TaskResult<Box<dyn SourceReader>> {
    let table = Table::new(&spec.options, spec.physical.as_ref(), &spec.partition_keys)?;
    let mut emitted = Vec::with_capacity(spec.projection.len());
    for path in &spec.projection {
        emitted.push(table.emitted(&path.indexes, spec)?);
    }
    let (default, filter) = (table.default_partition(), table.filter(spec)?);
    let Table { format, file_columns, .. } = &table;
    Ok(Box::new(reader::FileReader::new(format, formats, file_columns, &emitted, default, filter)?))
}

/// The part that looks for files.
fn enumerator(spec: &proto::SourceSpec, context: EnumeratorContext) -> TaskResult<Box<dyn SplitEnumerator>> {
    let table = Table::new(&spec.options, spec.physical.as_ref(), &spec.partition_keys)?;
    let options = Options::new(&table.options);
    let mut filter = table.filter(spec)?;
    // The conditions ask for the session's time zone, never for the time.
    filter.prepare(&EvaluationContext::new(&context.configuration, Arc::new(SystemClock))?)?;
    Ok(Box::new(enumerator::FileEnumerator::new(
        path::root(options.text("path").unwrap_or_default())?,
        Files::here(context.configuration),
        pattern(options)?,
        monitor_interval(options)?,
        context.parallelism.max(1),
        table.format.is_splittable(),
        filter,
    )))
}

/// The sink of one subtask; `uid` is the operator's.
fn sink(spec: &proto::SinkSpec, uid: &[u8], formats: &dyn BulkFormats) -> TaskResult<Box<dyn Operator>> {
    let table = Table::new(&spec.options, spec.input.as_ref(), &spec.partition_keys)?;
    let root = path::root(table.options.get("path").map_or("", String::as_str))?;
    let default = table.default_partition();
    let settings = sink::Settings::new(Options::new(&table.options), &spec.partition_keys)?;
    let writers = table.format.file_writers(formats)?;
    let sink = sink::FileSink::new(root, uid, writers, &table.physical, &spec.partition_keys, default, settings)?;
    Ok(Box::new(SinkOperator::new(sink)))
}
