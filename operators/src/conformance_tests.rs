//! All operators with keyed state, put through the model of [`crate::testing::conformance`].
//!
//! Each of these it found on the commit before it was mended:
//!
//! - Windows lost rows where an unaligned checkpoint was restored at another parallelism: a slice that was new since the
//!   restore was taken for emitted in all key groups as soon as any key group of the subtask had been further on.
//! - FINAL dropped what LOCAL had held back while its input was idle.
//! - SUM over changes forgot how many values a group had that started anew within a batch, and was null too early.
use wiesel_expressions::types::{LogicalType, RowField, TimeAttribute, TypeKind, to_arrow_schema};
use wiesel_proto as proto;
use wiesel_proto::{WindowKind, WindowPhase, WindowProperty};

use crate::group_aggregate::GroupAggregate;
use crate::operator::OperatorContext;
use crate::testing::conformance::plan::{
    BOOLEAN, DECIMAL, DOUBLE, FILTER, KEY, OTHER_KEY, SEPARATOR, TEXT, TIME, TIMESTAMP, VALUE, input, type_of,
};
use crate::testing::conformance::probe::Probe;
use crate::testing::conformance::zoned::{Zoned, zoned_input};
use crate::testing::conformance::{Subject, conforms};
use crate::testing::{call, schema};
use crate::window_aggregate::WindowAggregate;
use crate::window_aggregate::local::LocalWindowAggregate;

macro_rules! conforms {
    ($($name:ident: $subject:expr;)*) => {
        $(#[test]
        fn $name() {
            conforms(&$subject);
        })*
    };
}

const TUMBLE: (WindowKind, i64, i64) = (WindowKind::Tumble, 1000, 0);
const HOP: (WindowKind, i64, i64) = (WindowKind::Hop, 3000, 1000);
const CUMULATE: (WindowKind, i64, i64) = (WindowKind::Cumulate, 4000, 1000);

conforms! {
    group_aggregate: group(&[KEY], every_call(), false, 0);
    group_aggregate_of_changes: group(&[KEY, OTHER_KEY], every_call(), true, 0);
    group_aggregate_without_a_key: group(&[], every_call(), true, 0);
    group_aggregate_with_time_to_live: group(&[KEY], every_call(), false, TIME_TO_LIVE);
    group_aggregate_of_changes_with_time_to_live: group(&[KEY], every_call(), true, TIME_TO_LIVE);
    tumbling_windows: window(TUMBLE, &[KEY], every_call(), true);
    tumbling_windows_without_a_key: window(TUMBLE, &[], every_call(), true);
    tumbling_windows_in_two_phases: two_phases(TUMBLE);
    tumbling_windows_in_processing_time: window(TUMBLE, &[KEY], every_call(), false);
    hopping_windows: window(HOP, &[KEY], every_call(), true);
    hopping_windows_in_two_phases: two_phases(HOP);
    hopping_windows_in_processing_time: window(HOP, &[KEY], every_call(), false);
    cumulating_windows: window(CUMULATE, &[KEY, OTHER_KEY], every_call(), true);
    cumulating_windows_in_two_phases: two_phases(CUMULATE);
    cumulating_windows_in_processing_time: window(CUMULATE, &[KEY], every_call(), false);
    cumulating_windows_in_spring_in_adelaide: zoned("Australia/Adelaide", 1_728_145_800_000);
    cumulating_windows_in_autumn_in_adelaide: zoned("Australia/Adelaide", 1_743_870_600_000);
    cumulating_windows_in_spring_on_lord_howe: zoned("Australia/Lord_Howe", 1_728_142_200_000);
    cumulating_windows_in_autumn_on_lord_howe: zoned("Australia/Lord_Howe", 1_743_865_200_000);
    rows_of_keys_and_timers: rows_of_keys(0);
    rows_of_keys_with_time_to_live: rows_of_keys(TIME_TO_LIVE);
}

const TIME_TO_LIVE: i64 = 500;
const HOUR: i64 = 3_600_000;

