//! Processes that stand still for longer than a call may take, and go on.
use std::time::Duration;

use rustix::process::Signal;
use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::{Cluster, eventually, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(60);

fn stop_and_go(cluster: &Cluster, job: &str, slots: usize) {
    cluster.wait_for_tasks(job, LIMIT);
    cluster.script("flink", &["cancel", job]);
    cluster.wait_for_state(job, "CANCELED", LIMIT);
    cluster.wait_for_free_slots(slots);
}

/// Bytes of all logs.
fn logged(cluster: &Cluster) -> usize {
    cluster.log_text().len()
}

/// A cluster with eight slots whose jobs start again when they fail. Nobody is given up; reports are frequent, so that one
/// comes between any two other messages.
fn cluster(task_managers: usize) -> Cluster {
    let builder = Cluster::builder().task_managers(task_managers).slots(8 / task_managers);
    let builder = builder.set("heartbeat.interval", "100 ms").set("heartbeat.timeout", "50 s");
    builder.set("execution.checkpointing.interval", "1 s").start()
}

/// A TaskManager stands still while a job asks for all slots: longer than a call or an offer is waited for, not so long that
/// the TaskManager is given up. When it goes on, so does the job, and the next one.
fn a_stall_while_slots_are_requested(task_managers: usize, stalls: &[u64]) {
    let cluster = cluster(task_managers);
    for stall in stalls {
        let before = logged(&cluster);
        let stalled = cluster.task_manager_pids()[task_managers - 1];
        process::signal(stalled, Signal::STOP);
        let job = cluster.submit(&sql::endless_shuffle(1_000), 8);
        // The stall itself is what is tested.
        std::thread::sleep(Duration::from_secs(*stall));
        process::signal(stalled, Signal::CONT);
        stop_and_go(&cluster, &job, 8);
        let next = cluster.submit(&sql::endless_shuffle(1_000), 8);
        stop_and_go(&cluster, &next, 8);
        let grown = logged(&cluster) - before;
        println!("{task_managers} TaskManagers, {stall} s: {grown} bytes of logs");
        assert!(grown < 1 << 20, "{grown} bytes of logs were written");
    }
}

#[test]
fn a_task_manager_that_stands_still_while_all_its_slots_are_requested() {
    a_stall_while_slots_are_requested(1, &[13, 18]);
}

#[test]
fn one_of_four_task_managers_that_stands_still_while_slots_are_requested() {
    a_stall_while_slots_are_requested(4, &[13, 18]);
}

#[test]
fn a_job_manager_that_stands_still_while_slots_are_offered() {
    let cluster = cluster(2);
    for pause in [5, 60] {
        let job = cluster.submit(&sql::endless_shuffle(1_000), 8);
        // Each time at another step of the deployment.
        std::thread::sleep(Duration::from_millis(pause));
        process::signal(cluster.job_manager_pid(), Signal::STOP);
        std::thread::sleep(Duration::from_secs(13));
        process::signal(cluster.job_manager_pid(), Signal::CONT);
        stop_and_go(&cluster, &job, 8);
    }
}

#[test]
fn a_task_manager_that_stands_still_while_its_job_is_cancelled() {
    let cluster = cluster(2);
    let stalled = cluster.task_manager_pids()[1];
    let job = cluster.submit(&sql::endless_shuffle(1_000), 8);
    cluster.wait_for_tasks(&job, LIMIT);
    process::signal(stalled, Signal::STOP);
    cluster.script("flink", &["cancel", &job]);
    std::thread::sleep(Duration::from_secs(15));
    process::signal(stalled, Signal::CONT);
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    let next = cluster.submit(&sql::endless_shuffle(1_000), 8);
    eventually("the next job runs", LIMIT, || match cluster.state(&next).as_str() {
        "RUNNING" => Ok(()),
        other => Err(other.to_owned()),
    });
    stop_and_go(&cluster, &next, 8);
}

/// A TaskManager stands still after its tasks were deployed and before they open; they are given up, and others write the
/// files. When it goes on, its tasks open before they hear that they are over: what the others write is not theirs to remove.
/// Before the mend 441 of 6,001 results were missing, and the job had FINISHED.
#[test]
fn tasks_that_were_given_up_remove_no_files_of_those_that_took_over() {
    let cluster = Cluster::builder()
        .task_managers(1)
        .slots(1)
        .set("execution.checkpointing.interval", "1 s")
        .set("heartbeat.interval", "500 ms")
        .set("heartbeat.timeout", "3 s")
        .restarts(1_000, "200 ms")
        .start();
    cluster.start_one("taskmanager.sh", |late| {
        late.env("WIESEL_FAULT_POINTS", "restore.before-open=pause:2000@1+");
    });
    cluster.wait_for_slots(2);
    let late = cluster.task_manager_pids()[1];
    let job = FilesJob::submit(&cluster, Size { rows: 60_000, per_second: 4_000 });
    eventually("its tasks are about to open", LIMIT, || match cluster.log_text().contains("restore.before-open") {
        true => Ok(()),
        false => Err(cluster.state(job.id())),
    });
    process::signal(late, Signal::STOP);
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.wait_for_tasks(job.id(), LIMIT);
    eventually("the others write", LIMIT, || {
        let completed = cluster.get(&format!("/jobs/{}/checkpoints", job.id()))["counts"]["completed"].as_u64();
        if completed >= Some(4) { Ok(()) } else { Err(format!("{completed:?} checkpoints")) }
    });
    process::signal(late, Signal::CONT);
    println!("{}", job.verify(&cluster, LIMIT));
}
