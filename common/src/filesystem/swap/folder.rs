//! On this machine: a folder with a file for each content, named by its number. The largest number is the content that counts.
//!
//! The next content is written and synced under another name, then linked to the next number: where another process was first,
//! that number is taken. Two contents stay, because a writer that stood still may find the number that it wants free again
//! once what had it was removed: it then sees a larger one. Linux reads a folder of so few names in one step, so that it cannot miss
//! both.
//!
//! No lock is held: a process that is stopped holds up nobody.
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use bytes::Bytes;

use crate::filesystem::bounded::{self, Bound, Refusal};
use crate::filesystem::local;

/// Of the number in the name of a file.
const DIGITS: usize = 20;
/// How often a content is looked for that was replaced twice while it was opened.
const ATTEMPTS: usize = 100;

/// What became of a new content.
#[derive(Debug)]
pub(super) enum Swapped {
    /// It is there, under this number.
    Done(u64),
    /// The folder has another content than the one that was to be replaced.
    Refused,
    /// It is there, but may not be after a loss of power.
    Unknown(io::Error),
}

/// The content with its number, or why it is not read; none if there is none.
pub(super) fn read(folder: &Path, limit: u64) -> io::Result<Option<(u64, Result<Bytes, Refusal>)>> {
    for _ in 0..ATTEMPTS {
        let Some(generation) = newest(folder)? else { return Ok(None) };
        match bounded::read(&folder.join(name(generation)), Bound::at_most(limit)) {
            Err(error) if local::is_absent(&error) => {}
            Err(error) => {
                let reason = format!("{} in it: {error}", name(generation));
                return Err(io::Error::new(error.kind(), reason));
            }
            Ok(read) => return Ok(Some((generation, read))),
        }
    }
    Err(io::Error::other("it is replaced faster than it can be read"))
}

/// Adds the content behind the expected one.
pub(super) fn swap(folder: &Path, expected: Option<u64>, bytes: &[u8]) -> io::Result<Swapped> {
    let next = expected.unwrap_or(0).checked_add(1).ok_or_else(exhausted)?;
    if expected.is_none() {
        make(folder)?;
    }
    if newest(folder)? != expected || !link(folder, next, bytes, expected)? {
        return Ok(Swapped::Refused);
    }
    if let Err(error) = sync(folder) {
        return Ok(Swapped::Unknown(error));
    }
    match newest(folder) {
        Ok(Some(generation)) if generation == next => {
            sweep(folder, next);
            Ok(Swapped::Done(next))
        }
        Ok(_) => Ok(Swapped::Refused),
        Err(error) => Ok(Swapped::Unknown(error)),
    }
}

/// No writer comes as far as to the last number in its time.
fn exhausted() -> io::Error {
    let last = name(u64::MAX);
    io::Error::other(format!(
        "{last} in it has the last number there is, and is not what a JobManager wrote: move it away"
    ))
}

/// Gives a content its number; false: another one has it.
fn link(folder: &Path, generation: u64, bytes: &[u8], expected: Option<u64>) -> io::Result<bool> {
    let temporary = folder.join(format!(".{}.{}.tmp", name(generation), crate::random::uuid().simple()));
    let linked = local::fill_new(&temporary, |file| file.write_all(bytes))
        .and_then(|()| fs::hard_link(&temporary, folder.join(name(generation))).map_err(explain));
    // One that stays is swept.
    let _ = fs::remove_file(&temporary);
    match linked {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // Another writer has swept the temporary file, or removed the folder.
        Err(error) if local::is_absent(&error) && newest(folder)? != expected => Ok(false),
        Err(error) => Err(error),
    }
}

/// Says what is missing where the file system has no hard links.
fn explain(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::Unsupported => {
            let reason =
                format!("no hard link can be made there, by which one of several writers is the first: {error}");
            io::Error::new(io::ErrorKind::PermissionDenied, reason)
        }
        _ => error,
    }
}

/// Removes the folder. It goes under another name first, so that nothing is linked into it any more.
pub(super) fn remove(folder: &Path) -> io::Result<()> {
    let parent = folder.parent().ok_or_else(|| io::Error::other("a root cannot be removed"))?;
    let removed = parent.join(format!(".{}.tmp", crate::random::uuid().simple()));
    match fs::rename(folder, &removed) {
        Err(error) if local::is_absent(&error) => return Ok(()),
        renamed => renamed?,
    }
    // Whoever lists the parent removes it, too.
    local::absent_is_fine(fs::remove_dir_all(&removed))?;
    sync(parent)
}

/// The folders in a folder. What a removal has left half done goes.
pub(super) fn list(folder: &Path) -> io::Result<Vec<String>> {
    let (_, mut names) = local::children(folder)?;
    names.retain(|name| {
        let is_removed = name.starts_with('.') && name.ends_with(".tmp");
        if is_removed {
            // The next one who looks tries again.
            let _ = fs::remove_dir_all(folder.join(name));
        }
        !is_removed
    });
    Ok(names)
}

/// Makes a folder that is found after a loss of power.
fn make(folder: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|path| fs::symlink_metadata(path).is_err()).collect();
    fs::create_dir_all(folder)?;
    missing.iter().filter_map(|path| path.parent()).try_for_each(sync)
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Removes what nobody needs: contents before the last one, and what writers have left that would come too late.
fn sweep(folder: &Path, newest: u64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let file_name = entry.file_name();
        let is_old = file_name.to_str().is_some_and(|name| match name.strip_prefix('.') {
            Some(temporary) => temporary.split('.').next().and_then(number).is_some_and(|of| of <= newest),
            None => number(name).is_some_and(|of| of + 1 < newest),
        });
        if is_old {
            // The next writer tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn newest(folder: &Path) -> io::Result<Option<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if local::is_absent(&error) => return Ok(None),
        entries => entries?,
    };
    let mut newest = None;
    for entry in entries {
        newest = newest.max(entry?.file_name().to_str().and_then(number));
    }
    Ok(newest)
}

