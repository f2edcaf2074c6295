//! Phase LOCAL of a window aggregate: aggregates by key and slice before the shuffle, and sends accumulators when the
//! watermark passes a slice's end, when there are too many groups, before a barrier, when the input becomes idle, and at its
//! end. It has no state.
use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::SchemaRef;
use std::sync::Arc;
use wiesel_common::ending;
use wiesel_expressions::not_null::record_batch;
use wiesel_proto as proto;

use super::{Parts, at_once, local_schema};
use crate::element::{Batch, WatermarkStatus};
use crate::operator::{Collector, Error, Operator, OperatorContext, Result};

/// With so many groups, or so many bytes of keys, all slices are sent on.
const MOST_GROUPS: usize = 1 << 18;
const MOST_KEY_BYTES: usize = 16 << 20;

/// The operator.
pub struct LocalWindowAggregate {
    parts: Parts,
    output: SchemaRef,
}

impl LocalWindowAggregate {
    /// From its specification; its output is [`super::local_output`].
    pub fn new(spec: &proto::WindowAggregateSpec, context: &OperatorContext) -> Result<Self> {
        if !spec.window.as_ref().is_some_and(|window| window.event_time) {
            return Err(Error::Plan("windows over processing time run in one phase".into()));
        }
        Ok(Self { parts: Parts::new(spec, context)?, output: local_schema(spec)? })
    }

    /// What it emits.
    pub fn output(&self) -> SchemaRef {
        self.output.clone()
    }

    fn flush(&mut self, due: impl Fn(i64) -> bool, out: &mut dyn Collector) -> Result<()> {
        let slices = &self.parts.slices.entries;
        let mut steps = ending::Steps::default();
        let mut ends: Vec<i64> = Vec::new();
        for end in slices.ends() {
            steps.step()?;
            ends.extend(Some(end).filter(|end| due(*end)));
        }
        let mut groups: Vec<u32> = Vec::new();
        let mut group_ends: Vec<i64> = Vec::new();
        for end in &ends {
            groups.extend(slices.groups(*end));
            group_ends.resize(groups.len(), *end);
        }
        let most = at_once(slices);
        for (groups, ends) in groups.chunks(most).zip(group_ends.chunks(most)) {
            let mut columns = slices.store.columns(groups)?;
            columns.extend(slices.aggregates.state(groups)?);
            columns.push(Arc::new(Int64Array::from(ends.to_vec())));
            let records = record_batch(&self.output, columns, groups.len(), |_| "LocalWindowAggregate".to_owned())?;
            out.collect(Batch::insert_only(records))?;
        }
        for end in ends {
            steps.step()?;
            self.parts.slices.drop_slice(&mut self.parts.backend, end)?;
        }
        Ok(())
    }
}

impl Operator for LocalWindowAggregate {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        if batch.kinds.is_some() {
            return Err(Error::Plan("a window aggregate does not take changes, only inserts".into()));
        }
        let records = &batch.records;
        let keys: Vec<ArrayRef> = self.parts.keys.iter().map(|key| records.column(*key).clone()).collect();
        let ends = self.parts.ends.of_column(records, self.parts.time)?;
        self.parts.slices.add(
            &self.parts.backend,
            &keys,
            ends,
            |_| {},
            |aggregates, groups, _| aggregates.update(records, groups, None, None),
        )?;
        let slices = &self.parts.slices.entries;
        if slices.len() > MOST_GROUPS || slices.store.size() > MOST_KEY_BYTES {
            self.flush(|_| true, out)?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        let zone = self.parts.ends.zone;
        self.flush(|end| zone.trigger(end) <= watermark, out)?;
        out.watermark(watermark)
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        // Event time goes on behind the shuffle without an idle input: what was held back would be late there.
        if status == WatermarkStatus::Idle {
            self.flush(|_| true, out)?;
        }
        out.status(status)
    }

    fn before_barrier(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.flush(|_| true, out)
    }

    fn end_input(&mut self, _: usize, out: &mut dyn Collector) -> Result<()> {
        self.flush(|_| true, out)
    }
}
