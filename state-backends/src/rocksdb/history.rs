//! Which files of an instance are in `shared/`, and which of them the next checkpoint may refer to.
//!
//! A checkpoint may refer to a file that an earlier one uploaded only if the file is still there when it completes: if the
//! last checkpoint that completes before it refers to it too. That may be the last one known to be complete or any taken
//! since, of which nothing is heard yet. So a file is referred to if the last complete checkpoint had it and each one taken
//! since refers to the same upload; otherwise it is uploaded anew, under another name.
use std::collections::{BTreeMap, HashMap};

use wiesel_proto as proto;

/// Checkpoints of which nothing is heard; with more of them everything is uploaded anew.
const MAX_PENDING: usize = 64;

#[derive(Default)]
pub(super) struct History {
    /// By name of the database file.
    confirmed: HashMap<String, proto::StateFile>,
    pending: BTreeMap<u64, HashMap<String, Upload>>,
}

enum Upload {
    Reused(proto::StateFile),
    UnderWay,
    Done(proto::StateFile),
}

impl History {
    /// The files of the checkpoint that the instance was restored from.
    pub(super) fn restored(files: HashMap<String, proto::StateFile>) -> Self {
        Self { confirmed: files, pending: BTreeMap::new() }
    }

    /// A checkpoint is taken of these files: which of them are uploaded already. `reuse`: whether it may refer to any.
    pub(super) fn begin(
        &mut self,
        checkpoint_id: u64,
        names: &[String],
        reuse: bool,
    ) -> HashMap<String, proto::StateFile> {
        if self.pending.len() >= MAX_PENDING {
            self.pending.clear();
            self.confirmed.clear();
        }
        let reusable: HashMap<String, proto::StateFile> = names
            .iter()
            .filter_map(|name| Some((name.clone(), self.confirmed.get(name).filter(|_| reuse)?.clone())))
            .filter(|(name, file)| self.pending.values().all(|uploads| refers(uploads.get(name), file)))
            .collect();
        let uploads = names.iter().map(|name| {
            let upload = reusable.get(name).map_or(Upload::UnderWay, |file| Upload::Reused(file.clone()));
            (name.clone(), upload)
        });
        self.pending.insert(checkpoint_id, uploads.collect());
        reusable
    }

    /// A file was uploaded for a checkpoint.
    pub(super) fn uploaded(&mut self, checkpoint_id: u64, name: &str, file: &proto::StateFile) {
        if let Some(upload) = self.pending.get_mut(&checkpoint_id).and_then(|uploads| uploads.get_mut(name)) {
            *upload = Upload::Done(file.clone());
        }
    }

    /// A checkpoint was none: no later one may refer to its files, and it never becomes the last complete one.
    pub(super) fn forget(&mut self, checkpoint_id: u64) {
        self.pending.remove(&checkpoint_id);
    }

    /// A checkpoint is complete.
    pub(super) fn completed(&mut self, checkpoint_id: u64) {
        let Some(uploads) = self.pending.remove(&checkpoint_id) else { return };
        let file = |(name, upload)| match upload {
            Upload::Reused(file) | Upload::Done(file) => Some((name, file)),
            Upload::UnderWay => None,
        };
        self.confirmed = uploads.into_iter().filter_map(file).collect();
        self.pending = self.pending.split_off(&checkpoint_id);
    }
}

fn refers(upload: Option<&Upload>, file: &proto::StateFile) -> bool {
    // What is inline is in no file that could go.
    file.path.is_empty() || matches!(upload, Some(Upload::Reused(reused)) if reused.path == file.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> proto::StateFile {
        proto::StateFile { path: path.into(), ..Default::default() }
    }

    /// Takes a checkpoint of `a` and uploads it if need be; says what it refers to.
    fn checkpoint(history: &mut History, id: u64, reuse: bool) -> String {
        let reusable = history.begin(id, &["a".to_owned()], reuse);
        match reusable.get("a") {
            Some(file) => file.path.clone(),
            None => {
                history.uploaded(id, "a", &file(&format!("a{id}")));
                format!("a{id}")
            }
        }
    }

    #[test]
    fn a_file_is_uploaded_once() {
        let mut history = History::default();
        assert_eq!(checkpoint(&mut history, 1, true), "a1");
        history.completed(1);
        assert_eq!(checkpoint(&mut history, 2, true), "a1");
        assert_eq!(checkpoint(&mut history, 3, true), "a1");
        history.completed(2);
        history.completed(3);
        assert_eq!(checkpoint(&mut history, 4, true), "a1");
    }

    #[test]
    fn what_only_an_aborted_checkpoint_had_is_uploaded_again() {
        let mut history = History::default();
        assert_eq!(checkpoint(&mut history, 1, true), "a1");
        history.forget(1);
        assert_eq!(checkpoint(&mut history, 2, true), "a2");
    }

    #[test]
    fn nothing_is_taken_from_a_checkpoint_that_may_be_gone() {
        let mut history = History::default();
        checkpoint(&mut history, 1, true);
        // Nothing is heard of 1: 2 uploads anew, and completes after 1. Then a1 is deleted.
        assert_eq!(checkpoint(&mut history, 2, true), "a2");
        history.completed(1);
        // Nothing is heard of 2 yet: a1 may be gone.
        assert_eq!(checkpoint(&mut history, 3, true), "a3");
        history.completed(2);
        assert_eq!(checkpoint(&mut history, 4, true), "a4");
        history.completed(4);
        assert_eq!(checkpoint(&mut history, 5, true), "a4");
    }

    #[test]
    fn a_full_checkpoint_refers_to_nothing_before_it() {
        let mut history = History::restored(HashMap::from([("a".to_owned(), file("a0"))]));
        assert_eq!(checkpoint(&mut history, 1, false), "a1");
        // 1 may have completed, and with it what was restored may be gone.
        assert_eq!(checkpoint(&mut history, 2, true), "a2");
        history.forget(1);
        history.forget(2);
        assert_eq!(checkpoint(&mut history, 3, true), "a0");
    }

    #[test]
    fn silence_is_bounded() {
        let mut history = History::default();
        (0..1_000).for_each(|id| _ = checkpoint(&mut history, id, true));
        assert!(history.pending.len() <= MAX_PENDING);
    }
}
