//! Who submits jobs, looks after them, and goes on from their checkpoints when they are gone.
use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use wiesel_common::id::JobId;
use wiesel_jobmanager::components::Components;
use wiesel_jobmanager::dispatcher::JobRef;
use wiesel_jobmanager::jobmaster::status::JobStatus;

use crate::faults::Place;
use crate::process::Process;
use crate::settings::Settings;
use crate::store::Store;
use crate::workload::{JobPlan, Workload};

/// How often the client looks at its jobs, in milliseconds.
const LOOK: u64 = 500;

/// How far a workload is.
struct Progress {
    workload: Workload,
    /// All its jobs so far.
    jobs: Vec<JobId>,
    runs: bool,
    cancelling: bool,
    finished: bool,
    /// When the next job is submitted.
    submit_at: u64,
}

/// See the module.
pub struct Client {
    random: StdRng,
    progress: Vec<Progress>,
    slots: u32,
    places: usize,
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
            cancelling: false,
            finished: false,
            submit_at: random.random_range(100..40_000),
        });
        let progress = progress.collect();
        let (slots, places) = (settings.slots(), settings.task_managers.len());
        Self { random, progress, slots, places, next_look: 0, next_job: 0, violation: None }
    }

    /// Whether all workloads are.
    pub fn is_done(&self) -> bool {
        self.progress.iter().all(|known| known.finished)
    }

    /// How many jobs there were.
    pub fn jobs(&self) -> usize {
        self.progress.iter().map(|known| known.jobs.len()).sum()
    }

    /// What must not have happened and did.
    pub fn violation(&self) -> Option<String> {
        self.violation.clone()
    }

    /// For people.
    pub fn describe(&self) -> String {
        let one = |known: &Progress| {
            format!(
                "workload {}: {} jobs, {}",
                known.workload.id,
                known.jobs.len(),
                if known.finished {
                    "finished"
                } else if known.runs {
                    "runs"
                } else {
                    "waits to be submitted"
                }
            )
        };
        self.progress.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// A workload's job is to be cancelled, and another one started.
    pub fn cancel(&mut self, workload: usize) {
        if let Some(known) = self.progress.get_mut(workload).filter(|known| known.runs) {
            known.cancelling = true;
        }
    }

    /// All its jobs are gone.
    pub fn job_manager_died(&mut self, now: u64, _: &Store) {
        for known in self.progress.iter_mut().filter(|known| known.runs) {
            (known.runs, known.cancelling) = (false, false);
            known.submit_at = now + self.random.random_range(100..10_000);
        }
    }

    /// Does what is due. Returns stalls that are to meet what it did: place, delay, length.
    pub fn act(&mut self, now: u64, process: &Process, manager: &Components, store: &Store) -> Vec<(Place, u64, u64)> {
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
                self.look(at, now, process, manager);
            } else if now >= self.progress[at].submit_at {
                self.submit(at, process, manager, store);
                if self.random.random_ratio(1, 3) {
                    let length = self.random.random_range(1_000..30_000);
                    stalls.push((self.random.random_range(1..=self.places), 0, length));
                }
            }
        }
        stalls
    }

    fn look(&mut self, at: usize, now: u64, process: &Process, manager: &Components) {
        let known = &mut self.progress[at];
        let Some(&id) = known.jobs.last() else { return };
        let Some(info) = process.run(manager.dispatcher.describe(id)) else {
            self.violation = Some(format!("the job {id} is not known any more"));
            return;
        };
        if known.cancelling && !info.status.is_terminal() {
            known.cancelling = false;
            if let Some(JobRef::Running(master)) = process.run(manager.dispatcher.job(id)) {
                process.run(master.cancel());
            }
        }
        match info.status {
            JobStatus::Finished => known.finished = true,
            status if status.is_terminal() => {
                tracing::info!(%id, %status, failure = ?info.failure, "a job ended before its work was done");
                if info.failure.as_ref().is_some_and(|failure| failure.fatal) {
                    self.violation = Some(format!("the job {id} failed for good: {:?}", info.failure));
                }
                known.runs = false;
                known.submit_at = now + self.random.random_range(100..5_000);
            }
            _ => {}
        }
    }

    fn submit(&mut self, at: usize, process: &Process, manager: &Components, store: &Store) {
        let known = &mut self.progress[at];
        let mut configuration = BTreeMap::new();
        if let Some(pointer) = latest(&known.jobs, store) {
            configuration.insert("execution.state-recovery.path".to_owned(), pointer);
            let mode = if self.random.random() { "CLAIM" } else { "NO_CLAIM" };
            configuration.insert("execution.state-recovery.claim-mode".to_owned(), mode.to_owned());
        }
        let most = self.slots.min(8);
        let plan = JobPlan {
            workload: known.workload.clone(),
            sources: self.random.random_range(1..=most),
            sinks: self.random.random_range(1..=most),
            configuration,
        };
        self.next_job += 1;
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.next_job.to_be_bytes());
        let id = JobId(id);
        tracing::info!(%id, ?plan, "submits");
        match process.run(manager.dispatcher.submit(plan.graph(id))) {
            Ok(id) => {
                known.jobs.push(id);
                known.runs = true;
            }
            Err(error) => self.violation = Some(format!("a job was not taken: {error}")),
        }
    }
}

/// The latest checkpoint of the last job that has one.
fn latest(jobs: &[JobId], store: &Store) -> Option<String> {
    let complete = store.complete();
    jobs.iter().rev().find_map(|job| {
        let id = job.to_bytes();
        let of_job = complete.iter().filter(|(_, metadata)| metadata.job_id == id);
        let latest = of_job.max_by_key(|(_, metadata)| metadata.checkpoint_id);
        latest.map(|(file, _)| file.trim_end_matches("/_metadata").to_owned())
    })
}
