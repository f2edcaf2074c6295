use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int32Type;
use wiesel_common::time::Clock;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_operators::element::Batch;
use wiesel_operators::operator::OperatorContext;
use wiesel_operators::source::SourceStatus;
use wiesel_proto as proto;

use super::*;
use crate::print::row_text;
use crate::testing::{Collected, ManualClock, Restarts, context};

fn spec(columns: &[(&str, LogicalType)], options: &[(&str, &str)]) -> proto::SourceSpec {
    let fields: Vec<RowField> = columns.iter().map(|(name, kind)| RowField::new(*name, kind.clone())).collect();
    proto::SourceSpec {
        connector: "datagen".into(),
        options: options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
        table: "t".into(),
        physical: Some(proto::Schema { fields: fields.iter().map(proto::Field::from).collect() }),
        projection: (0..fields.len() as u32).map(|index| proto::FieldPath { indexes: vec![index] }).collect(),
        ..Default::default()
    }
}

fn check(columns: &[(&str, LogicalType)], options: &[(&str, &str)]) -> Result<SourceDescription> {
    let mut options: BTreeMap<String, String> =
        options.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    options.insert("connector".into(), "datagen".into());
    describe(&TableDescription {
        identifier: "default_catalog.default_database.t".into(),
        physical: columns.iter().map(|(name, kind)| RowField::new(*name, kind.clone())).collect(),
        options,
        partition_keys: vec![],
        primary_key: vec![],
    })
}

/// All rows of a bounded table, read by so many readers, as text.
fn rows(spec: &proto::SourceSpec, readers: u32) -> Vec<String> {
    let mut found = Vec::new();
    for subtask in 0..readers {
        let clock = Arc::new(ManualClock::default());
        let mut reader = super::reader(spec).unwrap();
        reader.open(&OperatorContext { clock: clock.clone(), ..context(subtask, readers) }).unwrap();
        assert!(reader.take_split_request());
        reader.add_splits(vec![super::reader::encode(subtask.into(), readers.into(), 0)]).unwrap();
        reader.no_more_splits();
        let mut out = Collected::default();
        loop {
            match reader.poll(&mut out).unwrap() {
                SourceStatus::EndOfInput => break,
                SourceStatus::MoreAvailable => {}
                SourceStatus::NothingAvailable { until } => clock.0.store(until.unwrap(), Ordering::SeqCst),
            }
        }
        for batch in &out.batches {
            found.extend((0..batch.num_rows()).map(|row| row_text(&batch.records, row)));
        }
    }
    found
}

fn int() -> LogicalType {
    TypeKind::Int.nullable()
}

