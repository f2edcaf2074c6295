//! Every script of `tests/sql` against what Apache Flink answered: as it is, through a savepoint and a restore at another
//! parallelism, and while TaskManagers are killed.
#![allow(clippy::unwrap_used)]
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wiesel_tests::Cluster;
use wiesel_tests::chaos::nodes::Nodes;
use wiesel_tests::chaos::random::Random;
use wiesel_tests::golden::{self, Mode};

/// Sources that give three rows at a time and rest before each of the first polls: short scripts last long enough to be
/// interrupted in the middle of their input.
const SLOW_SOURCES: &str = "source.rows=limit:3;source.poll=pause:40@1..25";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("sql")
}

/// The scripts whose sources are small and whose result does not hang on their pace. Those of `nexmark/` read a million
/// rows, three at a time is no way to read them; in `union_idle_input` it is the pace that decides which rows are late.
fn small_scripts() -> Vec<PathBuf> {
    let of_pace = ["nexmark", "union_idle_input.sql"];
    let is_of_pace =
        |script: &PathBuf| script.components().any(|part| of_pace.iter().any(|name| part.as_os_str() == *name));
    golden::scripts(&folder()).unwrap().into_iter().filter(|script| !is_of_pace(script)).collect()
}

/// Scripts with rows that come too late. With several readers it is the pace that decides: a row is late once the readers
/// without a split have ended, too.
const LATE_ROWS: [&str; 5] =
    ["hop_offset.sql", "tumble_basic.sql", "tumble_ltz.sql", "tumble_offset.sql", "tumble_rows.sql"];

/// Those with late rows have one reader.
fn of_script(script: &Path, mode: Mode) -> Mode {
    match LATE_ROWS.iter().any(|name| script.ends_with(name)) {
        true => Mode { parallelism: 1, rescale_to: mode.rescale_to.map(|_| 1) },
        false => mode,
    }
}

/// Runs scripts, three at a time. Panics with all differences; returns how many jobs were stopped and went on.
fn run_all(cluster: &Cluster, scripts: &[PathBuf], mode: Mode) -> usize {
    let (folder, data) = (folder(), folder().join("data"));
    let queue = Mutex::new(scripts.iter());
    let failures = Mutex::new(Vec::new());
    let (restored, failed) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(script) = next else { break };
                    let name = script.strip_prefix(&folder).unwrap().display();
                    let outcome = golden::run(cluster, script, &data, of_script(script, mode)).unwrap();
                    restored.fetch_add(outcome.restored, Ordering::Relaxed);
                    failed.fetch_add(outcome.failed, Ordering::Relaxed);
                    let differences = outcome.differences.into_iter().map(|difference| format!("{name}: {difference}"));
                    failures.lock().unwrap().extend(differences);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} scripts:\n{}", failures.len(), scripts.len(), failures.join("\n"));
    let restored = restored.into_inner();
    println!(
        "{} scripts, {mode:?}: {restored} jobs went on elsewhere, {} of them after they failed",
        scripts.len(),
        failed.into_inner()
    );
    restored
}

/// Without those that fail: with a restart strategy they would do so for a long time.
fn succeeding(scripts: Vec<PathBuf>) -> Vec<PathBuf> {
    let fails = |script: &PathBuf| {
        let expected = std::fs::read_to_string(script.with_extension("expected")).unwrap();
        golden::answers(&expected).values().any(|answer| answer.get("error").is_some())
    };
    scripts.into_iter().filter(|script| !fails(script)).collect()
}

#[test]
fn scripts_answer_as_apache_flink_does() {
    let scripts = golden::scripts(&folder()).unwrap();
    assert!(scripts.len() >= 60, "only {} scripts", scripts.len());
    let cluster = Cluster::builder().task_managers(2).slots(4).start();
    run_all(&cluster, &scripts, Mode { parallelism: 1, rescale_to: None });
}

#[test]
fn scripts_answer_the_same_through_a_savepoint_and_a_restore_at_another_parallelism() {
    let scripts = small_scripts();
    for (parallelism, rescaled, backend) in [(1, 3, "hashmap"), (2, 1, "rocksdb")] {
        let savepoints = tempfile::tempdir().unwrap();
        let cluster = Cluster::builder()
            .task_managers(2)
            .slots(8)
            .fault_points(SLOW_SOURCES)
            .set("state.backend.type", backend)
            .set("execution.checkpointing.savepoint-dir", format!("file://{}", savepoints.path().display()))
            .start();
        let restored = run_all(&cluster, &scripts, Mode { parallelism, rescale_to: Some(rescaled) });
        assert!(restored >= scripts.len() / 2, "only {restored} jobs were interrupted");
    }
}

#[test]
fn scripts_answer_the_same_while_task_managers_are_killed() {
    under_kills("hashmap", 7, Mode { parallelism: 2, rescale_to: None });
}

#[test]
fn scripts_answer_the_same_while_task_managers_are_killed_and_jobs_go_on_at_another_parallelism() {
    let restored = under_kills("rocksdb", 8, Mode { parallelism: 2, rescale_to: Some(3) });
    assert!(restored >= 20, "only {restored} jobs went on");
}

/// Runs the scripts while TaskManagers die, some of them between a savepoint and the end of the job that stops with it.
/// Returns how many jobs went on at another parallelism.
fn under_kills(backend: &str, seed: u64, mode: Mode) -> usize {
    let scripts = succeeding(small_scripts());
    let checkpoints = tempfile::tempdir().unwrap();
    let path = |name: &str| format!("file://{}/{name}", checkpoints.path().display());
    let slots = 3 * mode.rescale_to.unwrap_or(mode.parallelism);
    let cluster = Cluster::builder()
        .task_managers(0)
        .slots(slots)
        .restarts(1000, "50 ms")
        .fault_points(SLOW_SOURCES)
        .set("state.backend.type", backend)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", path("checkpoints"))
        .set("execution.checkpointing.savepoint-dir", path("savepoints"))
        .set("execution.checkpointing.tolerable-failed-checkpoints", 1000)
        .prepare();
    let mut nodes = Nodes::start("golden scripts under kills", cluster, 2, slots);
    let cluster = nodes.cluster.clone();
    let mut random = Random::new(seed);
    let restored = std::thread::scope(|scope| {
        let running = scope.spawn(|| run_all(&cluster, &scripts, mode));
        while !running.is_finished() {
            nodes.hold_until(random.between(Duration::from_millis(700), Duration::from_millis(1500)), |_| {
                running.is_finished()
            });
            nodes.kill(random.below(2) as usize);
        }
        running.join().unwrap()
    });
    println!("{backend}: {}", nodes.tally);
    assert!(nodes.tally.kills >= 5, "{}", nodes.tally);
    restored
}
