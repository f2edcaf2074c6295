//! The TaskManager: runs the tasks of many jobs in slots.
//!
//! - [`service`]: a TaskManager that can be started and stopped, in a process of its own or inside another.
//! - `executor`: the actor that owns slots and tasks, and its ways to the ResourceManager and the JobMasters.
//! - [`runner`]: what makes the tasks that the executor wants.
//! - [`factory`]: what makes the operators of a task.
//! - `heap`: what tasks hold, and the end of the one that holds too much.
//! - [`leader`]: who leads a job, for what its tasks have to say.
//! - [`task`]: what one thread runs: inputs, a chain of operators, outputs.
//! - [`options`], `resources`: what it is told, and what it tells of itself.
//!
//! Invariant: a task's operators are touched by its own thread only; whatever else wants something of a task puts a letter
//! into its mailbox. Every wait of that thread ends when the task is cancelled.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests start what they end"))]
pub mod components;
mod executor;
pub mod factory;
mod heap;
pub mod leader;
pub mod options;
mod resources;
pub mod runner;
pub mod service;
pub mod task;

pub use options::Options;
pub use service::{StartError, TaskManager};
