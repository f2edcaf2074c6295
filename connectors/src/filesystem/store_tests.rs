//! Tables in a store.
use std::path::Path;

use arrow::array::AsArray;
use arrow::datatypes::{Int64Type, TimestampMillisecondType};
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_common::filesystem::memory::MemoryBucket;
use wiesel_expressions::types::RowField;
use wiesel_operators::operator::Result;
use wiesel_operators::source::{SourceStatus, SplitAssignment};
use wiesel_proto as proto;

use super::split::FileSplit;
use super::tests::{batches, read, source, two};
use super::*;
use crate::testing::{Collected, context, discover_all, enumerator_context};

/// A bucket, and how a job of it sees it.
struct Bucket {
    name: String,
    files: Files,
}

impl Bucket {
    fn new(name: &str) -> Self {
        MemoryBucket::mount(name);
        let context = context(0, 1);
        Self { name: name.to_owned(), files: Files::new(context.configuration, context.runtime) }
    }

    fn uri(&self, path: &str) -> String {
        format!("s3://{}/{path}", self.name)
    }

    fn put(&self, path: &str, content: impl Into<Vec<u8>>) {
        let location = self.files.location(&self.uri(path)).unwrap();
        self.files.wait(location.write(content.into().into())).unwrap();
    }

    fn read(&self, path: &str, format: &str, columns: &[RowField], partitions: &[&str]) -> Result<Vec<String>> {
        read(&self.source(path, format, columns, partitions), 2)
    }

    fn source(&self, path: &str, format: &str, columns: &[RowField], partitions: &[&str]) -> proto::SourceSpec {
        source(Path::new(&self.uri(path)), columns, &[("format", format)], partitions)
    }
}

#[test]
fn a_table_is_what_is_below_its_path_but_what_is_hidden() {
    let bucket = Bucket::new("a-table");
    for (path, text) in [
        ("t/b=x/1.csv", "1\n2\n"),
        ("t/b=x/1.csv ", "0\n"),
        ("t/b=y%3Az/2.csv", "3\n"),
        ("t/b=y%3Az/_SUCCESS", ""),
        ("t/.part", "4\n"),
        ("t/_temporary/b=x/5.csv", "5\n"),
        ("t/b=w", ""),
        ("tt/b=x/6.csv", "6\n"),
    ] {
        bucket.put(path, text);
    }
    // Failed before: the file whose name ends with a space was looked for without it, and another one was read twice.
    let rows = ["+I[0, x]", "+I[1, x]", "+I[2, x]", "+I[3, y:z]"];
    assert_eq!(bucket.read("t", "csv", &two(), &["b"]).unwrap(), rows);
    assert_eq!(bucket.read("t/ ", "csv", &two(), &["b"]).unwrap(), rows);
    assert_eq!(bucket.read("t/b=x/1.csv", "csv", &two(), &["b"]).unwrap(), rows[1..3]);
    let mut some = bucket.source("t", "csv", &two(), &["b"]);
    some.options.insert("source.path.regex-pattern".into(), ".*/b=x/.*".into());
    assert_eq!(read(&some, 1).unwrap(), rows[..3]);
    let missing = bucket.read("nothing", "csv", &two(), &[]).unwrap_err().to_string();
    assert!(missing.starts_with("File s3://a-table/nothing does not exist"), "{missing}");
}

#[test]
fn a_large_file_is_read_in_parts_and_a_compressed_one_whole() {
    use std::io::Write;
    let bucket = Bucket::new("large-files");
    let line = |number: usize| format!("{number},{}\n", "x".repeat(1000));
    let text: String = (0..30_000).map(line).collect();
    bucket.put(
        "t/large.json",
        text.lines()
            .map(|line| {
                let (a, b) = line.split_once(',').unwrap();
                format!("{{\"a\":{a},\"b\":\"{b}\"}}\n")
            })
            .collect::<String>(),
    );
    let rows = bucket.read("t", "json", &two(), &[]).unwrap();
    assert_eq!(rows.len(), 30_000);
    let distinct: std::collections::BTreeSet<&String> = rows.iter().collect();
    assert_eq!(distinct.len(), 30_000);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    bucket.put("z/large.csv.gz", gzip.finish().unwrap());
    assert_eq!(bucket.read("z", "csv", &two(), &[]).unwrap(), rows);
}

/// Failed before: the time was made of a hash of the ETag.
#[test]
fn a_row_knows_when_its_file_was_modified() {
    let bucket = Bucket::new("modified");
    for (path, format, content) in [("t/1.csv", "csv", "1,a\n"), ("t/1.json", "json", "{\"a\":1}\n")] {
        bucket.put(path, content);
        let status = bucket.files.wait(bucket.files.location(&bucket.uri(path)).unwrap().status()).unwrap();
        let mut spec = bucket.source(path, format, &two(), &[]);
        spec.metadata = ["file.size", "file.modification-time"].map(str::to_owned).into();
        spec.projection = [2, 3].map(|index| proto::FieldPath { indexes: vec![index] }).into();
        let mut reader = super::reader(&spec, &BuiltInFormats).unwrap();
        reader.open(&context(0, 1)).unwrap();
        reader.add_splits(vec![FileSplit::new(bucket.uri(path), 0, u64::MAX).encode()]).unwrap();
        let mut out = Collected::default();
        reader.poll(&mut out).unwrap();
        let columns = out.batches[0].records.columns();
        assert_eq!(columns[0].as_primitive::<Int64Type>().value(0), content.len() as i64);
        let modified = columns[1].as_primitive::<TimestampMillisecondType>().value(0);
        assert_eq!(modified, status.modified / 1_000_000);
        assert!(modified > 1_700_000_000_000, "{modified} is no time of a new file");
    }
}

