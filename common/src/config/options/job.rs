//! What a job may set for itself.
use std::time::Duration;

use crate::config::{ConfigOption, ConfigValue};
use crate::keygroup::UPPER_BOUND_MAX_PARALLELISM;

/// A number of subtasks or of key groups; none: not set, which Flink's users write -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parallelism(pub Option<u32>);

impl ConfigValue for Parallelism {
    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "-1" {
            return Ok(Self(None));
        }
        let number = text.parse::<u32>().ok().filter(|number| (1..=UPPER_BOUND_MAX_PARALLELISM).contains(number));
        let number = number.ok_or_else(|| format!("expected a whole number from 1 to {UPPER_BOUND_MAX_PARALLELISM}"));
        number.map(|number| Self(Some(number)))
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "-1".to_owned(), |number| number.to_string())
    }
}

/// The parallelism of what does not say otherwise; -1 is 1.
pub const PARALLELISM: ConfigOption<Parallelism> = ConfigOption::new("parallelism.default").default("1");
/// The number of key groups; -1 lets it follow from the parallelism.
pub const MAX_PARALLELISM: ConfigOption<Parallelism> = ConfigOption::new("pipeline.max-parallelism").default("-1");
/// How often periodic watermarks are emitted; 0 turns them off.
pub const AUTO_WATERMARK_INTERVAL: ConfigOption<Duration> =
    ConfigOption::new("pipeline.auto-watermark-interval").default("200 ms");

/// Whether a script waits for the end of one INSERT before the next statement.
pub const DML_SYNC: ConfigOption<bool> = ConfigOption::new("table.dml-sync").default("false");
/// The time zone of a session; `default` is the machine's.
pub const LOCAL_TIME_ZONE: ConfigOption<String> = ConfigOption::new("table.local-time-zone").default("default");

/// Whether records wait for a full buffer at most for the interval below.
pub const BUFFER_TIMEOUT_ENABLED: ConfigOption<bool> =
    ConfigOption::new("execution.buffer-timeout.enabled").default("true");
/// How long records wait for a full buffer; 0 sends each batch at once.
pub const BUFFER_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("execution.buffer-timeout.interval").default("100 ms").fallback(&["execution.buffer-timeout"]);
