//! Window aggregate: one result a key and window, when the window is complete.
//!
//! Rows are aggregated into slices ([`assigner`]); timers are by window, not by key. [`local`] pre-aggregates before the
//! shuffle; here are the phases SINGLE (raw rows in) and FINAL (accumulators in). Their slices are columns in memory before a
//! table of keyed state ([`state`]).
use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMillisecondArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Int64Type, SchemaRef};
use wiesel_common::ending;
use wiesel_common::time::Clock;
use wiesel_expressions::expression::{BATCH_BYTES, Zone};
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::{LogicalType, RowField, TypeKind, schema_from_proto, to_arrow_schema};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use self::assigner::{WindowAssigner, WindowZone};
use self::progress::{Progress, WindowPart};
use self::slices::{SliceEnds, Slices};
use self::state::ProgressTable;
use self::zone_table::ZoneTable;
use crate::aggregate::{Aggregates, accumulator_types};
use crate::element::{Batch, MIN_WATERMARK};
use crate::group_aggregate::key_fields;
use crate::operator::{Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::write_back::{self, Backend, WriteBack};

pub mod assigner;
pub mod local;
mod progress;
mod slices;
mod state;
#[cfg(test)]
mod tests;
mod zone_table;

/// The column of LOCAL's output that holds the end of the slice.
pub const SLICE_END: &str = "$slice_end";

/// Rows of one batch of results, at most.
const BATCH: usize = 8192;

/// How many results are made at once: fewer where they are long.
fn at_once(slices: &Slices) -> usize {
    let bytes = slices.aggregates.result_heap() / slices.store.len().max(1);
    (BATCH_BYTES / bytes.max(1)).clamp(1, BATCH)
}

/// What leaves phase LOCAL: the keys, the accumulators, and the end of the slice.
///
/// # Errors
/// The specification is malformed, or an aggregate cannot be split ([`supports_two_phases`]).
pub fn local_output(spec: &proto::WindowAggregateSpec) -> Result<Vec<RowField>> {
    let input = input_fields(spec)?;
    let mut fields = key_fields(&columns(&spec.keys), &input)?;
    for (i, call) in spec.aggregates.iter().enumerate() {
        let types = accumulator_types(call, &input)?
            .ok_or_else(|| Error::Plan(format!("{} cannot be split into two phases", call.function)))?;
        let name = call.function.to_lowercase();
        let accumulators = types.into_iter().enumerate();
        fields.extend(accumulators.map(|(part, data_type)| RowField::new(format!("{name}${i}${part}"), data_type)));
    }
    fields.push(RowField::new(SLICE_END, TypeKind::Bigint.not_null()));
    Ok(fields)
}

/// Whether the aggregate can run as LOCAL and FINAL: over event time, and with accumulators that are columns.
pub fn supports_two_phases(spec: &proto::WindowAggregateSpec) -> bool {
    spec.window.as_ref().is_some_and(|window| window.event_time) && local_output(spec).is_ok()
}

fn input_fields(spec: &proto::WindowAggregateSpec) -> Result<Vec<RowField>> {
    schema_from_proto(spec.input.as_ref()).map_err(|e| Error::Plan(e.to_string()))
}

fn columns(columns: &[u32]) -> Vec<usize> {
    columns.iter().map(|column| *column as usize).collect()
}

/// What all phases read of the specification.
struct Parts {
    keys: Vec<usize>,
    /// The slices that are at hand.
    slices: WriteBack<Slices>,
    backend: Backend,
    ends: SliceEnds,
    /// The time zone in which windows are cut; none: times are local already.
    cut_in: Option<Zone>,
    time: usize,
    event_time: bool,
}

impl Parts {
    fn new(spec: &proto::WindowAggregateSpec, context: &OperatorContext) -> Result<Self> {
        let input = input_fields(spec)?;
        let window = spec.window.as_ref().ok_or_else(|| Error::Plan("there is no window".into()))?;
        let keys = columns(&spec.keys);
        let types: Vec<LogicalType> = key_fields(&keys, &input)?.into_iter().map(|field| field.data_type).collect();
        let time = window.time as usize;
        let shifted = match input.get(time).map(|field| &field.data_type.kind) {
            _ if !window.event_time => true,
            Some(TypeKind::TimestampLtz(..)) => true,
            Some(TypeKind::Timestamp(..)) => false,
            other => return Err(Error::Plan(format!("column {time} is no time attribute: {other:?}"))),
        };
        let assigner = WindowAssigner::new(window)?.check_slices()?;
        let session = context.evaluation()?.zone;
        let zone = WindowZone::new(session, shifted);
        let aggregates = Aggregates::new(&spec.aggregates, &input, false)?;
        let slices = WriteBack::new(Slices::new(types, aggregates, progress::own_key_groups(context))?);
        let ends = SliceEnds::new(assigner, zone);
        let cut_in = shifted.then_some(session);
        Ok(Self { keys, slices, backend: None, ends, cut_in, time, event_time: window.event_time })
    }
}

/// The phases SINGLE and FINAL.
pub struct WindowAggregate {
    parts: Parts,
    /// The input is what LOCAL emits.
    merges: bool,
    properties: Vec<proto::WindowProperty>,
    output: SchemaRef,
    clock: Arc<dyn Clock>,
    progress: Progress,
    progress_table: Option<ProgressTable>,
    zone_table: Option<ZoneTable>,
    /// The last watermark that was handed on.
    handed_on: i64,
    /// Windows that hold rows and are not complete, by their ends: of each slice the first only. When that is emitted the next
    /// one follows, so that a slice costs the same however many windows hold it.
    windows: BTreeSet<i64>,
    /// Rows (FINAL: accumulators) that came after their last window (Flink's `numLateRecordsDropped`).
    late_rows: u64,
}

/// A window that is complete.
#[derive(Clone, Copy)]
struct DueWindow {
    start: i64,
    end: i64,
    /// When it was complete.
    trigger: i64,
    /// Some key group may have emitted it before a restore.
    may_be_emitted: bool,
}

impl WindowAggregate {
    /// From its specification; `output` has the keys, the aggregates and the window's properties.
    pub fn new(spec: &proto::WindowAggregateSpec, output: SchemaRef, context: &OperatorContext) -> Result<Self> {
        let merges = match spec.phase() {
            proto::WindowPhase::Single => false,
            proto::WindowPhase::Final => true,
            proto::WindowPhase::Local => return Err(Error::Plan("phase LOCAL is another operator".into())),
        };
        let mut parts = Parts::new(spec, context)?;
        if merges {
            // LOCAL checked that it has them all; here they are the columns of the input.
            local_output(spec)?;
            parts.keys = (0..spec.keys.len()).collect();
        }
        let expected = spec.keys.len() + spec.aggregates.len() + spec.properties.len();
        if output.fields().len() != expected {
            return Err(Error::Plan(format!("its output has {} columns, not {expected}", output.fields().len())));
        }
        Ok(Self {
            parts,
            merges,
            properties: spec.properties().collect(),
            output,
            clock: context.clock.clone(),
            progress: Progress::new(context),
            progress_table: None,
            zone_table: None,
            handed_on: MIN_WATERMARK,
            windows: BTreeSet::new(),
            late_rows: 0,
        })
    }

    /// Rows (FINAL: accumulators of LOCAL) that were dropped because their last window was complete already.
    pub fn late_rows(&self) -> u64 {
        self.late_rows
    }

    fn add(&mut self, records: &RecordBatch) -> Result<()> {
        let Self { parts, windows, progress, merges, late_rows, .. } = self;
        let (assigner, zone) = (parts.ends.assigner, parts.ends.zone);
        let slice_ends;
        let ends = match (*merges, parts.event_time) {
            (true, _) => {
                let last = records.num_columns().checked_sub(1).map(|last| records.column(last));
                let last = last.and_then(|column| column.as_primitive_opt::<Int64Type>());
                slice_ends = last.ok_or_else(|| Error::Plan(format!("the input has no {SLICE_END}")))?.clone();
                &slice_ends.values()[..]
            }
            (false, true) => parts.ends.of_column(records, parts.time)?,
            (false, false) => parts.ends.of_instant(self.clock.now_millis(), records.num_rows()),
        };
        let last = |end: i64| zone.trigger(assigner.last_window_of(end));
        let any_late =
            parts.event_time && ends.chunk_by(|a, b| a == b).any(|run| progress.may_have_passed(last(run[0])));
        let (kept, kept_ends);
        let (records, ends) = if any_late {
            let keys: Vec<ArrayRef> = parts.keys.iter().map(|key| records.column(*key).clone()).collect();
            // Most rows are in the slice of the row before.
            let mut before: Option<(i64, i64)> = None;
            let lasts = ends.iter().map(|end| {
                let known = before.filter(|(same, _)| same == end);
                before.insert(known.unwrap_or_else(|| (*end, last(*end)))).1
            });
            let late = progress.passed(lasts, &keys, ends.len())?;
            let mask: BooleanArray = late.iter().map(|late| Some(!late)).collect();
            kept = filter_record_batch(records, &mask)?;
            kept_ends = ends.iter().zip(&late).filter(|(_, late)| !**late).map(|(end, _)| *end).collect::<Vec<_>>();
            *late_rows += (records.num_rows() - kept.num_rows()) as u64;
            (&kept, &kept_ends[..])
        } else {
            (records, ends)
        };
        let keys: Vec<ArrayRef> = parts.keys.iter().map(|key| records.column(*key).clone()).collect();
        // In processing time a row's windows are never over, not even if the clock went back.
        let passed = if parts.event_time { progress.now() } else { MIN_WATERMARK };
        // A slice that is opened has a row that is not late: one of its windows is not complete.
        let mut first_open = None;
        let opened = |end: i64| {
            let first_open = *first_open.get_or_insert_with(|| assigner.first_open(zone, passed));
            windows.insert(end.max(first_open));
        };
        parts.slices.add(&parts.backend, &keys, ends, opened, |aggregates, groups, keyed| match *merges {
            true => aggregates.merge(groups, &records.columns()[keys.len()..]),
            false => aggregates.update_keyed(records, groups, None, None, keyed),
        })?;
        parts.slices.spill()?;
        parts.slices.entries.aggregates.trim_rows(&mut parts.backend)?;
        parts.slices.trim(&mut parts.backend)
    }

    /// Emits the windows that are complete, and drops the slices that no other window needs.
    fn fire(&mut self, progress: i64, out: &mut dyn Collector) -> Result<()> {
        self.progress.advance(progress);
        let assigner = self.parts.ends.assigner;
        let mut ends = Vec::new();
        while let Some(window) = self.first_due(progress) {
            // A window may have nothing to emit.
            ending::check()?;
            self.windows.pop_first();
            self.parts.slices.entries.ends_within(window.start, window.end, &mut ends);
            // What no other window needs is read from the table as it is put together.
            if ends.iter().any(|end| assigner.next_window_of(*end, window.end).is_some()) {
                self.parts.slices.load(&mut self.parts.backend, window.start, window.end)?;
            }
            if self.parts.slices.entries.any_spilled(window.start, window.end) {
                self.fire_spilled(&ends, window, out)?;
            } else {
                self.fire_at_hand(&ends, window, out)?;
            }
            self.windows.extend(ends.iter().find_map(|end| assigner.next_window_of(*end, window.end)));
            ends.retain(|end| assigner.last_window_of(*end) <= window.end);
            for end in &ends {
                ending::check()?;
                self.parts.slices.drop_slice(&mut self.parts.backend, *end)?;
            }
        }
        self.progress.settle();
        Ok(())
    }

    /// The first window, if it is complete.
    fn first_due(&self, progress: i64) -> Option<DueWindow> {
        let end = *self.windows.first()?;
        let trigger = self.parts.ends.zone.trigger(end);
        let start = self.parts.ends.assigner.window_start(end);
        let may_be_emitted = self.progress.may_have_emitted(trigger);
        (trigger <= progress).then_some(DueWindow { start, end, trigger, may_be_emitted })
    }

    /// Emits a window all of which is at hand.
    fn fire_at_hand(&mut self, ends: &[i64], window: DueWindow, out: &mut dyn Collector) -> Result<()> {
        let mut groups = Vec::new();
        if window.may_be_emitted {
            for end in ends {
                ending::check()?;
                groups.extend(self.not_emitted(*end, window)?);
            }
        } else {
            self.parts.slices.entries.groups_within(window.start, window.end, &mut groups);
        }
        if ends.len() == 1 {
            return self.emit(&groups, window.end, out);
        }
        let groups = self.parts.slices.merged(&mut self.parts.backend, &groups)?;
        self.emit(&groups, window.end, out)?;
        self.parts.slices.release(&groups);
        Ok(())
    }

    /// The groups of a slice with which a window was not emitted before a restore.
    fn not_emitted(&self, slice_end: i64, window: DueWindow) -> Result<Vec<u32>> {
        let groups = self.parts.slices.entries.groups(slice_end);
        let part = self.part(slice_end, window);
        if !self.progress.any_emitted(part) {
            return Ok(groups);
        }
        let keys = self.parts.slices.entries.store.columns(&groups)?;
        let emitted = self.progress.were_emitted(part, &keys, groups.len())?;
        Ok(groups.into_iter().zip(emitted).filter(|(_, emitted)| !emitted).map(|(group, _)| group).collect())
    }

    /// Emits a window of which parts are not at hand, key group after key group.
    fn fire_spilled(&mut self, ends: &[i64], window: DueWindow, out: &mut dyn Collector) -> Result<()> {
        self.parts.slices.flush(&mut self.parts.backend)?;
        // When the last window of each slice is complete; needed only where some key group was ahead.
        let parts: Vec<(i64, WindowPart)> = match window.may_be_emitted {
            true => ends.iter().map(|end| (*end, self.part(*end, window))).collect(),
            false => Vec::new(),
        };
        for key_group in self.parts.slices.entries.key_groups_within(window.start, window.end) {
            ending::check()?;
            let groups = if window.may_be_emitted {
                let not_emitted = |(_, part): &&(i64, WindowPart)| !self.progress.was_emitted(*part, key_group);
                let ends: Vec<i64> = parts.iter().filter(not_emitted).map(|(end, _)| *end).collect();
                self.parts.slices.gather(&mut self.parts.backend, key_group, &ends)?
            } else {
                self.parts.slices.gather(&mut self.parts.backend, key_group, ends)?
            };
            self.emit(&groups, window.end, out)?;
            self.parts.slices.release(&groups);
        }
        Ok(())
    }

    fn part(&self, slice_end: i64, window: DueWindow) -> WindowPart {
        let SliceEnds { assigner, zone, .. } = &self.parts.ends;
        WindowPart { window: window.trigger, last: zone.trigger(assigner.last_window_of(slice_end)) }
    }

    fn emit(&self, groups: &[u32], window_end: i64, out: &mut dyn Collector) -> Result<()> {
        let slices = &self.parts.slices.entries;
        for groups in groups.chunks(at_once(slices)) {
            let mut columns = slices.store.columns(groups)?;
            columns.extend(slices.aggregates.evaluate(groups)?);
            for property in &self.properties {
                let field = self.output.field(columns.len());
                columns.push(self.property(*property, window_end, groups.len(), field.data_type()));
            }
            let records = record_batch(&self.output, columns, groups.len(), |_| "WindowAggregate".to_owned())?;
            out.collect(Batch::insert_only(records))?;
        }
        Ok(())
    }

    fn property(
        &self,
        property: proto::WindowProperty,
        window_end: i64,
        rows: usize,
        data_type: &DataType,
    ) -> ArrayRef {
        let value = match property {
            proto::WindowProperty::WindowStart => self.parts.ends.assigner.window_start(window_end),
            proto::WindowProperty::WindowEnd => window_end,
            proto::WindowProperty::WindowTime => window_end.wrapping_sub(1),
        };
        timestamps(vec![value; rows], self.parts.ends.zone, data_type)
    }
}

/// Local times as an array of this type: as they are for TIMESTAMP, as instants for TIMESTAMP_LTZ.
pub(crate) fn timestamps(mut times: Vec<i64>, zone: WindowZone, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::Timestamp(_, Some(utc)) => {
            times.iter_mut().for_each(|time| *time = zone.to_instant(*time));
            Arc::new(TimestampMillisecondArray::from(times).with_timezone(utc.clone()))
        }
        _ => Arc::new(TimestampMillisecondArray::from(times)),
    }
}

