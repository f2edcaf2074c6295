//! A file that rows are being written to, under a hidden name.
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use wiesel_common::filesystem::open_regular;
use wiesel_operators::operator::{Error, Result};

use super::state::{Committable, HiddenFile, InProgress};
use super::table_folder::StoreFolder;
use super::upload::PartUpload;
use crate::formats::{BulkWriter, Format};

const BUFFER: usize = 128 << 10;

/// How rows get into the file.
enum Writer {
    /// Row after row: what was written can be kept and the rest cut off.
    Rows { out: BufWriter<File>, length: u64 },
    /// Whole only: what was written can be read when the file is complete.
    Bulk(Box<dyn BulkWriter>),
}

/// An open file.
pub(super) struct PartFile {
    pub(super) hidden: PathBuf,
    path: PathBuf,
    writer: Writer,
    /// Milliseconds since the epoch.
    pub(super) created: i64,
    pub(super) updated: i64,
    /// When it was written to, counted in files: the least of all is the one to close when there are too many.
    pub(super) used: u64,
    /// A snapshot names it: it must be there when this attempt is gone.
    pub(super) in_snapshot: bool,
    /// Where the file is to be in a store. Then `hidden` is only where it is kept meanwhile, for messages.
    upload: Option<PartUpload>,
}

/// A file that takes no more rows.
pub(super) enum Closing {
    File(HiddenFile),
    /// The last of it is on its way.
    Upload(Box<PartUpload>),
}

impl Closing {
    /// Waits until all of it is where it is to be.
    pub(super) fn finish(self) -> Result<Committable> {
        Ok(match self {
            Self::File(file) => Committable::File(file),
            Self::Upload(upload) => Committable::Upload(upload.finish()?),
        })
    }
}

impl PartFile {
    /// A new file in an existing folder.
    pub(super) fn create(folder: &Path, (hidden, name): (String, String), format: &Format, now: i64) -> Result<Self> {
        let hidden = folder.join(hidden);
        let file = File::create_new(&hidden).map_err(|error| unwritable(&hidden, error))?;
        let writer = match format.bulk_writer(&file)? {
            Some(bulk) => Writer::Bulk(bulk),
            None => Writer::Rows { out: BufWriter::with_capacity(BUFFER, file), length: 0 },
        };
        let path = folder.join(name);
        Ok(Self { hidden, path, writer, created: now, updated: now, used: 0, in_snapshot: false, upload: None })
    }

    /// A new file that is to be in a store, at that path below its folder.
    pub(super) fn create_in_store(store: &StoreFolder, path: &str, format: &Format, now: i64) -> Result<Self> {
        let location = store.location.below(path).map_err(crate::input::failed)?;
        let folder = store.scratch.folder().display();
        let hidden = PathBuf::from(format!("{folder} ('io.tmp.dirs', for the rows of {})", location.uri()));
        let file = store.scratch.create().map_err(|error| unwritable(&hidden, error))?;
        let kept = file.try_clone().map_err(|error| unwritable(&hidden, error))?;
        let writer = match format.bulk_writer(&file)? {
            Some(bulk) => Writer::Bulk(bulk),
            None => Writer::Rows { out: BufWriter::with_capacity(BUFFER, file), length: 0 },
        };
        let (path, upload) = (PathBuf::from(location.uri()), Some(PartUpload::new(location, store, Arc::new(kept))));
        Ok(Self { hidden, path, writer, created: now, updated: now, used: 0, in_snapshot: false, upload })
    }

    /// Whether it takes no more rows though it is not as large as it may be: a store takes so many parts of a file.
    pub(super) fn has_all_parts(&self) -> bool {
        self.upload.as_ref().is_some_and(PartUpload::is_full)
    }

    /// Sends to the store what is written by now.
    pub(super) fn send(&mut self) -> Result<()> {
        self.upload.as_mut().map_or(Ok(()), PartUpload::send_whole_parts)
    }

