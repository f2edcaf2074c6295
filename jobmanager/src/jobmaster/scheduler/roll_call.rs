//! Whether TaskManagers name the attempts that they ought to have.
//!
//! A TaskManager has an attempt from before it answers the call that deploys it until the JobMaster has taken note of its end. One
//! report that does not name it may have been made before it came, and be late; the next one was made after that was answered.
use std::collections::HashMap;

use wiesel_common::id::AttemptId;
use wiesel_proto::ExecutionState;

use crate::jobmaster::execution_graph::ExecutionGraph;

/// How many reports in a row do not name an attempt that is missing.
const REPORTS: u8 = 2;

/// Since when an attempt is not named.
struct Absence {
    registration: u64,
    state: ExecutionState,
    reports: u8,
}

/// See the module.
#[derive(Default)]
pub(super) struct RollCall {
    /// Where the attempts are that a TaskManager ought to have: vertex and subtask. A job may have a hundred thousand, and
    /// thousands of TaskManagers report every second.
    expected: HashMap<String, Vec<(usize, usize)>>,
    absent: HashMap<AttemptId, Absence>,
}

impl RollCall {
    /// The tasks were given their slots.
    pub(super) fn begin(&mut self, graph: &ExecutionGraph) {
        self.expected.clear();
        self.absent.clear();
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for (s, execution) in vertex.subtasks.iter().enumerate() {
                if let Some(slot) = &execution.slot {
                    self.expected.entry(slot.location.resource_id.clone()).or_default().push((v, s));
                }
            }
        }
    }

    /// A TaskManager has reported. Returns the deployed attempts that neither this report nor the one before accounted for, once
    /// for each state that they are in.
    pub(super) fn answered(
        &mut self,
        graph: &ExecutionGraph,
        resource_id: &str,
        registration: u64,
        accounted: impl Fn(usize, AttemptId) -> bool,
    ) -> Vec<(usize, usize)> {
        let mut missing = Vec::new();
        for &(v, s) in self.expected.get(resource_id).into_iter().flatten() {
            let execution = &graph.vertices[v].subtasks[s];
            let (attempt, state) = (execution.attempt_id, execution.state);
            let here = execution.slot.as_ref().is_some_and(|slot| {
                slot.location.resource_id == resource_id && slot.since.registration <= registration
            });
            if !here || !execution.is_deployed() || accounted(v, attempt) {
                self.absent.remove(&attempt);
                continue;
            }
            let absence = self.absent.entry(attempt).or_insert(Absence { registration, state, reports: 0 });
            if (absence.registration, absence.state) != (registration, state) {
                *absence = Absence { registration, state, reports: 0 };
            }
            absence.reports = absence.reports.saturating_add(1);
            if absence.reports == REPORTS {
                missing.push((v, s));
            }
        }
        missing
    }
}
