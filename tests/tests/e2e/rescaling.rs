//! Other parallelisms, from checkpoints that were taken while tasks were at very different speeds.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::{Cluster, eventually, process};

const LIMIT: Duration = Duration::from_secs(120);
const ROWS: u64 = 600_000;
const KEYS: u64 = 97;
const WINDOW: u64 = 1000;

/// Counts by key and second into csv files.
fn script(folder: &Path) -> String {
    format!(
        "CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
           'connector' = 'datagen', 'rows-per-second' = '60000', 'fields.n.kind' = 'sequence',
           'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');
         CREATE TABLE counts (w BIGINT, k BIGINT, c BIGINT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
         INSERT INTO counts SELECT MIN(n) / {WINDOW}, k, COUNT(*)
           FROM (SELECT n, n % {KEYS} AS k, window_start, window_end FROM TABLE(TUMBLE(TABLE numbers,
             DESCRIPTOR(ts), INTERVAL '1' SECOND)))
           GROUP BY window_start, window_end, k;\n",
        folder.display()
    )
}

/// The rows in files that a reader would see, sorted.
pub(super) fn counts(folder: &Path) -> Vec<[u64; 3]> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let visible = files.filter(|file| !file.file_name().to_string_lossy().starts_with(['.', '_']));
    let text: String = visible.map(|file| fs::read_to_string(file.path()).expect("a committed file")).collect();
    let cells = |line: &str| line.split(',').map(|cell| cell.parse().expect("a number")).collect::<Vec<u64>>();
    let mut rows: Vec<_> = text.lines().map(|line| <[u64; 3]>::try_from(cells(line)).expect("three cells")).collect();
    rows.sort_unstable();
    rows
}

fn expected() -> Vec<[u64; 3]> {
    let mut counted = std::collections::BTreeMap::new();
    for n in 1..=ROWS {
        *counted.entry((n / WINDOW, n % KEYS)).or_insert(0) += 1;
    }
    counted.into_iter().map(|((window, key), count)| [window, key, count]).collect()
}

/// The only complete checkpoint of a job.
pub(super) fn checkpoint(folder: &Path) -> PathBuf {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let complete: Vec<_> = entries.filter(|path| path.join("_metadata").is_file()).collect();
    assert_eq!(complete.len(), 1, "{complete:?}");
    complete[0].clone()
}

/// Four subtasks, those of one TaskManager with a sink that sleeps: a barrier overtakes rows at watermarks that are far apart.
/// Then others go on from there.
fn rescale_between_unaligned_checkpoints(backend: &str, phases: &str, parallelism: usize) {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = Cluster::builder()
        .slots(2)
        .set("execution.checkpointing.dir", format!("file://{}", checkpoints.path().display()))
        .set("execution.checkpointing.interval", "1 h")
        .set("execution.checkpointing.unaligned.enabled", true)
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .set("state.backend.type", backend)
        .set("table.optimizer.agg-phase-strategy", phases)
        .prepare();
    cluster.start_one("jobmanager.sh", |_| {});
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.start_one("taskmanager.sh", |slow| {
        slow.env("WIESEL_FAULT_POINTS", "sink.write=pause:100@1+");
    });
    cluster.wait_for_slots(4);
    let folder = cluster.dir().join("counts");
    let script = script(&folder);
    let job = cluster.submit(&script, 4);
    cluster.wait_for_tasks(&job, LIMIT);
    // In two phases four accumulators of each key and window come.
    let enough = if phases == "TWO_PHASE" { 4 * KEYS * ROWS / WINDOW / 4 } else { ROWS / 3 };
    eventually("a part of the rows", LIMIT, || {
        let details = cluster.get(&format!("/jobs/{job}"));
        let read = details["vertices"][1]["metrics"]["read-records"].as_u64().unwrap_or(0);
        if read >= enough { Ok(()) } else { Err(details["vertices"].to_string()) }
    });
    let taken = cluster.script("flink", &["checkpoint", &job]);
    assert!(taken.status.success(), "{taken:?}");
    let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"))["history"][0].clone();
    assert!(statistics["persisted_data"].as_u64() > Some(0), "no rows were in flight: {statistics}");
    cluster.script("flink", &["cancel", &job]);
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    let from = checkpoint(&checkpoints.path().join(&job));
    // What was slow has done its part.
    process::signal(cluster.task_manager_pids()[1], Signal::KILL);
    cluster.wait_for_slots(2);
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.wait_for_free_slots(4);
    let again = cluster.submit_with(
        &script,
        &["-s", &from.to_string_lossy(), "-p", &parallelism.to_string(), "-Dexecution.checkpointing.interval=1 s"],
    );
    cluster.wait_for_state(&again, "FINISHED", LIMIT);
    let (found, wanted) = (counts(&folder), expected());
    let sum = found.iter().map(|row| row[2]).sum::<u64>();
    println!("{backend}, {phases}, 4 to {parallelism}: {sum} of {ROWS} rows were counted");
    assert!(found == wanted, "{} windows instead of {}, {sum} of {ROWS} rows counted", found.len(), wanted.len());
}

#[test]
fn windows_lose_nothing_from_four_to_three_subtasks() {
    rescale_between_unaligned_checkpoints("hashmap", "ONE_PHASE", 3);
}

#[test]
fn windows_in_two_phases_lose_nothing_from_four_to_two_subtasks() {
    rescale_between_unaligned_checkpoints("rocksdb", "TWO_PHASE", 2);
}
