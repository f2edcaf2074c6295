//! What savepoints name is there whenever a job is started from them.
use super::*;

/// Another job, started from savepoints.
const OTHER: JobId = JobId([8; 16]);

fn guards(folder: &Path) -> usize {
    files(folder).iter().filter(|path| path.starts_with(".part-") && path.contains(".savepoint.")).count()
}

fn visible(folder: &Path, format: &str) -> Vec<String> {
    read(&source(folder, &two(), &[("format", format)], &["b"]), 1).unwrap()
}

fn write(attempt: &mut Attempt, rows: [i32; 2], partition: &str) {
    rows.into_iter().enumerate().for_each(|(subtask, row)| attempt.write(subtask, &[(row, partition.to_owned())]));
}

const ROWS: [&str; 4] = ["+I[1, a]", "+I[2, a]", "+I[3, b]", "+I[4, b]"];

/// Failed before: the restarted attempt removed what the savepoint named and the checkpoint did not.
#[test]
fn a_restart_from_an_earlier_checkpoint_leaves_what_a_savepoint_names() {
    let formats = ["csv", "json", "parquet"];
    for (format, goes_on) in formats.into_iter().flat_map(|format| [(format, false), (format, true)]) {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), format, true);
        let clock = Arc::default();
        let mut killed = Attempt::start(&spec, 2, &clock, None);
        write(&mut killed, [1, 2], "a");
        let checkpoint = killed.snapshot(1, 2);
        killed.complete(1, 0b11);
        write(&mut killed, [3, 4], "b");
        let savepoint = killed.savepoint(2, 4);
        assert_eq!(guards(folder.path()), 2, "{format}");
        let mut restarted = Attempt::start(&spec, 2, &clock, Some(&checkpoint));
        if goes_on {
            // Now the files that it took over from the checkpoint are obsolete, were it not for the savepoint.
            restarted.snapshot(3, 2);
            restarted.complete(3, 0b11);
        }
        restarted.close();
        let committed = if format == "json" { 0 } else { 2 };
        assert_eq!(visible(folder.path(), format), ROWS[..committed], "{format}");
        // The first attempt fails before it has a checkpoint.
        drop(Attempt::start_job(OTHER, next_number(), &spec, 1, &clock, Some(&savepoint)));
        assert_eq!(guards(folder.path()), 2, "{format}: the job may start from the savepoint once more");
        let mut other = Attempt::start_job(OTHER, next_number(), &spec, 3, &clock, Some(&savepoint));
        other.finish();
        other.snapshot(3, 4);
        other.complete(3, 0b111);
        assert_eq!(visible(folder.path(), format), ROWS, "{format}");
        assert_eq!(guards(folder.path()), 0, "{format}: everything was taken over");
    }
}

/// Failed before: the first checkpoint of the second run took away what the savepoint of the first one named.
#[test]
fn another_run_of_the_job_leaves_what_a_savepoint_names() {
    for format in ["csv", "json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), format, true);
        let clock = Arc::default();
        let mut first = Attempt::start_as((9, 5), &spec, 2, &clock, None);
        write(&mut first, [1, 2], "a");
        write(&mut first, [3, 4], "b");
        let savepoint = first.savepoint(7, 4);
        first.close();
        // Of before the savepoint.
        let mut second = Attempt::start_as((3, 0), &spec, 3, &clock, None);
        second.snapshot(1, 0);
        second.complete(1, 0b111);
        second.close();
        assert_eq!(guards(folder.path()), 2, "{format}");
        let mut third = Attempt::start_as((5, 0), &spec, 1, &clock, Some(&savepoint));
        third.finish();
        third.snapshot(8, 4);
        third.complete(8, 1);
        assert_eq!(visible(folder.path(), format), ROWS, "{format}");
        assert_eq!(hidden(folder.path()), 0, "{format}: {:?}", files(folder.path()));
    }
}

