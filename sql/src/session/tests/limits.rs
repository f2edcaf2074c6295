//! What short statements may cost: constants that stand for much, and queries whose plans would be out of proportion.
use std::time::{Duration, Instant};

use prost::Message;

use super::{Outcome, fails, run, session};
use crate::on_deep_stack;

const TABLES: &str = "CREATE TABLE t (a INT, s STRING) WITH ('connector' = 'datagen');
    CREATE TABLE sink (x STRING) WITH ('connector' = 'blackhole');\n";

/// What plans of a few thousand operators may take, with a compiler that optimises nothing and others at work on the machine.
const LIMIT: Duration = Duration::from_secs(30);

/// The bytes of the job graph of a script, and how long it took.
fn planned(script: &str) -> (usize, Duration) {
    let script = format!("{TABLES}{script}");
    on_deep_stack(|| {
        let start = Instant::now();
        let graph = match run(&mut session(), &script) {
            Ok(Outcome::Insert(job)) => job.graph,
            Ok(Outcome::Query(job)) => job.graph,
            outcome => panic!("{script:.200}: {outcome:?}"),
        };
        println!("{script:.200}: {:?}", start.elapsed());
        (graph.encoded_len(), start.elapsed())
    })
    .unwrap()
}

fn refused(script: &str) -> String {
    let script = format!("{TABLES}{script}");
    on_deep_stack(|| fails(&mut session(), &script)).unwrap()
}

/// Before, the JobManager computed the text: 2.3 GB.
#[test]
fn constants_that_stand_for_much_are_left_to_the_job() {
    for constant in ["REPEAT('x', 400000000)", "LPAD('x', 400000000, 'ab')", "REPEAT(REPEAT('x', 20000), 20000)"] {
        let (bytes, took) = planned(&format!("INSERT INTO sink SELECT {constant} FROM t;"));
        assert!(bytes < 50_000 && took < LIMIT, "{constant}: {bytes} bytes in {took:?}");
    }
    let many = vec!["REPEAT('x', 16000)"; 1_000].join(", ");
    let (bytes, took) = planned(&format!("SELECT {many} FROM t;"));
    assert!(bytes < 2_000_000 && took < LIMIT, "{bytes} bytes in {took:?}");
    let long = "x".repeat(100_000);
    let many = vec!["x || s"; 1_000].join(" || ");
    let (bytes, took) = planned(&format!("INSERT INTO sink SELECT {many} FROM (SELECT '{long}' AS x, s FROM t);"));
    assert!(bytes < 2_000_000 && took < LIMIT, "{bytes} bytes in {took:?}");
}
