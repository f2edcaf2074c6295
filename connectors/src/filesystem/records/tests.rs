use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use bytes::Bytes;
use proptest::prelude::*;
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_common::ending;
use wiesel_expressions::types::to_arrow_schema;
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto as proto;

use super::super::split::FileSplit;
use super::super::tests::{source, two};
use super::{BATCH_BYTES, CHUNK, LONGEST_RECORD, OpenFile};
use crate::formats::{Decoder, Format};
use crate::options::Options;
use crate::print::row_text;
use crate::testing::Collected;

/// A reader that goes on with these splits, and gets no others.
fn reader(spec: &proto::SourceSpec, splits: Vec<Bytes>) -> Box<dyn SourceReader> {
    let mut reader = super::super::reader(spec, &BuiltInFormats).unwrap();
    reader.add_splits(splits).unwrap();
    reader.no_more_splits();
    reader
}

/// What one poll gives.
fn poll(reader: &mut dyn SourceReader) -> Result<(SourceStatus, Vec<String>)> {
    let mut out = Collected::default();
    let status = reader.poll(&mut out)?;
    let mut rows = Vec::new();
    for batch in &out.batches {
        rows.extend((0..batch.num_rows()).map(|row| row_text(&batch.records, row)));
    }
    Ok((status, rows))
}

/// All rows that are left, and how many polls they took.
fn drain(reader: &mut dyn SourceReader) -> Result<(Vec<String>, usize)> {
    let (mut found, mut polls) = (Vec::new(), 0);
    loop {
        let (status, rows) = poll(reader)?;
        found.extend(rows);
        polls += 1;
        if status == SourceStatus::EndOfInput {
            return Ok((found, polls));
        }
    }
}

/// What the reader says when its task is to end.
fn told_to_end(reader: &mut dyn SourceReader) -> Option<Error> {
    let _told = ending::register(Arc::new(true.into()));
    poll(reader).err()
}

fn whole(path: &Path) -> Vec<Bytes> {
    vec![FileSplit::new(path.to_str().unwrap().to_owned(), 0, u64::MAX).encode()]
}

/// Files of 40 MiB of comments and a row behind them, one of which is compressed, and the table of each.
fn comments(folder: &Path) -> Vec<(PathBuf, proto::SourceSpec)> {
    let text = format!("{}1,x\n", format!("#{}\n", "c".repeat(1022)).repeat(40 << 10));
    let (plain, compressed) = (folder.join("t.csv"), folder.join("t.csv.zst"));
    fs::write(&plain, &text).unwrap();
    fs::write(&compressed, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
    let comments = [("format", "csv"), ("csv.allow-comments", "true")];
    let with_table = |path: PathBuf| {
        let spec = source(&path, &two(), &comments, &[]);
        (path, spec)
    };
    [plain, compressed].map(with_table).into()
}

/// Failed before: a poll went on until there was a row. Neither barriers nor a cancellation got through, for as long as a file went
/// on without rows; 100 GB of blank lines have 4 MB when they are compressed.
#[test]
fn a_stretch_without_rows_is_read_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    for (path, spec) in comments(folder.path()) {
        let mut first = reader(&spec, whole(&path));
        assert!(matches!(told_to_end(&mut *first), Some(Error::Cancelled)), "{}", path.display());
        let mut first = reader(&spec, whole(&path));
        assert_eq!(poll(&mut *first).unwrap(), (SourceStatus::MoreAvailable, Vec::new()), "{}", path.display());
        // A barrier finds how far it is.
        let position = FileSplit::decode(&first.snapshot().unwrap()[0]).unwrap().resume.unwrap().position;
        assert!((1 << 20..32 << 20).contains(&position), "{position}");
        let (rows, polls) = drain(&mut *first).unwrap();
        assert!(rows == ["+I[1, x]"] && polls > 2, "{rows:?} in {polls} polls");
    }
}

