//! A task's part in checkpoints: from the barrier to the acknowledgement, and what follows from a checkpoint's outcome.
//!
//! - [`barriers`]: when the snapshot is taken; pure.
//! - [`alignment`]: what that means for the gates.
//! - [`channel_state`]: rows in flight.
//! - [`upload`]: writing, in the background.
//! - [`restore`]: the way back.
//!
//! A snapshot is taken on the task's thread between two batches: held-back rows go out, the barrier follows them, then
//! everything that makes up the state is fixed. While rows in flight are not all known yet (barriers that are still to come,
//! barriers that wait in output queues and may yet overtake) the snapshot is open; then it is uploaded.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use wiesel_common::fault;
use wiesel_common::logging::checkpoint_span;
use wiesel_operators::operator::{Error, OperatorSnapshot, Result};
use wiesel_proto as proto;
use wiesel_proto::{CheckpointBarrier, SnapshotKind};
use wiesel_state::keyed::SnapshotOptions;

use self::alignment::{Due, without_channels};
use self::barriers::{Barriers, LocalBarrier};
use self::restore::JobState;
use self::upload::{TaskSnapshot, Uploads};
use super::driver::{Driver, Head};
use super::failure;
use super::reporter::Report;

pub(crate) mod alignment;
pub(crate) mod barriers;
pub(crate) mod channel_state;
pub(crate) mod restore;
pub(crate) mod upload;

/// The list in a source's state that holds its reader's splits.
pub(crate) const SPLITS: &str = "splits";

/// A snapshot whose rows in flight are not all known.
struct Open {
    barrier: Arc<LocalBarrier>,
    snapshot: TaskSnapshot,
    /// Barriers are still to come over some channels.
    inputs: bool,
    /// The barrier waits in output queues and may yet overtake what is before it.
    outputs: bool,
}

/// What a stop with savepoint wants of the task.
#[derive(Clone, Copy)]
struct Stop {
    checkpoint: u64,
    drain: bool,
}

/// A task's checkpoints.
pub(crate) struct Checkpoints {
    state: JobState,
    uploads: Uploads,
    open: BTreeMap<u64, Open>,
    /// What the JobMaster has triggered or given up at a source: a task without channels.
    source: Barriers,
    /// The newest of which the operators know that it is complete.
    completed: u64,
    /// Later ones of which they have taken a snapshot and do not know what became of them.
    unsettled: BTreeSet<u64>,
    /// The savepoint after which the task ends, until its outcome is known.
    stop: Option<Stop>,
    /// That savepoint, when it is complete.
    stopped: Option<Stop>,
}

impl Checkpoints {
    /// For a task that shares the job's state.
    pub(crate) fn new(state: JobState, uploads: Uploads) -> Self {
        Self {
            state,
            uploads,
            open: BTreeMap::new(),
            source: Barriers::new(0),
            completed: 0,
            unsettled: BTreeSet::new(),
            stop: None,
            stopped: None,
        }
    }

    /// Whether the task waits for the outcome of the savepoint after which it ends.
    pub(crate) fn awaits_stop(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether the savepoint after which the task ends is complete.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.is_some()
    }

    /// Whether it is, and what follows it in the stream is for another job to read.
    pub(crate) fn is_suspended(&self) -> bool {
        self.stopped.is_some_and(|stop| !stop.drain)
    }

    /// Whether everything that was begun is with the reporter.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty() && self.uploads.is_empty()
    }

    /// When a barrier in an output queue is to overtake.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.open.values().filter(|open| open.outputs).filter_map(|open| open.barrier.overtakes_at()).min()
    }

    fn forget(&mut self, checkpoint: u64) {
        self.unsettled.remove(&checkpoint);
        self.open.remove(&checkpoint);
        self.uploads.abort(checkpoint);
    }
}

/// What ends a task that has drained in vain.
pub(super) fn stop_failed() -> Error {
    Error::External { message: "Stop-with-savepoint failed.".to_owned(), source: None }
}

impl Driver {
    /// The JobMaster asks for a checkpoint.
    pub(super) fn trigger(&mut self, barrier: &Arc<LocalBarrier>) -> Result<()> {
        // A task that ends is not waited for: the JobMaster hears in time that it has finished.
        if self.ends {
            return Ok(());
        }
        let _span = checkpoint_span(barrier.checkpoint_id).entered();
        let now = Instant::now();
        let due = match &mut self.head {
            Head::Source { .. } => without_channels(self.checkpoints.source.triggered(barrier, now)),
            Head::Inputs(inputs) => inputs.triggered(barrier, now),
        };
        self.carry_out(due)
    }

