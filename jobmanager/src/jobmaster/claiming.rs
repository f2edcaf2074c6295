//! The job makes the checkpoint its own that it starts from (claim mode CLAIM): the last thing before it starts.
//!
//! The mark that says so to others is written when nothing can refuse the job any more. A job that ends without having made
//! anything that refers to the checkpoint takes it back: else whoever starts from the same checkpoint next would own nothing
//! of it, and nobody would ever delete its files.
use std::sync::Arc;
use std::time::Duration;

use wiesel_proto as proto;
use wiesel_state::storage::{CheckpointStorage, Claim, ClaimMark, Found};

use super::actor::{Completion, JobMaster, SUSPEND_TIMEOUT};
use super::checkpoint::failure::state_failure;
use super::checkpoint::store::{CompletedCheckpoint, Owner};
use super::initialization::{Initialized, not_started};
use super::status::JobStatus;
use crate::failure::FailureInfo;

/// How long the end of a job waits for its mark to be taken back. One that stays costs room, no data.
const LIMIT: Duration = Duration::from_secs(10);
/// Until it tries again.
const PAUSE: Duration = Duration::from_millis(500);
/// A mark whose writing failed is removed again after these pauses: a store may take it when it has said that it does not.
const LATE: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(10), Duration::from_secs(60)];

impl JobMaster {
    /// Claims what the job starts from. The job waits for it, and so does its end.
    pub(super) fn claim(&mut self, graph: Arc<proto::JobGraph>, mut restored: CompletedCheckpoint) {
        let found = restored.found();
        let mark = match self.storage.claim_mark(&found, self.handle.fence().run()) {
            Ok(mark) => Arc::new(mark),
            Err(error) => return self.initialized(Err(not_started(&state_failure(&error)))),
        };
        // Before it is written: however that ends, it may be there from now on, or come.
        self.late_mark = Some(Arc::clone(&mark));
        self.claiming = true;
        let storage = self.storage.clone();
        self.spawn(async move {
            Completion::Claimed(match claim(&storage, &found, &mark).await {
                Ok(claim) => {
                    (restored.spared, restored.claimed) = (claim.spared, claim.folders);
                    Ok(Box::new(Initialized { graph, restored: Some(restored) }))
                }
                Err(error) => Err(not_started(&state_failure(&error))),
            })
        });
    }

    pub(super) fn claimed(&mut self, result: Result<Box<Initialized>, FailureInfo>) {
        self.claiming = false;
        match &result {
            Ok(_) => self.mark = self.late_mark.take(),
            Err(_) => _ = self.late_mark.take_if(|mark| !mark.is_needed()),
        }
        self.initialized(result);
    }

    /// The job is over, and its checkpoints are seen to: takes back the mark if nothing came of the claim, and removes the
    /// folder of the job that it was claimed from if nothing is left there. What cannot be done in time is left to the aftermath.
    pub(super) async fn give_up_claim(&mut self) {
        if !self.claiming && self.mark.is_none() {
            return;
        }
        let job_id = self.job_id();
        let limit = if self.status() == JobStatus::Suspended { SUSPEND_TIMEOUT } else { LIMIT };
        let work = async {
            while self.claiming && self.next_completion().await {}
            let is_unused = match self.checkpoints.latest() {
                // It has not been replaced by one of the job's own.
                Some(latest) => latest.owner == Owner::Claimed && !self.checkpoints.is_finalizing(),
                // Something may be left that refers to it: the aftermath comes back to it.
                None if self.checkpoints.is_unclean() => return,
                // It was never started from, or all is deleted.
                None => true,
            };
            let Some(mark) = self.mark.clone() else { return };
            let storage = self.storage.clone();
            self.answering(async move {
                while let Err(error) = give_up(&storage, &mark, is_unused).await {
                    tracing::debug!(%job_id, reason = %error, "the mark of a claim could not be taken back");
                    tokio::time::sleep(PAUSE).await;
                }
            })
            .await;
            self.mark = None;
        };
        if tokio::time::timeout(limit, work).await.is_err() {
            tracing::warn!(%job_id, ?limit, "the mark of a claim could not be taken back in time: whoever claims there next owns no shared file");
        }
    }

    /// Whether the job is done with what it has claimed, or was about to.
    pub(super) fn is_done_with_claim(&self) -> bool {
        !self.claiming && self.mark.is_none() && self.late_mark.is_none()
    }

    /// For a job that is over for everybody else: takes back the mark, and removes the one of a claim that failed, whenever it
    /// comes: else whoever starts from the same checkpoint next would own no shared file of it.
    pub(super) async fn see_to_claim(&mut self) {
        while self.claiming && self.next_completion().await {}
        if let Some(mark) = self.late_mark.take() {
            self.answering(remove_late(&mark)).await;
        }
        loop {
            self.give_up_claim().await;
            if self.mark.is_none() {
                return;
            }
            self.answering(tokio::time::sleep(LIMIT)).await;
        }
    }
}

async fn give_up(storage: &CheckpointStorage, mark: &ClaimMark, is_unused: bool) -> wiesel_state::Result<()> {
    if is_unused {
        storage.take_back(mark).await?;
    }
    storage.remove_claimed_folder(mark).await
}

async fn claim(storage: &CheckpointStorage, found: &Found, mark: &ClaimMark) -> wiesel_state::Result<Claim> {
    let claiming = async {
        mark.write().await?;
        storage.claim(found, mark).await
    };
    let claimed = claiming.await;
    if claimed.is_err() {
        // At once, so that whoever tries again finds nothing; and again when the job is over, as it may yet come.
        let removing = async {
            while mark.remove().await.is_err() {
                tokio::time::sleep(PAUSE).await;
            }
        };
        let _ = tokio::time::timeout(LIMIT, removing).await;
    }
    claimed
}

/// Removes a mark of which nothing came, and which the store may yet take.
async fn remove_late(mark: &ClaimMark) {
    for pause in LATE {
        tokio::time::sleep(pause).await;
        while let Err(error) = mark.delete().await {
            tracing::debug!(reason = %error, "the mark of a claim that failed could not be removed");
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use wiesel_common::config::Configuration;
    use wiesel_common::id::JobId;

    use super::*;

    /// Failed before (seed 6699 of the simulation): the mark came after it was removed and stayed for ever, and with it the
    /// shared files of the checkpoint, which the next job that claimed it did not own.
    #[tokio::test(start_paused = true)]
    async fn a_mark_that_comes_late_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let [first, second] = [JobId([1; 16]), JobId([2; 16])];
        let shared = directory.path().join(first.to_string()).join("shared");
        std::fs::create_dir_all(&shared).unwrap();
        std::fs::write(shared.join("state"), "").unwrap();
        let mut configuration = Configuration::default();
        configuration.set("execution.checkpointing.dir", directory.path().display().to_string());
        let storage = CheckpointStorage::new(&configuration, second).unwrap();
        let folder = directory.path().join(format!("{first}/chk-1")).display().to_string();
        let metadata = proto::CheckpointMetadata { checkpoint_id: 1, ..Default::default() };
        let found = Found { file: format!("{folder}/_metadata"), folder, metadata };
        let mark = storage.claim_mark(&found, 7).unwrap();

        let removing = tokio::spawn(async move { remove_late(&mark).await });
        let late = shared.join(format!(".claimed-chk-1-{second}-0000000000000007"));
        for pause in [5, 25] {
            tokio::time::sleep(Duration::from_secs(pause)).await;
            std::fs::write(&late, "").unwrap();
        }
        removing.await.unwrap();
        assert!(!late.exists());
    }
}
