//! Wiesel's clients: the `flink` command line, the SQL client, and the REST client under both.
//!
//! - [`rest`]: typed calls of a JobManager's REST API.
//! - [`cli`]: `bin/flink`: run, list, cancel, stop, savepoint, checkpoint, info.
//! - [`sql`]: `bin/sql-client.sh`: interactive, `-f FILE`, and `--fold-json`.
//! - `local`: a cluster that the client starts and that ends with it.
//!
//! Invariant: a client keeps no state of a job; what it prints it was told by the JobManager, and its exit status is one
//! that scripts can trust.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests start what they end"))]
// First: its macros are those of all that follow.
#[macro_use]
mod output;

pub mod cli;
mod input;
mod lease;
mod local;
mod progress;
pub mod rest;
pub mod sql;
mod target;
mod terminal;
mod termination;
