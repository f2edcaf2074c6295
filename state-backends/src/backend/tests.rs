//! Both back ends against a map: random writes, checkpoints that complete, fail or are not heard of, restarts, other
//! parallelisms, the other back end. Files that no retained checkpoint needs are deleted as a JobManager does.
use std::collections::{BTreeMap, HashSet};
use std::ops::{ControlFlow, RangeInclusive};

use bytes::Bytes;
use proptest::prelude::*;
use wiesel_common::id::JobId;
use wiesel_common::time::ManualClock;
use wiesel_proto as proto;
use wiesel_state::keyed::{
    KeptBack, KeyRange, KeyedBackend, OpenRequest, ScanOrder, SnapshotOptions, TableId, WriteBatch,
};
use wiesel_state::storage::{all_files, shared_files};

use super::*;

pub(crate) const KEY_GROUPS: u16 = 8;

/// A TaskManager of a job.
pub(crate) struct World {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) resources: Arc<StateResources>,
    pub(crate) storage: CheckpointStorage,
    attempts: std::cell::Cell<u32>,
}

impl World {
    pub(crate) fn new(pairs: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config: Configuration = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        config.set("io.tmp.dirs", folder.path().join("tmp").display().to_string());
        if config.get_raw("execution.checkpointing.dir").is_none() {
            config.set("execution.checkpointing.dir", folder.path().join("checkpoints").display().to_string());
        }
        let clock = Arc::new(ManualClock::default());
        let resources = StateResources::with_clock(&config, 64 << 20, 2, clock.clone()).unwrap();
        let storage = CheckpointStorage::new(&config, JobId::random()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        Self { runtime, folder, clock, resources, storage, attempts: Default::default() }
    }

    pub(crate) fn open(
        &self,
        kind: BackendType,
        key_groups: RangeInclusive<u16>,
        restore: &[proto::KeyedStateHandle],
    ) -> Result<Box<dyn KeyedBackend>> {
        self.open_on(&*self.backend(kind), key_groups, restore)
    }

    pub(crate) fn backend(&self, kind: BackendType) -> Arc<dyn StateBackend> {
        let mut config = self.storage.configuration().clone();
        config.set("state.backend.type", wiesel_common::config::ConfigValue::show(&kind));
        backend(&config, &self.resources, self.storage.clone(), self.runtime.handle().clone()).unwrap()
    }

    pub(crate) fn open_on(
        &self,
        backend: &dyn StateBackend,
        key_groups: RangeInclusive<u16>,
        restore: &[proto::KeyedStateHandle],
    ) -> Result<Box<dyn KeyedBackend>> {
        self.attempts.set(self.attempts.get() + 1);
        backend.open(OpenRequest {
            operator: "0102".into(),
            task_name: "task (1/1)#0".into(),
            attempt: self.attempts.get().to_string(),
            key_groups: Some(key_groups),
            restore: restore.to_vec(),
        })
    }

    /// Takes and uploads a snapshot. Also returns the bytes that were uploaded.
    pub(crate) fn snapshot(
        &self,
        tables: &mut dyn KeyedBackend,
        options: &SnapshotOptions,
        kind: proto::SnapshotKind,
    ) -> Result<(proto::KeyedStateHandle, u64)> {
        self.snapshot_with(tables, options, kind, Vec::new())
    }

    /// The same with entries that are kept back.
    pub(crate) fn snapshot_with(
        &self,
        tables: &mut dyn KeyedBackend,
        options: &SnapshotOptions,
        kind: proto::SnapshotKind,
        kept_back: Vec<KeptBack>,
    ) -> Result<(proto::KeyedStateHandle, u64)> {
        let target = format!("file:{}/savepoint", self.folder.path().display());
        let checkpoint_id = options.checkpoint_id;
        let barrier = proto::CheckpointBarrier { checkpoint_id, kind: kind.into(), target, ..Default::default() };
        let snapshot = tables.snapshot(options, kept_back)?;
        let files = self.storage.files(&barrier)?;
        self.runtime.block_on(snapshot.upload(&*files))
    }

    pub(crate) fn checkpoint(&self, tables: &mut dyn KeyedBackend, id: u64) -> (proto::KeyedStateHandle, u64) {
        let options = SnapshotOptions { checkpoint_id: id, canonical: false, full: false, savepoint: false };
        self.snapshot(tables, &options, proto::SnapshotKind::Checkpoint).unwrap()
    }
}

pub(crate) fn descriptor(name: &str, ttl: u64) -> proto::StateTableDescriptor {
    proto::StateTableDescriptor { name: name.into(), ttl, ..Default::default() }
}

pub(crate) fn key(group: u16, key: &[u8]) -> Vec<u8> {
    [&group.to_be_bytes(), key].concat()
}

pub(crate) fn all(tables: &dyn KeyedBackend, table: TableId, prefix: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(ControlFlow::Continue(()))
    };
    tables.scan(table, prefix, &mut visit).unwrap();
    // From a key on, and from behind it.
    let middle = found.len() / 2;
    if let Some((key, _)) = found.get(middle) {
        let (mut tail, mut rest) = (Vec::new(), Vec::new());
        for (from, visited) in [(key.clone(), &mut tail), ([&key[..], &[0]].concat(), &mut rest)] {
            let mut visit = |key: &[u8], value: &[u8]| {
                visited.push((key.to_vec(), value.to_vec()));
                Ok(ControlFlow::Continue(()))
            };
            tables.scan_from(table, prefix, &from, &mut visit).unwrap();
        }
        assert_eq!((&tail[..], &rest[..]), (&found[middle..], &found[middle + 1..]));
    }
    by_ranges(tables, table, &found);
    found
}

