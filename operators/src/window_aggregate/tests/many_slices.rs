//! Windows of many slices: how much work they are, what a checkpoint has of them, and that the work ends with the task.
use wiesel_common::keygroup;
use wiesel_expressions::expression::Zone;

use super::*;
use crate::testing::state::{Saved, Subtasks, World};
use crate::window_aggregate::assigner::{WindowAssigner, WindowZone};

const MINUTE: i64 = 60 * SECOND;
/// Seconds of a day.
const DAY: i64 = 86_400;

/// Zones, and an instant at which their clocks change: by an hour, by half an hour, by two hours, by a day, never; and not at a
/// full quarter of an hour, by two hours, by 44 minutes and 30 seconds, by 17 minutes and 30 seconds.
fn changes() -> Vec<(&'static str, i64)> {
    vec![
        ("Europe/Berlin", at((2021, 3, 28), 3600.0)),
        ("Europe/Berlin", at((2021, 10, 31), 3600.0)),
        ("Australia/Lord_Howe", at((2024, 10, 5), 15.5 * 3600.0)),
        ("Australia/Lord_Howe", at((2025, 4, 5), 15.0 * 3600.0)),
        ("Australia/Adelaide", at((2024, 10, 5), 16.5 * 3600.0)),
        ("America/St_Johns", at((2024, 3, 10), 5.5 * 3600.0)),
        ("Antarctica/Troll", at((2024, 3, 31), 3600.0)),
        ("Antarctica/Troll", at((2024, 10, 27), 3600.0)),
        ("Pacific/Apia", at((2011, 12, 30), 10.0 * 3600.0)),
        ("Asia/Kolkata", at((2021, 3, 28), 3600.0)),
        ("UTC", at((2021, 3, 28), 3600.0)),
        ("America/St_Johns", at((2010, 3, 14), 3.0 * 3600.0 + 1860.0)),
        ("America/St_Johns", at((2010, 11, 7), 2.0 * 3600.0 + 1860.0)),
        ("America/St_Johns", at((1988, 4, 3), 3.0 * 3600.0 + 1860.0)),
        ("America/St_Johns", at((1988, 10, 30), 3600.0 + 1860.0)),
        ("Africa/Monrovia", at((1972, 1, 7), 2670.0)),
        ("Europe/Amsterdam", at((1892, 5, 1), 0.0)),
    ]
}

/// One window after the other.
fn first_open(assigner: WindowAssigner, zone: WindowZone, slice_end: i64, passed: i64) -> Option<i64> {
    let mut windows = std::iter::successors(Some(slice_end), |window| assigner.next_window_of(slice_end, *window));
    windows.find(|window| zone.trigger(*window) > passed)
}

/// Failed before: where clocks are put forward by other than an hour, or not at a full hour of UTC.
#[test]
fn a_window_is_complete_no_earlier_than_those_that_end_before_it() {
    for (name, change) in changes() {
        let zone = WindowZone::new(Zone::parse(name).unwrap(), true);
        let triggers: Vec<i64> =
            (-600..600).map(|minutes| zone.trigger(zone.to_local(change) + minutes * 5 * MINUTE)).collect();
        assert!(triggers.is_sorted(), "{name}");
    }
    let (_, change) = changes()[0];
    let berlin = WindowZone::new(Zone::parse("Europe/Berlin").unwrap(), true);
    let within = berlin.to_local(change) - HOUR / 2;
    assert_eq!(berlin.trigger(within), change, "as in Flink");
}

#[test]
fn the_first_open_window_is_the_one_that_is_found_one_by_one() {
    let assigners = [
        WindowAssigner::Tumble { size: 30 * MINUTE, offset: 0 },
        WindowAssigner::Hop { size: 180 * MINUTE, slide: 10 * MINUTE, offset: 0 },
        WindowAssigner::Cumulate { size: 240 * MINUTE, step: 20 * MINUTE, offset: 7 * MINUTE },
    ];
    for ((name, change), assigner) in changes().into_iter().flat_map(|change| assigners.map(|of| (change, of))) {
        let zone = WindowZone::new(Zone::parse(name).unwrap(), true);
        for passed in (-72..72).flat_map(|tens| [-1, 0].map(|apart| change + tens * 10 * MINUTE + apart)) {
            let open = assigner.first_open(zone, passed);
            for slice_end in (-30..30).map(|tens| assigner.slice_end(zone.to_local(change) + tens * 10 * MINUTE)) {
                let found = Some(slice_end.max(open)).filter(|window| *window <= assigner.last_window_of(slice_end));
                let expected = first_open(assigner, zone, slice_end, passed);
                assert_eq!(found, expected, "{name} {assigner:?} {slice_end} {passed}");
            }
        }
        let slice_end = assigner.slice_end(zone.to_local(change));
        assert!(assigner.first_open(zone, i64::MIN) < slice_end, "before the first watermark");
        assigner.first_open(zone, i64::MAX);
    }
}

