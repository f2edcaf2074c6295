//! Keyed state of operators: rows in the tables of a back end, and which of them are at hand in columns.
//!
//! - [`table`]: keys and values as bytes. A key is `key group (u16 BE) | namespace (i64, order-preserving BE, if the table has
//!   one) | key columns in Arrow's row format`, a value the row format of its columns, behind the time of its last write (i64
//!   BE, milliseconds) where the table has a time to live.
//! - [`cache`]: the groups of an operator as a write-back cache of a table.
//! - [`kept_back`]: those that a snapshot has beside the table.
//!
//! Nothing is written while the cache is within its budget and no snapshot is taken, and nothing is read as long as all that
//! the table has is in the cache.
pub(crate) mod bits;
pub(crate) mod cache;
pub(crate) mod kept_back;
pub(crate) mod table;
#[cfg(test)]
mod tests;
