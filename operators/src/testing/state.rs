//! Keyed state in the tests of operators: subtasks that are cut by snapshots and go on at another parallelism.
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, BooleanArray};
use arrow::compute::{filter, filter_record_batch};
use bytes::Bytes;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_common::keygroup;
use wiesel_expressions::types::{LogicalType, schema_from_proto};
use wiesel_proto as proto;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{
    KeptBack, KeyRange, KeyedBackend, KeyedSnapshot, OpenRequest, ScanOrder, SnapshotOptions, StateBackend, TableId,
    VisitRange, WriteBatch,
};
use wiesel_state::storage::CheckpointStorage;
use wiesel_state::{Error as StateError, Result as StateResult};
use wiesel_state_backends::{StateResources, backend};

use crate::element::Batch;
use crate::operator::{Operator, OperatorContext, RestoredState, Result};
use crate::state::kept_back::write_restored;
use crate::state::table::{RowTable, TableLayout, key_groups};

/// The back ends.
pub const BACKENDS: [&str; 2] = ["hashmap", "rocksdb"];

/// A TaskManager with keyed state, and where it checkpoints.
pub struct World {
    runtime: tokio::runtime::Runtime,
    folder: tempfile::TempDir,
    storage: CheckpointStorage,
    backends: Vec<(&'static str, Arc<dyn StateBackend>)>,
    /// The back end that is opened if none is named.
    default: &'static str,
    max_parallelism: u32,
    attempts: AtomicUsize,
    /// Keys and ranges that were read.
    read: Arc<AtomicUsize>,
    /// Passes over tables.
    scans: Arc<AtomicUsize>,
    /// Entries that were written to tables.
    written: Arc<AtomicUsize>,
    /// Bytes of the keys and values of the largest batch that was written.
    largest: Arc<AtomicUsize>,
    /// Files that snapshots had beside tables.
    kept_back: Arc<AtomicUsize>,
    /// Batches that can be written to tables before this fails.
    writes_left: Arc<AtomicUsize>,
}

impl World {
    /// With all back ends; one is opened if none is named. Time to live is by the context's clock.
    pub fn new(context: &OperatorContext, default: &'static str) -> Arc<Self> {
        let folder = tempfile::tempdir().unwrap();
        let configuration = |name: &str| -> Configuration {
            let path = |name: &str| folder.path().join(name).display().to_string();
            let pairs = [
                ("state.backend.type", name.to_owned()),
                ("io.tmp.dirs", path(name)),
                ("execution.checkpointing.dir", path("checkpoints")),
            ];
            pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
        };
        let storage = CheckpointStorage::new(&configuration(default), JobId::random()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let open = |name: &'static str| {
            let configuration = configuration(name);
            let resources = StateResources::with_clock(&configuration, 64 << 20, 2, context.clock.clone()).unwrap();
            (name, backend(&configuration, &resources, storage.clone(), runtime.handle().clone()).unwrap())
        };
        let backends = BACKENDS.map(open).into();
        let (attempts, read, scans, written, largest, kept_back) = Default::default();
        let max_parallelism = context.max_parallelism;
        Arc::new(Self {
            runtime,
            folder,
            storage,
            backends,
            default,
            max_parallelism,
            attempts,
            read,
            scans,
            written,
            largest,
            kept_back,
            writes_left: Arc::new(AtomicUsize::new(usize::MAX)),
        })
    }

    /// From now on restored back ends write so many batches to tables, and then fail; `usize::MAX`: they do not fail.
    pub fn fail_after(&self, writes: usize) {
        self.writes_left.store(writes, Ordering::Relaxed);
    }

    /// How many keys and ranges were read so far.
    pub fn read(&self) -> usize {
        self.read.load(Ordering::Relaxed)
    }

    /// How many passes over tables were begun so far: each is an iterator of the back end.
    pub fn scans(&self) -> usize {
        self.scans.load(Ordering::Relaxed)
    }

    /// How many entries were written to tables so far.
    pub fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    /// How many bytes of keys and values the largest batch had that was written to a table so far.
    pub fn largest(&self) -> usize {
        self.largest.load(Ordering::Relaxed)
    }

