//! What happens before a job starts: its folders are made, what earlier runs left is swept, and the savepoint or checkpoint
//! that it is to start from is read and fitted. Whatever may refuse the job does so here: only then that checkpoint is claimed
//! ([`super::claiming`]).
//!
//! Of a job that has begun under another JobMaster the checkpoints are found that are in its record.
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use wiesel_common::logging::Limit;
use wiesel_common::time::Clock;
use wiesel_proto as proto;
use wiesel_state::Error;
use wiesel_state::storage::{CheckpointStorage, Found, IN_MEMORY, METADATA, find, metadata};

use crate::failure::{FailureInfo, JOB_INITIALIZATION};
use crate::jobmaster::checkpoint::assignment::{adopt_max_parallelism, assign, check};
use crate::jobmaster::checkpoint::failure::state_failure;
use crate::jobmaster::checkpoint::options::{CheckpointOptions, RestoreSettings};
use crate::jobmaster::checkpoint::store::{CompletedCheckpoint, Owner};
use wiesel_common::config::options::checkpointing::ClaimMode;

/// A job that is ready to start.
pub(super) struct Initialized {
    pub(super) graph: Arc<proto::JobGraph>,
    /// What it starts from.
    pub(super) restored: Option<CompletedCheckpoint>,
}

/// Until checkpoints that are in a record are looked for again.
const PAUSE: Duration = Duration::from_secs(1);

/// The checkpoints of a job that has begun under another JobMaster.
pub(super) struct LeftCheckpoints {
    /// Those that are retained, oldest first.
    pub(super) retained: Vec<CompletedCheckpoint>,
    /// The savepoint that the job stops with.
    pub(super) stopped_with: Option<CompletedCheckpoint>,
}

/// Finds the checkpoints that are in the record of a job. A store that cannot be read, or a folder that this machine does not see, is
/// waited for: the job cannot go on without them. Of a job that is over nobody goes on from them, and what is not there was deleted.
/// So may have been what the job started from and does not own, once it has a checkpoint of its own: by its owner.
pub(super) async fn find_left(
    storage: CheckpointStorage,
    record: proto::JobRecord,
    clock: Arc<dyn Clock>,
) -> LeftCheckpoints {
    let is_over = record.result() != proto::JobResult::None;
    let log = Limit::once_a_minute();
    let mut retained = Vec::with_capacity(record.checkpoints.len());
    let last = record.checkpoints.last().map(|last| last.checkpoint_id);
    for recorded in &record.checkpoints {
        let is_replaced = Some(recorded.checkpoint_id) != last;
        let may_be_gone = is_over || is_replaced && recorded.owner() == proto::CheckpointOwner::Other;
        retained.extend(find_recorded(&storage, recorded, may_be_gone, (&log, &*clock)).await);
    }
    let stopped_with = match &record.stopped_with {
        Some(recorded) => find_recorded(&storage, recorded, is_over, (&log, &*clock)).await,
        None => None,
    };
    LeftCheckpoints { retained, stopped_with }
}

