//! What reaches a task from outside, between batches.
use bytes::Bytes;
use wiesel_proto as proto;

/// Letters that may wait; coordinators answer requests, so there are never many.
pub(crate) const CAPACITY: usize = 1024;

/// A letter to a task.
#[derive(Debug)]
pub(crate) enum Mail {
    /// From an operator's coordinator.
    OperatorEvent {
        /// Which operator.
        uid: Bytes,
        /// What it says.
        event: proto::operator_event_to_task::Event,
    },
}
