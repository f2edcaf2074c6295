use std::collections::HashSet;
use std::path::Path;

use wiesel_common::config::options::state::BackendType;
use wiesel_state::keyed::CheckpointFiles;

use super::*;
use crate::backend::tests::{World, all, descriptor, key, on_a_server};

const INCREMENTAL: (&str, &str) = ("execution.checkpointing.incremental", "true");
const NOTHING_INLINE: (&str, &str) = ("execution.checkpointing.data-inline-threshold", "0");

fn open(world: &World, restore: &[proto::KeyedStateHandle]) -> (Box<dyn KeyedBackend>, TableId) {
    let mut tables = world.open(BackendType::RocksDb, 0..=7, restore).unwrap();
    let table = tables.table(&descriptor("t", 0)).unwrap();
    (tables, table)
}

/// Writes so many entries of 100 bytes that do not compress, from a number on.
fn write(tables: &mut dyn KeyedBackend, table: TableId, from: u32, count: u32) {
    let mut random = u64::from(from) + 1;
    let mut value = || {
        let mut bytes = Vec::with_capacity(104);
        while bytes.len() < 100 {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            bytes.extend_from_slice(&(random >> 16).to_be_bytes()[2..]);
        }
        Bytes::from(bytes)
    };
    let mut entries: Vec<_> =
        (from..from + count).map(|i| (key((i % 8) as u16, &i.to_be_bytes()).into(), Some(value()))).collect();
    entries.sort();
    tables.write(table, WriteBatch { entries }).unwrap();
}

fn tables_in_shared(handle: &proto::KeyedStateHandle) -> HashSet<String> {
    let shared = handle.files.iter().filter(|named| named.shared);
    shared.map(|named| named.file.as_ref().unwrap().path.clone()).collect()
}

fn incremental_uploads(world: &World) {
    let (mut tables, table) = open(world, &[]);
    write(&mut *tables, table, 0, 30_000);
    let (first, all_bytes) = world.checkpoint(&mut *tables, 1);
    assert!(all_bytes > 3_000_000, "{all_bytes}");
    tables.checkpoint_completed(1);

    write(&mut *tables, table, 100, 300);
    let (second, bytes) = world.checkpoint(&mut *tables, 2);
    assert!(bytes < all_bytes / 20, "{bytes} of {all_bytes}");
    assert!(tables_in_shared(&first).is_subset(&tables_in_shared(&second)));

    // The second one fails: what it alone had is written again, what the first one has is not.
    tables.checkpoint_aborted(2);
    let (third, again) = world.checkpoint(&mut *tables, 3);
    assert!(again < all_bytes / 20 && again > 30_000, "{again} of {all_bytes}");
    let new = |handle| &tables_in_shared(handle) - &tables_in_shared(&first);
    assert!(new(&third).is_disjoint(&new(&second)) && !new(&third).is_empty());
    tables.checkpoint_completed(3);
    let (_, nothing) = world.checkpoint(&mut *tables, 4);
    assert!(nothing < 30_000, "{nothing}");

    // After a restart nothing that is there is written again.
    let expected = all(&*tables, table, &[]);
    drop(tables);
    let (mut restored, table) = open(world, std::slice::from_ref(&third));
    assert!(all(&*restored, table, &[]) == expected);
    let (fifth, bytes) = world.checkpoint(&mut *restored, 5);
    assert!(bytes < 30_000, "{bytes}");
    assert_eq!(tables_in_shared(&fifth), tables_in_shared(&third));

    // But all of it for a checkpoint that is to stand alone.
    let options = SnapshotOptions { checkpoint_id: 6, canonical: false, full: true, savepoint: false };
    let (full, bytes) = world.snapshot(&mut *restored, &options, proto::SnapshotKind::Checkpoint).unwrap();
    assert!(bytes > 3_000_000, "{bytes}");
    assert!(tables_in_shared(&full).is_disjoint(&tables_in_shared(&third)));
}

#[test]
fn a_checkpoint_uploads_what_is_new() {
    incremental_uploads(&World::new(&[INCREMENTAL, NOTHING_INLINE]));
}

#[test]
fn a_checkpoint_on_a_server_uploads_what_is_new() {
    let Some(pairs) = on_a_server("a_checkpoint_on_a_server_uploads_what_is_new") else { return };
    let pairs: Vec<_> = pairs.iter().map(|(key, value)| (*key, value.as_str())).chain([INCREMENTAL]).collect();
    let world = World::new(&pairs);
    world.runtime.block_on(world.storage.initialize(1)).unwrap();
    incremental_uploads(&world);
    world.runtime.block_on(world.storage.remove_job_folder()).unwrap();
}

