//! Finds and deletes what belongs to no checkpoint: files of uploads that were given up, that came when their checkpoint had
//! failed already, or whose process died; and uploads in parts that nobody goes on with.
//!
//! A name tells for which checkpoint of which run a file was written ([`names`]). A run knows of each of its checkpoints
//! whether it is under way, complete or neither, and what the complete ones refer to; so it finds its own garbage in a
//! listing, at any time and without a guess, while tasks write and even if a task that is thought dead still does. Files of
//! other runs are looked at once, when the run begins.
use std::collections::{BTreeSet, HashSet};

use futures::{StreamExt, TryStreamExt};
use wiesel_common::filesystem::Location;
use wiesel_proto as proto;

use super::cleanup::{Deleted, delete_locations};
use super::metadata::{read_metadata, shared_files};
use super::{
    CLAIMED, CheckpointStorage, KEEP, METADATA, SHARED, TASK_OWNED, checkpoint_name, checkpoint_number, names,
};
use crate::error::{Error, Result};

/// What a run of a job knows of its checkpoints and savepoints at one moment.
#[derive(Clone, Debug, Default)]
pub struct KnownCheckpoints {
    /// The run.
    pub run: u64,
    /// Checkpoints of this number and later ones did not exist.
    pub next: u64,
    /// Those under way.
    pub pending: BTreeSet<u64>,
    /// Those that are complete and in use.
    pub complete: BTreeSet<u64>,
    /// URIs of files that stay, whatever else goes.
    pub referenced: HashSet<String>,
    /// Folders of savepoints that failed, with their numbers.
    pub failed_savepoints: Vec<(u64, String)>,
    /// URIs of files that are to go and could not be deleted before.
    pub left: Vec<String>,
}

impl KnownCheckpoints {
    /// Whether nothing refers to what was written for a checkpoint, unless a complete one names it.
    fn is_over(&self, checkpoint: u64) -> bool {
        checkpoint < self.next && !self.pending.contains(&checkpoint)
    }
}

fn name_of(uri: &str) -> &str {
    uri.rsplit('/').next().unwrap_or_default()
}

impl CheckpointStorage {
    /// Deletes what this run's checkpoints have left that are neither under way nor complete, while others are written.
    pub async fn sweep(&self, known: &KnownCheckpoints) -> Deleted {
        let referenced: HashSet<&str> = known.referenced.iter().map(|uri| name_of(uri)).collect();
        // Metadata that could not be deleted before, then what else may look complete, then files that they may name.
        let (metadata, files): (Vec<String>, Vec<String>) =
            known.left.iter().cloned().partition(|uri| !names::is_state(name_of(uri)));
        let mut deleted = self.delete_uris(metadata).await;
        let metadata_is_gone = deleted.failure.is_none();
        let nothing_is_unclear = match &self.inner.folder {
            Some(folder) => self.sweep_job(folder, known, metadata_is_gone, &referenced, &mut deleted).await,
            None => metadata_is_gone,
        };
        let files = files.into_iter().filter(|uri| !referenced.contains(name_of(uri)));
        match nothing_is_unclear {
            true => deleted.and(self.delete_uris(files).await),
            false => deleted.left.extend(files),
        }
        deleted
    }

    /// Deletes what savepoints of this run that failed have left.
    pub async fn sweep_failed_savepoints(&self, known: &KnownCheckpoints) -> Deleted {
        let mut deleted = Deleted::default();
        for (checkpoint, folder) in &known.failed_savepoints {
            match self.resolve(folder) {
                Ok(folder) => {
                    let its_own = names::Owner { run: known.run, checkpoint: *checkpoint };
                    deleted.and(self.sweep_savepoint(&folder, its_own).await);
                }
                Err(error) => deleted.note(Err(error)),
            }
        }
        deleted
    }

    /// What a savepoint that failed has left, at its place and at random ones.
    async fn sweep_savepoint(&self, folder: &Location, its_own: names::Owner) -> Deleted {
        let mut deleted = self.abort_uploads(folder, |owner| owner == its_own).await;
        let incomplete = self.delete_incomplete(&folder.without_entropy(), its_own).await;
        // Its metadata may still be there: then its files stay.
        let unclear = incomplete.failure.is_some();
        deleted.and(incomplete);
        if unclear {
            return deleted;
        }
        match folder.entropy_places().await {
            Ok(places) => {
                let sweep = |place: Location| async move { self.sweep_place(&place, its_own).await };
                let mut sweeps = futures::stream::iter(places).map(sweep).buffer_unordered(self.inner.deletions);
                while let Some(swept) = sweeps.next().await {
                    deleted.and(swept);
                }
            }
            Err(error) => deleted.note(Err(error.into())),
        }
        deleted
    }

    /// A random place of a checkpoint or savepoint that will never be complete.
    async fn sweep_place(&self, place: &Location, its_own: names::Owner) -> Deleted {
        self.delete_named(place, |name| names::owner(name) == Some(its_own)).await
    }

