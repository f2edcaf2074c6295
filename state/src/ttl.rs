//! Time-to-live: when an entry is not there any more.
use wiesel_proto as proto;

/// Bytes before a value in a table with a time-to-live: its last write (`i64`, big endian, milliseconds).
pub const PREFIX: usize = 8;

/// The time-to-live of a table and the time at which it is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Ttl {
    /// Milliseconds; 0: entries stay for ever.
    pub millis: u64,
    /// Milliseconds since the epoch.
    pub now: i64,
}

impl Ttl {
    /// That of a table, at a time in milliseconds since the epoch.
    pub fn of(descriptor: &proto::StateTableDescriptor, now: i64) -> Self {
        Self { millis: descriptor.ttl, now }
    }

    /// Whether an entry with this value is gone. A value too short to have a time is kept: the operator will complain.
    pub fn expired(self, value: &[u8]) -> bool {
        if self.millis == 0 {
            return false;
        }
        match value.first_chunk::<PREFIX>() {
            Some(written) => {
                let millis = i64::try_from(self.millis).unwrap_or(i64::MAX);
                i64::from_be_bytes(*written).saturating_add(millis) <= self.now
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_when_its_time_has_come() {
        let value = 1_000i64.to_be_bytes();
        assert!(!Ttl { millis: 500, now: 1_499 }.expired(&value));
        assert!(Ttl { millis: 500, now: 1_500 }.expired(&value));
        assert!(!Ttl { millis: 0, now: i64::MAX }.expired(&value));
        assert!(!Ttl { millis: u64::MAX, now: i64::MAX - 1 }.expired(&value));
        assert!(!Ttl { millis: 500, now: i64::MAX }.expired(b"short"));
    }
}
