//! What can be known of the rows of a relation before there are any. A property is a file, and in it one function over all
//! relations, which names each of them: a new relation is not taken for another.
//!
//! - `windows`: which window a column bounds;
//! - `keys`: columns by which the changes of a row are told from those of other rows;
//! - `boundedness`: whether the rows end.
//!
//! A property is here once a decision follows from it.
mod boundedness;
mod keys;
mod windows;

pub(crate) use boundedness::is_bounded;
pub(crate) use keys::upsert_keys;
pub(crate) use windows::{Bound, WindowKey, WindowTime, bounds, window_keys};
