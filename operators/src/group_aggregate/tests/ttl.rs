//! DISTINCT with a time to live. As in Flink each value is an entry with a time of its own: it is written when it is new, where rows
//! are taken back also when its count changes, and is not known any more when that is so long ago, though its group is touched.
//! What the function has of it stays.
use std::collections::BTreeSet;

use wiesel_state::keyed::{SnapshotOptions, WriteBatch};

use super::*;
use crate::aggregate::Aggregates;
use crate::element::Batch;
use crate::group_aggregate::groups::value_types;
use crate::state::table::{RowTable, TableLayout};
use crate::testing::state::{BACKENDS, Subtasks, World};

const TTL: i64 = 1000;
const CACHES: [usize; 3] = [0, 4096, usize::MAX];

fn distinct_setup(changelog: bool) -> Setup {
    let distinct = |call: proto::AggregateCall| proto::AggregateCall { distinct: true, ..call };
    let count = || call("COUNT", &[], TypeKind::Bigint.not_null());
    let of_values = call("COUNT", &[1], TypeKind::Bigint.not_null());
    let mut setup = key_value(vec![count(), distinct(of_values), distinct(call("SUM", &[1], bigint()))]);
    (setup.changelog, setup.ttl, setup.update_before) = (changelog, TTL as u64, false);
    setup
}

/// A job that goes on at other parallelisms.
struct Run<'a> {
    setup: &'a Setup,
    context: OperatorContext,
    clock: Arc<ManualClock>,
    world: Arc<World>,
    subtasks: Subtasks<GroupAggregate>,
    checkpoint: u64,
    /// The last result of each key.
    results: BTreeMap<i64, String>,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup, backend: &'static str, cache: usize) -> Self {
        let (context, clock) = context_with(&[]);
        let context = OperatorContext { max_parallelism: 11, ..context };
        let world = World::new(&context, backend);
        let build = |context: &OperatorContext| setup.build_in(context).unwrap();
        let subtasks = Subtasks::start(&world, &context, 1, &[], cache, build);
        Self { setup, context, clock, world, subtasks, checkpoint: 0, results: BTreeMap::new() }
    }

    fn restart(&mut self, parallelism: u32, cache: usize) {
        self.checkpoint += 1;
        let saved = self.subtasks.save(self.checkpoint);
        let build = |context: &OperatorContext| self.setup.build_in(context).unwrap();
        self.subtasks = Subtasks::start(&self.world, &self.context, parallelism, &saved, cache, build);
    }

    fn timers(&mut self) {
        let now = wiesel_common::time::Clock::now_millis(&*self.clock);
        for operator in &mut self.subtasks.operators {
            if operator.next_timer().is_some_and(|timer| timer <= now) {
                operator.processing_time(now, &mut Output::default()).unwrap();
            }
        }
    }

    /// Rows of kind, key and value.
    fn rows(&mut self, rows: &[(i8, i64, i64)]) {
        let pairs: Vec<_> = rows.iter().map(|(_, key, value)| (Some(*key), Some(*value))).collect();
        let batch: Batch = match self.setup.changelog {
            true => changes(&self.setup.input, rows.iter().map(|row| row.0).collect(), columns(&pairs)),
            false => batch(&self.setup.input, columns(&pairs)),
        };
        let parts = self.subtasks.route(&batch, &[0]);
        let parts = self.subtasks.operators.iter_mut().zip(parts).filter(|(_, part)| part.num_rows() > 0);
        for line in parts.flat_map(|(operator, part)| run(operator, part)) {
            let (kind, row) = line.split_at(2);
            let key: i64 = row.trim_start_matches('[').split(", ").next().unwrap().parse().unwrap();
            match kind {
                "-D" => _ = self.results.remove(&key),
                _ => _ = self.results.insert(key, row.to_owned()),
            }
        }
    }

    /// Adds rows of a key and returns its result.
    fn add(&mut self, key: i64, values: impl IntoIterator<Item = i64>) -> &str {
        let rows: Vec<_> = values.into_iter().map(|value| (INSERT, key, value)).collect();
        self.rows(&rows);
        self.results.get(&key).map_or("", |result| result)
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Keys, values, and maybe which of the rows that are there is taken back instead.
    Rows(Vec<(i64, i64, Option<prop::sample::Index>)>),
    Clock(i64),
    Timers,
    Restart(u32, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..3i64, 0..7i64, prop::option::weighted(0.4, any::<prop::sample::Index>()));
    let cache = prop::sample::select(CACHES.to_vec());
    let step = prop_oneof![
        6 => prop::collection::vec(row, 1..12).prop_map(Step::Rows),
        4 => (0..700i64).prop_map(Step::Clock),
        1 => Just(Step::Timers),
        1 => (1..4u32, cache).prop_map(|(parallelism, cache)| Step::Restart(parallelism, cache)),
    ];
    prop::collection::vec(step, 0..60)
}