    /// How many files snapshots had beside tables so far.
    pub fn kept_back(&self) -> usize {
        self.kept_back.load(Ordering::Relaxed)
    }

    /// What a subtask with these key groups starts from, on a back end, with `cache` bytes for groups.
    pub fn restored<'a>(
        &'a self,
        backend: &'static str,
        key_groups: Range<u32>,
        saved: &'a [proto::KeyedStateHandle],
        cache: usize,
    ) -> Restored<'a> {
        let key_groups = key_groups.start as u16..=key_groups.end as u16 - 1;
        Restored { world: self, backend, key_groups, saved, cache }
    }

    /// A back end with what was saved.
    pub fn open(&self, key_groups: RangeInclusive<u16>, saved: &[proto::KeyedStateHandle]) -> Box<dyn KeyedBackend> {
        self.open_on(self.default, key_groups, saved)
    }

    fn open_on(
        &self,
        name: &str,
        key_groups: RangeInclusive<u16>,
        saved: &[proto::KeyedStateHandle],
    ) -> Box<dyn KeyedBackend> {
        let attempt = self.attempts.fetch_add(1, Ordering::Relaxed).to_string();
        let overlaps = |handle: &&proto::KeyedStateHandle| {
            handle.first_key_group <= u32::from(*key_groups.end())
                && u32::from(*key_groups.start()) <= handle.last_key_group
        };
        let restore = saved.iter().filter(overlaps).cloned().collect();
        let (operator, task_name) = ("0a".to_owned(), "test".to_owned());
        let request = OpenRequest { operator, task_name, attempt, key_groups: Some(key_groups), restore };
        let (_, backend) = self.backends.iter().find(|(of, _)| *of == name).unwrap();
        backend.open(request).unwrap()
    }

    /// Writes a snapshot.
    pub fn upload(&self, snapshot: Box<dyn KeyedSnapshot>, options: &SnapshotOptions) -> proto::KeyedStateHandle {
        let kind = if options.canonical { proto::SnapshotKind::Savepoint } else { proto::SnapshotKind::Checkpoint };
        let barrier = proto::CheckpointBarrier {
            checkpoint_id: options.checkpoint_id,
            kind: kind.into(),
            target: format!("file:{}/savepoint", self.folder.path().display()),
            ..Default::default()
        };
        let files = self.storage.files(&barrier).unwrap();
        self.runtime.block_on(snapshot.upload(&*files)).unwrap().0
    }

    /// The entries of a table in what was saved.
    pub fn entries(&self, saved: &[proto::KeyedStateHandle], table: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let last = saved.iter().map(|handle| handle.last_key_group).max().unwrap_or_default();
        let mut backend = self.open(0..=last as u16, saved);
        let described = saved.iter().flat_map(|handle| &handle.tables).find(|described| described.name == table);
        let Some(described) = described else { return BTreeMap::new() };
        let id = backend.table(described).unwrap();
        if saved.iter().flat_map(|handle| &handle.files).any(|file| file.kept_back && file.name == table) {
            let types = |schema: &Option<proto::Schema>| -> Vec<LogicalType> {
                let fields = schema_from_proto(schema.as_ref()).unwrap();
                fields.into_iter().map(|field| field.data_type).collect()
            };
            let (key, value) = (types(&described.key), types(&described.value));
            let (namespace, max_parallelism, ttl) = (false, self.max_parallelism, described.ttl as i64);
            let layout =
                TableLayout { name: table, key: &key, sub_key: &[], value: &value, namespace, ttl, max_parallelism };
            let mut again = self.open(0..=last as u16, saved);
            std::mem::swap(&mut backend, &mut again);
            let rows = RowTable::open(&mut *backend, &layout).unwrap();
            write_restored(&mut *backend, &rows).unwrap();
        }
        let mut entries = BTreeMap::new();
        let mut visit = |key: &[u8], value: &[u8]| {
            entries.insert(key.to_vec(), value.to_vec());
            Ok(ControlFlow::Continue(()))
        };
        backend.scan(id, &[], &mut visit).unwrap();
        entries
    }
}

