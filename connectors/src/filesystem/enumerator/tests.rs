use std::fs::{self, File};
use std::path::Path;

use super::*;
use crate::testing::discover_all;

fn enumerator(root: &Path, parallelism: u32) -> FileEnumerator {
    let filter = PartitionFilter::new(&[], &[], String::new()).unwrap();
    FileEnumerator::new(Root::Local(root.to_owned()), Files::default(), None, None, parallelism, true, filter)
}

fn given(enumerator: &mut FileEnumerator) -> Vec<FileSplit> {
    std::iter::from_fn(|| enumerator.next_split()).collect()
}

/// The paths of splits.
fn paths(splits: &[FileSplit]) -> Vec<&str> {
    splits.iter().map(|split| split.path.as_str()).collect()
}

/// Calls until a listing has handed over some files, but not its end.
fn list_some(files: &mut FileEnumerator) {
    while files.known.len() == 0 {
        assert!(files.discover().unwrap().is_empty());
    }
    assert!(!files.discovered && files.listing.is_some());
}

/// Failed before: only the paths of one listing were counted, each of which was held up to three times.
#[test]
fn what_is_known_of_files_has_a_bound_over_all_looks() {
    let folder = tempfile::tempdir().unwrap();
    let mut files = enumerator(folder.path(), 1);
    files.interval = Some(60_000);
    files.most_bytes = 64 << 10;
    let mut looks = 0;
    let refused = loop {
        let path = folder.path().join(format!("{looks}-{}", "n".repeat(200)));
        fs::write(&path, "1").unwrap();
        if let Err(error) = discover_all(&mut files) {
            break error.to_string();
        }
        assert!(files.held() <= files.most_bytes);
        assert_eq!(given(&mut files).len(), 1);
        fs::remove_file(&path).unwrap();
        looks += 1;
        assert!(looks < 1000, "no bound");
    };
    let root = folder.path().to_str().unwrap();
    assert!(refused.contains(root) && refused.contains("more than 65536 bytes"), "{refused}");
    assert!(refused.contains("name a folder with fewer files"), "{refused}");
}

/// Failed before: all parts of a file were made at once, 2^36 of one that is as long as a number.
#[test]
fn a_large_file_is_cut_as_it_is_given_out() {
    const LENGTH: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join("sparse")).unwrap().set_len(LENGTH).unwrap();
    let mut files = enumerator(folder.path(), 2);
    discover_all(&mut files).unwrap();
    let (pending, bytes) = (files.pending.len(), files.held());
    assert!(pending == 1 && bytes < 16 << 10, "{pending} in {bytes} bytes");
    let mut splits: Vec<FileSplit> = (0..10).map(|_| files.next_split().unwrap()).collect();
    // What is left is cut behind a restore too.
    let mut restored = enumerator(folder.path(), 2);
    restored.restore(&files.snapshot().unwrap()).unwrap();
    splits.append(&mut given(&mut restored));
    assert_eq!(splits.len() as u64, LENGTH / MOST_SPLIT);
    assert_eq!((splits[0].start, splits[splits.len() - 1].end), (0, u64::MAX));
    assert!(splits.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].found == pair[1].found));
    assert!(splits[0].found.is_some());
}

/// Failed before: the JobManager read such a file up to its first quote, or whole, to find out where it may be cut.
#[test]
fn a_file_that_may_hide_line_ends_is_one_part_and_is_not_read() {
    const LENGTH: u64 = 1 << 40;
    let folder = tempfile::tempdir().unwrap();
    // It would take hours.
    File::create(folder.path().join("t.csv")).unwrap().set_len(LENGTH).unwrap();
    let unsplittable = || FileEnumerator { is_splittable: false, ..enumerator(folder.path(), 2) };
    let mut files = unsplittable();
    discover_all(&mut files).unwrap();
    let splits = given(&mut files);
    assert!(matches!(splits.as_slice(), [FileSplit { start: 0, end: u64::MAX, resume: None, .. }]), "{splits:?}");
    // What an earlier release has cut already goes on where it was cut.
    let mut state = Writer::new(2);
    state.u64(1).u64(1).bytes(b"/t/").u64(1).u64(0).bytes(b"a").u64(1).u64(0).u64(1).u64(20 << 20).u64(LENGTH);
    let mut restored = unsplittable();
    restored.restore(&state.finish()).unwrap();
    assert_eq!(given(&mut restored), [FileSplit::new("/t/a".into(), 20 << 20, u64::MAX)]);
}

