//! One run of a cluster: its processes, its client, its faults, and what must hold.
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio_util::sync::CancellationToken;
use wiesel_common::config::Configuration;
use wiesel_expressions::expression::Zone;
use wiesel_jobmanager::components::{Components, Environment};
use wiesel_jobmanager::ha::MemoryRecords;
use wiesel_jobmanager::jobmaster::JobRecords;
use wiesel_jobmanager::jobmaster::operator_coordinator_holder::CoordinatorCalls;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_jobmanager::options::RestOptions;
use wiesel_proto as proto;
use wiesel_taskmanager::components::{Components as TaskManagerComponents, World};

use crate::agreement::{Agreement, Beliefs};
use crate::attempts::Attempts;
use crate::client::{Client, JobManager, Wish};
use crate::data::DataPlane;
use crate::endpoint::Endpoint;
use crate::external::External;
use crate::faults::{Fault, Place};
use crate::network::{Network, ProcessId};
use crate::process::Process;
use crate::settings::Settings;
use crate::store::{Mood, Store};
use crate::successions::Successions;
use crate::task::SimulatedTasks;
use crate::tickets::Tickets;
use crate::workload;

/// Where the JobManager listens.
const JOB_MANAGER: &str = "jobmanager:6123";
/// How long the whole must be at rest after the last fault, in milliseconds: a restart's delay, a heartbeat's and a slot
/// request's timeout, and the work itself.
const PATIENCE: u64 = 900_000;
/// How long after the last job slots may take to come back and files to be deleted.
const AFTERMATH: u64 = 180_000;
/// How long after that files may stay that belong to no checkpoint: a round of deletions that hangs, the last sweep after a
/// failure, and behind both the mark of a claim.
const SWEEPS: u64 = 1_500_000;

/// Of so many snapshots of coordinators one is met by a fault, within so many milliseconds.
const SNAPSHOTS_A_FAULT: u32 = 80;
const UNTIL_RELEASE: u64 = 200;

/// Why a run is not as it must be.
#[derive(Debug)]
pub struct Violation {
    /// When, in milliseconds.
    pub at: u64,
    /// What.
    pub what: String,
}

/// What was seen in a run that is as it must be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How long it took, in milliseconds of its own.
    pub ended: u64,
    /// Calls between processes.
    pub calls: u64,
    /// Faults.
    pub faults: usize,
    /// Jobs that were started for the workloads.
    pub jobs: usize,
    /// Rows that were committed.
    pub rows: usize,
    /// Tasks that went on under another JobManager.
    pub adopted: usize,
}

enum Role {
    JobManager(Box<Components>, Router),
    TaskManager(TaskManagerComponents),
}

/// A process that runs.
struct Node {
    id: ProcessId,
    process: Process,
    role: Role,
}

/// See the module.
pub struct Cluster {
    seed: u64,
    settings: Settings,
    random: StdRng,
    now: u64,
    network: Network,
    store: Store,
    external: External,
    tickets: Tickets,
    attempts: Attempts,
    /// What outlives a JobManager.
    records: MemoryRecords,
    successions: Successions,
    /// By place; none: it is down.
    nodes: Vec<Option<Node>>,
    next_process: ProcessId,
    client: Client,
    /// What ends by itself, by time.
    due: BTreeMap<(u64, u64), Due>,
    sequence: u64,
    faults: usize,
    window: (u64, u64),
    agreement: Agreement,
}

/// Something that a fault ends with.
#[derive(Debug)]
enum Due {
    Fault,
    Inflict(Fault),
    Wake(Place, ProcessId),
    Start(Place),
    Unblock(ProcessId, ProcessId),
    AtUsualSpeed(ProcessId, ProcessId),
    CallsInTime(ProcessId, ProcessId),
    CutOne(ProcessId, ProcessId),
    StoreWell,
    Heal,
}

