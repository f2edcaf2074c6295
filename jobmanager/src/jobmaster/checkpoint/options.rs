//! The configuration of a job's checkpoints.
use std::time::Duration;

use wiesel_common::config::options::checkpointing::{
    self, CheckpointRetention, CheckpointingMode, ClaimMode, StorageType,
};
use wiesel_common::config::options::state::{self, BackendType};
use wiesel_common::config::{ConfigError, ConfigOption, Configuration, saturating_millis};

const HISTORY: ConfigOption<usize> =
    ConfigOption::new("web.checkpoints.history").default("10").fallback(&["jobmanager.web.checkpoints.history"]);

/// Flink's shortest interval.
const MIN_INTERVAL: Duration = Duration::from_millis(10);

/// The longest path that a user may name, in bytes: Linux has no longer ones.
pub const MAX_PATH_BYTES: usize = 4096;

/// What a job starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreSettings {
    /// A savepoint or a retained checkpoint: its folder or its `_metadata`.
    pub path: String,
    /// State that no operator wants is left behind.
    pub allow_non_restored_state: bool,
    /// Whose it is.
    pub claim_mode: ClaimMode,
}

/// How a job is checkpointed.
#[derive(Clone, Debug, PartialEq)]
pub struct CheckpointOptions {
    /// Time between the starts of checkpoints; none: savepoints only.
    pub interval: Option<Duration>,
    /// From the end of one to the start of the next at least.
    pub min_pause: Duration,
    /// After so long a checkpoint failed.
    pub timeout: Duration,
    /// So many at a time; savepoints come on top.
    pub max_concurrent: usize,
    /// So many may fail in a row.
    pub tolerable_failures: u32,
    /// So many completed ones are kept.
    pub retained: usize,
    /// Which outlive the job.
    pub retention: CheckpointRetention,
    /// Checkpoints go on when some tasks have ended.
    pub after_tasks_finish: bool,
    /// Alignment or not.
    pub mode: CheckpointingMode,
    /// Barriers may overtake.
    pub unaligned: bool,
    /// After so long they do.
    pub alignment_timeout: Duration,
    /// How many REST shows.
    pub history: usize,
    /// What the job starts from.
    pub restore: Option<RestoreSettings>,
    /// As REST names it.
    pub state_backend: &'static str,
    /// As REST names it.
    pub storage: &'static str,
}

impl CheckpointOptions {
    /// Reads them from a job's effective configuration.
    pub fn read(config: &Configuration) -> Result<Self, ConfigError> {
        let options = Self {
            interval: config.get_optional(&checkpointing::INTERVAL)?.filter(|interval| !interval.is_zero()),
            min_pause: config.get(&checkpointing::MIN_PAUSE)?,
            timeout: config.get(&checkpointing::TIMEOUT)?,
            max_concurrent: config.get(&checkpointing::MAX_CONCURRENT)? as usize,
            tolerable_failures: config.get(&checkpointing::TOLERABLE_FAILURES)?,
            retained: config.get(&checkpointing::NUM_RETAINED)? as usize,
            retention: config.get(&checkpointing::RETENTION)?,
            after_tasks_finish: config.get(&checkpointing::AFTER_TASKS_FINISH)?,
            mode: config.get(&checkpointing::MODE)?,
            unaligned: config.get(&checkpointing::UNALIGNED)?,
            alignment_timeout: config.get(&checkpointing::ALIGNED_TIMEOUT)?,
            history: config.get(&HISTORY)?,
            restore: restore(config)?,
            state_backend: match config.get(&state::BACKEND)? {
                BackendType::RocksDb => "EmbeddedRocksDBStateBackend",
                BackendType::HashMap => "HashMapStateBackend",
            },
            storage: storage(config)?,
        };
        options.check()?;
        Ok(options)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |text: &str| Err(ConfigError::Inconsistent(text.to_owned()));
        if self.interval.is_some_and(|interval| interval < MIN_INTERVAL) {
            return wrong(
                "Checkpoint interval must be larger than or equal to 10 ms (execution.checkpointing.interval)",
            );
        }
        if self.timeout < MIN_INTERVAL {
            return wrong("Checkpoint timeout must be larger than or equal to 10 ms (execution.checkpointing.timeout)");
        }
        if self.max_concurrent == 0 {
            return wrong("execution.checkpointing.max-concurrent-checkpoints must be at least 1");
        }
        if self.retained == 0 {
            return wrong("execution.checkpointing.num-retained must be at least 1");
        }
        if self.unaligned && self.mode == CheckpointingMode::ExactlyOnce && self.max_concurrent > 1 {
            return wrong(
                "Unaligned checkpoints can only be used with one checkpoint at a time: set \
                 execution.checkpointing.max-concurrent-checkpoints to 1 or execution.checkpointing.unaligned.enabled to \
                 false",
            );
        }
        Ok(())
    }

