//! Group aggregate: one result a key, changed as rows come and are taken back.
//!
//! A batch is aggregated as a whole and makes at most one change a key: an insert for a new key, an update if the result
//! differs, a delete when the last row of the key was taken back. Folded, the changes are those that Apache Flink makes row
//! by row.
//!
//! Groups are columns in memory before a table of keyed state ([`groups`]).
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
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::SnapshotOptions;

use crate::aggregate::Aggregates;
use crate::aggregate::spill::KeyedBatch;
use crate::element::Batch;
use crate::operator::{Collector, Error, Operator, OperatorContext, OperatorSnapshot, RestoredState, Result};
use crate::state::table::{RowTable, TableLayout};
use crate::state::write_back::{self, Backend, WriteBack};

mod groups;
#[cfg(test)]
mod tests;

use groups::{Group, Groups};

/// The fewest rows that are aggregated at once where results are long: rows of one key are worth being put together.
const FEWEST: usize = 16;

/// The part of its memory that an operator uses for rows of aggregate functions, at most, is one in so many.
pub(crate) const ROWS_SHARE: usize = 4;

/// The operator.
pub struct GroupAggregate {
    keys: Vec<usize>,
    max_parallelism: u32,
    /// The groups that are at hand.
    state: WriteBack<Groups>,
    backend: Backend,
    output: SchemaRef,
    output_changelog: bool,
    input_changelog: bool,
    generate_update_before: bool,
    /// Milliseconds; 0: kept for ever.
    state_ttl: i64,
    /// The time of the batch, if there is a time to live. It does not go back with the clock: what had expired would be there again.
    now: i64,
    /// When groups that are not touched any more are looked for again.
    next_expiry: Option<i64>,
    clock: Arc<dyn Clock>,
    /// The number of the batch, so that groups know whether it touched them.
    batch: u64,
    /// Groups without a key that stand in for others until the end of the batch.
    successors: Vec<u32>,
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
        let state_ttl = i64::try_from(spec.state_ttl).unwrap_or(i64::MAX);
        let aggregates = Aggregates::new(&spec.aggregates, &input, spec.input_changelog)?.with_ttl(state_ttl);
        Ok(Self {
            keys,
            max_parallelism: context.max_parallelism,
            state: WriteBack::new(Groups::new(key_types, aggregates)?),
            backend: None,
            output,
            output_changelog,
            input_changelog: spec.input_changelog,
            generate_update_before: spec.generate_update_before,
            state_ttl,
            now: i64::MIN,
            next_expiry: None,
            clock: context.clock.clone(),
            batch: 0,
            successors: Vec::new(),
        })
    }

    /// Opens the table of groups.
    fn open_state(&mut self, restored: &mut dyn RestoredState) -> Result<()> {
        let Groups { key_types, aggregates, .. } = &self.state.entries;
        let value = groups::value_types(aggregates);
        let layout = TableLayout {
            name: "groups",
            key: key_types,
            sub_key: &[],
            value: &value,
            namespace: false,
            ttl: self.state_ttl,
            max_parallelism: self.max_parallelism,
        };
        let mut backend = restored.keyed()?;
        let table = RowTable::open(&mut *backend, &layout)?;
        let mut budgets = self.budgets(restored.cache_share()).into_iter();
        let budget = budgets.next().ok_or_else(|| Error::Plan("no memory was dealt out".into()))?;
        self.state.open(&mut *backend, table, budget)?;
        let Groups { key_types, aggregates, .. } = &mut self.state.entries;
        aggregates.open_rows(&mut *backend, key_types, self.max_parallelism, budgets, false)?;
        self.backend = Some(backend);
        Ok(())
    }

    /// What groups may take, all that there is, and what of that the rows of each function may that has some at hand beside
    /// them.
    fn budgets(&self, share: CacheShare) -> Vec<CacheShare> {
        let functions = self.state.entries.aggregates.row_caches(false);
        let rows = std::iter::repeat_n(ROWS_SHARE * functions, functions);
        share.parts([1].into_iter().chain(rows))
    }

    /// Reads what the table has of the groups that are new here.
    fn fetch(&mut self) -> Result<()> {
        if !self.state.is_complete() {
            let fresh = self.state.entries.store.fresh().to_vec();
            self.state.fetch(&self.backend, &fresh, &[])?;
            self.state.entries.load_rows(&self.backend)?;
        }
        Ok(())
    }

    /// Notes which groups the batch touches, and their results so far.
    fn touch(&mut self, rows: &[u32]) -> Result<Touched> {
        let entries = &mut self.state.entries;
        let mut groups = Vec::new();
        for row in rows {
            let group = &mut entries.groups[*row as usize];
            if group.batch != self.batch {
                group.batch = self.batch;
                groups.push(*row);
            }
        }
        if self.state_ttl > 0 {
            let now = self.now;
            entries.expire(&groups, now.saturating_sub(self.state_ttl), self.batch);
            for group in &groups {
                // Not before a time that a clock was at that went ahead: no value of a group is younger than the group.
                let written = &mut entries.groups[*group as usize].written;
                *written = now.max(*written);
            }
            self.next_expiry.get_or_insert(now.saturating_add(self.state_ttl));
        }
        self.state.touch(&groups);
        let before = self.state.entries.aggregates.evaluate(&groups)?;
        Ok(Touched { groups, before })
    }

    /// Counts the rows of each group and says which of them count: as in Flink, a row cannot be taken back from a group that
    /// has none. A group that loses its last row and then gets another starts anew: `rows` then names its successor.
    fn count(&mut self, rows: &mut [u32], weights: &[i8]) -> Option<BooleanBuffer> {
        let entries = &mut self.state.entries;
        let afresh = !entries.aggregates.retract_exactly();
        let mut ignored: Vec<usize> = Vec::new();
        for (row, (slot, weight)) in rows.iter_mut().zip(weights).enumerate() {
            let first = *slot;
            if let Some(successor) = entries.groups[first as usize].successor {
                *slot = successor;
            }
            let group = &mut entries.groups[*slot as usize];
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
            let successor = entries.store.reserve();
            entries.grow();
            entries.groups[successor as usize] = Group { rows: 1, used: true, ..Group::default() };
            entries.groups[first as usize].successor = Some(successor);
            self.successors.push(successor);
            *slot = successor;
        }
        (!ignored.is_empty()).then(|| {
            let mut selected = vec![true; rows.len()];
            ignored.into_iter().for_each(|row| selected[row] = false);
            BooleanBuffer::from(selected)
        })
    }

    /// Moves what successors collected into the groups whose key they have.
    fn settle(&mut self, groups: &[u32]) -> Result<()> {
        let successors = std::mem::take(&mut self.successors);
        if successors.is_empty() {
            return Ok(());
        }
        let entries = &mut self.state.entries;
        let moved = |group: &u32| Some((*group, entries.groups[*group as usize].successor.take()?));
        let (targets, sources): (Vec<u32>, Vec<u32>) = groups.iter().filter_map(moved).unzip();
        entries.clear_rows(&mut self.backend, &targets)?;
        entries.aggregates.reset(&targets);
        entries.aggregates.merge_groups(&targets, &sources)?;
        for (target, source) in targets.iter().zip(&sources) {
            entries.groups[*target as usize].rows = entries.groups[*source as usize].rows;
        }
        self.state.release(&successors);
        Ok(())
    }

    fn aggregate(&mut self, batch: Batch, out: &mut dyn Collector) -> Result<()> {
        self.batch += 1;
        if self.state_ttl > 0 {
            self.now = self.now.max(self.clock.now_millis());
            self.state.entries.aggregates.set_time(self.now);
        }
        let keys: Vec<ArrayRef> = self.keys.iter().map(|key| batch.records.column(*key).clone()).collect();
        let mut rows = Vec::with_capacity(batch.num_rows());
        self.state.entries.assign(&keys, batch.num_rows(), &mut rows)?;
        self.fetch()?;
        let touched = self.touch(&rows)?;
        if self.input_changelog {
            let weights = batch.weights();
            let selected = self.count(&mut rows, &weights);
            self.update(&batch, &rows, selected.as_ref(), Some(&weights))?;
            self.settle(&touched.groups)?;
        } else {
            self.update(&batch, &rows, None, None)?;
        }
        self.emit(&touched, out)?;
        let entries = &mut self.state.entries;
        entries.spill(&touched.groups)?;
        entries.aggregates.trim_rows(&mut self.backend)?;
        self.state.trim(&mut self.backend)
    }

    /// Adds rows to their groups, or takes them back.
    fn update(
        &mut self,
        batch: &Batch,
        rows: &[u32],
        selected: Option<&BooleanBuffer>,
        weights: Option<&[i8]>,
    ) -> Result<()> {
        let Groups { aggregates, store, .. } = &mut self.state.entries;
        let keyed = KeyedBatch { backend: &self.backend, keys: store, namespaces: &[] };
        aggregates.update_keyed(&batch.records, rows, selected, weights, &keyed)
    }

    /// The changes that lead from the results before the batch to those after it.
    fn emit(&mut self, touched: &Touched, out: &mut dyn Collector) -> Result<()> {
        let entries = &mut self.state.entries;
        let after = entries.aggregates.evaluate(&touched.groups)?;
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
            let group = &mut entries.groups[*number as usize];
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
            let keys = entries.store.columns(&touched.groups)?;
            let keys = keys.iter().map(|column| take(column, &positions, None));
            let results = touched.before.iter().zip(&after);
            let results = results.map(|(before, after)| interleave(&[&**before, &**after], &picks));
            let columns = keys.chain(results).collect::<Result<Vec<_>, _>>()?;
            let records = record_batch(&self.output, columns, picks.len(), |_| "GroupAggregate".to_owned())?;
            let kinds = self.output_changelog.then(|| Int8Array::from(kinds));
            out.collect(Batch { records, kinds })?;
        }
        self.state.entries.clear_rows(&mut self.backend, &gone)?;
        self.state.remove(gone);
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
        let Groups { aggregates, store, .. } = &self.state.entries;
        let bytes = aggregates.result_heap();
        let most = (BATCH_BYTES / (bytes / store.len().max(1)).max(1)).max(FEWEST);
        if bytes <= 4 * BATCH_BYTES || rows <= most {
            return self.aggregate(batch, out);
        }
        (0..rows).step_by(most).try_for_each(|start| self.aggregate(batch.slice(start, most.min(rows - start)), out))
    }

    fn next_timer(&self) -> Option<i64> {
        self.next_expiry
    }

    fn processing_time(&mut self, now: i64, _: &mut dyn Collector) -> Result<()> {
        let expired = self.state.entries.written_by(now.saturating_sub(self.state_ttl));
        // The table drops them by itself: there they are at least as old.
        self.state.discard(&expired);
        self.now = self.now.max(now);
        self.state.entries.aggregates.expire_rows(now);
        let any = !self.state.entries.index.is_empty();
        self.next_expiry = any.then(|| now.saturating_add(self.state_ttl));
        Ok(())
    }

    fn snapshot(&mut self, options: &SnapshotOptions) -> Result<OperatorSnapshot> {
        let mut kept_back = self.state.write_changes(&mut self.backend, options)?;
        kept_back.extend(self.state.entries.write_rows(&mut self.backend, options)?);
        write_back::snapshot(&mut self.backend, options, kept_back)
    }

    fn checkpoint_completed(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.backend, checkpoint_id, true);
        Ok(())
    }

    fn checkpoint_aborted(&mut self, checkpoint_id: u64) -> Result<()> {
        write_back::checkpoint_ended(&mut self.backend, checkpoint_id, false);
        Ok(())
    }
}
