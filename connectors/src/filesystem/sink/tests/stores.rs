//! Tables in a store: files are uploads in parts, which their commit completes.
use std::time::Duration;

use wiesel_common::filesystem::memory::MemoryBucket;
use wiesel_common::filesystem::unmount;
use wiesel_operators::sink::CommitRequest;

use super::*;
use crate::filesystem::path::Root;
use crate::filesystem::sink::state::{Committable, Upload};
use crate::filesystem::sink::table_folder::TableFolder;
use crate::filesystem::sink::upload::PartUpload;
use crate::filesystem::sink::uploads;
use crate::input::Files;

pub(super) struct Store {
    name: String,
    bucket: MemoryBucket,
}

impl Store {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), bucket: MemoryBucket::mount(name) }
    }

    pub(super) fn root(&self) -> String {
        format!("s3://{}/t", self.name)
    }

    fn spec(&self, format: &str, partitions: &[&str]) -> proto::SinkSpec {
        sink(Path::new(&self.root()), &two(), format, partitions)
    }

    fn rows(&self, format: &str, partitions: &[&str]) -> Vec<String> {
        let spec = source(Path::new(&self.root()), &two(), &[("format", format)], partitions);
        match read(&spec, 1) {
            Ok(rows) => rows,
            Err(error) if error.to_string().contains("does not exist") => Vec::new(),
            Err(error) => panic!("{error}"),
        }
    }

    /// What is in an object below the table.
    pub(super) fn text(&self, path: &str) -> String {
        let files = files_of();
        let object = files.location(&format!("{}/{path}", self.root())).unwrap();
        String::from_utf8(files.wait(object.read_at_most(1 << 20)).unwrap().into()).unwrap()
    }

    /// Puts one there.
    pub(super) fn put(&self, path: &str, text: &'static str) {
        let files = files_of();
        let object = files.location(&format!("{}/{path}", self.root())).unwrap();
        files.wait(object.write(text.into())).unwrap();
    }

    /// The paths of all objects below the table.
    pub(super) fn objects(&self) -> BTreeSet<String> {
        let files = files_of();
        let location = files.location(&self.root()).unwrap();
        let mut below = location.files_below().unwrap();
        let page = files.wait(below.next_page()).unwrap().unwrap();
        let prefix = format!("{}/", self.root());
        page.into_iter().map(|found| found.uri.strip_prefix(&prefix).unwrap().to_owned()).collect()
    }

    /// Waits until the uploads that were given up are gone.
    pub(super) fn await_no_uploads(&self) {
        for _ in 0..2_000_000 {
            if self.bucket.unfinished().is_empty() {
                return;
            }
            std::thread::yield_now();
        }
        panic!("left: {:?}", self.bucket.unfinished());
    }
}

/// Failed before: a task that was told to end did not wait for what it had to ask the store, and left the files.
#[test]
fn a_job_that_is_cancelled_leaves_no_progress_files_in_a_slow_store() {
    let name = "slow-progress";
    let store = Store { name: name.to_owned(), bucket: MemoryBucket::mount_slow(name, Duration::from_millis(150)) };
    let mut spec = store.spec("csv", &["b"]);
    spec.options.insert("sink.partition-commit.policy.kind".into(), "success-file".into());
    spec.options.insert("sink.partition-commit.delay".into(), "1 h".into());
    let mut attempt = Attempt::start(&spec, 2, &Arc::default(), None);
    attempt.write(0, &row(1, "x"));
    attempt.snapshot(1, 1);
    attempt.complete(1, 0b11);
    let progress = || store.objects().into_iter().filter(|path| path.starts_with('.')).count();
    assert_eq!(progress(), 2);
    {
        let _told = wiesel_common::ending::register(Arc::new(true.into()));
        attempt.close();
    }
    assert_eq!(progress(), 0, "{:?}", store.objects());
    assert_eq!(store.rows("csv", &["b"]), ["+I[1, x]"]);
}

impl Drop for Store {
    fn drop(&mut self) {
        unmount(&self.name);
    }
}

fn files_of() -> Files {
    let context = context(0, 1);
    Files::new(context.configuration, context.runtime)
}

