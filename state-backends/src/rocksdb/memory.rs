//! How much memory all RocksDB instances of a TaskManager share, by Flink's formulas.
use ::rocksdb::{Cache, WriteBufferManager};
use wiesel_common::config::options::state;
use wiesel_common::config::{ConfigError, ConfigOption, Configuration};
use wiesel_state::Result;

/// The largest block in which a write buffer takes memory. Small, because each table takes at least one.
const MAX_ARENA_BLOCK: u64 = 1 << 20;

/// What is to be shared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MemoryPlan {
    /// Bytes in all.
    pub(crate) total: u64,
    /// How many of them are taken from managed memory.
    pub(crate) of_managed: u64,
    write_buffer_ratio: f64,
}

impl MemoryPlan {
    /// For so many bytes of managed memory and so many slots; none: each instance has its own caches.
    pub(crate) fn new(configuration: &Configuration, managed: u64, slots: u32) -> Result<Option<Self>> {
        let write_buffer_ratio = ratios(configuration)?;
        let fixed = |total: u64| Some(Self { total, of_managed: 0, write_buffer_ratio });
        if let Some(per_slot) = configuration.get_optional(&state::ROCKSDB_FIXED_PER_SLOT)? {
            return Ok(fixed(per_slot.bytes() * u64::from(slots)));
        }
        let use_managed = configuration.get(&state::ROCKSDB_MANAGED)?;
        let per_tm = configuration.get_optional(&state::ROCKSDB_FIXED_PER_TM)?;
        if let Some(per_tm) = per_tm
            && (!use_managed || !configuration.contains(&state::ROCKSDB_MANAGED))
        {
            return Ok(fixed(per_tm.bytes()));
        }
        if !use_managed || managed == 0 {
            return Ok(None);
        }
        let total = managed_share(configuration, managed)?;
        Ok(Some(Self { total, of_managed: total, write_buffer_ratio }))
    }

    /// The capacity of the block cache, in bytes: less than the total, because write buffers may grow beyond theirs.
    pub(crate) fn cache(&self) -> u64 {
        ((3.0 - self.write_buffer_ratio) * self.total as f64 / 3.0) as u64
    }

    /// The capacity of the write buffers, in bytes.
    pub(crate) fn write_buffers(&self) -> u64 {
        (2.0 * self.total as f64 * self.write_buffer_ratio / 3.0) as u64
    }
}

/// The part of managed memory that state has, beside operators.
fn managed_share(configuration: &Configuration, managed: u64) -> Result<u64> {
    let option = &state::CONSUMER_WEIGHTS;
    let weights = configuration.get(option)?;
    let weight = |consumer: &str| -> Result<u64> {
        let text = weights.get(consumer).map_or("0", String::as_str);
        text.trim().parse().map_err(|_| {
            let expected = "expected whole numbers, as in `OPERATOR:70,STATE_BACKEND:70`";
            option.bad_value(option.key(), text, expected).into()
        })
    };
    let (operator, state) = (weight("OPERATOR")?, weight("STATE_BACKEND")?);
    Ok(match operator + state {
        0 => managed / 2,
        both => (u128::from(managed) * u128::from(state) / u128::from(both)) as u64,
    })
}

fn ratios(configuration: &Configuration) -> Result<f64> {
    let ratio = |option: &ConfigOption<f64>| -> Result<f64> {
        let value = configuration.get(option)?;
        let bad = || option.bad_value(option.key(), &value.to_string(), "expected a number above 0 and below 1").into();
        if value > 0.0 && value < 1.0 { Ok(value) } else { Err(bad()) }
    };
    let write_buffers = ratio(&state::ROCKSDB_WRITE_BUFFER_RATIO)?;
    let high_priority = configuration.get(&state::ROCKSDB_HIGH_PRIORITY_RATIO)?;
    if !(0.0..1.0).contains(&high_priority) || write_buffers + high_priority >= 1.0 {
        let (one, other) = (state::ROCKSDB_WRITE_BUFFER_RATIO.key(), state::ROCKSDB_HIGH_PRIORITY_RATIO.key());
        let message = format!("the sum of '{one}' and '{other}' must be below 1, and neither may be negative");
        return Err(ConfigError::Inconsistent(message).into());
    }
    Ok(write_buffers)
}

/// The cache and the write buffers that all instances share.
pub(crate) struct SharedMemory {
    pub(crate) cache: Cache,
    pub(crate) write_buffers: WriteBufferManager,
}

impl SharedMemory {
    pub(crate) fn new(plan: &MemoryPlan) -> Self {
        let cache = Cache::new_lru_cache(plan.cache() as usize);
        let write_buffers = plan.write_buffers() as usize;
        // Memory of write buffers is taken out of the cache, so that both together stay in bounds.
        let write_buffers =
            WriteBufferManager::new_write_buffer_manager_with_cache(write_buffers, false, cache.clone());
        tracing::info!(total = plan.total, cache = plan.cache(), "memory shared by all RocksDB instances");
        Self { cache, write_buffers }
    }

    /// The block in which a write buffer takes memory, so that the first of a table does not fill all there is.
    pub(crate) fn arena_block(&self) -> usize {
        (self.write_buffers.get_buffer_size() as u64 / 64).clamp(4 << 10, MAX_ARENA_BLOCK) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(pairs: &[(&str, &str)], managed: u64) -> Option<MemoryPlan> {
        let config = pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
        MemoryPlan::new(&config, managed, 2).unwrap()
    }

    #[test]
    fn where_the_memory_comes_from() {
        let managed = plan(&[], 512 << 20).unwrap();
        assert_eq!((managed.total, managed.of_managed), (256 << 20, 256 << 20));
        // Flink's: (3 - 0.5) / 3 and 2 * 0.5 / 3 of the total.
        assert_eq!((managed.cache(), managed.write_buffers()), (223_696_213, 89_478_485));
        let weights =
            plan(&[("taskmanager.memory.managed.consumer-weights", "OPERATOR:1,STATE_BACKEND:3")], 400).unwrap();
        assert_eq!(weights.total, 300);
        let fixed = plan(&[("state.backend.rocksdb.memory.fixed-per-slot", "100mb")], 512 << 20).unwrap();
        assert_eq!((fixed.total, fixed.of_managed), (200 << 20, 0));
        let fixed = plan(&[("state.backend.rocksdb.memory.fixed-per-tm", "100mb")], 512 << 20).unwrap();
        assert_eq!((fixed.total, fixed.of_managed), (100 << 20, 0));
        assert_eq!(plan(&[("state.backend.rocksdb.memory.managed", "false")], 512 << 20), None);
        assert_eq!(plan(&[], 0), None);
    }

    #[test]
    fn ratios_that_are_none() {
        let ratio = |write: &str, high: &str| {
            let keys =
                ["write-buffer-ratio", "high-prio-pool-ratio"].map(|key| format!("state.backend.rocksdb.memory.{key}"));
            let config = keys.into_iter().zip([write.to_owned(), high.to_owned()]).collect();
            MemoryPlan::new(&config, 1 << 20, 1).map(|_| ()).map_err(|error| error.to_string())
        };
        assert_eq!(ratio("0.5", "0.1"), Ok(()));
        assert!(ratio("0", "0.1").unwrap_err().contains("write-buffer-ratio"));
        assert!(ratio("0.9", "0.1").unwrap_err().contains("below 1"));
    }
}
