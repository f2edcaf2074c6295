//! A part of a file, as it crosses from the enumerator to a reader and into checkpoints.
use std::path::Path;

use bytes::Bytes;
use wiesel_common::filesystem::Status;
use wiesel_operators::operator::{Error, Result};
use xxhash_rust::xxh3::xxh3_64;

use super::path::unreadable;
use crate::encoding::{Reader, Writer};
use crate::input::{Files, InputFile};

/// Records of a file that begin at `start` or after, and before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSplit {
    pub(super) path: String,
    pub(super) start: u64,
    /// The largest number: to the end of the file.
    pub(super) end: u64,
    /// None: nothing of it was read.
    pub(super) resume: Option<Resume>,
}

/// How far a split was read, and of which file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Resume {
    /// Formats of bytes: where the next record begins in the (uncompressed) file. Others: rows of the split that were read.
    pub(super) position: u64,
    pub(super) file: FileVersion,
}

/// What tells one content of a file from another, as a checkpoint has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileVersion {
    length: u64,
    /// When it was modified, in nanoseconds since the epoch; of a file of a store a hash of what the store calls this content, which
    /// is no time.
    modified: i64,
}

impl FileVersion {
    pub(super) fn of(status: &Status) -> Self {
        let named = status.e_tag.as_ref().map(|e_tag| xxh3_64(e_tag.as_bytes()) as i64);
        Self { length: status.size, modified: named.unwrap_or(status.modified) }
    }
}

impl FileSplit {
    /// A split of which nothing was read.
    pub(super) fn new(path: String, start: u64, end: u64) -> Self {
        Self { path, start, end, resume: None }
    }

    /// Opens the file, which must be the one that the split was read from so far.
    pub(super) fn open(&self, files: &Files) -> Result<(InputFile, Status)> {
        let (file, status) = files.open(&self.path).map_err(|error| match self.resume {
            Some(_) => changed(self, "it cannot be opened any more", Some(error)),
            None => unreadable(Path::new(&self.path), error),
        })?;
        if self.resume.is_some_and(|resume| resume.file != FileVersion::of(&status)) {
            let what = if status.e_tag.is_some() { "its ETag" } else { "its modification time" };
            return Err(changed(self, &format!("its length or {what} is another one"), None));
        }
        Ok((file, status))
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new(1);
        out.u64(self.start).u64(self.end).bytes(self.path.as_bytes()).u64(u64::from(self.resume.is_some()));
        if let Some(resume) = &self.resume {
            out.u64(resume.position).u64(resume.file.length).i64(resume.file.modified);
        }
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("a file split", 1, bytes)?;
        let (start, end, path) = (reader.u64()?, reader.u64()?, reader.text()?);
        let resume = match reader.u64()? {
            0 => None,
            _ => {
                let position = reader.u64()?;
                let file = FileVersion { length: reader.u64()?, modified: reader.i64()? };
                Some(Resume { position, file })
            }
        };
        reader.end()?;
        Ok(Self { path, start, end, resume })
    }
}

/// The file of a restored split is not the one that was read before.
pub(super) fn changed(split: &FileSplit, how: &str, error: Option<std::io::Error>) -> Error {
    let position = split.resume.map_or(0, |resume| resume.position);
    let message = format!(
        "file {} was changed after the restored checkpoint had read it up to position {position}: {how}. Its rows can \
         neither be continued nor read again exactly once: put the file back as it was, or start the job without this \
         checkpoint",
        split.path
    );
    Error::External { message, source: error.map(Into::into) }
}
