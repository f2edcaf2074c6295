//! Files of this machine. What is written appears under its name when it is complete and on disk.
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;

use super::bounded::{Bound, Refusal};
use super::regular::{check_place, check_regular, open_regular};
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

/// Runs a step that writes a file. If its caller does not wait for it any more, no file appears: a caller that gives up an upload
/// may delete what it has left, and nothing comes after.
pub(super) async fn run_write<T: Send + 'static>(
    uri: &str,
    path: &Path,
    step: impl FnOnce(&Path, &Caller) -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let waits = Waits(Caller::default());
    let caller = waits.0.clone();
    run("write", uri, path, move |path| step(path, &caller)).await
}

/// The caller that waits for a step.
#[derive(Clone, Default)]
pub(super) struct Caller(Arc<AtomicBool>);

impl Caller {
    fn check(&self) -> io::Result<()> {
        match self.0.load(Ordering::SeqCst) {
            true => Err(io::Error::other("its caller does not wait for the file any more")),
            false => Ok(()),
        }
    }
}

struct Waits(Caller);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn read_range(path: &Path, range: Range<u64>) -> io::Result<Bytes> {
    let mut file = open_regular(path)?;
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
    if metadata.is_dir() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    check_regular(&metadata)?;
    check_place(path)?;
    Ok(metadata.len())
}

pub(super) fn write(path: &Path, bytes: &[u8], caller: &Caller) -> io::Result<()> {
    publish(path, caller, |file| file.write_all(bytes), |temporary| fs::rename(temporary, path))
}

/// Writes a file that must not be there.
pub(super) fn write_new(path: &Path, bytes: &[u8], caller: &Caller) -> io::Result<()> {
    publish(path, caller, |file| file.write_all(bytes), |temporary| rename_new(temporary, path))
}

/// Copies a file and says what it held. The copy appears when it is complete and on disk.
pub(super) fn copy(from: &Path, to: &Path, caller: &Caller) -> io::Result<Written> {
    let mut written = Written { size: 0, crc32c: 0 };
    let fill = |file: &mut File| {
        written = copy_bytes(from, file, || caller.check())?;
        Ok(())
    };
    publish(to, caller, fill, |temporary| fs::rename(temporary, to))?;
    Ok(written)
}

/// Copies a file that need not outlive this process and says what it held, or why it is refused.
pub(super) fn fetch(from: &Path, to: &Path, bound: Bound) -> io::Result<std::result::Result<Written, Refusal>> {
    if let Err(refusal) = bound.check_length(file_size(from)?) {
        return Ok(Err(refusal));
    }
    copy_bytes(from, &mut File::create(to)?, || Ok(())).map(Ok)
}

fn copy_bytes(from: &Path, to: &mut File, go_on: impl Fn() -> io::Result<()>) -> io::Result<Written> {
    let mut source = open_regular(from)?;
    let mut written = Written { size: 0, crc32c: 0 };
    let mut buffer = vec![0; COPY_BUFFER];
    loop {
        go_on()?;
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

/// Writes beside the file, then gives it its name: another process sees the file as it was or as it becomes.
fn publish(
    path: &Path,
    caller: &Caller,
    fill: impl FnOnce(&mut File) -> io::Result<()>,
    name: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let folder = path.parent().ok_or_else(|| io::Error::other("a root cannot be written"))?;
    let file_name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    fs::create_dir_all(folder)?;
    let temporary = folder.join(format!(".{file_name}.{}.tmp", crate::random::uuid().simple()));
    let outcome = fill_new(&temporary, fill).and_then(|()| caller.check()).and_then(|()| name(&temporary));
    if outcome.is_err() {
        // What is left is of no use; the first failure is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    outcome.and_then(|()| File::open(folder)?.sync_all())?;
    // A caller that stopped waiting before the file had its name may have looked for it already, to delete it, and not
    // found it: then the file goes here. A caller that stops waiting after this check finds it.
    caller.check().inspect_err(|_| _ = fs::remove_file(path))
}

/// Renames a file to a name that no file has.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        // It has both names now; one that stays is swept.
        Ok(()) => {
            let _ = fs::remove_file(from);
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // A file system without hard links: the best that it can do.
        Err(_) if fs::symlink_metadata(to).is_ok() => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(_) => fs::rename(from, to),
    }
}

pub(super) fn fill_new(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let mut file = File::create_new(path)?;
    fill(&mut file)?;
    file.sync_data()
}

pub(super) fn delete(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_file(path))
}

/// Makes a folder, writes a file into it, and removes what was not there before: all of it where that fails, else the
/// folder but not those above it, which another process may have found by now.
pub(super) fn try_folder(folder: &Path) -> io::Result<()> {
    let is_missing =
        |path: &&Path| fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let missing: Vec<&Path> = folder.ancestors().take_while(is_missing).collect();
    let probe = folder.join(format!(".{}.tmp", crate::random::uuid().simple()));
    let outcome =
        fs::create_dir_all(folder).and_then(|()| File::create_new(&probe)).and_then(|_| fs::remove_file(&probe));
    let removed = if outcome.is_ok() { 1 } else { missing.len() };
    for path in missing.into_iter().take(removed) {
        // Something may be in it by now.
        let _ = fs::remove_dir(path);
    }
    outcome
}

/// Removes a folder unless something is in it, or it is none.
pub(super) fn remove_empty_folder(path: &Path) -> io::Result<()> {
    absent_is_fine(fs::remove_dir(path)).or_else(|error| match error.kind() {
        io::ErrorKind::DirectoryNotEmpty => Ok(()),
        _ => Err(error),
    })
}

/// The files and the folders in a folder, not those below them. What a link leads to counts as what it is.
pub(super) fn children(folder: &Path) -> io::Result<(Vec<String>, Vec<String>)> {
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if is_absent(&error) => return Ok((files, folders)),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        match fs::metadata(entry.path()) {
            Ok(metadata) if metadata.is_dir() => folders.push(name),
            Ok(_) => files.push(name),
            // Gone since it was listed, or a link that leads nowhere.
            Err(error) if is_absent(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok((files, folders))
}

pub(super) fn absent_is_fine(outcome: io::Result<()>) -> io::Result<()> {
    outcome.or_else(|error| if is_absent(&error) { Ok(()) } else { Err(error) })
}

pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}
