//! Progress files: how far each subtask of a sink has come, in hidden files of the table's folder that all subtasks can read.
//! Of one attempt, run and sink each subtask has up to three, whose names begin with
//! `.partition-commit-<sink>-<run>-<attempt>-<subtask>`:
//!
//! - without a suffix: its progress at the last checkpoint that it was notified of;
//! - `.ending`: its progress at the checkpoint that it ends with, written before that checkpoint is durable;
//! - `.left`: empty; the subtask was closed before it ended.
//!
//! An attempt reads and replaces only its own progress files: one that was given up, or of a run of the job that is over, may
//! go on beside it. All subtasks of an attempt have the same attempt number. So no subtask needs the files when all were closed
//! or have ended, and the last one removes them: also those of a job which goes on as another one, by a savepoint, and whose
//! sink has another name then.
use std::collections::BTreeSet;

use wiesel_operators::operator::{OperatorContext, Result};

use crate::encoding::{Reader, Writer};
use crate::filesystem::sink::table_folder::{SmallFile, TableFolder};

/// The suffix of the progress at the checkpoint that a subtask ends with.
const ENDING_SUFFIX: &str = "ending";
/// The suffix of the empty file of a subtask that was closed before it ended.
const CLOSED_SUFFIX: &str = "left";

/// The longest progress file, in bytes: it has the names of folders of partitions.
const MAX_FILE: u64 = 256 << 20;

/// What is true of a subtask once a checkpoint is durable and its files have their names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) checkpoint: u64,
    /// At the checkpoint.
    pub(super) watermark: i64,
    /// The watermark is to be left out.
    pub(super) idle: bool,
    /// Nothing will follow.
    pub(super) ended: bool,
    /// Pending partitions: folders that wait for their commit, and since when (milliseconds since the epoch). They are written
    /// once the subtask has ended: then the others commit them.
    pub(super) pending: Vec<(String, i64)>,
    /// Folders with a file that takes more rows beyond the checkpoint, and does not get its name with it.
    pub(super) open: BTreeSet<String>,
}

impl Progress {
    fn encode(&self, parallelism: u32) -> bytes::Bytes {
        let mut out = Writer::new(2);
        out.u64(parallelism.into()).u64(self.checkpoint).i64(self.watermark);
        let pending: &[(String, i64)] = if self.ended { &self.pending } else { &[] };
        out.u64(self.idle.into()).u64(self.ended.into()).u64(pending.len() as u64);
        for (folder, since) in pending {
            out.bytes(folder.as_bytes()).i64(*since);
        }
        out.u64(self.open.len() as u64);
        for folder in &self.open {
            out.bytes(folder.as_bytes());
        }
        out.finish()
    }

    /// None: written at another parallelism, or (version 1) by a release that did not list open files, without which no partition
    /// can be committed. Only subtasks of one attempt read each other's progress; that of other attempts is removed unread.
    fn decode(bytes: &[u8], parallelism: u32) -> Result<Option<Self>> {
        if bytes.first() == Some(&1) {
            return Ok(None);
        }
        let mut reader = Reader::new("the progress of a filesystem sink", 2, bytes)?;
        let of_these = reader.u64()? == u64::from(parallelism);
        let (checkpoint, watermark) = (reader.u64()?, reader.i64()?);
        let (idle, ended) = (reader.u64()? != 0, reader.u64()? != 0);
        let pending = (0..reader.count()?).map(|_| Ok((reader.text()?, reader.i64()?))).collect::<Result<_>>()?;
        let open = (0..reader.count()?).map(|_| reader.text()).collect::<Result<_>>()?;
        reader.end()?;
        Ok(of_these.then_some(Self { checkpoint, watermark, idle, ended, pending, open }))
    }
}

/// The name of a progress file, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FileName {
    /// Which run of the job; none for files of before names had it.
    run: Option<u64>,
    /// How many attempts of that run there had been before.
    attempt_number: u32,
    subtask: u32,
    /// The file marks a subtask that was closed before it ended.
    closed: bool,
}