    /// What became of a checkpoint.
    pub(super) fn checkpoint_ended(&mut self, checkpoint: u64, completed: bool) -> Result<()> {
        if completed {
            return self.checkpoint_completed(checkpoint);
        }
        let _span = checkpoint_span(checkpoint).entered();
        let due = match &mut self.head {
            Head::Source { .. } => without_channels(self.checkpoints.source.aborted(checkpoint)),
            Head::Inputs(inputs) => inputs.aborted(checkpoint),
        };
        self.carry_out(due)?;
        self.checkpoints.forget(checkpoint);
        self.chain.checkpoint_ended(checkpoint, false)?;
        self.end_stop(checkpoint, false)
    }

    /// A checkpoint is durable, and none before it matters any more. It may be told more than once.
    fn checkpoint_completed(&mut self, checkpoint: u64) -> Result<()> {
        // Of the savepoint that the job stops with, a later checkpoint says nothing: it may still fail.
        self.end_stop(checkpoint, true)?;
        if checkpoint <= self.checkpoints.completed {
            return Ok(());
        }
        let _span = checkpoint_span(checkpoint).entered();
        self.checkpoints.completed = checkpoint;
        self.checkpoints.unsettled.retain(|later| *later > checkpoint);
        self.chain.checkpoint_ended(checkpoint, true)?;
        match &mut self.head {
            Head::Source { reader, .. } => reader.checkpoint_completed(checkpoint),
            Head::Inputs(_) => Ok(()),
        }
    }

    /// Another JobMaster has taken the task over. It goes on from one checkpoint, which is complete, and its own have larger numbers
    /// than all that was begun for the one before it. What became of the others nobody will say.
    pub(super) fn adopted(&mut self, completed: u64, first: u64) -> Result<()> {
        self.checkpoint_completed(completed)?;
        let due = match &mut self.head {
            Head::Source { .. } => without_channels(self.checkpoints.source.forget_before(first)),
            Head::Inputs(inputs) => inputs.forget_before(first),
        };
        self.carry_out(due)?;
        let given_up: Vec<u64> = self.checkpoints.unsettled.range(..first).copied().collect();
        for checkpoint in given_up {
            self.checkpoints.forget(checkpoint);
            self.chain.checkpoint_ended(checkpoint, false)?;
        }
        match self.checkpoints.stop.filter(|stop| stop.checkpoint < first) {
            Some(stop) => self.end_stop(stop.checkpoint, false),
            None => Ok(()),
        }
    }

    fn end_stop(&mut self, savepoint: u64, completed: bool) -> Result<()> {
        let Some(stop) = self.checkpoints.stop.filter(|stop| stop.checkpoint == savepoint) else { return Ok(()) };
        self.checkpoints.stop = None;
        self.checkpoints.stopped = completed.then_some(stop);
        // Event time is at its end and the operators have finished: the task cannot go on from here.
        if !completed && stop.drain { Err(stop_failed()) } else { Ok(()) }
    }

    /// Barriers that overtake, and snapshots whose rows in flight are known by now.
    pub(super) fn attend_checkpoints(&mut self) -> Result<()> {
        let now = Instant::now();
        if let Head::Inputs(inputs) = &mut self.head {
            let due = inputs.overtake(now)?;
            self.carry_out(due)?;
        }
        self.attend_outputs(now)
    }

    /// Snapshots whose barriers wait in output queues: some overtake now, some have left.
    pub(super) fn attend_outputs(&mut self, now: Instant) -> Result<()> {
        let waiting = self.checkpoints.open.iter().filter(|(_, open)| open.outputs);
        for checkpoint in waiting.map(|(checkpoint, _)| *checkpoint).collect::<Vec<_>>() {
            self.look_after_outputs(checkpoint, now)?;
        }
        Ok(())
    }

    fn look_after_outputs(&mut self, checkpoint: u64, now: Instant) -> Result<()> {
        let Some(open) = self.checkpoints.open.get_mut(&checkpoint) else { return Ok(()) };
        if open.barrier.overtakes(now) {
            let rows = self.outputs.make_urgent(checkpoint)?;
            open.snapshot.metrics.unaligned |= !rows.is_empty();
            open.snapshot.rows.merge(rows);
        } else if self.outputs.holds_barrier(checkpoint) {
            return Ok(());
        }
        open.outputs = false;
        self.upload_if_complete(checkpoint);
        Ok(())
    }

