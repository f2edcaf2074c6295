//! What travels between batches.
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};

/// Separates what belongs to a checkpoint from what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Barrier {
    /// The checkpoint's number.
    pub checkpoint: u64,
    /// When the checkpoint began, by this process's own clock, which no other's is compared with: a barrier comes with its
    /// age. The time that its frame was on its way is missing from it.
    pub began: Instant,
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
    /// Separates rows that were in flight when the state was written that the job starts from, and are sent again, from those
    /// that are new. No barrier overtakes it: a later state must not hold both as rows in flight, for their order across
    /// channels would be lost.
    Replayed,
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

    /// The event as the payload of a frame that is sent now.
    pub fn encode(&self, now: Instant) -> Bytes {
        let (tag, first, second, urgent) = match self {
            Self::Watermark(time) => (1, *time as u64, 0, false),
            Self::Idle => (2, 0, 0, false),
            Self::Active => (3, 0, 0, false),
            Self::Barrier(barrier) => {
                let age = now.saturating_duration_since(barrier.began).as_millis();
                (4, barrier.checkpoint, u64::try_from(age).unwrap_or(u64::MAX), barrier.urgent)
            }
            Self::EndOfInput => (5, 0, 0, false),
            Self::Stopped => (6, 0, 0, false),
            Self::Replayed => (7, 0, 0, false),
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

    /// The event in the payload of a frame that came now; none if it is no event.
    pub fn decode(bytes: &[u8], now: Instant) -> Option<Self> {
        let (head, options) = bytes.split_first_chunk::<{ Self::LENGTH }>()?;
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&head[at..at + 8]);
            u64::from_le_bytes(word)
        };
        if head[0] == 4 {
            return Some(Self::Barrier(Barrier {
                checkpoint: number(1),
                began: now.checked_sub(Duration::from_millis(number(9)))?,
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
            7 => Some(Self::Replayed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// With the age that a barrier has at the given time.
    fn event(now: Instant) -> impl Strategy<Value = Event> {
        let options = prop::collection::vec(any::<u8>(), 0..100);
        let barrier =
            (any::<u64>(), any::<u32>(), any::<bool>(), options).prop_map(move |(checkpoint, age, urgent, options)| {
                let began = now - Duration::from_millis(age.into());
                Event::Barrier(Barrier { checkpoint, began, urgent, options: options.into() })
            });
        prop_oneof![
            any::<i64>().prop_map(Event::Watermark),
            Just(Event::Idle),
            Just(Event::Active),
            barrier,
            Just(Event::EndOfInput),
            Just(Event::Stopped),
            Just(Event::Replayed)
        ]
    }

    #[test]
    fn an_event_survives_the_wire_and_a_barrier_keeps_its_age() {
        let (sent, received) = (Instant::now(), Instant::now() + Duration::from_secs(3600));
        proptest!(|(event in event(sent))| {
            let expected = match event.clone() {
                Event::Barrier(barrier) => Event::Barrier(Barrier { began: received - (sent - barrier.began), ..barrier }),
                other => other,
            };
            prop_assert_eq!(Event::decode(&event.encode(sent), received), Some(expected));
        });
    }

    proptest! {
        #[test]
        fn what_is_no_event_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let now = Instant::now();
            if let Some(event) = Event::decode(&bytes, now) {
                prop_assert!(bytes.len() >= Event::LENGTH);
                prop_assert_eq!(Event::decode(&event.encode(now), now), Some(event));
            }
        }
    }
}
