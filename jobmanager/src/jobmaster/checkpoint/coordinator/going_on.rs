//! The checkpoints of a job that outlives its JobMaster: their numbers, and what the next JobMaster begins with.
//!
//! Files carry the numbers of checkpoints, and tasks remember them, longer than any JobMaster lives. So a number is used once under
//! all of them: each takes numbers in blocks, which are in the job's record before the first of them is used.
use std::collections::HashSet;
use std::sync::Arc;

use wiesel_proto as proto;
use wiesel_state::storage::all_files;

use super::{Action, CheckpointCoordinator, ExecutionGraph};
use crate::jobmaster::checkpoint::store::{CompletedCheckpoint, Owner};

/// Numbers in one block.
pub const BLOCK: u64 = 1_000;
/// The next block is taken when so few are left: no checkpoint waits for it.
const FEW: u64 = 100;

/// The numbers that may be used.
pub(super) struct Numbers {
    /// Behind the last.
    until: u64,
    /// The next block is being recorded.
    extending: bool,
}

impl Numbers {
    /// All of them.
    pub(super) fn all() -> Self {
        Self { until: u64::MAX, extending: false }
    }

    /// Whether a number may be used.
    pub(super) fn have(&self, number: u64) -> bool {
        number < self.until
    }
}

impl CheckpointCoordinator {
    /// Numbers are used in blocks from `first` on, or the next one that there is, and only as far as they are recorded.
    pub fn number_from(&mut self, first: u64) {
        self.next_id = self.next_id.max(first);
        self.numbers = Numbers { until: self.next_id, extending: false };
    }

    /// The number of the next checkpoint.
    pub fn next_number(&self) -> u64 {
        self.next_id
    }

    /// Takes the next block in time.
    pub(super) fn extend_numbers(&mut self) {
        if self.numbers.extending || !self.active || self.numbers.have(self.next_id.saturating_add(FEW)) {
            return;
        }
        self.numbers.extending = true;
        let until = self.next_id.max(self.numbers.until).saturating_add(BLOCK);
        self.actions.push(Action::UseUpNumbers { until });
    }

    /// An [`Action::UseUpNumbers`] is done: no other JobMaster uses numbers before this one.
    pub fn numbers_used_up(&mut self, until: u64, graph: &ExecutionGraph, now: i64) {
        self.numbers = Numbers { until: until.max(self.numbers.until), extending: false };
        self.begin_next(graph, now);
    }

    /// The job goes on from what JobMasters before this one have retained, oldest first. `foreign`: see [`Self::foreign_files`].
    pub fn go_on_from(&mut self, retained: Vec<CompletedCheckpoint>, foreign: HashSet<String>) {
        if let Some(latest) = retained.last() {
            self.next_id = self.next_id.max(latest.id.saturating_add(1));
            self.full = latest.owner == Owner::Other;
            self.claimed = match latest.owner {
                Owner::Job => latest.metadata.claimed.clone(),
                Owner::Claimed | Owner::Other => latest.claimed.clone(),
            };
        }
        self.restored_files = retained.iter().flat_map(|checkpoint| all_files(&checkpoint.metadata)).collect();
        self.store.spare(foreign);
        retained.into_iter().for_each(|checkpoint| self.store.add(Arc::new(checkpoint)));
    }

    /// What JobMasters before this one have left that belongs to no checkpoint which it knows is looked for and deleted, before
    /// anything else is: metadata that is in no record looks complete as long as it is there.
    pub fn look_for_left_files(&mut self, now: i64) {
        self.cleaning.left_by_another(now);
    }

    /// Savepoints that are under way: the number and the folder of each, and the caller to answer.
    pub fn savepoints(&self) -> impl Iterator<Item = (u64, &str, Option<u64>)> {
        self.pending.iter().filter_map(|(id, pending)| {
            let savepoint = pending.request.savepoint()?;
            Some((*id, savepoint.target.as_str(), pending.request.ticket()))
        })
    }

    /// A savepoint was under way, with this number and folder, when another JobMaster led: what was written for it goes.
    pub fn savepoint_failed(&mut self, checkpoint_id: u64, target: &str, now: i64) {
        let kind = proto::SnapshotKind::Savepoint.into();
        let target = target.to_owned();
        self.cleaning.failed(&proto::CheckpointBarrier { checkpoint_id, kind, target, ..Default::default() }, now);
    }

