//! Local recovery: the files of the last checkpoint stay on local disk, and a restore takes them from there instead of
//! fetching them. A file of a checkpoint has a name of its own for ever, so what was kept under that name is that file.
use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use wiesel_proto as proto;

use super::TemporaryFolder;

/// Checkpoints of one instance that are kept until one of them is known to be complete.
const MAX_COPIES: usize = 4;

/// What is kept of a job in this TaskManager.
#[derive(Default)]
pub(crate) struct LocalCopies {
    /// By what an instance is: its operator and key groups.
    copies: Mutex<HashMap<String, Vec<LocalCopy>>>,
}

struct LocalCopy {
    checkpoint_id: u64,
    folder: TemporaryFolder,
    /// By URI: the name in the folder.
    files: HashMap<String, String>,
}

impl LocalCopies {
    /// Keeps the files of a checkpoint that was uploaded: what is in `from` is moved.
    pub(super) fn keep(&self, instance: &str, checkpoint_id: u64, from: &Path, handle: &proto::KeyedStateHandle) {
        // Beside the instance's folder, on the same disk: the instance goes, this stays.
        let Some(folder) = from.parent().and_then(Path::parent) else { return };
        let folder = folder.join(format!("copy-{}", wiesel_common::random::uuid().simple()));
        if let Err(error) = std::fs::rename(from, &folder) {
            tracing::warn!(%error, folder = %folder.display(), "the local copy of a checkpoint could not be kept");
            return;
        }
        let files = handle.files.iter().filter(|named| !named.kept_back);
        let files = files.filter_map(|named| Some((named.file.as_ref()?.path.clone(), named.name.clone())));
        let files = files.filter(|(uri, _)| !uri.is_empty()).collect();
        let mut copies = self.copies.lock();
        let kept = copies.entry(instance.to_owned()).or_default();
        kept.push(LocalCopy { checkpoint_id, folder: TemporaryFolder(folder), files });
        if kept.len() > MAX_COPIES {
            kept.remove(0);
        }
    }

    /// A checkpoint is complete: older ones are not needed any more.
    pub(super) fn completed(&self, instance: &str, checkpoint_id: u64) {
        if let Some(kept) = self.copies.lock().get_mut(instance)
            && kept.iter().any(|copy| copy.checkpoint_id == checkpoint_id)
        {
            kept.retain(|copy| copy.checkpoint_id >= checkpoint_id);
        }
    }

    /// A checkpoint will never be complete.
    pub(super) fn aborted(&self, instance: &str, checkpoint_id: u64) {
        if let Some(kept) = self.copies.lock().get_mut(instance) {
            kept.retain(|copy| copy.checkpoint_id != checkpoint_id);
        }
    }

    fn find(&self, uri: &str) -> Option<PathBuf> {
        let copies = self.copies.lock();
        copies.values().flatten().find_map(|copy| Some(copy.folder.0.join(copy.files.get(uri)?)))
    }

    /// Puts a file in its place if there is a copy of it; says whether.
    pub(super) fn fetch(&self, file: &proto::StateFile, to: &Path) -> bool {
        let Some(from) = self.find(&file.path) else { return false };
        if std::fs::metadata(&from).map(|metadata| metadata.len()).ok() != Some(file.size) {
            return false;
        }
        // Sorted tables never change: a link will do. Others are written to.
        let linked =
            to.extension().is_some_and(|extension| extension == "sst") && std::fs::hard_link(&from, to).is_ok();
        linked || std::fs::copy(&from, to).is_ok()
    }
}
