//! Keyed state, snapshots of it, and where checkpoints are kept.
//!
//! - [`keyed`]: the contract between an operator and the back end that holds its tables.
//!
//! Invariant: this crate knows bytes, key groups and files. What a key or a value means is the operators' business, how
//! checkpoints are coordinated the JobManager's.
pub mod error;
pub mod keyed;

pub use error::{Error, Result};
