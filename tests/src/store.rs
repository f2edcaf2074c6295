//! What a folder of checkpoints holds, and what it must: what complete checkpoints and savepoints refer to and nothing else.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use wiesel_state::storage::metadata::decode;
use wiesel_state::storage::{METADATA, all_files};

/// A folder of a store, seen from both sides.
#[derive(Clone, Debug)]
pub struct Place {
    /// As the configuration names it.
    pub uri: String,
    /// Where its files are on this machine. The S3 server keeps an object as a file.
    pub path: PathBuf,
}

impl Place {
    /// A folder of this machine.
    pub fn local(path: &Path) -> Self {
        Self { uri: format!("file://{}", path.display()), path: path.to_owned() }
    }

    /// A folder or file in it.
    pub fn join(&self, name: &str) -> Self {
        Self { uri: format!("{}/{name}", self.uri), path: self.path.join(name) }
    }
}

/// What was found in the folders that a cluster was configured with.
#[derive(Debug, Default)]
pub struct Audit {
    /// Files that are there, by their URIs.
    found: BTreeSet<String>,
    bytes: u64,
    /// What a complete checkpoint or savepoint consists of.
    referenced: BTreeSet<String>,
    complete: usize,
    /// Folders that complete checkpoints are in: those of their jobs.
    jobs: BTreeSet<String>,
    /// Folders of jobs whose checkpoint another job was to claim.
    claimed: BTreeSet<String>,
    /// Folders that hold nothing.
    empty: Vec<Place>,
    /// Uploads that were left, checkpoints that cannot be read.
    left: Vec<String>,
}

impl Audit {
    /// Looks at everything below folders that the cluster was configured with, and at where an S3 server keeps the parts of
    /// uploads that were neither completed nor aborted.
    pub fn of(roots: &[Place], uploads: Option<&Path>) -> Self {
        let mut audit = Self::default();
        for root in roots {
            // A root is no job's: it is empty where the jobs that ended have left nothing.
            audit.walk(root);
        }
        if let Some(uploads) = uploads {
            audit.unfinished(uploads);
        }
        audit
    }

    /// Of these jobs' folders, named by their URIs, a checkpoint became another job's: when that one deletes it, folders of the
    /// first may stay.
    pub fn with_claimed(mut self, folders: &[String]) -> Self {
        self.claimed.extend(folders.iter().cloned());
        self
    }

    /// How many checkpoints and savepoints are complete.
    pub fn complete(&self) -> usize {
        self.complete
    }

    /// Whether there is nothing in a folder.
    fn walk(&mut self, place: &Place) -> bool {
        let Ok(entries) = fs::read_dir(&place.path) else { return false };
        let mut empty = true;
        for entry in entries.flatten() {
            empty = false;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = place.join(&name);
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.file(&name, &inside, place);
            } else if self.walk(&inside) {
                self.empty.push(inside);
            }
        }
        empty
    }

    fn file(&mut self, name: &str, file: &Place, folder: &Place) {
        if name == ".keep" || name.starts_with(".claimed-") {
            return;
        }
        self.bytes += fs::metadata(&file.path).map_or(0, |metadata| metadata.len());
        self.found.insert(file.uri.clone());
        if name != METADATA {
            return;
        }
        // Gone again: the next look will not find it.
        let Ok(bytes) = fs::read(&file.path) else { return };
        match decode(&Bytes::from(bytes), &file.uri, &folder.uri) {
            Ok(metadata) => {
                self.complete += 1;
                self.jobs.extend(folder.uri.rsplit_once('/').map(|(job, _)| job.to_owned()));
                self.referenced.insert(file.uri.clone());
                self.referenced.extend(all_files(&metadata).iter().map(|uri| normal(uri)));
            }
            Err(error) => self.left.push(format!("{}: {error}", file.uri)),
        }
    }

    fn unfinished(&mut self, uploads: &Path) {
        let folders = fs::read_dir(uploads).into_iter().flatten().flatten();
        let uploads = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        self.left.extend(uploads.map(|upload| format!("unfinished upload {}", upload.path().display())));
    }

    /// Whether an empty folder is one that a job has as long as it has checkpoints.
    fn may_be_empty(&self, folder: &Place) -> bool {
        folder.uri.rsplit_once('/').is_some_and(|(job, name)| {
            matches!(name, "shared" | "taskowned") && (self.jobs.contains(job) || self.claimed.contains(job))
        })
    }

    /// What there is, or what is too much and what is missing.
    pub fn verdict(&self) -> Result<String, String> {
        let missing: Vec<_> = self.referenced.difference(&self.found).collect();
        let orphans: Vec<_> = self.found.difference(&self.referenced).collect();
        let empty = self.empty.iter().filter(|folder| !self.may_be_empty(folder));
        let empty: Vec<String> = empty.map(|folder| format!("{} (empty)", folder.uri)).collect();
        let left: Vec<_> = self.left.iter().chain(&empty).collect();
        if missing.is_empty() && orphans.is_empty() && left.is_empty() {
            let (files, complete) = (self.found.len(), self.complete);
            return Ok(format!("{files} files, {} KiB, all of {complete} complete checkpoints", self.bytes / 1024));
        }
        let some = |all: &[&String]| all.iter().take(8).map(|uri| format!("\n    {uri}")).collect::<String>();
        Err(format!(
            "{} complete checkpoints\n  {} files that one refers to are missing{}\n  {} files that none refers to{}\n  {} \
             folders or uploads that were left{}",
            self.complete,
            missing.len(),
            some(&missing),
            orphans.len(),
            some(&orphans),
            left.len(),
            some(&left)
        ))
    }
}

