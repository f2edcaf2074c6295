use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use proptest::prelude::*;
use wiesel_bulk_formats::BuiltInFormats;
use wiesel_common::id::JobId;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Operator, OperatorContext, RestoredState, Result};
use wiesel_proto as proto;
use wiesel_state::keyed::{KeyedBackend, SnapshotOptions};

use crate::filesystem::tests::{read, rows_of, sink, source, two};
use crate::testing::{Collected, ManualClock, context};

mod kills;
mod many_partitions;
mod partition_commits;
mod partitions;
mod progress_files;
mod runs;
mod savepoints;
mod stores;

/// A completed checkpoint: its number, the lists of all subtasks, and how many rows came before it.
#[derive(Clone, Default)]
struct Checkpoint {
    id: u64,
    lists: HashMap<String, Vec<Bytes>>,
    rows: i32,
}

struct State<'a>(Option<&'a Checkpoint>);

impl RestoredState for State<'_> {
    fn checkpoint_id(&self) -> Option<u64> {
        self.0.map(|checkpoint| checkpoint.id)
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        unreachable!("a sink has no keyed state")
    }

    fn list(&mut self, name: &str) -> Vec<Bytes> {
        self.0.and_then(|checkpoint| checkpoint.lists.get(name).cloned()).unwrap_or_default()
    }
}

/// The subtasks of one attempt.
struct Attempt(Vec<Box<dyn Operator>>);

/// Run of the job and number of the attempt in it.
type Number = (u64, u32);

/// The run of tests that have one.
const RUN: u64 = 7;

/// Attempts of [`RUN`] so far: each has a larger number than those before.
static ATTEMPTS: AtomicU32 = AtomicU32::new(0);

fn next_number() -> Number {
    (RUN, ATTEMPTS.fetch_add(1, Ordering::Relaxed))
}

impl Attempt {
    fn start(spec: &proto::SinkSpec, parallelism: u32, clock: &Arc<ManualClock>, from: Option<&Checkpoint>) -> Self {
        Self::start_as(next_number(), spec, parallelism, clock, from)
    }

    fn start_as(
        number: Number,
        spec: &proto::SinkSpec,
        parallelism: u32,
        clock: &Arc<ManualClock>,
        from: Option<&Checkpoint>,
    ) -> Self {
        Self::start_job(context(0, 1).job_id, number, spec, parallelism, clock, from)
    }

    fn start_job(
        job_id: JobId,
        number: Number,
        spec: &proto::SinkSpec,
        parallelism: u32,
        clock: &Arc<ManualClock>,
        from: Option<&Checkpoint>,
    ) -> Self {
        Self::try_start_job(job_id, number, spec, parallelism, clock, from).unwrap()
    }

    fn try_start_job(
        job_id: JobId,
        (run, attempt_number): Number,
        spec: &proto::SinkSpec,
        parallelism: u32,
        clock: &Arc<ManualClock>,
        from: Option<&Checkpoint>,
    ) -> Result<Self> {
        let start = |subtask| -> Result<Box<dyn Operator>> {
            let mut sink = crate::factory::build_sink(spec, b"uid", &BuiltInFormats).unwrap();
            sink.restore(&mut State(from))?;
            let context = context(subtask, parallelism);
            let context = OperatorContext { job_id, run, attempt_number, clock: clock.clone(), ..context };
            sink.open(&context)?;
            Ok(sink)
        };
        Ok(Self((0..parallelism).map(start).collect::<Result<_>>()?))
    }

    fn write(&mut self, subtask: usize, rows: &[(i32, String)]) {
        let rows: Vec<_> = rows.iter().map(|(number, text)| (Some(*number), Some(text.as_str()))).collect();
        let subtask = subtask % self.0.len();
        let batch = Batch::insert_only(rows_of(&two(), &rows));
        self.0[subtask].process(0, batch, &mut Collected::default()).unwrap();
    }

