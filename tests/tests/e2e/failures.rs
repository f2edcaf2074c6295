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
    assert!(cause.to_lowercase().contains("taskmanager"), "the cause names no TaskManager: {cause}");
    cluster.wait_for_slots(1);
    cluster.wait_for_free_slots(1);
    let after = cluster.run(&sql::trivial(), &["-p", "1"]);
    assert!(after.status.success(), "{after:?}");
}

#[test]
fn kill_9_of_a_task_manager_during_a_shuffle_restarts_the_job_from_the_beginning() {
    let cluster = Cluster::builder()
        .task_managers(3)
        .slots(1)
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", 3)
        .set("restart-strategy.fixed-delay.delay", "100 ms")
        .start();
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
