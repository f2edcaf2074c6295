//! Deletes checkpoints and savepoints, and what failed ones have left. `_metadata` goes first: a checkpoint never looks
//! complete while its files go.
use std::collections::{BTreeSet, HashSet};

use futures::StreamExt;
use wiesel_common::config::Configuration;
use wiesel_common::filesystem::{Entry, Location};
use wiesel_proto as proto;

use super::metadata::{read_metadata, shared_files, visit_files, visit_task_files};
use super::{CheckpointStorage, METADATA, SHARED, checkpoint_name};
use crate::error::{Error, Result};

/// Files that are deleted at once where nothing is configured for a job.
const DELETIONS: usize = 16;

impl CheckpointStorage {
    /// Deletes a completed checkpoint: what it alone has, and of `shared/` what no other refers to.
    /// `still_referenced`: the [`shared_files`] of all checkpoints that stay.
    ///
    /// # Errors
    /// The first failure; everything else was deleted all the same. What stays is an orphan, no danger.
    pub async fn discard(
        &self,
        checkpoint_id: u64,
        metadata: &proto::CheckpointMetadata,
        still_referenced: &HashSet<String>,
    ) -> Result<()> {
        let Some(folder) = &self.inner.folder else { return Ok(()) };
        let folder = folder.join(&checkpoint_name(checkpoint_id)).without_entropy();
        self.discard_folder(&folder, metadata, still_referenced).await
    }

    /// Deletes a checkpoint or savepoint that the job did not write itself but owns (claim mode CLAIM). `pointer`: its
    /// folder, as [`super::read_metadata`] gives it.
    pub async fn discard_claimed(
        &self,
        pointer: &str,
        metadata: &proto::CheckpointMetadata,
        still_referenced: &HashSet<String>,
    ) -> Result<()> {
        self.discard_folder(&self.resolve(pointer)?, metadata, still_referenced).await
    }

    async fn discard_folder(
        &self,
        folder: &Location,
        metadata: &proto::CheckpointMetadata,
        still_referenced: &HashSet<String>,
    ) -> Result<()> {
        folder.join(METADATA).delete().await?;
        let files = deletable(|visit| visit_files(metadata, visit), still_referenced);
        let files = delete_all(&files, &self.inner.configuration, self.inner.deletions).await;
        files.and(folder.delete_folder().await.map_err(Error::from))
    }

    /// Deletes what was written for a checkpoint that failed or timed out: the folder and what tasks acknowledged.
    pub async fn discard_aborted(
        &self,
        barrier: &proto::CheckpointBarrier,
        acknowledged: &[proto::TaskState],
        still_referenced: &HashSet<String>,
    ) -> Result<()> {
        let folder = match (barrier.kind(), &self.inner.folder) {
            (proto::SnapshotKind::Savepoint, _) => self.resolve(&barrier.target)?,
            (proto::SnapshotKind::Checkpoint, Some(folder)) => folder.join(&checkpoint_name(barrier.checkpoint_id)),
            (proto::SnapshotKind::Checkpoint, None) => return Ok(()),
        };
        let visit_all = |visit: &mut dyn FnMut(&proto::StateFile, bool)| {
            acknowledged.iter().for_each(|task| visit_task_files(task, &mut |file, shared| visit(file, shared)));
        };
        let files = deletable(visit_all, still_referenced);
        let files = delete_all(&files, &self.inner.configuration, self.inner.deletions).await;
        files.and(folder.without_entropy().delete_folder().await.map_err(Error::from))
    }

    /// Deletes what earlier runs of the job have left: folders of checkpoints that were not completed, and files in
    /// `shared/` that no completed checkpoint refers to. Only when no task of the job runs. `retained`: the checkpoints
    /// that the job knows; complete ones that it does not know are kept as well. Returns how many files went.
    pub async fn sweep_orphans(&self, retained: &[proto::CheckpointMetadata]) -> Result<usize> {
        let Some(folder) = self.inner.folder.as_ref().filter(|_| self.inner.own_folder) else { return Ok(0) };
        let found = folder.without_entropy().list().await?;
        let mut referenced: HashSet<String> = retained.iter().flat_map(shared_files).collect();
        let complete: HashSet<&str> = found.iter().filter_map(|entry| entry.name.strip_suffix("/_metadata")).collect();
        let known: HashSet<String> = retained.iter().map(|metadata| checkpoint_name(metadata.checkpoint_id)).collect();
        let mut all_known = true;
        for checkpoint in complete.iter().filter(|name| !known.contains(**name)) {
            match read_metadata(folder.without_entropy().join(checkpoint).uri(), &self.inner.configuration).await {
                Ok((_, metadata)) => referenced.extend(shared_files(&metadata)),
                // What it refers to cannot be told: then nothing of `shared/` goes.
                Err(_) => all_known = false,
            }
        }
        let orphan = |entry: &&Entry| match entry.name.split_once('/') {
            Some((SHARED, name)) => all_known && name != super::KEEP && !referenced.contains(entry.location.uri()),
            Some((checkpoint, _)) if is_checkpoint(checkpoint) => !complete.contains(checkpoint),
            _ => false,
        };
        let orphans: Vec<Location> = found.iter().filter(orphan).map(|entry| entry.location.clone()).collect();
        delete_locations(&orphans, self.inner.deletions).await?;
        self.remove_empty(&found, &complete).await?;
        Ok(orphans.len())
    }