/// Checkpoints on the S3 server that `tests/with-services.sh` starts; without one the test counts as skipped.
pub(crate) fn on_a_server(test: &str) -> Option<Vec<(&'static str, String)>> {
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

/// All entries again, key group after key group, on and back, and those that end a range.
fn by_ranges(tables: &dyn KeyedBackend, table: TableId, found: &[(Vec<u8>, Vec<u8>)]) {
    let groups: Vec<&[(Vec<u8>, Vec<u8>)]> = found.chunk_by(|(a, _), (b, _)| a[..2] == b[..2]).collect();
    // Each from its first key that was found, up to its last, which is not in it.
    let range = |group: &&'_ [(Vec<u8>, Vec<u8>)]| (group[0].0.clone(), group[group.len() - 1].0.clone());
    let bounds: Vec<(Vec<u8>, Vec<u8>)> = groups.iter().map(range).collect();
    let ranges: Vec<KeyRange<'_>> = bounds.iter().map(|(from, to)| KeyRange { from, to }).collect();
    for order in [ScanOrder::Forwards, ScanOrder::Backwards] {
        for most in [1, usize::MAX] {
            let mut visited: Vec<Vec<(Vec<u8>, Vec<u8>)>> = vec![Vec::new(); ranges.len()];
            let mut visit = |at: usize, key: &[u8], value: &[u8]| {
                visited[at].push((key.to_vec(), value.to_vec()));
                Ok(if visited[at].len() >= most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            };
            tables.scan_ranges(table, &ranges, order, &mut visit).unwrap();
            for (group, visited) in groups.iter().zip(visited) {
                let mut expected = group[..group.len() - 1].to_vec();
                if order == ScanOrder::Backwards {
                    expected.reverse();
                }
                expected.truncate(most);
                assert_eq!(visited, expected);
            }
        }
    }
}

type Model = [BTreeMap<Vec<u8>, Vec<u8>>; 2];

const TABLES: [&str; 2] = ["first", "second"];

#[derive(Clone, Debug)]
enum Step {
    /// To a table: key group, key, value.
    Write(usize, Vec<(u16, u8, Option<u8>)>),
    /// Of a table: a key group, and the keys of it from one on up to another.
    DeleteRange(usize, u16, u8, u8),
    Checkpoint(Outcome, bool),
    /// From the last complete checkpoint, with so many subtasks.
    Restart(u16),
    /// A savepoint and a start from it, on either back end.
    Savepoint(u16, bool, bool),
}

#[derive(Clone, Copy, Debug)]
enum Outcome {
    Completed,
    /// It is complete, but tasks are not told.
    Unheard,
    /// Completed, and told only after the next one was taken.
    Late,
    Aborted,
}

fn step() -> impl Strategy<Value = Step> {
    let change = (0..KEY_GROUPS, 0u8..20, prop::option::weighted(0.8, any::<u8>()));
    let outcome = prop_oneof![
        4 => Just(Outcome::Completed),
        2 => Just(Outcome::Unheard),
        2 => Just(Outcome::Late),
        2 => Just(Outcome::Aborted),
    ];
    prop_oneof![
        5 => (0usize..2, prop::collection::vec(change, 0..60)).prop_map(|(table, changes)| Step::Write(table, changes)),
        2 => (0usize..2, 0..KEY_GROUPS, 0u8..20, 0u8..25)
            .prop_map(|(table, group, from, to)| Step::DeleteRange(table, group, from, to)),
        5 => (outcome, prop::bool::weighted(0.25)).prop_map(|(outcome, full)| Step::Checkpoint(outcome, full)),
        2 => (1u16..5).prop_map(Step::Restart),
        1 => (1u16..5, any::<bool>(), any::<bool>()).prop_map(|(n, rocks, native)| Step::Savepoint(n, rocks, native)),
    ]
}

struct Subtask {
    key_groups: RangeInclusive<u16>,
    tables: Box<dyn KeyedBackend>,
    ids: [TableId; 2],
}

/// A job on one back end, with what it should hold.
struct Job {
    world: World,
    kind: BackendType,
    subtasks: Vec<Subtask>,
    model: Model,
    next_checkpoint: u64,
    /// The last complete checkpoint and what it should hold.
    complete: Option<(proto::CheckpointMetadata, Model)>,
    /// Complete, but not told yet.
    late: Option<u64>,
}

impl Job {
    fn new(kind: BackendType, incremental: bool, pairs: &[(&str, &str)]) -> Self {
        let incremental = if incremental { "true" } else { "false" };
        let pairs: Vec<_> =
            pairs.iter().copied().chain([("execution.checkpointing.incremental", incremental)]).collect();
        let mut job = Self {
            world: World::new(&pairs),
            kind,
            subtasks: Vec::new(),
            model: Model::default(),
            next_checkpoint: 1,
            complete: None,
            late: None,
        };
        job.start(2, &[]);
        job
    }

    fn start(&mut self, parallelism: u16, handles: &[proto::KeyedStateHandle]) {
        self.subtasks.clear();
        self.late = None;
        for subtask in 0..parallelism {
            let range = wiesel_common::keygroup::key_groups(subtask.into(), parallelism.into(), KEY_GROUPS.into());
            let key_groups = range.start as u16..=(range.end - 1) as u16;
            let mut tables = self.world.open(self.kind, key_groups.clone(), handles).unwrap();
            let ids = TABLES.map(|name| tables.table(&descriptor(name, 0)).unwrap());
            self.subtasks.push(Subtask { key_groups, tables, ids });
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Write(table, changes) => self.write(table, changes),
            Step::DeleteRange(table, group, from, to) => self.delete_range(table, group, from, to),
            Step::Checkpoint(outcome, full) => self.checkpoint(outcome, full),
            Step::Restart(parallelism) => {
                let (handles, model) = match &self.complete {
                    Some((metadata, model)) => (handles(metadata), model.clone()),
                    None => (Vec::new(), Model::default()),
                };
                self.start(parallelism, &handles);
                self.model = model;
            }
            Step::Savepoint(parallelism, rocks, native) => {
                let metadata = self.snapshot(
                    SnapshotOptions {
                        checkpoint_id: self.next_checkpoint,
                        canonical: !native,
                        full: true,
                        savepoint: true,
                    },
                    proto::SnapshotKind::Savepoint,
                );
                self.kind = if rocks { BackendType::RocksDb } else { BackendType::HashMap };
                self.start(parallelism, &handles(&metadata));
                // The savepoint is the user's and is not changed by what follows.
                self.complete = Some((metadata, self.model.clone()));
            }
        }
        self.verify();
    }

    fn write(&mut self, table: usize, changes: Vec<(u16, u8, Option<u8>)>) {
        let value = |value: u8| vec![value; usize::from(value % 40)];
        let changes: BTreeMap<Vec<u8>, Option<Vec<u8>>> =
            changes.into_iter().map(|(group, k, v)| (key(group, &[k]), v.map(value))).collect();
        for subtask in &mut self.subtasks {
            let mine =
                changes.iter().filter(|(key, _)| subtask.key_groups.contains(&u16::from_be_bytes([key[0], key[1]])));
            let entries = mine.map(|(key, value)| (key.clone().into(), value.clone().map(Bytes::from))).collect();
            subtask.tables.write(subtask.ids[table], WriteBatch { entries }).unwrap();
        }
        for (key, value) in changes {
            match value {
                Some(value) => _ = self.model[table].insert(key, value),
                None => _ = self.model[table].remove(&key),
            }
        }
    }

    fn delete_range(&mut self, table: usize, group: u16, from: u8, to: u8) {
        let (from, to) = (key(group, &[from]), key(group, &[to]));
        let subtask = self.subtasks.iter_mut().find(|subtask| subtask.key_groups.contains(&group)).unwrap();
        subtask.tables.delete_range(subtask.ids[table], KeyRange { from: &from, to: &to }).unwrap();
        self.model[table].retain(|key, _| *key < from || *key >= to);
    }

    fn snapshot(&mut self, options: SnapshotOptions, kind: proto::SnapshotKind) -> proto::CheckpointMetadata {
        self.next_checkpoint += 1;
        let task = |subtask: &mut Subtask| {
            let (handle, _) = self.world.snapshot(&mut *subtask.tables, &options, kind).unwrap();
            let operator = proto::OperatorSubtaskState { keyed: vec![handle], ..Default::default() };
            proto::TaskState { operators: vec![operator], ..Default::default() }
        };
        let subtasks = self.subtasks.iter_mut().map(task).collect();
        let vertex = proto::VertexState { subtasks, ..Default::default() };
        let checkpoint_id = options.checkpoint_id;
        proto::CheckpointMetadata { checkpoint_id, kind: kind.into(), vertices: vec![vertex], ..Default::default() }
    }

    fn checkpoint(&mut self, outcome: Outcome, full: bool) {
        let id = self.next_checkpoint;
        let options = SnapshotOptions { checkpoint_id: id, canonical: false, full, savepoint: false };
        let metadata = self.snapshot(options, proto::SnapshotKind::Checkpoint);
        if let Some(late) = self.late.take() {
            self.subtasks.iter_mut().for_each(|subtask| subtask.tables.checkpoint_completed(late));
        }
        match outcome {
            Outcome::Aborted => {
                self.subtasks.iter_mut().for_each(|subtask| subtask.tables.checkpoint_aborted(id));
                let barrier = proto::CheckpointBarrier { checkpoint_id: id, ..Default::default() };
                let acknowledged: Vec<_> = all_files(&metadata).into_iter().collect();
                let discarded = self.world.storage.discard_aborted(&barrier, &acknowledged);
                self.world.runtime.block_on(discarded).into_result().unwrap();
                self.verify_complete();
                return;
            }
            Outcome::Completed => {
                self.subtasks.iter_mut().for_each(|subtask| subtask.tables.checkpoint_completed(id));
            }
            Outcome::Late => self.late = Some(id),
            Outcome::Unheard => {}
        }
        let before = self.complete.replace((metadata.clone(), self.model.clone()));
        let Some((before, _)) = before.filter(|(before, _)| before.kind() == proto::SnapshotKind::Checkpoint) else {
            return;
        };
        let still: HashSet<String> = shared_files(&metadata);
        let discarded = self.world.storage.discard(&before, &still);
        self.world.runtime.block_on(discarded).into_result().unwrap();
        self.verify_complete();
    }

    /// Every file of the last complete checkpoint is there, whatever was deleted.
    fn verify_complete(&self) {
        let Some((metadata, _)) = &self.complete else { return };
        let handles = handles(metadata);
        for file in handles.iter().flat_map(|handle| &handle.files).filter_map(|named| named.file.as_ref()) {
            self.world.runtime.block_on(self.world.storage.read(file)).unwrap();
        }
    }

    fn verify(&self) {
        for (table, model) in self.model.iter().enumerate() {
            let found: Vec<_> =
                self.subtasks.iter().flat_map(|subtask| all(&*subtask.tables, subtask.ids[table], &[])).collect();
            let expected: Vec<_> = model.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(found, expected, "{}", TABLES[table]);
            for subtask in &self.subtasks {
                self.verify_reads(subtask, table, model);
            }
        }
    }

    fn verify_reads(&self, subtask: &Subtask, table: usize, model: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let keys: Vec<Vec<u8>> =
            subtask.key_groups.clone().rev().flat_map(|group| (0..21).map(move |k| key(group, &[k]))).collect();
        let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
        let found = subtask.tables.get(subtask.ids[table], &keys).unwrap();
        let expected: Vec<_> = keys.iter().map(|key| model.get(*key).cloned().map(Bytes::from)).collect();
        assert_eq!(found, expected);
        for group in subtask.key_groups.clone() {
            let prefix = group.to_be_bytes();
            let below = model.iter().filter(|(key, _)| key.starts_with(&prefix));
            let expected: Vec<_> = below.map(|(key, value)| (key.clone(), value.clone())).collect();
            assert_eq!(all(&*subtask.tables, subtask.ids[table], &prefix), expected);
        }
        if !model.keys().any(|key| subtask.key_groups.contains(&u16::from_be_bytes([key[0], key[1]]))) {
            return;
        }
        assert!(!subtask.tables.is_empty());
    }
}

fn handles(metadata: &proto::CheckpointMetadata) -> Vec<proto::KeyedStateHandle> {
    let tasks = metadata.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    tasks.flat_map(|task| &task.operators).flat_map(|operator| operator.keyed.clone()).collect()
}

fn threshold(inline: bool) -> (&'static str, &'static str) {
    ("execution.checkpointing.data-inline-threshold", if inline { "20kb" } else { "0" })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, max_shrink_iters: 50, ..Default::default() })]

    #[test]
    fn on_a_server_it_is_a_map(steps in prop::collection::vec(step(), 1..14), rocks in any::<bool>()) {
        let Some(pairs) = on_a_server("on_a_server_it_is_a_map") else { return Ok(()) };
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).collect();
        let mut job = Job::new(if rocks { BackendType::RocksDb } else { BackendType::HashMap }, true, &pairs);
        job.world.runtime.block_on(job.world.storage.initialize(1)).unwrap();
        steps.into_iter().for_each(|step| job.step(step));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..Default::default() })]

    #[test]
    fn hashmap_is_a_map(steps in prop::collection::vec(step(), 1..14), inline in any::<bool>()) {
        let mut job = Job::new(BackendType::HashMap, true, &[threshold(inline)]);
        steps.into_iter().for_each(|step| job.step(step));
    }

    #[test]
    fn rocksdb_is_a_map(
        steps in prop::collection::vec(step(), 1..20),
        incremental in prop::bool::weighted(0.8),
        inline in prop::bool::weighted(0.2),
    ) {
        let mut job = Job::new(BackendType::RocksDb, incremental, &[threshold(inline)]);
        steps.into_iter().for_each(|step| job.step(step));
    }
}

