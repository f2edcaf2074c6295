use std::collections::HashSet;

use wiesel_common::config::Configuration;

use super::metadata::{decode, encode};
use super::*;

#[path = "bound_tests.rs"]
mod bounds;
#[path = "claim_tests.rs"]
mod claims;

const JOB: JobId = JobId([0xab; 16]);

/// Futures that others spawn.
fn spawned<T: Send>(_: &T) {}

#[allow(dead_code)]
fn everything_can_be_spawned(
    storage: &CheckpointStorage,
    barrier: &proto::CheckpointBarrier,
    metadata: &proto::CheckpointMetadata,
    file: &proto::StateFile,
    found: &Found,
    mark: &ClaimMark,
) {
    let still = HashSet::new();
    spawned(&storage.read(file));
    spawned(&storage.download(file, Path::new("")));
    spawned(&storage.initialize(1));
    spawned(&storage.try_savepoint_target(""));
    spawned(&storage.write_metadata(barrier, metadata));
    spawned(&storage.discard(metadata, &still));
    spawned(&storage.discard_claimed(found, &still));
    spawned(&storage.claim(found, mark));
    spawned(&storage.take_back(mark));
    spawned(&storage.remove_claimed_folder(mark));
    spawned(&storage.discard_aborted(barrier, &[]));
    spawned(&storage.sweep(&KnownCheckpoints::default()));
    spawned(&storage.sweep_orphans(&[]));
    spawned(&storage.remove_job_folder());
    spawned(&read_metadata("", storage.configuration()));
    spawned(&dispose_savepoint("", storage.configuration()));
}

fn config(pairs: &[(&str, &str)]) -> Configuration {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

fn in_folder(folder: &Path) -> CheckpointStorage {
    let folder = folder.display().to_string();
    let threshold = ("execution.checkpointing.data-inline-threshold", "10 bytes");
    CheckpointStorage::new(&config(&[("execution.checkpointing.dir", &folder), threshold]), JOB).unwrap()
}

fn checkpoint(id: u64) -> proto::CheckpointBarrier {
    proto::CheckpointBarrier { checkpoint_id: id, ..Default::default() }
}

fn savepoint(target: &str) -> proto::CheckpointBarrier {
    let kind = proto::SnapshotKind::Savepoint.into();
    proto::CheckpointBarrier { checkpoint_id: 7, kind, target: target.to_owned(), ..Default::default() }
}

/// The metadata of one subtask with these files; whether each is shared.
fn metadata(id: u64, files: Vec<(proto::StateFile, bool)>) -> proto::CheckpointMetadata {
    let named = |(file, shared)| proto::KeyedStateFile { name: "f".into(), shared, file: Some(file), kept_back: false };
    let handle = proto::KeyedStateHandle { files: files.into_iter().map(named).collect(), ..Default::default() };
    let operator = proto::OperatorSubtaskState { keyed: vec![handle], ..Default::default() };
    let task = proto::TaskState { operators: vec![operator], ..Default::default() };
    let vertex = proto::VertexState { name: "v".into(), parallelism: 1, subtasks: vec![task], ..Default::default() };
    proto::CheckpointMetadata { checkpoint_id: id, vertices: vec![vertex], ..Default::default() }
}

fn file_of(metadata: &proto::CheckpointMetadata, index: usize) -> &proto::StateFile {
    metadata.vertices[0].subtasks[0].operators[0].keyed[0].files[index].file.as_ref().unwrap()
}

async fn put(files: &Arc<dyn CheckpointFiles>, bytes: &'static [u8]) -> proto::StateFile {
    files.put(Bytes::from_static(bytes), false).await.unwrap()
}

async fn put_shared(files: &Arc<dyn CheckpointFiles>, bytes: &[u8]) -> proto::StateFile {
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("local");
    std::fs::write(&local, bytes).unwrap();
    files.put_file(&local, true).await.unwrap()
}

fn exists(file: &proto::StateFile) -> bool {
    Path::new(file.path.strip_prefix("file:").unwrap()).exists()
}

#[tokio::test]
async fn files_of_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    storage.initialize(1).await.unwrap();
    let files = storage.files(&checkpoint(3)).unwrap();
    let (small, large) = (put(&files, b"ten bytes!").await, put(&files, b"more than ten").await);
    assert_eq!((small.path.as_str(), &small.inline[..]), ("", &b"ten bytes!"[..]));
    let job = format!("file:{}/{JOB}", folder.path().display());
    assert!(large.path.starts_with(&format!("{job}/chk-3/")) && large.inline.is_empty(), "{large:?}");
    let (one, two) = (put_shared(&files, b"the same bytes").await, put_shared(&files, b"the same bytes").await);
    assert!(one.path.starts_with(&format!("{job}/shared/")) && one.path != two.path, "{one:?} {two:?}");
    assert_eq!(files.written(), 10 + 13 + 14 + 14);
    for (file, bytes) in [(&small, "ten bytes!"), (&large, "more than ten"), (&one, "the same bytes")] {
        assert_eq!(storage.read(file).await.unwrap(), bytes);
        storage.download(file, &folder.path().join("local")).await.unwrap();
        assert_eq!(std::fs::read_to_string(folder.path().join("local")).unwrap(), bytes);
    }
}

