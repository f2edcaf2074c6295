//! Tables whose rows are in Arrow's row format, as all were before their encoding had a version of its own. They are written anew when
//! they are restored: a part at a time, in the table itself, because no key of the one encoding is one of the other.
//!
//! Read is what the release of that library writes that this one is built with; the tests have its bytes.
use std::ops::ControlFlow;

use arrow::array::ArrayRef;
use arrow::datatypes::DataType;
use arrow::row::{RowConverter, SortField};
use bytes::Bytes;
use wiesel_common::ending;
use wiesel_common::fault;
use wiesel_proto as proto;
use wiesel_state::Error as StateError;
use wiesel_state::keyed::{KeyedBackend, TableId, WriteBatch};

use crate::aggregate::nested::{retype, row_type};
use crate::operator::{Error, Result};
use crate::rows::{self, Encoded, KeyCodec, ValueCodec};

/// The version that such tables have.
pub(super) const VERSION: u32 = 0;

/// Entries that are written anew at once, and bytes of them.
const ENTRIES: usize = 4096;
const BYTES: usize = 4 << 20;

/// Reads the rows of such a table, and writes them as they are now.
pub(super) struct FormerRows<'a> {
    key: Reader,
    value: Reader,
    /// Bytes of each key before its columns, and of each value.
    key_room: usize,
    value_room: usize,
    key_codec: &'a KeyCodec,
    value_codec: &'a ValueCodec,
}

impl<'a> FormerRows<'a> {
    /// Of keys and values of these types, behind so many bytes, that the codecs are for.
    pub(super) fn new(
        (key, key_room, key_codec): (&[DataType], usize, &'a KeyCodec),
        (value, value_room, value_codec): (&[DataType], usize, &'a ValueCodec),
    ) -> Result<Self> {
        let (key, value) = (Reader::new(key)?, Reader::new(value)?);
        Ok(Self { key, value, key_room, value_room, key_codec, value_codec })
    }

    /// Writes all rows of the table anew; this is how it is described now.
    ///
    /// # Errors
    /// They are no such rows, or the back end fails; [`Error::Cancelled`]: the task is to end.
    pub(super) fn rewrite(
        &self,
        backend: &mut dyn KeyedBackend,
        descriptor: &proto::StateTableDescriptor,
    ) -> Result<()> {
        // Also those that have expired: a longer time to live would bring them back.
        let ttl = if descriptor.ttl == 0 { 0 } else { u64::MAX };
        let table = backend.table(&proto::StateTableDescriptor { row_format: VERSION, ttl, ..descriptor.clone() })?;
        let (mut from, mut rows) = (Vec::new(), 0);
        loop {
            // All of a large state takes minutes, in which nothing else asks.
            ending::check()?;
            let part = self.read(backend, table, &from)?;
            let Some((last, _)) = part.last() else { break };
            from.clear();
            from.extend_from_slice(last);
            from.push(0);
            rows += part.len();
            let entries = self.anew(&part)?;
            backend.write(table, WriteBatch { entries })?;
            fault::point("restore.between-parts");
        }
        tracing::info!(table = descriptor.name, rows, "state of an earlier release was written anew");
        Ok(backend.rewritten(table, descriptor.row_format)?)
    }

    /// The next entries in the former encoding, from a key on.
    fn read(&self, backend: &dyn KeyedBackend, table: TableId, from: &[u8]) -> Result<Vec<(Bytes, Bytes)>> {
        let (mut part, mut bytes) = (Vec::new(), 0);
        let most = fault::limit("restore.part", ENTRIES);
        backend.scan_from(table, &[], from, &mut |key, value| {
            if self.is_former(key)? {
                bytes += key.len() + value.len();
                part.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            }
            let full = part.len() >= most || bytes >= BYTES;
            Ok(if full { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })?;
        Ok(part)
    }

    /// Keys without columns are the same in both encodings: each is passed once.
    fn is_former(&self, key: &[u8]) -> wiesel_state::Result<bool> {
        match (self.key.types.is_empty(), key.get(self.key_room)) {
            (true, _) => Ok(true),
            (false, Some(mark)) => Ok(*mark < rows::LEAST_MARK),
            (false, None) => Err(StateError::Corrupt("a key without its columns".into())),
        }
    }

    /// What is to be written for entries, in key order.
    fn anew(&self, part: &[(Bytes, Bytes)]) -> Result<Vec<(Bytes, Option<Bytes>)>> {
        let (mut keys, mut values) = (Encoded::default(), Encoded::default());
        let (old_keys, old_values) = (part.iter().map(|(key, _)| key), part.iter().map(|(_, value)| value));
        let columns = self.key.columns(old_keys.clone(), self.key_room)?;
        self.key_codec.encode(&columns, part.len(), self.key_room, &mut keys)?;
        copy_rooms(old_keys, self.key_room, &mut keys);
        let columns = self.value.columns(old_values.clone(), self.value_room)?;
        self.value_codec.encode(&columns, part.len(), self.value_room, &mut values)?;
        copy_rooms(old_values, self.value_room, &mut values);
        let (keys, values) = (keys.into_rows(), values.into_rows());
        let mut entries = Vec::with_capacity(2 * part.len());
        for (row, (old, _)) in part.iter().enumerate() {
            if old[..] != *keys.get(row) {
                entries.push((old.clone(), None));
            }
            entries.push((keys.share(row), Some(values.share(row))));
        }
        entries.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        Ok(entries)
    }
}

/// What is before the columns stays as it was.
fn copy_rooms<'a>(old: impl Iterator<Item = &'a Bytes>, room: usize, new: &mut Encoded) {
    old.enumerate().for_each(|(row, old)| new.get_mut(row)[..room].copy_from_slice(&old[..room]));
}

/// Columns from rows. Rows of no columns are empty.
struct Reader {
    types: Vec<DataType>,
    converter: Option<RowConverter>,
}

impl Reader {
    fn new(types: &[DataType]) -> Result<Self> {
        let fields = types.iter().map(|data_type| SortField::new(row_type(data_type))).collect();
        let converter = (!types.is_empty()).then(|| RowConverter::new(fields)).transpose();
        let converter =
            converter.map_err(|error| Error::Plan(format!("{types:?} cannot be kept as state: {error}")))?;
        Ok(Self { types: types.to_vec(), converter })
    }

    /// Rows stand behind `room` bytes.
    fn columns<'a>(&self, rows: impl Iterator<Item = &'a Bytes>, room: usize) -> Result<Vec<ArrayRef>> {
        let rows = rows.map(|row| row.get(room..)).collect::<Option<Vec<&[u8]>>>();
        let rows = rows.ok_or_else(|| StateError::Corrupt("an entry without what is before its columns".into()))?;
        let Some(converter) = &self.converter else { return Ok(Vec::new()) };
        let parser = converter.parser();
        let columns = converter.convert_rows(rows.into_iter().map(|row| parser.parse(row)))?;
        let typed = columns.iter().zip(&self.types).map(|(column, data_type)| retype(column, data_type));
        Ok(typed.collect::<Result<_, _>>()?)
    }
}
