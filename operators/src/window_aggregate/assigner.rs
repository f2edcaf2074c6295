//! Which slices and windows there are. A slice is the longest stretch of time that all windows hold whole or not at all: a
//! row is aggregated once, into its slice, and windows are put together from slices.
//!
//! Slices and windows are named by their ends, in milliseconds of local time: a `TIMESTAMP` is local time, a
//! `TIMESTAMP_LTZ` is shifted by the session's time zone first.
use std::ops::Range;

use wiesel_expressions::expression::Zone;
use wiesel_proto as proto;

use crate::element::MIN_WATERMARK;
use crate::operator::{Error, Result};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
/// The most windows that may hold one row. Flink takes 2^31, and ends with its memory.
pub const MAX_WINDOWS: i64 = 100_000;

/// The windows of a table function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowAssigner {
    /// Windows of `size`, one after the other.
    Tumble {
        /// Milliseconds.
        size: i64,
        /// Milliseconds by which windows start later.
        offset: i64,
    },
    /// Windows of `size` that start every `slide`.
    Hop {
        /// Milliseconds.
        size: i64,
        /// Milliseconds.
        slide: i64,
        /// Milliseconds by which windows start later.
        offset: i64,
    },
    /// Windows that start every `size` and end every `step` after that, up to `size`.
    Cumulate {
        /// Milliseconds.
        size: i64,
        /// Milliseconds.
        step: i64,
        /// Milliseconds by which windows start later.
        offset: i64,
    },
}

impl WindowAssigner {
    /// From its specification.
    ///
    /// # Errors
    /// A length is not positive, or there would be more than [`MAX_WINDOWS`] of a row.
    pub fn new(spec: &proto::WindowSpec) -> Result<Self> {
        let (size, slide, offset) = (spec.size, spec.slide, spec.offset);
        let assigner = match spec.kind() {
            proto::WindowKind::Tumble => Self::Tumble { size, offset },
            proto::WindowKind::Hop => Self::Hop { size, slide, offset },
            proto::WindowKind::Cumulate => Self::Cumulate { size, step: slide, offset },
        };
        if size <= 0 || assigner.slice() <= 0 {
            return Err(Error::Plan(format!("a window of {size} ms every {slide} ms: lengths must be positive")));
        }
        if size / assigner.slice() > MAX_WINDOWS {
            return Err(Error::Plan(format!(
                "a window of {size} ms every {slide} ms: a row may be in {MAX_WINDOWS} windows at most"
            )));
        }
        Ok(assigner)
    }

    /// That windows are made of whole slices.
    ///
    /// # Errors
    /// They are not.
    pub fn check_slices(self) -> Result<Self> {
        match self {
            Self::Hop { size, slide: slice, .. } | Self::Cumulate { size, step: slice, .. } if size % slice != 0 => {
                Err(Error::Plan(format!("a window of {size} ms is no multiple of {slice} ms")))
            }
            _ => Ok(self),
        }
    }

    /// The length of a slice.
    pub fn slice(self) -> i64 {
        match self {
            Self::Tumble { size, .. } => size,
            Self::Hop { slide, .. } => slide,
            Self::Cumulate { step, .. } => step,
        }
    }

    fn offset(self) -> i64 {
        match self {
            Self::Tumble { offset, .. } | Self::Hop { offset, .. } | Self::Cumulate { offset, .. } => offset,
        }
    }

    /// The end of the slice that holds a time.
    pub fn slice_end(self, time: i64) -> i64 {
        floor(time, self.offset(), self.slice()).wrapping_add(self.slice())
    }

    /// The window after this one of those that hold a slice: by their ends, the first ends with the slice, and another one with
    /// each slice from there on.
    pub fn next_window_of(self, slice_end: i64, window_end: i64) -> Option<i64> {
        let next = window_end.checked_add(self.slice())?;
        (next <= self.last_window_of(slice_end)).then_some(next)
    }

    /// The end of the last window that holds a slice.
    pub fn last_window_of(self, slice_end: i64) -> i64 {
        match self {
            Self::Tumble { .. } => slice_end,
            Self::Hop { size, slide, .. } => slice_end.wrapping_add(size - slide),
            Self::Cumulate { size, .. } => self.window_start(slice_end).wrapping_add(size),
        }
    }

    /// The end of the first window that is not complete when event time has come so far. Windows are complete in the order of
    /// their ends ([`WindowZone::trigger`]), and end at the same distance from one another, whichever slices they hold: so of a
    /// slice that ends before it, this is the first window that is not complete, if there is one.
    pub fn first_open(self, zone: WindowZone, passed: i64) -> i64 {
        self.slice_end(zone.last_complete(passed))
    }

    /// The start of the window with this end.
    pub fn window_start(self, window_end: i64) -> i64 {
        match self {
            Self::Tumble { size, .. } | Self::Hop { size, .. } => window_end.wrapping_sub(size),
            Self::Cumulate { size, offset, .. } => floor(window_end.wrapping_sub(1), offset, size),
        }
    }

