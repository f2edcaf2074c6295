//! End-to-end tests: real processes from the built installation.
#![allow(clippy::disallowed_methods, reason = "tests start what they end")]
#![allow(clippy::unwrap_used, reason = "all of this is tests: clippy knows only the functions that are marked so")]
#[path = "e2e/application.rs"]
mod application;
#[path = "e2e/back_pressure.rs"]
mod back_pressure;
#[path = "e2e/bad_input.rs"]
mod bad_input;
#[path = "e2e/checkpoints.rs"]
mod checkpoints;
#[path = "e2e/clients.rs"]
mod clients;
#[path = "e2e/clocks.rs"]
mod clocks;
#[path = "e2e/commits.rs"]
mod commits;
#[path = "e2e/end_of_input.rs"]
mod end_of_input;
#[path = "e2e/entrypoint.rs"]
mod entrypoint;
#[path = "e2e/examples.rs"]
mod examples;
#[path = "e2e/failures.rs"]
mod failures;
#[path = "e2e/former_rows.rs"]
mod former_rows;
#[path = "e2e/high_availability.rs"]
mod high_availability;
#[path = "e2e/job_manager.rs"]
mod job_manager;
#[path = "e2e/kept_savepoints.rs"]
mod kept_savepoints;
#[path = "e2e/local.rs"]
mod local;
#[path = "e2e/log_lines.rs"]
mod log_lines;
#[path = "e2e/long_expressions.rs"]
mod long_expressions;
#[path = "e2e/long_input.rs"]
mod long_input;
#[path = "e2e/many_jobs.rs"]
mod many_jobs;
#[path = "e2e/memory.rs"]
mod memory;
#[path = "e2e/rescaling.rs"]
mod rescaling;
#[path = "e2e/rocksdb_build.rs"]
mod rocksdb_build;
#[path = "e2e/savepoints.rs"]
mod savepoints;
#[path = "e2e/scripts.rs"]
mod scripts;
#[path = "e2e/session.rs"]
mod session;
#[path = "e2e/sql.rs"]
mod sql;
#[path = "e2e/stalls.rs"]
mod stalls;
#[path = "e2e/tables_in_s3.rs"]
mod tables_in_s3;
#[path = "e2e/terminal.rs"]
mod terminal;
#[path = "e2e/time_zones.rs"]
mod time_zones;
