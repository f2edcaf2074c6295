//! Single values of any type, as bytes in Arrow's row format: for functions that keep the values themselves.
use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, Rows, SortField};

use super::nested::{retype, row_type, to_rows};
use crate::operator::{Error, Result};

/// A value; null is one, too.
pub(super) type Value = Box<[u8]>;

/// Turns values into bytes and back.
pub(super) struct ValueCodec {
    converter: RowConverter,
    data_type: DataType,
}

impl ValueCodec {
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        let converter = RowConverter::new(vec![SortField::new(row_type(data_type))])
            .map_err(|e| Error::Plan(format!("values of {data_type} cannot be kept: {e}")))?;
        Ok(Self { converter, data_type: data_type.clone() })
    }

    /// The values of an array.
    pub(super) fn encode(&self, array: &ArrayRef) -> Result<Rows> {
        Ok(self.converter.convert_columns(&[to_rows(array)?])?)
    }

    /// An array of these values.
    pub(super) fn decode<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        let parser = self.converter.parser();
        let columns = self.converter.convert_rows(values.map(|value| parser.parse(value)))?;
        Ok(retype(&columns[0], &self.data_type)?)
    }
}
