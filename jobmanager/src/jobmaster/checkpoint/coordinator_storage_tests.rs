//! The coordinator with the real storage on a store that fails: whatever becomes of checkpoints and of the tasks that write them,
//! the store holds in the end what complete checkpoints refer to, and nothing else; and nothing before that was missing.
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::future::{BoxFuture, ready};
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wiesel_common::filesystem::{self, Location, Unfinished, UploadStore};
use wiesel_state::keyed::CheckpointFiles;
use wiesel_state::storage::{CheckpointStorage, METADATA, all_files, find};

use super::*;
use crate::jobmaster::checkpointing::{discard, sweep};

/// A store that fails at random, before it does what it is asked or after.
#[derive(Debug)]
struct Failing {
    inner: InMemory,
    random: Mutex<StdRng>,
    /// Of a thousand requests so many fail.
    rate: Mutex<u32>,
    lists: Mutex<usize>,
    /// Uploads in parts that were begun.
    uploads: Mutex<Vec<Unfinished>>,
    /// What has a path with this end cannot be deleted or aborted.
    stuck: Mutex<Option<String>>,
}

impl Failing {
    fn new(seed: u64) -> Self {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        let rate = Mutex::new(80);
        let (inner, lists, uploads, stuck) = (InMemory::new(), Mutex::default(), Mutex::default(), Mutex::default());
        Self { inner, random, rate, lists, uploads, stuck }
    }

    fn is_stuck(&self, path: &Path) -> bool {
        self.stuck.lock().as_ref().is_some_and(|end| path.as_ref().ends_with(end.as_str()))
    }

    fn fails(&self) -> bool {
        self.random.lock().random_range(0..1_000) < *self.rate.lock()
    }

    fn error() -> object_store::Error {
        object_store::Error::Generic { store: "failing", source: "503 Slow Down".into() }
    }

    async fn names(&self) -> BTreeSet<String> {
        self.inner.list(None).map(|object| object.unwrap().location.to_string()).collect().await
    }
}

impl UploadStore for Failing {
    fn list<'a>(&'a self, folder: &'a Path, uri: &'a str) -> BoxFuture<'a, filesystem::Result<Vec<Unfinished>>> {
        if self.fails() {
            return ready(Err(refused("list unfinished uploads into", uri))).boxed();
        }
        let uploads = self.uploads.lock();
        let found: Vec<Unfinished> =
            uploads.iter().filter(|upload| upload.path.prefix_matches(folder)).cloned().collect();
        ready(Ok(found)).boxed()
    }

    fn abort<'a>(&'a self, upload: &'a Unfinished, uri: &'a str) -> BoxFuture<'a, filesystem::Result<()>> {
        if self.fails() || self.is_stuck(&upload.path) {
            return ready(Err(refused("abort an upload into", uri))).boxed();
        }
        self.uploads.lock().retain(|begun| begun != upload);
        ready(Ok(())).boxed()
    }
}

fn refused(action: &'static str, uri: &str) -> filesystem::Error {
    let (reason, kind) = ("503 Slow Down".to_owned(), filesystem::ErrorKind::Other);
    filesystem::Error::Failed { action, uri: uri.to_owned(), reason, kind }
}

impl fmt::Display for Failing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failing")
    }
}

#[tonic::async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> StoreResult<PutResult> {
        if self.fails() {
            return Err(Self::error());
        }
        let put = self.inner.put_opts(path, payload, options).await;
        if self.fails() { Err(Self::error()) } else { put }
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> StoreResult<GetResult> {
        if self.fails() { Err(Self::error()) } else { self.inner.get_opts(path, options).await }
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.inner.get_ranges(path, ranges).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, StoreResult<Path>>) -> BoxStream<'static, StoreResult<Path>> {
        let before = self.fails();
        let after = self.fails();
        if before {
            return futures::stream::once(async { Err(Self::error()) }).boxed();
        }
        let stuck = self.stuck.lock().clone();
        let is_stuck = move |path: &Path| stuck.as_ref().is_some_and(|end| path.as_ref().ends_with(end.as_str()));
        let paths = paths.map(move |path| match path {
            Ok(path) if is_stuck(&path) => Err(Self::error()),
            path => path,
        });
        let deleted = self.inner.delete_stream(paths.boxed());
        deleted.map(move |path| if after { Err(Self::error()) } else { path }).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        *self.lists.lock() += 1;
        if self.fails() { Err(Self::error()) } else { self.inner.list_with_delimiter(prefix).await }
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// What a task has written for a checkpoint and may still say, or write.
struct Straggler {
    id: u64,
    task: u8,
    files: Arc<dyn CheckpointFiles>,
    state: proto::TaskState,
}

