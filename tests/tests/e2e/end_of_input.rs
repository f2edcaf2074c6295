//! What is in the files of a bounded job when it is FINISHED.
use std::fs;
use std::path::Path;
use std::time::Duration;

use wiesel_tests::Cluster;

const LIMIT: Duration = Duration::from_secs(60);

/// The files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The rows that a reader sees in a table of csv, sorted.
fn rows(folder: &Path) -> Vec<u64> {
    let visible = files(folder).into_iter().filter(|path| !name(path).starts_with(['.', '_']));
    let text: String = visible.map(|path| fs::read_to_string(path).expect("a file that can be read")).collect();
    let number = |line: &str| line.split(',').next().and_then(|number| number.parse().ok()).expect("a number");
    let mut rows: Vec<u64> = text.lines().map(number).collect();
    rows.sort_unstable();
    rows
}

/// Two sinks that end at different times, one with partitions; numbers that come for a while, so that checkpoints are under
/// way while tasks end.
fn script(folder: &Path) -> String {
    let numbers = |name: &str, rows: u64, rate: u64| {
        format!(
            "CREATE TABLE {name} (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '{rate}',
               'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{rows}');\n"
        )
    };
    format!(
        "{}{}CREATE TABLE first (n BIGINT, half BIGINT) PARTITIONED BY (half) WITH ('connector' = 'filesystem',
           'format' = 'csv', 'path' = '{folder}/first', 'sink.partition-commit.policy.kind' = 'success-file');
         CREATE TABLE `second` (n BIGINT) WITH ('connector' = 'filesystem', 'format' = 'csv', 'path' = '{folder}/second');
         EXECUTE STATEMENT SET BEGIN
           INSERT INTO first SELECT n, n % 2 FROM few;
           INSERT INTO `second` SELECT n FROM many;
         END;\n",
        numbers("few", 500, 2_000),
        numbers("many", 9_000, 3_000),
        folder = folder.display()
    )
}

/// Without a checkpoint of the end the sinks make final at the end what they have, as Flink's do. Before, the job was
/// FINISHED and no row was there.
#[test]
fn every_row_is_there_whether_or_not_tasks_wait_for_a_last_checkpoint() {
    let cluster = Cluster::builder().task_managers(2).slots(3).start();
    let options: [&[&str]; 5] = [
        &["checkpoints-after-tasks-finish=false", "interval=100 ms"],
        // None is ever complete, nor even begun.
        &["checkpoints-after-tasks-finish=false", "interval=1 h"],
        &["checkpoints-after-tasks-finish=true", "interval=100 ms"],
        // The last one begins when all tasks are at their end. Before, the job waited for it for an hour.
        &["checkpoints-after-tasks-finish=true", "interval=1 h"],
        &[],
    ];
    for (run, options) in options.into_iter().enumerate() {
        let folder = cluster.dir().join(format!("run-{run}"));
        let directory = format!("-Dexecution.checkpointing.dir=file://{}/checkpoints", cluster.dir().display());
        let options: Vec<String> = options.iter().map(|option| format!("-Dexecution.checkpointing.{option}")).collect();
        let mut arguments = vec!["-p", "3", &directory];
        arguments.extend(options.iter().map(String::as_str));
        let job = cluster.submit_with(&script(&folder), &arguments);
        cluster.wait_for_state(&job, "FINISHED", LIMIT);
        let (first, second) = (rows(&folder.join("first")), rows(&folder.join("second")));
        assert_eq!((first.len(), second.len()), (500, 9_000), "{options:?}");
        assert!(first.into_iter().eq(1..=500) && second.into_iter().eq(1..=9_000), "{options:?}");
        let all = files(&folder);
        let hidden: Vec<_> = all.iter().filter(|path| name(path).starts_with('.')).collect();
        assert!(hidden.is_empty(), "{options:?}: {hidden:?}");
        assert_eq!(all.iter().filter(|path| name(path) == "_SUCCESS").count(), 2, "{options:?}: {all:?}");
    }
}

/// Failed before: tasks waited at their end for each checkpoint that had begun, so for ever where one always has.
#[test]
fn a_job_ends_though_a_checkpoint_is_always_under_way() {
    let cluster =
        Cluster::builder().task_managers(2).slots(3).fault_points("checkpoint.before-ack=pause:300@1+").start();
    let folder = cluster.dir().join("run");
    let directory = format!("-Dexecution.checkpointing.dir=file://{}/checkpoints", cluster.dir().display());
    let arguments = [
        "-p",
        "3",
        &directory,
        "-Dexecution.checkpointing.interval=100 ms",
        "-Dexecution.checkpointing.max-concurrent-checkpoints=3",
    ];
    let job = cluster.submit_with(&script(&folder), &arguments);
    cluster.wait_for_state(&job, "FINISHED", LIMIT);
    let (first, second) = (rows(&folder.join("first")), rows(&folder.join("second")));
    assert!(first.into_iter().eq(1..=500) && second.into_iter().eq(1..=9_000));
}
