//! `DISTINCT`: hands each value of a group on to the function once, and takes it back when its last copy goes.
//!
//! What a group has of values is kept with it, as long as it is not much. Beyond that it is rows of keyed state
//! ([`CountedRows`]), where the function has any: then the group has a mark instead. With a time to live each value expires by
//! itself, be it a row or not ([`Ages`]).
use std::any::Any;
use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;
use wiesel_state::keyed::{KeptBack, KeyedBackend, SnapshotOptions};

use super::counted_rows::CountedRows;
use super::distinct_ages::Ages;
use super::keeps_rows::{KeepsRows, RowsRequest, no_rows};
use super::keys::{KeyIndex, KeyStore};
use super::number_hasher::NumberHasher;
use super::saved::{Lists, lists};
use super::spill::{INLINE, KeyedBatch};
use super::{Accumulators, Rows};
use crate::operator::Result;
use crate::state::bits::Bits;
use crate::state::write_back::Backend;

/// Saved instead of how often a value came: the group's values are rows.
pub(super) const AS_ROWS: i64 = i64::MIN;

/// Saved behind how often the values of a group came, where they expire by themselves: what follows is when each was written.
const TIMES: i64 = i64::MIN + 1;

/// The function's name in errors.
const NAME: &str = "a DISTINCT";

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
    rows: Option<CountedRows>,
    /// Those groups, and how many there are.
    as_rows: Bits,
    as_rows_count: usize,
    /// When values were written, if they expire by themselves.
    ages: Option<Ages>,
    /// Groups into which some were merged whose values are rows, with the namespaces that these are in.
    merged: BTreeMap<u32, Vec<i64>>,
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
            ages: None,
            merged: BTreeMap::new(),
        })
    }

    /// A value is not known any more so many milliseconds after it was written, though its group is touched.
    pub(super) fn expire_after(&mut self, ttl: i64) {
        self.ages = Some(Ages::new(ttl));
    }

    /// The time of what comes next.
    pub(super) fn set_time(&mut self, now: i64) {
        self.ages.iter_mut().for_each(|ages| ages.now = now);
        self.rows.iter_mut().for_each(|rows| rows.now = now);
    }

    /// Counts rows of groups whose values are rows, and hands on what enters and leaves them.
    fn update_rows(&mut self, rows: &Rows<'_>, keyed: &KeyedBatch<'_>) -> Result<()> {
        let Some(table) = &mut self.rows else { return Err(no_rows(NAME)) };
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

    /// Makes rows of the values of those of these groups that have many. Returns which these are. `namespaces`: by group that of its
    /// key, if keys have any.
    pub(super) fn spill_in(&mut self, keys: &KeyStore, namespaces: &[i64], groups: &[u32]) -> Result<Vec<u32>> {
        let mut spilled = Vec::new();
        // As long as all groups together have few no group has many.
        if self.entries <= INLINE {
            return Ok(spilled);
        }
        for group in groups {
            self.drop_expired(*group);
            if self.rows.is_some() && self.groups[*group as usize].len() > INLINE {
                self.make_rows(keys, namespaces, *group)?;
                spilled.push(*group);
            }
        }
        Ok(spilled)
    }

    /// Drops values of a group that have expired, if it has many.
    fn drop_expired(&mut self, group: u32) {
        let Some(ages) = &mut self.ages else { return };
        let expired = ages.drop_expired(group, &mut self.groups[group as usize]);
        self.entries -= expired.len();
        self.drop_values(&expired);
    }

    /// Makes rows of the values of a group.
    fn make_rows(&mut self, keys: &KeyStore, namespaces: &[i64], group: u32) -> Result<()> {
        let Some(table) = &mut self.rows else { return Ok(()) };
        let counts = std::mem::take(&mut self.groups[group as usize]);
        let mut values: Vec<(i64, u32, i64)> = Vec::with_capacity(counts.len());
        for (value, count) in counts {
            let written = self.ages.as_ref().map_or(0, |ages| ages.written(group, value));
            values.push((written, value, count));
        }
        values.sort_unstable();
        for together in values.chunk_by(|a, b| a.0 == b.0) {
            if self.ages.as_ref().is_some_and(|ages| ages.is_over(together[0].0)) {
                continue;
            }
            let numbers: Vec<u32> = together.iter().map(|(_, value, _)| *value).collect();
            let counts = together.iter().map(|(_, _, count)| *count).collect();
            table.put(keys, namespaces, group, &self.values.columns(&numbers)?, counts, together[0].0)?;
        }
        self.ages.iter_mut().for_each(|ages| ages.clear(group));
        self.as_rows.insert(group);
        self.as_rows_count += 1;
        self.entries -= values.len();
        self.drop_values(&values.iter().map(|(_, value, _)| *value).collect::<Vec<u32>>());
        Ok(())
    }

    /// Notes into which groups others are about to be merged whose values are rows. `namespaces`: by group that of its key.
    pub(super) fn note_merged(&mut self, targets: &[u32], sources: &[u32], namespaces: &[i64]) {
        if self.as_rows_count == 0 {
            return;
        }
        for (target, source) in targets.iter().zip(sources).filter(|(_, source)| self.as_rows.has(**source)) {
            self.merged.entry(*target).or_default().push(namespaces[*source as usize]);
        }
    }

    /// Gives the function the values of groups into which several were merged of which some have rows: all that any of them has,
    /// each once. The groups are good for their results from then on, and for nothing else.
    pub(super) fn merge_rows(&mut self, backend: &mut Backend, keys: &KeyStore) -> Result<()> {
        for (group, namespaces) in std::mem::take(&mut self.merged) {
            let counts = &self.groups[group as usize];
            if namespaces.len() == 1 && counts.is_empty() {
                // The function has what it had there.
                continue;
            }
            let Some(table) = &mut self.rows else { return Err(no_rows(NAME)) };
            let also = self.values.columns(&counts.keys().copied().collect::<Vec<u32>>())?;
            let inner = &mut self.inner;
            inner.reset(&[group]);
            table.union(backend, (keys, group), &namespaces, &also, |values| {
                let groups = vec![group; values.first().map_or(0, |values| values.len())];
                inner.update(&Rows { groups: &groups, arguments: values, selected: None, weights: None })
            })?;
        }
        Ok(())
    }

    /// Takes out all rows of a namespace; the table has some of it in these key groups at most.
    pub(super) fn drop_namespace(&mut self, backend: &mut Backend, namespace: i64, key_groups: &[u16]) -> Result<()> {
        self.rows.as_mut().map_or(Ok(()), |rows| rows.drop_namespace(backend, namespace, key_groups))
    }

    /// Drops rows from memory that have expired.
    pub(super) fn expire_rows(&mut self, now: i64) {
        self.rows.iter_mut().for_each(|rows| rows.expire(now));
    }

    /// Whether the table may have rows that are not at hand.
    pub(super) fn may_have_rows(&self) -> bool {
        self.rows.as_ref().is_some_and(CountedRows::may_have_more)
    }

    /// Groups whose values are rows.
    fn load_marks(&mut self, groups: &[u32]) -> Result<()> {
        if self.rows.is_none() && !groups.is_empty() {
            return Err(no_rows(NAME));
        }
        groups.iter().for_each(|group| self.as_rows.insert(*group));
        self.as_rows_count += groups.len();
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

impl Accumulators for Distinct {
    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
        self.groups.resize_with(groups, Counts::default);
        self.ages.iter_mut().for_each(|ages| ages.resize(groups));
    }

    fn reset(&mut self, groups: &[u32]) {
        self.inner.reset(groups);
        for group in groups {
            if self.as_rows_count > 0 && self.as_rows.has(*group) {
                self.as_rows.remove(*group);
                self.as_rows_count -= 1;
            }
            self.ages.iter_mut().for_each(|ages| ages.clear(*group));
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
        let retracts = rows.weights.is_some();
        let add = |row: usize, group: usize, weight: i64| {
            let value = numbers[row];
            let count = self.groups[group].entry(value).or_insert_with(|| {
                self.uses[value as usize] += 1;
                self.entries += 1;
                0
            });
            if let Some(ages) = &mut self.ages {
                if *count != 0 && ages.has_expired(group as u32, value) {
                    *count = 0;
                }
                // As in Flink, where nothing is written for a value that is there, unless it counts how often.
                if *count == 0 || retracts {
                    ages.note(group as u32, value, ages.now);
                }
            }
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
                self.ages.iter_mut().for_each(|ages| ages.forget(group as u32, value));
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
        let as_rows = |group: u32| self.as_rows.has(group);
        if self.as_rows_count == 0 || !rows.groups.iter().copied().any(as_rows) {
            return self.update(rows);
        }
        let (of_rows, others) = rows.parted(as_rows);
        let Rows { groups, arguments, weights, .. } = *rows;
        // To number values costs as much as to count them: not where all are rows.
        if others.count_set_bits() > 0 {
            self.update(&Rows { groups, arguments, weights, selected: Some(&others) })?;
        }
        self.update_rows(&Rows { groups, arguments, weights, selected: Some(&of_rows) }, keyed)
    }

    fn keeps_rows(&self) -> Option<&dyn KeepsRows> {
        Some(self)
    }

    fn keeps_rows_mut(&mut self) -> Option<&mut dyn KeepsRows> {
        Some(self)
    }

    fn merge_groups(&mut self, targets: &[u32], sources: &[u32]) -> Result<()> {
        let is_marked = |group: &u32| self.as_rows_count > 0 && self.as_rows.has(*group);
        let mut pairs = targets.iter().zip(sources);
        if pairs.any(|(to, from)| is_marked(to) || is_marked(from) && !self.merged.contains_key(to)) {
            return Err(no_rows(NAME));
        }
        // Into an empty group all of the other one goes, in the order in which it came.
        let (mut empty, mut copied) = (Vec::new(), Vec::new());
        let (mut values, mut groups) = (Vec::new(), Vec::new());
        for (target, source) in targets.iter().zip(sources) {
            let counts = self.groups[*source as usize].clone();
            let is_empty = self.groups[*target as usize].is_empty();
            // Of several of which some have rows the function gets the values later.
            let rows = self.merged.get(target).map_or(0, Vec::len);
            if is_empty && (rows == 0 || rows == 1 && is_marked(source)) {
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
                if !is_empty && rows == 0 && *known <= 0 && *known + count > 0 {
                    values.push(value);
                    groups.push(*target);
                }
                *known += count;
                self.ages.iter_mut().for_each(|ages| ages.note(*target, value, ages.now));
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
        let (mut values, mut counts, mut lengths) = (Vec::new(), Vec::new(), Vec::with_capacity(groups.len()));
        // The elements that stand for a value, by the position of that among the values.
        let mut at: Vec<Option<u64>> = Vec::new();
        for group in groups {
            let (first, before) = (values.len(), counts.len());
            for (value, count) in &self.groups[*group as usize] {
                if self.ages.as_ref().is_none_or(|ages| !ages.has_expired(*group, *value)) {
                    at.push(Some(values.len() as u64));
                    values.push(*value);
                    counts.push(*count);
                }
            }
            // A group whose values are rows has none of its own, but a mark.
            if self.as_rows_count > 0 && self.as_rows.has(*group) {
                counts.push(AS_ROWS);
            }
            if let Some(ages) = self.ages.as_ref().filter(|_| values.len() > first) {
                counts.push(TIMES);
                counts.extend(values[first..].iter().map(|value| ages.written(*group, *value)));
            }
            at.resize(counts.len(), None);
            lengths.push(counts.len() - before);
        }
        let mut columns = self.values.columns(&values)?;
        if counts.len() > values.len() {
            let at = UInt64Array::from(at);
            columns = columns.iter().map(|column| take(column, &at, None)).collect::<Result<_, _>>()?;
        }
        columns.push(Arc::new(Int64Array::from(counts)));
        let counted = lists(lengths.into_iter(), columns)?;
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
        // The list at hand: its group, its first element, and the element before its times.
        let (mut of, mut first, mut times) = (None, 0, None);
        let mut others = false;
        counted.for_each(groups, |group, row| {
            if of != Some(group) {
                (of, first, times) = (Some(group), row, None);
            }
            others |= times.is_some() || counts[row] <= TIMES;
            if let Some(before) = times {
                let value = first + row - before - 1;
                if let Some(ages) = self.ages.as_mut().filter(|_| value < before) {
                    ages.note(group as u32, numbers[value], counts[row]);
                }
                return;
            }
            match counts[row] {
                AS_ROWS => marked.push(group as u32),
                TIMES => times = Some(row),
                count => {
                    self.groups[group].insert(numbers[row], count);
                    self.uses[numbers[row] as usize] += 1;
                    self.entries += 1;
                    // Earlier releases kept no times: it is as if it had been written by what brings the group to hand.
                    self.ages.iter_mut().for_each(|ages| ages.note(group as u32, numbers[row], ages.now));
                }
            }
        });
        if others {
            // What stood for no value was numbered for nothing.
            self.drop_idle(numbers);
        }
        self.load_marks(&marked)?;
        self.inner.load(groups, &saved[1..])
    }

    fn width(&self) -> usize {
        let ages = if self.ages.is_some() { Ages::WIDTH } else { 0 };
        size_of::<Counts>() + ages + self.inner.width()
    }

    fn heap(&self) -> usize {
        // A hash table is half empty on average after it has grown.
        let aged = if self.ages.is_some() { Ages::VALUE } else { 0 };
        let entries = self.entries * 2 * (size_of::<(u32, i64)>() + aged);
        entries + self.values.size() + self.index.size() + self.inner.heap()
    }

    fn result_heap(&self) -> usize {
        self.inner.result_heap()
    }

    fn evaluate(&self, groups: &[u32]) -> Result<ArrayRef> {
        self.inner.evaluate(groups)
    }

    /// A value that expired is not taken back.
    fn retracts_exactly(&self) -> bool {
        self.ages.is_none() && self.inner.retracts_exactly()
    }
}

impl KeepsRows for Distinct {
    fn open_rows(&mut self, backend: &mut dyn KeyedBackend, mut request: RowsRequest<'_>) -> Result<()> {
        let budget = request.take_budget()?;
        let RowsRequest { at, key, arguments, max_parallelism, keeping, .. } = request;
        let name = format!("distinct/{at}");
        self.rows = Some(CountedRows::open(backend, &name, key, arguments, max_parallelism, budget, keeping)?);
        Ok(())
    }

    fn take_rows(&mut self, other: &mut dyn KeepsRows) {
        if let Some(other) = (other as &mut dyn Any).downcast_mut::<Self>() {
            self.rows = other.rows.take();
        }
    }

    fn spill(&mut self, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.spill_in(keys, &[], groups).map(|_| ())
    }

    fn clear_rows(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        let Some(table) = self.rows.as_mut().filter(|_| self.as_rows_count > 0) else { return Ok(()) };
        let groups: Vec<u32> = groups.iter().copied().filter(|group| self.as_rows.has(*group)).collect();
        match groups.is_empty() {
            true => Ok(()),
            false => table.clear(backend, keys, &groups),
        }
    }

    fn trim_rows(&mut self, backend: &mut Backend) -> Result<()> {
        self.rows.as_mut().map_or(Ok(()), |rows| rows.trim(backend))
    }

    fn write_rows(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        self.rows.as_mut().map_or(Ok(Vec::new()), |rows| rows.write_changes(backend, options))
    }

    fn rows_size(&self) -> usize {
        self.rows.as_ref().map_or(0, CountedRows::size)
    }

    fn distinct(&self) -> Option<&Distinct> {
        Some(self)
    }

    fn distinct_mut(&mut self) -> Option<&mut Distinct> {
        Some(self)
    }
}