struct Cluster {
    job: Fixture,
    storage: CheckpointStorage,
    store: Arc<Failing>,
    random: StdRng,
    folder: tempfile::TempDir,
    /// What each task's state of each checkpoint refers to in `shared/`.
    shared: std::collections::HashMap<(u64, u8), Vec<proto::KeyedStateFile>>,
    stragglers: Vec<Straggler>,
    barrier: Option<proto::CheckpointBarrier>,
    writing: Option<(proto::CheckpointBarrier, Arc<proto::CheckpointMetadata>)>,
    completed: usize,
    seed: u64,
    /// What another job uploads.
    upload_of_another: Unfinished,
}

const JOB: JobId = JobId([9; 16]);
/// This run of the job.
const RUN: u64 = 7;

/// An upload in parts for a file in `shared/` that was begun.
fn upload(storage: &CheckpointStorage, job: JobId, run: u64, checkpoint: u64) -> Unfinished {
    let folder = Location::resolve(storage.folder().unwrap(), storage.configuration()).unwrap().parent().unwrap();
    unfinished(&folder.join(&job.to_string()).join("shared"), run, checkpoint)
}

fn unfinished(folder: &Location, run: u64, checkpoint: u64) -> Unfinished {
    let name = format!("{run:016x}-{checkpoint}-{}", wiesel_common::random::uuid().simple());
    let (_, path) = folder.join(&name).with_entropy().object_store().unwrap();
    Unfinished { path, id: name }
}

