//! Who owns what, when jobs claim checkpoints of each other.
use super::*;

/// The checkpoints of another job in the directory of [`in_folder`].
fn job(folder: &Path, id: u8) -> CheckpointStorage {
    let configuration = in_folder(folder).configuration().clone();
    CheckpointStorage::new(&configuration, JobId([id; 16])).unwrap()
}

async fn claim(storage: &CheckpointStorage, pointer: &str) -> (Found, Claim) {
    let found = find(pointer, storage.configuration()).await.unwrap();
    let mark = storage.claim_mark(&found, 1).unwrap();
    mark.write().await.unwrap();
    let claim = storage.claim(&found, &mark).await.unwrap();
    (found, claim)
}

/// A file in `shared/` of a job.
async fn shared(storage: &CheckpointStorage, bytes: &[u8]) -> proto::StateFile {
    put_shared(&storage.files(&of_run(1, 1)).unwrap(), bytes).await
}

/// A complete checkpoint that names files in `shared/` folders. `claimed`: as [`Claim::folders`].
async fn complete(storage: &CheckpointStorage, id: u64, files: &[&proto::StateFile], claimed: &[String]) -> String {
    let files = files.iter().map(|file| ((*file).clone(), true)).collect();
    let metadata = proto::CheckpointMetadata { claimed: claimed.to_vec(), ..metadata(id, files) };
    storage.write_metadata(&of_run(1, id), &metadata).await.unwrap()
}

/// What a job does with a checkpoint that it claimed and has replaced by its own.
async fn replace(storage: &CheckpointStorage, (found, claim): &(Found, Claim), needed: &[&proto::StateFile]) {
    let needed = needed.iter().map(|file| file.path.clone()).chain(claim.spared.iter().cloned()).collect();
    storage.discard_claimed(found, &needed).await.into_result().unwrap();
    assert!(find(&found.folder, storage.configuration()).await.is_err());
}

fn paths(files: &[&proto::StateFile]) -> HashSet<String> {
    files.iter().map(|file| file.path.clone()).collect()
}

fn marks_of(folder: &Path, id: u8) -> Vec<String> {
    let shared = folder.join(JobId([id; 16]).to_string()).join("shared");
    if !shared.exists() {
        return Vec::new();
    }
    names_in(&shared).into_iter().filter(|name| name.starts_with(CLAIMED)).collect()
}

/// Failed before: all of it went, and the job that had claimed it had nothing to restart from.
#[tokio::test]
async fn a_claimed_checkpoint_is_not_disposed_of() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b, c) = (job(folder.path(), 0xa), job(folder.path(), 0xb), job(folder.path(), 0xc));
    let f = shared(&a, b"in the shared folder").await;
    let own = put(&a.files(&of_run(1, 5)).unwrap(), b"of the fifth alone").await;
    let state = metadata(5, vec![(f.clone(), true), (own.clone(), false)]);
    let pointer = a.write_metadata(&of_run(1, 5), &state).await.unwrap();
    // One without shared files is no less a start.
    let alone = complete(&a, 3, &[], &[]).await;

    assert_eq!(claim(&b, &pointer).await.1.spared, HashSet::new());
    claim(&b, &alone).await;
    let [mark, other] = [5, 3].map(|id| format!(".claimed-chk-{id}-{}-0000000000000001", JobId([0xb; 16])));
    assert_eq!(marks_of(folder.path(), 0xa), [other, mark.clone()]);
    let refused = dispose_savepoint(&pointer, b.configuration()).await.unwrap_err();
    assert!(matches!(refused, Error::Claimed(_)), "{refused}");
    let text = refused.to_string();
    assert!(text.contains(&format!("the job {}", JobId([0xb; 16]))) && text.contains(&mark), "{text}");
    assert!(dispose_savepoint(&alone, b.configuration()).await.is_err());
    assert!(exists(&f) && exists(&own) && find(&pointer, b.configuration()).await.is_ok());

    // The same job may claim it again; another one owns none of the shared files.
    assert_eq!(claim(&b, &pointer).await.1.spared, HashSet::new());
    let other = claim(&c, &pointer).await;
    assert_eq!((&other.1.spared, other.1.folders.len()), (&paths(&[&f]), 0));
    replace(&c, &other, &[]).await;
    assert!(exists(&f));
}

