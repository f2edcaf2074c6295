//! What a job may set for itself.
use std::time::Duration;

use crate::config::ConfigOption;

/// The parallelism of what does not say otherwise; -1 is 1.
pub const PARALLELISM: ConfigOption<i32> = ConfigOption::new("parallelism.default").default("1");
/// The number of key groups; -1 lets it follow from the parallelism.
pub const MAX_PARALLELISM: ConfigOption<i32> = ConfigOption::new("pipeline.max-parallelism").default("-1");
/// How often periodic watermarks are emitted; 0 turns them off.
pub const AUTO_WATERMARK_INTERVAL: ConfigOption<Duration> =
    ConfigOption::new("pipeline.auto-watermark-interval").default("200 ms");

/// Whether records wait for a full buffer at most for the interval below.
pub const BUFFER_TIMEOUT_ENABLED: ConfigOption<bool> =
    ConfigOption::new("execution.buffer-timeout.enabled").default("true");
/// How long records wait for a full buffer; 0 sends each batch at once.
pub const BUFFER_TIMEOUT: ConfigOption<Duration> =
    ConfigOption::new("execution.buffer-timeout.interval").default("100 ms").fallback(&["execution.buffer-timeout"]);
