//! The processes under fire: each TaskManager is a child of the test, its data port is reached through a proxy.
use std::fmt;
use std::fs::File;
use std::process::{Child, Command};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::schedule::FaultPoint;
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

struct TaskManager {
    child: Child,
    port: u16,
    proxy: Proxy,
    /// It was told to kill itself.
    doomed: bool,
}

/// A cluster whose processes belong to the test.
pub struct Nodes {
    /// The cluster they form.
    pub cluster: Arc<Cluster>,
    /// What has happened to them.
    pub tally: Tally,
    job_manager: Child,
    task_managers: Vec<TaskManager>,
}

impl Nodes {
    /// Starts the processes of a prepared cluster and waits for their slots.
    pub fn start(cluster: Cluster, task_managers: usize, slots: usize) -> Self {
        std::fs::create_dir_all(cluster.dir().join("log")).expect("a folder for logs");
        let job_manager = spawn(&cluster, "jobmanager", cluster.command("bin/jobmanager.sh").arg("start-foreground"));
        let started = (0..task_managers).map(|which| {
            let [port] = cluster::free_ports();
            let proxy = Proxy::start(port);
            TaskManager { child: launch(&cluster, which, port, &proxy, None), port, proxy, doomed: false }
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
        let one = &mut self.task_managers[which];
        process::signal(one.child.id(), Signal::KILL);
        // It was signalled and is ours.
        let _ = one.child.wait();
        self.tally.kills += 1;
        self.launch(which, point);
    }

    fn launch(&mut self, which: usize, point: Option<FaultPoint>) {
        let one = &mut self.task_managers[which];
        one.child = launch(&self.cluster, which, one.port, &one.proxy, point);
        one.doomed = point.is_some();
    }

    /// SIGSTOP, and SIGCONT after a while.
    pub fn freeze(&mut self, which: usize, time: Duration) {
        let pid = self.task_managers[which].child.id();
        process::signal(pid, Signal::STOP);
        self.hold(time);
        process::signal(pid, Signal::CONT);
    }

    /// Closes what is connected to its data port.
    pub fn cut(&mut self, which: usize) {
        self.task_managers[which].proxy.cut();
    }

    /// Lets time go by; a TaskManager that has died is started again.
    pub fn hold(&mut self, time: Duration) {
        self.hold_until(time, |_| false);
    }

    /// The same until something holds, at most for a time.
    pub fn hold_until(&mut self, time: Duration, done: impl Fn(&Cluster) -> bool) {
        let end = Instant::now() + time;
        while Instant::now() < end && !done(&self.cluster) {
            // The schedule's pace.
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
            self.revive();
        }
    }

    fn revive(&mut self) {
        for which in 0..self.task_managers.len() {
            let one = &mut self.task_managers[which];
            if matches!(one.child.try_wait(), Ok(None)) {
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
        let children = self.task_managers.iter_mut().map(|one| &mut one.child);
        for child in children.chain([&mut self.job_manager]) {
            process::signal(child.id(), Signal::KILL);
            let _ = child.wait();
        }
    }
}

fn launch(cluster: &Cluster, which: usize, port: u16, proxy: &Proxy, point: Option<FaultPoint>) -> Child {
    let mut command = cluster.command("bin/taskmanager.sh");
    command.arg("start-foreground");
    command.args(["-D", &format!("taskmanager.data.bind-port={port}")]);
    command.args(["-D", &format!("taskmanager.data.port={}", proxy.port())]);
    if let Some(point) = point {
        command.env("WIESEL_FAULT_POINTS", point.rule());
    }
    spawn(cluster, &format!("taskmanager-{which}"), &mut command)
}

fn spawn(cluster: &Cluster, name: &str, command: &mut Command) -> Child {
    let path = cluster.dir().join("log").join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(path).expect("a log");
    let copy = log.try_clone().expect("a file can be opened twice");
    command.stdout(copy).stderr(log).spawn().unwrap_or_else(|error| panic!("{name}: {error}"))
}