/// A group as Flink has it, row by row.
#[derive(Default)]
struct Group {
    rows: i64,
    count: i64,
    sum: i64,
    touched: i64,
    /// How often each value came, and when that was written.
    values: BTreeMap<i64, (i64, i64)>,
}

impl Group {
    fn change(&mut self, value: i64, weight: i64, changelog: bool, now: i64) {
        self.touched = now;
        self.rows += weight;
        let live = |(_, written): &&(i64, i64)| written + TTL > now;
        let before = self.values.get(&value).filter(live).map_or(0, |(count, _)| *count);
        let after = if changelog { before + weight } else { 1 };
        match (before, after) {
            (0, 1) => (self.count, self.sum) = (self.count + 1, self.sum + value),
            (1, 0) => (self.count, self.sum) = (self.count - 1, self.sum - value),
            _ => {}
        }
        if after == 0 {
            self.values.remove(&value);
        } else if changelog || before == 0 {
            self.values.insert(value, (after, now));
        }
    }
}

fn goes_on(changelog: bool, backend: &'static str, cache: usize, steps: &[Step]) {
    let setup = distinct_setup(changelog);
    let mut run = Run::new(&setup, backend, cache);
    let (mut groups, mut alive, mut now): (BTreeMap<i64, Group>, Vec<(i64, i64)>, i64) =
        (BTreeMap::new(), Vec::new(), 0);
    for step in steps {
        let rows = match step {
            Step::Rows(rows) => rows,
            Step::Clock(millis) => {
                now += millis;
                run.clock.set(now);
                continue;
            }
            Step::Timers => {
                run.timers();
                continue;
            }
            Step::Restart(parallelism, cache) => {
                run.restart(*parallelism, *cache);
                continue;
            }
        };
        let mut log = Vec::new();
        for (key, value, back) in rows {
            match back.filter(|_| changelog && !alive.is_empty()) {
                Some(index) => {
                    let (key, value) = alive.swap_remove(index.index(alive.len()));
                    log.push((DELETE, key, value));
                }
                None => {
                    alive.push((*key, *value));
                    log.push((INSERT, *key, *value));
                }
            }
        }
        groups.retain(|_, group| group.touched + TTL > now);
        let mut touched: BTreeMap<i64, bool> = BTreeMap::new();
        for (kind, key, value) in &log {
            let was_there = groups.contains_key(key);
            touched.entry(*key).or_insert(was_there);
            if *kind == DELETE && !was_there {
                continue;
            }
            let group = groups.entry(*key).or_default();
            group.change(*value, if *kind == DELETE { -1 } else { 1 }, changelog, now);
            if changelog && group.rows == 0 {
                groups.remove(key);
            }
        }
        run.rows(&log);
        for (key, was_there) in touched {
            let result = run.results.get(&key);
            match groups.get(&key) {
                Some(group) => {
                    let sum = if group.count == 0 { "null".to_owned() } else { group.sum.to_string() };
                    let expected = format!("[{key}, {}, {}, {sum}]", group.rows, group.count);
                    assert_eq!(result, Some(&expected), "at {now}");
                }
                None if was_there => assert_eq!(result, None, "at {now}"),
                None => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn values_expire_by_themselves(
        changelog in any::<bool>(), cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on(changelog, "hashmap", cache, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(15))]

    #[test]
    fn values_on_disk_expire_by_themselves(
        changelog in any::<bool>(), cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on(changelog, "rocksdb", cache, &steps);
    }
}

/// As Flink 2.3 has it: two values in turn, each twice a time to live, are new again after each.
#[test]
fn a_value_that_comes_again_after_its_time_counts_again() {
    let text = TypeKind::string().nullable();
    let input = fields(&[("k", bigint()), ("v", bigint()), ("s", text.clone())]);
    let distinct = |call: proto::AggregateCall| proto::AggregateCall { distinct: true, ..call };
    let calls = vec![
        call("COUNT", &[], TypeKind::Bigint.not_null()),
        distinct(call("COUNT", &[1], TypeKind::Bigint.not_null())),
        distinct(call("SUM", &[1], bigint())),
        distinct(call("LISTAGG", &[2], text)),
    ];
    let setup = Setup { input, keys: vec![0], calls, changelog: false, update_before: false, ttl: 2000 };
    let (mut operator, clock) = setup.build().unwrap();
    let mut last = Vec::new();
    for row in 0..16_i64 {
        clock.set(row * 500);
        let [key, value] = [1, row % 2].map(|number| Arc::new(Int64Array::from(vec![number])) as ArrayRef);
        let text: ArrayRef = Arc::new(StringViewArray::from_iter_values([(row % 2).to_string()]));
        last = run(&mut operator, batch(&setup.input, vec![key, value, text]));
    }
    assert_eq!(last, ["+U[1, 16, 8, 4, 0,1,0,1,0,1,0,1]"]);
}

/// Few values are kept with their group, many are rows: the results are the same.
#[test]
fn few_values_and_many_expire_alike() {
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        for many in [0, 40] {
            let setup = distinct_setup(false);
            let mut run = Run::new(&setup, backend, cache);
            let (more, sum) = (many, (100..100 + many).sum::<i64>());
            run.add(1, 100..100 + many);
            run.clock.set(600);
            assert_eq!(run.add(1, [7]), format!("[1, {}, {}, {}]", 1 + more, 1 + more, 7 + sum));
            run.restart(2, cache);
            run.clock.set(1500);
            run.timers();
            assert_eq!(run.add(1, [7]), format!("[1, {}, {}, {}]", 2 + more, 1 + more, 7 + sum), "it is known yet");
            run.restart(1, cache);
            run.clock.set(1600);
            assert_eq!(run.add(1, [7]), format!("[1, {}, {}, {}]", 3 + more, 2 + more, 14 + sum), "its time is over");
            run.clock.set(2600);
            assert_eq!(run.add(1, [7]), "[1, 1, 1, 7]", "that of the group is over");
        }
    }
}

/// A checkpoint has no value whose time is over, and only those that are new besides.
#[test]
fn a_checkpoint_has_the_values_that_live() {
    let setup = distinct_setup(false);
    for backend in BACKENDS {
        let mut run = Run::new(&setup, backend, usize::MAX);
        run.add(1, 0..100);
        run.restart(1, usize::MAX);
        run.clock.set(900);
        let written = run.world.written();
        run.add(1, 95..103);
        run.subtasks.save(3);
        let written = run.world.written() - written;
        assert!(written <= 7, "{written} entries of 2 times 3 values and the group");
        run.clock.set(1000);
        run.add(1, [102]);
        let saved = run.subtasks.save(5);
        assert_eq!(run.world.entries(&saved, "distinct/1").len(), 3);
    }
}

#[test]
fn a_value_that_was_taken_back_does_not_come_back_when_others_expire() {
    let setup = distinct_setup(true);
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let mut run = Run::new(&setup, backend, cache);
        run.add(9, 0..9);
        run.clock.set(400);
        assert_eq!(run.add(1, 0..9), "[1, 9, 9, 36]");
        run.restart(1, cache);
        run.clock.set(500);
        run.rows(&[(DELETE, 1, 3)]);
        assert_eq!(run.results[&1], "[1, 8, 8, 33]");
        run.clock.set(1000);
        run.subtasks.operators[0].processing_time(1000, &mut Output::default()).unwrap();
        run.restart(3, cache);
        assert_eq!(run.add(1, [3]), "[1, 9, 9, 36]", "{cache} {backend}");
        run.rows(&[(DELETE, 1, 3)]);
        assert_eq!(run.results[&1], "[1, 8, 8, 33]");
    }
}

/// A clock that is put back makes nothing live again that had expired.
#[test]
fn a_clock_that_goes_back_changes_nothing() {
    let setup = distinct_setup(false);
    for many in [0, 40] {
        let mut run = Run::new(&setup, "hashmap", usize::MAX);
        run.add(1, 100..100 + many);
        run.add(1, [7]);
        run.clock.set(1000);
        assert_eq!(run.add(1, [7]), "[1, 1, 1, 7]", "the group had expired");
        run.clock.set(0);
        assert_eq!(run.add(1, [100]), "[1, 2, 2, 107]");
    }
}

/// Earlier releases kept values with their group, without times: they are as old as what brings the group to hand.
#[test]
fn values_of_an_earlier_release_expire_from_when_they_are_read() {
    let setup = distinct_setup(false);
    let mut former = Aggregates::new(&setup.calls, &setup.input, false).unwrap();
    former.resize(1);
    let pairs: Vec<_> = (0..5).map(|value| (Some(1), Some(value))).collect();
    former.update(&batch(&setup.input, columns(&pairs)).records, &[0; 5], None, None).unwrap();
    let mut kept: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![0])), Arc::new(BooleanArray::from(vec![true]))];
    kept.extend(former.save(&[0]).unwrap());
    let (key, value) = ([bigint()], value_types(&former));
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let mut run = Run::new(&setup, backend, cache);
        let max_parallelism = run.context.max_parallelism;
        let layout = TableLayout {
            name: "groups",
            key: &key,
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl: TTL,
            max_parallelism,
        };
        let mut tables = run.world.open(0..=10, &[]);
        let table = RowTable::open(&mut *tables, &layout).unwrap();
        let keys = table.keys(&columns(&pairs[..1])[..1], &[], 1).unwrap();
        let entry = (keys.share(0), Some(table.values(&kept, &[0], 1).unwrap().share(0)));
        tables.write(table.id, WriteBatch { entries: vec![entry] }).unwrap();
        let options = SnapshotOptions { checkpoint_id: 1, canonical: true, full: true, savepoint: false };
        let saved = vec![run.world.upload(tables.snapshot(&options, Vec::new()).unwrap(), &options)];
        let build = |context: &OperatorContext| setup.build_in(context).unwrap();
        run.subtasks = Subtasks::start(&run.world, &run.context, 3, &saved, cache, build);
        run.clock.set(500);
        assert_eq!(run.add(1, [0]), "[1, 6, 5, 10]");
        run.restart(2, cache);
        run.clock.set(1400);
        assert_eq!(run.add(1, [4]), "[1, 7, 5, 10]");
        run.clock.set(1500);
        assert_eq!(run.add(1, [4]), "[1, 8, 6, 14]", "{cache} {backend}");
    }
}

