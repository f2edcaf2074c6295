//! `ARRAY_AGG`: all values in the order in which rows came, nulls too; null without any. `COLLECT`: how often each value that
//! is not null came; empty without any.
use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, ListArray, MapArray, StructArray};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef};

use super::values::{Value, ValueCodec};
use super::{Accumulators, Rows, not_splittable};
use crate::operator::{Error, Result};

pub(super) struct Collect {
    codec: ValueCodec,
    shape: Shape,
    /// Values and how often each came; for ARRAY_AGG once each.
    groups: Vec<Vec<(Value, i32)>>,
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
        Ok(Self { codec: ValueCodec::new(argument)?, shape, groups: Vec::new() })
    }

    fn add(values: &mut Vec<(Value, i32)>, value: &[u8], count: i32, list: bool) {
        let find = |values: &[(Value, i32)]| values.iter().position(|(kept, _)| **kept == *value);
        let known = if list && count > 0 { None } else { find(values) };
        match known {
            None if count > 0 || !list => values.push((value.into(), count)),
            None => {}
            Some(at) => {
                values[at].1 += count;
                if values[at].1 == 0 {
                    values.remove(at);
                }
            }
        }
    }
}

impl Accumulators for Collect {
    fn resize(&mut self, groups: usize) {
        self.groups.resize(groups, Vec::new());
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.groups[*group as usize] = Vec::new());
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.codec.encode(&rows.arguments[0])?;
        let list = matches!(self.shape, Shape::List(_));
        let groups = &mut self.groups;
        let add = |row: usize, group: usize, weight: i64| {
            Self::add(&mut groups[group], values.row(row).as_ref(), weight as i32, list);
        };
        match list {
            true => rows.for_each(add),
            false => rows.for_each_not_null(add),
        }
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        let list = matches!(self.shape, Shape::List(_));
        for (target, source) in targets.iter().zip(sources) {
            for (value, count) in self.groups[*source as usize].clone() {
                Self::add(&mut self.groups[*target as usize], &value, count, list);
            }
        }
        Ok(())
    }

    fn state(&self, _: &[u32]) -> Result<Vec<ArrayRef>> {
        Err(not_splittable("COLLECT or ARRAY_AGG"))
    }

    fn merge(&mut self, _: &[u32], _: &[ArrayRef]) -> Result<()> {
        Err(not_splittable("COLLECT or ARRAY_AGG"))
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let of = |group: &u32| &self.groups[*group as usize];
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
