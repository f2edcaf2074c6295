//! What the coordinator wants deleted, one round and one sweep at a time: which, and when, `cleaning` decides.
use std::sync::Arc;

use super::{Action, CheckpointCoordinator, Cleaned, Garbage, KnownCheckpoints};

impl CheckpointCoordinator {
    /// Has these deleted, or leaves them to a sweep.
    pub(super) fn discard(&mut self, garbage: impl IntoIterator<Item = Garbage>, now: i64) {
        let given_up = self.cleaning.add(garbage, self.run, now);
        if given_up > 0 {
            self.actions.push(Action::LeftToSweep(given_up));
        }
    }

    /// Deletes replaced checkpoints that none under way may refer to.
    pub(super) fn collect_garbage(&mut self, now: i64) {
        let checkpoints = self.pending.values().filter(|pending| pending.request.savepoint().is_none());
        let oldest_base = checkpoints.map(|pending| pending.barrier.completed_checkpoint_id).min();
        let garbage = self.store.take_garbage(oldest_base);
        for checkpoint in &garbage {
            self.statistics.discarded(checkpoint.id);
        }
        self.discard(garbage.into_iter().map(Garbage::Completed), now);
    }

    /// Begins what deleting may be under way.
    pub(super) fn clean(&mut self, now: i64) {
        if let Some(garbage) = self.cleaning.next_round() {
            let mut referenced = self.store.referenced();
            referenced.extend(self.cleaning.still_named());
            self.actions.push(Action::Discard { garbage, referenced: Arc::new(referenced) });
        }
        // The last sweep is due when the rest is done: no tick waits for that.
        self.sweep(now);
    }

    pub(super) fn sweep(&mut self, now: i64) {
        if !self.cleaning.begins_sweep(now) {
            return;
        }
        let (left, failed_savepoints) = self.cleaning.known();
        self.actions.push(Action::Sweep(Box::new(KnownCheckpoints {
            run: self.run,
            next: self.next_id,
            pending: self.pending.keys().copied().collect(),
            complete: self.store.ids().collect(),
            referenced: self.store.referenced(),
            failed_savepoints,
            left,
        })));
    }

    /// An [`Action::Discard`] is done, or has taken too long.
    pub fn discarded(&mut self, cleaned: Cleaned, now: i64) {
        self.cleaning.round_done(cleaned, self.run, now);
    }

    /// An [`Action::Sweep`] is done, or has taken too long.
    pub fn swept(&mut self, cleaned: Cleaned, now: i64) {
        self.cleaning.swept(cleaned, now);
    }
}
