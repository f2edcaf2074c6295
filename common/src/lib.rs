//! What every part of Wiesel shares: configuration, file systems, the memory model, ids, key groups and their hash, time,
//! chance, tasks and threads, mailboxes, waiting, whether a thread is to end, connections between processes, which peers reach
//! them and the secret that they share, which subtasks an edge connects, files that are read whole, who leads a cluster, command
//! lines in Flink's spelling, bounds of messages, fault points.
//!
//! Kept small: what one crate alone uses lives in that crate.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests start what they end"))]
pub mod arguments;
pub mod config;
pub mod connections;
pub mod ending;
pub mod exposure;
pub mod fault;
pub mod filesystem;
mod handshake;
pub mod id;
pub mod input;
pub mod keygroup;
pub mod leader;
pub mod logging;
pub mod mailbox;
pub mod memory;
pub mod notifier;
pub mod process;
pub mod quote;
pub mod random;
pub mod rpc;
pub mod secret;
pub mod spawn;
pub mod text;
pub mod time;
pub mod topology;