/// Nothing else is written between the checkpoints: the deletion itself has to be in the later one.
#[test]
fn a_range_that_was_deleted_is_in_no_later_checkpoint() {
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 30_000);
    let (_, all_bytes) = world.checkpoint(&mut *tables, 1);
    tables.checkpoint_completed(1);
    let mut expected = all(&*tables, table, &[]);
    let (from, to) = (key(3, &[]), key(3, &[0xff]));
    tables.delete_range(table, KeyRange { from: &from, to: &to }).unwrap();
    expected.retain(|(key, _)| !key.starts_with(&[0, 3]));
    assert!(all(&*tables, table, &[]) == expected);
    assert!(tables.get(table, &[&key(3, &[0, 0, 0, 3])]).unwrap()[0].is_none());

    let (second, bytes) = world.checkpoint(&mut *tables, 2);
    assert!(bytes < all_bytes / 20, "{bytes} of {all_bytes}");
    tables.checkpoint_completed(2);
    let options = SnapshotOptions { checkpoint_id: 3, canonical: true, full: true, savepoint: true };
    let (canonical, _) = world.snapshot(&mut *tables, &options, proto::SnapshotKind::Savepoint).unwrap();
    for handle in [&second, &canonical] {
        for kind in [BackendType::RocksDb, BackendType::HashMap] {
            for groups in [0..=7, 2..=4] {
                let mut restored = world.open(kind, groups.clone(), std::slice::from_ref(handle)).unwrap();
                let table = restored.table(&descriptor("t", 0)).unwrap();
                let wanted = expected.iter().filter(|(key, _)| groups.contains(&u16::from(key[1])));
                assert!(all(&*restored, table, &[]).iter().eq(wanted), "{kind:?} {groups:?}");
            }
        }
    }
    let outside = tables.delete_range(table, KeyRange { from: &key(8, &[]), to: &key(8, &[1]) }).unwrap_err();
    assert!(outside.to_string().contains("key group 8"), "{outside}");
}

#[test]
fn without_increments_a_checkpoint_stands_alone() {
    let world = World::new(&[NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 5_000);
    for id in 1..4 {
        let (handle, bytes) = world.checkpoint(&mut *tables, id);
        tables.checkpoint_completed(id);
        assert!(bytes > 500_000 && tables_in_shared(&handle).is_empty(), "{bytes}");
    }
}

#[test]
fn no_checkpoint_refers_to_a_savepoint() {
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 5_000);
    let options = SnapshotOptions { checkpoint_id: 1, canonical: false, full: true, savepoint: true };
    let (savepoint, _) = world.snapshot(&mut *tables, &options, proto::SnapshotKind::Savepoint).unwrap();
    assert!(tables_in_shared(&savepoint).is_empty());
    tables.checkpoint_completed(1);
    let (checkpoint, bytes) = world.checkpoint(&mut *tables, 2);
    assert!(bytes > 500_000 && !tables_in_shared(&checkpoint).is_empty());
    tables.checkpoint_completed(2);
    // Nor does it write anew what it was started from, unless that is a savepoint.
    let (mut restored, _) = open(&world, &[savepoint]);
    let (_, bytes) = world.checkpoint(&mut *restored, 3);
    assert!(bytes > 500_000, "{bytes}");
}

#[test]
fn an_instance_cut_in_two_shares_its_files() {
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 5_000);
    let (whole, _) = world.checkpoint(&mut *tables, 1);
    tables.checkpoint_completed(1);
    let mut parts = Vec::new();
    for key_groups in [0..=3, 4..=7] {
        let mut part = world.open(BackendType::RocksDb, key_groups, std::slice::from_ref(&whole)).unwrap();
        let table = part.table(&descriptor("t", 0)).unwrap();
        assert_eq!(all(&*part, table, &[]).len(), 2_500);
        let (handle, bytes) = world.checkpoint(&mut *part, 2);
        assert!(bytes < 100_000, "{bytes}");
        parts.push(handle);
    }
    // And back again: what was cut off in one part does not come back from its files.
    let (merged, table) = open(&world, &parts);
    assert!(all(&*merged, table, &[]) == all(&*tables, table, &[]));
}

