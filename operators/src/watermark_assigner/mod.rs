//! Watermark assigner: makes the watermarks of a table's `WATERMARK FOR` clause.
//!
//! Apache Flink evaluates the clause row by row and emits a watermark as soon as it is more than
//! `pipeline.auto-watermark-interval` (of event time) ahead of the last one. Here a batch is passed on whole, followed by
//! the last watermark that was due, except where that would make a late row look in time: a watermark that was due before
//! a row at or below it goes out before that row.
//!
//! It has no state, as in Flink: after a restore, watermarks follow from the rows that come, and operators behind it know how
//! far they were.
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use wiesel_common::config::saturating_millis;
use wiesel_common::quote::quote;
use wiesel_common::time::Clock;
use wiesel_expressions::expression::{Expression, Projection};

use crate::aggregate::to_physical;
use crate::element::{Batch, MAX_WATERMARK, WatermarkStatus};
use crate::operator::{Collector, Error, Operator, OperatorContext, Result};
use crate::settings::auto_watermark_interval;

#[cfg(test)]
mod tests;

/// The operator.
pub struct WatermarkAssigner {
    rowtime: usize,
    watermark: Projection,
    clock: Arc<dyn Clock>,
    /// Milliseconds; 0: no periodic watermarks.
    interval: i64,
    /// Milliseconds; 0: never idle.
    idle_timeout: i64,
    /// The highest watermark of all rows so far.
    current: i64,
    /// The last one that was due. Rows before 1970 do not make watermarks: both start at 0, as in Flink.
    emitted: i64,
    status: WatermarkStatus,
    /// When a periodic watermark was last looked for.
    last_period: i64,
    /// When the last rows came, and had been handed on.
    last_rows: i64,
    /// How much of the time since then the task took no rows.
    held_back: Duration,
    timer: Option<i64>,
}

/// Flink's words for a time that is null, and which column it is of.
pub(crate) fn null_rowtime(records: &RecordBatch, column: usize) -> Error {
    let schema = records.schema();
    let message = format!(
        "RowTime field should not be null, please convert it to a non-null long value. The rowtime column '{}' has a NULL.",
        quote(schema.field(column).name())
    );
    Error::data("java.lang.RuntimeException", message)
}

impl WatermarkAssigner {
    /// Over rows of `input`: `rowtime` is the time attribute's column, `watermark` a `TIMESTAMP(3)` or `TIMESTAMP_LTZ(3)`,
    /// `idle_timeout` in milliseconds, 0 for never.
    pub fn new(
        rowtime: usize,
        watermark: &Expression,
        idle_timeout: i64,
        input: &SchemaRef,
        context: &OperatorContext,
    ) -> Result<Self> {
        let column = input.fields().get(rowtime);
        if !column.is_some_and(|field| matches!(field.data_type(), DataType::Timestamp(TimeUnit::Millisecond, _))) {
            return Err(Error::Plan(format!("column {rowtime} is no time attribute: not a TIMESTAMP(3)")));
        }
        if !matches!(watermark.data_type.kind.to_arrow(), DataType::Timestamp(TimeUnit::Millisecond, _)) {
            return Err(Error::Plan(format!("a watermark is a TIMESTAMP(3), not {}", watermark.data_type)));
        }
        let evaluation = context.evaluation()?;
        let now = context.clock.now_millis();
        let interval = auto_watermark_interval(&context.configuration)?;
        let mut assigner = Self {
            rowtime,
            watermark: Projection::compile(std::slice::from_ref(watermark), input, &evaluation)?,
            clock: context.clock.clone(),
            interval,
            idle_timeout,
            current: 0,
            emitted: 0,
            status: WatermarkStatus::Active,
            last_period: now,
            last_rows: now,
            held_back: Duration::ZERO,
            timer: None,
        };
        assigner.schedule(now);
        Ok(assigner)
    }

