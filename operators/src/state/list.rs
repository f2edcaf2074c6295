//! A list for each key: Flink's `ListState`.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::keyed::{KeyedBackend, Rows};

use super::access;
use super::batch::{Entries, Keys, Runs, StateDescriptor, check_columns};
use super::table::RowTable;
use crate::operator::{Error, Result};

/// Numbers of a key group that are set aside at once: so many elements are added before their end is noted again.
const BLOCK: i64 = 1 << 20;

/// A list for each key.
///
/// A row of the table is `key group | namespace | key | number` and the element's columns. Numbers grow within a key
/// group, so that adding reads nothing: an element goes behind all that are there. An element lives by itself if there
/// is a time to live. The table `<name>/next` has for each key group a number that none of its elements has reached.
pub struct ListState {
    table: RowTable,
    numbers: Numbers,
}

impl ListState {
    /// Opens lists of these columns.
    ///
    /// # Errors
    /// What was restored has other types, or a type cannot be kept.
    pub fn open(
        backend: &mut dyn KeyedBackend,
        descriptor: &StateDescriptor<'_>,
        value: &[LogicalType],
    ) -> Result<Self> {
        let table = descriptor.open(backend, &[TypeKind::Bigint.not_null()], value)?;
        let name = format!("{}/next", descriptor.name);
        let next = StateDescriptor { name: &name, key: &[], namespace: false, ttl: 0, ..*descriptor };
        let next = next.open(backend, &[], &[TypeKind::Bigint.not_null()])?;
        Ok(Self { table, numbers: Numbers { table: next, first: 0, groups: None } })
    }

    /// The list of each row's key. One scan for each key; all elements are in memory at once.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn get(&self, backend: &dyn KeyedBackend, keys: Keys<'_>) -> Result<Entries> {
        let heads = keys.heads(&self.table)?;
        let runs = Runs::new(&heads);
        let entries = access::scan(backend, &self.table, &heads, &runs)?.spread(&self.table, &runs)?;
        Ok(Entries { sub_keys: Vec::new(), ..entries })
    }

    /// Adds each row's value to the list of its key, in the order of rows.
    ///
    /// # Errors
    /// The keys or values are not what the state was opened with, or the back end fails.
    pub fn add(&mut self, backend: &mut dyn KeyedBackend, keys: Keys<'_>, values: &[ArrayRef], now: i64) -> Result<()> {
        let values = access::encode(&self.table, values, keys.rows(), now)?;
        let keys = self.new_keys(backend, keys)?;
        let entries = keys.order().into_iter().map(|row| (keys.share(row), Some(values.share(row)))).collect();
        access::write_entries(backend, &self.table, entries)
    }

    /// Replaces lists: that of a key by the values of its rows, in the order of rows.
    ///
    /// # Errors
    /// The keys or values are not what the state was opened with, or the back end fails.
    pub fn update(
        &mut self,
        backend: &mut dyn KeyedBackend,
        keys: Keys<'_>,
        values: &[ArrayRef],
        now: i64,
    ) -> Result<()> {
        let values = access::encode(&self.table, values, keys.rows(), now)?;
        let heads = keys.heads(&self.table)?;
        let runs = Runs::new(&heads);
        let scanned = access::scan(backend, &self.table, &heads, &runs)?;
        let keys = self.new_keys(backend, keys)?;
        // New numbers are larger than those that go.
        let mut entries = Vec::with_capacity(scanned.keys.len() + keys.len());
        for (run, rows) in runs.iter().enumerate() {
            entries.extend(scanned.keys_of(run).iter().map(|key| (key.clone(), None)));
            entries.extend(rows.iter().map(|row| (keys.share(*row), Some(values.share(*row)))));
        }
        access::write_entries(backend, &self.table, entries)
    }

    /// Takes the lists of keys away. One scan for each key.
    ///
    /// # Errors
    /// The keys are not what the state was opened with, or the back end fails.
    pub fn clear(&self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<()> {
        let heads = keys.heads(&self.table)?;
        let scanned = access::scan(backend, &self.table, &heads, &Runs::new(&heads))?;
        let entries: Vec<(Bytes, Option<Bytes>)> = scanned.keys.into_iter().map(|key| (key, None)).collect();
        access::write_entries(backend, &self.table, entries)
    }

    /// A key behind all that are there for each row.
    fn new_keys(&mut self, backend: &mut dyn KeyedBackend, keys: Keys<'_>) -> Result<Rows> {
        check_columns(keys.columns(), self.table.head_width(), keys.rows())?;
        let groups = self.table.key_groups(keys.columns(), keys.rows())?;
        let numbers: ArrayRef = Arc::new(self.numbers.take(backend, &groups)?);
        keys.with_sub_keys(&self.table, &[numbers])
    }
}

/// Numbers for new elements, by key group.
struct Numbers {
    table: RowTable,
    /// The first of the subtask's key groups.
    first: u16,
    /// Of each key group; none before the first element is added.
    groups: Option<Vec<Block>>,
}

/// The numbers of a key group.
struct Block {
    /// The next that is free.
    next: i64,
    /// Where those end that are set aside in the table.
    end: i64,
}

impl Numbers {
    /// A number for each row of these key groups.
    fn take(&mut self, backend: &mut dyn KeyedBackend, groups: &[u16]) -> Result<Int64Array> {
        let mut blocks = match self.groups.take() {
            Some(blocks) => blocks,
            None => self.load(backend)?,
        };
        let mut used_up = Vec::new();
        let mut number = |group: &u16| {
            let position = group.checked_sub(self.first).map(usize::from);
            let block = position.and_then(|position| blocks.get_mut(position));
            let block = block.ok_or_else(|| Error::Plan(format!("the key group {group} is another subtask's")))?;
            if block.next == block.end {
                block.end += BLOCK;
                used_up.push(*group);
            }
            block.next += 1;
            Ok(block.next - 1)
        };
        let numbers = groups.iter().map(&mut number).collect::<Result<Vec<i64>>>()?;
        used_up.sort_unstable();
        used_up.dedup();
        let ends = used_up.iter().map(|group| blocks[usize::from(group - self.first)].end);
        let ends: ArrayRef = Arc::new(Int64Array::from_iter_values(ends));
        let values = self.table.values(&[ends], &[], used_up.len())?;
        let key = |group: &u16| Bytes::copy_from_slice(&group.to_be_bytes());
        let entries = used_up.iter().enumerate().map(|(at, group)| (key(group), Some(values.share(at))));
        access::write_entries(backend, &self.table, entries.collect())?;
        self.groups = Some(blocks);
        Ok(numbers.into())
    }

    /// Goes on behind what was set aside before.
    fn load(&mut self, backend: &dyn KeyedBackend) -> Result<Vec<Block>> {
        let Some(own) = backend.key_groups() else { return Ok(Vec::new()) };
        self.first = *own.start();
        let keys: Vec<[u8; 2]> = own.map(u16::to_be_bytes).collect();
        let keys: Vec<&[u8]> = keys.iter().map(<[u8; 2]>::as_slice).collect();
        let values = backend.get(self.table.id, &keys)?;
        let present: Vec<&Bytes> = values.iter().flatten().collect();
        let (columns, _) = self.table.columns(&present)?;
        let mut ends = columns[0].as_primitive::<Int64Type>().values().iter();
        let end = |value: &Option<Bytes>| value.as_ref().and_then(|_| ends.next()).copied().unwrap_or(0);
        Ok(values.iter().map(end).map(|end| Block { next: end, end }).collect())
    }
}
