//! The memory of a TaskManager.
use super::{MetaspaceAndOverhead, RangeFraction, cgroup, inconsistent, lines, sum};
use crate::config::options::memory::{
    FRAMEWORK_HEAP, FRAMEWORK_OFF_HEAP, MANAGED_FRACTION, MANAGED_SIZE, NETWORK_FRACTION, NETWORK_MAX, NETWORK_MIN,
    TASK_HEAP, TASK_OFF_HEAP, TASKMANAGER,
};
use crate::config::{ConfigError, ConfigValue as _, Configuration, MemorySize};

/// The memory of a TaskManager in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskManagerMemory {
    /// The framework's structures.
    pub framework_heap: MemorySize,
    /// What the framework's libraries take.
    pub framework_off_heap: MemorySize,
    /// What operators hold outside managed memory: rows in flight, buffers of sources and sinks.
    pub task_heap: MemorySize,
    /// What libraries inside operators take.
    pub task_off_heap: MemorySize,
    /// The data plane's buffers.
    pub network: MemorySize,
    /// State, caches, sorting.
    pub managed: MemorySize,
    /// What the process takes beside.
    pub process: MetaspaceAndOverhead,
}

impl TaskManagerMemory {
    /// Sets the size of this process where the configuration has nothing that it follows from: the limit of its control group
    /// (cgroup), which a container engine or systemd has set, or the size that `conf/config.yaml` comes with.
    pub fn give_size(config: &mut Configuration) {
        Self::give_size_within(config, cgroup::memory_limit());
    }

    pub(super) fn give_size_within(config: &mut Configuration, limit: Option<MemorySize>) {
        if !(config.contains(&TASK_HEAP) && config.contains(&MANAGED_SIZE)) {
            TASKMANAGER.give_size(config, limit);
        }
    }

    /// Derives the parts from what is configured.
    pub fn from_config(config: &Configuration) -> Result<Self, ConfigError> {
        let flink = config.get_optional(&TASKMANAGER.flink_size)?;
        let fixed = Fixed::read(config)?;
        if let (Some(task_heap), Some(managed)) =
            (config.get_optional(&TASK_HEAP)?, config.get_optional(&MANAGED_SIZE)?)
        {
            let known = sum([fixed.sum(), task_heap, managed]);
            let network = match flink {
                Some(flink) => network_beside(config, &fixed, task_heap, managed, flink)?,
                None => network_range(config)?.beside(known),
            };
            let process = TASKMANAGER.beside_flink(config, sum([known, network]))?;
            return Ok(fixed.with(task_heap, network, managed, process));
        }
        if let Some(flink) = flink {
            let beside = TASKMANAGER.beside_flink(config, flink)?;
            return Self::of_flink(config, &fixed, flink, beside);
        }
        let Some(process) = config.get_optional(&TASKMANAGER.process_size)? else {
            return TASKMANAGER.not_configured(&[TASK_HEAP.key(), MANAGED_SIZE.key()]);
        };
        let beside = TASKMANAGER.beside_process(config, process)?;
        let flink = MemorySize(process.0 - beside.metaspace.0 - beside.overhead.0);
        Self::of_flink(config, &fixed, flink, beside)
    }

    fn of_flink(
        config: &Configuration,
        fixed: &Fixed,
        flink: MemorySize,
        process: MetaspaceAndOverhead,
    ) -> Result<Self, ConfigError> {
        let managed = match config.get_optional(&MANAGED_SIZE)? {
            Some(managed) => managed,
            None => flink.multiply(managed_fraction(config)?),
        };
        if let Some(task_heap) = config.get_optional(&TASK_HEAP)? {
            let network = network_beside(config, fixed, task_heap, managed, flink)?;
            return Ok(fixed.with(task_heap, network, managed, process));
        }
        let network = network_range(config)?.of(flink);
        let known = sum([fixed.sum(), managed, network]);
        if known > flink {
            return inconsistent(format!(
                "Sum of configured Framework Heap Memory ({}), Framework Off-Heap Memory ({}), Task Off-Heap Memory ({}), \
                 Managed Memory ({}) and Network Memory ({}) exceed configured Total Flink Memory ({}). Raise '{}' or \
                 '{}', or lower the others",
                fixed.framework_heap.human_readable(),
                fixed.framework_off_heap.human_readable(),
                fixed.task_off_heap.human_readable(),
                managed.human_readable(),
                network.human_readable(),
                flink.human_readable(),
                TASKMANAGER.process_size.key(),
                TASKMANAGER.flink_size.key()
            ));
        }
        Ok(fixed.with(MemorySize(flink.0 - known.0), network, managed, process))
    }

