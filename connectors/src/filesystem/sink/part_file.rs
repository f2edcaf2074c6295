//! A file that rows are being written to, under a hidden name.
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, MAX_INLINE_VIEW_LEN};
use arrow::datatypes::DataType;
use wiesel_common::filesystem::open_regular;
use wiesel_operators::bulk_format::BulkWriter;
use wiesel_operators::operator::{Error, Result};

use super::open_files::Descriptors;
use super::remove;
use super::state::{Committable, HiddenFile, InProgress};
use super::table_folder::StoreFolder;
use super::upload::PartUpload;
use crate::formats::FileWriter;

/// What a column takes in memory beside its values, about, and ...
const ARRAY_BYTES: usize = 256;
/// ... what the end of a file says of a column of a row group.
const NOTE_BYTES: usize = 512;

/// How rows get into the file.
enum Writer {
    /// Row after row: what was written can be kept and the rest cut off.
    Rows { out: BufWriter<File>, length: u64 },
    /// Whole only: what was written can be read when the file is complete.
    Bulk(Box<dyn BulkWriter>),
}

/// What a file of a bulk format has in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Rows that wait until they are written together.
    pub(super) rows: usize,
    /// What the end of the file will say of those that were written.
    pub(super) notes: usize,
}

impl Held {
    /// One of the files that are summed up here holds something else.
    pub(super) fn change(&mut self, before: Self, after: Self) {
        self.rows = self.rows + after.rows - before.rows;
        self.notes = self.notes + after.notes - before.notes;
    }
}

impl Writer {
    /// Into an empty file, with a buffer of so many bytes where it is not of a bulk format.
    fn new(file: File, writer: &FileWriter, buffer: usize) -> Result<Self> {
        Ok(match writer {
            FileWriter::Bulk(bulk) => Self::Bulk(bulk.writer(&file)?),
            FileWriter::Rows(_) => Self::Rows { out: BufWriter::with_capacity(buffer, file), length: 0 },
        })
    }
}

/// Where a file is.
enum PartPlace {
    /// On this machine: under a hidden name, which it keeps until it is committed and has its own.
    Local { hidden: PathBuf, path: PathBuf },
    /// In a store, into which it is uploaded. `scratch`: where its rows are meanwhile, for messages.
    Store { upload: Box<PartUpload>, scratch: String },
}

impl fmt::Display for PartPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { hidden, .. } => write!(f, "{}", hidden.display()),
            Self::Store { scratch, .. } => f.write_str(scratch),
        }
    }
}

/// An open file.
pub(super) struct PartFile {
    place: PartPlace,
    writer: Writer,
    /// Milliseconds since the epoch.
    pub(super) created: i64,
    pub(super) updated: i64,
    /// When it was written to, counted in files: the least of all is the one to close when there are too many.
    pub(super) used: u64,
    /// A snapshot names it: it must be there when this attempt is gone.
    pub(super) in_snapshot: bool,
    held: Held,
    _descriptors: Descriptors,
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
    fn new(place: PartPlace, writer: Writer, created: i64) -> Self {
        // In a store the upload has the file open as well.
        let descriptors = Descriptors::take(1 + u64::from(matches!(place, PartPlace::Store { .. })));
        Self {
            place,
            writer,
            created,
            updated: created,
            used: 0,
            in_snapshot: false,
            held: Held::default(),
            _descriptors: descriptors,
        }
    }

    /// A new file in an existing folder, with a buffer of so many bytes where it is not of a bulk format.
    pub(super) fn create(
        folder: &Path,
        (hidden, name): (String, String),
        writer: &FileWriter,
        buffer: usize,
        now: i64,
    ) -> Result<Self> {
        let hidden = folder.join(hidden);
        let file = File::create_new(&hidden).map_err(|error| unwritable(&hidden, error))?;
        let writer = Writer::new(file, writer, buffer)?;
        let path = folder.join(name);
        Ok(Self::new(PartPlace::Local { hidden, path }, writer, now))
    }

