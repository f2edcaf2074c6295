//! A task that holds too much, under the allocator of the TaskManager's process.
#![allow(missing_docs, clippy::unwrap_used)]
mod common;

use common::{Cluster, edge, is_end, sink, source};
use wiesel_common::process;
use wiesel_proto::ExecutionState::{Failed, Finished, Initializing, Running};
use wiesel_proto::Partitioner;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// A process of 320 MiB, of which tasks may hold 224.
const SMALL: [(&str, &str); 8] = [
    ("taskmanager.memory.process.size", "320m"),
    ("taskmanager.memory.jvm-metaspace.size", "16m"),
    ("taskmanager.memory.jvm-overhead.min", "16m"),
    ("taskmanager.memory.framework.heap.size", "16m"),
    ("taskmanager.memory.framework.off-heap.size", "16m"),
    ("taskmanager.memory.network.min", "16m"),
    ("taskmanager.memory.network.max", "16m"),
    ("taskmanager.memory.managed.size", "16m"),
];

/// Before, it went on, and the system ended the process with all tasks in it.
#[test]
fn a_task_that_holds_too_much_fails_alone_and_gives_it_back() {
    let mut cluster = Cluster::start(1, 1, &SMALL);
    let before = process::resident_bytes();
    let endless = || source(1, &[("endless", "")]);
    let job = cluster.submit(
        vec![endless(), sink(1, &[("slow", "")]), endless(), sink(1, &[("hoard", "")])],
        vec![edge(0, 1, Partitioner::Hash), edge(2, 3, Partitioner::Hash)],
    );
    let (neighbours, hoarder) = ([&job.attempts[0][0], &job.attempts[1][0]], &job.attempts[3][0]);
    cluster.until("its end", |heard| heard.states.get(hoarder).is_some_and(|states| is_end(states)));
    assert_eq!(cluster.state(hoarder), [Initializing, Running, Failed]);
    let failure = cluster.job_manager.heard.lock().failures[hoarder].clone();
    for part in ["Sink (1/1)#0 holds", "320.000mb", "224.000mb", "'taskmanager.memory.process.size'", "A restart helps"]
    {
        assert!(failure.message.contains(part), "{part}: {}", failure.message);
    }
    assert_eq!(failure.class, "java.lang.OutOfMemoryError");
    for attempt in neighbours {
        cluster.until("running", |heard| heard.states.get(attempt).is_some_and(|states| states.contains(&Running)));
        assert_eq!(cluster.state(attempt), [Initializing, Running]);
    }
    cluster.cancel(&job);
    cluster.finish(&job);
    let after = process::resident_bytes();
    assert!(after < before + (64 << 20), "{before} bytes before, {after} after");
    let next = cluster.submit(vec![source(1, &[]), sink(1, &[])], vec![edge(0, 1, Partitioner::Hash)]);
    cluster.finish(&next);
    assert_eq!(cluster.state(&next.attempts[1][0]), [Initializing, Running, Finished]);
}