#[tokio::test]
async fn damage_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let file = put(&storage.files(&checkpoint(3)).unwrap(), b"more than ten").await;
    let path = file.path.strip_prefix("file:").unwrap();
    let outcome = async |bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        let read = storage.read(&file).await.unwrap_err().to_string();
        let downloaded = storage.download(&file, &folder.path().join("local")).await.unwrap_err().to_string();
        assert_eq!(read, downloaded);
        read
    };
    let flipped = outcome(b"more than tem").await;
    assert!(flipped.contains(&file.path) && flipped.contains("checksum"), "{flipped}");
    let cut = outcome(b"more than").await;
    assert!(cut.contains(&file.path) && cut.contains("9 bytes instead of 13"), "{cut}");
    // Failed before: it was no damage, and the job restarted for ever.
    let beyond = storage.read_range(&file, 7..13).await.unwrap_err();
    assert!(matches!(&beyond, Error::Corrupt(text) if *text == cut), "{beyond:?}");
    assert_eq!(storage.read_range(&file, 0..4).await.unwrap(), "more");
    std::fs::remove_file(path).unwrap();
    // Before, this was a failure as that of a store that is away: the job restarted for ever.
    let read = storage.read(&file).await.unwrap_err();
    let range = storage.read_range(&file, 0..3).await.unwrap_err();
    let downloaded = storage.download(&file, &folder.path().join("local")).await.unwrap_err();
    for gone in [read, range, downloaded] {
        assert!(matches!(gone, Error::Missing(_)) && gone.is_not_found(), "{gone:?}");
        assert!(gone.to_string().contains(&file.path) && gone.to_string().contains("another checkpoint"), "{gone}");
    }
    std::fs::write(path, "more than ten").unwrap();
    let nowhere = storage.download(&file, &folder.path().join("no/such/folder")).await.unwrap_err();
    assert!(matches!(nowhere, Error::File(_)), "{nowhere:?}");
}

#[tokio::test]
async fn without_a_directory_state_is_in_memory_and_small() {
    let storage = CheckpointStorage::new(&config(&[]), JOB).unwrap();
    storage.initialize(1).await.unwrap();
    let files = storage.files(&checkpoint(1)).unwrap();
    let file = files.put(Bytes::from(vec![7; 5 << 20]), false).await.unwrap();
    assert_eq!((file.path.as_str(), file.inline.len()), ("", 5 << 20));
    let error = files.put(Bytes::from(vec![7; (5 << 20) + 1]), false).await.unwrap_err().to_string();
    assert!(
        error.starts_with("Size of the state is larger than the maximum permitted memory-backed state."),
        "{error}"
    );
    let pointer = storage.write_metadata(&checkpoint(1), &metadata(1, vec![(file, false)])).await.unwrap();
    assert_eq!(pointer, IN_MEMORY);
    // A savepoint is in files all the same.
    let folder = tempfile::tempdir().unwrap();
    let target = storage.savepoint_target(Some(&folder.path().display().to_string())).unwrap();
    let files = storage.files(&savepoint(&target)).unwrap();
    let file = files.put(Bytes::from(vec![7; 6 << 20]), false).await.unwrap();
    assert!(file.path.starts_with(&target) && !files.keeps_shared());
}

#[test]
fn settings_that_cannot_be() {
    let error =
        |pairs: &[(&str, &str)]| CheckpointStorage::new(&config(pairs), JOB).map(|_| ()).unwrap_err().to_string();
    let text = error(&[("execution.checkpointing.storage", "filesystem")]);
    assert!(text.contains("execution.checkpointing.dir"), "{text}");
    let text = error(&[("state.checkpoints.dir", "hdfs://host/x")]);
    assert!(text.contains("scheme 'hdfs'"), "{text}");
    let text =
        error(&[("execution.checkpointing.dir", "/x"), ("execution.checkpointing.data-inline-threshold", "2 mb")]);
    assert!(text.contains("data-inline-threshold"), "{text}");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "").unwrap();
    let storage = in_folder(&folder.path().join("file/checkpoints"));
    let error = storage.initialize(1).await.unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    let text = error.to_string();
    assert!(text.contains("file/checkpoints") && text.contains("execution.checkpointing.dir"), "{text}");
    assert!(source.contains("file/checkpoints"), "{source}");
}