    fn schedule(&mut self, now: i64) {
        let period = [self.interval, self.idle_timeout].into_iter().filter(|period| *period > 0).min();
        self.timer = period.map(|period| now.saturating_add(period));
    }

    fn advance(&mut self, out: &mut dyn Collector) -> Result<()> {
        if self.current > self.emitted {
            self.emitted = self.current;
            out.watermark(self.emitted)?;
        }
        Ok(())
    }

    fn set_status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        if self.status != status {
            self.status = status;
            out.status(status)?;
        }
        Ok(())
    }
}

impl Operator for WatermarkAssigner {
    fn open(&mut self, context: &OperatorContext) -> Result<()> {
        // A restore may have taken long: idleness is counted from now.
        let now = context.clock.now_millis();
        (self.last_period, self.last_rows, self.held_back) = (now, now, Duration::ZERO);
        self.schedule(now);
        Ok(())
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        if self.idle_timeout > 0 {
            self.set_status(WatermarkStatus::Active, out)?;
        }
        let rowtime = batch.records.column(self.rowtime);
        if rowtime.null_count() > 0 {
            return Err(null_rowtime(&batch.records, self.rowtime));
        }
        let rowtime = to_physical(rowtime);
        let rowtime = rowtime.as_primitive::<Int64Type>().values();
        let watermark = self.watermark.evaluate(&batch.records)?.remove(0);
        let watermark = to_physical(&watermark);
        let watermark = watermark.as_primitive::<Int64Type>();
        let nulls = watermark.nulls().filter(|nulls| nulls.null_count() > 0);
        // Watermarks that Flink would have emitted by now (`due`), and those that went out (`self.emitted`).
        let (mut start, mut due) = (0, self.emitted);
        for row in 0..batch.num_rows() {
            if due > self.emitted && rowtime[row] <= due {
                out.collect(batch.slice(start, row - start))?;
                start = row;
                self.emitted = due;
                out.watermark(due)?;
            }
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                self.current = self.current.max(watermark.values()[row]);
            }
            if self.current - due > self.interval {
                due = self.current;
            }
        }
        match start {
            0 => out.collect(batch)?,
            _ => out.collect(batch.slice(start, batch.num_rows() - start))?,
        }
        if due > self.emitted {
            self.emitted = due;
            out.watermark(due)?;
        }
        // Only now: the rows may have waited for room behind this operator.
        if self.idle_timeout > 0 {
            (self.last_rows, self.held_back) = (self.clock.now_millis(), Duration::ZERO);
        }
        Ok(())
    }

    fn held_back(&mut self, time: Duration) {
        self.held_back += time;
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        // Only the end of the input is of interest: all other watermarks are made here.
        if watermark == MAX_WATERMARK && self.current != MAX_WATERMARK {
            self.set_status(WatermarkStatus::Active, out)?;
            self.current = MAX_WATERMARK;
            self.emitted = MAX_WATERMARK;
            self.timer = None;
            out.watermark(watermark)?;
        }
        Ok(())
    }

    fn status(&mut self, status: WatermarkStatus, out: &mut dyn Collector) -> Result<()> {
        self.set_status(status, out)
    }

    fn next_timer(&self) -> Option<i64> {
        self.timer
    }

    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        if self.interval > 0 && self.last_period.saturating_add(self.interval) <= now {
            self.last_period = now;
            self.advance(out)?;
        }
        // As in Flink, whose clock for this stands still under back-pressure: rows that wait are not to be late afterwards.
        let idle = now.saturating_sub(self.last_rows).saturating_sub(saturating_millis(self.held_back));
        if self.idle_timeout > 0 && idle >= self.idle_timeout {
            self.set_status(WatermarkStatus::Idle, out)?;
        }
        self.schedule(now);
        Ok(())
    }

    fn finish(&mut self, out: &mut dyn Collector) -> Result<()> {
        self.watermark(MAX_WATERMARK, out)
    }
}
