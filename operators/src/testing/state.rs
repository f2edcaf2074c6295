//! Keyed state in the tests of operators: subtasks that are cut by snapshots and go on at another parallelism.
use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, BooleanArray};
use arrow::compute::{filter, filter_record_batch};
use bytes::Bytes;
use futures::future::BoxFuture;
use wiesel_common::keygroup;
use wiesel_proto as proto;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{CheckpointFiles, KeyedBackend, KeyedSnapshot, SnapshotOptions, TableId, WriteBatch};
use wiesel_state::{Error as StateError, Result as StateResult};

use crate::element::Batch;
use crate::operator::{Operator, OperatorContext, RestoredState, Result};
use crate::state::table::key_groups;

/// The entries of each table.
pub type Tables = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Tables in ordered maps.
struct Memory {
    tables: Arc<Mutex<Tables>>,
    names: Vec<String>,
}

impl KeyedBackend for Memory {
    fn table(&mut self, descriptor: &proto::StateTableDescriptor) -> StateResult<TableId> {
        self.tables.lock().unwrap().entry(descriptor.name.clone()).or_default();
        self.names.push(descriptor.name.clone());
        Ok(TableId(self.names.len() as u32 - 1))
    }

    fn is_empty(&self) -> bool {
        self.tables.lock().unwrap().values().all(BTreeMap::is_empty)
    }

    fn get(&self, table: TableId, keys: &[&[u8]]) -> StateResult<Vec<Option<Bytes>>> {
        assert!(keys.is_sorted());
        let tables = self.tables.lock().unwrap();
        let table = &tables[&self.names[table.0 as usize]];
        Ok(keys.iter().map(|key| table.get(*key).map(|value| Bytes::copy_from_slice(value))).collect())
    }

    fn write(&mut self, table: TableId, batch: WriteBatch) -> StateResult<()> {
        assert!(batch.entries.is_sorted_by(|a, b| a.0 < b.0), "in key order, each key once");
        let mut tables = self.tables.lock().unwrap();
        let table = tables.get_mut(&self.names[table.0 as usize]).unwrap();
        for (key, value) in batch.entries {
            match value {
                Some(value) => table.insert(key.to_vec(), value.to_vec()),
                None => table.remove(&key[..]),
            };
        }
        Ok(())
    }

    fn scan(
        &self,
        table: TableId,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> StateResult<ControlFlow<()>>,
    ) -> StateResult<()> {
        let tables = self.tables.lock().unwrap();
        let entries = tables[&self.names[table.0 as usize]].range(prefix.to_vec()..);
        for (key, value) in entries.take_while(|(key, _)| key.starts_with(prefix)) {
            if visit(key, value)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, _: &SnapshotOptions) -> StateResult<Box<dyn KeyedSnapshot>> {
        Ok(Box::new(Nothing))
    }

    fn checkpoint_completed(&mut self, _: u64) {}

    fn checkpoint_aborted(&mut self, _: u64) {}
}

/// The tests read the tables themselves.
struct Nothing;

impl KeyedSnapshot for Nothing {
    fn upload<'a>(
        self: Box<Self>,
        _: &'a dyn CheckpointFiles,
    ) -> BoxFuture<'a, StateResult<(proto::KeyedStateHandle, u64)>> {
        Box::pin(async { Err(StateError::Backend("tests do not upload".into())) })
    }
}

struct Restored {
    tables: Arc<Mutex<Tables>>,
    cache: usize,
}

impl RestoredState for Restored {
    fn checkpoint_id(&self) -> Option<u64> {
        None
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        Ok(Box::new(Memory { tables: self.tables.clone(), names: Vec::new() }))
    }

    fn list(&mut self, _: &str) -> Vec<Bytes> {
        Vec::new()
    }

    fn cache_share(&mut self) -> CacheShare {
        CacheShare::fixed(self.cache)
    }
}

/// All subtasks of an operator.
pub struct Subtasks<O> {
    /// The operators, by subtask.
    pub operators: Vec<O>,
    tables: Vec<Arc<Mutex<Tables>>>,
    max_parallelism: u32,
}

impl<O: Operator> Subtasks<O> {
    /// `parallelism` subtasks that begin with what was saved, each with `cache` bytes for groups.
    pub fn start(
        context: &OperatorContext,
        parallelism: u32,
        saved: &[Tables],
        cache: usize,
        build: impl Fn(&OperatorContext) -> O,
    ) -> Self {
        let (mut operators, mut all_tables) = (Vec::new(), Vec::new());
        for subtask in 0..parallelism {
            let context = OperatorContext { subtask, parallelism, ..context.clone() };
            let groups = keygroup::key_groups(subtask, parallelism, context.max_parallelism);
            let tables = Arc::new(Mutex::new(slice(saved, groups)));
            let mut operator = build(&context);
            operator.restore(&mut Restored { tables: tables.clone(), cache }).unwrap();
            operator.open(&context).unwrap();
            operators.push(operator);
            all_tables.push(tables);
        }
        Self { operators, tables: all_tables, max_parallelism: context.max_parallelism }
    }

    /// The rows of a batch that go to each subtask, by the hash of key columns.
    pub fn route(&self, batch: &Batch, keys: &[usize]) -> Vec<Batch> {
        let columns: Vec<_> = keys.iter().map(|key| batch.records.column(*key).clone()).collect();
        let groups = key_groups(&columns, batch.num_rows(), self.max_parallelism).unwrap();
        let parallelism = self.operators.len() as u32;
        let part = |subtask: u32| {
            let target = |group: &u16| keygroup::subtask(u32::from(*group), parallelism, self.max_parallelism);
            let mask: BooleanArray = groups.iter().map(|group| Some(target(group) == subtask)).collect();
            let kinds = batch.kinds.as_ref().map(|kinds| filter(kinds, &mask).unwrap());
            let kinds = kinds.map(|kinds| kinds.as_any().downcast_ref().cloned().unwrap());
            Batch { records: filter_record_batch(&batch.records, &mask).unwrap(), kinds, hashes: None }
        };
        (0..parallelism).map(part).collect()
    }

    /// The state of all subtasks.
    pub fn save(&mut self, checkpoint_id: u64) -> Vec<Tables> {
        let options = SnapshotOptions { checkpoint_id, canonical: false, full: false };
        for operator in &mut self.operators {
            assert!(operator.snapshot(&options).unwrap().keyed.is_some());
            operator.checkpoint_completed(checkpoint_id).unwrap();
        }
        self.tables()
    }

    /// What is in the tables now.
    pub fn tables(&self) -> Vec<Tables> {
        self.tables.iter().map(|tables| tables.lock().unwrap().clone()).collect()
    }
}

/// The entries of these key groups.
fn slice(saved: &[Tables], groups: Range<u32>) -> Tables {
    let mut sliced = Tables::new();
    for (name, entries) in saved.iter().flatten() {
        let own = |key: &[u8]| groups.contains(&u32::from(u16::from_be_bytes([key[0], key[1]])));
        let own = entries.iter().filter(|(key, _)| own(key)).map(|(key, value)| (key.clone(), value.clone()));
        sliced.entry(name.clone()).or_default().extend(own);
    }
    sliced
}

/// An empty back end.
pub fn memory() -> Box<dyn KeyedBackend> {
    Box::new(Memory { tables: Arc::default(), names: Vec::new() })
}
