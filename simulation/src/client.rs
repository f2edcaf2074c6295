//! Who submits jobs, looks after them, and goes on from their checkpoints and savepoints when they are gone. It uses the REST
//! API but for submitting and looking.
use std::collections::{BTreeMap, BTreeSet};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use tower::ServiceExt;
use wiesel_common::id::JobId;
use wiesel_jobmanager::components::Components;
use wiesel_jobmanager::failure::STOP_WITH_SAVEPOINT_STOPPING;
use wiesel_jobmanager::jobmaster::status::JobStatus;

use crate::external::External;
use crate::faults::Place;
use crate::process::Process;
use crate::settings::Settings;
use crate::store::Store;
use crate::tickets::Tickets;
use crate::workload::{JobPlan, Workload};

/// How often the client looks at its jobs, in milliseconds.
const LOOK: u64 = 500;

/// What the client reaches of a JobManager.
pub struct JobManager<'a> {
    /// Its process.
    pub process: &'a Process,
    /// Its parts.
    pub components: &'a Components,
    /// Its REST API.
    pub rest: &'a Router,
}

impl JobManager<'_> {
    fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(Body::from(body.to_string())).map_err(|error| error.to_string())?;
        let called = async {
            let response = self.rest.clone().oneshot(request).await.map_err(|error| error.to_string())?;
            let status = response.status();
            let bytes = axum::body::to_bytes(response.into_body(), 1 << 20).await.map_err(|error| error.to_string())?;
            Ok::<_, String>((status, bytes))
        };
        let (status, bytes) = self.process.run(called)?;
        match status {
            StatusCode::OK | StatusCode::ACCEPTED => serde_json::from_slice(&bytes).map_err(|error| error.to_string()),
            _ => Err(format!("{method} {path}: {status} {}", String::from_utf8_lossy(&bytes))),
        }
    }
}

/// What the client does with a job besides waiting for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Cancel it.
    Cancel,
    /// Stop it with a savepoint.
    Stop {
        /// After the last watermark.
        drain: bool,
    },
    /// Take a savepoint, and dispose of it.
    Savepoint,
}

/// A savepoint that was asked for.
struct Operation {
    /// The job ends with it.
    stops: bool,
    trigger: String,
}

/// How far a workload is.
struct Progress {
    workload: Workload,
    /// All its jobs so far.
    jobs: Vec<JobId>,
    runs: bool,
    wish: Option<Wish>,
    operation: Option<Operation>,
    /// The JobManager has said that it cancels the job.
    cancelled: bool,
    /// The savepoint that the last job stopped with.
    savepoint: Option<String>,
    /// Whether the job was to stop with a savepoint, which nobody says anything of any more.
    may_have_stopped: bool,
    /// The last job has ended with a savepoint whose place nobody has said.
    ended_with_savepoint: bool,
    /// Savepoints that jobs have started from.
    started_from: BTreeSet<String>,
    finished: bool,
    /// When the next job is submitted.
    submit_at: u64,
}

impl Progress {
    /// The job is over, and its work is not done.
    fn again(&mut self, at: u64) {
        (self.runs, self.wish, self.operation) = (false, None, None);
        (self.may_have_stopped, self.cancelled) = (false, false);
        self.submit_at = at;
    }
}

/// See the module.
pub struct Client {
    random: StdRng,
    progress: Vec<Progress>,
    /// Jobs whose JobManager died: nobody is left to delete what they wrote.
    abandoned: Vec<JobId>,
    slots: u32,
    places: usize,
    fixed: Option<(u32, bool)>,
    /// No job may fail.
    none_fails: bool,
    /// Jobs outlive their JobManagers.
    recovers: bool,
    next_look: u64,
    next_job: u64,
    violation: Option<String>,
}

impl Client {
    /// A client whose choices follow from the seed.
    pub fn new(settings: &Settings, seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let progress = settings.workloads.iter().map(|workload| Progress {
            workload: workload.clone(),
            jobs: Vec::new(),
            runs: false,
            wish: None,
            operation: None,
            cancelled: false,
            savepoint: None,
            may_have_stopped: false,
            ended_with_savepoint: false,
            started_from: BTreeSet::new(),
            finished: false,
            submit_at: random.random_range(100..40_000),
        });
        Self {
            progress: progress.collect(),
            random,
            abandoned: Vec::new(),
            slots: settings.slots(),
            places: settings.task_managers.len(),
            fixed: settings.parallelism.map(|parallelism| (parallelism, true)),
            none_fails: settings.only_late || settings.only_successions,
            recovers: settings.recovers,
            next_look: 0,
            next_job: 0,
            violation: None,
        }
    }

    /// Whether all workloads are.
    pub fn is_done(&self) -> bool {
        self.progress.iter().all(|known| known.finished)
    }

    /// How many jobs there were.
    pub fn jobs(&self) -> usize {
        self.progress.iter().map(|known| known.jobs.len()).sum()
    }

