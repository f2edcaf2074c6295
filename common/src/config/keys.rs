//! Which keys exist and which have an effect. The table beside this file lists Flink's, one a line: the key, then `jvm`
//! where only a Java virtual machine can honour it, or `was` and the key that replaces it. `honoured.txt` lists those that
//! the code or the scripts read; a test holds it against them.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::LazyLock;

use crate::quote::quote;

const TABLE: &str = include_str!("keys.tsv");
const HONOURED: &str = include_str!("honoured.txt");

/// Options that are maps and may be written as keys below these.
const HONOURED_MAPS: [&str; 1] = ["taskmanager.memory.managed.consumer-weights."];

/// Prefixes below which a user chooses the names.
const PREFIXES: [&str; 22] = [
    "containerized.",
    "env.",
    "external-resource.",
    "flink.hadoop.",
    "fs.",
    "gs.",
    "kubernetes.",
    "logger.",
    "metrics.",
    "oss.",
    "pipeline.global-job-parameters.",
    "pipeline.jobvertex-parallelism-overrides.",
    "pekko.",
    "presto.s3.",
    "s3.",
    "s3a.",
    "sql-gateway.endpoint.",
    "state.backend.rocksdb.",
    "table.catalog-store.",
    "taskmanager.memory.managed.consumer-weights.",
    "traces.",
    "zookeeper.",
];

/// Keys that only Wiesel has, that Flink documents outside its option classes or does not document though it reads them, or
/// that only its earlier versions have. A test holds the options that the code declares against this and the table.
const OWN: [&str; 23] = [
    "collect-sink.batch-size.max",
    "high-availability.object-store.leader-election.lease-duration",
    "high-availability.object-store.leader-election.renew-deadline",
    "high-availability.object-store.leader-election.retry-period",
    "rootLogger.level",
    "security.internal.secret",
    "sql-client.display.color-schema",
    "sql-client.display.print-time-cost",
    "sql-client.display.show-line-numbers",
    "sql-client.execution.max-table-result.rows",
    "sql-client.execution.result-mode",
    "sql-client.verbose",
    "task.cancellation.interval",
    "task.cancellation.timeout",
    "task.cancellation.timers.timeout",
    "taskmanager.network.memory.buffers-per-channel",
    "taskmanager.network.memory.floating-buffers-per-gate",
    "taskmanager.network.memory.max-buffers-per-channel",
    "taskmanager.network.payload-checksum",
    "taskmanager.tasks-without-leader.timeout",
    "taskmanager.tmp.dirs",
    "web.upload.dir",
    "yarn.application.name",
];

/// So many keys that there are not are likened to those that there are.
const MAX_LIKENED: usize = 10;

/// The keys that have an effect, in order: none of a former name.
pub fn honoured_keys() -> impl Iterator<Item = &'static str> {
    KEYS.iter().filter(|(key, note)| matches!(note, Note::Known) && is_honoured(key)).map(|(key, _)| *key)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Note {
    Known,
    JvmOnly,
    ReplacedBy(&'static str),
}

static KEYS: LazyLock<BTreeMap<&'static str, Note>> = LazyLock::new(|| {
    let mut keys: BTreeMap<_, _> = OWN.into_iter().map(|key| (key, Note::Known)).collect();
    for line in TABLE.lines().filter(|line| !line.starts_with('#')) {
        let mut columns = line.split('\t');
        let Some(key) = columns.next().filter(|key| !key.is_empty()) else { continue };
        let note = match (columns.next(), columns.next()) {
            (Some("jvm"), _) => Note::JvmOnly,
            (Some("was"), Some(now)) => Note::ReplacedBy(now),
            _ => Note::Known,
        };
        keys.insert(key, note);
    }
    keys
});

static HONOURED_KEYS: LazyLock<BTreeSet<&'static str>> =
    LazyLock::new(|| HONOURED.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect());

/// Something a user should know about a key that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// No such key; perhaps the second was meant.
    Unknown(String, Option<&'static str>),
    /// A former name; it still works.
    Deprecated(String, &'static str),
    /// Honoured by a Java virtual machine alone.
    JvmOnly(String),
    /// Flink's, and without effect here; perhaps the second was meant.
    NoEffect(String, Option<&'static str>),
    /// It is read when a process starts, and was set later.
    OfProcesses(String),
}

impl KeyProblem {
    /// The key.
    pub fn key(&self) -> &str {
        match self {
            Self::Unknown(key, _)
            | Self::Deprecated(key, _)
            | Self::JvmOnly(key)
            | Self::NoEffect(key, _)
            | Self::OfProcesses(key) => key,
        }
    }

    /// Whether another key may have been meant, or the key is nobody's.
    pub fn may_be_slip(&self) -> bool {
        matches!(self, Self::Unknown(..) | Self::NoEffect(_, Some(_)))
    }

    /// Whether nothing honours a key that is Flink's.
    pub fn has_no_effect(&self) -> bool {
        matches!(self, Self::NoEffect(..))
    }

    /// Whether it is of a key that may have been misspelt.
    fn is_of_no_known_key(&self) -> bool {
        let (Self::Unknown(key, _) | Self::NoEffect(key, _)) = self else { return false };
        !KEYS.contains_key(key.as_str())
    }
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, near) = match self {
            Self::Unknown(key, near) => (format!("unknown configuration key '{}': it has no effect", quote(key)), near),
            Self::NoEffect(key, near) => {
                (format!("the configuration key '{}' has no effect: Wiesel does not implement it", quote(key)), near)
            }
            Self::Deprecated(key, now) => (format!("the configuration key '{key}' is deprecated: use '{now}'"), &None),
            Self::OfProcesses(key) => (
                format!(
                    "the configuration key '{}' has no effect once the processes run: it belongs into conf/config.yaml, or -D of \
                     the command that starts one",
                    quote(key)
                ),
                &None,
            ),
            Self::JvmOnly(key) => {
                let key = quote(key);
                (format!("the configuration key '{key}' is ignored: it concerns Java virtual machines only"), &None)
            }
        };
        f.write_str(&text)?;
        match near {
            Some(near) => write!(f, "; did you mean '{near}'?"),
            None => Ok(()),
        }
    }
}

