use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use bytes::Bytes;
use proptest::prelude::*;
use wiesel_common::config::Configuration;
use wiesel_common::id::JobId;
use wiesel_proto as proto;
use wiesel_state::Result;
use wiesel_state::storage::CheckpointStorage;

use super::*;

type Entries = BTreeMap<Vec<u8>, Vec<u8>>;

fn entry(group: u16, key: &[u8]) -> Vec<u8> {
    [&group.to_be_bytes(), key].concat()
}

fn written(entries: &Entries) -> Bytes {
    let mut writer = Writer::new();
    entries.iter().for_each(|(key, value)| writer.push(key, value));
    writer.finish()
}

fn inline(bytes: Bytes) -> proto::StateFile {
    proto::StateFile { path: String::new(), size: bytes.len() as u64, crc32c: crc32c::crc32c(&bytes), inline: bytes }
}

fn in_folder(folder: &tempfile::TempDir, bytes: &[u8]) -> proto::StateFile {
    let path = folder.path().join("file");
    std::fs::write(&path, bytes).unwrap();
    let (size, crc32c) = (bytes.len() as u64, crc32c::crc32c(bytes));
    proto::StateFile { path: format!("file:{}", path.display()), size, crc32c, inline: Bytes::new() }
}

fn read_back(file: &proto::StateFile, wanted: RangeInclusive<u16>) -> Result<Entries> {
    let storage = CheckpointStorage::new(&Configuration::default(), JobId([0; 16])).unwrap();
    let mut entries = Entries::new();
    let mut visit = |key: &[u8], value: &[u8]| {
        entries.insert(key.to_vec(), value.to_vec());
        Ok(())
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(read(&storage, file, &wanted, &mut visit))?;
    Ok(entries)
}

fn within(entries: &Entries, wanted: &RangeInclusive<u16>) -> Entries {
    let inside = |key: &[u8]| wanted.contains(&u16::from_be_bytes([key[0], key[1]]));
    entries.iter().filter(|(key, _)| inside(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
}

proptest! {
    #[test]
    fn what_was_written_is_read(
        entries in prop::collection::btree_map(
            (0u16..6, prop::collection::vec(any::<u8>(), 0..6)).prop_map(|(group, key)| entry(group, &key)),
            prop::collection::vec(any::<u8>(), 0..300),
            0..60,
        ),
        first in 0u16..7,
        more in 0u16..7,
    ) {
        let wanted = first..=first + more;
        let file = inline(written(&entries));
        prop_assert_eq!(read_back(&file, wanted.clone()).unwrap(), within(&entries, &wanted));
    }
}

/// Several blocks a key group, and more than is read at once.
fn large() -> Entries {
    let value = |i: u32| (0..200).map(|j| (i.wrapping_mul(2654435761) >> (j % 24)) as u8).collect();
    (0..8000).map(|i: u32| (entry((i / 2000) as u16, &i.to_be_bytes()), value(i))).collect()
}

#[test]
fn a_large_file_is_read_in_part() {
    let folder = tempfile::tempdir().unwrap();
    let entries = large();
    let bytes = written(&entries);
    assert!(bytes.len() > 1 << 20);
    let mut file = in_folder(&folder, &bytes);
    for wanted in [0..=3, 1..=2, 3..=3, 0..=0, 4..=9] {
        assert_eq!(read_back(&file, wanted.clone()).unwrap(), within(&entries, &wanted), "{wanted:?}");
    }
    // The checksum of the whole is verified when the whole is read, those of the blocks always.
    file.crc32c ^= 1;
    assert!(read_back(&file, 0..=3).is_err());
    assert!(read_back(&file, 1..=1).is_ok());
    let mut damaged = bytes.to_vec();
    damaged[bytes.len() / 4 + bytes.len() / 8] ^= 0x10;
    let file = in_folder(&folder, &damaged);
    let error = read_back(&file, 1..=1).unwrap_err().to_string();
    assert!(error.contains(&file.path) && error.contains("checksum of a block"), "{error}");
    assert!(read_back(&file, 3..=3).is_ok());
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    let entries: Entries = (0..40u16).map(|i| (entry(i / 10, &i.to_be_bytes()), vec![i as u8; 5])).collect();
    let bytes = written(&entries);
    for at in 0..bytes.len() {
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << (at % 8);
        // As if the checksum of the whole had been wrong from the start.
        assert!(read_back(&inline(damaged.into()), 0..=9).is_err(), "byte {at}");
        assert!(read_back(&inline(bytes.slice(..at)), 0..=9).is_err(), "cut at {at}");
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert!(read_back(&inline(longer.into()), 0..=9).is_err());
}
