//! Keys and values to rows.
use arrow::array::{ArrayRef, AsArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::Int8Type;
use wiesel_expressions::expression::{BATCH_BYTES, ROW_BYTES};
use wiesel_operators::operator::{Error, Result};

use super::{DeserializationSchema, Made, Rows};

/// Makes rows of messages. Each row of a message's value comes once with each row of its key; without a key format, alone.
pub struct KeyValueDeserializer {
    key: Option<Box<dyn DeserializationSchema>>,
    value: Box<dyn DeserializationSchema>,
    /// Where each wanted column comes from: whether from the key, and which of its wanted ones it is.
    columns: Vec<(bool, usize)>,
    /// Rows that the key schema and the value schema hold.
    held: (usize, usize),
    /// Which of them the rows that wait are made of. None: the first of the first, and so on.
    pairs: Option<Pairs>,
    rows: usize,
    bytes: usize,
}

#[derive(Default)]
struct Pairs {
    keys: Vec<u32>,
    values: Vec<u32>,
}

impl KeyValueDeserializer {
    pub(super) fn new(
        key: Option<Box<dyn DeserializationSchema>>,
        value: Box<dyn DeserializationSchema>,
        columns: Vec<(bool, usize)>,
    ) -> Self {
        Self { key, value, columns, held: (0, 0), pairs: None, rows: 0, bytes: 0 }
    }

    /// Adds the rows of a message to those that wait, and says how many. A null key, or a null value, has none.
    ///
    /// # Errors
    /// It cannot be read, or has more rows than one message may have. The rows that wait are of no use then.
    pub fn deserialize(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<usize> {
        let of_key = match (&mut self.key, key) {
            (Some(schema), Some(key)) => schema.deserialize(key)?,
            (Some(_), None) => Made::default(),
            (None, _) => Made { rows: 1, bytes: 0 },
        };
        let of_value = value.map_or(Ok(Made::default()), |value| self.value.deserialize(value))?;
        let rows = if self.key.is_some() { self.pair(of_key, of_value)? } else { of_value.rows };
        self.rows += rows;
        Ok(rows)
    }

    /// How many rows wait.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// They have as many bytes as those of a batch may have.
    pub fn is_full(&self) -> bool {
        self.value.is_full() || self.bytes >= BATCH_BYTES || self.key.as_ref().is_some_and(|key| key.is_full())
    }

    /// The rows that wait, with the wanted columns; none are left after it.
    ///
    /// # Errors
    /// The columns of both do not fit: a fault.
    pub fn take(&mut self) -> Result<Rows> {
        let of_value = self.value.take();
        let of_key = self.key.as_mut().map(|key| key.take());
        let rows = std::mem::take(&mut self.rows);
        (self.held, self.bytes) = ((0, 0), 0);
        let indexes = self.pairs.take().map(|pairs| (UInt32Array::from(pairs.keys), UInt32Array::from(pairs.values)));
        let column = |(from_key, index): &(bool, usize)| -> Result<ArrayRef> {
            let of = if *from_key { of_key.as_ref() } else { Some(&of_value) };
            let column = of.and_then(|rows| rows.columns.get(*index));
            let column = column.ok_or_else(|| Error::Plan(format!("a message without column {index}")))?;
            Ok(match &indexes {
                None => column.clone(),
                Some((keys, values)) => take(column, if *from_key { keys } else { values }, None)?,
            })
        };
        let columns = self.columns.iter().map(column).collect::<Result<Vec<_>>>()?;
        let kinds = match (of_value.kinds, &indexes) {
            (Some(kinds), Some((_, values))) => Some(take(&kinds, values, None)?.as_primitive::<Int8Type>().clone()),
            (kinds, _) => kinds,
        };
        Ok(Rows { columns, rows, kinds })
    }

    /// Puts each row of a key to each row of its value.
    fn pair(&mut self, key: Made, value: Made) -> Result<usize> {
        let (first_key, first_value) = self.held;
        self.held = (first_key + key.rows, first_value + value.rows);
        if self.pairs.is_none() && key.rows == 1 && value.rows == 1 {
            return Ok(1);
        }
        let pairs = key.rows.saturating_mul(value.rows);
        let copied = value.rows.saturating_mul(key.bytes).saturating_add(key.rows.saturating_mul(value.bytes));
        let bytes = copied.saturating_add(pairs.saturating_mul(2 * size_of::<u32>()));
        if pairs > 1 && bytes > ROW_BYTES {
            let message = format!(
                "A message with {} rows in its key and {} in its value would be {pairs} rows of {bytes} bytes together: one message may \
                 be at most {ROW_BYTES} bytes. Write messages with fewer rows",
                key.rows, value.rows
            );
            return Err(Error::data("java.io.IOException", message));
        }
        self.bytes = self.bytes.saturating_add(bytes);
        let mut all = self.pairs.take().unwrap_or_else(|| {
            let before: Vec<u32> = (0..self.rows as u32).collect();
            Pairs { keys: before.clone(), values: before }
        });
        for row in first_value..self.held.1 {
            for of_key in first_key..self.held.0 {
                all.keys.push(of_key as u32);
                all.values.push(row as u32);
            }
        }
        self.pairs = Some(all);
        Ok(pairs)
    }
}
