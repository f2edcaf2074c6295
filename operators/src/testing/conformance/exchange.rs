//! The tasks of a job: producers, subtasks of the operator, and the channels between them.
use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use wiesel_proto as proto;

use crate::element::{Batch, MIN_WATERMARK, WatermarkStatus};
use crate::operator::Operator;
use crate::watermark_valve::WatermarkValve;

/// What a channel carries.
#[derive(Clone, Debug)]
pub enum Item {
    Rows(Batch),
    Watermark(i64),
    Status(WatermarkStatus),
    /// Of this checkpoint.
    Barrier(u64),
    /// All rows that were in flight when the state was written have come again.
    Replayed,
    End,
}

/// From one producer to one subtask.
#[derive(Default)]
pub struct Channel {
    pub queue: VecDeque<Item>,
    /// An aligned barrier came; nothing more is taken.
    pub blocked: bool,
    /// What was in flight has come again here, and not yet over all other channels.
    pub held: bool,
    pub replayed: bool,
    pub ended: bool,
}

/// A task before the exchange: a source and what is chained to it.
pub struct Producer {
    pub local: Option<Box<dyn Operator>>,
    /// The positions of its splits.
    pub splits: Vec<usize>,
    /// The latest time of all that it read.
    pub highest: i64,
    pub watermark: i64,
    pub idle: bool,
    pub ended: bool,
}

/// A subtask of the operator.
pub struct Consumer {
    pub operator: Box<dyn Operator>,
    pub key_groups: Range<u32>,
    pub valve: WatermarkValve,
    pub channels: Vec<Channel>,
    /// Rows that were in flight to it when the state was written, with their producers. They come first.
    pub replay: VecDeque<(usize, Batch)>,
    /// Its results since it started.
    pub results: Vec<String>,
    /// The last watermark that it handed on.
    pub handed_on: i64,
    pub finished: bool,
    /// Its part in the checkpoint under way.
    pub part: Option<Part>,
}

impl Consumer {
    pub fn new(operator: Box<dyn Operator>, key_groups: Range<u32>, producers: usize) -> Self {
        Self {
            operator,
            key_groups,
            valve: WatermarkValve::new(producers),
            channels: (0..producers).map(|_| Channel::default()).collect(),
            replay: VecDeque::new(),
            results: Vec::new(),
            handed_on: MIN_WATERMARK,
            finished: false,
            part: None,
        }
    }

    /// What was in flight over a channel has come again: it waits for the others.
    pub fn channel_replayed(&mut self, channel: usize) {
        self.channels[channel].held = true;
        self.channels[channel].replayed = true;
        if self.channels.iter().all(|channel| channel.replayed) {
            self.channels.iter_mut().for_each(|channel| channel.held = false);
        }
    }

    /// Takes the barriers of an unaligned checkpoint out of all channels, and records what they overtake.
    pub fn overtake(&mut self, checkpoint: u64) {
        let Some(part) = &mut self.part else { return };
        for (number, channel) in self.channels.iter_mut().enumerate() {
            if part.arrived[number] {
                continue;
            }
            let is_barrier = |item: &Item| matches!(item, Item::Barrier(of) if *of == checkpoint);
            let Some(at) = channel.queue.iter().position(is_barrier) else { continue };
            let overtaken = channel.queue.iter().take(at);
            part.recorded.entry(number).or_default().extend(overtaken.filter_map(|item| match item {
                Item::Rows(batch) => Some(batch.clone()),
                _ => None,
            }));
            channel.queue.remove(at);
            part.arrived[number] = true;
        }
    }

    /// Whether a barrier waits in any channel.
    pub fn holds_barrier(&self, checkpoint: u64) -> bool {
        let mut items = self.channels.iter().flat_map(|channel| &channel.queue);
        items.any(|item| matches!(item, Item::Barrier(of) if *of == checkpoint))
    }

    /// Whether no barrier is to come any more.
    pub fn all_arrived(&self) -> bool {
        let arrived = |part: &Part| part.arrived.iter().zip(&self.channels).all(|(arrived, c)| *arrived || c.ended);
        self.part.as_ref().is_some_and(arrived)
    }
}

/// A subtask's part in a checkpoint.
pub struct Part {
    /// The channels whose barrier came.
    pub arrived: Vec<bool>,
    /// Rows that were before a barrier and came after the snapshot, by producer.
    pub recorded: BTreeMap<usize, Vec<Batch>>,
    pub snapshot: Option<Snapshot>,
}

impl Part {
    pub fn new(channels: usize) -> Self {
        Self { arrived: vec![false; channels], recorded: BTreeMap::new(), snapshot: None }
    }
}

/// What a subtask was when its state was fixed.
#[derive(Clone)]
pub struct Snapshot {
    pub keyed: Option<proto::KeyedStateHandle>,
    /// How much its key groups had been told.
    pub told: Vec<(u32, usize)>,
    pub results: Vec<String>,
    pub handed_on: i64,
}
