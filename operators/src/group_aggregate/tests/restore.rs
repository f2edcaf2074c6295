//! What groups leave in their table, and when. That they go on as if nothing had happened is what
//! [`crate::conformance_tests`] are for.

use wiesel_state::keyed::{SnapshotOptions, WriteBatch};

use super::*;
use crate::aggregate::Aggregates;
use crate::element::Batch;
use crate::group_aggregate::groups::value_types;
use crate::state::table::{RowTable, TableLayout};
use crate::state::write_back::CachedEntries;
use crate::testing::Output;
use crate::testing::state::{BACKENDS, Saved, Subtasks, World};

/// All that is kept of groups in memory, at most.
pub(super) const TIGHT: [usize; 3] = [0, 4096, usize::MAX];

pub(super) fn context() -> OperatorContext {
    OperatorContext { max_parallelism: 11, ..context_with(&[]).0 }
}

pub(super) fn start(
    world: &Arc<World>,
    setup: &Setup,
    parallelism: u32,
    saved: &Saved,
    cache: usize,
) -> Subtasks<GroupAggregate> {
    let build = |context: &OperatorContext| setup.build_in(context).unwrap();
    Subtasks::start(world, &context(), parallelism, saved, cache, build)
}

pub(super) fn step(setup: &Setup, subtasks: &mut Subtasks<GroupAggregate>, batch: &Batch) -> Vec<String> {
    let keys: Vec<usize> = setup.keys.iter().map(|key| *key as usize).collect();
    let parts = subtasks.route(batch, &keys);
    let parts = subtasks.operators.iter_mut().zip(parts).filter(|(_, part)| part.num_rows() > 0);
    let mut changes: Vec<String> = parts.flat_map(|(operator, part)| run(operator, part)).collect();
    changes.sort();
    changes
}

#[test]
fn nothing_is_written_before_a_snapshot_and_only_what_changed_at_each() {
    let setup = key_value(vec![call("COUNT", &[], TypeKind::Bigint.not_null())]);
    let rows = |keys: &[i64]| {
        let rows: Vec<_> = keys.iter().map(|key| (Some(*key), None)).collect();
        batch(&setup.input, columns(&rows))
    };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), usize::MAX);
        step(&setup, &mut subtasks, &rows(&[1, 2, 3]));
        assert_eq!(world.written(), 0);
        // Sorted entries are all there is: all are written.
        let first = subtasks.save(1);
        assert_eq!((world.written(), world.kept_back()), (3, 0));
        step(&setup, &mut subtasks, &rows(&[2]));
        let second = subtasks.save(2);
        // What changed is kept back from a table on disk.
        let kept_back = usize::from(backend == "rocksdb");
        assert_eq!((world.written(), world.kept_back()), (4 - kept_back, kept_back));
        let (first, second) = (world.entries(&first, "groups"), world.entries(&second, "groups"));
        assert_eq!(second.iter().filter(|(key, value)| first[*key] == **value).count(), 2);
        // And written when it does not change any more.
        let third = subtasks.save(4);
        assert_eq!((world.written(), world.kept_back()), (4, kept_back));
        assert_eq!(world.entries(&third, "groups"), second);
    }
}

#[test]
fn each_file_of_what_is_kept_back_has_the_text_of_its_own_groups() {
    let text = TypeKind::string().nullable();
    let input = fields(&[("k", bigint()), ("v", text.clone())]);
    let calls = vec![call("MAX", &[1], text)];
    let setup = Setup { input, keys: vec![0], calls, changelog: false, update_before: true, ttl: 0 };
    let world = World::new(&context(), "rocksdb");
    let mut subtasks = start(&world, &setup, 1, &Vec::new(), usize::MAX);
    let groups = 300_000;
    let keys: ArrayRef = Arc::new((0..groups).map(Some).collect::<Int64Array>());
    let texts: StringViewArray = (0..groups).map(|key| Some(format!("a text of the group {key:010}"))).collect();
    step(&setup, &mut subtasks, &batch(&setup.input, vec![keys, Arc::new(texts)]));
    let saved = subtasks.save(2);
    let files = saved[0].files.iter().filter(|named| named.kept_back);
    let sizes: Vec<u64> = files.map(|named| named.file.as_ref().unwrap().size).collect();
    assert_eq!(sizes.len(), 2);
    assert!(sizes[1] * 5 < sizes[0], "an eighth of the groups: {sizes:?}");
    assert_eq!(world.entries(&saved, "groups").len(), 300_000);
}