impl Cluster {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(Failing::new(seed));
        let bucket = format!("failing-{seed}");
        filesystem::mount_with_uploads(&bucket, store.clone(), store.clone());
        let mut config = Configuration::default();
        config.set("execution.checkpointing.dir", format!("s3://{bucket}/_random_/c"));
        config.set("execution.checkpointing.data-inline-threshold", "0");
        if has_entropy(seed) {
            config.set("s3.entropy.key", "_random_");
            config.set("s3.entropy.length", "4");
        }
        let job = Fixture::new(&[
            ("interval", "1 s"),
            ("timeout", "3 s"),
            ("num-retained", "2"),
            ("tolerable-failed-checkpoints", "2147483647"),
            ("externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION"),
        ]);
        let storage = CheckpointStorage::new(&config, JOB).unwrap();
        let upload_of_another = upload(&storage, JobId([8; 16]), RUN, 1);
        store.uploads.lock().push(upload_of_another.clone());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("table"), "entries of a table").unwrap();
        let random = StdRng::seed_from_u64(seed);
        let (shared, stragglers) = (Default::default(), Vec::new());
        Self {
            job,
            storage,
            store,
            random,
            folder,
            shared,
            stragglers,
            barrier: None,
            writing: None,
            completed: 0,
            seed,
            upload_of_another,
        }
    }

    fn luck(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    async fn take(&mut self, actions: Vec<Action>) {
        let mut actions = VecDeque::from(actions);
        while let Some(action) = actions.pop_front() {
            match action {
                Action::Prepare { id } => actions.extend(self.job.prepared(id)),
                Action::Trigger { barrier, .. } => self.barrier = Some(barrier),
                Action::Finalize { barrier, metadata } => self.writing = Some((barrier, metadata)),
                Action::Completed { .. } => self.completed += 1,
                Action::Discard { garbage, referenced } => {
                    let hangs = self.luck(3);
                    let cleaned = discard(&self.storage, &garbage, &referenced).await;
                    let cleaned = if hangs { Cleaned::given_up(garbage) } else { cleaned };
                    self.job.coordinator.discarded(cleaned, self.job.now);
                    actions.extend(self.job.actions());
                }
                Action::Sweep(known) => {
                    let cleaned = sweep(JOB, &self.storage, &known).await;
                    self.job.coordinator.swept(cleaned, self.job.now);
                    actions.extend(self.job.actions());
                }
                _ => {}
            }
        }
    }

    /// One subtask's part: what it refers to again, a new table, and a file of its own. Some of it may be there on failure.
    async fn write(
        &mut self,
        barrier: &proto::CheckpointBarrier,
        task: u8,
        files: &dyn CheckpointFiles,
    ) -> wiesel_state::Result<proto::TaskState> {
        let mut tables = self.shared.get(&(barrier.completed_checkpoint_id, task)).cloned().unwrap_or_default();
        tables.retain(|_| self.random.random_range(0..10) < 7);
        let named =
            |file, shared| proto::KeyedStateFile { name: "f".into(), shared, file: Some(file), kept_back: false };
        tables.push(named(files.put_file(&self.folder.path().join("table"), true).await?, true));
        self.shared.insert((barrier.checkpoint_id, task), tables.clone());
        tables.push(named(files.put(Bytes::from_static(b"of its own"), false).await?, false));
        let keyed = vec![proto::KeyedStateHandle { files: tables, ..Default::default() }];
        let operator = proto::OperatorSubtaskState { keyed, ..Default::default() };
        Ok(proto::TaskState { operators: vec![operator], ..Default::default() })
    }

    async fn run_task(&mut self, barrier: &proto::CheckpointBarrier, task: u8) {
        let id = barrier.checkpoint_id;
        let files = self.storage.files(barrier).unwrap();
        let written = self.write(barrier, task, &*files).await;
        let actions = match written {
            // The process dies, and nothing else knows what it has written.
            _ if self.luck(3) => {
                let begun = upload(&self.storage, JOB, barrier.run, id);
                self.store.uploads.lock().push(begun);
                Vec::new()
            }
            // It is given up when the checkpoint fails, or stalls and goes on when all others have forgotten it.
            Ok(state) if self.luck(5) => {
                self.stragglers.push(Straggler { id, task, files, state });
                Vec::new()
            }
            Ok(state) => self.acknowledge(id, task, &state),
            Err(_) => {
                files.give_up().await;
                let failure = CheckpointFailure::new(Reason::AsyncException);
                self.job.coordinator.decline(id, failure, &self.job.graph, self.job.now);
                self.job.actions()
            }
        };
        self.take(actions).await;
    }

    fn acknowledge(&mut self, id: u64, task: u8, state: &proto::TaskState) -> Vec<Action> {
        let metrics = proto::CheckpointMetrics::default();
        let attempt = AttemptId([task; 16]);
        self.job.coordinator.acknowledge(id, attempt, state, metrics, &self.job.graph, self.job.now);
        self.job.actions()
    }

    /// Those that come late: some write more, some speak, some notice, some are never heard of.
    async fn stragglers(&mut self) {
        for _ in 0..self.stragglers.len() {
            let straggler = self.stragglers.remove(0);
            match self.random.random_range(0..20) {
                0 => {
                    // The answer does not matter: a file more or none.
                    let _ = straggler.files.put_file(&self.folder.path().join("table"), true).await;
                    let _ = straggler.files.put(Bytes::from_static(b"too late"), false).await;
                    self.stragglers.push(straggler);
                }
                1 => {
                    let actions = self.acknowledge(straggler.id, straggler.task, &straggler.state);
                    self.take(actions).await;
                }
                2 if self.job.coordinator.pending.contains_key(&straggler.id) => self.stragglers.push(straggler),
                2 => straggler.files.give_up().await,
                3 => {}
                _ => self.stragglers.push(straggler),
            }
        }
    }

    async fn finalize(&mut self) {
        let Some((barrier, metadata)) = self.writing.take() else { return };
        let written = self.storage.write_metadata(&barrier, &metadata).await;
        let io = |error: wiesel_state::Error| {
            CheckpointFailure::because(Reason::IoException, FailureInfo::new("java.io.IOException", error.to_string()))
        };
        self.job.coordinator.finalized(metadata, written.map_err(io), &self.job.graph, self.job.now);
        let actions = self.job.actions();
        self.take(actions).await;
    }

    async fn step(&mut self) {
        let by = self.random.random_range(100..1_500);
        let actions = self.job.at(self.job.now + by);
        self.take(actions).await;
        if let Some(barrier) = self.barrier.take() {
            let actions = self.job.triggered(barrier.checkpoint_id);
            self.take(actions).await;
            for task in SOURCES.into_iter().chain(SINKS) {
                self.run_task(&barrier, task).await;
            }
        }
        if self.luck(2) {
            self.job.coordinator.suspend(Reason::CoordinatorSuspend, self.job.now);
            self.job.coordinator.resume(self.job.now, 0.5);
            let actions = self.job.actions();
            self.take(actions).await;
        }
        self.finalize().await;
        self.stragglers().await;
        self.check_retained().await;
    }

    /// Nothing is missing of what the job could go on from.
    async fn check_retained(&self) {
        let there = self.store.names().await;
        let needed = self.needed();
        assert_eq!(needed.difference(&there).next(), None, "a file that is needed is gone");
    }

    fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for checkpoint in self.job.coordinator.retained() {
            let all = all_files(&checkpoint.metadata).into_iter().chain([format!("{}/{METADATA}", checkpoint.pointer)]);
            needed.extend(all.map(|uri| uri.splitn(4, '/').nth(3).unwrap().to_owned()));
        }
        needed
    }

    async fn check_exact(&self, when: &str) {
        let mut there = self.store.names().await;
        there.retain(|name| !name.ends_with("/.keep"));
        let needed = self.needed();
        let unused: Vec<_> = there.difference(&needed).collect();
        assert!(unused.is_empty(), "{when}: nothing refers to {} files, such as {}", unused.len(), unused[0]);
        assert_eq!(there, needed, "{when}");
        assert_eq!(*self.store.uploads.lock(), std::slice::from_ref(&self.upload_of_another), "{when}");
        let random = needed.iter().filter(|name| !name.starts_with("_random_/") && !name.starts_with("c/")).count();
        assert_eq!(random > 0, has_entropy(self.seed), "{random} files are at random places");
    }

    async fn quiet(&mut self) {
        self.stragglers.clear();
        *self.store.rate.lock() = 0;
        // The last straggler may have completed a checkpoint whose metadata is still to be written: until that has an outcome,
        // the coordinator rightly keeps the files.
        self.finalize().await;
        self.job.coordinator.suspend(Reason::CoordinatorSuspend, self.job.now);
        for _ in 0..100 {
            let actions = self.job.at(self.job.now + 10_000);
            self.take(actions).await;
        }
    }
}

