//! What a task writes: rows and events for all consumers of one edge.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::buffer::MutableBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::buffer_pool::LocalBufferPool;
use crate::codec::{Encoder, Payload, decode, row_bytes};
use crate::error::{Error, Result};
use crate::event::{Barrier, Event};
use crate::options::Flush;
use crate::partitioner::{HashSelector, Partitioner, RoundRobin};
use crate::subpartition::{Outgoing, Registry, Subpartition};
use crate::wait::Waiter;

/// Rows that are worth sending however few bytes they have.
const ENOUGH_ROWS: usize = 2048;

/// One consumer.
pub(crate) struct Target {
    pub(crate) subpartition: Arc<Subpartition>,
    pub(crate) remote: bool,
}

/// Rows for one consumer that a barrier has overtaken. They are still sent.
#[derive(Debug)]
pub struct OvertakenOutput {
    /// The consuming subtask.
    pub consumer: u32,
    /// The rows, in their order.
    pub rows: Vec<RecordBatch>,
}

/// How a step of the task may go beyond the budget of its output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overdraft {
    /// Not at all: writing waits for consumers.
    None,
    /// Up to a limit.
    Limited,
    /// As far as it must.
    Forced,
}

/// Rows that wait for company.
#[derive(Default)]
struct Gathered {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

enum Selector {
    One,
    RoundRobin(RoundRobin),
    Hash(Box<HashSelector>),
    Broadcast,
}

/// The output of a task for one edge. Used by the task's thread only; writing blocks while consumers are behind.
pub struct ResultPartition {
    selector: Selector,
    output: Output,
    gathered: Vec<Gathered>,
    oldest: Option<Instant>,
    flush: Flush,
    registry: Arc<Registry>,
    records: u64,
    failure: Arc<str>,
}

/// Everything that turns rows for a consumer into elements of its queue.
struct Output {
    targets: Vec<Target>,
    encoder: Encoder,
    schema: SchemaRef,
    pool: Arc<LocalBufferPool>,
    waiter: Waiter,
    /// Bytes that are worth sending.
    enough: usize,
    overdraft: Overdraft,
    bytes: u64,
    waited: Duration,
}

pub(crate) struct PartitionParts {
    pub(crate) targets: Vec<Target>,
    pub(crate) partitioner: Partitioner,
    pub(crate) schema: SchemaRef,
    pub(crate) producer: u32,
    pub(crate) encoder: Encoder,
    pub(crate) pool: Arc<LocalBufferPool>,
    /// Bytes for a consumer that are worth a frame; frames have at most twice as many.
    pub(crate) enough: usize,
    pub(crate) waiter: Waiter,
    pub(crate) flush: Flush,
    /// A step that has begun does not wait for consumers.
    pub(crate) overdraft: bool,
    pub(crate) registry: Arc<Registry>,
}

impl ResultPartition {
    pub(crate) fn new(parts: PartitionParts) -> Result<Self> {
        let PartitionParts {
            targets,
            partitioner,
            schema,
            producer,
            encoder,
            pool,
            enough,
            waiter,
            flush,
            overdraft,
            registry,
        } = parts;
        let consumers = targets.len();
        let selector = match partitioner {
            Partitioner::Forward | Partitioner::Global => Selector::One,
            Partitioner::Rebalance | Partitioner::Rescale => Selector::RoundRobin(RoundRobin::new(producer, consumers)),
            Partitioner::Broadcast => Selector::Broadcast,
            Partitioner::Hash { keys, max_parallelism } => {
                Selector::Hash(Box::new(HashSelector::new(keys, max_parallelism, consumers, &schema)?))
            }
        };
        let gathered = if matches!(selector, Selector::Broadcast) { 1 } else { consumers };
        Ok(Self {
            selector,
            output: Output {
                targets,
                encoder,
                schema,
                pool,
                waiter,
                enough,
                overdraft: if overdraft { Overdraft::Limited } else { Overdraft::None },
                bytes: 0,
                waited: Duration::ZERO,
            },
            gathered: (0..gathered).map(|_| Gathered::default()).collect(),
            oldest: None,
            flush,
            registry,
            records: 0,
            failure: "the task ended before its end of input".into(),
        })
    }

