//! Clocks that are set while processes run. What takes time is measured by a clock that nobody sets.
use std::time::{Duration, Instant};

use wiesel_tests::clock::Clock;
use wiesel_tests::{Cluster, eventually};

use super::sql;

const LIMIT: Duration = Duration::from_secs(30);

/// A cluster whose JobManager has a clock of its own.
fn cluster(test: &str) -> Option<(Cluster, Clock)> {
    let cluster = Cluster::builder().slots(2).set("execution.checkpointing.interval", "500 ms").prepare();
    let clock = Clock::new(test, cluster.dir(), "jobmanager")?;
    cluster.start_one("jobmanager.sh", |command| clock.apply(command));
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.start_one("taskmanager.sh", |_| {});
    cluster.wait_for_slots(4);
    Some((cluster, clock))
}

fn completed(cluster: &Cluster, job: &str) -> u64 {
    cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["completed"].as_u64().unwrap_or(0)
}

fn wait_for_checkpoints(cluster: &Cluster, job: &str, more: u64) {
    let wanted = completed(cluster, job) + more;
    eventually("checkpoints", LIMIT, || match completed(cluster, job) {
        enough if enough >= wanted => Ok(()),
        few => Err(format!("{few} of {wanted} checkpoints")),
    });
}

fn runs_through_steps(test: &str, steps: &[i64]) {
    let Some((cluster, clock)) = cluster(test) else { return };
    let job = cluster.submit(&sql::endless_shuffle(1_000), 4);
    cluster.wait_for_tasks(&job, LIMIT);
    wait_for_checkpoints(&cluster, &job, 2);
    for step in steps {
        clock.set(*step);
        // Longer than a silent TaskManager is looked for, more often than the interval.
        let until = Instant::now() + Duration::from_secs(6);
        eventually("time goes by", LIMIT, || if Instant::now() > until { Ok(()) } else { Err(String::new()) });
        assert_eq!(cluster.get("/overview")["taskmanagers"], 2, "{step:+} s: TaskManagers were lost");
        assert_eq!(cluster.state(&job), "RUNNING", "{step:+} s: {}", cluster.failure(&job));
        assert_eq!(cluster.failure(&job), "", "{step:+} s");
        wait_for_checkpoints(&cluster, &job, 4);
        println!("{step:+} s: {} checkpoints", completed(&cluster, &job));
    }
    cluster.script("flink", &["cancel", &job]);
    cluster.wait_for_state(&job, "CANCELED", LIMIT);
    cluster.wait_for_free_slots(4);
}

#[test]
fn a_job_manager_whose_clock_is_set_a_minute_on_loses_nobody() {
    runs_through_steps("clocks::a_job_manager_whose_clock_is_set_a_minute_on_loses_nobody", &[60, 3_600]);
}

#[test]
fn a_job_manager_whose_clock_is_set_an_hour_back_takes_checkpoints() {
    runs_through_steps("clocks::a_job_manager_whose_clock_is_set_an_hour_back_takes_checkpoints", &[-3_600, 0]);
}
