//! Checkpoints and savepoints of a job.
//!
//! - [`options`]: what the configuration asks for.
//! - [`action`]: what the coordinator is asked for, and what it wants done.
//! - [`coordinator`]: when a checkpoint begins, which tasks it waits for, how it ends; decides without I/O.
//! - [`plan`]: which tasks begin a checkpoint and which the coordinator waits for.
//! - [`store`]: completed checkpoints, and which files no checkpoint needs any more.
//! - [`cleaning`]: what is deleted, and when the folder is looked through for what is not known by name.
//! - [`statistics`]: what REST shows of them.
//! - [`assignment`]: from a checkpoint to the state that each subtask starts from.
//!
//! Invariants: a checkpoint completes only when every task of the job has handed over its state or had ended before; no file
//! is deleted that a retained checkpoint, or one under way, needs; no checkpoint stays pending for ever.
pub mod action;
pub mod assignment;
pub(super) mod calls;
pub mod cleaning;
pub mod coordinator;
pub mod failure;
pub mod options;
mod pending;
pub mod plan;
pub mod statistics;
pub mod store;
