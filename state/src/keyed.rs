//! Keyed state: the contract between an operator and the back end that holds its tables.
//!
//! A table is an ordered map from bytes to bytes. A key begins with its key group (`u16`, big endian), then whatever the
//! operator puts there: its key, a namespace such as a window, a sub-key. Operators read and write in batches and keep what
//! is hot in columns of their own; the back end is asked for what they miss and told what changed.
use std::ops::{ControlFlow, Range, RangeInclusive};

use bytes::Bytes;
use futures::future::BoxFuture;
use wiesel_proto as proto;

use crate::cache_share::CacheShare;
use crate::error::Result;

/// A table of one back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TableId(pub u32);

/// Changes to a table, applied together.
#[derive(Debug, Default)]
pub struct WriteBatch {
    /// Keys with their new values; none: the entry goes. In key order, each key once.
    pub entries: Vec<(Bytes, Option<Bytes>)>,
}

/// Rows as bytes, one after another.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// The bytes of all.
    pub bytes: Bytes,
    /// Where each ends.
    pub ends: Vec<usize>,
}

impl Rows {
    fn range(&self, at: usize) -> Range<usize> {
        (if at == 0 { 0 } else { self.ends[at - 1] })..self.ends[at]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// A row.
    pub fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.range(at)]
    }

    /// A row, to keep.
    pub fn share(&self, at: usize) -> Bytes {
        self.bytes.slice(self.range(at))
    }

    /// The positions of all, in the order of their bytes.
    pub fn order(&self) -> Vec<usize> {
        // Nearly all keys differ in their first sixteen bytes.
        let head = |row: &[u8]| {
            let mut head = [0; 16];
            let length = row.len().min(16);
            head[..length].copy_from_slice(&row[..length]);
            u128::from_be_bytes(head)
        };
        let mut order: Vec<(u128, u32)> = (0..self.len()).map(|at| (head(self.get(at)), at as u32)).collect();
        order.sort_unstable_by(|a, b| a.0.cmp(&b.0).then_with(|| self.get(a.1 as usize).cmp(self.get(b.1 as usize))));
        order.into_iter().map(|(_, at)| at as usize).collect()
    }
}

/// A stretch of the keys of one key group.
#[derive(Clone, Copy, Debug)]
pub struct KeyRange<'a> {
    /// The first key that may be in it.
    pub from: &'a [u8],
    /// The first key behind it.
    pub to: &'a [u8],
}

/// In which order entries are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScanOrder {
    /// In key order.
    Forwards,
    /// Against it.
    Backwards,
}

/// What is called with each entry of ranges: the position of its range, its key and its value.
pub type VisitRange<'a> = dyn FnMut(usize, &[u8], &[u8]) -> Result<ControlFlow<()>> + 'a;

/// Entries that an operator keeps back from a table because they change all the time: a snapshot has them beside the table,
/// where they stand for what the table has of their keys.
pub struct KeptBack {
    /// The table.
    pub table: TableId,
    /// Makes what only the operator reads, when the snapshot is uploaded.
    pub content: Box<dyn FnOnce() -> Result<Bytes> + Send + Sync>,
}

/// How a snapshot is to be taken.
#[derive(Clone, Debug)]
pub struct SnapshotOptions {
    /// The checkpoint's number.
    pub checkpoint_id: u64,
    /// Sorted entries that any back end reads, instead of the back end's own files.
    pub canonical: bool,
    /// Nothing of earlier checkpoints is referred to.
    pub full: bool,
    /// It is a savepoint: the job does not go back to it, and hears that it is durable only if it stops with it. Whoever has it
    /// may start a job from it at any later time.
    pub savepoint: bool,
}

/// The tables of one operator in one subtask. All calls come from the task's thread.
///
/// The values of a table with a time-to-live begin with the time of their last write (`i64`, big endian, milliseconds), as
/// they are written and as they are read: what an operator holds back before it writes keeps its own time. An entry whose
/// time plus the time-to-live has come is not there any more.
pub trait KeyedBackend: Send {
    /// The encoding of rows that a restored table of that name has; none if none was restored.
    fn row_format(&self, name: &str) -> Option<u32>;

    /// The table of that name, with what a restore put into it. Called once for each name, before anything else, and once more
    /// after [`KeyedBackend::rewritten`].
    ///
    /// # Errors
    /// [`crate::Error::Incompatible`] if the restored table has other types, or rows in another encoding.
    fn table(&mut self, descriptor: &proto::StateTableDescriptor) -> Result<TableId>;

    /// All rows of a table were written anew in another encoding.
    fn rewritten(&mut self, table: TableId, row_format: u32) -> Result<()>;

