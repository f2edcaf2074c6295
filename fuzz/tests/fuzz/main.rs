//! The fuzz targets: see the crate's documentation for how to run them and how to go on from what they find.
#![allow(clippy::unwrap_used)]
mod configuration;
mod files;
mod frames;
mod job_graphs;
mod messages;
mod metadata;
mod planned;
mod sql;
mod state_files;

#[global_allocator]
static ALLOCATOR: wiesel_fuzz::Counting = wiesel_fuzz::Counting;