    pub(super) fn carry_out(&mut self, all: Vec<Due>) -> Result<()> {
        for due in all {
            match due {
                Due::Snapshot { barrier, since, unaligned } => self.take_snapshot(barrier, since, unaligned)?,
                Due::Recorded(checkpoint, rows) => {
                    if let Some(open) = self.checkpoints.open.get_mut(&checkpoint) {
                        open.snapshot.rows.merge(rows);
                        open.inputs = false;
                        self.upload_if_complete(checkpoint);
                    }
                }
                Due::GiveUp(checkpoint, reason) => {
                    self.checkpoints.forget(checkpoint);
                    if let Some(reason) = reason {
                        self.decline(checkpoint, failure::declined(reason));
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends the barrier on and fixes the state. What fails there is the task's failure.
    fn take_snapshot(&mut self, barrier: Arc<LocalBarrier>, since: Instant, unaligned: bool) -> Result<()> {
        let now = Instant::now();
        let checkpoint = barrier.checkpoint_id;
        let _span = checkpoint_span(checkpoint).entered();
        // Maybe its notification is still under way: state must not refer to an older one.
        self.checkpoint_completed(barrier.completed_checkpoint_id)?;
        // What has come of coordinators before the barrier is in the state: they know it as sent. A source's checkpoint begins in its
        // mailbox, behind that and before what follows.
        if matches!(self.head, Head::Inputs(_)) {
            for event in self.mailbox.events() {
                self.deliver(event)?;
            }
        }
        if barrier.drain {
            self.drain_chain(checkpoint)?;
        }
        self.chain.before_barrier(&mut self.outputs)?;
        fault::point("checkpoint.before-barrier");
        let urgent = barrier.unaligned_allowed && (unaligned || barrier.overtakes(now));
        let rows = self.outputs.barrier(&barrier, urgent)?;
        if barrier.stop {
            self.checkpoints.stop = Some(Stop { checkpoint, drain: barrier.drain });
        }
        if !self.checkpoints.uploads.has_room() {
            self.decline(checkpoint, failure::declined("the state of too many checkpoints is still being written"));
            return Ok(());
        }
        // An operator whose snapshot failed is not what it was before: a sink may have closed some of its files and lost others.
        // So the task fails, as in Flink, and goes on from the last checkpoint. A task that was restored as finished says so
        // again: of its operators' state nothing was restored.
        let finished = self.already_finished;
        let operators = if finished { Vec::new() } else { self.fix_state(&barrier)? };
        let millis = |from: Instant, to: Instant| to.saturating_duration_since(from).as_millis() as u64;
        let metrics = proto::CheckpointMetrics {
            sync_duration: now.elapsed().as_millis() as u64,
            alignment_duration: millis(since, now),
            start_delay: millis(barrier.began, since),
            unaligned: unaligned || (urgent && !rows.is_empty()),
            ..proto::CheckpointMetrics::default()
        };
        let outputs = barrier.unaligned_allowed && !urgent && self.outputs.holds_barrier(checkpoint);
        let open =
            Open { barrier, snapshot: TaskSnapshot { operators, rows, metrics, finished }, inputs: unaligned, outputs };
        self.checkpoints.open.insert(checkpoint, open);
        self.checkpoints.unsettled.insert(checkpoint);
        self.upload_if_complete(checkpoint);
        Ok(())
    }

    fn fix_state(&mut self, barrier: &CheckpointBarrier) -> Result<Vec<(Bytes, OperatorSnapshot)>> {
        let savepoint = barrier.kind() == SnapshotKind::Savepoint;
        let options = SnapshotOptions {
            checkpoint_id: barrier.checkpoint_id,
            canonical: savepoint && !barrier.native_format,
            full: savepoint || barrier.full,
            savepoint,
        };
        let mut operators = Vec::new();
        if let Head::Source { reader, uid } = &mut self.head {
            let splits = proto::OperatorListState {
                name: SPLITS.to_owned(),
                redistribution: proto::operator_list_state::Redistribution::Split as i32,
                entries: reader.snapshot()?,
            };
            operators.push((uid.clone(), OperatorSnapshot { keyed: None, lists: vec![splits] }));
        }
        operators.extend(self.chain.snapshot(&options)?);
        Ok(operators)
    }

    fn upload_if_complete(&mut self, checkpoint: u64) {
        let checkpoints = &mut self.checkpoints;
        if checkpoints.open.get(&checkpoint).is_none_or(|open| open.inputs || open.outputs) {
            return;
        }
        let Some(Open { barrier, snapshot, .. }) = checkpoints.open.remove(&checkpoint) else { return };
        match checkpoints.state.storage.files(&barrier) {
            Ok(files) => checkpoints.uploads.start(checkpoint, snapshot, files),
            Err(error) => self.decline(checkpoint, failure::describe(&error.into())),
        }
    }

    fn decline(&self, checkpoint: u64, failure: proto::Failure) {
        tracing::info!(checkpoint_id = checkpoint, reason = %failure.message, "checkpoint declined");
        self.reporter.report(Report::Decline { checkpoint, failure });
    }
}