/// Windows of so many seconds that hop by a second, in local time.
fn by_seconds(seconds: i64) -> (Setup, OperatorContext) {
    let mut setup = Setup::new(WindowKind::Hop, seconds * SECOND, SECOND, &[0], calls()[..1].to_vec());
    setup.ltz = true;
    setup.refresh();
    (setup, context_with(&[("table.local-time-zone", "Europe/Berlin")]).0)
}

/// Sets event time, and adds a row of one key to each of so many slices before it. Some windows of each are complete.
fn fill(setup: &Setup, operator: &mut WindowAggregate, slices: i64) -> i64 {
    let (now, mut out) = (at(NEW_YEAR, DAY as f64), Output::default());
    operator.watermark(now, &mut out).unwrap();
    operator.process(0, setup.rows(&rows_before(now, slices)), &mut out).unwrap();
    assert_eq!(operator.late_rows(), 0);
    now
}

/// Rows of one key, one in each of so many seconds.
fn rows_before(now: i64, seconds: i64) -> Vec<(i32, i64, Option<i32>)> {
    (1..=seconds).map(|second| (1, now - second * SECOND, None)).collect()
}

/// The key groups that each slice is noted with.
fn key_groups(operator: &WindowAggregate) -> Vec<usize> {
    operator.parts.slices.entries.slices.values().map(|slice| slice.key_groups.len()).collect()
}

fn bytes_of_progress(world: &World, saved: &Saved) -> usize {
    world.entries(saved, "progress").values().map(Vec::len).sum()
}

/// Before, each slice stepped through its windows one by one, and after a restore once more for each key group; each firing read
/// each slice in each key group; and a checkpoint had the list of slices for each key group.
#[test]
fn a_day_of_slices_is_added_saved_restored_and_fired() {
    let (setup, context) = by_seconds(DAY);
    let slices = DAY - 1;
    let world = World::new(&context, "hashmap");
    let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
    let mut run = Subtasks::start(&world, &context, 1, &[], usize::MAX, build);
    let now = fill(&setup, &mut run.operators[0], slices);
    let windows = run.operators[0].windows.clone();
    assert_eq!(windows.len(), 1);
    let saved = run.save(1);
    assert!(bytes_of_progress(&world, &saved) < slices as usize * 32);
    let again = Subtasks::start(&world, &context, 1, &saved, usize::MAX, build);
    assert_eq!(again.operators[0].windows, windows);
    assert_eq!(key_groups(&again.operators[0]), vec![1; slices as usize]);
    for mut subtasks in [run, again] {
        let mut out = Output::default();
        subtasks.operators[0].watermark(now + SECOND, &mut out).unwrap();
        let text = out.take_text();
        assert_eq!(text.len(), 2, "one window and the watermark");
        assert!(text[0].starts_with(&format!("+I[1, {slices}, ")), "{text:?}");
    }
}

/// Checkpoints used to have all slices of a subtask for each of its key groups.
#[test]
fn what_is_written_again_of_an_earlier_form_goes_with_its_slices() {
    let (setup, context) = by_seconds(200);
    let world = World::new(&context, "hashmap");
    let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
    let mut run = Subtasks::start(&world, &context, 1, &[], usize::MAX, build);
    let now = fill(&setup, &mut run.operators[0], 100);
    let windows = run.operators[0].windows.clone();
    note_everywhere(&mut run.operators[0]);
    let saved = run.save(1);
    let before = bytes_of_progress(&world, &saved);
    let mut again = Subtasks::start(&world, &context, 1, &saved, usize::MAX, build);
    assert_eq!(again.operators[0].windows, windows);
    assert_eq!(key_groups(&again.operators[0]), [128; 100]);
    let mut out = Output::default();
    // When the last windows are complete nothing is left of them.
    again.operators[0].watermark(now + 200 * SECOND, &mut out).unwrap();
    assert!(again.operators[0].parts.slices.entries.slices.is_empty());
    assert!(out.take_text()[0].starts_with("+I[1, 100, "));
    again.operators[0].process(0, setup.rows(&[(1, now + 200 * SECOND, None)]), &mut out).unwrap();
    let saved = again.save(2);
    assert!(bytes_of_progress(&world, &saved) < before / 10);
    assert_eq!(world.entries(&saved, "slices").len(), 1);
}

#[test]
fn work_that_grows_with_slices_ends_with_the_task() {
    let (setup, context) = by_seconds(DAY);
    let world = World::new(&context, "hashmap");
    let build = |context: &OperatorContext| setup.build_in(WindowPhase::Single, context);
    let mut run = Subtasks::start(&world, &context, 1, &[], usize::MAX, build);
    let now = fill(&setup, &mut run.operators[0], 100);
    let saved = run.save(1);
    let mut restored = build(&context);
    let key_groups = keygroup::key_groups(0, 1, context.max_parallelism);
    let (mut local, mut out) = (setup.local(), Output::default());
    local.process(0, setup.rows(&rows_before(now, 100)), &mut out).unwrap();
    let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
    let outcome = restored.restore(&mut world.restored("hashmap", key_groups, &saved, usize::MAX));
    assert!(matches!(outcome, Err(Error::Cancelled)));
    assert!(matches!(local.watermark(now, &mut out), Err(Error::Cancelled)));
}
