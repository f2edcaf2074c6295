//! When a part file is complete: `sink.rolling-policy.*`.
use crate::options::{Options, Result, invalid};

/// The limits of a part file. Times in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RollingPolicy {
    /// A file larger than this takes no more rows.
    pub(super) file_size: u64,
    /// How long a file takes rows.
    pub(super) rollover_interval: i64,
    /// How long a file waits for rows.
    pub(super) inactivity_interval: i64,
    /// How often the two are looked at.
    pub(super) check_interval: i64,
}

impl RollingPolicy {
    pub(super) fn new(options: Options<'_>) -> Result<Self> {
        let minutes = |key: &str, default: u64| -> Result<i64> {
            let millis = options.duration(key)?.unwrap_or(default * 60_000);
            Ok(i64::try_from(millis).unwrap_or(i64::MAX))
        };
        let policy = Self {
            file_size: options.size("sink.rolling-policy.file-size")?.unwrap_or(128 << 20),
            rollover_interval: minutes("sink.rolling-policy.rollover-interval", 30)?,
            inactivity_interval: minutes("sink.rolling-policy.inactivity-interval", 30)?,
            check_interval: minutes("sink.rolling-policy.check-interval", 1)?,
        };
        // Durations below a millisecond are none: files would be complete before they have a row.
        for (name, millis) in [
            ("check-interval", policy.check_interval),
            ("rollover-interval", policy.rollover_interval),
            ("inactivity-interval", policy.inactivity_interval),
        ] {
            if millis == 0 {
                return invalid(format!("Option 'sink.rolling-policy.{name}' must be at least 1 ms."));
            }
        }
        if policy.file_size == 0 {
            return invalid("Option 'sink.rolling-policy.file-size' must be at least 1 byte.");
        }
        Ok(policy)
    }

    /// A file of so many bytes, before it takes a row or at a checkpoint.
    pub(super) fn is_full(&self, size: u64) -> bool {
        size > self.file_size
    }

    /// A file that was begun and last written to at these times.
    pub(super) fn is_old(&self, created: i64, updated: i64, now: i64) -> bool {
        now - created >= self.rollover_interval || now - updated >= self.inactivity_interval
    }
}
