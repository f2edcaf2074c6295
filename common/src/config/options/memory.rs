//! Sizes of memory, for [`crate::memory`].
use crate::config::{ConfigOption, MemorySize};

/// The options of one kind of process that its memory model starts from.
#[derive(Debug)]
pub struct ProcessOptions {
    /// All memory of the process.
    pub process_size: ConfigOption<MemorySize>,
    /// All memory but metaspace and overhead.
    pub flink_size: ConfigOption<MemorySize>,
    /// Metaspace.
    pub metaspace_size: ConfigOption<MemorySize>,
    /// The least overhead.
    pub overhead_min: ConfigOption<MemorySize>,
    /// The largest overhead.
    pub overhead_max: ConfigOption<MemorySize>,
    /// The overhead's share of the process.
    pub overhead_fraction: ConfigOption<f32>,
    /// The size of a process for which none is configured and that has no limit: the one that `conf/config.yaml` comes with.
    pub shipped_size: MemorySize,
}

/// The JobManager's.
pub const JOBMANAGER: ProcessOptions = ProcessOptions {
    process_size: ConfigOption::new("jobmanager.memory.process.size"),
    flink_size: ConfigOption::new("jobmanager.memory.flink.size"),
    metaspace_size: ConfigOption::new("jobmanager.memory.jvm-metaspace.size").default("256 mb"),
    overhead_min: ConfigOption::new("jobmanager.memory.jvm-overhead.min").default("192 mb"),
    overhead_max: ConfigOption::new("jobmanager.memory.jvm-overhead.max").default("1 gb"),
    overhead_fraction: ConfigOption::new("jobmanager.memory.jvm-overhead.fraction").default("0.1"),
    shipped_size: MemorySize::from_mebibytes(1600),
};
/// The JobManager's heap.
pub const JOBMANAGER_HEAP: ConfigOption<MemorySize> = ConfigOption::new("jobmanager.memory.heap.size");
/// The JobManager's memory off the heap.
pub const JOBMANAGER_OFF_HEAP: ConfigOption<MemorySize> =
    ConfigOption::new("jobmanager.memory.off-heap.size").default("128 mb");

/// The TaskManager's.
pub const TASKMANAGER: ProcessOptions = ProcessOptions {
    process_size: ConfigOption::new("taskmanager.memory.process.size"),
    flink_size: ConfigOption::new("taskmanager.memory.flink.size"),
    metaspace_size: ConfigOption::new("taskmanager.memory.jvm-metaspace.size").default("256 mb"),
    overhead_min: ConfigOption::new("taskmanager.memory.jvm-overhead.min").default("192 mb"),
    overhead_max: ConfigOption::new("taskmanager.memory.jvm-overhead.max").default("1 gb"),
    overhead_fraction: ConfigOption::new("taskmanager.memory.jvm-overhead.fraction").default("0.1"),
    shipped_size: MemorySize::from_mebibytes(1728),
};
/// Heap of the framework.
pub const FRAMEWORK_HEAP: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.framework.heap.size").default("128 mb");
/// Memory of the framework off the heap.
pub const FRAMEWORK_OFF_HEAP: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.framework.off-heap.size").default("128 mb");
/// Heap of the tasks.
pub const TASK_HEAP: ConfigOption<MemorySize> = ConfigOption::new("taskmanager.memory.task.heap.size");
/// Memory of the tasks off the heap.
pub const TASK_OFF_HEAP: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.task.off-heap.size").default("0 bytes");
/// Managed memory: state, sorting, caches.
pub const MANAGED_SIZE: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.managed.size").fallback(&["taskmanager.memory.size"]);
/// Managed memory's share of the Flink memory.
pub const MANAGED_FRACTION: ConfigOption<f32> = ConfigOption::new("taskmanager.memory.managed.fraction").default("0.4");
/// The least network memory.
pub const NETWORK_MIN: ConfigOption<MemorySize> =
    ConfigOption::new("taskmanager.memory.network.min").default("64 mb").fallback(&["taskmanager.network.memory.min"]);
/// The most network memory.
pub const NETWORK_MAX: ConfigOption<MemorySize> = ConfigOption::new("taskmanager.memory.network.max")
    .default("9223372036854775807 bytes")
    .fallback(&["taskmanager.network.memory.max"]);
/// Network memory's share of the Flink memory.
pub const NETWORK_FRACTION: ConfigOption<f32> = ConfigOption::new("taskmanager.memory.network.fraction")
    .default("0.1")
    .fallback(&["taskmanager.network.memory.fraction"]);
