//! What happens after a failure.
use std::time::Duration;

use crate::config::ConfigOption;

crate::config_enum! {
    /// The restart strategies.
    pub enum RestartStrategy {
        /// A failed job stays failed.
        None = "none" | "off" | "disable",
        /// So many restarts, the same pause before each.
        FixedDelay = "fixed-delay" | "fixeddelay",
        /// Restarts as long as failures do not come too often.
        FailureRate = "failure-rate" | "failurerate",
        /// Restarts for ever, with growing pauses.
        ExponentialDelay = "exponential-delay" | "exponentialdelay",
    }
}

/// The strategy. Where none is set: `exponential-delay` with checkpoints, else `none`.
pub const TYPE: ConfigOption<RestartStrategy> =
    ConfigOption::new("restart-strategy.type").fallback(&["restart-strategy"]);
/// `fixed-delay`: how many restarts.
pub const FIXED_DELAY_ATTEMPTS: ConfigOption<u32> =
    ConfigOption::new("restart-strategy.fixed-delay.attempts").default("1");
/// `fixed-delay`: the pause before a restart.
pub const FIXED_DELAY: ConfigOption<Duration> = ConfigOption::new("restart-strategy.fixed-delay.delay").default("1 s");
/// `failure-rate`: so many failures within the interval are borne.
pub const FAILURE_RATE_MAX: ConfigOption<u32> =
    ConfigOption::new("restart-strategy.failure-rate.max-failures-per-interval").default("1");
/// `failure-rate`: the interval.
pub const FAILURE_RATE_INTERVAL: ConfigOption<Duration> =
    ConfigOption::new("restart-strategy.failure-rate.failure-rate-interval").default("1 min");
/// `failure-rate`: the pause before a restart.
pub const FAILURE_RATE_DELAY: ConfigOption<Duration> =
    ConfigOption::new("restart-strategy.failure-rate.delay").default("1 s");
/// `exponential-delay`: the first pause.
pub const EXPONENTIAL_INITIAL: ConfigOption<Duration> =
    ConfigOption::new("restart-strategy.exponential-delay.initial-backoff").default("1 s");
/// `exponential-delay`: the longest pause.
pub const EXPONENTIAL_MAX: ConfigOption<Duration> =
    ConfigOption::new("restart-strategy.exponential-delay.max-backoff").default("1 min");
/// `exponential-delay`: the factor from one pause to the next.
pub const EXPONENTIAL_MULTIPLIER: ConfigOption<f64> =
    ConfigOption::new("restart-strategy.exponential-delay.backoff-multiplier").default("1.5");
/// `exponential-delay`: the random share of a pause, both ways.
pub const EXPONENTIAL_JITTER: ConfigOption<f64> =
    ConfigOption::new("restart-strategy.exponential-delay.jitter-factor").default("0.1");
/// `exponential-delay`: after so long without a failure the pause is the first again.
pub const EXPONENTIAL_RESET: ConfigOption<Duration> =
    ConfigOption::new("restart-strategy.exponential-delay.reset-backoff-threshold").default("1 h");
/// `exponential-delay`: so many restarts before the job fails.
pub const EXPONENTIAL_ATTEMPTS: ConfigOption<u32> =
    ConfigOption::new("restart-strategy.exponential-delay.attempts-before-reset-backoff").default("2147483647");
