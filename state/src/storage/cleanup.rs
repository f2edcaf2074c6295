//! Deletes checkpoints and savepoints, and what failed ones have left: files that metadata names or that a name tells to be
//! theirs, then the folder if nothing else is in it. `_metadata` goes first: a checkpoint never looks complete while its files
//! go.
use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use futures::StreamExt;
use wiesel_common::config::Configuration;
use wiesel_common::filesystem::Location;
use wiesel_proto as proto;

use super::claim::{claim_of, refuse_if_claimed};
use super::metadata::{Found, all_files, find};
use super::{CheckpointStorage, METADATA, checkpoint_name, names, read_metadata};
use crate::error::{Error, Result};

/// Files that are deleted at once where nothing is configured for a job.
const DELETIONS: usize = 16;
/// How often what a user disposes of is tried again, after pauses of 100 ms that double up to five seconds: 25 s in all.
const DISPOSAL_RETRIES: u32 = 10;
const DISPOSAL_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_DISPOSAL_PAUSE: Duration = Duration::from_secs(5);

/// What became of a deletion: nothing of it is an error, since what stays is an orphan, no danger.
#[derive(Debug, Default)]
pub struct Deleted {
    /// How many files went.
    pub files: usize,
    /// URIs of files that could not be deleted.
    pub left: Vec<String>,
    /// The first failure.
    pub failure: Option<Error>,
}

impl Deleted {
    fn failed(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    pub(super) fn and(&mut self, other: Self) {
        self.files += other.files;
        self.left.extend(other.left);
        if let Some(failure) = other.failure {
            self.failed(failure);
        }
    }

    pub(super) fn note(&mut self, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.failed(error);
        }
    }

    /// # Errors
    /// The first failure.
    pub fn into_result(self) -> Result<usize> {
        self.failure.map_or(Ok(self.files), Err)
    }
}

impl CheckpointStorage {
    /// Deletes a completed checkpoint of this run: what it alone has, and of `shared/` what no other refers to.
    /// `still_referenced`: what the checkpoints that stay name.
    pub async fn discard(&self, metadata: &proto::CheckpointMetadata, still_referenced: &HashSet<String>) -> Deleted {
        let Some(folder) = &self.inner.folder else { return Deleted::default() };
        let folder = folder.join(&checkpoint_name(metadata.checkpoint_id)).without_entropy();
        self.discard_at(&folder.join(METADATA), &folder, metadata, still_referenced).await
    }

    /// Deletes a checkpoint or savepoint that the job did not write itself but owns (claim mode CLAIM). `still_referenced`:
    /// also what is [`spared`](super::Claim::spared).
    pub async fn discard_claimed(&self, found: &Found, still_referenced: &HashSet<String>) -> Deleted {
        match (self.resolve(&found.file), self.resolve(&found.folder)) {
            (Ok(file), Ok(folder)) => self.discard_at(&file, &folder, &found.metadata, still_referenced).await,
            (Err(error), _) | (_, Err(error)) => Deleted { failure: Some(error), ..Deleted::default() },
        }
    }

    async fn discard_at(
        &self,
        file: &Location,
        folder: &Location,
        metadata: &proto::CheckpointMetadata,
        still_referenced: &HashSet<String>,
    ) -> Deleted {
        discard_at(file, folder, metadata, still_referenced, &self.inner.configuration, self.inner.deletions).await
    }

    /// Deletes a checkpoint of this run whose metadata may have been written or not. `still_referenced`: what others name.
    pub async fn discard_unfinished(
        &self,
        metadata: &proto::CheckpointMetadata,
        still_referenced: &HashSet<String>,
    ) -> Deleted {
        let Some(folder) = &self.inner.folder else { return Deleted::default() };
        let folder = folder.join(&checkpoint_name(metadata.checkpoint_id)).without_entropy();
        let its_own = names::Owner { run: metadata.run, checkpoint: metadata.checkpoint_id };
        let mut deleted = self.delete_incomplete(&folder, its_own).await;
        let named = all_files(metadata);
        if deleted.failure.is_some() {
            // Its metadata may be there: a sweep looks, and then deletes what is left and nobody needs.
            deleted.left.extend(named);
            return deleted;
        }
        deleted.and(self.delete_uris(named.into_iter().filter(|file| !still_referenced.contains(file))).await);
        deleted
    }

