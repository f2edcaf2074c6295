//! Tables in a real S3 server: TaskManagers die between the steps of a commit, and each row is there once.
use std::time::Duration;

use wiesel_tests::Cluster;
use wiesel_tests::s3::S3Server;

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