/// What a checkpoint keeps of a file of a store is a hash of its ETag: it is no time.
#[test]
fn a_row_knows_its_file_in_the_store_and_when_that_was_written() {
    let bucket = Bucket::new("row-knows-its-file");
    bucket.put("t/b=x/1.csv", "1\n");
    let mut spec = bucket.source("t", "csv", &two(), &["b"]);
    let keys = ["file.path", "file.name", "file.size", "file.modification-time"];
    spec.metadata = keys.map(str::to_owned).into();
    spec.projection = (0..6).map(|index| proto::FieldPath { indexes: vec![index] }).collect();
    let batches = batches(&spec, 1).unwrap();
    let rows = &batches[0].records;
    assert_eq!(rows.column(2).as_string_view().value(0), "/t/b=x/1.csv");
    assert_eq!(rows.column(3).as_string_view().value(0), "1.csv");
    assert_eq!(rows.column(4).as_primitive::<Int64Type>().value(0), 2);
    let status = bucket.files.wait(bucket.files.location(&bucket.uri("t/b=x/1.csv")).unwrap().status()).unwrap();
    assert!(status.e_tag.is_some() && status.modified > 0);
    let time = rows.column(5).as_primitive::<TimestampMillisecondType>().value(0);
    assert_eq!(time, status.modified / 1_000_000);
}

/// A position in a file means nothing in another one.
#[test]
fn a_file_that_was_replaced_since_the_checkpoint_is_an_error() {
    let bucket = Bucket::new("replaced-since");
    bucket.put("t/1.csv", "1,a\n2,b\n");
    let spec = bucket.source("t/1.csv", "csv", &two(), &[]);
    let start = |splits: Vec<bytes::Bytes>| {
        let mut reader = super::reader(&spec, &BuiltInFormats).unwrap();
        reader.open(&context(0, 1)).unwrap();
        reader.add_splits(splits).unwrap();
        reader
    };
    let mut reader = start(vec![FileSplit::new(bucket.uri("t/1.csv"), 0, u64::MAX).encode()]);
    let taken = reader.snapshot().unwrap();
    let mut out = Collected::default();
    reader.poll(&mut out).unwrap();
    assert_eq!(out.batches[0].num_rows(), 2);
    let mut again = start(taken);
    again.poll(&mut Collected::default()).unwrap();

    // One that is on its way.
    let long: String = (0..400_000).map(|row| format!("{row},x\n")).collect();
    bucket.put("t/1.csv", long.clone());
    let mut reader = start(vec![FileSplit::new(bucket.uri("t/1.csv"), 0, u64::MAX).encode()]);
    reader.poll(&mut Collected::default()).unwrap();
    let left = reader.snapshot().unwrap();
    start(left.clone()).poll(&mut Collected::default()).unwrap();
    bucket.put("t/1.csv", long);
    let error = start(left).poll(&mut Collected::default()).unwrap_err().to_string();
    assert!(error.contains("was changed after the restored checkpoint") && error.contains("its ETag"), "{error}");
}

/// Failed before: the reader took whatever was there when it came to the split, and two readers of a file the parts of two.
#[test]
fn an_object_that_is_replaced_after_it_was_listed_is_an_error_that_names_it() {
    let bucket = Bucket::new("replaced-after-listing");
    let lines = |rows: usize| format!("{{\"a\":1,\"b\":\"{}\"}}\n", "x".repeat(1000)).repeat(rows);
    bucket.put("t/1.json", lines(30_000));
    let spec = bucket.source("t", "json", &two(), &[]);
    let runtime = context(0, 1).runtime;
    let _entered = runtime.enter();
    let mut enumerator = super::enumerator(&spec, enumerator_context(1)).unwrap();
    discover_all(&mut *enumerator).unwrap();
    let mut next = || match enumerator.request_split(0, "").unwrap() {
        SplitAssignment::Splits(splits) => splits,
        other => panic!("{other:?}"),
    };
    let start = |splits: Vec<bytes::Bytes>| {
        let mut reader = super::reader(&spec, &BuiltInFormats).unwrap();
        reader.open(&context(0, 1)).unwrap();
        reader.add_splits(splits).unwrap();
        reader
    };
    let mut first = start(next());
    first.poll(&mut Collected::default()).unwrap();
    let mut second = start(next());
    // Of the same length, and with the same content: what the store calls it is another name.
    bucket.put("t/1.json", lines(30_000));
    let error = second.poll(&mut Collected::default()).unwrap_err().to_string();
    let words = format!("file {} was replaced or written to after it was found", bucket.uri("t/1.json"));
    assert!(error.starts_with(&words) && error.contains("its ETag"), "{error}");
    // A reader that is on its way hears of it with its next request.
    let error = loop {
        match first.poll(&mut Collected::default()) {
            Ok(SourceStatus::MoreAvailable) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(error.contains(&bucket.uri("t/1.json")) && error.contains("replaced by another one"), "{error}");
}

#[test]
fn a_path_of_no_known_store_is_refused_when_the_table_is_described() {
    let describe = |path: &str| {
        let options = [("connector", "filesystem"), ("path", path), ("format", "csv")];
        let table = TableDescription {
            identifier: "c.d.t".into(),
            physical: two(),
            options: options.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect(),
            partition_keys: Vec::new(),
            primary_key: Vec::new(),
        };
        describe_source(&table).map(drop).map_err(|error| error.to_string())
    };
    assert_eq!(describe("s3://bucket/a/b"), Ok(()));
    assert_eq!(describe("s3a://bucket"), Ok(()));
    assert!(describe("s3:///a").unwrap_err().contains("it names no bucket"));
    let unknown = describe("hdfs://h/a").unwrap_err();
    assert!(unknown.contains("scheme 'hdfs'") && unknown.contains("s3://"), "{unknown}");
}
