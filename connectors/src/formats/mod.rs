//! Rows from and to bytes, one folder a format. Of bulk formats only what a table's definition says of them is here.
use arrow::array::ArrayRef;
use wiesel_common::quote::quote;
use wiesel_expressions::types::RowField;
use wiesel_operators::bulk_format::{BulkFormat, BulkFormatSpec, BulkFormats};
use wiesel_operators::operator::Result as TaskResult;

use crate::factory::ChangelogMode;
use crate::options::{Options, Result, did_you_mean, invalid};

mod base64;
mod column;
pub mod csv;
pub mod json;
pub mod message;
pub mod parquet;
pub(crate) mod parse;
mod record;
#[cfg(test)]
mod tests;
pub(crate) mod text;

pub(crate) use column::ColumnBuilder;
use message::{DecodedMessages, DeserializationSchema, SerializationSchema};
pub(crate) use record::{RecordBudget, RowBatch};

/// What some programs put before a text in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// What is wrong with a text in which there is no value, in Jackson's words.
const NO_CONTENT: &str = "No content to map due to end-of-input";

/// The formats that there are, in order.
const IDENTIFIERS: [&str; 3] = ["csv", "json", parquet::IDENTIFIER];

/// A format with its options, checked against the columns it reads or writes.
#[derive(Clone, Debug)]
pub enum Format {
    /// `csv`.
    Csv(csv::CsvFormat),
    /// `json`.
    Json(json::JsonFormat),
    /// A bulk format, such as `parquet`.
    Bulk(BulkFormatSpec),
}

impl Format {
    /// The format of that name; its options begin with the name.
    pub fn new(name: &str, options: Options<'_>, columns: Vec<RowField>) -> Result<Self> {
        match name {
            "csv" => Ok(Self::Csv(csv::CsvFormat::new(options, columns)?)),
            "json" => Ok(Self::Json(json::JsonFormat::new(options, columns)?)),
            parquet::IDENTIFIER => {
                let checked = parquet::ParquetOptions::new(options, columns)?;
                let options = options.that_begin_with("parquet.");
                Ok(Self::Bulk(BulkFormatSpec { identifier: name.to_owned(), options, columns: checked.columns }))
            }
            other => {
                let near = did_you_mean(other, IDENTIFIERS.into_iter());
                invalid(format!(
                    "Could not find any format factory for identifier '{}' in the classpath.{near}\n\nAvailable factory \
                     identifiers are (formats are built in, none can be added):\n\n{}",
                    quote(other),
                    IDENTIFIERS.join("\n")
                ))
            }
        }
    }
}

/// How far a decoder came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes of the buffer that are done with.
    pub(crate) consumed: usize,
    /// Every record that begins before the end was read.
    pub(crate) done: bool,
}

/// Bytes to rows.
pub(crate) trait Decoder: Send {
    /// A file or a part of one begins: what errors say of a record's place is counted from here.
    fn begin(&mut self);

    /// Reads records from the buffer until there are `rows` rows or the batch is full, the buffer holds no whole one, or the next
    /// one begins at `end` or after. `last`: nothing follows the buffer.
    fn decode(&mut self, buffer: &[u8], last: bool, end: usize, rows: usize) -> TaskResult<Progress>;

    /// Adds the rows of a message, be they none. Its text is without the mark of its byte order.
    fn decode_message(&mut self, text: &[u8]) -> TaskResult<()>;

    /// Where the record begins that follows the first line end in the buffer; none: that is not in the buffer, or not all of the line
    /// end. `last`: nothing follows the buffer. Only where no byte may hide a line end ([`Format::is_splittable`])
    /// or the buffer begins with the line end of a record.
    fn behind_line_end(&self, buffer: &[u8], last: bool) -> Option<usize>;

    /// The rows that were read have as many bytes as those of a batch may have.
    fn is_full(&self) -> bool;

    /// The rows that were read, with the wanted columns.
    fn batch(&mut self) -> &mut RowBatch;
}

/// Rows to bytes.
pub(crate) trait Encoder: Send {
    /// Appends a row, with its line end.
    fn encode(&mut self, columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) -> TaskResult<()>;
}

/// What writes the rows of a table into files.
pub(crate) struct FileWriters {
    pub(crate) writer: FileWriter,
    /// Whether a file takes no rows beyond a checkpoint, be it of a bulk format or of one that Flink's SQL writes as one: CSV.
    pub(crate) completes_at_checkpoint: bool,
}

/// How rows get into a file.
pub(crate) enum FileWriter {
    /// Into files of rows after one another.
    Rows(Box<dyn Encoder>),
    /// Into files that are complete only as a whole: those of a bulk format.
    Bulk(Box<dyn BulkFormat>),
}

impl Format {
    /// Which changes its rows can be.
    pub fn changelog_mode(&self) -> ChangelogMode {
        match self {
            Self::Csv(_) | Self::Json(_) | Self::Bulk(_) => ChangelogMode::InsertOnly,
        }
    }

    /// What makes rows of these columns, by position, of single messages. None: the format has no messages.
    pub fn deserialization_schema(&self, wanted: Vec<usize>) -> Option<Box<dyn DeserializationSchema>> {
        let decoder = self.decoder(wanted)?;
        Some(Box::new(DecodedMessages::new(decoder)))
    }

    /// What makes single messages of rows. None: the format has no messages.
    pub fn serialization_schema(&self) -> Option<Box<dyn SerializationSchema>> {
        match self {
            Self::Csv(format) => Some(Box::new(csv::CsvEncoder::of_messages(format.clone()))),
            Self::Json(format) => Some(Box::new(json::JsonEncoder::new(format.clone()))),
            Self::Bulk(_) => None,
        }
    }

    /// A decoder of these columns, by position. None: the format is not one of records after one another.
    pub(crate) fn decoder(&self, wanted: Vec<usize>) -> Option<Box<dyn Decoder>> {
        match self {
            Self::Csv(format) => Some(Box::new(csv::CsvDecoder::new(format.clone(), wanted))),
            Self::Json(format) => Some(Box::new(json::JsonDecoder::new(format.clone(), wanted))),
            Self::Bulk(_) => None,
        }
    }

    /// What writes files of all columns.
    pub(crate) fn file_writers(&self, formats: &dyn BulkFormats) -> TaskResult<FileWriters> {
        let (writer, completes_at_checkpoint) = match self {
            Self::Csv(format) => (FileWriter::Rows(Box::new(csv::CsvEncoder::new(format.clone()))), true),
            Self::Json(format) => (FileWriter::Rows(Box::new(json::JsonEncoder::new(format.clone()))), false),
            Self::Bulk(spec) => (FileWriter::Bulk(formats.format(spec)?), true),
        };
        Ok(FileWriters { writer, completes_at_checkpoint })
    }

    /// Whether a file may be cut anywhere, and the reader of a part finds the first record that begins in it. Not so of CSV in which
    /// a quote or an escape character may hide a line end: only what is before a line end tells whether it ends a record, be it at the
    /// beginning of the file.
    pub(crate) fn is_splittable(&self) -> bool {
        match self {
            Self::Csv(format) => format.quote.is_none() && format.escape.is_none(),
            Self::Json(_) | Self::Bulk(_) => true,
        }
    }
}

/// The text of a record for a message, cut where it is long.
pub(crate) fn describe_row(record: &[u8]) -> String {
    const SHOWN: usize = 200;
    let text = String::from_utf8_lossy(&record[..record.len().min(SHOWN * 4)]);
    let text = text.trim_end_matches(['\n', '\r']);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}
