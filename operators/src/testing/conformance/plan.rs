//! What happens in one run: random rows, and steps that name what exists by remainders, so that any of them can be left out.
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int64Array, StringViewArray, TimestampMillisecondArray,
};
use proptest::prelude::*;
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind};

use crate::element::Batch;
use crate::testing::{batch, changes, fields};

/// The columns of rows. The positions of some:
pub const KEY: u32 = 0;
pub const OTHER_KEY: u32 = 1;
pub const TIME: u32 = 2;
pub const VALUE: u32 = 3;
pub const TEXT: u32 = 4;
pub const DOUBLE: u32 = 5;
pub const DECIMAL: u32 = 6;
pub const BOOLEAN: u32 = 7;
pub const TIMESTAMP: u32 = 8;
pub const FILTER: u32 = 9;
pub const SEPARATOR: u32 = 10;
pub const NUMBER: u32 = 11;

/// The columns of what producers read.
pub fn input() -> Vec<RowField> {
    let (bigint, text) = (|| TypeKind::Bigint.nullable(), || TypeKind::string().nullable());
    let time = |attribute| TypeKind::Timestamp(3, attribute).nullable();
    fields(&[
        ("k", bigint()),
        ("k2", text()),
        ("ts", time(TimeAttribute::Rowtime)),
        ("i", bigint()),
        ("s", text()),
        ("d", TypeKind::Double.nullable()),
        ("n", TypeKind::Decimal(10, 2).nullable()),
        ("b", TypeKind::Boolean.nullable()),
        ("t", time(TimeAttribute::Regular)),
        ("f", TypeKind::Boolean.nullable()),
        ("p", text()),
        ("number", bigint()),
    ])
}

/// The type of a column of the input.
pub fn type_of(column: u32) -> LogicalType {
    input()[column as usize].data_type.clone()
}

/// A row of a split.
#[derive(Clone, Debug)]
pub struct Row {
    /// No other row has it.
    pub number: i64,
    pub key: Option<i64>,
    pub other_key: bool,
    pub time: i64,
    pub value: Option<i64>,
    pub passes: bool,
    /// It takes back an earlier one.
    pub back: bool,
}

/// Rows as a source emits them.
pub fn rows(rows: &[Row], changelog: bool) -> Batch {
    let values = || rows.iter().map(|row| row.value);
    let decimals = Decimal128Array::from_iter(values().map(|value| value.map(|value| i128::from(value) * 7)));
    let texts =
        |choice: fn(&Row) -> &'static str| rows.iter().map(|row| Some(choice(row))).collect::<StringViewArray>();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()),
        Arc::new(texts(|row| if row.other_key { "a rather long key" } else { "" })),
        Arc::new(rows.iter().map(|row| Some(row.time)).collect::<TimestampMillisecondArray>()),
        Arc::new(values().collect::<Int64Array>()),
        Arc::new(values().map(|value| value.map(|value| format!("value {value}"))).collect::<StringViewArray>()),
        Arc::new(values().map(|value| value.map(|value| value as f64 * 0.1)).collect::<Float64Array>()),
        Arc::new(decimals.with_precision_and_scale(10, 2).unwrap()),
        Arc::new(values().map(|value| value.map(|value| value % 2 == 0)).collect::<BooleanArray>()),
        Arc::new(values().collect::<TimestampMillisecondArray>()),
        Arc::new(rows.iter().map(|row| Some(row.passes)).collect::<BooleanArray>()),
        Arc::new(texts(|row| if row.other_key { "|" } else { "; " })),
        Arc::new(rows.iter().map(|row| Some(row.number)).collect::<Int64Array>()),
    ];
    match changelog {
        true => changes(&input(), rows.iter().map(|row| if row.back { 3 } else { 0 }).collect(), columns),
        false => batch(&input(), columns),
    }
}

/// How a job is deployed.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub producers: usize,
    pub subtasks: u32,
    pub backend: &'static str,
    /// Bytes that a subtask may keep in memory before its tables.
    pub cache: usize,
}

/// How barriers travel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    Aligned,
    Unaligned,
    AtLeastOnce,
}

#[derive(Clone, Debug)]
pub enum Step {
    /// A producer reads rows of a split and sends them; if there are none left, its input ends, where producers may end early.
    Read { producer: usize, split: usize, rows: usize },
    /// A producer's watermark moves up to so much below what it has read.
    Watermark { producer: usize, lag: i64 },
    /// A producer says that it is idle, where producers may.
    Idle { producer: usize },
    /// A subtask takes so many elements of a channel, or of all its channels in turn; the slow one at most one.
    Deliver { subtask: usize, channel: Option<usize>, elements: usize },
    /// Time passes.
    Clock(i64),
    /// A subtask looks at its timers.
    Timers { subtask: usize },
    /// A checkpoint begins.
    Trigger { mode: Mode, canonical: bool },
    /// A producer sends its barrier. The last so many elements of each channel have not left the producer yet.
    Barrier { producer: usize, waiting: usize },
    /// A subtask looks for barriers that do not wait behind rows.
    Overtake { subtask: usize },
    /// What is left of a checkpoint is done; whether the subtasks hear of it.
    Complete { told: bool },
    /// The job starts again from the last checkpoint; of the one under way it is left whether it is completed first.
    Restart { shape: Shape, complete: bool },
}

