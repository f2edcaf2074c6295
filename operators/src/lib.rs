//! The dataflow model and the operators that a job graph is made of.
//!
//! - [`element`]: what flows: batches, watermarks, barriers, end of input.
//! - [`operator`]: the contract between an operator, its chain and its task.
//! - [`background`]: how an operator's work on other threads wakes its task.
//! - [`chain`]: operators in a row; [`watermark_valve`]: watermarks of many channels made one.
//! - [`build`]: from an operator's specification in the job graph to the operator.
//! - [`calc`], [`watermark_assigner`], [`group_aggregate`], [`window_aggregate`], [`window_table_function`]: the operators.
//! - [`aggregate`]: aggregate functions, and groups by key.
//! - [`state`]: keyed state of operators as rows in the tables of a back end: the write-back cache before tables, many
//!   ordered rows a key, timers.
//! - [`rows`]: keys and values of state as bytes.
//! - [`coordinator`]: the contract between an operator's coordinator (JobMaster) and its subtasks.
//! - [`source`]: the contract between a source's enumerator (JobMaster) and its readers (tasks).
//! - [`sink`]: the contract of a sink that commits what it wrote when a checkpoint is durable.
//! - [`bulk_format`]: the contract of formats of whole files, which a task hands to sources and sinks.
//!
//! Invariant: an operator is touched by one thread only and waits for no I/O but that of its own state, and for its background work
//! where it has no room for the rows that it is given; it knows batches, not channels.
pub mod aggregate;
pub mod background;
pub mod build;
pub mod bulk_format;
pub mod calc;
pub mod chain;
#[cfg(test)]
mod conformance_tests;
pub mod coordinator;
pub mod element;
pub mod group_aggregate;
pub mod operator;
pub mod rows;
mod settings;
pub mod sink;
pub mod source;
pub mod state;
#[cfg(test)]
mod testing;
pub mod watermark_assigner;
pub mod watermark_valve;
pub mod window_aggregate;
pub mod window_table_function;
