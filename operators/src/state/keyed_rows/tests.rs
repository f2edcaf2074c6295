//! Rows of keys against an ordered map: batches with repeated keys and nulls, ranges, time to live, little memory, snapshots and
//! other parallelisms.
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use wiesel_common::keygroup;
use wiesel_state::keyed::{ScanOrder, SnapshotOptions};

use super::*;
use crate::element::Batch;
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState};
use crate::state::table::key_groups;
use crate::state::write_back;
use crate::testing::keyed::{Key, MAX_PARALLELISM, Value, columns, pairs, some_keys, types};
use crate::testing::state::{BACKENDS, Saved, Subtasks, World};
use crate::testing::{ManualClock, context_with};

/// A subtask with one table of rows.
struct Holder {
    ttl: i64,
    appends: bool,
    backend: Backend,
    rows: Option<KeyedRows>,
}

impl Operator for Holder {
    fn restore(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let mut backend = restored.keyed()?;
        let types = types();
        let order = if self.appends { &types[..1] } else { &types[..] };
        let descriptor = RowsDescriptor {
            name: "rows",
            key: &types,
            order,
            appends: self.appends,
            value: &types,
            ttl: self.ttl,
            max_parallelism: MAX_PARALLELISM,
        };
        self.rows = Some(KeyedRows::open(&mut *backend, &descriptor, restored.cache_share())?);
        self.backend = Some(backend);
        Ok(())
    }

    fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let kept_back = self.rows.as_mut().unwrap().write_changes(&mut self.backend, options)?;
        write_back::snapshot(&mut self.backend, options, kept_back)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.backend, checkpoint_id, true);
        Ok(())
    }
}

/// All subtasks of an operator that has rows of keys.
struct Cluster {
    world: Arc<World>,
    context: OperatorContext,
    clock: Arc<ManualClock>,
    ttl: i64,
    appends: bool,
    subtasks: Subtasks<Holder>,
    checkpoint: u64,
}

impl Cluster {
    fn new(backend: &'static str, ttl: i64, appends: bool, cache: usize) -> Self {
        let (context, clock) = context_with(&[]);
        let context = OperatorContext { max_parallelism: MAX_PARALLELISM, ..context };
        let world = World::new(&context, backend);
        let subtasks = start(&world, &context, (ttl, appends), 1, &Vec::new(), cache);
        Self { world, context, clock, ttl, appends, subtasks, checkpoint: 0 }
    }

    fn save(&mut self) -> Saved {
        self.checkpoint += 1;
        self.subtasks.save(self.checkpoint)
    }

    fn restart(&mut self, parallelism: u32, cache: usize) {
        let saved = self.save();
        self.subtasks = start(&self.world, &self.context, (self.ttl, self.appends), parallelism, &saved, cache);
    }

    /// Gives each subtask the numbers of those of these keys that are its own.
    fn each(&mut self, keys: &[Key], mut with: impl FnMut(&mut KeyedRows, &mut Backend, &[usize])) {
        let groups = key_groups(&columns(keys.iter()), keys.len(), MAX_PARALLELISM).unwrap();
        let parallelism = self.subtasks.operators.len() as u32;
        for (subtask, holder) in self.subtasks.operators.iter_mut().enumerate() {
            let target = |group: u16| keygroup::subtask(u32::from(group), parallelism, MAX_PARALLELISM);
            let own: Vec<usize> = (0..keys.len()).filter(|at| target(groups[*at]) == subtask as u32).collect();
            with(holder.rows.as_mut().unwrap(), &mut holder.backend, &own);
        }
    }

    /// The table of the first subtask.
    fn only(&mut self) -> (&mut KeyedRows, &mut Backend) {
        let holder = &mut self.subtasks.operators[0];
        (holder.rows.as_mut().unwrap(), &mut holder.backend)
    }
}

