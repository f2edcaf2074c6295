//! Rows to keys and values.
use arrow::array::ArrayRef;
use wiesel_expressions::row_kind::RowKind;
use wiesel_operators::element::Batch;
use wiesel_operators::operator::Result;

use super::SerializationSchema;

/// A schema, and where its columns stand among the physical ones.
type Part = (Box<dyn SerializationSchema>, Vec<usize>);

/// Makes messages of rows.
pub struct KeyValueSerializer {
    key: Option<Part>,
    value: Part,
    key_bytes: Vec<u8>,
    value_bytes: Vec<u8>,
}

/// The message of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Which row of the batch.
    pub row: usize,
    /// What the row is.
    pub kind: RowKind,
    /// None: there is no key format.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: &'a [u8],
}

impl KeyValueSerializer {
    pub(super) fn new(key: Option<Part>, value: Part) -> Self {
        Self { key, value, key_bytes: Vec::new(), value_bytes: Vec::new() }
    }

    /// Hands over the message of each row of a batch, whose first columns are the table's physical ones.
    ///
    /// # Errors
    /// A value that a format has no message for, or what `each` says.
    pub fn serialize(&mut self, batch: &Batch, mut each: impl FnMut(Message<'_>) -> Result<()>) -> Result<()> {
        let Self { key, value: (value_schema, value_columns), key_bytes, value_bytes } = self;
        let columns = |wanted: &[usize]| -> Vec<ArrayRef> {
            wanted.iter().map(|index| batch.records.column(*index).clone()).collect()
        };
        let mut key = key.as_mut().map(|(schema, wanted)| (schema, columns(wanted)));
        let of_value = columns(value_columns);
        for row in 0..batch.num_rows() {
            let kind = batch.kind(row);
            let key = match &mut key {
                None => None,
                Some((schema, columns)) => {
                    key_bytes.clear();
                    schema.serialize(columns, row, kind, key_bytes)?;
                    Some(key_bytes.as_slice())
                }
            };
            value_bytes.clear();
            value_schema.serialize(&of_value, row, kind, value_bytes)?;
            each(Message { row, kind, key, value: value_bytes.as_slice() })?;
        }
        Ok(())
    }
}
