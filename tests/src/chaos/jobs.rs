//! The jobs of a chaos run. What they must give follows from their numbers alone: a row that is lost, doubled or wrong shows.
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Cluster, eventually};

/// Keys of the windowed aggregate, and of the group aggregate.
const WINDOW_KEYS: u64 = 100;
const GROUP_KEYS: u64 = 1000;
/// Numbers in a window: one is a millisecond of event time.
const WINDOW: u64 = 1000;
const PARALLELISM: usize = 2;

/// How much a job reads.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// The numbers from 1 to this one.
    pub rows: u64,
    /// As fast as this.
    pub per_second: u64,
}

impl Size {
    /// Enough to last while blows fall, at a pace that leaves the machine room to recover; `beyond`: longer than that, so that
    /// the end is quiet.
    pub fn lasting(time: Duration, beyond: bool) -> Self {
        let (per_second, seconds) = (4_000, time.as_secs().max(5));
        Self { rows: per_second * if beyond { seconds + 10 } else { seconds * 4 / 5 }, per_second }
    }

    fn source(self) -> String {
        format!(
            "CREATE TABLE numbers (n BIGINT, ts AS TO_TIMESTAMP_LTZ(n, 3), WATERMARK FOR ts AS ts) WITH (
               'connector' = 'datagen', 'rows-per-second' = '{}', 'fields.n.kind' = 'sequence',
               'fields.n.start' = '1', 'fields.n.end' = '{}');\n",
            self.per_second, self.rows
        )
    }
}

/// What an aggregate says of a set of numbers: key, count, sum, least, most.
type Line = [u64; 5];

/// The aggregate over `first, first + step, ...` up to `last`.
fn line(key: u64, first: u64, last: u64, step: u64) -> Option<Line> {
    let count = (last.checked_sub(first)?) / step + 1;
    let most = first + (count - 1) * step;
    Some([key, count, (first + most) * count / 2, first, most])
}

/// The smallest number of a class that is at least `from` (and 1).
fn first_of_class(key: u64, keys: u64, from: u64) -> u64 {
    let from = from.max(1);
    from + (key + keys - from % keys) % keys
}

fn windows(size: Size) -> Vec<Line> {
    let mut lines = Vec::new();
    for start in (0..=size.rows).step_by(WINDOW as usize) {
        let last = (start + WINDOW - 1).min(size.rows);
        lines.extend(
            (0..WINDOW_KEYS).filter_map(|key| line(key, first_of_class(key, WINDOW_KEYS, start), last, WINDOW_KEYS)),
        );
    }
    lines.sort_unstable();
    lines
}

fn groups(size: Size) -> Vec<Line> {
    let keys = 0..GROUP_KEYS;
    keys.filter_map(|key| line(key, first_of_class(key, GROUP_KEYS, 1), size.rows, GROUP_KEYS)).collect()
}

/// What is wrong with lines, if anything: each must be there once.
fn difference(found: &[Line], wanted: &[Line]) -> Option<String> {
    let mut balance: BTreeMap<Line, i64> = BTreeMap::new();
    for line in wanted {
        *balance.entry(*line).or_default() -= 1;
    }
    for line in found {
        *balance.entry(*line).or_default() += 1;
    }
    balance.retain(|_, count| *count != 0);
    let lost = balance.values().filter(|count| **count < 0).map(|count| count.unsigned_abs()).sum::<u64>();
    let surplus = balance.values().filter(|count| **count > 0).map(|count| count.unsigned_abs()).sum::<u64>();
    let examples: Vec<_> = balance.iter().take(6).collect();
    (lost + surplus > 0).then(|| {
        format!("{lost} rows lost, {surplus} doubled or wrong (key, count, sum, least, most; surplus): {examples:?}")
    })
}

/// Names for what a job leaves in the cluster's folder.
fn serial() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A windowed aggregate that writes csv files.
pub struct FilesJob {
    id: String,
    size: Size,
    began: Instant,
    folder: PathBuf,
    /// What it was last started from, and with which options.
    pub(super) from: Option<String>,
    pub(super) options: Vec<String>,
    /// The state back end, if it is not the cluster's.
    pub(super) backend: Option<&'static str>,
    /// How often it could not start.
    pub(super) starts: u32,
    /// Folders of jobs whose checkpoints it was to claim when it went on from them.
    pub(super) claimed: Vec<String>,
    earlier: Vec<String>,
}

impl FilesJob {
    /// Submits it.
    pub fn submit(cluster: &Cluster, size: Size) -> Self {
        let mut job = Self::of(cluster, size);
        job.run(cluster, &["-p", &PARALLELISM.to_string()]);
        job
    }

