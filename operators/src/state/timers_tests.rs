//! Timers against an ordered set: each fires once, in order of time, whatever restarts come between.
use std::collections::{BTreeSet, HashSet};

use proptest::prelude::*;
use wiesel_expressions::types::TypeKind;
use wiesel_state::keyed::KeyedBackend;

use super::*;
use crate::testing::context;
use crate::testing::keyed::{Cluster, Key, MAX_PARALLELISM, Row, key_columns, pairs, row, sub_keys, texts, types};
use crate::testing::state::{BACKENDS, World};

/// When, of which key, in which namespace.
type Timer = (i64, Key, Option<String>);

fn open(domain: TimeDomain) -> impl Fn(&mut dyn KeyedBackend) -> Timers + Send + Sync + 'static {
    let namespace = [TypeKind::string().nullable()];
    move |backend| Timers::open(backend, domain, &types(), &namespace, MAX_PARALLELISM).unwrap()
}

/// The time of a row is where its namespace is in other tests, and its namespace where the sub-key is.
fn timer(row: &Row) -> Timer {
    (row.namespace, row.key.clone(), row.sub_key.clone())
}

fn rows(timers: impl IntoIterator<Item = Timer>) -> Vec<Row> {
    let row = |(namespace, key, sub_key)| Row { key, namespace, sub_key, value: (None, None) };
    timers.into_iter().map(row).collect()
}

fn times(rows: &[Row]) -> Vec<i64> {
    rows.iter().map(|row| row.namespace).collect()
}

fn register(timers: &mut Timers, backend: &mut dyn KeyedBackend, rows: &[Row]) {
    let keys = key_columns(rows);
    timers.register(backend, Keys::new(&keys, rows.len()), &sub_keys(rows), &times(rows)).unwrap();
}

fn delete(timers: &mut Timers, backend: &mut dyn KeyedBackend, rows: &[Row]) {
    let keys = key_columns(rows);
    timers.delete(backend, Keys::new(&keys, rows.len()), &sub_keys(rows), &times(rows)).unwrap();
}

fn fire(timers: &mut Timers, backend: &mut dyn KeyedBackend, up_to: i64, limit: usize) -> Vec<Timer> {
    let due = timers.fire(backend, up_to, limit).unwrap();
    assert_eq!(due.len(), pairs(&due.keys).len());
    let keys = pairs(&due.keys).into_iter().zip(texts(&due.namespaces[0]));
    due.times.iter().zip(keys).map(|(time, (key, namespace))| (*time, key, namespace)).collect()
}

/// A key that is a number.
fn key(number: i64) -> Key {
    (Some(number), None)
}

#[derive(Clone, Debug)]
enum Step {
    Register(Vec<Row>),
    Delete(Vec<Row>),
    /// Up to a time, so many at once; those that fired register another one so much later.
    Fire(i64, usize, i64),
    /// A snapshot, and on with so many subtasks.
    Restart(u32),
}

const TIMES: &[i64] = &[i64::MIN, i64::MIN + 1, -300, -1, 0, 1, 255, 256, 1 << 40, i64::MAX - 1, i64::MAX];

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = || prop::collection::vec(row(TIMES), 0..16);
    let step = prop_oneof![
        4 => rows().prop_map(Step::Register),
        2 => rows().prop_map(Step::Delete),
        2 => (prop::sample::select(TIMES), 0..6usize, 1..300i64)
            .prop_map(|(up_to, limit, more)| Step::Fire(up_to, limit, more)),
        1 => (1..=2u32).prop_map(Step::Restart),
    ];
    prop::collection::vec(step, 1..16)
}

