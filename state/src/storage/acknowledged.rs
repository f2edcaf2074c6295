//! What a task may hand over: files that it wrote for this run of the job, or that the run started from. Whatever a complete
//! checkpoint names is deleted with it, so nobody may put somebody else's file into one.
use wiesel_proto as proto;

use super::claim::Places;
use super::metadata::visit_task_files;
use super::{CheckpointStorage, SHARED, checkpoint_name, names};
use crate::error::{Error, Result};

impl CheckpointStorage {
    /// Checks the files in the state that a task acknowledges. `restored`: whether the run started from a checkpoint that names
    /// a file.
    ///
    /// # Errors
    /// The first file that is neither where this run puts its files nor one that it started from.
    pub fn check_acknowledged(
        &self,
        barrier: &proto::CheckpointBarrier,
        state: &proto::TaskState,
        restored: impl Fn(&str) -> bool,
    ) -> Result<()> {
        let savepoint = barrier.kind() == proto::SnapshotKind::Savepoint;
        let folder = if savepoint { Some(self.resolve(&barrier.target)?) } else { self.inner.folder.clone() };
        let folder = folder.map(|folder| folder.without_entropy());
        let entropy = Places::entropy(&self.inner.configuration)?;
        let is_own = |path: &str| {
            let (Some(folder), Some(owner)) = (&folder, names::owner(path.rsplit('/').next().unwrap_or_default()))
            else {
                return false;
            };
            if owner.run != barrier.run || owner.checkpoint > barrier.checkpoint_id {
                return false;
            }
            let private = if savepoint { folder.clone() } else { folder.join(&checkpoint_name(owner.checkpoint)) };
            let shared = (!savepoint).then(|| folder.join(SHARED));
            let places = Places::new(&private, shared.as_ref(), entropy);
            places.contain(path, false) || places.contain(path, true)
        };
        let mut foreign = None;
        visit_task_files(state, &mut |file, _| {
            if foreign.is_none() && !file.path.is_empty() && !is_own(&file.path) && !restored(&file.path) {
                foreign = Some(file.path.clone());
            }
        });
        match foreign {
            None => Ok(()),
            Some(path) => Err(Error::Corrupt(format!(
                "the state of a task names the file {path}, which was not written for this run of the job"
            ))),
        }
    }
}