/// Counts what is read and written, and checks the order of keys.
struct Watched {
    inner: Box<dyn KeyedBackend>,
    read: Arc<AtomicUsize>,
    scans: Arc<AtomicUsize>,
    written: Arc<AtomicUsize>,
    largest: Arc<AtomicUsize>,
    kept_back: Arc<AtomicUsize>,
    writes_left: Arc<AtomicUsize>,
}

impl Watched {
    /// Fails if no more is to be written.
    fn may_write(&self) -> StateResult<()> {
        let one_less = |left: usize| if left == usize::MAX { Some(left) } else { left.checked_sub(1) };
        let left = self.writes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        left.map(|_| ()).map_err(|_| StateError::Backend("a write fails on purpose".into()))
    }
}

impl KeyedBackend for Watched {
    fn row_format(&self, name: &str) -> Option<u32> {
        self.inner.row_format(name)
    }

    fn table(&mut self, descriptor: &proto::StateTableDescriptor) -> StateResult<TableId> {
        self.inner.table(descriptor)
    }

    fn rewritten(&mut self, table: TableId, row_format: u32) -> StateResult<()> {
        self.inner.rewritten(table, row_format)
    }

    fn kept_back(&mut self, table: TableId) -> StateResult<Vec<Bytes>> {
        self.inner.kept_back(table)
    }

    fn key_groups(&self) -> Option<RangeInclusive<u16>> {
        self.inner.key_groups()
    }

    fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    fn get(&self, table: TableId, keys: &[&[u8]]) -> StateResult<Vec<Option<Bytes>>> {
        assert!(keys.is_sorted());
        self.read.fetch_add(keys.len(), Ordering::Relaxed);
        self.inner.get(table, keys)
    }

    fn write(&mut self, table: TableId, batch: WriteBatch) -> StateResult<()> {
        assert!(batch.entries.is_sorted_by(|a, b| a.0 < b.0), "in key order, each key once");
        self.may_write()?;
        self.written.fetch_add(batch.entries.len(), Ordering::Relaxed);
        let bytes = batch.entries.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum();
        self.largest.fetch_max(bytes, Ordering::Relaxed);
        self.inner.write(table, batch)
    }

    fn delete_range(&mut self, table: TableId, range: KeyRange<'_>) -> StateResult<()> {
        assert!(range.from[..2] == range.to[..2], "within a key group");
        self.may_write()?;
        self.inner.delete_range(table, range)
    }

    fn scan_from(
        &self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> StateResult<ControlFlow<()>>,
    ) -> StateResult<()> {
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.inner.scan_from(table, prefix, from, visit)
    }

    fn scan_ranges(
        &self,
        table: TableId,
        ranges: &[KeyRange<'_>],
        order: ScanOrder,
        visit: &mut VisitRange<'_>,
    ) -> StateResult<()> {
        assert!(ranges.is_sorted_by(|a, b| a.to <= b.from), "in key order, each key once");
        self.read.fetch_add(ranges.len(), Ordering::Relaxed);
        self.scans.fetch_add(1, Ordering::Relaxed);
        self.inner.scan_ranges(table, ranges, order, visit)
    }

    fn takes_kept_back(&self, options: &SnapshotOptions) -> bool {
        self.inner.takes_kept_back(options)
    }

    fn snapshot(&mut self, options: &SnapshotOptions, kept_back: Vec<KeptBack>) -> StateResult<Box<dyn KeyedSnapshot>> {
        self.kept_back.fetch_add(kept_back.len(), Ordering::Relaxed);
        self.inner.snapshot(options, kept_back)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) {
        self.inner.checkpoint_completed(checkpoint_id);
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) {
        self.inner.checkpoint_aborted(checkpoint_id);
    }
}

/// What a subtask starts from.
pub struct Restored<'a> {
    world: &'a World,
    backend: &'static str,
    key_groups: RangeInclusive<u16>,
    saved: &'a [proto::KeyedStateHandle],
    cache: usize,
}

