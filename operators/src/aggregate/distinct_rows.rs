//! The values of `DISTINCT` in groups that have many: rows of keyed state, one a value, so that of a group with millions a
//! checkpoint has what changed, and memory what is touched.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::Int64Type;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::cache_share::CacheShare;
use wiesel_state::keyed::{KeptBack, KeyedBackend, SnapshotOptions};

use super::Rows;
use super::distinct::Counts;
use super::keys::KeyStore;
use crate::operator::Result;
use crate::state::write_back::Backend;
use crate::state::{KeyedRows, RowsDescriptor};

/// Values that a group keeps in its own value, at most: a look-up of those is faster. Few in tests, which are to come to rows.
pub(super) const INLINE: usize = if cfg!(test) { 2 } else { 1024 };

/// What functions need that keep rows of their groups: the back end, and the groups' keys.
pub struct KeyedBatch<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) keys: &'a KeyStore,
}

/// The rows of one function: `key of the group | value` → how often it came.
pub(super) struct DistinctRows {
    table: KeyedRows,
}

/// The rows of a batch at which a value enters or leaves its group.
#[derive(Default)]
pub(super) struct Crossings {
    pub(super) at: Vec<u64>,
    pub(super) groups: Vec<u32>,
    pub(super) weights: Vec<i8>,
}

impl DistinctRows {
    pub(super) fn open(
        backend: &mut dyn KeyedBackend,
        name: &str,
        key: &[LogicalType],
        values: &[LogicalType],
        max_parallelism: u32,
        budget: CacheShare,
    ) -> Result<Self> {
        let value = [TypeKind::Bigint.not_null()];
        let descriptor =
            RowsDescriptor { name, key, order: values, appends: false, value: &value, ttl: 0, max_parallelism };
        Ok(Self { table: KeyedRows::open(backend, &descriptor, budget)? })
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
        let entries = self.entries(&keyed.keys.columns(&groups)?, &values, at.len(), keyed.backend)?;
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
        self.table.update_rows(&left, &[Arc::new(Int64Array::from(counts))], 0)?;
        Ok(crossings)
    }

    /// The numbers of the values of rows. Those that are new came not once so far.
    fn entries(&mut self, keys: &[ArrayRef], values: &[ArrayRef], rows: usize, backend: &Backend) -> Result<Vec<u32>> {
        let entries = self.table.get(backend, keys, values, rows, 0)?;
        let is_new = |(at, entry): (usize, &u32)| (*entry == KeyedRows::NONE).then_some(at as u64);
        let new: UInt64Array = entries.iter().enumerate().filter_map(is_new).collect::<Vec<u64>>().into();
        if new.is_empty() {
            return Ok(entries);
        }
        let none: ArrayRef = Arc::new(Int64Array::from(vec![0; new.len()]));
        self.table.upsert(&taken(keys, &new)?, &taken(values, &new)?, &[none], new.len(), 0)?;
        self.table.get(backend, keys, values, rows, 0)
    }

    /// Takes in what a group kept of so many values until now.
    pub(super) fn put(&mut self, keys: &KeyStore, group: u32, values: &[ArrayRef], counts: Vec<i64>) -> Result<()> {
        let rows = counts.len();
        let keys = keys.columns(&vec![group; rows])?;
        self.table.upsert(&keys, values, &[Arc::new(Int64Array::from(counts))], rows, 0)
    }

    /// Takes all values of groups out.
    pub(super) fn clear(&mut self, backend: &mut Backend, keys: &KeyStore, groups: &[u32]) -> Result<()> {
        self.table.clear(backend, &keys.columns(groups)?, groups.len())
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

/// These rows of columns.
fn taken(columns: &[ArrayRef], rows: &UInt64Array) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| take(column, rows, None)).collect::<Result<_, _>>()?)
}
