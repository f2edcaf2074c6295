//! The back end `rocksdb`: entries on local disk, one RocksDB instance an operator and subtask, one column family a table.
//!
//! There is no write-ahead log: what counts after a failure is the checkpoint. A snapshot flushes the write buffers and makes
//! hard links to the files; its upload leaves out files that a complete checkpoint has. Entries that an operator keeps back
//! because they change all the time go into a file beside them: written into the instance, they would be sorted, compressed
//! and compacted for each checkpoint.
use std::collections::HashMap;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::rocksdb::{ReadOptions, WriteOptions};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::checkpointing;
use wiesel_common::time::Clock;
use wiesel_proto as proto;
use wiesel_state::Result;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{
    KeptBack, KeyRange, KeyedBackend, KeyedSnapshot, OpenRequest, ScanOrder, SnapshotOptions, StateBackend, TableId,
    VisitRange, WriteBatch,
};
use wiesel_state::storage::CheckpointStorage;
use wiesel_state::ttl::Ttl;

use crate::backend::StateResources;
use crate::tables::{Tables, key_group};

mod copies;
mod database;
mod history;
mod memory;
mod native;
mod options;
mod restore;
mod snapshot;
#[cfg(test)]
mod tests;
mod ttl_filter;

use copies::LocalCopies;
use database::{Database, Setup};
use history::History;
pub(crate) use memory::{MemoryPlan, SharedMemory};
pub(crate) use native::NativeReader;
use options::Settings;
use snapshot::Snapshot;

/// Keys that are looked up at once: their blocks are in memory together.
const KEYS_AT_ONCE: usize = 1024;

/// Opens RocksDB instances.
pub(crate) struct RocksDbBackend {
    resources: Arc<StateResources>,
    settings: Settings,
    incremental: bool,
    /// Kept for local recovery, if that is turned on.
    copies: Option<Arc<LocalCopies>>,
    native: NativeReader,
    storage: CheckpointStorage,
    runtime: Handle,
}

impl RocksDbBackend {
    pub(crate) fn new(
        configuration: &Configuration,
        resources: Arc<StateResources>,
        storage: CheckpointStorage,
        runtime: Handle,
    ) -> Result<Self> {
        let settings = Settings::new(configuration)?;
        let incremental = configuration.get(&checkpointing::INCREMENTAL)?;
        let copies = configuration.get(&checkpointing::LOCAL_BACKUP)?.then(Arc::<LocalCopies>::default);
        let native = NativeReader::new(configuration, storage.clone(), runtime.clone())?.with_copies(copies.clone());
        Ok(Self { resources, settings, incremental, copies, native, storage, runtime })
    }
}

impl StateBackend for RocksDbBackend {
    fn open(&self, request: OpenRequest) -> Result<Box<dyn KeyedBackend>> {
        let folder = self.resources.folders().create(&format!("{}_{}", request.operator, request.attempt))?;
        let setup = Setup {
            task: request.task_name.clone(),
            settings: self.settings.clone(),
            resources: self.resources.clone(),
        };
        let restored = restore::open(self, &setup, folder, &request)?;
        let instance = format!("{} {:?}", request.operator, request.key_groups);
        Ok(Box::new(RocksDbTables {
            copies: self.copies.clone().map(|copies| (copies, instance)),
            write: without_log(),
            key_groups: request.key_groups,
            clock: self.resources.clock().clone(),
            incremental: self.incremental,
            history: Arc::new(Mutex::new(History::restored(restored.uploaded))),
            empty: restored.empty,
            kept_back: restored.kept_back,
            tables: restored.tables,
            database: restored.database,
            snapshots: 0,
        }))
    }

    fn cache_share(&self) -> CacheShare {
        self.resources.caches().join()
    }
}

/// Nothing that is written is logged.
fn without_log() -> WriteOptions {
    let mut options = WriteOptions::default();
    options.disable_wal(true);
    options
}

/// The tables of one operator.
struct RocksDbTables {
    database: Database,
    tables: Tables,
    key_groups: Option<RangeInclusive<u16>>,
    clock: Arc<dyn Clock>,
    write: WriteOptions,
    incremental: bool,
    history: Arc<Mutex<History>>,
    /// What is kept for local recovery, and under which name that of this instance.
    copies: Option<(Arc<LocalCopies>, String)>,
    empty: bool,
    /// What restored snapshots have beside tables, with the tables' names.
    kept_back: Vec<(String, Bytes)>,
    /// Snapshots taken: each has a folder of its own.
    snapshots: u64,
}