/// Whether files are at random places.
fn has_entropy(seed: u64) -> bool {
    seed % 10 == 3
}

async fn after_a_thousand_checkpoints(seed: u64) {
    let mut cluster = Cluster::new(seed).await;
    while cluster.job.coordinator.next_id <= 1_000 {
        cluster.step().await;
    }
    let (completed, lists) = (cluster.completed, *cluster.store.lists.lock());
    println!("seed {seed}: {completed} checkpoints of 1,000 are complete, {lists} listings");
    assert!(completed > 100 && completed < 900, "{completed} checkpoints are complete");
    assert!(lists < 3_500 || has_entropy(seed), "{lists} listings");
    cluster.quiet().await;
    cluster.check_exact("while the job goes on").await;

    *cluster.store.rate.lock() = 80;
    cluster.job.coordinator.resume(cluster.job.now, 0.5);
    while cluster.job.coordinator.next_id <= 1_050 {
        cluster.step().await;
    }
    cluster.stragglers.clear();
    *cluster.store.rate.lock() = 0;
    cluster.finalize().await;
    cluster.job.coordinator.shut_down(JobStatus::Failed, false, cluster.job.now);
    let actions = cluster.job.actions();
    cluster.take(actions).await;
    assert!(!cluster.job.coordinator.is_busy());
    cluster.check_exact("at the end of the job").await;
    assert!(cluster.job.coordinator.latest().is_some());
}

/// Failed before: files of uploads that no task acknowledged stayed in `shared/`, and whole checkpoints where a deletion failed.
#[tokio::test]
async fn a_store_that_fails_holds_in_the_end_what_complete_checkpoints_refer_to() {
    for seed in 0..4 {
        after_a_thousand_checkpoints(seed).await;
    }
}

