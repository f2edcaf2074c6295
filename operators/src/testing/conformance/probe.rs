//! An operator that does something with each way of keeping rows of keys, and with timers of both kinds.
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringViewArray};
use arrow::datatypes::{DataType, Field, Schema, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use wiesel_common::time::Clock;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::LogicalType;
use wiesel_state::keyed::SnapshotOptions;

use super::plan::{KEY, NUMBER, TEXT, TIME, VALUE, type_of};
use crate::element::Batch;
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::write_back::{self, Backend};
use crate::state::{KeyedRows, Keys, RowRange, RowsDescriptor, TimeDomain, Timers};

/// Timers that fire at once.
const FIRED: usize = 3;

/// The operator.
pub struct Probe {
    ttl: i64,
    max_parallelism: u32,
    clock: Arc<dyn Clock>,
    backend: Backend,
    states: Option<States>,
}

struct States {
    /// One row a key.
    last: KeyedRows,
    /// Numbers in the order of texts, those of one text as they came.
    list: KeyedRows,
    /// A number a text.
    map: KeyedRows,
    event: Timers,
    processing: Timers,
}

impl Probe {
    /// With a time to live of values in milliseconds; 0: for ever.
    pub fn new(context: &OperatorContext, ttl: i64) -> Self {
        let (max_parallelism, clock) = (context.max_parallelism, context.clock.clone());
        Self { ttl, max_parallelism, clock, backend: None, states: None }
    }

    /// Fires timers and says what their keys have.
    fn fire(&mut self, domain: TimeDomain, up_to: i64, out: &mut dyn Collector) -> Result<()> {
        let (Some(states), now) = (&mut self.states, self.clock.now_millis()) else { return Ok(()) };
        loop {
            let Some(backend) = &mut self.backend else { return Ok(()) };
            let timers = if domain == TimeDomain::Event { &mut states.event } else { &mut states.processing };
            let due = timers.fire(&mut **backend, up_to, FIRED)?;
            if due.is_empty() {
                return Ok(());
            }
            let (keys, rows) = (&due.keys[..], due.len());
            let list = shown(&mut states.list, &self.backend, keys, rows, &RowRange::first(5), now)?;
            let map = shown(&mut states.map, &self.backend, keys, rows, &RowRange::last(2), now)?;
            // Behind a text, which several rows of the list may have.
            let texts: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from(vec!["b"; rows]))];
            let range = RowRange { lower: Bound::Excluded(&texts), ..RowRange::ALL };
            let behind = shown(&mut states.list, &self.backend, keys, rows, &range, now)?;
            let counts = states.list.count(&self.backend, keys, rows, now)?;
            let line = |row: usize| {
                let (time, key) = (due.times[row], text(&due.keys[0], row));
                format!("{key} {domain:?} {time}: {} {} {} {}", list[row], map[row], behind[row], counts[row])
            };
            emit((0..rows).map(line).collect(), out)?;
            match domain {
                TimeDomain::Event => states.list.clear(&mut self.backend, keys, rows)?,
                TimeDomain::Processing => states.map.clear(&mut self.backend, keys, rows)?,
            }
            states.list.trim(&mut self.backend)?;
            states.map.trim(&mut self.backend)?;
        }
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) { "null".into() } else { array_value_to_string(column, row).unwrap() }
}

/// What each key has in a range: texts and numbers, not how they are numbered.
fn shown(
    state: &mut KeyedRows,
    backend: &Backend,
    keys: &[ArrayRef],
    rows: usize,
    range: &RowRange<'_>,
    now: i64,
) -> Result<Vec<String>> {
    let found = state.rows(backend, keys, rows, range, now)?;
    let (positions, values) = (state.positions(&found.rows)?, state.values(&found.rows)?);
    let mut start = 0;
    let shown = found.ends.iter().map(|end| {
        let one = |at| format!("{}={}", text(&positions[0], at), text(&values[0], at));
        format!("{:?}", (std::mem::replace(&mut start, *end)..*end).map(one).collect::<Vec<_>>())
    });
    Ok(shown.collect())
}

