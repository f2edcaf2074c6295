//! When which key groups of a table in memory are looked through for expired entries: what is never read again does not stay for
//! ever.
use std::sync::Arc;

use wiesel_state::ttl::Ttl;

use super::Group;

/// How many times in a time to live all key groups of a table are looked through. So what has expired stays for about a quarter of
/// it, however many key groups there are and however seldom tables are written or snapshots taken; longer where it is more than
/// is looked at in one go.
const ROUNDS: i64 = 4;
/// Entries that are looked at in one go, but for the rest of a key group: the task waits meanwhile.
const LOOKED_AT: usize = if cfg!(test) { 8 } else { 1 << 16 };

/// How far a table was looked through.
pub(super) struct Cleaning {
    /// The key group that is next.
    next: usize,
    /// Milliseconds since the epoch: all that was due until then is done.
    until: i64,
}

impl Cleaning {
    /// Of a table of which nothing is due yet.
    pub(super) fn new(now: i64) -> Self {
        Self { next: 0, until: now }
    }

    /// Drops what has expired in the key groups that are due by now.
    pub(super) fn clean(&mut self, groups: &mut [Group], ttl: Ttl) {
        if ttl.millis == 0 || groups.is_empty() {
            return;
        }
        let round = (i64::try_from(ttl.millis).unwrap_or(i64::MAX) / ROUNDS).max(1);
        // More than one round is never due, nor is anything where the clock was put back.
        let passed = ttl.now.saturating_sub(self.until).clamp(0, round);
        let (count, round) = (groups.len() as i128, i128::from(round));
        let due = i128::from(passed) * count / round;
        let (mut cleaned, mut looked_at) = (0, 0);
        while cleaned < due && looked_at < LOOKED_AT {
            let group = &mut groups[self.next];
            looked_at += group.len();
            // Not while a snapshot holds it: that would copy it.
            if let Some(entries) = Arc::get_mut(group) {
                entries.retain(|_, value| !ttl.expired(value));
            }
            self.next = (self.next + 1) % groups.len();
            cleaned += 1;
        }
        // No more than what has passed: `cleaned` is no more than what was due.
        let done = (cleaned * round / count) as i64;
        self.until = ttl.now.saturating_sub(passed - done);
    }
}
