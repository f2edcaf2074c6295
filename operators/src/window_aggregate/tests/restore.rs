//! Where windows go on after a restore. That their results are those of a run without one is what
//! [`crate::conformance_tests`] are for.
use super::*;
use crate::element::WatermarkStatus;
use crate::testing::state::{Saved, Subtasks, World};

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
    subtasks: Subtasks<WindowAggregate>,
    world: Arc<World>,
}

impl<'a> Run<'a> {
    fn new(setup: &'a Setup, parallelism: u32) -> Self {
        Self::in_zone(setup, parallelism, "UTC")
    }

    fn in_zone(setup: &'a Setup, parallelism: u32, zone: &str) -> Self {
        let (context, clock) = context_with(&[("table.local-time-zone", zone)]);
        let context = OperatorContext { max_parallelism: 11, ..context };
        let world = World::new(&context, "hashmap");
        let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
        let subtasks = Subtasks::start(&world, &context, parallelism, &[], usize::MAX, build);
        Self { setup, context, clock, subtasks, world }
    }

    fn restore(&mut self, parallelism: u32, saved: &Saved) {
        self.restore_with(usize::MAX, parallelism, saved);
    }

    /// With so many bytes for groups.
    fn restore_with(&mut self, cache: usize, parallelism: u32, saved: &Saved) {
        let build = |context: &OperatorContext| self.setup.build_in(WindowPhase::Single, context);
        self.subtasks = Subtasks::start(&self.world, &self.context, parallelism, saved, cache, build);
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

/// Before, a window of which any key group had been emitted was taken for emitted in all.
#[test]
fn a_slice_that_is_new_since_a_restore_is_emitted_where_its_window_was_not() {
    let rows = |from: i64| Step::Rows((0..24).map(|key| (key, from + i64::from(key), Some(key))).collect());
    let lines = |setup: &Setup, restored: bool| {
        let mut run = Run::new(setup, 2);
        let mut lines = run.step(&rows(-900));
        // A barrier overtakes the watermark on its way to the other subtask.
        lines.extend(run.subtask(0, &Step::Watermark(999)));
        if restored {
            let saved = run.subtasks.save(1);
            run.restore(1, &saved);
        }
        for step in [rows(500), Step::Watermark(999), rows(1500), Step::Watermark(MAX_WATERMARK)] {
            lines.extend(run.step(&step));
        }
        lines.sort();
        lines
    };
    for (kind, size, slide) in
        [(WindowKind::Tumble, 1000, 0), (WindowKind::Hop, 2000, 1000), (WindowKind::Cumulate, 2000, 1000)]
    {
        let setup = Setup::new(kind, size, slide, &[0], calls()[..2].to_vec());
        assert_eq!(lines(&setup, true), lines(&setup, false));
    }
}

/// Failed before: a window that ends within the gap was complete later than those that end soon behind it. These waited for it,
/// and a restore took them for emitted.
#[test]
fn no_window_is_lost_by_a_restore_where_clocks_are_put_forward() {
    let changes = [
        ("Australia/Adelaide", at((2024, 10, 5), 16.5 * 3600.0)),
        ("Australia/Lord_Howe", at((2024, 10, 5), 15.5 * 3600.0)),
        ("America/St_Johns", at((2024, 3, 10), 5.5 * 3600.0)),
        ("Antarctica/Troll", at((2024, 3, 31), 3600.0)),
    ];
    let mut setup = Setup::new(WindowKind::Hop, HOUR, HOUR / 6, &[0], calls()[..1].to_vec());
    setup.ltz = true;
    setup.refresh();
    for (zone, change) in changes {
        let lines = |cut: Option<i64>| {
            let mut run = Run::in_zone(&setup, 1, zone);
            let mut lines = Vec::new();
            for number in 0..60 {
                let time = change + (number - 24) * HOUR / 12;
                lines.extend(run.step(&Step::Rows(vec![(1, time, None)])));
                lines.extend(run.step(&Step::Watermark(time)));
                if cut == Some(number) {
                    let saved = run.subtasks.save(1);
                    run.restore(1, &saved);
                }
            }
            lines.extend(run.step(&Step::Watermark(MAX_WATERMARK)));
            lines
        };
        let whole = lines(None);
        assert!(whole.len() > 30, "{zone}: {whole:?}");
        for cut in 0..60 {
            assert_eq!(lines(Some(cut)), whole, "{zone} {cut}");
        }
    }
}

/// Failed before: further east, windows that were open were taken for complete, and their rows were lost without a word.
#[test]
fn state_that_another_time_zone_would_misread_is_refused() {
    let mut setup = Setup::new(WindowKind::Tumble, HOUR, 0, &[0], calls()[..1].to_vec());
    setup.ltz = true;
    setup.refresh();
    let noon = at(NEW_YEAR, 12.0 * 3600.0);
    let restored_in = |setup: &Setup, saved_in: &str, zone: &str, rows: bool| {
        let mut run = Run::in_zone(setup, 1, saved_in);
        run.step(&Step::Watermark(noon));
        if rows {
            run.step(&Step::Rows(vec![(1, noon + 60 * SECOND, None)]));
        }
        let saved = run.subtasks.save(1);
        run.context = OperatorContext { max_parallelism: 11, ..context_with(&[("table.local-time-zone", zone)]).0 };
        let mut operator = setup.build_in(WindowPhase::Single, &run.context);
        let outcome = operator.restore(&mut run.world.restored("hashmap", 0..11, &saved, usize::MAX));
        outcome.map(|()| operator.windows.len()).map_err(|error| error.to_string())
    };
    for (saved_in, zone) in [("UTC", "Asia/Tokyo"), ("Asia/Tokyo", "UTC"), ("Europe/Berlin", "-05:00")] {
        for rows in [true, false] {
            let refused = restored_in(&setup, saved_in, zone, rows).unwrap_err();
            assert!(
                refused.contains(&format!("in the time zone {saved_in}, those of the job are in {zone}")),
                "{refused}"
            );
            assert!(refused.contains(&format!("SET 'table.local-time-zone' = '{saved_in}'")), "{refused}");
        }
    }
    // Other names of what is the same time.
    for (saved_in, zone) in [("UTC", "Etc/UTC"), ("Europe/Berlin", "Europe/Paris"), ("Asia/Tokyo", "+09:00")] {
        assert_eq!(restored_in(&setup, saved_in, zone, true), Ok(1), "{saved_in} {zone}");
    }
    // Times without a zone are local wherever they are read.
    setup.ltz = false;
    setup.refresh();
    assert_eq!(restored_in(&setup, "UTC", "Asia/Tokyo", true), Ok(1));
}

/// Each key group's slices are in its own list; checkpoints used to have all slices of the subtask in each list.
#[test]
fn windows_go_on_at_any_parallelism_in_either_form_of_the_lists() {
    let rows = |from: i64| Step::Rows((0..40).map(|at| (at % 7, from + i64::from(at) * 200, Some(at))).collect());
    let lines = |setup: &Setup, everywhere: Option<bool>| {
        let mut run = Run::new(setup, 1);
        let mut lines = run.step(&rows(0));
        lines.extend(run.step(&Step::Watermark(2999)));
        for (at, parallelism) in [(1, 3), (2, 2), (3, 5), (4, 1)] {
            if let Some(everywhere) = everywhere {
                run.subtasks.operators.iter_mut().filter(|_| everywhere).for_each(note_everywhere);
                let saved = run.subtasks.save(at);
                run.restore(parallelism, &saved);
            }
            let now = 1000 * i64::try_from(at).unwrap();
            // Some are late for their last window, some for one of those before.
            lines.extend(run.step(&rows(now)));
            lines.extend(run.step(&Step::Watermark(2999 + now)));
        }
        lines.extend(run.step(&Step::Watermark(MAX_WATERMARK)));
        lines.sort();
        lines
    };
    for (kind, size, slide) in
        [(WindowKind::Tumble, 1000, 0), (WindowKind::Hop, 4000, 500), (WindowKind::Cumulate, 4000, 500)]
    {
        let setup = Setup::new(kind, size, slide, &[0], calls());
        let expected = lines(&setup, None);
        assert_eq!(lines(&setup, Some(false)), expected);
        assert_eq!(lines(&setup, Some(true)), expected);
    }
}

/// Failed before: each firing read each restored slice again.
#[test]
fn a_restored_slice_is_read_once_if_memory_permits() {
    let rows = |from: i64| Step::Rows((0..40).map(|at| (at % 7, from + i64::from(at) * 100, Some(at))).collect());
    let lines = |setup: &Setup, cache: Option<usize>| {
        let mut run = Run::new(setup, 1);
        let mut lines = run.step(&rows(0));
        lines.extend(run.step(&Step::Watermark(1999)));
        if let Some(cache) = cache {
            let saved = run.subtasks.save(1);
            run.restore_with(cache, 2, &saved);
        }
        // Some groups of restored slices are at hand, and changed, before the others are read.
        lines.extend(run.step(&rows(2050)));
        lines.extend(run.step(&Step::Watermark(3999)));
        let slices = run.subtasks.operators.iter().flat_map(|operator| operator.parts.slices.entries.slices.values());
        let spilled = slices.filter(|slice| slice.spilled).count();
        assert_eq!(spilled > 0, cache.is_some_and(|cache| cache < usize::MAX), "{cache:?}");
        lines.extend(run.step(&rows(4050)));
        lines.extend(run.step(&Step::Watermark(MAX_WATERMARK)));
        lines.sort();
        let saved = run.subtasks.save(2);
        assert!(run.world.entries(&saved, "slices").is_empty(), "{cache:?}");
        lines
    };
    for (kind, size, slide) in [(WindowKind::Hop, 8000, 500), (WindowKind::Cumulate, 8000, 500)] {
        let setup = Setup::new(kind, size, slide, &[0], calls());
        let expected = lines(&setup, None);
        for cache in [0, 1024, usize::MAX] {
            assert_eq!(lines(&setup, Some(cache)), expected, "{kind:?} {cache}");
        }
    }
}

/// Before, a window was emitted a second time with all that its slices held.
#[test]
fn a_clock_that_was_put_back_loses_no_row_and_repeats_none() {
    let counts = |kind, size, slide| {
        let mut setup = Setup::new(kind, size, slide, &[], calls()[..1].to_vec());
        setup.window().event_time = false;
        let mut run = Run::new(&setup, 1);
        let row = Step::Rows(vec![(1, 0, None)]);
        let mut lines = run.step(&Step::Clock(1500));
        lines.extend(run.step(&row));
        lines.extend(run.step(&Step::Clock(2000)));
        let saved = run.subtasks.save(1);
        run.clock.set(1700);
        run.restore(1, &saved);
        lines.extend(run.step(&row));
        lines.extend(run.step(&Step::Clock(1800)));
        let saved = run.subtasks.save(2);
        run.restore(1, &saved);
        lines.extend(run.step(&Step::Clock(9000)));
        let short = |line: String| line.replace("1970-01-01 00:00:", "");
        lines.into_iter().map(short).collect::<Vec<_>>()
    };
    assert_eq!(counts(WindowKind::Tumble, 1000, 0), ["+I[1, 01, 02]", "+I[1, 01, 02]"]);
    let expected = ["+I[1, 31 23:59:59, 02]", "+I[2, 00, 03]", "+I[2, 01, 04]"];
    let hopping: Vec<String> = counts(WindowKind::Hop, 3000, 1000);
    let hopping: Vec<String> = hopping.iter().map(|line| line.replace("1969-12-", "")).collect();
    assert_eq!(hopping, expected);
}

#[test]
fn a_restored_operator_knows_its_watermark() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], calls()[..1].to_vec());
    let mut run = Run::new(&setup, 2);
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
    let mut run = Run::new(&setup, 2);
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

/// Before, rows that a single phase counts were late for FINAL: others had gone on without the idle input.
#[test]
fn local_gives_all_it_has_before_it_is_idle() {
    let setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[0], calls()[..2].to_vec());
    let (mut local, mut out) = (setup.local(), Output::default());
    local.process(0, setup.rows(&[(1, 5, Some(3)), (2, 1006, Some(4)), (1, 7, None)]), &mut out).unwrap();
    local.status(WatermarkStatus::Idle, &mut out).unwrap();
    local.status(WatermarkStatus::Active, &mut out).unwrap();
    assert_eq!(out.take_text(), ["+I[1, 2, 3, 1000]", "+I[2, 1, 4, 2000]", "Idle", "Active"]);
}
