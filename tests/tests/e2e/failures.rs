//! Processes that vanish.
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::{Cluster, eventually, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(30);

#[test]
fn kill_9_of_a_task_manager_during_a_shuffle_fails_the_job_with_the_cause() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let job = cluster.submit(&sql::endless_shuffle(10_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    let killed = cluster.task_manager_pids()[0];
    process::signal(killed, Signal::KILL);
    cluster.wait_for_state(&job, "FAILED", LIMIT);
    let cause = cluster.failure(&job);
    // Whoever notices first tells: the ResourceManager ("TaskManager with id ...") or a task whose connection broke, in Flink's
    // words ("remote task manager ...").
    let cause = cause.to_lowercase();
    let named = cause.contains("taskmanager with id") || cause.contains("remote task manager");
    assert!(named, "the cause names no TaskManager: {cause}");
    cluster.wait_for_slots(1);
    cluster.wait_for_free_slots(1);
    let after = cluster.run(&sql::trivial(), &["-p", "1"]);
    assert!(after.status.success(), "{after:?}");
}

#[test]
fn kill_9_of_a_task_manager_during_a_shuffle_restarts_the_job_from_the_beginning() {
    let cluster = Cluster::builder().task_managers(3).slots(1).restarts(3, "100 ms").start();
    let job = cluster.submit(&sql::bounded_shuffle(10_000, 2_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    let busy = cluster.get("/taskmanagers")["taskmanagers"].as_array().cloned().unwrap_or_default();
    assert_eq!(busy.iter().filter(|one| one["freeSlots"] == 0).count(), 2, "{busy:?}");
    // One of two TaskManagers has a part of the job.
    for pid in &cluster.task_manager_pids()[..2] {
        process::signal(*pid, Signal::KILL);
    }
    eventually("a restart", LIMIT, || {
        let details = cluster.get(&format!("/jobs/{job}"));
        let restarted = details["timestamps"]["RESTARTING"].as_u64().unwrap_or(0) > 0;
        if restarted { Ok(()) } else { Err(details.to_string()) }
    });
    assert!(cluster.script("taskmanager.sh", &["start"]).status.success());
    cluster.wait_for_state(&job, "FINISHED", LIMIT);
    assert!(!cluster.failure(&job).is_empty(), "the failure is not in the history");
    cluster.wait_for_free_slots(2);
}

#[test]
fn a_task_manager_that_stops_gracefully_says_so() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let job = cluster.submit(&sql::endless_shuffle(1_000), 2);
    cluster.wait_for_tasks(&job, LIMIT);
    assert!(cluster.script("taskmanager.sh", &["stop"]).status.success());
    cluster.wait_for_state(&job, "FAILED", LIMIT);
    cluster.wait_for_slots(1);
}

#[test]
fn task_managers_come_back_to_a_new_job_manager() {
    let cluster =
        Cluster::builder().task_managers(1).set("heartbeat.interval", "1 s").set("heartbeat.timeout", "5 s").start();
    process::signal(cluster.job_manager_pid(), Signal::KILL);
    eventually("the JobManager is gone", LIMIT, || match process::is_alive(cluster.job_manager_pid()) {
        true => Err("it still runs".to_owned()),
        false => Ok(()),
    });
    assert!(cluster.script("jobmanager.sh", &["start"]).status.success());
    cluster.wait_for_slots(2);
    let after = cluster.run(&sql::trivial(), &["-p", "2"]);
    assert!(after.status.success(), "{after:?}\n{}", cluster.log_text());
}

#[test]
fn every_row_of_a_select_is_shown_once_when_task_managers_are_killed() {
    const ROWS: i64 = 30_000;
    let cluster = Cluster::builder()
        .task_managers(3)
        .slots(2)
        .set("execution.checkpointing.interval", "300 ms")
        .restarts(100, "100 ms")
        .start();
    let select = format!(
        "SET 'execution.checkpointing.dir' = 'file://{}';\n\
         CREATE TABLE g (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '5000',\n\
         'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '{ROWS}');\n\
         SELECT n FROM g;\n",
        cluster.dir().join("checkpoints").display()
    );
    let counts = || {
        let jobs = cluster.get("/jobs");
        let job = jobs["jobs"][0]["id"].as_str().map(str::to_owned);
        job.map(|job| cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"].clone()).unwrap_or_default()
    };
    let at_least = |what: &str, number: u64| {
        eventually(what, LIMIT, || {
            let counts = counts();
            if counts[what].as_u64() >= Some(number) { Ok(()) } else { Err(counts.to_string()) }
        });
    };
    let rows = std::thread::scope(|scope| {
        let client = scope.spawn(|| cluster.rows(&select, 2));
        for kill in 1..=2 {
            at_least("completed", counts()["completed"].as_u64().unwrap_or(0) + 2);
            // Two of three: one of them at least has a part of the job.
            let alive = cluster.task_manager_pids().into_iter().filter(|pid| process::is_alive(*pid));
            alive.take(2).for_each(|pid| process::signal(pid, Signal::KILL));
            for _ in 0..2 {
                assert!(cluster.script("taskmanager.sh", &["start"]).status.success());
            }
            at_least("restored", kill);
        }
        client.join().expect("the client ends")
    });
    let mut numbers: Vec<i64> = rows.iter().map(|row| row[0].parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers.len() as i64, ROWS);
    assert!(numbers.into_iter().eq(1..=ROWS), "rows are missing or there twice");
}