fn name(generation: u64) -> String {
    format!("{generation:0DIGITS$}")
}

fn number(name: &str) -> Option<u64> {
    let is_number = name.len() == DIGITS && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|_| is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(folder: &Path, expected: Option<u64>, bytes: &str) -> u64 {
        match swap(folder, expected, bytes.as_bytes()).unwrap() {
            Swapped::Done(generation) => generation,
            other => panic!("{other:?}"),
        }
    }

    fn is_refused(folder: &Path, expected: Option<u64>) -> bool {
        matches!(swap(folder, expected, b"late").unwrap(), Swapped::Refused)
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn a_writer_that_stood_still_is_refused_though_its_number_is_free_again() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a/b/file");
        assert!(read(&folder, 10).unwrap().is_none());
        let first = done(&folder, None, "1");
        let last = (2..6).fold(first, |last, content| done(&folder, Some(last), &content.to_string()));
        assert_eq!(names(&folder), [name(4), name(5)]);
        // As if it had looked before: the number behind the first is free, and a larger one shows.
        assert!(link(&folder, first + 1, b"late", Some(first)).unwrap());
        assert_eq!(newest(&folder).unwrap(), Some(last));
        assert!(is_refused(&folder, Some(first)) && is_refused(&folder, None) && is_refused(&folder, Some(last + 1)));
        let (generation, content) = read(&folder, 10).unwrap().unwrap();
        assert_eq!((generation, content.unwrap().as_ref()), (last, &b"5"[..]));
        // What it left goes.
        done(&folder, Some(last), "6");
        assert_eq!(names(&folder), [name(5), name(6)]);
    }

    #[test]
    fn what_a_dead_writer_left_is_swept_and_what_a_living_one_writes_is_not() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("file");
        let first = done(&folder, None, "1");
        for (number, writer) in [(1, "dead"), (2, "dead"), (3, "alive")] {
            fs::write(folder.join(format!(".{}.{writer}.tmp", name(number))), "x").unwrap();
        }
        done(&folder, Some(first), "2");
        assert_eq!(names(&folder), [format!(".{}.alive.tmp", name(3)), name(1), name(2)]);
    }

    #[test]
    fn a_folder_that_was_removed_is_not_written() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("file");
        let first = done(&folder, None, "1");
        let last = done(&folder, Some(first), "2");
        remove(&folder).unwrap();
        remove(&folder).unwrap();
        assert!(is_refused(&folder, Some(last)));
        assert!(!folder.exists() && names(root.path()).is_empty());
        // A removal that was interrupted.
        fs::create_dir_all(root.path().join(".1.tmp/x")).unwrap();
        fs::create_dir(root.path().join("other")).unwrap();
        assert_eq!(list(root.path()).unwrap(), ["other"]);
        assert_eq!(names(root.path()), ["other"]);
    }

    #[test]
    fn numbers_are_names_of_twenty_digits() {
        assert_eq!(name(7), "00000000000000000007");
        assert_eq!(number(&name(u64::MAX)), Some(u64::MAX));
        for other in ["7", "+0000000000000000007", "99999999999999999999", ".00000000000000000007", ""] {
            assert_eq!(number(other), None, "{other}");
        }
        let root = tempfile::tempdir().unwrap();
        // Failed before: it was said to be replaced too often.
        let said = swap(root.path(), Some(u64::MAX), b"x").unwrap_err().to_string();
        assert!(said.contains("18446744073709551615 in it") && said.contains("move it away"), "{said}");
    }

    /// Failed before: the folder was said to be one.
    #[test]
    fn what_is_no_content_is_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join(name(7))).unwrap();
        let error = read(root.path(), 10).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::IsADirectory);
        assert!(error.to_string().starts_with("00000000000000000007 in it: "), "{error}");
    }

    #[test]
    fn of_several_writers_one_is_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("file");
        let count = |bytes: &[u8]| -> u64 { std::str::from_utf8(bytes).unwrap().parse().unwrap() };
        let mut won = Vec::new();
        std::thread::scope(|scope| {
            let write = || {
                let mut won = Vec::new();
                while won.len() < 20 {
                    let found = read(&folder, 100).unwrap();
                    let found = found.map(|(generation, content)| (generation, count(&content.unwrap())));
                    let next = found.map_or(1, |(_, counted)| counted + 1).to_string();
                    let expected = found.map(|(generation, _)| generation);
                    if let Swapped::Done(generation) = swap(&folder, expected, next.as_bytes()).unwrap() {
                        won.push(generation);
                    }
                }
                won
            };
            let writers: Vec<_> = (0..4).map(|_| scope.spawn(write)).collect();
            won.extend(writers.into_iter().flat_map(|writer| writer.join().unwrap()));
        });
        let (generation, content) = read(&folder, 100).unwrap().unwrap();
        assert_eq!(generation, count(&content.unwrap()));
        won.sort_unstable();
        let all = won.len();
        won.dedup();
        assert!(won.len() == all && generation >= all as u64, "{won:?} of {generation}");
    }
}
