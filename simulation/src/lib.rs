//! A cluster in one thread, whose time, network, storage and misfortunes follow from a seed.
//!
//! What runs is the real code of JobManager and TaskManagers: Dispatcher, ResourceManager, JobMasters with their schedulers,
//! checkpoint coordinators and holders of operators' coordinators, TaskExecutors with their slot tables, and the gRPC services between
//! them. What is played: the [`network`], the [`store`] for checkpoints, the [`task`]s with their rows ([`data`]), the system
//! that sinks write to ([`external`]), the clocks ([`process`]) and the client ([`cluster`]).
//!
//! - [`cluster`]: one run from a seed, and what must hold in it.
//! - [`agreement`]: what the tables of slots say of each other.
//! - [`attempts`]: what runs, and whether twice.
//! - [`faults`]: what goes wrong.
//! - [`workload`]: what is to be done whatever goes wrong.
//! - [`tickets`]: what coordinators and subtasks say to each other meanwhile.
//! - [`entropy`]: why the same seed gives the same run.
//!
//! Invariant: a run reads no clock, starts no thread and does no I/O.
#![allow(clippy::disallowed_methods, reason = "what is played here ends with its process, which is played as well")]
pub mod agreement;
pub mod attempts;
pub mod client;
pub mod cluster;
pub mod data;
pub mod endpoint;
pub mod entropy;
pub mod external;
pub mod faults;
pub mod network;
pub mod process;
pub mod settings;
pub mod store;
pub mod successions;
pub mod task;
pub mod tickets;
pub mod workload;