    /// One that somebody else submits, by its script.
    pub fn of(cluster: &Cluster, size: Size) -> Self {
        let folder = cluster.dir().join(format!("windows-{}", serial()));
        let options = vec!["-p".to_owned(), PARALLELISM.to_string()];
        let (id, from, claimed, earlier) = (String::new(), None, Vec::new(), Vec::new());
        Self { id, size, began: Instant::now(), folder, from, options, backend: None, starts: 0, claimed, earlier }
    }

    /// It goes on under another id.
    pub(super) fn became(&mut self, id: String) {
        self.earlier.push(std::mem::replace(&mut self.id, id));
    }

    /// Submits it again with more options of `flink run`, such as a savepoint to start from.
    pub fn run(&mut self, cluster: &Cluster, arguments: &[&str]) {
        self.id = cluster.submit_with(&self.script(), arguments);
    }

    /// The script.
    pub fn script(&self) -> String {
        format!(
            "{}CREATE TABLE windows (k BIGINT, c BIGINT, s BIGINT, lo BIGINT, hi BIGINT) WITH (
               'connector' = 'filesystem', 'path' = '{}', 'format' = 'csv',
               'sink.rolling-policy.rollover-interval' = '2 s', 'sink.rolling-policy.check-interval' = '500 ms');
             INSERT INTO windows SELECT k, COUNT(*), SUM(n), MIN(n), MAX(n)
               FROM (SELECT n, n % {WINDOW_KEYS} AS k, window_start, window_end FROM TABLE(TUMBLE(TABLE numbers,
                 DESCRIPTOR(ts), INTERVAL '1' SECOND)))
               GROUP BY window_start, window_end, k;\n",
            self.size.source(),
            self.folder.display()
        )
    }

    /// The job's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether tasks of it may have read all there is to read: no source is faster than its rate.
    pub(super) fn may_have_read_all(&self) -> bool {
        self.began.elapsed() >= Duration::from_secs(self.size.rows / self.size.per_second)
    }

    /// Whether it is in a state that it does not leave.
    pub fn has_ended(&self, cluster: &Cluster) -> bool {
        ["FINISHED", "FAILED", "CANCELED"].contains(&cluster.state(&self.id).as_str())
    }

    /// Waits for its end and compares its files with what they must hold. Panics if they differ; says how many rows.
    pub fn verify(&self, cluster: &Cluster, limit: Duration) -> String {
        self.verify_rows(cluster, limit, false)
    }

    /// The same; `repeated`: rows may be there more than once.
    pub(super) fn verify_rows(&self, cluster: &Cluster, limit: Duration, repeated: bool) -> String {
        cluster.wait_for_state(&self.id, "FINISHED", limit);
        self.compare(repeated)
    }

    /// Compares the files of a job that has finished with what they must hold. Panics if they differ; says how many rows.
    pub fn verify_files(&self) -> String {
        self.compare(false)
    }

    fn compare(&self, repeated: bool) -> String {
        let (mut found, files) = self.read();
        if repeated {
            found.sort_unstable();
            found.dedup();
        }
        found.sort_unstable();
        let wanted = windows(self.size);
        if let Some(difference) = difference(&found, &wanted) {
            panic!("the windowed aggregate of job {} in {files} files: {difference}", self.id);
        }
        let how = if repeated { " but for repetitions" } else { "" };
        format!("windowed aggregate: {} rows in {files} files equal{how}", found.len())
    }

    /// The rows in files that a reader would see: neither hidden nor in progress.
    fn read(&self) -> (Vec<Line>, usize) {
        let entries = fs::read_dir(&self.folder).unwrap_or_else(|error| panic!("{}: {error}", self.folder.display()));
        let visible = entries.flatten().filter(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            !name.starts_with(['.', '_']) && entry.path().is_file()
        });
        let mut lines = Vec::new();
        let mut files = 0;
        for file in visible {
            files += 1;
            let text = fs::read_to_string(file.path()).expect("a committed file can be read");
            lines.extend(text.lines().map(|line| {
                let cells: Vec<u64> = line.split(',').filter_map(|cell| cell.parse().ok()).collect();
                Line::try_from(cells).unwrap_or_else(|_| panic!("{}: `{line}` is no row", file.path().display()))
            }));
        }
        (lines, files)
    }

    /// Checkpoints and restarts of all its runs, as the JobManager counts them.
    pub fn statistics(&self, cluster: &Cluster) -> String {
        let runs = self.earlier.iter().chain([&self.id]).map(|id| {
            let answer = cluster.request("GET", &format!("/jobs/{id}/checkpoints")).json();
            ["completed", "failed", "restored"].map(|key| answer["counts"][key].as_u64().unwrap_or(0))
        });
        let [completed, failed, restored] = runs.fold([0; 3], |sum, run| [0, 1, 2].map(|i| sum[i] + run[i]));
        let runs = self.earlier.len() + 1;
        format!(
            "the windowed aggregate ran {runs} times: {completed} checkpoints completed, {failed} failed, {restored} restores"
        )
    }
}