fn start(
    world: &Arc<World>,
    context: &OperatorContext,
    (ttl, appends): (i64, bool),
    parallelism: u32,
    saved: &Saved,
    cache: usize,
) -> Subtasks<Holder> {
    let build = |_: &OperatorContext| Holder { ttl, appends, backend: None, rows: None };
    Subtasks::start(world, context, parallelism, saved, cache, build)
}

type Position = (Option<i64>, Option<String>);

#[derive(Clone, Debug)]
struct Row {
    key: Key,
    position: Position,
    value: Value,
}

/// How a bound is drawn: how many columns it has, and whether it is included.
type End = Option<(usize, bool)>;

#[derive(Clone, Debug)]
enum Step {
    Upsert(Vec<Row>),
    Delete(Vec<Row>),
    Get(Vec<Row>),
    /// From the positions of rows, up to those of others.
    Range(Vec<(Row, Position)>, End, End, bool, usize),
    /// Ranges as above, whose rows get other values, or are taken out.
    Change(Vec<(Row, Position)>, End, End, bool),
    Count(Vec<Key>),
    Clear(Vec<Key>),
    Trim,
    Pass(i64),
    Expire,
    Checkpoint,
    /// A snapshot, and on with so many subtasks and so much memory.
    Restart(u32, usize),
}

const CACHES: &[usize] = &[0, 1500, 4000, usize::MAX];

fn key() -> impl Strategy<Value = Key> {
    prop::sample::select(some_keys())
}

fn position() -> impl Strategy<Value = Position> {
    let text = prop::sample::select(vec![None, Some(String::new()), Some("x".to_owned())]);
    (prop::option::weighted(0.9, -2..9_i64), text)
}

fn row() -> impl Strategy<Value = Row> {
    let value = (prop::option::of(-9..9_i64), prop::option::of("[a-c]{0,20}"));
    (key(), position(), value).prop_map(|(key, position, value)| Row { key, position, value })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = |most: usize| prop::collection::vec(row(), 0..most);
    let keys = || prop::collection::vec(key(), 0..4);
    let end = || prop::option::of((0..=2_usize, any::<bool>()));
    let ranges = || prop::collection::vec((row(), position()), 0..5);
    let limit = prop::sample::select(vec![0, 1, 2, 5, usize::MAX]);
    let step = prop_oneof![
        8 => rows(30).prop_map(Step::Upsert),
        3 => rows(12).prop_map(Step::Delete),
        4 => rows(12).prop_map(Step::Get),
        6 => (ranges(), end(), end(), any::<bool>(), limit).prop_map(|(a, b, c, d, e)| Step::Range(a, b, c, d, e)),
        2 => (ranges(), end(), end(), any::<bool>()).prop_map(|(a, b, c, d)| Step::Change(a, b, c, d)),
        2 => keys().prop_map(Step::Count),
        1 => keys().prop_map(Step::Clear),
        6 => Just(Step::Trim),
        2 => prop::sample::select(vec![1, 49, 50]).prop_map(Step::Pass),
        1 => Just(Step::Expire),
        2 => Just(Step::Checkpoint),
        2 => (1..=3_u32, prop::sample::select(CACHES)).prop_map(|(subtasks, cache)| Step::Restart(subtasks, cache)),
    ];
    prop::collection::vec(step, 1..40)
}

/// What rows there are, and when each was written.
#[derive(Default)]
struct Model {
    rows: BTreeMap<(Key, Position), (Value, i64)>,
    ttl: i64,
    now: i64,
}

impl Model {
    fn is_visible(&self, written: i64) -> bool {
        self.ttl == 0 || written + self.ttl > self.now
    }

    fn get(&self, key: &Key, position: &Position) -> Option<&Value> {
        let (value, written) = self.rows.get(&(key.clone(), position.clone()))?;
        Some(value).filter(|_| self.is_visible(*written))
    }

    fn of(&self, key: &Key) -> impl DoubleEndedIterator<Item = (&Position, &Value)> {
        let rows = self.rows.iter().filter(move |((of, _), (_, written))| of == key && self.is_visible(*written));
        rows.map(|((_, position), (value, _))| (position, value))
    }

