//! Reading and writing all of a batch at once.
use std::ops::{ControlFlow, Range};

use arrow::array::{Array, ArrayRef, UInt32Array, UInt64Array};
use arrow::compute::{interleave, take};
use bytes::Bytes;
use wiesel_state::keyed::{KeyedBackend, Rows, WriteBatch};

use super::batch::{Entries, Lookup, Runs, check_columns};
use super::table::RowTable;
use crate::operator::Result;

/// The values of the keys of a batch.
pub(super) struct Stored {
    /// Where each key's value is among those that were found.
    pub at: Vec<Option<u32>>,
    /// Those that were found.
    pub columns: Vec<ArrayRef>,
}

/// Reads the value of each key once.
pub(super) fn read(backend: &dyn KeyedBackend, table: &RowTable, keys: &Rows, runs: &Runs) -> Result<Stored> {
    let distinct: Vec<&[u8]> = runs.iter().map(|rows| keys.get(rows[0])).collect();
    let values = if distinct.is_empty() { Vec::new() } else { backend.get(table.id, &distinct)? };
    let (mut at, mut found): (_, Vec<Bytes>) = (Vec::with_capacity(values.len()), Vec::new());
    for value in values {
        at.push(value.is_some().then_some(found.len() as u32));
        found.extend(value);
    }
    Ok(Stored { at, columns: table.columns(&found)?.0 })
}

impl Stored {
    /// For each row of the batch what its key has.
    pub(super) fn spread(&self, runs: &Runs) -> Result<Lookup> {
        let at: Vec<Option<u32>> = runs.by_row().into_iter().map(|run| self.at[run as usize]).collect();
        let found = at.iter().map(Option::is_some).collect();
        Ok(Lookup { found, columns: take_all(&self.columns, &UInt32Array::from(at))? })
    }
}

/// The values of the keys of a batch, for each row.
pub(super) fn look_up(backend: &dyn KeyedBackend, table: &RowTable, keys: &Rows) -> Result<Lookup> {
    let runs = Runs::new(keys);
    read(backend, table, keys, &runs)?.spread(&runs)
}

/// Writes one value for each key: `value` is given the key's number and its rows.
pub(super) fn write(
    backend: &mut dyn KeyedBackend,
    table: &RowTable,
    keys: &Rows,
    runs: &Runs,
    value: impl Fn(usize, &[usize]) -> Option<Bytes>,
) -> Result<()> {
    let entry = |(run, rows): (usize, &[usize])| (keys.share(rows[0]), value(run, rows));
    write_entries(backend, table, runs.iter().enumerate().map(entry).collect())
}

/// Writes the values of the rows of a batch: of a key that is there several times, the last.
pub(super) fn write_last(
    backend: &mut dyn KeyedBackend,
    table: &RowTable,
    keys: &Rows,
    values: &[ArrayRef],
    now: i64,
) -> Result<()> {
    let values = encode(table, values, keys.len(), now)?;
    write(backend, table, keys, &Runs::new(keys), |_, rows| rows.last().map(|row| values.share(*row)))
}

/// Takes the keys of a batch out.
pub(super) fn remove(backend: &mut dyn KeyedBackend, table: &RowTable, keys: &Rows) -> Result<()> {
    write(backend, table, keys, &Runs::new(keys), |_, _| None)
}

/// Writes entries, which are in key order.
pub(super) fn write_entries(
    backend: &mut dyn KeyedBackend,
    table: &RowTable,
    entries: Vec<(Bytes, Option<Bytes>)>,
) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    Ok(backend.write(table.id, WriteBatch { entries })?)
}

/// Values that are written now.
pub(super) fn encode(table: &RowTable, values: &[ArrayRef], rows: usize, now: i64) -> Result<Rows> {
    check_columns(values, table.value_width(), rows)?;
    let written = if table.has_ttl() { vec![now; rows] } else { Vec::new() };
    table.values(values, &written, rows)
}

/// The entries of the keys of a batch that have a sub-key.
#[derive(Default)]
pub(super) struct Scanned {
    pub keys: Vec<Bytes>,
    pub values: Vec<Bytes>,
    /// Where the entries of each key of the batch end.
    pub ends: Vec<usize>,
}

/// Reads all entries of each key once, in key order: one scan for each.
pub(super) fn scan(backend: &dyn KeyedBackend, table: &RowTable, heads: &Rows, runs: &Runs) -> Result<Scanned> {
    let mut scanned = Scanned::default();
    for rows in runs.iter() {
        backend.scan(table.id, heads.get(rows[0]), &mut |key, value| {
            scanned.keys.push(Bytes::copy_from_slice(key));
            scanned.values.push(Bytes::copy_from_slice(value));
            Ok(ControlFlow::Continue(()))
        })?;
        scanned.ends.push(scanned.keys.len());
    }
    Ok(scanned)
}

impl Scanned {
    /// The keys of one key of the batch.
    pub(super) fn keys_of(&self, run: usize) -> &[Bytes] {
        &self.keys[self.range(run)]
    }

    fn range(&self, run: usize) -> Range<usize> {
        (if run == 0 { 0 } else { self.ends[run - 1] })..self.ends[run]
    }

    /// For each row of the batch all that its key has.
    pub(super) fn spread(&self, table: &RowTable, runs: &Runs) -> Result<Entries> {
        let (mut at, mut ends) = (Vec::with_capacity(self.keys.len()), Vec::new());
        for run in runs.by_row() {
            at.extend(self.range(run as usize).map(|entry| entry as u64));
            ends.push(at.len());
        }
        let at = UInt64Array::from(at);
        let keys = table.key_columns(self.keys.iter().map(|key| &key[..]))?;
        let sub_keys = take_all(&keys[table.head_width()..], &at)?;
        Ok(Entries { ends, sub_keys, values: take_all(&table.columns(&self.values)?.0, &at)? })
    }
}

/// The same rows of all columns.
pub(super) fn take_all(columns: &[ArrayRef], rows: &dyn Array) -> Result<Vec<ArrayRef>> {
    Ok(columns.iter().map(|column| take(column, rows, None)).collect::<Result<_, _>>()?)
}

/// Rows of two batches: of each which batch it is from, 0 or 1, and which row of it.
pub(super) fn interleave_all(
    first: &[ArrayRef],
    second: &[ArrayRef],
    rows: &[(usize, usize)],
) -> Result<Vec<ArrayRef>> {
    let columns = first.iter().zip(second).map(|(first, second)| interleave(&[&**first, &**second], rows));
    Ok(columns.collect::<Result<_, _>>()?)
}