/// Before, a mark did not say whose it is.
#[tokio::test]
async fn a_mark_without_a_job_is_somebodys() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (job(folder.path(), 0xa), job(folder.path(), 0xb));
    let f = shared(&a, b"in the shared folder").await;
    let pointer = complete(&a, 5, &[&f], &[]).await;
    let mark = folder.path().join(JobId([0xa; 16]).to_string()).join("shared/.claimed-chk-5");
    std::fs::write(&mark, "").unwrap();
    let refused = dispose_savepoint(&pointer, b.configuration()).await.unwrap_err().to_string();
    assert!(refused.contains(&mark.display().to_string()), "{refused}");
    assert_eq!(claim(&b, &pointer).await.1.spared, paths(&[&f]));
}

/// Failed before: the third one owned the file, and deleted it while the second one's checkpoint referred to it.
#[tokio::test]
async fn what_two_jobs_have_claimed_is_nobodys() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = [0xa, 0xb, 0xc, 0xd].map(|id| job(folder.path(), id));
    let [a, b, c, d] = &jobs;
    let (f, g) = (shared(a, b"in both of them").await, shared(a, b"in the fifth").await);
    let (fourth, fifth) = (complete(a, 4, &[&f], &[]).await, complete(a, 5, &[&f, &g], &[]).await);

    let of_b = claim(b, &fifth).await;
    assert_eq!(of_b.1.spared, paths(&[&f]));
    let of_c = claim(c, &fourth).await;
    assert_eq!((&of_c.1.spared, of_c.1.folders.len()), (&paths(&[&f]), 0));
    let kept = complete(c, 6, &[&f], &of_c.1.folders).await;
    replace(c, &of_c, &[&f]).await;
    let retained = complete(b, 9, &[&f, &g], &of_b.1.folders).await;
    replace(b, &of_b, &[&f, &g]).await;

    let of_d = claim(d, &retained).await;
    assert_eq!(of_d.1.spared, paths(&[&f, &g]));
    assert_eq!(of_d.1.folders, [format!("{}/shared", b.folder().unwrap())], "it stays nobody's");
    replace(d, &of_d, &[]).await;
    assert!(exists(&f) && find(&kept, c.configuration()).await.is_ok());
}

/// Failed before: only what was in the folder beside it was spared, not what its job had claimed.
#[tokio::test]
async fn what_was_claimed_goes_on_to_be_nobodys_where_its_heirs_divide() {
    let folder = tempfile::tempdir().unwrap();
    let jobs = [0xa, 0xb, 0xc, 0xd, 0xe].map(|id| job(folder.path(), id));
    let [a, b, c, d, e] = &jobs;
    let f = shared(a, b"of the first job").await;
    let of_b = claim(b, &complete(a, 5, &[&f], &[]).await).await;
    let (eighth, ninth) = (complete(b, 8, &[&f], &of_b.1.folders).await, complete(b, 9, &[&f], &of_b.1.folders).await);
    replace(b, &of_b, &[&f]).await;

    let of_c = claim(c, &ninth).await;
    assert_eq!(of_c.1.spared, paths(&[&f]));
    let own = shared(c, b"of the third job").await;
    let twelfth = complete(c, 12, &[&f, &own], &of_c.1.folders).await;
    replace(c, &of_c, &[&f]).await;
    let of_d = claim(d, &eighth).await;
    assert_eq!(of_d.1.spared, paths(&[&f]));
    let kept = complete(d, 10, &[&f], &of_d.1.folders).await;
    replace(d, &of_d, &[]).await;
    assert!(exists(&f));

    let of_e = claim(e, &twelfth).await;
    assert_eq!(of_e.1.spared, paths(&[&f]));
    replace(e, &of_e, &[]).await;
    assert!(exists(&f) && !exists(&own) && find(&kept, d.configuration()).await.is_ok());
}

/// Failed before: each restart left the whole state of the run before, for ever.
#[tokio::test]
async fn a_run_that_goes_on_in_its_own_folder_owns_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let a = job(folder.path(), 0xa);
    let (old, new) = (shared(&a, b"of the first run").await, shared(&a, b"of the second run").await);
    let second = claim(&a, &complete(&a, 5, &[&old], &[]).await).await;
    assert_eq!(second.1.spared, HashSet::new());
    assert_eq!(marks_of(folder.path(), 0xa), [""; 0]);
    let ninth = complete(&a, 9, &[&old, &new], &second.1.folders).await;
    replace(&a, &second, &[&old, &new]).await;
    let third = claim(&a, &ninth).await;
    assert_eq!(third.1.spared, HashSet::new());
    replace(&a, &third, &[]).await;
    assert!(!exists(&old) && !exists(&new));

    // Who has claimed there is another, although it may have the same id, with its checkpoints elsewhere.
    let elsewhere = tempfile::tempdir().unwrap();
    let of_the_same_id = job(elsewhere.path(), 0xa);
    let inherited = shared(&a, b"of the third run").await;
    let pointer = complete(&a, 12, &[&inherited], &[]).await;
    let of_other = claim(&of_the_same_id, &pointer).await;
    let kept = complete(&of_the_same_id, 13, &[&inherited], &of_other.1.folders).await;
    replace(&of_the_same_id, &of_other, &[&inherited]).await;
    a.sweep_orphans(&[]).await.into_result().unwrap();
    assert!(exists(&inherited) && find(&kept, a.configuration()).await.is_ok());
}

