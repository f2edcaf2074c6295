//! The first window of a slice that is not complete yet.
use std::ops::Range;

use super::assigner::{WindowAssigner, WindowZone};
use crate::element::MIN_WATERMARK;
use crate::ending::Steps;
use crate::operator::Result;

/// Finds them. Windows end at the same distance from one another, whichever slice they hold: what was found for one slice is
/// known of the windows of the others, so that each window is looked at about once and not once a slice.
pub(super) struct OpenWindows {
    assigner: WindowAssigner,
    zone: WindowZone,
    /// How far event time had come at the last question.
    passed: i64,
    /// Windows that end here are complete: from the first one to the one that was looked at last.
    complete: Range<i64>,
    steps: Steps,
    /// How many windows were looked at.
    #[cfg(test)]
    pub(super) looked_at: u64,
}

impl OpenWindows {
    pub(super) fn new(assigner: WindowAssigner, zone: WindowZone) -> Self {
        Self {
            assigner,
            zone,
            passed: MIN_WATERMARK,
            complete: 0..0,
            steps: Steps::default(),
            #[cfg(test)]
            looked_at: 0,
        }
    }

    /// The first window that holds a slice and is not complete when event time has come so far; none if they all are.
    ///
    /// # Errors
    /// [`crate::operator::Error::Cancelled`]: the task is to end.
    pub(super) fn first_of(&mut self, slice_end: i64, passed: i64) -> Result<Option<i64>> {
        if passed < self.passed {
            self.complete = 0..0;
        }
        self.passed = passed;
        let last = self.assigner.last_window_of(slice_end);
        let mut window = slice_end;
        let open = loop {
            window = self.behind_complete(window);
            if window > last {
                break None;
            }
            if self.is_open(window)? {
                break Some(window);
            }
            match window.checked_add(self.assigner.slice()) {
                Some(next) => window = next,
                // The end of time.
                None => return Ok(None),
            }
        };
        self.remember(slice_end..window);
        Ok(open)
    }

    fn is_open(&mut self, window: i64) -> Result<bool> {
        self.steps.step()?;
        #[cfg(test)]
        {
            self.looked_at += 1;
        }
        Ok(self.zone.trigger(window) > self.passed)
    }

    /// This window, or the first one behind it that is not known to be complete.
    fn behind_complete(&self, window: i64) -> i64 {
        match self.complete.contains(&window) && self.are_in_step(window, self.complete.end) {
            true => self.complete.end,
            false => window,
        }
    }

    /// Whether windows that end at these times are among the same ones. They are not where times wrap around.
    fn are_in_step(&self, a: i64, b: i64) -> bool {
        b.checked_sub(a).is_some_and(|apart| apart % self.assigner.slice() == 0)
    }

    /// Notes that these windows are complete.
    fn remember(&mut self, found: Range<i64>) {
        if found.is_empty() {
            return;
        }
        let touches = found.start <= self.complete.end && self.complete.start <= found.end;
        self.complete = match touches && self.are_in_step(found.end, self.complete.end) {
            true => found.start.min(self.complete.start)..found.end.max(self.complete.end),
            false => found,
        };
    }
}
