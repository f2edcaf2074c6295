//! What a task reads: the channels from all producers of one edge.
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parking_lot::Mutex;
use wiesel_common::notifier::Notifier;

use crate::buffer_pool::Segments;
use crate::client::{Received, RemoteChannel};
use crate::codec::decode;
use crate::error::{Error, Result};
use crate::event::{Barrier, Event};
use crate::subpartition::{Consumer, Outgoing, Subpartition};

/// What comes out of a gate.
#[derive(Clone, Debug)]
pub enum Element {
    /// Rows.
    Batch(RecordBatch),
    /// An event.
    Event(Event),
}

/// A barrier that went before the rows of its channel.
#[derive(Debug)]
pub struct Overtaken {
    /// Which channel.
    pub channel: usize,
    /// The barrier.
    pub barrier: Barrier,
    /// The rows that it overtook. They are still to come out of the gate.
    pub rows: Vec<RecordBatch>,
}

/// Checkpoints of which barriers are told that wait behind rows, at most: beyond, the oldest is forgotten.
const MAX_WAITING: usize = 64;

/// The side of a gate that channels see.
pub struct GateShared {
    ready: Mutex<VecDeque<u32>>,
    /// A barrier has come that does not wait behind rows.
    urgent: AtomicBool,
    /// Barriers that have come behind rows and keep their place: one of each checkpoint.
    waiting: Mutex<Vec<Barrier>>,
    has_waiting: AtomicBool,
    queued: Vec<AtomicBool>,
    notifier: Arc<Notifier>,
    pub(crate) segment_size: usize,
    /// Window of a channel that it has to itself, bytes.
    pub(crate) exclusive: usize,
    memory: Mutex<Memory>,
    max_floating: usize,
}

/// The segments of a gate.
struct Memory {
    exclusive: Segments,
    floating: Segments,
    /// The task is gone: nothing is held or lent any more.
    released: bool,
}

impl GateShared {
    pub(crate) fn new(
        channels: usize,
        notifier: Arc<Notifier>,
        exclusive: Segments,
        buffers_per_channel: usize,
        floating: Segments,
        max_floating: usize,
        segment_size: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            ready: Mutex::default(),
            urgent: AtomicBool::new(false),
            waiting: Mutex::default(),
            has_waiting: AtomicBool::new(false),
            queued: (0..channels).map(|_| AtomicBool::new(false)).collect(),
            notifier,
            segment_size,
            exclusive: buffers_per_channel * segment_size,
            memory: Mutex::new(Memory { exclusive, floating, released: false }),
            max_floating,
        })
    }

    /// A channel has something: the task will look.
    pub(crate) fn mark_ready(&self, channel: u32) {
        if !self.queued[channel as usize].swap(true, Ordering::SeqCst) {
            self.ready.lock().push_back(channel);
            self.notifier.notify();
        }
    }

    /// A channel has a barrier that does not wait behind rows.
    pub(crate) fn mark_urgent(&self) {
        self.urgent.store(true, Ordering::SeqCst);
        self.notifier.notify();
    }

    /// A channel has a barrier that waits behind rows.
    pub(crate) fn mark_waiting(&self, barrier: Barrier) {
        let mut waiting = self.waiting.lock();
        if waiting.iter().any(|other| other.checkpoint == barrier.checkpoint) {
            return;
        }
        if waiting.len() >= MAX_WAITING {
            waiting.remove(0);
        }
        waiting.push(barrier);
        drop(waiting);
        self.has_waiting.store(true, Ordering::SeqCst);
        self.notifier.notify();
    }

    fn next_ready(&self) -> Option<u32> {
        let channel = self.ready.lock().pop_front()?;
        self.queued[channel as usize].store(false, Ordering::SeqCst);
        Some(channel)
    }

    /// Lends up to `wanted` floating segments.
    pub(crate) fn borrow_floating(&self, wanted: usize) -> usize {
        let mut memory = self.memory.lock();
        let held = memory.floating.count();
        let lent = wanted.min(self.max_floating.saturating_sub(held));
        if lent > 0 && !memory.released && memory.floating.resize(held + lent) { lent } else { 0 }
    }

    /// Takes floating segments back.
    pub(crate) fn return_floating(&self, count: usize) {
        let mut memory = self.memory.lock();
        let held = memory.floating.count();
        memory.floating.resize(held.saturating_sub(count));
    }

    /// Gives all segments back: a connection may know its channels for a moment longer than the task lives.
    fn release(&self) {
        let mut memory = self.memory.lock();
        memory.released = true;
        memory.exclusive.resize(0);
        memory.floating.resize(0);
    }
}

struct LocalConsumer {
    gate: Arc<GateShared>,
    channel: u32,
}

impl Consumer for LocalConsumer {
    fn data_available(&self) {
        self.gate.mark_ready(self.channel);
    }

    fn barrier_urgent(&self) {
        self.gate.mark_urgent();
        self.gate.mark_ready(self.channel);
    }
}

