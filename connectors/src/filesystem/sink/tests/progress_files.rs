//! Progress files go with the last subtask of their attempt, however it ends.
use super::*;

pub(super) fn progress_files(folder: &Path) -> Vec<String> {
    files(folder).into_iter().filter(|path| path.starts_with(".partition-commit-")).collect()
}

/// Failed before: what goes on from the savepoint is another job, to whose sink the files were a stranger's. They stayed for ever.
#[test]
fn a_job_that_stops_with_a_savepoint_leaves_no_progress_files_and_commits_by_them_until_then() {
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[]);
        let mut stopping = Attempt::start(&spec, 3, &Arc::default(), None);
        (0..3).for_each(|subtask| stopping.write(subtask, &[(subtask as i32, format!("p{subtask}"))]));
        let savepoint = stopping.savepoint(1, 3);
        // Each ends before the next one is notified that the savepoint is complete.
        for subtask in order {
            stopping.complete(1, 1u32 << subtask);
            stopping.0[subtask].close().unwrap();
        }
        assert_eq!(
            committed(folder.path()),
            [format!("b=p{}", order[2])],
            "the subtask notified last commits its own at once"
        );
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
        let mut next = Attempt::start_job(JobId([9; 16]), (3, 0), &spec, 2, &Arc::default(), Some(&savepoint));
        next.finish();
        next.snapshot(2, 3);
        next.complete(2, 0b11);
        next.close();
        assert_eq!(committed(folder.path()), ["b=p0", "b=p1", "b=p2"]);
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
    }
}

/// Failed before, as the one above.
#[test]
fn a_job_that_is_cancelled_leaves_no_progress_files_whichever_subtasks_were_notified() {
    for (notified, ending) in
        (0..8).flat_map(|notified| [(notified, None), (notified, Some(0)), (notified, Some(1)), (notified, Some(2))])
    {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[("sink.partition-commit.delay", "1 h")]);
        let mut attempt = Attempt::start(&spec, 3, &Arc::default(), None);
        (0..3).for_each(|subtask| attempt.write(subtask, &[(1, format!("p{subtask}"))]));
        if let Some(ending) = ending {
            attempt.0[ending].finish(&mut Collected::default()).unwrap();
        }
        attempt.snapshot(1, 3);
        attempt.complete(1, notified);
        attempt.snapshot(2, 3);
        attempt.close();
        assert_eq!(progress_files(folder.path()), Vec::<String>::new(), "notified {notified:b}, {ending:?} ends");
    }
    // Before the first checkpoint there is no progress file, and no marker of a subtask that is closed.
    let folder = tempfile::tempdir().unwrap();
    let mut attempt = Attempt::start(&partition_spec(folder.path(), &[]), 2, &Arc::default(), None);
    attempt.0[0].close().unwrap();
    assert_eq!(files(folder.path()), BTreeSet::new());
}

#[test]
fn an_attempt_that_was_given_up_leaves_the_progress_files_of_a_later_one() {
    for parallelism in [1, 2] {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[("sink.partition-commit.delay", "1 h")]);
        let mut given_up = Attempt::start_as((9, 0), &spec, 2, &Arc::default(), None);
        given_up.write(0, &[(1, "x".to_owned())]);
        given_up.snapshot(1, 1);
        given_up.complete(1, 0b11);
        given_up.0[0].close().unwrap();
        assert_eq!(progress_files(folder.path()).len(), 3, "the other one may need them");
        let mut later = Attempt::start_as((9, 1), &spec, parallelism, &Arc::default(), None);
        assert_eq!(progress_files(folder.path()), Vec::<String>::new());
        later.write(0, &[(2, "x".to_owned())]);
        later.snapshot(2, 1);
        later.complete(2, 0b11);
        let written = progress_files(folder.path());
        assert_eq!(written.len(), parallelism as usize);
        given_up.0[1].close().unwrap();
        assert_eq!(progress_files(folder.path()), written);
        later.close();
        assert_eq!(progress_files(folder.path()), Vec::<String>::new());
    }
}
