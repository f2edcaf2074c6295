//! Tables in a real S3 server: TaskManagers die between the steps of a commit, and each row is there once.
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::s3::S3Server;
use wiesel_tests::{Cluster, eventually, process};

use super::rescaling::{checkpoint, counts};

const LIMIT: Duration = Duration::from_secs(90);
/// Enough for some checkpoints.
const ROWS: u64 = 20_000;
const PARTITIONS: u64 = 4;

fn table(root: &str, format: &str) -> String {
    format!(
        "CREATE TABLE files (n BIGINT, p STRING) PARTITIONED BY (p) WITH ('connector' = 'filesystem', 'path' = '{root}',
           'format' = '{format}', 'sink.partition-commit.policy.kind' = 'success-file');\n"
    )
}

fn insert(root: &str, format: &str) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '4000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
         {}INSERT INTO files SELECT n, CAST(n % {PARTITIONS} AS STRING) FROM numbers;\n",
        table(root, format)
    )
}

/// Each TaskManager that is there at the beginning dies as the rule says, and another one takes its place.
fn killed(test: &str, format: &str, rules: &[&str]) {
    let Some(server) = S3Server::start(&format!("tables_in_s3::{test}")) else { return };
    for (number, rule) in rules.iter().enumerate() {
        let mut cluster = Cluster::builder();
        for (key, value) in S3Server::configuration(server.port()) {
            cluster = cluster.set(key, value);
        }
        let cluster = cluster
            .task_managers(2)
            .slots(1)
            .fault_points(rule)
            .set("execution.checkpointing.interval", "500 ms")
            .restarts(100, "100 ms")
            .start();
        let place = server.bucket().join(&format!("{test}/{number}"));
        let job = cluster.submit(&insert(&place.uri, format), 2);
        let died = cluster.replace_dead_until_finished(&job, LIMIT);
        assert!(died > 0, "{rule}: no TaskManager died");
        for p in 0..PARTITIONS {
            let partition = place.path.join(format!("p={p}"));
            assert!(partition.join("_SUCCESS").is_file(), "{rule}: {} is not committed", partition.display());
        }
        cluster.wait_for_free_slots(2);
        let sql = format!("{}SELECT n, p FROM files;\n", table(&place.uri, format));
        let mut numbers: Vec<u64> = Vec::new();
        for row in cluster.rows(&sql, 2) {
            let [n, p] = &row[row.len() - 2..] else { panic!("{row:?} has no two columns") };
            let n: u64 = n.parse().unwrap_or_else(|_| panic!("{row:?} is no row"));
            assert_eq!(p.parse(), Ok(n % PARTITIONS), "{row:?}");
            numbers.push(n);
        }
        numbers.sort_unstable();
        let wanted: Vec<u64> = (1..=ROWS).collect();
        assert!(numbers == wanted, "{rule}: {} rows of {ROWS}", numbers.len());
        println!("`{rule}`, {format}: {died} TaskManagers died, {ROWS} rows are there once");
    }
    let left = server.unfinished_uploads();
    let left: Vec<_> = std::fs::read_dir(left).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    let parts = |folder: &std::path::PathBuf| std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().count());
    assert_eq!(left.iter().map(parts).sum::<usize>(), 0, "uploads are left: {left:?}");
}

#[test]
fn rows_of_csv_are_there_once_whenever_task_managers_die() {
    let rules = [
        "checkpoint.before-ack=kill@2",
        "sink.before-commit=kill@2",
        "sink.between-commits=kill@2",
        "sink.after-commits=kill@1",
    ];
    killed("rows_of_csv_are_there_once_whenever_task_managers_die", "csv", &rules);
}

#[test]
fn rows_of_parquet_are_there_once_whenever_task_managers_die() {
    let rules = ["checkpoint.before-ack=kill@2", "sink.between-commits=kill@3"];
    killed("rows_of_parquet_are_there_once_whenever_task_managers_die", "parquet", &rules);
}

/// The rows that are counted by key and second, a thousand in each second.
const NUMBERS: u64 = 600_000;
const KEYS: u64 = 97;

/// Counts by key and second, in a partition for each minute, which is committed when the watermark has passed it.
fn counting(root: &str) -> String {
    format!(
        "SET 'table.local-time-zone' = 'UTC';
         CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
           'connector' = 'datagen', 'rows-per-second' = '60000', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '{NUMBERS}');
         {}INSERT INTO counts SELECT MIN(n) / 1000, k, COUNT(*), DATE_FORMAT(window_start, 'yyyyMMddHHmm')
           FROM (SELECT n, n % {KEYS} AS k, window_start, window_end FROM TABLE(TUMBLE(TABLE numbers,
             DESCRIPTOR(ts), INTERVAL '1' SECOND)))
           GROUP BY window_start, window_end, k;\n",
        counted(root)
    )
}

fn counted(root: &str) -> String {
    format!(
        "CREATE TABLE counts (w BIGINT, k BIGINT, c BIGINT, p STRING) PARTITIONED BY (p) WITH ('connector' = 'filesystem',
           'path' = '{root}', 'format' = 'csv', 'sink.partition-commit.policy.kind' = 'success-file',
           'sink.partition-commit.trigger' = 'partition-time', 'sink.partition-commit.delay' = '1 min',
           'partition.time-extractor.timestamp-formatter' = 'yyyyMMddHHmm');\n"
    )
}

