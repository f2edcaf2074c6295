//! How far each subtask of a sink has come, in hidden files that all of them can read.
use std::fs;
use std::io;
use std::path::PathBuf;

use wiesel_operators::operator::Result;

use crate::encoding::{Reader, Writer};
use crate::filesystem::path::unreadable;
use crate::filesystem::sink::part_file::unwritable;
use crate::filesystem::sink::remove;

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
    /// Folders that wait for their commit, and since when (milliseconds since the epoch).
    pub(super) partitions: Vec<(String, i64)>,
}

impl Progress {
    pub(super) fn lists(&self, folder: &str) -> bool {
        self.partitions.iter().any(|(partition, _)| partition == folder)
    }

    fn encode(&self, parallelism: u32) -> bytes::Bytes {
        let mut out = Writer::new(1);
        out.u64(parallelism.into()).u64(self.checkpoint).i64(self.watermark);
        out.u64(self.idle.into()).u64(self.ended.into()).u64(self.partitions.len() as u64);
        for (folder, since) in &self.partitions {
            out.bytes(folder.as_bytes()).i64(*since);
        }
        out.finish()
    }

    /// None: of a subtask among another number of them.
    fn decode(bytes: &[u8], parallelism: u32) -> Result<Option<Self>> {
        let mut reader = Reader::new("the progress of a filesystem sink", 1, bytes)?;
        let of_these = reader.u64()? == u64::from(parallelism);
        let (checkpoint, watermark) = (reader.u64()?, reader.i64()?);
        let (idle, ended) = (reader.u64()? != 0, reader.u64()? != 0);
        let partitions = (0..reader.count()?).map(|_| Ok((reader.text()?, reader.i64()?))).collect::<Result<_>>()?;
        reader.end()?;
        Ok(of_these.then_some(Self { checkpoint, watermark, idle, ended, partitions }))
    }
}

/// Where the subtasks of one sink in one job post their progress.
#[derive(Default)]
pub(super) struct Board {
    root: PathBuf,
    prefix: String,
    subtask: u32,
    parallelism: u32,
}

impl Board {
    pub(super) fn new(root: PathBuf, sink: u64, subtask: u32, parallelism: u32) -> Self {
        Self { root, prefix: format!(".partition-commit-{sink:016x}-"), subtask, parallelism }
    }

    fn path(&self, subtask: u32) -> PathBuf {
        self.root.join(format!("{}{subtask}", self.prefix))
    }

    /// Replaces what this subtask said before.
    pub(super) fn post(&self, progress: &Progress) -> Result<()> {
        let path = self.path(self.subtask);
        let new = path.with_extension("new");
        let written = fs::create_dir_all(&self.root)
            .and_then(|()| fs::write(&new, progress.encode(self.parallelism)))
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| unwritable(&path, error))
    }

    /// What each of the others says; none: it has not said anything.
    pub(super) fn others(&self) -> Result<Vec<Option<Progress>>> {
        (0..self.parallelism).filter(|subtask| *subtask != self.subtask).map(|subtask| self.read(subtask)).collect()
    }

    fn read(&self, subtask: u32) -> Result<Option<Progress>> {
        let path = self.path(subtask);
        match fs::read(&path) {
            Ok(bytes) => Progress::decode(&bytes, self.parallelism),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unreadable(&path, error)),
        }
    }

    /// Removes what earlier attempts said at this subtask's place, and at those that are gone since there are fewer subtasks.
    pub(super) fn clear(&self) {
        self.remove(|subtask| subtask % self.parallelism == self.subtask);
    }

    /// Removes everything.
    pub(super) fn clear_all(&self) {
        self.remove(|_| true);
    }

    fn remove(&self, which: impl Fn(u32) -> bool) {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let subtask = name.to_str().and_then(|name| name.strip_prefix(&self.prefix)?.parse().ok());
            if subtask.is_some_and(&which) {
                remove(&entry.path());
            }
        }
    }
}
