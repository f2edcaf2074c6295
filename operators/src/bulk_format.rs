//! The contract of bulk formats, such as Parquet: files that are read here and there, and that are complete only as a whole.
//!
//! What reads and writes such files links a large library. A task hands it to sources and sinks, which know this contract; what plans
//! a job, or looks for its files, has no use for it and does not link it.
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use arrow::array::ArrayRef;
use wiesel_common::config::Configuration;
use wiesel_expressions::types::RowField;

use crate::operator::Result;

/// The format of a table, as the table's definition says it.
#[derive(Clone, Debug)]
pub struct BulkFormatSpec {
    /// The format's name.
    pub identifier: String,
    /// Its options, each with the name of the format before it.
    pub options: BTreeMap<String, String>,
    /// The columns of the files, in order.
    pub columns: Vec<RowField>,
}

/// The bulk formats that a process has.
pub trait BulkFormats {
    /// The format of a table.
    ///
    /// # Errors
    /// The process does not have that format, or the format not such options or columns.
    fn format(&self, spec: &BulkFormatSpec) -> Result<Box<dyn BulkFormat>>;
}

/// The format of a table.
pub trait BulkFormat: Send {
    /// Called once before files are read or written: takes from the job's configuration what the table's options leave to the cluster.
    fn open(&mut self, configuration: &Configuration) -> Result<()>;

    /// A reader of these columns, by position, of a part of a file. Each row is in one part of all that a file can be cut into.
    /// `range`: the bytes of the part. `skip`: so many of its rows were read before. A batch has at most `batch_rows`.
    fn reader(
        &self,
        file: Arc<dyn RandomAccess>,
        wanted: &[usize],
        range: Range<u64>,
        skip: u64,
        batch_rows: usize,
    ) -> Result<Box<dyn BulkReader>>;

    /// A writer into a new file.
    fn writer(&self, file: &File) -> Result<Box<dyn BulkWriter>>;
}

/// Rows from a part of a file.
pub trait BulkReader: Send {
    /// The wanted columns of the next rows, and how many these are; none: all were read. A column that the file lacks is null.
    fn next_batch(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>>;
}

/// Rows to a file that is complete only as a whole.
pub trait BulkWriter: Send {
    /// Adds rows.
    fn write(&mut self, columns: &[ArrayRef]) -> Result<()>;

    /// Bytes that were written.
    fn size(&self) -> u64;

    /// Bytes of rows that wait in memory.
    fn buffered(&self) -> usize;

    /// Writes the rows that wait, if not in the largest pieces.
    fn spill(&mut self) -> Result<()>;

    /// Writes what is left and the end of the file.
    fn finish(self: Box<Self>) -> Result<()>;
}

/// A file that is read here and there.
pub trait RandomAccess: Send + Sync {
    /// Bytes.
    fn length(&self) -> io::Result<u64>;

    /// The bytes from a place on, all that there is room for.
    fn read_exact_from(&self, position: u64, into: &mut [u8]) -> io::Result<()>;

    /// The bytes from the one place up to the other are about to be read.
    fn expect_to_read(&self, start: u64, end: u64) -> io::Result<()>;
}

impl RandomAccess for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_from(&self, position: u64, into: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(into, position)
    }

    fn expect_to_read(&self, _start: u64, _end: u64) -> io::Result<()> {
        Ok(())
    }
}