/// Failed before: what was at a random place was not looked for, and one that could not be aborted kept all others.
#[tokio::test]
async fn unfinished_uploads_are_aborted_wherever_they_are() {
    for seed in [10, 13] {
        let cluster = Cluster::new(seed).await;
        *cluster.store.rate.lock() = 0;
        let of = |run, checkpoint| upload(&cluster.storage, JOB, run, checkpoint);
        let (stuck, garbage, pending, theirs) = (of(RUN, 1), of(RUN, 1), of(RUN, 2), of(8, 1));
        for upload in [&stuck, &garbage, &pending, &theirs] {
            cluster.store.uploads.lock().push(upload.clone());
        }
        *cluster.store.stuck.lock() = Some(stuck.id.clone());
        let known = KnownCheckpoints { run: RUN, next: 3, pending: [2].into(), ..KnownCheckpoints::default() };
        let deleted = cluster.storage.sweep(&known).await;
        assert!(deleted.failure.is_some());
        let others = cluster.upload_of_another.clone();
        assert_eq!(*cluster.store.uploads.lock(), [others.clone(), stuck.clone(), pending, theirs], "{seed}");

        // Of earlier runs none is alive when the next one begins.
        assert!(cluster.storage.sweep_orphans(&[]).await.failure.is_some());
        assert_eq!(*cluster.store.uploads.lock(), [others.clone(), stuck], "{seed}");
        *cluster.store.stuck.lock() = None;
        cluster.storage.sweep_orphans(&[]).await.into_result().unwrap();
        assert_eq!(*cluster.store.uploads.lock(), [others], "{seed}");
    }
}

/// Failed before: neither its files at random places nor its metadata were found, and its uploads in parts at no place.
#[tokio::test]
async fn a_savepoint_that_failed_leaves_nothing() {
    for seed in [20, 23] {
        let cluster = Cluster::new(seed).await;
        *cluster.store.rate.lock() = 0;
        let storage = &cluster.storage;
        let target = storage.savepoint_target(Some(&format!("s3://failing-{seed}/_random_/savepoints"))).unwrap();
        let barrier = |run| proto::CheckpointBarrier {
            checkpoint_id: 1,
            run,
            kind: proto::SnapshotKind::Savepoint.into(),
            target: target.clone(),
            ..Default::default()
        };
        storage.files(&barrier(8)).unwrap().put(Bytes::from_static(b"of another run"), false).await.unwrap();
        let theirs = cluster.store.names().await;
        storage.files(&barrier(RUN)).unwrap().put(Bytes::from_static(b"never heard of"), false).await.unwrap();
        let metadata = proto::CheckpointMetadata { checkpoint_id: 1, run: RUN, ..Default::default() };
        storage.write_metadata(&barrier(RUN), &metadata).await.unwrap();
        let folder = Location::resolve(&target, storage.configuration()).unwrap();
        let upload_of_theirs = unfinished(&folder, 8, 1);
        for upload in [unfinished(&folder, RUN, 1), upload_of_theirs.clone()] {
            cluster.store.uploads.lock().push(upload);
        }
        let failed_savepoints = vec![(1, target.clone())];
        let known = KnownCheckpoints { run: RUN, next: 2, failed_savepoints, ..KnownCheckpoints::default() };
        storage.sweep_failed_savepoints(&known).await.into_result().unwrap();
        assert_eq!(cluster.store.names().await, theirs, "{seed}");
        assert_eq!(*cluster.store.uploads.lock(), [cluster.upload_of_another.clone(), upload_of_theirs], "{seed}");
    }
}

/// Failed before: the sweep counted as failed, so that the job's folder was listed every minute as long as the job lived.
#[tokio::test]
async fn the_folder_of_a_failed_savepoint_that_cannot_be_listed_leaves_no_sweep_to_be_done() {
    let cluster = Cluster::new(40).await;
    *cluster.store.rate.lock() = 0;
    let failed_savepoints = vec![(1, "nowhere://host/savepoint-1".to_owned())];
    let known = KnownCheckpoints { run: RUN, next: 2, failed_savepoints, ..KnownCheckpoints::default() };
    assert!(cluster.storage.sweep_failed_savepoints(&known).await.failure.is_some());
    assert!(sweep(JOB, &cluster.storage, &known).await.complete);
}