    fn within(
        &self,
        (row, upper): &(Row, Position),
        (lower_end, upper_end): (End, End),
        backwards: bool,
        limit: usize,
    ) -> Vec<(Position, Value)> {
        let first = |position: &Position, columns: usize| match columns {
            0 => (None, None),
            1 => (Some(position.0), None),
            _ => (Some(position.0), Some(position.1.clone())),
        };
        let is_within = |position: &Position| {
            let above = lower_end.is_none_or(|(columns, included)| {
                let (one, bound) = (first(position, columns), first(&row.position, columns));
                if included { one >= bound } else { one > bound }
            });
            let below = upper_end.is_none_or(|(columns, included)| {
                let (one, bound) = (first(position, columns), first(upper, columns));
                if included { one <= bound } else { one < bound }
            });
            above && below
        };
        let rows = self.of(&row.key).filter(|(position, _)| is_within(position));
        let rows = rows.map(|(position, value)| (position.clone(), value.clone()));
        match backwards {
            false => rows.take(limit).collect(),
            true => rows.rev().take(limit).collect(),
        }
    }
}

fn bound(end: End, columns: &[ArrayRef]) -> Bound<&[ArrayRef]> {
    match end {
        None => Bound::Unbounded,
        Some((width, true)) => Bound::Included(&columns[..width]),
        Some((width, false)) => Bound::Excluded(&columns[..width]),
    }
}

/// The columns of some rows.
fn parts<'a>(rows: &'a [Row], own: &'a [usize]) -> [Vec<ArrayRef>; 3] {
    let own = || own.iter().map(|at| &rows[*at]);
    [columns(own().map(|row| &row.key)), columns(own().map(|row| &row.position)), columns(own().map(|row| &row.value))]
}

fn keys_of(rows: &[Row]) -> Vec<Key> {
    rows.iter().map(|row| row.key.clone()).collect()
}

/// Reads ranges and compares them. Returns the rows and what they are, by subtask.
fn read(
    cluster: &mut Cluster,
    model: &Model,
    ranges: &[(Row, Position)],
    ends: (End, End),
    backwards: bool,
    limit: usize,
    mut then: impl FnMut(&mut KeyedRows, &RowSet),
) {
    let keys: Vec<Key> = ranges.iter().map(|(row, _)| row.key.clone()).collect();
    let now = model.now;
    cluster.each(&keys, |rows, backend, own| {
        let keys = columns(own.iter().map(|at| &ranges[*at].0.key));
        let lower = columns(own.iter().map(|at| &ranges[*at].0.position));
        let upper = columns(own.iter().map(|at| &ranges[*at].1));
        let order = if backwards { ScanOrder::Backwards } else { ScanOrder::Forwards };
        let range = RowRange { lower: bound(ends.0, &lower), upper: bound(ends.1, &upper), order, limit };
        let found = rows.rows(backend, &keys, own.len(), &range, now).unwrap();
        let positions = pairs(&rows.positions(&found.rows).unwrap());
        let values = pairs(&rows.values(&found.rows).unwrap());
        let all: Vec<(Position, Value)> = positions.into_iter().zip(values).collect();
        let mut start = 0;
        assert_eq!(found.ends.len(), own.len());
        for (at, end) in own.iter().zip(&found.ends) {
            assert_eq!(all[start..*end], model.within(&ranges[*at], ends, backwards, limit), "{:?}", ranges[*at]);
            start = *end;
        }
        then(rows, &found);
    });
}

