//! Groups of which functions keep an entry a row of keyed state: against a naive model, and against groups that keep all in their
//! own value, which are those of an operator without a back end. In tests few entries are many.
use proptest::prelude::*;
use proptest::sample::Index;
use wiesel_state::keyed::{SnapshotOptions, WriteBatch};

use super::restore::{TIGHT, context, start, step};
use super::*;
use crate::aggregate::Aggregates;
use crate::element::Batch;
use crate::group_aggregate::groups::value_types;
use crate::state::table::{RowTable, TableLayout};
use crate::testing::state::{BACKENDS, World};

/// A key and a value.
type Row = (Option<i64>, Option<i64>);

/// Keys, values, these as texts, and as doubles of which some are no numbers.
fn input() -> Vec<RowField> {
    let (text, double) = (TypeKind::string().nullable(), TypeKind::Double.nullable());
    fields(&[("k", bigint()), ("v", bigint()), ("s", text), ("d", double)])
}

/// Among others two values that are no numbers, of other bits, and a zero that is negative.
fn double(value: i64) -> f64 {
    match value {
        -4 => f64::from_bits(f64::NAN.to_bits() | 1 << 63 | 1),
        -3 => f64::NAN,
        0 => -0.0,
        value => value as f64,
    }
}

fn rows(rows: &[Row], kinds: Option<Vec<i8>>) -> Batch {
    let mut arrays = columns(rows);
    let values = || rows.iter().map(|(_, value)| *value);
    arrays.push(Arc::new(values().map(|value| value.map(|value| value.to_string())).collect::<StringViewArray>()));
    arrays.push(Arc::new(values().map(|value| value.map(double)).collect::<Float64Array>()));
    match kinds {
        Some(kinds) => changes(&input(), kinds, arrays),
        None => batch(&input(), arrays),
    }
}

/// The same change of all these values of a key.
fn all(changelog: bool, kind: i8, values: impl Iterator<Item = Option<i64>>) -> Batch {
    let of_key: Vec<Row> = values.map(|value| (Some(1), value)).collect();
    let kinds = changelog.then(|| vec![kind; of_key.len()]);
    rows(&of_key, kinds)
}

fn numbers(numbers: std::ops::Range<i64>) -> impl Iterator<Item = Option<i64>> {
    numbers.map(Some)
}

fn lists() -> Vec<proto::AggregateCall> {
    vec![
        call("COLLECT", &[1], TypeKind::Multiset(Box::new(bigint())).not_null()),
        call("ARRAY_AGG", &[1], TypeKind::Array(Box::new(bigint())).nullable()),
        call("LISTAGG", &[2], TypeKind::string().nullable()),
    ]
}

fn setup(calls: Vec<proto::AggregateCall>, changelog: bool) -> Setup {
    Setup { input: input(), keys: vec![0], calls, changelog, update_before: true, ttl: 0 }
}

/// What a group has, row by row.
#[derive(Default)]
struct Group {
    rows: i64,
    counts: BTreeMap<i64, i64>,
    collected: Vec<(i64, i64)>,
    list: Vec<Option<i64>>,
    texts: Vec<i64>,
}

