//! The data plane: how rows get from a task to the tasks that consume them.
//!
//! Layers, from the wire up; each knows only those before it:
//! - [`frame`], [`codec`], [`event`]: bytes on a connection.
//! - [`buffer_pool`]: who may hold how much memory.
//! - [`subpartition`]: the bounded queue between one producer and one consumer; inside a process the consumer reads it
//!   itself and batches move by `Arc`.
//! - `handshake`: how a connection begins.
//! - [`server`], [`client`]: the two ends of a connection between TaskManagers, multiplexed, with credits in bytes.
//! - [`partitioner`]: which rows go to which consumer.
//! - [`partition`], [`gate`]: what a task's thread writes to and reads from. Synchronous, driven by a notifier.
//! - [`environment`]: what a TaskManager has one of.
//!
//! A consumer connects to the TaskManager of its producer, so two TaskManagers that feed each other hold two connections, one
//! for each direction of the data: no race over who connects, and credits of one direction never wait behind rows of it.
//!
//! Invariant: it knows bytes, channels and record batches, not operators; everything that queues is bounded in bytes; no
//! channel can keep another from moving.
pub mod buffer_pool;
pub mod client;
pub mod codec;
pub mod environment;
pub mod error;
pub mod event;
pub mod frame;
pub mod gate;
mod handshake;
pub mod id;
pub mod options;
pub mod partition;
pub mod partitioner;
pub mod server;
pub mod subpartition;
pub mod wait;

pub use environment::NetworkEnvironment;
pub use error::{Error, Result};
pub use event::{Barrier, Event};
pub use gate::{Element, InputGate, Overtaken};
pub use options::Options;
pub use partition::{OvertakenOutput, ResultPartition};
pub use partitioner::Partitioner;
pub use wait::Waiter;
