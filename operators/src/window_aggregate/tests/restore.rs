//! Whatever is restored, spilled and merged again: the results are those of an operator that keeps all in memory.
use super::*;
use crate::testing::state::{BACKENDS, Saved, Subtasks, World};

/// All that is kept of groups in memory, at most.
const TIGHT: [usize; 3] = [0, 2048, usize::MAX];

fn every_call() -> Vec<proto::AggregateCall> {
    let int = || TypeKind::Int.nullable();
    let mut calls = calls();
    calls.extend([
        call("FIRST_VALUE", &[2], int()),
        call("LAST_VALUE", &[2], int()),
        call("ARRAY_AGG", &[2], TypeKind::Array(Box::new(int())).nullable()),
        call("COLLECT", &[2], TypeKind::Multiset(Box::new(int())).not_null()),
        call("VAR_SAMP", &[2], int()),
        count_distinct(),
    ]);
    calls
}

fn context(zone: &str) -> (OperatorContext, Arc<ManualClock>) {
    let (context, clock) = context_with(&[("table.local-time-zone", zone)]);
    (OperatorContext { max_parallelism: 11, ..context }, clock)
}

/// What the subtasks are given, one after another.
#[derive(Clone, Debug)]
enum Step {
    Rows(Vec<(i32, i64, Option<i32>)>),
    Watermark(i64),
    /// The clock.
    Clock(i64),
}

/// A window operator and what its subtasks run with.
struct Run<'a> {
    setup: &'a Setup,
    context: OperatorContext,
    clock: Arc<ManualClock>,
    cache: usize,
    subtasks: Subtasks<WindowAggregate>,
    late: u64,
    world: Arc<World>,
}

impl<'a> Run<'a> {
    fn new(backend: &str, setup: &'a Setup, cache: usize, parallelism: u32) -> Self {
        let (context, clock) = context("UTC");
        let world = World::new(&context, backend);
        let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
        let subtasks = Subtasks::start(&world, &context, parallelism, &[], cache, build);
        Self { setup, context, clock, cache, subtasks, late: 0, world }
    }

    fn late_rows(&self) -> u64 {
        self.late + self.subtasks.operators.iter().map(WindowAggregate::late_rows).sum::<u64>()
    }

    fn restore(&mut self, parallelism: u32, saved: &Saved) {
        self.late = self.late_rows();
        let build = |context: &OperatorContext| self.setup.build_in(WindowPhase::Single, context);
        self.subtasks = Subtasks::start(&self.world, &self.context, parallelism, saved, self.cache, build);
    }

    /// What a subtask does with its part of a step.
    fn subtask(&mut self, subtask: usize, step: &Step) -> Vec<String> {
        let mut out = Output::default();
        match step {
            Step::Rows(rows) => {
                let keys: Vec<usize> = self.setup.spec.keys.iter().map(|key| *key as usize).collect();
                let part = self.subtasks.route(&self.setup.rows(rows), &keys).swap_remove(subtask);
                self.subtasks.operators[subtask].process(0, part, &mut out).unwrap();
            }
            Step::Watermark(watermark) => {
                self.subtasks.operators[subtask].watermark(*watermark, &mut out).unwrap();
            }
            Step::Clock(now) => {
                self.clock.set(*now);
                let operator = &mut self.subtasks.operators[subtask];
                if operator.next_timer().is_some_and(|timer| timer <= *now) {
                    operator.processing_time(*now, &mut out).unwrap();
                }
            }
        }
        results(&mut out)
    }

    fn step(&mut self, step: &Step) -> Vec<String> {
        let subtasks = 0..self.subtasks.operators.len();
        let mut lines: Vec<String> = subtasks.flat_map(|subtask| self.subtask(subtask, step)).collect();
        lines.sort();
        lines
    }
}

fn windows() -> impl Strategy<Value = (WindowKind, i64, i64)> {
    prop::sample::select(vec![
        (WindowKind::Tumble, 1000, 0),
        (WindowKind::Hop, 3000, 1000),
        (WindowKind::Hop, 1000, 1000),
        (WindowKind::Cumulate, 4000, 2000),
    ])
}

