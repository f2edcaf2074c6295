//! What groups keep that have much of it, of functions whose result is all that they were given: rows of keyed state, one an entry,
//! so that a checkpoint has what changed.
//!
//! An entry has a number, which is larger than those of the entries that came before it: so rows are in the order in which their
//! entries came. The function has all of a group at hand, because it makes the result of it, so that there is no cache here: all of
//! a group is read with it, and what changed is written at a barrier, or before groups leave memory.
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use wiesel_common::ending;
use wiesel_expressions::types::{LogicalType, TypeKind};
use wiesel_state::Error as StateError;
use wiesel_state::keyed::{KeyRange, KeyedBackend, Rows, ScanOrder, WriteBatch};

use super::keeps_rows::RowsRequest;
use super::kept::{Keep, KeptGroups};
use super::keys::KeyStore;
use super::spill::KeyedBatch;
use crate::operator::{Error, Result};
use crate::rows::KeyCodec;
use crate::state::bits::Bits;
use crate::state::cache::PART_BYTES;
use crate::state::table::{LAST, RowTable, TableLayout};
use crate::state::write_back::Backend;

/// Rows that are written at once, at most.
const PART_ROWS: usize = 1 << 16;

/// The rows of one function: `key of the group | number` → the columns of the entry.
pub(super) struct NumberedRows {
    table: RowTable,
    numbers: KeyCodec,
    /// Groups of which rows may have changed since they were written.
    touched: Bits,
}

/// Rows that are written together, and those that are taken out with them.
struct Part<V> {
    groups: Vec<u32>,
    numbers: Vec<i64>,
    values: Vec<V>,
    gone_groups: Vec<u32>,
    gone_numbers: Vec<i64>,
    bytes: usize,
}

impl<V> Default for Part<V> {
    fn default() -> Self {
        let (groups, numbers, values, gone_groups, gone_numbers) = Default::default();
        Self { groups, numbers, values, gone_groups, gone_numbers, bytes: 0 }
    }
}

impl<V> Part<V> {
    fn put(&mut self, group: u32, number: i64, value: V, bytes: usize) {
        self.groups.push(group);
        self.numbers.push(number);
        self.values.push(value);
        self.bytes += bytes;
    }

    fn take_out(&mut self, group: u32, number: i64) {
        self.gone_groups.push(group);
        self.gone_numbers.push(number);
    }

    fn is_full(&self) -> bool {
        self.bytes >= PART_BYTES || self.groups.len() + self.gone_groups.len() >= PART_ROWS
    }
}

/// Some bytes, one after another.
#[derive(Default)]
struct Pieces {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Pieces {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    fn into_rows(self) -> Rows {
        Rows { bytes: self.bytes.into(), ends: self.ends }
    }
}

/// What was read of a group.
#[derive(Default)]
struct ReadGroup {
    /// The position of its range among those that are read.
    range: usize,
    numbers: Pieces,
    values: Pieces,
}

impl NumberedRows {
    /// Opens the table `<name>/<position of the function>`, whose entries have these columns.
    pub(super) fn open(
        backend: &mut dyn KeyedBackend,
        name: &str,
        request: &RowsRequest<'_>,
        value: &[LogicalType],
    ) -> Result<Self> {
        let name = format!("{name}/{}", request.at);
        let layout = TableLayout {
            name: &name,
            key: request.key,
            sub_key: &[TypeKind::Bigint.not_null()],
            value,
            namespace: false,
            ttl: 0,
            max_parallelism: request.max_parallelism,
        };
        let (table, numbers) = (RowTable::open(backend, &layout)?, KeyCodec::new(&[DataType::Int64])?);
        Ok(Self { table, numbers, touched: Bits::default() })
    }

    /// Whether there is no row of any group.
    pub(super) fn is_empty(&self, backend: &dyn KeyedBackend) -> Result<bool> {
        let mut is_empty = true;
        backend.scan(self.table.id, &[], &mut |_, _| {
            is_empty = false;
            Ok(ControlFlow::Break(()))
        })?;
        Ok(is_empty)
    }

    /// Notes groups of which rows may have changed.
    pub(super) fn touch(&mut self, groups: impl Iterator<Item = u32>) {
        groups.for_each(|group| self.touched.insert(group));
    }

    /// The groups of which rows may have changed since this was asked.
    pub(super) fn take_touched(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.touched).iter().collect()
    }

    /// Writes what changed of groups' entries; `columns` makes columns of entries.
    pub(super) fn write<T: Keep>(
        &mut self,
        backend: &mut Backend,
        keys: &KeyStore,
        kept: &mut KeptGroups<T>,
        columns: impl Fn(&[&T]) -> Result<Vec<ArrayRef>>,
    ) -> Result<()> {
        let groups = self.take_touched();
        let mut part: Part<&T> = Part::default();
        for group in &groups {
            for (number, entry) in kept.of(*group as usize).changes() {
                match entry {
                    Some(entry) => part.put(*group, number, entry, entry.bytes()),
                    None => part.take_out(*group, number),
                }
                if part.is_full() {
                    self.write_part(backend, keys, std::mem::take(&mut part), &columns)?;
                }
            }
        }
        self.write_part(backend, keys, part, &columns)?;
        groups.into_iter().for_each(|group| kept.change(group as usize, |kept| kept.note_written()));
        Ok(())
    }

