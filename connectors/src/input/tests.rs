use wiesel_common::filesystem::memory::MemoryBucket;

use super::*;
use crate::testing::context;

fn files() -> Files {
    let context = context(0, 1);
    Files::new(context.configuration, context.runtime)
}

fn write(files: &Files, uri: &str, bytes: Vec<u8>) {
    let location = files.location(uri).unwrap();
    files.wait(location.write(bytes.into())).unwrap();
}

fn bytes(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
}

#[test]
fn a_file_of_a_store_is_read_from_one_end_to_the_other_and_from_any_place() {
    MemoryBucket::mount("read-in-turn");
    let (files, whole) = (files(), bytes(3 * CHUNK + 17));
    write(&files, "s3://read-in-turn/f", whole.clone());
    for (start, expected) in [(0, u64::MAX), (0, 100), (CHUNK - 1, 2 * CHUNK), (3 * CHUNK + 17, u64::MAX)] {
        let (mut file, status) = files.open("s3://read-in-turn/f").unwrap();
        assert_eq!(status.size, whole.len() as u64);
        file.seek_to(start).unwrap();
        file.expect_to_read_to(expected);
        let mut read = Vec::new();
        file.read_to_end(&mut read).unwrap();
        assert!(read == whole[start as usize..], "{start} {expected}");
    }
    let (file, _) = files.open("s3://read-in-turn/f").unwrap();
    file.expect_to_read(0, 2 * BLOCK).unwrap();
    for (start, length) in [(5, 10), (BLOCK - 3, 9), (9 * BLOCK, 2 * BLOCK + 1), (0, whole.len() as u64)] {
        let range = start as usize..(start + length) as usize;
        let mut read = vec![0; length as usize];
        file.read_exact_from(start, &mut read).unwrap();
        assert!(read == whole[range.clone()], "{range:?}");
    }
    assert!(file.read_exact_from(whole.len() as u64, &mut [0]).is_err());
    let missing = files.open("s3://read-in-turn/g").err().unwrap();
    assert_eq!(missing.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_file_that_is_replaced_while_it_is_read_is_an_error() {
    MemoryBucket::mount("replaced-while-read");
    let files = files();
    write(&files, "s3://replaced-while-read/f", bytes(3 * CHUNK));
    let (mut file, _) = files.open("s3://replaced-while-read/f").unwrap();
    file.expect_to_read_to(1);
    assert_eq!(file.read(&mut [0; 16]).unwrap(), 1);
    write(&files, "s3://replaced-while-read/f", bytes(3 * CHUNK));
    let error = file.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    assert!(error.contains("s3://replaced-while-read/f") && error.contains("was replaced by another"), "{error}");
}

/// Failed before: the error said nothing but that no space was left.
#[test]
fn a_full_disk_is_named_by_its_folder() {
    MemoryBucket::mount("full-disk");
    let files = files();
    write(&files, "s3://full-disk/f", bytes(10));
    let (file, _) = files.open("s3://full-disk/f").unwrap();
    let InputFile::Stored(stored) = &file else { panic!("it is in a store") };
    let full = File::options().read(true).write(true).open("/dev/full").unwrap();
    *stored.fetched.blocks.lock() = Blocks { file: Some(full), is_there: vec![false] };
    let error = file.read_exact_from(0, &mut [0; 10]).unwrap_err().to_string();
    assert!(error.contains("'io.tmp.dirs'") && error.contains("No space left"), "{error}");
}

#[test]
fn blocks_are_fetched_once_and_not_too_many_at_once() {
    let mut blocks = Blocks { file: None, is_there: vec![false; 20] };
    blocks.is_there[3] = true;
    assert_eq!(blocks.missing(1, 6), [(1, 3), (4, 6)]);
    assert_eq!(blocks.missing(5, 99), [(5, 13), (13, 20)]);
    blocks.is_there.fill(true);
    assert_eq!(blocks.missing(0, 20), []);
}
