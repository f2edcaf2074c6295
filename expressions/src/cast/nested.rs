//! Casts of arrays, maps and rows: element by element.
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, MapArray, StructArray, UInt32Array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::take;
use arrow::datatypes::DataType;

use super::{Cast, Mode, cast as cast_element};
use crate::error::{Error, Result};
use crate::java_map;
use crate::types::{LogicalType, TypeKind};

/// A cast between two types of the same structure.
pub(super) fn cast(from: &TypeKind, to: &TypeKind, mode: Mode) -> Option<Cast> {
    prepare(from, to, mode).ok()
}

fn prepare(from: &TypeKind, to: &TypeKind, mode: Mode) -> Result<Cast> {
    let target = to.to_arrow();
    let wrong = || Error::Plan("a cast between structures that differ".into());
    match (from, to) {
        (TypeKind::Array(source), TypeKind::Array(element)) => {
            let element = cast_element(source, element, mode)?;
            let DataType::List(field) = target else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let list = array.as_list::<i32>();
                let values = element(list.values())?;
                let nulls = spread(list.nulls(), list.len(), mode, |failed| {
                    let lost = lost(list.values(), &values);
                    ranges(list.offsets()).map(|range| range.clone().any(&lost)).enumerate().for_each(failed);
                });
                Ok(Arc::new(ListArray::try_new(field.clone(), list.offsets().clone(), values, nulls)?))
            }))
        }
        (
            TypeKind::Row(source) | TypeKind::Structured(_, source),
            TypeKind::Row(fields) | TypeKind::Structured(_, fields),
        ) if source.len() == fields.len() => {
            let casts = source.iter().zip(fields).map(|(from, to)| cast_element(&from.data_type, &to.data_type, mode));
            let casts = casts.collect::<Result<Vec<_>>>()?;
            let DataType::Struct(fields) = target else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let row = array.as_struct();
                let columns = row.columns().iter().zip(&casts).map(|(column, cast)| cast(column));
                let columns = columns.collect::<Result<Vec<ArrayRef>>>()?;
                let nulls = spread(row.nulls(), row.len(), mode, |failed| {
                    let lost: Vec<_> = row.columns().iter().zip(&columns).map(|(from, to)| lost(from, to)).collect();
                    (0..row.len()).map(|at| lost.iter().any(|lost| lost(at))).enumerate().for_each(failed);
                });
                Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, row.len())?))
            }))
        }
        (TypeKind::Map(..) | TypeKind::Multiset(_), TypeKind::Map(..) | TypeKind::Multiset(_)) => {
            let is_put = matches!((from, to), (TypeKind::Map(..), TypeKind::Map(..))) && !keeps_values(from, to);
            let (from, to) = (entry(from).ok_or_else(wrong)?, entry(to).ok_or_else(wrong)?);
            let (keys, values) = (cast_element(&from.0, &to.0, mode)?, cast_element(&from.1, &to.1, mode)?);
            let DataType::Map(entries, _) = target else { return Err(wrong()) };
            let DataType::Struct(fields) = entries.data_type().clone() else { return Err(wrong()) };
            Ok(Box::new(move |array| {
                let map = array.as_map();
                let columns = vec![keys(map.keys())?, values(map.values())?];
                let nulls = spread(map.nulls(), map.len(), mode, |failed| {
                    let (key, value) = (lost(map.keys(), &columns[0]), lost(map.values(), &columns[1]));
                    let any = ranges(map.offsets()).map(|range| range.clone().any(|at| key(at) || value(at)));
                    any.enumerate().for_each(failed);
                });
                if columns[0].null_count() > map.keys().null_count() {
                    return Err(Error::Plan("TRY_CAST of the keys of a map".into()));
                }
                let (columns, offsets) = match is_put {
                    true => put(columns, map.offsets())?,
                    false => (columns, map.offsets().clone()),
                };
                let pairs = StructArray::try_new(fields.clone(), columns, None)?;
                Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, false)?))
            }))
        }
        _ => Err(wrong()),
    }
}

/// Keys and values as Flink has them in the maps that it makes of others: keys that the cast makes equal are one, with the last value.
fn put(entries: Vec<ArrayRef>, maps: &OffsetBuffer<i32>) -> Result<(Vec<ArrayRef>, OffsetBuffer<i32>)> {
    let Some(put) = java_map::put(&entries[0], maps)? else { return Ok((entries, maps.clone())) };
    let keys = take(&entries[0], &UInt32Array::from(put.keys), None)?;
    let values = take(&entries[1], &UInt32Array::from(put.values), None)?;
    Ok((vec![keys, values], OffsetBuffer::from_lengths(put.lengths)))
}

/// Whether a cast leaves all values as they are, so that Flink makes none.
fn keeps_values(from: &TypeKind, to: &TypeKind) -> bool {
    use TypeKind as T;
    let part = |from: &LogicalType, to: &LogicalType| keeps_values(&from.kind, &to.kind);
    match (from, to) {
        (T::Char(a) | T::Varchar(a), T::Varchar(b)) | (T::Binary(a) | T::Varbinary(a), T::Varbinary(b)) => a <= b,
        (T::Array(a), T::Array(b)) | (T::Multiset(a), T::Multiset(b)) => part(a, b),
        (T::Map(ka, va), T::Map(kb, vb)) => part(ka, kb) && part(va, vb),
        (T::Row(a), T::Row(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| part(&a.data_type, &b.data_type)),
        (T::Timestamp(a, _), T::Timestamp(b, _)) | (T::TimestampLtz(a, _), T::TimestampLtz(b, _)) => a == b,
        (from, to) => from == to,
    }
}

/// Which values a lenient cast made null.
fn lost<'a>(before: &'a ArrayRef, after: &'a ArrayRef) -> impl Fn(usize) -> bool + 'a {
    move |at| before.is_valid(at) && after.is_null(at)
}

fn ranges(offsets: &OffsetBuffer<i32>) -> impl Iterator<Item = std::ops::Range<usize>> + '_ {
    offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
}

/// A lenient cast makes null of the whole value if a part of it cannot be cast: nulls with the rows that `find` tells.
fn spread(
    nulls: Option<&NullBuffer>,
    rows: usize,
    mode: Mode,
    find: impl FnOnce(&mut dyn FnMut((usize, bool))),
) -> Option<NullBuffer> {
    if !mode.lenient {
        return nulls.cloned();
    }
    let mut valid = vec![true; rows];
    find(&mut |(row, failed)| valid[row] &= !failed);
    NullBuffer::union(nulls, Some(&NullBuffer::from(valid)))
}

/// The types of a map's keys and values.
fn entry(kind: &TypeKind) -> Option<(LogicalType, LogicalType)> {
    match kind {
        TypeKind::Map(key, value) => Some(((**key).clone(), (**value).clone())),
        TypeKind::Multiset(element) => Some(((**element).clone(), TypeKind::Int.not_null())),
        _ => None,
    }
}
