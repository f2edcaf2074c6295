//! Writes a snapshot: the instance's own files, or files of sorted entries.
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt, TryStreamExt};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use wiesel_proto as proto;
use wiesel_state::keyed::{CheckpointFiles, KeptBack, KeyedSnapshot, SnapshotOptions};
use wiesel_state::ttl::Ttl;
use wiesel_state::{Error, Result};

use super::copies::LocalCopies;
use super::database::{Links, Setup};
use super::history::History;
use crate::canonical::{self, Writer};

/// The state as it was.
pub(super) struct Snapshot {
    /// Without files.
    pub(super) handle: proto::KeyedStateHandle,
    /// None: there is nothing in it.
    pub(super) links: Option<Links>,
    /// With the names of their tables.
    pub(super) kept_back: Vec<(String, KeptBack)>,
    pub(super) setup: Setup,
    /// Milliseconds since the epoch: what has expired by then is left out of sorted entries.
    pub(super) now: i64,
}

impl Snapshot {
    /// To be written as the instance's files.
    pub(super) fn native(
        self,
        options: &SnapshotOptions,
        incremental: bool,
        history: Arc<Mutex<History>>,
        copies: Option<(Arc<LocalCopies>, String)>,
    ) -> Result<NativeSnapshot> {
        let names = self.links.as_ref().map_or_else(|| Ok(Vec::new()), Links::names)?;
        let tables: Vec<String> = names.iter().filter(|name| is_table(name)).cloned().collect();
        let uploaded = match incremental {
            true => history.lock().begin(options.checkpoint_id, &tables, !options.full),
            false => HashMap::new(),
        };
        let checkpoint_id = options.checkpoint_id;
        Ok(NativeSnapshot { snapshot: self, names, uploaded, incremental, checkpoint_id, history, copies })
    }

    /// To be written as sorted entries.
    pub(super) fn canonical(self) -> CanonicalSnapshot {
        CanonicalSnapshot(self)
    }
}

/// Sorted tables never change; every other file is written anew for each snapshot.
fn is_table(name: &str) -> bool {
    name.ends_with(".sst")
}

pub(super) struct NativeSnapshot {
    snapshot: Snapshot,
    names: Vec<String>,
    /// What is in `shared/` already.
    uploaded: HashMap<String, proto::StateFile>,
    incremental: bool,
    checkpoint_id: u64,
    history: Arc<Mutex<History>>,
    copies: Option<(Arc<LocalCopies>, String)>,
}

impl NativeSnapshot {
    async fn write(mut self, files: &dyn CheckpointFiles) -> Result<(proto::KeyedStateHandle, u64)> {
        let shares = self.incremental && files.keeps_shared();
        let kept_back = std::mem::take(&mut self.snapshot.kept_back);
        let mut handle = self.snapshot.handle.clone();
        handle.format = proto::KeyedStateFormat::Rocksdb.into();
        let transfers = self.snapshot.setup.settings.transfers;
        let mut uploads = Vec::with_capacity(self.names.len());
        for name in &self.names {
            uploads.push(self.write_one(files, name, shares).boxed());
        }
        let written = futures::stream::iter(uploads).buffered(transfers).try_collect::<Vec<_>>().await;
        if !shares {
            self.history.lock().forget(self.checkpoint_id);
        }
        let mut bytes = 0;
        for (file, uploaded) in written? {
            bytes += uploaded;
            handle.files.push(file);
        }
        for (table, kept) in kept_back {
            let content = tokio::task::spawn_blocking(kept.content).await;
            let content = content.map_err(|error| Error::storage("a snapshot was cut short", error))??;
            bytes += content.len() as u64;
            let file = Some(files.put(content, false).await?);
            handle.files.push(proto::KeyedStateFile { name: table, shared: false, file, kept_back: true });
        }
        if let (Some((copies, instance)), Some(links)) = (&self.copies, &self.snapshot.links)
            && files.keeps_shared()
        {
            copies.keep(instance, self.checkpoint_id, links.path(), &handle);
        }
        Ok((handle, bytes))
    }