#[test]
fn where_savepoints_go() {
    let storage = CheckpointStorage::new(&config(&[("state.savepoints.dir", "/default")]), JOB).unwrap();
    let target = storage.savepoint_target(None).unwrap();
    assert!(target.starts_with("file:/default/savepoint-ababab-"), "{target}");
    assert_eq!(target.len(), "file:/default/savepoint-ababab-123456789012".len());
    assert!(storage.savepoint_target(Some("/other")).unwrap().starts_with("file:/other/savepoint-ababab-"));
    // Failed before: it was said that no default is configured.
    for blank in ["", "  "] {
        let said = storage.savepoint_target(Some(blank)).unwrap_err().to_string();
        assert!(said.starts_with("Can not create a Path from an empty string"), "{said}");
    }
    let none = CheckpointStorage::new(&config(&[]), JOB).unwrap().savepoint_target(None).unwrap_err().to_string();
    assert!(none.starts_with("No savepoint directory configured."), "{none}");
}

/// Before, it was looked for in the folder that the JobManager happened to be started in.
#[tokio::test]
async fn a_relative_path_is_refused() {
    let storage = CheckpointStorage::new(&config(&[]), JOB).unwrap();
    let target = storage.savepoint_target(Some("savepoints")).unwrap_err().to_string();
    let pointer = read_metadata("savepoints/savepoint-1", storage.configuration()).await.unwrap_err().to_string();
    for (error, path) in [(target, "'savepoints'"), (pointer, "'savepoints/savepoint-1'")] {
        assert!(error.contains(path) && error.contains("expected an absolute path"), "{error}");
    }
}

#[tokio::test]
async fn whether_a_savepoint_can_be_written_is_known_before_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let target =
        |below: &str| storage.savepoint_target(Some(&folder.path().join(below).display().to_string())).unwrap();
    storage.try_savepoint_target(&target("new")).await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("new")).unwrap().count(), 0, "the savepoint's own folder is gone");

    std::fs::write(folder.path().join("file"), "").unwrap();
    // The last one turns out to be no folder when another one has been made.
    for below in ["file", "file/deeper", "made/../file"] {
        let target = target(below);
        let error = storage.try_savepoint_target(&target).await.unwrap_err();
        assert_eq!(error.to_string(), format!("Failed to create savepoint directory at {target}"));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains(&target), "{error:?}");
    }
    let mut left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["file", "new"]);
    assert_eq!(std::fs::read(folder.path().join("file")).unwrap(), b"");
}

/// A JobManager that dies while it tries a savepoint's folder leaves it, maybe with an empty file in it.
#[tokio::test]
async fn what_is_left_of_a_trial_is_no_savepoint_and_in_nobodys_way() {
    for probe in [None, Some(".0123456789abcdef.tmp")] {
        let folder = tempfile::tempdir().unwrap();
        let storage = in_folder(folder.path());
        let directory = folder.path().join("savepoints").display().to_string();
        let target = storage.savepoint_target(Some(&directory)).unwrap();
        let left = Path::new(target.strip_prefix("file:").unwrap());
        std::fs::create_dir_all(left).unwrap();
        probe.iter().for_each(|probe| std::fs::write(left.join(probe), "").unwrap());
        let configuration = storage.configuration();
        let started = read_metadata(&target, configuration).await.unwrap_err().to_string();
        let disposed = dispose_savepoint(&target, configuration).await.unwrap_err().to_string();
        for error in [started, disposed] {
            assert!(error.contains(&target) && error.contains("was never completed"), "{error}");
        }
        // The next savepoint has a name of its own; at this very place it would be whole as well.
        storage.try_savepoint_target(&target).await.unwrap();
        let files = storage.files(&savepoint(&target)).unwrap();
        let state = metadata(7, vec![(put(&files, b"more than ten").await, false)]);
        assert_eq!(storage.write_metadata(&savepoint(&target), &state).await.unwrap(), target);
        let read = read_metadata(&target, configuration).await.unwrap();
        assert_eq!(read, (target, state));
    }
}

#[tokio::test]
async fn a_savepoint_can_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let target = storage.savepoint_target(Some(&folder.path().display().to_string())).unwrap();
    let files = storage.files(&savepoint(&target)).unwrap();
    let state = metadata(7, vec![(put(&files, b"more than ten").await, false)]);
    assert_eq!(storage.write_metadata(&savepoint(&target), &state).await.unwrap(), target);
    let (pointer, read) = read_metadata(&target, storage.configuration()).await.unwrap();
    assert_eq!((pointer.as_str(), &read), (target.as_str(), &state));

    let moved = folder.path().join("moved");
    std::fs::rename(target.strip_prefix("file:").unwrap(), &moved).unwrap();
    for pointer in [moved.display().to_string(), format!("file://{}/_metadata", moved.display())] {
        let (pointer, read) = read_metadata(&pointer, storage.configuration()).await.unwrap();
        assert_eq!(pointer, format!("file:{}", moved.display()));
        assert_eq!(storage.read(file_of(&read, 0)).await.unwrap(), "more than ten");
    }
    std::fs::rename(moved.join("_metadata"), moved.join("renamed")).unwrap();
    let renamed = read_metadata(&moved.join("renamed").display().to_string(), storage.configuration()).await.unwrap();
    assert_eq!(renamed.1.checkpoint_id, 7);

    dispose(&moved, &storage).await;
}

