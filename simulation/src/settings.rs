//! What a cluster and its workloads are like, drawn from a seed.
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use rand::Rng;
use rand::rngs::StdRng;

use crate::faults::SLOT_TIMEOUT;
use crate::workload::Workload;

/// The most rows of a workload: the slowest source takes minutes for them.
const MOST_ROWS: u32 = 8_000;

/// Runs of this process so far.
static RUNS: AtomicU64 = AtomicU64::new(0);

/// A TaskManager.
#[derive(Clone, Debug)]
pub struct TaskManagerSettings {
    /// How many slots.
    pub slots: u32,
    /// Milliseconds between the steps of its sources.
    pub pace: u64,
    /// The longest that its tasks go on after a cancellation, in milliseconds.
    pub slow_to_cancel: u64,
    /// It comes back under the same resource id.
    pub keeps_its_id: bool,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the store: no two runs of a process share one.
    pub store_name: String,
    /// The TaskManagers.
    pub task_managers: Vec<TaskManagerSettings>,
    /// What is to be done.
    pub workloads: Vec<Workload>,
    /// The cluster's keys.
    pub configuration: BTreeMap<String, String>,
    /// The last fault ends by then, in milliseconds.
    pub faults_until: u64,
    /// The longest pause between two faults, in milliseconds.
    pub calm: u64,
    /// Subtasks of each vertex of a job, if they are not drawn.
    pub parallelism: Option<u32>,
    /// The most calls between processes in ten seconds.
    pub most_calls: u64,
    /// How long tasks go on without a JobMaster, in milliseconds; 0: they end with it.
    pub tasks_without_leader: u64,
    /// Jobs are recorded, and go on when another JobManager leads.
    pub recovers: bool,
    /// Their tasks go on as they are, if they can.
    pub adopts_tasks: bool,
    /// Nothing goes wrong but that one JobManager dies after another, while all tasks run. Jobs do not restart, and no task does.
    pub only_successions: bool,
    /// Nothing goes wrong but that calls are late. Jobs do not restart, and must not fail.
    pub only_late: bool,
}

impl Settings {
    /// The settings of a seed.
    pub fn draw(seed: u64, random: &mut StdRng) -> Self {
        let task_managers: Vec<TaskManagerSettings> = (0..random.random_range(1..=4))
            .map(|_| TaskManagerSettings {
                slots: random.random_range(1..=4),
                pace: random.random_range(5..200),
                slow_to_cancel: if random.random_ratio(1, 4) { 20_000 } else { 200 },
                keeps_its_id: random.random_ratio(1, 3),
            })
            .collect();
        let workloads = (0..random.random_range(1..=2))
            .map(|id| {
                let splits = random.random_range(1..=12);
                Workload { id, splits, rows: random.random_range(50..=MOST_ROWS / splits) }
            })
            .collect();
        let mut settings = Self {
            store_name: format!("seed-{seed}-{}", RUNS.fetch_add(1, Ordering::Relaxed)),
            task_managers,
            workloads,
            configuration: BTreeMap::new(),
            faults_until: random.random_range(20_000..150_000),
            calm: random.random_range(1_000..20_000),
            parallelism: None,
            most_calls: 6_000,
            // Not drawn, so that the rest of a run is what it would be otherwise.
            tasks_without_leader: [0, 2_000, 20_000, 120_000][(seed % 4) as usize],
            recovers: false,
            adopts_tasks: false,
            only_successions: false,
            only_late: false,
        };
        settings.configure(random);
        settings
    }

    /// Late calls only, and one job at a time, which does not restart.
    pub fn late(seed: u64, random: &mut StdRng) -> Self {
        let mut settings = Self::draw(seed, random);
        settings.only_late = true;
        settings.workloads.truncate(1);
        settings.calm = 5_000;
        let keys =
            [("restart-strategy.type", "none".to_owned()), ("taskmanager.slot.timeout", format!("{SLOT_TIMEOUT} ms"))];
        settings.configuration.extend(keys.map(|(key, value)| (key.to_owned(), value)));
        settings
    }