    /// Whether the job's folder is made, looked at and swept before the job starts: where checkpoints are periodic. A
    /// job without an interval may never be asked for a checkpoint. On a cluster with a checkpoint directory each query
    /// would make folders without need, wait for the store, and be refused where it cannot be written or has
    /// complete checkpoints. If one is requested, the checkpoint makes its folders itself, and is refused where one of
    /// its number is complete: metadata is never replaced.
    pub fn prepares_folder(&self) -> bool {
        self.interval.is_some()
    }

    /// Barriers of checkpoints may overtake rows.
    pub fn unaligned_allowed(&self) -> bool {
        self.unaligned && self.mode == CheckpointingMode::ExactlyOnce
    }

    /// Milliseconds between the starts of checkpoints.
    pub fn interval_millis(&self) -> Option<i64> {
        // More often than the pause allows makes no sense.
        self.interval.map(|interval| saturating_millis(interval.max(self.min_pause)))
    }
}

fn restore(config: &Configuration) -> Result<Option<RestoreSettings>, ConfigError> {
    let path = config.get_optional(&checkpointing::RESTORE_PATH)?.filter(|path| !path.trim().is_empty());
    let Some(path) = path else { return Ok(None) };
    if path.len() > MAX_PATH_BYTES {
        // Without the path itself: it would be in the answer and in the log.
        let (key, bytes) = (checkpointing::RESTORE_PATH.key(), path.len());
        let message = format!("the path in '{key}' has {bytes} bytes: it may have at most {MAX_PATH_BYTES}");
        return Err(ConfigError::Inconsistent(message));
    }
    Ok(Some(RestoreSettings {
        path,
        allow_non_restored_state: config.get(&checkpointing::IGNORE_UNCLAIMED_STATE)?,
        claim_mode: config.get(&checkpointing::CLAIM_MODE)?,
    }))
}

fn storage(config: &Configuration) -> Result<&'static str, ConfigError> {
    Ok(match config.get_optional(&checkpointing::STORAGE)? {
        Some(StorageType::JobManager) => "JobManagerCheckpointStorage",
        Some(StorageType::FileSystem) => "FileSystemCheckpointStorage",
        None if config.get_optional(&checkpointing::DIRECTORY)?.is_some() => "FileSystemCheckpointStorage",
        None => "JobManagerCheckpointStorage",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<CheckpointOptions, ConfigError> {
        CheckpointOptions::read(&pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn the_defaults_are_flinks() {
        let options = read(&[]).unwrap();
        assert_eq!(options.interval, None);
        assert_eq!(options.timeout, Duration::from_secs(600));
        assert_eq!((options.max_concurrent, options.retained, options.tolerable_failures), (1, 1, 0));
        assert_eq!(options.retention, CheckpointRetention::NoExternalizedCheckpoints);
        assert_eq!(options.mode, CheckpointingMode::ExactlyOnce);
        assert!(options.after_tasks_finish && !options.unaligned);
        assert_eq!(options.restore, None);
        assert_eq!(options.storage, "JobManagerCheckpointStorage");
    }

    #[test]
    fn a_job_may_start_from_a_savepoint() {
        let options = read(&[("execution.savepoint.path", "/sp"), ("execution.state-recovery.claim-mode", "claim")]);
        let restore = options.unwrap().restore.unwrap();
        assert_eq!((restore.path.as_str(), restore.claim_mode), ("/sp", ClaimMode::Claim));
    }

    #[test]
    fn a_path_that_no_file_has_is_refused_without_repeating_it() {
        let path = "/x".repeat(MAX_PATH_BYTES);
        let error = read(&[("execution.savepoint.path", &path)]).unwrap_err().to_string();
        assert!(error.contains("8192 bytes") && error.len() < 200, "{error}");
    }

    #[test]
    fn the_longest_interval_is_the_longest_time() {
        let options = read(&[("execution.checkpointing.interval", "9223372036854775807 s")]).unwrap();
        assert_eq!(options.interval_millis(), Some(i64::MAX));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        for (pairs, words) in [
            (&[("execution.checkpointing.interval", "1 ms")][..], "Checkpoint interval"),
            (&[("execution.checkpointing.timeout", "1 ms")], "Checkpoint timeout"),
            (&[("execution.checkpointing.max-concurrent-checkpoints", "0")], "max-concurrent"),
            (&[("execution.checkpointing.num-retained", "0")], "num-retained"),
            (&[("execution.checkpointing.mode", "ONCE")], "EXACTLY_ONCE"),
            (&[("state.backend.type", "foo")], "hashmap, rocksdb"),
            (
                &[
                    ("execution.checkpointing.unaligned.enabled", "true"),
                    ("execution.checkpointing.max-concurrent-checkpoints", "2"),
                ],
                "Unaligned",
            ),
        ] {
            let error = read(pairs).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