/// The name that a key has: what replaces a former one.
pub(super) fn current_name(key: &str) -> &str {
    match KEYS.get(key) {
        Some(Note::ReplacedBy(now)) => now,
        _ => key,
    }
}

/// Whether setting a key changes anything.
pub(super) fn is_honoured(key: &str) -> bool {
    HONOURED_KEYS.contains(key) || HONOURED_MAPS.iter().any(|map| key.len() > map.len() && key.starts_with(map))
}

/// Whether a key is Flink's by name, or one of our own.
#[cfg(test)]
pub(super) fn is_listed(key: &str) -> bool {
    KEYS.contains_key(key)
}

/// What is doubtful about these keys. Only the first few that are unknown are likened to the known ones: what is far from any
/// is no slip, and where there are many of them the file is another one.
pub(super) fn problems<'k>(keys: impl Iterator<Item = &'k String>) -> Vec<KeyProblem> {
    let mut likened = 0;
    let mut problems = Vec::new();
    for key in keys {
        let like = likened < MAX_LIKENED;
        if let Some(problem) = problem(key, like) {
            likened += usize::from(like && problem.is_of_no_known_key());
            problems.push(problem);
        }
    }
    problems
}

fn problem(key: &str, like: bool) -> Option<KeyProblem> {
    let name = || key.to_owned();
    match (KEYS.get(key), is_honoured(key)) {
        (Some(Note::ReplacedBy(now)), true) => Some(KeyProblem::Deprecated(name(), now)),
        (_, true) => None,
        (Some(Note::JvmOnly), false) => Some(KeyProblem::JvmOnly(name())),
        (Some(_), false) => Some(KeyProblem::NoEffect(name(), None)),
        (None, false) if key.starts_with("env.java.") || key.starts_with("classloader.") => {
            Some(KeyProblem::JvmOnly(name()))
        }
        (None, false) if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => {
            let near = if like { nearest(key, HONOURED_KEYS.iter().copied()) } else { None };
            Some(KeyProblem::NoEffect(name(), near))
        }
        (None, false) => Some(KeyProblem::Unknown(name(), if like { nearest_key(key) } else { None })),
    }
}

/// The known key that is written most like `key`, if any is near enough to be meant.
pub fn nearest_key(key: &str) -> Option<&'static str> {
    let current = KEYS.iter().filter(|(_, note)| !matches!(note, Note::ReplacedBy(_)));
    nearest(key, current.map(|(known, _)| *known))
}

fn nearest(key: &str, keys: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let scored = about_as_long(key, keys).map(|known| (strsim::osa_distance(key, known), known));
    scored.min().filter(|(distance, _)| *distance <= accepted(key)).map(|(_, known)| known)
}

/// How many letters may differ.
fn accepted(key: &str) -> usize {
    2 + key.len() / 8
}

/// The keys that can be near by their length. To liken a key takes the product of both lengths: one that is much longer than
/// all known keys is likened to none.
fn about_as_long(key: &str, keys: impl Iterator<Item = &'static str>) -> impl Iterator<Item = &'static str> {
    let (letters, accepted) = (key.chars().count(), accepted(key));
    keys.filter(move |known| known.chars().count().abs_diff(letters) <= accepted)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before, a key of 200,000 letters was likened to each known one, which took 40 s.
    #[test]
    fn a_key_is_likened_to_those_that_are_about_as_long() {
        let candidates = |key: &str| about_as_long(key, KEYS.keys().copied()).count();
        assert_eq!(candidates(&"k".repeat(200_000)), 0);
        assert_eq!(candidates(&"\u{e4}".repeat(200_000)), 0);
        let few = candidates("rest.prot");
        assert!(few > 0 && few < KEYS.len() / 5, "{few} of {}", KEYS.len());
        assert_eq!(nearest_key("rest.prot"), Some("rest.port"));
        assert_eq!(nearest_key(&"k".repeat(200_000)), None);
    }

    /// Before, each of 25,000 unknown keys was likened to all known ones, for minutes.
    #[test]
    fn the_first_few_unknown_keys_are_likened() {
        let slips: Vec<String> = (10..40).map(|i| format!("taskmanager.numberOfTaskSlots{i}")).collect();
        let known = ["rest.port".to_owned(), "env.java.opts.all".to_owned()];
        let problems = problems(known.iter().chain(&slips));
        assert_eq!(problems.len(), 1 + slips.len(), "each is told");
        let near = |problem: &KeyProblem| matches!(problem, KeyProblem::Unknown(_, Some(_)));
        let likened: Vec<bool> = problems[1..].iter().map(near).collect();
        assert_eq!(likened, [vec![true; MAX_LIKENED], vec![false; slips.len() - MAX_LIKENED]].concat());
    }
}
