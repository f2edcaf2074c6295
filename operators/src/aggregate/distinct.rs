//! `DISTINCT`: hands each value of a group on to the function once, and takes it back when its last copy goes.
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;

use super::keys::{KeyIndex, KeyStore};
use super::saved::{Lists, lists};
use super::{Accumulators, Rows};
use crate::operator::Result;

/// Numbers of values are dense: spreading them is all the hash has to do.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32(u32::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        let product = u128::from(self.0 ^ u64::from(number) ^ 0x9E37_79B9_7F4A_7C15) * 0xA24B_AED4_963E_E407;
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

/// How often each value, by its number, is in a group.
type Counts = HashMap<u32, i64, BuildHasherDefault<NumberHasher>>;

/// Values are numbered over all groups, so that each is kept once however many groups it is in.
pub(super) struct Distinct {
    inner: Box<dyn Accumulators>,
    nulls: bool,
    values: KeyStore,
    index: KeyIndex,
    /// In how many groups each value is; at 0 it goes.
    uses: Vec<u32>,
    groups: Vec<Counts>,
    /// How many columns a value has.
    arguments: usize,
    /// How many values all groups have.
    entries: usize,
}

impl Distinct {
    /// `nulls`: null is a value like others.
    pub(super) fn new(inner: Box<dyn Accumulators>, arguments: Vec<DataType>, nulls: bool) -> Result<Self> {
        let columns = arguments.len();
        let (values, index) = (KeyStore::new(arguments)?, KeyIndex::default());
        let (uses, groups) = (Vec::new(), Vec::new());
        Ok(Self { inner, nulls, values, index, uses, groups, arguments: columns, entries: 0 })
    }

    fn drop_values(&mut self, values: &[u32]) {
        let mut unused = Vec::new();
        for value in values {
            let uses = &mut self.uses[*value as usize];
            *uses -= 1;
            if *uses == 0 {
                self.values.forget(&mut self.index, *value);
                unused.push(*value);
            }
        }
        self.values.release(&unused);
    }
}

impl Accumulators for Distinct {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        self.groups.resize_with(groups, Counts::default);
    }

    fn reset(&mut self, groups: &[u32]) {
        self.inner.reset(groups);
        for group in groups {
            let values: Vec<u32> = std::mem::take(&mut self.groups[*group as usize]).into_keys().collect();
            self.entries -= values.len();
            self.drop_values(&values);
        }
    }

    fn update(&mut self, rows: &Rows<'_>) -> Result<()> {
        self.values.load(rows.arguments)?;
        let mut numbers = Vec::with_capacity(rows.groups.len());
        self.values.assign(&mut self.index, 0..rows.groups.len(), &mut numbers);
        self.uses.resize(self.values.capacity(), 0);
        // The rows at which a value enters or leaves its group.
        let (mut at, mut groups, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let mut gone = Vec::new();
        let add = |row: usize, group: usize, weight: i64| {
            let value = numbers[row];
            let count = self.groups[group].entry(value).or_insert_with(|| {
                self.uses[value as usize] += 1;
                self.entries += 1;
                0
            });
            let before = *count;
            *count += weight;
            let now = *count;
            if (before > 0) != (now > 0) {
                at.push(row as u64);
                groups.push(group as u32);
                weights.push(weight as i8);
            }
            if now == 0 {
                self.groups[group].remove(&value);
                self.entries -= 1;
                gone.push(value);
            }
        };
        match self.nulls {
            true => rows.for_each(add),
            false => rows.for_each_not_null(add),
        }
        // A value that no row brought into any group, because it was null or filtered out, was numbered for nothing.
        let mut idle: Vec<u32> = numbers.into_iter().filter(|value| self.uses[*value as usize] == 0).collect();
        idle.sort_unstable();
        idle.dedup();
        for value in &idle {
            self.values.forget(&mut self.index, *value);
        }
        self.values.release(&idle);
        self.drop_values(&gone);
        if at.is_empty() {
            return Ok(());
        }
        let at = UInt64Array::from(at);
        let arguments = rows.arguments.iter().map(|argument| arrow::compute::take(argument, &at, None));
        let arguments = arguments.collect::<Result<Vec<ArrayRef>, _>>()?;
        let weights = rows.weights.map(|_| &weights[..]);
        self.inner.update(&Rows { groups: &groups, arguments: &arguments, selected: None, weights })
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        // Into an empty group all of the other one goes, in the order in which it came.
        let (mut empty, mut copied) = (Vec::new(), Vec::new());
        let (mut values, mut groups) = (Vec::new(), Vec::new());
        for (target, source) in targets.iter().zip(sources) {
            let counts = self.groups[*source as usize].clone();
            let is_empty = self.groups[*target as usize].is_empty();
            if is_empty {
                empty.push(*target);
                copied.push(*source);
            }
            let first = values.len();
            for (value, count) in counts {
                let known = self.groups[*target as usize].entry(value).or_insert_with(|| {
                    self.uses[value as usize] += 1;
                    self.entries += 1;
                    0
                });
                if !is_empty && *known <= 0 && *known + count > 0 {
                    values.push(value);
                    groups.push(*target);
                }
                *known += count;
            }
            if self.inner.minds_order() {
                // Any order will do, if it is always the same: numbers change when values are forgotten and come again.
                values[first..].sort_unstable_by(|a, b| self.values.compare(*a, *b));
            }
        }
        self.inner.merge_groups(&empty, &copied)?;
        let arguments = self.values.columns(&values)?;
        self.inner.update(&Rows { groups: &groups, arguments: &arguments, selected: None, weights: None })
    }

    fn save(&self, groups: &[u32]) -> Result<Vec<ArrayRef>> {
        let of = |group: &u32| &self.groups[*group as usize];
        let values: Vec<u32> = groups.iter().flat_map(|group| of(group).keys().copied()).collect();
        let counts = Int64Array::from_iter_values(groups.iter().flat_map(|group| of(group).values().copied()));
        let mut columns = self.values.columns(&values)?;
        columns.push(Arc::new(counts));
        let counted = lists(groups.iter().map(|group| of(group).len()), columns)?;
        Ok([counted].into_iter().chain(self.inner.save(groups)?).collect())
    }

    fn load(&mut self, groups: &[u32], saved: &[ArrayRef]) -> Result<()> {
        let counted = Lists::new(saved, self.arguments + 1)?;
        let (counts, values) = (counted.column(self.arguments), &counted.columns()[..self.arguments]);
        let mut numbers = Vec::with_capacity(counts.len());
        self.values.load(values)?;
        self.values.assign(&mut self.index, 0..counts.len(), &mut numbers);
        self.uses.resize(self.values.capacity(), 0);
        let counts = counts.as_primitive::<Int64Type>().values();
        counted.for_each(groups, |group, row| {
            self.groups[group].insert(numbers[row], counts[row]);
            self.uses[numbers[row] as usize] += 1;
            self.entries += 1;
        });
        self.inner.load(groups, &saved[1..])
    }

    fn width(&self) -> usize {
        size_of::<Counts>() + self.inner.width()
    }

    fn heap(&self) -> usize {
        // A hash table is half empty on average after it has grown.
        self.entries * 2 * size_of::<(u32, i64)>() + self.values.size() + self.index.size() + self.inner.heap()
    }

    fn result_heap(&self) -> usize {
        self.inner.result_heap()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    fn retracts_exactly(&self) -> bool {
        self.inner.retracts_exactly()
    }
}
