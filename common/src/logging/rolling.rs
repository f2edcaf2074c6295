//! A log file that is renamed at the start and when it is large, and of which a few are kept.
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use tracing_subscriber::fmt::MakeWriter;

use crate::quote::quote;

const MAX_BYTES: u64 = 100 << 20;
const MAX_FILES: u32 = 10;
/// The variable that says how many former files are kept, which the scripts set.
const MAX_FILES_VARIABLE: &str = "MAX_LOG_FILE_NUMBER";

/// The file in use and how much is in it.
pub(super) struct RollingFile(Mutex<Current>);

pub(super) struct Current {
    path: PathBuf,
    file: File,
    written: u64,
    max_bytes: u64,
    max_files: u32,
}

impl RollingFile {
    /// Opens a new file at `path`; what was there is renamed to `path.1`, that to `path.2` and so on.
    pub(super) fn open(path: PathBuf) -> io::Result<Self> {
        let max_files = max_files(std::env::var_os(MAX_FILES_VARIABLE).as_deref())?;
        Self::with_limits(path, MAX_BYTES, max_files)
    }

    fn with_limits(path: PathBuf, max_bytes: u64, max_files: u32) -> io::Result<Self> {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(named)?;
        }
        roll(&path, max_files);
        let file = open(&path).map_err(named)?;
        Ok(Self(Mutex::new(Current { path, file, written: 0, max_bytes, max_files })))
    }
}

fn max_files(wanted: Option<&OsStr>) -> io::Result<u32> {
    let Some(text) = wanted.map(OsStr::to_string_lossy).filter(|text| !text.trim().is_empty()) else {
        return Ok(MAX_FILES);
    };
    let refused = |_| {
        let text = quote(&text);
        let message = format!(
            "Could not parse value '{text}' for key 'env.log.max' (the variable {MAX_FILES_VARIABLE}): expected a whole number"
        );
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    text.trim().parse::<u32>().map(|number| number.clamp(1, 1000)).map_err(refused)
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Renames `path` and the files rolled before it. A file that cannot be renamed stays and is appended to.
fn roll(path: &Path, max_files: u32) {
    if fs::metadata(path).map_or(true, |file| file.len() == 0) {
        return;
    }
    let numbered = |number: u32| PathBuf::from(format!("{}.{number}", path.display()));
    for number in (1..max_files).rev() {
        if numbered(number).exists() {
            let _ = fs::rename(numbered(number), numbered(number + 1));
        }
    }
    let _ = fs::rename(path, numbered(1));
}

impl<'a> MakeWriter<'a> for RollingFile {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        let mut current = self.0.lock();
        if current.written >= current.max_bytes {
            roll(&current.path, current.max_files);
            // Where no new file can be had the old one goes on.
            if let Ok(file) = open(&current.path) {
                current.file = file;
            }
            current.written = 0;
        }
        Line(current)
    }
}

/// The file while one line is written to it.
pub(super) struct Line<'a>(MutexGuard<'a, Current>);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let current = &mut *self.0;
        let count = current.file.write(bytes)?;
        current.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rolls_at_the_start_and_at_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("logs/a.log");
        let text = |number: u32| fs::read_to_string(format!("{}.{number}", path.display())).unwrap_or_default();
        for round in 0..12 {
            let file = RollingFile::with_limits(path.clone(), 20, MAX_FILES).unwrap();
            for line in 0..3 {
                writeln!(file.make_writer(), "round {round} line {line}").unwrap();
            }
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "round 11 line 2\n");
        assert_eq!(text(1), "round 11 line 0\nround 11 line 1\n");
        assert_eq!((text(10).is_empty(), text(11).is_empty()), (false, true));
    }

    /// Before, what was no number was ten.
    #[test]
    fn a_number_of_files_that_is_none_is_refused() {
        for (text, number) in [("3", 3), (" 7 ", 7), ("0", 1), ("5000", 1000), ("", 10)] {
            assert_eq!(max_files(Some(OsStr::new(text))).unwrap(), number, "{text}");
        }
        assert_eq!(max_files(None).unwrap(), 10);
        for text in ["many", "-1", "1.5"] {
            let error = max_files(Some(OsStr::new(text))).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}' for key 'env.log.max'")), "{error}");
        }
    }
}
