//! Byte vectors of every type: what was written once must be read for ever. They were made from docs/checkpoint-format.md by another
//! program.
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, DurationMillisecondArray,
    Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array, IntervalYearMonthArray, ListArray,
    MapArray, NullArray, StringViewArray, StructArray, Time32MillisecondArray, TimestampMicrosecondArray,
    TimestampMillisecondArray, TimestampNanosecondArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};
use wiesel_expressions::types::{LogicalType, RowField, TypeKind};

use super::{Encoded, KeyCodec, ValueCodec};

mod properties;

/// Columns with the bytes of their rows, in hexadecimal, as keys and as values. The keys are in ascending order.
fn check(columns: &[ArrayRef], keys: &[&str], values: &[&str]) {
    let rows = keys.len();
    let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
    let (key_codec, value_codec) = (KeyCodec::new(&types).unwrap(), ValueCodec::new(&types).unwrap());
    let (mut key, mut value) = (Encoded::default(), Encoded::default());
    // Behind some room, which is left alone.
    key_codec.encode(columns, rows, 3, &mut key).unwrap();
    value_codec.encode(columns, rows, 1, &mut value).unwrap();
    let shown = |encoded: &Encoded, room: usize| -> Vec<String> {
        (0..encoded.len()).map(|row| hexadecimal(&encoded.get(row)[room..])).collect()
    };
    assert_eq!(shown(&key, 3), keys, "keys of {types:?}");
    assert_eq!(shown(&value, 1), values, "values of {types:?}");
    assert!((0..rows).all(|row| key.get(row)[..3] == [0; 3] && value.get(row)[0] == 0));
    assert!((1..rows).all(|row| key.get(row - 1) < key.get(row)), "the order of {types:?}");
    let read_keys = key_codec.decode((0..rows).map(|row| &key.get(row)[3..])).unwrap();
    let read_values = value_codec.decode((0..rows).map(|row| &value.get(row)[1..])).unwrap();
    assert_eq!(read_keys, columns);
    assert_eq!(read_values, columns);
    refuses_parts(&types, &key, 3, |bytes| key_codec.decode(std::iter::once(bytes)).is_err());
    refuses_parts(&types, &value, 1, |bytes| value_codec.decode(std::iter::once(bytes)).is_err());
}