/// None: it is gone, as it may be.
async fn find_recorded(
    storage: &CheckpointStorage,
    recorded: &proto::RecordedCheckpoint,
    may_be_gone: bool,
    (log, clock): (&Limit, &dyn Clock),
) -> Option<CompletedCheckpoint> {
    loop {
        let (failure, is_gone) = match read_recorded(storage, recorded).await {
            Ok(found) if found.metadata.checkpoint_id == recorded.checkpoint_id => {
                let owner = match recorded.owner() {
                    proto::CheckpointOwner::Job => Owner::Job,
                    proto::CheckpointOwner::Claimed => Owner::Claimed,
                    proto::CheckpointOwner::Other => Owner::Other,
                };
                let spared = recorded.spared.iter().cloned().collect();
                return Some(CompletedCheckpoint::restored(found, owner, spared, recorded.claimed.clone()));
            }
            Ok(found) => {
                let message = format!(
                    "{} is checkpoint {}, and {} is in the job's record",
                    found.file, found.metadata.checkpoint_id, recorded.checkpoint_id
                );
                (FailureInfo::new("java.lang.IllegalStateException", message), true)
            }
            Err(error) => (state_failure(&error), matches!(error, Error::Corrupt(_) | Error::Missing(_))),
        };
        if may_be_gone && is_gone {
            return None;
        }
        if let Some(left_out) = log.admit(clock.monotonic_millis()) {
            let (checkpoint_id, reason) = (recorded.checkpoint_id, failure.stack_trace());
            tracing::warn!(
                checkpoint_id,
                reason = reason.trim_end(),
                left_out,
                "a checkpoint of the job cannot be read: the job waits for it"
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn read_recorded(
    storage: &CheckpointStorage,
    recorded: &proto::RecordedCheckpoint,
) -> wiesel_state::Result<Found> {
    if recorded.metadata.is_empty() {
        return find(&recorded.pointer, storage.configuration()).await;
    }
    let file = format!("{IN_MEMORY}/{METADATA}");
    let metadata = metadata::decode(&recorded.metadata, &file, IN_MEMORY)?;
    Ok(Found { folder: IN_MEMORY.to_owned(), file, metadata })
}

/// Prepares a job. `derived`: the vertices whose maximum parallelism the job does not set.
pub(super) async fn initialize(
    storage: CheckpointStorage,
    options: Arc<CheckpointOptions>,
    graph: Arc<proto::JobGraph>,
    derived: Vec<bool>,
) -> Result<Initialized, FailureInfo> {
    let prepared = async {
        let initialized = match &options.restore {
            Some(settings) => restore(&storage, settings, &graph, &derived).await?,
            None => Initialized { graph, restored: None },
        };
        if options.prepares_folder() {
            let next = initialized.restored.as_ref().map_or(1, |checkpoint| checkpoint.id + 1);
            storage.initialize(next).await.map_err(|error| state_failure(&error))?;
        }
        Ok(initialized)
    };
    let initialized: Initialized = prepared.await.map_err(|cause: FailureInfo| not_started(&cause))?;
    if options.prepares_folder() {
        sweep(&storage, &initialized).await;
    }
    Ok(initialized)
}

/// Why a job cannot start.
pub(super) fn not_started(cause: &FailureInfo) -> FailureInfo {
    FailureInfo::wrap(JOB_INITIALIZATION, "Could not start the JobMaster.", cause)
}

async fn sweep(storage: &CheckpointStorage, initialized: &Initialized) {
    let retained: Vec<proto::CheckpointMetadata> =
        initialized.restored.iter().map(|checkpoint| checkpoint.metadata.as_ref().clone()).collect();
    let deleted = storage.sweep_orphans(&retained).await;
    if deleted.files > 0 {
        tracing::info!(files = deleted.files, "orphans of earlier runs were deleted");
    }
    if let Some(error) = deleted.failure {
        // The job does not need it.
        tracing::warn!(reason = %state_failure(&error).stack_trace().trim_end(), "orphans stay");
    }
}

async fn restore(
    storage: &CheckpointStorage,
    settings: &RestoreSettings,
    graph: &proto::JobGraph,
    derived: &[bool],
) -> Result<Initialized, FailureInfo> {
    let found = find(&settings.path, storage.configuration()).await.map_err(|error| state_failure(&error))?;
    let (folder, metadata) = (&found.folder, &found.metadata);
    let does_not_fit = |error: super::checkpoint::assignment::Error| {
        FailureInfo::new("java.lang.IllegalStateException", error.to_string())
    };
    check(metadata, &found.file).map_err(does_not_fit)?;
    let mut graph = graph.clone();
    adopt_max_parallelism(metadata, folder, &mut graph, derived).map_err(does_not_fit)?;
    let assignment = assign(metadata, folder, &graph, settings.allow_non_restored_state).map_err(does_not_fit)?;
    tracing::info!(
        checkpoint_id = metadata.checkpoint_id,
        path = %folder,
        without_state = assignment.without_state.join(", "),
        "starting job from savepoint {folder}"
    );
    let owner = match settings.claim_mode {
        ClaimMode::Claim => Owner::Claimed,
        ClaimMode::NoClaim => Owner::Other,
    };
    let restored = CompletedCheckpoint::restored(found, owner, HashSet::new(), Vec::new());
    Ok(Initialized { graph: Arc::new(graph), restored: Some(restored) })
}

#[cfg(test)]
mod tests {
    use wiesel_common::config::Configuration;
    use wiesel_common::id::JobId;
    use wiesel_common::time::SystemClock;

    use super::*;

    /// Failed before: the next JobMaster waited for it for ever, though its user may delete it once the job does not refer to it.
    #[tokio::test(start_paused = true)]
    async fn a_savepoint_that_the_job_does_not_own_may_be_gone_when_it_is_replaced() {
        let storage = CheckpointStorage::new(&Configuration::default(), JobId([1; 16])).unwrap();
        let metadata = proto::CheckpointMetadata { checkpoint_id: 4, ..Default::default() };
        let own = proto::RecordedCheckpoint {
            checkpoint_id: 4,
            pointer: IN_MEMORY.to_owned(),
            metadata: metadata::encode(&metadata, IN_MEMORY),
            ..Default::default()
        };
        let of = |owner: proto::CheckpointOwner| proto::RecordedCheckpoint {
            checkpoint_id: 3,
            pointer: "/nowhere/savepoint-1".to_owned(),
            owner: owner.into(),
            ..Default::default()
        };
        let find = async |checkpoints: Vec<proto::RecordedCheckpoint>| {
            let record = proto::JobRecord { checkpoints, ..Default::default() };
            let finding = find_left(storage.clone(), record, Arc::new(SystemClock));
            let found = tokio::time::timeout(Duration::from_secs(60), finding).await.ok()?;
            Some(found.retained.iter().map(|checkpoint| checkpoint.id).collect::<Vec<_>>())
        };
        let (other, job) = (proto::CheckpointOwner::Other, proto::CheckpointOwner::Job);
        assert_eq!(find(vec![of(other), own.clone()]).await, Some(vec![4]));
        // Without it the job cannot go on.
        assert_eq!(find(vec![of(other)]).await, None);
        assert_eq!(find(vec![of(job), own]).await, None);
    }
}