    /// Files that checkpoints of the job may name and that are never to be deleted with them.
    pub fn foreign_files(&self) -> &HashSet<String> {
        self.store.foreign()
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::id::JobId;

    use super::*;
    use crate::jobmaster::checkpoint::cleaning::Cleaned;
    use crate::jobmaster::checkpoint::coordinator::tests::{execution_graph, options};
    use crate::jobmaster::status::JobStatus;

    fn coordinator() -> CheckpointCoordinator {
        let options = options(&[("interval", "10 ms"), ("num-retained", "2")]);
        CheckpointCoordinator::new(JobId([9; 16]), 7, Arc::new(options))
    }

    fn retained(id: u64, owner: Owner) -> CompletedCheckpoint {
        let metadata = proto::CheckpointMetadata { checkpoint_id: id, claimed: vec!["s".into()], ..Default::default() };
        CompletedCheckpoint { owner, ..CompletedCheckpoint::of_job(Arc::new(metadata), format!("chk-{id}")) }
    }

    fn begun(actions: &[Action]) -> Vec<u64> {
        let id = |action: &Action| match action {
            Action::Prepare { id } => Some(*id),
            _ => None,
        };
        actions.iter().filter_map(id).collect()
    }

    #[test]
    fn no_checkpoint_begins_with_a_number_that_is_not_recorded() {
        let (mut coordinator, graph) = (coordinator(), execution_graph());
        coordinator.number_from(1_001);
        coordinator.resume(0, 0.0);
        let actions = coordinator.take_actions(0);
        assert!(matches!(actions[..], [Action::UseUpNumbers { until: 2_001 }]), "{actions:?}");
        coordinator.tick(&graph, 10_000);
        assert!(coordinator.take_actions(10_000).is_empty());
        coordinator.numbers_used_up(2_001, &graph, 10_001);
        assert_eq!(begun(&coordinator.take_actions(10_001)), [1_001]);
    }

    #[test]
    fn what_a_savepoint_of_another_job_master_has_left_is_looked_for() {
        let mut next = coordinator();
        next.savepoint_failed(9, "file:/x", 0);
        let actions = next.take_actions(10_000);
        let [Action::Sweep(known)] = &actions[..] else { panic!("{actions:?}") };
        assert_eq!(known.failed_savepoints, [(9, "file:/x".to_owned())]);
    }

    /// Failed before: metadata had been written whose pointer was not in the record, and what it names was deleted with the
    /// checkpoints before it while it was still there.
    #[test]
    fn what_is_in_no_record_goes_before_what_it_may_name() {
        let mut next = coordinator();
        next.go_on_from(vec![retained(3, Owner::Job)], HashSet::new());
        next.look_for_left_files(0);
        next.shut_down(JobStatus::Finished, false, 1);
        let actions = next.take_actions(1);
        assert!(matches!(actions[..], [Action::Sweep(_)]), "{actions:?}");
        next.swept(Cleaned::all(), 2);
        let actions = next.take_actions(2);
        assert!(matches!(actions[..], [Action::Discard { .. }]), "{actions:?}");
    }

    #[test]
    fn what_is_to_outlive_the_job_follows_from_its_end() {
        let of = |retention: &str| {
            let options = options(&[("interval", "10 ms"), ("externalized-checkpoint-retention", retention)]);
            CheckpointCoordinator::new(JobId([9; 16]), 7, Arc::new(options))
        };
        let ends = [JobStatus::Finished, JobStatus::Canceled, JobStatus::Failed];
        for (retention, expected) in [
            ("NO_EXTERNALIZED_CHECKPOINTS", [false, false, false]),
            ("DELETE_ON_CANCELLATION", [false, false, true]),
            ("RETAIN_ON_CANCELLATION", [false, true, true]),
        ] {
            assert_eq!(ends.map(|status| of(retention).outlive(status, false)), expected, "{retention}");
            assert!(of(retention).outlive(JobStatus::Failed, true));
        }
    }

    #[test]
    fn without_a_record_all_numbers_may_be_used() {
        let (mut coordinator, graph) = (coordinator(), execution_graph());
        coordinator.resume(0, 0.0);
        coordinator.tick(&graph, 10_000);
        let actions = coordinator.take_actions(10_000);
        assert_eq!(begun(&actions), [1]);
        assert!(!actions.iter().any(|action| matches!(action, Action::UseUpNumbers { .. })));
    }

    #[test]
    fn the_next_coordinator_goes_on_from_what_is_retained() {
        let mut next = coordinator();
        let foreign: HashSet<String> = ["f".to_owned()].into();
        next.go_on_from(vec![retained(3, Owner::Claimed), retained(5, Owner::Job)], foreign.clone());
        next.number_from(1_001);
        assert_eq!((next.next_number(), next.latest().map(|latest| latest.id)), (1_001, Some(5)));
        assert_eq!((next.foreign_files(), &next.claimed[..]), (&foreign, &["s".to_owned()][..]));
        assert!(!next.full && !next.is_unclean());
        next.look_for_left_files(0);
        assert!(next.is_unclean());

        // Nothing may refer to what the job started from before one of its own is complete.
        let mut first = coordinator();
        first.go_on_from(vec![retained(4, Owner::Other)], HashSet::new());
        assert!(first.full && first.next_number() == 5);
    }
}
