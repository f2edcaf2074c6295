//! Functions of BITMAP, a set of 32-bit integers that is kept in its serialized form.
use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryViewArray, Int32Array, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Int32Type, Int64Type};

pub use self::set::{Bitmap, Operation};
use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Bytes, Kernel};

mod set;

/// Behind so many letters a text has dots for the numbers that are left, as in Flink.
const TEXT_LETTERS: usize = 0x8_0000;
/// Letters of a number and its comma, at most.
const NUMBER_LETTERS: usize = 11;

/// The numbers in curly brackets.
fn push_text(bitmap: &Bitmap, out: &mut String) {
    let before = out.len();
    out.push('{');
    for (index, number) in bitmap.numbers().enumerate() {
        out.push_str(if index > 0 { "," } else { "" });
        if index > 0 && out.len() - before > TEXT_LETTERS {
            out.push_str("...");
            break;
        }
        out.push_str(&number.to_string());
    }
    out.push('}');
}

/// The numbers of a bitmap, as a CAST gives them.
pub fn push_bytes(bitmap: &[u8], out: &mut String) {
    // A column has nothing else than bitmaps.
    if let Ok(bitmap) = Bitmap::read(bitmap) {
        push_text(&bitmap, out);
    }
}

/// The letters of the texts of a column, at most: a container of bits has a number a bit, a list one in two bytes.
pub(crate) fn text_letters(bitmaps: &BinaryViewArray) -> usize {
    let letters = |bitmap: &[u8]| {
        let numbers = if bitmap.len() < set::BYTES_OF_BITS { bitmap.len() / 2 } else { bitmap.len() * 8 };
        (numbers * NUMBER_LETTERS).min(TEXT_LETTERS + 2 * NUMBER_LETTERS)
    };
    bitmaps.iter().flatten().map(letters).sum()
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
            push_text(&Bitmap::read(bitmap)?, out);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// RoaringBitmap's `toString` looks at the length behind each comma.
    #[test]
    fn a_long_text_ends_with_dots() {
        let text = |numbers: u32| {
            let mut text = "x".to_owned();
            push_text(&Bitmap::of(1_000_000_000..1_000_000_000 + numbers), &mut text);
            text.split_off(1)
        };
        assert_eq!(text(2), "{1000000000,1000000001}");
        // A bracket and 47,662 numbers with their commas are 524,283 letters, one more makes 524,294.
        assert!(text(47_663).ends_with(",1000047662}"));
        assert!(text(47_664).ends_with(",1000047662,...}"));
        assert_eq!(text(60_000), text(47_664));
        let mut bytes = Vec::new();
        Bitmap::of(0..60_000).write(&mut bytes);
        let column = BinaryViewArray::from_iter_values([bytes.as_slice(), bytes.as_slice()]);
        assert!(text_letters(&column) >= 2 * TEXT_LETTERS && text_letters(&column) < 2 * TEXT_LETTERS + 100);
    }
}
