//! Sinks in two phases, after FLIP-143: a writer says at each barrier what is complete, and a committer makes that final when the
//! checkpoint is durable.
//!
//! What is complete and not yet final is a *committable*: a name of something that was written and that no reader sees. It is in
//! every checkpoint until it was committed, so that any process can commit it that restores the checkpoint, also if another one
//! did so before.
//!
//! One object is both halves, because all calls come from the task's thread, and because a sink that removes what it has left
//! behind has to know what both do.
use bytes::Bytes;
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use crate::element::{Batch, WatermarkStatus};
use crate::operator::{Error, OperatorContext, RestoredState, Result};

/// The half of a sink that writes.
pub trait SinkWriter: Send {
    /// What is complete and waits to be made final.
    type Committable: Clone + Send;
    /// What the writer itself keeps in a checkpoint: what it goes on with.
    type State: Send;

    /// Called once before [`SinkWriter::open`], also where nothing is restored: reads the lists of [`SinkWriter::lists`].
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        let _ = state;
        Ok(())
    }

    /// Called once before anything flows. Returns what is to be committed before that: this subtask's share of what the restored
    /// checkpoint names, which another attempt may have committed already.
    fn open(
        &mut self,
        context: &OperatorContext,
        restored: Option<RestoredSink<Self::State, Self::Committable>>,
    ) -> Result<Vec<Self::Committable>>;

    /// Writes rows.
    fn write(&mut self, batch: Batch) -> Result<()>;

    /// Event time moved on.
    fn watermark(&mut self, watermark: i64) -> Result<()> {
        let _ = watermark;
        Ok(())
    }

    /// The input became idle or active as a whole.
    fn status(&mut self, status: WatermarkStatus) -> Result<()> {
        let _ = status;
        Ok(())
    }

    /// As of an operator ([`crate::operator::Operator::next_timer`]).
    fn next_timer(&self) -> Option<i64> {
        None
    }

    /// Processing time reached [`SinkWriter::next_timer`].
    fn processing_time(&mut self, now: i64) -> Result<()> {
        let _ = now;
        Ok(())
    }

    /// All rows are written.
    fn finish(&mut self) -> Result<()>;

    /// What has become complete since it was asked last: at a barrier, or at the end of a task that waits for no checkpoint.
    fn prepare_commit(&mut self) -> Result<Vec<Self::Committable>>;

    /// What the writer goes on with behind the barrier, asked after [`SinkWriter::prepare_commit`].
    fn snapshot(&mut self) -> Result<Vec<Self::State>>;

    /// What the snapshot is to hold beside the sink's own list. `named`: what is in that. What must be there as long as the
    /// snapshot is good for anything is made durable here.
    fn lists(
        &mut self,
        options: &SnapshotOptions,
        named: &[SinkEntry<Self::State, Self::Committable>],
    ) -> Result<Vec<proto::OperatorListState>> {
        let _ = (options, named);
        Ok(Vec::new())
    }

    /// Called once at the end, also after a failure or a cancellation. What no snapshot names may go.
    fn close(&mut self) -> Result<()>;
}

/// The half of a sink that makes final what was written.
pub trait Committer: SinkWriter {
    /// Makes these final, and returns those that could not be for now, each with the reason. What is final already, by whichever
    /// attempt, is left as it is.
    ///
    /// # Errors
    /// What no repetition heals.
    fn commit(&mut self, requests: Vec<CommitRequest<Self::Committable>>)
    -> Result<Vec<Unfinished<Self::Committable>>>;

    /// A checkpoint is durable and what it names is committed.
    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }

    /// A checkpoint will never be durable.
    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }

    /// The task has ended without a checkpoint and everything is committed.
    fn ended(&mut self) -> Result<()> {
        Ok(())
    }

    /// Whether the sink waits for a checkpoint for more than its committables, once its input has ended.
    fn awaits_checkpoint(&self) -> bool {
        false
    }
}

/// How a sink's entries of its list in checkpoints are written: in its own versioned encoding.
pub trait SinkState: SinkWriter {
    /// The name of the list. Its entries go to the subtask with their number modulo the new parallelism.
    const LIST: &'static str;

    /// The bytes of an entry.
    fn encode(entry: &SinkEntry<Self::State, Self::Committable>) -> Result<Bytes>;

    /// The reverse.
    fn decode(bytes: &[u8]) -> Result<SinkEntry<Self::State, Self::Committable>>;
}

/// One entry of a sink's list in a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkEntry<S, C> {
    /// What the writer goes on with.
    Writer(S),
    /// What waits to be made final.
    Committable(C),
}

/// What a sink starts from.
pub struct RestoredSink<S, C> {
    /// The checkpoint that names it.
    pub checkpoint: u64,
    /// The entries that are this subtask's.
    pub entries: Vec<SinkEntry<S, C>>,
}

/// What is to be made final.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRequest<C> {
    /// The files, rows or transaction of one subtask, as its writer has given them.
    pub committable: C,
    /// The restored checkpoint names it: another attempt may have committed it before.
    pub is_restored: bool,
}

/// What could not be made final for now.
#[derive(Debug)]
pub struct Unfinished<C> {
    /// What was asked for.
    pub request: CommitRequest<C>,
    /// Why not.
    pub reason: Error,
}