/// A checkpoint that came after the savepoint is what a job starts from: another one can still start from the savepoint.
#[test]
fn a_start_from_a_later_checkpoint_leaves_what_a_savepoint_names() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "json", true);
    let clock = Arc::default();
    let mut killed = Attempt::start(&spec, 1, &clock, None);
    write(&mut killed, [1, 2], "a");
    write(&mut killed, [3, 4], "b");
    let savepoint = killed.savepoint(1, 4);
    let checkpoint = killed.snapshot(2, 4);
    killed.complete(2, 1);
    assert_eq!(guards(folder.path()), 1, "the files take more rows");
    let mut restarted = Attempt::start(&spec, 1, &clock, Some(&checkpoint));
    restarted.snapshot(3, 4);
    restarted.complete(3, 1);
    restarted.close();
    let mut other = Attempt::start_job(OTHER, next_number(), &spec, 2, &clock, Some(&savepoint));
    other.finish();
    other.snapshot(2, 4);
    other.complete(2, 0b11);
    assert_eq!(visible(folder.path(), "json"), ROWS);
}

/// Failed before: the guard stayed, and with it all hidden files of the attempt, though there is no such savepoint.
#[test]
fn a_guard_goes_with_the_last_savepoint_that_does_not_fail() {
    let folder = tempfile::tempdir().unwrap();
    let spec = spec(folder.path(), "parquet", true);
    let mut attempt = Attempt::start(&spec, 1, &Arc::default(), None);
    write(&mut attempt, [1, 2], "a");
    let kept = attempt.savepoint(1, 2);
    attempt.savepoint(2, 2);
    attempt.0[0].checkpoint_aborted(2).unwrap();
    attempt.0[0].checkpoint_aborted(7).unwrap();
    assert_eq!(guards(folder.path()), 1, "the first one is complete");
    let mut other = Attempt::start_job(OTHER, next_number(), &spec, 1, &Arc::default(), Some(&kept));
    other.snapshot(2, 2);
    other.complete(2, 1);
    assert_eq!((visible(folder.path(), "parquet").len(), guards(folder.path())), (2, 0), "it was that one's again");

    write(&mut attempt, [3, 4], "b");
    attempt.savepoint(3, 4);
    attempt.0[0].checkpoint_aborted(3).unwrap();
    assert_eq!(guards(folder.path()), 1, "the first one again");
    attempt.0[0].checkpoint_aborted(1).unwrap();
    assert_eq!(guards(folder.path()), 0);
}

#[test]
fn a_guard_goes_when_what_the_savepoint_names_is_committed() {
    for format in ["csv", "json", "parquet"] {
        let folder = tempfile::tempdir().unwrap();
        let spec = spec(folder.path(), format, true);
        let clock: Arc<ManualClock> = Arc::default();
        let mut attempt = Attempt::start(&spec, 1, &clock, None);
        attempt.savepoint(1, 0);
        assert_eq!(files(folder.path()).len(), 0, "{format}: it names nothing");
        write(&mut attempt, [1, 2], "a");
        attempt.savepoint(2, 2);
        write(&mut attempt, [3, 4], "b");
        attempt.savepoint(3, 4);
        assert_eq!(guards(folder.path()), 1, "{format}: one for both");
        assert_eq!(visible(folder.path(), format), [""; 0], "{format}: a savepoint commits nothing");
        attempt.snapshot(4, 4);
        attempt.0[0].checkpoint_aborted(4).unwrap();
        assert_eq!(guards(folder.path()), 1, "{format}");
        // Files of rows are complete by now.
        clock.0.store(1_000, Ordering::SeqCst);
        attempt.tick(1_000);
        attempt.snapshot(5, 4);
        assert_eq!(guards(folder.path()), 1, "{format}");
        attempt.complete(5, 1);
        assert_eq!(visible(folder.path(), format), ROWS, "{format}");
        assert_eq!(hidden(folder.path()), 0, "{format}: {:?}", files(folder.path()));
        // So it is where the job stops with a savepoint, and at its end.
        write(&mut attempt, [5, 6], "a");
        attempt.finish();
        attempt.savepoint(6, 6);
        assert_eq!(guards(folder.path()), 1, "{format}");
        match format {
            "parquet" => attempt.commit_at_end(),
            _ => attempt.complete(6, 1),
        }
        assert_eq!((visible(folder.path(), format).len(), hidden(folder.path())), (6, 0), "{format}");
    }
}