    /// What restored snapshots have beside a table, to be written by the operator as far as key groups are its own. Once,
    /// before anything else is done with the table.
    fn kept_back(&mut self, table: TableId) -> Result<Vec<Bytes>>;

    /// The subtask's key groups; none: more subtasks than key groups.
    fn key_groups(&self) -> Option<RangeInclusive<u16>>;

    /// Whether nothing was restored and nothing written: no read can find anything.
    fn is_empty(&self) -> bool;

    /// The values of keys, in their order. Fastest in key order.
    fn get(&self, table: TableId, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>>;

    /// Applies changes.
    fn write(&mut self, table: TableId, batch: WriteBatch) -> Result<()>;

    /// Takes out all entries of a range, without a look at them: that is one change, however many they are.
    fn delete_range(&mut self, table: TableId, range: KeyRange<'_>) -> Result<()>;

    /// Visits the entries whose key begins with the prefix, in key order.
    fn scan(
        &self,
        table: TableId,
        prefix: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        self.scan_from(table, prefix, prefix, visit)
    }

    /// As [`KeyedBackend::scan`], without the keys before `from`: what was removed there is not even passed over.
    fn scan_from(
        &self,
        table: TableId,
        prefix: &[u8],
        from: &[u8],
        visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>>,
    ) -> Result<()>;

    /// Visits the entries of each range, range after range, in this order within it. To break ends the range, not those behind
    /// it. Fastest where ranges are in key order.
    fn scan_ranges(
        &self,
        table: TableId,
        ranges: &[KeyRange<'_>],
        order: ScanOrder,
        visit: &mut VisitRange<'_>,
    ) -> Result<()>;

    /// Whether a snapshot may have entries beside a table: where that is cheaper than to write them before it.
    fn takes_kept_back(&self, options: &SnapshotOptions) -> bool;

    /// Fixes the state as it is now; milliseconds, while the task waits. What the snapshot uploads later is this state,
    /// whatever is written meanwhile.
    fn snapshot(&mut self, options: &SnapshotOptions, kept_back: Vec<KeptBack>) -> Result<Box<dyn KeyedSnapshot>>;

    /// A checkpoint is durable: later ones may refer to its files.
    fn checkpoint_completed(&mut self, checkpoint_id: u64);

    /// A checkpoint will never be: none may refer to its files.
    fn checkpoint_aborted(&mut self, checkpoint_id: u64);
}

/// A state that was fixed and waits to be written.
pub trait KeyedSnapshot: Send {
    /// Writes the state. Also returns how many bytes had to be written.
    fn upload<'a>(
        self: Box<Self>,
        files: &'a dyn CheckpointFiles,
    ) -> BoxFuture<'a, Result<(proto::KeyedStateHandle, u64)>>;
}

/// Where the files of one checkpoint or savepoint go.
pub trait CheckpointFiles: Send + Sync {
    /// Writes bytes. `shared`: into the folder that later checkpoints refer to, if there is one; else this checkpoint alone
    /// refers to them. Every file gets a name of its own that is never used again. Few bytes stay inline.
    fn put(&self, bytes: Bytes, shared: bool) -> BoxFuture<'_, Result<proto::StateFile>>;

    /// Uploads a local file, as [`CheckpointFiles::put`] does with bytes.
    fn put_file<'a>(&'a self, path: &'a std::path::Path, shared: bool) -> BoxFuture<'a, Result<proto::StateFile>>;

    /// Deletes what was put, because nothing will refer to it.
    fn give_up(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    /// Whether later checkpoints may refer to shared files; not those of a savepoint.
    fn keeps_shared(&self) -> bool {
        true
    }

    /// Bytes put so far.
    fn written(&self) -> u64 {
        0
    }
}

/// What a back end is opened with.
pub struct OpenRequest {
    /// The operator's uid, 16 bytes, in hexadecimal: names its folders.
    pub operator: String,
    /// "name (1/2)#0", for messages.
    pub task_name: String,
    /// The attempt's id: no two instances share a folder.
    pub attempt: String,
    /// The subtask's key groups; none: more subtasks than key groups.
    pub key_groups: Option<RangeInclusive<u16>>,
    /// What to begin with: handles that overlap the key groups, of any back end.
    pub restore: Vec<proto::KeyedStateHandle>,
}

/// Opens back ends. One for each job and TaskManager.
pub trait StateBackend: Send + Sync {
    /// A back end with the restored state in it. Blocks while files are fetched.
    fn open(&self, request: OpenRequest) -> Result<Box<dyn KeyedBackend>>;

    /// What another operator may keep of its state in memory of its own. Without a bound where all state is in memory anyway.
    fn cache_share(&self) -> CacheShare {
        CacheShare::fixed(usize::MAX)
    }
}
