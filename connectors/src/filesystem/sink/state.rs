//! What a sink keeps in checkpoints: files that wait for their commit, and files that rows are being written to.
use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::sink::SinkEntry;

use super::names::{self, Owner};
use crate::encoding::{Reader, Writer};

/// What waits for its commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::filesystem) enum Committable {
    File(HiddenFile),
    Upload(Upload),
}

impl Committable {
    /// A snapshot names it now.
    pub(super) fn note_snapshot(&mut self) {
        match self {
            Self::File(file) => file.in_snapshot = true,
            Self::Upload(upload) => upload.in_snapshot = true,
        }
    }
}

/// A file of a store all of which is stored, and which appears when its upload is completed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::filesystem) struct Upload {
    /// Of the file.
    pub(super) uri: String,
    /// The store's name for the upload.
    pub(super) id: String,
    /// The store's names for its parts.
    pub(super) parts: Vec<String>,
    /// Bytes of the file.
    pub(super) length: u64,
    /// A snapshot names it.
    pub(super) in_snapshot: bool,
}

/// A complete file that has not got its name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::filesystem) struct HiddenFile {
    pub(super) hidden: PathBuf,
    pub(super) path: PathBuf,
    pub(super) length: u64,
    /// A snapshot names it, or named it while rows were written to it.
    pub(super) in_snapshot: bool,
}

/// A file whose first bytes belong to the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::filesystem) struct InProgress {
    /// `key=value/...`, or empty.
    pub(super) folder: String,
    pub(super) hidden: PathBuf,
    pub(super) path: PathBuf,
    /// How many are valid.
    pub(super) length: u64,
    /// Milliseconds since the epoch.
    pub(super) created: i64,
}

/// One entry of the list.
pub(super) type FileState = SinkEntry<InProgress, Committable>;

/// What an entry is known by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum FileKey {
    /// The path of a hidden file.
    Hidden(PathBuf),
    /// The store's name for an upload.
    Upload(String),
}

impl fmt::Display for FileKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hidden(path) => write!(f, "{}", path.display()),
            Self::Upload(id) => f.write_str(id),
        }
    }
}

/// What that entry is known by.
pub(super) fn key(file: &FileState) -> FileKey {
    match file {
        SinkEntry::Committable(Committable::Upload(upload)) => FileKey::Upload(upload.id.clone()),
        SinkEntry::Committable(Committable::File(HiddenFile { hidden, .. }))
        | SinkEntry::Writer(InProgress { hidden, .. }) => FileKey::Hidden(hidden.clone()),
    }
}

/// The attempt that wrote it; none: it is no file of a sink.
pub(super) fn owner(file: &FileState) -> Option<Owner> {
    match file {
        SinkEntry::Committable(Committable::Upload(upload)) => {
            names::object_owner(upload.uri.rsplit_once('/').map_or("", |(_, name)| name))
        }
        SinkEntry::Committable(Committable::File(HiddenFile { hidden, .. }))
        | SinkEntry::Writer(InProgress { hidden, .. }) => names::owner(hidden.file_name()?.to_str()?),
    }
}

/// What an entry of a list begins with: which kind it is.
const FILE: u64 = 0;
const IN_PROGRESS: u64 = 1;
/// Since version 2.
const UPLOAD: u64 = 2;

pub(super) fn encode(file: &FileState) -> Result<Bytes> {
    // Only what is new has the new version: the rest can be read by the release before.
    let mut out = Writer::new(1);
    match file {
        SinkEntry::Committable(Committable::Upload(upload)) => {
            out = Writer::new(2);
            out.u64(UPLOAD).bytes(upload.uri.as_bytes()).bytes(upload.id.as_bytes()).u64(upload.length);
            out.u64(upload.parts.len() as u64);
            upload.parts.iter().for_each(|part| _ = out.bytes(part.as_bytes()));
        }
        SinkEntry::Committable(Committable::File(file)) => {
            out.u64(FILE).bytes(utf8(&file.hidden)?).bytes(utf8(&file.path)?).u64(file.length);
        }
        SinkEntry::Writer(file) => {
            out.u64(IN_PROGRESS).bytes(utf8(&file.hidden)?).bytes(utf8(&file.path)?).u64(file.length);
            out.i64(file.created).bytes(file.folder.as_bytes());
        }
    }
    Ok(out.finish())
}