    /// Sweeps the job's folder. False: there may be metadata of a checkpoint that is to go, or it was not looked for.
    async fn sweep_job(
        &self,
        folder: &Location,
        known: &KnownCheckpoints,
        metadata_is_gone: bool,
        referenced: &HashSet<&str>,
        deleted: &mut Deleted,
    ) -> bool {
        let garbage = |owner: names::Owner| owner.run == known.run && known.is_over(owner.checkpoint);
        deleted.and(self.abort_uploads(folder, garbage).await);
        let folder = folder.without_entropy();
        let children = match folder.children().await {
            Ok(children) => children,
            Err(error) => {
                deleted.note(Err(error.into()));
                return false;
            }
        };
        // Checkpoints that are to go and whose metadata may still be there: as long as it is, what it names stays.
        let mut unclear = BTreeSet::new();
        for (name, checkpoint) in children.folders.iter().filter_map(|name| Some((name, checkpoint_number(name)?))) {
            if !known.is_over(checkpoint) {
                continue;
            }
            let folder = folder.join(name);
            if !known.complete.contains(&checkpoint) {
                let its_own = names::Owner { run: known.run, checkpoint };
                let incomplete = self.delete_incomplete(&folder, its_own).await;
                unclear.extend(incomplete.failure.is_some().then_some(checkpoint));
                deleted.and(incomplete);
            }
            deleted.and(self.sweep_folder(&folder, known, &unclear, referenced).await);
        }
        // What is in `shared/` may be named by any of them, whichever it was written for.
        let nothing_is_unclear = metadata_is_gone && unclear.is_empty();
        if nothing_is_unclear {
            deleted.and(self.sweep_folder(&folder.join(SHARED), known, &unclear, referenced).await);
            deleted.and(self.sweep_entropy(known, &unclear, referenced).await);
        }
        nothing_is_unclear
    }

    /// As far as files are at random places.
    async fn sweep_entropy(
        &self,
        known: &KnownCheckpoints,
        unclear: &BTreeSet<u64>,
        referenced: &HashSet<&str>,
    ) -> Deleted {
        let folders = match self.entropy_folders().await {
            Ok(folders) => folders,
            Err(error) => return Deleted { failure: Some(error), ..Deleted::default() },
        };
        let sweep = |folder: Location| async move { self.sweep_folder(&folder, known, unclear, referenced).await };
        let mut sweeps = futures::stream::iter(folders).map(sweep).buffer_unordered(self.inner.deletions);
        let mut deleted = Deleted::default();
        while let Some(swept) = sweeps.next().await {
            deleted.and(swept);
        }
        deleted
    }

    /// The folders of checkpoints, and those that they share, at random places.
    async fn entropy_folders(&self) -> Result<Vec<Location>> {
        let Some(folder) = &self.inner.folder else { return Ok(Vec::new()) };
        let children = |place: Location| async move {
            let children = place.children().await?.folders;
            let ours = children.iter().filter(|name| *name == SHARED || checkpoint_number(name).is_some());
            Ok::<_, Error>(ours.map(|name| place.join(name)).collect::<Vec<_>>())
        };
        let places = folder.entropy_places().await?;
        let found = futures::stream::iter(places).map(children).buffer_unordered(self.inner.deletions);
        Ok(found.try_collect::<Vec<_>>().await?.concat())
    }

    async fn sweep_folder(
        &self,
        folder: &Location,
        known: &KnownCheckpoints,
        unclear: &BTreeSet<u64>,
        referenced: &HashSet<&str>,
    ) -> Deleted {
        let garbage = |name: &str| {
            let owner = names::owner(name).filter(|owner| owner.run == known.run && known.is_over(owner.checkpoint));
            owner.is_some_and(|owner| !unclear.contains(&owner.checkpoint)) && !referenced.contains(name)
        };
        self.delete_named(folder, garbage).await
    }

    /// Deletes the files in a folder that have such names.
    async fn delete_named(&self, folder: &Location, garbage: impl Fn(&str) -> bool) -> Deleted {
        match folder.children().await {
            Ok(children) => {
                let files = children.files.iter().filter(|name| garbage(name));
                let files: Vec<Location> = files.map(|name| folder.join(name)).collect();
                delete_locations(&files, self.inner.deletions).await
            }
            Err(error) => Deleted { failure: Some(error.into()), ..Deleted::default() },
        }
    }

    /// Aborts uploads in parts into a folder and those below it, at its place and at random ones, also after a failure.
    async fn abort_uploads(&self, folder: &Location, garbage: impl Fn(names::Owner) -> bool) -> Deleted {
        let plain = folder.without_entropy();
        // Where a run before did not yet put its files at random places, its uploads are where metadata is.
        let random = (plain.uri() != folder.uri()).then(|| folder.clone());
        let mut deleted = Deleted::default();
        for folder in random.into_iter().chain([plain]) {
            let uploads = match folder.unfinished_uploads().await {
                Ok(uploads) => uploads,
                Err(error) => {
                    deleted.note(Err(error.into()));
                    continue;
                }
            };
            for upload in uploads {
                if names::owner(upload.file_name()).is_some_and(&garbage) {
                    deleted.note(folder.abort_upload(&upload).await.map_err(Error::from));
                }
            }
        }
        deleted
    }