#[test]
fn a_group_that_lost_its_rows_leaves_the_table() {
    let mut setup = key_value(vec![call("COUNT", &[], TypeKind::Bigint.not_null())]);
    setup.changelog = true;
    let row = |kind, key| changes(&setup.input, vec![kind], columns(&[(Some(key), None)]));
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
        step(&setup, &mut subtasks, &row(INSERT, 1));
        step(&setup, &mut subtasks, &row(INSERT, 2));
        let saved = subtasks.save(1);
        assert_eq!(world.entries(&saved, "groups").len(), 2);
        assert_eq!(step(&setup, &mut subtasks, &row(DELETE, 1)), ["-D[1, 1]"]);
        assert_eq!(step(&setup, &mut subtasks, &row(INSERT, 1)), ["+I[1, 1]"], "it must not find its old entry");
        assert_eq!(step(&setup, &mut subtasks, &row(DELETE, 1)), ["-D[1, 1]"]);
        let saved = subtasks.save(2);
        assert_eq!(world.entries(&saved, "groups").len(), 1);
        assert!(subtasks.operators[0].state.entries.store.len() <= 1);
        let mut subtasks = start(&world, &setup, 5, &saved, cache);
        assert_eq!(step(&setup, &mut subtasks, &row(INSERT, 1)), ["+I[1, 1]"]);
        assert_eq!(step(&setup, &mut subtasks, &row(DELETE, 2)), ["-D[2, 1]"]);
    }
}

#[test]
fn a_restored_group_expires_by_its_last_write() {
    let mut setup = key_value(vec![call("COUNT", &[], TypeKind::Bigint.not_null())]);
    setup.ttl = 1000;
    let (context, clock) = context_with(&[]);
    let row = |key| batch(&setup.input, columns(&[(Some(key), None)]));
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        clock.set(0);
        let world = World::new(&context, backend);
        let build = |context: &OperatorContext| setup.build_in(context).unwrap();
        let mut subtasks = Subtasks::start(&world, &context, 1, &[], cache, build);
        assert_eq!(step(&setup, &mut subtasks, &row(1)), ["+I[1, 1]"]);
        clock.set(600);
        assert_eq!(step(&setup, &mut subtasks, &row(2)), ["+I[2, 1]"]);
        let saved = subtasks.save(1);
        let mut subtasks = Subtasks::start(&world, &context, 1, &saved, cache, build);
        clock.set(1200);
        assert_eq!(step(&setup, &mut subtasks, &row(1)), ["+I[1, 1]"], "expired");
        assert_eq!(step(&setup, &mut subtasks, &row(2)), ["+U[2, 2]", "-U[2, 1]"]);
        subtasks.operators[0].processing_time(5000, &mut Output::default()).unwrap();
        clock.set(5000);
        assert_eq!(step(&setup, &mut subtasks, &row(2)), ["+I[2, 1]"]);
    }
}

/// Before, the timer that looks for expired groups forgot that the group was still to be taken out of the table.
#[test]
fn a_group_that_lost_its_rows_does_not_come_back_when_others_expire() {
    let mut setup = key_value(vec![call("COUNT", &[], TypeKind::Bigint.not_null())]);
    (setup.changelog, setup.ttl) = (true, 1000);
    let (context, clock) = context_with(&[]);
    let row = |kind, key| changes(&setup.input, vec![kind], columns(&[(Some(key), None)]));
    for backend in BACKENDS {
        let world = World::new(&context, backend);
        let build = |context: &OperatorContext| setup.build_in(context).unwrap();
        let mut subtasks = Subtasks::start(&world, &context, 1, &[], usize::MAX, build);
        clock.set(0);
        step(&setup, &mut subtasks, &row(INSERT, 9));
        clock.set(500);
        step(&setup, &mut subtasks, &row(INSERT, 1));
        subtasks.save(1);
        clock.set(700);
        assert_eq!(step(&setup, &mut subtasks, &row(DELETE, 1)), ["-D[1, 1]"]);
        clock.set(1000);
        subtasks.operators[0].processing_time(1000, &mut Output::default()).unwrap();
        let saved = subtasks.save(3);
        let mut subtasks = Subtasks::start(&world, &context, 1, &saved, usize::MAX, build);
        clock.set(1200);
        assert_eq!(step(&setup, &mut subtasks, &row(INSERT, 1)), ["+I[1, 1]"], "{backend}");
    }
}

