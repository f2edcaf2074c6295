//! Chaos: real processes, a seeded schedule of blows, and results that are compared to the last row.
//!
//! `WIESEL_CHAOS_SEED` repeats a schedule, `WIESEL_CHAOS_SECONDS` says how long the blows go on. Two jobs run at once, a
//! windowed aggregate into files and a group aggregate whose changes a client folds; what they must give follows from
//! their numbers alone, and a run without blows is checked against it first.
//!
//! - [`nodes`]: the JobManager, the TaskManagers, and a proxy before each data port;
//! - [`schedule`]: which blow comes when;
//! - [`jobs`]: the jobs and their exact results;
//! - [`disk`]: a disk that can be filled;
//! - [`random`]: numbers from a seed.
pub mod disk;
pub mod jobs;
pub mod nodes;
pub mod random;
pub mod schedule;

use std::time::{Duration, Instant};

use crate::proxy::Proxy;
use crate::s3::{self, S3Server};
use crate::{Cluster, skip};
use disk::SmallDisk;
use jobs::{FilesJob, GroupJob};
use nodes::Nodes;
use random::Random;
use schedule::{Blow, Schedule};

/// TaskManagers and slots of each: the two jobs fill them.
const TASK_MANAGERS: usize = 2;
const SLOTS: usize = 2;
/// The longest time that the jobs may need after the last blow, beside as long as the blows took.
const REST: Duration = Duration::from_secs(180);
/// Enough for the checkpoints and the local state of both jobs, and soon full.
const DISK_MEGABYTES: u64 = 192;

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

/// What the jobs' configuration varies with the seed: its last two bits.
#[derive(Debug)]
struct Variant {
    rocksdb: bool,
    unaligned: bool,
}

/// Where checkpoints go in this run, and what can go wrong there.
struct Store {
    server: Option<S3Server>,
    proxy: Option<Proxy>,
    disk: Option<SmallDisk>,
    directory: String,
    local: String,
    _folder: tempfile::TempDir,
}

/// Runs both jobs under blows. Panics with the seed and what happened if a row is lost, doubled or wrong.
pub fn run(test: &str, options: Options) {
    println!("{test}: WIESEL_CHAOS_SEED={} WIESEL_CHAOS_SECONDS={}", options.seed, options.time.as_secs());
    let random = Random::new(options.seed);
    let variant = Variant { rocksdb: options.seed & 1 == 1, unaligned: options.seed & 2 == 2 };
    println!("{test}: {:?}, {variant:?}", options.storage);
    let Some(mut store) = Store::open(test, options.storage) else { return };
    let cluster = configuration(&store, &variant).prepare();
    let mut nodes = Nodes::start(cluster, TASK_MANAGERS, SLOTS);

    let calm = jobs::Size { rows: 20_000, per_second: 20_000 };
    let files = FilesJob::submit(&nodes.cluster, calm);
    let group = GroupJob::start(&nodes.cluster, calm);
    println!("{test}: without blows: {}, {}", files.verify(&nodes.cluster, REST), group.verify(REST));

    let size = jobs::Size::lasting(options.time);
    let files = FilesJob::submit(&nodes.cluster, size);
    let group = GroupJob::start(&nodes.cluster, size);
    nodes.cluster.wait_for_tasks(files.id(), REST);
    let mut schedule = Schedule::new(random, options.time, TASK_MANAGERS, store.disk.is_some(), store.server.is_some());
    let began = Instant::now();
    while began.elapsed() < options.time {
        nodes.hold(schedule.pause());
        let blow = schedule.blow();
        println!("{test}: {:6.1} s: {blow:?}", began.elapsed().as_secs_f64());
        strike(&blow, &mut nodes, &mut store);
    }
    store.heal();
    let limit = options.time + REST;
    nodes.hold_until(limit, |cluster| files.has_ended(cluster) && group.has_ended());
    let verdicts = [files.verify(&nodes.cluster, REST), group.verify(REST)];
    println!("{test}: {}", verdicts.join("; "));
    println!(
        "{test}: {}; {}; {}; seed {}",
        nodes.tally,
        schedule.tally(),
        files.statistics(&nodes.cluster),
        options.seed
    );
    assert!(nodes.tally.kills > 0 || options.time < Duration::from_secs(10), "nothing was killed");
}

fn configuration(store: &Store, variant: &Variant) -> crate::ClusterBuilder {
    let mut builder = Cluster::builder()
        .task_managers(0)
        .slots(SLOTS)
        .set("io.tmp.dirs", &store.local)
        .set("state.backend.type", if variant.rocksdb { "rocksdb" } else { "hashmap" })
        .set("execution.checkpointing.incremental", variant.rocksdb)
        .set("execution.checkpointing.dir", &store.directory)
        .set("execution.checkpointing.interval", "1 s")
        .set("execution.checkpointing.timeout", "20 s")
        .set("execution.checkpointing.tolerable-failed-checkpoints", 1_000_000)
        .set("execution.checkpointing.unaligned.enabled", variant.unaligned)
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", 1_000_000)
        .set("restart-strategy.fixed-delay.delay", "200 ms")
        .set("heartbeat.interval", "1 s")
        .set("heartbeat.timeout", "5 s");
    let through = store.proxy.as_ref().map(Proxy::port);
    for (key, value) in through.map(S3Server::configuration).into_iter().flatten() {
        builder = builder.set(key, value);
    }
    builder
}

fn strike(blow: &Blow, nodes: &mut Nodes, store: &mut Store) {
    match *blow {
        Blow::Kill(which) => nodes.kill(which),
        Blow::KillAtPoint(which, rule) => nodes.kill_at_point(which, rule),
        Blow::Freeze(which, time) => nodes.freeze(which, time),
        Blow::Cut(which) => nodes.cut(which),
        Blow::FillDisk(time) => {
            if let Some(disk) = &store.disk {
                disk.fill();
                nodes.hold(time);
                disk.free();
            }
        }
        Blow::Storage(fault, time) => {
            if let Some(proxy) = &store.proxy {
                proxy.set(fault);
                nodes.hold(time);
                proxy.set(Default::default());
            }
        }
        Blow::KillStorage(time) => {
            if let Some(server) = &mut store.server {
                server.kill();
                nodes.hold(time);
                server.restart();
            }
        }
    }
}

impl Store {
    /// None: this machine has no server for it, and the test was counted as skipped.
    fn open(test: &str, storage: Storage) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        for name in ["disk", "local"] {
            std::fs::create_dir(path(name)).expect("a folder in a new folder");
        }
        let mut store = Self {
            server: None,
            proxy: None,
            disk: None,
            directory: format!("s3://{}/checkpoints", s3::BUCKET),
            local: path("local").display().to_string(),
            _folder: folder,
        };
        match storage {
            Storage::S3 => {
                let server = S3Server::start(test)?;
                store.proxy = Some(Proxy::start(server.port()));
                store.server = Some(server);
            }
            Storage::Files => {
                let disk = store._folder.path().join("disk");
                match SmallDisk::mount(&disk, DISK_MEGABYTES) {
                    Ok(small) => store.disk = Some(small),
                    Err(error) => skip::skip(&format!("{test} (a full disk)"), &error),
                }
                store.directory = format!("file://{}/checkpoints", disk.display());
                store.local = disk.join("local").display().to_string();
                std::fs::create_dir(&store.local).expect("a folder on a new disk");
            }
        }
        Some(store)
    }

    fn heal(&mut self) {
        if let Some(disk) = &self.disk {
            disk.free();
        }
        if let Some(proxy) = &self.proxy {
            proxy.set(Default::default());
        }
    }
}
