//! A part of a file of a bulk format.
use std::sync::Arc;

use arrow::array::ArrayRef;
use wiesel_common::filesystem::Status;
use wiesel_operators::bulk_format::{BulkFormat, BulkReader};
use wiesel_operators::operator::{Error, Result};

use super::split::{FileSplit, FileVersion, Resume};
use crate::input::Files;

/// A split that is being read.
pub(super) struct OpenBulkFile {
    pub(super) split: FileSplit,
    /// The file as it was opened.
    pub(super) status: Status,
    reader: Box<dyn BulkReader>,
    /// Rows of the split that were read.
    position: u64,
}

impl OpenBulkFile {
    /// `wanted`: columns of the format by position.
    pub(super) fn open(
        split: FileSplit,
        files: &Files,
        format: &dyn BulkFormat,
        wanted: &[usize],
        batch_rows: usize,
    ) -> Result<Self> {
        let (file, status) = split.open(files)?;
        let position = split.resume.map_or(0, |resume| resume.position);
        let reader = format.reader(Arc::new(file), wanted, split.start..split.end, position, batch_rows);
        let reader = reader.map_err(|error| blame(&split, error))?;
        Ok(Self { split, status, reader, position })
    }

    /// The wanted columns of the next rows, and how many these are; none: the split is done.
    pub(super) fn read(&mut self) -> Result<Option<(Vec<ArrayRef>, usize)>> {
        let batch = self.reader.next_batch().map_err(|error| blame(&self.split, error))?;
        self.position += batch.as_ref().map_or(0, |(_, rows)| *rows as u64);
        Ok(batch)
    }

    /// What is left of the split.
    pub(super) fn unread(&self) -> FileSplit {
        let resume = Resume { position: self.position, file: FileVersion::of(&self.status) };
        FileSplit { resume: Some(resume), ..self.split.clone() }
    }
}

/// An error with the file.
fn blame(split: &FileSplit, error: Error) -> Error {
    match error {
        Error::Data { class, message } => Error::Data { class, message: format!("file {}: {message}", split.path) },
        Error::External { message, source } => {
            Error::External { message: format!("cannot read {}: {message}", split.path), source }
        }
        Error::Arrow(error) => Error::external(format!("cannot read {}: {error}", split.path), error),
        other => other,
    }
}
