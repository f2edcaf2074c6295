//! The queue between one producer and one consumer.
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use wiesel_common::notifier::Notifier;

use crate::buffer_pool::LocalBufferPool;
use crate::codec::Payload;
use crate::event::{Barrier, Event};
use crate::id::ChannelKey;

/// What waits for a consumer.
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// Rows for a consumer in this process.
    Batch(RecordBatch),
    /// Rows for a consumer elsewhere.
    Encoded(Payload),
    /// An event.
    Event(Event),
    /// The end of a channel whose producer is gone.
    Failure(Arc<str>),
}

/// A barrier with the rows that it has overtaken, in their order.
pub type OvertakenRows = (Barrier, Vec<Outgoing>);

impl Outgoing {
    fn as_barrier(&self) -> Option<&Barrier> {
        if let Self::Event(Event::Barrier(barrier)) = self { Some(barrier) } else { None }
    }

    fn is_end(&self) -> bool {
        matches!(self, Self::Event(event) if event.is_end())
    }

    fn needs_credit(&self) -> bool {
        matches!(self, Self::Batch(_) | Self::Encoded(_))
    }
}

/// Whoever reads a subpartition.
pub trait Consumer: Send + Sync {
    /// Something may be there that was not there at the last [`Subpartition::take`]. Called under no lock; must not block.
    fn data_available(&self);

    /// As [`Consumer::data_available`], for a barrier that does not wait behind rows.
    fn barrier_urgent(&self) {
        self.data_available();
    }
}

/// What a consumer took.
#[derive(Debug)]
pub struct Taken {
    /// The head of the queue.
    pub outgoing: Outgoing,
    /// To be given to [`Subpartition::done`] when it is consumed or written.
    pub bytes: usize,
    /// Whether anything waits behind it.
    pub more: bool,
    /// Bytes that wait behind it.
    pub backlog: usize,
}

/// The part of a result partition for one consumer.
pub struct Subpartition {
    key: ChannelKey,
    pool: Arc<LocalBufferPool>,
    max_bytes: usize,
    schema_checksum: u32,
    producer: Arc<Notifier>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(Outgoing, usize)>,
    /// Bytes queued, or taken and not yet done.
    bytes: usize,
    queued: usize,
    consumer: Option<Arc<dyn Consumer>>,
    had_consumer: bool,
    /// The consumer is gone: what comes is thrown away.
    discard: bool,
    /// The producer said its last word.
    closed: bool,
    producer_waits: bool,
    /// [`Event::Replayed`] is in the queue.
    replaying: bool,
    /// The producer wants to know when this checkpoint's barrier leaves.
    watched: Option<u64>,
}

impl State {
    /// Where the next urgent barrier goes: behind those before it, and behind what is sent again of an earlier run.
    fn front(&self) -> usize {
        let is_replayed = |(element, _): &(Outgoing, usize)| matches!(element, Outgoing::Event(Event::Replayed));
        let new =
            if self.replaying { self.queue.iter().position(is_replayed).map_or(0, |marker| marker + 1) } else { 0 };
        let is_urgent = |(element, _): &&(Outgoing, usize)| element.as_barrier().is_some_and(|barrier| barrier.urgent);
        new + self.queue.range(new..).take_while(is_urgent).count()
    }

    /// The rows from `start` to `end`.
    fn rows(&self, start: usize, end: usize) -> Vec<Outgoing> {
        let range = self.queue.range(start..end);
        range.map(|(element, _)| element).filter(|element| element.needs_credit()).cloned().collect()
    }
}

impl Subpartition {
    /// An empty queue that holds at most `max_bytes` of the pool, and whatever it holds already when one more comes.
    pub fn new(
        key: ChannelKey,
        pool: Arc<LocalBufferPool>,
        max_bytes: usize,
        schema_checksum: u32,
        producer: Arc<Notifier>,
    ) -> Arc<Self> {
        Arc::new(Self { key, pool, max_bytes, schema_checksum, producer, state: Mutex::default() })
    }

    /// What its consumer has to say of the schema.
    pub fn schema_checksum(&self) -> u32 {
        self.schema_checksum
    }

    /// What it is called.
    pub fn key(&self) -> ChannelKey {
        self.key
    }

    /// Whether the producer may add rows. If not, its notifier is woken when it may.
    pub fn has_room(&self) -> bool {
        let mut state = self.state.lock();
        let room = state.discard || state.bytes < self.max_bytes;
        state.producer_waits |= !room;
        room
    }

    /// Adds to the end. `bytes` were acquired from the pool.
    pub fn push(&self, outgoing: Outgoing, bytes: usize) {
        let mut state = self.state.lock();
        if state.discard || state.closed {
            drop(state);
            self.pool.release(bytes);
            return;
        }
        state.closed = outgoing.is_end();
        state.replaying |= matches!(outgoing, Outgoing::Event(Event::Replayed));
        state.bytes += bytes;
        state.queued += bytes;
        state.queue.push_back((outgoing, bytes));
        // A consumer that was told of the element before and has not come yet sees this one too.
        let consumer = if state.queue.len() == 1 { state.consumer.clone() } else { None };
        drop(state);
        if let Some(consumer) = consumer {
            consumer.data_available();
        }
    }

