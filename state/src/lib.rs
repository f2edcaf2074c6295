//! Keyed state as operators see it, and where checkpoints are kept.
//!
//! - [`keyed`]: the contract between an operator and the back end that holds its tables; [`ttl`]: when an entry is gone.
//! - [`cache_share`]: how much operators may keep in memory of their own.
//! - [`storage`]: where checkpoints and savepoints are kept, and `_metadata`.
//!
//! The back ends are in a crate above this one: what asks only for checkpoints, as the JobManager, does not link RocksDB.
//!
//! Invariant: this crate knows bytes, key groups and files. What a key or a value means is the operators' business, how
//! checkpoints are coordinated the JobManager's.
pub mod cache_share;
pub mod error;
pub mod keyed;
pub mod storage;
pub mod ttl;

pub use error::{Error, Result};
