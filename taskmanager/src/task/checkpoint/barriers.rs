//! When a task takes its part in a checkpoint: a decision from the barriers that came over its channels. No I/O, no clock.
//! Times are of this process's own clock that never goes back: no two machines' clocks are compared.
//!
//! Aligned: a channel whose barrier has come is blocked until all have; then the snapshot is taken. Unaligned: the snapshot is
//! taken with the first barrier, and the rows that come over the other channels before theirs are recorded. An aligned
//! checkpoint may become unaligned while it waits. At least once: nothing is blocked, the last barrier counts. A channel that
//! has ended waits for no barrier.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wiesel_proto::CheckpointBarrier;

#[cfg(test)]
mod tests;

/// Checkpoints that are remembered at once, as in Flink.
const MAX_REMEMBERED: usize = 50;

/// A checkpoint's barrier in this process.
#[derive(Clone, Debug, PartialEq)]
pub struct LocalBarrier {
    /// What the JobMaster said.
    pub message: CheckpointBarrier,
    /// When the checkpoint began: when its trigger came to a task, by the age that the barrier has gathered since.
    pub(crate) began: Instant,
}

impl Deref for LocalBarrier {
    type Target = CheckpointBarrier;

    fn deref(&self) -> &CheckpointBarrier {
        &self.message
    }
}

impl LocalBarrier {
    /// When it overtakes rows, if it may: as long after the checkpoint began as it has waited in whatever queues. None: never.
    pub(crate) fn overtakes_at(&self) -> Option<Instant> {
        self.began.checked_add(Duration::from_millis(self.alignment_timeout))
    }

    /// Whether it does by now.
    pub(crate) fn overtakes(&self, now: Instant) -> bool {
        self.overtakes_at().is_some_and(|at| at <= now)
    }
}

/// What the task has to do, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Read nothing more from this channel.
    Block(usize),
    /// Go on reading from this channel.
    Resume(usize),
    /// Take the snapshot now.
    Snapshot {
        /// Of this checkpoint.
        barrier: Arc<LocalBarrier>,
        /// When its first barrier came.
        since: Instant,
        /// Rows are still recorded, until [`Action::Recorded`].
        unaligned: bool,
    },
    /// All rows before the barriers of an unaligned checkpoint are recorded.
    Recorded(u64),
    /// This task gives the checkpoint up: forget what was recorded, and tell the JobMaster if it does not know.
    GiveUp {
        /// Which checkpoint.
        checkpoint: u64,
        /// Why; none: the JobMaster gave it up.
        reason: Option<&'static str>,
    },
}

/// A checkpoint some of whose barriers have come.
#[derive(Debug)]
struct Pending {
    barrier: Arc<LocalBarrier>,
    arrived: Vec<bool>,
    blocked: Vec<usize>,
    since: Instant,
    /// The snapshot was taken: rows are recorded.
    recording: bool,
}

impl Pending {
    /// When it becomes unaligned by itself.
    fn deadline(&self) -> Option<Instant> {
        self.barrier.overtakes_at().filter(|_| self.barrier.unaligned_allowed && !self.recording)
    }
}

/// The barriers of all channels of a task.
#[derive(Debug)]
pub struct Barriers {
    ended: Vec<bool>,
    pending: BTreeMap<u64, Pending>,
    /// The newest that this task has taken part in.
    done: u64,
    /// What it is done with: it has taken its part, or either side has given the checkpoint up.
    over: BTreeSet<u64>,
    /// As are this one and all before it.
    forgotten: u64,
    /// Whether barriers may overtake the rows of every channel, as things are.
    can_overtake: bool,
}

impl Barriers {
    /// For that many channels; no barrier overtakes.
    pub fn new(channels: usize) -> Self {
        Self {
            ended: vec![false; channels],
            pending: BTreeMap::new(),
            done: 0,
            over: BTreeSet::new(),
            forgotten: 0,
            can_overtake: false,
        }
    }

    /// From now on barriers may overtake.
    pub(crate) fn allow_overtaking(&mut self) {
        self.can_overtake = true;
    }

