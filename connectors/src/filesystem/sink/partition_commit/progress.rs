//! How far each subtask of a sink has come, in hidden files that all of them can read:
//! `.partition-commit-<sink>-<run>-<attempt>-<subtask>`, with `.ending` at the end of the name for what a subtask says that is
//! about to end, and `.left` for one that does nothing any more though it has not ended.
//!
//! An attempt reads and replaces only what it posted itself: one that was given up, or of a run of the job that is over, may go
//! on beside it. All subtasks of an attempt have the same number. So nobody needs what was said when all of them have left or
//! ended, and the last one removes it: also that of a job which goes on as another one, by a savepoint, and whose sink has
//! another name then.
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use wiesel_common::filesystem::read_regular;
use wiesel_operators::operator::{OperatorContext, Result};

use crate::encoding::{Reader, Writer};
use crate::filesystem::path::unreadable;
use crate::filesystem::sink::part_file::unwritable;
use crate::filesystem::sink::remove;

/// The end of the name of what a subtask says that is about to end.
const ENDING: &str = "ending";
/// The end of the name of an empty file of a subtask that does nothing any more though it has not ended.
const LEFT: &str = "left";

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
    /// Folders that wait for their commit, and since when (milliseconds since the epoch). The others are told of them by who has
    /// ended: then they act for it.
    pub(super) partitions: Vec<(String, i64)>,
    /// Folders with a file that takes more rows beyond the checkpoint, and does not get its name with it.
    pub(super) open: BTreeSet<String>,
}

impl Progress {
    fn encode(&self, parallelism: u32) -> bytes::Bytes {
        let mut out = Writer::new(2);
        out.u64(parallelism.into()).u64(self.checkpoint).i64(self.watermark);
        let partitions: &[(String, i64)] = if self.ended { &self.partitions } else { &[] };
        out.u64(self.idle.into()).u64(self.ended.into()).u64(partitions.len() as u64);
        for (folder, since) in partitions {
            out.bytes(folder.as_bytes()).i64(*since);
        }
        out.u64(self.open.len() as u64);
        for folder in &self.open {
            out.bytes(folder.as_bytes());
        }
        out.finish()
    }

    /// None: of a subtask among another number of them, or (version 1) of a release that did not say which files are hidden: on
    /// that nobody can act. Only subtasks of one attempt read each other's, what others left is removed unread.
    fn decode(bytes: &[u8], parallelism: u32) -> Result<Option<Self>> {
        if bytes.first() == Some(&1) {
            return Ok(None);
        }
        let mut reader = Reader::new("the progress of a filesystem sink", 2, bytes)?;
        let of_these = reader.u64()? == u64::from(parallelism);
        let (checkpoint, watermark) = (reader.u64()?, reader.i64()?);
        let (idle, ended) = (reader.u64()? != 0, reader.u64()? != 0);
        let partitions = (0..reader.count()?).map(|_| Ok((reader.text()?, reader.i64()?))).collect::<Result<_>>()?;
        let open = (0..reader.count()?).map(|_| reader.text()).collect::<Result<_>>()?;
        reader.end()?;
        Ok(of_these.then_some(Self { checkpoint, watermark, idle, ended, partitions, open }))
    }
}

/// Who posted a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Poster {
    /// Which run of the job; none for files of before names had it.
    run: Option<u64>,
    /// How many attempts of that run there had been before.
    attempt_number: u32,
    subtask: u32,
    /// The file says that the subtask does nothing any more though it has not ended.
    left: bool,
}

/// Where the subtasks of one attempt to run one sink of a job post their progress.
#[derive(Default)]
pub(super) struct Board {
    root: PathBuf,
    /// What the names of all attempts and runs begin with.
    prefix: String,
    run: u64,
    attempt_number: u32,
    subtask: u32,
    parallelism: u32,
}

impl Board {
    pub(super) fn new(root: PathBuf, sink: u64, context: &OperatorContext) -> Self {
        Self {
            root,
            prefix: format!(".partition-commit-{sink:016x}-"),
            run: context.run,
            attempt_number: context.attempt_number,
            subtask: context.subtask,
            parallelism: context.parallelism.max(1),
        }
    }

    fn path(&self, subtask: u32) -> PathBuf {
        self.root.join(format!("{}{:016x}-{}-{subtask}", self.prefix, self.run, self.attempt_number))
    }

    fn ending(&self, subtask: u32) -> PathBuf {
        self.path(subtask).with_extension(ENDING)
    }

    /// Who posted the file of that name; none: it is none of this sink's.
    fn poster(&self, name: &str) -> Option<Poster> {
        let rest = name.strip_prefix(&self.prefix)?;
        let (posted, kind) = rest.split_once('.').unwrap_or((rest, ""));
        let parts: Vec<&str> = posted.split('-').collect();
        let (run, attempt_number, subtask) = match parts[..] {
            [run, number, subtask] => (Some(u64::from_str_radix(run, 16).ok()?), number.parse().ok()?, subtask),
            [subtask] => (None, 0, subtask),
            _ => return None,
        };
        Some(Poster { run, attempt_number, subtask: subtask.parse().ok()?, left: kind == LEFT })
    }

