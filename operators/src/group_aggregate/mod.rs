//! Group aggregate: one result a key, changed as rows come and are taken back.
//!
//! A batch is aggregated as a whole and makes at most one change a key: an insert for a new key, an update if the result
//! differs, a delete when the last row of the key was taken back. Folded, the changes are those that Apache Flink makes row
//! by row.
//!
//! Groups are columns in memory before a table of keyed state ([`state`]).
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int8Array, UInt64Array, make_comparator};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{SortOptions, interleave, take};
use arrow::datatypes::SchemaRef;
use wiesel_common::time::Clock;
use wiesel_expressions::expression::BATCH_BYTES;
use wiesel_expressions::not_null::record_batch;
use wiesel_expressions::row_kind::RowKind;
use wiesel_expressions::types::{LogicalType, RowField, schema_from_proto};
use wiesel_proto as proto;
use wiesel_state::keyed::SnapshotOptions;

use crate::aggregate::Aggregates;
use crate::aggregate::keys::{KeyIndex, KeyStore};
use crate::element::Batch;
use crate::operator::{Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::cache::Cache;

mod state;
#[cfg(test)]
mod tests;

/// The fewest rows that are aggregated at once where results are long: rows of one key are worth being put together.
const FEWEST: usize = 16;

/// The operator.
pub struct GroupAggregate {
    keys: Vec<usize>,
    key_types: Vec<LogicalType>,
    max_parallelism: u32,
    aggregates: Aggregates,
    store: KeyStore,
    index: KeyIndex,
    groups: Vec<Group>,
    output: SchemaRef,
    output_changelog: bool,
    input_changelog: bool,
    generate_update_before: bool,
    /// Milliseconds; 0: kept for ever.
    state_ttl: i64,
    /// When groups that nobody touched are looked for again.
    next_expiry: Option<i64>,
    clock: Arc<dyn Clock>,
    /// The number of the batch, so that groups know whether it touched them.
    batch: u64,
    /// Groups without a key that stand in for others until the end of the batch.
    successors: Vec<u32>,
    /// The groups' place in keyed state.
    cache: Option<Cache>,
    /// All groups are here: no key that is new has to be looked for in the table.
    complete: bool,
}

/// What is kept of a group beside its accumulators.
#[derive(Clone, Copy, Default)]
struct Group {
    /// Rows that were added less those that were taken back. Counted only if rows can be taken back.
    rows: i64,
    /// Its result was sent on.
    emitted: bool,
    /// The last batch that touched it.
    batch: u64,
    /// When it was last written to.
    written: i64,
    /// Rows were added to it, though all may have been taken back since.
    used: bool,
    /// Where its rows go for the rest of a batch in which all its rows were taken back before others came.
    successor: Option<u32>,
}

impl Group {
    /// It has no rows and no result: it is nothing any more.
    fn is_gone(&self) -> bool {
        self.rows == 0 && !self.emitted
    }
}

/// The groups that a batch touched, in the order in which it did.
struct Touched {
    groups: Vec<u32>,
    /// The results before the batch.
    before: Vec<ArrayRef>,
}

impl GroupAggregate {
    /// From its specification; `output` has the keys, then the aggregates, and changes if `output_changelog`.
    pub fn new(
        spec: &proto::GroupAggregateSpec,
        output: SchemaRef,
        output_changelog: bool,
        context: &OperatorContext,
    ) -> Result<Self> {
        let input = schema_from_proto(spec.input.as_ref()).map_err(|e| Error::Plan(e.to_string()))?;
        let keys: Vec<usize> = spec.keys.iter().map(|key| *key as usize).collect();
        let key_types: Vec<LogicalType> = key_fields(&keys, &input)?.into_iter().map(|field| field.data_type).collect();
        let types = key_types.iter().map(|data_type| data_type.kind.to_arrow()).collect();
        Ok(Self {
            keys,
            key_types,
            max_parallelism: context.max_parallelism,
            aggregates: Aggregates::new(&spec.aggregates, &input, spec.input_changelog)?,
            store: KeyStore::new(types)?,
            index: KeyIndex::default(),
            groups: Vec::new(),
            output,
            output_changelog,
            input_changelog: spec.input_changelog,
            generate_update_before: spec.generate_update_before,
            state_ttl: i64::try_from(spec.state_ttl).unwrap_or(i64::MAX),
            next_expiry: None,
            clock: context.clock.clone(),
            batch: 0,
            successors: Vec::new(),
            cache: None,
            complete: true,
        })
    }

    /// Notes which groups the batch touches, and their results so far.
    fn touch(&mut self, rows: &[u32]) -> Result<Touched> {
        let mut groups = Vec::new();
        for row in rows {
            let group = &mut self.groups[*row as usize];
            if group.batch != self.batch {
                group.batch = self.batch;
                groups.push(*row);
            }
        }
        if self.state_ttl > 0 {
            let now = self.clock.now_millis();
            self.expire(&groups, now);
            groups.iter().for_each(|group| self.groups[*group as usize].written = now);
            self.next_expiry.get_or_insert(now.saturating_add(self.state_ttl));
        }
        if let Some(cache) = &mut self.cache {
            cache.touch(&groups);
        }
        let before = self.aggregates.evaluate(&groups)?;
        Ok(Touched { groups, before })
    }

    /// Empties those of these groups that were not written to for too long.
    fn expire(&mut self, groups: &[u32], now: i64) {
        let expired = |group: &&u32| {
            let group = &self.groups[**group as usize];
            group.emitted && group.written.saturating_add(self.state_ttl) <= now
        };
        let expired: Vec<u32> = groups.iter().filter(expired).copied().collect();
        self.aggregates.reset(&expired);
        for group in expired {
            self.groups[group as usize] = Group { batch: self.batch, ..Group::default() };
        }
    }

    /// Counts the rows of each group and says which of them count: as in Flink, a row cannot be taken back from a group that
    /// has none. A group that loses its last row and then gets another starts anew: `rows` then names its successor.
    fn count(&mut self, rows: &mut [u32], weights: &[i8]) -> Option<BooleanBuffer> {
        let afresh = !self.aggregates.retract_exactly();
        let mut ignored: Vec<usize> = Vec::new();
        for (row, (slot, weight)) in rows.iter_mut().zip(weights).enumerate() {
            let first = *slot;
            if let Some(successor) = self.groups[first as usize].successor {
                *slot = successor;
            }
            let group = &mut self.groups[*slot as usize];
            if *weight < 0 {
                match group.rows {
                    0 => ignored.push(row),
                    _ => group.rows -= 1,
                }
                continue;
            }
            if !(afresh && group.used && group.rows == 0) {
                group.rows += 1;
                group.used = true;
                continue;
            }
            let successor = self.store.reserve();
            self.grow();
            self.groups[successor as usize] = Group { rows: 1, used: true, ..Group::default() };
            self.groups[first as usize].successor = Some(successor);
            self.successors.push(successor);
            *slot = successor;
        }
        (!ignored.is_empty()).then(|| {
            let mut selected = vec![true; rows.len()];
            ignored.into_iter().for_each(|row| selected[row] = false);
            BooleanBuffer::from(selected)
        })
    }

    fn grow(&mut self) {
        let capacity = self.store.capacity();
        if self.groups.len() < capacity {
            self.groups.resize(capacity, Group::default());
            self.aggregates.resize(capacity);
        }
    }

    /// Moves what successors collected into the groups whose key they have.
    fn settle(&mut self, groups: &[u32]) -> Result<()> {
        let successors = std::mem::take(&mut self.successors);
        if successors.is_empty() {
            return Ok(());
        }
        let moved: Vec<(u32, u32)> =
            groups.iter().filter_map(|group| Some((*group, self.groups[*group as usize].successor.take()?))).collect();
        let (targets, sources): (Vec<u32>, Vec<u32>) = moved.into_iter().unzip();
        self.aggregates.reset(&targets);
        self.aggregates.merge_groups(&targets, &sources)?;
        for (target, source) in targets.iter().zip(&sources) {
            self.groups[*target as usize].rows = self.groups[*source as usize].rows;
        }
        self.release(&successors);
        Ok(())
    }

    fn release(&mut self, groups: &[u32]) {
        self.aggregates.reset(groups);
        groups.iter().for_each(|group| self.groups[*group as usize] = Group::default());
        self.store.release(groups);
        if let Some(cache) = &mut self.cache {
            cache.forget(groups);
        }
    }

    fn drop_groups(&mut self, groups: &[u32]) {
        groups.iter().for_each(|group| self.store.forget(&mut self.index, *group));
        self.release(groups);
    }

    /// Groups lost their last row. Those that the table has stay as empty ones until they are taken out of it, or have been there
    /// for so long that the table drops them by itself.
    fn remove(&mut self, groups: Vec<u32>) {
        let stored = |group: &u32| self.cache.as_ref().is_some_and(|cache| cache.is_stored(*group));
        let (stored, others): (Vec<u32>, Vec<u32>) = groups.into_iter().partition(stored);
        self.aggregates.reset(&stored);
        for group in stored {
            let group = &mut self.groups[group as usize];
            *group = Group { written: group.written, ..Group::default() };
        }
        self.drop_groups(&others);
    }

    fn aggregate(&mut self, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        self.batch += 1;
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| batch.records.column(*key).clone()).collect();
        self.store.load(&keys)?;
        let mut rows = Vec::with_capacity(batch.num_rows());
        self.store.assign(&mut self.index, 0..batch.num_rows(), &mut rows);
        self.grow();
        self.fetch()?;
        let touched = self.touch(&rows)?;
        if self.input_changelog {
            let weights = batch.weights();
            let selected = self.count(&mut rows, &weights);
            self.aggregates.update(&batch.records, &rows, selected.as_ref(), Some(&weights))?;
            self.settle(&touched.groups)?;
        } else {
            self.aggregates.update(&batch.records, &rows, None, None)?;
        }
        self.emit(&touched, out)?;
        self.trim()
    }

    /// The changes that lead from the results before the batch to those after it.
    fn emit(&mut self, touched: &Touched, out: &mut dyn Collector) -> Result<()> {
        let after = self.aggregates.evaluate(&touched.groups)?;
        let same = unchanged(&touched.before, &after)?;
        let mut kinds: Vec<i8> = Vec::with_capacity(touched.groups.len());
        // Of each change the position in `touched`, and whether it is the result before (0) or after (1).
        let mut picks: Vec<(usize, usize)> = Vec::with_capacity(touched.groups.len());
        let mut gone = Vec::new();
        let mut add = |kind: RowKind, version: usize, position: usize| {
            kinds.push(kind as i8);
            picks.push((version, position));
        };
        for (position, number) in touched.groups.iter().enumerate() {
            let group = &mut self.groups[*number as usize];
            if self.input_changelog && group.rows == 0 {
                if group.emitted {
                    add(RowKind::Delete, 0, position);
                }
                gone.push(*number);
            } else if !group.emitted {
                group.emitted = true;
                add(RowKind::Insert, 1, position);
            } else if self.state_ttl > 0 || !same(position) {
                if self.generate_update_before {
                    add(RowKind::UpdateBefore, 0, position);
                }
                add(RowKind::UpdateAfter, 1, position);
            }
        }
        if !picks.is_empty() {
            let positions = UInt64Array::from_iter_values(picks.iter().map(|(_, position)| *position as u64));
            let keys = self.store.columns(&touched.groups)?;
            let keys = keys.iter().map(|column| take(column, &positions, None));
            let results = touched.before.iter().zip(&after);
            let results = results.map(|(before, after)| interleave(&[&**before, &**after], &picks));
            let columns = keys.chain(results).collect::<Result<Vec<_>, _>>()?;
            let records = record_batch(&self.output, columns, picks.len(), |_| "GroupAggregate".to_owned())?;
            let kinds = self.output_changelog.then(|| Int8Array::from(kinds));
            out.collect(Batch { records, kinds })?;
        }
        self.remove(gone);
        Ok(())
    }
}

