//! What a folder of checkpoints holds.
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The files below a folder of checkpoints that no complete checkpoint there refers to, and unfinished uploads. The folder is
/// that of all jobs, on this machine: `execution.checkpointing.dir`, or where an S3 server on this machine has it.
pub fn unreferenced(folder: &Path) -> BTreeSet<PathBuf> {
    let files = files(folder);
    // A name of state is nowhere in metadata but where it is referred to.
    let complete = files.iter().filter(|file| file.ends_with("_metadata"));
    let metadata: Vec<Vec<u8>> = complete.map(|file| fs::read(file).expect("metadata can be read")).collect();
    let named = |file: &Path| {
        let name = file.file_name().expect("a file has a name").as_encoded_bytes();
        metadata.iter().any(|bytes| bytes.windows(name.len()).any(|window| window == name))
    };
    let counts = |file: &&PathBuf| !file.ends_with("_metadata") && !file.ends_with("shared/.keep");
    files.iter().filter(counts).filter(|file| !named(file)).cloned().collect()
}

/// Bytes in files, for figures.
pub fn size(files: &BTreeSet<PathBuf>) -> u64 {
    files.iter().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}

/// All files below a folder. What goes while they are looked for is not there.
pub fn files(folder: &Path) -> BTreeSet<PathBuf> {
    let (mut found, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(_) => _ = found.insert(entry.path()),
                Err(_) => {}
            }
        }
    }
    found
}
