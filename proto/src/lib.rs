//! The messages and services that Wiesel's processes and formats are made of, generated from `proto/wiesel/*.proto`.
//!
//! Nothing but generated code lives here: the `.proto` files are the documentation.
#![allow(missing_docs, clippy::all, clippy::unwrap_used)]

tonic::include_proto!("wiesel");
