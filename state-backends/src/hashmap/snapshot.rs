//! Writes tables in memory as files of sorted entries.
use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use wiesel_proto as proto;
use wiesel_state::keyed::{CheckpointFiles, KeyedSnapshot};
use wiesel_state::ttl::Ttl;
use wiesel_state::{Error, Result};

use super::Group;
use crate::canonical::{self, Writer};

/// The tables as they were, and how far they are written.
pub(super) struct Snapshot {
    key_groups: Option<RangeInclusive<u16>>,
    tables: Vec<proto::StateTableDescriptor>,
    groups: Vec<Vec<Group>>,
    /// Milliseconds since the epoch: what has expired by then is left out.
    now: i64,
    table: usize,
    group: usize,
    /// The last entry written of the group.
    last: Option<Arc<[u8]>>,
}

impl Snapshot {
    pub(super) fn new(
        key_groups: Option<RangeInclusive<u16>>,
        tables: Vec<proto::StateTableDescriptor>,
        groups: Vec<Vec<Group>>,
        now: i64,
    ) -> Self {
        Self { key_groups, tables, groups, now, table: 0, group: 0, last: None }
    }

    /// The next file and the name of its table; none at the end. Groups that are written are let go.
    fn next_file(&mut self) -> Option<(String, Bytes)> {
        let mut writer = Writer::new();
        while self.table < self.tables.len() {
            while self.group < self.groups[self.table].len() && writer.len() < canonical::FILE {
                self.write_group(&mut writer);
            }
            let name = self.tables[self.table].name.clone();
            if self.group == self.groups[self.table].len() {
                self.table += 1;
                self.group = 0;
            }
            if !writer.is_empty() {
                return Some((name, writer.finish()));
            }
        }
        None
    }

    /// Writes a group until its end or until the file is full.
    fn write_group(&mut self, writer: &mut Writer) {
        let ttl = Ttl::of(&self.tables[self.table], self.now);
        let group = &mut self.groups[self.table][self.group];
        let from = self.last.take().map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in group.range::<Arc<[u8]>, _>((from, Bound::Unbounded)) {
            if ttl.expired(value) {
                continue;
            }
            writer.push(key, value);
            if writer.len() >= canonical::FILE {
                self.last = Some(key.clone());
                return;
            }
        }
        *group = Group::default();
        self.group += 1;
    }

    async fn write(mut self: Box<Self>, files: &dyn CheckpointFiles) -> Result<(proto::KeyedStateHandle, u64)> {
        let mut handle = proto::KeyedStateHandle {
            first_key_group: self.key_groups.as_ref().map_or(1, |range| u32::from(*range.start())),
            last_key_group: self.key_groups.as_ref().map_or(0, |range| u32::from(*range.end())),
            format: proto::KeyedStateFormat::Canonical.into(),
            tables: self.tables.clone(),
            files: Vec::new(),
        };
        let mut written = 0;
        loop {
            let step = tokio::task::spawn_blocking(move || {
                let file = self.next_file();
                (self, file)
            });
            let (snapshot, file) =
                step.await.map_err(|error| Error::storage("a snapshot of state in memory was cut short", error))?;
            self = snapshot;
            let Some((name, bytes)) = file else { return Ok((handle, written)) };
            written += bytes.len() as u64;
            let file = Some(files.put(bytes, false).await?);
            handle.files.push(proto::KeyedStateFile { name, shared: false, file, kept_back: false });
        }
    }
}

impl KeyedSnapshot for Snapshot {
    fn upload<'a>(
        self: Box<Self>,
        files: &'a dyn CheckpointFiles,
    ) -> BoxFuture<'a, Result<(proto::KeyedStateHandle, u64)>> {
        self.write(files).boxed()
    }
}
