//! The options that several crates read, one file a component. What one crate alone reads it declares itself.
use super::{ConfigError, Configuration};

pub mod checkpointing;
pub mod client;
pub mod cluster;
pub mod high_availability;
pub mod job;
pub mod jobmanager;
pub mod memory;
pub mod network;
pub mod rest;
pub mod restart;
pub mod s3;
pub mod state;
pub mod taskmanager;

/// Reads an option of each name, for the sake of its errors.
macro_rules! read_each {
    ($config:ident: $($option:path),* $(,)?) => {
        $($config.get_optional(&$option)?;)*
    };
}

/// Reads every option of this folder but those of memory, which the memory model reads: a process refuses a bad value when it
/// starts, not when a job comes that needs it. A test holds the list against the folder.
///
/// # Errors
/// The first bad value.
pub fn check(config: &Configuration) -> Result<(), ConfigError> {
    read_each!(config:
        checkpointing::INTERVAL,
        checkpointing::MODE,
        checkpointing::TIMEOUT,
        checkpointing::MAX_CONCURRENT,
        checkpointing::MIN_PAUSE,
        checkpointing::TOLERABLE_FAILURES,
        checkpointing::RETENTION,
        checkpointing::NUM_RETAINED,
        checkpointing::AFTER_TASKS_FINISH,
        checkpointing::UNALIGNED,
        checkpointing::ALIGNED_TIMEOUT,
        checkpointing::INCREMENTAL,
        checkpointing::DIRECTORY,
        checkpointing::SAVEPOINT_DIRECTORY,
        checkpointing::STORAGE,
        checkpointing::CREATE_SUBDIR,
        checkpointing::INLINE_THRESHOLD,
        checkpointing::PARALLEL_CLEANER,
        checkpointing::LOCAL_BACKUP,
        checkpointing::RESTORE_PATH,
        checkpointing::CLAIM_MODE,
        checkpointing::IGNORE_UNCLAIMED_STATE,
        client::TIMEOUT,
        client::HEARTBEAT_INTERVAL,
        client::HEARTBEAT_TIMEOUT,
        client::ATTACHED,
        client::SHUTDOWN_ON_ATTACHED_EXIT,
        cluster::HEARTBEAT_INTERVAL,
        cluster::HEARTBEAT_TIMEOUT,
        cluster::REGISTRATION_INITIAL_TIMEOUT,
        cluster::REGISTRATION_MAX_TIMEOUT,
        cluster::REGISTRATION_ERROR_DELAY,
        cluster::REGISTRATION_REFUSED_DELAY,
        cluster::SLOT_REQUEST_TIMEOUT,
        cluster::RPC_ASK_TIMEOUT,
        high_availability::STORAGE_DIR,
        high_availability::CLUSTER_ID,
        high_availability::LEASE_DURATION,
        high_availability::RENEW_DEADLINE,
        high_availability::RETRY_PERIOD,
        job::PARALLELISM,
        job::MAX_PARALLELISM,
        job::AUTO_WATERMARK_INTERVAL,
        job::DML_SYNC,
        job::LOCAL_TIME_ZONE,
        job::BUFFER_TIMEOUT_ENABLED,
        job::BUFFER_TIMEOUT,
        jobmanager::RPC_ADDRESS,
        jobmanager::RPC_PORT,
        jobmanager::RPC_BIND_PORT,
        jobmanager::BIND_HOST,
        network::SEGMENT_SIZE,
        network::MIN_SEGMENT_SIZE,
        network::BUFFERS_PER_CHANNEL,
        network::FLOATING_BUFFERS_PER_GATE,
        network::COMPRESSION_CODEC,
        network::PARTITION_REQUEST_TIMEOUT,
        network::RETRIES,
        network::CONNECT_TIMEOUT_SECONDS,
        network::PAYLOAD_CHECKSUM,
        rest::ADDRESS,
        rest::PORT,
        rest::BIND_PORT,
        rest::BIND_ADDRESS,
        rest::SERVER_MAX_CONTENT_LENGTH,
        rest::SUBMIT_ENABLE,
        rest::CANCEL_ENABLE,
        rest::UPLOAD_DIR,
        rest::EXCEPTION_HISTORY_SIZE,
        rest::ALLOW_ORIGIN,
        restart::TYPE,
        restart::FIXED_DELAY_ATTEMPTS,
        restart::FIXED_DELAY,
        restart::FAILURE_RATE_MAX,
        restart::FAILURE_RATE_INTERVAL,
        restart::FAILURE_RATE_DELAY,
        restart::EXPONENTIAL_INITIAL,
        restart::EXPONENTIAL_MAX,
        restart::EXPONENTIAL_MULTIPLIER,
        restart::EXPONENTIAL_JITTER,
        restart::EXPONENTIAL_RESET,
        restart::EXPONENTIAL_ATTEMPTS,
        s3::ENDPOINT,
        s3::REGION,
        s3::PATH_STYLE,
        s3::TLS,
        s3::ACCESS_KEY,
        s3::SECRET_KEY,
        s3::SESSION_TOKEN,
        s3::CREDENTIALS_PROVIDER,
        s3::ENTROPY_KEY,
        s3::ENTROPY_LENGTH,
        s3::DEFAULT_SCHEME,
        state::BACKEND,
        state::TEMPORARY_DIRECTORIES,
        state::CONSUMER_WEIGHTS,
        state::ROCKSDB_DIRECTORIES,
        state::ROCKSDB_MANAGED,
        state::ROCKSDB_FIXED_PER_SLOT,
        state::ROCKSDB_FIXED_PER_TM,
        state::ROCKSDB_WRITE_BUFFER_RATIO,
        state::ROCKSDB_HIGH_PRIORITY_RATIO,
        state::ROCKSDB_PARTITIONED_INDEX,
        state::ROCKSDB_TRANSFER_THREADS,
        state::ROCKSDB_PREDEFINED,
        state::ROCKSDB_THREADS,
        state::ROCKSDB_OPEN_FILES,
        state::ROCKSDB_LOG_LEVEL,
        state::ROCKSDB_LOG_DIRECTORY,
        state::ROCKSDB_LOG_FILES,
        state::ROCKSDB_LOG_SIZE,
        state::ROCKSDB_COMPACTION_STYLE,
        state::ROCKSDB_DYNAMIC_LEVELS,
        state::ROCKSDB_TARGET_FILE_SIZE,
        state::ROCKSDB_LEVEL_SIZE,
        state::ROCKSDB_COMPRESSION,
        state::ROCKSDB_WRITE_BUFFER_SIZE,
        state::ROCKSDB_WRITE_BUFFERS,
        state::ROCKSDB_MERGED_BUFFERS,
        state::ROCKSDB_BLOCK_SIZE,
        state::ROCKSDB_METADATA_BLOCK_SIZE,
        state::ROCKSDB_BLOCK_CACHE,
        state::ROCKSDB_BLOOM_FILTER,
        state::ROCKSDB_BLOOM_BITS,
        state::ROCKSDB_BLOCK_BLOOM,
        state::ROCKSDB_WRITE_BATCH,
        state::ROCKSDB_TTL_CLOCK_ENTRIES,
        state::ROCKSDB_TTL_COMPACTION,
        taskmanager::HOST,
        taskmanager::BIND_HOST,
        taskmanager::RPC_PORT,
        taskmanager::RPC_BIND_PORT,
        taskmanager::DATA_PORT,
        taskmanager::DATA_BIND_PORT,
        taskmanager::SLOTS,
        taskmanager::CPU_CORES,
        taskmanager::RESOURCE_ID,
        taskmanager::REGISTRATION_TIMEOUT,
        taskmanager::SLOT_TIMEOUT,
        taskmanager::CANCELLATION_TIMEOUT,
    );
    Ok(())
}
