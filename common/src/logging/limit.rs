//! How often the log is told what others, or a job that fails, can bring about again and again.
use std::collections::HashSet;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::saturating_millis;
use crate::time::{Clock, SystemClock};

/// Of what a job does again and again so many different lines are there in so long.
const OF_JOB: usize = 10;
const AGAIN: Duration = Duration::from_secs(10);

/// So many lines in so long, from the first of them on. What is more is left out and counted, and the next line says how many
/// there were.
///
/// Times are milliseconds of a clock that only runs.
#[derive(Debug)]
pub struct Limit {
    lines: usize,
    period: i64,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    begin: Option<i64>,
    lines: usize,
    /// What was said in it, where that counts.
    said: HashSet<u64>,
    /// Since the last line, whatever window that was in.
    left_out: u64,
}

impl Limit {
    /// So many lines in each period.
    pub fn new(lines: usize, period: Duration) -> Self {
        Self { lines, period: saturating_millis(period), window: Mutex::default() }
    }

    /// A line at once, and then at most one a minute.
    pub fn once_a_minute() -> Self {
        Self::new(1, Duration::from_secs(60))
    }

    /// Of what a job does again and again, such as to fail, with [`Self::admit_new`]: what differs, up to ten lines, and the same
    /// once, in ten seconds.
    pub fn of_job() -> Self {
        Self::new(OF_JOB, AGAIN)
    }

    /// As [`Self::of_job`], but of as many things as there are, such as the tasks of the job.
    pub fn of_each() -> Self {
        Self::new(usize::MAX, AGAIN)
    }

    /// None: the line is left out. Else how many were left out before it.
    pub fn admit(&self, now: i64) -> Option<u64> {
        self.decide(None, now)
    }

    /// [`Self::admit`], by the machine's clock.
    pub fn admit_now(&self) -> Option<u64> {
        self.admit(SystemClock.monotonic_millis())
    }

    /// [`Self::admit`] of a line that is not said twice in a period.
    pub fn admit_new(&self, text: &str, now: i64) -> Option<u64> {
        self.decide(Some(xxh3_64(text.as_bytes())), now)
    }

    fn decide(&self, text: Option<u64>, now: i64) -> Option<u64> {
        let mut window = self.window.lock();
        if window.begin.is_none_or(|begin| now.saturating_sub(begin) >= self.period) {
            window.begin = Some(now);
            window.lines = 0;
            window.said.clear();
        }
        if window.lines >= self.lines || text.is_some_and(|text| !window.said.insert(text)) {
            window.left_out += 1;
            return None;
        }
        window.lines += 1;
        Some(std::mem::take(&mut window.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Before, each connection that the data plane refused was a line in the log.
    #[test]
    fn what_comes_again_and_again_is_said_once_and_counted() {
        let limit = Limit::once_a_minute();
        assert_eq!([0, 1, 30_000, 59_999].map(|now| limit.admit(now)), [Some(0), None, None, None]);
        assert_eq!([60_000, 60_001].map(|now| limit.admit(now)), [Some(3), None]);
        assert_eq!(limit.admit(500_000), Some(1));
    }

    #[test]
    fn of_many_lines_a_few_are_there() {
        let limit = Limit::new(10, SECOND);
        assert_eq!((5..505).filter_map(|now| limit.admit(now)).collect::<Vec<_>>(), vec![0; 10]);
        assert_eq!(limit.admit(1_004), None);
        assert_eq!(limit.admit(1_005), Some(491), "the next line says how many are missing");
        assert_eq!(limit.admit(1_006), Some(0));
    }

    #[test]
    fn what_is_new_is_said_beside_what_is_not() {
        let limit = Limit::new(3, SECOND);
        let said = |text, now| limit.admit_new(text, now);
        assert_eq!(
            [said("a", 0), said("a", 1), said("b", 2), said("a", 3), said("b", 4)],
            [Some(0), None, Some(1), None, None]
        );
        // As many different lines as there may be.
        assert_eq!([said("c", 5), said("d", 6)], [Some(2), None]);
        assert_eq!([said("d", 1_000), said("a", 1_001)], [Some(1), Some(0)]);
    }

    /// A clock that does not keep its promise makes no flood, and no silence for ever.
    #[test]
    fn a_clock_that_goes_back_begins_no_period() {
        let limit = Limit::new(1, SECOND);
        assert_eq!([5_000, 4_000, i64::MIN, 6_000].map(|now| limit.admit(now)), [Some(0), None, None, Some(2)]);
    }
}
