//! Flink's memory model: from the size of the process, of Flink's part of it, or of single parts, all the others.
//!
//! The numbers are Flink's to the byte, so that a configuration keeps its meaning. What Flink calls heap, metaspace and
//! overhead is memory of this process all the same: heap is what operators and the framework may hold outside the
//! managed and network budgets, metaspace and overhead are the allowance for code, stacks and allocator slack.
use crate::config::options::memory::ProcessOptions;
use crate::config::{ConfigError, ConfigOption, Configuration, MemorySize};

mod cgroup;
mod jobmanager;
mod taskmanager;

pub use jobmanager::JobManagerMemory;
pub use taskmanager::TaskManagerMemory;

/// What a process has beside Flink's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetaspaceAndOverhead {
    /// Metaspace.
    pub metaspace: MemorySize,
    /// Overhead.
    pub overhead: MemorySize,
}

/// A size given as a fraction, within bounds.
struct RangeFraction {
    name: &'static str,
    min: MemorySize,
    max: MemorySize,
    fraction: f64,
}

impl RangeFraction {
    fn read(
        config: &Configuration,
        name: &'static str,
        (min, max): (&ConfigOption<MemorySize>, &ConfigOption<MemorySize>),
        fraction: &ConfigOption<f32>,
    ) -> Result<Self, ConfigError> {
        let bounds = (config.get(min)?, config.get(max)?);
        let value = f64::from(config.get(fraction)?);
        if bounds.0 > bounds.1 || !(0.0..1.0).contains(&value) {
            return inconsistent(format!(
                "Inconsistently configured {name}: the fraction '{}' is {value}, its minimum '{}' is {}, its maximum '{}' \
                 is {}; the fraction must lie from 0 to below 1 and the minimum must not exceed the maximum",
                fraction.key(),
                min.key(),
                bounds.0.human_readable(),
                max.key(),
                bounds.1.human_readable()
            ));
        }
        Ok(Self { name, min: bounds.0, max: bounds.1, fraction: value })
    }

    /// The fraction of a whole.
    fn of(&self, whole: MemorySize) -> MemorySize {
        self.within(whole.multiply(self.fraction))
    }

    /// The fraction of a whole of which the rest is known.
    fn beside(&self, rest: MemorySize) -> MemorySize {
        self.within(rest.multiply(self.fraction / (1.0 - self.fraction)))
    }

    fn within(&self, size: MemorySize) -> MemorySize {
        if size > self.max {
            tracing::info!(
                "The {} derived from its fraction ({}) is above its maximum, which is used instead: {}",
                self.name,
                size.human_readable(),
                self.max.human_readable()
            );
        } else if size < self.min {
            tracing::info!(
                "The {} derived from its fraction ({}) is below its minimum, which is used instead: {}",
                self.name,
                size.human_readable(),
                self.min.human_readable()
            );
        }
        size.clamp(self.min, self.max)
    }

    fn check(&self, size: MemorySize) -> Result<(), ConfigError> {
        if size < self.min || size > self.max {
            return inconsistent(format!(
                "Derived {} size ({}) is not in its configured range [{}, {}]",
                self.name,
                size.human_readable(),
                self.min.human_readable(),
                self.max.human_readable()
            ));
        }
        Ok(())
    }
}

impl ProcessOptions {
    /// Sets the size of the process where nothing is configured that it would follow from: all memory that there is for it.
    fn give_size(&self, config: &mut Configuration, limit: Option<MemorySize>) {
        if config.contains(&self.process_size) || config.contains(&self.flink_size) {
            return;
        }
        let (size, origin) = match limit {
            Some(limit) => (limit, "the limit of its control group (cgroup)"),
            None => (self.shipped_size, "the size in the conf/config.yaml of an installation"),
        };
        let key = self.process_size.key();
        tracing::info!("No size of the process is configured: '{key}' is {}, {origin}", size.human_readable());
        config.set(key, size.to_string());
    }

    fn overhead_range(&self, config: &Configuration) -> Result<RangeFraction, ConfigError> {
        let bounds = (&self.overhead_min, &self.overhead_max);
        RangeFraction::read(config, "JVM Overhead", bounds, &self.overhead_fraction)
    }

    /// Metaspace and overhead of a process of a given size.
    fn beside_process(&self, config: &Configuration, process: MemorySize) -> Result<MetaspaceAndOverhead, ConfigError> {
        let metaspace = config.get(&self.metaspace_size)?;
        let overhead = self.overhead_range(config)?.of(process);
        if sum([metaspace, overhead]) > process {
            return inconsistent(format!(
                "Sum of configured JVM Metaspace ({}) and JVM Overhead ({}) exceed configured Total Process Memory ({}). \
                 Raise '{}' or lower the others",
                metaspace.human_readable(),
                overhead.human_readable(),
                process.human_readable(),
                self.process_size.key()
            ));
        }
        Ok(MetaspaceAndOverhead { metaspace, overhead })
    }

