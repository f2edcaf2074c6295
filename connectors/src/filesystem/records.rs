//! A part of a file of records: text, maybe compressed.
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use wiesel_operators::expression::BATCH_BYTES;
use wiesel_operators::operator::{Error, Result};

use super::compression;
use super::path::unreadable;
use super::split::{FileSplit, FileVersion, Resume, changed};
use crate::formats::Decoder;

/// Bytes read at once.
const CHUNK: usize = 512 << 10;
/// A record may be so long.
const LONGEST_RECORD: usize = 256 << 20;

/// A split that is being read.
pub(super) struct OpenFile {
    pub(super) split: FileSplit,
    version: FileVersion,
    input: Box<dyn Read + Send>,
    /// Bytes read and not yet decoded are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The place of `buffer[start]` in the file.
    position: u64,
    at_end: bool,
}

impl OpenFile {
    pub(super) fn open(split: FileSplit) -> Result<Self> {
        let failed = |error| unreadable(Path::new(&split.path), error);
        let (mut file, version) = split.open()?;
        // A record that begins before the split is the one before's: the byte before tells whether one does.
        let skip = split.resume.is_none() && split.start > 0;
        let position = split.resume.map_or(split.start.saturating_sub(u64::from(skip)), |resume| resume.position);
        let compressed = compression::is_compressed(&split.path);
        if position > 0 && !compressed {
            file.seek(SeekFrom::Start(position)).map_err(failed)?;
        }
        let mut input = compression::open(&split.path, file).map_err(failed)?;
        if position > 0 && compressed {
            let skipped = std::io::copy(&mut input.by_ref().take(position), &mut std::io::sink()).map_err(failed)?;
            if skipped < position {
                return Err(changed(&split, "it ends before that", None));
            }
        }
        let buffer = vec![0; CHUNK];
        let mut file = Self { split, version, input, buffer, start: 0, end: 0, position, at_end: false };
        file.fill()?;
        if skip {
            file.skip_line()?;
        } else if file.position == 0 && file.buffer[..file.end].starts_with(b"\xef\xbb\xbf") {
            file.start = 3;
            file.position = 3;
        }
        Ok(file)
    }

    /// Decodes records until there are `rows` rows, they are too long for more, or the split is done. True: done.
    pub(super) fn read(&mut self, decoder: &mut dyn Decoder, rows: usize) -> Result<bool> {
        let mut bytes = 0;
        loop {
            let end = usize::try_from(self.split.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let buffer = &self.buffer[self.start..self.end];
            let progress = decoder.decode(buffer, self.at_end, end, rows).map_err(|error| self.blame(error))?;
            self.start += progress.consumed;
            self.position += progress.consumed as u64;
            bytes += progress.consumed;
            if progress.done {
                return Ok(true);
            }
            let batch = decoder.batch();
            if batch.rows() >= rows || batch.is_full() || (bytes >= BATCH_BYTES && batch.rows() > 0) {
                return Ok(false);
            }
            if self.at_end {
                return Ok(true);
            }
            self.fill()?;
        }
    }

    /// What is left of the split.
    pub(super) fn unread(&self) -> FileSplit {
        let resume = Resume { position: self.position, file: self.version };
        FileSplit { resume: Some(resume), ..self.split.clone() }
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
                let place = match self.split.resume.map_or(self.split.start, |resume| resume.position) {
                    0 => String::new(),
                    start => format!(" (counted from offset {start})"),
                };
                Error::Data { class, message: format!("file {}{place}: {message}", self.split.path) }
            }
            other => other,
        }
    }
}
