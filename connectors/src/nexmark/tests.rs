use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};
use wiesel_expressions::types::{RowField, TypeKind};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::Collector;
use wiesel_operators::source::{SourceReader, SourceStatus};
use wiesel_proto::{self as proto, FieldPath};

use super::columns::Plan;
use super::filter::ALL;
use super::reader::{NexmarkReader, encode};
use super::{AUCTION, BID, Leaf, PERSON, Settings, check_schema, describe, settings};
use crate::factory::TableDescription;
use crate::options::Options;
use crate::testing::{Collected, Restarts};

fn row(fields: &[(&str, Leaf)]) -> wiesel_expressions::types::LogicalType {
    let field = |(name, leaf): &(&str, Leaf)| {
        let kind = match leaf {
            Leaf::Number => TypeKind::Bigint,
            Leaf::Text => TypeKind::string(),
            Leaf::Time => TypeKind::Timestamp(3, Default::default()),
        };
        RowField::new(*name, kind.nullable())
    };
    TypeKind::Row(fields.iter().map(field).collect()).nullable()
}

fn physical() -> Vec<RowField> {
    vec![
        RowField::new("event_type", TypeKind::Int.nullable()),
        RowField::new("person", row(&PERSON)),
        RowField::new("auction", row(&AUCTION)),
        RowField::new("bid", row(&BID)),
    ]
}

fn path(indexes: &[u32]) -> FieldPath {
    FieldPath { indexes: indexes.to_vec() }
}

fn read(settings: Settings, kinds: [bool; 3], paths: &[FieldPath], readers: u64) -> Vec<RecordBatch> {
    let mut out = Collected::default();
    for i in 0..readers {
        let plan = Plan::new(&physical(), paths).unwrap();
        let mut reader = NexmarkReader::new(settings.clone(), kinds, plan);
        reader.add_splits(vec![encode(i, readers)]).unwrap();
        reader.no_more_splits();
        while reader.poll(&mut out as &mut dyn Collector).unwrap() != SourceStatus::EndOfInput {}
    }
    out.batches.into_iter().map(|batch| batch.records).collect()
}

fn checked(events: u64) -> Settings {
    Settings { events, rate: 10_000_000, ..Settings::default() }
}

fn sum(batches: &[RecordBatch], column: usize) -> i64 {
    batches.iter().map(|b| b.column(column).as_primitive::<Int64Type>().iter().flatten().sum::<i64>()).sum()
}

fn lengths(batches: &[RecordBatch], column: usize) -> usize {
    let texts = |b: &RecordBatch| b.column(column).as_string_view().iter().flatten().map(str::len).sum::<usize>();
    batches.iter().map(texts).sum()
}

#[test]
fn the_published_check_sums_hold_for_any_number_of_readers() {
    for readers in [1, 2, 3, 7] {
        let leaves = [
            path(&[0]),
            path(&[2, 4]),
            path(&[2, 2]),
            path(&[3, 2]),
            path(&[3, 0]),
            path(&[3, 1]),
            path(&[3, 6]),
            path(&[3, 4]),
        ];
        let batches = read(checked(100_000), ALL, &leaves, readers);
        let mut kinds = BTreeMap::new();
        for batch in &batches {
            for kind in batch.column(0).as_primitive::<Int32Type>().iter().flatten() {
                *kinds.entry(kind).or_insert(0) += 1;
            }
        }
        assert_eq!(kinds, BTreeMap::from([(0, 2_000), (1, 6_000), (2, 92_000)]));
        assert_eq!(sum(&batches, 1), 89_601_947_394);
        assert_eq!(lengths(&batches, 2), 303_959);
        assert_eq!(sum(&batches, 3), 667_050_315_381);
        assert_eq!(sum(&batches, 4), 363_725_650);
        assert_eq!(sum(&batches, 5), 172_056_669);
        assert_eq!(lengths(&batches, 6), 6_211_195);
        assert_eq!(lengths(&batches, 7), 5_816_498);
    }
}

#[test]
fn a_filter_and_a_narrow_projection_change_no_value() {
    for columns in [&[0usize, 2][..], &[2], &[6], &[1, 5], &[3], &[4, 0]] {
        let all: Vec<FieldPath> = columns.iter().map(|leaf| path(&[3, *leaf as u32])).collect();
        let only_bids = read(checked(20_000), [false, false, true], &all, 2);
        let whole = read(checked(20_000), ALL, &[path(&[3])], 2);
        let collect = |batches: &[RecordBatch], leaf: &dyn Fn(&RecordBatch) -> arrow::array::ArrayRef| {
            let arrays: Vec<_> = batches.iter().map(leaf).collect();
            let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
            arrow::compute::concat(&arrays).unwrap()
        };
        for (at, leaf) in columns.iter().enumerate() {
            let narrow = collect(&only_bids, &|batch| batch.column(at).clone());
            let wide = collect(&whole, &|batch| {
                let bids = batch.column(0).as_struct();
                let present = arrow::compute::is_not_null(bids).unwrap();
                arrow::compute::filter(bids.column(*leaf), &present).unwrap()
            });
            assert_eq!(narrow.len(), 18_400);
            assert_eq!(narrow.to_data(), wide.to_data());
        }
    }
}

