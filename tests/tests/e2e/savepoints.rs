//! Savepoints and checkpoints by the command line.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::{Cluster, ClusterBuilder, eventually};

use super::sql;

const LIMIT: Duration = Duration::from_secs(60);

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn cluster() -> ClusterBuilder {
    Cluster::builder().task_managers(2).slots(3)
}

/// The path in what the command line says of a savepoint.
fn path_in(said: &str) -> String {
    let path = said.split("Savepoint completed. Path: ").nth(1).and_then(|rest| rest.split_whitespace().next());
    path.unwrap_or_else(|| panic!("no savepoint: {said}")).to_owned()
}

pub(super) fn local(path: &str) -> PathBuf {
    PathBuf::from(path.strip_prefix("file:").unwrap_or_else(|| panic!("{path} is no file")))
}

/// Stops a job with a savepoint and says where it is.
pub(super) fn stop(cluster: &Cluster, job: &str, folder: &Path) -> String {
    let output = cluster.script("flink", &["stop", "--savepointPath", &folder.to_string_lossy(), job]);
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains(&format!("Suspending job \"{job}\" with a CANONICAL savepoint.")), "{said}");
    cluster.wait_for_state(job, "FINISHED", LIMIT);
    path_in(&said)
}

/// Waits until the windows' operator has read so many rows.
pub(super) fn wait_for_rows(cluster: &Cluster, job: &str, rows: u64) {
    eventually("rows", LIMIT, || {
        let details = cluster.get(&format!("/jobs/{job}"));
        let read = details["vertices"][1]["metrics"]["read-records"].as_u64().unwrap_or(0);
        if read >= rows { Ok(()) } else { Err(format!("{read} of {rows} rows")) }
    });
}

#[test]
fn a_job_goes_on_from_savepoints_at_other_parallelisms_and_on_other_back_ends() {
    let cluster = cluster().set("execution.checkpointing.interval", "1 s").start();
    let folder = cluster.dir().join("savepoints");
    let size = Size { rows: 60_000, per_second: 4_000 };
    let mut job = FilesJob::submit(&cluster, size);
    for (parallelism, backend) in [("5", "rocksdb"), ("1", "hashmap")] {
        // Readers that get no split end at once: a savepoint must do with that.
        wait_for_rows(&cluster, job.id(), 500);
        let savepoint = stop(&cluster, job.id(), &folder);
        job.run(&cluster, &["-s", &savepoint, "-p", parallelism, &format!("-Dstate.backend.type={backend}")]);
    }
    println!("{}", job.verify(&cluster, LIMIT));
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "two savepoints are kept");
}

