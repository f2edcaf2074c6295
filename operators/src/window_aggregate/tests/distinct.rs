//! DISTINCT over windows: values beyond a few are rows of their slice. That any job goes on as if nothing had happened is what
//! [`crate::conformance_tests`] are for; here are late rows against a naive model, and what is kept and written.
use std::collections::BTreeSet;

use super::*;
use crate::testing::state::{BACKENDS, Saved, Subtasks, World};

/// Bytes that a subtask may keep in memory before its tables.
const CACHES: [usize; 3] = [0, 4096, usize::MAX];
const TABLES: [&str; 4] = ["slices", "distinct/1", "distinct/2", "distinct/3"];

#[derive(Clone, Debug)]
enum Step {
    /// Rows, with times from the last watermark on.
    Rows(Vec<(i32, i64, Option<i32>)>),
    /// So much further.
    Watermark(i64),
    /// With so many subtasks and so much memory.
    Restart(u32, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let row = (0..3i32, -3500..2500i64, prop::option::weighted(0.9, 0..9i32));
    let step = prop_oneof![
        5 => prop::collection::vec(row, 1..25).prop_map(Step::Rows),
        3 => (0..2000i64).prop_map(Step::Watermark),
        1 => (1..4u32, prop::sample::select(CACHES.to_vec())).prop_map(|(parallelism, cache)| Step::Restart(parallelism, cache)),
    ];
    prop::collection::vec(step, 0..40)
}

fn distinct_calls() -> Vec<proto::AggregateCall> {
    let int = TypeKind::Int.nullable();
    let distinct = |call: proto::AggregateCall| proto::AggregateCall { distinct: true, ..call };
    let count = call("COUNT", &[], TypeKind::Bigint.not_null());
    let [sum, average] = ["SUM", "AVG"].map(|function| distinct(call(function, &[2], int.clone())));
    vec![count, count_distinct(), sum, average]
}

/// The windows of a naive model.
struct Model {
    assigner: super::super::assigner::WindowAssigner,
    watermark: i64,
    rows: Vec<(i32, i64, Option<i32>)>,
    lines: Vec<String>,
}

impl Model {
    fn new(setup: &Setup) -> Self {
        let assigner = super::super::assigner::WindowAssigner::new(setup.spec.window.as_ref().unwrap()).unwrap();
        Self { assigner, watermark: 0, rows: Vec::new(), lines: Vec::new() }
    }

    fn windows(&self, time: i64) -> Vec<(i64, i64)> {
        let mut windows = Vec::new();
        self.assigner.windows_at(time, &mut windows);
        windows
    }

    /// A row counts if any of its windows is open.
    fn add(&mut self, rows: &[(i32, i64, Option<i32>)]) {
        let in_time =
            |row: &&(i32, i64, Option<i32>)| self.windows(row.1).iter().any(|(_, end)| end - 1 > self.watermark);
        let rows: Vec<_> = rows.iter().filter(in_time).copied().collect();
        self.rows.extend(rows);
    }

