//! Files of this machine. What is written appears under its name when it is complete and on disk.
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;

use bytes::Bytes;

use super::{Error, Result, Written};

const COPY_BUFFER: usize = 1 << 20;

/// Runs a step on a thread that may block.
pub(super) async fn run<T: Send + 'static>(
    action: &'static str,
    uri: &str,
    path: &Path,
    step: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let path = path.to_owned();
    let outcome = tokio::task::spawn_blocking(move || step(&path)).await;
    // A step that panicked, or a runtime that ends.
    let outcome = outcome.unwrap_or_else(|error| Err(io::Error::other(error)));
    outcome.map_err(|error| Error::io(action, uri, &error))
}

pub(super) fn read_range(path: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(range.start))?;
    let wanted = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    file.take(wanted).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < wanted {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file is shorter than it should be"));
    }
    Ok(bytes.into())
}

pub(super) fn file_size(path: &Path) -> io::Result<u64> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() { Err(io::Error::from(io::ErrorKind::NotFound)) } else { Ok(metadata.len()) }
}

pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    replace(path, |file| file.write_all(bytes))
}

/// Copies a file and says what it held. The copy appears when it is complete and on disk.
pub(super) fn copy(from: &Path, to: &Path) -> io::Result<Written> {
    let mut written = Written { size: 0, crc32c: 0 };
    replace(to, |file| {
        written = copy_bytes(from, file)?;
        Ok(())
    })?;
    Ok(written)
}

/// Copies a file that need not outlive this process and says what it held.
pub(super) fn fetch(from: &Path, to: &Path) -> io::Result<Written> {
    copy_bytes(from, &mut File::create(to)?)
}

fn copy_bytes(from: &Path, to: &mut File) -> io::Result<Written> {
    let mut source = File::open(from)?;
    let mut written = Written { size: 0, crc32c: 0 };
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => return Ok(written),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        to.write_all(&buffer[..count])?;
        written.size += count as u64;
        written.crc32c = crc32c::crc32c_append(written.crc32c, &buffer[..count]);
    }
}

/// Writes beside the file, then renames: another process sees the file as it was or as it becomes.
fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a root cannot be written"))?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{name}.{}.tmp", uuid::Uuid::new_v4().simple()));
    let outcome = fill_new(&temporary, fill).and_then(|()| fs::rename(&temporary, path));
    if outcome.is_err() {
        // What is left is of no use; the first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    outcome.and_then(|()| File::open(folder)?.sync_all())
}

fn fill_new(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    fill(&mut file)?;
    file.sync_data()
}

/// Files below a folder, with sizes.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    let mut folders = vec![(folder.to_owned(), String::new())];
    while let Some((folder, prefix)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push((entry.path(), format!("{name}/"))),
                Ok(metadata) => files.push((name, metadata.len())),
                // Gone since it was listed.
                Err(error) if is_absent(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(files)
}

pub(super) fn delete(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

pub(super) fn delete_folder(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir_all(path))
}

fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