/// Failed before: the mark of a job that never ran stayed.
#[tokio::test]
async fn a_claim_of_which_nothing_came_is_taken_back() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (job(folder.path(), 0xa), job(folder.path(), 0xb));
    let f = shared(&a, b"in the shared folder").await;
    let pointer = complete(&a, 5, &[&f], &[]).await;
    let found = find(&pointer, b.configuration()).await.unwrap();
    let mark = b.claim_mark(&found, 1).unwrap();
    assert_eq!(marks_of(folder.path(), 0xa), [""; 0], "not before it is written");
    mark.write().await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa).len(), 1);
    b.take_back(&mark).await.unwrap();
    b.remove_claimed_folder(&mark).await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa), [""; 0]);
    assert!(exists(&f) && find(&pointer, b.configuration()).await.is_ok());

    // Not if there is a checkpoint that refers to what was claimed; and then a later run does not own that alone.
    mark.write().await.unwrap();
    let claimed = b.claim(&found, &mark).await.unwrap();
    complete(&b, 6, &[&f], &claimed.folders).await;
    b.take_back(&mark).await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa).len(), 1);
    let again = b.claim_mark(&found, 2).unwrap();
    assert_eq!(b.claim(&found, &again).await.unwrap().spared, paths(&[&f]));
    // Nor if it is an earlier run's mark.
    dispose_savepoint(&format!("{}/chk-6", b.folder().unwrap()), b.configuration()).await.unwrap();
    b.take_back(&again).await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa).len(), 1);
}

/// Failed before: both runs had one mark, and what the first one did late it did to the second one's. Files in use were nobody's
/// then, for whoever cleaned up.
#[tokio::test]
async fn a_mark_is_one_runs_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (job(folder.path(), 0xa), job(folder.path(), 0xb));
    let f = shared(&a, b"in the shared folder").await;
    let pointer = complete(&a, 5, &[&f], &[]).await;
    let found = find(&pointer, b.configuration()).await.unwrap();
    let [first, second] = [1, 2].map(|run| b.claim_mark(&found, run).unwrap());
    second.write().await.unwrap();
    first.write().await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa).len(), 2);
    for _ in 0..2 {
        first.remove().await.unwrap();
        first.delete().await.unwrap();
        assert_eq!(marks_of(folder.path(), 0xa), [format!(".claimed-chk-5-{}-0000000000000002", JobId([0xb; 16]))]);
    }
    // Marks of before runs were noted.
    let old = folder.path().join(format!("{}/shared/.claimed-chk-5-{}", JobId([0xa; 16]), JobId([0xb; 16])));
    std::fs::write(&old, "").unwrap();
    second.remove().await.unwrap();
    let refused = dispose_savepoint(&pointer, b.configuration()).await.unwrap_err().to_string();
    assert!(refused.contains(&format!("claimed by the job {}", JobId([0xb; 16]))), "{refused}");
}

/// Before, the folder stayed for ever, with nothing in it but the mark.
#[tokio::test]
async fn the_folder_that_was_claimed_from_goes_when_nothing_is_left_there() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (job(folder.path(), 0xa), job(folder.path(), 0xb));
    a.initialize(1).await.unwrap();
    let f = shared(&a, b"in the shared folder").await;
    let pointer = complete(&a, 5, &[&f], &[]).await;
    let found = find(&pointer, b.configuration()).await.unwrap();
    let mark = b.claim_mark(&found, 1).unwrap();
    mark.write().await.unwrap();
    let needed = HashSet::from([f.path.clone()]);
    b.discard_claimed(&found, &needed).await.into_result().unwrap();
    b.remove_claimed_folder(&mark).await.unwrap();
    assert!(exists(&f) && marks_of(folder.path(), 0xa).len() == 1, "it is in use");

    std::fs::remove_file(f.path.strip_prefix("file:").unwrap()).unwrap();
    let others = folder.path().join(JobId([0xa; 16]).to_string()).join("shared/.claimed-chk-4");
    std::fs::write(&others, "").unwrap();
    b.remove_claimed_folder(&mark).await.unwrap();
    assert_eq!(marks_of(folder.path(), 0xa).len(), 2, "another's may be of use to it");
    std::fs::remove_file(others).unwrap();
    b.remove_claimed_folder(&mark).await.unwrap();
    assert!(!folder.path().join(JobId([0xa; 16]).to_string()).exists());
}

