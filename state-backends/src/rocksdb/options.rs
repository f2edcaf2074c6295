//! RocksDB's options from `state.backend.rocksdb.*`, all read here. Keys that are not listed are accepted without effect:
//! among them `high-prio-pool-ratio`, which RocksDB's C interface cannot set, `options-factory`, which names Java code, and
//! the keys of timers and of manual compaction.
use std::path::PathBuf;
use std::time::Duration;

use ::rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompactionStyle, DBCompressionType, LogLevel as RocksLogLevel,
    Options,
};
use wiesel_common::config::options::state::{self, CompactionStyle, Compression, LogLevel, PredefinedOptions};
use wiesel_common::config::{ConfigOption, Configuration};
use wiesel_state::{Error, Result};

use super::memory::SharedMemory;
use super::ttl_filter::TtlFactory;

/// What the configuration says.
#[derive(Clone)]
pub(crate) struct Settings {
    predefined: PredefinedOptions,
    threads: i32,
    open_files: i32,
    log_level: LogLevel,
    log_folder: Option<PathBuf>,
    log_files: u32,
    log_size: u64,
    compaction: CompactionStyle,
    dynamic_levels: bool,
    target_file_size: u64,
    level_size: u64,
    compression: Vec<Compression>,
    write_buffer: u64,
    write_buffers: i32,
    merged_buffers: i32,
    block: u64,
    metadata_block: u64,
    block_cache: u64,
    bloom_bits: Option<f64>,
    block_bloom: bool,
    partitioned_index: bool,
    periodic_compaction: Duration,
    /// Entries between two looks at the clock.
    pub(crate) ttl_clock_entries: u64,
    /// Bytes that a restore writes at once.
    pub(crate) write_batch: usize,
    /// Files that are transferred at once.
    pub(crate) transfers: usize,
}

impl Settings {
    pub(crate) fn new(configuration: &Configuration) -> Result<Self> {
        let config = configuration;
        let at_least_one = |option: &ConfigOption<i32>| -> Result<i32> {
            let value = config.get(option)?;
            let bad = || option.bad_value(option.key(), &value.to_string(), "expected a number above 0").into();
            if value >= 1 { Ok(value) } else { Err(bad()) }
        };
        let bloom = config.get(&state::ROCKSDB_BLOOM_FILTER)?;
        let bloom_bits = config.get(&state::ROCKSDB_BLOOM_BITS)?;
        Ok(Self {
            predefined: config.get(&state::ROCKSDB_PREDEFINED)?,
            threads: at_least_one(&state::ROCKSDB_THREADS)?,
            open_files: config.get(&state::ROCKSDB_OPEN_FILES)?,
            log_level: config.get(&state::ROCKSDB_LOG_LEVEL)?,
            log_folder: config.get_optional(&state::ROCKSDB_LOG_DIRECTORY)?.map(PathBuf::from),
            log_files: config.get(&state::ROCKSDB_LOG_FILES)?,
            log_size: config.get(&state::ROCKSDB_LOG_SIZE)?.bytes(),
            compaction: config.get(&state::ROCKSDB_COMPACTION_STYLE)?,
            dynamic_levels: config.get(&state::ROCKSDB_DYNAMIC_LEVELS)?,
            target_file_size: config.get(&state::ROCKSDB_TARGET_FILE_SIZE)?.bytes(),
            level_size: config.get(&state::ROCKSDB_LEVEL_SIZE)?.bytes(),
            compression: config.get(&state::ROCKSDB_COMPRESSION)?,
            write_buffer: config.get(&state::ROCKSDB_WRITE_BUFFER_SIZE)?.bytes(),
            write_buffers: at_least_one(&state::ROCKSDB_WRITE_BUFFERS)?,
            merged_buffers: at_least_one(&state::ROCKSDB_MERGED_BUFFERS)?,
            block: config.get(&state::ROCKSDB_BLOCK_SIZE)?.bytes(),
            metadata_block: config.get(&state::ROCKSDB_METADATA_BLOCK_SIZE)?.bytes(),
            block_cache: config.get(&state::ROCKSDB_BLOCK_CACHE)?.bytes(),
            bloom_bits: Some(bloom_bits).filter(|_| bloom),
            block_bloom: config.get(&state::ROCKSDB_BLOCK_BLOOM)?,
            partitioned_index: config.get(&state::ROCKSDB_PARTITIONED_INDEX)?,
            periodic_compaction: config.get(&state::ROCKSDB_TTL_COMPACTION)?,
            ttl_clock_entries: config.get(&state::ROCKSDB_TTL_CLOCK_ENTRIES)?.max(1) as u64,
            write_batch: config.get(&state::ROCKSDB_WRITE_BATCH)?.bytes().clamp(1, 256 << 20) as usize,
            transfers: config.get(&state::ROCKSDB_TRANSFER_THREADS)?.max(1) as usize,
        })
    }

