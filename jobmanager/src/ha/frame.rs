//! A record as it is stored.
//!
//! ```text
//! magic "WHAR" | format: u8 | state: u8, 1 there, 0 deleted | epoch: u64 | nonce: 16 bytes | CRC-32C of all else: u32 | content
//! ```
//!
//! Numbers are big endian. The nonce is drawn for each write: so no two contents are equal, and it is the version of the record.
use bytes::{Buf, BufMut, Bytes, BytesMut};
use wiesel_common::random;

use super::Version;

const MAGIC: &[u8] = b"WHAR";
/// What this release writes, and the one that it reads.
const FORMAT: u8 = 1;
const THERE: u8 = 1;
const DELETED: u8 = 0;
const BEFORE_CHECKSUM: usize = MAGIC.len() + 2 + 8 + 16;
/// Bytes before the content.
pub(super) const HEADER: usize = BEFORE_CHECKSUM + 4;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// That of the leader that wrote it.
    pub(super) epoch: u64,
    nonce: [u8; 16],
    /// None: it was deleted.
    pub(super) content: Option<Bytes>,
}

impl Frame {
    /// One that was never written before.
    pub(super) fn new(epoch: u64, content: Option<Bytes>) -> Self {
        Self { epoch, nonce: *random::uuid().as_bytes(), content }
    }

    pub(super) fn version(&self) -> Version {
        Version(self.nonce.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn to_bytes(&self) -> Bytes {
        let content = self.content.as_deref().unwrap_or_default();
        let mut bytes = BytesMut::with_capacity(HEADER + content.len());
        bytes.put_slice(MAGIC);
        bytes.put_u8(FORMAT);
        bytes.put_u8(if self.content.is_some() { THERE } else { DELETED });
        bytes.put_u64(self.epoch);
        bytes.put_slice(&self.nonce);
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&bytes), content);
        bytes.put_u32(checksum);
        bytes.put_slice(content);
        bytes.freeze()
    }

    /// What was stored, or what is wrong with it.
    pub(super) fn from_bytes(bytes: &Bytes) -> Result<Self, String> {
        if !bytes.starts_with(MAGIC) {
            return Err("it does not begin as one".to_owned());
        }
        if bytes.len() < HEADER {
            return Err(format!("it has only {} bytes", bytes.len()));
        }
        let mut header = bytes.slice(MAGIC.len()..HEADER);
        let (format, state) = (header.get_u8(), header.get_u8());
        if format != FORMAT {
            return Err(format!("it has the format {format}, and this release reads {FORMAT}"));
        }
        let epoch = header.get_u64();
        let mut nonce = [0; 16];
        header.copy_to_slice(&mut nonce);
        let content = bytes.slice(HEADER..);
        if crc32c::crc32c_append(crc32c::crc32c(&bytes[..BEFORE_CHECKSUM]), &content) != header.get_u32() {
            return Err("its checksum is wrong".to_owned());
        }
        match state {
            THERE => Ok(Self { epoch, nonce, content: Some(content) }),
            DELETED if content.is_empty() => Ok(Self { epoch, nonce, content: None }),
            _ => Err(format!("it has the state {state}, which this release does not know")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for content in [Some(Bytes::new()), Some(Bytes::from_static(b"abc")), None] {
            let frame = Frame::new(u64::MAX, content);
            assert_eq!(Frame::from_bytes(&frame.to_bytes()), Ok(frame.clone()));
            let again = Frame::new(u64::MAX, frame.content.clone());
            assert!(again.to_bytes() != frame.to_bytes() && again.version() != frame.version());
        }
    }

    #[test]
    fn what_is_damaged_is_not_believed() {
        let bytes = Frame::new(7, Some(Bytes::from_static(b"abc"))).to_bytes();
        for place in 0..bytes.len() {
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 1;
            assert!(Frame::from_bytes(&damaged.into()).is_err(), "{place}");
            assert!(Frame::from_bytes(&bytes.slice(..place)).is_err(), "{place}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(Frame::from_bytes(&longer.into()).is_err());
        let error = Frame::from_bytes(&Bytes::from_static(b"{}")).unwrap_err();
        assert_eq!(error, "it does not begin as one");
    }
}
