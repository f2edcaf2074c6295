//! One JobManager after another: what becomes of the tasks that run when one dies.
use std::collections::BTreeMap;
use std::sync::Arc;

use wiesel_common::id::{AttemptId, JobId};
use wiesel_jobmanager::jobmaster::JobInfo;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto::ExecutionState;

/// A job as the JobManager that died has led it.
struct Led {
    /// By vertex and subtask: its attempt.
    attempts: BTreeMap<(usize, usize), Attempt>,
    /// All of them must go on.
    must_go_on: bool,
}

/// An attempt that runs or has finished.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    id: AttemptId,
    number: u32,
    has_finished: bool,
}

impl Attempt {
    /// Whether the task that the next JobManager knows is this one. Of one that has finished before the last checkpoint that
    /// checkpoint tells, which does not know which attempt it was: nothing of it is deployed anew.
    fn is(self, other: Self) -> bool {
        self.number == other.number && (self.id == other.id || self.has_finished && other.has_finished)
    }
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
                    Some(attempt) if known.is(*attempt) => self.adopted += 1,
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

fn attempts(job: &JobInfo) -> BTreeMap<(usize, usize), Attempt> {
    let vertices = job.graph.vertices.iter().enumerate();
    let tasks =
        vertices.flat_map(|(v, vertex)| vertex.subtasks.iter().enumerate().map(move |(s, task)| ((v, s), task)));
    let runs = |state| matches!(state, ExecutionState::Running | ExecutionState::Finished);
    let runs = tasks.filter(|(_, task)| runs(task.state));
    runs.map(|(at, task)| {
        let has_finished = task.state == ExecutionState::Finished;
        (at, Attempt { id: task.attempt_id, number: task.attempt_number, has_finished })
    })
    .collect()
}
