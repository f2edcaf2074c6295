//! What a sink does with files that an earlier attempt left.
use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wiesel_operators::operator::{Error, OperatorContext, RestoredState, Result};

use super::part_file::{PartFile, unwritable};
use super::state::{Committable, FileState, InProgress};
use super::{FILES, FileSink, PARTITIONS, names, remove};

/// The lists of all subtasks, in an order that all of them see.
pub(super) struct Restored {
    files: Vec<FileState>,
    partitions: Vec<Bytes>,
}

impl Restored {
    pub(super) fn read(state: &mut dyn RestoredState) -> Result<Self> {
        let mut files: Vec<FileState> =
            state.list(FILES).iter().map(|entry| FileState::decode(entry)).collect::<Result<_>>()?;
        files.sort_by(|a, b| a.hidden().cmp(b.hidden()));
        let mut partitions = state.list(PARTITIONS);
        partitions.sort_unstable();
        partitions.dedup();
        Ok(Self { files, partitions })
    }
}

impl FileSink {
    /// Commits and goes on with this subtask's share of the restored files, and removes what no checkpoint names.
    pub(super) fn recover(&mut self, sink: u64, context: &OperatorContext) -> Result<()> {
        let restored = self.restored.take().unwrap_or(Restored { files: Vec::new(), partitions: Vec::new() });
        let named: HashSet<PathBuf> = restored.files.iter().map(|file| file.hidden().clone()).collect();
        self.clean(sink, context, &named)?;
        let now = context.clock.now_millis();
        let mut pending = Vec::new();
        for file in share(restored.files, context) {
            match file {
                FileState::Pending(file) => {
                    check_length(&file)?;
                    pending.push(file);
                }
                FileState::InProgress(file) => self.resume(&file, now)?,
            }
        }
        self.commit(pending)?;
        match &mut self.committer {
            Some(committer) => committer.restore(share(restored.partitions, context)),
            None => Ok(()),
        }
    }

    fn resume(&mut self, file: &InProgress, now: i64) -> Result<()> {
        if !file.hidden.exists() && file.path.exists() {
            tracing::warn!(
                file = %file.path.display(),
                "a file that the restored checkpoint was writing to has been committed by a later checkpoint"
            );
            return Ok(());
        }
        // After a restore with fewer subtasks a folder may have several: only one of them takes more rows.
        self.close_file(&file.folder)?;
        let directory = self.make_folder(&file.folder)?;
        let resumed = PartFile::resume(file, &directory, self.names.next(), now)?;
        self.next_check = now.saturating_add(self.rolling.check_interval);
        self.open.insert(file.folder.clone(), resumed);
        if self.encoder.is_none() || self.open.len() > super::OPEN_FILES {
            self.close_file(&file.folder)?;
        }
        self.obsolete.push((None, file.hidden.clone()));
        Ok(())
    }

    /// Removes hidden files of earlier attempts of this job that no checkpoint names. Files are this subtask's to remove if
    /// their subtask's number is its own modulo the parallelism: no other subtask of this attempt makes such files, and this
    /// one has not begun to.
    fn clean(&self, sink: u64, context: &OperatorContext, named: &HashSet<PathBuf>) -> Result<()> {
        let mine = |name: &str| {
            names::owner(name).is_some_and(|(owner, subtask)| {
                owner == sink && subtask % context.parallelism.max(1) == context.subtask
            })
        };
        let mut removed = 0u64;
        walk(&self.root, self.partitions.len(), &mut |path, name| {
            if mine(name) && !named.contains(path) {
                remove(path);
                removed += 1;
            }
        })?;
        if removed > 0 {
            tracing::info!(task = context.task_name, files = removed, "removed files of an earlier attempt");
        }
        Ok(())
    }
}

/// Every n-th entry is a subtask's.
fn share<T>(all: Vec<T>, context: &OperatorContext) -> impl Iterator<Item = T> {
    all.into_iter().skip(context.subtask as usize).step_by(context.parallelism.max(1) as usize)
}

fn check_length(file: &Committable) -> Result<()> {
    match fs::metadata(&file.hidden) {
        Ok(metadata) if metadata.len() != file.length => Err(Error::State(wiesel_state::Error::Corrupt(format!(
            "file {} of the restored checkpoint has {} bytes instead of {}",
            file.hidden.display(),
            metadata.len(),
            file.length
        )))),
        _ => Ok(()),
    }
}

/// Visits the files in a folder and in the folders below it, so many levels deep.
fn walk(folder: &Path, levels: usize, visit: &mut dyn FnMut(&Path, &str)) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(unwritable(folder, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| unwritable(folder, error))?;
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if levels > 0 {
                walk(&path, levels - 1, visit)?;
            }
        } else if let Some(name) = entry.file_name().to_str() {
            visit(&path, name);
        }
    }
    Ok(())
}