/// Failed before: a call listed all files, and checkpoints and readers waited for that.
#[test]
fn splits_are_given_out_and_snapshots_taken_while_files_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<String> = (0..9_000).map(|number| format!("{number:05}")).collect();
    all.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
    let mut files = enumerator(folder.path(), 1);
    list_some(&mut files);
    let SplitAssignment::Splits(first) = files.request_split(0, "").unwrap() else { panic!("there are some") };
    let mut splits: Vec<FileSplit> = first.iter().map(|split| FileSplit::decode(split).unwrap()).collect();
    let state = files.snapshot().unwrap();
    assert!(files.listing.is_some());
    // It goes on from there, once with what the listing found later and once without: each file is there once.
    let mut restored = enumerator(folder.path(), 3);
    restored.restore(&state).unwrap();
    assert!(!restored.is_complete() && restored.known.len() < all.len());
    discover_all(&mut restored).unwrap();
    splits.append(&mut given(&mut restored));
    let mut names: Vec<&str> = paths(&splits).into_iter().map(|path| path.rsplit_once('/').unwrap().1).collect();
    names.sort_unstable();
    assert_eq!(names, all);
    assert_eq!(restored.request_split(2, "").unwrap(), SplitAssignment::NoMoreSplits);
    discover_all(&mut files).unwrap();
    assert_eq!(given(&mut files).len(), all.len() - 1);
}

/// Readers that ask before the listing has found anything, or when there is nothing, hear of it when it has come to its end.
#[test]
fn readers_that_wait_for_a_listing_are_told_of_its_end() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a"), "x").unwrap();
    let mut files = enumerator(folder.path(), 3);
    (0..3).for_each(|subtask| assert_eq!(files.request_split(subtask, "").unwrap(), SplitAssignment::Wait));
    let given = discover_all(&mut files).unwrap();
    assert!(matches!(&given[0], (0, SplitAssignment::Splits(splits)) if splits.len() == 1), "{given:?}");
    assert_eq!(given[1..], [(1, SplitAssignment::NoMoreSplits), (2, SplitAssignment::NoMoreSplits)]);
    assert_eq!(files.discovery_interval(), None);
}

/// Failed before: each call waited for the next page, and each reader that asked meanwhile waited with it for its one file.
#[test]
fn calls_do_not_wait_for_a_listing_while_there_are_files_to_give_out() {
    let folder = tempfile::tempdir().unwrap();
    (0..9_000).for_each(|number| fs::write(folder.path().join(number.to_string()), "x").unwrap());
    let mut files = enumerator(folder.path(), 1);
    assert_eq!(files.patience(), PATIENCE);
    list_some(&mut files);
    assert!(files.listing.is_some());
    assert_eq!(files.patience(), Duration::ZERO);
    while files.next_split().is_some() {}
    assert_eq!(files.patience(), PATIENCE);
}

/// In the continuous mode too, a listing takes as long as it takes, and the next one begins after it.
#[test]
fn a_listing_goes_on_beside_calls_in_the_continuous_mode() {
    let folder = tempfile::tempdir().unwrap();
    (0..9_000).for_each(|number| fs::write(folder.path().join(number.to_string()), "x").unwrap());
    let mut files = FileEnumerator { interval: Some(60_000), ..enumerator(folder.path(), 1) };
    list_some(&mut files);
    assert_eq!(files.discovery_interval(), Some(AT_ONCE));
    let mut restored = FileEnumerator { interval: Some(60_000), ..enumerator(folder.path(), 1) };
    restored.restore(&files.snapshot().unwrap()).unwrap();
    for files in [&mut files, &mut restored] {
        discover_all(files).unwrap();
        assert_eq!((given(files).len(), files.discovery_interval()), (9_000, Some(60_000)));
        // A path is read once, whatever is there by now.
        fs::write(folder.path().join("7"), "longer").unwrap();
        discover_all(files).unwrap();
        assert!(files.pending.is_empty());
        assert_eq!(files.request_split(0, "").unwrap(), SplitAssignment::Wait);
    }
}

/// Failed before: what one reader had of a file, and another of the one in its place, were taken for parts of one.
#[test]
fn a_file_that_is_replaced_after_it_was_found_is_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.json");
    let write = |length| File::create(&path).unwrap().set_len(length).unwrap();
    write(40 << 20);
    let mut files = enumerator(folder.path(), 1);
    discover_all(&mut files).unwrap();
    let first = files.next_split().unwrap();
    first.open(&Files::default()).unwrap();
    let state = files.snapshot().unwrap();
    write((40 << 20) + 1);
    let mut restored = enumerator(folder.path(), 1);
    restored.restore(&state).unwrap();
    let second = restored.next_split().unwrap();
    // As it crosses to the reader, and as the reader has it in a checkpoint.
    for split in [first, FileSplit::decode(&second.encode()).unwrap()] {
        let error = split.open(&Files::default()).err().unwrap().to_string();
        let words = format!("file {} was replaced or written to after it was found", path.display());
        assert!(error.starts_with(&words) && error.contains("its modification time"), "{error}");
    }
    // Of what is restored from an earlier release nothing is known.
    FileSplit { found: None, ..second }.open(&Files::default()).unwrap();
}