impl RestoredState for Restored<'_> {
    fn checkpoint_id(&self) -> Option<u64> {
        None
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        let inner = self.world.open_on(self.backend, self.key_groups.clone(), self.saved);
        let World { read, scans, written, largest, kept_back, writes_left, .. } = self.world;
        let (read, scans, written) = (read.clone(), scans.clone(), written.clone());
        let (largest, kept_back) = (largest.clone(), kept_back.clone());
        Ok(Box::new(Watched { inner, read, scans, written, largest, kept_back, writes_left: writes_left.clone() }))
    }

    fn list(&mut self, _: &str) -> Vec<Bytes> {
        Vec::new()
    }

    fn cache_share(&mut self) -> CacheShare {
        CacheShare::fixed(self.cache)
    }
}

/// What subtasks saved.
pub type Saved = Vec<proto::KeyedStateHandle>;

/// All subtasks of an operator.
pub struct Subtasks<O> {
    /// The operators, by subtask.
    pub operators: Vec<O>,
    world: Arc<World>,
    max_parallelism: u32,
}

impl<O: Operator> Subtasks<O> {
    /// `parallelism` subtasks that begin with what was saved, each with `cache` bytes for groups.
    pub fn start(
        world: &Arc<World>,
        context: &OperatorContext,
        parallelism: u32,
        saved: &[proto::KeyedStateHandle],
        cache: usize,
        build: impl Fn(&OperatorContext) -> O,
    ) -> Self {
        let start = |subtask: u32| {
            let context = OperatorContext { subtask, parallelism, ..context.clone() };
            let groups = keygroup::key_groups(subtask, parallelism, context.max_parallelism);
            let mut operator = build(&context);
            operator.restore(&mut world.restored(world.default, groups, saved, cache)).unwrap();
            operator.open(&context).unwrap();
            operator
        };
        let operators = (0..parallelism).map(start).collect();
        Self { operators, world: world.clone(), max_parallelism: context.max_parallelism }
    }

    /// The rows of a batch that go to each subtask, by the hash of key columns.
    pub fn route(&self, batch: &Batch, keys: &[usize]) -> Vec<Batch> {
        by_subtask(batch, keys, self.operators.len() as u32, self.max_parallelism)
    }

    /// The state of all subtasks: every other time in the form that any back end reads.
    pub fn save(&mut self, checkpoint_id: u64) -> Saved {
        let options =
            SnapshotOptions { checkpoint_id, canonical: checkpoint_id % 2 == 1, full: false, savepoint: false };
        let world = &self.world;
        let save = |operator: &mut O| {
            let snapshot = operator.snapshot(&options).unwrap().keyed.unwrap();
            world.upload(snapshot, &options)
        };
        let saved = self.operators.iter_mut().map(save).collect();
        self.operators.iter_mut().for_each(|operator| operator.checkpoint_completed(checkpoint_id).unwrap());
        saved
    }
}

/// The rows of a batch that go to each subtask, by the hash of key columns.
pub fn by_subtask(batch: &Batch, keys: &[usize], parallelism: u32, max_parallelism: u32) -> Vec<Batch> {
    let columns: Vec<_> = keys.iter().map(|key| batch.records.column(*key).clone()).collect();
    let groups = key_groups(&columns, batch.num_rows(), max_parallelism).unwrap();
    let part = |subtask: u32| {
        let target = |group: &u16| keygroup::subtask(u32::from(*group), parallelism, max_parallelism);
        select(batch, &groups.iter().map(|group| Some(target(group) == subtask)).collect())
    };
    (0..parallelism).map(part).collect()
}

/// Some rows of a batch.
pub fn select(batch: &Batch, rows: &BooleanArray) -> Batch {
    let kinds = batch.kinds.as_ref().map(|kinds| filter(kinds, rows).unwrap());
    let kinds = kinds.map(|kinds| kinds.as_any().downcast_ref().cloned().unwrap());
    Batch { records: filter_record_batch(&batch.records, rows).unwrap(), kinds }
}
