//! `DISTINCT`: hands each value of a group on to the function once, and takes it back when its last copy goes.
//!
//! What a group has of values is kept with it, as long as it is not much. Beyond that it is rows of keyed state
//! ([`DistinctRows`]), where the function has any: then the group has a mark instead.
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;
use wiesel_state::Error as StateError;

use super::distinct_rows::{DistinctRows, INLINE, KeyedBatch};
use super::keys::{KeyIndex, KeyStore};
use super::saved::{Lists, lists};
use super::{Accumulators, Rows};
use crate::operator::{Error, Result};
use crate::state::bits::Bits;
use crate::state::write_back::Backend;

/// Saved instead of how often a value came: the group's values are rows.
const AS_ROWS: i64 = i64::MIN;

/// Numbers of values are dense: spreading them is all the hash has to do.
#[derive(Default)]
pub(super) struct NumberHasher(u64);

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
pub(super) type Counts = HashMap<u32, i64, BuildHasherDefault<NumberHasher>>;

/// Values are numbered over all groups, so that each is kept once however many groups it is in.
pub struct Distinct {
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
    /// Where the values of groups are that have many.
    pub(super) rows: Option<DistinctRows>,
    /// Those groups, and how many there are.
    as_rows: Bits,
    as_rows_count: usize,
}

impl Distinct {
    /// `nulls`: null is a value like others.
    pub(super) fn new(inner: Box<dyn Accumulators>, arguments: Vec<DataType>, nulls: bool) -> Result<Self> {
        let columns = arguments.len();
        let (values, index) = (KeyStore::new(arguments)?, KeyIndex::default());
        let (uses, groups, as_rows) = Default::default();
        Ok(Self {
            inner,
            nulls,
            values,
            index,
            uses,
            groups,
            arguments: columns,
            entries: 0,
            rows: None,
            as_rows,
            as_rows_count: 0,
        })
    }

    /// Counts rows of groups whose values are rows, and hands on what enters and leaves them.
    fn update_rows(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let Some(table) = &mut self.rows else { return Err(no_rows()) };
        let crossings = table.update(rows, self.nulls, keyed)?;
        self.hand_on(rows, crossings.at, &crossings.groups, &crossings.weights)
    }

    /// Gives the function the rows at which a value enters or leaves its group.
    fn hand_on(&mut self, rows: &Rows<'_>, at: Vec<u64>, groups: &[u32], weights: &[i8]) -> Result<()> {
        if at.is_empty() {
            return Ok(());
        }
        let at = UInt64Array::from(at);
        let arguments = rows.arguments.iter().map(|argument| take(argument, &at, None));
        let arguments = arguments.collect::<Result<Vec<ArrayRef>, _>>()?;
        let weights = rows.weights.map(|_| weights);
        self.inner.update(&Rows { groups, arguments: &arguments, selected: None, weights })
    }

    /// Makes rows of the values of those of these groups that have many.
    pub(super) fn spill(&mut self, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        let Some(table) = &mut self.rows else { return Ok(()) };
        let mut spilled = Vec::new();
        for group in groups {
            let counts = &mut self.groups[*group as usize];
            if counts.len() > INLINE {
                let (values, counts): (Vec<u32>, Vec<i64>) = std::mem::take(counts).into_iter().unzip();
                table.put(keys, *group, &self.values.columns(&values)?, counts)?;
                self.as_rows.insert(*group);
                self.as_rows_count += 1;
                self.entries -= values.len();
                spilled.extend(values);
            }
        }
        self.drop_values(&spilled);
        Ok(())
    }

