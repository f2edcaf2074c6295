//! A task that takes more memory than there is.
use std::time::Duration;

use wiesel_tests::{Cluster, process};

use super::sql;

const LIMIT: Duration = Duration::from_secs(120);

/// Before, it went on for as long as the system let it, and then the TaskManager was killed with all jobs on it.
#[test]
fn a_task_that_holds_too_much_fails_and_the_jobs_beside_it_go_on() {
    let cluster = Cluster::builder()
        .slots(2)
        .set("taskmanager.memory.process.size", "512m")
        .set("taskmanager.memory.jvm-metaspace.size", "16m")
        .set("taskmanager.memory.jvm-overhead.min", "16m")
        .set("taskmanager.memory.framework.heap.size", "16m")
        .set("taskmanager.memory.framework.off-heap.size", "16m")
        .set("taskmanager.memory.managed.size", "16m")
        .start();
    let pids = cluster.task_manager_pids();
    let count = "CREATE TABLE numbers (n BIGINT) WITH ('connector' = 'datagen', 'rows-per-second' = '2000',
           'fields.n.kind' = 'sequence', 'fields.n.start' = '1', 'fields.n.end' = '20000');
         SELECT COUNT(*), SUM(n) FROM numbers;\n";
    // Each text is another group, in memory for ever.
    let hoard = format!(
        "CREATE TABLE texts (s STRING) WITH ('connector' = 'datagen', 'rows-per-second' = '1000000',
           'fields.s.length' = '1000');\n\
         {}INSERT INTO nowhere SELECT s, COUNT(*) FROM texts GROUP BY s;\n",
        sql::blackhole("s STRING, c BIGINT, PRIMARY KEY (s) NOT ENFORCED")
    );
    let rows = std::thread::scope(|scope| {
        let client = scope.spawn(|| cluster.rows(count, 1));
        let job = cluster.submit(&hoard, 1);
        cluster.wait_for_state(&job, "FAILED", LIMIT);
        let cause = cluster.failure(&job);
        for part in ["OutOfMemoryError", "512.000mb", "'taskmanager.memory.process.size'", "A restart helps only if"] {
            assert!(cause.contains(part), "{part}: {cause}");
        }
        client.join().expect("the client ends")
    });
    assert_eq!(rows, [["20000", "200010000"]]);
    assert_eq!(cluster.task_manager_pids(), pids);
    assert!(pids.iter().all(|pid| process::is_alive(*pid)), "{}", cluster.log_text());
    cluster.wait_for_free_slots(2);
    let after = cluster.run(&sql::trivial(), &["-p", "2"]);
    assert!(after.status.success(), "{after:?}");
}
