//! Calc: a condition and a projection, row by row. Kinds stay with their rows.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType, Int8Type, SchemaRef};
use wiesel_common::time::Clock;

use crate::aggregate::keys::record_batch;
use crate::element::{Batch, WatermarkStatus};
use crate::expression::{EvaluationContext, Expression, Mask, Program};
use crate::operator::{Collector, Operator, OperatorContext, Result};
use crate::settings::buffer_timeout;

#[cfg(test)]
mod tests;

/// Batches that the condition left with fewer rows wait for others ...
const SMALL: usize = 1024;
/// ... until there are so many rows.
const ENOUGH: usize = 4096;

/// The operator.
pub struct Calc {
    program: Program,
    output: SchemaRef,
    context: EvaluationContext,
    clock: Arc<dyn Clock>,
    /// How long rows may wait, in milliseconds; 0: not at all.
    timeout: i64,
    waiting: Vec<Batch>,
    waiting_rows: usize,
    deadline: Option<i64>,
}

impl Calc {
    /// Passes the rows of `input` for which the condition is true, and of them the projection.
    pub fn new(
        condition: Option<&Expression>,
        projection: &[Expression],
        input: &SchemaRef,
        output: SchemaRef,
        context: &OperatorContext,
    ) -> Result<Self> {
        let evaluation = EvaluationContext::of(context)?;
        Ok(Self {
            program: Program::compile(condition, projection, input, &evaluation)?,
            output,
            context: evaluation,
            clock: context.clock.clone(),
            timeout: buffer_timeout(&context.configuration)?,
            waiting: Vec::new(),
            waiting_rows: 0,
            deadline: None,
        })
    }

    fn wait(&mut self, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        self.waiting_rows += batch.num_rows();
        self.waiting.push(batch);
        if self.waiting_rows >= ENOUGH {
            return self.flush(out);
        }
        if self.deadline.is_none() {
            self.deadline = Some(self.clock.now_millis().saturating_add(self.timeout));
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.deadline = None;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (waiting, rows) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_rows));
        out.collect(join(waiting, rows, &self.output)?)
    }
}

/// One batch of all rows, none of which keeps the large batch alive that it was filtered from.
fn join(batches: Vec<Batch>, rows: usize, schema: &SchemaRef) -> Result<Batch> {
    let columns = (0..schema.fields().len()).map(|i| {
        let parts: Vec<&dyn Array> = batches.iter().map(|batch| &**batch.records.column(i)).collect();
        let joined = concat(&parts)?;
        Ok(match joined.data_type() {
            DataType::Utf8View => Arc::new(joined.as_string_view().gc()) as ArrayRef,
            DataType::BinaryView => Arc::new(joined.as_binary_view().gc()),
            _ => joined,
        })
    });
    let columns = columns.collect::<Result<Vec<_>>>()?;
    let kinds: Option<Vec<&dyn Array>> =
        batches.iter().map(|batch| batch.kinds.as_ref().map(|kinds| kinds as &dyn Array)).collect();
    let kinds = kinds.map(|kinds| concat(&kinds)).transpose()?.map(|kinds| kinds.as_primitive::<Int8Type>().clone());
    Ok(Batch { records: record_batch(schema, columns, rows)?, kinds, hashes: None })
}

impl Operator for Calc {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let selection = self.program.evaluate(&batch.records)?;
        if selection.rows == 0 {
            return Ok(());
        }
        let kinds = match (batch.kinds, &selection.mask) {
            (Some(kinds), Mask::Some(mask)) => Some(filter(&kinds, mask)?.as_primitive::<Int8Type>().clone()),
            (kinds, _) => kinds,
        };
        let records: RecordBatch = record_batch(&self.output, selection.columns, selection.rows)?;
        let selected = Batch { records, kinds, hashes: None };
        let whole = matches!(selection.mask, Mask::All) || selection.rows >= SMALL || self.timeout <= 0;
        // Insert-only batches and changes do not mix.
        let alike = self.waiting.last().is_none_or(|last| last.kinds.is_some() == selected.kinds.is_some());
        if !whole && alike {
            return self.wait(selected, out);
        }
        self.flush(out)?;
        out.collect(selected)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.flush(out)?;
        self.context.set_watermark(watermark);
        out.watermark(watermark)
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        self.flush(out)?;
        out.status(status)
    }

    fn next_timer(&self) -> Option<i64> {
        self.deadline
    }

    fn processing_time(&mut self, _: i64, out: &mut dyn Collector) -> Result<()> {
        self.flush(out)
    }

    /// Rows that wait are in nobody's state, and the source's position is behind them.
    fn before_barrier(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.flush(out)
    }

    fn end_input(&mut self, _: usize, out: &mut dyn Collector) -> Result<()> {
        self.flush(out)
    }
}
