//! Writing all of a batch at once.
use bytes::Bytes;
use wiesel_state::keyed::{KeyedBackend, Rows, WriteBatch};

use super::batch::Runs;
use super::table::RowTable;
use crate::operator::Result;

/// Writes one value for each key: `value` is given its rows.
pub(super) fn write(
    backend: &mut dyn KeyedBackend,
    table: &RowTable,
    keys: &Rows,
    value: impl Fn(&[usize]) -> Option<Bytes>,
) -> Result<()> {
    let runs = Runs::new(keys);
    write_entries(backend, table, runs.iter().map(|rows| (keys.share(rows[0]), value(rows))).collect())
}

/// Takes the keys of a batch out.
pub(super) fn remove(backend: &mut dyn KeyedBackend, table: &RowTable, keys: &Rows) -> Result<()> {
    write(backend, table, keys, |_| None)
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
