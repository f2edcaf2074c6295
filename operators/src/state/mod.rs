//! Keyed state of operators: rows in the tables of a back end.
//!
//! The operator owns its back end and lends it to each call, with columns of keys and of values: [`KeyedRows`] has many ordered
//! rows a key, [`Timers`] are beside it. With a time to live, writing prolongs it, reading does not, and what has expired is never
//! seen, as with Flink's `OnCreateAndWrite` and `NeverReturnExpired`; the caller gives the time of its clock.
//!
//! Below them, and for the operators that have groups with accumulators:
//!
//! - `table`: keys and values as bytes. A key is `key group (u16 BE) | namespace (i64, order-preserving BE, if the
//!   table has one) | key columns | columns of the sub-key, if the table has one`, a value its columns, behind the time
//!   of its last write (i64 BE, milliseconds) where the table has a time to live; columns are [`crate::rows`].
//! - `former_rows`: tables whose columns are as they were before.
//! - `keyed_rows`: many ordered rows a key, on `write_back`.
//! - `batch`, `access`: which keys of a batch are the same; how timers write all of it at once.
//! - `write_back`: what an operator has at hand of a table, as a write-back cache of it. Nothing is written while it is
//!   within its budget and no snapshot is taken, and nothing is read as long as all that the table has is in it.
//! - `cache`: which of these entries are as the table has them.
//! - `kept_back`: those that a snapshot has beside the table.
mod access;
mod batch;
pub(crate) mod bits;
pub(crate) mod cache;
mod former_rows;
#[cfg(test)]
mod former_rows_tests;
pub(crate) mod kept_back;
mod keyed_rows;
pub(crate) mod table;
mod timers;
pub(crate) mod write_back;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timers_tests;

pub use batch::Keys;
pub use keyed_rows::{KeyedRows, RowRange, RowSet, RowsDescriptor};
pub use timers::{Due, TimeDomain, Timers};
