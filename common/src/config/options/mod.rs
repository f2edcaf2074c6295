//! The options that several crates read, one file a component. What one crate alone reads it declares itself.
pub mod checkpointing;
pub mod cluster;
pub mod job;
pub mod jobmanager;
pub mod memory;
pub mod network;
pub mod rest;
pub mod restart;
pub mod s3;
pub mod state;
pub mod taskmanager;