/// Failed before: the whole folder of what was claimed went, and shared files that another checkpoint needs.
#[tokio::test]
async fn what_is_claimed_goes_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let files = storage.files(&of_run(1, 4)).unwrap();
    let (both, own) = (put_shared(&files, b"in both of them").await, put_shared(&files, b"in the claimed").await);
    let kept = storage.write_metadata(&of_run(1, 4), &metadata(4, vec![(both.clone(), true)])).await.unwrap();
    let claimed = metadata(5, vec![(both.clone(), true), (own.clone(), true)]);
    let pointer = storage.write_metadata(&of_run(1, 5), &claimed).await.unwrap();
    let notes = Path::new(pointer.strip_prefix("file:").unwrap()).join("notes.txt");
    std::fs::write(&notes, "mine").unwrap();

    let copy = folder.path().join("copy");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::copy(notes.with_file_name("_metadata"), copy.join("_metadata")).unwrap();
    for (pointer, stays) in [(copy.display().to_string(), true), (pointer, false)] {
        let (found, claim) = claim(&storage, &pointer).await;
        storage.discard_claimed(&found, &claim.spared).await.into_result().unwrap();
        assert_eq!((exists(&own), exists(&both)), (stays, true), "{pointer}");
        assert!(find(&pointer, storage.configuration()).await.is_err());
    }
    assert!(notes.exists() && !copy.exists());
    read_metadata(&kept, storage.configuration()).await.unwrap();
}

/// Before, what a job had inherited by a claim was nobody's for the next one that claimed its checkpoint, and stayed for ever;
/// and a later run of the first job took it for its own garbage.
#[tokio::test]
async fn what_was_claimed_is_claimed_again_and_no_garbage_of_the_first_job() {
    let folder = tempfile::tempdir().unwrap();
    let first = in_folder(folder.path());
    let second = job(folder.path(), 9);
    let configuration = second.configuration().clone();
    first.initialize(1).await.unwrap();
    second.initialize(1).await.unwrap();
    let inherited = put_shared(&first.files(&of_run(1, 5)).unwrap(), b"written by the first job").await;
    let other = put_shared(&first.files(&of_run(1, 5)).unwrap(), b"also of an older checkpoint").await;
    let both = metadata(5, vec![(inherited.clone(), true), (other.clone(), true)]);
    let older = first.write_metadata(&of_run(1, 4), &metadata(4, vec![(other.clone(), true)])).await.unwrap();
    let pointer = first.write_metadata(&of_run(1, 5), &both).await.unwrap();

    // The second job claims it, makes one of its own that names the same file, and deletes what it claimed.
    let (found, Claim { spared: kept, folders: claimed }) = claim(&second, &pointer).await;
    assert_eq!(kept, HashSet::from([other.path.clone()]));
    assert_eq!(claim(&second, &pointer).await.1.spared, kept, "its own mark");
    let inheriting = proto::CheckpointMetadata { claimed, ..metadata(6, vec![(inherited.clone(), true)]) };
    let inheritor = second.write_metadata(&of_run(2, 6), &inheriting).await.unwrap();
    let needed = kept.into_iter().chain([inherited.path.clone()]).collect();
    second.discard_claimed(&found, &needed).await.into_result().unwrap();
    assert!(exists(&inherited) && exists(&other));

    // A later run of the first job lets it alone, and so does whoever disposes of the older checkpoint.
    first.sweep_orphans(&[]).await.into_result().unwrap();
    assert!(exists(&inherited) && exists(&other));
    dispose_savepoint(&older, &configuration).await.unwrap();
    assert!(exists(&other) && find(&older, &configuration).await.is_err());

    // A copy of it owns nothing of that; a later run of the job that claims it owns it.
    let copy = folder.path().join("copy").join("chk-6");
    std::fs::create_dir_all(&copy).unwrap();
    std::fs::copy(Path::new(inheritor.strip_prefix("file:").unwrap()).join("_metadata"), copy.join("_metadata"))
        .unwrap();
    for (pointer, stays) in [(copy.display().to_string(), true), (inheritor, false)] {
        let (found, claim) = claim(&second, &pointer).await;
        second.discard_claimed(&found, &claim.spared).await.into_result().unwrap();
        assert_eq!((exists(&inherited), exists(&other)), (stays, true), "{pointer}");
    }
}
