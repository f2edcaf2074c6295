//! One RocksDB instance with its folder.
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::rocksdb::checkpoint::Checkpoint;
use ::rocksdb::{Cache, ColumnFamily, ColumnFamilyDescriptor, DB, Options, WriteBatch, WriteOptions};
use wiesel_proto as proto;
use wiesel_state::{Error, Result};

use super::options::Settings;
use super::ttl_filter::TtlFactory;
use super::{TemporaryFolder, TimesToLive};
use crate::backend::StateResources;

/// What instances are opened with.
#[derive(Clone)]
pub(super) struct Setup {
    /// Name of the task, for messages.
    pub(super) task: String,
    pub(super) settings: Settings,
    pub(super) resources: Arc<StateResources>,
}

impl Setup {
    pub(super) fn error(&self, what: impl Display) -> Error {
        Error::Backend(format!("RocksDB of {}: {what}", self.task))
    }

    /// The column family of a table: a name of its own beside RocksDB's `default`.
    fn family_name(table: &str) -> String {
        format!("table-{table}")
    }

    fn options(
        &self,
        cache: Option<&Cache>,
        descriptor: &proto::StateTableDescriptor,
        ttls: &mut TimesToLive,
    ) -> Options {
        let ttl = (descriptor.ttl > 0).then(|| TtlFactory {
            millis: ttls.of(&descriptor.name),
            clock: self.resources.clock().clone(),
            clock_entries: self.settings.ttl_clock_entries,
        });
        self.settings.table(self.resources.shared_memory(), cache, ttl)
    }

    /// Opens the instance in a folder with its tables, as they are.
    pub(super) fn open_read_only(&self, folder: &Path, tables: &[proto::StateTableDescriptor]) -> Result<DB> {
        let options = self.settings.database(self.resources.shared_memory())?;
        let families = tables.iter().map(|table| {
            // No filter: what has expired is left to whoever reads.
            let options = self.settings.table(self.resources.shared_memory(), None, None);
            ColumnFamilyDescriptor::new(Self::family_name(&table.name), options)
        });
        DB::open_cf_descriptors_read_only(&options, folder, families, false).map_err(|error| self.error(error))
    }

    pub(super) fn family<'a>(&self, db: &'a DB, table: &str) -> Result<&'a ColumnFamily> {
        db.cf_handle(&Self::family_name(table)).ok_or_else(|| self.error(format!("there is no table '{table}'")))
    }
}

/// An instance; its folder goes with it.
pub(super) struct Database {
    pub(super) task: String,
    /// Closed before the folder goes.
    db: Option<DB>,
    ttls: TimesToLive,
    cache: Option<Cache>,
    setup: Setup,
    folder: Arc<TemporaryFolder>,
}

impl Database {
    /// Opens the instance in `folder`/db: with these tables if it is there, else a new one.
    pub(super) fn open(
        setup: &Setup,
        folder: Arc<TemporaryFolder>,
        tables: &[proto::StateTableDescriptor],
    ) -> Result<Self> {
        let shared = setup.resources.shared_memory();
        let cache = shared.is_none().then(|| setup.settings.own_cache());
        let mut ttls = TimesToLive::default();
        let mut options = setup.settings.database(shared)?;
        let path = folder.0.join("db");
        options.create_if_missing(!path.join("CURRENT").exists());
        let families: Vec<_> = tables
            .iter()
            .map(|table| {
                let options = setup.options(cache.as_ref(), table, &mut ttls);
                ColumnFamilyDescriptor::new(Setup::family_name(&table.name), options)
            })
            .collect();
        let db = DB::open_cf_descriptors(&options, &path, families).map_err(|error| setup.error(error))?;
        Ok(Self { task: setup.task.clone(), db: Some(db), ttls, cache, setup: setup.clone(), folder })
    }

    pub(super) fn setup(&self) -> Setup {
        self.setup.clone()
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    pub(super) fn error(&self, what: impl Display) -> Error {
        self.setup.error(what)
    }

    fn db(&self) -> Result<&DB> {
        self.db.as_ref().ok_or_else(|| self.error("it is closed"))
    }

    /// The instance and a table of it.
    pub(super) fn family(&self, table: &str) -> Result<(&DB, &ColumnFamily)> {
        let db = self.db()?;
        Ok((db, self.setup.family(db, table)?))
    }

    pub(super) fn write(&self, changes: WriteBatch, options: &WriteOptions) -> Result<()> {
        self.db()?.write_opt(changes, options).map_err(|error| self.error(error))
    }

    pub(super) fn create(&mut self, descriptor: &proto::StateTableDescriptor) -> Result<()> {
        let options = self.setup.options(self.cache.as_ref(), descriptor, &mut self.ttls);
        let created = match &mut self.db {
            Some(db) => db.create_cf(Setup::family_name(&descriptor.name), &options),
            None => return Err(self.error("it is closed")),
        };
        created.map_err(|error| self.error(error))
    }

    /// From now on entries of the table are dropped by this time-to-live.
    pub(super) fn set_ttl(&mut self, descriptor: &proto::StateTableDescriptor) {
        self.ttls.set(descriptor);
    }

    /// Writes out what is in memory and links all files into a folder.
    pub(super) fn link(&self, folder: PathBuf) -> Result<Links> {
        let db = self.db()?;
        let linked = Checkpoint::new(db).and_then(|checkpoint| checkpoint.create_checkpoint(&folder));
        linked.map_err(|error| self.error(error))?;
        Ok(Links { folder: TemporaryFolder(folder), _instance: self.folder.clone() })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(db) = self.db.take() {
            db.cancel_all_background_work(true);
        }
    }
}

/// The files of an instance as they were.
pub(super) struct Links {
    pub(super) folder: TemporaryFolder,
    /// The links are in the instance's folder, which stays as long as they do.
    _instance: Arc<TemporaryFolder>,
}

impl Links {
    pub(super) fn path(&self) -> &Path {
        &self.folder.0
    }

    /// Names of the files, without an empty log.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let failed = |error| Error::storage(format!("cannot list {}", self.path().display()), error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path()).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if !name.ends_with(".log") {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }
}