fn apply(cluster: &mut Cluster, model: &mut Model, step: &Step) {
    let now = model.now;
    match step {
        Step::Upsert(rows) => {
            cluster.each(&keys_of(rows), |table, _, own| {
                let [keys, positions, values] = parts(rows, own);
                table.upsert(&keys, &positions, &values, own.len(), now).unwrap();
            });
            let place = |row: &Row| ((row.key.clone(), row.position.clone()), (row.value.clone(), now));
            model.rows.extend(rows.iter().map(place));
        }
        Step::Delete(rows) => {
            cluster.each(&keys_of(rows), |table, _, own| {
                let [keys, positions, _] = parts(rows, own);
                table.delete(&keys, &positions, own.len()).unwrap();
            });
            rows.iter().for_each(|row| _ = model.rows.remove(&(row.key.clone(), row.position.clone())));
        }
        Step::Get(rows) => cluster.each(&keys_of(rows), |table, backend, own| {
            let [keys, positions, _] = parts(rows, own);
            let found = table.get(backend, &keys, &positions, own.len(), now).unwrap();
            let values = pairs(&table.values(&found).unwrap());
            for ((at, found), value) in own.iter().zip(found).zip(values) {
                let expected = model.get(&rows[*at].key, &rows[*at].position);
                assert_eq!(found != KeyedRows::NONE, expected.is_some(), "{:?}", rows[*at]);
                assert_eq!(value, expected.cloned().unwrap_or_default());
            }
        }),
        Step::Range(ranges, lower, upper, backwards, limit) => {
            read(cluster, model, ranges, (*lower, *upper), *backwards, *limit, |_, _| {});
        }
        Step::Change(ranges, lower, upper, delete) => {
            let value: Value = (Some(77), Some("changed".to_owned()));
            read(cluster, model, ranges, (*lower, *upper), false, usize::MAX, |table, found| match delete {
                true => table.delete_rows(&found.rows),
                false => {
                    let values = columns(found.rows.iter().map(|_| &value));
                    table.update_rows(&found.rows, &values, now).unwrap();
                }
            });
            let changed = |range: &(Row, Position)| {
                let rows = model.within(range, (*lower, *upper), false, usize::MAX);
                rows.into_iter().map(|(position, _)| (range.0.key.clone(), position)).collect::<Vec<_>>()
            };
            for place in ranges.iter().flat_map(changed).collect::<Vec<_>>() {
                match delete {
                    true => _ = model.rows.remove(&place),
                    false => _ = model.rows.insert(place, (value.clone(), now)),
                }
            }
        }
        Step::Count(keys) => cluster.each(keys, |table, backend, own| {
            let of = columns(own.iter().map(|at| &keys[*at]));
            let counts = table.count(backend, &of, own.len(), now).unwrap();
            let expected: Vec<usize> = own.iter().map(|at| model.of(&keys[*at]).count()).collect();
            assert_eq!(counts, expected);
        }),
        Step::Clear(keys) => {
            cluster.each(keys, |table, backend, own| {
                table.clear(backend, &columns(own.iter().map(|at| &keys[*at])), own.len()).unwrap();
            });
            model.rows.retain(|(key, _), _| !keys.contains(key));
        }
        Step::Trim => cluster.subtasks.operators.iter_mut().for_each(|holder| {
            holder.rows.as_mut().unwrap().trim(&mut holder.backend).unwrap();
        }),
        Step::Pass(millis) => {
            model.now += millis;
            cluster.clock.set(model.now);
        }
        Step::Expire => {
            cluster.subtasks.operators.iter_mut().for_each(|holder| holder.rows.as_mut().unwrap().expire(now));
        }
        Step::Checkpoint => _ = cluster.save(),
        Step::Restart(parallelism, cache) => cluster.restart(*parallelism, *cache),
    }
}

