//! Which blow comes when, from a seed.
use std::time::Duration;

use super::random::Random;
use crate::proxy::Fault;

/// Fault points at which a TaskManager is killed, each with the passes before.
const POINTS: [&str; 5] = [
    "checkpoint.before-barrier=kill@",
    "checkpoint.before-ack=kill@",
    "sink.before-commit=kill@",
    "sink.between-commits=kill@",
    "restore.before-open=kill@",
];

/// Something bad.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Blow {
    /// `kill -9` of a TaskManager, which is started again at once.
    Kill(usize),
    /// The same, and the new one kills itself at a fault point.
    KillAtPoint(usize, FaultPoint),
    /// SIGSTOP of a TaskManager, then SIGCONT.
    Freeze(usize, Duration),
    /// The connections to a TaskManager's data port are closed.
    Cut(usize),
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

/// The blows of a run.
pub struct Schedule {
    random: Random,
    gap: Duration,
    task_managers: u64,
    disk: bool,
    server: bool,
    first: bool,
    freezes: u32,
    cuts: u32,
    storage: u32,
}

impl Schedule {
    /// Short runs are denser; over ten minutes a blow comes about every five seconds and half of them kill.
    pub fn new(random: Random, time: Duration, task_managers: usize, disk: bool, server: bool) -> Self {
        let gap = (time / 10).clamp(Duration::from_millis(1500), Duration::from_secs(5));
        let (first, freezes, cuts, storage) = (true, 0, 0, 0);
        Self { random, gap, task_managers: task_managers as u64, disk, server, first, freezes, cuts, storage }
    }

    /// How long it is quiet before the next blow.
    pub fn pause(&mut self) -> Duration {
        self.random.between(self.gap / 2, self.gap * 3 / 2)
    }

    /// The next blow. The first one kills: a short run has few, and one without a kill would show nothing of it.
    pub fn blow(&mut self) -> Blow {
        let which = self.random.below(self.task_managers) as usize;
        let millis = Duration::from_millis;
        if std::mem::take(&mut self.first) {
            return Blow::Kill(which);
        }
        match self.random.below(20) {
            0..=8 => Blow::Kill(which),
            9..=11 => {
                let name = POINTS[self.random.below(POINTS.len() as u64) as usize];
                Blow::KillAtPoint(which, FaultPoint { name, pass: 1 + self.random.below(4) })
            }
            12..=13 => {
                self.freezes += 1;
                Blow::Freeze(which, self.random.between(millis(200), millis(7000)))
            }
            14..=15 => {
                self.cuts += 1;
                Blow::Cut(which)
            }
            _ => self.storage(which),
        }
    }

    fn storage(&mut self, which: usize) -> Blow {
        let time = self.random.between(Duration::from_millis(500), Duration::from_secs(4));
        self.storage += 1;
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
        self.storage -= 1;
        Blow::Kill(which)
    }

    /// What has fallen beside kills.
    pub fn tally(&self) -> String {
        format!("{} freezes, {} cuts of connections, {} faults of the storage", self.freezes, self.cuts, self.storage)
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
    fn a_seed_gives_the_same_blows_and_ten_minutes_kill_forty_times() {
        for seed in 0..20 {
            let mut one = Schedule::new(Random::new(seed), Duration::from_secs(600), 2, true, false);
            let mut other = Schedule::new(Random::new(seed), Duration::from_secs(600), 2, true, false);
            let (mut time, mut kills) = (Duration::ZERO, 0);
            while time < Duration::from_secs(600) {
                let (pause, blow) = (one.pause(), one.blow());
                assert_eq!((other.pause(), other.blow()), (pause, blow.clone()));
                time += pause;
                match blow {
                    Blow::Kill(which) | Blow::KillAtPoint(which, _) => {
                        assert!(which < 2);
                        kills += 1;
                    }
                    Blow::Freeze(_, held) | Blow::FillDisk(held) => time += held,
                    _ => {}
                }
            }
            assert!(kills >= 40, "seed {seed}: only {kills} kills");
        }
    }
}
