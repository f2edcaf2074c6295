//! What travels between batches.

/// An event in its place among a channel's batches. Events cost no credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// No row at or below this event time (milliseconds) will follow, but for late ones.
    Watermark(i64),
    /// The channel takes no part in the watermark until it is active again.
    Idle,
    /// The channel takes part in the watermark again.
    Active,
    /// Separates what belongs to a checkpoint from what follows.
    Barrier {
        /// The checkpoint's number.
        checkpoint: u64,
        /// When it was triggered, milliseconds since the epoch.
        timestamp: i64,
    },
    /// Nothing will follow.
    EndOfInput,
}

impl Event {
    /// Bytes of an encoded event.
    pub const LENGTH: usize = 17;

    /// The event as a frame's payload.
    pub fn encode(self) -> [u8; Self::LENGTH] {
        let (tag, first, second) = match self {
            Self::Watermark(time) => (1, time as u64, 0),
            Self::Idle => (2, 0, 0),
            Self::Active => (3, 0, 0),
            Self::Barrier { checkpoint, timestamp } => (4, checkpoint, timestamp as u64),
            Self::EndOfInput => (5, 0, 0),
        };
        let mut bytes = [0; Self::LENGTH];
        bytes[0] = tag;
        bytes[1..9].copy_from_slice(&first.to_le_bytes());
        bytes[9..].copy_from_slice(&second.to_le_bytes());
        bytes
    }

    /// The event in a frame's payload; none if it is no event.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().ok()?;
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        match bytes[0] {
            1 => Some(Self::Watermark(number(1) as i64)),
            2 => Some(Self::Idle),
            3 => Some(Self::Active),
            4 => Some(Self::Barrier { checkpoint: number(1), timestamp: number(9) as i64 }),
            5 => Some(Self::EndOfInput),
            _ => None,
        }
    }
}
