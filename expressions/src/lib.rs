//! Flink's types, and expressions over rows of them.
//!
//! - [`types`]: Flink's logical types and the Arrow types that hold them; [`row_kind`]: what a row of a changelog does.
//! - [`expression`]: typed expressions over a row, compiled once into vectorised evaluation.
//! - [`calendar`]: dates between counts of days and year, month and day.
//! - [`cast`]: CAST and TRY_CAST between the types.
//! - [`functions`]: the built-in scalar functions, and their catalogue.
//! - [`java_map`]: the order of entries where Flink makes a map of Java's.
//! - [`not_null`]: what becomes of null in a column that is NOT NULL.
//! - [`error`]: why an expression failed.
//!
//! Invariant: an expression knows the columns of a batch, the session's time zone, the clock and the watermark. It knows no operator,
//! no state and no connector.
pub mod calendar;
pub mod cast;
pub mod error;
pub mod expression;
pub mod functions;
pub mod java_map;
pub mod not_null;
pub mod row_kind;
pub mod types;