impl RocksDbTables {
    fn name(&self, table: TableId) -> Result<&str> {
        self.tables.get(table).map(|descriptor| descriptor.name.as_str())
    }

    fn ttl(&self, table: TableId) -> Result<Ttl> {
        Ok(Ttl::of(self.tables.get(table)?, self.clock.now_millis()))
    }

    /// Keys are in order: the first and the last tell.
    fn check_key_groups(&self, batch: &WriteBatch) -> Result<()> {
        let mut ends = batch.entries.first().into_iter().chain(batch.entries.last());
        ends.try_for_each(|(key, _)| self.check_key_group(key))
    }

    fn check_key_group(&self, key: &[u8]) -> Result<()> {
        let group = key_group(key)?;
        match &self.key_groups {
            Some(range) if range.contains(&group) => Ok(()),
            range => Err(self.database.error(format!("the key group {group} is not in {range:?}"))),
        }
    }
}

impl KeyedBackend for RocksDbTables {
    fn row_format(&self, name: &str) -> Option<u32> {
        self.tables.row_format(name)
    }

    fn table(&mut self, descriptor: &proto::StateTableDescriptor) -> Result<TableId> {
        let (table, new) = self.tables.add(descriptor, &self.database.task)?;
        if new {
            self.database.create(descriptor)?;
        }
        self.database.set_ttl(descriptor);
        Ok(table)
    }

    fn rewritten(&mut self, table: TableId, row_format: u32) -> Result<()> {
        self.tables.rewritten(table, row_format)
    }

    fn kept_back(&mut self, table: TableId) -> Result<Vec<Bytes>> {
        let name = self.name(table)?.to_owned();
        Ok(self.kept_back.extract_if(.., |(of, _)| *of == name).map(|(_, content)| content).collect())
    }

    fn key_groups(&self) -> Option<RangeInclusive<u16>> {
        self.key_groups.clone()
    }

    fn is_empty(&self) -> bool {
        self.empty
    }

    fn get(&self, table: TableId, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        if self.empty {
            return Ok(vec![None; keys.len()]);
        }
        let ttl = self.ttl(table)?;
        let (db, family) = self.database.family(self.name(table)?)?;
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(KEYS_AT_ONCE) {
            for value in db.batched_multi_get_cf(family, keys.iter().copied(), keys.is_sorted()) {
                let value = value.map_err(|error| self.database.error(error))?;
                let live = value.filter(|value| !ttl.expired(value));
                values.push(live.map(|value| Bytes::copy_from_slice(&value)));
            }
        }
        Ok(values)
    }

    fn write(&mut self, table: TableId, batch: WriteBatch) -> Result<()> {
        if batch.entries.is_empty() {
            return Ok(());
        }
        self.check_key_groups(&batch)?;
        let (db, family) = self.database.family(self.name(table)?)?;
        let mut changes = ::rocksdb::WriteBatch::default();
        for (key, value) in &batch.entries {
            match value {
                Some(value) => changes.put_cf(family, key, value),
                None => changes.delete_cf(family, key),
            }
        }
        db.write_opt(changes, &self.write).map_err(|error| self.database.error(error))?;
        self.empty = false;
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: KeyRange<'_>) -> Result<()> {
        self.check_key_group(range.from)?;
        if self.empty || range.from >= range.to {
            return Ok(());
        }
        let (db, family) = self.database.family(self.name(table)?)?;
        let deleted = db.delete_range_cf_opt(family, range.from, range.to, &self.write);
        deleted.map_err(|error| self.database.error(error))
    }

