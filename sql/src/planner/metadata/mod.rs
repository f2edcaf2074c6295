//! What can be known of the rows of a relation before there are any. A property is a file, and in it one function over all
//! relations, which names each of them: a new relation is not taken for another.
//!
//! - `windows`: which window a column bounds;
//! - `keys`: columns that no two rows, or no two changes of different rows, have alike;
//! - `monotonicity`: how a column changes where a row is updated;
//! - `boundedness`: whether the rows end;
//! - `state`: how much has to be kept of them.
mod boundedness;
mod keys;
mod monotonicity;
mod state;
mod windows;

pub use boundedness::is_bounded;
pub use keys::{Key, unique_keys, upsert_keys};
pub use monotonicity::{Monotonicity, monotonicity};
pub use state::{StateBound, state_bound};
pub use windows::{Bound, WindowKey, appended, bounds, window_key};
