//! What happens before a job starts: its folders are made, what earlier runs left is swept, and the savepoint or checkpoint
//! that it is to start from is read and fitted. Whatever may refuse the job does so here: only then that checkpoint is claimed
//! ([`super::claiming`]).
use std::collections::HashSet;
use std::sync::Arc;

use wiesel_proto as proto;
use wiesel_state::storage::{CheckpointStorage, find};

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