/// Every function, over every type that makes a difference to it. The first one counts rows.
fn every_call() -> Vec<proto::AggregateCall> {
    let (count, double) = (TypeKind::Bigint.not_null(), TypeKind::Double.nullable());
    let list = |column| TypeKind::Array(Box::new(type_of(column))).nullable();
    let set = |column| TypeKind::Multiset(Box::new(type_of(column))).not_null();
    let bigint = || type_of(VALUE);
    let mut calls = vec![
        call("COUNT", &[], count.clone()),
        call("COUNT", &[VALUE], count.clone()),
        call("COUNT", &[VALUE, TEXT], count),
        call("SUM", &[VALUE], bigint()),
        call("SUM", &[DOUBLE], double.clone()),
        call("SUM", &[DECIMAL], TypeKind::Decimal(38, 2).nullable()),
        call("SUM0", &[VALUE], bigint()),
        call("AVG", &[VALUE], bigint()),
        call("AVG", &[DOUBLE], double.clone()),
        call("AVG", &[DECIMAL], TypeKind::Decimal(38, 6).nullable()),
        call("FIRST_VALUE", &[VALUE], bigint()),
        call("FIRST_VALUE", &[TEXT], type_of(TEXT)),
        call("LAST_VALUE", &[VALUE], bigint()),
        call("LAST_VALUE", &[TEXT], type_of(TEXT)),
        call("LISTAGG", &[TEXT], type_of(TEXT)),
        call("LISTAGG", &[TEXT, SEPARATOR], type_of(TEXT)),
        call("ARRAY_AGG", &[VALUE], list(VALUE)),
        call("ARRAY_AGG", &[TEXT], list(TEXT)),
        call("JSON_ARRAYAGG_ABSENT_ON_NULL", &[TEXT], TypeKind::Varchar(2000).not_null()),
        call("JSON_ARRAYAGG_NULL_ON_NULL", &[TEXT], TypeKind::Varchar(2000).not_null()),
        call("COLLECT", &[VALUE], set(VALUE)),
        call("COLLECT", &[TEXT], set(TEXT)),
    ];
    let variances = ["VAR_POP", "VAR_SAMP", "STDDEV_POP", "STDDEV_SAMP"];
    calls.extend(variances.map(|name| call(name, &[DOUBLE], double.clone())));
    let ordered = [VALUE, TEXT, DOUBLE, DECIMAL, BOOLEAN, TIMESTAMP];
    calls.extend(ordered.iter().flat_map(|column| ["MIN", "MAX"].map(|name| call(name, &[*column], type_of(*column)))));
    let distinct = calls.iter().filter(|call| !call.arguments.is_empty()).cloned();
    let distinct: Vec<_> = distinct.map(|call| proto::AggregateCall { distinct: true, ..call }).collect();
    let filtered: Vec<_> = calls.iter().chain(&distinct).step_by(3).cloned().collect();
    calls.extend(distinct);
    calls.extend(filtered.into_iter().map(|call| proto::AggregateCall { filter: Some(FILTER), ..call }));
    calls
}

/// Functions that can be split into two phases and do not depend on the order of rows.
fn splittable_calls() -> Vec<proto::AggregateCall> {
    let bigint = || type_of(VALUE);
    let mut calls = vec![
        call("COUNT", &[], TypeKind::Bigint.not_null()),
        call("COUNT", &[VALUE], TypeKind::Bigint.not_null()),
        call("SUM", &[VALUE], bigint()),
        call("SUM", &[DECIMAL], TypeKind::Decimal(38, 2).nullable()),
        call("AVG", &[VALUE], bigint()),
    ];
    let ordered = [VALUE, TEXT, DOUBLE, DECIMAL];
    calls.extend(ordered.iter().flat_map(|column| ["MIN", "MAX"].map(|name| call(name, &[*column], type_of(*column)))));
    calls
}

