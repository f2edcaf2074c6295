//! What a sink does with files that an earlier attempt left.
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use wiesel_operators::operator::{Error, OperatorContext, Result};
use wiesel_operators::sink::{RestoredSink, SinkEntry};

use super::part_file::{PartFile, unwritable};
use super::savepoint::{Guards, guard_path, guard_uri, is_guard_of};
use super::state::{Committable, FileKey, FileState, HiddenFile, InProgress, key, owner};
use super::table_folder::{SmallFile, TableFolder};
use super::{FileSink, exists, make_folder, names, open_files, remove, uploads};
use crate::formats::FileWriter;

/// What goes when the first checkpoint of this attempt is durable: what it has taken over, and progress files of other
/// runs of the job (`partition_commit`).
pub(super) struct Obsolete {
    file: SmallFile,
    /// The first snapshot of this attempt. It does not name it.
    pub(super) not_in: Option<u64>,
    /// It is the guard of files that this attempt took over from the savepoint of that number.
    guard_of: Option<u64>,
}

impl Obsolete {
    pub(super) fn file(file: SmallFile) -> Self {
        Self { file, not_in: None, guard_of: None }
    }
}

impl FileSink {
    /// Goes on with this subtask's share of the restored files, gives those that are to be committed, and removes what neither a
    /// checkpoint nor a savepoint names. The entries are of the subtasks whose number is this one's modulo the parallelism, or (of
    /// checkpoints written before) of all.
    pub(super) fn recover(
        &mut self,
        sink: u64,
        context: &OperatorContext,
        restored: Option<RestoredSink<InProgress, Committable>>,
    ) -> Result<Vec<Committable>> {
        let Some(restored) = restored else {
            self.clean(sink, context, &HashSet::new())?;
            return Ok(Vec::new());
        };
        let files = own(restored.entries, context.subtask, context.parallelism)?;
        let named: HashSet<FileKey> = files.iter().map(key).collect();
        let guards = self.guards_of(&files)?;
        let files = without_completed(files, restored.checkpoint, context.run)?;
        self.clean(sink, context, &named)?;
        self.take_over_guards(restored.checkpoint, guards)?;
        let now = context.clock.now_millis();
        let mut pending = Vec::new();
        for file in files {
            match file {
                SinkEntry::Committable(committable) => {
                    if let Committable::File(file) = &committable {
                        check_length(file)?;
                    }
                    pending.push(committable);
                }
                SinkEntry::Writer(file) => self.resume(&file, now)?,
            }
        }
        if let Some(committer) = &mut self.committer {
            // Several subtasks may have had one: that it is committed twice changes nothing.
            committer.restore(std::mem::take(&mut self.restored_partitions).into_iter())?;
        }
        Ok(pending)
    }

    fn resume(&mut self, file: &InProgress, now: i64) -> Result<()> {
        // After a restore with fewer subtasks a folder may have several: only one of them takes more rows.
        self.close_file(&file.folder)?;
        let TableFolder::Local(root) = &self.folder else {
            let (hidden, root) = (file.hidden.display(), &self.root);
            let message = format!(
                "the restored checkpoint goes on with {hidden}, and the table is in a store now: let the job end with the \
                 path that it had, or start it without the checkpoint ({root})"
            );
            return Err(Error::Plan(message));
        };
        let directory = make_folder(root, &file.folder)?;
        self.make_room()?;
        let buffer = open_files::buffer(self.open.len());
        let resumed = PartFile::resume(file, &directory, self.names.next(), buffer, now)?;
        self.next_check = now.saturating_add(self.rolling.check_interval);
        self.open.insert(file.folder.clone(), resumed);
        if let Some(committer) = &mut self.committer {
            // Checkpoints written before may name a file in a partition that they do not wait for.
            committer.written(&file.folder, file.created);
        }
        if matches!(self.writer, FileWriter::Bulk(_)) {
            self.close_file(&file.folder)?;
        }
        self.obsolete.push(Obsolete::file(SmallFile::Local(file.hidden.clone())));
        Ok(())
    }

    /// Where the job starts from a savepoint, its guards become obsolete with the files they keep: all that it names of an
    /// attempt of a subtask is this subtask's now. A guard that was written again since is of a later savepoint, and one of a
    /// savepoint that the restored checkpoint came after is still of use to jobs that start from that savepoint: these stay.
    fn take_over_guards(&mut self, checkpoint: u64, guards: Vec<SmallFile>) -> Result<()> {
        for file in guards {
            if is_guard_of(&file, checkpoint)? {
                self.obsolete.push(Obsolete { file, not_in: None, guard_of: Some(checkpoint) });
            }
        }
        Ok(())
    }