fn row(number: i32, partition: &str) -> [(i32, String); 1] {
    [(number, partition.to_owned())]
}

/// As `super::exactly_once`: every row is there once, and never twice on the way.
fn exactly_once(format: &str, partitioned: bool, steps: &[Step]) {
    static STORES: AtomicU32 = AtomicU32::new(0);
    let store = Store::new(&format!("exactly-once-{}", STORES.fetch_add(1, Ordering::Relaxed)));
    let partitions: &[&str] = if partitioned { &["b"] } else { &[] };
    let spec = store.spec(format, partitions);
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
        let rows = store.rows(format, partitions);
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
    let rows = store.rows(format, partitions);
    assert_eq!(rows.len() as i32, next);
    assert_eq!(numbers(rows), (0..next).collect());
    for (job, savepoint) in (100u8..).zip(&savepoints) {
        let number = (u64::from(job), 0);
        let mut other = Attempt::start_job(JobId([job; 16]), number, &spec, 3, &clock, Some(savepoint));
        other.finish();
        other.snapshot(savepoint.id + 1, savepoint.rows);
        other.complete(savepoint.id + 1, u32::MAX);
        other.close();
        let rows = numbers(store.rows(format, partitions));
        assert!((0..savepoint.rows).all(|row| rows.contains(&row)), "rows of savepoint {} are lost", savepoint.id);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn every_row_is_in_the_store_once_whatever_happens(
        format in prop_oneof![Just("csv"), Just("json"), Just("parquet")],
        partitioned in any::<bool>(),
        steps in prop::collection::vec(step(), 1..25),
    ) {
        exactly_once(format, partitioned, &steps);
    }
}

#[test]
fn parts_are_sent_while_the_file_is_written_and_the_file_is_there_when_it_is_committed() {
    let store = Store::new("sent-while-written");
    let mut attempt = Attempt::start(&store.spec("csv", &[]), 1, &Arc::default(), None);
    let long = "x".repeat(1000);
    for batch in 0..40 {
        let rows: Vec<_> = (0..1000).map(|row| (batch * 1000 + row, long.clone())).collect();
        attempt.write(0, &rows);
    }
    // The fourth part waits for the first one.
    assert_eq!(store.bucket.unfinished().len(), 1);
    let checkpoint = attempt.snapshot(1, 40_000);
    assert_eq!(store.rows("csv", &[]), [""; 0]);
    attempt.complete(1, 1);
    assert_eq!(store.rows("csv", &[]).len(), 40_000);
    assert_eq!(store.bucket.unfinished(), [""; 0]);
    // An attempt that restores the checkpoint finds it committed.
    let mut again = Attempt::start(&store.spec("csv", &[]), 1, &Arc::default(), Some(&checkpoint));
    again.close();
    assert_eq!(store.rows("csv", &[]).len(), 40_000);
}

/// Failed before: the message did not say which file of this machine that was, and by which option it is there.
#[test]
fn rows_that_cannot_be_read_back_are_missed_with_folder_and_option() {
    let store = Store::new("lost-scratch");
    let TableFolder::Store(folder) = TableFolder::open(&Root::Store(store.root()), &context(0, 1)).unwrap() else {
        panic!("it is in a store")
    };
    // It cannot be read.
    let scratch = tempfile::tempdir().unwrap();
    let file = fs::File::create(scratch.path().join("rows")).unwrap();
    file.set_len(10).unwrap();
    let mut upload = PartUpload::new(folder.location.below("part").unwrap(), &folder, Arc::new(file));
    upload.send_rest().unwrap();
    let error = upload.finish().err().unwrap().to_string();
    let option = format!("in {} ('io.tmp.dirs')", folder.scratch.folder().display());
    assert!(error.contains("cannot write s3://lost-scratch/t/part") && error.contains(&option), "{error}");
}

#[test]
fn a_commit_that_fails_or_whose_answer_is_lost_is_made_again() {
    let store = Store::new("lost-answers");
    let mut attempt = Attempt::start(&store.spec("json", &[]), 1, &Arc::default(), None);
    attempt.write(0, &row(1, "x"));
    attempt.snapshot(1, 1);
    store.bucket.refuse_completions(1);
    store.bucket.lose_answers(1);
    attempt.complete(1, 1);
    assert_eq!(store.rows("json", &[]), ["+I[1, x]"]);
}

#[test]
fn an_upload_that_is_gone_without_its_file_is_no_commit() {
    let store = Store::new("upload-is-gone");
    let upload = |name: &str| Upload {
        uri: format!("{}/{name}", store.root()),
        id: "none".to_owned(),
        parts: Vec::new(),
        length: 1,
        in_snapshot: true,
    };
    let (files, mut complete) = (files_of(), Vec::new());
    files.wait(files.location(&format!("{}/there", store.root())).unwrap().write("1".into())).unwrap();
    let requests = ["there", "gone"].map(|name| {
        let committable = Committable::Upload(upload(name));
        (upload(name), CommitRequest { committable, is_restored: true })
    });
    let runtime = context(0, 1).runtime;
    let mut note = |upload: &Upload| complete.push(upload.uri.clone());
    let unfinished = uploads::complete(&files, &runtime, requests.into(), &mut note).unwrap();
    assert_eq!(complete, ["s3://upload-is-gone/t/there"]);
    assert_eq!(unfinished.len(), 1);
    let reason = unfinished[0].reason.to_string();
    assert!(
        reason.contains("s3://upload-is-gone/t/gone") && reason.contains("rule for unfinished uploads"),
        "{reason}"
    );
}

#[test]
fn what_an_attempt_leaves_is_aborted_by_it_or_by_the_next_one_of_its_run() {
    let store = Store::new("left-uploads");
    let spec = store.spec("csv", &[]);
    let mut first = Attempt::start_as((9, 0), &spec, 1, &Arc::default(), None);
    first.write(0, &row(1, "x"));
    // A snapshot names it, and no checkpoint came of it.
    first.snapshot(1, 1);
    first.write(0, &row(2, "x"));
    first.close();
    assert_eq!(store.bucket.unfinished().len(), 1);
    let mut other_run = Attempt::start_as((8, 3), &spec, 1, &Arc::default(), None);
    other_run.close();
    assert_eq!(store.bucket.unfinished().len(), 1, "of another run nothing is known");
    Attempt::start_as((9, 1), &spec, 1, &Arc::default(), None).close();
    store.await_no_uploads();
    // One that ends before any snapshot takes its own away.
    let mut finished = Attempt::start_as((9, 2), &spec, 1, &Arc::default(), None);
    finished.write(0, &row(3, "x"));
    finished.finish();
    finished.close();
    store.await_no_uploads();
    assert_eq!(store.rows("csv", &[]), [""; 0]);
}

/// Failed before: one after the other was aborted before the first row could be written.
#[test]
fn many_uploads_that_an_attempt_has_left_are_aborted_some_at_once() {
    let store = Store::new("many-left-uploads");
    let spec = store.spec("csv", &["b"]);
    let mut first = Attempt::start_as((9, 0), &spec, 1, &Arc::default(), None);
    first.write(0, &(0..100).map(|number| (number, format!("p{number}"))).collect::<Vec<_>>());
    // A snapshot names them, and no checkpoint came of it.
    first.snapshot(1, 100);
    drop(first);
    assert_eq!(store.bucket.unfinished().len(), 100);
    store.bucket.slow_aborts(10);
    let mut second = Attempt::start_as((9, 1), &spec, 1, &Arc::default(), None);
    store.await_no_uploads();
    let most = store.bucket.most_aborts_at_once();
    assert!((2..=16).contains(&most), "{most} at once");
    second.close();
}

/// Failed before: each attempt aborted what was left beside the attempts before it, which had not come to their end yet.
#[test]
fn attempts_that_follow_each_other_abort_no_more_uploads_at_once() {
    let store = Store::new("uploads-left-again");
    let spec = store.spec("csv", &["b"]);
    let mut first = Attempt::start_as((9, 0), &spec, 1, &Arc::default(), None);
    first.write(0, &(0..100).map(|number| (number, format!("p{number}"))).collect::<Vec<_>>());
    first.snapshot(1, 100);
    drop(first);
    store.bucket.slow_aborts(5000);
    for number in 1..6 {
        Attempt::start_as((9, number), &spec, 1, &Arc::default(), None).close();
    }
    store.await_no_uploads();
    let most = store.bucket.most_aborts_at_once();
    assert!((2..=16).contains(&most), "{most} at once");
    // What is left behind that is aborted, too.
    let mut other = Attempt::start_as((9, 6), &spec, 1, &Arc::default(), None);
    other.write(0, &row(1, "x"));
    other.snapshot(2, 1);
    drop(other);
    Attempt::start_as((9, 7), &spec, 1, &Arc::default(), None).close();
    store.await_no_uploads();
}

#[test]
fn what_a_savepoint_names_stays_until_a_job_that_started_from_it_has_a_checkpoint() {
    let store = Store::new("savepoint-uploads");
    let spec = store.spec("csv", &["b"]);
    let mut first = Attempt::start_as((9, 0), &spec, 1, &Arc::default(), None);
    first.write(0, &row(1, "a:b"));
    let savepoint = first.savepoint(1, 1);
    first.close();
    Attempt::start_as((9, 1), &spec, 1, &Arc::default(), None).close();
    assert_eq!(store.bucket.unfinished().len(), 1, "{:?}", store.objects());
    assert_eq!(store.objects().len(), 1, "the guard");
    let mut other = Attempt::start_job(JobId([5; 16]), (3, 0), &spec, 2, &Arc::default(), Some(&savepoint));
    assert_eq!(store.rows("csv", &["b"]), ["+I[1, a:b]"]);
    other.finish();
    other.snapshot(2, 1);
    other.complete(2, 0b11);
    other.close();
    let objects: Vec<String> = store.objects().into_iter().collect();
    assert!(objects.len() == 1 && objects[0].starts_with("b=a%3Ab/part-"), "{objects:?}");
}

/// Failed before: the guard was looked for where the table is now, and stayed where it was then.
#[test]
fn the_guard_of_a_savepoint_goes_also_with_a_job_that_writes_elsewhere() {
    let store = Store::new("savepoint-elsewhere");
    let mut first = Attempt::start_as((9, 0), &store.spec("csv", &["b"]), 1, &Arc::default(), None);
    first.write(0, &row(1, "x"));
    let savepoint = first.savepoint(1, 1);
    first.close();
    let elsewhere = sink(Path::new(&format!("s3://{}/u", store.name)), &two(), "csv", &["b"]);
    let mut other = Attempt::start_job(JobId([5; 16]), (3, 0), &elsewhere, 1, &Arc::default(), Some(&savepoint));
    other.finish();
    other.snapshot(2, 1);
    other.complete(2, 1);
    other.close();
    let objects: Vec<String> = store.objects().into_iter().collect();
    assert!(objects.len() == 1 && objects[0].starts_with("b=x/part-"), "{objects:?}");
}

#[test]
fn partitions_are_committed_with_success_files_and_no_progress_file_is_left() {
    let store = Store::new("partition-commits");
    let mut spec = store.spec("parquet", &["b"]);
    spec.options.insert("sink.partition-commit.policy.kind".into(), "success-file".into());
    let mut attempt = Attempt::start(&spec, 3, &Arc::default(), None);
    (0..3).for_each(|subtask| attempt.write(subtask, &row(subtask as i32, &format!("p{subtask}"))));
    attempt.snapshot(1, 3);
    attempt.complete(1, 0b111);
    let committed = || store.objects().into_iter().filter(|path| path.ends_with("/_SUCCESS")).collect::<Vec<_>>();
    assert_eq!(committed(), ["b=p2/_SUCCESS"], "the last one to be notified commits its own at once");
    attempt.finish();
    attempt.snapshot(2, 3);
    attempt.complete(2, 0b111);
    attempt.close();
    assert_eq!(committed(), ["b=p0/_SUCCESS", "b=p1/_SUCCESS", "b=p2/_SUCCESS"]);
    assert!(store.objects().iter().all(|path| !path.starts_with('.')), "{:?}", store.objects());
    assert_eq!(store.rows("parquet", &["b"]), ["+I[0, p0]", "+I[1, p1]", "+I[2, p2]"]);
}
