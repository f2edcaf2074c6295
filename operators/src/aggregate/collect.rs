//! `ARRAY_AGG`: all values in the order in which rows came, nulls too; null without any. `COLLECT`: how often each value that
//! is not null came; empty without any.
//!
//! A group of many values has them as rows of keyed state, too ([`NumberedRows`]); its own value has a mark then.
use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, MapArray, StructArray, new_null_array};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, FieldRef, Int32Type};
use wiesel_expressions::expression::{MAX_VALUE_BYTES, check_value};
use wiesel_expressions::types::TypeKind;
use wiesel_state::keyed::KeyedBackend;

use super::keeps_rows::{KeepsRows, RowsRequest, no_rows};
use super::kept::{Kept, KeptGroups};
use super::keys::KeyStore;
use super::numbered_rows::NumberedRows;
use super::saved::{Lists, lists};
use super::spill::{INLINE, KeyedBatch};
use super::values::{Value, ValueCodec};
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};
use crate::state::write_back::Backend;

/// Saved beside a null instead of how often a value came: the group's values are rows.
const AS_ROWS: i32 = i32::MIN;

pub(super) struct Collect {
    codec: ValueCodec,
    /// Null as a value.
    null: Value,
    shape: Shape,
    /// Values and how often each came; for ARRAY_AGG once each.
    kept: KeptGroups<(Value, i32)>,
    /// Bytes of each group's result.
    bytes: Vec<usize>,
    /// Bytes of the longest result that was ever to be put together.
    longest: usize,
    /// Where the values of groups are that have many.
    rows: Option<NumberedRows>,
    /// Groups that were loaded, and whose rows have not been read yet.
    unread: Vec<u32>,
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
        let codec = ValueCodec::new(argument)?;
        let null = codec.encode(&new_null_array(argument, 1))?.get(0).into();
        let (kept, bytes, longest) = Default::default();
        Ok(Self { codec, null, shape, kept, bytes, longest, rows: None, unread: Vec::new() })
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

    /// The name of the table of rows.
    fn table(&self) -> &'static str {
        match self.shape {
            Shape::List(_) => "array_agg",
            Shape::Map(_) => "collect",
        }
    }
}

/// The columns of rows: of a list they have values alone, each of which came once.
fn row_columns(codec: &ValueCodec, shape: &Shape, entries: &[&(Value, i32)]) -> Result<Vec<ArrayRef>> {
    let mut columns = vec![codec.decode(entries.iter().map(|(value, _)| &**value))?];
    if matches!(shape, Shape::Map(_)) {
        columns.push(Arc::new(entries.iter().map(|(_, count)| *count).collect::<Int32Array>()));
    }
    Ok(columns)
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
        let (mut values, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(groups.len()));
        for group in groups {
            let (kept, before) = (self.of(*group), values.len());
            if kept.is_numbered() {
                values.push(&*self.null);
                counts.push(AS_ROWS);
            } else {
                values.extend(kept.into_iter().map(|(value, _)| &**value));
                counts.extend(kept.into_iter().map(|(_, count)| *count));
            }
            lengths.push(values.len() - before);
        }
        let values = self.codec.decode(values.into_iter())?;
        Ok(vec![lists(lengths.into_iter(), vec![values, Arc::new(Int32Array::from(counts))])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 2)?;
        let nulls = saved.column(0).logical_nulls();
        let values = self.codec.encode(saved.column(0))?;
        let counts = saved.column(1).as_primitive::<Int32Type>().values();
        saved.for_each(groups, |group, row| {
            if counts[row] == AS_ROWS && nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                self.kept.change(group, Kept::number);
                self.unread.push(group as u32);
                return;
            }
            let value = values.get(row);
            self.bytes[group] += size_in_result(value);
            self.kept.change(group, |kept| kept.push((value.into(), counts[row])));
        });
        if self.rows.is_none() && !self.unread.is_empty() { Err(no_rows("a collection")) } else { Ok(()) }
    }

    fn keeps_rows(&self) -> Option<&dyn KeepsRows> {
        Some(self)
    }

    fn keeps_rows_mut(&mut self) -> Option<&mut dyn KeepsRows> {
        Some(self)
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

impl KeepsRows for Collect {
    fn open_rows(&mut self, backend: &mut dyn KeyedBackend, request: RowsRequest<'_>) -> Result<()> {
        let mut value: Vec<_> =
            request.arguments.iter().take(1).map(|argument| argument.clone().with_nullable(true)).collect();
        if matches!(self.shape, Shape::Map(_)) {
            value.push(TypeKind::Int.not_null());
        }
        self.rows = Some(NumberedRows::open(backend, self.table(), &request, &value)?);
        Ok(())
    }

    fn take_rows(&mut self, other: &mut dyn KeepsRows) {
        if let Some(other) = (other as &mut dyn Any).downcast_mut::<Self>() {
            self.rows = other.rows.take();
        }
    }

    fn load_rows(&mut self, keyed: &KeyedBatch<'_>) -> Result<()> {
        let Some(rows) = self.rows.as_ref().filter(|_| !self.unread.is_empty()) else { return Ok(()) };
        let (codec, kept, bytes) = (&self.codec, &mut self.kept, &mut self.bytes);
        rows.read(keyed, &std::mem::take(&mut self.unread), |group, numbers, columns| {
            let values = codec.encode(&columns[0])?;
            let counts = columns.get(1).map(|counts| counts.as_primitive::<Int32Type>().values());
            for (row, number) in numbers.iter().enumerate() {
                let (value, count) = (values.get(row), counts.map_or(1, |counts| counts[row]));
                bytes[group as usize] += size_in_result(value);
                kept.change(group as usize, |kept| kept.push_numbered(*number, (value.into(), count)));
            }
            Ok(())
        })
    }

    fn spill(&mut self, _: &KeyStore, groups: &[u32]) -> Result<()> {
        if let Some(rows) = &mut self.rows {
            rows.touch(self.kept.number(groups, INLINE));
        }
        Ok(())
    }

    fn flush_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        let Some(rows) = &mut self.rows else { return Ok(()) };
        rows.write(backend, keys, &mut self.kept, |entries| row_columns(&self.codec, &self.shape, entries))
    }

    fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.rows.as_ref().map_or(Ok(()), |rows| rows.clear(backend, keys, &self.kept, groups))
    }
}
