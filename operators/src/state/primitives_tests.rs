//! The primitives against maps: batches with repeated keys and nulls, time to live, snapshots and other parallelisms.
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use proptest::prelude::*;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::keyed::KeyedBackend;

use super::*;
use crate::operator::Result;
use crate::testing::keyed::{
    Cluster, Key, MAX_PARALLELISM, Row, Value, columns, key_columns, pairs, row, some_keys, some_sub_keys, sub_keys,
    texts, types,
};
use crate::testing::state::BACKENDS;

#[derive(Clone, Debug)]
enum Step {
    /// One of the ways in which the state changes.
    Change(u8, Vec<Row>),
    /// Time passes.
    Pass(i64),
    /// A snapshot, and on with so many subtasks.
    Restart(u32),
}

const NAMESPACES: &[i64] = &[i64::MIN, 0, i64::MAX];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..4u8, prop::collection::vec(row(NAMESPACES), 0..12)).prop_map(|(way, rows)| Step::Change(way, rows)),
        2 => prop::sample::select(&[1, 49, 50, 99][..]).prop_map(Step::Pass),
        1 => (1..=2u32).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..16)
}

/// The model of a state, and what it is the model of.
trait Model: Default {
    type State: Send;
    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> Self::State;
    /// Changes the state.
    fn apply(state: &mut Self::State, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64);
    /// Changes the model in the same way. `gone`: nothing is seen any more that was written at this time or before.
    fn expect(&mut self, way: u8, rows: &[Row], now: i64, gone: i64);
    /// Compares what they have for the keys of rows.
    fn check(&self, state: &Self::State, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64);
}

/// Rows and their columns.
struct Rows<'a> {
    rows: &'a [Row],
    keys: Vec<ArrayRef>,
    namespaces: Vec<i64>,
    sub_keys: Vec<ArrayRef>,
    values: Vec<ArrayRef>,
}

impl<'a> Rows<'a> {
    fn new(rows: &'a [Row]) -> Self {
        let namespaces = rows.iter().map(|row| row.namespace).collect();
        let values = columns(rows.iter().map(|row| &row.value));
        Self { rows, keys: key_columns(rows), namespaces, sub_keys: sub_keys(rows), values }
    }

    fn keys(&self) -> Keys<'_> {
        Keys::new(&self.keys, self.rows.len()).in_namespaces(&self.namespaces)
    }
}

/// Runs steps on a state and on its model; each time all keys are compared, each of them twice.
fn goes_on<M: Model>(ttl: i64, steps: &[Step]) {
    let all = some_keys().into_iter().flat_map(|key| {
        let places = NAMESPACES.iter().flat_map(|namespace| some_sub_keys().into_iter().map(|sub| (*namespace, sub)));
        let row = move |(namespace, sub_key)| Row { key: key.clone(), namespace, sub_key, value: (None, None) };
        places.map(row).collect::<Vec<_>>()
    });
    let mut all: Vec<Row> = all.collect();
    all.extend(all.clone());
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, move |backend| {
            let max_parallelism = MAX_PARALLELISM;
            M::open(backend, &StateDescriptor { name: "s", key: &types(), namespace: true, ttl, max_parallelism })
        });
        let (mut model, mut now) = (M::default(), 0);
        for step in steps {
            let gone = |now: i64| if ttl == 0 { i64::MIN } else { now - ttl };
            match step {
                Step::Change(way, rows) => {
                    cluster.each(rows, |state, backend, rows| M::apply(state, backend, *way, &Rows::new(rows), now));
                    model.expect(*way, rows, now, gone(now));
                }
                Step::Pass(millis) => now += millis,
                Step::Restart(parallelism) => cluster.restart(*parallelism),
            }
            cluster.clock.set(now);
            cluster.each(&all, |state, backend, rows| model.check(state, backend, &Rows::new(rows), gone(now)));
        }
    }
}

/// Of each key and namespace the value and when it was written.
#[derive(Default)]
struct Single(BTreeMap<(Key, i64), (Value, i64)>);

impl Single {
    fn get(&self, row: &Row, gone: i64) -> Option<&Value> {
        let (value, _) = self.0.get(&place(row)).filter(|(_, written)| *written > gone)?;
        Some(value)
    }

    fn set(&mut self, row: &Row, value: Value, now: i64) {
        self.0.insert(place(row), (value, now));
    }

    fn check(&self, lookup: &Lookup, rows: &Rows<'_>, gone: i64) {
        let expected: Vec<_> = rows.rows.iter().map(|row| self.get(row, gone)).collect();
        assert_eq!(lookup.found, expected.iter().map(Option::is_some).collect::<Vec<_>>());
        let expected: Vec<_> = expected.into_iter().map(|value| value.cloned().unwrap_or_default()).collect();
        assert_eq!(pairs(&lookup.columns), expected);
    }
}

