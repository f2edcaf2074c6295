//! The JobManager dies while it completes a checkpoint, or while a job claims one, and the job is started again from what is
//! left.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::{Cluster, ClusterBuilder, eventually, process};

const LIMIT: Duration = Duration::from_secs(60);
/// Enough for the job to be killed in the middle.
const SIZE: Size = Size { rows: 20_000, per_second: 4_000 };
/// Small files that a job reads, and the rows of each.
const FILES: u64 = 400;
const ROWS: u64 = 5;

/// The complete checkpoints of a job by their numbers: those with metadata.
fn complete(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let numbered = entries.filter_map(|entry| {
        let number = entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()?;
        entry.path().join("_metadata").is_file().then(|| (number, entry.path()))
    });
    let mut found: Vec<_> = numbered.collect();
    found.sort();
    found
}

/// Six slots; often a checkpoint; a loss is noticed soon. The JobManager dies as the rules say.
fn builder(checkpoints: &Path, fault_points: &str) -> ClusterBuilder {
    Cluster::builder()
        .task_managers(2)
        .slots(3)
        .fault_points(fault_points)
        .set("state.backend.type", "rocksdb")
        .set("execution.checkpointing.incremental", true)
        .set("execution.checkpointing.interval", "200 ms")
        .set("execution.checkpointing.dir", format!("file://{}", checkpoints.display()))
        .set("heartbeat.interval", "1 s")
        .set("heartbeat.timeout", "5 s")
}

fn wait_for_checkpoints(folder: &Path) {
    eventually("checkpoints", LIMIT, || match complete(folder).last() {
        Some((number, _)) if *number >= 4 => Ok(()),
        found => Err(format!("{found:?}")),
    });
}

fn wait_until_the_job_manager_is_gone(cluster: &Cluster) {
    eventually("the JobManager is gone", LIMIT, || match process::is_alive(cluster.job_manager_pid()) {
        true => Err("it still runs".to_owned()),
        false => Ok(()),
    });
}

/// Starts another JobManager, without rules, and waits for the TaskManagers to come to it.
fn start_job_manager_again(cluster: &Cluster) {
    let started = cluster.command("bin/jobmanager.sh").env("WIESEL_FAULT_POINTS", "").arg("start").output();
    assert!(started.expect("bin/jobmanager.sh can be run").status.success());
    cluster.wait_for_slots(6);
    cluster.wait_for_free_slots(6);
}

/// Runs a job whose JobManager dies as the rules say, or of a signal; starts it again from its latest checkpoint at another
/// parallelism, and compares what its files hold. Returns the number of that checkpoint.
fn killed(fault_points: &str) -> u64 {
    let checkpoints = tempfile::tempdir().expect("a temporary folder");
    let cluster = builder(checkpoints.path(), fault_points).start();
    let mut job = FilesJob::submit(&cluster, SIZE);
    let folder = checkpoints.path().join(job.id());
    if fault_points.is_empty() {
        wait_for_checkpoints(&folder);
        process::signal(cluster.job_manager_pid(), Signal::KILL);
    }
    wait_until_the_job_manager_is_gone(&cluster);
    let (number, latest) = complete(&folder).pop().expect("a checkpoint is complete");

    start_job_manager_again(&cluster);
    assert_eq!(cluster.get("/jobs")["jobs"], serde_json::json!([]), "nobody remembers the job");
    job.run(&cluster, &["-s", &latest.display().to_string(), "-p", "3"]);
    println!("`{fault_points}`, from checkpoint {number}: {}", job.verify(&cluster, LIMIT));
    assert!(latest.join("_metadata").is_file(), "the checkpoint that another job began with is not its own to delete");
    number
}

#[test]
fn a_job_goes_on_exactly_where_it_was_when_its_job_manager_was_killed() {
    killed("");
}

#[test]
fn a_checkpoint_whose_metadata_was_not_written_does_not_count() {
    // A number more for each checkpoint that a task was not ready for.
    assert!(killed("checkpoint.before-metadata=kill@4") >= 3);
}

