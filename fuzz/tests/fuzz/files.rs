//! CSV, JSON and Parquet: any file of a table is rows or an error.
use std::path::Path;

use wiesel_bulk_formats::BuiltInFormats;
use wiesel_connectors::factory;
use wiesel_fuzz::{Target, corpus};
use wiesel_network::codec::{self, Compression, Encoder};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, OperatorContext, Result};
use wiesel_operators::source::{EnumeratorContext, SourceStatus, SplitAssignment};
use wiesel_proto as proto;

use super::job_graphs::{context, runtime};
use super::planned::source;

/// More than any file of a target's longest input has batches.
const POLLS: usize = 100_000;

const COLUMNS: &str = "a INT, b BIGINT, c STRING, d DECIMAL(10, 2), e TIMESTAMP(3), f BOOLEAN, g DATE, h TIME(0), i DOUBLE, \
                       j BYTES, k ROW<x INT, y STRING>, l ARRAY<STRING>, m TIMESTAMP_LTZ(3), n SMALLINT, o FLOAT";

/// Looks at every value, as what sends rows on does.
#[derive(Default)]
struct Looks {
    rows: usize,
}

impl Collector for Looks {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        self.rows += batch.records.num_rows();
        codec::row_bytes(&batch.records);
        let encoded = Encoder::new(Compression::None).and_then(|mut encoder| encoder.encode(&batch.records));
        assert!(encoded.is_ok(), "rows that cannot be sent: {encoded:?}");
        Ok(())
    }

    fn watermark(&mut self, _watermark: i64) -> Result<()> {
        Ok(())
    }

    fn status(&mut self, _status: WatermarkStatus) -> Result<()> {
        Ok(())
    }
}

/// Reads the table as one subtask does; how many rows it has.
fn read(spec: &proto::SourceSpec, context: &OperatorContext) -> Result<usize> {
    let configuration = context.configuration.clone();
    let mut enumerator = factory::enumerator(spec, EnumeratorContext { parallelism: 1, configuration })?;
    enumerator.discover()?;
    while enumerator.discovery_interval().is_some() {
        enumerator.discover()?;
    }
    let mut reader = factory::build_source(spec, &BuiltInFormats)?;
    reader.open(context)?;
    let mut out = Looks::default();
    for _ in 0..POLLS {
        let status = reader.poll(&mut out)?;
        if reader.take_split_request() {
            match enumerator.request_split(0, "localhost")? {
                SplitAssignment::Splits(splits) => reader.add_splits(splits)?,
                SplitAssignment::NoMoreSplits => reader.no_more_splits(),
                SplitAssignment::Wait => panic!("a bounded source lets its reader wait"),
            }
        }
        if status == SourceStatus::EndOfInput {
            reader.close()?;
            return Ok(out.rows);
        }
    }
    panic!("{POLLS} polls of a file of a few bytes");
}

/// Runs a target on a file, which is read as one of several tables: which one follows from its content.
fn run(target: Target, seeds: Vec<Vec<u8>>, tables: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("input");
    let tables = tables.iter().map(|(columns, options)| {
        source(columns, &format!("'connector' = 'filesystem', 'path' = '{}', {options}", file.display()))
    });
    let tables: Vec<proto::SourceSpec> = tables.collect();
    let runtime = runtime();
    target.run(seeds, move |input| {
        // The folder goes when the target is done.
        let file = folder.path().join("input");
        std::fs::write(&file, input).unwrap();
        let table = &tables[crc32c::crc32c(input) as usize % tables.len()];
        read(table, &context(&runtime)).is_ok_and(|rows| rows > 0)
    });
}

fn data(ending: &str) -> Vec<Vec<u8>> {
    let mut files = corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sql/data"), ending);
    files.retain(|file| file.len() < 16 << 10);
    files
}

#[test]
fn csv() {
    let words =
        &["\"", "\"\"", ",", ";", "\\", "\n", "\r\n", "\r", "#", "null", "1.5", "-0.0", "1e400", "NaN", "\u{feff}"];
    let target = Target { inputs: 2000, memory: 64 << 20, words, ..Target::new("csv") };
    let tables = [
        (COLUMNS, "'format' = 'csv'"),
        (COLUMNS, "'format' = 'csv', 'csv.ignore-parse-errors' = 'true', 'csv.null-literal' = ''"),
        (
            COLUMNS,
            "'format' = 'csv', 'csv.field-delimiter' = ';', 'csv.escape-character' = '\\', 'csv.allow-comments' = 'true', \
             'csv.ignore-parse-errors' = 'true'",
        ),
        ("c STRING", "'format' = 'csv', 'csv.disable-quote-character' = 'true'"),
    ];
    run(target, data(".csv"), &tables);
}

#[test]
fn json() {
    let words = &[
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\u0000",
        "\\ud800",
        "null",
        "true",
        "1e999",
        "-0",
        "\"a\": ",
        "\"k\": {",
        "\"l\": [",
        "\"p\": {\"x\": 1}",
        "\n",
        "\u{feff}",
    ];
    let target = Target { inputs: 2000, memory: 64 << 20, words, ..Target::new("json") };
    let columns = format!("{COLUMNS}, p MAP<STRING, INT>, q ROW<r ARRAY<ROW<s INT>>>");
    let tables = [
        (columns.as_str(), "'format' = 'json'"),
        (columns.as_str(), "'format' = 'json', 'json.ignore-parse-errors' = 'true'"),
        (columns.as_str(), "'format' = 'json', 'json.timestamp-format.standard' = 'ISO-8601'"),
        ("c STRING", "'format' = 'json', 'json.fail-on-missing-field' = 'true'"),
    ];
    run(target, data(".json"), &tables);
}

#[test]
fn parquet() {
    // A page has at most 256 MiB. ZSTD, which may pack so much into an input, unpacks it into a place of its own and copies it from
    // there; the rest is what any input may take.
    let target = Target { inputs: 500, memory: 2 * (256 << 20) + (64 << 20), ..Target::new("parquet") };
    let types = "b BOOLEAN, t TINYINT, sm SMALLINT, i INT, l BIGINT, f FLOAT, d DOUBLE, dec1 DECIMAL(9, 2), \
                 dec2 DECIMAL(18, 4), dec3 DECIMAL(30, 10), s STRING, c CHAR(3), da DATE, ti TIME(0), ts3 TIMESTAMP(3), \
                 ts6 TIMESTAMP(6), tz TIMESTAMP_LTZ(3), ar ARRAY<INT>, ro ROW<x INT, y STRING>, ma MAP<STRING, INT>";
    let nested = "a INT, ts6 TIMESTAMP(6), ts9 TIMESTAMP(9), n ROW<p ARRAY<ROW<q INT>>, m MAP<INT, ROW<r STRING>>>";
    let tables = [
        (types, "'format' = 'parquet', 'parquet.utc-timezone' = 'true'"),
        (nested, "'format' = 'parquet'"),
        ("i INT, tz TIMESTAMP_LTZ(3), ts3 TIMESTAMP(3), missing STRING", "'format' = 'parquet'"),
    ];
    let seeds = corpus(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/sql/data/parquet"), "part-0");
    assert_eq!(seeds.len(), 3);
    run(target, seeds, &tables);
}