    fn watermark(&mut self, subtask: usize, watermark: i64) {
        self.0[subtask].watermark(watermark, &mut Collected::default()).unwrap();
    }

    fn tick(&mut self, now: i64) {
        for sink in &mut self.0 {
            if sink.next_timer().is_some_and(|timer| timer <= now) {
                sink.processing_time(now, &mut Collected::default()).unwrap();
            }
        }
    }

    fn snapshot(&mut self, id: u64, rows: i32) -> Checkpoint {
        self.take(id, rows, false)
    }

    fn savepoint(&mut self, id: u64, rows: i32) -> Checkpoint {
        self.take(id, rows, true)
    }

    fn take(&mut self, id: u64, rows: i32, savepoint: bool) -> Checkpoint {
        let options = SnapshotOptions { checkpoint_id: id, canonical: savepoint, full: savepoint, savepoint };
        let mut checkpoint = Checkpoint { id, rows, ..Checkpoint::default() };
        for sink in &mut self.0 {
            sink.before_barrier(&mut Collected::default()).unwrap();
            let snapshot = sink.snapshot(&options).unwrap();
            for list in snapshot.lists {
                checkpoint.lists.entry(list.name).or_default().extend(list.entries);
            }
        }
        checkpoint
    }

    /// `notified`: which subtasks are, by bit.
    fn complete(&mut self, id: u64, notified: u32) {
        for (subtask, sink) in self.0.iter_mut().enumerate() {
            if notified >> subtask & 1 == 1 {
                sink.checkpoint_completed(id).unwrap();
            }
        }
    }

    fn finish(&mut self) {
        self.0.iter_mut().for_each(|sink| sink.finish(&mut Collected::default()).unwrap());
    }

    /// The tasks end and wait for no checkpoint.
    fn commit_at_end(&mut self) {
        self.0.iter_mut().for_each(|sink| sink.commit_at_end().unwrap());
    }

    fn close(&mut self) {
        self.0.iter_mut().for_each(|sink| sink.close().unwrap());
    }
}

/// All files below a folder, by their paths in it.
fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => folders.push(path),
                false => drop(found.insert(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned())),
            }
        }
    }
    found
}

fn hidden(folder: &Path) -> usize {
    files(folder).iter().filter(|path| path.rsplit('/').next().unwrap().starts_with('.')).count()
}

#[derive(Clone, Debug)]
enum Step {
    Write {
        subtask: usize,
        rows: u8,
        partition: u8,
    },
    Wait {
        millis: i64,
    },
    /// Durable, but only some subtasks are notified, by bit.
    Checkpoint {
        notified: u32,
    },
    Abort,
    /// Durable, and no subtask is notified.
    Savepoint,
    /// The attempt ends and another begins, of the same run of the job or of another. What the old one does meanwhile: nothing
    /// (killed), close, or go on for a while (2, 3); or one that was deployed after it, and was given up, begins (4).
    Restart {
        parallelism: u32,
        zombie: u8,
        new_run: bool,
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..4, 1u8..60, 0u8..3)
            .prop_map(|(subtask, rows, partition)| Step::Write { subtask, rows, partition }),
        1 => (0i64..2000).prop_map(|millis| Step::Wait { millis }),
        3 => prop_oneof![Just(0u32), Just(u32::MAX), any::<u32>()].prop_map(|notified| Step::Checkpoint { notified }),
        1 => Just(Step::Abort),
        1 => Just(Step::Savepoint),
        2 => (1u32..5, 0u8..5, any::<bool>())
            .prop_map(|(parallelism, zombie, new_run)| Step::Restart { parallelism, zombie, new_run }),
    ]
}

fn spec(folder: &Path, format: &str, partitioned: bool) -> proto::SinkSpec {
    let mut spec = sink(folder, &two(), format, if partitioned { &["b"] } else { &[] });
    let options = [("file-size", "300b"), ("rollover-interval", "1 s"), ("check-interval", "500 ms")];
    spec.options.extend(options.map(|(key, value)| (format!("sink.rolling-policy.{key}"), value.to_owned())));
    spec
}

