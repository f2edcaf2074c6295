//! Checkpoints under back-pressure, and what failed ones leave.
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use wiesel_tests::s3::S3Server;
use wiesel_tests::store::{Audit, Place};
use wiesel_tests::{Cluster, ClusterBuilder, eventually, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(60);
/// Two readers that are as fast as they can be, and one sink that sleeps half a second for each batch of a hundred rows.
const SLEEPING_SINK: &str = "source.rows=limit:100;sink.write=pause:500@1+";

fn submit(cluster: &Cluster, unaligned: bool) -> String {
    let folder = cluster.dir().join(format!("rows-{unaligned}"));
    let sql = format!(
        "CREATE TABLE numbers (k INT, text STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '10000000',
           'fields.text.length' = '500');
         CREATE TABLE slow (k INT, text STRING) WITH ('connector' = 'filesystem', 'format' = 'csv',
           'path' = '{}', 'sink.parallelism' = '1');
         INSERT INTO slow SELECT k, text FROM numbers;",
        folder.display()
    );
    let job =
        cluster.submit_with(&sql, &["-p", "2", &format!("-Dexecution.checkpointing.unaligned.enabled={unaligned}")]);
    cluster.wait_for_tasks(&job, LIMIT);
    eventually("the readers are held back", LIMIT, || {
        let details = cluster.get(&format!("/jobs/{job}"));
        let waited = details["vertices"][0]["metrics"]["accumulated-backpressured-time"].as_u64().unwrap_or(0);
        if waited > 1_000 { Ok(()) } else { Err(details.to_string()) }
    });
    job
}

/// Asks for a checkpoint and says how it ended.
fn checkpoint(cluster: &Cluster, job: &str) -> Value {
    cluster.script("flink", &["checkpoint", job]);
    cluster.get(&format!("/jobs/{job}/checkpoints"))["history"][0].clone()
}

/// A barrier that waits its turn comes too late; one that overtakes the rows in flight does not.
#[test]
fn unaligned_checkpoints_complete_while_a_sink_sleeps_and_aligned_ones_time_out() {
    let cluster = Cluster::builder()
        .task_managers(2)
        .slots(2)
        .fault_points(SLEEPING_SINK)
        .set("execution.checkpointing.interval", "1 h")
        .set("execution.checkpointing.timeout", "2 s")
        .set("execution.checkpointing.tolerable-failed-checkpoints", 100)
        .start();
    let aligned = submit(&cluster, false);
    let ended = checkpoint(&cluster, &aligned);
    assert_eq!(ended["status"], "FAILED", "{ended}");
    let message = ended["failure_message"].as_str().unwrap_or_default();
    assert!(message.contains("Checkpoint expired before completing."), "{ended}");
    println!("aligned: {message}");
    cluster.script("flink", &["cancel", &aligned]);
    cluster.wait_for_free_slots(4);

    let unaligned = submit(&cluster, true);
    for _ in 0..5 {
        let ended = checkpoint(&cluster, &unaligned);
        assert_eq!(ended["status"], "COMPLETED", "{ended}");
        println!(
            "unaligned: {} ms, {} bytes, of them {} of rows in flight",
            ended["end_to_end_duration"], ended["state_size"], ended["persisted_data"]
        );
        assert!(ended["persisted_data"].as_u64() > Some(0), "no rows were overtaken: {ended}");
    }
}

/// State that changes all the time: each checkpoint has files that the one before has not.
const STATE: &str = "
    CREATE TABLE numbers (k BIGINT, text STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '40000',
      'fields.k.min' = '1', 'fields.k.max' = '1000000', 'fields.text.length' = '40');
    CREATE TABLE nowhere (k BIGINT, text STRING, c BIGINT) WITH ('connector' = 'blackhole');
    INSERT INTO nowhere SELECT k, MAX(text), COUNT(*) FROM numbers GROUP BY k;";

/// A TaskManager dies when it has written the state of eight tasks: sources come first, the last one is the aggregate's.
const DYING: &str = "checkpoint.before-ack=kill@8";

