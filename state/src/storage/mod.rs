//! Where checkpoints and savepoints are kept.
//!
//! ```text
//! <execution.checkpointing.dir>/<job id>/chk-<n>/_metadata      written last, once, whole or not at all
//!                                        chk-<n>/<name>         files of this checkpoint alone
//!                                        shared/<name>          files that later checkpoints refer to as well
//!                                        shared/.claimed-chk-<n>-<job id>-<run>   that job has claimed this checkpoint
//! <savepoint folder>/savepoint-<job>-<random>/_metadata, <name>
//! ```
//!
//! A file's name is used once, for ever, and tells for which checkpoint of which run of the job it was written ([`names`]):
//! what a checkpoint that failed has left can be found and deleted at any time without meeting a file that another one
//! refers to ([`sweep`]). Nothing is deleted but by such a name or because metadata names it and it is the metadata's own
//! ([`claim`]). Without a directory checkpoints live in the memory of the JobManager: every state is inline, and bounded.
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::checkpointing::{self, StorageType};
use wiesel_common::filesystem::{self, Location, Refusal, Written};
use wiesel_common::id::JobId;
use wiesel_proto as proto;

use crate::error::{Error, Result};
use crate::keyed::CheckpointFiles;

mod acknowledged;
mod claim;
mod cleanup;
mod files;
pub mod metadata;
mod names;
mod sweep;
#[cfg(test)]
mod tests;

pub use claim::{Claim, ClaimMark};
pub use cleanup::{Deleted, dispose_savepoint};
pub use metadata::{Found, all_files, files_of_task, find, read_metadata, shared_files};
pub use sweep::KnownCheckpoints;

/// The name of the file that makes a checkpoint one.
pub const METADATA: &str = "_metadata";
/// What stands for the place of a checkpoint in the JobManager's memory.
pub const IN_MEMORY: &str = "<checkpoint-not-externally-addressable>";

/// The largest state in the JobManager's memory, in bytes, as Flink's.
const MAX_IN_MEMORY: u64 = 5 << 20;
/// The largest `execution.checkpointing.data-inline-threshold`, in bytes, as Flink's.
const MAX_INLINE: u64 = 1 << 20;
const SHARED: &str = "shared";
const TASK_OWNED: &str = "taskowned";
/// Keeps a folder of a store that removes a folder with its last object, while others put into it.
const KEEP: &str = ".keep";
/// Begins the name of a mark in `shared/` of a job of which another one has claimed a checkpoint, whose folder's name and the
/// claiming job's id follow: what is there may be the other one's. See [`claim`].
const CLAIMED: &str = ".claimed-";

/// The checkpoints and savepoints of one job. Cheap to clone.
#[derive(Clone)]
pub struct CheckpointStorage {
    inner: Arc<Inner>,
}

struct Inner {
    configuration: Configuration,
    job_id: JobId,
    /// The job's folder; none: checkpoints are in the JobManager's memory.
    folder: Option<Location>,
    /// Whether the folder is the job's alone.
    own_folder: bool,
    inline: Inline,
    /// Files that are deleted at once.
    deletions: usize,
}

/// Which state is kept in messages and in `_metadata`.
#[derive(Clone, Copy)]
enum Inline {
    /// Up to so many bytes; larger state is in files.
    UpTo(u64),
    /// All; what is larger than this is refused.
    All(u64),
}

impl CheckpointStorage {
    /// What the configuration says for a job. Touches nothing.
    ///
    /// # Errors
    /// A bad value, a directory of a file system that is not known, or no directory where one is asked for.
    pub fn new(configuration: &Configuration, job_id: JobId) -> Result<Self> {
        let directory = configuration.get_optional(&checkpointing::DIRECTORY)?.filter(|dir| !dir.trim().is_empty());
        let own_folder = configuration.get(&checkpointing::CREATE_SUBDIR)?;
        let folder = match &directory {
            Some(directory) => {
                let folder = Location::resolve(directory, configuration)?;
                Some(if own_folder { folder.join(&job_id.to_string()) } else { folder })
            }
            None => None,
        };
        let in_files = match configuration.get_optional(&checkpointing::STORAGE)? {
            Some(StorageType::FileSystem) if folder.is_none() => {
                let key = checkpointing::DIRECTORY.key();
                let message = format!("the checkpoint storage 'filesystem' needs a directory: set '{key}'");
                return Err(wiesel_common::config::ConfigError::Inconsistent(message).into());
            }
            Some(StorageType::JobManager) => false,
            _ => folder.is_some(),
        };
        let inline = if in_files { Inline::UpTo(inline_threshold(configuration)?) } else { Inline::All(MAX_IN_MEMORY) };
        let deletions = if configuration.get(&checkpointing::PARALLEL_CLEANER)? { 16 } else { 1 };
        let configuration = configuration.clone();
        Ok(Self { inner: Arc::new(Inner { configuration, job_id, folder, own_folder, inline, deletions }) })
    }