/// A group aggregate whose changes a client folds to the rows that are left.
pub struct GroupJob {
    client: Mutex<Child>,
    size: Size,
    output: PathBuf,
}

impl GroupJob {
    /// Starts the client.
    pub fn start(cluster: &Cluster, size: Size) -> Self {
        let number = serial();
        let script = cluster.file(
            &format!("groups-{number}.sql"),
            &format!(
                "{}SELECT n % {GROUP_KEYS} AS k, COUNT(*), SUM(n), MIN(n), MAX(n) FROM numbers GROUP BY n % {GROUP_KEYS};\n",
                size.source()
            ),
        );
        let output = cluster.dir().join(format!("groups-{number}.json"));
        let out = fs::File::create(&output).expect("a file in the cluster's folder");
        let client = cluster
            .command("bin/sql-client.sh")
            .arg(format!("-Dparallelism.default={PARALLELISM}"))
            .arg("-f")
            .arg(script)
            .arg("--fold-json")
            .stdout(out)
            .stderr(Stdio::inherit())
            .spawn()
            .expect("bin/sql-client.sh can be run");
        Self { client: Mutex::new(client), size, output }
    }

    /// Whether the client has ended.
    pub fn has_ended(&self) -> bool {
        let mut client = self.client.lock().expect("nobody panics with the client");
        !matches!(client.try_wait(), Ok(None))
    }

    /// Waits for the client's end and compares its rows. Panics if they differ; says how many.
    pub fn verify(&self, limit: Duration) -> String {
        eventually("the client of the group aggregate ends", limit, || match self.has_ended() {
            true => Ok(()),
            false => Err("it still runs".to_owned()),
        });
        let text = fs::read_to_string(&self.output).unwrap_or_default();
        let answer: Value = serde_json::from_str(text.trim()).unwrap_or(Value::Null);
        let Some(rows) = answer["rows"].as_array() else { panic!("the group aggregate gave no rows: {text}") };
        let number = |cell: &Value| cell.as_str().and_then(|cell| cell.parse().ok());
        let lines = rows.iter().map(|row| {
            let cells: Option<Vec<u64>> = row.as_array().into_iter().flatten().map(number).collect();
            cells.and_then(|cells| Line::try_from(cells).ok()).unwrap_or_else(|| panic!("{row} is no row"))
        });
        let found: Vec<Line> = lines.collect();
        let wanted = groups(self.size);
        if let Some(difference) = difference(&found, &wanted) {
            panic!("the group aggregate: {difference}");
        }
        format!("group aggregate: {} rows equal", found.len())
    }
}

impl Drop for GroupJob {
    fn drop(&mut self) {
        if let Ok(client) = self.client.get_mut() {
            // It has ended unless the test failed.
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_what_counting_gives() {
        for rows in [1, 99, 100, 999, 1000, 1001, 12_345] {
            let size = Size { rows, per_second: 1 };
            let mut windows_counted: BTreeMap<(u64, u64), Line> = BTreeMap::new();
            let mut groups_counted: BTreeMap<u64, Line> = BTreeMap::new();
            for n in 1..=rows {
                let add = |line: &mut Line| {
                    *line = [line[0], line[1] + 1, line[2] + n, line[3].min(n), line[4].max(n)];
                };
                let (window, key) = (n / WINDOW, n % WINDOW_KEYS);
                add(windows_counted.entry((window, key)).or_insert([key, 0, 0, u64::MAX, 0]));
                let key = n % GROUP_KEYS;
                add(groups_counted.entry(key).or_insert([key, 0, 0, u64::MAX, 0]));
            }
            let mut counted: Vec<Line> = windows_counted.into_values().collect();
            counted.sort_unstable();
            assert_eq!(windows(size), counted, "{rows}");
            assert_eq!(groups(size), groups_counted.into_values().collect::<Vec<_>>(), "{rows}");
        }
    }

    #[test]
    fn lost_and_doubled_rows_show() {
        let wanted = groups(Size { rows: 5000, per_second: 1 });
        assert_eq!(difference(&wanted, &wanted), None);
        assert!(difference(&wanted[1..], &wanted).unwrap().starts_with("1 rows lost, 0 doubled"));
        let doubled = [&wanted[..], &wanted[..1]].concat();
        assert!(difference(&doubled, &wanted).unwrap().starts_with("0 rows lost, 1 doubled"));
        let mut wrong = wanted.clone();
        wrong[7][1] += 1;
        assert!(difference(&wrong, &wanted).unwrap().starts_with("1 rows lost, 1 doubled"));
    }
}