    /// Windows that become complete are emitted with all rows that came so far.
    fn advance(&mut self, watermark: i64) {
        let mut due: BTreeMap<(i64, i64, i32), (usize, BTreeSet<i32>)> = BTreeMap::new();
        for (id, time, value) in &self.rows {
            for (start, end) in self.windows(*time) {
                if (self.watermark..watermark).contains(&(end - 2)) {
                    let (rows, values) = due.entry((start, end, *id)).or_default();
                    *rows += 1;
                    values.extend(*value);
                }
            }
        }
        let time = |time: i64| chrono::DateTime::from_timestamp_millis(time).unwrap().naive_utc();
        for ((start, end, id), (rows, values)) in due {
            let (count, sum) = (values.len(), values.iter().sum::<i32>());
            let results = match count {
                0 => "null, null".to_owned(),
                _ => format!("{sum}, {}", sum / count as i32),
            };
            let format = "%Y-%m-%d %H:%M:%S%.f";
            let window = format!("{}, {}", time(start).format(format), time(end).format(format));
            self.lines.push(format!("+I[{id}, {rows}, {count}, {results}, {window}]"));
        }
        self.watermark = watermark;
    }
}

/// Windows in subtasks.
struct Run<'a> {
    setup: &'a Setup,
    context: OperatorContext,
    world: Arc<World>,
    subtasks: Subtasks<WindowAggregate>,
    out: Output,
    checkpoint: u64,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup, backend: &'static str, cache: usize) -> Self {
        let context = OperatorContext { max_parallelism: 11, ..context_with(&[]).0 };
        let world = World::new(&context, backend);
        let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
        let subtasks = Subtasks::start(&world, &context, 1, &[], cache, build);
        Self { setup, context, world, subtasks, out: Output::default(), checkpoint: 0 }
    }

    fn rows(&mut self, rows: &[(i32, i64, Option<i32>)]) {
        let parts = self.subtasks.route(&self.setup.rows(rows), &[0]);
        for (operator, part) in self.subtasks.operators.iter_mut().zip(parts) {
            operator.process(0, part, &mut self.out).unwrap();
        }
    }

    fn watermark(&mut self, watermark: i64) {
        self.subtasks.operators.iter_mut().for_each(|operator| operator.watermark(watermark, &mut self.out).unwrap());
    }

    fn save(&mut self) -> Saved {
        self.checkpoint += 1;
        self.subtasks.save(self.checkpoint)
    }

    fn restart(&mut self, parallelism: u32, cache: usize) {
        let saved = self.save();
        let build = |context: &OperatorContext| self.setup.build_in(WindowPhase::Single, context);
        self.subtasks = Subtasks::start(&self.world, &self.context, parallelism, &saved, cache, build);
    }

    /// How many rows of values and slices a checkpoint has.
    fn left(&mut self) -> [usize; 4] {
        let saved = self.save();
        TABLES.map(|table| self.world.entries(&saved, table).len())
    }
}

fn goes_on(kind: (WindowKind, i64, i64), backend: &'static str, cache: usize, steps: &[Step]) {
    let setup = Setup::new(kind.0, kind.1, kind.2, &[0], distinct_calls());
    let (mut run, mut model) = (Run::new(&setup, backend, cache), Model::new(&setup));
    run.watermark(0);
    for step in steps {
        match step {
            Step::Rows(rows) => {
                let rows: Vec<_> = rows.iter().map(|(id, time, value)| (*id, model.watermark + time, *value)).collect();
                model.add(&rows);
                run.rows(&rows);
            }
            Step::Watermark(further) => {
                let watermark = model.watermark + further;
                model.advance(watermark);
                run.watermark(watermark);
            }
            Step::Restart(parallelism, cache) => run.restart(*parallelism, *cache),
        }
    }
    let end = model.watermark + 100_000;
    model.advance(end);
    run.watermark(end);
    model.lines.sort();
    assert_eq!(results(&mut run.out), model.lines);
    assert_eq!(run.left(), [0; 4], "nothing is left of slices whose windows are complete");
}