fn goes_on(backend: &'static str, ttl: i64, cache: usize, steps: &[Step]) {
    let (mut cluster, mut model) = (Cluster::new(backend, ttl, false, cache), Model { ttl, ..Model::default() });
    steps.iter().for_each(|step| apply(&mut cluster, &mut model, step));
    let all =
        || some_keys().into_iter().map(|key| (Row { key, position: (None, None), value: (None, None) }, (None, None)));
    read(&mut cluster, &model, &all().collect::<Vec<_>>(), (None, None), true, usize::MAX, |_, _| {});
    // What was taken out is not left in the table.
    cluster.restart(2, 0);
    cluster.checkpoint += cluster.checkpoint % 2;
    let saved = cluster.save();
    let visible = some_keys().iter().map(|key| model.of(key).count()).sum::<usize>();
    assert_eq!(cluster.world.entries(&saved, "rows").len(), visible);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn rows_are_those_of_an_ordered_map(cache in prop::sample::select(CACHES), steps in steps()) {
        goes_on("hashmap", 0, cache, &steps);
    }

    #[test]
    fn rows_with_a_time_to_live_are_not_seen_after_it(cache in prop::sample::select(CACHES), steps in steps()) {
        goes_on("hashmap", 50, cache, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn rows_on_disk_are_those_of_an_ordered_map(
        ttl in prop::sample::select(vec![0, 50]),
        cache in prop::sample::select(CACHES),
        steps in steps(),
    ) {
        goes_on("rocksdb", ttl, cache, &steps);
    }
}

/// The columns of a key that is there so many times.
fn one_key(times: usize) -> Vec<ArrayRef> {
    let key: Key = (Some(1), None);
    columns(std::iter::repeat_n(&key, times))
}

fn numbered(count: i64) -> Vec<(Option<i64>, Option<String>)> {
    (0..count).map(|number| (Some(number), Some(format!("a text {number:030}")))).collect()
}

#[test]
fn rows_at_one_place_stay_in_the_order_in_which_they_came() {
    for (backend, cache) in BACKENDS.into_iter().flat_map(|backend| CACHES.iter().map(move |cache| (backend, *cache))) {
        let mut cluster = Cluster::new(backend, 0, true, cache);
        let keys: Vec<Key> = (0..60).map(|at| some_keys()[at % 3].clone()).collect();
        for round in 0..4_i64 {
            cluster.each(&keys, |rows, backend, own| {
                let order: ArrayRef = Arc::new(own.iter().map(|at| Some(*at as i64 / 3 % 2)).collect::<Int64Array>());
                let values: Vec<Value> = own.iter().map(|at| (Some(100 * round + *at as i64), None)).collect();
                let key = columns(own.iter().map(|at| &keys[*at]));
                rows.append(backend, &key, &[order], &columns(values.iter()), own.len(), 0).unwrap();
                rows.trim(backend).unwrap();
            });
            cluster.restart(1 + round as u32 % 3, cache);
        }
        let (mut seen, few) = (0, some_keys()[..3].to_vec());
        cluster.each(&few, |rows, backend, own| {
            let key = columns(own.iter().map(|at| &few[*at]));
            let found = rows.rows(backend, &key, own.len(), &RowRange::ALL, 0).unwrap();
            let (order, values) = (rows.positions(&found.rows).unwrap(), rows.values(&found.rows).unwrap());
            let (order, values) = (order[0].as_primitive::<Int64Type>(), values[0].as_primitive::<Int64Type>());
            let mut start = 0;
            for end in found.ends {
                let of: Vec<(i64, i64)> = (start..end).map(|at| (order.value(at), values.value(at))).collect();
                assert_eq!(of.len(), 80);
                assert!(of.is_sorted(), "{of:?}");
                seen += of.len();
                start = end;
            }
        });
        assert_eq!(seen, 240, "{backend} {cache}");
    }
}

#[test]
fn nothing_is_read_as_long_as_all_is_at_hand() {
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, 0, false, usize::MAX);
        let rows = numbered(500);
        let all = columns(rows.iter());
        for round in 0..3 {
            let (table, backend) = cluster.only();
            table.upsert(&all, &all, &all, 500, 0).unwrap();
            let some: Vec<ArrayRef> = all.iter().map(|column| column.slice(0, 100 * round)).collect();
            table.delete(&some, &some, 100 * round).unwrap();
            assert_eq!(table.count(backend, &all, 500, 0).unwrap().len(), 500);
            table.rows(backend, &all, 500, &RowRange::last(1), 0).unwrap();
            table.trim(backend).unwrap();
            cluster.save();
        }
        assert_eq!(cluster.world.read(), 0);
    }
}