    /// Lets the consumers of other TaskManagers, and gates of this one, find it.
    pub(crate) fn offer(&self) {
        for target in &self.output.targets {
            self.registry.offer(target.subpartition.clone());
        }
    }

    /// Sends rows to their consumers, or gathers them.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] if the task is cancelled while consumers are behind; else what is wrong with the rows.
    pub fn emit(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows();
        if rows == 0 || self.output.targets.is_empty() {
            return Ok(());
        }
        self.records += rows as u64;
        let (output, gathered) = (&mut self.output, &mut self.gathered);
        let broadcast = matches!(self.selector, Selector::Broadcast);
        let mut add =
            |target: usize, batch: RecordBatch| gather(output, &mut gathered[target], target, broadcast, batch);
        match &mut self.selector {
            Selector::One | Selector::Broadcast => add(0, batch)?,
            Selector::RoundRobin(selector) => selector.select(batch, add)?,
            Selector::Hash(selector) => selector.select(&batch, add)?,
        }
        if self.flush == Flush::Always {
            return self.flush();
        }
        if self.gathered.iter().all(|gathered| gathered.rows == 0) {
            self.oldest = None;
        } else if self.oldest.is_none() {
            self.oldest = Some(Instant::now());
        }
        Ok(())
    }

    /// Sends an event to every consumer, after the rows before it.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn broadcast(&mut self, event: Event) -> Result<()> {
        self.flush()?;
        for target in &self.output.targets {
            target.subpartition.push(Outgoing::Event(event.clone()), 0);
        }
        Ok(())
    }

