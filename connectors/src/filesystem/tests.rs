use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Schema};
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_expressions::expression::BATCH_BYTES;
use wiesel_expressions::row_kind::RowKind;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind, to_arrow_schema};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SourceStatus, SplitAssignment};
use wiesel_proto as proto;

use super::partitions::depends_on;
use super::split::FileSplit;
use super::*;
use crate::print::row_text;
use crate::testing::{Collected, Restarts, context, discover_all, enumerator_context};

fn strings(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn schema(columns: &[(&str, LogicalType)]) -> Vec<RowField> {
    columns.iter().map(|(name, data_type)| RowField::new(*name, data_type.clone())).collect()
}

pub(super) fn source(
    path: &Path,
    columns: &[RowField],
    options: &[(&str, &str)],
    partitions: &[&str],
) -> proto::SourceSpec {
    let mut all = strings(options);
    all.insert("path".into(), path.to_str().unwrap().into());
    proto::SourceSpec {
        connector: "filesystem".into(),
        options: all,
        table: "t".into(),
        physical: Some(proto::Schema { fields: columns.iter().map(proto::Field::from).collect() }),
        projection: (0..columns.len() as u32).map(|index| proto::FieldPath { indexes: vec![index] }).collect(),
        partition_keys: partitions.iter().map(|key| (*key).to_owned()).collect(),
        ..Default::default()
    }
}

/// All rows of a table, read by so many readers in turn, as text and sorted.
pub(super) fn read(spec: &proto::SourceSpec, readers: u32) -> Result<Vec<String>> {
    let rows = |batch: &Batch| (0..batch.num_rows()).map(|row| row_text(&batch.records, row)).collect::<Vec<_>>();
    let mut rows: Vec<String> = batches(spec, readers)?.iter().flat_map(rows).collect();
    rows.sort();
    Ok(rows)
}

/// What so many readers emit in turn.
pub(super) fn batches(spec: &proto::SourceSpec, readers: u32) -> Result<Vec<Batch>> {
    // An enumerator waits for the runtime that its thread works for.
    let runtime = context(0, 1).runtime;
    let _entered = runtime.enter();
    let mut splits = super::enumerator(spec, enumerator_context(readers))?;
    discover_all(&mut *splits)?;
    let mut out = Collected::default();
    let open = (0..readers).map(|subtask| Ok((subtask, super::reader(spec, &BuiltInFormats)?)));
    let mut open: Vec<_> = open.collect::<Result<_>>()?;
    for (_, reader) in &mut open {
        reader.open(&context(0, readers))?;
    }
    while !open.is_empty() {
        let mut left = Vec::new();
        for (subtask, mut reader) in open {
            if reader.take_split_request() {
                match splits.request_split(subtask, "localhost")? {
                    SplitAssignment::Splits(splits) => reader.add_splits(splits)?,
                    SplitAssignment::NoMoreSplits => reader.no_more_splits(),
                    SplitAssignment::Wait => unreachable!("a bounded table"),
                }
            }
            if reader.poll(&mut out)? != SourceStatus::EndOfInput {
                left.push((subtask, reader));
            }
        }
        open = left;
    }
    Ok(out.batches)
}

pub(super) fn two() -> Vec<RowField> {
    schema(&[("a", TypeKind::Int.nullable()), ("b", TypeKind::string().nullable())])
}

/// The rows of one csv file of (a INT, b STRING), or the error.
fn csv(text: &[u8], options: &[(&str, &str)]) -> std::result::Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, text).unwrap();
    let mut all = vec![("format", "csv")];
    all.extend_from_slice(options);
    let rows = read(&source(&path, &two(), &all, &[]), 1).map_err(|error| error.to_string())?;
    Ok(rows.into_iter().map(|row| row.trim_start_matches("+I").to_owned()).collect())
}

const IGNORE: &[(&str, &str)] = &[("csv.ignore-parse-errors", "true")];