    /// Whether a barrier may be taken out of a channel before the rows that precede it.
    pub(crate) fn may_overtake(&self, checkpoint: u64) -> bool {
        self.can_overtake && !self.is_over(checkpoint) && !self.is_overridden(checkpoint)
    }

    /// The unaligned checkpoint whose other barriers are to be looked for.
    pub(crate) fn recording(&self) -> Option<u64> {
        self.pending.iter().find(|(_, pending)| pending.recording).map(|(id, _)| *id)
    }

    /// The checkpoint that the rows of this channel belong to although its snapshot was taken.
    pub(crate) fn records(&self, channel: usize) -> Option<u64> {
        self.pending
            .iter()
            .find(|(_, pending)| pending.recording && !pending.arrived[channel])
            .map(|(checkpoint, _)| *checkpoint)
    }

    /// A barrier came in its place on a channel.
    pub fn barrier(&mut self, channel: usize, barrier: &Arc<LocalBarrier>, now: Instant) -> Vec<Action> {
        self.arrive(Some(channel), barrier, false, now)
    }

    /// A barrier was taken out of a channel before the rows that precede it, which are recorded.
    pub(crate) fn overtaken(&mut self, channel: usize, barrier: &Arc<LocalBarrier>, now: Instant) -> Vec<Action> {
        self.arrive(Some(channel), barrier, true, now)
    }

    /// The JobMaster asks for a checkpoint: no producer is left to send a barrier, though the end of some may be under way, or
    /// this task has said that all its channels have ended. It may have come over a channel all the same before they had.
    pub fn triggered(&mut self, barrier: &Arc<LocalBarrier>, now: Instant) -> Vec<Action> {
        self.arrive(None, barrier, false, now)
    }

    /// A channel has ended.
    pub fn ended(&mut self, channel: usize) -> Vec<Action> {
        self.ended[channel] = true;
        let mut actions = Vec::new();
        for checkpoint in self.pending.keys().copied().collect::<Vec<_>>() {
            self.settle(checkpoint, &mut actions);
        }
        actions
    }

    /// The JobMaster gave a checkpoint up.
    pub fn aborted(&mut self, checkpoint: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        self.give_up(checkpoint, None, &mut actions);
        self.remember(checkpoint);
        actions
    }

    /// Whatever began before this checkpoint is over: the JobMaster that asked for it is gone. Its barriers may be on their way still.
    pub fn forget_before(&mut self, checkpoint: u64) -> Vec<Action> {
        let mut actions = Vec::new();
        for older in self.pending.range(..checkpoint).map(|(id, _)| *id).collect::<Vec<_>>() {
            self.give_up(older, None, &mut actions);
        }
        self.forgotten = self.forgotten.max(checkpoint.saturating_sub(1));
        let forgotten = self.forgotten;
        self.over.retain(|over| *over > forgotten);
        actions
    }

