//! How far event time, or in processing time the clock, has come: which windows were emitted, which rows are late.
//!
//! It is kept by key group. Subtasks come to a barrier with different progress where it overtakes watermarks, and always in
//! processing time; when key groups of several of them come together in one, each goes on where it was, so that no window is
//! emitted twice or left out, and no row is late that was not before.
//!
//! What a slice held when it was restored may be part of windows that were emitted already; what it got since is not. So it is
//! asked of a slice, a window and a key group whether the window was emitted, and never of a window alone.
use std::ops::Range;

use arrow::array::ArrayRef;
use wiesel_common::keygroup;

use crate::element::{MAX_WATERMARK, MIN_WATERMARK};
use crate::operator::{OperatorContext, Result};
use crate::state::table::key_groups;

/// The key groups of a subtask.
pub(super) fn own_key_groups(context: &OperatorContext) -> Range<u32> {
    keygroup::key_groups(context.subtask, context.parallelism, context.max_parallelism)
}

/// The progress of a subtask.
pub(super) struct Progress {
    /// The last watermark, or in processing time the last timer: the least of all key groups.
    now: i64,
    /// Where key groups were when the subtask began, from the first one on; empty once all have come as far.
    before: Vec<i64>,
    groups: Range<u32>,
    max_parallelism: u32,
}

impl Progress {
    pub(super) fn new(context: &OperatorContext) -> Self {
        let groups = own_key_groups(context);
        Self { now: MIN_WATERMARK, before: Vec::new(), groups, max_parallelism: context.max_parallelism }
    }

    /// Goes on where key groups were, in their order.
    pub(super) fn restore(&mut self, mut before: Vec<i64>) {
        // As in Flink, what had come to the end of its input starts anew if there is more: where the others are.
        self.now = before.iter().copied().filter(|before| *before != MAX_WATERMARK).min().unwrap_or(MIN_WATERMARK);
        before.iter_mut().filter(|before| **before == MAX_WATERMARK).for_each(|before| *before = self.now);
        self.before = before;
        self.settle();
    }

    /// The progress of the subtask as a whole.
    pub(super) fn now(&self) -> i64 {
        self.now
    }

    /// The key groups of the subtask.
    pub(super) fn key_groups(&self) -> Range<u32> {
        self.groups.clone()
    }

    /// The job's number of key groups.
    pub(super) fn max_parallelism(&self) -> u32 {
        self.max_parallelism
    }

    /// The progress of each key group.
    pub(super) fn by_key_group(&self) -> Vec<i64> {
        let before = |at: usize| self.before.get(at).copied().unwrap_or(MIN_WATERMARK);
        (0..self.groups.len()).map(|at| before(at).max(self.now)).collect()
    }

    pub(super) fn advance(&mut self, now: i64) {
        self.now = self.now.max(now);
    }

    /// Forgets where key groups were once all have come as far.
    pub(super) fn settle(&mut self) {
        if self.before.iter().all(|before| *before <= self.now) {
            self.before.clear();
        }
    }

    /// Whether a time has passed for any key group.
    pub(super) fn may_have_passed(&self, time: i64) -> bool {
        time <= self.now || self.before.iter().any(|before| time <= *before)
    }

    /// Whether each row's time has passed for the key group of its key.
    pub(super) fn passed(&self, times: impl Iterator<Item = i64>, keys: &[ArrayRef], rows: usize) -> Result<Vec<bool>> {
        if self.before.is_empty() {
            return Ok(times.map(|time| time <= self.now).collect());
        }
        let groups = key_groups(keys, rows, self.max_parallelism)?;
        let passed = |(time, group): (i64, u16)| time <= self.now.max(self.before(u32::from(group)));
        Ok(times.zip(groups).map(passed).collect())
    }

    /// Whether a window that is complete at this time may have been emitted, with any slice and for any key group, when the
    /// subtask began.
    pub(super) fn may_have_emitted(&self, trigger: i64) -> bool {
        self.before.iter().any(|before| trigger <= *before)
    }

    /// Whether a window had been emitted with a slice, for any key group, when the subtask began.
    pub(super) fn any_emitted(&self, part: WindowPart) -> bool {
        self.before.iter().any(|before| part.was_emitted(*before))
    }

    /// Whether a window had been emitted with a slice, for a key group, when the subtask began.
    pub(super) fn was_emitted(&self, part: WindowPart, key_group: u32) -> bool {
        part.was_emitted(self.before(key_group))
    }

    /// Whether a window had been emitted with a slice, for the key group of each key, when the subtask began.
    pub(super) fn were_emitted(&self, part: WindowPart, keys: &[ArrayRef], rows: usize) -> Result<Vec<bool>> {
        let groups = key_groups(keys, rows, self.max_parallelism)?;
        Ok(groups.into_iter().map(|group| self.was_emitted(part, u32::from(group))).collect())
    }

    fn before(&self, key_group: u32) -> i64 {
        let at = key_group.checked_sub(self.groups.start).map(|at| at as usize);
        at.and_then(|at| self.before.get(at)).copied().unwrap_or(MIN_WATERMARK)
    }
}

/// A slice as a part of a window.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowPart {
    /// When the window is complete.
    pub(super) window: i64,
    /// When the last window that holds the slice is complete.
    pub(super) last: i64,
}

impl WindowPart {
    /// By a key group that was so far. If the last window had passed nothing of the slice was left: what is there came since,
    /// when a clock had been put back.
    fn was_emitted(self, before: i64) -> bool {
        self.window <= before && before < self.last
    }
}
