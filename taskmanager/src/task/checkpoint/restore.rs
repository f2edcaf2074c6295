//! What a task starts from.
use std::ops::RangeInclusive;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use bytes::Bytes;
use wiesel_common::keygroup;
use wiesel_operators::operator::{Error, OperatorContext, RestoredState, Result};
use wiesel_proto as proto;
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeyedBackend, OpenRequest, StateBackend};
use wiesel_state::storage::CheckpointStorage;

use super::SPLITS;
use super::channel_state;
use crate::task::input::Inputs;
use crate::task::output::Outputs;

/// What all tasks of a job on a TaskManager share.
#[derive(Clone)]
pub(crate) struct JobState {
    /// Where checkpoints are kept.
    pub(crate) storage: CheckpointStorage,
    /// Opens keyed state.
    pub(crate) backend: Arc<dyn StateBackend>,
}

/// What one task starts from: its part of a checkpoint, or nothing.
pub(crate) struct Restore {
    pub(crate) state: JobState,
    pub(crate) checkpoint: Option<proto::TaskRestore>,
    /// The attempt's id.
    pub(crate) attempt: String,
}

impl Restore {
    fn task(&self) -> Option<&proto::TaskState> {
        self.checkpoint.as_ref().and_then(|restore| restore.state.as_ref())
    }

    /// Whether the task had read everything, and said so, before the checkpoint.
    pub(crate) fn is_finished(&self) -> bool {
        self.task().is_some_and(|task| task.finished)
    }

    /// What an operator starts from.
    pub(crate) fn operator(&self, uid: &Bytes, context: &OperatorContext) -> Restored {
        let operators = self.task().map_or(&[][..], |task| &task.operators);
        let mut state = proto::OperatorSubtaskState { uid: uid.clone(), ..Default::default() };
        for found in operators.iter().filter(|operator| operator.uid == uid) {
            state.keyed.extend(found.keyed.iter().cloned());
            state.lists.extend(found.lists.iter().cloned());
        }
        Restored {
            checkpoint: self.checkpoint.as_ref().map(|restore| restore.checkpoint_id),
            finished: self.is_finished(),
            state,
            backend: self.state.backend.clone(),
            request: OpenRequest {
                operator: uid.iter().map(|byte| format!("{byte:02x}")).collect(),
                task_name: context.task_name.clone(),
                attempt: self.attempt.clone(),
                key_groups: key_groups(context),
                restore: Vec::new(),
            },
        }
    }

    /// The splits that a source goes on with.
    pub(crate) fn splits(&self, uid: &Bytes, context: &OperatorContext) -> Vec<Bytes> {
        self.operator(uid, context).list(SPLITS)
    }

    /// Puts the rows that were in flight where they were: those of outputs before anything new, those of inputs before
    /// anything that comes.
    pub(crate) fn rows_in_flight(
        &self,
        inputs: Option<&mut Inputs>,
        outputs: &mut Outputs,
        context: &OperatorContext,
    ) -> Result<()> {
        let Some(task) = self.task().filter(|task| !task.channels.is_empty()) else { return Ok(()) };
        let mut inputs = inputs;
        for channel in &task.channels {
            let side = if channel.output { "output" } else { "input" };
            let name = format!("{side} {} of {}, subtask {}", channel.edge, context.task_name, channel.subtask);
            let edge = channel.edge as usize;
            let schema = match (&inputs, channel.output) {
                (_, true) => outputs.edges.get(edge).map(|edge| edge.partition.schema().clone()),
                (Some(inputs), false) => inputs.edges.get(edge).map(|edge| edge.gate.schema().clone()),
                (None, false) => None,
            };
            let schema = schema.ok_or_else(|| {
                wiesel_state::Error::Incompatible(format!(
                    "rows in flight of {name} cannot be restored: the job's plan has no such edge. Start from a savepoint, \
                     which holds no rows in flight."
                ))
            })?;
            let Some(file) = &channel.file else { continue };
            let bytes = context.runtime.block_on(self.state.storage.read(file))?;
            let all = channel_state::decode(bytes, &schema, &name)?;
            let found: u64 = all.iter().map(|rows| rows.num_rows() as u64).sum();
            if found != channel.rows {
                return Err(wiesel_state::Error::Corrupt(format!(
                    "rows in flight of {name}: there are {found} in the file, and {} were written",
                    channel.rows
                ))
                .into());
            }
            for rows in all {
                if channel.output {
                    outputs.replay(edge, channel.subtask, rows)?;
                } else if let Some(inputs) = inputs.as_deref_mut() {
                    let rows = match &inputs.edges[edge].keys {
                        Some(keys) => own_rows(&rows, keys, context)?,
                        None => rows,
                    };
                    inputs.replay(edge, channel.subtask, rows);
                }
            }
        }
        Ok(())
    }
}

/// The key groups of a task; none: it has no part of them.
fn key_groups(context: &OperatorContext) -> Option<RangeInclusive<u16>> {
    let range = keygroup::key_groups(context.subtask, context.parallelism, context.max_parallelism);
    // There are at most 32768 of them.
    (!range.is_empty()).then(|| range.start as u16..=(range.end - 1) as u16)
}

/// The rows whose key belongs to the task: with another parallelism it is given those of every old task that had some.
fn own_rows(rows: &RecordBatch, keys: &[usize], context: &OperatorContext) -> Result<RecordBatch> {
    let Some(groups) = key_groups(context) else { return Ok(rows.slice(0, 0)) };
    let keys = rows.project(keys)?;
    let hashes = keygroup::hash_columns(keys.columns(), rows.num_rows());
    let hashes = hashes.map_err(|error| Error::Plan(error.to_string()))?;
    let own = |hash: &u64| groups.contains(&(keygroup::key_group(*hash, context.max_parallelism) as u16));
    let kept: BooleanArray = hashes.iter().map(|hash| Some(own(hash))).collect();
    Ok(if kept.true_count() == hashes.len() { rows.clone() } else { filter_record_batch(rows, &kept)? })
}

/// The state that one operator starts from.
pub(crate) struct Restored {
    checkpoint: Option<u64>,
    finished: bool,
    state: proto::OperatorSubtaskState,
    backend: Arc<dyn StateBackend>,
    request: OpenRequest,
}

impl RestoredState for Restored {
    fn checkpoint_id(&self) -> Option<u64> {
        self.checkpoint
    }

    fn is_finished(&self) -> bool {
        self.finished
    }

    fn keyed(&mut self) -> Result<Box<dyn KeyedBackend>> {
        let request = OpenRequest {
            operator: self.request.operator.clone(),
            task_name: self.request.task_name.clone(),
            attempt: self.request.attempt.clone(),
            key_groups: self.request.key_groups.clone(),
            restore: std::mem::take(&mut self.state.keyed),
        };
        Ok(self.backend.open(request)?)
    }

    fn cache_share(&mut self) -> CacheShare {
        self.backend.cache_share()
    }

    fn list(&mut self, name: &str) -> Vec<Bytes> {
        let of_that_name = self.state.lists.iter_mut().filter(|list| list.name == name);
        of_that_name.flat_map(|list| std::mem::take(&mut list.entries)).collect()
    }
}
