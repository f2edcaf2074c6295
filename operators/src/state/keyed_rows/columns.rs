//! Values of rows in columns, by the rows' numbers.
use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use crate::aggregate::key_bytes::KeyBytes;
use crate::aggregate::keys::{is_fixed, read_words, write_words};
use crate::aggregate::{to_logical, to_physical};
use crate::operator::{Error, Result};
use crate::rows::{Encoded, ValueCodec};
use crate::state::bits::Bits;

/// No row: its values are null.
pub const NONE: u32 = u32::MAX;

/// The columns.
pub(super) struct RowColumns {
    columns: Vec<Column>,
}

enum Column {
    /// Of a fixed width of up to eight bytes.
    Words { data_type: DataType, words: Vec<u64>, nulls: Bits },
    /// Anything else, as bytes.
    Bytes { codec: ValueCodec, null: Box<[u8]>, bytes: KeyBytes, batch: Encoded },
}

impl Column {
    fn new(data_type: &DataType) -> Result<Self> {
        if is_fixed(data_type) {
            return Ok(Self::Words { data_type: data_type.clone(), words: Vec::new(), nulls: Bits::default() });
        }
        let codec = ValueCodec::new(std::slice::from_ref(data_type))?;
        let mut null = Encoded::default();
        codec.encode(&[arrow::array::new_null_array(data_type, 1)], 1, 0, &mut null)?;
        let null = null.get(0).into();
        Ok(Self::Bytes { codec, null, bytes: KeyBytes::default(), batch: Encoded::default() })
    }

    fn set(&mut self, rows: &[u32], column: &ArrayRef) -> Result<()> {
        match self {
            Self::Words { words, nulls, .. } => {
                let physical = to_physical(column);
                let mut batch = Vec::with_capacity(rows.len());
                read_words(&physical, &mut batch)?;
                let absent = physical.logical_nulls().filter(|nulls| nulls.null_count() > 0);
                for (at, (row, word)) in rows.iter().zip(batch).enumerate() {
                    words[*row as usize] = word;
                    match &absent {
                        Some(absent) if absent.is_null(at) => nulls.insert(*row),
                        _ => nulls.remove(*row),
                    }
                }
            }
            Self::Bytes { codec, bytes, batch, .. } => {
                codec.encode(std::slice::from_ref(column), rows.len(), 0, batch)?;
                for (at, row) in rows.iter().enumerate() {
                    bytes.remove(std::slice::from_ref(row));
                    bytes.set(*row, batch.get(at));
                }
            }
        }
        Ok(())
    }

    fn get(&self, rows: &[u32]) -> Result<ArrayRef> {
        match self {
            Self::Words { data_type, words, nulls } => {
                let valid = NullBuffer::from_iter(rows.iter().map(|row| *row != NONE && !nulls.has(*row)));
                let valid = (valid.null_count() > 0).then_some(valid);
                let words = rows.iter().map(|row| words.get(*row as usize).copied().unwrap_or_default());
                Ok(to_logical(write_words(words, valid, data_type)?, data_type))
            }
            Self::Bytes { codec, null, bytes, .. } => {
                // Rows that are gone have none, either.
                let value = |row: &u32| match *row {
                    NONE => &null[..],
                    row => Some(bytes.get(row)).filter(|value| !value.is_empty()).unwrap_or(null),
                };
                let column = codec.decode(rows.iter().map(value))?;
                column.into_iter().next().ok_or_else(|| Error::Plan("values without a column".into()))
            }
        }
    }
}

impl RowColumns {
    /// Of these types.
    ///
    /// # Errors
    /// A type cannot be kept.
    pub(super) fn new(types: &[DataType]) -> Result<Self> {
        Ok(Self { columns: types.iter().map(Column::new).collect::<Result<_>>()? })
    }

    /// Makes room for rows below this number.
    pub(super) fn resize(&mut self, rows: usize) {
        for column in &mut self.columns {
            match column {
                Column::Words { words, .. } => words.resize(rows.max(words.len()), 0),
                Column::Bytes { bytes, .. } if rows > 0 => bytes.extend_to(rows as u32 - 1),
                Column::Bytes { .. } => {}
            }
        }
    }

    /// Gives rows these values; of a row that is there several times, the last.
    pub(super) fn set(&mut self, rows: &[u32], values: &[ArrayRef]) -> Result<()> {
        self.columns.iter_mut().zip(values).try_for_each(|(column, values)| column.set(rows, values))
    }

    /// The values of rows.
    pub(super) fn get(&self, rows: &[u32]) -> Result<Vec<ArrayRef>> {
        self.columns.iter().map(|column| column.get(rows)).collect()
    }

    /// Takes the values of rows away.
    pub(super) fn remove(&mut self, rows: &[u32]) {
        for column in &mut self.columns {
            if let Column::Bytes { bytes, .. } = column {
                bytes.remove(rows);
            }
        }
    }

    /// Bytes of a row in columns of a fixed width.
    pub(super) fn width(&self) -> usize {
        self.columns.iter().filter(|column| matches!(column, Column::Words { .. })).count() * size_of::<u64>()
    }

    /// Bytes of so many rows in other columns.
    pub(super) fn heap(&self, rows: usize) -> usize {
        let heap = |column: &Column| match column {
            Column::Words { .. } => 0,
            Column::Bytes { bytes, .. } => bytes.size(rows),
        };
        self.columns.iter().map(heap).sum()
    }
}
