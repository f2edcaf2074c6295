//! What travels between batches.
use bytes::{BufMut, Bytes, BytesMut};

/// Separates what belongs to a checkpoint from what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint's number.
    pub checkpoint: u64,
    /// When it was triggered, milliseconds since the epoch.
    pub timestamp: i64,
    /// It does not wait behind rows: those it overtakes are part of the checkpoint. Otherwise it keeps its place.
    pub urgent: bool,
    /// What the tasks have to say to each other about the checkpoint.
    pub options: Bytes,
}

/// An event in its place among a channel's batches. Events cost no credit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// No row at or below this event time (milliseconds) will follow, but for late ones.
    Watermark(i64),
    /// The channel takes no part in the watermark until it is active again.
    Idle,
    /// The channel takes part in the watermark again.
    Active,
    /// Separates what belongs to a checkpoint from what follows.
    Barrier(Barrier),
    /// Nothing will follow: everything there is was read.
    EndOfInput,
    /// Nothing will follow: the job is stopped and goes on elsewhere, from a savepoint.
    Stopped,
}

impl Event {
    /// Bytes of an encoded event, a barrier's options apart.
    const LENGTH: usize = 18;

    /// Bytes of options that a barrier may carry.
    pub const MAX_OPTIONS: usize = crate::frame::MAX_CONTROL_PAYLOAD - Self::LENGTH;

    /// Whether it is the last of its channel.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::EndOfInput | Self::Stopped)
    }

    /// The event as a frame's payload.
    pub fn encode(&self) -> Bytes {
        let (tag, first, second, urgent) = match self {
            Self::Watermark(time) => (1, *time as u64, 0, false),
            Self::Idle => (2, 0, 0, false),
            Self::Active => (3, 0, 0, false),
            Self::Barrier(barrier) => (4, barrier.checkpoint, barrier.timestamp as u64, barrier.urgent),
            Self::EndOfInput => (5, 0, 0, false),
            Self::Stopped => (6, 0, 0, false),
        };
        let options: &[u8] = if let Self::Barrier(barrier) = self { &barrier.options } else { &[] };
        let mut bytes = BytesMut::with_capacity(Self::LENGTH + options.len());
        bytes.put_u8(tag);
        bytes.put_u64_le(first);
        bytes.put_u64_le(second);
        bytes.put_u8(urgent.into());
        bytes.put_slice(options);
        bytes.freeze()
    }

    /// The event in a frame's payload; none if it is no event.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (head, options) = bytes.split_first_chunk::<{ Self::LENGTH }>()?;
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if head[0] == 4 {
            return Some(Self::Barrier(Barrier {
                checkpoint: number(1),
                timestamp: number(9) as i64,
                urgent: head[17] != 0,
                options: Bytes::copy_from_slice(options),
            }));
        }
        if !options.is_empty() {
            return None;
        }
        match head[0] {
            1 => Some(Self::Watermark(number(1) as i64)),
            2 => Some(Self::Idle),
            3 => Some(Self::Active),
            5 => Some(Self::EndOfInput),
            6 => Some(Self::Stopped),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn event() -> impl Strategy<Value = Event> {
        let barrier = (any::<u64>(), any::<i64>(), any::<bool>(), prop::collection::vec(any::<u8>(), 0..100)).prop_map(
            |(checkpoint, timestamp, urgent, options)| {
                Event::Barrier(Barrier { checkpoint, timestamp, urgent, options: options.into() })
            },
        );
        prop_oneof![
            any::<i64>().prop_map(Event::Watermark),
            Just(Event::Idle),
            Just(Event::Active),
            barrier,
            Just(Event::EndOfInput),
            Just(Event::Stopped)
        ]
    }

    proptest! {
        #[test]
        fn an_event_survives_the_wire(event in event()) {
            prop_assert_eq!(Event::decode(&event.encode()), Some(event));
        }

        #[test]
        fn what_is_no_event_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            if let Some(event) = Event::decode(&bytes) {
                prop_assert!(bytes.len() >= Event::LENGTH);
                prop_assert_eq!(Event::decode(&event.encode()), Some(event));
            }
        }
    }
}
