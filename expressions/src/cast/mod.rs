//! CAST and TRY_CAST between Flink's types, with Flink's texts and errors.
//!
//! - [`to_text`]: every type to CHAR and VARCHAR.
//! - [`from_text`]: strings to numbers, truth values, dates, times and timestamps.
//! - [`numeric`]: numbers and truth values among themselves.
//! - [`temporal`]: dates, times and timestamps among themselves, by the session's time zone.
//! - [`nested`]: arrays, maps and rows by their elements.
use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::OffsetBuffer;

use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::kernel::Kernel;
use crate::expression::{MAX_VALUE_BYTES, Zone};
use crate::functions::bitmap_letters;
use crate::types::{LogicalType, MAX_LENGTH, TypeKind};

mod binary;
mod from_text;
mod java_float;
mod java_text;
mod nested;
mod numeric;
mod temporal;
mod to_text;

pub(crate) use java_float::write_integer;
pub use java_float::{write_double, write_float};
pub(crate) use java_text::utf8_as_java;
pub(crate) use numeric::round_double;
pub use numeric::{numeric_to_double, to_decimal};
pub(crate) use temporal::{as_timestamps, to_instant, to_local};
pub(crate) use to_text::writer;

/// A prepared cast of a column.
pub(crate) type Cast = Box<dyn Fn(&ArrayRef) -> Result<ArrayRef> + Send + Sync>;

/// How a cast treats what it cannot cast, and by which zone.
#[derive(Clone, Copy)]
pub(crate) struct Mode {
    /// TRY_CAST: null instead of an error.
    pub lenient: bool,
    /// The session's time zone.
    pub zone: Zone,
}

impl Mode {
    /// Null for an error if the cast is lenient.
    fn settle<T>(self, value: Result<Option<T>>) -> Result<Option<T>> {
        match value {
            Err(_) if self.lenient => Ok(None),
            other => other,
        }
    }
}

/// A cast of one operand to the type of the call.
pub(crate) fn build(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let mode = Mode { lenient: site.function == "TRY_CAST", zone: site.context.zone };
    let cast = cast(&site.operands[0].data_type, site.data_type, mode)?;
    let kind = site.operands[0].data_type.kind.clone();
    let shows = matches!(site.data_type.kind, TypeKind::Char(_) | TypeKind::Varchar(_));
    let padded = padded_length(&site.data_type.kind);
    if padded > MAX_VALUE_BYTES {
        return Err(Error::Plan(format!(
            "a cast to {} is not supported: a single value may have at most {MAX_VALUE_BYTES} bytes",
            site.data_type.kind
        )));
    }
    Ok(Box::new(move |args| {
        let array = args.array(0);
        args.claim((array.len() - array.null_count()).saturating_mul(padded))?;
        if shows {
            args.claim(letters_of_bitmaps(&kind, array))?;
        }
        cast(array)
    }))
}

/// To how many characters or bytes at least a cast to this type fills up every value.
fn padded_length(kind: &TypeKind) -> usize {
    match kind {
        TypeKind::Char(length) | TypeKind::Binary(length) if *length < MAX_LENGTH => *length as usize,
        _ => 0,
    }
}

/// Letters of the texts of all bitmaps within values, at most: these may be a hundred times as long as the bitmaps.
fn letters_of_bitmaps(kind: &TypeKind, array: &ArrayRef) -> usize {
    let within = |offsets: &OffsetBuffer<i32>, values: &ArrayRef, kind: &TypeKind| {
        let (start, end) = (offsets[0] as usize, offsets[offsets.len() - 1] as usize);
        letters_of_bitmaps(kind, &values.slice(start, end - start))
    };
    match kind {
        TypeKind::Bitmap => bitmap_letters(array.as_binary_view()),
        TypeKind::Array(element) => {
            let lists = array.as_list::<i32>();
            within(lists.offsets(), lists.values(), &element.kind)
        }
        TypeKind::Multiset(element) => {
            let maps = array.as_map();
            within(maps.offsets(), maps.keys(), &element.kind)
        }
        TypeKind::Map(key, value) => {
            let maps = array.as_map();
            within(maps.offsets(), maps.keys(), &key.kind).saturating_add(within(
                maps.offsets(),
                maps.values(),
                &value.kind,
            ))
        }
        TypeKind::Row(fields) | TypeKind::Structured(_, fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            columns.map(|(field, column)| letters_of_bitmaps(&field.data_type.kind, column)).sum()
        }
        _ => 0,
    }
}

/// Prepares a cast.
pub(crate) fn cast(from: &LogicalType, to: &LogicalType, mode: Mode) -> Result<Cast> {
    use TypeKind as T;
    let prepared = match (&from.kind, &to.kind) {
        (T::Null, target) => {
            let target = target.to_arrow();
            return Ok(Box::new(move |array| Ok(arrow::array::new_null_array(&target, array.len()))));
        }
        (T::Char(_) | T::Varchar(_), T::Char(_) | T::Varchar(_)) => to_text::resize(&from.kind, &to.kind),
        (_, T::Char(_) | T::Varchar(_)) => to_text::cast(&from.kind, &to.kind, mode),
        (T::Char(_) | T::Varchar(_) | T::Binary(_) | T::Varbinary(_), T::Binary(_) | T::Varbinary(_)) => {
            binary::cast(&from.kind, &to.kind)
        }
        (T::Char(_) | T::Varchar(_), target) => from_text::cast(target, mode),
        (T::Array(_), T::Array(_))
        | (T::Map(..) | T::Multiset(_), T::Map(..) | T::Multiset(_))
        | (T::Row(_) | T::Structured(..), T::Row(_) | T::Structured(..)) => nested::cast(&from.kind, &to.kind, mode),
        (source, target) if source == target => Some(identity()),
        (source, target) => match numeric::cast(source, target, mode) {
            Some(prepared) => Some(prepared),
            None => temporal::cast(source, target, mode.zone),
        },
    };
    prepared.ok_or_else(|| Error::Plan(format!("a cast from {} to {} is not supported", from.kind, to.kind)))
}

/// The cast that changes nothing.
fn identity() -> Cast {
    Box::new(|array| Ok(array.clone()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{BinaryViewArray, ListArray};
    use arrow::datatypes::{DataType, Field};

    use super::*;
    use crate::functions::Bitmap;

    /// Of the rows of a column that is cut, not of all that its buffers have.
    #[test]
    fn texts_of_bitmaps_within_arrays_are_counted() {
        let mut bitmap = Vec::new();
        Bitmap::of(0..60_000).write(&mut bitmap);
        let bitmaps: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([&bitmap, &bitmap, &bitmap]));
        let item = Arc::new(Field::new("item", DataType::BinaryView, true));
        let lists: ArrayRef = Arc::new(ListArray::new(item, OffsetBuffer::from_lengths([2, 1]), bitmaps.clone(), None));
        let kind = TypeKind::Array(Box::new(TypeKind::Bitmap.nullable()));
        let one = letters_of_bitmaps(&TypeKind::Bitmap, &bitmaps) / 3;
        assert!(one > 60_000);
        assert_eq!(letters_of_bitmaps(&kind, &lists), 3 * one);
        assert_eq!(letters_of_bitmaps(&kind, &lists.slice(1, 1)), one);
        assert_eq!(letters_of_bitmaps(&TypeKind::Int, &bitmaps), 0);
    }
}
