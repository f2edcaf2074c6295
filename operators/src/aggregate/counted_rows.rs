//! The values of `DISTINCT`, and of MIN and MAX of changes, in groups that have many: rows of keyed state, one a value, so that of a
//! group with millions a checkpoint has what changed, and memory what is touched.
use std::hash::BuildHasherDefault;
use std::ops::Bound;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use hashbrown::HashSet;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, ScanOrder, SnapshotOptions};

use super::Rows;
use super::distinct::Counts;
use super::keys::KeyStore;
use super::number_hasher::NumberHasher;
use super::spill::{Keeping, KeyedBatch};
use crate::operator::Result;
use crate::state::write_back::Backend;
use crate::state::{KeyedRows, RowRange, RowsDescriptor};

/// Values that are looked through at once, at most, for one that is there.
const LOOKED_THROUGH: usize = 1 << 12;

/// The rows of one function: `namespace, if there are any | key of the group | value` → how often it came.
pub(super) struct CountedRows {
    table: KeyedRows,
    once: bool,
    /// Rows may expire.
    expires: bool,
    /// The time at which rows are read and written.
    pub(super) now: i64,
}

/// The rows of a batch at which a value enters or leaves its group.
#[derive(Default)]
pub(super) struct Crossings {
    pub(super) at: Vec<u64>,
    pub(super) groups: Vec<u32>,
    pub(super) weights: Vec<i8>,
}

impl CountedRows {
    pub(super) fn open(
        backend: &mut dyn KeyedBackend,
        name: &str,
        key: &[LogicalType],
        values: &[LogicalType],
        max_parallelism: u32,
        budget: CacheShare,
        Keeping { namespaces, ttl, once }: Keeping,
    ) -> Result<Self> {
        let value = [TypeKind::Bigint.not_null()];
        let descriptor =
            RowsDescriptor { name, key, order: values, appends: false, value: &value, ttl, max_parallelism };
        let table = match namespaces {
            true => KeyedRows::open_in_namespaces(backend, &descriptor, budget)?,
            false => KeyedRows::open(backend, &descriptor, budget)?,
        };
        Ok(Self { table, once, expires: ttl > 0, now: 0 })
    }

    /// Counts the rows of a batch that take part; `nulls`: those with a null do, too.
    pub(super) fn update(&mut self, rows: &Rows<'_>, nulls: bool, keyed: &KeyedBatch<'_>) -> Result<Crossings> {
        let (mut at, mut groups, mut weights) = (Vec::new(), Vec::new(), Vec::new());
        let note = |row: usize, group: usize, weight: i64| {
            at.push(row as u64);
            groups.push(group as u32);
            weights.push(weight);
        };
        match nulls {
            true => rows.for_each(note),
            false => rows.for_each_not_null(note),
        }
        let values = taken(rows.arguments, &UInt64Array::from(at.clone()))?;
        let keys = key_columns(keyed.keys, keyed.namespaces, &groups)?;
        if self.once {
            let new = self.add(&keys, &values, at.len(), keyed.backend)?;
            let of = |position: &usize| (at[*position], groups[*position]);
            let (at, groups): (Vec<u64>, Vec<u32>) = new.iter().map(of).unzip();
            return Ok(Crossings { weights: vec![1; at.len()], at, groups });
        }
        let entries = self.entries(&keys, &values, at.len(), keyed.backend)?;
        let known = self.table.values(&entries)?;
        let known = known[0].as_primitive::<Int64Type>();
        let (mut counts, mut crossings) = (Counts::default(), Crossings::default());
        for (position, entry) in entries.iter().enumerate() {
            let count = counts.entry(*entry).or_insert_with(|| known.value(position));
            let before = *count;
            *count += weights[position];
            if (before > 0) != (*count > 0) {
                crossings.at.push(at[position]);
                crossings.groups.push(groups[position]);
                crossings.weights.push(weights[position] as i8);
            }
        }
        let gone: Vec<u32> = counts.iter().filter(|(_, count)| **count == 0).map(|(entry, _)| *entry).collect();
        self.table.delete_rows(&gone);
        let (left, counts): (Vec<u32>, Vec<i64>) = counts.into_iter().filter(|(_, count)| *count != 0).unzip();
        self.table.update_rows(&left, &[Arc::new(Int64Array::from(counts))], self.now)?;
        Ok(crossings)
    }

