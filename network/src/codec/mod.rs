//! Rows as payloads: an Arrow IPC message whose schema both sides know since the channel was opened.
//!
//! Payload: length of the metadata (4 bytes, little endian), the metadata, zeros up to a multiple of 64, the body. A receiver
//! that places the payload at an address divisible by 64 slices its columns out of it without copying.
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, ByteView, GenericByteViewArray, ListArray, MapArray, RecordBatch, RecordBatchOptions,
    StructArray,
};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::datatypes::{BinaryViewType, ByteViewType, DataType, SchemaRef, StringViewType};
use arrow::error::ArrowError;
use arrow::ipc::reader::read_record_batch;
use arrow::ipc::writer::{CompressionContext, DictionaryTracker, IpcDataGenerator, IpcWriteOptions};
use arrow::ipc::{CompressionType, MetadataVersion, root_as_message};
use bytes::Bytes;

use crate::error::{Error, Result};
use crate::frame::MAX_PAYLOAD;

#[cfg(test)]
mod tests;

/// Where the columns start is a multiple of this.
pub const ALIGNMENT: usize = 64;

/// How payloads are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// LZ4 frames, a buffer each.
    Lz4,
    /// Zstandard, a buffer each.
    Zstd,
}

/// Rows ready for the wire. Cheap to clone: a broadcast encodes once.
#[derive(Clone, Debug)]
pub struct Payload {
    /// Length of the metadata, the metadata, zeros.
    pub head: Bytes,
    /// The columns.
    pub body: Bytes,
    /// How many rows.
    pub rows: usize,
    /// The check sum of both, if it is known already.
    checksum: Option<u32>,
}

impl Payload {
    /// Bytes on the wire.
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// Its check sum.
    pub fn checksum(&self) -> u32 {
        self.checksum.unwrap_or_else(|| checksum(&self.head, &self.body))
    }

    /// Never: a payload has metadata at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(head), body)
}

/// Turns rows into payloads.
pub struct Encoder {
    checksums: bool,
    options: IpcWriteOptions,
    generator: IpcDataGenerator,
    dictionaries: DictionaryTracker,
    compression: CompressionContext,
}

impl Encoder {
    /// An encoder for one channel or several of the same schema.
    ///
    /// # Errors
    /// If this build lacks the codec.
    pub fn new(compression: Compression) -> Result<Self> {
        let codec = match compression {
            Compression::None => None,
            Compression::Lz4 => Some(CompressionType::LZ4_FRAME),
            Compression::Zstd => Some(CompressionType::ZSTD),
        };
        let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?.try_with_compression(codec)?;
        Ok(Self {
            checksums: false,
            options,
            generator: IpcDataGenerator::default(),
            dictionaries: DictionaryTracker::new(false),
            compression: CompressionContext::default(),
        })
    }

    /// As this one, and it computes the check sums of payloads: once, on the thread of the task, however many consumers get
    /// one.
    pub fn with_checksums(self, checksums: bool) -> Self {
        Self { checksums, ..self }
    }

    /// The payload of a batch.
    ///
    /// # Errors
    /// [`Error::TooLarge`] above [`MAX_PAYLOAD`]; Arrow's own for types that no plan has, such as dictionaries.
    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Payload> {
        let batch = compact(batch)?;
        let (dictionaries, data) =
            self.generator.encode(&batch, &mut self.dictionaries, &self.options, &mut self.compression)?;
        if !dictionaries.is_empty() {
            return Err(ArrowError::NotYetImplemented("dictionaries on the data plane".into()).into());
        }
        let metadata = data.ipc_message;
        let mut head = Vec::with_capacity((4 + metadata.len()).next_multiple_of(ALIGNMENT));
        head.extend_from_slice(&(metadata.len() as u32).to_le_bytes());
        head.extend_from_slice(&metadata);
        head.resize(head.len().next_multiple_of(ALIGNMENT), 0);
        let checksum = self.checksums.then(|| checksum(&head, &data.arrow_data));
        let payload = Payload { head: head.into(), body: data.arrow_data.into(), rows: batch.num_rows(), checksum };
        if payload.len() > MAX_PAYLOAD {
            return Err(Error::TooLarge { bytes: payload.len(), max: MAX_PAYLOAD });
        }
        Ok(payload)
    }
}

