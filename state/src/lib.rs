//! Keyed state, snapshots of it, and where checkpoints are kept.
//!
//! - [`keyed`]: the contract between an operator and the back end that holds its tables.
//! - [`backend`]: the back ends `hashmap` and `rocksdb`, and what they share in a TaskManager.
//! - [`cache_share`]: how much operators may keep in memory of their own.
//! - [`storage`]: where checkpoints and savepoints are kept, and `_metadata`.
//!
//! Invariant: this crate knows bytes, key groups and files. What a key or a value means is the operators' business, how
//! checkpoints are coordinated the JobManager's.
pub mod backend;
pub mod cache_share;
mod canonical;
pub mod error;
mod hashmap;
pub mod keyed;
mod local;
mod rocksdb;
pub mod storage;
mod tables;
pub mod ttl;

pub use error::{Error, Result};