/// What Apache Flink 2.3 read from the same files.
#[test]
fn csv_is_read_as_flink_reads_it() {
    let ok = |text: &str, options: &[(&str, &str)], rows: &[&str]| {
        assert_eq!(csv(text.as_bytes(), options).unwrap(), rows, "{text:?} {options:?}");
    };
    ok(" 1 ,x\n2, y \n+3,\"q\"\n-4,\"a\"\"b\"\n", &[], &["[-4, a\"b]", "[1, x]", "[2,  y ]", "[3, q]"]);
    ok("1,a\n\n2,b\n", IGNORE, &["[1, a]", "[2, b]", "[null, null]"]);
    ok("1,a\n,b\n", IGNORE, &["[1, a]", "[null, b]"]);
    ok("1,a\n2\n3,c\n", IGNORE, &["[1, a]", "[2, null]", "[3, c]"]);
    ok("1,a,x\n2,b\n", IGNORE, &["[2, b]"]);
    ok("1,\"a\"x\n2,b\n", IGNORE, &["[2, b]"]);
    ok("1,a\"b\n2,b\"\n", &[], &["[1, a\"b]", "[2, b\"]"]);
    ok("1,\"abc\n2,b\n", IGNORE, &[]);
    ok("1,\"a\nb\"\n2,\"c\r\nd\"\n", &[], &["[1, a\nb]", "[2, c\r\nd]"]);
    ok("1, \"a\"\n2,\"b\" \n", &[], &["[1,  \"a\"]", "[2, b]"]);
    ok("1,a\r\n2,b\r\n", &[], &["[1, a]", "[2, b]"]);
    ok("1,a\r2,b\r", &[], &["[1, a]", "[2, b]"]);
    ok("\u{feff}1,a\n2,b", &[], &["[1, a]", "[2, b]"]);
    ok("", &[], &[]);
    ok(
        "1,a\n2,\n3,\"\"\n4,NULL\n5,\"NULL\"\n",
        &[("csv.null-literal", "NULL")],
        &["[1, a]", "[2, ]", "[3, ]", "[4, null]", "[5, null]"],
    );
    ok("1,a\n2,\n3,\"\"\n4,NULL\n", &[("csv.null-literal", "")], &["[1, a]", "[2, null]", "[3, null]", "[4, NULL]"]);
    ok("#c\n1,a\n #d\n2,#b\n", &[("csv.allow-comments", "true")], &["[1, a]", "[2, #b]"]);
    let escape = [("csv.escape-character", "\\")];
    ok("1,\\\"a\\\"\n2,\"x\\\"y\"\n3,a\\,b\n4,a\\nb\n", &escape, &["[1, \"a\"]", "[2, x\"y]", "[3, a,b]", "[4, a\nb]"]);
    ok("1;a\n2;b,c\n", &[("csv.field-delimiter", ";")], &["[1, a]", "[2, b,c]"]);
    ok("1\ta\n", &[("csv.field-delimiter", "\\t")], &["[1, a]"]);
    ok("1,'a,b'\n2,\"b\n", &[("csv.quote-character", "'")], &["[1, a,b]", "[2, \"b]"]);
    ok("1,a\"b\n2,\"b\n", &[("csv.disable-quote-character", "true")], &["[1, a\"b]", "[2, \"b]"]);
}

#[test]
fn a_malformed_csv_row_fails_with_file_row_and_reason() {
    let fails = |text: &[u8], reason: &str| {
        let error = csv(text, &[]).unwrap_err();
        assert!(error.contains("t.csv") && error.contains(reason), "{error}");
    };
    fails(b"1,a\n\n2,b\n", "Row length mismatch. 2 fields expected but was 1.");
    fails(b"1,a\n,b\n", "'1,a'".replace("1,a", ",b").as_str());
    // Failed before: nothing was said of how an empty field becomes NULL.
    fails(
        b"1,a\n,b\n",
        "For input string: \"\" (column 'a', INT); with 'csv.null-literal' = '' an empty field is NULL",
    );
    let told = csv(b"1,a\nx,b\n", &[]).unwrap_err() + &csv(b"1,a\n,b\n", &[("csv.null-literal", "-")]).unwrap_err();
    assert!(told.matches("(column 'a', INT)").count() == 2 && !told.contains("csv.null-literal"), "{told}");
    fails(b"1,a,x\n2,b\n", "Too many entries: expected at most 2 (value #2 (1 chars) \"x\")");
    fails(b"1,\"a\"x\n", "Unexpected character ('x' (code 120)): Expected column separator character (',' (code 44))");
    fails(b"1,\"abc\n2,b\n", "Missing closing quote for value");
    fails(b"1,a\n2,\xff\xfe\n", "Invalid UTF-8");
    fails(b"1,a\n2147483648,b\n", "(record 2): For input string: \"2147483648\"");
}

/// What is said of the first malformed record of these splits. Before the poll of that number another reader goes on from what
/// the first had read.
fn failure(spec: &proto::SourceSpec, splits: Vec<FileSplit>, restore_after: Option<usize>) -> String {
    let mut reader = super::reader(spec, &BuiltInFormats).unwrap();
    reader.open(&context(0, 1)).unwrap();
    reader.add_splits(splits.iter().map(FileSplit::encode).collect()).unwrap();
    for polls in 0..100 {
        if restore_after == Some(polls) {
            let left = reader.snapshot().unwrap();
            reader = super::reader(spec, &BuiltInFormats).unwrap();
            reader.open(&context(0, 1)).unwrap();
            reader.add_splits(left).unwrap();
        }
        if let Err(error) = reader.poll(&mut Collected::default()) {
            return error.to_string();
        }
    }
    panic!("no record was refused")
}