/// What is cut off, or goes on, is no row.
fn refuses_parts(types: &[DataType], encoded: &Encoded, room: usize, refuses: impl Fn(&[u8]) -> bool) {
    for row in 0..encoded.len() {
        let whole = &encoded.get(row)[room..];
        for length in 0..whole.len() {
            assert!(refuses(&whole[..length]), "{types:?}: {length} of {}", hexadecimal(whole));
        }
        assert!(refuses(&[whole, &[0]].concat()), "{types:?}: more than {}", hexadecimal(whole));
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn check_one(column: impl Array + 'static, keys: &[&str], values: &[&str]) {
    check(&[Arc::new(column)], keys, values);
}

#[test]
fn null_and_booleans() {
    // Only one row: all are equal.
    check_one(NullArray::new(1), &["10"], &["01"]);
    let booleans = BooleanArray::from(vec![None, Some(false), Some(true)]);
    check_one(booleans, &["1000", "1100", "1101"], &["0100", "0000", "0001"]);
}

#[test]
fn whole_numbers() {
    check_one(
        Int8Array::from(vec![None, Some(-128), Some(-1), Some(0), Some(127)]),
        &["1000", "1100", "117f", "1180", "11ff"],
        &["0100", "0000", "007f", "0080", "00ff"],
    );
    check_one(
        Int16Array::from(vec![None, Some(-32768), Some(-1), Some(0), Some(300)]),
        &["100000", "110000", "117fff", "118000", "11812c"],
        &["010000", "000000", "007fff", "008000", "00812c"],
    );
    check_one(
        Int32Array::from(vec![None, Some(i32::MIN), Some(-1), Some(0), Some(1)]),
        &["1000000000", "1100000000", "117fffffff", "1180000000", "1180000001"],
        &["0100000000", "0000000000", "007fffffff", "0080000000", "0080000001"],
    );
    check_one(
        Int64Array::from(vec![None, Some(i64::MIN), Some(-1), Some(0), Some(1), Some(i64::MAX)]),
        &[
            "100000000000000000",
            "110000000000000000",
            "117fffffffffffffff",
            "118000000000000000",
            "118000000000000001",
            "11ffffffffffffffff",
        ],
        &[
            "010000000000000000",
            "000000000000000000",
            "007fffffffffffffff",
            "008000000000000000",
            "008000000000000001",
            "00ffffffffffffffff",
        ],
    );
}

/// −0 and 0 differ, and NaNs by their bits: rows are grouped bit for bit.
#[test]
fn floating_point() {
    let floats = [
        f32::from_bits(0xffc0_0000),
        f32::NEG_INFINITY,
        -1.5,
        -0.0,
        0.0,
        1.5,
        f32::INFINITY,
        f32::from_bits(0x7fc0_0000),
    ];
    check_one(
        Float32Array::from_iter(std::iter::once(None).chain(floats.map(Some))),
        &[
            "1000000000",
            "11003fffff",
            "11007fffff",
            "11403fffff",
            "117fffffff",
            "1180000000",
            "11bfc00000",
            "11ff800000",
            "11ffc00000",
        ],
        &[
            "0100000000",
            "00003fffff",
            "00007fffff",
            "00403fffff",
            "007fffffff",
            "0080000000",
            "00bfc00000",
            "00ff800000",
            "00ffc00000",
        ],
    );
    let doubles = [
        f64::from_bits(0xfff8_0000_0000_0000),
        f64::NEG_INFINITY,
        -1.5,
        -0.0,
        0.0,
        1.5,
        f64::INFINITY,
        f64::from_bits(0x7ff8_0000_0000_0000),
    ];
    check_one(
        Float64Array::from_iter(std::iter::once(None).chain(doubles.map(Some))),
        &[
            "100000000000000000",
            "110007ffffffffffff",
            "11000fffffffffffff",
            "114007ffffffffffff",
            "117fffffffffffffff",
            "118000000000000000",
            "11bff8000000000000",
            "11fff0000000000000",
            "11fff8000000000000",
        ],
        &[
            "010000000000000000",
            "000007ffffffffffff",
            "00000fffffffffffff",
            "004007ffffffffffff",
            "007fffffffffffffff",
            "008000000000000000",
            "00bff8000000000000",
            "00fff0000000000000",
            "00fff8000000000000",
        ],
    );
}

fn decimals(precision: u8, values: Vec<Option<i128>>) -> Decimal128Array {
    Decimal128Array::from(values).with_precision_and_scale(precision, 2).unwrap()
}

#[test]
fn decimals_of_few_and_of_many_digits() {
    check_one(
        decimals(18, vec![None, Some(-12345), Some(0), Some(12345), Some(10i128.pow(18) - 1)]),
        &["100000000000000000", "117fffffffffffcfc7", "118000000000000000", "118000000000003039", "118de0b6b3a763ffff"],
        &["010000000000000000", "007fffffffffffcfc7", "008000000000000000", "008000000000003039", "008de0b6b3a763ffff"],
    );
    // Fewer digits take no fewer bytes.
    check_one(decimals(3, vec![Some(123)]), &["11800000000000007b"], &["00800000000000007b"]);
    check_one(
        decimals(38, vec![None, Some(-12345), Some(0), Some(12345), Some(10i128.pow(38) - 1)]),
        &[
            "1000000000000000000000000000000000",
            "117fffffffffffffffffffffffffffcfc7",
            "1180000000000000000000000000000000",
            "1180000000000000000000000000003039",
            "11cb3b4ca85a86c47a098a223fffffffff",
        ],
        &[
            "0100000000000000000000000000000000",
            "007fffffffffffffffffffffffffffcfc7",
            "0080000000000000000000000000000000",
            "0080000000000000000000000000003039",
            "00cb3b4ca85a86c47a098a223fffffffff",
        ],
    );
}

/// Failed would be better than another number; what is behind a null does not matter.
#[test]
fn a_decimal_beyond_its_type_is_not_cut() {
    let beyond: ArrayRef = Arc::new(decimals(18, vec![Some(i128::from(i64::MAX) + 1)]));
    let codec = ValueCodec::new(&[beyond.data_type().clone()]).unwrap();
    let error = codec.encode(&[beyond], 1, 0, &mut Encoded::default()).unwrap_err().to_string();
    assert!(error.contains("9223372036854775808") && error.contains("Decimal128(18, 2)"), "{error}");
    let hidden = Decimal128Array::new(vec![i128::MAX].into(), Some(NullBuffer::new_null(1)));
    let hidden = hidden.with_precision_and_scale(18, 2).unwrap();
    check_one(hidden, &["100000000000000000"], &["010000000000000000"]);
}

#[test]
fn times() {
    check_one(
        Date32Array::from(vec![None, Some(-1), Some(19723)]),
        &["1000000000", "117fffffff", "1180004d0b"],
        &["0100000000", "007fffffff", "0080004d0b"],
    );
    check_one(
        Time32MillisecondArray::from(vec![None, Some(0), Some(86_399_999)]),
        &["1000000000", "1180000000", "1185265bff"],
        &["0100000000", "0080000000", "0085265bff"],
    );
    check_one(
        IntervalYearMonthArray::from(vec![None, Some(-1), Some(14)]),
        &["1000000000", "117fffffff", "118000000e"],
        &["0100000000", "007fffffff", "008000000e"],
    );
    check_one(
        DurationMillisecondArray::from(vec![None, Some(-1000), Some(86_400_000)]),
        &["100000000000000000", "117ffffffffffffc18", "118000000005265c00"],
        &["010000000000000000", "007ffffffffffffc18", "008000000005265c00"],
    );
}

/// Alike with and without a zone.
#[test]
fn timestamps_of_each_precision() {
    for zone in [None, Some("UTC")] {
        check_one(
            TimestampMillisecondArray::from(vec![None, Some(-1), Some(1_700_000_000_123)]).with_timezone_opt(zone),
            &["100000000000000000", "117fffffffffffffff", "118000018bcfe5687b"],
            &["010000000000000000", "007fffffffffffffff", "008000018bcfe5687b"],
        );
        check_one(
            TimestampMicrosecondArray::from(vec![None, Some(-1), Some(1_700_000_000_123_456)]).with_timezone_opt(zone),
            &["100000000000000000", "117fffffffffffffff", "1180060a2418202240"],
            &["010000000000000000", "007fffffffffffffff", "0080060a2418202240"],
        );
        check_one(
            TimestampNanosecondArray::from(vec![None, Some(-1), Some(1_700_000_000_123_456_789)])
                .with_timezone_opt(zone),
            &["100000000000000000", "117fffffffffffffff", "1197979cfe3d85cd15"],
            &["010000000000000000", "007fffffffffffffff", "0097979cfe3d85cd15"],
        );
    }
}

#[test]
fn texts_and_bytes() {
    let texts = [None, Some(""), Some("a"), Some("a\0b"), Some("a\u{1}"), Some("ab"), Some("ä")];
    check_one(
        StringViewArray::from_iter(texts),
        &["10", "1100", "116100", "116101016200", "1161010200", "11616200", "11c3a400"],
        &["0100", "0000", "000161", "0003610062", "00026101", "00026162", "0002c3a4"],
    );
    // CHAR(3) has its blanks.
    check_one(
        StringViewArray::from_iter_values(["a  ", "ab "]),
        &["1161202000", "1161622000"],
        &["0003612020", "0003616220"],
    );
    let bytes: [Option<&[u8]>; 6] = [None, Some(&[]), Some(&[0]), Some(&[0, 1]), Some(&[1]), Some(&[2, 0xff])];
    check_one(
        BinaryViewArray::from_iter(bytes),
        &["10", "1100", "11010100", "110101010200", "11010200", "1102ff00"],
        &["0100", "0000", "000100", "00020001", "000101", "000202ff"],
    );
    // Its length takes two bytes.
    let long = "x".repeat(200);
    let digits = "78".repeat(200);
    check_one(StringViewArray::from_iter_values([long]), &[&format!("11{digits}00")], &[&format!("00c801{digits}")]);
}

#[test]
fn bytes_are_escaped_wherever_they_stand() {
    for length in 1..40 {
        for at in 0..length {
            for byte in [0, 1] {
                let mut value = vec![b'x'; length];
                value[at] = byte;
                let columns: [ArrayRef; 1] = [Arc::new(BinaryViewArray::from_iter_values([&value]))];
                let codec = KeyCodec::new(&[DataType::BinaryView]).unwrap();
                let mut key = Encoded::default();
                codec.encode(&columns, 1, 0, &mut key).unwrap();
                assert_eq!(key.get(0).len(), length + 3);
                assert_eq!(codec.decode(std::iter::once(key.get(0))).unwrap(), columns);
            }
        }
    }
}

fn list(lengths: &[usize], elements: ArrayRef, nulls: Option<Vec<bool>>) -> ListArray {
    let item = Arc::new(Field::new("item", elements.data_type().clone(), true));
    ListArray::new(item, OffsetBuffer::from_lengths(lengths.iter().copied()), elements, nulls.map(NullBuffer::from))
}

#[test]
fn arrays() {
    let numbers = Int32Array::from(vec![None, Some(1), Some(1), None, Some(2)]);
    let nulls = Some(vec![false, true, true, true, true, true]);
    check_one(
        list(&[0, 0, 1, 1, 2, 1], Arc::new(numbers), nulls),
        &["10", "1100", "11100000000000", "11118000000100", "111180000001100000000000", "11118000000200"],
        &["0100", "0000", "00050100000000", "00050080000001", "000a00800000010100000000", "00050080000002"],
    );
    check_one(
        list(&[2, 1], Arc::new(StringViewArray::from_iter_values(["", "a", "a"])), None),
        &["11110011610000", "1111610000"],
        &["00050000000161", "0003000161"],
    );
    let numbers: ArrayRef = Arc::new(Int8Array::from(vec![1, 2]));
    let inner = list(&[0, 0, 1, 1], numbers, Some(vec![false, true, true, true]));
    check_one(
        list(&[1, 1, 2], Arc::new(inner), None),
        &["111000", "11110000", "11111181001111820000"],
        &["00020100", "00020000", "00080002008100020082"],
    );
}

/// Of a slice only its own elements are looked at, and none that stand behind a null.
#[test]
fn slices_of_arrays() {
    let numbers = Int8Array::from(vec![9, 9, 1, 7, 2, 9]);
    let all = list(&[2, 1, 1, 1, 1], Arc::new(numbers), Some(vec![true, true, false, true, true]));
    let slice: ArrayRef = Arc::new(all.slice(1, 3));
    let types = [slice.data_type().clone()];
    let (mut key, mut value) = (Encoded::default(), Encoded::default());
    KeyCodec::new(&types).unwrap().encode(std::slice::from_ref(&slice), 3, 0, &mut key).unwrap();
    ValueCodec::new(&types).unwrap().encode(std::slice::from_ref(&slice), 3, 0, &mut value).unwrap();
    let shown = |encoded: &Encoded| (0..3).map(|row| hexadecimal(encoded.get(row))).collect::<Vec<_>>();
    assert_eq!(shown(&key), ["11118100", "10", "11118200"]);
    assert_eq!(shown(&value), ["00020081", "0100", "00020082"]);
}

fn map(lengths: &[usize], keys: ArrayRef, values: ArrayRef, kind: &TypeKind, nulls: Option<Vec<bool>>) -> MapArray {
    let DataType::Map(entries, sorted) = kind.to_arrow() else { panic!("{kind} is no map") };
    let DataType::Struct(fields) = entries.data_type() else { panic!("{kind} has no entries") };
    let pairs = StructArray::new(fields.clone(), vec![keys, values], None);
    let offsets = OffsetBuffer::from_lengths(lengths.iter().copied());
    MapArray::new(entries, offsets, pairs, nulls.map(NullBuffer::from), sorted)
}

/// Entries stay in their order, which is part of what is equal.
#[test]
fn maps_and_multisets() {
    let text = || Box::new(TypeKind::string().nullable());
    check_one(
        map(
            &[0, 0, 1, 2],
            Arc::new(StringViewArray::from_iter([None, Some("a"), Some("b")])),
            Arc::new(Int32Array::from(vec![Some(1), None, Some(2)])),
            &TypeKind::Map(text(), Box::new(TypeKind::Int.nullable())),
            Some(vec![false, true, true, true]),
        ),
        &["10", "1100", "1110118000000100", "111161001000000000116200118000000200"],
        &["0100", "0000", "0006018000000100", "000e0200000000016100800000020162"],
    );
    check_one(
        map(
            &[1],
            Arc::new(StringViewArray::from_iter_values(["a"])),
            Arc::new(Int32Array::from(vec![2])),
            &TypeKind::Multiset(text()),
            None,
        ),
        &["11116100118000000200"],
        &["000700800000020161"],
    );
}

fn row(columns: Vec<ArrayRef>, nulls: Vec<bool>) -> StructArray {
    let field = |(i, column): (usize, &ArrayRef)| Field::new(format!("f{i}"), column.data_type().clone(), true);
    let fields: Fields = columns.iter().enumerate().map(field).collect();
    StructArray::try_new_with_length(fields, columns, Some(NullBuffer::from(nulls.clone())), nulls.len()).unwrap()
}

#[test]
fn rows() {
    // What is behind a null does not matter.
    let numbers = Int16Array::from(vec![Some(7), None, Some(1)]);
    let texts = StringViewArray::from_iter([Some("x"), None, Some("b")]);
    check_one(
        row(vec![Arc::new(numbers), Arc::new(texts)], vec![false, true, true]),
        &["1010000010", "1110000010", "11118001116200"],
        &["07000000", "06000000", "0080010162"],
    );
    check_one(row(Vec::new(), vec![false, true]), &["10", "11"], &["01", "00"]);
    let inner = row(
        vec![Arc::new(BooleanArray::from(vec![Some(true), Some(true), None, Some(true)]))],
        vec![true, false, true, true],
    );
    let arrays = list(&[1, 1, 0, 0], Arc::new(Int8Array::from(vec![9, 1])), Some(vec![true, true, false, true]));
    check_one(
        row(vec![Arc::new(inner), Arc::new(arrays)], vec![false, true, true, true]),
        &["1010100010", "1110100011118100", "1111100010", "111111011100"],
        &["0f0000", "0600020081", "0c0000", "000100"],
    );
}

#[test]
fn several_columns() {
    check(
        &[
            Arc::new(StringViewArray::from_iter([None, Some("a"), Some("a")])),
            Arc::new(Int32Array::from(vec![None, None, Some(1)])),
            Arc::new(BooleanArray::from(vec![Some(false), None, Some(true)])),
        ],
        &["1010000000001100", "11610010000000001000", "11610011800000011101"],
        &["03000000000000", "0600000000000161", "0080000001010161"],
    );
}

#[test]
fn rows_without_columns() {
    let (mut key, mut value) = (Encoded::default(), Encoded::default());
    KeyCodec::new(&[]).unwrap().encode(&[], 2, 2, &mut key).unwrap();
    ValueCodec::new(&[]).unwrap().encode(&[], 2, 0, &mut value).unwrap();
    assert_eq!((key.len(), key.get(1), value.len(), value.get(1)), (2, &[0, 0][..], 2, &[][..]));
    assert!(KeyCodec::new(&[]).unwrap().decode([&[][..], &[]].into_iter()).unwrap().is_empty());
    assert!(ValueCodec::new(&[]).unwrap().decode([&[1][..]].into_iter()).is_err());
}

/// Every type of the language has an encoding.
#[test]
fn all_types_can_be_kept() {
    use wiesel_expressions::types::TimeAttribute::Regular;
    let plain = [
        TypeKind::Char(3),
        TypeKind::Varchar(3),
        TypeKind::Boolean,
        TypeKind::Binary(3),
        TypeKind::bytes(),
        TypeKind::Decimal(5, 2),
        TypeKind::Decimal(38, 0),
        TypeKind::Tinyint,
        TypeKind::Smallint,
        TypeKind::Int,
        TypeKind::Bigint,
        TypeKind::Float,
        TypeKind::Double,
        TypeKind::Date,
        TypeKind::Time(3),
        TypeKind::Timestamp(3, Regular),
        TypeKind::Timestamp(6, Regular),
        TypeKind::Timestamp(9, Regular),
        TypeKind::TimestampLtz(3, Regular),
        TypeKind::TimestampLtz(9, Regular),
        TypeKind::IntervalYearMonth("MONTH".into()),
        TypeKind::IntervalDayTime("SECOND(3)".into()),
        TypeKind::Null,
    ];
    let each = |make: fn(Box<LogicalType>) -> TypeKind| plain.clone().map(|kind| make(Box::new(kind.nullable())));
    let maps = |of: Box<LogicalType>| TypeKind::Map(of.clone(), of);
    let rows = |of: Box<LogicalType>| TypeKind::Row(vec![RowField::new("f", *of)]);
    let nested = [each(TypeKind::Array), each(TypeKind::Multiset), each(maps), each(rows)];
    for kind in plain.iter().chain(nested.iter().flatten()) {
        let data_type = [kind.to_arrow()];
        let nulls = [arrow::array::new_null_array(&data_type[0], 2)];
        let (mut key, mut value) = (Encoded::default(), Encoded::default());
        let (key_codec, value_codec) = (KeyCodec::new(&data_type).unwrap(), ValueCodec::new(&data_type).unwrap());
        key_codec.encode(&nulls, 2, 0, &mut key).unwrap();
        value_codec.encode(&nulls, 2, 0, &mut value).unwrap();
        assert_eq!(key_codec.decode((0..2).map(|row| key.get(row))).unwrap(), nulls, "{kind}");
        assert_eq!(value_codec.decode((0..2).map(|row| value.get(row))).unwrap(), nulls, "{kind}");
    }
}

#[test]
fn columns_of_other_types_are_refused() {
    let numbers: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1]));
    let codec = KeyCodec::new(&[DataType::Int64]).unwrap();
    let refused = |columns: &[ArrayRef], rows| codec.encode(columns, rows, 0, &mut Encoded::default()).unwrap_err();
    assert!(refused(&[numbers], 1).to_string().contains("Timestamp"));
    assert!(refused(&[], 1).to_string().contains("0 columns"));
    assert!(refused(&[Arc::new(Int64Array::from(vec![1]))], 2).to_string().contains("1 rows"));
    assert!(KeyCodec::new(&[DataType::Utf8]).is_err_and(|error| error.to_string().contains("Utf8")));
}
