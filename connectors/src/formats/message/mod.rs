//! Single messages, as connectors of queues have them: bytes in, rows with their kinds out, and the other way round.
//!
//! - [`DeserializationSchema`], [`SerializationSchema`]: what a format makes of a message, and of a row.
//! - [`KeyValueFormat`]: the formats of a table whose records are messages with a key and a value, from its options
//!   (`key.format`, `value.format`, `key.fields`, ...). A [`KeyValueDeserializer`] puts the rows of both together, a
//!   [`KeyValueSerializer`] takes them apart.
use arrow::array::{ArrayRef, Int8Array};
use wiesel_expressions::row_kind::RowKind;
use wiesel_operators::operator::Result;

mod decoded;
mod deserializer;
mod key_value;
mod serializer;
#[cfg(test)]
mod tests;

pub(super) use decoded::DecodedMessages;
pub use deserializer::KeyValueDeserializer;
pub use key_value::KeyValueFormat;
pub use serializer::{KeyValueSerializer, Message};

/// What became of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Rows that were added.
    pub rows: usize,
    /// Bytes of their values.
    pub bytes: usize,
}

/// Rows that were made of messages.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The wanted columns.
    pub columns: Vec<ArrayRef>,
    /// How many there are: there may be no column.
    pub rows: usize,
    /// A [`RowKind`] a row; none: all are inserts.
    pub kinds: Option<Int8Array>,
}

/// Messages to rows.
pub trait DeserializationSchema: Send {
    /// Adds the rows of a message to those that wait: one, several, or none, as where what cannot be read is to be ignored.
    ///
    /// # Errors
    /// It cannot be read. The rows that wait are of no use then.
    fn deserialize(&mut self, message: &[u8]) -> Result<Made>;

    /// The rows that wait have as many bytes as those of a batch may have.
    fn is_full(&self) -> bool;

    /// The rows that wait; none are left after it.
    fn take(&mut self) -> Rows;
}

/// Rows to messages.
pub trait SerializationSchema: Send {
    /// Appends the message of a row.
    ///
    /// # Errors
    /// The format has no message for a value.
    fn serialize(&mut self, columns: &[ArrayRef], row: usize, kind: RowKind, out: &mut Vec<u8>) -> Result<()>;
}