    /// The folder of the job's checkpoints, as a URI.
    pub fn folder(&self) -> Option<&str> {
        self.inner.folder.as_ref().map(Location::uri)
    }

    /// The job's configuration.
    pub fn configuration(&self) -> &Configuration {
        &self.inner.configuration
    }

    // ------------------------------------------------------------ for tasks

    /// Where a task's files of a checkpoint or savepoint go. Touches nothing.
    pub fn files(&self, barrier: &proto::CheckpointBarrier) -> Result<Arc<dyn CheckpointFiles>> {
        let savepoint = barrier.kind() == proto::SnapshotKind::Savepoint;
        let (folder, inline) = match (savepoint, &self.inner.folder, self.inner.inline) {
            // A savepoint is in files even where checkpoints are not.
            (true, _, inline) => {
                let inline = match inline {
                    Inline::UpTo(_) => inline,
                    Inline::All(_) => Inline::UpTo(inline_threshold(&self.inner.configuration)?),
                };
                (Some(self.resolve(&barrier.target)?), inline)
            }
            (false, Some(folder), inline) => (Some(folder.join(&checkpoint_name(barrier.checkpoint_id))), inline),
            (false, None, inline) => (None, inline),
        };
        let shared = self.inner.folder.as_ref().filter(|_| !savepoint).map(|folder| folder.join(SHARED));
        let owner = names::Owner { run: barrier.run, checkpoint: barrier.checkpoint_id };
        Ok(Arc::new(files::Files::new(owner, folder, shared, inline)))
    }