/// Before, a file whose last key was the first wanted key group and nothing behind it was deleted with that key.
#[test]
fn what_is_cut_off_ends_before_a_key_that_is_a_key_group_alone() {
    let world = World::new(&[]);
    let setup = Setup {
        task: "t".into(),
        settings: Settings::new(&Configuration::default()).unwrap(),
        resources: world.resources.clone(),
    };
    for (number, wanted) in [4u16..=4, 2..=4, 0..=2, 3..=3, 0..=4].into_iter().enumerate() {
        let folder = Arc::new(TemporaryFolder(world.folder.path().join(format!("cut-{number}"))));
        std::fs::create_dir_all(&folder.0).unwrap();
        let mut tables = Tables::default();
        tables.add(&descriptor("t", 0), "t").unwrap();
        let mut database = Database::open(&setup, folder, &[]).unwrap();
        database.create(&descriptor("t", 0)).unwrap();
        let (db, family) = database.family("t").unwrap();
        for group in 0..=4u16 {
            db.put_cf_opt(family, group.to_be_bytes(), b"kept", &without_log()).unwrap();
        }
        // Only files that were compacted are deleted as a whole.
        db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        restore::cut(&database, &tables, &wanted).unwrap();
        let left: Vec<u16> =
            (0..=4).filter(|group: &u16| db.get_cf(family, group.to_be_bytes()).unwrap().is_some()).collect();
        assert_eq!(left, wanted.collect::<Vec<_>>());
    }
}

#[test]
fn what_is_kept_back_belongs_to_one_checkpoint() {
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 1_000);
    let options =
        |checkpoint_id, canonical| SnapshotOptions { checkpoint_id, canonical, full: canonical, savepoint: canonical };
    let kept_back = |text: &'static str| {
        let content: Box<dyn FnOnce() -> Result<Bytes> + Send + Sync> =
            Box::new(|| Ok(Bytes::from_static(text.as_bytes())));
        KeptBack { table, content }
    };
    let checkpoint = proto::SnapshotKind::Checkpoint;
    let both = vec![kept_back("some"), kept_back("more")];
    let (handle, with) = world.snapshot_with(&mut *tables, &options(1, false), checkpoint, both).unwrap();
    tables.checkpoint_completed(1);
    let (without, _) = world.checkpoint(&mut *tables, 2);
    assert!(with > 8);
    for kind in [BackendType::RocksDb, BackendType::HashMap] {
        let restored = |handles: &[proto::KeyedStateHandle], key_groups| {
            let mut tables = world.open(kind, key_groups, handles).unwrap();
            let table = tables.table(&descriptor("t", 0)).unwrap();
            let kept = tables.kept_back(table).unwrap();
            assert!(tables.kept_back(table).unwrap().is_empty(), "once");
            kept.iter().map(|content| String::from_utf8(content.to_vec()).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(restored(std::slice::from_ref(&handle), 0..=7), ["some", "more"]);
        assert_eq!(restored(std::slice::from_ref(&handle), 5..=6), ["some", "more"]);
        assert!(restored(std::slice::from_ref(&without), 0..=7).is_empty());
    }
    let savepoint = options(3, true);
    assert!(!tables.takes_kept_back(&savepoint));
    assert!(tables.snapshot(&savepoint, vec![kept_back("lost")]).is_err(), "sorted entries are all there is");
    let mut broken = handle;
    broken.files.iter_mut().find(|named| named.kept_back).unwrap().name = "other".to_owned();
    let error = world.open(BackendType::RocksDb, 0..=7, &[broken]).err().unwrap().to_string();
    assert!(error.contains("'other', which it does not describe"), "{error}");
}

#[test]
fn memory_reads_the_files_of_an_instance() {
    let world = World::new(&[INCREMENTAL]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 1_000);
    let (handle, _) = world.checkpoint(&mut *tables, 1);
    assert_eq!(handle.format(), proto::KeyedStateFormat::Rocksdb);
    let mut in_memory = world.open(BackendType::HashMap, 2..=5, &[handle]).unwrap();
    let other = in_memory.table(&descriptor("t", 0)).unwrap();
    let expected: Vec<_> = all(&*tables, table, &[]).into_iter().filter(|(key, _)| (2..=5).contains(&key[1])).collect();
    assert!(all(&*in_memory, other, &[]) == expected);
}

#[test]
fn folders_go_with_their_instance() {
    let world = World::new(&[]);
    let folders = |world: &World| {
        let mut own = std::fs::read_dir(world.folder.path().join("tmp")).unwrap().map(|entry| entry.unwrap().path());
        let own = own.find(|path| path.is_dir()).unwrap();
        std::fs::read_dir(own).unwrap().count()
    };
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 1_000);
    assert_eq!(folders(&world), 1);
    let snapshot = tables
        .snapshot(&SnapshotOptions { checkpoint_id: 1, canonical: false, full: false, savepoint: false }, Vec::new())
        .unwrap();
    drop(tables);
    assert_eq!(folders(&world), 1, "the snapshot is still to be uploaded");
    drop(snapshot);
    assert_eq!(folders(&world), 0);
}

