//! The memory of a JobManager.
use super::{MetaspaceAndOverhead, cgroup, inconsistent, lines, sum};
use crate::config::options::memory::{JOBMANAGER, JOBMANAGER_HEAP, JOBMANAGER_OFF_HEAP};
use crate::config::{ConfigError, Configuration, MemorySize};

/// The memory of a JobManager in its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JobManagerMemory {
    /// What the JobManager's own structures may take.
    pub heap: MemorySize,
    /// What its libraries may take.
    pub off_heap: MemorySize,
    /// What the process takes beside.
    pub process: MetaspaceAndOverhead,
}

impl JobManagerMemory {
    /// Sets the size of this process where the configuration has nothing that it follows from: the limit of its control group
    /// (cgroup), which a container engine or systemd has set, or the size that `conf/config.yaml` comes with.
    pub fn give_size(config: &mut Configuration) {
        Self::give_size_within(config, cgroup::memory_limit());
    }

    pub(super) fn give_size_within(config: &mut Configuration, limit: Option<MemorySize>) {
        if !config.contains(&JOBMANAGER_HEAP) {
            JOBMANAGER.give_size(config, limit);
        }
    }

    /// Derives the parts from what is configured.
    pub fn from_config(config: &Configuration) -> Result<Self, ConfigError> {
        let flink = config.get_optional(&JOBMANAGER.flink_size)?;
        if let Some(heap) = config.get_optional(&JOBMANAGER_HEAP)? {
            let off_heap = match flink {
                Some(flink) => off_heap_beside(config, heap, flink)?,
                None => config.get(&JOBMANAGER_OFF_HEAP)?,
            };
            let process = JOBMANAGER.beside_flink(config, sum([heap, off_heap]))?;
            return Ok(Self { heap, off_heap, process });
        }
        if let Some(flink) = flink {
            return Self::of_flink(config, flink, JOBMANAGER.beside_flink(config, flink)?);
        }
        let Some(process) = config.get_optional(&JOBMANAGER.process_size)? else {
            return JOBMANAGER.not_configured(&[JOBMANAGER_HEAP.key()]);
        };
        let beside = JOBMANAGER.beside_process(config, process)?;
        Self::of_flink(config, MemorySize(process.0 - beside.metaspace.0 - beside.overhead.0), beside)
    }

    fn of_flink(config: &Configuration, flink: MemorySize, process: MetaspaceAndOverhead) -> Result<Self, ConfigError> {
        let off_heap = config.get(&JOBMANAGER_OFF_HEAP)?;
        if flink < off_heap {
            return inconsistent(format!(
                "The configured Total Flink Memory ({}) is less than the configured Off-heap Memory ({}). Raise the one \
                 or lower '{}'",
                flink.human_readable(),
                off_heap.human_readable(),
                JOBMANAGER_OFF_HEAP.key()
            ));
        }
        Ok(Self { heap: MemorySize(flink.0 - off_heap.0), off_heap, process })
    }

    /// All but metaspace and overhead.
    pub fn total_flink(&self) -> MemorySize {
        sum([self.heap, self.off_heap])
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
            (3, "JVM Heap", self.heap),
            (3, "Off-heap", self.off_heap),
            (2, "JVM Metaspace", self.process.metaspace),
            (2, "JVM Overhead", self.process.overhead),
        ])
    }
}

/// Off-heap memory where heap and Flink memory are set: the rest, which must not contradict the option if that is set.
fn off_heap_beside(config: &Configuration, heap: MemorySize, flink: MemorySize) -> Result<MemorySize, ConfigError> {
    let advice = "Please, make the configuration consistent or configure only one option: either JVM Heap or Total Flink \
                  Memory.";
    if flink < heap {
        return inconsistent(format!(
            "The configured JVM Heap Memory ({}) exceeds the configured Total Flink Memory ({}). {advice}",
            heap.human_readable(),
            flink.human_readable()
        ));
    }
    let rest = MemorySize(flink.0 - heap.0);
    if config.contains(&JOBMANAGER_OFF_HEAP) {
        let off_heap = config.get(&JOBMANAGER_OFF_HEAP)?;
        if off_heap != rest {
            return inconsistent(format!(
                "Sum of the configured JVM Heap Memory ({}) and the configured Off-heap Memory ({}) does not match the \
                 configured Total Flink Memory ({}). {advice}",
                heap.human_readable(),
                off_heap.human_readable(),
                flink.human_readable()
            ));
        }
    }
    Ok(rest)
}