/// Before, it was said of all that it cannot be found.
#[tokio::test]
async fn what_is_there_and_no_savepoint_is_told_from_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain");
    std::fs::write(&plain, "no metadata").unwrap();
    let nowhere = folder.path().join("nowhere");
    for (path, words) in [
        (Path::new("/dev/null"), "cannot read"),
        (plain.as_path(), "is not the metadata of a checkpoint or savepoint"),
        (folder.path(), "Cannot find meta data file '_metadata' in directory"),
        (nowhere.as_path(), "Cannot find checkpoint or savepoint file/directory"),
    ] {
        let pointer = path.display().to_string();
        let said = read_metadata(&pointer, &Configuration::default()).await.unwrap_err();
        let (said, cause) = (said.to_string(), std::error::Error::source(&said).map(ToString::to_string));
        let all = format!("{said}: {}", cause.unwrap_or_default());
        assert!(all.contains(words) && all.contains(&pointer), "{all}");
    }
}

async fn dispose(moved: &Path, storage: &CheckpointStorage) {
    std::fs::rename(moved.join("renamed"), moved.join("_metadata")).unwrap();
    dispose_savepoint(&moved.display().to_string(), storage.configuration()).await.unwrap();
    assert!(!moved.exists());
    let again = dispose_savepoint(&moved.display().to_string(), storage.configuration()).await.unwrap_err().to_string();
    assert!(again.starts_with("Cannot find checkpoint or savepoint file/directory"), "{again}");
}

#[test]
fn every_flipped_bit_and_every_cut_of_the_metadata_is_found() {
    let file = proto::StateFile { path: "file:/a/chk-1/x".into(), size: 3, crc32c: 4, inline: Bytes::new() };
    let state = metadata(1, vec![(file, false)]);
    let bytes = encode(&state, "file:/a/chk-1");
    assert!(!bytes.windows(5).any(|part| part == b"chk-1"));
    assert_eq!(decode(&bytes, "M", "file:/a/chk-1").unwrap(), state);
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        let flipped = decode(&damaged.into(), "M", "").unwrap_err().to_string();
        let cut = decode(&bytes.slice(..at), "M", "").unwrap_err().to_string();
        for error in [flipped, cut] {
            let clear = ["damaged", "truncated", "is not the metadata"].iter().any(|word| error.contains(word));
            assert!(error.starts_with("M ") && clear, "{at}: {error}");
        }
    }
}

#[test]
fn metadata_of_others() {
    let mut newer = encode(&metadata(1, Vec::new()), "").to_vec();
    newer[8..12].copy_from_slice(&9u32.to_be_bytes());
    let checksum = crc32c::crc32c(&newer[..24]);
    newer[24..28].copy_from_slice(&checksum.to_be_bytes());
    let error = decode(&newer.into(), "M", "").unwrap_err().to_string();
    assert_eq!(error, "M has version 9 of the format; this Wiesel reads versions up to 3");
    let flink = Bytes::from_static(&[0x49, 0x60, 0x67, 0x2d, 0, 0, 0, 4, 0]);
    assert!(decode(&flink, "M", "").unwrap_err().to_string().contains("Apache Flink"));
    assert!(decode(&Bytes::new(), "M", "").unwrap_err().to_string().contains("is not the metadata"));
}

#[tokio::test]
async fn a_checkpoint_that_was_not_completed_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    put(&storage.files(&checkpoint(3)).unwrap(), b"more than ten").await;
    let pointer = folder.path().join(format!("{JOB}/chk-3"));
    let error = read_metadata(&pointer.display().to_string(), storage.configuration()).await.unwrap_err().to_string();
    assert!(error.starts_with("Cannot find meta data file '_metadata' in directory 'file:/"), "{error}");
}

#[tokio::test]
async fn checkpoints_go_and_shared_files_stay_as_long_as_they_are_needed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&checkpoint(1)).unwrap();
    let (old, kept) = (put_shared(&files, b"only in the first").await, put_shared(&files, b"in both of them").await);
    let private = put(&files, b"more than ten").await;
    let first = metadata(1, vec![(old.clone(), true), (kept.clone(), true), (private.clone(), false)]);
    let pointer = storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    let second = metadata(2, vec![(kept.clone(), true)]);
    storage.write_metadata(&checkpoint(2), &second).await.unwrap();
    assert_eq!(shared_files(&second), HashSet::from([kept.path.clone()]));

    storage.discard(&first, &shared_files(&second)).await.into_result().unwrap();
    assert!(!exists(&old) && !exists(&private) && exists(&kept));
    assert!(!Path::new(pointer.strip_prefix("file:").unwrap()).exists());
    storage.discard(&first, &shared_files(&second)).await.into_result().unwrap();
    assert!(exists(&kept));

    storage.remove_job_folder().await.unwrap();
    assert!(exists(&kept), "a complete checkpoint is left");
    storage.discard(&second, &HashSet::new()).await.into_result().unwrap();
    assert!(!exists(&kept));
    storage.remove_job_folder().await.unwrap();
    assert!(!folder.path().join(JOB.to_string()).exists());
}