impl Operator for WindowAggregate {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.open_state(state)
    }

    fn process(&mut self, _: usize, batch: Batch, _: &mut dyn Collector) -> Result<()> {
        if batch.kinds.is_some() {
            return Err(Error::Plan("a window aggregate does not take changes, only inserts".into()));
        }
        self.add(&batch.records)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        if !self.parts.event_time {
            return out.watermark(watermark);
        }
        self.fire(watermark, out)?;
        // After a restore, watermarks begin behind what was reached.
        let reached = self.progress.now();
        if reached > self.handed_on {
            self.handed_on = reached;
            out.watermark(reached)?;
        }
        Ok(())
    }

    fn next_timer(&self) -> Option<i64> {
        let first = self.windows.first().filter(|_| !self.parts.event_time);
        // Its last millisecond is to be over: rows may still come in it.
        first.map(|end| self.parts.ends.zone.trigger(*end).saturating_add(1))
    }

    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        self.fire(now.saturating_sub(1), out)
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.save(options)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.parts.backend, checkpoint_id, true);
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.parts.backend, checkpoint_id, false);
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        if self.late_rows > 0 {
            tracing::info!(late_rows = self.late_rows, "rows came after their windows and were dropped");
        }
        Ok(())
    }
}

/// The Arrow schema of [`local_output`].
pub(crate) fn local_schema(spec: &proto::WindowAggregateSpec) -> Result<SchemaRef> {
    Ok(to_arrow_schema(&local_output(spec)?))
}
