//! The tasks of a job that another JobMaster has led.
use wiesel_proto::ExecutionState;

use super::{Execution, ExecutionGraph, JobSlot};
use crate::jobmaster::adoption::ReportedTask;

impl ExecutionGraph {
    /// Puts attempts of an earlier JobMaster in the place of those that were made for its start. `execution`: the last that there
    /// has been. `finished`: subtasks that had finished and of which no attempt is left.
    pub fn take_over(
        &mut self,
        execution: u32,
        tasks: &[(ReportedTask, JobSlot)],
        finished: &[(usize, usize)],
        now: i64,
    ) {
        self.execution = execution;
        // An attempt that is not known of may have had any number up to the execution's.
        self.least_attempt = execution.saturating_add(1);
        let offsets = self.place_offsets();
        for &(vertex, subtask) in finished {
            self.vertices.0[vertex].subtasks[subtask].enter(ExecutionState::Finished, now);
        }
        for (task, slot) in tasks {
            let vertex = &mut self.vertices.0[task.vertex];
            self.places[offsets[vertex.group] + task.subtask] = Some(slot.clone());
            vertex.subtasks[task.subtask].take_over(task, slot, now);
        }
        self.index_attempts();
    }
}

impl Execution {
    fn take_over(&mut self, task: &ReportedTask, slot: &JobSlot, now: i64) {
        self.attempt_id = task.attempt;
        self.attempt_number = task.attempt_number;
        self.slot = Some(slot.clone());
        (self.end_of_data, self.awaits_checkpoint) = (task.end_of_data, task.awaits_checkpoint);
        // One that is being cancelled may not have heard it of the JobMaster before: it is cancelled again.
        let state = if task.state == ExecutionState::Canceling { ExecutionState::Running } else { task.state };
        self.enter(state, now);
    }
}
