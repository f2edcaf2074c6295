//! The file of the prompt's history, in the format of Flink's SQL client, which is JLine's: both may use the same file.
//!
//! A line is `milliseconds:statement`, with `\n`, `\r` and `\\` for what would end or escape it. JLine refuses a file with any
//! other line in it, such as those that earlier versions of this client wrote: what is found in one is kept, in JLine's format.
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use wiesel_common::input::{Bound, check_file, read_file};
use wiesel_common::time::{Clock as _, SystemClock};

/// How many statements a session remembers, as Flink's does.
pub(super) const ENTRIES: usize = 500;
/// How many the file keeps, as Flink's does; it is trimmed when there are a quarter more.
const FILE_ENTRIES: usize = 10_000;
/// What the file may have; it is trimmed when it has half of that.
const MAX_FILE: Bound = Bound { bytes: 64 << 20, advice: "remove it, or name another with --history" };
/// The first line of a file that an earlier version wrote.
const EARLIER_FORMAT: &str = "#V2";

/// The file. Statements are added to its end one by one: several sessions may use it at once.
pub(super) struct HistoryFile {
    path: PathBuf,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    millis: i64,
    statement: String,
}

impl HistoryFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last statements, the newest last. A file that JLine would refuse, or that has grown too long, is written anew.
    pub fn load(&self) -> io::Result<Vec<String>> {
        let content = match read_file(&self.path, &MAX_FILE) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&content);
        let (mut entries, refused) = read(&text, SystemClock.now_millis());
        let long = text.len() > MAX_FILE.bytes / 2;
        if refused || long || entries.len() > FILE_ENTRIES + FILE_ENTRIES / 4 {
            entries.drain(..entries.len().saturating_sub(FILE_ENTRIES));
            if long {
                entries.drain(..first_of_newest(&entries, MAX_FILE.bytes / 4));
            }
            self.replace(&entries)?;
        }
        let first = entries.len().saturating_sub(ENTRIES);
        Ok(entries.drain(first..).map(|entry| entry.statement).collect())
    }

    /// Adds a statement at once: another session or a crash must not lose it.
    pub fn append(&self, statement: &str) -> io::Result<()> {
        // Opening a FIFO waits for its reader.
        if let Ok(metadata) = fs::metadata(&self.path) {
            check_file(&metadata)?;
        }
        let line = line_of(&Entry { millis: SystemClock.now_millis(), statement: statement.to_owned() });
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(line.as_bytes())
    }

    fn replace(&self, entries: &[Entry]) -> io::Result<()> {
        // What is written is there in full or not at all; a link stays one.
        let path = fs::canonicalize(&self.path)?;
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let written = || {
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&name)?;
            file.write_all(entries.iter().map(line_of).collect::<String>().as_bytes())?;
            file.sync_all()?;
            fs::rename(&name, &path)
        };
        written().inspect_err(|_| drop(fs::remove_file(&name)))
    }
}

/// The first of the newest entries that have so many bytes together; the last one is always among them.
fn first_of_newest(entries: &[Entry], bytes: usize) -> usize {
    let mut taken = 0;
    let fits = |entry: &&Entry| {
        taken += entry.statement.len();
        taken <= bytes
    };
    let newest = entries.iter().rev().take_while(fits).count().max(1);
    entries.len().saturating_sub(newest)
}

/// The entries of a file, and whether JLine would refuse it. `now`: when statements without a time count as entered.
fn read(text: &str, now: i64) -> (Vec<Entry>, bool) {
    let earlier = text.lines().next() == Some(EARLIER_FORMAT);
    // JLine adds to the end of the file: a line that was cut there would swallow the next.
    let mut refused = earlier || !(text.is_empty() || text.ends_with('\n'));
    let mut entries = Vec::new();
    for line in text.lines().skip(usize::from(earlier)) {
        // The earlier format escapes lines that it did not understand: JLine's.
        let unescaped = if earlier { unescape(line) } else { line.to_owned() };
        entries.push(entry_of(&unescaped).unwrap_or_else(|| {
            refused = true;
            Entry { millis: now, statement: unescaped.clone() }
        }));
    }
    entries.retain(|entry| !entry.statement.trim().is_empty());
    (entries, refused)
}

/// What a line of JLine's says.
fn entry_of(line: &str) -> Option<Entry> {
    let (millis, statement) = line.split_once(':')?;
    Some(Entry { millis: millis.parse().ok()?, statement: unescape(statement) })
}

fn line_of(entry: &Entry) -> String {
    let mut line = format!("{}:", entry.millis);
    for c in entry.statement.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\\' => line.push_str("\\\\"),
            other => line.push(other),
        }
    }
    line.push('\n');
    line
}

fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => plain.push('\n'),
                Some('r') => plain.push('\r'),
                Some(other) => plain.push(other),
                None => plain.push('\\'),
            },
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(entries: &[Entry]) -> Vec<&str> {
        entries.iter().map(|entry| entry.statement.as_str()).collect()
    }

    #[test]
    fn lines_are_jlines() {
        let statement = "SELECT 'a:b',\n  '\\d'\r;";
        let line = line_of(&Entry { millis: 1_700_000_000_123, statement: statement.to_owned() });
        assert_eq!(line, "1700000000123:SELECT 'a:b',\\n  '\\\\d'\\r;\n");
        let (entries, refused) = read(&line, 0);
        assert_eq!((statements(&entries), entries[0].millis, refused), (vec![statement], 1_700_000_000_123, false));
    }

    #[test]
    fn statements_of_several_lines_come_back_as_they_were_entered() {
        let folder = tempfile::tempdir().unwrap();
        let history = HistoryFile::new(folder.path().join("history"));
        assert!(history.load().unwrap().is_empty());
        for statement in ["SELECT 1;", "SELECT\n  '\\n';"] {
            history.append(statement).unwrap();
        }
        assert_eq!(history.load().unwrap(), ["SELECT 1;", "SELECT\n  '\\n';"]);
        assert_eq!(fs::read_to_string(history.path()).unwrap().lines().count(), 2);
    }

    #[test]
    fn a_file_that_flinks_client_would_refuse_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let history = HistoryFile::new(folder.path().join("history"));
        // An earlier version read a file of Flink's as it stood, and wrote it in its own format.
        fs::write(history.path(), "#V2\n1700000000123:SELECT\\\\n 1;\nSELECT\\n 2;\nSELECT 3;\n").unwrap();
        assert_eq!(history.load().unwrap(), ["SELECT\n 1;", "SELECT\n 2;", "SELECT 3;"]);
        let text = fs::read_to_string(history.path()).unwrap();
        assert!(text.starts_with("1700000000123:SELECT\\n 1;\n"), "{text}");
        assert!(text.lines().all(|line| entry_of(line).is_some()), "{text}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");

        fs::write(history.path(), "1700000000123:SELECT 1;\n1700000000124:SELECT").unwrap();
        assert_eq!(history.load().unwrap(), ["SELECT 1;", "SELECT"]);
        assert!(fs::read_to_string(history.path()).unwrap().ends_with(":SELECT\n"));
    }

    #[test]
    fn a_file_does_not_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let history = HistoryFile::new(folder.path().join("history"));
        let text: String = (0..13_000).map(|number| format!("{number}:SELECT {number};\n")).collect();
        fs::write(history.path(), text).unwrap();
        let loaded = history.load().unwrap();
        assert_eq!((loaded.len(), loaded[ENTRIES - 1].as_str()), (ENTRIES, "SELECT 12999;"));
        assert_eq!(fs::read_to_string(history.path()).unwrap().lines().count(), FILE_ENTRIES);
    }

    /// Failed before: a device was read until the memory was full, and a FIFO was waited for.
    #[test]
    fn a_history_is_a_file_within_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert!(std::process::Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
        std::os::unix::fs::symlink("/dev/zero", at("endless")).unwrap();
        for (name, what) in [("fifo", "a FIFO"), ("endless", "a device")] {
            let history = HistoryFile::new(at(name));
            for refused in [history.load().map(drop).unwrap_err(), history.append("SELECT 1;").unwrap_err()] {
                assert!(refused.to_string().contains(what), "{refused}");
            }
        }
        // A way to have none.
        let none = HistoryFile::new("/dev/null".into());
        none.append("SELECT 1;").unwrap();
        assert!(none.load().unwrap().is_empty());

        fs::File::create(at("long")).unwrap().set_len(1 << 40).unwrap();
        let refused = HistoryFile::new(at("long")).load().unwrap_err().to_string();
        assert!(refused.contains("of at most 67108864: remove it, or name another"), "{refused}");
        let history = HistoryFile::new(at("history"));
        fs::write(history.path(), format!("1:{}\n", "x".repeat(1 << 20)).repeat(40)).unwrap();
        assert_eq!(history.load().unwrap().len(), 16);
        assert!(fs::metadata(history.path()).unwrap().len() < 17 << 20);
    }

    #[test]
    fn the_newest_entries_are_kept() {
        let entries: Vec<_> = [5, 3, 4].map(|length| Entry { millis: 0, statement: "x".repeat(length) }).into();
        assert_eq!([12, 11, 7, 6, 3, 0].map(|bytes| first_of_newest(&entries, bytes)), [0, 1, 1, 2, 2, 2]);
        assert_eq!(first_of_newest(&[], 10), 0);
    }
}