    /// The windows that hold a time, as start and end, in the order in which Flink lists them.
    pub fn windows_at(self, time: i64, windows: &mut Vec<(i64, i64)>) {
        match self {
            Self::Tumble { size, offset } => {
                let start = floor(time, offset, size);
                windows.push((start, start.wrapping_add(size)));
            }
            Self::Hop { size, slide, offset } => {
                let last = floor(time, offset, slide);
                // How long before the time each window starts.
                let starts = (time.wrapping_sub(last)..size).step_by(usize::try_from(slide).unwrap_or(usize::MAX));
                windows.extend(starts.map(|before| {
                    let start = time.wrapping_sub(before);
                    (start, start.wrapping_add(size))
                }));
            }
            Self::Cumulate { size, step, offset } => {
                let start = floor(time, offset, size);
                let passed = floor(time, offset, step).wrapping_sub(start);
                let lengths = (passed.saturating_add(step)..=size).step_by(usize::try_from(step).unwrap_or(usize::MAX));
                windows.extend(lengths.map(|length| (start, start.wrapping_add(length))));
            }
        }
    }
}

/// The start of the stretch of this length that holds a time. At the ends of time it wraps around, as in Flink.
fn floor(time: i64, offset: i64, length: i64) -> i64 {
    time.wrapping_sub(time.wrapping_sub(offset).rem_euclid(length))
}

/// Between instants and the local time in which windows are cut.
#[derive(Clone, Copy, Debug)]
pub struct WindowZone {
    /// None: times are local already.
    zone: Option<Zone>,
}

impl WindowZone {
    /// For the time attribute's type: `shifted` for `TIMESTAMP_LTZ` and processing time.
    pub fn new(zone: Zone, shifted: bool) -> Self {
        Self { zone: Some(zone).filter(|zone| shifted && *zone != Zone::UTC) }
    }

    /// Local time of an instant.
    pub fn to_local(self, instant: i64) -> i64 {
        self.zone.map_or(instant, |zone| instant.wrapping_add(zone.offset_at(instant.div_euclid(SECOND)) * SECOND))
    }

    /// How far local time is ahead at an instant, and instants around it at which that is the same.
    fn shift_around(self, instant: i64) -> (i64, Range<i64>) {
        let Some(zone) = self.zone else { return (0, i64::MIN..i64::MAX) };
        let (offset, held) = zone.offset_around(instant.div_euclid(SECOND));
        (offset * SECOND, held.start.saturating_mul(SECOND)..held.end.saturating_mul(SECOND))
    }

    /// The instant of a local time: of two the earlier, in a gap as far behind its start.
    pub fn to_instant(self, local: i64) -> i64 {
        self.zone.map_or(local, |zone| local.wrapping_sub(zone.offset_of_local(local.div_euclid(SECOND)) * SECOND))
    }

    /// The watermark at which a window with this end is complete: where clocks are put forward over its last millisecond, when
    /// they are; where they are put back, the second time that it passes.
    ///
    /// Never before a window that ends earlier: windows are emitted in the order of their ends, and a restore takes those for
    /// emitted that were complete. Flink has a window that ends within the gap complete at a full hour of UTC, which is the same
    /// where clocks are put forward by an hour at such a time, and later elsewhere.
    pub fn trigger(self, window_end: i64) -> i64 {
        let last = window_end.wrapping_sub(1);
        let Some(zone) = self.zone else { return last };
        let first = self.to_instant(last);
        let gap = self.to_local(first).wrapping_sub(last);
        if gap > 0 {
            let first = first.div_euclid(SECOND);
            return zone.change_between(first - gap.div_euclid(SECOND), first) * SECOND;
        }
        let next = self.to_instant(last.wrapping_add(HOUR));
        match next.wrapping_sub(first) > HOUR {
            true => next - HOUR,
            false => first,
        }
    }

    /// Whether windows with these ends are complete at the same instants in another zone, and it is the same time there now, if event
    /// time or the clock has come anywhere.
    pub(super) fn agrees_with(self, other: Self, now: i64, window_ends: &[i64]) -> bool {
        let same_now = now == MIN_WATERMARK || self.to_local(now) == other.to_local(now);
        same_now && window_ends.iter().all(|end| self.trigger(*end) == other.trigger(*end))
    }

    /// The last local time at which a window may end that is complete when event time has come so far.
    fn last_complete(self, passed: i64) -> i64 {
        if self.zone.is_none() {
            return passed.saturating_add(1);
        }
        // Local time is less than two days from UTC, also where a day is left out.
        let (mut complete, mut open) = (passed.saturating_sub(2 * DAY), passed.saturating_add(2 * DAY));
        while open - complete > 1 {
            let middle = complete + (open - complete) / 2;
            match self.trigger(middle) <= passed {
                true => complete = middle,
                false => open = middle,
            }
        }
        complete
    }
}

/// The local times of instants of which most are near the one before: the offset is looked up once for all instants around the
/// change, or the day, in which it is the same.
pub struct LocalTimes {
    zone: WindowZone,
    shift: i64,
    /// The instants at which local time is ahead by `shift`.
    held: Range<i64>,
}

impl LocalTimes {
    /// In a zone.
    pub fn new(zone: WindowZone) -> Self {
        Self { zone, shift: 0, held: 0..0 }
    }

    /// Local time of an instant, as [`WindowZone::to_local`].
    pub fn of(&mut self, instant: i64) -> i64 {
        if !self.held.contains(&instant) {
            (self.shift, self.held) = self.zone.shift_around(instant);
        }
        instant.wrapping_add(self.shift)
    }
}
