//! The header that precedes every payload on a connection.
//!
//! 32 bytes, little endian: magic (4), version (1), kind (1), zero (2), channel (4), backlog (4), sequence (8),
//! length of the payload (4), CRC32C of the 28 bytes before (4).

/// `WSLD`: the first bytes of every frame.
pub const MAGIC: u32 = u32::from_le_bytes(*b"WSLD");
/// The version of the protocol that this build speaks.
pub const VERSION: u8 = 2;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 32;
/// The longest payload of a frame that carries rows.
pub const MAX_PAYLOAD: usize = 1 << 30;
/// The longest payload of any other frame.
pub const MAX_CONTROL_PAYLOAD: usize = 16 << 10;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Consumer to producer: asks for a channel; key, initial credit, check sum of the schema.
    Open = 1,
    /// Consumer to producer: bytes that may be sent in addition.
    Credit = 2,
    /// Consumer to producer: the channel is no longer wanted.
    Close = 3,
    /// Producer to consumer: rows.
    Data = 16,
    /// Producer to consumer: an event in its place.
    Event = 17,
    /// Producer to consumer: the channel ends here without an end of input; a reason as text.
    Failure = 18,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Open, Self::Credit, Self::Close, Self::Data, Self::Event, Self::Failure]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The channel, as the consumer numbered it when it opened it.
    pub channel: u32,
    /// Bytes that wait behind this frame on its channel, at most what fits.
    pub backlog: u32,
    /// Counts the frames of a channel in one direction, from 0.
    pub sequence: u64,
    /// Bytes that follow.
    pub length: u32,
}

/// Bytes that are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not even the first bytes fit.
    #[error("this is no frame of the data plane (first bytes {0:#010x})")]
    Magic(u32),
    /// Damaged on the way.
    #[error("the check sum of a frame's header is wrong")]
    Checksum,
    /// Written by another version.
    #[error("the peer speaks version {0} of the data plane, this is version {VERSION}")]
    Version(u8),
    /// A kind that this version does not know.
    #[error("a frame of the unknown kind {0}")]
    Kind(u8),
    /// Longer than a frame of its kind may be.
    #[error("a frame of {0} bytes is longer than its kind allows")]
    Length(u32),
}

impl Header {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
        bytes[4] = VERSION;
        bytes[5] = self.kind as u8;
        bytes[8..12].copy_from_slice(&self.channel.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.backlog.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.length.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header.
    ///
    /// # Errors
    /// [`Malformed`] says what is wrong; nothing of such a header may be believed, its length least of all.
    pub fn decode(bytes: &[u8; HEADER_LENGTH]) -> Result<Self, Malformed> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if word(0) != MAGIC {
            return Err(Malformed::Magic(word(0)));
        }
        if crc32c::crc32c(&bytes[..28]) != word(28) {
            return Err(Malformed::Checksum);
        }
        if bytes[4] != VERSION {
            return Err(Malformed::Version(bytes[4]));
        }
        let kind = Kind::from_byte(bytes[5]).ok_or(Malformed::Kind(bytes[5]))?;
        let length = word(24);
        let max = if kind == Kind::Data { MAX_PAYLOAD } else { MAX_CONTROL_PAYLOAD };
        if length as usize > max {
            return Err(Malformed::Length(length));
        }
        let sequence = u64::from(word(16)) | u64::from(word(20)) << 32;
        Ok(Self { kind, channel: word(8), backlog: word(12), sequence, length })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let kind = prop_oneof![
            Just(Kind::Open),
            Just(Kind::Credit),
            Just(Kind::Close),
            Just(Kind::Data),
            Just(Kind::Event),
            Just(Kind::Failure)
        ];
        (kind, any::<u32>(), any::<u32>(), any::<u64>(), 0..=MAX_CONTROL_PAYLOAD as u32)
            .prop_map(|(kind, channel, backlog, sequence, length)| Header { kind, channel, backlog, sequence, length })
    }

    proptest! {
        #[test]
        fn a_header_survives_the_wire(header in header()) {
            prop_assert_eq!(Header::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn a_flipped_bit_is_noticed(header in header(), bit in 0..HEADER_LENGTH * 8) {
            let mut bytes = header.encode();
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Header::decode(&bytes).is_err());
        }

        #[test]
        fn garbage_is_refused(bytes in any::<[u8; HEADER_LENGTH]>()) {
            prop_assert!(Header::decode(&bytes).is_err());
        }
    }

    #[test]
    fn a_control_frame_cannot_announce_a_huge_payload() {
        let header = Header { kind: Kind::Open, channel: 1, backlog: 0, sequence: 0, length: MAX_PAYLOAD as u32 };
        assert_eq!(Header::decode(&header.encode()), Err(Malformed::Length(MAX_PAYLOAD as u32)));
    }
}