/// Only values of a DISTINCT have times of their own: what other functions have goes with its group, and is kept in its value.
#[test]
fn what_other_functions_have_of_a_group_expires_with_it_however_much_it_is() {
    let text = TypeKind::string().nullable();
    let input = fields(&[("k", bigint()), ("v", bigint()), ("s", text.clone())]);
    let distinct = call("COUNT", &[1], TypeKind::Bigint.not_null());
    let calls = vec![
        proto::AggregateCall { distinct: true, ..distinct },
        call("MIN", &[1], bigint()),
        call("MAX", &[1], bigint()),
        call("COLLECT", &[1], TypeKind::Multiset(Box::new(bigint())).not_null()),
        call("ARRAY_AGG", &[1], TypeKind::Array(Box::new(bigint())).nullable()),
        call("LISTAGG", &[2], text),
    ];
    for changelog in [false, true] {
        let (input, calls) = (input.clone(), calls.clone());
        let setup = Setup { input, keys: vec![0], calls, changelog, update_before: false, ttl: TTL as u64 };
        let insert = |values: std::ops::Range<i64>| {
            let pairs: Vec<_> = values.map(|value| (Some(1), Some(value))).collect();
            let texts = pairs.iter().map(|(_, value)| value.map(|value| format!("text {value}")));
            let texts: ArrayRef = Arc::new(texts.collect::<StringViewArray>());
            let arrays = [columns(&pairs), vec![texts]].concat();
            match changelog {
                true => changes(&setup.input, vec![INSERT; pairs.len()], arrays),
                false => batch(&setup.input, arrays),
            }
        };
        for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
            let mut job = Run::new(&setup, backend, cache);
            run(&mut job.subtasks.operators[0], insert(0..8));
            job.restart(1, cache);
            job.clock.set(TTL);
            let expected = "+I[1, 3, 7, 9, {7: 1, 8: 1, 9: 1}, [7, 8, 9], text 7,text 8,text 9]";
            assert_eq!(run(&mut job.subtasks.operators[0], insert(7..10)), [expected]);
            job.restart(1, cache);
            let expected = "+U[1, 4, 7, 10, {7: 1, 8: 1, 9: 1, 10: 1}, [7, 8, 9, 10], text 7,text 8,text 9,text 10]";
            assert_eq!(run(&mut job.subtasks.operators[0], insert(10..11)), [expected], "{cache} {backend}");
            let saved = job.subtasks.save(9);
            let tables = saved.iter().flat_map(|handle| &handle.tables).map(|table| table.name.as_str());
            assert_eq!(tables.collect::<BTreeSet<_>>(), BTreeSet::from(["distinct/0", "groups"]));
        }
    }
}
