//! Coordinators after FLIP-27: what an operator has in the JobMaster, once for all its subtasks. A source's has its enumerator.
use std::sync::Arc;

use bytes::Bytes;
use wiesel_common::id::AttemptId;

use crate::operator::Result;

/// Bytes of an event from a subtask to its coordinator, at most.
pub const MAX_EVENT_TO_COORDINATOR: usize = 1 << 20;
/// Bytes of an event from a coordinator to a subtask, at most.
pub const MAX_EVENT_TO_SUBTASK: usize = 16 << 20;

/// The sender of an event: one attempt of a subtask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventSender {
    /// The subtask, from 0.
    pub subtask: u32,
    /// Its attempt, which is the current one.
    pub attempt: AttemptId,
}

/// The events that a call of a coordinator sends to subtasks. Each gets its own in their order, once; one that has ended gets none.
#[derive(Debug, Default)]
pub struct Events(Vec<(u32, Bytes)>);

impl Events {
    /// Sends an event.
    pub fn send(&mut self, subtask: u32, event: Bytes) {
        self.0.push((subtask, event));
    }
}

impl IntoIterator for Events {
    type Item = (u32, Bytes);
    type IntoIter = std::vec::IntoIter<(u32, Bytes)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// The part of an operator that runs in the JobMaster. Called on a blocking thread, one call at a time. A call that may take long
/// asks ([`wiesel_common::ending::check`]) whether its execution has ended meanwhile. An error fails the job.
///
/// One coordinator serves one execution of its region of the job. All subtasks of an operator are in one region, so that a subtask
/// which fails takes the others and the coordinator with it: the coordinator is dropped, and the next execution begins with
/// another one, which is given the state of the checkpoint that the subtasks start from. A call that is under way then may go on beside
/// that one for a while. Where Flink tells a coordinator that a subtask has failed and that it is reset to a checkpoint, that is
/// [`Drop`] and [`OperatorCoordinator::restore`].
///
/// From the moment that [`OperatorCoordinator::snapshot`] has its answer until the tasks at which the checkpoint begins have been told
/// of it, nothing is called. What is sent later comes to a subtask when that has taken its own part in the checkpoint. So what was sent
/// to a subtask is either in that subtask's state or still the coordinator's. It is not so in the other direction, as in Flink: what a
/// subtask says before its barrier may be handled after the snapshot. So after a restore a subtask says again what its coordinator has
/// to know.
///
/// A subtask that takes no rows before it has an answer may hold up an aligned checkpoint until that fails with its timeout: the barrier
/// is behind the rows, and the answer behind the barrier.
///
/// While a lot waits for subtasks that take nothing, nothing is called, either.
///
/// A subtask that has finished has said all that it had to say, and what is sent to it is dropped. A job whose tasks have all finished is
/// FINISHED when its coordinators have handled all that the tasks have said; an error until then fails the job as any other. A
/// source's enumerator is not waited for.
pub trait OperatorCoordinator: Send {
    /// Goes on from a snapshot, maybe with another parallelism. Called first, if there is one.
    fn restore(&mut self, checkpoint_id: u64, state: &[u8]) -> Result<()>;

    /// The subtasks go on, though the coordinator before this one is gone with its JobMaster: called after
    /// [`OperatorCoordinator::restore`], if there is a snapshot, and before all else, with the events that they have been sent since,
    /// by subtask. Those of one subtask are in their order. What is not among them did not arrive and will not. The subtasks say again
    /// what the coordinator has to know, as after a restore; those that have finished since say nothing. False: it cannot go on with
    /// them, and they must go back to the snapshot.
    ///
    /// # Errors
    /// The events cannot be read.
    fn sent(&mut self, sent: &[(u32, Bytes)]) -> Result<bool> {
        let _ = sent;
        Ok(false)
    }

    /// Called once before any event comes. The subtasks are being deployed; what is sent to them waits until they are.
    fn start(&mut self, events: &mut Events) -> Result<()> {
        let _ = events;
        Ok(())
    }

    /// A subtask says something. It is called once for each event, in the order of the subtask's events.
    fn handle_event(&mut self, sender: EventSender, event: Bytes, events: &mut Events) -> Result<()>;

    /// Milliseconds until [`OperatorCoordinator::timer`], asked after it and after [`OperatorCoordinator::start`]; none: it is not
    /// called.
    fn next_timer(&self) -> Option<u64> {
        None
    }

    /// The time of [`OperatorCoordinator::next_timer`] is over.
    fn timer(&mut self, events: &mut Events) -> Result<()> {
        let _ = events;
        Ok(())
    }

    /// The state at a checkpoint, in the coordinator's own versioned encoding: it is kept in `_metadata`. All events that were sent
    /// have been taken by their subtasks.
    fn snapshot(&mut self, checkpoint_id: u64) -> Result<Bytes>;

    /// A checkpoint is durable, or a savepoint that the job stops with: what is before it is not taken back. It may be told late, for
    /// several at once (then for the last), or never.
    fn checkpoint_completed(&mut self, checkpoint_id: u64, events: &mut Events) -> Result<()> {
        let _ = (checkpoint_id, events);
        Ok(())
    }

    /// A checkpoint will never be durable.
    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        let _ = checkpoint_id;
        Ok(())
    }
}

/// Makes a coordinator, on a blocking thread.
pub type MakeCoordinator = Box<dyn FnOnce() -> Result<Box<dyn OperatorCoordinator>> + Send>;

/// What a coordinator is made with.
#[derive(Clone)]
pub struct CoordinatorContext {
    /// How many subtasks there are.
    pub parallelism: u32,
    /// The job's effective configuration.
    pub configuration: Arc<wiesel_common::config::Configuration>,
}

/// An operator's way to its coordinator. Used on the task's thread.
pub trait CoordinatorGateway: Send {
    /// Sends an event, which arrives once, after those before it. Waits while too many are under way. All that a task has sent is
    /// handled before its job is FINISHED; of a task that fails or is cancelled some may be lost.
    ///
    /// # Errors
    /// The event is too long, or the task is to end.
    fn send(&mut self, event: Bytes) -> Result<()>;
}
