//! The back end `hashmap`: all entries in memory, in key order.
//!
//! Each key group of a table is a map of its own behind an `Arc`. A snapshot takes the `Arc`s; a write to a key group that a
//! snapshot still holds copies that key group first.
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use wiesel_common::config::Configuration;
use wiesel_common::time::Clock;
use wiesel_proto as proto;
use wiesel_state::keyed::{
    KeptBack, KeyRange, KeyedBackend, KeyedSnapshot, OpenRequest, ScanOrder, SnapshotOptions, StateBackend, TableId,
    VisitRange, WriteBatch,
};
use wiesel_state::storage::CheckpointStorage;
use wiesel_state::ttl::Ttl;
use wiesel_state::{Error, Result};

use crate::backend::StateResources;
use crate::rocksdb::NativeReader;
use crate::tables::{Tables, key_group, overlap, range};
use crate::{canonical, local};

mod cleaning;
mod snapshot;
#[cfg(test)]
mod tests;

use cleaning::Cleaning;
use snapshot::Snapshot;

/// The entries of one key group.
type Group = Arc<BTreeMap<Arc<[u8]>, Bytes>>;

/// Takes a range out of a key group. Of one that a snapshot holds only what stays is copied.
fn cut(group: &mut Group, range: KeyRange<'_>) {
    let Some(entries) = Arc::get_mut(group) else {
        let before = group.range::<[u8], _>((Bound::Unbounded, Bound::Excluded(range.from)));
        let behind = group.range::<[u8], _>((Bound::Included(range.to), Bound::Unbounded));
        let left = before.chain(behind).map(|(key, value)| (key.clone(), value.clone())).collect();
        *group = Arc::new(left);
        return;
    };
    let mut behind = entries.split_off(range.from).split_off(range.to);
    // The smaller part goes into the larger one: often the range is the first of its key group, and there is nothing before it.
    if behind.len() > entries.len() {
        std::mem::swap(entries, &mut behind);
    }
    entries.extend(behind);
}

/// Opens tables in memory.
pub(crate) struct HashMapBackend {
    resources: Arc<StateResources>,
    native: NativeReader,
    storage: CheckpointStorage,
    runtime: Handle,
}

impl HashMapBackend {
    pub(crate) fn new(
        configuration: &Configuration,
        resources: Arc<StateResources>,
        storage: CheckpointStorage,
        runtime: Handle,
    ) -> Result<Self> {
        let native = NativeReader::new(configuration, storage.clone(), runtime.clone())?;
        Ok(Self { resources, native, storage, runtime })
    }

    fn restore(&self, table: &mut HashMapTables, request: &OpenRequest) -> Result<()> {
        let Some(wanted) = &request.key_groups else { return Ok(()) };
        for handle in &request.restore {
            let Some(wanted) = overlap(&range(handle)?, wanted) else { continue };
            table.restore_tables(handle)?;
            table.kept_back.extend(self.native.kept_back(handle)?);
            match handle.format() {
                proto::KeyedStateFormat::Canonical => self.restore_canonical(table, handle, &wanted)?,
                proto::KeyedStateFormat::Rocksdb => {
                    let folder = self
                        .resources
                        .folders()
                        .create(&format!("{}_{}_restore", request.operator, request.attempt))?;
                    let outcome = self
                        .native
                        .read(handle, &folder, &wanted, &mut |name, key, value| table.restore_entry(name, key, value));
                    local::remove(&folder);
                    outcome?;
                }
            }
        }
        Ok(())
    }

    fn restore_canonical(
        &self,
        tables: &mut HashMapTables,
        handle: &proto::KeyedStateHandle,
        wanted: &RangeInclusive<u16>,
    ) -> Result<()> {
        for named in &handle.files {
            let Some(file) = &named.file else { continue };
            let mut visit = |key: &[u8], value: &[u8]| tables.restore_entry(&named.name, key, value);
            self.runtime.block_on(canonical::read(&self.storage, file, wanted, &mut visit))?;
        }
        Ok(())
    }
}