#[test]
fn a_sequence_gives_every_value_once_however_many_readers() {
    let options = [("fields.a.kind", "sequence"), ("fields.a.start", "-3"), ("fields.a.end", "20000")];
    let spec = spec(&[("a", int())], &options);
    for readers in [1, 2, 3, 8] {
        let mut found = rows(&spec, readers);
        found.sort();
        let mut wanted: Vec<String> = (-3..=20_000).map(|value| format!("+I[{value}]")).collect();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[test]
fn a_cut_anywhere_loses_and_doubles_no_row() {
    let columns = [("a", int())];
    let options = [
        ("fields.a.kind", "sequence"),
        ("fields.a.start", "1"),
        ("fields.a.end", "30001"),
        ("rows-per-second", "10000"),
    ];
    let spec = spec(&columns, &options);
    for readers in [1, 2, 3] {
        Restarts::new(&spec).check_every_cut(readers);
    }
}

#[test]
fn the_rate_goes_on_after_a_cut() {
    let spec = spec(&[("a", int())], &[("rows-per-second", "1000"), ("number-of-rows", "4000")]);
    let source = Restarts::new(&spec);
    assert_eq!(source.rows(2, &[(30, 1), (5, 3)]).len(), 4000);
    let millis = source.clock.0.load(Ordering::SeqCst);
    assert!((3_600..=4_700).contains(&millis), "{millis} ms");
}

#[test]
fn the_shortest_of_sequences_and_number_of_rows_ends_the_table() {
    let sequence = [("fields.a.kind", "sequence"), ("fields.a.start", "5"), ("fields.a.end", "100")];
    let three: Vec<_> = sequence.iter().copied().chain([("number-of-rows", "3")]).collect();
    assert_eq!(rows(&spec(&[("a", int())], &three), 1), ["+I[5]", "+I[6]", "+I[7]"]);
    let ends = [("fields.a.kind", "sequence"), ("fields.a.start", "5"), ("fields.a.end", "6"), ("number-of-rows", "9")];
    assert_eq!(rows(&spec(&[("a", int())], &ends), 1), ["+I[5]", "+I[6]"]);
    assert!(rows(&spec(&[("a", int())], &[("number-of-rows", "0")]), 2).is_empty());
    assert_eq!(rows(&spec(&[("a", int())], &[("number-of-rows", "7")]), 3).len(), 7);
}

/// As Flink was seen to do. Before, a rate that is no number gave no null at all.
#[test]
fn odd_rates_of_null_and_numbers_of_rows_mean_what_they_mean_to_flink() {
    for (rate, null) in [("NaN", true), ("2", true), ("Infinity", true), ("1", true), ("-1", false), ("0", false)] {
        let options =
            [("number-of-rows", "20"), ("fields.a.null-rate", rate), ("fields.a.min", "1"), ("fields.a.max", "1")];
        let row = if null { "+I[null]" } else { "+I[1]" };
        assert_eq!(rows(&spec(&[("a", int())], &options), 1), [row; 20], "{rate}");
    }
    assert!(rows(&spec(&[("a", int())], &[("number-of-rows", "-1")]), 2).is_empty());
}

/// Failed before: the error was Arrow's, which does not say where the null comes from.
#[test]
fn null_in_a_column_that_is_not_null_is_an_error_with_its_name() {
    let options = [("number-of-rows", "2"), ("fields.a.null-rate", "1")];
    let mut reader = super::reader(&spec(&[("a", TypeKind::Int.not_null())], &options)).unwrap();
    let clock = Arc::new(ManualClock::default());
    reader.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
    reader.add_splits(vec![super::reader::encode(0, 1, 0)]).unwrap();
    let mut out = Collected::default();
    let error = loop {
        match reader.poll(&mut out) {
            Ok(SourceStatus::NothingAvailable { until }) => clock.0.store(until.unwrap(), Ordering::SeqCst),
            Ok(status) => panic!("{status:?}"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(error, "Column 'a' is NOT NULL, however, datagen (its 'null-rate') gave a null value for it.");
}

#[test]
fn bounds_that_the_type_cannot_hold_wrap_around() {
    let bounds = [("fields.a.kind", "sequence"), ("fields.a.start", "1"), ("fields.a.end", "2000")];
    assert_eq!(rows(&spec(&[("a", TypeKind::Tinyint.nullable())], &bounds), 1).len(), 48);
    let wraps: Vec<_> = [("fields.a.kind", "sequence"), ("fields.a.start", "126"), ("fields.a.end", "130")].into();
    let found = rows(&spec(&[("a", TypeKind::Tinyint.nullable())], &wraps), 1);
    assert_eq!((found.len(), found[0].as_str(), found[2].as_str()), (251, "+I[126]", "+I[-128]"));
}

#[test]
fn a_sequence_fills_every_type_that_flink_fills() {
    let kinds = [
        (TypeKind::Tinyint, "1"),
        (TypeKind::Bigint, "1"),
        (TypeKind::Double, "1.0"),
        (TypeKind::Decimal(5, 2), "1.00"),
        (TypeKind::string(), "1"),
        (TypeKind::bytes(), "[0, 0, 0, 0, 0, 0, 0, 1]"),
    ];
    for (kind, text) in kinds {
        let options = [("fields.a.kind", "sequence"), ("fields.a.start", "1"), ("fields.a.end", "1")];
        assert_eq!(rows(&spec(&[("a", kind.nullable())], &options), 1), [format!("+I[{text}]")]);
    }
}

#[test]
fn random_values_stay_in_their_bounds() {
    let row = TypeKind::Row(vec![RowField::new("x", int()), RowField::new("y", TypeKind::string().nullable())]);
    let columns = [
        ("i", int()),
        ("s", TypeKind::Varchar(7).nullable()),
        ("r", row.nullable()),
        ("l", TypeKind::Array(Box::new(int())).nullable()),
        ("m", TypeKind::Map(Box::new(TypeKind::string().nullable()), Box::new(int())).nullable()),
        ("u", TypeKind::Multiset(Box::new(TypeKind::string().nullable())).nullable()),
        ("d", TypeKind::Decimal(4, 2).nullable()),
        ("t", TypeKind::Timestamp(3, Default::default()).nullable()),
        ("n", int()),
    ];
    let options = [
        ("number-of-rows", "5000"),
        ("rows-per-second", "1000000"),
        ("fields.i.min", "3"),
        ("fields.i.max", "5"),
        ("fields.s.var-len", "true"),
        ("fields.r.x.min", "1"),
        ("fields.r.x.max", "2"),
        ("fields.l.length", "4"),
        ("fields.l.element.min", "0"),
        ("fields.m.key.length", "2"),
        ("fields.u.length", "1"),
        ("fields.d.min", "1.5"),
        ("fields.d.max", "2"),
        ("fields.t.max-past", "1 min"),
        ("fields.n.null-rate", "0.5"),
    ];
    let spec = spec(&columns, &options);
    let clock = Arc::new(ManualClock(1_000_000_000_000.into()));
    let mut reader = super::reader(&spec).unwrap();
    reader.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
    reader.add_splits(vec![super::reader::encode(0, 1, 0)]).unwrap();
    reader.no_more_splits();
    let mut out = Collected::default();
    let mut nulls = 0;
    loop {
        match reader.poll(&mut out).unwrap() {
            SourceStatus::EndOfInput => break,
            SourceStatus::MoreAvailable => {}
            SourceStatus::NothingAvailable { until } => clock.0.store(until.unwrap(), Ordering::SeqCst),
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    for batch in &out.batches {
        let columns = batch.records.columns();
        seen.extend(columns[0].as_primitive::<Int32Type>().iter().flatten());
        assert!(columns[1].as_string_view().iter().flatten().all(|text| (1..=7).contains(&text.len())));
        let x = columns[2].as_struct().column(0).clone();
        assert!(x.as_primitive::<Int32Type>().iter().flatten().all(|x| (1..=2).contains(&x)));
        assert_eq!(columns[3].as_list::<i32>().value_length(0), 4);
        assert_eq!(columns[4].as_map().value_length(0), 3);
        assert_eq!(columns[5].as_map().value_length(0), 1);
        let decimals = columns[6].as_primitive::<arrow::datatypes::Decimal128Type>();
        assert!(decimals.iter().flatten().all(|value| (150..=200).contains(&value)));
        let times = columns[7].as_primitive::<arrow::datatypes::TimestampMillisecondType>();
        let now = clock.0.load(Ordering::SeqCst);
        assert!(times.iter().flatten().all(|time| time <= now && time > now - 120_000));
        nulls += columns[8].null_count();
    }
    assert_eq!(seen, [3, 4, 5].into());
    assert!((2000..3000).contains(&nulls), "{nulls}");
}

/// Failed before: bounds further apart than the largest DOUBLE gave infinity in all rows.
#[test]
fn numbers_between_bounds_that_are_far_apart_are_finite() {
    let far = [("fields.a.min", "-1.7976931348623157E308"), ("fields.a.max", "1.7976931348623157E308")];
    let spec = spec(&[("a", TypeKind::Double.nullable())], &[far.as_slice(), &[("number-of-rows", "1000")]].concat());
    let numbers: Vec<f64> =
        rows(&spec, 1).iter().map(|row| row.trim_start_matches("+I[").trim_end_matches(']').parse().unwrap()).collect();
    assert_eq!(numbers.len(), 1000);
    assert!(numbers.iter().all(|number| number.is_finite()), "{numbers:?}");
    assert!(numbers.iter().any(|number| *number < 0.0) && numbers.iter().any(|number| *number > 0.0), "{numbers:?}");
}

#[test]
fn rows_come_no_faster_than_the_rate() {
    let spec = spec(&[("a", int())], &[("rows-per-second", "100"), ("number-of-rows", "1000")]);
    let clock = Arc::new(ManualClock::default());
    let mut reader = super::reader(&spec).unwrap();
    reader.open(&OperatorContext { clock: clock.clone(), ..context(1, 2) }).unwrap();
    reader.add_splits(vec![super::reader::encode(1, 2, 0)]).unwrap();
    let mut out = Collected::default();
    let made = |out: &Collected| out.batches.iter().map(Batch::num_rows).sum::<usize>();
    for second in 1..=10 {
        while let SourceStatus::MoreAvailable = reader.poll(&mut out).unwrap() {}
        clock.0.store(second * 1000, Ordering::SeqCst);
        // Half of the rate, as there are two readers.
        while let SourceStatus::MoreAvailable = reader.poll(&mut out).unwrap() {}
        assert_eq!(made(&out), (second as usize * 50 + 1).min(500));
    }
}

/// A wall clock that is set forward a minute between two readings, and a clock that only runs.
struct SetForward(ManualClock, AtomicI64);

impl Clock for SetForward {
    fn now_millis(&self) -> i64 {
        self.1.fetch_add(60_000, Ordering::SeqCst)
    }

    fn monotonic_millis(&self) -> i64 {
        self.0.monotonic_millis()
    }
}

/// Failed before: all rows that were due by the wall clock were made at once, and none for as long as it had been set back.
#[test]
fn the_rate_does_not_follow_the_wall_clock() {
    let spec = spec(&[("a", int())], &[("rows-per-second", "100"), ("number-of-rows", "1000")]);
    let clock = Arc::new(SetForward(ManualClock::default(), AtomicI64::default()));
    let mut reader = super::reader(&spec).unwrap();
    reader.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
    reader.add_splits(vec![super::reader::encode(0, 1, 0)]).unwrap();
    let mut out = Collected::default();
    for second in 0..5 {
        clock.0.set(second * 1000);
        let until = loop {
            if let SourceStatus::NothingAvailable { until } = reader.poll(&mut out).unwrap() {
                break until.unwrap();
            }
        };
        assert!((second * 1000 + 1..=second * 1000 + 100).contains(&until), "{until} after {second} s");
        assert_eq!(out.batches.iter().map(Batch::num_rows).sum::<usize>(), second as usize * 100 + 1);
    }
}

/// Before, a field of 2^31 - 1 bytes was made, and so were 4096 rows of a few megabytes each at once.
#[test]
fn rows_are_bounded_in_bytes() {
    let bytes = [("b", TypeKind::Varbinary(i32::MAX as u32).nullable())];
    let refused = check(&bytes, &[("fields.b.length", "2147483647")]).unwrap_err().0;
    assert!(refused.contains("'b'") && refused.contains("2147483647") && refused.contains("67108864"), "{refused}");
    let arrays = [("a", TypeKind::Array(Box::new(bytes[0].1.clone())).nullable())];
    let refused = check(&arrays, &[("fields.a.length", "1000000"), ("fields.a.element.length", "1000")]).unwrap_err().0;
    assert!(refused.contains("A row of the table") && refused.contains("268435456"), "{refused}");

    let spec = spec(&bytes, &[("fields.b.length", "4000000"), ("number-of-rows", "9")]);
    let clock = Arc::new(ManualClock::default());
    let mut reader = super::reader(&spec).unwrap();
    reader.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
    reader.add_splits(vec![super::reader::encode(0, 1, 0)]).unwrap();
    clock.0.store(60_000, Ordering::SeqCst);
    let mut out = Collected::default();
    while out.batches.iter().map(Batch::num_rows).sum::<usize>() < 9 {
        if let SourceStatus::NothingAvailable { until } = reader.poll(&mut out).unwrap() {
            clock.0.store(until.unwrap(), Ordering::SeqCst);
        }
    }
    assert!(out.batches.iter().all(|batch| batch.num_rows() <= 4));
}

#[test]
fn options_are_checked_in_flinks_words() {
    let one = [("a", int())];
    let error = |columns: &[(&str, LogicalType)], options: &[(&str, &str)]| check(columns, options).unwrap_err().0;
    assert_eq!(
        error(&one, &[("x", "1")]),
        "Unsupported options found for 'datagen'.\n\nUnsupported options:\n\nx\n\nSupported options:\n\nconnector\n\
         fields.a.kind\nfields.a.max\nfields.a.min\nfields.a.null-rate\nnumber-of-rows\nrows-per-second\nscan.parallelism"
    );
    let near = error(&one, &[("rows-per-secnd", "1")]);
    assert!(near.contains("\n\nrows-per-secnd; did you mean 'rows-per-second'?\n\n"), "{near}");
    assert_eq!(
        error(&one, &[("fields.a.kind", "sequence")]),
        "Could not find required property 'fields.a.start' for sequence generator."
    );
    assert_eq!(error(&one, &[("fields.a.kind", "foo")]), "Unsupported generator kind: foo");
    assert_eq!(
        error(&one, &[("fields.a.min", "10"), ("fields.a.max", "4")]),
        "lower bound (10) must be strictly less than upper bound (4)"
    );
    assert!(error(&one, &[("number-of-rows", "abc")]).ends_with("For input string: \"abc\""));
    assert_eq!(
        error(&[("b", TypeKind::Varchar(5).nullable())], &[("fields.b.length", "10")]),
        "Custom length '10' for variable-length type (VARCHAR/STRING/VARBINARY/BYTES) field 'b' should be shorter than '5' \
         defined in the schema."
    );
    assert_eq!(
        error(&[("b", TypeKind::Char(5).nullable())], &[("fields.b.length", "3")]),
        "Custom length for fixed-length type (CHAR/BINARY) field 'b' is not supported."
    );
    assert_eq!(
        error(&one, &[("scan.parallelism", "0")]),
        "Invalid configured parallelism 0 for table 'default_catalog.default_database.t'."
    );
    assert!(!check(&one, &[]).unwrap().bounded);
    assert!(check(&one, &[("number-of-rows", "1")]).unwrap().bounded);
    assert_eq!(check(&one, &[("scan.parallelism", "3")]).unwrap().parallelism, Some(3));
}

/// Failed before: such a time was NULL.
#[test]
fn a_time_that_its_type_cannot_hold_fails_the_task() {
    let instant = |precision| TypeKind::Timestamp(precision, Default::default()).nullable();
    let row = TypeKind::Row(vec![RowField::new("x", instant(9))]).nullable();
    let list = TypeKind::Array(Box::new(TypeKind::TimestampLtz(7, Default::default()).nullable())).nullable();
    let nanos = "TIMESTAMP(7) to TIMESTAMP(9) reach from 1677-09-21";
    let cases = [
        (instant(9), "fields.a.max-past", "100000000 d", Some("TIMESTAMP(9)")),
        (row, "fields.a.x.max-past", "100000000 d", Some("TIMESTAMP(9)")),
        (list, "fields.a.element.max-past", "100000000 d", Some("TIMESTAMP_LTZ(7)")),
        (instant(9), "fields.a.max-past", "100000 d", None),
        (instant(6), "fields.a.max-past", "100000000 d", None),
        (instant(3), "fields.a.max-past", "100000000 d", None),
    ];
    for (data_type, option, past, refused) in cases {
        let spec = spec(&[("a", data_type)], &[(option, past), ("number-of-rows", "100")]);
        let clock = Arc::new(ManualClock::default());
        clock.0.store(1_000, Ordering::SeqCst);
        let mut reader = super::reader(&spec).unwrap();
        reader.open(&OperatorContext { clock: clock.clone(), ..context(0, 1) }).unwrap();
        reader.add_splits(vec![super::reader::encode(0, 1, 0)]).unwrap();
        let mut out = Collected::default();
        let mut poll = || {
            clock.0.fetch_add(1_000, Ordering::SeqCst);
            reader.poll(&mut out)
        };
        let said = (0..2).find_map(|_| poll().err()).map(|error| error.to_string());
        match (refused, said) {
            (Some(kind), Some(said)) => {
                assert!(said.contains(kind) && said.contains(nanos) && said.contains("max-past"), "{said}");
            }
            (refused, said) => assert_eq!(said.as_deref(), refused, "{option} {past}"),
        }
    }
}
