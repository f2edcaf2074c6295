//! Local files that are files. Opening a FIFO waits for its writer, reading a device may never end, and neither can be
//! cancelled: a thread that does so takes its process with it.
//!
//! What jobs must not read, though the process may, is withheld from them: the file with the cluster's secret, and all that the
//! system tells of itself and its processes as if it were files. `/proc/self/environ` has the secret where `FLINK_PROPERTIES` has it.
use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rustix::fs::OFlags;

/// Folders of the system, whose files are no data.
const SYSTEM_FOLDERS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// What lies in one of them all the same: files in memory, which any user may make.
const FILES_IN_MEMORY: &str = "/dev/shm";

/// See [`withhold`].
static WITHHELD: Mutex<Vec<Withheld>> = Mutex::new(Vec::new());

/// A file that is withheld, and whatever takes its place.
struct Withheld {
    path: PathBuf,
    identity: (u64, u64),
    /// As long as it is open no other file gets its identity.
    _file: File,
}

/// Opens a file to read it; what a link leads to counts as what it is. Never waits.
///
/// # Errors
/// Also for a folder, a FIFO, a socket or a device, for what is in a folder of the system, and for what is withheld.
pub fn open_regular(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    check_place(path)?;
    check_file_system(&file)?;
    check_withheld(&file.metadata()?)?;
    Ok(file)
}

/// Refuses a file that is withheld.
pub(crate) fn check_withheld(metadata: &Metadata) -> io::Result<()> {
    let found = identity(metadata);
    let is_it = |withheld: &Withheld| {
        withheld.identity == found || std::fs::metadata(&withheld.path).is_ok_and(|now| identity(&now) == found)
    };
    if WITHHELD.lock().iter().any(is_it) {
        let reason = "it holds the secret that the processes of this cluster share, which no job is given";
        return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
    }
    Ok(())
}

