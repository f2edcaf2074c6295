//! Rows of keys in namespaces against an ordered map: namespaces that are dropped, and the union of several, with little memory,
//! snapshots and other parallelisms.
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use proptest::prelude::*;
use wiesel_common::keygroup;
use wiesel_state::keyed::SnapshotOptions;

use super::*;
use crate::element::Batch;
use crate::operator::{Collector, Operator, OperatorContext, OperatorSnapshot, RestoredState};
use crate::state::table::key_groups;
use crate::state::write_back;
use crate::testing::context;
use crate::testing::keyed::{Key, MAX_PARALLELISM, columns, pairs, some_keys, types};
use crate::testing::state::{BACKENDS, Subtasks, World};

const CACHES: [usize; 3] = [0, 2000, usize::MAX];
/// The first and the last are the ends of time.
const NAMESPACES: [i64; 4] = [i64::MIN, -1, 1000, i64::MAX];

/// A subtask with one table of rows.
struct Holder {
    backend: Backend,
    rows: Option<KeyedRows>,
}

impl Operator for Holder {
    fn restore(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let (mut backend, types) = (restored.keyed()?, types());
        let (name, max_parallelism) = ("rows", MAX_PARALLELISM);
        let value = [TypeKind::Bigint.not_null()];
        let descriptor =
            RowsDescriptor { name, key: &types, order: &types, appends: false, value: &value, ttl: 0, max_parallelism };
        self.rows = Some(KeyedRows::open_in_namespaces(&mut *backend, &descriptor, restored.cache_share())?);
        self.backend = Some(backend);
        Ok(())
    }

    fn process(&mut self, _: usize, _: Batch, _: &mut dyn Collector) -> Result<()> {
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let kept_back = self.rows.as_mut().unwrap().write_changes(&mut self.backend, options)?;
        assert!(kept_back.is_empty(), "what is kept back has no namespaces");
        write_back::snapshot(&mut self.backend, options, kept_back)
    }
}

fn start(
    world: &Arc<World>,
    context: &OperatorContext,
    parallelism: u32,
    cache: usize,
    saved: &[wiesel_proto::KeyedStateHandle],
) -> Subtasks<Holder> {
    Subtasks::start(world, context, parallelism, saved, cache, |_| Holder { backend: None, rows: None })
}

type Position = (Option<i64>, Option<String>);
type Model = BTreeMap<(i64, Key), BTreeSet<Position>>;

#[derive(Clone, Debug)]
enum Step {
    Add(Vec<(i64, Key, Position)>),
    Drop(i64),
    Union(Key, Vec<Position>),
    Restart(u32, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let namespace = || prop::sample::select(NAMESPACES.to_vec());
    let key = || prop::sample::select(some_keys());
    let position = || (prop::option::of(-4..4i64), prop::option::of("[a-c]{0,2}"));
    let cache = prop::sample::select(CACHES.to_vec());
    let step = prop_oneof![
        6 => prop::collection::vec((namespace(), key(), position()), 1..20).prop_map(Step::Add),
        2 => namespace().prop_map(Step::Drop),
        3 => (key(), prop::collection::vec(position(), 0..4)).prop_map(|(key, also)| Step::Union(key, also)),
        1 => (1..4u32, cache).prop_map(|(parallelism, cache)| Step::Restart(parallelism, cache)),
    ];
    prop::collection::vec(step, 0..40)
}

/// The columns of keys in namespaces.
fn in_namespaces<'a>(keys: impl Iterator<Item = (i64, &'a Key)>) -> Vec<ArrayRef> {
    let (namespaces, keys): (Vec<i64>, Vec<&Key>) = keys.unzip();
    let namespaces: ArrayRef = Arc::new(Int64Array::from(namespaces));
    [namespaces].into_iter().chain(columns(keys.into_iter())).collect()
}

fn subtask_of(key: &Key, parallelism: usize) -> usize {
    let group = key_groups(&columns([key].into_iter()), 1, MAX_PARALLELISM).unwrap()[0];
    keygroup::subtask(u32::from(group), parallelism as u32, MAX_PARALLELISM) as usize
}

