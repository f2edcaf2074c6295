//! State whose rows are in a former encoding is written anew when it is restored, and a process may die at any part of that.
use std::time::Duration;

use wiesel_tests::chaos::jobs::{FilesJob, Size};
use wiesel_tests::{Cluster, eventually, former_rows, process};

use super::savepoints::{local, stop, wait_for_rows};

const LIMIT: Duration = Duration::from_secs(60);
const SMALL_PARTS: &str = "restore.part=limit:2";

#[test]
fn an_attempt_that_dies_between_two_parts_is_followed_by_one_that_has_everything_once() {
    let cluster = Cluster::builder()
        .task_managers(2)
        .slots(3)
        .fault_points(&format!("{SMALL_PARTS};restore.between-parts=kill@2"))
        .set("execution.checkpointing.data-inline-threshold", "1 mb")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", 100)
        .start();
    let mut job = FilesJob::submit(&cluster, Size { rows: 20_000, per_second: 4_000 });
    wait_for_rows(&cluster, job.id(), 500);
    let savepoint = stop(&cluster, job.id(), &cluster.dir().join("savepoints"));
    let entries = former_rows::rewrite(&local(&savepoint), "slices").unwrap();
    println!("{entries} entries are as they were written before");

    let first = cluster.task_manager_pids();
    job.run(&cluster, &["-s", &savepoint, "-p", "2", "-Dexecution.checkpointing.interval=1 s"]);
    eventually("a TaskManager dies between two parts", LIMIT, || {
        match first.iter().all(|pid| process::is_alive(*pid)) {
            true => Err(format!("{entries} entries, all TaskManagers run")),
            false => Ok(()),
        }
    });
    for _ in 0..2 {
        cluster.start_one("taskmanager.sh", |command| {
            command.env("WIESEL_FAULT_POINTS", SMALL_PARTS);
        });
    }
    println!("{}", job.verify(&cluster, LIMIT));
    assert!(cluster.log_text().contains("state of an earlier release was written anew"));
}
