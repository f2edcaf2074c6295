//! The back ends that hold keyed state: `hashmap` in memory, `rocksdb` on local disk.
//!
//! - [`backend()`]: the back end that a job's configuration names; [`StateResources`]: what all of them share in a TaskManager.
//! - `hashmap`, `rocksdb`: the back ends. Each restores what the other one has written.
//! - `canonical`: files of sorted entries, which both write and read.
//!
//! Invariant: what links this crate runs tasks. Operators know the contract alone, which is in [`wiesel_state::keyed`].
mod backend;
mod canonical;
mod hashmap;
mod local;
mod rocksdb;
mod tables;

pub use backend::{StateResources, backend};
