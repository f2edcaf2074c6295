//! Rows that go to many partitions in turn: one file of a partition takes all that come before a checkpoint.
use std::collections::BTreeMap;

use arrow::array::{Int32Array, RecordBatch, StringViewArray};
use parking_lot::{Mutex, MutexGuard};
use wiesel_common::process::{most_open_files, raise_open_files};
use wiesel_expressions::types::to_arrow_schema;

use super::stores::Store;
use super::*;
use crate::filesystem::sink::open_files;

const PARTITIONS: i32 = 1000;
const BATCHES: i32 = 5;

/// Each batch has a row of each partition.
fn write_in_turn(attempt: &mut Attempt, partitions: i32, batches: i32) {
    for batch in 0..batches {
        let row = |partition| (batch * partitions + partition, format!("p{partition}"));
        attempt.write(0, &(0..partitions).map(row).collect::<Vec<_>>());
    }
}

/// How many files each partition has.
fn files_of_partitions(paths: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for path in paths {
        let (partition, _) = path.split_once('/').unwrap();
        *found.entry(partition.to_owned()).or_default() += 1;
    }
    found
}

/// The tests lean on descriptors as a TaskManager has them, and each takes a good part of them.
fn with_descriptors() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    raise_open_files();
    assert!(most_open_files() >= 16_384, "a hard limit of {} descriptors is too low here", most_open_files());
    ONE_AT_A_TIME.lock()
}

/// Failed before: 64 files were open, and each of the others was closed with the rows of one batch: 5,000 files of a row each.
#[test]
fn a_thousand_partitions_written_in_turn_have_one_file_each() {
    let _descriptors = with_descriptors();
    for format in ["csv", "json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = sink(folder.path(), &two(), format, &["b"]);
        let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
        write_in_turn(&mut attempt, PARTITIONS, BATCHES);
        attempt.finish();
        attempt.snapshot(1, PARTITIONS * BATCHES);
        attempt.complete(1, 1);
        attempt.close();
        let found = files_of_partitions(files(folder.path()));
        assert_eq!(found.len() as i32, PARTITIONS, "{format}");
        assert!(found.values().all(|files| *files == 1), "{format}: {found:?}");
        let rows = read(&source(folder.path(), &two(), &[("format", format)], &["b"]), 2).unwrap();
        assert_eq!(rows.len() as i32, PARTITIONS * BATCHES, "{format}");
    }
}

#[test]
fn a_thousand_partitions_in_a_store_have_one_file_each() {
    let _descriptors = with_descriptors();
    let store = Store::new("many-partitions");
    let spec = sink(Path::new(&store.root()), &two(), "csv", &["b"]);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    write_in_turn(&mut attempt, PARTITIONS, BATCHES);
    attempt.snapshot(1, PARTITIONS * BATCHES);
    attempt.complete(1, 1);
    attempt.close();
    let found = files_of_partitions(store.objects());
    assert_eq!(found.len() as i32, PARTITIONS);
    assert!(found.values().all(|files| *files == 1), "{found:?}");
}

/// Beyond what may be open the file that was not written to for the longest time takes no more rows, and no row is lost.
#[test]
fn more_partitions_than_files_may_be_open_get_more_files() {
    const BATCHES: i32 = 2;
    let _descriptors = with_descriptors();
    let partitions = open_files::MOST as i32 + 10;
    let folder = tempfile::tempdir().unwrap();
    let spec = sink(folder.path(), &two(), "csv", &["b"]);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    write_in_turn(&mut attempt, partitions, BATCHES);
    attempt.snapshot(1, partitions * BATCHES);
    attempt.complete(1, 1);
    attempt.close();
    let found = files_of_partitions(files(folder.path()));
    assert_eq!(found.len() as i32, partitions);
    let most = found.values().copied().max();
    assert_eq!(most, Some(BATCHES as usize), "{found:?}");
    let rows = read(&source(folder.path(), &two(), &[("format", "csv")], &["b"]), 2).unwrap();
    assert_eq!(rows.into_iter().collect::<BTreeSet<_>>().len() as i32, partitions * BATCHES);
}

/// Failed before: of a long text 16 bytes counted, so that all rows until the checkpoint were kept in memory.
#[test]
fn rows_of_parquet_are_written_when_they_take_too_much_memory() {
    let folder = tempfile::tempdir().unwrap();
    let columns = vec![two()[1].clone(), two()[0].clone()];
    let spec = sink(folder.path(), &columns, "parquet", &["a"]);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    // Of 64 KiB, which compression does not make much shorter.
    let part = |number: u64| format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()));
    let texts: Vec<String> = (0..64).map(|row| (0..4096).map(|at| part(row * 4096 + at)).collect()).collect();
    for batch in 0..20 {
        let texts: StringViewArray = texts.iter().map(|text| Some(text.as_str())).collect();
        let numbers: Int32Array = (0..64).map(|row| Some(row % 2)).collect();
        let rows = RecordBatch::try_new(to_arrow_schema(&columns), vec![Arc::new(texts), Arc::new(numbers)]).unwrap();
        attempt.0[0].process(0, Batch::insert_only(rows), &mut Collected::default()).unwrap();
        let length = |path: &String| fs::metadata(folder.path().join(path)).unwrap().len();
        let written: u64 = files(folder.path()).iter().map(length).sum();
        // With the sixteenth batch of 4 MiB they are more than may wait.
        assert_eq!(written > 1 << 20, batch >= 15, "{written} bytes after batch {batch}");
    }
    attempt.finish();
    attempt.snapshot(1, 1280);
    attempt.complete(1, 1);
    attempt.close();
    assert_eq!(files_of_partitions(files(folder.path())).into_values().collect::<Vec<_>>(), [1, 1]);
}