impl Group {
    fn add(&mut self, value: Option<i64>, times: i64) {
        match self.list.iter().position(|known| *known == value) {
            _ if times > 0 => self.list.push(value),
            Some(first) => _ = self.list.remove(first),
            None => {}
        }
        let Some(value) = value else { return };
        *self.counts.entry(value).or_default() += times;
        match self.texts.iter().position(|known| *known == value) {
            _ if times > 0 => self.texts.push(value),
            Some(first) => _ = self.texts.remove(first),
            None => {}
        }
        match self.collected.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += times,
            None => self.collected.push((value, times)),
        }
        self.collected.retain(|(_, count)| *count != 0);
    }

    fn result(&self, key: i64) -> String {
        let present = || self.counts.iter().filter(|(_, count)| **count > 0).map(|(value, _)| *value);
        let least_and_most = |values: Vec<String>| match (values.first(), values.last()) {
            (Some(least), Some(most)) => format!("{least}, {most}"),
            _ => "null, null".to_owned(),
        };
        let of_numbers = least_and_most(present().map(|value| value.to_string()).collect());
        let mut texts: Vec<String> = present().map(|value| value.to_string()).collect();
        texts.sort();
        // All that are no numbers are one value, the last.
        let mut of_doubles: BTreeMap<i64, i64> = BTreeMap::new();
        for (value, count) in &self.counts {
            *of_doubles.entry(if *value < -2 { i64::MAX } else { *value }).or_default() += count;
        }
        let doubles = of_doubles.into_iter().filter(|(_, count)| *count > 0).map(|(value, _)| match value {
            i64::MAX => "NaN".to_owned(),
            value => format!("{:?}", double(value)),
        });
        let entries: Vec<String> = self.collected.iter().map(|(value, count)| format!("{value}: {count}")).collect();
        let list = self.list.iter().map(|value| value.map_or("null".to_owned(), |value| value.to_string()));
        let list = list.collect::<Vec<_>>().join(", ");
        let joined = self.texts.iter().map(i64::to_string).collect::<Vec<_>>().join(",");
        format!(
            "[{key}, {}, {of_numbers}, {}, {}, {{{}}}, {}, {}]",
            self.rows,
            least_and_most(texts),
            least_and_most(doubles.collect()),
            entries.join(", "),
            if self.list.is_empty() { "null".to_owned() } else { format!("[{list}]") },
            if self.texts.is_empty() { "null" } else { &joined },
        )
    }
}

/// All groups.
#[derive(Default)]
struct Model(BTreeMap<i64, Group>);

impl Model {
    fn apply(&mut self, batch: &[(i8, (i64, Option<i64>))]) {
        for (kind, (key, value)) in batch {
            let group = self.0.entry(*key).or_default();
            match *kind {
                // A row cannot be taken back from a group that has none.
                DELETE if group.rows == 0 => {}
                DELETE => {
                    group.rows -= 1;
                    group.add(*value, -1);
                }
                _ => {
                    group.rows += 1;
                    group.add(*value, 1);
                }
            }
        }
        self.0.retain(|_, group| group.rows > 0);
    }

    fn results(&self) -> Vec<String> {
        let mut results: Vec<String> = self.0.iter().map(|(key, group)| group.result(*key)).collect();
        results.sort();
        results
    }
}

/// A row of a log that is to be: its key and value, what is to be done with it, and which row that is there it is then.
type Step = (i64, Option<i64>, u8, Index);

/// Rows that come, rows that go, and some that were never there and go.
fn log(steps: Vec<Step>, changelog: bool) -> Vec<(i8, (i64, Option<i64>))> {
    let mut alive: Vec<(i64, Option<i64>)> = Vec::new();
    let entry = |(key, value, what, which): Step| match what {
        0..3 if changelog && !alive.is_empty() => (DELETE, alive.swap_remove(which.index(alive.len()))),
        3 if changelog => (DELETE, (key, value)),
        _ => {
            alive.push((key, value));
            (INSERT, (key, value))
        }
    };
    steps.into_iter().map(entry).collect()
}

