//! How much of files is read, and what that takes.
use std::fs::File;
use std::os::unix::fs::FileExt;

use prost::Message;

use super::super::metadata::check_written;
use super::*;

/// More than any machine has memory for.
const HUGE: u64 = 1 << 40;

/// A header of a body of this length and checksum.
fn header(length: u64, checksum: u32) -> Vec<u8> {
    let mut bytes = b"WIESELCP".to_vec();
    bytes.extend_from_slice(&metadata::VERSION.to_be_bytes());
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(&checksum.to_be_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_be_bytes());
    bytes
}

/// A file with right checksums.
fn sealed(body: &[u8]) -> Bytes {
    [header(body.len() as u64, crc32c::crc32c(body)), body.to_vec()].concat().into()
}

/// Before, 3 GB were read of a file of zeros before its first byte was looked at.
#[tokio::test]
async fn of_metadata_that_does_not_fit_its_header_no_more_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("_metadata");
    let file = File::create(&path).unwrap();
    file.set_len(HUGE).unwrap();
    let length = HUGE - 28;
    let flink = [0x49, 0x60, 0x67, 0x2d].repeat(7);
    for (start, words) in [
        (vec![0; 28], "is not the metadata of a checkpoint or savepoint".to_owned()),
        (flink, "of Apache Flink".to_owned()),
        (header(100, 0), format!("it has {length} bytes of metadata instead of 100")),
        (header(length, 0), format!("has {length} bytes of metadata, and at most 536870912 are read")),
    ] {
        file.write_all_at(&start, 0).unwrap();
        for pointer in [path.as_path(), folder.path()] {
            let said = read_metadata(&pointer.display().to_string(), &config(&[])).await.unwrap_err();
            assert!(matches!(said, Error::Corrupt(_)), "{said:?}");
            let said = said.to_string();
            assert!(said.starts_with(&format!("file:{}", path.display())) && said.contains(&words), "{said}");
        }
    }
}

/// Before, a state file was read whole, or copied to the local disk, and then its length was looked at.
#[tokio::test]
async fn a_longer_state_file_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let storage = in_folder(folder.path());
    let file = put(&storage.files(&checkpoint(3)).unwrap(), b"more than ten").await;
    let path = file.path.strip_prefix("file:").unwrap();
    File::options().write(true).open(path).unwrap().set_len(HUGE).unwrap();
    let copy = folder.path().join("local");
    let words = format!("{} is damaged: it has {HUGE} bytes instead of 13", file.path);
    for said in [storage.read(&file).await.unwrap_err(), storage.download(&file, &copy).await.unwrap_err()] {
        assert!(matches!(said, Error::Corrupt(_)), "{said:?}");
        assert_eq!(said.to_string(), words);
    }
    assert!(!copy.exists());
}

/// Before, 24 MB of vertices without anything took 1890 MB.
#[test]
fn metadata_of_too_many_entries_is_not_decoded() {
    let whole = metadata(1, Vec::new()).encode_to_vec();
    let with = |vertices: usize| sealed(&[whole.clone(), [0x42, 0].repeat(vertices)].concat());
    let said = decode(&with(12_000_000), "M", "").unwrap_err();
    assert!(matches!(&said, Error::Corrupt(text) if text.contains("more than 536870912 bytes of memory")), "{said}");
    assert!(decode(&with(1000), "M", "").is_ok());
    // Names of files become paths: before, each of these took as much as its folder's.
    let named = |count| {
        let file = proto::StateFile { path: "x".into(), ..Default::default() };
        encode(&metadata(1, vec![(file, false); count]), "")
    };
    let folder = format!("file:/{}", "d".repeat(100_000));
    let said = decode(&named(6_000), "M", &folder).unwrap_err();
    assert!(said.to_string().contains("a shorter path"), "{said}");
    assert!(decode(&named(6_000), "M", "file:/d").is_ok());
    // Nor is such a file written: nobody could start from it.
    let said = check_written(&with(12_000_000)).unwrap_err();
    assert!(matches!(&said, Error::TooLarge(text) if text.contains("data-inline-threshold")), "{said}");
    assert!(check_written(&with(1000)).is_ok());
}