    /// Deletes what was written for a checkpoint or savepoint of this run that failed or timed out: what is in its folder and
    /// the files (URIs) that tasks acknowledged. Files that were written for others stay, whatever tasks say of them.
    pub async fn discard_aborted(&self, barrier: &proto::CheckpointBarrier, acknowledged: &[String]) -> Deleted {
        let folder = match (barrier.kind(), &self.inner.folder) {
            (proto::SnapshotKind::Savepoint, _) => self.resolve(&barrier.target),
            (proto::SnapshotKind::Checkpoint, Some(folder)) => Ok(folder.join(&checkpoint_name(barrier.checkpoint_id))),
            (proto::SnapshotKind::Checkpoint, None) => return Deleted::default(),
        };
        let folder = match folder {
            Ok(folder) => folder.without_entropy(),
            Err(error) => return Deleted { failure: Some(error), ..Deleted::default() },
        };
        let its_own = names::Owner { run: barrier.run, checkpoint: barrier.checkpoint_id };
        let is_its_own = |file: &&String| names::owner(file.rsplit('/').next().unwrap_or_default()) == Some(its_own);
        let written: BTreeSet<String> = acknowledged.iter().filter(is_its_own).cloned().collect();
        let mut deleted = self.delete_incomplete(&folder, its_own).await;
        if deleted.failure.is_none() {
            deleted.and(self.delete_uris(written).await);
        }
        deleted
    }

    /// Deletes what is in the folder of a checkpoint that will never be complete, and is its own.
    pub(super) async fn delete_incomplete(&self, folder: &Location, its_own: names::Owner) -> Deleted {
        let mut deleted = Deleted::default();
        let found = match folder.children().await {
            Ok(found) => found.files,
            Err(error) => return Deleted { failure: Some(error.into()), ..deleted },
        };
        if found.iter().any(|name| name == METADATA) {
            // The store took it although the answer was a failure, or came too late.
            match read_metadata(folder.uri(), &self.inner.configuration).await {
                Ok((_, metadata)) if metadata.run == its_own.run && metadata.checkpoint_id == its_own.checkpoint => {
                    deleted.and(delete_locations(&[folder.join(METADATA)], 1).await);
                    if deleted.failure.is_some() {
                        return deleted;
                    }
                }
                // Another run's, which names none of these files.
                Ok(_) => {}
                // It may look complete: then its files are there as long as it is.
                Err(error) => {
                    deleted.failed(error);
                    return deleted;
                }
            }
        }
        let mine = |name: &&String| names::owner(name) == Some(its_own) || names::is_half_metadata(name);
        let files: Vec<Location> = found.iter().filter(mine).map(|name| folder.join(name)).collect();
        deleted.and(delete_locations(&files, self.inner.deletions).await);
        deleted.note(folder.remove_empty_folder().await.map_err(Error::from));
        deleted
    }

    /// Deletes files; what could not be resolved is left.
    pub(super) async fn delete_uris(&self, uris: impl IntoIterator<Item = String>) -> Deleted {
        delete_uris(uris, &self.inner.configuration, self.inner.deletions).await
    }
}

