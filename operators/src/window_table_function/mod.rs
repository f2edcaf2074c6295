//! Window table function: each row with the start, the end and the time of each window that holds it.
use std::sync::Arc;

use arrow::array::{Array, AsArray, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{Int8Type, Int64Type, SchemaRef};
use wiesel_common::time::Clock;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{TypeKind, schema_from_proto};
use wiesel_proto as proto;

use crate::aggregate::to_physical;
use crate::element::Batch;
use crate::operator::{Collector, Error, Operator, OperatorContext, Result};
use crate::window_aggregate::assigner::{LocalTimes, WindowAssigner, WindowZone};
use crate::window_aggregate::timestamps;

#[cfg(test)]
mod tests;

/// So many rows are emitted at once, and the windows of one row more: a batch of rows that are each in thousands of windows
/// would be gigabytes.
const AT_ONCE: usize = 8192;

/// The operator.
pub struct WindowTableFunction {
    assigner: WindowAssigner,
    zone: WindowZone,
    time: usize,
    event_time: bool,
    output: SchemaRef,
    clock: Arc<dyn Clock>,
    /// Rows without a time (Flink's `numNullRowTimeRecordsDropped`).
    null_times: u64,
}

impl WindowTableFunction {
    /// From its specification; `output` has the columns of the input, then `window_start`, `window_end`, `window_time`.
    pub fn new(spec: &proto::WindowTableFunctionSpec, output: SchemaRef, context: &OperatorContext) -> Result<Self> {
        let input = schema_from_proto(spec.input.as_ref())?;
        let window = spec.window.as_ref().ok_or_else(|| Error::Plan("there is no window".into()))?;
        let time = window.time as usize;
        let shifted = match input.get(time).map(|field| &field.data_type.kind) {
            _ if !window.event_time => true,
            Some(TypeKind::TimestampLtz(0..=3, _)) => true,
            Some(TypeKind::Timestamp(0..=3, _)) => false,
            other => return Err(Error::Plan(format!("column {time} is no time attribute: {other:?}"))),
        };
        if output.fields().len() != input.len() + 3 {
            let (found, expected) = (output.fields().len(), input.len() + 3);
            return Err(Error::Plan(format!("its output has {found} columns, not {expected}")));
        }
        Ok(Self {
            assigner: WindowAssigner::new(window)?,
            zone: WindowZone::new(context.evaluation()?.zone, shifted),
            time,
            event_time: window.event_time,
            output,
            clock: context.clock.clone(),
            null_times: 0,
        })
    }

    /// Rows that were dropped because their time was null.
    pub fn null_times(&self) -> u64 {
        self.null_times
    }
}

impl Operator for WindowTableFunction {
    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let rows = batch.num_rows();
        let times = self.event_time.then(|| to_physical(batch.records.column(self.time)));
        let times = times.as_ref().map(|times| times.as_primitive::<Int64Type>());
        self.null_times += times.map_or(0, |times| times.null_count() as u64);
        let now = self.clock.now_millis();
        let mut local = LocalTimes::new(self.zone);
        // Of each output row the input row and the window.
        let mut sources: Vec<u64> = Vec::with_capacity(rows);
        let mut windows: Vec<(i64, i64)> = Vec::with_capacity(rows);
        for row in 0..rows {
            let instant = match times {
                Some(times) if times.is_null(row) => continue,
                Some(times) => times.value(row),
                None => now,
            };
            self.assigner.windows_at(local.of(instant), &mut windows);
            sources.resize(windows.len(), row as u64);
            if windows.len() >= rows.max(AT_ONCE) && row + 1 < rows {
                self.emit(&batch, std::mem::take(&mut sources), std::mem::take(&mut windows), out)?;
            }
        }
        self.emit(&batch, sources, windows, out)
    }
}

impl WindowTableFunction {
    /// Emits rows of a batch, each with a window.
    fn emit(&self, batch: &Batch, sources: Vec<u64>, windows: Vec<(i64, i64)>, out: &mut dyn Collector) -> Result<()> {
        let in_place = windows.len() == batch.num_rows() && self.is_one_to_one(batch);
        let sources = UInt64Array::from(sources);
        let picked = batch.records.columns().iter().map(|column| match in_place {
            true => Ok(column.clone()),
            false => take(column, &sources, None),
        });
        let mut columns = picked.collect::<Result<Vec<_>, _>>()?;
        let kinds = match &batch.kinds {
            Some(kinds) if !in_place => Some(take(kinds, &sources, None)?.as_primitive::<Int8Type>().clone()),
            kinds => kinds.clone(),
        };
        let properties: [fn(&(i64, i64)) -> i64; 3] =
            [|(start, _)| *start, |(_, end)| *end, |(_, end)| end.wrapping_sub(1)];
        for property in properties {
            let data_type = self.output.field(columns.len()).data_type();
            columns.push(timestamps(windows.iter().map(property).collect(), self.zone, data_type));
        }
        let records = record_batch(&self.output, columns, windows.len(), |_| "WindowTableFunction".to_owned())?;
        out.collect(Batch { records, kinds })
    }

    /// Each row is in exactly one window.
    fn is_one_to_one(&self, batch: &Batch) -> bool {
        let nulls = self.event_time && batch.records.column(self.time).null_count() > 0;
        matches!(self.assigner, WindowAssigner::Tumble { .. }) && !nulls
    }
}