/// Before, all values of a group were one value of its state: written when one of them changed, and read for one of them.
#[test]
fn of_many_distinct_values_those_are_written_and_read_that_change() {
    let count = call("COUNT", &[1], TypeKind::Bigint.not_null());
    let sum = call("SUM", &[1], bigint());
    let distinct = |call: proto::AggregateCall| proto::AggregateCall { distinct: true, ..call };
    for changelog in [false, true] {
        let mut setup = key_value(vec![distinct(count.clone()), distinct(sum.clone())]);
        setup.changelog = changelog;
        let row = |values: std::ops::Range<i64>, kind: i8| {
            let rows: Vec<_> = values.map(|value| (Some(1), Some(value))).collect();
            match changelog {
                true => changes(&setup.input, vec![kind; rows.len()], columns(&rows)),
                false => batch(&setup.input, columns(&rows)),
            }
        };
        for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
            let world = World::new(&context(), backend);
            let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
            assert_eq!(step(&setup, &mut subtasks, &row(0..1000, INSERT)), ["+I[1, 1000, 499500]"]);
            subtasks.save(1);
            let written = world.written();
            let expected = ["+U[1, 1003, 502503]", "-U[1, 1000, 499500]"];
            assert_eq!(step(&setup, &mut subtasks, &row(990..1003, INSERT)), expected);
            let saved = subtasks.save(3);
            let written = world.written() - written;
            assert!((27..60).contains(&written), "{written} entries of 2 times 13 values and the group");
            assert_eq!(world.entries(&saved, "distinct/1").len(), 1003);
            let mut subtasks = start(&world, &setup, 3, &saved, cache);
            let read = world.read();
            let expected = ["+U[1, 1004, 503506]", "-U[1, 1003, 502503]"];
            assert_eq!(step(&setup, &mut subtasks, &row(1002..1004, INSERT)), expected);
            assert!(world.read() - read < 10, "{} keys were read for 2 values", world.read() - read);
            if changelog {
                let changes = step(&setup, &mut subtasks, &row(0..1, DELETE));
                assert_eq!(changes, ["+U[1, 1003, 503506]", "-U[1, 1004, 503506]"]);
                let changes = step(&setup, &mut subtasks, &row(990..991, DELETE));
                assert!(changes.is_empty(), "it came twice: {changes:?}");
                step(&setup, &mut subtasks, &row(1..1004, DELETE));
                assert_eq!(step(&setup, &mut subtasks, &row(991..1000, DELETE)), ["+U[1, 1, 1002]", "-U[1, 10, 9957]"]);
                assert_eq!(step(&setup, &mut subtasks, &row(1002..1003, DELETE)), ["-D[1, 1, 1002]"]);
                assert_eq!(step(&setup, &mut subtasks, &row(7..8, INSERT)), ["+I[1, 1, 7]"]);
                let saved = subtasks.save(5);
                assert!(world.entries(&saved, "distinct/0").is_empty(), "what the group had is gone");
            }
        }
    }
}

