//! Whatever the values: the order, that none is lost, and that bytes of any kind are no panic.
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Decimal128Array, Float64Array, Int32Array, Int64Array, ListArray,
    StringViewArray, StructArray, make_array,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use proptest::prelude::*;
use wiesel_common::keygroup;

use super::super::{Encoded, KeyCodec, ValueCodec};

/// A value of each column.
#[derive(Clone, Debug)]
struct Row {
    text: Option<String>,
    number: Option<i32>,
    array: Option<Vec<Option<i64>>>,
    row: Option<(Option<bool>, Option<Vec<u8>>)>,
    double: Option<f64>,
    decimal: Option<i128>,
}

impl Row {
    /// The row with null in some of its columns.
    fn with_nulls(&self, valid: [bool; 6]) -> Self {
        let row = self.clone();
        Self {
            text: row.text.filter(|_| valid[0]),
            number: row.number.filter(|_| valid[1]),
            array: row.array.filter(|_| valid[2]),
            row: row.row.filter(|_| valid[3]),
            double: row.double.filter(|_| valid[4]),
            decimal: row.decimal.filter(|_| valid[5]),
        }
    }

    /// As the keys are to compare.
    fn order(&self, other: &Self) -> Ordering {
        let double = match (self.double, other.double) {
            (Some(one), Some(other)) => one.total_cmp(&other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        };
        let before = (&self.text, self.number, &self.array, &self.row);
        before
            .cmp(&(&other.text, other.number, &other.array, &other.row))
            .then(double)
            .then(self.decimal.cmp(&other.decimal))
    }
}

prop_compose! {
    /// Of few different ones, so that the later columns matter.
    fn any_row()(
        text in prop::option::of("[a\u{0}\u{1}\u{2}é]{0,20}"),
        number in prop::option::of(prop_oneof![-1..2i32, any::<i32>()]),
        array in prop::option::of(prop::collection::vec(prop::option::of(-1..2i64), 0..4)),
        row in prop::option::of((any::<Option<bool>>(), prop::option::of(prop::collection::vec(0..3u8, 0..20)))),
        double in prop::option::of(prop_oneof![Just(-0.0), Just(0.0), any::<u64>().prop_map(f64::from_bits)]),
        decimal in prop::option::of(-10i128.pow(38) + 1..10i128.pow(38)),
    ) -> Row {
        Row { text, number, array, row, double, decimal }
    }
}

fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let fields = Fields::from(vec![
        Field::new("flag", DataType::Boolean, true),
        Field::new("bytes", DataType::BinaryView, true),
    ]);
    let flags: BooleanArray = rows.iter().map(|row| row.row.as_ref().and_then(|(flag, _)| *flag)).collect();
    let bytes = rows.iter().map(|row| row.row.as_ref().and_then(|(_, bytes)| bytes.as_deref()));
    let bytes = BinaryViewArray::from_iter(bytes);
    let valid: NullBuffer = rows.iter().map(|row| row.row.is_some()).collect();
    vec![
        Arc::new(StringViewArray::from_iter(rows.iter().map(|row| row.text.as_deref()))),
        Arc::new(rows.iter().map(|row| row.number).collect::<Int32Array>()),
        Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows.iter().map(|row| row.array.clone()))),
        Arc::new(StructArray::new(fields, vec![Arc::new(flags), Arc::new(bytes)], Some(valid))),
        Arc::new(rows.iter().map(|row| row.double).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.decimal).collect::<Decimal128Array>()),
    ]
}

fn types(columns: &[ArrayRef]) -> Vec<DataType> {
    columns.iter().map(|column| column.data_type().clone()).collect()
}

/// The columns of rows, with nulls that leave the values where they are, from a row on.
fn hidden_columns(rows: &[(Row, [bool; 6])], from: usize) -> Vec<ArrayRef> {
    let all: Vec<Row> = rows.iter().map(|(row, _)| row.clone()).collect();
    let hide = |(at, column): (usize, &ArrayRef)| {
        let valid: NullBuffer = rows.iter().map(|(_, valid)| valid[at]).collect();
        let nulls = NullBuffer::union(column.nulls(), Some(&valid));
        let hidden = column.to_data().into_builder().nulls(nulls).build().unwrap();
        make_array(hidden).slice(from, rows.len() - from)
    };
    columns(&all).iter().enumerate().map(hide).collect()
}

