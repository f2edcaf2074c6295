//! Which blow comes when, from a seed.
use std::fmt;
use std::time::Duration;

use super::random::Random;
use crate::proxy::Fault;

/// Fault points at which a TaskManager is killed, each with the passes before.
const POINTS: [&str; 6] = [
    "checkpoint.before-barrier=kill@",
    "checkpoint.before-ack=kill@",
    "sink.before-commit=kill@",
    "sink.between-commits=kill@",
    "sink.after-commits=kill@",
    "restore.before-open=kill@",
];
/// A process stands still for so long, at most: longer than a call or a silent heartbeat is waited for.
const LONGEST_FREEZE: Duration = Duration::from_secs(30);
/// A clock is so many seconds wrong, at most.
const CLOCK: u64 = 120;
const PARALLELISMS: [usize; 5] = [1, 2, 3, 4, 7];

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The JobManager.
    JobManager,
    /// A TaskManager.
    TaskManager(usize),
}

/// Something bad, or a job that goes on otherwise in the middle of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9` of a TaskManager, which is started again at once.
    Kill(usize),
    /// The same, and the new one kills itself at a fault point.
    KillAtPoint(usize, FaultPoint),
    /// SIGSTOP, then SIGCONT; the schedule goes on meanwhile.
    Freeze(Victim, Duration),
    /// The connections to a TaskManager's data port are closed.
    Cut(usize),
    /// A process's clock is set so many seconds fast or slow.
    SetClock(Victim, i64),
    /// A TaskManager is slower than the others, or as fast again.
    Pace(usize, Pace),
    /// The windowed aggregate goes on at another parallelism.
    Rescale(Rescale),
    /// The disk of checkpoints and local state is full.
    FillDisk(Duration),
    /// The S3 server fails, slows down or is out of reach.
    Storage(Fault, Duration),
    /// `kill -9` of the S3 server.
    KillStorage(Duration),
}

/// A rule for `WIESEL_FAULT_POINTS`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultPoint {
    name: &'static str,
    pass: u64,
}

impl FaultPoint {
    /// As the environment takes it.
    pub fn rule(self) -> String {
        format!("{}{}", self.name, self.pass)
    }
}

/// How fast a TaskManager is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As fast as it can be.
    Full,
    /// It runs in so many percent of the time.
    Share(u32),
    /// Its sinks sleep for so many milliseconds before each batch.
    Sinks(u64),
}

impl Pace {
    /// Percent of the time in which it runs.
    pub fn share(self) -> u32 {
        match self {
            Self::Share(percent) => percent,
            Self::Full | Self::Sinks(_) => 100,
        }
    }

    /// The rule for its fault points.
    pub fn rule(self) -> Option<String> {
        match self {
            Self::Sinks(millis) => Some(format!("sink.write=pause:{millis}@1+")),
            Self::Full | Self::Share(_) => None,
        }
    }
}

/// How barriers pass rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Barriers {
    /// They never do.
    Aligned,
    /// At once.
    Unaligned,
    /// After so many milliseconds.
    Timeout(u64),
}

/// What a job goes on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is cancelled, and goes on from its latest checkpoint, whose files it owns or not.
    Checkpoint {
        /// `-claimMode CLAIM`.
        claim: bool,
    },
    /// It is stopped with a savepoint, and may go on on another state back end.
    Savepoint {
        /// `rocksdb` instead of `hashmap`.
        rocksdb: bool,
    },
}

/// How a job goes on.
#[derive(Clone, PartialEq, Eq)]
pub struct Rescale {
    /// From what.
    pub from: Origin,
    /// Its parallelism then.
    pub parallelism: usize,
    /// Its barriers then.
    pub barriers: Barriers,
    /// Whether its checkpoints refer to files of earlier ones then.
    pub incremental: bool,
    /// Who stands still while it is cancelled, submitted and deployed: so long after that began, for so long.
    pub stall: Option<(Victim, Duration, Duration)>,
}