/// All but a few of the keys that are new are known not to be in the table.
#[test]
fn what_the_table_has_not_is_not_looked_for() {
    let mut cluster = Cluster::new("rocksdb", 0, false, 3 << 19);
    let rows = numbered(20_000);
    for part in rows.chunks(1000) {
        let part = columns(part.iter());
        let (table, backend) = cluster.only();
        table.upsert(&part, &part, &part, 1000, 0).unwrap();
        table.trim(backend).unwrap();
    }
    assert!(cluster.world.written() > 10_000, "most had to leave memory");
    let (others, before) = (numbered(40_000).split_off(20_000), cluster.world.read());
    for part in others.chunks(1000) {
        let part = columns(part.iter());
        let (table, backend) = cluster.only();
        assert!(table.get(backend, &part, &part, 1000, 0).unwrap().iter().all(|row| *row == KeyedRows::NONE));
        assert!(table.rows(backend, &part, 1000, &RowRange::ALL, 0).unwrap().rows.is_empty());
        table.trim(backend).unwrap();
    }
    let read = cluster.world.read() - before;
    assert!(read < 4000, "{read} of 40000 were looked for");
}

#[test]
fn a_key_with_many_rows_is_in_memory_in_part() {
    let budget = 1 << 20;
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, 0, false, budget);
        let key = one_key(1);
        let rows = numbered(40_000);
        for part in rows.chunks(2000) {
            let many = one_key(part.len());
            let part = columns(part.iter());
            let (table, backend) = cluster.only();
            table.upsert(&many, &part, &part, 2000, 0).unwrap();
            table.trim(backend).unwrap();
            assert!(table.size() <= budget, "{}", table.size());
        }
        cluster.save();
        cluster.restart(1, budget);
        let (table, backend) = cluster.only();
        assert_eq!(table.count(backend, &key, 1, 0).unwrap(), [40_000]);
        let first = table.rows(backend, &key, 1, &RowRange::first(10), 0).unwrap();
        assert_eq!(pairs(&table.values(&first.rows).unwrap()), rows[..10]);
        let last = table.rows(backend, &key, 1, &RowRange::last(10), 0).unwrap();
        let expected: Vec<_> = rows[39_990..].iter().rev().cloned().collect();
        assert_eq!(pairs(&table.values(&last.rows).unwrap()), expected);
        assert!(table.size() < 1 << 14, "{}", table.size());
        // All of it, a part after the other.
        let (mut seen, mut after) = (Vec::new(), None::<Vec<ArrayRef>>);
        loop {
            let lower = after.as_ref().map_or(Bound::Unbounded, |after| Bound::Excluded(&after[..]));
            let part = table.rows(backend, &key, 1, &RowRange { lower, ..RowRange::first(999) }, 0).unwrap();
            let Some(last) = part.rows.last() else { break };
            seen.extend(pairs(&table.values(&part.rows).unwrap()));
            after = Some(table.positions(&[*last]).unwrap());
            table.trim(backend).unwrap();
            assert!(table.size() <= budget);
        }
        assert_eq!(seen.len(), 40_000);
        assert_eq!(seen, rows);
    }
}

/// Of a key that is changed in one place a checkpoint writes that place.
#[test]
fn a_checkpoint_writes_the_rows_that_changed() {
    let mut cluster = Cluster::new("hashmap", 0, false, usize::MAX);
    let rows = numbered(1000);
    let (many, all) = (one_key(rows.len()), columns(rows.iter()));
    cluster.only().0.upsert(&many, &all, &all, 1000, 0).unwrap();
    cluster.save();
    assert_eq!(cluster.world.written(), 1000);
    cluster.only().0.upsert(&one_key(1), &columns(rows[5..6].iter()), &columns(rows[..1].iter()), 1, 0).unwrap();
    cluster.only().0.delete(&one_key(1), &columns(rows[7..8].iter()), 1).unwrap();
    let saved = cluster.save();
    assert_eq!(cluster.world.written(), 1002);
    assert_eq!(cluster.world.entries(&saved, "rows").len(), 999);
}