/// Failed before: records were counted over all files that the reader had read, and the message named the last one.
#[test]
fn the_place_of_a_malformed_record_is_in_the_file_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    for (format, record, bad, place) in
        [("csv", "1,a\n", "x,b\n", "(record 2)"), ("json", "{\"a\": 1, \"b\": \"a\"}\n", "{\"a\": \n", "(line 2)")]
    {
        let spec = source(folder.path(), &two(), &[("format", format)], &[]);
        let whole = |path: &str| FileSplit::new(path.to_owned(), 0, u64::MAX);
        let good = file("good", &record.repeat(3));
        let wrong = file("wrong", &format!("{record}{bad}"));
        let error = failure(&spec, vec![whole(&good), whole(&wrong)], None);
        assert!(error.contains(&format!("file {wrong}: ")) && error.contains(place), "{error}");

        // A part that begins within the second record: the first that is counted is the third.
        let parts = file("parts", &format!("{}{bad}", record.repeat(3)));
        let middle = record.len() as u64 + 2;
        let part = FileSplit::new(parts.clone(), middle, u64::MAX);
        let error = failure(&spec, vec![whole(&good), part], None);
        assert!(error.contains(&format!("file {parts}, counted from byte {middle}: ")), "{error}");
        assert!(error.contains(place), "{error}");

        // A batch of it was read before the checkpoint that is restored.
        let long = file("long", &format!("{}{bad}", record.repeat(8192 + 1)));
        let error = failure(&spec, vec![whole(&long)], Some(1));
        assert!(error.contains(&format!("file {long}, counted from byte {}: ", 8192 * record.len())), "{error}");
        assert!(error.contains(place), "{error}");
    }
}

#[test]
fn large_plain_files_are_read_in_parts_and_every_row_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.csv");
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    let rows = 1_500_000;
    for row in 0..rows {
        writeln!(file, "{row},{:>width$}", row % 7, width = row % 31).unwrap();
    }
    drop(file);
    let spec = source(&path, &two(), &[("format", "csv"), ("csv.disable-quote-character", "true")], &[]);
    let mut splits = super::enumerator(&spec, enumerator_context(2)).unwrap();
    discover_all(&mut *splits).unwrap();
    let mut parts = 0;
    while let SplitAssignment::Splits(_) = splits.request_split(0, "").unwrap() {
        parts += 1;
    }
    assert!(parts > 2, "{parts}");
    let found = read(&spec, 3).unwrap();
    let mut wanted: Vec<String> =
        (0..rows).map(|row| format!("+I[{row}, {:>width$}]", row % 7, width = row % 31)).collect();
    wanted.sort();
    assert!(found == wanted, "{} rows of {}", found.len(), wanted.len());
}

#[test]
fn records_of_any_length_cross_chunks() {
    for length in [0usize, 1, 100, 524_287, 524_288, 3_000_000] {
        let long = "x".repeat(length);
        let text = format!("1,{long}\n2,\"{long}\n\"\n3,end");
        let rows = csv(text.as_bytes(), &[]).unwrap();
        assert_eq!(rows, vec![format!("[1, {long}]"), format!("[2, {long}\n]"), "[3, end]".to_owned()]);
    }
}

/// Before, a batch had 8192 records, however long.
#[test]
fn long_records_make_batches_of_few_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    let text: String = (0..50).map(|row| format!("{row},{}\n", "x".repeat(1 << 20))).collect();
    fs::write(&path, text).unwrap();
    let batches = batches(&source(&path, &two(), &[("format", "csv")], &[]), 1).unwrap();
    assert_eq!(batches.iter().map(Batch::num_rows).sum::<usize>(), 50);
    assert!(batches.iter().all(|batch| batch.num_rows() <= 18), "{}", batches.len());
}

#[test]
fn folders_are_read_whole_without_hidden_files_and_compressed_files_by_their_suffix() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("x/y");
    fs::create_dir_all(&inner).unwrap();
    fs::write(folder.path().join("a.csv"), "1,plain\n").unwrap();
    fs::write(folder.path().join(".hidden"), "9,x\n").unwrap();
    fs::write(folder.path().join("_SUCCESS"), "9,x\n").unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"2,gz\n").unwrap();
    fs::write(inner.join("b.csv.gz"), gzip.finish().unwrap()).unwrap();
    let mut deflate = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    deflate.write_all(b"3,deflate\n").unwrap();
    fs::write(inner.join("c.deflate"), deflate.finish().unwrap()).unwrap();
    fs::write(inner.join("d.csv.zst"), zstd::encode_all(&b"4,zst\n"[..], 1).unwrap()).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(b"5,bz2\n").unwrap();
    fs::write(inner.join("e.csv.bz2"), bzip2.finish().unwrap()).unwrap();
    let rows = read(&source(folder.path(), &two(), &[("format", "csv")], &[]), 2).unwrap();
    assert_eq!(rows, ["+I[1, plain]", "+I[2, gz]", "+I[3, deflate]", "+I[4, zst]", "+I[5, bz2]"]);
    let some = [("format", "csv"), ("source.path.regex-pattern", ".*\\.(gz|zst)")];
    assert_eq!(read(&source(folder.path(), &two(), &some, &[]), 1).unwrap(), ["+I[2, gz]", "+I[4, zst]"]);
}