    /// The bytes of a file, as they were written.
    ///
    /// # Errors
    /// The file is missing, or is not what it was.
    pub async fn read(&self, file: &proto::StateFile) -> Result<Bytes> {
        let bytes = match file.path.is_empty() {
            true => file.inline.clone(),
            false => {
                let read = self.resolve(&file.path)?.read_at_most(file.size).await;
                read.map_err(|error| longer(file, error).unwrap_or_else(missing))?
            }
        };
        let found = Written { size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes) };
        verify(file, found).map(|()| bytes)
    }

    /// Some bytes of a file. Only their number is verified.
    ///
    /// # Errors
    /// The file is missing, or is shorter than it was: no restart makes it longer.
    pub async fn read_range(&self, file: &proto::StateFile, range: std::ops::Range<u64>) -> Result<Bytes> {
        if file.path.is_empty() {
            let inline = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
            let inside = inline.filter(|(start, end)| start <= end && *end <= file.inline.len());
            let (start, end) =
                inside.ok_or_else(|| Error::Corrupt("inline state is shorter than it should be".into()))?;
            return Ok(file.inline.slice(start..end));
        }
        let location = self.resolve(&file.path)?;
        match location.read_range(range).await {
            Ok(bytes) => Ok(bytes),
            // What lies beyond a file's end fails like what a store that is away has.
            Err(error) => match location.size().await {
                Ok(found) if found < file.size => Err(damaged(file, found)),
                _ => Err(missing(error)),
            },
        }
    }

    /// Writes a local file with the bytes of a file, as they were written.
    ///
    /// # Errors
    /// As [`CheckpointStorage::read`]; the local file may be there then.
    pub async fn download(&self, file: &proto::StateFile, to: &Path) -> Result<()> {
        if file.path.is_empty() {
            let bytes = self.read(file).await?;
            let written = tokio::fs::write(to, &bytes).await;
            return written.map_err(|error| Error::storage(format!("cannot write {}", to.display()), error));
        }
        let downloaded = self.resolve(&file.path)?.download(to, file.size).await;
        let found = downloaded.map_err(|error| match to.parent() {
            // A copy on a local disk says the same if the folder that it is to go to is gone.
            Some(folder) if !folder.is_dir() => Error::File(error),
            _ => longer(file, error).unwrap_or_else(missing),
        })?;
        verify(file, found)
    }

    // ------------------------------------------------------------ for the JobManager

    /// Makes the job's folders and proves that they can be written. Once, before the job starts. `next`: the number of the
    /// first checkpoint.
    ///
    /// # Errors
    /// They cannot, the message names the directory; or checkpoints of these numbers are there, which would be written again.
    pub async fn initialize(&self, next: u64) -> Result<()> {
        let Some(folder) = &self.inner.folder else { return Ok(()) };
        let outcome = async {
            folder.join(TASK_OWNED).create_folder().await?;
            let probe = folder.join(SHARED).without_entropy().join(KEEP);
            probe.write(Bytes::new()).await?;
            // Folders of their own need nothing to hold them.
            if probe.as_local().is_some() { probe.delete().await } else { Ok(()) }
        };
        let key = checkpointing::DIRECTORY.key();
        outcome.await.map_err(|error| {
            Error::storage(format!("checkpoints cannot be written to {} ('{key}')", folder.uri()), error)
        })?;
        let folder = folder.without_entropy();
        let complete = self.complete_from(&folder, next).await?;
        match complete.last() {
            None => Ok(()),
            Some(newest) => Err(Error::Occupied(occupied(&folder, next, &complete, *newest))),
        }
    }

    /// The folder of a new savepoint, as a URI, in the directory given or in the one configured. Touches nothing.
    ///
    /// # Errors
    /// There is neither, the one given is blank, or it is a relative path: each process would look for it somewhere else.
    pub fn savepoint_target(&self, directory: Option<&str>) -> Result<String> {
        if directory.is_some_and(|given| given.trim().is_empty()) {
            let message = "Can not create a Path from an empty string: name the directory of the savepoint, or leave it out where a \
                           cluster-wide default is configured.";
            return Err(wiesel_common::config::ConfigError::Inconsistent(message.to_owned()).into());
        }
        let configured = self.inner.configuration.get_optional(&checkpointing::SAVEPOINT_DIRECTORY)?;
        let directory = directory.map(str::to_owned).or(configured).filter(|directory| !directory.trim().is_empty());
        let Some(directory) = directory else {
            let key = checkpointing::SAVEPOINT_DIRECTORY.key();
            let message = format!(
                "No savepoint directory configured. You can either specify a directory while triggering this savepoint \
                 or configure a cluster-wide default via key '{key}'."
            );
            return Err(wiesel_common::config::ConfigError::Inconsistent(message).into());
        };
        let job = self.inner.job_id.to_string();
        let random = wiesel_common::random::uuid().simple().to_string();
        let name = format!("savepoint-{}-{}", &job[..6], &random[..12]);
        Ok(self.resolve(&directory)?.join(&name).uri().to_owned())
    }

    /// Proves that the folder of a new savepoint can be written, before a task is asked to, and leaves nothing in its place.
    /// In object stores, which have no folders, nothing is tried: the first task to write finds out.
    ///
    /// # Errors
    /// It cannot be written from here.
    pub async fn try_savepoint_target(&self, target: &str) -> Result<()> {
        let tried = self.resolve(target)?.try_folder().await;
        tried.map_err(|error| Error::storage(format!("Failed to create savepoint directory at {target}"), error))
    }

    /// Completes a checkpoint or savepoint whose files are all written: what is returned, its folder as a URI, can be
    /// restored from now on. Whatever happens, a `_metadata` is there whole or not at all.
    pub async fn write_metadata(
        &self,
        barrier: &proto::CheckpointBarrier,
        metadata: &proto::CheckpointMetadata,
    ) -> Result<String> {
        let folder = match barrier.kind() {
            proto::SnapshotKind::Savepoint => self.resolve(&barrier.target)?,
            proto::SnapshotKind::Checkpoint => match &self.inner.folder {
                Some(folder) => folder.join(&checkpoint_name(barrier.checkpoint_id)),
                None => return Ok(IN_MEMORY.to_owned()),
            },
        };
        let folder = folder.without_entropy();
        let (file, bytes) = (folder.join(METADATA), metadata::encode(metadata, folder.uri()));
        metadata::check_written(&bytes)?;
        match file.write_new(bytes.clone()).await {
            Ok(()) => Ok(folder.uri().to_owned()),
            Err(error) if error.is_already_there() => Err(Error::Occupied(format!(
                "{} is there already: it is the checkpoint of another run of the job, or of another job that writes to the \
                 same directory. Two runs cannot share one: choose another '{}' or job ID",
                file.uri(),
                checkpointing::DIRECTORY.key()
            ))),
            Err(error) => {
                // A store may have taken it although the answer was lost: a checkpoint that failed must not look complete.
                if file.has(&bytes).await {
                    let _ = file.delete().await;
                }
                Err(error.into())
            }
        }
    }

    fn resolve(&self, uri: &str) -> Result<Location> {
        Ok(Location::resolve(uri, &self.inner.configuration)?)
    }
}

