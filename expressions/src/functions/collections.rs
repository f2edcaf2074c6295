//! Functions of arrays and maps.
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, UInt32Array, make_comparator};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::{DataType, Field, Int32Type};
use wiesel_common::ending::{self, Steps};

use super::constructors::{new_map, offsets};
use super::element_equality::{Equality, equality};
use super::strings::integers;
use crate::cast::{numeric_to_double, writer};
use crate::error::{Error, Result};
use crate::expression::check_value;
use crate::expression::compile::Site;
use crate::expression::kernel::{Args, Bool, Kernel, Text};
use crate::types::TypeKind;

/// Compares elements of two columns, null first and equal to null.
type Compare = arrow::array::DynComparator;

fn comparator(left: &ArrayRef, right: &ArrayRef) -> Result<Compare> {
    Ok(make_comparator(left, right, SortOptions::default())?)
}

/// Compares elements that are not null as `>` does: of numbers, NaN is neither above nor below others, and -0.0 is 0.0.
fn operator_order(values: &ArrayRef) -> Result<Compare> {
    if !matches!(values.data_type(), DataType::Float32 | DataType::Float64) {
        return comparator(values, values);
    }
    let values = numeric_to_double(values)?;
    let order = move |left: usize, right: usize| values.value(left).partial_cmp(&values.value(right));
    Ok(Box::new(move |left, right| order(left, right).unwrap_or(Ordering::Equal)))
}

/// Whether elements are equal and have the same hash, as those of Flink's sets: -0.0 and 0.0 have not.
fn hashed_equality(left: &ArrayRef, right: &ArrayRef) -> Result<Equality> {
    let equal = equality(left, right)?;
    if !matches!(left.data_type(), DataType::Float32 | DataType::Float64) {
        return Ok(equal);
    }
    let same = comparator(left, right)?;
    Ok(Box::new(move |one, other| equal(one, other) && same(one, other).is_eq()))
}

/// A list operand: its elements and where each row's are.
struct Lists<'a> {
    values: &'a ArrayRef,
    offsets: &'a OffsetBuffer<i32>,
    array: &'a ArrayRef,
    args: &'a Args,
    index: usize,
}

impl<'a> Lists<'a> {
    fn of(args: &'a Args, index: usize) -> Result<Self> {
        let array = args.array(index);
        let list = array.as_list_opt::<i32>().ok_or_else(|| Error::Plan("an ARRAY was expected".into()))?;
        Ok(Self { values: list.values(), offsets: list.offsets(), array, args, index })
    }

    /// The positions of a row's elements; none for null.
    fn get(&self, row: usize) -> Option<std::ops::Range<usize>> {
        let row = self.args.row(self.index, row);
        self.array.is_valid(row).then(|| self.offsets[row] as usize..self.offsets[row + 1] as usize)
    }
}

