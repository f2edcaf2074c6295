//! A file as the library reads it.
use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};
use wiesel_operators::bulk_format::RandomAccess;

/// A file that is open, with the length that it had then.
#[derive(Clone)]
pub(crate) struct InputFile {
    file: Arc<dyn RandomAccess>,
    length: u64,
}

impl InputFile {
    pub(crate) fn open(file: Arc<dyn RandomAccess>) -> io::Result<Self> {
        let length = file.length()?;
        Ok(Self { file, length })
    }

    /// Bytes.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The bytes from the one place up to the other are about to be read.
    pub(crate) fn expect_to_read(&self, start: u64, end: u64) -> io::Result<()> {
        self.file.expect_to_read(start, end)
    }

    /// These bytes.
    pub(crate) fn read_exact_at(&self, into: &mut [u8], position: u64) -> io::Result<()> {
        self.file.read_exact_from(position, into)
    }
}

/// A file and a place in it.
pub(crate) struct At {
    file: InputFile,
    position: u64,
}

impl Read for At {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.file.length.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let read = into.len().min(left);
        self.file.read_exact_at(&mut into[..read], self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Length for InputFile {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for InputFile {
    type T = BufReader<At>;

    fn get_read(&self, start: u64) -> Result<BufReader<At>, ParquetError> {
        Ok(BufReader::new(At { file: self.clone(), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let left = self.length.saturating_sub(start);
        if length as u64 > left {
            return Err(ParquetError::EOF(format!("Expected to read {length} bytes, read only {left}")));
        }
        let mut bytes = vec![0; length];
        self.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_file_is_read_from_any_place_up_to_its_end() {
        let whole: Vec<u8> = (0..100_000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&whole).unwrap();
        let open = InputFile::open(Arc::new(file)).unwrap();
        assert_eq!(open.len(), whole.len() as u64);
        for start in [0, 1, 8191, 50_000, whole.len()] {
            let mut rest = Vec::new();
            open.get_read(start as u64).unwrap().read_to_end(&mut rest).unwrap();
            assert!(rest == whole[start..], "from {start} on");
            let left = whole.len() - start;
            for length in [0, left / 2, left] {
                let bytes = open.get_bytes(start as u64, length).unwrap();
                assert!(bytes == whole[start..start + length], "{length} bytes from {start} on");
            }
            let error = open.get_bytes(start as u64, left + 1).unwrap_err().to_string();
            assert!(error.contains(&format!("read only {left}")), "{error}");
        }
        let mut behind = Vec::new();
        open.get_read(whole.len() as u64 + 1).unwrap().read_to_end(&mut behind).unwrap();
        assert!(behind.is_empty());
    }
}
