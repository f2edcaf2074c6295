//! `ARRAY`, `MAP` and `ROW` constructors, `FIELD`, `ITEM`, `CARDINALITY`, `ELEMENT`.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray, UInt32Array, make_comparator,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use datafusion_common::ScalarValue;
use wiesel_common::ending;

use super::json;
use crate::error::{Error, Result};
use crate::expression::compile::Site;
use crate::expression::conform;
use crate::expression::kernel::{Args, Kernel};
use crate::types::TypeKind;

/// The operands from `first` in steps, row by row: a flat column with `count` values a row.
fn interleaved(args: &Args, first: usize, step: usize, target: &DataType) -> Result<(ArrayRef, usize)> {
    let picked: Vec<usize> = (first..args.len()).step_by(step).collect();
    if picked.is_empty() {
        return Ok((arrow::array::new_empty_array(target), 0));
    }
    let arrays = picked.iter().map(|index| {
        let array = args.array(*index);
        // Nested values may carry other names or nullability than each other.
        if array.data_type() == target || array.data_type().is_nested() {
            return conform(array, target);
        }
        Ok(arrow::compute::cast(array, target)?)
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let references: Vec<&dyn Array> = arrays.iter().map(|array| array.as_ref()).collect();
    let indices: Vec<(usize, usize)> = (0..args.rows)
        .flat_map(|row| picked.iter().enumerate().map(move |(at, index)| (at, args.row(*index, row))))
        .collect();
    Ok((interleave(&references, &indices)?, picked.len()))
}

pub(super) fn array(site: &Site) -> Result<Kernel> {
    let DataType::List(field) = site.arrow_type() else { return Err(site.unsupported()) };
    Ok(Box::new(move |args| {
        let (values, count) = interleaved(args, 0, 1, field.data_type())?;
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(count, args.rows));
        // Nested values may carry other names or nullability than the type that the plan gave.
        let field = Arc::new(field.as_ref().clone().with_data_type(values.data_type().clone()).with_nullable(true));
        Ok(Arc::new(ListArray::try_new(field, offsets, values, None)?))
    }))
}

pub(super) fn map(site: &Site) -> Result<Kernel> {
    let DataType::Map(entries, _) = site.arrow_type() else { return Err(site.unsupported()) };
    let DataType::Struct(fields) = entries.data_type().clone() else { return Err(site.unsupported()) };
    Ok(Box::new(move |args| {
        let (keys, count) = interleaved(args, 0, 2, fields[0].data_type())?;
        let (values, _) = interleaved(args, 1, 2, fields[1].data_type())?;
        let (keys, values, offsets) = without_duplicates(keys, values, count, args.rows)?;
        new_map(keys, values, offsets, None)
    }))
}

/// Of `count` entries a row those whose keys differ: of equal keys the last value counts.
fn without_duplicates(
    keys: ArrayRef,
    values: ArrayRef,
    count: usize,
    rows: usize,
) -> Result<(ArrayRef, ArrayRef, OffsetBuffer<i32>)> {
    let all = || OffsetBuffer::from_lengths(std::iter::repeat_n(count, rows));
    if count < 2 {
        return Ok((keys, values, all()));
    }
    let equal = make_comparator(&keys, &keys, SortOptions::default())?;
    let mut entries: Vec<(u32, u32)> = Vec::with_capacity(keys.len());
    let mut lengths = Vec::with_capacity(rows);
    for row in 0..rows {
        // A row takes the square of its entries, of which a statement may have tens of thousands.
        ending::check()?;
        let start = entries.len();
        for at in row * count..(row + 1) * count {
            match entries[start..].iter_mut().find(|(key, _)| equal(*key as usize, at).is_eq()) {
                Some((_, value)) => *value = at as u32,
                None => entries.push((at as u32, at as u32)),
            }
        }
        lengths.push(entries.len() - start);
    }
    if entries.len() == keys.len() {
        return Ok((keys, values, all()));
    }
    let (keys_at, values_at): (Vec<u32>, Vec<u32>) = entries.into_iter().unzip();
    let keys = take(&keys, &UInt32Array::from(keys_at), None)?;
    let values = take(&values, &UInt32Array::from(values_at), None)?;
    Ok((keys, values, OffsetBuffer::from_lengths(lengths)))
}

/// A column of maps from flat keys and values.
pub(super) fn new_map(
    keys: ArrayRef,
    values: ArrayRef,
    offsets: OffsetBuffer<i32>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef> {
    let fields = vec![
        arrow::datatypes::Field::new("key", keys.data_type().clone(), true),
        arrow::datatypes::Field::new("value", values.data_type().clone(), true),
    ];
    let entries = StructArray::try_new(fields.into(), vec![keys, values], None)?;
    let field = arrow::datatypes::Field::new("entries", entries.data_type().clone(), false);
    Ok(Arc::new(MapArray::try_new(Arc::new(field), offsets, entries, nulls, false)?))
}

pub(super) fn row(site: &Site) -> Result<Kernel> {
    let DataType::Struct(fields) = site.arrow_type() else { return Err(site.unsupported()) };
    Ok(Box::new(move |args| {
        let columns = (0..args.len()).map(|index| args.expanded(index)).collect::<Result<Vec<_>>>()?;
        let fields = fields.iter().zip(&columns).map(|(field, column)| {
            field.as_ref().clone().with_data_type(column.data_type().clone()).with_nullable(true)
        });
        Ok(Arc::new(StructArray::try_new_with_length(fields.collect(), columns, None, args.rows)?))
    }))
}

pub(super) fn field(site: &Site) -> Result<Kernel> {
    let index = match site.literal(1) {
        Some(ScalarValue::Int32(Some(index))) => *index as usize,
        _ => return Err(site.unsupported()),
    };
    Ok(Box::new(move |args| {
        let structs = args.array(0).as_struct_opt().ok_or_else(|| Error::Plan("a field of what is no ROW".into()))?;
        let column = structs.columns().get(index).ok_or_else(|| Error::Plan(format!("a ROW without field {index}")))?;
        with_nulls(column, structs.nulls())
    }))
}

/// A column that is null too where `nulls` says so.
fn with_nulls(column: &ArrayRef, nulls: Option<&NullBuffer>) -> Result<ArrayRef> {
    let Some(nulls) = nulls.filter(|nulls| nulls.null_count() > 0) else { return Ok(column.clone()) };
    let all = NullBuffer::union(column.nulls(), Some(nulls));
    let data = column.to_data().into_builder().nulls(all).build()?;
    Ok(arrow::array::make_array(data))
}

pub(super) fn item(site: &Site) -> Result<Kernel> {
    Ok(match site.operand_type(0)? {
        TypeKind::Array(_) => Box::new(|args| {
            let lists = args.array(0).as_list::<i32>();
            let keys = arrow::compute::cast(args.array(1), &DataType::Int64)?;
            let keys = keys.as_primitive::<Int64Type>();
            let indices: UInt32Array = (0..args.rows)
                .map(|row| {
                    let (list, key) = (args.row(0, row), args.row(1, row));
                    if lists.is_null(list) || keys.is_null(key) {
                        return None;
                    }
                    let (start, end) = (lists.value_offsets()[list], lists.value_offsets()[list + 1]);
                    let position = keys.value(key);
                    (position >= 1 && position <= i64::from(end - start))
                        .then(|| (i64::from(start) + position - 1) as u32)
                })
                .collect();
            Ok(take(lists.values(), &indices, None)?)
        }),
        TypeKind::Map(..) => Box::new(|args| {
            let maps = args.array(0).as_map();
            let keys = match args.array(1).data_type() == maps.keys().data_type() {
                true => args.array(1).clone(),
                false => arrow::compute::cast(args.array(1), maps.keys().data_type())?,
            };
            let compare = make_comparator(maps.keys(), &keys, SortOptions::default())?;
            let indices: UInt32Array = (0..args.rows)
                .map(|row| {
                    let (map, key) = (args.row(0, row), args.row(1, row));
                    if maps.is_null(map) || keys.is_null(key) {
                        return None;
                    }
                    let (start, end) = (maps.value_offsets()[map], maps.value_offsets()[map + 1]);
                    (start..end).find(|at| compare(*at as usize, key).is_eq()).map(|at| at as u32)
                })
                .collect();
            Ok(take(maps.values(), &indices, None)?)
        }),
        TypeKind::Row(_) => return field(site),
        TypeKind::Variant => return json::item(site),
        _ => return Err(site.unsupported()),
    })
}

/// Where each row's values begin and end in a column of lists or maps.
pub(super) fn offsets(array: &ArrayRef) -> Result<&OffsetBuffer<i32>> {
    match array.data_type() {
        DataType::List(_) => Ok(array.as_list::<i32>().offsets()),
        DataType::Map(..) => Ok(array.as_map().offsets()),
        other => Err(Error::Plan(format!("{other} where a collection was expected"))),
    }
}

pub(super) fn cardinality(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let array = args.array(0);
        let sizes: Vec<i32> = offsets(array)?.lengths().map(|length| length as i32).collect();
        Ok(Arc::new(Int32Array::new(sizes.into(), array.nulls().cloned())))
    }))
}

pub(super) fn element(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let lists = args.array(0).as_list::<i32>();
        let offsets = lists.value_offsets();
        let mut indices = arrow::array::PrimitiveBuilder::<Int32Type>::with_capacity(lists.len());
        for row in 0..lists.len() {
            match offsets[row + 1] - offsets[row] {
                _ if lists.is_null(row) => indices.append_null(),
                0 => indices.append_null(),
                1 => indices.append_value(offsets[row]),
                _ => {
                    return Err(Error::data(
                        "org.apache.flink.table.api.TableException",
                        "Array has more than one element.",
                    ));
                }
            }
        }
        Ok(take(lists.values(), &indices.finish(), None)?)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Failed before: a batch of rows with maps of thousands of entries was compared to its end when the task was cancelled.
    #[test]
    fn making_maps_ends_with_the_task() {
        let column: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3, 3]));
        let (keys, _, offsets) = without_duplicates(column.clone(), column.clone(), 2, 2).unwrap();
        assert_eq!((keys.len(), &offsets[..]), (3, &[0, 2, 3][..]));
        let _told = wiesel_common::ending::register(std::sync::Arc::new(true.into()));
        assert!(matches!(without_duplicates(column.clone(), column, 2, 2), Err(Error::Cancelled)));
    }
}