    /// Jobs outlive their JobManagers, and four of five times their tasks do.
    pub fn recovering(seed: u64, random: &mut StdRng) -> Self {
        let mut settings = Self::draw(seed, random);
        (settings.recovers, settings.adopts_tasks) = (true, !seed.is_multiple_of(5));
        settings
    }

    /// One JobManager dies after another, and nothing else goes wrong.
    pub fn successions(seed: u64, random: &mut StdRng) -> Self {
        let mut settings = Self::recovering(seed, random);
        (settings.adopts_tasks, settings.only_successions) = (true, true);
        settings.tasks_without_leader = 120_000;
        settings.calm = 10_000;
        // With Flink's timeouts every TaskManager is back in time.
        for key in ["heartbeat.interval", "heartbeat.timeout", "pekko.ask.timeout"] {
            settings.configuration.remove(key);
        }
        settings.configuration.insert("restart-strategy.type".to_owned(), "none".to_owned());
        settings
    }

    /// Many tasks and few faults.
    pub fn large(seed: u64, random: &mut StdRng) -> Self {
        let mut settings = Self::draw(seed, random);
        let task_manager = TaskManagerSettings { slots: 625, pace: 1_000, slow_to_cancel: 200, keeps_its_id: true };
        settings.task_managers = vec![task_manager; 8];
        settings.workloads = vec![Workload { id: 0, splits: 10_000, rows: 64 }];
        settings.parallelism = Some(5_000);
        settings.faults_until = 60_000;
        settings.calm = 20_000;
        // Each task says a few things of itself when it is started or ended.
        settings.most_calls = 200_000;
        let checkpoints = [("execution.checkpointing.interval", "10 s"), ("execution.checkpointing.timeout", "60 s")];
        settings.configuration.extend(checkpoints.map(|(key, value)| (key.to_owned(), value.to_owned())));
        settings
    }

    fn configure(&mut self, random: &mut StdRng) {
        let interval = random.random_range(100..3_000);
        let mut pairs = vec![
            ("jobmanager.rpc.address", "jobmanager".to_owned()),
            ("taskmanager.memory.process.size", "1 gb".to_owned()),
            ("execution.checkpointing.dir", format!("{}/checkpoints", self.store_root())),
            ("execution.checkpointing.savepoint-dir", format!("{}/savepoints", self.store_root())),
            ("execution.checkpointing.interval", format!("{interval} ms")),
            ("execution.checkpointing.timeout", format!("{} ms", random.random_range(3_000..60_000))),
            ("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION".to_owned()),
            ("execution.checkpointing.tolerable-failed-checkpoints", "1000000".to_owned()),
            ("execution.checkpointing.data-inline-threshold", "0 b".to_owned()),
            ("execution.checkpointing.num-retained", random.random_range(1..=3).to_string()),
            ("restart-strategy.type", "fixed-delay".to_owned()),
            ("restart-strategy.fixed-delay.attempts", "2147483647".to_owned()),
            ("restart-strategy.fixed-delay.delay", format!("{} ms", random.random_range(10..2_000))),
        ];
        if random.random_ratio(1, 2) {
            // Far from Flink's defaults, so that timeouts come while other things are under way.
            pairs.push(("heartbeat.interval", "1 s".to_owned()));
            pairs.push(("heartbeat.timeout", format!("{} ms", random.random_range(3_000..15_000))));
            pairs.push(("pekko.ask.timeout", format!("{} ms", random.random_range(1_000..10_000))));
        }
        if random.random_ratio(1, 4) {
            pairs.push(("execution.checkpointing.max-concurrent-checkpoints", "3".to_owned()));
        }
        self.configuration = pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    }

    /// The store's URI without a path.
    pub fn store_root(&self) -> String {
        format!("s3://{}", self.store_name)
    }

    /// Nothing goes wrong but what the settings say.
    pub fn is_mild(&self) -> bool {
        self.only_late || self.only_successions
    }

    /// All slots.
    pub fn slots(&self) -> u32 {
        self.task_managers.iter().map(|known| known.slots).sum()
    }
}
