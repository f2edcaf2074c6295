//! Completed checkpoints, newest last, and when those that newer ones replace may go.
//!
//! A checkpoint under way may refer to shared files of any checkpoint that was complete by the time a task took its
//! snapshot, and that is never an older one than the latest when it began (its base). So a replaced checkpoint stays until
//! none under way has a base as old as it is.
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use wiesel_proto as proto;
use wiesel_state::storage::{Found, METADATA, all_files, shared_files};

/// A checkpoint that is durable.
#[derive(Debug)]
pub struct CompletedCheckpoint {
    /// Its number.
    pub id: u64,
    /// What is in it.
    pub metadata: Arc<proto::CheckpointMetadata>,
    /// Its folder, as users name it.
    pub pointer: String,
    /// The file that makes it one, a URI.
    pub file: String,
    /// Whose it is.
    pub owner: Owner,
    /// URIs of files that it names and that stay when it is deleted.
    pub spared: HashSet<String>,
    /// `shared/` folders in which what it names is the job's, which has claimed it.
    pub claimed: Vec<String>,
}

impl CompletedCheckpoint {
    /// One that the job wrote.
    pub fn of_job(metadata: Arc<proto::CheckpointMetadata>, pointer: String) -> Self {
        let file = format!("{pointer}/{METADATA}");
        let (id, owner, spared, claimed) = (metadata.checkpoint_id, Owner::Job, HashSet::new(), Vec::new());
        Self { id, metadata, pointer, file, owner, spared, claimed }
    }

    /// One that the job starts from.
    pub fn restored(found: Found, owner: Owner, spared: HashSet<String>, claimed: Vec<String>) -> Self {
        let Found { folder: pointer, file, metadata } = found;
        Self { id: metadata.checkpoint_id, metadata: Arc::new(metadata), pointer, file, owner, spared, claimed }
    }

    /// What a pointer to it leads to.
    pub fn found(&self) -> Found {
        let metadata = self.metadata.as_ref().clone();
        Found { folder: self.pointer.clone(), file: self.file.clone(), metadata }
    }
}

/// Whose a checkpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The job wrote it.
    Job,
    /// The job started from it and may delete it.
    Claimed,
    /// The job started from it.
    Other,
}

/// See the module.
#[derive(Debug)]
pub struct CompletedStore {
    limit: usize,
    retained: VecDeque<Arc<CompletedCheckpoint>>,
    replaced: Vec<Arc<CompletedCheckpoint>>,
    /// Files that belong to another owner, or that another owner's checkpoints refer to as well.
    foreign: HashSet<String>,
}

impl CompletedStore {
    /// An empty store that keeps so many.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), retained: VecDeque::new(), replaced: Vec::new(), foreign: HashSet::new() }
    }

    /// The newest.
    pub fn latest(&self) -> Option<&Arc<CompletedCheckpoint>> {
        self.retained.back()
    }

    /// All, oldest first.
    pub fn retained(&self) -> impl Iterator<Item = &Arc<CompletedCheckpoint>> {
        self.retained.iter()
    }

    /// These files belong to another owner, or another owner's checkpoints refer to them as well.
    pub fn spare(&mut self, foreign: HashSet<String>) {
        self.foreign.extend(foreign);
    }

    /// Files that belong to another owner, or that another owner's checkpoints refer to as well.
    pub fn foreign(&self) -> &HashSet<String> {
        &self.foreign
    }

    /// Adds the newest.
    pub fn add(&mut self, checkpoint: Arc<CompletedCheckpoint>) {
        if checkpoint.owner == Owner::Other {
            self.foreign.extend(shared_files(&checkpoint.metadata));
        }
        self.foreign.extend(checkpoint.spared.iter().cloned());
        self.retained.push_back(checkpoint);
        while self.retained.len() > self.limit {
            self.replaced.extend(self.retained.pop_front().filter(|oldest| oldest.owner != Owner::Other));
        }
    }

    /// The job is over and keeps none.
    pub fn clear(&mut self) {
        self.replaced.extend(self.retained.drain(..).filter(|checkpoint| checkpoint.owner != Owner::Other));
    }

    /// Replaced checkpoints that may go; `oldest_base`: of the checkpoints under way, if there are any.
    pub fn take_garbage(&mut self, oldest_base: Option<u64>) -> Vec<Arc<CompletedCheckpoint>> {
        let free = |checkpoint: &Arc<CompletedCheckpoint>| oldest_base.is_none_or(|base| checkpoint.id < base);
        let (garbage, kept) = std::mem::take(&mut self.replaced).into_iter().partition(free);
        self.replaced = kept;
        garbage
    }

    /// Files that must stay, whatever else goes.
    pub fn referenced(&self) -> HashSet<String> {
        let kept = self.retained.iter().chain(&self.replaced);
        kept.flat_map(|checkpoint| all_files(&checkpoint.metadata)).chain(self.foreign.iter().cloned()).collect()
    }

    /// The numbers of all that are not to be deleted yet.
    pub fn ids(&self) -> impl Iterator<Item = u64> {
        self.retained.iter().chain(&self.replaced).map(|checkpoint| checkpoint.id)
    }
}