impl Rescale {
    /// The last time, when all is quiet.
    pub fn last() -> Self {
        let from = Origin::Checkpoint { claim: false };
        Self { from, parallelism: 3, barriers: Barriers::Unaligned, incremental: true, stall: None }
    }

    /// What `flink run` is told.
    pub fn options(&self) -> Vec<String> {
        let (unaligned, timeout) = match self.barriers {
            Barriers::Aligned => (false, 0),
            Barriers::Unaligned => (true, 0),
            Barriers::Timeout(millis) => (true, millis),
        };
        let mut options = vec![
            format!("-Dexecution.checkpointing.unaligned.enabled={unaligned}"),
            format!("-Dexecution.checkpointing.aligned-checkpoint-timeout={timeout} ms"),
            format!("-Dexecution.checkpointing.incremental={}", self.incremental),
        ];
        if self.from == (Origin::Checkpoint { claim: true }) {
            options.extend(["-claimMode".to_owned(), "claim".to_owned()]);
        }
        options
    }
}

impl fmt::Debug for Rescale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, parallelism, barriers, incremental, stall } = self;
        write!(f, "{from:?} to {parallelism}, {barriers:?}, incremental {incremental}, stall {stall:?}")
    }
}

/// Blows that have fallen, but for kills.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    freezes: u32,
    cuts: u32,
    clocks: u32,
    paces: u32,
    rescales: u32,
    storage: u32,
}

/// The blows of a run.
pub struct Schedule {
    random: Random,
    gap: Duration,
    longest_freeze: Duration,
    task_managers: u64,
    disk: bool,
    server: bool,
    first: bool,
    tally: Tally,
}

impl Schedule {
    /// Short runs are denser; over ten minutes a blow comes about every five seconds and a third of them kill.
    pub fn new(random: Random, time: Duration, task_managers: usize, disk: bool, server: bool) -> Self {
        let gap = (time / 10).clamp(Duration::from_millis(1500), Duration::from_secs(5));
        let longest_freeze = (time / 3).min(LONGEST_FREEZE);
        let (task_managers, tally) = (task_managers as u64, Tally::default());
        Self { random, gap, longest_freeze, task_managers, disk, server, first: true, tally }
    }

    /// How long it is quiet before the next blow.
    pub fn pause(&mut self) -> Duration {
        self.random.between(self.gap / 2, self.gap * 3 / 2)
    }

    /// The next blow. The first one kills: a short run has few, and one without a kill would show nothing of it.
    pub fn blow(&mut self) -> Blow {
        let which = self.random.below(self.task_managers) as usize;
        if std::mem::take(&mut self.first) {
            return Blow::Kill(which);
        }
        match self.random.below(34) {
            0..=6 => Blow::Kill(which),
            7..=10 => {
                let name = POINTS[self.random.below(POINTS.len() as u64) as usize];
                Blow::KillAtPoint(which, FaultPoint { name, pass: 1 + self.random.below(4) })
            }
            11..=15 => {
                self.tally.freezes += 1;
                let victim = self.victim(which);
                Blow::Freeze(victim, self.freeze())
            }
            16..=17 => {
                self.tally.cuts += 1;
                Blow::Cut(which)
            }
            18..=20 => {
                self.tally.clocks += 1;
                let seconds = self.random.below(2 * CLOCK + 1) as i64 - CLOCK as i64;
                Blow::SetClock(self.victim(which), seconds)
            }
            21..=24 => {
                self.tally.paces += 1;
                Blow::Pace(which, self.pace())
            }
            25..=30 => {
                self.tally.rescales += 1;
                Blow::Rescale(self.rescale())
            }
            _ => self.storage(which),
        }
    }

    /// One in four times it is the JobManager.
    fn victim(&mut self, which: usize) -> Victim {
        if self.random.one_in(4) { Victim::JobManager } else { Victim::TaskManager(which) }
    }

    fn freeze(&mut self) -> Duration {
        self.random.between(Duration::from_secs(1), self.longest_freeze.max(Duration::from_secs(1)))
    }