enum Input {
    Local(Arc<Subpartition>),
    Remote(Arc<RemoteChannel>),
    /// Nothing more will come.
    Ended,
}

/// What became of a channel that the task does not want to hear of for now.
#[derive(Clone, Copy, Default)]
struct Blocked {
    /// It keeps what it has; its credit and the producer's queue hold back what follows.
    blocked: bool,
    /// It had something to say meanwhile.
    skipped: bool,
}

/// The input of a task from one edge. Polled by the task's thread, whose notifier is woken when there is something.
pub struct InputGate {
    shared: Arc<GateShared>,
    schema: SchemaRef,
    inputs: Vec<Input>,
    open: usize,
    blocked: Vec<Blocked>,
    /// Channels that gave nothing at an [`InputGate::poll_events`], in their turn: the next [`InputGate::poll`] begins with them.
    held: VecDeque<u32>,
    /// By channel, whether it is among them.
    is_held: Vec<bool>,
    records: u64,
    bytes: u64,
}

impl InputGate {
    pub(crate) fn new(shared: Arc<GateShared>, schema: SchemaRef) -> Self {
        Self {
            shared,
            schema,
            inputs: Vec::new(),
            open: 0,
            blocked: Vec::new(),
            held: VecDeque::new(),
            is_held: Vec::new(),
            records: 0,
            bytes: 0,
        }
    }

    /// The next channel reads a subpartition of this process.
    pub(crate) fn add_local(&mut self, subpartition: Arc<Subpartition>) -> Result<()> {
        let consumer = LocalConsumer { gate: self.shared.clone(), channel: self.inputs.len() as u32 };
        if !subpartition.attach(Arc::new(consumer)) {
            return Err(Error::PartitionNotFound(subpartition.key().partition));
        }
        self.add(Input::Local(subpartition));
        Ok(())
    }

    /// The next channel comes over a connection.
    pub(crate) fn add_remote(&mut self, channel: Arc<RemoteChannel>) {
        self.add(Input::Remote(channel));
    }

    fn add(&mut self, input: Input) {
        self.inputs.push(input);
        self.blocked.push(Blocked::default());
        self.is_held.push(false);
        self.open += 1;
    }

    /// How many producers there are.
    pub fn channels(&self) -> usize {
        self.inputs.len()
    }

    /// Whether every channel has ended.
    pub fn is_ended(&self) -> bool {
        self.open == 0
    }

    /// What comes in.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Rows and bytes that came in so far.
    pub fn counters(&self) -> (u64, u64) {
        (self.records, self.bytes)
    }

    /// Gives no more of a channel until [`InputGate::resume`]. What has come stays, and holds back what follows.
    pub fn block(&mut self, channel: usize) {
        self.blocked[channel].blocked = true;
    }

    /// Ends [`InputGate::block`].
    pub fn resume(&mut self, channel: usize) {
        let Blocked { blocked, skipped } = std::mem::take(&mut self.blocked[channel]);
        if blocked && skipped {
            self.shared.mark_ready(channel as u32);
        }
    }

    /// Whether a channel is blocked.
    pub fn is_blocked(&self, channel: usize) -> bool {
        self.blocked[channel].blocked
    }

    /// Whether a barrier may have come that does not wait behind rows. True once for each.
    pub fn take_urgent(&mut self) -> bool {
        self.shared.urgent.load(Ordering::Relaxed) && self.shared.urgent.swap(false, Ordering::SeqCst)
    }