/// Tells for a position whether the results are the same before and after.
fn unchanged<'a>(before: &'a [ArrayRef], after: &'a [ArrayRef]) -> Result<impl Fn(usize) -> bool + 'a> {
    let columns = before.iter().zip(after).map(|(before, after)| {
        let comparator = make_comparator(before, after, SortOptions::default()).ok();
        // Types without an order, such as maps.
        comparator.unwrap_or_else(|| {
            let (before, after) = (before.clone(), after.clone());
            Box::new(move |i, j| (before.slice(i, 1).to_data() != after.slice(j, 1).to_data()).cmp(&false))
        })
    });
    let columns: Vec<_> = columns.collect();
    Ok(move |position: usize| columns.iter().all(|compare| compare(position, position).is_eq()))
}

/// The fields of key columns.
pub(crate) fn key_fields(keys: &[usize], input: &[RowField]) -> Result<Vec<RowField>> {
    let field = |key: &usize| input.get(*key).cloned();
    let fields: Option<Vec<RowField>> = keys.iter().map(field).collect();
    fields.ok_or_else(|| Error::Plan(format!("a key is none of the {} columns: {keys:?}", input.len())))
}

impl Operator for GroupAggregate {
    fn restore(&mut self, state: &mut dyn RestoredState) -> Result<()> {
        self.open_state(state)
    }