fn place(row: &Row) -> (Key, i64) {
    (row.key.clone(), row.namespace)
}

#[derive(Default)]
struct ValueModel(Single);

impl Model for ValueModel {
    type State = ValueState;

    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> ValueState {
        ValueState::open(backend, descriptor, &types()).unwrap()
    }

    fn apply(state: &mut ValueState, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64) {
        match way {
            3 => state.clear(backend, rows.keys()).unwrap(),
            _ => state.update(backend, rows.keys(), &rows.values, now).unwrap(),
        }
    }

    fn expect(&mut self, way: u8, rows: &[Row], now: i64, _: i64) {
        for row in rows {
            match way {
                3 => _ = self.0.0.remove(&place(row)),
                _ => self.0.set(row, row.value.clone(), now),
            }
        }
    }

    fn check(&self, state: &ValueState, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64) {
        self.0.check(&state.value(backend, rows.keys()).unwrap(), rows, gone);
    }
}

#[derive(Default)]
struct ReducingModel(Single);

/// The first number that is there, and all texts.
fn reduce(before: &[ArrayRef], after: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let both = pairs(before).into_iter().zip(pairs(after));
    let reduced: Vec<Value> = both.map(|(before, after)| reduce_one(before, after)).collect();
    Ok(columns(reduced.iter()))
}

fn reduce_one(before: Value, after: Value) -> Value {
    let text = match (before.1, after.1) {
        (Some(before), Some(after)) => Some(before + &after),
        (before, after) => before.or(after),
    };
    (before.0.or(after.0), text)
}

impl Model for ReducingModel {
    type State = ReducingState;

    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> ReducingState {
        ReducingState::open(backend, descriptor, &types(), Box::new(reduce)).unwrap()
    }

    fn apply(state: &mut ReducingState, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64) {
        match way {
            3 => state.clear(backend, rows.keys()).unwrap(),
            _ => state.add(backend, rows.keys(), &rows.values, now).unwrap(),
        }
    }

    fn expect(&mut self, way: u8, rows: &[Row], now: i64, gone: i64) {
        for row in rows {
            match (way, self.0.get(row, gone).cloned()) {
                (3, _) => _ = self.0.0.remove(&place(row)),
                (_, None) => self.0.set(row, row.value.clone(), now),
                (_, Some(before)) => self.0.set(row, reduce_one(before, row.value.clone()), now),
            }
        }
    }

    fn check(&self, state: &ReducingState, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64) {
        self.0.check(&state.get(backend, rows.keys()).unwrap(), rows, gone);
    }
}

#[derive(Default)]
struct AggregatingModel(Single);

/// How many rows there were, and all their texts; the result has a full stop behind them.
struct CountAndTexts;

impl AggregateFunction for CountAndTexts {
    fn create(&self, count: usize) -> Result<Vec<ArrayRef>> {
        Ok(columns(vec![(Some(0), Some(String::new())); count].iter()))
    }

    fn add(&self, accumulators: Vec<ArrayRef>, targets: &[u32], input: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let mut accumulators = pairs(&accumulators);
        for (target, (_, text)) in targets.iter().zip(pairs(input)) {
            let accumulator = &mut accumulators[*target as usize];
            *accumulator = count_one(accumulator.clone(), text);
        }
        Ok(columns(accumulators.iter()))
    }

    fn result(&self, accumulators: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
        let results = pairs(accumulators).into_iter().map(|(count, text)| (count, text.map(|text| text + ".")));
        Ok(columns(results.collect::<Vec<_>>().iter()))
    }
}

fn count_one((count, texts): Value, text: Option<String>) -> Value {
    (count.map(|count| count + 1), texts.map(|texts| texts + text.as_deref().unwrap_or("-")))
}

impl Model for AggregatingModel {
    type State = AggregatingState;

    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> AggregatingState {
        AggregatingState::open(backend, descriptor, &types(), Box::new(CountAndTexts)).unwrap()
    }

    fn apply(state: &mut AggregatingState, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64) {
        match way {
            3 => state.clear(backend, rows.keys()).unwrap(),
            _ => state.add(backend, rows.keys(), &rows.values, now).unwrap(),
        }
    }