/// Batches through subtasks that are cut and go on at another parallelism, through a group for each key that keeps all in its
/// value, and through the model.
fn goes_on(
    backend: &'static str,
    changelog: bool,
    cache: usize,
    steps: Vec<Step>,
    cut: usize,
    restarts: &[Option<u32>],
) {
    let mut calls = vec![call("COUNT", &[], TypeKind::Bigint.not_null())];
    for column in [1, 2, 3] {
        let of = input()[column].data_type.clone();
        calls.extend(["MIN", "MAX"].map(|function| call(function, &[column as u32], of.clone())));
    }
    calls.extend(lists());
    let setup = setup(calls, changelog);
    let world = World::new(&context(), backend);
    let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
    let mut inline = setup.build_in(&context()).unwrap();
    let (mut model, mut output) = (Model::default(), Vec::new());
    // Without retraction what is no number counts otherwise.
    let allowed = |(_, value, _, _): &Step| changelog || value.is_none_or(|value| value > -3);
    let log = log(steps.into_iter().filter(allowed).collect(), changelog);
    for (number, part) in log.chunks(cut).enumerate() {
        let of_part: Vec<Row> = part.iter().map(|(_, (key, value))| (Some(*key), *value)).collect();
        let kinds = changelog.then(|| part.iter().map(|(kind, _)| *kind).collect());
        let batch = rows(&of_part, kinds);
        let mut expected = run(&mut inline, batch.clone());
        expected.sort();
        let changes = step(&setup, &mut subtasks, &batch);
        assert_eq!(changes, expected, "batch {number}");
        output.extend(changes_in_order(changes));
        model.apply(part);
        if let Some(parallelism) = restarts[number % restarts.len()] {
            let saved = subtasks.save(number as u64 + 1);
            subtasks = start(&world, &setup, parallelism, &saved, cache);
        }
    }
    assert_eq!(fold(output), model.results());
}

/// Of each key what is taken back comes before what is added.
fn changes_in_order(mut changes: Vec<String>) -> Vec<String> {
    changes.sort_by_key(|change| change.starts_with('+'));
    changes
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((0..3_i64, prop::option::weighted(0.9, -4..12_i64), 0..10_u8, any::<Index>()), 0..160)
}