/// Opens a file that from now on [`open_regular`] refuses to open in this process, by whatever name or link.
///
/// # Errors
/// As [`open_regular`].
pub(crate) fn withhold(path: &Path) -> io::Result<File> {
    let file = open(path)?;
    let identity = identity(&file.metadata()?);
    let path = std::path::absolute(path)?;
    let mut withheld = WITHHELD.lock();
    if !withheld.iter().any(|one| one.path == path && one.identity == identity) {
        withheld.push(Withheld { path, identity, _file: file.try_clone()? });
    }
    Ok(file)
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn open(path: &Path) -> io::Result<File> {
    // Looked at first, too: opening a device may do something.
    check_regular(&std::fs::metadata(path)?)?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    check_regular(&file.metadata()?)?;
    Ok(file)
}

/// Refuses what is in a folder of the system, or leads into one.
///
/// # Errors
/// Says which folder. Also if the path leads nowhere.
pub fn check_place(path: &Path) -> io::Result<()> {
    let place = std::fs::canonicalize(path)?;
    match SYSTEM_FOLDERS.into_iter().find(|folder| place.starts_with(folder)) {
        Some(folder) if !place.starts_with(FILES_IN_MEMORY) => Err(of_the_system(folder)),
        _ => Ok(()),
    }
}

/// Refuses what the system tells of itself and of its processes, wherever that is mounted and whatever a link led to when it was
/// looked at.
#[cfg(target_os = "linux")]
fn check_file_system(file: &File) -> io::Result<()> {
    let found = rustix::fs::fstatfs(file).ok().and_then(|found| folder_of(found.f_type));
    found.map_or(Ok(()), |folder| Err(of_the_system(folder)))
}

/// The folder in which a file system of this kind usually is, if the system tells of itself there. The kernel never changes these
/// numbers (`linux/magic.h`).
#[cfg(target_os = "linux")]
fn folder_of(kind: impl TryInto<u64>) -> Option<&'static str> {
    Some(match kind.try_into().ok()? {
        0x9fa0 => "/proc",
        0x6265_6572 => "/sys",
        0x6462_6720 => "/sys/kernel/debug",
        0x7472_6163 => "/sys/kernel/tracing",
        0x7363_6673 => "/sys/kernel/security",
        0x6265_6570 => "/sys/kernel/config",
        0x0027_e0eb | 0x6367_7270 => "/sys/fs/cgroup",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn check_file_system(_file: &File) -> io::Result<()> {
    Ok(())
}

fn of_the_system(folder: &str) -> io::Error {
    let reason = format!(
        "it lies below {folder}, where the system tells of itself and of its processes: no job is given what is there"
    );
    io::Error::new(io::ErrorKind::InvalidInput, reason)
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

/// What something that is no file is called.
pub(crate) fn name_of(kind: FileType) -> &'static str {
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
    use std::io::Read;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
        crate::filesystem::read_regular(path, 1 << 20)
    }

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

    /// Before, the environment of a process was a file of no bytes, which a table of CSV could read to its end.
    #[test]
    fn what_the_system_tells_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::os::unix::fs::symlink("/proc/self/environ", at("link")).unwrap();
        std::os::unix::fs::symlink("/proc/self", at("folder")).unwrap();
        std::os::unix::fs::symlink(at("folder"), at("again")).unwrap();
        let places = [
            (PathBuf::from("/proc/self/environ"), "/proc"),
            (PathBuf::from("/tmp/../proc/version"), "/proc"),
            (at("link"), "/proc"),
            (at("folder/cmdline"), "/proc"),
            (at("again/environ"), "/proc"),
            (PathBuf::from("/sys/kernel/uevent_seqnum"), "/sys"),
        ];
        for (path, below) in places {
            // Not every machine has all of them.
            if !path.exists() {
                continue;
            }
            let refused = read_regular(&path).unwrap_err().to_string();
            assert!(refused.contains(&format!("it lies below {below}")), "{}: {refused}", path.display());
            assert!(check_place(&path).is_err(), "{}", path.display());
        }
        assert!(check_place(&at("folder")).is_err() && check_place(Path::new("/dev")).is_err());
        assert!(check_place(folder.path()).is_ok());
    }

    /// Failed before: what is usually below /sys was read where it was mounted elsewhere.
    #[test]
    #[cfg(target_os = "linux")]
    fn file_systems_of_the_system_are_known_wherever_they_are() {
        for folder in ["/proc", "/sys"] {
            // Not every machine has both.
            let Ok(file) = File::open(folder) else { continue };
            let refused = check_file_system(&file).unwrap_err().to_string();
            assert!(refused.contains(&format!("it lies below {folder},")), "{refused}");
        }
        assert_eq!((folder_of(0x6265_6572_u64), folder_of(0x6367_7270_u64)), (Some("/sys"), Some("/sys/fs/cgroup")));
        // ext4, tmpfs, overlayfs, XFS, NFS.
        for kind in [0xef53_u64, 0x0102_1994, 0x794c_7630, 0x5846_5342, 0x6969] {
            assert_eq!(folder_of(kind), None);
        }
        assert!(check_file_system(&tempfile::tempfile().unwrap()).is_ok());
    }

    /// Before, a job could read the secret of its cluster, and with it call its processes.
    #[test]
    fn a_file_that_is_withheld_is_not_opened_by_any_name() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("secret"), "abc").unwrap();
        std::fs::write(at("other"), "def").unwrap();
        std::fs::create_dir(at("below")).unwrap();
        std::os::unix::fs::symlink(at("secret"), at("link")).unwrap();
        std::fs::hard_link(at("secret"), at("hard link")).unwrap();
        assert_eq!(read_regular(&at("secret")).unwrap(), b"abc");
        let mut text = String::new();
        withhold(&at("secret")).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "abc");
        for name in ["secret", "link", "hard link", "below/../secret"] {
            let refused = read_regular(&at(name)).unwrap_err().to_string();
            assert!(refused.contains("secret that the processes of this cluster share"), "{name}: {refused}");
        }
        assert_eq!(read_regular(&at("other")).unwrap(), b"def");
        // The process that withholds it may do so again.
        assert!(withhold(&at("secret")).is_ok());

        // The one that takes its place is withheld, and so is what was in it before.
        std::fs::rename(at("secret"), at("old")).unwrap();
        assert!(read_regular(&at("old")).is_err() && read_regular(&at("secret")).is_err());
        std::fs::write(at("secret"), "ghi").unwrap();
        assert!(read_regular(&at("old")).is_err() && read_regular(&at("secret")).is_err());
        assert_eq!(read_regular(&at("other")).unwrap(), b"def");
    }
}