    fn process(&mut self, _: usize, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        let rows = batch.num_rows();
        // The results of all groups that a batch touches are made at once, and a result may be long.
        let bytes = self.aggregates.result_heap();
        let most = (BATCH_BYTES / (bytes / self.store.len().max(1)).max(1)).max(FEWEST);
        if bytes <= 4 * BATCH_BYTES || rows <= most {
            return self.aggregate(batch, out);
        }
        (0..rows).step_by(most).try_for_each(|start| self.aggregate(batch.slice(start, most.min(rows - start)), out))
    }

    fn next_timer(&self) -> Option<i64> {
        self.next_expiry
    }

    fn processing_time(&mut self, now: i64, _: &mut dyn Collector) -> Result<()> {
        let groups: Vec<u32> = self.index.groups().collect();
        let expired = |group: &u32| self.groups[*group as usize].written.saturating_add(self.state_ttl) <= now;
        let expired: Vec<u32> = groups.into_iter().filter(expired).collect();
        // The table drops them by itself: there they are at least as old.
        self.drop_groups(&expired);
        self.next_expiry = (!self.index.is_empty()).then(|| now.saturating_add(self.state_ttl));
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        self.save(options)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        self.cache.iter_mut().for_each(|cache| cache.checkpoint_ended(checkpoint_id, true));
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        self.cache.iter_mut().for_each(|cache| cache.checkpoint_ended(checkpoint_id, false));
        Ok(())
    }
}