/// The columns of results: keys, functions, and maybe more.
fn output(keys: &[u32], calls: &[proto::AggregateCall], more: Vec<RowField>) -> Vec<RowField> {
    let keys = keys.iter().map(|key| input()[*key as usize].clone());
    let result = |call: &proto::AggregateCall| {
        RowField::new(call.name.clone(), LogicalType::try_from(call.r#type.as_ref().unwrap()).unwrap())
    };
    keys.chain(calls.iter().map(result)).chain(more).collect()
}

fn positions(keys: &[u32]) -> Vec<usize> {
    keys.iter().map(|key| *key as usize).collect()
}

fn group(keys: &[u32], calls: Vec<proto::AggregateCall>, changelog: bool, ttl: i64) -> Subject {
    let output = to_arrow_schema(&output(keys, &calls, Vec::new()));
    let spec = proto::GroupAggregateSpec {
        input: schema(&input()),
        keys: keys.to_vec(),
        aggregates: calls,
        input_changelog: changelog,
        generate_update_before: true,
        state_ttl: ttl as u64,
    };
    let counts = Some(keys.len()).filter(|_| !changelog);
    Subject {
        build: Box::new(move |context| Box::new(GroupAggregate::new(&spec, output.clone(), true, context).unwrap())),
        local: None,
        keys: positions(keys),
        changelog,
        timeless: ttl == 0 && !keys.is_empty(),
        counts,
        windows: false,
        emptied: &[],
    }
}

fn window_spec(
    (kind, size, slide): (WindowKind, i64, i64),
    keys: &[u32],
    calls: Vec<proto::AggregateCall>,
    event_time: bool,
) -> proto::WindowAggregateSpec {
    let offset = 300;
    let window = proto::WindowSpec { kind: kind as i32, size, slide, offset, time: TIME, event_time };
    proto::WindowAggregateSpec {
        input: schema(&input()),
        keys: keys.to_vec(),
        aggregates: calls,
        window: Some(window),
        phase: WindowPhase::Single as i32,
        properties: vec![WindowProperty::WindowStart as i32, WindowProperty::WindowEnd as i32],
    }
}

fn windows(spec: proto::WindowAggregateSpec) -> Subject {
    let timestamp = || TypeKind::Timestamp(3, TimeAttribute::Regular).not_null();
    let properties = vec![RowField::new("start", timestamp()), RowField::new("end", timestamp())];
    let output = to_arrow_schema(&output(&spec.keys, &spec.aggregates, properties));
    let event_time = spec.window.as_ref().unwrap().event_time;
    Subject {
        keys: positions(&spec.keys),
        counts: Some(spec.keys.len()),
        timeless: event_time && !spec.keys.is_empty(),
        build: Box::new(move |context| Box::new(WindowAggregate::new(&spec, output.clone(), context).unwrap())),
        local: None,
        changelog: false,
        windows: event_time,
        // Some of the DISTINCT of `every_call`: of slices that are gone no value is left.
        emptied: &["slices", "distinct/38", "distinct/41", "distinct/46"],
    }
}

fn window(kind: (WindowKind, i64, i64), keys: &[u32], calls: Vec<proto::AggregateCall>, event_time: bool) -> Subject {
    windows(window_spec(kind, keys, calls, event_time))
}

/// Windows that grow by ten minutes up to four hours, where a zone's clocks change: by an hour or half an hour, and in spring
/// not at a full hour of UTC.
fn zoned(zone: &'static str, change: i64) -> Subject {
    let cumulate = (WindowKind::Cumulate, 4 * HOUR, HOUR / 6);
    let mut spec = window_spec(cumulate, &[KEY], splittable_calls(), true);
    spec.input = schema(&zoned_input());
    let timestamp = || TypeKind::Timestamp(3, TimeAttribute::Regular).not_null();
    let properties = ["start", "end", "complete"].map(|name| RowField::new(name, timestamp()));
    let output = output(&spec.keys, &spec.aggregates, properties.into());
    Subject {
        build: Box::new(move |context| Box::new(Zoned::new(&spec, &output, (zone, change), context))),
        ..window(cumulate, &[KEY], splittable_calls(), true)
    }
}

/// LOCAL before the exchange, FINAL behind it.
fn two_phases(kind: (WindowKind, i64, i64)) -> Subject {
    let spec = window_spec(kind, &[KEY], splittable_calls(), true);
    let last = proto::WindowAggregateSpec { phase: WindowPhase::Final as i32, ..spec.clone() };
    let local = move |context: &OperatorContext| -> Box<dyn crate::operator::Operator> {
        Box::new(LocalWindowAggregate::new(&spec, context).unwrap())
    };
    Subject { local: Some(Box::new(local)), keys: vec![0], ..windows(last) }
}

fn rows_of_keys(ttl: i64) -> Subject {
    Subject {
        build: Box::new(move |context| Box::new(Probe::new(context, ttl))),
        local: None,
        keys: positions(&[KEY]),
        changelog: false,
        timeless: false,
        counts: None,
        windows: false,
        emptied: &["timers/event", "timers/processing"],
    }
}
