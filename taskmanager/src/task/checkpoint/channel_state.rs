//! Rows in flight, as an unaligned checkpoint keeps them.
//!
//! A file holds the rows of one channel: Arrow IPC streams of the edge's columns (with the kinds that travel beside a row), each
//! preceded by its length (`u32`, little endian). Until hashes did not travel any more, those of a hash edge were the last column.
use std::collections::BTreeMap;
use std::io::Cursor;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use wiesel_network::codec;
use wiesel_state::Error;

/// The column of hashes that files of hash edges had. No column of SQL has its type.
const FORMER_HASHES: (&str, DataType) = ("$hash", DataType::UInt64);

/// A channel of a task, by its name in a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Channel {
    /// Among the output edges.
    pub(crate) output: bool,
    /// Position among the vertex's input edges, or its output edges.
    pub(crate) edge: u32,
    /// The producing subtask of an input, the consuming subtask of an output.
    pub(crate) subtask: u32,
}

/// Rows in flight by channel, in their order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChannelRows(BTreeMap<Channel, Vec<RecordBatch>>);

impl ChannelRows {
    /// Adds rows behind those of the channel.
    pub(crate) fn add(&mut self, channel: Channel, rows: RecordBatch) {
        self.0.entry(channel).or_default().push(rows);
    }

    /// Adds all rows of other channels.
    pub(crate) fn merge(&mut self, other: Self) {
        for (channel, mut rows) in other.0 {
            self.0.entry(channel).or_default().append(&mut rows);
        }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.values().all(Vec::is_empty)
    }

    /// The channels that have rows.
    pub(crate) fn into_channels(self) -> impl Iterator<Item = (Channel, Vec<RecordBatch>)> {
        self.0.into_iter().filter(|(_, rows)| !rows.is_empty())
    }
}

/// The file of a channel's rows, and how many they are.
///
/// # Errors
/// Arrow's, for types that no edge has.
pub(crate) fn encode(rows: &[RecordBatch]) -> Result<(Bytes, u64), ArrowError> {
    let mut file = Vec::new();
    let mut count = 0;
    let Some(schema) = rows.first().map(RecordBatch::schema) else { return Ok((Bytes::new(), 0)) };
    let mut stream = StreamWriter::try_new(Vec::new(), &schema)?;
    for rows in rows {
        count += rows.num_rows() as u64;
        stream.write(&codec::compact(rows)?)?;
    }
    let stream = stream.into_inner()?;
    let length = u32::try_from(stream.len())
        .map_err(|_| ArrowError::IpcError("the rows in flight on one channel take more than 4 GiB".to_owned()))?;
    file.extend_from_slice(&length.to_le_bytes());
    file.extend_from_slice(&stream);
    Ok((file.into(), count))
}

/// The rows of a file.
///
/// # Errors
/// [`Error::Corrupt`] for bytes that are no such file; [`Error::Incompatible`] if the rows have other columns than the edge.
pub(crate) fn decode(mut file: Bytes, schema: &SchemaRef, name: &str) -> Result<Vec<RecordBatch>, Error> {
    let corrupt = |what: &str| Error::Corrupt(format!("the rows in flight in {name} are damaged: {what}"));
    let mut all = Vec::new();
    while !file.is_empty() {
        if file.len() < 4 {
            return Err(corrupt("a length is cut off"));
        }
        let length = file.split_to(4);
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        if file.len() < length {
            return Err(corrupt("a stream is cut off"));
        }
        let reader = StreamReader::try_new(Cursor::new(file.split_to(length)), None)
            .map_err(|error| corrupt(&error.to_string()))?;
        let found = reader.schema();
        let columns = without_hashes(found.fields());
        let types = |fields: &[FieldRef]| fields.iter().map(|field| field.data_type().clone()).collect::<Vec<_>>();
        if types(columns) != types(schema.fields()) {
            return Err(Error::Incompatible(format!(
                "the rows in flight in {name} have the columns ({found}), but the job's plan now has ({schema}) there. Start \
                 from a savepoint, which holds no rows in flight."
            )));
        }
        for rows in reader {
            let rows = rows.map_err(|error| corrupt(&error.to_string()))?;
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            let rows =
                RecordBatch::try_new_with_options(schema.clone(), rows.columns()[..columns.len()].to_vec(), &options);
            all.push(rows.map_err(|error| corrupt(&error.to_string()))?);
        }
    }
    Ok(all)
}

/// The columns of a file that are the edge's.
fn without_hashes(fields: &[FieldRef]) -> &[FieldRef] {
    let (name, data_type) = FORMER_HASHES;
    match fields.split_last() {
        Some((last, columns)) if last.name() == name && *last.data_type() == data_type => columns,
        _ => fields,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringViewArray, UInt64Array};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn rows(from: i64, to: i64) -> RecordBatch {
        let fields = vec![Field::new("k", DataType::Int64, false), Field::new("t", DataType::Utf8View, true)];
        let texts = (from..to).map(|i| (i % 3 != 0).then(|| format!("number {i}, with more than twelve letters")));
        let columns: Vec<arrow::array::ArrayRef> =
            vec![Arc::new((from..to).collect::<Int64Array>()), Arc::new(texts.collect::<StringViewArray>())];
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    #[test]
    fn rows_come_back_in_their_order() {
        let large = rows(0, 10_000);
        let sent = [large.slice(500, 3), rows(20, 20), large.slice(10, 100)];
        let (file, count) = encode(&sent).unwrap();
        assert_eq!(count, 103);
        // A slice does not drag along what it was cut from.
        assert!(file.len() < 20_000, "{}", file.len());
        assert_eq!(decode(file, &large.schema(), "a file").unwrap(), sent);
    }

    /// Of checkpoints of builds whose hashes travelled with the rows.
    #[test]
    fn hashes_that_travelled_are_left_out() {
        let new = rows(0, 10);
        let hashes: arrow::array::ArrayRef = Arc::new(UInt64Array::from_iter_values(0..10));
        let former = |name: &str| {
            let mut fields = new.schema().fields().to_vec();
            fields.push(Arc::new(Field::new(name, DataType::UInt64, false)));
            let columns = new.columns().iter().cloned().chain([hashes.clone()]).collect();
            RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
        };
        let (file, _) = encode(&[former("$hash"), former("$hash").slice(2, 3)]).unwrap();
        assert_eq!(decode(file, &new.schema(), "a file").unwrap(), [new.clone(), new.slice(2, 3)]);
        let (file, _) = encode(&[former("other")]).unwrap();
        assert!(matches!(decode(file, &new.schema(), "a file"), Err(Error::Incompatible(_))));
    }

    #[test]
    fn damage_and_other_columns_are_told() {
        let (file, _) = encode(&[rows(0, 10)]).unwrap();
        let schema = rows(0, 0).schema();
        let error = decode(file.slice(..file.len() - 9), &schema, "state/x").unwrap_err();
        assert!(matches!(&error, Error::Corrupt(text) if text.contains("state/x")), "{error}");
        let other = Arc::new(Schema::new(vec![Field::new("k", DataType::Int32, false)]));
        let error = decode(file, &other, "state/x").unwrap_err();
        assert!(matches!(&error, Error::Incompatible(text) if text.contains("state/x")), "{error}");
    }
}
