//! Opens an instance with the state of a checkpoint in it.
//!
//! The instance that has most of the wanted key groups is taken as it is, and what it has beside them is cut off. Entries of
//! the others, and sorted entries, are written into it.
use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use ::rocksdb::{WriteBatch, WriteOptions};
use wiesel_proto as proto;
use wiesel_state::keyed::OpenRequest;
use wiesel_state::{Error, Result};

use super::database::{Database, Setup};
use super::{Restored, RocksDbBackend, TemporaryFolder, without_log};
use crate::canonical;
use crate::tables::{Tables, overlap, range};

/// A handle, and what of it is wanted.
type Part<'a> = (&'a proto::KeyedStateHandle, RangeInclusive<u16>);

pub(super) fn open(
    backend: &RocksDbBackend,
    setup: &Setup,
    folder: PathBuf,
    request: &OpenRequest,
) -> Result<Restored> {
    let folder = Arc::new(TemporaryFolder(folder));
    let mut parts = wanted_parts(request)?;
    let base = take_base(&mut parts);
    let mut tables = Tables::default();
    let mut uploaded = HashMap::new();
    if let Some((handle, _)) = &base {
        backend.native.fetch(handle, &folder.0.join("db"))?;
        tables.restore(handle, &setup.task)?;
        uploaded = in_shared(handle);
    }
    let mut database = Database::open(setup, folder.clone(), tables.all())?;
    if let Some((handle, wanted)) = &base
        && *wanted != range(handle)?
    {
        cut(&database, &tables, wanted)?;
    }
    let mut kept_back = Vec::new();
    for (handle, _) in base.iter().chain(&parts) {
        kept_back.extend(backend.native.kept_back(handle)?);
    }
    let empty = base.is_none() && parts.is_empty();
    for (number, (handle, wanted)) in parts.iter().enumerate() {
        for descriptor in &handle.tables {
            if tables.add(descriptor, &setup.task)?.1 {
                database.create(descriptor)?;
            }
        }
        let writer = EntryWriter::new(&database, setup);
        match handle.format() {
            proto::KeyedStateFormat::Canonical => copy_sorted(backend, handle, wanted, writer)?,
            proto::KeyedStateFormat::Rocksdb => {
                let from = TemporaryFolder(folder.0.join(format!("restore-{number}")));
                let mut batch = Batch::new(writer);
                backend.native.read(handle, &from.0, wanted, &mut |table, key, value| batch.put(table, key, value))?;
                batch.flush()?;
            }
        }
    }
    Ok(Restored { database, tables, uploaded, empty, kept_back })
}

fn wanted_parts(request: &OpenRequest) -> Result<Vec<Part<'_>>> {
    let Some(wanted) = &request.key_groups else { return Ok(Vec::new()) };
    let mut parts = Vec::new();
    for handle in &request.restore {
        // A handle without files says of which tables, no more.
        if let Some(wanted) = overlap(&range(handle)?, wanted) {
            parts.push((handle, wanted));
        }
    }
    Ok(parts)
}

/// Takes out the instance with most of the wanted key groups; none if there is no instance.
fn take_base<'a>(parts: &mut Vec<Part<'a>>) -> Option<Part<'a>> {
    let instances =
        parts.iter().enumerate().filter(|(_, (handle, _))| handle.format() == proto::KeyedStateFormat::Rocksdb);
    let (index, _) = instances.max_by_key(|(_, (_, wanted))| wanted.end() - wanted.start())?;
    Some(parts.remove(index))
}

/// Files that the next checkpoint may refer to.
fn in_shared(handle: &proto::KeyedStateHandle) -> HashMap<String, proto::StateFile> {
    let shared = handle.files.iter().filter(|named| named.shared);
    shared.filter_map(|named| Some((named.name.clone(), named.file.clone()?))).collect()
}

/// Deletes what is not wanted.
pub(super) fn cut(database: &Database, tables: &Tables, wanted: &RangeInclusive<u16>) -> Result<()> {
    let write = without_log();
    let before = (wanted.start() > &0).then(|| (vec![0; 2], wanted.start().to_be_bytes().to_vec()));
    // No key group has the number 65535.
    let after = wanted.end().checked_add(1).map(|next| (next.to_be_bytes().to_vec(), vec![0xff; 2]));
    for table in tables.all() {
        let (db, family) = database.family(&table.name)?;
        for (from, to) in before.iter().chain(&after) {
            // First that nothing in there can be seen any more, then whole files that hold nothing else.
            let deleted = db.delete_range_cf_opt(family, from, to, &write);
            deleted
                .and_then(|()| db.delete_file_in_range_cf(family, from, &last_before(to)))
                .map_err(|error| database.error(error))?;
        }
    }
    Ok(())
}

/// A key before that of a key group, behind nearly all keys of the key groups before it. Where ranges of entries end before
/// their end, those of files include it, and it may be all of a key.
fn last_before(group: &[u8]) -> Vec<u8> {
    let before = group.first_chunk::<2>().map_or(0, |group| u16::from_be_bytes(*group).saturating_sub(1));
    let mut last = before.to_be_bytes().to_vec();
    last.extend([0xff; 8]);
    last
}

fn copy_sorted(
    backend: &RocksDbBackend,
    handle: &proto::KeyedStateHandle,
    wanted: &RangeInclusive<u16>,
    writer: EntryWriter<'_>,
) -> Result<()> {
    let mut batch = Batch::new(writer);
    for named in &handle.files {
        let Some(file) = &named.file else { continue };
        if !handle.tables.iter().any(|table| table.name == named.name) {
            return Err(Error::Corrupt(format!("state of '{}', which the handle does not describe", named.name)));
        }
        let mut visit = |key: &[u8], value: &[u8]| batch.put(&named.name, key, value);
        backend.runtime.block_on(canonical::read(&backend.storage, file, wanted, &mut visit))?;
    }
    batch.flush()
}

struct EntryWriter<'a> {
    database: &'a Database,
    /// Bytes that are written at once.
    limit: usize,
    write: WriteOptions,
}

impl<'a> EntryWriter<'a> {
    fn new(database: &'a Database, setup: &Setup) -> Self {
        Self { database, limit: setup.settings.write_batch, write: without_log() }
    }
}

/// Entries that wait to be written together.
struct Batch<'a> {
    writer: EntryWriter<'a>,
    entries: WriteBatch,
}

impl<'a> Batch<'a> {
    fn new(writer: EntryWriter<'a>) -> Self {
        Self { writer, entries: WriteBatch::default() }
    }

    fn put(&mut self, table: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let (_, family) = self.writer.database.family(table)?;
        self.entries.put_cf(family, key, value);
        if self.entries.size_in_bytes() >= self.writer.limit { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let entries = std::mem::take(&mut self.entries);
        if entries.is_empty() { Ok(()) } else { self.writer.database.write(entries, &self.writer.write) }
    }
}
