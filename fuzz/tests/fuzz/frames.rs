//! The data plane: any bytes of a peer are a frame, an event, rows, or a refusal.
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringViewArray, StructArray};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use wiesel_fuzz::Target;
use wiesel_network::codec::{self, Compression, Encoder};
use wiesel_network::event::Event;
use wiesel_network::frame::{HEADER_LENGTH, Header, MAGIC, MAX_PAYLOAD, VERSION};

/// A header with a check sum that is right, so that what it guards is looked at.
fn sealed(input: &[u8]) -> [u8; HEADER_LENGTH] {
    let mut bytes = [0; HEADER_LENGTH];
    bytes.iter_mut().zip(input).for_each(|(byte, given)| *byte = *given);
    bytes[..4].copy_from_slice(&MAGIC.to_le_bytes());
    // Every second one is of this version.
    if bytes[4] % 2 == 0 {
        bytes[4] = VERSION;
    }
    let crc = crc32c::crc32c(&bytes[..HEADER_LENGTH - 4]);
    bytes[HEADER_LENGTH - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

#[test]
fn frames() {
    let seeds = [1, 2, 3, 16, 17, 18].map(|kind| {
        let mut bytes = vec![0; 64];
        bytes[5] = kind;
        bytes
    });
    let target = Target { memory: 1 << 20, longest: 4096, inputs: 2000, ..Target::new("frames") };
    target.run(seeds.to_vec(), |input| {
        let raw: [u8; HEADER_LENGTH] = std::array::from_fn(|at| input.get(at).copied().unwrap_or_default());
        let taken = Header::decode(&raw).is_ok() | Header::decode(&sealed(input)).is_ok();
        let now = Instant::now();
        let event = Event::decode(input, now);
        if let Some(event) = &event {
            // What was understood can be said again.
            assert_eq!(Event::decode(&event.encode(now), now).as_ref(), Some(event));
        }
        taken || event.is_some()
    });
}

fn rows() -> RecordBatch {
    let numbers = Int64Array::from(vec![Some(1), None, Some(i64::MIN)]);
    let texts = StringViewArray::from(vec![Some("short"), Some("longer than what fits into a view"), None]);
    let list = [Some(vec![Some(1), None]), None, Some(vec![])];
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(list);
    let field = Arc::new(Field::new("x", DataType::Int32, true));
    let row = StructArray::from(vec![(field, Arc::new(Int32Array::from(vec![1, 2, 3])) as ArrayRef)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(numbers), Arc::new(texts), Arc::new(list), Arc::new(row)];
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), true))
        .collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

/// The rows of a payload, each value looked at.
fn read(schema: &SchemaRef, payload: &[u8]) -> bool {
    // As the network gives it: aligned to the start of the frame.
    let Ok(batch) = codec::decode(schema, &Buffer::from(payload)) else { return false };
    let mut encoder = Encoder::new(Compression::None).unwrap();
    codec::row_bytes(&batch);
    encoder.encode(&batch).is_ok()
}

#[test]
fn payloads() {
    let batch = rows();
    let schema = batch.schema();
    let mut seeds = Vec::new();
    for compression in [Compression::None, Compression::Lz4, Compression::Zstd] {
        let payload = Encoder::new(compression).unwrap().encode(&batch).unwrap();
        seeds.push([&*payload.head, &*payload.body].concat());
    }
    // Compressed buffers may say that they unpack to as much as a payload may hold, and so much is set aside.
    let target = Target { memory: MAX_PAYLOAD + (64 << 20), inputs: 2000, ..Target::new("payloads") };
    target.run(seeds, move |input| read(&schema, input));
}