    fn scan_from(
        &self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let from = from.max(prefix);
        let ttl = self.ttl(table)?;
        let (db, family) = self.database.family(self.name(table)?)?;
        let mut read = ReadOptions::default();
        read.set_iterate_lower_bound(from);
        if let Some(end) = after_prefix(prefix) {
            read.set_iterate_upper_bound(end);
        }
        let mut entries = db.raw_iterator_cf_opt(family, read);
        entries.seek(from);
        while let Some((key, value)) = entries.item() {
            if !ttl.expired(value) && visit(key, value)?.is_break() {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(|error| self.database.error(error))
    }

    /// One iterator for all: each that is made pins all files of the table.
    fn scan_ranges(
        &self,
        table: TableId,
        ranges: &[KeyRange<'_>],
        order: ScanOrder,
        visit: &mut VisitRange<'_>,
    ) -> Result<()> {
        let (Some(from), Some(to)) =
            (ranges.iter().map(|range| range.from).min(), ranges.iter().map(|range| range.to).max())
        else {
            return Ok(());
        };
        if self.empty || from >= to {
            return Ok(());
        }
        let ttl = self.ttl(table)?;
        let (db, family) = self.database.family(self.name(table)?)?;
        let mut read = ReadOptions::default();
        read.set_iterate_lower_bound(from);
        read.set_iterate_upper_bound(to);
        let mut entries = db.raw_iterator_cf_opt(family, read);
        for (at, range) in ranges.iter().enumerate().filter(|(_, range)| range.from < range.to) {
            match order {
                ScanOrder::Forwards => entries.seek(range.from),
                ScanOrder::Backwards => {
                    entries.seek_for_prev(range.to);
                    // The first key behind the range may be there.
                    if entries.key().is_some_and(|key| key >= range.to) {
                        entries.prev();
                    }
                }
            }
            while let Some((key, value)) = entries.item() {
                let inside = match order {
                    ScanOrder::Forwards => key < range.to,
                    ScanOrder::Backwards => key >= range.from,
                };
                if !inside || (!ttl.expired(value) && visit(at, key, value)?.is_break()) {
                    break;
                }
                match order {
                    ScanOrder::Forwards => entries.next(),
                    ScanOrder::Backwards => entries.prev(),
                }
            }
            entries.status().map_err(|error| self.database.error(error))?;
        }
        Ok(())
    }

    fn takes_kept_back(&self, options: &SnapshotOptions) -> bool {
        !options.canonical
    }

    fn snapshot(&mut self, options: &SnapshotOptions, kept_back: Vec<KeptBack>) -> Result<Box<dyn KeyedSnapshot>> {
        if !kept_back.is_empty() && !self.takes_kept_back(options) {
            return Err(self.database.error("sorted entries have nothing beside them"));
        }
        self.snapshots += 1;
        let folder = self.database.folder().join(format!("snapshot-{}", self.snapshots));
        let links = match self.empty && kept_back.is_empty() {
            true => None,
            false => Some(self.database.link(folder)?),
        };
        let handle = proto::KeyedStateHandle {
            first_key_group: self.key_groups.as_ref().map_or(1, |range| u32::from(*range.start())),
            last_key_group: self.key_groups.as_ref().map_or(0, |range| u32::from(*range.end())),
            format: proto::KeyedStateFormat::Canonical.into(),
            tables: self.tables.all().to_vec(),
            files: Vec::new(),
        };
        let named = kept_back.into_iter().map(|kept| Ok((self.name(kept.table)?.to_owned(), kept)));
        let kept_back = named.collect::<Result<Vec<_>>>()?;
        let snapshot =
            Snapshot { handle, links, kept_back, setup: self.database.setup(), now: self.clock.now_millis() };
        if options.canonical || snapshot.links.is_none() {
            return Ok(Box::new(snapshot.canonical()));
        }
        let history = self.history.clone();
        Ok(Box::new(snapshot.native(options, self.incremental, history, self.copies.clone())?))
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) {
        self.history.lock().completed(checkpoint_id);
        if let Some((copies, instance)) = &self.copies {
            copies.completed(instance, checkpoint_id);
        }
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) {
        self.history.lock().forget(checkpoint_id);
        if let Some((copies, instance)) = &self.copies {
            copies.aborted(instance, checkpoint_id);
        }
    }
}

/// The first key after all that begin with a prefix; none if there is no such key.
fn after_prefix(prefix: &[u8]) -> Option<Vec<u8>> {
    let last = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=last].to_vec();
    end[last] += 1;
    Some(end)
}

/// What a restore has made.
struct Restored {
    database: Database,
    tables: Tables,
    /// Files of the instance that a complete checkpoint has in `shared/`.
    uploaded: HashMap<String, proto::StateFile>,
    empty: bool,
    kept_back: Vec<(String, Bytes)>,
}

/// Times-to-live by table, as operators set them and filters read them.
#[derive(Default)]
struct TimesToLive(HashMap<String, Arc<AtomicU64>>);

impl TimesToLive {
    fn of(&mut self, table: &str) -> Arc<AtomicU64> {
        self.0.entry(table.to_owned()).or_default().clone()
    }

    fn set(&mut self, descriptor: &proto::StateTableDescriptor) {
        self.of(&descriptor.name).store(descriptor.ttl, Ordering::Relaxed);
    }
}

/// A folder that goes when it is dropped.
struct TemporaryFolder(PathBuf);

impl Drop for TemporaryFolder {
    fn drop(&mut self) {
        crate::local::remove(&self.0);
    }
}
