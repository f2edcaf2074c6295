//! Functions of BITMAP, a set of 32-bit integers that is kept in its serialized form.
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};

pub use self::set::{Bitmap, Operation};
use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Bytes, Kernel};

mod set;

/// The numbers in curly brackets.
pub(crate) fn push_text(bitmap: &Bitmap, out: &mut String) -> Result<()> {
    out.push('{');
    for (index, number) in bitmap.numbers().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        out.push_str(&number.to_string());
        check_value(out.len())?;
    }
    out.push('}');
    Ok(())
}

/// The numbers of a bitmap, as a CAST gives them.
pub(crate) fn push_bytes(bitmap: &[u8], out: &mut String) {
    // A column has nothing else than bitmaps; what is too long is cut where the cast looks at its length.
    let _ = Bitmap::read(bitmap).and_then(|bitmap| push_text(&bitmap, out));
}

/// `BITMAP_BUILD(integers)`: null is left out.
pub(super) fn build(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let lists = args.array(0).as_list::<i32>();
        args.byte_strings(|row, out| {
            let row = args.row(0, row);
            if lists.is_null(row) {
                return Ok(false);
            }
            let numbers = lists.value(row);
            Bitmap::of(numbers.as_primitive::<Int32Type>().iter().flatten().map(|number| number as u32)).write(out);
            Ok(true)
        })
    }))
}

/// `BITMAP_FROM_BYTES(bytes)`.
pub(super) fn from_bytes(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let bytes = args.read::<Bytes>(0)?;
        args.byte_strings(|row, out| {
            let Some(bytes) = bytes.get(row) else { return Ok(false) };
            Bitmap::read(bytes)?.write(out);
            Ok(true)
        })
    }))
}

/// `BITMAP_TO_BYTES(bitmap)`.
pub(super) fn to_bytes(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| args.expanded(0)))
}

/// `BITMAP_TO_STRING(bitmap)`.
pub(super) fn to_string(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let bitmaps = args.read::<Bytes>(0)?;
        args.strings(|row, out| {
            let Some(bitmap) = bitmaps.get(row) else { return Ok(false) };
            push_text(&Bitmap::read(bitmap)?, out)?;
            Ok(true)
        })
    }))
}

/// `BITMAP_CARDINALITY(bitmap)`.
pub(super) fn cardinality(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let bitmaps = args.read::<Bytes>(0)?;
        args.collect::<Int64Type>(|row| match bitmaps.get(row) {
            Some(bitmap) => Ok(Some(Bitmap::read(bitmap)?.cardinality() as i64)),
            None => Ok(None),
        })
    }))
}

/// `BITMAP_TO_ARRAY(bitmap)`: in the order of the numbers without a sign.
pub(super) fn to_array(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let bitmaps = args.read::<Bytes>(0)?;
        let (mut numbers, mut lengths, mut valid) = (Vec::new(), Vec::new(), Vec::new());
        let mut made = args.made();
        for row in 0..args.rows {
            let before = numbers.len();
            if let Some(bitmap) = bitmaps.get(row) {
                let bitmap = Bitmap::read(bitmap)?;
                let count = usize::try_from(bitmap.cardinality()).unwrap_or(usize::MAX);
                check_value(count.saturating_mul(size_of::<u128>()))?;
                made.add_elements(count)?;
                numbers.extend(bitmap.numbers().map(|number| number as i32));
            }
            lengths.push(numbers.len() - before);
            valid.push(bitmaps.get(row).is_some());
        }
        args.claim(made.bytes)?;
        let item = Arc::new(Field::new("item", DataType::Int32, true));
        let (offsets, nulls) = (OffsetBuffer::from_lengths(lengths), NullBuffer::from(valid));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(Int32Array::from(numbers)), Some(nulls))?))
    }))
}

/// `BITMAP_AND`, `BITMAP_OR`, `BITMAP_XOR`, `BITMAP_ANDNOT` of two bitmaps.
pub(super) fn combine(site: &Site) -> Result<Kernel> {
    let operation = match site.function {
        "BITMAP_AND" => Operation::And,
        "BITMAP_OR" => Operation::Or,
        "BITMAP_XOR" => Operation::Xor,
        "BITMAP_ANDNOT" => Operation::AndNot,
        other => return Err(Error::Plan(format!("{other} is no function of two bitmaps"))),
    };
    Ok(Box::new(move |args| {
        let (left, right) = (args.read::<Bytes>(0)?, args.read::<Bytes>(1)?);
        args.byte_strings(|row, out| {
            let (Some(left), Some(right)) = (left.get(row), right.get(row)) else { return Ok(false) };
            Bitmap::read(left)?.combined(&Bitmap::read(right)?, operation).write(out);
            Ok(true)
        })
    }))
}
