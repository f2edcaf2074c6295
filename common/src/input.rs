//! Files that are read whole, and so within a bound: a device goes on for ever, and a file may have any size.
//!
//! They are what the user of a process names: configuration, scripts, histories. What jobs read is opened by
//! [`crate::filesystem`], which withholds more: here it is the cluster's secret alone, which a script that cannot be parsed would
//! put into messages and logs.
use std::fs::{File, Metadata};
use std::io::{self, IsTerminal as _, Read};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use crate::filesystem::{check_regular, check_withheld, name_of};

/// How much is read at most, and what to do about more.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Bytes.
    pub bytes: usize,
    /// Follows the numbers in a message.
    pub advice: &'static str,
}

impl Bound {
    fn exceeded(&self, found: &str) -> io::Error {
        let reason = format!("it has {found} bytes, of at most {}: {}", self.bytes, self.advice);
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    }
}

/// All that is in a file. The null device counts as an empty one.
///
/// # Errors
/// Also for a folder, a FIFO, a socket or a device, and for more than the bound.
pub fn read_file(path: &Path, bound: &Bound) -> io::Result<Vec<u8>> {
    read_checked(path, bound, check_file)
}

/// The same, also of what comes through a pipe, such as `<(…)` of a shell, or is typed at the terminal behind `/dev/stdin`.
///
/// # Errors
/// As [`read_file`], but for a FIFO, which is waited for.
pub fn read_input(path: &Path, bound: &Bound) -> io::Result<Vec<u8>> {
    read_checked(path, bound, check_input)
}

/// All that a reader gives.
///
/// # Errors
/// More than the bound, and what reading gives.
pub fn read_within(reader: impl Read, bound: &Bound) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(bound.bytes as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > bound.bytes {
        return Err(bound.exceeded(&format!("more than {}", bound.bytes)));
    }
    Ok(bytes)
}

/// Refuses what is no file and not the null device either.
///
/// # Errors
/// Says what it is.
pub fn check_file(metadata: &Metadata) -> io::Result<()> {
    if is_null_device(metadata) { Ok(()) } else { check_regular(metadata) }
}

fn check_input(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() || kind.is_fifo() || is_null_device(metadata) || is_own_terminal(metadata) {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let reason = format!("it is {}: only files and pipes can be read", name_of(kind));
    Err(io::Error::new(io::ErrorKind::InvalidInput, reason))
}

fn read_checked(path: &Path, bound: &Bound, check: fn(&Metadata) -> io::Result<()>) -> io::Result<Vec<u8>> {
    // Looked at first, too: opening a device may do something.
    check(&std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    check_withheld(&metadata)?;
    if metadata.is_file() && metadata.len() > bound.bytes as u64 {
        return Err(bound.exceeded(&metadata.len().to_string()));
    }
    // It may grow meanwhile, and files of the system say that they are empty.
    read_within(file, bound)
}

fn is_null_device(metadata: &Metadata) -> bool {
    metadata.file_type().is_char_device()
        && std::fs::metadata("/dev/null").is_ok_and(|null| null.rdev() == metadata.rdev())
}

/// Whether it is the terminal that standard input is.
fn is_own_terminal(metadata: &Metadata) -> bool {
    let stdin = io::stdin();
    if !metadata.file_type().is_char_device() || !stdin.is_terminal() {
        return false;
    }
    let own = stdin.as_fd().try_clone_to_owned().and_then(|own| File::from(own).metadata());
    own.is_ok_and(|own| own.rdev() == metadata.rdev())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Bound = Bound { bytes: 10, advice: "split it" };

    /// Failed before: a script that was a device was read until the memory was full.
    #[test]
    fn what_has_no_end_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
        for path in [Path::new("/dev/zero"), Path::new("/dev/urandom"), link.as_path()] {
            for read in [read_file, read_input] {
                let refused = read(path, &BOUND).unwrap_err().to_string();
                assert!(refused.contains("a device"), "{}: {refused}", path.display());
            }
        }
        assert_eq!(read_file(folder.path(), &BOUND).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read_input(folder.path(), &BOUND).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read_input(&folder.path().join("none"), &BOUND).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(read_file(Path::new("/dev/null"), &BOUND).unwrap(), b"");
        assert_eq!(read_input(Path::new("/dev/null"), &BOUND).unwrap(), b"");
    }

    /// Failed before: a file of any size was read whole.
    #[test]
    fn what_is_too_long_is_refused_with_both_numbers_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "0123456789").unwrap();
        assert_eq!(read_file(&path, &BOUND).unwrap(), b"0123456789");
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        for read in [read_file, read_input] {
            let refused = read(&path, &BOUND).unwrap_err();
            assert_eq!(refused.to_string(), "it has 1099511627776 bytes, of at most 10: split it");
        }
        let refused = read_within(io::repeat(b'x'), &BOUND).unwrap_err().to_string();
        assert_eq!(refused, "it has more than 10 bytes, of at most 10: split it");
    }

    /// Failed before: the secret stood in the log as what an application's script began with, where that was a link to its file.
    #[test]
    fn the_secret_is_no_script() {
        let folder = tempfile::tempdir().unwrap();
        let (secret, link) = (folder.path().join("internal.secret"), folder.path().join("a.sql"));
        std::fs::write(&secret, "0123456").unwrap();
        std::os::unix::fs::symlink(&secret, &link).unwrap();
        assert_eq!(read_file(&link, &BOUND).unwrap(), b"0123456");
        drop(crate::filesystem::withhold(&secret).unwrap());
        for read in [read_file, read_input] {
            let refused = read(&link, &BOUND).unwrap_err().to_string();
            assert!(refused.contains("it holds the secret") && !refused.contains("0123456"), "{refused}");
        }
    }

    #[test]
    fn pipes_are_read_where_input_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        assert!(read_file(&path, &BOUND).unwrap_err().to_string().contains("a FIFO"));
        for (written, read) in [("0123456789", true), ("0123456789a", false)] {
            let end = path.clone();
            let writer = std::thread::spawn(move || std::fs::write(end, written));
            assert_eq!(read_input(&path, &BOUND).is_ok(), read, "{written}");
            // A pipe that nobody reads any more may refuse the rest.
            let _ = writer.join().unwrap();
        }
    }
}
