//! Flink's memory model: from the size of the process, of Flink's part of it, or of single parts, all the others.
//!
//! The numbers are Flink's to the byte, so that a configuration keeps its meaning. What Flink calls heap, metaspace and
//! overhead is memory of this process all the same: heap is what operators and the framework may hold outside the
//! managed and network budgets, metaspace and overhead are the allowance for code, stacks and allocator slack.
use crate::config::options::memory::ProcessOptions;
use crate::config::{ConfigError, ConfigOption, Configuration, MemorySize};

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
