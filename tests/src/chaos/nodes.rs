//! The processes under fire: they are children of the test, and a TaskManager's data port is reached through a proxy.
use std::fmt;
use std::fs::File;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::brake::Brake;
use super::schedule::{FaultPoint, Pace, Victim};
use crate::clock::Clock;
use crate::proxy::Proxy;
use crate::{Cluster, cluster, process};

/// How often dead TaskManagers are looked for.
const LOOK: Duration = Duration::from_millis(50);

/// What has happened to them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Killed by the schedule, or by a fault point that it set.
    pub kills: u32,
    /// Ended by themselves.
    pub ended: u32,
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kills, {} TaskManagers ended by themselves", self.kills, self.ended)
    }
}

struct Process {
    child: Child,
    brake: Brake,
    clock: Option<Clock>,
}

impl Process {
    fn kill(&mut self) {
        process::signal(self.child.id(), Signal::KILL);
        // Its pid may be another process's as soon as it was waited for.
        self.brake.release();
        // It was signalled and is ours.
        let _ = self.child.wait();
    }
}

struct TaskManager {
    process: Process,
    port: u16,
    proxy: Proxy,
    pace: Pace,
    /// It was told to kill itself.
    doomed: bool,
}

/// A cluster whose processes belong to the test.
pub struct Nodes {
    /// The cluster they form.
    pub cluster: Arc<Cluster>,
    /// What has happened to them.
    pub tally: Tally,
    job_manager: Process,
    task_managers: Vec<TaskManager>,
}

impl Nodes {
    /// Starts the processes of a prepared cluster and waits for their slots.
    pub fn start(test: &str, cluster: Cluster, task_managers: usize, slots: usize) -> Self {
        std::fs::create_dir_all(cluster.dir().join("log")).expect("a folder for logs");
        let clock = |name: &str| Clock::new(&format!("{test} (clocks)"), cluster.dir(), name);
        let mut command = cluster.command("bin/jobmanager.sh");
        command.arg("start-foreground");
        let job_manager = spawn(&cluster, "jobmanager", &mut command, clock("jobmanager"), 100);
        let started = (0..task_managers).map(|which| {
            let [port] = cluster::free_ports();
            let proxy = Proxy::start(port);
            let clock = clock(&format!("taskmanager-{which}"));
            let process = launch(&cluster, which, (port, proxy.port()), clock, Pace::Full, None);
            TaskManager { process, port, proxy, pace: Pace::Full, doomed: false }
        });
        let task_managers: Vec<_> = started.collect();
        let nodes = Self { tally: Tally::default(), job_manager, task_managers, cluster: Arc::new(cluster) };
        nodes.cluster.wait_for_slots(nodes.task_managers.len() * slots);
        nodes
    }

    /// `kill -9`; the next one starts at once.
    pub fn kill(&mut self, which: usize) {
        self.replace(which, None);
    }

    /// The same, and the next one dies at a fault point.
    pub fn kill_at_point(&mut self, which: usize, point: FaultPoint) {
        self.replace(which, Some(point));
    }

    fn replace(&mut self, which: usize, point: Option<FaultPoint>) {
        self.task_managers[which].process.kill();
        self.tally.kills += 1;
        self.launch(which, point);
    }

    fn launch(&mut self, which: usize, point: Option<FaultPoint>) {
        let one = &mut self.task_managers[which];
        let clock = one.process.clock.clone();
        one.process = launch(&self.cluster, which, (one.port, one.proxy.port()), clock, one.pace, point);
        one.doomed = point.is_some();
    }

    /// SIGSTOP after a while, and SIGCONT after another.
    pub fn freeze(&self, victim: Victim, after: Duration, time: Duration) {
        self.process(victim).brake.freeze(after, time);
    }

    /// Its clock is so many seconds fast, or slow, from now on.
    pub fn set_clock(&self, victim: Victim, seconds: i64) {
        if let Some(clock) = &self.process(victim).clock {
            clock.set(seconds);
        }
    }

