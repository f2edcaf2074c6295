//! Keyed state: which back end holds it, where, and with how much memory.
use std::path::PathBuf;
use std::time::Duration;

use crate::config::{ConfigOption, MemorySize};

crate::config_enum! {
    /// The back ends.
    pub enum BackendType {
        /// In memory.
        HashMap = "hashmap"
            | "filesystem"
            | "jobmanager"
            | "org.apache.flink.runtime.state.hashmap.HashMapStateBackendFactory"
            | "org.apache.flink.runtime.state.hashmap.HashMapStateBackend",
        /// On local disk, with caches in memory.
        RocksDb = "rocksdb"
            | "org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackendFactory"
            | "org.apache.flink.state.rocksdb.EmbeddedRocksDBStateBackend"
            | "org.apache.flink.contrib.streaming.state.EmbeddedRocksDBStateBackendFactory",
    }
}

crate::config_enum! {
    /// How RocksDB sorts its files together.
    pub enum CompactionStyle {
        /// Levels of growing size.
        Level = "LEVEL",
        /// Runs of similar size.
        Universal = "UNIVERSAL",
        /// The oldest files go.
        Fifo = "FIFO",
        /// Not at all.
        None = "NONE",
    }
}

crate::config_enum! {
    /// How RocksDB compresses.
    pub enum Compression {
        /// Not at all.
        None = "NO_COMPRESSION",
        /// Snappy.
        Snappy = "SNAPPY_COMPRESSION",
        /// LZ4.
        Lz4 = "LZ4_COMPRESSION",
        /// LZ4, slower and smaller.
        Lz4hc = "LZ4HC_COMPRESSION",
    }
}

crate::config_enum! {
    /// What RocksDB logs.
    pub enum LogLevel {
        /// Everything.
        Debug = "DEBUG_LEVEL",
        /// What it does.
        Info = "INFO_LEVEL",
        /// What is doubtful.
        Warn = "WARN_LEVEL",
        /// What went wrong.
        Error = "ERROR_LEVEL",
        /// What ends the process.
        Fatal = "FATAL_LEVEL",
        /// Its configuration.
        Header = "HEADER_LEVEL",
    }
}

crate::config_enum! {
    /// Sets of RocksDB options for kinds of disks.
    pub enum PredefinedOptions {
        /// RocksDB's own.
        Default = "DEFAULT",
        /// Levels of dynamic size.
        SpinningDisk = "SPINNING_DISK_OPTIMIZED",
        /// More memory for fewer writes.
        SpinningDiskHighMemory = "SPINNING_DISK_OPTIMIZED_HIGH_MEM",
        /// More threads.
        Flash = "FLASH_SSD_OPTIMIZED",
    }
}

/// The back end.
pub const BACKEND: ConfigOption<BackendType> =
    ConfigOption::new("state.backend.type").default("hashmap").fallback(&["state.backend"]);
/// Folders of temporary files, separated by commas or colons.
pub const TEMPORARY_DIRECTORIES: ConfigOption<String> =
    ConfigOption::new("io.tmp.dirs").default("/tmp").fallback(&["taskmanager.tmp.dirs"]);
/// The folders of such a list. `|` separates them too, as in Flink.
pub fn folders(list: &str) -> Vec<PathBuf> {
    let parts = list.split([',', ':', '|']).map(str::trim);
    // `file:///x` is cut at its colon: what is left of the scheme names nothing.
    let parts = parts.filter(|part| !part.is_empty() && *part != "file").map(|part| match part.strip_prefix("//") {
        Some(rest) => PathBuf::from(rest),
        None => PathBuf::from(part),
    });
    parts.collect()
}

/// How the managed memory of a slot is shared between its consumers.
pub const CONSUMER_WEIGHTS: ConfigOption<std::collections::BTreeMap<String, String>> =
    ConfigOption::new("taskmanager.memory.managed.consumer-weights").default("OPERATOR:70,STATE_BACKEND:70,PYTHON:30");

/// Folders of RocksDB's files, separated by commas or colons; not set: the folders of temporary files.
pub const ROCKSDB_DIRECTORIES: ConfigOption<String> = ConfigOption::new("state.backend.rocksdb.localdir");
/// Whether all instances of a TaskManager share memory that is taken from managed memory.
pub const ROCKSDB_MANAGED: ConfigOption<bool> =
    ConfigOption::new("state.backend.rocksdb.memory.managed").default("true");
/// Shared memory for each slot, instead of managed memory.
pub const ROCKSDB_FIXED_PER_SLOT: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.memory.fixed-per-slot");
/// Shared memory of the whole TaskManager, instead of managed memory.
pub const ROCKSDB_FIXED_PER_TM: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.memory.fixed-per-tm");
/// The share of write buffers in the shared memory.
pub const ROCKSDB_WRITE_BUFFER_RATIO: ConfigOption<f64> =
    ConfigOption::new("state.backend.rocksdb.memory.write-buffer-ratio").default("0.5");
/// The share of the shared memory that indexes and filters have before data.
pub const ROCKSDB_HIGH_PRIORITY_RATIO: ConfigOption<f64> =
    ConfigOption::new("state.backend.rocksdb.memory.high-prio-pool-ratio").default("0.1");
