//! `filesystem`: tables in files.
use wiesel_operators::operator::{Error, Operator, Result as TaskResult};
use wiesel_operators::source::{EnumeratorContext, SourceReader, SplitEnumerator};
use wiesel_proto as proto;

use crate::factory::{
    ChangelogMode, ProjectionSupport, SinkDescription, SourceDescription, TableDescription, check_options, parallelism,
    plain_source,
};
use crate::formats::Format;
use crate::options::{Options, Result, invalid};

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
        if !table.physical.iter().any(|column| column.name == *key) {
            return invalid(format!("Partition column '{key}' not defined in the table schema."));
        }
    }
    let columns =
        table.physical.iter().filter(|column| !table.partition_keys.contains(&column.name)).cloned().collect();
    Format::new(name, options, columns)?;
    Ok(options)
}

/// What the table can do as a source.
pub(crate) fn describe_source(table: &TableDescription) -> Result<SourceDescription> {
    let options = check(table)?;
    let bounded = match options.duration("source.monitor-interval")? {
        None => true,
        Some(0) => return invalid("Option 'source.monitor-interval' must be longer than 0 ms."),
        Some(_) => false,
    };
    Ok(plain_source(bounded, None, ProjectionSupport::TopLevel))
}

/// What the table can do as a sink.
pub(crate) fn describe_sink(table: &TableDescription) -> Result<SinkDescription> {
    check(table)?;
    Ok(SinkDescription { parallelism: parallelism(table, "sink.parallelism")?, changelog: ChangelogMode::InsertOnly })
}

/// The reader of one subtask.
pub(crate) fn reader(_spec: &proto::SourceSpec) -> TaskResult<Box<dyn SourceReader>> {
    Err(Error::Plan("filesystem cannot read yet".into()))
}

/// The part that looks for files.
pub(crate) fn enumerator(
    _spec: &proto::SourceSpec,
    _context: EnumeratorContext,
) -> TaskResult<Box<dyn SplitEnumerator>> {
    Err(Error::Plan("filesystem cannot read yet".into()))
}

/// The sink of one subtask.
pub(crate) fn sink(_spec: &proto::SinkSpec) -> TaskResult<Box<dyn Operator>> {
    Err(Error::Plan("filesystem cannot write yet".into()))
}