fn restarts() -> impl Strategy<Value = Vec<Option<u32>>> {
    prop::collection::vec(prop::option::weighted(0.3, 1..4_u32), 1..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn entries_that_are_rows_are_those_of_a_model(
        changelog in any::<bool>(),
        cache in prop::sample::select(TIGHT.to_vec()),
        (steps, cut, restarts) in (steps(), 1..30_usize, restarts()),
    ) {
        goes_on("hashmap", changelog, cache, steps, cut, &restarts);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn entries_that_are_rows_on_disk_are_those_of_a_model(
        changelog in any::<bool>(),
        cache in prop::sample::select(TIGHT.to_vec()),
        (steps, cut, restarts) in (steps(), 1..30_usize, restarts()),
    ) {
        goes_on("rocksdb", changelog, cache, steps, cut, &restarts);
    }
}

/// Failed before: all values of a group were one value of its state, written when one of them changed, and read for one of them.
#[test]
fn of_many_values_of_min_and_max_those_are_written_and_read_that_change() {
    let setup = setup(vec![call("MIN", &[1], bigint()), call("MAX", &[1], bigint())], true);
    let insert = |values: std::ops::Range<i64>| all(true, INSERT, numbers(values));
    let delete = |values: std::ops::Range<i64>| all(true, DELETE, numbers(values));
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
        assert_eq!(step(&setup, &mut subtasks, &insert(0..1000)), ["+I[1, 0, 999]"]);
        subtasks.save(1);
        let written = world.written();
        assert_eq!(step(&setup, &mut subtasks, &insert(990..1003)), ["+U[1, 0, 1002]", "-U[1, 0, 999]"]);
        let saved = subtasks.save(3);
        let written = world.written() - written;
        assert!((27..60).contains(&written), "{written} entries of 2 times 13 values and the group");
        assert_eq!(world.entries(&saved, "min_max/1").len(), 1003);
        let mut subtasks = start(&world, &setup, 3, &saved, cache);
        let read = world.read();
        assert_eq!(step(&setup, &mut subtasks, &delete(0..1)), ["+U[1, 1, 1002]", "-U[1, 0, 1002]"]);
        assert!(world.read() - read < 10, "{} keys and ranges were read for 1 value", world.read() - read);
        assert_eq!(step(&setup, &mut subtasks, &delete(1..990)), ["+U[1, 990, 1002]", "-U[1, 1, 1002]"]);
        assert!(step(&setup, &mut subtasks, &delete(990..1000)).is_empty(), "each came twice");
        assert_eq!(step(&setup, &mut subtasks, &delete(1002..1003)), ["+U[1, 990, 1001]", "-U[1, 990, 1002]"]);
        let saved = subtasks.save(5);
        let mut subtasks = start(&world, &setup, 2, &saved, cache);
        assert!(step(&setup, &mut subtasks, &delete(5000..5001)).is_empty(), "it was never there");
        assert!(step(&setup, &mut subtasks, &insert(5000..5001)).is_empty(), "it was taken back before it came");
        assert_eq!(step(&setup, &mut subtasks, &delete(990..1002)), ["-D[1, 990, 1001]"]);
        assert_eq!(step(&setup, &mut subtasks, &insert(7..8)), ["+I[1, 7, 7]"]);
        let saved = subtasks.save(7);
        assert!(world.entries(&saved, "min_max/0").is_empty(), "what the group had is gone");
    }
}

/// Failed before: each group of a batch was read by an iterator of its own, and one that has nothing to be read as well.
#[test]
fn all_groups_of_a_batch_are_read_in_one_pass() {
    let setup = setup(lists(), false);
    // Of odd keys there are nulls only, of which COLLECT and LISTAGG have no rows.
    let of_keys = |values: std::ops::Range<i64>| {
        let of_key = |key: i64| values.clone().map(move |value| (Some(key), (key % 2 == 0).then_some(value)));
        rows(&(0..40).flat_map(of_key).collect::<Vec<Row>>(), None)
    };
    for backend in BACKENDS {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), 0);
        step(&setup, &mut subtasks, &of_keys(0..30));
        let saved = subtasks.save(1);
        let mut inline = setup.build_in(&context()).unwrap();
        run(&mut inline, of_keys(0..30));
        let mut expected = run(&mut inline, of_keys(30..32));
        expected.sort();
        let mut subtasks = start(&world, &setup, 1, &saved, 0);
        let scans = world.scans();
        assert_eq!(step(&setup, &mut subtasks, &of_keys(30..32)), expected, "{backend}");
        let scans = world.scans() - scans;
        assert!(scans <= setup.calls.len(), "{backend}: {scans} passes for {} functions", setup.calls.len());
    }
}

#[test]
fn values_that_were_taken_back_before_they_came_are_passed_over() {
    let setup = setup(vec![call("MIN", &[1], bigint()), call("MAX", &[1], bigint())], true);
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
        // Rows from which others can be taken back.
        step(&setup, &mut subtasks, &all(true, INSERT, std::iter::repeat_n(None, 500)));
        let values = [0, 200, 400].into_iter().map(Some);
        assert_eq!(step(&setup, &mut subtasks, &all(true, INSERT, values)), ["+U[1, 0, 400]", "-U[1, null, null]"]);
        assert!(step(&setup, &mut subtasks, &all(true, DELETE, numbers(1..200))).is_empty());
        assert!(step(&setup, &mut subtasks, &all(true, DELETE, numbers(201..400))).is_empty());
        let saved = subtasks.save(1);
        let mut subtasks = start(&world, &setup, 1, &saved, cache);
        let ends = [0, 400].into_iter().map(Some);
        let expected = ["+U[1, 200, 200]", "-U[1, 0, 400]"];
        assert_eq!(step(&setup, &mut subtasks, &all(true, DELETE, ends)), expected);
        let expected = ["+U[1, null, null]", "-U[1, 200, 200]"];
        assert_eq!(step(&setup, &mut subtasks, &all(true, DELETE, numbers(200..201))), expected);
        assert!(
            step(&setup, &mut subtasks, &all(true, INSERT, numbers(30..31))).is_empty(),
            "it was taken back before"
        );
        let expected = ["+U[1, 30, 30]", "-U[1, null, null]"];
        assert_eq!(step(&setup, &mut subtasks, &all(true, INSERT, numbers(30..31))), expected);
    }
}