pub(super) fn decode(bytes: &[u8]) -> Result<FileState> {
    let mut reader = Reader::new("a file of a filesystem sink", 2, bytes)?;
    let kind = reader.u64()?;
    // Two paths, or the URI and the name of the upload.
    let (first, second, length) = (reader.text()?, reader.text()?, reader.u64()?);
    let state = match kind {
        FILE => {
            let (hidden, path) = (first.into(), second.into());
            SinkEntry::Committable(Committable::File(HiddenFile { hidden, path, length, in_snapshot: true }))
        }
        IN_PROGRESS => {
            let (created, folder) = (reader.i64()?, reader.text()?);
            SinkEntry::Writer(InProgress { folder, hidden: first.into(), path: second.into(), length, created })
        }
        UPLOAD => {
            let parts = (0..reader.count()?).map(|_| reader.text()).collect::<Result<_>>()?;
            let upload = Upload { uri: first, id: second, parts, length, in_snapshot: true };
            SinkEntry::Committable(Committable::Upload(upload))
        }
        _ => return Err(reader.malformed()),
    };
    reader.end()?;
    Ok(state)
}

fn utf8(path: &Path) -> Result<&[u8]> {
    let name = path.to_str().map(str::as_bytes);
    name.ok_or_else(|| Error::Plan(format!("the name of file {} is no UTF-8", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(id: &str) -> Upload {
        let (uri, parts) = ("s3://b/t/part".to_owned(), vec!["e1".to_owned(), "e2".to_owned()]);
        Upload { uri, id: id.into(), parts, length: 9, in_snapshot: true }
    }

    /// Failed before: ids of uploads were compared as paths, for which these are one.
    #[test]
    fn uploads_are_known_by_their_ids_as_they_are() {
        let key_of = |id: &str| key(&SinkEntry::Committable(Committable::Upload(upload(id))));
        assert_eq!(key_of("a/b"), key_of("a/b"));
        assert_ne!(key_of("a/b"), key_of("a//b"));
        assert_ne!(key_of("a"), key_of("a/"));
        let file = HiddenFile { hidden: "a".into(), path: "b".into(), length: 7, in_snapshot: true };
        assert_ne!(key_of("a"), key(&SinkEntry::Committable(Committable::File(file))));
    }

    /// What checkpoints of files have is, to the byte, what it was before there were uploads.
    #[test]
    fn files_are_encoded_as_before_and_uploads_in_a_version_of_their_own() {
        let file = HiddenFile { hidden: "/t/.h".into(), path: "/t/p".into(), length: 7, in_snapshot: true };
        let in_progress =
            InProgress { folder: "a=1/".into(), hidden: "/t/.h".into(), path: "/t/p".into(), length: 7, created: -1 };
        let file = SinkEntry::Committable(Committable::File(file));
        let mut before = Writer::new(1);
        before.u64(0).bytes(b"/t/.h").bytes(b"/t/p").u64(7);
        assert_eq!(encode(&file).unwrap(), before.finish());
        let in_progress = SinkEntry::Writer(in_progress);
        let mut before = Writer::new(1);
        before.u64(1).bytes(b"/t/.h").bytes(b"/t/p").u64(7).i64(-1).bytes(b"a=1/");
        assert_eq!(encode(&in_progress).unwrap(), before.finish());
        let upload = SinkEntry::Committable(Committable::Upload(upload("x")));
        assert_eq!(encode(&upload).unwrap()[0], 2);
        for entry in [file, in_progress, upload] {
            let bytes = encode(&entry).unwrap();
            assert_eq!(decode(&bytes).unwrap(), entry);
            assert!((0..bytes.len()).all(|length| decode(&bytes[..length]).is_err()));
        }
        let mut unknown = Writer::new(2);
        unknown.u64(3).bytes(b"a").bytes(b"b").u64(1);
        assert!(decode(&unknown.finish()).is_err());
    }
}
