//! A sink that is slower than its source.
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use wiesel_tests::process::{signal, usage};
use wiesel_tests::{Cluster, eventually};

/// How much the TaskManagers may have in flight: network memory, batches in operators, the collected result.
const BUDGET_KIB: u64 = 256 * 1024;

/// The client takes rows for a hundredth of the time, the source makes as many as it can: memory stays at its budget.
#[test]
fn a_slow_sink_holds_the_source_back() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let script = cluster.file(
        "slow.sql",
        "CREATE TABLE numbers (k INT, text STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '10000000',
           'fields.text.length' = '200');
         SELECT k, text FROM numbers;",
    );
    let idle: Vec<u64> = cluster.task_manager_pids().iter().map(|pid| usage(*pid).unwrap().resident_kib).collect();
    let mut client = cluster
        .command("bin/sql-client.sh")
        .args(["-Dparallelism.default=2", "-f"])
        .arg(&script)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let job = eventually("the job runs", Duration::from_secs(20), || {
        let jobs = cluster.get("/jobs/overview");
        let running = jobs["jobs"].as_array().into_iter().flatten().find(|job| job["state"] == "RUNNING");
        running.and_then(|job| job["jid"].as_str()).map(str::to_owned).ok_or_else(|| jobs.to_string())
    });
    cluster.wait_for_tasks(&job, Duration::from_secs(20));
    let peak = |seconds: u64| {
        let end = Instant::now() + Duration::from_secs(seconds);
        let mut peak = vec![0; idle.len()];
        while Instant::now() < end {
            // The sink's pace, not a wait: ten milliseconds of each second.
            signal(client.id(), Signal::CONT);
            std::thread::sleep(Duration::from_millis(2));
            signal(client.id(), Signal::STOP);
            std::thread::sleep(Duration::from_millis(198));
            for (peak, pid) in peak.iter_mut().zip(cluster.task_manager_pids()) {
                *peak = (*peak).max(usage(pid).map_or(u64::MAX, |usage| usage.resident_kib));
            }
        }
        peak
    };
    let (first, second) = (peak(4), peak(6));
    println!("resident KiB of the TaskManagers: idle {idle:?}, peak of 4 s {first:?}, of the next 6 s {second:?}");
    for i in 0..idle.len() {
        assert!(second[i] < idle[i] + BUDGET_KIB, "memory is not bounded: {idle:?} {first:?} {second:?}");
        assert!(second[i] < first[i] + 48 * 1024, "memory grows: {first:?} {second:?}");
    }
    assert_eq!(cluster.state(&job), "RUNNING");
    signal(client.id(), Signal::CONT);
    signal(client.id(), Signal::INT);
    let cancel = cluster.script("flink", &["cancel", &job]);
    eventually("the job ends", Duration::from_secs(20), || match cluster.state(&job).as_str() {
        "CANCELED" => Ok(()),
        other => Err(format!("{other} {cancel:?}")),
    });
    cluster.wait_for_free_slots(2);
    signal(client.id(), Signal::KILL);
    client.wait().unwrap();
}
