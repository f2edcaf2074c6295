//! The JobManager: it takes jobs, finds slots for them, runs them and tells everyone how they do.
//!
//! - [`application`]: SQL scripts that the JobManager plans itself, and their jobs.
//! - [`dispatcher`]: the jobs of a session, running and finished.
//! - [`resourcemanager`]: TaskManagers, their slots, and which job gets which.
//! - [`jobmaster`]: one for each job: scheduler, execution graph, checkpoint coordinator, coordinators of sources and of
//!   collected results.
//! - [`ha`]: the records that outlive a JobManager.
//!
//! Each of them is an actor: one tokio task owns its state and handles one message at a time; RPC and REST handlers only
//! forward. What they decide is decided by pure functions ([`resourcemanager::slot_manager`], [`jobmaster::scheduler`]).
//!
//! Invariant: a job ends in exactly one terminal state, holds no slot afterwards, and its cause is in its exception history.
#![cfg_attr(test, allow(clippy::disallowed_methods, reason = "tests start what they end"))]
pub mod application;
mod candidate;
pub mod cluster;
pub mod components;
pub mod dispatcher;
pub mod failure;
mod gateway;
pub mod ha;
pub mod jobmaster;
mod operations;
pub mod options;
pub mod resourcemanager;
mod rest;
mod rpc;