proptest! {
    /// What is behind a null, and where in memory a batch is, makes no difference to its bytes and key groups.
    #[test]
    fn only_values_count(rows in prop::collection::vec((any_row(), any::<[bool; 6]>()), 1..12), from in 0..12usize) {
        let from = from % rows.len();
        let hidden = hidden_columns(&rows, from);
        let plain: Vec<Row> = rows[from..].iter().map(|(row, valid)| row.with_nulls(*valid)).collect();
        let (plain, count) = (columns(&plain), plain.len());
        let types = types(&plain);
        let (key_codec, value_codec) = (KeyCodec::new(&types).unwrap(), ValueCodec::new(&types).unwrap());
        let (mut one, mut other) = (Encoded::default(), Encoded::default());
        key_codec.encode(&hidden, count, 0, &mut one).unwrap();
        key_codec.encode(&plain, count, 0, &mut other).unwrap();
        prop_assert!((0..count).all(|row| one.get(row) == other.get(row)));
        value_codec.encode(&hidden, count, 0, &mut one).unwrap();
        value_codec.encode(&plain, count, 0, &mut other).unwrap();
        prop_assert!((0..count).all(|row| one.get(row) == other.get(row)));
        prop_assert_eq!(keygroup::hash_columns(&hidden, count), keygroup::hash_columns(&plain, count));
    }

    #[test]
    fn keys_are_in_the_order_of_their_values(rows in prop::collection::vec(any_row(), 2..12)) {
        let columns = columns(&rows);
        let codec = KeyCodec::new(&types(&columns)).unwrap();
        let mut keys = Encoded::default();
        codec.encode(&columns, rows.len(), 0, &mut keys).unwrap();
        for (one, row) in rows.iter().enumerate() {
            for (other, other_row) in rows.iter().enumerate() {
                let (one, other) = (keys.get(one), keys.get(other));
                prop_assert_eq!(one.cmp(other), row.order(other_row), "{:?} and {:?}", row, other_row);
                // None begins another's.
                prop_assert_eq!(other.starts_with(one), one == other);
            }
        }
        prop_assert_eq!(codec.decode((0..rows.len()).map(|row| keys.get(row))).unwrap(), columns);
    }

    /// The first columns of a key, alone, begin the keys that have them and no others.
    #[test]
    fn the_first_columns_of_a_key_are_a_prefix(rows in prop::collection::vec(any_row(), 2..12), width in 1..6usize) {
        let columns = columns(&rows);
        let types = types(&columns);
        let (mut keys, mut heads) = (Encoded::default(), Encoded::default());
        KeyCodec::new(&types).unwrap().encode(&columns, rows.len(), 0, &mut keys).unwrap();
        let codec = KeyCodec::new(&types[..width]).unwrap();
        codec.encode(&columns[..width], rows.len(), 0, &mut heads).unwrap();
        for one in 0..rows.len() {
            for other in 0..rows.len() {
                let same = heads.get(one) == heads.get(other);
                prop_assert_eq!(keys.get(other).starts_with(heads.get(one)), same);
            }
        }
    }

    #[test]
    fn values_come_back(rows in prop::collection::vec(any_row(), 0..12), room in 0..9usize) {
        let columns = columns(&rows);
        let codec = ValueCodec::new(&types(&columns)).unwrap();
        let mut values = Encoded::default();
        // What was there before is gone.
        codec.encode(&self::columns(&rows[rows.len() / 2..]), rows.len() - rows.len() / 2, 1, &mut values).unwrap();
        codec.encode(&columns, rows.len(), room, &mut values).unwrap();
        let same = |one: usize, other: usize| rows[one].order(&rows[other]) == Ordering::Equal;
        for one in 0..rows.len() {
            for other in 0..rows.len() {
                prop_assert_eq!(values.get(one) == values.get(other), same(one, other));
            }
        }
        prop_assert_eq!(codec.decode((0..rows.len()).map(|row| &values.get(row)[room..])).unwrap(), columns);
    }

    /// What is damaged is refused, or is another row: it can be encoded.
    #[test]
    fn damaged_rows_are_no_panic(row in any_row(), changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let columns = columns(&[row]);
        let types = types(&columns);
        let (key_codec, value_codec) = (KeyCodec::new(&types).unwrap(), ValueCodec::new(&types).unwrap());
        let mut encoded = Encoded::default();
        let change = |bytes: &mut Vec<u8>| for (at, byte) in &changes {
            let at = usize::from(*at) % bytes.len();
            bytes[at] = *byte;
        };
        key_codec.encode(&columns, 1, 0, &mut encoded).unwrap();
        let mut damaged = encoded.get(0).to_vec();
        change(&mut damaged);
        if let Ok(read) = key_codec.decode(std::iter::once(&damaged[..])) {
            key_codec.encode(&read, 1, 0, &mut encoded).unwrap();
        }
        value_codec.encode(&columns, 1, 0, &mut encoded).unwrap();
        let mut damaged = encoded.get(0).to_vec();
        change(&mut damaged);
        if let Ok(read) = value_codec.decode(std::iter::once(&damaged[..])) {
            value_codec.encode(&read, 1, 0, &mut encoded).unwrap();
        }
    }

    #[test]
    fn bytes_of_any_kind_are_no_panic(bytes in prop::collection::vec(prop_oneof![Just(0x10), Just(0x11), Just(0), any::<u8>()], 0..64)) {
        let types = types(&columns(&[]));
        let nested = [DataType::List(Arc::new(Field::new("item", types[2].clone(), false)))];
        for types in [&types[..], &nested] {
            _ = KeyCodec::new(types).unwrap().decode(std::iter::once(&bytes[..]));
            _ = ValueCodec::new(types).unwrap().decode(std::iter::once(&bytes[..]));
        }
    }
}

/// A length that is larger than what is there takes no memory.
#[test]
fn lengths_are_bounded_by_what_is_there() {
    let texts = ValueCodec::new(&[DataType::Utf8View]).unwrap();
    let arrays = ValueCodec::new(&[DataType::List(Arc::new(Field::new("item", DataType::Null, true)))]).unwrap();
    for length in [&[0xff, 0xff, 0xff, 0xff, 0x7f][..], &[0xff; 9], &[0xff; 11], &[0x02, 0x01]] {
        let bytes = [&[0][..], length].concat();
        assert!(texts.decode(std::iter::once(&bytes[..])).is_err());
        assert!(arrays.decode(std::iter::once(&bytes[..])).is_err());
    }
    let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let mut encoded = Encoded::default();
    KeyCodec::new(&[DataType::Int64]).unwrap().encode(&[one], 1, 0, &mut encoded).unwrap();
    assert!(KeyCodec::new(&[DataType::Utf8View]).unwrap().decode(std::iter::once(encoded.get(0))).is_err());
}