    /// Whether a file may be left of a job whose JobManager died: nobody looks for it.
    pub fn abandoned(&self, file: &str) -> bool {
        self.abandoned.iter().any(|job| {
            let job = job.to_string();
            file.contains(&format!("/{job}/")) || file.contains(&format!("/savepoint-{}-", &job[..6]))
        })
    }

    /// What must not have happened and did.
    pub fn violation(&self) -> Option<String> {
        self.violation.clone()
    }

    /// For people.
    pub fn describe(&self) -> String {
        let one = |known: &Progress| {
            let state = match (known.finished, known.runs) {
                (true, _) => "finished",
                (false, true) => "runs",
                (false, false) => "waits to be submitted",
            };
            format!("workload {}: {} jobs, {state}", known.workload.id, known.jobs.len())
        };
        self.progress.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Something is to be done with a workload's job.
    pub fn wish(&mut self, workload: usize, wish: Wish) {
        if let Some(known) = self.progress.get_mut(workload).filter(|known| known.runs && known.operation.is_none()) {
            known.wish = Some(wish);
        }
    }

    /// All its jobs are gone, unless they go on under the next one, which knows nothing of what was under way. One that had done its work, which it may have kept no checkpoint of, is not started again.
    pub fn job_manager_died(&mut self, now: u64, external: &External, tickets: &Tickets) {
        // Also of those that are over something may have been left to do.
        self.abandoned.extend(self.progress.iter().flat_map(|known| &known.jobs));
        for known in self.progress.iter_mut().filter(|known| known.runs) {
            if self.recovers {
                known.may_have_stopped |= known.operation.take().is_some_and(|operation| operation.stops);
                continue;
            }
            known.finished = is_done(&known.workload, external, tickets);
            known.again(now + self.random.random_range(100..10_000));
        }
    }

    /// Does what is due. Returns stalls that are to meet what it did: place and length.
    pub fn act(
        &mut self,
        now: u64,
        manager: &JobManager<'_>,
        store: &Store,
        (external, tickets): (&External, &Tickets),
    ) -> Vec<(Place, u64)> {
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + LOOK;
        let mut stalls = Vec::new();
        for at in 0..self.progress.len() {
            if self.progress[at].finished {
                continue;
            }
            if self.progress[at].runs {
                self.look(at, now, manager, external, tickets);
            } else if now >= self.progress[at].submit_at {
                self.submit(at, manager, store);
                if self.random.random_ratio(1, 3) {
                    let length = self.random.random_range(1_000..30_000);
                    stalls.push((self.random.random_range(1..=self.places), length));
                }
            }
        }
        stalls
    }

    fn look(&mut self, at: usize, now: u64, manager: &JobManager<'_>, external: &External, tickets: &Tickets) {
        let known = &mut self.progress[at];
        let Some(&id) = known.jobs.last() else { return };
        let Some(info) = manager.process.run(manager.components.dispatcher.describe(id)) else {
            if self.recovers && self.abandoned.contains(&id) {
                // It ended under the JobManager before, and nobody asked.
                known.finished = is_done(&known.workload, external, tickets);
                known.ended_with_savepoint = known.may_have_stopped;
                return known.again(now + self.random.random_range(100..5_000));
            }
            self.violation = Some(format!("the job {id} is not known any more"));
            return;
        };
        // Whoever leads then.
        if known.cancelled && matches!(info.status, JobStatus::Created | JobStatus::Running | JobStatus::Restarting) {
            self.violation = Some(format!("the job {id} is {}, and was to be cancelled", info.status));
        }
        // What has ended under one JobManager says nothing to the next.
        if info.status == JobStatus::Finished && !self.abandoned.contains(&id) {
            self.violation = tickets.unheard(id).or(self.violation.take());
        }
        if let Some(operation) = known.operation.take() {
            match ask(manager, id, &operation) {
                Ok(Progressing) => known.operation = Some(operation),
                Ok(Complete(savepoint)) => {
                    tracing::info!(%id, savepoint, stops = operation.stops, "a savepoint is complete");
                    if operation.stops {
                        known.savepoint = Some(savepoint);
                        return known.again(now + self.random.random_range(100..5_000));
                    }
                    self.violation = dispose(manager, &savepoint).err().or(self.violation.take());
                }
                Ok(Failed) => {}
                Err(what) => self.violation = Some(what),
            }
        }
        let known = &mut self.progress[at];
        if let Some(wish) = known.wish.take_if(|_| info.status == JobStatus::Running) {
            match fulfil(manager, id, wish) {
                Ok(operation) => {
                    known.operation = operation;
                    known.cancelled = wish == Wish::Cancel;
                }
                Err(what) => self.violation = Some(what),
            }
        }
        // How a job that was to stop with a savepoint has ended is told with the savepoint.
        let known = &mut self.progress[at];
        match info.status {
            JobStatus::Finished if known.may_have_stopped => {
                known.finished = is_done(&known.workload, external, tickets);
                known.ended_with_savepoint = true;
                known.again(now + self.random.random_range(100..5_000));
            }
            JobStatus::Finished if known.operation.is_none() => known.finished = true,
            status if status.is_terminal() && known.operation.is_none() => {
                tracing::info!(%id, %status, failure = ?info.failure, "a job ended before its work was done");
                let failure = info.failure.as_ref();
                known.ended_with_savepoint =
                    failure.is_some_and(|failure| failure.class == STOP_WITH_SAVEPOINT_STOPPING);
                let failed_for_nothing = self.none_fails && status == JobStatus::Failed;
                if failed_for_nothing || info.failure.as_ref().is_some_and(|failure| failure.fatal) {
                    self.violation = Some(format!("the job {id} failed for good: {:?}", info.failure));
                }
                known.again(now + self.random.random_range(100..5_000));
            }
            _ => {}
        }
    }

    fn submit(&mut self, at: usize, manager: &JobManager<'_>, store: &Store) {
        let known = &mut self.progress[at];
        let mut configuration = BTreeMap::new();
        // One that a JobManager had not completed when it died looks complete until the next one deletes it.
        let all = std::mem::take(&mut known.ended_with_savepoint) || !self.recovers;
        let counts = |folder: &str| all || folder.contains("/checkpoints/") || known.started_from.contains(folder);
        let pointer = known.savepoint.take().or_else(|| latest(&known.jobs, store, counts));
        if let Some(pointer) = pointer {
            known.started_from.insert(pointer.clone());
            configuration.insert("execution.state-recovery.path".to_owned(), pointer);
            let mode = if self.random.random() { "CLAIM" } else { "NO_CLAIM" };
            configuration.insert("execution.state-recovery.claim-mode".to_owned(), mode.to_owned());
        }
        let most = self.slots.min(8);
        let mut parallelism = || self.random.random_range(1..=most);
        let (sources, sinks, forward) = match self.fixed {
            Some((parallelism, forward)) => (parallelism, parallelism, forward),
            None => (parallelism(), parallelism(), false),
        };
        let plan = JobPlan { workload: known.workload.clone(), sources, sinks, forward, configuration };
        self.next_job += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_job.to_le_bytes());
        let id = JobId(id);
        tracing::info!(%id, ?plan, "submits");
        match manager.process.run(manager.components.dispatcher.submit(plan.graph(id))) {
            Ok(id) => {
                known.jobs.push(id);
                known.runs = true;
            }
            Err(error) => self.violation = Some(format!("a job was not taken: {error}")),
        }
    }
}

