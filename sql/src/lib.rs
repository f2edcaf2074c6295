//! Flink SQL: from text to a job graph.
//!
//! [`parser`] → [`ast`] → [`analyzer`] (names, types; with [`functions`] and [`catalog`]) → [`rel`], [`rex`] → [`planner`] (changelog
//! modes, windows, chains) → job graph. [`session`] runs statement after statement and keeps what they set and create.
//!
//! Whoever calls it does so within [`on_deep_stack`]: expressions of ten thousand terms are trees as deep.
//!
//! Invariant: what leaves this crate is Wiesel's own job graph; no type of the parser goes with it.
pub mod analyzer;
pub mod ast;
pub mod catalog;
pub mod error;
pub mod functions;
pub mod parser;
pub mod planner;
pub mod rel;
pub mod rex;
mod script;
pub mod session;
mod stack;

pub use script::{MAX_UPLOAD_BYTES, still_wanted, while_wanted};
pub use stack::{on_deep_stack, spawn_on_deep_stack};
