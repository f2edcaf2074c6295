//! A part of a file, as it crosses from the enumerator to a reader and into checkpoints.
use std::borrow::Cow;
use std::path::Path;

use bytes::Bytes;
use wiesel_common::filesystem::{Location, Status};
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
    /// The file as it was found: what is read is of this content and no other. None: nothing told it from others when it was found,
    /// or the split is of a checkpoint of before splits had it.
    pub(super) found: Option<FileVersion>,
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
        let named = status.e_tag.as_deref().map(|e_tag| xxh3_64(quoted(e_tag).as_bytes()) as i64);
        Self { length: status.size, modified: named.unwrap_or(status.modified) }
    }

    /// The same of what a listing tells of a file. None: the file is of a store that lists no ETags, and times are listed more exactly
    /// than they are told otherwise.
    pub(super) fn listed(path: &str, status: &Status) -> Option<Self> {
        let is_told = status.e_tag.as_deref().map_or(!Location::is_object_uri(path), |e_tag| !e_tag.is_empty());
        is_told.then(|| Self::of(status))
    }

    /// Writes it, or that there is none.
    pub(super) fn encode(version: Option<Self>, out: &mut Writer) {
        out.u64(u64::from(version.is_some()));
        if let Some(Self { length, modified }) = version {
            out.u64(length).i64(modified);
        }
    }

    /// Reads what [`FileVersion::encode`] wrote.
    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>> {
        Ok(match reader.u64()? {
            0 => None,
            _ => Some(Self { length: reader.u64()?, modified: reader.i64()? }),
        })
    }
}

/// An ETag as a header has it: some stores leave out the quotes in listings.
fn quoted(e_tag: &str) -> Cow<'_, str> {
    if e_tag.ends_with('"') { e_tag.into() } else { format!("\"{e_tag}\"").into() }
}

impl FileSplit {
    /// A split of which nothing was read, of a file of which nothing more is known.
    pub(super) fn new(path: String, start: u64, end: u64) -> Self {
        Self { path, start, end, found: None, resume: None }
    }

    /// Opens the file, which must be the one that was found, and that the split was read from so far.
    pub(super) fn open(&self, files: &Files) -> Result<(InputFile, Status)> {
        let (file, status) = files.open(&self.path).map_err(|error| match self.resume {
            Some(_) => changed(self, "it cannot be opened any more", Some(error)),
            None => unreadable(Path::new(&self.path), error),
        })?;
        let version = FileVersion::of(&status);
        let what = if status.e_tag.is_some() { "its ETag" } else { "its modification time" };
        let how = format!("its length or {what} is another one");
        if self.resume.is_some_and(|resume| resume.file != version) {
            return Err(changed(self, &how, None));
        }
        if self.found.is_some_and(|found| found != version) {
            return Err(replaced(&self.path, &how));
        }
        Ok((file, status))
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = Writer::new(2);
        out.u64(self.start).u64(self.end).bytes(self.path.as_bytes()).u64(u64::from(self.resume.is_some()));
        if let Some(resume) = &self.resume {
            out.u64(resume.position).u64(resume.file.length).i64(resume.file.modified);
        }
        FileVersion::encode(self.found, &mut out);
        out.finish()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new("a file split", 2, bytes)?;
        let (start, end, path) = (reader.u64()?, reader.u64()?, reader.text()?);
        let resume = match reader.u64()? {
            0 => None,
            _ => {
                let position = reader.u64()?;
                let file = FileVersion { length: reader.u64()?, modified: reader.i64()? };
                Some(Resume { position, file })
            }
        };
        let found = if reader.version() < 2 { None } else { FileVersion::decode(&mut reader)? };
        reader.end()?;
        Ok(Self { path, start, end, found, resume })
    }
}

/// A file is not the one that was found. Nothing heals that but the file: another part of it may have been read already, and what a
/// writer put behind the part that was there when it was found would be missed, because a path is read once.
fn replaced(path: &str, how: &str) -> Error {
    let message = format!(
        "file {path} was replaced or written to after it was found, before all of it was read: {how}. A path is read once, so that \
         neither its former rows nor its present ones can be read exactly once: put the file back as it was, or start the job \
         without the checkpoint or from one that was taken before the file was found. Write files under names that begin with '.' \
         or '_' or in another folder, move them when they are complete, and give what replaces a file another name"
    );
    Error::External { message, source: None }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(e_tag: Option<&str>, modified: i64) -> Status {
        Status { size: 7, e_tag: e_tag.map(str::to_owned), modified }
    }

    #[test]
    fn a_split_is_read_as_it_was_written_and_as_earlier_releases_wrote_it() {
        let file = FileVersion { length: 7, modified: -3 };
        let plain = FileSplit::new("/t/a".into(), 1, 9);
        let resumed = FileSplit { resume: Some(Resume { position: 5, file }), ..plain.clone() };
        let all = [
            plain.clone(),
            resumed.clone(),
            FileSplit { found: Some(file), ..plain.clone() },
            FileSplit { found: Some(file), ..resumed.clone() },
        ];
        for split in all {
            let bytes = split.encode();
            assert_eq!(FileSplit::decode(&bytes).unwrap(), split);
            assert!((0..bytes.len()).all(|length| FileSplit::decode(&bytes[..length]).is_err()));
        }
        let mut former = Writer::new(1);
        former.u64(1).u64(9).bytes(b"/t/a").u64(0);
        assert_eq!(FileSplit::decode(&former.finish()).unwrap(), plain);
        let mut former = Writer::new(1);
        former.u64(1).u64(9).bytes(b"/t/a").u64(1).u64(5).u64(7).i64(-3);
        assert_eq!(FileSplit::decode(&former.finish()).unwrap(), resumed);
    }

    #[test]
    fn a_file_of_a_store_is_told_by_its_etag_and_others_by_their_time() {
        let of = |e_tag: Option<&str>, modified| FileVersion::of(&status(e_tag, modified));
        assert_eq!(of(Some("\"a\""), 1), of(Some("a"), 2));
        assert_ne!(of(Some("\"a\""), 1), of(Some("\"b\""), 1));
        assert_ne!(of(None, 1), of(None, 2));
        let listed = |path: &str, e_tag| FileVersion::listed(path, &status(e_tag, 1));
        assert_eq!(listed("s3://b/t", Some("a")), Some(of(Some("a"), 1)));
        assert_eq!(listed("s3://b/t", None), None);
        assert_eq!(listed("s3://b/t", Some("")), None);
        assert_eq!(listed("/t", None), Some(of(None, 1)));
    }
}
