//! How watermarks and idleness of many channels become those of one operator, as Flink's `StatusWatermarkValve` does over
//! the channels of an input and its `IndexedCombinedWatermarkStatus` over the inputs.
use crate::element::{MIN_WATERMARK, WatermarkStatus};

#[cfg(test)]
mod tests;

/// What to hand on: first the watermark, then the status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Advance {
    /// A new watermark (milliseconds).
    pub watermark: Option<i64>,
    /// A new status.
    pub status: Option<WatermarkStatus>,
}

#[derive(Clone, Copy)]
struct Channel {
    watermark: i64,
    active: bool,
    /// Takes part in the minimum: it is active and has caught up with what was emitted.
    aligned: bool,
}

/// Combines the channels of one input.
///
/// An idle channel does not hold the others back. When it becomes active again, it takes part only once its watermark has
/// reached the one that was emitted meanwhile.
pub struct WatermarkValve {
    channels: Vec<Channel>,
    emitted: i64,
    active: bool,
}

impl WatermarkValve {
    /// A valve over this many channels, all active.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: MIN_WATERMARK, active: true, aligned: true };
        Self { channels: vec![channel; channels], emitted: MIN_WATERMARK, active: true }
    }

    /// A channel's watermark (milliseconds). Ignored while the channel is idle, or if it does not grow.
    pub fn watermark(&mut self, channel: usize, watermark: i64) -> Advance {
        let emitted = self.emitted;
        let Some(entry) = self.channels.get_mut(channel) else { return Advance::default() };
        if !self.active || !entry.active || watermark <= entry.watermark {
            return Advance::default();
        }
        entry.watermark = watermark;
        entry.aligned |= watermark >= emitted;
        Advance { watermark: self.advance_to_minimum(), status: None }
    }

    /// A channel becomes idle or active.
    pub fn status(&mut self, channel: usize, status: WatermarkStatus) -> Advance {
        let emitted = self.emitted;
        let Some(entry) = self.channels.get_mut(channel) else { return Advance::default() };
        match status {
            WatermarkStatus::Idle if entry.active => {
                entry.active = false;
                entry.aligned = false;
                let held_back = entry.watermark == emitted;
                if self.channels.iter().any(|channel| channel.active) {
                    return Advance { watermark: held_back.then(|| self.advance_to_minimum()).flatten(), status: None };
                }
                // Nobody will move on: flush what the fastest had reached.
                let highest = self.channels.iter().map(|channel| channel.watermark).max();
                self.active = false;
                Advance {
                    watermark: highest.filter(|_| held_back).and_then(|highest| self.advance_to(highest)),
                    status: Some(WatermarkStatus::Idle),
                }
            }
            WatermarkStatus::Active if !entry.active => {
                entry.active = true;
                entry.aligned = entry.watermark >= emitted;
                let woke = !std::mem::replace(&mut self.active, true);
                Advance { watermark: None, status: woke.then_some(WatermarkStatus::Active) }
            }
            _ => Advance::default(),
        }
    }

    fn advance_to_minimum(&mut self) -> Option<i64> {
        let minimum = self.channels.iter().filter(|channel| channel.aligned).map(|channel| channel.watermark).min();
        minimum.and_then(|minimum| self.advance_to(minimum))
    }

    fn advance_to(&mut self, watermark: i64) -> Option<i64> {
        (watermark > self.emitted).then(|| {
            self.emitted = watermark;
            watermark
        })
    }
}

#[derive(Clone, Copy)]
struct Input {
    watermark: i64,
    idle: bool,
}

/// Combines the inputs of one operator: the minimum over those that are not idle.
pub struct CombinedWatermark {
    inputs: Vec<Input>,
    emitted: i64,
    idle: bool,
}

impl CombinedWatermark {
    /// A combination of this many inputs, all active.
    pub fn new(inputs: usize) -> Self {
        Self {
            inputs: vec![Input { watermark: MIN_WATERMARK, idle: false }; inputs],
            emitted: MIN_WATERMARK,
            idle: false,
        }
    }

    /// An input's new watermark (milliseconds); the input counts as active from then on.
    pub fn watermark(&mut self, input: usize, watermark: i64) -> Advance {
        if let Some(entry) = self.inputs.get_mut(input) {
            entry.watermark = entry.watermark.max(watermark);
            entry.idle = false;
        }
        Advance { watermark: self.combine(), status: None }
    }

    /// An input becomes idle or active.
    pub fn status(&mut self, input: usize, status: WatermarkStatus) -> Advance {
        if let Some(entry) = self.inputs.get_mut(input) {
            entry.idle = status == WatermarkStatus::Idle;
        }
        let was_idle = self.idle;
        Advance { watermark: self.combine(), status: (self.idle != was_idle).then_some(status) }
    }

    fn combine(&mut self) -> Option<i64> {
        let minimum = self.inputs.iter().filter(|input| !input.idle).map(|input| input.watermark).min();
        self.idle = minimum.is_none();
        let advanced = minimum.filter(|minimum| *minimum > self.emitted)?;
        self.emitted = advanced;
        Some(advanced)
    }
}