/// Failed before: it was forgotten for ever, since a sweep knows the files of its own run only.
#[tokio::test]
async fn a_claimed_checkpoint_whose_deletion_takes_too_long_is_swept() {
    let mut cluster = Cluster::new(30).await;
    *cluster.store.rate.lock() = 0;
    let barrier = proto::CheckpointBarrier { run: 1, checkpoint_id: 5, ..Default::default() };
    let files = cluster.storage.files(&barrier).unwrap();
    let state = cluster.write(&barrier, 1, &*files).await.unwrap();
    let vertex = proto::VertexState { subtasks: vec![state], ..Default::default() };
    let metadata = proto::CheckpointMetadata { checkpoint_id: 5, run: 1, vertices: vec![vertex], ..Default::default() };
    let pointer = cluster.storage.write_metadata(&barrier, &metadata).await.unwrap();
    let whole = cluster.store.names().await;
    assert_eq!(whole.len(), 3);
    let found = find(&pointer, cluster.storage.configuration()).await.unwrap();
    let claimed = CompletedCheckpoint::restored(found, Owner::Claimed, HashSet::new(), Vec::new());
    cluster.job.coordinator.start_from(claimed, ClaimMode::Claim);
    let mut actions = Vec::new();
    for id in [6, 7] {
        let now = cluster.job.now + 1_000;
        assert_eq!(prepare(&cluster.job.at(now)), Some(id));
        actions = cluster.job.run(id);
    }
    let discard = actions.into_iter().find_map(|action| match action {
        Action::Discard { garbage, .. } => Some(garbage),
        _ => None,
    });
    cluster.job.coordinator.discarded(Cleaned::given_up(discard.unwrap()), cluster.job.now);

    // As long as its metadata is there, so is the rest.
    *cluster.store.stuck.lock() = Some("chk-5/_metadata".into());
    let actions = cluster.job.at(cluster.job.now + 10_000);
    assert!(actions.iter().any(|action| matches!(action, Action::Sweep(_))));
    cluster.take(actions).await;
    assert_eq!(cluster.store.names().await, whole);
    *cluster.store.stuck.lock() = None;
    let actions = cluster.job.at(cluster.job.now + 70_000);
    cluster.take(actions).await;
    assert_eq!(cluster.store.names().await, BTreeSet::new());
}

/// Failed before: the mark went with a run that ended without a checkpoint, since with entropy no state is beside it, and the
/// run after that took for its own garbage what another job refers to.
#[tokio::test]
async fn a_mark_stays_as_long_as_there_is_state_at_random_places() {
    filesystem::mount("claimed-at-random-places", Arc::new(InMemory::new()));
    let mut config = Configuration::default();
    config.set("execution.checkpointing.dir", "s3://claimed-at-random-places/_random_/c");
    config.set("execution.checkpointing.data-inline-threshold", "0");
    config.set("s3.entropy.key", "_random_");
    config.set("s3.entropy.length", "4");
    let [first, second] = [JOB, JobId([8; 16])].map(|id| CheckpointStorage::new(&config, id).unwrap());
    let barrier = |id| proto::CheckpointBarrier { run: 1, checkpoint_id: id, ..Default::default() };
    first.initialize(1).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let table = folder.path().join("table");
    std::fs::write(&table, "entries of a table").unwrap();
    let file = first.files(&barrier(5)).unwrap().put_file(&table, true).await.unwrap();
    let named = proto::KeyedStateFile { shared: true, file: Some(file.clone()), ..Default::default() };
    let keyed = vec![proto::KeyedStateHandle { files: vec![named], ..Default::default() }];
    let operator = proto::OperatorSubtaskState { keyed, ..Default::default() };
    let state = proto::TaskState { operators: vec![operator], ..Default::default() };
    let vertex = proto::VertexState { subtasks: vec![state], ..Default::default() };
    let metadata = proto::CheckpointMetadata { checkpoint_id: 5, run: 1, vertices: vec![vertex], ..Default::default() };
    let pointer = first.write_metadata(&barrier(5), &metadata).await.unwrap();

    let found = find(&pointer, &config).await.unwrap();
    let mark = second.claim_mark(&found, 2).unwrap();
    mark.write().await.unwrap();
    let claim = second.claim(&found, &mark).await.unwrap();
    assert_eq!((claim.spared.len(), claim.folders.len()), (0, 1));
    let inheriting = proto::CheckpointMetadata { checkpoint_id: 6, claimed: claim.folders, ..metadata };
    second.write_metadata(&barrier(6), &inheriting).await.unwrap();
    second.discard_claimed(&found, &all_files(&inheriting)).await.into_result().unwrap();

    for _ in 0..2 {
        first.initialize(1).await.unwrap();
        first.sweep_orphans(&[]).await.into_result().unwrap();
        first.remove_job_folder().await.unwrap();
    }
    assert_eq!(second.read(&file).await.unwrap(), "entries of a table");
    filesystem::unmount("claimed-at-random-places");
}