/// What lists of these numbers are as results.
fn listed(kind: &str, of: &[i64]) -> String {
    let texts: Vec<String> = of.iter().map(i64::to_string).collect();
    let entries: Vec<String> = of.iter().map(|number| format!("{number}: 1")).collect();
    format!("{kind}[1, {{{}}}, [{}], {}]", entries.join(", "), texts.join(", "), texts.join(","))
}

/// Failed before: all of a list was written when an element came or went.
#[test]
fn of_long_lists_that_is_written_that_changed() {
    for changelog in [false, true] {
        let setup = setup(lists(), changelog);
        for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
            let world = World::new(&context(), backend);
            let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
            step(&setup, &mut subtasks, &all(changelog, INSERT, numbers(0..100)));
            subtasks.save(1);
            let written = world.written();
            step(&setup, &mut subtasks, &all(changelog, INSERT, numbers(100..103)));
            let saved = subtasks.save(3);
            let written = world.written() - written;
            assert!((8..12).contains(&written), "{written} entries of 3 times 3 values and the group");
            let lengths = ["collect/0", "array_agg/1", "list_agg/2"].map(|table| world.entries(&saved, table).len());
            // Of texts that stay a row has what came with a batch.
            assert_eq!(lengths, [103, 103, if changelog { 103 } else { 2 }]);
            let mut subtasks = start(&world, &setup, 3, &saved, cache);
            let (before, after): (Vec<i64>, Vec<i64>) = ((0..103).collect(), (0..104).collect());
            let expected = [listed("+U", &after), listed("-U", &before)];
            assert_eq!(step(&setup, &mut subtasks, &all(changelog, INSERT, numbers(103..104))), expected);
            if changelog {
                let left = [&after[..50], &after[60..]].concat();
                let expected = [listed("+U", &left), listed("-U", &after)];
                assert_eq!(step(&setup, &mut subtasks, &all(true, DELETE, numbers(50..60))), expected);
                let saved = subtasks.save(5);
                assert_eq!(world.entries(&saved, "array_agg/1").len(), 94);
                let mut subtasks = start(&world, &setup, 2, &saved, cache);
                let gone = left.iter().copied().map(Some);
                assert_eq!(step(&setup, &mut subtasks, &all(true, DELETE, gone)), [listed("-D", &left)]);
                assert_eq!(step(&setup, &mut subtasks, &all(true, INSERT, numbers(7..8))), [listed("+I", &[7])]);
                let saved = subtasks.save(7);
                for table in ["collect/0", "array_agg/1", "list_agg/2"] {
                    assert!(world.entries(&saved, table).is_empty(), "{table}: what the group had is gone");
                }
            }
        }
    }
}

/// Of a group whose texts are all null nothing is saved, as of one whose texts are rows.
#[test]
fn a_group_without_texts_stays_one_beside_those_whose_texts_are_rows() {
    let setup = setup(vec![call("LISTAGG", &[2], TypeKind::string().nullable())], false);
    let nothing = |key: i64| rows(&[(Some(key), None)], None);
    for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let world = World::new(&context(), backend);
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), cache);
        step(&setup, &mut subtasks, &all(false, INSERT, numbers(1000..1020)));
        assert_eq!(step(&setup, &mut subtasks, &nothing(2)), ["+I[2, null]"]);
        let saved = subtasks.save(1);
        let mut subtasks = start(&world, &setup, 2, &saved, cache);
        assert!(step(&setup, &mut subtasks, &nothing(2)).is_empty());
        assert!(step(&setup, &mut subtasks, &nothing(1)).is_empty());
        let changes = step(&setup, &mut subtasks, &rows(&[(Some(2), Some(5))], None));
        assert_eq!(changes, ["+U[2, 5]", "-U[2, null]"]);
        let saved = subtasks.save(2);
        assert_eq!(world.entries(&saved, "list_agg/0").len(), 1);
    }
}