/// The rows in a payload, as slices of it.
///
/// # Errors
/// For every payload that an [`Encoder`] with this schema did not write.
pub fn decode(schema: &SchemaRef, payload: &Buffer) -> Result<RecordBatch> {
    // Arrow asserts in places where the bytes were damaged; that must not end more than this channel.
    catch_unwind(AssertUnwindSafe(|| decode_message(schema, payload)))
        .unwrap_or_else(|_| Err(malformed("its buffers contradict each other")))
        .map_err(Error::from)
}

fn malformed(what: &str) -> ArrowError {
    ArrowError::IpcError(format!("a payload is damaged: {what}"))
}

fn decode_message(schema: &SchemaRef, payload: &Buffer) -> Result<RecordBatch, ArrowError> {
    let prefix = payload.get(..4).ok_or_else(|| malformed("it is too short"))?;
    let length = u32::from_le_bytes([prefix[0], prefix[1], prefix[2], prefix[3]]) as usize;
    let end = length.checked_add(4).ok_or_else(|| malformed("its metadata is too long"))?;
    let metadata = payload.get(4..end).ok_or_else(|| malformed("its metadata is cut off"))?;
    let message = root_as_message(metadata).map_err(|error| malformed(&error.to_string()))?;
    let batch = message.header_as_record_batch().ok_or_else(|| malformed("it holds no rows"))?;
    let start = end.next_multiple_of(ALIGNMENT);
    if start > payload.len() || batch.length() < 0 {
        return Err(malformed("its body is cut off"));
    }
    let body = payload.slice(start);
    check_unpacked(&batch, &body)?;
    read_record_batch(&body, batch, schema.clone(), &HashMap::new(), None, &message.version())
}

/// Whether compressed buffers say that they unpack to what a payload may hold: so much is asked of the system before the first
/// byte is unpacked, and a process that is not given it ends.
fn check_unpacked(batch: &arrow::ipc::RecordBatch<'_>, body: &[u8]) -> Result<(), ArrowError> {
    if batch.compression().is_none() {
        return Ok(());
    }
    let mut total = 0_u64;
    for buffer in batch.buffers().into_iter().flatten().filter(|buffer| buffer.length() != 0) {
        let prefix = usize::try_from(buffer.offset()).ok().and_then(|at| body.get(at..)?.first_chunk::<8>());
        let length = i64::from_le_bytes(*prefix.ok_or_else(|| malformed("a buffer is cut off"))?);
        // -1: it is not compressed.
        total = total.saturating_add(u64::try_from(length).unwrap_or(0));
    }
    if total > MAX_PAYLOAD as u64 {
        return Err(malformed("its buffers unpack to more than a payload may hold"));
    }
    Ok(())
}

/// How many bytes the rows of a batch take, as opposed to the buffers that they share with others.
pub fn row_bytes(batch: &RecordBatch) -> usize {
    batch.columns().iter().map(|column| array_bytes(column.as_ref())).sum()
}

fn array_bytes(array: &dyn Array) -> usize {
    let rows = array.len();
    let validity = if array.nulls().is_some() { rows.div_ceil(8) } else { 0 };
    validity
        + match array.data_type() {
            DataType::Null => 0,
            DataType::Boolean => rows.div_ceil(8),
            DataType::Utf8View => view_bytes(array.as_byte_view::<StringViewType>()),
            DataType::BinaryView => view_bytes(array.as_byte_view::<BinaryViewType>()),
            DataType::Struct(_) => array.as_struct().columns().iter().map(|column| array_bytes(column.as_ref())).sum(),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                4 * rows + array_bytes(used_values(list.offsets(), list.values()).as_ref())
            }
            DataType::Map(_, _) => {
                let map = array.as_map();
                let entries: ArrayRef = Arc::new(map.entries().clone());
                4 * rows + array_bytes(used_values(map.offsets(), &entries).as_ref())
            }
            other => match other.primitive_width() {
                Some(width) => width * rows,
                None => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()),
            },
        }
}