/// Earlier releases kept all values of a DISTINCT with its group, however many they were.
#[test]
fn values_that_an_earlier_release_kept_with_their_group_become_rows() {
    let mut setup =
        key_value(vec![proto::AggregateCall { distinct: true, ..call("COUNT", &[1], TypeKind::Bigint.not_null()) }]);
    setup.changelog = true;
    let values = |values: std::ops::Range<i64>| -> Vec<_> { values.map(|value| (Some(1), Some(value))).collect() };
    let row = |kind: i8, of: std::ops::Range<i64>| {
        let rows = values(of);
        changes(&setup.input, vec![kind; rows.len()], columns(&rows))
    };
    let mut former = Aggregates::new(&setup.calls, &setup.input, true).unwrap();
    former.resize(1);
    former.update(&row(INSERT, 0..50).records, &[0; 50], None, None).unwrap();
    let mut kept: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![50])), Arc::new(BooleanArray::from(vec![true]))];
    kept.extend(former.save(&[0]).unwrap());
    let (key, value) = ([bigint()], value_types(&former));
    let layout = TableLayout {
        name: "groups",
        key: &key,
        sub_key: &[],
        value: &value,
        namespace: false,
        ttl: 0,
        max_parallelism: context().max_parallelism,
    };
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let world = World::new(&context(), backend);
        let mut tables = world.open(0..=10, &[]);
        let table = RowTable::open(&mut *tables, &layout).unwrap();
        let keys = table.keys(&columns(&values(0..1))[..1], &[], 1).unwrap();
        let entry = (keys.share(0), Some(table.values(&kept, &[], 1).unwrap().share(0)));
        tables.write(table.id, WriteBatch { entries: vec![entry] }).unwrap();
        let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: false };
        let saved = vec![world.upload(tables.snapshot(&options, Vec::new()).unwrap(), &options)];
        let mut subtasks = start(&world, &setup, 3, &saved, cache);
        assert_eq!(step(&setup, &mut subtasks, &row(INSERT, 49..52)), ["+U[1, 52]", "-U[1, 50]"]);
        let saved = subtasks.save(3);
        assert_eq!(world.entries(&saved, "distinct/0").len(), 52);
        let mut subtasks = start(&world, &setup, 1, &saved, cache);
        assert!(step(&setup, &mut subtasks, &row(DELETE, 49..50)).is_empty(), "it came twice");
        assert_eq!(step(&setup, &mut subtasks, &row(DELETE, 0..1)), ["+U[1, 51]", "-U[1, 52]"]);
    }
}

#[test]
fn memory_stays_within_its_budget() {
    let calls = vec![
        call("COUNT", &[], TypeKind::Bigint.not_null()),
        call("COLLECT", &[1], TypeKind::Multiset(Box::new(bigint())).not_null()),
    ];
    let setup = key_value(calls);
    let budget = 1 << 20;
    let world = World::new(&context(), "rocksdb");
    let mut subtasks = start(&world, &setup, 1, &Vec::new(), budget);
    let mut biggest = 0;
    for round in 0..60i64 {
        // First many small groups, then few that grow.
        let key = |row: i64| if round < 20 { round * 2000 + row } else { row % 500 };
        let rows: Vec<_> = (0..2000).map(|row| (Some(key(row)), Some(round * 10_000 + row))).collect();
        step(&setup, &mut subtasks, &batch(&setup.input, columns(&rows)));
        biggest = biggest.max(subtasks.operators[0].state.entries.room());
    }
    assert!(biggest <= budget / 4 * 5, "{biggest}");
    assert!(biggest > budget / 4, "{biggest}");
    let saved = subtasks.save(1);
    assert_eq!(world.entries(&saved, "groups").len(), 40_000);
}

/// Before, the keys of all groups that were written at a barrier were copied at once, several times.
#[test]
fn long_keys_are_written_a_few_at_a_time() {
    let text = TypeKind::string().nullable();
    let input = fields(&[("k", text), ("v", bigint())]);
    let calls = vec![call("COUNT", &[], TypeKind::Bigint.not_null())];
    let setup = Setup { input, keys: vec![0], calls, changelog: false, update_before: true, ttl: 0 };
    let world = World::new(&context(), "hashmap");
    let mut subtasks = start(&world, &setup, 1, &Vec::new(), usize::MAX);
    for round in 0..5 {
        let keys = (0..8).map(|row| format!("{round}{row}").repeat(1 << 19));
        let columns: Vec<ArrayRef> =
            vec![Arc::new(StringViewArray::from_iter_values(keys)), Arc::new(Int64Array::from(vec![1; 8]))];
        subtasks.operators[0].process(0, batch(&setup.input, columns), &mut Output::default()).unwrap();
    }
    subtasks.save(1);
    assert_eq!(world.written(), 40);
    assert!((16 << 20..36 << 20).contains(&world.largest()), "{}", world.largest());
}
