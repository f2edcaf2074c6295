use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{AsArray, Int32Array, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use proptest::prelude::*;
use wiesel_common::keygroup;

use super::{HashSelector, RoundRobin};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, true),
        Field::new("text", DataType::Utf8View, true),
        Field::new("row", DataType::Int32, false),
    ]))
}

fn rows(keys: &[Option<i64>]) -> RecordBatch {
    let texts = keys.iter().map(|key| key.map(|key| format!("text of {}", key % 5))).collect::<StringViewArray>();
    let numbers = Int32Array::from_iter_values(0..keys.len() as i32);
    let columns: Vec<arrow::array::ArrayRef> =
        vec![Arc::new(keys.iter().copied().collect::<Int64Array>()), Arc::new(texts), Arc::new(numbers)];
    RecordBatch::try_new(schema(), columns).unwrap()
}

proptest! {
    /// Every row arrives once, where its key group lives, and rows of a key keep their order.
    #[test]
    fn hash_selection(
        keys in prop::collection::vec(prop::option::of(-20..20_i64), 0..300),
        consumers in 1..9_usize,
        max_parallelism in 9..1000_u32,
        columns in prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![])],
    ) {
        let batch = rows(&keys);
        let mut selector = HashSelector::new(columns.clone(), max_parallelism, consumers, &schema()).unwrap();
        let mut seen = vec![0; keys.len()];
        let mut last: HashMap<Vec<Option<i64>>, i32> = HashMap::new();
        let mut targets = vec![];
        selector
            .select(&batch, |target, part| {
                targets.push(target);
                assert_eq!(part.schema(), schema());
                let of_key: Vec<_> = columns.iter().map(|column| part.column(*column).clone()).collect();
                let hashes = keygroup::hash_columns(&of_key, part.num_rows()).unwrap();
                for (at, row) in part.column(2).as_primitive::<Int32Type>().values().iter().enumerate() {
                    seen[*row as usize] += 1;
                    let group = keygroup::key_group(hashes[at], max_parallelism);
                    assert_eq!(keygroup::subtask(group, consumers as u32, max_parallelism) as usize, target);
                    let key = keys[*row as usize];
                    let key = columns.iter().map(|column| if *column == 0 { key } else { key.map(|key| key % 5) });
                    if let Some(before) = last.insert(key.collect(), *row) {
                        assert!(before < *row);
                    }
                }
                Ok(())
            })
            .unwrap();
        prop_assert!(seen.iter().all(|times| *times == 1));
        prop_assert!(targets.is_sorted());
    }

    /// Nothing is lost, and shares differ by little.
    #[test]
    fn round_robin(sizes in prop::collection::vec(1..5000_usize, 1..20), consumers in 1..5_usize) {
        let mut selector = RoundRobin::new(3, consumers);
        for size in sizes {
            let batch = rows(&vec![Some(1); size]);
            let mut next = 0;
            selector
                .select(batch, |target, part| {
                    assert!(target < consumers);
                    let numbers = part.column(2).as_primitive::<Int32Type>().clone();
                    for row in numbers.values() {
                        assert_eq!(*row, next);
                        next += 1;
                    }
                    Ok(())
                })
                .unwrap();
            prop_assert_eq!(next as usize, size);
        }
    }
}

#[test]
fn a_key_that_is_no_column_is_refused() {
    assert!(HashSelector::new(vec![3], 128, 2, &schema()).is_err());
}

/// Before, room was made for as many key groups as a checkpoint's metadata said: 16 GB for the largest number.
#[test]
fn a_maximum_parallelism_that_is_none_is_refused() {
    for max_parallelism in [0, 32_769, u32::MAX] {
        let refused = HashSelector::new(vec![0], max_parallelism, 2, &schema()).err().unwrap().to_string();
        assert!(refused.contains(&format!("{max_parallelism}: expected 1 to 32768")), "{refused}");
    }
    assert!(HashSelector::new(vec![0], 32_768, 2, &schema()).is_ok());
}