/// The rows of each partition, sorted.
fn expected_counts() -> BTreeMap<String, Vec<[u64; 3]>> {
    let mut counted: BTreeMap<[u64; 2], u64> = BTreeMap::new();
    (1..=NUMBERS).for_each(|n| *counted.entry([n / 1000, n % KEYS]).or_default() += 1);
    let mut partitions: BTreeMap<String, Vec<[u64; 3]>> = BTreeMap::new();
    for ([window, key], count) in counted {
        partitions.entry(format!("1970010100{:02}", window / 60)).or_default().push([window, key, count]);
    }
    partitions
}

/// Fails unless each partition that is committed has all of its rows, once. How many there are.
fn check_committed(table: &Path, wanted: &BTreeMap<String, Vec<[u64; 3]>>) -> usize {
    let folder = |p: &String| table.join(format!("p={p}"));
    let committed: Vec<&String> = wanted.keys().filter(|p| folder(p).join("_SUCCESS").is_file()).collect();
    for p in &committed {
        let found = counts(&folder(p));
        assert!(found == wanted[*p], "partition {p} was committed with {} rows of {}", found.len(), wanted[*p].len());
    }
    committed.len()
}

/// The tasks of one TaskManager are slow, so that barriers overtake rows at watermarks that are far apart. From a checkpoint of that the
/// job goes on with three subtasks instead of four, one TaskManager of which dies in the middle of a commit. A partition is
/// committed with all of its rows or not at all, at any time, and in the end each row is there once.
#[test]
fn partitions_are_committed_whole_from_unaligned_checkpoints_on_with_fewer_subtasks() {
    let test = "partitions_are_committed_whole_from_unaligned_checkpoints_on_with_fewer_subtasks";
    let Some(server) = S3Server::start(&format!("tables_in_s3::{test}")) else { return };
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let mut cluster = Cluster::builder().task_managers(2).slots(2);
    for (key, value) in S3Server::configuration(server.port()) {
        cluster = cluster.set(key, value);
    }
    let cluster = cluster
        .set("execution.checkpointing.dir", format!("file://{}", checkpoints.path().display()))
        .set("execution.checkpointing.interval", "1 h")
        .set("execution.checkpointing.unaligned.enabled", true)
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .set("table.optimizer.agg-phase-strategy", "ONE_PHASE")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", 100)
        .set("restart-strategy.fixed-delay.delay", "100 ms")
        .prepare();
    cluster.start_one("jobmanager.sh", |_| {});
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.start_one("taskmanager.sh", |slow| {
        slow.env("WIESEL_FAULT_POINTS", "sink.write=pause:50@1+");
    });
    cluster.wait_for_slots(4);
    let (place, wanted) = (server.bucket().join(test), expected_counts());
    let script = counting(&place.uri);
    let job = cluster.submit(&script, 4);
    cluster.wait_for_tasks(&job, LIMIT);
    let mut overtaken = 0;
    for part in 1..=2 {
        eventually("a part of the rows", LIMIT, || {
            check_committed(&place.path, &wanted);
            let details = cluster.get(&format!("/jobs/{job}"));
            let read = details["vertices"][1]["metrics"]["read-records"].as_u64().unwrap_or(0);
            if read >= part * NUMBERS / 3 { Ok(()) } else { Err(details["vertices"].to_string()) }
        });
        let taken = cluster.script("flink", &["checkpoint", &job]);
        assert!(taken.status.success(), "{taken:?}");
        let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"))["history"][0].clone();
        overtaken = statistics["persisted_data"].as_u64().unwrap_or(0);
        assert!(overtaken > 0, "no rows were in flight: {statistics}");
    }
    cluster.script("flink", &["cancel", &job]);
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    let before = check_committed(&place.path, &wanted);
    let from = checkpoint(&checkpoints.path().join(&job));
    // What was slow has done its part.
    process::signal(cluster.task_manager_pids()[1], Signal::KILL);
    cluster.wait_for_slots(2);
    cluster.start_one("taskmanager.sh", |dies| {
        dies.env("WIESEL_FAULT_POINTS", "sink.between-commits=kill@2");
    });
    cluster.wait_for_free_slots(4);
    let again = cluster
        .submit_with(&script, &["-s", &from.to_string_lossy(), "-p", "3", "-Dexecution.checkpointing.interval=500 ms"]);
    let died = cluster.replace_dead_until_finished_asking(&again, LIMIT, || {
        check_committed(&place.path, &wanted);
    });
    assert!(died > 0, "no TaskManager died");
    assert_eq!(check_committed(&place.path, &wanted), wanted.len(), "partitions that are committed");
    let sql = format!("{}SELECT w, k, c, p FROM counts;\n", counted(&place.uri));
    let mut found: BTreeMap<String, Vec<[u64; 3]>> = BTreeMap::new();
    for row in cluster.rows(&sql, 2) {
        let [w, k, c, p] = &row[row.len() - 4..] else { panic!("{row:?} has no four columns") };
        let number = |text: &String| text.parse::<u64>().unwrap_or_else(|_| panic!("{row:?} is no row"));
        found.entry(p.clone()).or_default().push([number(w), number(k), number(c)]);
    }
    found.values_mut().for_each(|rows| rows.sort_unstable());
    assert!(found == wanted, "what a job reads of the table is not what was counted");
    println!(
        "{overtaken} bytes were overtaken, {before} partitions committed before the restore, {died} TaskManagers died"
    );
}
