use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, Int32Array, Int32Builder, Int64Array, ListBuilder,
    MapBuilder, MutableArrayData, NullArray, RecordBatch, RecordBatchOptions, StringViewArray, StringViewBuilder,
    StructArray, make_array,
};
use arrow::buffer::{Buffer, MutableBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema};
use proptest::prelude::*;

use super::{Compression, Encoder, Payload, decode, row_bytes, schema_checksum};

/// The payload as a receiver holds it.
fn received(payload: &Payload) -> Buffer {
    let mut buffer = MutableBuffer::new(payload.len());
    buffer.extend_from_slice(&payload.head);
    buffer.extend_from_slice(&payload.body);
    buffer.into()
}

fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
    let fields = columns.iter().map(|column| Field::new("c", column.data_type().clone(), true));
    RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns).unwrap()
}

fn round_trip(batch: &RecordBatch, compression: Compression) -> RecordBatch {
    let payload = Encoder::new(compression).unwrap().encode(batch).unwrap();
    assert_eq!(payload.rows, batch.num_rows());
    decode(&batch.schema(), &received(&payload)).unwrap()
}

/// Every type a row can have.
fn all_types(values: &[Option<i64>]) -> RecordBatch {
    let text = |value: &Option<i64>| value.map(|v| if v % 2 == 0 { format!("{v}") } else { format!("{v:040}") });
    let mut lists = ListBuilder::new(StringViewBuilder::new());
    let mut maps = MapBuilder::new(None, StringViewBuilder::new(), Int32Builder::new());
    for value in values {
        match value {
            None => {
                lists.append_null();
                maps.append(false).unwrap();
            }
            Some(v) => {
                for i in 0..v.rem_euclid(4) {
                    lists.values().append_value(format!("{v:030}-{i}"));
                    maps.keys().append_value(format!("key {i} of a certain length"));
                    maps.values().append_value(i as i32);
                }
                lists.append(true);
                maps.append(true).unwrap();
            }
        }
    }
    let texts: ArrayRef = Arc::new(values.iter().map(text).collect::<StringViewArray>());
    let longs: ArrayRef = Arc::new(values.iter().copied().collect::<Int64Array>());
    let row = StructArray::from(vec![
        (Arc::new(Field::new("a", DataType::Utf8View, true)), texts.clone()),
        (Arc::new(Field::new("b", DataType::Int64, true)), longs.clone()),
    ]);
    let bytes: BinaryViewArray = values.iter().map(|v| text(v).map(String::into_bytes)).collect();
    let decimals: Decimal128Array = values.iter().map(|v| v.map(i128::from)).collect();
    batch(vec![
        texts,
        longs,
        Arc::new(values.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>()),
        Arc::new(values.iter().map(|v| v.map(|v| v % 3 == 0)).collect::<BooleanArray>()),
        Arc::new(bytes),
        Arc::new(decimals.with_precision_and_scale(38, 4).unwrap()),
        Arc::new(row),
        Arc::new(lists.finish()),
        Arc::new(maps.finish()),
        Arc::new(NullArray::new(values.len())),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn rows_of_every_type_survive(
        values in prop::collection::vec(prop::option::of(any::<i64>()), 0..60),
        cut in any::<(prop::sample::Index, prop::sample::Index)>(),
        codec in 0..3,
    ) {
        let compression = [Compression::None, Compression::Lz4, Compression::Zstd][codec as usize];
        let whole = all_types(&values);
        let (a, b) = (cut.0.index(values.len() + 1), cut.1.index(values.len() + 1));
        let slice = whole.slice(a.min(b), a.abs_diff(b));
        prop_assert_eq!(round_trip(&slice, compression), slice);
    }

    #[test]
    fn damaged_payloads_are_errors_and_nothing_worse(
        values in prop::collection::vec(prop::option::of(any::<i64>()), 0..40),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 1..=255_u8), 1..8),
        keep in any::<prop::sample::Index>(),
    ) {
        let whole = all_types(&values);
        let payload = received(&Encoder::new(Compression::None).unwrap().encode(&whole).unwrap());
        let mut bytes = payload.to_vec();
        for (at, flip) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        // Whatever comes out, it comes out.
        let _ = decode(&whole.schema(), &Buffer::from_slice_ref(&bytes));
        let _ = decode(&whole.schema(), &payload.slice_with_length(0, keep.index(payload.len())));
    }
}