fn emit(lines: Vec<String>, out: &mut dyn Collector) -> Result<()> {
    let schema = Arc::new(Schema::new(vec![Field::new("line", DataType::Utf8View, false)]));
    let rows = lines.len();
    let columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from_iter_values(lines))];
    out.collect(Batch::insert_only(record_batch(&schema, columns, rows, |_| "probe".to_owned())?))
}

impl Operator for Probe {
    fn restore(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let mut backend = restored.keyed()?;
        let (key, max_parallelism, ttl) = ([type_of(KEY)], self.max_parallelism, self.ttl);
        let mut budgets = restored.cache_share().split(3).into_iter();
        let mut open = |name, order: &[LogicalType], appends, value| {
            let value = [type_of(value)];
            let descriptor = RowsDescriptor { name, key: &key, order, appends, value: &value, ttl, max_parallelism };
            KeyedRows::open(&mut *backend, &descriptor, budgets.next().unwrap())
        };
        let last = open("last", &[], false, VALUE)?;
        let list = open("list", &[type_of(TEXT)], true, NUMBER)?;
        let map = open("map", &[type_of(TEXT)], false, NUMBER)?;
        let mut timers = |domain| Timers::open(&mut *backend, domain, &key, &key, max_parallelism);
        let (event, processing) = (timers(TimeDomain::Event)?, timers(TimeDomain::Processing)?);
        self.states = Some(States { last, list, map, event, processing });
        self.backend = Some(backend);
        Ok(())
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let Some(states) = &mut self.states else { return Ok(()) };
        let (now, rows) = (self.clock.now_millis(), batch.num_rows());
        let column = |column: u32| [batch.records.column(column as usize).clone()];
        let key = column(KEY);
        let before = states.last.get(&self.backend, &key, &[], rows, now)?;
        let before = states.last.values(&before)?;
        let line = |row: usize| format!("{}: {}", text(&key[0], row), text(&before[0], row));
        emit((0..rows).map(line).collect(), out)?;
        states.last.upsert(&key, &[], &column(VALUE), rows, now)?;
        states.list.append(&mut self.backend, &key, &column(TEXT), &column(NUMBER), rows, now)?;
        states.map.upsert(&key, &column(TEXT), &column(NUMBER), rows, now)?;
        let times = column(TIME)[0].as_primitive::<TimestampMillisecondType>().clone();
        let times: Vec<i64> = times.values().iter().map(|time| time.div_euclid(500) * 500 + 499).collect();
        if let Some(backend) = &mut self.backend {
            let keys = Keys::new(&key, rows);
            states.event.register(&mut **backend, keys, &key, &times)?;
            states.processing.register(&mut **backend, keys, &key, &vec![now + 700; rows])?;
        }
        states.last.trim(&mut self.backend)?;
        states.list.trim(&mut self.backend)?;
        states.map.trim(&mut self.backend)
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.fire(TimeDomain::Event, watermark, out)?;
        out.watermark(watermark)
    }

    fn next_timer(&self) -> Option<i64> {
        self.states.as_ref().and_then(|states| states.processing.next())
    }

    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        self.fire(TimeDomain::Processing, now, out)?;
        if let Some(states) = &mut self.states {
            [&mut states.last, &mut states.list, &mut states.map].into_iter().for_each(|rows| rows.expire(now));
        }
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let mut kept_back = Vec::new();
        if let Some(states) = &mut self.states {
            for rows in [&mut states.last, &mut states.list, &mut states.map] {
                kept_back.extend(rows.write_changes(&mut self.backend, options)?);
            }
        }
        write_back::snapshot(&mut self.backend, options, kept_back)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.backend, checkpoint_id, true);
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.backend, checkpoint_id, false);
        Ok(())
    }
}