    /// Options of an instance.
    pub(crate) fn database(&self, shared: Option<&SharedMemory>) -> Result<Options> {
        // What is in memory at the end is of no use: a restart begins with a checkpoint.
        let mut options = Options::default()
            .get_options_from_string("avoid_flush_during_shutdown=true")
            .map_err(|error| Error::Backend(format!("RocksDB refuses its options: {error}")))?;
        options.set_use_fsync(false);
        options.set_stats_dump_period_sec(0);
        options.set_max_open_files(self.open_files);
        options.set_log_level(match self.log_level {
            LogLevel::Debug => RocksLogLevel::Debug,
            LogLevel::Info => RocksLogLevel::Info,
            LogLevel::Warn => RocksLogLevel::Warn,
            LogLevel::Error => RocksLogLevel::Error,
            LogLevel::Fatal => RocksLogLevel::Fatal,
            LogLevel::Header => RocksLogLevel::Header,
        });
        if let Some(folder) = &self.log_folder {
            options.set_db_log_dir(folder);
        }
        options.set_keep_log_file_num(self.log_files.max(1) as usize);
        options.set_max_log_file_size(self.log_size as usize);
        match self.predefined {
            PredefinedOptions::Default => options.set_max_background_jobs(self.threads),
            _ => options.set_max_background_jobs(self.threads.max(4)),
        }
        if let Some(shared) = shared {
            options.set_write_buffer_manager(&shared.write_buffers);
        }
        Ok(options)
    }

    /// Options of a table.
    pub(crate) fn table(
        &self,
        shared: Option<&SharedMemory>,
        own_cache: Option<&Cache>,
        ttl: Option<TtlFactory>,
    ) -> Options {
        let mut options = Options::default();
        options.set_compaction_style(match self.compaction {
            CompactionStyle::Universal => DBCompactionStyle::Universal,
            CompactionStyle::Fifo => DBCompactionStyle::Fifo,
            CompactionStyle::Level | CompactionStyle::None => DBCompactionStyle::Level,
        });
        options.set_disable_auto_compactions(self.compaction == CompactionStyle::None);
        let spinning = !matches!(self.predefined, PredefinedOptions::Default | PredefinedOptions::Flash);
        options.set_level_compaction_dynamic_level_bytes(self.dynamic_levels || spinning);
        options.set_target_file_size_base(self.target_file_size);
        options.set_max_bytes_for_level_base(self.level_size);
        let compression: Vec<_> = self.compression.iter().map(|one| compression_type(*one)).collect();
        match compression.as_slice() {
            [] => {}
            [one] => options.set_compression_type(*one),
            several => options.set_compression_per_level(several),
        }
        options.set_write_buffer_size(self.write_buffer as usize);
        options.set_max_write_buffer_number(self.write_buffers);
        options.set_min_write_buffer_number_to_merge(self.merged_buffers);
        if let Some(shared) = shared {
            options.set_arena_block_size(shared.arena_block());
        }
        options.set_block_based_table_factory(&self.blocks(shared, own_cache));
        if let Some(ttl) = ttl {
            options.set_periodic_compaction_seconds(self.periodic_compaction.as_secs());
            options.set_compaction_filter_factory(ttl);
        }
        options
    }

    /// The cache of an instance that does not share one.
    pub(crate) fn own_cache(&self) -> Cache {
        Cache::new_lru_cache(self.block_cache as usize)
    }

    fn blocks(&self, shared: Option<&SharedMemory>, own_cache: Option<&Cache>) -> BlockBasedOptions {
        let mut blocks = BlockBasedOptions::default();
        blocks.set_block_size(self.block as usize);
        blocks.set_metadata_block_size(self.metadata_block as usize);
        if let Some(bits) = self.bloom_bits {
            blocks.set_bloom_filter(bits, self.block_bloom);
        }
        if let Some(cache) = shared.map(|shared| &shared.cache).or(own_cache) {
            blocks.set_block_cache(cache);
        }
        if shared.is_some() {
            // Indexes and filters count against the shared memory and go last.
            blocks.set_cache_index_and_filter_blocks(true);
            blocks.set_cache_index_and_filter_blocks_with_high_priority(true);
            blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
            if self.partitioned_index {
                blocks.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
                blocks.set_partition_filters(self.bloom_bits.is_some());
                blocks.set_pin_top_level_index_and_filter(true);
            }
        }
        blocks
    }
}

fn compression_type(compression: Compression) -> DBCompressionType {
    match compression {
        Compression::None => DBCompressionType::None,
        Compression::Snappy => DBCompressionType::Snappy,
        Compression::Lz4 => DBCompressionType::Lz4,
        Compression::Lz4hc => DBCompressionType::Lz4hc,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Result<Settings> {
        let key = |key: &str| format!("state.backend.rocksdb.{key}");
        Settings::new(&pairs.iter().map(|(name, value)| (key(name), value.to_string())).collect())
    }

    #[test]
    fn values_and_defaults() {
        let default = settings(&[]).unwrap();
        assert_eq!((default.write_buffer, default.transfers, default.threads), (64 << 20, 4, 2));
        assert_eq!(default.bloom_bits, Some(10.0));
        let levels = "NO_COMPRESSION;LZ4_COMPRESSION";
        let set = settings(&[("use-bloom-filter", "false"), ("compression.per.level", levels)]).unwrap();
        assert_eq!(set.bloom_bits, None);
        assert_eq!(set.compression, [Compression::None, Compression::Lz4]);
        let bracketed = settings(&[("compression.per.level", "[SNAPPY_COMPRESSION]")]).unwrap();
        assert_eq!(bracketed.compression, [Compression::Snappy]);
    }

    #[test]
    fn a_bad_value_names_its_key() {
        let error = settings(&[("thread.num", "0")]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("state.backend.rocksdb.thread.num"), "{error}");
        let error = settings(&[("compaction.style", "ROUND")]).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("LEVEL, UNIVERSAL, FIFO, NONE"), "{error}");
    }
}