#[test]
fn a_missing_path_and_a_broken_archive_are_named() {
    let missing = read(&source(Path::new("/nowhere/x.csv"), &two(), &[("format", "csv")], &[]), 1).unwrap_err();
    assert!(missing.to_string().starts_with("File /nowhere/x.csv does not exist"), "{missing}");
    // Failed before: the message did not say whose folder that was, the client's, the JobManager's or a TaskManager's.
    let relative = read(&source(Path::new("nowhere/x.csv"), &two(), &[("format", "csv")], &[]), 1).unwrap_err();
    let here = std::env::current_dir().unwrap().join("nowhere/x.csv");
    for word in [&*format!("File {} does not exist", here.display()), "looked for it", "relative"] {
        assert!(relative.to_string().contains(word), "`{word}` is not in: {relative}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv.gz");
    fs::write(&path, "no gzip").unwrap();
    let broken = read(&source(&path, &two(), &[("format", "csv")], &[]), 1).unwrap_err();
    assert!(broken.to_string().contains("a.csv.gz"), "{broken}");
}

fn lines(rows: std::ops::Range<usize>) -> String {
    rows.map(|row| format!("{row},\"{:>width$}\n\"\n", row % 7, width = row % 31)).collect()
}

#[test]
fn a_cut_anywhere_loses_and_doubles_no_row() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("a.csv"), lines(0..20_000)).unwrap();
    fs::write(path("b.csv"), format!("\u{feff}{}", lines(20_000..30_000))).unwrap();
    fs::write(path("empty.csv"), "").unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(lines(30_000..50_000).as_bytes()).unwrap();
    fs::write(path("c.csv.gz"), gzip.finish().unwrap()).unwrap();
    let mut bzip2 = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip2.write_all(lines(50_000..60_000).as_bytes()).unwrap();
    fs::write(path("d.csv.bz2"), bzip2.finish().unwrap()).unwrap();
    let spec = source(folder.path(), &two(), &[("format", "csv")], &[]);
    assert_eq!(Restarts::new(&spec).rows(1, &[]).len(), 60_000);
    for readers in [1, 2] {
        Restarts::new(&spec).check_every_cut(readers);
    }
}

#[test]
fn parts_of_a_large_file_go_on_after_a_cut() {
    const ROWS: usize = 220_000;
    let text = |row: usize| format!("{:>90}", row % 7);
    let json = |row: usize| (format!("{{\"a\":{row},\"b\":\"{}\"}}\n", text(row)), text(row));
    // From its middle on records hold line ends: the file is one part.
    let csv = |row: usize| {
        if row < ROWS / 2 {
            (format!("{row},{}\r\n", text(row)), text(row))
        } else {
            (format!("{row},\"{}\n\"\n", text(row)), format!("{}\n", text(row)))
        }
    };
    let formats: [(&str, &dyn Fn(usize) -> (String, String)); 2] = [("json", &json), ("csv", &csv)];
    for (format, record) in formats {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big");
        let lines: String = (0..ROWS).map(|row| record(row).0).collect();
        fs::write(&path, lines).unwrap();
        let spec = source(&path, &two(), &[("format", format)], &[]);
        let cut = Restarts::new(&spec);
        let mut wanted: Vec<String> = (0..ROWS).map(|row| format!("+I[{row}, {}]", record(row).1)).collect();
        wanted.sort();
        let runs: [&[(usize, u32)]; 4] = [&[], &[(1, 3), (4, 1)], &[(8, 7), (9, 3)], &[(17, 3), (4, 1)]];
        for cuts in runs {
            let found = cut.rows(2, cuts);
            assert!(found == wanted, "{format} {cuts:?}: {} rows", found.len());
        }
    }
}

#[test]
fn a_file_that_changed_after_the_checkpoint_is_an_error() {
    for (name, change) in [("a.csv", true), ("a.csv.gz", true), ("a.csv", false)] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let write = |rows| {
            let text = lines(0..rows).into_bytes();
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(&text).unwrap();
            fs::write(&path, if name.ends_with("gz") { gzip.finish().unwrap() } else { text }).unwrap();
        };
        write(20_000);
        let mut reader = super::reader(&source(&path, &two(), &[("format", "csv")], &[]), &BuiltInFormats).unwrap();
        let mut out = Collected::default();
        reader.add_splits(vec![FileSplit::new(path.to_str().unwrap().into(), 0, u64::MAX).encode()]).unwrap();
        reader.poll(&mut out).unwrap();
        let splits = reader.snapshot().unwrap();
        match change {
            true => write(10_000),
            false => fs::remove_file(&path).unwrap(),
        }
        let mut restored = super::reader(&source(&path, &two(), &[("format", "csv")], &[]), &BuiltInFormats).unwrap();
        restored.add_splits(splits).unwrap();
        let error = restored.poll(&mut out).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("was changed after the restored checkpoint"), "{error}");
    }
}