/// Lists of elements that are picked from columns.
fn lists(sources: &[&dyn Array], picked: &[(usize, usize)], lengths: Vec<usize>, valid: Vec<bool>) -> Result<ArrayRef> {
    let values = if picked.is_empty() { sources[0].slice(0, 0) } else { interleave(sources, picked)? };
    let field = Arc::new(Field::new("item", values.data_type().clone(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(field, offsets, values, Some(NullBuffer::from(valid)))?))
}

/// Collects a list a row; none is null.
fn collect(
    args: &Args,
    sources: &[&dyn Array],
    mut row_of: impl FnMut(usize, &mut Vec<(usize, usize)>) -> Result<bool>,
) -> Result<ArrayRef> {
    let mut picked = Vec::new();
    let (mut lengths, mut valid) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
    let mut made = args.made();
    for row in 0..args.rows {
        ending::check()?;
        let start = picked.len();
        let is_valid = row_of(row, &mut picked)?;
        if !is_valid {
            picked.truncate(start);
        }
        made.add_elements(picked.len() - start)?;
        lengths.push(picked.len() - start);
        valid.push(is_valid);
    }
    args.claim(made.bytes)?;
    lists(sources, &picked, lengths, valid)
}

/// An operand with the type of a list's elements.
fn element_operand(args: &Args, index: usize, element: &DataType) -> Result<ArrayRef> {
    let array = args.array(index);
    if array.data_type() == element || element.is_nested() {
        Ok(array.clone())
    } else {
        Ok(arrow::compute::cast(array, element)?)
    }
}

pub(super) fn find(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    let position = site.function == "ARRAY_POSITION";
    Ok(Box::new(move |args| {
        let list = Lists::of(args, 0)?;
        let needle = element_operand(args, 1, list.values.data_type())?;
        let equal = equality(list.values, &needle)?;
        let found = |row: usize| {
            let mut range = list.get(row)?;
            let start = range.start;
            let at = range.find(|at| equal(*at, args.row(1, row)));
            Some(at.map_or(0, |at| (at - start + 1) as i32))
        };
        if position {
            let null = |row: usize| needle.is_null(args.row(1, row));
            return args.collect::<Int32Type>(|row| Ok(found(row).filter(|_| !null(row))));
        }
        args.booleans(|row| Ok(found(row).map(|at| at > 0)))
    }))
}

/// Functions that keep some of the elements in some order.
pub(super) fn select(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let function = site.function.to_owned();
    Ok(Box::new(move |args| {
        let list = Lists::of(args, 0)?;
        let source: [&dyn Array; 1] = [list.values];
        let push =
            |range: &mut dyn Iterator<Item = usize>, out: &mut Vec<(usize, usize)>| out.extend(range.map(|at| (0, at)));
        match function.as_str() {
            "ARRAY_REVERSE" => collect(args, &source, |row, out| {
                let Some(range) = list.get(row) else { return Ok(false) };
                push(&mut range.rev(), out);
                Ok(true)
            }),
            "ARRAY_DISTINCT" => {
                let equal = equality(list.values, list.values)?;
                collect(args, &source, |row, out| {
                    let Some(range) = list.get(row) else { return Ok(false) };
                    push_distinct(range, |_| true, 0, out, &equal)?;
                    Ok(true)
                })
            }
            "ARRAY_REMOVE" => {
                let needle = element_operand(args, 1, list.values.data_type())?;
                let equal = equality(list.values, &needle)?;
                collect(args, &source, |row, out| {
                    let Some(range) = list.get(row) else { return Ok(false) };
                    push(&mut range.filter(|at| !equal(*at, args.row(1, row))), out);
                    Ok(true)
                })
            }
            "ARRAY_SLICE" => {
                let start = integers(args, 1)?;
                let end = if args.len() > 2 { Some(integers(args, 2)?) } else { None };
                collect(args, &source, |row, out| {
                    let Some(range) = list.get(row) else { return Ok(false) };
                    let read = |array: &ArrayRef, index: usize| {
                        let row = args.row(index, row);
                        array.is_valid(row).then(|| array.as_primitive::<Int32Type>().value(row))
                    };
                    let length = range.len() as i32;
                    let end = match &end {
                        Some(end) => read(end, 2),
                        None => Some(length),
                    };
                    let (Some(start), Some(end)) = (read(&start, 1), end) else { return Ok(false) };
                    // From 1; negative positions count from the end. The one before the first is, as an end, the first.
                    let place = |at: i32| if at < 0 { length + at + 1 } else { at };
                    let end = if place(end) == 0 { 1 } else { place(end) };
                    let (first, last) = (place(start).max(1), end.min(length));
                    push(&mut (first..=last).map(|at| range.start + at as usize - 1), out);
                    Ok(true)
                })
            }
            _ => {
                let ascending = if args.len() > 1 { Some(args.read::<Bool>(1)?) } else { None };
                let nulls_first = if args.len() > 2 { Some(args.read::<Bool>(2)?) } else { None };
                let compare = comparator(list.values, list.values)?;
                collect(args, &source, |row, out| {
                    let Some(range) = list.get(row) else { return Ok(false) };
                    let ascending = match &ascending {
                        Some(ascending) => ascending.get(row),
                        None => Some(true),
                    };
                    let nulls_first = match &nulls_first {
                        Some(nulls_first) => nulls_first.get(row),
                        None => ascending,
                    };
                    let (Some(ascending), Some(nulls_first)) = (ascending, nulls_first) else { return Ok(false) };
                    let mut sorted: Vec<usize> = range.collect();
                    sorted.sort_by(|left, right| match (list.values.is_null(*left), list.values.is_null(*right)) {
                        (true, true) => Ordering::Equal,
                        (true, false) => {
                            if nulls_first {
                                Ordering::Less
                            } else {
                                Ordering::Greater
                            }
                        }
                        (false, true) => {
                            if nulls_first {
                                Ordering::Greater
                            } else {
                                Ordering::Less
                            }
                        }
                        (false, false) if ascending => compare(*left, *right),
                        (false, false) => compare(*right, *left),
                    });
                    push(&mut sorted.into_iter(), out);
                    Ok(true)
                })
            }
        }
    }))
}

/// Adds those elements that are to be kept, each once. That is quadratic.
fn push_distinct(
    range: impl Iterator<Item = usize>,
    keep: impl Fn(usize) -> bool,
    source: usize,
    out: &mut Vec<(usize, usize)>,
    equal: impl Fn(usize, usize) -> bool,
) -> Result<()> {
    let start = out.len();
    for at in range {
        ending::check()?;
        if keep(at) && !out[start..].iter().any(|(_, known)| equal(*known, at)) {
            out.push((source, at));
        }
    }
    Ok(())
}

pub(super) fn extreme(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let max = site.function == "ARRAY_MAX";
    Ok(Box::new(move |args| {
        let list = Lists::of(args, 0)?;
        let compare = operator_order(list.values)?;
        let indices: UInt32Array = (0..args.rows)
            .map(|row| {
                let valid = list.get(row)?.filter(|at| list.values.is_valid(*at));
                let best = if max {
                    valid.reduce(|best, at| if compare(at, best).is_gt() { at } else { best })
                } else {
                    valid.reduce(|best, at| if compare(at, best).is_lt() { at } else { best })
                };
                best.map(|at| at as u32)
            })
            .collect();
        Ok(take(list.values, &indices, None)?)
    }))
}

/// Functions that make one array of several operands.
pub(super) fn combine(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let function = site.function.to_owned();
    Ok(Box::new(move |args| {
        let list = Lists::of(args, 0)?;
        if matches!(function.as_str(), "ARRAY_APPEND" | "ARRAY_PREPEND") {
            let element = element_operand(args, 1, list.values.data_type())?;
            let sources: [&dyn Array; 2] = [list.values, &element];
            return collect(args, &sources, |row, out| {
                let Some(range) = list.get(row) else { return Ok(false) };
                let added = (1, args.row(1, row));
                if function == "ARRAY_PREPEND" {
                    out.push(added);
                }
                out.extend(range.map(|at| (0, at)));
                if function == "ARRAY_APPEND" {
                    out.push(added);
                }
                Ok(true)
            });
        }
        let operands = (0..args.len()).map(|index| Lists::of(args, index)).collect::<Result<Vec<_>>>()?;
        let sources: Vec<&dyn Array> = operands.iter().map(|list| list.values.as_ref()).collect();
        if function == "ARRAY_CONCAT" {
            return collect(args, &sources, |row, out| {
                for (source, list) in operands.iter().enumerate() {
                    let Some(range) = list.get(row) else { return Ok(false) };
                    out.extend(range.map(|at| (source, at)));
                }
                Ok(true)
            });
        }
        let other = operands.get(1).ok_or_else(|| Error::Plan(format!("{function} needs two arrays")))?;
        let equality = if function == "ARRAY_UNION" { equality } else { hashed_equality };
        let same = equality(list.values, list.values)?;
        let across = equality(list.values, other.values)?;
        let within_other = equality(other.values, other.values)?;
        collect(args, &sources, |row, out| {
            let (Some(left), Some(right)) = (list.get(row), other.get(row)) else { return Ok(false) };
            let held = |at: usize| right.clone().any(|other| across(at, other));
            match function.as_str() {
                "ARRAY_UNION" => {
                    let start = out.len();
                    push_distinct(left.clone(), |_| true, 0, out, &same)?;
                    let known: Vec<usize> = out[start..].iter().map(|(_, at)| *at).collect();
                    let mut added: Vec<(usize, usize)> = Vec::new();
                    let is_fresh = |at: usize| !known.iter().any(|known| across(*known, at));
                    push_distinct(right.clone(), is_fresh, 1, &mut added, &within_other)?;
                    out.append(&mut added);
                }
                "ARRAY_EXCEPT" => push_distinct(left, |at| !held(at), 0, out, &same)?,
                _ => push_distinct(left, held, 0, out, &same)?,
            }
            Ok(true)
        })
    }))
}

/// `ARRAY_JOIN(array, delimiter[, null replacement])`.
pub(super) fn join(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    let with_null = site.operands.len() > 2;
    let element = match site.operand_type(0)? {
        TypeKind::Array(element) => element.kind.clone(),
        _ => return Err(site.unsupported()),
    };
    let zone = site.context.zone;
    Ok(Box::new(move |args| {
        let list = Lists::of(args, 0)?;
        let delimiter = args.read::<Text>(1)?;
        let replacement = if with_null { Some(args.read::<Text>(2)?) } else { None };
        let write = writer(&element, list.values, zone)?;
        args.strings(|row, out| {
            let (Some(range), Some(delimiter)) = (list.get(row), delimiter.get(row)) else { return Ok(false) };
            let replacement = match &replacement {
                Some(replacement) => match replacement.get(row) {
                    Some(replacement) => Some(replacement),
                    None => return Ok(false),
                },
                None => None,
            };
            let (mut first, mut steps) = (true, Steps::default());
            for at in range {
                let null = list.values.is_null(at);
                if null && replacement.is_none() {
                    continue;
                }
                steps.step()?;
                check_value(out.len() + delimiter.len())?;
                out.push_str(if first { "" } else { delimiter });
                first = false;
                match replacement.filter(|_| null) {
                    Some(replacement) => out.push_str(replacement),
                    None => write(at, out),
                }
            }
            Ok(true)
        })
    }))
}

pub(super) fn map_parts(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    let function = site.function.to_owned();
    Ok(Box::new(move |args| {
        let map = args.array(0).as_map_opt().ok_or_else(|| Error::Plan("a MAP was expected".into()))?;
        let values: ArrayRef = match function.as_str() {
            "MAP_KEYS" => map.keys().clone(),
            "MAP_VALUES" => map.values().clone(),
            _ => {
                let fields = vec![
                    Field::new("key", map.keys().data_type().clone(), true),
                    Field::new("value", map.values().data_type().clone(), true),
                ];
                let columns = vec![map.keys().clone(), map.values().clone()];
                Arc::new(StructArray::try_new(fields.into(), columns, None)?)
            }
        };
        let field = Arc::new(Field::new("item", values.data_type().clone(), true));
        Ok(Arc::new(ListArray::try_new(field, map.offsets().clone(), values, map.nulls().cloned())?))
    }))
}

pub(super) fn map_from_arrays(site: &Site) -> Result<Kernel> {
    site.operand_type(1)?;
    Ok(Box::new(|args| {
        let (keys, values) = (Lists::of(args, 0)?, Lists::of(args, 1)?);
        let (mut key_at, mut value_at) = (Vec::new(), Vec::new());
        let (mut lengths, mut valid) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
        let mut made = args.made();
        for row in 0..args.rows {
            ending::check()?;
            let ranges = keys.get(row).zip(values.get(row));
            valid.push(ranges.is_some());
            let Some((keys, values)) = ranges else {
                lengths.push(0);
                continue;
            };
            if keys.len() != values.len() {
                let message = format!(
                    "Invalid function MAP_FROM_ARRAYS call:\nThe length of the keys array {} is not equal to the length of the values array {}",
                    keys.len(),
                    values.len()
                );
                return Err(Error::data("org.apache.flink.util.FlinkRuntimeException", message));
            }
            made.add_elements(2 * keys.len())?;
            lengths.push(keys.len());
            key_at.extend(keys.map(|at| at as u32));
            value_at.extend(values.map(|at| at as u32));
        }
        args.claim(made.bytes)?;
        let keys = take(keys.values, &UInt32Array::from(key_at), None)?;
        let values = take(values.values, &UInt32Array::from(value_at), None)?;
        new_map(keys, values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
    }))
}

/// Later maps win.
pub(super) fn map_union(site: &Site) -> Result<Kernel> {
    site.operand_type(0)?;
    Ok(Box::new(|args| {
        let maps: Vec<_> = (0..args.len()).map(|index| args.array(index).as_map()).collect();
        let keys: Vec<&dyn Array> = maps.iter().map(|map| map.keys().as_ref()).collect();
        let values: Vec<&dyn Array> = maps.iter().map(|map| map.values().as_ref()).collect();
        let mut comparators = Vec::new();
        for left in &maps {
            let row = maps.iter().map(|right| comparator(left.keys(), right.keys()));
            comparators.push(row.collect::<Result<Vec<_>>>()?);
        }
        let mut picked: Vec<(usize, usize)> = Vec::new();
        let (mut lengths, mut valid) = (Vec::with_capacity(args.rows), Vec::with_capacity(args.rows));
        let mut made = args.made();
        for row in 0..args.rows {
            let start = picked.len();
            let all = (0..maps.len()).all(|index| maps[index].is_valid(args.row(index, row)));
            // The last map's entries first, as Flink has them; of one key the last map's.
            for index in (0..maps.len()).rev().filter(|_| all) {
                let at = args.row(index, row);
                let range = offsets(args.array(index))?;
                for entry in range[at] as usize..range[at + 1] as usize {
                    ending::check()?;
                    let is_known = |(map, key): &(usize, usize)| comparators[*map][index](*key, entry).is_eq();
                    if !picked[start..].iter().any(is_known) {
                        picked.push((index, entry));
                    }
                }
            }
            made.add_elements(2 * (picked.len() - start))?;
            lengths.push(picked.len() - start);
            valid.push(all);
        }
        args.claim(made.bytes)?;
        let (keys, values) = if picked.is_empty() {
            (keys[0].slice(0, 0), values[0].slice(0, 0))
        } else {
            (interleave(&keys, &picked)?, interleave(&values, &picked)?)
        };
        new_map(keys, values, OffsetBuffer::from_lengths(lengths), Some(NullBuffer::from(valid)))
    }))
}

#[cfg(test)]
mod tests {
    use arrow::array::Float64Array;

    use super::*;

    /// What Apache Flink 2.3 gives. Before, NaN was equal to itself and above all, and -0.0 below 0.0.
    #[test]
    fn floats_are_compared_as_operators_compare_them() {
        let values: ArrayRef = Arc::new(Float64Array::from(vec![f64::NAN, 1.0, -0.0, 0.0]));
        let order = operator_order(&values).unwrap();
        assert!([order(0, 1), order(1, 0), order(2, 3)].iter().all(|order| order.is_eq()));
        assert!(order(1, 2).is_gt());
        let distinct = |equal: Equality| {
            let mut kept = Vec::new();
            push_distinct([0, 0, 2, 3].into_iter(), |_| true, 0, &mut kept, &equal).unwrap();
            kept.len()
        };
        assert_eq!(distinct(equality(&values, &values).unwrap()), 3, "ARRAY_DISTINCT and ARRAY_UNION");
        assert_eq!(distinct(hashed_equality(&values, &values).unwrap()), 4, "ARRAY_EXCEPT and ARRAY_INTERSECT");
    }
}
