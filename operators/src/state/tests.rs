use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use bytes::Bytes;
use proptest::prelude::*;
use wiesel_common::keygroup;
use wiesel_expressions::types::{LogicalType, TypeKind};

use super::bits::Bits;
use super::table::{RowTable, TableLayout};
use crate::testing::context;
use crate::testing::state::World;

fn bigint() -> LogicalType {
    TypeKind::Bigint.nullable()
}

fn table(key: &[LogicalType], value: &[LogicalType], namespace: bool, ttl: i64) -> RowTable {
    let layout = TableLayout { name: "t", key, sub_key: &[], value, namespace, ttl, max_parallelism: 128 };
    let world = World::new(&context(), "hashmap");
    RowTable::open(&mut *world.open(0..=127, &[]), &layout).unwrap()
}

#[test]
fn a_key_is_its_key_group_its_namespace_and_its_columns() {
    let table = table(&[bigint()], &[], true, 0);
    let column: ArrayRef = Arc::new(Int64Array::from(vec![7]));
    let keys = table.keys(&[column], &[-1], 1).unwrap();
    let group = keygroup::key_group(keygroup::hash_number(7), 128) as u16;
    let mut expected = group.to_be_bytes().to_vec();
    expected.extend([0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    expected.extend([0x11, 0x80, 0, 0, 0, 0, 0, 0, 7]);
    assert_eq!(keys.get(0), expected);
    assert!(keys.get(0).starts_with(&table.prefix(group, -1)));
    assert_eq!(
        table.key_columns([keys.get(0)].into_iter()).unwrap(),
        [Arc::new(Int64Array::from(vec![7])) as ArrayRef]
    );
}

#[test]
fn a_sub_key_is_behind_the_columns_of_its_key_and_has_no_part_in_the_key_group() {
    let world = World::new(&context(), "hashmap");
    let (key, sub_key) = ([TypeKind::string().nullable()], [bigint()]);
    let (value, namespace) = (&[], false);
    let layout =
        TableLayout { name: "t", key: &key, sub_key: &sub_key, value, namespace, ttl: 0, max_parallelism: 128 };
    let with = RowTable::open(&mut *world.open(0..=127, &[]), &layout).unwrap();
    let without = table(&key, &[], false, 0);
    let key: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a")]));
    let sub_key: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), Some(2), None]));
    let keys = with.keys(&[key.clone(), sub_key.clone()], &[], 3).unwrap();
    let heads = with.heads(std::slice::from_ref(&key), &[], 3).unwrap();
    for row in 0..3 {
        assert_eq!(heads.get(row), without.keys(std::slice::from_ref(&key), &[], 3).unwrap().get(row));
        assert!(keys.get(row).starts_with(heads.get(row)));
        assert_eq!(keys.get(row).len(), heads.get(row).len() + 9);
    }
    assert_eq!(with.key_columns((0..3).map(|row| keys.get(row))).unwrap(), [key, sub_key]);
}

#[test]
fn without_columns_there_is_one_key_in_the_first_key_group() {
    let table = table(&[], &[], false, 0);
    let keys = table.keys(&[], &[], 1).unwrap();
    assert_eq!(keys.get(0), [0, 0]);
    let values = table.values(&[], &[], 2).unwrap();
    assert_eq!((values.len(), values.get(0), values.get(1)), (2, &[][..], &[][..]));
}

#[test]
fn values_with_a_time_to_live_begin_with_their_last_write() {
    let table = table(&[bigint()], &[TypeKind::string().nullable()], false, 1000);
    let column: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a"), None]));
    let values = table.values(std::slice::from_ref(&column), &[258, -1], 2).unwrap();
    assert_eq!(values.get(0)[..8], [0, 0, 0, 0, 0, 0, 1, 2]);
    assert_eq!(table.columns(&[values.get(0), values.get(1)]).unwrap(), (vec![column], vec![258, -1]));
    let error = table.columns(&[Bytes::from_static(b"short")]).unwrap_err();
    assert_eq!(error.to_string(), "a value without its time");
}

proptest! {
    /// Keys in their order are the same keys in the order of bytes; namespaces order them within a key group.
    #[test]
    fn keys_are_ordered(
        rows in prop::collection::vec((any::<i64>(), prop::option::of("[a-c]{0,3}")), 0..50),
    ) {
        let table = table(&[TypeKind::string().nullable()], &[], true, 0);
        let column: ArrayRef = Arc::new(rows.iter().map(|(_, text)| text.clone()).collect::<StringViewArray>());
        let namespaces: Vec<i64> = rows.iter().map(|(namespace, _)| *namespace).collect();
        let keys = table.keys(std::slice::from_ref(&column), &namespaces, rows.len()).unwrap();
        let ordered: Vec<&[u8]> = keys.order().into_iter().map(|at| keys.get(at)).collect();
        prop_assert!(ordered.is_sorted());
        prop_assert_eq!(ordered.len(), rows.len());
        let groups = table.key_groups(std::slice::from_ref(&column), rows.len()).unwrap();
        let mut expected: Vec<usize> = (0..rows.len()).collect();
        expected.sort_by_key(|at| (groups[*at], namespaces[*at], rows[*at].1.clone()));
        let expected: Vec<&[u8]> = expected.into_iter().map(|at| keys.get(at)).collect();
        prop_assert_eq!(&ordered, &expected);
        prop_assert_eq!(table.key_columns((0..rows.len()).map(|at| keys.get(at))).unwrap(), [column]);
    }

    #[test]
    fn bits_are_a_set(
        steps in prop::collection::vec((0..300u32, any::<bool>()), 0..200),
        other in prop::collection::vec(0..400u32, 0..200),
    ) {
        let (mut bits, mut set) = (Bits::default(), BTreeSet::new());
        for (number, add) in steps {
            if add {
                bits.insert(number);
                set.insert(number);
            } else {
                bits.remove(number);
                set.remove(&number);
            }
            prop_assert_eq!(bits.has(number), add);
        }
        prop_assert!(bits.iter().eq(set.iter().copied()));
        let (mut others, mut other_set) = (Bits::default(), BTreeSet::new());
        for number in other {
            others.insert(number);
            other_set.insert(number);
        }
        prop_assert!(bits.and(&others).iter().eq(set.intersection(&other_set).copied()));
        prop_assert!(bits.or(&others).iter().eq(set.union(&other_set).copied()));
        prop_assert!(bits.and_not(&others).iter().eq(set.difference(&other_set).copied()));
    }
}
