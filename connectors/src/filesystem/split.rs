//! A part of a file, as it crosses from the enumerator to a reader.
use bytes::{BufMut, Bytes, BytesMut};

/// Records of a file that begin at `start` or after, and before `end`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileSplit {
    pub(super) path: String,
    pub(super) start: u64,
    /// The largest number: to the end of the file.
    pub(super) end: u64,
}

impl FileSplit {
    pub(super) fn encode(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(16 + self.path.len());
        bytes.put_u64_le(self.start);
        bytes.put_u64_le(self.end);
        bytes.put_slice(self.path.as_bytes());
        bytes.freeze()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (start, rest) = bytes.split_first_chunk::<8>()?;
        let (end, path) = rest.split_first_chunk::<8>()?;
        let path = String::from_utf8(path.to_vec()).ok()?;
        Some(Self { path, start: u64::from_le_bytes(*start), end: u64::from_le_bytes(*end) })
    }
}