    fn write_part<V>(
        &self,
        backend: &mut Backend,
        keys: &KeyStore,
        part: Part<V>,
        columns: impl Fn(&[V]) -> Result<Vec<ArrayRef>>,
    ) -> Result<()> {
        self.take_out(backend, keys, &part.gone_groups, part.gone_numbers)?;
        match part.values.is_empty() {
            true => Ok(()),
            false => self.put(backend, keys, &part.groups, part.numbers, &columns(&part.values)?),
        }
    }

    /// Puts entries of these numbers into their groups, a column for each of theirs.
    pub(super) fn put(
        &self,
        backend: &mut Backend,
        keys: &KeyStore,
        groups: &[u32],
        numbers: Vec<i64>,
        columns: &[ArrayRef],
    ) -> Result<()> {
        let rows = self.keys(keys, groups, numbers)?;
        let values = self.table.values(columns, &[], groups.len())?;
        let entries = rows.order().into_iter().map(|at| (rows.share(at), Some(values.share(at)))).collect();
        self.write_entries(backend, WriteBatch { entries })
    }

    fn take_out(&self, backend: &mut Backend, keys: &KeyStore, groups: &[u32], numbers: Vec<i64>) -> Result<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let rows = self.keys(keys, groups, numbers)?;
        let entries = rows.order().into_iter().map(|at| (rows.share(at), None)).collect();
        self.write_entries(backend, WriteBatch { entries })
    }

    fn keys(&self, keys: &KeyStore, groups: &[u32], numbers: Vec<i64>) -> Result<Rows> {
        let mut columns = keys.columns(groups)?;
        columns.push(Arc::new(Int64Array::from(numbers)));
        self.table.keys(&columns, &[], groups.len())
    }

    fn write_entries(&self, backend: &mut Backend, batch: WriteBatch) -> Result<()> {
        ending::check()?;
        let backend = backend.as_mut().ok_or_else(no_backend)?;
        Ok(backend.write(self.table.id, batch)?)
    }

    /// Takes out all rows of these groups.
    pub(super) fn clear<T: Keep>(
        &self,
        backend: &mut Backend,
        keys: &KeyStore,
        kept: &KeptGroups<T>,
        groups: &[u32],
    ) -> Result<()> {
        for group in groups {
            for numbers in kept.of(*group as usize).written().chunks(PART_ROWS) {
                self.take_out(backend, keys, &vec![*group; numbers.len()], numbers.to_vec())?;
            }
        }
        Ok(())
    }

    /// Reads all entries of groups, each of them there once, in one pass over the table: `take` is given those of each group that has
    /// some, in the order in which they came, their numbers and a column for each of theirs.
    pub(super) fn read(
        &self,
        keyed: &KeyedBatch<'_>,
        groups: &[u32],
        mut take: impl FnMut(u32, &[i64], &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let backend = keyed.backend.as_ref().ok_or_else(no_backend)?;
        let heads = self.table.heads(&keyed.keys.columns(groups)?, &[], groups.len())?;
        let order = heads.order();
        let ends: Vec<Vec<u8>> = order.iter().map(|at| [heads.get(*at), &[LAST]].concat()).collect();
        let ranges: Vec<KeyRange<'_>> =
            order.iter().zip(&ends).map(|(at, to)| KeyRange { from: heads.get(*at), to }).collect();
        let mut give = |read: ReadGroup| -> Result<()> {
            ending::check()?;
            if read.values.ends.is_empty() {
                return Ok(());
            }
            let (numbers, values) = (read.numbers.into_rows(), read.values.into_rows());
            let numbers = self.numbers.decode((0..numbers.len()).map(|row| numbers.get(row)))?;
            let values: Vec<&[u8]> = (0..values.len()).map(|row| values.get(row)).collect();
            let (columns, _) = self.table.columns(&values)?;
            take(groups[order[read.range]], numbers[0].as_primitive::<Int64Type>().values(), &columns)
        };
        let (mut read, mut refused) = (ReadGroup::default(), None);
        let scanned = backend.scan_ranges(self.table.id, &ranges, ScanOrder::Forwards, &mut |range, key, value| {
            if range != read.range {
                let whole = std::mem::replace(&mut read, ReadGroup { range, ..ReadGroup::default() });
                if let Err(error) = give(whole) {
                    refused = Some(error);
                    return Err(StateError::Backend("the rows of a group could not be taken over".into()));
                }
            }
            read.numbers.push(&key[ranges[range].from.len()..]);
            read.values.push(value);
            Ok(ControlFlow::Continue(()))
        });
        match refused {
            // It ended the scan, which does not know it.
            Some(error) => Err(error),
            None => {
                scanned?;
                give(read)
            }
        }
    }
}

fn no_backend() -> Error {
    Error::Plan("rows of groups without a state back end".into())
}