/// Runs the steps, then ends the job with a last checkpoint. Every row must be there once, and never twice on the way. Then
/// other jobs start from the savepoints, as far as they may: their rows must be there as well.
fn exactly_once(format: &str, partitioned: bool, steps: &[Step]) {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), format, partitioned);
    let partitions: &[&str] = if partitioned { &["b"] } else { &[] };
    let visible = || read(&source(folder.path(), &two(), &[("format", format)], partitions), 1).unwrap();
    let clock = Arc::new(ManualClock::default());
    let (mut run, mut number) = (RUN, 0);
    let mut attempt = Attempt::start_as((run, number), &spec, 2, &clock, None);
    let (mut next, mut id) = (0, 0);
    let mut durable: Option<Checkpoint> = None;
    let mut savepoints = Vec::new();
    for step in steps {
        match step {
            Step::Write { subtask, rows, partition } => {
                let rows: Vec<_> = (0..i32::from(*rows)).map(|row| (next + row, format!("p{partition}"))).collect();
                next += rows.len() as i32;
                attempt.write(*subtask, &rows);
            }
            Step::Wait { millis } => {
                let now = clock.0.fetch_add(*millis, Ordering::SeqCst) + millis;
                attempt.tick(now);
            }
            Step::Checkpoint { notified } => {
                id += 1;
                durable = Some(attempt.snapshot(id, next));
                attempt.complete(id, *notified);
            }
            Step::Abort => {
                id += 1;
                attempt.snapshot(id, next);
                attempt.0.iter_mut().for_each(|sink| sink.checkpoint_aborted(id).unwrap());
            }
            Step::Savepoint => {
                id += 1;
                savepoints.push(attempt.savepoint(id, next));
            }
            Step::Restart { parallelism, zombie, new_run } => {
                if *zombie == 1 {
                    attempt.close();
                }
                let start = |number| Attempt::start_as(number, &spec, *parallelism, &clock, durable.as_ref());
                let given_up = (run, number + 1);
                // The numbers of a run begin at 0, and runs have no order.
                (run, number) = if *new_run { (run.rotate_left(9) ^ 1, 0) } else { (run, number + 2) };
                let mut old = std::mem::replace(&mut attempt, start((run, number)));
                let lost = next;
                next = durable.as_ref().map_or(0, |checkpoint| checkpoint.rows);
                if *zombie == 4 {
                    start(given_up).close();
                } else if *zombie > 1 {
                    old.write(0, &[(lost, "p0".to_owned()), (lost + 1, "p9".to_owned())]);
                    if let Some(durable) = durable.as_ref().filter(|_| *zombie == 3) {
                        old.complete(durable.id, u32::MAX);
                    }
                    old.close();
                }
            }
        }
        let rows = visible();
        let distinct: BTreeSet<&String> = rows.iter().collect();
        assert_eq!(distinct.len(), rows.len(), "rows are there twice after {step:?}");
        let committed = durable.as_ref().map_or(0, |checkpoint| checkpoint.rows);
        assert!(rows.len() as i32 <= committed, "{} rows of {committed} after {step:?}", rows.len());
    }
    attempt.finish();
    let last = attempt.snapshot(id + 1, next);
    attempt.complete(last.id, u32::MAX);
    assert!(attempt.0.iter().all(|sink| !sink.awaits_checkpoint()));
    attempt.close();
    let numbers = |rows: Vec<String>| -> BTreeSet<i32> {
        let number = |row: &String| row[3..].split([',', ']']).next().unwrap().parse().unwrap();
        rows.iter().map(number).collect()
    };
    let rows = visible();
    assert_eq!(rows.len() as i32, next);
    assert_eq!(numbers(rows), (0..next).collect());
    if savepoints.is_empty() {
        // What other runs have left is not this one's to remove.
        let of_this_run = format!(".inprogress.{run:016x}.");
        let left: Vec<String> = files(folder.path()).into_iter().filter(|path| path.contains(&of_this_run)).collect();
        assert_eq!(left, [""; 0]);
    }
    for (job, savepoint) in (100u8..).zip(&savepoints) {
        let number = (u64::from(job), 0);
        match Attempt::try_start_job(JobId([job; 16]), number, &spec, 3, &clock, Some(savepoint)) {
            Ok(mut other) => {
                other.finish();
                other.snapshot(savepoint.id + 1, savepoint.rows);
                other.complete(savepoint.id + 1, u32::MAX);
                other.close();
            }
            // A checkpoint after it has completed a file: so its rows are there.
            Err(error) => {
                assert!(format == "json" && error.to_string().contains("has completed it since, as"), "{error}")
            }
        }
        let rows = numbers(visible());
        assert!((0..savepoint.rows).all(|row| rows.contains(&row)), "rows of savepoint {} are lost", savepoint.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_row_is_committed_once_whatever_happens(
        format in prop_oneof![Just("csv"), Just("json"), Just("parquet")],
        partitioned in any::<bool>(),
        steps in prop::collection::vec(step(), 1..25),
    ) {
        exactly_once(format, partitioned, &steps);
    }
}

#[test]
fn rows_appear_with_the_checkpoint_that_follows_their_file() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "json", false);
    let clock = Arc::new(ManualClock::default());
    let mut attempt = Attempt::start(&spec, 1, &clock, None);
    let visible = || files(folder.path()).iter().filter(|path| !path.starts_with('.')).count();
    let row = |number| [(number, "x".to_owned())];
    attempt.write(0, &row(1));
    attempt.snapshot(1, 0);
    attempt.complete(1, 1);
    assert_eq!(visible(), 0, "a file that takes more rows was committed");
    clock.0.store(1_000, Ordering::SeqCst);
    attempt.tick(1_000);
    attempt.snapshot(2, 0);
    assert_eq!(visible(), 0, "committed before the checkpoint was durable");
    attempt.complete(2, 1);
    assert_eq!(visible(), 1);
    attempt.write(0, &row(2));
    attempt.finish();
    assert!(attempt.0[0].awaits_checkpoint());
    attempt.snapshot(3, 0);
    attempt.complete(3, 1);
    assert!(!attempt.0[0].awaits_checkpoint());
    assert_eq!((visible(), hidden(folder.path())), (2, 0));
}

