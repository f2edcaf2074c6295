//! Checkpoints: when they are taken, how, where they go, and what a job starts from.
use std::time::Duration;

use crate::config::{ConfigOption, MemorySize};

crate::config_enum! {
    /// What a checkpoint guarantees.
    pub enum CheckpointingMode {
        /// Every record counts once.
        ExactlyOnce = "EXACTLY_ONCE" | "exactly-once",
        /// Records may count more than once after a failure; barriers are not waited for.
        AtLeastOnce = "AT_LEAST_ONCE" | "at-least-once",
    }
}

crate::config_enum! {
    /// What becomes of the last checkpoints when a job ends.
    pub enum CheckpointRetention {
        /// Kept where the job fails, deleted where it is cancelled.
        DeleteOnCancellation = "DELETE_ON_CANCELLATION",
        /// Kept where the job fails or is cancelled.
        RetainOnCancellation = "RETAIN_ON_CANCELLATION",
        /// Always deleted.
        NoExternalizedCheckpoints = "NO_EXTERNALIZED_CHECKPOINTS",
    }
}

crate::config_enum! {
    /// Where checkpoints are kept.
    pub enum StorageType {
        /// In files of the checkpoint directory.
        FileSystem = "filesystem"
            | "org.apache.flink.runtime.state.storage.FileSystemCheckpointStorageFactory"
            | "org.apache.flink.runtime.state.storage.FileSystemCheckpointStorage",
        /// In the memory of the JobManager, small ones only.
        JobManager = "jobmanager"
            | "org.apache.flink.runtime.state.storage.JobManagerCheckpointStorage",
    }
}

crate::config_enum! {
    /// Whose the files are that a job is restored from.
    pub enum ClaimMode {
        /// The job's: it deletes them when it does not need them any more.
        Claim = "CLAIM",
        /// The user's: the first checkpoint is a full one and refers to none of them.
        NoClaim = "NO_CLAIM",
    }
}

/// Time between checkpoints; not set or 0: none are taken.
pub const INTERVAL: ConfigOption<Duration> = ConfigOption::new("execution.checkpointing.interval");
/// What a checkpoint guarantees.
pub const MODE: ConfigOption<CheckpointingMode> =
    ConfigOption::new("execution.checkpointing.mode").default("EXACTLY_ONCE");
/// How long a checkpoint may take before it is given up.
pub const TIMEOUT: ConfigOption<Duration> = ConfigOption::new("execution.checkpointing.timeout").default("10 min");
/// Checkpoints that may be under way at once.
pub const MAX_CONCURRENT: ConfigOption<u32> =
    ConfigOption::new("execution.checkpointing.max-concurrent-checkpoints").default("1");
/// Time between the end of a checkpoint and the start of the next.
pub const MIN_PAUSE: ConfigOption<Duration> = ConfigOption::new("execution.checkpointing.min-pause").default("0 ms");
/// Checkpoints that may fail one after another before the job does.
pub const TOLERABLE_FAILURES: ConfigOption<u32> =
    ConfigOption::new("execution.checkpointing.tolerable-failed-checkpoints").default("0");
/// What becomes of the last checkpoints when a job ends.
pub const RETENTION: ConfigOption<CheckpointRetention> =
    ConfigOption::new("execution.checkpointing.externalized-checkpoint-retention")
        .default("NO_EXTERNALIZED_CHECKPOINTS");
/// Completed checkpoints that are kept.
pub const NUM_RETAINED: ConfigOption<u32> = ConfigOption::new("execution.checkpointing.num-retained")
    .default("1")
    .fallback(&["state.checkpoints.num-retained"]);
/// Whether checkpoints go on after some tasks have finished.
pub const AFTER_TASKS_FINISH: ConfigOption<bool> =
    ConfigOption::new("execution.checkpointing.checkpoints-after-tasks-finish")
        .default("true")
        .fallback(&["execution.checkpointing.checkpoints-after-tasks-finish.enabled"]);
/// Whether barriers may overtake rows.
pub const UNALIGNED: ConfigOption<bool> = ConfigOption::new("execution.checkpointing.unaligned.enabled")
    .default("false")
    .fallback(&["execution.checkpointing.unaligned"]);
/// How long barriers wait for one another before they overtake rows; 0: they do at once.
pub const ALIGNED_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("execution.checkpointing.aligned-checkpoint-timeout")
        .default("0 ms")
        .fallback(&["execution.checkpointing.alignment-timeout"]);
/// Whether unchanged files of earlier checkpoints are referred to instead of written again.
pub const INCREMENTAL: ConfigOption<bool> =
    ConfigOption::new("execution.checkpointing.incremental").default("false").fallback(&["state.backend.incremental"]);

/// The folder of the checkpoints of all jobs.
pub const DIRECTORY: ConfigOption<String> = ConfigOption::new("execution.checkpointing.dir")
    .fallback(&["state.checkpoints.dir", "state.backend.fs.checkpointdir"]);
/// The folder of savepoints that name none.
pub const SAVEPOINT_DIRECTORY: ConfigOption<String> = ConfigOption::new("execution.checkpointing.savepoint-dir")
    .fallback(&["state.savepoints.dir", "savepoints.state.backend.fs.dir"]);
/// Where checkpoints are kept; not set: in files if there is a folder for them, else in the JobManager.
pub const STORAGE: ConfigOption<StorageType> =
    ConfigOption::new("execution.checkpointing.storage").fallback(&["state.checkpoint-storage"]);
/// Whether each job has a folder of its own below the folder of checkpoints.
pub const CREATE_SUBDIR: ConfigOption<bool> = ConfigOption::new("execution.checkpointing.create-subdir")
    .default("true")
    .fallback(&["state.checkpoints.create-subdir"]);
/// State up to this size is kept in `_metadata` instead of a file.
pub const INLINE_THRESHOLD: ConfigOption<MemorySize> =
    ConfigOption::new("execution.checkpointing.data-inline-threshold")
        .default("20 kb")
        .fallback(&["state.storage.fs.memory-threshold", "state.backend.fs.memory-threshold"]);
/// Whether files of checkpoints that are gone are deleted several at a time.
pub const PARALLEL_CLEANER: ConfigOption<bool> = ConfigOption::new("execution.checkpointing.cleaner.parallel-mode")
    .default("true")
    .fallback(&["state.checkpoint.cleaner.parallel-mode"]);

/// Whether a copy of the last checkpoint is kept at the TaskManager.
pub const LOCAL_BACKUP: ConfigOption<bool> = ConfigOption::new("execution.checkpointing.local-backup.enabled")
    .default("false")
    .fallback(&["execution.state-recovery.from-local", "state.backend.local-recovery"]);

/// The savepoint or checkpoint that a job starts from.
pub const RESTORE_PATH: ConfigOption<String> =
    ConfigOption::new("execution.state-recovery.path").fallback(&["execution.savepoint.path"]);
/// Whose its files are then.
pub const CLAIM_MODE: ConfigOption<ClaimMode> = ConfigOption::new("execution.state-recovery.claim-mode")
    .default("NO_CLAIM")
    .fallback(&["execution.savepoint-restore-mode"]);
/// Whether a job starts although it has no operator for some of the state.
pub const IGNORE_UNCLAIMED_STATE: ConfigOption<bool> =
    ConfigOption::new("execution.state-recovery.ignore-unclaimed-state")
        .default("false")
        .fallback(&["execution.savepoint.ignore-unclaimed-state"]);
