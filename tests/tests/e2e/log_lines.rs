//! Lines of the logs name the job, the task and the checkpoint that they are about, on both sides.
use std::time::Duration;

use wiesel_tests::{Cluster, eventually};

const LIMIT: Duration = Duration::from_secs(60);

/// The lines of the logs whose names contain this, and which contain these words.
fn lines(cluster: &Cluster, log: &str, words: &[&str]) -> Vec<String> {
    let files = cluster.log_files();
    let texts = files.iter().filter(|(path, _)| path.to_string_lossy().contains(log)).map(|(_, text)| text);
    let all = texts.flat_map(|text| text.lines());
    all.filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
}

/// A job that has failed for good because of a line of its file, in each of its attempts.
fn failed_job(cluster: &Cluster) -> String {
    let bad = cluster.file("bad.csv", "1\nthree\n");
    let job = cluster.submit(
        &format!(
            "CREATE TABLE t (n INT) WITH ('connector' = 'filesystem', 'path' = '{}', 'format' = 'csv');
             CREATE TABLE nowhere (n INT) WITH ('connector' = 'blackhole');
             INSERT INTO nowhere SELECT n FROM t;",
            bad.display()
        ),
        1,
    );
    cluster.wait_for_state(&job, "FAILED", LIMIT);
    job
}

/// Failed before: the TaskManager's line had no job, the JobManager had no line that named task and TaskManager, and lines of
/// sinks had neither.
#[test]
fn lines_about_tasks_and_checkpoints_name_all_that_they_belong_to() {
    let cluster = Cluster::builder()
        .set("execution.checkpointing.interval", "200 ms")
        .set("restart-strategy.type", "none")
        .start();
    let failing = failed_job(&cluster);
    let job = format!("job_id={failing}");
    for log in ["taskexecutor", "standalonesession"] {
        let failed = lines(&cluster, log, &["task failed"]);
        assert_eq!(failed.len(), 1, "{log}: {failed:?}");
        for word in [&*job, "(1/1)#0", " task=", " task_manager=", "three"] {
            assert!(failed[0].contains(word), "{log} does not say `{word}`: {failed:?}");
        }
    }
    let folder = cluster.dir().join("parts");
    let committing = cluster.submit(
        &format!(
            "CREATE TABLE numbers (n INT) WITH ('connector' = 'datagen', 'rows-per-second' = '50', 'fields.n.max' = '3',
               'fields.n.min' = '0');
             CREATE TABLE parts (n INT, p STRING) PARTITIONED BY (p) WITH ('connector' = 'filesystem', 'path' = '{}',
               'format' = 'csv', 'sink.partition-commit.policy.kind' = 'success-file');
             INSERT INTO parts SELECT n, CAST(n AS STRING) FROM numbers;",
            folder.display()
        ),
        1,
    );
    let committed = || lines(&cluster, "taskexecutor", &["committed a partition"]);
    eventually("a partition is committed", LIMIT, || match committed().is_empty() {
        true => Err(cluster.state(&committing)),
        false => Ok(()),
    });
    let job = format!("job_id={committing}");
    for line in committed() {
        for word in [&*job, " task=", "checkpoint_id="] {
            assert_eq!(line.matches(word).count(), 1, "`{word}` is not there once: {line}");
        }
    }
    cluster.script("flink", &["cancel", &committing]);
    let of_checkpoints = lines(&cluster, "", &["checkpoint_id="]);
    assert!(of_checkpoints.iter().all(|line| line.contains("job_id=")), "{of_checkpoints:#?}");
}

/// Before, what had been said of one attempt was said of no other within ten seconds.
#[test]
fn the_story_of_a_job_with_a_few_restarts_is_complete() {
    let cluster = Cluster::builder().restarts(2, "10 ms").start();
    let job = failed_job(&cluster);
    let of_job = format!("job_id={job}");
    for log in ["taskexecutor", "standalonesession"] {
        for attempt in ["(1/1)#0", "(1/1)#1", "(1/1)#2"] {
            let failed = lines(&cluster, log, &["task failed", &of_job, attempt]);
            assert_eq!(failed.len(), 1, "{log}, {attempt}: {failed:?}");
        }
    }
    for attempt in ["#0", "#1", "#2"] {
        let starts = lines(&cluster, "taskexecutor", &["task starts", &of_job, attempt]);
        assert!(!starts.is_empty(), "nothing says that attempt {attempt} starts");
    }
    eventually("the last line of the job", LIMIT, || {
        let restarts = lines(&cluster, "standalonesession", &["job restarts", &of_job]).len();
        let failed = lines(&cluster, "standalonesession", &["job failed", &of_job]).len();
        if (restarts, failed) == (2, 1) { Ok(()) } else { Err(format!("{restarts} restarts, {failed} ends")) }
    });
}
