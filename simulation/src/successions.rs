//! One JobManager after another: what becomes of the tasks that run when one dies.
use std::collections::BTreeMap;
use std::sync::Arc;

use wiesel_common::id::{AttemptId, JobId};
use wiesel_jobmanager::jobmaster::JobInfo;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto::ExecutionState;

/// A job as the JobManager that died has led it.
struct Led {
    /// By vertex and subtask: the attempt that ran, and its number.
    attempts: BTreeMap<(usize, usize), (AttemptId, u32)>,
    /// All of them must go on.
    must_go_on: bool,
}

/// See the module.
#[derive(Default)]
pub struct Successions {
    led: BTreeMap<JobId, Led>,
    adopted: usize,
}

impl Successions {
    /// Whether all tasks of a job run, or have finished.
    pub fn runs_calmly(job: &JobInfo) -> bool {
        let runs = |state| matches!(state, ExecutionState::Running | ExecutionState::Finished);
        job.status == JobStatus::Running && job.graph.executions().all(|task| runs(task.state))
    }

    /// A JobManager dies that has led these jobs. `nothing_else`: nothing else goes wrong until the next one leads.
    pub fn died(&mut self, jobs: &[Arc<JobInfo>], nothing_else: bool) {
        self.led.clear();
        for job in jobs.iter().filter(|job| !job.status.is_terminal()) {
            let led = Led { attempts: attempts(job), must_go_on: nothing_else && Self::runs_calmly(job) };
            self.led.insert(job.job_id, led);
        }
    }

    /// Looks at the jobs of the next JobManager.
    ///
    /// # Errors
    /// A task is another attempt that must have gone on.
    pub fn look(&mut self, jobs: &[Arc<JobInfo>]) -> Result<(), String> {
        // Of one that had ended before the result is known alone.
        let is_told = |job: &&Arc<JobInfo>| job.status != JobStatus::Initializing && !job.graph.vertices.is_empty();
        for job in jobs.iter().filter(is_told) {
            let Some(led) = self.led.remove(&job.job_id) else { continue };
            let found = attempts(job);
            for (place, known) in &led.attempts {
                match found.get(place) {
                    Some(attempt) if attempt == known => self.adopted += 1,
                    other if led.must_go_on && job.status != JobStatus::Canceled => {
                        let (id, status) = (job.job_id, job.status);
                        return Err(format!(
                            "task {place:?} of {id}, which is {status}, was {known:?} and is {other:?}"
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// How many tasks went on under another JobManager.
    pub fn adopted(&self) -> usize {
        self.adopted
    }
}

fn attempts(job: &JobInfo) -> BTreeMap<(usize, usize), (AttemptId, u32)> {
    let vertices = job.graph.vertices.iter().enumerate();
    let tasks =
        vertices.flat_map(|(v, vertex)| vertex.subtasks.iter().enumerate().map(move |(s, task)| ((v, s), task)));
    let runs = |state| matches!(state, ExecutionState::Running | ExecutionState::Finished);
    tasks.filter(|(_, task)| runs(task.state)).map(|(at, task)| (at, (task.attempt_id, task.attempt_number))).collect()
}