/// Failed before: rows of CSV appeared when their file was full, old, or at the end. Without a file that takes more rows a
/// checkpoint can be restored as often as one likes.
#[test]
fn csv_and_parquet_appear_with_each_checkpoint_which_can_be_restored_again_and_again() {
    for format in ["csv", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = sink(folder.path(), &two(), format, &[]);
        let visible = || read(&source(folder.path(), &two(), &[("format", format)], &[]), 1).unwrap();
        let mut first = Attempt::start_as((3, 0), &spec, 1, &Arc::default(), None);
        first.write(0, &[(1, "x".to_owned())]);
        let checkpoint = first.snapshot(1, 1);
        assert_eq!(visible(), [""; 0], "{format}: committed before the checkpoint was durable");
        first.complete(1, 1);
        assert_eq!(visible(), ["+I[1, x]"], "{format}");
        first.close();
        for (run, row) in [(9, 2), (5, 3)] {
            let mut again = Attempt::start_as((run, 0), &spec, 1, &Arc::default(), Some(&checkpoint));
            again.write(0, &[(row, "y".to_owned())]);
            again.snapshot(2, 2);
            again.complete(2, 1);
            again.close();
        }
        assert_eq!(visible(), ["+I[1, x]", "+I[2, y]", "+I[3, y]"], "{format}");
        assert_eq!(hidden(folder.path()), 0, "{format}");
    }
}

