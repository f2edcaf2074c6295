//! Finds attempts that ended without the JobMaster having heard of it.
//!
//! About once a second each TaskManager reports which attempts of the job it has. It has an attempt from before it answers the call
//! that deploys it until the JobMaster has taken note of the attempt's end, so that every report that it makes in that time names
//! the attempt. Reports may arrive late: one that was made before the attempt came says nothing of it. So they are numbered, and
//! with its answers, with what its tasks say, and with the reports that name an attempt, the TaskManager says how many it had made
//! while it had the attempt. If a later one does not name the attempt, it has ended.
use std::collections::{HashMap, HashSet};

use wiesel_common::id::AttemptId;

use crate::jobmaster::execution_graph::ExecutionGraph;

/// The number of a report of counters: a later registration has the later reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MetricsReportNumber {
    /// The registration of the TaskManager when it made the report.
    pub registration: u64,
    /// Counts the reports of its process.
    pub number: u64,
}

/// An attempt that its TaskManager is known to have had.
struct Seen {
    /// When it had made so many reports.
    reports: u64,
    /// It was missing, which is said once: its TaskManager is asked then, and its answer is certain.
    missing: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct MissingAttempts {
    /// By resource id, vertex and subtask of each attempt that the TaskManager ought to have: a job may have a hundred thousand, and
    /// thousands of TaskManagers report every second.
    expected: HashMap<String, Vec<(usize, usize)>>,
    seen: HashMap<AttemptId, Seen>,
}

impl MissingAttempts {
    /// The tasks were given their slots: from now on their TaskManagers ought to name them.
    pub(super) fn expect_deployed(&mut self, graph: &ExecutionGraph) {
        self.seen.retain(|attempt, _| graph.find(*attempt).is_some());
        self.expected.clear();
        for (v, vertex) in graph.vertices.iter().enumerate() {
            for (s, execution) in vertex.subtasks.iter().enumerate() {
                if let Some(slot) = &execution.slot {
                    self.expected.entry(slot.location.resource_id.clone()).or_default().push((v, s));
                }
            }
        }
    }

    /// The TaskManager of an attempt had it when it had made so many reports.
    pub(super) fn seen(&mut self, attempt: AttemptId, reports: u64) {
        self.seen.entry(attempt).or_insert(Seen { reports, missing: false });
    }

    /// A TaskManager has reported that it has the attempts in `named`. Returns the deployed attempts that it ought to have and does
    /// not have any more, each once.
    pub(super) fn reported(
        &mut self,
        graph: &ExecutionGraph,
        resource_id: &str,
        report: MetricsReportNumber,
        named: &HashSet<AttemptId>,
    ) -> Vec<(usize, usize)> {
        let mut missing = Vec::new();
        let Self { expected, seen } = self;
        for &(v, s) in expected.get(resource_id).into_iter().flatten() {
            let execution = &graph.vertices[v].subtasks[s];
            let slot = execution.slot.as_ref().filter(|slot| slot.location.resource_id == resource_id);
            let Some(slot) = slot.filter(|_| execution.is_deployed()) else { continue };
            if named.contains(&execution.attempt_id) {
                seen.entry(execution.attempt_id).or_insert(Seen { reports: report.number, missing: false });
                continue;
            }
            let Some(known) = seen.get_mut(&execution.attempt_id) else { continue };
            let had = MetricsReportNumber { registration: slot.since.registration, number: known.reports };
            if report > had && !known.missing {
                known.missing = true;
                missing.push((v, s));
            }
        }
        missing
    }
}
