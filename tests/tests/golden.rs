//! Every script of `tests/sql` against what Apache Flink answered.
use std::path::Path;
use std::sync::Mutex;

use wiesel_tests::{Cluster, golden};

#[test]
fn scripts_answer_as_apache_flink_does() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let data = folder.join("data");
    let scripts = golden::scripts(&folder).unwrap();
    assert!(scripts.len() >= 60, "only {} scripts", scripts.len());
    let cluster = Cluster::builder().task_managers(2).slots(4).start();
    let queue = Mutex::new(scripts.iter());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap().next();
                    let Some(script) = next else { break };
                    let name = script.strip_prefix(&folder).unwrap().display();
                    let differences = golden::run(&cluster, script, &data, 1).unwrap();
                    let differences = differences.into_iter().map(|difference| format!("{name}: {difference}"));
                    failures.lock().unwrap().extend(differences);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort();
    assert!(failures.is_empty(), "{} of {} scripts:\n{}", failures.len(), scripts.len(), failures.join("\n"));
}