    /// Replaces what this subtask said before.
    pub(super) fn post(&self, progress: &Progress) -> Result<()> {
        self.write(&self.path(self.subtask), progress)
    }

    /// Says what will be true once the checkpoint is durable that this subtask ends with.
    pub(super) fn post_ending(&self, progress: &Progress) -> Result<()> {
        self.write(&self.ending(self.subtask), progress)
    }

    fn write(&self, path: &Path, progress: &Progress) -> Result<()> {
        let new = path.with_extension("new");
        let written = fs::create_dir_all(&self.root)
            .and_then(|()| fs::write(&new, progress.encode(self.parallelism)))
            .and_then(|()| fs::rename(&new, path));
        written.map_err(|error| unwritable(path, error))
    }

    /// What each of the others says; none: not all of them have said something.
    pub(super) fn others(&self) -> Result<Option<Vec<(u32, Progress)>>> {
        self.other_subtasks().map(|subtask| self.read(subtask, &self.path(subtask))).collect()
    }

    /// What those of the others said that end or have ended.
    pub(super) fn ending_others(&self) -> Result<Vec<(u32, Progress)>> {
        self.other_subtasks().filter_map(|subtask| self.read(subtask, &self.ending(subtask)).transpose()).collect()
    }

    fn other_subtasks(&self) -> impl Iterator<Item = u32> {
        (0..self.parallelism).filter(|subtask| *subtask != self.subtask)
    }

    fn read(&self, subtask: u32, path: &Path) -> Result<Option<(u32, Progress)>> {
        match read_regular(path) {
            Ok(bytes) => Ok(Progress::decode(&bytes, self.parallelism)?.map(|progress| (subtask, progress))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(path, error)),
        }
    }

    /// Removes what earlier attempts of this run said at this subtask's place, and at those that are gone since there are fewer
    /// subtasks. What other runs said there: it can go once it is known that they are over.
    pub(super) fn clear(&self) -> Vec<PathBuf> {
        let mut of_other_runs = Vec::new();
        for (poster, path) in self.posted() {
            if poster.subtask % self.parallelism != self.subtask {
                continue;
            }
            if poster.run != Some(self.run) {
                of_other_runs.push(path);
            } else if poster.attempt_number < self.attempt_number {
                remove(&path);
            }
        }
        of_other_runs
    }

    /// Says that this subtask does nothing any more, though it has not ended: the attempt is over. The last one removes what all
    /// of them said. Until then it stays: who hears last of the checkpoint that a job stops with commits by it. Who has ended
    /// says nothing here, so that nothing is said when the last one has looked.
    ///
    /// Nothing of that may fail a task that is over already: what stays is in nobody's way.
    pub(super) fn leave(&self) {
        if self.posted().iter().all(|(poster, _)| !self.is_of_this_attempt(poster)) {
            return;
        }
        let left = self.path(self.subtask).with_extension(LEFT);
        if let Err(error) = fs::write(&left, b"") {
            tracing::warn!(file = %left.display(), %error, "cannot say that a subtask has left");
            return;
        }
        // Looked for after it was said: of those that leave at the same time one sees all.
        let posted = self.posted().into_iter().map(|(poster, _)| poster);
        let gone: BTreeSet<u32> = posted
            .filter(|poster| poster.left && self.is_of_this_attempt(poster))
            .map(|poster| poster.subtask)
            .collect();
        if self.other_subtasks().all(|subtask| gone.contains(&subtask) || self.has_ended(subtask)) {
            self.clear_all();
        }
    }

    fn is_of_this_attempt(&self, poster: &Poster) -> bool {
        poster.run == Some(self.run) && poster.attempt_number == self.attempt_number
    }

    /// Whether a subtask has said that it has ended, and so reads nothing any more.
    fn has_ended(&self, subtask: u32) -> bool {
        let said = self.read(subtask, &self.path(subtask));
        matches!(said, Ok(Some((_, progress))) if progress.ended)
    }

    /// Removes what this attempt and earlier ones of its run said.
    pub(super) fn clear_all(&self) {
        let ours = |poster: &Poster| poster.run == Some(self.run) && poster.attempt_number <= self.attempt_number;
        for (_, path) in self.posted().into_iter().filter(|(poster, _)| ours(poster)) {
            remove(&path);
        }
    }

    /// What there is of this sink, of whichever attempt.
    fn posted(&self) -> Vec<(Poster, PathBuf)> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let posted = entries.filter_map(|entry| Some((self.poster(entry.file_name().to_str()?)?, entry.path())));
        posted.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_subtask_says_is_read_by_those_that_understand_all_of_it() {
        let progress = Progress {
            checkpoint: 7,
            watermark: -1,
            idle: true,
            ended: true,
            partitions: vec![("a=1/".to_owned(), 5), ("a=2/".to_owned(), 6)],
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
        let without = Progress { partitions: Vec::new(), ..going_on.clone() };
        assert_eq!(Progress::decode(&going_on.encode(3), 3).unwrap(), Some(without), "nobody acts for it");
    }
}
