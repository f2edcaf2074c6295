//! What a sink keeps in checkpoints: files that wait for their commit, and files that rows are being written to.
use std::path::PathBuf;

use bytes::Bytes;
use wiesel_operators::operator::{Error, Result};
use wiesel_operators::sink::SinkEntry;

use crate::encoding::{Reader, Writer};

/// A complete file that has not got its name yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::filesystem) struct Committable {
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

/// The hidden file of an entry.
pub(super) fn hidden(file: &FileState) -> &PathBuf {
    match file {
        SinkEntry::Committable(file) => &file.hidden,
        SinkEntry::Writer(file) => &file.hidden,
    }
}

pub(super) fn encode(file: &FileState) -> Result<Bytes> {
    let mut out = Writer::new(1);
    match file {
        SinkEntry::Committable(file) => {
            out.u64(0).bytes(utf8(&file.hidden)?).bytes(utf8(&file.path)?).u64(file.length);
        }
        SinkEntry::Writer(file) => {
            out.u64(1).bytes(utf8(&file.hidden)?).bytes(utf8(&file.path)?).u64(file.length);
            out.i64(file.created).bytes(file.folder.as_bytes());
        }
    }
    Ok(out.finish())
}

pub(super) fn decode(bytes: &[u8]) -> Result<FileState> {
    let mut reader = Reader::new("a file of a filesystem sink", 1, bytes)?;
    let kind = reader.u64()?;
    let (hidden, path, length) = (reader.text()?.into(), reader.text()?.into(), reader.u64()?);
    let state = match kind {
        0 => SinkEntry::Committable(Committable { hidden, path, length, in_snapshot: true }),
        _ => {
            let (created, folder) = (reader.i64()?, reader.text()?);
            SinkEntry::Writer(InProgress { folder, hidden, path, length, created })
        }
    };
    reader.end()?;
    Ok(state)
}

fn utf8(path: &std::path::Path) -> Result<&[u8]> {
    let name = path.to_str().map(str::as_bytes);
    name.ok_or_else(|| Error::Plan(format!("the name of file {} is no UTF-8", path.display())))
}