    /// Barriers of checkpoints that have come over connections since this was asked last, and keep their place behind rows. The
    /// producer cannot let them overtake any more.
    pub fn take_waiting(&mut self) -> Vec<Barrier> {
        if !self.shared.has_waiting.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.shared.has_waiting.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.shared.waiting.lock())
    }

    /// Takes the first barrier that is wanted out of each channel's queue, past the rows before it and though the channel
    /// be blocked.
    ///
    /// # Errors
    /// As [`InputGate::poll`].
    pub fn overtake(&mut self, wanted: impl Fn(&Barrier) -> bool) -> Result<Vec<Overtaken>> {
        let mut all = Vec::new();
        for (channel, input) in self.inputs.iter().enumerate() {
            let extracted = match input {
                Input::Local(subpartition) => subpartition.extract_barrier(&wanted).map(|(barrier, overtaken)| {
                    let rows = overtaken.into_iter().filter_map(|element| match element {
                        Outgoing::Batch(batch) => Some(batch),
                        _ => None,
                    });
                    (barrier, rows.collect())
                }),
                Input::Remote(remote) => match remote.extract_barrier(&wanted) {
                    Some((barrier, rows)) => {
                        let rows = rows.iter().map(|payload| decode(&self.schema, payload));
                        Some((barrier, rows.collect::<Result<_>>()?))
                    }
                    None => None,
                },
                Input::Ended => None,
            };
            all.extend(extracted.map(|(barrier, rows)| Overtaken { channel, barrier, rows }));
        }
        Ok(all)
    }

    /// Passes a blocked channel over. One that broke is not: nothing that is waited for may come through it any more.
    fn pass_over(&mut self, channel: usize) -> bool {
        if !self.blocked[channel].blocked {
            return false;
        }
        let broken = match &self.inputs[channel] {
            Input::Local(subpartition) => subpartition.is_broken(),
            Input::Remote(remote) => remote.failure().is_some(),
            Input::Ended => false,
        };
        self.blocked[channel].skipped |= !broken;
        !broken
    }

    /// The next element and its channel; none: nothing is there now. Channels take turns.
    ///
    /// # Errors
    /// When a channel breaks; the gate is of no use then.
    pub fn poll(&mut self) -> Result<Option<(usize, Element)>> {
        self.next(true)
    }

    /// The next event that no rows of its channel are before: for a task that takes no rows now. Rows stay where they are, and hold
    /// back what follows them, until the next [`InputGate::poll`].
    ///
    /// # Errors
    /// As [`InputGate::poll`]; of a channel that broke behind rows it is not heard yet.
    pub fn poll_events(&mut self) -> Result<Option<(usize, Element)>> {
        self.next(false)
    }

    fn next(&mut self, rows: bool) -> Result<Option<(usize, Element)>> {
        while let Some(channel) = self.next_channel(rows) {
            let index = channel as usize;
            if self.pass_over(index) {
                continue;
            }
            let polled = match &self.inputs[index] {
                Input::Local(subpartition) => poll_local(subpartition, rows)?,
                // It broke, or it would have been passed over.
                Input::Remote(remote) if self.blocked[index].blocked => return remote.failure().map_or(Ok(None), Err),
                Input::Remote(remote) => poll_remote(remote, &self.schema, rows)?,
                Input::Ended => continue,
            };
            let Some(Polled { element, bytes, more }) = polled else {
                self.hold(channel, rows);
                continue;
            };
            if more {
                self.shared.mark_ready(channel);
            }
            match &element {
                Element::Batch(batch) => {
                    self.records += batch.num_rows() as u64;
                    self.bytes += bytes as u64;
                }
                Element::Event(event) if event.is_end() => self.end(index),
                Element::Event(_) => {}
            }
            return Ok(Some((index, element)));
        }
        Ok(None)
    }

    /// A channel has given its last element.
    fn end(&mut self, channel: usize) {
        self.open -= 1;
        if let Input::Remote(remote) = std::mem::replace(&mut self.inputs[channel], Input::Ended) {
            remote.close();
        }
    }

    /// Whose turn it is. Those that were held come before those that became ready since, one a call: a task that takes rows only now
    /// and then gives each channel its turn, and looks at each once.
    fn next_channel(&mut self, rows: bool) -> Option<u32> {
        let held = if rows { self.held.pop_front() } else { None };
        match held {
            Some(channel) => self.is_held[channel as usize] = false,
            None => return self.shared.next_ready(),
        }
        held
    }

    /// A channel gave nothing: if rows were not wanted it may be because of them, and it is looked at again when they are.
    fn hold(&mut self, channel: u32, rows: bool) {
        if !rows && !std::mem::replace(&mut self.is_held[channel as usize], true) {
            self.held.push_back(channel);
        }
    }
}

/// What a channel gave.
struct Polled {
    element: Element,
    /// Of rows.
    bytes: usize,
    /// Whether anything waits behind it.
    more: bool,
}

/// What there is of a producer in this process; rows only if they are wanted.
fn poll_local(subpartition: &Subpartition, rows: bool) -> Result<Option<Polled>> {
    let Some(taken) = subpartition.take(rows) else { return Ok(None) };
    subpartition.done(taken.bytes);
    let element = match taken.outgoing {
        Outgoing::Batch(batch) => Element::Batch(batch),
        Outgoing::Event(event) => Element::Event(event),
        Outgoing::Failure(cause) => return Err(Error::ProducerFailed { channel: subpartition.key(), cause }),
        // Only a consumer elsewhere is sent encoded rows.
        Outgoing::Encoded(_) => return Err(Error::PartitionNotFound(subpartition.key().partition)),
    };
    Ok(Some(Polled { element, bytes: taken.bytes, more: taken.more }))
}

/// What has come of a producer elsewhere; rows only if they are wanted.
fn poll_remote(remote: &RemoteChannel, schema: &SchemaRef, rows: bool) -> Result<Option<Polled>> {
    let Some((received, more)) = remote.take(rows)? else { return Ok(None) };
    let (element, bytes) = match received {
        Received::Event(event) => (Element::Event(event), 0),
        Received::Rows(payload) => {
            let batch = decode(schema, &payload)?;
            remote.consumed(payload.len());
            (Element::Batch(batch), payload.len())
        }
    };
    Ok(Some(Polled { element, bytes, more }))
}

impl Drop for InputGate {
    fn drop(&mut self) {
        for input in &self.inputs {
            match input {
                Input::Local(subpartition) => subpartition.detach(),
                Input::Remote(remote) => remote.close(),
                Input::Ended => {}
            }
        }
        self.shared.release();
    }
}
