//! `ARRAY_AGG`: all values in the order in which rows came, nulls too; null without any. `COLLECT`: how often each value that
//! is not null came; empty without any.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Int32Type};
use wiesel_expressions::expression::{MAX_VALUE_BYTES, check_value};

use super::kept::{Kept, KeptGroups};
use super::saved::{Lists, lists};
use super::values::{Value, ValueCodec};
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};

pub(super) struct Collect {
    codec: ValueCodec,
    shape: Shape,
    /// Values and how often each came; for ARRAY_AGG once each.
    kept: KeptGroups<(Value, i32)>,
    /// Bytes of each group's result.
    bytes: Vec<usize>,
    /// Bytes of the longest result that was ever to be put together.
    longest: usize,
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
        Ok(Self {
            codec: ValueCodec::new(argument)?,
            shape,
            kept: KeptGroups::default(),
            bytes: Vec::new(),
            longest: 0,
        })
    }

    fn add(&mut self, group: usize, value: &[u8], count: i32) {
        match self.shape {
            Shape::List(_) if count > 0 => self.append(group, value, count),
            Shape::List(_) => self.take_back(group, value),
            Shape::Map(_) => self.count(group, value, count),
        }
    }

    /// What would be too long is not added: [`check_value`] of `longest` tells.
    fn append(&mut self, group: usize, value: &[u8], count: i32) {
        let bytes = self.bytes[group] + size_in_result(value);
        self.longest = self.longest.max(bytes);
        if self.longest > MAX_VALUE_BYTES {
            return;
        }
        self.bytes[group] = bytes;
        self.kept.change(group, |kept| kept.push((value.into(), count)));
    }

    /// The first that is equal; as in Flink nothing if there is none.
    fn take_back(&mut self, group: usize, value: &[u8]) {
        if self.kept.change(group, |kept| kept.take_first(value)).is_some() {
            self.bytes[group] -= size_in_result(value);
        }
    }

    fn count(&mut self, group: usize, value: &[u8], count: i32) {
        let left = self.kept.change(group, |kept| {
            let (_, copies) = kept.find_mut(value)?;
            *copies += count;
            let left = *copies;
            if left == 0 {
                kept.take_first(value);
            }
            Some(left)
        });
        match left {
            None => self.append(group, value, count),
            Some(0) => self.bytes[group] -= size_in_result(value),
            Some(_) => {}
        }
    }

    fn of(&self, group: u32) -> &Kept<(Value, i32)> {
        self.kept.of(group as usize)
    }
}

/// How many bytes a value counts in the result: as an element of a list that a function makes.
fn size_in_result(value: &[u8]) -> usize {
    size_of::<u128>() + value.len()
}

impl Accumulators for Collect {
    fn resize(&mut self, groups: usize) {
        self.kept.resize(groups);
        self.bytes.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.kept.reset(*group as usize);
            self.bytes[*group as usize] = 0;
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.codec.encode(&rows.arguments[0])?;
        let list = matches!(self.shape, Shape::List(_));
        let add = |row: usize, group: usize, weight: i64| self.add(group, values.get(row), weight as i32);
        match list {
            true => rows.for_each(add),
            false => rows.for_each_not_null(add),
        }
        Ok(check_value(self.longest)?)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let values: Vec<(Value, i32)> = self.of(*source).into_iter().cloned().collect();
            for (value, count) in values {
                self.add(*target as usize, &value, count);
            }
        }
        Ok(check_value(self.longest)?)
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| self.of(*group);
        let values = self.codec.decode(groups.iter().flat_map(of).map(|(value, _)| &**value))?;
        let counts = groups.iter().flat_map(of).map(|(_, count)| *count).collect::<Int32Array>();
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), vec![values, Arc::new(counts)])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 2)?;
        let values = self.codec.encode(saved.column(0))?;
        let counts = saved.column(1).as_primitive::<Int32Type>().values();
        saved.for_each(groups, |group, row| {
            let value = values.get(row);
            self.bytes[group] += size_in_result(value);
            self.kept.change(group, |kept| kept.push((value.into(), counts[row])));
        });
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Kept<(Value, i32)>>() + size_of::<usize>()
    }

    fn heap(&self) -> usize {
        self.kept.heap()
    }

    fn result_heap(&self) -> usize {
        self.kept.values()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        // What was restored may be longer.
        groups.iter().try_for_each(|group| check_value(self.bytes[*group as usize]))?;
        let of = |group: &u32| self.of(*group);
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
