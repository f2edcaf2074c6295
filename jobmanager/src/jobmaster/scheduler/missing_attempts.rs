//! Finds attempts that ended without the JobMaster having heard of it.
//!
//! About once a second each TaskManager reports which attempts of the job it has. It has an attempt from before it answers the call
//! that deploys it until the JobMaster has taken note of the attempt's end, so that every report names every deployed attempt.
//! One report that does not is no proof: the TaskManager may have made it before the attempt came, and it may have arrived late.
//! But the next report is made only after that one was answered: if it does not name the attempt either, the attempt has ended.
use std::collections::HashMap;

use wiesel_common::id::AttemptId;
use wiesel_proto::ExecutionState;

use crate::jobmaster::execution_graph::ExecutionGraph;

/// An attempt is missing when so many reports in a row did not name it.
const REPORTS: u8 = 2;

/// An attempt that the last reports of its TaskManager did not name.
struct Unnamed {
    /// The TaskManager's registration, and the attempt's state, since the first of these reports; counted anew when they change.
    registration: u64,
    state: ExecutionState,
    /// How many reports in a row.
    reports: u8,
}

/// See the module.
#[derive(Default)]
pub(super) struct MissingAttempts {
    /// By resource id, vertex and subtask of each attempt that the TaskManager ought to have: a job may have a hundred thousand, and
    /// thousands of TaskManagers report every second.
    expected: HashMap<String, Vec<(usize, usize)>>,
    unnamed: HashMap<AttemptId, Unnamed>,
}

impl MissingAttempts {
    /// The tasks were given their slots: from now on their TaskManagers ought to name them.
    pub(super) fn expect_deployed(&mut self, graph: &ExecutionGraph) {
        self.expected.clear();
        self.unnamed.clear();
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for (s, execution) in vertex.subtasks.iter().enumerate() {
                if let Some(slot) = &execution.slot {
                    self.expected.entry(slot.location.resource_id.clone()).or_default().push((v, s));
                }
            }
        }
    }

    /// A TaskManager has reported under this registration. Returns the deployed attempts that are missing, once for each state that
    /// they are in. `is_accounted_for` says of an attempt, by its vertex and id, whether the report names it or need not.
    pub(super) fn reported(
        &mut self,
        graph: &ExecutionGraph,
        resource_id: &str,
        registration: u64,
        is_accounted_for: impl Fn(usize, AttemptId) -> bool,
    ) -> Vec<(usize, usize)> {
        let mut missing = Vec::new();
        for &(v, s) in self.expected.get(resource_id).into_iter().flatten() {
            let execution = &graph.vertices[v].subtasks[s];
            let (attempt, state) = (execution.attempt_id, execution.state);
            let here = execution.slot.as_ref().is_some_and(|slot| {
                slot.location.resource_id == resource_id && slot.since.registration <= registration
            });
            if !here || !execution.is_deployed() || is_accounted_for(v, attempt) {
                self.unnamed.remove(&attempt);
                continue;
            }
            let unnamed = self.unnamed.entry(attempt).or_insert(Unnamed { registration, state, reports: 0 });
            if (unnamed.registration, unnamed.state) != (registration, state) {
                *unnamed = Unnamed { registration, state, reports: 0 };
            }
            unnamed.reports = unnamed.reports.saturating_add(1);
            if unnamed.reports == REPORTS {
                missing.push((v, s));
            }
        }
        missing
    }
}
