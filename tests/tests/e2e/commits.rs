//! A TaskManager dies between two steps of a commit of files: each row is there once, and each partition is committed.
use std::fs;
use std::path::Path;
use std::time::Duration;

use wiesel_tests::Cluster;

const LIMIT: Duration = Duration::from_secs(60);
/// Enough for some checkpoints.
const ROWS: u64 = 20_000;
const PARTITIONS: u64 = 4;

fn script(folder: &Path) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '4000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
         CREATE TABLE files (n BIGINT, p STRING) PARTITIONED BY (p) WITH ('connector' = 'filesystem', 'path' = '{}',
           'format' = 'csv', 'sink.partition-commit.policy.kind' = 'success-file');
         INSERT INTO files SELECT n, CAST(n % {PARTITIONS} AS STRING) FROM numbers;\n",
        folder.display()
    )
}

/// The numbers in the files of all partitions, in order.
fn numbers(folder: &Path) -> Vec<u64> {
    let mut numbers = Vec::new();
    for p in 0..PARTITIONS {
        let partition = folder.join(format!("p={p}"));
        assert!(partition.join("_SUCCESS").is_file(), "{} is not committed", partition.display());
        for entry in fs::read_dir(&partition).expect("a folder of a partition").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            assert!(!name.starts_with('.'), "{name} is left");
            let text = fs::read_to_string(entry.path()).expect("a committed file can be read");
            numbers.extend(text.lines().map(|line| {
                let number = line.parse::<u64>().unwrap_or_else(|_| panic!("{name}: `{line}` is no row"));
                assert_eq!(number % PARTITIONS, p, "{name}");
                number
            }));
        }
    }
    numbers.sort_unstable();
    numbers
}

/// Each TaskManager that is there at the beginning dies as the rule says, and another one takes its place.
fn killed(rule: &str) {
    let cluster = Cluster::builder()
        .task_managers(2)
        .slots(1)
        .fault_points(rule)
        .set("execution.checkpointing.interval", "500 ms")
        .restarts(100, "100 ms")
        .start();
    let folder = cluster.dir().join("files");
    let job = cluster.submit(&script(&folder), 2);
    let died = cluster.replace_dead_until_finished(&job, LIMIT);
    assert!(died > 0, "{rule}: nobody died");
    let numbers = numbers(&folder);
    let mut distinct = numbers.clone();
    distinct.dedup();
    let wanted: Vec<u64> = (1..=ROWS).collect();
    assert!(numbers == wanted, "{rule}: {} rows, {} of them distinct, of {ROWS}", numbers.len(), distinct.len());
    println!("`{rule}`: {died} TaskManagers died, {ROWS} rows are there once");
}

#[test]
fn files_are_written_and_the_checkpoint_is_not_acknowledged() {
    killed("checkpoint.before-ack=kill@2");
}

#[test]
fn some_files_of_a_commit_have_their_names() {
    for passes in [1, 2, 6] {
        killed(&format!("sink.between-commits=kill@{passes}"));
    }
}

#[test]
fn files_have_their_names_and_their_partitions_are_not_committed() {
    for rule in ["sink.after-commits=kill@1", "sink.before-success-file=kill@2"] {
        killed(rule);
    }
}