fn goes_on(backend: &'static str, cache: usize, steps: &[Step]) {
    let context = OperatorContext { max_parallelism: MAX_PARALLELISM, ..context() };
    let world = World::new(&context, backend);
    let mut subtasks = start(&world, &context, 1, cache, &[]);
    let (mut model, mut checkpoint) = (Model::new(), 0);
    for step in steps {
        let parallelism = subtasks.operators.len();
        match step {
            Step::Add(rows) => {
                for (subtask, holder) in subtasks.operators.iter_mut().enumerate() {
                    let own: Vec<_> = rows.iter().filter(|row| subtask_of(&row.1, parallelism) == subtask).collect();
                    let keys = in_namespaces(own.iter().map(|(namespace, key, _)| (*namespace, key)));
                    let positions = columns(own.iter().map(|(_, _, position)| position));
                    let values: ArrayRef = Arc::new(Int64Array::from(vec![1; own.len()]));
                    let table = holder.rows.as_mut().unwrap();
                    table.upsert(&keys, &positions, &[values], own.len(), 0).unwrap();
                    let found = table.get(&holder.backend, &keys, &positions, own.len(), 0).unwrap();
                    assert!(!found.contains(&KeyedRows::NONE));
                    table.trim(&mut holder.backend).unwrap();
                }
                for (namespace, key, position) in rows {
                    model.entry((*namespace, key.clone())).or_default().insert(position.clone());
                }
            }
            Step::Drop(namespace) => {
                let all: Vec<u16> = (0..MAX_PARALLELISM as u16).collect();
                for holder in &mut subtasks.operators {
                    let own = holder.backend.as_ref().unwrap().key_groups().unwrap();
                    let own: Vec<u16> = all.iter().copied().filter(|group| own.contains(group)).collect();
                    let table = holder.rows.as_mut().unwrap();
                    table.drop_namespace(&mut holder.backend, *namespace, &own).unwrap();
                }
                model.retain(|(of, _), _| of != namespace);
            }
            Step::Union(key, also) => {
                let holder = &mut subtasks.operators[subtask_of(key, parallelism)];
                let keys = NAMESPACES.map(|namespace| in_namespaces([(namespace, key)].into_iter()));
                let mut found = Vec::new();
                let each = |columns: &[ArrayRef]| {
                    found.extend(pairs(columns));
                    Ok(())
                };
                let (table, also_) = (holder.rows.as_mut().unwrap(), columns(also.iter()));
                table.union(&mut holder.backend, &keys, &also_, 0, each).unwrap();
                let of_key = model.iter().filter(|((_, of), _)| of == key).flat_map(|(_, positions)| positions);
                let expected: BTreeSet<&Position> = of_key.chain(also).collect();
                assert_eq!(found.iter().collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
            }
            Step::Restart(parallelism, cache) => {
                checkpoint += 1;
                let saved = subtasks.save(checkpoint);
                let kept: usize = model.values().map(BTreeSet::len).sum();
                assert_eq!(world.entries(&saved, "rows").len(), kept);
                subtasks = start(&world, &context, *parallelism, *cache, &saved);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn rows_in_namespaces_are_those_of_an_ordered_map(
        cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on("hashmap", cache, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn rows_in_namespaces_on_disk_are_those_of_an_ordered_map(
        cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on("rocksdb", cache, &steps);
    }
}

/// What is known to be new is not looked for, though memory has run short before.
#[test]
fn a_key_that_begins_is_not_looked_for() {
    let context = OperatorContext { max_parallelism: MAX_PARALLELISM, ..context() };
    for backend in BACKENDS {
        let world = World::new(&context, backend);
        let mut subtasks = start(&world, &context, 1, usize::MAX, &[]);
        let key: Key = (Some(1), None);
        let position = |number: i64| columns([(Some(number), None)].iter());
        let one = || -> [ArrayRef; 1] { [Arc::new(Int64Array::from(vec![1]))] };
        let keys = |namespace: i64| in_namespaces([(namespace, &key)].into_iter());
        let holder = &mut subtasks.operators[0];
        holder.rows.as_mut().unwrap().upsert(&keys(1), &position(0), &one(), 1, 0).unwrap();
        let saved = subtasks.save(1);
        let mut subtasks = start(&world, &context, 1, usize::MAX, &saved);
        let holder = &mut subtasks.operators[0];
        let table = holder.rows.as_mut().unwrap();
        table.begin(&keys(2), &position(0), &one(), 1, 0).unwrap();
        let read = world.read();
        let found = table.get(&holder.backend, &keys(2), &position(1), 1, 0).unwrap();
        assert_eq!((found, world.read() - read), (vec![KeyedRows::NONE], 0), "{backend}");
        let found = table.get(&holder.backend, &keys(1), &position(1), 1, 0).unwrap();
        assert_eq!((found, world.read() - read), (vec![KeyedRows::NONE], 1), "{backend}");
    }
}

/// Failed before: a namespace was gone through for it, and each of its rows taken out by itself.
#[test]
fn a_namespace_goes_without_a_look_at_its_rows() {
    let context = OperatorContext { max_parallelism: MAX_PARALLELISM, ..context() };
    for backend in BACKENDS {
        let world = World::new(&context, backend);
        let mut subtasks = start(&world, &context, 1, usize::MAX, &[]);
        let key: Key = (Some(1), None);
        let positions: Vec<Position> =
            (0..300_i64).map(|number| (Some(number), (number % 7 == 0).then(|| "x".repeat(50)))).collect();
        let ones: ArrayRef = Arc::new(Int64Array::from(vec![1; positions.len()]));
        let add = |subtasks: &mut Subtasks<Holder>| {
            for namespace in NAMESPACES {
                let keys = in_namespaces(positions.iter().map(|_| (namespace, &key)));
                let rows = subtasks.operators[0].rows.as_mut().unwrap();
                rows.upsert(&keys, &columns(positions.iter()), std::slice::from_ref(&ones), positions.len(), 0)
                    .unwrap();
            }
        };
        add(&mut subtasks);
        subtasks.save(1);
        let all: Vec<u16> = (0..MAX_PARALLELISM as u16).collect();
        let mut left = NAMESPACES.len();
        for (at, namespace) in NAMESPACES.iter().enumerate() {
            let holder = &mut subtasks.operators[0];
            let (scans, written) = (world.scans(), world.written());
            holder.rows.as_mut().unwrap().drop_namespace(&mut holder.backend, *namespace, &all).unwrap();
            // One pass finds the key groups that have some.
            assert_eq!((world.scans() - scans, world.written() - written), (1, 0), "{backend}");
            left -= 1;
            // Nothing else is written in between; each other checkpoint has the back end's own files.
            let saved = subtasks.save(at as u64 + 2);
            assert_eq!(world.entries(&saved, "rows").len(), left * positions.len(), "{backend}");
        }
        // What comes later into a namespace that was dropped is there, and goes on at another parallelism.
        add(&mut subtasks);
        for (id, parallelism) in [(6, 2), (8, 3), (9, 1)] {
            let saved = subtasks.save(id);
            assert_eq!(world.entries(&saved, "rows").len(), NAMESPACES.len() * positions.len(), "{backend} {id}");
            subtasks = start(&world, &context, parallelism, 0, &saved);
        }
    }
}