/// Failed before: all that was read before the checkpoint was unpacked in one poll.
#[test]
fn a_compressed_file_is_entered_in_turns() {
    let folder = tempfile::tempdir().unwrap();
    let (path, spec) = comments(folder.path()).pop().unwrap();
    let mut first = reader(&spec, whole(&path));
    (0..2).for_each(|_| assert!(poll(&mut *first).unwrap().1.is_empty()));
    let splits = first.snapshot().unwrap();
    assert!(FileSplit::decode(&splits[0]).unwrap().resume.unwrap().position as usize >= 2 * (BATCH_BYTES - CHUNK));
    assert!(matches!(told_to_end(&mut *reader(&spec, splits.clone())), Some(Error::Cancelled)));
    let mut restored = reader(&spec, splits.clone());
    assert_eq!(poll(&mut *restored).unwrap(), (SourceStatus::MoreAvailable, Vec::new()));
    // A barrier on the way there finds what was restored.
    assert_eq!(restored.snapshot().unwrap(), splits);
    assert_eq!(drain(&mut *restored).unwrap().0, ["+I[1, x]"]);
    assert_eq!(drain(&mut *first).unwrap().0, ["+I[1, x]"]);
}

/// Failed before: the line was read to its end, however long, in one poll, and then there was no row.
#[test]
fn a_split_within_a_record_that_is_too_long_fails_as_the_one_before_does() {
    const START: u64 = 8 << 20;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    File::create(&path).unwrap().set_len(START + LONGEST_RECORD as u64 + (64 << 20)).unwrap();
    let spec = source(&path, &two(), &[("format", "json")], &[]);
    let split = FileSplit::new(path.to_str().unwrap().to_owned(), START, u64::MAX).encode();
    let mut within = reader(&spec, vec![split.clone()]);
    assert!(matches!(told_to_end(&mut *within), Some(Error::Cancelled)));
    let mut within = reader(&spec, vec![split.clone()]);
    assert_eq!(poll(&mut *within).unwrap(), (SourceStatus::MoreAvailable, Vec::new()));
    assert_eq!(within.snapshot().unwrap(), [split]);
    for (mut reader, offset) in [(within, START - 1), (reader(&spec, whole(&path)), 0)] {
        let error = drain(&mut *reader).unwrap_err().to_string();
        let wanted = format!("has a record of more than {LONGEST_RECORD} bytes at offset {offset}");
        assert!(error.contains("t.json") && error.ends_with(&wanted), "{error}");
    }
}

/// Failed before: a line of CSV may end with a carriage return alone, but a part of a file began behind the next line feed. The rows
/// up to there were in no part.
#[test]
fn a_cut_anywhere_leaves_each_row_in_one_part() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    let csv = [("format", "csv"), ("csv.disable-quote-character", "true"), ("csv.allow-comments", "true")];
    let cases: [(&[(&str, &str)], &str); 4] = [
        (&csv, "1,a\r2,b\r\n3,c\n#4\r#5\r\n6,f\r"),
        (&csv, "1,a\r\n2,b\r\n3,c\r\n6,f\r\n"),
        (&csv, "1,a\r2,b\r3,c\r6,f"),
        (
            &[("format", "json")],
            "{\"a\":1,\"b\":\"a\"}\r\n{\"a\":2,\r\"b\":\"b\"}\n{\"a\":3,\"b\":\"c\"}\n{\"a\":6,\"b\":\"f\"}",
        ),
    ];
    for (options, text) in cases {
        fs::write(&path, text).unwrap();
        let spec = source(&path, &two(), options, &[]);
        let part = |start, end| FileSplit::new(path.to_str().unwrap().to_owned(), start, end).encode();
        for cut in 1..text.len() as u64 {
            let (rows, _) = drain(&mut *reader(&spec, vec![part(0, cut), part(cut, u64::MAX)])).unwrap();
            assert_eq!(rows, ["+I[1, a]", "+I[2, b]", "+I[3, c]", "+I[6, f]"], "{text:?} cut at {cut}");
        }
    }
}

/// Failed before, as above, for a carriage return whose line feed comes with the next bytes that are read.
#[test]
fn a_line_end_may_be_read_in_two_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.csv");
    // What is read first ends behind the carriage return.
    fs::write(&path, format!("1,{}\r\n2,b\r3,c", "a".repeat(CHUNK - 2))).unwrap();
    let spec = source(&path, &two(), &[("format", "csv"), ("csv.disable-quote-character", "true")], &[]);
    let part = FileSplit::new(path.to_str().unwrap().to_owned(), 2, u64::MAX).encode();
    assert_eq!(drain(&mut *reader(&spec, vec![part])).unwrap().0, ["+I[2, b]", "+I[3, c]"]);
}

