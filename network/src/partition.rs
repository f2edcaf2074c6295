//! What a task writes: rows and events for all consumers of one edge.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::buffer_pool::LocalBufferPool;
use crate::codec::{Encoder, row_bytes};
use crate::error::Result;
use crate::event::Event;
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
    pub(crate) registry: Arc<Registry>,
}

impl ResultPartition {
    pub(crate) fn new(parts: PartitionParts) -> Result<Self> {
        let PartitionParts { targets, partitioner, schema, producer, encoder, pool, enough, waiter, flush, registry } =
            parts;
        let consumers = targets.len();
        let channel_schema = partitioner.output_schema(&schema);
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
                schema: channel_schema,
                pool,
                waiter,
                enough,
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
            target.subpartition.push(Outgoing::Event(event), 0);
        }
        Ok(())
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

    /// Waits until the consumers have taken everything, after [`Event::EndOfInput`] was sent.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`] if the task is cancelled meanwhile.
    pub fn drain(&mut self) -> Result<()> {
        let targets = &self.output.targets;
        let drained = || targets.iter().all(|target| target.subpartition.is_drained());
        self.output.waited += self.output.waiter.wait_until("consumers to take the last data", drained)?;
        Ok(())
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
        let waited =
            self.waiter.wait_until("consumers to make room", || subpartition.has_room() && pool.try_acquire(bytes))?;
        self.waited += waited;
        self.bytes += bytes as u64;
        subpartition.push(outgoing, bytes);
        Ok(())
    }
}
