//! Groups that are kept back from a table, as a snapshot has them beside it: an Arrow IPC stream of the columns of keys and of
//! values, and of the times of the last write where the table has a time to live.
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use wiesel_state::Error as StateError;
use wiesel_state::keyed::{KeptBack, KeyedBackend, WriteBatch};

use super::cache::Values;
use super::table::RowTable;
use crate::operator::Result;

/// Groups of one file: it is encoded in memory as a whole.
pub(super) const ROWS: usize = 1 << 18;

/// What a snapshot takes of groups with these keys and values. They must be columns of their own: of a slice that views a
/// longer column all of its text would be written.
pub(super) fn content(table: &RowTable, rows: usize, keys: Vec<ArrayRef>, values: Values) -> KeptBack {
    let mut columns = keys;
    columns.extend(values.columns);
    if table.has_ttl() {
        columns.push(Arc::new(Int64Array::from(values.written)));
    }
    let encoded = move || encode(columns, rows).map_err(|error| StateError::Backend(error.to_string()));
    KeptBack { table: table.id, content: Box::new(encoded) }
}

fn encode(columns: Vec<ArrayRef>, rows: usize) -> Result<Bytes, ArrowError> {
    let field = |(i, column): (usize, &ArrayRef)| Field::new(i.to_string(), column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(schema.clone(), columns, &options)?;
    let mut bytes = Vec::with_capacity(rows * 48 + 4096);
    let mut writer = StreamWriter::try_new(&mut bytes, &schema)?;
    writer.write(&batch)?;
    writer.finish()?;
    drop(writer);
    Ok(bytes.into())
}

/// Writes into a table what restored snapshots have beside it, as far as its key groups are the subtask's.
pub(crate) fn write_restored(backend: &mut dyn KeyedBackend, table: &RowTable) -> Result<()> {
    let Some(own) = backend.key_groups() else { return Ok(()) };
    for content in backend.kept_back(table.id)? {
        for batch in StreamReader::try_new(content.as_ref(), None)? {
            let batch = batch?;
            let expected = table.key_width() + table.value_width() + usize::from(table.has_ttl());
            if batch.num_columns() != expected {
                let message = format!("{} columns were kept back instead of {expected}", batch.num_columns());
                return Err(StateError::Corrupt(message).into());
            }
            let (keys, values) = batch.columns().split_at(table.key_width());
            let (values, written) = values.split_at(table.value_width());
            let written = written.first().and_then(|column| column.as_primitive_opt::<Int64Type>());
            let written = written.map_or(&[][..], |column| column.values());
            let groups = table.key_groups(keys, batch.num_rows())?;
            let keys = table.keys(keys, &[], batch.num_rows())?;
            let values = table.values(values, written, batch.num_rows())?;
            let order = keys.order().into_iter().filter(|at| own.contains(&groups[*at]));
            let entries = order.map(|at| (keys.share(at), Some(values.share(at)))).collect();
            backend.write(table.id, WriteBatch { entries })?;
        }
    }
    Ok(())
}