#[test]
fn a_snapshot_is_what_was_there_whatever_is_written_later() {
    for kind in [BackendType::HashMap, BackendType::RocksDb] {
        for canonical in [false, true] {
            let world = World::new(&[]);
            let mut tables = world.open(kind, 0..=7, &[]).unwrap();
            let table = tables.table(&descriptor("t", 0)).unwrap();
            let entry =
                |i: u16, value: &'static [u8]| (key(i % 8, &i.to_be_bytes()).into(), Some(Bytes::from_static(value)));
            let mut batch: Vec<_> = (0..500).map(|i| entry(i, b"before")).collect();
            batch.sort();
            tables.write(table, WriteBatch { entries: batch.clone() }).unwrap();
            let snapshot = tables
                .snapshot(&SnapshotOptions { checkpoint_id: 1, canonical, full: false, savepoint: false }, Vec::new())
                .unwrap();
            batch.iter_mut().for_each(|entry| entry.1 = Some(Bytes::from_static(b"after")));
            let left: usize = (0..500u16).filter(|i| i % 8 != 3 || !(100..300).contains(i)).count();
            let (from, to) = (key(3, &100u16.to_be_bytes()), key(3, &300u16.to_be_bytes()));
            // First of a key group as the snapshot has it, then of one that was written.
            for _ in 0..2 {
                tables.delete_range(table, KeyRange { from: &from, to: &to }).unwrap();
                assert_eq!(all(&*tables, table, &[]).len(), left, "{kind:?}");
                tables.write(table, WriteBatch { entries: batch.clone() }).unwrap();
                assert_eq!(all(&*tables, table, &[]).len(), 500, "{kind:?}");
            }
            drop(tables);
            let files =
                world.storage.files(&proto::CheckpointBarrier { checkpoint_id: 1, ..Default::default() }).unwrap();
            let (handle, bytes) = world.runtime.block_on(snapshot.upload(&*files)).unwrap();
            assert_eq!(bytes, files.written());
            let mut restored = world.open(kind, 0..=7, &[handle]).unwrap();
            let table = restored.table(&descriptor("t", 0)).unwrap();
            let found = all(&*restored, table, &[]);
            assert_eq!(found.len(), 500);
            assert!(found.iter().all(|(_, value)| value == b"before"), "{kind:?} {canonical}");
        }
    }
}

