//! The messages and services that Wiesel's processes and formats are made of, generated from `proto/wiesel/*.proto`, and a bound
//! on the memory that decoding one takes.
//!
//! The `.proto` files are the documentation of the messages.
#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

mod bound;

pub use bound::{Shaped, Undecodable, check_memory, decode_at_most};

tonic::include_proto!("wiesel");

/// What each message takes.
mod shapes {
    use crate::bound::{Holds, Shape, Shaped};

    include!(concat!(env!("OUT_DIR"), "/shapes.rs"));
}
