//! A window aggregate over TIMESTAMP_LTZ where clocks change.
//!
//! The model's first seconds are stretched over the hours around the change: what it calls a millisecond are [`STRETCH`]. Rows
//! and watermarks are put there on their way in. On the way out watermarks are put back, and each result gets one more column:
//! when its window was complete, as the end that a window without a zone would have.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, TimestampMillisecondArray};
use arrow::datatypes::{SchemaRef, TimestampMillisecondType};
use wiesel_expressions::expression::Zone;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{RowField, TimeAttribute, TypeKind, to_arrow_schema};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use super::plan::{TIME, input};
use crate::element::{Batch, MAX_WATERMARK, MIN_WATERMARK, StreamElement};
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::testing::{Output, batch};
use crate::window_aggregate::WindowAggregate;
use crate::window_aggregate::assigner::WindowZone;

/// A second is an hour.
const STRETCH: i64 = 3600;
/// Milliseconds before the change at which the model's time begins.
const BEFORE: i64 = 2 * 3600 * 1000;

/// The columns of what producers read, with the time as TIMESTAMP_LTZ.
pub fn zoned_input() -> Vec<RowField> {
    let mut fields = input();
    fields[TIME as usize].data_type = TypeKind::TimestampLtz(3, TimeAttribute::Rowtime).nullable();
    fields
}

/// The operator.
pub struct Zoned {
    inner: WindowAggregate,
    zone: WindowZone,
    /// The instant at which the model's time begins.
    start: i64,
    output: SchemaRef,
}

impl Zoned {
    /// In a zone whose clocks change at an instant. The last column of `output` is when a window was complete.
    pub fn new(
        spec: &proto::WindowAggregateSpec,
        output: &[RowField],
        (zone, change): (&str, i64),
        context: &OperatorContext,
    ) -> Self {
        let mut configuration = (*context.configuration).clone();
        configuration.set("table.local-time-zone", zone);
        let context = OperatorContext { configuration: Arc::new(configuration), ..context.clone() };
        let inner = WindowAggregate::new(spec, to_arrow_schema(&output[..output.len() - 1]), &context).unwrap();
        let zone = WindowZone::new(Zone::parse(zone).unwrap(), true);
        Self { inner, zone, start: change - BEFORE, output: to_arrow_schema(output) }
    }

    fn instant(&self, time: i64) -> i64 {
        match time {
            MIN_WATERMARK | MAX_WATERMARK => time,
            _ => self.start + time * STRETCH,
        }
    }

    /// The time of an instant, or the next one.
    fn time(&self, instant: i64) -> i64 {
        match instant {
            MIN_WATERMARK | MAX_WATERMARK => instant,
            _ => -(self.start - instant).div_euclid(STRETCH),
        }
    }

    fn rows(&self, rows: &Batch) -> Batch {
        let mut columns = rows.records.columns().to_vec();
        let times = columns[TIME as usize].as_primitive::<TimestampMillisecondType>().values();
        let instants = TimestampMillisecondArray::from_iter_values(times.iter().map(|time| self.instant(*time)));
        columns[TIME as usize] = Arc::new(instants.with_timezone("UTC"));
        batch(&zoned_input(), columns)
    }

    fn results(&self, results: &Batch) -> Result<Batch> {
        let mut columns = results.records.columns().to_vec();
        let ends = columns[columns.len() - 1].as_primitive::<TimestampMillisecondType>().values();
        let complete = ends.iter().map(|end| self.time(self.zone.trigger(*end)) + 1);
        let complete: ArrayRef = Arc::new(TimestampMillisecondArray::from_iter_values(complete));
        columns.push(complete);
        Ok(Batch::insert_only(record_batch(&self.output, columns, results.num_rows(), |_| "zoned".to_owned())?))
    }
}

impl Operator for Zoned {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.inner.restore(state)
    }

    fn process(&mut self, input: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let batch = self.rows(&batch);
        self.inner.process(input, batch, out)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        let mut emitted = Output::default();
        self.inner.watermark(self.instant(watermark), &mut emitted)?;
        for element in emitted.elements {
            match element {
                StreamElement::Batch(batch) => out.collect(self.results(&batch)?)?,
                StreamElement::Watermark(watermark) => out.watermark(self.time(watermark))?,
                other => panic!("{other:?}"),
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.inner.snapshot(options)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.inner.checkpoint_completed(checkpoint_id)
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.inner.checkpoint_aborted(checkpoint_id)
    }
}
