//! Runs of a job under one id: what one of them has left belongs to the run that starts from a checkpoint that names it.
use wiesel_operators::operator::Error;

use super::*;
use crate::filesystem::sink::names::Names;

fn visible(folder: &Path, format: &str) -> Vec<String> {
    read(&source(folder, &two(), &[("format", format)], &[]), 1).unwrap()
}

fn row(number: i32) -> [(i32, String); 1] {
    [(number, "x".to_owned())]
}

/// Failed before: the first checkpoint of the second run took away what the third was to commit, which took it for committed
/// and warned: a row was lost.
#[test]
fn a_run_from_an_earlier_checkpoint_leaves_what_a_later_one_of_another_run_names() {
    for format in ["csv", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = sink(folder.path(), &two(), format, &[]);
        let clock = Arc::default();
        let mut first = Attempt::start_as((9, 0), &spec, 2, &clock, None);
        first.write(0, &row(1));
        let earlier = first.snapshot(1, 1);
        first.complete(1, 0b11);
        first.write(1, &row(2));
        let later = first.snapshot(2, 2);
        // Everything was killed when the checkpoint was complete, before any subtask was notified.
        drop(first);
        let mut second = Attempt::start_as((3, 0), &spec, 1, &clock, Some(&earlier));
        second.snapshot(2, 1);
        second.complete(2, 1);
        second.close();
        assert_eq!(visible(folder.path(), format), ["+I[1, x]"], "{format}");
        for (run, parallelism) in [(5, 2), (6, 1)] {
            let mut again = Attempt::start_as((run, 0), &spec, parallelism, &clock, Some(&later));
            again.finish();
            again.snapshot(3, 2);
            again.complete(3, 0b11);
            again.close();
            assert_eq!(visible(folder.path(), format), ["+I[1, x]", "+I[2, x]"], "{format}");
        }
        assert_eq!(hidden(folder.path()), 0, "{format}");
    }
}

/// A file that takes more rows is copied by the run that restores it, and goes with that one's first checkpoint, as no other can
/// tell that it is not needed any more. A run that comes later fails with what is missing, why, and what to do.
#[test]
fn rows_that_another_run_has_taken_over_are_an_error_of_the_next_one_and_not_lost() {
    let folder = tempfile::tempdir().unwrap();
    let spec = sink(folder.path(), &two(), "json", &[]);
    let clock = Arc::default();
    let mut first = Attempt::start_as((9, 0), &spec, 1, &clock, None);
    first.write(0, &row(1));
    let earlier = first.snapshot(1, 1);
    first.write(0, &row(2));
    let later = first.snapshot(2, 2);
    drop(first);
    let named = files(folder.path()).pop_first().unwrap();
    // It may be restored again and again before that.
    drop(Attempt::start_as((2, 0), &spec, 1, &clock, Some(&earlier)));
    let mut second = Attempt::start_as((3, 0), &spec, 1, &clock, Some(&earlier));
    second.finish();
    second.snapshot(2, 1);
    second.complete(2, 1);
    assert_eq!(visible(folder.path(), "json"), ["+I[1, x]"]);
    for checkpoint in [&earlier, &later] {
        let mut third = crate::factory::build_sink(&spec, b"uid", &BuiltInFormats).unwrap();
        third.restore(&mut State(Some(checkpoint))).unwrap();
        let context = OperatorContext { run: 5, attempt_number: 0, ..context(0, 1) };
        let error = third.open(&context).unwrap_err().to_string();
        for part in [named.as_str(), "of the restored checkpoint", "taken its rows over", "start from a checkpoint of"]
        {
            assert!(error.contains(part), "{error}");
        }
    }
}

fn refused(run: u64, spec: &proto::SinkSpec, parallelism: u32, from: &Checkpoint) -> String {
    let (job_id, clock) = (context(0, 1).job_id, Arc::default());
    let error = Attempt::try_start_job(job_id, (run, 0), spec, parallelism, &clock, Some(from)).err().unwrap();
    assert!(matches!(error, Error::State(wiesel_state::Error::Missing(_))), "no restart heals it: {error:?}");
    error.to_string()
}

/// Failed before: that was a warning, and the rows between the two checkpoints were there twice.
#[test]
fn a_run_from_a_checkpoint_before_the_one_that_completed_a_file_is_refused() {
    for parallelism in [1, 2, 3] {
        let folder = tempfile::tempdir().unwrap();
        let spec = sink(folder.path(), &two(), "json", &[]);
        let clock = Arc::default();
        let mut first = Attempt::start_as((9, 0), &spec, 2, &clock, None);
        first.write(1, &row(1));
        let earlier = first.snapshot(1, 1);
        let savepoint = first.savepoint(2, 1);
        first.complete(1, 0b11);
        first.write(1, &row(2));
        first.finish();
        let latest = first.snapshot(3, 2);
        let in_progress = files(folder.path()).into_iter().find(|path| path.contains(".inprogress.")).unwrap();
        first.complete(3, 0b11);
        first.close();
        let completed = files(folder.path());
        assert_eq!(completed.len(), 1, "{completed:?}");
        let named = completed.first().unwrap();
        for (from, number) in [(&earlier, 1), (&savepoint, 2)] {
            let error = refused(5, &spec, parallelism, from);
            let checkpoint = format!("the restored checkpoint {number}:");
            let said = [
                in_progress.as_str(),
                named.as_str(),
                checkpoint.as_str(),
                "Start from the latest",
                "hidden name back",
            ];
            for part in said {
                assert!(error.contains(part), "{error}");
            }
        }
        assert_eq!(files(folder.path()), completed, "nothing is touched");
        drop(Attempt::start_as((4, 0), &spec, parallelism, &clock, Some(&latest)));
        // What the message says.
        fs::rename(folder.path().join(named), folder.path().join(&in_progress)).unwrap();
        let mut again = Attempt::start_as((3, 0), &spec, parallelism, &clock, Some(&earlier));
        again.write(0, &row(2));
        again.finish();
        again.snapshot(2, 2);
        again.complete(2, u32::MAX);
        again.close();
        assert_eq!(visible(folder.path(), "json"), ["+I[1, x]", "+I[2, x]"]);
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
    }
}

