//! An operator that does something with each of Flink's state primitives and with timers of both kinds.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use arrow::compute::kernels::numeric::add_wrapping;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, TimestampMillisecondType};
use arrow::util::display::array_value_to_string;
use wiesel_common::time::Clock;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::types::TypeKind;
use wiesel_state::keyed::{KeyedBackend, SnapshotOptions};

use super::plan::{KEY, NUMBER, TEXT, TIME, VALUE, type_of};
use crate::element::Batch;
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::{
    AggregateFunction, AggregatingState, Entries, Keys, ListState, MapState, ReducingState, StateDescriptor,
    TimeDomain, Timers, ValueState,
};

/// Timers that fire at once.
const FIRED: usize = 3;

/// The operator.
pub struct Probe {
    ttl: i64,
    max_parallelism: u32,
    clock: Arc<dyn Clock>,
    opened: Option<(Box<dyn KeyedBackend>, States)>,
}

struct States {
    value: ValueState,
    list: ListState,
    map: MapState,
    sum: ReducingState,
    count: AggregatingState,
    event: Timers,
    processing: Timers,
}

struct Count;

impl AggregateFunction for Count {
    fn create(&self, count: usize) -> Result<Vec<ArrayRef>> {
        Ok(vec![Arc::new(Int64Array::from(vec![0; count]))])
    }

    fn add(&self, accumulators: Vec<ArrayRef>, targets: &[u32], _: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut counts = accumulators[0].as_primitive::<Int64Type>().values().to_vec();
        targets.iter().for_each(|target| counts[*target as usize] += 1);
        Ok(vec![Arc::new(Int64Array::from(counts))])
    }

    fn result(&self, accumulators: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        Ok(accumulators.to_vec())
    }
}

impl Probe {
    /// With a time to live of values in milliseconds; 0: for ever.
    pub fn new(context: &OperatorContext, ttl: i64) -> Self {
        Self { ttl, max_parallelism: context.max_parallelism, clock: context.clock.clone(), opened: None }
    }

    fn open_states(&self, backend: &mut dyn KeyedBackend) -> Result<States> {
        let key = [type_of(KEY)];
        let number = [TypeKind::Bigint.nullable()];
        let named = |name| StateDescriptor {
            name,
            key: &key,
            namespace: false,
            ttl: self.ttl,
            max_parallelism: self.max_parallelism,
        };
        let sum = |before: &[ArrayRef], after: &[ArrayRef]| Ok(vec![add_wrapping(&before[0], &after[0])?]);
        let mut timers = |domain| Timers::open(backend, domain, &key, &key, self.max_parallelism);
        let (event, processing) = (timers(TimeDomain::Event)?, timers(TimeDomain::Processing)?);
        Ok(States {
            value: ValueState::open(backend, &named("value"), &[type_of(VALUE)])?,
            list: ListState::open(backend, &named("list"), &number)?,
            map: MapState::open(backend, &named("map"), &[type_of(TEXT)], &number)?,
            sum: ReducingState::open(backend, &named("sum"), &number, Box::new(sum))?,
            count: AggregatingState::open(backend, &named("count"), &number, Box::new(Count))?,
            event,
            processing,
        })
    }

    /// Fires timers and says what their keys have.
    fn fire(&mut self, domain: TimeDomain, up_to: i64, out: &mut dyn Collector) -> Result<()> {
        let Some((backend, states)) = &mut self.opened else { return Ok(()) };
        let backend = &mut **backend;
        loop {
            let timers = if domain == TimeDomain::Event { &mut states.event } else { &mut states.processing };
            let due = timers.fire(backend, up_to, FIRED)?;
            if due.is_empty() {
                return Ok(());
            }
            let keys = Keys::new(&due.keys, due.len());
            let (list, map) = (states.list.get(backend, keys)?, states.map.entries(backend, keys)?);
            let (sum, count) = (states.sum.get(backend, keys)?, states.count.get(backend, keys)?);
            let line = |row: usize| {
                let (sum, count) = (text(&sum.columns[0], row), text(&count.columns[0], row));
                let time = due.times[row];
                let (list, map) = (entries(&list, row), entries(&map, row));
                format!("{} {domain:?} {time}: {list} {map} {sum} {count}", text(&due.keys[0], row))
            };
            emit((0..due.len()).map(line).collect(), out)?;
            match domain {
                TimeDomain::Event => {
                    states.list.clear(backend, keys)?;
                    states.sum.clear(backend, keys)?;
                }
                TimeDomain::Processing => states.map.clear(backend, keys)?,
            }
        }
    }
}

fn text(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) { "null".into() } else { array_value_to_string(column, row).unwrap() }
}

fn entries(entries: &Entries, row: usize) -> String {
    let one = |at: usize| {
        let columns = entries.sub_keys.iter().chain(&entries.values);
        columns.map(|column| text(column, at)).collect::<Vec<_>>().join("=")
    };
    format!("{:?}", entries.range(row).map(one).collect::<Vec<_>>())
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
        let states = self.open_states(&mut *backend)?;
        self.opened = Some((backend, states));
        Ok(())
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let Some((backend, states)) = &mut self.opened else { return Ok(()) };
        let (backend, now, rows) = (&mut **backend, self.clock.now_millis(), batch.num_rows());
        let column = |column: u32| [batch.records.column(column as usize).clone()];
        let key = column(KEY);
        let keys = Keys::new(&key, rows);
        let before = states.value.value(backend, keys)?;
        let line = |row: usize| format!("{}: {}", text(&key[0], row), text(&before.columns[0], row));
        emit((0..rows).map(line).collect(), out)?;
        states.value.update(backend, keys, &column(VALUE), now)?;
        states.list.add(backend, keys, &column(NUMBER), now)?;
        states.map.put(backend, keys, &column(TEXT), &column(NUMBER), now)?;
        states.sum.add(backend, keys, &column(NUMBER), now)?;
        states.count.add(backend, keys, &column(NUMBER), now)?;
        let times = column(TIME)[0].as_primitive::<TimestampMillisecondType>().clone();
        let times: Vec<i64> = times.values().iter().map(|time| time.div_euclid(500) * 500 + 499).collect();
        states.event.register(backend, keys, &key, &times)?;
        states.processing.register(backend, keys, &key, &vec![now + 700; rows])
    }

    fn watermark(&mut self, watermark: i64, out: &mut dyn Collector) -> Result<()> {
        self.fire(TimeDomain::Event, watermark, out)?;
        out.watermark(watermark)
    }

    fn next_timer(&self) -> Option<i64> {
        self.opened.as_ref().and_then(|(_, states)| states.processing.next())
    }

    fn processing_time(&mut self, now: i64, out: &mut dyn Collector) -> Result<()> {
        self.fire(TimeDomain::Processing, now, out)
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let keyed = self.opened.as_mut().map(|(backend, _)| backend.snapshot(options, Vec::new())).transpose()?;
        Ok(OperatorSnapshot { keyed, lists: Vec::new() })
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.opened.iter_mut().for_each(|(backend, _)| backend.checkpoint_completed(checkpoint_id));
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.opened.iter_mut().for_each(|(backend, _)| backend.checkpoint_aborted(checkpoint_id));
        Ok(())
    }
}