    /// Deletes what earlier runs of the job have left: files of checkpoints that were not completed, and files in `shared/`
    /// that no completed checkpoint refers to. Only before the job begins, and only in a folder that is the job's alone: then
    /// no other run of it is alive. Where another job has claimed a checkpoint, `shared/` stays as it is. `retained`: the
    /// checkpoints that the job knows; complete ones that it does not know are kept as well.
    pub async fn sweep_orphans(&self, retained: &[proto::CheckpointMetadata]) -> Deleted {
        let Some(folder) = self.inner.folder.as_ref().filter(|_| self.inner.own_folder) else {
            return Deleted::default();
        };
        let mut deleted = self.abort_uploads(folder, |_| true).await;
        let folder = folder.without_entropy();
        match self.find_orphans(&folder, retained).await {
            Ok(Orphans { files, incomplete }) => {
                deleted.and(delete_locations(&files, self.inner.deletions).await);
                for folder in incomplete {
                    deleted.note(folder.remove_empty_folder().await.map_err(Error::from));
                }
            }
            Err(error) => deleted.note(Err(error)),
        }
        deleted
    }

    async fn find_orphans(&self, folder: &Location, retained: &[proto::CheckpointMetadata]) -> Result<Orphans> {
        let mut referenced: HashSet<String> = retained.iter().flat_map(shared_files).collect();
        let mut orphans = Orphans::default();
        let (mut all_known, mut complete) = (true, HashSet::new());
        let is_orphan = |name: &&String| names::is_state(name) || names::is_half_metadata(name);
        for name in folder.children().await?.folders.iter().filter(|name| checkpoint_number(name).is_some()) {
            let folder = folder.join(name);
            let files = folder.children().await?.files;
            if files.iter().any(|name| name == METADATA) {
                complete.insert(name.clone());
                match read_metadata(folder.uri(), &self.inner.configuration).await {
                    Ok((_, metadata)) => referenced.extend(shared_files(&metadata)),
                    // What it refers to cannot be told: then nothing of `shared/` goes.
                    Err(_) => all_known = false,
                }
            } else {
                orphans.files.extend(files.iter().filter(is_orphan).map(|name| folder.join(name)));
                orphans.incomplete.push(folder);
            }
        }
        let referenced: HashSet<&str> = referenced.iter().map(|uri| name_of(uri)).collect();
        let mut folders = self.entropy_folders().await?;
        folders.push(folder.join(SHARED));
        // Whatever its name: a run leaves no mark in its own folder.
        let claimed = folder.join(SHARED).children().await?.files.iter().any(|name| name.starts_with(CLAIMED));
        for folder in folders.iter().filter(|folder| !complete.contains(folder.name())) {
            if folder.name() == SHARED && (claimed || !all_known) {
                continue;
            }
            let files = folder.children().await?.files;
            let unused = files.iter().filter(is_orphan).filter(|name| !referenced.contains(name.as_str()));
            orphans.files.extend(unused.map(|name| folder.join(name)));
        }
        Ok(orphans)
    }

    /// Removes the job's folder, at the end of the job, if nothing is left in it. Marks of others go with it, for they guard
    /// files of state; with entropy those are at random places, not beside the marks.
    pub async fn remove_job_folder(&self) -> Result<()> {
        let Some(folder) = self.inner.folder.as_ref().filter(|_| self.inner.own_folder) else { return Ok(()) };
        let folder = folder.without_entropy();
        let shared = folder.join(SHARED);
        let children = folder.children().await?;
        if children.folders.iter().any(|name| checkpoint_number(name).is_some()) {
            return Ok(());
        }
        let left = shared.children().await?.files;
        let is_claimed = left.iter().any(|name| name.starts_with(CLAIMED));
        if is_claimed && self.has_shared_state_at_random_places().await? {
            return Ok(());
        }
        if left.iter().all(|name| name == KEEP || name.starts_with(CLAIMED)) {
            for name in left {
                shared.join(&name).delete().await?;
            }
        }
        for folder in [folder.join(TASK_OWNED), shared, folder] {
            folder.remove_empty_folder().await?;
        }
        Ok(())
    }

    async fn has_shared_state_at_random_places(&self) -> Result<bool> {
        for folder in self.entropy_folders().await?.iter().filter(|folder| folder.name() == SHARED) {
            if folder.children().await?.files.iter().any(|name| names::is_state(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The complete checkpoints in the job's folder from a number on.
    pub(super) async fn complete_from(&self, folder: &Location, next: u64) -> Result<Vec<u64>> {
        let mut complete = Vec::new();
        for checkpoint in folder.children().await?.folders.iter().filter_map(|name| checkpoint_number(name)) {
            let folder = folder.join(&checkpoint_name(checkpoint));
            if checkpoint >= next && folder.children().await?.files.iter().any(|name| name == METADATA) {
                complete.push(checkpoint);
            }
        }
        complete.sort_unstable();
        Ok(complete)
    }
}

/// What nothing refers to.
#[derive(Default)]
struct Orphans {
    files: Vec<Location>,
    /// Folders of checkpoints that were not completed.
    incomplete: Vec<Location>,
}
