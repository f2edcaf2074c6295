//! Sources after FLIP-27: an enumerator in the JobMaster hands splits to readers in the tasks.
use std::sync::Arc;

use bytes::Bytes;

use crate::operator::{Collector, OperatorContext, Result};

/// What a reader has to say after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceStatus {
    /// Call again at once.
    MoreAvailable,
    /// Nothing now: call again after new splits came, the task's notifier was woken, or at a given time.
    NothingAvailable {
        /// When to ask again without being woken, in milliseconds of the clock that only runs
        /// ([`wiesel_common::time::Clock::monotonic_millis`]): no source makes rows faster or slower because the wall clock is set.
        until: Option<i64>,
    },
    /// All splits are read and none will come.
    EndOfInput,
}

/// The part of a source that runs in a task. All calls come from the task's thread.
pub trait SourceReader: Send {
    /// Called once before anything else.
    fn open(&mut self, context: &OperatorContext) -> Result<()>;

    /// Emits at most one batch (a few thousand rows, so that the task's mailbox waits milliseconds, not more), or, of a record that
    /// cannot be cut, as many as its rows take.
    fn poll(&mut self, out: &mut dyn Collector) -> Result<SourceStatus>;

    /// Takes splits from the enumerator.
    fn add_splits(&mut self, splits: Vec<Bytes>) -> Result<()>;

    /// The enumerator has no more splits for this reader.
    fn no_more_splits(&mut self);

    /// True once after the reader ran out of splits and wants to ask for another. Readers whose enumerator assigns all
    /// splits at the start still ask once.
    fn take_split_request(&mut self) -> bool;

    /// The splits that are not read to their end, each with its position: what [`SourceReader::add_splits`] takes after
    /// a restore, maybe in another subtask.
    fn snapshot(&mut self) -> Result<Vec<Bytes>>;

    /// A checkpoint is durable.
    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }

    /// Called once at the end, also after a failure or a cancellation.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What an enumerator answers to a request for a split.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SplitAssignment {
    /// Read these.
    Splits(Vec<Bytes>),
    /// None now; the reader is remembered and served by a later [`SplitEnumerator::discover`].
    Wait,
    /// None now and none ever.
    NoMoreSplits,
}

/// The part of a source that runs in the JobMaster. Called on a blocking thread, one call at a time. A call that may take long
/// asks ([`wiesel_common::ending::check`]) whether its execution has ended meanwhile.
pub trait SplitEnumerator: Send {
    /// Looks for splits; called once at the start and then every [`SplitEnumerator::discovery_interval`]. Returns what
    /// waiting readers get now, by subtask.
    fn discover(&mut self) -> Result<Vec<(u32, SplitAssignment)>>;

    /// Milliseconds until the next discovery, asked after each; none: there is none.
    fn discovery_interval(&self) -> Option<u64> {
        None
    }

    /// A reader has no split left.
    fn request_split(&mut self, subtask: u32, hostname: &str) -> Result<SplitAssignment>;

    /// What is known and not yet with a reader, and what has been seen, in the connector's own versioned encoding.
    fn snapshot(&mut self) -> Result<Bytes>;

    /// Goes on from a snapshot, maybe with another parallelism; called before [`SplitEnumerator::discover`]. What readers
    /// had by then is restored by them.
    fn restore(&mut self, state: &[u8]) -> Result<()>;

    /// Readers go on, though the enumerator before this one is gone: called after [`SplitEnumerator::restore`], if there is a
    /// snapshot, and before all else, with the splits that they have been given since, by reader. Those of one reader are in their
    /// order. What is not among them no reader has; one that has asked for a split asks again. False: what is left to give out
    /// cannot be told, and the readers must go back to the snapshot.
    ///
    /// # Errors
    /// The splits cannot be read.
    fn given(&mut self, given: &[(u32, Bytes)]) -> Result<bool> {
        let _ = given;
        Ok(false)
    }
}

/// What a connector needs to know to make an enumerator.
#[derive(Clone)]
pub struct EnumeratorContext {
    /// How many readers there are.
    pub parallelism: u32,
    /// The job's effective configuration.
    pub configuration: Arc<wiesel_common::config::Configuration>,
}