/// Rows and, behind them, watermarks that make some rows late; in processing time the clock goes on instead.
fn log(rows: Vec<(i32, i64, Option<i32>)>, cut: usize, delay: i64, event_time: bool) -> Vec<Step> {
    let (mut highest, mut time, mut steps) = (i64::MIN + delay, 0, Vec::new());
    let rows: Vec<_> = rows
        .into_iter()
        .map(|(id, step, value)| {
            time += step;
            (id, time, value)
        })
        .collect();
    for part in rows.chunks(cut) {
        highest = part.iter().map(|row| row.1).fold(highest, i64::max);
        steps.push(Step::Rows(part.to_vec()));
        steps.push(if event_time { Step::Watermark(highest - delay) } else { Step::Clock(highest.max(0)) });
    }
    steps.push(if event_time { Step::Watermark(MAX_WATERMARK) } else { Step::Clock(i64::MAX / 2) });
    steps
}

fn rows() -> impl Strategy<Value = Vec<(i32, i64, Option<i32>)>> {
    prop::collection::vec((0..12i32, -300i64..600, prop::option::weighted(0.8, -9..10i32)), 1..120)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn restored_windows_go_on_as_if_nothing_had_happened(
        rows in rows(),
        cut in 1usize..30,
        delay in 0i64..1500,
        cuts in prop::collection::vec(any::<bool>(), 40),
        cache in prop::sample::select(TIGHT.to_vec()),
        (kind, size, slide) in windows(),
        keyed in any::<bool>(),
        event_time in any::<bool>(),
        on_disk in prop::bool::weighted(0.2),
    ) {
        let mut setup = Setup::new(kind, size, slide, if keyed { &[0][..] } else { &[] }, every_call());
        setup.window().event_time = event_time;
        let (context, clock) = context("UTC");
        let mut reference = setup.build_in(WindowPhase::Single, &context);
        let mut parallelism = [5, 1, 1, 3, 2].into_iter().cycle();
        let mut run = Run::new(BACKENDS[usize::from(on_disk)], &setup, cache, 2);
        for (number, step) in log(rows, cut, delay, event_time).into_iter().enumerate() {
            if cuts[number % cuts.len()] {
                let saved = run.subtasks.save(number as u64);
                // One snapshot in two is not restored: its operators go on.
                if cuts[(number + 7) % cuts.len()] {
                    run.restore(parallelism.next().unwrap(), &saved);
                }
            }
            let mut out = Output::default();
            match &step {
                Step::Rows(rows) => reference.process(0, setup.rows(rows), &mut out).unwrap(),
                Step::Watermark(watermark) => reference.watermark(*watermark, &mut out).unwrap(),
                Step::Clock(now) => {
                    clock.set(*now);
                    if reference.next_timer().is_some_and(|timer| timer <= *now) {
                        reference.processing_time(*now, &mut out).unwrap();
                    }
                }
            }
            prop_assert_eq!(run.step(&step), results(&mut out));
        }
        prop_assert_eq!(run.late_rows(), reference.late_rows());
        let saved = run.subtasks.save(1000);
        prop_assert!(run.world.entries(&saved, "slices").is_empty(), "slices stay in the table");
    }

    /// Subtasks that are cut at different watermarks: each key group goes on where it was.
    #[test]
    fn no_window_is_emitted_twice_where_a_barrier_overtook_a_watermark(
        rows in rows(),
        cut in 1usize..30,
        delay in 0i64..1500,
        cache in prop::sample::select(TIGHT.to_vec()),
        (kind, size, slide) in windows(),
        at in any::<prop::sample::Index>(),
        parallelism in prop::sample::select(vec![1u32, 2, 5]),
        event_time in any::<bool>(),
        on_disk in prop::bool::weighted(0.2),
    ) {
        let mut setup = Setup::new(kind, size, slide, &[0], every_call());
        setup.window().event_time = event_time;
        let steps = log(rows, cut, delay, event_time);
        let at = at.index(steps.len());
        let mut whole = Run::new("hashmap", &setup, usize::MAX, 2);
        let mut expected: Vec<String> = steps.iter().flat_map(|step| whole.step(step)).collect();
        let mut cut = Run::new(BACKENDS[usize::from(on_disk)], &setup, cache, 2);
        let mut lines: Vec<String> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            if number == at && !matches!(step, Step::Rows(_)) {
                lines.extend(cut.subtask(1, step));
                let saved = cut.subtasks.save(1);
                cut.restore(parallelism, &saved);
            }
            lines.extend(cut.step(step));
        }
        expected.sort();
        lines.sort();
        prop_assert_eq!(lines, expected);
        prop_assert_eq!(cut.late_rows(), whole.late_rows());
    }
}