/// The progress files of one attempt to run one sink of a job, as one of its subtasks uses them.
#[derive(Default)]
pub(super) struct ProgressFiles {
    folder: TableFolder,
    /// What the names of all attempts and runs begin with.
    prefix: String,
    run: u64,
    attempt_number: u32,
    subtask: u32,
    parallelism: u32,
}

impl ProgressFiles {
    pub(super) fn new(folder: TableFolder, sink: u64, context: &OperatorContext) -> Self {
        Self {
            folder,
            prefix: format!(".partition-commit-{sink:016x}-"),
            run: context.run,
            attempt_number: context.attempt_number,
            subtask: context.subtask,
            parallelism: context.parallelism.max(1),
        }
    }

    fn name(&self, subtask: u32) -> String {
        format!("{}{:016x}-{}-{subtask}", self.prefix, self.run, self.attempt_number)
    }

    fn ending_name(&self, subtask: u32) -> String {
        format!("{}.{ENDING_SUFFIX}", self.name(subtask))
    }

    /// None: the file is no progress file of this sink.
    fn parse(&self, name: &str) -> Option<FileName> {
        let rest = name.strip_prefix(&self.prefix)?;
        let (subtask_of_attempt, suffix) = rest.split_once('.').unwrap_or((rest, ""));
        let parts: Vec<&str> = subtask_of_attempt.split('-').collect();
        let (run, attempt_number, subtask) = match parts[..] {
            [run, number, subtask] => (Some(u64::from_str_radix(run, 16).ok()?), number.parse().ok()?, subtask),
            [subtask] => (None, 0, subtask),
            _ => return None,
        };
        Some(FileName { run, attempt_number, subtask: subtask.parse().ok()?, closed: suffix == CLOSED_SUFFIX })
    }

    /// Replaces this subtask's progress.
    pub(super) fn write(&self, progress: &Progress) -> Result<()> {
        self.write_to(&self.name(self.subtask), progress)
    }

    /// Writes the progress that this subtask has once the checkpoint is durable that it ends with.
    pub(super) fn write_ending(&self, progress: &Progress) -> Result<()> {
        self.write_to(&self.ending_name(self.subtask), progress)
    }

    fn write_to(&self, name: &str, progress: &Progress) -> Result<()> {
        self.folder.file(name)?.replace(&progress.encode(self.parallelism))
    }

    /// The progress of each of the other subtasks; none: not all of them have written theirs.
    pub(super) fn read_others(&self) -> Result<Option<Vec<(u32, Progress)>>> {
        self.read(|subtask| self.name(subtask)).map(|all| all.into_iter().collect())
    }

    /// The progress of those other subtasks that end or have ended, at the checkpoint that they end with.
    pub(super) fn read_ending_others(&self) -> Result<Vec<(u32, Progress)>> {
        Ok(self.read(|subtask| self.ending_name(subtask))?.into_iter().flatten().collect())
    }

    fn other_subtasks(&self) -> impl Iterator<Item = u32> {
        (0..self.parallelism).filter(|subtask| *subtask != self.subtask)
    }

    /// One file of each of the other subtasks; none where it is not there.
    fn read(&self, name: impl Fn(u32) -> String) -> Result<Vec<Option<(u32, Progress)>>> {
        let names: Vec<String> = self.other_subtasks().map(name).collect();
        let found = self.folder.read_all(&names, MAX_FILE)?;
        let decoded = self.other_subtasks().zip(found).map(|(subtask, bytes)| {
            let Some(bytes) = bytes else { return Ok(None) };
            Ok(Progress::decode(&bytes, self.parallelism)?.map(|progress| (subtask, progress)))
        });
        decoded.collect()
    }