    /// Where the guards of these files are, if there are any.
    fn guards_of(&self, files: &[FileState]) -> Result<Vec<SmallFile>> {
        let levels = self.partitions.len();
        let (mut local, mut stored) = (BTreeSet::new(), BTreeSet::new());
        for file in files {
            match file {
                SinkEntry::Committable(Committable::Upload(upload)) => stored.extend(guard_uri(&upload.uri, levels)),
                SinkEntry::Committable(Committable::File(HiddenFile { hidden, .. }))
                | SinkEntry::Writer(InProgress { hidden, .. }) => local.extend(guard_path(hidden, levels)),
            }
        }
        let mut guards: Vec<SmallFile> = local.into_iter().map(SmallFile::Local).collect();
        for uri in stored {
            guards.push(SmallFile::Store(self.files.location(&uri)?, self.files.clone()));
        }
        Ok(guards)
    }

    /// A checkpoint is durable: removes what has become obsolete by it, but for what a savepoint may name.
    pub(super) fn remove_obsolete(&mut self, completed: u64) -> Result<()> {
        let is_due = |obsolete: &Obsolete| obsolete.not_in.is_some_and(|checkpoint| checkpoint <= completed);
        let (due, later) = std::mem::take(&mut self.obsolete).into_iter().partition::<Vec<_>, _>(is_due);
        self.obsolete = later;
        // Guards first: they decide over the files. Looked at now and not when they were found, for the attempt that wrote
        // them may have gone on until this one had its barrier.
        for guard in &due {
            if guard.guard_of.map_or(Ok(false), |savepoint| is_guard_of(&guard.file, savepoint))? {
                guard.file.remove();
            }
        }
        let mut guards = Guards::new(self.partitions.len());
        for file in due.iter().filter(|obsolete| obsolete.guard_of.is_none()) {
            let is_kept = match &file.file {
                SmallFile::Local(path) => guards.keep(path)?,
                SmallFile::Store(..) => false,
            };
            if !is_kept {
                file.file.remove();
            }
        }
        Ok(())
    }

    /// Removes hidden files of earlier attempts of this run of the job that neither its checkpoints nor a savepoint names. Files
    /// are this subtask's to remove if their subtask's number is its own modulo the parallelism: no other subtask of this attempt
    /// makes such files, and this one has not begun to. But a later attempt may have: this one may have stood still since it was
    /// deployed, and have been given up. The number of the attempt tells the two apart, times do not, whenever they are taken.
    ///
    /// A restart goes back to the latest checkpoint of its run, and that names what an earlier one named and what has not got its
    /// name since. Of other runs nothing is known: one may have a complete checkpoint that was kept and came after the one that
    /// this run began with, and whose files no attempt has committed yet, because the run died when it was complete; one may be
    /// alive on another cluster. What a checkpoint named and somebody removed would be taken for committed (see `commit`). So
    /// files of other runs stay as they are, until a job starts from what names them, or somebody removes them by hand.
    ///
    /// What a guard keeps stays as well, for a savepoint may name it. One is complete only when each subtask has acknowledged
    /// it: its guards were there before the attempt that wrote them was given up, and this one was deployed.
    fn clean(&self, sink: u64, context: &OperatorContext, named: &HashSet<FileKey>) -> Result<()> {
        let root = match &self.folder {
            TableFolder::Local(root) => root,
            TableFolder::Store(store) => return uploads::clean(store, sink, context, named),
        };
        let (mut earlier, mut of_other_runs) = (Vec::new(), 0u64);
        walk(root, self.partitions.len(), &mut |path, name| {
            let Some(owner) = names::owner(name).filter(|owner| owner.sink == sink) else { return };
            if owner.subtask % context.parallelism.max(1) != context.subtask
                || named.contains(&FileKey::Hidden(path.to_owned()))
            {
                return;
            }
            if owner.run != Some(context.run) {
                of_other_runs += 1;
            } else if owner.attempt_number < context.attempt_number {
                earlier.push(path.to_owned());
            }
        })?;
        let (mut guards, mut removed, mut kept) = (Guards::new(self.partitions.len()), 0u64, 0u64);
        for path in &earlier {
            if guards.keep(path)? {
                kept += 1;
            } else {
                remove(path);
                removed += 1;
            }
        }
        if removed > 0 {
            tracing::info!(files = removed, "removed files of an earlier attempt");
        }
        if kept > 0 {
            tracing::info!(files = kept, "kept files of an earlier attempt for a savepoint");
        }
        if of_other_runs > 0 {
            tracing::info!(
                files = of_other_runs,
                folder = %root.display(),
                "hidden files of other runs of the job stay: a checkpoint or savepoint of theirs may name them"
            );
        }
        Ok(())
    }
}