#[tokio::test]
async fn what_an_aborted_checkpoint_wrote_goes() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let kept = put_shared(&storage.files(&checkpoint(1)).unwrap(), b"in the first").await;
    let first = metadata(1, vec![(kept.clone(), true)]);
    storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    let files = storage.files(&checkpoint(2)).unwrap();
    let (unheard, new) = (put(&files, b"never acknowledged").await, put_shared(&files, b"new in this one").await);
    let acknowledged = [kept.path.clone(), new.path.clone()];
    storage.discard_aborted(&checkpoint(2), &acknowledged).await.into_result().unwrap();
    assert!(!exists(&unheard) && !exists(&new) && exists(&kept));
}

#[tokio::test]
async fn orphans_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    storage.initialize(1).await.unwrap();
    let files = storage.files(&checkpoint(1)).unwrap();
    let (kept, orphan) = (put_shared(&files, b"in the first").await, put_shared(&files, b"in none of them").await);
    let first = metadata(1, vec![(kept.clone(), true)]);
    storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    // Complete, but not known to the job: kept with all it needs.
    let unknown = put_shared(&storage.files(&checkpoint(2)).unwrap(), b"in the second").await;
    storage.write_metadata(&checkpoint(2), &metadata(2, vec![(unknown.clone(), true)])).await.unwrap();
    let incomplete = put(&storage.files(&checkpoint(3)).unwrap(), b"more than ten").await;

    assert_eq!(storage.sweep_orphans(std::slice::from_ref(&first)).await.into_result().unwrap(), 2);
    assert!(exists(&kept) && exists(&unknown) && !exists(&orphan) && !exists(&incomplete));
    assert!(!folder.path().join(format!("{JOB}/chk-3")).exists());
    assert!(read_metadata(&format!("{}/chk-1", storage.folder().unwrap()), storage.configuration()).await.is_ok());

    // What a damaged checkpoint needs cannot be told: nothing goes.
    let orphan = put_shared(&files, b"in none of them").await;
    std::fs::write(folder.path().join(format!("{JOB}/chk-2/_metadata")), "damaged").unwrap();
    storage.sweep_orphans(&[first]).await.into_result().unwrap();
    assert!(exists(&orphan) && exists(&unknown));
}

#[tokio::test]
async fn a_disposed_checkpoint_leaves_others_whole() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&checkpoint(1)).unwrap();
    let (both, own) = (put_shared(&files, b"in both of them").await, put_shared(&files, b"in the first").await);
    let first = metadata(1, vec![(both.clone(), true), (own.clone(), true)]);
    let pointer = storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    storage.write_metadata(&checkpoint(2), &metadata(2, vec![(both.clone(), true)])).await.unwrap();
    dispose_savepoint(&pointer, storage.configuration()).await.unwrap();
    assert!(exists(&both) && !exists(&own));
}

/// Failed before: its metadata was gone after the first try, and nobody could tell its other files any more.
#[tokio::test]
async fn what_cannot_be_disposed_of_at_first_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&checkpoint(1)).unwrap();
    let (hard, easy) = (put(&files, b"hard to delete").await, put(&files, b"easy to delete").await);
    let first = metadata(1, vec![(hard.clone(), false), (easy.clone(), false)]);
    let pointer = storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    // A folder that is not empty cannot be deleted as a file.
    let path = Path::new(hard.path.strip_prefix("file:").unwrap());
    std::fs::remove_file(path).unwrap();
    std::fs::create_dir_all(path.join("below")).unwrap();
    let mut disposing = std::pin::pin!(dispose_savepoint(&pointer, storage.configuration()));
    let first_try = tokio::time::timeout(std::time::Duration::from_millis(50), &mut disposing).await;
    assert!(first_try.is_err(), "it goes on: {first_try:?}");
    std::fs::remove_dir_all(path).unwrap();
    disposing.await.unwrap();
    assert!(!exists(&hard) && !exists(&easy) && !folder.path().join(format!("{JOB}/chk-1")).exists());
}

/// Checkpoints on the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
fn on_a_server(test: &str) -> Option<Vec<(&'static str, String)>> {
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or(default.to_owned());
    let Ok(endpoint) = std::env::var("WIESEL_S3_ENDPOINT") else {
        if let Ok(list) = std::env::var("WIESEL_SKIPPED") {
            use std::io::Write;
            let mut list = std::fs::File::options().create(true).append(true).open(list).unwrap();
            writeln!(list, "{test}: no S3 server").unwrap();
        }
        return None;
    };
    let folder =
        format!("s3://{}/state-{}", variable("WIESEL_S3_BUCKET", "wiesel"), wiesel_common::random::uuid().simple());
    Some(vec![
        ("execution.checkpointing.dir", folder),
        ("execution.checkpointing.data-inline-threshold", "0".to_owned()),
        ("s3.endpoint", endpoint),
        ("s3.access-key", variable("WIESEL_S3_ACCESS_KEY", "wiesel")),
        ("s3.secret-key", variable("WIESEL_S3_SECRET_KEY", "wiesel-secret")),
    ])
}