    fn expect(&mut self, way: u8, rows: &[Row], now: i64, gone: i64) {
        for row in rows {
            let before = self.0.get(row, gone).cloned().unwrap_or_else(|| (Some(0), Some(".".to_owned())));
            let (count, texts) = before;
            let texts = texts.map(|texts| texts.trim_end_matches('.').to_owned());
            let (count, texts) = count_one((count, texts), row.value.1.clone());
            match way {
                3 => _ = self.0.0.remove(&place(row)),
                _ => self.0.set(row, (count, texts.map(|texts| texts + ".")), now),
            }
        }
    }

    fn check(&self, state: &AggregatingState, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64) {
        self.0.check(&state.get(backend, rows.keys()).unwrap(), rows, gone);
    }
}

/// Of each key and namespace the elements and when each was written.
#[derive(Default)]
struct ListModel(BTreeMap<(Key, i64), Vec<(Value, i64)>>);

impl Model for ListModel {
    type State = ListState;

    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> ListState {
        ListState::open(backend, descriptor, &types()).unwrap()
    }

    fn apply(state: &mut ListState, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64) {
        match way {
            3 => state.clear(backend, rows.keys()).unwrap(),
            2 => state.update(backend, rows.keys(), &rows.values, now).unwrap(),
            _ => state.add(backend, rows.keys(), &rows.values, now).unwrap(),
        }
    }

    fn expect(&mut self, way: u8, rows: &[Row], now: i64, _: i64) {
        if way >= 2 {
            rows.iter().for_each(|row| _ = self.0.remove(&place(row)));
        }
        if way < 3 {
            rows.iter().for_each(|row| self.0.entry(place(row)).or_default().push((row.value.clone(), now)));
        }
    }

    fn check(&self, state: &ListState, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64) {
        let entries = state.get(backend, rows.keys()).unwrap();
        let values = pairs(&entries.values);
        assert!(entries.sub_keys.is_empty());
        for (at, row) in rows.rows.iter().enumerate() {
            let list = self.0.get(&place(row)).into_iter().flatten();
            let expected = list.filter(|(_, written)| *written > gone).map(|(value, _)| value);
            assert!(values[entries.range(at)].iter().eq(expected));
        }
        assert_eq!(entries.ends.last().copied().unwrap_or(0), values.len());
    }
}

/// Of each key and namespace the entries and when each was written.
#[derive(Default)]
struct MapModel(BTreeMap<(Key, i64), BTreeMap<Option<String>, (Value, i64)>>);

impl Model for MapModel {
    type State = MapState;

    fn open(backend: &mut dyn KeyedBackend, descriptor: &StateDescriptor<'_>) -> MapState {
        MapState::open(backend, descriptor, &[TypeKind::string().nullable()], &types()).unwrap()
    }

    fn apply(state: &mut MapState, backend: &mut dyn KeyedBackend, way: u8, rows: &Rows<'_>, now: i64) {
        match way {
            3 => state.clear(backend, rows.keys()).unwrap(),
            2 => state.remove(backend, rows.keys(), &rows.sub_keys).unwrap(),
            _ => state.put(backend, rows.keys(), &rows.sub_keys, &rows.values, now).unwrap(),
        }
    }

    fn expect(&mut self, way: u8, rows: &[Row], now: i64, _: i64) {
        for row in rows {
            let map = self.0.entry(place(row)).or_default();
            match way {
                3 => map.clear(),
                2 => _ = map.remove(&row.sub_key),
                _ => _ = map.insert(row.sub_key.clone(), (row.value.clone(), now)),
            }
        }
    }

    fn check(&self, state: &MapState, backend: &dyn KeyedBackend, rows: &Rows<'_>, gone: i64) {
        let lookup = state.get(backend, rows.keys(), &rows.sub_keys).unwrap();
        let entries = state.entries(backend, rows.keys()).unwrap();
        let (found, values) = (pairs(&lookup.columns), pairs(&entries.values));
        let all: Vec<_> = texts(&entries.sub_keys[0]).into_iter().zip(values).collect();
        for (at, row) in rows.rows.iter().enumerate() {
            let map = self.0.get(&place(row)).into_iter().flatten().filter(|(_, (_, written))| *written > gone);
            let expected: Vec<_> = map.map(|(sub_key, (value, _))| (sub_key.clone(), value.clone())).collect();
            assert_eq!(all[entries.range(at)], expected);
            let expected = expected.into_iter().find(|(sub_key, _)| *sub_key == row.sub_key);
            assert_eq!(lookup.found[at], expected.is_some());
            assert_eq!(found[at], expected.map(|(_, value)| value).unwrap_or_default());
        }
        assert_eq!(state.contains(backend, rows.keys(), &rows.sub_keys).unwrap(), lookup.found);
    }
}