/// A format that takes any text: what cannot be read is null or left out.
fn lenient(name: &str, options: &[(&str, &str)]) -> Format {
    let mut all: BTreeMap<String, String> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.insert(format!("{name}.ignore-parse-errors"), "true".to_owned());
    Format::new(name, Options::new(&all), two()).map_err(|error| error.0).unwrap()
}

/// The rows that the decoder has.
fn taken(decoder: &mut dyn Decoder) -> Vec<String> {
    let batch = decoder.batch();
    if batch.rows() == 0 {
        return Vec::new();
    }
    let records = RecordBatch::try_new(to_arrow_schema(&two()), batch.finish()).unwrap();
    (0..records.num_rows()).map(|row| row_text(&records, row)).collect()
}

/// The rows of a text of which so many bytes come first, and the others then.
fn rows_in_two_pieces(format: &Format, text: &[u8], first: usize) -> Vec<String> {
    let mut decoder = format.decoder(vec![0, 1]).unwrap();
    let consumed = decoder.decode(&text[..first], false, usize::MAX, usize::MAX).unwrap().consumed;
    let rest = decoder.decode(&text[consumed..], true, usize::MAX, usize::MAX).unwrap();
    assert_eq!(consumed + rest.consumed, text.len());
    taken(decoder.as_mut())
}

/// The parts of a file, of so many bytes, as the enumerator makes them.
fn parts(format: &Format, length: u64, size: u64) -> Vec<(u64, u64)> {
    let (mut parts, mut start) = (Vec::new(), 0);
    while format.is_splittable() && start + size < length {
        parts.push((start, start + size));
        start += size;
    }
    parts.push((start, u64::MAX));
    parts
}

/// The rows of these parts of a file. Each record is read by a reader of its own, from what the one before left.
fn rows_of_parts(format: &Format, path: &Path, parts: &[(u64, u64)]) -> Vec<String> {
    let mut decoder = format.decoder(vec![0, 1]).unwrap();
    let mut rows = Vec::new();
    for (start, end) in parts {
        let mut split = FileSplit::new(path.to_str().unwrap().to_owned(), *start, *end);
        loop {
            let mut file = OpenFile::open(split, &crate::input::Files::default()).unwrap();
            let done = file.read(decoder.as_mut(), 1).unwrap();
            rows.append(&mut taken(decoder.as_mut()));
            if done {
                break;
            }
            split = FileSplit::decode(&file.unread().encode()).unwrap();
        }
    }
    rows
}

/// Fails unless each row of a text is read once, wherever a buffer or a part of the file ends, and wherever a checkpoint is restored.
fn check_each_row_is_read_once(format: &Format, text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t");
    fs::write(&path, text).unwrap();
    let wanted = rows_in_two_pieces(format, text.as_bytes(), 0);
    for size in 1..=text.len() {
        let found = rows_in_two_pieces(format, text.as_bytes(), size);
        assert_eq!(found, wanted, "{text:?}: first {size} bytes, then the others");
        let parts = parts(format, text.len() as u64, size as u64);
        assert_eq!(rows_of_parts(format, &path, &parts), wanted, "{text:?} in the parts {parts:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_row_of_csv_is_read_once(text in "[12a,\u{e9}\n\r# \"\\\\]{0,24}") {
        let no_quote = ("csv.disable-quote-character", "true");
        let comments = ("csv.allow-comments", "true");
        let tables: [&[(&str, &str)]; 4] = [
            &[no_quote],
            &[no_quote, comments],
            &[comments, ("csv.escape-character", "\\"), ("csv.field-delimiter", "\u{e9}")],
            // A line feed that ends no line.
            &[no_quote, ("csv.escape-character", "\n")],
        ];
        for options in tables {
            check_each_row_is_read_once(&lenient("csv", options), &text);
        }
    }

    #[test]
    fn each_row_of_json_is_read_once(
        pieces in prop::collection::vec(
            prop::sample::select(vec!["{\"a\":1}", "[{},{\"b\":\"\u{e9}\"}]", "\n", "\r\n", "\r", " ", "x"]),
            0..9,
        ),
    ) {
        check_each_row_is_read_once(&lenient("json", &[]), &pieces.concat());
    }
}