    /// Adds a barrier: before everything new if it is urgent, else at the end, though before an end of input. Returns the rows
    /// that it overtook; none: the consumer has taken the end of input already.
    pub fn push_barrier(&self, barrier: Barrier) -> Option<Vec<Outgoing>> {
        let mut state = self.state.lock();
        if state.discard {
            // A consumer that left after the end has taken it; one that left before is being cancelled and misses nothing.
            return (!state.closed).then(Vec::new);
        }
        let end = state.queue.len() - usize::from(state.queue.back().is_some_and(|(element, _)| element.is_end()));
        if state.closed && end == state.queue.len() {
            return None;
        }
        let urgent = barrier.urgent;
        let at = if urgent { state.front() } else { end };
        let overtaken = state.rows(at, end);
        state.queue.insert(at, (Outgoing::Event(Event::Barrier(barrier)), 0));
        let consumer = if urgent || state.queue.len() == 1 { state.consumer.clone() } else { None };
        drop(state);
        match consumer {
            Some(consumer) if urgent => consumer.barrier_urgent(),
            Some(consumer) => consumer.data_available(),
            None => {}
        }
        Some(overtaken)
    }

    /// Lets the barrier of a checkpoint overtake everything new, if it still waits here. Returns the rows that it overtook.
    pub fn make_urgent(&self, checkpoint: u64) -> Vec<Outgoing> {
        let mut state = self.state.lock();
        let waits = |(element, _): &(Outgoing, usize)| {
            element.as_barrier().is_some_and(|barrier| barrier.checkpoint == checkpoint && !barrier.urgent)
        };
        let Some(position) = state.queue.iter().position(waits) else { return Vec::new() };
        let at = state.front();
        let overtaken = state.rows(at, position);
        if let Some((Outgoing::Event(Event::Barrier(mut barrier)), bytes)) = state.queue.remove(position) {
            barrier.urgent = true;
            state.queue.insert(at, (Outgoing::Event(Event::Barrier(barrier)), bytes));
        }
        let consumer = state.consumer.clone();
        drop(state);
        if let Some(consumer) = consumer {
            consumer.barrier_urgent();
        }
        overtaken
    }

    /// Whether the barrier of a checkpoint still waits here. If so, the producer's notifier is woken when it does not.
    pub fn holds_barrier(&self, checkpoint: u64) -> bool {
        let mut state = self.state.lock();
        let of = |(element, _): &(Outgoing, usize)| {
            element.as_barrier().is_some_and(|barrier| barrier.checkpoint == checkpoint)
        };
        let holds = state.queue.iter().any(of);
        if holds {
            state.watched = Some(checkpoint);
        }
        holds
    }

    /// Takes the first barrier that is wanted out of the queue, and tells the rows that it overtook. They stay.
    pub fn extract_barrier(&self, wanted: impl Fn(&Barrier) -> bool) -> Option<OvertakenRows> {
        let mut state = self.state.lock();
        let position = state.queue.iter().position(|(element, _)| element.as_barrier().is_some_and(&wanted))?;
        let overtaken = state.rows(0, position);
        let (element, _) = state.queue.remove(position)?;
        let barrier = element.as_barrier()?.clone();
        let wake = std::mem::take(&mut state.producer_waits) | (state.watched == Some(barrier.checkpoint));
        drop(state);
        if wake {
            self.producer.notify();
        }
        Some((barrier, overtaken))
    }

    /// Whether the producer is gone before its end of input.
    pub fn is_broken(&self) -> bool {
        matches!(self.state.lock().queue.front(), Some((Outgoing::Failure(_), _)))
    }

    /// The head of the queue; rows only with `credit`.
    pub fn take(&self, credit: bool) -> Option<Taken> {
        let mut state = self.state.lock();
        if !credit && state.queue.front()?.0.needs_credit() {
            return None;
        }
        let (outgoing, bytes) = state.queue.pop_front()?;
        state.replaying &= !matches!(outgoing, Outgoing::Event(Event::Replayed));
        state.queued -= bytes;
        let taken = Taken { outgoing, bytes, more: !state.queue.is_empty(), backlog: state.queued };
        // The producer may wait for the queue to run dry before it ends.
        let mut wake = state.queue.is_empty() && bytes == 0 && std::mem::take(&mut state.producer_waits);
        wake |= taken.outgoing.as_barrier().is_some_and(|barrier| state.watched == Some(barrier.checkpoint));
        drop(state);
        if wake {
            self.producer.notify();
        }
        Some(taken)
    }

