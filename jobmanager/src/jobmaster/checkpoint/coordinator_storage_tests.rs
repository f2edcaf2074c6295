//! The coordinator with the real storage on a store that fails: whatever becomes of checkpoints and of who writes for them,
//! the store holds in the end what complete checkpoints refer to, and nothing else; and nothing before that was missing.
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wiesel_common::filesystem;
use wiesel_state::keyed::CheckpointFiles;
use wiesel_state::storage::{CheckpointStorage, METADATA, all_files};

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
}

impl Failing {
    fn new(seed: u64) -> Self {
        let random = Mutex::new(StdRng::seed_from_u64(seed));
        Self { inner: InMemory::new(), random, rate: Mutex::new(80), lists: Mutex::default() }
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
        let deleted = self.inner.delete_stream(paths);
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
}

impl Cluster {
    async fn new(seed: u64) -> Self {
        let store = Arc::new(Failing::new(seed));
        let bucket = format!("failing-{seed}");
        filesystem::mount(&bucket, store.clone());
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
        let storage = CheckpointStorage::new(&config, JobId([9; 16])).unwrap();
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
                    let cleaned = discard(&self.storage, garbage, &referenced).await;
                    self.job.coordinator.discarded(if hangs { Cleaned::default() } else { cleaned }, self.job.now);
                    actions.extend(self.job.actions());
                }
                Action::Sweep(known) => {
                    let cleaned = sweep(JobId([9; 16]), &self.storage, &known).await;
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
        tables.push(named(files.put(Bytes::from_static(b"of its own")).await?, false));
        let keyed = vec![proto::KeyedStateHandle { files: tables, ..Default::default() }];
        let operator = proto::OperatorSubtaskState { keyed, ..Default::default() };
        Ok(proto::TaskState { operators: vec![operator], ..Default::default() })
    }

    async fn run_task(&mut self, barrier: &proto::CheckpointBarrier, task: u8) {
        let id = barrier.checkpoint_id;
        let files = self.storage.files(barrier).unwrap();
        let written = self.write(barrier, task, &*files).await;
        let actions = match written {
            // The process dies, and with it whoever knows what it has written.
            _ if self.luck(3) => Vec::new(),
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
                    let _ = straggler.files.put(Bytes::from_static(b"too late")).await;
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
        let random = needed.iter().filter(|name| !name.starts_with("_random_/") && !name.starts_with("c/")).count();
        assert_eq!(random > 0, has_entropy(self.seed), "{random} files are at random places");
    }

    async fn quiet(&mut self) {
        self.stragglers.clear();
        *self.store.rate.lock() = 0;
        self.job.coordinator.suspend(Reason::CoordinatorSuspend, self.job.now);
        for _ in 0..100 {
            let actions = self.job.at(self.job.now + 10_000);
            self.take(actions).await;
        }
    }
}

/// Whether files are at random places.
fn has_entropy(seed: u64) -> bool {
    seed == 3
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
    cluster.job.coordinator.shut_down(JobStatus::Failed, cluster.job.now);
    let actions = cluster.job.actions();
    cluster.take(actions).await;
    assert!(!cluster.job.coordinator.is_busy());
    cluster.check_exact("at the end of the job").await;
    assert!(cluster.job.coordinator.latest().is_some());
}

/// Failed before: files of uploads that nobody acknowledged stayed in `shared/`, and whole checkpoints where a deletion failed.
#[tokio::test]
async fn a_store_that_fails_holds_in_the_end_what_complete_checkpoints_refer_to() {
    for seed in 0..4 {
        after_a_thousand_checkpoints(seed).await;
    }
}