    /// Says to every consumer that what was to be sent again ([`Self::replay`]) has been. Does not wait for consumers.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn replayed(&mut self) -> Result<()> {
        self.forced(|partition| partition.broadcast(Event::Replayed))
    }

    /// Sends a barrier to every consumer, after the rows before it. One that is urgent goes before all new rows that wait, and
    /// never waits itself. A consumer that has seen the end of input already gets none.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn barrier(&mut self, barrier: &Barrier) -> Result<Vec<OvertakenOutput>> {
        if barrier.urgent {
            self.forced(Self::flush)?;
        } else {
            self.flush()?;
        }
        let mut overtaken = Vec::new();
        for target in &self.output.targets {
            if let Some(rows) = target.subpartition.push_barrier(barrier.clone()) {
                overtaken.extend(self.output.overtaken(target, &rows)?);
            }
        }
        Ok(overtaken)
    }

    /// Lets the barrier of a checkpoint overtake what waits before it.
    ///
    /// # Errors
    /// What is wrong with the rows.
    pub fn make_urgent(&mut self, checkpoint: u64) -> Result<Vec<OvertakenOutput>> {
        let mut overtaken = Vec::new();
        for target in &self.output.targets {
            let rows = target.subpartition.make_urgent(checkpoint);
            overtaken.extend(self.output.overtaken(target, &rows)?);
        }
        Ok(overtaken)
    }

    /// Whether the barrier of a checkpoint waits behind rows. If so, the task's notifier is woken when it does not.
    pub fn holds_barrier(&self, checkpoint: u64) -> bool {
        // Each is asked: each is to tell.
        let holds = self.output.targets.iter().map(|target| target.subpartition.holds_barrier(checkpoint));
        holds.fold(false, |any, holds| any | holds)
    }

    /// Sends rows that a barrier had overtaken when the job's state was written, before anything new: by their key, to the
    /// consumer that was meant if there is still one of that number, else in turn. Does not wait for consumers.
    ///
    /// # Errors
    /// What is wrong with the rows.
    pub fn replay(&mut self, consumer: u32, rows: RecordBatch) -> Result<()> {
        let target = self.output.targets.iter().position(|target| target.subpartition.key().consumer == consumer);
        self.forced(|partition| match (&partition.selector, target) {
            (Selector::RoundRobin(_), Some(target)) => {
                partition.flush()?;
                let bytes = row_bytes(&rows);
                partition.records += rows.num_rows() as u64;
                partition.output.send(target, false, rows, bytes)
            }
            _ => partition.emit(rows),
        })
    }

    fn forced<T>(&mut self, step: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let usual = std::mem::replace(&mut self.output.overdraft, Overdraft::Forced);
        let done = step(self);
        self.output.overdraft = usual;
        done
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn flush(&mut self) -> Result<()> {
        let broadcast = matches!(self.selector, Selector::Broadcast);
        for (target, gathered) in self.gathered.iter_mut().enumerate() {
            self.output.send_gathered(target, broadcast, gathered)?;
        }
        self.oldest = None;
        Ok(())
    }

    /// To be called when the task has nothing to do: sends what was gathered, unless only full buffers are to be sent.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn flush_idle(&mut self) -> Result<()> {
        if self.flush == Flush::WhenFull { Ok(()) } else { self.flush() }
    }

    /// To be called now and then: sends what was gathered too long ago.
    ///
    /// # Errors
    /// As [`ResultPartition::emit`].
    pub fn flush_due(&mut self, now: Instant) -> Result<()> {
        match (self.oldest, self.flush) {
            (Some(oldest), Flush::After(interval)) if now.duration_since(oldest) >= interval => self.flush(),
            _ => Ok(()),
        }
    }

    /// Whether the consumers have taken everything. If not, the task's notifier is woken when they have.
    pub fn is_drained(&self) -> bool {
        self.output.targets.iter().all(|target| target.subpartition.is_drained())
    }

    /// Waits until the consumers have taken everything, after the event that ends the input was sent.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] if the task is cancelled meanwhile.
    pub fn drain(&mut self) -> Result<()> {
        let targets = &self.output.targets;
        let drained = || targets.iter().all(|target| target.subpartition.is_drained());
        self.output.waited += self.output.waiter.wait_until("consumers to take the last data", drained)?;
        Ok(())
    }

    /// What travels on its channels.
    pub fn schema(&self) -> &SchemaRef {
        &self.output.schema
    }

    /// Whether writing would not block now. If it would, the task's notifier is woken when it would not.
    pub fn is_available(&self) -> bool {
        self.output.pool.is_available() && self.output.targets.iter().all(|target| target.subpartition.has_room())
    }

    /// What consumers are told if this is dropped before its end.
    pub fn set_failure(&mut self, cause: &str) {
        self.failure = cause.into();
    }

    /// Rows and bytes written so far.
    pub fn counters(&self) -> (u64, u64) {
        (self.records, self.output.bytes)
    }

    /// How long writing has waited for consumers so far.
    pub fn waited(&self) -> Duration {
        self.output.waited
    }
}

impl Drop for ResultPartition {
    fn drop(&mut self) {
        for target in &self.output.targets {
            self.registry.withdraw(&target.subpartition.key());
            target.subpartition.close(&self.failure);
        }
        // Whoever writes to a consumer may still know the subpartitions: the memory is free now, not when it forgets them.
        self.output.pool.close();
    }
}

/// Adds rows for a consumer, and sends once there are enough.
fn gather(
    output: &mut Output,
    gathered: &mut Gathered,
    target: usize,
    broadcast: bool,
    batch: RecordBatch,
) -> Result<()> {
    let (rows, bytes) = (batch.num_rows(), row_bytes(&batch));
    if rows == 0 {
        return Ok(());
    }
    let enough = output.enough;
    let is_enough = |rows: usize, bytes: usize| rows >= ENOUGH_ROWS || bytes >= enough;
    if is_enough(rows, bytes) {
        output.send_gathered(target, broadcast, gathered)?;
        return output.send(target, broadcast, batch, bytes);
    }
    gathered.batches.push(batch);
    gathered.rows += rows;
    gathered.bytes += bytes;
    if is_enough(gathered.rows, gathered.bytes) {
        output.send_gathered(target, broadcast, gathered)?;
    }
    Ok(())
}