/// TaskManagers die when they have written their part of a checkpoint, again and again; checkpoints fail of that, and of tasks
/// that are slow. What is left at the end is what complete checkpoints refer to. Failed before: what they had written stayed.
fn only_complete_checkpoints_are_left(cluster: ClusterBuilder, folder: &Place, uploads: Option<&Path>) {
    let cluster = cluster
        .set("execution.checkpointing.dir", &folder.uri)
        .task_managers(2)
        .slots(2)
        .fault_points(DYING)
        .set("state.backend.type", "rocksdb")
        .set("execution.checkpointing.interval", "300 ms")
        .set("execution.checkpointing.incremental", "true")
        .set("execution.checkpointing.data-inline-threshold", "0")
        .set("execution.checkpointing.tolerable-failed-checkpoints", 1_000)
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .restarts(100, "100 ms")
        .start();
    let job = cluster.submit(STATE, 2);
    let alive = || cluster.task_manager_pids().into_iter().filter(|pid| process::is_alive(*pid)).count();
    let start = |fault_points: &str| {
        let mut command = cluster.command("bin/taskmanager.sh");
        let started = command.env("WIESEL_FAULT_POINTS", fault_points).arg("start").output();
        assert!(started.expect("bin/taskmanager.sh can be run").status.success());
    };
    for _ in 0..4 {
        eventually("a TaskManager dies", LIMIT, || match alive() {
            2 => Err("both are alive".to_owned()),
            _ => Ok(()),
        });
        while alive() < 2 {
            start(DYING);
        }
    }
    let complete = || cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["completed"].as_u64().unwrap_or(0);
    let before = complete();
    eventually("checkpoints complete again", LIMIT, || {
        while alive() < 2 {
            start("");
        }
        let complete = complete();
        if complete > before + 8 { Ok(()) } else { Err(format!("{complete}, {before} before")) }
    });
    let counts = cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"].clone();
    let audit = || Audit::of(std::slice::from_ref(folder), uploads);
    println!("{counts}; while it runs: {}", audit().verdict().unwrap_or_else(|unclear| unclear));
    cluster.script("flink", &["cancel", &job]);
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    // The state of the job is terminal before its folder is swept.
    let left = eventually("only what complete checkpoints refer to is left", LIMIT, || match audit() {
        audit if audit.complete() == 0 => Err(format!("no checkpoint is retained: {audit:?}")),
        audit => audit.verdict(),
    });
    println!("at the end {left}");
}

#[test]
fn checkpoints_that_fail_leave_nothing_in_files() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    only_complete_checkpoints_are_left(Cluster::builder(), &Place::local(folder.path()), None);
}

#[test]
fn checkpoints_that_fail_leave_nothing_on_s3() {
    let Some(server) = S3Server::start("checkpoints::checkpoints_that_fail_leave_nothing_on_s3") else { return };
    let mut cluster = Cluster::builder();
    for (key, value) in S3Server::configuration(server.port()) {
        cluster = cluster.set(key, value);
    }
    let folder = server.bucket().join("checkpoints");
    only_complete_checkpoints_are_left(cluster, &folder, Some(&server.unfinished_uploads()));
}

/// It said in any case that a job could be resumed from it, and never from where.
#[test]
fn a_checkpoint_that_is_asked_for_is_said_to_be_retained_only_where_it_is() {
    let cluster = Cluster::builder().set("execution.checkpointing.interval", "1 h").start();
    let folder = format!("-Dexecution.checkpointing.dir=file://{}/retained", cluster.dir().display());
    let retains = "-Dexecution.checkpointing.externalized-checkpoint-retention=RETAIN_ON_CANCELLATION";
    for (options, words) in [
        (&["-p", "1", folder.as_str(), retains][..], "/retained/"),
        (&["-p", "1", folder.as_str()][..], "it is not retained"),
        (&["-p", "1", retains][..], "it is not retained"),
    ] {
        let job = cluster.submit_with(&sql::endless_shuffle(100), options);
        cluster.wait_for_tasks(&job, LIMIT);
        let output = cluster.script("flink", &["checkpoint", &job]);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains(words), "{output:?}");
        assert_eq!(said.contains("Path: file:/"), words == "/retained/", "{said}");
        assert_eq!(said.contains("You can resume"), words == "/retained/", "{said}");
        cluster.script("flink", &["cancel", &job]);
        cluster.wait_for_free_slots(2);
    }
}