/// A job reads many small files, which it asks for one by one, and its JobManager dies when the enumerator's state is there, and splits
/// that readers ask for are held back: they are neither in a checkpoint nor with a reader. Started again, it reads each file once.
#[test]
fn splits_that_are_held_back_when_the_job_manager_dies_are_read_once() {
    for point in ["checkpoint.before-trigger", "checkpoint.before-release"] {
        let checkpoints = tempfile::tempdir().expect("a temporary folder");
        // A reader takes time for each file.
        let cluster = builder(checkpoints.path(), &format!("{point}=kill@6;source.poll=pause:20@1+")).start();
        let (input, output) = (cluster.dir().join("input"), cluster.dir().join("output"));
        fs::create_dir(&input).expect("a folder for files");
        for file in 0..FILES {
            let rows: String = (0..ROWS).map(|row| format!("{}\n", file * ROWS + row)).collect();
            fs::write(input.join(format!("{file:03}.csv")), rows).expect("a file can be written");
        }
        let table = |name: &str, folder: &Path| {
            let folder = folder.display();
            format!(
                "CREATE TABLE {name} (n BIGINT) WITH ('connector' = 'filesystem', 'path' = '{folder}', 'format' = 'csv');\n"
            )
        };
        let (numbers_table, files_table) = (table("numbers", &input), table("files", &output));
        let script = format!("{numbers_table}{files_table}INSERT INTO files SELECT n FROM numbers;\n");
        let job = cluster.submit_with(&script, &["-p", "2"]);
        wait_until_the_job_manager_is_gone(&cluster);
        let (number, latest) = complete(&checkpoints.path().join(&job)).pop().expect("a checkpoint is complete");
        start_job_manager_again(&cluster);
        let job = cluster.submit_with(&script, &["-s", &latest.display().to_string(), "-p", "3"]);
        cluster.wait_for_state(&job, "FINISHED", LIMIT);
        let found = numbers(&output);
        let distinct: BTreeSet<u64> = found.iter().copied().collect();
        let wanted = FILES * ROWS;
        assert!(
            found.len() as u64 == wanted && distinct.iter().copied().eq(0..wanted),
            "{point}, from checkpoint {number}: {} rows, {} of them distinct, of {wanted}",
            found.len(),
            distinct.len()
        );
    }
}

/// What a reader sees in the files of a folder.
fn numbers(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).expect("a folder of files").flatten();
    let visible = entries.filter(|entry| !entry.file_name().to_string_lossy().starts_with(['.', '_']));
    let texts = visible.map(|entry| fs::read_to_string(entry.path()).expect("a committed file can be read"));
    texts.flat_map(|text| text.lines().map(|line| line.parse().expect("a row")).collect::<Vec<u64>>()).collect()
}

#[test]
fn a_checkpoint_with_metadata_counts_though_no_task_was_told() {
    for point in ["checkpoint.after-metadata", "checkpoint.before-notify"] {
        assert!(killed(&format!("{point}=kill@4")) >= 4, "{point}");
    }
}

/// A job claims the checkpoint of another one, and the JobManager dies around the mark that says so. Whoever starts from that
/// checkpoint next finds all of it.
#[test]
fn a_claim_that_was_cut_short_costs_no_row() {
    for point in ["claim.before-mark", "claim.after-mark"] {
        let checkpoints = tempfile::tempdir().expect("a temporary folder");
        let cluster = builder(checkpoints.path(), &format!("{point}=kill@1"))
            .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
            .start();
        let mut job = FilesJob::submit(&cluster, SIZE);
        let folder = checkpoints.path().join(job.id());
        wait_for_checkpoints(&folder);
        cluster.script("flink", &["cancel", job.id()]);
        cluster.wait_for_state(job.id(), "CANCELED", LIMIT);
        let (number, latest) = complete(&folder).pop().expect("a checkpoint is kept");
        let latest = latest.display().to_string();
        let arguments = ["-s", &latest, "-claimMode", "claim", "-p", "3"];
        let submitted = cluster.run(&job.script(), &[&["-d"], &arguments[..]].concat());
        assert!(!submitted.status.success(), "{submitted:?}");
        wait_until_the_job_manager_is_gone(&cluster);
        start_job_manager_again(&cluster);
        job.run(&cluster, &arguments);
        println!("`{point}`, from checkpoint {number}: {}", job.verify(&cluster, LIMIT));
    }
}