#[tokio::test]
async fn checkpoints_on_a_server() {
    let Some(pairs) = on_a_server("checkpoints_on_a_server") else { return };
    let mut config: Configuration = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let storage = CheckpointStorage::new(&config, JOB).unwrap();
    storage.initialize(1).await.unwrap();
    let files = storage.files(&checkpoint(1)).unwrap();
    let (kept, orphan) = (put_shared(&files, b"in the first").await, put_shared(&files, b"in none of them").await);
    let private = put(&files, b"of the first alone").await;
    let first = metadata(1, vec![(kept.clone(), true), (private.clone(), false)]);
    let pointer = storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    assert_eq!(pointer, format!("{}/chk-1", storage.folder().unwrap()));
    let incomplete = put(&storage.files(&checkpoint(2)).unwrap(), b"of the second").await;

    assert_eq!(storage.sweep_orphans(std::slice::from_ref(&first)).await.into_result().unwrap(), 2);
    assert!(storage.read(&orphan).await.unwrap_err().is_not_found());
    assert!(storage.read(&incomplete).await.unwrap_err().is_not_found());
    let (_, read) = read_metadata(&pointer, &config).await.unwrap();
    assert_eq!(storage.read(file_of(&read, 0)).await.unwrap(), "in the first");
    assert_eq!(storage.read(file_of(&read, 1)).await.unwrap(), "of the first alone");

    let second = metadata(3, vec![(kept.clone(), true)]);
    storage.write_metadata(&checkpoint(3), &second).await.unwrap();
    dispose_savepoint(&pointer, &config).await.unwrap();
    assert!(storage.read(&private).await.unwrap_err().is_not_found());
    let gone = read_metadata(&pointer, &config).await.unwrap_err().to_string();
    assert_eq!(gone, format!("Cannot find checkpoint or savepoint file/directory '{pointer}'"));
    assert_eq!(storage.read(&kept).await.unwrap(), "in the first");
    storage.discard(&second, &HashSet::new()).await.into_result().unwrap();
    storage.remove_job_folder().await.unwrap();
    let job = Location::resolve(storage.folder().unwrap(), &config).unwrap();
    assert_eq!(job.children().await.unwrap(), Default::default());

    config.set("s3.secret-key", "HUSH");
    let refused = CheckpointStorage::new(&config, JOB).unwrap().initialize(1).await.unwrap_err();
    let text = format!("{refused}: {}", std::error::Error::source(&refused).unwrap());
    assert!(text.contains(storage.folder().unwrap()) && text.contains("refuses these credentials"), "{text}");
    assert!(!format!("{text} {refused:?}").contains("HUSH"));
}

/// The names of all files below a folder, in order.
fn names_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => names.push(path.strip_prefix(folder).unwrap().display().to_string()),
            }
        }
    }
    names.sort();
    names
}

/// Failed before: the whole folder went, with whatever else was in it.
#[tokio::test]
async fn a_disposed_copy_takes_nothing_of_others_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&checkpoint(1)).unwrap();
    let (shared, own) = (put_shared(&files, b"in the shared folder").await, put(&files, b"of the first alone").await);
    let first = metadata(1, vec![(shared.clone(), true), (own.clone(), false)]);
    let pointer = storage.write_metadata(&checkpoint(1), &first).await.unwrap();
    let copy = folder.path().join("copy");
    std::fs::create_dir_all(copy.join("below")).unwrap();
    std::fs::write(copy.join("thesis.tex"), "years of work").unwrap();
    std::fs::write(copy.join("below/figure"), "").unwrap();
    std::fs::copy(pointer.strip_prefix("file:").unwrap().to_owned() + "/_metadata", copy.join("_metadata")).unwrap();
    dispose_savepoint(&copy.display().to_string(), storage.configuration()).await.unwrap();
    assert_eq!(names_in(&copy), ["below/figure", "thesis.tex"]);
    assert!(exists(&shared) && exists(&own), "the original is whole");
    // Beside the original, as the checkpoint that it is not.
    let copy = folder.path().join(format!("{JOB}/chk-9"));
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::copy(pointer.strip_prefix("file:").unwrap().to_owned() + "/_metadata", copy.join("_metadata")).unwrap();
    std::fs::rename(folder.path().join(format!("{JOB}/chk-1/_metadata")), folder.path().join("kept")).unwrap();
    dispose_savepoint(&copy.display().to_string(), storage.configuration()).await.unwrap();
    assert!(exists(&shared) && exists(&own) && !copy.exists());
    // Under another name beside the original.
    std::fs::rename(folder.path().join("kept"), folder.path().join(format!("{JOB}/chk-1/_metadata"))).unwrap();
    let renamed = folder.path().join(format!("{JOB}/chk-1/backup"));
    std::fs::copy(folder.path().join(format!("{JOB}/chk-1/_metadata")), &renamed).unwrap();
    dispose_savepoint(&renamed.display().to_string(), storage.configuration()).await.unwrap();
    assert!(!renamed.exists() && exists(&shared) && exists(&own));
    read_metadata(&pointer, storage.configuration()).await.unwrap();
    // The original goes with all that is its own.
    dispose_savepoint(&pointer, storage.configuration()).await.unwrap();
    assert!(!exists(&shared) && !exists(&own) && !Path::new(pointer.strip_prefix("file:").unwrap()).exists());
}