    /// Metaspace and overhead beside a Flink memory of a given size; the size of the process counts if it is set too.
    fn beside_flink(&self, config: &Configuration, flink: MemorySize) -> Result<MetaspaceAndOverhead, ConfigError> {
        let metaspace = config.get(&self.metaspace_size)?;
        let rest = sum([flink, metaspace]);
        let range = self.overhead_range(config)?;
        let Some(process) = config.get_optional(&self.process_size)? else {
            return Ok(MetaspaceAndOverhead { metaspace, overhead: range.beside(rest) });
        };
        if process < rest {
            return inconsistent(format!(
                "The configured Total Process Memory size ({}) is less than the sum of the derived Total Flink Memory \
                 size ({}) and the configured or default JVM Metaspace size ({})",
                process.human_readable(),
                flink.human_readable(),
                metaspace.human_readable()
            ));
        }
        let overhead = MemorySize(process.0 - rest.0);
        range.check(overhead)?;
        Ok(MetaspaceAndOverhead { metaspace, overhead })
    }

    fn not_configured<T>(&self, fine_grained: &[&str]) -> Result<T, ConfigError> {
        inconsistent(format!(
            "Either required fine-grained memory ({}), or Total Flink Memory size ({}), or Total Process Memory size ({}) \
             need to be configured explicitly",
            fine_grained.join(" and "),
            self.flink_size.key(),
            self.process_size.key()
        ))
    }
}

fn inconsistent<T>(text: String) -> Result<T, ConfigError> {
    Err(ConfigError::Inconsistent(text))
}

fn sum<const N: usize>(sizes: [MemorySize; N]) -> MemorySize {
    MemorySize(sizes.iter().fold(0, |sum: u64, size| sum.saturating_add(size.0)))
}

/// Lines of a breakdown, as Flink logs it at start: how deep, what, how much.
fn lines(entries: &[(usize, &str, MemorySize)]) -> Vec<String> {
    let width = entries.iter().map(|(depth, label, _)| 2 * depth + label.len()).max().unwrap_or(0) + 2;
    let line = |(depth, label, size): &(usize, &str, MemorySize)| {
        let indent = 2 * depth;
        format!("{:indent$}{:<rest$}{}", "", format!("{label}:"), size.human_readable(), rest = width - indent)
    };
    entries.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::memory::{JOBMANAGER, TASKMANAGER};

    fn config(pairs: &[(&str, &str)]) -> Configuration {
        pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
    }

    fn task_manager(pairs: &[(&str, &str)], limit: Option<MemorySize>) -> Configuration {
        let mut config = config(pairs);
        TaskManagerMemory::give_size_within(&mut config, limit);
        config
    }

    const LIMIT: Option<MemorySize> = Some(MemorySize::from_mebibytes(4096));

    #[test]
    fn a_limit_is_the_size_of_a_process_that_has_none() {
        let total = |config: &Configuration| TaskManagerMemory::from_config(config).unwrap().total_process();
        assert_eq!(total(&task_manager(&[], LIMIT)), MemorySize::from_mebibytes(4096));
        assert_eq!(total(&task_manager(&[], Some(MemorySize(3_000_000_001)))), MemorySize(3_000_000_001));
        // Managed memory alone is no size from which the others follow.
        let managed = task_manager(&[("taskmanager.memory.managed.size", "1 gb")], LIMIT);
        assert_eq!(total(&managed), MemorySize::from_mebibytes(4096));

        let mut none = Configuration::default();
        JobManagerMemory::give_size_within(&mut none, LIMIT);
        let memory = JobManagerMemory::from_config(&none).unwrap();
        assert_eq!(memory.total_process(), MemorySize::from_mebibytes(4096));
    }

    #[test]
    fn what_is_configured_stays() {
        for pairs in [
            &[("taskmanager.memory.process.size", "2 gb")][..],
            &[("taskmanager.memory.flink.size", "2 gb")],
            &[("taskmanager.memory.task.heap.size", "1 gb"), ("taskmanager.memory.managed.size", "1 gb")],
        ] {
            assert_eq!(task_manager(pairs, LIMIT), config(pairs));
        }
        for pairs in [("jobmanager.memory.process.size", "2 gb"), ("jobmanager.memory.heap.size", "1 gb")] {
            let mut set = config(&[pairs]);
            JobManagerMemory::give_size_within(&mut set, LIMIT);
            assert_eq!(set, config(&[pairs]));
        }
    }

    #[test]
    fn without_a_limit_the_size_is_that_of_the_file_that_comes_with_an_installation() {
        let shipped: Configuration = {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../dist/conf");
            crate::config::from_sources(Some(std::path::Path::new(folder)), None, []).unwrap()
        };
        assert_eq!(shipped.get(&TASKMANAGER.process_size).unwrap(), TASKMANAGER.shipped_size);
        assert_eq!(shipped.get(&JOBMANAGER.process_size).unwrap(), JOBMANAGER.shipped_size);
        let none = task_manager(&[], None);
        assert_eq!(none.get(&TASKMANAGER.process_size).unwrap(), TASKMANAGER.shipped_size);
    }
}
