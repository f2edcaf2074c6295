//! Rows around changes of clocks that are not at a full quarter of an hour, or change by seconds.
use wiesel_expressions::expression::Zone;

use super::*;
use crate::window_aggregate::assigner::{WindowAssigner, WindowZone};
use crate::window_aggregate::slices::SliceEnds;

const MINUTE: i64 = 60 * SECOND;
/// Zones, and an instant at which their clocks change. In St John's until 2011 at 00:01, in Monrovia at 00:44:30 of UTC.
const CHANGES: [(&str, i64); 6] = [
    ("America/St_Johns", 1_268_537_460_000),
    ("America/St_Johns", 1_289_097_060_000),
    ("Africa/Monrovia", 63_593_070_000),
    ("Europe/Amsterdam", -2_450_995_200_000),
    ("Australia/Lord_Howe", 1_728_142_200_000),
    ("Asia/Kolkata", 1_728_142_200_000),
];
const SIZES: [i64; 4] = [MINUTE, 15 * MINUTE, HOUR, 24 * HOUR];

fn ends_in(zone: &str, assigner: WindowAssigner) -> SliceEnds {
    SliceEnds::new(assigner, WindowZone::new(Zone::parse(zone).unwrap(), true))
}

/// The ends of the slices of rows that come in one batch.
fn slices(ends: &mut SliceEnds, times: &[i64]) -> Vec<i64> {
    let mut setup = Setup::new(WindowKind::Tumble, SECOND, 0, &[], Vec::new());
    setup.ltz = true;
    let rows: Vec<_> = times.iter().map(|time| (1, *time, None)).collect();
    ends.of_column(&setup.rows(&rows).records, 1).unwrap().to_vec()
}

proptest! {
    /// Failed before: the offset of the first row of a quarter of an hour was that of all rows of the quarter in the batch.
    #[test]
    fn rows_are_in_the_same_slices_in_whichever_batches_they_come(
        change in 0..CHANGES.len(),
        size in 0..SIZES.len(),
        apart in prop::collection::vec(prop_oneof![-1000_i64..1000, -7_200_000_i64..7_200_000, -200_000_000_i64..200_000_000], 1..60),
        cut in 1..60_usize,
    ) {
        let (name, change) = CHANGES[change];
        let assigner = WindowAssigner::Tumble { size: SIZES[size], offset: 0 };
        let zone = WindowZone::new(Zone::parse(name).unwrap(), true);
        let mut ends = ends_in(name, assigner);
        let times: Vec<i64> = apart.iter().map(|apart| change + apart).collect();
        let one_by_one: Vec<i64> = times.iter().map(|time| assigner.slice_end(zone.to_local(*time))).collect();
        let cut: Vec<i64> = times.chunks(cut).flat_map(|times| slices(&mut ends, times)).collect();
        prop_assert_eq!(&cut, &one_by_one);
        prop_assert_eq!(slices(&mut ends, &times), one_by_one);
    }
}

/// The starts of windows as Flink gives them. Failed before, each of the first three.
#[test]
fn rows_beside_a_change_are_in_their_own_windows() {
    let seconds = |seconds: &[i64], change: i64| seconds.iter().map(|at| change + at * SECOND).collect::<Vec<_>>();
    let st_johns = [-120, -30, 30, 90, 600, 840, 1200];
    let (monrovia, amsterdam) = ([-30, 0, 29, 30], [-1, 0, 899, 900]);
    let (before, day) = (at((2010, 11, 6), 0.0), 24 * HOUR);
    let (midnight, epoch) = (at((2010, 3, 14), 0.0), at((1972, 1, 7), 0.0));
    let may = at((1892, 5, 1), 0.0);
    let cases = [
        (1, day, &st_johns[..], vec![before, before + day, before, before, before, before, before]),
        (0, HOUR, &st_johns[..], [vec![midnight - HOUR, midnight], vec![midnight + HOUR; 5]].concat()),
        (2, MINUTE, &monrovia[..], [-1, 44, 44, 45].map(|minute| epoch + minute * MINUTE).to_vec()),
        (3, 15 * MINUTE, &amsterdam[..], [15, 0, 0, 15].map(|minute| may + minute * MINUTE).to_vec()),
    ];
    for (change, size, rows, starts) in cases {
        let (name, change) = CHANGES[change];
        let mut ends = ends_in(name, WindowAssigner::Tumble { size, offset: 0 });
        let found: Vec<i64> = slices(&mut ends, &seconds(rows, change)).iter().map(|end| end - size).collect();
        assert_eq!(found, starts, "{name}");
    }
}

/// Windows that end at each second from hours before a change to hours behind it.
#[test]
fn windows_beside_a_change_are_complete_in_the_order_of_their_ends() {
    for (name, change) in CHANGES {
        let zone = WindowZone::new(Zone::parse(name).unwrap(), true);
        let ends = (-9000..9000).map(|seconds| zone.to_local(change) + seconds * SECOND);
        let triggers: Vec<i64> = ends.map(|end| zone.trigger(end)).collect();
        assert!(triggers.is_sorted(), "{name}");
    }
}
