//! Many jobs, at once and one after another.
use std::time::Duration;

use wiesel_tests::process::{Usage, usage};
use wiesel_tests::{Cluster, eventually};

use super::sql;

#[test]
fn twenty_jobs_at_once() {
    let cluster = Cluster::builder().task_managers(2).slots(20).start();
    let jobs: Vec<String> = (0..20).map(|_| cluster.submit(&sql::bounded_shuffle(4_000, 2_000), 2)).collect();
    let running = cluster.get("/overview")["jobs-running"].as_u64().unwrap_or(0);
    for job in &jobs {
        cluster.wait_for_state(job, "FINISHED", Duration::from_secs(90));
    }
    println!("{running} jobs of {} ran at once", jobs.len());
    assert!(running > 1, "jobs ran one after another");
    cluster.wait_for_free_slots(40);
}

#[test]
fn two_hundred_short_jobs_leave_no_trace() {
    let cluster = Cluster::builder().task_managers(2).slots(1).start();
    let script = sql::trivial();
    let run = |jobs: usize| {
        for _ in 0..jobs {
            let done = cluster.run(&script, &["-p", "2"]);
            assert!(done.status.success(), "{done:?}\n{}", cluster.log_text());
        }
    };
    let used = || -> Vec<Usage> { cluster.all_pids().into_iter().map(|pid| usage(pid).expect("it runs")).collect() };
    run(50);
    cluster.wait_for_free_slots(2);
    let before = used();
    run(200);
    cluster.wait_for_free_slots(2);
    println!("JobManager, TaskManagers before: {before:?}\nafter 200 jobs: {:?}", used());
    // Threads and files of the last job go within moments; those that stay would be hundreds.
    eventually("no growth", Duration::from_secs(15), || {
        let after = used();
        let grown = before.iter().zip(&after).any(|(before, after)| {
            after.threads > before.threads + 4
                || after.files > before.files + 6
                || after.resident_kib > before.resident_kib + 16 * 1024
        });
        if grown { Err(format!("before {before:?}, after {after:?}")) } else { Ok(()) }
    });
}