/// Whether indexes and filters are split into parts that are cached on their own.
pub const ROCKSDB_PARTITIONED_INDEX: ConfigOption<bool> =
    ConfigOption::new("state.backend.rocksdb.memory.partitioned-index-filters").default("false");
/// Files that are transferred at once.
pub const ROCKSDB_TRANSFER_THREADS: ConfigOption<u32> =
    ConfigOption::new("state.backend.rocksdb.checkpoint.transfer.thread.num").default("4");
/// A set of options to begin with.
pub const ROCKSDB_PREDEFINED: ConfigOption<PredefinedOptions> =
    ConfigOption::new("state.backend.rocksdb.predefined-options").default("DEFAULT");

/// Threads for flushes and compactions.
pub const ROCKSDB_THREADS: ConfigOption<i32> = ConfigOption::new("state.backend.rocksdb.thread.num").default("2");
/// Files that may be open; -1: all.
pub const ROCKSDB_OPEN_FILES: ConfigOption<i32> = ConfigOption::new("state.backend.rocksdb.files.open").default("-1");
/// What is logged.
pub const ROCKSDB_LOG_LEVEL: ConfigOption<LogLevel> =
    ConfigOption::new("state.backend.rocksdb.log.level").default("INFO_LEVEL");
/// Where it is logged; not set: in the instance's folder.
pub const ROCKSDB_LOG_DIRECTORY: ConfigOption<String> = ConfigOption::new("state.backend.rocksdb.log.dir");
/// Log files that are kept.
pub const ROCKSDB_LOG_FILES: ConfigOption<u32> = ConfigOption::new("state.backend.rocksdb.log.file-num").default("4");
/// The size of a log file.
pub const ROCKSDB_LOG_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.log.max-file-size").default("25 mb");
/// How files are sorted together.
pub const ROCKSDB_COMPACTION_STYLE: ConfigOption<CompactionStyle> =
    ConfigOption::new("state.backend.rocksdb.compaction.style").default("LEVEL");
/// Whether the sizes of levels follow from that of the last.
pub const ROCKSDB_DYNAMIC_LEVELS: ConfigOption<bool> =
    ConfigOption::new("state.backend.rocksdb.compaction.level.use-dynamic-size").default("false");
/// The size of a file of the first level.
pub const ROCKSDB_TARGET_FILE_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.compaction.level.target-file-size-base").default("64 mb");
/// The size of the first level.
pub const ROCKSDB_LEVEL_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.compaction.level.max-size-level-base").default("256 mb");
/// How levels are compressed, from the first; one value holds for all.
pub const ROCKSDB_COMPRESSION: ConfigOption<Vec<Compression>> =
    ConfigOption::new("state.backend.rocksdb.compression.per.level").default("SNAPPY_COMPRESSION");
/// The size of a write buffer.
pub const ROCKSDB_WRITE_BUFFER_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.writebuffer.size").default("64 mb");
/// Write buffers of a table.
pub const ROCKSDB_WRITE_BUFFERS: ConfigOption<i32> =
    ConfigOption::new("state.backend.rocksdb.writebuffer.count").default("2");
/// Write buffers that are merged before they are written.
pub const ROCKSDB_MERGED_BUFFERS: ConfigOption<i32> =
    ConfigOption::new("state.backend.rocksdb.writebuffer.number-to-merge").default("1");
/// The size of a block.
pub const ROCKSDB_BLOCK_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.block.blocksize").default("4 kb");
/// The size of a part of an index or filter.
pub const ROCKSDB_METADATA_BLOCK_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.block.metadata-blocksize").default("4 kb");
/// The block cache of an instance that does not share memory.
pub const ROCKSDB_BLOCK_CACHE: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.block.cache-size").default("8 mb");
/// Whether files have Bloom filters. Flink's default is false; without them every level is searched for a key that is new.
pub const ROCKSDB_BLOOM_FILTER: ConfigOption<bool> =
    ConfigOption::new("state.backend.rocksdb.use-bloom-filter").default("true");
/// Bits of the Bloom filter for each key.
pub const ROCKSDB_BLOOM_BITS: ConfigOption<f64> =
    ConfigOption::new("state.backend.rocksdb.bloom-filter.bits-per-key").default("10.0");
/// Whether there is a Bloom filter for each block.
pub const ROCKSDB_BLOCK_BLOOM: ConfigOption<bool> =
    ConfigOption::new("state.backend.rocksdb.bloom-filter.block-based-mode").default("false");
/// Bytes that a restore writes at once.
pub const ROCKSDB_WRITE_BATCH: ConfigOption<MemorySize> =
    ConfigOption::new("state.backend.rocksdb.write-batch-size").default("2 mb");
/// Entries between two looks at the clock while expired entries are dropped.
pub const ROCKSDB_TTL_CLOCK_ENTRIES: ConfigOption<i64> =
    ConfigOption::new("state.backend.rocksdb.compaction.filter.query-time-after-num-entries").default("1000");
/// How old a file gets before it is sorted again, so that what has expired goes; 0 turns it off.
pub const ROCKSDB_TTL_COMPACTION: ConfigOption<Duration> =
    ConfigOption::new("state.backend.rocksdb.compaction.filter.periodic-compaction-time").default("30 d");