#[test]
fn compaction_drops_what_has_expired() {
    let world = World::new(&[]);
    let clock = world.clock.clone();
    let setup = Setup {
        task: "t".into(),
        settings: Settings::new(&Configuration::default()).unwrap(),
        resources: world.resources.clone(),
    };
    let folder = Arc::new(TemporaryFolder(world.folder.path().join("instance")));
    std::fs::create_dir_all(&folder.0).unwrap();
    let mut database = Database::open(&setup, folder, &[]).unwrap();
    let mut table = descriptor("t", 1_000);
    database.create(&table).unwrap();
    let count = |database: &Database| {
        let (db, family) = database.family("t").unwrap();
        db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
        let mut entries = db.raw_iterator_cf(family);
        entries.seek_to_first();
        let mut count = 0;
        while entries.valid() {
            count += 1;
            entries.next();
        }
        count
    };
    let put = |database: &Database, k: &[u8], written: i64| {
        let (db, family) = database.family("t").unwrap();
        db.put_cf_opt(family, k, written.to_be_bytes(), &without_log()).unwrap();
    };
    put(&database, b"\0\0a", 0);
    put(&database, b"\0\0b", 5_000);
    clock.set(5_500);
    assert_eq!(count(&database), 2, "no operator has said how long entries live");
    table.ttl = 1_000;
    database.set_ttl(&table);
    // A file at the bottom is only sorted again if there is something above it.
    put(&database, b"\0\0c", 5_000);
    put(&database, b"\0\0a", 0);
    assert_eq!(count(&database), 2);
}

#[test]
fn a_restart_takes_the_files_that_are_kept_here() {
    let kept = ("execution.checkpointing.local-backup.enabled", "true");
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE, kept]);
    let backend = world.backend(BackendType::RocksDb);
    let mut tables = world.open_on(&*backend, 0..=7, &[]).unwrap();
    let table = tables.table(&descriptor("t", 0)).unwrap();
    write(&mut *tables, table, 0, 5_000);
    let (first, _) = world.checkpoint(&mut *tables, 1);
    tables.checkpoint_completed(1);
    write(&mut *tables, table, 5_000, 100);
    let (second, _) = world.checkpoint(&mut *tables, 2);
    tables.checkpoint_completed(2);
    let expected = all(&*tables, table, &[]);
    drop(tables);
    // Nothing of the checkpoint can be fetched any more.
    for named in second.files.iter().chain(&first.files) {
        let path = named.file.as_ref().unwrap().path.strip_prefix("file:").unwrap().to_owned();
        std::fs::remove_file(path).unwrap_or_default();
    }
    let mut restored = world.open_on(&*backend, 0..=7, std::slice::from_ref(&second)).unwrap();
    let table = restored.table(&descriptor("t", 0)).unwrap();
    assert!(all(&*restored, table, &[]) == expected);
    // And from what is kept another time: the first restart has changed none of it.
    write(&mut *restored, table, 0, 3_000);
    drop(restored);
    let mut restored = world.open_on(&*backend, 0..=7, &[second]).unwrap();
    let table = restored.table(&descriptor("t", 0)).unwrap();
    assert!(all(&*restored, table, &[]) == expected);
    drop(restored);
    assert!(world.open_on(&*backend, 0..=7, &[first]).is_err(), "of older checkpoints nothing is kept");
}

/// A store that takes nothing.
struct Full;

impl CheckpointFiles for Full {
    fn put(&self, _bytes: Bytes, _shared: bool) -> futures::future::BoxFuture<'_, Result<proto::StateFile>> {
        Box::pin(async { Err(wiesel_state::Error::TooLarge("full".into())) })
    }

    fn put_file<'a>(
        &'a self,
        _path: &'a Path,
        shared: bool,
    ) -> futures::future::BoxFuture<'a, Result<proto::StateFile>> {
        self.put(Bytes::new(), shared)
    }
}

#[test]
fn a_failed_upload_harms_nothing() {
    let world = World::new(&[INCREMENTAL, NOTHING_INLINE]);
    let (mut tables, table) = open(&world, &[]);
    write(&mut *tables, table, 0, 1_000);
    let (first, _) = world.checkpoint(&mut *tables, 1);
    tables.checkpoint_completed(1);
    write(&mut *tables, table, 1_000, 1_000);
    for (id, canonical) in [(2, false), (3, true)] {
        let snapshot = tables
            .snapshot(&SnapshotOptions { checkpoint_id: id, canonical, full: false, savepoint: false }, Vec::new())
            .unwrap();
        assert_eq!(world.runtime.block_on(snapshot.upload(&Full)).map(|_| ()).unwrap_err().to_string(), "full");
        tables.checkpoint_aborted(id);
    }
    let (third, _) = world.checkpoint(&mut *tables, 4);
    let (restored, id) = open(&world, &[third]);
    assert!(all(&*restored, id, &[]) == all(&*tables, table, &[]));
    let (restored, id) = open(&world, &[first]);
    assert_eq!(all(&*restored, id, &[]).len(), 1_000);
}
