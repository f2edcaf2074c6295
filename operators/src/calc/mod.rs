//! Calc: a condition and a projection, row by row. Kinds stay with their rows.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, RecordBatch};
use arrow::compute::{concat, filter};
use arrow::datatypes::{DataType, FieldRef, Int8Type, SchemaRef};
use wiesel_common::time::Clock;
use wiesel_expressions::expression::{
    BATCH_BYTES, EvaluationContext, Expression, Mask, Program, ROW_BYTES, Selection, expression_text, row_too_large,
};
use wiesel_expressions::not_null::record_batch;

use crate::element::{Batch, WatermarkStatus};
use crate::operator::{Collector, Error, Operator, OperatorContext, Result};
use crate::settings::buffer_timeout;

#[cfg(test)]
mod tests;

/// Batches that the condition left with fewer rows wait for others ...
const SMALL: usize = 1024;
/// ... until there are so many rows ...
const ENOUGH: usize = 4096;
/// ... or so many bytes were made for them.
const ENOUGH_BYTES: usize = BATCH_BYTES / 4;

/// The operator.
pub struct Calc {
    program: Program,
    output: SchemaRef,
    /// The expressions of columns that are NOT NULL, to name them if they give null.
    not_null: Vec<String>,
    context: EvaluationContext,
    clock: Arc<dyn Clock>,
    /// How long rows may wait, in milliseconds; 0: not at all.
    timeout: i64,
    waiting: Vec<Batch>,
    waiting_rows: usize,
    waiting_bytes: usize,
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
        let evaluation = context.evaluation()?;
        Ok(Self {
            program: Program::compile(condition, projection, input, &evaluation)?,
            not_null: texts(projection, input, &output),
            output,
            context: evaluation,
            clock: context.clock.clone(),
            timeout: buffer_timeout(&context.configuration)?,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            deadline: None,
        })
    }

    /// Evaluates a batch: at once, or in halves if too much would come of it.
    fn evaluate(&mut self, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let rows = batch.num_rows();
        let most = if rows > 1 { BATCH_BYTES } else { ROW_BYTES };
        self.context.budget.set(most);
        let drawn = self.context.generators.positions()?;
        match self.program.evaluate(&batch.records).map_err(Error::from) {
            Ok(selection) => self.select(batch.kinds, selection, most - self.context.budget.left(), out),
            Err(Error::OverBudget) if rows > 1 => {
                let half = rows / 2;
                self.context.generators.rewind(&drawn)?;
                self.evaluate(batch.slice(0, half), out)?;
                self.evaluate(batch.slice(half, rows - half), out)
            }
            Err(Error::OverBudget) => Err(row_too_large().into()),
            Err(error) => Err(error),
        }
    }

    /// Hands on what was selected, for which so many bytes were made, or keeps it for a while.
    fn select(
        &mut self,
        kinds: Option<Int8Array>,
        selection: Selection,
        bytes: usize,
        out: &mut dyn Collector,
    ) -> Result<()> {
        if selection.rows == 0 {
            return Ok(());
        }
        let kinds = match (kinds, &selection.mask) {
            (Some(kinds), Mask::Some(mask)) => Some(filter(&kinds, mask)?.as_primitive::<Int8Type>().clone()),
            (kinds, _) => kinds,
        };
        let giver = |column: usize| format!("{} of Calc", self.not_null.get(column).map_or("", String::as_str));
        let records: RecordBatch = record_batch(&self.output, selection.columns, selection.rows, giver)?;
        let selected = Batch { records, kinds };
        let whole = matches!(selection.mask, Mask::All) || selection.rows >= SMALL || self.timeout <= 0;
        // Insert-only batches and changes do not mix.
        let alike = self.waiting.last().is_none_or(|last| last.kinds.is_some() == selected.kinds.is_some());
        if !whole && alike {
            return self.wait(selected, bytes, out);
        }
        self.flush(out)?;
        out.collect(selected)
    }

    fn wait(&mut self, batch: Batch, bytes: usize, out: &mut dyn Collector) -> Result<()> {
        self.waiting_rows += batch.num_rows();
        self.waiting_bytes += bytes;
        self.waiting.push(batch);
        if self.waiting_rows >= ENOUGH || self.waiting_bytes >= ENOUGH_BYTES {
            return self.flush(out);
        }
        if self.deadline.is_none() {
            self.deadline = Some(self.clock.now_millis().saturating_add(self.timeout));
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.deadline = None;
        self.waiting_bytes = 0;
        if self.waiting.is_empty() {
            return Ok(());
        }
        let (waiting, rows) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_rows));
        out.collect(join(waiting, rows, &self.output)?)
    }
}

/// The text of each expression of a column that is NOT NULL, an empty one for others.
fn texts(projection: &[Expression], input: &SchemaRef, output: &SchemaRef) -> Vec<String> {
    let columns = projection.iter().zip(output.fields());
    let text = |(expression, field): (&Expression, &FieldRef)| match field.is_nullable() {
        true => String::new(),
        false => expression_text(expression, input),
    };
    columns.map(text).collect()
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
    Ok(Batch { records: record_batch(schema, columns, rows, |_| "Calc".to_owned())?, kinds })
}

impl Operator for Calc {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        self.evaluate(batch, out)
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
