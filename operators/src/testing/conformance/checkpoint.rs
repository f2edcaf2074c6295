//! Checkpoints of a run, and the way back: when a subtask fixes its state, what is in flight then, and who gets it again.
//!
//! As in a TaskManager: aligned, a channel whose barrier came waits for the others; unaligned, the first barrier is the moment,
//! and rows that were before a barrier are recorded at the consumer, or at the producer where they had not left it; at least
//! once, the last barrier is the moment. At a restore a subtask first takes the recorded rows of its key groups; a producer
//! first sends what had not left it, by key group anew; and nothing new goes through before all have done so.
use std::ops::Range;

use arrow::array::BooleanArray;
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use super::cluster::Cluster;
use super::exchange::{Consumer, Item, Part, Snapshot};
use super::plan::{Mode, Shape};
use super::reference::Told;
use crate::element::{Batch, MIN_WATERMARK};
use crate::state::table::key_groups;
use crate::testing::state::select;

/// Rows of channels: whose they are, in their order.
type InFlight = Vec<(usize, Vec<Batch>)>;

/// A checkpoint under way.
pub struct Pending {
    id: u64,
    mode: Mode,
    canonical: bool,
    /// The producers that have not sent their barrier.
    waiting: Vec<bool>,
    positions: Vec<usize>,
    /// What had not left producers.
    outputs: InFlight,
}

/// A complete checkpoint.
#[derive(Clone)]
pub struct Completed {
    pub keyed: Vec<proto::KeyedStateHandle>,
    pub positions: Vec<usize>,
    /// What had come to subtasks, by producer.
    pub inputs: InFlight,
    /// What had not left producers, by producer.
    pub outputs: InFlight,
    /// How much each key group had been told.
    pub told: Vec<(u32, usize)>,
    /// All results until then.
    pub results: Vec<String>,
    /// No result after it is at or before this time.
    pub floor: i64,
    /// Some rows are in the state, and come again.
    pub repeats: bool,
}

impl Completed {
    /// Where a job begins.
    pub fn nothing(splits: usize, max_parallelism: u32) -> Self {
        Self {
            keyed: Vec::new(),
            positions: vec![0; splits],
            inputs: Vec::new(),
            outputs: Vec::new(),
            told: (0..max_parallelism).map(|group| (group, 0)).collect(),
            results: Vec::new(),
            floor: MIN_WATERMARK,
            repeats: false,
        }
    }
}

