//! Single values of any type, as bytes: for functions that keep the values themselves.
use arrow::array::{Array, ArrayRef};
use arrow::datatypes::DataType;

use crate::operator::{Error, Result};
use crate::rows::{self, Encoded};

/// A value; null is one, too.
pub(super) type Value = Box<[u8]>;

/// Turns values into bytes and back.
pub(super) struct ValueCodec(rows::ValueCodec);

impl ValueCodec {
    pub(super) fn new(data_type: &DataType) -> Result<Self> {
        Ok(Self(rows::ValueCodec::new(std::slice::from_ref(data_type))?))
    }

    /// The values of an array.
    pub(super) fn encode(&self, array: &ArrayRef) -> Result<Encoded> {
        let mut values = Encoded::default();
        self.0.encode(std::slice::from_ref(array), array.len(), 0, &mut values)?;
        Ok(values)
    }

    /// An array of these values.
    pub(super) fn decode<'a>(&self, values: impl Iterator<Item = &'a [u8]>) -> Result<ArrayRef> {
        let column = self.0.decode(values)?.pop();
        column.ok_or_else(|| Error::Plan("values without a column".into()))
    }
}
