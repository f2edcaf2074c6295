//! Which back end a job's keyed state is in, and what all of them share in a TaskManager.
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::runtime::Handle;
use wiesel_common::config::Configuration;
use wiesel_common::config::options::state::{self, BackendType};
use wiesel_common::time::{Clock, SystemClock};
use wiesel_state::Result;
use wiesel_state::cache_share::CachePool;
use wiesel_state::keyed::StateBackend;
use wiesel_state::storage::CheckpointStorage;

use crate::hashmap::HashMapBackend;
use crate::local::LocalFolders;
use crate::rocksdb::{MemoryPlan, RocksDbBackend, SharedMemory};

/// What the back ends of one TaskManager share: folders on local disk, memory for caches. Made once at its start; at its
/// end, after all back ends, the folders are deleted.
pub struct StateResources {
    folders: LocalFolders,
    memory: Option<MemoryPlan>,
    shared: OnceLock<SharedMemory>,
    operator_cache: u64,
    caches: Arc<CachePool>,
    clock: Arc<dyn Clock>,
}

impl StateResources {
    /// What the configuration says, for so many bytes of managed memory and so many slots. Deletes what dead processes have
    /// left in the folders.
    ///
    /// # Errors
    /// A bad value.
    pub fn new(configuration: &Configuration, managed: u64, slots: u32) -> Result<Arc<Self>> {
        Self::with_clock(configuration, managed, slots, Arc::new(SystemClock))
    }

    /// As [`StateResources::new`], with a clock for time-to-live.
    pub fn with_clock(
        configuration: &Configuration,
        managed: u64,
        slots: u32,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>> {
        let memory = MemoryPlan::new(configuration, managed, slots)?;
        let operator_cache = match configuration.get(&state::BACKEND)? {
            BackendType::HashMap => managed,
            BackendType::RocksDb => managed - memory.as_ref().map_or(0, |plan| plan.of_managed.min(managed)),
        };
        let folders = LocalFolders::new(local_folders(configuration)?);
        let caches = CachePool::new(operator_cache);
        Ok(Arc::new(Self { folders, memory, shared: OnceLock::new(), operator_cache, caches, clock }))
    }

    /// The part of managed memory that operators may use for what they hold back, in bytes, of all slots together: what the
    /// cluster's back end leaves.
    pub fn operator_cache(&self) -> u64 {
        self.operator_cache
    }

    /// What RocksDB has of managed memory now, in bytes: blocks and write buffers.
    pub fn rocksdb_bytes(&self) -> u64 {
        self.shared.get().map_or(0, |shared| shared.cache.get_usage() as u64)
    }

    /// The memory that operators share before back ends on disk.
    pub(crate) fn caches(&self) -> &Arc<CachePool> {
        &self.caches
    }

    pub(crate) fn folders(&self) -> &LocalFolders {
        &self.folders
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The memory that all RocksDB instances share; none if each has its own.
    pub(crate) fn shared_memory(&self) -> Option<&SharedMemory> {
        let plan = self.memory.as_ref()?;
        Some(self.shared.get_or_init(|| SharedMemory::new(plan)))
    }
}

/// The back end of a job. `storage`: the job's checkpoints; `runtime`: where files are transferred. Back ends are opened on
/// threads that may block, not on the runtime's own.
///
/// # Errors
/// A bad value in the job's configuration.
pub fn backend(
    configuration: &Configuration,
    resources: &Arc<StateResources>,
    storage: CheckpointStorage,
    runtime: Handle,
) -> Result<Arc<dyn StateBackend>> {
    Ok(match configuration.get(&state::BACKEND)? {
        BackendType::HashMap => Arc::new(HashMapBackend::new(configuration, resources.clone(), storage, runtime)?),
        BackendType::RocksDb => Arc::new(RocksDbBackend::new(configuration, resources.clone(), storage, runtime)?),
    })
}

/// Folders separated by commas or colons, as Flink separates them.
fn local_folders(configuration: &Configuration) -> Result<Vec<PathBuf>> {
    let own = configuration.get_optional(&state::ROCKSDB_DIRECTORIES)?.filter(|text| !text.trim().is_empty());
    let text = match own {
        Some(text) => text,
        None => configuration.get(&state::TEMPORARY_DIRECTORIES)?,
    };
    Ok(state::folders(&text))
}

#[cfg(test)]
pub(crate) mod tests;
