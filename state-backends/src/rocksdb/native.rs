//! Reads instances out of checkpoints: fetches their files, opens them, visits their entries.
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use ::rocksdb::{DB, ReadOptions};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use tokio::runtime::Handle;
use wiesel_common::config::Configuration;
use wiesel_proto as proto;
use wiesel_state::storage::CheckpointStorage;
use wiesel_state::{Error, Result};

use super::copies::LocalCopies;
use super::options::Settings;

/// Visits the entries of instances that a checkpoint holds, also for other back ends.
pub(crate) struct NativeReader {
    settings: Settings,
    storage: CheckpointStorage,
    runtime: Handle,
    copies: Option<Arc<LocalCopies>>,
}

impl NativeReader {
    pub(crate) fn new(configuration: &Configuration, storage: CheckpointStorage, runtime: Handle) -> Result<Self> {
        Ok(Self { settings: Settings::new(configuration)?, storage, runtime, copies: None })
    }

    /// Takes files that are kept here instead of fetching them.
    pub(super) fn with_copies(self, copies: Option<Arc<LocalCopies>>) -> Self {
        Self { copies, ..self }
    }

    /// Visits the wanted key groups of an instance, table by table, with the table's name. `folder`: for its files; stays.
    pub(crate) fn read(
        &self,
        handle: &proto::KeyedStateHandle,
        folder: &Path,
        wanted: &RangeInclusive<u16>,
        visit: &mut dyn FnMut(&str, &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        self.fetch(handle, folder)?;
        let options = self.settings.database(None)?;
        let families = handle.tables.iter().map(|table| format!("table-{}", table.name));
        let failed = |error| Error::Backend(format!("RocksDB cannot open the state of a checkpoint: {error}"));
        let db = DB::open_cf_for_read_only(&options, folder, families, false).map_err(failed)?;
        for table in &handle.tables {
            visit_range(&db, &table.name, wanted, &mut |key, value| visit(&table.name, key, value))?;
        }
        Ok(())
    }

    /// What a handle has beside its instance, with the names of tables.
    pub(crate) fn kept_back(&self, handle: &proto::KeyedStateHandle) -> Result<Vec<(String, Bytes)>> {
        let kept_back = handle.files.iter().filter(|named| named.kept_back);
        let read = kept_back.map(|named| {
            let described = handle.tables.iter().any(|table| table.name == named.name);
            let Some(file) = named.file.as_ref().filter(|_| described) else {
                let message = format!("a state handle has entries of '{}', which it does not describe", named.name);
                return Err(Error::Corrupt(message));
            };
            Ok((named.name.clone(), self.runtime.block_on(self.storage.read(file))?))
        });
        read.collect()
    }

    /// Fetches an instance's files into a folder, several at a time.
    pub(super) fn fetch(&self, handle: &proto::KeyedStateHandle, folder: &Path) -> Result<()> {
        let made = std::fs::create_dir_all(folder);
        made.map_err(|error| Error::storage(format!("cannot create {}", folder.display()), error))?;
        let of_instance = handle.files.iter().filter(|named| !named.kept_back);
        let downloads = of_instance.map(|named| async move {
            let plain = !named.name.is_empty() && !named.name.contains(['/', '\\']) && named.name != "..";
            let Some(file) = named.file.as_ref().filter(|_| plain) else {
                return Err(Error::Corrupt(format!("a state handle names the file '{}' wrongly", named.name)));
            };
            let to = folder.join(&named.name);
            match &self.copies {
                Some(copies) if copies.fetch(file, &to) => Ok(()),
                _ => self.storage.download(file, &to).await,
            }
        });
        let downloads = futures::stream::iter(downloads).buffer_unordered(self.settings.transfers);
        self.runtime.block_on(downloads.try_collect())
    }
}

/// Visits the wanted key groups of a table.
fn visit_range(
    db: &DB,
    table: &str,
    wanted: &RangeInclusive<u16>,
    visit: &mut dyn FnMut(&[u8], &[u8]) -> Result<()>,
) -> Result<()> {
    let failed =
        |error: ::rocksdb::Error| Error::Backend(format!("RocksDB cannot read the state of a checkpoint: {error}"));
    let family = db.cf_handle(&format!("table-{table}"));
    let family = family
        .ok_or_else(|| Error::Corrupt(format!("a state handle names the table '{table}', which is not there")))?;
    let mut read = ReadOptions::default();
    read.set_iterate_lower_bound(wanted.start().to_be_bytes());
    if let Some(end) = wanted.end().checked_add(1) {
        read.set_iterate_upper_bound(end.to_be_bytes());
    }
    // Read once, from end to end.
    read.fill_cache(false);
    read.set_readahead_size(2 << 20);
    let mut entries = db.raw_iterator_cf_opt(family, read);
    entries.seek_to_first();
    while let Some((key, value)) = entries.item() {
        visit(key, value)?;
        entries.next();
    }
    entries.status().map_err(failed)
}
