//! The end of a job whose tasks have all finished.
use super::{Action, Environment, Scheduler};
use crate::jobmaster::status::JobStatus;

impl Scheduler {
    /// An operator of the region has a coordinator that is to handle all that its tasks say.
    pub fn note_coordinator(&mut self, region: usize) {
        self.coordinated.insert(region);
    }

    /// Nothing is left to run. The job is FINISHED when coordinators have handled what the tasks have said: until then one that fails
    /// fails the job, which goes back to its checkpoint.
    pub(super) fn tasks_finished(&mut self, now: i64) {
        if self.coordinated.is_empty() {
            return self.terminate(JobStatus::Finished, now);
        }
        if self.finishing != Some(self.restart) {
            self.finishing = Some(self.restart);
            self.actions.push(Action::FinishCoordinators { restart: self.restart });
        }
    }

    /// The coordinators have handled what the tasks had said when so many restarts had been.
    pub fn coordinators_finished(&mut self, restart: u64, env: &mut dyn Environment) {
        let awaited = self.status == JobStatus::Running && restart == self.restart;
        if awaited && self.finishing == Some(restart) && self.all_finished() {
            self.terminate(JobStatus::Finished, env.now());
        }
    }
}