/// Local files have one, two or three slashes behind their scheme.
fn normal(uri: &str) -> String {
    match uri.strip_prefix("file:") {
        Some(path) => format!("file:///{}", path.trim_start_matches('/')),
        None => uri.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use wiesel_proto as proto;
    use wiesel_state::storage::metadata::encode;

    use super::*;

    fn audit(root: &Path) -> Result<String, String> {
        Audit::of(&[Place::local(root)], None).verdict()
    }

    /// Removes a folder that an audit names, and fails if it does not.
    fn is_named(root: &Path, folder: &str) {
        assert!(audit(root).unwrap_err().contains(&format!("/{folder} (empty)")), "{folder}");
        fs::remove_dir(root.join(folder)).unwrap();
    }

    #[test]
    fn what_is_too_much_and_what_is_missing_shows() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        assert!(audit(root).unwrap().starts_with("0 files"), "the folder of all jobs may be empty");
        let (checkpoint, shared) = (root.join("job/chk-7"), root.join("job/shared"));
        fs::create_dir_all(&checkpoint).unwrap();
        fs::create_dir_all(&shared).unwrap();
        let uri = |path: &Path| format!("file:{}", path.display());
        let file = |path: &Path, shared: bool| {
            let file = proto::StateFile { path: uri(path), size: 1, ..Default::default() };
            proto::KeyedStateFile { shared, file: Some(file), ..Default::default() }
        };
        let files = vec![file(&checkpoint.join("own"), false), file(&shared.join("common"), true)];
        let keyed = vec![proto::KeyedStateHandle { files, ..Default::default() }];
        let operators = vec![proto::OperatorSubtaskState { keyed, ..Default::default() }];
        let subtasks = vec![proto::TaskState { operators, ..Default::default() }];
        let vertices = vec![proto::VertexState { subtasks, ..Default::default() }];
        let metadata = proto::CheckpointMetadata { vertices, ..Default::default() };
        for file in [checkpoint.join("own"), shared.join("common")] {
            fs::write(file, "x").unwrap();
        }
        assert!(audit(root).unwrap_err().contains("2 files that none refers to"));
        fs::write(checkpoint.join(METADATA), encode(&metadata, &uri(&checkpoint))).unwrap();
        assert!(audit(root).unwrap().starts_with("3 files"));
        fs::create_dir(root.join("job/chk-8")).unwrap();
        is_named(root, "job/chk-8");
        fs::remove_file(shared.join("common")).unwrap();
        assert!(audit(root).unwrap_err().contains("1 files that one refers to are missing"));
    }

    /// Before, such a folder might be empty anywhere.
    #[test]
    fn folders_of_a_job_are_empty_only_beside_a_complete_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["with/chk-1", "with/shared", "with/taskowned", "without/shared", "without/taskowned"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        let checkpoint = Place::local(root).join("with").join("chk-1");
        let metadata = encode(&proto::CheckpointMetadata::default(), &checkpoint.uri);
        fs::write(checkpoint.path.join(METADATA), metadata).unwrap();
        let claimed = [Place::local(root).join("without").uri];
        let claiming = Audit::of(&[Place::local(root)], None).with_claimed(&claimed);
        assert!(claiming.verdict().unwrap().starts_with("1 files"));
        is_named(root, "without/shared");
        is_named(root, "without/taskowned");
        is_named(root, "without");
        assert!(audit(root).unwrap().starts_with("1 files"));
    }
}
