//! How often the log is told what others, or a job that fails, can bring about again and again.
use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64;

use crate::config::saturating_millis;
use crate::time::{Clock, SystemClock};

/// Of what a job does again and again so many different lines are there in so long, ...
const OF_JOB: usize = 10;
/// ... and each of them so often: an ordinary job has few restarts, and all of its story is in the log.
const OF_THE_SAME: usize = 10;
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
    /// Different ones, where that counts.
    lines: usize,
    /// How often what was said in it, where that counts.
    said: HashMap<u64, usize>,
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

    /// Of what a job does again and again, such as to fail, with [`Self::admit_text`]: up to ten different lines, and each up to
    /// ten times, in ten seconds.
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

    /// [`Self::admit`] of a line that is the same whenever its text is: it may be there ten times in a period, and counts as one.
    pub fn admit_text(&self, text: &str, now: i64) -> Option<u64> {
        self.decide(Some(xxh3_64(text.as_bytes())), now)
    }

    /// How many lines were left out since the last one. For a line that says so and is the last of all.
    pub fn take_left_out(&self) -> u64 {
        std::mem::take(&mut self.window.lock().left_out)
    }

    fn decide(&self, text: Option<u64>, now: i64) -> Option<u64> {
        let mut window = self.window.lock();
        if window.begin.is_none_or(|begin| now.saturating_sub(begin) >= self.period) {
            window.begin = Some(now);
            window.lines = 0;
            window.said.clear();
        }
        if !window.admits(text, self.lines) {
            window.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut window.left_out))
    }
}

impl Window {
    /// Counts a line, if there may be one more.
    fn admits(&mut self, text: Option<u64>, most: usize) -> bool {
        if let Some(text) = text
            && let Some(times) = self.said.get_mut(&text)
        {
            let again = *times < OF_THE_SAME;
            *times += usize::from(again);
            return again;
        }
        if self.lines >= most {
            return false;
        }
        self.lines += 1;
        if let Some(text) = text {
            self.said.insert(text, 1);
        }
        true
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
        let said = |text, now| limit.admit_text(text, now);
        assert_eq!((0..10).filter_map(|now| said("a", now)).collect::<Vec<_>>(), vec![0; 10]);
        assert_eq!([said("a", 10), said("b", 11), said("a", 12), said("b", 13)], [None, Some(1), None, Some(1)]);
        // As many different lines as there may be.
        assert_eq!([said("c", 14), said("d", 15), said("c", 16)], [Some(0), None, Some(1)]);
        assert_eq!([said("d", 1_000), said("a", 1_001)], [Some(0), Some(0)]);
    }

    /// Before, the second attempt of a job was not in the log at all.
    #[test]
    fn a_few_lines_that_are_the_same_are_all_there() {
        let limit = Limit::of_job();
        assert_eq!([0, 500, 1_000].map(|now| limit.admit_text("t (1/1)", now)), [Some(0); 3]);
        assert_eq!(limit.take_left_out(), 0);
    }

    #[test]
    fn what_no_later_line_says_can_be_asked_for() {
        let limit = Limit::once_a_minute();
        assert_eq!([0, 1, 2].map(|now| limit.admit(now)), [Some(0), None, None]);
        assert_eq!([limit.take_left_out(), limit.take_left_out()], [2, 0]);
    }

    /// A clock that does not keep its promise makes no flood, and no silence for ever.
    #[test]
    fn a_clock_that_goes_back_begins_no_period() {
        let limit = Limit::new(1, SECOND);
        assert_eq!([5_000, 4_000, i64::MIN, 6_000].map(|now| limit.admit(now)), [Some(0), None, None, Some(2)]);
    }
}