    /// What was taken needs no memory any more.
    pub fn done(&self, bytes: usize) {
        if bytes == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
        let wake = std::mem::take(&mut state.producer_waits);
        drop(state);
        self.pool.release(bytes);
        if wake {
            self.producer.notify();
        }
    }

    /// Whether the consumer has taken everything, or will never take anything. If not, the producer's notifier is woken
    /// when it has.
    pub fn is_drained(&self) -> bool {
        let mut state = self.state.lock();
        let drained = state.discard || (state.queue.is_empty() && state.bytes == 0);
        state.producer_waits |= !drained;
        drained
    }

    /// Gives the queue its consumer, which is told at once if anything is there. False: it has had one already.
    pub fn attach(&self, consumer: Arc<dyn Consumer>) -> bool {
        let mut state = self.state.lock();
        if state.had_consumer {
            return false;
        }
        state.had_consumer = true;
        state.consumer = Some(consumer.clone());
        let tell = !state.queue.is_empty();
        drop(state);
        if tell {
            consumer.data_available();
        }
        true
    }

    /// The consumer is gone. What waits and what comes is thrown away, so that the producer is not held up by it.
    pub fn detach(&self) {
        let mut state = self.state.lock();
        state.discard = true;
        state.consumer = None;
        let thrown = Self::clear(&mut state);
        state.producer_waits = false;
        drop(state);
        self.pool.release(thrown);
        self.producer.notify();
    }

    /// The producer is gone before its end of input: the consumer is told why. Does nothing after the end of input.
    pub fn close(&self, cause: &Arc<str>) {
        let mut state = self.state.lock();
        if state.closed && !state.queue.back().is_some_and(|(element, _)| element.is_end()) {
            return;
        }
        state.closed = true;
        let thrown = Self::clear(&mut state);
        let mut consumer = None;
        if !state.discard {
            state.queue.push_back((Outgoing::Failure(cause.clone()), 0));
            consumer = state.consumer.clone();
        }
        drop(state);
        self.pool.release(thrown);
        if let Some(consumer) = consumer {
            consumer.data_available();
        }
    }

    fn clear(state: &mut State) -> usize {
        let thrown = state.queue.drain(..).map(|(_, bytes)| bytes).sum();
        state.bytes = state.bytes.saturating_sub(thrown);
        state.queued = 0;
        thrown
    }
}

/// Where the consumers of other TaskManagers find the subpartitions of this one.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<HashMap<ChannelKey, Entry>>,
}

enum Entry {
    Offered(Arc<Subpartition>),
    Wanted(Arc<dyn Claim>),
}

/// A consumer that may come before its producer.
pub trait Claim: Consumer {
    /// The subpartition is there. Called under the registry's lock: must not call back.
    fn found(self: Arc<Self>, subpartition: Arc<Subpartition>);
}

impl Registry {
    /// Makes a subpartition known.
    pub fn offer(&self, subpartition: Arc<Subpartition>) {
        let mut entries = self.entries.lock();
        if let Some(Entry::Wanted(claim)) = entries.insert(subpartition.key, Entry::Offered(subpartition.clone())) {
            claim.found(subpartition);
        }
    }

    /// Forgets a subpartition.
    pub fn withdraw(&self, key: &ChannelKey) {
        self.entries.lock().remove(key);
    }

    /// The subpartition of that name.
    pub fn find(&self, key: &ChannelKey) -> Option<Arc<Subpartition>> {
        match self.entries.lock().get(key) {
            Some(Entry::Offered(subpartition)) => Some(subpartition.clone()),
            _ => None,
        }
    }

    /// Gives the claim the subpartition of that name, now or when it is offered. False: somebody else waits for it.
    pub fn claim(&self, key: ChannelKey, claim: Arc<dyn Claim>) -> bool {
        let mut entries = self.entries.lock();
        match entries.get(&key) {
            Some(Entry::Offered(subpartition)) => claim.found(subpartition.clone()),
            Some(Entry::Wanted(_)) => return false,
            None => {
                entries.insert(key, Entry::Wanted(claim));
            }
        }
        true
    }

    /// Takes this claim back, not another of the same name. False: it does not stand, be it met, refused or taken back before.
    pub fn disclaim(&self, key: &ChannelKey, claim: &Arc<impl Claim>) -> bool {
        let mut entries = self.entries.lock();
        let is_it = |other: &Arc<dyn Claim>| std::ptr::addr_eq(Arc::as_ptr(other), Arc::as_ptr(claim));
        let waiting = matches!(entries.get(key), Some(Entry::Wanted(other)) if is_it(other));
        if waiting {
            entries.remove(key);
        }
        waiting
    }

    /// How many subpartitions and claims there are.
    pub fn len(&self) -> usize {
        self.entries.lock().len()
    }

    /// Whether nothing is offered or wanted.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