fn view_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    16 * array.len() + outlined_bytes(array)
}

/// Bytes of the values that are too long to stand in their view.
fn outlined_bytes<T: ByteViewType>(array: &GenericByteViewArray<T>) -> usize {
    let lengths = array.views().iter().map(|view| *view as u32 as usize);
    lengths.map(|length| if length > 12 { length } else { 0 }).sum()
}

fn used_values(offsets: &OffsetBuffer<i32>, values: &ArrayRef) -> ArrayRef {
    let first = offsets.first().copied().unwrap_or(0) as usize;
    let last = offsets.last().copied().unwrap_or(0) as usize;
    values.slice(first, last - first)
}

/// The same rows without the parts of shared buffers that they do not use: a slice of a few strings may hold on to
/// megabytes, and all of them would be sent.
///
/// # Errors
/// Arrow's, for arrays that contradict themselves.
pub fn compact(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    if !batch.columns().iter().any(|column| has_views(column.data_type())) {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(compact_array).collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn has_views(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8View | DataType::BinaryView => true,
        DataType::Struct(fields) => fields.iter().any(|field| has_views(field.data_type())),
        DataType::List(field) | DataType::Map(field, _) => has_views(field.data_type()),
        _ => false,
    }
}

fn compact_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if !has_views(array.data_type()) {
        return Ok(array.clone());
    }
    Ok(match array.data_type() {
        DataType::Utf8View => compact_views(array.as_byte_view::<StringViewType>()),
        DataType::BinaryView => compact_views(array.as_byte_view::<BinaryViewType>()),
        DataType::Struct(fields) => {
            let structs = array.as_struct();
            let columns = structs.columns().iter().map(compact_array).collect::<Result<Vec<_>, _>>()?;
            Arc::new(StructArray::try_new_with_length(
                fields.clone(),
                columns,
                structs.nulls().cloned(),
                structs.len(),
            )?)
        }
        DataType::List(field) => {
            let list = array.as_list::<i32>();
            let values = compact_array(&used_values(list.offsets(), list.values()))?;
            Arc::new(ListArray::try_new(field.clone(), rebase(list.offsets()), values, list.nulls().cloned())?)
        }
        DataType::Map(field, sorted) => {
            let map = array.as_map();
            let entries: ArrayRef = Arc::new(map.entries().clone());
            let entries = compact_array(&used_values(map.offsets(), &entries))?.as_struct().clone();
            Arc::new(MapArray::try_new(field.clone(), rebase(map.offsets()), entries, map.nulls().cloned(), *sorted)?)
        }
        _ => array.clone(),
    })
}

fn compact_views<T: ByteViewType>(array: &GenericByteViewArray<T>) -> ArrayRef {
    let held: usize = array.data_buffers().iter().map(|buffer| buffer.len()).sum();
    let used = outlined_bytes(array);
    if held > used + used / 4 + 1024 { Arc::new(array.gc()) } else { Arc::new(array.clone()) }
}

fn rebase(offsets: &OffsetBuffer<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::from_lengths(offsets.lengths())
}

/// A check sum of a schema: both ends of a channel compare theirs.
pub fn schema_checksum(schema: &SchemaRef) -> u32 {
    let text: Vec<String> = schema
        .fields()
        .iter()
        .map(|field| format!("{:?}{}", field.data_type(), if field.is_nullable() { "?" } else { "" }))
        .collect();
    crc32c::crc32c(text.join(",").as_bytes())
}

// Only the length of a view is read above; its layout is Arrow's.
const _: () = assert!(size_of::<ByteView>() == 16);
