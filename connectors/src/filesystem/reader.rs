//! Reads parts of files: one batch a poll.
use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_operators::types::{LogicalType, RowField};

use super::compression;
use super::path::{partition_value, unescape, unreadable};
use super::split::FileSplit;
use crate::enumerator::Requests;
use crate::formats::{Decoder, Format, partition_column};

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;
/// Bytes read at once.
const CHUNK: usize = 512 << 10;
/// A record may be so long.
const LONGEST_RECORD: usize = 256 << 20;

/// Where an emitted column comes from.
enum Column {
    /// The format's n-th wanted column.
    File(usize),
    /// The path: name and type.
    Partition(String, LogicalType),
}

/// A table in files, ready to read.
pub(super) struct FileReader {
    decoder: Box<dyn Decoder>,
    columns: Vec<Column>,
    schema: SchemaRef,
    default_partition: String,
    splits: VecDeque<FileSplit>,
    current: Option<OpenFile>,
    requests: Requests,
}

/// A split that is being read.
struct OpenFile {
    split: FileSplit,
    input: Box<dyn Read + Send>,
    /// Bytes read and not yet decoded are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The place of `buffer[start]` in the file.
    position: u64,
    at_end: bool,
}

impl FileReader {
    /// `columns`: the emitted ones; `partition_keys` are among them.
    pub(super) fn new(
        format: &Format,
        file_columns: &[RowField],
        emitted: &[RowField],
        default_partition: String,
    ) -> Result<Self> {
        let mut wanted = Vec::new();
        let mut columns = Vec::with_capacity(emitted.len());
        for field in emitted {
            match file_columns.iter().position(|column| column.name == field.name) {
                Some(index) => {
                    columns.push(Column::File(wanted.len()));
                    wanted.push(index);
                }
                None => columns.push(Column::Partition(field.name.clone(), field.data_type.clone())),
            }
        }
        let fields = emitted.iter().map(|field| field.data_type.with_nullable(true).to_arrow_field(&field.name));
        Ok(Self {
            decoder: format.decoder(wanted),
            columns,
            schema: Arc::new(Schema::new(fields.collect::<Vec<_>>())),
            default_partition,
            splits: VecDeque::new(),
            current: None,
            requests: Requests::default(),
        })
    }

    /// Reads until a batch is full or the split is done. True: done.
    fn read(&mut self) -> Result<bool> {
        let Some(file) = &mut self.current else { return Ok(true) };
        loop {
            let end = usize::try_from(file.split.end.saturating_sub(file.position)).unwrap_or(usize::MAX);
            let buffer = &file.buffer[file.start..file.end];
            let progress =
                self.decoder.decode(buffer, file.at_end, end, BATCH_ROWS).map_err(|error| file.blame(error))?;
            file.start += progress.consumed;
            file.position += progress.consumed as u64;
            if progress.done {
                return Ok(true);
            }
            if self.decoder.rows() >= BATCH_ROWS {
                return Ok(false);
            }
            if file.at_end {
                return Ok(true);
            }
            file.fill()?;
        }
    }

    fn emit(&mut self, path: &str, out: &mut dyn Collector) -> Result<()> {
        let rows = self.decoder.rows();
        if rows == 0 {
            return Ok(());
        }
        let from_file = self.decoder.finish()?;
        let column = |column: &Column| -> Result<ArrayRef> {
            match column {
                Column::File(index) => Ok(from_file[*index].clone()),
                Column::Partition(name, data_type) => {
                    let value = partition_value(path, name).map(unescape);
                    let value = value.as_deref().filter(|value| *value != self.default_partition);
                    partition_column(value, data_type, rows).map_err(|why| {
                        Error::data("java.io.IOException", format!("partition column '{name}' of file {path}: {why}"))
                    })
                }
            }
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let records = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?;
        out.collect(Batch::insert_only(records))
    }
}

impl SourceReader for FileReader {
    fn open(&mut self, _context: &OperatorContext) -> Result<()> {
        self.requests.want();
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        if self.current.is_none() {
            let Some(split) = self.splits.pop_front() else { return Ok(self.requests.status()) };
            self.current = Some(OpenFile::open(split)?);
        }
        let done = self.read()?;
        let path = self.current.as_ref().map(|file| file.split.path.clone()).unwrap_or_default();
        self.emit(&path, out)?;
        if done {
            self.current = None;
            if self.splits.is_empty() {
                self.requests.want();
            }
        }
        Ok(SourceStatus::MoreAvailable)
    }

    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()> {
        for split in splits {
            let split = FileSplit::decode(&split).ok_or_else(|| Error::Plan("a malformed file split".into()))?;
            self.splits.push_back(split);
        }
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.requests.finish();
    }

    fn take_split_request(&mut self) -> bool {
        self.requests.take()
    }

    fn close(&mut self) -> Result<()> {
        self.current = None;
        Ok(())
    }
}

impl OpenFile {
    fn open(split: FileSplit) -> Result<Self> {
        let failed = |error| unreadable(Path::new(&split.path), error);
        let mut file = File::open(&split.path).map_err(failed)?;
        // A record that begins before the split is the one before's: the byte before tells whether one does.
        let skip = split.start > 0;
        let position = split.start.saturating_sub(u64::from(skip));
        if skip {
            file.seek(SeekFrom::Start(position)).map_err(failed)?;
        }
        let input = compression::open(&split.path, file).map_err(failed)?;
        let mut file = Self { split, input, buffer: vec![0; CHUNK], start: 0, end: 0, position, at_end: false };
        file.fill()?;
        if skip {
            file.skip_line()?;
        } else if file.buffer[..file.end].starts_with(b"\xef\xbb\xbf") {
            file.start = 3;
            file.position = 3;
        }
        Ok(file)
    }

    /// Reads more bytes behind those that are left.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.buffer.len() >= LONGEST_RECORD {
                return Err(Error::data(
                    "java.io.IOException",
                    format!(
                        "file {} has a record of more than {LONGEST_RECORD} bytes at offset {}",
                        self.split.path, self.position
                    ),
                ));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        // Enough for a decoder to get on, however little the input gives at a time.
        let wanted = (self.end + CHUNK / 2).min(self.buffer.len());
        while self.end < wanted && !self.at_end {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(Path::new(&self.split.path), error)),
            }
        }
        Ok(())
    }

    /// Goes behind the next line end.
    fn skip_line(&mut self) -> Result<()> {
        loop {
            if let Some(offset) = memchr::memchr(b'\n', &self.buffer[self.start..self.end]) {
                self.start += offset + 1;
                self.position += offset as u64 + 1;
                return Ok(());
            }
            self.position += (self.end - self.start) as u64;
            self.start = self.end;
            if self.at_end {
                return Ok(());
            }
            self.fill()?;
        }
    }

    /// An error with the file and the place.
    fn blame(&self, error: Error) -> Error {
        match error {
            Error::Data { class, message } => {
                let place = match self.split.start {
                    0 => String::new(),
                    start => format!(" (counted from offset {start})"),
                };
                Error::Data { class, message: format!("file {}{place}: {message}", self.split.path) }
            }
            other => other,
        }
    }
}