/// All of one run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub max_parallelism: u32,
    pub shape: Shape,
    pub splits: Vec<Vec<Row>>,
    /// Watermarks are below all rows that are still to be read.
    pub in_time: bool,
    /// A key is in one split only: the order of its rows does not depend on who reads faster.
    pub own_keys: bool,
    /// Producers may be idle; else they may end early. If all are idle that have not ended, event time comes to its end, and
    /// starts anew after a restore, as in Flink: then a result is not that of a run without a restore.
    pub idle: bool,
    /// A subtask that falls behind the others: with nobody behind, no checkpoint finds subtasks at different watermarks.
    pub slow: Option<usize>,
    pub steps: Vec<Step>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let backend = prop_oneof![9 => Just("hashmap"), 1 => Just("rocksdb")];
    (prop::sample::select(&[1, 1, 2, 3][..]), 1..=4u32, backend, prop::sample::select(&[0, 2048, usize::MAX][..]))
        .prop_map(|(producers, subtasks, backend, cache)| Shape { producers, subtasks, backend, cache })
}

fn step(at_least_once: bool) -> impl Strategy<Value = Step> {
    let modes = match at_least_once {
        true => &[Mode::AtLeastOnce][..],
        false => &[Mode::Aligned, Mode::Unaligned, Mode::Unaligned][..],
    };
    let (producer, subtask) = (0..3usize, 0..4usize);
    prop_oneof![
        8 => (producer.clone(), 0..4usize, 1..12usize)
            .prop_map(|(producer, split, rows)| Step::Read { producer, split, rows }),
        12 => (producer.clone(), prop_oneof![3 => 0..200i64, 1 => 0..1500i64]).prop_map(|(producer, lag)| Step::Watermark { producer, lag }),
        1 => producer.clone().prop_map(|producer| Step::Idle { producer }),
        16 => (subtask.clone(), prop::option::of(0..3usize), prop_oneof![5 => 1..4usize, 1 => 1..12usize])
            .prop_map(|(subtask, channel, elements)| Step::Deliver { subtask, channel, elements }),
        5 => (1..400i64).prop_map(Step::Clock),
        3 => subtask.clone().prop_map(|subtask| Step::Timers { subtask }),
        4 => (prop::sample::select(modes), any::<bool>())
            .prop_map(|(mode, canonical)| Step::Trigger { mode, canonical }),
        4 => (producer, 0..4usize).prop_map(|(producer, waiting)| Step::Barrier { producer, waiting }),
        3 => subtask.prop_map(|subtask| Step::Overtake { subtask }),
        1 => any::<bool>().prop_map(|told| Step::Complete { told }),
        2 => (shape(), prop::bool::weighted(0.8)).prop_map(|(shape, complete)| Step::Restart { shape, complete }),
    ]
}

/// Rows before they have a number and a place in time: key, other key, step in time, value, whether they pass, and whether they
/// take one back instead.
type Raw = (Option<i64>, bool, i64, Option<i64>, bool, Option<prop::sample::Index>);

fn raw(changelog: bool) -> impl Strategy<Value = Raw> {
    let back = prop::option::weighted(0.4, any::<prop::sample::Index>());
    let back = back.prop_map(move |back| back.filter(|_| changelog));
    let (key, value) = (prop::option::weighted(0.9, 0..9i64), prop::option::weighted(0.8, -9..10i64));
    (key, any::<bool>(), -300i64..600, value, any::<bool>(), back)
}

fn split(raw: Vec<Raw>, first: i64, key_of: impl Fn(Option<i64>) -> Option<i64>) -> Vec<Row> {
    let (mut time, mut alive): (i64, Vec<Row>) = (0, Vec::new());
    let row = |(number, (key, other_key, step, value, passes, back)): (usize, Raw)| {
        time += step;
        let number = first + number as i64;
        match back.filter(|_| !alive.is_empty()) {
            Some(index) => Row { number, time, back: true, ..alive.swap_remove(index.index(alive.len())) },
            None => {
                let row = Row { number, key: key_of(key), other_key, time, value, passes, back: false };
                alive.push(row.clone());
                row
            }
        }
    };
    raw.into_iter().enumerate().map(row).collect()
}

/// Runs of rows that are only added, or also taken back.
pub fn plans(changelog: bool) -> impl Strategy<Value = Plan> {
    let max_parallelism = prop::sample::select(&[7, 16, 100, 130][..]);
    let splits = prop::collection::vec(prop::collection::vec(raw(changelog), 0..60), 1..=4);
    let steps =
        prop::bool::weighted(0.15).prop_flat_map(|at_least_once| prop::collection::vec(step(at_least_once), 0..240));
    let slow = prop::option::weighted(0.6, 0..4usize);
    (max_parallelism, shape(), splits, any::<[bool; 3]>(), slow, steps).prop_map(
        |(max_parallelism, shape, raw, [in_time, own_keys, idle], slow, steps)| {
            let splits = raw.into_iter().zip(0i64..).map(|(raw, number)| {
                split(raw, number * 1000, |key| match key {
                    None if own_keys && number > 0 => Some(-number),
                    key if own_keys => key.map(|key| key * 4 + number),
                    key => key,
                })
            });
            Plan { max_parallelism, shape, splits: splits.collect(), in_time, own_keys, idle, slow, steps }
        },
    )
}
