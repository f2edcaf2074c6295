//! Null in a column that is NOT NULL. Some of Flink's functions give it, of types that say they do not: a DECIMAL that overflows,
//! an `LPAD` to a negative length.
use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;

use crate::error::{Error, Result};

/// The class of Flink's error for it.
pub const VIOLATION: &str = "org.apache.flink.table.api.TableRuntimeException";

/// A batch of these columns that may be none: the number of rows is given. `giver` names what gave a column, as in "the column
/// is NOT NULL, however, … gave a null value".
///
/// # Errors
/// Null in a column that is NOT NULL.
pub fn record_batch(
    schema: &SchemaRef,
    columns: Vec<ArrayRef>,
    rows: usize,
    giver: impl Fn(usize) -> String,
) -> Result<RecordBatch> {
    let fields = schema.fields().iter().zip(&columns).enumerate();
    if let Some((index, (field, _))) =
        fields.into_iter().find(|(_, (field, column))| !field.is_nullable() && column.null_count() > 0)
    {
        let message =
            format!("Column '{}' is NOT NULL, however, {} gave a null value for it.", field.name(), giver(index));
        return Err(Error::data(VIOLATION, message));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema.clone(), columns, &options)?)
}