/// Failed before: a task waited for the checkpoint after that of its end as well, and for the one after that: for ever, where
/// the next one has always begun when one is complete.
#[test]
fn a_task_waits_for_the_first_checkpoint_after_its_end_only() {
    for partitioned in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), "csv", partitioned);
        let mut attempt = Attempt::start(&spec, 2, &Arc::new(ManualClock::default()), None);
        attempt.write(0, &[(1, "x".to_owned())]);
        attempt.finish();
        attempt.snapshot(1, 0);
        attempt.snapshot(2, 0);
        attempt.snapshot(3, 0);
        attempt.complete(2, 0b11);
        assert!(attempt.0.iter().all(|sink| !sink.awaits_checkpoint()));
    }
}

#[test]
fn without_checkpoints_files_appear_when_the_task_ends() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "csv", false);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    attempt.write(0, &[(1, "x".to_owned())]);
    assert_eq!(hidden(folder.path()), 1);
    attempt.finish();
    assert_eq!(hidden(folder.path()), 1, "the task may yet stop with a savepoint that fails");
    attempt.commit_at_end();
    assert_eq!((files(folder.path()).len(), hidden(folder.path())), (1, 0));
}

/// A task that ends while a checkpoint is under way, which may yet become the one that the job starts from again: what it
/// names is there, be it under its hidden name or its own.
#[test]
fn what_a_checkpoint_names_is_found_again_after_the_task_has_committed_at_its_end() {
    for format in ["csv", "json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), format, false);
        let visible = || read(&source(folder.path(), &two(), &[("format", format)], &[]), 1).unwrap();
        let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
        attempt.write(0, &[(1, "before".to_owned())]);
        let checkpoint = attempt.snapshot(1, 1);
        attempt.write(0, &[(2, "after".to_owned())]);
        attempt.finish();
        attempt.commit_at_end();
        attempt.close();
        assert_eq!(visible().len(), 2, "{format}");
        assert_eq!(hidden(folder.path()), 0);
        // The rows after the checkpoint come once more, as in Flink; those before it are neither lost nor doubled.
        let mut restored = Attempt::start(&spec, 1, &Arc::default(), Some(&checkpoint));
        restored.write(0, &[(2, "after".to_owned())]);
        restored.finish();
        restored.commit_at_end();
        restored.close();
        assert_eq!(visible(), ["+I[1, before]", "+I[2, after]", "+I[2, after]"], "{format}");
        assert_eq!(hidden(folder.path()), 0);
    }
}

#[test]
fn an_attempt_removes_what_an_earlier_one_of_its_job_left_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "csv", true);
    let others = [".part-00000000-0000-4000-8000-000000000000-0-0.inprogress.0", ".hidden", "part-x"];
    others.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
    let mut killed = Attempt::start(&spec, 4, &Arc::default(), None);
    (0..4).for_each(|subtask| killed.write(subtask, &[(1, "x".to_owned())]));
    assert_eq!(files(folder.path()).len(), 4 + others.len());
    Attempt::start(&spec, 3, &Arc::default(), None);
    assert_eq!(files(folder.path()), others.iter().map(|name| (*name).to_owned()).collect());
}

/// Failed before: what the later one had written was removed, and its commit was taken for done. Of another run of the job it
/// was removed where that had come to fewer attempts.
#[test]
fn an_attempt_that_was_given_up_removes_nothing_of_a_later_one() {
    for (given_up, later) in [(next_number(), next_number()), ((2, 5), (1, 0)), ((1, 5), (2, 0)), ((1, 0), (2, 5))] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), "csv", false);
        let mut later = Attempt::start_as(later, &spec, 1, &Arc::default(), None);
        later.write(0, &[(1, "x".to_owned())]);
        // It was deployed first and stood still until now; its JobMaster is gone, it never hears of a checkpoint.
        let mut given_up = Attempt::start_as(given_up, &spec, 1, &Arc::default(), None);
        given_up.finish();
        given_up.commit_at_end();
        given_up.close();
        later.finish();
        later.snapshot(1, 1);
        later.complete(1, 1);
        assert_eq!(read(&source(folder.path(), &two(), &[("format", "csv")], &[]), 1).unwrap(), ["+I[1, x]"]);
    }
}

