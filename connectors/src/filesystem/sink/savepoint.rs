//! Keeps what savepoints name.
//!
//! A restart goes back to a checkpoint, and removes the files that it does not name. A savepoint may name such files, and a job
//! may be started from it at any time: without them it would take them for committed, and their rows would be lost. So before
//! a subtask acknowledges a savepoint it writes a guard, a hidden file in the table's folder with the savepoint's number
//! ([`names::guard_of`]). While it is there, no other attempt removes hidden files of that attempt of that subtask.
//!
//! The attempt itself removes its guard when all that its last savepoint names has its final name. Where it comes to its end
//! before, the guard and the files stay, as in Flink, until a job that started from that very savepoint has taken them over and
//! has a complete checkpoint of its own.
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use wiesel_operators::operator::Result;

use super::state::{FileKey, FileState};
use super::table_folder::{SmallFile, TableFolder};
use super::{exists, names, state};

/// The guard of this attempt's files.
pub(super) struct Guard {
    file: SmallFile,
    /// The savepoints that it was written for and that have not failed, the last one last.
    savepoints: Vec<u64>,
    /// What the last savepoint names and what has not got its name yet. Earlier ones name nothing else that has not: what
    /// waits or takes rows is in each snapshot.
    named: HashSet<FileKey>,
}

impl Guard {
    /// Makes the guard of a savepoint that names these files durable, in place of that of earlier ones.
    pub(super) fn write(
        earlier: Option<Self>,
        folder: &TableFolder,
        name: &str,
        savepoint: u64,
        files: &[FileState],
    ) -> Result<Self> {
        let file = folder.file(name)?;
        file.write_durably(&content(savepoint))?;
        let mut savepoints = earlier.map(|earlier| earlier.savepoints).unwrap_or_default();
        savepoints.push(savepoint);
        Ok(Self { file, savepoints, named: files.iter().map(state::key).collect() })
    }

    /// A savepoint failed: no job starts from it. None: there is no other one that needs the guard.
    pub(super) fn failed(mut self, savepoint: u64) -> Result<Option<Self>> {
        let was_last = self.savepoints.last() == Some(&savepoint);
        self.savepoints.retain(|known| *known != savepoint);
        match self.savepoints.last() {
            Some(last) => {
                if was_last {
                    self.file.write_durably(&content(*last))?;
                }
                Ok(Some(self))
            }
            None => {
                self.remove();
                Ok(None)
            }
        }
    }

    /// This file has its final name.
    pub(super) fn committed(&mut self, key: &FileKey) {
        self.named.remove(key);
    }

    /// Whether everything has.
    pub(super) fn is_over(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn remove(self) {
        self.file.remove();
    }
}

/// The longest guard, in bytes: a number in decimal digits.
const MAX_GUARD: u64 = 100;

/// The savepoint that the guard was written for last.
fn content(savepoint: u64) -> Vec<u8> {
    savepoint.to_string().into_bytes()
}

/// Whether there is a guard, and the last savepoint that it was written for is this one.
pub(super) fn is_guard_of(guard: &SmallFile, savepoint: u64) -> Result<bool> {
    Ok(guard.read(MAX_GUARD)?.is_some_and(|found| found == content(savepoint)))
}

/// Where the guard is that keeps a hidden file, if there is one. `levels`: how many folders of partitions the file is in.
pub(super) fn guard_path(hidden: &Path, levels: usize) -> Option<PathBuf> {
    let guard = names::guard_of(hidden.file_name()?.to_str()?)?;
    Some(hidden.ancestors().nth(levels + 1)?.join(guard))
}

/// The same of a file in a store.
pub(super) fn guard_uri(uri: &str, levels: usize) -> Option<String> {
    let guard = names::guard_of_owner(names::object_owner(uri.rsplit_once('/')?.1)?)?;
    let folder = (0..=levels).try_fold(uri, |path, _| path.rsplit_once('/').map(|(above, _)| above))?;
    Some(format!("{folder}/{guard}"))
}

/// Which hidden files of others are to be left alone. Looks once for each attempt of each subtask.
pub(super) struct Guards {
    levels: usize,
    known: HashMap<PathBuf, bool>,
}

impl Guards {
    pub(super) fn new(levels: usize) -> Self {
        Self { levels, known: HashMap::new() }
    }

    /// Whether a savepoint may name that file.
    pub(super) fn keep(&mut self, hidden: &Path) -> Result<bool> {
        let Some(guard) = guard_path(hidden, self.levels) else { return Ok(false) };
        match self.known.entry(guard) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(unknown) => {
                let kept = exists(unknown.key())?;
                Ok(*unknown.insert(kept))
            }
        }
    }
}
