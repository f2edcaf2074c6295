//! A process may die between any two steps of a commit: the attempt that restores the checkpoint does the rest, and nothing twice.
use super::*;

/// Gives so many hidden files their names, as a commit that does not get further.
fn commit_some(folder: &Path, count: usize) {
    let hidden = files(folder).into_iter().filter(|path| path.contains(".inprogress."));
    for path in hidden.take(count) {
        let (partition, name) = path.rsplit_once('/').unwrap();
        let name = name.strip_prefix('.').unwrap().split(".inprogress.").next().unwrap();
        fs::rename(folder.join(&path), folder.join(partition).join(name)).unwrap();
    }
}

#[test]
fn a_commit_that_was_cut_short_is_completed_by_the_next_attempt() {
    for (done, parallelism) in (0..=4).flat_map(|done| [(done, 1), (done, 2), (done, 3)]) {
        let folder = tempfile::tempdir().unwrap();
        let spec = partition_spec(folder.path(), &[]);
        let clock = Arc::default();
        let mut killed = Attempt::start(&spec, 2, &clock, None);
        for row in 1..=4 {
            killed.write(row as usize / 3, &[(row, format!("p{}", row % 2))]);
        }
        let checkpoint = killed.snapshot(1, 4);
        assert_eq!(hidden(folder.path()), 4);
        commit_some(folder.path(), done);
        // Of after the checkpoint: it comes again.
        killed.write(0, &[(5, "p1".to_owned())]);
        drop(killed);
        let visible = || read(&source(folder.path(), &two(), &[("format", "csv")], &["b"]), 1).unwrap();
        let rows = ["+I[1, p1]", "+I[2, p0]", "+I[3, p1]", "+I[4, p0]"];
        assert_eq!(visible().len(), done);
        let mut next = Attempt::start(&spec, parallelism, &clock, Some(&checkpoint));
        assert_eq!(visible(), rows, "{done} at {parallelism}");
        next.write(0, &[(5, "p1".to_owned())]);
        next.finish();
        next.snapshot(2, 5);
        next.complete(2, u32::MAX);
        assert_eq!(visible(), [&rows[..], &["+I[5, p1]"]].concat(), "{done} at {parallelism}");
        assert_eq!(committed(folder.path()), ["b=p0", "b=p1"]);
        assert_eq!(hidden(folder.path()), 0, "{:?}", files(folder.path()));
    }
}
