//! What every part of Wiesel shares: configuration, file systems, the memory model, ids, key groups and their hash, time,
//! waiting, whether a thread is to end, connections between processes, which peers reach them and the secret that they share,
//! which subtasks an edge connects, files that are read whole, bounds of messages, fault points.
//!
//! Kept small: what one crate alone uses lives in that crate.
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
pub mod logging;
pub mod memory;
pub mod notifier;
pub mod process;
pub mod quote;
pub mod rpc;
pub mod secret;
pub mod text;
pub mod time;
pub mod topology;
