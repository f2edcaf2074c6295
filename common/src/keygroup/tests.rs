use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::{DataType, Field, Int32Type, IntervalDayTime};
use proptest::prelude::*;

use super::*;

fn one(column: impl Array + 'static) -> Vec<u64> {
    let rows = column.len();
    hash_columns(&[Arc::new(column)], rows).unwrap()
}

/// These never change: savepoints depend on them.
#[test]
fn vectors() {
    assert_eq!(
        one(Int64Array::from(vec![Some(0), Some(1), Some(-1), Some(i64::MAX), Some(i64::MIN), None])),
        [
            0xe220_a839_7b1d_cdaf,
            0x910a_2dec_8902_5cc1,
            0xe4d9_7177_1b65_2c20,
            0x2a67_d755_2e03_9ea7,
            0x481e_c0a2_12a9_f3db,
            0x6e75_6c6c_6e75_6c6c
        ]
    );
    assert_eq!(
        one(StringViewArray::from(vec!["", "a", "Wiesel", "a key of more than sixteen bytes"])),
        [0x2d06_8005_38d3_94c2, 0xe6c6_32b6_1e96_4e1f, 0x5db4_982b_d9c5_f6ef, 0x2725_8608_776b_c78a]
    );
    let two: [ArrayRef; 2] = [Arc::new(Int32Array::from(vec![1])), Arc::new(StringArray::from(vec!["a"]))];
    assert_eq!(hash_columns(&two, 1).unwrap(), [0x5bfb_a2d6_3834_616c]);
    assert_eq!(
        one(Float64Array::from(vec![1.5, 0.0, f64::NAN])),
        [0xd6da_b18e_1392_608a, 0xe220_a839_7b1d_cdaf, 0xc729_71d8_2e15_bb46]
    );
    assert_eq!(one(Decimal128Array::from(vec![7, i128::MAX])), [0x63cb_e1e4_5932_0dd7, 0xf279_4825_3637_ce51]);
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), Some(vec![]), None]);
    assert_eq!(one(list), [0x4567_958f_b408_3870, 0xe220_a839_7b1d_cdaf, NULL_HASH]);
}

#[test]
fn equal_values_hash_alike_whatever_holds_them() {
    let number = one(Int64Array::from(vec![-5]));
    assert_eq!(one(Int8Array::from(vec![-5])), number);
    assert_eq!(one(Int32Array::from(vec![-5])), number);
    assert_eq!(one(Decimal128Array::from(vec![-5])), number);
    assert_eq!(one(Date32Array::from(vec![-5])), number);
    assert_eq!(one(TimestampMillisecondArray::from(vec![-5])), number);
    assert_eq!(one(Float32Array::from(vec![0.5, -0.0])), one(Float64Array::from(vec![0.5, 0.0])));
    assert_eq!(one(Float64Array::from(vec![f64::NAN])), one(Float64Array::from(vec![-f64::NAN])));
    let text = "Wiesel – 🦦 and more than twelve bytes";
    let expected = one(StringArray::from(vec![text]));
    assert_eq!(one(StringViewArray::from(vec![text])), expected);
    assert_eq!(one(BinaryArray::from(vec![text.as_bytes()])), expected);
    assert_eq!(one(BinaryViewArray::from(vec![text.as_bytes()])), expected);
    assert_eq!(one(BooleanArray::from(vec![true, false])), one(Int32Array::from(vec![1, 0])));
    assert_eq!(one(NullArray::new(2)), [NULL_HASH, NULL_HASH]);
}

#[test]
fn order_of_columns_and_depth_matter() {
    let columns: [ArrayRef; 2] = [Arc::new(Int32Array::from(vec![1])), Arc::new(Int32Array::from(vec![2]))];
    let swapped = [columns[1].clone(), columns[0].clone()];
    assert_ne!(hash_columns(&columns, 1), hash_columns(&swapped, 1));
    assert_eq!(hash_columns(&[], 3), Ok(vec![0, 0, 0]));
}

#[test]
fn maps_hash_alike_in_any_order() {
    let map = |pairs: &[(&str, i32)]| {
        let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
        for (key, value) in pairs {
            builder.keys().append_value(key);
            builder.values().append_value(*value);
        }
        builder.append(true).unwrap();
        builder.append(false).unwrap();
        one(builder.finish())
    };
    assert_eq!(map(&[("a", 1), ("b", 2)]), map(&[("b", 2), ("a", 1)]));
    assert_ne!(map(&[("a", 1), ("b", 2)]), map(&[("a", 2), ("b", 1)]));
    assert_eq!(map(&[])[1], NULL_HASH);
}

#[test]
fn slices_and_nulls_below_nulls() {
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let fields = vec![(Arc::new(Field::new("n", DataType::Int32, true)), numbers)];
    let rows = StructArray::from((fields, arrow::buffer::Buffer::from([0b101])));
    let all = one(rows.clone());
    assert_eq!(all[1], NULL_HASH);
    assert_ne!(all[0], all[2]);
    assert_eq!(one(rows.slice(1, 2)), all[1..]);
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![Some(2), None])]);
    assert_eq!(one(lists.slice(1, 1)), one(lists)[1..]);
}

#[test]
fn what_cannot_be_a_key() {
    let column: ArrayRef = Arc::new(IntervalDayTimeArray::from(vec![IntervalDayTime::new(1, 2)]));
    assert!(hash_columns(&[column], 1).unwrap_err().to_string().contains("DayTime"));
}

#[test]
fn the_default_maximum_parallelism_is_flinks() {
    for (parallelism, max) in [(1, 128), (85, 128), (86, 256), (128, 256), (200, 512), (21845, 32768), (32768, 32768)] {
        assert_eq!(default_max_parallelism(parallelism), max, "{parallelism}");
    }
}

#[test]
fn hashes_spread_over_key_groups() {
    let hashes = one(Int64Array::from_iter_values(0..128_000));
    let mut counts = [0; 128];
    hashes.iter().for_each(|hash| counts[key_group(*hash, 128) as usize] += 1);
    assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
}

proptest! {
    #[test]
    fn each_key_group_has_one_subtask(max in 1..=UPPER_BOUND_MAX_PARALLELISM, share in 0.0..1.0f64) {
        let parallelism = ((f64::from(max) * share) as u32).max(1);
        let mut next = 0;
        for index in 0..parallelism {
            let groups = key_groups(index, parallelism, max);
            prop_assert_eq!(groups.start, next);
            prop_assert!(groups.clone().all(|group| subtask(group, parallelism, max) == index));
            next = groups.end;
        }
        prop_assert_eq!(next, max);
    }

    #[test]
    fn a_row_hashes_alike_in_any_batch(values in proptest::collection::vec(any::<Option<i64>>(), 1..50), at in 0..50usize) {
        let column = Int64Array::from(values);
        let at = at % column.len();
        prop_assert_eq!(one(column.slice(at, 1))[0], one(column)[at]);
    }
}