    fn pace(&mut self) -> Pace {
        match self.random.below(5) {
            0 => Pace::Full,
            1..=2 => Pace::Share(10 + self.random.below(50) as u32),
            _ => Pace::Sinks(50 << self.random.below(4)),
        }
    }

    fn rescale(&mut self) -> Rescale {
        let from = match self.random.below(4) {
            0 => Origin::Savepoint { rocksdb: self.random.one_in(2) },
            _ => Origin::Checkpoint { claim: self.random.one_in(3) },
        };
        let parallelism = PARALLELISMS[self.random.below(PARALLELISMS.len() as u64) as usize];
        let barriers = match self.random.below(4) {
            0 => Barriers::Aligned,
            1 => Barriers::Timeout(50 << self.random.below(4)),
            _ => Barriers::Unaligned,
        };
        let incremental = self.random.one_in(2);
        let stall = self.random.one_in(2).then(|| {
            let which = self.random.below(self.task_managers) as usize;
            let after = self.random.between(Duration::ZERO, Duration::from_millis(1500));
            (self.victim(which), after, self.freeze())
        });
        Rescale { from, parallelism, barriers, incremental, stall }
    }

    fn storage(&mut self, which: usize) -> Blow {
        let time = self.random.between(Duration::from_millis(500), Duration::from_secs(4));
        self.tally.storage += 1;
        if self.server {
            return match self.random.below(5) {
                0 => Blow::KillStorage(time),
                1 => Blow::Storage(Fault::Status(500), time),
                2 => Blow::Storage(Fault::Status(503), time),
                3 => Blow::Storage(Fault::Slow(Duration::from_millis(200)), time),
                _ => Blow::Storage(Fault::Cut, time),
            };
        }
        if self.disk {
            return Blow::FillDisk(time);
        }
        self.tally.storage -= 1;
        Blow::Kill(which)
    }

    /// What has fallen beside kills.
    pub fn tally(&self) -> String {
        let Tally { freezes, cuts, clocks, paces, rescales, storage } = self.tally;
        format!(
            "{freezes} freezes, {cuts} cuts of connections, {clocks} clocks set, {paces} changes of pace, {rescales} times \
             another parallelism, {storage} faults of the storage"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_run_kills() {
        for seed in (0..200).chain([71_320]) {
            let mut schedule = Schedule::new(Random::new(seed), Duration::from_secs(15), 2, false, true);
            assert!(schedule.pause() < Duration::from_secs(15));
            assert!(matches!(schedule.blow(), Blow::Kill(_)), "seed {seed}");
        }
    }

    #[test]
    fn a_seed_gives_the_same_blows_and_ten_minutes_have_some_of_each_kind() {
        for seed in 0..20 {
            let mut one = Schedule::new(Random::new(seed), Duration::from_secs(600), 3, true, false);
            let mut other = Schedule::new(Random::new(seed), Duration::from_secs(600), 3, true, false);
            let (mut time, mut kills) = (Duration::ZERO, 0);
            while time < Duration::from_secs(600) {
                let (pause, blow) = (one.pause(), one.blow());
                assert_eq!((other.pause(), other.blow()), (pause, blow.clone()));
                time += pause;
                match blow {
                    Blow::Kill(which) | Blow::KillAtPoint(which, _) => {
                        assert!(which < 3);
                        kills += 1;
                    }
                    Blow::Freeze(_, held) => assert!((Duration::from_secs(1)..=LONGEST_FREEZE).contains(&held)),
                    Blow::SetClock(_, seconds) => assert!(seconds.unsigned_abs() <= CLOCK),
                    Blow::FillDisk(held) => time += held,
                    // To cancel and submit a job takes about as long.
                    Blow::Rescale(_) => time += Duration::from_secs(5),
                    _ => {}
                }
            }
            assert!(kills >= 20, "seed {seed}: only {kills} kills");
            let Tally { freezes, cuts, clocks, paces, rescales, storage } = one.tally;
            for count in [freezes, cuts, clocks, paces, rescales, storage] {
                assert!(count > 0, "seed {seed}: {:?}", one.tally);
            }
        }
    }
}
