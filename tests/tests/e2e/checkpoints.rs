//! Checkpoints under back-pressure.
use std::time::Duration;

use serde_json::Value;
use wiesel_tests::{Cluster, eventually};

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