#[test]
fn a_restored_operator_knows_its_watermark() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], calls()[..1].to_vec());
    let mut run = Run::new("hashmap", &setup, usize::MAX, 2);
    run.step(&Step::Watermark(4999));
    let saved = run.subtasks.save(1);
    run.restore(1, &saved);
    let (operator, mut out) = (&mut run.subtasks.operators[0], Output::default());
    operator.process(0, setup.rows(&[(1, 4500, None), (1, 5500, None)]), &mut out).unwrap();
    assert_eq!(operator.late_rows(), 1);
    // Watermarks begin anew and are replaced by what was reached, once.
    operator.watermark(100, &mut out).unwrap();
    operator.watermark(200, &mut out).unwrap();
    assert_eq!(out.take_text(), ["w4999"]);
    operator.watermark(5999, &mut out).unwrap();
    assert_eq!(out.take_text(), ["+I[1, 1, 1970-01-01T00:00:05, 1970-01-01T00:00:06]", "w5999"]);
}

#[test]
fn more_input_after_the_end_of_input_is_not_late() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], calls()[..1].to_vec());
    let mut run = Run::new("hashmap", &setup, usize::MAX, 2);
    run.step(&Step::Watermark(MAX_WATERMARK));
    let saved = run.subtasks.save(1);
    run.restore(2, &saved);
    run.step(&Step::Rows(vec![(1, 4500, None)]));
    assert_eq!(run.step(&Step::Watermark(5000)).len(), 1);
}

#[test]
fn local_gives_all_it_has_before_a_barrier() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], calls()[..2].to_vec());
    let (mut local, mut out) = (setup.local(), Output::default());
    local.process(0, setup.rows(&[(1, 5, Some(3)), (2, 1006, Some(4)), (1, 7, None)]), &mut out).unwrap();
    local.before_barrier(&mut out).unwrap();
    assert_eq!(out.take_text(), ["+I[1, 2, 3, 1000]", "+I[2, 1, 4, 2000]"]);
    local.before_barrier(&mut out).unwrap();
    assert!(out.take_text().is_empty());
}

/// FINAL, too: what LOCAL gives goes into the same state.
#[test]
fn accumulators_of_local_are_restored() {
    for cache in TIGHT {
        let setup = Setup::new(WindowKind::Hop, 2 * SECOND, SECOND, &[0], calls());
        let (context, _) = context("UTC");
        let world = World::new(&context, "rocksdb");
        let build = |context: &OperatorContext| setup.build_in(WindowPhase::Final, context);
        let mut subtasks = Subtasks::start(&world, &context, 2, &[], cache, build);
        let (mut local, mut between, mut out) = (setup.local(), Output::default(), Output::default());
        for round in 0..4 {
            let rows: Vec<_> = (0..20).map(|i| (i % 7, i64::from(i) * 150, Some(i + round))).collect();
            local.process(0, setup.rows(&rows), &mut between).unwrap();
            local.before_barrier(&mut between).unwrap();
            for element in between.elements.drain(..) {
                let StreamElement::Batch(batch) = element else { continue };
                let parts = subtasks.route(&batch, &[0]);
                for (operator, part) in subtasks.operators.iter_mut().zip(parts) {
                    operator.process(0, part, &mut out).unwrap();
                }
            }
            let saved = subtasks.save(round as u64);
            subtasks = Subtasks::start(&world, &context, [5, 1, 2, 3][round as usize], &saved, cache, build);
        }
        subtasks.operators.iter_mut().for_each(|operator| operator.watermark(MAX_WATERMARK, &mut out).unwrap());
        let rows: Vec<_> =
            (0..4).flat_map(|round| (0..20).map(move |i| (i % 7, i64::from(i) * 150, Some(i + round)))).collect();
        let expected: Vec<String> =
            model(&setup, &rows).into_iter().map(|line| line.replace("2020-01-01 00:", "")).collect();
        assert_eq!(results(&mut out), expected);
    }
}
