//! Runs of a job under one id: what one of them has left belongs to whoever starts from a checkpoint that names it.
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
        // Everything was killed when the checkpoint was complete, before anybody was told.
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

/// A file that takes more rows is copied by who restores it, and goes with that one's first checkpoint, as nobody else can tell
/// that it is not needed any more. Who comes later is told what is missing, why, and what to do.
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
        let mut third = crate::factory::build_sink(&spec, b"uid").unwrap();
        third.restore(&mut State(Some(checkpoint))).unwrap();
        let context = OperatorContext { run: 5, attempt_number: 0, ..context(0, 1) };
        let error = third.open(&context).unwrap_err().to_string();
        for part in [named.as_str(), "of the restored checkpoint", "taken its rows over", "start from a checkpoint of"]
        {
            assert!(error.contains(part), "{error}");
        }
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

/// Whether a checkpoint names them nobody can tell; an attempt of the same run can, and removes them.
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