/// What may be gone and what may not.
#[test]
fn committed_files_may_be_taken_away_but_not_the_folder_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let (table, moved) = (folder.path().join("table"), folder.path().join("moved"));
    let spec = spec(&table, "parquet", true);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    attempt.write(0, &[(1, "x".to_owned())]);
    let checkpoint = attempt.snapshot(1, 1);
    attempt.complete(1, 1);
    let restore = |from: &Checkpoint| {
        let mut sink = crate::factory::build_sink(&spec, b"uid", &BuiltInFormats).unwrap();
        sink.restore(&mut State(Some(from))).unwrap();
        sink.open(&context(0, 1)).map_err(|error| error.to_string())
    };
    assert_eq!(restore(&checkpoint), Ok(()));
    fs::rename(&table, &moved).unwrap();
    // Failed before: it was taken for committed.
    let error = restore(&checkpoint).unwrap_err();
    assert!(error.contains("the folder of its table is not there"), "{error}");
    fs::create_dir(&table).unwrap();
    assert_eq!(restore(&checkpoint), Ok(()), "readers take partitions away");
}

#[test]
fn a_file_that_is_gone_before_it_is_committed_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "csv", false);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    attempt.write(0, &[(1, "x".to_owned())]);
    attempt.finish();
    attempt.snapshot(1, 1);
    fs::remove_file(folder.path().join(files(folder.path()).first().unwrap())).unwrap();
    let error = attempt.0[0].checkpoint_completed(1).unwrap_err();
    assert!(error.to_string().contains("inprogress"), "{error}");
}

/// Before, "File exists" was all that was said of it.
#[test]
fn a_file_or_a_device_in_the_place_of_the_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for (root, below) in [(&file, ""), (&file, "p=1"), (&std::path::PathBuf::from("/dev/null"), "")] {
        let directory = root.join(below);
        let error = fs::create_dir_all(&directory).unwrap_err();
        let said = super::part_file::no_folder(&directory, error).to_string();
        assert!(said.contains(&format!("{} is a file or a device, no folder", root.display())), "{said}");
    }
}

#[test]
fn a_file_of_the_checkpoint_that_is_not_what_it_was_is_an_error() {
    // One that waits for its name, and one that takes more rows.
    for format in ["csv", "json"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), format, false);
        let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
        attempt.write(0, &[(1, "long enough".to_owned())]);
        let checkpoint = attempt.snapshot(1, 0);
        drop(attempt);
        let only = folder.path().join(files(folder.path()).first().unwrap());
        fs::write(&only, "1").unwrap();
        let mut sink = crate::factory::build_sink(&spec, b"uid", &BuiltInFormats).unwrap();
        sink.restore(&mut State(Some(&checkpoint))).unwrap();
        let error = sink.open(&context(0, 1)).unwrap_err().to_string();
        assert!(error.contains(only.to_str().unwrap()) && error.contains("of the restored checkpoint"), "{error}");
    }
}

fn committed(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter_map(|path| path.strip_suffix("/_SUCCESS").map(str::to_owned)).collect()
}

fn partition_spec(folder: &Path, options: &[(&str, &str)]) -> proto::SinkSpec {
    partition_spec_of(folder, "csv", options)
}

fn partition_spec_of(folder: &Path, format: &str, options: &[(&str, &str)]) -> proto::SinkSpec {
    let mut spec = sink(folder, &two(), format, &["b"]);
    spec.options.insert("sink.partition-commit.policy.kind".into(), "success-file".into());
    spec.options.extend(options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    spec
}
