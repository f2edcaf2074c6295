//! Sources, sinks and formats, one folder each, behind one registry.
//!
//! - `connector`: the one trait that a connector implements, below all of them.
//! - [`factory`]: the registry. The planner asks it what a table can do ([`factory::describe_source`],
//!   [`factory::describe_sink`]); tasks and the JobMaster make readers, sinks and enumerators from the specs of a job graph
//!   ([`factory::build_source`], [`factory::build_sink`], [`factory::build_collect_sink`], [`factory::enumerator`]).
//! - `sink`: the operator of sinks that commit in two phases.
//! - [`options`]: the `WITH` options of a table, checked with Flink's words.
//! - `input`: files of this machine and of stores, as readers see them.
//! - [`formats`]: rows from and to bytes: of files, and of single messages ([`formats::message`]). Of bulk formats it has what a table's
//!   definition says; what reads and writes their files a task hands in ([`wiesel_operators::bulk_format`]).
//!
//! Invariant: a description and the reader or sink built later read the same options through the same code, so that what
//! the planner accepted cannot be refused by a task.
pub mod blackhole;
mod blocking;
pub mod collect;
mod connector;
mod constraint;
pub mod datagen;
mod encoding;
pub mod enumerator;
pub mod factory;
pub mod filesystem;
pub mod formats;
mod input;
pub mod nexmark;
pub mod options;
pub mod print;
mod sink;
#[cfg(test)]
mod testing;
pub mod values;