/// Deletes a savepoint, or a checkpoint that no job needs: what its metadata names and is its own (see [`super::Claim`]), then
/// its folder if it is empty. What fails is tried again for a while: without its metadata, which goes first and may be gone though
/// its deletion is said to have failed, nobody could tell later which files were its own.
///
/// # Errors
/// It cannot be read, or a job has claimed it ([`Error::Claimed`]): then nothing is deleted.
pub async fn dispose_savepoint(pointer: &str, configuration: &Configuration) -> Result<()> {
    let found = find(pointer, configuration).await?;
    refuse_if_claimed(&found, configuration).await?;
    let spared = claim_of(&found, configuration, None).await?.spared;
    if !spared.is_empty() {
        let (path, files) = (&found.file, spared.len());
        tracing::info!(path, files, "files that are not its own, or that others refer to, stay");
    }
    let file = Location::resolve(&found.file, configuration)?;
    let folder = Location::resolve(&found.folder, configuration)?;
    let dispose = || discard_at(&file, &folder, &found.metadata, &spared, configuration, DELETIONS);
    let mut deleted = dispose().await;
    for retry in 0..DISPOSAL_RETRIES {
        let Some(error) = &deleted.failure else { break };
        tracing::info!(path = found.file, files = deleted.left.len(), retry, %error, "disposing of a checkpoint failed, trying again");
        tokio::time::sleep(DISPOSAL_PAUSE.saturating_mul(1 << retry).min(LONGEST_DISPOSAL_PAUSE)).await;
        deleted = dispose().await;
    }
    deleted.into_result().map(|_| ())
}

async fn discard_at(
    file: &Location,
    folder: &Location,
    metadata: &proto::CheckpointMetadata,
    still_referenced: &HashSet<String>,
    configuration: &Configuration,
    at_once: usize,
) -> Deleted {
    let mut deleted = delete_locations(std::slice::from_ref(file), 1).await;
    let named = all_files(metadata);
    if deleted.failure.is_some() {
        // Also those that others need now: they stay as long as this metadata does.
        deleted.left.extend(named);
        return deleted;
    }
    let unused = named.into_iter().filter(|file| !still_referenced.contains(file));
    deleted.and(delete_uris(unused, configuration, at_once).await);
    deleted.and(delete_unnamed(folder, metadata, still_referenced, at_once).await);
    deleted.note(folder.remove_empty_folder().await.map_err(Error::from));
    deleted
}

/// What was written for a complete checkpoint into its folder, and is not in its metadata: a task that wrote it was not the
/// one that counted.
async fn delete_unnamed(
    folder: &Location,
    metadata: &proto::CheckpointMetadata,
    still_referenced: &HashSet<String>,
    at_once: usize,
) -> Deleted {
    let its_own = names::Owner { run: metadata.run, checkpoint: metadata.checkpoint_id };
    let found = match folder.children().await {
        Ok(found) => found.files,
        Err(error) => return Deleted { failure: Some(error.into()), ..Deleted::default() },
    };
    let mine = |name: &&String| names::owner(name) == Some(its_own);
    let files = found.iter().filter(mine).map(|name| folder.join(name));
    let files: Vec<Location> = files.filter(|file| !still_referenced.contains(file.uri())).collect();
    delete_locations(&files, at_once).await
}

async fn delete_uris(uris: impl IntoIterator<Item = String>, configuration: &Configuration, at_once: usize) -> Deleted {
    let (mut locations, mut deleted) = (Vec::new(), Deleted::default());
    for uri in uris {
        match Location::resolve(&uri, configuration) {
            Ok(location) => locations.push(location),
            Err(error) => {
                deleted.left.push(uri);
                deleted.failed(error.into());
            }
        }
    }
    deleted.and(delete_locations(&locations, at_once).await);
    deleted
}

/// Deletes files, also after a failure.
pub(super) async fn delete_locations(locations: &[Location], at_once: usize) -> Deleted {
    let delete = |location: Location| async move {
        let outcome = location.delete().await;
        (location, outcome)
    };
    let mut deletions = futures::stream::iter(locations.to_vec()).map(delete).buffer_unordered(at_once);
    let mut deleted = Deleted::default();
    while let Some((location, outcome)) = deletions.next().await {
        match outcome {
            Ok(()) => deleted.files += 1,
            Err(error) => {
                deleted.left.push(location.uri().to_owned());
                deleted.failed(error.into());
            }
        }
    }
    deleted
}