impl Cluster<'_> {
    pub(super) fn trigger(&mut self, mode: Mode, canonical: bool) {
        if self.pending.is_some() {
            return;
        }
        self.checkpoint += 1;
        self.pending = Some(Pending {
            id: self.checkpoint,
            mode,
            canonical,
            waiting: self.producers.iter().map(|producer| !producer.ended).collect(),
            positions: self.positions.clone(),
            outputs: Vec::new(),
        });
        for subtask in 0..self.consumers.len() {
            self.consumers[subtask].part = Some(Part::new(self.producers.len()));
            self.settle(subtask);
        }
    }

    /// A producer sends its barrier, if it has to: in its place, or before what waits for its channels.
    pub(super) fn send_barrier(&mut self, number: usize, waiting: usize) {
        if self.pending.as_ref().is_none_or(|pending| !pending.waiting[number]) {
            return;
        }
        self.produce(number, |local, out| {
            if let Some(local) = local {
                local.before_barrier(out).unwrap();
            }
        });
        let Some(pending) = &mut self.pending else { return };
        pending.waiting[number] = false;
        for split in &self.producers[number].splits {
            pending.positions[*split] = self.positions[*split];
        }
        let mut overtaken = Vec::new();
        for consumer in &mut self.consumers {
            let queue = &mut consumer.channels[number].queue;
            let waiting = if pending.mode == Mode::Unaligned { waiting.min(queue.len()) } else { 0 };
            let at = queue.len() - waiting;
            overtaken.extend(queue.range(at..).filter_map(rows));
            queue.insert(at, Item::Barrier(pending.id));
        }
        pending.outputs.push((number, overtaken));
        let recording = |consumer: &Consumer| consumer.part.as_ref().is_some_and(|part| part.snapshot.is_some());
        for subtask in 0..self.consumers.len() {
            if recording(&self.consumers[subtask]) {
                self.look_for_barriers(subtask);
            }
        }
    }

    /// A producer that ended had read all of its splits.
    pub(super) fn producer_ended(&mut self, number: usize) {
        let Some(pending) = &mut self.pending else { return };
        if std::mem::take(&mut pending.waiting[number]) {
            for split in &self.producers[number].splits {
                pending.positions[*split] = self.positions[*split];
            }
        }
    }

    /// A barrier came in its place.
    pub(super) fn barrier_came(&mut self, subtask: usize, channel: usize, checkpoint: u64) {
        // Of one that was given up.
        let Some(pending) = self.pending.as_ref().filter(|pending| pending.id == checkpoint) else { return };
        let mode = pending.mode;
        let consumer = &mut self.consumers[subtask];
        consumer.part.as_mut().unwrap().arrived[channel] = true;
        consumer.channels[channel].blocked = mode == Mode::Aligned;
        match mode {
            Mode::Unaligned if !consumer.all_arrived() => self.overtake(subtask, checkpoint),
            _ => {}
        }
        self.settle(subtask);
    }

    /// Barriers of an unaligned checkpoint may be taken before the rows that precede them.
    pub(super) fn look_for_barriers(&mut self, subtask: usize) {
        let unaligned = self.pending.as_ref().filter(|pending| pending.mode == Mode::Unaligned);
        let Some(checkpoint) = unaligned.map(|pending| pending.id) else { return };
        if self.consumers[subtask].holds_barrier(checkpoint) {
            self.overtake(subtask, checkpoint);
            self.settle(subtask);
        }
    }

    fn overtake(&mut self, subtask: usize, checkpoint: u64) {
        self.fix_state(subtask);
        self.consumers[subtask].overtake(checkpoint);
    }

    /// Rows that come before their barrier, after the state was fixed, are in flight.
    pub(super) fn record(&mut self, subtask: usize, channel: usize, batch: &Batch) {
        let part = self.consumers[subtask].part.as_mut();
        if let Some(part) = part.filter(|part| part.snapshot.is_some() && !part.arrived[channel]) {
            part.recorded.entry(channel).or_default().push(batch.clone());
        }
    }

    /// If no barrier is to come any more, a subtask's part is done.
    pub(super) fn settle(&mut self, subtask: usize) {
        if self.pending.is_some() && self.consumers[subtask].all_arrived() {
            self.fix_state(subtask);
            self.consumers[subtask].channels.iter_mut().for_each(|channel| channel.blocked = false);
        }
    }

    fn fix_state(&mut self, subtask: usize) {
        let Some(pending) = &self.pending else { return };
        let (checkpoint_id, canonical) = (pending.id, pending.canonical);
        if self.consumers[subtask].part.as_ref().is_none_or(|part| part.snapshot.is_some()) {
            return;
        }
        self.tell(subtask, &Told::Barrier);
        self.consume(subtask, |operator, out| operator.before_barrier(out).unwrap());
        let options = SnapshotOptions { checkpoint_id, canonical, full: canonical, savepoint: canonical };
        let consumer = &mut self.consumers[subtask];
        let keyed = consumer.operator.snapshot(&options).unwrap().keyed;
        let snapshot = Snapshot {
            keyed: keyed.map(|keyed| self.world.upload(keyed, &options)),
            told: self.log.lengths(consumer.key_groups.clone()),
            results: consumer.results.clone(),
            handed_on: consumer.handed_on,
        };
        let part = consumer.part.as_mut().unwrap();
        part.snapshot = Some(snapshot);
        // What is still to come again is in flight again.
        for (producer, batch) in &consumer.replay {
            part.recorded.entry(*producer).or_default().push(batch.clone());
        }
    }

    /// Lets what is left of a checkpoint happen.
    pub(super) fn complete(&mut self, told: bool) {
        if self.pending.is_none() {
            return;
        }
        (0..self.producers.len()).for_each(|number| self.send_barrier(number, number * 2));
        while let Some(subtask) = self.consumers.iter().position(|consumer| !is_done(consumer)) {
            self.look_for_barriers(subtask);
            for channel in 0..self.producers.len() {
                self.deliver(subtask, channel);
            }
        }
        let Some(pending) = self.pending.take() else { return };
        let mut completed = Completed {
            positions: pending.positions,
            outputs: pending.outputs,
            told: Vec::new(),
            results: self.survived.clone(),
            repeats: self.repeats || pending.mode == Mode::AtLeastOnce,
            ..Completed::nothing(0, 0)
        };
        let mut handed_on = Vec::new();
        for consumer in &mut self.consumers {
            let Some(Part { recorded, snapshot: Some(snapshot), .. }) = consumer.part.take() else { continue };
            completed.keyed.extend(snapshot.keyed);
            completed.inputs.extend(recorded);
            completed.told.extend(snapshot.told);
            completed.results.extend(snapshot.results);
            handed_on.push(snapshot.handed_on);
            if told {
                consumer.operator.checkpoint_completed(pending.id).unwrap();
            }
        }
        if pending.mode != Mode::AtLeastOnce {
            completed.floor = self.floor.max(handed_on.into_iter().min().unwrap_or(MIN_WATERMARK));
        }
        self.last = completed;
    }

    fn abort(&mut self) {
        let Some(pending) = self.pending.take() else { return };
        for consumer in &mut self.consumers {
            consumer.part = None;
            consumer.channels.iter_mut().for_each(|channel| channel.blocked = false);
            consumer.operator.checkpoint_aborted(pending.id).unwrap();
        }
    }

    /// The job fails and starts again.
    pub(super) fn restart(&mut self, shape: Shape, complete: bool) {
        match complete {
            true => self.complete(false),
            false => self.abort(),
        }
        self.consumers.iter_mut().for_each(|consumer| consumer.operator.close().unwrap());
        self.start(shape);
    }

    /// Puts what was in flight where it was.
    pub(super) fn replay(&mut self, inputs: InFlight, outputs: InFlight) {
        let max_parallelism = self.plan.max_parallelism;
        for consumer in &mut self.consumers {
            for (producer, batches) in &inputs {
                let own = batches
                    .iter()
                    .map(|batch| own_rows(batch, &self.subject.keys, consumer.key_groups.clone(), max_parallelism));
                let own = own.filter(|batch| batch.num_rows() > 0);
                consumer.replay.extend(own.map(|batch| (*producer, batch)));
            }
        }
        for (producer, batches) in outputs {
            let producer = producer % self.producers.len();
            batches.iter().for_each(|batch| self.send_rows(producer, batch));
        }
        (0..self.producers.len()).for_each(|number| self.broadcast(number, &Item::Replayed));
    }
}

fn is_done(consumer: &Consumer) -> bool {
    consumer.part.as_ref().is_some_and(|part| part.snapshot.is_some()) && consumer.all_arrived()
}

fn rows(item: &Item) -> Option<Batch> {
    match item {
        Item::Rows(batch) => Some(batch.clone()),
        _ => None,
    }
}

fn own_rows(batch: &Batch, keys: &[usize], own: Range<u32>, max_parallelism: u32) -> Batch {
    let columns: Vec<_> = keys.iter().map(|key| batch.records.column(*key).clone()).collect();
    let groups = key_groups(&columns, batch.num_rows(), max_parallelism).unwrap();
    let mask: BooleanArray = groups.iter().map(|group| Some(own.contains(&u32::from(*group)))).collect();
    select(batch, &mask)
}
