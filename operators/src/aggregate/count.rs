//! `COUNT`: rows whose arguments are not null; without arguments all rows.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;

use super::{Accumulators, Rows};
use crate::operator::Result;

#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulators for Count {
    fn resize(&mut self, groups: usize) {
        self.counts.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.counts[*group as usize] = 0);
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        let counts = &mut self.counts[..];
        rows.for_each_not_null(|_, group, weight| counts[group] += weight);
        Ok(())
    }

    fn state(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        Ok(vec![self.evaluate(groups)?])
    }

    fn merge(&mut self, groups: &[u32], state: &[ArrayRef]) -> Result<()> {
        let counts = state[0].as_primitive::<Int64Type>().values();
        groups.iter().zip(counts).for_each(|(group, count)| self.counts[*group as usize] += count);
        Ok(())
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        self.state(groups)
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        self.merge(groups, saved)
    }

    fn width(&self) -> usize {
        size_of::<i64>()
    }

    fn minds_order(&self) -> bool {
        false
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        let counts = groups.iter().map(|group| self.counts[*group as usize]);
        Ok(Arc::new(Int64Array::from_iter_values(counts)))
    }
}
