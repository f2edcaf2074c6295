//! `FIRST_VALUE` and `LAST_VALUE`: the first or last value that is not null, in the order in which rows came.
use arrow::array::{ArrayRef, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::DataType;

use super::kept::{Kept, KeptGroups};
use super::saved::{Lists, lists};
use super::values::{Value, ValueCodec};
use super::{Accumulators, Rows};
use crate::operator::Result;

pub(super) struct FirstLast {
    data_type: DataType,
    codec: ValueCodec,
    first: bool,
    /// Rows can be taken back: all values are kept, not just the one.
    retract: bool,
    kept: KeptGroups<Value>,
}

impl FirstLast {
    pub(super) fn new(data_type: &DataType, first: bool, retract: bool) -> Result<Self> {
        let codec = ValueCodec::new(data_type)?;
        Ok(Self { data_type: data_type.clone(), codec, first, retract, kept: KeptGroups::default() })
    }

    fn add(&mut self, group: usize, value: &[u8]) {
        self.kept.change(group, |kept| {
            if !self.retract && self.first && !kept.is_empty() {
                return;
            }
            if !self.retract {
                kept.clear();
            }
            kept.push(value.into());
        });
    }
}

impl Accumulators for FirstLast {
    fn resize(&mut self, groups: usize) {
        self.kept.resize(groups);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.kept.reset(*group as usize));
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let values = self.codec.encode(&rows.arguments[0])?;
        rows.for_each_not_null(|row, group, weight| {
            let value = values.get(row);
            if weight > 0 {
                self.add(group, value);
            } else {
                self.kept.change(group, |kept| kept.take_first(value));
            }
        });
        Ok(())
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        for (target, source) in targets.iter().zip(sources) {
            let values: Vec<Value> = self.kept.of(*source as usize).into_iter().cloned().collect();
            for value in values {
                self.add(*target as usize, &value);
            }
        }
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| self.kept.of(*group as usize);
        let values = self.codec.decode(groups.iter().flat_map(of).map(|value| &**value))?;
        Ok(vec![lists(groups.iter().map(|group| of(group).len()), vec![values])?])
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let saved = Lists::new(saved, 1)?;
        let values = self.codec.encode(saved.column(0))?;
        saved.for_each(groups, |group, row| self.add(group, values.get(row)));
        Ok(())
    }

    fn width(&self) -> usize {
        size_of::<Kept<Value>>()
    }

    fn heap(&self) -> usize {
        self.kept.heap()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let chosen = groups.iter().map(|group| {
            let values = self.kept.of(*group as usize);
            if self.first { values.first() } else { values.last() }
        });
        // Position 0 of the first array is null.
        let mut picks = Vec::with_capacity(groups.len());
        let mut present = 0;
        for value in chosen.clone() {
            picks.push(value.map_or((0, 0), |_| (1, present)));
            present += usize::from(value.is_some());
        }
        let values = self.codec.decode(chosen.flatten().map(|value| &**value))?;
        Ok(interleave(&[&*new_null_array(&self.data_type, 1), &*values], &picks)?)
    }
}