#[test]
fn what_was_written_with_whole_paths_is_read() {
    let mut state = Writer::new(1);
    state.u64(1).u64(3).bytes(b"/t/a").bytes(b"/t/b").bytes(b"/t/p=1/c").u64(2);
    let splits = [FileSplit::new("/t/b".into(), 5, 9), FileSplit::new("/t/p=1/c".into(), 0, u64::MAX)];
    splits.iter().for_each(|split| _ = state.bytes(&split.encode()));
    let mut files = enumerator(Path::new("/t"), 1);
    files.restore(&state.finish()).unwrap();
    assert!(files.discovered && files.known.len() == 3);
    let state = files.snapshot().unwrap();
    let mut again = enumerator(Path::new("/t"), 1);
    again.restore(&state).unwrap();
    assert_eq!(given(&mut files), splits);
    assert_eq!(given(&mut again), splits);
    assert!(!again.known.insert("/t/a").1 && again.known.insert("/t/c").1);
    // What was cut off or does not fit together is refused.
    for length in 0..state.len() {
        assert!(enumerator(Path::new("/t"), 1).restore(&state[..length]).is_err(), "{length}");
    }
    let mut no_such_folder = Writer::new(2);
    no_such_folder.u64(1).u64(1).bytes(b"/t/").u64(1).u64(1).bytes(b"a").u64(0);
    let mut no_such_file = Writer::new(2);
    no_such_file.u64(1).u64(0).u64(0).u64(1).u64(0).u64(0).u64(0).u64(0);
    for mut state in [no_such_folder, no_such_file] {
        assert!(enumerator(Path::new("/t"), 1).restore(&state.finish()).is_err());
    }
}

/// What the readers of an enumerator that is gone have been given is not given again, and each other part is given once.
#[test]
fn readers_that_go_on_and_their_next_enumerator_have_all_parts_between_them() {
    const LENGTH: u64 = 1 << 32;
    let folder = tempfile::tempdir().unwrap();
    File::create(folder.path().join("a")).unwrap().set_len(LENGTH).unwrap();
    let mut before = enumerator(folder.path(), 2);
    discover_all(&mut before).unwrap();
    let mut all: Vec<FileSplit> = (0..2).map(|_| before.next_split().unwrap()).collect();
    let state = before.snapshot().unwrap();
    let since: Vec<FileSplit> = (0..4).map(|_| before.next_split().unwrap()).collect();
    // The second of these was on its way.
    let arrived = [0, 2, 3].map(|part| (part as u32 % 2, since[part].encode()));
    let restored = || {
        let mut restored = enumerator(folder.path(), 2);
        restored.restore(&state).unwrap();
        restored
    };
    let mut next = restored();
    assert!(next.given(&arrived).unwrap());
    assert_eq!(next.next_split().unwrap(), since[1]);
    // Also where a checkpoint has that.
    let mut later = restored();
    assert!(later.given(&arrived).unwrap());
    let state_with_gap = later.snapshot().unwrap();
    later.restore(&state_with_gap).unwrap();
    all.extend(since);
    all.append(&mut given(&mut next));
    assert!(all.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].found == pair[1].found));
    assert_eq!((all[0].start, all[all.len() - 1].end), (0, u64::MAX));
    assert_eq!(given(&mut later).len() as u64, LENGTH / MOST_SPLIT - 2 - 3);
    assert!(!restored().given(&[(0, all[0].encode())]).unwrap(), "it was given before");
}

#[test]
fn a_file_that_was_found_and_given_since_is_not_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| fs::write(folder.path().join(name), "1\n").unwrap();
    let continuous = || FileEnumerator { interval: Some(60_000), ..enumerator(folder.path(), 1) };
    write("a");
    let mut before = continuous();
    discover_all(&mut before).unwrap();
    let state = before.snapshot().unwrap();
    write("b");
    discover_all(&mut before).unwrap();
    let mut first = given(&mut before);
    let b = first.pop().unwrap();
    let mut next = continuous();
    next.restore(&state).unwrap();
    assert!(next.given(&[(0, b.encode())]).unwrap());
    write("c");
    discover_all(&mut next).unwrap();
    let left = given(&mut next);
    assert_eq!(left[..1], first);
    assert!(left.len() == 2 && left[1].path.ends_with("/c"), "{left:?}");
}

/// A snapshot in the middle of a listing has neither the files that were found later nor which of those were given.
#[test]
fn what_a_listing_found_behind_a_snapshot_and_readers_were_given_is_not_given_again() {
    let folder = tempfile::tempdir().unwrap();
    let all: Vec<String> = (0..9_000).map(|number| format!("{number:05}")).collect();
    all.iter().for_each(|name| fs::write(folder.path().join(name), "x").unwrap());
    let mut before = enumerator(folder.path(), 1);
    list_some(&mut before);
    let state = before.snapshot().unwrap();
    let in_state = before.known.len();
    discover_all(&mut before).unwrap();
    // Every other one of them arrived.
    let mut splits: Vec<FileSplit> = given(&mut before).into_iter().step_by(2).collect();
    let mut next = enumerator(folder.path(), 1);
    next.restore(&state).unwrap();
    let arrived: Vec<(u32, Bytes)> = splits.iter().map(|split| (0, split.encode())).collect();
    assert!(arrived.len() > in_state && next.given(&arrived).unwrap() && !next.is_complete());
    discover_all(&mut next).unwrap();
    splits.append(&mut given(&mut next));
    let mut names: Vec<&str> = paths(&splits).into_iter().map(|path| path.rsplit_once('/').unwrap().1).collect();
    names.sort_unstable();
    assert_eq!(names, all);
}