    /// Takes out the rows of groups that have some: the groups begin anew, or are nothing any more.
    pub(super) fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        let Some(table) = self.rows.as_mut().filter(|_| self.as_rows_count > 0) else { return Ok(()) };
        let groups: Vec<u32> = groups.iter().copied().filter(|group| self.as_rows.has(*group)).collect();
        match groups.is_empty() {
            true => Ok(()),
            false => table.clear(backend, keys, &groups),
        }
    }

    /// Groups whose values are rows. What stood for their values was numbered for nothing.
    fn load_marks(&mut self, groups: &[u32], numbers: Vec<u32>) -> Result<()> {
        if self.rows.is_none() {
            return Err(no_rows());
        }
        groups.iter().for_each(|group| self.as_rows.insert(*group));
        self.as_rows_count += groups.len();
        self.drop_idle(numbers);
        Ok(())
    }

    /// Forgets those of these values that no group has.
    fn drop_idle(&mut self, values: Vec<u32>) {
        let mut idle: Vec<u32> = values.into_iter().filter(|value| self.uses[*value as usize] == 0).collect();
        idle.sort_unstable();
        idle.dedup();
        for value in &idle {
            self.values.forget(&mut self.index, *value);
        }
        self.values.release(&idle);
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

/// Rows of groups were found where there can be none.
fn no_rows() -> Error {
    Error::State(StateError::Incompatible(
        "the values of a DISTINCT are rows of their own in this state, which this query does not read: start without this state"
            .into(),
    ))
}

impl Accumulators for Distinct {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        self.groups.resize_with(groups, Counts::default);
    }

    fn reset(&mut self, groups: &[u32]) {
        self.inner.reset(groups);
        for group in groups {
            if self.as_rows_count > 0 && self.as_rows.has(*group) {
                self.as_rows.remove(*group);
                self.as_rows_count -= 1;
            }
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
        self.drop_idle(numbers);
        self.drop_values(&gone);
        self.hand_on(rows, at, &groups, &weights)
    }

    fn update_keyed(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let as_rows = |group: &u32| self.as_rows.has(*group);
        if self.as_rows_count == 0 || !rows.groups.iter().any(as_rows) {
            return self.update(rows);
        }
        let of_rows: BooleanBuffer = rows.groups.iter().map(as_rows).collect();
        let others = !&of_rows;
        let both = |part: BooleanBuffer| rows.selected.map_or(part.clone(), |selected| selected & &part);
        let (of_rows, others) = (both(of_rows), both(others));
        let Rows { groups, arguments, weights, .. } = *rows;
        // To number values costs as much as to count them: not where all are rows.
        if others.count_set_bits() > 0 {
            self.update(&Rows { groups, arguments, weights, selected: Some(&others) })?;
        }
        self.update_rows(&Rows { groups, arguments, weights, selected: Some(&of_rows) }, keyed)
    }

    fn distinct(&self) -> Option<&Distinct> {
        Some(self)
    }

    fn distinct_mut(&mut self) -> Option<&mut Distinct> {
        Some(self)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        if self.as_rows_count > 0 && targets.iter().chain(sources).any(|group| self.as_rows.has(*group)) {
            return Err(no_rows());
        }
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
        let is_marked = |group: &u32| self.as_rows_count > 0 && self.as_rows.has(*group);
        let values: Vec<u32> = groups.iter().flat_map(|group| of(group).keys().copied()).collect();
        // A group whose values are rows has none of its own, but a mark.
        let mark = |group: &u32| is_marked(group).then_some(AS_ROWS);
        let counts = groups.iter().flat_map(|group| of(group).values().copied().chain(mark(group)));
        let counts = Int64Array::from_iter_values(counts);
        let mut columns = self.values.columns(&values)?;
        if counts.len() > values.len() {
            let mut at = 0..values.len() as u64;
            let at: UInt64Array =
                counts.values().iter().map(|count| if *count == AS_ROWS { None } else { at.next() }).collect();
            columns = columns.iter().map(|column| take(column, &at, None)).collect::<Result<_, _>>()?;
        }
        columns.push(Arc::new(counts));
        let lengths = groups.iter().map(|group| of(group).len() + usize::from(is_marked(group)));
        let counted = lists(lengths, columns)?;
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
        let mut marked = Vec::new();
        counted.for_each(groups, |group, row| {
            if counts[row] == AS_ROWS {
                marked.push(group as u32);
                return;
            }
            self.groups[group].insert(numbers[row], counts[row]);
            self.uses[numbers[row] as usize] += 1;
            self.entries += 1;
        });
        if !marked.is_empty() {
            self.load_marks(&marked, numbers)?;
        }
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
