//! What is known of the rows of relations.
use std::collections::BTreeSet;

use super::*;
use crate::planner::metadata::{WindowTime, bounds, is_bounded, upsert_keys};

/// Numbers whose primary key is the first column.
fn numbers(options: &[(&str, &str)]) -> Rel {
    let fields = vec![RowField::new("id", TypeKind::Int.not_null()), RowField::new("v", int())];
    let table = ResolvedTable { primary_key: vec![0], ..ResolvedTable::clone(&table("n", fields.clone(), options)) };
    Rel { node: RelNode::Scan(LogicalTableScan { table: Arc::new(table) }), fields }
}

const FILES: &[(&str, &str)] = &[("connector", "filesystem"), ("path", "/data/n.csv"), ("format", "csv")];

fn keys(columns: &[&[usize]]) -> Vec<BTreeSet<usize>> {
    columns.iter().map(|key| key.iter().copied().collect()).collect()
}

/// Flights by day and carrier.
fn by_day() -> Rel {
    let windows = tumble(flights(), 0, 86_400_000);
    group(pick(windows, &["window_start", "window_end", "carrier"]), 3, &[("n", count())])
}

fn windowed(rel: &Rel) -> Vec<bool> {
    bounds(rel).iter().map(Option::is_some).collect()
}

const NONE: Option<proto::WindowProperty> = None;

/// What of a window the columns are that the nearest table function has appended.
fn appended(rel: &Rel) -> Vec<Option<proto::WindowProperty>> {
    bounds(rel).into_iter().map(|bound| bound.filter(|bound| bound.appended).map(|bound| bound.property)).collect()
}

#[test]
fn bounds_of_windows_pass_through_groups_by_window() {
    let windows = pick(tumble(flights(), 0, 1000), &["carrier", "window_end", "window_time"]);
    assert_eq!(windowed(&windows), [false, true, true]);
    let of_function = [None, Some(proto::WindowProperty::WindowEnd), Some(proto::WindowProperty::WindowTime)];
    assert_eq!(appended(&windows), of_function);
    let groups = by_day();
    assert_eq!(windowed(&groups), [true, true, false, false]);
    assert_eq!(appended(&groups), [NONE; 4], "they are grouped");
    let filtered = optimize::filter(groups.clone(), Some(compare(">", column(&groups, "n"), 3)));
    assert_eq!(windowed(&pick(filtered, &["n", "window_end"])), [false, true]);
    let plain = group(pick(tumble(flights(), 0, 1000), &["window_start", "carrier"]), 2, &[("n", count())]);
    assert_eq!(windowed(&plain), [false; 3], "their rows change later");
}

#[test]
fn a_table_function_takes_the_bounds_of_another_for_columns() {
    let once = tumble(flights(), 0, 1000);
    let time = once.fields.len() - 1;
    let twice = pick(tumble(once, time, 5000), &["window_start", "window_end"]);
    assert_eq!(windowed(&twice), [true; 2]);
    assert_eq!(appended(&twice), [NONE; 2], "the first columns of these names are of the inner windows");
}

/// Flights whose departure is of another type, by window and carrier.
fn by_window_of(time: TypeKind) -> Rel {
    let mut flights = flights();
    flights.fields[0].data_type = time.nullable();
    let windows = tumble(flights, 0, 1000);
    group(pick(windows, &["window_start", "window_end", "carrier"]), 3, &[("n", count())])
}

/// Failed before: windows over local time were taken for such that nothing says the end of.
#[test]
fn groups_pass_on_windows_of_which_watermarks_say_the_end() {
    let local = by_window_of(TypeKind::TimestampLtz(3, TimeAttribute::Rowtime));
    let times: Vec<_> = bounds(&local).into_iter().map(|bound| bound.map(|bound| bound.time)).collect();
    assert_eq!(times, [Some(WindowTime::LocalRowtime), Some(WindowTime::LocalRowtime), None, None]);
    let processing = by_window_of(TypeKind::TimestampLtz(3, TimeAttribute::Proctime));
    assert_eq!(windowed(&processing), [false; 4]);
}

#[test]
fn keys_follow_their_columns() {
    let rows = numbers(FILES);
    assert_eq!(upsert_keys(&rows), keys(&[&[0]]));
    assert_eq!(upsert_keys(&pick(rows.clone(), &["v", "id"])), keys(&[&[1]]));
    assert_eq!(upsert_keys(&pick(rows.clone(), &["v"])), keys(&[]));
    let doubled = Expression::call("+", vec![column(&rows, "id"), column(&rows, "id")], TypeKind::Int.not_null());
    assert_eq!(upsert_keys(&project(rows.clone(), &[("twice", doubled)])), keys(&[]));
    let filtered = optimize::filter(rows.clone(), Some(compare(">", column(&rows, "v"), 3)));
    assert_eq!(upsert_keys(&filtered), keys(&[&[0]]));
    let fields = rows.fields.clone();
    let union = Rel { node: RelNode::Union(LogicalUnion { inputs: vec![rows.clone(), rows] }), fields };
    assert_eq!(upsert_keys(&union), keys(&[]));
}

#[test]
fn groups_are_known_by_what_they_are_grouped_by() {
    let groups = group(pick(numbers(FILES), &["id", "v"]), 2, &[("n", count())]);
    assert_eq!(upsert_keys(&groups), keys(&[&[0, 1]]), "changes of one id may come over several edges");
    let all = group(pick(numbers(FILES), &[]), 0, &[("n", count())]);
    assert_eq!(upsert_keys(&all), keys(&[&[]]), "one row");
}

#[test]
fn a_row_in_several_windows_is_known_by_where_they_end() {
    let mut rows = numbers(FILES);
    rows.fields[1].data_type = rowtime();
    let tumbling = tumble(rows, 1, 1000);
    assert_eq!(upsert_keys(&tumbling), keys(&[&[0]]));
    let mut hopping = tumbling;
    let RelNode::WindowTableFunction(function) = &mut hopping.node else { panic!("{hopping:?}") };
    function.window = Window { kind: proto::WindowKind::Hop, slide: 500, ..function.window.clone() };
    assert_eq!(upsert_keys(&hopping), keys(&[&[0, 3]]));
}

#[test]
fn rows_end_where_all_tables_do() {
    let endless = numbers(&[("connector", "datagen")]);
    let fields = endless.fields.clone();
    assert_eq!(is_bounded(&flights()), Ok(true));
    assert_eq!(is_bounded(&endless), Ok(false));
    let both = Rel { node: RelNode::Union(LogicalUnion { inputs: vec![numbers(FILES), endless] }), fields };
    assert_eq!(is_bounded(&both), Ok(false));
    let graph = graph_of(vec![(both, End::Collect)], &context());
    assert!(!graph.bounded);
}