/// Failed before: the names led out of the folder, and what they led to went with a savepoint.
#[tokio::test]
async fn metadata_names_nothing_outside_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (victim, target) = (folder.path().join("victim"), folder.path().join("sp"));
    std::fs::write(&victim, "mine").unwrap();
    std::fs::create_dir_all(&target).unwrap();
    let file = |path: String| proto::StateFile { path, size: 4, crc32c: 0, inline: Bytes::new() };
    let storage = in_folder(folder.path());
    for name in ["../victim".to_owned(), format!("file:{}/../victim", target.display()), victim.display().to_string()] {
        let state = metadata(1, vec![(file(name), false)]);
        std::fs::write(target.join("_metadata"), encode(&state, "")).unwrap();
        // Refused, or the file is not its own.
        let _ = dispose_savepoint(&target.display().to_string(), storage.configuration()).await;
        assert!(victim.exists());
        std::fs::create_dir_all(&target).unwrap();
    }
}

/// Failed before: the second one replaced the first, whose `_metadata` went when the second failed.
#[tokio::test]
async fn a_complete_checkpoint_is_never_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let first = metadata(5, vec![(put(&storage.files(&checkpoint(5)).unwrap(), b"of the first run").await, false)]);
    let pointer = storage.write_metadata(&checkpoint(5), &first).await.unwrap();
    let second = metadata(5, vec![(put(&storage.files(&checkpoint(5)).unwrap(), b"of the second run").await, false)]);
    let refused = storage.write_metadata(&checkpoint(5), &second).await.unwrap_err().to_string();
    assert!(refused.contains("already") && refused.contains(&pointer), "{refused}");
    let (_, read) = read_metadata(&pointer, storage.configuration()).await.unwrap();
    assert_eq!(read, first);
    // The same once more is an answer that was lost.
    assert_eq!(storage.write_metadata(&checkpoint(5), &first).await.unwrap(), pointer);
}

fn of_run(run: u64, id: u64) -> proto::CheckpointBarrier {
    proto::CheckpointBarrier { run, ..checkpoint(id) }
}

/// Failed before: a second run under the job's id replaced what the first one had retained, and deleted it later.
#[tokio::test]
async fn a_run_that_would_write_a_retained_checkpoint_again_does_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    storage.initialize(1).await.unwrap();
    let first = metadata(5, vec![(put(&storage.files(&checkpoint(5)).unwrap(), b"of the first run").await, false)]);
    let pointer = storage.write_metadata(&checkpoint(5), &first).await.unwrap();
    for next in [1, 5] {
        let refused = storage.initialize(next).await.unwrap_err().to_string();
        assert!(refused.contains("chk-5") && refused.contains(&format!("chk-{next} ")), "{refused}");
        assert!(refused.contains(&pointer) && refused.contains("execution.checkpointing.dir"), "{refused}");
    }
    storage.initialize(6).await.unwrap();
    // Without a folder of its own, too; other folders there are nobody's business.
    let pairs = [
        ("execution.checkpointing.dir", folder.path().join(JOB.to_string()).display().to_string()),
        ("execution.checkpointing.create-subdir", "false".to_owned()),
    ];
    let config = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let together = CheckpointStorage::new(&config, JobId([1; 16])).unwrap();
    std::fs::create_dir_all(folder.path().join(format!("{JOB}/chk-77"))).unwrap();
    std::fs::create_dir_all(folder.path().join(format!("{JOB}/chk-x"))).unwrap();
    assert!(together.initialize(2).await.unwrap_err().to_string().contains("chk-5"));
    together.initialize(6).await.unwrap();
}

