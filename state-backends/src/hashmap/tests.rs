use wiesel_common::time::ManualClock;

use super::*;

/// Tables of four key groups.
fn tables(clock: &Arc<ManualClock>) -> HashMapTables {
    HashMapTables {
        task: "t".into(),
        key_groups: Some(0..=3),
        tables: Tables::default(),
        groups: Vec::new(),
        clock: clock.clone(),
        written: false,
        kept_back: Vec::new(),
        cleaning: Vec::new(),
    }
}

fn descriptor(name: &str, ttl: u64) -> proto::StateTableDescriptor {
    proto::StateTableDescriptor { name: name.into(), ttl, ..Default::default() }
}

/// Ten entries in each key group, written at this time.
fn in_each_group(written: i64) -> WriteBatch {
    let entry = |at: u16| {
        let key = [&(at / 10).to_be_bytes()[..], &at.to_be_bytes()].concat();
        (key.into(), Some(Bytes::copy_from_slice(&written.to_be_bytes())))
    };
    WriteBatch { entries: (0..40).map(entry).collect() }
}

/// One entry of the last key group, apart from those of [`in_each_group`].
fn one(written: i64) -> WriteBatch {
    WriteBatch { entries: vec![(vec![0, 3, 0xff].into(), Some(Bytes::copy_from_slice(&written.to_be_bytes())))] }
}

/// How many entries are in memory of each table, expired or not.
fn in_memory(tables: &HashMapTables) -> Vec<usize> {
    tables.groups.iter().map(|groups| groups.iter().map(|group| group.len()).sum()).collect()
}

#[test]
fn a_snapshot_copies_nothing_and_a_write_one_key_group() {
    let mut tables = tables(&Arc::default());
    let table = tables.table(&descriptor("x", 0)).unwrap();
    let entry = |group: u16| (Bytes::copy_from_slice(&group.to_be_bytes()), Some(Bytes::from_static(b"v")));
    tables.write(table, WriteBatch { entries: (0..4).map(entry).collect() }).unwrap();
    let before: Vec<Group> = tables.groups[0].clone();
    tables.write(table, WriteBatch { entries: vec![entry(2)] }).unwrap();
    let same: Vec<bool> = before.iter().zip(&tables.groups[0]).map(|(one, other)| Arc::ptr_eq(one, other)).collect();
    assert_eq!(same, [true, true, false, true]);
    let outside = tables.write(table, WriteBatch { entries: vec![entry(4)] }).unwrap_err().to_string();
    assert!(outside.contains("key group 4"), "{outside}");
}

/// Failed before: where several tables were written in turn, each was looked through in some of its key groups alone.
#[test]
fn what_has_expired_goes_from_each_of_several_tables() {
    let clock = Arc::new(ManualClock::default());
    let mut tables = tables(&clock);
    let ids = ["groups", "distinct/0"].map(|name| tables.table(&descriptor(name, 1_000)).unwrap());
    ids.iter().for_each(|table| tables.write(*table, in_each_group(0)).unwrap());
    clock.set(999);
    ids.iter().for_each(|table| tables.write(*table, one(999)).unwrap());
    assert_eq!(in_memory(&tables), [41, 41]);
    // At once there goes what may be looked at in one go.
    for (round, left) in [(0, [31, 31]), (1, [11, 11]), (2, [1, 1]), (3, [1, 1])] {
        clock.set(1_250 + round * 250);
        ids.iter().for_each(|table| tables.write(*table, one(1_250 + round * 250)).unwrap());
        let found = in_memory(&tables);
        assert!(found.iter().zip(left).all(|(found, left)| *found <= left), "{found:?} in round {round}");
    }
}

/// Failed before: a table that nothing was written to kept what had expired.
#[test]
fn what_has_expired_goes_from_a_table_that_is_not_written() {
    let options = |checkpoint_id| SnapshotOptions { checkpoint_id, canonical: false, full: false, savepoint: false };
    for writes in [true, false] {
        let clock = Arc::new(ManualClock::default());
        let mut tables = tables(&clock);
        let [written, silent] = [("a", 0), ("b", 1_000)].map(|(n, ttl)| tables.table(&descriptor(n, ttl)).unwrap());
        tables.write(silent, in_each_group(0)).unwrap();
        for round in 0..8 {
            clock.set(1_000 + round * 250);
            match writes {
                true => tables.write(written, one(0)).unwrap(),
                false => drop(tables.snapshot(&options(round as u64), Vec::new()).unwrap()),
            }
        }
        assert_eq!(in_memory(&tables), [usize::from(writes), 0], "{writes}");
    }
}

/// Failed before: each write looked through one key group, however many there were and however seldom one came.
#[test]
fn all_key_groups_are_looked_through_in_time() {
    let clock = Arc::new(ManualClock::default());
    let mut tables = HashMapTables { key_groups: Some(0..=32_767), ..tables(&clock) };
    let table = tables.table(&descriptor("x", 1_000)).unwrap();
    let entry = |group: u16| (Bytes::copy_from_slice(&group.to_be_bytes()), Some(Bytes::from_static(&[0; 8])));
    tables.write(table, WriteBatch { entries: vec![entry(1), entry(20_000), entry(32_767)] }).unwrap();
    clock.set(1_100);
    tables.write(table, one(1_100)).unwrap();
    assert_eq!(in_memory(&tables), [1]);
}

#[test]
fn a_clock_that_was_put_back_stops_no_cleaning() {
    let clock = Arc::new(ManualClock::default());
    clock.set(1_000_000);
    let mut tables = tables(&clock);
    let table = tables.table(&descriptor("x", 1_000)).unwrap();
    clock.set(0);
    tables.write(table, in_each_group(0)).unwrap();
    for round in 0..8 {
        clock.set(1_000 + round * 250);
        tables.write(table, one(1_000 + round * 250)).unwrap();
    }
    assert_eq!(in_memory(&tables), [1]);
}

/// Restored entries are as old as their new time to live says, which is known when the operator opens their table.
#[test]
fn a_restored_table_waits_for_its_time_to_live() {
    let clock = Arc::new(ManualClock::default());
    let mut tables = tables(&clock);
    tables.add(&descriptor("late", 1_000)).unwrap();
    tables.restore_entry("late", &[0, 0, 1], &0i64.to_be_bytes()).unwrap();
    let early = tables.table(&descriptor("early", 1_000)).unwrap();
    clock.set(5_000);
    tables.write(early, one(5_000)).unwrap();
    let late = tables.table(&descriptor("late", 10_000)).unwrap();
    assert!(tables.get(late, &[&[0, 0, 1][..]]).unwrap()[0].is_some());
}