fn kinds() -> impl Strategy<Value = (WindowKind, i64, i64)> {
    let cumulate = (WindowKind::Cumulate, 4000, 1000);
    prop::sample::select(vec![(WindowKind::Tumble, 1000, 0), (WindowKind::Hop, 3000, 1000), cumulate])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn distinct_values_are_as_a_naive_model_has_them(
        kind in kinds(), cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on(kind, "hashmap", cache, &steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn distinct_values_on_disk_are_as_a_naive_model_has_them(
        kind in kinds(), cache in prop::sample::select(CACHES.to_vec()), steps in steps(),
    ) {
        goes_on(kind, "rocksdb", cache, &steps);
    }
}

/// Rows of one key, all in the slice of this second.
fn of_slice(second: i64, values: std::ops::Range<i32>) -> Vec<(i32, i64, Option<i32>)> {
    values.map(|value| (1, second * SECOND + i64::from(value % 1000), Some(value))).collect()
}

/// Failed before: all values of a group were one value of its slice, written when one of them changed.
#[test]
fn of_many_values_those_are_written_that_are_new_and_all_go_with_their_slice() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], distinct_calls());
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let mut run = Run::new(&setup, backend, cache);
        run.rows(&of_slice(0, 0..700));
        run.rows(&of_slice(1, 0..2));
        assert_eq!(run.left(), [2, 700, 700, 700], "two values stay with their group");
        let written = run.world.written();
        run.rows(&of_slice(0, 690..703));
        run.save();
        let written = run.world.written() - written;
        assert!((10..14).contains(&written), "{written} entries of 3 times 3 values and the group");
        run.watermark(999);
        assert_eq!(run.left(), [1, 0, 0, 0]);
        run.rows(&of_slice(1, 1..4));
        run.watermark(1999);
        assert_eq!(run.left(), [0; 4]);
        let expected = [
            "+I[1, 5, 4, 6, 1, 1970-01-01 00:00:01, 1970-01-01 00:00:02]",
            "+I[1, 713, 703, 246753, 351, 1970-01-01 00:00:00, 1970-01-01 00:00:01]",
        ];
        assert_eq!(results(&mut run.out), expected, "{cache} {backend}");
    }
}

/// Failed before: values that came several times while they were few were kept with how often.
#[test]
fn a_value_that_is_a_row_is_kept_once_however_often_it_came() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], distinct_calls());
    for backend in BACKENDS {
        let mut run = Run::new(&setup, backend, usize::MAX);
        run.rows(&[(1, 0, Some(5)), (1, 0, Some(5)), (1, 0, Some(6))]);
        run.rows(&[(1, 0, Some(7)), (1, 0, Some(5))]);
        run.rows(&[(1, 0, Some(8)), (1, 0, Some(8))]);
        let saved = run.save();
        let kept = run.world.entries(&saved, "distinct/1");
        let values: BTreeSet<&Vec<u8>> = kept.values().collect();
        assert_eq!((kept.len(), values.len()), (4, 1), "{backend}: {kept:?}");
    }
}

/// A key may have many values in one slice of a window and few, or none, in others, at hand or not.
#[test]
fn a_window_of_several_slices_counts_each_value_once() {
    let setup = Setup::new(WindowKind::Hop, 3 * SECOND, SECOND, &[0], distinct_calls());
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        for parallelism in [None, Some(1), Some(3)] {
            let mut run = Run::new(&setup, backend, cache);
            run.rows(&of_slice(0, 0..50));
            run.rows(&of_slice(1, 49..51));
            run.rows(&of_slice(2, 40..100));
            run.rows(&[(2, 0, Some(7)), (2, 2000, Some(7)), (3, 1000, None)]);
            if let Some(parallelism) = parallelism {
                run.restart(parallelism, cache);
            }
            run.watermark(2999);
            let lines = results(&mut run.out);
            let last: Vec<&String> = lines.iter().filter(|line| line.ends_with("00:00:03]")).collect();
            let window = "1970-01-01 00:00:00, 1970-01-01 00:00:03";
            let expected = [
                format!("+I[1, 112, 100, 4950, 49, {window}]"),
                format!("+I[2, 2, 1, 7, 7, {window}]"),
                format!("+I[3, 1, 0, null, null, {window}]"),
            ];
            assert_eq!(last, expected.iter().collect::<Vec<_>>(), "{cache} {backend} {parallelism:?}");
        }
    }
}

