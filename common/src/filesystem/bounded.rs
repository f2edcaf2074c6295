//! How much of a file is read. A file may be longer than what reads it expects, and what is read whole is in memory whole: so each
//! reader says how long the file may be, and the length is looked at first.
use std::io::{self, Read};
use std::path::Path;

use bytes::Bytes;

use super::regular::open_regular;

/// Looks at how a file begins, and at its length; an error says what is wrong with it.
pub type Check = fn(&[u8], u64) -> Result<(), String>;

/// Why a file is not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is too long.
    #[error("it has {size} bytes, and at most {limit} are read of such a file")]
    TooLong {
        /// Its length. More than the limit if that is not known.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// A [`Check`] has refused it.
    #[error("it {0}")]
    Checked(String),
}

/// What is read whole.
#[derive(Clone, Copy)]
pub(super) struct Bound {
    /// How long it may be.
    pub(super) limit: u64,
    /// How many bytes of its beginning the check needs; it is given fewer of a shorter file.
    pub(super) start: usize,
    pub(super) check: Check,
}

impl Bound {
    pub(super) fn at_most(limit: u64) -> Self {
        Self { limit, start: 0, check: |_, _| Ok(()) }
    }

    /// Whether more than the beginning is read.
    pub(super) fn check_start(self, bytes: &[u8], size: u64) -> Result<(), Refusal> {
        (self.check)(&bytes[..bytes.len().min(self.start)], size).map_err(Refusal::Checked)?;
        self.check_length(size)
    }

    pub(super) fn check_length(self, size: u64) -> Result<(), Refusal> {
        if size > self.limit { Err(Refusal::TooLong { size, limit: self.limit }) } else { Ok(()) }
    }
}

/// All that is in a local file, or why it is refused. One that grows meanwhile is cut off at the limit, and refused.
pub(super) fn read(path: &Path, bound: Bound) -> io::Result<Result<Bytes, Refusal>> {
    let mut file = open_regular(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    Read::by_ref(&mut file).take(bound.start as u64).read_to_end(&mut bytes)?;
    if let Err(refusal) = bound.check_start(&bytes, size) {
        return Ok(Err(refusal));
    }
    bytes.reserve_exact(usize::try_from(size).unwrap_or_default().saturating_sub(bytes.len()));
    read_rest(file, &mut bytes, bound.limit)?;
    Ok(bound.check_length(bytes.len() as u64).map(|()| bytes.into()))
}

/// Reads one byte more than the limit, if there is one.
fn read_rest(source: impl Read, bytes: &mut Vec<u8>, limit: u64) -> io::Result<()> {
    let left = limit.saturating_add(1).saturating_sub(bytes.len() as u64);
    source.take(left).read_to_end(bytes).map(drop)
}

/// All that is in a local file.
///
/// # Errors
/// As [`open_regular`], what reading gives, and that the file is longer than the limit.
pub fn read_regular(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read(path, Bound::at_most(limit))?.map(Vec::from).map_err(too_long)
}

fn too_long(refusal: Refusal) -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, refusal)
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    /// Failed before: all of it was read, into as much memory, before anything was looked at.
    #[test]
    fn a_file_that_is_too_long_is_refused_by_its_length() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // More than the machine has memory for: it cannot have been read.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let words = "it has 1099511627776 bytes, and at most 100 are read of such a file";
        assert_eq!(read_regular(&path, 100).unwrap_err().to_string(), words);
        let checked =
            Bound { limit: 100, start: 4, check: |start, size| Err(format!("begins with {start:?} of {size}")) };
        let refused = read(&path, checked).unwrap().unwrap_err().to_string();
        assert_eq!(refused, "it begins with [0, 0, 0, 0] of 1099511627776");

        std::fs::write(&path, "abc").unwrap();
        assert_eq!(read_regular(&path, 3).unwrap(), b"abc");
        assert!(read_regular(&path, 2).is_err());
        let checked =
            Bound { limit: 3, start: 8, check: |start, _| if start == b"abc" { Ok(()) } else { Err(String::new()) } };
        assert_eq!(read(&path, checked).unwrap().unwrap(), "abc");
        std::fs::write(&path, "").unwrap();
        assert_eq!(read_regular(&path, 0).unwrap(), b"");
    }
}