/// Of a checkpoint with one task, which has these files of keyed state.
#[cfg(test)]
pub(super) fn metadata_with_files(id: u64, files: &[&str], shared: bool) -> proto::CheckpointMetadata {
    let file = |path: &&str| proto::KeyedStateFile {
        shared,
        file: Some(proto::StateFile { path: (*path).into(), ..Default::default() }),
        ..Default::default()
    };
    let keyed = proto::KeyedStateHandle { files: files.iter().map(file).collect(), ..Default::default() };
    let operator = proto::OperatorSubtaskState { keyed: vec![keyed], ..Default::default() };
    let state = proto::TaskState { operators: vec![operator], ..Default::default() };
    let vertex = proto::VertexState { subtasks: vec![state], ..Default::default() };
    proto::CheckpointMetadata { checkpoint_id: id, vertices: vec![vertex], ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(id: u64, owner: Owner, files: &[&str]) -> Arc<CompletedCheckpoint> {
        let metadata = Arc::new(metadata_with_files(id, files, true));
        Arc::new(CompletedCheckpoint { owner, ..CompletedCheckpoint::of_job(metadata, String::new()) })
    }

    fn ids(checkpoints: &[Arc<CompletedCheckpoint>]) -> Vec<u64> {
        checkpoints.iter().map(|checkpoint| checkpoint.id).collect()
    }

    fn set(files: &[&str]) -> HashSet<String> {
        files.iter().map(|file| (*file).to_owned()).collect()
    }

    #[test]
    fn a_replaced_checkpoint_waits_for_those_that_may_refer_to_it() {
        let mut store = CompletedStore::new(1);
        store.add(checkpoint(1, Owner::Job, &["a", "b"]));
        assert!(store.take_garbage(None).is_empty());
        store.add(checkpoint(2, Owner::Job, &["b", "c"]));
        assert!(store.take_garbage(Some(1)).is_empty());
        assert_eq!(store.referenced(), set(&["a", "b", "c"]));
        store.add(checkpoint(3, Owner::Job, &[]));
        assert_eq!(ids(&store.take_garbage(Some(2))), [1]);
        assert_eq!(ids(&store.take_garbage(None)), [2]);
        assert_eq!(store.referenced(), set(&[]));
    }

    #[test]
    fn a_checkpoint_of_another_owner_is_never_garbage() {
        let mut store = CompletedStore::new(1);
        store.add(checkpoint(1, Owner::Other, &["s"]));
        store.add(checkpoint(2, Owner::Claimed, &["t"]));
        store.clear();
        assert_eq!(ids(&store.take_garbage(None)), [2]);
        assert_eq!(store.referenced(), set(&["s"]));
    }
}
