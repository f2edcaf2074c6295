//! Which keys exist. The table beside this file lists Flink's, one a line: the key, then `jvm` where only a Java virtual
//! machine can honour it, or `was` and the key that replaces it.
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

const TABLE: &str = include_str!("keys.tsv");

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
const OWN: [&str; 19] = [
    "collect-sink.batch-size.max",
    "rootLogger.level",
    "sql-client.display.color-schema",
    "sql-client.display.max-column-width",
    "sql-client.display.print-time-cost",
    "sql-client.display.show-line-numbers",
    "sql-client.execution.max-table-result.rows",
    "sql-client.execution.result-mode",
    "sql-client.verbose",
    "table.display.max-column-width",
    "task.cancellation.interval",
    "task.cancellation.timeout",
    "task.cancellation.timers.timeout",
    "taskmanager.network.memory.buffers-per-channel",
    "taskmanager.network.memory.floating-buffers-per-gate",
    "taskmanager.network.memory.max-buffers-per-channel",
    "taskmanager.tmp.dirs",
    "web.upload.dir",
    "yarn.application.name",
];

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

/// Something a user should know about a key that is set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyProblem {
    /// No such key; perhaps the second was meant.
    Unknown(String, Option<&'static str>),
    /// A former name; it still works.
    Deprecated(String, &'static str),
    /// Honoured by a Java virtual machine alone.
    JvmOnly(String),
}

impl fmt::Display for KeyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(key, None) => write!(f, "unknown configuration key '{key}': it has no effect"),
            Self::Unknown(key, Some(near)) => {
                write!(f, "unknown configuration key '{key}': it has no effect; did you mean '{near}'?")
            }
            Self::Deprecated(key, now) => write!(f, "the configuration key '{key}' is deprecated: use '{now}'"),
            Self::JvmOnly(key) => {
                write!(f, "the configuration key '{key}' is ignored: it concerns Java virtual machines only")
            }
        }
    }
}

pub(super) fn problem(key: &str) -> Option<KeyProblem> {
    match KEYS.get(key) {
        Some(Note::Known) => None,
        Some(Note::JvmOnly) => Some(KeyProblem::JvmOnly(key.to_owned())),
        Some(Note::ReplacedBy(now)) => Some(KeyProblem::Deprecated(key.to_owned(), now)),
        None if key.starts_with("env.java.") || key.starts_with("classloader.") => {
            Some(KeyProblem::JvmOnly(key.to_owned()))
        }
        None if PREFIXES.iter().any(|prefix| key.starts_with(prefix)) => None,
        None => Some(KeyProblem::Unknown(key.to_owned(), nearest_key(key))),
    }
}

/// The known key that is written most like `key`, if any is near enough to be meant.
pub fn nearest_key(key: &str) -> Option<&'static str> {
    let current = KEYS.iter().filter(|(_, note)| !matches!(note, Note::ReplacedBy(_)));
    let scored = current.map(|(known, _)| (strsim::damerau_levenshtein(key, known), *known));
    scored.min().filter(|(distance, _)| *distance <= 2 + key.len() / 8).map(|(_, known)| known)
}