/// Where a task waits for no checkpoint its end completes a file that the latest one takes for open. The restarts of its run
/// cannot choose another one.
#[test]
fn a_file_that_the_end_of_its_task_completed_stops_other_runs_and_no_restart() {
    let folder = tempfile::tempdir().unwrap();
    let spec = sink(folder.path(), &two(), "json", &[]);
    let clock = Arc::default();
    let mut first = Attempt::start_as((9, 0), &spec, 1, &clock, None);
    first.write(0, &row(1));
    let checkpoint = first.snapshot(1, 1);
    first.complete(1, 1);
    first.write(0, &row(2));
    first.finish();
    first.commit_at_end();
    first.close();
    drop(Attempt::start_as((9, 1), &spec, 1, &clock, Some(&checkpoint)));
    let error = refused(5, &spec, 1, &checkpoint);
    assert!(error.contains("the restored checkpoint 1:"), "{error}");
    assert_eq!(visible(folder.path(), "json"), ["+I[1, x]", "+I[2, x]"]);
}

/// What died before any subtask was notified of its checkpoint, what was committed when a savepoint or a checkpoint began, and a
/// file that other subtasks go on with at each start.
#[test]
fn a_start_from_the_latest_checkpoint_or_savepoint_is_never_refused() {
    for (run, from) in (0..3).flat_map(|from| [(9, from), (5, from)]) {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), "json", false);
        let clock: Arc<ManualClock> = Arc::default();
        let mut killed = Attempt::start_as((9, 0), &spec, 2, &clock, None);
        killed.write(0, &row(1));
        killed.write(1, &row(2));
        clock.0.store(1_000, Ordering::SeqCst);
        killed.tick(1_000);
        let committed = killed.snapshot(1, 2);
        killed.complete(1, 0b11);
        killed.write(1, &row(3));
        let savepoint = killed.savepoint(2, 3);
        let unheard = killed.snapshot(3, 3);
        drop(killed);
        let from = [&committed, &savepoint, &unheard][from];
        for (attempt, parallelism) in [(1, 3), (2, 1), (3, 2)] {
            drop(Attempt::start_as((run, attempt), &spec, parallelism, &clock, Some(from)));
        }
        let mut last = Attempt::start_as((run, 4), &spec, 4, &clock, Some(from));
        last.finish();
        last.snapshot(4, from.rows);
        last.complete(4, u32::MAX);
        last.close();
        let rows: Vec<String> = (1..=from.rows).map(|row| format!("+I[{row}, x]")).collect();
        assert_eq!(visible(folder.path(), "json"), rows);
    }
}

/// Failed before: each took the other for over, and its files away with its own first checkpoint.
#[test]
fn two_runs_at_once_leave_each_other_alone() {
    for format in ["csv", "json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = sink(folder.path(), &two(), format, &[]);
        let clock = Arc::default();
        let mut one = Attempt::start_as((1, 0), &spec, 1, &clock, None);
        one.write(0, &row(1));
        let mut other = Attempt::start_as((2, 0), &spec, 1, &clock, None);
        other.write(0, &row(2));
        other.snapshot(1, 1);
        other.complete(1, 1);
        for run in [&mut one, &mut other] {
            run.finish();
            run.snapshot(2, 1);
            run.complete(2, 1);
            run.close();
        }
        assert_eq!(visible(folder.path(), format), ["+I[1, x]", "+I[2, x]"], "{format}");
        assert_eq!(hidden(folder.path()), 0, "{format}");
    }
}

/// Whether a checkpoint names them another run cannot tell; an attempt of the same run can, and removes them.
#[test]
fn what_another_run_has_left_stays_and_what_its_own_has_left_goes() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "csv", true);
    // Of before names had the run.
    let id = Names::new_sink(xxhash_rust::xxh3::xxh3_64(&[&[7u8; 16][..], &b"uid"[..]].concat()));
    let (mut old, _) = Names::new(id, 2, 0, 0, 0).next();
    old = old.replacen(".inprogress.0000000000000000.0.", ".inprogress.3.", 1);
    fs::write(folder.path().join(&old), "x").unwrap();
    let mut killed = Attempt::start_as((9, 5), &spec, 4, &Arc::default(), None);
    (0..4).for_each(|subtask| killed.write(subtask, &row(1)));
    killed.snapshot(1, 1);
    let left = files(folder.path());
    assert_eq!(left.len(), 5);
    let mut other = Attempt::start_as((3, 0), &spec, 3, &Arc::default(), None);
    (0..3).for_each(|subtask| other.write(subtask, &row(1)));
    other.snapshot(1, 0);
    other.complete(1, 0);
    assert_eq!(files(folder.path()).len(), 8);
    let mut own = Attempt::start_as((3, 1), &spec, 2, &Arc::default(), None);
    assert_eq!(files(folder.path()), left);
    own.snapshot(2, 0);
    own.complete(2, 0b11);
    assert_eq!(files(folder.path()), left);
}
