//! Values of a fixed width, as bytes in their order: alike in keys and values.
//!
//! | values | bytes |
//! | --- | --- |
//! | booleans | 00 or 01 |
//! | whole numbers, times, decimals | the two's complement, big endian, its first bit flipped |
//! | floating point | IEEE 754, big endian: of negative ones all bits flipped, else the first |
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BooleanArray, Decimal128Array, PrimitiveArray};
use arrow::buffer::{BooleanBuffer, NullBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};

use super::corrupt;
use super::shape::{Kind, Node, Part};
use crate::aggregate::to_logical;
use crate::operator::{Error, Result};

/// A number as bytes in its order.
trait Ordered<const W: usize>: Copy {
    fn to_bytes(self) -> [u8; W];
    fn from_bytes(bytes: [u8; W]) -> Self;
}

macro_rules! ordered_integers {
    ($($signed:ty, $unsigned:ty, $width:literal;)*) => {$(
        impl Ordered<$width> for $signed {
            #[inline]
            fn to_bytes(self) -> [u8; $width] {
                (self as $unsigned ^ 1 << (<$unsigned>::BITS - 1)).to_be_bytes()
            }

            #[inline]
            fn from_bytes(bytes: [u8; $width]) -> Self {
                (<$unsigned>::from_be_bytes(bytes) ^ 1 << (<$unsigned>::BITS - 1)) as $signed
            }
        }
    )*};
}

macro_rules! ordered_floats {
    ($($float:ty, $bits:ty, $width:literal;)*) => {$(
        impl Ordered<$width> for $float {
            #[inline]
            fn to_bytes(self) -> [u8; $width] {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = self.to_bits();
                (if bits & SIGN == 0 { bits | SIGN } else { !bits }).to_be_bytes()
            }

            #[inline]
            fn from_bytes(bytes: [u8; $width]) -> Self {
                const SIGN: $bits = 1 << (<$bits>::BITS - 1);
                let bits = <$bits>::from_be_bytes(bytes);
                Self::from_bits(if bits & SIGN == 0 { !bits } else { bits ^ SIGN })
            }
        }
    )*};
}

ordered_integers! {
    i8, u8, 1;
    i16, u16, 2;
    i32, u32, 4;
    i64, u64, 8;
    i128, u128, 16;
}

ordered_floats! {
    f32, u32, 4;
    f64, u64, 8;
}

/// Where the values of one column go.
pub(super) trait Sink {
    fn put<const W: usize>(&mut self, row: usize, value: [u8; W]);
}

/// Where the values of one column come from.
pub(super) trait Source {
    /// All values, those that are null as anything.
    fn take<const W: usize, T>(&mut self, value: impl Fn([u8; W]) -> T) -> Result<(Vec<T>, Option<NullBuffer>)>;
}

/// Writes all values of a part, those that are null as anything.
pub(super) fn write(node: &Node, part: &Part, sink: &mut impl Sink) -> Result<()> {
    let column = &part.column;
    match node.kind {
        Kind::Boolean => {
            let values = column.as_boolean().values().iter();
            values.enumerate().for_each(|(row, value)| sink.put(row, [u8::from(value)]));
        }
        Kind::Int8 => write_numbers::<Int8Type, 1>(column, sink),
        Kind::Int16 => write_numbers::<Int16Type, 2>(column, sink),
        Kind::Int32 => write_numbers::<Int32Type, 4>(column, sink),
        Kind::Int64 => write_numbers::<Int64Type, 8>(column, sink),
        Kind::Float32 => write_numbers::<Float32Type, 4>(column, sink),
        Kind::Float64 => write_numbers::<Float64Type, 8>(column, sink),
        Kind::ShortDecimal => write_short_decimals(node, part, sink)?,
        Kind::LongDecimal => write_numbers::<Decimal128Type, 16>(column, sink),
        Kind::Null | Kind::Row | Kind::Bytes | Kind::Collection(_) => {}
    }
    Ok(())
}

fn write_numbers<T, const W: usize>(column: &ArrayRef, sink: &mut impl Sink)
where
    T: ArrowPrimitiveType,
    T::Native: Ordered<W>,
{
    let values = column.as_primitive::<T>().values();
    values.iter().enumerate().for_each(|(row, value)| sink.put(row, value.to_bytes()));
}

fn write_short_decimals(node: &Node, part: &Part, sink: &mut impl Sink) -> Result<()> {
    for (row, value) in part.column.as_primitive::<Decimal128Type>().values().iter().enumerate() {
        // What is behind a null may be anything.
        match i64::try_from(*value) {
            Ok(short) => sink.put(row, short.to_bytes()),
            Err(_) if !part.is_valid(row) => sink.put(row, 0i64.to_bytes()),
            Err(_) => {
                let message = format!("the unscaled value {value} has more digits than {}", node.data_type);
                return Err(Error::data("java.lang.ArithmeticException", message));
            }
        }
    }
    Ok(())
}

/// Reads all values of a part.
pub(super) fn read(node: &Node, source: &mut impl Source) -> Result<ArrayRef> {
    let array: ArrayRef = match node.kind {
        Kind::Boolean => {
            let (values, nulls) = source.take(|[byte]: [u8; 1]| byte)?;
            if values.iter().any(|byte| *byte > 1) {
                return Err(corrupt("a boolean is neither true nor false"));
            }
            let values: BooleanBuffer = values.iter().map(|byte| *byte == 1).collect();
            Arc::new(BooleanArray::new(values, nulls))
        }
        Kind::Int8 => read_numbers::<Int8Type, 1>(source)?,
        Kind::Int16 => read_numbers::<Int16Type, 2>(source)?,
        Kind::Int32 => read_numbers::<Int32Type, 4>(source)?,
        Kind::Int64 => read_numbers::<Int64Type, 8>(source)?,
        Kind::Float32 => read_numbers::<Float32Type, 4>(source)?,
        Kind::Float64 => read_numbers::<Float64Type, 8>(source)?,
        Kind::ShortDecimal => {
            let (values, nulls) = source.take(|bytes: [u8; 8]| i128::from(i64::from_bytes(bytes)))?;
            decimals(node, values, nulls)?
        }
        Kind::LongDecimal => {
            let (values, nulls) = source.take(<i128 as Ordered<16>>::from_bytes)?;
            decimals(node, values, nulls)?
        }
        Kind::Null | Kind::Row | Kind::Bytes | Kind::Collection(_) => {
            return Err(Error::Plan(format!("{} has no fixed width", node.data_type)));
        }
    };
    Ok(to_logical(array, &node.data_type))
}

fn read_numbers<T, const W: usize>(source: &mut impl Source) -> Result<ArrayRef>
where
    T: ArrowPrimitiveType,
    T::Native: Ordered<W>,
{
    let (values, nulls) = source.take(<T::Native as Ordered<W>>::from_bytes)?;
    Ok(Arc::new(PrimitiveArray::<T>::new(ScalarBuffer::from(values), nulls)))
}

fn decimals(node: &Node, values: Vec<i128>, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = node.data_type else {
        return Err(Error::Plan(format!("{} is no decimal", node.data_type)));
    };
    let decimals = Decimal128Array::new(ScalarBuffer::from(values), nulls);
    Ok(Arc::new(decimals.with_precision_and_scale(precision, scale)?))
}
