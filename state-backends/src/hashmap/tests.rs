use super::*;

#[test]
fn a_snapshot_copies_nothing_and_a_write_one_key_group() {
    let mut tables = HashMapTables {
        task: "t".into(),
        key_groups: Some(0..=3),
        tables: Tables::default(),
        groups: Vec::new(),
        clock: Arc::new(wiesel_common::time::SystemClock),
        written: false,
        kept_back: Vec::new(),
        cleaned: 0,
    };
    let table = tables.table(&proto::StateTableDescriptor { name: "x".into(), ..Default::default() }).unwrap();
    let entry = |group: u16| (Bytes::copy_from_slice(&group.to_be_bytes()), Some(Bytes::from_static(b"v")));
    tables.write(table, WriteBatch { entries: (0..4).map(entry).collect() }).unwrap();
    let before: Vec<Group> = tables.groups[0].clone();
    tables.write(table, WriteBatch { entries: vec![entry(2)] }).unwrap();
    let same: Vec<bool> = before.iter().zip(&tables.groups[0]).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    assert_eq!(same, [true, true, false, true]);
    let outside = tables.write(table, WriteBatch { entries: vec![entry(4)] }).unwrap_err().to_string();
    assert!(outside.contains("key group 4"), "{outside}");
}