fn inline_threshold(configuration: &Configuration) -> Result<u64> {
    let option = &checkpointing::INLINE_THRESHOLD;
    let threshold = configuration.get(option)?;
    if threshold.bytes() > MAX_INLINE {
        let expected = "expected at most `1 mb`: it is kept in memory and sent with every checkpoint";
        return Err(option.bad_value(option.key(), &threshold.to_string(), expected).into());
    }
    Ok(threshold.bytes())
}

fn checkpoint_name(checkpoint_id: u64) -> String {
    format!("chk-{checkpoint_id}")
}

/// The number of the checkpoint whose folder has this name; none: it is not a checkpoint's.
fn checkpoint_number(folder: &str) -> Option<u64> {
    let number = folder.strip_prefix("chk-")?.parse().ok()?;
    (checkpoint_name(number) == folder).then_some(number)
}

fn is_checkpoint(folder: &str) -> bool {
    checkpoint_number(folder).is_some()
}

/// Why a run cannot begin where an earlier one's checkpoints are.
fn occupied(folder: &Location, next: u64, complete: &[u64], newest: u64) -> String {
    let names: Vec<String> = complete.iter().take(10).map(|number| checkpoint_name(*number)).collect();
    format!(
        "{folder} has complete checkpoints already, of an earlier run or of another job: {names}{more}. This run begins with \
         {first} and would write them again. Start it from the newest one ('{restore}': {folder}/{newest}), move or dispose of \
         them, or choose another '{key}' or job ID",
        folder = folder.uri(),
        names = names.join(", "),
        more = if complete.len() > names.len() { ", ..." } else { "" },
        first = checkpoint_name(next),
        restore = checkpointing::RESTORE_PATH.key(),
        newest = checkpoint_name(newest),
        key = checkpointing::DIRECTORY.key(),
    )
}

/// The error of a file of a checkpoint that could not be read.
fn missing(error: wiesel_common::filesystem::Error) -> Error {
    if !error.is_not_found() {
        return error.into();
    }
    Error::Missing(format!(
        "{error}. It is part of the checkpoint or savepoint that the job starts from, which cannot be restored without it: put \
         the file back, or start the job from another checkpoint or savepoint"
    ))
}

/// The error of a file that is longer than what was written; else the one that it was.
fn longer(file: &proto::StateFile, error: filesystem::Error) -> std::result::Result<Error, filesystem::Error> {
    match error {
        filesystem::Error::Refused { refusal: Refusal::TooLong { size, .. }, .. } => Ok(damaged(file, size)),
        error => Err(error),
    }
}

fn name_of(file: &proto::StateFile) -> &str {
    if file.path.is_empty() { "inline state" } else { &file.path }
}

fn damaged(file: &proto::StateFile, found: u64) -> Error {
    let (name, expected) = (name_of(file), file.size);
    Error::Corrupt(format!("{name} is damaged: it has {found} bytes instead of {expected}"))
}

/// Compares what was read with what was written.
fn verify(file: &proto::StateFile, found: Written) -> Result<()> {
    if found.size != file.size {
        return Err(damaged(file, found.size));
    }
    if found.crc32c != file.crc32c {
        let (name, found, expected) = (name_of(file), found.crc32c, file.crc32c);
        let message = format!("{name} is damaged: its checksum is {found:08x} instead of {expected:08x}");
        return Err(Error::Corrupt(message));
    }
    Ok(())
}