/// What an earlier release has saved of the only group, after these values.
fn of_an_earlier_release(world: &World, setup: &Setup, values: std::ops::Range<i64>) -> Vec<proto::KeyedStateHandle> {
    let mut former = Aggregates::new(&setup.calls, &setup.input, setup.changelog).unwrap();
    let count = (values.end - values.start) as usize;
    former.resize(1);
    former.update(&all(false, INSERT, numbers(values)).records, &vec![0; count], None, None).unwrap();
    let rows = if setup.changelog { count as i64 } else { 0 };
    let mut kept: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![rows])), Arc::new(BooleanArray::from(vec![true]))];
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
    let mut tables = world.open(0..=10, &[]);
    let table = RowTable::open(&mut *tables, &layout).unwrap();
    let keys = table.keys(&columns(&[(Some(1), None)])[..1], &[], 1).unwrap();
    let entry = (keys.share(0), Some(table.values(&kept, &[], 1).unwrap().share(0)));
    tables.write(table.id, WriteBatch { entries: vec![entry] }).unwrap();
    let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: false };
    vec![world.upload(tables.snapshot(&options, Vec::new()).unwrap(), &options)]
}

/// Earlier releases kept all with the group, however much it was.
#[test]
fn entries_that_an_earlier_release_kept_with_their_group_become_rows() {
    for changelog in [false, true] {
        let mut calls = lists();
        calls.extend(changelog.then(|| call("MIN", &[1], bigint())));
        let setup = setup(calls, changelog);
        let with_least = |listed: String| match changelog {
            true => format!("{}, 0]", listed.trim_end_matches(']')),
            false => listed,
        };
        for (cache, backend) in TIGHT.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
            let world = World::new(&context(), backend);
            let saved = of_an_earlier_release(&world, &setup, 0..50);
            let mut subtasks = start(&world, &setup, 3, &saved, cache);
            let (before, after): (Vec<i64>, Vec<i64>) = ((0..50).collect(), (0..52).collect());
            let expected = [with_least(listed("+U", &after)), with_least(listed("-U", &before))];
            assert_eq!(step(&setup, &mut subtasks, &all(changelog, INSERT, numbers(50..52))), expected);
            let saved = subtasks.save(3);
            let lengths = ["collect/0", "array_agg/1", "list_agg/2"].map(|table| world.entries(&saved, table).len());
            assert_eq!(lengths, [52, 52, if changelog { 52 } else { 1 }]);
            assert_eq!(world.entries(&saved, "min_max/3").len(), if changelog { 52 } else { 0 });
            let mut subtasks = start(&world, &setup, 1, &saved, cache);
            let more: Vec<i64> = (0..53).collect();
            let expected = [with_least(listed("+U", &more)), with_least(listed("-U", &after))];
            assert_eq!(step(&setup, &mut subtasks, &all(changelog, INSERT, numbers(52..53))), expected);
        }
    }
}

/// A function without a table of rows must not take a group's mark for what it has.
#[test]
fn marks_of_rows_are_refused_where_there_can_be_none() {
    let mut calls = lists();
    calls.push(call("MIN", &[1], bigint()));
    for one in calls {
        let name = one.function.clone();
        let setup = setup(vec![one], true);
        let world = World::new(&context(), "hashmap");
        let mut subtasks = start(&world, &setup, 1, &Vec::new(), usize::MAX);
        step(&setup, &mut subtasks, &all(true, INSERT, numbers(0..10)));
        let aggregates = &subtasks.operators[0].state.entries.aggregates;
        let mut others = aggregates.afresh().unwrap();
        others.resize(1);
        let refused = others.load(&[0], &aggregates.save(&[0]).unwrap()).unwrap_err().to_string();
        assert!(refused.contains("are rows of their own"), "{name}: {refused}");
    }
}