    /// Removes the progress files of earlier attempts of this run that have this subtask's number, modulo the parallelism. Returns
    /// those of other runs with such a number: they can go once it is known that these runs are over.
    pub(super) fn remove_earlier(&self) -> Vec<SmallFile> {
        let mut of_other_runs = Vec::new();
        for (name, file) in self.list() {
            if name.subtask % self.parallelism != self.subtask {
                continue;
            }
            if name.run != Some(self.run) {
                of_other_runs.push(file);
            } else if name.attempt_number < self.attempt_number {
                file.remove();
            }
        }
        of_other_runs
    }

    /// Marks this subtask as closed, though it has not ended: the attempt is over. The last one to be closed removes the files of
    /// all. Until then they stay: the subtask that is notified last of the checkpoint that a job stops with commits by them. A
    /// subtask that has ended is not marked, so that no file comes when the last one has listed them.
    ///
    /// Nothing of that may fail a task that is over already: files that stay do no harm.
    pub(super) fn close(&self) {
        if self.list().iter().all(|(name, _)| !self.is_of_this_attempt(name)) {
            return;
        }
        let marker = format!("{}.{CLOSED_SUFFIX}", self.name(self.subtask));
        if let Err(error) = self.folder.file(&marker).and_then(|marker| marker.make()) {
            tracing::warn!(file = marker, %error, "cannot mark a subtask of a sink as closed");
            return;
        }
        // Listed after the marker was written: of subtasks that are closed at the same time one sees all markers.
        let names = self.list().into_iter().map(|(name, _)| name);
        let closed: BTreeSet<u32> =
            names.filter(|name| name.closed && self.is_of_this_attempt(name)).map(|name| name.subtask).collect();
        if self.other_subtasks().all(|subtask| closed.contains(&subtask) || self.has_ended(subtask)) {
            self.remove_all();
        }
    }

    fn is_of_this_attempt(&self, name: &FileName) -> bool {
        name.run == Some(self.run) && name.attempt_number == self.attempt_number
    }

    /// Whether a subtask's progress is that it has ended, so that it reads no more files.
    fn has_ended(&self, subtask: u32) -> bool {
        let content = self.folder.file(&self.name(subtask)).and_then(|file| file.read(MAX_FILE)).ok().flatten();
        let progress = content.and_then(|bytes| Progress::decode(&bytes, self.parallelism).ok().flatten());
        progress.is_some_and(|progress| progress.ended)
    }

    /// Removes the progress files of this attempt and earlier ones of its run.
    pub(super) fn remove_all(&self) {
        let ours = |name: &FileName| name.run == Some(self.run) && name.attempt_number <= self.attempt_number;
        for (_, file) in self.list().into_iter().filter(|(name, _)| ours(name)) {
            file.remove();
        }
    }

    /// The progress files of this sink, of whichever attempt.
    fn list(&self) -> Vec<(FileName, SmallFile)> {
        let names = self.folder.names().unwrap_or_default();
        let named = names.iter().filter_map(|name| Some((self.parse(name)?, self.folder.file(name).ok()?)));
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_decoded_at_its_parallelism_and_in_its_version_only() {
        let progress = Progress {
            checkpoint: 7,
            watermark: -1,
            idle: true,
            ended: true,
            pending: vec![("a=1/".to_owned(), 5), ("a=2/".to_owned(), 6)],
            open: BTreeSet::from(["a=2/".to_owned()]),
        };
        let bytes = progress.encode(3);
        assert_eq!(Progress::decode(&bytes, 3).unwrap(), Some(progress.clone()));
        assert_eq!(Progress::decode(&bytes, 2).unwrap(), None, "of another number of subtasks");
        let mut earlier = bytes[..bytes.len() - 20].to_vec();
        earlier[0] = 1;
        assert_eq!(Progress::decode(&earlier, 3).unwrap(), None, "of an earlier release");
        for length in 0..bytes.len() {
            assert!(Progress::decode(&bytes[..length], 3).is_err(), "{length}");
        }
        let going_on = Progress { ended: false, ..progress };
        let without = Progress { pending: Vec::new(), ..going_on.clone() };
        assert_eq!(Progress::decode(&going_on.encode(3), 3).unwrap(), Some(without), "it commits them itself");
    }
}