/// Before, a row that was taken out unread was taken for one that had expired long ago, and the table's came back.
#[test]
fn a_row_that_was_taken_out_unread_does_not_come_back_when_others_expire() {
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, 50, false, usize::MAX);
        let (key, rows) = (one_key(1), numbered(1));
        let row = columns(rows.iter());
        cluster.clock.set(1000);
        cluster.only().0.upsert(&key, &row, &row, 1, 1000).unwrap();
        cluster.restart(1, usize::MAX);
        let (table, backend) = cluster.only();
        table.delete(&key, &row, 1).unwrap();
        table.expire(1010);
        assert_eq!(table.get(backend, &key, &row, 1, 1010).unwrap(), [KeyedRows::NONE]);
        cluster.restart(1, usize::MAX);
        let (table, backend) = cluster.only();
        assert_eq!(table.count(backend, &key, 1, 1010).unwrap(), [0]);
    }
}

/// Before, each range that was asked for was a stretch of its own from then on, also where there was nothing.
#[test]
fn ranges_that_were_read_become_one_stretch() {
    for (backend, backwards) in BACKENDS.into_iter().flat_map(|backend| [(backend, false), (backend, true)]) {
        let mut cluster = Cluster::new(backend, 0, false, usize::MAX);
        let (key, rows) = (one_key(1), numbered(1));
        let row = columns(rows.iter());
        cluster.only().0.upsert(&key, &row, &row, 1, 0).unwrap();
        cluster.restart(1, usize::MAX);
        let (table, backend) = cluster.only();
        let order = if backwards { ScanOrder::Backwards } else { ScanOrder::Forwards };
        for number in 0..300 {
            let place = |number: i64| -> [ArrayRef; 1] { [Arc::new(Int64Array::from(vec![number]))] };
            let number = if backwards { 299 - number } else { number };
            let (lower, upper) = (place(number), place(number + 1));
            let (lower, upper) = (Bound::Included(&lower[..]), Bound::Excluded(&upper[..]));
            let found = table.rows(backend, &key, 1, &RowRange { lower, upper, order, limit: usize::MAX }, 0).unwrap();
            assert_eq!(found.rows.len(), usize::from(number == 0));
        }
        // What is before, all that was read, and what is behind.
        assert_eq!(table.state.entries.order(0).unwrap().len(), 3);
    }
}

/// Before, what keys and rows that went had left of room was not counted: others took as much again beside it.
#[test]
fn room_that_keys_have_left_counts_until_it_is_given_back() {
    let budget = 1 << 16;
    let mut cluster = Cluster::new("hashmap", 0, false, budget);
    let (table, backend) = cluster.only();
    let few = numbered(5000);
    let few = columns(few.iter());
    table.upsert(&few, &few, &few, 5000, 0).unwrap();
    table.delete(&few, &few, 5000).unwrap();
    table.trim(backend).unwrap();
    let entries = &table.state.entries;
    assert!(entries.size() < 1 << 14, "{}", entries.size());
    assert!(entries.room() > 5000 * size_of::<order::Order>(), "{}", entries.room());
    let long: Vec<Value> = (0..40).map(|number| (Some(number), Some("x".repeat(1000)))).collect();
    let long = columns(long.iter());
    table.upsert(&long, &long, &long, 40, 0).unwrap();
    assert!(table.size() > budget, "{}", table.size());
    table.trim(backend).unwrap();
    assert!(table.state.entries.room() <= budget / 4 * 5, "{}", table.state.entries.room());
}
