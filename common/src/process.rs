//! What this process is, what it uses, as the kernel counts it, and how it says that it is up.
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

static ROLE: OnceLock<String> = OnceLock::new();

/// Says what this process is, for messages about what it looked for: "the JobManager", "TaskManager tm-1". The first word
/// counts.
pub fn set_role(role: impl Into<String>) {
    let _ = ROLE.set(role.into());
}

/// What this process is.
pub fn role() -> &'static str {
    ROLE.get().map_or("this process", String::as_str)
}

/// The variable that names a file which is written when the process is up: `flink-daemon.sh` waits for it.
const UP_FILE_VARIABLE: &str = "WIESEL_UP_FILE";

/// Says that this process is up, to the script that asked to be told.
pub fn announce_up() {
    if let Some(path) = std::env::var_os(UP_FILE_VARIABLE).filter(|path| !path.is_empty())
        && let Err(error) = make_up_file(Path::new(&path))
    {
        tracing::warn!(%error, path = %path.display(), "cannot say that this process is up");
    }
}

/// The folder may be everybody's: where others have put a link under this name, what it names is left alone.
fn make_up_file(path: &Path) -> io::Result<()> {
    fs::File::create_new(path)?.write_all(format!("{}\n", std::process::id()).as_bytes())
}

/// Resident memory in bytes; 0 where the kernel does not say.
pub fn resident_bytes() -> u64 {
    status_number("VmRSS:") * 1024
}

/// Threads; 0 where the kernel does not say.
pub fn threads() -> u64 {
    status_number("Threads:")
}

/// Open files and sockets; 0 where the kernel does not say.
pub fn open_files() -> u64 {
    fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64)
}

/// How many files and sockets may be open.
pub fn most_open_files() -> u64 {
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// More than any process needs.
const ENOUGH_OPEN_FILES: u64 = 1 << 20;

/// Lets as many be open as this process may have. Shells often allow it fewer at first.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(ENOUGH_OPEN_FILES, |most| most.min(ENOUGH_OPEN_FILES));
    if limit.current.is_some_and(|current| current < wanted) {
        // What is not allowed stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum });
    }
}

fn status_number(label: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn counts() {
        assert!(resident_bytes() > 100_000);
        assert!(threads() >= 1 && open_files() >= 3);
        raise_open_files();
        assert!(most_open_files() > open_files());
    }

    /// Failed before: what a link of somebody else named was overwritten.
    #[test]
    #[cfg(unix)]
    fn the_file_that_says_up_is_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let (link, file) = (folder.path().join("link"), folder.path().join("file"));
        fs::write(&file, "precious").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(make_up_file(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read_to_string(&file).unwrap(), "precious");
        let up = folder.path().join("up");
        make_up_file(&up).unwrap();
        assert_eq!(fs::read_to_string(&up).unwrap(), format!("{}\n", std::process::id()));
    }
}