/// Failed before: another run's checkpoint went with one that failed, and files in `shared/` with a run that began.
#[tokio::test]
async fn nothing_of_another_run_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let job = folder.path().join(JOB.to_string());
    let theirs = storage.files(&of_run(1, 5)).unwrap();
    let (shared, own) = (put_shared(&theirs, b"theirs in shared").await, put(&theirs, b"theirs alone").await);
    let complete = proto::CheckpointMetadata { run: 1, ..metadata(5, vec![(own.clone(), false)]) };
    let pointer = storage.write_metadata(&of_run(1, 5), &complete).await.unwrap();

    let ours = storage.files(&of_run(2, 5)).unwrap();
    let (failed, late) = (put_shared(&ours, b"ours in shared").await, put(&ours, b"ours, of this checkpoint").await);
    let claims = [failed.path.clone(), shared.path.clone()];
    storage.discard_aborted(&of_run(2, 5), &claims).await.into_result().unwrap();
    assert!(!exists(&failed) && !exists(&late) && exists(&shared) && exists(&own));

    let (pending, garbage) = (put_shared(&storage.files(&of_run(2, 7)).unwrap(), b"of one under way").await, "garbage");
    let unheard = put_shared(&storage.files(&of_run(2, 6)).unwrap(), b"never heard of").await;
    let future = put_shared(&storage.files(&of_run(2, 8)).unwrap(), b"begun since").await;
    std::fs::write(job.join("shared/notes.txt"), garbage).unwrap();
    std::fs::create_dir_all(job.join("chk-6")).unwrap();
    std::fs::write(job.join("chk-6/notes.txt"), garbage).unwrap();
    let known =
        KnownCheckpoints { run: 2, next: 8, pending: [7].into(), complete: [4].into(), ..KnownCheckpoints::default() };
    assert_eq!(storage.sweep(&known).await.into_result().unwrap(), 1);
    assert!(!exists(&unheard) && [&shared, &own, &pending, &future].into_iter().all(exists));
    assert!(job.join("shared/notes.txt").exists() && job.join("chk-6/notes.txt").exists());
    read_metadata(&pointer, storage.configuration()).await.unwrap();

    // What the next run finds: everything that is state and that no complete checkpoint names, of whatever run.
    storage.sweep_orphans(&[]).await.into_result().unwrap();
    assert!([&shared, &pending, &future].into_iter().all(|file| !exists(file)) && exists(&own));
    storage.discard(&complete, &HashSet::new()).await.into_result().unwrap();
    storage.remove_job_folder().await.unwrap();
    assert_eq!(names_in(&job), ["chk-6/notes.txt", "shared/notes.txt"]);
}

/// Failed before: what could not be resolved was forgotten, and files went although what names them was still there.
/// What a complete checkpoint names is deleted with it.
#[tokio::test]
async fn no_task_puts_a_file_of_somebody_else_into_a_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&of_run(5, 3)).unwrap();
    let (private, shared) =
        (put(&files, b"more than ten bytes").await, put_shared(&files, b"more than ten bytes").await);
    let target = format!("file:{}/savepoint", folder.path().display());
    let barrier = proto::CheckpointBarrier { run: 5, ..savepoint(&target) };
    let saved = put(&storage.files(&barrier).unwrap(), b"more than ten bytes").await;
    let at = |file: &proto::StateFile, from: &str, to: &str| proto::StateFile {
        path: file.path.replace(from, to),
        ..Default::default()
    };
    let check = |barrier: &proto::CheckpointBarrier, file: &proto::StateFile, restored: &str| {
        let state = metadata(3, vec![(file.clone(), true)]).vertices[0].subtasks[0].clone();
        storage.check_acknowledged(barrier, &state, |path| path == restored)
    };
    for file in [&private, &shared] {
        check(&of_run(5, 3), file, "").unwrap();
        check(&of_run(5, 4), file, "").unwrap();
        // Of another run, or of a checkpoint that is not there yet, unless the run started from it.
        assert!(check(&of_run(6, 3), file, "").is_err() && check(&of_run(5, 2), file, "").is_err());
        check(&of_run(6, 3), file, &file.path).unwrap();
        for elsewhere in
            [at(file, JOB.to_string().as_str(), "elsewhere"), at(file, "shared", ".."), at(file, "chk-3", "chk-2")]
        {
            assert!(elsewhere.path == file.path || check(&of_run(5, 3), &elsewhere, "").is_err(), "{elsewhere:?}");
        }
    }
    let passwd = proto::StateFile { path: "file:/etc/passwd".into(), ..Default::default() };
    let refused = check(&of_run(5, 3), &passwd, "").unwrap_err().to_string();
    assert!(refused.contains("file:/etc/passwd"), "{refused}");
    check(&barrier, &saved, "").unwrap();
    assert!(check(&barrier, &shared, "").is_err() && check(&of_run(5, 8), &saved, "").is_err());
}

#[tokio::test]
async fn what_could_not_be_deleted_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let file = put(&storage.files(&of_run(1, 4)).unwrap(), b"of another run").await;
    let nowhere = "hdfs://host/chk-4/_metadata".to_owned();
    let left = vec![file.path.clone(), nowhere.clone()];
    let known = KnownCheckpoints { run: 2, next: 8, left, ..KnownCheckpoints::default() };
    let deleted = storage.sweep(&known).await;
    assert!(deleted.failure.is_some() && exists(&file));
    assert_eq!(deleted.left, [nowhere, file.path.clone()]);
    let known = KnownCheckpoints { left: vec![file.path.clone()], ..known };
    assert_eq!(storage.sweep(&known).await.into_result().unwrap(), 1);
    assert!(!exists(&file));
}