impl StateBackend for HashMapBackend {
    fn open(&self, request: OpenRequest) -> Result<Box<dyn KeyedBackend>> {
        let mut tables = HashMapTables {
            task: request.task_name.clone(),
            key_groups: request.key_groups.clone(),
            tables: Tables::default(),
            groups: Vec::new(),
            clock: self.resources.clock().clone(),
            written: false,
            kept_back: Vec::new(),
            cleaning: Vec::new(),
        };
        self.restore(&mut tables, &request)?;
        Ok(Box::new(tables))
    }
}

/// The tables of one operator.
struct HashMapTables {
    task: String,
    key_groups: Option<RangeInclusive<u16>>,
    tables: Tables,
    /// By table, then by key group from the first.
    groups: Vec<Vec<Group>>,
    clock: Arc<dyn Clock>,
    written: bool,
    /// What restored snapshots have beside tables, with the tables' names.
    kept_back: Vec<(String, Bytes)>,
    /// By table; none before the operator has said how long its entries live.
    cleaning: Vec<Option<Cleaning>>,
}

impl HashMapTables {
    fn add(&mut self, descriptor: &proto::StateTableDescriptor) -> Result<TableId> {
        let (table, new) = self.tables.add(descriptor, &self.task)?;
        if new {
            let count = self.key_groups.as_ref().map_or(0, |range| usize::from(range.end() - range.start()) + 1);
            self.groups.push(vec![Group::default(); count]);
            self.cleaning.push(None);
        }
        Ok(table)
    }

    fn restore_tables(&mut self, handle: &proto::KeyedStateHandle) -> Result<()> {
        handle.tables.iter().try_for_each(|descriptor| self.add(descriptor).map(|_| ()))
    }

    fn restore_entry(&mut self, name: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let table = self.tables.find(name);
        let table =
            table.ok_or_else(|| Error::Corrupt(format!("state of '{name}', which the handle does not describe")))?;
        self.written = true;
        let group = self.group_mut(table, key)?;
        Arc::make_mut(group).insert(key.into(), Bytes::copy_from_slice(value));
        Ok(())
    }

    /// Where a key's group stands among those of this subtask.
    fn position(&self, key: &[u8]) -> Result<usize> {
        let group = key_group(key)?;
        match &self.key_groups {
            Some(range) if range.contains(&group) => Ok(usize::from(group - range.start())),
            range => Err(Error::Backend(format!("{}: the key group {group} is not in {range:?}", self.task))),
        }
    }

    fn group_mut(&mut self, table: TableId, key: &[u8]) -> Result<&mut Group> {
        let position = self.position(key)?;
        let group = self.groups.get_mut(table.0 as usize).and_then(|groups| groups.get_mut(position));
        group.ok_or_else(|| Error::Backend(format!("there is no state table {}", table.0)))
    }

    fn ttl(&self, table: TableId) -> Result<Ttl> {
        Ok(Ttl::of(self.tables.get(table)?, self.clock.now_millis()))
    }

    /// Drops some of what has expired, of each table by itself: one that is not written has expired entries, too.
    fn clean(&mut self) {
        let now = self.clock.now_millis();
        let tables = self.tables.all().iter().zip(&mut self.groups).zip(&mut self.cleaning);
        for ((descriptor, groups), cleaning) in tables {
            if let Some(cleaning) = cleaning {
                cleaning.clean(groups, Ttl::of(descriptor, now));
            }
        }
    }
}

impl KeyedBackend for HashMapTables {
    fn row_format(&self, name: &str) -> Option<u32> {
        self.tables.row_format(name)
    }

    fn table(&mut self, descriptor: &proto::StateTableDescriptor) -> Result<TableId> {
        let table = self.add(descriptor)?;
        let now = self.clock.now_millis();
        if let Some(cleaning) = self.cleaning.get_mut(table.0 as usize) {
            cleaning.get_or_insert_with(|| Cleaning::new(now));
        }
        Ok(table)
    }

    fn rewritten(&mut self, table: TableId, row_format: u32) -> Result<()> {
        self.tables.rewritten(table, row_format)
    }

    fn kept_back(&mut self, table: TableId) -> Result<Vec<Bytes>> {
        let name = self.tables.get(table)?.name.clone();
        Ok(self.kept_back.extract_if(.., |(of, _)| *of == name).map(|(_, content)| content).collect())
    }