/// Whether all of a workload is committed.
fn is_done(workload: &Workload, external: &External, tickets: &Tickets) -> bool {
    external.seen(workload.id) == workload.all_rows() && tickets.missing(workload.id, external).is_none()
}

/// What became of a savepoint.
enum Asked {
    Progressing,
    Complete(String),
    Failed,
}
use Asked::{Complete, Failed, Progressing};

fn fulfil(manager: &JobManager<'_>, job: JobId, wish: Wish) -> Result<Option<Operation>, String> {
    let (path, body) = match wish {
        Wish::Cancel => {
            manager.call("PATCH", &format!("/jobs/{job}"), &json!({}))?;
            return Ok(None);
        }
        Wish::Stop { drain } => (format!("/jobs/{job}/stop"), json!({ "drain": drain })),
        Wish::Savepoint => (format!("/jobs/{job}/savepoints"), json!({})),
    };
    let accepted = manager.call("POST", &path, &body)?;
    let trigger = accepted["request-id"].as_str().ok_or("no request-id")?.to_owned();
    Ok(Some(Operation { stops: wish != Wish::Savepoint, trigger }))
}

fn ask(manager: &JobManager<'_>, job: JobId, operation: &Operation) -> Result<Asked, String> {
    let answer = manager.call("GET", &format!("/jobs/{job}/savepoints/{}", operation.trigger), &Value::Null)?;
    if answer["status"]["id"] != "COMPLETED" {
        return Ok(Progressing);
    }
    Ok(match answer["operation"]["location"].as_str() {
        Some(location) => Complete(location.to_owned()),
        None => Failed,
    })
}

fn dispose(manager: &JobManager<'_>, savepoint: &str) -> Result<(), String> {
    manager.call("POST", "/savepoint-disposal", &json!({ "savepoint-path": savepoint })).map(|_| ())
}

/// The latest checkpoint or savepoint that counts of the last job that has one.
fn latest(jobs: &[JobId], store: &Store, counts: impl Fn(&str) -> bool) -> Option<String> {
    let complete = store.complete();
    let complete = complete.iter().map(|(file, metadata)| (file.trim_end_matches("/_metadata"), metadata));
    let complete: Vec<_> = complete.filter(|(folder, _)| counts(folder)).collect();
    jobs.iter().rev().find_map(|job| {
        let id = job.to_bytes();
        let of_job = complete.iter().filter(|(_, metadata)| metadata.job_id == id);
        of_job.max_by_key(|(_, metadata)| metadata.checkpoint_id).map(|(folder, _)| (*folder).to_owned())
    })
}
