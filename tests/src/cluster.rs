//! A session cluster of real processes.
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::http::{self, Answer};
use crate::{eventually, process};

pub use self::masters::Master;

mod masters;

/// How long a cluster may take to come up, and a signal to be followed.
const START: Duration = Duration::from_secs(20);

/// The installation under test: `WIESEL_HOME`, else what `make home` builds.
pub fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        if let Some(home) = std::env::var_os("WIESEL_HOME").filter(|home| !home.is_empty()) {
            return PathBuf::from(home);
        }
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let made = Command::new("make").args(["-s", "home"]).current_dir(root).output().expect("make can be run");
        let text = String::from_utf8_lossy(&made.stdout);
        assert!(made.status.success(), "make home failed: {}", String::from_utf8_lossy(&made.stderr));
        PathBuf::from(text.trim())
    })
}

/// Ports below those that the system gives to whoever asks for any, or connects to somebody: none of them takes one of
/// these before the process that it is meant for does, or while that is started again.
const PORTS: Range<u16> = 12_000..32_000;

/// Ports that nobody uses now, and that are given once.
pub fn free_ports<const N: usize>() -> [u16; N] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let width = u32::from(PORTS.end - PORTS.start);
    // Another process that runs tests begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    let port = || {
        let candidates = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(begin) % width);
        let mut free = candidates.take(width as usize).map(|offset| PORTS.start + offset as u16);
        free.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
    };
    [(); N].map(|()| port())
}

/// A cluster to be.
pub struct ClusterBuilder {
    masters: usize,
    task_managers: usize,
    slots: usize,
    config: BTreeMap<String, String>,
    fault_points: String,
}

impl ClusterBuilder {
    /// How many TaskManagers to start.
    pub fn task_managers(mut self, task_managers: usize) -> Self {
        self.task_managers = task_managers;
        self
    }

    /// Slots of each TaskManager.
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots;
        self
    }

    /// Sets a configuration key.
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.config.insert(key.to_owned(), value.to_string());
        self
    }

    /// Restarts a job so often, each time so long after it failed.
    pub fn restarts(self, attempts: u32, delay: &str) -> Self {
        self.set("restart-strategy.type", "fixed-delay")
            .set("restart-strategy.fixed-delay.attempts", attempts)
            .set("restart-strategy.fixed-delay.delay", delay)
    }

    /// Rules for the fault points of all processes, see `common::fault`.
    pub fn fault_points(mut self, rules: &str) -> Self {
        rules.clone_into(&mut self.fault_points);
        self
    }

    /// Writes the configuration without starting anything.
    pub fn prepare(self) -> Cluster {
        let [rest, rpc] = free_ports();
        let mut masters = vec![Master { rest, pid: 0 }];
        masters.extend((1..self.masters).map(|_| Master { rest: free_ports::<1>()[0], pid: 0 }));
        let dir = tempfile::tempdir().expect("a temporary folder");
        let mut config = BTreeMap::from([
            ("rest.port".to_owned(), rest.to_string()),
            ("rest.address".to_owned(), "localhost".to_owned()),
            ("rest.bind-address".to_owned(), "localhost".to_owned()),
            ("jobmanager.rpc.address".to_owned(), "localhost".to_owned()),
            ("jobmanager.rpc.port".to_owned(), rpc.to_string()),
            ("jobmanager.bind-host".to_owned(), "localhost".to_owned()),
            ("jobmanager.memory.process.size".to_owned(), "1600m".to_owned()),
            ("taskmanager.bind-host".to_owned(), "localhost".to_owned()),
            ("taskmanager.host".to_owned(), "localhost".to_owned()),
            ("taskmanager.memory.process.size".to_owned(), "1728m".to_owned()),
            ("taskmanager.numberOfTaskSlots".to_owned(), self.slots.to_string()),
        ]);
        config.extend(self.config);
        let (task_managers, slots, fault_points) = (self.task_managers, self.slots, self.fault_points);
        let (rest, list) = (AtomicU16::new(rest), masters.iter().map(|master| format!("localhost:{}\n", master.rest)));
        let list: String = list.collect();
        let masters = Mutex::new(masters);
        let mut cluster = Cluster { dir, config, masters, rest, task_managers, slots, fault_points };
        if cluster.is_elected() {
            let folder = format!("file://{}", cluster.records_folder().display());
            cluster.config.entry("high-availability.storageDir".to_owned()).or_insert(folder);
        }
        fs::create_dir_all(cluster.conf()).expect("the configuration's folder can be made");
        fs::write(cluster.conf().join("workers"), "localhost\n".repeat(task_managers)).expect("workers");
        fs::write(cluster.conf().join("masters"), list).expect("masters");
        let text: String = cluster.config.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
        fs::write(cluster.conf().join("config.yaml"), text).expect("config.yaml");
        cluster
    }

    /// Starts the cluster and waits until all slots are there.
    pub fn start(self) -> Cluster {
        let cluster = self.prepare();
        let output = cluster.script("start-cluster.sh", &[]);
        assert!(output.status.success(), "start-cluster.sh: {output:?}");
        if cluster.is_elected() {
            cluster.note_masters();
            cluster.follow_leader(None, START);
        }
        cluster.wait_for_slots(cluster.task_managers * cluster.slots);
        cluster
    }
}

