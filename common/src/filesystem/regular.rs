//! Local files that are files. Opening a FIFO waits for whoever writes to it, reading a device may never end, and neither can be
//! cancelled: a thread that does so takes its process with it.
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to read it; what a link leads to counts as what it is. Never waits.
///
/// # Errors
/// Also for a folder, a FIFO, a socket or a device.
pub fn open_regular(path: &Path) -> io::Result<File> {
    // Looked at first, too: opening a device may do something.
    check_regular(&std::fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

/// All that is in a file.
///
/// # Errors
/// As [`open_regular`], and what reading gives.
pub fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_regular(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Refuses what is no file.
///
/// # Errors
/// Says what it is.
pub fn check_regular(metadata: &Metadata) -> io::Result<()> {
    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    if kind.is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory));
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {}: only files can be read", name_of(kind))))
}

fn name_of(kind: FileType) -> &'static str {
    if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() || kind.is_block_device() {
        "a device"
    } else {
        "no file"
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    /// Before, opening a FIFO waited for ever.
    #[test]
    fn only_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "abc").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        assert_eq!(read_regular(&at("file")).unwrap(), b"abc");
        assert_eq!(read_regular(&at("link")).unwrap(), b"abc");

        let made = std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap();
        assert!(made.success());
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for (name, what) in [("fifo", "a FIFO"), ("endless", "a device"), ("socket", "a socket")] {
            let refused = read_regular(&at(name)).unwrap_err().to_string();
            assert!(refused.contains(what), "{name}: {refused}");
        }
        assert_eq!(open_regular(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(open_regular(&at("nothing")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
