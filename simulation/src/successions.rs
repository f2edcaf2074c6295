//! One JobManager after another: what becomes of the tasks that run when one dies.
use std::collections::BTreeMap;
use std::sync::Arc;

use wiesel_common::id::{AttemptId, JobId};
use wiesel_jobmanager::jobmaster::JobInfo;
use wiesel_jobmanager::jobmaster::status::JobStatus;
use wiesel_proto::ExecutionState;

/// A task that runs or has finished.
#[derive(Debug)]
struct Task {
    attempt: AttemptId,
    number: u32,
    state: ExecutionState,
    has_slot: bool,
}

impl Task {
    fn is_same_attempt_as(&self, other: &Self) -> bool {
        (self.attempt, self.number) == (other.attempt, other.number)
    }

    /// Whether it is what became of a task that no attempt has replaced. That one had finished is said by the last checkpoint, or by the
    /// record of a job that has: then none of its attempts is known, and the one that stands for it is in no slot.
    fn goes_on_from(&self, before: &Self) -> bool {
        let have_finished = [before, self].iter().all(|task| task.state == ExecutionState::Finished);
        self.is_same_attempt_as(before) || have_finished && !self.has_slot
    }
}

/// A job as the JobManager that died has led it.
struct Led {
    /// By vertex and subtask.
    tasks: BTreeMap<(usize, usize), Task>,
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
            let led = Led { tasks: tasks(job), must_go_on: nothing_else && Self::runs_calmly(job) };
            self.led.insert(job.job_id, led);
        }
    }

    /// Looks at the jobs of the next JobManager.
    ///
    /// # Errors
    /// A task is another attempt that must have gone on.
    pub fn look(&mut self, jobs: &[Arc<JobInfo>]) -> Result<(), String> {
        for job in jobs.iter().filter(|job| job.status != JobStatus::Initializing) {
            let Some(led) = self.led.remove(&job.job_id) else { continue };
            let found = tasks(job);
            for (place, known) in &led.tasks {
                match found.get(place) {
                    Some(task) if task.is_same_attempt_as(known) => self.adopted += 1,
                    Some(task) if task.goes_on_from(known) => {}
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

fn tasks(job: &JobInfo) -> BTreeMap<(usize, usize), Task> {
    let vertices = job.graph.vertices.iter().enumerate();
    let executions =
        vertices.flat_map(|(v, vertex)| vertex.subtasks.iter().enumerate().map(move |(s, task)| ((v, s), task)));
    let runs = |state| matches!(state, ExecutionState::Running | ExecutionState::Finished);
    let tasks = executions.filter(|(_, task)| runs(task.state)).map(|(at, task)| {
        let (attempt, number, has_slot) = (task.attempt_id, task.attempt_number, task.slot.is_some());
        (at, Task { attempt, number, state: task.state, has_slot })
    });
    tasks.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(attempt: u8, state: ExecutionState, has_slot: bool) -> Task {
        Task { attempt: AttemptId([attempt; 16]), number: 0, state, has_slot }
    }

    /// Failed before: a subtask that had finished before the last checkpoint was taken for one that had been replaced.
    #[test]
    fn a_task_that_had_finished_goes_on_as_finished_though_its_attempt_is_not_known() {
        let (runs, finished) = (ExecutionState::Running, ExecutionState::Finished);
        let before = task(1, finished, true);
        assert!(task(2, finished, false).goes_on_from(&before) && task(1, finished, true).goes_on_from(&before));
        assert!(!task(2, finished, true).goes_on_from(&before), "it was done again");
        assert!(!task(2, runs, true).goes_on_from(&before));
        let before = task(1, runs, true);
        assert!(task(1, finished, true).goes_on_from(&before));
        assert!(!task(2, finished, false).goes_on_from(&before), "it ran");
    }
}