    fn key_groups(&self) -> Option<RangeInclusive<u16>> {
        self.key_groups.clone()
    }

    fn is_empty(&self) -> bool {
        !self.written
    }

    fn get(&self, table: TableId, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>> {
        let ttl = self.ttl(table)?;
        let groups = &self.groups[table.0 as usize];
        let one = |key: &&[u8]| {
            let group = &groups[self.position(key)?];
            Ok(group.get(*key).filter(|value| !ttl.expired(value)).cloned())
        };
        keys.iter().map(one).collect()
    }

    fn write(&mut self, table: TableId, batch: WriteBatch) -> Result<()> {
        for (key, value) in batch.entries {
            let group = self.group_mut(table, &key)?;
            match value {
                // Copied: what comes in may be a part of something large.
                Some(value) => {
                    let value = Bytes::copy_from_slice(&value);
                    let entries = Arc::make_mut(group);
                    match entries.get_mut(&key[..]) {
                        Some(old) => *old = value,
                        None => _ = entries.insert(key[..].into(), value),
                    }
                }
                None if group.contains_key(&key[..]) => _ = Arc::make_mut(group).remove(&key[..]),
                None => {}
            }
            self.written = true;
        }
        self.clean();
        Ok(())
    }

    fn delete_range(&mut self, table: TableId, range: KeyRange<'_>) -> Result<()> {
        let group = self.group_mut(table, range.from)?;
        if range.from < range.to {
            cut(group, range);
        }
        Ok(())
    }

    fn scan_from(
        &self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let ttl = self.ttl(table)?;
        let groups = &self.groups[table.0 as usize];
        let groups = if prefix.len() >= 2 {
            let position = self.position(prefix)?;
            &groups[position..=position]
        } else {
            &groups[..]
        };
        for group in groups {
            let behind = group.range::<[u8], _>((Bound::Included(from.max(prefix)), Bound::Unbounded));
            let mut below = behind.take_while(|(key, _)| key.starts_with(prefix));
            let flow = below.try_for_each(|(key, value)| match ttl.expired(value) {
                true => ControlFlow::Continue(()),
                false => match visit(key, value) {
                    Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
                    Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
                    Err(error) => ControlFlow::Break(Err(error)),
                },
            });
            if let ControlFlow::Break(outcome) = flow {
                return outcome;
            }
        }
        Ok(())
    }

    fn scan_ranges(
        &self,
        table: TableId,
        ranges: &[KeyRange<'_>],
        order: ScanOrder,
        visit: &mut VisitRange<'_>,
    ) -> Result<()> {
        let ttl = self.ttl(table)?;
        let groups = &self.groups[table.0 as usize];
        for (at, range) in ranges.iter().enumerate().filter(|(_, range)| range.from < range.to) {
            let group = &groups[self.position(range.from)?];
            let mut entries = group.range::<[u8], _>((Bound::Included(range.from), Bound::Excluded(range.to)));
            loop {
                let next = match order {
                    ScanOrder::Forwards => entries.next(),
                    ScanOrder::Backwards => entries.next_back(),
                };
                let Some((key, value)) = next else { break };
                if !ttl.expired(value) && visit(at, key, value)?.is_break() {
                    break;
                }
            }
        }
        Ok(())
    }

    fn takes_kept_back(&self, _: &SnapshotOptions) -> bool {
        false
    }

    fn snapshot(&mut self, _: &SnapshotOptions, kept_back: Vec<KeptBack>) -> Result<Box<dyn KeyedSnapshot>> {
        if !kept_back.is_empty() {
            return Err(Error::Backend(format!("{}: tables in memory have nothing beside them", self.task)));
        }
        // Before the snapshot holds the key groups.
        self.clean();
        let now = self.clock.now_millis();
        Ok(Box::new(Snapshot::new(self.key_groups.clone(), self.tables.all().to_vec(), self.groups.clone(), now)))
    }

    fn checkpoint_completed(&mut self, _checkpoint_id: u64) {}

    fn checkpoint_aborted(&mut self, _checkpoint_id: u64) {}
}
