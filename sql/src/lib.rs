//! Flink SQL: from text to a job graph.
//!
//! [`parser`] → [`ast`] → [`analyzer`] (names, types; with [`functions`] and [`catalog`]) → [`rel`] → [`planner`] (changelog
//! modes, windows, chains) → job graph. [`session`] runs statement after statement and keeps what they set and create.
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
pub mod session;