impl Output {
    /// The rows for a consumer, if there are any.
    fn overtaken(&self, target: &Target, elements: &[Outgoing]) -> Result<Option<OvertakenOutput>> {
        let rows = elements.iter().filter_map(|element| match element {
            Outgoing::Batch(batch) => Some(Ok(batch.clone())),
            Outgoing::Encoded(payload) => Some(self.decode(payload)),
            _ => None,
        });
        let rows = rows.collect::<Result<Vec<_>>>()?;
        let consumer = target.subpartition.key().consumer;
        Ok((!rows.is_empty()).then_some(OvertakenOutput { consumer, rows }))
    }

    fn decode(&self, payload: &Payload) -> Result<RecordBatch> {
        let mut bytes = MutableBuffer::with_capacity(payload.len());
        bytes.extend_from_slice(&payload.head);
        bytes.extend_from_slice(&payload.body);
        decode(&self.schema, &bytes.into())
    }

    fn send_gathered(&mut self, target: usize, broadcast: bool, gathered: &mut Gathered) -> Result<()> {
        let Gathered { mut batches, rows, bytes } = std::mem::take(gathered);
        if rows == 0 {
            return Ok(());
        }
        let batch = match (batches.pop(), batches.is_empty()) {
            (Some(batch), true) => batch,
            (Some(last), false) => {
                batches.push(last);
                concat_batches(&self.schema, &batches)?
            }
            (None, _) => return Ok(()),
        };
        self.send(target, broadcast, batch, bytes)
    }

    /// Queues rows for one consumer, or for all of them.
    fn send(&mut self, target: usize, broadcast: bool, batch: RecordBatch, bytes: usize) -> Result<()> {
        let targets = if broadcast { 0..self.targets.len() } else { target..target + 1 };
        if self.targets[targets.clone()].iter().any(|target| target.remote) {
            // What is too long for one frame is sent in equal parts, so that no frame takes a whole window.
            let parts = if bytes > 2 * self.enough { bytes.div_ceil(self.enough).min(batch.num_rows()) } else { 1 };
            for part in 0..parts {
                let (start, end) = (batch.num_rows() * part / parts, batch.num_rows() * (part + 1) / parts);
                let payload = self.encoder.encode(&batch.slice(start, end - start))?;
                for target in targets.clone().filter(|target| self.targets[*target].remote).collect::<Vec<_>>() {
                    self.push(target, Outgoing::Encoded(payload.clone()), payload.len())?;
                }
            }
        }
        for target in targets {
            if !self.targets[target].remote {
                self.push(target, Outgoing::Batch(batch.clone()), bytes.max(1))?;
            }
        }
        Ok(())
    }

    fn push(&mut self, target: usize, outgoing: Outgoing, bytes: usize) -> Result<()> {
        let subpartition = &self.targets[target].subpartition;
        let pool = &self.pool;
        if self.waiter.is_cancelled() {
            return Err(Error::Cancelled);
        }
        let admitted = match self.overdraft {
            Overdraft::None => false,
            Overdraft::Limited => pool.try_overdraw(bytes),
            Overdraft::Forced => {
                pool.overdraw(bytes);
                true
            }
        };
        if !admitted {
            self.waited += self
                .waiter
                .wait_until("consumers to make room", || subpartition.has_room() && pool.try_acquire(bytes))?;
        }
        self.bytes += bytes as u64;
        subpartition.push(outgoing, bytes);
        Ok(())
    }
}
