//! The messages and services that Wiesel's processes and formats are made of, generated from `proto/wiesel/*.proto`, and a bound
//! on the memory that decoding one takes.
//!
//! The `.proto` files are the documentation of the messages.
#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

mod bound;

pub use bound::{Shaped, Undecodable, check_memory, decode_at_most};

tonic::include_proto!("wiesel");

/// What a process says of its build, for people and for other processes: the release, and which messages it has. The processes
/// of a cluster have the same; what two builds make of the same bytes may differ, without an error.
pub const RELEASE: &str = concat!(env!("CARGO_PKG_VERSION"), " (messages ", env!("WIESEL_MESSAGES"), ")");

/// What each message takes.
mod shapes {
    use crate::bound::{Holds, Shape, Shaped};

    include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
}