/// Fires all that is due and compares each batch with the first timers of the model that are the subtask's.
fn fire_all(cluster: &mut Cluster<Timers>, model: &mut BTreeSet<Timer>, (up_to, limit, more): (i64, usize, i64)) {
    let all = rows(model.iter().cloned());
    cluster.each(&all, |timers, backend, own| {
        let mut left: BTreeSet<Timer> = own.iter().map(timer).collect();
        loop {
            let fired = fire(timers, backend, up_to, limit);
            if fired.is_empty() {
                break;
            }
            assert!(fired.len() <= limit.max(1) && fired.is_sorted_by_key(|(time, ..)| *time));
            let last = fired.last().map(|(time, ..)| *time).unwrap();
            assert!(last <= up_to);
            let mut seen = HashSet::new();
            for due in &fired {
                assert!(left.remove(due) && model.remove(due), "{due:?} is not there");
                assert!(seen.insert((&due.1, &due.2)), "{due:?} is not the first of its key");
            }
            assert!(left.first().is_none_or(|(time, ..)| last <= *time));
            // What fired far back in time registers one more, which may be due, too.
            let again = fired.into_iter().filter(|(time, ..)| *time < -1);
            let again: Vec<Timer> =
                again.map(|(time, key, namespace)| ((time + more).max(-1), key, namespace)).collect();
            register(timers, backend, &rows(again.clone()));
            left.extend(again.clone());
            model.extend(again);
        }
        assert!(left.first().is_none_or(|(time, ..)| *time > up_to));
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn timers_fire_once_and_in_order(steps in steps()) {
        for (backend, domain) in BACKENDS.into_iter().zip([TimeDomain::Event, TimeDomain::Processing]) {
            let (mut cluster, mut model) = (Cluster::new(backend, open(domain)), BTreeSet::new());
            for step in &steps {
                match step {
                    Step::Register(rows) => {
                        cluster.each(rows, register);
                        model.extend(rows.iter().map(timer));
                    }
                    Step::Delete(rows) => {
                        cluster.each(rows, delete);
                        rows.iter().for_each(|row| _ = model.remove(&timer(row)));
                    }
                    Step::Fire(up_to, limit, more) => fire_all(&mut cluster, &mut model, (*up_to, *limit, *more)),
                    Step::Restart(parallelism) => {
                        cluster.restart(*parallelism);
                        cluster.each(&rows(model.iter().cloned()), |timers, _, own| {
                            let earliest = own.iter().map(|row| row.namespace).min();
                            assert!(earliest.is_none_or(|earliest| timers.next().is_some_and(|next| next <= earliest)));
                        });
                        cluster.each(&[], register);
                    }
                }
                cluster.each(&rows(model.iter().cloned()), |timers, _, own| {
                    assert_eq!(timers.next(), own.iter().map(|row| row.namespace).min());
                });
            }
            fire_all(&mut cluster, &mut model, (i64::MAX, 1000, 1));
            prop_assert!(model.is_empty());
        }
    }
}

#[test]
fn many_timers_fire_in_order_over_all_key_groups() {
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, open(TimeDomain::Event));
        let all: BTreeSet<Timer> = (0..5000).map(|number| (number * 7919 % 5003, key(number % 500), None)).collect();
        cluster.each(&rows(all.iter().cloned()), register);
        cluster.restart(2);
        let mut seen = BTreeSet::new();
        cluster.each(&rows(all.iter().cloned()), |timers, backend, own| {
            let mut fired = Vec::new();
            loop {
                let batch = fire(timers, backend, 5002, 100);
                if batch.is_empty() {
                    break;
                }
                fired.extend(batch);
            }
            assert!(fired.is_sorted_by_key(|(time, ..)| *time));
            assert_eq!(fired.len(), own.len());
            seen.extend(fired);
        });
        assert_eq!(seen, all);
    }
}

#[test]
fn what_a_timer_does_comes_before_the_next_timer_of_its_key() {
    for backend in BACKENDS {
        let mut cluster = Cluster::new(backend, open(TimeDomain::Processing));
        let of_one_key = [10, 20, 30].map(|time| (time, key(1), None));
        let other = (20, key(1), Some("n".to_owned()));
        cluster.each(&rows(of_one_key.iter().cloned().chain([other.clone()])), |timers, backend, own| {
            register(timers, backend, own);
            assert_eq!(timers.next(), Some(10));
            // The next one of the same key and namespace waits; another namespace's would not.
            assert_eq!(fire(timers, backend, 100, 100), [(10, key(1), None)]);
            register(timers, backend, &rows([(15, key(1), None), (15, key(1), None)]));
            delete(timers, backend, &rows([(20, key(1), None), (40, key(1), None)]));
            assert_eq!(timers.next(), Some(15));
            assert_eq!(fire(timers, backend, 100, 100), [(15, key(1), None), other.clone()]);
            assert_eq!(fire(timers, backend, 29, 100), []);
            assert_eq!(timers.next(), Some(30));
            delete(timers, backend, &rows([(30, key(1), None)]));
            assert_eq!(timers.next(), None);
            assert_eq!(fire(timers, backend, i64::MAX, 100), []);
        });
    }
}

#[test]
fn a_key_of_another_subtask_is_refused() {
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let mut backend = world.open(5..=5, &[]);
        let mut timers = open(TimeDomain::Event)(&mut *backend);
        let all = rows((0..100).map(|number| (7, key(number), None)));
        let keys = key_columns(&all);
        let refused = timers.register(&mut *backend, Keys::new(&keys, all.len()), &sub_keys(&all), &times(&all));
        assert!(refused.unwrap_err().to_string().ends_with("is another subtask's"));
    }
}
