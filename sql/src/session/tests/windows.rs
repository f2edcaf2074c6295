//! Plans of groups by window.
use super::*;

const TABLES: &str = "
    CREATE TABLE clicks (ms BIGINT, who STRING, v INT, ts AS TO_TIMESTAMP_LTZ(ms, 3), p AS PROCTIME(),
        WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'datagen');
    CREATE TABLE orders (ts TIMESTAMP(3), who STRING, v INT, WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
        WITH ('connector' = 'datagen');
    CREATE TABLE counts (began TIMESTAMP(3), ended TIMESTAMP(3), n BIGINT)
        WITH ('connector' = 'filesystem', 'path' = '/d', 'format' = 'csv');
";

fn tables() -> Session {
    let mut session = session();
    run(&mut session, TABLES).unwrap();
    session
}

/// The physical plan of a query, with what each operator emits.
fn physical(session: &mut Session, query: &str) -> String {
    let plan = rows(run(session, &format!("EXPLAIN CHANGELOG_MODE {query}")).unwrap()).concat().concat();
    let (from, to) = ("== Optimized Physical Plan ==\n", "\n== Optimized Execution Plan ==");
    plan[plan.find(from).unwrap() + from.len()..plan.find(to).unwrap()].to_owned()
}

/// Rows by window whose bounds a condition reads, so that it needs rows with their windows.
fn counted(table: &str, time: &str) -> String {
    format!(
        "SELECT window_start, window_end, COUNT(*) AS n
        FROM TABLE(TUMBLE(TABLE {table}, DESCRIPTOR({time}), INTERVAL '1' MINUTE))
        WHERE window_start > TIMESTAMP '2020-01-01 00:00:00' GROUP BY window_start, window_end"
    )
}

/// Failed before: it was a group that is kept for ever, and whose updates a table of files refuses. Flink has an aggregation by
/// window here, too.
#[test]
fn windows_over_local_time_whose_bounds_are_read_are_complete_at_their_end() {
    let mut session = tables();
    let text = physical(&mut session, &counted("clicks", "ts"));
    let last = "GlobalWindowAggregate(groupBy=[window_start, window_end], window=[TUMBLE(slice_end=[$slice_end], size=[1 min])], \
                select=[window_start, window_end, COUNT(count1$0) AS n], changelogMode=[I])\n";
    assert!(text.starts_with(last), "{text}");
    let first = "LocalWindowAggregate(groupBy=[window_start, window_end], window=[TUMBLE(time_col=[$window_time], size=[1 min])], ";
    assert!(text.contains(first), "{text}");
    assert!(text.contains("WindowTableFunction(window=[TUMBLE(time_col=[ts], size=[1 min])]"), "{text}");
    run(&mut session, &format!("INSERT INTO counts {}", counted("clicks", "ts"))).unwrap();
}

/// Flink's plan has the same first line: nothing says when windows of processing time that come with the rows are complete.
#[test]
fn windows_of_processing_time_whose_bounds_are_read_are_plain_groups() {
    let mut session = tables();
    let text = physical(&mut session, &counted("clicks", "p"));
    let group = "GroupAggregate(groupBy=[window_start, window_end], select=[window_start, window_end, COUNT(*) AS n], \
                 changelogMode=[I,UA])\n";
    assert!(text.starts_with(group), "{text}");
}

/// The aggregation gives the end of the window itself: there is no zone in which it could be another.
#[test]
fn windows_whose_bounds_are_read_end_where_they_do() {
    let text = physical(&mut tables(), &counted("orders", "ts"));
    let last = "GlobalWindowAggregate(groupBy=[window_start], window=[TUMBLE(slice_end=[$slice_end], size=[1 min])], \
                select=[window_start, COUNT(count1$0) AS n, end('w$) AS window_end], changelogMode=[I])\n";
    assert!(text.contains(last), "{text}");
}

/// Failed before over local time: the group of a group by window was kept for ever.
#[test]
fn groups_of_groups_by_window_are_by_window() {
    let query = |time: &str| {
        format!(
            "SELECT window_start, window_end, COUNT(*) AS n FROM (SELECT window_start, window_end, who
            FROM TABLE(TUMBLE(TABLE clicks, DESCRIPTOR({time}), INTERVAL '1' MINUTE)) GROUP BY window_start, window_end, who)
            GROUP BY window_start, window_end"
        )
    };
    let text = physical(&mut tables(), &query("ts"));
    assert!(text.starts_with("GlobalWindowAggregate(groupBy=[window_start, window_end], "), "{text}");
    assert!(
        text.contains("LocalWindowAggregate(groupBy=[who], window=[TUMBLE(time_col=[ts], size=[1 min])]"),
        "{text}"
    );
    let text = physical(&mut tables(), &query("p"));
    assert!(text.starts_with("GroupAggregate(groupBy=[window_start, window_end], "), "{text}");
    assert!(text.contains("WindowAggregate(groupBy=[who], window=[TUMBLE(time_col=[p], size=[1 min])]"), "{text}");
}

/// The rows of the windows are read below the table function however projections and conditions stand over it, if none of them
/// reads the windows.
#[test]
fn rows_are_cut_by_the_aggregation_where_nothing_else_reads_their_windows() {
    let mut session = tables();
    let over = |rows: &str| format!("SELECT ws, we, SUM(x), SUM(x * x) FROM ({rows}) GROUP BY ws, we");
    let windows = "TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MINUTE))";
    let all = format!("SELECT window_start AS ws, window_end AS we, v + CHAR_LENGTH(who) AS x FROM {windows}");
    for rows in
        [all.clone(), format!("{all} WHERE v > 3"), format!("SELECT ws, we, x + 1 AS x FROM ({all}) WHERE x > 7")]
    {
        let text = physical(&mut session, &over(&rows));
        assert!(text.contains("LocalWindowAggregate(window=[TUMBLE(time_col=[ts], size=[1 min])]"), "{rows}: {text}");
        assert!(!text.contains("WindowTableFunction"), "{rows}: {text}");
    }
    let read =
        format!("SELECT window_start AS ws, window_end AS we, EXTRACT(MINUTE FROM window_end) AS x FROM {windows}");
    let text = physical(&mut session, &over(&read));
    assert!(text.contains("LocalWindowAggregate(groupBy=[ws], window=[TUMBLE(time_col=[$window_time]"), "{text}");
    assert!(text.contains("WindowTableFunction"), "{text}");
}