#[test]
fn expired_entries_are_not_there() {
    for kind in [BackendType::HashMap, BackendType::RocksDb] {
        let world = World::new(&[]);
        let mut tables = world.open(kind, 0..=7, &[]).unwrap();
        let table = tables.table(&descriptor("t", 1_000)).unwrap();
        let entry = |k: u8, written: i64| (key(1, &[k]).into(), Some(Bytes::copy_from_slice(&written.to_be_bytes())));
        tables.write(table, WriteBatch { entries: vec![entry(1, 0), entry(2, 600)] }).unwrap();
        world.clock.set(999);
        assert_eq!(all(&*tables, table, &[]).len(), 2);
        world.clock.set(1_000);
        assert_eq!(all(&*tables, table, &[]), [(key(1, &[2]), 600i64.to_be_bytes().to_vec())]);
        let (one, two) = (key(1, &[1]), key(1, &[2]));
        let found = tables.get(table, &[&one, &two]).unwrap();
        assert_eq!(found.iter().map(Option::is_some).collect::<Vec<_>>(), [false, true]);

        // What has expired is not in sorted entries; a restore brings back what is left, with its time.
        let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: true };
        let (handle, _) = world.snapshot(&mut *tables, &options, proto::SnapshotKind::Savepoint).unwrap();
        world.clock.set(0);
        let mut restored = world.open(kind, 0..=7, &[handle]).unwrap();
        let table = restored.table(&descriptor("t", 2_000)).unwrap();
        assert_eq!(all(&*restored, table, &[]).len(), 1);
        world.clock.set(2_600);
        assert!(all(&*restored, table, &[]).is_empty());
    }
}

