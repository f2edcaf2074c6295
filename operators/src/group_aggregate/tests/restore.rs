//! Whatever is restored, evicted and read again: the changes are those of an operator that keeps all in memory.

use super::*;
use crate::element::Batch;
use crate::testing::Output;
use crate::testing::state::{BACKENDS, Saved, Subtasks, World};

/// A row: two keys, a value, and whether filters let it pass.
type Row = (Option<i64>, bool, Option<i64>, bool);

/// All that is kept of groups in memory, at most.
const TIGHT: [usize; 3] = [0, 4096, usize::MAX];

fn input() -> Vec<RowField> {
    fields(&[
        ("k", bigint()),
        ("k2", TypeKind::string().nullable()),
        ("i", bigint()),
        ("s", TypeKind::string().nullable()),
        ("d", TypeKind::Double.nullable()),
        ("n", TypeKind::Decimal(10, 2).nullable()),
        ("b", TypeKind::Boolean.nullable()),
        ("t", TypeKind::Timestamp(3, TimeAttribute::Regular).nullable()),
        ("f", TypeKind::Boolean.nullable()),
        ("p", TypeKind::string().nullable()),
    ])
}

fn arrays(rows: &[Row]) -> Vec<ArrayRef> {
    let values = || rows.iter().map(|row| row.2);
    let decimals = Decimal128Array::from_iter(values().map(|value| value.map(|value| i128::from(value) * 7)));
    vec![
        Arc::new(rows.iter().map(|row| row.0).collect::<Int64Array>()),
        Arc::new(
            rows.iter().map(|row| Some(if row.1 { "a rather long key" } else { "" })).collect::<StringViewArray>(),
        ),
        Arc::new(values().collect::<Int64Array>()),
        Arc::new(values().map(|value| value.map(|value| format!("value {value}"))).collect::<StringViewArray>()),
        Arc::new(values().map(|value| value.map(|value| value as f64 * 0.1)).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(values().map(|value| value.map(|value| value % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(values().collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| Some(row.3)).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| Some(if row.1 { "|" } else { "; " })).collect::<StringViewArray>()),
    ]
}

/// Every function, over every type that makes a difference to it.
fn every_call() -> Vec<proto::AggregateCall> {
    let of = |column: u32| input()[column as usize].data_type.clone();
    let (count, double) = (TypeKind::Bigint.not_null(), TypeKind::Double.nullable());
    let list = |column| TypeKind::Array(Box::new(of(column))).nullable();
    let set = |column| TypeKind::Multiset(Box::new(of(column))).not_null();
    let sum = || TypeKind::Decimal(38, 2).nullable();
    let mut calls = vec![
        call("COUNT", &[], count.clone()),
        call("COUNT", &[2], count.clone()),
        call("COUNT", &[2, 3], count),
        call("SUM", &[2], bigint()),
        call("SUM", &[4], double.clone()),
        call("SUM", &[5], sum()),
        call("SUM0", &[2], bigint()),
        call("AVG", &[2], bigint()),
        call("AVG", &[4], double.clone()),
        call("AVG", &[5], TypeKind::Decimal(38, 6).nullable()),
        call("FIRST_VALUE", &[2], bigint()),
        call("FIRST_VALUE", &[3], of(3)),
        call("LAST_VALUE", &[2], bigint()),
        call("LAST_VALUE", &[3], of(3)),
        call("LISTAGG", &[3], of(3)),
        call("LISTAGG", &[3, 9], of(3)),
        call("ARRAY_AGG", &[2], list(2)),
        call("ARRAY_AGG", &[3], list(3)),
        call("COLLECT", &[2], set(2)),
        call("COLLECT", &[3], set(3)),
    ];
    calls.extend(["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"].map(|name| call(name, &[4], double.clone())));
    let minds_order = (2..8).flat_map(|column| ["MIN", "MAX"].map(|name| call(name, &[column], of(column))));
    calls.extend(minds_order);
    let distinct = calls.iter().filter(|call| !call.arguments.is_empty()).cloned();
    let distinct: Vec<_> = distinct.map(|call| proto::AggregateCall { distinct: true, ..call }).collect();
    let filtered: Vec<_> = calls.iter().chain(&distinct).step_by(3).cloned().collect();
    calls.extend(distinct);
    calls.extend(filtered.into_iter().map(|call| proto::AggregateCall { filter: Some(8), ..call }));
    calls
}

fn setup(keys: &[u32], calls: Vec<proto::AggregateCall>, changelog: bool) -> Setup {
    Setup { input: input(), keys: keys.to_vec(), calls, changelog, update_before: true, ttl: 0 }
}

/// Random rows, some of which are taken back, in batches.
fn batches(setup: &Setup, steps: Vec<(Row, bool, prop::sample::Index)>, cut: usize) -> Vec<Batch> {
    let (mut alive, mut log): (Vec<Row>, Vec<(i8, Row)>) = (Vec::new(), Vec::new());
    for (row, add, index) in steps {
        if add || alive.is_empty() || !setup.changelog {
            alive.push(row);
            log.push((INSERT, row));
        } else {
            log.push((DELETE, alive.swap_remove(index.index(alive.len()))));
        }
    }
    let batch = |part: &[(i8, Row)]| {
        let rows: Vec<Row> = part.iter().map(|(_, row)| *row).collect();
        let kinds = part.iter().map(|(kind, _)| *kind).collect();
        match setup.changelog {
            true => changes(&setup.input, kinds, arrays(&rows)),
            false => crate::testing::batch(&setup.input, arrays(&rows)),
        }
    };
    log.chunks(cut).map(batch).collect()
}

fn context() -> OperatorContext {
    OperatorContext { max_parallelism: 11, ..context_with(&[]).0 }
}

fn start(world: &Arc<World>, setup: &Setup, parallelism: u32, saved: &Saved, cache: usize) -> Subtasks<GroupAggregate> {
    let build = |context: &OperatorContext| setup.build_in(context).unwrap();
    Subtasks::start(world, &context(), parallelism, saved, cache, build)
}

fn step(setup: &Setup, subtasks: &mut Subtasks<GroupAggregate>, batch: &Batch) -> Vec<String> {
    let keys: Vec<usize> = setup.keys.iter().map(|key| *key as usize).collect();
    let parts = subtasks.route(batch, &keys);
    let parts = subtasks.operators.iter_mut().zip(parts).filter(|(_, part)| part.num_rows() > 0);
    let mut changes: Vec<String> = parts.flat_map(|(operator, part)| run(operator, part)).collect();
    changes.sort();
    changes
}

/// The changes of each batch, by one operator in memory.
fn uninterrupted(setup: &Setup, batches: &[Batch]) -> Vec<Vec<String>> {
    let mut operator = setup.build_in(&context()).unwrap();
    let sorted = |mut changes: Vec<String>| {
        changes.sort();
        changes
    };
    batches.iter().map(|batch| sorted(run(&mut operator, batch.clone()))).collect()
}

fn steps() -> impl Strategy<Value = Vec<(Row, bool, prop::sample::Index)>> {
    let row =
        (prop::option::weighted(0.9, 0..7i64), any::<bool>(), prop::option::weighted(0.8, -3..4i64), any::<bool>());
    prop::collection::vec((row, prop::bool::weighted(0.6), any::<prop::sample::Index>()), 1..120)
}

#[derive(Clone, Debug)]
struct Plan {
    steps: Vec<(Row, bool, prop::sample::Index)>,
    /// Rows of a batch.
    cut: usize,
    /// Before which batches there is a snapshot, and which of them is restored.
    cuts: Vec<bool>,
    cache: usize,
    keys: Vec<u32>,
    changelog: bool,
}

fn plans() -> impl Strategy<Value = Plan> {
    let keys = prop::sample::select(vec![vec![], vec![0], vec![1], vec![0, 1]]);
    let (cuts, cache) = (prop::collection::vec(any::<bool>(), 40), prop::sample::select(TIGHT.to_vec()));
    (steps(), 1usize..30, cuts, cache, keys, any::<bool>())
        .prop_map(|(steps, cut, cuts, cache, keys, changelog)| Plan { steps, cut, cuts, cache, keys, changelog })
}

fn goes_on(backend: &str, plan: Plan) -> Result<(), TestCaseError> {
    let Plan { steps, cut, cuts, cache, keys, changelog } = plan;
    let (world, setup) = (World::new(&context(), backend), setup(&keys, every_call(), changelog));
    let batches = batches(&setup, steps, cut);
    let expected = uninterrupted(&setup, &batches);
    let mut parallelism = [2, 5, 1, 1, 3].into_iter().cycle();
    let mut subtasks = start(&world, &setup, 2, &Vec::new(), cache);
    for (number, (batch, expected)) in batches.iter().zip(&expected).enumerate() {
        if cuts[number % cuts.len()] {
            let saved = subtasks.save(number as u64);
            // One snapshot in two is not restored: its operators go on.
            if cuts[(number + 7) % cuts.len()] {
                subtasks = start(&world, &setup, parallelism.next().unwrap(), &saved, cache);
            }
        }
        prop_assert_eq!(&step(&setup, &mut subtasks, batch), expected);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn groups_in_memory_go_on_as_if_nothing_had_happened(plan in plans()) {
        goes_on("hashmap", plan)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn groups_on_disk_go_on_as_if_nothing_had_happened(plan in plans()) {
        goes_on("rocksdb", plan)?;
    }
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
        assert!(subtasks.operators[0].store.len() <= 1);
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
        biggest = biggest.max(subtasks.operators[0].room());
    }
    assert!(biggest <= budget / 4 * 5, "{biggest}");
    assert!(biggest > budget / 4, "{biggest}");
    let saved = subtasks.save(1);
    assert_eq!(world.entries(&saved, "groups").len(), 40_000);
}
