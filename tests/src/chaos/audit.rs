//! What must hold when all jobs have ended: the store has what complete checkpoints and savepoints refer to and nothing else.
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wiesel_proto as proto;
use wiesel_state::storage::METADATA;
use wiesel_state::storage::metadata::decode;

use super::store::{Place, Store};
use crate::{Cluster, eventually};

/// Checkpoints are deleted in the background: how long that may take.
const CLEANING: Duration = Duration::from_secs(60);

/// Waits until the store is as it must be. Panics with what is too much and what is missing; says what there is.
pub fn store(store: &Store) -> String {
    eventually("the store has what complete checkpoints refer to and nothing else", CLEANING, || {
        let mut audit = Audit::default();
        for place in [store.checkpoints(), store.savepoints()] {
            audit.walk(&place);
        }
        if let Some(uploads) = store.unfinished_uploads() {
            audit.unfinished(&uploads);
        }
        audit.verdict()
    })
}

/// Panics if a process has logged more in a minute than it may; says what the most is. Fault points log each pass: these
/// lines do not count.
pub fn logs(cluster: &Cluster, time: Duration, per_minute: f64) -> String {
    let volume = |text: &str| text.lines().filter(|line| !line.contains("fault point")).map(str::len).sum::<usize>();
    let minutes = time.as_secs_f64() / 60.0;
    let logs = cluster.log_files().into_iter().map(|(path, text)| (volume(&text) as f64 / minutes, path));
    let most = logs.max_by(|a, b| a.0.total_cmp(&b.0));
    let (rate, path) = most.expect("each process has a log");
    assert!(rate < per_minute, "{} grew by {:.1} MB a minute", path.display(), rate / 1e6);
    format!("{:.2} MB a minute are the most that a process has logged", rate / 1e6)
}

#[derive(Default)]
struct Audit {
    /// Files that are there, by their URIs.
    found: BTreeSet<String>,
    bytes: u64,
    /// What a complete checkpoint or savepoint consists of.
    referenced: BTreeSet<String>,
    complete: usize,
    /// Folders that hold nothing, uploads that were left.
    left: Vec<String>,
}

impl Audit {
    fn walk(&mut self, place: &Place) {
        let Ok(entries) = fs::read_dir(&place.path) else { return };
        let mut empty = true;
        for entry in entries.flatten() {
            empty = false;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = place.join(&name);
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => self.walk(&inside),
                false => self.file(&name, &inside, place),
            }
        }
        // Of a job whose last checkpoint became another job's the first two may stay; the last is not a job's, but the folder
        // that the cluster was configured with, and empty where the jobs that ended have left none.
        let may_be_empty = ["/shared", "/taskowned", "/checkpoints"].iter().any(|name| place.uri.ends_with(name));
        if empty && !may_be_empty {
            self.left.push(format!("{} (empty)", place.uri));
        }
    }

    fn file(&mut self, name: &str, file: &Place, folder: &Place) {
        if name == ".keep" {
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
                self.referenced.insert(file.uri.clone());
                self.referenced.extend(files(&metadata).map(normal));
            }
            Err(error) => self.left.push(format!("{}: {error}", file.uri)),
        }
    }

    fn unfinished(&mut self, uploads: &Path) {
        let folders = fs::read_dir(uploads).into_iter().flatten().flatten();
        let uploads = folders.flat_map(|folder| fs::read_dir(folder.path()).into_iter().flatten().flatten());
        self.left.extend(uploads.map(|upload| format!("unfinished upload {}", upload.path().display())));
    }

    fn verdict(&self) -> Result<String, String> {
        let missing: Vec<_> = self.referenced.difference(&self.found).collect();
        let orphans: Vec<_> = self.found.difference(&self.referenced).collect();
        if missing.is_empty() && orphans.is_empty() && self.left.is_empty() {
            let (files, complete) = (self.found.len(), self.complete);
            return Ok(format!("{files} files, {} KiB, all of {complete} complete checkpoints", self.bytes / 1024));
        }
        let some = |all: &[&String]| all.iter().take(8).map(|uri| format!("\n    {uri}")).collect::<String>();
        let left: Vec<_> = self.left.iter().collect();
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

/// The files that a checkpoint refers to.
fn files(metadata: &proto::CheckpointMetadata) -> impl Iterator<Item = &str> {
    let tasks = metadata.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let files = tasks.flat_map(|task| {
        let keyed = task.operators.iter().flat_map(|operator| &operator.keyed).flat_map(|handle| &handle.files);
        let keyed = keyed.filter_map(|file| file.file.as_ref());
        keyed.chain(task.channels.iter().filter_map(|channel| channel.file.as_ref()))
    });
    files.map(|file| file.path.as_str()).filter(|path| !path.is_empty())
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
    use wiesel_state::storage::metadata::encode;

    use super::*;

    fn audit(root: &Path) -> Result<String, String> {
        let mut audit = Audit::default();
        audit.walk(&Place { uri: format!("file://{}", root.display()), path: root.to_owned() });
        audit.verdict()
    }

    #[test]
    fn what_is_too_much_and_what_is_missing_shows() {
        let folder = tempfile::tempdir().unwrap();
        let (checkpoint, shared) = (folder.path().join("job/chk-7"), folder.path().join("job/shared"));
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
        assert!(audit(folder.path()).unwrap_err().contains("2 files that none refers to"));
        fs::write(checkpoint.join(METADATA), encode(&metadata, &uri(&checkpoint))).unwrap();
        assert!(audit(folder.path()).unwrap().starts_with("3 files"));
        fs::create_dir(folder.path().join("checkpoints")).unwrap();
        assert!(audit(folder.path()).unwrap().starts_with("3 files"), "the folder of all jobs may be empty");
        fs::create_dir(folder.path().join("job/chk-8")).unwrap();
        assert!(audit(folder.path()).unwrap_err().contains("chk-8 (empty)"));
        fs::remove_dir(folder.path().join("job/chk-8")).unwrap();
        fs::remove_file(shared.join("common")).unwrap();
        assert!(audit(folder.path()).unwrap_err().contains("1 files that one refers to are missing"));
    }
}