/// What is this subtask's of files that all, or some, subtasks had: those of the subtasks that it also cleans up after.
fn own(files: Vec<FileState>, subtask: u32, parallelism: u32) -> Result<Vec<FileState>> {
    let mut own = Vec::with_capacity(files.len());
    for file in files {
        let Some(owner) = owner(&file) else {
            let message = format!("{} in the restored checkpoint is no file of a sink", key(&file));
            return Err(Error::State(wiesel_state::Error::Corrupt(message)));
        };
        if owner.subtask % parallelism.max(1) == subtask {
            own.push(file);
        }
    }
    own.sort_by_cached_key(key);
    Ok(own)
}

/// Leaves out files that took rows at the restored checkpoint and have their names now. What they held then is visible, and so
/// are the rows that came after it, which this attempt is about to write once more.
///
/// - Another run of the job wrote it: somebody has chosen the checkpoint. It is not the latest of that run, or the file was
///   completed without one, at the end of its task. The rows would come twice: an error, as in Flink, before anything is touched.
/// - This run did: a restart goes back to the latest checkpoint, while a file gets its name with one that is later than all in
///   which it takes rows. So it can only have been completed at the end of a task that waits for no checkpoint
///   (`SinkOperator::commit_at_end`). The rows do come twice then (docs/design.md), but nothing could be done about an error,
///   which would come with every restart.
///
/// A subtask that goes on with a file, at whichever parallelism, copies it under a name of its own: it never gives it its name.
fn without_completed(files: Vec<FileState>, checkpoint: u64, run: u64) -> Result<Vec<FileState>> {
    let mut left = Vec::with_capacity(files.len());
    for file in files {
        if let SinkEntry::Writer(in_progress) = &file
            && !exists(&in_progress.hidden)?
            && exists(&in_progress.path)?
        {
            if owner(&file).is_none_or(|owner| owner.run != Some(run)) {
                return Err(completed_since(in_progress, checkpoint));
            }
            tracing::warn!(
                file = %in_progress.path.display(),
                "a file that the restored checkpoint was writing to was completed at the end of its task: the rows that came \
                 after the checkpoint are written once more"
            );
            continue;
        }
        left.push(file);
    }
    Ok(left)
}

fn completed_since(file: &InProgress, checkpoint: u64) -> Error {
    let (hidden, path) = (file.hidden.display(), file.path.display());
    let message = format!(
        "cannot go on with {hidden} of the restored checkpoint {checkpoint}: the job has completed it since, as {path}, with the \
         rows that came after the checkpoint, which would be there twice. Start from the latest checkpoint or savepoint of the \
         job. To start from this one all the same, give the file its hidden name back and take away what the job has written \
         since: of this file the first {} bytes are kept",
        file.length
    );
    Error::State(wiesel_state::Error::Missing(message))
}

fn check_length(file: &HiddenFile) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use super::super::names::Names;
    use super::*;

    fn pending(subtask: u32) -> FileState {
        let (hidden, path) = Names::new(7, subtask, 1, 0, u64::from(subtask) + 1).next();
        let file = HiddenFile { hidden: hidden.into(), path: path.into(), length: 0, in_snapshot: true };
        SinkEntry::Committable(Committable::File(file))
    }

    #[test]
    fn every_file_is_one_subtasks_whether_it_gets_all_or_its_own() {
        for (old, new) in [(1, 1), (4, 4), (4, 3), (7, 2), (3, 8)] {
            let all: Vec<FileState> = (0..old).map(pending).collect();
            let mut found = Vec::new();
            for subtask in 0..new {
                let by_subtask: Vec<FileState> =
                    all.iter().skip(subtask as usize).step_by(new as usize).cloned().collect();
                let shared = own(all.clone(), subtask, new).unwrap();
                assert_eq!(shared.len(), by_subtask.len());
                assert_eq!(shared, own(by_subtask, subtask, new).unwrap());
                found.extend(shared);
            }
            assert_eq!(found.len(), all.len());
            assert!(all.iter().all(|file| found.contains(file)));
        }
    }
}
