//! `ARRAY_AGG`: all values in the order in which rows came, nulls too; null without any. `COLLECT`: how often each value that
//! is not null came; empty without any.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Int32Type};

use super::saved::{Lists, lists};
use super::values::{Value, ValueCodec};
use super::{Accumulators, Rows};
use crate::expression::{MAX_VALUE_BYTES, check_value};
use crate::operator::{Error, Result};

pub(super) struct Collect {
    codec: ValueCodec,
    shape: Shape,
    groups: Vec<Group>,
    /// Bytes of all values.
    heap: usize,
    /// Bytes of the longest result that was ever to be put together.
    longest: usize,
}

/// What a group has collected.
#[derive(Default)]
struct Group {
    /// Values and how often each came; for ARRAY_AGG once each.
    values: Vec<(Value, i32)>,
    /// Bytes of the result.
    bytes: usize,
}

enum Shape {
    List(FieldRef),
    Map(FieldRef),
}

impl Collect {
    /// By the result's type: a list or a map to the number of copies.
    pub(super) fn new(argument: &DataType, result: &DataType) -> Result<Self> {
        let shape = match result {
            DataType::List(item) => Shape::List(item.clone()),
            DataType::Map(entries, _) => Shape::Map(entries.clone()),
            other => return Err(Error::Plan(format!("values cannot be collected in {other}"))),
        };
        Ok(Self { codec: ValueCodec::new(argument)?, shape, groups: Vec::new(), heap: 0, longest: 0 })
    }

    /// What would be too long is not added: [`check_value`] of `longest` tells.
    fn add(&mut self, group: usize, value: &[u8], count: i32) {
        let list = matches!(self.shape, Shape::List(_));
        let Group { values, bytes } = &mut self.groups[group];
        let find = |values: &[(Value, i32)]| values.iter().position(|(kept, _)| **kept == *value);
        let known = if list && count > 0 { None } else { find(values) };
        match known {
            None if count > 0 || !list => {
                self.longest = self.longest.max(*bytes + size_in_result(value));
                if self.longest > MAX_VALUE_BYTES {
                    return;
                }
                values.push((value.into(), count));
                *bytes += size_in_result(value);
                self.heap += size(value);
            }
            None => {}
            Some(at) => {
                values[at].1 += count;
                if values[at].1 == 0 {
                    values.remove(at);
                    *bytes -= size_in_result(value);
                    self.heap -= size(value);
                }
            }
        }
    }
}

/// How many bytes a kept value takes.
fn size(value: &[u8]) -> usize {
    size_of::<(Value, i32)>() + value.len()
}

/// How many bytes a value counts in the result: as an element of a list that a function makes.
fn size_in_result(value: &[u8]) -> usize {
    size_of::<u128>() + value.len()
}

impl Accumulators for Collect {
    fn resize(&mut self, groups: usize) {
        self.groups.resize_with(groups, Group::default);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            let group = std::mem::take(&mut self.groups[*group as usize]);
            self.heap -= group.values.iter().map(|(value, _)| size(value)).sum::<usize>();
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.codec.encode(&rows.arguments[0])?;
        let list = matches!(self.shape, Shape::List(_));
        let add = |row: usize, group: usize, weight: i64| self.add(group, values.row(row).as_ref(), weight as i32);
        match list {
            true => rows.for_each(add),
            false => rows.for_each_not_null(add),
        }
        check_value(self.longest)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            for (value, count) in self.groups[*source as usize].values.clone() {
                self.add(*target as usize, &value, count);
            }
        }
        check_value(self.longest)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| &self.groups[*group as usize].values;
        let values = self.codec.decode(groups.iter().flat_map(of).map(|(value, _)| &**value))?;
        let counts = groups.iter().flat_map(of).map(|(_, count)| *count).collect::<Int32Array>();
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), vec![values, Arc::new(counts)])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 2)?;
        let values = self.codec.encode(saved.column(0))?;
        let counts = saved.column(1).as_primitive::<Int32Type>().values();
        saved.for_each(groups, |group, row| {
            let value = values.row(row);
            let value = value.as_ref();
            self.heap += size(value);
            self.groups[group].bytes += size_in_result(value);
            self.groups[group].values.push((value.into(), counts[row]));
        });
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Group>()
    }

    fn heap(&self) -> usize {
        self.heap
    }

    fn result_heap(&self) -> usize {
        self.heap
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        // What was restored may be longer.
        groups.iter().try_for_each(|group| check_value(self.groups[*group as usize].bytes))?;
        let of = |group: &u32| &self.groups[*group as usize].values;
        let values = self.codec.decode(groups.iter().flat_map(of).map(|(value, _)| &**value))?;
        let offsets = OffsetBuffer::from_lengths(groups.iter().map(|group| of(group).len()));
        match &self.shape {
            Shape::List(item) => {
                let nulls = NullBuffer::from_iter(groups.iter().map(|group| !of(group).is_empty()));
                Ok(Arc::new(ListArray::try_new(item.clone(), offsets, values, Some(nulls))?))
            }
            Shape::Map(entries) => {
                let DataType::Struct(fields) = entries.data_type() else {
                    return Err(Error::Plan("a map without entries".into()));
                };
                let counts = groups.iter().flat_map(of).map(|(_, count)| *count).collect::<Int32Array>();
                let pairs = StructArray::try_new(fields.clone(), vec![values, Arc::new(counts)], None)?;
                Ok(Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, None, false)?))
            }
        }
    }
}