#[test]
fn files_seen_before_a_restore_are_not_read_again() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "1,a\n").unwrap();
    fs::write(folder.path().join("b.csv"), "2,b\n").unwrap();
    let spec = source(folder.path(), &two(), &[("format", "csv"), ("source.monitor-interval", "1 s")], &[]);
    let mut splits = super::enumerator(&spec, enumerator_context(1)).unwrap();
    discover_all(&mut *splits).unwrap();
    let SplitAssignment::Splits(first) = splits.request_split(0, "").unwrap() else { panic!() };
    let state = splits.snapshot().unwrap();
    fs::write(folder.path().join("c.csv"), "3,c\n").unwrap();
    let mut restored = super::enumerator(&spec, enumerator_context(3)).unwrap();
    restored.restore(&state).unwrap();
    discover_all(&mut *restored).unwrap();
    let mut given = first;
    while let SplitAssignment::Splits(splits) = restored.request_split(0, "").unwrap() {
        given.extend(splits);
    }
    let paths: Vec<String> = given.iter().map(|split| FileSplit::decode(split).unwrap().path).collect();
    assert!(paths.iter().map(|path| &path[path.len() - 5..]).eq(["a.csv", "b.csv", "c.csv"]), "{paths:?}");
}

#[test]
fn new_files_are_found_while_the_job_runs() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "1,a\n").unwrap();
    let spec = source(folder.path(), &two(), &[("format", "csv"), ("source.monitor-interval", "1 s")], &[]);
    let mut splits = super::enumerator(&spec, enumerator_context(2)).unwrap();
    assert_eq!(splits.discovery_interval(), Some(1000));
    assert!(discover_all(&mut *splits).unwrap().is_empty());
    assert!(matches!(splits.request_split(0, "").unwrap(), SplitAssignment::Splits(_)));
    assert_eq!(splits.request_split(1, "").unwrap(), SplitAssignment::Wait);
    assert!(discover_all(&mut *splits).unwrap().is_empty());
    fs::write(folder.path().join("b.csv"), "2,b\n").unwrap();
    let given = discover_all(&mut *splits).unwrap();
    assert!(matches!(given.as_slice(), [(1, SplitAssignment::Splits(_))]), "{given:?}");
    assert!(discover_all(&mut *splits).unwrap().is_empty());
}

pub(super) fn write(spec: &proto::SinkSpec, batches: Vec<RecordBatch>, finish: bool) {
    let mut sink = super::sink(spec, b"uid", &BuiltInFormats).unwrap();
    let mut out = Collected::default();
    sink.open(&context(0, 1)).unwrap();
    for batch in batches {
        sink.process(0, Batch::insert_only(batch), &mut out).unwrap();
    }
    if finish {
        sink.finish(&mut out).unwrap();
        sink.commit_at_end().unwrap();
    }
    sink.close().unwrap();
}

pub(super) fn sink(path: &Path, columns: &[RowField], format: &str, partitions: &[&str]) -> proto::SinkSpec {
    proto::SinkSpec {
        connector: "filesystem".into(),
        options: strings(&[("path", path.to_str().unwrap()), ("format", format)]),
        table: "t".into(),
        input: Some(proto::Schema { fields: columns.iter().map(proto::Field::from).collect() }),
        partition_keys: partitions.iter().map(|key| (*key).to_owned()).collect(),
        ..Default::default()
    }
}