    /// A new file that is to be in a store, at that path below its folder.
    pub(super) fn create_in_store(
        store: &StoreFolder,
        path: &str,
        writer: &FileWriter,
        buffer: usize,
        now: i64,
    ) -> Result<Self> {
        let location = store.location.below(path).map_err(crate::input::failed)?;
        let folder = store.scratch.folder().display();
        let scratch = format!("{folder} ('io.tmp.dirs', for the rows of {})", location.uri());
        let file = store.scratch.create().map_err(|error| cannot_write(&scratch, error))?;
        let kept = file.try_clone().map_err(|error| cannot_write(&scratch, error))?;
        let writer = Writer::new(file, writer, buffer)?;
        let upload = Box::new(PartUpload::new(location, store, Arc::new(kept)));
        Ok(Self::new(PartPlace::Store { upload, scratch }, writer, now))
    }

    /// Whether it takes no more rows though it is not as large as it may be: a store takes so many parts of a file.
    pub(super) fn has_all_parts(&self) -> bool {
        matches!(&self.place, PartPlace::Store { upload, .. } if upload.is_full())
    }

    /// Sends to the store what is written by now.
    pub(super) fn send(&mut self) -> Result<()> {
        match &mut self.place {
            PartPlace::Store { upload, .. } => upload.send_whole_parts(),
            PartPlace::Local { .. } => Ok(()),
        }
    }

    /// A new file that begins with the rows of one that an earlier attempt left. The old file stays as it is: the checkpoint
    /// that names it may be restored once more, and the process that wrote it may still be writing.
    pub(super) fn resume(
        from: &InProgress,
        folder: &Path,
        names: (String, String),
        buffer: usize,
        now: i64,
    ) -> Result<Self> {
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
        let writer = Writer::Rows { out: BufWriter::with_capacity(buffer, file), length: from.length };
        let path = folder.join(names.1);
        let resumed = Self::new(PartPlace::Local { hidden, path }, writer, from.created);
        Ok(Self { updated: now, ..resumed })
    }

    /// Bytes so far; of a bulk format those in memory included.
    pub(super) fn size(&self) -> u64 {
        match &self.writer {
            Writer::Rows { length, .. } => *length,
            Writer::Bulk(bulk) => bulk.size(),
        }
    }

    /// What it has in memory (bulk formats only).
    pub(super) fn held(&self) -> Held {
        self.held
    }

    /// Writes the rows that wait in memory, of so many columns (bulk formats only).
    pub(super) fn spill(&mut self, columns: usize) -> Result<()> {
        if let Writer::Bulk(bulk) = &mut self.writer {
            bulk.spill().map_err(|error| blame(&self.place, error))?;
            self.has_spilled(columns);
        }
        Ok(())
    }

    fn has_spilled(&mut self, columns: usize) {
        if std::mem::take(&mut self.held.rows) > 0 {
            self.held.notes += columns * NOTE_BYTES;
        }
    }

    /// Appends an encoded row (formats of rows only).
    pub(super) fn write_row(&mut self, bytes: &[u8], now: i64) -> Result<()> {
        self.updated = now;
        match &mut self.writer {
            Writer::Rows { out, length } => {
                *length += bytes.len() as u64;
                out.write_all(bytes).map_err(|error| cannot_write(&self.place, error))
            }
            Writer::Bulk(_) => Err(Error::Plan("a row for a file of a bulk format".into())),
        }
    }

    /// Appends rows (bulk formats only).
    pub(super) fn write_columns(&mut self, columns: &[ArrayRef], now: i64) -> Result<()> {
        self.updated = now;
        let Writer::Bulk(bulk) = &mut self.writer else {
            return Err(Error::Plan("columns for a file of a format of rows".into()));
        };
        bulk.write(columns).map_err(|error| blame(&self.place, error))?;
        for column in columns {
            self.held.rows += ARRAY_BYTES + bytes_of(&column.to_data())?;
        }
        // It writes them by itself where they are a whole row group.
        if bulk.buffered() == 0 {
            self.has_spilled(columns.len());
        }
        Ok(())
    }