impl Cluster {
    /// The cluster of a seed.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Settings::draw)
    }

    /// A cluster with ten thousand tasks.
    pub fn large(seed: u64) -> Self {
        Self::with(seed, Settings::large)
    }

    /// A cluster in which nothing goes wrong but that calls are late.
    pub fn late(seed: u64) -> Self {
        Self::with(seed, Settings::late)
    }

    /// A cluster whose jobs outlive its JobManagers.
    pub fn recovering(seed: u64) -> Self {
        Self::with(seed, Settings::recovering)
    }

    /// A cluster in which one JobManager dies after another, and nothing else goes wrong.
    pub fn successions(seed: u64) -> Self {
        Self::with(seed, Settings::successions)
    }

    fn with(seed: u64, settings: fn(u64, &mut StdRng) -> Settings) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let settings = settings(seed, &mut random);
        let store = Store::new(random.random(), &settings.store_root());
        wiesel_common::filesystem::mount(&settings.store_name, Arc::new(store.clone()));
        let network = Network::new(random.random());
        let client = Client::new(&settings, random.random());
        let nodes = (0..=settings.task_managers.len()).map(|_| None).collect();
        let mut cluster = Self {
            seed,
            settings,
            random,
            now: 0,
            network,
            store,
            external: External::default(),
            tickets: Tickets::default(),
            attempts: Attempts::default(),
            records: MemoryRecords::default(),
            successions: Successions::default(),
            nodes,
            next_process: 0,
            client,
            due: BTreeMap::new(),
            sequence: 0,
            faults: 0,
            window: (0, 0),
            agreement: Agreement::default(),
        };
        for place in 0..cluster.nodes.len() {
            let at = if place == 0 { 1 } else { cluster.random.random_range(1..500) };
            cluster.at(at, Due::Start(place));
        }
        let first = cluster.random.random_range(500..5_000);
        cluster.at(first, Due::Fault);
        let heal = cluster.settings.faults_until;
        cluster.at(heal, Due::Heal);
        cluster
    }

    fn at(&mut self, time: u64, due: Due) {
        self.sequence += 1;
        self.due.insert((time, self.sequence), due);
    }

    /// Runs to the end.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn run(mut self) -> Result<Outcome, Violation> {
        let outcome = self.run_to_rest();
        // Processes end before the store's name does.
        self.nodes.clear();
        wiesel_common::filesystem::unmount(&self.settings.store_name);
        outcome
    }

    fn run_to_rest(&mut self) -> Result<Outcome, Violation> {
        while !self.client.is_done() {
            self.step()?;
            if self.now > self.settings.faults_until + PATIENCE {
                let what =
                    format!("not done long after the last fault: {}; {}", self.client.describe(), self.open_tasks());
                return Err(self.violation(what));
            }
        }
        let rest = self.now.max(self.settings.faults_until) + AFTERMATH;
        while self.now < rest {
            self.step()?;
        }
        // What failed is swept once more when all that is late must have come.
        while self.now < rest + SWEEPS && !self.orphans().is_empty() {
            let look = self.now + 1_000;
            while self.now < look {
                self.step()?;
            }
        }
        self.check_rest()?;
        Ok(Outcome {
            ended: self.now,
            calls: self.network.calls(),
            faults: self.faults,
            jobs: self.client.jobs(),
            rows: self.settings.workloads.iter().map(|known| self.external.seen(known.id)).sum(),
            adopted: self.successions.adopted(),
        })
    }

    /// For people: jobs and tasks that have not ended.
    fn open_tasks(&self) -> String {
        let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0] else {
            return String::new();
        };
        let mut open = Vec::new();
        for job in process.run(components.dispatcher.describe_all()).iter().filter(|job| !job.status.is_terminal()) {
            open.push(format!("job {} is {}", job.job_id, job.status));
            let tasks = job.graph.executions().filter(|task| task.end_time() < 0);
            open.extend(tasks.map(|task| format!("{} is {:?} in {:?}", task.attempt_id, task.state, task.slot)));
        }
        open.join("; ")
    }

    fn violation(&self, what: String) -> Violation {
        Violation { at: self.now, what }
    }

    fn step(&mut self) -> Result<(), Violation> {
        // Longer steps while nothing is on its way: what is sent in one arrives that much later.
        let busy = self.network.next_arrival().is_some_and(|arrival| arrival <= self.now + 10);
        self.now += if busy { 5 } else { 25 };
        while let Some(entry) = self.due.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let due = entry.remove();
            self.happen(due);
        }
        self.network.deliver(self.now);
        self.store.advance(self.now);
        for node in self.nodes.iter_mut().flatten() {
            node.process.live_until(self.now);
        }
        if let Some(Node { process, role: Role::JobManager(components, rest), .. }) = &self.nodes[0]
            && !process.is_stalled()
        {
            let manager = JobManager { process, components, rest };
            let seen = (&self.external, &self.tickets);
            for (place, length) in self.client.act(self.now, &manager, &self.store, seen) {
                // What the client did is under way by then.
                let at = self.now + self.random.random_range(0..100);
                if at < self.settings.faults_until && !self.settings.is_mild() {
                    self.at(at, Due::Inflict(Fault::Stall(place, length)));
                }
            }
        }
        self.meet_snapshots();
        self.check()
    }

    /// Lets faults come while coordinators hold back their events.
    fn meet_snapshots(&mut self) {
        let snapshots = self.tickets.take_snapshots();
        if self.settings.is_mild() || self.settings.parallelism.is_some() {
            return;
        }
        for _ in 0..snapshots {
            if !self.random.random_ratio(1, SNAPSHOTS_A_FAULT) {
                continue;
            }
            let fault = Fault::draw_at_snapshot(&mut self.random, self.settings.task_managers.len());
            let at = self.now + self.random.random_range(0..UNTIL_RELEASE);
            if at < self.settings.faults_until {
                self.at(at, Due::Inflict(fault));
            }
        }
    }

    fn check(&mut self) -> Result<(), Violation> {
        let violations = self.external.violations().into_iter().chain(self.store.violations());
        let violation = violations.chain(self.tickets.violations()).chain(self.attempts.violations()).next();
        if let Some(what) = violation.or_else(|| self.client.violation()) {
            return Err(self.violation(what));
        }
        self.check_slots()?;
        if self.now >= self.window.0 + 10_000 {
            let calls = self.network.calls();
            let made = calls - self.window.1;
            self.window = (self.now, calls);
            if made > self.settings.most_calls {
                return Err(self.violation(format!("{made} calls between processes in ten seconds")));
            }
        }
        Ok(())
    }

    /// Files that belong to no checkpoint or to one of a finished job, and that somebody is to delete.
    fn orphans(&self) -> Vec<String> {
        let mut orphans = self.store.orphans();
        orphans.extend(self.checkpoints_of_finished_jobs());
        orphans.retain(|file| !self.client.abandoned(file) && !self.store.was_claimed_while_deletions_hung(file));
        let marks = self.store.idle_marks().into_iter();
        orphans.extend(marks.filter(|(_, job)| !self.client.abandoned(&format!("/{job}/"))).map(|(mark, _)| mark));
        orphans
    }

    fn checkpoints_of_finished_jobs(&self) -> Vec<String> {
        let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0] else {
            return Vec::new();
        };
        let jobs = process.run(components.dispatcher.describe_all());
        let finished = jobs.iter().filter(|job| job.status == JobStatus::Finished);
        let folders: Vec<_> = finished.map(|job| format!("/checkpoints/{}/chk-", job.job_id)).collect();
        let complete = self.store.complete();
        complete.into_keys().filter(|file| folders.iter().any(|folder| file.contains(folder))).collect()
    }

    /// What the three tables say of slots, and what runs, when all processes are well.
    fn check_slots(&mut self) -> Result<(), Violation> {
        if !self.agreement.is_due(self.now) {
            return Ok(());
        }
        let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0] else {
            return Ok(());
        };
        let all_well = self.nodes.iter().all(|node| node.as_ref().is_some_and(|node| !node.process.is_stalled()));
        if !all_well {
            self.agreement.disturbed(self.now);
            return Ok(());
        }
        let task_managers = self.nodes.iter().flatten().filter_map(|node| match &node.role {
            Role::TaskManager(task_manager) => Some(task_manager),
            Role::JobManager(..) => None,
        });
        let beliefs = Beliefs {
            overview: process.run(components.resource_manager.describe()),
            jobs: process.run(components.dispatcher.describe_all()),
            truth: task_managers.map(TaskManagerComponents::slots).collect(),
            doubled: self.attempts.doubled(),
        };
        let gone_on = self.successions.look(&beliefs.jobs);
        gone_on.and_then(|()| self.agreement.check(self.now, &beliefs)).map_err(|what| self.violation(what))
    }

    fn check_rest(&self) -> Result<(), Violation> {
        for workload in &self.settings.workloads {
            let (seen, expected) = (self.external.seen(workload.id), workload.all_rows());
            if seen != expected {
                let what = format!("workload {} has {seen} rows committed of {expected}", workload.id);
                return Err(self.violation(what));
            }
            if let Some(what) = self.tickets.missing(workload.id, &self.external) {
                return Err(self.violation(what));
            }
        }
        let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0] else {
            return Err(self.violation("there is no JobManager at the end".into()));
        };
        let overview = process.run(components.resource_manager.describe());
        let slots: u32 = self.settings.task_managers.iter().map(|known| known.slots).sum();
        if overview.slots_total != slots as usize || overview.slots_free != slots as usize {
            let what = format!(
                "at rest {} of {} slots are free, of {slots} that there are",
                overview.slots_free, overview.slots_total
            );
            return Err(self.violation(what));
        }
        let orphans = self.orphans();
        if !orphans.is_empty() {
            return Err(self.violation(format!(
                "{} files belong to no checkpoint that is to stay: {:?}",
                orphans.len(),
                &orphans[..1]
            )));
        }
        Ok(())
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Fault => {
                let (task_managers, workloads) = (self.settings.task_managers.len(), self.settings.workloads.len());
                let fault = match &self.settings {
                    Settings { only_late: true, .. } => Fault::draw_late(&mut self.random, task_managers, workloads),
                    Settings { only_successions: true, .. } => Fault::draw_succession(&mut self.random, false),
                    Settings { recovers: true, .. } => {
                        self.records.lose_answers(self.random.random_range(0..3));
                        Fault::draw_recovering(&mut self.random, task_managers, workloads)
                    }
                    _ => Fault::draw(&mut self.random, task_managers, workloads),
                };
                if !self.settings.only_successions || self.runs_calmly() {
                    self.inflict(fault);
                }
                let next = self.now + self.random.random_range(200..self.settings.calm);
                if next < self.settings.faults_until {
                    self.at(next, Due::Fault);
                }
            }
            Due::Inflict(fault) => self.inflict(fault),
            Due::Wake(place, id) => {
                if let Some(node) = self.nodes[place].as_mut().filter(|node| node.id == id) {
                    tracing::info!(at = self.now, place, "wakes");
                    node.process.wake(self.now);
                }
            }
            Due::Start(place) => self.start(place),
            Due::Unblock(from, to) => self.network.block(from, to, false),
            Due::AtUsualSpeed(from, to) => self.network.slow_down(from, to, 0),
            Due::CallsInTime(from, to) => self.network.delay_calls(from, to, None),
            Due::CutOne(one, other) => {
                tracing::info!(at = self.now, one, other, "one connection breaks");
                self.agreement.disturbed(self.now);
                self.network.cut_one(one, other);
            }
            Due::StoreWell => self.store.set_mood(Mood { failing: 0, slow: 20, hangs: false }),
            Due::Heal => self.heal(),
        }
    }

    /// All tasks of all jobs run, or have finished.
    fn runs_calmly(&self) -> bool {
        let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0] else { return false };
        let jobs = process.run(components.dispatcher.describe_all());
        jobs.iter().filter(|job| !job.status.is_terminal()).all(|job| Successions::runs_calmly(job))
    }

    /// Notes what a JobManager leads that dies.
    fn note_last_words(&mut self) {
        if let Some(Node { process, role: Role::JobManager(components, _), .. }) = &self.nodes[0]
            && self.settings.recovers
            && !process.is_stalled()
        {
            let jobs = process.run(components.dispatcher.describe_all());
            self.successions.died(&jobs, self.settings.only_successions);
        }
    }

    fn heal(&mut self) {
        tracing::info!(at = self.now, "no more faults");
        self.agreement.disturbed(self.now);
        self.network.heal();
        self.store.set_mood(Mood { failing: 0, slow: 20, hangs: false });
        for place in 0..self.nodes.len() {
            match &mut self.nodes[place] {
                Some(node) => node.process.wake(self.now),
                None => self.start(place),
            }
        }
    }

    fn inflict(&mut self, fault: Fault) {
        self.faults += 1;
        self.agreement.disturbed(self.now);
        tracing::info!(at = self.now, ?fault, "fault");
        let now = self.now;
        let id = |place: Place| self.nodes[place].as_ref().map(|node| node.id);
        match fault {
            Fault::Stall(place, length) => {
                if let Some(node) = self.nodes[place].as_mut().filter(|node| !node.process.is_stalled()) {
                    node.process.stall(true);
                    let id = node.id;
                    self.at(now + length, Due::Wake(place, id));
                }
            }
            Fault::Kill { place, down, silently } => {
                if place == 0 {
                    self.note_last_words();
                }
                if let Some(node) = self.nodes[place].take() {
                    self.network.leave(node.id, silently);
                    drop(node);
                    if place == 0 {
                        self.client.job_manager_died(now, &self.external, &self.tickets);
                    }
                    self.at(now + down, Due::Start(place));
                }
            }
            Fault::Block(one, other, length) => {
                if let (Some(one), Some(other)) = (id(one), id(other)) {
                    self.network.block(one, other, true);
                    self.at(now + length, Due::Unblock(one, other));
                }
            }
            Fault::Slow(one, other, by, length) => {
                if let (Some(one), Some(other)) = (id(one), id(other)) {
                    self.network.slow_down(one, other, by);
                    self.at(now + length, Due::AtUsualSpeed(one, other));
                }
            }
            Fault::Late { place, call, by, length, cut_after } => {
                if let (Some(manager), Some(task_manager)) = (id(0), id(place)) {
                    let towards = call.is_to_job_manager();
                    let (from, to) = if towards { (task_manager, manager) } else { (manager, task_manager) };
                    self.network.delay_calls(from, to, Some((call.path(), by)));
                    self.at(now + length, Due::CallsInTime(from, to));
                    if let Some(cut) =
                        cut_after.map(|after| now + after).filter(|cut| *cut < self.settings.faults_until)
                    {
                        self.at(cut, Due::CutOne(from, to));
                    }
                }
            }
            Fault::CutOne(one, other) => {
                if let (Some(one), Some(other)) = (id(one), id(other)) {
                    self.network.cut_one(one, other);
                }
            }
            Fault::Cut(one, other) => {
                if let (Some(one), Some(other)) = (id(one), id(other)) {
                    self.network.cut(one, other);
                }
            }
            Fault::Store(mood, length) => {
                self.store.set_mood(mood);
                self.at(now + length, Due::StoreWell);
            }
            Fault::Step(place, by) => {
                if let Some(node) = &self.nodes[place] {
                    node.process.clock().step(by);
                }
            }
            Fault::Cancel(workload) => self.client.wish(workload, Wish::Cancel),
            Fault::Stop(workload, drain) => self.client.wish(workload, Wish::Stop { drain }),
            Fault::Savepoint(workload) => self.client.wish(workload, Wish::Savepoint),
        }
    }

    fn configuration(&self) -> Configuration {
        let mut configuration = Configuration::default();
        for (key, value) in &self.settings.configuration {
            configuration.set(key, value);
        }
        configuration
    }

    fn start(&mut self, place: Place) {
        if self.nodes[place].is_some() {
            return;
        }
        self.next_process += 1;
        let (id, process) = (self.next_process, Process::new(self.now));
        tracing::info!(at = self.now, place, process = id, "starts");
        let role = if place == 0 {
            self.start_job_manager(id, &process)
        } else {
            self.start_task_manager(place, id, &process)
        };
        self.nodes[place] = Some(Node { id, process, role });
    }

    fn start_job_manager(&self, id: ProcessId, process: &Process) -> Role {
        let endpoint = Endpoint::new(id, self.network.clone(), std::time::Duration::from_secs(5));
        let inbox = self.network.join(id, JOB_MANAGER);
        let environment = Environment {
            clock: process.clock().clone(),
            // One process after the other leads.
            epoch: id.into(),
            time_zone: Zone::UTC,
            connector: Arc::new(endpoint.clone()),
            enumerators: workload::enumerators(),
            coordinators: self.tickets.coordinators(),
            coordinator_calls: CoordinatorCalls::Inline,
            records: None,
            recorded_jobs: Vec::new(),
            recorded_results: Vec::new(),
            adopts_tasks: self.settings.adopts_tasks,
        };
        let configuration = Arc::new(self.configuration());
        let options = RestOptions::read(&configuration).expect("the settings of a simulation are valid");
        process.run(async {
            let mut environment = environment;
            if self.settings.recovers {
                let records = JobRecords::lead(Arc::new(self.records.clone()), id.into()).await;
                let records = records.expect("no later leader has begun");
                environment.recorded_jobs = records.jobs().await.expect("records in memory can be read");
                environment.recorded_results = records.results().await.expect("records in memory can be read");
                environment.records = Some(records);
            }
            let stop = CancellationToken::new();
            let components = Components::start(configuration, environment, JOB_MANAGER.to_owned(), stop);
            let components = components.expect("the settings of a simulation are valid");
            // It ends with the process.
            tokio::spawn(endpoint.serve(inbox, components.services.clone(), None));
            let rest = components.rest(options, ([127, 0, 0, 1], 8081).into());
            Role::JobManager(Box::new(components), rest)
        })
    }

    fn start_task_manager(&self, place: Place, id: ProcessId, process: &Process) -> Role {
        let settings = &self.settings.task_managers[place - 1];
        let endpoint = Endpoint::new(id, self.network.clone(), std::time::Duration::from_secs(10));
        let address = format!("tm-{place}:6122");
        let inbox = self.network.join(id, &address);
        let data = DataPlane::new(endpoint.clone());
        let mut configuration = self.configuration();
        configuration.set("taskmanager.host", format!("tm-{place}"));
        configuration.set("taskmanager.numberOfTaskSlots", settings.slots.to_string());
        let options = wiesel_taskmanager::Options::from_configuration(&configuration);
        let mut options = options.expect("the settings of a simulation are valid");
        options.tasks_without_leader = std::time::Duration::from_millis(self.settings.tasks_without_leader);
        let resource_id = if settings.keeps_its_id { address.clone() } else { format!("{address}-{id}") };
        let identity = proto::RegisterTaskManagerRequest {
            resource_id,
            rpc_address: address.clone(),
            data_address: address,
            slots: settings.slots,
            hostname: format!("tm-{place}"),
            release: proto::RELEASE.to_owned(),
            ..Default::default()
        };
        let runner = SimulatedTasks {
            data: data.clone(),
            external: self.external.clone(),
            tickets: self.tickets.clone(),
            attempts: self.attempts.clone(),
            configuration,
            pace: settings.pace,
            slow_to_cancel: settings.slow_to_cancel,
            random: Mutex::new(StdRng::seed_from_u64(self.seed ^ u64::from(id))),
        };
        let world = World {
            runner: Arc::new(runner),
            connector: Arc::new(endpoint.clone()),
            metrics: Box::new(proto::TaskManagerMetrics::default),
        };
        process.run(async {
            let components = TaskManagerComponents::start(&options, identity, world);
            // It ends with the process.
            tokio::spawn(endpoint.serve(inbox, components.services.clone(), Some(data)));
            Role::TaskManager(components)
        })
    }
}