pub(super) fn rows_of(columns: &[RowField], rows: &[(Option<i32>, Option<&str>)]) -> RecordBatch {
    let numbers: arrow::array::Int32Array = rows.iter().map(|row| row.0).collect();
    let texts: arrow::array::StringViewArray = rows.iter().map(|row| row.1).collect();
    let schema: Arc<Schema> = to_arrow_schema(columns);
    RecordBatch::try_new(schema, vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
}

#[test]
fn what_is_written_can_be_read_and_half_files_are_never_seen() {
    for (format, partitions) in [("csv", vec![]), ("json", vec![]), ("csv", vec!["b"]), ("json", vec!["b"])] {
        let folder = tempfile::tempdir().unwrap();
        let rows = [(Some(1), Some("x")), (Some(-2), Some("a/b=c d,\"é")), (Some(3), Some("y\nz"))];
        let batch = rows_of(&two(), &rows);
        write(&sink(folder.path(), &two(), format, &partitions), vec![batch.clone()], false);
        let spec = source(folder.path(), &two(), &[("format", format)], &partitions);
        assert!(read(&spec, 1).unwrap().is_empty());
        write(&sink(folder.path(), &two(), format, &partitions), vec![batch.clone(), batch], true);
        let found = read(&spec, 2).unwrap();
        let mut wanted = vec!["+I[-2, a/b=c d,\"é]", "+I[1, x]", "+I[3, y\nz]"];
        wanted = wanted.iter().flat_map(|row| [*row, *row]).collect();
        assert_eq!(found, wanted, "{format} {partitions:?}");
    }
}

#[test]
fn null_and_empty_partition_values_are_the_default_partition() {
    let folder = tempfile::tempdir().unwrap();
    let batch = rows_of(&two(), &[(Some(1), None), (Some(2), Some("")), (None, Some("k"))]);
    write(&sink(folder.path(), &two(), "csv", &["b"]), vec![batch], true);
    let spec = source(folder.path(), &two(), &[("format", "csv"), ("csv.null-literal", "")], &["b"]);
    assert_eq!(read(&spec, 1).unwrap(), ["+I[1, null]", "+I[2, null]", "+I[null, k]"]);
    assert!(folder.path().join("b=__DEFAULT_PARTITION__").is_dir());
}

/// As `toString` of what Apache Flink holds them in.
#[test]
fn partitions_are_named_as_flink_names_them() {
    use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Int32Array, TimestampMillisecondArray};

    let decimal =
        |value| -> ArrayRef { Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(5, 2).unwrap()) };
    let moment = |value| -> ArrayRef { Arc::new(TimestampMillisecondArray::from(vec![value])) };
    let timestamp = || TypeKind::Timestamp(3, Default::default());
    let date: ArrayRef = Arc::new(Date32Array::from(vec![20_454]));
    let cases = [
        (TypeKind::Decimal(5, 2), decimal(150), "p=1.50", Ok("1.50")),
        (TypeKind::Decimal(5, 2), decimal(10_000), "p=100.00", Ok("100.00")),
        (timestamp(), moment(1_767_225_600_000), "p=2026-01-01T00%3A00", Ok("2026-01-01T00:00")),
        (timestamp(), moment(1_767_225_601_500), "p=2026-01-01T00%3A00%3A01.500", Ok("2026-01-01T00:00:01.500")),
        (TypeKind::Date, date, "p=20454", Err("could not be parsed at index 0")),
    ];
    for (kind, column, name, value) in cases {
        let folder = tempfile::tempdir().unwrap();
        let columns = schema(&[("a", TypeKind::Int.nullable()), ("p", kind.nullable())]);
        let number: ArrayRef = Arc::new(Int32Array::from(vec![7]));
        let batch = RecordBatch::try_new(to_arrow_schema(&columns), vec![number, column]).unwrap();
        write(&sink(folder.path(), &columns, "csv", &["p"]), vec![batch], true);
        assert!(folder.path().join(name).is_dir(), "{name}");
        let found = read(&source(folder.path(), &columns, &[("format", "csv")], &["p"]), 1);
        match value {
            Ok(value) => assert_eq!(found.unwrap(), [format!("+I[7, {value}]")]),
            Err(why) => assert!(found.unwrap_err().to_string().contains(why), "{name}"),
        }
    }
}

#[test]
fn files_whose_partition_is_not_wanted_are_not_read() {
    use datafusion_common::ScalarValue;
    use wiesel_expressions::expression::Expression;

    let folder = tempfile::tempdir().unwrap();
    for (path, text) in [("d=2026-01-01/h=1", "1\n2\n"), ("d=2026-01-01/h=02", "3\n"), ("d=no date/h=3", "no number\n")]
    {
        fs::create_dir_all(folder.path().join(path)).unwrap();
        fs::write(folder.path().join(path).join("f.csv"), text).unwrap();
    }
    let columns =
        schema(&[("a", TypeKind::Int.nullable()), ("d", TypeKind::Date.nullable()), ("h", TypeKind::Int.nullable())]);
    let mut spec = source(folder.path(), &columns, &[("format", "csv")], &["d", "h"]);
    assert!(read(&spec, 1).is_err());
    let column = |index: usize| Expression::input(index, TypeKind::Int.nullable());
    let number = |value| Expression::literal(ScalarValue::Int32(Some(value)), TypeKind::Int.not_null());
    let equals = |index, value| Expression::call("=", vec![column(index), number(value)], TypeKind::Boolean.nullable());
    spec.filters = vec![proto::Expression::from(&equals(2, 2))];
    assert_eq!(read(&spec, 2).unwrap(), ["+I[3, 2026-01-01, 2]"]);
    spec.filters = vec![proto::Expression::from(&equals(2, 1))];
    assert_eq!(read(&spec, 1).unwrap(), ["+I[1, 2026-01-01, 1]", "+I[2, 2026-01-01, 1]"]);
    let now = Expression::call("CURRENT_DATE", vec![], TypeKind::Date.not_null());
    let today =
        Expression::call("=", vec![Expression::input(1, TypeKind::Date.nullable()), now], TypeKind::Boolean.nullable());
    assert!(depends_on(&equals(2, 1), &[1, 2]) && !depends_on(&equals(0, 1), &[1, 2]));
    assert!(!depends_on(&today, &[1, 2]) && !depends_on(&number(1), &[1, 2]));
}