/// A session cluster, or the configuration of one.
pub struct Cluster {
    dir: TempDir,
    config: BTreeMap<String, String>,
    masters: Mutex<Vec<Master>>,
    /// Of the JobManager that requests go to.
    rest: AtomicU16,
    task_managers: usize,
    slots: usize,
    fault_points: String,
}

impl Cluster {
    /// A cluster of one TaskManager with two slots.
    pub fn builder() -> ClusterBuilder {
        ClusterBuilder { masters: 1, task_managers: 1, slots: 2, config: BTreeMap::new(), fault_points: String::new() }
    }

    /// A folder that is removed with the cluster.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration's folder.
    pub fn conf(&self) -> PathBuf {
        self.dir().join("conf")
    }

    /// The REST port.
    pub fn port(&self) -> u16 {
        self.rest.load(Ordering::Relaxed)
    }

    /// Whether JobManagers are elected.
    fn is_elected(&self) -> bool {
        self.config.contains_key("high-availability.type")
    }

    /// A program or script of the installation, made to use this cluster's folders.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(home().join(program));
        command
            .env("FLINK_CONF_DIR", self.conf())
            .env("FLINK_LOG_DIR", self.dir().join("log"))
            .env("FLINK_PID_DIR", self.dir().join("pid"))
            .env("WIESEL_FAULT_POINTS", &self.fault_points)
            .env_remove("FLINK_PROPERTIES")
            .env_remove("RUST_LOG")
            .current_dir(self.dir())
            .stdin(Stdio::null());
        command
    }

    /// Starts a process of its own kind: `jobmanager.sh` or `taskmanager.sh`, with what `change` adds to its environment.
    pub fn start_one(&self, script: &str, change: impl FnOnce(&mut Command)) {
        let mut command = self.command(&format!("bin/{script}"));
        command.arg("start");
        change(&mut command);
        let output = command.output().unwrap_or_else(|error| panic!("{script}: {error}"));
        assert!(output.status.success(), "{script}: {output:?}");
    }

    /// Runs a script of `bin/`.
    pub fn script(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(&format!("bin/{name}")).args(arguments).output().unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes a SQL script.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).expect("a file in the cluster's folder can be written");
        path
    }

    /// Starts `flink run` of a script.
    pub fn spawn_run(&self, sql: &str, arguments: &[&str]) -> Child {
        let script = self.file("run.sql", sql);
        let mut command = self.command("bin/flink");
        command.arg("run").args(arguments).arg(script).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("bin/flink can be run")
    }

    /// `flink run` of a script, to its end.
    pub fn run(&self, sql: &str, arguments: &[&str]) -> Output {
        self.spawn_run(sql, arguments).wait_with_output().expect("bin/flink can be waited for")
    }

    /// Submits a script with one job and says which job it is.
    pub fn submit(&self, sql: &str, parallelism: usize) -> String {
        self.submit_with(sql, &["-p", &parallelism.to_string()])
    }

    /// The same with options of `flink run`.
    pub fn submit_with(&self, sql: &str, arguments: &[&str]) -> String {
        let output = self.run(sql, &[&["-d"], arguments].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let id = text.split("JobID ").nth(1).and_then(|rest| rest.split_whitespace().next());
        id.unwrap_or_else(|| panic!("no job was submitted: {output:?}\n{}", self.logs())).to_owned()
    }

    /// The final rows of each SELECT of a script, as `sql-client.sh --fold-json` gives them.
    pub fn fold(&self, sql: &str, parallelism: usize) -> Vec<Value> {
        let script = self.file("fold.sql", sql);
        let output = self.script(
            "sql-client.sh",
            &[&format!("-Dparallelism.default={parallelism}"), "-f", &script.to_string_lossy(), "--fold-json"],
        );
        let text = String::from_utf8_lossy(&output.stdout);
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        assert!(!lines.is_empty(), "no answer: {output:?}\n{}", self.logs());
        lines
    }

    /// The rows of a script's only SELECT, sorted.
    pub fn rows(&self, sql: &str, parallelism: usize) -> Vec<Vec<String>> {
        let lines = self.fold(sql, parallelism);
        let rows = lines[0]["rows"].as_array().unwrap_or_else(|| panic!("no rows: {}\n{}", lines[0], self.logs()));
        let text = |value: &Value| value.as_str().map_or_else(|| "null".to_owned(), str::to_owned);
        let row = |row: &Value| row.as_array().into_iter().flatten().map(text).collect();
        let mut rows: Vec<Vec<String>> = rows.iter().map(row).collect();
        rows.sort();
        rows
    }

    /// The answer of the REST endpoint.
    pub fn request(&self, method: &str, path: &str) -> Answer {
        let answer = http::request(self.port(), method, path, "application/json", b"");
        answer.unwrap_or_else(|error| panic!("{method} {path}: {error:#}\n{}", self.logs()))
    }

    /// The JSON of the REST endpoint.
    pub fn get(&self, path: &str) -> Value {
        let answer = self.request("GET", path);
        assert_eq!(answer.status, 200, "GET {path}: {}", answer.body);
        answer.json()
    }

    /// Waits until so many slots are registered.
    pub fn wait_for_slots(&self, slots: usize) {
        self.wait_for_overview(START, "slots-total", slots);
    }

    /// Waits until so many slots are free.
    pub fn wait_for_free_slots(&self, slots: usize) {
        self.wait_for_overview(START, "slots-available", slots);
    }

    fn wait_for_overview(&self, limit: Duration, field: &str, wanted: usize) {
        let ask = || {
            let answer = http::request(self.port(), "GET", "/overview", "application/json", b"");
            let answer = answer.map_err(|error| format!("{error:#}"))?.json();
            match answer[field].as_u64() == Some(wanted as u64) {
                true => Ok(()),
                false => Err(answer.to_string()),
            }
        };
        let what = format!("{field} = {wanted}");
        let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| eventually(&what, limit, ask)));
        found.unwrap_or_else(|_| panic!("{what}: not within {limit:?}\n{}", self.logs()));
    }

    /// The state of a job.
    pub fn state(&self, job: &str) -> String {
        self.get(&format!("/jobs/{job}"))["state"].as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a job is in a state. Panics if it ends in another one.
    pub fn wait_for_state(&self, job: &str, wanted: &str, limit: Duration) {
        let is_end = |state: &str| ["FINISHED", "FAILED", "CANCELED"].contains(&state);
        let state = eventually(&format!("job {job} {wanted}"), limit, || {
            let state = self.state(job);
            if state == wanted || is_end(&state) { Ok(state) } else { Err(state) }
        });
        assert_eq!(state, wanted, "{}\n{}", self.get(&format!("/jobs/{job}/exceptions")), self.logs());
    }

    /// Waits until a job has finished, while another TaskManager, without fault points, takes the place of each that dies. Says how
    /// many died.
    pub fn replace_dead_until_finished(&self, job: &str, limit: Duration) -> usize {
        self.replace_dead_until_finished_asking(job, limit, || {})
    }

    /// The same, and asks something over and over meanwhile.
    pub fn replace_dead_until_finished_asking(&self, job: &str, limit: Duration, ask: impl Fn()) -> usize {
        let mut died = 0;
        eventually("the job's end", limit, || {
            let alive = self.task_manager_pids().into_iter().filter(|pid| process::is_alive(*pid)).count();
            for _ in alive..self.task_managers {
                died += 1;
                self.start_one("taskmanager.sh", |command| {
                    command.env("WIESEL_FAULT_POINTS", "");
                });
            }
            ask();
            let state = self.state(job);
            if state == "FINISHED" { Ok(()) } else { Err(state) }
        });
        died
    }

    /// Waits until all tasks of a job run.
    pub fn wait_for_tasks(&self, job: &str, limit: Duration) {
        eventually(&format!("tasks of {job} running"), limit, || {
            let details = self.get(&format!("/jobs/{job}"));
            let vertices = details["vertices"].as_array().cloned().unwrap_or_default();
            let running =
                |vertex: &Value| vertex["status"] == "RUNNING" && vertex["tasks"]["RUNNING"] == vertex["parallelism"];
            match !vertices.is_empty() && vertices.iter().all(running) {
                true => Ok(()),
                false => Err(details.to_string()),
            }
        });
    }

    /// What made a job fail, as the REST endpoint tells it.
    pub fn failure(&self, job: &str) -> String {
        let exceptions = self.get(&format!("/jobs/{job}/exceptions"));
        exceptions["exceptionHistory"]["entries"][0]["stacktrace"].as_str().unwrap_or_default().to_owned()
    }

    /// The pids of the TaskManagers in the order they were started.
    pub fn task_manager_pids(&self) -> Vec<u32> {
        self.pids("taskexecutor")
    }

    /// The JobManager's pid.
    pub fn job_manager_pid(&self) -> u32 {
        *self.pids("standalonesession").first().expect("a JobManager runs")
    }

    fn pids(&self, daemon: &str) -> Vec<u32> {
        let files = fs::read_dir(self.dir().join("pid")).into_iter().flatten().flatten();
        let files = files.filter(|file| file.file_name().to_string_lossy().ends_with(&format!("-{daemon}.pid")));
        let text: String = files.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// All processes of the cluster.
    pub fn all_pids(&self) -> Vec<u32> {
        ["standalonesession", "standalonejob", "taskexecutor"].map(|daemon| self.pids(daemon)).concat()
    }

    /// Stops the cluster by its script.
    pub fn stop(&self) -> Output {
        self.script("stop-cluster.sh", &[])
    }

    /// What the processes have logged and printed.
    pub fn log_text(&self) -> String {
        let text = |(path, text): (PathBuf, String)| format!("--- {}\n{text}", path.display());
        self.log_files().into_iter().map(text).collect()
    }

    /// The end of each log, for messages.
    fn logs(&self) -> String {
        let end = |(path, text): (PathBuf, String)| {
            let from = text.len().saturating_sub(3000);
            let from = (from..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
            format!("--- {}\n{}", path.display(), &text[from..])
        };
        format!("logs:\n{}", self.log_files().into_iter().map(end).collect::<String>())
    }

    /// The logs, by their paths.
    pub fn log_files(&self) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(self.dir().join("log")).into_iter().flatten().flatten();
        let mut files: Vec<_> = entries.map(|file| file.path()).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap_or_default())).collect()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let pids = self.all_pids();
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        for pid in pids {
            process::signal(pid, Signal::KILL);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_port_is_given_once_and_is_none_that_the_system_gives() {
        let all: BTreeSet<u16> = (0..50).flat_map(|_| free_ports::<4>()).collect();
        assert_eq!(all.len(), 200);
        let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let first: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        assert!(all.iter().all(|port| PORTS.contains(port)) && PORTS.end <= first, "{range}");
    }
}