    /// When [`Barriers::time`] has something to say.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.can_overtake {
            return None;
        }
        self.pending.values().filter_map(Pending::deadline).min()
    }

    /// Time has passed: aligned checkpoints that waited long enough become unaligned.
    pub(crate) fn time(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for checkpoint in self.pending.keys().copied().collect::<Vec<_>>() {
            self.overtake_if_due(checkpoint, now, &mut actions);
        }
        actions
    }

    fn is_over(&self, checkpoint: u64) -> bool {
        !self.pending.contains_key(&checkpoint) && (checkpoint <= self.forgotten || self.over.contains(&checkpoint))
    }

    /// Whether this task has begun a newer one. Then it can take no part in this one any more.
    fn is_overridden(&self, checkpoint: u64) -> bool {
        checkpoint < self.done || self.pending.keys().next_back().is_some_and(|newest| checkpoint < *newest)
    }

    fn remember(&mut self, checkpoint: u64) {
        self.over.insert(checkpoint);
        if self.over.len() > MAX_REMEMBERED
            && let Some(oldest) = self.over.pop_first()
        {
            self.forgotten = self.forgotten.max(oldest);
        }
    }

    fn arrive(
        &mut self,
        channel: Option<usize>,
        barrier: &Arc<LocalBarrier>,
        overtaken: bool,
        now: Instant,
    ) -> Vec<Action> {
        let checkpoint = barrier.checkpoint_id;
        let mut actions = Vec::new();
        if self.is_over(checkpoint) {
            return actions;
        }
        let begun = barrier.at_least_once && (checkpoint > self.done || self.pending.contains_key(&checkpoint));
        if !begun && self.is_overridden(checkpoint) {
            // The JobMaster must hear of it: a task that ends without a word about a checkpoint counts as one whose work was
            // all done before it.
            self.remember(checkpoint);
            actions.push(Action::GiveUp { checkpoint, reason: Some("a newer checkpoint has begun before it") });
            return actions;
        }
        if !barrier.at_least_once {
            // Producers went on to a newer checkpoint: the barriers of those before may never come.
            self.give_up_before(checkpoint, &mut actions);
        }
        let channels = self.ended.len();
        let pending = self.pending.entry(checkpoint).or_insert_with(|| Pending {
            barrier: barrier.clone(),
            arrived: vec![false; channels],
            blocked: Vec::new(),
            since: now,
            recording: false,
        });
        if overtaken {
            Self::overtake(pending, &mut actions);
        }
        if let Some(channel) = channel {
            pending.arrived[channel] = true;
        }
        if self.settle(checkpoint, &mut actions) {
            return actions;
        }
        if let (Some(channel), Some(pending)) = (channel, self.pending.get_mut(&checkpoint))
            && !pending.recording
            && !barrier.at_least_once
        {
            pending.blocked.push(channel);
            actions.push(Action::Block(channel));
        }
        self.overtake_if_due(checkpoint, now, &mut actions);
        if self.pending.len() > MAX_REMEMBERED
            && let Some(oldest) = self.pending.keys().next().copied()
        {
            self.give_up(oldest, Some("too many checkpoints wait for their barriers"), &mut actions);
        }
        actions
    }

    /// Ends a checkpoint whose barriers have all come. True: it is over.
    fn settle(&mut self, checkpoint: u64, actions: &mut Vec<Action>) -> bool {
        let Some(pending) = self.pending.get(&checkpoint) else { return true };
        if pending.arrived.iter().zip(&self.ended).any(|(arrived, ended)| !arrived && !ended) {
            return false;
        }
        let Some(pending) = self.pending.remove(&checkpoint) else { return true };
        if pending.recording {
            actions.push(Action::Recorded(checkpoint));
        } else {
            actions.push(Action::Snapshot { barrier: pending.barrier, since: pending.since, unaligned: false });
            actions.extend(pending.blocked.into_iter().map(Action::Resume));
        }
        // At least once, an older checkpoint may wait still: a barrier that is not there by now will not come.
        self.give_up_before(checkpoint, actions);
        self.done = self.done.max(checkpoint);
        self.remember(checkpoint);
        true
    }

    fn overtake_if_due(&mut self, checkpoint: u64, now: Instant, actions: &mut Vec<Action>) {
        if self.can_overtake
            && let Some(pending) = self.pending.get_mut(&checkpoint)
            && pending.deadline().is_some_and(|deadline| deadline <= now)
        {
            Self::overtake(pending, actions);
        }
    }

    /// Takes the snapshot without waiting for the barriers that are missing.
    fn overtake(pending: &mut Pending, actions: &mut Vec<Action>) {
        if std::mem::replace(&mut pending.recording, true) {
            return;
        }
        actions.push(Action::Snapshot { barrier: pending.barrier.clone(), since: pending.since, unaligned: true });
        actions.extend(pending.blocked.drain(..).map(Action::Resume));
    }

    fn give_up_before(&mut self, checkpoint: u64, actions: &mut Vec<Action>) {
        let older: Vec<u64> = self.pending.range(..checkpoint).map(|(id, _)| *id).collect();
        for older in older {
            self.give_up(older, Some("a barrier of a newer checkpoint came before all of this one's"), actions);
        }
    }

    fn give_up(&mut self, checkpoint: u64, reason: Option<&'static str>, actions: &mut Vec<Action>) {
        if let Some(pending) = self.pending.remove(&checkpoint) {
            actions.extend(pending.blocked.into_iter().map(Action::Resume));
            actions.push(Action::GiveUp { checkpoint, reason });
            self.remember(checkpoint);
        }
    }
}
