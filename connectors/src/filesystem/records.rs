//! A part of a file of records: text, maybe compressed.
use std::io::Read;
use std::path::Path;

use wiesel_common::ending;
use wiesel_common::filesystem::Status;
use wiesel_expressions::expression::BATCH_BYTES;
use wiesel_operators::operator::{Error, Result};

use super::compression;
use super::path::unreadable;
use super::split::{FileSplit, FileVersion, Resume, changed};
use crate::formats::{BYTE_ORDER_MARK, Decoder};
use crate::input::Files;

/// Bytes read at once, where no record is longer.
const CHUNK: usize = 512 << 10;
/// A record may be so long.
pub(super) const LONGEST_RECORD: usize = 256 << 20;

/// A split that is being read.
pub(super) struct OpenFile {
    pub(super) split: FileSplit,
    /// The file as it was opened.
    pub(super) status: Status,
    input: Box<dyn Read + Send>,
    /// Bytes read and not yet decoded are `buffer[start..end]`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// The place of `buffer[start]` in the (uncompressed) file.
    position: u64,
    at_end: bool,
    /// Where reading begins. A compressed file is unpacked up to there in vain.
    first: u64,
    /// From `first` on a record is left out: it begins before the split.
    skips_record: bool,
    /// The first record was reached. Until then no more was read than the split says.
    begun: bool,
    /// Bytes that the input gave.
    bytes_read: u64,
}

impl OpenFile {
    pub(super) fn open(split: FileSplit, files: &Files) -> Result<Self> {
        let failed = |error| unreadable(Path::new(&split.path), error);
        let (mut file, status) = split.open(files)?;
        let is_compressed = compression::is_compressed(&split.path);
        file.expect_to_read_to(if is_compressed { u64::MAX } else { split.end });
        // A record that begins before the split is the one before's: the byte before tells whether one does.
        let skips_record = split.resume.is_none() && split.start > 0;
        let first = split.resume.map_or(split.start.saturating_sub(u64::from(skips_record)), |resume| resume.position);
        let position = if is_compressed { 0 } else { first };
        if position > 0 {
            file.seek_to(position).map_err(failed)?;
        }
        let input = compression::open(&split.path, file).map_err(failed)?;
        Ok(Self {
            split,
            status,
            input,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            position,
            at_end: false,
            first,
            skips_record,
            begun: false,
            bytes_read: 0,
        })
    }

    /// Decodes records until there are `rows` rows, they are too long for more, the split is done, or so much was read that the
    /// task's mailbox is to have its turn: then there may be no row. True: done.
    pub(super) fn read(&mut self, decoder: &mut dyn Decoder, rows: usize) -> Result<bool> {
        let turn_ends = self.bytes_read + BATCH_BYTES as u64;
        if !self.begin(decoder, turn_ends)? {
            return Ok(false);
        }
        loop {
            let end = usize::try_from(self.split.end.saturating_sub(self.position)).unwrap_or(usize::MAX);
            let buffer = &self.buffer[self.start..self.end];
            let progress = decoder.decode(buffer, self.at_end, end, rows).map_err(|error| self.blame(error))?;
            self.advance(progress.consumed);
            if progress.done {
                return Ok(true);
            }
            let batch = decoder.batch();
            if batch.rows() >= rows || batch.is_full() {
                return Ok(false);
            }
            if self.at_end {
                return Ok(true);
            }
            if self.bytes_read >= turn_ends {
                return Ok(false);
            }
            self.fill()?;
        }
    }

    /// What is left of the split.
    pub(super) fn unread(&self) -> FileSplit {
        if !self.begun {
            return self.split.clone();
        }
        let resume = Resume { position: self.position, file: FileVersion::of(&self.status) };
        FileSplit { resume: Some(resume), ..self.split.clone() }
    }

    /// Goes on to the first record. False: it is farther away than is read at once.
    fn begin(&mut self, decoder: &dyn Decoder, turn_ends: u64) -> Result<bool> {
        while !self.begun {
            self.begun = self.drop_before_first(decoder)?;
            if !self.begun {
                if self.bytes_read >= turn_ends {
                    return Ok(false);
                }
                self.fill()?;
            }
        }
        Ok(true)
    }

    /// Drops what the buffer has before the first record. False: there is more before it.
    fn drop_before_first(&mut self, decoder: &dyn Decoder) -> Result<bool> {
        let before = usize::try_from(self.first.saturating_sub(self.position)).unwrap_or(usize::MAX);
        self.advance(before.min(self.end - self.start));
        if self.position < self.first {
            return if self.at_end { Err(changed(&self.split, "it ends before that", None)) } else { Ok(false) };
        }
        if self.skips_record {
            return self.skip_record(decoder);
        }
        if self.position == 0 {
            if self.start == self.end && !self.at_end {
                return Ok(false);
            }
            if self.buffer[self.start..self.end].starts_with(BYTE_ORDER_MARK) {
                self.advance(BYTE_ORDER_MARK.len());
            }
        }
        Ok(true)
    }

    /// Goes behind the record that begins before the split. False: it goes on behind what was read.
    fn skip_record(&mut self, decoder: &dyn Decoder) -> Result<bool> {
        let buffer = &self.buffer[self.start..self.end];
        if let Some(next) = decoder.behind_line_end(buffer, self.at_end) {
            self.advance(next);
            return Ok(true);
        }
        // The last byte may be the first one of a line end.
        let done = if self.at_end { buffer.len() } else { buffer.len().saturating_sub(1) };
        self.advance(done);
        // As the reader of the split before says, which has to read it.
        if self.position - self.first > LONGEST_RECORD as u64 {
            return Err(self.too_long(self.first));
        }
        Ok(self.at_end)
    }

    /// So many bytes of the buffer are done with.
    fn advance(&mut self, bytes: usize) {
        self.start += bytes;
        self.position += bytes as u64;
    }

    /// Reads more bytes behind those that are left. Where these are part of a long record there come as many again, as it is looked
    /// at from its beginning each time.
    fn fill(&mut self) -> Result<()> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            if self.buffer.len() >= LONGEST_RECORD {
                return Err(self.too_long(self.position));
            }
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let room = CHUNK.max(self.end);
        let most = (self.end + room).min(self.buffer.len());
        // Enough for a decoder to get on, however little the input gives at a time.
        let wanted = (self.end + room / 2).min(most);
        while self.end < wanted && !self.at_end {
            ending::check()?;
            match self.input.read(&mut self.buffer[self.end..most]) {
                Ok(0) => self.at_end = true,
                Ok(read) => {
                    self.end += read;
                    self.bytes_read += read as u64;
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => {
                    ending::check()?;
                    return Err(unreadable(Path::new(&self.split.path), error));
                }
            }
        }
        Ok(())
    }

    fn too_long(&self, offset: u64) -> Error {
        Error::data(
            "java.io.IOException",
            format!("file {} has a record of more than {LONGEST_RECORD} bytes at offset {offset}", self.split.path),
        )
    }

    /// An error with the file and the place: what the decoder counts begins where this part was opened.
    fn blame(&self, error: Error) -> Error {
        match error {
            Error::Data { class, message } => {
                let place = match self.split.resume.map_or(self.split.start, |resume| resume.position) {
                    0 => String::new(),
                    start => format!(", counted from byte {start}"),
                };
                Error::Data { class, message: format!("file {}{place}: {message}", self.split.path) }
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests;
