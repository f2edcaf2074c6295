//! The wall clock of a single process, which a test steps while it runs; its monotonic clock goes on as ever.
//!
//! The library of Debian's `faketime` is loaded before the process's own and adds what a file says to the time of day. Every
//! reading is changed, also those of libraries that take no clock.
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::skip;

/// The clock of one process, or of several that step together.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    offset: PathBuf,
}

impl Clock {
    /// A clock that is right. None if this machine has no library for it: then the test is counted as skipped.
    pub fn new(test: &str, folder: &Path, name: &str) -> Option<Self> {
        let Some(library) = library() else {
            skip::skip(test, "clocks cannot be stepped: dist/packages.sh faketime");
            return None;
        };
        let clock = Self { library: library.to_owned(), offset: folder.join(format!("clock-{name}")) };
        clock.set(0);
        Some(clock)
    }

    /// Makes a process to be read this clock. It is inherited by what the process starts.
    pub fn apply(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("FAKETIME_TIMESTAMP_FILE", &self.offset)
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("FAKETIME_NO_CACHE", "1")
            // Files keep the times that other processes see.
            .env("NO_FAKE_STAT", "1");
    }

    /// From now on it is so many seconds fast, or slow if they are negative.
    pub fn set(&self, seconds: i64) {
        // A reader never finds half of it.
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).expect("a file for a clock");
        fs::rename(&new, &self.offset).expect("a file can be renamed");
    }
}

/// The library for processes with threads.
fn library() -> Option<&'static Path> {
    static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let folders = fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
        let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
        found.find(|library| library.is_file())
    };
    LIBRARY.get_or_init(find).as_deref()
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_steps_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let Some(clock) = Clock::new("clock::a_clock_steps_both_ways", folder.path(), "date") else { return };
        let seen = || {
            let mut date = Command::new("date");
            date.arg("+%s");
            clock.apply(&mut date);
            let text = String::from_utf8(date.output().unwrap().stdout).unwrap();
            Duration::from_secs(text.trim().parse().unwrap())
        };
        for step in [0_i64, 60, -3600] {
            clock.set(step);
            let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let difference = seen().as_secs() as i64 - before.as_secs() as i64;
            assert!((step - 1..=step + 5).contains(&difference), "{step}: {difference}");
        }
    }
}