#[test]
fn rows_without_columns_keep_their_number() {
    let options = RecordBatchOptions::new().with_row_count(Some(7));
    let empty = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    assert_eq!(round_trip(&empty, Compression::None).num_rows(), 7);
}

#[test]
fn a_receiver_does_not_copy() {
    let sent = batch(vec![Arc::new((0..1000).collect::<Int64Array>())]);
    let payload = received(&Encoder::new(Compression::None).unwrap().encode(&sent).unwrap());
    let columns = decode(&sent.schema(), &payload).unwrap();
    let values = columns.column(0).to_data().buffers()[0].as_ptr() as usize;
    let range = payload.as_ptr() as usize..payload.as_ptr() as usize + payload.len();
    assert!(range.contains(&values));
    assert_eq!(values % 64, 0);
}

#[test]
fn a_few_strings_of_a_large_buffer_do_not_take_it_along() {
    let text = "a string that does not fit into its view".repeat(10);
    let all: ArrayRef = Arc::new((0..10_000).map(|_| Some(text.as_str())).collect::<StringViewArray>());
    let few = take(&all, &arrow::array::UInt32Array::from(vec![1, 5000, 9999]), None).unwrap();
    let few = batch(vec![few]);
    let bytes = row_bytes(&few);
    assert!(bytes > 1200 && bytes < 1300, "{bytes}");
    let payload = Encoder::new(Compression::None).unwrap().encode(&few).unwrap();
    assert!(payload.len() < 2500, "{}", payload.len());
    assert_eq!(round_trip(&few, Compression::None), few);
}

#[test]
fn row_bytes_counts_what_a_slice_uses() {
    let whole = all_types(&(0..1000).map(Some).collect::<Vec<_>>());
    let (half, all) = (row_bytes(&whole.slice(100, 500)), row_bytes(&whole));
    assert!(half * 2 > all * 9 / 10 && half * 2 < all * 11 / 10, "{half} of {all}");
}

#[test]
fn check_sums_tell_schemas_apart() {
    let of = |data_type, nullable| {
        schema_checksum(&Arc::new(Schema::new(vec![Field::new("name does not count", data_type, nullable)])))
    };
    assert_eq!(of(DataType::Int64, true), of(DataType::Int64, true));
    assert_ne!(of(DataType::Int64, true), of(DataType::Int64, false));
    assert_ne!(of(DataType::Int64, true), of(DataType::Int32, true));
}

#[test]
fn rows_put_together_by_hand_survive() {
    // A column whose null bitmap has an offset of its own.
    let array = (0..100).map(|i| (i % 7 != 0).then_some(i)).collect::<Int64Array>();
    let data = array.slice(13, 60).to_data();
    let mut builder = MutableArrayData::new(vec![&data], true, 60);
    builder.extend(0, 3, 57);
    let sent = batch(vec![make_array(builder.freeze()), Arc::new(array.slice(5, 54))]);
    assert_eq!(round_trip(&sent, Compression::Lz4), sent);
}

/// Failed before: a frame of a few bytes ended the process, which was not given what the frame said it would unpack to.
#[test]
fn what_buffers_unpack_to_is_bounded_before_it_is_asked_of_the_system() {
    let sent = batch(vec![Arc::new((0..1000).collect::<Int64Array>())]);
    for compression in [Compression::Lz4, Compression::Zstd] {
        let payload = Encoder::new(compression).unwrap().encode(&sent).unwrap();
        let mut bytes = received(&payload).to_vec();
        bytes[payload.head.len()..][..8].copy_from_slice(&(1_i64 << 50).to_le_bytes());
        let refused = decode(&sent.schema(), &Buffer::from(bytes.as_slice())).unwrap_err();
        assert!(refused.to_string().contains("unpack"), "{refused}");
    }
}