/// Both TaskManagers die when their sinks are to commit what the savepoint has.
#[test]
fn a_job_that_fails_after_the_savepoint_it_stops_with_names_it_and_another_goes_on_from_there() {
    let cluster = cluster()
        .fault_points("sink.before-commit=kill@1")
        .set("execution.checkpointing.interval", "1 h")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", 100)
        .start();
    let folder = cluster.dir().join("savepoints");
    let mut job = FilesJob::submit(&cluster, Size { rows: 20_000, per_second: 4_000 });
    wait_for_rows(&cluster, job.id(), 500);
    let output = cluster.script("flink", &["stop", "--savepointPath", &folder.to_string_lossy(), job.id()]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let path = said.split("A savepoint has been created at: ").nth(1).and_then(|rest| rest.split(", but ").next());
    let path = path.unwrap_or_else(|| panic!("no savepoint is named: {said}"));
    assert_eq!(cluster.state(job.id()), "FAILED", "it must not go on from before the savepoint");
    for _ in 0..2 {
        let started = cluster.command("bin/taskmanager.sh").env("WIESEL_FAULT_POINTS", "").arg("start").output();
        assert!(started.expect("bin/taskmanager.sh can be run").status.success());
    }
    // The rest is committed with a checkpoint.
    job.run(&cluster, &["-s", path, "-p", "2", "-Dexecution.checkpointing.interval=1 s"]);
    println!("{}", job.verify(&cluster, LIMIT));
}

#[test]
fn savepoints_and_checkpoints_of_a_running_job() {
    let cluster = cluster().set("execution.checkpointing.interval", "1 h").start();
    let folder = cluster.dir().join("savepoints");
    let job = cluster.submit(&sql::endless_shuffle(2_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    let flink = |arguments: &[&str]| cluster.script("flink", arguments);
    let target = folder.to_string_lossy().into_owned();

    let taken = flink(&["savepoint", "-type", "native", &job, &target]);
    let said = text(&taken);
    assert!(taken.status.success() && said.contains(&format!("Triggering savepoint for job {job}.")), "{said}");
    assert!(said.contains("You can resume your program from this savepoint with the run command."), "{said}");
    let savepoint = path_in(&said);
    assert!(savepoint.contains(&format!("/savepoint-{}-", &job[..6])), "{savepoint}");
    assert!(local(&savepoint).join("_metadata").is_file(), "{savepoint}");
    assert_eq!(cluster.state(&job), "RUNNING");

    let detached = flink(&["savepoint", "-detached", &job, &target]);
    assert!(text(&detached).contains("Successfully trigger manual savepoint, triggerId: "), "{detached:?}");

    let checkpoint = flink(&["checkpoint", "-full", &job]);
    let said = text(&checkpoint);
    assert!(checkpoint.status.success() && said.contains(&format!(" for job {job} completed.")), "{said}");

    let disposed = flink(&["savepoint", "-d", &savepoint]);
    assert!(text(&disposed).contains(&format!("Savepoint '{savepoint}' disposed.")), "{disposed:?}");
    assert!(!local(&savepoint).exists(), "{savepoint} is still there");
    let again = flink(&["savepoint", "--dispose", &savepoint]);
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(text(&again).contains(&format!("Failed to dispose the savepoint '{savepoint}'.")), "{again:?}");

    let canceled = flink(&["cancel", "-s", &target, &job]);
    let said = text(&canceled);
    assert!(canceled.status.success() && said.contains("DEPRECATION WARNING"), "{said}");
    assert!(said.contains(&format!("Cancelled job {job}. Savepoint stored in file:{target}/savepoint-")), "{said}");
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
}

#[test]
fn commands_that_cannot_succeed_say_why_and_exit_with_1() {
    // All state is in files: a task that cannot write them would find out.
    let cluster = cluster().set("execution.checkpointing.data-inline-threshold", 0).start();
    let job = cluster.submit(&sql::endless_shuffle(100), 1);
    cluster.wait_for_tasks(&job, LIMIT);
    let unknown = "0".repeat(32);
    for (arguments, wanted) in [
        (vec!["savepoint"], "Missing JobID. Specify a Job ID to trigger a savepoint."),
        (vec!["stop"], "Missing JobId"),
        (vec!["checkpoint"], "Missing JobID. Specify a Job ID to manipulate a checkpoint."),
        (vec!["savepoint", "zz"], "Cannot parse JobID from \"zz\""),
        (vec!["savepoint", &unknown, "/tmp/nowhere"], "Failed to trigger a savepoint for the job"),
        (vec!["checkpoint", &unknown], "Failed to trigger a checkpoint for the job"),
        (vec!["stop", "-p", "/tmp/nowhere", &unknown], "Could not stop with a savepoint job"),
        // No directory is given and none is configured.
        (vec!["savepoint", &job], "execution.checkpointing.savepoint-dir"),
        (vec!["stop", "-p", &job], "execution.checkpointing.savepoint-dir"),
        (vec!["savepoint", &job, "/proc/nowhere"], "/proc/nowhere"),
        (vec!["savepoint", &job, "/dev/full"], "Failed to create savepoint directory at file:/dev/full/"),
        (vec!["stop", "-p", "/proc/nowhere", &job], "/proc/nowhere"),
        (vec!["savepoint", &job, "data/savepoints"], "expected an absolute path"),
    ] {
        let output = cluster.script("flink", &arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(wanted), "{arguments:?}: {said}");
    }
    assert_eq!(cluster.state(&job), "RUNNING", "none of it harms the job");
}

#[test]
fn a_savepoint_that_is_damaged_is_refused_by_name() {
    let cluster = cluster().start();
    let folder = cluster.dir().join("savepoints");
    let script = sql::endless_shuffle(1_000);
    let job = cluster.submit(&script, 2);
    cluster.wait_for_tasks(&job, LIMIT);
    let savepoint = stop(&cluster, &job, &folder);
    let metadata = local(&savepoint).join("_metadata");
    let whole = fs::read(&metadata).unwrap();
    let refused = |what: &str| {
        let output = cluster.run(&script, &["-s", &savepoint]);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains("_metadata"), "{what}: the file is not named: {said}");
        assert!(!said.contains("panicked"), "{what}: {said}");
    };
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 0x10;
    for (what, content) in [("truncated", &whole[..whole.len() / 2]), ("flipped", &flipped[..]), ("empty", &[][..])] {
        fs::write(&metadata, content).unwrap();
        refused(what);
    }
    fs::remove_file(&metadata).unwrap();
    refused("missing");
    fs::write(&metadata, &whole).unwrap();
    let restored = cluster.submit_with(&script, &["-s", &savepoint, "-p", "2"]);
    cluster.wait_for_tasks(&restored, LIMIT);
}

#[test]
fn state_that_nobody_wants_is_refused_unless_it_is_allowed() {
    let cluster = cluster().start();
    let folder = cluster.dir().join("savepoints");
    let job = cluster.submit(&sql::endless_shuffle(1_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    let savepoint = stop(&cluster, &job, &folder);
    let other = format!(
        "CREATE TABLE numbers (k INT, v BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '1000');\n\
         {}INSERT INTO nowhere SELECT k, v FROM numbers WHERE v > 7;\n",
        sql::blackhole("k INT, v BIGINT")
    );
    let refused = cluster.run(&other, &["-s", &savepoint]);
    let said = text(&refused);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("allowNonRestoredState"), "{said}");
    let allowed = cluster.submit_with(&other, &["-s", &savepoint, "-n"]);
    cluster.wait_for_tasks(&allowed, LIMIT);
}

/// Failed before: the second job replaced the checkpoints of the first, one after another, and deleted them; and a copy of
/// metadata took with it whatever was beside it.
#[test]
fn a_retained_checkpoint_is_neither_written_again_nor_deleted_by_a_copy() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let cluster = cluster()
        .set("execution.checkpointing.dir", dir.path().display())
        .set("execution.checkpointing.create-subdir", false)
        .set("execution.checkpointing.interval", "1 h")
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .start();
    let job = cluster.submit(&sql::endless_shuffle(2_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    assert!(cluster.script("flink", &["checkpoint", &job]).status.success());
    assert!(cluster.script("flink", &["cancel", &job]).status.success());
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    let retained = dir.path().join("chk-1/_metadata");
    let bytes = fs::read(&retained).expect("a checkpoint is retained");

    let second = cluster.run(&sql::endless_shuffle(2_000), &["-d", "-p", "2"]);
    let failure = text(&second);
    assert_eq!(second.status.code(), Some(1), "{failure}");
    assert!(failure.contains("chk-1") && failure.contains("execution.checkpointing.dir"), "{failure}");
    assert_eq!(fs::read(&retained).expect("it is still there"), bytes);
    // It may go on from there.
    let restored = cluster
        .submit_with(&sql::endless_shuffle(2_000), &["-p", "2", "-s", &dir.path().join("chk-1").display().to_string()]);
    cluster.wait_for_tasks(&restored, LIMIT);
    assert!(cluster.script("flink", &["checkpoint", &restored]).status.success());
    assert!(dir.path().join("chk-2/_metadata").is_file() && retained.is_file());
    assert!(cluster.script("flink", &["cancel", &restored]).status.success());
    cluster.wait_for_state(&restored, "CANCELED", LIMIT);

    let copy = dir.path().join("copy");
    fs::create_dir(&copy).expect("a folder");
    fs::write(copy.join("thesis.tex"), "years of work").expect("a file");
    fs::copy(&retained, copy.join("_metadata")).expect("a copy");
    let disposed = cluster.script("flink", &["savepoint", "-d", &copy.display().to_string()]);
    assert!(disposed.status.success(), "{disposed:?}");
    assert_eq!(fs::read_dir(&copy).expect("the folder stays").count(), 1);
    assert!(copy.join("thesis.tex").is_file() && retained.is_file());
}

/// Failed before where there is no such job: the error did not say which.
#[test]
fn a_statement_stops_a_job_with_a_savepoint_or_without() {
    let cluster = cluster().start();
    let folder = cluster.dir().join("savepoints");
    let run = |statement: String| {
        let directory = format!("SET 'execution.checkpointing.savepoint-dir' = '{}';\n", folder.display());
        let script = cluster.file("stop.sql", &format!("{directory}{statement};\n"));
        cluster.script("sql-client.sh", &["-f", &script.to_string_lossy()])
    };
    let [first, second] = [(); 2].map(|()| cluster.submit(&sql::endless_shuffle(100), 1));
    [&first, &second].into_iter().for_each(|job| cluster.wait_for_tasks(job, LIMIT));
    let stopped = run(format!("STOP JOB '{first}' WITH SAVEPOINT"));
    let said = text(&stopped);
    assert!(stopped.status.success() && said.contains("savepoint path") && said.contains("savepoint-"), "{said}");
    cluster.wait_for_state(&first, "FINISHED", LIMIT);
    let cancelled = run(format!("STOP JOB '{second}'"));
    assert!(cancelled.status.success(), "{}", text(&cancelled));
    cluster.wait_for_state(&second, "CANCELED", LIMIT);
    let none = "0123456789abcdef0123456789abcdef";
    for (how, named) in [("", ""), (" WITH SAVEPOINT", " with a savepoint")] {
        let refused = run(format!("STOP JOB '{none}'{how}"));
        let said = text(&refused);
        assert_eq!(refused.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("Could not stop job {none}{named}.")), "{said}");
    }
}
