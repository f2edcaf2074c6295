//! Chaos: real processes, a seeded schedule of blows, and results that are compared to the last row.
//!
//! `WIESEL_CHAOS_SEED` repeats a schedule, `WIESEL_CHAOS_SECONDS` says how long the blows go on. Two jobs run at once, a
//! windowed aggregate into files, which goes on at other parallelisms again and again, and a group aggregate whose changes a
//! client folds; what they must give follows from their numbers alone, and a run without blows is checked against it first.
//! When both have ended all slots are free, logs are short, and the store holds what complete checkpoints refer to.
//!
//! - [`nodes`]: the JobManager, the TaskManagers, and a proxy before each data port;
//! - [`brake`]: holds a process up for a while, or for a part of the time;
//! - [`schedule`]: which blow comes when;
//! - [`jobs`]: the jobs and their exact results;
//! - [`rescale`]: how one goes on at another parallelism;
//! - [`store`]: where checkpoints go;
//! - [`audit`]: what must be there in the end;
//! - [`disk`]: a disk that can be filled;
//! - [`random`]: numbers from a seed.
pub mod audit;
pub mod brake;
pub mod disk;
pub mod jobs;
pub mod nodes;
pub mod random;
pub mod rescale;
pub mod schedule;
pub mod store;

use std::time::{Duration, Instant};

use crate::Cluster;
use jobs::{FilesJob, GroupJob};
use nodes::Nodes;
use random::Random;
use schedule::{Blow, Rescale, Schedule};
use store::Store;

/// TaskManagers and slots of each: the windowed aggregate at its largest parallelism and the other job fill them.
const TASK_MANAGERS: usize = 3;
const SLOTS: usize = 3;
/// The longest time that the jobs may need after the last blow, beside as long as the blows took.
const REST: Duration = Duration::from_secs(180);
/// What was waited for already has come within this.
const MOMENT: Duration = Duration::from_secs(10);
/// Bytes that a process may log in a minute. One that spins writes many times as much.
const LOG_PER_MINUTE: f64 = 2e6;

/// Where checkpoints go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// A folder, on a disk that is full at times.
    Files,
    /// An S3 server that fails and slows down at times.
    S3,
}

/// A run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The schedule follows from it.
    pub seed: u64,
    /// How long blows fall.
    pub time: Duration,
    /// Where checkpoints go.
    pub storage: Storage,
}

impl Options {
    /// From the environment; without a seed there a new one, without a time a short one.
    pub fn from_environment(storage: Storage) -> Self {
        let number = |key: &str| {
            std::env::var(key)
                .ok()
                .filter(|text| !text.is_empty())
                .map(|text| text.parse::<u64>().unwrap_or_else(|_| panic!("{key}: `{text}` is no number")))
        };
        let seconds = number("WIESEL_CHAOS_SECONDS").unwrap_or(15);
        let seed = number("WIESEL_CHAOS_SEED").unwrap_or_else(random::fresh_seed);
        Self { seed, time: Duration::from_secs(seconds), storage }
    }
}

/// What the jobs' configuration varies with the seed: its last bits.
#[derive(Debug)]
struct Variant {
    rocksdb: bool,
    unaligned: bool,
    /// A process that stands still is given up after five seconds, or never.
    short_heartbeat: bool,
    /// Checkpoints go on after tasks have finished.
    after_finish: bool,
}

impl Variant {
    fn of(seed: u64) -> Self {
        let bit = |number: u32| seed >> number & 1 == 1;
        Self { rocksdb: bit(0), unaligned: bit(1), short_heartbeat: bit(2), after_finish: bit(3) }
    }
}

/// Runs both jobs under blows. Panics with the seed and what happened if a row is lost, doubled or wrong.
pub fn run(test: &str, options: Options) {
    println!("{test}: WIESEL_CHAOS_SEED={} WIESEL_CHAOS_SECONDS={}", options.seed, options.time.as_secs());
    let variant = Variant::of(options.seed);
    println!("{test}: {:?}, {variant:?}", options.storage);
    let Some(mut store) = Store::open(test, options.storage) else { return };
    let cluster = configuration(&store, &variant).prepare();
    let mut nodes = Nodes::start(test, cluster, TASK_MANAGERS, SLOTS);
    println!("{test}: without blows: {}", calm(&nodes.cluster));

    let began = Instant::now();
    let size = jobs::Size::lasting(options.time, !variant.after_finish);
    let mut files = FilesJob::submit(&nodes.cluster, size);
    let group = GroupJob::start(&nodes.cluster, size);
    nodes.cluster.wait_for_tasks(files.id(), REST);
    let tally = fall(test, options, &mut nodes, &mut store, &mut files);
    nodes.heal();
    // What blows have left of this run stays in its folder, beside the checkpoint that the last run begins with.
    println!("{test}: {}", files.rescale(&mut nodes, &store, &Rescale::last()));
    // As in Flink, what a sink has when its input ends is shown without a last checkpoint then, and again after a failure. A sink
    // may have seen the end though the job goes on: others of its tasks may have failed. It is asked once the run under blows is over.
    let repeated = files.may_have_read_all() && !variant.after_finish;
    finish(test, &mut nodes, &store, &mut files, &group, options.time + REST);

    let rows = [files.verify_rows(&nodes.cluster, MOMENT, repeated), group.verify(MOMENT)];
    println!("{test}: {}", rows.join("; "));
    println!("{test}: {}; {tally}; {}; seed {}", nodes.tally, files.statistics(&nodes.cluster), options.seed);
    nodes.cluster.wait_for_free_slots(TASK_MANAGERS * SLOTS);
    println!("{test}: {}", audit::logs(&nodes.cluster, began.elapsed(), LOG_PER_MINUTE));
    println!("{test}: the store holds {}", audit::store(&store, &files.claimed));
    assert!(nodes.tally.kills > 0 || options.time < Duration::from_secs(10), "nothing was killed");
}

