//! What is known of the rows of relations.
use super::*;
use crate::planner::metadata::{
    Key, Monotonicity, StateBound, appended, bounds, is_bounded, monotonicity, state_bound, unique_keys, upsert_keys,
};

/// Numbers whose primary key is the first column.
fn numbers(options: &[(&str, &str)]) -> Rel {
    let fields = vec![RowField::new("id", TypeKind::Int.not_null()), RowField::new("v", int())];
    let table = ResolvedTable { primary_key: vec![0], ..ResolvedTable::clone(&table("n", fields.clone(), options)) };
    Rel { node: RelNode::Scan(LogicalTableScan { table: Arc::new(table) }), fields }
}

const FILES: &[(&str, &str)] = &[("connector", "filesystem"), ("path", "/data/n.csv"), ("format", "csv")];

fn keys(columns: &[&[usize]]) -> Vec<Key> {
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

#[test]
fn bounds_of_windows_pass_through_groups_by_window() {
    let windows = pick(tumble(flights(), 0, 1000), &["carrier", "window_end", "window_time"]);
    assert_eq!(windowed(&windows), [false, true, true]);
    assert_eq!(
        (0..3).map(|column| appended(&windows, column)).collect::<Vec<_>>(),
        [None, Some(proto::WindowProperty::WindowEnd), Some(proto::WindowProperty::WindowTime)]
    );
    let groups = by_day();
    assert_eq!(windowed(&groups), [true, true, false, false]);
    assert_eq!(appended(&groups, 0), None, "they are grouped");
    let filtered = optimize::filter(groups.clone(), Some(compare(">", column(&groups, "n"), 3)));
    assert_eq!(windowed(&pick(filtered, &["n", "window_end"])), [false, true]);
    let plain = group(pick(tumble(flights(), 0, 1000), &["window_start", "carrier"]), 2, &[("n", count())]);
    assert_eq!(windowed(&plain), [false; 3], "their rows change later");
}

/// Windows over local time have bounds that the watermark does not speak of.
#[test]
fn windows_of_local_time_are_not_bounded_by_the_watermark() {
    let mut local = flights();
    local.fields[0].data_type = TypeKind::TimestampLtz(3, TimeAttribute::Rowtime).nullable();
    let windows = tumble(local, 0, 1000);
    assert_eq!(windowed(&windows), [false; 8]);
    assert!(appended(&windows, 5).is_some());
}

#[test]
fn keys_follow_their_columns() {
    let rows = numbers(FILES);
    assert_eq!(unique_keys(&rows), keys(&[&[0]]));
    assert_eq!(unique_keys(&pick(rows.clone(), &["v", "id"])), keys(&[&[1]]));
    assert_eq!(unique_keys(&pick(rows.clone(), &["v"])), keys(&[]));
    let doubled = Expression::call("+", vec![column(&rows, "id"), column(&rows, "id")], TypeKind::Int.not_null());
    assert_eq!(unique_keys(&project(rows.clone(), &[("twice", doubled)])), keys(&[]));
    let filtered = optimize::filter(rows.clone(), Some(compare(">", column(&rows, "v"), 3)));
    assert_eq!(upsert_keys(&filtered), keys(&[&[0]]));
    let fields = rows.fields.clone();
    let union = Rel { node: RelNode::Union(LogicalUnion { inputs: vec![rows.clone(), rows] }), fields };
    assert_eq!(unique_keys(&union), keys(&[]));
}

#[test]
fn groups_are_known_by_what_they_are_grouped_by() {
    let groups = group(pick(numbers(FILES), &["id", "v"]), 2, &[("n", count())]);
    assert_eq!(unique_keys(&groups), keys(&[&[0, 1], &[0]]));
    assert_eq!(upsert_keys(&groups), keys(&[&[0, 1]]), "changes of one id may come over several edges");
    let all = group(pick(numbers(FILES), &[]), 0, &[("n", count())]);
    assert_eq!(unique_keys(&all), keys(&[&[]]), "one row");
}

#[test]
fn a_row_in_several_windows_is_known_by_where_they_end() {
    let mut rows = numbers(FILES);
    rows.fields[1].data_type = rowtime();
    let tumbling = tumble(rows, 1, 1000);
    assert_eq!(unique_keys(&tumbling), keys(&[&[0]]));
    let mut hopping = tumbling;
    let RelNode::WindowTableFunction(function) = &mut hopping.node else { panic!("{hopping:?}") };
    function.window = Window { kind: proto::WindowKind::Hop, slide: 500, ..function.window.clone() };
    assert_eq!(unique_keys(&hopping), keys(&[&[0, 3]]));
}

#[test]
fn results_over_inserts_go_one_way() {
    use Monotonicity::{Constant, Decreasing, Increasing, None};
    let call = |function: &str| Aggregate { function: function.into(), arguments: vec![1], ..count() };
    let calls = [("n", count()), ("most", call("MAX")), ("least", call("MIN")), ("sum", call("SUM"))];
    let groups = group(pick(numbers(FILES), &["v", "id"]), 1, &calls);
    assert_eq!(monotonicity(&groups), [Constant, Increasing, Increasing, Decreasing, None]);
    let on_key = optimize::filter(groups.clone(), Some(compare(">", column(&groups, "v"), 3)));
    assert_eq!(monotonicity(&on_key), monotonicity(&groups));
    let on_count = optimize::filter(groups.clone(), Some(compare(">", column(&groups, "n"), 3)));
    assert_eq!(monotonicity(&on_count), [None; 5], "a row may be deleted");
    let again = group(pick(groups, &["n"]), 1, &[("n", count())]);
    assert_eq!(monotonicity(&again), [None; 2]);
}

#[test]
fn state_is_bounded_by_windows_or_by_nothing() {
    assert_eq!(state_bound(&flights()), StateBound::Stateless);
    assert_eq!(state_bound(&by_day()), StateBound::Windows);
    assert_eq!(state_bound(&group(pick(flights(), &[]), 0, &[("n", count())])), StateBound::Constant);
    assert_eq!(state_bound(&group(pick(flights(), &["carrier"]), 1, &[("n", count())])), StateBound::Keys);
    let distinct = Aggregate { distinct: true, arguments: vec![0], ..count() };
    assert_eq!(state_bound(&group(pick(flights(), &["carrier"]), 0, &[("n", distinct)])), StateBound::Keys);
    // Results of windows that are grouped without them.
    assert_eq!(state_bound(&group(pick(by_day(), &["carrier"]), 1, &[("n", count())])), StateBound::Keys);
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