    async fn write_one(
        &self,
        files: &dyn CheckpointFiles,
        name: &str,
        shares: bool,
    ) -> Result<(proto::KeyedStateFile, u64)> {
        if let Some(file) = self.uploaded.get(name) {
            let shared = !file.path.is_empty();
            let (name, file) = (name.to_owned(), Some(file.clone()));
            return Ok((proto::KeyedStateFile { name, shared, file, kept_back: false }, 0));
        }
        let path = self.path(name)?;
        let file = files.put_file(&path, shares && is_table(name)).await?;
        if shares && is_table(name) {
            self.history.lock().uploaded(self.checkpoint_id, name, &file);
        }
        let size = file.size;
        let shared = shares && is_table(name) && !file.path.is_empty();
        Ok((proto::KeyedStateFile { name: name.to_owned(), shared, file: Some(file), kept_back: false }, size))
    }

    fn path(&self, name: &str) -> Result<PathBuf> {
        let links = self.snapshot.links.as_ref();
        links.map(|links| links.path().join(name)).ok_or_else(|| self.snapshot.setup.error("it has no files"))
    }
}

impl KeyedSnapshot for NativeSnapshot {
    fn upload<'a>(
        self: Box<Self>,
        files: &'a dyn CheckpointFiles,
    ) -> BoxFuture<'a, Result<(proto::KeyedStateHandle, u64)>> {
        self.write(files).boxed()
    }
}

pub(super) struct CanonicalSnapshot(Snapshot);

impl CanonicalSnapshot {
    async fn write(self, files: &dyn CheckpointFiles) -> Result<(proto::KeyedStateHandle, u64)> {
        let Self(Snapshot { mut handle, links, setup, now, .. }) = self;
        let Some(links) = links else { return Ok((handle, 0)) };
        let tables = handle.tables.clone();
        // One file is read while another one is written.
        let (sender, mut receiver) = mpsc::channel(1);
        let reader = tokio::task::spawn_blocking(move || read_tables(&setup, links, &tables, now, &sender));
        let mut bytes = 0;
        while let Some((name, content)) = receiver.recv().await {
            bytes += Bytes::len(&content) as u64;
            let file = Some(files.put(content, false).await?);
            handle.files.push(proto::KeyedStateFile { name, shared: false, file, kept_back: false });
        }
        reader.await.map_err(|error| Error::storage("a snapshot was cut short", error))??;
        Ok((handle, bytes))
    }
}

impl KeyedSnapshot for CanonicalSnapshot {
    fn upload<'a>(
        self: Box<Self>,
        files: &'a dyn CheckpointFiles,
    ) -> BoxFuture<'a, Result<(proto::KeyedStateHandle, u64)>> {
        self.write(files).boxed()
    }
}

/// Sends files of sorted entries, each with the name of its table. Ends early if nobody takes them.
fn read_tables(
    setup: &Setup,
    links: Links,
    tables: &[proto::StateTableDescriptor],
    now: i64,
    sender: &mpsc::Sender<(String, Bytes)>,
) -> Result<()> {
    let db = setup.open_read_only(links.path(), tables)?;
    for table in tables {
        let ttl = Ttl::of(table, now);
        let mut entries = db.raw_iterator_cf(setup.family(&db, &table.name)?);
        let mut writer = Writer::new();
        entries.seek_to_first();
        while let Some((key, value)) = entries.item() {
            if !ttl.expired(value) {
                writer.push(key, value);
            }
            entries.next();
            if writer.len() >= canonical::FILE {
                let full = std::mem::replace(&mut writer, Writer::new());
                if sender.blocking_send((table.name.clone(), full.finish())).is_err() {
                    return Ok(());
                }
            }
        }
        entries.status().map_err(|error| setup.error(error))?;
        if !writer.is_empty() && sender.blocking_send((table.name.clone(), writer.finish())).is_err() {
            return Ok(());
        }
    }
    Ok(())
}