    /// Makes what was written durable and says how much that is. Formats of rows only, and not in a store.
    pub(super) fn persist(&mut self, folder: &str) -> Result<InProgress> {
        self.in_snapshot = true;
        match (&mut self.writer, &self.place) {
            (Writer::Rows { out, length }, PartPlace::Local { hidden, path }) => {
                let synced = out.flush().and_then(|()| out.get_ref().sync_data());
                synced.map_err(|error| unwritable(hidden, error))?;
                let (folder, hidden, path) = (folder.to_owned(), hidden.clone(), path.clone());
                Ok(InProgress { folder, hidden, path, length: *length, created: self.created })
            }
            (Writer::Bulk(_), _) => Err(Error::Plan("a file of a bulk format cannot be continued".into())),
            (_, PartPlace::Store { .. }) => Err(Error::Plan("a file of a store cannot be continued".into())),
        }
    }

    /// Completes the file; it keeps its hidden name, or its upload, until it is committed.
    pub(super) fn close(self) -> Result<Closing> {
        let Self { place, writer, in_snapshot, .. } = self;
        let failed = |error| cannot_write(&place, error);
        let file = match writer {
            Writer::Rows { out, .. } => Some(out.into_inner().map_err(|error| failed(error.into_error()))?),
            Writer::Bulk(bulk) => {
                bulk.finish().map_err(|error| blame(&place, error))?;
                None
            }
        };
        let (hidden, path) = match place {
            PartPlace::Local { hidden, path } => (hidden, path),
            PartPlace::Store { mut upload, .. } => {
                upload.send_rest()?;
                return Ok(Closing::Upload(upload));
            }
        };
        let failed = |error| unwritable(&hidden, error);
        let file = file.map_or_else(|| File::open(&hidden), Ok).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Closing::File(HiddenFile { hidden, path, length, in_snapshot }))
    }

    /// Removes the file if no snapshot names it. Of a file in a store this ends the upload.
    pub(super) fn give_up(self) {
        if let PartPlace::Local { hidden, .. } = &self.place
            && !self.in_snapshot
        {
            remove(hidden);
        }
    }
}

/// Bytes of the values of a column. Texts that are too long for their views count: a slice shares them with others, but all that wait
/// of them are held.
fn bytes_of(column: &ArrayData) -> Result<usize> {
    let mut bytes = column.get_slice_memory_size()?;
    let mut left = vec![column];
    while let Some(column) = left.pop() {
        if matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView)
            && let Some(views) = column.buffers().first()
        {
            let views = views.typed_data::<u128>().iter().skip(column.offset()).take(column.len());
            // Its lowest 32 bits are the length.
            let lengths = views.map(|view| *view as u32).filter(|length| *length > MAX_INLINE_VIEW_LEN);
            bytes += lengths.map(|length| length as usize).sum::<usize>();
        }
        left.extend(column.child_data());
    }
    Ok(bytes)
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

fn blame(place: &PartPlace, error: Error) -> Error {
    match error {
        Error::External { message, source } => {
            Error::External { message: format!("cannot write {place}: {message}"), source }
        }
        other => other,
    }
}

pub(super) fn unwritable(path: &Path, error: io::Error) -> Error {
    cannot_write(&path.display(), error)
}

fn cannot_write(place: &dyn fmt::Display, error: io::Error) -> Error {
    Error::external(format!("cannot write {place}: {error}"), error)
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

#[cfg(test)]
mod tests {
    use arrow::array::{ListArray, StringViewArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::datatypes::Field;

    use super::*;

    /// Failed before: of a text only its view counted, so that gigabytes of texts waited for a row group.
    #[test]
    fn texts_count_also_where_they_stand_outside_of_their_views() {
        let (long, short) = ("x".repeat(1000), "y");
        let texts = StringViewArray::from(vec![long.as_str(), short, long.as_str(), long.as_str()]);
        assert_eq!(bytes_of(&texts.to_data()).unwrap(), 4 * 16 + 3 * 1000);
        assert_eq!(bytes_of(&texts.slice(1, 2).to_data()).unwrap(), 2 * 16 + 1000);
        let field = Arc::new(Field::new("item", DataType::Utf8View, true));
        let lists = ListArray::new(field, OffsetBuffer::from_lengths([1, 3]), Arc::new(texts), None);
        assert!(bytes_of(&lists.to_data()).unwrap() >= 4 * 16 + 3 * 1000);
    }
}