    /// Folders of checkpoints that are empty now.
    async fn remove_empty(&self, found: &[Entry], complete: &HashSet<&str>) -> Result<()> {
        let Some(folder) = &self.inner.folder else { return Ok(()) };
        let mut names: HashSet<String> = found
            .iter()
            .filter_map(|entry| entry.name.split_once('/'))
            .map(|(checkpoint, _)| checkpoint.to_owned())
            .collect();
        if let Some(path) = folder.as_local() {
            let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
            names.extend(entries.map(|entry| entry.file_name().to_string_lossy().into_owned()));
        }
        for name in names.iter().filter(|name| is_checkpoint(name) && !complete.contains(name.as_str())) {
            folder.join(name).without_entropy().delete_folder().await?;
        }
        Ok(())
    }

    /// Deletes the job's folder, at the end of the job, unless a complete checkpoint is left in it.
    pub async fn remove_job_folder(&self) -> Result<()> {
        let Some(folder) = self.inner.folder.as_ref().filter(|_| self.inner.own_folder) else { return Ok(()) };
        let folder = folder.without_entropy();
        let complete = folder.list().await?.iter().any(|entry| entry.name.ends_with("/_metadata"));
        if complete { Ok(()) } else { Ok(folder.delete_folder().await?) }
    }
}

/// Deletes a savepoint, or a checkpoint that no job needs. Of `shared/` beside a checkpoint only what no other checkpoint
/// there refers to goes.
///
/// # Errors
/// It cannot be read: then nothing is deleted.
pub async fn dispose_savepoint(pointer: &str, configuration: &Configuration) -> Result<()> {
    let (folder, metadata) = read_metadata(pointer, configuration).await?;
    let folder = Location::resolve(&folder, configuration)?;
    let referenced = referenced_beside(&folder, &metadata, configuration).await?;
    folder.join(METADATA).delete().await?;
    let files = deletable(|visit| visit_files(&metadata, visit), &referenced);
    let files = delete_all(&files, configuration, DELETIONS).await;
    files.and(folder.delete_folder().await.map_err(Error::from))
}

/// What other checkpoints of the same job refer to; all of this one's files if one of them cannot be read.
async fn referenced_beside(
    folder: &Location,
    metadata: &proto::CheckpointMetadata,
    configuration: &Configuration,
) -> Result<HashSet<String>> {
    let own = shared_files(metadata);
    let Some(parent) = folder.parent().filter(|_| !own.is_empty()) else { return Ok(own) };
    let mut referenced = HashSet::new();
    for entry in parent.list().await? {
        let Some(name) = entry.name.strip_suffix("/_metadata") else { continue };
        if is_checkpoint(name) && name != folder.name() {
            match read_metadata(entry.location.uri(), configuration).await {
                Ok((_, other)) => referenced.extend(shared_files(&other)),
                Err(_) => return Ok(own),
            }
        }
    }
    Ok(referenced)
}

fn is_checkpoint(name: &str) -> bool {
    name.strip_prefix("chk-").is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

/// The URIs of files to delete, each once.
fn deletable(
    visit_all: impl FnOnce(&mut dyn FnMut(&proto::StateFile, bool)),
    still_referenced: &HashSet<String>,
) -> Vec<String> {
    let mut files = BTreeSet::new();
    visit_all(&mut |file, shared| {
        if !(file.path.is_empty() || shared && still_referenced.contains(&file.path)) {
            files.insert(file.path.clone());
        }
    });
    files.into_iter().collect()
}

async fn delete_all(files: &[String], configuration: &Configuration, at_once: usize) -> Result<()> {
    let locations = files.iter().map(|uri| Location::resolve(uri, configuration)).collect::<Result<Vec<_>, _>>()?;
    delete_locations(&locations, at_once).await
}

/// Deletes files, also after a failure; the first failure is reported.
async fn delete_locations(locations: &[Location], at_once: usize) -> Result<()> {
    let delete = |location: Location| async move { location.delete().await };
    let deletions = futures::stream::iter(locations.to_vec()).map(delete).buffer_unordered(at_once);
    let outcome = deletions.fold(Ok(()), |first, outcome| async move { first.and(outcome) }).await;
    outcome.map_err(Error::from)
}