#[test]
fn a_table_of_another_type_is_refused() {
    for kind in [BackendType::HashMap, BackendType::RocksDb] {
        let world = World::new(&[]);
        let mut tables = world.open(kind, 0..=7, &[]).unwrap();
        let typed = |root: proto::TypeRoot| {
            let of = proto::DataType { root: root.into(), ..Default::default() };
            let schema = proto::Schema { fields: vec![proto::Field { name: "f".into(), r#type: Some(of) }] };
            proto::StateTableDescriptor { key: Some(schema), ..descriptor("t", 0) }
        };
        let table = tables.table(&typed(proto::TypeRoot::Bigint)).unwrap();
        let entries = vec![(key(1, b"k").into(), Some(Bytes::from_static(b"v")))];
        tables.write(table, WriteBatch { entries }).unwrap();
        let (handle, _) = world.checkpoint(&mut *tables, 1);
        let mut restored = world.open(kind, 0..=7, &[handle]).unwrap();
        let error = restored.table(&typed(proto::TypeRoot::Varchar)).unwrap_err().to_string();
        assert!(error.contains("'t' of task (1/1)#0") && error.contains("(BIGINT)"), "{error}");
    }
}

#[test]
fn a_damaged_file_fails_the_restore_and_is_named() {
    for kind in [BackendType::HashMap, BackendType::RocksDb] {
        let world = World::new(&[("execution.checkpointing.data-inline-threshold", "0")]);
        let mut tables = world.open(kind, 0..=7, &[]).unwrap();
        let table = tables.table(&descriptor("t", 0)).unwrap();
        let entries = vec![(key(1, b"k").into(), Some(Bytes::from_static(b"v")))];
        tables.write(table, WriteBatch { entries }).unwrap();
        let (handle, _) = world.checkpoint(&mut *tables, 1);
        for named in &handle.files {
            let file = named.file.as_ref().unwrap();
            let path = file.path.strip_prefix("file:").unwrap();
            let whole = std::fs::read(path).unwrap();
            let mut damaged = whole.clone();
            damaged[whole.len() / 2] ^= 1;
            for bytes in [&damaged[..], &whole[..whole.len() - 1], &[]] {
                std::fs::write(path, bytes).unwrap();
                let error = world.open(kind, 0..=7, std::slice::from_ref(&handle)).map(|_| ()).unwrap_err().to_string();
                assert!(error.contains(&file.path) && error.contains("damaged"), "{error}");
            }
            std::fs::remove_file(path).unwrap();
            let error = world.open(kind, 0..=7, std::slice::from_ref(&handle)).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(&file.path), "{error}");
            std::fs::write(path, whole).unwrap();
        }
        assert!(world.open(kind, 0..=7, &[handle]).is_ok());
    }
}

#[test]
fn folders() {
    let folders = |text: &str| {
        let config = [("io.tmp.dirs".to_owned(), text.to_owned())].into_iter().collect();
        local_folders(&config).unwrap()
    };
    assert_eq!(folders("/a,/b:/c"), [PathBuf::from("/a"), PathBuf::from("/b"), PathBuf::from("/c")]);
    assert_eq!(folders("file:///a, /b"), [PathBuf::from("/a"), PathBuf::from("/b")]);
    let both = [("io.tmp.dirs", "/a"), ("state.backend.rocksdb.localdir", "/r")];
    let config = both.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    assert_eq!(local_folders(&config).unwrap(), [PathBuf::from("/r")]);
}