/// Earlier releases kept all values with their groups, however many they were.
#[test]
fn values_that_an_earlier_release_kept_with_their_slice_become_rows() {
    let setup = Setup::new(WindowKind::Hop, 2 * SECOND, SECOND, &[0], distinct_calls());
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let mut run = Run::new(&setup, backend, usize::MAX);
        run.subtasks.operators[0].parts.slices.entries.has_rows = false;
        run.rows(&of_slice(0, 0..30));
        run.rows(&of_slice(1, 20..50));
        assert_eq!(run.left(), [2, 0, 0, 0]);
        run.restart(2, cache);
        run.rows(&of_slice(1, 49..51));
        assert_eq!(run.left(), [2, 31, 31, 31], "those of the slice that was touched");
        run.watermark(1999);
        let expected = "+I[1, 62, 51, 1275, 25, 1970-01-01 00:00:00, 1970-01-01 00:00:02]";
        assert!(results(&mut run.out).iter().any(|line| line == expected), "{cache} {backend}");
        run.watermark(2999);
        assert_eq!(run.left(), [0; 4]);
    }
}

/// Before, a window was put together from all values of all of its slices at once.
#[test]
fn many_values_take_no_more_memory_than_they_may() {
    let setup = Setup::new(WindowKind::Cumulate, 4 * SECOND, SECOND, &[], vec![count_distinct()]);
    let budget = 1 << 20;
    let mut run = Run::new(&setup, "rocksdb", budget);
    let mut biggest = 0;
    let mut note = |run: &Run<'_>| {
        let slices = &run.subtasks.operators[0].parts.slices.entries;
        biggest = biggest.max(slices.aggregates.rows_size() + slices.aggregates.heap());
    };
    for second in 0..4 {
        for part in 0..10 {
            let first = second as i32 * 2500 + part * 500;
            run.rows(&of_slice(second, first..first + 500));
            note(&run);
        }
        run.watermark(second * SECOND + 999);
        note(&run);
    }
    assert!(biggest < budget / 2, "{biggest}");
    let counts = [10_000, 12_500, 5000, 7500].map(|count| format!("+I[{count}, "));
    let lines = results(&mut run.out);
    assert!(lines.len() == 4 && lines.iter().zip(&counts).all(|(line, count)| line.starts_with(count)), "{lines:?}");
}

/// Rows of other functions would be in no namespace: those of a key in two slices would be the same.
#[test]
fn what_lists_have_stays_with_its_slice_however_much_it_is() {
    let int = || TypeKind::Int.nullable();
    let list = call("ARRAY_AGG", &[2], TypeKind::Array(Box::new(int())).nullable());
    let multiset = call("COLLECT", &[2], TypeKind::Multiset(Box::new(int())).not_null());
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], vec![list, multiset, count_distinct()]);
    for (cache, backend) in CACHES.into_iter().flat_map(|cache| BACKENDS.map(|backend| (cache, backend))) {
        let mut run = Run::new(&setup, backend, cache);
        run.rows(&of_slice(0, 0..5));
        run.rows(&of_slice(1, 3..8));
        let saved = run.save();
        let tables = saved.iter().flat_map(|handle| &handle.tables).map(|table| table.name.as_str());
        assert_eq!(tables.collect::<BTreeSet<_>>(), BTreeSet::from(["distinct/2", "progress", "slices"]));
        run.restart(2, cache);
        run.rows(&of_slice(0, 5..7));
        run.rows(&of_slice(1, 8..9));
        run.watermark(1999);
        let line = |second: i64, values: std::ops::Range<i32>| {
            let texts: Vec<String> = values.clone().map(|value| value.to_string()).collect();
            let entries: Vec<String> = values.map(|value| format!("{value}: 1")).collect();
            let (count, texts, entries) = (texts.len(), texts.join(", "), entries.join(", "));
            let window = format!("1970-01-01 00:00:0{second}, 1970-01-01 00:00:0{}", second + 1);
            format!("+I[1, [{texts}], {{{entries}}}, {count}, {window}]")
        };
        assert_eq!(results(&mut run.out), [line(0, 0..7), line(1, 3..9)], "{cache} {backend}");
    }
}
