//! The end of a chain: rows into the partitions of all edges that leave the task.
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Int8Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use wiesel_network::{Event, ResultPartition};
use wiesel_operators::element::{Batch, WatermarkStatus};
use wiesel_operators::operator::{Collector, Error, Result};

use super::failure::from_network;

/// The column that holds the kind of each row on an edge that is a changelog.
pub(crate) const KIND_COLUMN: &str = "$kind";

/// One edge that leaves the task.
pub(crate) struct OutputEdge {
    pub(crate) partition: ResultPartition,
    /// With [`KIND_COLUMN`] last if the edge is a changelog.
    pub(crate) schema: SchemaRef,
    pub(crate) changelog: bool,
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

    /// Ends all channels and waits until the consumers have taken everything.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.each(|partition| partition.broadcast(Event::EndOfInput))?;
        self.each(ResultPartition::drain)
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
        self.each(|partition| partition.broadcast(event))
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
