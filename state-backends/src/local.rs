//! Folders of this process on local disk, and what dead processes have left.
//!
//! A process owns `wiesel-state-<random>` in each configured folder, together with a lock file beside it that it holds as
//! long as it lives. What has a lock file that nobody holds is deleted at the next start.
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use wiesel_state::{Error, Result};

const PREFIX: &str = "wiesel-state-";
const LOCK: &str = ".lock";

/// The folders that RocksDB instances and local copies live in.
pub(crate) struct LocalFolders {
    parents: Vec<PathBuf>,
    next: AtomicUsize,
    /// Made when first needed; as many as there are parents.
    own: Mutex<Vec<Option<OwnFolder>>>,
}

struct OwnFolder {
    path: PathBuf,
    lock: PathBuf,
    /// Held until this process ends.
    _held: File,
}

impl LocalFolders {
    /// Folders below these; sweeps what dead processes have left there. Makes nothing yet.
    pub(crate) fn new(parents: Vec<PathBuf>) -> Self {
        parents.iter().for_each(|parent| sweep(parent));
        let own = parents.iter().map(|_| None).collect();
        Self { parents, next: AtomicUsize::new(0), own: Mutex::new(own) }
    }

    /// Makes a folder of that name in one of the folders in turn.
    pub(crate) fn create(&self, name: &str) -> Result<PathBuf> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.parents.len().max(1);
        let mut own = self.own.lock();
        let Some((slot, parent)) = own.get_mut(turn).zip(self.parents.get(turn)) else {
            return Err(Error::Backend("no folder for local state is configured".to_owned()));
        };
        let failed = |error| {
            Error::storage(format!("local state cannot be kept in {} ('io.tmp.dirs')", parent.display()), error)
        };
        if slot.is_none() {
            *slot = Some(OwnFolder::create(parent).map_err(failed)?);
        }
        let path = slot.as_ref().map(|own| own.path.join(name)).unwrap_or_default();
        fs::create_dir_all(&path).map_err(failed)?;
        Ok(path)
    }
}

impl OwnFolder {
    fn create(parent: &Path) -> io::Result<Self> {
        fs::create_dir_all(parent)?;
        let name = format!("{PREFIX}{}", wiesel_common::random::uuid().simple());
        // Held before it has the name by which others find it.
        let hidden = parent.join(format!(".{name}"));
        let held = File::create_new(&hidden)?;
        held.lock()?;
        let lock = parent.join(format!("{name}{LOCK}"));
        fs::rename(&hidden, &lock)?;
        let path = parent.join(name);
        fs::create_dir(&path)?;
        Ok(Self { path, lock, _held: held })
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        remove(&self.path);
        remove_file(&self.lock);
    }
}

/// Deletes what belongs to nobody. Failures are logged: they cost disk space, nothing else.
fn sweep(parent: &Path) {
    let names = fs::read_dir(parent).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    for name in names.filter_map(|name| name.strip_suffix(LOCK).map(str::to_owned)) {
        if !name.starts_with(PREFIX) {
            continue;
        }
        let lock = parent.join(format!("{name}{LOCK}"));
        let Ok(file) = File::open(&lock) else { continue };
        match file.try_lock() {
            Ok(()) => {
                remove(&parent.join(&name));
                remove_file(&lock);
                tracing::info!(folder = %parent.join(&name).display(), "local state of a dead process deleted");
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, file = %lock.display(), "cannot tell whether local state is in use");
            }
        }
    }
}

/// Deletes a folder, if it is there.
pub(crate) fn remove(path: &Path) {
    if let Err(error) = fs::remove_dir_all(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, folder = %path.display(), "local state could not be deleted");
    }
}

fn remove_file(path: &Path) {
    if let Err(error) = fs::remove_file(path)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, file = %path.display(), "local state could not be deleted");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn folders_live_as_long_as_their_process() {
        let parent = tempfile::tempdir().unwrap();
        fs::create_dir(parent.path().join("someone else's")).unwrap();
        let folders = LocalFolders::new(vec![parent.path().to_owned()]);
        assert_eq!(names(parent.path()).len(), 1);
        let one = folders.create("a").unwrap();
        assert!(one.is_dir());
        // Another process that starts leaves it alone.
        LocalFolders::new(vec![parent.path().to_owned()]);
        assert!(one.is_dir());
        drop(folders);
        assert_eq!(names(parent.path()), ["someone else's"]);
    }

    #[test]
    fn what_a_dead_process_left_goes() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("wiesel-state-0");
        fs::create_dir_all(left.join("db")).unwrap();
        fs::write(left.join("db/000001.sst"), "x").unwrap();
        fs::write(parent.path().join("wiesel-state-0.lock"), "").unwrap();
        LocalFolders::new(vec![parent.path().to_owned()]);
        assert!(names(parent.path()).is_empty());
    }
}