fn time_to_live() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), Just(100)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn values_are_those_of_the_model(ttl in time_to_live(), steps in steps()) {
        goes_on::<ValueModel>(ttl, &steps);
    }

    #[test]
    fn lists_are_those_of_the_model(ttl in time_to_live(), steps in steps()) {
        goes_on::<ListModel>(ttl, &steps);
    }

    #[test]
    fn maps_are_those_of_the_model(ttl in time_to_live(), steps in steps()) {
        goes_on::<MapModel>(ttl, &steps);
    }

    #[test]
    fn reduced_values_are_those_of_the_model(ttl in time_to_live(), steps in steps()) {
        goes_on::<ReducingModel>(ttl, &steps);
    }

    #[test]
    fn aggregates_are_those_of_the_model(ttl in time_to_live(), steps in steps()) {
        goes_on::<AggregatingModel>(ttl, &steps);
    }
}

fn numbers(values: &[i64]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

fn descriptor(key: &[LogicalType]) -> StateDescriptor<'_> {
    StateDescriptor { name: "s", key, namespace: false, ttl: 0, max_parallelism: MAX_PARALLELISM }
}

#[test]
fn adding_to_a_list_reads_nothing_and_notes_once_where_a_key_group_ends() {
    let open = |backend: &mut dyn KeyedBackend| {
        let bigint = [TypeKind::Bigint.nullable()];
        ListState::open(backend, &descriptor(&bigint), &bigint).unwrap()
    };
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, open);
        let add = |cluster: &mut Cluster<ListState>, values: &[i64]| {
            let before = cluster.world.written();
            let (backend, state) = cluster.only();
            let keys = [numbers(&vec![7; values.len()])];
            state.add(backend, Keys::new(&keys, values.len()), &[numbers(values)], 0).unwrap();
            cluster.world.written() - before
        };
        assert_eq!((add(&mut cluster, &[3, 1]), add(&mut cluster, &[2]), add(&mut cluster, &[])), (3, 1, 0));
        cluster.restart(1);
        assert_eq!((add(&mut cluster, &[0]), add(&mut cluster, &[9])), (2, 1));
        let (backend, state) = cluster.only();
        let entries = state.get(backend, Keys::new(&[numbers(&[8, 7])], 2)).unwrap();
        assert_eq!((entries.range(0), entries.range(1), &entries.values[0]), (0..0, 0..5, &numbers(&[3, 1, 2, 0, 9])));
    }
}

#[test]
fn writing_prolongs_the_life_of_what_is_written_and_reading_does_not() {
    let open = |backend: &mut dyn KeyedBackend| {
        let bigint = [TypeKind::Bigint.nullable()];
        let value = StateDescriptor { ttl: 100, ..descriptor(&bigint) };
        let list = StateDescriptor { name: "list", ..value.clone() };
        let value = ValueState::open(backend, &value, &bigint).unwrap();
        (value, ListState::open(backend, &list, &bigint).unwrap())
    };
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, open);
        let clock = cluster.clock.clone();
        let (backend, (value, list)) = cluster.only();
        let columns = [numbers(&[7])];
        let key = Keys::new(&columns, 1);
        for now in [0, 50] {
            value.update(backend, key, &columns, now).unwrap();
            list.add(backend, key, &columns, now).unwrap();
        }
        let seen = [(99, true, 2), (100, true, 1), (149, true, 1), (150, false, 0)];
        for (now, found, elements) in seen {
            clock.set(now);
            assert_eq!(value.value(backend, key).unwrap().found, [found], "{now}");
            assert_eq!(list.get(backend, key).unwrap().ends, [elements], "{now}");
        }
    }
}

#[test]
fn what_does_not_fit_a_state_is_refused() {
    let bigint = [TypeKind::Bigint.nullable()];
    let mut cluster = Cluster::new("hashmap", move |backend| {
        MapState::open(backend, &descriptor(&bigint), &bigint, &bigint).unwrap()
    });
    let (backend, state) = cluster.only();
    let column = [numbers(&[1])];
    let two = [numbers(&[1, 2])];
    let none: [ArrayRef; 0] = [];
    let message = |outcome: Result<()>| outcome.unwrap_err().to_string();
    assert_eq!(
        message(state.put(backend, Keys::new(&none, 1), &column, &column, 0)),
        "0 columns were given for state that takes 1"
    );
    assert_eq!(
        message(state.put(backend, Keys::new(&column, 1), &column, &two, 0)),
        "a column of 2 rows was given for 1 keys"
    );
    assert_eq!(
        message(state.remove(backend, Keys::new(&column, 1).in_namespaces(&[5]), &column)),
        "1 namespaces were given for state that takes 0"
    );
}