    /// A new file that begins with the rows of one that an earlier attempt left. The old file stays as it is: the checkpoint
    /// that names it may be restored once more, and the process that wrote it may still be writing.
    pub(super) fn resume(from: &InProgress, folder: &Path, names: (String, String), now: i64) -> Result<Self> {
        let hidden = folder.join(names.0);
        let copied = copy_prefix(&from.hidden, &hidden, from.length);
        let file = copied.map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => {
                    ". A job that was started from this checkpoint, or from another one that names the file, has taken its \
                     rows over and removed it with its first own checkpoint; or the job itself has completed it since, and it \
                     was taken away; or it was removed by hand. Without it rows would be lost: start from a checkpoint of that \
                     job or from a later one, or put the file back"
                }
                _ => "",
            };
            Error::external(
                format!(
                    "cannot go on with {} of the restored checkpoint, of which {} bytes are valid: {error}{why}",
                    from.hidden.display(),
                    from.length
                ),
                error,
            )
        })?;
        let writer = Writer::Rows { out: BufWriter::with_capacity(BUFFER, file), length: from.length };
        let path = folder.join(names.1);
        Ok(Self {
            hidden,
            path,
            writer,
            created: from.created,
            updated: now,
            used: 0,
            in_snapshot: false,
            upload: None,
        })
    }

    /// Bytes so far; of a bulk format those in memory included.
    pub(super) fn size(&self) -> u64 {
        match &self.writer {
            Writer::Rows { length, .. } => *length,
            Writer::Bulk(bulk) => bulk.size(),
        }
    }

    /// Bytes that wait in memory.
    pub(super) fn buffered(&self) -> usize {
        match &self.writer {
            Writer::Rows { out, .. } => out.buffer().len(),
            Writer::Bulk(bulk) => bulk.buffered(),
        }
    }

    /// Writes what waits in memory, where the format can.
    pub(super) fn spill(&mut self) -> Result<()> {
        match &mut self.writer {
            Writer::Rows { out, .. } => out.flush().map_err(|error| unwritable(&self.hidden, error)),
            Writer::Bulk(bulk) => bulk.spill().map_err(|error| blame(&self.hidden, error)),
        }
    }

    /// Appends an encoded row (formats of rows only).
    pub(super) fn write_row(&mut self, bytes: &[u8], now: i64) -> Result<()> {
        self.updated = now;
        match &mut self.writer {
            Writer::Rows { out, length } => {
                *length += bytes.len() as u64;
                out.write_all(bytes).map_err(|error| unwritable(&self.hidden, error))
            }
            Writer::Bulk(_) => Err(Error::Plan("a row for a file of a bulk format".into())),
        }
    }

    /// Appends rows (bulk formats only).
    pub(super) fn write_columns(&mut self, columns: &[ArrayRef], now: i64) -> Result<()> {
        self.updated = now;
        match &mut self.writer {
            Writer::Bulk(bulk) => bulk.write(columns).map_err(|error| blame(&self.hidden, error)),
            Writer::Rows { .. } => Err(Error::Plan("columns for a file of a format of rows".into())),
        }
    }

    /// Makes what was written durable and says how much that is. Formats of rows only.
    pub(super) fn persist(&mut self, folder: &str) -> Result<InProgress> {
        self.in_snapshot = true;
        match &mut self.writer {
            Writer::Rows { out, length } => {
                let synced = out.flush().and_then(|()| out.get_ref().sync_data());
                synced.map_err(|error| unwritable(&self.hidden, error))?;
                let (folder, hidden, path) = (folder.to_owned(), self.hidden.clone(), self.path.clone());
                Ok(InProgress { folder, hidden, path, length: *length, created: self.created })
            }
            Writer::Bulk(_) => Err(Error::Plan("a file of a bulk format cannot be continued".into())),
        }
    }

    /// Completes the file; it keeps its hidden name, or its upload, until it is committed.
    pub(super) fn close(self) -> Result<Closing> {
        let Self { hidden, path, writer, in_snapshot, upload, .. } = self;
        let failed = |error| unwritable(&hidden, error);
        let file = match writer {
            Writer::Rows { out, .. } => Some(out.into_inner().map_err(|error| failed(error.into_error()))?),
            Writer::Bulk(bulk) => {
                bulk.finish().map_err(|error| blame(&hidden, error))?;
                None
            }
        };
        if let Some(mut upload) = upload {
            upload.send_rest()?;
            return Ok(Closing::Upload(Box::new(upload)));
        }
        let file = file.map_or_else(|| File::open(&hidden), Ok).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Closing::File(HiddenFile { hidden, path, length, in_snapshot }))
    }
}

fn copy_prefix(from: &Path, to: &Path, length: u64) -> io::Result<File> {
    let mut source = open_regular(from)?.take(length);
    let mut copy = File::create_new(to)?;
    let copied = io::copy(&mut source, &mut copy)?;
    if copied < length {
        drop(copy);
        fs::remove_file(to)?;
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("the file has only {copied} bytes")));
    }
    Ok(copy)
}

fn blame(path: &Path, error: Error) -> Error {
    match error {
        Error::External { message, source } => {
            Error::External { message: format!("cannot write {}: {message}", path.display()), source }
        }
        other => other,
    }
}

pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    Error::external(format!("cannot write {}: {error}", path.display()), error)
}

/// A folder that could not be made, because something else may be in its place or in that of one above it.
pub(super) fn no_folder(folder: &Path, error: io::Error) -> Error {
    // With a slash at its end a path leads to folders only.
    let folder: PathBuf = folder.components().collect();
    let in_the_way = folder.ancestors().find(|part| fs::metadata(part).is_ok_and(|metadata| !metadata.is_dir()));
    match in_the_way {
        Some(part) => {
            let (folder, part) = (folder.display(), part.display());
            Error::external(
                format!("cannot write to the folder {folder}: {part} is a file or a device, no folder"),
                error,
            )
        }
        None => unwritable(&folder, error),
    }
}
