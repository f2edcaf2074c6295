//! Files in `shared/`, as an incremental back end keeps them: a checkpoint adds one, and refers to the last few of the complete
//! checkpoint that it builds on.
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;
use wiesel_proto as proto;

/// The most files of earlier checkpoints that one refers to.
const MOST: usize = 3;

#[derive(Default)]
struct State {
    /// What each checkpoint refers to.
    files: BTreeMap<u64, Vec<proto::StateFile>>,
    /// The latest checkpoint that is known to be complete.
    completed: u64,
}

/// See the module. Clones are the same.
#[derive(Clone)]
pub(crate) struct Increments {
    /// The task's key groups.
    groups: Range<u32>,
    state: Arc<Mutex<State>>,
}

impl Increments {
    /// Of a task with these key groups that starts from this.
    pub(crate) fn new(groups: Range<u32>, restore: &proto::TaskRestore) -> Self {
        let mut state = State { completed: restore.checkpoint_id, ..State::default() };
        let operators = restore.state.iter().flat_map(|task| &task.operators);
        let handles: Vec<_> = operators.flat_map(|operator| &operator.keyed).collect();
        // As RocksDB: at another parallelism all is written anew.
        if let [handle] = handles[..]
            && (handle.first_key_group..handle.last_key_group + 1) == groups
        {
            let shared = handle.files.iter().filter(|file| file.shared).filter_map(|file| file.file.clone());
            state.files.insert(restore.checkpoint_id, shared.collect());
        }
        Self { groups, state: Arc::new(Mutex::new(state)) }
    }

    /// The JobManager says that a checkpoint is complete.
    pub(crate) fn completed(&self, checkpoint: u64) {
        let mut state = self.state.lock();
        state.completed = state.completed.max(checkpoint);
    }

    /// What a checkpoint refers to of earlier ones: of the last complete one, which is not older than the barrier says.
    pub(crate) fn base(&self, barrier: &proto::CheckpointBarrier) -> Vec<proto::StateFile> {
        self.completed(barrier.completed_checkpoint_id);
        let mut state = self.state.lock();
        let completed = state.completed;
        state.files.retain(|checkpoint, _| *checkpoint >= completed);
        if barrier.full || barrier.kind() == proto::SnapshotKind::Savepoint {
            return Vec::new();
        }
        let files = state.files.get(&completed).map_or(&[][..], Vec::as_slice);
        files[files.len().saturating_sub(MOST)..].to_vec()
    }

    /// What a checkpoint refers to.
    pub(crate) fn add(&self, checkpoint: u64, shared: &[proto::StateFile]) {
        self.state.lock().files.insert(checkpoint, shared.to_vec());
    }

    /// As the task hands it over.
    pub(crate) fn handle(&self, private: proto::StateFile, shared: Vec<proto::StateFile>) -> proto::KeyedStateHandle {
        let file = |file, shared| proto::KeyedStateFile {
            name: "state".into(),
            shared,
            file: Some(file),
            ..Default::default()
        };
        let files = [file(private, false)].into_iter().chain(shared.into_iter().map(|shared| file(shared, true)));
        // Without key groups of its own the task has a range that is empty.
        let (first_key_group, last_key_group) =
            if self.groups.is_empty() { (1, 0) } else { (self.groups.start, self.groups.end - 1) };
        proto::KeyedStateHandle { first_key_group, last_key_group, files: files.collect(), ..Default::default() }
    }
}