    /// Heap of framework and tasks.
    pub fn total_heap(&self) -> MemorySize {
        sum([self.framework_heap, self.task_heap])
    }

    /// What is off the heap: managed memory, the framework's, the tasks' and the network's.
    pub fn total_off_heap(&self) -> MemorySize {
        sum([self.managed, self.total_direct()])
    }

    fn total_direct(&self) -> MemorySize {
        sum([self.framework_off_heap, self.task_off_heap, self.network])
    }

    /// All but metaspace and overhead.
    pub fn total_flink(&self) -> MemorySize {
        sum([self.total_heap(), self.total_off_heap()])
    }

    /// All memory of the process.
    pub fn total_process(&self) -> MemorySize {
        sum([self.total_flink(), self.process.metaspace, self.process.overhead])
    }

    /// The breakdown as Flink prints it, line by line.
    pub fn breakdown(&self) -> Vec<String> {
        lines(&[
            (1, "Total Process Memory", self.total_process()),
            (2, "Total Flink Memory", self.total_flink()),
            (3, "Total JVM Heap Memory", self.total_heap()),
            (4, "Framework", self.framework_heap),
            (4, "Task", self.task_heap),
            (3, "Total Off-heap Memory", self.total_off_heap()),
            (4, "Managed", self.managed),
            (4, "Total JVM Direct Memory", self.total_direct()),
            (5, "Framework", self.framework_off_heap),
            (5, "Task", self.task_off_heap),
            (5, "Network", self.network),
            (2, "JVM Metaspace", self.process.metaspace),
            (2, "JVM Overhead", self.process.overhead),
        ])
    }
}

/// The parts that are never derived.
struct Fixed {
    framework_heap: MemorySize,
    framework_off_heap: MemorySize,
    task_off_heap: MemorySize,
}

impl Fixed {
    fn read(config: &Configuration) -> Result<Self, ConfigError> {
        Ok(Self {
            framework_heap: config.get(&FRAMEWORK_HEAP)?,
            framework_off_heap: config.get(&FRAMEWORK_OFF_HEAP)?,
            task_off_heap: config.get(&TASK_OFF_HEAP)?,
        })
    }

    fn sum(&self) -> MemorySize {
        sum([self.framework_heap, self.framework_off_heap, self.task_off_heap])
    }

    fn with(
        &self,
        task_heap: MemorySize,
        network: MemorySize,
        managed: MemorySize,
        process: MetaspaceAndOverhead,
    ) -> TaskManagerMemory {
        let &Fixed { framework_heap, framework_off_heap, task_off_heap } = self;
        TaskManagerMemory { framework_heap, framework_off_heap, task_heap, task_off_heap, network, managed, process }
    }
}

fn managed_fraction(config: &Configuration) -> Result<f64, ConfigError> {
    let fraction = config.get(&MANAGED_FRACTION)?;
    if !(0.0..1.0).contains(&fraction) {
        let value = fraction.show();
        return Err(MANAGED_FRACTION.bad_value(MANAGED_FRACTION.key(), &value, "expected a number from 0 to below 1"));
    }
    Ok(f64::from(fraction))
}

fn network_range(config: &Configuration) -> Result<RangeFraction, ConfigError> {
    RangeFraction::read(config, "Network Memory", (&NETWORK_MIN, &NETWORK_MAX), &NETWORK_FRACTION)
}

/// Network memory as the rest of the Flink memory.
fn network_beside(
    config: &Configuration,
    fixed: &Fixed,
    task_heap: MemorySize,
    managed: MemorySize,
    flink: MemorySize,
) -> Result<MemorySize, ConfigError> {
    let known = sum([fixed.sum(), task_heap, managed]);
    if known > flink {
        return inconsistent(format!(
            "Sum of configured Framework Heap Memory ({}), Framework Off-Heap Memory ({}), Task Heap Memory ({}), Task \
             Off-Heap Memory ({}) and Managed Memory ({}) exceed configured Total Flink Memory ({})",
            fixed.framework_heap.human_readable(),
            fixed.framework_off_heap.human_readable(),
            task_heap.human_readable(),
            fixed.task_off_heap.human_readable(),
            managed.human_readable(),
            flink.human_readable()
        ));
    }
    let network = MemorySize(flink.0 - known.0);
    let checked = network_range(config)?.check(network);
    checked.map_err(|error| {
        ConfigError::Inconsistent(format!(
            "If Total Flink, Task Heap and (or) Managed Memory sizes are explicitly configured then the Network Memory \
             size is the rest of the Total Flink memory after subtracting all other configured types of memory, but the \
             derived Network Memory is inconsistent with its configuration: {error}"
        ))
    })?;
    Ok(network)
}