    /// Takes in the values that are new. Returns the positions of the rows that brought them; of those that are known nothing
    /// changes.
    fn add(&mut self, keys: &[ArrayRef], values: &[ArrayRef], rows: usize, backend: &Backend) -> Result<Vec<usize>> {
        let entries = self.table.get(backend, keys, values, rows, self.now)?;
        let new: Vec<usize> = (0..rows).filter(|at| entries[*at] == KeyedRows::NONE).collect();
        if new.is_empty() {
            return Ok(new);
        }
        let at = UInt64Array::from_iter_values(new.iter().map(|at| *at as u64));
        let (keys, values) = (taken(keys, &at)?, taken(values, &at)?);
        let once: ArrayRef = Arc::new(Int64Array::from(vec![1; new.len()]));
        self.table.upsert(&keys, &values, &[once], new.len(), self.now)?;
        // A batch may bring a value several times.
        let entries = self.table.get(backend, &keys, &values, new.len(), self.now)?;
        let mut seen: HashSet<u32, BuildHasherDefault<NumberHasher>> = HashSet::default();
        Ok(new.into_iter().zip(entries).filter(|(_, entry)| seen.insert(*entry)).map(|(at, _)| at).collect())
    }

    /// The numbers of the values of rows. Those that are new came not once so far.
    fn entries(&mut self, keys: &[ArrayRef], values: &[ArrayRef], rows: usize, backend: &Backend) -> Result<Vec<u32>> {
        let entries = self.table.get(backend, keys, values, rows, self.now)?;
        let is_new = |(at, entry): (usize, &u32)| (*entry == KeyedRows::NONE).then_some(at as u64);
        let new: UInt64Array = entries.iter().enumerate().filter_map(is_new).collect::<Vec<u64>>().into();
        if new.is_empty() {
            return Ok(entries);
        }
        let none: ArrayRef = Arc::new(Int64Array::from(vec![0; new.len()]));
        self.table.upsert(&taken(keys, &new)?, &taken(values, &new)?, &[none], new.len(), self.now)?;
        self.table.get(backend, keys, values, rows, self.now)
    }

    /// Of each of these groups, each there once, the value next to its one in `from` of those that came more often than they were
    /// taken back; null if there is none. Values on this side of `from` are not looked at.
    pub(super) fn next_present(
        &mut self,
        groups: &[u32],
        from: ArrayRef,
        order: ScanOrder,
        keyed: &KeyedBatch<'_>,
    ) -> Result<ArrayRef> {
        // The rows that were found, and which of them is each group's.
        let (mut found, mut of_groups) = (Vec::new(), vec![None; groups.len()]);
        let mut open: Vec<usize> = (0..groups.len()).collect();
        let (mut from, mut limit) = (vec![from], 1);
        while !open.is_empty() {
            let numbers: Vec<u32> = open.iter().map(|at| groups[*at]).collect();
            let beyond = Bound::Excluded(&from[..]);
            let (lower, upper) = match order {
                ScanOrder::Forwards => (beyond, Bound::Unbounded),
                ScanOrder::Backwards => (Bound::Unbounded, beyond),
            };
            let range = RowRange { lower, upper, order, limit };
            let keys = key_columns(keyed.keys, keyed.namespaces, &numbers)?;
            let set = self.table.rows(keyed.backend, &keys, numbers.len(), &range, self.now)?;
            let counts = self.table.values(&set.rows)?;
            let counts = counts[0].as_primitive::<Int64Type>().values();
            let (mut still_open, mut last, mut start) = (Vec::new(), Vec::new(), 0);
            for (at, end) in open.into_iter().zip(set.ends) {
                let mut of_group = std::mem::replace(&mut start, end)..end;
                let is_full = of_group.len() == limit;
                match of_group.find(|row| counts[*row] > 0) {
                    Some(row) => {
                        of_groups[at] = Some(found.len() as u64);
                        found.push(set.rows[row]);
                    }
                    None if is_full => {
                        still_open.push(at);
                        last.push(set.rows[end - 1]);
                    }
                    None => {}
                }
            }
            from = self.table.positions(&last)?;
            (open, limit) = (still_open, (limit * 2).min(LOOKED_THROUGH));
        }
        let values = self.table.positions(&found)?;
        Ok(take(&values[0], &UInt64Array::from(of_groups), None)?)
    }

