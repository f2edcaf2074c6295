//! Reads parts of files: one batch a poll, or several where one record has more rows than a batch.
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use wiesel_common::fault;
use wiesel_common::filesystem::Status;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{LogicalType, RowField};
use wiesel_operators::bulk_format::{BulkFormat, BulkFormats};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::{Collector, Error, OperatorContext, Result};
use wiesel_operators::source::{SourceReader, SourceStatus};

use super::bulk::OpenBulkFile;
use super::metadata::FileMetadata;
use super::partitions::{PartitionFilter, partition_column};
use super::records::OpenFile;
use super::split::FileSplit;
use crate::enumerator::Requests;
use crate::formats::{Decoder, Format};
use crate::input::Files;

/// Rows of a batch, at most.
const BATCH_ROWS: usize = 8192;

/// Where an emitted column comes from.
enum Column {
    /// The format's n-th wanted column.
    File(usize),
    /// The path: name and type.
    Partition(String, LogicalType),
    /// The file itself.
    Metadata(FileMetadata),
}

/// A column that is to be read.
pub(super) enum Emitted {
    /// One of the table, in the files or in their paths.
    Column(RowField),
    /// What is known of the file.
    Metadata(FileMetadata),
}

/// How files are read.
enum Reading {
    /// Record after record, into the decoder.
    Records(Box<dyn Decoder>),
    /// These columns of files of a bulk format.
    Bulk(Box<dyn BulkFormat>, Vec<usize>),
}

/// A split that is being read.
enum Open {
    Records(OpenFile),
    Bulk(OpenBulkFile),
}

impl Open {
    fn split(&self) -> &FileSplit {
        match self {
            Self::Records(file) => &file.split,
            Self::Bulk(file) => &file.split,
        }
    }

    fn status(&self) -> &Status {
        match self {
            Self::Records(file) => &file.status,
            Self::Bulk(file) => &file.status,
        }
    }

    fn unread(&self) -> FileSplit {
        match self {
            Self::Records(file) => file.unread(),
            Self::Bulk(file) => file.unread(),
        }
    }
}

/// A table in files, ready to read.
pub(super) struct FileReader {
    reading: Reading,
    columns: Vec<Column>,
    schema: SchemaRef,
    default_partition: String,
    filter: PartitionFilter,
    files: Files,
    splits: VecDeque<FileSplit>,
    current: Option<Open>,
    requests: Requests,
}

impl FileReader {
    /// `emitted`: the columns to be read; partition columns are those of them that `file_columns` lacks.
    pub(super) fn new(
        format: &Format,
        formats: &dyn BulkFormats,
        file_columns: &[RowField],
        emitted: &[Emitted],
        default_partition: String,
        filter: PartitionFilter,
    ) -> Result<Self> {
        let mut wanted = Vec::new();
        let mut columns = Vec::with_capacity(emitted.len());
        let mut fields = Vec::with_capacity(emitted.len());
        for emitted in emitted {
            let (column, field) = match emitted {
                Emitted::Metadata(metadata) => (Column::Metadata(*metadata), metadata.field()),
                Emitted::Column(field) => match file_columns.iter().position(|column| column.name == field.name) {
                    Some(index) => {
                        wanted.push(index);
                        (Column::File(wanted.len() - 1), field.clone())
                    }
                    None => (Column::Partition(field.name.clone(), field.data_type.clone()), field.clone()),
                },
            };
            columns.push(column);
            fields.push(field.data_type.with_nullable(true).to_arrow_field(&field.name));
        }
        let reading = match format {
            Format::Bulk(spec) => Reading::Bulk(formats.format(spec)?, wanted),
            records => match records.decoder(wanted) {
                Some(decoder) => Reading::Records(decoder),
                None => return Err(Error::Plan("a format that cannot be read".into())),
            },
        };
        Ok(Self {
            reading,
            columns,
            schema: Arc::new(Schema::new(fields)),
            default_partition,
            filter,
            files: Files::default(),
            splits: VecDeque::new(),
            current: None,
            requests: Requests::default(),
        })
    }

    fn start(&mut self, split: FileSplit) -> Result<Open> {
        Ok(match &mut self.reading {
            Reading::Records(decoder) => {
                decoder.begin();
                Open::Records(OpenFile::open(split, &self.files)?)
            }
            Reading::Bulk(format, wanted) => {
                Open::Bulk(OpenBulkFile::open(split, &self.files, &**format, wanted, BATCH_ROWS)?)
            }
        })
    }

    /// The next columns of the current split, how many rows they have, and whether the split is done.
    fn read(&mut self) -> Result<(Vec<ArrayRef>, usize, bool)> {
        match (&mut self.current, &mut self.reading) {
            (Some(Open::Records(file)), Reading::Records(decoder)) => {
                let done = file.read(decoder.as_mut(), fault::limit("source.rows", BATCH_ROWS))?;
                let batch = decoder.batch();
                let rows = batch.rows();
                let columns = if rows == 0 { Vec::new() } else { batch.finish() };
                Ok((columns, rows, done))
            }
            (Some(Open::Bulk(file)), _) => Ok(match file.read()? {
                Some((columns, rows)) => (columns, rows, false),
                None => (Vec::new(), 0, true),
            }),
            _ => Ok((Vec::new(), 0, true)),
        }
    }

    /// Batch after batch, so that what is made of the path and further on is made for as many rows at once.
    fn emit(&self, file: &Open, from_file: &[ArrayRef], rows: usize, out: &mut dyn Collector) -> Result<()> {
        for start in (0..rows).step_by(BATCH_ROWS) {
            self.emit_batch(file, from_file, start, BATCH_ROWS.min(rows - start), out)?;
        }
        Ok(())
    }

    fn emit_batch(
        &self,
        file: &Open,
        from_file: &[ArrayRef],
        start: usize,
        rows: usize,
        out: &mut dyn Collector,
    ) -> Result<()> {
        let path = &file.split().path;
        let column = |column: &Column| -> Result<ArrayRef> {
            match column {
                Column::File(index) => Ok(from_file[*index].slice(start, rows)),
                Column::Partition(name, data_type) => {
                    partition_column(path, name, data_type, &self.default_partition, rows)
                }
                Column::Metadata(metadata) => metadata.column(path, file.status(), rows),
            }
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let records = record_batch(&self.schema, columns, rows, |_| format!("the file {path}"))?;
        out.collect(Batch::insert_only(records))
    }
}

impl SourceReader for FileReader {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        self.filter.prepare(&context.evaluation()?)?;
        self.files = Files::new(context.configuration.clone(), context.runtime.clone());
        if let Reading::Bulk(format, _) = &mut self.reading {
            format.open(&context.configuration)?;
        }
        if self.splits.is_empty() {
            self.requests.want();
        }
        Ok(())
    }

    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus> {
        if self.current.is_none() {
            let Some(split) = self.splits.pop_front() else { return Ok(self.requests.status()) };
            // A checkpoint may hold splits that were found before there was a filter.
            if !self.filter.passes(&split.path)? {
                if self.splits.is_empty() {
                    self.requests.want();
                }
                return Ok(SourceStatus::MoreAvailable);
            }
            self.current = Some(self.start(split)?);
        }
        let (columns, rows, done) = self.read()?;
        if rows > 0
            && let Some(file) = &self.current
        {
            self.emit(file, &columns, rows, out)?;
        }
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
            self.splits.push_back(FileSplit::decode(&split)?);
            self.requests.have();
        }
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Vec<Bytes>> {
        let current = self.current.iter().map(|file| file.unread().encode());
        Ok(current.chain(self.splits.iter().map(FileSplit::encode)).collect())
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
