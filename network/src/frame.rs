//! The header that precedes every payload on a connection.
//!
//! 32 bytes, little endian: magic (4), version (1), kind (1), flags (1), zero (1), channel (4), backlog (4), sequence (8),
//! length of the payload (4), CRC32C of the 28 bytes before (4).
//!
//! With the flag 1 the payload is followed by its CRC32C (4), which is not part of its length. Frames that carry rows have it
//! where one end of the connection wants it, all others always.

/// `WSLD`: the first bytes of every frame.
pub const MAGIC: u32 = u32::from_le_bytes(*b"WSLD");
/// The version of the protocol that this build speaks.
pub const VERSION: u8 = 3;
/// Bytes of a header.
pub const HEADER_LENGTH: usize = 32;
/// Bytes of the check sum behind a payload.
pub const CHECKSUM_LENGTH: usize = 4;
/// The flag of a frame whose payload is followed by its check sum.
const CHECKED: u8 = 1;
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
    /// Consumer to producer: the first frame of a connection, what the consumer wants.
    Hello = 4,
    /// Consumer to producer: that the consumer has the cluster's secret.
    Proof = 5,
    /// Producer to consumer: rows.
    Data = 16,
    /// Producer to consumer: an event in its place.
    Event = 17,
    /// Producer to consumer: the channel ends here without an end of input; a reason as text.
    Failure = 18,
    /// Producer to consumer: what the producer wants, and what is to be proved.
    Challenge = 19,
    /// Producer to consumer: that the producer has the cluster's secret. Channels may be opened now.
    Welcome = 20,
}

impl Kind {
    const ALL: [Self; 10] = [
        Self::Open,
        Self::Credit,
        Self::Close,
        Self::Hello,
        Self::Proof,
        Self::Data,
        Self::Event,
        Self::Failure,
        Self::Challenge,
        Self::Welcome,
    ];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| *kind as u8 == byte)
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
    /// Bytes that follow, a check sum apart.
    pub length: u32,
    /// A check sum follows the payload.
    pub checked: bool,
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
    /// Damaged on the way, behind the header.
    #[error("the check sum of a frame's payload is wrong")]
    Payload,
    /// It should have a check sum.
    #[error("a frame comes without the check sum that was agreed on")]
    Unchecked,
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
        bytes[6] = if self.checked { CHECKED } else { 0 };
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
        let checked = bytes[6] & CHECKED != 0;
        Ok(Self { kind, channel: word(8), backlog: word(12), sequence, length, checked })
    }
}

/// Appends a whole frame of a kind that carries no rows.
pub fn put_control(out: &mut Vec<u8>, kind: Kind, channel: u32, sequence: u64, payload: &[u8]) {
    let header = Header { kind, channel, backlog: 0, sequence, length: payload.len() as u32, checked: true };
    out.extend_from_slice(&header.encode());
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32c::crc32c(payload).to_le_bytes());
}

/// Whether a payload is what was sent.
///
/// # Errors
/// [`Malformed::Payload`].
pub fn verify(payload: &[u8], checksum: [u8; CHECKSUM_LENGTH]) -> Result<(), Malformed> {
    if crc32c::crc32c(payload) == u32::from_le_bytes(checksum) { Ok(()) } else { Err(Malformed::Payload) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header() -> impl Strategy<Value = Header> {
        let kind = prop::sample::select(Kind::ALL.to_vec());
        let length = 0..=MAX_CONTROL_PAYLOAD as u32;
        (kind, any::<u32>(), any::<u32>(), any::<u64>(), length, any::<bool>()).prop_map(
            |(kind, channel, backlog, sequence, length, checked)| Header {
                kind,
                channel,
                backlog,
                sequence,
                length,
                checked,
            },
        )
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

    /// Before, only the header had a check sum: a flipped bit of a row or of a watermark went on into the results.
    #[test]
    fn a_damaged_payload_is_noticed() {
        let mut frame = Vec::new();
        put_control(&mut frame, Kind::Event, 3, 4, b"an event");
        let (payload, checksum) = frame[HEADER_LENGTH..].split_last_chunk::<CHECKSUM_LENGTH>().unwrap();
        assert_eq!(verify(payload, *checksum), Ok(()));
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(verify(&damaged, *checksum), Err(Malformed::Payload), "{bit}");
        }
    }

    #[test]
    fn a_control_frame_cannot_announce_a_huge_payload() {
        let length = MAX_PAYLOAD as u32;
        let header = Header { kind: Kind::Open, channel: 1, backlog: 0, sequence: 0, length, checked: true };
        assert_eq!(Header::decode(&header.encode()), Err(Malformed::Length(MAX_PAYLOAD as u32)));
    }
}