#[test]
fn times_grow_with_the_rate() {
    let settings = Settings { events: 100, rate: 3, base_time: 5, ..Settings::default() };
    let batches = read(settings, ALL, &[path(&[0]), path(&[3, 5]), path(&[1, 6]), path(&[2, 5])], 1);
    let batch = &batches[0];
    for row in 0..100usize {
        let column = [2, 3, 1][batch.column(0).as_primitive::<Int32Type>().value(row) as usize];
        let times = batch.column(column).as_primitive::<TimestampMillisecondType>();
        assert!(times.is_valid(row));
        assert_eq!(times.value(row), 5 + row as i64 * 1000 / 3);
    }
}

fn spec(options: &[(&str, &str)], paths: &[FieldPath]) -> proto::SourceSpec {
    proto::SourceSpec {
        connector: "nexmark".into(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        table: "t".into(),
        physical: Some(proto::Schema { fields: physical().iter().map(proto::Field::from).collect() }),
        projection: paths.to_vec(),
        ..Default::default()
    }
}

#[test]
fn a_cut_anywhere_loses_and_doubles_no_event() {
    let leaves = [path(&[0]), path(&[1, 0]), path(&[2, 0]), path(&[3, 2]), path(&[3, 5])];
    let spec = spec(&[("events.num", "50000")], &leaves);
    for readers in [1, 2, 3] {
        Restarts::new(&spec).check_every_cut(readers);
    }
}

#[test]
fn a_limited_rate_goes_on_after_a_cut() {
    let limited = [("events.num", "3000"), ("rate.limited", "true"), ("first-event.rate", "1000")];
    let spec = spec(&limited, &[path(&[0]), path(&[3, 2])]);
    let source = Restarts::new(&spec);
    let all = source.rows(2, &[]);
    let before = source.clock.0.load(Ordering::SeqCst);
    assert!((2_990..=3_010).contains(&before), "{before} ms for 3000 events");
    assert!(source.rows(2, &[(900, 1)]) == all);
    let both = source.clock.0.load(Ordering::SeqCst) - before;
    assert!((2_990..=3_010).contains(&both), "{both} ms for 3000 events and a restart");
}

#[test]
fn a_reader_of_several_splits_makes_events_in_their_order() {
    let spec = spec(&[("events.num", "60000"), ("first-event.rate", "1000")], &[path(&[3, 5]), path(&[2, 5])]);
    let (batches, _) = Restarts::new(&spec).run(3, &[(5, 1)]).unwrap();
    let times = |(_, batch): &(u32, Batch)| {
        let columns: Vec<_> = batch
            .records
            .columns()
            .iter()
            .map(|column| column.as_primitive::<TimestampMillisecondType>().clone())
            .collect();
        (0..batch.num_rows()).filter_map(|row| columns.iter().find(|c| c.is_valid(row)).map(|c| c.value(row))).collect()
    };
    let restored: Vec<i64> = batches[5..].iter().flat_map::<Vec<i64>, _>(times).collect();
    assert!(restored.len() > 10_000 && restored.is_sorted());
}

fn table(options: &[(&str, &str)]) -> TableDescription {
    let mut options: BTreeMap<String, String> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    options.insert("connector".into(), "nexmark".into());
    TableDescription {
        identifier: "default_catalog.default_database.nexmark".into(),
        physical: physical(),
        options,
        partition_keys: vec![],
        primary_key: vec![],
    }
}

#[test]
fn options_are_read_and_checked() {
    let options: BTreeMap<String, String> = [("events.num", "10"), ("bid.avg-size", "1kb"), ("first-event.rate", "7")]
        .map(|(k, v)| (k.into(), v.into()))
        .into();
    let settings = settings(Options::new(&options)).unwrap();
    assert_eq!((settings.events, settings.bid_size, settings.rate), (10, 1024, 7));
    assert!(describe(&table(&[("events.num", "5")])).unwrap().bounded);
    assert!(!describe(&table(&[])).unwrap().bounded);
    let unknown = describe(&table(&[("x", "1")])).unwrap_err().0;
    assert!(unknown.starts_with("Unsupported options found for 'nexmark'.\n\nUnsupported options:\n\nx\n\nSupported"));
    assert!(describe(&table(&[("events.num", "many")])).unwrap_err().0.contains("many"));
    assert!(describe(&table(&[("first-event.rate", "0")])).is_err());
    // Failed before: the times of events went round from the largest number to the smallest.
    for time in ["9223372036854775807", "-9223372036854775808", "253402300800000"] {
        let refused = describe(&table(&[("base-time", time)])).unwrap_err().0;
        assert!(refused.contains("'base-time'") && refused.contains(time), "{refused}");
    }
    assert!(describe(&table(&[("base-time", "-1")])).is_ok());
    assert!(check_schema(&physical()[..3]).is_err());
}

/// Not a check but a figure: `cargo test -p wiesel-connectors speed -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn speed() {
    for (name, leaves) in [("auction, price", &[0u32, 2][..]), ("all columns", &[0, 1, 2, 3, 4, 5, 6])] {
        let paths: Vec<FieldPath> = leaves.iter().map(|leaf| path(&[3, *leaf])).collect();
        let begin = std::time::Instant::now();
        let rows: usize =
            read(checked(5_000_000), [false, false, true], &paths, 1).iter().map(RecordBatch::num_rows).sum();
        let seconds = begin.elapsed().as_secs_f64();
        println!("{name}: {:.1} M bids/s", rows as f64 / seconds / 1e6);
    }
}