/// Runs both jobs in peace: what is expected of them is what they give.
fn calm(cluster: &Cluster) -> String {
    let size = jobs::Size { rows: 20_000, per_second: 20_000 };
    let files = FilesJob::submit(cluster, size);
    let group = GroupJob::start(cluster, size);
    format!("{}, {}", files.verify(cluster, REST), group.verify(REST))
}

/// Lets blows fall for a time. Says how many of which kind.
fn fall(test: &str, options: Options, nodes: &mut Nodes, store: &mut Store, files: &mut FilesJob) -> String {
    let random = Random::new(options.seed);
    let mut schedule = Schedule::new(random, options.time, TASK_MANAGERS, store.has_disk(), store.has_server());
    let began = Instant::now();
    while began.elapsed() < options.time {
        nodes.hold(schedule.pause());
        let blow = schedule.blow();
        let at = || format!("{test}: {:6.1} s", began.elapsed().as_secs_f64());
        println!("{}: {blow:?}", at());
        if let Some(happened) = strike(&blow, nodes, store, files) {
            println!("{}: {happened}", at());
        }
    }
    schedule.tally()
}

/// Waits for the end of both jobs, at most for a time.
fn finish(test: &str, nodes: &mut Nodes, store: &Store, files: &mut FilesJob, group: &GroupJob, limit: Duration) {
    let end = Instant::now() + limit;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        nodes.hold_until(left, |cluster| files.has_ended(cluster));
        match files.settle(nodes, store) {
            Some(happened) => println!("{test}: {happened}"),
            None => break,
        }
    }
    nodes.hold_until(end.saturating_duration_since(Instant::now()), |_| group.has_ended());
}

fn configuration(store: &Store, variant: &Variant) -> crate::ClusterBuilder {
    let builder = Cluster::builder()
        .task_managers(0)
        .slots(SLOTS)
        .set("state.backend.type", if variant.rocksdb { "rocksdb" } else { "hashmap" })
        .set("execution.checkpointing.incremental", variant.rocksdb)
        // State is small here: none is so small that it needs no file.
        .set("execution.checkpointing.data-inline-threshold", "0 b")
        .set("execution.checkpointing.interval", "1 s")
        .set("execution.checkpointing.timeout", "20 s")
        .set("execution.checkpointing.tolerable-failed-checkpoints", 1_000_000)
        .set("execution.checkpointing.unaligned.enabled", variant.unaligned)
        .set("execution.checkpointing.checkpoints-after-tasks-finish", variant.after_finish)
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .restarts(1_000_000, "200 ms")
        .set("heartbeat.interval", "1 s")
        .set("heartbeat.timeout", if variant.short_heartbeat { "5 s" } else { "50 s" });
    store.configure(builder)
}

/// Says what came of it, if that is not plain.
fn strike(blow: &Blow, nodes: &mut Nodes, store: &mut Store, files: &mut FilesJob) -> Option<String> {
    match blow {
        Blow::Kill(which) => nodes.kill(*which),
        Blow::KillAtPoint(which, rule) => nodes.kill_at_point(*which, *rule),
        Blow::Freeze(victim, time) => nodes.freeze(*victim, Duration::ZERO, *time),
        Blow::Cut(which) => nodes.cut(*which),
        Blow::SetClock(victim, seconds) => nodes.set_clock(*victim, *seconds),
        Blow::Pace(which, pace) => nodes.pace(*which, *pace),
        Blow::Rescale(how) => {
            // Only then it is known what there is to end.
            let settled = files.settle(nodes, store);
            return settled.into_iter().chain([files.rescale(nodes, store, how)]).reduce(|a, b| format!("{a}; {b}"));
        }
        Blow::FillDisk(_) | Blow::Storage(..) | Blow::KillStorage(_) => store.strike(blow, nodes),
    }
    None
}