#[test]
fn only_wanted_columns_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    fs::write(&path, "x,1\ny,2\n").unwrap();
    let mut spec = source(&path, &two(), &[("format", "csv")], &[]);
    spec.projection = vec![proto::FieldPath { indexes: vec![1] }];
    assert_eq!(read(&spec, 1).unwrap(), ["+I[1]", "+I[2]"]);
    spec.projection.clear();
    assert_eq!(read(&spec, 1).unwrap(), ["+I[]", "+I[]"]);
    let batch = rows_of(&two(), &[(Some(1), None)]);
    assert_eq!(batch.column(0).as_primitive::<Int32Type>().value(0), 1);
    assert_eq!(Batch::insert_only(batch).kind(0), RowKind::Insert);
}

/// Not a check but a figure: reads the file that `WIESEL_CSV` names, as the flights of the examples.
#[test]
#[ignore = "measures"]
fn speed() {
    let Some(path) = std::env::var_os("WIESEL_CSV") else { return };
    let kinds = [
        TypeKind::Timestamp(3, Default::default()),
        TypeKind::string(),
        TypeKind::Int,
        TypeKind::string(),
        TypeKind::string(),
        TypeKind::string(),
        TypeKind::Int,
        TypeKind::Int,
        TypeKind::Int,
        TypeKind::Int,
    ];
    let columns: Vec<RowField> =
        kinds.into_iter().enumerate().map(|(i, kind)| RowField::new(format!("c{i}"), kind.nullable())).collect();
    let spec = source(Path::new(&path), &columns, &[("format", "csv"), ("csv.null-literal", "")], &[]);
    let mut splits = super::enumerator(&spec, enumerator_context(1)).unwrap();
    discover_all(&mut *splits).unwrap();
    let mut reader = super::reader(&spec, &BuiltInFormats).unwrap();
    let begin = std::time::Instant::now();
    let mut rows = 0;
    while let SplitAssignment::Splits(given) = splits.request_split(0, "").unwrap() {
        reader.add_splits(given).unwrap();
        let mut out = Collected::default();
        while reader.poll(&mut out).unwrap() == SourceStatus::MoreAvailable {
            rows += out.batches.drain(..).map(|batch| batch.num_rows()).sum::<usize>();
        }
    }
    println!("{rows} rows in {:?}", begin.elapsed());
}

/// Before, rows went into the folder that the TaskManager was started in.
#[test]
fn an_empty_path_is_refused_with_flinks_words() {
    for path in ["", "file:", "file://"] {
        let table = TableDescription {
            identifier: "c.d.t".into(),
            physical: two(),
            options: strings(&[("connector", "filesystem"), ("path", path), ("format", "csv")]),
            partition_keys: Vec::new(),
            primary_key: Vec::new(),
        };
        for refused in [describe_sink(&table).err(), describe_source(&table).err()] {
            let said = refused.map(|error| error.to_string()).unwrap_or_default();
            assert!(said.starts_with("Can not create a Path from an empty string"), "{path}: {said}");
        }
    }
}

/// Before, such values were in messages whole, whose ends, which say what is expected, were then cut off.
#[test]
fn messages_quote_the_beginning_of_a_long_value() {
    let long = "x".repeat(1 << 20);
    let (scheme, digits) = (format!("{long}://a"), format!("\\u{long}"));
    for (key, value, wanted) in [
        ("path", scheme.as_str(), "can be read and written"),
        ("format", long.as_str(), "in the classpath"),
        ("csv.field-delimiter", long.as_str(), "single character"),
        ("csv.field-delimiter", digits.as_str(), "4 hexadecimal digits"),
        ("sink.partition-commit.trigger", long.as_str(), "Expected 'process-time' or 'partition-time'"),
        ("sink.partition-commit.policy.kind", long.as_str(), "Unsupported policy"),
        ("partition.time-extractor.kind", long.as_str(), "Unsupported extractor kind"),
    ] {
        let mut options = strings(&[("connector", "filesystem"), ("path", "/tmp/t"), ("format", "csv")]);
        options.insert(key.to_owned(), value.to_owned());
        let table = TableDescription {
            identifier: "c.d.t".into(),
            physical: two(),
            options,
            partition_keys: vec!["b".into()],
            primary_key: Vec::new(),
        };
        let refused = describe_sink(&table).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains(wanted) && refused.len() < 4000, "{key}: {} bytes, {:.300}", refused.len(), refused);
    }
}

