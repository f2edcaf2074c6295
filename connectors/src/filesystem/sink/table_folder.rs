//! The folder of a table, as a sink's subtasks use it beside the files with rows: for small hidden files that all of them see.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wiesel_common::filesystem::{Location, read_regular};
use wiesel_common::spawn;
use wiesel_operators::operator::{Error, OperatorContext, Result};

use super::part_file::unwritable;
use super::{exists, remove, sync_folders};
use crate::filesystem::path::{Root, unreadable};
use crate::input::{Files, Scratch};

/// Small files that are read at once.
const READS: usize = 16;
/// MiB of parts of files that one subtask has in memory to send them: four whole parts, or as many small files at once.
const PART_MEMORY: usize = 32;

/// The folder.
#[derive(Clone)]
pub(super) enum TableFolder {
    /// On this machine, or on what it has mounted.
    Local(PathBuf),
    /// In a store.
    Store(Box<StoreFolder>),
}

/// What is below a path of a store.
#[derive(Clone)]
pub(super) struct StoreFolder {
    pub(super) location: Location,
    pub(super) files: Files,
    pub(super) runtime: Handle,
    pub(super) scratch: Scratch,
    /// One for each MiB of parts in memory.
    pub(super) part_memory: Arc<Semaphore>,
}

impl Default for TableFolder {
    fn default() -> Self {
        Self::Local(PathBuf::new())
    }
}

impl TableFolder {
    pub(super) fn open(root: &Root, context: &OperatorContext) -> Result<Self> {
        let uri = match root {
            Root::Local(path) => return Ok(Self::Local(path.clone())),
            Root::Store(uri) => uri,
        };
        let files = Files::new(context.configuration.clone(), context.runtime.clone());
        Ok(Self::Store(Box::new(StoreFolder {
            location: files.location(uri)?,
            files,
            runtime: context.runtime.clone(),
            scratch: Scratch::new(&context.configuration),
            part_memory: Arc::new(Semaphore::new(PART_MEMORY)),
        })))
    }

    /// Whether it is in a store: a file there appears whole and cannot be continued.
    pub(super) fn is_in_store(&self) -> bool {
        matches!(self, Self::Store(_))
    }

    /// The file of that path below it.
    pub(super) fn file(&self, path: &str) -> Result<SmallFile> {
        Ok(match self {
            Self::Local(folder) => SmallFile::Local(folder.join(path)),
            Self::Store(store) => {
                let file = store.location.below(path).map_err(crate::input::failed)?;
                SmallFile::Store(file, store.files.clone())
            }
        })
    }

    /// The names of the files in it, not of those below.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        match self {
            Self::Local(folder) => {
                let entries = fs::read_dir(folder).into_iter().flatten().flatten();
                Ok(entries.filter_map(|entry| entry.file_name().into_string().ok()).collect())
            }
            Self::Store(store) => Ok(store.files.wait(store.location.children())?.files),
        }
    }

    /// The content of each of these files, of at most so many bytes; none: it is not there.
    pub(super) fn read_all(&self, names: &[String], limit: u64) -> Result<Vec<Option<Vec<u8>>>> {
        let Self::Store(store) = self else {
            return names.iter().map(|name| self.file(name)?.read(limit)).collect();
        };
        let mut all = Vec::with_capacity(names.len());
        for names in names.chunks(READS) {
            let mut reads = Vec::with_capacity(names.len());
            for name in names {
                let file = store.location.below(name).map_err(crate::input::failed)?;
                reads.push(spawn::owned_on(&store.runtime, async move { file.read_at_most(limit).await }));
            }
            for read in reads {
                let read = crate::blocking::wait(&store.runtime, read)?;
                all.push(found(read.map_err(|error| Error::external("a read did not come to its end", error))?)?);
            }
        }
        Ok(all)
    }
}

fn found(read: wiesel_common::filesystem::Result<bytes::Bytes>) -> Result<Option<Vec<u8>>> {
    match read {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(crate::input::failed(error)),
    }
}

/// A small file.
pub(super) enum SmallFile {
    Local(PathBuf),
    Store(Location, Files),
}

impl SmallFile {
    /// Writes it, over what may be there, and makes it durable.
    pub(super) fn write_durably(&self, content: &[u8]) -> Result<()> {
        match self {
            Self::Local(path) => {
                let written = File::create(path).and_then(|mut file| {
                    file.write_all(content)?;
                    file.sync_all()
                });
                written.map_err(|error| unwritable(path, error))?;
                let folder = path.parent().unwrap_or(Path::new("")).to_owned();
                sync_folders(&folder, [folder.clone()].into())
            }
            Self::Store(file, files) => files.wait(file.write(content.to_vec().into())),
        }
    }

    /// Writes it in the place of what may be there: a reader sees the one or the other.
    pub(super) fn replace(&self, content: &[u8]) -> Result<()> {
        match self {
            Self::Local(path) => {
                let new = path.with_extension("new");
                let written = fs::create_dir_all(path.parent().unwrap_or(Path::new("")))
                    .and_then(|()| fs::write(&new, content))
                    .and_then(|()| fs::rename(&new, path));
                written.map_err(|error| unwritable(path, error))
            }
            Self::Store(file, files) => files.wait(file.write(content.to_vec().into())),
        }
    }

    /// Makes it, empty.
    pub(super) fn make(&self) -> Result<()> {
        match self {
            Self::Local(path) => fs::write(path, b"").map_err(|error| unwritable(path, error)),
            Self::Store(file, files) => files.wait(file.write(bytes::Bytes::new())),
        }
    }

    /// All of it, of at most so many bytes; none: it is not there.
    pub(super) fn read(&self, limit: u64) -> Result<Option<Vec<u8>>> {
        match self {
            Self::Local(path) => match read_regular(path, limit) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(unreadable(path, error)),
            },
            Self::Store(file, files) => found(files.wait_for(file.read_at_most(limit))?),
        }
    }

    /// Whether it is there. An error: that cannot be told.
    pub(super) fn exists(&self) -> Result<bool> {
        match self {
            Self::Local(path) => exists(path),
            Self::Store(file, files) => match files.wait_for(file.size())? {
                Ok(_) => Ok(true),
                Err(error) if error.is_not_found() => Ok(false),
                Err(error) => Err(crate::input::failed(error)),
            },
        }
    }

    /// Removes it, if that is possible: what stays does no harm.
    pub(super) fn remove(&self) {
        match self {
            Self::Local(path) => remove(path),
            Self::Store(file, files) => {
                if let Err(error) = files.wait(file.delete()) {
                    tracing::warn!(file = file.uri(), %error, "cannot remove a hidden file");
                }
            }
        }
    }
}