    /// Takes in what a group kept until now of so many values, which were written at this time. The table has none of the group that
    /// can be seen.
    pub(super) fn put(
        &mut self,
        keys: &KeyStore,
        namespaces: &[i64],
        group: u32,
        values: &[ArrayRef],
        counts: Vec<i64>,
        written: i64,
    ) -> Result<()> {
        let rows = counts.len();
        let keys = key_columns(keys, namespaces, &vec![group; rows])?;
        let counts = if self.once { vec![1; rows] } else { counts };
        let counts: [ArrayRef; 1] = [Arc::new(Int64Array::from(counts))];
        match self.expires {
            // Those of a group that expired may be in the table yet.
            true => self.table.upsert(&keys, values, &counts, rows, written),
            false => self.table.begin(&keys, values, &counts, rows, written),
        }
    }

    /// Takes all values of groups out.
    pub(super) fn clear(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.table.clear(backend, &keys.columns(groups)?, groups.len())
    }

    /// Takes all values out that groups in a namespace have; the table has some in these key groups at most.
    pub(super) fn drop_namespace(&mut self, backend: &mut Backend, namespace: i64, key_groups: &[u16]) -> Result<()> {
        self.table.drop_namespace(backend, namespace, key_groups)
    }

    /// Drops values from memory that have expired.
    pub(super) fn expire(&mut self, now: i64) {
        self.table.expire(now);
    }

    /// Whether the table may have values that are not at hand.
    pub(super) fn may_have_more(&self) -> bool {
        self.table.may_have_more()
    }

    /// Calls `each` with the values that a group's key has in any of these namespaces, and with `also`: some at a time, in their
    /// order, each once.
    pub(super) fn union(
        &mut self,
        backend: &mut Backend,
        (keys, group): (&KeyStore, u32),
        namespaces: &[i64],
        also: &[ArrayRef],
        each: impl FnMut(&[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let key = keys.columns(&[group])?;
        let in_namespace = |namespace: &i64| {
            let namespace: ArrayRef = Arc::new(Int64Array::from(vec![*namespace]));
            [namespace].into_iter().chain(key.iter().cloned()).collect::<Vec<ArrayRef>>()
        };
        let keys: Vec<Vec<ArrayRef>> = namespaces.iter().map(in_namespace).collect();
        self.table.union(backend, &keys, also, self.now, each)
    }

    pub(super) fn trim(&mut self, backend: &mut Backend) -> Result<()> {
        self.table.trim(backend)
    }

    pub(super) fn write_changes(&mut self, backend: &mut Backend, options: &SnapshotOptions) -> Result<Vec<KeptBack>> {
        self.table.write_changes(backend, options)
    }

    pub(super) fn size(&self) -> usize {
        self.table.size()
    }
}

/// The key columns of groups, behind their namespaces, if they have any.
fn key_columns(keys: &KeyStore, namespaces: &[i64], groups: &[u32]) -> Result<Vec<ArrayRef>> {
    let columns = keys.columns(groups)?;
    if namespaces.is_empty() {
        return Ok(columns);
    }
    let namespaces = Int64Array::from_iter_values(groups.iter().map(|group| namespaces[*group as usize]));
    Ok([Arc::new(namespaces) as ArrayRef].into_iter().chain(columns).collect())
}

/// These rows of columns.
fn taken(columns: &[ArrayRef], rows: &UInt64Array) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| take(column, rows, None)).collect::<Result<_, _>>()?)
}