/// Before, reading the FIFO waited for ever: the job could not be cancelled, and the TaskManager gave itself up.
#[test]
fn what_is_no_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("a.csv"), "1,x\n2,y\n").unwrap();
    assert!(std::process::Command::new("mkfifo").arg(at("b.csv")).status().unwrap().success());
    let _socket = std::os::unix::net::UnixListener::bind(at("c.csv")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", at("d.csv")).unwrap();
    let csv = [("format", "csv")];
    assert_eq!(read(&source(folder.path(), &two(), &csv, &[]), 2).unwrap(), ["+I[1, x]", "+I[2, y]"]);
    for (name, what) in [("b.csv", "a FIFO"), ("c.csv", "a socket"), ("d.csv", "a device")] {
        let refused = read(&source(&at(name), &two(), &csv, &[]), 1).unwrap_err().to_string();
        assert!(refused.contains(what) && refused.contains(name), "{refused}");
        // A split of before, whose file was one then.
        let split = FileSplit::new(at(name).to_str().unwrap().to_owned(), 0, u64::MAX);
        assert!(split.open(&crate::input::Files::default()).is_err(), "{name}");
    }
}

/// Before, a table of CSV could read the environment of the process, and with it what `FLINK_PROPERTIES` tells it.
#[test]
fn what_the_system_tells_of_processes_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let csv = [("format", "csv")];
    fs::write(at("a.csv"), "1,x\n2,y\n").unwrap();
    std::os::unix::fs::symlink("/proc/self/environ", at("b.csv")).unwrap();
    std::os::unix::fs::symlink("/proc/self", at("c")).unwrap();
    assert_eq!(read(&source(folder.path(), &two(), &csv, &[]), 2).unwrap(), ["+I[1, x]", "+I[2, y]"]);
    for path in [Path::new("/proc/self/environ"), Path::new("/proc/self"), &at("b.csv"), &at("c"), &at("c/environ")] {
        let refused = read(&source(path, &two(), &csv, &[]), 1).unwrap_err().to_string();
        assert!(refused.contains("it lies below /proc"), "{refused}");
        // What a checkpoint or another JobManager names.
        let split = FileSplit::new(path.to_str().unwrap().to_owned(), 0, u64::MAX);
        assert!(split.open(&crate::input::Files::default()).is_err(), "{}", path.display());
    }
}

/// Failed before: the bytes that are read were counted, not those that are made of them. Of two bytes a row had gigabytes.
#[test]
fn a_batch_has_bounds_in_what_is_made_of_short_records() {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
    let columns: Vec<_> = names.iter().map(|name| (name.as_str(), TypeKind::string().nullable())).collect();
    let most = BATCH_BYTES / (300 * size_of::<u128>()) + 1;
    for (format, line) in [("json", "{}".to_owned()), ("csv", ",".repeat(299))] {
        let path = folder.path().join(format);
        fs::write(&path, format!("{line}\n").repeat(8192)).unwrap();
        let rows: Vec<usize> = batches(&source(&path, &schema(&columns), &[("format", format)], &[]), 1)
            .unwrap()
            .iter()
            .map(Batch::num_rows)
            .collect();
        assert_eq!(rows.iter().sum::<usize>(), 8192, "{format}");
        assert!(rows.iter().all(|rows| *rows <= most), "{format}: {rows:?}");
    }
}

/// Failed before: the rows of one line were one batch, and so many times was the partition in it.
#[test]
fn a_line_of_many_rows_is_many_batches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b=x");
    fs::create_dir(&path).unwrap();
    let objects: Vec<String> = (0..20_000).map(|a| format!("{{\"a\":{a}}}")).collect();
    fs::write(path.join("rows"), format!("[{}]\n{{\"a\":20000}}\n", objects.join(","))).unwrap();
    let read = batches(&source(folder.path(), &two(), &[("format", "json")], &["b"]), 1).unwrap();
    assert!(read.iter().all(|batch| batch.num_rows() <= 8192));
    let texts = |batch: &Batch| (0..batch.num_rows()).map(|row| row_text(&batch.records, row)).collect::<Vec<_>>();
    let expected: Vec<String> = (0..=20_000).map(|a| format!("+I[{a}, x]")).collect();
    assert_eq!(read.iter().flat_map(texts).collect::<Vec<_>>(), expected);
}

#[test]
fn a_text_of_a_path_is_no_value_that_only_a_function_makes() {
    for kind in [TypeKind::Variant, TypeKind::Bitmap] {
        let refused = describe_source(&TableDescription {
            identifier: "c.d.t".into(),
            physical: schema(&[("a", TypeKind::Int.nullable()), ("b", kind.clone().nullable())]),
            options: strings(&[("connector", "filesystem"), ("path", "/t"), ("format", "csv")]),
            partition_keys: vec!["b".into()],
            primary_key: Vec::new(),
        });
        let refused = refused.map(drop).unwrap_err().to_string();
        assert_eq!(refused, format!("Unsupported type '{kind}' of partition column 'b'."));
    }
}