    /// How fast a TaskManager is from now on. To put its sinks to sleep, or wake them, it is killed first.
    pub fn pace(&mut self, which: usize, pace: Pace) {
        let one = &mut self.task_managers[which];
        let was = std::mem::replace(&mut one.pace, pace);
        one.process.brake.share(pace.share());
        if was.rule() != pace.rule() {
            self.kill(which);
        }
    }

    fn process(&self, victim: Victim) -> &Process {
        match victim {
            Victim::JobManager => &self.job_manager,
            Victim::TaskManager(which) => &self.task_managers[which].process,
        }
    }

    /// Closes what is connected to its data port.
    pub fn cut(&mut self, which: usize) {
        self.task_managers[which].proxy.cut();
    }

    /// Nobody is held up, slow or about to die any more, and clocks are right.
    pub fn heal(&mut self) {
        let everyone = (0..self.task_managers.len()).map(Victim::TaskManager).chain([Victim::JobManager]);
        for victim in everyone {
            self.set_clock(victim, 0);
            self.process(victim).brake.release();
        }
        for which in 0..self.task_managers.len() {
            self.pace(which, Pace::Full);
            if self.task_managers[which].doomed {
                self.kill(which);
            }
        }
    }

    /// Lets time go by; a TaskManager that has died is started again.
    pub fn hold(&mut self, time: Duration) {
        self.hold_until(time, |_| false);
    }

    /// The same until something holds, at most for a time. Returns whether it does.
    pub fn hold_until(&mut self, time: Duration, done: impl Fn(&Cluster) -> bool) -> bool {
        let end = Instant::now() + time;
        loop {
            if done(&self.cluster) {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            // The schedule's pace.
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            self.revive();
        }
    }

    /// Runs a client to its end, while TaskManagers that die are started again.
    pub fn run(&mut self, command: &mut Command) -> Output {
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a client can be run");
        let client = std::thread::spawn(move || child.wait_with_output());
        while !client.is_finished() {
            self.hold(LOOK);
        }
        let output = client.join().expect("it only waits");
        output.expect("a client can be waited for")
    }

    fn revive(&mut self) {
        for which in 0..self.task_managers.len() {
            let one = &mut self.task_managers[which];
            if matches!(one.process.child.try_wait(), Ok(None)) {
                continue;
            }
            match one.doomed {
                true => self.tally.kills += 1,
                false => self.tally.ended += 1,
            }
            self.launch(which, None);
        }
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        let processes = self.task_managers.iter_mut().map(|one| &mut one.process);
        processes.chain([&mut self.job_manager]).for_each(Process::kill);
    }
}

fn launch(
    cluster: &Cluster,
    which: usize,
    (port, seen): (u16, u16),
    clock: Option<Clock>,
    pace: Pace,
    point: Option<FaultPoint>,
) -> Process {
    let mut command = cluster.command("bin/taskmanager.sh");
    command.arg("start-foreground");
    command.args(["-D", &format!("taskmanager.data.bind-port={port}")]);
    command.args(["-D", &format!("taskmanager.data.port={seen}")]);
    let rules: Vec<String> = pace.rule().into_iter().chain(point.map(FaultPoint::rule)).collect();
    command.env("WIESEL_FAULT_POINTS", rules.join(";"));
    spawn(cluster, &format!("taskmanager-{which}"), &mut command, clock, pace.share())
}

fn spawn(cluster: &Cluster, name: &str, command: &mut Command, clock: Option<Clock>, share: u32) -> Process {
    let path = cluster.dir().join("log").join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(path).expect("a log");
    let copy = log.try_clone().expect("a file can be opened twice");
    if let Some(clock) = &clock {
        clock.apply(command);
    }
    let child = command.stdout(copy).stderr(log).spawn().unwrap_or_else(|error| panic!("{name}: {error}"));
    let brake = Brake::new(child.id(), share);
    Process { child, brake, clock }
}
