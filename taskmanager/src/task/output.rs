//! The end of a chain: rows into the partitions of all edges that leave the task.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use wiesel_network::{Event, OvertakenOutput, ResultPartition, Waiter};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, Error, Result};

use super::checkpoint::alignment::to_network;
use super::checkpoint::barriers::LocalBarrier;
use super::checkpoint::channel_state::{Channel, ChannelRows};
use super::failure::from_network;

/// The column that holds the kind of each row on an edge that is a changelog.
pub(crate) const KIND_COLUMN: &str = "$kind";

/// One edge that leaves the task.
pub(crate) struct OutputEdge {
    pub(crate) partition: ResultPartition,
    /// With [`KIND_COLUMN`] last if the edge is a changelog.
    pub(crate) schema: SchemaRef,
    pub(crate) changelog: bool,
    /// Whether barriers may overtake its rows.
    pub(crate) overtakable: bool,
}

/// The schema of an edge, without and with [`KIND_COLUMN`].
pub(crate) fn edge_schema(row: &SchemaRef, changelog: bool) -> SchemaRef {
    if !changelog {
        return row.clone();
    }
    let mut fields: Vec<_> = row.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(KIND_COLUMN, DataType::Int8, false)));
    Arc::new(Schema::new(fields))
}

/// Everything that leaves the task. A task without edges throws away what its chain emits: a sink emits nothing.
#[derive(Default)]
pub(crate) struct Outputs {
    pub(crate) edges: Vec<OutputEdge>,
    /// The task's.
    pub(crate) waiter: Waiter,
}

impl Outputs {
    /// Whether writing would not block now.
    pub(crate) fn is_available(&self) -> bool {
        self.edges.iter().all(|edge| edge.partition.is_available())
    }

    pub(crate) fn flush_idle(&mut self) -> Result<()> {
        self.each(ResultPartition::flush_idle)
    }

    pub(crate) fn flush_due(&mut self, now: Instant) -> Result<()> {
        self.each(|partition| partition.flush_due(now))
    }

    /// Ends all channels.
    pub(crate) fn end(&mut self, end: &Event) -> Result<()> {
        self.each(|partition| partition.broadcast(end.clone()))
    }

    /// Whether the consumers have taken everything.
    pub(crate) fn is_drained(&self) -> bool {
        // Each is asked: each is to tell.
        self.edges.iter().fold(true, |all, edge| all & edge.partition.is_drained())
    }

    /// Sends a checkpoint's barrier, before what waits if it is urgent; returns the rows that it overtook.
    ///
    /// A consumer that has taken the end of this task's data (one in another process: to which the end was written) gets none
    /// and needs none: nothing that this task has ever sent comes behind that end, and the snapshot that follows is of a task
    /// that sends nothing more, so on that channel the cut is the end. The barrier comes to that consumer over channels that
    /// have not ended; once all have, it tells the JobMaster (`EndOfData`), which begins the checkpoint there.
    pub(crate) fn barrier(&mut self, barrier: &LocalBarrier, urgent: bool) -> Result<ChannelRows> {
        let mut all = ChannelRows::default();
        for (position, edge) in self.edges.iter_mut().enumerate() {
            let sent = to_network(barrier, urgent && edge.overtakable);
            let overtaken = edge.partition.barrier(&sent).map_err(from_network)?;
            record(&mut all, position, overtaken);
        }
        Ok(all)
    }

    /// Lets a checkpoint's barrier overtake what it waits behind; returns those rows.
    pub(crate) fn make_urgent(&mut self, checkpoint: u64) -> Result<ChannelRows> {
        let mut all = ChannelRows::default();
        for (position, edge) in self.edges.iter_mut().enumerate().filter(|(_, edge)| edge.overtakable) {
            let overtaken = edge.partition.make_urgent(checkpoint).map_err(from_network)?;
            record(&mut all, position, overtaken);
        }
        Ok(all)
    }

    /// Whether a checkpoint's barrier waits where it may yet overtake.
    pub(crate) fn holds_barrier(&self, checkpoint: u64) -> bool {
        let overtakable = self.edges.iter().filter(|edge| edge.overtakable);
        overtakable.fold(false, |any, edge| any | edge.partition.holds_barrier(checkpoint))
    }

    /// All rows that were in flight are sent again: what follows is new. Every task says so, whatever it starts from and
    /// whatever is configured: consumers wait for all.
    pub(crate) fn replayed(&mut self) -> Result<()> {
        for edge in self.edges.iter_mut().filter(|edge| edge.overtakable) {
            edge.partition.replayed().map_err(from_network)?;
        }
        Ok(())
    }

    /// Sends rows that were in flight on an edge when the state was written that the task starts from.
    pub(crate) fn replay(&mut self, edge: usize, consumer: u32, rows: RecordBatch) -> Result<()> {
        self.edges[edge].partition.replay(consumer, rows).map_err(from_network)
    }

    /// What consumers are told if the task ends early.
    pub(crate) fn set_failure(&mut self, cause: &str) {
        self.edges.iter_mut().for_each(|edge| edge.partition.set_failure(cause));
    }

    /// Rows and bytes written.
    pub(crate) fn counters(&self) -> (u64, u64) {
        self.edges
            .iter()
            .map(|edge| edge.partition.counters())
            .fold((0, 0), |(r, b), (records, bytes)| (r + records, b + bytes))
    }

    /// How long writing has waited.
    pub(crate) fn waited(&self) -> Duration {
        self.edges.iter().map(|edge| edge.partition.waited()).sum()
    }

    fn each(&mut self, mut step: impl FnMut(&mut ResultPartition) -> wiesel_network::Result<()>) -> Result<()> {
        self.edges.iter_mut().try_for_each(|edge| step(&mut edge.partition)).map_err(from_network)
    }

    fn broadcast(&mut self, event: Event) -> Result<()> {
        self.each(|partition| partition.broadcast(event.clone()))
    }
}

fn record(all: &mut ChannelRows, edge: usize, overtaken: Vec<OvertakenOutput>) {
    for OvertakenOutput { consumer, rows } in overtaken {
        let channel = Channel { edge: edge as u32, output: true, subtask: consumer };
        rows.into_iter().for_each(|rows| all.add(channel, rows));
    }
}

impl Collector for Outputs {
    fn collect(&mut self, batch: Batch) -> Result<()> {
        for edge in &mut self.edges {
            let records = edge.pack(&batch)?;
            edge.partition.emit(records).map_err(from_network)?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<()> {
        self.broadcast(Event::Watermark(watermark))
    }

    fn status(&mut self, status: WatermarkStatus) -> Result<()> {
        self.broadcast(match status {
            WatermarkStatus::Idle => Event::Idle,
            WatermarkStatus::Active => Event::Active,
        })
    }

    fn is_cancelled(&self) -> bool {
        self.waiter.is_cancelled()
    }
}

impl OutputEdge {
    fn pack(&self, batch: &Batch) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = batch.records.columns().to_vec();
        match (&batch.kinds, self.changelog) {
            (Some(kinds), true) => columns.push(Arc::new(kinds.clone())),
            (None, true) => columns.push(Arc::new(Int8Array::from_value(0, batch.num_rows()))),
            (Some(kinds), false) if kinds.values().iter().any(|kind| *kind != 0) => {
                return Err(Error::Plan("changes of rows on an edge that only takes inserts".into()));
            }
            (_, false) => {}
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        Ok(RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)?)
    }
}
